//! The findings in words and tables.

mod criteria;
mod layout;
mod verdict;

use std::fmt::Write as _;

use linstab_dynamics::Optimizer;
use linstab_dynamics::sampling::{EpochOrder, LastBatch, Loader};

use crate::analysis::Findings;
use crate::report::{LyapunovReport, Report, StabilityReport, Training};
use crate::units::counted;
pub(crate) use criteria::title;
pub(crate) use layout::{table, wrapped};
pub(crate) use verdict::verdict;

/// The findings for a person: a verdict in one sentence, a table, the responsible samples.
pub fn describe(findings: &Findings) -> String {
    let report = &findings.report;
    let mut text = wrapped(&verdict(findings), "");
    text.push('\n');
    text.push_str(&overview(report));
    text.push('\n');
    text.push_str(&stability_table(report));
    text.push_str(&criteria::beside_the_exact(report));
    text.push_str(&groups(report));
    text.push_str(&responsible_samples(findings));
    text.push_str(&legend(report));
    text
}

/// How the threshold of a row is known.
pub(crate) fn known(line: &StabilityReport) -> String {
    let (low, high) = line.max_learning_rate_interval;
    match line.confidence {
        Some(confidence) => {
            format!(
                "{}, {} to {} with {:.0} %",
                line.basis.name(),
                short(low.0),
                short(high.0),
                100.0 * confidence
            )
        }
        None => line.basis.name().to_owned(),
    }
}

/// How the batches of a row are drawn.
fn drawn(training: Training) -> String {
    let rest =
        |last: Option<LastBatch>| if last == Some(LastBatch::Drop) { ", the rest dropped" } else { "" };
    match training.sampling {
        Loader::Independent(scheme) => format!("batches drawn afresh {}", scheme.in_a_sentence()),
        Loader::Epochs(EpochOrder::Cyclic) => {
            format!("batches in the order of the file{}", rest(training.last_batch))
        }
        Loader::Epochs(_) => format!("batches reshuffled once an epoch{}", rest(training.last_batch)),
    }
}

fn overview(report: &Report) -> String {
    let factors =
        if report.num_factors == 1 { String::new() } else { format!(" of {} factors", report.num_factors) };
    let parameters =
        report.num_parameters.map_or(String::new(), |number| format!(", {}", counted(number, "parameter")));
    let mut text = wrapped(
        &format!(
            "{}{factors}{parameters}; rank {}, effective rank {:.1}",
            counted(report.num_samples, "sample"),
            report.rank,
            report.effective_rank
        ),
        "",
    );
    let _ = writeln!(
        text,
        "sharpness {}, trace {}, sharpest sample {}",
        short(report.sharpness),
        short(report.trace),
        short(report.max_sample_sharpness)
    );
    let both = [("coherence", &report.coherence), ("coherence under SAM", &report.coherence_sam)];
    for (name, coherence) in both {
        if let Some(coherence) = coherence {
            let (below, above) = coherence.lambda_max_s_bounds;
            let said = format!(
                "{name}: sigma {}, lambda_max(S) {} (between {} and {}), largest blocks {}",
                short(coherence.sigma),
                short(coherence.lambda_max_s),
                short(below),
                short(above),
                first_few(&coherence.block_sizes)
            );
            text.push_str(&wrapped(&said, "  "));
        }
    }
    text
}

fn first_few(sizes: &[usize]) -> String {
    let mut texts: Vec<String> = sizes.iter().take(5).map(usize::to_string).collect();
    if sizes.len() > 5 {
        texts.push(format!("... ({} in all)", sizes.len()));
    }
    texts.join(", ")
}

fn stability_table(report: &Report) -> String {
    let judged = report.stability.iter().any(|line| line.learning_rate.is_some());
    let exponents = report.stability.iter().any(|line| line.lyapunov.is_some());
    let mut rows = vec![vec!["optimizer", "batch size", "max learning rate", "known", "full batch"]];
    if judged {
        rows[0].extend(["growth per step", "verdict"]);
    }
    if exponents {
        rows[0].push("Lyapunov exponent");
    }
    let mut rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.into_iter().map(str::to_owned).collect()).collect();
    for line in &report.stability {
        let mut row = vec![
            line.training.optimizer.label(),
            line.training.batch_size.to_string(),
            short_below(line.max_learning_rate.0),
            in_short(line),
            short_below(line.gradient_descent_limit.0),
        ];
        if judged {
            row.push(line.growth_per_step.map_or_else(String::new, |growth| format!("{:.6}", growth.0)));
            let word = line.stable.map_or("too close", |stable| if stable { "stable" } else { "unstable" });
            row.push(word.to_owned());
        }
        if exponents {
            row.push(line.lyapunov.as_ref().map_or_else(String::new, exponent));
        }
        rows.push(row);
    }
    table(&rows)
}

fn exponent(exponent: &LyapunovReport) -> String {
    let LyapunovReport { mean, standard_error, settled, num_steps } = exponent;
    match (settled, num_steps) {
        (true, 0) => format!("{:.4e} (exact)", mean.0),
        (true, _) => format!("{:.2e} +- {standard_error:.1e}", mean.0),
        (false, _) => format!("{:.1e} +- {standard_error:.0e}, NOT SETTLED", mean.0),
    }
}

