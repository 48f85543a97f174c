//! What the paper reports of its stability maps, judged on ours.

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::empirical::empirical;
use linstab_experiments::stability_map::{Boundary, Family, Row};

const ASSUMPTIONS: &str = "the published protocol of the stability map, batches without replacement";

/// The SAM that differs least from SGD.
const FAINT: f64 = 0.05;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        correction: "The paper's words are that they largely overlap.",
        ..empirical(
            &["maps-coincide-0.5"],
            "At eta = 0.5 the maps of SGD and random perturbation coincide: the share of the cells unstable under either in which they differ is less than half of that for SGD and SAM with rho/alpha = 0.05.",
            Verdict::Supported,
            (ASSUMPTIONS, 0.5, Some(0.0)),
            |setting, share| Ok(same_map(setting, 0.5, share)),
        )
    },
    Claim {
        correction: "The paper's words are that they largely overlap. At this learning rate the noise of the perturbation throws runs above the divergence factor again and again: its map differs from SGD's about as much as that of SAM with rho/alpha = 0.05.",
        ..empirical(
            &["maps-coincide-0.8"],
            "At eta = 0.8 the maps of SGD and random perturbation coincide: the share of the cells unstable under either in which they differ is less than half of that for SGD and SAM with rho/alpha = 0.05.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 0.5, Some(2.0)),
            |setting, share| Ok(same_map(setting, 0.8, share)),
        )
    },
    empirical(
        &["sam-region-smaller"],
        "SAM has fewer stable cells than SGD, at every rho/alpha and both learning rates.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(0.5)),
        |setting, factor| {
            let mut all = true;
            let text = stable_counts(setting, |sgd, sam| {
                all &= sam.iter().all(|&count| count < factor * sgd);
            });
            Ok(Judgement::new(Verdict::supported_if(all), text))
        },
    ),
    empirical(
        &["rho-shrinks-region"],
        "A larger rho/alpha leaves fewer stable cells: at both learning rates fewer for each next larger one.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(-1.0)),
        |setting, sign| {
            let mut all = true;
            let text = stable_counts(setting, |_, sam| {
                all &= sam.windows(2).all(|pair| sign * pair[1] < sign * pair[0]);
            });
            Ok(Judgement::new(Verdict::supported_if(all), text))
        },
    ),
    Claim {
        correction: "It is the Lyapunov boundary: the protocol counts typical runs, the theorems are about the mean square.",
        ..empirical(
            &["boundary-is-theorems"],
            "The simulated boundary is that of the theorems: the exact mean square, or Theorem 3.3, predicts at least 99 % of the cells of SGD.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 0.99, Some(0.7)),
            |setting, share| Ok(predictions(setting, share)),
        )
    },
];

fn of(runs: &[Row], optimizer: Family, learning_rate: f64, ratio: f64) -> Vec<&Row> {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let wanted = |row: &&Row| {
        row.optimizer == optimizer
            && same(row.learning_rate, learning_rate)
            && same(row.rho_over_alpha, ratio)
    };
    runs.iter().filter(wanted).collect()
}

fn rows<'a>(setting: &Setting<'a>, optimizer: Family, learning_rate: f64, ratio: f64) -> Vec<&'a Row> {
    of(&setting.runs.map, optimizer, learning_rate, ratio)
}

/// Cells that differ, and cells that are unstable in either.
fn difference(a: &[&Row], b: &[&Row]) -> (usize, usize) {
    let pairs = || a.iter().zip(b).map(|(a, b)| (a.diverged, b.diverged));
    (pairs().filter(|(a, b)| a != b).count(), pairs().filter(|&(a, b)| a || b).count())
}

fn same_map(setting: &Setting<'_>, learning_rate: f64, share: f64) -> Judgement {
    let sgd = rows(setting, Family::Sgd, learning_rate, 0.0);
    let against = |other: &[&Row]| {
        let (differing, unstable) = difference(&sgd, other);
        let relative = differing as f64 / unstable.max(1) as f64;
        let alike = 100.0 * (1.0 - differing as f64 / sgd.len().max(1) as f64);
        let text =
            format!("{differing} of {unstable} ({:.1} %; {alike:.1} % of all alike)", 100.0 * relative);
        (relative, text)
    };
    let random = against(&rows(setting, Family::RandomPerturbation, learning_rate, 0.0));
    let sam = against(&rows(setting, Family::Sam, learning_rate, FAINT));
    let again = against(&of(&setting.runs.second_map, Family::Sgd, learning_rate, 0.0));
    Judgement::new(
        Verdict::supported_if(random.0 < share * sam.0),
        format!(
            "unstable cells, of {} in all, in which SGD differs from random perturbation: {}; from SAM with rho/alpha = {FAINT}: {}; from SGD with another seed: {}",
            sgd.len(),
            random.1,
            sam.1,
            again.1
        ),
    )
}

/// Calls `visit` with the stable cells of SGD and those of SAM by rising rho/alpha, at each learning rate.
fn stable_counts(setting: &Setting<'_>, mut visit: impl FnMut(f64, &[f64])) -> String {
    let mut ratios: Vec<f64> =
        setting.runs.map.iter().map(|row| row.rho_over_alpha).filter(|&ratio| ratio > 0.0).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios.dedup_by(|a, b| a.to_bits() == b.to_bits());
    let count = |rows: Vec<&Row>| rows.iter().filter(|row| !row.diverged).count() as f64;
    let mut text = "stable cells".to_owned();
    for rate in [0.5, 0.8] {
        let sgd = count(rows(setting, Family::Sgd, rate, 0.0));
        let sam: Vec<f64> =
            ratios.iter().map(|&ratio| count(rows(setting, Family::Sam, rate, ratio))).collect();
        visit(sgd, &sam);
        let each: Vec<String> =
            ratios.iter().zip(&sam).map(|(ratio, count)| format!("{count} at {ratio}")).collect();
        text = format!("{text}; eta = {rate}: SGD {sgd}, SAM by rho/alpha {}", each.join(", "));
    }
    text
}

fn predictions(setting: &Setting<'_>, share: f64) -> Judgement {
    let mut text = "cells of SGD predicted rightly".to_owned();
    let (mut supported, mut lyapunov) = (true, true);
    for rate in [0.5, 0.8] {
        let rows = rows(setting, Family::Sgd, rate, 0.0);
        let right = |boundary: Boundary| {
            rows.iter().filter(|row| boundary.predicts_divergence(row) == row.diverged).count() as f64
                / rows.len() as f64
        };
        let [theorem, exact, typical] =
            [Boundary::Theorem33, Boundary::MeanSquare, Boundary::Lyapunov].map(right);
        supported &= theorem.max(exact) >= share;
        lyapunov &= typical >= 0.99;
        text = format!(
            "{text}; eta = {rate}: Theorem 3.3 {:.1} %, exact mean square {:.1} %, Lyapunov exponent {:.1} %",
            100.0 * theorem,
            100.0 * exact,
            100.0 * typical
        );
    }
    Judgement::new(Verdict::supported_if(supported), text).and(if lyapunov {
        "the exponent is right in 99 %"
    } else {
        "the exponent is not right in 99 % either"
    })
}
