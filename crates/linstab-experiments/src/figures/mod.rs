//! The drawing module: SVG with sub-pixel curves, PNG rendered from it with an embedded font.
//!
//! Coordinates are points (1/72 inch); [`TWO_COLUMNS`] and [`ONE_COLUMN`] are the usual widths of a paper; figures are
//! drawn at both ([`Columns`], [`Grid`]). Text stays text. What belongs together is a group: a panel ([`Panel::draw`]) with the ends of its axes, in it each series
//! with its name and values ([`Svg::series`]), beside it the entries of the legend. A page can let its readers look closer at that.

mod chart;
pub mod colour;
mod contour;
mod grid;
mod panel;
mod png;
mod svg;

pub use chart::{Series, chart, chart_with, legend, legend_entry};
pub use contour::zero_contours;
pub use grid::{Columns, Grid, LEFT};
pub use panel::{Panel, Scale};
pub use svg::{Anchor, Stroke, Svg, Text};

use crate::Result;
use crate::output::ResultsFolder;

/// Width of a figure across two columns.
pub const TWO_COLUMNS: f64 = 504.0;
/// Width of a figure in one column.
pub const ONE_COLUMN: f64 = 245.0;
/// Height of the figures, in one column, that stand side by side on the first screen of the report.
pub const HEADLINE_HEIGHT: f64 = 216.0;

/// Writes a figure across two columns as `figures/<name>`, and in one as `figures/one-column/<name>`.
pub(crate) fn write_both(results: &ResultsFolder, name: &str, draw: impl Fn(Columns) -> Svg) -> Result<()> {
    write(results, name, &draw(Columns::Two))?;
    write(results, &format!("one-column/{name}"), &draw(Columns::One))
}

/// Writes `figures/<name>.svg` and `figures/<name>.png`.
pub(crate) fn write(results: &ResultsFolder, name: &str, figure: &Svg) -> Result<()> {
    let svg = figure.render();
    let png = png::render(name, &svg)?;
    results.write(&format!("figures/{name}.svg"), svg.as_bytes())?;
    results.write(&format!("figures/{name}.png"), &png)
}
