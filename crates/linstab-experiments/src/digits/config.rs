//! The configuration of the digits experiment.

use std::path::{Path, PathBuf};

use linstab_dynamics::sampling::{EpochOrder, Loader};
use linstab_dynamics::{Optimizer, SamplingScheme};
use linstab_relu::SquaredLoss;
use serde::{Deserialize, Serialize};

use super::data::Source;
use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration};

/// Everything the experiment depends on. No field has a default: a scientific parameter is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Root of all random streams.
    pub seed: u64,
    /// Number of images `n`.
    pub num_samples: usize,
    /// Which images.
    pub(crate) digits: Source,
    /// How the minimum is found.
    pub minimum: MinimumConfig,
    /// What is examined.
    pub cells: CellsConfig,
    /// How runs are made and judged.
    pub protocol: Protocol,
    /// Which optimizers and loaders, how often and how long.
    pub contenders: Vec<Contender>,
    /// How the Lyapunov exponent is estimated.
    pub lyapunov: LyapunovConfig,
    /// What an estimated threshold may cost.
    pub estimates: EstimatesConfig,
    /// Cells of a quick run.
    pub quick: Quick,
}

/// What the estimated threshold of a reshuffling loader may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EstimatesConfig {
    /// Half of the width of its interval that is good enough, relative.
    pub relative_error: f64,
    /// Multiplications, roughly.
    pub max_multiplications: f64,
}

/// How the minimum is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinimumConfig {
    /// Number of hidden units.
    pub width: usize,
    /// The convention of the loss.
    pub loss: SquaredLoss,
    /// Learning rate of SGD.
    pub learning_rate: f64,
    /// Batch size of SGD.
    pub batch_size: usize,
    /// Epochs of SGD before the polish is tried, and again after each time it did not reach its loss.
    pub num_epochs: usize,
    /// How often the polish is tried, at most: it can end at a kink.
    pub max_rounds: usize,
    /// Mean loss after the polish, at most.
    pub polished_loss: f64,
    /// Largest number of steps of the polish.
    pub max_polish_steps: usize,
}

/// What is examined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellsConfig {
    /// Batch sizes `B`.
    pub batch_sizes: Vec<usize>,
    /// Learning rates in units of the threshold.
    pub learning_rate_ratios: Vec<f64>,
}

/// An optimizer and a loader whose runs are held against a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What is analysed, and run unless `normalised_ascent` says otherwise.
    pub optimizer: Optimizer,
    /// How batches are drawn: without replacement or reshuffled.
    pub sampling: Loader,
    /// SAM as practised: runs ascend by so much along the normalised gradient of the batch, which has no threshold of its own.
    pub normalised_ascent: Option<f64>,
    /// Runs a cell.
    pub num_runs: usize,
    /// Steps a run, for each of [`CellsConfig::batch_sizes`].
    pub num_steps: Vec<usize>,
}

/// How runs are made and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Root mean square of the distance from the minimum at the start.
    pub distance: f64,
    /// Times at which the loss is recorded, where batches are independent; otherwise it is after every epoch.
    pub num_records: usize,
    /// A run whose loss passes this has grown.
    pub grown_loss: f64,
    /// A run whose loss falls below this has decayed.
    pub decayed_loss: f64,
}

/// How the Lyapunov exponent is estimated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LyapunovConfig {
    /// Independent chains.
    pub num_chains: usize,
    /// Steps a chain, for each of [`CellsConfig::batch_sizes`]; the first half is not counted.
    pub num_steps: Vec<usize>,
}

/// The cells that a quick run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Names of some of [`Config::contenders`].
    pub contenders: Vec<String>,
    /// Some of [`CellsConfig::batch_sizes`].
    pub batch_sizes: Vec<usize>,
    /// Replaces [`CellsConfig::learning_rate_ratios`].
    pub learning_rate_ratios: Vec<f64>,
    /// Replaces [`Contender::num_runs`] of every contender.
    pub num_runs: usize,
}

impl Contender {
    /// Whether batches are cut from a fresh order of all samples once an epoch.
    pub(super) fn reshuffles(&self) -> bool {
        self.sampling == Loader::Epochs(EpochOrder::Reshuffling)
    }

    /// Whether gradients are divided by a preconditioner.
    pub(super) fn is_preconditioned(&self) -> bool {
        self.optimizer.rule().preconditioned
    }

