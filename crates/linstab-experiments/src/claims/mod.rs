//! The experiment `claims`: the ledger of what arXiv 2511.17378 states, each statement judged by recomputation.
//!
//! A claim is data plus one function ([`Claim`]); the files of this folder hold them by subject, and a claim is added in one place, the
//! list at the head of its file. Statements that hold are attacked by a search, or checked exactly or on many instances where there is
//! nothing to search; those that do not have an explicit counterexample, in `data/counterexamples` or on instances; empirical ones are
//! judged on runs of our own, by a statistic and a threshold that stand in the statement. Each has, where that makes sense, a wrong constant that must turn its verdict: the negative control.

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
mod evidence;
mod instance;
mod ledger;
mod local;
mod maps;
mod networks;
mod perturbation;
mod perturbation_bounds;
mod rational;
mod ratios;
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
pub use evidence::Runs;
pub use ledger::ledger;
pub use ratios::{CRITERIA, RatioCells, Ratios};
pub use tables::{ClaimRow, CurveRow, RatioRow};

use crate::experiment::{Context, Experiment, Finding, Inputs};
use crate::output::ResultsFolder;
use crate::{Result, engine, table};

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

    fn inputs(&self, context: &Context<'_>) -> Result<Inputs> {
        let config = Config::load(context)?;
        Inputs::new(&config.as_run(context.configs)?, config.seed)
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding> {
        let config = Config::load(context)?;
        let runs = Runs::make(&config, context, |name| results.checkpoint(name))?;
        let cells = ClaimCells::new(&config, &runs, context.program);
        let judgements = engine::run(&cells, context, &results.checkpoint(ID))?;
        let ratio_cells = RatioCells::new(&config, context.program);
        let ratios = engine::run(&ratio_cells, context, &results.checkpoint("claims-ratios"))?.concat();
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
