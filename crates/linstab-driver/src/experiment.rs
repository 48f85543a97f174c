//! What an experiment is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::folder::ResultsFolder;
use crate::progress::Progress;
use crate::{DriverError, Result};
use linstab_report::Section;

/// What an experiment is given to run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where configurations live, one `<experiment>.toml` each; for a stability map also the configuration itself.
    pub configs: &'a Path,
    /// Reduced sizes.
    pub quick: bool,
    /// Overrides the seed of the configuration.
    pub seed: Option<u64>,
    /// Number of worker threads, at least 1. It does not change any result.
    pub num_threads: usize,
    /// Digest of the running program: a checkpoint of another one is refused.
    pub program: &'a str,
    /// Who is told of progress.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("configs", &self.configs)
            .field("quick", &self.quick)
            .field("seed", &self.seed)
            .field("num_threads", &self.num_threads)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// What an experiment's results are a function of, beside the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The root of all random streams.
    pub seed: u64,
    /// The configuration as it is run, with all overrides.
    pub config: serde_json::Value,
    /// The data files that are read.
    pub data: Vec<DataDigest>,
}

/// A data file and what was in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDigest {
    /// The file, as the configuration names it.
    pub path: String,
    /// SHA-256 of its contents.
    pub sha256: String,
}

impl Inputs {
    /// Of an experiment that reads its configuration alone.
    ///
    /// # Errors
    /// [`DriverError::Encode`] if the configuration cannot be encoded.
    pub fn new<C: Serialize>(config: &C, seed: u64) -> Result<Self> {
        Ok(Self { seed, config: encoded(config)?, data: Vec::new() })
    }
}

fn encoded<C: Serialize>(config: &C) -> Result<serde_json::Value> {
    serde_json::to_value(config)
        .map_err(|error| DriverError::Encode { what: "the configuration", message: error.to_string() })
}

/// What an experiment leaves behind beside its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The configuration that was run.
    pub config: serde_json::Value,
    /// The seed that was used.
    pub seed: u64,
    /// The result in plain text. Its first line alone is the result in short.
    pub summary: String,
    /// The result on the page.
    pub section: Section,
}

impl Finding {
    /// A finding that repeats its configuration.
    ///
    /// # Errors
    /// [`DriverError::Encode`] if the configuration cannot be encoded.
    pub fn new<C: Serialize>(config: &C, seed: u64, summary: String, section: Section) -> Result<Self> {
        Ok(Self { config: encoded(config)?, seed, summary, section })
    }
}

/// One experiment: configuration in, tables and figures out.
pub trait Experiment: Sync {
    /// Its name on the command line and in file names.
    fn id(&self) -> &'static str;

    /// About how many seconds it keeps one core busy, for the forecast of a first run.
    fn core_seconds(&self, quick: bool) -> f64;

    /// Reads and checks the configuration without running anything, and says what the results are a function of.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    fn inputs(&self, context: &Context<'_>) -> Result<Inputs>;

    /// Runs the experiment and writes its tables and figures.
    ///
    /// # Errors
    /// Anything that stops it; nothing outside `results` has been touched then.
    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding>;
}
