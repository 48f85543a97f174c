//! What is said of ordinary trainings.

use super::super::count::tolerance;
use super::super::trainings::{Events, RIDES, Training};
use linstab_report::conclusion::conclude;
use linstab_report::text::list;

pub(super) fn trainings_in_words(trainings: &[Training<'_>]) -> Option<String> {
    let known: Vec<(&Training<'_>, f64, bool)> = trainings
        .iter()
        .filter_map(|training| Some((training, training.late_ratio()?, training.rides()?)))
        .collect();
    let shown: Vec<String> =
        known.iter().map(|(training, ratio, _)| format!("{:.2} ({})", ratio, training.title)).collect();
    (!known.is_empty()).then(|| {
        let ratios = format!(
            "Over the last half of its steps the learning rate is, in units of the threshold, {}.",
            list(&shown)
        );
        conclude(
            known.iter().all(|(.., rides)| *rides),
            format!("**Ordinary training rides its exact threshold,** within {}. {ratios}", tolerance(RIDES)),
            format!(
                "**Not every ordinary training rides its exact threshold,** within {}. {ratios}",
                tolerance(RIDES)
            ),
        )
    })
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
