//! What follows from the runs: statements, each with a test on the numbers, over all settings and over those of one seed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use linstab_driver::statistics::median;

use super::config::Judgement;
use super::count::{Count, tolerance};
use super::settings::{Scope, Setting, error};
use super::words::{self, ALMOST_SURE, EXACT, EXACT_AFRESH, GRADIENT_DESCENT};

/// The numbers behind the statements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdicts {
    pub(super) judgement: Judgement,
    /// Interpolating settings in which the exact threshold errs by at most the tight tolerance.
    pub(super) exact: Count,
    /// The same where batches are not all samples: with gradient noise.
    pub(super) exact_with_noise: Count,
    /// The others: settings whose transition lies between the mean-square and the almost-sure threshold, within the tight tolerance.
    pub(super) misses_between: Count,
    /// Runs at interpolating minima, below the exact threshold by the tight tolerance: those that decay.
    pub(super) safe: Count,
    /// Runs at interpolating minima, above the almost-sure threshold by the tight tolerance: those that grow.
    pub(super) tipped: Count,
    /// Interpolating settings in which the almost-sure threshold errs by at most the tight tolerance.
    pub(super) almost_sure: Count,
    /// Predictors that speak of most interpolating settings, with the median of their errors; the best first.
    pub(super) ranking: Vec<(String, f64)>,
    /// Settings in which the loader's own threshold and that of batches drawn afresh differ by more than the tight tolerance: whether the
    /// own one is nearer.
    pub(super) own_loader: Count,
    /// Settings with a live second moment in which the frozen threshold errs by at most the loose tolerance.
    pub(super) freezing: Count,
    /// Settings at a finite loss in which the exact threshold errs by at most the loose tolerance.
    pub(super) finite_loss: Count,
}

/// A predictor speaks of most settings if it speaks of so many.
const MOST: f64 = 0.5;

