//! Runs experiments into a results folder.
//!
//! A run is one whole: if an earlier one left what this one would give, nothing is run. One experiment that fails does not take the
//! others with it: the results are completed without it, and all checkpoints are kept for the next attempt.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use crate::experiment::{Context, Experiment, Finding};
use crate::files::MANIFEST;
use crate::folder::{ResultsFolder, RunFolder};
use crate::manifest::{FailureRecord, FileRecord, Manifest, Provenance, RunRecord};
use crate::plan::{self, Task};
use crate::progress::{Ending, Progress};
use crate::{DriverError, Result};
use linstab_report as report;

/// What to run and where to put it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the experiments; empty for all.
    pub only: Vec<String>,
    /// Where configurations live.
    pub configs: PathBuf,
    /// The results folder.
    pub out: PathBuf,
    /// Reduced sizes.
    pub quick: bool,
    /// Overrides the seeds of the configurations.
    pub seed: Option<u64>,
    /// Number of worker threads, at least 1.
    pub num_threads: usize,
    /// Discards the checkpoints of an interrupted run.
    pub restart: bool,
    /// Runs the experiments even if nothing has changed.
    pub force: bool,
    /// Where the run takes place, for the manifest.
    pub provenance: Provenance,
}

impl Options {
    /// What experiments are given.
    pub fn context<'a>(&'a self, progress: &'a dyn Progress) -> Context<'a> {
        Context {
            configs: &self.configs,
            quick: self.quick,
            seed: self.seed,
            num_threads: self.num_threads,
            program: &self.provenance.program_sha256,
            progress,
        }
    }
}

/// What has been run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The results folder.
    pub out: PathBuf,
    /// Whether the results are in place. They are not if every experiment failed; earlier results are untouched then.
    pub complete: bool,
    /// Seconds the whole took.
    pub wall_time_secs: f64,
    /// The experiments, in order.
    pub outcomes: Vec<Outcome>,
}

/// What became of an experiment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub id: &'static str,
    /// How it ended.
    pub ending: Ending,
    /// The result in plain text, in short in its first line; that line alone if it was not run, empty if it failed.
    pub summary: String,
}

impl Report {
    /// The experiments that failed, each with its error.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.outcomes.iter().filter_map(|outcome| match &outcome.ending {
            Ending::Failed(error, _) => Some((outcome.id, error.as_str())),
            Ending::Completed(_) | Ending::Unchanged => None,
        })
    }
}

/// Runs the selected ones of `all` experiments, unless the results folder already holds what they would give. The folder is replaced
/// as a whole, at the end.
///
/// Every configuration is checked before anything runs. An experiment that fails leaves no file; its finished cells are kept for the
/// next attempt.
/// # Errors
/// A bad request, or whatever keeps the results from being written; earlier results are untouched then, also if it was an experiment
/// that could not write. That an experiment failed is not an error here: [`Report::failures`] says so.
pub fn reproduce(
    all: &[&'static dyn Experiment],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report> {
    reproduce_from(all, options, None, progress)
}

/// Cells that shards have computed.
pub(crate) struct Cells<'a> {
    /// The folder of the shards, as an error names it.
    pub(crate) of: &'a Path,
    /// Where the cells lie.
    pub(crate) folder: &'a Path,
    /// Numbers of shards for which they were dealt.
    pub(crate) counts: &'a [u32],
}

