//! A small SVG writer.

use std::fmt::Write;

use super::colour;

/// A figure: shapes in the order in which they are painted.
#[derive(Clone, Debug)]
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Colour.
    pub colour: &'static str,
    /// Width in points.
    pub width: f64,
    /// Lengths of dashes and gaps; empty for a solid line.
    pub dashes: &'static str,
}

/// Where a text stands relative to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A line of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text<'a> {
    /// What it says.
    pub content: &'a str,
    /// Size in points.
    pub size: f64,
    /// Colour.
    pub colour: &'a str,
    /// Bold or regular.
    pub bold: bool,
    /// Alignment.
    pub anchor: Anchor,
    /// Turned by a quarter, reading upwards.
    pub upwards: bool,
}

impl<'a> Text<'a> {
    /// Regular text in ink.
    pub fn new(content: &'a str, size: f64, anchor: Anchor) -> Self {
        Self { content, size, colour: colour::INK, bold: false, anchor, upwards: false }
    }
}

impl Svg {
    /// An empty figure on white; `title` is its text alternative.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: escape(title), body: String::new() }
    }

    /// Sets the height.
    pub fn end_at(&mut self, height: f64) {
        self.height = height;
    }

    /// A filled rectangle, without smoothing, so that neighbours leave no seam.
    pub fn cell(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.push(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\" \
             shape-rendering=\"crispEdges\"/>"
        ));
    }

    /// The outline of a rectangle.
    pub fn frame(&mut self, x: f64, y: f64, width: f64, height: f64, stroke: Stroke) {
        let Stroke { colour, width: line, .. } = stroke;
        self.push(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"none\" \
             stroke=\"{colour}\" stroke-width=\"{line}\"/>"
        ));
    }

    /// A line through points.
    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let Stroke { colour, width, dashes } = stroke;
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{dashes}/>",
            list_of(points)
        ));
    }

    /// A filled polygon that lets what is below it shine through.
    pub fn area(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        self.push(format_args!(
            "<polygon points=\"{}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>",
            list_of(points)
        ));
    }

    /// A line through points, with a white border that keeps it legible on any ground.
    pub fn curve(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        self.polyline(points, Stroke { colour: colour::GROUND, width: stroke.width + 1.4, dashes: "" });
        self.polyline(points, stroke);
    }

    /// A filled circle with a white border.
    pub fn dot(&mut self, x: f64, y: f64, radius: f64, fill: &str) {
        self.push(format_args!(
            "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"#ffffff\" \
             stroke-width=\"0.6\"/>"
        ));
    }

    /// The outline of a circle.
    pub fn ring(&mut self, x: f64, y: f64, radius: f64, stroke: Stroke) {
        let Stroke { colour, width, .. } = stroke;
        self.push(format_args!(
            "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"/>"
        ));
    }

    /// A line of text with its baseline at the given point.
    pub fn text(&mut self, x: f64, y: f64, text: Text<'_>) {
        if text.content.is_empty() {
            return;
        }
        let anchor = match text.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if text.bold { " font-weight=\"700\"" } else { "" };
        let turn =
            if text.upwards { format!(" transform=\"rotate(-90 {x:.2} {y:.2})\"") } else { String::new() };
        self.push(format_args!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{}\" fill=\"{}\" text-anchor=\"{anchor}\"{weight}{turn}>{}</text>",
            text.size,
            text.colour,
            escape(text.content)
        ));
    }

    /// What `draw` draws, as a group of a class with some data.
    pub(super) fn group(&mut self, class: &str, data: &[(&str, &str)], draw: impl FnOnce(&mut Self)) {
        let mut attributes = String::new();
        for (name, value) in data {
            let _ = write!(attributes, " data-{name}=\"{}\"", escape(value));
        }
        self.push(format_args!("<g class=\"{class}\"{attributes}>"));
        draw(self);
        self.push(format_args!("</g>"));
    }

    /// What `draw` draws, as the series of this name. `values` are its points in the units of the axes, for those who look closer, to
    /// four digits; they may be left out.
    pub fn series(&mut self, name: &str, values: &[(f64, f64)], draw: impl FnOnce(&mut Self)) {
        let finite = values.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let values: Vec<String> = finite.map(|&(x, y)| format!("{},{}", digits(x), digits(y))).collect();
        self.group("series", &[("series", name), ("xy", &values.join(" "))], draw);
    }

    /// What `draw` draws around a point, as one mark: it keeps its shape when the axes change.
    pub fn mark(&mut self, (x, y): (f64, f64), draw: impl FnOnce(&mut Self)) {
        self.group("mark", &[("at", &format!("{x:.2} {y:.2}"))], draw);
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }

    /// The document.
    pub fn render(&self) -> String {
        let Self { width, height, title, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"Roboto, 'Helvetica Neue', Arial, sans-serif\">\n<title>{title}</title>\n\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

fn list_of(points: &[(f64, f64)]) -> String {
    let mut list = String::new();
    for (x, y) in points {
        let _ = write!(list, "{x:.2},{y:.2} ");
    }
    list.truncate(list.trim_end().len());
    list
}

/// Four significant digits, without what does not matter.
fn digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let plain = rounded.to_string();
    if plain.len() <= 9 { plain } else { format!("{rounded:e}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_four_digits() {
        let values = [0.123_456, 1_234_567.0, 1e-12, -0.5, 0.0, 20.0];
        assert_eq!(values.map(digits), ["0.1235", "1235000", "1e-12", "-0.5", "0", "20"]);
    }

    #[test]
    fn text_is_escaped() {
        let mut figure = Svg::new(10.0, 10.0, "a \"b\"");
        figure.text(0.0, 0.0, Text::new("B < n & σ", 8.0, Anchor::Start));
        let document = figure.render();
        assert!(document.contains("B &lt; n &amp; σ") && document.contains("a &quot;b&quot;"), "{document}");
    }
}
