//! Cells of the record run again with a framework's own layers, loader and optimizer: do they tip at the same learning rate?

use std::collections::BTreeMap;

use serde::Serialize;

use linstab_driver::table::number;
use linstab_report::conclusion::conclude;
use linstab_report::text::list;

use super::count::Count;
use super::records::{Key, Restarts};
use super::settings::Setting;
use super::transition::{Transition, Trial};

/// A row of `tables/edge-test-frameworks.csv`: where half of the runs grow, by the framework's runs and by those of the record at the same
/// learning rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FrameworkRow {
    pub(super) minimum: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    pub(super) num_runs: usize,
    #[serde(serialize_with = "number")]
    pub(super) lower: f64,
    #[serde(serialize_with = "number")]
    pub(super) upper: f64,
    #[serde(serialize_with = "number")]
    pub(super) lower_of_record: f64,
    #[serde(serialize_with = "number")]
    pub(super) upper_of_record: f64,
    /// Whether the two intervals meet.
    pub(super) meet: bool,
}

/// A row for each setting that both have.
pub(super) fn rows(settings: &[Setting<'_>], again: &[Restarts]) -> Vec<FrameworkRow> {
    let mut groups: BTreeMap<(Key, bool), Vec<Trial>> = BTreeMap::new();
    for row in again {
        groups.entry((row.key(), row.is_live())).or_default().push(row.trial());
    }
    let row = |((key, is_live), trials): (&(Key, bool), &Vec<Trial>)| {
        let setting = settings.iter().find(|setting| setting.is_of(key, *is_live))?;
        let is_again = |trial: &&Trial| {
            trials.iter().any(|other| other.learning_rate.to_bits() == trial.learning_rate.to_bits())
        };
        let recorded: Vec<Trial> = setting.trials.iter().filter(is_again).copied().collect();
        let [found, expected] = [trials, &recorded].map(|trials| Transition::of(trials));
        Some(FrameworkRow {
            minimum: key.minimum.clone(),
            optimizer: setting.optimizer.clone(),
            sampling: key.sampling.clone(),
            batch_size: key.batch_size,
            num_runs: trials.iter().map(|trial| trial.num_runs).sum(),
            lower: found.lower,
            upper: found.upper,
            lower_of_record: expected.lower,
            upper_of_record: expected.upper,
            meet: found.lower <= expected.upper && expected.lower <= found.upper,
        })
    };
    groups.iter().filter_map(row).collect()
}

/// What follows, if anything was run again; `share` of the settings have to agree.
pub(super) fn in_words(rows: &[FrameworkRow], share: f64) -> Option<String> {
    let meet = Count::of(rows.iter().map(|row| row.meet));
    let num_runs: usize = rows.iter().map(|row| row.num_runs).sum();
    let mut optimizers: Vec<String> = rows.iter().map(|row| row.optimizer.clone()).collect();
    optimizers.sort_unstable();
    optimizers.dedup();
    let counts = format!(
        "{num_runs} runs with PyTorch's own layers, `DataLoader` and `torch.optim` ({}) at learning rates of the record: in {meet} settings the intervals of \
         the learning rate at which half of the runs grow meet.",
        list(&optimizers)
    );
    Some(conclude(
        meet.reaches(share)?,
        format!("**A framework's own loop tips where the recorded runs do.** {counts}"),
        format!("**A framework's own loop does not everywhere tip where the recorded runs do.** {counts}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(optimizer: &str, meet: bool) -> FrameworkRow {
        FrameworkRow {
            minimum: "mlp".to_owned(),
            optimizer: optimizer.to_owned(),
            sampling: "reshuffling".to_owned(),
            batch_size: 8,
            num_runs: 100,
            lower: 0.1,
            upper: 0.11,
            lower_of_record: 0.1,
            upper_of_record: 0.12,
            meet,
        }
    }

    #[test]
    fn what_is_said_follows_from_the_intervals() {
        let agree = [row("SGD", true), row("Nesterov", true), row("SGD", true)];
        let said = in_words(&agree, 0.9).unwrap();
        assert!(said.starts_with("**A framework's own loop tips where"), "{said}");
        assert!(said.contains("300 runs") && said.contains("(Nesterov and SGD)"), "{said}");
        assert!(said.contains("in 3 of 3 settings"), "{said}");
        let differ = [row("SGD", true), row("SGD", false)];
        assert!(in_words(&differ, 0.9).unwrap().starts_with("**A framework's own loop does not"));
        assert_eq!(in_words(&[], 0.9), None);
    }
}
