//! What the paper reports of the ends of its trainings, judged on trainings of ours.

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::empirical::empirical;
use linstab_driver::statistics::{Line, fit_line, mean, standard_deviation};
use linstab_experiments::coherence_dynamics::{Cell, METRICS, Metric};

const ASSUMPTIONS: &str = "the paper's small networks (15 inputs, 10 units, 50 samples), end of training";

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    empirical(
        &["sam-lowers-sample-sharpness"],
        "SAM lowers max_i lambda_max(H_i): at learning rate 0.1, at its largest radius by more than two standard errors, monotonically in the radius from 0.05 on.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(-1.0)),
        |setting, sign| Ok(lowered(setting, Metric::MaxSampleSharpness, sign)),
    ),
    empirical(
        &["sam-lowers-coherence-eigenvalue"],
        "SAM lowers lambda_max(S): at learning rate 0.1, at its largest radius by more than two standard errors, monotonically in the radius from 0.05 on.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(-1.0)),
        |setting, sign| Ok(lowered(setting, Metric::LambdaMaxS, sign)),
    ),
    Claim {
        correction: "Over all optimizers of a learning rate it does, for the most part because the groups differ; within a group, and where only the contrastive term varies, the line is weaker.",
        ..empirical(
            &["figure-4-regression"],
            "max_i lambda_max(H_i) and lambda_max(S) at the end of training form a strong regression line in logarithms: R^2 of at least 0.75 in each of the three panels of Figure 4 (all optimizers at the first learning rate; at the second; SGD at the first with contrastive weights 0, 0.01 and 0.1), all seeds of a panel pooled.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 0.75, Some(0.1)),
            |setting, least| Ok(panels(setting, least)),
        )
    },
    empirical(
        &["contrastive-shifts-along-line"],
        "The contrastive term (weight 0.1) shifts the ends of the trainings along the line: paired by seed, log max_i lambda_max(H_i) falls at both learning rates on average over the optimizers, and over all of them by more than two standard errors.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(-1.0)),
        |setting, sign| {
            let shifts = Shifts::of(setting);
            let (shift, error) = pooled(&shifts.along);
            let falls = shifts.of_rates.iter().all(|rate| sign * rate.0 < 0.0);
            Ok(Judgement::new(
                Verdict::supported_if(falls && sign * shift < -2.0 * error),
                format!("log max_i lambda_max(H_i) moves by {shift:.3}, standard error {error:.3}; {shifts}"),
            ))
        },
    ),
    Claim {
        correction: "Off the line it moves the ends by some percent only.",
        ..empirical(
            &["contrastive-shifts-line"],
            "The contrastive term (weight 0.1) shifts the ends of the trainings off the line: paired by seed and on average over all optimizers and learning rates, log lambda_max(S) moves off the line of the optimizers without the term by at least 0.1.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 0.1, Some(0.0)),
            |setting, least| {
                let shifts = Shifts::of(setting);
                let (shift, error) = pooled(&shifts.off);
                Ok(Judgement::new(
                    Verdict::supported_if(shift.abs() >= least),
                    format!("off the line by {shift:.3}, standard error {error:.3}; {shifts}"),
                ))
            },
        )
    },
    Claim {
        correction: "It has no common direction over learning rates and radii; in the paper's own Table 1 it falls.",
        ..empirical(
            &["sam-favours-coherence"],
            "SAM favours solutions of high coherence: at every learning rate sigma at the end of training is larger than SGD's at the largest radius, by more than two standard errors of the paired difference.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 2.0, Some(-100.0)),
            |setting, errors| Ok(favours(setting, errors)),
        )
    },
];

/// Squared standard error of the mean.
pub(super) fn variance_of_mean(values: &[f64]) -> f64 {
    standard_deviation(values).powi(2) / values.len() as f64
}

/// The means, for a text.
pub(super) fn list(values: &[Vec<f64>]) -> String {
    values.iter().map(|values| format!("{:.3}", mean(values))).collect::<Vec<_>>().join(", ")
}

