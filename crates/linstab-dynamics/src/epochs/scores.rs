//! What a sample does to a value on average: which samples a state has yet to meet, as one number.

use super::Epochs;
use crate::sampling::EpochOrder;

/// Weight of what was seen an epoch ago.
const KEPT: f64 = 0.9;
/// Largest change of a logarithm by one batch that counts: a value that a batch all but extinguishes says no more.
const LARGEST: f64 = 6.0;

/// The mean change of the logarithm of a value by the batches that hold a sample, sample for sample.
///
/// Within an epoch a state that has had the samples that enlarge it is no better off than one that is to meet them. Where curvatures commute
/// and batches are of one, a state less the scores of its samples is the same for every order.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    values: Vec<f64>,
    seen: Vec<Seen>,
    /// The other samples of a batch are those that it does not hold: without that the scores of large batches would be too small. 0 where
    /// samples do not wait for their turn.
    correction: f64,
}

/// The changes by the batches that held a sample.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Seen {
    fn mean(self) -> f64 {
        self.sum / self.count.max(f64::MIN_POSITIVE)
    }

    /// Variance of the mean.
    fn variance(self) -> f64 {
        (self.squares / self.count.max(f64::MIN_POSITIVE) - self.mean().powi(2)) / self.count.max(1.0)
    }
}

impl Scores {
    pub(super) fn new(epochs: &Epochs) -> Self {
        let (n, b) = (epochs.sampling.num_samples(), epochs.sampling.batch_size());
        let in_turn = epochs.sampling.order() == EpochOrder::Reshuffling && b < n;
        let correction = if in_turn { (n - 1) as f64 / (n - b) as f64 } else { 0.0 };
        Self { values: vec![0.0; n], seen: vec![Seen::default(); n], correction }
    }

    /// The sum over a batch.
    pub(super) fn of(&self, batch: &[usize]) -> f64 {
        batch.iter().map(|&sample| self.values[sample]).sum()
    }

    /// Takes note that a batch changed a value by this factor.
    pub(super) fn learn(&mut self, batch: &[usize], ratio: f64) {
        let change = ratio.ln().clamp(-LARGEST, LARGEST);
        if change.is_nan() {
            return;
        }
        for &sample in batch {
            let Seen { count, sum, squares } = &mut self.seen[sample];
            *count += 1.0;
            *sum += change;
            *squares += change * change;
        }
    }

    /// Takes on what was learnt: between epochs only, so that weights are made of what was known before. Means are shrunk towards their common
    /// mean by the share of their spread that chance explains (James and Stein): noise in scores is worse than none.
    pub(super) fn renew(&mut self) {
        let n = self.seen.len() as f64;
        let centre = self.seen.iter().map(|seen| seen.mean()).sum::<f64>() / n;
        let spread = self.seen.iter().map(|seen| (seen.mean() - centre).powi(2)).sum::<f64>();
        let chance = self.seen.iter().map(|seen| seen.variance()).sum::<f64>();
        let share = if spread > chance { 1.0 - chance / spread } else { 0.0 };
        for (value, seen) in self.values.iter_mut().zip(&mut self.seen) {
            *value = self.correction * share * (seen.mean() - centre);
            seen.count *= KEPT;
            seen.sum *= KEPT;
            seen.squares *= KEPT;
        }
    }
}
