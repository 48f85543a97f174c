//! Noise floors against the fixed point of the covariance, and gradient noise where no curvature holds it.

use linstab_dynamics::mean_square::GradientNoise;
use linstab_dynamics::testing::{SCHEMES, analysis, batch_hessian, enumerate_batches};
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, UpdateRule};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Factored, Mat, Reduced, Scale};
use proptest::prelude::*;

/// The stationary covariance by brute force: iterate `S <- E J S J^T + eta^2 Q` over all batches.
fn brute_covariance(hessians: &Dense, sampling: BatchSampling, eta: f64, source: &Mat<f64>) -> Mat<f64> {
    let d = hessians.dim();
    let steps: Vec<(f64, Mat<f64>)> = enumerate_batches(sampling)
        .into_iter()
        .map(|(p, batch)| {
            (p, Mat::<f64>::identity(d, d) - batch_hessian(hessians, sampling, &batch) * Scale(eta))
        })
        .collect();
    let mut covariance = Mat::<f64>::zeros(d, d);
    for _ in 0..200_000 {
        let mut next = source * Scale(eta * eta);
        for (p, step) in &steps {
            next += step * &covariance * step.transpose() * Scale(*p);
        }
        let change = (&next - &covariance).norm_max();
        covariance = next;
        if change <= 1e-14 * covariance.norm_max() {
            break;
        }
    }
    covariance
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_noise_floor_is_the_fixed_point(seed: u64, n in 1_usize..5, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..4) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        // Well-conditioned cases: brute force needs as many steps as the flattest direction takes.
        let eigenvalues = reduced.mean_eigenvalues();
        prop_assume!(eigenvalues[eigenvalues.len() - 1] > 1e-2 * eigenvalues[0]);
        // In the coordinates of the fast result, which are an eigenbasis of the mean only up to signs.
        let of_sample = |i: usize| {
            let factors = reduced.factors().subrows(i * k, k);
            factors.transpose() * factors
        };
        let hessians = Dense::new((0..n).map(of_sample).collect()).unwrap();
        for scheme in SCHEMES {
            let analysis = analysis(&ensemble, scheme, b, 0.0, 0.0);
            let threshold = analysis.max_learning_rate().unwrap().value;
            let eta = 0.7 * threshold;
            let floor = analysis.noise_floor_of_perturbation(eta, 0.3).unwrap().expect("stable");
            let identity = Mat::<f64>::identity(hessians.dim(), hessians.dim());
            let mut source = Mat::<f64>::zeros(hessians.dim(), hessians.dim());
            for (p, batch) in enumerate_batches(analysis.sampling()) {
                let h = batch_hessian(&hessians, analysis.sampling(), &batch);
                source += &h * &identity * &h * Scale(0.09 * p);
            }
            let brute = brute_covariance(&hessians, analysis.sampling(), eta, &source);
            let error = (&floor.covariance - &brute).norm_max();
            prop_assert!(error <= 1e-8 * brute.norm_max(), "{error}");
            let excess: f64 = (0..hessians.dim()).map(|a| 0.5 * eigenvalues[a] * brute[(a, a)]).sum();
            prop_assert!((floor.expected_excess_loss - excess).abs() <= 1e-8 * excess);
            prop_assert!(analysis.noise_floor_of_perturbation(1.01 * threshold, 0.3).unwrap().is_none(), "unstable");
            // Negative control: twice the noise is four times the floor, not twice.
            let doubled = analysis.noise_floor_of_perturbation(eta, 0.6).unwrap().expect("stable");
            prop_assert!((doubled.mean_squared_distance / floor.mean_squared_distance - 4.0).abs() < 1e-9);
        }
    }
}

#[test]
fn noise_in_the_null_space_is_reported() {
    // Two samples that curve the first of three directions; gradients cancel on average.
    let ensemble = Factored::new(2, 1, 3, vec![1.0, 0.0, 0.0, 2.0, 0.0, 0.0]).unwrap();
    let reduced = Reduced::of(&ensemble).unwrap();
    let gradients = Mat::from_fn(2, 3, |i, p| [1.0, -1.0][i] * [0.5, 0.0, 2.0][p]);
    let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1).unwrap();
    let noise = GradientNoise::of(&ensemble, &reduced, gradients.as_ref(), sampling).unwrap();
    assert!(
        (noise.null_space_variance - 4.0).abs() < 1e-12 && (noise.source[(0, 0)] - 0.25).abs() < 1e-12,
        "{noise:?}"
    );
    assert!(noise.relative_mean < 1e-15, "{noise:?}");
    let floor = MeanSquare::new(&reduced, UpdateRule::Sgd, sampling)
        .unwrap()
        .noise_floor(0.1, noise.source.as_ref())
        .unwrap();
    // Scalar: S (1 - g) = eta^2 q with g = 1 - 2 eta l + eta^2 (l^2 + s^2), l = 5/2, l^2 + s^2 = 17/2.
    let expected = 0.01 * 0.25 / (0.2 * 2.5 - 0.01 * 8.5);
    assert!((floor.expect("stable").mean_squared_distance - expected).abs() < 1e-12, "{expected}");
    let elsewhere = Mat::from_fn(2, 3, |_, p| f64::from(u8::from(p == 0)));
    let elsewhere = GradientNoise::of(&ensemble, &reduced, elsewhere.as_ref(), sampling).unwrap();
    assert!((elsewhere.relative_mean - 1.0).abs() < 1e-12, "not at a minimum");
    assert!(
        GradientNoise::of(&ensemble, &reduced, Mat::zeros(2, 2).as_ref(), sampling).is_err(),
        "gradients of length 2"
    );
}
