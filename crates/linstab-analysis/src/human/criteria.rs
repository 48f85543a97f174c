//! Criteria and diagnostics of the literature, for a person.

use linstab_coherence::criteria::CRITERIA;
use linstab_coherence::diagnostics::DIAGNOSTICS;
use linstab_dynamics::Optimizer;

use super::{short, table, wrapped};
use crate::diagnostics::of_criteria;
use crate::report::{DiagnosticReport, Report};

/// What the literature says at the last batch size beside the exact thresholds: all diagnostics where they were asked for, else the criteria if one
/// of them applies.
pub(super) fn beside_the_exact(report: &Report) -> String {
    let last = report.stability.last().map_or(0, |line| line.training.batch_size);
    let lines = || report.stability.iter().filter(|line| line.training.batch_size == last);
    let asked = !report.diagnostics.is_empty();
    if !asked && !lines().any(|line| line.criteria.values().any(|criterion| criterion.applies)) {
        let there = lines().any(|line| !line.criteria.is_empty());
        let said = "the closed-form criteria of the paper assume Bernoulli sampling and do not apply here; ask for Bernoulli sampling to see \
                    them, or for --diagnostics";
        return if there { format!("\n{}", wrapped(said, "")) } else { String::new() };
    }
    let criteria: Vec<DiagnosticReport>;
    let rows: Vec<&DiagnosticReport> = if asked {
        report.diagnostics.iter().filter(|row| row.batch_size == last).collect()
    } else {
        criteria = lines().flat_map(of_criteria).collect();
        criteria.iter().collect()
    };
    let mut text = String::new();
    let mut optimizers: Vec<Optimizer> = Vec::new();
    for row in &rows {
        if !optimizers.contains(&row.optimizer) {
            optimizers.push(row.optimizer);
        }
    }
    for optimizer in optimizers {
        let own: Vec<&DiagnosticReport> =
            rows.iter().copied().filter(|row| row.optimizer == optimizer).collect();
        let head = format!("{} at batch size {last} (Gauss-Newton curvature):", optimizer.label());
        text.push('\n');
        text.push_str(&wrapped(&head, "  "));
        text.push_str(&of_optimizer(&own));
    }
    text.push_str(&sources(&rows));
    text
}

fn of_optimizer(own: &[&DiagnosticReport]) -> String {
    let mut rows = vec![["criterion", "value", "rate", "over exact", "claims"].map(str::to_owned).to_vec()];
    for row in own {
        let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        let mark = if row.assumptions.iter().all(|assumption| assumption.holds) { "" } else { " *" };
        rows.push(vec![
            title(&row.name),
            measured(row),
            optional(row.learning_rate),
            row.ratio_to_exact.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            row.claims.clone() + mark,
        ]);
    }
    table(&rows) + &what_fails(own)
}

/// What rows with a mark assume and what is not so here, by assumption.
fn what_fails(rows: &[&DiagnosticReport]) -> String {
    let mut failing: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows {
        for assumption in row.assumptions.iter().filter(|assumption| !assumption.holds) {
            match failing.iter_mut().find(|entry| entry.0 == assumption.name) {
                Some(entry) => entry.1.push(title(&row.name)),
                None => failing.push((&assumption.name, vec![title(&row.name)])),
            }
        }
    }
    let said = failing.iter().map(|(what, by)| {
        wrapped(&format!("  * not so here: {what}, which {} assume", by.join(", ")), "    ")
    });
    said.collect()
}

/// What names stand for.
fn sources(rows: &[&DiagnosticReport]) -> String {
    let named = |row: &Known| rows.iter().any(|own| own.name == row.name);
    let said = known().filter(named).map(|row| wrapped(&format!("  {}: {}", row.title, row.source), "    "));
    let head = "what they are; the rate is the learning rate at which each switches, and it binds only where all it assumes holds:";
    format!("{}{}", wrapped(head, ""), said.collect::<String>())
}

/// A criterion or diagnostic as people are told of it.
struct Known {
    /// As reports have it.
    name: String,
    title: &'static str,
    source: &'static str,
}

fn known() -> impl Iterator<Item = Known> {
    let criteria = CRITERIA.iter().map(|row| (row.name.replace('-', "_"), row.title, row.source));
    let diagnostics = DIAGNOSTICS.iter().map(|row| (row.name.to_owned(), row.title, row.source));
    criteria.chain(diagnostics).map(|(name, title, source)| Known { name, title, source })
}

/// What people call a criterion or diagnostic of a report.
pub(crate) fn title(name: &str) -> String {
    known().find(|row| row.name == name).map_or_else(|| name.replace('_', " "), |row| row.title.to_owned())
}

fn measured(row: &DiagnosticReport) -> String {
    // What only gradients can say is 0/0 without any; all else lacks only a learning rate at which it is asked.
    let of_gradients = DIAGNOSTICS.iter().any(|known| known.of_gradients && known.name == row.name);
    match (row.value, row.standard_error) {
        (Some(value), Some(error)) => format!("{} +- {error:.1e}", short(value)),
        (Some(value), None) => short(value),
        (None, _) if of_gradients => "0/0: no gradients".to_owned(),
        (None, _) => "-".to_owned(),
    }
}
