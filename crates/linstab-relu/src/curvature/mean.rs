//! The mean full Hessian as an operator.

use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator, TopEigenpair};

use super::Curvature;
use crate::Result;
use crate::layout::{add_combination, dot, dot_pair};

/// `v -> (2s / n) sum_i (g_i (g_i . v) + e_i F_i v)` on vectors in the order (W2, W1, b1).
///
/// # Cost
/// Two products of length `d + 1` an active unit of a sample: about that of a gradient. No allocation.
#[derive(Clone, Debug)]
pub struct MeanHessian<'a> {
    curvature: &'a Curvature<'a>,
    input: Vec<f64>,
    output: Vec<f64>,
    /// `v_u . xt_i` for the active samples of each unit, unit after unit.
    products: Vec<f64>,
    /// `g_i . v`.
    along_gradients: Vec<f64>,
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
        MeanHessian {
            curvature: self,
            input: packed.clone(),
            output: packed,
            products: vec![0.0; self.active_samples.indices.len()],
            along_gradients: vec![0.0; self.num_samples()],
        }
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
        let layout = self.curvature.layout;
        layout.pack(input, &mut self.input);
        self.multiply_inputs();
        self.combine_inputs();
        layout.unpack(&self.output, output);
        let factor = self.curvature.loss.curvature_factor() / self.curvature.num_samples() as f64;
        for x in output {
            *x *= factor;
        }
    }
}

impl MeanHessian<'_> {
    /// First half: `products` and `along_gradients`.
    fn multiply_inputs(&mut self) {
        let Curvature { data, layout, packed, features, active_samples, .. } = self.curvature;
        let weights = layout.split(packed).1;
        let (input_rows, input_weights) = layout.split(&self.input);
        self.along_gradients.fill(0.0);
        for (u, row) in input_rows.chunks_exact(layout.stride).enumerate() {
            let active = active_samples.of(u);
            let products = &mut self.products[active_samples.starts[u]..][..active.len()];
            for (products, samples) in products.chunks_mut(2).zip(active.chunks(2)) {
                match *samples {
                    [i, j] => products.copy_from_slice(&dot_pair([data.extended(i), data.extended(j)], row)),
                    [i] => products[0] = dot(data.extended(i), row),
                    _ => {}
                }
            }
            for (product, &i) in products.iter().zip(active) {
                self.along_gradients[i] +=
                    features[i * layout.width + u] * input_weights[u] + weights[u] * product;
            }
        }
    }

    /// Second half: the sum over the samples, unit by unit.
    fn combine_inputs(&mut self) {
        let Curvature { data, layout, packed, features, residuals, active_samples, .. } = self.curvature;
        let weights = layout.split(packed).1;
        let input_weights = layout.split(&self.input).1;
        self.output.fill(0.0);
        let (output_rows, output_weights) = layout.split_mut(&mut self.output);
        for (u, row) in output_rows.chunks_exact_mut(layout.stride).enumerate() {
            let products = &self.products[active_samples.starts[u]..];
            let terms = active_samples.of(u).iter().zip(products).map(|(&i, product)| {
                let (along, residual) = (self.along_gradients[i], residuals[i]);
                output_weights[u] += along * features[i * layout.width + u] + residual * product;
                (along * weights[u] + residual * input_weights[u], data.extended(i))
            });
            add_combination(row, terms);
        }
    }
}
