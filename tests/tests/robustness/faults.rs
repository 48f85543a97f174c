//! Every change to the file system that a run, a shard or gathering makes is made to fail, one after the other.
//!
//! A first run counts the changes; then there is a run for each of them and each kind of fault. Whatever happens, results are whole or
//! absent, earlier ones are kept, what went wrong is said in a line, and once the fault is gone the same command gives the results.

mod fault;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rayon::prelude::*;

use linstab_driver::disk::{Change, Shim, with_shim};
use linstab_driver::manifest::Provenance;
use linstab_driver::progress::Silent;
use linstab_driver::shards::{GatherOptions, ShardOutcome, compute_shard, gather};
use linstab_driver::{DriverError, Options, files, reproduce};

use crate::experiment::{ALL, NEW_SEED, OLD_SEED};
use crate::panics::caught;
use crate::parts::{Effort, Line};
use fault::{FAULTS, Fault, Faulty, Seen};
use linstab_tests::contents;

/// What is done under faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    FirstRun,
    RunOverEarlier,
    ResumedRun,
    RunThatStartsAgain,
    Shard,
    ShardThatStartsAgain,
    Gather,
    GatherOverEarlier,
    OneFile,
}

const SCENARIOS: [Scenario; 9] = [
    Scenario::FirstRun,
    Scenario::RunOverEarlier,
    Scenario::ResumedRun,
    Scenario::RunThatStartsAgain,
    Scenario::Shard,
    Scenario::ShardThatStartsAgain,
    Scenario::Gather,
    Scenario::GatherOverEarlier,
    Scenario::OneFile,
];

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    let known = [Scenario::FirstRun, Scenario::RunOverEarlier].map(|scenario| {
        let stage = Stage::new(scenario);
        let _ = stage.act();
        stage.results()
    });
    let [Some(new), Some(again)] = known else { panic!("a run without faults has results") };
    assert_eq!(new, again, "results are a function of the request");
    let wanted = SCENARIOS.iter().filter(|scenario| effort.wants(&what(**scenario)));
    wanted.map(|scenario| enumerate(*scenario, &new)).collect()
}

fn what(scenario: Scenario) -> String {
    format!("faults of the file system, {scenario}")
}

/// A negative control: half results, and lost ones, are found out.
pub(crate) fn controls() -> Vec<Line> {
    let stage = Stage::new(Scenario::RunOverEarlier);
    let old = stage.results();
    stage.act().expect("no fault");
    let new = stage.results().expect("a run has results");
    let case = Case { scenario: Scenario::RunOverEarlier, fault: Fault::Once, new: &new };
    let mut failures = Vec::new();
    if case.kept(&stage, old.as_ref(), true).is_err() {
        failures.push("whole results are taken for half ones".to_owned());
    }
    std::fs::remove_file(stage.out().join("tables/two.csv")).expect("a table that was written");
    if case.kept(&stage, old.as_ref(), false).is_ok() {
        failures.push("half results pass".to_owned());
    }
    std::fs::remove_dir_all(stage.out()).expect("a folder of results");
    if case.kept(&stage, old.as_ref(), false).is_ok() {
        failures.push("lost results pass".to_owned());
    }
    vec![Line { what: "control of faults".to_owned(), count: 3, failures, detail: String::new() }]
}

/// All changes of a scenario, with all faults.
fn enumerate(scenario: Scenario, new: &Files) -> Line {
    let changes = {
        let stage = Stage::new(scenario);
        let seen = stage.under(None, || drop(stage.act()));
        seen.take()
    };
    let cases: Vec<(Fault, usize)> =
        FAULTS.iter().flat_map(|fault| (0..changes.len()).map(|at| (*fault, at))).collect();
    let judged: Vec<Verdict> = cases
        .par_iter()
        .map(|&(fault, at)| {
            let case = Case { scenario, fault, new };
            let verdict = caught(|| case.judge(at)).unwrap_or_else(Err);
            verdict.map_err(|problem| format!("{case} at {at} ({}): {problem}", shown(&changes[at])))
        })
        .collect();
    let refused = judged.iter().filter(|verdict| **verdict == Ok(false)).count();
    let failures = judged.into_iter().filter_map(Result::err).collect();
    let detail = format!("{} changes, {} faults; {refused} refused in a line", changes.len(), FAULTS.len());
    Line { what: what(scenario), count: cases.len() as u64, failures, detail }
}

fn shown((change, path): &(Change, PathBuf)) -> String {
    let names: Vec<_> =
        path.components().rev().take(3).map(|part| part.as_os_str().to_string_lossy()).collect();
    format!("{change:?} {}", names.into_iter().rev().collect::<Vec<_>>().join("/"))
}

