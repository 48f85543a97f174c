//! Low-rank form of a positive semidefinite kernel.

use crate::Mat;

/// A positive semidefinite matrix as `L L^T` and a remainder.
///
/// # Examples
/// ```
/// use linstab_linalg::low_rank;
/// let form = low_rank::pivoted_cholesky(2, |i, j| if i == j { 1.0 } else { 0.5 }, 0.9, 1).expect("one column is allowed");
/// assert_eq!((form.factor.ncols(), form.remainder), (1, 0.75));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// `L`, (dim, rank).
    pub factor: Mat<f64>,
    /// Trace of `K - L L^T`: a bound on its norm, up to rounding, where `K` is positive semidefinite.
    pub remainder: f64,
}

/// `K ~ L L^T` of a positive semidefinite matrix that is known by its entries, by Cholesky factorisation with diagonal pivots.
/// `None` if that needs more than `max_rank` columns.
///
/// Smooth kernels are of low numerical rank: a Cauchy kernel `1 / (x + y)` on nodes that differ by a factor `R` needs about
/// `ln(1/rtol) ln(4 R) / pi^2` columns.
///
/// # Shapes
/// `entry(i, j)`: the entries of the symmetric (dim, dim) matrix, each asked for at most `rank` times.
/// # Cost
/// `dim * rank^2`; the whole matrix is never formed.
/// # Accuracy
/// `K - L L^T` is positive semidefinite, its diagonal at most `rtol` times the largest of `K`, up to rounding.
/// # Examples
/// ```
/// use linstab_linalg::low_rank;
/// // A matrix of ones has rank 1.
/// let factor = low_rank::pivoted_cholesky(3, |_, _| 1.0, 1e-12, 3).expect("rank 1").factor;
/// assert_eq!((factor.ncols(), factor[(2, 0)]), (1, 1.0));
/// assert!(low_rank::pivoted_cholesky(3, |i, j| f64::from(u8::from(i == j)), 1e-12, 2).is_none());
/// ```
/// # Source
/// Harbrecht, Peters and Schneider 2012, Appl. Numer. Math. 62(4).
pub fn pivoted_cholesky(
    dim: usize,
    entry: impl Fn(usize, usize) -> f64,
    rtol: f64,
    max_rank: usize,
) -> Option<LowRank> {
    let mut remaining: Vec<f64> = (0..dim).map(|i| entry(i, i)).collect();
    let largest = remaining.iter().copied().fold(0.0, f64::max);
    let mut columns: Vec<Vec<f64>> = Vec::new();
    loop {
        let (pivot, value) = remaining
            .iter()
            .copied()
            .enumerate()
            .fold((0, 0.0), |best, (i, x)| if x > best.1 { (i, x) } else { best });
        if value <= rtol * largest {
            let factor = Mat::from_fn(dim, columns.len(), |i, q| columns[q][i]);
            return Some(LowRank { factor, remainder: remaining.iter().map(|left| left.max(0.0)).sum() });
        }
        if columns.len() == max_rank {
            return None;
        }
        let mut column: Vec<f64> = (0..dim).map(|i| entry(i, pivot)).collect();
        for earlier in &columns {
            let factor = earlier[pivot];
            for (x, e) in column.iter_mut().zip(earlier) {
                *x -= factor * e;
            }
        }
        let scale = value.sqrt().recip();
        for (x, left) in column.iter_mut().zip(&mut remaining) {
            *x *= scale;
            *left -= *x * *x;
        }
        // Rounding must not let a pivot come back.
        remaining[pivot] = 0.0;
        columns.push(column);
    }
}
