//! Ordinary trainings, from their start: does the learning rate come to ride the threshold of its optimizer and loader?

use serde::Serialize;

use linstab_driver::statistics::median;
use linstab_driver::table::number;
use linstab_dynamics::Optimizer;

use super::count::Count;
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

/// What events of trainings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Events {
    /// Spikes of the loss, and of these those with a learning rate above the exact threshold at the checkpoint before.
    pub(super) spikes: Count,
    /// The same for checkpoints that no spike follows.
    pub(super) calm: Count,
    /// Trainings from which the responsible samples were removed, and of these those without a spike from then on.
    pub(super) removals: Count,
}

impl Events {
    pub(super) fn of(trainings: &[Training<'_>]) -> Self {
        let mut events = Self::default();
        for training in trainings {
            let mut before: Option<bool> = None;
            for step in &training.steps {
                if step.event == SPIKE {
                    before.take().into_iter().for_each(|above| events.spikes.add(above));
                }
                if let Some(threshold) = step.mean_square {
                    if let Some(above) = before.replace(step.learning_rate > threshold) {
                        events.calm.add(above);
                    }
                }
            }
            if let Some(removal) = training.steps.iter().position(|step| step.event == REMOVED) {
                events.removals.add(training.steps[removal..].iter().all(|step| step.event != SPIKE));
            }
        }
        events
    }

    /// Whether the threshold tells checkpoints before a spike from others: they are so much more often below the learning rate.
    pub(super) fn spikes_are_predicted(self) -> Option<bool> {
        Some(self.spikes.share()? - self.calm.share()? >= TELLING)
    }

    /// Whether no spike is left where the responsible samples were removed.
    pub(super) fn removal_helps(self) -> Option<bool> {
        self.removals.reaches(1.0)
    }
}

/// The event of a loss that jumps.
pub(super) const SPIKE: &str = "spike";
/// The event of samples that are removed.
const REMOVED: &str = "removed";

/// A difference of shares that tells one kind of checkpoint from another.
const TELLING: f64 = 0.5;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, threshold: Option<f64>, event: &str) -> TrainingStep {
        TrainingStep {
            training: "one".to_owned(),
            optimizer: "sgd".to_owned(),
            sampling: "reshuffling".to_owned(),
            batch_size: 8,
            step,
            loss: 1.0,
            learning_rate: 0.1,
            mean_square: threshold,
            gradient_descent_limit: None,
            event: event.to_owned(),
        }
    }

    /// Three checkpoints below the threshold, one above and then a spike; after a removal none.
    #[test]
    fn events_are_counted_by_the_checkpoint_before() {
        let mut steps = vec![
            step(0, Some(1.0), ""),
            step(1, Some(0.5), ""),
            step(2, Some(0.2), ""),
            step(3, Some(0.09), ""),
            step(4, None, SPIKE),
            step(5, Some(0.2), REMOVED),
            step(6, Some(0.2), ""),
        ];
        let events = Events::of(&trainings(&steps));
        assert_eq!(
            (events.spikes, events.calm),
            (Count { num_right: 1, num: 1 }, Count { num_right: 0, num: 4 })
        );
        assert_eq!((events.spikes_are_predicted(), events.removal_helps()), (Some(true), Some(true)));
        // Contradicting numbers: a spike from below the threshold, and one after the removal.
        steps[3].mean_square = Some(0.11);
        steps.push(step(7, None, SPIKE));
        let events = Events::of(&trainings(&steps));
        assert_eq!((events.spikes_are_predicted(), events.removal_helps()), (Some(false), Some(false)));
        assert_eq!(Events::default().spikes_are_predicted(), None, "nothing to count");
    }

    #[test]
    fn a_training_rides_what_its_learning_rate_is_close_to() {
        let steps: Vec<TrainingStep> =
            [1.0, 0.5, 0.11, 0.1, 0.09].iter().zip(0..).map(|(t, at)| step(at, Some(*t), "")).collect();
        let training = &trainings(&steps)[0];
        assert_eq!((training.rides(), training.title.as_str()), (Some(true), "SGD, B = 8, reshuffled"));
        assert_eq!(
            trainings(&steps[..3])[0].rides(),
            Some(false),
            "0.5 and 0.11 are far from 0.1 in the median"
        );
    }
}
