//! The first figure: thresholds over the batch size.

use linstab_report::AnalysisPart;
use linstab_report::drawing::{Columns, Grid, Scale, Series, Svg, chart, colour};

use super::figures::{Drawn, WITHOUT_GAP, colour_of, digits, head, optimizers, size_axis};
use crate::report::{Report, StabilityReport};

/// The figure with its words.
pub(super) fn part(report: &Report) -> AnalysisPart {
    let drawn = figure(report, Columns::Two);
    let table = drawn.as_ref().map_or_else(Vec::new, |(_, rows)| rows.clone());
    AnalysisPart {
        title: "Thresholds over the batch size".to_owned(),
        sentences: vec![of_almost_every_run(report)],
        drawing: drawn.map(|(svg, _)| {
            (svg.render(), "largest stable learning rates of every optimizer over the batch size".to_owned())
        }),
        caption: "Largest stable learning rates in mean square; bands are intervals. Below the first optimizer's curve (green) training at this minimum is \
                  stable, above it (orange) it is not. Dotted: up to where almost every run decays, by simulation, with bands of two standard errors; between \
                  the two, rare runs carry the mean square."
            .to_owned(),
        table,
    }
}

/// A curve an optimizer, intervals as bands, almost every run beside it, the learning rate as a line.
pub(super) fn figure(report: &Report, columns: Columns) -> Drawn<Svg> {
    let mut rows = vec![head(&[
        "optimizer",
        "batch_size",
        "max_learning_rate",
        "interval_low",
        "interval_high",
        "full_batch_limit",
        "almost_sure",
        "almost_sure_low",
        "almost_sure_high",
    ])];
    let mut series = Vec::new();
    for (place, lines) in optimizers(report).iter().enumerate() {
        rows.extend(lines.iter().map(|line| cells(line)));
        series.extend(curves(lines, colour_of(place)));
    }
    let points: Vec<(f64, f64)> = series.iter().flat_map(|one| one.points.clone()).collect();
    if points.is_empty() {
        return None;
    }
    let asked = report.stability.iter().find_map(|line| line.learning_rate);
    let x = size_axis(points.iter().map(|point| point.0));
    let y =
        Scale::logarithmic(points.iter().map(|point| point.1).chain(asked), "largest stable learning rate");
    // What is stable under the first optimizer, and what is not.
    let (floor, ceiling) = y.range;
    let area = |name: &str, colour, (low, high): (Option<f64>, Option<f64>)| {
        let mut area = Series::new(name, colour, Vec::new());
        let ends = |rate: f64| (low.unwrap_or(rate), high.unwrap_or(rate));
        area.band = series[0].points.iter().map(|&(size, rate)| (size, ends(rate).0, ends(rate).1)).collect();
        area
    };
    let mut all = vec![
        area("stable", colour::GREEN, (Some(floor), None)),
        area("unstable", colour::VERMILION, (None, Some(ceiling))),
    ];
    let num_areas = all.len();
    if let Some(rate) = asked {
        let (from, to) = x.range;
        all.push(Series::new("asked about", colour::INK, vec![(from, rate), (to, rate)]).dashed("4 3"));
    }
    all.extend(series.into_iter().filter(|one| !one.points.is_empty()));
    let grid = Grid { columns, num_panels: 1, per_row: 1, height: 180.0, gap: WITHOUT_GAP };
    let mut figure = grid.figure("Largest stable learning rates over the batch size");
    chart(&mut figure, &grid.panel(0, x, y), "mean-square thresholds", &all);
    let shaded = "shaded: green where the first optimizer is stable in mean square, orange where it is not";
    grid.finish(&mut figure, &[&all[num_areas..]], &[shaded]);
    Some((figure, rows))
}

/// The numbers of a row.
fn cells(line: &StabilityReport) -> Vec<String> {
    let (low, high) = line.max_learning_rate_interval;
    let almost = line.almost_sure.map(|found| [found.max_learning_rate, found.interval.0, found.interval.1]);
    let own = [line.max_learning_rate, low, high, line.gradient_descent_limit];
    let mut cells = vec![line.training.optimizer.label(), line.training.batch_size.to_string()];
    cells.extend(own.map(|number| digits(number.0)));
    cells
        .extend(almost.map_or_else(<[String; 3]>::default, |numbers| numbers.map(|number| digits(number.0))));
    cells
}

/// Thresholds of an optimizer in mean square, and of almost every run.
fn curves(lines: &[&StabilityReport], colour: &'static str) -> [Series; 2] {
    let label = lines[0].training.optimizer.label();
    let almost = format!("{label}, almost every run");
    let mut mean_square = Series::new(label, colour, Vec::new()).dotted();
    let mut runs = Series::new(almost, colour, Vec::new()).dashed("1 3");
    for line in lines {
        let size = line.training.batch_size as f64;
        let own = (line.max_learning_rate, line.max_learning_rate_interval);
        let almost = line.almost_sure.map(|found| (found.max_learning_rate, found.interval));
        for (series, found) in [(&mut mean_square, Some(own)), (&mut runs, almost)] {
            if let Some((rate, (low, high))) = found.filter(|(rate, _)| rate.0.is_finite()) {
                series.points.push((size, rate.0));
                series.band.push((size, low.0, high.0));
            }
        }
    }
    [mean_square, runs]
}

/// How far almost every run goes beyond the mean square, or why that is not known.
fn of_almost_every_run(report: &Report) -> String {
    let rows = &report.stability;
    let known =
        rows.iter().filter_map(|row| Some(row.almost_sure?.max_learning_rate.0 / row.max_learning_rate.0));
    let known: Vec<f64> = known.filter(|ratio| ratio.is_finite()).collect();
    let missing = rows.iter().filter(|row| row.almost_sure.is_none()).count();
    let why = "they are simulated for batches drawn afresh of all samples, without ascent on the batch, where that takes no longer than a second or two";
    if known.is_empty() {
        return format!("Thresholds of almost every run were not computed: {why}.");
    }
    let (least, most) =
        known.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    let rest = if missing == 0 {
        String::new()
    } else {
        format!(" Of {missing} of {} rows they were not computed: {why}.", rows.len())
    };
    format!("Almost every run decays up to {least:.2} to {most:.2} times the mean-square threshold.{rest}")
}
