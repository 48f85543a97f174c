#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`files`]: `.npy`, `.npz` and `.safetensors`, read in blocks.
//! - [`Plan`]: what an analysis will take, and the product of the factors.
//! - [`Source`]: factors or inner products, in a file or in the memory of a caller.
//! - [`analyse`]: from inner products to a [`Report`]; [`describe`]: the report in words; [`observer`]: following and stopping it.
//! - [`baseline`]: regression checks against an earlier report.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_types, reason = "a door to files owns them")]

mod almost_sure;
pub mod analysis;
mod answer;
pub mod baseline;
mod coherence_map;
mod compare;
mod diagnostics;
pub mod error;
pub mod files;
mod human;
mod loss;
pub mod observer;
pub mod page;
mod plan;
mod range;
pub mod report;
mod request;
mod source;
pub mod units;
mod views;

pub use analysis::{Findings, Grams, Sizes, analyse, analyse_observed};
pub use coherence_map::CoherenceMap;
pub use compare::{
    DiagnosticSeries, MinimaReport, Minimum, MinimumReport, ThresholdReport, compare, measure,
};
pub use error::{AnalysisError, Result};
pub use human::describe;
/// The words that a [`Request`] is made of.
pub use linstab_dynamics::{
    Interrupt, Optimizer, SamplingScheme,
    optimizer::{Parameter, Rule},
    sampling::{LastBatch, Loader},
};
pub use linstab_linalg::Comparison;
pub use loss::Loss;
pub use plan::{FormedGrams, Plan, Work};
pub use report::Report;
pub use request::{Request, TOLERANCE};
pub use source::Source;
pub use views::{CoherenceView, coherence, growth_map};
