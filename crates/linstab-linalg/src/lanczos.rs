//! The largest eigenvalue of a symmetric operator that is known only through its action.
//!
//! Thick-restart Lanczos (Wu and Simon 2000) with full orthogonalisation: the basis never holds more than a given number
//! of vectors; when it is full it is replaced by its best Ritz vectors and the iteration goes on. faer's partial
//! eigensolver was judged and not taken: it returns eigenvalues of largest magnitude rather than the largest, does not
//! return on a zero matrix, panics below order 65, and keeps a basis of at least 64 vectors, which for our operators on
//! matrices is most of the memory.

mod ritz;

use faer::linalg::matmul::matmul;
use faer::{Accum, Col, ColMut, ColRef, Par};

use crate::{LinalgError, Mat, MatRef, Result, symmetric};
use ritz::RitzPairs;

/// A symmetric linear operator on vectors.
///
/// # Examples
/// ```
/// use linstab_linalg::lanczos::SymmetricOperator;
/// /// Exchanges two coordinates.
/// struct Swap;
/// impl SymmetricOperator for Swap {
///     fn dim(&self) -> usize {
///         2
///     }
///     fn apply(&mut self, input: &[f64], output: &mut [f64]) {
///         output.copy_from_slice(&[input[1], input[0]]);
///     }
/// }
/// let mut output = [0.0; 2];
/// Swap.apply(&[1.0, 2.0], &mut output);
/// assert_eq!(output, [2.0, 1.0]);
/// ```
pub trait SymmetricOperator {
    /// Length of its vectors.
    fn dim(&self) -> usize;

    /// Overwrites `output` with the image of `input`; both have length `dim()`.
    fn apply(&mut self, input: &[f64], output: &mut [f64]);
}

/// A symmetric matrix as an operator.
struct Explicit<'a>(&'a Mat<f64>);

impl SymmetricOperator for Explicit<'_> {
    fn dim(&self) -> usize {
        self.0.nrows()
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        multiply(self.0, input, output);
    }
}

/// The largest eigenvalue of a symmetric matrix and its eigenvector, as [`top_eigenpair`]; where the largest eigenvalues lie so close that
/// the iteration does not separate them, by a full decomposition.
///
/// # Errors
/// [`LinalgError::OutOfRange`] for a start that is zero or not finite; [`LinalgError::NoConvergence`] for a matrix with NaN or infinity.
/// # Panics
/// If `start` has another length than the matrix.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, lanczos::{LanczosOptions, top_eigenpair_of}};
/// let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
/// assert!((top_eigenpair_of(&matrix, &[1.0, 0.0], LanczosOptions::default())?.value - 3.0).abs() < 1e-14);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[track_caller]
pub fn top_eigenpair_of(matrix: &Mat<f64>, start: &[f64], options: LanczosOptions) -> Result<TopEigenpair> {
    match top_eigenpair(&mut Explicit(matrix), start, options) {
        Err(LinalgError::NotConverged { num_applications, .. }) => {
            let (values, vectors) = symmetric::eigenpairs(matrix.as_ref())?;
            let last = values.len().saturating_sub(1);
            let vector = vectors.col_as_slice(last).to_vec();
            Ok(TopEigenpair { value: values[last], vector, residual: 0.0, num_applications })
        }
        found => found,
    }
}

/// `output = matrix input`, column by column.
///
/// # Examples
/// ```
/// use linstab_linalg::{Mat, lanczos};
/// let mut image = [0.0; 2];
/// lanczos::multiply(&Mat::from_fn(2, 2, |i, j| (i + j) as f64), &[1.0, 10.0], &mut image);
/// assert_eq!(image, [10.0, 21.0]);
/// ```
pub fn multiply(matrix: &Mat<f64>, input: &[f64], output: &mut [f64]) {
    output.fill(0.0);
    for (at, x) in input.iter().enumerate() {
        for (output, entry) in output.iter_mut().zip(column(matrix, at)) {
            *output += x * entry;
        }
    }
}

/// What accuracy is asked for, and at what cost at most.
///
/// # Examples
/// ```
/// use linstab_linalg::lanczos::LanczosOptions;
/// let options = LanczosOptions { basis_size: 20, ..LanczosOptions::default() };
/// assert_eq!((options.basis_size, options.max_applications), (20, 2000));
/// ```
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
    /// Convergence is looked for at basis sizes that are multiples of this, and when the basis is full: finding the Ritz pairs costs
    /// the cube of the size, which for a cheap operator is more than a few applications.
    pub check_every: usize,
}

impl Default for LanczosOptions {
    fn default() -> Self {
        Self {
            value_rtol: 1e-13,
            residual_rtol: 1e-8,
            max_applications: 2000,
            basis_size: 10,
            check_every: 1,
        }
    }
}

