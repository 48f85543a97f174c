//! What is predicted: the exact mean-square threshold, the almost-sure one, and the paper's criteria.

use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::epochs::{EpochOptions, Epochs};
use linstab_dynamics::lyapunov::{ChainOptions, ExponentEstimate};
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::{Config, Contender, EstimatesConfig};
use super::minimum::Minimum;
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;
use linstab_driver::table::number;

/// One optimizer with one batch size.
pub(super) struct ThresholdCells<'a> {
    config: &'a Config,
    minimum: &'a Minimum,
    identity: Identity,
    cells: Vec<(&'a Contender, usize)>,
}

/// A row of `tables/digits-thresholds.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ThresholdRow {
    /// Name of the contender.
    pub(super) optimizer: String,
    /// What is analysed.
    pub(super) specification: String,
    /// How batches are drawn.
    pub(super) sampling: String,
    /// Batch size `B`.
    pub(super) batch_size: usize,
    /// Mean-square threshold eta*: exact for batches drawn afresh, else estimated.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate: f64,
    /// Proven bounds on it, or for an estimate those of 95 %.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate_lower: f64,
    /// The upper one.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate_upper: f64,
    /// Where the Lyapunov exponent changes sign, by Monte Carlo.
    #[serde(serialize_with = "number")]
    pub(super) almost_sure_threshold: f64,
    /// Two standard errors below.
    #[serde(serialize_with = "number")]
    pub(super) almost_sure_lower: f64,
    /// Two standard errors above.
    #[serde(serialize_with = "number")]
    pub(super) almost_sure_upper: f64,
    /// Threshold of the full batch.
    #[serde(serialize_with = "number")]
    pub(super) gradient_descent_limit: f64,
    /// Learning rate above which the paper's criterion says divergence (C.8.4); NaN where it does not speak: momentum, preconditioners, reshuffling.
    #[serde(serialize_with = "number")]
    pub(super) criterion_divergence: f64,
    /// Learning rate up to which the paper's Theorem 3.3 says that a stable family exists; NaN as above.
    #[serde(serialize_with = "number")]
    pub(super) criterion_theorem_3_3: f64,
}

/// What is computed for a cell; the checkpoint stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Prediction {
    max_learning_rate: (f64, f64, f64),
    almost_sure: (f64, f64, f64),
    gradient_descent_limit: f64,
    /// Mean and standard error at each ratio of the configuration.
    pub(super) exponents: Vec<(f64, f64)>,
}

impl<'a> ThresholdCells<'a> {
    pub(super) fn new(config: &'a Config, minimum: &'a Minimum, program: &str) -> Self {
        let mut cells: Vec<(&Contender, usize)> = Vec::new();
        for contender in config.contenders.iter().map(|contender| config.analysed_as(contender)) {
            if !cells.iter().any(|(other, _)| other.name == contender.name) {
                cells.extend(config.cells.batch_sizes.iter().map(|&batch_size| (contender, batch_size)));
            }
        }
        let identity = Identity::new(program, &[ID, "thresholds", &format!("{config:?}")]);
        Self { config, minimum, identity, cells }
    }

    /// The row of a computed cell.
    pub(super) fn row(&self, index: usize, prediction: &Prediction) -> ThresholdRow {
        let (contender, batch_size) = self.cells[index];
        let rho_over_alpha = contender.optimizer.rho_over_alpha();
        let facts = &self.minimum.facts;
        let problem = Problem {
            num_samples: self.config.num_samples,
            batch_size,
            coherence: facts.sigma,
            sharpness: facts.sharpness,
            min_eigenvalue: facts.min_eigenvalue,
            rho_over_alpha,
        };
        let plain = contender.optimizer.recursion().is_sgd() && !contender.is_preconditioned();
        let spoken_of = |criterion: fn(&Problem) -> f64| {
            if plain && !contender.reshuffles() { criterion(&problem) } else { f64::NAN }
        };
        ThresholdRow {
            optimizer: contender.name.clone(),
            specification: contender.optimizer.to_string(),
            sampling: contender.sampling.to_string(),
            batch_size,
            max_learning_rate: prediction.max_learning_rate.0,
            max_learning_rate_lower: prediction.max_learning_rate.1,
            max_learning_rate_upper: prediction.max_learning_rate.2,
            almost_sure_threshold: prediction.almost_sure.0,
            almost_sure_lower: prediction.almost_sure.1,
            almost_sure_upper: prediction.almost_sure.2,
            gradient_descent_limit: prediction.gradient_descent_limit,
            criterion_divergence: spoken_of(criteria::divergence),
            criterion_theorem_3_3: spoken_of(criteria::existence_of_stable),
        }
    }
}

