//! A run in shards: each computes its cells into a folder that all of them share, and gathering makes results of these.
//!
//! A shard is nobody's servant: it reads what others left, waits for none, and writes no file that another one writes. Where an
//! experiment computes with what an earlier computation gave (`digits`, `claims`), a shard that ends before others is run once more.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cell_store::{ENDING, shard_file, shards_in};
use crate::disk;
use crate::experiment::{Context, Experiment};
use crate::files::{create_folder_below, is_there, write_atomically};
use crate::folder::{ResultsFolder, create_marked_folder};
use crate::manifest::{Manifest, Provenance, RunRecord};
use crate::plan::{self, Task};
use crate::progress::{Cause, Progress};
use crate::reproduce::{Cells, Options, Report, reproduce_from};
use crate::shard::{Shard, listed};
use crate::{DriverError, Result};

const RECORDS: &str = "shards";
const RECORD: &str = ".json";
const LOCK: &str = ".lock";
const CELLS: &str = "cells";

/// What a shard has done.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// The folder that the shards share.
    pub folder: PathBuf,
    /// Seconds it took.
    pub wall_time_secs: f64,
    /// The experiments, in order.
    pub outcomes: Vec<(&'static str, ShardOutcome)>,
}

/// What became of the cells that an experiment has for a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardOutcome {
    /// All cells of all shards are computed.
    Complete,
    /// Its cells of this computation, and of those before, are computed; those of this other shard are not.
    Waits {
        /// The computation.
        computation: String,
        /// The other shard.
        shard: String,
    },
    /// It stopped with this error.
    Failed(String),
}

/// What results are made of.
#[derive(Clone, Debug)]
pub struct GatherOptions {
    /// The folder that the shards share.
    pub folder: PathBuf,
    /// The results folder.
    pub out: PathBuf,
    /// Where configurations live, if no longer where the shards found them.
    pub configs: Option<PathBuf>,
    /// Number of worker threads, at least 1.
    pub num_threads: usize,
    /// Where this takes place, for the manifest.
    pub provenance: Provenance,
}

/// A shard as it tells of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    only: Vec<String>,
    configs: PathBuf,
    seed: Option<u64>,
    manifest: Manifest,
}

