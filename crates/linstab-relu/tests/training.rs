//! Training against its slow twin, and how it ends.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::ops::ControlFlow;

use linstab_dynamics::optimizer::Recursion;
use linstab_relu::parity::{self, Redundancy};
use linstab_relu::testing::{
    self, contrastive_loss_of_batch, distance_to_kink, finite_difference_gradient, random_dataset,
};
use linstab_relu::training::{contrastive_loss, unobserved};
use linstab_relu::{
    BatchOrder, Curvature, Dataset, Outcome, ReluError, SquaredLoss, Trainer, Training, TrainingRule,
    TwoLayer,
};
use proptest::prelude::*;
use rand_pcg::{Pcg64, rand_core::SeedableRng};

fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

fn rules() -> impl Strategy<Value = TrainingRule> {
    let size = 0.0_f64..0.3;
    prop_oneof![
        Just(TrainingRule::Sgd),
        size.clone().prop_map(|rho| TrainingRule::Sam { rho }),
        // An ascent by a multiple of the gradient explodes when the multiple is large.
        (0.0_f64..0.03).prop_map(|rho| TrainingRule::UnnormalisedSam { rho }),
        (0.0_f64..0.03).prop_map(|rho_over_alpha| TrainingRule::FullBatchSam { rho_over_alpha }),
        size.clone().prop_map(|standard_deviation| TrainingRule::RandomPerturbation { standard_deviation }),
        size.prop_map(|standard_deviation| TrainingRule::LabelNoise { standard_deviation }),
    ]
}

fn trained(training: Training, data: &Dataset, network: &TwoLayer, seed: u64) -> (TwoLayer, Outcome) {
    let mut network = network.clone();
    let mut trainer = Trainer::new(training, data, network.width()).unwrap();
    let outcome = trainer.run(&mut network, &mut rng(seed), unobserved).unwrap();
    (network, outcome)
}

