//! What the empirical claims read of the tracked trainings.

use super::claim::{Judgement, Setting, Verdict};
use crate::coherence_dynamics::{Cell, METRICS, Metric};
use crate::statistics::{Line, fit_line, mean, standard_deviation};

/// Squared standard error of the mean.
pub(super) fn variance_of_mean(values: &[f64]) -> f64 {
    standard_deviation(values).powi(2) / values.len() as f64
}

/// The means, for a text.
pub(super) fn list(values: &[Vec<f64>]) -> String {
    values.iter().map(|values| format!("{:.3}", mean(values))).collect::<Vec<_>>().join(", ")
}

/// A metric at the end of the trainings with a radius, at the first learning rate; as published, S and the samples' sharpness are
/// read before the last epoch.
pub(super) fn final_values(setting: &Setting<'_>, metric: Metric, rho: f64) -> Vec<f64> {
    let Some(first) = setting.runs.trainings.first() else { return Vec::new() };
    let index = METRICS.iter().position(|&one| one == metric).unwrap_or(0);
    let wanted = |cell: &Cell| {
        cell.rho.to_bits() == rho.to_bits()
            && cell.contrastive_weight <= 0.0
            && cell.learning_rate.to_bits() == first.0.learning_rate.to_bits()
    };
    let epoch = setting.runs.num_epochs.saturating_sub(1);
    let tracks = setting.runs.trainings.iter().filter(|(cell, _)| wanted(cell));
    tracks.filter_map(|(_, track)| track.records.get(epoch)).map(|record| record[index]).collect()
}

fn radii(setting: &Setting<'_>) -> Vec<f64> {
    let mut radii: Vec<f64> = setting.runs.trainings.iter().map(|(cell, _)| cell.rho).collect();
    radii.sort_unstable_by(f64::total_cmp);
    radii.dedup_by(|a, b| a.to_bits() == b.to_bits());
    radii
}

pub(super) fn largest_radius(setting: &Setting<'_>) -> f64 {
    radii(setting).last().copied().unwrap_or(0.0)
}

pub(super) fn lowered(setting: &Setting<'_>, metric: Metric, sign: f64) -> Judgement {
    let radii = radii(setting);
    let values: Vec<Vec<f64>> = radii.iter().map(|&rho| final_values(setting, metric, rho)).collect();
    let (Some(sgd), Some(sam)) = (values.first(), values.last()) else {
        return Judgement::new(Verdict::NotSupported, "no trainings");
    };
    let error = (variance_of_mean(sgd) + variance_of_mean(sam)).sqrt();
    let from: Vec<f64> = radii
        .iter()
        .zip(&values)
        .filter(|(rho, _)| **rho <= 0.0 || **rho >= 0.05)
        .map(|(_, v)| mean(v))
        .collect();
    let falling = from.windows(2).all(|pair| sign * pair[1] < sign * pair[0]);
    let verdict = Verdict::supported_if(falling && sign * (mean(sgd) - mean(sam)) > 2.0 * error);
    Judgement::new(
        verdict,
        format!("means for rho {radii:?}: {}; standard error of the difference {error:.2}", list(&values)),
    )
}

/// Logarithms of `max_i lambda_max(H_i)` and `lambda_max(S)` at the end of the trainings.
pub(super) fn ends(setting: &Setting<'_>, wanted: impl Fn(&Cell) -> bool) -> Vec<(f64, f64)> {
    let at = |metric: Metric| METRICS.iter().position(|&one| one == metric).unwrap_or(0);
    let (x, y) = (at(Metric::MaxSampleSharpness), at(Metric::LambdaMaxS));
    let epoch = setting.runs.num_epochs.saturating_sub(1);
    let tracks = setting.runs.trainings.iter().filter(|(cell, _)| wanted(cell));
    let records = tracks.filter_map(|(_, track)| track.records.get(epoch));
    records
        .filter(|record| record[x] > 0.0 && record[y] > 0.0)
        .map(|record| (record[x].ln(), record[y].ln()))
        .collect()
}

pub(super) fn regression(points: &[(f64, f64)]) -> Line {
    fit_line(points).unwrap_or(Line { slope: 0.0, intercept: 0.0, r_squared: 0.0 })
}

/// Whether the contrastive term moves the ends of the trainings off the line, at the first learning rate of SGD.
pub(super) fn shift(setting: &Setting<'_>, least: f64) -> Judgement {
    let line = regression(&ends(setting, |cell| cell.contrastive_weight <= 0.0));
    let rate = setting.runs.trainings.first().map_or(0.0, |(cell, _)| cell.learning_rate);
    let of = |term: bool| {
        ends(setting, |cell| {
            let weight = if term { cell.contrastive_weight > 0.05 } else { cell.contrastive_weight <= 0.0 };
            weight && cell.rho <= 0.0 && cell.learning_rate.to_bits() == rate.to_bits()
        })
    };
    // Data, start and order of the batches of a seed are the same with and without the term.
    let pairs: Vec<_> = of(true).into_iter().zip(of(false)).collect();
    let off = |(x, y): (f64, f64)| y - line.slope * x;
    let shifts: Vec<f64> = pairs.iter().map(|&(with, without)| off(with) - off(without)).collect();
    let along: Vec<f64> = pairs.iter().map(|(with, without)| with.0 - without.0).collect();
    let (shift, error) = (mean(&shifts), variance_of_mean(&shifts).sqrt());
    Judgement::new(
        Verdict::supported_if(shift.abs() >= least && shift.abs() > 2.0 * error),
        format!(
            "off the line by {shift:.3}, standard error {error:.3}; log max_i lambda_max(H_i) moves by {:.3}, standard error {:.3}; {} seeds",
            mean(&along),
            variance_of_mean(&along).sqrt(),
            shifts.len()
        ),
    )
}
