//! Inner products of gradients and of Hessians, all pairs of samples at once.
//!
//! With `X_ij = xt_i . xt_j` (kept with the data), features `a`, masks `m`, residuals `e`, and sums over the units `u`:
//!
//! ```text
//! G_ij            = g_i . g_j = sum a_iu a_ju + X_ij sum W2_u^2 m_iu m_ju,
//! g_i^T F_j g_i   = 2 X_ij sum m_ju a_iu W2_u,
//! tr(F_i F_j)     = 2 X_ij sum m_iu m_ju,
//! tr(H_i H_j)     = 4 s^2 (G_ij^2 + e_j g_i^T F_j g_i + e_i g_j^T F_i g_j + e_i e_j tr(F_i F_j)).
//! ```
//!
//! The last three terms are `2 X_ij` times one sum, `M_ij = sum (W2_u a_iu + e_i m_iu) c_ju + e_i W2_u a_ju` over the units that
//! are active in `i`, `c_ju = e_j m_ju`. So a pair costs three sums over the active units of one of the two.

use linstab_linalg::Mat;

use super::Curvature;
use crate::layout::LANES;

/// Sums of one sample with [`LANES`] others.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// `sum a_iu a_ju`.
    features: [f64; LANES],
    /// `sum W2_u^2 m_iu m_ju`.
    weights: [f64; LANES],
    /// `M_ij`; left at 0 for gradients.
    mixed: [f64; LANES],
}

/// Features, masks and residuals of [`LANES`] samples at one unit.
#[derive(Clone, Copy, Default)]
struct UnitLanes {
    features: [f64; LANES],
    masks: [f64; LANES],
    masked_residuals: [f64; LANES],
}

impl Curvature<'_> {
    /// Inner products of the gradients of the predictions, `g_i . g_j`.
    ///
    /// # Shapes
    /// (num_samples, num_samples), symmetric.
    /// # Cost
    /// `n^2 width / 2` multiplications for half of the units active; the inner products of the inputs are kept with the data.
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0, 0.0], vec![0.0, 0.0])?;
    /// let gram = Curvature::at(&network, &data, SquaredLoss::Half)?.gradient_gram();
    /// assert_eq!(gram[(0, 1)], 8.0); // (4; 2, 2) . (1; 0, 2)
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn gradient_gram(&self) -> Mat<f64> {
        self.all_pairs::<false>(|_, _, gram, _| gram)
    }

    /// Inner products of the gradients of the samples' losses, `4 s^2 e_i e_j g_i . g_j`.
    ///
    /// # Shapes, Cost
    /// Those of [`Curvature::gradient_gram`].
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0, 0.0], vec![7.0, 5.0])?; // e = (1, -3)
    /// let gram = Curvature::at(&network, &data, SquaredLoss::Full)?.loss_gradient_gram();
    /// assert_eq!(gram[(0, 1)], 4.0 * -3.0 * 8.0);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn loss_gradient_gram(&self) -> Mat<f64> {
        let factor = self.loss.curvature_factor().powi(2);
        self.all_pairs::<false>(|i, j, gram, _| factor * self.residuals[i] * self.residuals[j] * gram)
    }

    /// Inner products of the full Hessians of the samples' losses, `tr(H_i H_j)`. Away from an interpolating point an entry
    /// can be negative.
    ///
    /// # Shapes
    /// (num_samples, num_samples), symmetric.
    /// # Cost
    /// Twice that of [`Curvature::gradient_gram`].
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0], vec![7.0])?;
    /// let products = Curvature::at(&network, &data, SquaredLoss::Half)?.full_inner_products();
    /// // H = g g^T + F, g = (4; 2, 2), F = [0 1 1; 1 0 0; 1 0 0]: 24^2 + 2 * 32 + 4.
    /// assert_eq!(products[(0, 0)], 644.0);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn full_inner_products(&self) -> Mat<f64> {
        let factor = self.loss.curvature_factor().powi(2);
        self.all_pairs::<true>(|_, _, gram, second_order| factor * (gram * gram + second_order))
    }

    /// A symmetric matrix with the entries `entry(i, j, G_ij, 2 X_ij M_ij)`, the last only for `MIXED`.
    fn all_pairs<const MIXED: bool>(&self, entry: impl Fn(usize, usize, f64, f64) -> f64) -> Mat<f64> {
        let n = self.num_samples();
        let (gram, stride) = (self.data.extended_gram(), self.data.gram_stride());
        let blocks = self.blocks();
        let mut matrix = Mat::zeros(n, n);
        for i in 0..n {
            let column =
                matrix.col_mut(i).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut();
            for block in i / LANES..stride / LANES {
                let sums = self.sums::<MIXED>(i, &blocks[block * self.layout.width..][..self.layout.width]);
                let start = block * LANES;
                let inputs = &gram[i * stride + start..][..LANES];
                for (lane, value) in column[start..].iter_mut().take(LANES).enumerate() {
                    let gram = sums.features[lane] + inputs[lane] * sums.weights[lane];
                    *value = entry(i, start + lane, gram, 2.0 * inputs[lane] * sums.mixed[lane]);
                }
            }
        }
        // The entries below the diagonal are right; rounding may differ above it.
        for j in 0..n {
            for i in 0..j {
                matrix[(i, j)] = matrix[(j, i)];
            }
        }
        matrix
    }

    /// All samples in blocks of [`LANES`], unit by unit; samples that are missing in the last block count as silent.
    fn blocks(&self) -> Vec<UnitLanes> {
        let width = self.layout.width;
        let mut blocks = vec![UnitLanes::default(); self.num_samples().div_ceil(LANES) * width];
        for (i, residual) in self.residuals.iter().enumerate() {
            for &u in self.active_units(i) {
                let (unit, lane) = (&mut blocks[i / LANES * width + u], i % LANES);
                unit.features[lane] = self.features[i * width + u];
                unit.masks[lane] = 1.0;
                unit.masked_residuals[lane] = *residual;
            }
        }
        blocks
    }

    #[inline]
    fn sums<const MIXED: bool>(&self, sample: usize, block: &[UnitLanes]) -> Sums {
        let (features, weights) = (self.features_of(sample), self.layout.split(&self.packed).1);
        let residual = self.residuals[sample];
        let mut sums = Sums::default();
        for &u in self.active_units(sample) {
            let (feature, weight, others) = (features[u], weights[u], &block[u]);
            let squared = weight * weight;
            let (of_residuals, of_features) = (weight * feature + residual, residual * weight);
            for lane in 0..LANES {
                sums.features[lane] += feature * others.features[lane];
                sums.weights[lane] += squared * others.masks[lane];
                if MIXED {
                    sums.mixed[lane] +=
                        of_residuals * others.masked_residuals[lane] + of_features * others.features[lane];
                }
            }
        }
        sums
    }
}
