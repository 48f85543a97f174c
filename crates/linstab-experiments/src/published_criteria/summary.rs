//! How far from the exact threshold each criterion is, over all points and batch sizes of an ensemble.

use std::fmt::Write as _;

use serde::Serialize;

use super::cells::{Row, words};
use super::points::ENSEMBLES;
use linstab_report::text::range;

/// A row of `tables/published-criteria-summary.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SummaryRow {
    /// Name of the criterion.
    pub(super) criterion: String,
    /// Its name for people.
    pub(super) title: String,
    /// What it claims.
    pub(super) claims: String,
    /// The ensemble.
    pub(super) ensemble: String,
    /// Points and batch sizes at which it has a learning rate.
    pub(super) num_ratios: usize,
    /// The smallest of these learning rates over the exact threshold.
    pub(super) smallest_ratio: f64,
    /// The largest.
    pub(super) largest_ratio: f64,
    /// The factor by which it is off at worst.
    pub(super) largest_factor: f64,
    /// What it is, and whose.
    pub(super) source: String,
}

impl SummaryRow {
    /// A row for each criterion and ensemble of which there is a ratio.
    pub(super) fn of_all(rows: &[Row]) -> Vec<Self> {
        let mut summary: Vec<Self> = Vec::new();
        for row in rows {
            let Some(ratio) = row.ratio_to_exact.filter(|ratio| *ratio > 0.0) else { continue };
            let same = |own: &&mut Self| {
                (&own.criterion, &own.ensemble, &own.claims) == (&row.criterion, &row.ensemble, &row.claims)
            };
            let factor = ratio.max(ratio.recip());
            match summary.iter_mut().find(same) {
                Some(own) => {
                    own.num_ratios += 1;
                    own.smallest_ratio = own.smallest_ratio.min(ratio);
                    own.largest_ratio = own.largest_ratio.max(ratio);
                    own.largest_factor = own.largest_factor.max(factor);
                }
                None => summary.push(Self::first(row, ratio, factor)),
            }
        }
        summary
    }

    fn first(row: &Row, ratio: f64, factor: f64) -> Self {
        let (title, source) = words(&row.criterion).unwrap_or((&row.criterion, ""));
        Self {
            criterion: row.criterion.clone(),
            title: title.to_owned(),
            claims: row.claims.clone(),
            ensemble: row.ensemble.clone(),
            num_ratios: 1,
            smallest_ratio: ratio,
            largest_ratio: ratio,
            largest_factor: factor,
            source: source.to_owned(),
        }
    }
}

/// A criterion over all ensembles.
pub(super) struct Ranked<'a> {
    /// Its rows, an ensemble each.
    pub(super) rows: Vec<&'a SummaryRow>,
    /// The factor by which it is off at worst.
    pub(super) largest_factor: f64,
}

impl Ranked<'_> {
    /// Its name for people.
    pub(super) fn title(&self) -> &str {
        &self.rows[0].title
    }

    /// What it claims; of the first ensemble, where that depends on the ensemble.
    pub(super) fn claims(&self) -> &str {
        &self.rows[0].claims
    }

    /// Whether there is a learning rate on every ensemble.
    pub(super) fn is_everywhere(&self) -> bool {
        ENSEMBLES.iter().all(|name| self.rows.iter().any(|row| row.ensemble == *name))
    }

    /// Its ratios over all ensembles, from the smallest to the largest.
    pub(super) fn range(&self) -> String {
        range(self.rows.iter().flat_map(|row| [row.smallest_ratio, row.largest_ratio]), ratio)
    }
}

/// A ratio as it is shown.
pub(super) fn ratio(value: f64) -> String {
    if value < 0.995 { format!("{value:.3}") } else { format!("{value:.2}") }
}

/// A factor as it is told.
pub(super) fn factor(value: f64) -> String {
    format!("a factor of {value:.2}")
}

/// The criteria, those that stay closest to the exact threshold first.
pub(super) fn ranked(summary: &[SummaryRow]) -> Vec<Ranked<'_>> {
    let mut all: Vec<Ranked<'_>> = Vec::new();
    for row in summary {
        match all.iter_mut().find(|own| own.rows[0].criterion == row.criterion) {
            Some(own) => {
                own.rows.push(row);
                own.largest_factor = own.largest_factor.max(row.largest_factor);
            }
            None => all.push(Ranked { rows: vec![row], largest_factor: row.largest_factor }),
        }
    }
    all.sort_by(|x, y| x.largest_factor.total_cmp(&y.largest_factor));
    all
}

/// The result for a terminal.
pub(super) fn as_text(summary: &[SummaryRow]) -> String {
    let all = ranked(summary);
    let Some(closest) = all.iter().find(|one| one.is_everywhere()) else {
        return "no criterion speaks of every ensemble\n".to_owned();
    };
    let mut text = format!(
        "closest to the exact threshold on all three ensembles: {}, {} of it\n",
        closest.title(),
        closest.range()
    );
    let _ = write!(text, "{:<34}{:<12}", "over the exact threshold", "claims");
    for name in ENSEMBLES {
        let _ = write!(text, "{name:>18}");
    }
    text.push('\n');
    for one in &all {
        let _ = write!(text, "{:<34}{:<12}", one.title(), one.claims());
        for name in ENSEMBLES {
            let here = one.rows.iter().filter(|row| row.ensemble == name);
            let ratios = range(here.flat_map(|row| [row.smallest_ratio, row.largest_ratio]), ratio);
            let _ = write!(text, "{ratios:>18}");
        }
        text.push('\n');
    }
    text
}
