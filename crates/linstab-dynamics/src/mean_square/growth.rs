//! How fast the mean square grows at a given learning rate.

use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator, TopEigenpair};
use linstab_linalg::{LinalgError, packed};

use super::MeanSquare;
use super::memory_kernel::growth_defect;
use super::operator::WeightedSandwich;
use crate::error::require_nonnegative;
use crate::{DynamicsError, Result};

/// Packed length up to which the Krylov basis may be large: rank 90, two megabytes of basis.
const SMALL_OPERATOR: usize = 4096;
/// Accepted residuals of growth rates, and of the problems at a trial growth.
const GROWTH_RESIDUAL: f64 = 1e-11;
const TRIAL_RESIDUAL: f64 = 1e-10;

impl MeanSquare {
    /// Exact factor by which the mean square grows a step at a learning rate, in the long run: the spectral radius of the
    /// second-moment map. Below 1 the mean square decays. 1 without curvature.
    ///
    /// # Cost
    /// Without momentum, one top eigenvalue; with it, one for each of some 50 steps of a bisection.
    /// # Accuracy
    /// A relative 1e-9; with momentum, where eigenvalues of the map meet (no noise, critical damping), four digits.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, [`DynamicsError::Linalg`] if the iteration does not converge.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1, 1, 1, 3, batches of one: E (1 - eta h)^2 = 1 - 3 eta + 3 eta^2.
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((sgd.growth_per_step(0.5)? - 0.25).abs() < 1e-14);
    /// assert!((sgd.growth_per_step(2.0)? - 7.0).abs() < 1e-13);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn growth_per_step(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let recursion = self.recursion();
        if self.effective.rank() == 0 {
            return Ok(recursion.noise_free_growth(learning_rate, 0.0));
        }
        self.require_in_range(learning_rate)?;
        if !recursion.is_memoryless() {
            return self.growth_by_bisection(learning_rate);
        }
        let eta = learning_rate;
        let excess = self.full_batch_excess();
        let kick = (eta * recursion.response()).powi(2);
        let keep = |h: f64| 1.0 - recursion.step(eta, h);
        let mut operator = WeightedSandwich::new(
            &self.effective,
            |_, _| 1.0,
            |x, y| keep(x) * keep(y) + kick * excess * x * y,
            kick * self.sample_weight(),
        );
        match self.top_eigenpair(&mut operator, GROWTH_RESIDUAL) {
            Ok(top) => Ok(top.value),
            // Many growth rates just below 1 are told apart more slowly than the equivalent problems at a trial growth.
            Err(DynamicsError::Linalg(LinalgError::NotConverged { .. })) => self.growth_by_bisection(eta),
            Err(error) => Err(error),
        }
    }

    /// The eigenvalue `g` of the second-moment map at which `lambda_max(d(g)^{-1/2} o eta^2 N o d(g)^{-1/2}) = 1`.
    fn growth_by_bisection(&self, eta: f64) -> Result<f64> {
        let recursion = self.recursion();
        let excess = self.full_batch_excess();
        let defect = |g: f64, x: f64, y: f64| growth_defect(recursion, eta, g, x, y);
        let h = self.effective.mean_eigenvalues();
        // Below the growth of the noise-free method the defect is not positive; there, the map has a larger eigenvalue.
        let noise_free = h.iter().map(|&l| recursion.noise_free_growth(eta, l));
        let mut low = noise_free.fold(0.0, f64::max);
        let excess_at = |g: f64| -> Result<f64> {
            let mut operator = WeightedSandwich::new(
                &self.effective,
                |x, y| defect(g, x, y).sqrt().recip(),
                |x, y| eta * eta * excess * x * y,
                eta * eta * self.sample_weight(),
            );
            Ok(self.top_eigenpair(&mut operator, TRIAL_RESIDUAL)?.value - 1.0)
        };
        let mut high = 2.0 * low.max(1.0);
        while excess_at(high)? > 0.0 {
            low = high;
            high *= 2.0;
            require_nonnegative("growth of the mean square", high, true)?;
        }
        if self.sample_weight() <= 0.0 {
            return Ok(low);
        }
        while high - low > 4.0 * f64::EPSILON * high {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            // Within rounding of the noise-free growth the defect need not be positive: the eigenvalue lies above.
            let defined = h.iter().all(|&x| h.iter().all(|&y| defect(middle, x, y) > 0.0));
            if defined && excess_at(middle)? <= 0.0 { high = middle } else { low = middle }
        }
        Ok(high)
    }

    /// Growth rates crowd just below 1 where flat directions decay slowly; only a small residual tells them apart.
    fn top_eigenpair(
        &self,
        operator: &mut dyn SymmetricOperator,
        residual_rtol: f64,
    ) -> Result<TopEigenpair> {
        // While a basis is small beside the caches anyway, restarts would only cost convergence.
        let basis_size =
            if operator.dim() <= SMALL_OPERATOR { 64 } else { LanczosOptions::default().basis_size };
        let options = LanczosOptions { residual_rtol, basis_size, ..LanczosOptions::default() };
        Ok(lanczos::top_eigenpair(operator, &self.start(), options)?)
    }

    /// The identity, which overlaps every PSD matrix. With momentum a small multiple of a matrix without structure is added.
    fn start(&self) -> Vec<f64> {
        let texture = if self.recursion().is_memoryless() { 0.0 } else { 1e-3 };
        packed::from_fn(self.effective.rank(), |row, column| {
            let noise = texture * ((row * 7919 + column * 104_729) as f64).sin();
            f64::from(u8::from(row == column)) + noise
        })
    }
}
