//! The report: one page, `report/index.html`, that shows the results of a run and lets a reader look closer.
//!
//! The page is a function of the experiments' [`Section`]s and of the files of the results folder that these name. It stands alone:
//! style, script, figures and the data of the map are in it, and it asks for nothing, neither a server nor a network. This module knows no
//! experiment: a section says what is shown, and the page how.
//!
//! # Hooks
//! For tests and for readers' own scripts: `document.documentElement.dataset.ready` is `true` when the script is done; every
//! `figure.figure` has `data-figure`, in it `g.panel` with `data-x` and `data-y` (ends of the axis and `log` or `linear`) and
//! `g.series` with `data-series` and `data-xy`; `#map` has `data-map`, `data-x`, `data-y`, `data-diverged`, `data-runs` and
//! `data-verdicts` of the cell that is looked at; `#claims-filter` filters `.entry` elements, each with `data-category`.

mod html;
mod inline;
pub mod map_data;
mod page;
mod parts;
pub mod section;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::collections::BTreeMap;

pub use page::page;
pub use section::Section;

use crate::output::ResultsFolder;
use crate::{ExperimentError, Result};

/// Where the page is, below the results folder.
pub const PATH: &str = "report/index.html";

/// The page stays below this many bytes: what does not fit is linked instead of embedded.
pub const MAX_BYTES: usize = 8_000_000;

/// The run as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Reduced sizes.
    pub quick: bool,
    /// Flags that change results, as they stand in a command line; with a space before each.
    pub flags: String,
    /// Where configurations live, or the one of a map.
    pub configs: String,
    /// Revision of the source; empty if unknown.
    pub revision: String,
    /// What there could be but is not: experiments that were not run or that failed.
    pub missing: Vec<Missing>,
}

/// An experiment without results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name on the command line.
    pub id: String,
    /// What stopped it; `None` if it was not asked for.
    pub error: Option<String>,
}

/// An experiment with results.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name on the command line.
    pub id: String,
    /// The seed that was used.
    pub seed: u64,
    /// The configuration that was run.
    pub config: serde_json::Value,
    /// What it has to say.
    pub section: Section,
}

/// Writes the page of these experiments, in this order, into the results.
///
/// # Errors
/// [`ExperimentError::Io`], also if a file that a section names is not there.
pub(crate) fn write(results: &ResultsFolder, overview: &Overview, records: &[Record]) -> Result<()> {
    let mut files = BTreeMap::new();
    for path in records.iter().flat_map(|record| record.section.embedded_files()) {
        let text = String::from_utf8(results.read(&path)?)
            .map_err(|error| ExperimentError::Encode { what: "the report", message: error.to_string() })?;
        files.insert(path, text);
    }
    results.write(PATH, page(overview, records, &files).as_bytes())
}
