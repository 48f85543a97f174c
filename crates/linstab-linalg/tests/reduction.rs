//! The reduction keeps what the analysis needs, and the sandwich kernel is the sum it claims to be.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_linalg::testing::random_factored;
use linstab_linalg::{
    Ensemble, Factored, LinalgError, Mat, Reduced, inner_products, packed, spread, sum_of_sandwiches,
    symmetric,
};
use proptest::prelude::*;

proptest! {
    /// Traces of products (which fix everything up to rotation for rank-one curvatures) survive, and the mean is diagonal.
    #[test]
    fn reduction_is_a_rotation(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..30) {
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        let rotated: &dyn Ensemble = &reduced;
        prop_assert!(reduced.rank() <= dim.min(n * k));
        let sharpness = ensemble.sharpness().unwrap();
        let mean = rotated.mean_hessian();
        for a in 0..reduced.rank() {
            for b in 0..reduced.rank() {
                let expected = if a == b { reduced.mean_eigenvalues()[a] } else { 0.0 };
                prop_assert!((mean[(a, b)] - expected).abs() <= 1e-12 * sharpness, "the mean is diagonal");
            }
        }
        for i in 0..n {
            for j in 0..n {
                let (before, after) = (ensemble.trace_of_product(i, j), rotated.trace_of_product(i, j));
                prop_assert!((before - after).abs() <= 1e-11 * (n as f64 * sharpness).powi(2), "{before} {after}");
            }
        }
    }

    #[test]
    fn coefficients_give_back_the_direction(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..30) {
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        // The first eigenvector of the mean, as a combination of factors, is an eigenvector in parameter space.
        let mut x = vec![0.0; reduced.rank()];
        x[0] = 1.0;
        let coefficients = reduced.coefficients_of(&x);
        let rows = ensemble.rows();
        let direction = Mat::from_fn(dim, 1, |p, _| (0..n * k).map(|row| coefficients[row] * rows[(row, p)]).sum::<f64>());
        prop_assert!((direction.norm_l2() - 1.0).abs() < 1e-9, "an isometry");
        let sharpness = ensemble.sharpness().unwrap();
        let image = ensemble.mean_hessian() * &direction - &direction * linstab_linalg::Scale(sharpness);
        prop_assert!(image.norm_l2() <= 1e-9 * sharpness);
    }

    /// Across panel borders, too: ranks up to 300 with panels of 128.
    #[test]
    fn the_kernel_is_the_sum(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..12) {
        check_kernel(&random_factored(seed, n, k, dim));
    }
}

fn check_kernel(ensemble: &Factored) {
    let reduced = Reduced::of(ensemble).unwrap();
    let rank = reduced.rank();
    let x = Mat::from_fn(rank, rank, |i, j| (1.0 + (i + j) as f64 + 0.3 * (i * j) as f64).sin());
    let mut output = vec![f64::NAN; packed::packed_len(rank)];
    sum_of_sandwiches(&reduced, &packed::pack(x.as_ref()), &mut output);
    let expected = reduced.sum_of_sandwiches(x.as_ref());
    let error = (packed::unpack(&output, rank) - &expected).norm_max();
    assert!(error <= 1e-12 * expected.norm_max().max(1e-300), "{error}");
}

#[test]
fn the_kernel_crosses_panels() {
    for (n, k) in [(130, 1), (150, 2), (257, 1)] {
        check_kernel(&random_factored(5, n, k, 300));
    }
}

