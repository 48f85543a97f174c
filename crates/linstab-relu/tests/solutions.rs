//! Constructed solutions do what they are constructed for, parity data are what they say, bad input is refused by name.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::polish::{self, PolishOptions};
use linstab_relu::testing::{random_dataset, random_network};
use linstab_relu::training::unobserved;
use linstab_relu::{
    Curvature, Dataset, ReluError, SquaredLoss, Trainer, Training, TrainingRule, TwoLayer, solutions,
};
use proptest::prelude::*;
use rand_pcg::{Pcg64, rand_core::SeedableRng};

fn signs(seed: u64, n: usize, d: usize) -> Dataset {
    parity::draw(n, d, Redundancy::Independent, &mut Pcg64::seed_from_u64(seed)).unwrap()
}

/// Entries of a few units, sums of d terms and a division by r: some epsilon.
const EXACT: f64 = 1e-12;

proptest! {
    #[test]
    fn generalising_solutions_generalise(seed: u64, c in 2_usize..6, more in 0_usize..10, scale in 0.3_f64..4.0) {
        let d = c + more;
        let data = signs(seed, 30, d);
        let network = solutions::generalising(d, (1 << c) + more, c, scale).unwrap();
        prop_assert!(solutions::max_interpolation_error(&network, &data).unwrap() < EXACT);
        let curvature = Curvature::at(&network, &data, SquaredLoss::Half).unwrap();
        let expected = scale.powi(2) + (d as f64 + 1.0) / scale.powi(2);
        let gram = curvature.gradient_gram();
        for i in 0..30 {
            let pattern = (0..c).map(|p| usize::from(data.input(i)[p] < 0.0) << p).sum::<usize>();
            prop_assert_eq!(curvature.active_units(i), &[pattern][..]);
            prop_assert!((gram[(i, i)] - expected).abs() < EXACT * expected);
            // Samples of one pattern share a unit, others are orthogonal.
            for j in 0..30 {
                let shared = curvature.active_units(j) == [pattern];
                let product: f64 = data.input(i).iter().zip(data.input(j)).map(|(a, b)| a * b).sum();
                let between = if shared { scale.powi(2) + (product + 1.0) / scale.powi(2) } else { 0.0 };
                prop_assert!((gram[(i, j)] - between).abs() < EXACT * expected);
            }
        }
    }

    #[test]
    fn memorising_solutions_memorise(seed: u64, n in 1_usize..12, d in 5_usize..9, scale in 0.3_f64..4.0, free: bool) {
        // Random reals of equal norm, or random signs; signs can coincide.
        let data = if free {
            let raw = random_dataset(seed & !1, n, d);
            let rows = raw.inputs().chunks(d).flat_map(|row| {
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.iter().map(move |x| x / norm)
            });
            Dataset::new(d, rows.collect(), raw.labels().to_vec()).unwrap()
        } else {
            signs(seed, n, d)
        };
        match solutions::memorising(&data, n + 2, scale) {
            Ok(network) => {
                prop_assert!(solutions::max_interpolation_error(&network, &data).unwrap() < 1e-9);
                let active = solutions::active_units(&network, &data).unwrap();
                prop_assert!(active.iter().enumerate().all(|(i, units)| units[..] == [i]), "{:?}", active);
                let gram = Curvature::at(&network, &data, SquaredLoss::Half).unwrap().gradient_gram();
                for i in 0..n {
                    let squared_norm: f64 = data.input(i).iter().map(|x| x * x).sum();
                    let expected = scale.powi(2) + (squared_norm + 1.0) / scale.powi(2);
                    prop_assert!((gram[(i, i)] - expected).abs() < 1e-9 * expected);
                    prop_assert!((0..n).all(|j| j == i || gram[(i, j)].to_bits() == 0), "orthogonal");
                }
            }
            Err(ReluError::DuplicateInputs { first, second }) => {
                prop_assert!(first != second && data.input(first) == data.input(second));
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn parity_data_are_what_they_say(seed: u64, n in 1_usize..40, d in 2_usize..8, distinct in 2_usize..8, q in 0.0_f64..=1.0) {
        let repeated = Redundancy::Repeated { num_distinct: distinct.min(d) };
        for redundancy in [Redundancy::Independent, repeated, Redundancy::Correlated { probability: q }] {
            let data = parity::draw(n, d, redundancy, &mut Pcg64::seed_from_u64(seed)).unwrap();
            prop_assert!(data.inputs().iter().all(|x| x.abs().to_bits() == 1.0_f64.to_bits()));
            prop_assert!(data.require_signs().is_ok());
            for i in 0..n {
                let x = data.input(i);
                prop_assert_eq!(data.labels()[i].to_bits(), (x[0] * x[1]).to_bits());
                if redundancy == repeated {
                    prop_assert!((0..d).all(|j| x[j].to_bits() == x[j % distinct.min(d)].to_bits()));
                }
            }
        }
    }

    #[test]
    fn a_polish_ends_close_by_at_an_interpolating_point(seed: u64, n in 1_usize..20) {
        // More units than samples: J has full rank almost surely.
        let data = signs(seed, n, 12);
        let network = TwoLayer::uniform(12, 40, &mut Pcg64::seed_from_u64(seed)).unwrap();
        let distinct = solutions::memorising(&data, n, 1.0).is_ok();
        prop_assume!(distinct);
        let polished = polish::run(&network, &data, SquaredLoss::Full, PolishOptions::default()).unwrap();
        let exact = Curvature::at(&polished.network, &data, SquaredLoss::Full).unwrap().mean_loss();
        prop_assert!(polished.loss <= 1e-20 && exact.to_bits() == polished.loss.to_bits());
        let again = polish::run(&polished.network, &data, SquaredLoss::Full, PolishOptions::default()).unwrap();
        prop_assert_eq!((again.num_steps, &again.network), (0, &polished.network));
    }
}

/// Negative control: with the sign that appendix C.1 prints, most units fire and the norm is another.
#[test]
fn the_printed_sign_of_the_bias_is_caught() {
    let right = solutions::generalising(5, 8, 3, 1.0).unwrap();
    let biases: Vec<f64> = right.hidden_biases().iter().map(|b| -b).collect();
    let wrong = TwoLayer::from_parts(5, right.output_weights(), right.hidden_weights(), &biases).unwrap();
    let data = signs(1, 20, 5);
    let squared_norm = |network: &TwoLayer| {
        Curvature::at(network, &data, SquaredLoss::Half).unwrap().gradient_gram()[(0, 0)]
    };
    assert!((squared_norm(&right) - 7.0).abs() < EXACT && (squared_norm(&wrong) - 97.0).abs() < EXACT);
    assert!(solutions::active_units(&wrong, &data).unwrap().iter().all(|units| units.len() == 7));
}

#[test]
fn the_optimal_scale_is_optimal() {
    for d in [1, 5, 15, 100] {
        let squared_norm = |r: f64| r * r + (d as f64 + 1.0) / (r * r);
        let best = solutions::optimal_scale(d);
        assert!((squared_norm(best) - 2.0 * (d as f64 + 1.0).sqrt()).abs() < 1e-12);
        assert!(
            squared_norm(0.9 * best) > squared_norm(best) && squared_norm(1.1 * best) > squared_norm(best)
        );
    }
}

/// The probability of a correlated input is its correlation with its source.
#[test]
fn correlated_inputs_have_their_correlation() {
    let redundancy = Redundancy::Correlated { probability: 0.6 };
    let data = parity::draw(20_000, 4, redundancy, &mut Pcg64::seed_from_u64(3)).unwrap();
    let correlation =
        |j: usize, k: usize| (0..20_000).map(|i| data.input(i)[j] * data.input(i)[k]).sum::<f64>() / 20_000.0;
    // Five standard errors of 1 / sqrt(20000).
    let close = |found: f64, expected: f64| (found - expected).abs() < 0.036;
    assert!(close(correlation(0, 2), 0.6) && close(correlation(1, 3), 0.6) && close(correlation(0, 1), 0.0));
    assert!(!close(correlation(0, 2), 0.5) && close(correlation(0, 3), 0.0));
}

/// After training of a wide network on reals, kinks are near: a method that insists on a falling loss gets stuck.
#[test]
fn a_polish_crosses_kinks() {
    for seed in 0..3 {
        let data = random_dataset(2 * seed, 60, 20);
        let rng = &mut Pcg64::seed_from_u64(seed);
        let mut network = TwoLayer::uniform(20, 30, rng).unwrap();
        let training = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.02, 10, 100);
        Trainer::new(training, &data, 30).unwrap().run(&mut network, rng, unobserved).unwrap();
        let polished = polish::run(&network, &data, SquaredLoss::Half, PolishOptions::default()).unwrap();
        assert!(polished.num_steps <= 40, "{} steps", polished.num_steps);
        let moved = |to: &TwoLayer| {
            let squares = to.parameters().iter().zip(network.parameters()).map(|(a, b)| (a - b).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let nothing = TwoLayer::new(20, 30, vec![0.0; 30 * 22]).unwrap();
        assert!(moved(&polished.network) < moved(&nothing), "closer than the weights are long");
    }
}

#[test]
fn a_polish_that_must_fail_says_how_far_it_came() {
    // One unit cannot fit parity.
    let data = Dataset::new(2, vec![1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0], vec![1.0, -1.0, -1.0, 1.0])
        .unwrap();
    let network = TwoLayer::uniform(2, 1, &mut Pcg64::seed_from_u64(5)).unwrap();
    let start = Curvature::at(&network, &data, SquaredLoss::Half).unwrap().mean_loss();
    match polish::run(&network, &data, SquaredLoss::Half, PolishOptions::default()).unwrap_err() {
        ReluError::NotInterpolated { loss, num_steps, .. } => {
            assert!(loss > 0.1 && loss < start && num_steps == 100, "{loss} after {num_steps}");
        }
        error => panic!("{error}"),
    }
    let dead = TwoLayer::new(2, 1, vec![1.0, 0.0, 0.0, -1.0]).unwrap();
    let error = polish::run(&dead, &data, SquaredLoss::Half, PolishOptions::default()).unwrap_err();
    assert!(matches!(error, ReluError::NotInterpolated { num_steps: 0, .. }), "{error}");
    for target_loss in [0.0, -1.0, f64::NAN] {
        let options = PolishOptions { target_loss, max_steps: 10 };
        let error = polish::run(&network, &data, SquaredLoss::Half, options).unwrap_err();
        assert!(matches!(error, ReluError::OutOfRange { name: "target_loss", .. }), "{error}");
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let rng = &mut Pcg64::seed_from_u64(1);
    for (d, width) in [(0, 3), (3, 0)] {
        assert!(matches!(TwoLayer::uniform(d, width, rng), Err(ReluError::OutOfRange { .. })));
        assert!(matches!(TwoLayer::gaussian(d, width, 1.0, rng), Err(ReluError::OutOfRange { .. })));
        assert!(matches!(TwoLayer::new(d, width, vec![]), Err(ReluError::OutOfRange { .. })));
        assert!(matches!(solutions::generalising(d, width, 2, 1.0), Err(ReluError::OutOfRange { .. })));
    }
    assert!(matches!(TwoLayer::new(usize::MAX, 2, vec![]), Err(ReluError::OutOfRange { .. })));
    assert!(matches!(TwoLayer::new(2, 2, vec![0.0; 7]), Err(ReluError::SizeMismatch { expected: 8, .. })));
    assert_eq!(
        TwoLayer::new(1, 1, vec![0.0, f64::NAN, 0.0]).unwrap_err(),
        ReluError::NonFiniteParameter { index: 1 }
    );
    assert!(matches!(TwoLayer::from_parts(2, &[1.0], &[1.0], &[1.0]), Err(ReluError::SizeMismatch { .. })));
    assert!(matches!(TwoLayer::from_parts(1, &[1.0], &[1.0], &[]), Err(ReluError::SizeMismatch { .. })));
    assert!(TwoLayer::gaussian(2, 2, -1.0, rng).is_err(), "a negative gain");
    assert!(random_network(1, 2, 2).perturbed(f64::NAN, rng).is_err(), "no standard deviation");
    assert_eq!(Dataset::new(1, vec![], vec![]).unwrap_err(), ReluError::EmptyDataset);
    assert!(matches!(Dataset::new(0, vec![], vec![1.0]), Err(ReluError::OutOfRange { .. })));
    assert!(matches!(Dataset::new(2, vec![1.0], vec![1.0]), Err(ReluError::SizeMismatch { .. })));
    assert_eq!(
        Dataset::new(1, vec![1.0, 2.0], vec![1.0, f64::INFINITY]).unwrap_err(),
        ReluError::NonFiniteLabel { sample: 1 }
    );
    for c in [0, 1, 4, 6, 64, usize::MAX] {
        let error = solutions::generalising(5, 8, c, 1.0).unwrap_err();
        assert!(matches!(error, ReluError::NumFeaturesOutOfRange { width: 8, .. }), "{error}");
    }
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-320] {
        assert!(solutions::generalising(5, 8, 3, scale).is_err(), "{scale}");
        assert!(solutions::memorising(&random_dataset(0, 2, 2), 2, scale).is_err(), "{scale}");
    }
    let duplicate = Dataset::new(1, vec![0.0, 1.0, -0.0], vec![1.0, 1.0, 1.0]).unwrap();
    let error = solutions::memorising(&duplicate, 3, 1.0).unwrap_err();
    assert_eq!(error, ReluError::DuplicateInputs { first: 0, second: 2 });
    let error = solutions::memorising(&duplicate, 2, 1.0).unwrap_err();
    assert_eq!(error, ReluError::WidthTooSmall { width: 2, num_samples: 3 });
    let inner = Dataset::new(1, vec![1.0, 2.0], vec![1.0, 1.0]).unwrap();
    let error = solutions::memorising(&inner, 2, 1.0).unwrap_err();
    assert_eq!(error, ReluError::NotOutermost { sample: 0, other: 1 });
    let huge = Dataset::new(1, vec![1e200, -1e200], vec![1.0, 1.0]).unwrap();
    assert!(solutions::memorising(&huge, 2, 1.0).is_err(), "products overflow");
    for redundancy in [
        Redundancy::Repeated { num_distinct: 1 },
        Redundancy::Repeated { num_distinct: 6 },
        Redundancy::Correlated { probability: 1.1 },
        Redundancy::Correlated { probability: f64::NAN },
    ] {
        assert!(parity::draw(3, 5, redundancy, rng).is_err(), "{redundancy:?}");
    }
    assert!(parity::draw(3, 1, Redundancy::Independent, rng).is_err(), "no second input");
    assert!(parity::draw(0, 5, Redundancy::Independent, rng).is_err(), "no samples");
    let (network, data) = (random_network(1, 3, 2), random_dataset(1, 4, 2));
    assert!(matches!(network.predictions(&data), Err(ReluError::SizeMismatch { .. })));
    assert!(matches!(network.pre_activations(&data), Err(ReluError::SizeMismatch { .. })));
    let error = Curvature::at(&network, &data, SquaredLoss::Half).unwrap_err();
    assert!(matches!(error, ReluError::SizeMismatch { expected: 3, found: 2, .. }), "{error}");
}