    fn check(&self, checker: &Checker, num_batch_sizes: usize) -> Result<()> {
        let key = |field: &str| format!("contenders.{}.{field}", self.name);
        let known =
            self.reshuffles() || self.sampling == Loader::Independent(SamplingScheme::WithoutReplacement);
        checker.require(known, &key("sampling"), self.sampling, "without-replacement or reshuffling")?;
        let optimizer = self.optimizer;
        let decay = optimizer.recursion().coupled_decay + optimizer.recursion().decoupled_decay;
        let stays = optimizer.batch_ascent().is_none()
            && decay.abs() <= 0.0
            && optimizer.perturbation_standard_deviation() <= 0.0;
        let allowed = "optimizers that stay at a minimum of the loss, whose ascent is on the full batch";
        checker.require(stays, &key("optimizer"), optimizer, allowed)?;
        if let Some(rho) = self.normalised_ascent {
            positive(checker, &key("normalised_ascent"), rho)?;
        }
        count(checker, &key("num_runs"), self.num_runs, 1, MAX_RUNS)?;
        steps(checker, &key("num_steps"), &self.num_steps, num_batch_sizes)
    }
}

/// Accepts a number of steps for each batch size.
fn steps(checker: &Checker, key: &str, num_steps: &[usize], expected: usize) -> Result<()> {
    let allowed = format!("{expected} numbers, one a batch size of cells.batch_sizes");
    checker.require(num_steps.len() == expected, key, format!("{num_steps:?}"), allowed)?;
    num_steps.iter().try_for_each(|&steps| count(checker, key, steps, 8, MAX_STEPS))
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        let n = self.num_samples;
        count(checker, "num_samples", n, 1, MAX_SAMPLES)?;
        let [one, other] = self.digits.classes;
        let classes = format!("[{one}, {other}]");
        checker.require(
            one != other && one < 10 && other < 10,
            "digits.classes",
            classes,
            "two of the digits 0 to 9",
        )?;
        self.check_minimum(checker)?;
        self.check_cells(checker)?;
        self.check_protocol(checker)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        let Quick { contenders, batch_sizes, learning_rate_ratios, num_runs } = self.quick.clone();
        self.contenders.retain(|contender| contenders.contains(&contender.name));
        let all = std::mem::replace(&mut self.cells.batch_sizes, batch_sizes);
        self.cells.learning_rate_ratios = learning_rate_ratios;
        let kept: Vec<usize> = self
            .cells
            .batch_sizes
            .iter()
            .filter_map(|batch_size| all.iter().position(|other| other == batch_size))
            .collect();
        let reduced = |num_steps: &Vec<usize>| kept.iter().map(|&at| num_steps[at]).collect();
        for contender in &mut self.contenders {
            contender.num_runs = num_runs;
            contender.num_steps = reduced(&contender.num_steps);
        }
        self.lyapunov.num_steps = reduced(&self.lyapunov.num_steps);
    }
}

