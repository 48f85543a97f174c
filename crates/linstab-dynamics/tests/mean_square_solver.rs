//! The solver of thresholds against the closed form, solved by Lanczos' method in the space of second moments: slow, obvious, and with
//! nothing in common.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::mean_square::{CertificateKind, ThresholdSolver};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Ensemble, Factored, Reduced, packed, sum_of_sandwiches};
use proptest::prelude::*;

/// `w1^{-1/2} o (N + w2 o) o w1^{-1/2}` of heavy ball, as the documentation of `mean_square` has it.
struct ClosedForm<'a> {
    ensemble: &'a Reduced,
    momentum: f64,
    per_sample: f64,
    excess: f64,
}

impl SymmetricOperator for ClosedForm<'_> {
    fn dim(&self) -> usize {
        packed::packed_len(self.ensemble.rank())
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        let (h, beta) = (self.ensemble.mean_eigenvalues(), self.momentum);
        let rank = h.len();
        let pairs: Vec<(f64, f64)> =
            (0..rank).flat_map(|column| (column..rank).map(move |row| (h[row], h[column]))).collect();
        let root = |(x, y): (f64, f64)| ((1.0 - beta) * (x + y)).sqrt();
        let scaled: Vec<f64> = input.iter().zip(&pairs).map(|(x, &pair)| x / root(pair)).collect();
        sum_of_sandwiches(self.ensemble, &scaled, output);
        for ((output, x), &(a, b)) in output.iter_mut().zip(&scaled).zip(&pairs) {
            let put_back = a * b - beta * (a * a + b * b - 2.0 * beta * a * b) / (1.0 - beta * beta);
            *output = (self.per_sample * *output + (self.excess * a * b + put_back) * x) / root((a, b));
        }
    }
}

fn closed_form(ensemble: &Reduced, sampling: BatchSampling, momentum: f64) -> f64 {
    let weights = sampling.moment_weights();
    let per_sample = weights.per_sample / sampling.num_samples() as f64;
    let mut operator = ClosedForm { ensemble, momentum, per_sample, excess: weights.excess };
    // Something of everything: a sine on the identity.
    let start = packed::from_fn(ensemble.rank(), |row, column| {
        f64::from(u8::from(row == column)) + 1e-3 * ((7 * row + 13 * column) as f64).sin()
    });
    let options = LanczosOptions { residual_rtol: 1e-10, basis_size: 60, ..LanczosOptions::default() };
    lanczos::top_eigenpair(&mut operator, &start, options).unwrap().value.recip()
}

