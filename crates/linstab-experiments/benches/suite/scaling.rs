//! How the time of `linstab analyze` grows with the numbers of samples and of factors a sample.

use crate::analyze::{Asked, NUM_THREADS, Shape, analysis, factors};
use crate::harness::{Suite, seconds};

/// Benchmarks, each with its number of samples and of factors a sample.
type Grid = [(&'static str, usize, usize)];

const SAMPLES: &Grid = &[
    ("scaling/n250-k1", 250, 1),
    ("scaling/n500-k1", 500, 1),
    ("scaling/n1000-k1", 1000, 1),
    ("scaling/n2000-k1", 2000, 1),
];
const SAMPLES_OF_TEN: &Grid =
    &[("scaling/n50-k10", 50, 10), ("scaling/n100-k10", 100, 10), ("scaling/n200-k10", 200, 10)];
const FACTORS: &Grid = &[
    ("scaling/n200-k2", 200, 2),
    ("scaling/n200-k4", 200, 4),
    ("scaling/n200-k8", 200, 8),
    ("scaling/n200-k16", 200, 16),
];

pub(crate) fn register(suite: &mut Suite) {
    for (name, samples, k) in [SAMPLES, SAMPLES_OF_TEN, FACTORS].concat() {
        suite.measure((name, "s"), 3, NUM_THREADS, || {
            // Twice as many parameters as factors.
            let path = factors(Shape(samples, k, 2 * samples * k));
            seconds(|| analysis(&path, &Asked::One))
        });
    }
    let by_samples = |grid: &Grid| grid.iter().map(|&(name, n, _)| (n, name)).collect::<Vec<_>>();
    suite.fit("scaling/exponent-of-n/k1", &by_samples(SAMPLES));
    suite.fit("scaling/exponent-of-n/k10", &by_samples(SAMPLES_OF_TEN));
    let by_factors: Vec<_> = FACTORS.iter().map(|&(name, _, k)| (k, name)).collect();
    suite.fit("scaling/exponent-of-k/n200", &by_factors);
}
