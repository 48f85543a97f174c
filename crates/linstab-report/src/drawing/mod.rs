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

/// Width of a figure across two columns.
pub const TWO_COLUMNS: f64 = 504.0;
/// Width of a figure in one column.
pub const ONE_COLUMN: f64 = 245.0;
/// Height of the figures, in one column, that stand side by side on the first screen of the report.
pub const HEADLINE_HEIGHT: f64 = 216.0;

/// A file of a drawing: its path below the results, and its contents.
pub type File = (String, Vec<u8>);

/// The files of a figure across two columns, `figures/<name>`, and in one, `figures/one-column/<name>`.
///
/// # Errors
/// [`crate::ReportError::Render`].
pub fn files_at_both_widths(name: &str, draw: impl Fn(Columns) -> Svg) -> Result<Vec<File>> {
    let mut files = files(name, &draw(Columns::Two))?;
    files.extend(self::files(&format!("one-column/{name}"), &draw(Columns::One))?);
    Ok(files)
}

/// The files of a figure, `figures/<name>.svg` and `figures/<name>.png`.
///
/// # Errors
/// [`crate::ReportError::Render`].
pub fn files(name: &str, figure: &Svg) -> Result<Vec<File>> {
    let svg = figure.render();
    let png = png::render(name, &svg)?;
    Ok(vec![(format!("figures/{name}.svg"), svg.into_bytes()), (format!("figures/{name}.png"), png)])
}
