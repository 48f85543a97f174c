//! The exact diagnostics of gradients against a hundred thousand drawn batches, as those who measure them in a training draw them.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
mod common;

use common::{form, gradient, hessian, mean, named};
use linstab_coherence::diagnostics::{Subject, diagnose};
use linstab_dynamics::sampling::BatchSampler;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Factored, Mat, Reduced};
use rand_pcg::Pcg64;

const NUM_BATCHES: usize = 100_000;
const GROUP: usize = 1000;
const NUM_SAMPLES: usize = 40;
const NUM_FACTORS: usize = 2;

/// `g_B^T H g_B` and `|g_B|^2` of drawn batches.
fn draws(ensemble: &Factored, coefficients: &[f64], sampling: BatchSampling, seed: u64) -> Vec<(f64, f64)> {
    let all: Vec<usize> = (0..NUM_SAMPLES).collect();
    let h = hessian(ensemble, &all);
    let singles: Vec<Mat<f64>> = all.iter().map(|&i| gradient(ensemble, coefficients, &[i])).collect();
    let mut sampler: BatchSampler<Box<[u64]>> = BatchSampler::new(sampling);
    let (mut rng, mut batch) = (Pcg64::new(u128::from(seed), 77), Vec::new());
    let mut draw = || {
        sampler.draw_indices(&mut rng, &mut batch);
        let mut sum = Mat::<f64>::zeros(h.nrows(), 1);
        for &i in &batch {
            sum += &singles[i];
        }
        let g = sum * linstab_linalg::Scale(1.0 / sampling.batch_size() as f64);
        (form(&g, &h), g.squared_norm_l2())
    };
    (0..NUM_BATCHES).map(|_| draw()).collect()
}

/// A ratio of means with its standard error to first order.
fn ratio(pairs: &[(f64, f64)]) -> (f64, f64) {
    let n = pairs.len() as f64;
    let (over, under) = (mean(pairs.iter().map(|pair| pair.0)), mean(pairs.iter().map(|pair| pair.1)));
    let value = over / under;
    let squares: f64 = pairs.iter().map(|pair| (pair.0 - value * pair.1).powi(2)).sum();
    (value, (squares / (n * (n - 1.0))).sqrt() / under)
}

/// The same error from the spread of groups of batches: a check of the first.
fn error_of_groups(pairs: &[(f64, f64)]) -> f64 {
    let groups: Vec<f64> = pairs.chunks(GROUP).map(|group| ratio(group).0).collect();
    let (n, centre) = (groups.len() as f64, mean(groups.iter().copied()));
    (groups.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt()
}

#[test]
fn exact_diagnostics_of_gradients_are_the_means_over_batches() {
    let mut deviations = Vec::new();
    for (case, scheme) in (0_u64..).zip([
        SamplingScheme::WithoutReplacement,
        SamplingScheme::WithReplacement,
        SamplingScheme::Bernoulli,
        SamplingScheme::WithoutReplacement,
    ]) {
        let ensemble = random_factored(case, NUM_SAMPLES, NUM_FACTORS, 5);
        let coefficients: Vec<f64> = (0..NUM_SAMPLES * NUM_FACTORS)
            .map(|at| 0.3 + ((at * 7 + 3) as f64 + case as f64).sin())
            .collect();
        let size = [4, 4, 6, 20][usize::try_from(case).unwrap()];
        let sampling = BatchSampling::new(scheme, NUM_SAMPLES, size).unwrap();
        let reduced = Reduced::of(&ensemble).unwrap();
        let exact = |sampling: BatchSampling| {
            let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
            let findings =
                diagnose(&Subject::new(&sgd, 1.0).with_coefficients(&coefficients).unwrap()).unwrap();
            ["gradient_noise_interaction", "interaction_aware_sharpness"]
                .map(|name| named(&findings, name).measured.value.unwrap())
        };
        let pairs = draws(&ensemble, &coefficients, sampling, case);
        let all: Vec<usize> = (0..NUM_SAMPLES).collect();
        let square = gradient(&ensemble, &coefficients, &all).squared_norm_l2();
        let over_the_mean: Vec<(f64, f64)> = pairs.iter().map(|pair| (pair.0, square)).collect();
        let (expected, other) =
            (exact(sampling), exact(BatchSampling::new(scheme, NUM_SAMPLES, size + 1).unwrap()));
        for (at, pairs) in [over_the_mean, pairs].iter().enumerate() {
            let (found, error) = ratio(pairs);
            let deviation = (expected[at] - found) / error;
            assert!(deviation.abs() <= 4.0, "case {case}, {at}: {found} +- {error}, exact {}", expected[at]);
            // A hundred groups know the error to 7 %.
            let checked = error_of_groups(pairs) / error;
            assert!((0.75..1.3).contains(&checked), "case {case}, {at}: the error is off by {checked}");
            // Negative controls: five percent are seen, and of what depends on it another batch size.
            let from = |value: f64| ((value - found) / error).abs();
            assert!(from(1.05 * expected[at]) > 8.0, "case {case}, {at}: {error} is too large to tell");
            assert!(at == 1 || from(other[at]) > 8.0, "case {case}: {} is another", other[at]);
            deviations.push(deviation);
        }
    }
    // Errors are neither too large nor too small: the mean of eight squares.
    let square = mean(deviations.iter().map(|x| x * x));
    assert!((0.1..2.5).contains(&square), "{square}: {deviations:?}");
}
