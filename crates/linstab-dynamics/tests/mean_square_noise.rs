//! Noise floors and culprits with momentum and SAM's ascent, by iterating the second moment of `(w, w_prev)` over all batches.

use linstab_dynamics::mean_square::GradientNoise;
use linstab_dynamics::testing::{SCHEMES, batch_hessian, enumerate_batches};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Factored, Mat, MatRef, Reduced, Scale};
use proptest::prelude::*;

/// `[[x, y], [z, 0]]` from blocks.
fn blocks(x: MatRef<'_, f64>, y: f64, z: f64) -> Mat<f64> {
    let d = x.nrows();
    Mat::from_fn(2 * d, 2 * d, |i, j| match (i < d, j < d) {
        (true, true) => x[(i, j)],
        (true, false) => {
            if i == j - d {
                y
            } else {
                0.0
            }
        }
        (false, true) => {
            if i - d == j {
                z
            } else {
                0.0
            }
        }
        (false, false) => 0.0,
    })
}

/// A problem in reduced coordinates, where `H` is diagonal.
struct Brute {
    hessians: Dense,
    mean: Vec<f64>,
    sampling: BatchSampling,
    rho_over_alpha: f64,
    momentum: f64,
}

impl Brute {
    /// Steps `w <- w - eta H_t (I + c H) w + beta (w - w_prev)` with their probabilities.
    fn steps(&self, eta: f64) -> Vec<(f64, Mat<f64>)> {
        let d = self.hessians.dim();
        let ascent =
            Mat::from_fn(d, d, |i, j| if i == j { 1.0 + self.rho_over_alpha * self.mean[i] } else { 0.0 });
        enumerate_batches(self.sampling)
            .into_iter()
            .map(|(p, batch)| {
                let h = batch_hessian(&self.hessians, self.sampling, &batch);
                let own = Mat::<f64>::identity(d, d) * Scale(1.0 + self.momentum) - h * &ascent * Scale(eta);
                (p, blocks(own.as_ref(), -self.momentum, 1.0))
            })
            .collect()
    }

    /// `s^2 E H_t^2`.
    fn perturbation_source(&self, s: f64) -> Mat<f64> {
        let d = self.hessians.dim();
        let mut source = Mat::<f64>::zeros(d, d);
        for (p, batch) in enumerate_batches(self.sampling) {
            let h = batch_hessian(&self.hessians, self.sampling, &batch);
            source += &h * &h * Scale(p * s * s);
        }
        source
    }

    /// The fixed point of `S <- E M S M^T + eta^2 Q`, its leading block.
    fn covariance(&self, eta: f64, source: &Mat<f64>) -> Mat<f64> {
        let d = self.hessians.dim();
        let steps = self.steps(eta);
        let mut covariance = Mat::<f64>::zeros(2 * d, 2 * d);
        for _ in 0..200_000 {
            let mut next = blocks((source * Scale(eta * eta)).as_ref(), 0.0, 0.0);
            for (p, step) in &steps {
                next += step * &covariance * step.transpose() * Scale(*p);
            }
            let change = (&next - &covariance).norm_max();
            covariance = next;
            if change <= 1e-14 * covariance.norm_max() {
                break;
            }
        }
        covariance.as_ref().submatrix(0, 0, d, d).to_owned()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_noise_floor_is_the_fixed_point(
        seed: u64, n in 1_usize..5, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..4,
        c in prop_oneof![Just(0.0), 0.1_f64..10.0], beta in prop_oneof![Just(0.0), -0.8_f64..0.9],
    ) {
        let b = 1 + at * n / 1000;
        let reduced = Reduced::of(&random_factored(seed, n, k, dim)).unwrap();
        // Well-conditioned cases: brute force needs as many steps as the flattest direction takes.
        let mean = reduced.mean_eigenvalues().to_vec();
        prop_assume!(mean[mean.len() - 1] > 3e-2 * mean[0]);
        let hessian = |i: usize| reduced.factors().subrows(i * k, k).transpose() * reduced.factors().subrows(i * k, k);
        let hessians = Dense::new((0..n).map(hessian).collect()).unwrap();
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let rule = Optimizer::sam(c).unwrap();
            let analysis = MeanSquare::new(&reduced, rule, sampling).unwrap().with_momentum(beta).unwrap();
            let threshold = analysis.max_learning_rate().unwrap().value;
            let eta = 0.7 * threshold;
            let brute = Brute { hessians: hessians.clone(), mean: mean.clone(), sampling, rho_over_alpha: c, momentum: beta };
            let expected = brute.covariance(eta, &brute.perturbation_source(0.3));
            let floor = analysis.noise_floor_of_perturbation(eta, 0.3).unwrap().expect("stable");
            let error = (&floor.covariance - &expected).norm_max();
            prop_assert!(error <= 1e-8 * expected.norm_max(), "{error} of {}", expected.norm_max());
            let excess: f64 = (0..mean.len()).map(|a| 0.5 * mean[a] * expected[(a, a)]).sum();
            prop_assert!((floor.expected_excess_loss - excess).abs() <= 1e-8 * excess);
            // A source of another shape: each sample's own curvature as its noise.
            let source = (0..n).fold(Mat::<f64>::zeros(mean.len(), mean.len()), |sum, i| sum + hessian(i) * Scale(i as f64 + 1.0));
            let expected = brute.covariance(eta, &source);
            let floor = analysis.noise_floor(eta, source.as_ref()).unwrap().expect("stable");
            prop_assert!((&floor.covariance - &expected).norm_max() <= 1e-8 * expected.norm_max());
            // Negative control: the floor without momentum or ascent is another.
            if sampling.moment_weights().per_sample > 0.0 && (beta.abs() > 0.05 || c > 0.1) && eta < threshold {
                let plain = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
                if let Some(other) = plain.noise_floor(eta, source.as_ref()).unwrap() {
                    prop_assert!((&other.covariance - &expected).norm_max() > 1e-6 * expected.norm_max(), "caught");
                }
            }
            prop_assert!(analysis.noise_floor(1.01 * threshold, source.as_ref()).unwrap().is_none(), "unstable");
        }
    }
}

