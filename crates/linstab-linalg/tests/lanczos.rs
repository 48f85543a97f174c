//! Lanczos against the dense solver, on hard cases and on failures.

use linstab_linalg::lanczos::{LanczosOptions, SymmetricOperator, top_eigenpair, top_eigenpair_of};
use linstab_linalg::{LinalgError, Mat, symmetric};
use proptest::prelude::*;

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

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
    let zero = top_eigenpair(&mut Explicit(Mat::zeros(5, 5)), &[1.0; 5], LanczosOptions::default()).unwrap();
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

/// The top eigenvector is invisible to a start orthogonal to it, and faint to one that nearly is.
#[test]
fn the_start_decides_what_is_seen() {
    let matrix = || Explicit(Mat::from_fn(3, 3, |i, j| if i == j { [1.0, 2.0, 3.0][i] } else { 0.0 }));
    let top = |start: [f64; 3]| top_eigenpair(&mut matrix(), &start, LanczosOptions::default()).unwrap();
    let blind = top([1.0, 1.0, 0.0]);
    assert!((blind.value - 2.0).abs() < 1e-14 && blind.num_applications == 2, "{blind:?}");
    let faint = top([1.0, 1.0, 1e-6]);
    assert!((faint.value - 3.0).abs() < 1e-12, "{faint:?}");
}

#[test]
fn eigenvalues_that_lie_close_are_separated_all_the_same() {
    // Two hundred eigenvalues of which a hundred lie within 1e-9 of the largest: ten vectors do not tell them apart.
    let close = |i: usize| if i < 100 { 1.0 + 1e-11 * i as f64 } else { 0.5 };
    let matrix = Mat::from_fn(200, 200, |i, j| if i == j { close(i) } else { 0.0 });
    let options = LanczosOptions { max_applications: 60, ..LanczosOptions::default() };
    let start: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i).sin()).collect();
    let exact = LanczosOptions { residual_rtol: 1e-15, value_rtol: 1e-15, ..options };
    assert!(
        top_eigenpair(&mut Explicit(matrix.clone()), &start, exact).is_err(),
        "the iteration alone gives up"
    );
    let top = top_eigenpair_of(&matrix, &start, exact).unwrap();
    assert!((top.value - close(99)).abs() < 1e-15, "{}", top.value);
}
