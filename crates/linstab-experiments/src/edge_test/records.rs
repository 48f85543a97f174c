//! The records of the runs, as `cargo xtask evidence` writes them.

use std::path::Path;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use linstab_driver::DriverError;
use linstab_driver::config_file::printable;
use linstab_driver::experiment::DataDigest;

use super::transition::Trial;

/// A minimum of a network: a row of `minima.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub struct Minimum {
    pub(super) minimum: String,
    pub(super) network: String,
    pub(super) data: String,
    pub(super) loss: String,
    pub(super) seed: u64,
    pub(super) num_samples: usize,
    pub(super) num_parameters: usize,
    pub(super) final_loss: f64,
    pub(super) interpolating: u8,
    /// Of the Gauss-Newton matrix.
    pub(super) sharpness: f64,
    /// Of the full Hessian, where it was computed.
    #[serde(deserialize_with = "optional")]
    pub(super) hessian_sharpness: Option<f64>,
}

impl Minimum {
    /// Whether every sample is fitted, so that curvatures are those of the Gauss-Newton matrices.
    pub(super) fn is_interpolating(&self) -> bool {
        self.interpolating > 0
    }
}

/// A learning rate at which something predicts the end of stability: a row of `thresholds.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    minimum: String,
    optimizer: String,
    sampling: String,
    batch_size: usize,
    pub(super) predictor: String,
    /// None if it does not speak of this case.
    #[serde(deserialize_with = "optional")]
    pub(super) learning_rate: Option<f64>,
    /// Its interval, where it has one.
    #[serde(deserialize_with = "optional")]
    pub(super) lower: Option<f64>,
    /// See `lower`.
    #[serde(deserialize_with = "optional")]
    pub(super) upper: Option<f64>,
}

/// Runs of one setting at one learning rate: a row of `restarts.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restarts {
    pub(super) minimum: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    learning_rate: f64,
    num_runs: usize,
    num_grown: usize,
    pub(super) live_second_moment: u8,
}

/// A step of an ordinary training: a row of `trainings.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStep {
    pub(super) training: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    /// Thresholds are computed at some of the steps.
    #[serde(deserialize_with = "optional")]
    pub(super) mean_square: Option<f64>,
    #[serde(deserialize_with = "optional")]
    pub(super) gradient_descent_limit: Option<f64>,
    pub(super) event: String,
}

/// What is optimised how: what a prediction is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) minimum: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
}

impl Threshold {
    pub(super) fn key(&self) -> Key {
        key((&self.minimum, &self.optimizer, &self.sampling, self.batch_size))
    }
}

impl Restarts {
    pub(super) fn key(&self) -> Key {
        key((&self.minimum, &self.optimizer, &self.sampling, self.batch_size))
    }

    pub(super) fn trial(&self) -> Trial {
        Trial { learning_rate: self.learning_rate, num_runs: self.num_runs, num_grown: self.num_grown }
    }

    /// Whether the second moment of the optimizer goes on, instead of being frozen at the minimum as in the analysis.
    pub(super) fn is_live(&self) -> bool {
        self.live_second_moment > 0
    }
}

/// A number that may be missing, in a column that may not: the reader would take every misspelt name for a column without numbers.
fn optional<'de, D: Deserializer<'de>>(cell: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(cell)
}

fn key((minimum, optimizer, sampling, batch_size): (&str, &str, &str, usize)) -> Key {
    let [minimum, optimizer, sampling] = [minimum, optimizer, sampling].map(str::to_owned);
    Key { minimum, optimizer, sampling, batch_size }
}

/// How the records came to be: `record.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub(super) date: String,
    pub(super) processor: String,
    pub(super) hours_of_one_core: f64,
}

/// All records.
#[derive(Clone, Debug)]
pub struct Records {
    /// `record.toml`.
    pub provenance: Provenance,
    /// `minima.csv`.
    pub minima: Vec<Minimum>,
    /// `thresholds.csv`.
    pub thresholds: Vec<Threshold>,
    /// `restarts.csv`.
    pub restarts: Vec<Restarts>,
    /// `torch.csv`: some of them again with a framework's own layers, loader and optimizer.
    pub again: Vec<Restarts>,
    /// `trainings.csv`.
    pub trainings: Vec<TrainingStep>,
    /// What was read.
    pub(super) digests: Vec<DataDigest>,
}

/// The file of the runs of a framework.
pub(super) const AGAIN: &str = "torch.csv";

/// A row of a record that makes no sense.
pub(super) fn refused(folder: &Path, file: &str, line: usize, problem: &str) -> DriverError {
    let path = folder.join(file);
    DriverError::DataFile {
        path,
        problem: format!("line {line}: {}; `cargo xtask evidence` makes the records", printable(problem)),
    }
}
