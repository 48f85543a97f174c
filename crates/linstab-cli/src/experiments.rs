//! What can be run.

use linstab_driver::Experiment;

/// Everything that `linstab reproduce` can run, in order: the experiments of the paper, and the ledger of its statements.
pub(crate) fn experiments() -> Vec<&'static dyn Experiment> {
    linstab_experiments::ALL.iter().copied().chain([&linstab_claims::Claims as &dyn Experiment]).collect()
}

/// The names of the experiments, as a flag takes them.
pub(crate) fn known_experiments() -> clap::builder::PossibleValuesParser {
    experiments().iter().map(|experiment| experiment.id()).collect::<Vec<_>>().into()
}
