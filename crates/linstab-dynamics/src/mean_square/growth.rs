//! How fast the mean square grows at a given learning rate.

use super::MeanSquare;
use super::solver::ThresholdSolver;
use crate::Result;

impl MeanSquare {
    /// Exact factor by which the mean square grows a step at a learning rate, in the long run: the spectral radius of the
    /// second-moment map. Below 1 the mean square decays. 1 without curvature.
    ///
    /// # Cost
    /// That of a threshold.
    /// # Accuracy
    /// A relative 1e-9; with momentum, where eigenvalues of the map meet (no noise, critical damping), four digits.
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a bad learning rate, [`crate::DynamicsError::Linalg`] if the iteration does not converge.
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
        ThresholdSolver::new(&self.plain).growth_per_step(self, learning_rate)
    }

    /// The noise kernel norm at a learning rate: the spectral radius of `(1 - A)^-1 N`, where `A` is the second-moment map of the full batch and `N`
    /// what the noise adds. Below 1 exactly where the mean square decays.
    ///
    /// # Cost
    /// That of a threshold.
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a learning rate at or above the full batch's limit, where it has no meaning.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1 and 3, batches of one: variance 1 over 1/eta (2 + 2) - 2 * 2 at eta = 1/2.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((sgd.noise_kernel_norm(0.5)? - 0.25).abs() < 1e-9);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// After Agarwala and Pennington 2024.
    pub fn noise_kernel_norm(&self, learning_rate: f64) -> Result<f64> {
        ThresholdSolver::new(&self.plain).noise_kernel_norm(self, learning_rate)
    }
}
