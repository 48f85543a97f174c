//! The `linstab` command.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the command owns the clock and the environment of its run")]

/// Writes a line to standard error. The standard macro panics if it cannot; here nobody may be listening, and that is no reason to stop.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

mod analyze;
mod arguments;
mod check;
mod compare;
mod documents;
mod experiments;
mod gather;
mod progress;
mod provenance;
mod reproduce;
mod shard;
mod source;
mod summary;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use linstab_analysis::error::shown;
use linstab_analysis::{AnalysisError, Comparison};
use linstab_driver::DriverError;
use linstab_experiments::{ExperimentError, example_factors, golden};

use arguments::{Arguments, Command, MapArguments, ThresholdsArguments};

/// The output that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const MOVED: u8 = 3;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let outcome = match &arguments.command {
        Command::Reproduce(arguments) => reproduce::run_reproduce(arguments),
        Command::Gather(arguments) => gather::run_gather(arguments),
        Command::Thresholds(arguments) => run_thresholds(arguments),
        Command::Analyze(arguments) => analyze::run_analyze(arguments),
        Command::Check(arguments) => check::run_check(arguments),
        Command::Compare(arguments) => compare::run_compare(arguments),
        Command::Map(arguments) => run_map(arguments),
        Command::ExampleFactors { output } => write_example(output),
        Command::Completions { shell } => documents::completions(*shell),
        Command::Man => documents::man_page(),
        Command::InstallDocs { folder } => documents::install(folder),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let usage = error.downcast_ref::<DriverError>().is_some_and(DriverError::is_usage)
            || error.downcast_ref::<ExperimentError>().is_some_and(ExperimentError::is_usage)
            || error.downcast_ref::<AnalysisError>().is_some_and(AnalysisError::is_usage);
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

/// Says something on standard output. A reader that has gone away is no failure: the results are in place by then.
fn say(text: &str) -> anyhow::Result<()> {
    write_to_stdout(text.as_bytes())
}

fn write_to_stdout(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A configuration that is not there is named as it was given.
fn run_map(arguments: &MapArguments) -> anyhow::Result<ExitCode> {
    std::fs::metadata(&arguments.config)
        .with_context(|| format!("cannot read {}", shown(&arguments.config)))?;
    reproduce::run_map(arguments)
}

fn run_thresholds(arguments: &ThresholdsArguments) -> anyhow::Result<ExitCode> {
    if arguments.bless {
        let moved = golden::bless(&arguments.folder)?;
        let lines: Vec<String> = moved
            .iter()
            .map(|case| &case.comparison)
            .map(|case| format!("{}: {} -> {}\n", case.name, case.expected, case.found))
            .collect();
        say(&format!("{}{} golden thresholds rewritten\n", lines.concat(), moved.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let cases = golden::compare(&arguments.folder)?;
    let moved: Vec<String> = cases.iter().filter(|case| !case.comparison.holds()).map(describe).collect();
    let (all, held) = (cases.len(), cases.len() - moved.len());
    say(&format!("{}{all} golden thresholds, {held} hold, {} moved\n", moved.concat(), moved.len()))?;
    Ok(if moved.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}

fn describe(golden::GoldenNumber { path, comparison }: &golden::GoldenNumber) -> String {
    let Comparison { name, expected, found, rtol } = comparison;
    let relative = comparison.relative_change().abs();
    let (place, tolerance) = (path.display(), format!("{rtol:.0e}"));
    format!(
        "moved: {name} is {found}, was {expected} (relative difference {relative:.1e}, tolerance {tolerance}; {place})\n"
    )
}

/// The shipped example: gradients of a small network on optical digits.
fn write_example(output: &Path) -> anyhow::Result<ExitCode> {
    let example = example_factors::of_digits(Path::new(example_factors::DIGITS))?;
    let (n, p) = (example.labels.len(), example.num_parameters);
    let bytes = linstab_analysis::files::encode_safetensors(&[
        ("factors", &[n, p], &example.factors),
        ("labels", &[n], &example.labels),
    ]);
    if output.as_os_str() == STANDARD_OUTPUT {
        write_to_stdout(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    linstab_driver::files::write_atomically(output, &bytes)?;
    say(&format!("{n} samples, {p} parameters, loss {:.1e}: {}\n", example.loss, output.display()))?;
    Ok(ExitCode::SUCCESS)
}
