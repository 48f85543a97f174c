//! What the edge test found: sentences chosen by tests on the numbers.

mod along;

use serde::Serialize;

use along::{onsets_in_words, removals_in_words, spikes_in_words, trainings_in_words};

use super::batches::BatchRow;
use super::config::Judgement;
use super::count::tolerance;
use super::errors::{ALL, ErrorRow};
use super::frameworks::{self, FrameworkRow};
use super::records::Provenance;
use super::settings::{Scope, Setting};
use super::trainings::{Events, Training};
use super::verdicts::{SeedRow, Verdicts, disagreements, seeds_are_whole};
use super::words::{self, ALMOST_SURE, EXACT, GRADIENT_DESCENT};
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
    pub(super) frameworks: &'a [FrameworkRow],
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
    if verdicts.exact_is_safe() == Some(true) && verdicts.almost_sure_predicts() == Some(true) {
        "Exact thresholds predict where training becomes unstable"
    } else {
        "Exact thresholds do not everywhere predict where training becomes unstable"
    }
}

pub(super) fn findings(results: &Results<'_>) -> Vec<String> {
    let verdicts = results.verdicts;
    let events = Events::of(results.trainings);
    let all = [
        safe_in_words(verdicts),
        almost_sure_in_words(results),
        exact_in_words(results),
        misses_in_words(results),
        ranking_in_words(results),
        loader_in_words(verdicts),
        batches_in_words(results.batches),
        frameworks::in_words(results.frameworks, verdicts.judgement.share),
        freezing_in_words(results),
        finite_loss_in_words(results),
        seeds_in_words(results.seeds, seeds_are_whole(results.settings)),
        trainings_in_words(results.trainings),
        onsets_in_words(events),
        spikes_in_words(events),
        removals_in_words(events),
    ];
    all.into_iter().flatten().collect()
}

/// What is certain: hardly any run grows below the one threshold or decays above the other.
fn safe_in_words(verdicts: &Verdicts) -> Option<String> {
    let Judgement { tight, .. } = verdicts.judgement;
    let (below, above) = (1.0 - tight, 1.0 + tight);
    let (grown, decayed) = (verdicts.safe.complement(), verdicts.tipped.complement());
    let counts = format!(
        "Up to {below} times the exact mean-square threshold η*, {grown} runs grew; from {above} times the almost-sure threshold on, {decayed} decayed."
    );
    Some(conclude(
        verdicts.exact_is_safe()? && verdicts.almost_sure_tips()?,
        format!("**Below η* runs decay, above the almost-sure threshold they grow.** {counts}"),
        format!("**Not all runs decay below η* and grow above the almost-sure threshold.** {counts}"),
    ))
}

fn almost_sure_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let predicts = verdicts.almost_sure_predicts()?;
    let median =
        row(results.errors, Scope::Interpolating, ALMOST_SURE).map_or_else(String::new, with_interval);
    let counts = format!(
        "In {} settings at interpolating minima it is within {} of the learning rate at which half of the runs grow; median error {median}. (It is the rate of a \
         single linear run, by simulation; no training enters.)",
        verdicts.almost_sure,
        tolerance(verdicts.judgement.tight)
    );
    Some(conclude(
        predicts,
        format!("**Single runs tip at the almost-sure threshold.** {counts}"),
        format!("**Single runs do not everywhere tip at the almost-sure threshold.** {counts}"),
    ))
}

