//! Eigenvalues of real symmetric matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{MatRef, Par, Spec};

use crate::{LinalgError, Result};

/// Eigenvalues of a symmetric matrix, ascending.
///
/// # Shapes
/// `matrix`: (dim, dim); only the lower triangle is read.
/// # Cost
/// `O(dim^3)` on the calling thread: the parallel solver is slower at our sizes and its bits depend on the thread
/// count.
/// # Errors
/// [`LinalgError::ShapeMismatch`] if the matrix is not square, [`LinalgError::NoConvergence`] on NaN or infinity.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, symmetric};
/// let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
/// let eigenvalues = symmetric::eigenvalues(matrix.as_ref())?;
/// assert!((eigenvalues[0] - 1.0).abs() < 1e-15 && (eigenvalues[1] - 3.0).abs() < 1e-15);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
pub fn eigenvalues(matrix: MatRef<'_, f64>) -> Result<Vec<f64>> {
    let dim = matrix.nrows();
    if matrix.ncols() != dim {
        return Err(LinalgError::ShapeMismatch {
            what: "number of columns of a symmetric matrix",
            expected: dim,
            found: matrix.ncols(),
        });
    }
    let mut values = Diag::<f64>::zeros(dim);
    let scratch = self_adjoint_evd_scratch::<f64>(dim, ComputeEigenvectors::No, Par::Seq, Spec::default());
    let mut buffer = MemBuffer::new(scratch);
    self_adjoint_evd(matrix, values.as_mut(), None, Par::Seq, MemStack::new(&mut buffer), Spec::default())
        .map_err(|_| LinalgError::NoConvergence { dim })?;
    Ok(values.column_vector().iter().copied().collect())
}

/// Largest eigenvalue of a symmetric matrix; 0 for the empty matrix.
///
/// # Errors
/// As [`eigenvalues`].
pub fn top_eigenvalue(matrix: MatRef<'_, f64>) -> Result<f64> {
    Ok(eigenvalues(matrix)?.last().copied().unwrap_or(0.0))
}
