//! Convergence below a learning rate: Theorem C.9 of arXiv 2511.17378.
//!
//! `h_a = l_a (1 + c l_a)` are the eigenvalues of the mean curvature that the optimizer sees, `c_0 = 1/(n B) - 1/n^2` the weight of a
//! sample in the Bernoulli second moment, `phi = c_0 lambda_max(X -> sum_i H_i X H_i)` on the curvatures that it sees.

use linstab_dynamics::optimizer::ascent;
use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
use linstab_linalg::{Reduced, packed, sum_of_sandwiches};

use super::{Claim, Criterion, Property, Setting};
use crate::Result;

pub(super) const THEOREM_C_9: Criterion = Criterion {
    name: "c-9-3",
    title: "convergence (Theorem C.9)",
    source: "Theorem C.9 part 3 of the paper, a bound below which the mean square decays",
    claim: Claim::ConvergesBelow,
    assumptions: &[Property::BernoulliSampling, Property::PositiveSemidefinite, Property::NoFlatDirection],
    speaks_of: |_| true,
    learning_rate: convergence,
};

/// The learning rate below which Theorem C.9 part 3 claims convergence; infinite if nothing limits it, NaN if no learning rate satisfies it.
///
/// With `eps(eta) = min_a min(eta h_a, 2 - eta h_a)` it needs `eta^2 phi < eps`: `eta < h_min / phi` and `eta^2 phi + eta h_max < 2`.
/// With flat directions `h_min = 0`, and no learning rate will do.
fn convergence(setting: &Setting<'_>) -> Result<f64> {
    let (problem, c) = (setting.problem(), setting.problem().rho_over_alpha);
    if problem.min_eigenvalue <= 0.0 {
        return Ok(f64::NAN);
    }
    let seen = |l: f64| l * ascent(c, l);
    let (least, most) = (seen(problem.min_eigenvalue), seen(problem.sharpness));
    let (n, b) = (problem.num_samples as f64, problem.batch_size as f64);
    let weight = (n - b) / (n * n * b);
    let phi = if weight > 0.0 { weight * sandwich_norm(setting.ensemble(), c)? } else { 0.0 };
    // The stable root of phi eta^2 + most eta = 2, also for phi = 0.
    let upper = 4.0 / (most + (most * most + 8.0 * phi).sqrt());
    Ok(upper.min(least / phi))
}

/// `lambda_max(X -> sum_i H_i X H_i)` on the curvatures that the rule sees.
fn sandwich_norm(ensemble: &Reduced, rho_over_alpha: f64) -> Result<f64> {
    struct Sandwich(Reduced);
    impl SymmetricOperator for Sandwich {
        fn dim(&self) -> usize {
            packed::packed_len(self.0.rank())
        }
        fn apply(&mut self, input: &[f64], output: &mut [f64]) {
            sum_of_sandwiches(&self.0, input, output);
        }
    }
    let seen = ensemble.congruent(|l| ascent(rho_over_alpha, l).sqrt());
    // The map preserves the positive semidefinite matrices, and the identity overlaps each of them.
    let identity = packed::from_fn(seen.rank(), |i, j| f64::from(u8::from(i == j)));
    let options = LanczosOptions { residual_rtol: 1e-7, ..LanczosOptions::default() };
    Ok(lanczos::top_eigenpair(&mut Sandwich(seen), &identity, options)?.value)
}
