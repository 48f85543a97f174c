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
//! uses it. This gives a low-rank form.
//!
//! **A low-rank form.** `K` is smooth, its numerical rank `q` about a dozen. With `K = sum_q z_q z_q^T` and one factor a sample
//! `S = (b/n) sum_q (V diag(z_q) V^T) o (V diag(z_q) V^T)` is formed at the price of `q / 2` applications, and its
//! eigenvector then costs next to nothing ([`low_rank`]).
//!
//! **A coarse start.** In the leading eigendirections of `H` alone the problem costs next to nothing, and its eigenvector is a start from
//! which the whole takes few applications.
//!
//! # The certificate
//!
//! `S` maps positive semidefinite blocks to such. If `S(lambda) s <= s` (Loewner, block by block) for some positive
//! definite blocks `s`, then `mu(lambda) <= 1` (Collatz and Wielandt) and `eta* >= 1 / lambda`. This is verified with the exact
//! kernel, not its low-rank form. The other side is the Rayleigh quotient of `P`.

use linstab_linalg::lanczos::{Explicit, SymmetricOperator, TopEigenpair};
use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{LinalgError, Mat, Reduced, inner_products, low_rank};

use super::memory_kernel::CriticalWeights;
use super::operator::entrywise;
use super::sample_operator::{
    CERTAIN_RESIDUAL, Form, SampleOperator, block_ratio, column_by_column, identity_blocks,
};
use crate::Result;

/// Newton steps; two or three are needed, many only where the root touches the noise-free limit.
const MAX_STEPS: usize = 60;

/// How accurately the eigenproblem of a Newton step is solved.
#[derive(Clone, Copy)]
struct Accuracy {
    /// Of the low-rank form of the kernel.
    kernel: f64,
    /// Accepted residual of the eigenvector. The Rayleigh quotient is accurate to second order in the last one.
    residual: f64,
}

/// The first step only has to bring lambda near.
const FIRST: Accuracy = Accuracy { kernel: 1e-8, residual: 1e-4 };
/// For a root that is wanted to 1e-4.
const NEAR: Accuracy = Accuracy { kernel: 1e-3, residual: 1e-3 };
const FINAL: Accuracy = Accuracy { kernel: 1e-13, residual: CERTAIN_RESIDUAL };
/// Where the certificate turned out wide: eigenvalues can be so close that the iteration took two for one.
const REFINED: Accuracy = Accuracy { kernel: 1e-14, residual: 1e-11 };
/// Width of an interval that is good enough.
const WIDEST: f64 = 1.0 + 1e-8;
/// An eigenvector takes about so many applications without the low-rank form; forming it has to cost less.
const USUAL_APPLICATIONS: usize = 8;

/// So few directions are not worth a coarse space, which has `1 / COARSENING` of them.
const FEW_DIRECTIONS: usize = 96;
const COARSENING: usize = 6;

/// Eigenvalues of a kernel that are so much below 0, relative to its largest diagonal entry, are rounding.
const KERNEL_ROUNDING: f64 = 1e-12;

/// So few unknowns that the operator is formed column by column.
const FEW_UNKNOWNS: usize = 128;

/// The problem at hand.
pub(super) struct SampleSpace<'a> {
    ensemble: &'a Reduced,
    /// The sharpness. All else is in units of it, so that no product of curvatures can leave the range of numbers.
    pub(super) unit: f64,
    /// Mean eigenvalues in units of the sharpness.
    h: Vec<f64>,
    weights: CriticalWeights,
    /// `b / n`.
    weight: f64,
    /// The noise-free limit: `D` is positive for larger `lambda`.
    pub(super) pole: f64,
}

/// A step of Newton's method on `1 / mu(lambda)`.
struct NewtonStep<'a> {
    /// The largest eigenvalue, and its vector, at the old lambda.
    top: TopEigenpair,
    /// The exact operator there; it holds the moment of that vector.
    exact: SampleOperator<'a>,
    /// The operator that was iterated.
    form: Form<'a>,
    next: f64,
}

