//! Runs experiments into a results folder.

use std::path::PathBuf;
use std::time::Instant;

use crate::experiment::{self, Context, Experiment};
use crate::manifest::{self, Provenance, RunRecord};
use crate::output::ResultsFolder;
use crate::report;
use crate::{ExperimentError, Progress, Result};

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
    /// Where the run takes place, for the manifest.
    pub provenance: Provenance,
}

/// What has been run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The results folder.
    pub out: PathBuf,
    /// Seconds the whole took.
    pub wall_time_secs: f64,
    /// Name and plain-text summary of each experiment.
    pub summaries: Vec<(&'static str, String)>,
}

/// Runs the selected experiments; the results folder is replaced only when all of them are complete.
///
/// Every configuration is checked before anything runs.
/// # Errors
/// Whatever stops an experiment; earlier results are untouched then, and finished cells are kept for the next attempt.
pub fn reproduce(options: &Options, progress: &dyn Progress) -> Result<Report> {
    let started = Instant::now();
    let context = Context {
        configs: &options.configs,
        quick: options.quick,
        seed: options.seed,
        num_threads: options.num_threads,
        program: &options.provenance.program_sha256,
        progress,
    };
    let selected = select(&options.only)?;
    for experiment in &selected {
        experiment.check(&context)?;
    }
    let results = ResultsFolder::open(&options.out, options.restart)?;
    let (mut records, mut summaries, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    for experiment in selected {
        let begun = Instant::now();
        let finding = experiment.run(&context, &results)?;
        let id = experiment.id();
        let wall_time_secs = begun.elapsed().as_secs_f64();
        let (seed, config) = (finding.seed, finding.config.clone());
        pages.push(report::Record { id: id.to_owned(), seed, config, section: finding.section });
        records.push(RunRecord { id, seed: finding.seed, wall_time_secs, config: finding.config });
        summaries.push((id, finding.summary));
    }
    report::write(&results, &overview(options, &pages), &pages)?;
    let wall_time_secs = started.elapsed().as_secs_f64();
    let manifest = manifest::encode(
        &results,
        &options.provenance,
        options.quick,
        options.num_threads,
        wall_time_secs,
        &records,
    )?;
    results.complete(&manifest)?;
    Ok(Report { out: options.out.clone(), wall_time_secs, summaries })
}

/// The run as the page tells of it.
fn overview(options: &Options, pages: &[report::Record]) -> report::Overview {
    let quick = if options.quick { " --quick" } else { "" };
    let seed = options.seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
    let missing = experiment::ALL.iter().map(|experiment| experiment.id());
    let missing = missing.filter(|id| pages.iter().all(|page| page.id != *id));
    report::Overview {
        quick: options.quick,
        flags: format!("{quick}{seed}"),
        configs: options.configs.display().to_string(),
        revision: options.provenance.git_revision.clone(),
        missing: missing.map(|id| report::Missing { id: id.to_owned(), error: None }).collect(),
    }
}

fn select(only: &[String]) -> Result<Vec<&'static dyn Experiment>> {
    let known = |name: &String| experiment::ALL.iter().any(|experiment| experiment.id() == name);
    if let Some(name) = only.iter().find(|name| !known(name)) {
        let allowed = experiment::ALL.iter().map(|experiment| experiment.id()).collect::<Vec<_>>().join(", ");
        return Err(ExperimentError::UnknownExperiment { name: name.clone(), allowed });
    }
    let wanted =
        |experiment: &&&dyn Experiment| only.is_empty() || only.iter().any(|id| id == experiment.id());
    Ok(experiment::ALL.iter().filter(wanted).copied().collect())
}
