//! Runs of an axis-aligned ensemble with batches by epochs.

use linstab_linalg::Ensemble as _;
use rand::{Rng, RngExt as _};

use super::AxisAlignedEpochs;
use crate::error::require_nonnegative;
use crate::sampling::EpochOrder;
use crate::simulation::{Divergence, Run};
use crate::{DynamicsError, Result};

impl AxisAlignedEpochs {
    /// One run from `start`, drawing an order of all samples an epoch from `rng`; it ends within an epoch if it diverges or its steps are made.
    ///
    /// # Shapes
    /// `start`: (dim), finite.
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] for a start of another length, [`DynamicsError::OutOfRange`] for one that is not finite, and for
    /// a bad learning rate.
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome};
    /// use linstab_dynamics::{Optimizer, epochs::AxisAlignedEpochs};
    /// use linstab_linalg::AxisAligned;
    /// use rand::SeedableRng;
    /// // Curvatures 0 and 2 one at a time: an epoch multiplies by 1 - 2 eta, here by 3; the fourth passes a factor of 1000 in w^2.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
    /// let epochs = AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let divergence = Divergence::new(100, 1000.0, MeasuredNorm::SquaredNorm)?;
    /// let run = epochs.simulate(&[1.0], 2.0, divergence, &mut rand_pcg::Pcg64::seed_from_u64(1))?;
    /// assert!(run.num_steps == 7 || run.num_steps == 8);
    /// assert_eq!((run.outcome, run.final_squared_norm), (Outcome::Diverged { step: run.num_steps }, 6561.0));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn simulate<R: Rng>(
        &self,
        start: &[f64],
        learning_rate: f64,
        divergence: Divergence,
        rng: &mut R,
    ) -> Result<Run> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let (expected, found) = (self.effective.dim(), start.len());
        if expected != found {
            return Err(DynamicsError::SizeMismatch { what: "length of the start", expected, found });
        }
        let initial = squared_norm(start);
        let limit = initial * divergence.squared_growth_factor();
        if !limit.is_finite() {
            let name = "squared norm of the start times the growth factor";
            return Err(DynamicsError::OutOfRange { name, value: limit, allowed: "finite" });
        }
        let by_sample = self.by_sample();
        let mut order: Vec<usize> = (0..self.sampling.num_samples()).collect();
        let (mut w, mut sums, mut step) = (start.to_vec(), vec![0.0; expected], 0);
        loop {
            if self.sampling.order() == EpochOrder::Reshuffling {
                for at in (1..order.len()).rev() {
                    order.swap(at, rng.random_range(0..=at));
                }
            }
            for batch in self.sampling.batches(&order) {
                step += 1;
                let curved = || batch.iter().flat_map(|&sample| &by_sample[sample]);
                curved().for_each(|&(axis, h)| sums[axis] += h);
                for &(axis, _) in curved() {
                    // Taken once: an axis that several samples curve is met again with nothing left.
                    if sums[axis] > 0.0 {
                        w[axis] *= self.factor(learning_rate, sums[axis] / batch.len() as f64);
                        sums[axis] = 0.0;
                    }
                }
                let norm = squared_norm(&w);
                if norm > limit || norm.is_nan() {
                    return Ok(Divergence::diverged(step, initial, norm));
                }
                if step == divergence.num_steps() {
                    return Ok(divergence.completed(initial, norm));
                }
            }
        }
    }

    /// For each sample the axes that it curves, and by how much.
    fn by_sample(&self) -> Vec<Vec<(usize, f64)>> {
        let mut by_sample = vec![Vec::new(); self.sampling.num_samples()];
        for (index, axis) in self.effective.axes().enumerate() {
            for (&sample, &h) in axis.samples().iter().zip(axis.curvatures()) {
                by_sample[sample].push((index, h));
            }
        }
        by_sample
    }
}

fn squared_norm(w: &[f64]) -> f64 {
    w.iter().map(|x| x * x).sum()
}