impl Verdicts {
    pub(super) fn of<'a>(settings: impl Iterator<Item = &'a Setting<'a>>, judgement: Judgement) -> Self {
        let settings: Vec<&Setting<'_>> = settings.collect();
        let of = |scope: Scope| settings.iter().copied().filter(move |setting| setting.scope() == scope);
        let within = |scope: Scope, predictor: &str, tolerance: f64| {
            let ratios = of(scope).filter_map(|setting| setting.ratio(predictor));
            Count::of(ratios.map(|ratio| error(ratio) <= tolerance))
        };
        let is_noisy = |setting: &&Setting<'_>| setting.batch_size < setting.minimum.num_samples;
        let is_right =
            |setting: &Setting<'_>| setting.ratio(EXACT).map(|ratio| error(ratio) <= judgement.tight);
        let misses = of(Scope::Interpolating).filter(|setting| is_right(setting) == Some(false));
        Self {
            judgement,
            exact: within(Scope::Interpolating, EXACT, judgement.tight),
            exact_with_noise: Count::of(of(Scope::Interpolating).filter(is_noisy).filter_map(is_right)),
            misses_between: Count::of(misses.map(|setting| lies_between(setting, judgement.tight))),
            safe: runs(of(Scope::Interpolating), EXACT, |ratio| ratio <= 1.0 - judgement.tight + ROUNDING)
                .complement(),
            tipped: runs(of(Scope::Interpolating), ALMOST_SURE, |ratio| {
                ratio >= 1.0 + judgement.tight - ROUNDING
            }),
            almost_sure: within(Scope::Interpolating, ALMOST_SURE, judgement.tight),
            ranking: ranking(&of(Scope::Interpolating).collect::<Vec<_>>()),
            own_loader: Count::of(
                settings.iter().filter_map(|setting| own_is_nearer(setting, judgement.tight)),
            ),
            freezing: within(Scope::Live, EXACT, judgement.loose),
            finite_loss: within(Scope::FiniteLoss, EXACT, judgement.loose),
        }
    }

    pub(super) fn exact_predicts(&self) -> Option<bool> {
        self.exact.reaches(self.judgement.share)
    }

    /// Whether hardly any run grows below the exact threshold.
    pub(super) fn exact_is_safe(&self) -> Option<bool> {
        self.safe.reaches(CERTAIN)
    }

    /// Whether hardly any run decays above the almost-sure threshold.
    pub(super) fn almost_sure_tips(&self) -> Option<bool> {
        self.tipped.reaches(CERTAIN)
    }

    pub(super) fn almost_sure_predicts(&self) -> Option<bool> {
        self.almost_sure.reaches(self.judgement.share)
    }

    /// Whether what the exact threshold misses is explained by the almost-sure one.
    pub(super) fn misses_are_explained(&self) -> Option<bool> {
        self.misses_between.reaches(self.judgement.share)
    }

    /// Whether no predictor of a bound or of the literature errs less than the exact thresholds, in the mean square or almost surely.
    pub(super) fn exact_is_best(&self) -> Option<bool> {
        let (name, _) = self.ranking.first()?;
        Some([EXACT, ALMOST_SURE].contains(&name.as_str()))
    }

    /// Whether the exact threshold errs less than that of gradient descent.
    pub(super) fn noise_matters(&self) -> Option<bool> {
        let of = |name: &str| self.ranking.iter().find(|(known, _)| known == name).map(|(_, error)| *error);
        Some(of(EXACT)? < of(GRADIENT_DESCENT)?)
    }

    pub(super) fn own_loader_is_nearer(&self) -> Option<bool> {
        self.own_loader.reaches(self.judgement.share)
    }

    pub(super) fn freezing_predicts(&self) -> Option<bool> {
        self.freezing.reaches(self.judgement.share)
    }

    pub(super) fn gauss_newton_is_enough(&self) -> Option<bool> {
        self.finite_loss.reaches(self.judgement.share)
    }

    /// All statements, each with whether it holds.
    pub(super) fn statements(&self) -> Vec<(String, Option<bool>)> {
        let Judgement { tight, loose, share } = self.judgement;
        let [tight, loose, share] = [tight, loose, share].map(tolerance);
        let certain = tolerance(CERTAIN);
        vec![
            (format!("{certain} of the runs that are {tight} or more below the exact threshold decay"), self.exact_is_safe()),
            (
                format!("{certain} of the runs that are {tight} or more above the almost-sure threshold grow"),
                self.almost_sure_tips(),
            ),
            (
                format!("the almost-sure threshold errs by at most {tight} in {share} of the interpolating settings"),
                self.almost_sure_predicts(),
            ),
            (
                format!("the exact mean-square threshold errs by at most {tight} in {share} of the interpolating settings"),
                self.exact_predicts(),
            ),
            (
                format!("{share} of its misses lie between the mean-square and the almost-sure threshold"),
                self.misses_are_explained(),
            ),
            ("no predictor but the mean-square and the almost-sure threshold has the smallest median error".to_owned(), self.exact_is_best()),
            ("the exact mean-square threshold errs less than 2/λmax".to_owned(), self.noise_matters()),
            (
                format!(
                    "where the loader moves the threshold by more than {tight}, its own is nearer in {share}"
                ),
                self.own_loader_is_nearer(),
            ),
            (
                format!("a frozen second moment predicts a live one within {loose} in {share}"),
                self.freezing_predicts(),
            ),
            (
                format!("at a finite loss Gauss-Newton curvature predicts within {loose} in {share}"),
                self.gauss_newton_is_enough(),
            ),
        ]
    }
}

/// What is true of so many runs is true of all but accidents.
const CERTAIN: f64 = 0.99;

/// Ratios are those of decimal numbers.
const ROUNDING: f64 = 1e-9;

/// The runs at learning rates with such a ratio to a prediction: how many of them grow.
fn runs<'a>(
    settings: impl Iterator<Item = &'a Setting<'a>>,
    predictor: &str,
    is_meant: impl Fn(f64) -> bool,
) -> Count {
    let mut count = Count::default();
    for setting in settings {
        let Some(prediction) = setting.prediction(predictor) else { continue };
        for trial in
            setting.trials.iter().filter(|trial| is_meant(trial.learning_rate / prediction.learning_rate))
        {
            count.num += trial.num_runs;
            count.num_right += trial.num_grown;
        }
    }
    count
}

