//! What is said of ordinary trainings.

use super::super::count::{Count, tolerance};
use super::super::trainings::{Events, RIDES, Training};
use linstab_report::conclusion::conclude;
use linstab_report::text::list;

/// Trainings at one learning rate; where it is raised, it cannot be ridden.
pub(super) fn trainings_in_words(trainings: &[Training<'_>]) -> Option<String> {
    let ordinary = || trainings.iter().filter(|training| training.has_one_learning_rate());
    let rides = Count::of(ordinary().filter_map(Training::rides));
    let shown = |training: &Training<'_>| {
        let [exact, gradient_descent] = [
            training.late_ratio(|step| step.mean_square)?,
            training.late_ratio(|step| step.gradient_descent_limit)?,
        ];
        Some(format!("{exact:.2} and {gradient_descent:.2} ({})", training.title))
    };
    let ratios: Vec<String> = ordinary().filter_map(shown).collect();
    let counts = format!(
        "{rides} trainings at one learning rate end within {} of it. Over the last half of its steps the learning rate is, in units of η* and of 2/λmax, {}.",
        tolerance(RIDES),
        list(&ratios)
    );
    Some(conclude(
        rides.reaches(1.0)?,
        format!("**Ordinary training rides its exact threshold.** {counts}"),
        format!("**Not every ordinary training rides its exact threshold.** {counts}"),
    ))
}

pub(super) fn spikes_in_words(events: Events) -> Option<String> {
    let predicted = events.spikes_are_predicted()?;
    let counts = format!(
        "The learning rate was above the exact threshold at the checkpoint before in {} spikes of the loss, and at {} checkpoints that no spike follows.",
        events.spikes, events.calm
    );
    Some(conclude(
        predicted,
        format!("**A spike is told from the checkpoint before it.** {counts}"),
        format!("**A spike is not told from the checkpoint before it.** {counts}"),
    ))
}

pub(super) fn onsets_in_words(events: Events) -> Option<String> {
    let predicted = events.onsets_are_predicted()?;
    let counts = format!(
        "In {} trainings whose learning rate comes to pass the threshold the loss falls up to that checkpoint and rises from it.",
        events.onsets
    );
    Some(conclude(
        predicted,
        format!("**A loss begins to rise where the learning rate passes the exact threshold.** {counts}"),
        format!(
            "**A loss does not always begin to rise where the learning rate passes the exact threshold.** {counts}"
        ),
    ))
}

pub(super) fn removals_in_words(events: Events) -> Option<String> {
    let delays = events.removal_delays()?;
    let counts = format!(
        "Repeated without the samples that set the threshold, {} trainings stand a larger learning rate before the loss rises.",
        events.delays
    );
    Some(conclude(
        delays,
        format!("**Without the responsible samples it rises later.** {counts}"),
        format!("**Without the responsible samples it does not always rise later.** {counts}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::records::TrainingStep;
    use super::super::super::trainings::trainings;
    use super::*;

    /// Four steps at one learning rate, with these thresholds.
    fn steps(name: &str, thresholds: [f64; 4]) -> Vec<TrainingStep> {
        let step = |(threshold, step)| TrainingStep {
            training: name.to_owned(),
            optimizer: "sgd".to_owned(),
            sampling: "independent".to_owned(),
            batch_size: 4,
            step,
            loss: 1.0,
            learning_rate: 0.1,
            mean_square: Some(threshold),
            gradient_descent_limit: Some(2.0 * threshold),
            event: String::new(),
        };
        thresholds.into_iter().zip(0..).map(step).collect()
    }

    #[test]
    fn riding_is_said_of_all_or_not() {
        let rides = steps("one", [1.0, 0.5, 0.1, 0.1]);
        let said = trainings_in_words(&trainings(&rides)).unwrap();
        assert!(
            said.starts_with("**Ordinary training rides")
                && said.contains("1.00 and 0.50 (SGD, B = 4, drawn afresh)"),
            "{said}"
        );
        let stays_below = steps("two", [1.0, 0.5, 0.2, 0.2]);
        let said = trainings_in_words(&trainings(&[rides, stays_below].concat())).unwrap();
        assert!(
            said.starts_with("**Not every ordinary training rides") && said.contains("1 of 2 trainings"),
            "{said}"
        );
        assert_eq!(trainings_in_words(&[]), None);
    }
}
