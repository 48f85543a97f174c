#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the driver owns clocks and files")]

pub mod checkpoint;
pub mod config_file;
pub mod engine;
mod error;
pub mod experiment;
pub mod files;
pub mod folder;
pub mod manifest;
mod plan;
pub mod progress;
pub mod reproduce;
pub mod statistics;
pub mod streams;
pub mod table;

pub use error::{CheckpointFault, DriverError, Result};
pub use experiment::{Context, Experiment, Finding, Inputs};
pub use folder::ResultsFolder;
pub use reproduce::{Options, Outcome, Report, reproduce};
