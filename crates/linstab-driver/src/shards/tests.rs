//! An experiment whose second computation needs the whole of its first, computed by shards.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use linstab_report::Section;

use super::*;
use crate::checkpoint::Identity;
use crate::engine;
use crate::experiment::{Finding, Inputs};
use crate::files::files_below;
use crate::progress::Silent;
use crate::reproduce;

/// What was computed: computation and cell.
static COMPUTED: Mutex<Vec<(u64, usize)>> = Mutex::new(Vec::new());
/// Tests look at what was computed one after another.
static TURN: Mutex<()> = Mutex::new(());

struct Chain;

/// `num_cells` powers of what came before.
struct Powers {
    before: u64,
    num_cells: usize,
    failing: bool,
}

impl engine::Cells for Powers {
    type Output = u64;
    type Error = DriverError;

    fn experiment(&self) -> &'static str {
        "chain"
    }

    fn num_cells(&self) -> usize {
        self.num_cells
    }

    fn identity(&self) -> Identity {
        Identity::new("program", &["chain", &self.before.to_string()])
    }

    fn compute(&self, index: usize) -> Result<u64> {
        if self.failing && index == 4 {
            return Err(DriverError::Encode { what: "cell 4", message: "on purpose".to_owned() });
        }
        COMPUTED.lock().unwrap().push((self.before, index));
        Ok((self.before + index as u64).wrapping_mul(6_364_136_223_846_793_005))
    }
}

static FAILING: AtomicUsize = AtomicUsize::new(0);

impl Experiment for Chain {
    fn id(&self) -> &'static str {
        "chain"
    }

    fn core_seconds(&self, _quick: bool) -> f64 {
        1.0
    }

    fn inputs(&self, context: &Context<'_>) -> Result<Inputs> {
        Inputs::new(&context.configs.display().to_string(), context.seed.unwrap_or(7))
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding> {
        let Inputs { seed, config, .. } = self.inputs(context)?;
        let failing = FAILING.load(Relaxed) > 0;
        let first = Powers { before: seed, num_cells: 20, failing };
        let first = engine::run(&first, context, &results.checkpoint("chain-first"))?;
        let before = first.iter().fold(1, |sum: u64, power| sum.wrapping_mul(31).wrapping_add(*power));
        let second = engine::run(
            &Powers { before, num_cells: 11, failing: false },
            context,
            &results.checkpoint("chain"),
        )?;
        results.write("tables/chain.csv", format!("{first:?} {second:?}").as_bytes())?;
        Ok(Finding { config, seed, summary: "chain\n".to_owned(), section: Section::default() })
    }
}

const ALL: [&'static dyn Experiment; 1] = [&Chain];

struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> (Self, std::sync::MutexGuard<'static, ()>) {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        FAILING.store(0, Relaxed);
        COMPUTED.lock().unwrap().clear();
        (Self(tempfile::tempdir().unwrap()), turn)
    }

    fn options(&self, out: &str) -> Options {
        Options {
            only: Vec::new(),
            configs: "configs".into(),
            out: self.0.path().join(out),
            quick: false,
            seed: None,
            num_threads: 2,
            restart: false,
            force: false,
            provenance: Provenance { program_sha256: "program".to_owned(), ..Provenance::default() },
        }
    }

    fn compute(&self, shard: &str) -> Result<ShardOutcome> {
        compute(&self.options("shards"), shard)
    }

    fn gather(&self, out: &str) -> Result<Report> {
        let Options { num_threads, provenance, .. } = self.options("");
        let folder = self.0.path().join("shards");
        let out = self.0.path().join(out);
        gather(&ALL, &GatherOptions { folder, out, configs: None, num_threads, provenance }, &Silent)
    }

    /// The table of a run on one machine, and that of the shards.
    fn tables(&self) -> [String; 2] {
        reproduce(&ALL, &self.options("whole"), &Silent).unwrap();
        self.gather("gathered").unwrap();
        ["whole", "gathered"]
            .map(|out| fs::read_to_string(self.0.path().join(out).join("tables/chain.csv")).unwrap())
    }

    fn refused(&self) -> String {
        let refused = self.gather("refused").unwrap_err().to_string();
        assert!(!self.0.path().join("refused").exists(), "nothing is written");
        assert!(!self.0.path().join(".refused.linstab-work").exists(), "and nothing left");
        refused
    }

    /// The files of a shard, of all computations.
    fn files(&self, shard: &str) -> Vec<PathBuf> {
        let root = self.0.path().join("shards/cells");
        let files = files_below(&root).unwrap().into_iter().map(|path| root.join(path));
        files.filter(|path| path.ends_with(format!("{shard}.checkpoint"))).collect()
    }
}

