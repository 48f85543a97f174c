//! Thresholds.

use linstab_linalg::lanczos::SymmetricOperator as _;
use linstab_linalg::{Mat, Reduced, packed};

use super::operator::{CriticalWeights, WeightedSandwich};
use super::sample_space::SampleSpace;
use crate::error::require_nonnegative;
use crate::second_moment::require_same_number;
use crate::{BatchSampling, DynamicsError, Result, SamplingScheme, UpdateRule};

/// Within these bounds no square of a curvature or of a learning rate leaves the range of numbers.
const SHARPNESS: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// Exact mean-square stability of one ensemble under one update rule and one sampling scheme.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, UpdateRule};
/// use linstab_linalg::{Factored, Reduced};
/// // Four samples with scalar curvatures 1, 1, 1, 3 (factors 1, 1, 1, sqrt 3), batches of one, drawn Bernoulli.
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?;
/// let sgd = MeanSquare::new(&ensemble, UpdateRule::Sgd, sampling)?;
/// assert!((sgd.max_learning_rate()?.value - 2.0 / 3.0).abs() < 1e-14);
/// // Momentum: 2 / (l / (1 + beta) + s^2 / (l (1 - beta))) with l = 3/2 and s^2 = 9/4.
/// let momentum = sgd.with_momentum(0.5)?;
/// assert!((momentum.max_learning_rate()?.value - 0.5).abs() < 1e-14);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MeanSquare {
    pub(super) effective: Reduced,
    /// Diagonal of `A^{1/2}`, by which the effective coordinates are the original ones times.
    pub(super) congruence: Vec<f64>,
    pub(super) rule: UpdateRule,
    pub(super) sampling: BatchSampling,
    pub(super) momentum: f64,
}

/// How the lower end of a threshold's interval is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// By theorem: positive definite blocks that the map does not enlarge (Collatz and Wielandt; see `sample_space`).
    Proven,
    /// By a margin only: no such blocks were found.
    Residual,
    /// There is nothing to be certified: no curvature, so no threshold.
    Trivial,
}

/// A mean-square threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The learning rate below which the mean square decays and above which it grows; infinite without curvature.
    pub value: f64,
    /// Two-sided bounds on the exact threshold, up to rounding.
    pub interval: (f64, f64),
    /// How the lower bound is known; the upper one is a Rayleigh quotient and always certain.
    pub certificate: CertificateKind,
    /// Applications of the second-moment operator.
    pub num_applications: usize,
    /// The critical second moment: the symmetric matrix, in the eigenbasis of the mean, that neither grows nor decays at the
    /// threshold. Positive semidefinite without momentum. (rank, rank), unit Frobenius norm; empty without curvature.
    pub critical: Mat<f64>,
}

impl MeanSquare {
    /// The analysis of `rule` on `ensemble` under `sampling`, without momentum.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ, [`DynamicsError::OutOfRange`] for a bad parameter
    /// or a sharpness outside of 1e-100 to 1e100.
    pub fn new(ensemble: &Reduced, rule: UpdateRule, sampling: BatchSampling) -> Result<Self> {
        require_same_number(ensemble.num_samples(), sampling)?;
        let rule = rule.checked()?;
        let effective = ensemble.congruent(|mean| rule.congruence(mean).sqrt());
        let congruence =
            ensemble.mean_eigenvalues().iter().map(|&mean| rule.congruence(mean).sqrt()).collect();
        if let Some(&value) = effective.mean_eigenvalues().first()
            && !SHARPNESS.contains(&value)
        {
            let (name, allowed) =
                ("the sharpness (under the update rule)", "1e-100 to 1e100; rescale the factors");
            return Err(DynamicsError::OutOfRange { name, value, allowed });
        }
        Ok(Self { effective, congruence, rule, sampling, momentum: 0.0 })
    }

    /// The same with heavy-ball momentum `beta`: `w <- w - eta (gradient) + beta (w - w_prev)`.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `-1 < momentum < 1`.
    pub fn with_momentum(mut self, momentum: f64) -> Result<Self> {
        if !(momentum > -1.0 && momentum < 1.0) {
            let allowed = "above -1 and below 1";
            return Err(DynamicsError::OutOfRange { name: "momentum", value: momentum, allowed });
        }
        self.momentum = momentum;
        Ok(self)
    }

    /// The ensemble on which plain SGD (or plain heavy ball) has the linear map of the rule.
    pub fn effective_ensemble(&self) -> &Reduced {
        &self.effective
    }

    /// The update rule.
    pub fn rule(&self) -> UpdateRule {
        self.rule
    }

    /// The sampling scheme and its sizes.
    pub fn sampling(&self) -> BatchSampling {
        self.sampling
    }

    /// The momentum `beta`.
    pub fn momentum(&self) -> f64 {
        self.momentum
    }

    /// Learning rate up to which the full-batch method is stable, `2 (1 + beta) / lambda_max`; infinite without curvature.
    pub fn gradient_descent_limit(&self) -> f64 {
        let sharpness = self.effective.mean_eigenvalues().first();
        sharpness.map_or(f64::INFINITY, |l| 2.0 * (1.0 + self.momentum) / l)
    }

