//! `linstab gather`: from shards to results.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use linstab_driver::shards::{GatherOptions, gather};

use crate::experiments::experiments;
use crate::progress;
use crate::summary::report_on;
use crate::{available_threads, provenance};

const GATHER_HELP: &str = "\
Examples:
  linstab reproduce --shard 0/2 --out target/shards
  linstab reproduce --shard 1/2 --out target/shards
  linstab gather target/shards --out target/gathered

The results are those of a run on one machine, file by file. What shards have
not computed is named, with the shards that would; shards of another program,
configuration or seed are named, too. Nothing is written then.
Exit codes: 0 done, 1 failure (something is missing or foreign), 2 bad request.";

#[derive(Debug, Args)]
#[command(after_long_help = GATHER_HELP)]
pub(crate) struct GatherArguments {
    /// The folder that the shards share
    #[arg(value_name = "DIR", help_heading = "Input")]
    pub(crate) folder: PathBuf,
    /// Folder of the configurations, for `map` the configuration
    ///
    /// Default: where the shards found them.
    #[arg(long, value_name = "PATH", help_heading = "Input")]
    pub(crate) configs: Option<PathBuf>,
    /// Worker threads. Default: one a core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Run")]
    pub(crate) threads: Option<u16>,
    /// Print nothing but errors
    #[arg(long, short, help_heading = "Run")]
    pub(crate) quiet: bool,
    /// Results folder
    ///
    /// It is replaced as a whole, and only if nothing is missing.
    #[arg(long, value_name = "RESULTS", help_heading = "Output")]
    pub(crate) out: PathBuf,
}

pub(crate) fn run_gather(arguments: &GatherArguments) -> anyhow::Result<ExitCode> {
    let GatherArguments { folder, out, configs, threads, quiet } = arguments;
    let progress = progress::start(*quiet);
    let options = GatherOptions {
        folder: folder.clone(),
        out: out.clone(),
        configs: configs.clone(),
        num_threads: threads.map_or_else(available_threads, usize::from),
        provenance: provenance::of_this_run()?,
    };
    report_on(&gather(&experiments(), &options, &*progress)?, *quiet)
}
