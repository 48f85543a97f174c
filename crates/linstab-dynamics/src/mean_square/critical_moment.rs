//! The second moment that a step at a threshold reproduces.

use linstab_linalg::{Mat, inner_products, packed};

use super::blocks::spread_blocks;
use super::family::{Family, InverseRate};
use super::sample_space::{CriticalMoment, Problem};
use super::{MeanSquare, Threshold};
use crate::Result;

impl MeanSquare {
    /// The critical second moment of a threshold: the `E w w^T` that one step there reproduces (with momentum, its block of the
    /// present iterate). (rank, rank), positive semidefinite to the residual of the iteration, of unit Frobenius norm, in the
    /// eigenbasis of the mean of the effective ensemble (for SAM that of `A^{1/2} w`). Where several directions lose stability at
    /// once it is one of many. Empty (0, 0) without curvature.
    ///
    /// # Errors
    /// [`crate::DynamicsError::SizeMismatch`] for the threshold of an ensemble of another rank.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Orthogonal samples of curvature 4 and 1, batches of one: the first alone limits the learning rate.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((sgd.critical_second_moment(&sgd.max_learning_rate()?)?[(0, 0)] - 1.0).abs() < 1e-6);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn critical_second_moment(&self, threshold: &Threshold) -> Result<Mat<f64>> {
        let moment = self.packed_moment(threshold)?;
        let norm = moment.iter().map(|x| x * x).sum::<f64>().sqrt();
        Ok(packed::unpack(moment, threshold.rank) * linstab_linalg::Scale(norm.recip()))
    }

    /// The critical second moment `P`, packed and of any norm; all columns of it, whatever the threshold has.
    pub(super) fn packed_moment<'a>(&self, threshold: &'a Threshold) -> Result<&'a [f64]> {
        self.require_own(threshold)?;
        let CriticalMoment { leading, blocks, all, .. } = &threshold.moment;
        if leading.len() == packed::packed_len(threshold.rank) {
            return Ok(leading);
        }
        Ok(all.get_or_make(|| {
            let unit = self.sharpness();
            let family = InverseRate { weights: self.critical_weights().in_units_of(unit) };
            let spread = spread_blocks(&self.plain, blocks, threshold.rank);
            self.problem(&family).moment((threshold.value * unit).recip(), spread)
        }))
    }

    /// `V_i P V_i^T` of every sample, row-major, one after the other.
    pub(super) fn blocks_of_samples<'a>(&self, threshold: &'a Threshold) -> Result<&'a [f64]> {
        let moment = self.packed_moment(threshold)?;
        Ok(threshold.moment.of_samples.get_or_make(|| inner_products(&self.effective, moment)))
    }

    /// The problem in sample space with the weights of a family.
    pub(super) fn problem<'a>(&self, family: &'a dyn Family) -> Problem<'a> {
        let congruence: Vec<f64> = self.congruence.iter().map(|root| root * root).collect();
        let effective = (self.effective.mean_eigenvalues(), self.sharpness());
        Problem::new(effective, &congruence, family, self.sample_weight())
    }
}
