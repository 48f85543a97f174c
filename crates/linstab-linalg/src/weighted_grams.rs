//! Inner products of the samples of a reduced ensemble, each direction weighted by a function: kept, and combined at will.
//!
//! An operator `sum_ab K_ab (v_i)_a (v_i)_b (v_j)_a (v_j)_b` with a smooth kernel `K = W C C^T W^T` over few functions `W` is a sum of squares
//! of combinations of the matrices `V diag(w_m) V^T`. These take all of the time; once they are there, another kernel in the span of the same
//! functions costs no product of that size.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Par};
use rayon::prelude::*;

use crate::{Mat, MatRef, Reduced};

/// Columns of the result that are worked on at a time; fixed, so that the bits do not depend on the number of threads.
const PANEL: usize = 96;

/// Entries of a panel that are combined at a time: they and their combinations stay in the second cache.
const BLOCK: usize = 768;

/// `V diag(w) V^T` for several functions `w` of the directions, with the factors `V` of an ensemble of one factor a sample: lower triangles.
///
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Mat, Reduced, WeightedGrams};
/// // One sample with factor (2): v = 2, the weighted product is 2 * 3 * 2, and its square 144.
/// let reduced = Reduced::of(&Factored::new(1, 1, 1, vec![2.0])?)?;
/// let mut grams = WeightedGrams::new(1);
/// grams.push(&reduced, &[3.0]);
/// let squares = grams.sum_of_squares(Mat::from_fn(1, 1, |_, _| 1.0).as_ref());
/// assert!((squares[(0, 0)] - 144.0).abs() < 1e-12);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WeightedGrams {
    num_samples: usize,
    num_functions: usize,
    panels: Vec<Panel>,
}

/// Columns `start..start + width` from the diagonal block downwards, function after function.
#[derive(Clone, Debug)]
struct Panel {
    start: usize,
    width: usize,
    entries: Vec<f64>,
}

impl WeightedGrams {
    /// No function yet.
    pub fn new(num_samples: usize) -> Self {
        let panel =
            |start: usize| Panel { start, width: PANEL.min(num_samples - start), entries: Vec::new() };
        let panels = (0..num_samples).step_by(PANEL).map(panel).collect();
        Self { num_samples, num_functions: 0, panels }
    }

    /// Number of functions.
    pub fn num_functions(&self) -> usize {
        self.num_functions
    }

    /// Adds the weighted inner products of the samples.
    ///
    /// # Shapes
    /// `weights`: (rank).
    /// # Cost
    /// About `num_samples^2 * rank / 2` multiplications, and `num_samples^2 / 2` numbers of memory. Runs on the ambient rayon pool, with the
    /// same bits for any number of threads.
    /// # Panics
    /// If samples have several factors, or the sizes do not fit.
    #[track_caller]
    pub fn push(&mut self, ensemble: &Reduced, weights: &[f64]) {
        assert!(ensemble.num_factors() == 1, "{} factors a sample, 1 is possible", ensemble.num_factors());
        assert!(ensemble.num_samples() == self.num_samples, "{} samples", ensemble.num_samples());
        assert!(weights.len() == ensemble.rank(), "{} weights for rank {}", weights.len(), ensemble.rank());
        self.panels.par_iter_mut().for_each(|panel| panel.push(ensemble.factors(), weights));
        self.num_functions += 1;
    }

    /// `sum_q (sum_m c_mq V diag(w_m) V^T)^2`, squared entry by entry: entry (i, j) is how strongly two samples see each other through the
    /// kernel `W C C^T W^T`.
    ///
    /// # Shapes
    /// `coefficients`: (num_functions, any number); the result is symmetric, (num_samples, num_samples), both triangles.
    /// # Cost
    /// `num_samples^2 / 2` multiplications for each coefficient.
    /// # Panics
    /// If the number of rows does not fit.
    #[track_caller]
    pub fn sum_of_squares(&self, coefficients: MatRef<'_, f64>) -> Mat<f64> {
        let (n, num_functions) = (self.num_samples, self.num_functions);
        assert!(coefficients.nrows() == num_functions, "{} rows of coefficients", coefficients.nrows());
        let panels: Vec<Vec<f64>> =
            self.panels.par_iter().map(|panel| panel.sum_of_squares(coefficients, n)).collect();
        let mut sum = Mat::zeros(n, n);
        for (panel, entries) in self.panels.iter().zip(&panels) {
            let rows = n - panel.start;
            for (column, entries) in entries.chunks_exact(rows).enumerate() {
                let target = &mut sum.col_as_slice_mut(panel.start + column)[panel.start + column..];
                target.copy_from_slice(&entries[column..]);
            }
        }
        mirror(&mut sum);
        sum
    }
}

impl Panel {
    fn push(&mut self, factors: MatRef<'_, f64>, weights: &[f64]) {
        let (n, rank, width) = (factors.nrows(), factors.ncols(), self.width);
        let rows = factors.subrows(self.start, n - self.start);
        let scaled = Mat::from_fn(width, rank, |i, a| weights[a] * rows[(i, a)]);
        let mut gram = Mat::<f64>::zeros(n - self.start, width);
        let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        let (top, bottom) = gram.as_mut().split_at_row_mut(width);
        let (own, below) = rows.split_at_row(width);
        let right = scaled.transpose();
        triangular::matmul(top, lower, Accum::Replace, own, full, right, full, 1.0, Par::Seq);
        matmul(bottom, Accum::Replace, below, right, 1.0, Par::Seq);
        for column in 0..width {
            self.entries.extend_from_slice(gram.col_as_slice(column));
        }
    }

    fn sum_of_squares(&self, coefficients: MatRef<'_, f64>, n: usize) -> Vec<f64> {
        let (num_functions, num_squares) = coefficients.shape();
        let len = (n - self.start) * self.width;
        let mut sum = vec![0.0; len];
        let mut combined = Mat::<f64>::zeros(BLOCK, num_squares);
        let functions = MatRef::from_column_major_slice(&self.entries, len, num_functions);
        for (block, target) in sum.chunks_mut(BLOCK).enumerate() {
            let own = functions.subrows(block * BLOCK, target.len());
            matmul(combined.subrows_mut(0, target.len()), Accum::Replace, own, coefficients, 1.0, Par::Seq);
            for q in 0..num_squares {
                for (sum, x) in target.iter_mut().zip(combined.col_as_slice(q)) {
                    *sum += x * x;
                }
            }
        }
        sum
    }
}

/// Writes the lower triangle into the upper one, block by block.
fn mirror(matrix: &mut Mat<f64>) {
    const SIDE: usize = 32;
    let n = matrix.nrows();
    for left in (0..n).step_by(SIDE) {
        for top in (left..n).step_by(SIDE) {
            for column in left..n.min(left + SIDE) {
                for row in top.max(column + 1)..n.min(top + SIDE) {
                    matrix[(column, row)] = matrix[(row, column)];
                }
            }
        }
    }
}
