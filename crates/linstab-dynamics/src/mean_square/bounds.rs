//! Necessary conditions for mean-square stability: cheap upper bounds on the exact threshold.
//!
//! All are Rayleigh quotients of the second-moment map at a chosen matrix. At `X = v v^T`, with `q = v^T H v` and the batch
//! variance `s^2` of the scalars `v^T H_i v`, stability needs `(1 - eta q)^2 + eta^2 s^2 <= 1`, that is
//! `eta <= 2 q / (q^2 + s^2)`: the threshold of the scalar problem along `v`.

use linstab_linalg::{Mat, multiply, symmetric};
use rayon::prelude::*;

use super::MeanSquare;
use crate::{DynamicsError, Result};

/// Samples, and rows of factors, that are worked on at a time; fixed, so that bits are.
const GROUP: usize = 32;
const ROWS: usize = 256;

/// Steps of the ascent on the sphere from each starting direction.
const ASCENT_STEPS: usize = 200;

/// Upper bounds on the threshold of plain SGD (or of a rule congruent to it); infinite without curvature.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::NecessaryConditions;
/// let conditions = NecessaryConditions {
///     sharpest_direction: 0.9, trace: 0.8, worst_direction: 0.5, sample_directions: 0.6, per_sample: None,
/// };
/// assert!(conditions.worst_direction <= conditions.sharpest_direction.min(conditions.sample_directions));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NecessaryConditions {
    /// Along the sharpest direction of the mean. Mulayoff and Michaeli 2024, eq. (15).
    pub sharpest_direction: f64,
    /// On average over all directions (`X = I`). Mulayoff and Michaeli 2024, eq. (16).
    pub trace: f64,
    /// Along the worst direction that an ascent on the sphere finds. Mulayoff and Michaeli 2024, eq. (24).
    pub worst_direction: f64,
    /// Along the sharpest direction of each sample, the worst of them.
    pub sample_directions: f64,
    /// `n (n/B - 1)^{-1/2} / max_i lambda_max(H_i)`; only Bernoulli sampling has it.
    pub per_sample: Option<f64>,
}

