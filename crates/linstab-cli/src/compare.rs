//! `linstab compare`: minima side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use linstab_analysis::files;
use linstab_analysis::observer::Unobserved;
use linstab_analysis::{
    AnalysisError, Minimum, Optimizer, Request, Source, Work, compare, error::shown, measure, page, units,
};

use linstab_driver::files::write_atomically;

use crate::analyze::Format;
use crate::available_threads;
use crate::say;

const HELP: &str = "\
Examples:
  linstab compare sgd.npy sam.npy --batch-size 8,32
  linstab compare epoch-10.npy epoch-20.npy epoch-30.npy \\
      --optimizer sgd:momentum=0.9 --format json

Each file holds gradients of the same samples at another minimum, as for
`analyze`. The first is the reference. Changes of thresholds have standard
errors by the infinitesimal jackknife, paired by samples, as if the samples
were a random part of many; what differs by more than two of them is said to
differ. Flatter and more stable are two things, and each is judged by its own
number.

Exit codes: 0 done, 1 failure, 2 bad request (files of unlike numbers of
samples or factors among them).";

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct CompareArguments {
    /// Files of per-sample gradients at two or more minima
    ///
    /// Of the same samples, in .npy, .npz or .safetensors; the first is the reference.
    #[arg(value_name = "FACTORS", num_args = 2.., required = true, help_heading = "Input")]
    files: Vec<PathBuf>,
    /// Multiplies every curvature, as for `analyze`
    #[arg(long, value_name = "X", default_value_t = 1.0, help_heading = "Input")]
    scale: f64,
    /// Memory for one file at a time, in bytes, KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = units::parse_bytes, help_heading = "Input")]
    memory_limit: usize,
    /// Samples a batch, one or several sizes
    ///
    /// Default: those of 1, 8, 32 that are not more than the samples.
    #[arg(long, value_name = "N,..", value_delimiter = ',', help_heading = "Training")]
    batch_size: Vec<usize>,
    /// Optimizer, NAME or NAME:KEY=VALUE,..; may be repeated
    ///
    /// Default: sgd and sgd:momentum=0.9.
    #[arg(long, value_name = "SPEC", help_heading = "Training")]
    optimizer: Vec<Optimizer>,
    /// Write a page with figures of what moved, one file
    ///
    /// Of three files or more also how thresholds and diagnostics went.
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Text for a person, or JSON
    #[arg(long, value_enum, default_value_t = Format::Human, help_heading = "Output")]
    format: Format,
}

pub(crate) fn run_compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    require_writable(arguments)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(available_threads()).build();
    let pool = pool.context("cannot start worker threads")?;
    let minima = arguments.files.iter().map(|path| pool.install(|| measured(path, arguments)));
    let minima: Vec<Minimum> = minima.collect::<Result<_, AnalysisError>>()?;
    let report = compare(&minima)?;
    if let Some(path) = &arguments.report {
        let words = std::env::args().skip(1);
        let command = words.fold("linstab".to_owned(), |line, word| format!("{line} {word}"));
        write_atomically(path, page::page_of_minima(&report, &command).as_bytes())?;
    }
    match arguments.format {
        Format::Human => say(&report.describe())?,
        Format::Json => {
            say(&(serde_json::to_string_pretty(&report).context("cannot encode the report")? + "\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a page that would replace one of the inputs.
fn require_writable(arguments: &CompareArguments) -> Result<(), AnalysisError> {
    let place = |path: &PathBuf| std::fs::canonicalize(path).ok();
    match &arguments.report {
        Some(path)
            if place(path).is_some_and(|target| {
                arguments.files.iter().filter_map(place).any(|read| read == target)
            }) =>
        {
            Err(AnalysisError::Option {
                name: "report".to_owned(),
                value: path.display().to_string(),
                allowed: "a file that is not read".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// The name of a file, with its folder where another file has the same name.
fn name(path: &Path, all: &[PathBuf]) -> String {
    let same = all.iter().filter(|other| other.file_name() == path.file_name()).count();
    match path.file_name() {
        Some(name) if same == 1 => name.to_string_lossy().into_owned(),
        _ => shown(path),
    }
}

fn measured(path: &Path, arguments: &CompareArguments) -> Result<Minimum, AnalysisError> {
    let source = Source::factors(files::open(path, None, "factors", arguments.memory_limit)?)?;
    let (sizes, n) = (source.sizes(), source.sizes().num_samples);
    let batch_sizes = if arguments.batch_size.is_empty() {
        Request::usual_batch_sizes(n)
    } else {
        Request::without_repeats(&arguments.batch_size)
    };
    let optimizers = if arguments.optimizer.is_empty() {
        vec![Optimizer::sgd(), Optimizer::sgd().with_momentum(linstab_analysis::analysis::USUAL_MOMENTUM)?]
    } else {
        arguments.optimizer.clone()
    };
    // Only the page of a sequence shows them.
    let diagnostics = arguments.report.is_some() && arguments.files.len() > 2;
    let request =
        Request { batch_sizes, optimizers, scale: arguments.scale, diagnostics, ..Request::default() };
    request.check(n)?;
    let work = (Work::of(&request, n), arguments.memory_limit);
    let grams = source.grams((arguments.scale, None), work, &Unobserved)?;
    measure(&name(path, &arguments.files), grams.view(), sizes, &request)
}
