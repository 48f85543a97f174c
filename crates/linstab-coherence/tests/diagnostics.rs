//! Diagnostics against their definitions: dense matrices, and every batch that can be drawn.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod common;

use common::{batches, form, gradient, hessian, mean, named, top};
use linstab_coherence::diagnostics::{Subject, diagnose};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Ensemble, Mat, Reduced, spectral_radius, symmetric};
use proptest::prelude::*;

/// The spectral radius of `(1 - A)^-1 N` on all matrices, by enumeration.
fn kernel_norm(h: &Mat<f64>, noise: &[(Mat<f64>, f64)], eta: f64) -> f64 {
    let dim = h.nrows();
    let kron = |x: &Mat<f64>, y: &Mat<f64>| {
        Mat::from_fn(dim * dim, dim * dim, |i, j| x[(i / dim, j / dim)] * y[(i % dim, j % dim)])
    };
    let one = Mat::<f64>::from_fn(dim, dim, |i, j| f64::from(u8::from(i == j)));
    let step = &one - h * linstab_linalg::Scale(eta);
    let left =
        Mat::<f64>::from_fn(dim * dim, dim * dim, |i, j| f64::from(u8::from(i == j))) - kron(&step, &step);
    let mut right = Mat::<f64>::zeros(dim * dim, dim * dim);
    for (x, weight) in noise {
        right += kron(x, x) * linstab_linalg::Scale(weight * eta * eta);
    }
    right -= kron(h, h) * linstab_linalg::Scale(eta * eta);
    // Both are symmetric, and the left one is positive definite.
    let whitened = symmetric::whiten(right, left).unwrap();
    spectral_radius(whitened)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn diagnostics_are_what_they_say(seed: u64, n in 3_usize..7, k in 1_usize..3, dim in 1_usize..4, at in 0_usize..1000, share in 0.2_f64..1.2) {
        let size = 1 + at * (n - 1) / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let coefficients: Vec<f64> = (0..n * k).map(|at| ((at * 7 + 3) as f64 + seed as f64 * 1e-12).sin()).collect();
        let reduced = Reduced::of(&ensemble).unwrap();
        prop_assume!(reduced.rank() == dim);
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, size).unwrap();
        let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        let exact = sgd.max_learning_rate().unwrap().value;
        let eta = share * exact;
        let subject = Subject::new(&sgd, exact).at(Some(eta)).with_seed(seed).with_coefficients(&coefficients).unwrap();
        let findings = diagnose(&subject).unwrap();
        let value = |name: &str| named(&findings, name).measured.value.unwrap();
        let close = |name: &str, expected: f64| {
            let found = value(name);
            // Negative control: a percent is seen.
            assert!((found - 1.01 * expected).abs() > 1e-10 * expected.abs() || expected.abs() <= 0.0, "{name}");
            assert!((found - expected).abs() <= 1e-10 * expected.abs() + 1e-12, "{name}: {found}, expected {expected}");
        };
        let all: Vec<usize> = (0..n).collect();
        let (h, g) = (hessian(&ensemble, &all), gradient(&ensemble, &coefficients, &all));
        let every: Vec<(Mat<f64>, Mat<f64>)> = batches(n, size)
            .iter().map(|batch| (hessian(&ensemble, batch), gradient(&ensemble, &coefficients, batch))).collect();

        let over = mean(every.iter().map(|(_, g)| form(g, &h)));
        let (square, batch_square) = (g.squared_norm_l2(), mean(every.iter().map(|(_, g)| g.squared_norm_l2())));
        close("gradient_noise_interaction", over / square);
        close("interaction_aware_sharpness", over / batch_square);
        let singles: Vec<Mat<f64>> = (0..n).map(|i| gradient(&ensemble, &coefficients, &[i])).collect();
        let variance = mean(singles.iter().map(Mat::squared_norm_l2)) - square;
        close("gradient_noise_scale", variance / square);
        let in_h = mean(singles.iter().map(|g| form(g, &h))) - form(&g, &h);
        close("gradient_noise_scale_of_curvature", in_h / form(&g, &h));
        let loss = 0.5 * coefficients.iter().map(|c| c * c).sum::<f64>() / n as f64;
        close("alignment", in_h / (2.0 * loss * h.squared_norm_l2()));

        let mean_square = (0..n).map(|i| { let x = ensemble.sample_hessian(i); &x * &x }).reduce(|x, y| x + y).unwrap() * linstab_linalg::Scale(1.0 / n as f64);
        close("non_uniformity", top(&(&mean_square - &h * &h)).max(0.0).sqrt());
        let batch_mean_square = every.iter().map(|(x, _)| x * x).reduce(|x, y| x + y).unwrap() * linstab_linalg::Scale(1.0 / every.len() as f64);
        close("second_moment_contraction", top(&symmetric::whiten(batch_mean_square, h.clone()).unwrap()));
        let worst = every.iter().map(|(x, _)| top(x)).fold(0.0, f64::max);
        prop_assert!(value("worst_batch") >= worst * (1.0 - 1e-12), "no batch is sharper");

        let noise: Vec<(Mat<f64>, f64)> = every.iter().map(|(x, _)| (x.clone(), 1.0 / every.len() as f64)).collect();
        if eta < sgd.gradient_descent_limit() {
            let expected = kernel_norm(&h, &noise, eta);
            close("noise_kernel_norm", expected);
            prop_assert!((expected < 1.0) == (eta < exact), "{expected} {share}");
        }
        // Sampled ones, within five standard errors of all batches.
        for (name, expected) in [
            ("mean_batch_sharpness", mean(every.iter().map(|(x, _)| top(x)))),
            ("batch_sharpness", mean(every.iter().map(|(x, g)| form(g, x) / g.squared_norm_l2()))),
            ("batch_sharpness_of_means", mean(every.iter().map(|(x, g)| form(g, x))) / batch_square),
        ] {
            let measured = named(&findings, name).measured;
            let (found, error) = (measured.value.unwrap(), measured.standard_error.unwrap());
            prop_assert!((found - expected).abs() <= 5.0 * error + 1e-9 * expected, "{name}: {found} +- {error}, expected {expected}");
        }
        // What is claimed of thresholds holds.
        for finding in &findings {
            let Some(ratio) = finding.ratio_to_exact else { continue };
            let holds = finding.conditions.iter().all(|(_, holds)| *holds);
            match finding.claims.name() {
                "necessary" if holds => prop_assert!(ratio >= 1.0 - 1e-9, "{finding:?}"),
                "sufficient" if holds => prop_assert!(ratio <= 1.0 + 1e-9, "{finding:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn where_gradients_vanish_nothing_is_said() {
    let reduced = Reduced::of(&random_factored(3, 6, 1, 3)).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 6, 2).unwrap();
    let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    let zeros = [0.0; 6];
    let findings = diagnose(&Subject::new(&sgd, 1.0).with_coefficients(&zeros).unwrap()).unwrap();
    for name in ["batch_sharpness", "gradient_noise_interaction", "interaction_aware_sharpness", "alignment"]
    {
        let measured = named(&findings, name).measured;
        assert!(measured.value.is_none() && measured.learning_rate.is_none(), "{name} is 0/0: {measured:?}");
    }
    assert!(Subject::new(&sgd, 1.0).with_coefficients(&zeros[..5]).is_err());
    assert!(Subject::new(&sgd, 1.0).with_coefficients(&[f64::NAN; 6]).is_err());
}