fn compute(options: &Options, shard: &str) -> Result<ShardOutcome> {
    let report = compute_shard(&ALL, options, shard.parse().unwrap(), &Silent)?;
    Ok(report.outcomes[0].1.clone())
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |path: String| (path.clone(), fs::read(folder.join(path)).unwrap());
    files_below(folder).unwrap().into_iter().map(read).collect()
}

fn computed() -> Vec<(u64, usize)> {
    std::mem::take(&mut COMPUTED.lock().unwrap())
}

fn waits(computation: &str, shard: &str) -> ShardOutcome {
    ShardOutcome::Waits { computation: computation.to_owned(), shard: shard.to_owned() }
}

#[test]
fn two_rounds_of_any_number_of_shards_give_the_results_of_one_machine() {
    for count in [1, 2, 3, 7, 40] {
        let (stage, _turn) = Stage::new();
        let round = || -> Vec<ShardOutcome> {
            (0..count).map(|index| stage.compute(&format!("{index}/{count}")).unwrap()).collect()
        };
        assert_eq!(round().ends_with(&[ShardOutcome::Complete]), count == 1, "of {count} shards");
        assert!(round().ends_with(&[ShardOutcome::Complete]), "of {count} shards");
        let all = computed();
        assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (31, 31), "each cell once");
        stage.gather("gathered").unwrap();
        assert_eq!(computed(), [], "gathering computes no cell");
        let [whole, gathered] = stage.tables();
        assert_eq!(whole, gathered);
    }
}

#[test]
fn cells_of_another_number_of_shards_count() {
    let (stage, _turn) = Stage::new();
    assert_eq!(stage.compute("0/2").unwrap(), waits("chain-first", "1/2"));
    assert_eq!(stage.compute("1/3").unwrap(), waits("chain-first", "2/3"));
    assert_eq!(computed().len(), 10 + 4, "of the cells of 1/3 half were there");
    assert_eq!(
        stage.refused().split_once(" is not").unwrap().1,
        " complete: 6 of 20 cells of chain-first are missing: run shards 1/2 again",
        "one shard of two, where of three it would be two"
    );
    assert_eq!(stage.compute("1/2").unwrap(), waits("chain", "0/2"));
    assert_eq!(stage.compute("2/3").unwrap(), waits("chain", "0/3"), "it needs no cell of its own kind");
    assert_eq!(stage.compute("0/3").unwrap(), waits("chain", "1/3"));
    assert_eq!(stage.compute("1/3").unwrap(), ShardOutcome::Complete);
    let all = computed();
    assert_eq!(all.len(), 6 + 11, "no cell twice");
    let [whole, gathered] = stage.tables();
    assert_eq!(whole, gathered);
}

