#![doc = include_str!("../README.md")]
//!
//! # Contents
//!
//! - [`ensemble`]: the [`Ensemble`] abstraction and its three representations.
//! - [`symmetric`]: eigenvalues of symmetric matrices, the only place that calls faer's factorisations.
//! - [`lanczos`]: the largest eigenvalue of a symmetric operator.
//! - [`dominant_eigenpair`]: the same without symmetry.
//! - [`weighted_gram`]: inner products under a weight; [`multiply`].
//! - [`Reduced`]: any ensemble in the eigenbasis of its mean; [`sum_of_sandwiches`] on it.
//! - [`GramAccumulator`]: the Gram matrix of factors that arrive in blocks.
//! - [`packed`]: symmetric matrices as vectors.
//! - [`Comparison`]: a number against what it was.
//! - `testing` (feature `testing`): random ensembles for property tests.
#![forbid(unsafe_code)]

mod arnoldi;
mod comparison;
pub mod ensemble;
mod error;
mod gram;
pub mod lanczos;
pub mod packed;
mod products;
mod reduced;
mod sandwich;
mod spectral_radius;
pub mod symmetric;
#[cfg(feature = "testing")]
pub mod testing;

pub use arnoldi::{Dominant, dominant_eigenpair};
pub use comparison::Comparison;
pub use ensemble::{AxisAligned, Dense, Ensemble, Factored};
pub use error::{LinalgError, Result};
pub use faer::{Mat, MatRef, Scale};
pub use gram::{GRAM_CHUNK, GramAccumulator, GramPlan, Vectors, gram_matrix};
pub use products::{multiply, weighted_gram};
pub use reduced::{RANK_TOLERANCE, Reduced};
pub use sandwich::{inner_products, spread, sum_of_sandwiches};
pub use spectral_radius::spectral_radius;
