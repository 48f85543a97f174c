//! Figure 1 (d), and the thresholds of its solutions.

use super::cells::Method;
use super::config::Config;
use super::summary::{LossRow, SolutionRow, title};
use crate::minimum::Metric;
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::{Columns, Grid, Scale, Series, Svg, chart, colour};

pub(super) fn draw(
    config: &Config,
    losses: &[LossRow],
    solutions: &[SolutionRow],
    results: &ResultsFolder,
) -> Result<()> {
    results.draw_both("figure-1d", |columns| loss_figure(columns, config, losses))?;
    results.draw_both("local-convergence-thresholds", |columns| threshold_figure(columns, config, solutions))
}

/// From the second colour on: the first is that of reference lines elsewhere.
fn colour_of(place: usize) -> &'static str {
    colour::ORDERED[(place + 1).min(colour::ORDERED.len() - 1)]
}

/// A panel a method, a curve with band a solution.
fn loss_figure(columns: Columns, config: &Config, rows: &[LossRow]) -> Svg {
    let methods = Method::all(config);
    let num_panels = methods.len();
    // Side by side the first panel's axis serves them all.
    let (per_row, height) = columns.choose((1, 104.0), (num_panels, 150.0));
    let grid = Grid { columns, num_panels, per_row, height, gap: 12.0 };
    let mut figure = grid.figure("Figure 1 (d): loss next to solutions of C features");
    let mut series = Vec::new();
    for (index, &method) in methods.iter().enumerate() {
        series = loss_series(config, rows, method);
        let x = Scale::linear([0.0, config.num_epochs as f64], "epoch");
        let y = Scale::logarithmic(rows.iter().map(|row| row.mean_loss), "mean loss");
        let y = if grid.is_first(index) { y } else { Scale { ticks: Vec::new(), label: "", ..y } };
        chart(&mut figure, &grid.panel(index, x, y), &title(method), &series);
    }
    let note = format!("bands: standard deviation over {} runs", config.num_runs);
    grid.finish(&mut figure, &[&series], &[&note]);
    figure
}

fn loss_series(config: &Config, rows: &[LossRow], method: Method) -> Vec<Series> {
    let of = |(place, &num_features): (usize, &usize)| {
        let rows: Vec<&LossRow> = rows
            .iter()
            .filter(|row| row.optimizer == method.name() && row.num_features == num_features)
            .filter(|row| row.rho.to_bits() == method.rho().to_bits())
            .collect();
        let points = rows.iter().map(|row| (row.epoch as f64, row.mean_loss)).collect();
        let spreads: Vec<f64> = rows.iter().map(|row| row.sd_loss).collect();
        Series::new(format!("C = {num_features}"), colour_of(place), points).with_band(&spreads)
    };
    config.num_features.iter().enumerate().map(of).collect()
}

/// Exact thresholds over the batch size, a curve a solution.
fn threshold_figure(columns: Columns, config: &Config, rows: &[SolutionRow]) -> Svg {
    let of = |(place, &num_features): (usize, &usize)| {
        let wanted =
            |row: &&SolutionRow| row.metric == Metric::MaxLearningRate && row.num_features == num_features;
        let rows: Vec<&SolutionRow> = rows.iter().filter(wanted).collect();
        let points =
            rows.iter().filter_map(|row| Some((row.batch_size? as f64, row.mean))).collect::<Vec<_>>();
        let spreads: Vec<f64> = rows.iter().map(|row| row.sd).collect();
        Series::new(format!("C = {num_features}"), colour_of(place), points).with_band(&spreads).dotted()
    };
    let mut series: Vec<Series> = config.num_features.iter().enumerate().map(of).collect();
    for one in &mut series {
        one.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        one.band.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let points = || series.iter().flat_map(|one| &one.points);
    let grid = Grid { columns, num_panels: 1, per_row: 1, height: 150.0, gap: 0.0 };
    let x = Scale::logarithmic(points().map(|point| point.0), "batch size B");
    let y = Scale::logarithmic(points().map(|point| point.1), "exact threshold η*");
    let mut figure = grid.figure("Exact thresholds of the solutions of Figure 1 (d)");
    chart(&mut figure, &grid.panel(0, x, y), "mean-square threshold of SGD", &series);
    grid.finish(&mut figure, &[&series], &[]);
    figure
}