/// The critical point.
pub(super) struct Critical {
    /// Rayleigh quotient: a lower bound on `1 / eta*`, accurate to second order.
    pub(super) lambda: f64,
    /// An upper bound on `1 / eta*`, if one was found.
    pub(super) lambda_above: Option<f64>,
    /// The critical second moment, packed.
    pub(super) moment: Vec<f64>,
    /// Applications of the exact operator, and of its explicit form.
    pub(super) num_applications: usize,
}

impl<'a> SampleSpace<'a> {
    /// The problem for an ensemble with some curvature; `weight` is positive.
    pub(super) fn new(ensemble: &'a Reduced, weights: CriticalWeights, weight: f64) -> Self {
        let unit = ensemble.mean_eigenvalues()[0];
        let h = ensemble.mean_eigenvalues().iter().map(|h| h / unit).collect();
        let weights = CriticalWeights { recursion: weights.recursion.in_units_of(unit), ..weights };
        let pole = weights.recursion.noise_free_limit(1.0).recip();
        Self { ensemble, unit, h, weights, weight, pole }
    }

    /// Solves `mu(lambda) = 1`, starting at a lower bound on the root.
    pub(super) fn solve(&self, lower: f64) -> Result<Critical> {
        let (mut lambda, mut start) = self.coarse_start(lower)?;
        let mut num_applications = 0;
        let mut accuracy = FIRST;
        for _ in 0..MAX_STEPS {
            let NewtonStep { top, exact, mut form, next } = self.newton_step(lambda, accuracy, &start)?;
            num_applications += top.num_applications;
            let settled = (next - lambda).abs() <= 1e-7 * lambda || next - self.pole <= 1e-12 * self.pole;
            if settled && accuracy.residual <= FINAL.residual {
                let moment = exact.moment;
                let quotient = self.rayleigh_quotient(&moment, lambda);
                let lambda_above = self.certify(quotient, &top, form.operator());
                let narrow = lambda_above.is_some_and(|above| above <= quotient * WIDEST);
                if narrow || accuracy.residual <= REFINED.residual {
                    return Ok(Critical { lambda: quotient, lambda_above, moment, num_applications });
                }
                accuracy = REFINED;
            } else {
                accuracy = if accuracy.residual < FINAL.residual { accuracy } else { FINAL };
            }
            lambda = next;
            start = self.positive(&top.vector);
        }
        Err(LinalgError::NotConverged { method: "Newton", num_applications, residual: f64::NAN }.into())
    }

    /// A `lambda` near the root, at least `lower`, and blocks near the eigenvector, from the leading directions; the identity where there
    /// are few.
    fn coarse_start(&self, lower: f64) -> Result<(f64, Vec<f64>)> {
        let lower = lower.max(self.pole * (1.0 + 1e-3));
        let rank = self.h.len();
        if rank <= FEW_DIRECTIONS {
            return Ok((lower, identity_blocks(self.ensemble)));
        }
        let leading = self.ensemble.leading((rank / COARSENING).max(FEW_DIRECTIONS / 2));
        let h = self.h.iter().take(leading.rank()).copied().collect();
        let coarse = SampleSpace { ensemble: &leading, h, ..*self };
        let (lambda, blocks) = coarse.coarse_start(lower)?;
        let (lambda, blocks) = coarse.refine(lambda, blocks)?;
        // Where many directions matter alike the bound says more, and the identity.
        if lambda <= lower {
            return Ok((lower, identity_blocks(self.ensemble)));
        }
        Ok((lambda, self.positive(&blocks)))
    }

    /// Blocks of a unit vector with some of the identity: the resolvent of such a start is positive definite, and no direction is without a
    /// part.
    fn positive(&self, blocks: &[f64]) -> Vec<f64> {
        let identity = identity_blocks(self.ensemble);
        let share = 0.1 / (identity.len() as f64).sqrt();
        let sign = blocks.iter().sum::<f64>().signum();
        blocks.iter().zip(&identity).map(|(x, one)| sign * x + share * one).collect()
    }

