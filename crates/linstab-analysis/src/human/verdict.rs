//! The verdict: the first optimizer at all of its batch sizes, and what others would allow.

use std::fmt::Write as _;

use linstab_dynamics::Optimizer;
use linstab_dynamics::sampling::Loader;

use super::{drawn, known, short, short_below};
use crate::analysis::Findings;
use crate::report::{Limit, Report, StabilityReport};

/// So many batch sizes are named one by one, more by the ends of their range.
const NAMED: usize = 4;

/// The first optimizer at all of its batch sizes, and what others would allow.
pub(crate) fn verdict(findings: &Findings) -> String {
    let report = &findings.report;
    let Some(first) = report.stability.first().map(|line| line.training.optimizer) else {
        return "nothing was asked".to_owned();
    };
    let mut lines: Vec<&StabilityReport> =
        report.stability.iter().filter(|line| line.training.optimizer == first).collect();
    let last = lines[lines.len() - 1];
    lines.sort_by_key(|line| line.training.batch_size);
    if report.rank == 0 && last.max_learning_rate.0.is_infinite() {
        return "no curvature at all: stable at every learning rate".to_owned();
    }
    let plain = first == Optimizer::sgd();
    let mut text = if plain { String::new() } else { format!("{}: ", first.label()) };
    text.push_str(&if lines.len() == 1 { at_one(last, report) } else { at_several(&lines, report) });
    let _ = write!(text, "{} ({}), {}", limited_by(&lines), bases(&lines), drawn(last.training));
    // What others would allow is asked at the last batch size.
    let size =
        if lines.len() == 1 { String::new() } else { format!(" at batch size {}", last.training.batch_size) };
    if plain && matches!(last.training.sampling, Loader::Independent(_)) {
        let (momentum, threshold) = findings.with_momentum;
        let purpose = if findings.momentum_was_given { "" } else { "for comparison, " };
        let _ = write!(text, "; {purpose}momentum {momentum} would allow {}{size}", short_below(threshold));
    }
    let perturbed = |line: &&StabilityReport| {
        let optimizer = line.training.optimizer;
        optimizer.rho_over_alpha() > 0.0 && optimizer != first
    };
    if let Some(sam) = report.stability.iter().rfind(perturbed) {
        let (label, allowed) = (sam.training.optimizer.label(), short_below(sam.max_learning_rate.0));
        let _ = write!(text, "; {label}: {allowed}{size}");
    }
    text
}

fn at_one(line: &StabilityReport, report: &Report) -> String {
    let (size, limit) = (line.training.batch_size, limit(line, report));
    match (line.learning_rate, line.stable) {
        (Some(rate), Some(true)) => {
            format!("stable at learning rate {rate} and batch size {size}, up to {limit}")
        }
        (Some(rate), Some(false)) => {
            format!("unstable at learning rate {rate} and batch size {size}; stable up to {limit}")
        }
        (Some(rate), None) => {
            format!("too close to tell at learning rate {rate} and batch size {size}; stable up to {limit}")
        }
        _ => format!("stable at batch size {size} up to learning rate {limit}"),
    }
}

/// The threshold, with its error as an estimate for a data set.
fn limit(line: &StabilityReport, report: &Report) -> String {
    let error = line.standard_error.map_or(String::new(), |error| {
        let population = report.population.unwrap_or(report.num_samples);
        format!(" +- {} for the {population} samples of the data set", short(error))
    });
    format!("{}{error}", short_below(line.max_learning_rate.0))
}

/// By batch size, ascending.
fn at_several(lines: &[&StabilityReport], report: &Report) -> String {
    let at = |line: &StabilityReport| {
        format!("{} at batch size {}", limit(line, report), line.training.batch_size)
    };
    let limits = if lines.len() <= NAMED {
        listed(&lines.iter().map(|line| at(line)).collect::<Vec<_>>())
    } else {
        let by_limit = |x: &&&StabilityReport, y: &&&StabilityReport| {
            x.max_learning_rate.0.total_cmp(&y.max_learning_rate.0)
        };
        // Sorted by batch size, so that of equal ones the outermost are named.
        let (least, most) = (lines.iter().min_by(by_limit), lines.iter().max_by(by_limit));
        let ends = [least, most].into_iter().flatten().map(|line| at(line)).collect::<Vec<_>>();
        ends.join(" to ")
    };
    let Some(rate) = lines[0].learning_rate else { return format!("stable up to learning rate {limits}") };
    let kinds = [(Some(true), "stable"), (Some(false), "unstable"), (None, "too close to tell")];
    let said: Vec<String> = kinds
        .into_iter()
        .filter_map(|(stable, word)| {
            let sizes = sizes(lines, |line| line.stable == stable)?;
            Some(format!("{word} for batches of {sizes}"))
        })
        .collect();
    format!("at learning rate {rate} {}; stable up to {limits}", said.join(", "))
}

/// What limits, by batch size where it is not the same for all; empty where it is not known.
fn limited_by(lines: &[&StabilityReport]) -> String {
    let kinds = [(Limit::GradientNoise, "gradient noise"), (Limit::Sharpness, "sharpness")];
    let said: Vec<(String, &str)> = kinds
        .into_iter()
        .filter_map(|(limit, word)| Some((sizes(lines, |line| line.limited_by == Some(limit))?, word)))
        .collect();
    match said.as_slice() {
        [] => String::new(),
        [(_, word)] => format!(", limited by {word}"),
        _ => {
            let parts: Vec<String> =
                said.iter().map(|(sizes, word)| format!("by {word} for batches of {sizes}")).collect();
            format!(", limited {}", listed(&parts))
        }
    }
}

/// How thresholds are known; of several without their intervals, which the table has.
fn bases(lines: &[&StabilityReport]) -> String {
    if let [line] = lines {
        return known(line);
    }
    let mut names: Vec<&str> = lines.iter().map(|line| line.basis.name()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(" or ")
}

/// The batch sizes of some lines: one by one, or where they are many and neighbours by the ends of their range; none if there is no such line.
fn sizes(lines: &[&StabilityReport], are: impl Fn(&StabilityReport) -> bool) -> Option<String> {
    let which: Vec<usize> = (0..lines.len()).filter(|&at| are(lines[at])).collect();
    let size = |at: usize| lines[at].training.batch_size.to_string();
    let (first, last) = (*which.first()?, *which.last()?);
    let neighbours = last - first + 1 == which.len();
    Some(if which.len() > NAMED && neighbours {
        format!("{} to {}", size(first), size(last))
    } else {
        listed(&which.into_iter().map(size).collect::<Vec<_>>())
    })
}

/// `a, b and c`.
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
