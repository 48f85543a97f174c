//! What an analysis starts from: factors or inner products in a file, and what may be spent on them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use linstab_analysis::error::shown;
use linstab_analysis::files::{self, STANDARD_INPUT};
use linstab_analysis::observer::Observer;
use linstab_analysis::{AnalysisError, Source, units};

use crate::available_threads;

/// Where factors are and what may be spent on them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArguments {
    /// File of per-sample gradients: .npy, .npz or .safetensors
    ///
    /// In f16, bf16, f32 or f64; `-` reads .npy from standard input.
    #[arg(value_name = "FACTORS", required_unless_present = "gram", conflicts_with = "gram")]
    pub(crate) factors: Option<PathBuf>,
    /// File of inner products in the place of factors
    ///
    /// (samples, samples), or (samples * factors, samples * factors), of the factors of sample 0, then of sample 1; symmetric and positive
    /// semidefinite to 1e-5 of the largest.
    #[arg(long, value_name = "FILE")]
    pub(crate) gram: Option<PathBuf>,
    /// Factors a sample of the inner products
    ///
    /// Default: 1, or what a shape (samples, factors, samples, factors) says.
    #[arg(long, value_name = "K", conflicts_with = "factors")]
    pub(crate) num_factors: Option<usize>,
    /// Tensor of a .npz or .safetensors file
    ///
    /// Default: the only one, or the one called `factors`.
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// Memory for the product and its analysis, in bytes, KiB, MiB or GiB
    ///
    /// Factors that do not fit are read in blocks.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = units::parse_bytes)]
    pub(crate) memory_limit: usize,
    /// Worker threads; they change the time, never the results
    ///
    /// Default: one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Do not say on standard error what will be read and what it takes
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Opens what is named; only its header is read, but of inner products all.
pub(crate) fn open(input: &InputArguments) -> Result<Source<'static>, AnalysisError> {
    let tensor = |path, usual| files::open(path, input.tensor.as_deref(), usual, input.memory_limit);
    match &input.gram {
        Some(path) => Source::gram(tensor(path, "gram")?, input.num_factors, input.memory_limit),
        None => Source::factors(tensor(input.path(), "factors")?),
    }
}

/// Reads the preconditioner beside it, if there is one.
pub(crate) fn preconditioner(
    source: &Source<'_>,
    path: Option<&Path>,
    input: &InputArguments,
) -> Result<Option<Vec<f64>>, AnalysisError> {
    let read = |path| source.preconditioner(files::open(path, None, "preconditioner", input.memory_limit)?);
    path.map(read).transpose()
}

/// Says on standard error what an analysis will take.
impl Observer for InputArguments {
    fn announced(&self, what: &str) {
        if !self.quiet {
            eprintln!("{}: {what}", display(self.path()));
        }
    }
}

impl InputArguments {
    pub(crate) fn path(&self) -> &Path {
        self.factors.as_deref().or(self.gram.as_deref()).unwrap_or(Path::new(STANDARD_INPUT))
    }
}

/// A path for a person.
fn display(path: &Path) -> String {
    if path.as_os_str() == STANDARD_INPUT { "standard input".to_owned() } else { shown(path) }
}

/// Works on the threads that were asked for.
pub(crate) fn in_pool<T: Send>(input: &InputArguments, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let num_threads = input.threads.map_or_else(available_threads, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build();
    Ok(pool.with_context(|| format!("cannot start {num_threads} worker threads"))?.install(work))
}
