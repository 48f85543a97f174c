#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`sampling`]: how batches are drawn, as a checked type, as two numbers, and as random bit sets.
//! - [`Optimizer`]: SGD, SAM, random perturbation, each a transformation of the ensemble.
//! - [`AxisAlignedDynamics`]: exact growth, threshold and Lyapunov exponent of axis-aligned ensembles.
//! - [`MeanSquare`]: exact threshold and growth of any ensemble, with momentum; [`mean_square`] has the derivation.
//! - [`epochs`]: the same where batches are cut from an order of all samples once an epoch, as data loaders do.
//! - [`lyapunov`]: the exponent of any ensemble by Monte Carlo, the almost-sure threshold.
//! - [`second_moment`]: `E[H_t X H_t]` for any ensemble.
//! - [`recursions`]: the matrix recursions of the paper's divergence theorem.
//! - [`simulation`]: runs of the linear dynamics, and how they end.
#![forbid(unsafe_code)]

mod axis_aligned;
pub mod epochs;
mod error;
mod interrupt;
pub mod lyapunov;
pub mod mean_square;
pub mod optimizer;
pub mod recursions;
pub mod sampling;
pub mod second_moment;
pub mod simulation;
mod subsets;
#[cfg(feature = "testing")]
pub mod testing;

pub use axis_aligned::AxisAlignedDynamics;
pub use error::{DynamicsError, Result};
pub use interrupt::Interrupt;
pub use mean_square::MeanSquare;
pub use optimizer::Optimizer;
pub use sampling::{BatchSampling, SamplingScheme};
pub use simulation::{Divergence, Outcome, Run, Simulator};