/// Whether something was completed in spite of a fault; or what is wrong.
type Verdict = Result<bool, String>;

type Files = BTreeMap<String, Vec<u8>>;

struct Case<'a> {
    scenario: Scenario,
    fault: Fault,
    new: &'a Files,
}

impl Case<'_> {
    /// Plays it with the fault at one change, and once more without.
    fn judge(&self, at: usize) -> Verdict {
        let stage = Stage::new(self.scenario);
        let old = stage.results();
        let mut outcome = Ok(());
        stage.under(Some((self.fault, at)), || outcome = stage.act());
        if let Err(line) = &outcome {
            if line.lines().count() != 1 || line.contains("panicked") {
                return Err(format!("said: {line}"));
            }
            if self.fault == Fault::Slow {
                return Err(format!("slow is no fault: {line}"));
            }
        }
        self.kept(&stage, old.as_ref(), outcome.is_ok())?;
        stage.act_again().map_err(|line| format!("once the fault is gone: {line}"))?;
        if stage.results().as_ref() != Some(self.expected(&stage)) {
            return Err("once the fault is gone: other results".to_owned());
        }
        stage.nothing_beside()?;
        Ok(outcome.is_ok())
    }

    /// Results are the new ones if all is well, else the earlier ones or the new ones, and never a part of either.
    fn kept(&self, stage: &Stage, old: Option<&Files>, completed: bool) -> Result<(), String> {
        let found = stage.results().or_else(|| stage.set_aside());
        let expected = self.expected(stage);
        let vanished = self.fault == Fault::AllVanishes;
        match &found {
            Some(found) if found == expected => Ok(()),
            _ if completed && stage.makes_results() => {
                Err("it says that all is well, and results are not".to_owned())
            }
            Some(found) if Some(found) == old => Ok(()),
            Some(_) => Err("half results".to_owned()),
            None if old.is_none() || vanished => Ok(()),
            None => Err("earlier results are lost".to_owned()),
        }
    }

    fn expected<'a>(&'a self, stage: &'a Stage) -> &'a Files {
        if self.scenario == Scenario::OneFile { &stage.one_file } else { self.new }
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?}", self.scenario, self.fault)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstRun => "a first run",
            Self::RunOverEarlier => "a run over earlier results",
            Self::ResumedRun => "a run that is resumed",
            Self::RunThatStartsAgain => "a run that discards its checkpoints",
            Self::Shard => "a shard",
            Self::ShardThatStartsAgain => "a shard that discards its cells",
            Self::Gather => "gathering",
            Self::GatherOverEarlier => "gathering over earlier results",
            Self::OneFile => "a file that is replaced",
        })
    }
}

/// A folder in which a scenario is played.
struct Stage {
    scenario: Scenario,
    root: tempfile::TempDir,
    one_file: Files,
}

impl Stage {
    /// Prepares what comes before, without faults.
    fn new(scenario: Scenario) -> Self {
        let one_file = Files::from([("report.json".to_owned(), b"new".repeat(1000))]);
        // A folder in memory, where there is one: these are many small runs.
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let stage = Self { scenario, root: root.expect("a temporary folder"), one_file };
        std::fs::create_dir(stage.all()).expect("a writable temporary folder");
        let earlier = [Scenario::RunOverEarlier, Scenario::ResumedRun, Scenario::GatherOverEarlier];
        if earlier.contains(&scenario) {
            stage.run(OLD_SEED, false).expect("no fault");
        }
        match scenario {
            Scenario::FirstRun | Scenario::RunOverEarlier => {}
            // At the last move: all cells are there then.
            Scenario::ResumedRun | Scenario::RunThatStartsAgain => stage.stop_at_the_end(),
            Scenario::Shard => stage.shard(1, false).expect("no fault"),
            Scenario::ShardThatStartsAgain | Scenario::Gather | Scenario::GatherOverEarlier => stage.shards(),
            Scenario::OneFile => {
                std::fs::create_dir(stage.out()).expect("a writable folder");
                std::fs::write(stage.out().join("report.json"), b"old").expect("a writable folder");
            }
        }
        stage
    }

    fn all(&self) -> PathBuf {
        self.root.path().join("all")
    }

    fn out(&self) -> PathBuf {
        self.all().join("results")
    }

    fn work(&self) -> PathBuf {
        match self.scenario {
            Scenario::Shard | Scenario::ShardThatStartsAgain => self.all().join("shards"),
            Scenario::OneFile => self.all().join("none"),
            _ => self.all().join(".results.linstab-work"),
        }
    }

    fn makes_results(&self) -> bool {
        !matches!(self.scenario, Scenario::Shard | Scenario::ShardThatStartsAgain)
    }

