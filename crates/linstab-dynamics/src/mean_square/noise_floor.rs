//! Where a stable method settles when its gradients keep a noise of their own.
//!
//! With a source of covariance `Q` a step the second moment has the fixed point, in the notation of the
//! [module documentation](super) with `g = 1`,
//!
//! ```text
//! d(1) o S = eta^2 (N(S) + Q)        d(1) = eta w1 - eta^2 w2
//! ```
//!
//! for momentum, too: eliminating the previous iterate does not touch the source. Below the threshold the operator is
//! self-adjoint and positive definite: conjugate gradients, preconditioned by its leading part `eta w1`. SAM with full-batch ascent
//! is SGD in the coordinates `A^{1/2} w`; there the source is `A^{1/2} Q A^{1/2}`.

use linstab_linalg::lanczos::SymmetricOperator;
use linstab_linalg::{LinalgError, Mat, MatRef, packed, symmetric};

use super::MeanSquare;
use super::operator::{WeightedSandwich, entrywise};
use crate::error::require_nonnegative;
use crate::{DynamicsError, Result};

/// Accepted residual of the linear system relative to its right-hand side.
const RTOL: f64 = 1e-12;
const MAX_ITERATIONS: usize = 10_000;

/// The stationary state of a stable method with noisy gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseFloor {
    /// Stationary covariance of the deviation `w`, (rank, rank), in the eigenbasis of the mean curvature.
    pub covariance: Mat<f64>,
    /// Expected squared distance from the minimum, `tr S`.
    pub mean_squared_distance: f64,
    /// Expected excess of the loss, `(1/2) tr(H S)`, with the curvature `H` of the loss itself (under SAM, too).
    pub expected_excess_loss: f64,
}

