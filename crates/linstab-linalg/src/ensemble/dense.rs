//! Ensembles of explicit symmetric matrices.

use super::{Ensemble, require_len, require_samples};
use crate::{LinalgError, Mat, MatRef, Result, symmetric};

/// Largest accepted `|H - H^T|`, relative to the largest entry of `H`: a symmetric product accumulated in double
/// precision stays far below it, a transposed or mislaid block far above.
pub const SYMMETRY_TOLERANCE: f64 = 1e-10;

/// Largest accepted magnitude of a negative eigenvalue, relative to the largest: rounding in `F F^T` with a thousand
/// factors reaches 1e-13, a truly indefinite curvature is rarely this close to semidefinite.
pub const PSD_TOLERANCE: f64 = 1e-10;

/// Curvatures given as explicit (dim, dim) matrices, symmetric and PSD within the stated tolerances.
///
/// # Examples
/// ```
/// use linstab_linalg::{Dense, Ensemble, Mat};
/// // The rows (2, 1) and (1, 2): eigenvalues 1 and 3.
/// let hessian = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
/// assert!((Dense::new(vec![hessian])?.sharpness()? - 3.0).abs() < 1e-14);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dense {
    dim: usize,
    hessians: Vec<Mat<f64>>,
}

impl Dense {
    /// An ensemble from its matrices; each is replaced by its symmetric part once it has been accepted.
    ///
    /// # Shapes
    /// `num_samples` square matrices of one order.
    /// # Cost
    /// One symmetric eigenvalue problem a sample, to check that it is PSD.
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`], [`LinalgError::ShapeMismatch`], [`LinalgError::NonFinite`],
    /// [`LinalgError::NotSymmetric`] (beyond [`SYMMETRY_TOLERANCE`]) or [`LinalgError::NotPositiveSemidefinite`]
    /// (beyond [`PSD_TOLERANCE`]); each names the sample.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Dense, LinalgError, Mat};
    /// let saddle = Mat::from_fn(2, 2, |i, j| if i == j { 0.0 } else { 1.0 });
    /// let error = Dense::new(vec![saddle]).unwrap_err();
    /// assert!(matches!(error, LinalgError::NotPositiveSemidefinite { sample: 0, .. }));
    /// ```
    pub fn new(hessians: Vec<Mat<f64>>) -> Result<Self> {
        require_samples(hessians.len())?;
        let dim = hessians[0].nrows();
        let hessians =
            hessians.into_iter().enumerate().map(|(i, h)| checked(i, &h, dim)).collect::<Result<_>>()?;
        Ok(Self { dim, hessians })
    }

    /// The dense copy of any ensemble.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Dense, Ensemble, Factored};
    /// let dense = Dense::from_ensemble(&Factored::new(1, 1, 2, vec![1.0, 2.0])?);
    /// assert_eq!(dense.sample_hessian(0)[(1, 1)], 4.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn from_ensemble(ensemble: &dyn Ensemble) -> Self {
        let hessians = (0..ensemble.num_samples()).map(|i| ensemble.sample_hessian(i)).collect();
        Self { dim: ensemble.dim(), hessians }
    }
}

fn checked(sample: usize, hessian: &Mat<f64>, dim: usize) -> Result<Mat<f64>> {
    let symmetric = symmetric_part(sample, hessian, dim)?;
    require_psd(sample, &symmetric::eigenvalues(symmetric.as_ref())?)?;
    Ok(symmetric)
}

/// The symmetric part of a curvature that is finite, of order `dim`, and symmetric to within the tolerance.
pub(super) fn symmetric_part(sample: usize, hessian: &Mat<f64>, dim: usize) -> Result<Mat<f64>> {
    require_len("number of rows of a curvature", dim, hessian.nrows())?;
    require_len("number of columns of a curvature", dim, hessian.ncols())?;
    let (mut largest, mut asymmetry) = (0.0_f64, 0.0_f64);
    for column in 0..dim {
        for row in 0..dim {
            let entry = hessian[(row, column)];
            if !entry.is_finite() {
                return Err(LinalgError::NonFinite { sample, row, column });
            }
            largest = largest.max(entry.abs());
            asymmetry = asymmetry.max((entry - hessian[(column, row)]).abs());
        }
    }
    let tolerance = SYMMETRY_TOLERANCE * largest;
    if asymmetry > tolerance {
        return Err(LinalgError::NotSymmetric { sample, asymmetry, tolerance });
    }
    Ok(Mat::from_fn(dim, dim, |i, j| 0.5 * hessian[(i, j)] + 0.5 * hessian[(j, i)]))
}

/// Refuses the curvature with these eigenvalues, ascending, if one is negative beyond the tolerance.
pub(super) fn require_psd(sample: usize, eigenvalues: &[f64]) -> Result<()> {
    if let (Some(&min_eigenvalue), Some(&max_eigenvalue)) = (eigenvalues.first(), eigenvalues.last()) {
        let tolerance = PSD_TOLERANCE * max_eigenvalue.abs();
        if min_eigenvalue < -tolerance {
            return Err(LinalgError::NotPositiveSemidefinite { sample, min_eigenvalue, tolerance });
        }
    }
    Ok(())
}

impl Ensemble for Dense {
    fn num_samples(&self) -> usize {
        self.hessians.len()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        self.hessians[sample].clone()
    }

    fn sum_of_sandwiches(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Mat::zeros(self.dim, self.dim);
        for hessian in &self.hessians {
            sum += hessian * x * hessian;
        }
        sum
    }
}
