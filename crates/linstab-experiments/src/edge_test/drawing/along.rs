//! Along ordinary trainings: the learning rate in units of the threshold.

use super::super::trainings::{SPIKE, Training};
use linstab_report::drawing::{Columns, Grid, Scale, Series, Stroke, Svg, chart_with, colour};

pub(super) fn draw(columns: Columns, trainings: &[Training<'_>]) -> Svg {
    let (per_row, height) = columns.choose((1, 90.0), (2, 100.0));
    let grid = Grid { columns, num_panels: trainings.len(), per_row, height, gap: 38.0 };
    let mut figure = grid.figure("Learning rate in units of the threshold along ordinary trainings");
    for (index, training) in trainings.iter().enumerate() {
        let curves = curves(training);
        let values = curves.iter().flat_map(|one| &one.points).map(|point| point.1).chain([0.5, 2.0]);
        let steps = training.steps.iter().map(|step| step.step as f64);
        let label = if grid.is_first(index) { "learning rate / threshold" } else { "" };
        let panel = grid.panel(index, Scale::linear(steps, "step"), Scale::logarithmic(values, label));
        chart_with(&mut figure, &panel, &training.title, &curves, |figure| {
            let (first, last) = panel.x.range;
            let edge = Stroke { colour: colour::GREY, width: 0.8, dashes: "3 2" };
            panel.line(figure, &[(first, 1.0), (last, 1.0)], edge);
            figure.series(SPIKE, &[], |figure| {
                for step in training.steps.iter().filter(|step| step.event == SPIKE) {
                    let (x, bottom) = panel.at(step.step as f64, panel.y.range.0);
                    figure.dot(x, bottom - 4.0, 2.2, colour::VERMILION);
                }
            });
        });
    }
    let mut entries = trainings.first().map(curves).unwrap_or_default();
    entries.push(Series::new(SPIKE, colour::VERMILION, Vec::new()).dotted());
    grid.finish(&mut figure, &[&entries], &[]);
    figure
}

fn curves(training: &Training<'_>) -> Vec<Series> {
    vec![
        Series::new("over the exact threshold", colour::BLUE, training.over(|step| step.mean_square)),
        Series::new("over 2/λmax", colour::ORANGE, training.over(|step| step.gradient_descent_limit)),
    ]
}
