#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`TwoLayer`]: the network, its initialisations and predictions; [`SquaredLoss`]: the loss and its two conventions.
//! - [`Dataset`]: labelled data; [`parity`]: the paper's random signs, with redundancy.
//! - [`Curvature`]: per-sample gradients and Hessians, analytically; [`curvature`] has the formulas.
//! - [`solutions`]: constructed solutions that generalise or memorise, and what to check of any solution.
//! - [`training`]: SGD, SAM and their variants, epoch by epoch; [`polish`]: from a small loss to none.
//! - `testing` (feature `testing`): slow, obvious twins; random problems.
#![forbid(unsafe_code)]

pub mod curvature;
mod data;
mod draws;
mod error;
mod layout;
mod loss;
mod network;
pub mod parity;
pub mod polish;
pub mod solutions;
#[cfg(feature = "testing")]
pub mod testing;
pub mod training;

pub use curvature::Curvature;
pub use data::Dataset;
pub use error::{ReluError, Result};
pub use loss::{SquaredLoss, sign_accuracy};
pub use network::TwoLayer;
pub use training::{BatchOrder, Outcome, Trainer, Training, TrainingRule};