    /// The changes that something makes, under a fault.
    fn under(&self, fault: Option<(Fault, usize)>, act: impl FnOnce()) -> Seen {
        let seen = Seen::default();
        let shim = Faulty { fault, work: self.work(), all: self.all(), seen: Rc::clone(&seen) };
        with_shim(Box::new(shim), act);
        seen
    }

    /// What the scenario is about. Errors are as the command line says them.
    fn act(&self) -> Result<(), String> {
        match self.scenario {
            Scenario::FirstRun | Scenario::RunOverEarlier | Scenario::ResumedRun => self.run(NEW_SEED, false),
            Scenario::RunThatStartsAgain => self.run(NEW_SEED, true),
            Scenario::Shard => self.shard(0, false),
            Scenario::ShardThatStartsAgain => self.shard(0, true),
            Scenario::Gather | Scenario::GatherOverEarlier => self.gather(),
            Scenario::OneFile => {
                files::write_atomically(&self.out().join("report.json"), &self.one_file["report.json"])
                    .map_err(|error| error.with_causes())
            }
        }
    }

    /// The same, or what a person would do who has lost everything.
    fn act_again(&self) -> Result<(), String> {
        match self.scenario {
            Scenario::Shard
            | Scenario::ShardThatStartsAgain
            | Scenario::Gather
            | Scenario::GatherOverEarlier => {
                self.shards();
                self.gather()
            }
            Scenario::OneFile => {
                std::fs::create_dir_all(self.out()).map_err(|error| error.to_string())?;
                self.act()
            }
            _ => self.act(),
        }
    }

    fn options(&self, out: &str, seed: u64) -> Options {
        Options {
            only: Vec::new(),
            configs: PathBuf::from("configs"),
            out: self.all().join(out),
            quick: false,
            seed: Some(seed),
            num_threads: 1,
            restart: false,
            force: false,
            provenance: Provenance { program_sha256: "program".to_owned(), ..Provenance::default() },
        }
    }

    fn run(&self, seed: u64, restart: bool) -> Result<(), String> {
        let options = Options { restart, ..self.options("results", seed) };
        let report = reproduce(&ALL, &options, &Silent).map_err(|error| error.with_causes())?;
        let failures: Vec<_> = report.failures().map(|(id, error)| format!("{id}: {error}")).collect();
        // A disk is no fault of an experiment: results without it are not wanted.
        assert!(failures.is_empty(), "{failures:?}");
        Ok(())
    }

    fn stop_at_the_end(&self) {
        struct Stop;
        impl Shim for Stop {
            fn before(&mut self, change: Change, path: &Path) -> io::Result<()> {
                let last = change == Change::Rename && path.ends_with(".results.linstab-work/results");
                if last { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
        }
        with_shim(Box::new(Stop), || self.run(NEW_SEED, false)).expect_err("it cannot be completed");
    }

    fn shard(&self, index: u32, restart: bool) -> Result<(), String> {
        let options = Options { restart, ..self.options("shards", NEW_SEED) };
        let shard = linstab_driver::Shard::new(index, 2).expect("one of two");
        let report = compute_shard(&ALL, &options, shard, &Silent).map_err(|error| error.with_causes())?;
        let failed = report.outcomes.into_iter().find_map(|(_, outcome)| match outcome {
            ShardOutcome::Failed(error) => Some(error),
            ShardOutcome::Complete | ShardOutcome::Waits { .. } => None,
        });
        failed.map_or(Ok(()), Err)
    }

    fn shards(&self) {
        // Shards make no folder above their own: where it has vanished, somebody has to bring it back.
        std::fs::create_dir_all(self.all()).expect("no fault");
        for index in [0, 1, 0, 1] {
            self.shard(index, false).expect("no fault");
        }
    }

    fn gather(&self) -> Result<(), String> {
        let Options { out, num_threads, provenance, .. } = self.options("results", NEW_SEED);
        let options =
            GatherOptions { folder: self.all().join("shards"), out, configs: None, num_threads, provenance };
        gather(&ALL, &options, &Silent).map(drop).map_err(|error: DriverError| error.with_causes())
    }

    /// The files of the results, if they are there. Those that the manifest names must be.
    fn results(&self) -> Option<Files> {
        self.out().exists().then(|| contents(&self.out()))
    }

    /// Earlier results that wait to be put back by the next run.
    fn set_aside(&self) -> Option<Files> {
        let previous = self.all().join(".results.linstab-previous");
        previous.exists().then(|| contents(&previous))
    }

    fn nothing_beside(&self) -> Result<(), String> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(self.all()).map_err(|error| error.to_string())? {
            left.push(entry.map_err(|error| error.to_string())?.file_name());
        }
        left.retain(|name| name != "results" && name != "shards");
        if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
    }
}
