//! The rows of the tables, and what they say.

use linstab_dynamics::Optimizer;
use std::fmt::Write;

use linstab_relu::parity::Redundancy;
use serde::Serialize;

use super::cells::{Cell, Compared, Solution};
use super::config::Config;
use crate::minimum::{Measurement, Metric};
use linstab_driver::statistics::{mean, standard_deviation};
use linstab_driver::table::number;

/// A row of `tables/solutions.csv` and of `tables/solutions-redundancy.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `independent`, `correlated` or `repeated` inputs.
    pub redundancy: &'static str,
    /// The correlation, or the number of distinct inputs.
    pub degree: Option<f64>,
    /// `generalising` or `memorising`.
    pub solution: &'static str,
    /// Number of inputs `C` that a generalising solution looks at.
    pub num_features: Option<usize>,
    /// `sgd`, `sam` (full-batch ascent, fixed ratio) or `momentum`.
    pub optimizer: &'static str,
    /// Ratio of SAM's radius to its fixed gradient norm; 0 for the others.
    pub rho_over_alpha: f64,
    /// Heavy-ball momentum; 0 for the others.
    pub momentum: f64,
    /// Batch size, where it matters.
    pub batch_size: Option<usize>,
    /// What is measured, see [`Metric`].
    pub metric: Metric,
    /// Which eigenvalue, from 1 for the largest.
    pub index: Option<usize>,
    /// Mean over the draws on which the solution exists.
    #[serde(serialize_with = "number")]
    pub mean: f64,
    /// Standard deviation over these draws (with `n - 1`); NaN where the mean is infinite.
    #[serde(serialize_with = "number")]
    pub sd: f64,
    /// Number of these draws; for `exists` of all draws.
    pub num_draws: usize,
    /// The paper's formula, which knows no redundancy.
    pub paper: Option<f64>,
    /// The corrected formula, for the largest clusters that were drawn; for independent inputs only.
    pub corrected: Option<f64>,
}

impl Row {
    fn new(cell: &Cell, what: &Compared, values: &[f64]) -> Self {
        let (redundancy, degree) = match cell.redundancy {
            Redundancy::Independent => ("independent", None),
            Redundancy::Correlated { probability } => ("correlated", Some(probability)),
            Redundancy::Repeated { num_distinct } => ("repeated", Some(num_distinct as f64)),
        };
        let Measurement { optimizer, batch_size, metric, index, .. } = what.exact;
        Self {
            redundancy,
            degree,
            solution: cell.solution.name(),
            num_features: cell.solution.num_features(),
            optimizer: optimizer.name(),
            rho_over_alpha: optimizer.rho_over_alpha(),
            momentum: optimizer.momentum(),
            batch_size,
            metric,
            index,
            mean: mean(values),
            sd: standard_deviation(values),
            num_draws: values.len(),
            paper: what.paper,
            corrected: what.corrected,
        }
    }

    /// Whether it is of this solution.
    pub(super) fn is_of(&self, solution: Solution) -> bool {
        (self.solution, self.num_features) == (solution.name(), solution.num_features())
    }

    /// Whether it is of the same data, solution, optimizer and batch size.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        let data = |row: &Self| (row.redundancy, row.degree);
        let what = |row: &Self| (row.solution, row.num_features, row.optimizer, row.batch_size);
        data(self) == data(other) && what(self) == what(other)
    }

    /// Whether it is of this optimizer and metric.
    pub(super) fn measures(&self, optimizer: Optimizer, metric: Metric) -> bool {
        (self.optimizer, self.metric) == (optimizer.name(), metric)
    }
}

/// The rows, group by group: a solution on all draws of one kind of data.
pub(super) fn rows(cells: &[Cell], outputs: &[Vec<Compared>]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut outputs = outputs;
    for group in cells.chunk_by(|a, b| a.redundancy == b.redundancy && a.solution == b.solution) {
        let (of_group, others) = outputs.split_at(group.len());
        outputs = others;
        let existing: Vec<&[Compared]> =
            of_group.iter().map(Vec::as_slice).filter(|output| !output.is_empty()).collect();
        let shares: Vec<f64> = of_group.iter().map(|output| f64::from(!output.is_empty())).collect();
        let exists = Measurement::new(Optimizer::sgd(), Metric::Exists, 1.0);
        let exists = Compared { exact: exists, paper: None, corrected: None };
        rows.push(Row::new(&group[0], &exists, &shares));
        for (place, what) in existing.first().copied().unwrap_or_default().iter().enumerate() {
            let values: Vec<f64> = existing.iter().map(|output| output[place].exact.value).collect();
            // Over the draws, since the corrected formula depends on their clusters.
            let corrected: Option<Vec<f64>> = existing.iter().map(|output| output[place].corrected).collect();
            let what = Compared { corrected: corrected.map(|of_draws| mean(&of_draws)), ..*what };
            rows.push(Row::new(&group[0], &what, &values));
        }
    }
    rows
}

