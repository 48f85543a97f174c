//! From a small loss to none: damped Gauss-Newton steps of least norm.
//!
//! With residuals `e` and the gradients of the predictions as rows of `J`, a step is `w <- w - J^T (K + mu I)^{-1} e`,
//! `K = J J^T`: n x n algebra, whatever the number of parameters. Without damping it is the smallest step that makes the
//! linearised residuals vanish, so the end lies near the start. The damping `mu` falls after a step that is accepted and rises
//! after one that is not (Levenberg 1944, Marquardt 1963).
//!
//! A step is accepted if it does not make the loss four times as large. To insist on a fall would be a trap: with
//! some thousand pre-activations, kinks are near, and the loss has valleys along them in which no small step helps. As a
//! semismooth Newton method the iteration crosses them, and converges quadratically once it crosses no more.

use linstab_linalg::symmetric;

use crate::error::require_nonnegative;
use crate::{Curvature, Dataset, ReluError, Result, SquaredLoss, TwoLayer};

/// When a polish ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolishOptions {
    /// The mean loss to reach; positive.
    pub target_loss: f64,
    /// Largest number of steps.
    pub max_steps: usize,
}

impl Default for PolishOptions {
    /// A loss of 1e-20 in 100 steps.
    fn default() -> Self {
        Self { target_loss: 1e-20, max_steps: 100 }
    }
}

/// A network that interpolates to the accuracy that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Polished {
    /// The network.
    pub network: TwoLayer,
    /// Its mean loss, at most the target.
    pub loss: f64,
    /// Number of accepted steps.
    pub num_steps: usize,
}

/// Damping relative to the largest eigenvalue of `K`: at the start, the bounds, and its change by a step.
const FIRST_DAMPING: f64 = 1e-3;
const SMALLEST_DAMPING: f64 = 1e-13;
const LARGEST_DAMPING: f64 = 1e6;
const DAMPING_FACTOR: f64 = 10.0;

/// A loss this many times as large, residuals twice as large, is accepted after a step.
const ACCEPTED_RISE: f64 = 4.0;

/// Moves `network` to an interpolating minimum of the squared loss near it.
///
/// # Cost
/// An eigenproblem of order `n` a step, and a forward pass for each damping that is tried.
/// # Accuracy
/// The mean loss ends at most at the target; rounding keeps it above about 1e-31 for labels of size 1.
/// # Errors
/// [`ReluError::NotInterpolated`] with the smallest loss that was reached, if the steps do not suffice (as when there are too
/// few parameters, or a sample that no unit fires for has another label than 0); [`ReluError::OutOfRange`] for a target that
/// is not positive; those of [`Curvature::at`] for the start.
/// # Examples
/// ```
/// use linstab_relu::{Dataset, SquaredLoss, TwoLayer, polish::{self, PolishOptions}};
/// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?; // f(1) = 8
/// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
/// let polished = polish::run(&network, &data, SquaredLoss::Half, PolishOptions::default())?;
/// assert!((polished.network.predict(&[1.0]) - 7.0).abs() < 1e-9);
/// // No unit fires at -1, so the label cannot be reached.
/// let data = Dataset::new(1, vec![-1.0], vec![7.0])?;
/// assert!(polish::run(&network, &data, SquaredLoss::Half, PolishOptions::default()).is_err());
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
pub fn run(
    network: &TwoLayer,
    data: &Dataset,
    loss: SquaredLoss,
    options: PolishOptions,
) -> Result<Polished> {
    require_nonnegative("target_loss", options.target_loss, true)?;
    let mut network = network.clone();
    let mut curvature = Curvature::at(&network, data, loss)?;
    let (mut damping, mut num_steps, mut smallest) = (FIRST_DAMPING, 0, curvature.mean_loss());
    while curvature.mean_loss() > options.target_loss {
        let moved = if num_steps < options.max_steps {
            step(&network, &curvature, data, &mut damping)?
        } else {
            None
        };
        let Some(moved) = moved else {
            let (loss, target) = (smallest, options.target_loss);
            return Err(ReluError::NotInterpolated { loss, target, num_steps });
        };
        network = moved;
        curvature = Curvature::at(&network, data, loss)?;
        num_steps += 1;
        smallest = smallest.min(curvature.mean_loss());
    }
    let loss = curvature.mean_loss();
    Ok(Polished { network, loss, num_steps })
}

/// The network after the first step, of rising damping, that is accepted; `None` if none is.
fn step(
    network: &TwoLayer,
    curvature: &Curvature<'_>,
    data: &Dataset,
    damping: &mut f64,
) -> Result<Option<TwoLayer>> {
    let (eigenvalues, vectors) = symmetric::eigenpairs(curvature.gradient_gram().as_ref())?;
    let n = curvature.num_samples();
    let residuals = curvature.residuals();
    let overlaps: Vec<f64> = (0..n).map(|a| (0..n).map(|i| vectors[(i, a)] * residuals[i]).sum()).collect();
    let top = eigenvalues[n - 1];
    if top <= 0.0 {
        return Ok(None);
    }
    while *damping <= LARGEST_DAMPING {
        let scaled: Vec<f64> = overlaps
            .iter()
            .zip(&eigenvalues)
            .map(|(x, value)| -x / (value.max(0.0) + *damping * top))
            .collect();
        let weights: Vec<f64> = (0..n).map(|i| (0..n).map(|a| vectors[(i, a)] * scaled[a]).sum()).collect();
        let step = curvature.combined_gradients(&weights);
        let parameters = network.parameters().iter().zip(&step).map(|(w, change)| w + change).collect();
        // A step that overflows is not accepted.
        if let Ok(candidate) = TwoLayer::new(network.num_inputs(), network.width(), parameters)
            && let Ok(predictions) = candidate.predictions(data)
            && curvature.loss().mean(&predictions, data.labels()) < ACCEPTED_RISE * curvature.mean_loss()
            && Curvature::at(&candidate, data, curvature.loss()).is_ok()
        {
            *damping = (*damping / DAMPING_FACTOR).max(SMALLEST_DAMPING);
            return Ok(Some(candidate));
        }
        *damping *= DAMPING_FACTOR;
    }
    Ok(None)
}
