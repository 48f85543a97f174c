//! What the paper reports of training from next to a solution, judged on runs of ours.

use std::ops::ControlFlow;

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{SquaredLoss, Trainer, Training, TrainingRule, solutions};

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::empirical::empirical;
use super::training_ends::{list, variance_of_mean};
use crate::Result;
use linstab_driver::statistics::{fit_line, mean};

const ASSUMPTIONS: &str =
    "d = n = 100, width 50, flattest solutions perturbed by N(0, 0.01^2), B = 10, eta = 0.01";

/// The radius of the paper's protocol.
const RHO: f64 = 0.01;

/// How many epochs are the first ones, and how many the whole protocol has.
const FIRST: usize = 5;
const ALL: usize = 50;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        correction: "True of the first epochs only: the order is lost before the paper's 50 epochs are over.",
        ..empirical(
            &["smaller-C-faster"],
            "Solutions with fewer features are fitted faster at first: relative to its start the logarithm of SGD's loss falls further in five epochs for C = 2 than for C = 5, by more than two standard errors of the paired difference, and rises with C along a fitted line.",
            Verdict::Supported,
            (ASSUMPTIONS, 1.0, Some(-1.0)),
            |setting, sign| {
                let order = Order::of(&logarithms(setting, 0.0, FIRST, true)?);
                Ok(Judgement::new(
                    Verdict::supported_if(order.supports(sign)),
                    format!("mean of log(loss after 5 epochs / loss before) for C = 2 to 5: {order}"),
                ))
            },
        )
    },
    Claim {
        correction: "By the end the order is gone under SGD, whose losses are close and slightly reversed, and reversed under SAM: the more features, the smaller the loss.",
        ..empirical(
            &["smaller-C-faster-50-epochs"],
            "Over the paper's whole protocol (50 epochs, SGD and SAM with rho = 0.01) solutions with fewer features are fitted faster: under both the logarithm of the final loss is smaller for C = 2 than for C = 5, by more than two standard errors of the paired difference, and rises with C along a fitted line.",
            Verdict::NotSupported,
            (ASSUMPTIONS, 50.0, Some(5.0)),
            |setting, epochs| {
                let epochs = if epochs > 5.5 { ALL } else { FIRST };
                let sgd = Order::of(&logarithms(setting, 0.0, epochs, false)?);
                let sam = Order::of(&logarithms(setting, RHO, epochs, false)?);
                Ok(Judgement::new(
                    Verdict::supported_if(sgd.supports(1.0) && sam.supports(1.0)),
                    format!("mean of log(loss after {epochs} epochs) for C = 2 to 5: SGD {sgd}; SAM {sam}"),
                ))
            },
        )
    },
    empirical(
        &["sam-faster"],
        "From next to each of the solutions with C = 2 to 5 features SAM with rho = 0.01 lowers the loss faster than SGD: after five epochs its logarithm is smaller, by more than two standard errors of the paired difference.",
        Verdict::Supported,
        (ASSUMPTIONS, 1.0, Some(-1.0)),
        |setting, sign| {
            let (sgd, sam) = (logarithms(setting, 0.0, FIRST, true)?, logarithms(setting, RHO, FIRST, true)?);
            let mut least = f64::INFINITY;
            for (sgd, sam) in sgd.iter().zip(&sam) {
                let paired: Vec<f64> = sgd.iter().zip(sam).map(|(a, b)| sign * (a - b)).collect();
                least = least.min(mean(&paired) / variance_of_mean(&paired).sqrt());
            }
            Ok(Judgement::new(
                Verdict::supported_if(least > 2.0),
                format!(
                    "mean of log(loss after 5 epochs / loss before) for C = 2 to 5: SGD {}, SAM {}; {} runs, the smallest difference is {least:.1} standard errors",
                    list(&sgd),
                    list(&sam),
                    sgd[0].len()
                ),
            ))
        },
    ),
];

/// How a number for each run depends on C = 2 to 5.
struct Order {
    means: String,
    num_runs: usize,
    /// C = 5 less C = 2, and its standard error.
    difference: (f64, f64),
    slope: f64,
}

impl Order {
    fn of(values: &[Vec<f64>]) -> Self {
        let (first, last) = (&values[0], &values[values.len() - 1]);
        // Data, perturbation and order of a run are the same for all solutions.
        let paired: Vec<f64> = last.iter().zip(first).map(|(a, b)| a - b).collect();
        let points: Vec<(f64, f64)> =
            (2_u8..).zip(values).map(|(c, one)| (f64::from(c), mean(one))).collect();
        Self {
            means: list(values),
            num_runs: first.len(),
            difference: (mean(&paired), variance_of_mean(&paired).sqrt()),
            slope: fit_line(&points).map_or(0.0, |line| line.slope),
        }
    }

    /// Whether fewer features mean smaller values, beyond two standard errors; or with the sign -1 larger ones.
    fn supports(&self, sign: f64) -> bool {
        sign * self.difference.0 > 2.0 * self.difference.1 && sign * self.slope > 0.0
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (difference, error) = self.difference;
        write!(
            f,
            "{} ({} runs; C = 5 less C = 2: {difference:.3}, standard error {error:.3}; slope over C {:.3})",
            self.means, self.num_runs, self.slope
        )
    }
}

/// `log(loss)` after so many epochs, or relative to the loss before, of each run, for C = 2 to 5; data, start and order are those
/// of the run.
fn logarithms(setting: &Setting<'_>, rho: f64, epochs: usize, relative: bool) -> Result<Vec<Vec<f64>>> {
    let key =
        linstab_driver::streams::StreamKey::new(setting.config.seed, super::ID).text("local convergence");
    let of_run = |num_features: usize, run: usize| -> Result<f64> {
        let stream = |name: &str| key.text(name).number(run as u64).generator();
        let data = parity::draw(100, 100, Redundancy::Independent, &mut stream("data"))?;
        let solution = solutions::generalising(100, 50, num_features, solutions::optimal_scale(100))?;
        let mut network = solution.perturbed(0.01, &mut stream("perturbation"))?;
        let rule = if rho > 0.0 { TrainingRule::Sam { rho } } else { TrainingRule::Sgd };
        let mut trainer = Trainer::new(Training::new(rule, SquaredLoss::Full, 0.01, 10, epochs), &data, 50)?;
        let mut losses = Vec::new();
        trainer.run(&mut network, &mut stream("order"), |progress| {
            let predictions = progress.network.predictions(&data);
            losses.push(predictions.map_or(f64::INFINITY, |f| SquaredLoss::Full.mean(&f, data.labels())));
            ControlFlow::Continue(())
        })?;
        let before = if relative { losses[0] } else { 1.0 };
        Ok((losses[losses.len() - 1] / before).ln())
    };
    (2..=5).map(|c| (0..setting.config.sizes.num_runs).map(|run| of_run(c, run)).collect()).collect()
}
