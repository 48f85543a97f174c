//! The `linstab` command.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line's output is its purpose")]

mod arguments;
mod progress;
mod provenance;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use linstab_experiments::{ExperimentError, Options, golden, reproduce};

use arguments::{Arguments, Command, ReproduceArguments, ThresholdsArguments};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const MOVED: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Reproduce(arguments) => run_reproduce(arguments),
        Command::Thresholds(arguments) => run_thresholds(arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let usage = error.downcast_ref::<ExperimentError>().is_some_and(ExperimentError::is_usage);
        ExitCode::from(if usage { USAGE } else { FAILURE })
    })
}

fn run_reproduce(arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let progress = progress::start(arguments.quiet);
    let options = Options {
        only: arguments.only.clone(),
        configs: arguments.configs.clone(),
        out: arguments.out.clone(),
        quick: arguments.quick,
        seed: arguments.seed,
        num_threads: arguments.threads.map_or_else(available_threads, std::num::NonZero::get),
        restart: arguments.restart,
        provenance: provenance::of_this_run(),
    };
    let report = reproduce(&options, &*progress)?;
    if !arguments.quiet {
        for (id, summary) in &report.summaries {
            println!("{id}\n{summary}");
        }
        println!("results: {} ({:.1} s)", report.out.display(), report.wall_time_secs);
        println!("figures: {}", report.out.join("figures").display());
    }
    Ok(ExitCode::SUCCESS)
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn run_thresholds(arguments: &ThresholdsArguments) -> anyhow::Result<ExitCode> {
    if arguments.bless {
        let moved = golden::bless(&arguments.folder).context("golden thresholds")?;
        for case in &moved {
            println!("{}: {} -> {}", case.name, case.expected, case.found);
        }
        println!("{} golden thresholds rewritten", moved.len());
        return Ok(ExitCode::SUCCESS);
    }
    let cases = golden::compare(&arguments.folder).context("golden thresholds")?;
    let moved: Vec<_> = cases.iter().filter(|case| !case.holds()).collect();
    for case in &moved {
        let relative = (case.found - case.expected).abs() / case.expected.abs();
        println!(
            "moved: {} is {}, was {} (relative difference {relative:.1e}, tolerance {:.0e}; {})",
            case.name,
            case.found,
            case.expected,
            case.rtol,
            case.path.display()
        );
    }
    println!("{} golden thresholds, {} hold, {} moved", cases.len(), cases.len() - moved.len(), moved.len());
    Ok(if moved.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}
