//! The tables of settings, predictions and runs.

use serde::Serialize;

use linstab_driver::table::number;

use super::settings::{Prediction, Setting};
use super::transition::Trial;
use super::words::{ALMOST_SURE, EXACT, GRADIENT_DESCENT};

/// A row of `tables/edge-test.csv`: a setting, where its runs begin to grow, and the exact threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SettingRow {
    minimum: String,
    network: String,
    data: String,
    loss: String,
    seed: u64,
    scope: &'static str,
    optimizer: String,
    specification: String,
    sampling: String,
    batch_size: usize,
    num_samples: usize,
    num_parameters: usize,
    num_runs: usize,
    num_grown: usize,
    /// NaN if it lies beyond the learning rates that were tried.
    #[serde(serialize_with = "number")]
    transition: f64,
    #[serde(serialize_with = "number")]
    transition_lower: f64,
    #[serde(serialize_with = "number")]
    transition_upper: f64,
    #[serde(serialize_with = "number")]
    mean_square: f64,
    #[serde(serialize_with = "number")]
    mean_square_lower: f64,
    #[serde(serialize_with = "number")]
    mean_square_upper: f64,
}

impl SettingRow {
    pub(super) fn of(setting: &Setting<'_>) -> Self {
        let exact = |value: fn(&Prediction<'_>) -> f64| setting.prediction(EXACT).map_or(f64::NAN, value);
        let minimum = setting.minimum;
        Self {
            minimum: minimum.minimum.clone(),
            network: minimum.network.clone(),
            data: minimum.data.clone(),
            loss: minimum.loss.clone(),
            seed: minimum.seed,
            scope: setting.scope().name(),
            optimizer: setting.optimizer.clone(),
            specification: setting.specification.to_owned(),
            sampling: setting.sampling.to_owned(),
            batch_size: setting.batch_size,
            num_samples: minimum.num_samples,
            num_parameters: minimum.num_parameters,
            num_runs: setting.num_runs(),
            num_grown: setting.trials.iter().map(|trial| trial.num_grown).sum(),
            transition: setting.transition.value.unwrap_or(f64::NAN),
            transition_lower: setting.transition.lower,
            transition_upper: setting.transition.upper,
            mean_square: exact(|prediction| prediction.learning_rate),
            mean_square_lower: exact(|prediction| prediction.lower),
            mean_square_upper: exact(|prediction| prediction.upper),
        }
    }
}

/// A row of `tables/edge-test-predictions.csv`: what a predictor says of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct PredictionRow {
    minimum: String,
    scope: &'static str,
    optimizer: String,
    sampling: String,
    batch_size: usize,
    predictor: String,
    #[serde(serialize_with = "number")]
    learning_rate: f64,
    #[serde(serialize_with = "number")]
    lower: f64,
    #[serde(serialize_with = "number")]
    upper: f64,
    #[serde(serialize_with = "number")]
    transition: f64,
    /// Predicted over observed; NaN if the transition lies beyond the learning rates that were tried, and so may the prediction.
    #[serde(serialize_with = "number")]
    ratio: f64,
}

impl PredictionRow {
    pub(super) fn all(settings: &[Setting<'_>]) -> Vec<Self> {
        let of = |setting: &Setting<'_>| -> Vec<Self> {
            let row = |prediction: &Prediction<'_>| Self {
                minimum: setting.minimum.minimum.clone(),
                scope: setting.scope().name(),
                optimizer: setting.optimizer.clone(),
                sampling: setting.sampling.to_owned(),
                batch_size: setting.batch_size,
                predictor: prediction.predictor.to_owned(),
                learning_rate: prediction.learning_rate,
                lower: prediction.lower,
                upper: prediction.upper,
                transition: setting.transition.value.unwrap_or(f64::NAN),
                ratio: prediction.ratio(&setting.transition).unwrap_or(f64::NAN),
            };
            setting.predictions.iter().map(row).collect()
        };
        settings.iter().flat_map(of).collect()
    }
}

/// A row of `tables/edge-test-runs.csv`: the runs of a setting at one learning rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RunsRow {
    minimum: String,
    scope: &'static str,
    optimizer: String,
    sampling: String,
    batch_size: usize,
    #[serde(serialize_with = "number")]
    learning_rate: f64,
    #[serde(serialize_with = "number")]
    over_mean_square: f64,
    #[serde(serialize_with = "number")]
    over_almost_sure: f64,
    #[serde(serialize_with = "number")]
    over_gradient_descent_limit: f64,
    num_runs: usize,
    num_grown: usize,
}

impl RunsRow {
    pub(super) fn all(settings: &[Setting<'_>]) -> Vec<Self> {
        let of = |setting: &Setting<'_>| -> Vec<Self> {
            let over = |trial: &Trial, predictor: &str| {
                let prediction = setting.prediction(predictor);
                prediction.map_or(f64::NAN, |prediction| trial.learning_rate / prediction.learning_rate)
            };
            let row = |trial: &Trial| Self {
                minimum: setting.minimum.minimum.clone(),
                scope: setting.scope().name(),
                optimizer: setting.optimizer.clone(),
                sampling: setting.sampling.to_owned(),
                batch_size: setting.batch_size,
                learning_rate: trial.learning_rate,
                over_mean_square: over(trial, EXACT),
                over_almost_sure: over(trial, ALMOST_SURE),
                over_gradient_descent_limit: over(trial, GRADIENT_DESCENT),
                num_runs: trial.num_runs,
                num_grown: trial.num_grown,
            };
            setting.trials.iter().map(row).collect()
        };
        settings.iter().flat_map(of).collect()
    }
}
