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
//! # The kernel is positive semidefinite
//!
//! `D_ab = f(h_a) + f(h_b) - c h_a h_b` with `c = a + 2 beta^2 / (1 - beta^2) >= 0`, so `x^T D x <= 0` for every `x` whose entries
//! sum to 0: `D` is conditionally negative definite. Hence `exp(-t D)` is positive semidefinite for `t > 0` (Schoenberg 1938), and
//! where `D > 0`, so is `K = int_0^inf exp(-t D) dt` (all entrywise). `D > 0` for `lambda` above the noise-free limit
//! `h_1 / (2 (1 + beta))`: its diagonal is positive there, and `2 D_ab >= D_aa + D_bb`. This holds for every optimizer whose `D` is linear
//! in `lambda`, with `h + decay` in the place of `h`; for the others (Nesterov and its relatives) the kernel is checked where a certificate
//! uses it. Two things follow.
//!
//! **A low-rank form.** `K` is smooth, its numerical rank about a dozen, and so is that of all kernels of a family together: with one factor
//! a sample, `S` is formed from products that all of them share ([`shared_products`](super::shared_products)).
//!
//! **A coarse start.** In the leading eigendirections of `H` alone the problem costs next to nothing, and its eigenvector is a start from
//! which the whole needs few applications.
//!
//! # The certificate
//!
//! `S` maps positive semidefinite blocks to such. If `S(lambda) s <= s` (Loewner, block by block) for some positive
//! definite blocks `s`, then `mu(lambda) <= 1` (Collatz and Wielandt) and `eta* >= 1 / lambda`. This is verified with the exact
//! kernel, or with its low-rank form and a bound on what that leaves out. The other side is a Rayleigh quotient, of `P` or of `s`.

use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{LinalgError, Mat, Reduced, inner_products};

use super::memory_kernel::CriticalWeights;
use super::operator::entrywise;
use super::sample_operator::{SampleOperator, identity_blocks};
use super::shared_products::{Formed, SharedProducts};
use crate::Result;

/// Steps of an iteration; a few are needed, many only where the root touches the noise-free limit.
pub(super) const MAX_STEPS: usize = 60;

/// Accepted residual where the eigenvector only has to bring lambda near: the Rayleigh quotient is accurate to second order in it.
const NEAR: f64 = 1e-3;

/// Eigenvalues of a kernel that are so much below 0, relative to its largest diagonal entry, are rounding.
const KERNEL_ROUNDING: f64 = 1e-12;

/// So few directions are not worth a coarse space.
const FEW_DIRECTIONS: usize = 96;
/// The coarse space has this part of the directions.
const COARSENING: usize = 6;

/// The problem at hand.
pub(super) struct SampleSpace<'a> {
    pub(super) ensemble: &'a Reduced,
    /// The sharpness. All else is in units of it, so that no product of curvatures can leave the range of numbers.
    pub(super) unit: f64,
    /// Mean eigenvalues in units of the sharpness.
    pub(super) h: Vec<f64>,
    pub(super) weights: CriticalWeights,
    /// `b / n`.
    pub(super) weight: f64,
    /// The noise-free limit: `D` is positive for larger `lambda`.
    pub(super) pole: f64,
}

/// The critical point.
pub(super) struct Critical {
    /// The root.
    pub(super) lambda: f64,
    /// A lower bound on it.
    pub(super) lambda_below: f64,
    /// An upper bound, if one was found.
    pub(super) lambda_above: Option<f64>,
    /// The eigenvector: a block a sample, packed.
    pub(super) blocks: Vec<f64>,
    /// `-lambda mu'(lambda) / mu`, where it fell off.
    pub(super) decline: Option<f64>,
    /// Applications of the exact operator, and of its explicit form.
    pub(super) num_applications: usize,
}

impl<'a> SampleSpace<'a> {
    /// The threshold's problem for an ensemble with some curvature; `weight` is positive.
    pub(super) fn new(ensemble: &'a Reduced, critical: CriticalWeights, weight: f64) -> Self {
        let unit = ensemble.mean_eigenvalues()[0];
        let critical = CriticalWeights { recursion: critical.recursion.in_units_of(unit), ..critical };
        let pole = critical.recursion.noise_free_limit(1.0).recip();
        Self::with(ensemble, unit, critical, weight, pole)
    }

    fn with(ensemble: &'a Reduced, unit: f64, weights: CriticalWeights, weight: f64, pole: f64) -> Self {
        let h = ensemble.mean_eigenvalues().iter().map(|h| h / unit).collect();
        Self { ensemble, unit, h, weights, weight, pole }
    }

    /// A parameter near the root, at least `lower`, and blocks near the eigenvector, positive definite: from the leading directions.
    pub(super) fn coarse_start(&self, lower: f64) -> Result<(f64, Vec<f64>)> {
        let identity = identity_blocks(self.ensemble);
        let lower = lower.max(self.pole * (1.0 + 1e-3));
        let rank = self.h.len();
        if rank <= FEW_DIRECTIONS {
            return Ok((lower, identity));
        }
        let leading = self.ensemble.leading((rank / COARSENING).max(FEW_DIRECTIONS / 2));
        let coarse = SampleSpace::with(&leading, self.unit, self.weights, self.weight, self.pole);
        let (start, blocks) = coarse.coarse_start(lower)?;
        let (lambda, blocks) = coarse.refine(start, blocks, NEAR)?;
        Ok((lambda.max(self.pole * (1.0 + 1e-9)), self.positive(&blocks)))
    }

