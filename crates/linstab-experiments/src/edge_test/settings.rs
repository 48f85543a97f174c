//! What was run: settings, each with its transition, and what every predictor says of it.

use std::collections::BTreeMap;

use linstab_dynamics::Optimizer;

use super::records::{Key, Minimum, Records, Restarts, Threshold};
use super::transition::{Transition, Trial};
use super::words;

/// A minimum, an optimizer, a loader and a batch size, with the runs of all learning rates.
#[derive(Clone, Debug)]
pub(super) struct Setting<'a> {
    pub(super) minimum: &'a Minimum,
    pub(super) specification: &'a str,
    pub(super) optimizer: String,
    pub(super) is_live: bool,
    pub(super) sampling: &'a str,
    pub(super) batch_size: usize,
    /// Ascending.
    pub(super) trials: Vec<Trial>,
    pub(super) transition: Transition,
    pub(super) predictions: Vec<Prediction<'a>>,
}

/// What a predictor says of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction<'a> {
    pub(super) predictor: &'a str,
    pub(super) learning_rate: f64,
    /// Its interval; both are the learning rate if it is exact.
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// What a setting can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The minimum interpolates and the optimizer is the analysed one: the theory is about this.
    Interpolating,
    /// The second moment goes on, where the analysis freezes it.
    Live,
    /// The loss is not at its end: Gauss-Newton curvature, the gradient noise that remains and the drift are approximations.
    FiniteLoss,
}

impl Scope {
    pub(super) const ALL: [Self; 3] = [Self::Interpolating, Self::Live, Self::FiniteLoss];

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interpolating => "interpolating",
            Self::Live => "live-second-moment",
            Self::FiniteLoss => "finite-loss",
        }
    }
}

impl Setting<'_> {
    pub(super) fn scope(&self) -> Scope {
        if !self.minimum.is_interpolating() {
            Scope::FiniteLoss
        } else if self.is_live {
            Scope::Live
        } else {
            Scope::Interpolating
        }
    }

    /// Whether it is of this key, with its second moment live or not.
    pub(super) fn is_of(&self, key: &Key, is_live: bool) -> bool {
        let own =
            (&self.minimum.minimum[..], self.specification, self.sampling, self.batch_size, self.is_live);
        own == (&key.minimum[..], &key.optimizer[..], &key.sampling[..], key.batch_size, is_live)
    }

    pub(super) fn prediction(&self, predictor: &str) -> Option<&Prediction<'_>> {
        self.predictions.iter().find(|prediction| prediction.predictor == predictor)
    }

    /// What it predicts over what was observed; see [`Prediction::ratio`].
    pub(super) fn ratio(&self, predictor: &str) -> Option<f64> {
        self.prediction(predictor)?.ratio(&self.transition)
    }

    /// The batch size for people: that of all samples is a case of its own.
    pub(super) fn batch(&self) -> String {
        if self.batch_size >= self.minimum.num_samples {
            "all".to_owned()
        } else {
            self.batch_size.to_string()
        }
    }

    pub(super) fn num_runs(&self) -> usize {
        self.trials.iter().map(|trial| trial.num_runs).sum()
    }
}

impl Prediction<'_> {
    /// What is predicted over the transition. Where that lies beyond the learning rates that were tried, over the last of them if the
    /// prediction lies on this side: the error is at least that. None if nothing is known.
    pub(super) fn ratio(&self, transition: &Transition) -> Option<f64> {
        let Transition { value, lower, upper } = *transition;
        let nearest = if self.learning_rate < lower {
            Some(lower)
        } else if self.learning_rate > upper {
            Some(upper)
        } else {
            None
        };
        value.or(nearest).map(|observed| self.learning_rate / observed)
    }

    /// Whether the interval of the prediction and that of the transition meet.
    pub(super) fn meets(&self, transition: &Transition) -> bool {
        self.lower <= transition.upper && self.upper >= transition.lower
    }

    /// Whether the whole interval of the transition lies so close to the prediction.
    pub(super) fn brackets(&self, transition: &Transition, tolerance: f64) -> bool {
        // Ends of intervals are rounded to a millionth.
        let near = |end: f64| (end / self.learning_rate - 1.0).abs() <= tolerance + 1e-5;
        near(transition.lower) && near(transition.upper)
    }

    /// Whether it is an interval.
    pub(super) fn is_estimate(&self) -> bool {
        self.upper > self.lower * (1.0 + 1e-9)
    }
}

/// How far off a ratio of a prediction to the truth is, either way: 1 for a factor of two.
pub(super) fn error(ratio: f64) -> f64 {
    ratio.max(1.0 / ratio) - 1.0
}

/// The settings, in the order of their keys.
pub(super) fn settings(records: &Records) -> Vec<Setting<'_>> {
    let mut thresholds: BTreeMap<Key, Vec<&Threshold>> = BTreeMap::new();
    for row in &records.thresholds {
        thresholds.entry(row.key()).or_default().push(row);
    }
    let mut groups: BTreeMap<(Key, bool), Vec<&Restarts>> = BTreeMap::new();
    for row in &records.restarts {
        groups.entry((row.key(), row.is_live())).or_default().push(row);
    }
    groups.iter().filter_map(|((key, _), rows)| setting(records, rows, thresholds.get(key))).collect()
}

/// Of the runs of one setting; records are checked, so that there is a minimum and an optimizer.
fn setting<'a>(
    records: &'a Records,
    rows: &[&'a Restarts],
    thresholds: Option<&Vec<&'a Threshold>>,
) -> Option<Setting<'a>> {
    let first = *rows.first()?;
    let optimizer = first.optimizer.parse::<Optimizer>().ok()?;
    let mut trials: Vec<Trial> = rows.iter().map(|row| row.trial()).collect();
    trials.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
    let mut predictions: Vec<Prediction<'_>> =
        thresholds.into_iter().flatten().filter_map(|row| prediction(row)).collect();
    predictions.sort_by_key(|prediction| words::order(prediction.predictor));
    Some(Setting {
        minimum: records.minima.iter().find(|minimum| minimum.minimum == first.minimum)?,
        specification: &first.optimizer,
        optimizer: words::optimizer(optimizer, first.is_live()),
        is_live: first.is_live(),
        sampling: &first.sampling,
        batch_size: first.batch_size,
        transition: Transition::of(&trials),
        trials,
        predictions,
    })
}

fn prediction(row: &Threshold) -> Option<Prediction<'_>> {
    let learning_rate = row.learning_rate?;
    let (lower, upper) = (row.lower.unwrap_or(learning_rate), row.upper.unwrap_or(learning_rate));
    Some(Prediction { predictor: &row.predictor, learning_rate, lower, upper })
}

/// "24000 runs in 170 settings of 24 minima".
pub(super) fn runs(settings: &[&Setting<'_>]) -> String {
    let num_runs: usize = settings.iter().map(|setting| setting.num_runs()).sum();
    let mut minima: Vec<&str> = settings.iter().map(|setting| setting.minimum.minimum.as_str()).collect();
    minima.sort_unstable();
    minima.dedup();
    format!("{num_runs} runs in {} settings at {} minima", settings.len(), minima.len())
}
