//! Thresholds along a training.

use super::MeanSquare;
use super::family::{Family, InverseRate};
use super::subspace::SampleSubspace;
use crate::Result;

/// Relative accuracy.
const TOLERANCE: f64 = 1e-4;
/// How far a threshold is expected to move at a time.
const LARGEST_CHANGE: f64 = 1.25;

/// Thresholds of the same samples one after the other, as along a training: each starts from what the samples did at the one before.
///
/// Found to a relative 1e-4 and proven as [`MeanSquare::max_learning_rate`] proves them, without an interval: a step to something entirely
/// different costs time, not accuracy.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::ThresholdTracker;
/// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
/// use linstab_linalg::{Factored, Reduced};
/// // Orthogonal samples, batches of one: the sharper alone limits the learning rate, to 2/4, and later to 2/9.
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let mut tracker = ThresholdTracker::default();
/// for (length, expected) in [(2.0, 0.5), (3.0, 2.0 / 9.0)] {
///     let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![length, 0.0, 0.0, 1.0])?)?;
///     let found = tracker.next(&MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?)?;
///     assert!((found / expected - 1.0).abs() < 1e-4);
/// }
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ThresholdTracker {
    last: Option<Last>,
}

#[derive(Clone, Debug)]
struct Last {
    threshold: f64,
    /// By what the threshold was multiplied.
    change: f64,
    /// The blocks that proved it.
    blocks: Vec<f64>,
}

impl ThresholdTracker {
    /// The next threshold.
    ///
    /// # Errors
    /// As [`MeanSquare::max_learning_rate`].
    pub fn next(&mut self, analysis: &MeanSquare) -> Result<f64> {
        if analysis.effective.rank() == 0 || analysis.sample_weight() <= 0.0 {
            self.last = None;
            return Ok(analysis.gradient_descent_limit());
        }
        let unit = analysis.sharpness();
        let family = InverseRate { weights: analysis.critical_weights().in_units_of(unit) };
        let mut subspace = SampleSubspace::new(&analysis.plain, None);
        let fits = |last: &&Last| last.blocks.len() == subspace.num_entries();
        let guess = match self.last.as_ref().filter(fits) {
            // It changes by nearly the same factor from step to step.
            Some(Last { threshold, change, blocks }) => {
                subspace.push(blocks.clone());
                (threshold * change.clamp(LARGEST_CHANGE.recip(), LARGEST_CHANGE) * unit).recip()
            }
            None => 2.0 * family.pole(),
        };
        let critical = analysis.problem(&family).solve(&mut subspace, guess, TOLERANCE)?;
        let threshold = (critical.root.max(family.pole()) * unit).recip();
        let change = self.last.as_ref().map_or(1.0, |last| threshold / last.threshold);
        self.last = Some(Last { threshold, change, blocks: critical.blocks });
        Ok(threshold)
    }
}
