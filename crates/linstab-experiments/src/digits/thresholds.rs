//! What is predicted: the exact mean-square threshold, the almost-sure one, and the paper's criteria.

use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::lyapunov::ChainOptions;
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::{Config, Contender};
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
    cells: Vec<(Contender, usize)>,
}

/// A row of `tables/digits-thresholds.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ThresholdRow {
    /// `sgd`, `momentum` or `sam`.
    pub(super) optimizer: Contender,
    /// Heavy-ball momentum.
    pub(super) momentum: f64,
    /// `rho / alpha`; 0 but for SAM.
    pub(super) rho_over_alpha: f64,
    /// Batch size `B`.
    pub(super) batch_size: usize,
    /// Exact mean-square threshold eta*.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate: f64,
    /// Two-sided bounds on it.
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
    /// Learning rate above which the paper's criterion says divergence (C.8.4); NaN for momentum, of which it does not speak.
    #[serde(serialize_with = "number")]
    pub(super) criterion_divergence: f64,
    /// Learning rate up to which the paper's Theorem 3.3 says that a stable family exists; NaN for momentum.
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
        let mut cells = Vec::new();
        for optimizer in config.cells.optimizers.iter().map(|optimizer| optimizer.analysed_as()) {
            for &batch_size in &config.cells.batch_sizes {
                if !cells.contains(&(optimizer, batch_size)) {
                    cells.push((optimizer, batch_size));
                }
            }
        }
        let identity = Identity::new(program, &[ID, "thresholds", &format!("{config:?}")]);
        Self { config, minimum, identity, cells }
    }

    fn analysis(&self, (optimizer, batch_size): (Contender, usize)) -> Result<MeanSquare> {
        let scheme = SamplingScheme::WithoutReplacement;
        let sampling = BatchSampling::new(scheme, self.config.num_samples, batch_size)?;
        let optimizer = optimizer.analysed(&self.config.cells);
        Ok(MeanSquare::new(&self.minimum.ensemble, optimizer, sampling)?)
    }

    /// The row of a computed cell.
    pub(super) fn row(&self, index: usize, prediction: &Prediction) -> ThresholdRow {
        let (optimizer, batch_size) = self.cells[index];
        let analysed = optimizer.analysed(&self.config.cells);
        let rho_over_alpha = analysed.rho_over_alpha();
        let facts = &self.minimum.facts;
        let problem = Problem {
            num_samples: self.config.num_samples,
            batch_size,
            coherence: facts.sigma,
            sharpness: facts.sharpness,
            min_eigenvalue: facts.min_eigenvalue,
            rho_over_alpha,
        };
        let spoken_of = |criterion: fn(&Problem) -> f64| {
            if analysed.momentum().abs() > 0.0 { f64::NAN } else { criterion(&problem) }
        };
        ThresholdRow {
            optimizer,
            momentum: analysed.momentum(),
            rho_over_alpha,
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
        let (optimizer, batch_size) = self.cells[index];
        let analysis = self.analysis(self.cells[index])?;
        let threshold = analysis.max_learning_rate()?;
        let lyapunov = &self.config.lyapunov;
        let num_steps = self.config.num_steps(&lyapunov.num_steps, batch_size);
        let options = ChainOptions {
            num_chains: lyapunov.num_chains,
            burn_in: num_steps / 2,
            num_steps: num_steps - num_steps / 2,
        };
        let key = StreamKey::new(self.config.seed, ID)
            .text("lyapunov")
            .text(optimizer.name())
            .number(batch_size as u64);
        let generator = |chain: usize| key.number(chain as u64).generator();
        let mut exponents = Vec::new();
        for ratio in &self.config.cells.learning_rate_ratios {
            let estimate = analysis.lyapunov_exponent(ratio * threshold.value, options, generator)?;
            exponents.push((estimate.mean, estimate.standard_error));
        }
        let limit = analysis.gradient_descent_limit();
        // Without sampling noise every run is the mean, and both thresholds are that of gradient descent.
        let almost_sure = if batch_size == self.config.num_samples {
            (limit, limit, limit)
        } else {
            let found = analysis.almost_sure_threshold(options, generator)?;
            (found.value, found.interval.0, found.interval.1)
        };
        Ok(Prediction {
            max_learning_rate: (threshold.value, threshold.interval.0, threshold.interval.1),
            almost_sure,
            gradient_descent_limit: limit,
            exponents,
        })
    }
}
