//! The matrix recursions of the paper's divergence theorem, evaluated step by step.
//!
//! With `A = I + (rho/alpha) H`, `J = I - eta H A` and `c_0 = 1/(Bn) - 1/n^2` (Bernoulli sampling), arXiv 2511.17378, eq. (28)
//! bounds the second moment of `k` steps from below by `M_k = J^{2k} + N_k`. Its `N_k`, written there as a sum over `n^k` words, is
//! `N_k = Phi^k(I)` with `Phi(X) = eta^2 c_0 sum_i A H_i X H_i A`; the exact second moment is `T^k(I)` with
//! `T(X) = J X J + Phi(X)`.
//!
//! Their traces are what the theorem's corollaries speak of: `tr M_k <= E |J_1 .. J_k|_F^2 = tr T^k(I)`, so that the mean square,
//! from some start, diverges wherever `tr M_k` or `tr N_k` does.

use linstab_linalg::{Ensemble, Mat, Scale};

use crate::error::require_nonnegative;
use crate::second_moment::require_same_samples;
use crate::{BatchSampling, DynamicsError, Result};

/// The recursions, at some number of steps `k`.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
/// use linstab_linalg::AxisAligned;
/// // Scalar curvatures 1, 1, 1, 3 and batches of one at learning rate 1: J = 1 - 3/2 = -1/2, c_0 = 1/4 - 1/16 = 3/16,
/// // hence Phi(X) = 3/16 * 12 X = 9/4 X and T(X) = (1/4 + 9/4) X.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?;
/// let mut recursions = Recursions::new(&ensemble, sampling, 0.0, 1.0)?;
/// recursions.advance();
/// recursions.advance();
/// assert_eq!(recursions.num_steps(), 2);
/// assert_eq!(recursions.noise()[(0, 0)], 81.0 / 16.0);
/// assert_eq!(recursions.lower_bound()[(0, 0)], 1.0 / 16.0 + 81.0 / 16.0);
/// assert_eq!(recursions.exact()[(0, 0)], 25.0 / 4.0);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recursions<'a> {
    ensemble: &'a dyn Ensemble,
    ascent: Mat<f64>,
    jacobian: Mat<f64>,
    noise_weight: f64,
    num_steps: usize,
    jacobian_power: Mat<f64>,
    noise: Mat<f64>,
    exact: Mat<f64>,
}

/// The traces of the three matrices at one number of steps `k`; infinite once they overflow, never NaN.
///
/// # Examples
/// ```
/// use linstab_dynamics::recursions::Traces;
/// let traces = Traces { num_steps: 1, lower_bound: 2.5, noise: 2.25, exact: 2.5 };
/// assert!(traces.noise <= traces.lower_bound && traces.lower_bound <= traces.exact, "from one step on");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traces {
    /// The number of steps `k`.
    pub num_steps: usize,
    /// `tr M_k = tr J^{2k} + tr N_k`.
    pub lower_bound: f64,
    /// `tr N_k`.
    pub noise: f64,
    /// Trace of the exact second moment, `E |J_1 .. J_k|_F^2`.
    pub exact: f64,
}

