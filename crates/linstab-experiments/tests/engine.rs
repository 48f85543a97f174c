//! Results depend neither on the number of threads nor on interruptions, and cells not on each other.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use linstab_driver::Context;
use linstab_driver::checkpoint::{self, Identity};
use linstab_driver::engine::{self, Cells};
use linstab_driver::progress::{Progress, Silent};
use linstab_driver::{CellStore, DriverError, Result};
use linstab_experiments::stability_map::{Cell, CellResult, Config, MapCells};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs")
}

fn context<'a>(configs: &'a Path, num_threads: usize, progress: &'a dyn Progress) -> Context<'a> {
    Context { configs, quick: true, seed: Some(5), num_threads, program: "test", progress }
}

/// A few cells of every map, with few and short runs.
fn small_config(configs: &Path) -> Config {
    let mut config = Config::load(&context(configs, 1, &Silent)).unwrap();
    config.num_steps = 50;
    config.num_repetitions = 3;
    config.batch_size.step = 16;
    config.coherence.step = 21;
    config
}

fn run(config: &Config, num_threads: usize) -> Vec<(Cell, CellResult)> {
    let (configs, folder) = (configs(), tempfile::tempdir().unwrap());
    let cells = MapCells::new(config, "test");
    let results = engine::run(
        &cells,
        &context(&configs, num_threads, &Silent),
        &CellStore::at(&folder.path().join("checkpoint")),
    )
    .unwrap();
    results.into_iter().enumerate().map(|(index, result)| (cells.cell(index), result)).collect()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let config = small_config(&configs());
    let one = run(&config, 1);
    assert!(one.len() > 200, "{} cells", one.len());
    for num_threads in [2, 4] {
        assert_eq!(run(&config, num_threads), one, "{num_threads} threads");
    }
    let mut other = config;
    other.seed += 1;
    assert_ne!(run(&other, 2), one, "negative control: another seed");
}

#[test]
fn a_cell_does_not_depend_on_which_others_are_computed() {
    let config = small_config(&configs());
    let all = run(&config, 2);
    let mut fewer = config;
    fewer.optimizers.reverse();
    fewer.sampling.truncate(1);
    fewer.learning_rate.remove(0);
    fewer.coherence.from = 22;
    let some = run(&fewer, 2);
    assert!(!some.is_empty() && some.len() < all.len() / 3, "{} of {}", some.len(), all.len());
    for cell in &some {
        assert!(all.contains(cell), "{cell:?}");
    }
}

/// Squares, counted; cell 7 can be made to fail.
struct Squares {
    num_computed: AtomicUsize,
    failing: bool,
}

impl Squares {
    fn new(failing: bool) -> Self {
        Self { num_computed: AtomicUsize::new(0), failing }
    }
}

impl Cells for Squares {
    type Output = usize;
    type Error = DriverError;
    fn experiment(&self) -> &'static str {
        "squares"
    }
    fn num_cells(&self) -> usize {
        100
    }
    fn identity(&self) -> Identity {
        Identity::new("test", &["squares"])
    }
    fn compute(&self, index: usize) -> Result<usize> {
        if self.failing && index == 7 {
            return Err(DriverError::Encode { what: "cell 7", message: "on purpose".to_owned() });
        }
        self.num_computed.fetch_add(1, Ordering::Relaxed);
        Ok(index * index)
    }
}

#[test]
fn a_resumed_run_computes_only_what_is_missing() {
    let (configs, folder) = (configs(), tempfile::tempdir().unwrap());
    let path = folder.path().join("checkpoint");
    let cells = Squares::new(false);
    let stored: Vec<(u64, usize)> = (0..100).step_by(3).map(|i| (i as u64, i * i)).collect();
    checkpoint::write(&cells.identity().path(&path), cells.identity(), &stored).unwrap();
    let results = engine::run(&cells, &context(&configs, 2, &Silent), &CellStore::at(&path)).unwrap();
    assert_eq!(results, (0..100).map(|i| i * i).collect::<Vec<_>>());
    assert_eq!(cells.num_computed.load(Ordering::Relaxed), 66);
    // What it leaves behind is complete.
    let again = Squares::new(true);
    assert_eq!(engine::run(&again, &context(&configs, 2, &Silent), &CellStore::at(&path)).unwrap(), results);
    assert_eq!(again.num_computed.load(Ordering::Relaxed), 0);
}

#[test]
fn the_error_of_a_cell_stops_the_run_and_progress_is_told_the_truth() {
    #[derive(Default)]
    struct Last(AtomicUsize, AtomicUsize);
    impl Progress for Last {
        fn start(&self, _experiment: &str, num_done: usize, num_cells: usize) {
            assert_eq!((num_done, num_cells), (0, 100));
        }
        fn advance(&self, num_done: usize) {
            assert_eq!(self.0.swap(num_done, Ordering::Relaxed) + 1, num_done);
        }
        fn finish(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (configs, folder) = (configs(), tempfile::tempdir().unwrap());
    let path = folder.path().join("checkpoint");
    let failing = engine::run(&Squares::new(true), &context(&configs, 2, &Silent), &CellStore::at(&path));
    assert_eq!(failing.unwrap_err().to_string(), "cannot encode cell 7: on purpose");
    let last = Last::default();
    std::fs::remove_file(Squares::new(true).identity().path(&path)).unwrap_or_default();
    engine::run(&Squares::new(false), &context(&configs, 2, &last), &CellStore::at(&path)).unwrap();
    assert_eq!((last.0.into_inner(), last.1.into_inner()), (100, 1));
}
