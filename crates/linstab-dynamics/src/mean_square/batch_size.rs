//! The smallest stable batch.

use super::MeanSquare;
use super::solver::ThresholdSolver;
use crate::error::require_nonnegative;
use crate::{BatchSampling, Result};

impl MeanSquare {
    /// The smallest batch size at which a learning rate is below the mean-square threshold; `None` if it is for none up to the
    /// number of samples.
    ///
    /// The threshold does not decrease with the batch size, so bisection finds it.
    /// # Cost
    /// `log2 n` thresholds.
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a bad learning rate; otherwise as [`MeanSquare::max_learning_rate`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1, 1, 1, 3: l = 3/2 and s^2 = 3/4 (4 - B) / (3 B), so the thresholds 2 l / (l^2 + s^2) of batches of
    /// // 1, 2, 3, 4 are 1, 6/5, 9/7, 4/3.
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert_eq!(sgd.min_batch_size(1.1)?, Some(2));
    /// assert_eq!(sgd.min_batch_size(1.3)?, Some(4));
    /// assert_eq!(sgd.min_batch_size(1.4)?, None);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn min_batch_size(&self, learning_rate: f64) -> Result<Option<usize>> {
        ThresholdSolver::new(&self.plain).min_batch_size(self, learning_rate)
    }
}

impl ThresholdSolver {
    /// The smallest stable batch, as [`MeanSquare::min_batch_size`].
    ///
    /// # Errors
    /// As [`MeanSquare::min_batch_size`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert_eq!(ThresholdSolver::new(&ensemble).min_batch_size(&sgd, 1.9)?, Some(1));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn min_batch_size(&mut self, analysis: &MeanSquare, learning_rate: f64) -> Result<Option<usize>> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let (scheme, num_samples) = (analysis.sampling.scheme(), analysis.sampling.num_samples());
        let mut stable = |batch_size: usize| -> Result<bool> {
            let sampling = BatchSampling::new(scheme, num_samples, batch_size)?;
            let threshold = self.max_learning_rate(&MeanSquare { sampling, ..analysis.clone() })?;
            Ok(learning_rate < threshold.value)
        };
        if analysis.effective.rank() == 0 {
            return Ok(Some(1));
        }
        if !stable(num_samples)? {
            return Ok(None);
        }
        let (mut unstable, mut enough) = (0, num_samples);
        while enough - unstable > 1 {
            let middle = unstable + (enough - unstable) / 2;
            if stable(middle)? { enough = middle } else { unstable = middle }
        }
        Ok(Some(enough))
    }
}