/// Factors whose spectrum decays, on top of noise: with more directions than have no coarse space.
fn decaying(seed: u64, n: usize, k: usize, dim: usize) -> Factored {
    let noise = random_factored(seed, n, k, dim);
    let entries = (0..n).flat_map(|i| {
        let block = noise.factors(i).to_owned();
        (0..k).flat_map(move |q| {
            let block = block.clone();
            (0..dim).map(move |p| block[(p, q)] * (0.05 + (-(p as f64) / 8.0).exp())).collect::<Vec<_>>()
        })
    });
    Factored::new(n, k, dim, entries.collect()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// One solver for all batch sizes, momenta and schemes, whatever it was asked before.
    #[test]
    fn a_shared_solver_is_the_closed_form(
        seed: u64, n in 50_usize..120, k in 1_usize..3, dim in 80_usize..140, flat: bool, beta in -0.5_f64..0.95,
    ) {
        let factored = if flat { random_factored(seed, n, k, dim) } else { decaying(seed, n, k, dim) };
        prop_assert!(factored.num_samples() == n);
        let ensemble = Reduced::of(&factored).unwrap();
        let mut solver = ThresholdSolver::new(&ensemble).with_tolerance(1e-7).unwrap();
        for scheme in [SamplingScheme::WithoutReplacement, SamplingScheme::Bernoulli] {
            for (batch_size, momentum) in [(1, 0.0), (n / 5, beta), (2, beta), (n - 1, 0.0), (7, 0.0)] {
                let sampling = BatchSampling::new(scheme, n, batch_size).unwrap();
                let analysis =
                    MeanSquare::new(&ensemble, Optimizer::sgd(), sampling).unwrap().with_momentum(momentum).unwrap();
                let found = solver.max_learning_rate(&analysis).unwrap();
                let exact = closed_form(&ensemble, sampling, momentum);
                let case = format!("{scheme:?} B={batch_size} beta={momentum} {exact} {:?}", found.interval);
                prop_assert!(found.certificate == CertificateKind::Proven, "{case}");
                prop_assert!(found.interval.0 <= exact * (1.0 + 1e-12) && exact <= found.interval.1 * (1.0 + 1e-12), "{case}");
                prop_assert!(found.interval.1 <= found.interval.0 * (1.0 + 1e-6), "{case}");
                prop_assert!((found.value - exact).abs() <= 1e-9 * exact, "{case} {}", found.value);
                // Negative control: another batch size has another threshold.
                let other = BatchSampling::new(scheme, n, batch_size + 1).unwrap();
                let wrong = closed_form(&ensemble, other, momentum);
                prop_assert!((found.value - wrong).abs() > 1e-9 * wrong, "{case}");
            }
        }
    }

    /// Congruences of SAM, and growths, share the subspace, too.
    #[test]
    fn what_was_asked_before_changes_nothing(seed: u64, n in 2_usize..40, k in 1_usize..3, dim in 1_usize..130, c in 0.01_f64..2.0) {
        let ensemble = Reduced::of(&decaying(seed, n, k, dim)).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, 1 + n / 4).unwrap();
        let mut solver = ThresholdSolver::new(&ensemble);
        let optimizers = ["sgd", "sgd:momentum=0.9", "sgd:momentum=0.8,nesterov=true", "sgd:weight_decay=0.1"];
        let optimizers = optimizers.iter().map(|text| text.parse::<Optimizer>().unwrap());
        for optimizer in optimizers.chain([Optimizer::sam(c).unwrap(), Optimizer::sgd()]) {
            let analysis = MeanSquare::new(&ensemble, optimizer, sampling).unwrap();
            let (shared, alone) = (solver.max_learning_rate(&analysis).unwrap(), analysis.max_learning_rate().unwrap());
            prop_assert!((shared.value - alone.value).abs() <= 1e-9 * alone.value, "{optimizer} {shared:?} {alone:?}");
            for factor in [0.5, 1.3] {
                let eta = factor * alone.value;
                let (shared, alone) =
                    (solver.growth_per_step(&analysis, eta).unwrap(), analysis.growth_per_step(eta).unwrap());
                prop_assert!((shared - alone).abs() <= 1e-9 * alone, "{optimizer} {shared} {alone}");
                prop_assert!((shared < 1.0) == (factor < 1.0), "{optimizer} {factor} {shared}");
            }
        }
    }
}

