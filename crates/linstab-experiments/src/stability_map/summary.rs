//! Who was right: for each map, how many cells each boundary predicts as they were simulated.

use linstab_report::text::short;
use std::fmt::Write;

use linstab_dynamics::sampling::Loader;
use serde::Serialize;

use super::cells::Row;
use super::config::{Config, Family};

/// Predictions at equality are "stable"; this much of rounding still counts as equality.
const EQUALITY: f64 = 1e-12;

/// A boundary between stable and diverging cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The paper's divergence criterion: diverges above it (and it claims nothing below, which is read as stable).
    DivergenceCriterion,
    /// The paper's Theorem 3.3: stable up to it (and it claims nothing above, which is read as diverging).
    Theorem33,
    /// The exact mean square grows.
    MeanSquare,
    /// The exact Lyapunov exponent is positive.
    Lyapunov,
}

impl Boundary {
    /// All of them, in the order of figures and tables.
    pub const ALL: [Self; 4] = [Self::DivergenceCriterion, Self::Theorem33, Self::MeanSquare, Self::Lyapunov];

    /// Its name in figures and summaries.
    pub fn title(self) -> &'static str {
        match self {
            Self::DivergenceCriterion => "paper: divergence criterion",
            Self::Theorem33 => "paper: Theorem 3.3",
            Self::MeanSquare => "exact mean square",
            Self::Lyapunov => "Lyapunov exponent",
        }
    }

    /// A number that is positive where the boundary says divergence, and smooth across the boundary.
    pub fn excess(self, row: &Row) -> f64 {
        match self {
            Self::DivergenceCriterion => (row.learning_rate / row.criterion_divergence).ln(),
            Self::Theorem33 => (row.learning_rate / row.criterion_theorem_3_3).ln(),
            // Where there is no threshold the growth says the same.
            Self::MeanSquare => row.max_learning_rate.map_or_else(
                || row.mean_square_growth.ln(),
                |threshold| (row.learning_rate / threshold).ln(),
            ),
            Self::Lyapunov => row.lyapunov_exponent,
        }
    }

    /// [`Boundary::excess`], not positive where the boundary says stability: within rounding of equality it can be.
    pub(super) fn signed_excess(self, row: &Row) -> f64 {
        if self.predicts_divergence(row) { self.excess(row) } else { self.excess(row).min(0.0) }
    }

    /// Whether the boundary says that the cell diverges.
    pub fn predicts_divergence(self, row: &Row) -> bool {
        self.excess(row) > EQUALITY
    }
}

/// What distinguishes one map from another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MapKey {
    /// Family.
    pub optimizer: Family,
    /// How batches are drawn.
    pub sampling: Loader,
    /// Learning rate.
    pub learning_rate: f64,
    /// `rho / alpha` of SAM; 0 for the other optimizers.
    pub rho_over_alpha: f64,
}

impl MapKey {
    /// The map that a row belongs to.
    pub fn of(row: &Row) -> Self {
        Self {
            optimizer: row.optimizer,
            sampling: row.sampling,
            learning_rate: row.learning_rate,
            rho_over_alpha: row.rho_over_alpha,
        }
    }

    /// The map in words.
    pub fn title(&self) -> String {
        let parameter = match self.optimizer {
            Family::Sam => format!(" ρ/α={}", short(self.rho_over_alpha)),
            Family::Sgd | Family::RandomPerturbation => String::new(),
        };
        format!(
            "{}{parameter}, η={}, {}",
            self.optimizer.title(),
            short(self.learning_rate),
            self.sampling.title()
        )
    }

    /// The map as part of a file name.
    pub fn slug(&self) -> String {
        let parameter = match self.optimizer {
            Family::Sam => format!("-{}", short(self.rho_over_alpha)),
            Family::Sgd | Family::RandomPerturbation => String::new(),
        };
        format!("{}{parameter}-{}-{}", self.optimizer.name(), self.sampling.name(), short(self.learning_rate))
    }
}

