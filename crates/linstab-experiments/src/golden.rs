//! Golden thresholds: numbers that must not move, with their tolerance and where they come from.

use std::path::{Path, PathBuf};

use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::{
    AxisAlignedDynamics, BatchSampling, DynamicsError, MeanSquare, Optimizer, SamplingScheme,
};
use linstab_linalg::{AxisAligned, Comparison, Ensemble, Factored, Reduced};
use serde::Deserialize;

use crate::Result;
use linstab_driver::DriverError;
use linstab_driver::config_file;
use linstab_driver::files::write_atomically;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFile {
    threshold: Vec<Case>,
}

/// One golden number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    ensemble: EnsembleSpec,
    sampling: SamplingScheme,
    batch_size: usize,
    /// Of cases of an axis-aligned ensemble: `rho / alpha` of SAM, which the criteria ask for, too.
    #[serde(default)]
    rho_over_alpha: f64,
    /// Of other cases: the optimizer.
    #[serde(default)]
    optimizer: Option<Optimizer>,
    #[serde(default)]
    learning_rate: Option<f64>,
    quantity: Quantity,
    value: f64,
    rtol: f64,
    /// Read so that no number comes without one.
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum EnsembleSpec {
    /// The test family; optionally one axis of it alone.
    SharedDirection {
        num_samples: usize,
        coherence: usize,
        sharpness: f64,
        #[serde(default)]
        axis: Option<usize>,
    },
    /// Scalar curvatures.
    Scalars(Vec<f64>),
    /// Any curvatures: for each sample its factors, rows whose outer products add up to it.
    Factors(Vec<Vec<Vec<f64>>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Quantity {
    MeanSquareGrowth,
    LyapunovExponent,
    MaxLearningRate,
    CriterionDivergence,
    #[serde(rename = "criterion-theorem-3-3")]
    CriterionTheorem33,
}

/// A golden number and what is computed now.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenNumber {
    /// The file it stands in.
    pub path: PathBuf,
    /// Its name, value and tolerance.
    pub comparison: Comparison,
}

/// Recomputes every golden number in the TOML files of `folder`.
///
/// # Errors
/// A configuration error that names the file and line, or [`DriverError::Io`].
pub fn compare(folder: &Path) -> Result<Vec<GoldenNumber>> {
    let mut comparisons = Vec::new();
    for path in golden_files(folder)? {
        let file: GoldenFile = config_file::read(&path)?;
        for case in file.threshold {
            let found = case.compute()?;
            let Case { name, value: expected, rtol, .. } = case;
            let comparison = Comparison { name, expected, found, rtol };
            comparisons.push(GoldenNumber { path: path.clone(), comparison });
        }
    }
    // An empty comparison must not pass for one that holds.
    if comparisons.is_empty() {
        return Err(DriverError::NoThresholds { path: folder.to_path_buf() }.into());
    }
    Ok(comparisons)
}

/// Replaces the golden numbers that no longer hold by the present ones; comments and layout stay.
///
/// # Errors
/// As [`compare`].
pub fn bless(folder: &Path) -> Result<Vec<GoldenNumber>> {
    let moved: Vec<GoldenNumber> =
        compare(folder)?.into_iter().filter(|case| !case.comparison.holds()).collect();
    for path in golden_files(folder)? {
        let of_file: Vec<&Comparison> =
            moved.iter().filter(|case| case.path == path).map(|case| &case.comparison).collect();
        if of_file.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(DriverError::io("read", &path))?;
        let syntax = |message: String| DriverError::ConfigSyntax { path: path.clone(), line: 1, message };
        let mut document: toml_edit::DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| syntax(error.message().to_owned()))?;
        let tables = document["threshold"]
            .as_array_of_tables_mut()
            .ok_or_else(|| syntax("`threshold` is not an array of tables".to_owned()))?;
        for table in tables.iter_mut() {
            let name = table.get("name").and_then(toml_edit::Item::as_str);
            if let Some(case) = of_file.iter().find(|case| Some(case.name.as_str()) == name) {
                table["value"] = toml_edit::value(case.found);
            }
        }
        write_atomically(&path, document.to_string().as_bytes())?;
    }
    Ok(moved)
}

