//! The experiment `digits`: predicted thresholds against real training, point by point.
//!
//! A two-layer ReLU network is trained to interpolation on real digits: SGD, then a Gauss-Newton polish. At the minimum its
//! per-sample curvatures give the exact mean-square threshold eta* of each optimizer and batch size. Training starts again
//! from beside the minimum at learning rates around eta*, and each run is judged by the slope of its loss, in the end.

mod config;
pub(crate) mod data;
mod drawing;
mod minimum;
mod runs;
mod section;
mod summary;
mod thresholds;

pub use config::{
    CellsConfig, Config, Contender, EstimatesConfig, LyapunovConfig, MinimumConfig, Protocol, Quick,
};

use std::path::Path;

use crate::Result;
use linstab_driver::ResultsFolder;
use linstab_driver::experiment::DataDigest;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};
use linstab_linalg::Reduced;
use minimum::Minimum;
use runs::{RunCells, RunRow};
use summary::CellSummary;
use thresholds::{ThresholdCells, ThresholdRow};

/// The experiment `digits`.
#[derive(Clone, Copy, Debug)]
pub struct Digits;

const ID: &str = "digits";

/// The curvatures at the minimum of a configuration that was read from `path`, and the number of parameters.
pub(crate) fn ensemble(config: &Config, path: &Path) -> Result<(Reduced, usize)> {
    let minimum = Minimum::find(config, path)?;
    let num_parameters = minimum.network.parameters().len();
    Ok((minimum.ensemble, num_parameters))
}

impl Experiment for Digits {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 20.0 } else { 400.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        // Loading compares the file with the digest of the configuration.
        data::load(&Config::path(context), &config.digits, config.num_samples)?;
        let data::Source { file, sha256, .. } = config.digits.clone();
        let data = vec![DataDigest { path: file.display().to_string(), sha256 }];
        Ok(Inputs { data, ..Inputs::new(&config, config.seed)? })
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let minimum = Minimum::find(&config, &Config::path(context))?;
        let cells = ThresholdCells::new(&config, &minimum, context.program);
        let predictions = engine::run(&cells, context, &results.checkpoint("digits-thresholds"))?;
        let thresholds: Vec<ThresholdRow> =
            predictions.iter().enumerate().map(|(index, prediction)| cells.row(index, prediction)).collect();
        let cells = RunCells::new(&config, &minimum, &thresholds, context.program);
        cells.require_undecided_starts(&Config::path(context))?;
        let outputs = engine::run(&cells, context, &results.checkpoint(ID))?;
        let rows: Vec<RunRow> =
            cells.keys().iter().zip(&outputs).map(|(key, result)| RunRow::new(key, result)).collect();
        let exponents: Vec<_> = thresholds.iter().zip(&predictions).collect();
        let summaries = CellSummary::of_all(&config, &rows, &exponents);
        table::write(results, ID, &rows)?;
        let shown = drawing::nearest_ratios(&config.cells.learning_rate_ratios);
        table::write(results, "digits-losses", &runs::losses(cells.keys(), &outputs, &shown))?;
        table::write(results, "digits-thresholds", &thresholds)?;
        table::write(results, "digits-summary", &summaries)?;
        table::write(results, "digits-minimum", std::slice::from_ref(&minimum.facts))?;
        drawing::draw(&config, &thresholds, &summaries, (cells.keys(), &outputs), results)?;
        let summary = summary::as_text(&config, &minimum.facts, &thresholds, &summaries);
        Finding::new(
            &config,
            config.seed,
            summary,
            section::section(&config, &minimum.facts, &thresholds, &summaries),
        )
    }
}
