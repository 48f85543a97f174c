//! The drawing module: SVG with sub-pixel curves, PNG rendered from it with an embedded font.
//!
//! Coordinates are points (1/72 inch); [`TWO_COLUMNS`] and [`ONE_COLUMN`] are the usual widths of a paper. Colours are from
//! the palette of Okabe and Ito, which stays distinct under colour blindness.

mod chart;
mod contour;
mod panel;
mod png;
mod svg;

pub use chart::{Series, chart, legend};
pub use contour::zero_contours;
pub use panel::{Panel, Scale};
pub use svg::{Anchor, Stroke, Svg, Text};

use crate::Result;
use crate::output::ResultsFolder;

/// Width of a figure across two columns.
pub const TWO_COLUMNS: f64 = 504.0;
/// Width of a figure in one column.
pub const ONE_COLUMN: f64 = 245.0;

/// Named colours.
pub mod colour {
    /// Text and frames.
    pub const INK: &str = "#1a1a1a";
    /// Secondary text, ticks.
    pub const GREY: &str = "#5f6368";
    /// Grid lines.
    pub const FAINT: &str = "#dadce0";
    /// Blue of Okabe and Ito.
    pub const BLUE: &str = "#0072b2";
    /// Vermilion of Okabe and Ito.
    pub const VERMILION: &str = "#d55e00";
    /// Distinct colours for unordered series, of Okabe and Ito (without yellow, which is too pale for a line).
    pub const SERIES: [&str; 7] = [BLUE, VERMILION, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK];
    /// Light to dark, for an ordered parameter.
    pub const ORDERED: [&str; 6] = ["#9a9a9a", "#e8a33d", "#d9713c", "#b5404f", "#7b2a63", "#35184f"];

    /// From pale blue (0: no run diverged) to pale orange (1: all did).
    pub fn diverged(fraction: f64) -> String {
        let mix = |from: f64, to: f64| (from + fraction.clamp(0.0, 1.0) * (to - from)).round();
        format!("rgb({},{},{})", mix(214.0, 250.0), mix(230.0, 198.0), mix(244.0, 152.0))
    }
}

/// Writes `figures/<name>.svg` and `figures/<name>.png`.
pub(crate) fn write(results: &ResultsFolder, name: &str, figure: &Svg) -> Result<()> {
    let svg = figure.render();
    let png = png::render(name, &svg)?;
    results.write(&format!("figures/{name}.svg"), svg.as_bytes())?;
    results.write(&format!("figures/{name}.png"), &png)
}