/// A row of `tables/stability-map-summary.csv`: how many cells of a map each boundary predicts rightly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapSummary {
    /// Family.
    pub optimizer: Family,
    /// How batches are drawn.
    pub sampling: Loader,
    /// Learning rate.
    pub learning_rate: f64,
    /// `rho / alpha` of SAM; 0 for the other optimizers.
    pub rho_over_alpha: f64,
    /// Cells of the map.
    pub num_cells: usize,
    /// Cells whose majority did not diverge.
    pub num_stable: usize,
    /// Cells of which exactly half of the runs diverged.
    pub num_ties: usize,
    /// Cells that the paper's divergence criterion predicts rightly.
    pub right_divergence_criterion: usize,
    /// Cells that the paper's Theorem 3.3 predicts rightly.
    pub right_theorem_3_3: usize,
    /// Cells that the exact mean square predicts rightly.
    pub right_mean_square: usize,
    /// Cells that the exact Lyapunov exponent predicts rightly.
    pub right_lyapunov: usize,
}

impl MapSummary {
    pub(super) fn of(rows: &[Row]) -> Self {
        let MapKey { optimizer, sampling, learning_rate, rho_over_alpha } = MapKey::of(&rows[0]);
        let right = |boundary: Boundary| {
            rows.iter().filter(|row| boundary.predicts_divergence(row) == row.diverged).count()
        };
        Self {
            optimizer,
            sampling,
            learning_rate,
            rho_over_alpha,
            num_cells: rows.len(),
            num_stable: rows.iter().filter(|row| !row.diverged).count(),
            num_ties: rows.iter().filter(|row| row.tie).count(),
            right_divergence_criterion: right(Boundary::DivergenceCriterion),
            right_theorem_3_3: right(Boundary::Theorem33),
            right_mean_square: right(Boundary::MeanSquare),
            right_lyapunov: right(Boundary::Lyapunov),
        }
    }

    /// Cells that `boundary` predicts rightly.
    pub fn right(&self, boundary: Boundary) -> usize {
        match boundary {
            Boundary::DivergenceCriterion => self.right_divergence_criterion,
            Boundary::Theorem33 => self.right_theorem_3_3,
            Boundary::MeanSquare => self.right_mean_square,
            Boundary::Lyapunov => self.right_lyapunov,
        }
    }

    /// The map that is summarised.
    pub fn key(&self) -> MapKey {
        let &Self { optimizer, sampling, learning_rate, rho_over_alpha, .. } = self;
        MapKey { optimizer, sampling, learning_rate, rho_over_alpha }
    }
}

/// The map that the first screen shows: SGD's, if there is one, under the first sampling scheme at the first learning rate.
pub(super) fn reference<'a>(config: &Config, summaries: &'a [MapSummary]) -> Option<&'a MapSummary> {
    let first = |one: &&MapSummary| {
        one.sampling == config.sampling[0] && one.learning_rate.to_bits() == config.learning_rate[0].to_bits()
    };
    let sgd = summaries.iter().filter(first).find(|one| one.optimizer == Family::Sgd);
    sgd.or_else(|| summaries.iter().find(first))
}

/// The result in short: who predicts the first map.
fn headline(summaries: &[MapSummary]) -> String {
    let Some(first) = summaries.first() else { return String::new() };
    let of_cells = |count: usize| format!("{:.1} %", 100.0 * count as f64 / first.num_cells as f64);
    format!(
        "{}: {} of {} cells stable; right are the Lyapunov exponent in {}, the exact mean square in {}, Theorem 3.3 in {}\n",
        first.key().title(),
        first.num_stable,
        first.num_cells,
        of_cells(first.right_lyapunov),
        of_cells(first.right_mean_square),
        of_cells(first.right_theorem_3_3)
    )
}

/// The summaries as a table for a terminal.
pub(crate) fn as_text(summaries: &[MapSummary]) -> String {
    let mut text = headline(summaries);
    text.push_str(
        "cells predicted as simulated, of all      divergence  Theorem   exact mean  Lyapunov\n\
         map                            (stable)   criterion       3.3       square  exponent\n",
    );
    for summary in summaries {
        let key = summary.key();
        let name = match key.optimizer {
            Family::Sgd => "sgd".to_owned(),
            Family::RandomPerturbation => "random".to_owned(),
            Family::Sam => format!("sam {}", short(key.rho_over_alpha)),
        };
        let percent = Boundary::ALL.map(|boundary| {
            format!("{:.1} %", 100.0 * summary.right(boundary) as f64 / summary.num_cells as f64)
        });
        let _ = writeln!(
            text,
            "{name:<9}{:<20}{:<4} ({:>4}/{:<4}) {:>9} {:>9} {:>12} {:>9}",
            key.sampling.name(),
            short(key.learning_rate),
            summary.num_stable,
            summary.num_cells,
            percent[0],
            percent[1],
            percent[2],
            percent[3],
        );
    }
    text
}
