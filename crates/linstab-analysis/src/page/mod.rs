//! What an analysis looks like: the curve of thresholds, and a page with everything beside it.

mod coherence;
mod figures;
mod minima;
mod thresholds;

use linstab_report::drawing::{self, Columns};
use linstab_report::{AnalysisPage, AnalysisPart, analysis_page};

use crate::analysis::Findings;
use crate::human::{short, title, verdict};
use crate::report::Report;
use crate::{AnalysisError, Result};

pub use minima::page_of_minima;

/// The page of an analysis, one file that asks for nothing. `source` names what was analysed, `command` what writes it again.
pub fn page(findings: &Findings, source: &str, command: &str) -> String {
    let report = &findings.report;
    let mut parts = vec![thresholds::part(report)];
    parts.extend(figures::ratios(report).map(|(svg, rows)| AnalysisPart {
        title: "Criteria and diagnostics beside the exact threshold".to_owned(),
        sentences: vec![what_predicts(report)],
        drawing: Some((svg, "ratios of learning rates to the exact threshold over the batch size, one panel a kind of claim".to_owned())),
        caption: "Each the learning rate at which it switches over the exact threshold, for the first optimizer. A necessary one lies above 1, a \
                  sufficient one below; what is asked outside of its assumptions counts as an estimate."
            .to_owned(),
        table: rows,
    }));
    parts.extend(figures::limits(report).map(|(svg, rows)| AnalysisPart {
        title: "What limits".to_owned(),
        sentences: vec![what_limits(report)],
        drawing: Some((svg, "share of the full batch in the critical second moment over the batch size".to_owned())),
        caption: "Share of the full batch in the critical second moment: near 1 sharpness limits, near 0 gradient noise.".to_owned(),
        table: rows,
    }));
    parts.extend(figures::influence(findings).map(|(svg, rows)| AnalysisPart {
        title: "Responsible samples".to_owned(),
        sentences: Vec::new(),
        drawing: Some((svg, "thresholds without each of the samples that limit most".to_owned())),
        caption: format!(
            "What SGD at batch size {} could bear without each of the samples that limit most, over what it bears with all, to first order.",
            findings.shares_batch_size
        ),
        table: rows,
    }));
    parts.extend(findings.coherence_map.as_ref().map(coherence::part));
    parts.extend(figures::spectrum(findings).map(|(svg, rows)| AnalysisPart {
        title: "Spectrum of the mean curvature".to_owned(),
        sentences: vec![format!(
            "Rank {}, effective rank {:.1}: trace {} over sharpness {}.",
            report.rank,
            report.effective_rank,
            short(report.trace),
            short(report.sharpness)
        )],
        drawing: Some((svg, "eigenvalues of the mean curvature by rank".to_owned())),
        caption: "Eigenvalues of the mean Gauss-Newton curvature, the largest first.".to_owned(),
        table: rows,
    }));
    parts.push(figures::numbers(report));
    analysis_page(&AnalysisPage {
        title: format!("Will it hold? {source}"),
        verdict: verdict(findings),
        command: command.to_owned(),
        parts,
    })
}

/// The curve of thresholds over the batch size, as SVG and PNG.
///
/// # Errors
/// [`AnalysisError::Option`] if there is nothing to draw: no finite threshold.
pub fn plot(findings: &Findings) -> Result<(Vec<u8>, Vec<u8>)> {
    let nothing = || AnalysisError::Option {
        name: "plot".to_owned(),
        value: "asked for".to_owned(),
        allowed: "where a learning rate is limited at all".to_owned(),
    };
    let (figure, _) = thresholds::figure(&findings.report, Columns::Two).ok_or_else(nothing)?;
    let mut files =
        drawing::files("thresholds", &figure).map_err(|_| nothing())?.into_iter().map(|file| file.1);
    Ok((files.next().ok_or_else(nothing)?, files.next().ok_or_else(nothing)?))
}

/// Which of each kind stays closest to the exact threshold over all batch sizes, by the numbers.
fn what_predicts(report: &Report) -> String {
    let first = report.stability.first().map(|line| line.training.optimizer);
    let rows = report.diagnostics.iter().filter(|row| Some(row.optimizer) == first);
    // By name: the kind of claim, and the least and the greatest ratio.
    let mut ranges: Vec<(&str, &str, f64, f64)> = Vec::new();
    for row in rows {
        let Some(ratio) = row.ratio_to_exact else { continue };
        match ranges.iter_mut().find(|range| range.0 == row.name) {
            Some(range) => (range.2, range.3) = (range.2.min(ratio), range.3.max(ratio)),
            None => ranges.push((&row.name, figures::binding(row), ratio, ratio)),
        }
    }
    let off = |range: &(&str, &str, f64, f64)| range.2.ln().abs().max(range.3.ln().abs());
    let closest = |(claims, word): (&str, &str)| {
        let of_kind = ranges.iter().filter(|range| range.1 == claims);
        let (name, _, least, most) = of_kind.min_by(|x, y| off(x).total_cmp(&off(y)))?;
        Some(format!("the closest {word} is **{}** ({least:.3} to {most:.3} of it)", title(name)))
    };
    let kinds =
        [("necessary", "necessary condition"), ("sufficient", "sufficient one"), ("estimate", "estimate")];
    let said: Vec<String> = kinds.into_iter().filter_map(closest).collect();
    if said.is_empty() {
        return "No criterion has a learning rate here.".to_owned();
    }
    format!("Over all batch sizes that were asked about, beside the exact threshold, {}.", said.join("; "))
}

/// Where noise takes over, by the numbers.
fn what_limits(report: &Report) -> String {
    let shares: Vec<(usize, f64)> = report
        .stability
        .iter()
        .filter(|line| line.training.optimizer == report.stability[0].training.optimizer)
        .filter_map(|line| Some((line.training.batch_size, line.full_batch_share?)))
        .collect();
    let noisy: Vec<usize> = shares.iter().filter(|(_, share)| *share < 0.5).map(|(size, _)| *size).collect();
    let ordered = |size: &usize| shares.iter().all(|(other, share)| other >= size || *share < 0.5);
    match (noisy.iter().max(), noisy.len() == shares.len()) {
        _ if shares.is_empty() => {
            "What limits the first optimizer is not known: its thresholds are estimates.".to_owned()
        }
        (Some(size), false) if !ordered(size) => {
            format!(
                "Gradient noise limits at {} of the {} batch sizes asked about, sharpness at the others.",
                noisy.len(),
                shares.len()
            )
        }
        (_, true) => "Gradient noise limits at every batch size that was asked about.".to_owned(),
        (Some(size), _) => {
            format!("Gradient noise limits up to batch size {size} of those asked about, sharpness above.")
        }
        (None, _) => "Sharpness limits at every batch size that was asked about.".to_owned(),
    }
}
