//! How far off each predictor is, over all settings and over those that have something in common.

use std::collections::BTreeMap;

use rand::RngExt;
use serde::Serialize;

use linstab_driver::statistics::median;
use linstab_driver::streams::StreamKey;
use linstab_driver::table::number;

use super::ID;
use super::config::Config;
use super::settings::{Scope, Setting, error};
use super::words;

/// A row of `tables/edge-test-errors.csv`: a predictor over some settings.
///
/// An error is a factor less one, either way: 1 for a prediction that is twice, or half of, what was observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ErrorRow {
    #[serde(serialize_with = "scope_name")]
    pub(super) scope: Scope,
    /// What the settings have in common, `all` for nothing.
    pub(super) by: &'static str,
    /// Its value.
    pub(super) value: String,
    pub(super) predictor: String,
    /// Its name for people.
    pub(super) title: String,
    /// Settings that it speaks of.
    pub(super) num_settings: usize,
    /// Of these, settings whose runs tell its error.
    pub(super) num_decided: usize,
    pub(super) num_minima: usize,
    #[serde(serialize_with = "number")]
    pub(super) median_error: f64,
    /// Its interval of 95 %, minima drawn anew.
    #[serde(serialize_with = "number")]
    pub(super) median_error_lower: f64,
    #[serde(serialize_with = "number")]
    pub(super) median_error_upper: f64,
    /// Predicted over observed.
    #[serde(serialize_with = "number")]
    pub(super) median_ratio: f64,
    /// Settings, of those that are decided, with an error of at most the tight and the loose tolerance.
    pub(super) num_tight: usize,
    pub(super) num_loose: usize,
    /// Settings in which the whole interval of the transition lies within the tight tolerance.
    pub(super) num_bracketed: usize,
    /// Settings in which the prediction has an interval, and of these those in which it meets that of the transition.
    pub(super) num_estimates: usize,
    pub(super) num_estimates_that_meet: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn scope_name<S: serde::Serializer>(scope: &Scope, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scope.name())
}

impl ErrorRow {
    /// The share of the decided settings with a small error; NaN for none.
    pub(super) fn share_tight(&self) -> f64 {
        self.num_tight as f64 / self.num_decided as f64
    }
}

