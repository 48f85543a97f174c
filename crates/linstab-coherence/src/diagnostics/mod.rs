//! Diagnostics of the literature beside the exact threshold: what each measures, what it claims, and the learning rate at which it switches.
//!
//! Each is a row of [`DIAGNOSTICS`]; [`diagnose`] asks all of them about one analysis. All curvatures are Gauss-Newton's: sums of outer products of
//! factors. Symbols: `n` samples, `B` batch size, `a` and `b` the two numbers of the sampling scheme, `H_B` and `g_B` curvature and gradient
//! of a batch, `E` the mean over batches. Gradients are `g_i = sum_q c_iq f_iq` with the coefficients `c` of the loss.

mod batches;
mod bounds;
mod curvature;
mod gradients;
mod shared;
mod subject;
mod tail;

use crate::Result;
use crate::criteria::Claim;

pub use shared::Shared;
pub use subject::Subject;

/// All diagnostics. A new one is a function in a file beside these, and a row here.
pub const DIAGNOSTICS: &[Diagnostic] = &[
    curvature::SHARPNESS,
    curvature::SHARPEST_DIRECTION,
    curvature::TRACE,
    curvature::TRACE_OF_RANK_ONE,
    curvature::WORST_DIRECTION,
    curvature::NON_UNIFORMITY,
    curvature::SECOND_MOMENT_CONTRACTION,
    curvature::SECOND_MOMENT_GROWTH,
    curvature::SAM_EDGE,
    curvature::NOISE_KERNEL_NORM,
    curvature::NOISE_KERNEL_NORM_ISOTROPIC,
    tail::TAIL_INDEX,
    batches::WORST_BATCH,
    batches::MEAN_BATCH_SHARPNESS,
    batches::BATCH_SHARPNESS,
    batches::BATCH_SHARPNESS_OF_MEANS,
    batches::MOMENTUM_BATCH_SHARPNESS,
    gradients::GRADIENT_NOISE_INTERACTION,
    gradients::INTERACTION_AWARE_SHARPNESS,
    gradients::GRADIENT_NOISE_SCALE,
    gradients::GRADIENT_NOISE_SCALE_OF_CURVATURE,
    gradients::ALIGNMENT,
];

/// What a diagnostic claims of the learning rate at which it switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// The mean square grows exactly above it.
    Exact,
    /// The mean square grows above it.
    Necessary,
    /// The mean square does not grow below it.
    Sufficient,
    /// Something switches near it.
    Estimate,
    /// Nothing of learning rates.
    Nothing,
}

impl Claims {
    /// The claim in a word.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_coherence::diagnostics::Claims::Sufficient.name(), "sufficient");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Necessary => "necessary",
            Self::Sufficient => "sufficient",
            Self::Estimate => "estimate",
            Self::Nothing => "nothing",
        }
    }
}

impl From<Claim> for Claims {
    /// What a closed-form criterion claims. That some ensemble is stable is, of this one, an estimate.
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::DivergesAbove => Self::Necessary,
            Claim::ConvergesBelow => Self::Sufficient,
            Claim::SomeEnsembleStable => Self::Estimate,
        }
    }
}

/// What kind of number a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// In the units of the curvatures.
    Curvature,
    /// Without a unit.
    Pure,
}

/// What a diagnostic takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Each sample has one factor.
    RankOneSamples,
    /// The learning rate is below the full batch's limit.
    FullBatchStable,
    /// All curvatures are along one direction.
    OneDirection,
    /// The loss is half the sum of squared residuals, which the coefficients are.
    SquaredError,
}

impl Condition {
    /// What it says.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_coherence::diagnostics::Condition::RankOneSamples.name(), "samples of rank one");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::RankOneSamples => "samples of rank one",
            Self::FullBatchStable => "learning rate below the limit of the full batch",
            Self::OneDirection => "all curvatures along one direction",
            Self::SquaredError => "coefficients are residuals of half the squared error",
        }
    }
}

/// What a diagnostic found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// The number; none where it is 0/0, as ratios of gradients are where all vanish.
    pub value: Option<f64>,
    /// Its standard error, if it was sampled.
    pub standard_error: Option<f64>,
    /// The learning rate at which it switches.
    pub learning_rate: Option<f64>,
}

impl Measured {
    /// A number that is compared with `2 / eta`.
    fn against_two_over_eta(value: Option<f64>) -> Self {
        let learning_rate = value.filter(|value| *value > 0.0).map(|value| 2.0 / value);
        Self { value, standard_error: None, learning_rate }
    }
}

/// Whether a condition holds.
pub type Holds = fn(&Subject<'_>) -> bool;

/// A diagnostic of the literature.
///
/// # Examples
/// ```
/// use linstab_coherence::diagnostics::DIAGNOSTICS;
/// assert!(DIAGNOSTICS.iter().any(|diagnostic| diagnostic.name == "gradient_noise_interaction"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Diagnostic {
    /// Its name in data and reports.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Formula and source, for people.
    pub source: &'static str,
    /// What kind of number it is.
    pub quantity: Quantity,
    /// Whether it needs coefficients of gradients, and is 0/0 where all of these vanish.
    pub of_gradients: bool,
    /// What it claims.
    pub claims: Claims,
    /// What it takes for granted, and whether that holds.
    pub conditions: &'static [(Condition, Holds)],
    /// The measurement; none where it has nothing to say of the optimizer or lacks coefficients or a learning rate.
    pub measure: fn(&Subject<'_>) -> Result<Option<Measured>>,
}

/// A diagnostic's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The diagnostic's name.
    pub name: &'static str,
    /// What it claims.
    pub claims: Claims,
    /// What it found.
    pub measured: Measured,
    /// The learning rate at which it switches over the exact threshold.
    pub ratio_to_exact: Option<f64>,
    /// What it takes for granted, and whether that holds.
    pub conditions: Vec<(&'static str, bool)>,
}

/// What all diagnostics say of one analysis.
///
/// # Cost
/// Some applications of the second-moment map, and batches within a budget of about a second of one core.
/// # Errors
/// [`crate::CoherenceError::Dynamics`] if an iteration fails.
/// # Examples
/// ```
/// use linstab_coherence::diagnostics::{Subject, diagnose};
/// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
/// use linstab_linalg::{Factored, Reduced};
/// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
/// let exact = sgd.max_learning_rate()?.value;
/// let findings = diagnose(&Subject::new(&sgd, exact))?;
/// let contraction = findings.iter().find(|finding| finding.name == "second_moment_contraction").unwrap();
/// // In one dimension it is the threshold itself: 2 E h / E h^2.
/// assert!((contraction.ratio_to_exact.unwrap() - 1.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn diagnose(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if subject.ensemble().rank() == 0 {
        return Ok(findings);
    }
    for diagnostic in DIAGNOSTICS {
        let Some(measured) = (diagnostic.measure)(subject)? else { continue };
        let ratio = measured.learning_rate.map(|rate| rate / subject.exact());
        findings.push(Finding {
            name: diagnostic.name,
            claims: diagnostic.claims,
            measured,
            ratio_to_exact: ratio.filter(|ratio| ratio.is_finite()),
            conditions: diagnostic
                .conditions
                .iter()
                .map(|(what, holds)| (what.name(), holds(subject)))
                .collect(),
        });
    }
    Ok(findings)
}
