//! The figures of the digits experiment. Everything is drawn from the rows of its tables and the recorded losses.

use super::config::{Config, Contender};
use super::runs::{RunKey, RunResult};
use super::section;
use super::summary::CellSummary;
use super::thresholds::ThresholdRow;
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::{
    Anchor, Columns, Grid, HEADLINE_HEIGHT, LEFT, ONE_COLUMN, Panel, Scale, Series, Stroke, Svg, Text,
    chart_with, colour, legend, legend_entry,
};

/// Writes all figures.
pub(super) fn draw(
    config: &Config,
    thresholds: &[ThresholdRow],
    summaries: &[CellSummary],
    (keys, runs): (&[RunKey<'_>], &[RunResult]),
    results: &ResultsFolder,
) -> Result<()> {
    results.draw_both("digits", |columns| predictions(columns, config, thresholds, summaries))?;
    if let Some(contender) = section::reference(config) {
        results.draw("digits-headline", &headline(config, contender, summaries))?;
    }
    results.draw_both("digits-losses", |columns| losses(columns, config, keys, runs))
}

const TOP: f64 = 22.0;

/// The two ends and the ticks at 1, 2 and 5 times powers of ten between them, with some room around the values.
fn logarithmic(values: impl Iterator<Item = f64>, room: f64, label: &'static str) -> Scale {
    let values: Vec<f64> = values.filter(|x| x.is_finite() && *x > 0.0).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min).min(1e30) / room;
    let high = values.iter().copied().fold(0.0, f64::max).max(low) * room;
    let decades = (-31..=31).map(|exponent| 10.0_f64.powi(exponent));
    let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * decade));
    // The product of 2 or 5 and a decade can miss the decimal number by a rounding error.
    let ticks = ticks.map(|tick| format!("{tick:.0e}").parse().unwrap_or(tick));
    let ticks = ticks.filter(|tick| low <= *tick && *tick <= high).collect();
    Scale { range: (low, high), ticks, label, logarithmic: true }
}

/// The curves of a panel: the exact threshold, the almost-sure one, the paper's criteria.
fn curves(rows: &[&ThresholdRow]) -> Vec<Series> {
    let series = |name: &str, stroke, value: fn(&ThresholdRow) -> f64| {
        let points = rows.iter().map(|row| (row.batch_size as f64, value(row))).collect();
        Series { name: name.to_owned(), stroke, points, band: Vec::new(), dots: false }
    };
    let line = |colour, width, dashes| Stroke { colour, width, dashes };
    vec![
        series("mean square, η*", line(colour::INK, 1.6, ""), |row| row.max_learning_rate),
        series("almost sure", line(colour::INK, 1.1, "3.5 2"), |row| row.almost_sure_threshold),
        series("paper: divergence criterion", line(colour::SERIES[2], 1.3, ""), |row| {
            row.criterion_divergence
        }),
        series("paper: Theorem 3.3", line(colour::SERIES[3], 1.3, ""), |row| row.criterion_theorem_3_3),
    ]
}

