//! Closed-form stability criteria of the literature, as the learning rates at which they switch.
//!
//! Each is a row of [`CRITERIA`], in the file of its formula; [`assess`] asks all of them about one ensemble. Those of today assume
//! Bernoulli sampling; the exact threshold of a fixed-size scheme can lie on the other side. Symbols: `n` samples, `B` batch size, `sigma`
//! coherence measure, `l_1`, `l_min` extreme eigenvalues of the mean curvature, `c = rho / alpha` (0 for SGD).

mod assessment;
mod convergence;
mod divergence;
mod existence;
mod problem;

use linstab_dynamics::Optimizer;

use crate::Result;

pub use assessment::{Assessment, Assumption, Property, Question, Setting, assess};
pub use divergence::divergence;
pub use existence::existence_of_stable;
pub use problem::Problem;

/// All criteria. A new one is a file beside these, and a row here.
pub const CRITERIA: &[Criterion] = &[
    divergence::DEXTER,
    divergence::DEXTER_ON_SAM,
    divergence::THEOREM_C_8,
    existence::DEXTER,
    existence::THEOREM_3_3,
    convergence::THEOREM_C_9,
];

/// A closed-form criterion of the literature.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::CRITERIA;
/// let dexter = CRITERIA.iter().find(|criterion| criterion.name == "dexter-88").unwrap();
/// assert!(dexter.source.contains("Theorem 1"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Criterion {
    /// Its name in data and reports.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its source and what it says, for people.
    pub source: &'static str,
    /// What it claims of learning rates beside its own.
    pub claim: Claim,
    /// What it takes for granted.
    pub assumptions: &'static [Property],
    /// Whether it has something to say of an optimizer without momentum; with momentum none has.
    pub speaks_of: fn(Optimizer) -> bool,
    /// The learning rate at which it switches; not finite if there is none.
    pub learning_rate: fn(&Setting<'_>) -> Result<f64>,
}

/// What a criterion claims about learning rates beside its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Divergence in mean square above it.
    DivergesAbove,
    /// Convergence in mean square below it.
    ConvergesBelow,
    /// Up to it, some ensemble of the same sharpness and coherence is stable; nothing about this one.
    SomeEnsembleStable,
}

impl Claim {
    /// The claim in a few words.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_coherence::criteria::Claim::DivergesAbove.name(), "diverges-above");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::DivergesAbove => "diverges-above",
            Self::ConvergesBelow => "converges-below",
            Self::SomeEnsembleStable => "some-ensemble-stable",
        }
    }
}
