//! The threshold in sample space.
//!
//! The critical second moment obeys `D(lambda) o P = (b/n) sum_i H_i P H_i` with `lambda = 1/eta`, `D = lambda w1 - w2 - (a-1) h h^T`
//! (see the [module documentation](super)). Its right-hand side sees `P` only through the small blocks `V_i P V_i^T`, so with
//! `K = 1 / D` entrywise and a block `s_i` a sample,
//!
//! ```text
//! S(lambda) s = (b/n) ( V_i [ K o sum_j V_j^T s_j V_j ] V_i^T )_i
//! ```
//!
//! and the threshold is where the largest eigenvalue `mu` of `S(lambda)` is 1. `S` is symmetric, its unknown is one number a
//! sample (for one factor) instead of a matrix of order r, and `mu` falls with `lambda`, nearly like `1 / (lambda - const)`:
//! Newton's method on `1 / mu`, with the eigenvector carried along, needs two or three steps.
//!
//! # The certificate
//!
//! Without momentum `K` is a Cauchy kernel, positive semidefinite for `lambda > a h_1 / 2`, so `S` maps positive semidefinite
//! blocks to such. For any positive definite blocks `s` with `S(lambda) s <= theta s` (Loewner, block by block) the largest
//! eigenvalue is at most `theta` (Collatz and Wielandt); and `S(lambda') <= (lambda / lambda') S(lambda)` on that cone for
//! `lambda' > lambda`, because `K(lambda) - (lambda'/lambda) K(lambda')` is a product of positive semidefinite kernels. Hence
//! `eta* >= 1 / (theta lambda)`. The other side is the Rayleigh quotient of `P`.

use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator, TopEigenpair};
use linstab_linalg::{Mat, Reduced, inner_products, packed, spread, symmetric};

use super::operator::entrywise;
use crate::Result;

/// Newton steps; two or three are needed, many only where the root touches the noise-free limit.
const MAX_STEPS: usize = 60;

/// Accepted residuals of the eigenproblems: the first ones only have to bring lambda near. The Rayleigh quotient is accurate to
/// second order in the last one.
const FIRST_RESIDUALS: [f64; 2] = [1e-1, 1e-3];
const FINAL_RESIDUAL: f64 = 1e-9;
const REFINED_RESIDUAL: f64 = 1e-11;
/// Width of an interval that is good enough.
const WIDEST: f64 = 1.0 + 2e-9;
/// Vectors are short here, so restarts would be false economy.
const BASIS_SIZE: usize = 40;

/// The problem at hand.
pub(super) struct SampleSpace<'a> {
    pub(super) ensemble: &'a Reduced,
    /// `b / n`.
    pub(super) weight: f64,
    /// `w1` and `w2 + (a - 1) h h^T`, packed order.
    pub(super) linear: Vec<f64>,
    pub(super) constant: Vec<f64>,
    /// The noise-free limit: `D` is positive for larger `lambda`.
    pub(super) pole: f64,
}

/// The critical point.
pub(super) struct Critical {
    /// Rayleigh quotient: a lower bound on `1 / eta*`, accurate to second order.
    pub(super) lambda: f64,
    /// `theta lambda`: an upper bound on `1 / eta*` where the kernel is positive.
    pub(super) lambda_above: f64,
    /// The critical second moment, packed.
    pub(super) moment: Vec<f64>,
    pub(super) num_applications: usize,
}

