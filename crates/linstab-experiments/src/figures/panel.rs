//! A plotting area with linear axes.

use super::colour;
use super::svg::{Anchor, Stroke, Svg, Text};

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Values at the two ends.
    pub range: (f64, f64),
    /// Where ticks stand.
    pub ticks: Vec<f64>,
    /// What is plotted.
    pub label: &'static str,
}

/// A plotting area.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Horizontal axis, to the right.
    pub x: Scale,
    /// Vertical axis, upwards.
    pub y: Scale,
}

const TICK_LENGTH: f64 = 3.0;
const TICK_SIZE: f64 = 7.0;
const LABEL_SIZE: f64 = 8.0;

impl Panel {
    /// The position of a point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let along = |scale: &Scale, value: f64| (value - scale.range.0) / (scale.range.1 - scale.range.0);
        (self.left + self.width * along(&self.x, x), self.top + self.height * (1.0 - along(&self.y, y)))
    }

    /// Fills the cell between two corners.
    pub fn fill(&self, figure: &mut Svg, from: (f64, f64), to: (f64, f64), fill: &str) {
        let ((left, bottom), (right, top)) = (self.at(from.0, from.1), self.at(to.0, to.1));
        figure.cell(left, top, right - left, bottom - top, fill);
    }

    /// Draws a curve on a ground of any colour.
    pub fn curve(&self, figure: &mut Svg, points: &[(f64, f64)], stroke: Stroke) {
        let points: Vec<_> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        figure.curve(&points, stroke);
    }

    /// Draws a line on a white ground.
    pub fn line(&self, figure: &mut Svg, points: &[(f64, f64)], stroke: Stroke) {
        let points: Vec<_> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        figure.polyline(&points, stroke);
    }

    /// Draws the frame, ticks, labels and a title above.
    pub fn decorate(&self, figure: &mut Svg, title: &str) {
        let line = Stroke { colour: colour::INK, width: 0.7, dashes: "" };
        let bottom = self.top + self.height;
        for &tick in &self.x.ticks {
            let (x, _) = self.at(tick, self.y.range.0);
            figure.polyline(&[(x, bottom), (x, bottom + TICK_LENGTH)], line);
            figure.text(x, bottom + TICK_LENGTH + TICK_SIZE, tick_label(&tick.to_string(), Anchor::Middle));
        }
        for &tick in &self.y.ticks {
            let (_, y) = self.at(self.x.range.0, tick);
            figure.polyline(&[(self.left - TICK_LENGTH, y), (self.left, y)], line);
            let label = tick.to_string();
            let below = y + 0.35 * TICK_SIZE;
            figure.text(self.left - TICK_LENGTH - 2.0, below, tick_label(&label, Anchor::End));
        }
        figure.frame(self.left, self.top, self.width, self.height, line);
        let middle = self.left + 0.5 * self.width;
        figure.text(middle, bottom + 23.0, Text::new(self.x.label, LABEL_SIZE, Anchor::Middle));
        let upwards = Text { upwards: true, ..Text::new(self.y.label, LABEL_SIZE, Anchor::Middle) };
        figure.text(self.left - 21.0, self.top + 0.5 * self.height, upwards);
        figure.text(middle, self.top - 6.0, Text { bold: true, ..Text::new(title, 9.0, Anchor::Middle) });
    }
}

fn tick_label(content: &str, anchor: Anchor) -> Text<'_> {
    Text { colour: colour::GREY, ..Text::new(content, TICK_SIZE, anchor) }
}
