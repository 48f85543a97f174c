//! Exact stability of axis-aligned ensembles: each axis is a scalar random recursion.
//!
//! Along an axis with per-sample curvatures `h_i` a step multiplies the coordinate by `1 - eta h_t`, where
//! `h_t = (1/B) sum_{i in batch} h_i` has mean `l` and variance `s^2`. Hence, exactly,
//!
//! ```text
//! growth of the mean square    E (1 - eta h_t)^2 = (1 - eta l)^2 + eta^2 s^2
//! mean-square threshold        eta* = 2 l / (l^2 + s^2)
//! Lyapunov exponent            Lambda = E log |1 - eta h_t|
//! ```
//!
//! With momentum `beta` the coordinate and the one before are a pair; the growth is the largest root of a cubic, and the threshold is
//! `eta* = 2 / (l / (1 + beta) + s^2 / (l (1 - beta)))` ([`crate::mean_square`] has the derivation).
//!
//! and the ensemble has the largest growth, the smallest threshold and the largest exponent of its axes. Axes without
//! curvature do not move and are left out.

use linstab_linalg::{AxisAligned, ensemble::Axis};

use crate::error::require_nonnegative;
use crate::mean_square::{growth_defect, scalar_threshold};
use crate::optimizer::Recursion;
use crate::sampling::RemainingDraws;
use crate::second_moment::require_same_samples;
use crate::{BatchSampling, DynamicsError, Optimizer, Result};

/// The largest number of distinct batch curvatures of one axis over which an expectation is summed.
const MAX_OUTCOMES: usize = 1 << 20;

/// An update rule at work on an axis-aligned ensemble, with batches drawn by a given scheme.
///
/// # Examples
/// ```
/// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
/// use linstab_linalg::AxisAligned;
/// // Two samples, curvatures 0 and 2, batches of one: the factor is 1 or 1 - 2 eta with equal odds.
/// let ensemble = AxisAligned::from_diagonals(&[vec![0.0], vec![2.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
/// assert_eq!(dynamics.max_learning_rate(), 1.0);
/// assert_eq!(dynamics.growth_per_step(1.5)?, 2.5);
/// assert!((dynamics.lyapunov_exponent(1.5)? - 0.5 * 2.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(dynamics.lyapunov_exponent(0.5)?, f64::NEG_INFINITY, "half of the factors are exactly 0");
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AxisAlignedDynamics {
    effective: AxisAligned,
    optimizer: Optimizer,
    sampling: BatchSampling,
}