impl<'a> Recursions<'a> {
    /// The recursions at `k = 0`, where all matrices are the identity.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate or ratio, or for another scheme than Bernoulli, for which the theorem
    /// is not stated; [`DynamicsError::SizeMismatch`] if the numbers of samples differ.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// let recursions = Recursions::new(&ensemble, sampling, 0.5, 0.1)?;
    /// assert_eq!((recursions.num_steps(), recursions.exact()[(0, 0)]), (0, 1.0));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(
        ensemble: &'a dyn Ensemble,
        sampling: BatchSampling,
        rho_over_alpha: f64,
        learning_rate: f64,
    ) -> Result<Self> {
        require_same_samples(ensemble, sampling)?;
        require_nonnegative("learning_rate", learning_rate, true)?;
        require_nonnegative("rho_over_alpha", rho_over_alpha, false)?;
        if !sampling.scheme().draws_samples_independently() {
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
            num_steps: 0,
            jacobian_power: identity.clone(),
            noise: identity.clone(),
            exact: identity,
        })
    }

    /// Goes from `k` to `k + 1`.
    ///
    /// # Cost
    /// Two sums of sandwiches over the samples.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // SAM with c = 1/2 on curvatures 0 and 2, mean 1: A = 3/2, c_0 = 1/2 - 1/4, so Phi(X) = 1/4 * 4 * (3/2)^2 X = 9/4 X.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// let mut recursions = Recursions::new(&ensemble, sampling, 0.5, 1.0)?;
    /// recursions.advance();
    /// assert_eq!(recursions.noise()[(0, 0)], 2.25);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn advance(&mut self) {
        self.num_steps += 1;
        self.jacobian_power = &self.jacobian_power * &self.jacobian;
        self.noise = self.noise_step(&self.noise);
        self.exact = &self.jacobian * &self.exact * &self.jacobian + self.noise_step(&self.exact);
    }

    /// `Phi(X)`.
    fn noise_step(&self, x: &Mat<f64>) -> Mat<f64> {
        let sum = self.ensemble.sum_of_sandwiches(x.as_ref());
        &self.ascent * sum * &self.ascent * Scale(self.noise_weight)
    }

    /// Makes `num_steps` more steps and returns the traces on the way: from the present `k` on, `num_steps + 1` of them.
    ///
    /// # Cost
    /// `num_steps` sums over the samples where the paper's definition of `N_k` is a sum over `n^k` words.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // As above: N_k = (9/4)^k, J^2k = (1/4)^k, and the exact second moment is (5/2)^k.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?;
    /// let traces = Recursions::new(&ensemble, sampling, 0.0, 1.0)?.trace_sequence(2);
    /// let noise: Vec<f64> = traces.iter().map(|traces| traces.noise).collect();
    /// let lower_bound: Vec<f64> = traces.iter().map(|traces| traces.lower_bound).collect();
    /// assert_eq!(noise, [1.0, 2.25, 5.0625]);
    /// assert_eq!(lower_bound, [2.0, 2.5, 5.125]);
    /// assert_eq!(traces[2].exact, 6.25);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn trace_sequence(&mut self, num_steps: usize) -> Vec<Traces> {
        let mut sequence = vec![self.traces()];
        for _ in 0..num_steps {
            self.advance();
            sequence.push(self.traces());
        }
        sequence
    }

    /// The traces at the present `k`.
    ///
    /// # Cost
    /// `dim^2` multiplications: no matrix is formed.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // At k = 0 all matrices are the identity, of trace 2 in two dimensions, and M_0 = J^0 + N_0.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0, 0.0], vec![0.0, 1.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// let traces = Recursions::new(&ensemble, sampling, 0.0, 1.0)?.traces();
    /// assert_eq!((traces.noise, traces.lower_bound, traces.exact), (2.0, 4.0, 2.0));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn traces(&self) -> Traces {
        let trace = |x: &Mat<f64>| (0..x.nrows()).map(|a| x[(a, a)]).sum::<f64>();
        // Finite curvatures give NaN only as a difference of overflowed entries.
        let overflowed = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
        let noise = overflowed(trace(&self.noise));
        Traces {
            num_steps: self.num_steps,
            lower_bound: overflowed(squared_frobenius_norm(&self.jacobian_power)) + noise,
            noise,
            exact: overflowed(trace(&self.exact)),
        }
    }

    /// The number of steps `k`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let mut recursions = Recursions::new(&ensemble, BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?, 0.0, 0.1)?;
    /// recursions.advance();
    /// assert_eq!(recursions.num_steps(), 1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn num_steps(&self) -> usize {
        self.num_steps
    }

    /// `N_k`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // A full batch is no noise: c_0 = 0.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let mut recursions = Recursions::new(&ensemble, BatchSampling::new(SamplingScheme::Bernoulli, 2, 2)?, 0.0, 1.0)?;
    /// recursions.advance();
    /// assert_eq!(recursions.noise()[(0, 0)], 0.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn noise(&self) -> &Mat<f64> {
        &self.noise
    }

    /// `M_k = J^{2k} + N_k` (for `k = 0` twice the identity, as the definition has it).
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // A full batch of mean curvature 2 at learning rate 1: J = -1 and no noise, so M_1 = 1.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let mut recursions = Recursions::new(&ensemble, BatchSampling::new(SamplingScheme::Bernoulli, 2, 2)?, 0.0, 1.0)?;
    /// assert_eq!(recursions.lower_bound()[(0, 0)], 2.0, "at k = 0");
    /// recursions.advance();
    /// assert_eq!(recursions.lower_bound()[(0, 0)], 1.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn lower_bound(&self) -> Mat<f64> {
        &self.jacobian_power * self.jacobian_power.transpose() + &self.noise
    }

    /// The exact second moment `E[J_k^T .. J_1^T J_1 .. J_k]`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, recursions::Recursions};
    /// use linstab_linalg::AxisAligned;
    /// // One sample or none, curvature 0 or 2, mean 1: at learning rate 1 J = 0, and Phi(X) = (1/2 - 1/4) * 4 X.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
    /// let mut recursions = Recursions::new(&ensemble, BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?, 0.0, 1.0)?;
    /// recursions.advance();
    /// assert_eq!(recursions.exact()[(0, 0)], 1.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn exact(&self) -> &Mat<f64> {
        &self.exact
    }
}

/// `tr J^k (J^k)^T`, `J^k` symmetric.
fn squared_frobenius_norm(x: &Mat<f64>) -> f64 {
    (0..x.ncols())
        .map(|column| (0..x.nrows()).map(|row| x[(row, column)] * x[(row, column)]).sum::<f64>())
        .sum()
}
