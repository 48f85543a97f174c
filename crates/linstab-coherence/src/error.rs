//! What can make a coherence or a criterion undefined.

use linstab_dynamics::DynamicsError;
use linstab_linalg::LinalgError;

/// Why a coherence or a criterion could not be evaluated.
///
/// # Examples
/// ```
/// use linstab_coherence::{Coherence, CoherenceError};
/// use linstab_linalg::Factored;
/// assert_eq!(Coherence::of(&Factored::new(1, 1, 1, vec![0.0])?), Err(CoherenceError::NoCurvature));
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoherenceError {
    /// An eigenvalue problem failed.
    #[error(transparent)]
    Linalg(#[from] LinalgError),
    /// An analysis failed.
    #[error(transparent)]
    Dynamics(#[from] DynamicsError),
    /// Every curvature is zero: the coherence measure is 0 / 0.
    #[error("every curvature is zero, so the coherence measure is undefined")]
    NoCurvature,
    /// A number is outside its range.
    #[error("{name} is {value}, allowed: {allowed}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The admissible values.
        allowed: &'static str,
    },
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, CoherenceError>;
