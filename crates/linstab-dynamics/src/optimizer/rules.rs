//! The rules that an optimizer can follow, one row each.
//!
//! Every name, default, range and word that a flag, a configuration, a table or a page shows of an optimizer stands here. A rule that
//! remembers at most one vector is one more row; a parameter is one more constant. Names and defaults are those of PyTorch where it has
//! the rule.

use super::{Optimizer, Recursion};

/// A rule: what is done with a gradient.
#[derive(Debug)]
pub struct Rule {
    /// Its name in specifications.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The update next to the minimum `w = 0`, `g` being the gradient of the batch, `H` the mean curvature, `eta` the learning rate.
    pub formula: &'static str,
    /// The parameters that it takes.
    pub parameters: &'static [Parameter],
    /// What a reader may mistake it for, in a sentence; empty if there is nothing to say.
    pub remark: &'static str,
    /// Whether gradients are divided by a fixed preconditioner, one number a parameter.
    pub preconditioned: bool,
    /// Its linear recursion.
    pub recursion: fn(Optimizer) -> Recursion,
    /// What is wrong with values that are admissible one by one: parameter and what is allowed.
    pub check: fn(Optimizer) -> Result<(), (&'static Parameter, &'static str)>,
}

/// A parameter of a rule.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in specifications.
    pub name: &'static str,
    /// Its name for people: a symbol, or a word.
    pub symbol: &'static str,
    /// The words that stand for the values 0, 1, ..; empty for a number.
    pub words: &'static [&'static str],
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

/// A number as it is usually written, without dozens of zeros.
fn number(value: f64) -> String {
    const LONGEST: usize = 24;
    let plain = value.to_string();
    if plain.len() > LONGEST { format!("{value:e}") } else { plain }
}

impl Parameter {
    /// A value as specifications have it.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let nesterov = &Optimizer::sgd().rule().parameters[2];
    /// assert_eq!((nesterov.name, nesterov.text(1.0)), ("nesterov", "true".to_owned()));
    /// assert_eq!(Optimizer::sgd().rule().parameters[0].text(1e-99), "1e-99");
    /// ```
    pub fn text(&self, value: f64) -> String {
        let word =
            self.words.iter().zip(0_u8..).find(|(_, number)| f64::from(*number).to_bits() == value.to_bits());
        word.map_or_else(|| number(value), |(word, _)| (*word).to_owned())
    }

    /// The value that a text stands for.
    pub(super) fn parse(&self, text: &str) -> Option<f64> {
        let value = if self.words.is_empty() {
            text.parse().ok()
        } else {
            self.words
                .iter()
                .zip(0_u8..)
                .find(|(word, _)| **word == text)
                .map(|(_, number)| f64::from(number))
        };
        value.filter(|&value| (self.admits)(value))
    }
}

/// A pure number, 0 unless given.
const NUMBER: Parameter = Parameter {
    name: "",
    symbol: "",
    words: &[],
    curvature_power: 0,
    default: Some(0.0),
    allowed: "nonnegative and finite",
    admits: |value| value >= 0.0 && value.is_finite(),
    meaning: "",
};

pub(super) const MOMENTUM: Parameter = Parameter {
    name: "momentum",
    symbol: "momentum",
    allowed: "above -1 and below 1",
    admits: |value| value > -1.0 && value < 1.0,
    meaning: "the share of the memory that is kept from step to step",
    ..NUMBER
};

const DAMPENING: Parameter = Parameter {
    name: "dampening",
    symbol: "dampening",
    allowed: "at least 0 and below 1",
    admits: |value| (0.0..1.0).contains(&value),
    meaning: "what is taken off a gradient's weight in the memory",
    ..NUMBER
};

const NESTEROV: Parameter = Parameter {
    name: "nesterov",
    symbol: "Nesterov",
    words: &["false", "true"],
    allowed: "true or false",
    meaning: "whether the step looks ahead: gradient and momentum times the new memory",
    ..NUMBER
};

const WEIGHT_DECAY: Parameter = Parameter {
    name: "weight_decay",
    symbol: "weight decay",
    curvature_power: 1,
    meaning: "times the parameters, added to the gradient (coupled) or to the step (decoupled)",
    ..NUMBER
};

pub(super) const RHO_OVER_ALPHA: Parameter = Parameter {
    name: "rho_over_alpha",
    symbol: "ρ/α",
    curvature_power: -1,
    default: None,
    meaning: "ratio of the perturbation radius to the fixed gradient norm",
    ..NUMBER
};

