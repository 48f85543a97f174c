//! `X -> sum_i H_i X H_i` on symmetric matrices, for curvatures given by their factors in a reduced space.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use faer::linalg::matmul::matmul;
use faer::{Accum, Par};
use rayon::prelude::*;

use crate::packed::{column_start, num_columns};
use crate::{Mat, MatRef, Reduced};

/// Columns that are worked on at a time. The partition does not depend on the number of threads, so neither do the bits;
/// wide enough for the matrix products to run at full speed, narrow enough to skip most of the upper triangle.
const PANEL: usize = 96;

/// Overwrites `output` with the packed `sum_i H_i X H_i`, `X` packed (see [`crate::packed`]).
///
/// Definition: with the factors of sample `i` as rows `V_i`, `H_i = V_i^T V_i`: [`spread`] of [`inner_products`].
/// # Shapes
/// `input`, `output`: packed matrices of order `ensemble.rank()`.
/// # Cost, Accuracy
/// Those of the two parts, each of about `m r^2` multiplications, `m = num_samples * num_factors`, `r` the rank, since of `X`
/// and of the result only the lower triangle is visited; memory for a few panels of columns a thread. Runs on the
/// ambient rayon pool, with the same bits for any number of threads.
/// # Panics
/// If a length does not fit.
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Reduced, sum_of_sandwiches};
/// // H_1 = diag(4, 0) and H_2 = diag(0, 1): with the identity for X the sum is diag(16, 1).
/// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
/// let mut packed = [f64::NAN; 3];
/// sum_of_sandwiches(&ensemble, &[1.0, 0.0, 1.0], &mut packed);
/// assert!((packed[0] - 16.0).abs() < 1e-13 && packed[1].abs() < 1e-13 && (packed[2] - 1.0).abs() < 1e-13);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[track_caller]
pub fn sum_of_sandwiches(ensemble: &Reduced, input: &[f64], output: &mut [f64]) {
    spread(ensemble, &inner_products(ensemble, input), output);
}

/// Overwrites `output` with the packed `sum_i V_i^T S_i V_i`.
///
/// # Shapes
/// `blocks`: a symmetric `k x k` block `S_i` a sample, row-major, one after the other; `output`: packed, of order
/// `ensemble.rank()`, or its first columns, which alone are computed then.
/// # Panics
/// If a length does not fit.
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Reduced, spread};
/// // H_1 = diag(4, 0) and H_2 = diag(0, 1) with the weights 1 and 5.
/// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
/// let mut packed = [f64::NAN; 3];
/// spread(&ensemble, &[1.0, 5.0], &mut packed);
/// assert!((packed[0] - 4.0).abs() < 1e-13 && packed[1].abs() < 1e-13 && (packed[2] - 5.0).abs() < 1e-13);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[track_caller]
pub fn spread(ensemble: &Reduced, blocks: &[f64], output: &mut [f64]) {
    let (rank, k) = (ensemble.rank(), ensemble.num_factors());
    assert!(blocks.len() == ensemble.num_samples() * k * k, "{} entries of blocks", blocks.len());
    let columns = columns_of(rank, output.len());
    let inner = blocks;
    let mut panels = Vec::with_capacity(columns.div_ceil(PANEL));
    let mut rest = output;
    for start in (0..columns).step_by(PANEL) {
        let end = (start + PANEL).min(columns);
        let (panel, tail) = rest.split_at_mut(column_start(rank, end) - column_start(rank, start));
        panels.push((start, end, panel));
        rest = tail;
    }
    panels.into_par_iter().for_each(|(start, end, panel)| {
        let weighted = weighted_columns(ensemble, inner, start, end);
        let left = ensemble.factors().subcols(start, rank - start);
        let mut block = Mat::<f64>::zeros(rank - start, end - start);
        matmul(&mut block, Accum::Replace, left.transpose(), &weighted, 1.0, Par::Seq);
        let mut at = 0;
        for column in 0..end - start {
            panel[at] = block[(column, column)];
            let below = rank - start - column - 1;
            for offset in 1..=below {
                panel[at + offset] = SQRT_2 * block[(column + offset, column)];
            }
            at += below + 1;
        }
    });
}