#[test]
fn what_is_foreign_is_named_and_changes_nothing() {
    let (stage, _turn) = Stage::new();
    stage.compute("0/3").unwrap();
    let shared = stage.options("shards");
    for (options, why) in [
        (Options { seed: Some(8), ..shared.clone() }, "another seed"),
        (Options { configs: "other".into(), ..shared.clone() }, "another configuration of chain"),
        (Options { quick: true, ..shared.clone() }, "other sizes, quick or full"),
        (
            Options {
                provenance: Provenance { program_sha256: "other".to_owned(), ..Provenance::default() },
                ..shared.clone()
            },
            "another build of linstab",
        ),
    ] {
        let before = contents(stage.0.path());
        for shard in ["0/3", "1/3"] {
            let refused = compute(&options, shard).unwrap_err().to_string();
            assert!(refused.contains("holds foreign shards: 0/3"), "{refused}");
            assert!(refused.ends_with(&format!("(of {why})")), "{refused}");
        }
        let after = contents(stage.0.path());
        let changed: Vec<_> =
            after.iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
        assert!(changed.iter().all(|path| path.ends_with("-of-3.lock")), "{changed:?}");

        // Folders that were brought together by hand.
        let elsewhere = Options { out: stage.0.path().join(why), ..options };
        compute(&elsewhere, "2/3").unwrap();
        stage.compute("1/3").unwrap();
        let record = "shards/2-of-3.json";
        fs::copy(elsewhere.out.join(record), shared.out.join(record)).unwrap();
        let refused = stage.refused();
        assert!(refused.ends_with(&format!("holds foreign shards: 2/3 (of {why})")), "{refused}");
        fs::remove_file(shared.out.join(record)).unwrap();
    }
    fs::write(shared.out.join("shards/2-of-3.json"), "{").unwrap();
    let refused = stage.refused();
    assert!(
        refused.ends_with("2/3 (of another version, or damaged: run it again with --restart)"),
        "{refused}"
    );
    let restarted = Options { restart: true, ..stage.options("shards") };
    compute(&restarted, "2/3").unwrap();
}

#[test]
fn a_torn_file_is_refused_by_name_until_its_shard_starts_again() {
    let (stage, _turn) = Stage::new();
    for shard in ["0/2", "1/2", "0/2"] {
        stage.compute(shard).unwrap();
    }
    let files = stage.files("1-of-2");
    assert_eq!(files.len(), 2, "a file a computation");
    for file in files {
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        let refused = stage.refused();
        assert!(
            refused.contains("1-of-2.checkpoint is truncated or damaged: run shard 1/2 again"),
            "{refused}"
        );
        let ShardOutcome::Failed(error) = stage.compute("1/2").unwrap() else { panic!("it went on") };
        assert!(error.contains("1-of-2.checkpoint is truncated or damaged"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), &whole[..whole.len() - 1], "it is left alone");
        let restarted = Options { restart: true, ..stage.options("shards") };
        assert_eq!(compute(&restarted, "1/2").unwrap(), ShardOutcome::Complete);
        assert_eq!(fs::read(&file).unwrap(), whole, "and comes out as it was");
    }
    let [whole, gathered] = stage.tables();
    assert_eq!(whole, gathered);
}

#[test]
fn a_failed_cell_fails_its_shard_and_is_missing_in_the_end() {
    let (stage, _turn) = Stage::new();
    FAILING.store(1, Relaxed);
    let ShardOutcome::Failed(error) = stage.compute("1/3").unwrap() else { panic!("it went on") };
    assert_eq!(error, "cannot encode cell 4: on purpose");
    assert_eq!(stage.compute("0/3").unwrap(), waits("chain-first", "1/3"));
    assert_eq!(stage.compute("2/3").unwrap(), waits("chain-first", "1/3"));
    assert!(stage.refused().ends_with("run shards 1/3 again"), "{}", stage.refused());
    FAILING.store(0, Relaxed);
    for shard in ["1/3", "0/3", "2/3"] {
        stage.compute(shard).unwrap();
    }
    let [whole, gathered] = stage.tables();
    assert_eq!(whole, gathered);
}

