//! The configuration of the stability map.

use std::path::Path;

use linstab_dynamics::Divergence;
use linstab_dynamics::sampling::Loader;
use linstab_dynamics::simulation::MeasuredNorm;
use serde::{Deserialize, Serialize};

use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration, LARGEST};

/// Everything the map depends on. No field has a default: a scientific parameter is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Root of all random streams.
    pub seed: u64,
    /// Number of samples `n`.
    pub num_samples: usize,
    /// Largest eigenvalue of the mean curvature.
    pub sharpness: f64,
    /// Numbers of samples that share a direction: the coherence measure sigma.
    pub coherence: Grid,
    /// Batch sizes.
    pub batch_size: Grid,
    /// Optimizers.
    pub optimizers: Vec<Family>,
    /// How batches are drawn; the first is drawn in the main figures. Epochs are simulated without noise of their own (no random
    /// perturbation), and with SAM at `reference_rho_over_alpha` only.
    pub sampling: Vec<Loader>,
    /// Learning rates; the first is drawn in the main figures.
    pub learning_rate: Vec<f64>,
    /// Ratios of perturbation radius to gradient norm, for SAM.
    pub rho_over_alpha: Vec<f64>,
    /// Standard deviation of the perturbation, for random perturbation.
    pub perturbation_standard_deviation: f64,
    /// Normalisation of the loss.
    pub loss: Loss,
    /// Steps a run.
    pub num_steps: usize,
    /// Runs a cell.
    pub num_repetitions: usize,
    /// What is compared with its start.
    pub divergence_norm: MeasuredNorm,
    /// By how much it must have grown.
    pub divergence_factor: f64,
    /// What a cell is when half of its runs diverged.
    pub tie: Tie,
    /// The value of `rho_over_alpha` that the main figures show.
    pub reference_rho_over_alpha: f64,
    /// Cells of a quick run.
    pub quick: Quick,
}

/// The cells that a quick run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Replaces [`Config::coherence`].
    pub coherence: Grid,
    /// Replaces [`Config::batch_size`].
    pub batch_size: Grid,
}

/// The integers `from, from + step, ..`, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// First value.
    pub from: usize,
    /// Last admissible value.
    pub to: usize,
    /// Distance of values.
    #[serde(default = "one")]
    pub step: usize,
}

fn one() -> usize {
    1
}

impl Grid {
    /// The values, ascending.
    pub fn values(self) -> impl Iterator<Item = usize> {
        (self.from..=self.to).step_by(self.step)
    }

    fn check(self, checker: &Checker, key: &str, limit: usize) -> Result<()> {
        let allowed = format!("1 to num_samples = {limit}");
        checker.require((1..=limit).contains(&self.from), &format!("{key}.from"), self.from, &allowed)?;
        checker.require((1..=limit).contains(&self.to), &format!("{key}.to"), self.to, &allowed)?;
        let at_least = format!("at least {key}.from = {}", self.from);
        checker.require(self.to >= self.from, &format!("{key}.to"), self.to, at_least)?;
        let widest = self.to - self.from + 1;
        let allowed = format!("1 to the width of the grid = {widest}");
        checker.require((1..=widest).contains(&self.step), &format!("{key}.step"), self.step, allowed)
    }
}

/// An optimizer of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Stochastic gradient descent.
    Sgd,
    /// SGD with the gradient at a randomly perturbed point.
    RandomPerturbation,
    /// SAM with full-batch ascent and fixed gradient norm.
    Sam,
}

impl Family {
    /// Its name in configurations and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::RandomPerturbation => "random-perturbation",
            Self::Sam => "sam",
        }
    }

    /// Its name in figures.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sgd => "SGD",
            Self::RandomPerturbation => "Random perturbation",
            Self::Sam => "SAM",
        }
    }
}

/// How the quadratic loss is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `(1/2n) sum_i w^T H_i w`: gradient `H w`.
    HalfQuadratic,
    /// `(1/n) sum_i w^T H_i w`: gradient `2 H w`, so every curvature is `2 H_i`.
    Quadratic,
}

