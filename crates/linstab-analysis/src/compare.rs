//! Minima side by side: which is flatter, and which bears the larger learning rate.
//!
//! The samples are taken for a random part of all there could be: changes have standard errors by the infinitesimal jackknife, paired,
//! since the samples are the same at every minimum.

use std::fmt::Write as _;

use linstab_coherence::effective_rank;
use linstab_dynamics::sampling::Loader;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer};
use serde::Serialize;

use crate::diagnostics::of_threshold;
use crate::human::{short, table, wrapped};
use crate::range::{Scaled, Seen};
use crate::report::DiagnosticReport;
use crate::{AnalysisError, Grams, Request, Result, Sizes};

/// Changes of so many standard errors are no accident.
const SIGNIFICANT: f64 = 2.0;

/// Thresholds are known no better than this, relatively.
const KNOWN: f64 = 1e-5;

/// One minimum, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    name: String,
    sizes: Sizes,
    sharpness: f64,
    trace: f64,
    effective_rank: f64,
    sigma: Option<f64>,
    thresholds: Vec<Threshold>,
    diagnostics: Vec<DiagnosticReport>,
}

/// A threshold, and the relative influence of every sample on it, where that is known.
#[derive(Clone, Debug, PartialEq)]
struct Threshold {
    optimizer: Optimizer,
    batch_size: usize,
    value: f64,
    influences: Option<Vec<f64>>,
}

/// Minima beside the first of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinimaReport {
    /// What is known of each, in the order given.
    pub minima: Vec<MinimumReport>,
    /// Thresholds: a row for each optimizer and batch size.
    pub thresholds: Vec<ThresholdReport>,
    /// Diagnostics of plain SGD, a row for each and batch size; absent unless they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticSeries>,
}

/// A diagnostic of all minima.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosticSeries {
    /// Its name.
    pub name: String,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The batch size.
    pub batch_size: usize,
    /// What was measured, in the order of the minima; null where it needs a learning rate.
    pub values: Vec<Option<f64>>,
    /// The learning rates at which it switches over the exact thresholds.
    pub ratios_to_exact: Vec<Option<f64>>,
}

/// What is known of one minimum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinimumReport {
    /// The file.
    pub name: String,
    /// Largest eigenvalue of the mean curvature.
    pub sharpness: f64,
    /// Its trace.
    pub trace: f64,
    /// Exponential of the entropy of its eigenvalues.
    pub effective_rank: f64,
    /// Coherence measure; null without curvature.
    pub sigma: Option<f64>,
}

/// Thresholds of all minima under one optimizer at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdReport {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The batch size.
    pub batch_size: usize,
    /// Largest stable learning rates, in the order of the minima.
    pub max_learning_rates: Vec<f64>,
    /// Natural logarithms of their ratios to the first.
    pub log_ratios: Vec<f64>,
    /// Standard errors of these; null for SAM and Nesterov's momentum.
    pub standard_errors: Vec<Option<f64>>,
}

