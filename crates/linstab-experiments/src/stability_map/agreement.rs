//! The figure that says who predicts the simulation, over all maps.

use linstab_report::drawing::{Anchor, Columns, Panel, Scale, Stroke, Svg, Text, colour};

use super::drawing::{LEGEND_SIZE, style};
use super::summary::{Boundary, MapSummary};

/// For each map, the share of its cells that each boundary predicts rightly.
pub(super) fn figure(columns: Columns, summaries: &[MapSummary]) -> Svg {
    const ROW: f64 = 13.0;
    const TOP: f64 = 24.0;
    let height = ROW * summaries.len() as f64;
    let title = "Cells that each boundary predicts as they were simulated";
    let (left, size) = columns.choose((138.0, 5.4), (200.0, LEGEND_SIZE));
    let legend_lines = columns.choose(2.0, 1.0);
    let mut figure = Svg::new(columns.width(), TOP + height + 50.0 + 12.0 * legend_lines, title);
    let share = |summary: &MapSummary, boundary: Boundary| {
        100.0 * summary.right(boundary) as f64 / summary.num_cells as f64
    };
    let panel = Panel {
        left,
        top: TOP,
        width: columns.width() - left - 16.0,
        height,
        x: Scale {
            range: (0.0, 102.0),
            ticks: (0..=5).map(|tick| 20.0 * f64::from(tick)).collect(),
            label: "cells predicted as simulated, %",
            logarithmic: false,
        },
        y: Scale { range: (summaries.len() as f64, 0.0), ticks: Vec::new(), label: "", logarithmic: false },
    };
    for (index, summary) in summaries.iter().enumerate() {
        let middle = index as f64 + 0.5;
        let rule = Stroke { colour: colour::FAINT, width: 0.6, dashes: "" };
        panel.line(&mut figure, &[(0.0, middle), (panel.x.range.1, middle)], rule);
        let (left, y) = panel.at(0.0, middle);
        figure.text(left - 6.0, y + 2.6, Text::new(&summary.key().title(), size, Anchor::End));
        for boundary in Boundary::ALL {
            mark(&mut figure, panel.at(share(summary, boundary), middle), boundary);
        }
    }
    panel.decorate(&mut figure, columns.choose("", title));
    for (index, boundary) in Boundary::ALL.into_iter().enumerate() {
        let per_row = columns.choose(2, 4);
        let (column, row) = ((index % per_row) as f64, (index / per_row) as f64);
        let (x, y) = (20.0 + 118.0 * column, panel.top + height + 46.0 + 12.0 * row);
        mark(&mut figure, (x, y), boundary);
        figure.text(x + 8.0, y + 2.7, Text::new(boundary.title(), LEGEND_SIZE, Anchor::Start));
    }
    figure
}

/// A dot; for Theorem 3.3 a ring, since under Bernoulli sampling it coincides with the exact mean square.
fn mark(figure: &mut Svg, (x, y): (f64, f64), boundary: Boundary) {
    match boundary {
        Boundary::Theorem33 => {
            figure.ring(x, y, 4.4, Stroke { colour: colour::INK, width: 1.0, dashes: "" });
        }
        _ => figure.dot(x, y, 3.3, style(boundary).colour),
    }
}
