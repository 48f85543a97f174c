//! Low-rank form of a positive semidefinite kernel, and what it does to a reduced ensemble.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Par};
use rayon::prelude::*;

use crate::{Mat, MatRef, Reduced};

/// Rows of the result that are worked on at a time; fixed, so that the bits do not depend on the number of threads.
const PANEL: usize = 96;

/// `K ~ L L^T` of a positive semidefinite matrix that is known by its entries, by Cholesky factorisation with diagonal pivots.
/// `None` if that needs more than `max_rank` columns.
///
/// Smooth kernels are of low numerical rank: a Cauchy kernel `1 / (x + y)` on nodes that differ by a factor `R` needs about
/// `ln(1/rtol) ln(4 R) / pi^2` columns.
///
/// # Shapes
/// `entry(i, j)`: the entries of the symmetric (dim, dim) matrix, each asked for at most `rank` times; the result is (dim, rank).
/// # Cost
/// `dim * rank^2`; the whole matrix is never formed.
/// # Accuracy
/// `K - L L^T` is positive semidefinite, its diagonal at most `rtol` times the largest of `K`, up to rounding.
/// # Examples
/// ```
/// use linstab_linalg::low_rank;
/// // A matrix of ones has rank 1.
/// let factor = low_rank::pivoted_cholesky(3, |_, _| 1.0, 1e-12, 3).expect("rank 1");
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
) -> Option<Mat<f64>> {
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
            return Some(Mat::from_fn(dim, columns.len(), |i, q| columns[q][i]));
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

/// `sum_q (V diag(z_q) V^T) o (V diag(z_q) V^T)` with the factors `V` of an ensemble of one factor a sample and the columns
/// `z_q` of `weights`; `o` is the entrywise product.
///
/// Entry (i, j) is `(v_i o v_j)^T Z Z^T (v_i o v_j)`: how strongly two samples see each other through the kernel `Z Z^T`.
///
/// # Shapes
/// `weights`: (rank, any number); the result is symmetric, (num_samples, num_samples), both triangles.
/// # Cost
/// About `num_samples^2 * rank` multiplications a column. Runs on the ambient rayon pool, with the same bits for any number
/// of threads.
/// # Panics
/// If samples have several factors, or the numbers of rows do not fit.
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Mat, Reduced, low_rank};
/// // One sample with factor (2): v = 2, so the entry is (2 * 3 * 2)^2.
/// let reduced = Reduced::of(&Factored::new(1, 1, 1, vec![2.0])?)?;
/// let squares = low_rank::sum_of_squared_grams(&reduced, Mat::from_fn(1, 1, |_, _| 3.0).as_ref());
/// assert!((squares[(0, 0)] - 144.0).abs() < 1e-12);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[track_caller]
pub fn sum_of_squared_grams(ensemble: &Reduced, weights: MatRef<'_, f64>) -> Mat<f64> {
    assert!(ensemble.num_factors() == 1, "{} factors a sample, 1 is possible", ensemble.num_factors());
    assert!(weights.nrows() == ensemble.rank(), "{} weights for rank {}", weights.nrows(), ensemble.rank());
    let n = ensemble.num_samples();
    let starts: Vec<usize> = (0..n).step_by(PANEL).collect();
    let panels: Vec<Mat<f64>> =
        starts.par_iter().map(|&start| squared_panel(ensemble, weights, start)).collect();
    let mut sum = Mat::zeros(n, n);
    for (&start, panel) in starts.iter().zip(&panels) {
        for column in start..(start + PANEL).min(n) {
            for row in column..n {
                let entry = panel[(row - start, column - start)];
                sum[(row, column)] = entry;
                sum[(column, row)] = entry;
            }
        }
    }
    sum
}

/// Rows `start..` and a panel of columns of the sum; entries above the diagonal are not all computed.
fn squared_panel(ensemble: &Reduced, weights: MatRef<'_, f64>, start: usize) -> Mat<f64> {
    let factors = ensemble.factors();
    let (n, rank) = (ensemble.num_samples(), ensemble.rank());
    let width = PANEL.min(n - start);
    let rows = factors.subrows(start, n - start);
    let mut scaled = Mat::<f64>::zeros(width, rank);
    let mut gram = Mat::<f64>::zeros(n - start, width);
    let mut sum = Mat::<f64>::zeros(n - start, width);
    for q in 0..weights.ncols() {
        for a in 0..rank {
            let weight = weights[(a, q)];
            for (target, x) in slice_mut(&mut scaled, a).iter_mut().zip(slice(factors, a).iter().skip(start))
            {
                *target = weight * x;
            }
        }
        product(&mut gram, rows, scaled.as_ref());
        for column in 0..width {
            for (sum, x) in slice_mut(&mut sum, column).iter_mut().zip(slice(gram.as_ref(), column)) {
                *sum += x * x;
            }
        }
    }
    sum
}

/// `rows scaled^T`, of the leading square only the lower triangle.
fn product(gram: &mut Mat<f64>, rows: MatRef<'_, f64>, scaled: MatRef<'_, f64>) {
    let width = scaled.nrows();
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let (top, bottom) = gram.as_mut().split_at_row_mut(width);
    triangular::matmul(
        top,
        lower,
        Accum::Replace,
        rows.subrows(0, width),
        full,
        scaled.transpose(),
        full,
        1.0,
        Par::Seq,
    );
    let below = rows.subrows(width, rows.nrows() - width);
    triangular::matmul(bottom, full, Accum::Replace, below, full, scaled.transpose(), full, 1.0, Par::Seq);
}

fn slice(matrix: MatRef<'_, f64>, column: usize) -> &[f64] {
    matrix.col(column).try_as_col_major().expect("columns are contiguous").as_slice()
}

fn slice_mut(matrix: &mut Mat<f64>, column: usize) -> &mut [f64] {
    matrix.col_mut(column).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut()
}
