//! Two small experiments: cells of one kind, and cells that need the whole of others first; tables and figures.

use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::{self, Cells};
use linstab_driver::{Context, DriverError, Experiment, Finding, Inputs, Result, ResultsFolder};

pub(crate) const OLD_SEED: u64 = 6;
pub(crate) const NEW_SEED: u64 = 7;

pub(crate) const ALL: [&dyn Experiment; 2] = [&Chain("one"), &Chain("two")];

struct Chain(&'static str);

/// Powers of what came before.
struct Powers {
    id: &'static str,
    before: u64,
}

impl Cells for Powers {
    type Output = u64;
    type Error = DriverError;

    fn experiment(&self) -> &'static str {
        self.id
    }

    fn num_cells(&self) -> usize {
        5
    }

    fn identity(&self) -> Identity {
        Identity::new("program", &[self.id, &self.before.to_string()])
    }

    fn compute(&self, index: usize) -> Result<u64> {
        Ok((self.before + index as u64).wrapping_mul(6_364_136_223_846_793_005))
    }
}

impl Experiment for Chain {
    fn id(&self) -> &'static str {
        self.0
    }

    fn core_seconds(&self, _quick: bool) -> f64 {
        1.0
    }

    fn inputs(&self, context: &Context<'_>) -> Result<Inputs> {
        Inputs::new(&self.0, context.seed.unwrap_or_default())
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding> {
        let Inputs { seed, config, .. } = self.inputs(context)?;
        let id = self.0;
        let first =
            engine::run(&Powers { id, before: seed }, context, &results.checkpoint(&format!("{id}-first")))?;
        let before = first.iter().fold(1, |sum: u64, power| sum.wrapping_mul(31).wrapping_add(*power));
        let second = engine::run(&Powers { id, before }, context, &results.checkpoint(id))?;
        results.write(&format!("tables/{id}.csv"), format!("{first:?} {second:?}").as_bytes())?;
        results.write(&format!("figures/{id}.svg"), b"<svg/>")?;
        let section = linstab_report::Section { title: id.to_owned(), ..linstab_report::Section::default() };
        Finding::new(&config, seed, format!("{id}\n"), section)
    }
}
