//! Runs of the linear dynamics on axis-aligned ensembles, and how they end.
//!
//! [`Simulator`] is set up once for an ensemble, rule, scheme and learning rate and then makes any number of runs.
//! Two kernels share its interface:
//! - `set_kernel`, for rules without noise and batches that are sets: a coordinate that only one sample moves depends
//!   on nothing but how often that sample was drawn, so the kernel counts draws in bit-sliced counters and works out
//!   those coordinates only when their norm could matter;
//! - `step_kernel`, for everything else: it updates each coordinate that a drawn sample moves.
//!
//! Both draw every batch of every step; `testing` has the slow, obvious twin of both.

mod counters;
mod reduced;
mod set_kernel;
mod step_kernel;
pub(crate) mod stepper;

use linstab_linalg::Ensemble;
use rand::Rng;

use crate::error::require_nonnegative;
use crate::{AxisAlignedDynamics, DynamicsError, Result};
pub use reduced::ReducedSimulator;
use set_kernel::SetKernel;
use step_kernel::StepKernel;

/// How a run ended. Divergence is a result, not an error.
///
/// # Examples
/// ```
/// use linstab_dynamics::Outcome;
/// // A squared norm that grows fourfold a step exceeds 1000 times its start after 5 steps: 4^5 = 1024.
/// let outcome = Outcome::Diverged { step: 5 };
/// assert_ne!(outcome, Outcome::Converged);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were made, and the measured norm ended at most `1 / growth_factor` of its start.
    Converged,
    /// The measured norm exceeded `growth_factor` times its start after this step (the first step is 1).
    Diverged {
        /// The step after which the run was stopped.
        step: usize,
    },
    /// All steps were made, and the measured norm ended in between.
    Undecided,
}

/// What is compared with its start to tell divergence.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Simulator};
/// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
/// use linstab_linalg::AxisAligned;
/// use rand::SeedableRng;
/// // w is multiplied by 1 - 3 = -2 each step: |w| exceeds 1000 times its start after 10 steps, |w|^2 after 5.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
/// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
/// for (measured, num_steps) in [(MeasuredNorm::Norm, 10), (MeasuredNorm::SquaredNorm, 5)] {
///     let divergence = Divergence::new(100, 1000.0, measured)?;
///     let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
///     assert_eq!(Simulator::new(&dynamics, 3.0)?.run(&[1.0], divergence, &mut rng)?.num_steps, num_steps);
/// }
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum MeasuredNorm {
    /// `|w|`, as the text of arXiv 2511.17378 (C.3) has it.
    Norm,
    /// `|w|^2`, as its published program has it.
    SquaredNorm,
}

/// When a run counts as diverged, and how long it may last.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Divergence, MeasuredNorm};
/// // A hundred steps; diverged once the norm is ten times its start, converged if it ends at a tenth.
/// let divergence = Divergence::new(100, 10.0, MeasuredNorm::Norm)?;
/// assert_eq!(divergence.num_steps(), 100);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    num_steps: usize,
    growth_factor: f64,
    measured: MeasuredNorm,
}

impl Divergence {
    /// Runs of `num_steps` steps, diverged once the measured norm exceeds `growth_factor` times its start.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for no step, or a factor that is not above 1 and finite.
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::{Divergence, MeasuredNorm};
    /// let error = Divergence::new(100, 1.0, MeasuredNorm::Norm).unwrap_err();
    /// assert_eq!(error.to_string(), "growth_factor is 1, allowed: above 1 and finite");
    /// ```
    pub fn new(num_steps: usize, growth_factor: f64, measured: MeasuredNorm) -> Result<Self> {
        if num_steps == 0 {
            return Err(DynamicsError::OutOfRange { name: "num_steps", value: 0.0, allowed: "at least 1" });
        }
        if !(growth_factor > 1.0 && growth_factor.is_finite()) {
            let allowed = "above 1 and finite";
            return Err(DynamicsError::OutOfRange { name: "growth_factor", value: growth_factor, allowed });
        }
        let divergence = Self { num_steps, growth_factor, measured };
        let (name, value) = ("square of growth_factor", divergence.squared_growth_factor());
        if value.is_finite() {
            Ok(divergence)
        } else {
            Err(DynamicsError::OutOfRange { name, value, allowed: "finite" })
        }
    }

    /// Largest number of steps of a run.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::{Divergence, MeasuredNorm};
    /// assert_eq!(Divergence::new(100, 10.0, MeasuredNorm::Norm)?.num_steps(), 100);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn num_steps(self) -> usize {
        self.num_steps
    }

    /// The growth factor in terms of the squared norm.
    pub(crate) fn squared_growth_factor(self) -> f64 {
        match self.measured {
            MeasuredNorm::Norm => self.growth_factor * self.growth_factor,
            MeasuredNorm::SquaredNorm => self.growth_factor,
        }
    }

    /// The run that made all its steps without diverging.
    pub(crate) fn completed(self, initial_squared_norm: f64, final_squared_norm: f64) -> Run {
        let converged = final_squared_norm * self.squared_growth_factor() <= initial_squared_norm;
        let outcome = if converged { Outcome::Converged } else { Outcome::Undecided };
        Run { outcome, num_steps: self.num_steps, initial_squared_norm, final_squared_norm }
    }

    /// The run that was stopped after `step`.
    pub(crate) fn diverged(step: usize, initial_squared_norm: f64, final_squared_norm: f64) -> Run {
        let outcome = Outcome::Diverged { step };
        Run { outcome, num_steps: step, initial_squared_norm, final_squared_norm }
    }
}

