//! Ensembles of per-sample positive semidefinite (PSD) curvatures `H_1 .. H_n`.
//!
//! Everything linstab computes is a function of such an ensemble. Three representations share the [`Ensemble`]
//! trait; each is validated once, when it is built, so that the rest of the workspace never meets a NaN, a
//! non-symmetric or an indefinite curvature.
//!
//! | representation | storage | when |
//! |---|---|---|
//! | [`AxisAligned`] | nonzeros of diagonals | all `H_i` commute: synthetic families, phase diagrams |
//! | [`Dense`] | n matrices, dim x dim | small problems, oracles |
//! | [`Factored`] | n x k factors of length dim, `H_i = sum_q f_iq f_iq^T` | per-sample gradients, Gauss-Newton |

mod axis_aligned;
mod dense;
mod factored;

pub use axis_aligned::{Axis, AxisAligned};
pub use dense::{Dense, PSD_TOLERANCE, SYMMETRY_TOLERANCE};
pub use factored::Factored;

use crate::{LinalgError, Mat, MatRef, Result, symmetric};

/// A family of per-sample PSD curvatures `H_1 .. H_n` on a common parameter space.
///
/// The provided methods are the obvious definitions in terms of [`Ensemble::sample_hessian`]; representations
/// override those they can do faster, and the property tests tie each override to the definition.
///
/// # Examples
/// ```
/// use linstab_linalg::{Ensemble, Mat};
/// /// A representation of one's own: so many samples of scalar curvature 3.
/// #[derive(Debug)]
/// struct Copies(usize);
/// impl Ensemble for Copies {
///     fn num_samples(&self) -> usize {
///         self.0
///     }
///     fn dim(&self) -> usize {
///         1
///     }
///     fn sample_hessian(&self, _sample: usize) -> Mat<f64> {
///         Mat::from_fn(1, 1, |_, _| 3.0)
///     }
/// }
/// assert_eq!(Copies(4).sharpness()?, 3.0);
/// assert_eq!(Copies(4).trace_of_product(0, 1), 9.0);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
pub trait Ensemble: std::fmt::Debug + Sync {
    /// Number of samples `n`, at least 1.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// assert_eq!(AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]])?.num_samples(), 3);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn num_samples(&self) -> usize;

    /// Dimension of the parameter space.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// assert_eq!(AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]])?.dim(), 2);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn dim(&self) -> usize;

    /// The curvature `H_i` as a dense (dim, dim) matrix.
    ///
    /// # Panics
    /// If `sample >= num_samples()`.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// // f = (1, 2): f f^T has the rows (1, 2) and (2, 4).
    /// let hessian = Factored::new(1, 1, 2, vec![1.0, 2.0])?.sample_hessian(0);
    /// assert_eq!((hessian[(0, 0)], hessian[(0, 1)], hessian[(1, 1)]), (1.0, 2.0, 4.0));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn sample_hessian(&self, sample: usize) -> Mat<f64>;

    /// The curvature of the full-batch loss, `H = (1/n) sum_i H_i`, as a dense (dim, dim) matrix.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// // The mean of diag(4, 0) and diag(0, 1).
    /// let mean = Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?.mean_hessian();
    /// assert_eq!((mean[(0, 0)], mean[(0, 1)], mean[(1, 1)]), (2.0, 0.0, 0.5));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn mean_hessian(&self) -> Mat<f64> {
        let mut sum = Mat::zeros(self.dim(), self.dim());
        for sample in 0..self.num_samples() {
            sum += self.sample_hessian(sample);
        }
        sum * faer::Scale(1.0 / self.num_samples() as f64)
    }

    /// The same ensemble as factors, if it holds them: whoever needs factors takes these instead of making their own.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble, Factored};
    /// assert!(Factored::new(1, 1, 1, vec![2.0])?.as_factored().is_some());
    /// assert!(AxisAligned::from_diagonals(&[vec![4.0]])?.as_factored().is_none());
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn as_factored(&self) -> Option<&Factored> {
        None
    }

    /// `sum_i H_i X H_i` for a (dim, dim) matrix `X`.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored, Mat};
    /// // With the identity for X, the squares of diag(4, 0) and diag(0, 1).
    /// let sum = Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?.sum_of_sandwiches(Mat::identity(2, 2).as_ref());
    /// assert_eq!((sum[(0, 0)], sum[(0, 1)], sum[(1, 1)]), (16.0, 0.0, 1.0));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn sum_of_sandwiches(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Mat::zeros(self.dim(), self.dim());
        for sample in 0..self.num_samples() {
            let hessian = self.sample_hessian(sample);
            sum += &hessian * x * &hessian;
        }
        sum
    }

    /// `tr(H_i H_j)`, the squared entry of the coherence matrix.
    ///
    /// # Panics
    /// If an index is not below `num_samples()`.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// // For rank one it is the squared product of the factors: ((3, 4) (1, 0)^T)^2 = 9.
    /// let ensemble = Factored::new(2, 1, 2, vec![3.0, 4.0, 1.0, 0.0])?;
    /// assert_eq!(ensemble.trace_of_product(0, 1), 9.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn trace_of_product(&self, i: usize, j: usize) -> f64 {
        let (a, b) = (self.sample_hessian(i), self.sample_hessian(j));
        (0..self.dim()).map(|c| (0..self.dim()).map(|r| a[(r, c)] * b[(r, c)]).sum::<f64>()).sum()
    }

    /// Largest eigenvalue of one sample's curvature.
    ///
    /// # Errors
    /// [`LinalgError::NoConvergence`] if the eigenvalue iteration fails.
    /// # Panics
    /// If `sample >= num_samples()`.
    /// # Examples
    /// ```
    /// use linstab_linalg::{Ensemble, Factored};
    /// // For rank one it is the squared length of the factor.
    /// assert_eq!(Factored::new(1, 1, 2, vec![3.0, 4.0])?.sample_sharpness(0)?, 25.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn sample_sharpness(&self, sample: usize) -> Result<f64> {
        symmetric::top_eigenvalue(self.sample_hessian(sample).as_ref())
    }

    /// Eigenvalues of the mean curvature `H`, ascending, with multiplicity: `dim()` values.
    ///
    /// # Errors
    /// [`LinalgError::NoConvergence`] if the eigenvalue iteration fails.
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]])?;
    /// assert_eq!(ensemble.mean_eigenvalues()?, [0.0, 0.5, 2.0]);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn mean_eigenvalues(&self) -> Result<Vec<f64>> {
        symmetric::eigenvalues(self.mean_hessian().as_ref())
    }

    /// Sharpness: the largest eigenvalue of the mean curvature `H`.
    ///
    /// # Errors
    /// As [`Ensemble::mean_eigenvalues`].
    /// # Examples
    /// ```
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// // The mean is diag(2, 1/2): sharpness 2, although a single sample has 4.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0]])?;
    /// assert_eq!(ensemble.sharpness()?, 2.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    fn sharpness(&self) -> Result<f64> {
        Ok(self.mean_eigenvalues()?.last().copied().unwrap_or(0.0))
    }
}

pub(crate) fn require_samples(num_samples: usize) -> Result<()> {
    if num_samples == 0 { Err(LinalgError::EmptyEnsemble) } else { Ok(()) }
}

pub(crate) fn require_len(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(LinalgError::ShapeMismatch { what, expected, found }) }
}
