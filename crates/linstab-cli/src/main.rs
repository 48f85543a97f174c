//! The `linstab` command.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "the command line's output is its purpose")]

mod arguments;
mod progress;
mod provenance;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use linstab_experiments::{ExperimentError, Options, golden, reproduce};

use arguments::{Arguments, Command, ReproduceArguments, ThresholdsArguments};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const MOVED: u8 = 3;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
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

/// Prints help where it was asked for; otherwise what is wrong, in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        error.exit();
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    eprintln!("{} (see --help)", what.split_whitespace().collect::<Vec<_>>().join(" "));
    ExitCode::from(USAGE)
}

/// Writes to standard output. A reader that has gone away is no failure: the results are in place by then.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn run_reproduce(arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let progress = progress::start(arguments.quiet);
    let options = Options {
        only: arguments.only.clone(),
        configs: arguments.configs.clone(),
        out: arguments.out.clone(),
        quick: arguments.quick,
        seed: arguments.seed,
        num_threads: arguments.threads.map_or_else(available_threads, usize::from),
        restart: arguments.restart,
        provenance: provenance::of_this_run(),
    };
    let report = reproduce(&options, &*progress)?;
    if !arguments.quiet {
        let mut text = String::new();
        for (id, summary) in &report.summaries {
            text = format!("{text}{id}\n{summary}\n");
        }
        let (out, seconds) = (report.out.display(), report.wall_time_secs);
        let figures = report.out.join("figures");
        say(&format!("{text}results: {out} ({seconds:.1} s)\nfigures: {}\n", figures.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn run_thresholds(arguments: &ThresholdsArguments) -> anyhow::Result<ExitCode> {
    if arguments.bless {
        let moved = golden::bless(&arguments.folder)?;
        let lines: Vec<String> = moved
            .iter()
            .map(|case| format!("{}: {} -> {}\n", case.name, case.expected, case.found))
            .collect();
        say(&format!("{}{} golden thresholds rewritten\n", lines.concat(), moved.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let cases = golden::compare(&arguments.folder)?;
    let moved: Vec<String> = cases.iter().filter(|case| !case.holds()).map(describe).collect();
    let (all, held) = (cases.len(), cases.len() - moved.len());
    say(&format!("{}{all} golden thresholds, {held} hold, {} moved\n", moved.concat(), moved.len()))?;
    Ok(if moved.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}

fn describe(case: &golden::Comparison) -> String {
    let relative = (case.found - case.expected).abs() / case.expected.abs();
    format!(
        "moved: {} is {}, was {} (relative difference {relative:.1e}, tolerance {:.0e}; {})\n",
        case.name,
        case.found,
        case.expected,
        case.rtol,
        case.path.display()
    )
}
