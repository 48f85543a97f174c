//! `linstab reproduce` and `linstab map`: from flags to a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use linstab_driver::progress::Silent;
use linstab_driver::{Options, reproduce};
use linstab_experiments::readme;
use linstab_experiments::stability_map::Forecast;

use crate::arguments::{MapArguments, ReproduceArguments, RunArguments};
use crate::experiments::experiments;
use crate::shard::run_shard;
use crate::summary::report_on;
use crate::{MOVED, available_threads, progress, provenance, say};

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
    let MapArguments { config, dry_run, cores, run, out } = arguments;
    if *dry_run {
        let options = options(vec![], config.clone(), out.clone(), run)?;
        let forecast = Forecast::of(&options.context(&Silent))?;
        say(&format!("{}: {}", config.display(), forecast.text(*cores)))?;
        return Ok(ExitCode::SUCCESS);
    }
    start(vec!["stability-map".to_owned()], config.clone(), out.clone(), run)
}

fn start(only: Vec<String>, configs: PathBuf, out: PathBuf, run: &RunArguments) -> anyhow::Result<ExitCode> {
    let options = options(only, configs, out, run)?;
    if let Some(shard) = run.shard.shard()? {
        return run_shard(&options, shard, run.quiet);
    }
    let progress = progress::start(run.quiet);
    report_on(&reproduce(&experiments(), &options, &*progress)?, run.quiet)
}

fn options(only: Vec<String>, configs: PathBuf, out: PathBuf, run: &RunArguments) -> anyhow::Result<Options> {
    Ok(Options {
        only,
        configs,
        out,
        quick: run.quick,
        seed: run.seed,
        num_threads: run.threads.map_or_else(available_threads, usize::from),
        restart: run.restart,
        force: run.force,
        provenance: provenance::of_this_run()?,
    })
}
