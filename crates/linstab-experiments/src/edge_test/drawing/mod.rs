//! The figures of the edge test. Everything is drawn from the settings and from the rows of tables.

mod along;
mod collapse;
mod diagonal;
mod errors;

use super::errors::ErrorRow;
use super::settings::{Scope, Setting};
use super::trainings::Training;
use super::verdicts::Verdicts;
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::colour;

/// Writes all figures.
pub(super) fn draw(
    settings: &[Setting<'_>],
    errors: &[ErrorRow],
    verdicts: &Verdicts,
    trainings: &[Training<'_>],
    results: &ResultsFolder,
) -> Result<()> {
    let interpolating: Vec<&Setting<'_>> =
        settings.iter().filter(|setting| setting.scope() == Scope::Interpolating).collect();
    results.draw_both("edge-test", |columns| collapse::draw(columns, &interpolating, verdicts))?;
    results.draw("edge-test-headline", &collapse::headline(&interpolating))?;
    results.draw_both("edge-test-predictions", |columns| diagonal::draw(columns, &interpolating, errors))?;
    results.draw_both("edge-test-errors", |columns| errors::draw(columns, errors))?;
    if trainings.is_empty() {
        return Ok(());
    }
    results.draw_both("edge-test-trainings", |columns| along::draw(columns, trainings))
}

/// The batch sizes, ascending, that of all samples last.
fn batches(settings: &[&Setting<'_>]) -> Vec<String> {
    let mut labels: Vec<String> = settings.iter().map(|setting| setting.batch()).collect();
    labels.sort_by_key(|label| label.parse().unwrap_or(usize::MAX));
    labels.dedup();
    labels
}

/// The colour of a batch size among these, light to dark.
fn shade(batches: &[String], batch: &str) -> &'static str {
    let place = batches.iter().position(|other| other == batch).unwrap_or(0);
    let last = colour::ORDERED.len() - 1;
    colour::ORDERED[1 + place * (last - 1) / batches.len().saturating_sub(1).max(1)]
}
