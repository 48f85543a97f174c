//! The cells of the map: which there are, how one is computed, and its row in the table.

use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::epochs::AxisAlignedEpochs;
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch, Loader};
use linstab_dynamics::{
    AxisAlignedDynamics, BatchSampling, Divergence, Optimizer, Outcome, Run, SamplingScheme, Simulator,
};
use linstab_linalg::{AxisAligned, Ensemble as _};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::{Config, Family, Tie};
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;
use linstab_driver::table::number;

/// One cell of one map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Family.
    pub optimizer: Family,
    /// How batches are drawn.
    pub sampling: Loader,
    /// Learning rate eta.
    pub learning_rate: f64,
    /// `rho / alpha` of SAM; 0 for the other optimizers.
    pub rho_over_alpha: f64,
    /// Batch size `B`.
    pub batch_size: usize,
    /// Coherence measure sigma: how many samples share the first direction.
    pub coherence: usize,
}

/// What is computed for a cell; the checkpoint stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    num_diverged: usize,
    num_converged: usize,
    sum_of_divergence_steps: usize,
    mean_final_squared_norm: f64,
    mean_square_growth: f64,
    lyapunov_exponent: f64,
    /// None by epochs, where it takes a scan.
    max_learning_rate: Option<f64>,
    gradient_descent_limit: f64,
    criterion_divergence: f64,
    criterion_theorem_3_3: f64,
}

/// All cells of a configuration: maps over the same grid.
#[derive(Clone, Debug)]
pub struct MapCells<'a> {
    config: &'a Config,
    identity: Identity,
    /// A cell of each map, wherever in its grid.
    maps: Vec<Cell>,
    /// Batch size and coherence.
    grid: Vec<(usize, usize)>,
}

impl<'a> MapCells<'a> {
    /// The cells of `config`, map by map, within a map by batch size and coherence; `program` is the digest of the program.
    pub fn new(config: &'a Config, program: &str) -> Self {
        let mut maps = Vec::new();
        for &optimizer in &config.optimizers {
            for &sampling in &config.sampling {
                for &learning_rate in &config.learning_rate {
                    maps.extend(config.ratios(optimizer, sampling).iter().map(|&rho_over_alpha| Cell {
                        optimizer,
                        sampling,
                        learning_rate,
                        rho_over_alpha,
                        batch_size: 0,
                        coherence: 0,
                    }));
                }
            }
        }
        let column = |batch_size| config.coherence.values().map(move |coherence| (batch_size, coherence));
        let grid = config.batch_size.values().flat_map(column).collect();
        Self { config, identity: Identity::new(program, &[ID, &format!("{config:?}")]), maps, grid }
    }

    /// A cell by its index.
    ///
    /// # Panics
    /// If there is no such cell.
    pub fn cell(&self, index: usize) -> Cell {
        let (batch_size, coherence) = self.grid[index % self.grid.len()];
        Cell { batch_size, coherence, ..self.maps[index / self.grid.len()] }
    }

    /// The row of a computed cell.
    pub fn row(&self, index: usize, result: &CellResult) -> Row {
        Row::new(self.config, &self.cell(index), result)
    }

    /// Number of cells of a map.
    pub(super) fn cells_of_a_map(&self) -> usize {
        self.grid.len()
    }

    /// Batches drawn afresh: exact answers, and runs.
    fn afresh(&self, cell: &Cell, ensemble: &AxisAligned, scheme: SamplingScheme) -> Result<CellResult> {
        let sampling = BatchSampling::new(scheme, self.config.num_samples, cell.batch_size)?;
        let dynamics = AxisAlignedDynamics::new(ensemble, cell.optimizer(self.config)?, sampling)?;
        let mut simulator = Simulator::new(&dynamics, cell.learning_rate)?;
        let runs = self.runs(cell, |start, divergence, rng| simulator.run(start, divergence, rng))?;
        Ok(CellResult {
            mean_square_growth: dynamics.growth_per_step(cell.learning_rate)?,
            lyapunov_exponent: dynamics.lyapunov_exponent(cell.learning_rate)?,
            max_learning_rate: Some(dynamics.max_learning_rate()),
            gradient_descent_limit: dynamics.gradient_descent_limit(),
            ..runs
        })
    }