impl Loss {
    /// The Hessian of the loss in units of `H`.
    pub fn curvature_factor(self) -> f64 {
        match self {
            Self::HalfQuadratic => 1.0,
            Self::Quadratic => 2.0,
        }
    }
}

/// What a cell is when exactly half of its runs diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// Stable: it diverges only if more than half of its runs do (the paper's wording).
    Stable,
    /// Diverged.
    Diverged,
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        checker.require_count("num_samples", self.num_samples, MAX_SAMPLES)?;
        checker.require_positive("sharpness", self.sharpness)?;
        for (key, grid) in [("coherence", self.coherence), ("quick.coherence", self.quick.coherence)] {
            grid.check(checker, key, self.num_samples)?;
        }
        for (key, grid) in [("batch_size", self.batch_size), ("quick.batch_size", self.quick.batch_size)] {
            grid.check(checker, key, self.num_samples)?;
        }
        checker.require_distinct("optimizers", &self.optimizers)?;
        checker.require_distinct("sampling", &self.sampling)?;
        checker.require_distinct("learning_rate", &self.learning_rate)?;
        for &value in &self.learning_rate {
            checker.require_positive("learning_rate", value)?;
        }
        checker.require_distinct("rho_over_alpha", &self.rho_over_alpha)?;
        for &value in &self.rho_over_alpha {
            checker.require_positive("rho_over_alpha", value)?;
        }
        let noise = self.perturbation_standard_deviation;
        checker.require_positive("perturbation_standard_deviation", noise)?;
        checker.require_count("num_steps", self.num_steps, MAX_STEPS)?;
        checker.require_count("num_repetitions", self.num_repetitions, MAX_REPETITIONS)?;
        let factor = self.divergence_factor;
        let growth = factor > 1.0 && factor <= LARGEST;
        checker.require(growth, "divergence_factor", factor, format!("above 1, at most {LARGEST:e}"))?;
        checker.require_count("the number of cells", self.num_cells(), MAX_CELLS)?;
        let reference = self.reference_rho_over_alpha;
        let among = self.rho_over_alpha.contains(&reference);
        let allowed = format!("one of rho_over_alpha = {:?}", self.rho_over_alpha);
        checker.require(among, "reference_rho_over_alpha", reference, allowed)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.coherence = self.quick.coherence;
        self.batch_size = self.quick.batch_size;
    }
}

impl Config {
    /// The configuration of a run: `stability-map.toml`, checked, with the overrides of the context.
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

    /// The values of `rho_over_alpha` of an optimizer with a loader, a map each; 0 where there is no such parameter.
    pub(super) fn ratios(&self, optimizer: Family, sampling: Loader) -> &[f64] {
        match (optimizer, sampling) {
            (Family::Sam, Loader::Independent(_)) => &self.rho_over_alpha,
            (Family::Sam, Loader::Epochs(_)) => std::slice::from_ref(&self.reference_rho_over_alpha),
            (Family::RandomPerturbation, Loader::Epochs(_)) => &[],
            (Family::Sgd | Family::RandomPerturbation, _) => &[0.0],
        }
    }

    /// Number of cells of all maps; saturates.
    fn num_cells(&self) -> usize {
        let maps = |&optimizer: &Family| -> usize {
            let of_loader = |&sampling: &Loader| self.ratios(optimizer, sampling).len();
            self.learning_rate.len() * self.sampling.iter().map(of_loader).sum::<usize>()
        };
        let cells = self.coherence.values().count().saturating_mul(self.batch_size.values().count());
        cells.saturating_mul(self.optimizers.iter().map(maps).sum())
    }

    /// When a run counts as diverged.
    ///
    /// # Errors
    /// None for a checked configuration.
    pub fn divergence(&self) -> crate::Result<Divergence> {
        Ok(Divergence::new(self.num_steps, self.divergence_factor, self.divergence_norm)?)
    }
}

/// Above these a map would not fit into the memory of a large machine, or not end within a year.
const MAX_SAMPLES: usize = 100_000;
const MAX_STEPS: usize = 1_000_000_000;
const MAX_REPETITIONS: usize = 1_000_000;
const MAX_CELLS: usize = 10_000_000;