const RHO: Parameter = Parameter {
    name: "rho",
    symbol: "ρ",
    curvature_power: -1,
    default: None,
    meaning: "what the gradient is multiplied by for the ascent",
    ..NUMBER
};

pub(super) const ASCENT: Parameter = Parameter {
    name: "ascent",
    symbol: "ascent",
    words: &["full", "batch"],
    allowed: "full or batch",
    meaning: "the gradient of the ascent: of the full batch, or of the mini-batch of the step",
    ..NUMBER
};

pub(super) const MICRO_BATCH_SIZE: Parameter = Parameter {
    name: "micro_batch_size",
    symbol: "micro-batches of",
    allowed: "a whole number, 0 for the whole mini-batch",
    admits: |value| (0.0..=1e9).contains(&value) && value.fract().abs() <= 0.0,
    meaning: "samples that ascend together where the ascent is on the mini-batch (m-SAM); 0 for all of it",
    ..NUMBER
};

pub(super) const STANDARD_DEVIATION: Parameter = Parameter {
    name: "standard_deviation",
    symbol: "s",
    default: None,
    meaning: "standard deviation of each coordinate of the perturbation",
    ..NUMBER
};

const BETA1: Parameter = Parameter {
    name: "beta1",
    symbol: "β1",
    default: Some(0.9),
    allowed: "at least 0 and below 1",
    admits: |value| (0.0..1.0).contains(&value),
    meaning: "decay of the exponential average of gradients",
    ..NUMBER
};

const NU: Parameter = Parameter {
    name: "nu",
    symbol: "ν",
    default: Some(0.7),
    allowed: "from 0 to 1",
    admits: |value| (0.0..=1.0).contains(&value),
    meaning: "share of the average in the step; the rest is the gradient itself",
    ..NUMBER
};

/// SGD of frameworks: momentum with dampening, Nesterov's or heavy ball, coupled weight decay.
const SGD: Rule = Rule {
    name: "sgd",
    title: "SGD",
    formula: "v <- momentum v + (1 - dampening) (g + weight_decay w); w <- w - eta v, or with Nesterov w - eta (g + weight_decay w + momentum v)",
    parameters: &[MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY],
    remark: "",
    preconditioned: false,
    recursion: momentum,
    check: nesterov_is_possible,
};

/// All rules. Each takes one gradient a step and remembers at most one vector.
pub(super) const RULES: &[Rule] = &[
    SGD,
    // arXiv 2511.17378, rules (4) and (5).
    Rule {
        name: "sam",
        title: "SAM",
        formula: "as SGD with g at w + rho_over_alpha (gradient of the ascent) in the place of g at w",
        parameters: &[RHO_OVER_ALPHA, ASCENT, MICRO_BATCH_SIZE, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY],
        remark: "unless ascent=batch, it ascends along the full-batch gradient with a fixed rho/alpha, as in the paper; usual SAM ascends on its own mini-batch",
        check: ascent_is_possible,
        ..SGD
    },
    // Andriushchenko and Flammarion 2022.
    Rule {
        name: "usam",
        title: "Unnormalised SAM",
        formula: "as SGD with g at w + rho (gradient of the ascent) in the place of g at w",
        parameters: &[RHO, ASCENT, MICRO_BATCH_SIZE, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY],
        check: ascent_is_possible,
        ..SGD
    },
    // arXiv 2511.17378, rule (3).
    Rule {
        name: "random-perturbation",
        title: "Random perturbation",
        formula: "as SGD with g at w + delta_t, delta_t ~ N(0, standard_deviation^2 I)",
        parameters: &[STANDARD_DEVIATION, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY],
        remark: "the perturbation adds noise, and leaves the threshold where it is",
        ..SGD
    },
    // Loshchilov and Hutter 2019.
    Rule {
        name: "sgdw",
        title: "SGD with decoupled weight decay",
        formula: "v <- momentum v + (1 - dampening) g; w <- (1 - eta weight_decay) w - eta v, or with Nesterov - eta (g + momentum v)",
        recursion: |optimizer| decoupled(momentum(optimizer)),
        ..SGD
    },
    Rule {
        name: "ema",
        title: "SGD with averaged gradients",
        formula: "v <- beta1 v + (1 - beta1) (g + weight_decay w); w <- w - eta v",
        parameters: &[BETA1, WEIGHT_DECAY],
        recursion: averaged,
        check: |_| Ok(()),
        ..SGD
    },
    // Ma and Yarats 2019.
    Rule {
        name: "qhm",
        title: "Quasi-hyperbolic momentum",
        formula: "v <- momentum v + (1 - momentum) (g + weight_decay w); w <- w - eta ((1 - nu) (g + weight_decay w) + nu v)",
        parameters: &[MOMENTUM_OF_QHM, NU, WEIGHT_DECAY],
        recursion: |optimizer| {
            let (memory, nu) = (optimizer.momentum(), optimizer.value(&NU));
            let coupled_decay = optimizer.value(&WEIGHT_DECAY);
            Recursion {
                memory,
                input: 1.0 - memory,
                direct: 1.0 - nu,
                output: nu,
                coupled_decay,
                ..Recursion::SGD
            }
        },
        check: |_| Ok(()),
        ..SGD
    },
    Rule {
        name: "adam",
        title: "Adam, frozen",
        formula: "v <- beta1 v + (1 - beta1) g; w <- w - eta v / preconditioner",
        parameters: &[BETA1],
        remark: "the second moment is frozen at the minimum: its root plus eps is the preconditioner",
        preconditioned: true,
        recursion: averaged,
        check: |_| Ok(()),
    },
    Rule {
        name: "adamw",
        title: "AdamW, frozen",
        formula: "v <- beta1 v + (1 - beta1) g; w <- (1 - eta weight_decay) w - eta v / preconditioner",
        parameters: &[BETA1, Parameter { default: Some(0.01), curvature_power: 1, ..WEIGHT_DECAY }],
        remark: "the second moment is frozen at the minimum: its root plus eps is the preconditioner",
        preconditioned: true,
        recursion: |optimizer| decoupled(averaged(optimizer)),
        check: |_| Ok(()),
    },
    Rule {
        name: "rmsprop",
        title: "RMSProp, frozen",
        formula: "v <- momentum v + g / preconditioner; w <- w - eta v",
        parameters: &[MOMENTUM],
        remark: "the second moment is frozen at the minimum: its root plus eps is the preconditioner",
        preconditioned: true,
        recursion: momentum,
        check: |_| Ok(()),
    },
];