    /// Batches by epochs.
    fn by_epochs(&self, cell: &Cell, ensemble: &AxisAligned, order: EpochOrder) -> Result<CellResult> {
        let config = self.config;
        let sampling = EpochSampling::new(order, LastBatch::Keep, config.num_samples, cell.batch_size)?;
        let optimizer = cell.optimizer(config)?;
        let epochs = AxisAlignedEpochs::new(ensemble, optimizer, sampling)?;
        let eta = cell.learning_rate;
        let runs = self.runs(cell, |start, divergence, rng| epochs.simulate(start, eta, divergence, rng))?;
        // The axes of single samples are all alike: one of them says what all do.
        let few = [0, ensemble.dim() - 1].map(|index| {
            let axis = ensemble.axis(index);
            axis.samples().iter().copied().zip(axis.curvatures().iter().copied()).collect()
        });
        let few = AxisAligned::from_axes(config.num_samples, few.to_vec())?;
        let exact = AxisAlignedEpochs::new(&few, optimizer, sampling)?;
        Ok(CellResult {
            mean_square_growth: exact.growth_per_step(eta)?,
            lyapunov_exponent: exact.lyapunov_exponent(eta)?,
            gradient_descent_limit: optimizer
                .recursion()
                .noise_free_limit(optimizer.effective_ensemble(ensemble)?.sharpness()?),
            ..runs
        })
    }

    /// How the runs of a cell end; what is exact is left open.
    fn runs(
        &self,
        cell: &Cell,
        mut run: impl FnMut(&[f64], Divergence, &mut Pcg64) -> linstab_dynamics::Result<Run>,
    ) -> Result<CellResult> {
        let config = self.config;
        let divergence = config.divergence()?;
        let mut start = vec![0.0; config.num_samples - cell.coherence + 1];
        let mut result = CellResult {
            num_diverged: 0,
            num_converged: 0,
            sum_of_divergence_steps: 0,
            mean_final_squared_norm: 0.0,
            mean_square_growth: f64::NAN,
            lyapunov_exponent: f64::NAN,
            max_learning_rate: None,
            gradient_descent_limit: f64::NAN,
            criterion_divergence: f64::NAN,
            criterion_theorem_3_3: f64::NAN,
        };
        let key = cell.stream_key(config.seed);
        for repetition in 0..config.num_repetitions {
            let mut rng = key.number(repetition as u64).generator();
            start.fill_with(|| rng.random());
            let run = run(&start, divergence, &mut rng)?;
            match run.outcome {
                Outcome::Converged => result.num_converged += 1,
                Outcome::Diverged { step } => {
                    result.num_diverged += 1;
                    result.sum_of_divergence_steps += step;
                }
                Outcome::Undecided => {}
            }
            result.mean_final_squared_norm += run.final_squared_norm / config.num_repetitions as f64;
        }
        Ok(result)
    }
}

impl Cell {
    /// The address of the cell's random streams; repetitions are numbered below it.
    fn stream_key(&self, seed: u64) -> StreamKey {
        StreamKey::new(seed, ID)
            .text(self.optimizer.name())
            .text(self.sampling.name())
            .float(self.learning_rate)
            .float(self.rho_over_alpha)
            .number(self.batch_size as u64)
            .number(self.coherence as u64)
    }

    fn optimizer(&self, config: &Config) -> Result<Optimizer> {
        Ok(match self.optimizer {
            Family::Sgd => Optimizer::sgd(),
            Family::Sam => Optimizer::sam(self.rho_over_alpha)?,
            Family::RandomPerturbation => {
                Optimizer::random_perturbation(config.perturbation_standard_deviation)?
            }
        })
    }
}

