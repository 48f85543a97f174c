//! Exact growth, threshold and Lyapunov exponent against enumeration, closed forms and each other.

use linstab_dynamics::testing::{SCHEMES, batch_hessian, enumerate_batches};
use linstab_dynamics::{
    AxisAlignedDynamics, BatchSampling, DynamicsError, MeanSquare, Optimizer, SamplingScheme,
};
use linstab_linalg::testing::random_axis_aligned;
use linstab_linalg::{AxisAligned, Ensemble, Factored, Reduced};
use proptest::prelude::*;

fn close(found: f64, expected: f64, rtol: f64) -> bool {
    (found - expected).abs() <= rtol * expected.abs()
}

/// Mean square and mean logarithm of the diagonal of `J_t = I - eta H_t (I + c H)`, by the literal update rule.
fn by_enumeration(ensemble: &AxisAligned, sampling: BatchSampling, c: f64, eta: f64) -> Vec<(f64, f64)> {
    let mean = ensemble.mean_hessian();
    let mut moments = vec![(0.0, 0.0); ensemble.dim()];
    for (probability, batch) in enumerate_batches(sampling) {
        let hessian = batch_hessian(ensemble, sampling, &batch);
        for (axis, (square, logarithm)) in moments.iter_mut().enumerate() {
            let factor = 1.0 - eta * hessian[(axis, axis)] * (1.0 + c * mean[(axis, axis)]);
            *square += probability * factor * factor;
            *logarithm += probability * factor.abs().ln();
        }
    }
    moments
}

