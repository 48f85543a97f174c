//! Means and spreads over seeds, Table 1 side by side, and the regressions of Figure 4.

use std::fmt::Write;

use serde::Serialize;

use super::cells::Cell;
use super::config::Config;
use super::metric::{METRICS, Metric};
use super::tracking::Track;
use linstab_driver::statistics::{fit_line, mean, standard_deviation};
use linstab_driver::table::number;

/// All seeds of one combination of optimizer, learning rate and contrastive weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// The first of its cells.
    pub(super) cell: Cell,
    pub(super) tracks: &'a [Track],
}

impl Group<'_> {
    /// The values of a metric after so many epochs, of the trainings that got there.
    pub(super) fn values(&self, metric: Metric, epoch: usize) -> Vec<f64> {
        self.tracks
            .iter()
            .filter_map(|track| track.records.get(epoch))
            .map(|record| record[metric.index()])
            .collect()
    }

    /// The values of a metric as the released program reads it at the end of a training of so many epochs.
    pub(super) fn final_values(&self, metric: Metric, num_epochs: usize) -> Vec<f64> {
        self.values(metric, num_epochs - usize::from(is_read_before_the_last_epoch(metric)))
    }

    /// Mean of a metric over the epochs.
    pub(super) fn curve(&self, metric: Metric) -> Vec<(f64, f64)> {
        let num_records = self.tracks.iter().map(|track| track.records.len()).max().unwrap_or(0);
        (0..num_records).map(|epoch| (epoch as f64, mean(&self.values(metric, epoch)))).collect()
    }

    /// Standard deviation of a metric over the epochs.
    pub(super) fn spread(&self, metric: Metric) -> Vec<f64> {
        (0..self.curve(metric).len()).map(|epoch| standard_deviation(&self.values(metric, epoch))).collect()
    }
}

/// The released program reads the coherence matrix and the samples' sharpness at the start of the last epoch, the rest after it.
fn is_read_before_the_last_epoch(metric: Metric) -> bool {
    matches!(metric, Metric::LambdaMaxS | Metric::MaxSampleSharpness | Metric::Sigma)
}

/// The groups, in the order of the cells.
pub(super) fn group<'a>(cells: &[Cell], tracks: &'a [Track]) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    let mut start = 0;
    for chunk in cells.chunk_by(Cell::is_like) {
        groups.push(Group { cell: chunk[0], tracks: &tracks[start..start + chunk.len()] });
        start += chunk.len();
    }
    groups
}

/// A row of `tables/coherence-dynamics.csv`: one metric at one epoch, over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochRow {
    /// `sgd` or `sam`.
    pub optimizer: &'static str,
    /// Radius of SAM; 0 for SGD.
    pub rho: f64,
    /// Weight of the contrastive term.
    pub contrastive_weight: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Number of epochs that are over.
    pub epoch: usize,
    /// What was read.
    pub metric: Metric,
    /// Mean over the seeds.
    #[serde(serialize_with = "number")]
    pub mean: f64,
    /// Standard deviation over the seeds.
    #[serde(serialize_with = "number")]
    pub sd: f64,
    /// Trainings that got there.
    pub num_seeds: usize,
}

/// All metrics at all epochs.
pub(super) fn epochs(groups: &[Group<'_>]) -> Vec<EpochRow> {
    let mut rows = Vec::new();
    for group in groups {
        let num_records = group.tracks.iter().map(|track| track.records.len()).max().unwrap_or(0);
        for epoch in 0..num_records {
            for metric in METRICS {
                let (values, Cell { rho, contrastive_weight, learning_rate, .. }) =
                    (group.values(metric, epoch), group.cell);
                rows.push(EpochRow {
                    optimizer: group.cell.optimizer(),
                    rho,
                    contrastive_weight,
                    learning_rate,
                    epoch,
                    metric,
                    mean: mean(&values),
                    sd: standard_deviation(&values),
                    num_seeds: values.len(),
                });
            }
        }
    }
    rows
}

/// A row of `tables/coherence-dynamics-summary.csv`: one metric at the end of the training. As in the released program,
/// `lambda_max_s`, `max_sample_sharpness` and `sigma` are read before the last epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// `sgd` or `sam`.
    pub optimizer: &'static str,
    /// Radius of SAM; 0 for SGD.
    pub rho: f64,
    /// Weight of the contrastive term.
    pub contrastive_weight: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// What was read.
    pub metric: Metric,
    /// Mean over the seeds.
    #[serde(serialize_with = "number")]
    pub mean: f64,
    /// Standard deviation over the seeds.
    #[serde(serialize_with = "number")]
    pub sd: f64,
    /// Trainings that did not diverge.
    pub num_seeds: usize,
}

