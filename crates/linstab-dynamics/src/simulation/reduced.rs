//! Runs of the linear dynamics on any reduced ensemble, with or without momentum.

use linstab_linalg::Reduced;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::stepper::Stepper;
use super::{Divergence, Run, squared_norm};
use crate::sampling::BatchSampler;
use crate::{DynamicsError, MeanSquare, Result};

/// Makes runs in the reduced coordinates by the optimizer's [recursion](crate::optimizer::Recursion), with the gradient
/// `H_t (w + delta_t)`, `H_t` from the factors of the drawn samples; the memory is empty at the start, `delta_t` is the rule's
/// perturbation. For SAM `w` stands for `A^{1/2} w`, the
/// coordinates of the effective ensemble: start and norms are taken there.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome, ReducedSimulator};
/// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
/// use linstab_linalg::{Factored, Reduced};
/// use rand::SeedableRng;
/// // One sample of curvature 1 and learning rate 3: w is multiplied by -2 each step.
/// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
/// let dynamics = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
/// let divergence = Divergence::new(1000, 1000.0, MeasuredNorm::SquaredNorm)?;
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let run = ReducedSimulator::new(&dynamics, 3.0)?.run(&[1.0], divergence, &mut rng)?;
/// assert_eq!(run.outcome, Outcome::Diverged { step: 5 }); // 4^5 = 1024
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReducedSimulator<'a> {
    ensemble: &'a Reduced,
    stepper: Stepper,
    sampler: BatchSampler<Box<[u64]>>,
    batch_size: usize,
    noise: f64,
    batch: Vec<usize>,
}

impl<'a> ReducedSimulator<'a> {
    /// A simulator of `dynamics` at `learning_rate`.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `learning_rate` is positive and finite.
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::ReducedSimulator;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let dynamics = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!(ReducedSimulator::new(&dynamics, 0.1).is_ok());
    /// assert!(ReducedSimulator::new(&dynamics, f64::NAN).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(dynamics: &'a MeanSquare, learning_rate: f64) -> Result<Self> {
        dynamics.require_whole()?;
        let ensemble = dynamics.effective_ensemble();
        Ok(Self {
            ensemble,
            stepper: Stepper::new(ensemble, dynamics.optimizer(), learning_rate)?,
            sampler: BatchSampler::new(dynamics.sampling()),
            batch_size: dynamics.sampling().batch_size(),
            noise: dynamics.optimizer().perturbation_standard_deviation(),
            batch: Vec::new(),
        })
    }

    /// One run from `start`, drawing from `rng`.
    ///
    /// # Shapes
    /// `start`: (rank), finite.
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] for a start of another length, [`DynamicsError::OutOfRange`] for one that is not
    /// finite, or so large that divergence could not be told.
    /// # Examples
    /// ```
    /// use linstab_dynamics::simulation::{Divergence, MeasuredNorm, ReducedSimulator};
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvature 1, learning rate 1, momentum 1/2: w+ = (w - w_prev) / 2, so 1, 0, -1/2, -1/4.
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let heavy_ball = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.with_momentum(0.5)?;
    /// let divergence = Divergence::new(3, 1000.0, MeasuredNorm::SquaredNorm)?;
    /// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    /// let run = ReducedSimulator::new(&heavy_ball, 1.0)?.run(&[1.0], divergence, &mut rng)?;
    /// assert!((run.final_squared_norm - 1.0 / 16.0).abs() < 1e-14);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    #[expect(
        clippy::neg_cmp_op_on_partial_ord,
        reason = "a norm that overflowed to NaN must count as above the limit"
    )]
    pub fn run<R: Rng>(&mut self, start: &[f64], divergence: Divergence, rng: &mut R) -> Result<Run> {
        if start.len() != self.ensemble.rank() {
            let (what, expected) = ("length of the start", self.ensemble.rank());
            return Err(DynamicsError::SizeMismatch { what, expected, found: start.len() });
        }
        let initial = squared_norm(start);
        let limit = initial * divergence.squared_growth_factor();
        if !limit.is_finite() {
            let name = "squared norm of the start times the growth factor";
            return Err(DynamicsError::OutOfRange { name, value: limit, allowed: "finite" });
        }
        self.sampler.restart();
        let (mut w, mut memory) = (start.to_vec(), vec![0.0; start.len()]);
        for step in 1..=divergence.num_steps() {
            self.step(&mut w, &mut memory, rng);
            let norm = squared_norm(&w);
            if !(norm <= limit) {
                return Ok(Divergence::diverged(step, initial, norm));
            }
        }
        Ok(divergence.completed(initial, squared_norm(&w)))
    }

    pub(crate) fn rank(&self) -> usize {
        self.ensemble.rank()
    }

    pub(crate) fn has_memory(&self) -> bool {
        self.stepper.has_memory()
    }

    /// Makes one step of iterate and memory.
    pub(crate) fn step<R: Rng>(&mut self, w: &mut [f64], memory: &mut [f64], rng: &mut R) {
        self.sampler.draw_indices(rng, &mut self.batch);
        let noise = self.noise;
        self.stepper.step((w, memory), &self.batch, self.batch_size, |point| {
            if noise > 0.0 {
                for x in point {
                    let normal: f64 = StandardNormal.sample(rng);
                    *x += noise * normal;
                }
            }
        });
    }
}
