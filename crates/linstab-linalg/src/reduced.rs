//! Any ensemble in the eigenbasis of its mean curvature, with everything outside of the range of the mean left out.
//!
//! With the factors of all samples as rows of `G` (num_samples * num_factors, dim), `H_i = F_i F_i^T` and
//! `H = (1/n) G^T G`, the Gram matrix `K = G G^T` has the eigenvalues `n l` of `n H`. If `K = U diag(n l) U^T`, row (i, q) of
//! `V = U diag(sqrt(n l))` is factor q of sample i in the eigenbasis of `H`: there `H = diag(l)` and `H_i = V_i^T V_i`. The
//! parameter dimension enters only the product that makes `K`. If there are fewer parameters than factors, the
//! eigenvectors of `G^T G` give the same `V` at less cost.

use std::sync::Arc;

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Par};

use crate::ensemble::{require_len, require_samples};
use crate::{Ensemble, Factored, Mat, MatRef, Result, symmetric};

/// Eigenvalues of the mean curvature at most this times the largest are taken for zero: they are below the rounding of a Gram matrix
/// of a few thousand rows. [`Reduced::num_dropped`] says how many there are; a threshold moves by no more than about this fraction
/// for each (times `((1 + beta) / (1 - beta))^2` with momentum beta), and intervals allow for it.
pub const RANK_TOLERANCE: f64 = 1e-13;

/// An ensemble in the eigenbasis of its mean curvature.
///
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Reduced};
/// // Three samples along one direction of a thousand: all that is left is a scalar problem.
/// let mut rows = vec![0.0; 3000];
/// (rows[7], rows[1007], rows[2007]) = (1.0, 1.0, 2.0);
/// let reduced = Reduced::of(&Factored::new(3, 1, 1000, rows)?)?;
/// assert_eq!(reduced.rank(), 1);
/// assert!((reduced.mean_eigenvalues()[0] - 2.0).abs() < 1e-14); // (1 + 1 + 4) / 3
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Reduced {
    num_samples: usize,
    num_factors: usize,
    mean_eigenvalues: Vec<f64>,
    num_dropped: usize,
    /// Shared: a congruence by the identity, and any copy, costs nothing.
    factors: Arc<Mat<f64>>,
}

impl Ensemble for Reduced {
    fn num_samples(&self) -> usize {
        self.num_samples
    }

    fn dim(&self) -> usize {
        self.mean_eigenvalues.len()
    }

    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        let block = self.factors.as_ref().subrows(sample * self.num_factors, self.num_factors);
        block.transpose() * block
    }
}

