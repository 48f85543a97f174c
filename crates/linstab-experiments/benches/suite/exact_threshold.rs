//! From per-sample gradients to the exact threshold: Gram matrix, reduction, top eigenvalue, certificate.

use std::hint::black_box;

use linstab_driver::streams::StreamKey;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced, packed, sum_of_sandwiches};
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{Suite, seconds};

const NUM_PARAMETERS: usize = 1000;

pub(crate) fn register(suite: &mut Suite) {
    for (name, num_samples, num_threads, samples) in [
        ("exact-threshold/n50/1-thread", 50, 1, 50),
        ("exact-threshold/n100/1-thread", 100, 1, 15),
        ("exact-threshold/n200/1-thread", 200, 1, 15),
        ("exact-threshold/n400/1-thread", 400, 1, 15),
        ("exact-threshold/n1000/1-thread", 1000, 1, 3),
        ("exact-threshold/n1000", 1000, 2, 5),
        ("exact-threshold/n2000", 2000, 2, 3),
    ] {
        let ensemble = std::cell::OnceCell::new();
        suite.measure((name, "s"), samples, num_threads, || {
            let ensemble = ensemble.get_or_init(|| gaussian(num_samples));
            pool(num_threads).install(|| seconds(|| threshold(ensemble)))
        });
    }
    let reduced = std::cell::OnceCell::new();
    suite.measure(("exact-threshold/application/n400/1-thread", "s"), 15, 1, || {
        let reduced = reduced.get_or_init(|| Reduced::of(&gaussian(400)).expect("finite factors"));
        let input = packed::from_fn(reduced.rank(), |i, j| f64::from(u8::from(i == j)));
        let mut output = vec![0.0; input.len()];
        pool(1).install(|| seconds(|| sum_of_sandwiches(reduced, &input, &mut output)))
    });
}

fn pool(num_threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().expect("a few threads")
}

/// Rank-one samples with standard normal factors over sqrt(P), as in a wide random network.
fn gaussian(num_samples: usize) -> Factored {
    let mut rng = StreamKey::new(0, "exact-threshold").number(num_samples as u64).generator();
    let scale = (NUM_PARAMETERS as f64).sqrt().recip();
    let mut normal = || {
        let x: f64 = StandardNormal.sample(&mut rng);
        scale * x
    };
    let rows = (0..num_samples * NUM_PARAMETERS).map(|_| normal()).collect();
    Factored::new(num_samples, 1, NUM_PARAMETERS, rows).expect("finite factors")
}

fn threshold(ensemble: &Factored) {
    let reduced = Reduced::of(ensemble).expect("finite factors");
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, reduced.num_samples(), 10)
        .expect("10 of many");
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).expect("matching sizes");
    black_box(analysis.max_learning_rate().expect("the iteration converges"));
}
