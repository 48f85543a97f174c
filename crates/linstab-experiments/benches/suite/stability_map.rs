//! The full SGD map, what it is made of, and the kernel a skilled user would write.

use std::hint::black_box;
use std::path::Path;

use linstab_driver::engine::{self, Cells};
use linstab_driver::progress::Silent;
use linstab_driver::streams::StreamKey;
use linstab_driver::{CellStore, Context};
use linstab_dynamics::sampling::{BatchSampler, BitSet};
use linstab_dynamics::{BatchSampling, SamplingScheme};
use linstab_experiments::stability_map::{Config, Family, MapCells};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::harness::{Suite, seconds};

const SAMPLES: usize = 7;

pub(crate) fn register(suite: &mut Suite) {
    for (name, num_threads) in [("stability-map/sgd-full", 2), ("stability-map/sgd-full/1-thread", 1)] {
        suite.measure((name, "s"), SAMPLES, num_threads, || seconds(|| full_map(num_threads)));
    }
    suite.measure(("stability-map/sgd-full/fisher-yates", "s"), 3, 2, || seconds(|| fisher_yates_map(2)));
    for (name, batch_size) in
        [("sampler/subset-of-100/5", 5), ("sampler/subset-of-100/25", 25), ("sampler/subset-of-100/49", 49)]
    {
        suite.measure((name, "ns"), SAMPLES, 1, || draw_nanoseconds(batch_size));
    }
    suite.measure(("sampler/random-word", "ns"), SAMPLES, 1, || {
        let mut rng = StreamKey::new(1, "bench").generator();
        1e3 * seconds(|| {
            black_box((0..1_000_000).fold(0, |sum: u64, _| sum ^ rng.next_u64()));
        })
    });
}

/// One SGD map of the shipped configuration: learning rate 0.5, without replacement, 2450 cells, 10 runs each.
fn sgd_config() -> (std::path::PathBuf, Config) {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs");
    let mut config =
        Config::read(&configs.join("stability-map.toml")).expect("the shipped configuration is valid");
    config.optimizers = vec![Family::Sgd];
    config.sampling =
        vec![linstab_dynamics::sampling::Loader::Independent(SamplingScheme::WithoutReplacement)];
    config.learning_rate = vec![0.5];
    (configs, config)
}

/// The map as `reproduce` runs it: engine, checkpoints, exact columns and all.
fn full_map(num_threads: usize) {
    let (configs, config) = sgd_config();
    let cells = MapCells::new(&config, "bench");
    let context = Context {
        configs: &configs,
        quick: false,
        seed: None,
        num_threads,
        program: "bench",
        progress: &Silent,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let checkpoint = folder.join("stability-map.checkpoint");
    let _ = std::fs::remove_file(&checkpoint);
    let results =
        engine::run(&cells, &context, &CellStore::at(&checkpoint)).expect("the shipped configuration runs");
    assert_eq!(results.len(), cells.num_cells(), "every cell has a result");
    let _ = std::fs::remove_file(&checkpoint);
}

/// The same map by the kernel that a skilled user would write: partial Fisher-Yates shuffles of a kept index buffer, each
/// drawn coordinate updated, the squared norm kept incrementally. Multiplication instead of division for the index (Lemire).
fn fisher_yates_map(num_threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().expect("two threads");
    let cells: Vec<(usize, usize)> = (1..=49).flat_map(|b| (1..=50).map(move |sigma| (b, sigma))).collect();
    let num_stable =
        pool.install(|| cells.par_iter().filter(|&&(b, sigma)| fisher_yates_cell(b, sigma)).count());
    assert!((2222..=2234).contains(&num_stable), "{num_stable} stable cells");
}

fn fisher_yates_cell(b: usize, sigma: usize) -> bool {
    let n = 100;
    let step = 0.5 * 2.0 * n as f64 / sigma as f64 / b as f64;
    let private_factor = 1.0 - step;
    let mut order: Vec<u32> = (0..100).collect();
    let mut num_diverged = 0;
    for repetition in 0..10 {
        let mut rng =
            StreamKey::new(1, "fisher-yates").number((b * 100 + sigma) as u64).number(repetition).generator();
        let mut w: Vec<f64> = (0..=n - sigma).map(|_| rng.random()).collect();
        let mut norm: f64 = w.iter().map(|x| x * x).sum();
        let limit = 1000.0 * norm;
        for _ in 0..1000 {
            let mut shared = 0;
            for k in 0..b {
                let word = u64::from(rng.next_u32());
                let j = k + ((word * (n - k) as u64) >> 32) as usize;
                order.swap(k, j);
                let sample = order[k] as usize;
                if sample < sigma {
                    shared += 1;
                } else {
                    let x = &mut w[sample - sigma + 1];
                    norm -= *x * *x;
                    *x *= private_factor;
                    norm += *x * *x;
                }
            }
            norm -= w[0] * w[0];
            w[0] *= 1.0 - step * f64::from(shared);
            norm += w[0] * w[0];
            if norm > limit {
                num_diverged += 1;
                break;
            }
        }
    }
    num_diverged <= 5
}

fn draw_nanoseconds(batch_size: usize) -> f64 {
    const DRAWS: u32 = 1_000_000;
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 100, batch_size).expect("1 to 100");
    let mut sampler = BatchSampler::<[u64; 2]>::new(sampling);
    let mut rng = StreamKey::new(1, "bench").generator();
    let mut set = <[u64; 2]>::empty(100);
    let elapsed = seconds(|| {
        for _ in 0..DRAWS {
            sampler.draw_set(&mut rng, &mut set);
            black_box(&set);
        }
    });
    1e9 * elapsed / f64::from(DRAWS)
}
