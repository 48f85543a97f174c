//! The general kernel: any scheme, with or without noise, one coordinate update for each axis a batch moves.

use linstab_linalg::Ensemble;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Divergence, Run, squared_norm};
use crate::AxisAlignedDynamics;
use crate::axis_aligned::step_factor;
use crate::sampling::BatchSampler;

/// The running squared norm is off by at most (number of updates) * epsilon * (largest value so far), and that value is
/// below the limit as long as the run lasts: for 10^8 updates this margin covers it tenfold.
const NORM_MARGIN: f64 = 1.0 - 1e-6;

#[derive(Clone, Debug)]
pub(crate) struct StepKernel {
    sampler: BatchSampler<Box<[u64]>>,
    /// The axes that sample `i` moves, and by how much: `entries[offsets[i]..offsets[i + 1]]`.
    offsets: Vec<usize>,
    entries: Vec<(usize, f64)>,
    noise: f64,
    scratch: Scratch,
}

#[derive(Clone, Debug, Default)]
struct Scratch {
    batch: Vec<usize>,
    w: Vec<f64>,
    /// `eta h_t` along each axis; zero between steps.
    steps: Vec<f64>,
    touched: Vec<usize>,
}

impl StepKernel {
    pub(crate) fn new(dynamics: &AxisAlignedDynamics, learning_rate: f64) -> Self {
        let (ensemble, sampling) = (dynamics.effective_ensemble(), dynamics.sampling());
        let scale = learning_rate / sampling.batch_size() as f64;
        let mut by_sample = vec![Vec::new(); ensemble.num_samples()];
        for (axis, entries) in ensemble.axes().enumerate() {
            for (&sample, &curvature) in entries.samples().iter().zip(entries.curvatures()) {
                by_sample[sample].push((axis, scale * curvature));
            }
        }
        let mut offsets = vec![0];
        offsets.extend(by_sample.iter().scan(0, |end, entries| {
            *end += entries.len();
            Some(*end)
        }));
        Self {
            sampler: BatchSampler::new(sampling),
            offsets,
            entries: by_sample.concat(),
            noise: dynamics.optimizer().perturbation_standard_deviation(),
            scratch: Scratch { steps: vec![0.0; ensemble.dim()], ..Scratch::default() },
        }
    }

    #[expect(
        clippy::neg_cmp_op_on_partial_ord,
        reason = "a norm that overflowed to NaN must count as above the limit"
    )]
    pub(crate) fn run<R: Rng>(&mut self, start: &[f64], divergence: Divergence, rng: &mut R) -> Run {
        self.sampler.restart();
        self.scratch.w.clear();
        self.scratch.w.extend_from_slice(start);
        let initial = squared_norm(start);
        let limit = divergence.squared_growth_factor() * initial;
        let mut running = initial;
        for step in 1..=divergence.num_steps() {
            running += self.step(rng);
            if !(running <= limit * NORM_MARGIN) {
                running = squared_norm(&self.scratch.w);
                if !(running <= limit) {
                    return Divergence::diverged(step, initial, running);
                }
            }
        }
        divergence.completed(initial, squared_norm(&self.scratch.w))
    }

    /// Makes one step and returns the change of the squared norm.
    fn step<R: Rng>(&mut self, rng: &mut R) -> f64 {
        let Scratch { batch, w, steps, touched } = &mut self.scratch;
        self.sampler.draw_indices(rng, batch);
        for &sample in batch.iter() {
            for &(axis, step) in &self.entries[self.offsets[sample]..self.offsets[sample + 1]] {
                if steps[axis] <= 0.0 {
                    touched.push(axis);
                }
                steps[axis] += step;
            }
        }
        let mut change = 0.0;
        for axis in touched.drain(..) {
            let (step, before) = (std::mem::take(&mut steps[axis]), w[axis]);
            let mut after = step_factor(step) * before;
            if self.noise > 0.0 {
                let normal: f64 = StandardNormal.sample(rng);
                after -= step * self.noise * normal;
            }
            w[axis] = after;
            change += after * after - before * before;
        }
        change
    }
}
