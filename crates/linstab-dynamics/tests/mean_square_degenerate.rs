//! Hard cases: groups that limit almost equally, directions next to none, momentum next to 1.

use linstab_dynamics::mean_square::CertificateKind;
use linstab_dynamics::testing::analysis;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Mat, Reduced};
use proptest::prelude::*;

/// `2 / (l / (1 + beta) + s^2 / (l (1 - beta)))` for scalar curvatures.
fn scalar(curvatures: &[f64], sampling: BatchSampling, beta: f64) -> f64 {
    let n = curvatures.len() as f64;
    let mean = curvatures.iter().sum::<f64>() / n;
    let second = curvatures.iter().map(|h| h * h).sum::<f64>() / n;
    let weights = sampling.moment_weights();
    let variance = ((weights.full_batch - 1.0) * mean * mean + weights.per_sample * second).max(0.0);
    2.0 / (mean / (1.0 + beta) + variance / (mean * (1.0 - beta)))
}

#[test]
fn of_two_groups_the_limiting_one_is_found() {
    // Sample 1 alone, samples 2 and 3 together: their thresholds differ by 3e-8.
    let rows = vec![1.391_591_528_425_116_1, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0];
    let ensemble = Factored::new(3, 1, 3, rows).unwrap();
    let analysis = analysis(&ensemble, SamplingScheme::WithReplacement, 2, 0.0, 0.0);
    let threshold = analysis.max_learning_rate().unwrap();
    let h = 1.391_591_528_425_116_1_f64.powi(2);
    let exact = scalar(&[h, 0.0, 0.0], analysis.sampling(), 0.0);
    assert!((threshold.value - exact).abs() < 1e-12 * exact, "{} against {exact}", threshold.value);
    assert!(analysis.necessary_conditions().unwrap().sample_directions >= threshold.value * (1.0 - 1e-12));
    assert!(analysis.responsible_samples(&threshold).unwrap().sample_shares[0] > 0.5, "sample 1 is to blame");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Orthogonal groups of collinear samples are scalar problems, the worst of which limits, however close the others.
    #[test]
    fn orthogonal_groups_are_scalar_problems(
        sizes in prop::collection::vec(1_usize..5, 2..5), log_offset in -10.0_f64..-1.0, beta in prop_oneof![Just(0.0), -0.5_f64..0.9], scheme in 0_usize..3, b in 1_usize..4,
    ) {
        let (n, dim) = (sizes.iter().sum::<usize>(), sizes.len());
        let scheme = linstab_dynamics::testing::SCHEMES[scheme];
        let sampling = BatchSampling::new(scheme, n, b.min(n)).unwrap();
        let groups: Vec<usize> = sizes.iter().enumerate().flat_map(|(group, &size)| vec![group; size]).collect();
        let shape = |i: usize| 1.0 + ((i * i) as f64).sin() * 0.3;
        let of_group = |group: usize, scale: f64| -> Vec<f64> {
            (0..n).map(|i| if groups[i] == group { shape(i) * scale } else { 0.0 }).collect()
        };
        // All groups scaled to the threshold of the first, but for the offset.
        let reference = scalar(&of_group(0, 1.0), sampling, beta);
        let scale = |group: usize| {
            scalar(&of_group(group, 1.0), sampling, beta) / reference * (1.0 + group as f64 * 10.0_f64.powf(log_offset))
        };
        let exact = (0..dim).map(|group| scalar(&of_group(group, scale(group)), sampling, beta)).fold(f64::INFINITY, f64::min);
        let rows = (0..n * dim).map(|at| if groups[at / dim] == at % dim { (shape(at / dim) * scale(at % dim)).sqrt() } else { 0.0 });
        let reduced = Reduced::of(&Factored::new(n, 1, dim, rows.collect()).unwrap()).unwrap();
        let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap().with_momentum(beta).unwrap();
        let threshold = analysis.max_learning_rate().unwrap();
        prop_assert!((threshold.value - exact).abs() <= 1e-10 * exact, "{} against {exact}", threshold.value);
        prop_assert!(threshold.interval.0 <= exact && exact <= threshold.interval.1, "{exact} in {:?}", threshold.interval);
        prop_assert!(threshold.interval.1 / threshold.interval.0 < 1.0 + 1e-6, "{:?}", threshold.interval);
    }
}