/// `V_i X V_i^T` for every sample: a symmetric `k x k` block each, row-major, one after the other.
///
/// # Shapes
/// `input`: packed, of order `ensemble.rank()`, or its first columns, where `X` is zero in the rows and columns of all others.
/// # Panics
/// If the length does not fit.
/// # Examples
/// ```
/// use linstab_linalg::{Factored, Reduced, inner_products};
/// // The factors (2, 0) and (0, 1) have the squared lengths 4 and 1.
/// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
/// let blocks = inner_products(&ensemble, &[1.0, 0.0, 1.0]);
/// assert!((blocks[0] - 4.0).abs() < 1e-14 && (blocks[1] - 1.0).abs() < 1e-14);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[track_caller]
pub fn inner_products(ensemble: &Reduced, input: &[f64]) -> Vec<f64> {
    let (rank, k) = (ensemble.rank(), ensemble.num_factors());
    let columns = columns_of(rank, input.len());
    let starts: Vec<usize> = (0..columns).step_by(PANEL).collect();
    let partial = |&start: &usize| {
        let end = (start + PANEL).min(columns);
        let half = half_columns(input, rank, start, end);
        let factors = ensemble.factors();
        let mut product = Mat::<f64>::zeros(factors.nrows(), end - start);
        matmul(&mut product, Accum::Replace, factors.subcols(start, rank - start), &half, 1.0, Par::Seq);
        let mut inner = vec![0.0; ensemble.num_samples() * k * k];
        for column in start..end {
            accumulate_outer(&mut inner, k, slice(product.as_ref(), column - start), slice(factors, column));
        }
        inner
    };
    let partials: Vec<Vec<f64>> = starts.par_iter().map(partial).collect();
    // Panels are summed in order. X is the symmetric part of twice its half, hence so are the inner products.
    let mut sum = vec![0.0; ensemble.num_samples() * k * k];
    for inner in &partials {
        for (sum, x) in sum.iter_mut().zip(inner) {
            *sum += x;
        }
    }
    for block in sum.chunks_exact_mut(k * k) {
        for q in 0..k {
            for s in 0..q {
                let mean = 0.5 * (block[q * k + s] + block[s * k + q]);
                block[q * k + s] = mean;
                block[s * k + q] = mean;
            }
        }
    }
    sum
}

/// How many columns a packed matrix, or the beginning of one, has.
#[track_caller]
fn columns_of(rank: usize, len: usize) -> usize {
    let columns = num_columns(rank, len).unwrap_or(rank);
    assert!(column_start(rank, columns) == len, "a packed matrix of {len} for rank {rank}");
    columns
}

/// Adds to the `k x k` block of each sample the outer product of its entries in two columns.
fn accumulate_outer(inner: &mut [f64], k: usize, left: &[f64], right: &[f64]) {
    if k == 1 {
        for ((sum, l), r) in inner.iter_mut().zip(left).zip(right) {
            *sum += l * r;
        }
        return;
    }
    for ((block, l), r) in inner.chunks_exact_mut(k * k).zip(left.chunks_exact(k)).zip(right.chunks_exact(k))
    {
        for (row, l) in block.chunks_exact_mut(k).zip(l) {
            for (sum, r) in row.iter_mut().zip(r) {
                *sum += l * r;
            }
        }
    }
}

/// Columns `start..end` of the matrix `L` with `X = (L + L^T) / 2`: the lower triangle of `X`, doubled off the diagonal;
/// rows above `start`, which are zero, are left out.
fn half_columns(input: &[f64], rank: usize, start: usize, end: usize) -> Mat<f64> {
    let mut half = Mat::<f64>::zeros(rank - start, end - start);
    for column in start..end {
        let entries = &input[column_start(rank, column)..column_start(rank, column + 1)];
        let mut target = half.col_mut(column - start);
        target[column - start] = entries[0];
        for (offset, entry) in entries.iter().enumerate().skip(1) {
            target[column - start + offset] = 2.0 * FRAC_1_SQRT_2 * entry;
        }
    }
    half
}

/// Columns `start..end` of the factors, each sample's rows multiplied by its inner products.
fn weighted_columns(ensemble: &Reduced, inner: &[f64], start: usize, end: usize) -> Mat<f64> {
    let (k, factors) = (ensemble.num_factors(), ensemble.factors());
    let mut weighted = Mat::<f64>::zeros(factors.nrows(), end - start);
    for column in start..end {
        let source = slice(factors, column);
        let mut target = weighted.col_mut(column - start);
        if k == 1 {
            for (row, (x, weight)) in source.iter().zip(inner).enumerate() {
                target[row] = x * weight;
            }
            continue;
        }
        for (row, weights) in inner.chunks_exact(k).enumerate() {
            let sample = row / k;
            target[row] = weights.iter().zip(&source[sample * k..]).map(|(weight, x)| weight * x).sum();
        }
    }
    weighted
}

/// One column as a slice; all our matrices store columns contiguously.
fn slice(matrix: MatRef<'_, f64>, column: usize) -> &[f64] {
    matrix.col(column).try_as_col_major().expect("columns are contiguous").as_slice()
}