fn distance(left: &TwoLayer, right: &TwoLayer) -> f64 {
    left.parameters().iter().zip(right.parameters()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Memories, weights and decays of every size that frameworks have.
fn recursions() -> impl Strategy<Value = Recursion> {
    (0.0_f64..0.95, 0.1_f64..1.0, 0.0_f64..1.0, 0.1_f64..1.0, 0.0_f64..0.1, 0.0_f64..0.1).prop_map(
        |(memory, input, direct, output, coupled_decay, decoupled_decay)| Recursion {
            memory,
            input,
            direct,
            output,
            coupled_decay,
            decoupled_decay,
        },
    )
}

proptest! {
    /// A preconditioner that is the same for all parameters divides the learning rate.
    #[test]
    fn a_preconditioner_divides_gradients(seed: u64, recursion in recursions(), scale in 0.5_f64..2.0) {
        let (data, network) = (random_dataset(seed, 5, 3), TwoLayer::uniform(3, 4, &mut rng(seed)).unwrap());
        let recursion = Recursion { coupled_decay: 0.0, decoupled_decay: 0.0, ..recursion };
        let training = Training { recursion, ..Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.003, 2, 3) };
        let mut preconditioned = network.clone();
        let entries = vec![scale; network.parameters().len()];
        let mut trainer = Trainer::new(training, &data, 4).unwrap().preconditioned(&entries).unwrap();
        trainer.run(&mut preconditioned, &mut rng(seed), unobserved).unwrap();
        let slower = Training { learning_rate: 0.003 / scale, ..training };
        prop_assert!(distance(&preconditioned, &trained(slower, &data, &network, seed).0) < 1e-12);
    }

    /// Three epochs with a smaller last batch, any rule, any recursion.
    #[test]
    fn training_agrees_with_its_twin(
        seed: u64, n in 1_usize..9, d in 1_usize..10, width in 1_usize..6, batch_size in 1_usize..5,
        rule in rules(), recursion in recursions(), full: bool, steps_per_epoch in 0_usize..5
    ) {
        let loss = if full { SquaredLoss::Full } else { SquaredLoss::Half };
        let data = random_dataset(seed, n, d);
        let network = TwoLayer::uniform(d, width, &mut rng(seed)).unwrap();
        let batch_order =
            if steps_per_epoch == 0 { BatchOrder::Shuffled } else { BatchOrder::Independent { steps_per_epoch } };
        let training =
            Training { recursion, batch_order, ..Training::new(rule, loss, 0.003, batch_size.min(n), 3) };
        let (fast, outcome) = trained(training, &data, &network, seed ^ 1);
        prop_assert_eq!(outcome, Outcome::Completed);
        let slow = testing::train(&training, &data, &network, &mut rng(seed ^ 1));
        // Steps this small do not amplify rounding; a pre-activation within rounding of its kink has negligible odds.
        prop_assert!(distance(&fast, &slow) < 1e-10, "{}", distance(&fast, &slow));
    }

    /// The twin differentiates the contrastive loss numerically: one step, so that the errors of the differences stay small.
    #[test]
    fn the_contrastive_term_agrees_with_its_twin(seed: u64, n in 2_usize..9, d in 1_usize..5, width in 1_usize..6) {
        let data = random_dataset(seed, n, d);
        // Biases that make most units fire, since a sample without features has nothing to compare.
        let drawn = TwoLayer::uniform(d, width, &mut rng(seed)).unwrap();
        let biases: Vec<f64> = drawn.hidden_biases().iter().map(|b| b + 1.0).collect();
        let network =
            TwoLayer::from_parts(d, drawn.output_weights(), drawn.hidden_weights(), &biases).unwrap();
        // Norms are divided by, and pairs can sit at the margin: stay where differences are valid.
        let features = network.features(&data).unwrap();
        prop_assume!(distance_to_kink(&network, &data) > 1e-3);
        prop_assume!(features.chunks(width).all(|row| row.iter().map(|a| a * a).sum::<f64>() > 1e-2));
        let batch: Vec<usize> = (0..n).collect();
        let of_batch = |w: &[f64]| contrastive_loss_of_batch(w, width, &data, &batch);
        let (fine, coarse) = (
            finite_difference_gradient(of_batch, network.parameters(), 1e-6),
            finite_difference_gradient(of_batch, network.parameters(), 2e-6),
        );
        prop_assume!(fine.iter().zip(&coarse).all(|(a, b)| (a - b).abs() < 1e-7));
        let (loss, _) = contrastive_loss(width, &features, data.labels());
        prop_assert!((loss - of_batch(network.parameters())).abs() < 1e-12);
        for rule in [TrainingRule::Sgd, TrainingRule::Sam { rho: 0.1 }] {
            let training =
                Training { contrastive_weight: 0.5, ..Training::new(rule, SquaredLoss::Full, 0.1, n, 1) };
            let (fast, _) = trained(training, &data, &network, seed);
            let slow = testing::train(&training, &data, &network, &mut rng(seed));
            prop_assert!(distance(&fast, &slow) < 1e-7, "{}", distance(&fast, &slow));
        }
    }

    /// The whole batch as one: the order does not matter, and the rule is the formula.
    #[test]
    fn full_batch_sam_is_its_formula(seed: u64, n in 1_usize..9, d in 1_usize..6, width in 1_usize..6, c in 0.0_f64..0.5) {
        let data = random_dataset(seed, n, d);
        let network = TwoLayer::uniform(d, width, &mut rng(seed)).unwrap();
        let gradient = |network: &TwoLayer| {
            Curvature::at(network, &data, SquaredLoss::Half).unwrap().mean_gradient()
        };
        let moved = |by: f64, along: &[f64]| {
            let parameters = network.parameters().iter().zip(along).map(|(w, g)| w + by * g).collect();
            TwoLayer::new(d, width, parameters).unwrap()
        };
        let expected = moved(-0.1, &gradient(&moved(c, &gradient(&network))));
        for rule in [TrainingRule::FullBatchSam { rho_over_alpha: c }, TrainingRule::UnnormalisedSam { rho: c }] {
            for order in 0..3 {
                let training = Training::new(rule, SquaredLoss::Half, 0.1, n, 1);
                let (found, _) = trained(training, &data, &network, order);
                prop_assert!(distance(&found, &expected) < 1e-12);
            }
        }
    }
}

/// Fixed problem of the tests below: 7 samples, batches of 3, so that the last batch has one.
fn problem() -> (Dataset, TwoLayer, Training) {
    let data = random_dataset(11, 7, 5);
    let network = TwoLayer::uniform(5, 4, &mut rng(12)).unwrap();
    (data, network, Training::new(TrainingRule::Sam { rho: 0.1 }, SquaredLoss::Full, 0.05, 3, 4))
}

/// Negative controls: the twin with one number wrong is far from the tolerance of the test above.
#[test]
fn a_wrong_factor_is_caught() {
    let (data, network, training) = problem();
    let recursion =
        Recursion { direct: 0.05, decoupled_decay: 0.2, coupled_decay: 0.1, ..Recursion::heavy_ball(0.5) };
    let training = Training { recursion, ..training };
    let (fast, _) = trained(training, &data, &network, 1);
    let wrong = [
        Training { loss: SquaredLoss::Half, ..training },
        Training { rule: TrainingRule::Sam { rho: 0.2 }, ..training },
        Training { rule: TrainingRule::UnnormalisedSam { rho: 0.1 }, ..training },
        Training { recursion: Recursion { memory: 0.51, ..recursion }, ..training },
        Training { recursion: Recursion { input: 0.9, ..recursion }, ..training },
        Training { recursion: Recursion { direct: 0.0, ..recursion }, ..training },
        Training { recursion: Recursion { output: 0.9, ..recursion }, ..training },
        Training {
            recursion: Recursion { coupled_decay: 0.2, decoupled_decay: 0.1, ..recursion },
            ..training
        },
        Training { batch_size: 2, ..training },
        Training { batch_order: BatchOrder::Independent { steps_per_epoch: 3 }, ..training },
        Training { contrastive_weight: 0.01, ..training },
    ];
    assert!(distance(&fast, &testing::train(&training, &data, &network, &mut rng(1))) < 1e-12);
    for twin in wrong {
        let slow = testing::train(&twin, &data, &network, &mut rng(1));
        assert!(distance(&fast, &slow) > 1e-4, "{twin:?}: {}", distance(&fast, &slow));
    }
}

/// Heavy ball by hand: `f = 2 relu(3 x + 1)` at 1 with gradient (4; 2, 2), `e = 1`, then again from (1.5, 2.75, 0.75).
#[test]
fn momentum_is_the_heavy_ball() {
    let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0]).unwrap();
    let data = Dataset::new(1, vec![1.0], vec![7.0]).unwrap();
    let training = Training {
        recursion: Recursion::heavy_ball(0.5),
        ..Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.125, 1, 2)
    };
    let (found, _) = trained(training, &data, &network, 0);
    // f = 1.5 * 3.5 = 5.25, e = -1.75, g = (3.5; 1.5, 1.5).
    let expected = [
        1.5 + 0.125 * 1.75 * 3.5 - 0.25,
        2.75 + 0.125 * 1.75 * 1.5 - 0.125,
        0.75 + 0.125 * 1.75 * 1.5 - 0.125,
    ];
    for (found, expected) in found.parameters().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{found} against {expected}");
    }
}

