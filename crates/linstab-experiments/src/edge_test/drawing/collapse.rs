//! Shares of runs that grew, of all settings at once: over the learning rate in units of one prediction and of another.

use std::collections::BTreeMap;

use super::super::settings::{Setting, runs};
use super::super::verdicts::Verdicts;
use super::super::words::{ALMOST_SURE, EXACT, GRADIENT_DESCENT};
use super::{batches, shade};
use linstab_report::drawing::{
    Columns, Grid, HEADLINE_HEIGHT, ONE_COLUMN, Panel, Scale, Series, Stroke, Svg, chart_with, colour, legend,
};

const SHARE: &str = "share of the runs that grew";

/// Four panels: in units of the limit of gradient descent and of the exact threshold on one axis; then from nearby, in units of the exact
/// threshold and of the almost-sure one.
pub(super) fn draw(columns: Columns, settings: &[&Setting<'_>], verdicts: &Verdicts) -> Svg {
    let grid = Grid {
        columns,
        num_panels: 4,
        per_row: 2,
        height: columns.choose(84.0, 112.0),
        gap: columns.choose(24.0, 40.0),
    };
    let mut figure = grid.figure("Share of the runs that grew, all settings at once, over the learning rate in units of three predictions");
    let wide = far(settings);
    let panels = [
        ("In units of 2/λmax", GRADIENT_DESCENT, Scale { label: "learning rate / (2/λmax)", ..wide.clone() }),
        ("In units of η*", EXACT, Scale { label: "learning rate / η*", ..wide }),
        ("η* from nearby", EXACT, near("learning rate / η*")),
        ("Almost sure, from nearby", ALMOST_SURE, near("learning rate / threshold")),
    ];
    for (index, (title, predictor, x)) in panels.into_iter().enumerate() {
        let is_near = !x.logarithmic;
        let panel = grid.panel(index, x, shares(if grid.is_first(index) { SHARE } else { "" }));
        chart_with(&mut figure, &panel, title, &[], |figure| {
            curves(figure, &panel, settings, predictor);
            if is_near {
                pooled_marks(figure, &panel, settings, predictor);
            }
        });
    }
    let (below, above) = (1.0 - verdicts.judgement.tight, 1.0 + verdicts.judgement.tight);
    let note = format!(
        "{}; a line is a setting: a minimum, an optimizer, a loader and a batch size. Up to {below} times the exact mean-square threshold η* {} runs grew; from \
         {above} times the almost-sure threshold on {} did not.",
        runs(settings),
        verdicts.safe.complement(),
        verdicts.tipped.complement()
    );
    let mut entries = legend_of(settings);
    entries.push(Series::new("all together", colour::INK, Vec::new()).dotted());
    grid.finish(&mut figure, &[&entries], &[&note]);
    figure
}

/// The last panel alone, for the first screen.
pub(super) fn headline(settings: &[&Setting<'_>]) -> Svg {
    let heading = "Share of the runs that grew";
    let mut figure = Svg::new(ONE_COLUMN, HEADLINE_HEIGHT, heading);
    let x = near("learning rate / almost-sure threshold");
    let panel = Panel { left: 34.0, top: 22.0, width: ONE_COLUMN - 46.0, height: 126.0, x, y: shares("") };
    chart_with(&mut figure, &panel, heading, &[], |figure| {
        curves(figure, &panel, settings, ALMOST_SURE);
        pooled_marks(figure, &panel, settings, ALMOST_SURE);
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
fn far(settings: &[&Setting<'_>]) -> Scale {
    let of = |predictor| {
        settings.iter().flat_map(move |setting| relative(setting, predictor)).map(|point| point.0)
    };
    let all = of(EXACT).chain(of(GRADIENT_DESCENT)).filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = all.fold((1.0_f64, 1.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    let axis = Scale::logarithmic([low, high], "");
    let range = (low / 1.3, high * 1.3);
    let ticks = axis.ticks.into_iter().filter(|tick| (range.0..=range.1).contains(tick)).collect();
    Scale { range, ticks, ..axis }
}

/// Around one.
fn near(label: &'static str) -> Scale {
    Scale {
        range: (0.72, 1.58),
        ticks: vec![0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
        label,
        logarithmic: false,
    }
}

fn curves(figure: &mut Svg, panel: &Panel, settings: &[&Setting<'_>], predictor: &str) {
    let one = vec![(1.0, panel.y.range.0), (1.0, panel.y.range.1)];
    panel.line(figure, &one, Stroke { colour: colour::INK, width: 0.8, dashes: "3 2" });
    let batches = batches(settings);
    let (low, high) = panel.x.range;
    for batch in &batches {
        let colour = shade(&batches, batch);
        figure.series(&format!("B = {batch}"), &[], |figure| {
            for setting in settings.iter().filter(|setting| setting.batch() == *batch) {
                let points = relative(setting, predictor).filter(|(x, _)| (low..=high).contains(x));
                panel.line(figure, &points.collect::<Vec<_>>(), Stroke { colour, width: 0.55, dashes: "" });
            }
        });
    }
}

/// Learning rates are put together over so much of the unit.
const BIN: f64 = 0.05;

/// The share of all runs over the learning rate, in bins that hold at least one run in a hundred.
fn pooled(settings: &[&Setting<'_>], predictor: &str, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let mut counts: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    let mut all = 0;
    for setting in settings {
        let Some(prediction) = setting.prediction(predictor) else { continue };
        for trial in &setting.trials {
            #[expect(clippy::cast_possible_truncation, reason = "ratios are within a few decades of one")]
            let bin = (trial.learning_rate / prediction.learning_rate / BIN).round() as i64;
            let count = counts.entry(bin).or_default();
            *count = (count.0 + trial.num_grown, count.1 + trial.num_runs);
            all += trial.num_runs;
        }
    }
    let shares = counts.into_iter().filter(|(_, (_, runs))| 100 * runs >= all);
    let points = shares.map(|(bin, (grown, runs))| (bin as f64 * BIN, grown as f64 / runs as f64));
    points.filter(|(x, _)| (low..=high).contains(x)).collect()
}

/// The share of all runs at each ratio.
fn pooled_marks(figure: &mut Svg, panel: &Panel, settings: &[&Setting<'_>], predictor: &str) {
    let points = pooled(settings, predictor, panel.x.range);
    figure.series("all together", &points, |figure| {
        for &(ratio, share) in &points {
            let (x, y) = panel.at(ratio, share);
            figure.dot(x, y, 2.6, colour::INK);
        }
    });
}

fn legend_of(settings: &[&Setting<'_>]) -> Vec<Series> {
    let batches = batches(settings);
    let name =
        |batch: &String| if batch == "all" { "B = all samples".to_owned() } else { format!("B = {batch}") };
    batches.iter().map(|batch| Series::new(name(batch), shade(&batches, batch), Vec::new())).collect()
}
