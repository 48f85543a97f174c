//! The top eigenvector of an explicit positive map, however close the next eigenvalues are.
//!
//! For a shift `t` above the largest eigenvalue, `(t - S)^{-1} = sum_j S^j / t^{j+1}` is a positive map, too, and Cholesky's method
//! both inverts `t - S` and proves that `t` is above. Inverse iteration from the identity therefore stays positive, and gains a factor
//! `(t - mu_1) / (t - mu_2)` a step: with `t` next to the eigenvalue it tells apart what Lanczos, which watches residuals, takes for one.

use linstab_linalg::lanczos::{TopEigenpair, multiply};
use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{LinalgError, Mat};

/// Rounds of a new shift; the shift approaches the eigenvalue as the vector does.
const MAX_ROUNDS: usize = 40;
const ITERATIONS_PER_SHIFT: usize = 3;
/// The first distance of the shift from the Rayleigh quotient, relative: if the guess is the top eigenvector, it is above. And the
/// smallest that rounding allows.
const FIRST_DISTANCE: f64 = 1e-10;
const SMALLEST_DISTANCE: f64 = 1e-12;
/// A residual at the level of rounding, relative to the eigenvalue.
const RESIDUAL: f64 = 1e-13;

/// The top eigenpair of a symmetric matrix that maps a cone into itself, with `start` inside of the cone, from a guess of its
/// eigenvector, which may be that of a neighbour. Its `resolvent` is
/// `x = (t - S)^{-1} start`, for which `S x = t x - start <= t x`.
pub(super) fn top_eigenpair(
    matrix: &Mat<f64>,
    start: &[f64],
    guess: &[f64],
) -> Result<TopEigenpair, LinalgError> {
    let mut vector = normalised(guess.to_vec());
    let mut value = quotient(matrix, &vector);
    // A bound that is certainly above: the largest row sum of magnitudes.
    let row_sum = |row: usize| (0..matrix.ncols()).map(|column| matrix[(row, column)].abs()).sum::<f64>();
    let above = (0..matrix.nrows()).map(row_sum).fold(0.0, f64::max);
    let mut resolvent = vector.clone();
    let (mut num_applications, mut distance, mut off) = (0, FIRST_DISTANCE, f64::INFINITY);
    for _ in 0..MAX_ROUNDS {
        let Some((cholesky, used)) = factorise(matrix, value, distance, above) else { break };
        resolvent = cholesky.solve(start);
        if num_applications == 0 && used > FIRST_DISTANCE {
            // There is a larger eigenvalue than the guess's: all directions take part again.
            vector = normalised(resolvent.clone());
        }
        for _ in 0..ITERATIONS_PER_SHIFT {
            vector = normalised(cholesky.solve(&vector));
            num_applications += 1;
        }
        value = quotient(matrix, &vector);
        off = residual(matrix, &vector, value);
        // The shift need not be nearer than what the certificate can use.
        if off <= RESIDUAL * value && used <= 1e-10 {
            break;
        }
        distance = (used * 1e-3).max(SMALLEST_DISTANCE);
    }
    if !value.is_finite() || vector.iter().any(|x| !x.is_finite()) {
        return Err(LinalgError::NotConverged { method: "inverse", num_applications, residual: value });
    }
    Ok(TopEigenpair { value, vector, residual: off, resolvent, num_applications })
}

/// `t - S` for the first `t` of growing distance from `value` at which it is positive definite, and that relative distance.
fn factorise(matrix: &Mat<f64>, value: f64, distance: f64, above: f64) -> Option<(Cholesky, f64)> {
    let mut distance = distance;
    loop {
        let shift = (value * (1.0 + distance)).max(f64::MIN_POSITIVE).min(above * (1.0 + 1e-12));
        let shifted = Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| {
            if i == j { shift - matrix[(i, j)] } else { -matrix[(i, j)] }
        });
        if let Some(cholesky) = Cholesky::of(shifted) {
            return Some((cholesky, distance));
        }
        if shift >= above {
            return None;
        }
        distance *= 5.0;
    }
}

fn normalised(mut x: Vec<f64>) -> Vec<f64> {
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for x in &mut x {
        *x /= norm;
    }
    x
}

fn image(matrix: &Mat<f64>, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    multiply(matrix, x, &mut y);
    y
}

fn quotient(matrix: &Mat<f64>, x: &[f64]) -> f64 {
    image(matrix, x).iter().zip(x).map(|(y, x)| x * y).sum()
}

fn residual(matrix: &Mat<f64>, x: &[f64], value: f64) -> f64 {
    image(matrix, x).iter().zip(x).map(|(y, x)| (y - value * x).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_almost_coincide_are_told_apart() {
        // Two orthogonal groups whose eigenvalues differ by 1e-9, the start far more in the wrong one.
        let matrix = Mat::from_fn(3, 3, |i, j| match (i, j) {
            (0, 0) => 2.0 + 2e-9,
            (1 | 2, 1 | 2) => 1.0,
            _ => 0.0,
        });
        let top = top_eigenpair(&matrix, &[1.0; 3], &[1e-6, 1.0, 1.0]).unwrap();
        assert!((top.value - 2.0 - 2e-9).abs() < 1e-14 && top.vector[0] > 1.0 - 1e-6, "{top:?}");
        let excess =
            image(&matrix, &top.resolvent).iter().zip(&top.resolvent).map(|(y, x)| y / x).fold(0.0, f64::max);
        assert!(excess < top.value * (1.0 + 1e-8), "the resolvent proves it: {excess}");
    }

    #[test]
    fn degenerate_matrices_have_an_answer() {
        let zero = top_eigenpair(&Mat::zeros(2, 2), &[1.0, 1.0], &[1.0, 0.0]).unwrap();
        assert!(zero.value.abs() < 1e-300, "{zero:?}");
        let identity = top_eigenpair(&Mat::identity(2, 2), &[1.0, 1.0], &[1.0, 0.0]).unwrap();
        assert!((identity.value - 1.0).abs() < 1e-14, "{identity:?}");
    }
}
