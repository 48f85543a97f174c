//! A subspace of sample space whose images under every kernel are cheap.
//!
//! A vector of sample space is a symmetric block `s_i` a sample; what costs is its spread `sum_i V_i^T s_i V_i`, and that depends on no
//! kernel. So the spreads of a basis are kept, and the matrix of the operator of **any** kernel in it, `<P_i, K o P_j>`, costs a pass
//! over them: for every learning rate, batch size, scheme, and optimizer, SAM's congruences (`K` times a product) included.
//!
//! Where there is a [tail](super::tail), pairs of its directions are left out of the spreads, and its shared matrices stand for them.

use linstab_linalg::symmetric::{self, Cholesky};
use linstab_linalg::{Mat, Reduced, multiply, packed, weighted_gram};
use rayon::prelude::*;

use super::blocks::{dot, identity_blocks, spread_blocks};
use super::columns::{column_chunks, packed_entries};
use super::tail::{Combination, KernelOf, SHARED, Tail};
use crate::{Interrupt, Result};

/// Basis vectors at least: as packed matrices take half of a square one, these are four matrices of order r. Small problems may have more.
const CAPACITY: usize = 8;
const CAPACITY_OF_SMALL: usize = 40;
/// Numbers that the spreads of a small problem hold together at most.
const SMALL: usize = 1 << 20;

/// A vector of which so little is left beside a basis is in it.
const NOTHING_NEW: f64 = 1e-9;

/// Orthonormal vectors of sample space and their spreads.
#[derive(Clone, Debug)]
pub(super) struct SampleSubspace {
    ensemble: Reduced,
    vectors: Vec<Vec<f64>>,
    /// Packed, a column a vector; in groups of columns of the packed matrices, one after the other.
    spreads: Vec<Mat<f64>>,
    num_spreads: usize,
    tail: Option<Tail>,
    /// The shared matrices of the tail, each times all vectors.
    tail_images: [Vec<Vec<f64>>; SHARED],
    /// Stops what is done with it.
    pub(super) interrupt: Interrupt,
}

/// The matrix of the operator of a kernel, and of its derivative.
pub(super) struct Projected {
    pub(super) matrix: Mat<f64>,
    pub(super) slope: Mat<f64>,
}

impl Projected {
    /// The top eigenvalue, its vector, and the derivative of the eigenvalue, which is negative, with its sign turned.
    pub(super) fn top(&self) -> Result<(f64, Vec<f64>, f64)> {
        let (values, vectors) = symmetric::eigenpairs(self.matrix.as_ref())?;
        let m = values.len();
        // The lead of a positive operator has a positive trace.
        let sign = vectors[(0, m - 1)].signum();
        let top: Vec<f64> = (0..m).map(|i| sign * vectors[(i, m - 1)]).collect();
        let slope: f64 =
            (0..m).map(|i| (0..m).map(|j| self.slope[(i, j)] * top[i] * top[j]).sum::<f64>()).sum();
        Ok((values[m - 1], top, -slope))
    }

    /// The eigenvectors of the largest eigenvalues.
    pub(super) fn leading(&self, how_many: usize) -> Result<Vec<Vec<f64>>> {
        let (values, vectors) = symmetric::eigenpairs(self.matrix.as_ref())?;
        let m = values.len();
        Ok((m.saturating_sub(how_many)..m).rev().map(|j| (0..m).map(|i| vectors[(i, j)]).collect()).collect())
    }

    /// `(1 - matrix)^{-1} right`; `None` unless all eigenvalues are below 1.
    pub(super) fn resolve(&self, right: &[f64]) -> Option<Vec<f64>> {
        let m = right.len();
        let one_minus = Mat::from_fn(m, m, |i, j| f64::from(u8::from(i == j)) - self.matrix[(i, j)]);
        Some(Cholesky::of(one_minus)?.solve(right))
    }
}

