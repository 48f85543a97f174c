//! The maps in the small form that a page embeds.

use super::cells::Row;
use super::config::{Config, Family};
use super::drawing;
use super::summary::{Boundary, MapKey, MapSummary};
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::colour;
use linstab_report::map_data::{self, Axis, Map, MapData};
use linstab_report::text::short;

/// Where the data are, below the results folder.
pub(super) const PATH: &str = "report/stability-map.json";

const COLUMNS: [&str; 9] = [
    "runs that diverged",
    "runs that converged",
    "mean step of divergence",
    "learning rate of the divergence criterion",
    "learning rate of Theorem 3.3",
    "exact mean-square threshold η*",
    "exact growth of the mean square a step",
    "Lyapunov exponent",
    "limit of gradient descent",
];

/// The data of all maps, of which one after the other is added.
#[derive(Debug)]
pub(super) struct Explorer(MapData);

impl Explorer {
    pub(super) fn new(config: &Config) -> Self {
        let axis = |label: &str, symbol: &str, values| Axis {
            label: label.to_owned(),
            symbol: symbol.to_owned(),
            values,
        };
        Self(MapData {
            x: axis("batch size B", "B", config.batch_size.values().collect()),
            y: axis("coherence σ: samples sharing a direction", "σ", config.coherence.values().collect()),
            num_runs: config.num_repetitions,
            choices: ["optimizer", "sampling", "learning rate η", "ρ/α"].map(str::to_owned).to_vec(),
            boundaries: Boundary::ALL.map(boundary).to_vec(),
            columns: COLUMNS.map(str::to_owned).to_vec(),
            ..MapData::default()
        })
    }

    pub(super) fn push(&mut self, config: &Config, cells: &[Row], summary: &MapSummary) {
        let columns = [
            |row: &Row| row.num_diverged as f64,
            |row: &Row| row.num_converged as f64,
            |row: &Row| row.mean_divergence_step.unwrap_or(f64::NAN),
            |row: &Row| row.criterion_divergence,
            |row: &Row| row.criterion_theorem_3_3,
            |row: &Row| row.max_learning_rate.unwrap_or(f64::NAN),
            |row: &Row| row.mean_square_growth,
            |row: &Row| row.lyapunov_exponent,
            |row: &Row| row.gradient_descent_limit,
        ];
        let columns = columns.map(|value| cells.iter().map(value).collect());
        self.0.push(map(config, cells, summary), columns);
    }

    pub(super) fn write(&self, results: &ResultsFolder) -> Result<()> {
        results.write_json(PATH, &self.0)
    }
}

fn map(config: &Config, cells: &[Row], summary: &MapSummary) -> Map {
    let key = MapKey::of(&cells[0]);
    let rho = if key.optimizer == Family::Sam { short(key.rho_over_alpha) } else { "none".to_owned() };
    let optimizer = key.optimizer.title().to_owned();
    let choice = vec![optimizer, key.sampling.title().to_owned(), short(key.learning_rate), rho];
    let flags =
        |row: &Row| map_data::flags(row.diverged, Boundary::ALL.map(|one| one.predicts_divergence(row)));
    let curves = Boundary::ALL.map(|boundary| {
        let lines = drawing::boundary_lines(config, cells, boundary);
        lines.iter().map(|line| map_data::curve(line)).collect()
    });
    Map {
        flags: cells.iter().map(flags).collect(),
        num_stable: summary.num_stable,
        right: Boundary::ALL.map(|boundary| summary.right(boundary)).to_vec(),
        lines: curves.to_vec(),
        ..Map::new(key.slug(), key.title(), choice)
    }
}

fn boundary(boundary: Boundary) -> map_data::Boundary {
    let stroke = drawing::style(boundary);
    let (column, symbol, rule) = match boundary {
        Boundary::DivergenceCriterion => (3, "η", "diverges if η is above"),
        Boundary::Theorem33 => (4, "η", "stable if η is up to"),
        Boundary::MeanSquare => (5, "η", "diverges if η is above"),
        Boundary::Lyapunov => (7, "Λ", "diverges if positive"),
    };
    map_data::Boundary {
        name: boundary.title().to_owned(),
        column,
        symbol: symbol.to_owned(),
        rule: rule.to_owned(),
        colour: colour::in_styles(stroke.colour),
        width: stroke.width,
        dashes: stroke.dashes.to_owned(),
    }
}
