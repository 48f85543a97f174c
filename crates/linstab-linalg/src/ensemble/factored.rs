//! Ensembles given by the factors of low-rank curvatures.

use super::dense::{require_psd, symmetric_part};
use super::{Ensemble, require_len, require_samples};
use crate::{LinalgError, Mat, MatRef, Result, symmetric};

/// Curvatures `H_i = sum_q f_iq f_iq^T`, `q = 1..k`: PSD by construction.
///
/// With squared loss and `k` outputs the factors are the per-sample, per-output gradients at an interpolating
/// minimum, and `H_i` is the Gauss-Newton matrix, which there equals the Hessian.
///
/// # Examples
/// ```
/// use linstab_linalg::{Ensemble, Factored};
/// // One sample with two outputs, of gradients (1, 0) and (0, 2): H = diag(1, 4).
/// let hessian = Factored::new(1, 2, 2, vec![1.0, 0.0, 0.0, 2.0])?.sample_hessian(0);
/// assert_eq!((hessian[(0, 0)], hessian[(0, 1)], hessian[(1, 1)]), (1.0, 0.0, 4.0));
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Factored {
    num_samples: usize,
    num_factors: usize,
    dim: usize,
    /// Row-major (num_samples * num_factors, dim).
    rows: Vec<f64>,
}