/// As [`reproduce`]; with `cells` nothing is computed but what follows from them.
///
/// # Errors
/// As [`reproduce`]; [`DriverError::Incomplete`] if cells are missing. Nothing is written then.
pub(crate) fn reproduce_from(
    all: &[&'static dyn Experiment],
    options: &Options,
    cells: Option<&Cells<'_>>,
    progress: &dyn Progress,
) -> Result<Report> {
    let started = Instant::now();
    let context = options.context(progress);
    let tasks = plan::tasks(all, &options.only, &context)?;
    let folder = RunFolder::open(&options.out, options.restart)?;
    let earlier = Manifest::read(folder.out());
    let plan = plan::plan(&tasks, earlier.as_ref(), folder.out(), options.force, &context);
    // The plan is one of computing: it says nothing of results that are made of cells.
    if cells.is_none() || plan.cause.is_none() {
        progress.plan(&plan);
    }
    let mut report =
        Report { out: options.out.clone(), complete: true, wall_time_secs: 0.0, outcomes: Vec::new() };
    if plan.cause.is_none() {
        let unchanged = |record: &RunRecord, task: &Task| Outcome {
            id: task.experiment.id(),
            ending: Ending::Unchanged,
            summary: record.headline.clone(),
        };
        let records = earlier.iter().flat_map(|earlier| &earlier.experiments);
        report.outcomes = records.zip(&tasks).map(|(record, task)| unchanged(record, task)).collect();
        folder.discard()?;
    } else {
        let manifest = Manifest::new(&options.provenance, options.quick, options.num_threads);
        let (outcomes, pages, missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut run = Run { context, folder, cells, manifest, outcomes, pages, missing };
        if let Err(error) = tasks.into_iter().try_for_each(|task| run.run_task(task)) {
            // Of use is what was computed; that it cannot be tidied up adds nothing to the error.
            let _ = run.folder.abandon();
            return Err(error);
        }
        (report.complete, report.outcomes) = run.complete(all, options, started)?;
    }
    report.wall_time_secs = started.elapsed().as_secs_f64();
    Ok(report)
}

/// A run under way.
struct Run<'a> {
    context: Context<'a>,
    folder: RunFolder,
    cells: Option<&'a Cells<'a>>,
    manifest: Manifest,
    outcomes: Vec<Outcome>,
    pages: Vec<report::Record>,
    /// What shards have not computed.
    missing: Vec<String>,
}

impl Run<'_> {
    fn run_task(&mut self, task: Task) -> Result<()> {
        let (id, begun) = (task.experiment.id(), Instant::now());
        let mut results = self.folder.part(id);
        if let Some(cells) = self.cells {
            results = results.gathered(cells.folder, cells.counts);
        }
        let attempt = task.run(&self.context, &results);
        let wall_time_secs = begun.elapsed().as_secs_f64();
        let mut summary = String::new();
        let ending = match attempt {
            Ok(finding) => {
                self.accept((task, &results), finding, wall_time_secs, &mut summary)?;
                Ending::Completed(wall_time_secs)
            }
            Err(error) if self.cells.is_some_and(|cells| error.is_of_cells(cells.of)) => {
                self.missing.push(error.with_causes());
                return Ok(());
            }
            // No fault of the experiment: results without it would take the place of earlier ones with it.
            Err(error @ DriverError::Io { .. }) => return Err(error),
            Err(error) => {
                let error = error.with_causes();
                tracing::info!(experiment = id, error, "failed");
                self.manifest.failures.push(FailureRecord { id: id.to_owned(), error: error.clone() });
                Ending::Failed(error, wall_time_secs)
            }
        };
        self.context.progress.ended(id, &ending);
        self.outcomes.push(Outcome { id, ending, summary });
        Ok(())
    }

    /// Adds the files and the finding of an experiment to the results.
    fn accept(
        &mut self,
        (task, part): (Task, &ResultsFolder),
        finding: Finding,
        wall_time_secs: f64,
        text: &mut String,
    ) -> Result<()> {
        let Task { experiment, key, inputs } = task;
        let id = experiment.id();
        for path in self.folder.accept(part)? {
            self.manifest.files.push(FileRecord::read(&self.folder.results(), &path, Some(id))?);
        }
        let Finding { config, seed, summary, section } = finding;
        *text = summary;
        self.pages.push(report::Record { id: id.to_owned(), seed, config, section });
        let num_threads = self.context.num_threads;
        let headline = text.lines().next().unwrap_or_default().to_owned();
        let record = RunRecord { id: id.to_owned(), key, headline, wall_time_secs, num_threads, inputs };
        self.manifest.experiments.push(record);
        Ok(())
    }

    /// Writes what is made of all experiments together, and puts the results in their place, if there are any.
    fn complete(
        mut self,
        all: &[&'static dyn Experiment],
        options: &Options,
        started: Instant,
    ) -> Result<(bool, Vec<Outcome>)> {
        if let Some(cells) = self.cells.filter(|_| !self.missing.is_empty()) {
            self.folder.abandon()?;
            let missing = self.missing.join("; ");
            return Err(DriverError::Incomplete { folder: cells.of.to_path_buf(), missing });
        }
        if self.pages.is_empty() {
            return Ok((false, self.outcomes));
        }
        let overview = overview(all, options, &self.pages, &self.manifest.failures);
        let page = self.page(&overview)?;
        for (path, text) in [("summary.txt", summary(&self.outcomes)), (report::PATH, page)] {
            self.folder.write(path, text.as_bytes())?;
            self.manifest.files.push(FileRecord::new(path, text.as_bytes()));
        }
        self.manifest.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.manifest.wall_time_secs = started.elapsed().as_secs_f64();
        self.folder.write(MANIFEST, &self.manifest.encode()?)?;
        let results = self.folder.results();
        if let Some(lost) = self.manifest.files.iter().find(|file| !file.holds(&results)) {
            return Err(DriverError::Lost { path: results.join(&lost.path) });
        }
        self.folder.complete(!self.manifest.failures.is_empty())?;
        Ok((true, self.outcomes))
    }

    /// The page, with the files that its sections name in it, but for those that are larger than a page.
    fn page(&self, overview: &report::Overview) -> Result<String> {
        let mut files = BTreeMap::new();
        let too_large = |path: &String| {
            self.manifest.files.iter().any(|file| file.path == *path && file.bytes > report::MAX_BYTES)
        };
        let embedded = self.pages.iter().flat_map(|record| record.section.embedded_files());
        for path in embedded.filter(|path| !too_large(path)) {
            let text = String::from_utf8(self.folder.read(&path)?)
                .map_err(|error| DriverError::Encode { what: "the page", message: error.to_string() })?;
            files.insert(path, text);
        }
        Ok(report::page(overview, &self.pages, &files))
    }
}

/// The run as the page tells of it.
fn overview(
    all: &[&'static dyn Experiment],
    options: &Options,
    pages: &[report::Record],
    failures: &[FailureRecord],
) -> report::Overview {
    let quick = if options.quick { " --quick" } else { "" };
    let seed = options.seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
    let missing = all.iter().map(|experiment| experiment.id());
    let missing = missing.filter(|id| pages.iter().all(|page| page.id != *id));
    let error =
        |id: &str| failures.iter().find(|failure| failure.id == id).map(|failure| failure.error.clone());
    report::Overview {
        quick: options.quick,
        flags: format!("{quick}{seed}"),
        configs: shown(&options.configs, std::env::current_dir().ok().as_deref()),
        revision: options.provenance.git_revision.clone(),
        missing: missing.map(|id| report::Missing { id: id.to_owned(), error: error(id) }).collect(),
    }
}

/// A path as a page may show it: below the folder of the caller, else its last two names; where a machine keeps things is nobody's
/// business.
fn shown(path: &Path, here: Option<&Path>) -> String {
    let relative = match here.and_then(|here| path.strip_prefix(here).ok()) {
        Some(below) => below.to_path_buf(),
        None if path.is_absolute() => {
            let names: Vec<_> = path.components().rev().take(2).collect();
            names.into_iter().rev().filter(|name| matches!(name, Component::Normal(_))).collect()
        }
        None => path.to_path_buf(),
    };
    relative.display().to_string()
}

/// The findings of all experiments as a text.
fn summary(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { id, ending, summary } in outcomes {
        text = match ending {
            Ending::Failed(error, _) => format!("{text}{id}\nfailed: {error}\n\n"),
            Ending::Completed(_) | Ending::Unchanged => format!("{text}{id}\n{summary}\n"),
        };
    }
    text
}

#[cfg(test)]
mod tests;
