//! Thresholds.

use linstab_linalg::lanczos::SymmetricOperator as _;
use linstab_linalg::{Mat, RANK_TOLERANCE, Reduced, packed};

use super::memory_kernel::CriticalWeights;
use super::operator::WeightedSandwich;
use super::sample_space::CriticalMoment;
use super::solver::ThresholdSolver;
use crate::optimizer::Recursion;
use crate::second_moment::require_same_number;
use crate::{BatchSampling, DynamicsError, Optimizer, Result};

/// Within these bounds no square of a curvature or of a learning rate leaves the range of numbers.
const SHARPNESS: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// Exact mean-square stability of one ensemble under one optimizer and one sampling scheme.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
/// use linstab_linalg::{Factored, Reduced};
/// // Four samples with scalar curvatures 1, 1, 1, 3 (factors 1, 1, 1, sqrt 3), batches of one, drawn Bernoulli.
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?;
/// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
/// assert!((sgd.max_learning_rate()?.value - 2.0 / 3.0).abs() < 1e-14);
/// // Momentum: 2 / (l / (1 + beta) + s^2 / (l (1 - beta))) with l = 3/2 and s^2 = 9/4.
/// let momentum = sgd.with_momentum(0.5)?;
/// assert!((momentum.max_learning_rate()?.value - 0.5).abs() < 1e-14);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MeanSquare {
    /// As it was given.
    pub(super) plain: Reduced,
    pub(super) effective: Reduced,
    /// Square roots of the congruence: effective coordinates are these times the original ones.
    pub(super) congruence: Vec<f64>,
    pub(super) optimizer: Optimizer,
    pub(super) sampling: BatchSampling,
}

/// How the lower end of a threshold's interval is known.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::CertificateKind;
/// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
/// use linstab_linalg::{Factored, Reduced};
/// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
/// let certificate = |factors: Vec<f64>, momentum: f64| {
///     let ensemble = Reduced::of(&Factored::new(2, 1, 1, factors)?)?;
///     let analysis = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.with_momentum(momentum)?;
///     Ok::<_, linstab_dynamics::DynamicsError>(analysis.max_learning_rate()?.certificate)
/// };
/// assert_eq!(certificate(vec![1.0, 2.0], 0.0)?, CertificateKind::Proven);
/// assert_eq!(certificate(vec![1.0, 2.0], 0.5)?, CertificateKind::Proven);
/// assert_eq!(certificate(vec![0.0, 0.0], 0.0)?, CertificateKind::Trivial);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// By theorem: positive definite blocks that the map does not enlarge (Collatz and Wielandt; see `sample_space`).
    Proven,
    /// By a margin of 1e-6 only: no such blocks were found.
    Residual,
    /// There is nothing to be certified: no curvature, so no threshold.
    Trivial,
}

/// A mean-square threshold.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
/// use linstab_linalg::{Factored, Reduced};
/// // Orthogonal samples of curvature 4 and 1, batches of one: the first alone limits the learning rate, to 2/4.
/// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let threshold = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.max_learning_rate()?;
/// assert!((threshold.value - 0.5).abs() < 1e-12);
/// assert!(threshold.interval.0 <= 0.5 && 0.5 <= threshold.interval.1);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The learning rate below which the mean square decays and above which it grows; infinite without curvature.
    pub value: f64,
    /// Two-sided bounds on the exact threshold, with an allowance for rounding and for directions left out by the reduction.
    pub interval: (f64, f64),
    /// How the lower bound is known; the upper one is a Rayleigh quotient and needs no certificate.
    pub certificate: CertificateKind,
    /// Applications of the operator in sample space, or of the matrix that was made of it: a measure of the work.
    pub num_applications: usize,
    /// Rank of the ensemble.
    pub(super) rank: usize,
    /// The critical second moment; empty without curvature.
    pub(super) moment: CriticalMoment,
}

impl Threshold {
    /// Without curvature, weight decay alone limits the learning rate.
    pub(super) fn without_curvature(limit: f64) -> Self {
        let (interval, certificate) = ((limit, limit), CertificateKind::Trivial);
        Self {
            value: limit,
            interval,
            certificate,
            num_applications: 0,
            rank: 0,
            moment: CriticalMoment::default(),
        }
    }
}