impl AxisAlignedDynamics {
    /// The dynamics of `rule` on `ensemble` under `sampling`.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ, [`DynamicsError::OutOfRange`] for a bad
    /// parameter of the rule, [`DynamicsError::Linalg`] if the transformed curvatures overflow.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let for_three = BatchSampling::new(SamplingScheme::Bernoulli, 3, 1)?;
    /// let error = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), for_three).unwrap_err();
    /// assert_eq!(error.to_string(), "number of samples of the sampling scheme is 3, expected 2");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(ensemble: &AxisAligned, optimizer: Optimizer, sampling: BatchSampling) -> Result<Self> {
        require_same_samples(ensemble, sampling)?;
        Ok(Self { effective: optimizer.effective_ensemble(ensemble)?, optimizer, sampling })
    }

    /// The ensemble on which plain SGD has the same linear map.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1 and 3, mean 2: SAM with c = 1/2 doubles them.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// let sam = AxisAlignedDynamics::new(&ensemble, Optimizer::sam(0.5)?, sampling)?;
    /// assert_eq!(sam.effective_ensemble().axis(0).curvatures(), [2.0, 6.0]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn effective_ensemble(&self) -> &AxisAligned {
        &self.effective
    }

    /// The update rule.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// assert_eq!(AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?.optimizer(), Optimizer::sgd());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// The sampling scheme and its sizes.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// assert_eq!(AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?.sampling(), sampling);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn sampling(&self) -> BatchSampling {
        self.sampling
    }

    /// Exact factor by which the mean square grows a step along the fastest-growing axis: below 1, `E |w_k|^2` decays.
    ///
    /// 1 for an ensemble without curvature. For random perturbation this is the growth of the noise-free part; the
    /// mean square stays bounded exactly when it is below 1.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `learning_rate` is positive and finite.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1, 1, 1, 3 and batches of one: E (1 - h)^2 = (0 + 0 + 0 + 4) / 4 at learning rate 1.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1)?;
    /// let sgd = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert_eq!(sgd.growth_per_step(1.0)?, 1.0);
    /// assert_eq!(sgd.growth_per_step(2.0)?, 7.0); // (1 + 1 + 1 + 25) / 4
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// For the shared axis of the test family this is the square bracket of arXiv 2511.17378, eq. (81), corrected.
    pub fn growth_per_step(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let recursion = self.optimizer.recursion();
        let growth = |axis: Axis<'_>| {
            let noise = learning_rate * learning_rate * self.batch_variance(axis);
            if recursion.is_memoryless() {
                let keep = 1.0 - recursion.step(learning_rate, axis.mean());
                keep * keep + recursion.response().powi(2) * noise
            } else {
                growth_with_memory(recursion, learning_rate, axis.mean(), noise)
            }
        };
        Ok(self.curved_axes().map(growth).reduce(f64::max).unwrap_or(1.0))
    }

    /// Exact mean-square threshold: the mean square decays for smaller and grows for larger learning rates.
    ///
    /// Infinite for an ensemble without curvature.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1, 1, 1, 3 and batches of one: l = 3/2, s^2 = 3/4, or 9/4 for Bernoulli sampling.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
    /// for (scheme, expected) in [(SamplingScheme::WithoutReplacement, 1.0), (SamplingScheme::Bernoulli, 2.0 / 3.0)] {
    ///     let sampling = BatchSampling::new(scheme, 4, 1)?;
    ///     let sgd = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
    ///     assert!((sgd.max_learning_rate() - expected).abs() < 1e-15);
    /// }
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Mulayoff and Michaeli 2024 for commuting curvatures; arXiv 2511.17378, eq. (87) for the shared axis under
    /// Bernoulli sampling.
    pub fn max_learning_rate(&self) -> f64 {
        let recursion = self.optimizer.recursion();
        let threshold = |axis: Axis<'_>| {
            // In this form small curvatures do not underflow.
            scalar_threshold(recursion, axis.mean(), self.batch_variance(axis))
        };
        self.curved_axes().map(threshold).fold(f64::INFINITY, f64::min)
    }

    /// Learning rate up to which full-batch gradient descent is stable, `2 (1 + beta) / lambda_max` of the effective ensemble.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// // The mean of 1 and 3 is 2.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1)?;
    /// assert_eq!(AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?.gradient_descent_limit(), 1.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn gradient_descent_limit(&self) -> f64 {
        let recursion = self.optimizer.recursion();
        self.curved_axes().map(|axis| recursion.noise_free_limit(axis.mean())).fold(f64::INFINITY, f64::min)
    }

    /// Exact top Lyapunov exponent `max_axes E log |1 - eta h_t|`: below 0, almost every run converges in the end
    /// (though it may first grow by any factor); above 0, almost every run diverges.
    ///
    /// Negative infinity if along every axis some batch has a factor of exactly zero (to within
    /// the rounding of its inputs); 0 for an ensemble without curvature. Noise of the rule is left out.
    /// # Cost
    /// A finite sum over the counts of drawn samples of each distinct curvature of an axis.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, [`DynamicsError::TooManyOutcomes`] if an axis has so many
    /// distinct curvatures that the sum has more than 2^20 terms, [`DynamicsError::Unsupported`] with momentum.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1 and 3 at learning rate 4/3: the factors 1 - 4/3 and 1 - 4 cancel in the long run, 1/3 * 3 = 1.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!(sgd.lyapunov_exponent(4.0 / 3.0)?.abs() < 1e-15);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn lyapunov_exponent(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        if !self.optimizer.recursion().is_sgd() {
            return Err(DynamicsError::Unsupported {
                what: "an exact Lyapunov exponent with momentum or weight decay",
                why: "products of two-by-two matrices have no finite sum; `MeanSquare` estimates it",
            });
        }
        let mut exponent: Option<f64> = None;
        for (index, axis) in self.effective.axes().enumerate() {
            if !axis.samples().is_empty() {
                let of_axis = self.axis_exponent(index, axis, learning_rate)?;
                exponent = Some(exponent.map_or(of_axis, |top| top.max(of_axis)));
            }
        }
        Ok(exponent.unwrap_or(0.0))
    }

    fn curved_axes(&self) -> impl Iterator<Item = Axis<'_>> {
        self.effective.axes().filter(|axis| !axis.samples().is_empty())
    }

    fn batch_variance(&self, axis: Axis<'_>) -> f64 {
        self.sampling.batch_variance(axis.variance(), axis.mean_square())
    }

    fn axis_exponent(&self, index: usize, axis: Axis<'_>, learning_rate: f64) -> Result<f64> {
        let scale = learning_rate / self.sampling.batch_size() as f64;
        let groups = curvature_groups(axis);
        let mut budget = MAX_OUTCOMES;
        let mut sum = 0.0;
        let draws = RemainingDraws::new(self.sampling);
        let complete =
            for_each_outcome(&groups, draws, (1.0, 0.0), &mut budget, &mut |probability, total| {
                let factor = step_factor(scale * total).abs();
                // A batch that is possible counts, even if its probability underflows to 0.
                sum += if factor > 0.0 { probability * factor.ln() } else { f64::NEG_INFINITY };
            });
        if complete {
            Ok(sum)
        } else {
            Err(DynamicsError::TooManyOutcomes { axis: index, limit: MAX_OUTCOMES })
        }
    }
}

