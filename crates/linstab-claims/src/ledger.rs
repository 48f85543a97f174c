//! The ledger.

use super::claim::Claim;
use super::{
    clusters, convergence, criteria, dexter, divergence, empirical, local, maps, networks, perturbation,
    perturbation_bounds, reshuffling, restarts, setup, spread, theorem_3_3, training_ends, words,
};

/// All claims, by subject.
pub fn ledger() -> Vec<&'static Claim> {
    let subjects = [
        networks::CLAIMS,
        setup::CLAIMS,
        perturbation::CLAIMS,
        perturbation_bounds::CLAIMS,
        divergence::CLAIMS,
        words::CLAIMS,
        spread::CLAIMS,
        convergence::CLAIMS,
        clusters::CLAIMS,
        theorem_3_3::CLAIMS,
        dexter::CLAIMS,
        criteria::CLAIMS,
        maps::CLAIMS,
        local::CLAIMS,
        training_ends::CLAIMS,
        empirical::CLAIMS,
        reshuffling::CLAIMS,
        restarts::CLAIMS,
    ];
    subjects.into_iter().flatten().collect()
}