impl SampleSpace<'_> {
    /// Solves `mu(lambda) = 1`, starting at a lower bound on the root.
    pub(super) fn solve(&self, lower: f64) -> Result<Critical> {
        let mut lambda = lower.max(self.pole * (1.0 + 1e-3));
        let mut start = pack_blocks(self.ensemble, &identity_blocks(self.ensemble));
        let mut num_applications = 0;
        let mut tolerances = FIRST_RESIDUALS.iter().copied();
        let mut residual_rtol = tolerances.next().unwrap_or(FINAL_RESIDUAL);
        for _ in 0..MAX_STEPS {
            let mut operator = self.operator(lambda);
            let value_rtol = residual_rtol * residual_rtol;
            let options = LanczosOptions {
                residual_rtol,
                value_rtol,
                basis_size: BASIS_SIZE,
                ..LanczosOptions::default()
            };
            let top = lanczos::top_eigenpair(&mut operator, &start, options)?;
            num_applications += top.num_applications;
            operator.spread_kernel(&top.vector);
            let slope = self.weight * dot3(&self.linear, &operator.moment, &operator.moment);
            let next = lambda + top.value * (top.value - 1.0) / slope;
            let next = if next > self.pole { next } else { 0.5 * (lambda + self.pole) };
            let settled = (next - lambda).abs() <= 1e-7 * lambda || next - self.pole <= 1e-12 * self.pole;
            if settled && residual_rtol <= FINAL_RESIDUAL {
                let critical = self.finish(lambda, &top, operator, num_applications);
                num_applications = critical.num_applications;
                // A wide certificate can mean eigenvalues so close that the iteration took two for one.
                if critical.lambda_above <= critical.lambda * WIDEST || residual_rtol <= REFINED_RESIDUAL {
                    return Ok(critical);
                }
                residual_rtol = REFINED_RESIDUAL;
            } else {
                residual_rtol = tolerances.next().unwrap_or(residual_rtol.min(FINAL_RESIDUAL));
            }
            lambda = next;
            start = top.vector;
        }
        Err(linstab_linalg::LinalgError::NotConverged {
            method: "Newton",
            num_applications,
            residual: f64::NAN,
        }
        .into())
    }

    fn operator(&self, lambda: f64) -> SampleOperator<'_> {
        let kernel =
            self.linear.iter().zip(&self.constant).map(|(w1, rest)| (lambda * w1 - rest).recip()).collect();
        SampleOperator { space: self, kernel, moment: vec![0.0; self.linear.len()] }
    }

    /// Rayleigh quotient and certificate at a converged pair.
    fn finish(
        &self,
        lambda: f64,
        top: &TopEigenpair,
        mut operator: SampleOperator<'_>,
        num_applications: usize,
    ) -> Critical {
        let mut image = vec![0.0; top.vector.len()];
        operator.apply(&top.vector, &mut image);
        let moment = std::mem::take(&mut operator.moment);
        // <P, (N + w2 o) P> / <P, w1 o P>; the samples' part of N is the image over the weight, squared.
        let samples =
            if self.weight > 0.0 { image.iter().map(|x| x * x).sum::<f64>() / self.weight } else { 0.0 };
        let quotient =
            (dot3(&self.constant, &moment, &moment) + samples) / dot3(&self.linear, &moment, &moment);
        operator.moment = vec![0.0; moment.len()];
        let mut regular_image = vec![0.0; image.len()];
        operator.apply(&top.resolvent, &mut regular_image);
        let theta = self.loewner_ratio(top, &image, &regular_image);
        let lambda_above = theta.map_or(f64::INFINITY, |theta| theta.max(1.0) * lambda);
        Critical { lambda: quotient, lambda_above, moment, num_applications: num_applications + 2 }
    }

    /// The smallest `theta` with `S s <= theta s` for `s` = eigenvector + a little of the resolvent; `None` if that is not
    /// positive definite.
    fn loewner_ratio(&self, top: &TopEigenpair, image: &[f64], regular_image: &[f64]) -> Option<f64> {
        let sign = top.vector.iter().sum::<f64>().signum();
        let norm = top.resolvent.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut best: Option<f64> = None;
        for admixture in [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2] {
            let mixture = |x: &[f64], y: &[f64]| -> Vec<f64> {
                x.iter().zip(y).map(|(x, y)| sign * x + admixture / norm * y).collect()
            };
            let (s, t) = (mixture(&top.vector, &top.resolvent), mixture(image, regular_image));
            let ratio = block_ratio(self.ensemble, &t, &s);
            best = match (best, ratio) {
                (Some(best), Some(ratio)) => Some(best.min(ratio)),
                (best, ratio) => best.or(ratio),
            };
        }
        best
    }
}

