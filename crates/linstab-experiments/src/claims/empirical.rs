//! What the paper reports from its runs, judged on ours: each statement has a statistic and a threshold.

use std::ops::ControlFlow;

use linstab_coherence::Coherence;
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use linstab_linalg::Reduced;
use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, Dataset, SquaredLoss, Trainer, Training, TwoLayer, UpdateRule, solutions};

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::training_ends::{
    ends, final_values, largest_radius, list, lowered, regression, shift, variance_of_mean,
};
use crate::Result;
use crate::coherence_dynamics::Metric;
use crate::stability_map::{Boundary, Optimizer, Row};
use crate::statistics::{fit_line, mean};

const ASSUMPTIONS_MAP: &str =
    "the published protocol of the stability map, batches without replacement, on a coarser grid";
const ASSUMPTIONS_TRAINING: &str =
    "the paper's small networks (15 inputs, 10 units, 50 samples), end of training";
const ASSUMPTIONS_LOCAL: &str = "d = n = 100, width 50, flattest solutions perturbed by N(0, 0.01^2), B = 10, eta = 0.01, first five epochs";

const fn empirical(
    ids: &'static [&'static str],
    statement: &'static str,
    expected: Verdict,
    (assumptions, constant, wrong_constant): (&'static str, f64, Option<f64>),
    check: fn(&Setting<'_>, f64) -> Result<Judgement>,
) -> Claim {
    let refuted_by = "runs on which the statistic falls on the other side of its threshold";
    Claim {
        ids,
        statement,
        correction: "",
        assumptions,
        refuted_by,
        expected,
        constant,
        wrong_constant,
        check,
    }
}

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    empirical(
        &["maps-coincide-0.5"],
        "At eta = 0.5 the maps of SGD and random perturbation coincide: at least 99 % of the cells have the same majority.",
        Verdict::Supported,
        (ASSUMPTIONS_MAP, 0.99, Some(1.01)),
        |setting, share| Ok(same_map(setting, 0.5, share)),
    ),
    Claim {
        correction: "At this learning rate the noise of the perturbation throws runs above the divergence factor again and again.",
        ..empirical(
            &["maps-coincide-0.8"],
            "At eta = 0.8 the maps of SGD and random perturbation coincide: at least 99 % of the cells have the same majority.",
            Verdict::NotSupported,
            (ASSUMPTIONS_MAP, 0.99, Some(0.8)),
            |setting, share| Ok(same_map(setting, 0.8, share)),
        )
    },
    empirical(
        &["sam-region-smaller"],
        "SAM has fewer stable cells than SGD: at both learning rates fewer on average over rho/alpha, and more at none of them.",
        Verdict::Supported,
        (ASSUMPTIONS_MAP, 1.0, Some(0.5)),
        |setting, factor| {
            let mut all = true;
            let text = stable_counts(setting, |sgd, sam| {
                all &= sam.iter().all(|&count| count <= factor * sgd) && mean(sam) < factor * sgd;
            });
            Ok(Judgement::new(Verdict::supported_if(all), text))
        },
    ),
    empirical(
        &["rho-shrinks-region"],
        "A larger rho/alpha leaves fewer stable cells: at both learning rates more for no next larger one, and fewer for the largest than for the smallest.",
        Verdict::Supported,
        (ASSUMPTIONS_MAP, 1.0, Some(-1.0)),
        |setting, sign| {
            let mut all = true;
            let text = stable_counts(setting, |_, sam| {
                let falling = sam.windows(2).all(|pair| sign * pair[1] <= sign * pair[0]);
                all &= falling && sign * sam[sam.len() - 1] < sign * sam[0];
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
            (ASSUMPTIONS_MAP, 0.99, Some(0.7)),
            |setting, share| Ok(predictions(setting, share)),
        )
    },
    empirical(
        &["smaller-C-faster"],
        "Solutions with fewer features are fitted faster: the logarithm of the loss falls further in five epochs, for SGD C = 2 below C = 5 by more than two standard errors of the paired difference, and with a rising line over C.",
        Verdict::Supported,
        (ASSUMPTIONS_LOCAL, 1.0, Some(-1.0)),
        |setting, sign| {
            let falls = falls(setting, 0.0)?;
            let (first, last) = (&falls[0], &falls[3]);
            // Data, perturbation and order of a run are the same for all solutions.
            let paired: Vec<f64> = last.iter().zip(first).map(|(a, b)| a - b).collect();
            let (difference, error) = (mean(&paired), variance_of_mean(&paired).sqrt());
            let points: Vec<(f64, f64)> =
                (2_u8..).zip(&falls).map(|(c, fall)| (f64::from(c), mean(fall))).collect();
            let slope = fit_line(&points).map_or(0.0, |line| line.slope);
            let supported = sign * difference > 2.0 * error && sign * slope > 0.0;
            Ok(Judgement::new(
                Verdict::supported_if(supported),
                format!(
                    "mean of log(loss after / loss before) for C = 2 to 5: {}; {:.1} standard errors",
                    list(&falls),
                    difference / error
                ),
            ))
        },
    ),
    empirical(
        &["sam-faster"],
        "SAM (rho = 0.05) fits every one of them faster still, by more than two standard errors of the paired difference.",
        Verdict::Supported,
        (ASSUMPTIONS_LOCAL, 1.0, Some(-1.0)),
        |setting, sign| {
            let (sgd, sam) = (falls(setting, 0.0)?, falls(setting, 0.05)?);
            let mut supported = true;
            for (sgd, sam) in sgd.iter().zip(&sam) {
                let paired: Vec<f64> = sgd.iter().zip(sam).map(|(a, b)| sign * (a - b)).collect();
                supported &= mean(&paired) > 2.0 * variance_of_mean(&paired).sqrt();
            }
            Ok(Judgement::new(
                Verdict::supported_if(supported),
                format!(
                    "mean of log(loss after / loss before) for C = 2 to 5: SGD {}, SAM {}",
                    list(&sgd),
                    list(&sam)
                ),
            ))
        },
    ),
    empirical(
        &["sam-lowers-sample-sharpness"],
        "SAM lowers max_i lambda_max(H_i): at its largest radius by more than two standard errors, monotonically in the radius from 0.05 on.",
        Verdict::Supported,
        (ASSUMPTIONS_TRAINING, 1.0, Some(-1.0)),
        |setting, sign| Ok(lowered(setting, Metric::MaxSampleSharpness, sign)),
    ),
    empirical(
        &["sam-lowers-coherence-eigenvalue"],
        "SAM lowers lambda_max(S): at its largest radius by more than two standard errors, monotonically in the radius from 0.05 on.",
        Verdict::Supported,
        (ASSUMPTIONS_TRAINING, 1.0, Some(-1.0)),
        |setting, sign| Ok(lowered(setting, Metric::LambdaMaxS, sign)),
    ),
    empirical(
        &["figure-4-regression"],
        "max_i lambda_max(H_i) and lambda_max(S) at the end of training lie on a line in logarithms: R^2 of at least 0.75 over all optimizers and learning rates.",
        Verdict::Supported,
        (ASSUMPTIONS_TRAINING, 0.75, Some(1.01)),
        |setting, least| {
            let line = regression(&ends(setting, |cell| cell.contrastive_weight <= 0.0));
            Ok(Judgement::new(
                Verdict::supported_if(line.r_squared >= least),
                format!("slope {:.3}, R^2 {:.3}", line.slope, line.r_squared),
            ))
        },
    ),
    Claim {
        correction: "It moves the ends of the trainings along the line of the optimizers (the samples' sharpness falls), not off it.",
        ..empirical(
            &["contrastive-shifts-line"],
            "The contrastive term (weight 0.1) shifts the line: on average over seeds it moves log lambda_max(S) off the line of all optimizers by at least 0.1, and by more than two standard errors of the paired difference.",
            Verdict::NotSupported,
            (ASSUMPTIONS_TRAINING, 0.1, None),
            |setting, least| Ok(shift(setting, least)),
        )
    },
    Claim {
        correction: "At equal flatness the exact threshold is larger for more features, and largest for memorisation; for batches of one all are equal. What is true is that fewer features are fitted faster at first.",
        ..empirical(
            &["simpler-more-stable"],
            "At equal flatness solutions with fewer features are more stable: the exact threshold falls with C.",
            Verdict::NotSupported,
            (
                "d = n = 100, flattest solutions, B = 10, batches without replacement, loss (f - y)^2 / 2",
                -1.0,
                Some(1.0),
            ),
            simpler,
        )
    },
    empirical(
        &["redundancy-blunts"],
        "High redundancy blunts the criteria: when the other inputs are copies of the first two, lambda_max(S) of C = 2 and C = 5 differ by less than 5 %, with independent inputs by more than a factor of 2.",
        Verdict::Supported,
        ("d = n = 100, flattest solutions", 1.05, Some(0.9)),
        |setting, most| {
            let ratio = |probability: f64| -> Result<f64> {
                let mut rng = setting.key.float(probability).generator();
                let data = parity::draw(100, 100, Redundancy::Correlated { probability }, &mut rng)?;
                let of = |c: usize| Ok(Coherence::of(&curvature(&data, &flattest(c)?)?)?.top_eigenvalue);
                let two: Result<f64> = of(2);
                Ok(two? / of(5)?)
            };
            let (independent, copies) = (ratio(0.0)?, ratio(1.0)?);
            let verdict = Verdict::supported_if(copies < most && independent > 2.0);
            Ok(Judgement::new(
                verdict,
                format!(
                    "lambda_max(S) of C = 2 over that of C = 5: {independent:.3} with independent inputs, {copies:.3} with copies"
                ),
            ))
        },
    ),
    Claim {
        correction: "It does not rise: in our runs sigma falls slightly while lambda_max(S) and the sharpness fall much; in the paper's own Table 1 it falls as well.",
        ..empirical(
            &["sam-favours-coherence"],
            "SAM favours solutions of high coherence: sigma at the end of training is larger than SGD's, at the largest radius.",
            Verdict::NotSupported,
            (ASSUMPTIONS_TRAINING, 1.0, Some(-1.0)),
            |setting, sign| {
                let (sgd, sam) = (
                    final_values(setting, Metric::Sigma, 0.0),
                    final_values(setting, Metric::Sigma, largest_radius(setting)),
                );
                let error = (variance_of_mean(&sgd) + variance_of_mean(&sam)).sqrt();
                let verdict = Verdict::supported_if(sign * (mean(&sam) - mean(&sgd)) > 2.0 * error);
                Ok(Judgement::new(
                    verdict,
                    format!(
                        "sigma {:.2} after SGD, {:.2} after SAM, standard error of the difference {error:.2}",
                        mean(&sgd),
                        mean(&sam)
                    ),
                ))
            },
        )
    },
];

fn rows<'a>(setting: &Setting<'a>, optimizer: Optimizer, learning_rate: f64, ratio: f64) -> Vec<&'a Row> {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let wanted = |row: &&Row| {
        row.optimizer == optimizer
            && same(row.learning_rate, learning_rate)
            && same(row.rho_over_alpha, ratio)
    };
    setting.runs.map.iter().filter(wanted).collect()
}

