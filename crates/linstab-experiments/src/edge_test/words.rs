//! Names for people.

use linstab_dynamics::Optimizer;

/// The exact mean-square threshold of the optimizer and the loader.
pub(super) const EXACT: &str = "mean_square";
/// The same as if batches were drawn afresh.
pub(super) const EXACT_AFRESH: &str = "mean_square_independent";
/// The almost-sure threshold.
pub(super) const ALMOST_SURE: &str = "almost_sure";
/// Where gradient descent on all samples ends.
pub(super) const GRADIENT_DESCENT: &str = "gradient_descent_limit";

/// Predictors that have a name of their own, in the order in which they are shown.
const PREDICTORS: [(&str, &str); 10] = [
    (EXACT, "exact mean square, η*"),
    (EXACT_AFRESH, "η* as if drawn afresh"),
    (ALMOST_SURE, "almost sure"),
    (GRADIENT_DESCENT, "gradient descent, 2/λmax"),
    ("eq_87", "paper: Theorem 3.3"),
    ("c_8_4", "paper: Theorem C.8"),
    ("c_9_3", "paper: Theorem C.9"),
    ("dexter_88", "Dexter et al.: divergence"),
    ("dexter_88_on_sam", "Dexter et al. on SAM"),
    ("dexter_89", "Dexter et al.: existence"),
];

fn place(name: &str) -> Option<usize> {
    let name = name.replace('-', "_");
    PREDICTORS.iter().position(|(known, _)| *known == name)
}

/// A predictor's name.
pub(super) fn predictor(name: &str) -> String {
    place(name).map_or_else(|| name.replace(['_', '-'], " "), |place| PREDICTORS[place].1.to_owned())
}

/// The place of a predictor in lists: those of [`PREDICTORS`], then others by name.
pub(super) fn order(name: &str) -> (usize, &str) {
    (place(name).unwrap_or(PREDICTORS.len()), name)
}

/// The kind of an optimizer, without the values of its parameters.
pub(super) fn optimizer(optimizer: Optimizer, is_live: bool) -> String {
    let recursion = optimizer.recursion();
    if optimizer.rule().preconditioned {
        let name = optimizer.title().trim_end_matches(", frozen");
        return format!("{name}, {}", if is_live { "live" } else { "frozen" });
    }
    let remembers = recursion.memory.abs() > 0.0;
    let has_ascent = optimizer.without_ascent() != optimizer;
    let mut words: Vec<&str> = Vec::new();
    if has_ascent || !remembers {
        words.push(optimizer.title());
    }
    if remembers {
        words.push(if recursion.direct > 0.0 { "Nesterov" } else { "momentum" });
    }
    if recursion.coupled_decay + recursion.decoupled_decay > 0.0 {
        words.push("weight decay");
    }
    if optimizer.batch_ascent().is_some() {
        words.push("on batches");
    }
    words.join(", ")
}

/// The loaders, with their names.
pub(super) const SAMPLINGS: [(&str, &str); 3] = [
    ("independent", "drawn afresh"),
    ("reshuffling", "reshuffled"),
    ("reshuffling-drop-last", "reshuffled, last batch dropped"),
];

/// A loader's name; records are checked, so that it has one.
pub(super) fn sampling(name: &str) -> &str {
    SAMPLINGS.iter().find(|(known, _)| *known == name).map_or(name, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optimizers_have_the_name_of_their_kind() {
        for (specification, is_live, expected) in [
            ("sgd", false, "SGD"),
            ("sgd:momentum=0.9", false, "momentum"),
            ("sgd:momentum=0.9,nesterov=true", false, "Nesterov"),
            ("sgd:weight_decay=0.001", false, "SGD, weight decay"),
            ("sam:rho_over_alpha=0.1", false, "SAM"),
            ("sam:rho_over_alpha=0.1,ascent=batch", false, "SAM, on batches"),
            ("adamw:beta1=0.9", false, "AdamW, frozen"),
            ("adamw:beta1=0.9", true, "AdamW, live"),
        ] {
            assert_eq!(optimizer(specification.parse().unwrap(), is_live), expected, "{specification}");
        }
    }
}
