//! Commuting curvatures: each axis is a product of scalars over the batches of an epoch.

use linstab_linalg::{AxisAligned, Ensemble as _, ensemble::Axis};

use super::{STEP, first_crossing, require_same_number};
use crate::axis_aligned::curvature_groups;
use crate::error::require_nonnegative;
use crate::optimizer::Recursion;
use crate::sampling::{CountLaw, EpochOrder, EpochSampling};
use crate::{DynamicsError, Optimizer, Result};

/// The largest number of terms that are added for one expectation.
const MAX_TERMS: usize = 1 << 26;

/// An optimizer without memory on an axis-aligned ensemble, with batches by epochs.
///
/// # Examples
/// ```
/// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
/// use linstab_dynamics::{Optimizer, epochs::AxisAlignedEpochs};
/// use linstab_linalg::AxisAligned;
/// // Curvatures 0 and 2 in batches of one: an epoch multiplies by 1 - 2 eta, whatever the order. Drawn afresh, the limit is 1, too;
/// // but the mean square then grows by (1 + (1 - 2 eta)^2) / 2 a step.
/// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
/// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
/// let epochs = AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), sampling)?;
/// assert!((epochs.growth_per_step(2.0)? - 3.0).abs() < 1e-14, "the root of 9, for two steps");
/// assert!((epochs.max_learning_rate()? - 1.0).abs() < 1e-14);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AxisAlignedEpochs {
    pub(super) effective: AxisAligned,
    recursion: Recursion,
    pub(super) sampling: EpochSampling,
}

impl AxisAlignedEpochs {
    /// The dynamics of `optimizer` on `ensemble` under `sampling`.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ, [`DynamicsError::Unsupported`] for an optimizer with momentum or
    /// ascent on the mini-batch, [`DynamicsError::Linalg`] if the transformed curvatures overflow.
    pub fn new(ensemble: &AxisAligned, optimizer: Optimizer, sampling: EpochSampling) -> Result<Self> {
        require_same_number(ensemble.num_samples(), sampling)?;
        let recursion = optimizer.recursion();
        let in_order = sampling.order() != EpochOrder::Afresh;
        if !in_order || !recursion.is_memoryless() || optimizer.batch_ascent().is_some() {
            let (what, why) =
                ("an epoch axis by axis", "with momentum a step is no scalar; reduce the ensemble");
            return Err(DynamicsError::Unsupported { what, why });
        }
        Ok(Self { effective: optimizer.effective_ensemble(ensemble)?, recursion, sampling })
    }

    /// Exact factor by which the mean square grows a step, in the mean over an epoch, along the fastest-growing axis; 1 without
    /// curvature.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, [`DynamicsError::TooManyOutcomes`] if an axis has so many distinct curvatures
    /// that an expectation has more than 2^26 terms.
    pub fn growth_per_step(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let mut most: Option<f64> = None;
        for (index, axis) in self.curved_axes() {
            let growth = self.log_growth(index, axis, learning_rate)?;
            most = Some(most.map_or(growth, |most| most.max(growth)));
        }
        Ok(most.map_or(1.0, |growth| (growth / self.sampling.num_batches() as f64).exp()))
    }

    /// Exact mean-square threshold: the first learning rate, in a scan by steps of one percent, at which the mean square grows. Infinite
    /// without curvature.
    ///
    /// The scan starts where no batch can enlarge an axis, at the [overdamped limit](crate::optimizer::Recursion::overdamped_limit) of the
    /// sharpest sample.
    /// # Errors
    /// As [`AxisAlignedEpochs::growth_per_step`].
    pub fn max_learning_rate(&self) -> Result<f64> {
        let mut least = f64::INFINITY;
        for (index, axis) in self.curved_axes() {
            let sharpest = axis.curvatures().iter().copied().fold(0.0, f64::max);
            let start = self.recursion.overdamped_limit(sharpest) * (1.0 - 1e-12);
            least = least.min(first_crossing(start, STEP, |eta| self.log_growth(index, axis, eta))?);
        }
        Ok(least)
    }

    /// Exact top Lyapunov exponent a step: `E log |factor|` in the mean over the batches of an epoch. Negative infinity if along every
    /// axis some batch has a factor of zero; 0 without curvature.
    ///
    /// # Errors
    /// As [`AxisAlignedEpochs::growth_per_step`].
    pub fn lyapunov_exponent(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let mut most: Option<f64> = None;
        for (index, axis) in self.curved_axes() {
            let exponent = self.axis_exponent(index, axis, learning_rate)?;
            most = Some(most.map_or(exponent, |most| most.max(exponent)));
        }
        Ok(most.unwrap_or(0.0))
    }

    fn curved_axes(&self) -> impl Iterator<Item = (usize, Axis<'_>)> {
        self.effective.axes().enumerate().filter(|(_, axis)| !axis.samples().is_empty())
    }

    /// The factor of a step, exactly 0 to within rounding.
    pub(super) fn factor(&self, learning_rate: f64, curvature: f64) -> f64 {
        crate::axis_aligned::step_factor(self.recursion.step(learning_rate, curvature))
    }