/// The default of Ma and Yarats 2019.
const MOMENTUM_OF_QHM: Parameter = Parameter {
    default: Some(0.999),
    allowed: "at least 0 and below 1",
    admits: |value| (0.0..1.0).contains(&value),
    ..MOMENTUM
};

/// Momentum as PyTorch's SGD has it; what a rule does not take is 0.
fn momentum(optimizer: Optimizer) -> Recursion {
    let memory = optimizer.momentum();
    let (direct, output) = if optimizer.value(&NESTEROV) > 0.0 { (1.0, memory) } else { (0.0, 1.0) };
    // Without momentum nothing is remembered and nothing damped, as in PyTorch.
    let input = if memory.abs() > 0.0 { 1.0 - optimizer.value(&DAMPENING) } else { 1.0 };
    Recursion {
        memory,
        input,
        direct,
        output,
        coupled_decay: optimizer.value(&WEIGHT_DECAY),
        decoupled_decay: 0.0,
    }
}

/// An exponential average of gradients.
fn averaged(optimizer: Optimizer) -> Recursion {
    let memory = optimizer.value(&BETA1);
    Recursion { memory, input: 1.0 - memory, coupled_decay: optimizer.value(&WEIGHT_DECAY), ..Recursion::SGD }
}

fn decoupled(recursion: Recursion) -> Recursion {
    Recursion { coupled_decay: 0.0, decoupled_decay: recursion.coupled_decay, ..recursion }
}

fn nesterov_is_possible(optimizer: Optimizer) -> Result<(), (&'static Parameter, &'static str)> {
    let looks_ahead = optimizer.value(&NESTEROV) > 0.0;
    if looks_ahead && (optimizer.momentum() <= 0.0 || optimizer.value(&DAMPENING) > 0.0) {
        return Err((&NESTEROV, "with momentum above 0 and without dampening"));
    }
    Ok(())
}

fn ascent_is_possible(optimizer: Optimizer) -> Result<(), (&'static Parameter, &'static str)> {
    if optimizer.value(&MICRO_BATCH_SIZE) > 0.0 && optimizer.value(&ASCENT) <= 0.0 {
        return Err((&MICRO_BATCH_SIZE, "together with ascent=batch"));
    }
    nesterov_is_possible(optimizer)
}

/// What the curvature is multiplied by in the ascent: `rho / alpha` of SAM, `rho` of unnormalised SAM, else 0.
pub(super) fn ascent_ratio(optimizer: Optimizer) -> f64 {
    optimizer.value(&RHO_OVER_ALPHA) + optimizer.value(&RHO)
}
