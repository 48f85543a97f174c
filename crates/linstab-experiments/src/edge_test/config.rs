//! The configuration of the edge test.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use linstab_driver::Context;
use linstab_driver::Result;
use linstab_driver::config_file::{self, Checker, Configuration};

/// Everything the experiment depends on, beside the records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Root of the random streams of the resampling.
    pub seed: u64,
    /// The folder of the records, relative to the configuration.
    pub evidence: PathBuf,
    /// When a prediction is called right.
    pub judgement: Judgement,
    /// Intervals of median errors.
    pub bootstrap: Bootstrap,
    /// Sizes of a quick run.
    pub quick: Bootstrap,
}

/// When a prediction is called right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// An error up to this, either way, is small.
    pub tight: f64,
    /// The same, less strict.
    pub loose: f64,
    /// The share of all settings in which the error has to be small.
    pub share: f64,
}

/// Intervals of median errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How often minima are drawn anew.
    pub num_resamples: usize,
}

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        let Judgement { tight, loose, share } = self.judgement;
        let is_share = |value: f64| value > 0.0 && value < 1.0;
        checker.require(is_share(tight), "judgement.tight", tight, "between 0 and 1")?;
        checker.require(
            is_share(loose) && loose > tight,
            "judgement.loose",
            loose,
            "above tight, below 1",
        )?;
        checker.require(is_share(share), "judgement.share", share, "between 0 and 1")?;
        checker.require_count("bootstrap.num_resamples", self.bootstrap.num_resamples, MAX_RESAMPLES)?;
        checker.require_count("quick.num_resamples", self.quick.num_resamples, MAX_RESAMPLES)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        self.bootstrap = self.quick;
    }
}

/// More than this would take minutes and change no digit that is shown.
const MAX_RESAMPLES: usize = 100_000;

impl Config {
    /// The configuration of a run: `edge-test.toml`, checked, with the overrides of the context.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn load(context: &Context<'_>) -> Result<Self> {
        config_file::load(context)
    }

    /// The folder of the records.
    pub(super) fn folder(&self, context: &Context<'_>) -> PathBuf {
        let path = config_file::path_of(context.configs, super::ID);
        path.parent().unwrap_or(Path::new("")).join(&self.evidence)
    }
}
