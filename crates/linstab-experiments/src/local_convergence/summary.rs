//! The tables, and what they say about the paper's statements.

use std::fmt::Write;

use serde::Serialize;

use super::cells::{Cell, CellResult, Method};
use super::config::Config;
use crate::minimum::{Measurement, Metric};
use linstab_driver::statistics::{mean, standard_deviation};
use linstab_driver::table::number;

/// A row of `tables/local-convergence.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossRow {
    /// `sgd` or `sam`.
    pub optimizer: &'static str,
    /// Radius of SAM's normalised ascent; 0 for SGD.
    pub rho: f64,
    /// Number of inputs `C` that the solution looks at.
    pub num_features: usize,
    /// Number of epochs that are over; 0 is the perturbed solution.
    pub epoch: usize,
    /// Mean over the runs of the mean loss over all samples; infinite if a run diverged.
    #[serde(serialize_with = "number")]
    pub mean_loss: f64,
    /// Standard deviation over the runs (with `n - 1`); NaN if a run diverged.
    #[serde(serialize_with = "number")]
    pub sd_loss: f64,
    /// Runs that were made.
    pub num_runs: usize,
    /// Runs that have diverged by then.
    pub num_diverged: usize,
}

/// A row of `tables/local-convergence-solutions.csv`: the unperturbed solutions on the data of the runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SolutionRow {
    /// Number of inputs `C` that the solution looks at.
    pub num_features: usize,
    /// `lambda_max_s`, `max_sample_sharpness`, `sigma`, `sharpness`, `trace`, `gradient_descent_limit`, and for each batch size
    /// `max_learning_rate` (the exact mean-square threshold of SGD), `criterion_divergence`, `criterion_theorem_3_3`.
    pub metric: Metric,
    /// Batch size, where it matters.
    pub batch_size: Option<usize>,
    /// Mean over the runs.
    #[serde(serialize_with = "number")]
    pub mean: f64,
    /// Standard deviation over the runs (with `n - 1`); NaN where the mean is infinite.
    #[serde(serialize_with = "number")]
    pub sd: f64,
    /// Number of runs.
    pub num_runs: usize,
}

/// The losses, by method, solution and epoch.
pub(super) fn losses(config: &Config, cells: &[Cell], outputs: &[CellResult]) -> Vec<LossRow> {
    let mut rows = Vec::new();
    for (place, method) in Method::all(config).into_iter().enumerate() {
        for &num_features in &config.num_features {
            for epoch in 0..=config.num_epochs {
                let of_run = |(_, output): (&Cell, &CellResult)| output.losses[place][epoch];
                let values: Vec<f64> = runs_of(num_features, cells, outputs).map(of_run).collect();
                rows.push(LossRow {
                    optimizer: method.name(),
                    rho: method.rho(),
                    num_features,
                    epoch,
                    mean_loss: mean(&values),
                    sd_loss: standard_deviation(&values),
                    num_runs: values.len(),
                    num_diverged: values.iter().filter(|loss| !loss.is_finite()).count(),
                });
            }
        }
    }
    rows
}

/// The solutions, by number of features and metric.
pub(super) fn solutions(config: &Config, cells: &[Cell], outputs: &[CellResult]) -> Vec<SolutionRow> {
    let mut rows = Vec::new();
    for &num_features in &config.num_features {
        let runs: Vec<&[Measurement]> =
            runs_of(num_features, cells, outputs).map(|(_, output)| &output.solution[..]).collect();
        for (place, what) in runs.first().copied().unwrap_or_default().iter().enumerate() {
            let values: Vec<f64> = runs.iter().map(|run| run[place].value).collect();
            rows.push(SolutionRow {
                num_features,
                metric: what.metric,
                batch_size: what.batch_size,
                mean: mean(&values),
                sd: standard_deviation(&values),
                num_runs: values.len(),
            });
        }
    }
    rows
}

fn runs_of<'a>(
    num_features: usize,
    cells: &'a [Cell],
    outputs: &'a [CellResult],
) -> impl Iterator<Item = (&'a Cell, &'a CellResult)> {
    cells.iter().zip(outputs).filter(move |(cell, _)| cell.num_features == num_features)
}

/// The mean losses of one method after one epoch, solution by solution.
pub(super) fn across_solutions(config: &Config, rows: &[LossRow], method: Method, epoch: usize) -> Vec<f64> {
    let of = |&num_features: &usize| {
        let mut found = rows.iter().filter(|row| {
            row.optimizer == method.name()
                && row.rho.to_bits() == method.rho().to_bits()
                && (row.num_features, row.epoch) == (num_features, epoch)
        });
        found.next().map_or(f64::NAN, |row| row.mean_loss)
    };
    config.num_features.iter().map(of).collect()
}

