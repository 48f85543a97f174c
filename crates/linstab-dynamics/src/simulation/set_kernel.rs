//! The fast kernel: noise-free rules, batches that are sets.

use linstab_linalg::{AxisAligned, Ensemble, ensemble::Axis};
use rand::Rng;

use super::counters::BitSlicedCounters;
use super::{Divergence, Run, squared_norm};
use crate::AxisAlignedDynamics;
use crate::axis_aligned::step_factor;
use crate::sampling::{BatchSampler, BitSet};

/// Slack of the bound below: far above the rounding of the sum it stands for, far below anything it would delay.
const BOUND_SLACK: f64 = 1.0 + 1e-9;
/// Slack of each step of the bound, above the rounding of the two products it stands for.
const STEP_SLACK: f64 = 1.0 + 8.0 * f64::EPSILON;

#[derive(Clone, Debug)]
pub(crate) struct SetKernel<S> {
    num_samples: usize,
    sampler: BatchSampler<S>,
    shared: Vec<SharedAxis<S>>,
    private: Vec<PrivateAxis>,
    /// Largest squared factor of a private axis, at least 1.
    private_growth: f64,
}

/// An axis that several samples move, all by the same curvature or in several groups.
#[derive(Clone, Debug)]
struct SharedAxis<S> {
    axis: usize,
    groups: Vec<(f64, S)>,
    /// With a single group: the factor for each number of drawn members.
    factors: Vec<f64>,
}

/// An axis that one sample moves: after `c` draws of it the coordinate is its start times `factor^c`.
#[derive(Clone, Debug)]
struct PrivateAxis {
    axis: usize,
    sample: usize,
    factor: f64,
}

impl<S: BitSet> SetKernel<S> {
    pub(crate) fn new(dynamics: &AxisAlignedDynamics, learning_rate: f64) -> Self {
        let (ensemble, sampling) = (dynamics.effective_ensemble(), dynamics.sampling());
        let scale = learning_rate / sampling.batch_size() as f64;
        let (mut shared, mut private) = (Vec::new(), Vec::new());
        for (axis, entries) in ensemble.axes().enumerate() {
            match (entries.samples(), entries.curvatures()) {
                ([], _) => {}
                (&[sample], &[curvature]) => {
                    private.push(PrivateAxis { axis, sample, factor: step_factor(scale * curvature) });
                }
                _ => shared.push(SharedAxis::new(axis, entries, ensemble, scale)),
            }
        }
        let private_growth = private.iter().map(|axis| axis.factor * axis.factor).fold(1.0, f64::max);
        let sampler = BatchSampler::new(sampling);
        Self { num_samples: ensemble.num_samples(), sampler, shared, private, private_growth }
    }

    pub(crate) fn run<R: Rng>(&mut self, start: &[f64], divergence: Divergence, rng: &mut R) -> Run {
        self.sampler.restart();
        let initial = squared_norm(start);
        let limit = divergence.squared_growth_factor() * initial;
        let mut batch = S::empty(self.num_samples);
        let mut counters = BitSlicedCounters::new(self.num_samples, divergence.num_steps());
        let mut shared: Vec<f64> = self.shared.iter().map(|axis| start[axis.axis]).collect();
        // The private coordinates enter the test through an upper bound on their squared norm; only when that could
        // push the sum over the limit is the norm itself worked out, and the bound starts afresh from it. Their first
        // bound holds the coordinates that nothing moves, too.
        let still = self.still_squared_norm(start);
        let mut private_bound = initial * BOUND_SLACK;
        for step in 1..=divergence.num_steps() {
            self.sampler.draw_set(rng, &mut batch);
            counters.add(&batch);
            let mut shared_squared_norm = 0.0;
            for (value, axis) in shared.iter_mut().zip(&self.shared) {
                *value *= axis.factor(&batch);
                shared_squared_norm += *value * *value;
            }
            private_bound *= self.private_growth * STEP_SLACK;
            if shared_squared_norm + private_bound > limit {
                let others = still + self.private_squared_norm(start, &counters);
                if shared_squared_norm + others > limit {
                    return Divergence::diverged(step, initial, shared_squared_norm + others);
                }
                private_bound = others * BOUND_SLACK;
            }
        }
        let others = still + self.private_squared_norm(start, &counters);
        divergence.completed(initial, squared_norm(&shared) + others)
    }

    fn private_squared_norm(&self, start: &[f64], counters: &BitSlicedCounters<S>) -> f64 {
        // A start of exactly 0 stays there, also where the power overflows.
        let moving = self.private.iter().filter(|axis| start[axis.axis].abs() > 0.0);
        let coordinate =
            |axis: &PrivateAxis| start[axis.axis] * power(axis.factor, counters.count(axis.sample));
        moving.map(coordinate).map(|w| w * w).sum()
    }

    /// Squared norm of the coordinates without curvature.
    fn still_squared_norm(&self, start: &[f64]) -> f64 {
        let mut still = start.to_vec();
        self.shared.iter().for_each(|axis| still[axis.axis] = 0.0);
        self.private.iter().for_each(|axis| still[axis.axis] = 0.0);
        squared_norm(&still)
    }
}

impl<S: BitSet> SharedAxis<S> {
    fn new(index: usize, axis: Axis<'_>, ensemble: &AxisAligned, scale: f64) -> Self {
        let mut groups: Vec<(f64, S)> = Vec::new();
        for (&sample, &curvature) in axis.samples().iter().zip(axis.curvatures()) {
            let step = scale * curvature;
            let known = groups.iter().position(|(other, _)| other.to_bits() == step.to_bits());
            let at = known.unwrap_or_else(|| {
                groups.push((step, S::empty(ensemble.num_samples())));
                groups.len() - 1
            });
            groups[at].1.insert(sample);
        }
        let factors = match &groups[..] {
            [(step, members)] => {
                (0..=members.len()).map(|count| step_factor(f64::from(count) * step)).collect()
            }
            _ => Vec::new(),
        };
        Self { axis: index, groups, factors }
    }

    #[inline]
    fn factor(&self, batch: &S) -> f64 {
        if let [(_, members)] = &self.groups[..] {
            return self.factors[batch.intersection_len(members) as usize];
        }
        let step = |(step, members): &(f64, S)| f64::from(batch.intersection_len(members)) * step;
        step_factor(self.groups.iter().map(step).sum())
    }
}

/// `base^exponent` by repeated squaring; the standard library's `powi` does not promise the same bits everywhere.
fn power(base: f64, exponent: usize) -> f64 {
    let (mut square, mut rest, mut result) = (base, exponent, 1.0);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}
