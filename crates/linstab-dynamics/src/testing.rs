//! Slow, obvious twins of the fast code: enumeration of all batches, and simulation by the definition.

use linstab_linalg::{Ensemble, Mat};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::sampling::BatchSampler;
use crate::simulation::{Divergence, Run, squared_norm};
use crate::{AxisAlignedDynamics, BatchSampling, SamplingScheme};

/// Every batch as a list of multiplicities, one a sample, with its probability.
///
/// # Cost
/// `2^n` batches without replacement and Bernoulli, `n^B` with replacement: for `n <= 8` or so.
pub fn enumerate_batches(sampling: BatchSampling) -> Vec<(f64, Vec<u32>)> {
    let (n, b) = (sampling.num_samples(), sampling.batch_size());
    let subsets = || (0..1_u32 << n).map(|mask| (0..n).map(|i| mask >> i & 1).collect::<Vec<u32>>());
    let size = |batch: &Vec<u32>| batch.iter().sum::<u32>() as usize;
    match sampling.scheme() {
        SamplingScheme::WithoutReplacement => {
            let batches: Vec<_> = subsets().filter(|batch| size(batch) == b).collect();
            let probability = 1.0 / batches.len() as f64;
            batches.into_iter().map(|batch| (probability, batch)).collect()
        }
        SamplingScheme::Bernoulli => {
            let p = b as f64 / n as f64;
            let probability = |k: usize| (0..n).map(|i| if i < k { p } else { 1.0 - p }).product();
            subsets().map(|batch| (probability(size(&batch)), batch)).collect()
        }
        SamplingScheme::WithReplacement => {
            let mut batches = vec![vec![0; n]];
            for _ in 0..b {
                let grow = |batch: Vec<u32>| {
                    (0..n).map(move |i| {
                        let mut next = batch.clone();
                        next[i] += 1;
                        next
                    })
                };
                batches = batches.into_iter().flat_map(grow).collect();
            }
            let probability = 1.0 / batches.len() as f64;
            batches.into_iter().map(|batch| (probability, batch)).collect()
        }
    }
}

/// The curvature `(1/B) sum_i multiplicity_i H_i` of one batch.
pub fn batch_hessian(ensemble: &dyn Ensemble, sampling: BatchSampling, multiplicities: &[u32]) -> Mat<f64> {
    let mut sum = Mat::zeros(ensemble.dim(), ensemble.dim());
    for (sample, &multiplicity) in multiplicities.iter().enumerate() {
        sum += ensemble.sample_hessian(sample)
            * linstab_linalg::Scale(f64::from(multiplicity) / sampling.batch_size() as f64);
    }
    sum
}

/// A run by the definition: the diagonal of `H_t` summed over the batch, every coordinate updated, the norm taken afresh
/// each step. Draws the same batches as [`crate::Simulator`] from an equal generator.
pub fn simulate_by_definition<R: Rng>(
    dynamics: &AxisAlignedDynamics,
    learning_rate: f64,
    start: &[f64],
    divergence: Divergence,
    rng: &mut R,
) -> Run {
    let ensemble = dynamics.effective_ensemble();
    let sampling = dynamics.sampling();
    let diagonals: Vec<Vec<f64>> = (0..ensemble.num_samples())
        .map(|i| {
            let hessian = ensemble.sample_hessian(i);
            (0..ensemble.dim()).map(|a| hessian[(a, a)]).collect()
        })
        .collect();
    let mut sampler = BatchSampler::<Box<[u64]>>::new(sampling);
    let mut w = start.to_vec();
    let mut batch = Vec::new();
    let initial = squared_norm(start);
    for step in 1..=divergence.num_steps() {
        sampler.draw_indices(rng, &mut batch);
        let mut curvature = vec![0.0; w.len()];
        let mut moved = Vec::new();
        for &sample in &batch {
            for (axis, h) in diagonals[sample].iter().enumerate() {
                curvature[axis] += h / sampling.batch_size() as f64;
                if *h > 0.0 && !moved.contains(&axis) {
                    moved.push(axis);
                }
            }
        }
        for axis in moved {
            let noise = dynamics.rule().perturbation_standard_deviation();
            let delta = if noise > 0.0 {
                let normal: f64 = StandardNormal.sample(rng);
                noise * normal
            } else {
                0.0
            };
            w[axis] -= learning_rate * curvature[axis] * (w[axis] + delta);
        }
        let norm = squared_norm(&w);
        if norm > divergence.squared_growth_factor() * initial {
            return Divergence::diverged(step, initial, norm);
        }
    }
    divergence.completed(initial, squared_norm(&w))
}
