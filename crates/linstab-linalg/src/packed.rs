//! Symmetric matrices as vectors: the lower triangle by columns, off-diagonal entries times `sqrt(2)`.
//!
//! The scaling makes the packing an isometry: the dot product of two packed matrices is their Frobenius inner product. A
//! packed matrix takes half of the memory, and every linear algebra on symmetric matrices becomes one on vectors.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::{Mat, MatRef};

/// Length of a packed matrix of order `dim`.
///
/// # Examples
/// ```
/// use linstab_linalg::packed;
/// assert_eq!(packed::packed_len(3), 6); // 3 on the diagonal, 3 below
/// ```
pub fn packed_len(dim: usize) -> usize {
    dim * (dim + 1) / 2
}

/// How many columns of a packed matrix of order `dim` its first `len` entries are; `None` if they end within one.
///
/// # Examples
/// ```
/// use linstab_linalg::packed;
/// // The columns of a matrix of order 3 have 3, 2 and 1 entries.
/// assert_eq!((packed::num_columns(3, 5), packed::num_columns(3, 4)), (Some(2), None));
/// ```
pub fn num_columns(dim: usize, len: usize) -> Option<usize> {
    (0..=dim).find(|&columns| column_start(dim, columns) == len)
}

/// Where column `column` begins; its first entry is the diagonal one.
pub(crate) fn column_start(dim: usize, column: usize) -> usize {
    column * (2 * dim - column + 1) / 2
}

/// Packs the lower triangle of a square matrix.
///
/// # Panics
/// If the matrix is not square.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, packed};
/// // The matrix with the rows (1, 2) and (2, 3).
/// let matrix = Mat::from_fn(2, 2, |i, j| (1 + i + j) as f64);
/// assert_eq!(packed::pack(matrix.as_ref()), [1.0, 2.0 * 2.0_f64.sqrt(), 3.0]);
/// ```
#[track_caller]
pub fn pack(matrix: MatRef<'_, f64>) -> Vec<f64> {
    let dim = matrix.nrows();
    assert!(matrix.ncols() == dim, "a {dim} x {} matrix is not square", matrix.ncols());
    from_fn(dim, |row, column| matrix[(row, column)])
}

/// Packs the symmetric matrix whose entries below and on the diagonal are `entry(row, column)`.
///
/// # Examples
/// ```
/// use linstab_linalg::packed;
/// let identity = packed::from_fn(2, |row, column| if row == column { 1.0 } else { 0.0 });
/// assert_eq!(identity, [1.0, 0.0, 1.0]);
/// ```
pub fn from_fn(dim: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Vec<f64> {
    let mut packed = Vec::with_capacity(packed_len(dim));
    for column in 0..dim {
        packed.push(entry(column, column));
        packed.extend((column + 1..dim).map(|row| SQRT_2 * entry(row, column)));
    }
    packed
}

/// The matrix that was packed, both triangles.
///
/// # Panics
/// If the length is not that of a packed matrix of order `dim`.
/// # Examples
/// ```
/// use linstab_linalg::packed;
/// let matrix = packed::unpack(&[1.0, 2.0 * 2.0_f64.sqrt(), 3.0], 2);
/// assert!((matrix[(0, 1)] - 2.0).abs() < 1e-15 && matrix[(0, 1)] == matrix[(1, 0)]);
/// assert_eq!((matrix[(0, 0)], matrix[(1, 1)]), (1.0, 3.0));
/// ```
#[track_caller]
pub fn unpack(packed: &[f64], dim: usize) -> Mat<f64> {
    assert!(packed.len() == packed_len(dim), "{} entries for order {dim}", packed.len());
    Mat::from_fn(dim, dim, |row, column| {
        let (low, high) = (row.max(column), row.min(column));
        let entry = packed[column_start(dim, high) + low - high];
        if low == high { entry } else { FRAC_1_SQRT_2 * entry }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_an_isometry_and_can_be_undone() {
        for dim in 0..6 {
            let symmetric =
                |shift: usize| Mat::from_fn(dim, dim, |i, j| ((i * j + shift + i + j) as f64).sin());
            let (a, b) = (symmetric(1), symmetric(5));
            let (packed_a, packed_b) = (pack(a.as_ref()), pack(b.as_ref()));
            assert_eq!(packed_a.len(), packed_len(dim));
            let dot: f64 = packed_a.iter().zip(&packed_b).map(|(x, y)| x * y).sum();
            let inner: f64 =
                (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j))).map(|at| a[at] * b[at]).sum();
            assert!((dot - inner).abs() < 1e-13, "{dot} against {inner}");
            assert!((unpack(&packed_a, dim) - &a).norm_max() < 1e-15, "order {dim}");
        }
    }
}