/// Predictions and runs over the batch size: absolute learning rates above, in units of the threshold below.
fn predictions(
    columns: Columns,
    config: &Config,
    thresholds: &[ThresholdRow],
    summaries: &[CellSummary],
) -> Svg {
    let name =
        "Predicted thresholds and real training on digits: learning rates at which runs decay and grow";
    let contenders = &config.contenders;
    let (per_row, height) = columns.choose((2, 96.0), (contenders.len().min(5), 150.0));
    let num_panels = 2 * per_row * contenders.len().div_ceil(per_row);
    let grid = Grid { columns, num_panels, per_row, height, gap: 31.0 };
    let mut figure = grid.figure(name);
    let mut drawn = Vec::new();
    for (index, contender) in contenders.iter().enumerate() {
        let rows: Vec<&ThresholdRow> =
            thresholds.iter().filter(|row| row.optimizer == config.analysed_as(contender).name).collect();
        let runs: Vec<&CellSummary> =
            summaries.iter().filter(|cell| cell.optimizer == contender.name).collect();
        let all = curves(&rows);
        let values = all.iter().flat_map(|one| &one.points).map(|point| point.1);
        let tested = runs.iter().map(|cell| cell.learning_rate_ratio * cell.max_learning_rate);
        // Pairs of rows: absolute learning rates above relative ones.
        let places = [0, 1].map(|row| (2 * (index / per_row) + row) * per_row + index % per_row);
        let label = |text| if grid.is_first(index) { text } else { "" };
        let sizes = config.cells.batch_sizes.iter().map(|&size| size as f64);
        let x = Scale { ticks: sizes.clone().collect(), ..logarithmic(sizes.clone(), 1.4, "batch size B") };
        let panel = |place, y| grid.panel(place, x.clone(), y);
        let absolute = panel(places[0], logarithmic(values.chain(tested), 1.15, label("learning rate η")));
        let mark = |figure: &mut Svg, at: (f64, f64), radius, cell: &CellSummary| {
            figure.mark(at, |figure| share_mark(figure, at, radius, cell.share_grew()));
        };
        chart_with(&mut figure, &absolute, &contender.title, &all, |figure| {
            for cell in &runs {
                let rate = cell.learning_rate_ratio * cell.max_learning_rate;
                mark(figure, absolute.at(cell.batch_size as f64, rate), 1.9, cell);
            }
        });
        let ratios = (0.74, 1.26);
        let ticks = vec![0.8, 0.9, 1.0, 1.1, 1.2];
        let y = Scale { range: ratios, ticks, label: label("η / η*"), logarithmic: false };
        let relative = panel(places[1], y);
        let curves = relative_curves(&rows, &all, ratios);
        chart_with(&mut figure, &relative, "", &curves, |figure| {
            for cell in &runs {
                let at = relative.at(cell.batch_size as f64, cell.learning_rate_ratio);
                mark(figure, at, 3.4, cell);
            }
        });
        drawn = if drawn.is_empty() { all } else { drawn };
    }
    let end = grid.finish(&mut figure, &[&drawn], &[]);
    share_legend(&mut figure, columns, end + 2.0);
    figure
}

/// The share of runs that grew over the learning rate in units of the exact threshold, and the step that is predicted.
fn headline(config: &Config, contender: &Contender, summaries: &[CellSummary]) -> Svg {
    let name = contender.title.clone();
    let cells: Vec<&CellSummary> = summaries.iter().filter(|cell| cell.optimizer == contender.name).collect();
    let ratios = &config.cells.learning_rate_ratios;
    let reach = ratios.iter().map(|ratio| (ratio - 1.0).abs()).fold(0.05, f64::max) + 0.05;
    let (first, last) = (1.0 - reach, 1.0 + reach);
    let mut ticks = [&ratios[..], &[1.0]].concat();
    ticks.sort_by(f64::total_cmp);
    let x =
        Scale { range: (first, last), ticks, label: "learning rate / exact threshold", logarithmic: false };
    let y =
        Scale { range: (-0.08, 1.08), ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], label: "", logarithmic: false };
    let panel = Panel { left: 34.0, top: TOP, width: ONE_COLUMN - 46.0, height: 134.0, x, y };
    let step = vec![(first, 0.0), (1.0, 0.0), (1.0, 1.0), (last, 1.0)];
    let predicted = Series::new("predicted", colour::INK, step);
    let mut figure = Svg::new(ONE_COLUMN, HEADLINE_HEIGHT, &format!("{name}: share of the runs that grew"));
    let heading = format!("{name}: share of the runs that grew");
    chart_with(&mut figure, &panel, &heading, std::slice::from_ref(&predicted), |figure| {
        // Side by side, a batch size each: most of them coincide.
        let sizes = &config.cells.batch_sizes;
        let pitch = (0.22 * reach / sizes.len() as f64).min(0.014);
        for cell in &cells {
            let place = sizes.iter().position(|&size| size == cell.batch_size).unwrap_or(0) as f64;
            let shift = pitch * (place - 0.5 * (sizes.len() - 1) as f64);
            let (x, y) = panel.at(cell.learning_rate_ratio + shift, cell.share_grew());
            let shade = if cell.share_grew() > 0.5 { colour::VERMILION } else { colour::BLUE };
            figure.dot(x, y, 3.0, shade);
        }
    });
    let runs = Series::new("runs, a dot a batch size", colour::VERMILION, Vec::new()).dotted();
    legend_entry(&mut figure, (34.0, HEADLINE_HEIGHT - 14.0), &predicted);
    legend_entry(&mut figure, (112.0, HEADLINE_HEIGHT - 14.0), &runs);
    figure
}

