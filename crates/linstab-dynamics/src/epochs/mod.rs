//! Exact and estimated stability where batches are cut from an order of all samples, epoch for epoch.
//!
//! A data loader permutes all samples once an epoch and cuts the permutation into batches ([`EpochSampling`]). The batches of an epoch
//! depend on one another, those of different epochs do not, so the mean square is multiplied by the **epoch map**
//!
//! ```text
//! T(X) = E_pi [ J X J^T ],   J = J_m .. J_1,   J_b the step on batch b of the permutation pi
//! ```
//!
//! on second moments `X` of the state. Growth per step is `rho(T)^(1/m)` for `m` batches an epoch, and the threshold is where it passes 1
//! first. It is no eigenvalue problem in the learning rate any more, `rho(T)` is a polynomial of it that need not be monotone:
//! thresholds are found by a scan, and a window of instability narrower than its steps could be missed.
//!
//! - [`AxisAlignedEpochs`]: commuting curvatures, exactly. Along an axis `J` is a product of scalars that depend on how many samples of
//!   each curvature a batch has; the expectation is a sum over these counts, batch by batch.
//! - [`Epochs::enumerated`]: any ensemble of few orders and few directions, exactly, by the matrix of `T`.
//! - [`Epochs::estimate`]: any ensemble, from sampled orders, with a confidence interval.
//!
//! # Is reshuffling ever less stable than drawing each batch afresh?
//!
//! Yes. One direction, four samples of curvatures `h, h, 0, 0`, batches of two: drawn afresh (without replacement) the threshold is
//! `3 / h`; reshuffled it is `2.7223 / h`, the root of `x^3 - 4 x^2 + 8 x - 6 = 0` for `x = eta h / 2`. With batches of one and commuting
//! curvatures the product over an epoch is the same for every order, and the threshold is the almost-sure one, which is never lower.

mod axis_aligned;
mod coarse;
mod draws;
mod enumerated;
mod estimate;
mod exponent;
mod guide;
mod population;
mod scores;
mod simulation;

use linstab_linalg::Reduced;

pub use axis_aligned::AxisAlignedEpochs;
pub use coarse::CoarseEpochs;
pub use enumerated::EnumeratedEpochs;
pub use estimate::{EpochOptions, EpochThreshold};

use crate::sampling::EpochSampling;
use crate::simulation::stepper::Stepper;
use crate::{DynamicsError, Interrupt, Optimizer, Result};

/// An optimizer on an ensemble with batches by epochs.
///
/// # Examples
/// ```
/// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
/// use linstab_dynamics::{Optimizer, epochs::Epochs};
/// use linstab_linalg::{Factored, Reduced};
/// // Curvatures 1, 1, 0, 0 in batches of two: 2.7223 where batches drawn afresh allow 3.
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 0.0, 0.0])?)?;
/// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 4, 2)?;
/// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
/// let exact = epochs.enumerated().expect("six orders of batches");
/// assert!((exact.max_learning_rate()? - 2.7223).abs() < 1e-4);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Epochs {
    /// The ensemble as the optimizer sees it.
    effective: Reduced,
    original: Reduced,
    optimizer: Optimizer,
    sampling: EpochSampling,
    interrupt: Interrupt,
}

impl Epochs {
    /// The analysis of `optimizer` on `ensemble` under `sampling`.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ.
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::Epochs};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 2.0])?)?;
    /// let of_three = EpochSampling::new(EpochOrder::Cyclic, LastBatch::Keep, 3, 1)?;
    /// assert!(Epochs::new(&ensemble, Optimizer::sgd(), of_three).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(ensemble: &Reduced, optimizer: Optimizer, sampling: EpochSampling) -> Result<Self> {
        require_same_number(ensemble.num_samples(), sampling)?;
        let effective = ensemble.congruent(|mean| optimizer.congruence(mean).sqrt());
        let interrupt = Interrupt::new();
        Ok(Self { effective, original: ensemble.clone(), optimizer, sampling, interrupt })
    }

    /// The same, whose estimates end with [`DynamicsError::Interrupted`] once the flag is raised.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// The order and its batches.
    pub fn sampling(&self) -> EpochSampling {
        self.sampling
    }

    /// Learning rate up to which the full-batch method is stable; infinite without curvature.
    pub fn gradient_descent_limit(&self) -> f64 {
        let sharpness = self.effective.mean_eigenvalues().first().copied().unwrap_or(0.0);
        self.optimizer.recursion().noise_free_limit(sharpness)
    }

    /// Whether every step is of all samples, without a choice.
    fn is_full_batch(&self) -> bool {
        self.sampling.batch_size() == self.sampling.num_samples() && self.optimizer.batch_ascent().is_none()
    }

    fn stepper(&self, learning_rate: f64) -> Result<Stepper> {
        Stepper::new(&self.effective, self.optimizer, learning_rate)
    }
}

fn require_same_number(expected: usize, sampling: EpochSampling) -> Result<()> {
    let (what, found) = ("number of samples of the epochs", sampling.num_samples());
    if expected == found { Ok(()) } else { Err(DynamicsError::SizeMismatch { what, expected, found }) }
}

/// Directions of the smallest coarse space.
const FEWEST_DIRECTIONS: usize = 16;

/// Steps of the scan for a threshold, as a factor; and where a step is dear.
const STEP: f64 = 1.01;
const COARSE_STEP: f64 = 1.05;

/// The first learning rate above `start` at which `excess` is positive, to the last digits: a scan in steps of `step`, then
/// bisection. A start that is unstable itself is halved until it is stable. Infinite if there is none up to 10^9 times the start.
fn first_crossing(start: f64, step: f64, mut excess: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    let mut start = start;
    while excess(start)? > 0.0 && start > f64::MIN_POSITIVE {
        start *= 0.5;
    }
    let (mut low, mut high) = (start, start);
    while excess(high)? <= 0.0 {
        (low, high) = (high, step * high);
        if high > 1e9 * start {
            return Ok(f64::INFINITY);
        }
    }
    while high - low > 2.0 * f64::EPSILON * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if excess(middle)? > 0.0 { high = middle } else { low = middle }
    }
    Ok(high)
}
