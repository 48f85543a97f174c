//! What the edge test found: sentences chosen by tests on the numbers.

use serde::Serialize;

use super::batches::BatchRow;
use super::count::tolerance;
use super::errors::{ALL, ErrorRow};
use super::records::Provenance;
use super::settings::{Scope, Setting, runs};
use super::trainings::{Events, RIDES, Training};
use super::verdicts::{SeedRow, Verdicts, disagreements};
use super::words::{self, EXACT, GRADIENT_DESCENT};
use linstab_report::conclusion::conclude;
use linstab_report::text::{list, significant};

/// All that was found, in numbers.
pub(super) struct Results<'a> {
    pub(super) settings: &'a [Setting<'a>],
    pub(super) errors: &'a [ErrorRow],
    pub(super) batches: &'a [BatchRow],
    pub(super) verdicts: &'a Verdicts,
    pub(super) seeds: &'a [SeedRow],
    pub(super) trainings: &'a [Training<'a>],
    pub(super) provenance: &'a Provenance,
}

pub(super) fn interpolating<'a>(results: &Results<'a>) -> Vec<&'a Setting<'a>> {
    results.settings.iter().filter(|setting| setting.scope() == Scope::Interpolating).collect()
}

pub(super) fn row<'a>(errors: &'a [ErrorRow], scope: Scope, predictor: &str) -> Option<&'a ErrorRow> {
    errors.iter().find(|row| (row.scope, row.by) == (scope, ALL) && row.predictor == predictor)
}

/// A row of `tables/edge-test-findings.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FindingRow {
    finding: String,
}

/// All findings as a table.
pub(super) fn rows(results: &Results<'_>) -> Vec<FindingRow> {
    findings(results).into_iter().map(|finding| FindingRow { finding }).collect()
}

/// An error in percent.
pub(super) fn shown(error: f64) -> String {
    format!("{} %", significant(100.0 * error, 2))
}

/// An error in words: large ones as a factor.
pub(super) fn in_words(error: f64) -> String {
    if error < 10.0 { shown(error) } else { format!("a factor of {}", significant(1.0 + error, 2)) }
}

fn with_interval(row: &ErrorRow) -> String {
    let [error, low, high] = [row.median_error, row.median_error_lower, row.median_error_upper].map(in_words);
    format!("{error} ({low} to {high})")
}

pub(super) fn title(verdicts: &Verdicts) -> &'static str {
    if verdicts.exact_predicts() == Some(true) {
        "Exact thresholds predict where training becomes unstable"
    } else {
        "Exact thresholds do not everywhere predict where training becomes unstable"
    }
}

pub(super) fn findings(results: &Results<'_>) -> Vec<String> {
    let verdicts = results.verdicts;
    let mut findings = vec![exact_in_words(results)];
    findings.extend(misses_in_words(results));
    findings.extend(ranking_in_words(verdicts));
    findings.extend(loader_in_words(verdicts));
    findings.extend(freezing_in_words(results));
    findings.extend(finite_loss_in_words(results));
    findings.extend(batches_in_words(results.batches));
    findings.extend(seeds_in_words(results.seeds));
    findings.extend(trainings_in_words(results.trainings));
    findings.extend(spikes_in_words(Events::of(results.trainings)));
    findings.extend(removals_in_words(Events::of(results.trainings)));
    findings
}

fn exact_in_words(results: &Results<'_>) -> String {
    let verdicts = results.verdicts;
    let tight = tolerance(verdicts.judgement.tight);
    let settings = interpolating(results);
    let median = row(results.errors, Scope::Interpolating, EXACT).map_or_else(String::new, with_interval);
    let bracketed = row(results.errors, Scope::Interpolating, EXACT).map_or(0, |row| row.num_bracketed);
    let counts = format!(
        "{} settings ({}) it lies within {tight} of the learning rate at which half of the runs grow; in {bracketed} the whole interval of that learning \
         rate does. With gradient noise (batches that are not all samples) it does in {}. The median error is {median}",
        verdicts.exact,
        runs(&settings),
        verdicts.exact_with_noise
    );
    conclude(
        verdicts.exact_predicts() == Some(true),
        format!(
            "**The exact threshold predicts where runs begin to grow.** At interpolating minima in {counts}."
        ),
        format!(
            "**The exact threshold does not predict everywhere where runs begin to grow.** At interpolating minima in {counts}."
        ),
    )
}

/// Groups are named as the place of misses if they have at least so many times the share of all.
const CONCENTRATED: f64 = 1.5;

/// Where the exact threshold fails, and whether the almost-sure one says why.
fn misses_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let explained = verdicts.misses_are_explained()?;
    let between = verdicts.misses_between;
    let said = conclude(
        explained,
        format!(
            "**Where it fails, the almost-sure threshold says why:** {between} misses lie between the two, where the mean square grows, carried by rare runs, \
             while most runs decay."
        ),
        format!(
            "**Where it fails, the almost-sure threshold is not the whole reason:** {between} misses lie between the two."
        ),
    );
    Some(format!("{said} {}", places(results.errors)))
}

/// The groups of settings in which misses are frequent.
fn places(errors: &[ErrorRow]) -> String {
    let Some(all) = row(errors, Scope::Interpolating, EXACT) else { return String::new() };
    let misses = |row: &ErrorRow| 1.0 - row.share_tight();
    let frequent = errors.iter().filter(|row| {
        let is_group =
            row.scope == Scope::Interpolating && row.predictor == EXACT && !["all", "seed"].contains(&row.by);
        is_group && misses(row) > CONCENTRATED * misses(all)
    });
    let named: Vec<String> = frequent
        .map(|row| {
            format!(
                "{} {} ({} of {})",
                row.by.replace('-', " "),
                row.value,
                row.num_decided - row.num_tight,
                row.num_decided
            )
        })
        .collect();
    if named.is_empty() { String::new() } else { format!("They are frequent for {}.", list(&named)) }
}

