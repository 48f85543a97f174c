#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cells;
mod claim;
mod clusters;
mod config;
mod convergence;
mod counterexamples;
mod criteria;
mod dexter;
mod divergence;
mod drawing;
mod empirical;
mod error;
mod evidence;
mod instance;
mod ledger;
mod local;
mod maps;
mod networks;
mod numbers;
mod perturbation;
mod perturbation_bounds;
mod rational;
mod ratios;
mod reshuffling;
mod restarts;
mod search;
mod section;
mod setup;
mod spread;
mod tables;
mod theorem_3_3;
mod training_ends;
mod upper_bound;
mod words;

pub use cells::ClaimCells;
pub use claim::{Claim, Judgement, Setting, Verdict};
pub use config::{Config, Sizes};
pub use error::{ClaimError, Result};
pub use evidence::Runs;
pub use ledger::ledger;
pub use ratios::{CRITERIA, RatioCells, Ratios};
pub use tables::{ClaimRow, CurveRow, RatioRow};

use linstab_driver::ResultsFolder;
use linstab_driver::{Context, Experiment, Finding, Inputs};
use linstab_driver::{engine, table};
use linstab_experiments::edge_test::Recorded;

/// Everything that `linstab reproduce` can run, in order: the experiments of the paper, and the ledger of its statements.
pub fn experiments() -> Vec<&'static dyn Experiment> {
    linstab_experiments::ALL.iter().copied().chain([&Claims as &dyn Experiment]).collect()
}

/// The experiment `claims`.
#[derive(Clone, Copy, Debug)]
pub struct Claims;

const ID: &str = "claims";

impl Experiment for Claims {
    fn id(&self) -> &'static str {
        ID
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 11.0 } else { 49.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> linstab_driver::Result<Inputs> {
        let config = Config::load(context)?;
        let data = Recorded::digests(context)?;
        Ok(Inputs { data, ..Inputs::new(&config.as_run(context.configs)?, config.seed)? })
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> linstab_driver::Result<Finding> {
        let config = Config::load(context)?;
        let ratio_cells = RatioCells::new(&config, context.program);
        let ratios = engine::run(&ratio_cells, context, &results.checkpoint("claims-ratios"));
        let runs = Runs::make(&config, context, |name| results.checkpoint(name))?;
        let cells = ClaimCells::new(&config, &runs, context.program);
        let judgements = engine::run(&cells, context, &results.checkpoint(ID))?;
        let ratios = ratios?.concat();
        let rows = tables::rows(&judgements);
        let quantiles = tables::quantiles(&ratios);
        table::write(results, ID, &rows)?;
        let curves = tables::curves(&ratios);
        table::write(results, "claims-ratios", &quantiles)?;
        table::write(results, "claims-ratios-curves", &curves)?;
        results.write("claims.json", &tables::ledger_as_json(&rows)?)?;
        drawing::draw(&rows, &curves, results)?;
        let section = section::section(&rows, &quantiles);
        let summary = tables::as_text(&rows, &quantiles);
        Finding::new(&config.as_run(context.configs)?, config.seed, summary, section)
    }
}
