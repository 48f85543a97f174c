#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`Coherence`]: the coherence matrix and measure of an ensemble.
//! - [`criteria`]: closed-form criteria, each as the learning rate at which it switches.
#![forbid(unsafe_code)]

mod coherence;
pub mod criteria;
mod error;

pub use coherence::{Coherence, coherence_from_traces, coherence_matrix, top_coherence};
pub use error::{CoherenceError, Result};
