//! Drawings of an analysis, each with its numbers.

use linstab_dynamics::Optimizer;
use linstab_report::AnalysisPart;
use linstab_report::drawing::{Columns, Grid, Scale, Series, chart, colour};

use crate::analysis::Findings;
use crate::human::{short, title};
use crate::report::{DiagnosticReport, Report, StabilityReport};

/// A drawing and the rows of its data, the head first.
pub(super) type Drawn<T> = Option<(T, Vec<Vec<String>>)>;

pub(super) const WITHOUT_GAP: f64 = 0.0;

pub(super) fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

pub(super) fn digits(value: f64) -> String {
    format!("{value:e}")
}

pub(super) fn colour_of(place: usize) -> &'static str {
    colour::SERIES[place % colour::SERIES.len()]
}

/// An axis of batch sizes that ends where they do.
pub(super) fn size_axis(sizes: impl Iterator<Item = f64> + Clone) -> Scale {
    let all = Scale::logarithmic(sizes.clone(), "batch size B");
    let (low, high) =
        sizes.fold((f64::INFINITY, 0.0_f64), |(low, high), size| (low.min(size), high.max(size)));
    if low >= high {
        return all;
    }
    let ticks = all.ticks.iter().copied().filter(|tick| (low..=high).contains(tick)).collect();
    Scale { range: (low, high), ticks, ..all }
}

/// Of curves that share a colour.
pub(super) const DASHES: [&str; 4] = ["", "5 3", "1 3", "7 2 1 2"];

/// An empty series that differs from all others of a figure in colour or dashes.
pub(super) fn distinct(name: String, place: usize) -> Series {
    let round = place / colour::SERIES.len();
    Series::new(name, colour_of(place), Vec::new()).dotted().dashed(DASHES[round % DASHES.len()])
}

/// The optimizers of a report, each once, in its order.
pub(super) fn optimizers(report: &Report) -> Vec<Vec<&StabilityReport>> {
    let mut of_each: Vec<Vec<&StabilityReport>> = Vec::new();
    for line in &report.stability {
        match of_each.iter_mut().find(|lines| lines[0].training.optimizer == line.training.optimizer) {
            Some(lines) => lines.push(line),
            None => of_each.push(vec![line]),
        }
    }
    for lines in &mut of_each {
        lines.sort_by_key(|line| line.training.batch_size);
    }
    of_each
}

/// Ratios of diagnostics to the exact threshold, a panel a kind of claim.
pub(super) fn ratios(report: &Report) -> Drawn<String> {
    let first = report.stability.first()?.training.optimizer;
    let of_first: Vec<&DiagnosticReport> =
        report.diagnostics.iter().filter(|row| row.optimizer == first).collect();
    let mut rows = vec![head(&[
        "diagnostic",
        "claims",
        "batch_size",
        "value",
        "standard_error",
        "learning_rate",
        "ratio_to_exact",
    ])];
    let optional = |value: Option<f64>| value.map_or_else(String::new, digits);
    for row in &of_first {
        rows.push(vec![
            row.name.clone(),
            row.claims.clone(),
            row.batch_size.to_string(),
            optional(row.value),
            optional(row.standard_error),
            optional(row.learning_rate),
            optional(row.ratio_to_exact),
        ]);
    }
    let mut panels: Vec<(&str, Vec<Series>)> = Vec::new();
    let mut num_series = 0;
    for claims in ["necessary", "sufficient", "estimate"] {
        let series = of_claim(&of_first, claims, num_series);
        num_series += series.len();
        if !series.is_empty() {
            panels.push((claims, series));
        }
    }
    if panels.is_empty() {
        return None;
    }
    let grid =
        Grid { columns: Columns::Two, num_panels: panels.len(), per_row: 1, height: 130.0, gap: WITHOUT_GAP };
    let mut figure = grid.figure("Criteria and diagnostics over the exact threshold");
    let points = || panels.iter().flat_map(|(_, series)| series.iter().flat_map(|one| one.points.clone()));
    for (index, (claims, series)) in panels.iter().enumerate() {
        let x = size_axis(points().map(|point| point.0));
        let own = series.iter().flat_map(|one| one.points.iter().map(|point| point.1));
        let y = Scale::logarithmic(own.chain([1.0]), "over the exact threshold");
        let (from, to) = x.range;
        let mut all = vec![Series::new("exact", colour::INK, vec![(from, 1.0), (to, 1.0)]).dashed("4 3")];
        all.extend(series.iter().cloned());
        chart(&mut figure, &grid.panel(index, x, y), claims, &all);
    }
    let legends: Vec<&[Series]> = panels.iter().map(|(_, series)| series.as_slice()).collect();
    grid.finish(&mut figure, &legends, &[]);
    Some((figure.render(), rows))
}

/// What a row claims here: outside of its assumptions it is an estimate.
pub(super) fn binding(row: &DiagnosticReport) -> &str {
    let bound = row.claims == "necessary" || row.claims == "sufficient";
    let holds = row.assumptions.iter().all(|assumption| assumption.holds);
    if bound && !holds { "estimate" } else { &row.claims }
}

/// A series a row, told apart from the first `taken` of the figure.
fn of_claim(rows: &[&DiagnosticReport], claims: &str, taken: usize) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for row in rows.iter().filter(|row| binding(row) == claims) {
        let Some(ratio) = row.ratio_to_exact else { continue };
        let (name, point) = (title(&row.name), (row.batch_size as f64, ratio));
        if let Some(one) = series.iter_mut().find(|one| one.name == name) {
            one.points.push(point);
        } else {
            series.push(Series { points: vec![point], ..distinct(name, taken + series.len()) });
        }
    }
    for one in &mut series {
        one.points.sort_by(|x, y| x.0.total_cmp(&y.0));
    }
    series
}