/// All metrics at the end.
pub(super) fn summarise(config: &Config, groups: &[Group<'_>]) -> Vec<SummaryRow> {
    let row = |group: &Group<'_>, metric: Metric| {
        let values = group.final_values(metric, config.num_epochs);
        let Cell { rho, contrastive_weight, learning_rate, .. } = group.cell;
        SummaryRow {
            optimizer: group.cell.optimizer(),
            rho,
            contrastive_weight,
            learning_rate,
            metric,
            mean: mean(&values),
            sd: standard_deviation(&values),
            num_seeds: values.len(),
        }
    };
    groups.iter().flat_map(|group| METRICS.map(|metric| row(group, metric))).collect()
}

/// A row of `tables/table-1.csv`: one number of ours beside one of others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What is compared.
    pub metric: Metric,
    /// Radius of SAM; 0 is SGD.
    pub rho: f64,
    /// Our mean.
    pub mean: f64,
    /// Our standard deviation.
    pub sd: f64,
    /// Our number of seeds.
    pub num_seeds: usize,
    /// Who reports the other number.
    pub source: String,
    /// The other mean.
    pub reported_mean: f64,
    /// The other standard deviation, where it is said.
    pub reported_sd: Option<f64>,
    /// Difference in standard errors of both sides, where they are known.
    pub difference_in_standard_errors: Option<f64>,
}

/// Table 1: the references of the configuration beside our numbers at the first learning rate, without contrastive term.
pub(super) fn compare(config: &Config, summary: &[SummaryRow]) -> Vec<Comparison> {
    let mut rows = Vec::new();
    for reference in &config.reference {
        for value in &reference.values {
            let ours = summary.iter().find(|row| {
                row.metric == reference.metric
                    && row.rho.to_bits() == value.rho.to_bits()
                    && row.contrastive_weight <= 0.0
                    && row.learning_rate.to_bits() == config.learning_rate[0].to_bits()
            });
            let Some(ours) = ours else { continue };
            let squared_error = |sd: f64, num: usize| sd * sd / num as f64;
            let both = value.sd.zip(reference.num_seeds);
            let difference = both.map(|(sd, num)| {
                let error = (squared_error(ours.sd, ours.num_seeds) + squared_error(sd, num)).sqrt();
                (ours.mean - value.mean) / error
            });
            rows.push(Comparison {
                metric: reference.metric,
                rho: value.rho,
                mean: ours.mean,
                sd: ours.sd,
                num_seeds: ours.num_seeds,
                source: reference.source.clone(),
                reported_mean: value.mean,
                reported_sd: value.sd,
                difference_in_standard_errors: difference,
            });
        }
    }
    rows
}

/// A row of `tables/figure-4.csv`: the end of one training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndRow {
    /// `sgd` or `sam`.
    pub optimizer: &'static str,
    /// Radius of SAM; 0 for SGD.
    pub rho: f64,
    /// Weight of the contrastive term.
    pub contrastive_weight: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// `max_i lambda_max(H_i)`.
    pub max_sample_sharpness: f64,
    /// Largest eigenvalue of the coherence matrix.
    pub lambda_max_s: f64,
}

/// The dots of Figure 4, training by training.
pub(super) fn all_ends(config: &Config, groups: &[Group<'_>]) -> Vec<EndRow> {
    let of = |group: &Group<'_>| {
        let Cell { rho, contrastive_weight, learning_rate, .. } = group.cell;
        let optimizer = group.cell.optimizer();
        let row = move |(max_sample_sharpness, lambda_max_s)| EndRow {
            optimizer,
            rho,
            contrastive_weight,
            learning_rate,
            max_sample_sharpness,
            lambda_max_s,
        };
        ends(config, group).into_iter().map(row)
    };
    groups.iter().flat_map(of).collect()
}

