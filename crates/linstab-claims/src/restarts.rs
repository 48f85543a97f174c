//! Statements about training near a minimum, judged on recorded restarts of networks (`linstab_experiments::edge_test`).

use linstab_driver::statistics::median;
use linstab_dynamics::Optimizer;
use linstab_experiments::edge_test::RecordedSetting;
use linstab_report::text::{list, significant};

use super::claim::{Claim, Judgement, Setting, Verdict, require};
use super::empirical::empirical;
use crate::Result;

const ASSUMPTIONS: &str =
    "recorded restarts of small networks beside interpolating minima (experiment edge-test)";

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        correction: "It lies above that learning rate, by more than a factor of two in the median.",
        ..empirical(
            &["divergence-criterion-predicts"],
            "The divergence criterion (C.8.4) tells where training at the minima of networks becomes unstable: where it speaks, with batches drawn afresh, it is within 50 % of the learning rate at which half of the runs grow, in most settings.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 1.5, Some(100.0)),
            divergence,
        )
    },
    empirical(
        &["sam-smaller-threshold"],
        "SAM is stable at smaller learning rates than SGD: at each minimum, with the same loader and batch size, half of the runs grow from a smaller learning rate on.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(0.5)),
        |setting, factor| Ok(smaller(setting, factor)),
    ),
    empirical(
        &["training-ends-stable"],
        "Training ends where its own minimum is stable: SGD and SAM from the start, each at one learning rate, spend the last half of their steps at no more than 1.2 times the exact threshold there of their optimizer, loader and batch size (the medians).",
        Verdict::Supported,
        (
            "trainings of small networks at constant learning rates, thresholds at checkpoints (experiment edge-test)",
            1.2,
            Some(0.5),
        ),
        |setting, most| {
            let ratios = &setting.runs.recorded.late_ratios;
            let shown: Vec<String> =
                ratios.iter().map(|(name, ratio)| format!("{ratio:.2} ({name})")).collect();
            let supported = !ratios.is_empty() && ratios.iter().all(|(_, ratio)| *ratio <= most);
            let evidence = format!("learning rate over the exact threshold: {}", list(&shown));
            Ok(Judgement::new(Verdict::supported_if(supported), evidence))
        },
    ),
];

fn divergence(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let (mut ratios, mut runs, mut grown) = (Vec::new(), 0, 0);
    for one in drawn_afresh(setting) {
        let Some(predicted) = one.prediction("c_8_4").filter(|predicted| predicted.is_finite()) else {
            continue;
        };
        let (above, of_these) = one.runs_from(predicted);
        (runs, grown) = (runs + above, grown + of_these);
        ratios.extend(one.transition.map(|observed| predicted / observed));
    }
    let middle = median(&ratios);
    require("divergence-criterion-predicts", "a factor of two", middle > 2.0, middle)?;
    let near = ratios.iter().filter(|ratio| ratio.max(1.0 / **ratio) <= factor).count();
    Ok(Judgement::new(
        Verdict::supported_if(2 * near > ratios.len()),
        format!(
            "within {} in {near} of {} settings, {} times the observed learning rate in the median; {grown} of {runs} runs above it grew",
            if factor < 2.0 {
                format!("{:.0} %", 100.0 * (factor - 1.0))
            } else {
                format!("a factor of {factor}")
            },
            ratios.len(),
            significant(middle, 2)
        ),
    ))
}

fn drawn_afresh<'a>(setting: &Setting<'a>) -> impl Iterator<Item = &'a RecordedSetting> {
    setting.runs.recorded.settings.iter().filter(|one| one.sampling == "independent")
}

fn smaller(setting: &Setting<'_>, factor: f64) -> Judgement {
    let sgd = |one: &RecordedSetting| one.optimizer == Optimizer::sgd();
    let mut ratios = Vec::new();
    for sam in drawn_afresh(setting).filter(|one| one.optimizer.rho_over_alpha() > 0.0) {
        let same = |one: &&RecordedSetting| {
            sgd(one) && (&one.minimum, one.batch_size) == (&sam.minimum, sam.batch_size)
        };
        let of_sgd = drawn_afresh(setting).find(same).and_then(|one| one.transition);
        ratios.extend(sam.transition.zip(of_sgd).map(|(sam, sgd)| sam / sgd));
    }
    let smaller = ratios.iter().filter(|ratio| **ratio < factor).count();
    let most = ratios.iter().copied().fold(0.0, f64::max);
    Judgement::new(
        Verdict::supported_if(!ratios.is_empty() && smaller == ratios.len()),
        format!(
            "smaller in {smaller} of {} settings, by a factor of {} in the median and of {} at most",
            ratios.len(),
            significant(median(&ratios), 2),
            significant(most, 2)
        ),
    )
}