struct SampleOperator<'a> {
    space: &'a SampleSpace<'a>,
    kernel: Vec<f64>,
    /// `K o sum_i V_i^T s_i V_i` of the last application.
    moment: Vec<f64>,
}

impl SampleOperator<'_> {
    fn spread_kernel(&mut self, input: &[f64]) {
        let ensemble = self.space.ensemble;
        spread(ensemble, &unpack_blocks(ensemble, input), &mut self.moment);
        for (x, k) in self.moment.iter_mut().zip(&self.kernel) {
            *x *= k;
        }
    }
}

impl SymmetricOperator for SampleOperator<'_> {
    fn dim(&self) -> usize {
        self.space.ensemble.num_samples() * packed::packed_len(self.space.ensemble.num_factors())
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        self.spread_kernel(input);
        let inner = inner_products(self.space.ensemble, &self.moment);
        for (output, x) in output.iter_mut().zip(pack_blocks(self.space.ensemble, &inner)) {
            *output = self.space.weight * x;
        }
    }
}

/// Largest generalised eigenvalue of `t_i` against `s_i` over the samples; `None` if an `s_i` is not positive definite.
fn block_ratio(ensemble: &Reduced, t: &[f64], s: &[f64]) -> Option<f64> {
    let (k, len) = (ensemble.num_factors(), packed::packed_len(ensemble.num_factors()));
    let mut largest = 0.0_f64;
    if k == 1 {
        // A sample without curvature has t = 0, whatever its s.
        let ratios = t.iter().zip(s).map(|(t, s)| if *s > 0.0 { Some(t / s) } else { None });
        return ratios.collect::<Option<Vec<f64>>>().map(|ratios| ratios.into_iter().fold(0.0, f64::max));
    }
    for (t, s) in t.chunks_exact(len).zip(s.chunks_exact(len)) {
        let whitened = symmetric::whiten(packed::unpack(t, k), packed::unpack(s, k))?;
        largest = largest.max(symmetric::top_eigenvalue(whitened.as_ref()).ok()?);
    }
    Some(largest)
}

fn identity_blocks(ensemble: &Reduced) -> Vec<f64> {
    let k = ensemble.num_factors();
    (0..ensemble.num_samples() * k * k)
        .map(|at| f64::from(u8::from((at % (k * k)).is_multiple_of(k + 1))))
        .collect()
}

/// Row-major blocks as packed ones, an isometry.
fn pack_blocks(ensemble: &Reduced, blocks: &[f64]) -> Vec<f64> {
    let k = ensemble.num_factors();
    blocks
        .chunks_exact(k * k)
        .flat_map(|block| packed::from_fn(k, |row, column| block[row * k + column]))
        .collect()
}

fn unpack_blocks(ensemble: &Reduced, packed_blocks: &[f64]) -> Vec<f64> {
    let k = ensemble.num_factors();
    if k == 1 {
        return packed_blocks.to_vec();
    }
    let unpack = |block: &[f64]| -> Vec<f64> {
        let matrix: Mat<f64> = packed::unpack(block, k);
        (0..k * k).map(|at| matrix[(at / k, at % k)]).collect()
    };
    packed_blocks.chunks_exact(packed::packed_len(k)).flat_map(unpack).collect()
}

fn dot3(x: &[f64], y: &[f64], z: &[f64]) -> f64 {
    x.iter().zip(y).zip(z).map(|((x, y), z)| x * y * z).sum()
}

/// The two parts of `D` for a momentum and the excess `a - 1`.
pub(super) fn parts(h: &[f64], beta: f64, excess: f64) -> (Vec<f64>, Vec<f64>) {
    let own = |x: f64, y: f64| x * y - beta * (x * x + y * y - 2.0 * beta * x * y) / (1.0 - beta * beta);
    (entrywise(h, |x, y| (1.0 - beta) * (x + y)), entrywise(h, |x, y| own(x, y) + excess * x * y))
}