/// A row of `tables/figure-4-regressions.csv`: the line through the ends of all trainings of a panel, on logarithmic axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regression {
    /// Which panel.
    pub panel: String,
    /// Number of trainings.
    pub num_points: usize,
    /// `d log lambda_max(S) / d log max_i lambda_max(H_i)`.
    pub slope: f64,
    /// Natural logarithm of `lambda_max(S)` at `max_i lambda_max(H_i) = 1`.
    pub intercept: f64,
    /// Share of the variance of the logarithm that the line explains.
    pub r_squared: f64,
}

/// The panels of Figure 4: a name, and which groups are in it.
pub(super) fn panels<'a, 'b>(config: &Config, groups: &'b [Group<'a>]) -> Vec<(String, Vec<&'b Group<'a>>)> {
    let mut panels: Vec<_> = config
        .learning_rate
        .iter()
        .map(|&rate| {
            let is_in = |group: &&Group<'_>| {
                group.cell.learning_rate.to_bits() == rate.to_bits() && group.cell.contrastive_weight <= 0.0
            };
            (format!("optimizers, η = {rate}"), groups.iter().filter(is_in).collect())
        })
        .collect();
    let rate = config.learning_rate[0];
    let is_in =
        |group: &&Group<'_>| group.cell.learning_rate.to_bits() == rate.to_bits() && group.cell.rho <= 0.0;
    panels.push((format!("SGD, contrastive term, η = {rate}"), groups.iter().filter(is_in).collect()));
    panels
}

/// The ends of all trainings of a group: `(max_i lambda_max(H_i), lambda_max(S))`.
pub(super) fn ends(config: &Config, group: &Group<'_>) -> Vec<(f64, f64)> {
    let of = |metric| group.final_values(metric, config.num_epochs);
    let pairs = of(Metric::MaxSampleSharpness).into_iter().zip(of(Metric::LambdaMaxS));
    pairs.filter(|(x, y)| *x > 0.0 && *y > 0.0).collect()
}

/// The regression of each panel, and of all trainings together.
pub(super) fn regressions(config: &Config, groups: &[Group<'_>]) -> Vec<Regression> {
    let mut panels = panels(config, groups);
    panels.push(("all trainings".to_owned(), groups.iter().collect()));
    let line = |(panel, groups): (String, Vec<&Group<'_>>)| {
        let ends = groups.iter().flat_map(|group| ends(config, group));
        let points: Vec<(f64, f64)> = ends.map(|(x, y)| (x.ln(), y.ln())).collect();
        let line = fit_line(&points)?;
        let (slope, intercept, r_squared) = (line.slope, line.intercept, line.r_squared);
        Some(Regression { panel, num_points: points.len(), slope, intercept, r_squared })
    };
    panels.into_iter().filter_map(line).collect()
}

/// The result in a few lines.
pub(super) fn as_text(comparisons: &[Comparison], regressions: &[Regression]) -> String {
    let mut text = String::new();
    let compared = comparisons.iter().filter_map(|row| row.difference_in_standard_errors);
    let (count, largest) = compared.fold((0, 0.0_f64), |(n, most), z| (n + 1, most.max(z.abs())));
    let _ = writeln!(
        text,
        "Table 1: {count} numbers of the released code within {largest:.1} standard errors of ours"
    );
    for row in comparisons.iter().filter(|row| row.metric == Metric::LambdaMaxS && row.source != "paper") {
        let optimizer = if row.rho > 0.0 { format!("SAM {}", row.rho) } else { "SGD".to_owned() };
        let _ = writeln!(
            text,
            "  lambda_max(S) {optimizer}: {:.1} +- {:.1} ({} reports {})",
            row.mean, row.sd, row.source, row.reported_mean
        );
    }
    for row in regressions {
        let _ = writeln!(
            text,
            "Figure 4, {}: lambda_max(S) ~ max lambda_max(H_i)^{:.2}, R^2 = {:.2}, {} trainings",
            row.panel, row.slope, row.r_squared, row.num_points
        );
    }
    text
}
