//! Per-sample curvature of a two-layer ReLU network, without a matrix over the parameters.
//!
//! With `xt = (x, 1)`, pre-activations `z = W1 x + b1`, features `a = relu(z)` and masks `m_u = 1[z_u > 0]`, the gradient of
//! the prediction is
//!
//! ```text
//! g = (a_u ; m_u W2_u xt)  over the units u,
//! ```
//!
//! and its Hessian `F` couples only the output weight of a unit with the unit's own `(W1_u, b_u)`, by the block `m_u xt`. For
//! the loss `s e^2`, `e = f - y`,
//!
//! ```text
//! H_i = 2s (g_i g_i^T + e_i F_i),
//! ```
//!
//! whose Gauss-Newton part `2s g_i g_i^T` is all that is left where the network interpolates. Everything here is exact away
//! from the kinks `z_u = 0`, where the unit counts as silent.
//!
//! [`Curvature`] holds one forward pass; `inner_products` has the n x n matrices, `sharpness` the sharpness of samples in
//! closed form, `mean` the mean Hessian as an operator.

mod inner_products;
mod mean;
mod sharpness;

use linstab_linalg::Factored;

use crate::layout::Layout;
use crate::{Dataset, ReluError, Result, SquaredLoss, TwoLayer};
pub use mean::MeanHessian;

/// Lists of indices, one after the other.
#[derive(Clone, Debug)]
struct Lists {
    indices: Vec<usize>,
    /// Where each list starts, and the end.
    starts: Vec<usize>,
}

impl Lists {
    fn new(num_lists: usize, mut members: impl FnMut(usize, &mut Vec<usize>)) -> Self {
        let (mut indices, mut starts) = (Vec::new(), vec![0]);
        for list in 0..num_lists {
            members(list, &mut indices);
            starts.push(indices.len());
        }
        Self { indices, starts }
    }

    #[inline]
    fn of(&self, list: usize) -> &[usize] {
        &self.indices[self.starts[list]..self.starts[list + 1]]
    }
}

/// The curvature of every sample at one point in parameter space.
///
/// # Cost
/// One forward pass over the data, `n width (d + 1)` multiplications; each method says what it adds.
#[derive(Clone, Debug)]
pub struct Curvature<'a> {
    data: &'a Dataset,
    loss: SquaredLoss,
    layout: Layout,
    /// The parameters in the padded layout.
    packed: Vec<f64>,
    predictions: Vec<f64>,
    residuals: Vec<f64>,
    /// Row-major (num_samples, width); the mask of a unit is whether its feature is positive.
    features: Vec<f64>,
    /// `|g_i|^2`.
    squared_norms: Vec<f64>,
    active_units: Lists,
    active_samples: Lists,
}

impl<'a> Curvature<'a> {
    /// The curvature of `network` on `data`.
    ///
    /// # Errors
    /// [`ReluError::SizeMismatch`] if network and data differ in `num_inputs`; [`ReluError::Overflow`] if a prediction or the
    /// square of a sample's curvature is not finite, so that no later result is infinite or NaN.
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// // f = 2 relu(3 x + 1) at x = 1: f = 8, g = (a; W2 x, W2) = (4; 2, 2).
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
    /// assert_eq!((curvature.predictions(), curvature.residuals()), (&[8.0][..], &[1.0][..]));
    /// assert_eq!(curvature.gradient_gram()[(0, 0)], 24.0);
    /// assert_eq!((curvature.mean_loss(), curvature.trace()), (0.5, 24.0));
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn at(network: &TwoLayer, data: &'a Dataset, loss: SquaredLoss) -> Result<Self> {
        let (predictions, features) = network.forward(data)?;
        let (layout, packed) = (Layout::of(network), Layout::packed(network));
        let residuals: Vec<f64> = predictions.iter().zip(data.labels()).map(|(f, y)| f - y).collect();
        let (n, width) = (predictions.len(), layout.width);
        let is_active = |i: usize, u: usize| features[i * width + u] > 0.0;
        let active_units = Lists::new(n, |i, units| units.extend((0..width).filter(|&u| is_active(i, u))));
        let active_samples =
            Lists::new(width, |u, samples| samples.extend((0..n).filter(|&i| is_active(i, u))));
        let squared_norms = vec![0.0; n];
        let mut curvature = Self {
            data,
            loss,
            layout,
            packed,
            predictions,
            residuals,
            features,
            squared_norms,
            active_units,
            active_samples,
        };
        for i in 0..n {
            curvature.squared_norms[i] = curvature.checked_squared_norm(i)?;
        }
        Ok(curvature)
    }

    /// `|g_i|^2`, if all that is made of this sample stays finite.
    fn checked_squared_norm(&self, sample: usize) -> Result<f64> {
        let (features, weights) = (self.features_of(sample), self.layout.split(&self.packed).1);
        let (mut of_features, mut of_weights) = (0.0, 0.0);
        for &u in self.active_units(sample) {
            of_features += features[u] * features[u];
            of_weights += weights[u] * weights[u];
        }
        let extended = self.data.extended_squared_norm(sample);
        let squared_norm = of_features + extended * of_weights;
        // The bound covers |H_i| and every term of the formulas; a NaN fails it, too.
        let residual = self.residuals[sample];
        let bound = 2.0 * (squared_norm + extended * (1.0 + residual * residual));
        let count = self.num_samples() as f64 * self.layout.width as f64;
        if (bound * bound * count).is_finite() {
            Ok(squared_norm)
        } else {
            Err(ReluError::Overflow { sample })
        }
    }