/// A computed top eigenpair.
///
/// # Examples
/// ```
/// use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
/// /// Multiplies by 3.
/// struct Triple;
/// impl SymmetricOperator for Triple {
///     fn dim(&self) -> usize {
///         2
///     }
///     fn apply(&mut self, input: &[f64], output: &mut [f64]) {
///         output.copy_from_slice(&[3.0 * input[0], 3.0 * input[1]]);
///     }
/// }
/// // Every vector is an eigenvector: the start, (3, 4), is handed back at unit length.
/// let top = lanczos::top_eigenpair(&mut Triple, &[3.0, 4.0], LanczosOptions::default())?;
/// assert!((top.value - 3.0).abs() < 1e-15 && top.residual < 1e-15);
/// assert!((top.vector[1].abs() - 0.8).abs() < 1e-15);
/// assert_eq!(top.num_applications, 1);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TopEigenpair {
    /// The Ritz value `theta`: up to rounding a lower bound on the largest eigenvalue. [`top_eigenpair`] says which eigenvalue it
    /// approximates.
    pub value: f64,
    /// The Ritz vector, of unit norm.
    pub vector: Vec<f64>,
    /// `|A x - theta x|`: some eigenvalue is at most this far from `value`.
    pub residual: f64,
    /// Number of applications of the operator.
    pub num_applications: usize,
}

/// The largest eigenvalue (not the largest in magnitude) of `operator` that `start` sees, and its eigenvector.
///
/// The iteration never leaves the span of the powers of the operator on `start`. In exact arithmetic it therefore finds the
/// largest eigenvalue with an eigenvector that `start` is not orthogonal to; if that is a multiple eigenvalue, the vector is
/// the projection of `start` on its eigenspace. In floating point an overlap has to be well above the residual that is
/// accepted: a fainter eigenvector can be passed over, or be brought in by rounding. Choose a start that overlaps the top
/// eigenvector for a reason (a positive one for a positive operator, say).
///
/// # Shapes
/// `start`: (operator.dim()).
/// # Cost
/// One application and `2 * basis_size` vector operations an iteration; memory for `basis_size + 1` vectors.
/// # Accuracy
/// Some eigenvalue lies within the residual of the value, and if it is the one above, the error is of the order of the
/// squared residual over the gap to the next one.
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
/// let start = [1.0, 1.0, 0.0];
/// let seen = lanczos::top_eigenpair(&mut Diagonal(vec![-5.0, 1.0, 3.0]), &start, LanczosOptions::default())?;
/// assert!((seen.value - 1.0).abs() < 1e-12, "this start is orthogonal to the eigenvector of 3");
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
    let mut size = 1;
    for num_applications in 1..=options.max_applications {
        operator.apply(column(&basis, size - 1), &mut next);
        let coupling = orthogonalise(&mut next, basis.as_ref().subcols(0, size), &mut projected);
        if !coupling.is_finite() {
            return Err(not_converged(num_applications, coupling));
        }
        let full = size == basis_size;
        // An invariant subspace has no next vector; a residual at the level of rounding cannot be improved on.
        let exhausted = size == operator.dim() || coupling <= f64::EPSILON * projected.norm_max();
        if !(full
            || exhausted
            || num_applications == options.max_applications
            || size.is_multiple_of(options.check_every.max(1)))
        {
            set_column(&mut basis, size, &next, coupling);
            size += 1;
            continue;
        }
        let ritz = RitzPairs::of(&projected, size)?;
        let (value, residual) = (ritz.values[0], coupling * ritz.vectors[(size - 1, 0)].abs());
        if ritz.accepted(residual, options) || exhausted {
            let vector = combine(&basis, column(&ritz.vectors, 0));
            return Ok(TopEigenpair { value, vector, residual, num_applications });
        }
        if num_applications == options.max_applications {
            return Err(not_converged(num_applications, residual));
        }
        if full {
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

/// Most passes of an orthogonalisation; a third one is rare.
const MAX_PASSES: usize = 5;

/// Removes from `x` its components along the orthonormal columns of `basis`; records them as the last row and column of the
/// projected operator, and returns the norm of what is left.
///
/// A pass leaves components of the size of what it removed times the error of the basis. "Twice is enough" (Kahan and Parlett) where a
/// second pass removes little. Where all that is left of the vector is rounding, at the border of an invariant subspace, it removes
/// nearly all: then passes go on, since such a vector joins the basis, and its error would be squared from step to step.
fn orthogonalise(x: &mut [f64], basis: MatRef<'_, f64>, projected: &mut Mat<f64>) -> f64 {
    let last = basis.ncols() - 1;
    let mut before = norm(x);
    let mut sums = vec![0.0; basis.ncols()];
    for _ in 0..MAX_PASSES {
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
        let after = norm(x);
        if after >= 0.7 * before {
            break;
        }
        before = after;
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

    /// A vector of which only rounding is left, and a basis that is orthogonal to eight digits.
    #[test]
    fn what_is_left_of_a_vector_is_orthogonal_to_a_basis_that_is_nearly_so() {
        const DIM: usize = 12;
        let error = 1e-8;
        let basis = Mat::from_fn(DIM, 3, |row, column| {
            f64::from(u8::from(row == column)) + if row == 0 && column == 2 { error } else { 0.0 }
        });
        let mut x: Vec<f64> = (0..DIM).map(|row| if row < 3 { 0.5 } else { 1e-16 }).collect();
        let mut projected = Mat::zeros(3, 3);
        let left = orthogonalise(&mut x, basis.as_ref(), &mut projected);
        assert!(left > 2.5e-16 && left < 3.5e-16, "nine numbers of 1e-16, not {left:e}");
        for column in 0..3 {
            let overlap = dot(basis.col(column).try_as_col_major().unwrap().as_slice(), &x) / left;
            assert!(
                overlap.abs() < 1e-7,
                "column {column}: {overlap:e}, of the order of the error of the basis"
            );
        }
        assert!((projected[(2, 1)] - 0.5).abs() < 1e-7, "the components are recorded");
    }
}
