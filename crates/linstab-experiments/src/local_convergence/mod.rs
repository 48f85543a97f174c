//! The experiment `local-convergence`: from next to a solution that looks at `C` inputs, how fast does the loss fall?
//!
//! After arXiv 2511.17378, Appendix C.4 and Figure 1 (d). Every parameter of a generalising solution is perturbed, then trained
//! with SGD and with SAM as practised. All optimizers and all solutions of a run share data, perturbation and order of samples. Beside
//! the losses stand coherence, sharpness and exact thresholds of the unperturbed solutions, which at equal flatness say the
//! opposite of the losses.

mod cells;
mod config;
mod drawing;
mod section;
mod summary;

pub use cells::{Cell, CellResult, LocalConvergenceCells, Method};
pub use config::{Config, Quick};
pub use summary::{LossRow, SolutionRow};

use linstab_driver::ResultsFolder;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};

/// The experiment `local-convergence`.
#[derive(Clone, Copy, Debug)]
pub struct LocalConvergence;

const ID: &str = "local-convergence";

impl Experiment for LocalConvergence {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 0.3 } else { 2.1 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        Inputs::new(&config, config.seed)
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let cells = LocalConvergenceCells::new(&config, context.program);
        let outputs = engine::run(&cells, context, &results.checkpoint(ID))?;
        let losses = summary::losses(&config, cells.cells(), &outputs);
        let solutions = summary::solutions(&config, cells.cells(), &outputs);
        table::write(results, ID, &losses)?;
        table::write(results, "local-convergence-solutions", &solutions)?;
        drawing::draw(&config, &losses, &solutions, results)?;
        let summary = summary::as_text(&config, &losses, &solutions);
        Finding::new(&config, config.seed, summary, section::section(&config, &losses, &solutions))
    }
}
