//! The fast kernels against the definition, and long-run simulation against the exact values.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Outcome, Simulator};
use linstab_dynamics::testing::{SCHEMES, simulate_by_definition};
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_axis_aligned;
use linstab_linalg::{AxisAligned, Ensemble};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

fn rules() -> [Optimizer; 3] {
    [Optimizer::sgd(), Optimizer::sam(0.2).unwrap(), Optimizer::random_perturbation(0.3).unwrap()]
}

fn uniform_start(dim: usize, rng: &mut Pcg64) -> Vec<f64> {
    (0..dim).map(|_| rng.random()).collect()
}

fn check_against_definition(ensemble: &AxisAligned, b: usize, eta: f64, seed: u64) {
    let divergence = Divergence::new(120, 1000.0, MeasuredNorm::SquaredNorm).unwrap();
    for scheme in SCHEMES {
        for rule in rules() {
            let sampling = BatchSampling::new(scheme, ensemble.num_samples(), b).unwrap();
            let dynamics = AxisAlignedDynamics::new(ensemble, rule, sampling).unwrap();
            let start = uniform_start(ensemble.dim(), &mut Pcg64::seed_from_u64(seed));
            let mut simulator = Simulator::new(&dynamics, eta).unwrap();
            // Twice: a simulator carries nothing from run to run.
            for seed in [seed, seed ^ 1] {
                let fast = simulator.run(&start, divergence, &mut Pcg64::seed_from_u64(seed)).unwrap();
                let slow = simulate_by_definition(
                    &dynamics,
                    eta,
                    &start,
                    divergence,
                    &mut Pcg64::seed_from_u64(seed),
                );
                assert_eq!(fast.outcome, slow.outcome, "{scheme:?} {rule:?} B={b} eta={eta}");
                assert_eq!(fast.num_steps, slow.num_steps, "stopped at the same step");
                // 120 steps of a few roundings each; cancellation in 1 - eta h only matters relative to the start.
                let scale = slow.final_squared_norm.max(1e-20 * slow.initial_squared_norm);
                let error = (fast.final_squared_norm - slow.final_squared_norm).abs();
                assert!(error <= 1e-9 * scale, "{scheme:?} {rule:?} B={b} eta={eta}: {fast:?} {slow:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn kernels_agree_with_the_definition_on_random_ensembles(
        seed: u64, n in 1_usize..150, at in 0_usize..1000, dim in 1_usize..6, eta in 0.05_f64..1.5,
    ) {
        check_against_definition(&random_axis_aligned(seed, n, dim), 1 + at * (n - 1) / 999, eta, seed);
    }

    #[test]
    fn kernels_agree_with_the_definition_on_the_test_family(
        seed: u64, n in 2_usize..150, at in 0_usize..1000, share in 0_usize..1000, eta in 0.05_f64..1.5,
    ) {
        let sigma = 1 + share * (n - 1) / 999;
        let ensemble = AxisAligned::shared_direction(n, sigma, 2.0).unwrap();
        check_against_definition(&ensemble, 1 + at * (n - 1) / 999, eta, seed);
    }
}

/// One-step runs: the mean of `|w_1|^2` is the growth factor. 200 000 runs; 5 standard errors (alpha = 6e-7 a case).
#[test]
fn growth_factor_is_what_simulation_shows() {
    let ensemble = AxisAligned::shared_direction(20, 20, 2.0).unwrap().scale_axes(|_| 1.0).unwrap();
    let uneven =
        AxisAligned::from_diagonals(&(0..20).map(|i| vec![f64::from(i % 5)]).collect::<Vec<_>>()).unwrap();
    let one_step = Divergence::new(1, 1e300, MeasuredNorm::SquaredNorm).unwrap();
    for ensemble in [&ensemble, &uneven] {
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, 20, 4).unwrap();
            let dynamics = AxisAlignedDynamics::new(ensemble, Optimizer::sgd(), sampling).unwrap();
            let mut simulator = Simulator::new(&dynamics, 0.7).unwrap();
            let mut rng = Pcg64::seed_from_u64(11);
            let (num_runs, mut sum, mut sum_of_squares) = (200_000, 0.0, 0.0);
            for _ in 0..num_runs {
                let value = simulator.run(&[1.0], one_step, &mut rng).unwrap().final_squared_norm;
                sum += value;
                sum_of_squares += value * value;
            }
            let mean = sum / f64::from(num_runs);
            let variance = sum_of_squares / f64::from(num_runs) - mean * mean;
            let error = 5.0 * (variance.max(0.0) / f64::from(num_runs)).sqrt() + 1e-12;
            let exact = dynamics.growth_per_step(0.7).unwrap();
            assert!((mean - exact).abs() < error, "{scheme:?}: {mean} against {exact} +- {error}");
            // Negative control: half the sampling noise would be seen, unless there is none.
            let noise = exact - (1.0 - 0.7 * ensemble.sharpness().unwrap()).powi(2);
            assert!(noise < 1e-12 || noise / 2.0 > error, "{scheme:?}: too few runs to tell");
        }
    }
}

/// A long run follows the Lyapunov exponent: `log |w_k| / k` over 2000 runs of 100 steps; 5 standard errors.
#[test]
fn long_runs_follow_the_lyapunov_exponent_not_the_mean_square() {
    let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]]).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
    let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
    let (eta, num_runs, num_steps) = (1.2, 2000, 100);
    let endless = Divergence::new(num_steps, 1e300, MeasuredNorm::SquaredNorm).unwrap();
    let mut simulator = Simulator::new(&dynamics, eta).unwrap();
    let rates: Vec<f64> = (0..num_runs)
        .map(|seed| {
            let run = simulator.run(&[1.0], endless, &mut Pcg64::seed_from_u64(seed)).unwrap();
            assert_eq!(run.num_steps, num_steps);
            0.5 * run.final_squared_norm.ln() / num_steps as f64
        })
        .collect();
    let mean = rates.iter().sum::<f64>() / num_runs as f64;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (num_runs - 1) as f64;
    let error = 5.0 * (variance / num_runs as f64).sqrt();
    let exponent = dynamics.lyapunov_exponent(eta).unwrap();
    assert!((mean - exponent).abs() < error, "{mean} against {exponent} +- {error}");
    let mean_square_rate = 0.5 * dynamics.growth_per_step(eta).unwrap().ln();
    assert!(
        exponent < 0.0 && mean_square_rate > 0.0,
        "the two notions disagree here: {exponent}, {mean_square_rate}"
    );
    assert!((mean - mean_square_rate).abs() > error, "negative control");
}