/// The beginning of a packed matrix stands for the matrix that is zero in the rows and columns of all others.
#[test]
fn first_columns_are_enough() {
    let reduced = Reduced::of(&random_factored(7, 130, 2, 200)).unwrap();
    let (rank, columns) = (reduced.rank(), 101);
    let one = |sample: usize| [1.0, 0.5, 0.5, 2.0 + (sample as f64).sin()];
    let blocks: Vec<f64> = (0..130).flat_map(one).collect();
    let mut whole = vec![f64::NAN; packed::packed_len(rank)];
    spread(&reduced, &blocks, &mut whole);
    let len = (0..columns).map(|column| rank - column).sum();
    let mut first = vec![f64::NAN; len];
    spread(&reduced, &blocks, &mut first);
    assert!(
        first.iter().zip(&whole).all(|(x, y)| (x - y).abs() <= 1e-12 * x.abs().max(1e-3)),
        "other entries"
    );
    let all = inner_products(&reduced, &whole);
    whole[len..].fill(0.0);
    let (found, expected) = (inner_products(&reduced, &first), inner_products(&reduced, &whole));
    let close =
        |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| (x - y).abs() <= 1e-10 * y.abs().max(1.0));
    assert!(close(&found, &expected));
    // Negative control: the columns that are left out are not nothing.
    assert!(!close(&found, &all));
}

#[test]
fn no_curvature_has_rank_zero() {
    let reduced = Reduced::of(&Factored::new(3, 2, 4, vec![0.0; 24]).unwrap()).unwrap();
    assert_eq!((reduced.rank(), reduced.num_samples(), reduced.num_factors()), (0, 3, 2));
}

#[test]
fn what_is_not_finite_has_no_eigenvalues() {
    for dim in 1..6 {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let matrix = Mat::from_fn(dim, dim, |i, j| if i == dim - 1 && j == 0 { bad } else { 1.0 });
            let error = symmetric::eigenpairs(matrix.as_ref()).unwrap_err();
            assert_eq!(error, LinalgError::NoConvergence { dim }, "{bad} in order {dim}");
            assert_eq!(symmetric::eigenvalues(matrix.as_ref()).unwrap_err(), error, "{bad} in order {dim}");
        }
        // Finite factors whose products overflow.
        let huge = Factored::new(2, 1, dim, vec![1e200; 2 * dim]).unwrap();
        assert!(matches!(Reduced::of(&huge), Err(LinalgError::NoConvergence { .. })), "dimension {dim}");
    }
}

/// An ensemble of any representation can be reduced, a reduced one again: nothing is lost but directions without curvature.
#[test]
fn any_ensemble_is_reduced_and_a_reduced_one_is_an_ensemble() {
    let axes =
        linstab_linalg::AxisAligned::from_diagonals(&[vec![4.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]]).unwrap();
    let once = Reduced::of(&axes).unwrap();
    assert_eq!((once.rank(), once.dim(), Ensemble::num_samples(&once)), (2, 2, 2));
    let twice = Reduced::of(&once).unwrap();
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let expected = axes.trace_of_product(i, j);
        for found in [once.trace_of_product(i, j), twice.trace_of_product(i, j)] {
            assert!((found - expected).abs() < 1e-12, "{i} {j}: {found}, not {expected}");
        }
    }
    // Negative control: the traces of another ensemble are others.
    let other = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 1.0, 0.0]).unwrap()).unwrap();
    assert!(
        (other.trace_of_product(0, 1) - axes.trace_of_product(0, 1)).abs() > 1.0,
        "here the samples share a direction"
    );
}

/// Large eigenproblems are shared out: to parts whose number does not depend on that of the threads, so neither do the bits.
#[test]
fn large_eigenproblems_are_solved_with_the_same_bits_by_any_number_of_threads() {
    let order = 1003;
    let factors = random_factored(5, order, 1, 1200);
    let rows = Mat::from_fn(order, 1200, |i, p| factors.factors(i)[(p, 0)]);
    let gram = linstab_linalg::gram_matrix(rows.as_ref()).unwrap();
    let solved = |num_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| symmetric::eigenpairs(gram.as_ref()).unwrap())
    };
    let (values, vectors) = solved(1);
    for num_threads in [2, 3] {
        assert!(solved(num_threads) == (values.clone(), vectors.clone()), "{num_threads} threads");
    }
    let scaled = Mat::from_fn(order, order, |i, j| vectors[(i, j)] * values[j]);
    let largest = values[order - 1];
    let residual = (&gram * &vectors - &scaled).norm_max();
    assert!(residual <= 1e-12 * largest, "{residual} beside {largest}");
}