impl MeanSquare {
    /// The analysis of `optimizer` on `ensemble` under `sampling`; for a preconditioned optimizer the ensemble is that of the
    /// [rescaled](linstab_linalg::Factored::rescaled) factors, each parameter divided by the root of its preconditioner.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ, [`DynamicsError::OutOfRange`] for a bad parameter
    /// or a sharpness outside of 1e-100 to 1e100; [`DynamicsError::Unsupported`] for ascent on the mini-batch.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 2.0])?)?;
    /// let for_three = BatchSampling::new(SamplingScheme::Bernoulli, 3, 1)?;
    /// let error = MeanSquare::new(&ensemble, Optimizer::sgd(), for_three).unwrap_err();
    /// assert_eq!(error.to_string(), "number of samples of the sampling scheme is 3, expected 2");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(ensemble: &Reduced, optimizer: Optimizer, sampling: BatchSampling) -> Result<Self> {
        require_same_number(ensemble.num_samples(), sampling)?;
        Self::unchecked(ensemble, optimizer, sampling)
    }

    pub(super) fn unchecked(
        ensemble: &Reduced,
        optimizer: Optimizer,
        sampling: BatchSampling,
    ) -> Result<Self> {
        if optimizer.batch_ascent().is_some() {
            let (what, why) = (
                "SGD's analysis of ascent on the mini-batch",
                "no congruence makes SGD of it; ask `BatchAscentSam`",
            );
            return Err(DynamicsError::Unsupported { what, why });
        }
        let effective = ensemble.congruent(|mean| optimizer.congruence(mean).sqrt());
        let congruence =
            ensemble.mean_eigenvalues().iter().map(|&mean| optimizer.congruence(mean).sqrt()).collect();
        if let Some(&value) = effective.mean_eigenvalues().first()
            && !SHARPNESS.contains(&value)
        {
            let (name, allowed) =
                ("the sharpness (under the update rule)", "1e-100 to 1e100; rescale the factors");
            return Err(DynamicsError::OutOfRange { name, value, allowed });
        }
        Ok(Self { plain: ensemble.clone(), effective, congruence, optimizer, sampling })
    }

    /// The same with heavy-ball momentum `beta`: `w <- w - eta (gradient) + beta (w - w_prev)`.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `-1 < momentum < 1`.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Gradient descent on curvature 1 with momentum 1/2: 2 (1 + 1/2).
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let heavy_ball = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.with_momentum(0.5)?;
    /// assert!((heavy_ball.max_learning_rate()?.value - 3.0).abs() < 1e-14);
    /// assert!(heavy_ball.with_momentum(1.0).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn with_momentum(mut self, momentum: f64) -> Result<Self> {
        self.optimizer = self.optimizer.with_momentum(momentum)?;
        Ok(self)
    }

    /// The ensemble on which plain SGD (or plain heavy ball) has the linear map of the rule.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // SAM with c = 1 on curvature 1 is SGD on curvature 1 (1 + 1).
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sam = MeanSquare::new(&ensemble, Optimizer::sam(1.0)?, sampling)?;
    /// assert!((sam.effective_ensemble().mean_eigenvalues()[0] - 2.0).abs() < 1e-15);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn effective_ensemble(&self) -> &Reduced {
        &self.effective
    }

    /// The optimizer.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// assert_eq!(MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.optimizer(), Optimizer::sgd());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// The sampling scheme and its sizes.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// assert_eq!(MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.sampling(), sampling);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn sampling(&self) -> BatchSampling {
        self.sampling
    }

    /// Learning rate up to which the full-batch method is stable, for heavy ball `2 (1 + beta) / lambda_max`; infinite without curvature and
    /// weight decay.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1 and 3 have the mean 2; with momentum 1/2 the limit 1 becomes 3/2.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?)?;
    /// assert!((sgd.gradient_descent_limit() - 1.0).abs() < 1e-15);
    /// assert!((sgd.with_momentum(0.5)?.gradient_descent_limit() - 1.5).abs() < 1e-15);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn gradient_descent_limit(&self) -> f64 {
        let sharpness = self.effective.mean_eigenvalues().first().copied().unwrap_or(0.0);
        self.recursion().noise_free_limit(sharpness)
    }

    /// The exact mean-square threshold, with a two-sided interval.
    ///
    /// # Cost
    /// Some tens of applications of an operator on one number a sample (a block of k x k with k factors), each of about
    /// `2 n k r^2` multiplications; memory for some five matrices of order r.
    /// # Accuracy
    /// A relative 1e-10 without momentum (with it, times `((1 + beta) / (1 - beta))^2` at worst); the interval says what is proven.
    /// # Errors
    /// [`DynamicsError::Linalg`] if the Lanczos iteration does not converge.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1, 1, 1, 3, batches of one: E (1 - eta h)^2 = 1 - 3 eta + 3 eta^2 is below 1 for eta < 1.
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1)?;
    /// let threshold = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.max_learning_rate()?;
    /// assert!((threshold.value - 1.0).abs() < 1e-14);
    /// assert!(threshold.interval.0 <= 1.0 && 1.0 <= threshold.interval.1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Mulayoff and Michaeli 2024; with momentum, the [module documentation](super).
    pub fn max_learning_rate(&self) -> Result<Threshold> {
        ThresholdSolver::new(&self.plain).max_learning_rate(self)
    }

    /// By what factor rounding, and the directions that the reduction left out, can move a threshold. Momentum amplifies both: a
    /// direction of curvature h loses stability at the noise `h (1 - beta) / (1 + beta)`, and `1 - beta` is rounded, too.
    pub(super) fn rounding(&self) -> f64 {
        let memory = self.recursion().memory.abs();
        let amplification = ((1.0 + memory) / (1.0 - memory)).powi(2);
        let dropped = RANK_TOLERANCE * self.effective.num_dropped() as f64;
        1.0 + amplification * (1e-13 * (self.effective.rank() as f64).sqrt() + dropped)
    }

    /// The threshold of a method without sampling noise: the sharpest direction decides.
    pub(super) fn without_noise(&self, limit: f64) -> Threshold {
        let rank = self.effective.rank();
        let sharpest = packed::from_fn(rank, |row, column| f64::from(u8::from(row == 0 && column == 0)));
        let moment = CriticalMoment { leading: sharpest, ..CriticalMoment::default() };
        let interval = (limit / self.rounding(), limit * self.rounding());
        let certificate = CertificateKind::Proven;
        Threshold { value: limit, interval, certificate, num_applications: 0, rank, moment }
    }

    /// The largest mean eigenvalue of the effective ensemble, which has one.
    pub(super) fn sharpness(&self) -> f64 {
        self.effective.mean_eigenvalues()[0]
    }

    /// Accepts a learning rate whose square, in units of the sharpness, is a normal number.
    pub(super) fn require_in_range(&self, learning_rate: f64) -> Result<()> {
        let value = learning_rate * self.sharpness();
        if SHARPNESS.contains(&value) {
            return Ok(());
        }
        let (name, allowed) = ("learning_rate times sharpness", "1e-100 to 1e100");
        Err(DynamicsError::OutOfRange { name, value, allowed })
    }

    /// `a - 1`, computed without cancellation: `-b` for batches of fixed size, 0 for Bernoulli sampling.
    pub(super) fn full_batch_excess(&self) -> f64 {
        self.moment_weights().excess
    }

    pub(super) fn critical_weights(&self) -> CriticalWeights {
        CriticalWeights { recursion: self.recursion(), excess: self.full_batch_excess() }
    }

    pub(crate) fn recursion(&self) -> Recursion {
        self.optimizer.recursion()
    }

    /// `b / n`: the weight of each sample in the second moment.
    pub(crate) fn sample_weight(&self) -> f64 {
        self.moment_weights().per_sample / self.effective.num_samples() as f64
    }

    /// `E[H_t X H_t]` for a symmetric `X`.
    pub(super) fn batch_second_moment(&self, x: &Mat<f64>) -> Mat<f64> {
        let weights = self.moment_weights();
        let per_sample = self.sample_weight();
        let mut operator =
            WeightedSandwich::new(&self.effective, |_, _| 1.0, |a, b| weights.full_batch * a * b, per_sample);
        let mut image = vec![0.0; operator.dim()];
        operator.apply(&packed::pack(x.as_ref()), &mut image);
        packed::unpack(&image, self.effective.rank())
    }
}