impl SampleSubspace {
    /// The span of the identity, one block a sample.
    pub(super) fn new(ensemble: &Reduced, tail: Option<Tail>) -> Self {
        let rank = ensemble.rank();
        let num_columns = tail.as_ref().map_or(rank, Tail::start);
        let room = |columns: &std::ops::Range<usize>| {
            let len = packed_entries(rank, columns).len();
            let mut group = Mat::with_capacity(len, capacity(rank));
            group.resize_with(len, 0, |_, _| 0.0);
            group
        };
        let spreads = column_chunks(rank, num_columns).iter().map(room).collect();
        let (ensemble, vectors, tail_images) = (ensemble.clone(), Vec::new(), Default::default());
        let interrupt = Interrupt::new();
        let mut subspace = Self { ensemble, vectors, spreads, num_spreads: 0, tail, tail_images, interrupt };
        let identity = identity_blocks(&subspace.ensemble);
        let norm = norm(&identity);
        // The mean is diagonal: nothing to be multiplied.
        let (n, h) = (subspace.ensemble.num_samples() as f64, subspace.ensemble.mean_eigenvalues());
        let mut spread = vec![0.0; packed_entries(rank, &(0..num_columns)).len()];
        for (column, h) in h.iter().enumerate().take(num_columns) {
            spread[packed_entries(rank, &(0..column)).end] = n * h / norm;
        }
        subspace.append(identity.iter().map(|x| x / norm).collect(), &spread);
        subspace
    }

    /// So many vectors are kept at most.
    pub(super) fn capacity(&self) -> usize {
        capacity(self.ensemble.rank())
    }

    pub(super) fn ensemble(&self) -> &Reduced {
        &self.ensemble
    }

    /// Spreads that were computed: a measure of the work.
    pub(super) fn num_spreads(&self) -> usize {
        self.num_spreads
    }

    pub(super) fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Numbers of a vector.
    pub(super) fn num_entries(&self) -> usize {
        self.vectors[0].len()
    }

    /// The coordinates of the identity.
    pub(super) fn coordinates_of_identity(&self) -> Vec<f64> {
        let identity = identity_blocks(&self.ensemble);
        self.vectors.iter().map(|vector| dot(vector, &identity)).collect()
    }

    /// Adds what a vector has beside the basis; `false` if that is nothing but rounding.
    pub(super) fn push(&mut self, mut vector: Vec<f64>) -> bool {
        if self.len() >= vector.len() {
            return false;
        }
        let Some(left) = orthogonalise(&mut vector, &self.vectors) else { return false };
        for x in &mut vector {
            *x /= left;
        }
        let spread = spread_blocks(&self.ensemble, &vector, self.num_columns());
        self.append(vector, &spread);
        self.num_spreads += 1;
        true
    }

    fn append(&mut self, vector: Vec<f64>, spread: &[f64]) {
        if let Some(tail) = &self.tail {
            self.tail_images.iter_mut().zip(tail.images(&vector)).for_each(|(all, image)| all.push(image));
        }
        self.vectors.push(vector);
        let mut rest = spread;
        for group in &mut self.spreads {
            let len = group.nrows();
            let (head, tail) = rest.split_at(len);
            group.resize_with(len, group.ncols() + 1, |row, _| head[row]);
            rest = tail;
        }
    }

    /// Keeps the span of the identity and of some combinations, orthonormal ones, only.
    pub(super) fn keep(&mut self, combinations: Vec<Vec<f64>>) {
        let mut kept: Vec<Vec<f64>> = combinations;
        let mut identity = self.coordinates_of_identity();
        if let Some(left) = orthogonalise(&mut identity, &kept) {
            for x in &mut identity {
                *x /= left;
            }
            kept.push(identity);
        }
        let combined = |of: &[Vec<f64>]| kept.iter().map(|c| combination(of, c)).collect();
        self.vectors = combined(&self.vectors);
        if self.tail.is_some() {
            self.tail_images = self.tail_images.each_ref().map(|images| combined(images));
        }
        let kept = Mat::from_fn(kept[0].len(), kept.len(), |i, j| kept[j][i]);
        self.spreads.par_iter_mut().for_each(|group| {
            let combined = multiply(group.as_ref(), kept.as_ref());
            group.truncate(group.nrows(), kept.ncols());
            group.copy_from(&combined);
        });
    }

    /// `sum_j c_j w_j`.
    pub(super) fn vector(&self, coefficients: &[f64]) -> Vec<f64> {
        combination(&self.vectors, coefficients)
    }

