//! The experiment `solutions`: coherence, sharpness and thresholds of constructed solutions, exactly and by the paper's formulas.
//!
//! After arXiv 2511.17378, Theorems 3.4 to 3.6. Solutions that look at `C` inputs and the solution that memorises are analysed on
//! fresh data, then on data whose inputs repeat each other: the case to which the paper says coherence is blind.
//!
//! For rank-one curvatures with no negative inner product of gradients, as those of these solutions, `S` is the Gram matrix and
//! `lambda_max(S) = n lambda_max(H)`. Then `sigma / lambda_max(H) = n / max_i lambda_max(H_i)`: at equal flatness the paper's
//! divergence criterion for SGD is the same number for every solution, however coherent.

mod cells;
mod config;
mod drawing;
mod formulas;
mod section;
mod summary;

pub use cells::{Cell, Compared, Solution, SolutionCells};
pub use config::{Config, Quick, Sweep};
pub use summary::Row;

use linstab_driver::ResultsFolder;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};

/// The experiment `solutions`.
#[derive(Clone, Copy, Debug)]
pub struct Solutions;

const ID: &str = "solutions";

impl Experiment for Solutions {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 0.6 } else { 7.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        Inputs::new(&config, config.seed)
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let cells = SolutionCells::new(&config, context.program);
        let outputs = engine::run(&cells, context, &results.checkpoint(ID))?;
        let rows = summary::rows(cells.cells(), &outputs);
        let (independent, sweep): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.redundancy == "independent");
        table::write(results, ID, &independent)?;
        table::write(results, "solutions-redundancy", &sweep)?;
        drawing::draw(&config, &independent, &sweep, results)?;
        let summary = summary::as_text(&config, &independent, &sweep);
        Finding::new(&config, config.seed, summary, section::section(&config, &independent, &sweep))
    }
}
