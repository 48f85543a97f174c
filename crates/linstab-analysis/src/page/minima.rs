//! The page of minima side by side: what moved, and for a sequence how it went.

use linstab_report::drawing::{Columns, Grid, Scale, Series, chart, colour};
use linstab_report::{AnalysisPage, AnalysisPart, analysis_page};

use super::figures::{DASHES, colour_of, digits, distinct, head, size_axis};
use crate::compare::{MinimaReport, ThresholdReport};
use crate::human::{short, title};

/// Standard errors on either side of a change.
const BAND: f64 = 2.0;

/// The page of a comparison, one file that asks for nothing.
pub fn page_of_minima(report: &MinimaReport, command: &str) -> String {
    let mut parts = vec![moved(report)];
    if report.minima.len() > 2 {
        parts.push(sequence(report));
        parts.extend(diagnostics(report));
    }
    parts.push(flatness(report));
    analysis_page(&AnalysisPage {
        title: format!("{} minima beside {}", report.minima.len() - 1, report.minima[0].name),
        verdict: report.sentences().join(". "),
        command: command.to_owned(),
        parts,
    })
}

/// Thresholds of an optimizer by batch size.
fn by_optimizer(report: &MinimaReport) -> Vec<(String, Vec<&ThresholdReport>)> {
    let mut all: Vec<(String, Vec<&ThresholdReport>)> = Vec::new();
    for row in &report.thresholds {
        let label = row.optimizer.label();
        match all.iter_mut().find(|one| one.0 == label) {
            Some(one) => one.1.push(row),
            None => all.push((label, vec![row])),
        }
    }
    for one in &mut all {
        one.1.sort_by_key(|row| row.batch_size);
    }
    all
}