type Value = fn(&Setting<'_>) -> String;

/// What settings can have in common.
pub(super) const DIMENSIONS: [(&str, Value); 8] = [
    (ALL, |_| String::new()),
    ("optimizer", |setting| setting.optimizer.clone()),
    ("loader", |setting| words::sampling(setting.sampling).to_owned()),
    ("batch-size", |setting| setting.batch()),
    ("loss", |setting| setting.minimum.loss.replace('_', " ")),
    ("network", |setting| setting.minimum.network.clone()),
    ("data", |setting| setting.minimum.data.clone()),
    ("seed", |setting| setting.minimum.seed.to_string()),
];

/// Nothing in common.
pub(super) const ALL: &str = "all";

/// The rows of all scopes, of what settings have in common, and of predictors.
pub(super) fn rows(config: &Config, settings: &[Setting<'_>]) -> Vec<ErrorRow> {
    let mut rows = Vec::new();
    for scope in Scope::ALL {
        let of_scope: Vec<&Setting<'_>> =
            settings.iter().filter(|setting| setting.scope() == scope).collect();
        for (by, value) in DIMENSIONS {
            let mut groups: BTreeMap<String, Vec<&Setting<'_>>> = BTreeMap::new();
            for setting in &of_scope {
                groups.entry(value(setting)).or_default().push(setting);
            }
            for (value, group) in groups {
                for predictor in predictors(&group) {
                    rows.push(row(config, (scope, by, &value), predictor, &group));
                }
            }
        }
    }
    rows
}

/// All that predict anything, in order.
pub(super) fn predictors<'a>(settings: &[&'a Setting<'_>]) -> Vec<&'a str> {
    let names = settings.iter().flat_map(|setting| &setting.predictions);
    let mut names: Vec<&str> = names.map(|prediction| prediction.predictor).collect();
    names.sort_by_key(|name| words::order(name));
    names.dedup();
    names
}

fn row(
    config: &Config,
    (scope, by, value): (Scope, &'static str, &str),
    predictor: &str,
    settings: &[&Setting<'_>],
) -> ErrorRow {
    let spoken: Vec<_> = settings
        .iter()
        .filter_map(|setting| setting.prediction(predictor).map(|prediction| (setting, prediction)))
        .collect();
    let mut by_minimum: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut ratios = Vec::new();
    for (setting, prediction) in &spoken {
        if let Some(ratio) = prediction.ratio(&setting.transition) {
            by_minimum.entry(&setting.minimum.minimum).or_default().push(error(ratio));
            ratios.push(ratio);
        }
    }
    let errors: Vec<f64> = ratios.iter().map(|&ratio| error(ratio)).collect();
    let within = |tolerance: f64| errors.iter().filter(|error| **error <= tolerance).count();
    let estimates = || spoken.iter().filter(|(_, prediction)| prediction.is_estimate());
    let clusters: Vec<Vec<f64>> = by_minimum.into_values().collect();
    let key = StreamKey::new(config.seed, ID).text(scope.name()).text(by).text(value).text(predictor);
    let (low, high) = interval_of_median(&clusters, config.bootstrap.num_resamples, key);
    let tight = config.judgement.tight;
    ErrorRow {
        scope,
        by,
        value: value.to_owned(),
        predictor: predictor.to_owned(),
        title: words::predictor(predictor),
        num_settings: spoken.len(),
        num_decided: errors.len(),
        num_minima: clusters.len(),
        median_error: median(&errors),
        median_error_lower: low,
        median_error_upper: high,
        median_ratio: median(&ratios),
        num_tight: within(tight),
        num_loose: within(config.judgement.loose),
        num_bracketed: spoken
            .iter()
            .filter(|(setting, prediction)| prediction.brackets(&setting.transition, tight))
            .count(),
        num_estimates: estimates().count(),
        num_estimates_that_meet: estimates()
            .filter(|(setting, prediction)| prediction.meets(&setting.transition))
            .count(),
    }
}

/// The interval of 95 % of a median: settings of one minimum are alike, so minima are drawn, with replacement, each with all of its own.
fn interval_of_median(clusters: &[Vec<f64>], num_resamples: usize, key: StreamKey) -> (f64, f64) {
    let mut generator = key.generator();
    let mut drawn = Vec::new();
    let mut medians: Vec<f64> = (0..num_resamples)
        .map(|_| {
            drawn.clear();
            for _ in clusters {
                drawn.extend_from_slice(&clusters[generator.random_range(0..clusters.len())]);
            }
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    // Of 1000, the 26th and the 975th.
    let tail = num_resamples / 40;
    match (medians.get(tail), medians.get(num_resamples - 1 - tail)) {
        (Some(&low), Some(&high)) if !clusters.is_empty() => (low, high),
        _ => (f64::NAN, f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 15 clusters of one value each, the median lies between the 4th and the 12th with 96.5 % (binomial), and between the 5th and the
    /// 11th with 88.2 %.
    #[test]
    fn the_interval_of_a_median_is_that_of_its_order_statistics() {
        let clusters: Vec<Vec<f64>> = (1..=15).map(|value| vec![f64::from(value)]).collect();
        let interval = interval_of_median(&clusters, 4000, StreamKey::new(1, "median"));
        assert_eq!(interval, (4.0, 12.0));
        // Each value five times in its cluster says no more than once; taken for independent, it would.
        let repeated: Vec<Vec<f64>> = clusters.iter().map(|cluster| cluster.repeat(5)).collect();
        assert_eq!(interval_of_median(&repeated, 4000, StreamKey::new(1, "median")), interval);
        let alone: Vec<Vec<f64>> = repeated.concat().into_iter().map(|value| vec![value]).collect();
        let (low, high) = interval_of_median(&alone, 4000, StreamKey::new(1, "median"));
        assert!(low > 4.0 && high < 12.0, "{low} to {high}");
        let (low, high) = interval_of_median(&[], 100, StreamKey::new(1, "median"));
        assert!(low.is_nan() && high.is_nan());
    }
}
