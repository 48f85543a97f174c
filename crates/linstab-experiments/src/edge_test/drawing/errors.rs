//! Errors by predictor: the median with its interval.

use super::super::errors::{ALL, ErrorRow};
use super::super::settings::Scope;
use super::super::words;
use linstab_report::drawing::{
    Anchor, Columns, Panel, Scale, Series, Stroke, Svg, Text, chart_with, colour, legend,
};

const PITCH: f64 = 17.0;
const TOP: f64 = 22.0;
/// Errors of less than this, in percent, stand at the left end.
const LEAST: f64 = 0.1;

pub(super) fn draw(columns: Columns, errors: &[ErrorRow]) -> Svg {
    let of_all: Vec<&ErrorRow> = errors.iter().filter(|row| row.by == ALL && row.num_decided > 0).collect();
    let predictors = by_error(&of_all);
    let left = columns.choose(112.0, 150.0);
    let height = PITCH * predictors.len() as f64;
    let width = columns.width() - left - 12.0;
    let largest = of_all.iter().map(|row| 100.0 * row.median_error_upper).filter(|error| error.is_finite());
    let most = largest.fold(100.0, f64::max).min(1e5);
    let x = Scale::logarithmic([LEAST, most], "median error of the predicted learning rate, percent");
    let y = Scale { range: (0.0, predictors.len() as f64), ticks: Vec::new(), label: "", logarithmic: false };
    let panel = Panel { left, top: TOP, width, height, x, y };
    let mut figure = Svg::new(columns.width(), 0.0, "Median error of each predictor, with its interval");
    chart_with(&mut figure, &panel, "Error by predictor", &[], |figure| {
        for (scope, colour) in SCOPES {
            let rows = of_all.iter().filter(|row| row.scope == scope);
            let places = rows.filter_map(|row| {
                let place = predictors.iter().position(|name| *name == row.predictor)?;
                Some((*row, predictors.len() as f64 - place as f64 - 0.5 - offset(scope)))
            });
            let places: Vec<(&ErrorRow, f64)> = places.collect();
            let values: Vec<(f64, f64)> =
                places.iter().map(|(row, y)| (100.0 * row.median_error, *y)).collect();
            figure.series(name_of(scope), &values, |figure| {
                for (row, y) in &places {
                    dot_with_interval(figure, &panel, row, *y, colour);
                }
            });
        }
    });
    for (place, name) in predictors.iter().enumerate() {
        let y = TOP + PITCH * (place as f64 + 0.5) + 2.5;
        let title = words::predictor(name);
        let size = (1.9 * (left - 8.0) / title.chars().count().max(1) as f64).min(7.5);
        figure.text(left - 6.0, y, Text::new(&title, size, Anchor::End));
    }
    let present = SCOPES.iter().filter(|(scope, _)| of_all.iter().any(|row| row.scope == *scope));
    let entries: Vec<Series> =
        present.map(|(scope, colour)| Series::new(name_of(*scope), colour, Vec::new()).dotted()).collect();
    let top = TOP + height + 36.0;
    let used = legend(
        &mut figure,
        (columns.choose(8.0, left), top),
        &entries,
        columns.width() - columns.choose(12.0, left),
    );
    figure.end_at(top + used);
    figure
}

const SCOPES: [(Scope, &str); 3] = [
    (Scope::Interpolating, colour::BLUE),
    (Scope::Live, colour::GREEN),
    (Scope::FiniteLoss, colour::VERMILION),
];

fn name_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Interpolating => "interpolating minima",
        Scope::Live => "live second moment",
        Scope::FiniteLoss => "finite loss",
    }
}

/// Side by side within a row.
fn offset(scope: Scope) -> f64 {
    match scope {
        Scope::Interpolating => -0.22,
        Scope::Live => 0.0,
        Scope::FiniteLoss => 0.22,
    }
}

/// The predictors of interpolating minima, the smallest error first; others last.
fn by_error<'a>(rows: &[&'a ErrorRow]) -> Vec<&'a str> {
    let mut ranked: Vec<(f64, &str)> = Vec::new();
    for scope in Scope::ALL {
        for row in rows.iter().filter(|row| row.scope == scope) {
            if ranked.iter().all(|(_, name)| *name != row.predictor) {
                ranked.push((row.median_error, &row.predictor));
            }
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, name)| name).collect()
}

fn dot_with_interval(figure: &mut Svg, panel: &Panel, row: &ErrorRow, y: f64, colour: &'static str) {
    let (low, high) = (100.0 * row.median_error_lower, 100.0 * row.median_error_upper);
    if low.is_finite() && !high.is_nan() {
        panel.line(figure, &[(low, y), (high, y)], Stroke { colour, width: 1.2, dashes: "" });
    }
    let (x, y) = panel.at(100.0 * row.median_error, y);
    figure.dot(x, y, 2.4, colour);
}
