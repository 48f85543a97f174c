//! The report: one page, `report/index.html`, that shows the results of a run and lets a reader look closer.
//!
//! The page is a function of the experiments' [`crate::Section`]s and of the files of the results folder that these name. It stands alone:
//! style, script, figures and the data of the map are in it, and it asks for nothing, neither a server nor a network. This module knows no
//! experiment: a section says what is shown, and the page how.
//!
//! # Hooks
//! For tests and for readers' own scripts: `document.documentElement.dataset.ready` is `true` when the script is done; every
//! `figure.figure` has `data-figure`, in it `g.panel` with `data-x` and `data-y` (ends of the axis and `log` or `linear`) and
//! `g.series` with `data-series` and `data-xy`; `#map` has `data-map`, `data-x`, `data-y`, `data-diverged`, `data-runs` and
//! `data-verdicts` of the cell that is looked at; `#claims-filter` filters `.entry` elements, each with `data-category`.

mod analysis;
mod document;
mod html;
mod inline;
mod overview;
mod parts;
#[cfg(test)]
mod tests;

pub use analysis::{AnalysisPage, AnalysisPart, analysis_page};
pub use document::page;
pub use overview::{MAX_BYTES, Missing, Overview, PATH, Record};