/// One finished run.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Outcome, Run};
/// let run = Run { outcome: Outcome::Undecided, num_steps: 10, initial_squared_norm: 1.0, final_squared_norm: 0.5 };
/// assert!(!run.diverged());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// Number of steps that were made.
    pub num_steps: usize,
    /// `|w_0|^2`.
    pub initial_squared_norm: f64,
    /// `|w|^2` after the last step that was made; it can be infinite after a divergence.
    pub final_squared_norm: f64,
}

impl Run {
    /// Whether the run diverged.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::{Outcome, Run};
    /// let outcome = Outcome::Diverged { step: 5 };
    /// assert!(Run { outcome, num_steps: 5, initial_squared_norm: 1.0, final_squared_norm: 1024.0 }.diverged());
    /// ```
    pub fn diverged(&self) -> bool {
        matches!(self.outcome, Outcome::Diverged { .. })
    }
}

/// Makes runs of one dynamics at one learning rate.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome, Simulator};
/// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
/// use linstab_linalg::AxisAligned;
/// use rand::SeedableRng;
/// // A full batch of curvature 1 and learning rate 3: w is multiplied by -2 each step, w^2 by 4.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
/// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
/// let divergence = Divergence::new(1000, 1000.0, MeasuredNorm::SquaredNorm)?;
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let run = Simulator::new(&dynamics, 3.0)?.run(&[1.0], divergence, &mut rng)?;
/// assert_eq!(run.outcome, Outcome::Diverged { step: 5 }); // 4^5 = 1024
/// assert_eq!(run.final_squared_norm, 1024.0);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simulator {
    dim: usize,
    kernel: Kernel,
}

/// Up to 64 and 128 samples the sets are arrays of known length, so that every loop over words is unrolled.
#[derive(Clone, Debug)]
enum Kernel {
    Set64(SetKernel<[u64; 1]>),
    Set128(SetKernel<[u64; 2]>),
    Set(SetKernel<Box<[u64]>>),
    Step(StepKernel),
}

impl Simulator {
    /// A simulator of `dynamics` at `learning_rate`.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `learning_rate` is positive, finite, and small enough for the product with
    /// the sum of the curvatures to be finite, too; [`DynamicsError::Unsupported`] with momentum or weight decay.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Simulator, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let error = Simulator::new(&dynamics, 0.0).unwrap_err();
    /// assert_eq!(error.to_string(), "learning_rate is 0, allowed: positive and finite");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(dynamics: &AxisAlignedDynamics, learning_rate: f64) -> Result<Self> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        if !dynamics.optimizer().recursion().is_sgd() {
            let (what, why) = (
                "a simulation axis by axis",
                "it knows no momentum and no weight decay; reduce the ensemble",
            );
            return Err(DynamicsError::Unsupported { what, why });
        }
        let total: f64 = dynamics.effective_ensemble().axes().flat_map(|axis| axis.curvatures()).sum();
        require_nonnegative("learning_rate times the sum of the curvatures", learning_rate * total, false)?;
        let noise_free = dynamics.optimizer().perturbation_standard_deviation() <= 0.0;
        let sets = dynamics.sampling().scheme().draws_sets();
        let kernel = match dynamics.sampling().num_samples() {
            _ if !(noise_free && sets) => Kernel::Step(StepKernel::new(dynamics, learning_rate)),
            0..=64 => Kernel::Set64(SetKernel::new(dynamics, learning_rate)),
            65..=128 => Kernel::Set128(SetKernel::new(dynamics, learning_rate)),
            _ => Kernel::Set(SetKernel::new(dynamics, learning_rate)),
        };
        Ok(Self { dim: dynamics.effective_ensemble().dim(), kernel })
    }

    /// One run from `start`, drawing from `rng`. The result depends on nothing but these arguments and the dynamics.
    ///
    /// # Shapes
    /// `start`: (dim), finite.
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] for a start of another length, [`DynamicsError::OutOfRange`] for one that is not
    /// finite, or so large that divergence could not be told.
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome, Simulator};
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// use rand::SeedableRng;
    /// // w is halved each step: after ten steps w^2 is 2^-20, below 1/1000 of its start.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let divergence = Divergence::new(10, 1000.0, MeasuredNorm::SquaredNorm)?;
    /// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    /// let run = Simulator::new(&dynamics, 0.5)?.run(&[1.0], divergence, &mut rng)?;
    /// assert_eq!((run.outcome, run.final_squared_norm), (Outcome::Converged, 0.5_f64.powi(20)));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn run<R: Rng>(&mut self, start: &[f64], divergence: Divergence, rng: &mut R) -> Result<Run> {
        if start.len() != self.dim {
            let what = "length of the start";
            return Err(DynamicsError::SizeMismatch { what, expected: self.dim, found: start.len() });
        }
        if let Some(&value) = start.iter().find(|value| !value.is_finite()) {
            return Err(DynamicsError::OutOfRange {
                name: "an entry of the start",
                value,
                allowed: "finite",
            });
        }
        let limit = squared_norm(start) * divergence.squared_growth_factor();
        if !limit.is_finite() {
            let name = "squared norm of the start times the growth factor";
            return Err(DynamicsError::OutOfRange { name, value: limit, allowed: "finite" });
        }
        Ok(match &mut self.kernel {
            Kernel::Set64(kernel) => kernel.run(start, divergence, rng),
            Kernel::Set128(kernel) => kernel.run(start, divergence, rng),
            Kernel::Set(kernel) => kernel.run(start, divergence, rng),
            Kernel::Step(kernel) => kernel.run(start, divergence, rng),
        })
    }
}

/// `sum_a w_a^2`.
pub(crate) fn squared_norm(w: &[f64]) -> f64 {
    w.iter().map(|x| x * x).sum()
}
