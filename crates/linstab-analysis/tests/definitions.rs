//! Analyses against the definitions on dense matrices, for random ensembles.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_analysis::{Grams, Request, Sizes, analyse};
use linstab_dynamics::SamplingScheme;
use linstab_dynamics::sampling::Loader;
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Mat, symmetric};
use proptest::prelude::*;

fn request(batch_size: usize, sampling: SamplingScheme) -> Request {
    Request { batch_sizes: vec![batch_size], sampling: Loader::Independent(sampling), ..Request::default() }
}

/// Growth of the mean square by the dense second-moment map on all matrices: its matrix of order `dim^2`, entry by entry.
fn dense_growth(dense: &Dense, eta: f64, full_batch: f64, per_sample: f64) -> f64 {
    let (n, dim) = (dense.num_samples(), dense.dim());
    let mean = dense.mean_hessian();
    let samples: Vec<Mat<f64>> = (0..n).map(|i| dense.sample_hessian(i)).collect();
    let identity = |i: usize, j: usize| f64::from(u8::from(i == j));
    let map = Mat::from_fn(dim * dim, dim * dim, |row, column| {
        let ((i, j), (k, l)) = ((row / dim, row % dim), (column / dim, column % dim));
        let noise: f64 = samples.iter().map(|h| h[(i, k)] * h[(j, l)]).sum();
        let linear = mean[(i, k)] * identity(j, l) + identity(i, k) * mean[(j, l)];
        let forcing = full_batch * mean[(i, k)] * mean[(j, l)] + per_sample / n as f64 * noise;
        identity(i, k) * identity(j, l) - eta * linear + eta * eta * forcing
    });
    symmetric::top_eigenvalue(map.as_ref()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// At the reported threshold the dense second-moment map has growth 1; a threshold off by a factor 2, B or n would not.
    #[test]
    fn thresholds_are_where_growth_is_one(seed: u64, n in 2_usize..7, k in 1_usize..4, dim in 1_usize..5, at in 0_usize..1000, scheme in 0_usize..3) {
        let ensemble = random_factored(seed, n, k, dim.min(n * k));
        let dense = Dense::from_ensemble(&ensemble);
        let (rows, dim) = (ensemble.rows(), ensemble.dim());
        let gram = Mat::from_fn(n * k, n * k, |i, j| (0..dim).map(|p| rows[(i, p)] * rows[(j, p)]).sum::<f64>());
        let b = 1 + at * (n - 1) / 999;
        let size = b as f64;
        let schemes = [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement, SamplingScheme::Bernoulli];
        let p = (n as f64 - size) / (size * (n as f64 - 1.0));
        let (full_batch, per_sample) =
            [(1.0 - p, p), (1.0 - 1.0 / size, 1.0 / size), (1.0, 1.0 / size - 1.0 / n as f64)][scheme];
        let sizes = Sizes { num_samples: n, num_factors: k, num_parameters: Some(dim) };
        let report = analyse(Grams { plain: gram.as_ref(), preconditioned: None }, sizes, &request(b, schemes[scheme])).unwrap().report;
        let exact = report.stability[0].max_learning_rate.0;
        // Directions that are flat keep growth 1 themselves, so it is looked at on both sides of the threshold.
        let above = dense_growth(&dense, exact * (1.0 + 1e-6), full_batch, per_sample);
        prop_assert!(above > 1.0, "growth {above} just above {exact}");
        if report.rank == dim {
            let below = dense_growth(&dense, exact * (1.0 - 1e-6), full_batch, per_sample);
            prop_assert!(below < 1.0 + 1e-11, "growth {below} just below {exact}");
        }
        prop_assert!((report.sharpness - dense.sharpness().unwrap()).abs() <= 1e-10 * report.sharpness);
        let trace: f64 = (0..dim).map(|a| dense.mean_hessian()[(a, a)]).sum();
        prop_assert!((report.trace - trace).abs() <= 1e-10 * trace);
    }
}

/// Twice the curvature, half the learning rate; no curvature, no limit.
#[test]
fn units_and_emptiness() {
    let sizes = Sizes { num_samples: 3, num_factors: 1, num_parameters: Some(2) };
    let gram = |scale: f64| Mat::from_fn(3, 3, |i, j| scale * ((i + 1) * (j + 1)) as f64);
    let rate = |scale: f64| {
        let findings = analyse(
            Grams { plain: gram(scale).as_ref(), preconditioned: None },
            sizes,
            &request(1, SamplingScheme::WithoutReplacement),
        )
        .unwrap();
        findings.report.stability[0].max_learning_rate.0
    };
    assert!((rate(1.0) - 2.0 * rate(2.0)).abs() < 1e-12 * rate(1.0), "{} {}", rate(1.0), rate(2.0));
    assert!(rate(0.0).is_infinite(), "nothing to be unstable by");
    let findings = analyse(
        Grams { plain: gram(0.0).as_ref(), preconditioned: None },
        sizes,
        &request(1, SamplingScheme::Bernoulli),
    )
    .unwrap();
    let json = serde_json::to_string(&findings.report).unwrap();
    assert!(json.contains(r#""max_learning_rate":"inf""#), "infinity is a text: {json}");
    let back: linstab_analysis::Report = serde_json::from_str(&json).unwrap();
    assert_eq!(back, findings.report);
    assert!(linstab_analysis::describe(&findings).starts_with("no curvature"), "and is said");
}
