//! The experiment `stability-map`: for each batch size and coherence, do runs diverge, and who predicted it?
//!
//! After arXiv 2511.17378, Appendix C.3, and Dexter et al. 2024. Each cell of a map simulates a number of runs and sets
//! beside their majority the exact mean-square growth, the exact Lyapunov exponent and the paper's two criteria.

mod agreement;
mod cells;
mod config;
mod drawing;
mod explorer;
mod forecast;
mod loaders;
mod maps;
mod section;
mod summary;

pub use cells::{Cell, CellResult, MapCells, Row};
pub use config::{Config, Family, Loss, Tie};
pub use forecast::Forecast;
pub use summary::{Boundary, MapKey, MapSummary};

use linstab_driver::{Context, Experiment, Finding, Inputs, ResultsFolder, engine};

use maps::Maps;

/// The experiment `stability-map`.
#[derive(Clone, Copy, Debug)]
pub struct StabilityMap;

const ID: &str = "stability-map";

impl Experiment for StabilityMap {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 3.5 } else { 78.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        Inputs::new(&config, config.seed)
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let cells = MapCells::new(&config, context.program);
        let mut maps = Maps::new(&config, cells.cells_of_a_map(), results)?;
        engine::for_each(&cells, context, &results.checkpoint(ID), |index, result| {
            Ok(maps.push(cells.row(index, &result))?)
        })?;
        let (summaries, section) = maps.finish()?;
        Finding::new(&config, config.seed, summary::as_text(&summaries), section)
    }
}