fn ranking_in_words(verdicts: &Verdicts) -> Option<String> {
    let is_best = verdicts.exact_is_best()?;
    let ranked = |(name, error): &(String, f64)| format!("{} {}", words::predictor(name), in_words(*error));
    let ranking = list(&verdicts.ranking.iter().map(ranked).collect::<Vec<_>>());
    Some(conclude(
        is_best,
        format!(
            "**No other predictor is nearer.** Median errors of those that speak of most settings: {ranking}."
        ),
        format!(
            "**Another predictor is nearer than the exact thresholds.** Median errors of those that speak of most settings: {ranking}."
        ),
    ))
}

fn loader_in_words(verdicts: &Verdicts) -> Option<String> {
    let nearer = verdicts.own_loader_is_nearer()?;
    let counts = format!(
        "Where the threshold of a loader and that of batches drawn afresh differ by more than {}, its own is nearer in {} settings.",
        tolerance(verdicts.judgement.tight),
        verdicts.own_loader
    );
    Some(conclude(
        nearer,
        format!("**The loader matters, and its own threshold has it.** {counts}"),
        format!("**The loader's own threshold is not always the nearer one.** {counts}"),
    ))
}

fn freezing_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let predicts = verdicts.freezing_predicts()?;
    let median = row(results.errors, Scope::Live, EXACT).map_or_else(String::new, with_interval);
    let counts = format!(
        "The threshold with the second moment frozen at the minimum is within {} of where runs with a live one begin to grow in {} settings; its median error is {median}.",
        tolerance(verdicts.judgement.loose),
        verdicts.freezing
    );
    Some(conclude(
        predicts,
        format!("**Freezing predicts live AdamW.** {counts}"),
        format!("**Freezing does not predict live AdamW.** {counts}"),
    ))
}

fn finite_loss_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let predicts = verdicts.gauss_newton_is_enough()?;
    let median = row(results.errors, Scope::FiniteLoss, EXACT).map_or_else(String::new, with_interval);
    let counts = format!(
        "At minima with a finite loss the threshold is an approximation: it takes Gauss-Newton curvature and leaves out the gradient noise that remains. It is \
         within {} in {} settings; its median error is {median}. {}",
        tolerance(verdicts.judgement.loose),
        verdicts.finite_loss,
        hessians(results.settings)
    );
    Some(conclude(
        predicts,
        format!("**Gauss-Newton curvature is enough at a finite loss.** {counts}"),
        format!("**Gauss-Newton curvature is not enough at a finite loss.** {counts}"),
    ))
}

/// How far the sharpness of the full Hessian is from that of the Gauss-Newton matrix, where it was computed.
fn hessians(settings: &[Setting<'_>]) -> String {
    let mut minima: Vec<_> = settings
        .iter()
        .map(|setting| setting.minimum)
        .filter(|minimum| !minimum.is_interpolating())
        .collect();
    minima.dedup_by(|a, b| a.minimum == b.minimum);
    let ratios: Vec<String> = minima
        .iter()
        .filter_map(|minimum| {
            Some(format!("{:.3} at {}", minimum.hessian_sharpness? / minimum.sharpness, minimum.minimum))
        })
        .collect();
    if ratios.is_empty() {
        return String::new();
    }
    format!("The sharpness of the full Hessian over that of the Gauss-Newton matrix is {}.", list(&ratios))
}

fn batches_in_words(rows: &[BatchRow]) -> Option<String> {
    let of_scope = |predictor: &str| {
        rows.iter().find(|row| row.scope == Scope::Interpolating.name() && row.predictor == predictor)
    };
    let (exact, gradient_descent) = (of_scope(EXACT)?, of_scope(GRADIENT_DESCENT)?);
    let counts = format!(
        "Asked for the smallest stable batch size at a learning rate, of those tried, it is right in {} of {} cases (2/λmax in {} of {}); where it is not, \
         it asks for too large a batch in {}.",
        exact.num_right,
        exact.num_asked,
        gradient_descent.num_right,
        gradient_descent.num_asked,
        exact.num_too_large
    );
    Some(conclude(
        10 * exact.num_right >= 9 * exact.num_asked,
        format!("**It predicts the smallest stable batch size, too.** {counts}"),
        format!("**It does not always predict the smallest stable batch size.** {counts}"),
    ))
}

fn seeds_in_words(rows: &[SeedRow]) -> Option<String> {
    let seeds = rows.iter().filter(|row| row.statement == rows[0].statement).count().saturating_sub(1);
    if seeds < 2 {
        return None;
    }
    let differ = disagreements(rows);
    Some(conclude(
        differ.is_empty(),
        format!(
            "**{seeds} seeds of everything say the same:** each statement of the table below holds for each of them or for none."
        ),
        format!(
            "**{seeds} seeds of everything do not all say the same:** they differ about whether {}.",
            differ.join("; whether ")
        ),
    ))
}

fn trainings_in_words(trainings: &[Training<'_>]) -> Option<String> {
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

fn spikes_in_words(events: Events) -> Option<String> {
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

fn removals_in_words(events: Events) -> Option<String> {
    let helps = events.removal_helps()?;
    let counts = format!(
        "With the samples that set the threshold removed, {} trainings go on without a spike.",
        events.removals
    );
    Some(conclude(
        helps,
        format!("**Without the responsible samples the spike goes.** {counts}"),
        format!("**Without the responsible samples spikes remain.** {counts}"),
    ))
}

#[cfg(test)]
mod tests;