proptest! {
    #[test]
    fn exact_values_are_those_of_the_literal_rule(
        seed: u64, n in 2_usize..6, at in 0_usize..1000, dim in 1_usize..4, c in 0.0_f64..3.0, eta in 0.01_f64..2.0,
    ) {
        let batch_size = 1 + at * n / 1000;
        let ensemble = random_axis_aligned(seed, n, dim);
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, batch_size).unwrap();
            let rule = Optimizer::sam(c).unwrap();
            let dynamics = AxisAlignedDynamics::new(&ensemble, rule, sampling).unwrap();
            let curved = (0..dim).filter(|&axis| !ensemble.axis(axis).samples().is_empty());
            let moments = by_enumeration(&ensemble, sampling, c, eta);
            let (growth, exponent) = curved.map(|axis| moments[axis])
                .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))).unwrap_or((1.0, 0.0));
            let found = dynamics.growth_per_step(eta).unwrap();
            prop_assert!(close(found, growth, 1e-12), "growth {found} against {growth}, {scheme:?}");
            let found = dynamics.lyapunov_exponent(eta).unwrap();
            // A factor near 0 makes the logarithm as ill-conditioned as its smallest factor.
            prop_assert!((found - exponent).abs() < 1e-9, "exponent {found} against {exponent}, {scheme:?}");
        }
    }

    #[test]
    fn the_growth_crosses_one_at_the_threshold(
        seed: u64, n in 1_usize..30, at in 0_usize..1000, dim in 1_usize..6, c in 0.0_f64..100.0,
    ) {
        let batch_size = 1 + at * (n - 1) / 999;
        let ensemble = random_axis_aligned(seed, n, dim);
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, batch_size).unwrap();
            let rule = Optimizer::sam(c).unwrap();
            let dynamics = AxisAlignedDynamics::new(&ensemble, rule, sampling).unwrap();
            let threshold = dynamics.max_learning_rate();
            if threshold.is_finite() {
                prop_assert!(dynamics.growth_per_step(threshold * (1.0 - 1e-9)).unwrap() < 1.0);
                prop_assert!(dynamics.growth_per_step(threshold * (1.0 + 1e-9)).unwrap() > 1.0);
                // Mean-square stability implies almost-sure stability: E log|f| <= (1/2) log E f^2.
                // The exponent of n distinct curvatures is a sum of up to 2^n terms.
                if n <= 12 {
                    prop_assert!(dynamics.lyapunov_exponent(threshold).unwrap() <= 1e-12);
                }
                // Bernoulli batches also fluctuate in size; a full one need not be gradient descent.
                prop_assert!(threshold <= dynamics.gradient_descent_limit() * (1.0 + 1e-15));
            }
        }
    }

    #[test]
    fn laws_of_scaling(seed: u64, n in 2_usize..20, scale in 0.01_f64..100.0) {
        let ensemble = random_axis_aligned(seed, n, 3);
        let scaled = ensemble.scale_axes(|_| scale).unwrap();
        for scheme in SCHEMES {
            let threshold = |ensemble: &AxisAligned, b| {
                let sampling = BatchSampling::new(scheme, n, b).unwrap();
                AxisAlignedDynamics::new(ensemble, Optimizer::sgd(), sampling).unwrap().max_learning_rate()
            };
            prop_assert!(close(threshold(&scaled, 1) * scale, threshold(&ensemble, 1), 1e-12));
            for b in 1..n {
                prop_assert!(threshold(&ensemble, b) <= threshold(&ensemble, b + 1) * (1.0 + 1e-14), "monotone in B");
            }
        }
        let full = BatchSampling::new(SamplingScheme::WithoutReplacement, n, n).unwrap();
        let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), full).unwrap();
        prop_assert!(close(dynamics.max_learning_rate(), 2.0 / ensemble.sharpness().unwrap(), 1e-15));
    }

    /// Closed forms of the test family: q is the relative variance of the batch curvature of the shared axis.
    #[test]
    fn the_test_family_has_its_closed_forms(sigma in 1_usize..=100, b in 1_usize..=100, c in 0.0_f64..0.5, eta in 0.01_f64..1.0) {
        let n = 100;
        let ensemble = AxisAligned::shared_direction(n, sigma, 2.0).unwrap();
        let (nf, bf, sf) = (n as f64, b as f64, sigma as f64);
        for scheme in SCHEMES {
            let q = match scheme {
                SamplingScheme::Bernoulli => (nf / bf - 1.0) / sf,
                SamplingScheme::WithoutReplacement => (nf - sf) * (nf - bf) / (sf * bf * (nf - 1.0)),
                SamplingScheme::WithReplacement => (nf - sf) / (sf * bf),
            };
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sam(c).unwrap(), sampling).unwrap();
            let curvature = 2.0 * (1.0 + 2.0 * c);
            let z = eta * curvature;
            let shared_growth = (1.0 - z) * (1.0 - z) + z * z * q;
            prop_assert!(dynamics.growth_per_step(eta).unwrap() >= shared_growth * (1.0 - 1e-12));
            // The private axes never bind before the shared one does.
            prop_assert!(close(dynamics.max_learning_rate(), 2.0 / (curvature * (1.0 + q)), 1e-12), "{scheme:?}");
        }
    }
}

#[test]
fn scalar_example_by_hand() {
    // h = (1, 1, 1, 3), B = 1: mean 3/2, mean square 3.
    let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]]).unwrap();
    let threshold = |scheme| {
        let sampling = BatchSampling::new(scheme, 4, 1).unwrap();
        AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap().max_learning_rate()
    };
    assert!(close(threshold(SamplingScheme::WithoutReplacement), 1.0, 1e-15));
    assert!(close(threshold(SamplingScheme::WithReplacement), 1.0, 1e-15));
    assert!(close(threshold(SamplingScheme::Bernoulli), 2.0 / 3.0, 1e-15));
}

#[test]
fn noise_leaves_the_threshold_alone() {
    let ensemble = random_axis_aligned(3, 10, 2);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 10, 3).unwrap();
    let of =
        |rule| AxisAlignedDynamics::new(&ensemble, rule, sampling).unwrap().max_learning_rate().to_bits();
    assert_eq!(of(Optimizer::sgd()), of(Optimizer::random_perturbation(0.5).unwrap()));
    assert_eq!(of(Optimizer::sgd()), of(Optimizer::sam(0.0).unwrap()));
}

