//! A plotting area with linear or logarithmic axes.

use super::colour;
use super::svg::{Anchor, Stroke, Svg, Text};

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Values at the two ends.
    pub range: (f64, f64),
    /// Where ticks stand.
    pub ticks: Vec<f64>,
    /// What is plotted.
    pub label: &'static str,
    /// Whether distances are those of logarithms; the range is positive then.
    pub logarithmic: bool,
}

impl Scale {
    /// A linear axis over the finite values, with some five ticks at round numbers.
    pub fn linear(values: impl IntoIterator<Item = f64>, label: &'static str) -> Self {
        let (low, high) = extent(values.into_iter().filter(|x| x.is_finite()), (0.0, 1.0));
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
        let rough = (high - low) / 5.0;
        let decade = 10.0_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|&s| s >= rough).unwrap_or(rough);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let count = (last - first).round();
        let ticks = (0_u8..100)
            .map(f64::from)
            .take_while(|&i| i <= count)
            .map(|i| round_to(step, first + i))
            .collect();
        Self { range: (first * step, last * step), ticks, label, logarithmic: false }
    }

    /// A logarithmic axis over the positive values: powers of ten, or 1, 2, 5 times these where there are few; the ticks of a linear axis where
    /// the values are within a factor of three, which hardly bends it.
    pub fn logarithmic(values: impl IntoIterator<Item = f64>, label: &'static str) -> Self {
        let (low, high) = extent(values.into_iter().filter(|x| x.is_finite() && *x > 0.0), (0.1, 10.0));
        let spread = high / low;
        if spread > 1.0 + 1e-9 && spread < 3.0 {
            let linear = Self::linear([low, high], label);
            if linear.range.0 > 0.0 {
                return Self { logarithmic: true, ..linear };
            }
        }
        let (first, last) = (low.log10().floor(), high.log10().ceil());
        let exponents = (0_u8..100).map(|i| first + f64::from(i)).take_while(|&e| e <= last);
        let few = high / low < 300.0;
        let multiples: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let all: Vec<f64> = exponents
            .flat_map(|e| multiples.iter().map(move |m| round_to(m * 10.0_f64.powf(e), 1.0)))
            .collect();
        // From the last tick that is not above the values to the first that is not below.
        let from = all.iter().rposition(|&tick| tick <= low).unwrap_or(0);
        let to = all
            .iter()
            .position(|&tick| tick >= high)
            .unwrap_or(all.len() - 1)
            .max(from + 1)
            .min(all.len() - 1);
        let kept = &all[from.min(to.saturating_sub(1))..=to];
        let step = if few { 1 } else { kept.len().div_ceil(7) };
        let range = (kept[0], kept[kept.len() - 1]);
        Self { range, ticks: kept.iter().copied().step_by(step).collect(), label, logarithmic: true }
    }

    /// Where a value stands, 0 at one end and 1 at the other; values beyond an end stand there.
    fn along(&self, value: f64) -> f64 {
        let of = |x: f64| if self.logarithmic { x.max(self.range.0).ln() } else { x };
        ((of(value) - of(self.range.0)) / (of(self.range.1) - of(self.range.0))).clamp(0.0, 1.0)
    }

    /// An axis that counts rows from the top, from 0; their names are for who draws them.
    pub fn rows(num_rows: usize) -> Self {
        Self { range: (num_rows as f64 - 0.5, -0.5), ticks: Vec::new(), label: "", logarithmic: false }
    }

    /// The values at its ends and its kind, for readers of a drawing; an axis that runs downwards counts rows.
    fn ends(&self) -> String {
        let scaled = if self.logarithmic { "log" } else { "linear" };
        let kind = if self.range.0 > self.range.1 { "rows" } else { scaled };
        format!("{} {} {kind}", self.range.0, self.range.1)
    }

    fn tick_label(&self, tick: f64) -> String {
        let plain = tick.to_string();
        let short = format!("{tick:.0e}");
        let is_long = self.logarithmic && !(0.001..10_000.0).contains(&tick) || plain.len() > 6;
        // A label never rounds its tick away from where it stands.
        if is_long && short.parse() == Ok(tick) { short } else { plain }
    }
}

/// Smallest and largest value; `otherwise` if there is none.
fn extent(values: impl Iterator<Item = f64>, otherwise: (f64, f64)) -> (f64, f64) {
    values
        .fold(None, |range: Option<(f64, f64)>, x| Some(range.map_or((x, x), |(a, b)| (a.min(x), b.max(x)))))
        .unwrap_or(otherwise)
}

