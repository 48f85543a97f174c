//! The question the other way round: the smallest batch size that is stable at a learning rate.
//!
//! Batch sizes of one minimum, optimizer and loader make a group. A learning rate that was run at any of them is asked about if it is above
//! the transition of the smallest batch and below that of the largest: only there does the answer depend on the prediction.

use std::collections::BTreeMap;

use serde::Serialize;

use super::errors::predictors;
use super::settings::{Scope, Setting};

/// A row of `tables/edge-test-batches.csv`: what a predictor says about smallest stable batch sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct BatchRow {
    pub(super) scope: &'static str,
    pub(super) predictor: String,
    pub(super) num_groups: usize,
    /// Learning rates at which the runs tell the smallest stable batch size, of those that were tried.
    pub(super) num_asked: usize,
    pub(super) num_right: usize,
    /// It asks for a larger batch than is needed.
    pub(super) num_too_large: usize,
    /// The batch that it names is unstable.
    pub(super) num_too_small: usize,
}

/// The rows of all scopes and predictors that have an answer.
pub(super) fn rows(settings: &[Setting<'_>]) -> Vec<BatchRow> {
    let mut rows = Vec::new();
    for scope in Scope::ALL {
        let of_scope: Vec<&Setting<'_>> =
            settings.iter().filter(|setting| setting.scope() == scope).collect();
        let mut groups: BTreeMap<_, Vec<&Setting<'_>>> = BTreeMap::new();
        for &setting in &of_scope {
            let key = (&setting.minimum.minimum, setting.specification, setting.is_live, setting.sampling);
            groups.entry(key).or_default().push(setting);
        }
        for group in groups.values_mut() {
            group.sort_by_key(|setting| setting.batch_size);
        }
        for predictor in predictors(&of_scope) {
            let mut row = BatchRow {
                scope: scope.name(),
                predictor: predictor.to_owned(),
                num_groups: 0,
                num_asked: 0,
                num_right: 0,
                num_too_large: 0,
                num_too_small: 0,
            };
            for group in groups.values() {
                row.add(group);
            }
            if row.num_asked > 0 {
                rows.push(row);
            }
        }
    }
    rows
}

impl BatchRow {
    /// Asks about all learning rates of a group, whose settings ascend in batch size.
    fn add(&mut self, group: &[&Setting<'_>]) {
        if group.iter().any(|setting| setting.prediction(&self.predictor).is_none()) {
            return;
        }
        let mut rates: Vec<f64> =
            group.iter().flat_map(|setting| &setting.trials).map(|trial| trial.learning_rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let before = self.num_asked;
        for rate in rates {
            let Some(observed) = smallest_stable(group, rate) else { continue };
            let says = |setting: &&&Setting<'_>| {
                setting.prediction(&self.predictor).is_some_and(|prediction| prediction.learning_rate > rate)
            };
            let predicted = group.iter().find(says).map_or(usize::MAX, |setting| setting.batch_size);
            self.num_asked += 1;
            self.num_right += usize::from(predicted == observed);
            self.num_too_large += usize::from(predicted > observed);
            self.num_too_small += usize::from(predicted < observed);
        }
        self.num_groups += usize::from(self.num_asked > before);
    }
}

/// The smallest batch size that is stable by the runs, if it is not the smallest of all and if they tell.
fn smallest_stable(group: &[&Setting<'_>], rate: f64) -> Option<usize> {
    // The end of an interval is a learning rate that was tried, up to a millionth.
    const ROUNDING: f64 = 1e-5;
    let is_stable = |setting: &Setting<'_>| rate <= setting.transition.lower * (1.0 + ROUNDING);
    let is_unstable = |setting: &Setting<'_>| rate >= setting.transition.upper * (1.0 - ROUNDING);
    let place = group.iter().position(|setting| !is_unstable(setting))?;
    (place > 0 && is_stable(group[place])).then(|| group[place].batch_size)
}