/// The solutions of a configuration in the order of the tables.
pub(super) fn solutions(config: &Config) -> impl Iterator<Item = Solution> {
    let generalising =
        config.num_features.iter().map(|&num_features| Solution::Generalising { num_features });
    generalising.chain([Solution::Memorising])
}

/// A solution in figures and texts.
pub(super) fn title(solution: Solution) -> String {
    match solution {
        Solution::Generalising { num_features } => format!("C = {num_features}"),
        Solution::Memorising => "memorising".to_owned(),
    }
}

/// The findings as a text for a terminal.
pub(super) fn as_text(config: &Config, independent: &[Row], sweep: &[Row]) -> String {
    let mut text = String::new();
    describe_spread(&mut text, config, independent);
    text.push_str("exact (paper's formula; corrected formula)");
    let sam = config.sam();
    for (name, optimizer, metric) in [
        ("lambda_max(S)", Optimizer::sgd(), Metric::LambdaMaxS),
        ("sigma", Optimizer::sgd(), Metric::Sigma),
        ("lambda_max(S), SAM", sam, Metric::LambdaMaxS),
        ("max sharpness of a sample, SAM", sam, Metric::MaxSampleSharpness),
        ("sigma, SAM", sam, Metric::Sigma),
    ] {
        let _ = writeln!(text, "\n{name}:");
        for solution in solutions(config) {
            let wanted = |row: &&Row| row.is_of(solution) && row.measures(optimizer, metric);
            let Some(row) = independent.iter().find(wanted) else { continue };
            let _ = write!(text, "  {} {}", title(solution), compared(row));
        }
    }
    text.push('\n');
    describe_thresholds(&mut text, config, independent);
    describe_sweep(&mut text, config, sweep);
    text
}

fn compared(row: &Row) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    format!("{:.2} ({}; {})", row.mean, shown(row.paper), shown(row.corrected))
}

fn describe_thresholds(text: &mut String, config: &Config, rows: &[Row]) {
    let _ =
        writeln!(text, "exact threshold of the learning rate (paper's divergence criterion; Theorem 3.3)");
    for optimizer in config.optimizers() {
        for &batch_size in &config.batch_size {
            let _ = write!(text, "{:<8} B={batch_size:<4}", optimizer.name());
            for solution in solutions(config) {
                let of = |metric: Metric| {
                    let here = |row: &&Row| row.is_of(solution) && row.measures(optimizer, metric);
                    rows.iter().filter(here).find(|row| row.batch_size == Some(batch_size))
                };
                let shown = |row: &Row| format!("{:.3}", row.mean);
                let Some(exact) = of(Metric::MaxLearningRate) else { continue };
                let _ = write!(text, "  {} {}", title(solution), shown(exact));
                let criteria = (of(Metric::CriterionDivergence), of(Metric::CriterionTheorem33));
                if let (Some(divergence), Some(existence)) = criteria {
                    let _ = write!(text, " ({}; {})", shown(divergence), shown(existence));
                }
            }
            text.push('\n');
        }
    }
}

/// How much the generalising solutions differ, by the criterion and exactly.
fn describe_spread(text: &mut String, config: &Config, rows: &[Row]) {
    // The larger the batch, the more it shows.
    for &batch_size in config.batch_size.iter().rev() {
        let spread = |metric: Metric| {
            let here = |row: &&Row| row.measures(Optimizer::sgd(), metric) && row.num_features.is_some();
            let values = rows.iter().filter(here).filter(|row| row.batch_size == Some(batch_size));
            let (low, high) = values
                .fold((f64::INFINITY, 0.0_f64), |(low, high), row| (low.min(row.mean), high.max(row.mean)));
            high / low
        };
        let (criterion, exact) = (spread(Metric::CriterionDivergence), spread(Metric::MaxLearningRate));
        // The criterion is infinite for the full batch.
        if criterion.is_finite() {
            let _ = writeln!(
                text,
                "over C, SGD, B={batch_size}: the divergence criterion varies by a factor {criterion:.3}, the exact threshold by {exact:.3}"
            );
        }
    }
}

fn describe_sweep(text: &mut String, config: &Config, rows: &[Row]) {
    let batch_size = config.redundancy.batch_size;
    let _ = writeln!(text, "redundant inputs: sigma / exact threshold of SGD at B={batch_size}");
    for group in rows.chunk_by(|a, b| a.redundancy == b.redundancy && a.degree == b.degree) {
        let _ = write!(text, "{} {}", group[0].redundancy, group[0].degree.unwrap_or(f64::NAN));
        for solution in solutions(config) {
            let of = |metric: Metric| {
                group.iter().find(|row| row.is_of(solution) && row.measures(Optimizer::sgd(), metric))
            };
            let _ = match (of(Metric::Sigma), of(Metric::MaxLearningRate)) {
                (Some(sigma), Some(exact)) => {
                    write!(text, "  {} {:.2} / {:.3}", title(solution), sigma.mean, exact.mean)
                }
                _ => write!(text, "  {}: no such solution", title(solution)),
            };
        }
        text.push('\n');
    }
}
