//! The largest eigenvalue of a symmetric operator that is known only through its action.
//!
//! Thick-restart Lanczos (Wu and Simon 2000) with full orthogonalisation: the basis never holds more than a given number
//! of vectors; when it is full it is replaced by its best Ritz vectors and the iteration goes on. faer's partial
//! eigensolver was judged and not taken: it returns eigenvalues of largest magnitude rather than the largest, does not
//! return on a zero matrix, panics below order 65, and keeps a basis of at least 64 vectors, which for our operators on
//! matrices is most of the memory.

use faer::linalg::matmul::matmul;
use faer::{Accum, Col, ColMut, ColRef, Par};

use crate::{LinalgError, Mat, MatRef, Result};

/// A symmetric linear operator on vectors.
pub trait SymmetricOperator {
    /// Length of its vectors.
    fn dim(&self) -> usize;

    /// Overwrites `output` with the image of `input`; both have length `dim()`.
    fn apply(&mut self, input: &[f64], output: &mut [f64]);
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanczosOptions {
    /// Accepted error of the value relative to itself, estimated as `residual^2 / gap` with the distance to the second Ritz
    /// value for the gap.
    pub value_rtol: f64,
    /// Accepted residual `|A x - theta x|` relative to `|theta|`; a residual within `value_rtol` is accepted in any case.
    pub residual_rtol: f64,
    /// Largest number of applications of the operator.
    pub max_applications: usize,
    /// Largest number of basis vectors, at least 3.
    pub basis_size: usize,
}

impl Default for LanczosOptions {
    fn default() -> Self {
        Self { value_rtol: 1e-13, residual_rtol: 1e-8, max_applications: 2000, basis_size: 10 }
    }
}

/// A computed top eigenpair.
#[derive(Clone, Debug, PartialEq)]
pub struct TopEigenpair {
    /// The Ritz value: a lower bound on the largest eigenvalue, up to rounding.
    pub value: f64,
    /// The Ritz vector, of unit norm.
    pub vector: Vec<f64>,
    /// `|A x - theta x|`: some eigenvalue is at most this far from `value`.
    pub residual: f64,
    /// `sum_j (A / theta)^j s` over the first powers of the operator on the start `s`, as many as the first basis holds, with
    /// the Ritz value `theta` of that moment: a partial sum of the resolvent, at no extra application.
    pub resolvent: Vec<f64>,
    /// Number of applications of the operator.
    pub num_applications: usize,
}

/// The largest eigenvalue (not the largest in magnitude) of `operator`, and its eigenvector.
///
/// # Shapes
/// `start`: (operator.dim()). The result is the largest eigenvalue whose eigenvectors `start` is not orthogonal to.
/// # Cost
/// One application and `2 * basis_size` vector operations an iteration; memory for `basis_size + 1` vectors.
/// # Accuracy
/// Some eigenvalue lies within the residual of the value; the error is of the order of its square over the gap.
/// Deterministic: reductions have a fixed order.
/// # Errors
/// [`LinalgError::NotConverged`] after `max_applications`, or if the operator yields NaN or infinity;
/// [`LinalgError::OutOfRange`] for a start that is zero or not finite.
/// # Panics
/// If `start` has another length than the operator's vectors.
/// # Examples
/// ```
/// use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
/// struct Diagonal(Vec<f64>);
/// impl SymmetricOperator for Diagonal {
///     fn dim(&self) -> usize {
///         self.0.len()
///     }
///     fn apply(&mut self, input: &[f64], output: &mut [f64]) {
///         for ((y, x), d) in output.iter_mut().zip(input).zip(&self.0) {
///             *y = d * x;
///         }
///     }
/// }
/// let top = lanczos::top_eigenpair(&mut Diagonal(vec![-5.0, 1.0, 3.0]), &[1.0; 3], LanczosOptions::default())?;
/// assert!((top.value - 3.0).abs() < 1e-12, "the largest, not the largest in magnitude");
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
/// # Source
/// Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22(2).
#[track_caller]
pub fn top_eigenpair(
    operator: &mut dyn SymmetricOperator,
    start: &[f64],
    options: LanczosOptions,
) -> Result<TopEigenpair> {
    assert!(start.len() == operator.dim(), "a start of {} for dimension {}", start.len(), operator.dim());
    let norm = norm(start);
    if !(norm > 0.0 && norm.is_finite()) {
        return Err(LinalgError::OutOfRange {
            name: "norm of the start",
            value: norm,
            allowed: "positive and finite",
        });
    }
    let basis_size = options.basis_size.max(3).min(operator.dim().max(1));
    let mut basis = Mat::<f64>::zeros(operator.dim(), basis_size);
    set_column(&mut basis, 0, start, norm);
    let mut projected = Mat::<f64>::zeros(basis_size, basis_size);
    let mut next = vec![0.0; operator.dim()];
    let mut resolvent: Option<Vec<f64>> = None;
    let mut size = 1;
    for num_applications in 1..=options.max_applications {
        operator.apply(column(&basis, size - 1), &mut next);
        let coupling = orthogonalise(&mut next, basis.as_ref().subcols(0, size), &mut projected);
        if !coupling.is_finite() {
            return Err(not_converged(num_applications, coupling));
        }
        let ritz = RitzPairs::of(&projected, size)?;
        let (value, residual) = (ritz.values[0], coupling * ritz.vectors[(size - 1, 0)].abs());
        // An invariant subspace has no next vector; a residual at the level of rounding cannot be improved on.
        let exhausted = size == operator.dim() || coupling <= f64::EPSILON * ritz.largest_magnitude();
        if ritz.accepted(residual, options) || exhausted {
            let resolvent =
                resolvent.unwrap_or_else(|| resolvent_of_start(&projected, &basis, size, value, norm));
            let vector = combine(&basis, &column_of(&ritz.vectors, 0));
            return Ok(TopEigenpair { value, vector, residual, resolvent, num_applications });
        }
        if num_applications == options.max_applications {
            return Err(not_converged(num_applications, residual));
        }
        if size == basis_size {
            // The powers of the operator on the start lie in the first basis, not in later ones.
            resolvent.get_or_insert_with(|| resolvent_of_start(&projected, &basis, size, value, norm));
            size = ritz.restart(&mut basis, &mut projected, basis_size.div_ceil(2));
        }
        set_column(&mut basis, size, &next, coupling);
        size += 1;
    }
    Err(not_converged(0, f64::INFINITY))
}

fn not_converged(num_applications: usize, residual: f64) -> LinalgError {
    LinalgError::NotConverged { method: "Lanczos", num_applications, residual }
}

/// `norm * sum_j (T / value)^j e_1` in the first basis, where `T` is the projected operator.
fn resolvent_of_start(
    projected: &Mat<f64>,
    basis: &Mat<f64>,
    size: usize,
    value: f64,
    norm: f64,
) -> Vec<f64> {
    let mut power = vec![0.0; size];
    power[0] = norm;
    let mut sum = power.clone();
    for _ in 1..size {
        power =
            (0..size).map(|i| (0..size).map(|j| projected[(i, j)] * power[j]).sum::<f64>() / value).collect();
        for (sum, x) in sum.iter_mut().zip(&power) {
            *sum += x;
        }
    }
    combine(basis, &sum)
}

/// Eigenpairs of the projected operator, the largest first.
struct RitzPairs {
    values: Vec<f64>,
    /// Column `k`: coefficients of Ritz vector `k` in the basis.
    vectors: Mat<f64>,
}

impl RitzPairs {
    fn of(projected: &Mat<f64>, size: usize) -> Result<Self> {
        let (ascending, vectors) =
            crate::symmetric::eigenpairs(projected.as_ref().submatrix(0, 0, size, size))?;
        let values: Vec<f64> = ascending.iter().rev().copied().collect();
        let vectors = Mat::from_fn(size, size, |row, k| vectors[(row, size - 1 - k)]);
        Ok(Self { values, vectors })
    }