/// Every sample is visited once an epoch: with a weight of its own for each sample, each is fitted by one step.
#[test]
fn an_epoch_visits_every_sample_once() {
    // Unit i fires for sample i alone, with feature 1; only its output weight moves much.
    let n = 7;
    let inputs: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { -1.0 }).collect();
    let hidden: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    let network = TwoLayer::from_parts(n, &vec![0.0; n], &hidden, &vec![0.0; n]).unwrap();
    let data = Dataset::new(n, inputs, (0..n).map(|i| 1.0 + i as f64).collect()).unwrap();
    // At W2 = 0 the gradient is e (a; 0, 0): a step of size 1/4 moves W2_i by y_i / 4, once.
    for batch_size in [1, 3, 7] {
        let training = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 0.25, batch_size, 1);
        let (found, _) = trained(training, &data, &network, 5);
        let mut sizes: Vec<f64> =
            found.output_weights().iter().zip(data.labels()).map(|(w, y)| 0.25 * y / w).collect();
        sizes.sort_by(f64::total_cmp);
        let last = if n % batch_size == 0 { batch_size } else { n % batch_size };
        let mut expected = vec![batch_size as f64; n - last];
        expected.extend(vec![last as f64; last]);
        expected.sort_by(f64::total_cmp);
        assert_eq!(sizes.len(), expected.len());
        for (size, expected) in sizes.iter().zip(&expected) {
            assert!((size - expected).abs() < 1e-12, "{sizes:?} for {batch_size}");
        }
    }
}

