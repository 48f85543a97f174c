//! What can make a stability question unanswerable. Divergence is an answer, not an error.

use linstab_linalg::LinalgError;

/// Why dynamics could not be set up or analysed.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// let error = BatchSampling::new(SamplingScheme::Bernoulli, 4, 5).unwrap_err();
/// assert_eq!(error.to_string(), "batch_size is 5, allowed: 1 to num_samples = 4");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DynamicsError {
    /// The ensemble could not be built or decomposed.
    #[error(transparent)]
    Linalg(#[from] LinalgError),
    /// A batch cannot hold that many samples.
    #[error("batch_size is {batch_size}, allowed: 1 to num_samples = {num_samples}")]
    BatchSizeOutOfRange {
        /// The batch size that was asked for.
        batch_size: usize,
        /// The number of samples there are.
        num_samples: usize,
    },
    /// The computation was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A number is outside its range.
    #[error("{name} is {}, allowed: {allowed}", short(*value))]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The admissible values.
        allowed: &'static str,
    },
    /// Two sizes that belong together differ.
    #[error("{what} is {found}, expected {expected}")]
    SizeMismatch {
        /// The quantity whose size is wrong.
        what: &'static str,
        /// The size that would fit.
        expected: usize,
        /// The size that was given.
        found: usize,
    },
    /// No sampling scheme has this name.
    #[error("unknown sampling scheme `{name}`, allowed: {allowed}")]
    UnknownSamplingScheme {
        /// The name that was given.
        name: String,
        /// The names there are.
        allowed: String,
    },
    /// A question has no answer in this form.
    #[error("{what} is not available: {why}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why it is not available.
        why: &'static str,
    },
    /// An exact sum has too many terms.
    #[error(
        "axis {axis} has more than {limit} distinct batch curvatures: its Lyapunov exponent is no short finite sum"
    )]
    TooManyOutcomes {
        /// Index of the axis, from 0.
        axis: usize,
        /// The largest number of terms that is summed.
        limit: usize,
    },
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, DynamicsError>;

/// Accepts a finite number above (`strict`) or not below zero.
pub(crate) fn require_nonnegative(name: &'static str, value: f64, strict: bool) -> Result<()> {
    let above = if strict { value > 0.0 } else { value >= 0.0 };
    if above && value.is_finite() {
        return Ok(());
    }
    let allowed = if strict { "positive and finite" } else { "nonnegative and finite" };
    Err(DynamicsError::OutOfRange { name, value, allowed })
}

/// Without a hundred zeros.
fn short(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() > 24 { format!("{value:e}") } else { plain }
}
