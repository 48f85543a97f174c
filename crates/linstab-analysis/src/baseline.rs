//! Regression checks: whether the stability of a model is where it was.

use std::path::Path;

use linstab_dynamics::mean_square::TOLERANCES;
use linstab_linalg::Comparison;

use crate::analysis::{Grams, Sizes, in_units, trace};
use crate::answer::{Ask, answer};
use crate::human::{short, wrapped};
use crate::range::Seen;
use crate::report::{Report, SCHEMA, Training};
use crate::request::TOLERANCE;
use crate::{AnalysisError, Result};

/// Reads a baseline, the report of an analysis in JSON.
///
/// # Errors
/// [`AnalysisError::Io`]; [`AnalysisError::Unsupported`] for a file that is none, or one of another schema, or one without a threshold,
/// which would always hold.
pub fn read(path: &Path) -> Result<Report> {
    parse(path, &std::fs::read(path).map_err(AnalysisError::io("read", path))?)
}

/// As [`read`], for the contents of a file; `path` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, contents: &[u8]) -> Result<Report> {
    let refuse = |problem: String| AnalysisError::unsupported(path, problem);
    let made = "make one by an analysis in JSON";
    let value: serde_json::Value = serde_json::from_slice(contents)
        .map_err(|error| refuse(format!("is no JSON baseline ({error}); {made}")))?;
    if value.get("schema").is_none() {
        return Err(refuse(format!("is JSON, but no baseline: it names no schema; {made}")));
    }
    if value["schema"] != SCHEMA {
        return Err(refuse(format!(
            "is a baseline of schema {}, supported: {SCHEMA}; {made}",
            value["schema"]
        )));
    }
    let report: Report = serde_json::from_value(value.clone())
        .map_err(|error| refuse(format!("is no baseline ({error}); {made}")))?;
    // A key with an error in it would say nothing, and what it stands for would not be held.
    if let Ok(known) = serde_json::to_value(&report)
        && let Some(key) = unknown_key(&value, &known)
    {
        return Err(refuse(format!("has a key `{key}` that no baseline has; {made}")));
    }
    if report.stability.is_empty() {
        return Err(refuse(format!("holds no threshold; {made}")));
    }
    for line in &report.stability {
        let (rate, name) = (line.max_learning_rate.0, line.training.optimizer);
        if rate.is_nan() || rate <= 0.0 {
            return Err(refuse(format!(
                "has a max learning rate of {rate} for {name}, allowed: above 0, or inf; {made}"
            )));
        }
    }
    if !(report.scale > 0.0 && report.scale.is_finite()) {
        return Err(refuse(format!("has scale {}, allowed: positive and finite", report.scale)));
    }
    Ok(report)
}

/// A key that holds something and is not among those that are known.
fn unknown_key<'a>(read: &'a serde_json::Value, known: &serde_json::Value) -> Option<&'a str> {
    use serde_json::Value;
    match (read, known) {
        (Value::Object(read), Value::Object(known)) => {
            read.iter().find_map(|(key, value)| match known.get(key) {
                Some(known) => unknown_key(value, known),
                None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(key.as_str()),
            })
        }
        (Value::Array(read), Value::Array(known)) => {
            read.iter().zip(known).find_map(|(read, known)| unknown_key(read, known))
        }
        _ => None,
    }
}

