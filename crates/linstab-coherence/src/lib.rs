#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`Coherence`]: the coherence matrix and measure of an ensemble.
//! - [`FactorCoherence`]: the same from inner products of factors, with pairs, blocks and groups; what SAM sees.
//! - [`GradientCoherence`]: agreement of the gradients themselves.
//! - [`criteria`]: closed-form criteria, each as the learning rate at which it switches, with its assumptions and its distance from the
//!   exact threshold.
//! - [`diagnostics`]: quantities of the literature beside the exact threshold, of curvatures and of gradients.
#![forbid(unsafe_code)]

mod coherence;
pub mod criteria;
pub mod diagnostics;
mod error;
mod gradients;
mod gram;

pub use coherence::{Coherence, coherence_from_traces, coherence_matrix, top_coherence};
pub use error::{CoherenceError, Result};
pub use gradients::GradientCoherence;
pub use gram::{FactorCoherence, GroupCoherence, effective_rank, traces_of_gram};