/// Shares of the full batch over the batch size.
pub(super) fn limits(report: &Report) -> Drawn<String> {
    let mut rows = vec![head(&["optimizer", "batch_size", "full_batch_share"])];
    let mut series = Vec::new();
    for (place, lines) in optimizers(report).iter().enumerate() {
        let label = lines[0].training.optimizer.label();
        let of = |line: &&StabilityReport| Some((line.training.batch_size as f64, line.full_batch_share?));
        let points: Vec<(f64, f64)> = lines.iter().filter_map(of).collect();
        rows.extend(points.iter().map(|(size, share)| vec![label.clone(), size.to_string(), digits(*share)]));
        if !points.is_empty() {
            series.push(Series::new(label, colour_of(place), points).dotted());
        }
    }
    if series.is_empty() {
        return None;
    }
    let x = size_axis(series.iter().flat_map(|one| one.points.iter().map(|point| point.0)));
    let y = Scale::linear([0.0, 1.0], "share of the full batch");
    Some((one_panel("What limits", "full batch against gradient noise", (x, y), &series), rows))
}

/// Thresholds without each of the samples that limit most, over the threshold with all.
pub(super) fn influence(findings: &Findings) -> Drawn<String> {
    let report = &findings.report;
    let all = report
        .stability
        .iter()
        .find(|line| {
            line.training.batch_size == findings.shares_batch_size
                && line.training.optimizer == Optimizer::sgd()
        })?
        .max_learning_rate
        .0;
    let mut rows = vec![head(&["sample", "share_of_noise", "max_learning_rate_without", "sharpness"])];
    let mut points = Vec::new();
    for (place, sample) in report.responsible_samples.iter().enumerate() {
        let without = sample.max_learning_rate_without?;
        rows.push(vec![
            sample.sample.to_string(),
            digits(sample.share),
            digits(without),
            digits(sample.sharpness),
        ]);
        points.push(((place + 1) as f64, without / all));
    }
    if points.is_empty() {
        return None;
    }
    let x = Scale::linear(points.iter().map(|point| point.0).chain([0.0]), "samples by share of noise");
    let y = Scale::linear(
        points.iter().map(|point| point.1).chain([1.0]),
        "threshold without it, over that with all",
    );
    let mut one = Series::new("without the sample", colour::VERMILION, points).dotted();
    // Samples are no curve.
    one.stroke.width = 0.0;
    let series = [one];
    Some((one_panel("Thresholds without single samples", "to first order", (x, y), &series), rows))
}

/// Eigenvalues of the mean curvature.
pub(super) fn spectrum(findings: &Findings) -> Drawn<String> {
    let mut rows = vec![head(&["rank", "eigenvalue"])];
    rows.extend(
        findings.spectrum.iter().enumerate().map(|(at, value)| vec![(at + 1).to_string(), digits(*value)]),
    );
    let points: Vec<(f64, f64)> =
        findings.spectrum.iter().enumerate().map(|(at, value)| ((at + 1) as f64, *value)).collect();
    if points.is_empty() {
        return None;
    }
    let x = Scale::logarithmic(points.iter().map(|point| point.0), "rank of the eigenvalue");
    let y = Scale::logarithmic(points.iter().map(|point| point.1), "eigenvalue");
    let series = [Series::new("mean curvature", colour::BLUE, points)];
    Some((one_panel("Spectrum of the mean curvature", "Gauss-Newton", (x, y), &series), rows))
}

fn one_panel(title: &str, panel: &str, (x, y): (Scale, Scale), series: &[Series]) -> String {
    let grid = Grid { columns: Columns::Two, num_panels: 1, per_row: 1, height: 130.0, gap: WITHOUT_GAP };
    let mut figure = grid.figure(title);
    chart(&mut figure, &grid.panel(0, x, y), panel, series);
    grid.finish(&mut figure, &[series], &[]);
    figure.render()
}

/// All thresholds as a table, with the exponents of almost every run where they were asked for.
pub(super) fn numbers(report: &Report) -> AnalysisPart {
    let mut table = vec![head(&[
        "optimizer",
        "batch size",
        "stable up to",
        "known",
        "full batch",
        "almost every run",
        "growth a step",
        "Lyapunov exponent",
    ])];
    for line in &report.stability {
        table.push(vec![
            line.training.optimizer.label(),
            line.training.batch_size.to_string(),
            short(line.max_learning_rate.0),
            crate::human::known(line),
            short(line.gradient_descent_limit.0),
            line.almost_sure.map_or_else(|| "-".to_owned(), |found| short(found.max_learning_rate.0)),
            line.growth_per_step.map_or_else(|| "-".to_owned(), |growth| short(growth.0)),
            line.lyapunov.as_ref().map_or_else(|| "-".to_owned(), |exponent| short(exponent.mean.0)),
        ]);
    }
    AnalysisPart {
        title: "All thresholds".to_owned(),
        caption: "The mean square decays up to the first number, almost every run, by simulation, up to the one under its name. Growth is that of the mean square, the \
                  exponent that of almost every run, both at the learning rate asked about."
            .to_owned(),
        table,
        ..AnalysisPart::default()
    }
}
