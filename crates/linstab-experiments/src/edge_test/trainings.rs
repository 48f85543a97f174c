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
    let without = if step.training.ends_with(WITHOUT) { ", without culprits" } else { "" };
    format!("{optimizer}, B = {}, {}{without}", step.batch_size, words::sampling(&step.sampling))
}

impl Training<'_> {
    /// Steps with a threshold: step and learning rate in units of it.
    pub(super) fn over(&self, threshold: fn(&TrainingStep) -> Option<f64>) -> Vec<(f64, f64)> {
        let at = |step: &&TrainingStep| Some((step.step as f64, step.learning_rate / threshold(step)?));
        self.steps.iter().filter_map(at).collect()
    }

    /// The median of the learning rate in units of a threshold over the last half of its steps.
    pub(super) fn late_ratio(&self, threshold: fn(&TrainingStep) -> Option<f64>) -> Option<f64> {
        let ratios = self.over(threshold);
        let late: Vec<f64> = ratios[ratios.len() / 2..].iter().map(|point| point.1).collect();
        (!late.is_empty()).then(|| median(&late))
    }

    /// Whether the learning rate is the same at all steps.
    pub(super) fn has_one_learning_rate(&self) -> bool {
        self.steps.windows(2).all(|pair| pair[0].learning_rate.to_bits() == pair[1].learning_rate.to_bits())
    }

    /// Whether it rides the threshold in the end; none without thresholds.
    pub(super) fn rides(&self) -> Option<bool> {
        self.late_ratio(|step| step.mean_square).map(|ratio| error(ratio) <= RIDES)
    }
}

/// What the losses of trainings say of their thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Events {
    /// Trainings whose learning rate passes the exact threshold, and of these those whose loss falls up to that checkpoint and rises from it.
    pub(super) onsets: Count,
    /// Spikes of the loss, and of these those with a learning rate above the exact threshold at the checkpoint before.
    pub(super) spikes: Count,
    /// The same for checkpoints that no spike follows.
    pub(super) calm: Count,
    /// Trainings that were repeated without the responsible samples, and of these those whose loss then rises later.
    pub(super) delays: Count,
}

impl Events {
    pub(super) fn of(trainings: &[Training<'_>]) -> Self {
        let mut events = Self::default();
        for training in trainings {
            training.onset().into_iter().for_each(|right| events.onsets.add(right));
            for pair in training.steps.windows(2) {
                let Some(threshold) = pair[0].mean_square else { continue };
                let count = if pair[1].event == SPIKE { &mut events.spikes } else { &mut events.calm };
                count.add(pair[0].learning_rate > threshold);
            }
            let Some(whole) = training.whole(trainings) else { continue };
            let from = training.steps[0].step;
            if let Some(with) = whole.first_rise(from) {
                events.delays.add(training.first_rise(from).is_none_or(|without| without > with));
            }
        }
        events
    }

    /// Whether every loss begins to rise where its learning rate passes the threshold.
    pub(super) fn onsets_are_predicted(self) -> Option<bool> {
        self.onsets.reaches(1.0)
    }

    /// Whether the threshold tells checkpoints before a spike from others: they are so much more often below the learning rate.
    pub(super) fn spikes_are_predicted(self) -> Option<bool> {
        Some(self.spikes.share()? - self.calm.share()? >= TELLING)
    }

    /// Whether every loss rises later where the responsible samples were removed.
    pub(super) fn removal_delays(self) -> Option<bool> {
        self.delays.reaches(1.0)
    }
}

impl<'a> Training<'a> {
    /// The same training with all samples, if this is one from which some were removed.
    fn whole<'b>(&self, trainings: &'b [Training<'a>]) -> Option<&'b Training<'a>> {
        let name = self.name.strip_suffix(WITHOUT)?;
        trainings.iter().find(|training| training.name == name)
    }

