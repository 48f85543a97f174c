//! The configuration of the experiment.

use std::path::Path;

use linstab_relu::SquaredLoss;
use serde::{Deserialize, Serialize};

use super::metric::Metric;
use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration};

/// What is run; every field is in `data/configs/coherence-dynamics.toml`, explained there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of all random streams.
    pub seed: u64,
    /// Inputs of the network.
    pub num_inputs: usize,
    /// Hidden units.
    pub width: usize,
    /// Training samples.
    pub num_samples: usize,
    /// Validation samples.
    pub num_validation_samples: usize,
    /// Convention of the loss.
    pub loss: SquaredLoss,
    /// Batch size of the training, and of the thresholds.
    pub batch_size: usize,
    /// Passes over the data.
    pub num_epochs: usize,
    /// Independent data sets and initialisations, the same for every optimizer.
    pub num_seeds: usize,
    /// Radii of SAM; SGD always runs.
    pub rho: Vec<f64>,
    /// Learning rates.
    pub learning_rate: Vec<f64>,
    /// Weights of the contrastive term.
    pub contrastive_weight: Vec<f64>,
    /// A batch loss above this is a divergence.
    pub divergence_loss: f64,
    /// Share of the variance that the feature rank has to explain.
    pub explained_variance: f64,
    /// Whether each epoch gets its exact threshold.
    pub thresholds: bool,
    /// Sizes of a quick run.
    pub quick: Quick,
    /// Numbers of others, for the side-by-side table.
    pub reference: Vec<Reference>,
}

/// Sizes of a quick run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// As [`Config::num_seeds`].
    pub num_seeds: usize,
    /// As [`Config::num_epochs`].
    pub num_epochs: usize,
}

/// A metric as others report it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Who reports it.
    pub source: String,
    /// What is reported.
    pub metric: Metric,
    /// Over how many seeds, where that is said.
    pub num_seeds: Option<usize>,
    /// The numbers, by radius.
    pub values: Vec<ReferenceValue>,
}

/// A number that others report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceValue {
    /// Radius of SAM, 0 for SGD.
    pub rho: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Standard deviation over seeds, where that is said.
    pub sd: Option<f64>,
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        let sizes = [
            ("num_inputs", self.num_inputs, 2, 10_000),
            ("width", self.width, 1, 10_000),
            ("num_samples", self.num_samples, 2, 10_000),
            ("num_validation_samples", self.num_validation_samples, 1, 1_000_000),
            ("batch_size", self.batch_size, 1, self.num_samples),
            ("num_epochs", self.num_epochs, 1, 100_000),
            ("num_seeds", self.num_seeds, 1, 100_000),
            ("quick.num_epochs", self.quick.num_epochs, 1, 100_000),
            ("quick.num_seeds", self.quick.num_seeds, 1, 100_000),
        ];
        for (key, value, low, high) in sizes {
            checker.require((low..=high).contains(&value), key, value, format!("{low} to {high}"))?;
        }
        for (key, values) in [("rho", &self.rho), ("learning_rate", &self.learning_rate)] {
            checker.require_distinct(key, values)?;
            for &value in values {
                checker.require(value > 0.0 && value < 1e6, key, value, "positive, below 1e6")?;
            }
        }
        checker.require_distinct("contrastive_weight", &self.contrastive_weight)?;
        for &value in &self.contrastive_weight {
            checker.require((0.0..1e6).contains(&value), "contrastive_weight", value, "0 to 1e6")?;
        }
        for reference in &self.reference {
            let printable = !reference.source.is_empty() && reference.source.chars().all(|c| !c.is_control());
            checker.require(
                printable,
                "reference.source",
                format!("{:?}", reference.source),
                "a line of text",
            )?;
            let seeds = reference.num_seeds.unwrap_or(1);
            checker.require(seeds >= 1, "reference.num_seeds", seeds, "at least 1")?;
            for value in &reference.values {
                let known = value.rho.to_bits() == 0 || self.rho.contains(&value.rho);
                checker.require(
                    known,
                    "reference.values.rho",
                    value.rho,
                    format!("0 or one of rho = {:?}", self.rho),
                )?;
                checker.require(
                    value.mean.is_finite(),
                    "reference.values.mean",
                    value.mean,
                    "a finite number",
                )?;
                let sd = value.sd.unwrap_or(0.0);
                checker.require(
                    sd >= 0.0 && sd.is_finite(),
                    "reference.values.sd",
                    sd,
                    "nonnegative and finite",
                )?;
            }
        }
        let cut = self.divergence_loss;
        checker.require(cut > 0.0 && cut <= 1e100, "divergence_loss", cut, "above 0, at most 1e100")?;
        let share = self.explained_variance;
        checker.require(share > 0.0 && share <= 1.0, "explained_variance", share, "above 0, at most 1")
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.num_seeds = self.quick.num_seeds;
        self.num_epochs = self.quick.num_epochs;
    }
}

impl Config {
    /// The configuration of a run: `coherence-dynamics.toml`, checked, with the overrides of the context.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn load(context: &Context<'_>) -> Result<Self> {
        config_file::load(context)
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read_checked(path)
    }

    /// Radii of all optimizers: 0, which is SGD, and those of SAM.
    pub(super) fn radii(&self) -> impl Iterator<Item = f64> {
        std::iter::once(0.0).chain(self.rho.iter().copied())
    }
}
