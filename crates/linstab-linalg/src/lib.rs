#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`ensemble`]: the [`Ensemble`] abstraction and its three representations.
//! - [`symmetric`]: eigenvalues of symmetric matrices, the only place that calls faer's factorisations.
//! - `testing` (feature `testing`): random ensembles for property tests.
#![forbid(unsafe_code)]

pub mod ensemble;
mod error;
pub mod symmetric;
#[cfg(feature = "testing")]
pub mod testing;

pub use ensemble::{AxisAligned, Dense, Ensemble, Factored};
pub use error::{LinalgError, Result};
pub use faer::{Mat, MatRef, Scale};
