//! The cells: one solution on one data set.

use linstab_dynamics::Optimizer;
use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, Dataset, ReluError, TwoLayer, solutions};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::Config;
use super::formulas::Formulas;
use crate::Result;
use crate::minimum::{self, Measurement, Metric, Questions};
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;

/// A constructed solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solution {
    /// It looks at the first inputs.
    Generalising {
        /// How many.
        num_features: usize,
    },
    /// Each sample has a unit of its own.
    Memorising,
}

impl Solution {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generalising { .. } => "generalising",
            Self::Memorising => "memorising",
        }
    }

    /// How many inputs it looks at, if not at all of them.
    pub fn num_features(self) -> Option<usize> {
        match self {
            Self::Generalising { num_features } => Some(num_features),
            Self::Memorising => None,
        }
    }

    /// The network; `None` if the data repeat an input, which cannot be memorised twice.
    fn network(self, config: &Config, data: &Dataset) -> Result<Option<TwoLayer>> {
        let scale = config.scale.value(config.num_inputs);
        let network = match self {
            Self::Generalising { num_features } => {
                solutions::generalising(config.num_inputs, config.width, num_features, scale)
            }
            Self::Memorising => solutions::memorising(data, config.width, scale),
        };
        match network {
            Err(ReluError::DuplicateInputs { .. }) => Ok(None),
            network => Ok(Some(network?)),
        }
    }
}

/// One solution on one data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// How the data are drawn.
    pub redundancy: Redundancy,
    /// The solution.
    pub solution: Solution,
    /// The draw.
    pub draw: usize,
}

/// One number, and what the formulas say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The number.
    pub exact: Measurement,
    /// The paper's formula.
    pub paper: Option<f64>,
    /// The corrected formula.
    pub corrected: Option<f64>,
}

/// All cells of a configuration.
#[derive(Clone, Debug)]
pub struct SolutionCells<'a> {
    config: &'a Config,
    identity: Identity,
    cells: Vec<Cell>,
}

impl<'a> SolutionCells<'a> {
    /// The cells of `config`: first independent inputs, then the sweep; `program` is the digest of the program.
    pub fn new(config: &'a Config, program: &str) -> Self {
        let mut cells = Vec::new();
        let sweep = &config.redundancy;
        let correlated = sweep.correlation.iter().map(|&probability| Redundancy::Correlated { probability });
        let repeated = sweep.num_distinct.iter().map(|&num_distinct| Redundancy::Repeated { num_distinct });
        let generalising =
            config.num_features.iter().map(|&num_features| Solution::Generalising { num_features });
        let solutions: Vec<Solution> = generalising.chain([Solution::Memorising]).collect();
        for redundancy in std::iter::once(Redundancy::Independent).chain(correlated).chain(repeated) {
            for &solution in &solutions {
                cells.extend((0..config.num_draws).map(|draw| Cell { redundancy, solution, draw }));
            }
        }
        Self { config, identity: Identity::new(program, &[ID, &format!("{config:?}")]), cells }
    }

    /// The cells in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn measure(&self, cell: &Cell, data: &Dataset, network: &TwoLayer) -> Result<Vec<Compared>> {
        let config = self.config;
        let curvature = Curvature::at(network, data, config.loss)?;
        let optimizers = config.optimizers();
        let in_sweep = [config.redundancy.batch_size];
        let independent = cell.redundancy == Redundancy::Independent;
        let questions = Questions {
            optimizers: &optimizers,
            sampling: config.sampling,
            batch_sizes: if independent { &config.batch_size } else { &in_sweep },
            num_eigenvalues: if independent { config.num_eigenvalues } else { 0 },
        };
        let structure = structure(&curvature, config.width);
        let largest_cluster = structure[2].value;
        let found = structure.into_iter().chain(minimum::measure(&curvature, questions)?);
        let compare = |exact: Measurement| {
            let formulas = self.formulas(cell.solution, exact.optimizer);
            let corrected = formulas.corrected(exact.metric, largest_cluster).filter(|_| independent);
            let of_momentum = exact.optimizer.momentum().abs() > 0.0;
            let paper = formulas.paper(exact.metric).filter(|_| !of_momentum);
            Compared { exact, paper, corrected }
        };
        Ok(found.map(compare).collect())
    }

    fn formulas(&self, solution: Solution, optimizer: Optimizer) -> Formulas {
        let config = self.config;
        Formulas {
            num_samples: config.num_samples as f64,
            num_inputs: config.num_inputs as f64,
            scale: config.scale.value(config.num_inputs),
            curvature_factor: config.loss.curvature_factor(),
            num_features: solution.num_features().map(|c| c as f64),
            rho_over_alpha: optimizer.rho_over_alpha(),
        }
    }
}

/// Whether the network interpolates, and which units fire: in this order.
fn structure(curvature: &Curvature<'_>, width: usize) -> [Measurement; 3] {
    let error = curvature.residuals().iter().fold(0.0_f64, |largest, e| largest.max(e.abs()));
    let mut num_samples_of = vec![0_usize; width];
    let mut max_active = 0;
    for sample in 0..curvature.num_samples() {
        let active = curvature.active_units(sample);
        max_active = max_active.max(active.len());
        for &unit in active {
            num_samples_of[unit] += 1;
        }
    }
    let largest_cluster = num_samples_of.into_iter().max().unwrap_or(0);
    [
        Measurement::new(Optimizer::sgd(), Metric::InterpolationError, error),
        Measurement::new(Optimizer::sgd(), Metric::MaxActiveUnits, max_active as f64),
        Measurement::new(Optimizer::sgd(), Metric::LargestCluster, largest_cluster as f64),
    ]
}

impl Cells for SolutionCells<'_> {
    /// Empty if the solution does not exist on the data.
    type Error = crate::ExperimentError;
    type Output = Vec<Compared>;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.cells.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Vec<Compared>> {
        let (config, cell) = (self.config, &self.cells[index]);
        let key = StreamKey::new(config.seed, ID).text("data");
        // The solutions share their data.
        let key = match cell.redundancy {
            Redundancy::Independent => key.text("independent"),
            Redundancy::Correlated { probability } => key.text("correlated").float(probability),
            Redundancy::Repeated { num_distinct } => key.text("repeated").number(num_distinct as u64),
        };
        let mut rng = key.number(cell.draw as u64).generator();
        let data = parity::draw(config.num_samples, config.num_inputs, cell.redundancy, &mut rng)?;
        match cell.solution.network(config, &data)? {
            Some(network) => self.measure(cell, &data, &network),
            None => Ok(Vec::new()),
        }
    }
}