/// Growth of the mean square along one axis with a memory: the largest `g` at which the
/// [defect](crate::mean_square::growth_defect) is `noise = eta^2 s^2`.
///
/// Above the growth without noise the defect increases, so bisection finds the root, to the last bit.
fn growth_with_memory(recursion: Recursion, eta: f64, mean: f64, noise: f64) -> f64 {
    let mut low = recursion.noise_free_growth(eta, mean).max(f64::MIN_POSITIVE);
    if noise <= 0.0 {
        return low;
    }
    let excess = |g: f64| growth_defect(recursion, eta, g, mean, mean) - noise;
    let mut high = 2.0 * low.max(1.0);
    while excess(high) < 0.0 {
        high *= 2.0;
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return high;
        }
        if excess(middle) < 0.0 { low = middle } else { high = middle }
    }
}

/// The factor `1 - step` of one coordinate, exactly 0 where it is 0 to within the rounding of `step`.
///
/// `step = eta * h_t` is a product of four rounded numbers; a result within 4 epsilon of 1 stands for 1. Without this a
/// factor that is zero on paper would be some 1e-16, and a coordinate could grow back from it. The exact Lyapunov
/// exponent and the simulation use this same function.
#[inline]
pub(crate) fn step_factor(step: f64) -> f64 {
    let factor = 1.0 - step;
    if factor.abs() <= 4.0 * f64::EPSILON { 0.0 } else { factor }
}

/// Distinct curvatures of an axis, with the number of samples that have each.
pub(crate) fn curvature_groups(axis: Axis<'_>) -> Vec<(f64, usize)> {
    let mut curvatures = axis.curvatures().to_vec();
    curvatures.sort_unstable_by(f64::total_cmp);
    let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits();
    curvatures.chunk_by(same).map(|group| (group[0], group.len())).collect()
}

/// Calls `visit(probability, sum of drawn curvatures)` for every combination of counts; false if there are too many.
fn for_each_outcome(
    groups: &[(f64, usize)],
    draws: RemainingDraws,
    (probability, total): (f64, f64),
    budget: &mut usize,
    visit: &mut impl FnMut(f64, f64),
) -> bool {
    let Some((&(curvature, size), rest)) = groups.split_first() else {
        visit(probability, total);
        *budget = budget.saturating_sub(1);
        return *budget > 0;
    };
    draws.count_law(size).iter().all(|(count, conditional)| {
        let outcome = (probability * conditional, total + count as f64 * curvature);
        for_each_outcome(rest, draws.after(size, count), outcome, budget, visit)
    })
}
