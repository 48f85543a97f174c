//! The experiment `coherence-dynamics`: coherence, sharpness and the exact threshold along the training of a small network.
//!
//! After arXiv 2511.17378, Appendix C.2 and C.5: Figures 2 to 4 and Table 1. Beside what the paper tracks, each epoch has the exact
//! mean-square threshold of the current point: does training ride the edge of stability?

mod cells;
mod config;
mod drawing;
mod metric;
mod section;
mod tables;
mod tracking;

pub(crate) use cells::at_epochs;
pub use cells::{Cell, TrainingCells};
pub use config::{Config, Quick, Reference, ReferenceValue};
pub use metric::{METRICS, Metric, Record};
pub use tables::{Comparison, EndRow, EpochRow, Regression, SummaryRow};
pub use tracking::Track;

use linstab_driver::ResultsFolder;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};

/// The experiment `coherence-dynamics`.
#[derive(Clone, Copy, Debug)]
pub struct CoherenceDynamics;

const ID: &str = "coherence-dynamics";

impl Experiment for CoherenceDynamics {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 1.1 } else { 26.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        Inputs::new(&config, config.seed)
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let cells = TrainingCells::new(&config, context.program);
        let tracks = engine::run(&cells, context, &results.checkpoint(ID))?;
        let groups = tables::group(cells.cells(), &tracks);
        let summary = tables::summarise(&config, &groups);
        let comparisons = tables::compare(&config, &summary);
        let regressions = tables::regressions(&config, &groups);
        table::write(results, ID, &tables::epochs(&groups))?;
        table::write(results, "coherence-dynamics-summary", &summary)?;
        table::write(results, "table-1", &comparisons)?;
        table::write(results, "figure-4", &tables::all_ends(&config, &groups))?;
        table::write(results, "figure-4-regressions", &regressions)?;
        drawing::draw(&config, &groups, &regressions, results)?;
        let section = section::section(&config, &groups, &comparisons, &regressions);
        Finding::new(&config, config.seed, tables::as_text(&comparisons, &regressions), section)
    }
}