impl Cells for ThresholdCells<'_> {
    type Error = crate::ExperimentError;
    type Output = Prediction;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.cells.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Prediction> {
        let (contender, batch_size) = self.cells[index];
        let key = StreamKey::new(self.config.seed, ID)
            .text("lyapunov")
            .text(&contender.name)
            .number(batch_size as u64);
        if contender.reshuffles() {
            self.reshuffled(contender, batch_size, key)
        } else {
            self.afresh(contender, batch_size, key)
        }
    }
}

impl ThresholdCells<'_> {
    /// Steps of a chain: those that are not counted, and those that are.
    fn chain_steps(&self, batch_size: usize) -> (usize, usize) {
        let num_steps = self.config.num_steps(&self.config.lyapunov.num_steps, batch_size);
        (num_steps / 2, num_steps - num_steps / 2)
    }

    fn afresh(&self, contender: &Contender, batch_size: usize, key: StreamKey) -> Result<Prediction> {
        let scheme = SamplingScheme::WithoutReplacement;
        let sampling = BatchSampling::new(scheme, self.config.num_samples, batch_size)?;
        let analysis = MeanSquare::new(self.minimum.ensemble(contender), contender.optimizer, sampling)?;
        let threshold = analysis.max_learning_rate()?;
        let (burn_in, num_steps) = self.chain_steps(batch_size);
        let options = ChainOptions { num_chains: self.config.lyapunov.num_chains, burn_in, num_steps };
        let generator = |chain: usize| key.number(chain as u64).generator();
        let exponents =
            self.at_all_ratios(threshold.value, |eta| analysis.lyapunov_exponent(eta, options, generator))?;
        let limit = analysis.gradient_descent_limit();
        // Without sampling noise every run is the mean, and both thresholds are that of gradient descent.
        let almost_sure = if batch_size == self.config.num_samples {
            (limit, limit, limit)
        } else {
            let found = analysis.almost_sure_threshold(options, generator)?;
            (found.value, found.interval.0, found.interval.1)
        };
        let (low, high) = threshold.interval;
        Ok(Prediction {
            max_learning_rate: (threshold.value, low, high),
            almost_sure,
            gradient_descent_limit: limit,
            exponents,
        })
    }

    /// The same where batches are cut from a fresh order of all samples once an epoch.
    fn reshuffled(&self, contender: &Contender, batch_size: usize, key: StreamKey) -> Result<Prediction> {
        let sampling = EpochSampling::new(
            EpochOrder::Reshuffling,
            LastBatch::Keep,
            self.config.num_samples,
            batch_size,
        )?;
        let epochs = Epochs::new(self.minimum.ensemble(contender), contender.optimizer, sampling)?;
        let generator =
            |kind: &'static str| move |index: usize| key.text(kind).number(index as u64).generator();
        let EstimatesConfig { relative_error, max_multiplications } = self.config.estimates;
        let options = EpochOptions { relative_error, max_multiplications };
        let threshold = epochs.estimate(options, generator("orders"))?;
        let in_epochs = |steps: usize| steps.div_ceil(sampling.num_batches());
        let (burn_in, num_steps) = self.chain_steps(batch_size);
        let chains = (self.config.lyapunov.num_chains, in_epochs(burn_in), in_epochs(num_steps));
        let exponents = self.at_all_ratios(threshold.value, |eta| {
            epochs.lyapunov_exponent(eta, chains, generator("chain"))
        })?;
        let limit = epochs.gradient_descent_limit();
        let (low, high) = threshold.interval;
        let almost_sure = if batch_size == self.config.num_samples {
            (limit, limit, limit)
        } else {
            let found = epochs.almost_sure_threshold(low, chains, generator("chain"))?;
            (found.value, found.interval.0, found.interval.1)
        };
        Ok(Prediction {
            max_learning_rate: (threshold.value, low, high),
            almost_sure,
            gradient_descent_limit: limit,
            exponents,
        })
    }

    /// Mean and standard error of the exponent at each ratio of the configuration to a threshold.
    fn at_all_ratios(
        &self,
        threshold: f64,
        exponent: impl Fn(f64) -> linstab_dynamics::Result<ExponentEstimate>,
    ) -> Result<Vec<(f64, f64)>> {
        let mut exponents = Vec::new();
        for ratio in &self.config.cells.learning_rate_ratios {
            let estimate = exponent(ratio * threshold)?;
            exponents.push((estimate.mean, estimate.standard_error));
        }
        Ok(exponents)
    }
}
