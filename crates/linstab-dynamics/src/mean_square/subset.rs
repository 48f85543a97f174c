//! Samples that speak for a population.

use super::MeanSquare;
use crate::sampling::MomentWeights;
use crate::{BatchSampling, DynamicsError, Optimizer, Result};
use linstab_linalg::Reduced;

impl MeanSquare {
    /// The analysis of training on a population from which the samples of `ensemble` were drawn without replacement: batches are those of the
    /// population, whose size `sampling` has.
    ///
    /// The two numbers of the scheme are those of the population, corrected: the term `H X H` of the samples is, on average, that of the
    /// population and `kappa = (N - n) / (n (N - 1))` of the difference between the mean of `H_i X H_i` and that. A batch so large that
    /// less than no noise would be left has none.
    ///
    /// # Errors
    /// As [`MeanSquare::new`]; [`DynamicsError::SizeMismatch`] for a population smaller than its samples, or one sample of several.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let of_a_thousand = BatchSampling::new(SamplingScheme::WithoutReplacement, 1000, 1)?;
    /// let sgd = MeanSquare::of_subset(&ensemble, Optimizer::sgd(), of_a_thousand)?;
    /// // E h = 2 and E h^2 = (1 + 9) / 2 whatever is corrected: batches of one know no mean of two.
    /// assert!((sgd.max_learning_rate()?.value - 2.0 * 2.0 / 5.0).abs() < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn of_subset(ensemble: &Reduced, optimizer: Optimizer, sampling: BatchSampling) -> Result<Self> {
        let (expected, found) = (ensemble.num_samples(), sampling.num_samples());
        if found < expected || (expected == 1 && found > 1) {
            let what = "number of samples of the population";
            return Err(DynamicsError::SizeMismatch { what, expected, found });
        }
        Self::unchecked(ensemble, optimizer, sampling)
    }

    /// Refuses what draws batches, where most of what they are drawn from is not at hand.
    pub(crate) fn require_whole(&self) -> Result<()> {
        crate::second_moment::require_same_number(self.effective.num_samples(), self.sampling)
    }

    /// The two numbers of the scheme, for a subset corrected.
    pub(super) fn moment_weights(&self) -> MomentWeights {
        let weights = self.sampling.moment_weights();
        let (n, population) = (self.effective.num_samples() as f64, self.sampling.num_samples() as f64);
        if population <= n {
            return weights;
        }
        let kappa = (population - n) / (n * (population - 1.0));
        let per_sample = weights.per_sample - weights.full_batch * kappa / (1.0 - kappa);
        if per_sample <= 0.0 {
            return MomentWeights { full_batch: 1.0, per_sample: 0.0, excess: 0.0 };
        }
        let excess = (weights.excess + kappa) / (1.0 - kappa);
        MomentWeights { full_batch: weights.full_batch / (1.0 - kappa), per_sample, excess }
    }
}
