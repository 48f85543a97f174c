//! How batches are drawn: three schemes, each of which enters the mean-square theory as two numbers.

mod bit_set;
mod count_law;
mod sampler;

pub use bit_set::BitSet;
pub use count_law::CountLaw;
pub use sampler::BatchSampler;

use crate::{DynamicsError, Result};

/// How the samples of a batch are chosen, independently from step to step.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// // Batches of two out of four: without replacement they keep a third of the variance of one sample, with it a half.
/// for (scheme, per_sample) in [
///     (SamplingScheme::WithoutReplacement, 1.0 / 3.0),
///     (SamplingScheme::WithReplacement, 1.0 / 2.0),
///     (SamplingScheme::Bernoulli, 1.0 / 4.0),
/// ] {
///     assert_eq!(BatchSampling::new(scheme, 4, 2)?.moment_weights().per_sample, per_sample);
/// }
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum SamplingScheme {
    /// A uniformly random subset of exactly `B` samples: what data loaders do within an epoch.
    WithoutReplacement,
    /// `B` independent uniform draws; a sample can occur several times.
    WithReplacement,
    /// Each sample is in the batch with probability `B / n`, independently; the sum is still divided by `B`.
    /// The batch size is then `B` on average only. This is what arXiv 2511.17378 and Dexter et al. 2024 analyse.
    Bernoulli,
}

impl SamplingScheme {
    /// The scheme's name in configurations and tables.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert_eq!(SamplingScheme::WithoutReplacement.name(), "without-replacement");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutReplacement => "without-replacement",
            Self::WithReplacement => "with-replacement",
            Self::Bernoulli => "bernoulli",
        }
    }
}

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

/// The two numbers that a sampling scheme is, as far as second moments go:
/// `E[H_t X H_t] = full_batch * H X H + (per_sample / n) * sum_i H_i X H_i`.
///
/// | scheme | full_batch | per_sample |
/// |---|---|---|
/// | without replacement | `1 - p`, `p = (n-B) / (B(n-1))` | `p` |
/// | with replacement | `1 - 1/B` | `1/B` |
/// | Bernoulli | `1` | `1/B - 1/n` |
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// // One sample at a time: E h_t^2 is the mean of the squares, whatever the square of the mean.
/// let weights = BatchSampling::new(SamplingScheme::WithReplacement, 4, 1)?.moment_weights();
/// assert_eq!((weights.full_batch, weights.per_sample), (0.0, 1.0));
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentWeights {
    /// Weight of `H X H`.
    pub full_batch: f64,
    /// Weight of the sample mean of `H_i X H_i`.
    pub per_sample: f64,
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
        let (n, b) = (self.num_samples as f64, self.batch_size as f64);
        match self.scheme {
            SamplingScheme::WithoutReplacement => {
                let per_sample =
                    if self.batch_size == self.num_samples { 0.0 } else { (n - b) / (b * (n - 1.0)) };
                MomentWeights { full_batch: 1.0 - per_sample, per_sample }
            }
            SamplingScheme::WithReplacement => {
                MomentWeights { full_batch: 1.0 - 1.0 / b, per_sample: 1.0 / b }
            }
            SamplingScheme::Bernoulli => MomentWeights { full_batch: 1.0, per_sample: (n - b) / (n * b) },
        }
    }

    /// Variance of a batch curvature `(1/B) sum_{i in batch} h_i` from the mean, the variance and the mean square of
    /// the per-sample curvatures `h_i`.
    pub(crate) fn batch_variance(self, variance: f64, mean_square: f64) -> f64 {
        let weights = self.moment_weights();
        match self.scheme {
            SamplingScheme::WithoutReplacement | SamplingScheme::WithReplacement => {
                weights.per_sample * variance
            }
            SamplingScheme::Bernoulli => weights.per_sample * mean_square,
        }
    }
}
