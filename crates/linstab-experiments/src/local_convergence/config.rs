//! The configuration of the experiment.

use linstab_dynamics::SamplingScheme;
use linstab_relu::SquaredLoss;
use serde::{Deserialize, Serialize};

use crate::minimum::SolutionScale;
use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration};

/// Everything the experiment depends on. No field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Root of all random streams.
    pub seed: u64,
    /// Number of inputs `d`.
    pub num_inputs: usize,
    /// Number of samples `n`.
    pub num_samples: usize,
    /// Number of hidden units.
    pub width: usize,
    /// Numbers of inputs `C` that the solutions look at.
    pub num_features: Vec<usize>,
    /// Scale `r` of the solutions.
    pub scale: SolutionScale,
    /// Standard deviation of the perturbation of each parameter.
    pub perturbation_standard_deviation: f64,
    /// Normalisation of the loss.
    pub loss: SquaredLoss,
    /// Samples a batch.
    pub batch_size: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Radii of SAM's normalised ascent; SGD is always run.
    pub sam_rho: Vec<f64>,
    /// Epochs a run.
    pub num_epochs: usize,
    /// Runs of each solution and optimizer.
    pub num_runs: usize,
    /// How many epochs are the beginning.
    pub num_first_epochs: usize,
    /// Sampling scheme of the exact thresholds.
    pub sampling: SamplingScheme,
    /// Batch sizes of the exact thresholds.
    pub threshold_batch_size: Vec<usize>,
    /// Sizes of a quick run.
    pub quick: Quick,
}

/// The sizes of a quick run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Replaces [`Config::num_runs`].
    pub num_runs: usize,
    /// Replaces [`Config::num_epochs`].
    pub num_epochs: usize,
    /// Replaces [`Config::threshold_batch_size`].
    pub threshold_batch_size: Vec<usize>,
}

/// Above these a run would not end within a day.
const MAX_SIZE: usize = 10_000;
const MAX_EPOCHS: usize = 1_000_000;

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        checker.require_count("num_inputs", self.num_inputs, MAX_SIZE)?;
        checker.require_count("num_samples", self.num_samples, MAX_SIZE)?;
        checker.require_count("width", self.width, MAX_SIZE)?;
        crate::minimum::require_num_features(
            checker,
            "num_features",
            &self.num_features,
            self.num_inputs,
            self.width,
        )?;
        self.scale.check(checker, "scale")?;
        checker.require_positive("perturbation_standard_deviation", self.perturbation_standard_deviation)?;
        checker.require_count("batch_size", self.batch_size, self.num_samples)?;
        checker.require_positive("learning_rate", self.learning_rate)?;
        checker.require_distinct("sam_rho", &self.sam_rho)?;
        self.sam_rho.iter().try_for_each(|&rho| checker.require_positive("sam_rho", rho))?;
        for (key, runs, epochs, batch_sizes) in [
            ("", self.num_runs, self.num_epochs, &self.threshold_batch_size),
            ("quick.", self.quick.num_runs, self.quick.num_epochs, &self.quick.threshold_batch_size),
        ] {
            checker.require_count(&format!("{key}num_runs"), runs, MAX_SIZE)?;
            checker.require_count(&format!("{key}num_epochs"), epochs, MAX_EPOCHS)?;
            let key = format!("{key}threshold_batch_size");
            checker.require_counts(&key, batch_sizes, self.num_samples)?;
        }
        checker.require_count("num_first_epochs", self.num_first_epochs, self.num_epochs)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.num_runs = self.quick.num_runs;
        self.num_epochs = self.quick.num_epochs;
        self.threshold_batch_size.clone_from(&self.quick.threshold_batch_size);
    }
}

impl Config {
    /// The configuration of a run: `local-convergence.toml`, checked, with the overrides of the context.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn load(context: &Context<'_>) -> Result<Self> {
        config_file::load(context)
    }
}
