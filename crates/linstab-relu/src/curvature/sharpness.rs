//! The largest eigenvalue of a sample's full Hessian, in closed form.

use super::Curvature;

impl Curvature<'_> {
    /// `lambda_max(H_i)` of every sample's full Hessian; 0 for a sample that no unit fires for, whose Hessian is zero.
    ///
    /// # Derivation
    /// On the block of an active unit, in the orthonormal directions `p` (its output weight) and `q = xt / |xt|`, `F` is
    /// `|xt| (p q^T + q p^T)`, with eigenvalues `+-|xt|` on `(p +- q) / sqrt 2`. All active units share these two eigenspaces,
    /// and `g` has the squared norms `alpha = |g|^2 / 2 + |xt| f` and `beta = |g|^2 / 2 - |xt| f` in them (there is no output
    /// bias, so `sum_u a_u W2_u = f`). What `g g^T` adds acts on the two normalised parts of `g` alone:
    ///
    /// ```text
    /// H / 2s = [ e |xt| + alpha        sqrt(alpha beta)
    ///            sqrt(alpha beta)     -e |xt| + beta    ],
    /// ```
    ///
    /// whose larger eigenvalue is `|g|^2 / 2 + sqrt(|xt|^2 (f + e)^2 + alpha beta)`, equal to
    /// `|g|^2 / 2 + sqrt(|g|^4 / 4 + |xt|^2 e (2 f + e))`. The first form has no cancellation under the root. It is at least
    /// `|e| |xt|`, the largest eigenvalue that is left outside of the 2 x 2 block.
    /// # Examples
    /// ```
    /// use linstab_relu::{Curvature, Dataset, SquaredLoss, TwoLayer};
    /// // g = (4; 2, 2), |xt|^2 = 2, f = 8. Interpolating: |g|^2 = 24.
    /// let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0])?;
    /// let data = Dataset::new(1, vec![1.0, 1.0], vec![8.0, 7.0])?;
    /// let sharpness = Curvature::at(&network, &data, SquaredLoss::Half)?.sample_sharpness();
    /// assert!((sharpness[0] - 24.0).abs() < 1e-13);
    /// // With e = 1: 12 + sqrt(144 + 2 * 1 * 17).
    /// assert!((sharpness[1] - (12.0 + 178.0_f64.sqrt())).abs() < 1e-13);
    /// # Ok::<(), linstab_relu::ReluError>(())
    /// ```
    pub fn sample_sharpness(&self) -> Vec<f64> {
        (0..self.num_samples()).map(|i| self.sharpness_of(i)).collect()
    }

    fn sharpness_of(&self, sample: usize) -> f64 {
        if self.active_units(sample).is_empty() {
            return 0.0;
        }
        let extended_norm = self.data.extended_squared_norm(sample).sqrt();
        let (f, e) = (self.predictions[sample], self.residuals[sample]);
        let half = 0.5 * self.squared_norms[sample];
        // Not negative on paper: |g|^2 / 2 >= |xt| |f| by the inequality of the means.
        let alpha_beta = ((half + extended_norm * f) * (half - extended_norm * f)).max(0.0);
        self.loss.curvature_factor() * (half + (extended_norm * (f + e)).hypot(alpha_beta.sqrt()))
    }
}
