//! The coherence matrix and the coherence measure.

use linstab_linalg::lanczos::{self, LanczosOptions};
use linstab_linalg::{Ensemble, Mat, symmetric};

use crate::{CoherenceError, Result};

/// The coherence matrix `S`, `S_ij = |H_i^{1/2} H_j^{1/2}|_F = sqrt(tr(H_i H_j))`.
///
/// # Shapes
/// (num_samples, num_samples), symmetric, entrywise nonnegative; it need not be positive semidefinite.
/// # Cost
/// `n^2 / 2` traces of products.
/// # Examples
/// ```
/// use linstab_coherence::coherence_matrix;
/// use linstab_linalg::Factored;
/// // Factors (2, 0) and (3, 4): tr(H_1 H_2) = (2 * 3)^2, and the diagonal has their squared lengths.
/// let matrix = coherence_matrix(&Factored::new(2, 1, 2, vec![2.0, 0.0, 3.0, 4.0])?);
/// assert_eq!((matrix[(0, 0)], matrix[(0, 1)], matrix[(1, 1)]), (4.0, 6.0, 25.0));
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
/// # Source
/// Dexter et al. 2024; arXiv 2511.17378, Definition 1.
pub fn coherence_matrix(ensemble: &dyn Ensemble) -> Mat<f64> {
    let n = ensemble.num_samples();
    let mut matrix = Mat::zeros(n, n);
    for j in 0..n {
        for i in j..n {
            // Rounding can leave a trace of a product of PSD matrices slightly below its true value of 0.
            let entry = ensemble.trace_of_product(i, j).max(0.0).sqrt();
            matrix[(i, j)] = entry;
            matrix[(j, i)] = entry;
        }
    }
    matrix
}

/// The coherence matrix from the traces `tr(H_i H_j)`, and how many of them are negative.
///
/// Curvatures that are not positive semidefinite (full Hessians away from a minimum) can have negative traces, for which `S` is
/// not defined; they count as 0 here, and the caller is told.
///
/// # Shapes
/// `traces`: (num_samples, num_samples), symmetric; overwritten.
/// # Examples
/// ```
/// use linstab_coherence::coherence_from_traces;
/// use linstab_linalg::Mat;
/// let traces = Mat::from_fn(2, 2, |i, j| if i == j { 9.0 } else { -4.0 });
/// let (matrix, num_negative) = coherence_from_traces(traces);
/// assert_eq!((matrix[(0, 0)], matrix[(0, 1)], num_negative), (3.0, 0.0, 2));
/// ```
pub fn coherence_from_traces(mut traces: Mat<f64>) -> (Mat<f64>, usize) {
    let mut num_negative = 0;
    for j in 0..traces.ncols() {
        for entry in traces.col_mut(j).iter_mut() {
            num_negative += usize::from(*entry < 0.0);
            *entry = entry.max(0.0).sqrt();
        }
    }
    (traces, num_negative)
}

/// The largest eigenvalue of a coherence matrix by Lanczos, from a guess of its eigenvector, which is overwritten by what was found:
/// for matrices that change little from call to call.
///
/// # Shapes
/// `matrix`: (num_samples, num_samples), symmetric, entrywise nonnegative; `guess`: (num_samples), best positive.
/// # Errors
/// [`CoherenceError::Linalg`] for a guess that is zero or not finite, or if the iteration does not converge.
/// # Panics
/// If the guess has another length.
/// # Examples
/// ```
/// use linstab_coherence::top_coherence;
/// use linstab_linalg::{Mat, lanczos::LanczosOptions};
/// let mut guess = [1.0, 1.0];
/// let top = top_coherence(&Mat::from_fn(2, 2, |_, _| 3.0), &mut guess, LanczosOptions::default())?;
/// assert!((top - 6.0).abs() < 1e-12);
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[track_caller]
pub fn top_coherence(matrix: &Mat<f64>, guess: &mut [f64], options: LanczosOptions) -> Result<f64> {
    let top = lanczos::top_eigenpair_of(matrix, guess, options)?;
    guess.copy_from_slice(&top.vector);
    Ok(top.value)
}

/// The coherence of an ensemble.
///
/// # Examples
/// ```
/// use linstab_coherence::Coherence;
/// use linstab_linalg::Factored;
/// // Three samples that coincide.
/// let coherence = Coherence::of(&Factored::new(3, 1, 1, vec![2.0; 3])?)?;
/// assert!((coherence.measure - 3.0).abs() < 1e-14 && coherence.max_sample_sharpness == 4.0);
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coherence {
    /// Largest eigenvalue of the coherence matrix, `lambda_max(S)`.
    pub top_eigenvalue: f64,
    /// Largest sharpness of a single sample, `max_i lambda_max(H_i)`.
    pub max_sample_sharpness: f64,
    /// The coherence measure `sigma = lambda_max(S) / max_i lambda_max(H_i)`: 1 for rank-one curvatures that are
    /// mutually orthogonal, `n` if they coincide.
    pub measure: f64,
}

impl Coherence {
    /// The coherence of `ensemble`.
    ///
    /// # Errors
    /// [`CoherenceError::NoCurvature`] if every curvature is zero, [`CoherenceError::Linalg`] if an eigenvalue iteration
    /// fails.
    /// # Examples
    /// ```
    /// use linstab_coherence::Coherence;
    /// use linstab_linalg::Factored;
    /// // Two orthogonal samples of sharpness 4 and 1: S is diagonal.
    /// let coherence = Coherence::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// assert!((coherence.top_eigenvalue - 4.0).abs() < 1e-14 && (coherence.measure - 1.0).abs() < 1e-14);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn of(ensemble: &dyn Ensemble) -> Result<Self> {
        let mut max_sample_sharpness: f64 = 0.0;
        for sample in 0..ensemble.num_samples() {
            max_sample_sharpness = max_sample_sharpness.max(ensemble.sample_sharpness(sample)?);
        }
        if max_sample_sharpness <= 0.0 {
            return Err(CoherenceError::NoCurvature);
        }
        let top_eigenvalue = symmetric::top_eigenvalue(coherence_matrix(ensemble).as_ref())?;
        Ok(Self { top_eigenvalue, max_sample_sharpness, measure: top_eigenvalue / max_sample_sharpness })
    }
}
