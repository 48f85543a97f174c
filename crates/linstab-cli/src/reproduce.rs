//! `linstab reproduce` and `linstab map`: from flags to a run, from its report to a summary.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use linstab_driver::progress::Ending;
use linstab_driver::{Options, Outcome, Report, reproduce};
use linstab_experiments::readme;

use crate::arguments::{MapArguments, ReproduceArguments, RunArguments};
use crate::experiments::experiments;
use crate::gather::run_shard;
use crate::{FAILURE, MOVED, available_threads, progress, provenance, say};

pub(crate) fn run_reproduce(arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let ReproduceArguments { only, run, out, configs, readme } = arguments;
    let code = start(only.clone(), configs.clone(), out.clone(), run)?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    if readme.update_readme {
        let drifts = readme::update(&readme.readme, out)?;
        if !run.quiet {
            say(&format!("{}: {} texts and pictures rewritten\n", readme.readme.display(), drifts.len()))?;
        }
    }
    if readme.check_readme { check_readme(&readme.readme, out, run.quiet) } else { Ok(code) }
}

/// Says where the README has drifted from the results.
fn check_readme(readme: &Path, out: &Path, quiet: bool) -> anyhow::Result<ExitCode> {
    let drifts = readme::check(readme, out)?;
    let path = readme.display();
    if drifts.is_empty() {
        if !quiet {
            say(&format!("{path} says what the results say\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for drift in &drifts {
        say(&format!("{drift}\n"))?;
    }
    eprintln!(
        "error: {path} has drifted from the results (- README, + results); `--update-readme` rewrites it"
    );
    Ok(ExitCode::from(MOVED))
}

pub(crate) fn run_map(arguments: &MapArguments) -> anyhow::Result<ExitCode> {
    let MapArguments { config, run, out } = arguments;
    start(vec!["stability-map".to_owned()], config.clone(), out.clone(), run)
}

fn start(only: Vec<String>, configs: PathBuf, out: PathBuf, run: &RunArguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        only,
        configs,
        out,
        quick: run.quick,
        seed: run.seed,
        num_threads: run.threads.map_or_else(available_threads, usize::from),
        restart: run.restart,
        force: run.force,
        provenance: provenance::of_this_run(),
    };
    if let Some(shard) = run.shard.shard()? {
        return run_shard(&options, shard, run.quiet);
    }
    let progress = progress::start(run.quiet);
    report_on(&reproduce(&experiments(), &options, &*progress)?, run.quiet)
}

/// Says what was found and what failed.
pub(crate) fn report_on(report: &Report, quiet: bool) -> anyhow::Result<ExitCode> {
    if !quiet {
        say(&summary(report))?;
    }
    for (id, error) in report.failures() {
        eprintln!("error: {id}: {error}");
    }
    let failed = report.failures().next().is_some();
    Ok(if failed { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

/// What was found, in a line an experiment, and where it lies.
fn summary(report: &Report) -> String {
    let mut text = String::new();
    for Outcome { id, ending, summary } in &report.outcomes {
        let _ = match ending {
            Ending::Failed(..) => writeln!(text, "{id}: FAILED; what is done of it is kept for the next try"),
            Ending::Completed(_) | Ending::Unchanged => {
                writeln!(text, "{id}: {}", summary.lines().next().unwrap_or_default())
            }
        };
    }
    let count =
        |of: fn(&Ending) -> bool| report.outcomes.iter().filter(|outcome| of(&outcome.ending)).count();
    let completed = count(|ending| matches!(ending, Ending::Completed(_)));
    let unchanged = count(|ending| matches!(ending, Ending::Unchanged));
    let _ = write!(text, "\n{completed} run, {unchanged} unchanged");
    let failed: Vec<&str> = report.failures().map(|(id, _)| id).collect();
    if !failed.is_empty() {
        let _ = write!(text, ", {} failed ({})", failed.len(), failed.join(", "));
    }
    let _ = writeln!(text, ", {:.1} s", report.wall_time_secs);
    if !report.complete {
        let _ = writeln!(text, "nothing is complete: {} is as it was", report.out.display());
        return text;
    }
    let _ = writeln!(text, "results: {}", report.out.display());
    for (name, path) in [("report", "report/index.html"), ("figures", "figures"), ("summary", "summary.txt")]
    {
        let path = report.out.join(path);
        if path.exists() {
            let _ = writeln!(text, "{name}: {}", path.display());
        }
    }
    text
}
