//! What can make an ensemble or an eigenproblem impossible to handle.

/// Why a linear-algebra object could not be built or decomposed.
///
/// # Examples
/// ```
/// use linstab_linalg::Factored;
/// let error = Factored::new(2, 1, 1, vec![1.0, f64::NAN]).unwrap_err();
/// assert_eq!(error.to_string(), "sample 1 has a non-finite entry at (0, 0)");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinalgError {
    /// An ensemble has no samples.
    #[error("the ensemble is empty: at least one sample is needed")]
    EmptyEnsemble,
    /// A size does not fit the others.
    #[error("{what} is {found}, expected {expected}")]
    ShapeMismatch {
        /// The quantity whose size is wrong.
        what: &'static str,
        /// The size that would fit.
        expected: usize,
        /// The size that was given.
        found: usize,
    },
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
    /// An entry is NaN or infinite.
    #[error("sample {sample} has a non-finite entry at ({row}, {column})")]
    NonFinite {
        /// Index of the sample, from 0.
        sample: usize,
        /// Row (for factors: the factor) of the entry.
        row: usize,
        /// Column (for factors: the parameter) of the entry.
        column: usize,
    },
    /// An axis lists the same sample twice.
    #[error("axis {axis} lists sample {sample} twice")]
    DuplicateEntry {
        /// Index of the axis, from 0.
        axis: usize,
        /// Index of the sample, from 0.
        sample: usize,
    },
    /// A curvature matrix is not symmetric.
    #[error(
        "the curvature of sample {sample} is not symmetric: it differs from its transpose by {asymmetry:.3e}, tolerance {tolerance:.3e}"
    )]
    NotSymmetric {
        /// Index of the sample, from 0.
        sample: usize,
        /// Largest entry of `|H - H^T|`.
        asymmetry: f64,
        /// Largest entry that would have been accepted.
        tolerance: f64,
    },
    /// A curvature has a negative direction.
    #[error(
        "the curvature of sample {sample} is indefinite: smallest eigenvalue {min_eigenvalue:.6e}, tolerance {tolerance:.3e}"
    )]
    NotPositiveSemidefinite {
        /// Index of the sample, from 0.
        sample: usize,
        /// Its smallest eigenvalue.
        min_eigenvalue: f64,
        /// The magnitude of a negative eigenvalue that would have been taken for rounding.
        tolerance: f64,
    },
    /// A computation needs more memory than the limit that was set for it.
    #[error("{what} takes {needed} bytes of memory, allowed: {limit}")]
    MemoryLimit {
        /// What is too large.
        what: &'static str,
        /// Bytes that it takes at least.
        needed: usize,
        /// Bytes that it may take.
        limit: usize,
    },
    /// An iterative method did not reach its tolerance.
    #[error(
        "the {method} iteration did not converge in {num_applications} applications: residual {residual:.3e}"
    )]
    NotConverged {
        /// The method.
        method: &'static str,
        /// Applications of the operator that were made.
        num_applications: usize,
        /// Residual of the best approximation; not finite if the operator yielded NaN or infinity.
        residual: f64,
    },
    /// The eigenvalue iteration failed, as it does on non-finite input.
    #[error(
        "the symmetric eigenvalue iteration did not converge for a {dim} x {dim} matrix: does it hold NaN or infinity?"
    )]
    NoConvergence {
        /// Order of the matrix.
        dim: usize,
    },
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, LinalgError>;
