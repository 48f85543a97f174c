//! The spectral radius of a matrix without structure.

use crate::Mat;

/// Squarings of the matrix: its power 2^60 forgets everything but the largest modulus.
const SQUARINGS: usize = 60;

/// The largest modulus of an eigenvalue of a real square matrix, by repeated squaring: `|A^(2^k)|^(1/2^k)`.
///
/// # Cost
/// 60 products of matrices: for small ones.
/// # Accuracy
/// A few units in the last place, however close other eigenvalues are in modulus; next to eigenvalues without a full set of eigenvectors
/// half of the digits.
/// # Panics
/// If the matrix is not square.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, spectral_radius};
/// // Twice a quarter turn: eigenvalues 2i and -2i.
/// let turn = Mat::from_fn(2, 2, |i, j| 2.0 * (i as f64 - j as f64));
/// assert!((spectral_radius(turn) - 2.0).abs() < 1e-14);
/// ```
#[track_caller]
pub fn spectral_radius(matrix: Mat<f64>) -> f64 {
    assert!(matrix.nrows() == matrix.ncols(), "a matrix of {} times {}", matrix.nrows(), matrix.ncols());
    // The power is exp(log) times `power`, whose norm is 1.
    let (mut power, mut log, mut exponent) = (matrix, 0.0_f64, 1.0_f64);
    for _ in 0..SQUARINGS {
        let norm = power.norm_l2();
        if norm <= 0.0 {
            return 0.0;
        }
        power *= crate::Scale(norm.recip());
        log += norm.ln() / exponent;
        power = &power * &power;
        exponent *= 2.0;
    }
    log.exp()
}
