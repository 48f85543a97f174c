//! The paper's recursions against sums over all words, and against enumeration.

use linstab_dynamics::recursions::{Recursions, Traces};
use linstab_dynamics::testing::{batch_hessian, enumerate_batches};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Mat, Reduced, Scale, symmetric};
use proptest::prelude::*;

const STEPS: u8 = 3;

/// `N_k` as the paper writes it: `(eta^2 c_0)^k sum_{y} A H_yk .. A H_y1^2 A .. H_yk A`.
fn sum_over_words(ensemble: &Dense, ascent: &Mat<f64>, weight: f64) -> Mat<f64> {
    let (n, dim) = (ensemble.num_samples(), ensemble.dim());
    let mut sum = Mat::<f64>::zeros(dim, dim);
    for word in 0..n.pow(u32::from(STEPS)) {
        let mut product = Mat::<f64>::identity(dim, dim);
        let mut rest = word;
        for _ in 0..STEPS {
            product = ascent * ensemble.sample_hessian(rest % n) * &product;
            rest /= n;
        }
        sum += &product * product.transpose() * Scale(weight.powi(i32::from(STEPS)));
    }
    sum
}

#[test]
fn recursions_are_the_sums_they_stand_for() {
    for seed in 0..20 {
        let (n, b, c, eta) = (3, 1 + (seed % 2) as usize, 0.4, 0.3);
        let ensemble = Dense::from_ensemble(&random_factored(seed, n, 1, 2));
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, n, b).unwrap();
        let mut recursions = Recursions::new(&ensemble, sampling, c, eta).unwrap();
        for _ in 0..STEPS {
            recursions.advance();
        }
        let identity = Mat::<f64>::identity(2, 2);
        let ascent = &identity + ensemble.mean_hessian() * Scale(c);
        let c0 = 1.0 / (b * n) as f64 - 1.0 / (n * n) as f64;
        let words = sum_over_words(&ensemble, &ascent, eta * eta * c0);
        let error = (recursions.noise() - &words).norm_max();
        assert!(error <= 1e-12 * words.norm_max(), "{error}");
        // Negative control: without the n^2 term the weight is another.
        let wrong = sum_over_words(&ensemble, &ascent, eta * eta / (b * n) as f64);
        assert!((recursions.noise() - &wrong).norm_max() > 1e-3 * words.norm_max(), "a wrong c_0 is caught");

        let mut exact = identity.clone();
        for _ in 0..STEPS {
            let mut next = Mat::<f64>::zeros(2, 2);
            for (p, batch) in enumerate_batches(sampling) {
                let step = &identity - batch_hessian(&ensemble, sampling, &batch) * &ascent * Scale(eta);
                next += step.transpose() * &exact * &step * Scale(p);
            }
            exact = next;
        }
        let error = (recursions.exact() - &exact).norm_max();
        assert!(error <= 1e-12 * exact.norm_max(), "{error}");
        let slack = &exact - recursions.lower_bound();
        let smallest = symmetric::eigenvalues(slack.as_ref()).unwrap()[0];
        assert!(smallest >= -1e-12 * exact.norm_max(), "eq. (27): E dominates M_k, {smallest}");
    }
}

