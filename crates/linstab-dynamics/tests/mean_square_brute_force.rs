//! Exact thresholds and growth against brute force: enumeration of all batches and Kronecker products.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::testing::{
    BruteForce, SCHEMES, analysis, batch_hessian, enumerate_batches, kronecker_moment, second_moment_radius,
};
use linstab_dynamics::{MeanSquare, SamplingScheme};
use linstab_linalg::testing::{random_factored, spectral_radius};
use linstab_linalg::{Factored, Mat};

use proptest::prelude::*;

/// The threshold is where brute force crosses 1, to 1e-9, and its interval holds that crossing.
fn check_crossing(analysis: &MeanSquare, brute: &BruteForce) -> Result<f64, TestCaseError> {
    let threshold = analysis.max_learning_rate().unwrap();
    let growth = |eta: f64| brute.growth(analysis.sampling(), analysis.optimizer().momentum(), eta);
    // A relative 1e-9 is 1e-11 or more in the growth; the eigenvalue solver errs by 1e-13.
    let (below, above) = (growth((1.0 - 1e-9) * threshold.value), growth((1.0 + 1e-9) * threshold.value));
    prop_assert!(below < 1.0 && above > 1.0, "{threshold:?} {below} {above}");
    let (low, high) = threshold.interval;
    prop_assert!(low <= threshold.value && threshold.value <= high, "{threshold:?}");
    // Rounding moves the brute-force crossing by up to 1e-11 (momentum near 1, where the growth is flat): ten times that.
    let (at_low, at_high) = (growth((1.0 - 1e-10) * low), growth((1.0 + 1e-10) * high));
    prop_assert!(at_low < 1.0 && at_high > 1.0, "{threshold:?} {at_low} {at_high}");
    Ok(threshold.value)
}

/// The schemes whose batches are few enough to be worth their enumeration.
fn enumerable(n: usize, b: usize) -> impl Iterator<Item = SamplingScheme> {
    let multisets = (0..b).fold(1, |count, i| count * (n + i) / (i + 1));
    SCHEMES.into_iter().filter(move |&scheme| scheme != SamplingScheme::WithReplacement || multisets <= 500)
}

