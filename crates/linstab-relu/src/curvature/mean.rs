//! The mean full Hessian as an operator.

use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator, TopEigenpair};

use super::Curvature;
use crate::Result;
use crate::layout::{add_scaled, dot};

/// `v -> (2s / n) sum_i (g_i (g_i . v) + e_i F_i v)` on vectors in the order (W2, W1, b1).
///
/// # Cost
/// Two products of length `d + 1` an active unit of a sample: about that of a gradient. No allocation.
#[derive(Clone, Debug)]
pub struct MeanHessian<'a> {
    curvature: &'a Curvature<'a>,
    input: Vec<f64>,
    output: Vec<f64>,
    /// `v_u . xt` of the active units of one sample.
    products: Vec<f64>,
}

impl Curvature<'_> {
    /// The mean full Hessian, ready to be applied.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::lanczos::SymmetricOperator;
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
    /// let mut column = [0.0; 3];
    /// curvature.mean_hessian().apply(&[1.0, 0.0, 0.0], &mut column);
    /// assert_eq!(column, [16.0, 9.0, 9.0]); // 4 (4; 2, 2) + e (0; 1, 1), e = 1
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn mean_hessian(&self) -> MeanHessian<'_> {
        let packed = vec![0.0; self.layout.len()];
        let products = vec![0.0; self.layout.width];
        MeanHessian { curvature: self, input: packed.clone(), output: packed, products }
    }

    /// The largest eigenvalue of the mean full Hessian, the sharpness, and its eigenvector.
    ///
    /// `start`: a guess of the eigenvector, from an earlier epoch say; without one the gradients' sum, to which the top
    /// eigenvector is hardly ever orthogonal, and a little of everything.
    ///
    /// # Errors
    /// [`crate::ReluError::Linalg`] if Lanczos does not converge, or for a start that is zero or not finite.
    /// # Panics
    /// If `start` has another length than there are parameters.
    /// # Examples
    /// ```
    /// use linstab_linalg::lanczos::LanczosOptions;
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
    /// let top = curvature.sharpness(None, LanczosOptions::default())?;
    /// assert!((top.value - curvature.sample_sharpness()[0]).abs() < 1e-12, "one sample is its own mean");
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    #[track_caller]
    pub fn sharpness(&self, start: Option<&[f64]>, options: LanczosOptions) -> Result<TopEigenpair> {
        let mut operator = self.mean_hessian();
        if let Some(start) = start {
            return Ok(lanczos::top_eigenpair(&mut operator, start, options)?);
        }
        let signs: Vec<f64> = self.predictions.iter().map(|f| if *f < 0.0 { -1.0 } else { 1.0 }).collect();
        let mut start = self.combined_gradients(&signs);
        let largest = start.iter().fold(0.0_f64, |largest, x| largest.max(x.abs())).max(1.0);
        for (p, x) in start.iter_mut().enumerate() {
            *x += 0.01 * largest * (1.0 + p as f64).sin();
        }
        Ok(lanczos::top_eigenpair(&mut operator, &start, options)?)
    }
}

impl SymmetricOperator for MeanHessian<'_> {
    fn dim(&self) -> usize {
        self.curvature.num_parameters()
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        let Curvature { data, layout, packed, residuals, .. } = self.curvature;
        let weights = layout.split(packed).1;
        layout.pack(input, &mut self.input);
        self.output.fill(0.0);
        let (input_rows, input_weights) = layout.split(&self.input);
        let (output_rows, output_weights) = layout.split_mut(&mut self.output);
        let row = |u: usize| u * layout.stride..(u + 1) * layout.stride;
        for (i, &residual) in residuals.iter().enumerate() {
            let (extended, features) = (data.extended(i), self.curvature.features_of(i));
            let active = self.curvature.active_units(i);
            let mut along_gradient = 0.0;
            for (product, &u) in self.products.iter_mut().zip(active) {
                *product = dot(&input_rows[row(u)], extended);
                along_gradient += features[u] * input_weights[u] + weights[u] * *product;
            }
            for (product, &u) in self.products.iter().zip(active) {
                output_weights[u] += along_gradient * features[u] + residual * product;
                let factor = along_gradient * weights[u] + residual * input_weights[u];
                add_scaled(&mut output_rows[row(u)], factor, extended);
            }
        }
        layout.unpack(&self.output, output);
        let factor = self.curvature.loss.curvature_factor() / self.curvature.num_samples() as f64;
        for x in output {
            *x *= factor;
        }
    }
}
