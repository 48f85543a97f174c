//! What can be run.

pub(crate) use linstab_claims::experiments;

/// The names of the experiments, as a flag takes them.
pub(crate) fn known_experiments() -> clap::builder::PossibleValuesParser {
    experiments().iter().map(|experiment| experiment.id()).collect::<Vec<_>>().into()
}