    /// Whether the loss falls up to the first checkpoint with a learning rate above its exact threshold, and rises from it; none if there is
    /// no such checkpoint between others.
    fn onset(&self) -> Option<bool> {
        let is_above =
            |step: &&TrainingStep| step.mean_square.is_some_and(|threshold| step.learning_rate > threshold);
        let at = self.steps.iter().position(is_above)?;
        let [before, here, after] = self.steps.get(at.checked_sub(1)?..at + 2)? else { return None };
        Some(here.loss <= before.loss && after.loss > here.loss)
    }

    /// The learning rate with which the loss first rises, from a step on.
    fn first_rise(&self, from: u64) -> Option<f64> {
        let rises = |pair: &&[&TrainingStep]| pair[0].step >= from && pair[1].loss > pair[0].loss;
        self.steps.windows(2).find(rises).map(|pair| pair[0].learning_rate)
    }
}

/// The event of a loss that jumps.
pub(super) const SPIKE: &str = "spike";
/// All events: none, a jump, and the removal of the responsible samples.
pub(super) const EVENTS: [&str; 3] = ["", SPIKE, "removed"];
/// What ends the name of a training that goes on without the responsible samples.
const WITHOUT: &str = ".removed";

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

    fn step(training: &str, step: u64, (loss, learning_rate): (f64, f64), event: &str) -> TrainingStep {
        TrainingStep {
            training: training.to_owned(),
            optimizer: "sgd".to_owned(),
            sampling: "reshuffling".to_owned(),
            batch_size: 8,
            step,
            loss,
            learning_rate,
            mean_square: Some(0.2),
            gradient_descent_limit: None,
            event: event.to_owned(),
        }
    }

    /// A learning rate that passes the threshold at the third checkpoint, from which the loss rises and then jumps; without culprits it does
    /// so a checkpoint later.
    fn ramp() -> Vec<TrainingStep> {
        vec![
            step("ramp", 0, (1.0, 0.1), ""),
            step("ramp", 1, (0.1, 0.15), ""),
            step("ramp", 2, (0.01, 0.21), ""),
            step("ramp", 3, (0.02, 0.3), ""),
            step("ramp", 4, (9.0, 0.4), SPIKE),
            step("ramp.removed", 2, (0.01, 0.21), "removed"),
            step("ramp.removed", 3, (0.001, 0.3), ""),
            step("ramp.removed", 4, (0.9, 0.4), SPIKE),
        ]
    }

    #[test]
    fn events_are_judged_by_the_checkpoint_before() {
        let count = |num_right, num| Count { num_right, num };
        let mut steps = ramp();
        let events = Events::of(&trainings(&steps));
        assert_eq!((events.onsets, events.spikes), (count(1, 1), count(2, 2)));
        assert_eq!((events.calm, events.delays), (count(2, 4), count(1, 1)));
        let said = |events: Events| {
            [events.onsets_are_predicted(), events.spikes_are_predicted(), events.removal_delays()]
        };
        assert_eq!(said(events), [Some(true); 3]);
        // Contradicting numbers: a loss that rises before, a spike from below the threshold, and a rise as early as with all samples.
        steps[2].loss = 2.0;
        steps[3].mean_square = Some(0.5);
        steps[6].loss = 1.0;
        assert_eq!(said(Events::of(&trainings(&steps))), [Some(false); 3]);
        assert_eq!(said(Events::default()), [None; 3], "nothing to count");
    }

    #[test]
    fn a_training_rides_what_its_learning_rate_is_close_to() {
        let rates = [0.02, 0.05, 0.18, 0.2, 0.22];
        let steps: Vec<TrainingStep> =
            rates.iter().zip(0..).map(|(rate, at)| step("one", at, (1.0, *rate), "")).collect();
        let training = &trainings(&steps)[0];
        assert_eq!((training.rides(), training.title.as_str()), (Some(true), "SGD, B = 8, reshuffled"));
        assert_eq!(
            trainings(&steps[..3])[0].rides(),
            Some(false),
            "0.05 and 0.18 are far from 0.2 in the median"
        );
        assert!(trainings(&ramp())[1].title.ends_with("reshuffled, without culprits"));
    }
}