    /// `<P_i, K o P_j>` for a kernel and its derivative.
    pub(super) fn project(&self, kernel: KernelOf<'_>) -> Projected {
        let m = self.len();
        let part = |(columns, group): (&std::ops::Range<usize>, &Mat<f64>)| {
            let (mut weights, mut slopes) = (vec![0.0; group.nrows()], vec![0.0; group.nrows()]);
            self.fill(columns, kernel, &mut weights, &mut slopes);
            (weighted_gram(group.as_ref(), &weights), weighted_gram(group.as_ref(), &slopes))
        };
        let chunks = column_chunks(self.ensemble.rank(), self.num_columns());
        let parts: Vec<(Mat<f64>, Mat<f64>)> = chunks.par_iter().zip(&self.spreads).map(part).collect();
        let (mut matrix, mut slope) = (Mat::<f64>::zeros(m, m), Mat::<f64>::zeros(m, m));
        for (part, slope_part) in &parts {
            matrix += part;
            slope += slope_part;
        }
        if let Some(tail) = &self.tail {
            let Combination { weights, slopes } = tail.combination(kernel);
            for ((images, weight), slope_weight) in self.tail_images.iter().zip(weights).zip(slopes) {
                for (at, (vector, image)) in
                    self.vectors.iter().flat_map(|x| images.iter().map(move |y| (x, y))).enumerate()
                {
                    let form = dot(vector, image);
                    matrix[(at / m, at % m)] += weight * form;
                    slope[(at / m, at % m)] += slope_weight * form;
                }
            }
        }
        Projected { matrix: symmetrised(&matrix), slope: symmetrised(&slope) }
    }

    /// What pairs of directions of the tail add to the image of `sum_j c_j w_j`; nothing without a tail.
    pub(super) fn tail_image(&self, kernel: KernelOf<'_>, coefficients: &[f64]) -> Vec<f64> {
        let Some(tail) = &self.tail else { return vec![0.0; self.vectors[0].len()] };
        let images = self.tail_images.each_ref().map(|images| combination(images, coefficients));
        combination(&images, &tail.combination(kernel).weights)
    }

    /// The vector `t` with which an entry `(i, j)` of the operator is off by at most `t_i t_j`; `None` without a tail.
    pub(super) fn doubt(&self, kernel: KernelOf<'_>) -> Option<Vec<f64>> {
        self.tail.as_ref().map(|tail| tail.doubt(kernel))
    }

    /// Columns of spreads that are kept.
    pub(super) fn num_columns(&self) -> usize {
        self.tail.as_ref().map_or(self.ensemble.rank(), Tail::start)
    }

    /// The first columns of the packed `sum_j c_j P_j`.
    pub(super) fn spread_of(&self, coefficients: &[f64]) -> Vec<f64> {
        let coefficients = Mat::from_fn(coefficients.len(), 1, |j, _| coefficients[j]);
        let sums: Vec<Mat<f64>> =
            self.spreads.par_iter().map(|group| multiply(group.as_ref(), coefficients.as_ref())).collect();
        sums.iter().flat_map(|sum| sum.col_as_slice(0)).copied().collect()
    }

    fn fill(
        &self,
        columns: &std::ops::Range<usize>,
        kernel: KernelOf<'_>,
        weights: &mut [f64],
        slopes: &mut [f64],
    ) {
        let (rank, mut at) = (self.ensemble.rank(), 0);
        for column in columns.clone() {
            let end = at + rank - column;
            kernel(column, &mut weights[at..end], &mut slopes[at..end]);
            at = end;
        }
    }
}

fn capacity(rank: usize) -> usize {
    (SMALL / packed::packed_len(rank).max(1)).clamp(CAPACITY, CAPACITY_OF_SMALL)
}

fn symmetrised(matrix: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| 0.5 * (matrix[(i, j)] + matrix[(j, i)]))
}

fn combination(of: &[Vec<f64>], coefficients: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; of[0].len()];
    for (c, vector) in coefficients.iter().zip(of) {
        for (x, y) in sum.iter_mut().zip(vector) {
            *x += c * y;
        }
    }
    sum
}

/// Takes off what a vector has along orthonormal ones, twice for the sake of rounding; the norm of the rest, `None` if that is nothing
/// but rounding.
fn orthogonalise(vector: &mut [f64], others: &[Vec<f64>]) -> Option<f64> {
    let before = norm(vector);
    for other in others.iter().chain(others) {
        let along = dot(other, vector);
        for (x, y) in vector.iter_mut().zip(other) {
            *x -= along * y;
        }
    }
    // NaN is nothing new, either.
    Some(norm(vector)).filter(|&left| left > NOTHING_NEW * before)
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
