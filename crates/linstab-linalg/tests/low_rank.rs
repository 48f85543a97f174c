//! Low-rank kernels against their definitions.

use linstab_linalg::testing::random_factored;
use linstab_linalg::{Mat, Reduced, low_rank};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_cauchy_kernel_is_recovered(nodes in prop::collection::vec(-3.0_f64..3.0, 1..40), exponent in 2_i32..13) {
        let nodes: Vec<f64> = nodes.iter().map(|x| x.exp()).collect();
        let entry = |i: usize, j: usize| (nodes[i] + nodes[j]).recip();
        let rtol = 10.0_f64.powi(-exponent);
        let factor = low_rank::pivoted_cholesky(nodes.len(), entry, rtol, 40).unwrap();
        let largest = nodes.iter().map(|x| 0.5 / x).fold(0.0, f64::max);
        // An entry of a positive semidefinite remainder is at most its largest diagonal entry.
        for i in 0..nodes.len() {
            for j in 0..nodes.len() {
                let sum: f64 = (0..factor.ncols()).map(|q| factor[(i, q)] * factor[(j, q)]).sum();
                prop_assert!((sum - entry(i, j)).abs() <= (rtol + 1e-14) * largest, "entry {i}, {j}");
            }
        }
        // Range of the nodes e^6: the estimate of the documentation, and two.
        let bound = (f64::from(exponent) * 10.0_f64.ln()) * (4.0 * 6.0_f64.exp()).ln() / 9.87 + 2.0;
        prop_assert!(factor.ncols() as f64 <= bound, "{} columns", factor.ncols());
    }

    #[test]
    fn squared_grams_agree_with_their_definition(seed: u64, n in 1_usize..130, dim in 1_usize..9, columns in 0_usize..4) {
        let ensemble = Reduced::of(&random_factored(seed, n, 1, dim)).unwrap();
        let (v, rank) = (ensemble.factors(), ensemble.rank());
        let weights = Mat::from_fn(rank, columns, |a, q| ((a * 7 + q * 3 + 1) as f64).sin());
        let sum = low_rank::sum_of_squared_grams(&ensemble, weights.as_ref());
        let mut wrong_somewhere = false;
        for i in 0..n {
            for j in 0..n {
                let gram = |q: usize| (0..rank).map(|a| v[(i, a)] * weights[(a, q)] * v[(j, a)]).sum::<f64>();
                let expected: f64 = (0..columns).map(|q| gram(q) * gram(q)).sum();
                let scale: f64 = ensemble.mean_eigenvalues().iter().map(|h| h * n as f64).sum();
                prop_assert!((sum[(i, j)] - expected).abs() <= 1e-12 * scale * scale, "entry {i}, {j}");
                wrong_somewhere |= (2.0 * sum[(i, j)] - expected).abs() > 1e-12 * scale * scale;
            }
        }
        prop_assert!(wrong_somewhere || columns == 0 || rank == 0, "a factor of 2 is caught");
    }
}

#[test]
fn an_indefinite_matrix_ends_too() {
    let factor = low_rank::pivoted_cholesky(2, |i, j| if i == j { 0.0 } else { 1.0 }, 1e-12, 2).unwrap();
    assert_eq!(factor.ncols(), 0, "no positive pivot");
}
