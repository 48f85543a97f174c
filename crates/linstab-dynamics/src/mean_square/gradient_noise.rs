//! Minima that do not interpolate: per-sample gradients that cancel on average but not one by one.
//!
//! Along the range of the mean curvature they feed the noise floor. In its null space nothing restores the iterate: it makes a
//! driftless random walk, which no learning rate stops, and which must not be passed over in silence.

use linstab_linalg::{Ensemble, Factored, Mat, MatRef, Reduced};

use crate::second_moment::require_same_number;
use crate::{BatchSampling, DynamicsError, Result};

/// The covariance of a batch gradient at the minimum, split by the mean curvature.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::GradientNoise;
/// use linstab_linalg::Mat;
/// // Gradients that vanish one by one, as at an interpolating minimum, feed nothing.
/// let none = GradientNoise { source: Mat::zeros(2, 2), null_space_variance: 0.0, relative_mean: 0.0 };
/// assert_eq!(none.source.norm_max(), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNoise {
    /// Covariance of the batch gradient in the range of the mean, (rank, rank), in the reduced coordinates: the source of
    /// [`MeanSquare::noise_floor`](super::MeanSquare::noise_floor).
    pub source: Mat<f64>,
    /// Mean squared length of the batch gradient in the null space: each step adds `eta^2` times this to the mean squared
    /// distance, without bound. 0 (to rounding) at interpolating minima.
    pub null_space_variance: f64,
    /// Length of the mean gradient relative to the root mean square of the samples': not small means not at a minimum.
    pub relative_mean: f64,
}

impl GradientNoise {
    /// The noise that per-sample gradients make under a sampling scheme.
    ///
    /// # Shapes
    /// `gradients`: (num_samples, dim), row `i` the gradient of sample `i` at the minimum; `reduced` is the reduction of
    /// `ensemble`.
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if sizes differ.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, mean_square::GradientNoise};
    /// use linstab_linalg::{Factored, Mat, Reduced};
    /// // Two samples curve the first of two directions; their gradients are (1, 2) and (-1, -2), mean 0.
    /// let ensemble = Factored::new(2, 1, 2, vec![1.0, 0.0, 1.0, 0.0])?;
    /// let gradients = Mat::from_fn(2, 2, |i, p| [1.0, -1.0][i] * [1.0, 2.0][p]);
    /// let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1)?;
    /// let noise = GradientNoise::of(&ensemble, &Reduced::of(&ensemble)?, gradients.as_ref(), sampling)?;
    /// assert!((noise.source[(0, 0)] - 1.0).abs() < 1e-14, "variance 1 where curvature holds it");
    /// assert!((noise.null_space_variance - 4.0).abs() < 1e-14, "variance 4 where nothing does");
    /// assert_eq!(noise.relative_mean, 0.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Mulayoff and Michaeli 2024 ("regular" minima).
    pub fn of(
        ensemble: &Factored,
        reduced: &Reduced,
        gradients: MatRef<'_, f64>,
        sampling: BatchSampling,
    ) -> Result<Self> {
        require_same_number(ensemble.num_samples(), sampling)?;
        for (what, expected, found) in [
            ("number of gradients", ensemble.num_samples(), gradients.nrows()),
            ("length of a gradient", ensemble.dim(), gradients.ncols()),
            ("number of samples of the reduction", ensemble.num_samples(), reduced.num_samples()),
        ] {
            if expected != found {
                return Err(DynamicsError::SizeMismatch { what, expected, found });
            }
        }
        let n = ensemble.num_samples() as f64;
        // Coordinates: the eigenvectors of the mean are G^T V diag(1 / (n l)).
        let overlaps: Mat<f64> = gradients * ensemble.rows().transpose();
        let mut coordinates: Mat<f64> = overlaps * reduced.factors();
        for (a, l) in reduced.mean_eigenvalues().iter().enumerate() {
            for i in 0..coordinates.nrows() {
                coordinates[(i, a)] /= n * l;
            }
        }
        let per_sample = sampling.moment_weights().per_sample;
        let source = coordinates.transpose() * &coordinates * linstab_linalg::Scale(per_sample / n);
        let (whole, in_range) = (gradients.squared_norm_l2(), coordinates.squared_norm_l2());
        let mean: f64 = (0..gradients.ncols())
            .map(|p| (0..gradients.nrows()).map(|i| gradients[(i, p)]).sum::<f64>() / n)
            .map(|mean| mean * mean)
            .sum();
        Ok(Self {
            source,
            null_space_variance: per_sample * (whole - in_range).max(0.0) / n,
            relative_mean: if whole > 0.0 { (mean * n / whole).sqrt() } else { 0.0 },
        })
    }
}
