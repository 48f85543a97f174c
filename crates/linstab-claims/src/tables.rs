//! The tables of the ledger.

use std::fmt::Write as _;

use serde::Serialize;

use super::claim::{Judgement, Verdict};
use super::ledger::ledger;
use super::ratios::{CRITERIA, Ratios};
use crate::Result;
use linstab_driver::DriverError;

/// A row of `tables/claims.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimRow {
    /// The paper's number.
    pub id: &'static str,
    /// The recomputed verdict.
    pub verdict: Verdict,
    /// The verdict that was expected.
    pub expected_verdict: Verdict,
    /// What is claimed, in our words.
    pub statement: &'static str,
    /// What is true instead or in addition.
    pub correction: &'static str,
    /// What the verdict rests on.
    pub evidence: String,
    /// Under which assumptions.
    pub assumptions: &'static str,
    /// What would overturn the verdict.
    pub refuted_by: &'static str,
}

/// One row for each number of each claim.
pub(super) fn rows(judgements: &[Judgement]) -> Vec<ClaimRow> {
    let mut rows = Vec::new();
    for (claim, judgement) in ledger().into_iter().zip(judgements) {
        rows.extend(claim.ids.iter().map(|&id| ClaimRow {
            id,
            verdict: judgement.verdict,
            expected_verdict: claim.expected,
            statement: claim.statement,
            correction: claim.correction,
            evidence: judgement.evidence.clone(),
            assumptions: claim.assumptions,
            refuted_by: claim.refuted_by,
        }));
    }
    rows
}

/// What `claims.json` has of a row.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    verdict: Verdict,
    expected_verdict: Verdict,
    statement: &'a str,
    correction: &'a str,
    evidence: &'a str,
}

/// `claims.json`: a list of objects.
pub(super) fn ledger_as_json(rows: &[ClaimRow]) -> Result<Vec<u8>> {
    let entry = |row: &ClaimRow| -> serde_json::Result<String> {
        let ClaimRow { id, verdict, expected_verdict, statement, correction, evidence, .. } = row;
        let (verdict, expected_verdict) = (*verdict, *expected_verdict);
        serde_json::to_string(&Entry { id, verdict, expected_verdict, statement, correction, evidence })
    };
    let entries: serde_json::Result<Vec<String>> = rows.iter().map(entry).collect();
    let entries =
        entries.map_err(|error| DriverError::Encode { what: "the ledger", message: error.to_string() })?;
    Ok(format!("[\n{}\n]\n", entries.join(",\n")).into_bytes())
}

/// A row of `tables/claims-ratios.csv`: the distribution of `eta_criterion / eta*`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatioRow {
    /// Which criterion.
    pub criterion: &'static str,
    /// Whether the smaller of it and `2 / lambda_max` counts.
    pub with_gradient_descent_limit: bool,
    /// Random ensembles.
    pub num_ensembles: usize,
    /// Smallest ratio.
    pub min: f64,
    /// 10 % quantile.
    pub q10: f64,
    /// Median.
    pub median: f64,
    /// 90 % quantile.
    pub q90: f64,
    /// Largest ratio.
    pub max: f64,
    /// Ensembles in which the criterion is exact to 0.1 %.
    pub num_exact: usize,
}

/// The distribution of each criterion's ratios.
pub(super) fn quantiles(ratios: &[Ratios]) -> Vec<RatioRow> {
    let row = |(index, &criterion): (usize, &&'static str)| {
        let values = sorted(ratios, index);
        let at = |tenths: usize| values[(values.len() - 1) * tenths / 10];
        RatioRow {
            criterion,
            with_gradient_descent_limit: index + 1 < CRITERIA.len(),
            num_ensembles: values.len(),
            min: at(0),
            q10: at(1),
            median: at(5),
            q90: at(9),
            max: at(10),
            num_exact: values.iter().filter(|&&x| x < 1.001).count(),
        }
    };
    if ratios.is_empty() { Vec::new() } else { CRITERIA.iter().enumerate().map(row).collect() }
}

/// A row of `tables/claims-ratios-curves.csv`: a point of the distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurveRow {
    /// Which criterion.
    pub criterion: &'static str,
    /// `eta_criterion / eta*`.
    pub ratio: f64,
    /// Share of the ensembles whose ratio is not above.
    pub share: f64,
}

/// The distributions as some hundreds of points each, which draw the same curves as all would.
pub(super) fn curves(ratios: &[Ratios]) -> Vec<CurveRow> {
    let of = |(index, &criterion): (usize, &&'static str)| {
        let values = sorted(ratios, index);
        let (stride, count) = (values.len().div_ceil(400).max(1), values.len() as f64);
        let point =
            move |(at, ratio): (usize, f64)| CurveRow { criterion, ratio, share: (at + 1) as f64 / count };
        values.into_iter().enumerate().step_by(stride).map(point).collect::<Vec<_>>()
    };
    CRITERIA.iter().enumerate().flat_map(of).collect()
}

/// The ratios of one criterion, ascending.
pub(super) fn sorted(ratios: &[Ratios], index: usize) -> Vec<f64> {
    let mut values: Vec<f64> = ratios.iter().map(|ratios| ratios[index]).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The result in a few lines.
pub(super) fn as_text(rows: &[ClaimRow], ratios: &[RatioRow]) -> String {
    let mut text = format!("{} statements:", rows.len());
    for verdict in Verdict::ALL {
        let count = rows.iter().filter(|row| row.verdict == verdict).count();
        let _ = write!(text, " {count} {},", verdict.name());
    }
    text.pop();
    text.push('\n');
    let moved: Vec<&ClaimRow> = rows.iter().filter(|row| row.verdict != row.expected_verdict).collect();
    for row in &moved {
        let (found, expected) = (row.verdict.name(), row.expected_verdict.name());
        let _ = writeln!(text, "DISAGREEMENT {}: {found}, expected {expected}: {}", row.id, row.evidence);
    }
    if moved.is_empty() {
        text.push_str("every verdict is the expected one\n");
    }
    for row in ratios {
        let _ = writeln!(
            text,
            "eta_criterion / eta*, {}: min {:.4}, median {:.3}, 90 % {:.3}, max {:.3}",
            row.criterion, row.min, row.median, row.q90, row.max
        );
    }
    text
}