/// The curves in units of the exact threshold; what lies outside of the axis is left out.
fn relative_curves(rows: &[&ThresholdRow], curves: &[Series], range: (f64, f64)) -> Vec<Series> {
    let relative = |one: &Series| {
        let points = one.points.iter().zip(rows).map(|(point, row)| {
            let ratio = point.1 / row.max_learning_rate;
            (point.0, if (range.0..=range.1).contains(&ratio) { ratio } else { f64::NAN })
        });
        Series { points: points.collect(), ..one.clone() }
    };
    curves.iter().map(relative).collect()
}

/// A disc, blue for the share of runs that decayed, vermilion for the share that grew.
fn share_mark(figure: &mut Svg, (x, y): (f64, f64), radius: f64, share_grew: f64) {
    let whole = if share_grew >= 1.0 { colour::VERMILION } else { colour::BLUE };
    figure.dot(x, y, radius, whole);
    if share_grew > 0.0 && share_grew < 1.0 {
        let arc = (0..=24).map(|part| {
            let (sine, cosine) = (std::f64::consts::TAU * share_grew * f64::from(part) / 24.0).sin_cos();
            (x + radius * sine, y - radius * cosine)
        });
        let sector: Vec<(f64, f64)> = std::iter::once((x, y)).chain(arc).collect();
        figure.area(&sector, colour::VERMILION, 1.0);
    }
}

fn share_legend(figure: &mut Svg, columns: Columns, top: f64) {
    let texts = [(0.0, "every run decayed"), (0.25, "a quarter of the runs grew"), (1.0, "every run grew")];
    let step = columns.choose((0.0, 12.0), (130.0, 0.0));
    for (index, (share, text)) in texts.into_iter().enumerate() {
        let (x, y) = (LEFT + step.0 * index as f64, top + step.1 * index as f64);
        share_mark(figure, (x + 9.0, y), 3.4, share);
        figure.text(x + 23.0, y + 2.6, Text::new(text, 7.5, Anchor::Start));
    }
    figure.end_at(top + 2.0 * step.1 + 8.0);
}

/// The largest ratio below 1 and the smallest above, if there are such.
pub(super) fn nearest_ratios(ratios: &[f64]) -> [Option<f64>; 2] {
    let below = ratios.iter().copied().filter(|ratio| *ratio < 1.0).max_by(f64::total_cmp);
    let above = ratios.iter().copied().filter(|ratio| *ratio > 1.0).min_by(f64::total_cmp);
    [below, above]
}

