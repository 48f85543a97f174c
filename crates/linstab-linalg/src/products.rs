//! Products on one thread, whose bits depend on nothing else.

use faer::linalg::matmul::matmul;
use faer::{Accum, Par};

use crate::{Mat, MatRef};

/// `X^T diag(w) X`: the inner products of the columns under the weights `w`, on one thread.
///
/// # Shapes
/// `columns`: (len, any number), contiguous by column; `weights`: (len).
/// # Panics
/// If the lengths differ.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, weighted_gram};
/// let columns = Mat::from_fn(2, 2, |i, j| [[1.0, 2.0], [3.0, 4.0]][i][j]);
/// // 1 * 10 * 2 + 3 * 1 * 4
/// assert_eq!(weighted_gram(columns.as_ref(), &[10.0, 1.0])[(0, 1)], 32.0);
/// ```
#[track_caller]
pub fn weighted_gram(columns: MatRef<'_, f64>, weights: &[f64]) -> Mat<f64> {
    assert!(columns.nrows() == weights.len(), "{} weights for {} rows", weights.len(), columns.nrows());
    let mut weighted = columns.to_owned();
    for column in 0..weighted.ncols() {
        for (x, weight) in weighted.col_as_slice_mut(column).iter_mut().zip(weights) {
            *x *= weight;
        }
    }
    let mut gram = Mat::<f64>::zeros(columns.ncols(), columns.ncols());
    matmul(&mut gram, Accum::Replace, weighted.transpose(), columns, 1.0, Par::Seq);
    gram
}

/// The product of two matrices, on one thread.
///
/// # Panics
/// If the shapes do not fit.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, multiply};
/// let square = Mat::from_fn(2, 2, |i, j| [[1.0, 2.0], [3.0, 4.0]][i][j]);
/// assert_eq!(multiply(square.as_ref(), square.as_ref())[(1, 0)], 3.0 + 12.0);
/// ```
#[track_caller]
pub fn multiply(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::<f64>::zeros(left.nrows(), right.ncols());
    matmul(&mut product, Accum::Replace, left, right, 1.0, Par::Seq);
    product
}