/// `step * count` without the last digits that a product of decimals leaves.
fn round_to(step: f64, count: f64) -> f64 {
    let scale = 10.0_f64.powf(2.0 - step.log10().floor());
    (step * count * scale).round() / scale
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
const TITLE_SIZE: f64 = 9.0;

impl Panel {
    /// The position of a point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + self.width * self.x.along(x), self.top + self.height * (1.0 - self.y.along(y)))
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

    /// Draws what `draw` draws, then the frame, ticks, labels and a title above.
    pub fn draw(&self, figure: &mut Svg, title: &str, draw: impl FnOnce(&mut Svg)) {
        self.groups(figure, title, false, draw);
    }

    /// As [`Panel::draw`], with horizontal lines at the ticks below.
    pub fn draw_with_grid(&self, figure: &mut Svg, title: &str, draw: impl FnOnce(&mut Svg)) {
        self.groups(figure, title, true, draw);
    }

    fn groups(&self, figure: &mut Svg, title: &str, with_grid: bool, draw: impl FnOnce(&mut Svg)) {
        let place = format!("{:.2} {:.2} {:.2} {:.2}", self.left, self.top, self.width, self.height);
        let (x, y) = (self.x.ends(), self.y.ends());
        let data = [
            ("box", place.as_str()),
            ("x", &x),
            ("y", &y),
            ("x-label", self.x.label),
            ("y-label", self.y.label),
            ("title", title),
        ];
        figure.group("panel", &data, |figure| {
            if with_grid {
                figure.group("grid", &[], |figure| self.grid(figure));
            }
            figure.group("data", &[], draw);
            self.decorate(figure, title);
        });
    }

    fn grid(&self, figure: &mut Svg) {
        let grid = Stroke { colour: colour::FAINT, width: 0.4, dashes: "" };
        for &tick in &self.y.ticks {
            self.line(figure, &[(self.x.range.0, tick), (self.x.range.1, tick)], grid);
        }
    }

    /// Draws the frame, ticks, labels and a title above.
    pub fn decorate(&self, figure: &mut Svg, title: &str) {
        let line = Stroke { colour: colour::INK, width: 0.7, dashes: "" };
        figure.group("ticks x", &[], |figure| self.ticks_of_x(figure, line));
        figure.group("ticks y", &[], |figure| self.ticks_of_y(figure, line));
        figure.frame(self.left, self.top, self.width, self.height, line);
        let middle = self.left + 0.5 * self.width;
        let below = self.top + self.height + 23.0;
        figure.text(middle, below, Text::new(self.x.label, LABEL_SIZE, Anchor::Middle));
        let upwards = Text { upwards: true, ..Text::new(self.y.label, LABEL_SIZE, Anchor::Middle) };
        figure.text(self.left - self.label_distance(), self.top + 0.5 * self.height, upwards);
        // A title may reach beyond its panel by half of what is between panels; then it gets smaller.
        let size = TITLE_SIZE.min((self.width + 22.0) / (0.56 * title.chars().count().max(1) as f64));
        figure.text(middle, self.top - 6.0, Text { bold: true, ..Text::new(title, size, Anchor::Middle) });
    }

    fn ticks_of_x(&self, figure: &mut Svg, line: Stroke) {
        let bottom = self.top + self.height;
        // From the right: where two labels have no room, the left one goes.
        let mut free_to = f64::INFINITY;
        for &tick in self.x.ticks.iter().rev() {
            let (x, _) = self.at(tick, self.y.range.0);
            figure.polyline(&[(x, bottom), (x, bottom + TICK_LENGTH)], line);
            let label = self.x.tick_label(tick);
            let half = 0.5 * width_of(&label);
            if x + half + 2.0 <= free_to {
                figure.text(x, bottom + TICK_LENGTH + TICK_SIZE, tick_label(&label, Anchor::Middle));
                free_to = x - half;
            }
        }
    }

    /// From the axis to the baseline of its label: beyond the longest tick label.
    fn label_distance(&self) -> f64 {
        let longest = self.y.ticks.iter().map(|&tick| width_of(&self.y.tick_label(tick))).fold(0.0, f64::max);
        (TICK_LENGTH + 2.0 + longest + 4.0).max(23.0)
    }

    fn ticks_of_y(&self, figure: &mut Svg, line: Stroke) {
        for &tick in &self.y.ticks {
            let (_, y) = self.at(self.x.range.0, tick);
            figure.polyline(&[(self.left - TICK_LENGTH, y), (self.left, y)], line);
            let label = self.y.tick_label(tick);
            let below = y + 0.35 * TICK_SIZE;
            figure.text(self.left - TICK_LENGTH - 2.0, below, tick_label(&label, Anchor::End));
        }
    }
}

/// About the width of a tick label, in any common typeface.
fn width_of(label: &str) -> f64 {
    0.58 * TICK_SIZE * label.chars().count() as f64
}

fn tick_label(content: &str, anchor: Anchor) -> Text<'_> {
    Text { colour: colour::GREY, ..Text::new(content, TICK_SIZE, anchor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_ticks_to_read_from() {
        let near = Scale::logarithmic([0.98, 1.07], "");
        assert!(
            near.logarithmic && near.ticks.len() > 3 && near.range.0 <= 0.98 && near.range.1 >= 1.07,
            "{near:?}"
        );
        let labels: Vec<String> = near.ticks.iter().map(|tick| near.tick_label(*tick)).collect();
        assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{labels:?}");
        let small = Scale::logarithmic([0.078_01, 0.078_06], "");
        let labels: Vec<String> = small.ticks.iter().map(|tick| small.tick_label(*tick)).collect();
        assert!(
            labels.iter().zip(&small.ticks).all(|(label, tick)| label.parse() == Ok(*tick)),
            "{labels:?}"
        );
        // Wide ones are as they were: decades, or 1, 2 and 5 times these.
        assert_eq!(Scale::logarithmic([1.0, 90.0], "").ticks, [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Scale::logarithmic([3.0, 3.0], "").range, (2.0, 5.0), "one value");
    }

    #[test]
    fn rows_run_downwards() {
        let rows = Scale::rows(3);
        assert_eq!(rows.ends(), "2.5 -0.5 rows");
        assert_eq!(Scale::linear([0.0, 1.0], "").ends(), "0 1 linear");
        assert!(rows.along(0.0) > rows.along(2.0), "the first one is on top");
    }
}