/// Where most directions have hardly any curvature (see `tail`), intervals of the usual width contain what is computed without that.
#[test]
fn a_tail_stays_within_the_interval() {
    let (n, dim) = (300, 1200);
    for seed in 0..3 {
        let normal = random_factored(seed, n, 1, dim);
        let scale = |p: usize| 5e-4 + (-(p as f64) / 2.0).exp();
        let entries = (0..n).flat_map(|i| (0..dim).map(move |p| (i, p)));
        let like = |i: usize| (dim as f64).sqrt() / normal.factors(i).norm_l2();
        let entries = entries.map(|(i, p)| normal.factors(i)[(p, 0)] * like(i) * scale(p)).collect();
        let ensemble = Reduced::of(&Factored::new(n, 1, dim, entries).unwrap()).unwrap();
        let optimizers =
            ["sgd", "sgd:momentum=0.9", "sgd:momentum=0.8,nesterov=true", "sgd:weight_decay=0.1", "sgd"];
        let optimizers = optimizers.iter().map(|text| text.parse::<Optimizer>().unwrap());
        let mut solver = ThresholdSolver::new(&ensemble).with_tolerance(1e-6).unwrap();
        for optimizer in optimizers.chain([Optimizer::sam(0.5).unwrap()]) {
            for batch_size in [1, 10, 299] {
                let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, batch_size).unwrap();
                let analysis = MeanSquare::new(&ensemble, optimizer, sampling).unwrap();
                let (found, exact) =
                    (solver.max_learning_rate(&analysis).unwrap(), analysis.max_learning_rate().unwrap());
                let case =
                    format!("{seed} {optimizer} B={batch_size} {:?} {:?}", found.interval, exact.interval);
                assert_eq!(found.certificate, CertificateKind::Proven, "{case}");
                assert!(
                    found.interval.0 <= exact.interval.1 && exact.interval.0 <= found.interval.1,
                    "{case}"
                );
                assert!(found.interval.1 <= found.interval.0 * (1.0 + 1e-6), "{case}");
                // The tail's doubt is in the interval; without a tail there would be rounding alone.
                let doubted = found.interval.1 > found.value * (1.0 + 1e-10);
                assert!((optimizer, batch_size) != (Optimizer::sgd(), 1) || doubted, "{case}");
                let share = |threshold| analysis.full_batch_share(threshold).unwrap().unwrap();
                assert!((share(&found) - share(&exact)).abs() < 1e-6, "{case}");
                let samples = |threshold| analysis.responsible_samples(threshold).unwrap().sample_shares;
                for (a, b) in samples(&found).iter().zip(samples(&exact)) {
                    assert!((a - b).abs() < 1e-6, "{case}");
                }
                // Negative control: another batch size is outside.
                let other = BatchSampling::new(SamplingScheme::WithoutReplacement, n, batch_size - 1);
                let Ok(other) = other else { continue };
                let wrong =
                    MeanSquare::new(&ensemble, optimizer, other).unwrap().max_learning_rate().unwrap();
                assert!(wrong.interval.1 < found.interval.0, "{case}");
            }
        }
        // The kernel of a growth is none of those that a tail knows: it is done without, and so is what follows.
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, 10).unwrap();
        let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
        let exact = sgd.max_learning_rate().unwrap().value;
        let (shared, alone) =
            (solver.growth_per_step(&sgd, 1.3 * exact).unwrap(), sgd.growth_per_step(1.3 * exact).unwrap());
        assert!((shared - alone).abs() <= 1e-6 * alone, "{shared} {alone}");
        let after = solver.max_learning_rate(&sgd).unwrap();
        assert!(after.interval.0 <= exact && exact <= after.interval.1, "{exact} {after:?}");
    }
}

/// Where noise is small the mean curvature limits heavy ball to `2 (1 + beta) / l`, where it is large the noise does, to
/// `2 (1 - beta) l / s^2`: the two plateaus of Andreyev et al. 2026, as limits of one formula.
#[test]
fn momentum_has_two_plateaus() {
    let threshold = |curvatures: &[f64], beta: f64| {
        let n = curvatures.len();
        let factors = curvatures.iter().map(|h| h.sqrt()).collect();
        let reduced = Reduced::of(&Factored::new(n, 1, 1, factors).unwrap()).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, 1).unwrap();
        let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        sgd.with_momentum(beta).unwrap().max_learning_rate().unwrap().value
    };
    for beta in [0.0, 0.5, 0.9, 0.99] {
        let quiet = threshold(&[1.0 - 1e-4, 1.0 + 1e-4], beta);
        assert!((quiet / (2.0 * (1.0 + beta)) - 1.0).abs() < 1e-5, "beta {beta}: {quiet}");
        // One sample of a thousand has all the curvature: mean 1, variance 999.
        let mut lone = vec![0.0; 1000];
        lone[0] = 1000.0;
        let noisy = threshold(&lone, beta) * 999.0;
        assert!((noisy / (2.0 * (1.0 - beta)) - 1.0).abs() < 1.1e-3, "beta {beta}: {noisy}");
        // Negative control: neither is the other.
        assert!(beta <= 0.0 || (noisy - quiet).abs() > 0.5, "beta {beta}");
    }
}