/// Measures one minimum.
///
/// # Errors
/// As [`crate::analyse`]; [`AnalysisError::Option`] for loaders that reshuffle, ascent on the mini-batch or a population.
pub fn measure(name: &str, grams: Grams<'_>, sizes: Sizes, request: &Request) -> Result<Minimum> {
    request.check(sizes.num_samples)?;
    let refuse = |value: &str| {
        let (name, allowed) = ("sampling", "batches drawn afresh, of all samples, without ascent on them");
        Err(AnalysisError::Option {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        })
    };
    let Loader::Independent(scheme) = request.sampling else { return refuse("reshuffling") };
    let mut seen = Seen::from_grams(grams, sizes, request.tolerance)?;
    let (mut thresholds, mut diagnostics, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for &optimizer in &request.optimizers {
        if optimizer.batch_ascent().is_some() || request.population.is_some() {
            return refuse(&optimizer.to_string());
        }
        let scaled = seen.by(optimizer)?;
        let in_units = crate::analysis::in_units(optimizer, scaled)?;
        let Scaled { ensemble, unit, solver } = scaled;
        for &batch_size in &request.batch_sizes {
            let sampling = BatchSampling::new(scheme, sizes.num_samples, batch_size)?;
            let analysis = MeanSquare::new(ensemble, in_units, sampling)?;
            let found = solver.max_learning_rate(&analysis)?;
            let influences = analysis.influences(&found).ok();
            let relative = |x: &f64| x / found.value;
            let influences = influences.map(|all| all.samples.iter().map(relative).collect());
            if request.diagnostics && optimizer == Optimizer::sgd() {
                let asked = ((&analysis, &mut *solver, *unit), found.value / *unit);
                diagnostics.extend(of_threshold(asked, batch_size, request, &mut known)?);
            }
            thresholds.push(Threshold { optimizer, batch_size, value: found.value / *unit, influences });
        }
    }
    let Scaled { ensemble, unit, .. } = &seen.plain;
    let eigenvalues = ensemble.mean_eigenvalues();
    let sigma = seen.plain.coherence(grams.plain)?.map(|coherence| coherence.measure);
    Ok(Minimum {
        name: name.to_owned(),
        sizes,
        sharpness: eigenvalues.first().copied().unwrap_or(0.0) * unit,
        trace: crate::analysis::trace(ensemble) * unit,
        effective_rank: effective_rank(eigenvalues),
        sigma,
        thresholds,
        diagnostics,
    })
}

/// Minima beside the first of them.
///
/// # Errors
/// [`AnalysisError::Option`] for fewer than two, or of unlike numbers of samples or factors.
pub fn compare(minima: &[Minimum]) -> Result<MinimaReport> {
    let refuse = |value: String, allowed: String| {
        Err(AnalysisError::Option { name: "files".to_owned(), value, allowed })
    };
    let (Some(first), true) = (minima.first(), minima.len() > 1) else {
        return refuse(format!("{} of them", minima.len()), "two or more".to_owned());
    };
    let sizes = |minimum: &Minimum| (minimum.sizes.num_samples, minimum.sizes.num_factors);
    if let Some(other) = minima.iter().find(|minimum| sizes(minimum) != sizes(first)) {
        let said = |minimum: &Minimum| {
            let (n, k) = sizes(minimum);
            format!("{} with {n} samples of {k} factors", minimum.name)
        };
        return refuse(said(other), format!("the same samples and factors as {}", said(first)));
    }
    let known = |minimum: &Minimum| MinimumReport {
        name: minimum.name.clone(),
        sharpness: minimum.sharpness,
        trace: minimum.trace,
        effective_rank: minimum.effective_rank,
        sigma: minimum.sigma,
    };
    let row = |(at, reference): (usize, &Threshold)| {
        let of_all: Vec<&Threshold> = minima.iter().map(|minimum| &minimum.thresholds[at]).collect();
        ThresholdReport {
            optimizer: reference.optimizer,
            batch_size: reference.batch_size,
            max_learning_rates: of_all.iter().map(|one| one.value).collect(),
            log_ratios: of_all.iter().map(|one| (one.value / reference.value).ln()).collect(),
            standard_errors: of_all.iter().map(|one| error_of_change(one, reference)).collect(),
        }
    };
    Ok(MinimaReport {
        minima: minima.iter().map(known).collect(),
        thresholds: first.thresholds.iter().enumerate().map(row).collect(),
        diagnostics: series(minima),
    })
}

/// Diagnostics of the first minimum, each over all minima that have it.
fn series(minima: &[Minimum]) -> Vec<DiagnosticSeries> {
    let of = |first: &DiagnosticReport| {
        let same = |row: &&DiagnosticReport| row.name == first.name && row.batch_size == first.batch_size;
        let of_all = minima.iter().map(|minimum| minimum.diagnostics.iter().find(same));
        DiagnosticSeries {
            name: first.name.clone(),
            optimizer: first.optimizer,
            batch_size: first.batch_size,
            values: of_all.clone().map(|row| row?.value).collect(),
            ratios_to_exact: of_all.map(|row| row?.ratio_to_exact).collect(),
        }
    };
    minima.first().map_or_else(Vec::new, |first| first.diagnostics.iter().map(of).collect())
}

/// The standard error of the logarithm of a ratio of thresholds, paired by samples.
fn error_of_change(one: &Threshold, reference: &Threshold) -> Option<f64> {
    let (own, others) = (one.influences.as_ref()?, reference.influences.as_ref()?);
    let n = own.len() as f64;
    let squares: f64 = own.iter().zip(others).map(|(x, y)| (x - y) * (x - y)).sum();
    Some((squares / (n * (n - 1.0).max(1.0))).sqrt())
}

impl MinimaReport {
    /// The minima for a person: what moved and whether that is more than chance, then tables.
    pub fn describe(&self) -> String {
        let mut text: String = self.sentences().iter().map(|said| wrapped(said, "  ")).collect();
        let mut rows =
            vec![["minimum", "sharpness", "trace", "effective rank", "sigma"].map(str::to_owned).to_vec()];
        for minimum in &self.minima {
            rows.push(vec![
                minimum.name.clone(),
                short(minimum.sharpness),
                short(minimum.trace),
                format!("{:.1}", minimum.effective_rank),
                minimum.sigma.map_or_else(|| "-".to_owned(), |sigma| format!("{sigma:.2}")),
            ]);
        }
        let _ = write!(text, "\n{}", table(&rows));
        let mut rows = vec![vec!["optimizer".to_owned(), "batch size".to_owned()]];
        rows[0].extend(self.minima.iter().map(|minimum| minimum.name.clone()));
        for row in &self.thresholds {
            let mut cells = vec![row.optimizer.label(), row.batch_size.to_string()];
            cells.extend((0..self.minima.len()).map(|at| cell(row, at)));
            rows.push(cells);
        }
        let _ = write!(
            text,
            "\nlargest stable learning rates, and their change with its standard error:\n{}",
            table(&rows)
        );
        text
    }

    /// How each compares with the first, a sentence each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        (1..self.minima.len()).map(|at| self.sentence(at)).collect()
    }

    /// How a minimum compares with the first, chosen by the numbers.
    fn sentence(&self, at: usize) -> String {
        let (first, other) = (&self.minima[0], &self.minima[at]);
        let flatter = other.sharpness / first.sharpness;
        let flat = match flatter {
            _ if first.sharpness <= 0.0 && other.sharpness > 0.0 => {
                "sharper (the other has no curvature)".to_owned()
            }
            ratio if ratio < 1.0 - 1e-9 => {
                format!("flatter (sharpness {:.1} % lower)", 100.0 * (1.0 - ratio))
            }
            ratio if ratio > 1.0 + 1e-9 => {
                format!("sharper (sharpness {:.1} % higher)", 100.0 * (ratio - 1.0))
            }
            _ => "as sharp".to_owned(),
        };
        let significant = |row: &&ThresholdReport| {
            row.standard_errors[at]
                .is_some_and(|error| row.log_ratios[at].abs() > SIGNIFICANT * error + KNOWN)
        };
        let counted = |sign: f64| {
            self.thresholds.iter().filter(significant).filter(|row| sign * row.log_ratios[at] > 0.0).count()
        };
        let (more, less, all) = (counted(1.0), counted(-1.0), self.thresholds.len());
        let stable = match (more, less) {
            (0, 0) => "no threshold differs by more than chance".to_owned(),
            (more, 0) => format!("more stable at {more} of {all} settings, less at none"),
            (0, less) => format!("less stable at {less} of {all} settings, more at none"),
            (more, less) => format!("more stable at {more} of {all} settings, less at {less}"),
        };
        format!(
            "{} beside {}: {flat}; {stable} (beyond {SIGNIFICANT} standard errors)",
            other.name, first.name
        )
    }
}

