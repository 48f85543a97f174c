//! What closed-form criteria depend on.

use linstab_linalg::Ensemble;

use crate::{CoherenceError, Result};

/// What the criteria depend on.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::{self, Problem};
/// let sgd = Problem {
///     num_samples: 100, batch_size: 50, coherence: 4.0, sharpness: 2.0, min_eigenvalue: 0.5, rho_over_alpha: 0.0,
/// };
/// // n/B - 1 = 1, so the divergence criterion is sigma / l_1; SAM with c = 2 has it divided by 1 + 2 * 0.5.
/// assert_eq!(criteria::divergence(&sgd), 2.0);
/// assert_eq!(criteria::divergence(&Problem { rho_over_alpha: 2.0, ..sgd }), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem {
    /// Number of samples `n`.
    pub num_samples: usize,
    /// Batch size `B`, from 1 to `n`.
    pub batch_size: usize,
    /// Coherence measure `sigma`, positive.
    pub coherence: f64,
    /// Largest eigenvalue of the mean curvature, `l_1`, positive.
    pub sharpness: f64,
    /// Smallest eigenvalue of the mean curvature, `l_min`, nonnegative; 0 if there are flat directions.
    pub min_eigenvalue: f64,
    /// `c = rho / alpha`, nonnegative; 0 for SGD.
    pub rho_over_alpha: f64,
}

impl Problem {
    /// The problem that an ensemble of known coherence measure poses.
    ///
    /// # Errors
    /// [`CoherenceError::OutOfRange`] for a bad `batch_size`, `coherence` or `rho_over_alpha`,
    /// [`CoherenceError::NoCurvature`], or [`CoherenceError::Linalg`] if the eigenvalue iteration fails.
    /// # Examples
    /// ```
    /// use linstab_coherence::criteria::Problem;
    /// use linstab_linalg::AxisAligned;
    /// // The mean of diag(4, 0) and diag(0, 1) is diag(2, 1/2).
    /// let ensemble = AxisAligned::from_diagonals(&[vec![4.0, 0.0], vec![0.0, 1.0]])?;
    /// let problem = Problem::of(&ensemble, 1.0, 1, 0.0)?;
    /// assert_eq!((problem.num_samples, problem.sharpness, problem.min_eigenvalue), (2, 2.0, 0.5));
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn of(
        ensemble: &dyn Ensemble,
        coherence: f64,
        batch_size: usize,
        rho_over_alpha: f64,
    ) -> Result<Self> {
        let num_samples = ensemble.num_samples();
        if batch_size == 0 || batch_size > num_samples {
            let value = batch_size as f64;
            return Err(CoherenceError::OutOfRange {
                name: "batch_size",
                value,
                allowed: "1 to num_samples",
            });
        }
        if !(coherence > 0.0 && coherence.is_finite()) {
            let allowed = "positive and finite";
            return Err(CoherenceError::OutOfRange { name: "coherence", value: coherence, allowed });
        }
        if !(rho_over_alpha >= 0.0 && rho_over_alpha.is_finite()) {
            let (value, allowed) = (rho_over_alpha, "nonnegative and finite");
            return Err(CoherenceError::OutOfRange { name: "rho_over_alpha", value, allowed });
        }
        let eigenvalues = ensemble.mean_eigenvalues()?;
        match (eigenvalues.first(), eigenvalues.last()) {
            (Some(&min_eigenvalue), Some(&sharpness)) if sharpness > 0.0 => {
                let min_eigenvalue = min_eigenvalue.max(0.0);
                Ok(Self { num_samples, batch_size, coherence, sharpness, min_eigenvalue, rho_over_alpha })
            }
            _ => Err(CoherenceError::NoCurvature),
        }
    }

    /// `n / B - 1`, the relative variance of Bernoulli sampling.
    pub(super) fn sampling_noise(&self) -> f64 {
        (self.num_samples - self.batch_size) as f64 / self.batch_size as f64
    }
}
