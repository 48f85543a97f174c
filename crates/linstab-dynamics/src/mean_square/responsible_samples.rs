//! The samples responsible for a threshold, and the share of the full batch in it.

use super::columns::map_columns;
use super::{MeanSquare, Threshold};
use crate::{DynamicsError, Result};

/// What limits the learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponsibleSamples {
    /// Share of each sample in the critical second moment: `(b/n) tr(H_i X H_i X)` relative to the sum of these and of the
    /// full-batch part, which is [`ResponsibleSamples::full_batch_forcing`]. All shares together are 1.
    pub sample_shares: Vec<f64>,
    /// Share of `a tr(H X H X)`, the forcing by the full batch.
    pub full_batch_forcing: f64,
}

impl MeanSquare {
    /// The samples responsible for a threshold. Empty without curvature.
    ///
    /// At the threshold the critical matrix `X` balances the forcing `a H X H + (b/n) sum_i H_i X H_i` against the damping, which
    /// is `(X H + H X) / eta*` without momentum (see the [module documentation](super)); the inner product with `X` splits the
    /// forcing into the full batch and the samples.
    /// # Errors
    /// [`crate::DynamicsError::SizeMismatch`] for the threshold of an ensemble of another rank.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Orthogonal samples of curvature 1 and 4, batches of one: only the second stands in the way of 2/1.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 0.0, 0.0, 2.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let responsible = sgd.responsible_samples(&sgd.max_learning_rate()?)?;
    /// assert!((responsible.sample_shares[1] - 1.0).abs() < 1e-9 && responsible.sample_shares[0] < 1e-9);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn responsible_samples(&self, threshold: &Threshold) -> Result<ResponsibleSamples> {
        let rank = self.effective.rank();
        let moment = self.packed_moment(threshold)?;
        if rank == 0 {
            return Ok(ResponsibleSamples {
                sample_shares: vec![0.0; self.effective.num_samples()],
                full_batch_forcing: 0.0,
            });
        }
        let (h, weights) = (self.effective.mean_eigenvalues(), self.moment_weights());
        let parts = map_columns(rank, moment, |column, entries| {
            let terms = entries.iter().zip(&h[column..]).map(|(x, h)| h * x * x);
            h[column] * terms.sum::<f64>()
        });
        let full_batch = weights.full_batch * parts.iter().sum::<f64>();
        let per_sample = self.sample_weight();
        let k = self.effective.num_factors();
        let squares = self.blocks_of_samples(threshold)?.chunks_exact(k * k);
        let samples: Vec<f64> =
            squares.map(|block| per_sample * block.iter().map(|x| x * x).sum::<f64>()).collect();
        let total = full_batch + samples.iter().sum::<f64>();
        Ok(ResponsibleSamples {
            sample_shares: samples.iter().map(|term| term / total).collect(),
            full_batch_forcing: full_batch / total,
        })
    }

    /// Share of the full-batch curvature in what limits the learning rate: near 1 it is sharpness, near 0 gradient noise; `None` without
    /// curvature.
    ///
    /// At the threshold damping balances what is put back; the share is the quotient of what the noise-free method puts back and what
    /// damping takes, the two terms of `1 / s` in `memory_kernel`, in their inner products with the critical matrix. Between directions of
    /// curvatures below 1e-5 of the largest nothing counts as put back.
    ///
    /// # Errors
    /// [`crate::DynamicsError::SizeMismatch`] for the threshold of an ensemble of another rank.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 1.0])?)?;
    /// let full = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 2)?;
    /// let descent = MeanSquare::new(&ensemble, Optimizer::sgd(), full)?;
    /// let share = descent.full_batch_share(&descent.max_learning_rate()?)?;
    /// assert!((share.expect("it has curvature") - 1.0).abs() < 1e-12, "without noise all of it is sharpness");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn full_batch_share(&self, threshold: &Threshold) -> Result<Option<f64>> {
        self.require_own(threshold)?;
        let h = self.effective.mean_eigenvalues();
        if h.is_empty() {
            return Ok(None);
        }
        let (weights, lambda) = (self.critical_weights(), threshold.value.recip());
        let parts = map_columns(h.len(), &threshold.moment.leading, |column, entries| {
            entries.iter().zip(&h[column..]).fold((0.0, 0.0), |(put_back, damping), (x, &other)| {
                let (takes, puts) = weights.balance(lambda, other, h[column]);
                (put_back + x * x * puts, damping + x * x * takes)
            })
        });
        let (put_back, damping) = parts.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        let tail = threshold.moment.tail * self.sharpness().powi(2);
        Ok(Some((put_back / (damping + tail)).clamp(0.0, 1.0)))
    }

    /// Refuses the threshold of an ensemble of another rank.
    pub(super) fn require_own(&self, threshold: &Threshold) -> Result<()> {
        let (expected, found) = (self.effective.rank(), threshold.rank);
        if expected == found {
            return Ok(());
        }
        Err(DynamicsError::SizeMismatch { what: "rank of the critical second moment", expected, found })
    }
}