/// Whether the transition lies between the mean-square and the almost-sure threshold, where the mean square grows, carried by rare runs, and
/// most runs decay.
fn lies_between(setting: &Setting<'_>, tolerance: f64) -> bool {
    let (Some(exact), Some(almost_sure)) = (setting.prediction(EXACT), setting.prediction(ALMOST_SURE))
    else {
        return false;
    };
    let transition = setting.transition;
    let (lower, upper) = (exact.lower / (1.0 + tolerance), almost_sure.upper * (1.0 + tolerance));
    transition.value.map_or(transition.lower <= upper && transition.upper >= lower, |value| {
        (lower..=upper).contains(&value)
    })
}

/// The predictors that speak of most settings, by the median of their errors.
fn ranking(settings: &[&Setting<'_>]) -> Vec<(String, f64)> {
    let names: BTreeSet<&str> = settings
        .iter()
        .flat_map(|setting| &setting.predictions)
        .map(|prediction| prediction.predictor)
        .collect();
    let mut ranking: Vec<(String, f64)> = names
        .into_iter()
        .filter_map(|name| {
            let errors: Vec<f64> =
                settings.iter().filter_map(|setting| setting.ratio(name)).map(error).collect();
            (errors.len() as f64 >= MOST * settings.len() as f64).then(|| (name.to_owned(), median(&errors)))
        })
        .collect();
    // Of equals, the usual order.
    ranking.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| words::order(&a.0).cmp(&words::order(&b.0))));
    ranking
}

/// Where the loader's own threshold is not that of batches drawn afresh: whether it is nearer to the transition.
fn own_is_nearer(setting: &Setting<'_>, tolerance: f64) -> Option<bool> {
    if setting.scope() != Scope::Interpolating {
        return None;
    }
    let (own, afresh) = (setting.prediction(EXACT)?, setting.prediction(EXACT_AFRESH)?);
    let differ = error(own.learning_rate / afresh.learning_rate) > tolerance;
    let [own, afresh] = [own, afresh].map(|prediction| prediction.ratio(&setting.transition));
    differ.then_some(error(own?) < error(afresh?))
}

/// A row of `tables/edge-test-seeds.csv`: a statement, over all settings or over those of one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SeedRow {
    pub(super) statement: String,
    /// `all`, or a seed.
    pub(super) seed: String,
    /// Empty if there is nothing to test it on.
    pub(super) holds: Option<bool>,
}

/// The statements over all settings, then over those of each seed.
pub(super) fn by_seed(settings: &[Setting<'_>], judgement: Judgement) -> Vec<SeedRow> {
    let seeds: BTreeSet<u64> = settings.iter().map(|setting| setting.minimum.seed).collect();
    let all = std::iter::once(None).chain(seeds.into_iter().map(Some));
    all.flat_map(|seed| {
        let chosen = settings.iter().filter(|setting| seed.is_none_or(|seed| setting.minimum.seed == seed));
        let name = seed.map_or_else(|| "all".to_owned(), |seed| seed.to_string());
        let statements = Verdicts::of(chosen, judgement).statements();
        statements.into_iter().map(move |(statement, holds)| SeedRow { statement, seed: name.clone(), holds })
    })
    .collect()
}

/// Whether every seed has the same settings.
pub(super) fn seeds_are_whole(settings: &[Setting<'_>]) -> bool {
    let mut of_seeds: BTreeMap<u64, BTreeSet<_>> = BTreeMap::new();
    for setting in settings {
        let minimum = setting.minimum;
        let problem = (&minimum.network, &minimum.data, &minimum.loss);
        let setting_of = (&setting.optimizer, setting.sampling, setting.batch_size);
        of_seeds.entry(minimum.seed).or_default().insert((problem, setting_of));
    }
    let mut of_seeds = of_seeds.values();
    let first = of_seeds.next();
    of_seeds.all(|other| Some(other) == first)
}

/// Statements that some seed says differently than another; seeds that cannot tell are not asked.
pub(super) fn disagreements(rows: &[SeedRow]) -> Vec<&str> {
    let differs = |row: &&SeedRow| {
        let others = rows.iter().filter(|other| other.statement == row.statement && other.seed != "all");
        others.filter_map(|other| other.holds).any(|holds| Some(holds) != row.holds)
    };
    rows.iter().filter(|row| row.seed == "all").filter(differs).map(|row| row.statement.as_str()).collect()
}
