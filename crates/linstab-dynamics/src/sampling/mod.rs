//! How batches are drawn: schemes, each of which enters the mean-square theory as two numbers.
//!
//! What a scheme is stands in `scheme`, how it draws in `sampler`. Batches that are cut from an order of all samples depend on one
//! another and have no such numbers: `epochs`.

mod bit_set;
mod count_law;
mod epochs;
mod sampler;
mod scheme;

pub use bit_set::BitSet;
pub use count_law::CountLaw;
pub use epochs::{EpochOrder, EpochSampling, LastBatch, Loader};
pub use sampler::BatchSampler;
pub(crate) use scheme::RemainingDraws;
pub use scheme::{MomentWeights, SamplingScheme};

use crate::{DynamicsError, Result};

/// A sampling scheme with its sizes, checked: batch curvature `H_t = (1/B) sum_{i in batch} H_i`.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 100, 10)?;
/// assert_eq!((sampling.num_samples(), sampling.batch_size()), (100, 10));
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSampling {
    scheme: SamplingScheme,
    num_samples: usize,
    batch_size: usize,
}

impl BatchSampling {
    /// A scheme for batches of `batch_size` out of `num_samples`.
    ///
    /// # Errors
    /// [`DynamicsError::BatchSizeOutOfRange`] unless `1 <= batch_size <= num_samples`.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, DynamicsError, SamplingScheme};
    /// assert!(BatchSampling::new(SamplingScheme::Bernoulli, 4, 4).is_ok());
    /// let error = BatchSampling::new(SamplingScheme::Bernoulli, 4, 0).unwrap_err();
    /// assert_eq!(error, DynamicsError::BatchSizeOutOfRange { batch_size: 0, num_samples: 4 });
    /// ```
    pub fn new(scheme: SamplingScheme, num_samples: usize, batch_size: usize) -> Result<Self> {
        if batch_size == 0 || batch_size > num_samples {
            return Err(DynamicsError::BatchSizeOutOfRange { batch_size, num_samples });
        }
        Ok(Self { scheme, num_samples, batch_size })
    }

    /// The scheme.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme};
    /// assert_eq!(BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?.scheme(), SamplingScheme::Bernoulli);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn scheme(self) -> SamplingScheme {
        self.scheme
    }

    /// Number of samples `n` that batches are drawn from.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme};
    /// assert_eq!(BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?.num_samples(), 4);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn num_samples(self) -> usize {
        self.num_samples
    }

    /// Batch size `B`; for Bernoulli sampling the expected one.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme};
    /// assert_eq!(BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?.batch_size(), 1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn batch_size(self) -> usize {
        self.batch_size
    }

    /// The scheme as two numbers.
    ///
    /// # Accuracy
    /// One rounding each. A full batch without replacement has exactly `per_sample = 0`, also for `n = 1`.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme};
    /// // p = (4 - 2) / (2 * 3) = 1/3.
    /// let weights = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 2)?.moment_weights();
    /// assert!((weights.full_batch - 2.0 / 3.0).abs() < 1e-15 && (weights.per_sample - 1.0 / 3.0).abs() < 1e-15);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Fixed-size batches: Mulayoff and Michaeli 2024; Bernoulli: arXiv 2511.17378, eq. (33).
    pub fn moment_weights(self) -> MomentWeights {
        self.scheme.moment_weights(self.num_samples, self.batch_size)
    }

    /// Variance of a batch curvature `(1/B) sum_{i in batch} h_i` from the mean, the variance and the mean square of
    /// the per-sample curvatures `h_i`.
    pub(crate) fn batch_variance(self, variance: f64, mean_square: f64) -> f64 {
        let MomentWeights { per_sample, excess, .. } = self.moment_weights();
        if self.scheme.has_fixed_batch_size() {
            return per_sample * variance;
        }
        per_sample * mean_square + excess * (mean_square - variance)
    }
}
