//! Figure 1 (d), and the thresholds of its solutions.

use super::cells::Method;
use super::config::Config;
use super::summary::{LossRow, SolutionRow, title};
use crate::Result;
use crate::figures::{
    self, Anchor, ONE_COLUMN, Panel, Scale, Series, Svg, TWO_COLUMNS, Text, chart, colour, legend,
};
use crate::minimum::Metric;
use crate::output::ResultsFolder;

pub(super) fn draw(
    config: &Config,
    losses: &[LossRow],
    solutions: &[SolutionRow],
    results: &ResultsFolder,
) -> Result<()> {
    figures::write(results, "figure-1d", &loss_figure(config, losses))?;
    figures::write(results, "local-convergence-thresholds", &threshold_figure(config, solutions))
}

/// From the second colour on: the first is that of reference lines elsewhere.
fn colour_of(place: usize) -> &'static str {
    colour::ORDERED[(place + 1).min(colour::ORDERED.len() - 1)]
}

/// A panel a method, a curve with band a solution.
fn loss_figure(config: &Config, rows: &[LossRow]) -> Svg {
    const LEFT: f64 = 40.0;
    const GAP: f64 = 12.0;
    const HEIGHT: f64 = 150.0;
    let methods = Method::all(config);
    let width = (TWO_COLUMNS - LEFT - GAP) / methods.len() as f64 - GAP;
    let mut figure = Svg::new(TWO_COLUMNS, 236.0, "Figure 1 (d): loss next to solutions of C features");
    let mut series = Vec::new();
    for (column, &method) in methods.iter().enumerate() {
        series = loss_series(config, rows, method);
        let panel = Panel {
            left: LEFT + column as f64 * (width + GAP),
            top: 22.0,
            width,
            height: HEIGHT,
            x: Scale::linear([0.0, config.num_epochs as f64], "epoch"),
            y: Scale::logarithmic(
                rows.iter().map(|row| row.mean_loss),
                if column == 0 { "mean loss" } else { "" },
            ),
        };
        // The first panel's axis serves them all.
        let bare = Panel { y: Scale { ticks: Vec::new(), ..panel.y.clone() }, ..panel.clone() };
        chart(&mut figure, if column == 0 { &panel } else { &bare }, &title(method), &series);
    }
    let used = legend(&mut figure, (LEFT, 210.0), &series, (series.len().min(5), 84.0));
    let note = format!("bands: standard deviation over {} runs", config.num_runs);
    let grey = Text { colour: colour::GREY, ..Text::new(&note, 7.5, Anchor::Start) };
    figure.text(LEFT, 214.0 + used, grey);
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
fn threshold_figure(config: &Config, rows: &[SolutionRow]) -> Svg {
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
    let panel = Panel {
        left: 40.0,
        top: 22.0,
        width: ONE_COLUMN - 52.0,
        height: 150.0,
        x: Scale::logarithmic(points().map(|point| point.0), "batch size B"),
        y: Scale::logarithmic(points().map(|point| point.1), "exact threshold η*"),
    };
    let mut figure = Svg::new(ONE_COLUMN, 236.0, "Exact thresholds of the solutions of Figure 1 (d)");
    chart(&mut figure, &panel, "mean-square threshold of SGD", &series);
    let _ = legend(&mut figure, (40.0, 210.0), &series, (3, 66.0));
    figure
}
