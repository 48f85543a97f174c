//! Approximate eigenpairs in a basis, and the restart from the best of them.

use faer::linalg::matmul::matmul;
use faer::{Accum, Par};

use super::LanczosOptions;
use crate::{Mat, Result};

/// Eigenpairs of the projected operator, the largest first.
pub(super) struct RitzPairs {
    pub(super) values: Vec<f64>,
    /// Column `k`: coefficients of Ritz vector `k` in the basis.
    pub(super) vectors: Mat<f64>,
}

impl RitzPairs {
    pub(super) fn of(projected: &Mat<f64>, size: usize) -> Result<Self> {
        let (ascending, vectors) =
            crate::symmetric::eigenpairs(projected.as_ref().submatrix(0, 0, size, size))?;
        let values: Vec<f64> = ascending.iter().rev().copied().collect();
        let vectors = Mat::from_fn(size, size, |row, k| vectors[(row, size - 1 - k)]);
        Ok(Self { values, vectors })
    }

    /// Whether the first pair with this residual is good enough.
    pub(super) fn accepted(&self, residual: f64, options: LanczosOptions) -> bool {
        let value = self.values[0];
        let (of_value, of_residual) = (options.value_rtol * value.abs(), options.residual_rtol * value.abs());
        let gap = self.values.get(1).map_or(0.0, |second| value - second);
        residual <= of_value || (residual <= of_residual && residual * residual <= of_value * gap)
    }

    /// Replaces the basis by the `kept` best Ritz vectors, a block of rows at a time, so that no second basis is needed.
    pub(super) fn restart(&self, basis: &mut Mat<f64>, projected: &mut Mat<f64>, kept: usize) -> usize {
        const ROWS: usize = 1024;
        let coefficients = self.vectors.as_ref().subcols(0, kept);
        let mut combined = Mat::<f64>::zeros(ROWS, kept);
        for start in (0..basis.nrows()).step_by(ROWS) {
            let rows = ROWS.min(basis.nrows() - start);
            let mut target = combined.as_mut().subrows_mut(0, rows);
            matmul(
                &mut target,
                Accum::Replace,
                basis.as_ref().subrows(start, rows),
                coefficients,
                1.0,
                Par::Seq,
            );
            basis.as_mut().submatrix_mut(start, 0, rows, kept).copy_from(&target);
        }
        projected.fill(0.0);
        for k in 0..kept {
            projected[(k, k)] = self.values[k];
        }
        kept
    }
}
