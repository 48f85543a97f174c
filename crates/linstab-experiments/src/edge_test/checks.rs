//! Whether the records make sense: names that stand in two files, numbers that mean something, nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use linstab_driver::Result;
use linstab_driver::config_file::Checker;
use linstab_dynamics::Optimizer;

use super::records::{AGAIN, Key, Minimum, Records, Restarts, Threshold, TrainingStep, refused};
use super::trainings::EVENTS;
use super::words::SAMPLINGS;

/// What is wrong with a row.
type Problem = std::result::Result<(), String>;

/// Samples of each minimum.
type Samples<'a> = BTreeMap<&'a str, usize>;

/// Holds that the records make sense.
///
/// # Errors
/// [`linstab_driver::DriverError::DataFile`] for the first row that does not, [`linstab_driver::DriverError::ConfigValue`].
pub(super) fn check(records: &Records, folder: &Path) -> Result<()> {
    if records.restarts.is_empty() {
        return Err(refused(folder, "restarts.csv", 1, "holds no runs"));
    }
    let hours = records.provenance.hours_of_one_core;
    Checker::new(&folder.join("record.toml")).require_positive("hours_of_one_core", hours)?;
    let mut names = BTreeSet::new();
    each(folder, "minima.csv", &records.minima, |row| minimum(row, &mut names))?;
    let samples: Samples<'_> =
        records.minima.iter().map(|minimum| (&minimum.minimum[..], minimum.num_samples)).collect();
    let mut seen = BTreeSet::new();
    each(folder, "thresholds.csv", &records.thresholds, |row| {
        threshold(row, &samples)?;
        once(seen.insert((row.key(), &row.predictor)), "setting and predictor")
    })?;
    let predicted: BTreeSet<Key> = records.thresholds.iter().map(Threshold::key).collect();
    for (file, rows) in [("restarts.csv", &records.restarts), (AGAIN, &records.again)] {
        let mut seen = BTreeSet::new();
        each(folder, file, rows, |row| {
            runs(row, &samples)?;
            holds(predicted.contains(&row.key()), || {
                "no row of thresholds.csv is of this setting".to_owned()
            })?;
            let learning_rate = row.trial().learning_rate.to_bits();
            once(seen.insert((row.key(), row.is_live(), learning_rate)), "setting and learning rate")
        })?;
    }
    let mut last = BTreeMap::new();
    each(folder, "trainings.csv", &records.trainings, |row| {
        step(row)?;
        let before = last.insert(&row.training, row.step);
        holds(before.is_none_or(|before| before < row.step), || {
            format!("step {} does not follow the one before", row.step)
        })
    })
}

/// The first row with a problem.
fn each<'a, T>(
    folder: &Path,
    file: &str,
    rows: &'a [T],
    mut problem: impl FnMut(&'a T) -> Problem,
) -> Result<()> {
    // The first line is the header.
    rows.iter()
        .zip(2..)
        .try_for_each(|(row, line)| problem(row).map_err(|problem| refused(folder, file, line, &problem)))
}

fn holds(condition: bool, problem: impl FnOnce() -> String) -> Problem {
    if condition { Ok(()) } else { Err(problem()) }
}

fn once(is_new: bool, what: &str) -> Problem {
    holds(is_new, || format!("the same {what} a second time"))
}

fn positive(name: &str, value: f64) -> Problem {
    holds(value > 0.0 && value.is_finite(), || format!("{name} is {value}, allowed: positive"))
}

fn flag(name: &str, value: u8) -> Problem {
    holds(value <= 1, || format!("{name} is {value}, allowed: 0 or 1"))
}

fn minimum<'a>(row: &'a Minimum, names: &mut BTreeSet<&'a str>) -> Problem {
    once(names.insert(&row.minimum), "minimum")?;
    flag("interpolating", row.interpolating)?;
    positive("sharpness", row.sharpness)?;
    row.hessian_sharpness.map_or(Ok(()), |sharpness| positive("hessian_sharpness", sharpness))?;
    holds(row.final_loss >= 0.0 && row.final_loss.is_finite(), || {
        format!("final_loss is {}, allowed: 0 or more", row.final_loss)
    })
}

/// What a predictor says; infinite if it says that everything is stable.
fn threshold(row: &Threshold, samples: &Samples<'_>) -> Problem {
    setting(&row.key(), samples)?;
    let known = [row.lower, row.learning_rate, row.upper];
    let numbers: Vec<f64> = known.into_iter().flatten().collect();
    holds(numbers.iter().all(|number| *number >= 0.0), || {
        "a learning rate is negative or no number".to_owned()
    })?;
    holds(numbers.is_sorted(), || "lower, learning_rate and upper do not ascend".to_owned())
}

fn runs(row: &Restarts, samples: &Samples<'_>) -> Problem {
    setting(&row.key(), samples)?;
    let trial = row.trial();
    positive("learning_rate", trial.learning_rate)?;
    flag("live_second_moment", row.live_second_moment)?;
    holds(trial.num_runs > 0 && trial.num_grown <= trial.num_runs, || {
        format!("{} of {} runs grew", trial.num_grown, trial.num_runs)
    })
}

fn step(row: &TrainingStep) -> Problem {
    method(&row.optimizer, &row.sampling)?;
    positive("learning_rate", row.learning_rate)?;
    holds(row.batch_size > 0, || "batch_size is 0, allowed: positive".to_owned())?;
    for (name, threshold) in
        [("mean_square", row.mean_square), ("gradient_descent_limit", row.gradient_descent_limit)]
    {
        let is_threshold = threshold.is_none_or(|threshold| threshold > 0.0);
        holds(is_threshold, || format!("{name} is not positive"))?;
    }
    holds(EVENTS.contains(&&row.event[..]), || {
        format!("event `{}`, allowed: none, {}", row.event, EVENTS[1..].join(", "))
    })
}

fn setting(key: &Key, samples: &Samples<'_>) -> Problem {
    let num_samples =
        samples.get(&key.minimum[..]).ok_or_else(|| format!("no minimum `{}` in minima.csv", key.minimum))?;
    method(&key.optimizer, &key.sampling)?;
    holds((1..=*num_samples).contains(&key.batch_size), || {
        format!("batch_size is {}, allowed: 1 to {num_samples}", key.batch_size)
    })
}

fn method(optimizer: &str, sampling: &str) -> Problem {
    optimizer.parse::<Optimizer>().map_err(|error| format!("optimizer `{optimizer}`: {error}"))?;
    let known = SAMPLINGS.map(|(name, _)| name);
    holds(known.contains(&sampling), || format!("sampling `{sampling}`, allowed: {}", known.join(", ")))
}
