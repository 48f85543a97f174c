//! Curves with bands, and their legend.

use super::panel::Panel;
use super::svg::{Anchor, Stroke, Svg, Text};

const LEGEND_SIZE: f64 = 7.5;

/// One curve of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Colour, width and dashes of the line.
    pub stroke: Stroke,
    /// The curve. Values that are not finite leave a gap.
    pub points: Vec<(f64, f64)>,
    /// A band around it, as (x, lower, upper); empty for none.
    pub band: Vec<(f64, f64, f64)>,
    /// Whether each point is marked by a dot.
    pub dots: bool,
}

impl Series {
    /// A solid curve.
    pub fn new(name: impl Into<String>, colour: &'static str, points: Vec<(f64, f64)>) -> Self {
        let stroke = Stroke { colour, width: 1.5, dashes: "" };
        Self { name: name.into(), stroke, points, band: Vec::new(), dots: false }
    }

    /// The same series with a shaded band around it: at each point the half width of the band, such as a standard deviation.
    #[must_use]
    pub fn with_band(mut self, half_widths: &[f64]) -> Self {
        self.band = self.points.iter().zip(half_widths).map(|(&(x, y), h)| (x, y - h, y + h)).collect();
        self
    }

    /// The same with other dashes.
    #[must_use]
    pub fn dashed(mut self, dashes: &'static str) -> Self {
        self.stroke.dashes = dashes;
        self
    }

    /// The same with a dot at each point.
    #[must_use]
    pub fn dotted(mut self) -> Self {
        self.dots = true;
        self
    }
}

/// Draws the series into a panel: grid, bands, curves, dots, then the frame.
pub fn chart(figure: &mut Svg, panel: &Panel, title: &str, series: &[Series]) {
    chart_with(figure, panel, title, series, |_| {});
}

/// As [`chart`], with what `draw` draws above the curves.
pub fn chart_with(
    figure: &mut Svg,
    panel: &Panel,
    title: &str,
    series: &[Series],
    draw: impl FnOnce(&mut Svg),
) {
    panel.draw_with_grid(figure, title, |figure| {
        // All bands below all curves.
        for one in series.iter().filter(|one| !one.band.is_empty()) {
            figure.series(&one.name, &[], |figure| band(figure, panel, one));
        }
        for one in series {
            figure.series(&one.name, &one.points, |figure| curve(figure, panel, one));
        }
        draw(figure);
    });
}

fn band(figure: &mut Svg, panel: &Panel, one: &Series) {
    let finite: Vec<_> =
        one.band.iter().filter(|(_, low, high)| low.is_finite() && high.is_finite()).collect();
    let outline = finite.iter().map(|(x, low, _)| panel.at(*x, *low));
    let back = finite.iter().rev().map(|(x, _, high)| panel.at(*x, *high));
    let outline: Vec<_> = outline.chain(back).collect();
    if !outline.is_empty() {
        figure.area(&outline, one.stroke.colour, 0.18);
    }
}

fn curve(figure: &mut Svg, panel: &Panel, one: &Series) {
    for run in one.points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
        if run.len() > 1 && one.stroke.width > 0.0 {
            panel.line(figure, run, one.stroke);
        }
        for &(x, y) in run.iter().filter(|_| one.dots || run.len() == 1) {
            let (x, y) = panel.at(x, y);
            figure.dot(x, y, 2.2, one.stroke.colour);
        }
    }
}

/// Names beside short pieces of the curves, in as many columns as fit into the width, from the upper left corner; returns the height
/// used.
pub fn legend(figure: &mut Svg, (left, top): (f64, f64), series: &[Series], width: f64) -> f64 {
    const LINE: f64 = 12.0;
    let column_width = series.iter().map(|one| entry_width(&one.name)).fold(1.0, f64::max) + 8.0;
    let fitting = (1..=series.len().max(1)).take_while(|&columns| column_width * columns as f64 <= width);
    let num_columns = fitting.last().unwrap_or(1);
    for (index, one) in series.iter().enumerate() {
        let x = left + column_width * (index % num_columns) as f64;
        let y = top + LINE * (index / num_columns) as f64;
        legend_entry(figure, (x, y), one);
    }
    LINE * series.len().div_ceil(num_columns) as f64
}

/// About the width of an entry, in any common typeface.
fn entry_width(name: &str) -> f64 {
    23.0 + 0.52 * LEGEND_SIZE * name.chars().count() as f64
}

/// One entry of a legend, from the left end of its line.
pub fn legend_entry(figure: &mut Svg, (x, y): (f64, f64), one: &Series) {
    let width = entry_width(&one.name);
    let place = format!("{x:.1} {:.1} {width:.1} 11", y - 5.5);
    figure.group("legend", &[("series", &one.name), ("box", &place)], |figure| {
        if one.dots {
            figure.dot(x + 9.0, y, 2.2, one.stroke.colour);
        }
        if one.stroke.width > 0.0 && (one.points.len() > 1 || !one.dots) {
            figure.polyline(&[(x, y), (x + 18.0, y)], one.stroke);
        }
        figure.text(x + 23.0, y + 2.6, Text::new(&one.name, LEGEND_SIZE, Anchor::Start));
    });
}
