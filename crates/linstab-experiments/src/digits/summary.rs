//! What the runs say about the predictions.

use std::fmt::Write;

use serde::Serialize;

use super::config::Config;
use super::minimum::Facts;
use super::runs::{End, RunRow};
use super::thresholds::{Prediction, ThresholdRow};
use linstab_driver::statistics::{mean, median, standard_deviation};
use linstab_driver::table::number;

/// A row of `tables/digits-summary.csv`: the runs of one optimizer, batch size and learning rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CellSummary {
    /// Name of the contender.
    pub(super) optimizer: String,
    /// Batch size `B`.
    pub(super) batch_size: usize,
    /// Mean-square threshold of its optimizer and loader.
    #[serde(serialize_with = "number")]
    pub(super) max_learning_rate: f64,
    /// Learning rate in units of it.
    pub(super) learning_rate_ratio: f64,
    /// Runs that were made.
    pub(super) num_runs: usize,
    /// Runs that grew.
    pub(super) num_grew: usize,
    /// Of these, runs that left the linear regime.
    pub(super) num_left_linear_regime: usize,
    /// Mean over the runs of the slope of the logarithm of the loss, a step.
    #[serde(serialize_with = "number")]
    pub(super) mean_slope: f64,
    /// Their standard deviation.
    #[serde(serialize_with = "number")]
    pub(super) sd_slope: f64,
    /// Twice the Lyapunov exponent: the slope that almost every run has in the long run.
    #[serde(serialize_with = "number")]
    pub(super) predicted_slope: f64,
    /// Its standard error.
    #[serde(serialize_with = "number")]
    pub(super) predicted_slope_error: f64,
    /// Median over the runs.
    #[serde(serialize_with = "number")]
    pub(super) median_final_loss: f64,
}

impl CellSummary {
    /// The summaries of rows that are contiguous by optimizer, batch size and ratio.
    pub(super) fn of_all(
        config: &Config,
        rows: &[RunRow],
        predictions: &[(&ThresholdRow, &Prediction)],
    ) -> Vec<Self> {
        let same = |a: &RunRow, b: &RunRow| {
            (&a.optimizer, a.batch_size, a.learning_rate_ratio.to_bits())
                == (&b.optimizer, b.batch_size, b.learning_rate_ratio.to_bits())
        };
        rows.chunk_by(same).map(|runs| Self::of(config, runs, predictions)).collect()
    }

    fn of(config: &Config, runs: &[RunRow], predictions: &[(&ThresholdRow, &Prediction)]) -> Self {
        let RunRow { optimizer, batch_size, max_learning_rate, learning_rate_ratio, .. } = runs[0].clone();
        let place = config
            .cells
            .learning_rate_ratios
            .iter()
            .position(|ratio| ratio.to_bits() == learning_rate_ratio.to_bits());
        // SAM as practised is no linear map near the minimum, and has no exponent.
        let exponent = predictions
            .iter()
            .find(|(row, _)| row.optimizer == optimizer && row.batch_size == batch_size)
            .and_then(|(_, prediction)| place.map(|place| prediction.exponents[place]));
        let (exponent, error) = exponent.unwrap_or((f64::NAN, f64::NAN));
        let slopes: Vec<f64> = runs.iter().map(|run| run.slope).filter(|slope| slope.is_finite()).collect();
        let final_losses: Vec<f64> = runs.iter().map(|run| run.final_loss).collect();
        Self {
            optimizer,
            batch_size,
            max_learning_rate,
            learning_rate_ratio,
            num_runs: runs.len(),
            num_grew: runs.iter().filter(|run| run.grew).count(),
            num_left_linear_regime: runs.iter().filter(|run| run.end == End::LeftLinearRegime).count(),
            mean_slope: mean(&slopes),
            sd_slope: standard_deviation(&slopes),
            predicted_slope: 2.0 * exponent,
            predicted_slope_error: 2.0 * error,
            median_final_loss: median(&final_losses),
        }
    }

    /// Share of the runs that grew.
    pub(super) fn share_grew(&self) -> f64 {
        self.num_grew as f64 / self.num_runs as f64
    }
}

