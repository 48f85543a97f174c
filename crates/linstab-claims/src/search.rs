//! Attempts to break an inequality: random ensembles, then local optimisation from the tightest of them.
//!
//! An inequality enters as its slack, (larger side) / (smaller side): below 1 it is broken. The optimisation is an evolution
//! strategy of one parent and one child with the one-fifth rule: it needs no derivatives, and its cost is known in advance.

use super::numbers::normal;
use std::fmt;

use rand_pcg::Pcg64;

use super::instance::{Instance, Shape};
use super::numbers::ROUNDING;
use linstab_driver::streams::StreamKey;
use linstab_report::text::significant;

/// How much a search may compute.
#[expect(clippy::struct_field_names, reason = "all of them are counts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Random ensembles.
    pub(super) num_random: usize,
    /// How many of them, the tightest, are refined.
    pub(super) num_refined: usize,
    /// Steps of each refinement.
    pub(super) num_steps: usize,
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// The smallest slack.
    pub(super) slack: f64,
    /// The smallest slack before the refinement.
    pub(super) random_slack: f64,
    shape: Option<Shape>,
    num_random: usize,
    num_evaluations: usize,
}

impl Found {
    /// Whether no ensemble has a slack below 1, beyond rounding.
    pub(super) fn is_unbroken(&self) -> bool {
        self.slack >= 1.0 - ROUNDING
    }
}

/// A slack for a text: its distance from 1 where it is close.
pub(super) fn readable(slack: f64) -> String {
    let excess = slack - 1.0;
    if excess.abs() >= 1e-2 {
        return significant(slack, 4);
    }
    // Two roundings: a difference of this size has no digits.
    if excess.abs() < 4e-16 {
        "1".to_owned()
    } else {
        format!("1 {} {:.1e}", if excess < 0.0 { '-' } else { '+' }, excess.abs())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "smallest slack {} over {} random ensembles (before refinement {}) and {} evaluations of local optimisation",
            readable(self.slack),
            self.num_random,
            readable(self.random_slack),
            self.num_evaluations
        )?;
        match self.shape {
            Some(shape) => write!(f, ", found at {shape}"),
            None => Ok(()),
        }
    }
}

/// The smallest slack that can be found; slacks that are not numbers are passed over.
pub(super) fn smallest(key: StreamKey, budget: Budget, slack: impl Fn(&Instance) -> f64) -> Found {
    let evaluate = |shape: Shape, parameters: &[f64]| {
        let value = Instance::new(shape, parameters).map_or(f64::INFINITY, |instance| slack(&instance));
        if value.is_nan() { f64::INFINITY } else { value }
    };
    let mut candidates = Vec::with_capacity(budget.num_random);
    for index in 0..budget.num_random {
        let mut rng = key.number(index as u64).generator();
        let shape = Shape::random(&mut rng);
        let parameters = shape.random_parameters(&mut rng);
        candidates.push((evaluate(shape, &parameters), shape, parameters));
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = candidates.first();
    let mut found = Found {
        slack: first.map_or(f64::INFINITY, |best| best.0),
        random_slack: first.map_or(f64::INFINITY, |best| best.0),
        shape: first.map(|best| best.1),
        num_random: budget.num_random,
        num_evaluations: 0,
    };
    for (index, (value, shape, parameters)) in spread(candidates, budget.num_refined).into_iter().enumerate()
    {
        let mut rng = key.text("refine").number(index as u64).generator();
        let best = refine(value, parameters, budget.num_steps, &mut rng, |x| evaluate(shape, x));
        found.num_evaluations += budget.num_steps;
        if best < found.slack {
            (found.slack, found.shape) = (best, Some(shape));
        }
    }
    found
}

type Candidate = (f64, Shape, Vec<f64>);

/// The tightest candidates, at most two of a dimension: in one dimension many inequalities are equalities.
fn spread(candidates: Vec<Candidate>, num: usize) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let alike = kept.iter().filter(|one| one.1.dim == candidate.1.dim).count();
        if kept.len() < num && alike < num.div_ceil(4).max(2) {
            kept.push(candidate);
        }
    }
    kept
}

/// One parent, one child; the step grows by half when the child is better and shrinks by 10 % when not.
fn refine(
    mut best: f64,
    mut parameters: Vec<f64>,
    num_steps: usize,
    rng: &mut Pcg64,
    evaluate: impl Fn(&[f64]) -> f64,
) -> f64 {
    let mut step = 0.3;
    for _ in 0..num_steps {
        let child: Vec<f64> = parameters.iter().map(|x| x + step * normal(rng)).collect();
        let value = evaluate(&child);
        if value < best {
            (best, parameters) = (value, child);
            step *= 1.5;
        } else {
            step = (step * 0.9_f64).max(1e-9);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const BUDGET: Budget = Budget { num_random: 50, num_refined: 4, num_steps: 400 };

    #[test]
    fn the_optimisation_finds_a_minimum() {
        let mut rng = Pcg64::seed_from_u64(1);
        let bowl = |x: &[f64]| 1.0 + (x[0] - 3.0).powi(2) + 10.0 * (x[1] + 1.0).powi(2);
        let best = refine(bowl(&[0.0, 0.0]), vec![0.0, 0.0], 600, &mut rng, bowl);
        assert!((1.0..1.0 + 1e-6).contains(&best), "{best}");
    }

    #[test]
    fn a_false_inequality_is_broken_and_a_true_one_is_not() {
        let key = StreamKey::new(1, "claims").text("test");
        // trace >= largest eigenvalue of the mean, with equality at rank one; half of it is not.
        let slack = |c: f64| move |x: &Instance| c * x.mean_eigenvalues.iter().sum::<f64>() / x.sharpness();
        let found = smallest(key, BUDGET, slack(1.0));
        assert!((1.0 - 1e-12..1.01).contains(&found.slack) && found.slack <= found.random_slack, "{found}");
        assert!(smallest(key, BUDGET, slack(0.9)).slack < 1.0);
        assert_eq!(found, smallest(key, BUDGET, slack(1.0)), "a function of the key");
    }

    #[test]
    fn slacks_are_readable() {
        let texts = [1.0, 1.0 + 2e-16, 2.0, 1.0 - 3e-12, 1.0 + 4.5e-5, 0.5].map(readable);
        assert_eq!(texts, ["1", "1", "2.000", "1 - 3.0e-12", "1 + 4.5e-5", "0.5000"]);
    }

    #[test]
    fn normal_numbers_are_standard() {
        let mut rng = Pcg64::seed_from_u64(3);
        let (sum, squares) =
            (0..20_000).map(|_| normal(&mut rng)).fold((0.0, 0.0), |(a, b), x| (a + x, b + x * x));
        assert!(
            (sum / 20_000.0_f64).abs() < 0.03 && (squares / 20_000.0_f64 - 1.0).abs() < 0.05,
            "{sum} {squares}"
        );
    }
}
