//! The result for a terminal.

use std::fmt::Write;

use super::errors::ALL;
use super::findings::{Results, findings, shown, title};
use super::settings::Scope;

/// The result in short, each finding, and the errors of all predictors.
pub(super) fn as_text(results: &Results<'_>) -> String {
    let mut text = format!("{}\n", title(results.verdicts));
    for finding in findings(results) {
        let _ = writeln!(text, "{}", finding.replace("**", ""));
    }
    for scope in Scope::ALL {
        for row in results.errors.iter().filter(|row| (row.scope, row.by) == (scope, ALL)) {
            let _ = writeln!(
                text,
                "{:<20}{:<36}median error {:>8} ({} to {}); within tolerance in {} and {} of {} settings",
                scope.name(),
                row.title.clone(),
                shown(row.median_error),
                shown(row.median_error_lower),
                shown(row.median_error_upper),
                row.num_tight,
                row.num_loose,
                row.num_decided
            );
        }
    }
    text
}