fn trace(x: &Mat<f64>) -> f64 {
    (0..x.nrows()).map(|a| x[(a, a)]).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// The sequence against the matrices of recursions that are advanced one by one, and against the sum over all words.
    #[test]
    fn traces_are_those_of_the_matrices(
        seed: u64, n in 1_usize..5, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..5, c in 0.0_f64..2.0, factor in 0.2_f64..2.0,
    ) {
        let ensemble = random_factored(seed, n, k, dim);
        let (b, eta) = (1 + at * n / 1000, factor / ensemble.sharpness().unwrap());
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, n, b).unwrap();
        let sequence = Recursions::new(&ensemble, sampling, c, eta).unwrap().trace_sequence(usize::from(STEPS));
        prop_assert_eq!(sequence.len(), usize::from(STEPS) + 1);
        let mut by_hand = Recursions::new(&ensemble, sampling, c, eta).unwrap();
        for (steps, traces) in sequence.iter().enumerate() {
            prop_assert_eq!(traces.num_steps, steps);
            let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12 * expected;
            prop_assert!(close(traces.noise, trace(by_hand.noise())), "{traces:?}");
            prop_assert!(close(traces.lower_bound, trace(&by_hand.lower_bound())), "{traces:?}");
            prop_assert!(close(traces.exact, trace(by_hand.exact())), "{traces:?}");
            prop_assert!(steps == 0 || traces.lower_bound <= traces.exact * (1.0 + 1e-12), "eq. (27): {traces:?}");
            by_hand.advance();
        }
        let ascent = Mat::<f64>::identity(dim, dim) + ensemble.mean_hessian() * Scale(c);
        let c0 = 1.0 / (b * n) as f64 - 1.0 / (n * n) as f64;
        let words = trace(&sum_over_words(&Dense::from_ensemble(&ensemble), &ascent, eta * eta * c0));
        let found = sequence[usize::from(STEPS)].noise;
        // For B = n the weight c_0 is zero up to rounding.
        prop_assert!((found - words).abs() <= 1e-11 * words + 1e-30, "{found} against {words}");
    }
}

/// The exact trace grows by the factor that the second-moment map says, in the long run; the lower bound never faster.
#[test]
fn traces_grow_as_the_mean_square_does() {
    for seed in 0..10 {
        let ensemble = random_factored(seed, 5, 2, 3);
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 5, 2).unwrap();
        let analysis = MeanSquare::new(&Reduced::of(&ensemble).unwrap(), Optimizer::sgd(), sampling).unwrap();
        let threshold = analysis.max_learning_rate().unwrap().value;
        for factor in [0.9, 1.2] {
            let growth = analysis.growth_per_step(factor * threshold).unwrap();
            let traces =
                Recursions::new(&ensemble, sampling, 0.0, factor * threshold).unwrap().trace_sequence(400);
            // Between 200 and 400 steps other eigenvalues have died out or are within 1 % a step of the first.
            let rate = |of: fn(&Traces) -> f64| (of(&traces[400]) / of(&traces[200])).powf(1.0 / 200.0);
            let exact = rate(|traces| traces.exact);
            assert!((exact - growth).abs() < 0.01 * growth, "{exact} against {growth}");
            assert!(rate(|traces| traces.lower_bound) <= growth * (1.0 + 0.01), "the bound grows faster");
            let squared = analysis.growth_per_step(2.0 * factor * threshold).unwrap();
            assert!(
                (exact - squared).abs() > 0.1,
                "negative control: twice the learning rate grows otherwise"
            );
        }
    }
}

/// Divergence is a result: a thousand steps far above the threshold overflow, and say so.
#[test]
fn traces_that_overflow_are_infinite() {
    let ensemble = random_factored(3, 4, 1, 3);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
    let eta = 100.0 / ensemble.sharpness().unwrap();
    let traces = Recursions::new(&ensemble, sampling, 0.0, eta).unwrap().trace_sequence(1000);
    for pair in traces.windows(2) {
        assert!(pair[0].exact <= pair[1].exact && pair[0].lower_bound <= pair[1].lower_bound, "{pair:?}");
    }
    let last = traces[1000];
    assert!(last.exact.is_infinite() && last.lower_bound.is_infinite(), "{last:?}");
}

#[test]
fn other_schemes_are_refused_by_name() {
    let ensemble = random_factored(1, 3, 1, 2);
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 3, 1).unwrap();
    let error = Recursions::new(&ensemble, sampling, 0.0, 0.1).unwrap_err().to_string();
    assert!(error.contains("Bernoulli"), "{error}");
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 3, 1).unwrap();
    assert!(Recursions::new(&ensemble, sampling, -1.0, 0.1).is_err(), "a negative ratio");
    assert!(Recursions::new(&ensemble, sampling, 0.0, 0.0).is_err(), "a learning rate of 0");
}
