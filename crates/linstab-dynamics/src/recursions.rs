//! The matrix recursions of the paper's divergence theorem, evaluated step by step.
//!
//! With `A = I + (rho/alpha) H`, `J = I - eta H A` and `c_0 = 1/(Bn) - 1/n^2` (Bernoulli sampling), arXiv 2511.17378, eq. (28)
//! bounds the second moment of `k` steps from below by `M_k = J^{2k} + N_k`. Its `N_k`, written there as a sum over `n^k` words, is
//! `N_k = Phi^k(I)` with `Phi(X) = eta^2 c_0 sum_i A H_i X H_i A`; the exact second moment is `T^k(I)` with
//! `T(X) = J X J + Phi(X)`.

use linstab_linalg::{Ensemble, Mat, Scale};

use crate::error::require_nonnegative;
use crate::second_moment::require_same_samples;
use crate::{BatchSampling, DynamicsError, Result, SamplingScheme};

/// The recursions, at some number of steps `k`.
#[derive(Clone, Debug)]
pub struct Recursions<'a> {
    ensemble: &'a dyn Ensemble,
    ascent: Mat<f64>,
    jacobian: Mat<f64>,
    noise_weight: f64,
    jacobian_power: Mat<f64>,
    noise: Mat<f64>,
    exact: Mat<f64>,
}

impl<'a> Recursions<'a> {
    /// The recursions at `k = 0`, where all matrices are the identity.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate or ratio, or for another scheme than Bernoulli, for which the theorem
    /// is not stated; [`DynamicsError::SizeMismatch`] if the numbers of samples differ.
    pub fn new(
        ensemble: &'a dyn Ensemble,
        sampling: BatchSampling,
        rho_over_alpha: f64,
        learning_rate: f64,
    ) -> Result<Self> {
        require_same_samples(ensemble, sampling)?;
        require_nonnegative("learning_rate", learning_rate, true)?;
        require_nonnegative("rho_over_alpha", rho_over_alpha, false)?;
        if sampling.scheme() != SamplingScheme::Bernoulli {
            let (name, allowed) = ("batch size of a scheme", "Bernoulli sampling");
            return Err(DynamicsError::OutOfRange { name, value: sampling.batch_size() as f64, allowed });
        }
        let dim = ensemble.dim();
        let identity = Mat::<f64>::identity(dim, dim);
        let mean = ensemble.mean_hessian();
        let ascent = &identity + &mean * Scale(rho_over_alpha);
        let jacobian = &identity - &mean * &ascent * Scale(learning_rate);
        let per_sample = sampling.moment_weights().per_sample / sampling.num_samples() as f64;
        Ok(Self {
            ensemble,
            ascent,
            jacobian,
            noise_weight: learning_rate * learning_rate * per_sample,
            jacobian_power: identity.clone(),
            noise: identity.clone(),
            exact: identity,
        })
    }

    /// Goes from `k` to `k + 1`.
    ///
    /// # Cost
    /// Two sums of sandwiches over the samples.
    pub fn advance(&mut self) {
        self.jacobian_power = &self.jacobian_power * &self.jacobian;
        self.noise = self.noise_step(&self.noise);
        self.exact = &self.jacobian * &self.exact * &self.jacobian + self.noise_step(&self.exact);
    }

    /// `Phi(X)`.
    fn noise_step(&self, x: &Mat<f64>) -> Mat<f64> {
        let sum = self.ensemble.sum_of_sandwiches(x.as_ref());
        &self.ascent * sum * &self.ascent * Scale(self.noise_weight)
    }

    /// `N_k`.
    pub fn noise(&self) -> &Mat<f64> {
        &self.noise
    }

    /// `M_k = J^{2k} + N_k` (for `k = 0` twice the identity, as the definition has it).
    pub fn lower_bound(&self) -> Mat<f64> {
        &self.jacobian_power * self.jacobian_power.transpose() + &self.noise
    }

    /// The exact second moment `E[J_k^T .. J_1^T J_1 .. J_k]`.
    pub fn exact(&self) -> &Mat<f64> {
        &self.exact
    }
}