impl MeanSquare {
    /// The noise floor under random perturbation of standard deviation `s`: the batch gradient is taken at a point moved by
    /// `delta_t ~ N(0, s^2 I)`, after SAM's ascent if there is one.
    ///
    /// The source is `s^2 E H_t^2`. `None` at or above the threshold, where the second moment grows without bound.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate or deviation; [`DynamicsError::Linalg`] if an iteration does not
    /// converge.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // One sample of curvature 2, learning rate 1/2: w <- w - (w + delta) = -delta, so the variance is that of delta, 9,
    /// // and the excess loss (1/2) 2 * 9.
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![2.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let floor = sgd.noise_floor_of_perturbation(0.5, 3.0)?.expect("stable up to 1");
    /// assert!((floor.mean_squared_distance - 9.0).abs() < 1e-12);
    /// assert!((floor.expected_excess_loss - 9.0).abs() < 1e-12);
    /// assert!(sgd.noise_floor_of_perturbation(1.1, 3.0)?.is_none(), "unstable");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// arXiv 2511.17378, Theorem C.7, with the exact limit in place of its eq. (25).
    pub fn noise_floor_of_perturbation(
        &self,
        learning_rate: f64,
        standard_deviation: f64,
    ) -> Result<Option<NoiseFloor>> {
        require_nonnegative("standard_deviation", standard_deviation, false)?;
        // A^{1/2} H_t^2 A^{1/2} = H'_t A^{-1} H'_t with the effective curvature H'_t.
        let rank = self.effective.rank();
        let inverse = Mat::from_fn(rank, rank, |a, b| if a == b { self.congruence[a].powi(-2) } else { 0.0 });
        let second = self.batch_second_moment(&inverse);
        let source = second * linstab_linalg::Scale(standard_deviation * standard_deviation);
        self.stationary(learning_rate, source.as_ref())
    }

    /// The noise floor under gradient noise whose batch average has covariance `source`.
    ///
    /// # Shapes
    /// `source`: (rank, rank), symmetric PSD, in the eigenbasis of the mean curvature, as [`GradientNoise`](super::GradientNoise)
    /// gives it. For per-sample gradients `g_i` of mean 0 it is `per_sample * (1/n) sum_i g_i g_i^T` with the scheme's
    /// [moment weight](crate::sampling::MomentWeights::per_sample).
    /// # Errors
    /// As [`MeanSquare::noise_floor_of_perturbation`]; [`DynamicsError::SizeMismatch`] for a source of another order.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Mat, Reduced};
    /// // One sample of curvature 1, learning rate 1/2, a source of variance 3: S = S / 4 + 3 / 4.
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let source = Mat::from_fn(1, 1, |_, _| 3.0);
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let floor = sgd.noise_floor(0.5, source.as_ref())?.expect("stable up to 2");
    /// assert!((floor.mean_squared_distance - 1.0).abs() < 1e-12);
    /// assert!((floor.expected_excess_loss - 0.5).abs() < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Mulayoff and Michaeli 2024 for fixed-size batches without momentum.
    pub fn noise_floor(&self, learning_rate: f64, source: MatRef<'_, f64>) -> Result<Option<NoiseFloor>> {
        let rank = self.effective.rank();
        for found in [source.nrows(), source.ncols()] {
            if found != rank {
                return Err(DynamicsError::SizeMismatch {
                    what: "order of the source",
                    expected: rank,
                    found,
                });
            }
        }
        let scaled =
            Mat::from_fn(rank, rank, |a, b| self.congruence[a] * self.congruence[b] * source[(a, b)]);
        self.stationary(learning_rate, scaled.as_ref())
    }

    /// The stationary state for a source in effective coordinates.
    fn stationary(&self, eta: f64, source: MatRef<'_, f64>) -> Result<Option<NoiseFloor>> {
        require_nonnegative("learning_rate", eta, true)?;
        let rank = self.effective.rank();
        require_covariance(source)?;
        if rank > 0 {
            self.require_in_range(eta)?;
        }
        if eta >= self.max_learning_rate()?.value {
            return Ok(None);
        }
        let weights = self.critical_weights();
        let mut operator = WeightedSandwich::new(
            &self.effective,
            |_, _| 1.0,
            |x, y| eta * eta * weights.at(eta.recip(), x, y),
            -eta * eta * self.sample_weight(),
        );
        let h = self.effective.mean_eigenvalues();
        let preconditioner = entrywise(h, |x, y| eta * eta * weights.balance(eta.recip(), x, y).0);
        let right: Vec<f64> = packed::pack(source).iter().map(|q| eta * eta * q).collect();
        let effective = packed::unpack(&conjugate_gradients(&mut operator, &preconditioner, &right)?, rank);
        let covariance =
            Mat::from_fn(rank, rank, |a, b| effective[(a, b)] / (self.congruence[a] * self.congruence[b]));
        // tr(H S), where the effective mean is H A.
        let expected_excess_loss =
            0.5 * (0..rank).map(|a| h[a] * effective[(a, a)] / self.congruence[a].powi(4)).sum::<f64>();
        let mean_squared_distance = (0..rank).map(|a| covariance[(a, a)]).sum();
        Ok(Some(NoiseFloor { covariance, mean_squared_distance, expected_excess_loss }))
    }
}

/// Accepts a symmetric positive semidefinite matrix, up to rounding.
fn require_covariance(source: MatRef<'_, f64>) -> Result<()> {
    let refuse = |name, value, allowed| Err(DynamicsError::OutOfRange { name, value, allowed });
    let mut largest = 0.0_f64;
    for column in 0..source.ncols() {
        for row in 0..source.nrows() {
            let value = source[(row, column)];
            if !value.is_finite() {
                return refuse("an entry of the source", value, "finite");
            }
            largest = largest.max(value.abs());
        }
    }
    for column in 0..source.ncols() {
        for row in 0..column {
            let difference = source[(row, column)] - source[(column, row)];
            if difference.abs() > 1e-12 * largest {
                return refuse("the asymmetry of the source", difference, "0: a covariance is symmetric");
            }
        }
    }
    let smallest = symmetric::eigenvalues(source)?.first().copied().unwrap_or(0.0);
    if smallest < -1e-10 * largest {
        return refuse(
            "an eigenvalue of the source",
            smallest,
            "nonnegative: a covariance is positive semidefinite",
        );
    }
    Ok(())
}

/// Solves `A x = b` for a positive definite operator, preconditioned by a positive diagonal `M`; residuals `r` are measured by
/// `r^T M^{-1} r`, so that flat directions count.
fn conjugate_gradients(
    operator: &mut dyn SymmetricOperator,
    preconditioner: &[f64],
    right: &[f64],
) -> Result<Vec<f64>> {
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let precondition = |x: &[f64]| -> Vec<f64> { x.iter().zip(preconditioner).map(|(x, m)| x / m).collect() };
    let mut solution = vec![0.0; right.len()];
    let mut residual = right.to_vec();
    let mut preconditioned = precondition(&residual);
    let mut direction = preconditioned.clone();
    let mut image = vec![0.0; right.len()];
    let mut energy = dot(&residual, &preconditioned);
    let target = RTOL * RTOL * energy;
    let mut num_applications = 0;
    for _ in 0..MAX_ITERATIONS {
        if energy <= target {
            return Ok(solution);
        }
        operator.apply(&direction, &mut image);
        num_applications += 1;
        let curvature = dot(&direction, &image);
        // Within rounding of the threshold the operator need not be positive definite any more.
        if curvature <= 0.0 || !curvature.is_finite() {
            break;
        }
        let step = energy / curvature;
        for i in 0..right.len() {
            solution[i] += step * direction[i];
            residual[i] -= step * image[i];
        }
        preconditioned = precondition(&residual);
        let next = dot(&residual, &preconditioned);
        let ratio = next / energy;
        energy = next;
        for (d, z) in direction.iter_mut().zip(&preconditioned) {
            *d = z + ratio * *d;
        }
    }
    let residual = dot(&residual, &residual).sqrt();
    Err(LinalgError::NotConverged { method: "conjugate gradient", num_applications, residual }.into())
}
