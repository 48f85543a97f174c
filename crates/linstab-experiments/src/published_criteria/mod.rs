//! The experiment `published-criteria`: criteria and diagnostics of the literature beside the exact threshold, on three real ensembles.
//!
//! A minimum of a network on digits, a minimum of a convolutional network with ten outputs, and points along a training. Which criterion
//! predicts the exact mean-square threshold of SGD, and how far off are the others?

mod cells;
mod config;
mod drawing;
mod points;
mod section;
mod summary;

pub use config::{Config, ConvolutionalConfig, DigitsConfig, Quick, TrainingConfig};

use cells::CriteriaCells;
use config::AsRun;
use linstab_driver::ResultsFolder;
use linstab_driver::experiment::DataDigest;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};
use summary::SummaryRow;

/// The experiment `published-criteria`.
#[derive(Clone, Copy, Debug)]
pub struct PublishedCriteria;

const ID: &str = "published-criteria";

impl Experiment for PublishedCriteria {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 0.6 } else { 1.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let as_run = AsRun::load(context)?;
        // Loading compares both files with the digests of the configurations.
        let files = points::data(&as_run, context.configs)?;
        let data = files.into_iter().map(|(path, sha256)| DataDigest { path, sha256 }).collect();
        Ok(Inputs { data, ..Inputs::new(&as_run, as_run.config.seed)? })
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let as_run = AsRun::load(context)?;
        let points = points::all(&as_run, context.configs)?;
        let cells = CriteriaCells::new(&as_run, &points, context.program);
        let rows = engine::run(&cells, context, &results.checkpoint(ID))?.concat();
        let summary = SummaryRow::of_all(&rows);
        table::write(results, ID, &rows)?;
        table::write(results, "published-criteria-summary", &summary)?;
        drawing::draw(&rows, &summary, results)?;
        let text = summary::as_text(&summary);
        Finding::new(&as_run, as_run.config.seed, text, section::section(&rows, &summary))
    }
}