    /// The root to about 1e-4, from a guess nearby.
    pub(super) fn solve_near(&self, guess: f64) -> Result<f64> {
        Ok(self.refine(guess, identity_blocks(self.ensemble))?.0)
    }

    /// The root to about 1e-4 and its eigenvector, from a guess nearby: Rayleigh quotients instead of Newton steps, since they forgive an
    /// eigenvector of three digits.
    fn refine(&self, guess: f64, mut start: Vec<f64>) -> Result<(f64, Vec<f64>)> {
        let mut lambda = if guess > self.pole { guess } else { self.pole * (1.0 + 1e-3) };
        for _ in 0..MAX_STEPS {
            let top = self.cheapest(lambda, NEAR).top_eigenpair(&start, &start, NEAR.residual)?;
            let mut exact = self.operator(lambda);
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
        Err(LinalgError::NotConverged { method: "Newton", num_applications: MAX_STEPS, residual: f64::NAN }
            .into())
    }

    fn newton_step(&self, lambda: f64, accuracy: Accuracy, start: &[f64]) -> Result<NewtonStep<'_>> {
        let mut exact = self.operator(lambda);
        let mut form = self.cheapest(lambda, accuracy);
        let identity = identity_blocks(self.ensemble);
        let top = form.top_eigenpair(start, &identity, accuracy.residual)?;
        exact.spread_kernel(&top.vector);
        let slope = self.weight * self.weighted_norm(&exact.moment, |x, y| self.weights.slope(lambda, x, y));
        let next = lambda + top.value * (top.value - 1.0) / slope;
        let next = if next > self.pole { next } else { 0.5 * (lambda + self.pole) };
        Ok(NewtonStep { top, exact, form, next })
    }

