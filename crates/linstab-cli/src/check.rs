//! `linstab check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use linstab_analysis::{Comparison, Work, baseline};

use crate::analyze::in_flags;
use crate::source::{InputArguments, in_pool, open, preconditioner};
use crate::{MOVED, say};

const CHECK_HELP: &str = "\
Examples:
  linstab analyze factors.npy --batch-size 32 --format json -o baseline.json
  linstab check factors.npy --against baseline.json --rtol 1e-3

Compared are the numbers of samples, factors and parameters, sharpness, trace,
the sharpest sample, the coherence sigma, and for each optimizer and batch size
of the baseline the largest stable learning rate and the limit of the full
batch. Not compared are the rank (rounding can move it), growth rates,
exponents, criteria and responsible samples.

Exit codes: 0 all hold, 3 some moved (a table says which and by how much), 1
failure, 2 bad request.";

#[derive(Debug, Args)]
#[command(after_long_help = CHECK_HELP)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    baseline: BaselineArguments,
}

/// What is compared with what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Baseline")]
struct BaselineArguments {
    /// Report of an earlier `linstab analyze --format json`
    ///
    /// Its batch sizes, optimizers and scale are used.
    #[arg(long, value_name = "BASELINE.json")]
    against: PathBuf,
    /// File of the preconditioner, if the baseline has an optimizer with one
    #[arg(long, value_name = "FILE")]
    preconditioner: Option<PathBuf>,
    /// Largest accepted relative difference of a number
    ///
    /// Thresholds agree where the intervals meet within which they are known: a few parts in a million for exact ones.
    #[arg(long, value_name = "X", default_value_t = 1e-6)]
    rtol: f64,
}

pub(crate) fn run_check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    compare(arguments).map_err(in_flags::<CheckArguments>)
}

fn compare(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let CheckArguments { input, baseline: BaselineArguments { against, preconditioner: divisor, rtol } } =
        arguments;
    let expected = baseline::read(against)?;
    let source = open(input)?;
    let preconditioner = preconditioner(&source, divisor.as_deref(), input)?;
    let optimizers: Vec<_> = expected.stability.iter().map(|line| line.training.optimizer).collect();
    let work = Work::of_thresholds(optimizers.len(), &optimizers);
    let sizes = source.sizes();
    let comparisons = in_pool(input, || {
        let scaled = (expected.scale, preconditioner.as_deref());
        let grams = source.grams(scaled, (work, input.memory_limit), input)?;
        baseline::compare(grams.view(), sizes, &expected, *rtol)
    })??;
    say(&baseline::describe(&comparisons))?;
    let all_hold = comparisons.iter().all(Comparison::holds);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}