/// Loss curves just below and just above the threshold: a row an optimizer, a column a batch size.
fn losses(columns: Columns, config: &Config, keys: &[RunKey<'_>], runs: &[RunResult]) -> Svg {
    const LEFT: f64 = 46.0;
    let cells = &config.cells;
    let pitch = ((columns.width() - LEFT - 4.0) / cells.batch_sizes.len() as f64, 104.0);
    let size = (pitch.0 - columns.choose(5.0, 10.0), 82.0);
    let name = "Losses of single runs just below and just above the threshold";
    let mut figure = Svg::new(columns.width(), 0.0, name);
    let ratios = nearest_ratios(&cells.learning_rate_ratios);
    let colours = [colour::BLUE, colour::VERMILION];
    for (row, contender) in config.contenders.iter().enumerate() {
        let of_row: Vec<_> =
            keys.iter().zip(runs).filter(|(key, _)| key.contender.name == contender.name).collect();
        let losses = of_row.iter().flat_map(|(_, run)| run.records.iter().map(|record| record.1));
        let scale = Scale::logarithmic(losses.chain([config.protocol.grown_loss]), "");
        for (column, &batch_size) in cells.batch_sizes.iter().enumerate() {
            let steps = config.num_steps(&contender.num_steps, batch_size) as f64;
            let last = row + 1 == config.contenders.len();
            let x = Scale {
                range: (0.0, steps),
                ticks: columns.choose(vec![0.0], vec![0.0, 0.5 * steps]),
                label: if last { "step" } else { "" },
                logarithmic: false,
            };
            let y = if column == 0 { scale.clone() } else { Scale { ticks: Vec::new(), ..scale.clone() } };
            let (left, top) = (LEFT + pitch.0 * column as f64, TOP + pitch.1 * row as f64);
            let panel = Panel { left, top, width: size.0, height: size.1, x, y };
            let heading = if row == 0 { format!("B = {batch_size}") } else { String::new() };
            panel.draw(&mut figure, &heading, |figure| {
                let grown = config.protocol.grown_loss;
                figure.series(CUT, &[], |figure| {
                    panel.line(figure, &[(0.0, grown), (steps, grown)], cut());
                });
                for (ratio, colour) in ratios.iter().zip(colours) {
                    let Some(ratio) = ratio else { continue };
                    let shown = |key: &RunKey<'_>| {
                        key.batch_size == batch_size && key.ratio.to_bits() == ratio.to_bits()
                    };
                    let runs = of_row.iter().filter(|(key, _)| shown(key)).map(|(_, run)| *run);
                    figure.series(&name_of_ratio(*ratio), &[], |figure| {
                        loss_curves(figure, &panel, runs, colour);
                    });
                }
            });
            if column == 0 {
                let label = format!("{}: loss", contender.title.clone());
                let text = Text { upwards: true, ..Text::new(&label, 8.0, Anchor::Middle) };
                figure.text(left - 32.0, top + 0.5 * size.1, text);
            }
        }
    }
    let series = losses_legend(ratios, colours);
    let top = TOP + pitch.1 * config.contenders.len() as f64 + 22.0;
    let used = legend(&mut figure, (LEFT, top), &series, columns.width() - LEFT);
    figure.end_at(top + used);
    figure
}

/// The name of the line above which a run has grown.
const CUT: &str = "above it, a run has grown";

fn cut() -> Stroke {
    Stroke { colour: colour::GREY, width: 0.6, dashes: "2 2" }
}

fn name_of_ratio(ratio: f64) -> String {
    format!("{ratio} η*, a line a run")
}

fn loss_curves<'a>(
    figure: &mut Svg,
    panel: &Panel,
    runs: impl Iterator<Item = &'a RunResult>,
    colour: &'static str,
) {
    for run in runs {
        let finite: Vec<_> = run.records.iter().copied().filter(|record| record.1.is_finite()).collect();
        panel.line(figure, &finite, Stroke { colour, width: 0.55, dashes: "" });
    }
}

fn losses_legend(ratios: [Option<f64>; 2], colours: [&'static str; 2]) -> Vec<Series> {
    let mut series: Vec<Series> = ratios
        .into_iter()
        .zip(colours)
        .filter_map(|(ratio, colour)| {
            ratio.map(|ratio| Series::new(name_of_ratio(ratio), colour, Vec::new()))
        })
        .collect();
    series.push(Series { stroke: cut(), ..Series::new(CUT, colour::GREY, Vec::new()) });
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = logarithmic([0.0154, 1.76, f64::NAN, f64::INFINITY].into_iter(), 1.1, "");
        assert_eq!(scale.ticks, [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]);
        let nothing = logarithmic([f64::NAN].into_iter(), 1.1, "");
        assert!(nothing.range.0 > 0.0 && nothing.range.1 >= nothing.range.0, "{nothing:?}");
    }

    #[test]
    fn the_ratios_around_one_are_found() {
        assert_eq!(nearest_ratios(&[0.8, 0.95, 1.2, 1.05]), [Some(0.95), Some(1.05)]);
        assert_eq!(nearest_ratios(&[0.8, 1.0]), [Some(0.8), None]);
    }
}
