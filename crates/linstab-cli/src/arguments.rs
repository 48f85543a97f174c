//! Flags.

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand};

use crate::analyze::AnalyzeArguments;
use crate::check::CheckArguments;
use crate::compare::CompareArguments;
use crate::gather::GatherArguments;
use crate::shard::ShardArguments;

const REPRODUCE_HELP: &str = "\
Examples:
  linstab reproduce --quick --out target/quick
  linstab reproduce --only stability-map --seed 7 --threads 1
  linstab reproduce --shard 3/8 \\
      --out shards              one of eight; see linstab gather --help

A run is one whole: nothing is run if the folder already holds its results,
that is if experiments, program, configuration, seed, data and sizes are the
same and every file is as it was written; else all of it is. An interrupted run
continues where it stopped. An experiment that fails does not stop the others;
it is named at the end. RUST_LOG=info logs what happens.
Exit codes: 0 done, 1 failure (of one experiment at least), 2 bad request, 3
the README says something else.";

const MAP_HELP: &str = "\
Examples:
  linstab map data/configs/stability-map.toml --quick --out target/map
  linstab map mine.toml --seed 7
  linstab map mine.toml --dry-run

Exit codes: 0 done, 1 failure, 2 bad request.";

/// The folder that shards share by default.
const SHARDS: [(&str, ArgPredicate, &str); 2] = [
    ("shard", ArgPredicate::IsPresent, "target/shards"),
    ("shard_from_env", ArgPredicate::IsPresent, "target/shards"),
];

/// Will this minimum hold? Exact stability of SGD, SAM and their relatives near a minimum.
#[derive(Debug, Parser)]
#[command(name = "linstab", version, max_term_width = 80)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the experiments of the paper: tables, figures and a manifest.
    Reproduce(ReproduceArguments),
    /// Make results of the cells that shards have computed, the same as those of a run on one machine.
    Gather(GatherArguments),
    /// Analyse a file of per-sample gradients: how large a learning rate does this minimum bear?
    Analyze(Box<AnalyzeArguments>),
    /// Check that the thresholds of a file are those of an earlier analysis.
    Check(CheckArguments),
    /// Compare minima of the same samples: which is flatter, and which bears the larger learning rate?
    Compare(CompareArguments),
    /// Draw the stability map of a configuration.
    Map(MapArguments),
    /// Write the example that `analyze` is shown on: gradients of a small network trained on optical digits.
    ExampleFactors {
        /// The file; it is replaced as a whole. `-` is standard output
        #[arg(long, short, value_name = "FILE", default_value = "data/digits-factors.safetensors")]
        output: PathBuf,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual, in roff: the program's page and one for each command.
    Man,
    /// Install completions for bash, zsh and fish, and the manual, below a data folder.
    InstallDocs {
        /// The folder: `~/.local/share` for yourself, `/usr/local/share` for all
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Recompute the golden thresholds and report those that moved.
    Thresholds(ThresholdsArguments),
}

/// How experiments are run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RunArguments {
    /// Reduced sizes, a few seconds in all; cells of the maps come out as in the full run
    #[arg(long)]
    pub(crate) quick: bool,
    /// Root of all random streams. Default: the seed of each configuration
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Worker threads; they change the time, never the results. Default: one a core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Run even if nothing has changed since the last run into the same folder
    #[arg(long)]
    pub(crate) force: bool,
    /// Discard the checkpoints of an interrupted run instead of continuing it
    #[arg(long)]
    pub(crate) restart: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) shard: ShardArguments,
}

#[derive(Debug, Args)]
#[command(after_long_help = REPRODUCE_HELP)]
pub(crate) struct ReproduceArguments {
    /// Run only this experiment; may be repeated
    ///
    /// The results hold what was asked for. Default: all.
    #[arg(long, value_name = "ID", value_parser = crate::experiments::known_experiments(), help_heading = "Experiments")]
    pub(crate) only: Vec<String>,
    /// Folder of the configurations, one ID.toml an experiment
    #[arg(long, value_name = "DIR", default_value = "data/configs", help_heading = "Experiments")]
    pub(crate) configs: PathBuf,
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Results folder
    ///
    /// It is replaced as a whole, and only once everything is complete. Default: target/reproduce, with --only
    /// target/reproduce-only, and for shards target/shards.
    #[arg(
        long,
        help_heading = "Output",
        value_name = "DIR",
        default_value = "target/reproduce",
        default_value_ifs(SHARDS),
        default_value_if("only", ArgPredicate::IsPresent, "target/reproduce-only"),
        hide_default_value = true
    )]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) readme: ReadmeArguments,
}

/// What becomes of the README: only of a full run, with the seeds of the configurations.
#[derive(Debug, Args)]
#[command(next_help_heading = "README")]
pub(crate) struct ReadmeArguments {
    /// Write the numbers and pictures of the README anew, from these results
    #[arg(long, conflicts_with_all = ["quick", "only", "seed", "shard", "shard_from_env", "check_readme"])]
    pub(crate) update_readme: bool,
    /// Say where the numbers and pictures of the README are not those of these results
    #[arg(long, conflicts_with_all = ["quick", "only", "seed", "shard", "shard_from_env"])]
    pub(crate) check_readme: bool,
    /// The README; pictures are beside it, in data/readme
    #[arg(long, value_name = "FILE", default_value = "README.md")]
    pub(crate) readme: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all hold, 3 some moved, 1 failure, 2 bad request.")]
pub(crate) struct ThresholdsArguments {
    /// Folder of the golden TOML files
    #[arg(long, value_name = "DIR", default_value = "data/golden", help_heading = "Input")]
    pub(crate) folder: PathBuf,
    /// Rewrite the values that moved instead of reporting them
    #[arg(long, help_heading = "Output")]
    pub(crate) bless: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = MAP_HELP)]
pub(crate) struct MapArguments {
    /// Configuration, a TOML file as data/configs/stability-map.toml
    #[arg(value_name = "CONFIG.toml", help_heading = "Input")]
    pub(crate) config: PathBuf,
    /// Say what the map will take (cells, core hours, memory, disk), from some of its cells that are computed for it
    #[arg(long, conflicts_with_all = ["shard", "shard_from_env"])]
    pub(crate) dry_run: bool,
    /// Number of cores that --dry-run projects to
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "dry_run", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cores: u32,
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Results folder
    ///
    /// It is replaced as a whole, and only once everything is complete. Default: target/map, and for shards target/shards.
    #[arg(
        long,
        help_heading = "Output",
        value_name = "DIR",
        default_value = "target/map",
        default_value_ifs(SHARDS),
        hide_default_value = true
    )]
    pub(crate) out: PathBuf,
}
