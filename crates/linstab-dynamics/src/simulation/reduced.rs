//! Runs of the linear dynamics on any reduced ensemble, with or without momentum.

use std::sync::Arc;

use linstab_linalg::Reduced;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Divergence, Run, squared_norm};
use crate::error::require_nonnegative;
use crate::optimizer::Recursion;
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
    /// The factors, one after the other: a step reads whole rows.
    factors: Arc<[f64]>,
    sampler: BatchSampler<Box<[u64]>>,
    /// `eta / B`.
    scale: f64,
    learning_rate: f64,
    recursion: Recursion,
    noise: f64,
    batch: Vec<usize>,
    perturbed: Vec<f64>,
    gradient: Vec<f64>,
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
        require_nonnegative("learning_rate", learning_rate, true)?;
        let ensemble = dynamics.effective_ensemble();
        let (matrix, rank) = (ensemble.factors(), ensemble.rank());
        let entries = (0..matrix.nrows()).flat_map(|row| (0..rank).map(move |a| matrix[(row, a)]));
        Ok(Self {
            ensemble,
            factors: entries.collect(),
            sampler: BatchSampler::new(dynamics.sampling()),
            scale: learning_rate / dynamics.sampling().batch_size() as f64,
            learning_rate,
            recursion: dynamics.recursion(),
            noise: dynamics.optimizer().perturbation_standard_deviation(),
            batch: Vec::new(),
            perturbed: Vec::new(),
            gradient: vec![0.0; ensemble.rank()],
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
        !self.recursion.is_memoryless()
    }

    /// Makes one step of iterate and memory.
    pub(crate) fn step<R: Rng>(&mut self, w: &mut [f64], memory: &mut [f64], rng: &mut R) {
        self.sampler.draw_indices(rng, &mut self.batch);
        self.perturbed.clear();
        self.perturbed.extend_from_slice(w);
        if self.noise > 0.0 {
            for x in &mut self.perturbed {
                let normal: f64 = StandardNormal.sample(rng);
                *x += self.noise * normal;
            }
        }
        self.gradient.fill(0.0);
        let (k, rank) = (self.ensemble.num_factors(), self.ensemble.rank());
        for &sample in self.batch.iter().filter(|_| rank > 0) {
            for factor in self.factors[sample * k * rank..(sample + 1) * k * rank].chunks_exact(rank) {
                add_projection(&mut self.gradient, factor, &self.perturbed);
            }
        }
        let Recursion { memory: keep, input, direct, output, coupled_decay, decoupled_decay } =
            self.recursion;
        let (coupled, decoupled) = (self.learning_rate * coupled_decay, self.learning_rate * decoupled_decay);
        for ((w, memory), g) in w.iter_mut().zip(memory.iter_mut()).zip(&self.gradient) {
            let gradient = self.scale * g + coupled * *w;
            *memory = keep * *memory + input * gradient;
            *w -= decoupled * *w + direct * gradient + output * *memory;
        }
    }
}

/// Adds `f (f^T x)`. Eight partial sums, so that the product is not one long chain of additions.
fn add_projection(sum: &mut [f64], factor: &[f64], x: &[f64]) {
    const LANES: usize = 8;
    let (whole, rest) = factor.as_chunks::<LANES>();
    let (whole_x, rest_x) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (f, x) in whole.iter().zip(whole_x) {
        for ((lane, f), x) in lanes.iter_mut().zip(f).zip(x) {
            *lane += f * x;
        }
    }
    let overlap = lanes.iter().sum::<f64>() + rest.iter().zip(rest_x).map(|(f, x)| f * x).sum::<f64>();
    for (sum, f) in sum.iter_mut().zip(factor) {
        *sum += f * overlap;
    }
}