    /// Number of samples, `n`.
    pub fn num_samples(&self) -> usize {
        self.predictions.len()
    }

    /// Number of parameters, `width (d + 2)`.
    pub fn num_parameters(&self) -> usize {
        self.layout.width * (self.layout.num_inputs + 2)
    }

    /// The convention of the loss.
    pub fn loss(&self) -> SquaredLoss {
        self.loss
    }

    /// The predictions `f(x_i)`.
    pub fn predictions(&self) -> &[f64] {
        &self.predictions
    }

    /// The residuals `e_i = f(x_i) - y_i`.
    pub fn residuals(&self) -> &[f64] {
        &self.residuals
    }

    /// The hidden features, row-major (num_samples, width).
    pub fn features(&self) -> &[f64] {
        &self.features
    }

    /// Mean loss over the samples.
    pub fn mean_loss(&self) -> f64 {
        self.loss.mean(&self.predictions, self.data.labels())
    }

    /// Trace of the mean Hessian, `(2s / n) sum_i |g_i|^2`: the full Hessian and its Gauss-Newton part have the same, since
    /// `F_i` has trace 0.
    pub fn trace(&self) -> f64 {
        self.loss.curvature_factor() * self.squared_norms.iter().sum::<f64>() / self.num_samples() as f64
    }

    /// The units that fire for a sample, ascending.
    ///
    /// # Panics
    /// If `sample >= num_samples()`.
    pub fn active_units(&self, sample: usize) -> &[usize] {
        self.active_units.of(sample)
    }

    /// `sum_i weights_i g_i` in the order (W2, W1, b1).
    ///
    /// # Cost
    /// One backward pass.
    /// # Panics
    /// Unless there is a weight for each sample.
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0, 0.0], vec![7.0, 0.0])?;
    /// let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
    /// // g_1 = (4; 2, 2) and g_2 = (1; 0, 2).
    /// assert_eq!(curvature.combined_gradients(&[1.0, 10.0]), vec![14.0, 2.0, 22.0]);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    #[track_caller]
    pub fn combined_gradients(&self, weights: &[f64]) -> Vec<f64> {
        let n = self.num_samples();
        assert!(weights.len() == n, "{} weights for {n} samples", weights.len());
        let mut sum = vec![0.0; self.layout.len()];
        let extended = |i| self.data.extended(i);
        self.layout.add_gradients(&self.packed, extended, &self.features, weights, &mut sum);
        let mut gradient = vec![0.0; self.num_parameters()];
        self.layout.unpack(&sum, &mut gradient);
        gradient
    }

    /// Gradient of the mean loss, `(2s / n) sum_i e_i g_i`.
    ///
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let curvature = Curvature::at(&network, &data, SquaredLoss::Full)?;
    /// assert_eq!(curvature.mean_gradient(), vec![8.0, 4.0, 4.0]); // 2 e (4; 2, 2), e = 1
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn mean_gradient(&self) -> Vec<f64> {
        let factor = self.loss.curvature_factor() / self.num_samples() as f64;
        let weights: Vec<f64> = self.residuals.iter().map(|e| factor * e).collect();
        self.combined_gradients(&weights)
    }

    /// The Gauss-Newton curvatures `2s g_i g_i^T`, a factor `sqrt(2s) g_i` a sample: at an interpolating minimum these are
    /// the Hessians, and what every stability analysis starts from.
    ///
    /// # Cost
    /// `n P` numbers, `P` the number of parameters.
    /// # Errors
    /// [`ReluError::Linalg`] should a factor be refused; finite curvatures give none such.
    /// # Examples
    /// ```
    /// use linstab_linalg::Ensemble;
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![8.0])?;
    /// let ensemble = Curvature::at(&network, &data, SquaredLoss::Full)?.gauss_newton()?;
    /// assert!((ensemble.sample_sharpness(0)? - 48.0).abs() < 1e-12); // 2 |(4; 2, 2)|^2
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn gauss_newton(&self) -> Result<Factored> {
        let (n, num_parameters) = (self.num_samples(), self.num_parameters());
        let root = self.loss.curvature_factor().sqrt();
        let mut rows = vec![0.0; n * num_parameters];
        let mut packed_row = vec![0.0; self.layout.len()];
        for (i, row) in rows.chunks_exact_mut(num_parameters).enumerate() {
            packed_row.fill(0.0);
            let (extended, features) = (|_| self.data.extended(i), self.features_of(i));
            self.layout.add_gradients(&self.packed, extended, features, &[root], &mut packed_row);
            self.layout.unpack(&packed_row, row);
        }
        Ok(Factored::new(n, 1, num_parameters, rows)?)
    }

    fn features_of(&self, sample: usize) -> &[f64] {
        &self.features[sample * self.layout.width..(sample + 1) * self.layout.width]
    }
}
