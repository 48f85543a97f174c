//! Predicted against observed: a panel a predictor, a dot a setting, right on the diagonal.

use super::super::errors::{ALL, ErrorRow};
use super::super::findings::in_words;
use super::super::settings::{Scope, Setting};
use super::{batches, shade};
use linstab_report::drawing::{Columns, Grid, Scale, Series, Stroke, Svg, chart_with, colour};

/// More panels are no help.
const MOST_PANELS: usize = 9;

pub(super) fn draw(columns: Columns, settings: &[&Setting<'_>], errors: &[ErrorRow]) -> Svg {
    let shown = shown(errors);
    let (per_row, height) = columns.choose((2, 84.0), (3, 118.0));
    let grid = Grid { columns, num_panels: shown.len(), per_row, height, gap: 38.0 };
    let mut figure = grid.figure(
        "Learning rates at which predictors say unstable, against those at which half of the runs grow",
    );
    let observed = settings.iter().filter_map(|setting| setting.transition.value);
    let axis = Scale::logarithmic(observed, "");
    let batches = batches(settings);
    for (index, row) in shown.iter().enumerate() {
        let below = index + per_row >= shown.len();
        let x = Scale { label: if below { "predicted learning rate" } else { "" }, ..axis.clone() };
        let y =
            Scale { label: if grid.is_first(index) { "observed transition" } else { "" }, ..axis.clone() };
        let panel = grid.panel(index, x, y);
        let title = format!("{}: {}", row.title.clone(), in_words(row.median_error));
        chart_with(&mut figure, &panel, &title, &[], |figure| {
            let (low, high) = axis.range;
            panel.line(
                figure,
                &[(low, low), (high, high)],
                Stroke { colour: colour::INK, width: 0.8, dashes: "3 2" },
            );
            for batch in &batches {
                let points: Vec<(f64, f64)> = settings
                    .iter()
                    .filter(|setting| setting.batch() == *batch)
                    .filter_map(|setting| {
                        let predicted = setting.prediction(&row.predictor)?.learning_rate;
                        Some((predicted, setting.transition.value?))
                    })
                    .collect();
                figure.series(&format!("B = {batch}"), &points, |figure| {
                    for &(predicted, observed) in &points {
                        let (x, y) = panel.at(predicted, observed);
                        figure.dot(x, y, 1.7, shade(&batches, batch));
                    }
                });
            }
        });
    }
    let dot =
        |batch: &String| Series::new(format!("B = {batch}"), shade(&batches, batch), Vec::new()).dotted();
    let entries: Vec<Series> = batches.iter().map(dot).collect();
    let note = "In the titles: the median error. A dot at an edge lies there or beyond.";
    grid.finish(&mut figure, &[&entries], &[note]);
    figure
}

/// The predictors that speak of the most settings, in their usual order.
fn shown(errors: &[ErrorRow]) -> Vec<&ErrorRow> {
    let of_all = |row: &&ErrorRow| (row.scope, row.by) == (Scope::Interpolating, ALL) && row.num_decided > 0;
    let mut rows: Vec<&ErrorRow> = errors.iter().filter(of_all).collect();
    let mut counts: Vec<usize> = rows.iter().map(|row| row.num_settings).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let least = counts.get(MOST_PANELS - 1).copied().unwrap_or(0);
    rows.retain(|row| row.num_settings >= least);
    rows.truncate(MOST_PANELS);
    rows
}
