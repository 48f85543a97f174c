//! What data loaders do to thresholds. The paper draws each batch afresh; the statement is ours.

use linstab_dynamics::epochs::AxisAlignedEpochs;
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, Optimizer, SamplingScheme};
use linstab_linalg::AxisAligned;
use rand::RngExt;

use super::claim::{Claim, Judgement, Verdict, require};
use crate::Result;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[Claim {
    ids: &["reshuffled-not-below"],
    statement: "Batches cut from a new order of all samples once an epoch never have a smaller mean-square threshold than batches of the same size drawn afresh without replacement.",
    correction: "One direction and four samples of curvatures h, h, 0, 0 in batches of two have 3/h afresh and 2.7223/h reshuffled, where x^3 - 4 x^2 + 8 x - 6 = 0 for x = eta h / 2. With batches of one and commuting curvatures it is never smaller.",
    assumptions: "SGD, exact thresholds along single axes, the batch size divides the number of samples; not in the paper",
    refuted_by: "a search that finds no ensemble with a smaller reshuffled threshold",
    expected: Verdict::Refuted,
    constant: 1.0,
    wrong_constant: Some(3.0),
    check: |setting, factor| {
        let mut rng = setting.key.generator();
        let (mut lower, mut least, mut singles) = (0, f64::INFINITY, f64::INFINITY);
        for index in 0..NUM_ENSEMBLES {
            let (n, b) = SIZES[index % SIZES.len()];
            // Few distinct curvatures, so that counts matter, or all different.
            let curvatures: Vec<f64> = (0..n)
                .map(|_| match index % 3 {
                    0 => f64::from(u8::from(rng.random_bool(0.5))),
                    1 => [0.0, 1.0, 3.0][rng.random_range(0..3)],
                    _ => rng.random_range(0.0..1.0),
                })
                .collect();
            if curvatures.iter().all(|h| *h <= 0.0) {
                continue;
            }
            let ratio = factor * ratio(&curvatures, b)?;
            if b == 1 {
                singles = singles.min(ratio);
            } else {
                lower += usize::from(ratio < 1.0 - 1e-9);
                least = least.min(ratio);
            }
        }
        let id = "reshuffled-not-below";
        require(id, "the statement on batches of one", singles > 1.0 - 1e-9, singles)?;
        let x = 0.5 * 3.0 * ratio(&[1.0, 1.0, 0.0, 0.0], 2)?;
        let cubic = x * x * x - 4.0 * x * x + 8.0 * x - 6.0;
        require(id, "the counterexample", cubic.abs() < 1e-9, cubic)?;
        Ok(Judgement::new(
            Verdict::holds_if(lower == 0),
            format!(
                "{lower} of {NUM_ENSEMBLES} random ensembles of up to {} samples are less stable reshuffled, the least with {least:.4} of \
                 the threshold; batches of one at least {singles:.4}",
                SIZES.iter().map(|(n, _)| n).max().unwrap_or(&0),
            ),
        ))
    },
}];

const NUM_ENSEMBLES: usize = 600;

/// Samples and batch sizes.
const SIZES: &[(usize, usize)] = &[(4, 2), (6, 2), (6, 3), (4, 1), (8, 4), (6, 1), (8, 2)];

/// The reshuffled threshold of scalar curvatures over that of batches drawn afresh.
fn ratio(curvatures: &[f64], batch_size: usize) -> Result<f64> {
    let diagonals: Vec<Vec<f64>> = curvatures.iter().map(|&h| vec![h]).collect();
    let (ensemble, n) = (AxisAligned::from_diagonals(&diagonals)?, curvatures.len());
    let epochs = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, n, batch_size)?;
    let reshuffled = AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), epochs)?.max_learning_rate()?;
    let afresh = BatchSampling::new(SamplingScheme::WithoutReplacement, n, batch_size)?;
    let afresh = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), afresh)?.max_learning_rate();
    Ok(reshuffled / afresh)
}