/// Directions below the tolerance of the reduction are allowed for: momentum next to 1 amplifies them.
#[test]
fn directions_left_out_are_within_the_interval() {
    let d = 0.9e-13_f64.sqrt();
    let ensemble = Factored::new(2, 1, 2, vec![1.0, d, 1.0, -d]).unwrap();
    // From 1 / D_11 + d^4 / D_22 = 1 in 60 digits.
    let truths = [
        (0.5, 2.999_999_999_997_57),
        (0.9, 3.799_999_999_876_54),
        (0.99, 3.979_999_985_814_92),
        (0.9999, 3.999_656_032_0),
        (0.999_999, 3.122_498_6),
    ];
    for (beta, truth) in truths {
        let threshold =
            analysis(&ensemble, SamplingScheme::WithReplacement, 1, 0.0, beta).max_learning_rate().unwrap();
        let (low, high) = threshold.interval;
        assert!(low <= truth && truth <= high, "beta {beta}: {truth} in {low} to {high}");
    }
}

/// Without noise the eigenvalue's own error is allowed for.
#[test]
fn gradient_descent_on_a_known_spectrum() {
    let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let scale = |j: usize| 1000.0 - ((7 * j * j) % 101) as f64;
    let rows = (0..128 * 128).map(|at| sign(at / 128, at % 128) * scale(at % 128)).collect();
    let ensemble = Factored::new(128, 1, 128, rows).unwrap();
    let threshold =
        analysis(&ensemble, SamplingScheme::WithoutReplacement, 128, 0.0, 0.0).max_learning_rate().unwrap();
    assert!(threshold.interval.0 <= 2e-6 && 2e-6 <= threshold.interval.1, "{threshold:?}");
    assert!(threshold.interval.1 / threshold.interval.0 < 1.0 + 1e-11);
}

#[test]
fn momentum_next_to_one_is_allowed_for() {
    let ensemble = Factored::new(2, 1, 1, vec![1.0, 2.0]).unwrap();
    for beta in [1.0 - 1e-4, 1.0 - 1e-6, 1.0 - 1e-8, -1.0 + 1e-8] {
        let analysis = analysis(&ensemble, SamplingScheme::WithReplacement, 1, 0.0, beta);
        let threshold = analysis.max_learning_rate().unwrap();
        let exact = scalar(&[1.0, 4.0], analysis.sampling(), beta);
        assert!(
            threshold.interval.0 <= exact && exact <= threshold.interval.1,
            "beta {beta}: {exact} {threshold:?}"
        );
        assert!(
            (threshold.value - exact).abs() < 1e-9 * exact,
            "beta {beta}: {} against {exact}",
            threshold.value
        );
        assert_eq!(threshold.certificate, CertificateKind::Proven);
    }
}

#[test]
fn sources_that_are_no_covariances_are_refused() {
    let ensemble = Factored::new(2, 1, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let sgd = analysis(&ensemble, SamplingScheme::WithReplacement, 1, 0.0, 0.0);
    let refused = |entries: [f64; 4]| {
        let source = Mat::from_fn(2, 2, |i, j| entries[2 * i + j]);
        sgd.noise_floor(0.1, source.as_ref()).unwrap_err().to_string()
    };
    assert!(refused([-1.0, 0.0, 0.0, 1.0]).contains("eigenvalue of the source is -1"));
    assert!(refused([1.0, 0.5, 0.0, 1.0]).contains("asymmetry of the source"));
    assert!(refused([1.0, 2.0, 2.0, 1.0]).contains("eigenvalue of the source"));
    assert!(refused([f64::NAN, 0.0, 0.0, 1.0]).contains("an entry of the source is NaN"));
    assert!(sgd.growth_per_step(1e150).unwrap_err().to_string().contains("learning_rate times sharpness"));
}
