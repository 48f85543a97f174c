//! The configuration of the experiment.

use linstab_dynamics::Optimizer;
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
    /// Number of data sets.
    pub num_draws: usize,
    /// Number of hidden units.
    pub width: usize,
    /// Numbers of inputs `C` that the generalising solutions look at.
    pub num_features: Vec<usize>,
    /// Scale `r` of the solutions.
    pub scale: SolutionScale,
    /// Normalisation of the loss.
    pub loss: SquaredLoss,
    /// `rho / alpha` of SAM.
    pub rho_over_alpha: f64,
    /// Heavy-ball momentum.
    pub momentum: f64,
    /// Sampling scheme.
    pub sampling: SamplingScheme,
    /// Batch sizes.
    pub batch_size: Vec<usize>,
    /// How many eigenvalues of the coherence matrix are tabulated.
    pub num_eigenvalues: usize,
    /// The sweep over redundant inputs.
    pub redundancy: Sweep,
    /// What a quick run computes.
    pub quick: Quick,
}

/// Degrees of redundancy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Correlations of the inputs with one of the first two.
    pub correlation: Vec<f64>,
    /// Numbers of distinct inputs.
    pub num_distinct: Vec<usize>,
    /// The batch size of the sweep.
    pub batch_size: usize,
}

/// What a quick run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Replaces [`Config::num_draws`].
    pub num_draws: usize,
    /// Replaces [`Config::num_features`].
    pub num_features: Vec<usize>,
    /// Replaces [`Config::batch_size`].
    pub batch_size: Vec<usize>,
    /// Replaces [`Sweep::correlation`].
    pub correlation: Vec<f64>,
    /// Replaces [`Sweep::num_distinct`].
    pub num_distinct: Vec<usize>,
}

/// Above these a run would not end within a day.
const MAX_SIZE: usize = 10_000;
const MAX_SAMPLES: usize = 2_000;

impl Configuration for Config {
    const ID: &'static str = super::ID;

    fn check(&self, checker: &Checker) -> Result<()> {
        checker.require_count("num_inputs", self.num_inputs, MAX_SIZE)?;
        checker.require_count("num_samples", self.num_samples, MAX_SAMPLES)?;
        let wide_enough = (self.num_samples..=MAX_SIZE).contains(&self.width);
        let allowed = format!("num_samples = {} to {MAX_SIZE}", self.num_samples);
        checker.require(wide_enough, "width", self.width, allowed)?;
        self.scale.check(checker, "scale")?;
        checker.require_positive("rho_over_alpha", self.rho_over_alpha)?;
        let below_one = self.momentum > 0.0 && self.momentum < 1.0;
        checker.require(below_one, "momentum", self.momentum, "above 0 and below 1")?;
        checker.require_count("num_eigenvalues", self.num_eigenvalues, self.num_samples)?;
        checker.require_count("redundancy.batch_size", self.redundancy.batch_size, self.num_samples)?;
        let (sweep, quick) = (&self.redundancy, &self.quick);
        let full = (self.num_draws, &self.num_features, &self.batch_size);
        let reduced = (quick.num_draws, &quick.num_features, &quick.batch_size);
        for (prefix, (num_draws, num_features, batch_size)) in [("", full), ("quick.", reduced)] {
            checker.require_count(&format!("{prefix}num_draws"), num_draws, MAX_SIZE)?;
            let key = format!("{prefix}num_features");
            crate::minimum::require_num_features(checker, &key, num_features, self.num_inputs, self.width)?;
            checker.require_counts(&format!("{prefix}batch_size"), batch_size, self.num_samples)?;
        }
        self.check_sweep(checker, "redundancy", &sweep.correlation, &sweep.num_distinct)?;
        self.check_sweep(checker, "quick", &quick.correlation, &quick.num_distinct)
    }

    fn seed_mut(&mut self) -> &mut u64 {
        &mut self.seed
    }

    fn reduce(&mut self) {
        let quick = self.quick.clone();
        self.num_draws = quick.num_draws;
        self.num_features = quick.num_features;
        self.batch_size = quick.batch_size;
        self.redundancy.correlation = quick.correlation;
        self.redundancy.num_distinct = quick.num_distinct;
    }
}

impl Config {
    /// The configuration of a run: `solutions.toml`, checked, with the overrides of the context.
    ///
    /// # Errors
    /// A configuration error that names the file, the key and the admissible values.
    pub fn load(context: &Context<'_>) -> Result<Self> {
        config_file::load(context)
    }

    fn check_sweep(
        &self,
        checker: &Checker,
        table: &str,
        correlation: &[f64],
        distinct: &[usize],
    ) -> Result<()> {
        let key = format!("{table}.correlation");
        checker.require_distinct(&key, correlation)?;
        for value in correlation {
            checker.require((0.0..=1.0).contains(value), &key, value, "0 to 1")?;
        }
        let key = format!("{table}.num_distinct");
        checker.require_distinct(&key, distinct)?;
        for value in distinct {
            let allowed = format!("2 to num_inputs = {}", self.num_inputs);
            checker.require((2..=self.num_inputs).contains(value), &key, value, allowed)?;
        }
        Ok(())
    }

    /// SAM.
    pub(super) fn sam(&self) -> Optimizer {
        Optimizer::sam(self.rho_over_alpha).expect("the ratio was checked")
    }

    /// The optimizers.
    ///
    /// # Panics
    /// For values that a checked configuration does not hold.
    pub fn optimizers(&self) -> [Optimizer; 3] {
        [
            Optimizer::sgd(),
            self.sam(),
            Optimizer::sgd().with_momentum(self.momentum).expect("the momentum was checked"),
        ]
    }
}