fn golden_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DriverError::io("list", folder))? {
        let path = entry.map_err(DriverError::io("list", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

impl Case {
    fn compute(&self) -> Result<f64> {
        if let EnsembleSpec::Factors(samples) = &self.ensemble {
            return self.compute_of_factors(samples);
        }
        let (ensemble, coherence) = self.ensemble.build()?;
        let sampling = BatchSampling::new(self.sampling, ensemble.num_samples(), self.batch_size)?;
        let rule = Optimizer::sam(self.rho_over_alpha)?;
        let dynamics = AxisAlignedDynamics::new(&ensemble, rule, sampling)?;
        let learning_rate = self.learning_rate.unwrap_or(f64::NAN);
        let problem = || Problem::of(&ensemble, coherence, self.batch_size, self.rho_over_alpha);
        Ok(match self.quantity {
            Quantity::MeanSquareGrowth => dynamics.growth_per_step(learning_rate)?,
            Quantity::LyapunovExponent => dynamics.lyapunov_exponent(learning_rate)?,
            Quantity::MaxLearningRate => dynamics.max_learning_rate(),
            Quantity::CriterionDivergence => criteria::divergence(&problem()?),
            Quantity::CriterionTheorem33 => criteria::existence_of_stable(&problem()?),
        })
    }
}

impl Case {
    /// The number, by the analysis of any ensemble.
    fn compute_of_factors(&self, samples: &[Vec<Vec<f64>>]) -> Result<f64> {
        let first = samples.first();
        let num_factors = first.map_or(0, Vec::len);
        let dim = first.and_then(|sample| sample.first()).map_or(0, Vec::len);
        let regular = samples
            .iter()
            .all(|sample| sample.len() == num_factors && sample.iter().all(|factor| factor.len() == dim));
        if !regular {
            let (what, why) =
                ("an ensemble of ragged factors", "each sample has as many rows, each row as many numbers");
            return Err(DynamicsError::Unsupported { what, why }.into());
        }
        let factors = Factored::new(samples.len(), num_factors, dim, samples.concat().concat())?;
        let sampling = BatchSampling::new(self.sampling, samples.len(), self.batch_size)?;
        let optimizer = self.optimizer.unwrap_or_else(Optimizer::sgd);
        let analysis = MeanSquare::new(&Reduced::of(&factors)?, optimizer, sampling)?;
        match self.quantity {
            Quantity::MaxLearningRate => Ok(analysis.max_learning_rate()?.value),
            // A missing learning rate is NaN, and refused as such.
            Quantity::MeanSquareGrowth => {
                Ok(analysis.growth_per_step(self.learning_rate.unwrap_or(f64::NAN))?)
            }
            Quantity::LyapunovExponent | Quantity::CriterionDivergence | Quantity::CriterionTheorem33 => {
                let (what, why) =
                    ("this quantity of factors", "allowed: max-learning-rate, mean-square-growth");
                Err(DynamicsError::Unsupported { what, why }.into())
            }
        }
    }
}

/// Samples of an ensemble with a golden threshold: a file with a mistake in it must not take all memory.
const MOST_SAMPLES: usize = 1_000_000;

impl EnsembleSpec {
    /// The ensemble, if it has axes, and its coherence measure.
    fn build(&self) -> Result<(AxisAligned, f64)> {
        match self {
            Self::SharedDirection { num_samples, coherence, sharpness, axis } => {
                if *num_samples > MOST_SAMPLES {
                    let (what, why) = ("an ensemble of so many samples", "allowed: up to a million");
                    return Err(DynamicsError::Unsupported { what, why }.into());
                }
                let family = AxisAligned::shared_direction(*num_samples, *coherence, *sharpness)?;
                let ensemble = match axis.filter(|&axis| axis < family.dim()) {
                    None => family,
                    Some(axis) => {
                        let axis = family.axis(axis);
                        let entries = axis.samples().iter().copied().zip(axis.curvatures().iter().copied());
                        AxisAligned::from_axes(*num_samples, vec![entries.collect()])?
                    }
                };
                Ok((ensemble, *coherence as f64))
            }
            Self::Factors(_) => {
                let (what, why) = ("an axis-aligned ensemble of factors", "they have no axes");
                Err(DynamicsError::Unsupported { what, why }.into())
            }
            Self::Scalars(curvatures) => {
                let diagonals: Vec<Vec<f64>> = curvatures.iter().map(|&h| vec![h]).collect();
                let ensemble = AxisAligned::from_diagonals(&diagonals)?;
                let coherence = linstab_coherence::Coherence::of(&ensemble)?.measure;
                Ok((ensemble, coherence))
            }
        }
    }
}