impl Cells for MapCells<'_> {
    type Error = crate::ExperimentError;
    type Output = CellResult;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.maps.len() * self.grid.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<CellResult> {
        let (config, cell) = (self.config, &self.cell(index));
        let sharpness = config.sharpness * config.loss.curvature_factor();
        let ensemble = AxisAligned::shared_direction(config.num_samples, cell.coherence, sharpness)?;
        let computed = match cell.sampling {
            Loader::Independent(scheme) => self.afresh(cell, &ensemble, scheme)?,
            Loader::Epochs(order) => self.by_epochs(cell, &ensemble, order)?,
        };
        let problem = Problem::of(&ensemble, cell.coherence as f64, cell.batch_size, cell.rho_over_alpha)?;
        Ok(CellResult {
            criterion_divergence: criteria::divergence(&problem),
            criterion_theorem_3_3: criteria::existence_of_stable(&problem),
            ..computed
        })
    }
}

/// A row of `tables/stability-map.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `sgd`, `sam` or `random-perturbation`.
    pub optimizer: Family,
    /// `without-replacement`, `with-replacement`, `bernoulli`, `reshuffling` or `cyclic`.
    pub sampling: Loader,
    /// Learning rate eta.
    pub learning_rate: f64,
    /// `rho / alpha` of SAM; 0 for the other optimizers.
    pub rho_over_alpha: f64,
    /// Batch size `B`.
    pub batch_size: usize,
    /// Coherence measure sigma.
    pub sigma: usize,
    /// Runs that were made.
    pub num_repetitions: usize,
    /// Runs that diverged.
    pub num_diverged: usize,
    /// Runs that shrank by the divergence factor.
    pub num_converged: usize,
    /// Runs that did neither.
    pub num_undecided: usize,
    /// Whether the majority diverged; a tie is decided by the configuration.
    pub diverged: bool,
    /// Whether exactly half of the runs diverged.
    pub tie: bool,
    /// Mean step of divergence over the runs that diverged; empty if none did.
    pub mean_divergence_step: Option<f64>,
    /// Mean of `|w|^2` at the end (or at the divergence) over all runs; a start has `d / 3` on average.
    #[serde(serialize_with = "number")]
    pub mean_final_squared_norm: f64,
    /// Exact growth of the mean square a step.
    #[serde(serialize_with = "number")]
    pub mean_square_growth: f64,
    /// Exact Lyapunov exponent.
    #[serde(serialize_with = "number")]
    pub lyapunov_exponent: f64,
    /// Exact mean-square threshold; empty for epochs, where it takes a scan.
    pub max_learning_rate: Option<f64>,
    /// Threshold of full-batch gradient descent.
    #[serde(serialize_with = "number")]
    pub gradient_descent_limit: f64,
    /// Learning rate above which the paper's criterion says divergence (C.8.4; Dexter et al. for SGD).
    #[serde(serialize_with = "number")]
    pub criterion_divergence: f64,
    /// Learning rate up to which the paper's Theorem 3.3 says that a stable family exists.
    #[serde(serialize_with = "number")]
    pub criterion_theorem_3_3: f64,
}

impl Row {
    fn new(config: &Config, cell: &Cell, result: &CellResult) -> Self {
        let num_repetitions = config.num_repetitions;
        let tie = 2 * result.num_diverged == num_repetitions;
        let majority = 2 * result.num_diverged > num_repetitions;
        Self {
            optimizer: cell.optimizer,
            sampling: cell.sampling,
            learning_rate: cell.learning_rate,
            rho_over_alpha: cell.rho_over_alpha,
            batch_size: cell.batch_size,
            sigma: cell.coherence,
            num_repetitions,
            num_diverged: result.num_diverged,
            num_converged: result.num_converged,
            num_undecided: num_repetitions - result.num_diverged - result.num_converged,
            diverged: majority || (tie && config.tie == Tie::Diverged),
            tie,
            mean_divergence_step: (result.num_diverged > 0)
                .then(|| result.sum_of_divergence_steps as f64 / result.num_diverged as f64),
            mean_final_squared_norm: result.mean_final_squared_norm,
            mean_square_growth: result.mean_square_growth,
            lyapunov_exponent: result.lyapunov_exponent,
            max_learning_rate: result.max_learning_rate,
            gradient_descent_limit: result.gradient_descent_limit,
            criterion_divergence: result.criterion_divergence,
            criterion_theorem_3_3: result.criterion_theorem_3_3,
        }
    }
}