/// Recomputes what a baseline says of the data and every threshold of it.
///
/// Compared are the sizes, sharpness, trace, the sharpest sample, the coherence measure, and for each line the max learning rate and the
/// full batch's. Not compared are the rank, which rounding can move; growth rates and exponents, which belong to one learning rate;
/// criteria and responsible samples, which follow from the rest.
///
/// Thresholds agree where the intervals meet within which they are known. The baseline's scale is part of the inner products.
/// # Errors
/// [`AnalysisError::Option`] for a tolerance that is none, [`AnalysisError::OutOfRange`]; whatever stops the analysis.
pub fn compare(grams: Grams<'_>, sizes: Sizes, baseline: &Report, rtol: f64) -> Result<Vec<Comparison>> {
    if !(rtol >= 0.0 && rtol.is_finite()) {
        let allowed = "nonnegative and finite".to_owned();
        return Err(AnalysisError::Option { name: "rtol".to_owned(), value: rtol.to_string(), allowed });
    }
    let mut ensembles = Seen::from_grams(grams, sizes, rtol.clamp(*TOLERANCES.start(), TOLERANCE))?;
    let (ensemble, unit) = (&ensembles.plain.ensemble.clone(), ensembles.plain.unit);
    let mut comparisons = Vec::new();
    let mut compare = |name: String, expected: f64, found: f64, rtol: f64| {
        comparisons.push(Comparison { name, expected, found, rtol });
    };
    let coherence = ensembles.plain.coherence(grams.plain)?;
    let sharpest = coherence.as_ref().map_or(0.0, |coherence| coherence.max_sample_sharpness);
    let sharpness = ensemble.mean_eigenvalues().first().copied().unwrap_or(0.0);
    for (name, expected, found) in [
        ("num_samples", baseline.num_samples as f64, sizes.num_samples as f64),
        ("num_factors", baseline.num_factors as f64, sizes.num_factors as f64),
        ("sharpness", baseline.sharpness, unit * sharpness),
        ("trace", baseline.trace, unit * trace(ensemble)),
        ("max_sample_sharpness", baseline.max_sample_sharpness, unit * sharpest),
    ] {
        compare(name.to_owned(), expected, found, rtol);
    }
    if let (Some(expected), Some(found)) = (baseline.num_parameters, sizes.num_parameters) {
        compare("num_parameters".to_owned(), expected as f64, found as f64, rtol);
    }
    match (&baseline.coherence, &coherence) {
        (Some(expected), Some(found)) => {
            compare("coherence sigma".to_owned(), expected.sigma, found.measure, rtol);
        }
        (Some(expected), None) => compare("coherence sigma".to_owned(), expected.sigma, f64::NAN, rtol),
        _ => {}
    }
    for line in &baseline.stability {
        let Training { optimizer, batch_size, .. } = line.training;
        let seen = ensembles.by(optimizer)?;
        let (found, limit, interval) = if batch_size > baseline.population.unwrap_or(sizes.num_samples) {
            (f64::NAN, f64::NAN, (f64::NAN, f64::NAN))
        } else {
            let training = Training { optimizer: in_units(optimizer, seen)?, ..line.training };
            let ask = Ask { learning_rate: None, lyapunov: false, seed: 0, population: baseline.population };
            let answer = answer((&seen.ensemble, &mut seen.solver), training, ask)?;
            (
                answer.max_learning_rate / seen.unit,
                answer.gradient_descent_limit / seen.unit,
                (answer.interval.0 / seen.unit, answer.interval.1 / seen.unit),
            )
        };
        let name = format!("{optimizer}, {}, at batch size {batch_size}", line.training.sampling);
        let (expected, (low, high)) = (line.max_learning_rate.0, line.max_learning_rate_interval);
        // Two thresholds that are known within intervals agree where these meet.
        let up = found >= expected;
        let margin = towards(expected, (low.0, high.0), up) + towards(found, interval, !up);
        let tolerance = rtol.max(margin / expected);
        compare(format!("max learning rate of {name}"), expected, found, tolerance);
        compare(format!("full-batch limit of {name}"), line.gradient_descent_limit.0, limit, rtol);
    }
    Ok(comparisons)
}

/// How far the interval of a value reaches above it, or below; nothing where it has no bounds.
fn towards(value: f64, (low, high): (f64, f64), above: bool) -> f64 {
    let reach = if above { high - value } else { value - low };
    if reach.is_finite() { reach.min(high - low).max(0.0) } else { 0.0 }
}

/// What moved, a paragraph each, and a line that counts.
pub fn describe(comparisons: &[Comparison]) -> String {
    let moved: Vec<String> =
        comparisons.iter().filter(|comparison| !comparison.holds()).map(paragraph).collect();
    let (all, moved, text) = (comparisons.len(), moved.len(), moved.concat());
    format!("{text}{all} numbers compared, {} hold, {moved} moved\n", all - moved)
}

fn paragraph(moved: &Comparison) -> String {
    let relative = moved.relative_change();
    // A number that moved must be seen to, however little it did.
    let little = relative.abs() < 1e-4;
    let number = |value: f64| if little { format!("{value:.9e}") } else { short(value) };
    let percent = 100.0 * relative;
    let by = match percent.abs() {
        _ if percent.is_nan() => String::new(),
        1e-2..1e6 => format!(" ({percent:+.3} %)"),
        _ => format!(" ({percent:+.1e} %)"),
    };
    let said = format!("was {}, is {}{by}", number(moved.expected), number(moved.found));
    wrapped(&moved.name, "  ") + "  " + &wrapped(&said, "  ")
}
