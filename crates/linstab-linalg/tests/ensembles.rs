//! Every representation agrees with the dense definition, and bad input is refused by name.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_linalg::testing::{random_axis_aligned, random_factored};
use linstab_linalg::{AxisAligned, Dense, Ensemble, Factored, LinalgError, Mat};
use proptest::prelude::*;

/// Rounding of a product of three matrices of order <= 5 with entries up to 1e4 relative to the result's scale.
const RTOL: f64 = 1e-12;

fn assert_close(what: &str, fast: f64, slow: f64, scale: f64) {
    assert!((fast - slow).abs() <= RTOL * scale.max(1e-300), "{what}: {fast} against {slow}");
}

fn assert_matrices_close(what: &str, fast: &Mat<f64>, slow: &Mat<f64>) {
    let scale = slow.norm_max();
    for column in 0..slow.ncols() {
        for row in 0..slow.nrows() {
            assert_close(what, fast[(row, column)], slow[(row, column)], scale);
        }
    }
}

/// Forwards only the required methods, so that every other one is the trait's definition.
#[derive(Debug)]
struct Definition<'a>(&'a dyn Ensemble);

impl Ensemble for Definition<'_> {
    fn num_samples(&self) -> usize {
        self.0.num_samples()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        self.0.sample_hessian(sample)
    }
}

fn check_against_definition(ensemble: &dyn Ensemble) {
    let slow = Definition(ensemble);
    let dim = ensemble.dim();
    let x = Mat::from_fn(dim, dim, |i, j| ((i * j + i + j) as f64).cos());
    assert_matrices_close("mean", &ensemble.mean_hessian(), &slow.mean_hessian());
    assert_matrices_close(
        "sandwich",
        &ensemble.sum_of_sandwiches(x.as_ref()),
        &slow.sum_of_sandwiches(x.as_ref()),
    );
    let sharpness = slow.sharpness().unwrap();
    for (fast, slow) in ensemble.mean_eigenvalues().unwrap().iter().zip(slow.mean_eigenvalues().unwrap()) {
        assert_close("eigenvalue of the mean", *fast, slow, sharpness);
    }
    for i in 0..ensemble.num_samples() {
        let expected = slow.sample_sharpness(i).unwrap();
        assert_close("sample sharpness", ensemble.sample_sharpness(i).unwrap(), expected, expected);
        for j in 0..ensemble.num_samples() {
            let scale = expected * slow.sample_sharpness(j).unwrap();
            assert_close(
                "trace of product",
                ensemble.trace_of_product(i, j),
                slow.trace_of_product(i, j),
                scale,
            );
        }
    }
}

proptest! {
    #[test]
    fn representations_agree_with_the_definition(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..6) {
        let factored = random_factored(seed, n, k, dim);
        let axis_aligned = random_axis_aligned(seed, n, dim);
        check_against_definition(&factored);
        check_against_definition(&axis_aligned);
        check_against_definition(&Dense::from_ensemble(&factored));
    }

    #[test]
    fn a_factored_ensemble_is_accepted_as_dense(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..6) {
        let factored = random_factored(seed, n, k, dim);
        let hessians = (0..n).map(|i| factored.sample_hessian(i)).collect();
        prop_assert!(Dense::new(hessians).is_ok(), "F F^T is PSD up to rounding");
    }

    #[test]
    fn shared_direction_is_equally_sharp_at_every_coherence(n in 1_usize..60, sharpness in 0.1_f64..10.0, at in 0_usize..1000) {
        let coherence = 1 + at * (n - 1) / 999;
        let ensemble = AxisAligned::shared_direction(n, coherence, sharpness).unwrap();
        assert_close("sharpness", ensemble.sharpness().unwrap(), sharpness, sharpness);
        prop_assert_eq!(ensemble.dim(), n - coherence + 1);
        prop_assert_eq!(ensemble.axis(0).samples().len(), coherence);
        let first = ensemble.sample_sharpness(0).unwrap();
        for i in 1..n {
            prop_assert_eq!(ensemble.sample_sharpness(i).unwrap().to_bits(), first.to_bits());
        }
    }
}

#[test]
fn variance_counts_the_samples_that_are_not_listed() {
    let ensemble = AxisAligned::from_axes(4, vec![vec![(2, 4.0)]]).unwrap();
    let axis = ensemble.axis(0);
    assert_eq!((axis.mean().to_bits(), axis.mean_square().to_bits()), (1.0_f64.to_bits(), 4.0_f64.to_bits()));
    assert_eq!(axis.variance().to_bits(), 3.0_f64.to_bits(), "(9 + 3 * 1) / 4");
}

#[test]
fn bad_input_is_refused_by_name() {
    let square = |entries: [f64; 4]| Mat::from_fn(2, 2, |i, j| entries[2 * i + j]);
    let good = square([1.0, 0.0, 0.0, 1.0]);
    let dense = |bad: Mat<f64>| Dense::new(vec![good.clone(), bad]).unwrap_err();
    assert!(matches!(Dense::new(vec![]), Err(LinalgError::EmptyEnsemble)));
    assert!(matches!(dense(Mat::zeros(3, 3)), LinalgError::ShapeMismatch { expected: 2, found: 3, .. }));
    assert!(matches!(
        dense(square([1.0, f64::NAN, 0.0, 1.0])),
        LinalgError::NonFinite { sample: 1, row: 0, column: 1 }
    ));
    assert!(matches!(dense(square([1.0, 0.1, 0.0, 1.0])), LinalgError::NotSymmetric { sample: 1, .. }));
    assert!(matches!(
        dense(square([1.0, 2.0, 2.0, 1.0])),
        LinalgError::NotPositiveSemidefinite { sample: 1, .. }
    ));
    assert!(matches!(Factored::new(0, 1, 1, vec![]), Err(LinalgError::EmptyEnsemble)));
    assert!(matches!(Factored::new(1, 0, 1, vec![]), Err(LinalgError::OutOfRange { .. })));
    assert!(matches!(Factored::new(2, 1, 2, vec![0.0; 3]), Err(LinalgError::ShapeMismatch { .. })));
    assert!(matches!(
        Factored::new(2, 2, 1, vec![0.0, 0.0, 0.0, f64::INFINITY]),
        Err(LinalgError::NonFinite { sample: 1, row: 1, column: 0 })
    ));
    let axes = |entries| AxisAligned::from_axes(2, vec![entries]).unwrap_err();
    assert!(matches!(axes(vec![(2, 1.0)]), LinalgError::ShapeMismatch { .. }));
    assert!(matches!(axes(vec![(0, 1.0), (0, 2.0)]), LinalgError::DuplicateEntry { axis: 0, sample: 0 }));
    assert!(matches!(axes(vec![(1, -1.0)]), LinalgError::NotPositiveSemidefinite { sample: 1, .. }));
    assert!(matches!(AxisAligned::shared_direction(4, 5, 1.0), Err(LinalgError::OutOfRange { .. })));
    assert!(matches!(AxisAligned::shared_direction(4, 2, f64::NAN), Err(LinalgError::OutOfRange { .. })));
}