fn exact_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let predicts = verdicts.exact_predicts()?;
    let exact = row(results.errors, Scope::Interpolating, EXACT);
    let counts = format!(
        "η* is within {} of that learning rate in {} settings (in {} the whole interval of it is), with gradient noise (batches that are not all samples) in {}; \
         median error {}.",
        tolerance(verdicts.judgement.tight),
        verdicts.exact,
        exact.map_or(0, |row| row.num_bracketed),
        verdicts.exact_with_noise,
        exact.map_or_else(String::new, with_interval)
    );
    Some(conclude(
        predicts,
        format!("**They tip at the mean-square threshold, too.** {counts}"),
        format!("**The mean square can grow well before most runs do.** {counts}"),
    ))
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
            "**The gap between the two thresholds says where:** in {between} settings where η* errs by more, runs tip between the two, where the mean square grows, carried \
             by rare runs, while most decay."
        ),
        format!(
            "**The gap between the two thresholds is not the whole reason:** in {between} settings where η* errs by more, runs tip between the two."
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

/// So many of the nearest predictors are named.
const NAMED: usize = 5;

fn ranking_in_words(results: &Results<'_>) -> Option<String> {
    let verdicts = results.verdicts;
    let is_best = verdicts.exact_is_best()?;
    let is_named = |(place, (name, _)): &(usize, &(String, f64))| *place < NAMED || name == GRADIENT_DESCENT;
    let ranked = verdicts.ranking.iter().enumerate().filter(is_named);
    let named = ranked.map(|(_, (name, error))| format!("{} {}", words::predictor(name), in_words(*error)));
    let counts = format!(
        "Median errors, of {} predictors that speak of most settings: {}.{}",
        verdicts.ranking.len(),
        list(&named.collect::<Vec<_>>()),
        with_most_noise(results.errors)
    );
    Some(conclude(
        is_best,
        format!("**No other predictor is nearer than the exact thresholds.** {counts}"),
        format!("**Another predictor is nearer than the exact thresholds.** {counts}"),
    ))
}

/// The same where noise is largest: one sample a batch.
fn with_most_noise(errors: &[ErrorRow]) -> String {
    let of = |predictor: &str| {
        let here = |row: &&ErrorRow| {
            (row.scope, row.by, row.value.as_str()) == (Scope::Interpolating, "batch-size", "1")
                && row.predictor == predictor
        };
        errors.iter().find(here).map(|row| format!("{} {}", row.title, in_words(row.median_error)))
    };
    let named: Vec<String> = [ALMOST_SURE, EXACT, GRADIENT_DESCENT].into_iter().filter_map(of).collect();
    if named.is_empty() { String::new() } else { format!(" With one sample a batch: {}.", list(&named)) }
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
        "The threshold with the second moment frozen at the minimum is within {} of where runs with a live one begin to grow in {} settings; its median error is {median}.{}",
        tolerance(verdicts.judgement.loose),
        verdicts.freezing,
        why_freezing_fails(results.settings)
    );
    Some(conclude(
        predicts,
        format!("**Freezing predicts live AdamW.** {counts}"),
        format!("**Freezing does not predict live AdamW.** {counts}"),
    ))
}

/// Beside an interpolating minimum gradients vanish: if the frozen threshold is too high everywhere, that is what it looks like.
fn why_freezing_fails(settings: &[Setting<'_>]) -> &'static str {
    let live = settings.iter().filter(|setting| setting.scope() == Scope::Live);
    let ratios: Vec<f64> = live.filter_map(|setting| setting.ratio(EXACT)).collect();
    if !ratios.is_empty() && ratios.iter().all(|ratio| *ratio > 1.0) {
        " It is too high in all of them: beside an interpolating minimum gradients vanish, a live second moment forgets larger ones within its memory, and steps \
         grow. Freezing is for times shorter than that memory."
    } else {
        ""
    }
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
    let said = |row: &BatchRow| {
        let BatchRow { num_right, num_asked, num_too_large, num_too_small, .. } = row;
        format!(
            "right in {num_right} of {num_asked} cases, too large in {num_too_large}, too small in {num_too_small}"
        )
    };
    let (almost_sure, exact) = (of_scope(ALMOST_SURE)?, of_scope(EXACT)?);
    let counts = format!(
        "Asked for the smallest batch size at which runs decay, of those tried, the almost-sure threshold is {}; η* is {}; 2/λmax is {}.",
        said(almost_sure),
        said(exact),
        said(of_scope(GRADIENT_DESCENT)?)
    );
    Some(conclude(
        10 * almost_sure.num_right >= 9 * almost_sure.num_asked,
        format!("**They predict the smallest stable batch size, too.** {counts}"),
        format!("**They do not always predict the smallest stable batch size.** {counts}"),
    ))
}

fn seeds_in_words(rows: &[SeedRow], are_whole: bool) -> Option<String> {
    let seeds = rows.iter().filter(|row| row.statement == rows[0].statement).count().saturating_sub(1);
    if seeds < 2 {
        return None;
    }
    let differ = disagreements(rows);
    let of = if are_whole { " of everything" } else { ", not of the same settings," };
    Some(conclude(
        differ.is_empty(),
        format!(
            "**{seeds} seeds{of} say the same:** each statement of the table below holds for each of them or for none."
        ),
        format!(
            "**{seeds} seeds{of} do not all say the same:** they differ about whether {}.",
            differ.join("; whether ")
        ),
    ))
}

#[cfg(test)]
mod tests;
