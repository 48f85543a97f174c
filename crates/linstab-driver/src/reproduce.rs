//! Runs experiments into a results folder.
//!
//! What an earlier run left there and would come out the same is carried over, the rest is run. One experiment that fails does not
//! take the others with it: the results are completed without it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use crate::experiment::{Context, Experiment, Finding};
use crate::manifest::{FailureRecord, Manifest, Provenance, RunRecord};
use crate::output::ResultsFolder;
use crate::plan::{self, Task};
use crate::progress::{Cause, Ending, Plan, Progress, Step};
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
    /// Runs the selected experiments even if nothing has changed.
    pub force: bool,
    /// Where the run takes place, for the manifest.
    pub provenance: Provenance,
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
    /// The experiments, in order; those whose results were carried over unasked among them.
    pub outcomes: Vec<Outcome>,
}

/// What became of an experiment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub id: &'static str,
    /// How it ended.
    pub ending: Ending,
    /// The result in plain text, in short in its first line; empty if it failed.
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

/// Runs what is selected and not current; the results folder is replaced as a whole, at the end.
///
/// Every configuration is checked before anything runs. An experiment that fails leaves no file; its finished cells are kept for the
/// next attempt.
/// # Errors
/// A bad request, or whatever keeps the results from being written; earlier results are untouched then. That an experiment failed
/// is not an error here: [`Report::failures`] says so.
pub fn reproduce(
    all: &[&'static dyn Experiment],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let started = Instant::now();
    let context = Context {
        configs: &options.configs,
        quick: options.quick,
        seed: options.seed,
        num_threads: options.num_threads,
        program: &options.provenance.program_sha256,
        progress,
    };
    let tasks = tasks(all, options, &context)?;
    let results = ResultsFolder::open(&options.out, options.restart)?;
    let mut run = Run { context, results, records: Vec::new(), outcomes: Vec::new(), findings: Vec::new() };
    let (plan, jobs) = run.prepare(tasks, options.force)?;
    progress.plan(&plan);
    for job in jobs {
        run.make(job)?;
    }
    run.complete(all, options, started)
}

/// An experiment that was found in the list, and whether it was asked for.
struct Candidate {
    experiment: &'static dyn Experiment,
    selected: bool,
    /// An experiment that nobody asked for may have a bad configuration.
    task: Option<Task>,
}

fn tasks(
    all: &[&'static dyn Experiment],
    options: &Options,
    context: &Context<'_>,
) -> Result<Vec<Candidate>> {
    let only = &options.only;
    if let Some(name) = only.iter().find(|name| !all.iter().any(|experiment| experiment.id() == **name)) {
        let allowed = all.iter().map(|experiment| experiment.id()).collect::<Vec<_>>().join(", ");
        return Err(DriverError::UnknownExperiment { name: name.clone(), allowed });
    }
    let candidate = |&experiment: &&'static dyn Experiment| {
        let selected = only.is_empty() || only.iter().any(|id| id == experiment.id());
        let task = Task::new(experiment, context);
        let task = if selected { Some(task?) } else { task.ok() };
        Ok(Candidate { experiment, selected, task })
    };
    all.iter().map(candidate).collect()
}

/// What is to be done about an experiment.
enum Job {
    Run(Task),
    Keep(&'static str, Box<(RunRecord, Finding)>),
}

/// A run under way.
struct Run<'a> {
    context: Context<'a>,
    results: ResultsFolder,
    records: Vec<RunRecord>,
    outcomes: Vec<Outcome>,
    findings: Vec<(&'static str, Finding)>,
}

impl Run<'_> {
    /// Carries over what is current, and plans the rest.
    fn prepare(&self, candidates: Vec<Candidate>, force: bool) -> Result<(Plan, Vec<Job>)> {
        let earlier = Manifest::read(self.results.out());
        let earlier = earlier.as_ref();
        let &Context { quick, num_threads, .. } = &self.context;
        let mut plan = Plan { steps: Vec::new(), dropped: Vec::new(), quick, num_threads };
        let mut jobs = Vec::new();
        for Candidate { experiment, selected, task } in candidates {
            let id = experiment.id();
            let carried = match &task {
                Some(_) if selected && force => Err(Cause::Forced),
                Some(task) => task.carry_over(earlier, &self.results, &self.context)?,
                None => Err(Cause::Unreadable),
            };
            match (carried, task) {
                (Ok(kept), _) => {
                    plan.steps.push(Step { id, cause: None, seconds: 0.0 });
                    jobs.push(Job::Keep(id, Box::new(kept)));
                }
                (Err(cause), Some(task)) if selected => {
                    let seconds = task.seconds(earlier, &self.context);
                    plan.steps.push(Step { id, cause: Some(cause), seconds });
                    jobs.push(Job::Run(task));
                }
                (Err(cause), _) => {
                    if earlier.is_some_and(|earlier| earlier.record(id).is_some()) {
                        plan.dropped.push((id, cause));
                    }
                }
            }
        }
        Ok((plan, jobs))
    }

    fn make(&mut self, job: Job) -> Result<()> {
        let (id, ending, summary) = match job {
            Job::Keep(id, kept) => {
                let (record, finding) = *kept;
                let summary = finding.summary.clone();
                self.records.push(record);
                self.findings.push((id, finding));
                (id, Ending::Unchanged, summary)
            }
            Job::Run(task) => {
                let id = task.experiment.id();
                let (ending, summary) = self.run_task(task)?;
                (id, ending, summary)
            }
        };
        self.context.progress.ended(id, &ending);
        self.outcomes.push(Outcome { id, ending, summary });
        Ok(())
    }

    fn run_task(&mut self, task: Task) -> Result<(Ending, String)> {
        let (id, begun) = (task.experiment.id(), Instant::now());
        let start = self.results.start(id);
        let attempt = self.attempt(&task);
        let wall_time_secs = begun.elapsed().as_secs_f64();
        match attempt {
            Ok(finding) => {
                let Task { key, inputs, .. } = task;
                let num_threads = self.context.num_threads;
                let record = RunRecord { id: id.to_owned(), key, wall_time_secs, num_threads, inputs };
                self.records.push(record);
                let summary = finding.summary.clone();
                self.findings.push((id, finding));
                Ok((Ending::Completed(wall_time_secs), summary))
            }
            Err(error) => {
                let error = error.with_causes();
                tracing::info!(experiment = id, error, "failed");
                self.results.discard_since(start)?;
                Ok((Ending::Failed(error, wall_time_secs), String::new()))
            }
        }
    }

    /// Runs an experiment. A panic in it is an error of this experiment alone.
    fn attempt(&self, task: &Task) -> Result<Finding> {
        let run = || task.experiment.run(&self.context, &self.results);
        let finding = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message =
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned();
            Err(DriverError::Panicked { message })
        })?;
        if (&finding.config, finding.seed) != (&task.inputs.config, task.inputs.seed) {
            return Err(DriverError::ConfigChanged);
        }
        let path = plan::finding_path(task.experiment.id());
        self.results.write(&path, &plan::encode_finding(&finding)?)?;
        Ok(finding)
    }

    /// Writes what is made of all experiments together, and puts the results in their place.
    fn complete(
        self,
        all: &[&'static dyn Experiment],
        options: &Options,
        started: Instant,
    ) -> Result<Report> {
        let Self { results, records, outcomes, findings, .. } = self;
        let mut report = Report { out: options.out.clone(), complete: false, wall_time_secs: 0.0, outcomes };
        let failures: Vec<FailureRecord> = report
            .failures()
            .map(|(id, error)| FailureRecord { id: id.to_owned(), error: error.to_owned() })
            .collect();
        if !findings.is_empty() {
            results.start_common();
            results.write("summary.txt", summary(&report.outcomes).as_bytes())?;
            let pages: Vec<report::Record> =
                findings.into_iter().map(|(id, finding)| page(id, finding)).collect();
            write_page(&results, &overview(all, options, &pages, &failures), &pages)?;
            let wall_time_secs = started.elapsed().as_secs_f64();
            let run = (&options.provenance, options.quick, options.num_threads);
            let failed: Vec<String> = failures.iter().map(|failure| failure.id.clone()).collect();
            let failed: Vec<&str> = failed.iter().map(String::as_str).collect();
            let manifest = Manifest::new(&results, run, wall_time_secs, records, failures)?;
            results.complete(&manifest.encode()?, &failed)?;
            report.complete = true;
        }
        report.wall_time_secs = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn page(id: &'static str, finding: Finding) -> report::Record {
    let Finding { config, seed, section, .. } = finding;
    report::Record { id: id.to_owned(), seed, config, section }
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
        configs: options.configs.display().to_string(),
        revision: options.provenance.git_revision.clone(),
        missing: missing.map(|id| report::Missing { id: id.to_owned(), error: error(id) }).collect(),
    }
}

/// Writes the page, with the files that its sections name in it.
fn write_page(
    results: &ResultsFolder,
    overview: &report::Overview,
    records: &[report::Record],
) -> Result<()> {
    let mut files = BTreeMap::new();
    for path in records.iter().flat_map(|record| record.section.embedded_files()) {
        let text = String::from_utf8(results.read(&path)?)
            .map_err(|error| DriverError::Encode { what: "the page", message: error.to_string() })?;
        files.insert(path, text);
    }
    results.write(report::PATH, report::page(overview, records, &files).as_bytes())
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
