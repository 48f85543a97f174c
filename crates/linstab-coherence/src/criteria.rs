//! Closed-form stability criteria of the literature, as the learning rates at which they switch.
//!
//! All of them assume Bernoulli sampling; the exact threshold of a fixed-size scheme can lie on the other side. Symbols:
//! `n` samples, `B` batch size, `sigma` coherence measure, `l_1`, `l_min` extreme eigenvalues of the mean curvature,
//! `c = rho / alpha` (0 for SGD).

use linstab_dynamics::optimizer::ascent;
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
    fn sampling_noise(&self) -> f64 {
        (self.num_samples - self.batch_size) as f64 / self.batch_size as f64
    }
}

/// The learning rate above which the published divergence criterion says that SAM, or with `c = 0` SGD, diverges.
///
/// Definition: `eta = sigma (n/B - 1)^{-1/2} / (l_1 (1 + c l_min))`; infinite for `B = n`, where the criterion is silent.
/// Divergence in mean square is certain above it; nothing is said below. The full-batch bound `2 / l_1`, which Dexter et
/// al. state beside it, is not folded in: take the minimum where it is wanted.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::{self, Problem};
/// let problem = Problem {
///     num_samples: 100, batch_size: 1, coherence: 50.0, sharpness: 2.0, min_eigenvalue: 0.04, rho_over_alpha: 0.0,
/// };
/// assert!((criteria::divergence(&problem) - 25.0 / 99.0_f64.sqrt()).abs() < 1e-15);
/// ```
/// # Source
/// arXiv 2511.17378, Theorem C.8, eq. (31), part 4 (main text: Theorem 3.2); for `c = 0` Dexter et al. 2024, Theorem 1, as
/// eq. (88) quotes it. It holds with a strict inequality.
pub fn divergence(problem: &Problem) -> f64 {
    let least = ascent(problem.rho_over_alpha, problem.min_eigenvalue);
    problem.coherence / (problem.sharpness * least * problem.sampling_noise().sqrt())
}

/// The learning rate up to which a mean-square stable ensemble of these numbers exists.
///
/// Definition: `eta = 2 sigma / (l_1 (1 + c l_1) (n/B - 1 + sigma))`. For the
/// [test family](linstab_linalg::AxisAligned::shared_direction) under Bernoulli sampling it is the exact threshold; for
/// any other ensemble it promises nothing.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::{self, Problem};
/// let problem = Problem {
///     num_samples: 100, batch_size: 10, coherence: 9.0, sharpness: 2.0, min_eigenvalue: 0.2, rho_over_alpha: 0.0,
/// };
/// assert_eq!(criteria::existence_of_stable(&problem), 0.5);
/// ```
/// # Source
/// arXiv 2511.17378, Theorem 3.3, eq. (87); for `c = 0` Dexter et al. 2024, Theorem 2, eq. (89).
pub fn existence_of_stable(problem: &Problem) -> f64 {
    let curvature = problem.sharpness * ascent(problem.rho_over_alpha, problem.sharpness);
    2.0 * problem.coherence / (curvature * (problem.sampling_noise() + problem.coherence))
}
