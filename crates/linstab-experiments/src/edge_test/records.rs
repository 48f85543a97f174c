//! The records of the runs, as `cargo xtask evidence` writes them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use linstab_driver::config_file;
use linstab_driver::experiment::DataDigest;
use linstab_driver::manifest::sha256_hex;
use linstab_driver::{DriverError, Result};
use linstab_dynamics::Optimizer;

use super::transition::Trial;

/// A minimum of a network: a row of `minima.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(super) struct Minimum {
    pub(super) minimum: String,
    pub(super) network: String,
    pub(super) data: String,
    pub(super) loss: String,
    pub(super) seed: u64,
    pub(super) num_samples: usize,
    pub(super) num_parameters: usize,
    pub(super) final_loss: f64,
    interpolating: u8,
    /// Of the Gauss-Newton matrix.
    pub(super) sharpness: f64,
    /// Of the full Hessian, where it was computed.
    pub(super) hessian_sharpness: Option<f64>,
}

impl Minimum {
    /// Whether every sample is fitted, so that curvatures are those of the Gauss-Newton matrices.
    pub(super) fn is_interpolating(&self) -> bool {
        self.interpolating > 0
    }
}

/// A learning rate at which something predicts the end of stability: a row of `thresholds.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Threshold {
    minimum: String,
    optimizer: String,
    sampling: String,
    batch_size: usize,
    pub(super) predictor: String,
    /// None if it does not speak of this case.
    pub(super) learning_rate: Option<f64>,
    /// Its interval, where it has one.
    pub(super) lower: Option<f64>,
    /// See `lower`.
    pub(super) upper: Option<f64>,
}

/// Runs of one setting at one learning rate: a row of `restarts.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Restarts {
    pub(super) minimum: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    learning_rate: f64,
    num_runs: usize,
    num_grown: usize,
    live_second_moment: u8,
}

/// A step of an ordinary training: a row of `trainings.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct TrainingStep {
    pub(super) training: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    /// Thresholds are computed at some of the steps.
    pub(super) mean_square: Option<f64>,
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

fn key((minimum, optimizer, sampling, batch_size): (&str, &str, &str, usize)) -> Key {
    let [minimum, optimizer, sampling] = [minimum, optimizer, sampling].map(str::to_owned);
    Key { minimum, optimizer, sampling, batch_size }
}

/// How the records came to be: `record.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Provenance {
    pub(super) date: String,
    pub(super) processor: String,
    pub(super) hours_of_one_core: f64,
}

/// All records.
#[derive(Clone, Debug)]
pub(super) struct Records {
    pub(super) provenance: Provenance,
    pub(super) minima: Vec<Minimum>,
    pub(super) thresholds: Vec<Threshold>,
    pub(super) restarts: Vec<Restarts>,
    /// Some of them again with a framework's own layers, loader and optimizer.
    pub(super) again: Vec<Restarts>,
    pub(super) trainings: Vec<TrainingStep>,
    /// What was read.
    pub(super) digests: Vec<DataDigest>,
}

impl Records {
    /// Reads and checks the records in a folder.
    ///
    /// # Errors
    /// [`DriverError::Io`] if a file cannot be read, [`DriverError::DataFile`] for the first row that makes no sense.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut digests = Vec::new();
        let minima = rows(folder, "minima.csv", &mut digests)?;
        let thresholds = rows(folder, "thresholds.csv", &mut digests)?;
        let restarts = rows(folder, "restarts.csv", &mut digests)?;
        let again = rows_if_any(folder, AGAIN, &mut digests)?;
        let trainings = rows_if_any(folder, "trainings.csv", &mut digests)?;
        let provenance = config_file::read(&folder.join("record.toml"))?;
        let records = Self { provenance, minima, thresholds, restarts, again, trainings, digests };
        records.check(folder)?;
        Ok(records)
    }

    fn check(&self, folder: &Path) -> Result<()> {
        if self.restarts.is_empty() {
            return Err(refused(folder, "restarts.csv", 1, "holds no runs"));
        }
        self.check_runs(folder, "restarts.csv", &self.restarts)?;
        self.check_runs(folder, AGAIN, &self.again)?;
        let mut seen = BTreeSet::new();
        for (index, row) in self.thresholds.iter().enumerate() {
            let numbers = [row.learning_rate, row.lower, row.upper];
            let problem = |problem: &str| refused(folder, "thresholds.csv", index + 2, problem);
            if numbers.iter().flatten().any(|number| number.is_nan() || *number < 0.0) {
                return Err(problem("a learning rate is negative or no number"));
            }
            if !seen.insert((row.key(), row.predictor.as_str())) {
                return Err(problem("the same setting and predictor a second time"));
            }
        }
        Ok(())
    }

    fn check_runs(&self, folder: &Path, file: &str, rows: &[Restarts]) -> Result<()> {
        let known: BTreeSet<&str> = self.minima.iter().map(|minimum| minimum.minimum.as_str()).collect();
        let mut seen = BTreeSet::new();
        for (index, row) in rows.iter().enumerate() {
            let problem = |problem: String| refused(folder, file, index + 2, &problem);
            if !known.contains(row.minimum.as_str()) {
                return Err(problem(format!("no minimum `{}` in minima.csv", row.minimum)));
            }
            if let Err(error) = row.optimizer.parse::<Optimizer>() {
                return Err(problem(format!("optimizer `{}`: {error}", row.optimizer)));
            }
            if !(row.learning_rate > 0.0 && row.learning_rate.is_finite()) {
                return Err(problem(format!("learning_rate is {}, allowed: positive", row.learning_rate)));
            }
            if row.num_runs == 0 || row.num_grown > row.num_runs {
                return Err(problem(format!("{} of {} runs grew", row.num_grown, row.num_runs)));
            }
            if !seen.insert((row.key(), row.is_live(), row.learning_rate.to_bits())) {
                return Err(problem("the same setting and learning rate a second time".to_owned()));
            }
        }
        Ok(())
    }
}

/// The runs of a framework.
const AGAIN: &str = "torch.csv";

fn refused(folder: &Path, file: &str, line: usize, problem: &str) -> DriverError {
    let path = folder.join(file);
    DriverError::DataFile {
        path,
        problem: format!("line {line}: {problem}; `cargo xtask evidence` makes the records"),
    }
}

/// The rows of a file that need not be there.
fn rows_if_any<T: DeserializeOwned>(
    folder: &Path,
    file: &str,
    digests: &mut Vec<DataDigest>,
) -> Result<Vec<T>> {
    if folder.join(file).is_file() { rows(folder, file, digests) } else { Ok(Vec::new()) }
}

fn rows<T: DeserializeOwned>(folder: &Path, file: &str, digests: &mut Vec<DataDigest>) -> Result<Vec<T>> {
    let path = folder.join(file);
    let bytes = std::fs::read(&path).map_err(DriverError::io("read", &path))?;
    digests.push(DataDigest { path: file.to_owned(), sha256: sha256_hex(&bytes) });
    let rows =
        csv::Reader::from_reader(&bytes[..]).into_deserialize().collect::<std::result::Result<Vec<T>, _>>();
    let rows = rows.map_err(|error| {
        let line = error.position().map_or(1, csv::Position::line);
        refused(folder, file, usize::try_from(line).unwrap_or(usize::MAX), &error.to_string())
    })?;
    Ok(rows)
}