impl Reduced {
    /// Reduces an ensemble: by its factors if it holds them, else by factors that are made of its curvatures.
    ///
    /// # Cost
    /// With `m = min(num_samples * num_factors, dim)`: one product of `m^2 max(..)` and one eigenproblem of order `m`.
    /// # Accuracy
    /// Directions with mean curvature at most [`RANK_TOLERANCE`] times the largest are left out.
    /// # Errors
    /// [`crate::LinalgError::NoConvergence`] if the eigenvalue iteration fails, as it does when products of factors overflow; without
    /// factors also the errors of [`Factored::from_ensemble`].
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // Two samples in three dimensions: the mean curvature diag(2, 0.5, 0) has rank 2.
    /// let reduced = Reduced::of(&Factored::new(2, 1, 3, vec![2.0, 0.0, 0.0, 0.0, 1.0, 0.0])?)?;
    /// assert_eq!(reduced.rank(), 2);
    /// assert!((reduced.mean_eigenvalues()[0] - 2.0).abs() < 1e-15);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn of(ensemble: &dyn Ensemble) -> Result<Self> {
        match ensemble.as_factored() {
            Some(factored) => Self::of_factored(factored),
            None => Self::of_factored(&Factored::from_ensemble(ensemble)?),
        }
    }

    fn of_factored(ensemble: &Factored) -> Result<Self> {
        let rows = ensemble.rows();
        if rows.nrows() <= rows.ncols() {
            let (num_samples, num_factors) = ensemble_sizes(ensemble);
            Self::from_gram(gram(rows).as_ref(), num_samples, num_factors)
        } else {
            Self::from_covariance(rows, ensemble_sizes(ensemble))
        }
    }

    /// Reduces the ensemble whose factors have these inner products: all that the analysis needs of them.
    ///
    /// # Shapes
    /// `gram`: (num_samples * num_factors, num_samples * num_factors), the lower triangle of `G G^T`.
    /// # Cost
    /// One eigenproblem.
    /// # Accuracy
    /// As [`Reduced::of`]. Negative eigenvalues, which inner products have by rounding only, count as zero.
    /// # Errors
    /// [`crate::LinalgError::EmptyEnsemble`], [`crate::LinalgError::ShapeMismatch`] for a matrix of another order,
    /// [`crate::LinalgError::NoConvergence`] on NaN or infinity.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Mat, Reduced};
    /// // Two orthogonal factors of squared length 4 and 1.
    /// let gram = Mat::from_fn(2, 2, |i, j| if i == j { [4.0, 1.0][i] } else { 0.0 });
    /// let reduced = Reduced::from_gram(gram.as_ref(), 2, 1)?;
    /// assert_eq!(reduced.mean_eigenvalues(), &[2.0, 0.5]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn from_gram(gram: MatRef<'_, f64>, num_samples: usize, num_factors: usize) -> Result<Self> {
        require_samples(num_samples)?;
        require_len("order of the Gram matrix", num_samples.saturating_mul(num_factors), gram.nrows())?;
        let (values, vectors) = symmetric::eigenpairs(gram)?;
        let kept = kept(&values);
        let n = num_samples as f64;
        let factors =
            Mat::from_fn(gram.nrows(), kept.len(), |row, a| vectors[(row, kept[a])] * values[kept[a]].sqrt());
        let mean_eigenvalues = kept.iter().map(|&a| values[a] / n).collect();
        let num_dropped = gram.nrows() - kept.len();
        Ok(Self { num_samples, num_factors, mean_eigenvalues, num_dropped, factors: Arc::new(factors) })
    }

    fn from_covariance(rows: MatRef<'_, f64>, (num_samples, num_factors): (usize, usize)) -> Result<Self> {
        let (values, vectors) = symmetric::eigenpairs(gram(rows.transpose()).as_ref())?;
        let kept = kept(&values);
        let basis = Mat::from_fn(rows.ncols(), kept.len(), |row, a| vectors[(row, kept[a])]);
        let n = num_samples as f64;
        let mean_eigenvalues = kept.iter().map(|&a| values[a] / n).collect();
        let num_dropped = rows.ncols() - kept.len();
        let factors = Arc::new(rows * basis);
        Ok(Self { num_samples, num_factors, mean_eigenvalues, num_dropped, factors })
    }

    /// Number of samples `n`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// let reduced = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// assert_eq!(reduced.num_samples(), 2);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn num_samples(&self) -> usize {
        self.num_samples
    }

    /// Number of factors a sample `k`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// let reduced = Reduced::of(&Factored::new(1, 2, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// assert_eq!(reduced.num_factors(), 2);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn num_factors(&self) -> usize {
        self.num_factors
    }

    /// Rank of the mean curvature: the dimension of the reduced space. 0 if there is no curvature at all.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// let parallel = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 1.0, 2.0, 2.0])?)?;
    /// let flat = Reduced::of(&Factored::new(2, 1, 2, vec![0.0; 4])?)?;
    /// assert_eq!((parallel.rank(), flat.rank()), (1, 0));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn rank(&self) -> usize {
        self.mean_eigenvalues.len()
    }

    /// Directions that were left out: those without curvature, and those below [`RANK_TOLERANCE`].
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // Two samples along one of three directions.
    /// let reduced = Reduced::of(&Factored::new(2, 1, 3, vec![1.0, 0.0, 0.0, 2.0, 0.0, 0.0])?)?;
    /// assert_eq!((reduced.rank(), reduced.num_dropped()), (1, 1));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn num_dropped(&self) -> usize {
        self.num_dropped
    }

    /// Nonzero eigenvalues of the mean curvature, descending.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // The mean of diag(1, 0) and diag(0, 4) is diag(1/2, 2).
    /// let reduced = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 0.0, 0.0, 2.0])?)?;
    /// let eigenvalues = reduced.mean_eigenvalues();
    /// assert!((eigenvalues[0] - 2.0).abs() < 1e-15 && (eigenvalues[1] - 0.5).abs() < 1e-15);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn mean_eigenvalues(&self) -> &[f64] {
        &self.mean_eigenvalues
    }

    /// The factors in the eigenbasis, (num_samples * num_factors, rank): row `i * num_factors + q` is factor `q` of sample
    /// `i`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // (3, 4) has length 5, and the only direction left is its own; the sign is that of an eigenvector.
    /// let reduced = Reduced::of(&Factored::new(1, 1, 2, vec![3.0, 4.0])?)?;
    /// assert!((reduced.factors()[(0, 0)].abs() - 5.0).abs() < 1e-14);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn factors(&self) -> MatRef<'_, f64> {
        self.factors.as_ref().as_ref()
    }

    /// Whether this is a copy of another, which shares its factors.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// let reduced = Reduced::of(&Factored::new(1, 1, 1, vec![2.0])?)?;
    /// assert!(reduced.clone().shares_factors_with(&reduced));
    /// assert!(!reduced.congruent(|_| 2.0).shares_factors_with(&reduced));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    #[must_use]
    pub fn shares_factors_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.factors, &other.factors)
    }

    /// The congruence by `diag(scale(l_a))`: each factor's coordinate `a` is multiplied by `scale(l_a)`, so that the mean
    /// curvature becomes `diag(l_a scale(l_a)^2)`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // SAM with c = 1 is the congruence by sqrt(1 + l): the mean diag(2, 1/2) becomes diag(2 * 3, 1/2 * 3/2).
    /// let reduced = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// let congruent = reduced.congruent(|l| (1.0 + l).sqrt());
    /// let eigenvalues = congruent.mean_eigenvalues();
    /// assert!((eigenvalues[0] - 6.0).abs() < 1e-14 && (eigenvalues[1] - 0.75).abs() < 1e-14);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    #[must_use]
    pub fn congruent(&self, scale: impl Fn(f64) -> f64) -> Self {
        let scales: Vec<f64> = self.mean_eigenvalues.iter().map(|&l| scale(l)).collect();
        if scales.iter().all(|scale| scale.to_bits() == 1.0_f64.to_bits()) {
            return self.clone();
        }
        let factors =
            Mat::from_fn(self.factors.nrows(), self.rank(), |row, a| self.factors[(row, a)] * scales[a]);
        let mean_eigenvalues = self.mean_eigenvalues.iter().zip(&scales).map(|(l, s)| l * s * s).collect();
        Self { mean_eigenvalues, factors: Arc::new(factors), ..*self }
    }

    /// The curvatures in the directions of the largest mean eigenvalues alone: a coarse space.
    ///
    /// # Panics
    /// If there are fewer directions.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// let reduced = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// assert_eq!(reduced.leading(1).mean_eigenvalues(), &reduced.mean_eigenvalues()[..1]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn leading(&self, num_directions: usize) -> Self {
        assert!(num_directions <= self.rank(), "{num_directions} of {} directions", self.rank());
        let factors = self.factors.subcols(0, num_directions).to_owned();
        let mean_eigenvalues = self.mean_eigenvalues.iter().take(num_directions).copied().collect();
        Self { mean_eigenvalues, factors: Arc::new(factors), ..*self }
    }

    /// The reduced space's vector `x` as a combination of the original factors: the coefficients `c` with
    /// `direction = sum_row c_row f_row` in parameter space. An isometry for the reduction itself, not for a congruent copy.
    ///
    /// # Shapes
    /// `x`: (rank); the result: (num_samples * num_factors).
    /// # Panics
    /// If `x` has another length.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Factored, Reduced};
    /// // The sharpest direction is that of the first factor, (2, 0): half of it has length 1.
    /// let reduced = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// let coefficients = reduced.coefficients_of(&[1.0, 0.0]);
    /// assert!((coefficients[0].abs() - 0.5).abs() < 1e-15 && coefficients[1].abs() < 1e-15);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn coefficients_of(&self, x: &[f64]) -> Vec<f64> {
        assert!(x.len() == self.rank(), "a vector of {} in a space of rank {}", x.len(), self.rank());
        let n = self.num_samples as f64;
        let weights: Vec<f64> = x.iter().zip(&self.mean_eigenvalues).map(|(x, l)| x / (n * l)).collect();
        (0..self.factors.nrows())
            .map(|row| (0..self.rank()).map(|a| self.factors[(row, a)] * weights[a]).sum())
            .collect()
    }
}

fn ensemble_sizes(ensemble: &Factored) -> (usize, usize) {
    (ensemble.num_samples(), ensemble.num_factors())
}

/// `rows rows^T`, lower triangle.
fn gram(rows: MatRef<'_, f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(rows.nrows(), rows.nrows());
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(&mut gram, lower, Accum::Replace, rows, full, rows.transpose(), full, 1.0, Par::Seq);
    gram
}

/// Indices of the eigenvalues that are not zero, the largest first.
fn kept(ascending: &[f64]) -> Vec<usize> {
    let largest = ascending.last().copied().unwrap_or(0.0);
    (0..ascending.len()).rev().take_while(|&a| ascending[a] > RANK_TOLERANCE * largest).collect()
}