impl Factored {
    /// An ensemble from its factors.
    ///
    /// # Shapes
    /// `rows`: row-major (num_samples, num_factors, dim): factor `q` of sample `i` is row `i * num_factors + q`.
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`], [`LinalgError::OutOfRange`] for `num_factors = 0`,
    /// [`LinalgError::ShapeMismatch`], or [`LinalgError::NonFinite`] with the sample, factor and parameter.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// let ensemble = Factored::new(2, 1, 2, vec![3.0, 0.0, 0.0, 4.0])?;
    /// assert_eq!(ensemble.sample_sharpness(1)?, 16.0);
    /// assert_eq!(ensemble.trace_of_product(0, 1), 0.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn new(num_samples: usize, num_factors: usize, dim: usize, rows: Vec<f64>) -> Result<Self> {
        require_samples(num_samples)?;
        if num_factors == 0 {
            let allowed = "at least 1 (a sample without curvature has a zero factor)";
            return Err(LinalgError::OutOfRange { name: "num_factors", value: 0.0, allowed });
        }
        let expected = num_samples.checked_mul(num_factors).and_then(|rows| rows.checked_mul(dim));
        require_len("number of factor entries", expected.unwrap_or(usize::MAX), rows.len())?;
        if let Some(at) = rows.iter().position(|entry| !entry.is_finite()) {
            let (row, column) = (at / dim, at % dim);
            return Err(LinalgError::NonFinite { sample: row / num_factors, row: row % num_factors, column });
        }
        Ok(Self { num_samples, num_factors, dim, rows })
    }

    /// The factored form of any ensemble, by the eigenvectors of each curvature; samples of lower rank get zero factors.
    ///
    /// # Cost
    /// One symmetric eigenvalue problem of order `dim` a sample. Axis-aligned ensembles have exact answers of their own at
    /// a fraction of that.
    /// # Accuracy
    /// Eigenvalues up to [`PSD_TOLERANCE`](super::PSD_TOLERANCE) times a sample's largest are taken for zero.
    /// # Errors
    /// Those of [`Dense::new`](super::Dense::new): a representation of one's own is checked here.
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Factored};
    /// // diag(1, 4) and diag(9, 0) have ranks 2 and 1: two factors each, one of them zero.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0, 4.0], vec![9.0, 0.0]])?;
    /// let factored = Factored::from_ensemble(&ensemble)?;
    /// assert_eq!(factored.num_factors(), 2);
    /// assert!((factored.rows()[(2, 0)].abs() - 3.0).abs() < 1e-15);
    /// assert_eq!((factored.rows()[(3, 0)], factored.rows()[(3, 1)]), (0.0, 0.0));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn from_ensemble(ensemble: &dyn Ensemble) -> Result<Self> {
        let (n, dim) = (ensemble.num_samples(), ensemble.dim());
        let mut factors = Vec::with_capacity(n);
        for sample in 0..n {
            let hessian = symmetric_part(sample, &ensemble.sample_hessian(sample), dim)?;
            let (values, vectors) = symmetric::eigenpairs(hessian.as_ref())?;
            require_psd(sample, &values)?;
            let top = values.last().copied().unwrap_or(0.0);
            let kept = (0..dim).rev().take_while(|&a| values[a] > super::PSD_TOLERANCE * top);
            let of_sample: Vec<Vec<f64>> =
                kept.map(|a| (0..dim).map(|row| values[a].sqrt() * vectors[(row, a)]).collect()).collect();
            factors.push(of_sample);
        }
        let num_factors = factors.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut rows = Vec::with_capacity(n * num_factors * dim);
        for mut of_sample in factors {
            of_sample.resize(num_factors, vec![0.0; dim]);
            rows.extend(of_sample.concat());
        }
        Self::new(n, num_factors, dim, rows)
    }

    /// The ensemble in rescaled parameters: coordinate `p` of every factor is multiplied by `scales[p]`.
    ///
    /// A method with a frozen diagonal preconditioner `D`, `w <- w - eta D^{-1} (gradient)`, is the plain method in the
    /// parameters `D^{1/2} w`, where the curvatures are `D^{-1/2} H_i D^{-1/2}`: its scales are `D^{-1/2}`.
    ///
    /// # Errors
    /// [`LinalgError::ShapeMismatch`] unless there is a scale for each parameter, [`LinalgError::OutOfRange`] unless all are
    /// positive and finite, [`LinalgError::NonFinite`] if one makes a factor so.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// // The preconditioner diag(1, 4) has the scales 1 and 1/2: (3, 4) becomes (3, 2).
    /// let rescaled = Factored::new(1, 1, 2, vec![3.0, 4.0])?.rescaled(&[1.0, 0.5])?;
    /// assert_eq!(rescaled.sample_sharpness(0)?, 13.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn rescaled(&self, scales: &[f64]) -> Result<Self> {
        require_len("number of scales", self.dim, scales.len())?;
        if let Some(&value) = scales.iter().find(|&&scale| !(scale > 0.0 && scale.is_finite())) {
            return Err(LinalgError::OutOfRange { name: "a scale", value, allowed: "positive and finite" });
        }
        let rows = self.rows.iter().enumerate().map(|(at, entry)| entry * scales[at % self.dim]).collect();
        Self::new(self.num_samples, self.num_factors, self.dim, rows)
    }

    /// Number of factors a sample, `k`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::Factored;
    /// assert_eq!(Factored::new(2, 3, 1, vec![1.0; 6])?.num_factors(), 3);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn num_factors(&self) -> usize {
        self.num_factors
    }

    /// All factors as the rows of a (num_samples * num_factors, dim) matrix.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::Factored;
    /// // Two samples of two factors in one dimension: factor 0 of sample 1 is row 2.
    /// assert_eq!(Factored::new(2, 2, 1, vec![1.0, 2.0, 3.0, 4.0])?.rows()[(2, 0)], 3.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn rows(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.rows, self.num_samples * self.num_factors, self.dim)
    }

    /// The factors of one sample as the columns of a (dim, num_factors) matrix `F_i`, `H_i = F_i F_i^T`.
    ///
    /// # Panics
    /// If `sample >= num_samples()`.
    /// # Examples
    /// ```
    /// use linstab_linalg::Factored;
    /// let ensemble = Factored::new(2, 1, 2, vec![1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!((ensemble.factors(1)[(0, 0)], ensemble.factors(1)[(1, 0)]), (3.0, 4.0));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn factors(&self, sample: usize) -> MatRef<'_, f64> {
        let size = self.num_factors * self.dim;
        let rows = &self.rows[sample * size..(sample + 1) * size];
        MatRef::from_column_major_slice(rows, self.dim, self.num_factors)
    }
}

impl Ensemble for Factored {
    fn num_samples(&self) -> usize {
        self.num_samples
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn as_factored(&self) -> Option<&Factored> {
        Some(self)
    }

    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        let factors = self.factors(sample);
        factors * factors.transpose()
    }

    fn mean_hessian(&self) -> Mat<f64> {
        let rows = self.rows();
        rows.transpose() * rows * faer::Scale(1.0 / self.num_samples as f64)
    }

    fn sum_of_sandwiches(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Mat::zeros(self.dim, self.dim);
        for sample in 0..self.num_samples {
            let factors = self.factors(sample);
            let inner = factors.transpose() * x * factors;
            sum += factors * inner * factors.transpose();
        }
        sum
    }

    fn trace_of_product(&self, i: usize, j: usize) -> f64 {
        (self.factors(i).transpose() * self.factors(j)).squared_norm_l2()
    }

    fn sample_sharpness(&self, sample: usize) -> Result<f64> {
        let factors = self.factors(sample);
        symmetric::top_eigenvalue((factors.transpose() * factors).as_ref())
    }
}
