#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`Experiment`], [`experiment::ALL`]: what can be run.
//! - [`reproduce()`]: runs experiments into a results folder that is replaced only when complete; [`plan`]: what has to be run.
//! - [`engine`]: cells in parallel, checkpoints, determinism; [`streams`]: how random streams are derived.
//! - [`coherence_dynamics`]: coherence and the exact threshold along the training of a small network.
//! - [`claims`]: what the paper states, judged by recomputation.
//! - [`stability_map`]: divergence over batch size and coherence, simulated and predicted.
//! - [`local_convergence`]: the loss next to generalising solutions.
//! - [`solutions`]: constructed solutions, exactly and by the paper's formulas; [`minimum`]: what both measure.
//! - [`digits`]: predicted thresholds against the training of a network on real digits.
//! - [`example_factors`]: the shipped example of a file of gradients.
//! - [`readme`]: the numbers and pictures of the README, from results.
//! - [`figures`]: the drawing module; [`golden`]: golden thresholds.
//! - [`report`]: the page of a run; [`figures`]: the drawing module; [`golden`]: golden thresholds.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the driver owns clocks and files")]

pub mod checkpoint;
pub mod claims;
pub mod coherence_dynamics;
mod config_file;
pub mod digits;
pub mod engine;
mod error;
pub mod example_factors;
pub mod experiment;
pub mod figures;
pub mod golden;
pub mod local_convergence;
pub mod manifest;
pub mod minimum;
mod output;
pub mod plan;
pub mod readme;
pub mod report;
pub mod reproduce;
pub mod solutions;
pub mod stability_map;
mod statistics;
pub mod streams;
mod table;

pub use error::{ExperimentError, Result};
pub use experiment::{Context, Experiment, Progress};
pub use reproduce::{Options, Outcome, Report, reproduce};
