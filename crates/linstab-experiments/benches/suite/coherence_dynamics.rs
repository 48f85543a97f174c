//! One training of Figure 4 with all its tracking: 50 epochs of SAM, 13 metrics after each; and the same with the exact threshold
//! of every epoch, which the paper does not have.

use std::hint::black_box;
use std::path::Path;

use linstab_driver::engine::Cells as _;
use linstab_experiments::coherence_dynamics::{Config, TrainingCells};

use crate::harness::{Suite, seconds};

pub(crate) fn register(suite: &mut Suite) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs/coherence-dynamics.toml");
    let config = Config::read(&path).expect("the configuration of the repository");
    for (name, thresholds) in [
        ("coherence-dynamics/one-run/1-thread", false),
        ("coherence-dynamics/one-run-with-thresholds/1-thread", true),
    ] {
        let config = Config { thresholds, ..config.clone() };
        let cells = TrainingCells::new(&config, "benchmark");
        let is_figure_4 = |rho: f64| (rho - 0.1).abs() < 1e-12;
        let cell =
            cells.cells().iter().position(|cell| is_figure_4(cell.rho)).expect("SAM 0.1 is configured");
        suite.measure((name, "s"), 20, 1, || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
            pool.install(|| seconds(|| drop(black_box(cells.compute(cell)))))
        });
    }
}