/// Independent batches repeat samples: with disjoint units the output weights tell how often each was drawn.
#[test]
fn independent_batches_are_full_and_forget_the_past() {
    let n = 7;
    let hidden: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    let network = TwoLayer::from_parts(n, &vec![0.0; n], &hidden, &vec![0.0; n]).unwrap();
    let inputs: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { -1.0 }).collect();
    let data = Dataset::new(n, inputs, vec![1.0; n]).unwrap();
    // At W2 = 0 a step of 1e-6 moves the weight of each sample of a batch of 3 by 1e-6 / 3, up to second order.
    let (step, num_steps) = (1e-6, 5);
    let training = Training {
        batch_order: BatchOrder::Independent { steps_per_epoch: num_steps },
        ..Training::new(TrainingRule::Sgd, SquaredLoss::Half, step, 3, 1)
    };
    let mut repeated = 0;
    for seed in 0..20 {
        let (found, _) = trained(training, &data, &network, seed);
        let times: Vec<f64> = found.output_weights().iter().map(|w| (w * 3.0 / step).round()).collect();
        assert!((times.iter().sum::<f64>() - 15.0).abs() < 1e-9, "five full batches of three: {times:?}");
        assert!(times.iter().all(|&count| count <= 5.0), "no sample twice in a batch: {times:?}");
        repeated += usize::from(times.contains(&0.0) || times.iter().any(|&count| count > 3.0));
    }
    assert!(repeated > 10, "two shuffled epochs of 7 would leave no sample out: {repeated}");
}

#[test]
fn results_depend_on_nothing_but_the_arguments() {
    let (data, network, training) = problem();
    let mut trainer = Trainer::new(training, &data, 4).unwrap();
    let mut run = |seed| {
        let mut network = network.clone();
        trainer.run(&mut network, &mut rng(seed), unobserved).unwrap();
        network
    };
    let (first, other, again) = (run(1), run(2), run(1));
    assert_eq!(first, again, "a trainer can be used again");
    assert_eq!(first, trained(training, &data, &network, 1).0);
    assert_ne!(first, other);
}

#[test]
fn results_are_frozen() {
    // Everything here is drawn from streams that this crate freezes, but for the Gaussian numbers, whose crate is pinned.
    let (_, _, training) = problem();
    let data = parity::draw(20, 6, Redundancy::Independent, &mut rng(11)).unwrap();
    let network = TwoLayer::uniform(6, 12, &mut rng(12)).unwrap();
    let rules = [
        (TrainingRule::Sam { rho: 0.1 }, 1.105_521_645_215_759_7),
        (TrainingRule::RandomPerturbation { standard_deviation: 0.1 }, 0.821_631_303_208_570_8),
        (TrainingRule::LabelNoise { standard_deviation: 0.1 }, 1.477_089_099_699_993_5),
        (TrainingRule::Sgd, 1.051_363_928_102_758_5),
    ];
    for (rule, frozen) in rules {
        let training =
            Training { rule, contrastive_weight: 0.1, recursion: Recursion::heavy_ball(0.5), ..training };
        let found = trained(training, &data, &network, 1).0;
        let sum: f64 = found.parameters().iter().enumerate().map(|(p, w)| (1.0 + p as f64).sin() * w).sum();
        assert!((sum - frozen).abs() < 1e-12, "{rule:?}: {sum:?} against {frozen}");
    }
}

#[test]
fn a_zero_gradient_needs_no_direction() {
    // No unit fires: the batch gradient is zero and SAM has nowhere to ascend to.
    let data = Dataset::new(1, vec![1.0], vec![1.0]).unwrap();
    let network = TwoLayer::new(1, 1, vec![1.0, -1.0, 0.0]).unwrap();
    let training = Training::new(TrainingRule::Sam { rho: 0.1 }, SquaredLoss::Full, 0.1, 1, 3);
    assert_eq!(trained(training, &data, &network, 1), (network, Outcome::Completed));
}

#[test]
fn zero_and_coinciding_features_have_no_contrastive_gradient() {
    let (loss, gradient) = contrastive_loss(2, &[0.0, 0.0, 0.0, 0.0], &[1.0, -1.0]);
    assert_eq!((loss.to_bits(), gradient), (1.0_f64.to_bits(), vec![0.0; 4]), "distance 0, margin 1");
    let (loss, gradient) = contrastive_loss(2, &[3.0, 4.0, 3.0, 4.0], &[1.0, 1.0]);
    assert_eq!((loss.to_bits(), gradient), (0, vec![0.0; 4]));
    // A unit direction and the zero feature are 1 apart: at the margin for different labels, whatever the rounding.
    for angle in 0..50 {
        let (y, x) = (0.03 * f64::from(angle)).sin_cos();
        let (loss, gradient) = contrastive_loss(2, &[x, y, 0.0, 0.0], &[1.0, -1.0]);
        assert_eq!(loss.to_bits(), 0, "{angle}");
        assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
    }
}