    /// Whether the first pair with this residual is good enough.
    fn accepted(&self, residual: f64, options: LanczosOptions) -> bool {
        let value = self.values[0];
        let (of_value, of_residual) = (options.value_rtol * value.abs(), options.residual_rtol * value.abs());
        let gap = self.values.get(1).map_or(0.0, |second| value - second);
        residual <= of_value || (residual <= of_residual && residual * residual <= of_value * gap)
    }

    fn largest_magnitude(&self) -> f64 {
        self.values.iter().fold(0.0, |largest, value| value.abs().max(largest))
    }

    /// Replaces the basis by the `kept` best Ritz vectors, a block of rows at a time, so that no second basis is needed.
    fn restart(&self, basis: &mut Mat<f64>, projected: &mut Mat<f64>, kept: usize) -> usize {
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

/// Removes from `x` its components along the orthonormal columns of `basis`; records them as the last row and column of the
/// projected operator, and returns the norm of what is left.
fn orthogonalise(x: &mut [f64], basis: MatRef<'_, f64>, projected: &mut Mat<f64>) -> f64 {
    let last = basis.ncols() - 1;
    let before = norm(x);
    let mut sums = vec![0.0; basis.ncols()];
    // Where little is left, rounding is much of it: a second pass removes it ("twice is enough", Kahan and Parlett).
    for _ in 0..2 {
        let mut overlaps = Col::<f64>::zeros(basis.ncols());
        matmul(
            overlaps.as_mat_mut(),
            Accum::Replace,
            basis.transpose(),
            ColRef::from_slice(x).as_mat(),
            1.0,
            Par::Seq,
        );
        matmul(ColMut::from_slice_mut(x).as_mat_mut(), Accum::Add, basis, overlaps.as_mat(), -1.0, Par::Seq);
        for (i, overlap) in overlaps.iter().enumerate() {
            sums[i] += overlap;
        }
        if norm(x) >= 0.7 * before {
            break;
        }
    }
    for (i, &overlap) in sums.iter().enumerate() {
        projected[(i, last)] = overlap;
        projected[(last, i)] = overlap;
    }
    norm(x)
}

/// The combination of the first columns with the given coefficients.
fn combine(basis: &Mat<f64>, coefficients: &[f64]) -> Vec<f64> {
    let mut vector = vec![0.0; basis.nrows()];
    let columns = basis.as_ref().subcols(0, coefficients.len());
    let coefficients = ColRef::from_slice(coefficients).as_mat();
    matmul(
        ColMut::from_slice_mut(&mut vector).as_mat_mut(),
        Accum::Replace,
        columns,
        coefficients,
        1.0,
        Par::Seq,
    );
    vector
}

fn column(basis: &Mat<f64>, index: usize) -> &[f64] {
    basis.col(index).try_as_col_major().expect("columns are contiguous").as_slice()
}

fn column_of(matrix: &Mat<f64>, index: usize) -> Vec<f64> {
    (0..matrix.nrows()).map(|row| matrix[(row, index)]).collect()
}

fn set_column(basis: &mut Mat<f64>, index: usize, vector: &[f64], divisor: f64) {
    let target = basis.col_mut(index).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut();
    for (target, x) in target.iter_mut().zip(vector) {
        *target = x / divisor;
    }
}

/// `sum x_i y_i` in a fixed order, eight partial sums at a time.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (x_chunks, y_chunks) = (x.chunks_exact(8), y.chunks_exact(8));
    let tail: f64 = x_chunks.remainder().iter().zip(y_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in x_chunks.zip(y_chunks) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + tail
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symmetric;
    use proptest::prelude::*;

    struct Explicit(Mat<f64>);

    impl SymmetricOperator for Explicit {
        fn dim(&self) -> usize {
            self.0.nrows()
        }
        fn apply(&mut self, input: &[f64], output: &mut [f64]) {
            for (row, y) in output.iter_mut().enumerate() {
                *y = (0..input.len()).map(|column| self.0[(row, column)] * input[column]).sum();
            }
        }
    }

    /// A symmetric matrix with entries in [-1, 1] from a seed.
    fn random_symmetric(seed: u64, dim: usize) -> Mat<f64> {
        let entry = |i: usize, j: usize| ((seed % 1000) as f64 + 1.7 * i as f64 + 3.1 * (i * j) as f64).sin();
        Mat::from_fn(dim, dim, |i, j| entry(i.max(j), i.min(j)))
    }

    proptest! {
        #[test]
        fn agrees_with_the_dense_solver(seed: u64, dim in 1_usize..60, basis_size in 3_usize..12) {
            let matrix = random_symmetric(seed, dim);
            let exact = symmetric::top_eigenvalue(matrix.as_ref()).unwrap();
            let start: Vec<f64> = (0..dim).map(|i| 1.0 + (i as f64).cos()).collect();
            let options = LanczosOptions { basis_size, residual_rtol: 1e-10, ..LanczosOptions::default() };
            let top = top_eigenpair(&mut Explicit(matrix.clone()), &start, options).unwrap();
            let scale = matrix.norm_l2();
            prop_assert!((top.value - exact).abs() <= 1e-9 * scale, "{} against {exact}", top.value);
            let mut image = vec![0.0; dim];
            Explicit(matrix).apply(&top.vector, &mut image);
            for (y, x) in image.iter_mut().zip(&top.vector) {
                *y -= top.value * x;
            }
            prop_assert!(norm(&image) <= 2e-10 * scale, "the residual is what it says");
            prop_assert!((norm(&top.vector) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn degenerate_operators_end_at_once() {
        let zero =
            top_eigenpair(&mut Explicit(Mat::zeros(5, 5)), &[1.0; 5], LanczosOptions::default()).unwrap();
        assert_eq!((zero.value.to_bits() << 1, zero.num_applications), (0, 1));
        let identity = Mat::identity(4, 4);
        let top = top_eigenpair(&mut Explicit(identity), &[0.5; 4], LanczosOptions::default()).unwrap();
        assert!((top.value - 1.0).abs() < 1e-15 && top.num_applications == 1);
    }

    #[test]
    fn failure_is_named() {
        let options = LanczosOptions { max_applications: 3, ..LanczosOptions::default() };
        let matrix = Mat::from_fn(50, 50, |i, j| if i == j { i as f64 } else { 0.0 });
        let error = top_eigenpair(&mut Explicit(matrix), &[1.0; 50], options).unwrap_err();
        assert!(matches!(error, LinalgError::NotConverged { num_applications: 3, .. }), "{error}");
        let poisoned = Mat::from_fn(5, 5, |_, _| f64::NAN);
        let error = top_eigenpair(&mut Explicit(poisoned), &[1.0; 5], LanczosOptions::default()).unwrap_err();
        assert!(matches!(error, LinalgError::NotConverged { num_applications: 1, .. }), "{error}");
        for start in [[0.0; 2], [f64::NAN; 2]] {
            let operator = &mut Explicit(Mat::identity(2, 2));
            assert!(top_eigenpair(operator, &start, LanczosOptions::default()).is_err(), "{start:?}");
        }
    }
}