fn batch_sizes(report: &MinimaReport) -> Vec<usize> {
    let mut sizes: Vec<usize> = report.thresholds.iter().map(|row| row.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Ratios of thresholds to those of the first minimum, a panel a minimum.
fn moved(report: &MinimaReport) -> AnalysisPart {
    let columns =
        ["minimum", "optimizer", "batch_size", "max_learning_rate", "ratio", "standard_error_of_log"];
    let mut rows = vec![head(&columns)];
    let (all, minima) = (by_optimizer(report), &report.minima);
    let others = minima.len() - 1;
    let per_row = others.min(2);
    let grid = Grid { columns: Columns::Two, num_panels: others, per_row, height: 130.0, gap: 44.0 };
    let mut figure = grid.figure("Thresholds over those of the first minimum");
    let mut panels = Vec::new();
    for (at, minimum) in minima.iter().enumerate().skip(1) {
        let mut series = Vec::new();
        for (place, (label, lines)) in all.iter().enumerate() {
            let mut one = Series::new(label.clone(), colour_of(place), Vec::new()).dotted();
            for row in lines {
                let (size, change) = (row.batch_size as f64, row.log_ratios[at]);
                one.points.push((size, change.exp()));
                if let Some(error) = row.standard_errors[at] {
                    one.band.push((size, (change - BAND * error).exp(), (change + BAND * error).exp()));
                }
                rows.push(vec![
                    minimum.name.clone(),
                    label.clone(),
                    row.batch_size.to_string(),
                    digits(row.max_learning_rates[at]),
                    digits(change.exp()),
                    row.standard_errors[at].map_or_else(String::new, digits),
                ]);
            }
            series.push(one);
        }
        panels.push(series);
    }
    let points = || panels.iter().flatten().flat_map(|one| one.points.iter().copied());
    let edges = panels.iter().flatten().flat_map(|one| one.band.iter().flat_map(|band| [band.1, band.2]));
    let flatness = minima.iter().map(|minimum| minima[0].sharpness / minimum.sharpness);
    let y = Scale::logarithmic(points().map(|point| point.1).chain(edges).chain(flatness), "over the first");
    let x = size_axis(points().map(|point| point.0));
    let (from, to) = x.range;
    let level = |name: &str, value: f64, dashes: &'static str| {
        Series::new(name, colour::INK, vec![(from, value), (to, value)]).dashed(dashes)
    };
    for (index, series) in panels.iter_mut().enumerate() {
        let by_sharpness = minima[0].sharpness / minima[index + 1].sharpness;
        series.insert(0, level("no change", 1.0, "1 3"));
        series.insert(1, level("what sharpness alone would give", by_sharpness, "5 3"));
        chart(&mut figure, &grid.panel(index, x.clone(), y.clone()), &minima[index + 1].name, series);
    }
    grid.finish(&mut figure, &[&panels[0]], &["bands: two standard errors, paired by samples"]);
    AnalysisPart {
        title: "What moved".to_owned(),
        sentences: report.sentences(),
        drawing: Some((figure.render(), "thresholds over those of the first minimum, by batch size".to_owned())),
        caption: "Above 1 a minimum bears a larger learning rate than the first. Where curves leave the dashed line, flatter and more stable are two \
                  things."
            .to_owned(),
        table: rows,
    }
}

/// Thresholds over the sequence of files.
fn sequence(report: &MinimaReport) -> AnalysisPart {
    let mut rows = vec![head(&["place", "minimum", "optimizer", "batch_size", "max_learning_rate"])];
    let mut series = Vec::new();
    let (all, sizes) = (by_optimizer(report), batch_sizes(report));
    let place = |size: usize| sizes.iter().position(|own| *own == size).unwrap_or(0);
    let lines = all.iter().enumerate().flat_map(|(of, (_, rows))| rows.iter().map(move |row| (of, *row)));
    for (of, row) in lines {
        // A colour a batch size, dashes an optimizer.
        let label = format!("{}, B = {}", row.optimizer.label(), row.batch_size);
        let points = row.max_learning_rates.iter().enumerate().map(|(at, rate)| ((at + 1) as f64, *rate));
        let one = Series::new(label, colour_of(place(row.batch_size)), points.collect()).dotted();
        series.push(one.dashed(DASHES[of % DASHES.len()]));
        rows.extend(row.max_learning_rates.iter().enumerate().map(|(at, rate)| {
            let (place, name) = ((at + 1).to_string(), report.minima[at].name.clone());
            vec![place, name, row.optimizer.label(), row.batch_size.to_string(), digits(*rate)]
        }));
    }
    AnalysisPart {
        title: "Thresholds over the sequence".to_owned(),
        drawing: over_the_sequence("largest stable learning rate", &series),
        caption: "Largest stable learning rates of each file, in the order given.".to_owned(),
        table: rows,
        ..AnalysisPart::default()
    }
}

/// Learning rates of diagnostics over the exact threshold, over the sequence; none where they were not asked for.
fn diagnostics(report: &MinimaReport) -> Option<AnalysisPart> {
    let size = report.diagnostics.iter().map(|row| row.batch_size).max()?;
    let mut rows = vec![head(&["place", "diagnostic", "optimizer", "batch_size", "ratio_to_exact"])];
    let mut series: Vec<Series> = Vec::new();
    for row in report.diagnostics.iter().filter(|row| row.batch_size == size) {
        let points = row.ratios_to_exact.iter().enumerate();
        let points: Vec<(f64, f64)> =
            points.filter_map(|(at, ratio)| Some(((at + 1) as f64, (*ratio)?))).collect();
        rows.extend(points.iter().map(|(at, ratio)| {
            vec![at.to_string(), row.name.clone(), row.optimizer.label(), size.to_string(), digits(*ratio)]
        }));
        let telling = points.iter().any(|point| (point.1 - 1.0).abs() > 1e-9);
        if telling {
            let name = title(&row.name);
            series.push(Series { points, ..distinct(name, series.len()) });
        }
    }
    Some(AnalysisPart {
        title: "Diagnostics over the sequence".to_owned(),
        drawing: over_the_sequence("over the exact threshold", &series),
        caption: format!(
            "Learning rates at which criteria and diagnostics of plain SGD at batch size {size} switch, over the exact threshold of the same file."
        ),
        table: rows,
        ..AnalysisPart::default()
    })
}

fn over_the_sequence(what: &'static str, series: &[Series]) -> Option<(String, String)> {
    let points = || series.iter().flat_map(|one| one.points.iter().copied());
    points().next()?;
    let mut x = Scale::linear(points().map(|point| point.0), "place in the sequence");
    x.ticks.retain(|tick| tick.fract().abs() <= 0.0);
    let y = Scale::logarithmic(points().map(|point| point.1), what);
    let grid = Grid { columns: Columns::Two, num_panels: 1, per_row: 1, height: 170.0, gap: 0.0 };
    let mut figure = grid.figure(what);
    chart(&mut figure, &grid.panel(0, x, y), what, series);
    grid.finish(&mut figure, &[series], &[]);
    Some((figure.render(), format!("{what} over the sequence of files")))
}

/// How flat each is, as a table.
fn flatness(report: &MinimaReport) -> AnalysisPart {
    let mut table = vec![head(&["minimum", "sharpness", "trace", "effective rank", "sigma"])];
    table.extend(report.minima.iter().map(|minimum| {
        vec![
            minimum.name.clone(),
            short(minimum.sharpness),
            short(minimum.trace),
            format!("{:.1}", minimum.effective_rank),
            minimum.sigma.map_or_else(|| "-".to_owned(), short),
        ]
    }));
    AnalysisPart {
        title: "How flat they are".to_owned(),
        caption: "Largest eigenvalue, trace and effective rank of the mean curvature (Gauss-Newton), and the coherence measure.".to_owned(),
        table,
        ..AnalysisPart::default()
    }
}