#[test]
fn folders_that_are_none_of_shards_are_left_alone() {
    let (stage, _turn) = Stage::new();
    let shared = stage.0.path().join("shards");
    assert!(matches!(stage.gather("gathered"), Err(DriverError::NoShards { .. })), "no folder");
    fs::create_dir(&shared).unwrap();
    assert!(matches!(stage.gather("gathered"), Err(DriverError::NoShards { .. })), "an empty one");
    fs::write(shared.join("thesis.tex"), "precious").unwrap();
    assert!(matches!(stage.compute("0/1"), Err(DriverError::ForeignFolder { .. })));
    reproduce(&ALL, &stage.options("whole"), &Silent).unwrap();
    assert!(matches!(compute(&stage.options("whole"), "0/1"), Err(DriverError::ForeignFolder { .. })));
    fs::remove_file(shared.join("thesis.tex")).unwrap();
    stage.compute("0/1").unwrap();
    // Neither are shards replaced by results, nor do these lie among them.
    for out in ["shards", "shards/results", "shards/cells/results"] {
        assert!(matches!(stage.gather(out), Err(DriverError::AmongShards { .. })), "{out}");
    }
    assert!(!shared.join("results").exists());
    stage.gather("gathered").unwrap();
    // A file where the folder should be.
    let options = Options { out: stage.0.path().join("file"), ..stage.options("shards") };
    fs::write(&options.out, "precious").unwrap();
    assert!(matches!(compute(&options, "0/1"), Err(DriverError::ForeignFolder { .. })));
    assert_eq!(fs::read(&options.out).unwrap(), b"precious");
}

#[test]
fn what_a_killed_shard_left_beside_its_files_goes_when_it_starts_again() {
    let (stage, _turn) = Stage::new();
    stage.compute("0/2").unwrap();
    let shared = stage.0.path().join("shards");
    let folder = stage.files("0-of-2")[0].parent().unwrap().to_path_buf();
    let [own, other] =
        ["0-of-2", "1-of-2"].map(|stem| folder.join(format!(".linstab-{stem}.checkpoint-x.tmp")));
    let record = shared.join("shards/.linstab-0-of-2.json-y.tmp");
    for path in [&own, &other, &record] {
        fs::write(path, "half").unwrap();
    }
    stage.compute("0/2").unwrap();
    assert_eq!([&own, &other, &record].map(|path| path.exists()), [false, true, false]);
}

/// Neither waits for ever: a pipe in the place of a file, and shards that there are no cells for.
#[test]
fn pipes_and_shards_without_cells_are_no_obstacle() {
    let (stage, _turn) = Stage::new();
    assert_eq!(stage.compute("9999999/10000000").unwrap(), waits("chain-first", "0/10000000"));
    stage.compute("0/1").unwrap();
    stage.compute("0/1").unwrap();
    let file = &stage.files("0-of-1")[0];
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    assert!(stage.refused().contains("run shard 0/1 again with --restart"), "{}", stage.refused());
}

/// Gathering into a folder where a run was interrupted costs that run nothing unless there are results.
#[test]
fn checkpoints_of_an_interrupted_run_outlive_a_refusal() {
    let (stage, _turn) = Stage::new();
    FAILING.store(1, Relaxed);
    reproduce(&ALL, &stage.options("whole"), &Silent).unwrap();
    let kept = stage.0.path().join(".whole.linstab-work/checkpoints/chain.checkpoint");
    fs::write(&kept, "cells").unwrap();
    stage.compute("0/3").unwrap();
    assert!(matches!(stage.gather("whole"), Err(DriverError::Incomplete { .. })));
    assert_eq!(fs::read_to_string(&kept).unwrap(), "cells");
}

/// Counts how often one waits for another.
struct Waiting(AtomicUsize);
impl Progress for Waiting {
    fn start(&self, _experiment: &str, _num_done: usize, _num_cells: usize) {}
    fn advance(&self, _num_done: usize) {}
    fn finish(&self) {}
    fn waiting(&self, what: &str) {
        assert_eq!(what, "another process computes shard 0/1");
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn two_processes_of_one_shard_take_turns() {
    let (stage, _turn) = Stage::new();
    let (shard, waits) = ("0/1".parse().unwrap(), Waiting(AtomicUsize::new(0)));
    let folder = ShardFolder::create(&stage.0.path().join("shards")).unwrap();
    let held = folder.lock(shard, &Silent).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| compute_shard(&ALL, &stage.options("shards"), shard, &waits).unwrap());
        while waits.0.load(Relaxed) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(computed(), [], "it waits");
        drop(held);
        assert_eq!(second.join().unwrap().outcomes[0].1, ShardOutcome::Complete);
    });
}
