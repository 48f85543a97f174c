//! Lyapunov exponents by epochs: the rate of almost every run in the long run.

use rand::Rng;
use rand_distr::{Distribution as _, StandardNormal};
use rayon::prelude::*;

use super::Epochs;
use crate::error::require_nonnegative;
use crate::lyapunov::{AlmostSureThreshold, CROSSING_RTOL, ExponentEstimate, first_crossing};
use crate::{DynamicsError, Result};

impl Epochs {
    /// The Lyapunov exponent a step: the mean logarithm of the growth of the state over epochs, by independent chains.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, fewer than 2 chains or no epoch.
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::Epochs};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 0 and 1 at learning rate 3: an epoch multiplies by 1 - 3, whatever the order.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![0.0, 1.0])?)?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
    /// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let found = epochs.lyapunov_exponent(3.0, (4, 2, 10), |i| rand_pcg::Pcg64::seed_from_u64(i as u64))?;
    /// assert!((found.mean - 0.5 * 2.0_f64.ln()).abs() < 1e-12 && found.standard_error < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn lyapunov_exponent<R: Rng + Send>(
        &self,
        learning_rate: f64,
        (num_chains, burn_in, num_epochs): (usize, usize, usize),
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<ExponentEstimate> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        for (name, value, least) in [("num_chains", num_chains, 2), ("num_epochs", num_epochs, 1)] {
            if value < least {
                let allowed = "at least 2 chains and 1 epoch";
                return Err(DynamicsError::OutOfRange { name, value: value as f64, allowed });
            }
        }
        let rank = self.effective.rank();
        if rank == 0 {
            return Ok(ExponentEstimate { mean: 0.0, standard_error: 0.0 });
        }
        let chain = |index: usize| -> Result<f64> {
            let mut rng = generator(index);
            let mut state: Vec<f64> =
                (0..self.state_len()).map(|_| StandardNormal.sample(&mut rng)).collect();
            state.resize(2 * rank, 0.0);
            let mut order: Vec<usize> = (0..self.sampling.num_samples()).collect();
            let (mut stepper, mut sum) = (self.stepper(learning_rate)?, 0.0);
            for epoch in 0..burn_in + num_epochs {
                let samples = self.draw(&mut order, &mut rng);
                let (w, memory) = state.split_at_mut(rank);
                for batch in self.sampling.batches(&samples) {
                    stepper.step((w, memory), batch, batch.len(), |_| ());
                }
                let log = self.renormalise(&mut state);
                sum += if epoch < burn_in { 0.0 } else { log };
            }
            Ok(sum / (num_epochs * self.sampling.num_batches()) as f64)
        };
        let exponents: Vec<f64> = (0..num_chains).into_par_iter().map(chain).collect::<Result<_>>()?;
        ExponentEstimate::of_chains(&exponents, learning_rate)
    }

    /// The learning rate from `start` on at which the exponent changes sign, with common random numbers, as
    /// [`crate::MeanSquare::almost_sure_threshold`]: `start` is a learning rate that is stable in the mean square.
    ///
    /// # Errors
    /// As [`Epochs::lyapunov_exponent`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::Epochs};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 0 and 1 one at a time: an epoch multiplies by 1 - eta.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![0.0, 1.0])?)?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
    /// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let found = epochs.almost_sure_threshold(1.5, (4, 2, 10), |i| rand_pcg::Pcg64::seed_from_u64(i as u64))?;
    /// assert!((found.value - 2.0).abs() < 1e-5);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn almost_sure_threshold<R: Rng + Send>(
        &self,
        start: f64,
        chains: (usize, usize, usize),
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<AlmostSureThreshold> {
        first_crossing(start, CROSSING_RTOL, |eta| self.lyapunov_exponent(eta, chains, &generator))
    }

    /// Gives a state length 1; the logarithm of what it had. Lengths are those of the loss, `sum_a h_a (w_a^2 + u_a^2)`: the exponent does
    /// not depend on the norm, but flat directions would drown the others for long.
    fn renormalise(&self, state: &mut [f64]) -> f64 {
        let h = self.effective.mean_eigenvalues();
        let squared: f64 =
            state.iter().take(self.state_len()).zip(h.iter().chain(h)).map(|(z, h)| h * z * z).sum();
        let length = squared.sqrt();
        if length > 0.0 && length.is_finite() {
            for entry in state.iter_mut() {
                *entry /= length;
            }
        }
        length.ln()
    }
}
