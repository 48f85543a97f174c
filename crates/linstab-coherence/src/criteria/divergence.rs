//! Divergence above a learning rate: Dexter et al. 2024 for SGD, Theorem C.8 of arXiv 2511.17378 for SAM.

use linstab_dynamics::optimizer::ascent;

use super::{Claim, Criterion, Problem, Property, Setting};
use crate::Result;

const ASSUMPTIONS: &[Property] = &[Property::BernoulliSampling, Property::PositiveSemidefinite];

pub(super) const DEXTER: Criterion = Criterion {
    name: "dexter-88",
    title: "divergence (Dexter et al.)",
    source: "Dexter et al. 2024, Theorem 1, equation (88) of arXiv 2511.17378: divergence of SGD",
    claim: Claim::DivergesAbove,
    assumptions: ASSUMPTIONS,
    speaks_of: |optimizer| optimizer.rho_over_alpha() <= 0.0,
    learning_rate: dexter,
};

pub(super) const DEXTER_ON_SAM: Criterion = Criterion {
    name: "dexter-88-on-sam",
    title: "divergence on SAM (Dexter et al.)",
    source: "the same on the curvatures that SAM sees",
    speaks_of: |optimizer| optimizer.rho_over_alpha() > 0.0,
    ..DEXTER
};

pub(super) const THEOREM_C_8: Criterion = Criterion {
    name: "c-8-4",
    title: "divergence (Theorem C.8)",
    source: "Theorem C.8 part 4 of the paper, its divergence criterion",
    speaks_of: |_| true,
    learning_rate: |setting| Ok(divergence(setting.problem())),
    ..DEXTER
};

/// With the full batch's bound, which Dexter et al. state beside theirs.
fn dexter(setting: &Setting<'_>) -> Result<f64> {
    let seen = setting.seen()?;
    Ok(divergence(&seen).min(2.0 / seen.sharpness))
}

/// The learning rate above which the published divergence criterion says that SAM, or with `c = 0` SGD, diverges.
///
/// Definition: `eta = sigma (n/B - 1)^{-1/2} / (l_1 (1 + c l_min))`; infinite for `B = n`, where the criterion is silent.
/// Divergence in mean square is certain above it; nothing is said below. The full-batch bound `2 / l_1`, which Dexter et
/// al. state beside it, is not folded in: take the minimum where it is wanted.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::{self, Problem};
/// let problem = Problem {
///     num_samples: 100, batch_size: 1, coherence: 50.0, sharpness: 2.0, min_eigenvalue: 0.04, rho_over_alpha: 0.0,
/// };
/// assert!((criteria::divergence(&problem) - 25.0 / 99.0_f64.sqrt()).abs() < 1e-15);
/// ```
/// # Source
/// arXiv 2511.17378, Theorem C.8, eq. (31), part 4 (main text: Theorem 3.2); for `c = 0` Dexter et al. 2024, Theorem 1, as
/// eq. (88) quotes it. It holds with a strict inequality.
pub fn divergence(problem: &Problem) -> f64 {
    let least = ascent(problem.rho_over_alpha, problem.min_eigenvalue);
    problem.coherence / (problem.sharpness * least * problem.sampling_noise().sqrt())
}
