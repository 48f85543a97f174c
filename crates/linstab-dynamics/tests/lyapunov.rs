//! Lyapunov exponents and runs of reduced ensembles against the exact ones of axis-aligned ensembles.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::lyapunov::ChainOptions;
use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome, ReducedSimulator};
use linstab_dynamics::testing::SCHEMES;
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{AxisAligned, Factored, Reduced};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const OPTIONS: ChainOptions = ChainOptions { num_chains: 200, burn_in: 50, num_steps: 500 };

fn stream(chain: usize) -> Pcg64 {
    Pcg64::seed_from_u64(1000 + chain as u64)
}

/// Scalar curvatures 1, 1, 1, 3 as rank-one factors.
fn scalars() -> (Reduced, AxisAligned) {
    let curvatures = [1.0, 1.0, 1.0, 3.0_f64];
    let factored = Factored::new(4, 1, 1, curvatures.map(f64::sqrt).to_vec()).unwrap();
    let axis_aligned = AxisAligned::from_diagonals(&curvatures.map(|h| vec![h])).unwrap();
    (Reduced::of(&factored).unwrap(), axis_aligned)
}

/// 200 chains, 5 standard errors (alpha = 6e-7 a case).
#[test]
fn the_estimate_agrees_with_the_exact_exponent() {
    let (reduced, axis_aligned) = scalars();
    for scheme in SCHEMES {
        let sampling = BatchSampling::new(scheme, 4, 2).unwrap();
        let exact = AxisAlignedDynamics::new(&axis_aligned, Optimizer::sgd(), sampling).unwrap();
        let estimated = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        for eta in [0.3, 0.9, 1.4] {
            let exponent = exact.lyapunov_exponent(eta).unwrap();
            let found = estimated.lyapunov_exponent(eta, OPTIONS, stream).unwrap();
            if exponent.is_finite() {
                let error = 5.0 * found.standard_error;
                assert!(
                    (found.mean - exponent).abs() < error,
                    "{scheme:?} {eta}: {found:?} against {exponent}"
                );
                assert!(error < 0.2 && (found.mean - 2.0 * exponent).abs() > error, "negative control");
            } else {
                assert!(found.mean.is_infinite(), "{scheme:?} {eta}: {found:?}");
            }
        }
    }
}

#[test]
fn the_exponent_is_below_half_the_logarithm_of_the_growth() {
    for seed in 0..10_u32 {
        let reduced = Reduced::of(&random_factored(u64::from(seed), 6, 1, 4)).unwrap();
        let sampling =
            BatchSampling::new(SCHEMES[usize::try_from(seed).unwrap() % SCHEMES.len()], 6, 2).unwrap();
        let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        let eta = 1.1 * analysis.max_learning_rate().unwrap().value;
        let growth = analysis.growth_per_step(eta).unwrap();
        let found = analysis.lyapunov_exponent(eta, OPTIONS, stream).unwrap();
        assert!(
            found.mean - 5.0 * found.standard_error <= 0.5 * growth.ln(),
            "Jensen: {found:?}, growth {growth}"
        );
    }
}

#[test]
fn the_almost_sure_threshold_of_scalars_is_found() {
    // E log |1 - eta h| = 0 for h = 1, 1, 1, 3: (1 - eta)^3 (1 - 3 eta) = -1 or 1 in modulus.
    let (reduced, _) = scalars();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    let exact = {
        let f = |eta: f64| 0.75 * (1.0 - eta).abs().ln() + 0.25 * (1.0 - 3.0 * eta).abs().ln();
        let (mut low, mut high) = (1.1, 2.5);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if f(middle) > 0.0 { high = middle } else { low = middle }
        }
        high
    };
    let options = ChainOptions { num_chains: 100, burn_in: 0, num_steps: 1000 };
    let found = analysis.almost_sure_threshold(options, stream).unwrap();
    assert!(found.interval.0 < found.value && found.value < found.interval.1, "{found:?}");
    assert!(
        (found.value - exact).abs() < 2.0 * (found.interval.1 - found.interval.0),
        "{found:?} against {exact}"
    );
    assert!((found.value - 1.0).abs() > 0.3, "negative control: it is not the mean-square threshold");
}

#[test]
fn runs_end_as_their_thresholds_say() {
    let reduced = Reduced::of(&random_factored(3, 8, 2, 5)).unwrap();
    let divergence = Divergence::new(20_000, 1000.0, MeasuredNorm::SquaredNorm).unwrap();
    for (scheme, momentum) in SCHEMES.into_iter().flat_map(|scheme| [(scheme, 0.0), (scheme, 0.8)]) {
        // A full batch without replacement is deterministic; otherwise the batch is half of the samples.
        let sampling = BatchSampling::new(scheme, 8, 4).unwrap();
        let analysis =
            MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap().with_momentum(momentum).unwrap();
        let threshold = analysis.max_learning_rate().unwrap().value;
        let start = vec![1.0; reduced.rank()];
        let outcome = |eta: f64, seed| {
            let mut rng = Pcg64::seed_from_u64(seed);
            ReducedSimulator::new(&analysis, eta).unwrap().run(&start, divergence, &mut rng).unwrap().outcome
        };
        for seed in 0..5 {
            assert_eq!(outcome(0.5 * threshold, seed), Outcome::Converged, "{scheme:?} {momentum}");
            let far = outcome(10.0 * threshold, seed);
            assert!(matches!(far, Outcome::Diverged { .. }), "{scheme:?} {momentum}: {far:?}");
        }
    }
}

#[test]
fn bad_input_is_named() {
    let (reduced, _) = scalars();
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    for options in [ChainOptions { num_chains: 1, ..OPTIONS }, ChainOptions { num_steps: 0, ..OPTIONS }] {
        assert!(analysis.lyapunov_exponent(0.1, options, stream).is_err(), "{options:?}");
    }
    assert!(analysis.lyapunov_exponent(0.0, OPTIONS, stream).is_err(), "a learning rate of 0");
    let divergence = Divergence::new(10, 1000.0, MeasuredNorm::Norm).unwrap();
    let mut simulator = ReducedSimulator::new(&analysis, 0.1).unwrap();
    for start in [vec![1.0, 1.0], vec![f64::NAN], vec![1e200]] {
        assert!(simulator.run(&start, divergence, &mut stream(0)).is_err(), "{start:?}");
    }
}