    fn operator(&self, lambda: f64) -> SampleOperator<'_> {
        let kernel = entrywise(&self.h, |x, y| (self.weights.at(lambda, x, y) * self.unit).recip());
        SampleOperator::new(self.ensemble, kernel, self.weight / self.unit)
    }

    /// The explicit form of the operator where forming it pays.
    fn cheapest(&self, lambda: f64, accuracy: Accuracy) -> Form<'_> {
        // A final matrix is worth more: its eigenvector is certain.
        let is_final = accuracy.residual <= FINAL.residual;
        let usual = if is_final { 3 * USUAL_APPLICATIONS } else { USUAL_APPLICATIONS };
        if let Some(matrix) = self.explicit(lambda, accuracy.kernel, usual) {
            return Form::Explicit(Explicit(matrix));
        }
        let mut operator = self.operator(lambda);
        if is_final && operator.dim() <= FEW_UNKNOWNS {
            Form::Explicit(Explicit(column_by_column(&mut operator)))
        } else {
            Form::Implicit(operator)
        }
    }

    fn explicit(&self, lambda: f64, rtol: f64, usual_applications: usize) -> Option<Mat<f64>> {
        let (n, rank, h) = (self.ensemble.num_samples(), self.ensemble.rank(), &self.h);
        if self.ensemble.num_factors() > 1 {
            return None;
        }
        // Factors are of the order of sqrt(h): scaled by h, all entries of the kernel weigh alike.
        let scaled = |a: usize, b: usize| h[a] * h[b] / self.weights.at(lambda, h[a], h[b]);
        let max_rank = 2 * usual_applications * rank / n;
        let kernel = low_rank::pivoted_cholesky(rank, scaled, rtol, max_rank.min(rank))?;
        let root = self.weight.sqrt() / self.unit;
        let weights = Mat::from_fn(rank, kernel.ncols(), |a, q| root * kernel[(a, q)] / h[a]);
        Some(low_rank::sum_of_squared_grams(self.ensemble, weights.as_ref()))
    }

    /// The `lambda` at which `<P, D(lambda) o P>` is what the samples put in: a lower bound on the root, accurate to second order. For
    /// a `D` linear in `lambda` it is a quotient, for others found from `near` by Newton's method.
    fn rayleigh_quotient(&self, moment: &[f64], near: f64) -> f64 {
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
    fn weighted_norm(&self, moment: &[f64], weight: impl Fn(f64, f64) -> f64) -> f64 {
        let weights = entrywise(&self.h, weight);
        moment.iter().zip(&weights).map(|(p, w)| w * p * p).sum()
    }

    /// Whether the kernel is positive semidefinite, as the certificate needs: a theorem for a linear `D`, for others checked by Cholesky's
    /// method, to rounding.
    fn kernel_is_positive(&self, lambda: f64) -> bool {
        let h = &self.h;
        let entry = |a: usize, b: usize| h[a] * h[b] / self.weights.at(lambda, h[a], h[b]);
        let shift = KERNEL_ROUNDING * (0..h.len()).map(|a| entry(a, a)).fold(0.0, f64::max);
        self.weights.is_linear()
            || Cholesky::of(Mat::from_fn(h.len(), h.len(), |a, b| {
                entry(a, b) + if a == b { shift } else { 0.0 }
            }))
            .is_some()
    }

    /// A `lambda` not far above the root at which the exact operator provably has no eigenvalue above 1.
    ///
    /// The blocks are the eigenvector, with as much of the resolvent added as makes them positive definite.
    fn certify(&self, root: f64, top: &TopEigenpair, operator: &mut dyn SymmetricOperator) -> Option<f64> {
        let sign = top.vector.iter().sum::<f64>().signum();
        let norm = top.resolvent.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut images = [vec![0.0; top.vector.len()], vec![0.0; top.vector.len()]];
        operator.apply(&top.vector, &mut images[0]);
        operator.apply(&top.resolvent, &mut images[1]);
        let mixture = |x: &[f64], y: &[f64], admixture: f64| -> Vec<f64> {
            x.iter().zip(y).map(|(x, y)| sign * x + admixture / norm * y).collect()
        };
        let mut best: Option<(f64, Vec<f64>)> = None;
        for admixture in [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e3] {
            let blocks = mixture(&top.vector, &top.resolvent, admixture);
            let image = mixture(&images[0], &images[1], admixture);
            if let Some(ratio) = block_ratio(self.ensemble, &image, &blocks)
                && best.as_ref().is_none_or(|(least, _)| ratio < *least)
            {
                best = Some((ratio, blocks));
            }
        }
        let (ratio, blocks) = best?;
        let mut margin = 2.0 * (ratio / top.value - 1.0).max(0.0) + 1e-10;
        let mut image = vec![0.0; blocks.len()];
        // Each try is a proof or none; a wider margin is easier to prove.
        for _ in 0..15 {
            let above = root.max(self.pole * (1.0 + 1e-15)) * (1.0 + margin);
            self.operator(above).apply(&blocks, &mut image);
            if block_ratio(self.ensemble, &image, &blocks).is_some_and(|ratio| ratio <= 1.0) {
                return self.kernel_is_positive(above).then_some(above);
            }
            margin *= 4.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::Recursion;
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
        fn the_explicit_form_is_the_operator(seed: u64, momentum in -0.9_f64..0.9, bernoulli: bool) {
            with_space(seed, (momentum, bernoulli), |space| {
                let lambda = 1.5 * space.pole;
                let n = space.ensemble.num_samples();
                // Few directions among many samples leave the formation too dear; then there is nothing to compare.
                let Some(explicit) = space.explicit(lambda, 1e-14, USUAL_APPLICATIONS) else { return };
                let mut exact = space.operator(lambda);
                let mut column = vec![0.0; n];
                for j in 0..n {
                    let unit: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i == j))).collect();
                    exact.apply(&unit, &mut column);
                    let scale = explicit.norm_max();
                    for i in 0..n {
                        assert!((column[i] - explicit[(i, j)]).abs() <= 1e-12 * scale, "entry {i}, {j}");
                    }
                }
            });
        }
    }
}
