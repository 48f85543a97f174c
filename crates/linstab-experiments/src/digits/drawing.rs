//! The figures of the digits experiment.

use super::config::Config;
use super::runs::{RunKey, RunResult};
use super::summary::CellSummary;
use super::thresholds::ThresholdRow;
use crate::Result;
use crate::output::ResultsFolder;

/// Writes all figures.
pub(super) fn draw(
    _config: &Config,
    _thresholds: &[ThresholdRow],
    _summaries: &[CellSummary],
    _runs: (&[RunKey], &[RunResult]),
    _results: &ResultsFolder,
) -> Result<()> {
    Ok(())
}
