//! The run as the page tells of it.

use crate::Section;

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