#[test]
fn one_sample_shares_the_blame_with_nobody() {
    // Nine gentle samples along the first axis, one sharp sample along the second: momentum does not change who is to blame.
    let mut rows = vec![0.0; 20];
    for i in 0..9 {
        rows[2 * i] = 1.0;
    }
    rows[19] = 10.0;
    let reduced = Reduced::of(&Factored::new(10, 1, 2, rows).unwrap()).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 10, 2).unwrap();
    for beta in [-0.5, 0.0, 0.9] {
        let analysis =
            MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap().with_momentum(beta).unwrap();
        let responsible = analysis.responsible_samples(&analysis.max_learning_rate().unwrap()).unwrap();
        let total = responsible.full_batch_forcing + responsible.sample_shares.iter().sum::<f64>();
        assert!((total - 1.0).abs() < 1e-10, "beta {beta}: {responsible:?}");
        let others: f64 = responsible.sample_shares[..9].iter().sum();
        assert!(responsible.sample_shares[9] > 0.3 && others < 1e-9, "beta {beta}: {responsible:?}");
    }
}

#[test]
fn extreme_scales_are_exact_or_refused() {
    let rows = [1.0, 0.3, 0.2, 1.1, 0.5, 0.5];
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 3, 1).unwrap();
    let analysis = |scale: f64| {
        let rows = rows.iter().map(|x| x * scale).collect();
        let reduced = Reduced::of(&Factored::new(3, 1, 2, rows).unwrap()).unwrap();
        MeanSquare::new(&reduced, Optimizer::sgd(), sampling)
    };
    let answers = |scale: f64| {
        let analysis = analysis(scale).unwrap();
        let threshold = analysis.max_learning_rate().unwrap();
        let eta = 0.5 * threshold.value;
        let floor = analysis.noise_floor_of_perturbation(eta, 0.1).unwrap().expect("stable");
        let trace = analysis.necessary_conditions().unwrap().trace;
        [
            threshold.value * scale * scale,
            analysis.growth_per_step(eta).unwrap(),
            floor.mean_squared_distance,
            trace * scale * scale,
            analysis.responsible_samples(&threshold).unwrap().sample_shares[0],
        ]
    };
    let expected = answers(1.0);
    for scale in [1e-49, 1e-20, 1e20, 1e49] {
        for (found, expected) in answers(scale).iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{found} against {expected} at scale {scale:e}"
            );
        }
    }
    for scale in [1e-60, 1e60] {
        let error = analysis(scale).unwrap_err().to_string();
        assert!(error.contains("rescale the factors") && error.len() < 120, "{error}");
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
    let floor = MeanSquare::new(&reduced, Optimizer::sgd(), sampling)
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
