//! The ledger.

use super::claim::Claim;
use super::{clusters, convergence, criteria, divergence, empirical, networks, perturbation, setup, spread};

/// All claims, by subject.
pub fn ledger() -> Vec<&'static Claim> {
    let subjects = [
        networks::CLAIMS,
        setup::CLAIMS,
        perturbation::CLAIMS,
        divergence::CLAIMS,
        spread::CLAIMS,
        convergence::CLAIMS,
        clusters::CLAIMS,
        criteria::CLAIMS,
        empirical::CLAIMS,
    ];
    subjects.into_iter().flatten().collect()
}