    /// The exact mean-square threshold, with a two-sided interval.
    ///
    /// # Cost
    /// Some tens of applications of an operator on one number a sample (a block of k x k with k factors), each of about
    /// `2 n k r^2` multiplications; memory for some five matrices of order r.
    /// # Accuracy
    /// A relative 1e-10; the interval says how much is proven.
    /// # Errors
    /// [`DynamicsError::Linalg`] if the Lanczos iteration does not converge.
    /// # Source
    /// Mulayoff and Michaeli 2024; with momentum, the [module documentation](super).
    pub fn max_learning_rate(&self) -> Result<Threshold> {
        if self.effective.rank() == 0 {
            let interval = (f64::INFINITY, f64::INFINITY);
            let (value, certificate) = (f64::INFINITY, CertificateKind::Trivial);
            return Ok(Threshold {
                value,
                interval,
                certificate,
                num_applications: 0,
                critical: Mat::zeros(0, 0),
            });
        }
        let weight = self.sample_weight();
        if weight <= 0.0 {
            return Ok(self.without_noise(self.gradient_descent_limit()));
        }
        let space = SampleSpace::new(&self.effective, self.critical_weights(), weight);
        let (sharpness, pole) = (space.unit, space.pole);
        let critical = space.solve(self.scalar_inverse().max(space.trace_bound()))?;
        let rounding = 1.0 + 1e-13 * (self.effective.rank() as f64).sqrt();
        let value = (critical.lambda.max(pole) * sharpness).recip();
        let (below, certificate) = match critical.lambda_above {
            Some(above) => ((above.max(pole) * sharpness).recip(), CertificateKind::Proven),
            None => (value / (1.0 + 1e-9), CertificateKind::Residual),
        };
        Ok(Threshold {
            value,
            interval: (below.min(value) / rounding, value * rounding),
            certificate,
            num_applications: critical.num_applications,
            critical: normalised(packed::unpack(&critical.moment, self.effective.rank())),
        })
    }

    /// The threshold of a method without sampling noise: the sharpest direction decides.
    fn without_noise(&self, limit: f64) -> Threshold {
        let rank = self.effective.rank();
        let critical = Mat::from_fn(rank, rank, |i, j| f64::from(u8::from(i == 0 && j == 0)));
        let interval = (limit * (1.0 - 1e-15), limit * (1.0 + 1e-15));
        Threshold {
            value: limit,
            interval,
            certificate: CertificateKind::Proven,
            num_applications: 0,
            critical,
        }
    }

    /// The inverse threshold of the scalar problem along the sharpest direction, in units of the sharpness: a lower bound on the
    /// inverse threshold.
    fn scalar_inverse(&self) -> f64 {
        let (k, sharpness) = (self.effective.num_factors(), self.effective.mean_eigenvalues()[0]);
        let (n, factors) = (self.effective.num_samples(), self.effective.factors());
        let scalars: Vec<f64> = (0..n)
            .map(|i| (i * k..(i + 1) * k).map(|row| factors[(row, 0)] * factors[(row, 0)] / sharpness).sum())
            .collect();
        let (mean, variance) = self.scalar_moments(&scalars);
        0.5 * (mean / (1.0 + self.momentum) + variance / (mean * (1.0 - self.momentum)))
    }

    /// The smallest batch size at which a learning rate is below the mean-square threshold; `None` if it is for none up to the
    /// number of samples.
    ///
    /// The threshold does not decrease with the batch size, so bisection finds it.
    /// # Cost
    /// `log2 n` thresholds.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate; otherwise as [`MeanSquare::max_learning_rate`].
    pub fn min_batch_size(&self, learning_rate: f64) -> Result<Option<usize>> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let num_samples = self.sampling.num_samples();
        let stable = |batch_size: usize| -> Result<bool> {
            let sampling = BatchSampling::new(self.sampling.scheme(), num_samples, batch_size)?;
            Ok(learning_rate < Self { sampling, ..self.clone() }.max_learning_rate()?.value)
        };
        if self.effective.rank() == 0 {
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

    /// `a - 1`, computed without cancellation: `-b` for batches of fixed size, 0 for Bernoulli sampling.
    pub(super) fn full_batch_excess(&self) -> f64 {
        match self.sampling.scheme() {
            SamplingScheme::Bernoulli => 0.0,
            SamplingScheme::WithoutReplacement | SamplingScheme::WithReplacement => {
                -self.sampling.moment_weights().per_sample
            }
        }
    }

    pub(super) fn critical_weights(&self) -> CriticalWeights {
        CriticalWeights { momentum: self.momentum, excess: self.full_batch_excess() }
    }

    /// `b / n`: the weight of each sample in the second moment.
    pub(super) fn sample_weight(&self) -> f64 {
        self.sampling.moment_weights().per_sample / self.sampling.num_samples() as f64
    }

    /// `E[H_t X H_t]` for a symmetric `X`.
    pub(super) fn batch_second_moment(&self, x: &Mat<f64>) -> Mat<f64> {
        let weights = self.sampling.moment_weights();
        let per_sample = self.sample_weight();
        let mut operator =
            WeightedSandwich::new(&self.effective, |_, _| 1.0, |a, b| weights.full_batch * a * b, per_sample);
        let mut image = vec![0.0; operator.dim()];
        operator.apply(&packed::pack(x.as_ref()), &mut image);
        packed::unpack(&image, self.effective.rank())
    }
}

fn normalised(matrix: Mat<f64>) -> Mat<f64> {
    let norm = matrix.norm_l2();
    matrix * linstab_linalg::Scale(norm.recip())
}