impl MeanSquare {
    /// The necessary conditions, each at least the exact threshold.
    ///
    /// # Cost
    /// About `n^2 k^2 r` multiplications for the samples' directions, `n k r` for each step of the ascent.
    /// # Errors
    /// [`DynamicsError::Unsupported`] with momentum or weight decay, for which these bounds are not derived; [`DynamicsError::Linalg`] if an
    /// eigenvalue iteration fails.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1, 1, 1, 3, batches of one: with one direction only, all bounds are the threshold itself, 2/3.
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1)?;
    /// let conditions = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.necessary_conditions()?;
    /// assert!((conditions.sharpest_direction - 2.0 / 3.0).abs() < 1e-14);
    /// assert!((conditions.worst_direction - 2.0 / 3.0).abs() < 1e-14 && (conditions.trace - 2.0 / 3.0).abs() < 1e-14);
    /// // Except for n (n/B - 1)^{-1/2} / max h = 4 / (3 sqrt 3).
    /// assert!(conditions.per_sample.is_some_and(|bound| (bound - 4.0 / 27.0_f64.sqrt()).abs() < 1e-14));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn necessary_conditions(&self) -> Result<NecessaryConditions> {
        if !self.recursion().is_sgd() {
            let (what, why) = ("a necessary condition", "it is derived without momentum and weight decay");
            return Err(DynamicsError::Unsupported { what, why });
        }
        let rank = self.effective.rank();
        let mut sharpest = vec![0.0; rank];
        if let Some(first) = sharpest.first_mut() {
            *first = 1.0;
        }
        let mut conditions = NecessaryConditions {
            sharpest_direction: self.along(&sharpest),
            trace: self.on_average(),
            worst_direction: f64::INFINITY,
            sample_directions: f64::INFINITY,
            per_sample: None,
        };
        let (mut worst, mut max_sharpness) = (sharpest, 0.0_f64);
        for (sample, (sharpness, bound)) in self.along_samples()?.into_iter().enumerate() {
            max_sharpness = max_sharpness.max(sharpness);
            if bound < conditions.sample_directions {
                conditions.sample_directions = bound;
                worst = self.sample_direction(sample)?.1;
            }
        }
        let mut starts = vec![worst];
        starts.extend((rank > 0).then(|| (0..rank).map(|a| f64::from(u8::from(a == 0))).collect()));
        let ascended = starts.into_iter().map(|start| self.ascend(start));
        conditions.worst_direction = ascended.fold(conditions.sample_directions, f64::min);
        if self.sampling.scheme().draws_samples_independently() && max_sharpness > 0.0 {
            conditions.per_sample = Some(1.0 / (max_sharpness * self.sample_weight().sqrt()));
        }
        Ok(conditions)
    }

    /// Of every sample the sharpness, and the bound along its sharpest direction.
    fn along_samples(&self) -> Result<Vec<(f64, f64)>> {
        let samples: Vec<usize> = (0..self.effective.num_samples()).collect();
        let group = |samples: &[usize]| -> Result<Vec<(f64, f64)>> {
            let found = samples.iter().map(|&sample| self.sample_direction(sample));
            let found: Vec<(f64, Vec<f64>)> = found.collect::<Result<_>>()?;
            let directions = Mat::from_fn(self.effective.rank(), samples.len(), |a, i| found[i].1[a]);
            let projections = multiply(self.effective.factors(), directions.as_ref());
            let bounds = (0..samples.len()).map(|i| self.bound(projections.col_as_slice(i)));
            Ok(found.iter().map(|(sharpness, _)| *sharpness).zip(bounds).collect())
        };
        let groups: Vec<Vec<(f64, f64)>> = samples.par_chunks(GROUP).map(group).collect::<Result<_>>()?;
        Ok(groups.concat())
    }

    /// The threshold of the scalar problem along a unit vector; infinite where there is no curvature.
    fn along(&self, direction: &[f64]) -> f64 {
        self.bound(&self.project(direction))
    }

    /// The same, of the projections of all factors on the vector.
    fn bound(&self, projections: &[f64]) -> f64 {
        let (mean, variance) = self.scalar_moments(&self.scalars(projections));
        if mean > 0.0 { 2.0 / (mean + variance / mean) } else { f64::INFINITY }
    }

    /// `v^T H_i v` of every sample, from the projections of its factors.
    fn scalars(&self, projections: &[f64]) -> Vec<f64> {
        let blocks = projections.chunks_exact(self.effective.num_factors());
        blocks.map(|block| block.iter().map(|x| x * x).sum()).collect()
    }

    /// `f^T v` of every factor.
    fn project(&self, direction: &[f64]) -> Vec<f64> {
        let factors = self.effective.factors();
        let direction = Mat::from_fn(direction.len(), 1, |a, _| direction[a]);
        let starts: Vec<usize> = (0..factors.nrows()).step_by(ROWS).collect();
        let rows = |&start: &usize| {
            let rows = factors.subrows(start, ROWS.min(factors.nrows() - start));
            multiply(rows, direction.as_ref()).col_as_slice(0).to_vec()
        };
        starts.par_iter().map(rows).collect::<Vec<_>>().concat()
    }

    /// Mean and batch variance of per-sample scalars.
    pub(super) fn scalar_moments(&self, scalars: &[f64]) -> (f64, f64) {
        let n = scalars.len() as f64;
        let mean = scalars.iter().sum::<f64>() / n;
        let variance = scalars.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let mean_square = scalars.iter().map(|x| x * x).sum::<f64>() / n;
        (mean, self.sampling.batch_variance(variance, mean_square))
    }

    /// `2 tr H / (a |H|_F^2 + (b/n) sum_i |H_i|_F^2)`.
    fn on_average(&self) -> f64 {
        let weights = self.moment_weights();
        let h = self.effective.mean_eigenvalues();
        let trace: f64 = h.iter().sum();
        let full_batch: f64 = h.iter().map(|l| l * l).sum();
        let k = self.effective.num_factors();
        let samples = (0..self.effective.num_samples()).map(|sample| {
            let factors = self.effective.factors().subrows(sample * k, k);
            (factors * factors.transpose()).squared_norm_l2()
        });
        let per_sample = samples.sum::<f64>() / self.effective.num_samples() as f64;
        let second_moment = weights.full_batch * full_batch + weights.per_sample * per_sample;
        if second_moment > 0.0 { 2.0 * trace / second_moment } else { f64::INFINITY }
    }

    /// Largest eigenvalue of a sample's curvature and its unit eigenvector.
    fn sample_direction(&self, sample: usize) -> Result<(f64, Vec<f64>)> {
        let k = self.effective.num_factors();
        let factors = self.effective.factors().subrows(sample * k, k);
        let gram: Mat<f64> = factors * factors.transpose();
        let (values, vectors) = symmetric::eigenpairs(gram.as_ref())?;
        let sharpness = values[k - 1].max(0.0);
        let coordinate = |a: usize| (0..k).map(|q| vectors[(q, k - 1)] * factors[(q, a)]).sum::<f64>();
        let direction: Vec<f64> = (0..self.effective.rank()).map(coordinate).collect();
        Ok((sharpness, normalised(direction)))
    }

    /// Gradient ascent of `q + s^2 / q`, whose maximum is twice the inverse bound, with a step that doubles or halves.
    fn ascend(&self, start: Vec<f64>) -> f64 {
        let mut direction = start;
        let mut projections = self.project(&direction);
        let mut bound = self.bound(&projections);
        let mut step = 1.0;
        for _ in 0..ASCENT_STEPS {
            let gradient = self.gradient(&direction, &projections);
            let norm = gradient.iter().map(|x| x * x).sum::<f64>().sqrt();
            if !(bound.is_finite() && norm > 0.0 && step > 1e-12) {
                break;
            }
            let moved = direction.iter().zip(&gradient).map(|(x, g)| x + step * g / norm).collect();
            let moved = normalised(moved);
            let along = self.project(&moved);
            let candidate = self.bound(&along);
            if candidate < bound {
                (direction, projections, bound, step) = (moved, along, candidate, 2.0 * step);
            } else {
                step *= 0.25;
            }
        }
        bound
    }

    /// Gradient of `q + s^2 / q` on the sphere, `s^2 = e q^2 + (b/n) sum_i q_i^2` with `e = a - 1`.
    fn gradient(&self, direction: &[f64], projections: &[f64]) -> Vec<f64> {
        let k = self.effective.num_factors();
        let scalars = self.scalars(projections);
        let (q, variance) = self.scalar_moments(&scalars);
        let per_sample = self.sample_weight();
        // d(q + s^2/q) = (1 + e - (b/n) sum q_i^2 / q^2) dq + (2 b / (n q)) sum q_i dq_i, up to a positive factor.
        let noise = scalars.iter().map(|x| x * x).sum::<f64>() * per_sample;
        let excess = self.full_batch_excess();
        let of_mean = (1.0 + excess - noise / (q * q)) / scalars.len() as f64;
        debug_assert!(variance >= -1e-9 * q * q, "a variance is not negative");
        let factors = self.effective.factors();
        let weighted: Vec<f64> = projections
            .iter()
            .enumerate()
            .map(|(row, x)| x * (of_mean + 2.0 * per_sample * scalars[row / k] / q))
            .collect();
        let mut gradient: Vec<f64> = (0..direction.len())
            .into_par_iter()
            .map(|a| weighted.iter().enumerate().map(|(row, x)| factors[(row, a)] * x).sum())
            .collect();
        let radial: f64 = gradient.iter().zip(direction).map(|(g, x)| g * x).sum();
        for (g, x) in gradient.iter_mut().zip(direction) {
            *g -= radial * x;
        }
        gradient
    }
}

/// The vector at unit length; zero stays zero.
fn normalised(mut vector: Vec<f64>) -> Vec<f64> {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm > 0.0 {
        for x in &mut vector {
            *x /= norm;
        }
    }
    vector
}
