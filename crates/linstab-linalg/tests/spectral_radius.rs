//! The spectral radius by squaring against the eigenvalues themselves.

use linstab_linalg::testing::{random_factored, spectral_radius as by_eigenvalues};
use linstab_linalg::{Mat, Scale, spectral_radius};
use proptest::prelude::*;

proptest! {
    #[test]
    fn squaring_finds_the_largest_modulus(seed: u64, dim in 1_usize..9) {
        let random = random_factored(seed, 1, dim, dim);
        let matrix = random.factors(0).to_owned();
        let (found, expected) = (spectral_radius(matrix.clone()), by_eigenvalues(matrix.as_ref()));
        // Eigenvalues of random matrices are well separated from defective ones, but not by much for every seed.
        prop_assert!((found - expected).abs() <= 1e-9 * expected, "{found} against {expected}");
        // Negative control: the norm is another number, and scales alike.
        let twice = spectral_radius(&matrix * Scale(2.0));
        prop_assert!((twice - 2.0 * found).abs() <= 1e-12 * twice);
        prop_assert!(dim == 1 || matrix.norm_l2() > found * (1.0 + 1e-9));
    }
}

#[test]
fn degenerate_matrices_have_a_radius() {
    assert_eq!(spectral_radius(Mat::zeros(3, 3)).to_bits(), 0.0_f64.to_bits());
    // Nilpotent: its square is zero.
    let nilpotent = Mat::from_fn(2, 2, |i, j| f64::from(u8::from(i < j)));
    assert_eq!(spectral_radius(nilpotent).to_bits(), 0.0_f64.to_bits());
}
