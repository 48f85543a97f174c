//! Criteria and diagnostics of the literature, for a person.

use super::{short, sources, table};
use crate::report::{CriterionReport, DiagnosticReport, Report};

/// The criteria at the last batch size.
pub(super) fn table_of_criteria(report: &Report) -> String {
    let last = report.stability.last().map_or(0, |line| line.training.batch_size);
    let mut rows = vec![
        ["closed-form criterion", "of", "learning rate", "over the exact", "claims", "holds here"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut applies = false;
    for line in report.stability.iter().filter(|line| line.training.batch_size == last) {
        for (name, criterion) in &line.criteria {
            applies |= criterion.applies;
            rows.push(vec![
                name.clone(),
                line.training.optimizer.label(),
                criterion.max_learning_rate.map_or_else(|| "-".to_owned(), short),
                criterion.slack.map_or_else(|| "-".to_owned(), |slack| format!("{slack:.3}")),
                criterion.claim.clone(),
                what_fails(criterion),
            ]);
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    if !applies && rows.len() > 1 {
        let text = "the closed-form criteria of the paper assume Bernoulli sampling and do not apply here";
        return format!("\n{text}; ask for Bernoulli sampling to see them\n");
    }
    let named = |name: &str| rows.iter().any(|row| row[0] == name);
    let sources: String = sources(named).collect();
    format!(
        "\nat batch size {last}:\n{}where these names come from:\n{sources}  over the exact: the criterion's learning rate over the \
         exact threshold; it binds only where all it assumes holds\n",
        table(&rows)
    )
}

fn what_fails(criterion: &CriterionReport) -> String {
    let failing: Vec<&str> =
        criterion.assumptions.iter().filter(|(_, holds)| !**holds).map(|(name, _)| name.as_str()).collect();
    if failing.is_empty() { "yes".to_owned() } else { format!("no, it assumes: {}", failing.join("; ")) }
}

/// The diagnostics at the last batch size.
pub(super) fn table_of_diagnostics(report: &Report) -> String {
    let last = report.diagnostics.last().map_or(0, |diagnostic| diagnostic.batch_size);
    let mut rows = vec![
        [
            "diagnostic (Gauss-Newton)",
            "of",
            "value",
            "learning rate",
            "over the exact",
            "claims",
            "holds here",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for diagnostic in report.diagnostics.iter().filter(|diagnostic| diagnostic.batch_size == last) {
        let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        rows.push(vec![
            diagnostic.name.replace('_', " "),
            diagnostic.optimizer.label(),
            measured(diagnostic),
            optional(diagnostic.learning_rate),
            diagnostic.ratio_to_exact.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            diagnostic.claims.clone(),
            failing(diagnostic),
        ]);
    }
    if rows.len() == 1 {
        return String::new();
    }
    let sources = linstab_coherence::diagnostics::DIAGNOSTICS
        .iter()
        .filter(|row| report.diagnostics.iter().any(|diagnostic| diagnostic.name == row.name))
        .map(|row| format!("  {}: {}\n", row.name.replace('_', " "), row.source));
    format!("\nat batch size {last}:\n{}what they are:\n{}", table(&rows), sources.collect::<String>())
}

fn measured(diagnostic: &DiagnosticReport) -> String {
    match (diagnostic.value, diagnostic.standard_error) {
        (Some(value), Some(error)) => format!("{} +- {}", short(value), short(error)),
        (Some(value), None) => short(value),
        // What has a learning rate lacks only the one at which it is asked.
        (None, _) if diagnostic.learning_rate.is_some() => "-".to_owned(),
        (None, _) => "0/0: no gradients".to_owned(),
    }
}

fn failing(diagnostic: &DiagnosticReport) -> String {
    let failing: Vec<&str> = diagnostic
        .assumptions
        .iter()
        .filter(|assumption| !assumption.holds)
        .map(|assumption| assumption.name.as_str())
        .collect();
    if failing.is_empty() { "yes".to_owned() } else { format!("no, it assumes: {}", failing.join("; ")) }
}
