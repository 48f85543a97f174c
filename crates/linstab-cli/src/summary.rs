//! From the report of a run to a summary.

use std::fmt::Write as _;
use std::process::ExitCode;

use linstab_driver::progress::Ending;
use linstab_driver::{Outcome, Report};

use crate::{FAILURE, say};

/// Says what was found and what failed.
pub(crate) fn report_on(report: &Report, quiet: bool) -> anyhow::Result<ExitCode> {
    if !quiet {
        say(&summary(report))?;
    }
    for (id, error) in report.failures() {
        eprintln!("error: {id}: {error}");
    }
    let failed = report.failures().next().is_some();
    Ok(if failed { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

/// What was found, in a line an experiment, and where it lies.
fn summary(report: &Report) -> String {
    let mut text = String::new();
    for Outcome { id, ending, summary } in &report.outcomes {
        let _ = match ending {
            Ending::Failed(..) => writeln!(text, "{id}: FAILED; what is done of it is kept for the next try"),
            Ending::Completed(_) | Ending::Unchanged => {
                writeln!(text, "{id}: {}", summary.lines().next().unwrap_or_default())
            }
        };
    }
    let count =
        |of: fn(&Ending) -> bool| report.outcomes.iter().filter(|outcome| of(&outcome.ending)).count();
    let completed = count(|ending| matches!(ending, Ending::Completed(_)));
    let unchanged = count(|ending| matches!(ending, Ending::Unchanged));
    let _ = write!(text, "\n{completed} run, {unchanged} unchanged");
    let failed: Vec<&str> = report.failures().map(|(id, _)| id).collect();
    if !failed.is_empty() {
        let _ = write!(text, ", {} failed ({})", failed.len(), failed.join(", "));
    }
    let _ = writeln!(text, ", {:.1} s", report.wall_time_secs);
    if !report.complete {
        let _ = writeln!(text, "nothing is complete: {} is as it was", report.out.display());
        return text;
    }
    let _ = writeln!(text, "results: {}", report.out.display());
    for (name, path) in [("report", "report/index.html"), ("figures", "figures"), ("summary", "summary.txt")]
    {
        let path = report.out.join(path);
        if path.exists() {
            let _ = writeln!(text, "{name}: {}", path.display());
        }
    }
    text
}
