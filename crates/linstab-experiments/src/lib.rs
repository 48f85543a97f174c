#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use linstab_driver::Experiment;

pub mod coherence_dynamics;
mod data_file;
pub mod digits;
pub mod edge_test;
mod error;
pub mod example_factors;
pub mod golden;
pub mod local_convergence;
pub mod minimum;
pub mod published_criteria;
pub mod readme;
pub mod solutions;
pub mod stability_map;

pub use error::{ExperimentError, Result};

/// The experiments of the paper, in the order in which they are run.
pub const ALL: &[&dyn Experiment] = &[
    &stability_map::StabilityMap,
    &local_convergence::LocalConvergence,
    &coherence_dynamics::CoherenceDynamics,
    &solutions::Solutions,
    &digits::Digits,
    &published_criteria::PublishedCriteria,
    &edge_test::EdgeTest,
];
