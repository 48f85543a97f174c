//! The cells: one solution in one run, trained with every optimizer.

use linstab_dynamics::Optimizer;
use std::ops::ControlFlow;

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, Dataset, Trainer, Training, TrainingRule, TwoLayer, solutions};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::Config;
use crate::Result;
use crate::minimum::{self, Measurement, Questions};
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;

/// A way to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent.
    Sgd,
    /// SAM with normalised ascent on the mini-batch.
    Sam {
        /// Radius of the ascent.
        rho: f64,
    },
}

impl Method {
    /// All methods of a configuration.
    pub fn all(config: &Config) -> Vec<Self> {
        let sam = config.sam_rho.iter().map(|&rho| Self::Sam { rho });
        std::iter::once(Self::Sgd).chain(sam).collect()
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Sam { .. } => "sam",
        }
    }

    /// Radius of the ascent; 0 for SGD.
    pub fn rho(self) -> f64 {
        match self {
            Self::Sgd => 0.0,
            Self::Sam { rho } => rho,
        }
    }

    fn rule(self) -> TrainingRule {
        match self {
            Self::Sgd => TrainingRule::Sgd,
            Self::Sam { rho } => TrainingRule::Sam { rho },
        }
    }
}

/// One solution in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Number of inputs `C` that the solution looks at.
    pub num_features: usize,
    /// The run.
    pub run: usize,
}

/// What is computed for a cell; the checkpoint stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// For each method the mean loss over all samples at the start and after each epoch; infinite once it diverged.
    pub losses: Vec<Vec<f64>>,
    /// The unperturbed solution.
    pub solution: Vec<Measurement>,
}

/// All cells of a configuration.
#[derive(Clone, Debug)]
pub struct LocalConvergenceCells<'a> {
    config: &'a Config,
    identity: Identity,
    cells: Vec<Cell>,
}

impl<'a> LocalConvergenceCells<'a> {
    /// The cells of `config`, solution by solution; `program` is the digest of the program.
    pub fn new(config: &'a Config, program: &str) -> Self {
        let of_solution =
            |&num_features: &usize| (0..config.num_runs).map(move |run| Cell { num_features, run });
        let cells = config.num_features.iter().flat_map(of_solution).collect();
        Self { config, identity: Identity::new(program, &[ID, &format!("{config:?}")]), cells }
    }

    /// The cells in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The address of one of a run's random streams: the solutions and the methods share it.
    fn stream(&self, purpose: &str, run: usize) -> StreamKey {
        StreamKey::new(self.config.seed, ID).text(purpose).number(run as u64)
    }

    fn train(&self, method: Method, start: &TwoLayer, data: &Dataset, run: usize) -> Result<Vec<f64>> {
        let config = self.config;
        let training = Training::new(
            method.rule(),
            config.loss,
            config.learning_rate,
            config.batch_size,
            config.num_epochs,
        );
        let mut trainer = Trainer::new(training, data, config.width)?;
        let mut losses = Vec::new();
        let mut network = start.clone();
        trainer.run(&mut network, &mut self.stream("order", run).generator(), |progress| {
            // Predictions that overflow have an infinite loss.
            let predictions = progress.network.predictions(data);
            losses.push(predictions.map_or(f64::INFINITY, |f| config.loss.mean(&f, data.labels())));
            ControlFlow::Continue(())
        })?;
        losses.resize(config.num_epochs + 1, f64::INFINITY);
        Ok(losses)
    }
}

impl Cells for LocalConvergenceCells<'_> {
    type Error = crate::ExperimentError;
    type Output = CellResult;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.cells.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<CellResult> {
        let (config, Cell { num_features, run }) = (self.config, self.cells[index]);
        let mut rng = self.stream("data", run).generator();
        let data = parity::draw(config.num_samples, config.num_inputs, Redundancy::Independent, &mut rng)?;
        let scale = config.scale.value(config.num_inputs);
        let solution = solutions::generalising(config.num_inputs, config.width, num_features, scale)?;
        let mut rng = self.stream("perturbation", run).generator();
        let start = solution.perturbed(config.perturbation_standard_deviation, &mut rng)?;
        let losses = Method::all(config).into_iter().map(|method| self.train(method, &start, &data, run));
        let losses = losses.collect::<Result<_>>()?;
        let questions = Questions {
            optimizers: &[Optimizer::sgd()],
            sampling: config.sampling,
            batch_sizes: &config.threshold_batch_size,
            num_eigenvalues: 0,
        };
        let solution = minimum::measure(&Curvature::at(&solution, &data, config.loss)?, questions)?;
        Ok(CellResult { losses, solution })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config() -> Config {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs");
        let context = linstab_driver::Context {
            configs: &configs,
            quick: true,
            seed: None,
            num_threads: 1,
            program: "test",
            progress: &linstab_driver::progress::Silent,
        };
        Config::load(&context).unwrap()
    }

    #[test]
    fn divergence_is_an_infinite_loss() {
        let config = Config { learning_rate: 1e6, num_epochs: 4, ..config() };
        let result = LocalConvergenceCells::new(&config, "test").compute(0).unwrap();
        for losses in &result.losses {
            assert_eq!(losses.len(), 5);
            assert!(losses[0].is_finite() && losses[4] == f64::INFINITY, "{losses:?}");
        }
    }

    #[test]
    fn methods_and_solutions_share_their_start() {
        let config = Config { num_epochs: 1, sam_rho: vec![1e-9, 0.5], ..config() };
        let cells = LocalConvergenceCells::new(&config, "test");
        let result = cells.compute(0).unwrap();
        let [sgd, tiny, large] = &result.losses[..] else { panic!("three methods") };
        assert_eq!([tiny[0].to_bits(), large[0].to_bits()], [sgd[0].to_bits(); 2]);
        assert!((sgd[1] - tiny[1]).abs() < 1e-6 * sgd[1], "SAM without a radius is SGD on the same batches");
        // Negative control.
        assert!((sgd[1] - large[1]).abs() > 1e-3 * sgd[1], "{sgd:?} {large:?}");
    }
}
