//! The rules that an optimizer can follow, one row each.
//!
//! Every name, default, range and word that a flag, a configuration, a table or a page shows of an optimizer stands here. A rule that
//! is described by the parameters below is one more row; a parameter is one more constant.

/// A rule: what is done with a gradient.
#[derive(Debug)]
pub struct Rule {
    /// Its name in specifications.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The update next to the minimum `w = 0`, with batch curvature `H_t`, mean curvature `H` and learning rate `eta`.
    pub formula: &'static str,
    /// The parameters that it takes.
    pub parameters: &'static [Parameter],
    /// What a reader may mistake it for, in a sentence; empty if there is nothing to say.
    pub remark: &'static str,
}

/// A parameter of a rule.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in specifications.
    pub name: &'static str,
    /// Its name for people: a symbol, or a word.
    pub symbol: &'static str,
    /// The power of a curvature that it has as its unit: 0 for a pure number, -1 for a length over a gradient.
    pub curvature_power: i32,
    /// Its value if none is given; `None` if one must be.
    pub default: Option<f64>,
    /// The admissible values in words.
    pub allowed: &'static str,
    /// Whether a value is admissible.
    pub admits: fn(f64) -> bool,
    /// What it is.
    pub meaning: &'static str,
}

pub(super) const MOMENTUM: Parameter = Parameter {
    name: "momentum",
    symbol: "momentum",
    curvature_power: 0,
    default: Some(0.0),
    allowed: "above -1 and below 1",
    admits: |value| value > -1.0 && value < 1.0,
    meaning: "heavy-ball momentum: the share of the last step that is added to the next one",
};

pub(super) const RHO_OVER_ALPHA: Parameter = Parameter {
    name: "rho_over_alpha",
    symbol: "ρ/α",
    curvature_power: -1,
    default: None,
    allowed: "nonnegative and finite",
    admits: |value| value >= 0.0 && value.is_finite(),
    meaning: "ratio of the perturbation radius to the fixed gradient norm",
};

pub(super) const STANDARD_DEVIATION: Parameter = Parameter {
    name: "standard_deviation",
    symbol: "s",
    curvature_power: 0,
    default: None,
    allowed: "nonnegative and finite",
    admits: |value| value >= 0.0 && value.is_finite(),
    meaning: "standard deviation of each coordinate of the perturbation",
};

/// All rules. Each takes one gradient a step and remembers at most the last step.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "sgd",
        title: "SGD",
        formula: "w <- w - eta H_t w + momentum (w - w_prev)",
        parameters: &[MOMENTUM],
        remark: "",
    },
    // arXiv 2511.17378, rules (4) and (5).
    Rule {
        name: "sam",
        title: "SAM",
        formula: "w <- w - eta H_t (I + rho_over_alpha H) w + momentum (w - w_prev)",
        parameters: &[RHO_OVER_ALPHA, MOMENTUM],
        remark: "it ascends along the full-batch gradient with a fixed rho/alpha, as in the paper; usual SAM ascends on its own mini-batch",
    },
    // arXiv 2511.17378, rule (3).
    Rule {
        name: "random-perturbation",
        title: "Random perturbation",
        formula: "w <- w - eta H_t (w + delta_t) + momentum (w - w_prev), delta_t ~ N(0, standard_deviation^2 I)",
        parameters: &[STANDARD_DEVIATION, MOMENTUM],
        remark: "the perturbation adds noise, and leaves the threshold where it is",
    },
];