/// The last epoch up to which, from the first on, fewer features mean a smaller mean loss (relative to that of the start, if
/// `relative`); 0 if not even in the first.
pub(super) fn last_ordered_epoch(config: &Config, rows: &[LossRow], method: Method, relative: bool) -> usize {
    // The solutions in the order of their features, however they are listed.
    let mut order: Vec<usize> = (0..config.num_features.len()).collect();
    order.sort_by_key(|&place| config.num_features[place]);
    let start = across_solutions(config, rows, method, 0);
    let ordered = |epoch: &usize| {
        let losses = across_solutions(config, rows, method, *epoch);
        let of = |place: usize| if relative { losses[place] / start[place] } else { losses[place] };
        order.windows(2).all(|pair| of(pair[0]) < of(pair[1]))
    };
    (1..=config.num_epochs).take_while(ordered).last().unwrap_or(0)
}

/// The findings as a text for a terminal.
pub(super) fn as_text(config: &Config, losses: &[LossRow], solutions: &[SolutionRow]) -> String {
    let mut text = headline(config, solutions);
    let _ = write!(text, "mean loss over {} runs", config.num_runs);
    let last = config.num_epochs;
    let num_first = config.num_first_epochs.min(last);
    let mut epochs = vec![0, 1, 2, num_first, last / 2, last];
    epochs.retain(|&epoch| epoch <= last);
    epochs.sort_unstable();
    epochs.dedup();
    let _ = write!(text, "\nmethod      C ");
    for epoch in &epochs {
        let _ = write!(text, "{:>11}", format!("epoch {epoch}"));
    }
    for method in Method::all(config) {
        let by_epoch: Vec<Vec<f64>> =
            epochs.iter().map(|&epoch| across_solutions(config, losses, method, epoch)).collect();
        for (place, c) in config.num_features.iter().enumerate() {
            let _ = write!(text, "\n{:<11}{c:<3}", title(method));
            for means in &by_epoch {
                let _ = write!(text, "{:>11.2e}", means[place]);
            }
        }
    }
    text.push('\n');
    for method in Method::all(config) {
        let [absolute, relative] =
            [false, true].map(|relative| last_ordered_epoch(config, losses, method, relative));
        let name = title(method);
        let _ = writeln!(
            text,
            "{name}: the loss rises with C through epoch {absolute} of {last}, the loss relative to its start through {relative}"
        );
    }
    compare_with_sgd(&mut text, config, losses, num_first);
    describe_solutions(&mut text, config, solutions);
    text
}

fn compare_with_sgd(text: &mut String, config: &Config, losses: &[LossRow], num_first: usize) {
    for &rho in &config.sam_rho {
        for epoch in [1, num_first] {
            let sgd = across_solutions(config, losses, Method::Sgd, epoch);
            let sam = across_solutions(config, losses, Method::Sam { rho }, epoch);
            let ratios: Vec<String> =
                sam.iter().zip(&sgd).map(|(sam, sgd)| format!("{:.3}", sam / sgd)).collect();
            let ratios = ratios.join(", ");
            let _ = writeln!(text, "sam {rho} / sgd, loss after epoch {epoch}, by C: {ratios}");
        }
    }
}

fn describe_solutions(text: &mut String, config: &Config, rows: &[SolutionRow]) {
    let mut line = |name: &str, metric: Metric, batch_size: Option<usize>| {
        let wanted = |row: &&SolutionRow| row.metric == metric && row.batch_size == batch_size;
        let means: Vec<String> = rows.iter().filter(wanted).map(|row| format!("{:.4}", row.mean)).collect();
        let _ = writeln!(text, "{name} by C: {}", means.join(", "));
    };
    line("coherence sigma", Metric::Sigma, None);
    line("sharpness", Metric::Sharpness, None);
    line("trace", Metric::Trace, None);
    for &batch_size in &config.threshold_batch_size {
        let name = format!("exact threshold, B={batch_size},");
        line(&name, Metric::MaxLearningRate, Some(batch_size));
    }
}

/// The result in short: how far apart the thresholds of the solutions are.
fn headline(config: &Config, rows: &[SolutionRow]) -> String {
    let mut text = String::new();
    let of = |num_features: usize, batch_size: usize| {
        let wanted =
            |row: &&SolutionRow| row.num_features == num_features && row.metric == Metric::MaxLearningRate;
        let mut found = rows.iter().filter(wanted).filter(|row| row.batch_size == Some(batch_size));
        found.next().map_or(f64::NAN, |row| row.mean)
    };
    let extremes = (config.num_features.iter().min(), config.num_features.iter().max());
    if let (Some(&fewest), Some(&most)) = extremes {
        let ratios = config.threshold_batch_size.iter();
        let ratios: Vec<String> =
            ratios.map(|&b| format!("{:.2} (B={b})", of(fewest, b) / of(most, b))).collect();
        let ratios = ratios.join(", ");
        let _ = writeln!(text, "exact threshold of C={fewest} over that of C={most}: {ratios}");
    }
    text
}

/// A method in figures and texts.
pub(super) fn title(method: Method) -> String {
    match method {
        Method::Sgd => "SGD".to_owned(),
        Method::Sam { rho } => format!("SAM {rho}"),
    }
}