/// How the threshold of a row is known, in a column.
fn in_short(line: &StabilityReport) -> String {
    let (low, high) = line.max_learning_rate_interval;
    let width = 50.0 * (high.0 - low.0) / line.max_learning_rate.0;
    match line.confidence {
        Some(_) if !width.is_finite() => "not estimated".to_owned(),
        Some(_) => format!("{} to {width:.2} %", line.basis.name()),
        None => line.basis.name().to_owned(),
    }
}

/// What the optimizers of the table are.
fn legend(report: &Report) -> String {
    let mut text = String::new();
    for rule in Optimizer::RULES {
        let mut of_rule = report
            .stability
            .iter()
            .map(|line| line.training.optimizer)
            .filter(|own| own.rule().name == rule.name);
        if of_rule.any(|optimizer| optimizer != Optimizer::sgd()) {
            let remark = if rule.remark.is_empty() { String::new() } else { format!("; {}", rule.remark) };
            text.push_str(&wrapped(&format!("{}: {}{remark}", rule.title, rule.formula), "  "));
        }
    }
    if report.stability.iter().filter_map(|line| line.lyapunov.as_ref()).any(|exponent| !exponent.settled) {
        let text_of = "NOT SETTLED: slow directions outlive the steps that were spent; the exponent is known no better than its error says";
        text.push_str(&wrapped(text_of, "  "));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn groups(report: &Report) -> String {
    if report.groups.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["label", "samples", "coherence within", "with others", "lambda_max(S)"].map(str::to_owned).to_vec(),
    ];
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    for group in &report.groups {
        rows.push(vec![
            group.label.to_string(),
            group.num_samples.to_string(),
            optional(group.within),
            optional(group.across),
            short(group.lambda_max_s),
        ]);
    }
    format!("\n{}", table(&rows))
}

fn responsible_samples(findings: &Findings) -> String {
    let (report, batch_size) = (&findings.report, findings.shares_batch_size);
    if report.rank > 0
        && batch_size == report.population.unwrap_or(report.num_samples)
        && without_noise(report)
    {
        return "\nbatches of all samples have no gradient noise: no single sample is responsible\n"
            .to_owned();
    }
    if report.responsible_samples.is_empty() {
        return String::new();
    }
    let labelled = report.responsible_samples.iter().any(|sample| sample.label.is_some());
    let mut rows = vec![
        ["responsible sample", "share of noise", "without it, to first order", "sharpness"]
            .map(str::to_owned)
            .to_vec(),
    ];
    if labelled {
        rows[0].push("label".to_owned());
    }
    for sample in &report.responsible_samples {
        let mut row = vec![
            sample.sample.to_string(),
            format!("{:.2} %", 100.0 * sample.share),
            sample.max_learning_rate_without.map_or("-".to_owned(), short),
            short(sample.sharpness),
        ];
        row.extend(sample.label.map(|label| label.to_string()));
        rows.push(row);
    }
    let full_batch = 100.0 * findings.full_batch_share;
    let said = format!(
        "SGD at batch size {batch_size}: {full_batch:.1} % of what limits it is the full batch's, {:.1} % is gradient noise; shares of that \
         noise by sample (counted from 0), all together 100 %:",
        100.0 - full_batch
    );
    format!("\n{}{}", wrapped(&said, ""), table(&rows))
}

fn without_noise(report: &Report) -> bool {
    report
        .stability
        .iter()
        .all(|line| !matches!(line.training.sampling, Loader::Independent(scheme) if !scheme.draws_sets()))
        || report.num_samples == 1
}

/// Four significant digits, rounded down: a learning rate below which something holds.
pub(crate) fn short_below(value: f64) -> String {
    let text = short(value);
    if !(value.is_finite() && value > 0.0) || text.parse().is_ok_and(|shown: f64| shown <= value) {
        return text;
    }
    // One unit in the last place less.
    short(value - 10.0_f64.powf(value.log10().floor() - 3.0))
}

/// Four significant digits.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 {
        return (value + 0.0).to_string();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (1..=8).find(|&decimals| size >= 10.0_f64.powi(3 - decimals)).unwrap_or(8);
    let decimals = usize::try_from(decimals).unwrap_or(8);
    if size >= 1000.0 { format!("{value:.0}") } else { format!("{value:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed as stable is stable: never above the value, and above it by rounding to nearest (the control).
    #[test]
    fn thresholds_are_rounded_down() {
        assert_eq!(
            (short_below(0.078_049_9), short(0.078_049_9)),
            ("0.07804".to_owned(), "0.07805".to_owned())
        );
        assert_eq!(short_below(0.078_05), "0.07805");
        let mut value = 1.234_567_8e-120_f64;
        while value < 1e120 {
            let shown: f64 = short_below(value).parse().expect("a number");
            assert!(shown <= value && shown >= value * (1.0 - 1.1e-3), "{value} as {shown}");
            value *= 1.713_7;
        }
        assert_eq!(short_below(f64::INFINITY), "inf");
        assert_eq!(short(-0.0), "0");
    }
}