/// A metric at the end of the trainings with a learning rate and a radius; as published, S and the samples' sharpness are read before
/// the last epoch.
fn final_values(setting: &Setting<'_>, metric: Metric, learning_rate: f64, rho: f64) -> Vec<f64> {
    let index = METRICS.iter().position(|&one| one == metric).unwrap_or(0);
    let wanted = |cell: &Cell| {
        cell.rho.to_bits() == rho.to_bits()
            && cell.contrastive_weight <= 0.0
            && cell.learning_rate.to_bits() == learning_rate.to_bits()
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

fn learning_rates(setting: &Setting<'_>) -> Vec<f64> {
    let mut rates: Vec<f64> = setting.runs.trainings.iter().map(|(cell, _)| cell.learning_rate).collect();
    rates.dedup_by(|a, b| a.to_bits() == b.to_bits());
    rates
}

fn lowered(setting: &Setting<'_>, metric: Metric, sign: f64) -> Judgement {
    let radii = radii(setting);
    let rate = learning_rates(setting).first().copied().unwrap_or(0.0);
    let values: Vec<Vec<f64>> = radii.iter().map(|&rho| final_values(setting, metric, rate, rho)).collect();
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
        format!(
            "eta = {rate}, means for rho = {}: {}; standard error of the difference {error:.2}",
            numbers(&radii),
            list(&values)
        ),
    )
}

fn numbers(values: &[f64]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// sigma after SAM against that after SGD, seed by seed.
fn favours(setting: &Setting<'_>, least: f64) -> Judgement {
    let radii = radii(setting);
    let (mut all, mut texts) = (true, Vec::new());
    for rate in learning_rates(setting) {
        let sgd = final_values(setting, Metric::Sigma, rate, 0.0);
        let mut errors = f64::NEG_INFINITY;
        let mut text = format!("eta = {rate}: SGD {:.3}", mean(&sgd));
        for &rho in radii.iter().filter(|&&rho| rho > 0.0) {
            let sam = final_values(setting, Metric::Sigma, rate, rho);
            let paired: Vec<f64> = sam.iter().zip(&sgd).map(|(sam, sgd)| sam - sgd).collect();
            errors = mean(&paired) / variance_of_mean(&paired).sqrt();
            text = format!("{text}, rho = {rho} {:.3} ({errors:+.1} standard errors)", mean(&sam));
        }
        // Those of the largest radius are the last.
        all &= errors > least;
        texts.push(text);
    }
    Judgement::new(Verdict::supported_if(all), format!("mean sigma; {}", texts.join("; ")))
}

/// Ends of trainings.
type Points = Vec<(f64, f64)>;

/// Logarithms of `max_i lambda_max(H_i)` and `lambda_max(S)` at the end of a training.
fn end(setting: &Setting<'_>, track: &linstab_experiments::coherence_dynamics::Track) -> Option<(f64, f64)> {
    let at = |metric: Metric| METRICS.iter().position(|&one| one == metric).unwrap_or(0);
    let record = track.records.get(setting.runs.num_epochs.saturating_sub(1))?;
    let (x, y) = (record[at(Metric::MaxSampleSharpness)], record[at(Metric::LambdaMaxS)]);
    (x > 0.0 && y > 0.0).then(|| (x.ln(), y.ln()))
}

/// The ends of the trainings that are wanted, those that differ in nothing but their seed side by side.
fn groups(setting: &Setting<'_>, wanted: impl Fn(&Cell) -> bool) -> Vec<Points> {
    let trainings = setting.runs.trainings.iter().filter(|(cell, _)| wanted(cell));
    let mut groups: Vec<(&Cell, Points)> = Vec::new();
    for (cell, track) in trainings {
        let Some(point) = end(setting, track) else { continue };
        match groups.iter_mut().find(|(first, _)| first.is_like(cell)) {
            Some((_, points)) => points.push(point),
            None => groups.push((cell, vec![point])),
        }
    }
    groups.into_iter().map(|(_, points)| points).collect()
}

fn regression(points: &[(f64, f64)]) -> Line {
    fit_line(points).unwrap_or(Line { slope: 0.0, intercept: 0.0, r_squared: 0.0 })
}

/// Each group with its mean subtracted.
fn within(groups: &[Points]) -> Vec<(f64, f64)> {
    let centred = |points: &Points| {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let (x, y) = (mean(&x), mean(&y));
        points.iter().map(move |point| (point.0 - x, point.1 - y)).collect::<Vec<_>>()
    };
    groups.iter().flat_map(centred).collect()
}

/// The regressions of the three panels of Figure 4.
fn panels(setting: &Setting<'_>, least: f64) -> Judgement {
    let rates = learning_rates(setting);
    let first = rates.first().copied().unwrap_or(0.0);
    let mut panels: Vec<(String, Vec<Points>)> = Vec::new();
    for rate in &rates {
        let of_rate =
            |cell: &Cell| cell.contrastive_weight <= 0.0 && cell.learning_rate.to_bits() == rate.to_bits();
        panels.push((format!("optimizers, eta = {rate}"), groups(setting, of_rate)));
    }
    let of_sgd = |cell: &Cell| cell.rho <= 0.0 && cell.learning_rate.to_bits() == first.to_bits();
    panels.push((format!("SGD with contrastive term, eta = {first}"), groups(setting, of_sgd)));
    let (mut all, mut texts) = (true, Vec::new());
    for (name, groups) in panels {
        let line = regression(&groups.concat());
        all &= line.r_squared >= least;
        texts.push(format!(
            "{name}: slope {:.3}, R^2 {:.3}, within its {} groups {:.3}",
            line.slope,
            line.r_squared,
            groups.len(),
            regression(&within(&groups)).r_squared
        ));
    }
    let without = groups(setting, |cell| cell.contrastive_weight <= 0.0);
    let pooled = regression(&without.concat()).r_squared;
    Judgement::new(
        Verdict::supported_if(all),
        format!("{}; all optimizers and learning rates together: R^2 {pooled:.3}", texts.join("; ")),
    )
}

/// Where the contrastive term moves the ends of the trainings: for each optimizer and learning rate the shifts of the seeds.
struct Shifts {
    along: Vec<Vec<f64>>,
    off: Vec<Vec<f64>>,
    /// For each learning rate, the means along and off the line.
    of_rates: Vec<(f64, f64)>,
    rates: Vec<f64>,
}

impl Shifts {
    fn of(setting: &Setting<'_>) -> Self {
        let line = regression(&groups(setting, |cell| cell.contrastive_weight <= 0.0).concat());
        let mut shifts =
            Self { along: Vec::new(), off: Vec::new(), of_rates: Vec::new(), rates: learning_rates(setting) };
        for rate in &shifts.rates {
            let of = |term: bool| {
                groups(setting, |cell| {
                    let weight =
                        if term { cell.contrastive_weight > 0.05 } else { cell.contrastive_weight <= 0.0 };
                    weight && cell.learning_rate.to_bits() == rate.to_bits()
                })
            };
            let first = shifts.along.len();
            for (with, without) in of(true).iter().zip(&of(false)) {
                // Data, start and order of the batches of a seed are the same with and without the term.
                let pairs = || with.iter().zip(without);
                let off = |point: &(f64, f64)| point.1 - line.slope * point.0;
                shifts.along.push(pairs().map(|(with, without)| with.0 - without.0).collect());
                shifts.off.push(pairs().map(|(with, without)| off(with) - off(without)).collect());
            }
            shifts
                .of_rates
                .push((mean(&shifts.along[first..].concat()), mean(&shifts.off[first..].concat())));
        }
        shifts
    }
}

impl std::fmt::Display for Shifts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seeds = self.along.first().map_or(0, Vec::len);
        write!(
            f,
            "{} combinations of optimizer and learning rate, {seeds} seeds each; along and off the line",
            self.along.len()
        )?;
        for (rate, (along, off)) in self.rates.iter().zip(&self.of_rates) {
            write!(f, ", eta = {rate}: {along:.3}, {off:.3}")?;
        }
        Ok(())
    }
}

/// Mean over all, and its standard error: a seed is the same data in every group, so the seeds' means are what is independent.
fn pooled(groups: &[Vec<f64>]) -> (f64, f64) {
    let seeds = groups.iter().map(Vec::len).min().unwrap_or(0);
    let means: Vec<f64> =
        (0..seeds).map(|seed| mean(&groups.iter().map(|group| group[seed]).collect::<Vec<_>>())).collect();
    (mean(&means), variance_of_mean(&means).sqrt())
}