    /// The root to about the square of `residual`, from blocks nearby: Rayleigh quotients instead of Newton steps, since they forgive an
    /// eigenvector of three digits.
    pub(super) fn refine(&self, guess: f64, start: Vec<f64>, residual: f64) -> Result<(f64, Vec<f64>)> {
        let mut lambda = if guess > self.pole { guess } else { self.pole * (1.0 + 1e-3) };
        let mut start = start;
        for _ in 0..MAX_STEPS {
            let mut exact = self.operator(lambda);
            let top = exact.top_eigenpair(&start, residual)?;
            exact.spread_kernel(&top.vector);
            let quotient = self.rayleigh_quotient(&exact.moment, lambda);
            // The quotient errs by about half the square of its distance.
            if quotient > self.pole && (quotient - lambda).abs() <= 1e-2 * lambda {
                return Ok((quotient, top.vector));
            }
            lambda = if quotient > self.pole { quotient } else { 0.5 * (lambda + self.pole) };
            if lambda - self.pole <= 1e-5 * self.pole {
                return Ok((lambda, top.vector));
            }
            start = top.vector;
        }
        Err(not_converged())
    }

    /// The root to about 1e-4, from a guess nearby.
    pub(super) fn solve_near(&self, guess: f64) -> Result<f64> {
        Ok(self.refine(guess, identity_blocks(self.ensemble), NEAR)?.0)
    }

    /// Blocks with some of the identity: the resolvent of such a start is positive definite, and no direction is without a part.
    pub(super) fn positive(&self, blocks: &[f64]) -> Vec<f64> {
        let identity = identity_blocks(self.ensemble);
        let share = 0.1 / (identity.len() as f64).sqrt();
        let sign = blocks.iter().sum::<f64>().signum();
        let size = blocks.iter().map(|x| x * x).sum::<f64>().sqrt();
        blocks.iter().zip(&identity).map(|(x, one)| sign * x / size + share * one).collect()
    }

    pub(super) fn operator(&self, lambda: f64) -> SampleOperator<'_> {
        let kernel = entrywise(&self.h, |x, y| (self.weights.at(lambda, x, y) * self.unit).recip());
        SampleOperator::new(self.ensemble, kernel, self.weight / self.unit)
    }

    /// The operator as a matrix, from shared products.
    pub(super) fn formed(&self, products: &mut SharedProducts, lambda: f64, rtol: f64) -> Option<Formed> {
        let h = &self.h;
        products.form(|a, b| h[a] * h[b] / self.weights.at(lambda, h[a], h[b]), self.weight, rtol)
    }

    /// The `lambda` at which `<P, D(lambda) o P>` is what the samples put in: a lower bound on the root, accurate to second order. For
    /// a `D` linear in `lambda` it is a quotient, for others found from `near` by Newton's method.
    pub(super) fn rayleigh_quotient(&self, moment: &[f64], near: f64) -> f64 {
        let samples: f64 =
            inner_products(self.ensemble, moment).iter().map(|x| (x / self.unit).powi(2)).sum();
        let norm = |weight: &dyn Fn(f64, f64) -> f64| self.weighted_norm(moment, weight);
        self.balanced(self.weight * samples, near, norm)
    }

    /// The Rayleigh quotient of the identity, a lower bound on the root that is good where many directions matter: condition (16)
    /// of Mulayoff and Michaeli.
    pub(super) fn trace_bound(&self) -> f64 {
        let (k, factors) = (self.ensemble.num_factors(), self.ensemble.factors());
        let squared_norm = |sample: usize| {
            let block = factors.subrows(sample * k, k) * factors.subrows(sample * k, k).transpose();
            (block.norm_l2() / self.unit).powi(2)
        };
        let samples: f64 = (0..self.ensemble.num_samples()).map(squared_norm).sum();
        let diagonal = |weight: &dyn Fn(f64, f64) -> f64| self.h.iter().map(|&h| weight(h, h)).sum();
        self.balanced(self.weight * samples, 2.0 * self.pole, diagonal)
    }

    /// The `lambda` at which a sum of `D(lambda)` over entries, with nonnegative weights, is `target`; at least the pole.
    fn balanced(&self, target: f64, near: f64, sum: impl Fn(&dyn Fn(f64, f64) -> f64) -> f64) -> f64 {
        let weights = &self.weights;
        if weights.is_linear() {
            let constant = sum(&|x, y| -weights.at(0.0, x, y));
            return (constant + target) / sum(&|x, y| weights.slope(1.0, x, y));
        }
        let (mut lambda, mut below) = (near.max(self.pole), self.pole);
        for _ in 0..MAX_STEPS {
            let missing = target - sum(&|x, y| weights.at(lambda, x, y));
            if missing > 0.0 {
                below = below.max(lambda);
            }
            let next = lambda + missing / sum(&|x, y| weights.slope(lambda, x, y));
            let next = if next >= below { next } else { 0.5 * (lambda + below) };
            let settled = (next - lambda).abs() <= 4.0 * f64::EPSILON * lambda;
            lambda = next;
            if settled {
                break;
            }
        }
        lambda
    }

    /// `<P, w o P>` for an entrywise weight of two mean eigenvalues.
    pub(super) fn weighted_norm(&self, moment: &[f64], weight: impl Fn(f64, f64) -> f64) -> f64 {
        let weights = entrywise(&self.h, weight);
        moment.iter().zip(&weights).map(|(p, w)| w * p * p).sum()
    }

    /// Whether the kernel is positive semidefinite, as the certificate needs: a theorem for a linear `D`, for others checked by Cholesky's
    /// method, to rounding.
    pub(super) fn kernel_is_positive(&self, lambda: f64) -> bool {
        let h = &self.h;
        let entry = |a: usize, b: usize| h[a] * h[b] / self.weights.at(lambda, h[a], h[b]);
        let shift = KERNEL_ROUNDING * (0..h.len()).map(|a| entry(a, a)).fold(0.0, f64::max);
        self.weights.is_linear()
            || Cholesky::of(Mat::from_fn(h.len(), h.len(), |a, b| {
                entry(a, b) + if a == b { shift } else { 0.0 }
            }))
            .is_some()
    }
}

