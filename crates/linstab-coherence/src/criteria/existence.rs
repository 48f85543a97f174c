//! Up to where an ensemble of the same sharpness and coherence is stable: Dexter et al. 2024 for SGD, Theorem 3.3 of
//! arXiv 2511.17378 for SAM.

use linstab_dynamics::optimizer::ascent;

use super::{Claim, Criterion, Problem, Property};

pub(super) const DEXTER: Criterion = Criterion {
    name: "dexter-89",
    title: "stable ensembles (Dexter et al.)",
    source: "Dexter et al. 2024, Theorem 2, equation (89): up to where some ensemble of this sharpness and coherence is stable",
    claim: Claim::SomeEnsembleStable,
    assumptions: &[Property::BernoulliSampling, Property::TestFamily],
    speaks_of: |optimizer| optimizer.rho_over_alpha() <= 0.0,
    learning_rate: |setting| Ok(existence_of_stable(setting.problem())),
};

pub(super) const THEOREM_3_3: Criterion = Criterion {
    name: "eq-87",
    title: "stable ensembles (Theorem 3.3)",
    source: "Theorem 3.3 of the paper, equation (87): as dexter-89, for SAM",
    speaks_of: |optimizer| optimizer.rho_over_alpha() > 0.0,
    ..DEXTER
};

/// The learning rate up to which a mean-square stable ensemble of these numbers exists.
///
/// Definition: `eta = 2 sigma / (l_1 (1 + c l_1) (n/B - 1 + sigma))`. For the
/// [test family](linstab_linalg::AxisAligned::shared_direction) under Bernoulli sampling it is the exact threshold; for
/// any other ensemble it promises nothing.
///
/// # Examples
/// ```
/// use linstab_coherence::criteria::{self, Problem};
/// let problem = Problem {
///     num_samples: 100, batch_size: 10, coherence: 9.0, sharpness: 2.0, min_eigenvalue: 0.2, rho_over_alpha: 0.0,
/// };
/// assert_eq!(criteria::existence_of_stable(&problem), 0.5);
/// ```
/// # Source
/// arXiv 2511.17378, Theorem 3.3, eq. (87); for `c = 0` Dexter et al. 2024, Theorem 2, eq. (89).
pub fn existence_of_stable(problem: &Problem) -> f64 {
    let curvature = problem.sharpness * ascent(problem.rho_over_alpha, problem.sharpness);
    2.0 * problem.coherence / (curvature * (problem.sampling_noise() + problem.coherence))
}