impl Config {
    /// The configuration of a run: `digits.toml`, checked, with the overrides of the context.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn load(context: &Context<'_>) -> Result<Self> {
        config_file::load(context)
    }

    /// Where the configuration is; data files are relative to it.
    pub(super) fn path(context: &Context<'_>) -> PathBuf {
        config_file::path_of(context.configs, super::ID)
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read_checked(path)
    }

    /// The contender whose threshold a contender is held against: the first of this optimizer and loader.
    pub(super) fn analysed_as<'a>(&'a self, contender: &'a Contender) -> &'a Contender {
        let same = |other: &&Contender| {
            (other.optimizer, other.sampling) == (contender.optimizer, contender.sampling)
        };
        self.contenders.iter().find(same).unwrap_or(contender)
    }

    /// The number of steps in a list that goes with the batch sizes.
    pub(super) fn num_steps(&self, num_steps: &[usize], batch_size: usize) -> usize {
        let place = self.cells.batch_sizes.iter().position(|&other| other == batch_size);
        num_steps[place.expect("a batch size of the configuration")]
    }

    fn check_minimum(&self, checker: &Checker) -> Result<()> {
        let minimum = &self.minimum;
        count(checker, "minimum.width", minimum.width, 1, MAX_WIDTH)?;
        positive(checker, "minimum.learning_rate", minimum.learning_rate)?;
        count(checker, "minimum.batch_size", minimum.batch_size, 1, self.num_samples)?;
        count(checker, "minimum.num_epochs", minimum.num_epochs, 0, MAX_EPOCHS)?;
        count(checker, "minimum.max_rounds", minimum.max_rounds, 1, MAX_EPOCHS)?;
        positive(checker, "minimum.polished_loss", minimum.polished_loss)?;
        count(checker, "minimum.max_polish_steps", minimum.max_polish_steps, 0, MAX_EPOCHS)
    }

    fn check_cells(&self, checker: &Checker) -> Result<()> {
        let cells = &self.cells;
        let names: Vec<&str> = self.contenders.iter().map(|contender| contender.name.as_str()).collect();
        checker.require_distinct("contenders", &names)?;
        for name in &self.quick.contenders {
            let allowed = format!("some of the contenders {names:?}");
            checker.require(names.contains(&name.as_str()), "quick.contenders", name, allowed)?;
        }
        self.contenders.iter().try_for_each(|contender| contender.check(checker, cells.batch_sizes.len()))?;
        for (table, batch_sizes, ratios) in [
            ("cells", &cells.batch_sizes, &cells.learning_rate_ratios),
            ("quick", &self.quick.batch_sizes, &self.quick.learning_rate_ratios),
        ] {
            let (sizes, rates) = (format!("{table}.batch_sizes"), format!("{table}.learning_rate_ratios"));
            checker.require_distinct(&sizes, batch_sizes)?;
            checker.require_distinct(&rates, ratios)?;
            for &batch_size in batch_sizes {
                count(checker, &sizes, batch_size, 1, self.num_samples)?;
                let among = cells.batch_sizes.contains(&batch_size);
                let allowed = format!("some of cells.batch_sizes = {:?}", cells.batch_sizes);
                checker.require(among, &sizes, batch_size, allowed)?;
            }
            for &ratio in ratios {
                let admissible = (0.01..=100.0).contains(&ratio);
                checker.require(admissible, &rates, ratio, "0.01 to 100")?;
            }
        }
        Ok(())
    }

    fn check_protocol(&self, checker: &Checker) -> Result<()> {
        let protocol = &self.protocol;
        positive(checker, "protocol.distance", protocol.distance)?;
        // Four points in the second half: a slope of fewer would be noise.
        count(checker, "protocol.num_records", protocol.num_records, 8, MAX_STEPS)?;
        positive(checker, "protocol.grown_loss", protocol.grown_loss)?;
        positive(checker, "protocol.decayed_loss", protocol.decayed_loss)?;
        let ordered = protocol.decayed_loss < protocol.grown_loss;
        checker.require(ordered, "protocol.decayed_loss", protocol.decayed_loss, "below grown_loss")?;
        let above = protocol.decayed_loss >= self.minimum.polished_loss;
        let allowed = format!("at least minimum.polished_loss = {:e}", self.minimum.polished_loss);
        checker.require(above, "protocol.decayed_loss", protocol.decayed_loss, allowed)?;
        positive(checker, "estimates.relative_error", self.estimates.relative_error)?;
        positive(checker, "estimates.max_multiplications", self.estimates.max_multiplications)?;
        count(checker, "quick.num_runs", self.quick.num_runs, 1, MAX_RUNS)?;
        count(checker, "lyapunov.num_chains", self.lyapunov.num_chains, 2, MAX_RUNS)?;
        steps(checker, "lyapunov.num_steps", &self.lyapunov.num_steps, self.cells.batch_sizes.len())
    }
}

/// Beyond these a run would not end within a year, or not fit into memory.
const MAX_SAMPLES: usize = 2_000;
const MAX_WIDTH: usize = 10_000;
const MAX_EPOCHS: usize = 1_000_000;
const MAX_STEPS: usize = 100_000_000;
const MAX_RUNS: usize = 100_000;

fn positive(checker: &Checker, key: &str, value: f64) -> Result<()> {
    let admissible = (1e-30..=1e30).contains(&value);
    checker.require(admissible, key, format!("{value:e}"), "positive, 1e-30 to 1e30")
}

fn count(checker: &Checker, key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    checker.require((least..=most).contains(&value), key, value, format!("{least} to {most}"))
}