/// Stationary variance of random perturbation on a scalar: `eta^2 s^2 E h_t^2 / (1 - g)`; 4000 runs of 100 steps.
#[test]
fn random_perturbation_settles_at_its_noise_floor() {
    let ensemble = AxisAligned::from_diagonals(&[vec![0.5], vec![1.5]]).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1).unwrap();
    let rule = Optimizer::random_perturbation(0.3).unwrap();
    let dynamics = AxisAlignedDynamics::new(&ensemble, rule, sampling).unwrap();
    let eta = 0.6;
    let growth = dynamics.growth_per_step(eta).unwrap();
    let exact = eta * eta * 0.09 * 1.25 / (1.0 - growth);
    let endless = Divergence::new(100, 1e300, MeasuredNorm::SquaredNorm).unwrap();
    let mut simulator = Simulator::new(&dynamics, eta).unwrap();
    let num_runs = 4000;
    let finals: Vec<f64> = (0..num_runs)
        .map(|seed| {
            simulator.run(&[1.0], endless, &mut Pcg64::seed_from_u64(seed)).unwrap().final_squared_norm
        })
        .collect();
    let mean = finals.iter().sum::<f64>() / num_runs as f64;
    let variance = finals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / num_runs as f64;
    let error = 5.0 * (variance / num_runs as f64).sqrt();
    assert!((mean - exact).abs() < error, "{mean} against {exact} +- {error}");
    assert!((mean - 0.5 * exact).abs() > error && (mean - 2.0 * exact).abs() > error, "negative control");
}

#[test]
fn outcomes_are_told_apart() {
    let unit = AxisAligned::from_diagonals(&[vec![1.0]]).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1).unwrap();
    let dynamics = AxisAlignedDynamics::new(&unit, Optimizer::sgd(), sampling).unwrap();
    let outcome = |eta, num_steps, measured| {
        let divergence = Divergence::new(num_steps, 1000.0, measured).unwrap();
        let mut rng = Pcg64::seed_from_u64(0);
        Simulator::new(&dynamics, eta).unwrap().run(&[1.0], divergence, &mut rng).unwrap().outcome
    };
    // Factor -2 a step: the squared norm passes 1000 at step 5, the norm at step 10.
    assert_eq!(outcome(3.0, 100, MeasuredNorm::SquaredNorm), Outcome::Diverged { step: 5 });
    assert_eq!(outcome(3.0, 100, MeasuredNorm::Norm), Outcome::Diverged { step: 10 });
    assert_eq!(outcome(3.0, 4, MeasuredNorm::SquaredNorm), Outcome::Undecided);
    assert_eq!(outcome(2.0, 100, MeasuredNorm::SquaredNorm), Outcome::Undecided);
    assert_eq!(outcome(0.5, 100, MeasuredNorm::SquaredNorm), Outcome::Converged);
    assert_eq!(outcome(1.0, 1, MeasuredNorm::SquaredNorm), Outcome::Converged);
}

#[test]
fn bad_input_is_refused_by_name() {
    let ensemble = random_axis_aligned(1, 4, 2);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
    let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
    for learning_rate in [0.0, f64::NAN, 1e308] {
        assert!(Simulator::new(&dynamics, learning_rate).is_err(), "{learning_rate}");
    }
    let mut simulator = Simulator::new(&dynamics, 0.1).unwrap();
    let divergence = Divergence::new(10, 1000.0, MeasuredNorm::Norm).unwrap();
    for start in [vec![1.0], vec![1.0, f64::NAN]] {
        assert!(simulator.run(&start, divergence, &mut Pcg64::seed_from_u64(0)).is_err(), "{start:?}");
    }
    assert!(Divergence::new(0, 1000.0, MeasuredNorm::Norm).is_err(), "no step");
    assert!(Divergence::new(1, 1.0, MeasuredNorm::Norm).is_err(), "a factor of 1 is passed at once");
}
