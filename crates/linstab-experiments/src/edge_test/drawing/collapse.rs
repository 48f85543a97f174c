//! Shares of runs that grew, of all settings at once: over the learning rate in units of one prediction and of another.

use std::collections::BTreeMap;

use super::super::settings::{Setting, runs};
use super::super::words::{EXACT, GRADIENT_DESCENT};
use super::{batches, shade};
use linstab_report::drawing::{
    Columns, Grid, HEADLINE_HEIGHT, ONE_COLUMN, Panel, Scale, Series, Stroke, Svg, chart_with, colour, legend,
};

const SHARE: &str = "share of the runs that grew";

/// Three panels: in units of the limit of gradient descent, of the exact threshold, and the latter from nearby.
pub(super) fn draw(columns: Columns, settings: &[&Setting<'_>]) -> Svg {
    let (per_row, height) = columns.choose((1, 104.0), (3, 134.0));
    let grid = Grid { columns, num_panels: 3, per_row, height, gap: 30.0 };
    let mut figure = grid.figure("Share of the runs that grew, all settings at once, over the learning rate in units of 2/λmax and of the exact threshold");
    let decades = range(settings);
    let wide = |label| {
        let axis = Scale::logarithmic([decades.0, decades.1], label);
        Scale {
            range: decades,
            ticks: axis.ticks.into_iter().filter(|tick| decades.0 <= *tick && *tick <= decades.1).collect(),
            ..axis
        }
    };
    let panels = [
        ("In units of 2/λmax", GRADIENT_DESCENT, wide("learning rate / (2/λmax)")),
        ("In units of the exact threshold", EXACT, wide("learning rate / η*")),
        ("The same from nearby", EXACT, near(settings)),
    ];
    for (index, (title, predictor, x)) in panels.into_iter().enumerate() {
        let is_near = index == 2;
        let panel = grid.panel(index, x, shares(if grid.is_first(index) { SHARE } else { "" }));
        chart_with(&mut figure, &panel, title, &[], |figure| {
            curves(figure, &panel, settings, predictor);
            if is_near {
                pooled_marks(figure, &panel, settings);
            }
        });
    }
    let note = format!("A line a setting: {}. {}", runs(settings), around_one(settings));
    let mut entries = legend_of(settings);
    entries.push(Series::new("all together", colour::INK, Vec::new()).dotted());
    grid.finish(&mut figure, &[&entries], &[&note]);
    figure
}

/// The last panel alone, for the first screen.
pub(super) fn headline(settings: &[&Setting<'_>]) -> Svg {
    let heading = "Share of the runs that grew";
    let mut figure = Svg::new(ONE_COLUMN, HEADLINE_HEIGHT, heading);
    let x = Scale { label: "learning rate / exact threshold", ..near(settings) };
    let panel = Panel { left: 34.0, top: 22.0, width: ONE_COLUMN - 46.0, height: 126.0, x, y: shares("") };
    chart_with(&mut figure, &panel, heading, &[], |figure| {
        curves(figure, &panel, settings, EXACT);
        pooled_marks(figure, &panel, settings);
    });
    legend(&mut figure, (34.0, HEADLINE_HEIGHT - 26.0), &legend_of(settings), ONE_COLUMN - 40.0);
    figure
}

fn shares(label: &'static str) -> Scale {
    Scale { range: (-0.04, 1.09), ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], label, logarithmic: false }
}

/// Learning rates over a prediction.
fn relative<'a>(setting: &'a Setting<'_>, predictor: &str) -> impl Iterator<Item = (f64, f64)> + 'a {
    let unit = setting.prediction(predictor).map_or(f64::NAN, |prediction| prediction.learning_rate);
    let share = |num_grown: usize, num_runs: usize| num_grown as f64 / num_runs as f64;
    setting
        .trials
        .iter()
        .map(move |trial| (trial.learning_rate / unit, share(trial.num_grown, trial.num_runs)))
}

/// All learning rates in either unit, with some room.
fn range(settings: &[&Setting<'_>]) -> (f64, f64) {
    let of = |predictor| {
        settings.iter().flat_map(move |setting| relative(setting, predictor)).map(|point| point.0)
    };
    let all = of(EXACT).chain(of(GRADIENT_DESCENT)).filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = all.fold((1.0_f64, 1.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    (low / 1.3, high * 1.3)
}

fn near(settings: &[&Setting<'_>]) -> Scale {
    let ratios: Vec<f64> = pooled(settings).into_iter().map(|(ratio, ..)| ratio).collect();
    let low = ratios.iter().copied().fold(1.0, f64::min) - 0.07;
    let high = ratios.iter().copied().fold(1.0, f64::max) + 0.07;
    Scale {
        range: (low, high),
        ticks: vec![0.8, 1.0, 1.2, 1.5],
        label: "learning rate / η*",
        logarithmic: false,
    }
}

fn curves(figure: &mut Svg, panel: &Panel, settings: &[&Setting<'_>], predictor: &str) {
    let one = vec![(1.0, panel.y.range.0), (1.0, panel.y.range.1)];
    panel.line(figure, &one, Stroke { colour: colour::INK, width: 0.8, dashes: "3 2" });
    let batches = batches(settings);
    for batch in &batches {
        let colour = shade(&batches, batch);
        figure.series(&format!("B = {batch}"), &[], |figure| {
            for setting in settings.iter().filter(|setting| setting.batch() == *batch) {
                let points: Vec<(f64, f64)> =
                    relative(setting, predictor).filter(|point| point.0.is_finite()).collect();
                panel.line(figure, &points, Stroke { colour, width: 0.55, dashes: "" });
            }
        });
    }
}

/// Ratio to the exact threshold, to two decimals, with all its runs: those that grew and all.
fn pooled(settings: &[&Setting<'_>]) -> Vec<(f64, usize, usize)> {
    let mut counts: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for setting in settings {
        let Some(exact) = setting.prediction(EXACT) else { continue };
        for trial in &setting.trials {
            #[expect(clippy::cast_possible_truncation, reason = "ratios are small")]
            let percent = (100.0 * trial.learning_rate / exact.learning_rate).round() as i64;
            let count = counts.entry(percent).or_default();
            *count = (count.0 + trial.num_grown, count.1 + trial.num_runs);
        }
    }
    counts.into_iter().map(|(percent, (grown, all))| (percent as f64 / 100.0, grown, all)).collect()
}

/// How many runs grew just below and just above the exact threshold.
fn around_one(settings: &[&Setting<'_>]) -> String {
    let counts = pooled(settings);
    let below = counts.iter().rfind(|(ratio, ..)| *ratio < 1.0);
    let above = counts.iter().find(|(ratio, ..)| *ratio > 1.0);
    let said = [below, above]
        .into_iter()
        .flatten()
        .map(|&(ratio, grown, all)| format!("At {ratio} of the exact threshold {grown} of {all} runs grew."));
    said.collect::<Vec<_>>().join(" ")
}

/// The share of all runs at each ratio.
fn pooled_marks(figure: &mut Svg, panel: &Panel, settings: &[&Setting<'_>]) {
    let counts = pooled(settings);
    let points: Vec<(f64, f64)> =
        counts.iter().map(|&(ratio, grown, all)| (ratio, grown as f64 / all as f64)).collect();
    figure.series("all together", &points, |figure| {
        for &(ratio, share) in &points {
            let (x, y) = panel.at(ratio, share);
            figure.dot(x, y, 3.0, colour::INK);
        }
    });
}

fn legend_of(settings: &[&Setting<'_>]) -> Vec<Series> {
    let batches = batches(settings);
    let name =
        |batch: &String| if batch == "all" { "B = all samples".to_owned() } else { format!("B = {batch}") };
    batches.iter().map(|batch| Series::new(name(batch), shade(&batches, batch), Vec::new())).collect()
}