fn cell(row: &ThresholdReport, at: usize) -> String {
    let value = short(row.max_learning_rates[at]);
    // Beside a minimum without curvature there is no ratio.
    if at == 0 || !row.log_ratios[at].is_finite() {
        return value;
    }
    let change = 100.0 * (row.log_ratios[at].exp() - 1.0);
    let error = row.standard_errors[at].map_or_else(String::new, |error| format!(" +- {:.1}", 100.0 * error));
    format!("{value} ({change:+.1}{error} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sharpness: f64, log_ratio: f64, error: Option<f64>) -> MinimaReport {
        let minimum = |name: &str, sharpness: f64| MinimumReport {
            name: name.to_owned(),
            sharpness,
            trace: 1.0,
            effective_rank: 1.0,
            sigma: None,
        };
        MinimaReport {
            minima: vec![minimum("a", 1.0), minimum("b", sharpness)],
            thresholds: vec![ThresholdReport {
                optimizer: Optimizer::sgd(),
                batch_size: 1,
                max_learning_rates: vec![1.0, log_ratio.exp()],
                log_ratios: vec![0.0, log_ratio],
                standard_errors: vec![Some(0.0), error],
            }],
            diagnostics: Vec::new(),
        }
    }

    /// Without curvature nothing limits, and no ratio says anything.
    #[test]
    fn a_minimum_without_curvature_has_no_ratio() {
        let mut report = report(1.0, f64::NEG_INFINITY, Some(0.1));
        report.minima[0].sharpness = 0.0;
        assert!(
            report.sentence(1).contains("sharper (the other has no curvature)"),
            "{}",
            report.sentence(1)
        );
        let cells = [f64::NEG_INFINITY, f64::NAN, 0.0].map(|log_ratio| {
            report.thresholds[0].log_ratios[1] = log_ratio;
            cell(&report.thresholds[0], 1)
        });
        assert_eq!(cells.each_ref().map(|cell| cell.contains('%')), [false, false, true], "{cells:?}");
    }

    #[test]
    fn sentences_follow_from_numbers() {
        for (sharpness, log_ratio, error, expected) in [
            (
                0.5,
                0.3,
                Some(0.1),
                "flatter (sharpness 50.0 % lower); more stable at 1 of 1 settings, less at none",
            ),
            (
                0.5,
                -0.3,
                Some(0.1),
                "flatter (sharpness 50.0 % lower); less stable at 1 of 1 settings, more at none",
            ),
            (
                2.0,
                0.3,
                Some(0.2),
                "sharper (sharpness 100.0 % higher); no threshold differs by more than chance",
            ),
            (1.0, 0.3, None, "as sharp; no threshold differs by more than chance"),
        ] {
            let text = report(sharpness, log_ratio, error).sentences().concat();
            assert!(text.starts_with(&format!("b beside a: {expected}")), "{text}");
        }
    }
}
