//! The configuration of the experiment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{coherence_dynamics, digits};
use linstab_driver::config_file::{self, Checker, Configuration};
use linstab_driver::{Context, Result};

/// What is run; every field is in `data/configs/published-criteria.toml`, explained there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of the batches that diagnostics draw.
    pub seed: u64,
    /// The minimum of the experiment `digits`.
    pub digits: DigitsConfig,
    /// The convolutional network.
    pub convolutional: ConvolutionalConfig,
    /// The training.
    pub training: TrainingConfig,
    /// Sizes of a quick run.
    pub quick: Quick,
}

/// What is asked at the minimum of `digits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigitsConfig {
    /// Batch sizes.
    pub batch_sizes: Vec<usize>,
}

/// Factors in a file, and what is asked of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionalConfig {
    /// The file, relative to the configuration.
    pub file: PathBuf,
    /// Its checksum.
    pub sha256: String,
    /// Samples.
    pub num_samples: usize,
    /// Factors a sample.
    pub num_factors: usize,
    /// Batch sizes.
    pub batch_sizes: Vec<usize>,
}

/// A training of `coherence-dynamics`, and when it is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Its learning rate.
    pub learning_rate: f64,
    /// Which data and initialisation, from 0.
    pub data_set: usize,
    /// Epochs at whose ends it is looked at.
    pub epochs: Vec<usize>,
}

/// Sizes of a quick run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// As [`DigitsConfig::batch_sizes`].
    pub digits_batch_sizes: Vec<usize>,
    /// As [`ConvolutionalConfig::batch_sizes`].
    pub convolutional_batch_sizes: Vec<usize>,
}

/// The configuration, with those of the minimum and the training.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AsRun {
    #[serde(flatten)]
    pub(super) config: Config,
    pub(super) minimum: digits::Config,
    pub(super) trainings: coherence_dynamics::Config,
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        let ConvolutionalConfig { num_samples, num_factors, .. } = self.convolutional;
        checker.require_count("convolutional.num_samples", num_samples, 10_000)?;
        checker.require_count("convolutional.num_factors", num_factors, 10_000)?;
        // The number of digits is that of another configuration, which is checked there.
        checker.require_counts("digits.batch_sizes", &self.digits.batch_sizes, usize::MAX)?;
        checker.require_counts("quick.digits_batch_sizes", &self.quick.digits_batch_sizes, usize::MAX)?;
        for (key, sizes) in [
            ("convolutional.batch_sizes", &self.convolutional.batch_sizes),
            ("quick.convolutional_batch_sizes", &self.quick.convolutional_batch_sizes),
        ] {
            checker.require_counts(key, sizes, num_samples)?;
        }
        checker.require_positive("training.learning_rate", self.training.learning_rate)?;
        checker.require_counts("training.epochs", &self.training.epochs, 100_000)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.digits.batch_sizes.clone_from(&self.quick.digits_batch_sizes);
        self.convolutional.batch_sizes.clone_from(&self.quick.convolutional_batch_sizes);
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read_checked(path)
    }
}

impl AsRun {
    /// The configuration of a run, with the overrides of the context. The minimum and the training are those of their own files, in full; a
    /// seed of the context is theirs, too.
    pub(super) fn load(context: &Context<'_>) -> Result<Self> {
        let config: Config = config_file::load(context)?;
        let path = |id: &str| config_file::path_of(context.configs, id);
        let mut minimum = digits::Config::read(&path("digits"))?;
        let mut trainings = coherence_dynamics::Config::read(&path("coherence-dynamics"))?;
        minimum.seed = context.seed.unwrap_or(minimum.seed);
        trainings.seed = context.seed.unwrap_or(trainings.seed);
        let checker = Checker::new(&path(super::ID));
        checker.require_counts("digits.batch_sizes", &config.digits.batch_sizes, minimum.num_samples)?;
        let last = config.training.epochs.iter().copied().fold(0, usize::max);
        checker.require_count("training.epochs", last, trainings.num_epochs)?;
        Ok(Self { config, minimum, trainings })
    }
}
