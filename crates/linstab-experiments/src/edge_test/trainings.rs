//! Ordinary trainings, from their start: does the learning rate come to ride the threshold of its optimizer and loader?

use serde::Serialize;

use linstab_driver::statistics::median;
use linstab_driver::table::number;
use linstab_dynamics::Optimizer;

use super::records::TrainingStep;
use super::settings::error;
use super::words;

/// A training, step by step.
#[derive(Clone, Debug)]
pub(super) struct Training<'a> {
    pub(super) name: &'a str,
    /// Optimizer, loader and batch size for people.
    pub(super) title: String,
    pub(super) steps: Vec<&'a TrainingStep>,
}

/// A row of `tables/edge-test-trainings.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TrainingRow {
    pub(super) training: String,
    pub(super) optimizer: String,
    pub(super) sampling: String,
    pub(super) batch_size: usize,
    pub(super) step: u64,
    #[serde(serialize_with = "number")]
    pub(super) loss: f64,
    #[serde(serialize_with = "number")]
    pub(super) learning_rate: f64,
    #[serde(serialize_with = "number")]
    pub(super) over_mean_square: f64,
    #[serde(serialize_with = "number")]
    pub(super) over_gradient_descent_limit: f64,
    pub(super) event: String,
}

/// The trainings of the records, in their order.
pub(super) fn trainings(steps: &[TrainingStep]) -> Vec<Training<'_>> {
    let mut trainings: Vec<Training<'_>> = Vec::new();
    for step in steps {
        if let Some(training) = trainings.iter_mut().find(|training| training.name == step.training) {
            training.steps.push(step);
        } else {
            trainings.push(Training { name: &step.training, title: title(step), steps: vec![step] });
        }
    }
    trainings
}

fn title(step: &TrainingStep) -> String {
    let optimizer = step.optimizer.parse::<Optimizer>();
    let optimizer = optimizer.map_or_else(|_| step.optimizer.clone(), |known| words::optimizer(known, true));
    format!("{optimizer}, B = {}, {}", step.batch_size, words::sampling(&step.sampling))
}

impl Training<'_> {
    /// Steps with a threshold: step and learning rate in units of it.
    pub(super) fn over(&self, threshold: fn(&TrainingStep) -> Option<f64>) -> Vec<(f64, f64)> {
        let at = |step: &&TrainingStep| Some((step.step as f64, step.learning_rate / threshold(step)?));
        self.steps.iter().filter_map(at).collect()
    }

    /// The median of the learning rate in units of the exact threshold over the last half of its steps.
    pub(super) fn late_ratio(&self) -> Option<f64> {
        let ratios = self.over(|step| step.mean_square);
        let late: Vec<f64> = ratios[ratios.len() / 2..].iter().map(|point| point.1).collect();
        (!late.is_empty()).then(|| median(&late))
    }

    /// Whether it rides the threshold in the end; none without thresholds.
    pub(super) fn rides(&self) -> Option<bool> {
        self.late_ratio().map(|ratio| error(ratio) <= RIDES)
    }
}

/// A training rides a threshold if its learning rate is so close to it, a factor less one, over the last half of its steps: what an
/// oscillation around the edge leaves of it.
pub(super) const RIDES: f64 = 0.2;

pub(super) fn rows(trainings: &[Training<'_>]) -> Vec<TrainingRow> {
    let of = |training: &Training<'_>| -> Vec<TrainingRow> {
        let row = |step: &&TrainingStep| {
            let over = |threshold: Option<f64>| {
                threshold.map_or(f64::NAN, |threshold| step.learning_rate / threshold)
            };
            TrainingRow {
                training: step.training.clone(),
                optimizer: step.optimizer.clone(),
                sampling: step.sampling.clone(),
                batch_size: step.batch_size,
                step: step.step,
                loss: step.loss,
                learning_rate: step.learning_rate,
                over_mean_square: over(step.mean_square),
                over_gradient_descent_limit: over(step.gradient_descent_limit),
                event: step.event.clone(),
            }
        };
        training.steps.iter().map(row).collect()
    };
    trainings.iter().flat_map(of).collect()
}
