//! Regression checks: whether the stability of a model is where it was.

use std::path::Path;

use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, UpdateRule};
use linstab_linalg::{MatRef, Reduced};

use crate::analysis::Sizes;
use crate::human::{short, table};
use crate::report::{Report, SCHEMA};
use crate::{AnalysisError, Result};

/// A number of a baseline and what it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What it is.
    pub name: String,
    /// Its value in the baseline.
    pub expected: f64,
    /// Its value now; NaN if there is none any more, as for a batch larger than the data.
    pub found: f64,
    /// Largest accepted relative difference.
    pub rtol: f64,
}

impl Comparison {
    /// Whether the number is where it was.
    pub fn holds(&self) -> bool {
        if self.expected.is_finite() {
            (self.found - self.expected).abs() <= self.rtol * self.expected.abs()
        } else {
            self.found.to_bits() == self.expected.to_bits()
        }
    }
}

/// Reads a baseline, a report of `linstab analyze --format json`.
///
/// # Errors
/// [`AnalysisError::Io`]; [`AnalysisError::Unsupported`] for a file that is none, or one of another schema, or one without a threshold,
/// which would always hold.
pub fn read(path: &Path) -> Result<Report> {
    let bytes = std::fs::read(path).map_err(AnalysisError::io("read", path))?;
    let refuse = |problem: String| AnalysisError::unsupported(path, problem);
    let made = "make one with `linstab analyze FACTORS --format json -o BASELINE.json`";
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| refuse(format!("is no JSON baseline ({error}); {made}")))?;
    if value["schema"] != SCHEMA {
        return Err(refuse(format!(
            "is a baseline of schema {}, supported: {SCHEMA}; {made}",
            value["schema"]
        )));
    }
    let report: Report =
        serde_json::from_value(value).map_err(|error| refuse(format!("is no baseline ({error}); {made}")))?;
    if report.stability.is_empty() {
        return Err(refuse(format!("holds no threshold; {made}")));
    }
    if !(report.scale > 0.0 && report.scale.is_finite()) {
        return Err(refuse(format!("has scale {}, allowed: positive and finite", report.scale)));
    }
    Ok(report)
}

/// Recomputes every threshold of a baseline.
///
/// # Shapes
/// `gram`: (num_samples * num_factors, ..), both triangles, the baseline's scale included.
/// # Errors
/// [`AnalysisError::Option`] for a sampling scheme that is unknown; whatever stops the analysis.
pub fn compare(gram: MatRef<'_, f64>, sizes: Sizes, baseline: &Report, rtol: f64) -> Result<Vec<Comparison>> {
    if !(rtol >= 0.0 && rtol.is_finite()) {
        let allowed = "nonnegative and finite".to_owned();
        return Err(AnalysisError::Option { name: "--rtol", value: rtol.to_string(), allowed });
    }
    let ensemble = Reduced::from_gram(gram, sizes.num_samples, sizes.num_factors)?;
    let mut comparisons = Vec::new();
    let mut compare = |name: String, expected: f64, found: f64| {
        comparisons.push(Comparison { name, expected, found, rtol });
    };
    compare("num_samples".to_owned(), baseline.num_samples as f64, sizes.num_samples as f64);
    compare(
        "sharpness".to_owned(),
        baseline.sharpness,
        ensemble.mean_eigenvalues().first().copied().unwrap_or(0.0),
    );
    for line in &baseline.stability {
        let found = if line.batch_size > sizes.num_samples {
            f64::NAN
        } else {
            let sampling = BatchSampling::new(scheme(&line.sampling)?, sizes.num_samples, line.batch_size)?;
            let rule = UpdateRule::Sam { rho_over_alpha: line.rho_over_alpha };
            let analysis = MeanSquare::new(&ensemble, rule, sampling)?.with_momentum(line.momentum)?;
            analysis.max_learning_rate()?.value
        };
        let mut name = format!("max learning rate of {} at batch size {}", line.optimizer, line.batch_size);
        for (parameter, value) in [("rho/alpha", line.rho_over_alpha), ("momentum", line.momentum)] {
            if value.abs() > 0.0 {
                name = format!("{name}, {parameter} {value}");
            }
        }
        compare(name, line.max_learning_rate.0, found);
    }
    Ok(comparisons)
}

fn scheme(name: &str) -> Result<SamplingScheme> {
    let all =
        [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement, SamplingScheme::Bernoulli];
    all.into_iter().find(|scheme| scheme.name() == name).ok_or_else(|| AnalysisError::Option {
        name: "sampling",
        value: name.to_owned(),
        allowed: all.map(SamplingScheme::name).join(", "),
    })
}

/// What moved, as a table, and a line that counts.
pub fn describe(comparisons: &[Comparison]) -> String {
    let mut rows = vec![["moved", "was", "is", "by"].map(str::to_owned).to_vec()];
    for comparison in comparisons.iter().filter(|comparison| !comparison.holds()) {
        let relative = (comparison.found - comparison.expected) / comparison.expected.abs();
        let by = if relative.is_nan() { "-".to_owned() } else { format!("{:+.3} %", 100.0 * relative) };
        rows.push(vec![comparison.name.clone(), short(comparison.expected), short(comparison.found), by]);
    }
    let (all, moved) = (comparisons.len(), rows.len() - 1);
    let moved_table = if moved == 0 { String::new() } else { table(&rows) };
    format!("{moved_table}{all} numbers compared, {} hold, {moved} moved\n", all - moved)
}
