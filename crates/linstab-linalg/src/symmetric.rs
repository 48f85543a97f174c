//! Eigenvalues of real symmetric matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltParams, LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Mat, MatMut, MatRef, Par, Spec};

use crate::{LinalgError, Result};

/// Orders from which on an eigenproblem is shared out, and the number of its parts. The bits depend on the parts, so there are as many
/// for any number of threads; smaller problems gain nothing, and many are solved side by side.
const SHARED_FROM: usize = 1000;
const NUM_PARTS: usize = 4;

/// Eigenvalues of a symmetric matrix, ascending.
///
/// # Shapes
/// `matrix`: (dim, dim); only the lower triangle is read.
/// # Cost
/// `O(dim^3)`, on the calling thread; from order 1000 on, on up to four threads of the ambient rayon pool, with the same bits for any
/// number of threads.
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
    decompose(matrix, None)
}

/// Eigenvalues of a symmetric matrix, ascending, and its orthonormal eigenvectors as the columns of a matrix.
///
/// # Shapes
/// The eigenvectors are (dim, dim); the rest as for [`eigenvalues`].
/// # Errors
/// As [`eigenvalues`].
/// # Examples
/// ```
/// use linstab_linalg::{Mat, symmetric};
/// // The rows (2, 1) and (1, 2): eigenvalue 3 along (1, 1), 1 along (1, -1).
/// let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
/// let (values, vectors) = symmetric::eigenpairs(matrix.as_ref())?;
/// assert!((values[1] - 3.0).abs() < 1e-15);
/// assert!((vectors[(0, 1)] - vectors[(1, 1)]).abs() < 1e-15, "the second column is (1, 1) / sqrt 2 up to its sign");
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
pub fn eigenpairs(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let dim = matrix.nrows();
    let mut vectors = Mat::zeros(dim, dim);
    let values = decompose(matrix, Some(vectors.as_mut()))?;
    Ok((values, vectors))
}

/// Largest eigenvalue of a symmetric matrix; 0 for the empty matrix.
///
/// # Errors
/// As [`eigenvalues`].
/// # Examples
/// ```
/// use linstab_linalg::{Mat, symmetric};
/// // The rows (0, 1) and (1, 0) have the eigenvalues -1 and 1.
/// let swap = Mat::from_fn(2, 2, |i, j| if i == j { 0.0 } else { 1.0 });
/// assert!((symmetric::top_eigenvalue(swap.as_ref())? - 1.0).abs() < 1e-15);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
pub fn top_eigenvalue(matrix: MatRef<'_, f64>) -> Result<f64> {
    Ok(eigenvalues(matrix)?.last().copied().unwrap_or(0.0))
}

/// `L^{-1} A L^{-T}` with the Cholesky factor `B = L L^T`: its eigenvalues are those of the pencil `A x = lambda B x`. `None`
/// if `B` is not positive definite to working precision. Both are overwritten.
///
/// # Shapes
/// `a`, `b`: (dim, dim), symmetric.
/// # Panics
/// If the shapes differ.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, symmetric};
/// let diagonal = |entries: [f64; 2]| Mat::from_fn(2, 2, |i, j| if i == j { entries[i] } else { 0.0 });
/// // diag(2, 12) against diag(1, 4): the pencil has the eigenvalues 2 and 3.
/// let whitened = symmetric::whiten(diagonal([2.0, 12.0]), diagonal([1.0, 4.0])).expect("positive definite");
/// assert_eq!((whitened[(0, 0)], whitened[(1, 1)]), (2.0, 3.0));
/// assert!(symmetric::whiten(diagonal([1.0, 1.0]), diagonal([1.0, -1.0])).is_none());
/// ```
#[track_caller]
pub fn whiten(a: Mat<f64>, b: Mat<f64>) -> Option<Mat<f64>> {
    assert!(a.shape() == b.shape(), "matrices of different shapes {:?} and {:?}", a.shape(), b.shape());
    let factor = Cholesky::of(b)?.factor;
    let mut whitened = a;
    solve_lower_triangular_in_place(factor.as_ref(), whitened.as_mut(), Par::Seq);
    let mut whitened = whitened.transpose().to_owned();
    solve_lower_triangular_in_place(factor.as_ref(), whitened.as_mut(), Par::Seq);
    Some(whitened)
}

/// A Cholesky factorisation `A = L L^T`, for any number of solutions.
#[derive(Clone, Debug)]
pub struct Cholesky {
    factor: Mat<f64>,
}

impl Cholesky {
    /// Factorises a symmetric matrix, which is overwritten; `None` if it is not positive definite to working precision.
    ///
    /// # Shapes
    /// `matrix`: (dim, dim); only the lower triangle is read.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Mat, symmetric::Cholesky};
    /// let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
    /// let solution = Cholesky::of(matrix).expect("eigenvalues 1 and 3").solve(&[3.0, 3.0]);
    /// assert!((solution[0] - 1.0).abs() < 1e-15 && (solution[1] - 1.0).abs() < 1e-15);
    /// assert!(Cholesky::of(Mat::from_fn(2, 2, |_, _| -1.0)).is_none());
    /// ```
    pub fn of(matrix: Mat<f64>) -> Option<Self> {
        let mut factor = matrix;
        let dim = factor.nrows();
        let scratch = cholesky_in_place_scratch::<f64>(dim, Par::Seq, Spec::<LltParams, f64>::default());
        let mut buffer = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut buffer);
        cholesky_in_place(factor.as_mut(), LltRegularization::default(), Par::Seq, stack, Spec::default())
            .ok()?;
        Some(Self { factor })
    }

    /// The solution of `A x = b`.
    ///
    /// # Panics
    /// If `right` has another length than the matrix has rows.
    #[track_caller]
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        assert!(
            right.len() == self.factor.nrows(),
            "{} entries for order {}",
            right.len(),
            self.factor.nrows()
        );
        let mut x = Mat::from_fn(right.len(), 1, |i, _| right[i]);
        solve_lower_triangular_in_place(self.factor.as_ref(), x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(self.factor.transpose(), x.as_mut(), Par::Seq);
        (0..right.len()).map(|i| x[(i, 0)]).collect()
    }
}

fn decompose(matrix: MatRef<'_, f64>, vectors: Option<MatMut<'_, f64>>) -> Result<Vec<f64>> {
    let dim = matrix.nrows();
    if matrix.ncols() != dim {
        let what = "number of columns of a symmetric matrix";
        return Err(LinalgError::ShapeMismatch { what, expected: dim, found: matrix.ncols() });
    }
    let compute = if vectors.is_some() { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let parts = if dim < SHARED_FROM { Par::Seq } else { Par::rayon(NUM_PARTS) };
    let mut values = Diag::<f64>::zeros(dim);
    let mut buffer = MemBuffer::new(self_adjoint_evd_scratch::<f64>(dim, compute, parts, Spec::default()));
    self_adjoint_evd(matrix, values.as_mut(), vectors, parts, MemStack::new(&mut buffer), Spec::default())
        .map_err(|_| LinalgError::NoConvergence { dim })?;
    let values: Vec<f64> = values.column_vector().iter().copied().collect();
    // A matrix of order 1 is handed back as it is, NaN or not.
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(LinalgError::NoConvergence { dim })
    }
}
