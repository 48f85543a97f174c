//! Thresholds of almost every run beside those of the mean square: by simulation, within a budget for all rows together.

use linstab_dynamics::lyapunov::{AlmostSureThreshold, ChainOptions};
use linstab_dynamics::sampling::Loader;
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme};
use linstab_linalg::Reduced;
use rand_pcg::Pcg64;

use crate::Result;
use crate::report::Training;

/// Multiplications for all rows: a second or two of one core.
const BUDGET: f64 = 2e9;
/// Exponents that a threshold takes, roughly.
const EXPONENTS: f64 = 15.0;
const NUM_CHAINS: usize = 16;
/// Steps of a chain at least and at most; the first third is not counted.
const STEPS: (f64, f64) = (300.0, 3000.0);
/// Far below the statistical error of so few steps.
const RTOL: f64 = 1e-3;

/// Streams apart from those of chains, populations and batches.
const STREAM: u128 = 1 << 66;

/// What is left to spend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: f64,
    share: f64,
}

impl Budget {
    /// For so many rows, each of which has a share; what rows at the least number of steps need more is taken from those that follow.
    pub(crate) fn for_rows(num_rows: usize) -> Self {
        Self { left: BUDGET, share: BUDGET / num_rows.max(1) as f64 }
    }

    /// What it is, in a sentence.
    pub(crate) fn announcement() -> String {
        format!("thresholds of almost every run, too, by simulation: at most {BUDGET:.0e} multiplications")
    }

    /// Steps of a chain for a row of which a step of all chains costs so much; none if there is not enough left.
    fn steps(&mut self, cost_of_step: f64) -> Option<usize> {
        let cost = EXPONENTS * cost_of_step;
        let steps = (self.share / cost).clamp(STEPS.0, STEPS.1).floor();
        let affordable = steps * cost <= self.left;
        if affordable {
            self.left -= steps * cost;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 300 and 3000")]
        affordable.then_some(steps as usize)
    }
}

/// The threshold of almost every run of a training of plain batches drawn afresh, from that of the mean square and of the full batch; none for
/// other trainings, and where it would take too much.
pub(crate) fn almost_sure(
    ensemble: &Reduced,
    training: Training,
    (mean_square, full_batch): (f64, f64),
    seed: u64,
    budget: &mut Budget,
) -> Result<Option<AlmostSureThreshold>> {
    let Training { optimizer, batch_size, sampling, .. } = training;
    let (Loader::Independent(scheme), None) = (sampling, optimizer.batch_ascent()) else { return Ok(None) };
    let num_samples = ensemble.num_samples();
    if scheme == SamplingScheme::WithoutReplacement && batch_size == num_samples {
        // Without sampling noise every run is the mean.
        return Ok(Some(AlmostSureThreshold { value: full_batch, interval: (full_batch, full_batch) }));
    }
    let factors = (batch_size * ensemble.num_factors()) as f64;
    let cost_of_step = NUM_CHAINS as f64 * (2.0 * factors + 3.0) * ensemble.rank() as f64;
    let Some(steps) = budget.steps(cost_of_step) else { return Ok(None) };
    let analysis =
        MeanSquare::new(ensemble, optimizer, BatchSampling::new(scheme, num_samples, batch_size)?)?;
    let options = ChainOptions { num_chains: NUM_CHAINS, burn_in: steps / 3, num_steps: steps - steps / 3 };
    let stream = |chain: usize| Pcg64::new(u128::from(seed), STREAM + chain as u128);
    Ok(Some(analysis.almost_sure_threshold_above(mean_square, RTOL, options, stream)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_spent_than_there_is() {
        // Cheap rows take their share at most, dear ones as long as there is something left.
        let mut cheap = Budget::for_rows(4);
        let steps: Vec<_> = (0..4).map(|_| cheap.steps(1e5).unwrap()).collect();
        assert!(steps.iter().all(|steps| *steps == 333) && cheap.left >= 0.0, "{steps:?}");
        let mut dear = Budget::for_rows(4);
        let steps: Vec<_> = (0..4).map(|_| dear.steps(1.5e5)).collect();
        assert_eq!(steps, [Some(300), Some(300), None, None]);
        assert_eq!(Budget::for_rows(1).steps(1e9), None);
        assert_eq!(Budget::for_rows(1).steps(1.0), Some(3000));
    }
}