/// SAM's ratio, log-uniform in [0.01, 100]; 0 for a third of the cases.
fn ratio(log_c: f64) -> f64 {
    if log_c < -2.0 { 0.0 } else { 10.0_f64.powf(log_c) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn thresholds_are_where_brute_force_crosses_one(
        seed: u64, n in 1_usize..9, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..6, log_c in -3.0_f64..2.0,
    ) {
        let (b, c) = (1 + at * n / 1000, ratio(log_c));
        let ensemble = random_factored(seed, n, k, dim);
        let brute = BruteForce::new(&ensemble, c);
        for scheme in enumerable(n, b) {
            let analysis = analysis(&ensemble, scheme, b, c, 0.0);
            let threshold = check_crossing(&analysis, &brute)?;
            for factor in [0.1, 0.5, 0.9, 1.5] {
                let found = analysis.growth_per_step(factor * threshold).unwrap();
                let expected = brute.growth(analysis.sampling(), 0.0, factor * threshold);
                prop_assert!((found - expected).abs() < 1e-9 * found + 1e-12, "{found} against {expected}");
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn momentum_thresholds_are_where_brute_force_crosses_one(
        seed: u64, n in 1_usize..9, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..6, log_c in -3.0_f64..2.0, beta in -0.9_f64..0.99,
    ) {
        let (b, c) = (1 + at * n / 1000, ratio(log_c));
        let ensemble = random_factored(seed, n, k, dim);
        let brute = BruteForce::new(&ensemble, c);
        for scheme in enumerable(n, b) {
            let analysis = analysis(&ensemble, scheme, b, c, beta);
            let threshold = check_crossing(&analysis, &brute)?;
            let growth = |factor: f64| brute.growth(analysis.sampling(), beta, factor * threshold);
            for factor in [0.05, 0.3, 0.7, 0.95] {
                prop_assert!(growth(factor) < 1.0, "stable below: {scheme:?} beta={beta} {factor}");
            }
            for factor in [0.5, 1.5] {
                let found = analysis.growth_per_step(factor * threshold).unwrap();
                let expected = growth(factor);
                // Next to critical damping two eigenvalues of the map meet: both sides lose half of their digits there.
                prop_assert!((found - expected).abs() < 1e-5 * found, "{found} against {expected} beta={beta}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Samples of different rank, as they come from eigenvectors or from networks with dead outputs.
    #[test]
    fn zero_factors_are_no_curvature(
        seed: u64, n in 1_usize..6, at in 0_usize..1000, k in 1_usize..4, dim in 1_usize..5, beta in -0.9_f64..0.95,
    ) {
        let b = 1 + at * n / 1000;
        let plain = random_factored(seed, n, k, dim);
        // Bit (i, q) of the seed says whether factor q of sample i is zero; one factor stays.
        let kept = |row: usize| row == 0 || seed >> row & 1 == 0;
        let entry = |row: usize, p: usize| if kept(row) { plain.rows()[(row, p)] } else { 0.0 };
        let rows = (0..n * k).flat_map(|row| (0..dim).map(move |p| entry(row, p))).collect();
        let sparse = Factored::new(n, k, dim, rows).unwrap();
        // One more factor for every sample, zero in all of them.
        let padded = (0..n).flat_map(|i| {
            let zero = std::iter::repeat_n(0.0, dim);
            (i * k..(i + 1) * k).flat_map(|row| (0..dim).map(move |p| entry(row, p))).chain(zero)
        });
        let padded = Factored::new(n, k + 1, dim, padded.collect()).unwrap();
        for (c, beta) in [(0.0, 0.0), (0.7, beta)] {
            let brute = BruteForce::new(&sparse, c);
            for scheme in SCHEMES {
                let threshold = check_crossing(&analysis(&sparse, scheme, b, c, beta), &brute)?;
                let again = check_crossing(&analysis(&padded, scheme, b, c, beta), &brute)?;
                prop_assert!((again - threshold).abs() <= 1e-10 * threshold, "{again} against {threshold}");
            }
        }
    }

    #[test]
    fn a_preconditioner_is_a_congruence(seed: u64, n in 1_usize..5, k in 1_usize..3, dim in 1_usize..4, at in 0_usize..1000) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let preconditioner: Vec<f64> = (0..dim).map(|p| 0.5 + p as f64).collect();
        let scales: Vec<f64> = preconditioner.iter().map(|d| d.sqrt().recip()).collect();
        let analysis = analysis(&ensemble.rescaled(&scales).unwrap(), SamplingScheme::WithReplacement, b, 0.0, 0.0);
        let threshold = analysis.max_learning_rate().unwrap().value;
        // The literal rule w <- w - eta D^{-1} H_t w on the whole space: a flat direction has growth 1, so look above.
        let literal = |eta: f64| {
            let steps = enumerate_batches(analysis.sampling()).into_iter().map(|(probability, batch)| {
                let h = batch_hessian(&ensemble, analysis.sampling(), &batch);
                (probability, Mat::from_fn(dim, dim, |i, j| f64::from(u8::from(i == j)) - eta * h[(i, j)] / preconditioner[i]))
            });
            second_moment_radius(dim, steps)
        };
        prop_assert!(literal(threshold * (1.0 + 1e-5)) > 1.0 + 1e-9, "grows above");
        prop_assert!(literal(threshold * (1.0 - 1e-5)) < 1.0 + 1e-9, "does not grow below");
    }
}

/// The oracle itself: on symmetric matrices `E[M (x) M]` has the spectral radius that it has on all.
#[test]
fn symmetric_matrices_carry_the_growth() {
    for seed in 0..60 {
        let dim = 1 + (seed % 6) as usize;
        let noise = random_factored(seed, 3, dim, dim);
        let steps = || (0..3).map(|i| (1.0 / 3.0, noise.factors(i).to_owned()));
        let whole = spectral_radius(kronecker_moment(dim, steps()).as_ref());
        let restricted = second_moment_radius(dim, steps());
        assert!((restricted - whole).abs() <= 1e-12 * whole, "{restricted} against {whole}");
    }
}

/// Thresholds of a neighbouring batch size, scheme, ratio or momentum are not where brute force crosses 1.
#[test]
fn a_wrong_factor_is_caught() {
    let ensemble = random_factored(7, 5, 1, 3);
    let right = analysis(&ensemble, SamplingScheme::WithoutReplacement, 2, 0.5, 0.3);
    let brute = BruteForce::new(&ensemble, 0.5);
    let distance = |of: &MeanSquare| {
        let eta = of.max_learning_rate().unwrap().value;
        (brute.growth(right.sampling(), right.optimizer().momentum(), eta) - 1.0).abs()
    };
    assert!(distance(&right) < 1e-9, "the control of the control");
    for (scheme, b, c, beta) in [
        (SamplingScheme::WithoutReplacement, 1, 0.5, 0.3),
        (SamplingScheme::WithoutReplacement, 3, 0.5, 0.3),
        (SamplingScheme::WithReplacement, 2, 0.5, 0.3),
        (SamplingScheme::Bernoulli, 2, 0.5, 0.3),
        (SamplingScheme::WithoutReplacement, 2, 0.25, 0.3),
        (SamplingScheme::WithoutReplacement, 2, 0.5, -0.3),
        (SamplingScheme::WithoutReplacement, 2, 0.5, 0.0),
    ] {
        let wrong = distance(&analysis(&ensemble, scheme, b, c, beta));
        assert!(wrong > 1e-3, "{scheme:?} B={b} c={c} beta={beta}: {wrong}");
    }
}
