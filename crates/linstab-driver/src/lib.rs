#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the driver owns clocks and files")]

mod cell_files;
mod cell_store;
pub mod checkpoint;
pub mod config_file;
#[cfg(not(feature = "testing"))]
mod disk;
#[cfg(feature = "testing")]
pub mod disk;
pub mod engine;
mod error;
pub mod experiment;
pub mod files;
pub mod folder;
pub mod manifest;
mod plan;
pub mod progress;
pub mod reproduce;
mod shard;
pub mod shards;
pub mod statistics;
pub mod streams;
pub mod table;
pub mod trial;

pub use cell_store::CellStore;
pub use error::{CheckpointFault, DriverError, Result};
pub use experiment::{Context, Experiment, Finding, Inputs};
pub use folder::ResultsFolder;
pub use reproduce::{Options, Outcome, Report, reproduce};
pub use shard::Shard;