/// Computes the cells of a shard; `options.out` is the folder that all shards share. What it left there before is continued.
///
/// # Errors
/// A bad request, [`DriverError::ForeignFolder`] if the folder is not one of shards, [`DriverError::ForeignShards`] if it holds shards
/// of another request, [`DriverError::Io`]. That an experiment failed is not an error here: the report says so.
pub fn compute_shard(
    all: &[&'static dyn Experiment],
    options: &Options,
    shard: Shard,
    progress: &dyn Progress,
) -> Result<ShardReport> {
    let started = Instant::now();
    let context = options.context(progress);
    let tasks = plan::tasks(all, &options.only, &context)?;
    let folder = ShardFolder::create(&options.out)?;
    let lock = folder.lock(shard, progress)?;
    if lock.alone {
        folder.tidy(shard)?;
    }
    if options.restart {
        folder.discard(shard)?;
    }
    folder.refuse_foreign(&folder.records()?, &tasks, &context)?;
    folder.write(shard, &Record::new(options, &tasks))?;
    let results = ResultsFolder::of_shard(&folder.cells(), shard);
    let outcomes =
        tasks.iter().map(|task| (task.experiment.id(), ShardOutcome::of(task, &context, &results)));
    let outcomes = outcomes.collect();
    Ok(ShardReport { folder: folder.root, wall_time_secs: started.elapsed().as_secs_f64(), outcomes })
}

impl ShardOutcome {
    fn of(task: &Task, context: &Context<'_>, results: &ResultsFolder) -> Self {
        match task.run(context, results) {
            Ok(_) => Self::Complete,
            Err(DriverError::Awaits { computation, shard }) => Self::Waits { computation, shard },
            Err(error) => Self::Failed(error.with_causes()),
        }
    }
}

/// Makes results of the cells that shards have computed, the same as those of a run on one machine.
///
/// # Errors
/// [`DriverError::NoShards`]; [`DriverError::ForeignShards`] if not all shards are of one program, configuration and seed, and of this
/// program; [`DriverError::Incomplete`] if cells are missing; else as [`crate::reproduce()`]. Earlier results are untouched then.
pub fn gather(
    all: &[&'static dyn Experiment],
    options: &GatherOptions,
    progress: &dyn Progress,
) -> Result<Report> {
    let folder = ShardFolder { root: options.folder.clone() };
    folder.refuse_within(&options.out)?;
    let records = folder.records()?;
    let request = request(&records).ok_or_else(|| DriverError::NoShards { folder: folder.root.clone() })?;
    let run = Options {
        only: request.only.clone(),
        configs: options.configs.as_ref().unwrap_or(&request.configs).clone(),
        out: options.out.clone(),
        quick: request.manifest.quick,
        seed: request.seed,
        num_threads: options.num_threads,
        restart: false,
        force: false,
        provenance: options.provenance.clone(),
    };
    let context = run.context(progress);
    folder.refuse_foreign(&records, &plan::tasks(all, &run.only, &context)?, &context)?;
    let mut counts: Vec<u32> = records.keys().map(|shard| shard.count()).collect();
    counts.dedup();
    let cells = Cells { of: &folder.root, folder: &folder.cells(), counts: &counts };
    reproduce_from(all, &run, Some(&cells), progress)
}

/// What most of the shards were asked for, the first of equally many.
fn request(records: &BTreeMap<Shard, Record>) -> Option<&Record> {
    let votes = |record: &Record| records.values().filter(|other| other.keys().eq(record.keys())).count();
    records.values().rev().max_by_key(|record| votes(record))
}

impl Record {
    fn new(options: &Options, tasks: &[Task]) -> Self {
        let mut manifest = Manifest::new(&options.provenance, options.quick, options.num_threads);
        manifest.experiments = tasks
            .iter()
            .map(|task| RunRecord {
                id: task.experiment.id().to_owned(),
                key: task.key.clone(),
                headline: String::new(),
                wall_time_secs: 0.0,
                num_threads: options.num_threads,
                inputs: task.inputs.clone(),
            })
            .collect();
        let Options { only, configs, seed, .. } = options.clone();
        Self { only, configs, seed, manifest }
    }

    /// What its cells are a function of.
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.manifest.experiments.iter().map(|record| record.key.as_str())
    }
}

/// The folder that shards share: `shards` says what each of them was asked for, `cells` has a folder a computation in which each has
/// a file of its own. A shard writes to its own files alone.
struct ShardFolder {
    root: PathBuf,
}

impl ShardFolder {
    /// Creates the folder if it is not there, but not what it lies in: on a node that does not see the shared file system each shard would
    /// have a folder of its own, and nobody would miss the others before gathering.
    fn create(root: &Path) -> Result<Self> {
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            is_there(parent)?;
            return Err(DriverError::NoSharedFolder {
                folder: root.to_path_buf(),
                parent: parent.to_path_buf(),
            });
        }
        create_marked_folder(root)?;
        let folder = Self { root: root.to_path_buf() };
        create_folder_below(root, &folder.root.join(RECORDS))?;
        create_folder_below(root, &folder.cells())?;
        Ok(folder)
    }

    fn cells(&self) -> PathBuf {
        self.root.join(CELLS)
    }

    fn file(&self, shard: Shard, ending: &str) -> PathBuf {
        self.root.join(RECORDS).join(format!("{}{ending}", shard.file_stem()))
    }

    /// Two processes of one shard take turns. Where the file system has no locks they do not, and compute the same twice.
    fn lock(&self, shard: Shard, progress: &dyn Progress) -> Result<Lock> {
        let path = self.file(shard, LOCK);
        let file = disk::create(&path).map_err(DriverError::io("create", &path))?;
        let mut alone = true;
        match disk::try_lock(&file, &path) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.waiting(&format!("another process computes shard {shard}"));
                file.lock().map_err(DriverError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => {
                alone = false;
                tracing::warn!(%shard, %error, "no lock");
            }
        }
        Ok(Lock { _file: file, alone })
    }

    /// Removes what a twin that was killed left beside the files of this shard.
    fn tidy(&self, shard: Shard) -> Result<()> {
        let own = [RECORD, ENDING].map(|ending| disk::beside(&format!("{}{ending}", shard.file_stem())));
        let mut folders = vec![self.root.join(RECORDS)];
        folders.extend(entries(&self.cells())?);
        for path in folders.iter().map(|folder| entries(folder)).collect::<Result<Vec<_>>>()?.concat() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if own.iter().any(|own| name.starts_with(own)) {
                disk::remove_file(&path).map_err(DriverError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// All shards that have begun, each with what it was asked for.
    fn records(&self) -> Result<BTreeMap<Shard, Record>> {
        let folder = self.root.join(RECORDS);
        if !is_there(&folder)? {
            return Ok(BTreeMap::new());
        }
        let read = |shard: Shard| {
            let path = self.file(shard, RECORD);
            let bytes = fs::read(&path).map_err(DriverError::io("read", &path))?;
            let record =
                serde_json::from_slice(&bytes).ok().filter(|record: &Record| record.manifest.is_current());
            let what = || format!("{shard} (of another version, or damaged: run it again with --restart)");
            Ok((shard, record.ok_or_else(|| self.foreign(what()))?))
        };
        shards_in(&folder, RECORD)?.into_iter().map(read).collect()
    }

    fn write(&self, shard: Shard, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| DriverError::Encode {
            what: "the record of a shard",
            message: error.to_string(),
        })?;
        write_atomically(&self.file(shard, RECORD), &bytes)
    }

    /// Forgets what a shard left.
    fn discard(&self, shard: Shard) -> Result<()> {
        let mut stale = vec![self.file(shard, RECORD)];
        stale.extend(entries(&self.cells())?.iter().map(|folder| shard_file(folder, shard)));
        let there = stale.iter().filter(|path| path.exists());
        there
            .into_iter()
            .try_for_each(|path| disk::remove_file(path).map_err(DriverError::io("remove", path)))
    }

    /// Shards of another request than this one have nothing to add to it.
    fn refuse_foreign(
        &self,
        records: &BTreeMap<Shard, Record>,
        tasks: &[Task],
        context: &Context<'_>,
    ) -> Result<()> {
        let mut foreign: BTreeMap<String, Vec<Shard>> = BTreeMap::new();
        for (&shard, record) in records {
            if let Some(cause) = plan::cause(tasks, Some(&record.manifest), &self.root, context) {
                foreign.entry(words(&cause)).or_default().push(shard);
            }
        }
        let listed = |(why, shards): (&String, &Vec<Shard>)| format!("{} (of {why})", listed(shards));
        let what: Vec<String> = foreign.iter().map(listed).collect();
        if what.is_empty() { Ok(()) } else { Err(self.foreign(what.join(", "))) }
    }

    /// Results are not to lie among what they are made of.
    fn refuse_within(&self, out: &Path) -> Result<()> {
        let Ok(root) = fs::canonicalize(&self.root) else { return Ok(()) };
        let absolute = std::path::absolute(out).map_err(DriverError::io("resolve", out))?;
        let real = absolute.ancestors().find_map(|above| fs::canonicalize(above).ok());
        if real.is_some_and(|real| real.starts_with(root)) {
            return Err(DriverError::AmongShards { out: out.to_path_buf() });
        }
        Ok(())
    }

    fn foreign(&self, what: String) -> DriverError {
        DriverError::ForeignShards { folder: self.root.clone(), what }
    }
}

/// The lock of a shard.
struct Lock {
    _file: File,
    /// Whether nobody else can have it, which not all file systems say.
    alone: bool,
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    Ok(list.map_err(DriverError::io("list", folder))?.iter().map(fs::DirEntry::path).collect())
}

/// What a foreign shard is of.
fn words(cause: &Cause) -> String {
    match cause {
        Cause::Selection => "other experiments".to_owned(),
        Cause::Program => "another build of linstab".to_owned(),
        Cause::Sizes => "other sizes, quick or full".to_owned(),
        Cause::Seed => "another seed".to_owned(),
        Cause::Configuration(id) => format!("another configuration of {id}"),
        Cause::Data(id) => format!("other data of {id}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