    /// Logarithm of the growth of the mean square over an epoch.
    fn log_growth(&self, index: usize, axis: Axis<'_>, eta: f64) -> Result<f64> {
        if self.sampling.order() == EpochOrder::Cyclic {
            return Ok(2.0 * self.in_turn(axis, eta));
        }
        let classes = Classes::of(axis, self.sampling);
        if classes.num_terms() > MAX_TERMS {
            return Err(DynamicsError::TooManyOutcomes { axis: index, limit: MAX_TERMS });
        }
        let (mut states, mut log) = (vec![0.0; classes.num_states()], 0.0);
        states[0] = 1.0;
        let mut left = self.sampling.num_samples();
        for size in self.sampling.batch_sizes() {
            let mut next = vec![0.0; states.len()];
            for (state, &value) in states.iter().enumerate().filter(|(_, value)| **value > 0.0) {
                classes.for_each_batch(state, left, size, |reached, probability, total| {
                    let factor = self.factor(eta, total / size as f64);
                    next[reached] += value * probability * factor * factor;
                });
            }
            let most = next.iter().copied().fold(0.0, f64::max);
            if most <= 0.0 {
                return Ok(f64::NEG_INFINITY);
            }
            log += most.ln();
            for value in &mut next {
                *value /= most;
            }
            (states, left) = (next, left - size);
        }
        Ok(log + states.iter().sum::<f64>().ln())
    }

    /// `sum_b log |factor of batch b|` in the order of the samples.
    fn in_turn(&self, axis: Axis<'_>, eta: f64) -> f64 {
        let mut curvatures = vec![0.0; self.sampling.num_samples()];
        for (&sample, &h) in axis.samples().iter().zip(axis.curvatures()) {
            curvatures[sample] = h;
        }
        let mut rest = &curvatures[..];
        let logs = self.sampling.batch_sizes().map(|size| {
            let (batch, later) = rest.split_at(size);
            rest = later;
            self.factor(eta, batch.iter().sum::<f64>() / size as f64).abs().ln()
        });
        logs.sum()
    }

    fn axis_exponent(&self, index: usize, axis: Axis<'_>, eta: f64) -> Result<f64> {
        let num_batches = self.sampling.num_batches() as f64;
        if self.sampling.order() == EpochOrder::Cyclic {
            return Ok(self.in_turn(axis, eta) / num_batches);
        }
        let classes = Classes::of(axis, self.sampling);
        if classes.num_terms() > MAX_TERMS {
            return Err(DynamicsError::TooManyOutcomes { axis: index, limit: MAX_TERMS });
        }
        // Each batch by itself is a uniform subset of its size.
        let mut sum = 0.0;
        for size in self.sampling.batch_sizes() {
            classes.for_each_batch(0, self.sampling.num_samples(), size, |_, probability, total| {
                let factor = self.factor(eta, total / size as f64).abs();
                sum += if factor > 0.0 { probability * factor.ln() } else { f64::NEG_INFINITY };
            });
        }
        Ok(sum / num_batches)
    }
}

/// The distinct curvatures of an axis with their samples; a state is how many of each have been used, in mixed radix.
struct Classes {
    groups: Vec<(f64, usize)>,
    sampling: EpochSampling,
}

impl Classes {
    fn of(axis: Axis<'_>, sampling: EpochSampling) -> Self {
        Self { groups: curvature_groups(axis), sampling }
    }

    fn num_states(&self) -> usize {
        self.groups.iter().fold(1, |product: usize, &(_, size)| product.saturating_mul(size + 1))
    }

    fn num_terms(&self) -> usize {
        let counts = self.groups.iter().map(|&(_, size)| size.min(self.sampling.batch_size()) + 1);
        let outcomes = counts.fold(1, usize::saturating_mul);
        self.num_states().saturating_mul(outcomes).saturating_mul(self.sampling.num_batches())
    }

    /// Calls `visit(state, probability, sum of curvatures)` for every content of a batch of `size` out of the `left` samples that a
    /// state has not used.
    fn for_each_batch(&self, state: usize, left: usize, size: usize, mut visit: impl FnMut(usize, f64, f64)) {
        self.descend(
            0,
            state,
            Partial { left, draws: size, place: 1, reached: state, probability: 1.0, total: 0.0 },
            &mut visit,
        );
    }

    fn descend(&self, group: usize, used: usize, at: Partial, visit: &mut impl FnMut(usize, f64, f64)) {
        let Some(&(curvature, size)) = self.groups.get(group) else {
            return visit(at.reached, at.probability, at.total);
        };
        let remaining = size - used % (size + 1);
        for (count, probability) in CountLaw::hypergeometric(at.left, remaining, at.draws).iter() {
            let next = Partial {
                left: at.left - remaining,
                draws: at.draws - count,
                place: at.place * (size + 1),
                reached: at.reached + count * at.place,
                probability: at.probability * probability,
                total: at.total + count as f64 * curvature,
            };
            self.descend(group + 1, used / (size + 1), next, visit);
        }
    }
}

/// A batch whose contents are known for some of the classes.
#[derive(Clone, Copy)]
struct Partial {
    /// Samples of the other classes.
    left: usize,
    draws: usize,
    /// The weight of the next class in a state.
    place: usize,
    reached: usize,
    probability: f64,
    total: f64,
}
