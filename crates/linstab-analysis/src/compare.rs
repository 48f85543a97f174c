//! Minima side by side: which is flatter, and which bears the larger learning rate.
//!
//! The samples are taken for a random part of all there could be: changes have standard errors by the infinitesimal jackknife, paired,
//! since the samples are the same at every minimum.

mod words;

use linstab_coherence::effective_rank;
use linstab_dynamics::mean_square::ThresholdSolver;
use linstab_dynamics::sampling::Loader;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use serde::Serialize;

use crate::diagnostics::of_threshold;
use crate::range::{Scaled, Seen};
use crate::report::DiagnosticReport;
use crate::units::counted;
use crate::{AnalysisError, Grams, Request, Result, Sizes};

/// One minimum, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    name: String,
    sizes: Sizes,
    sharpness: f64,
    /// The limit of gradient descent, which moves against the sharpness.
    descent: Threshold,
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
    /// Standard error of the natural logarithm of its ratio to the first.
    pub standard_error_of_sharpness: Option<f64>,
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
            let found = threshold((&analysis, solver, *unit), optimizer, batch_size)?;
            if request.diagnostics && optimizer == Optimizer::sgd() {
                let asked = ((&analysis, &mut *solver, *unit), found.value);
                diagnostics.extend(of_threshold(asked, batch_size, request, &mut known)?);
            }
            thresholds.push(found);
        }
    }
    let Scaled { ensemble, unit, solver } = &mut seen.plain;
    let (sgd, n) = (Optimizer::sgd(), sizes.num_samples);
    let full = BatchSampling::new(SamplingScheme::WithoutReplacement, n, n)?;
    let descent = threshold((&MeanSquare::new(ensemble, sgd, full)?, solver, *unit), sgd, n)?;
    let Scaled { ensemble, unit, .. } = &seen.plain;
    let eigenvalues = ensemble.mean_eigenvalues();
    let sigma = seen.plain.coherence(grams.plain)?.map(|coherence| coherence.measure);
    Ok(Minimum {
        name: name.to_owned(),
        sizes,
        sharpness: eigenvalues.first().copied().unwrap_or(0.0) * unit,
        descent,
        trace: crate::analysis::trace(ensemble) * unit,
        effective_rank: effective_rank(eigenvalues),
        sigma,
        thresholds,
        diagnostics,
    })
}

/// A threshold with what samples do to it.
fn threshold(
    (analysis, solver, unit): (&MeanSquare, &mut ThresholdSolver, f64),
    optimizer: Optimizer,
    batch_size: usize,
) -> Result<Threshold> {
    let found = solver.max_learning_rate(analysis)?;
    let relative = |x: &f64| x / found.value;
    let influences = analysis.influences(&found).ok();
    let influences = influences.map(|all| all.samples.iter().map(relative).collect());
    Ok(Threshold { optimizer, batch_size, value: found.value / unit, influences })
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
            format!("{} with {} of {}", minimum.name, counted(n, "sample"), counted(k, "factor"))
        };
        return refuse(said(other), format!("the same samples and factors as {}", said(first)));
    }
    let known = |minimum: &Minimum| MinimumReport {
        name: minimum.name.clone(),
        sharpness: minimum.sharpness,
        standard_error_of_sharpness: error_of_change(&minimum.descent, &first.descent),
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
