//! Each sampling scheme as two numbers, against the enumeration of all its batches.

use linstab_dynamics::second_moment::batch_second_moment;
use linstab_dynamics::testing::{SCHEMES, batch_hessian, enumerate_batches};
use linstab_dynamics::{BatchSampling, SamplingScheme};
use linstab_linalg::testing::{random_axis_aligned, random_factored};
use linstab_linalg::{Dense, Ensemble, Mat, MatRef, Scale};
use proptest::prelude::*;

/// Sums of up to 5^5 products of matrices of order at most 4: rounding stays below 1e-13 of the result.
const RTOL: f64 = 1e-12;

fn by_enumeration(ensemble: &dyn Ensemble, sampling: BatchSampling, x: MatRef<'_, f64>) -> Mat<f64> {
    let mut sum = Mat::zeros(ensemble.dim(), ensemble.dim());
    for (probability, batch) in enumerate_batches(sampling) {
        let hessian = batch_hessian(ensemble, sampling, &batch);
        sum += &hessian * x * &hessian * Scale(probability);
    }
    sum
}

fn relative_error(found: &Mat<f64>, expected: &Mat<f64>) -> f64 {
    (found - expected).norm_max() / expected.norm_max()
}

fn symmetric_probe(dim: usize) -> Mat<f64> {
    Mat::from_fn(dim, dim, |i, j| if i == j { 2.0 } else { ((i + j) as f64).sin() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn two_numbers_are_the_scheme(seed: u64, n in 1_usize..6, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..5) {
        let batch_size = 1 + at * n / 1000;
        let factored = random_factored(seed, n, k, dim);
        let x = symmetric_probe(dim);
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, batch_size).unwrap();
            for ensemble in [&factored as &dyn Ensemble, &Dense::from_ensemble(&factored), &random_axis_aligned(seed, n, dim)] {
                if ensemble.sharpness().unwrap() <= 0.0 {
                    continue;
                }
                let expected = by_enumeration(ensemble, sampling, x.as_ref());
                let found = batch_second_moment(ensemble, sampling, x.as_ref()).unwrap();
                prop_assert!(relative_error(&found, &expected) < RTOL, "{scheme:?} n={n} B={batch_size}");
            }
        }
    }
}

/// The two numbers with a wrong factor in the noise weight must not pass the test above.
#[test]
fn a_wrong_factor_is_caught() {
    let (n, batch_size) = (5, 2);
    let ensemble = random_factored(7, n, 1, 3);
    let x = symmetric_probe(3);
    for scheme in SCHEMES {
        let sampling = BatchSampling::new(scheme, n, batch_size).unwrap();
        let weights = sampling.moment_weights();
        let mean = ensemble.mean_hessian();
        let with = |full_batch: f64, per_sample: f64| {
            &mean * &x * &mean * Scale(full_batch)
                + ensemble.sum_of_sandwiches(x.as_ref()) * Scale(per_sample / n as f64)
        };
        let expected = by_enumeration(&ensemble, sampling, x.as_ref());
        let error = |full_batch, per_sample| relative_error(&with(full_batch, per_sample), &expected);
        assert!(error(weights.full_batch, weights.per_sample) < RTOL, "the control of the control");
        for wrong in [2.0, 0.5, 1.0 / batch_size as f64, n as f64, (n as f64 - 1.0) / n as f64] {
            assert!(error(weights.full_batch, wrong * weights.per_sample) > 1e-3, "{scheme:?} times {wrong}");
        }
        assert!(
            error(weights.full_batch + weights.per_sample, weights.per_sample) > 1e-3,
            "{scheme:?} full batch"
        );
    }
}

#[test]
fn a_full_batch_without_replacement_has_no_noise() {
    for n in [1, 2, 100] {
        let weights = BatchSampling::new(SamplingScheme::WithoutReplacement, n, n).unwrap().moment_weights();
        assert_eq!((weights.full_batch.to_bits(), weights.per_sample.to_bits()), (1.0_f64.to_bits(), 0));
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let ensemble = random_factored(1, 3, 1, 2);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
    assert!(batch_second_moment(&ensemble, sampling, Mat::zeros(2, 2).as_ref()).is_err(), "4 samples for 3");
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 3, 2).unwrap();
    assert!(batch_second_moment(&ensemble, sampling, Mat::zeros(3, 2).as_ref()).is_err(), "3 rows for 2");
    for batch_size in [0, 4] {
        assert!(BatchSampling::new(SamplingScheme::Bernoulli, 3, batch_size).is_err(), "B = {batch_size}");
    }
}
