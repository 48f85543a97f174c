//! Entrywise weights that rise with one number: with the inverse learning rate for thresholds, with the growth itself for growths.

use super::memory_kernel::{CriticalWeights, growth_defect};
use crate::optimizer::Recursion;

/// Step of the difference that is a slope's estimate, relative to the distance from the pole and to the whole; slopes steer Newton's
/// method, and nothing else depends on them.
const DIFFERENCE: f64 = 1e-4;
const ROUNDING: f64 = 1e-10;

/// Symmetric entrywise weights `D(p)` of two mean eigenvalues (in units of the sharpness) with `D o P = (b/n) sum_i H_i P H_i` at the
/// `p` that is sought. Every entry is positive and rises above the [pole](Self::pole).
pub(super) trait Family: Sync {
    /// The answer without noise, below which weights are not positive.
    fn pole(&self) -> f64;

    /// Writes the weights of the entries `(x, y)` and their derivatives by `p`.
    fn fill(&self, p: f64, xs: &[f64], y: f64, weights: &mut [f64], slopes: &mut [f64]);

    /// Whether `1 / D`, entrywise, is positive semidefinite by theorem.
    fn has_positive_kernel(&self) -> bool;
}

/// Of a threshold: `p` is the inverse learning rate.
pub(super) struct InverseRate {
    pub(super) weights: CriticalWeights,
}

impl Family for InverseRate {
    fn pole(&self) -> f64 {
        self.weights.recursion.noise_free_limit(1.0).recip()
    }

    fn fill(&self, p: f64, xs: &[f64], y: f64, weights: &mut [f64], slopes: &mut [f64]) {
        let entries = xs.iter().zip(weights.iter_mut().zip(slopes.iter_mut()));
        if let Some(linear) = self.weights.linear_form() {
            for (&x, (weight, slope)) in entries {
                (*weight, *slope) = linear.at(p, x, y);
            }
        } else {
            for (&x, (weight, slope)) in entries {
                (*weight, *slope) = self.weights.at_with_slope(p, x, y);
            }
        }
    }

    fn has_positive_kernel(&self) -> bool {
        self.weights.is_linear()
    }
}

/// Of a growth at a learning rate: `p` is the growth.
pub(super) struct Growth {
    pub(super) recursion: Recursion,
    pub(super) learning_rate: f64,
    /// `a - 1`.
    pub(super) excess: f64,
    /// The growth without noise.
    pub(super) pole: f64,
}

impl Growth {
    fn at(&self, g: f64, x: f64, y: f64) -> f64 {
        let eta = self.learning_rate;
        growth_defect(self.recursion, eta, g, x, y) / (eta * eta) - self.excess * x * y
    }
}

impl Family for Growth {
    fn pole(&self) -> f64 {
        self.pole
    }

    fn fill(&self, p: f64, xs: &[f64], y: f64, weights: &mut [f64], slopes: &mut [f64]) {
        let step = DIFFERENCE * (p - self.pole) + ROUNDING * p;
        for (&x, (weight, slope)) in xs.iter().zip(weights.iter_mut().zip(slopes.iter_mut())) {
            *weight = self.at(p, x, y);
            *slope = (self.at(p + step, x, y) - *weight) / step;
        }
    }

    fn has_positive_kernel(&self) -> bool {
        self.recursion.is_memoryless()
    }
}

/// Of a noise kernel norm at a learning rate below the full batch's limit: `p` is the norm, where `p D0 o P = N(P)` with the weights `D0` of
/// the full batch.
pub(super) struct NoiseNorm {
    pub(super) weights: CriticalWeights,
    /// Inverse learning rate.
    pub(super) lambda: f64,
}

/// Norms of the noise below this are none.
const LEAST_NORM: f64 = 1e-14;

impl Family for NoiseNorm {
    fn pole(&self) -> f64 {
        LEAST_NORM
    }

    fn fill(&self, p: f64, xs: &[f64], y: f64, weights: &mut [f64], slopes: &mut [f64]) {
        let excess = self.weights.excess;
        for (&x, (weight, slope)) in xs.iter().zip(weights.iter_mut().zip(slopes.iter_mut())) {
            // Without the noise's own part.
            *slope = self.weights.at(self.lambda, x, y) + excess * x * y;
            *weight = p * *slope - excess * x * y;
        }
    }

    fn has_positive_kernel(&self) -> bool {
        false
    }
}