#[test]
fn divergence_is_an_outcome() {
    let (data, network, training) = problem();
    for learning_rate in [1e3, 1e150, 1e300] {
        for rule in
            [TrainingRule::Sgd, TrainingRule::Sam { rho: 0.1 }, TrainingRule::UnnormalisedSam { rho: 1e200 }]
        {
            let training = Training { rule, learning_rate, num_epochs: 50, ..training };
            let (found, outcome) = trained(training, &data, &network, 1);
            // The rate of 1e3 needs a few epochs, the others overflow at once.
            let last = if learning_rate > 1e3 { 1 } else { 10 };
            let Outcome::Diverged { epoch, loss } = outcome else { panic!("{training:?}: {outcome:?}") };
            assert!((1..=last).contains(&epoch) && !loss.is_finite(), "{training:?}: {outcome:?}");
            assert!(found.parameters().iter().all(|w| w.is_finite()), "the network stays one");
        }
    }
    // A parameter that no unit shows to the loss: only the check at the end of the epoch can see it.
    let one = Dataset::new(1, vec![1.0], vec![1.0]).unwrap();
    let start = TwoLayer::new(1, 1, vec![1.0, 1e3, 0.0]).unwrap();
    let hidden = Training::new(TrainingRule::Sgd, SquaredLoss::Half, 1e306, 1, 1);
    let (found, outcome) = trained(hidden, &one, &start, 1);
    assert!(matches!(outcome, Outcome::Diverged { epoch: 1, loss } if loss.is_finite()), "{outcome:?}");
    assert_eq!(found, start);
    let training = Training { divergence_loss: 1e-6, ..training };
    let (found, outcome) = trained(training, &data, &network, 1);
    assert!(matches!(outcome, Outcome::Diverged { epoch: 1, loss } if loss > 1e-6), "{outcome:?}");
    assert_eq!(found, network, "no epoch ended");
    let training = Training { divergence_loss: f64::INFINITY, ..training };
    let mut epochs = vec![];
    let mut kept = network.clone();
    let mut trainer = Trainer::new(training, &data, 4).unwrap();
    let outcome = trainer.run(&mut kept, &mut rng(1), |progress| {
        epochs.push((progress.epoch, progress.mean_batch_loss.is_some()));
        if progress.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(outcome.unwrap(), Outcome::Stopped { epoch: 2 });
    assert_eq!(epochs, [(0, false), (1, true), (2, true)]);
}

#[test]
fn bad_training_is_refused_by_name() {
    let (data, mut network, training) = problem();
    let bad = [
        Training { learning_rate: 0.0, ..training },
        Training { learning_rate: f64::NAN, ..training },
        Training { recursion: Recursion::heavy_ball(1.0), ..training },
        Training { recursion: Recursion { direct: f64::NAN, ..Recursion::SGD }, ..training },
        Training { contrastive_weight: -1.0, ..training },
        Training { divergence_loss: f64::NAN, ..training },
        Training { divergence_loss: 0.0, ..training },
        Training { batch_order: BatchOrder::Independent { steps_per_epoch: 0 }, ..training },
        Training { rule: TrainingRule::Sam { rho: -1.0 }, ..training },
        Training { rule: TrainingRule::FullBatchSam { rho_over_alpha: f64::INFINITY }, ..training },
        Training { rule: TrainingRule::LabelNoise { standard_deviation: -1.0 }, ..training },
    ];
    for training in bad {
        let error = Trainer::new(training, &data, 4).unwrap_err();
        assert!(matches!(error, ReluError::OutOfRange { .. }), "{training:?}: {error}");
    }
    for batch_size in [0, 8] {
        let error = Trainer::new(Training { batch_size, ..training }, &data, 4).unwrap_err();
        assert_eq!(error, ReluError::BatchSizeOutOfRange { batch_size, num_samples: 7 });
    }
    assert!(Trainer::new(training, &data, 0).is_err(), "no units");
    let error = Trainer::new(training, &data, 3).unwrap().run(&mut network, &mut rng(1), unobserved);
    assert!(matches!(error, Err(ReluError::SizeMismatch { expected: 3, found: 4, .. })));
    let regression = Dataset::new(1, vec![1.0, 2.0], vec![1.0, 0.5]).unwrap();
    let training = Training { batch_size: 1, ..training };
    assert!(Trainer::new(training, &regression, 1).is_ok(), "any labels will do for the squared loss");
    let error = Trainer::new(Training { contrastive_weight: 0.1, ..training }, &regression, 1).unwrap_err();
    assert_eq!(error, ReluError::LabelNotSign { sample: 1, label: 0.5 });
}
