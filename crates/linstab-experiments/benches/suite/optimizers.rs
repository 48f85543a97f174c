//! Thresholds of optimizers and loaders on a spectrum that decays as those of gradients do.

use std::hint::black_box;

use linstab_driver::streams::StreamKey;
use linstab_dynamics::epochs::{EpochOptions, Epochs};
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced};
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{Suite, seconds};

const NUM_SAMPLES: usize = 1000;
const NUM_PARAMETERS: usize = 4000;
const BATCH_SIZE: usize = 32;
/// Directions that decay, and what is added to every entry.
const NUM_DIRECTIONS: usize = 50;
const NOISE: f64 = 0.05;

pub(crate) fn register(suite: &mut Suite) {
    let reduced = std::rc::Rc::new(std::cell::OnceCell::new());
    for (name, optimizer) in [
        ("optimizers/sgd/n1000", "sgd"),
        ("optimizers/heavy-ball/n1000", "sgd:momentum=0.9"),
        ("optimizers/nesterov-weight-decay/n1000", "sgd:momentum=0.9,nesterov=true,weight_decay=1e-4"),
    ] {
        let reduced = reduced.clone();
        suite.measure((name, "s"), 5, 2, move || {
            let reduced = reduced.get_or_init(decaying);
            seconds(|| threshold(reduced, optimizer))
        });
    }
    suite.measure(("optimizers/reshuffled/n1000", "s"), 3, 2, move || {
        let reduced = reduced.get_or_init(decaying);
        seconds(|| reshuffled(reduced))
    });
}

/// `G = U diag(exp(-j/10)) W` plus noise, with normal entries.
fn decaying() -> Reduced {
    let mut rng = StreamKey::new(0, "optimizers").generator();
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let left: Vec<f64> = (0..NUM_SAMPLES * NUM_DIRECTIONS).map(|_| normal()).collect();
    let right: Vec<f64> = (0..NUM_DIRECTIONS * NUM_PARAMETERS).map(|_| normal()).collect();
    let mut rows: Vec<f64> = (0..NUM_SAMPLES * NUM_PARAMETERS).map(|_| NOISE * normal()).collect();
    for (row, coefficients) in rows.chunks_exact_mut(NUM_PARAMETERS).zip(left.chunks_exact(NUM_DIRECTIONS)) {
        for (j, (coefficient, direction)) in
            coefficients.iter().zip(right.chunks_exact(NUM_PARAMETERS)).enumerate()
        {
            let weight = coefficient * (-(j as f64) / 10.0).exp();
            for (entry, x) in row.iter_mut().zip(direction) {
                *entry += weight * x;
            }
        }
    }
    let factors = Factored::new(NUM_SAMPLES, 1, NUM_PARAMETERS, rows).expect("finite factors");
    Reduced::of(&factors).expect("a spectrum")
}

fn threshold(reduced: &Reduced, optimizer: &str) {
    let optimizer: Optimizer = optimizer.parse().expect("a specification");
    let sampling =
        BatchSampling::new(SamplingScheme::WithoutReplacement, NUM_SAMPLES, BATCH_SIZE).expect("32 of 1000");
    let analysis = MeanSquare::new(reduced, optimizer, sampling).expect("matching sizes");
    black_box(analysis.max_learning_rate().expect("the iteration converges"));
}

/// To half a percent with 95 % confidence.
fn reshuffled(reduced: &Reduced) {
    let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, NUM_SAMPLES, BATCH_SIZE)
        .expect("32 of 1000");
    let epochs = Epochs::new(reduced, Optimizer::sgd(), sampling).expect("matching sizes");
    let stream = |index: usize| StreamKey::new(0, "reshuffled").number(index as u64).generator();
    let found = epochs.estimate(EpochOptions::default(), stream).expect("an estimate");
    assert!(found.settled, "{found:?}");
}