/// Too many steps.
pub(super) fn not_converged() -> crate::DynamicsError {
    LinalgError::NotConverged { method: "Newton", num_applications: MAX_STEPS, residual: f64::NAN }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::Recursion;
    use linstab_linalg::lanczos::{SymmetricOperator as _, multiply};
    use linstab_linalg::symmetric;
    use linstab_linalg::testing::random_factored;
    use proptest::prelude::*;

    /// The problem for a random ensemble of one factor a sample, at some lambda above the pole.
    fn with_space<T>(
        seed: u64,
        (momentum, bernoulli): (f64, bool),
        f: impl FnOnce(&SampleSpace<'_>) -> T,
    ) -> T {
        let (n, dim) = (2 + (seed % 7) as usize, 1 + (seed % 5) as usize);
        let ensemble = Reduced::of(&random_factored(seed, n, 1, dim)).unwrap();
        let recursion = Recursion::heavy_ball(momentum);
        let weights = CriticalWeights { recursion, excess: if bernoulli { 0.0 } else { -1.0 } };
        f(&SampleSpace::new(&ensemble, weights, 1.0 / n as f64))
    }

    proptest! {
        #[test]
        fn the_kernel_is_positive_semidefinite(seed: u64, momentum in -0.99_f64..0.99, bernoulli: bool, above in 1e-6_f64..10.0) {
            with_space(seed, (momentum, bernoulli), |space| {
                let (h, lambda) = (&space.h, space.pole * (1.0 + above));
                let kernel = Mat::from_fn(h.len(), h.len(), |a, b| h[a] * h[b] / space.weights.at(lambda, h[a], h[b]));
                let values = symmetric::eigenvalues(kernel.as_ref()).unwrap();
                let largest = values[values.len() - 1];
                assert!(values[0] >= -1e-13 * largest, "{values:?}");
            });
        }

        #[test]
        fn the_formed_matrix_is_the_operator(seed: u64, momenta in prop::collection::vec(-0.9_f64..0.9, 1..4), bernoulli: bool, coarse: bool) {
            let rtol = if coarse { 1e-4 } else { 1e-14 };
            let mut products: Option<SharedProducts> = None;
            for momentum in momenta {
                with_space(seed, (momentum, bernoulli), |space| {
                    let products = products.get_or_insert_with(|| SharedProducts::for_any(space.ensemble));
                    let lambda = 1.5 * space.pole;
                    let n = space.ensemble.num_samples();
                    // Few directions among many samples are not worth a matrix; then there is nothing to compare.
                    let Some(formed) = space.formed(products, lambda, rtol) else { return };
                    let mut exact = space.operator(lambda);
                    let (mut expected, mut found) = (vec![0.0; n], vec![0.0; n]);
                    let input: Vec<f64> = (0..n).map(|i| 1.0 + (i as f64).sin().abs()).collect();
                    exact.apply(&input, &mut expected);
                    multiply(&formed.matrix, &input, &mut found);
                    let slack = products.slack(&formed, &input);
                    for ((found, expected), slack) in found.iter().zip(&expected).zip(&slack) {
                        // The bound holds up to rounding of the two sums.
                        let rounding = 1e-13 * formed.matrix.norm_max() * n as f64;
                        assert!((found - expected).abs() <= slack + rounding, "{found} {expected} {slack}");
                        // Negative control: without the bound a coarse form would not pass.
                        assert!(coarse || *slack <= 1e-8 * formed.matrix.norm_max() * n as f64, "{slack}");
                    }
                });
            }
        }
    }
}
