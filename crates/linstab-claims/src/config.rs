//! The configuration of the ledger.

use std::path::Path;

use linstab_dynamics::SamplingScheme;
use linstab_dynamics::sampling::Loader;
use serde::{Deserialize, Serialize};

use super::search::Budget;
use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration};
use linstab_experiments::{coherence_dynamics, stability_map};

/// What is run; every field is in `data/configs/claims.toml`, explained there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of all random streams.
    pub seed: u64,
    /// Whether searches run ten times longer.
    pub thorough: bool,
    /// Sizes of the searches and of our own runs.
    pub sizes: Sizes,
    /// The same for a quick run.
    pub quick: Sizes,
}

/// Sizes of the searches and of our own runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Random ensembles of each search.
    pub num_random: usize,
    /// How many of them are refined.
    pub num_refined: usize,
    /// Steps of each refinement.
    pub num_steps: usize,
    /// Random ensembles of the table of ratios.
    pub num_ratios: usize,
    /// Random draws of data for the claims on clusters.
    pub num_draws: usize,
    /// Step of the grid of the stability map in the coherence.
    pub coherence_step: usize,
    /// Step of the grid of the stability map in the batch size.
    pub batch_size_step: usize,
    /// Seeds of the tracked trainings.
    pub num_seeds: usize,
    /// Runs of the local convergence.
    pub num_runs: usize,
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        for (table, sizes) in [("sizes", self.sizes), ("quick", self.quick)] {
            for (key, value, low, high) in [
                ("num_random", sizes.num_random, 1, 1_000_000),
                ("num_refined", sizes.num_refined, 1, 10_000),
                ("num_steps", sizes.num_steps, 1, 1_000_000),
                ("num_ratios", sizes.num_ratios, 10, 1_000_000),
                ("num_draws", sizes.num_draws, 2, 100_000),
                ("coherence_step", sizes.coherence_step, 1, 24),
                ("batch_size_step", sizes.batch_size_step, 1, 24),
                ("num_seeds", sizes.num_seeds, 2, 1000),
                ("num_runs", sizes.num_runs, 2, 1000),
            ] {
                let admissible = (low..=high).contains(&value);
                checker.require(admissible, &format!("{table}.{key}"), value, format!("{low} to {high}"))?;
            }
        }
        Ok(())
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.sizes = self.quick;
    }
}

impl Config {
    /// The configuration of a run: `claims.toml`, checked, with the overrides of the context.
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

    /// Everything the ledger depends on: this configuration, and those of its runs.
    ///
    /// # Errors
    /// As [`Config::load`], for the configurations of the map and the trainings.
    pub(super) fn as_run(&self, configs: &Path) -> Result<AsRun<'_>> {
        Ok(AsRun { config: self, map: self.map(configs)?, trainings: self.trainings(configs)? })
    }

    pub(super) fn budget(&self) -> Budget {
        let factor = if self.thorough { 10 } else { 1 };
        let Sizes { num_random, num_refined, num_steps, .. } = self.sizes;
        Budget { num_random: num_random * factor, num_refined, num_steps: num_steps * factor }
    }

    /// The stability map of the claims on maps: the published batches, on a coarser grid.
    pub(super) fn map(&self, configs: &Path) -> Result<stability_map::Config> {
        let mut map = stability_map::Config::read(&configs.join("stability-map.toml"))?;
        map.seed = self.seed;
        map.sampling = vec![Loader::Independent(SamplingScheme::WithoutReplacement)];
        (map.coherence.step, map.batch_size.step) = (self.sizes.coherence_step, self.sizes.batch_size_step);
        Ok(map)
    }

    /// The map of SGD once more, with the next seed.
    pub(super) fn second_map(&self, configs: &Path) -> Result<stability_map::Config> {
        let mut map = self.map(configs)?;
        map.seed = map.seed.wrapping_add(1);
        map.optimizers = vec![stability_map::Family::Sgd];
        Ok(map)
    }

    /// The trainings of the claims on training: without thresholds, which are the slow part.
    pub(super) fn trainings(&self, configs: &Path) -> Result<coherence_dynamics::Config> {
        let mut trainings = coherence_dynamics::Config::read(&configs.join("coherence-dynamics.toml"))?;
        (trainings.seed, trainings.num_seeds, trainings.thresholds) =
            (self.seed, self.sizes.num_seeds, false);
        Ok(trainings)
    }
}

/// The configuration of the ledger, with those of its runs.
#[derive(Debug, Serialize)]
pub(super) struct AsRun<'a> {
    #[serde(flatten)]
    config: &'a Config,
    map: stability_map::Config,
    trainings: coherence_dynamics::Config,
}
