//! What the paper says of stability at its solutions, judged on data of ours; and how an empirical claim is made: each has a
//! statistic and a threshold.

use linstab_coherence::Coherence;
use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use linstab_linalg::Reduced;
use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer, solutions};

use super::claim::{Claim, Judgement, Setting, Verdict, require};
use crate::Result;
use linstab_driver::statistics::mean;

/// An empirical claim; the last of its numbers are constant and wrong constant.
pub(super) const fn empirical(
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
    Claim {
        correction: "The divergence criterion (C.8.4) tells these solutions apart at no redundancy.",
        ..empirical(
            &["redundancy-blunts"],
            "High redundancy blunts the criteria: as inputs become copies of the first two with probability 0, 0.5, 0.75, 0.9, the logarithms of the ratios between C = 2 and C = 5, of lambda_max(S) and of the learning rate of Theorem 3.3, shrink at each step, and at 0.9 to less than a third.",
            Verdict::Supported,
            ("d = n = 100, flattest solutions, B = 10, means over data sets", 1.0 / 3.0, Some(0.05)),
            redundancy,
        )
    },
];

fn flattest(num_features: usize) -> Result<TwoLayer> {
    Ok(solutions::generalising(100, 100, num_features, solutions::optimal_scale(100))?)
}

fn curvature(data: &Dataset, network: &TwoLayer) -> Result<linstab_linalg::Factored> {
    Ok(Curvature::at(network, data, SquaredLoss::Half)?.gauss_newton()?)
}

fn redundancy(setting: &Setting<'_>, share: f64) -> Result<Judgement> {
    const PROBABILITIES: [f64; 4] = [0.0, 0.5, 0.75, 0.9];
    const DRAWS: u64 = 5;
    let mut logarithms: [Vec<f64>; 3] = Default::default();
    for probability in PROBABILITIES {
        let mut of_draws: [Vec<f64>; 3] = Default::default();
        for draw in 0..DRAWS {
            let mut rng = setting.key.float(probability).number(draw).generator();
            let data = parity::draw(100, 100, Redundancy::Correlated { probability }, &mut rng)?;
            let (two, five) = (criteria_at(&data, 2)?, criteria_at(&data, 5)?);
            for ((all, two), five) in of_draws.iter_mut().zip(two).zip(five) {
                all.push((two / five).ln().abs());
            }
        }
        for (all, draws) in logarithms.iter_mut().zip(&of_draws) {
            all.push(mean(draws));
        }
    }
    let shrinks =
        |all: &Vec<f64>| all.windows(2).all(|pair| pair[1] < pair[0]) && all[all.len() - 1] < share * all[0];
    let supported = logarithms[..2].iter().all(shrinks);
    let text = |all: &[f64]| all.iter().map(|x| format!("{x:.3}")).collect::<Vec<_>>().join(", ");
    Ok(Judgement::new(
        Verdict::supported_if(supported),
        format!(
            "mean |log| of the ratio at copying probabilities 0, 0.5, 0.75, 0.9, {DRAWS} data sets each: lambda_max(S) {}; Theorem 3.3 {}; divergence criterion {}",
            text(&logarithms[0]),
            text(&logarithms[1]),
            text(&logarithms[2])
        ),
    ))
}

/// `lambda_max(S)`, and the learning rates of Theorem 3.3 and of the divergence criterion, at a solution.
fn criteria_at(data: &Dataset, num_features: usize) -> Result<[f64; 3]> {
    let factored = curvature(data, &flattest(num_features)?)?;
    let coherence = Coherence::of(&factored)?;
    let problem = Problem {
        num_samples: data.num_samples(),
        batch_size: 10,
        coherence: coherence.measure,
        sharpness: Reduced::of(&factored)?.mean_eigenvalues().first().copied().unwrap_or(0.0),
        // The parameters are many more than the samples.
        min_eigenvalue: 0.0,
        rho_over_alpha: 0.0,
    };
    Ok([coherence.top_eigenvalue, criteria::existence_of_stable(&problem), criteria::divergence(&problem)])
}

fn simpler(setting: &Setting<'_>, sign: f64) -> Result<Judgement> {
    let (mut thresholds, mut of_single) = (Vec::new(), Vec::new());
    let data = parity::draw(100, 100, Redundancy::Independent, &mut setting.key.generator())?;
    let memorising = solutions::memorising(&data, 100, solutions::optimal_scale(100))?;
    for network in [flattest(2)?, flattest(3)?, flattest(4)?, flattest(5)?, memorising] {
        let reduced = Reduced::of(&curvature(&data, &network)?)?;
        for (batch_size, found) in [(10, &mut thresholds), (1, &mut of_single)] {
            let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 100, batch_size)?;
            let analysis = MeanSquare::new(&reduced, linstab_dynamics::Optimizer::sgd(), sampling)?;
            found.push(analysis.max_learning_rate()?.value);
        }
    }
    let equal = of_single.iter().all(|one| (one / of_single[0] - 1.0).abs() < 1e-6);
    let text = |values: &[f64]| values.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", ");
    require("simpler-more-stable", "equality for batches of one", equal, text(&of_single))?;
    let ordered = thresholds.windows(2).all(|pair| sign * pair[0] < sign * pair[1]);
    Ok(Judgement::new(
        Verdict::supported_if(ordered),
        format!(
            "eta* for C = 2, 3, 4, 5 and memorising: {}; for batches of one: {}",
            text(&thresholds),
            text(&of_single)
        ),
    ))
}