#[test]
fn without_curvature_nothing_limits_the_learning_rate() {
    let flat = AxisAligned::from_diagonals(&[vec![0.0], vec![0.0]]).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1).unwrap();
    let dynamics = AxisAlignedDynamics::new(&flat, Optimizer::sgd(), sampling).unwrap();
    assert!(dynamics.max_learning_rate().is_infinite());
    assert_eq!(dynamics.growth_per_step(5.0).unwrap().to_bits(), 1.0_f64.to_bits());
    assert_eq!(dynamics.lyapunov_exponent(5.0).unwrap().to_bits(), 0.0_f64.to_bits());
}

#[test]
fn bad_parameters_are_refused_by_name() {
    let ensemble = random_axis_aligned(3, 10, 2);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 10, 3).unwrap();
    let message = |optimizer: Result<Optimizer, DynamicsError>| optimizer.unwrap_err().to_string();
    assert_eq!(message(Optimizer::sam(-1.0)), "rho_over_alpha is -1, allowed: nonnegative and finite");
    assert_eq!(
        message(Optimizer::random_perturbation(f64::NAN)),
        "standard_deviation is NaN, allowed: nonnegative and finite"
    );
    let momentum = Optimizer::sgd().with_momentum(-1.0);
    assert_eq!(message(momentum), "momentum is -1, allowed: above -1 and below 1");
    let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
    for learning_rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(dynamics.growth_per_step(learning_rate).is_err(), "{learning_rate}");
        assert!(dynamics.lyapunov_exponent(learning_rate).is_err(), "{learning_rate}");
    }
}

#[test]
fn a_sum_that_is_not_short_is_refused_by_name() {
    let diagonals: Vec<Vec<f64>> = (0..40).map(|i| vec![1.0 + 0.1 * f64::from(i)]).collect();
    let ensemble = AxisAligned::from_diagonals(&diagonals).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 40, 20).unwrap();
    let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
    assert!(matches!(dynamics.lyapunov_exponent(0.1), Err(DynamicsError::TooManyOutcomes { axis: 0, .. })));
}

/// With momentum an axis is answered in closed form; the analysis of any ensemble, which knows nothing of axes, says the same.
#[test]
fn momentum_on_axes_is_what_the_general_analysis_says() {
    let diagonals = [vec![1.0, 0.3], vec![1.0, 2.0], vec![4.0, 0.0], vec![0.5, 0.1]];
    let ensemble = AxisAligned::from_diagonals(&diagonals).unwrap();
    let factors = diagonals.iter().flat_map(|d| [d[0].sqrt(), 0.0, 0.0, d[1].sqrt()]).collect();
    let general = Reduced::of(&Factored::new(4, 2, 2, factors).unwrap()).unwrap();
    for scheme in
        [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement, SamplingScheme::Bernoulli]
    {
        for momentum in [-0.5, 0.3, 0.9] {
            let sampling = BatchSampling::new(scheme, 4, 2).unwrap();
            let optimizer = Optimizer::sam(0.2).unwrap().with_momentum(momentum).unwrap();
            let axes = AxisAlignedDynamics::new(&ensemble, optimizer, sampling).unwrap();
            let any = MeanSquare::new(&general, optimizer, sampling).unwrap();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b;
            let threshold = axes.max_learning_rate();
            assert!(close(threshold, any.max_learning_rate().unwrap().value), "{scheme:?} {momentum}");
            for eta in [0.5 * threshold, threshold, 1.5 * threshold] {
                let (found, expected) =
                    (axes.growth_per_step(eta).unwrap(), any.growth_per_step(eta).unwrap());
                assert!(close(found, expected), "{scheme:?} {momentum} {eta}: {found}, not {expected}");
            }
            assert!(matches!(axes.lyapunov_exponent(threshold), Err(DynamicsError::Unsupported { .. })));
            // Negative control: without momentum the threshold is another.
            let plain = AxisAlignedDynamics::new(&ensemble, Optimizer::sam(0.2).unwrap(), sampling).unwrap();
            assert!(!close(plain.max_learning_rate(), threshold), "{momentum}");
        }
    }
}