/// The result for a terminal.
pub(super) fn as_text(
    config: &Config,
    facts: &Facts,
    thresholds: &[ThresholdRow],
    summaries: &[CellSummary],
) -> String {
    let [one, other] = config.digits.classes;
    let mut text = verdicts(config, summaries);
    let _ = write!(
        text,
        "{} images of {one} and {other}: loss {:.1e} after SGD, {:.1e} after {} Gauss-Newton steps (round {}); \
         sharpness {:.4}, sigma {:.2}, rank {}\n\
         restarted at distance {:e}; runs that grew, of all:\n\
         optimizer                  B       eta*  almost sure  divergence  Thm 3.3 ",
        config.num_samples,
        facts.loss_after_sgd,
        facts.loss,
        facts.num_polish_steps,
        facts.num_rounds,
        facts.sharpness,
        facts.sigma,
        facts.rank,
        config.protocol.distance,
    );
    for ratio in &config.cells.learning_rate_ratios {
        let _ = write!(text, "{:>8}", format!("{ratio} eta*"));
    }
    text.push('\n');
    for cell in summaries.chunk_by(|a, b| (&a.optimizer, a.batch_size) == (&b.optimizer, b.batch_size)) {
        let &CellSummary { ref optimizer, batch_size, max_learning_rate, .. } = &cell[0];
        let name = config
            .contenders
            .iter()
            .find(|contender| contender.name == *optimizer)
            .map(|contender| &config.analysed_as(contender).name);
        let analysed = |row: &&ThresholdRow| Some(&row.optimizer) == name && row.batch_size == batch_size;
        let Some(row) = thresholds.iter().find(analysed) else { continue };
        let _ = write!(
            text,
            "{:<23}{batch_size:>5}{max_learning_rate:>11.5}{:>13.5}{:>12.4}{:>9.4} ",
            optimizer, row.almost_sure_threshold, row.criterion_divergence, row.criterion_theorem_3_3,
        );
        for summary in cell {
            let _ = write!(text, "{:>8}", format!("{}/{}", summary.num_grew, summary.num_runs));
        }
        text.push('\n');
    }
    text.push_str(&between_thresholds(thresholds, summaries));
    text
}

/// The cells above eta* where, as far as the exponent is known, almost every run decays in the long run: there the mean square
/// is carried by rare runs, and single runs need not grow.
fn between_thresholds(thresholds: &[ThresholdRow], summaries: &[CellSummary]) -> String {
    let is_between = |cell: &&CellSummary| {
        let row = |row: &&ThresholdRow| row.optimizer == cell.optimizer && row.batch_size == cell.batch_size;
        let rate = cell.learning_rate_ratio * cell.max_learning_rate;
        cell.learning_rate_ratio > 1.0
            && thresholds.iter().find(row).is_some_and(|row| rate <= row.almost_sure_upper)
    };
    let cells: Vec<String> = summaries
        .iter()
        .filter(is_between)
        .map(|cell| {
            let CellSummary { optimizer, batch_size, learning_rate_ratio, num_grew, num_runs, .. } = cell;
            format!("{optimizer} B={batch_size} at {learning_rate_ratio} ({num_grew}/{num_runs})")
        })
        .collect();
    if cells.is_empty() {
        return String::new();
    }
    let cells = cells.join(", ");
    format!(
        "above eta*, but not above the almost-sure threshold by two standard errors, where single runs can decay: {cells}\n"
    )
}

/// For each optimizer and ratio, how many runs did as the exact threshold says.
fn verdicts(config: &Config, summaries: &[CellSummary]) -> String {
    let mut text = String::new();
    for contender in &config.contenders {
        let _ = write!(text, "{} did as eta* says:", contender.name);
        for &ratio in &config.cells.learning_rate_ratios {
            let cells: Vec<&CellSummary> = summaries
                .iter()
                .filter(|cell| {
                    cell.optimizer == contender.name && cell.learning_rate_ratio.to_bits() == ratio.to_bits()
                })
                .collect();
            let right =
                |cell: &CellSummary| if ratio > 1.0 { cell.share_grew() } else { 1.0 - cell.share_grew() };
            let shares: Vec<f64> = cells.iter().map(|cell| right(cell)).collect();
            let least = shares.iter().copied().fold(1.0, f64::min);
            let _ = write!(
                text,
                " at {ratio} {:.0} % (least over B {:.0} %);",
                100.0 * mean(&shares),
                100.0 * least
            );
        }
        text.pop();
        text.push('\n');
    }
    text
}