fn same_map(setting: &Setting<'_>, learning_rate: f64, share: f64) -> Judgement {
    let sgd = rows(setting, Optimizer::Sgd, learning_rate, 0.0);
    let random = rows(setting, Optimizer::RandomPerturbation, learning_rate, 0.0);
    let same = sgd.iter().zip(&random).filter(|(a, b)| a.diverged == b.diverged).count();
    let stable = |rows: &[&Row]| rows.iter().filter(|row| !row.diverged).count();
    let found = same as f64 / sgd.len() as f64;
    Judgement::new(
        Verdict::supported_if(found >= share),
        format!(
            "{same} of {} cells ({:.1} %) alike; stable: SGD {}, random perturbation {}",
            sgd.len(),
            100.0 * found,
            stable(&sgd),
            stable(&random)
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
        let sgd = count(rows(setting, Optimizer::Sgd, rate, 0.0));
        let sam: Vec<f64> =
            ratios.iter().map(|&ratio| count(rows(setting, Optimizer::Sam, rate, ratio))).collect();
        visit(sgd, &sam);
        text = format!("{text}; eta = {rate}: SGD {sgd}, SAM {sam:?} for rho/alpha {ratios:?}");
    }
    text
}

fn predictions(setting: &Setting<'_>, share: f64) -> Judgement {
    let mut text = "cells of SGD predicted rightly".to_owned();
    let (mut supported, mut lyapunov) = (true, true);
    for rate in [0.5, 0.8] {
        let rows = rows(setting, Optimizer::Sgd, rate, 0.0);
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

fn flattest(num_features: usize) -> Result<TwoLayer> {
    Ok(solutions::generalising(100, 100, num_features, solutions::optimal_scale(100))?)
}

fn curvature(data: &Dataset, network: &TwoLayer) -> Result<linstab_linalg::Factored> {
    Ok(Curvature::at(network, data, SquaredLoss::Half)?.gauss_newton()?)
}

/// `log(loss after five epochs / loss before)` of each run, for C = 2 to 5; data, start and order are those of the run.
fn falls(setting: &Setting<'_>, rho: f64) -> Result<Vec<Vec<f64>>> {
    let key = crate::streams::StreamKey::new(setting.config.seed, super::ID).text("local convergence");
    let fall = |num_features: usize, run: usize| -> Result<f64> {
        let stream = |name: &str| key.text(name).number(run as u64).generator();
        let data = parity::draw(100, 100, Redundancy::Independent, &mut stream("data"))?;
        let solution = solutions::generalising(100, 50, num_features, solutions::optimal_scale(100))?;
        let mut network = solution.perturbed(0.01, &mut stream("perturbation"))?;
        let rule = if rho > 0.0 { UpdateRule::Sam { rho } } else { UpdateRule::Sgd };
        let mut trainer = Trainer::new(Training::new(rule, SquaredLoss::Full, 0.01, 10, 5), &data, 50)?;
        let mut losses = Vec::new();
        trainer.run(&mut network, &mut stream("order"), |progress| {
            let predictions = progress.network.predictions(&data);
            losses.push(predictions.map_or(f64::INFINITY, |f| SquaredLoss::Full.mean(&f, data.labels())));
            ControlFlow::Continue(())
        })?;
        Ok((losses[losses.len() - 1] / losses[0]).ln())
    };
    (2..=5).map(|c| (0..setting.config.sizes.num_runs).map(|run| fall(c, run)).collect()).collect()
}

fn simpler(setting: &Setting<'_>, sign: f64) -> Result<Judgement> {
    let mut thresholds = Vec::new();
    let data = parity::draw(100, 100, Redundancy::Independent, &mut setting.key.generator())?;
    let memorising = solutions::memorising(&data, 100, solutions::optimal_scale(100))?;
    for network in [flattest(2)?, flattest(3)?, flattest(4)?, flattest(5)?, memorising] {
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 100, 10)?;
        let analysis = MeanSquare::new(
            &Reduced::of(&curvature(&data, &network)?)?,
            linstab_dynamics::UpdateRule::Sgd,
            sampling,
        )?;
        thresholds.push(analysis.max_learning_rate()?.value);
    }
    let ordered = thresholds.windows(2).all(|pair| sign * pair[0] < sign * pair[1]);
    Ok(Judgement::new(
        Verdict::supported_if(ordered),
        format!(
            "eta* for C = 2, 3, 4, 5 and memorising: {}",
            thresholds.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", ")
        ),
    ))
}
