//! What an experiment is, and which there are.

use std::path::Path;

use serde::Serialize;

use crate::output::ResultsFolder;
use crate::report::Section;
use crate::{
    ExperimentError, Result, claims, coherence_dynamics, digits, local_convergence, solutions, stability_map,
};

/// Everything [`crate::reproduce()`] can run, in the order in which it does.
pub const ALL: &[&dyn Experiment] = &[
    &stability_map::StabilityMap,
    &local_convergence::LocalConvergence,
    &coherence_dynamics::CoherenceDynamics,
    &solutions::Solutions,
    &digits::Digits,
    &claims::Claims,
];

/// Receives the progress of a run; the driver itself neither prints nor draws.
pub trait Progress: Sync {
    /// An experiment starts; `num_done` of its `num_cells` cells come from a checkpoint.
    fn start(&self, experiment: &str, num_done: usize, num_cells: usize);
    /// So many cells are done now.
    fn advance(&self, num_done: usize);
    /// The experiment is complete.
    fn finish(&self);
}

/// Reports to nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _experiment: &str, _num_done: usize, _num_cells: usize) {}
    fn advance(&self, _num_done: usize) {}
    fn finish(&self) {}
}

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

/// What an experiment leaves behind beside its files.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The configuration that was run, as it goes into the manifest.
    pub config: serde_json::Value,
    /// The seed that was used.
    pub seed: u64,
    /// The result in a few lines of plain text.
    pub summary: String,
    /// The result on the page.
    pub section: Section,
}

impl Finding {
    /// A finding that repeats its configuration.
    ///
    /// # Errors
    /// [`ExperimentError::Encode`] if the configuration cannot be encoded.
    pub(crate) fn new<C: Serialize>(
        config: &C,
        seed: u64,
        summary: String,
        section: Section,
    ) -> Result<Self> {
        let encode = |error: serde_json::Error| ExperimentError::Encode {
            what: "the configuration",
            message: error.to_string(),
        };
        Ok(Self { config: serde_json::to_value(config).map_err(encode)?, seed, summary, section })
    }
}

/// One experiment: configuration in, tables and figures out.
pub trait Experiment: Sync {
    /// Its name on the command line and in file names.
    fn id(&self) -> &'static str;

    /// Reads and checks the configuration without running anything.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    fn check(&self, context: &Context<'_>) -> Result<()>;

    /// Runs the experiment and writes its tables and figures.
    ///
    /// # Errors
    /// Anything that stops it; nothing outside `results` has been touched then.
    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding>;
}
