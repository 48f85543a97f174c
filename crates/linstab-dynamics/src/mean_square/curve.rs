//! Thresholds of one ensemble that share their work.

use super::{MeanSquare, SharedProducts, Threshold};
use crate::second_moment::require_same_number;
use crate::{BatchSampling, DynamicsError, Result};

impl MeanSquare {
    /// The same, with products that other thresholds of the ensemble have formed already, or will use.
    ///
    /// Products change an answer within its rounding: the same ones in the same order give the same bits.
    ///
    /// # Cost
    /// With one factor a sample, once for all of them the cost of some ten applications; then each threshold costs less than one.
    /// # Errors
    /// [`DynamicsError::Unsupported`] for products of another ensemble; otherwise as [`MeanSquare::max_learning_rate`].
    /// # Examples
    /// See [`SharedProducts`].
    pub fn max_learning_rate_with(&self, products: &mut SharedProducts) -> Result<Threshold> {
        self.require_products(products)?;
        self.threshold(products, true)
    }

    /// The value of [`MeanSquare::max_learning_rate_with`] alone, as accurate but not proven where a proof costs more than the answer.
    ///
    /// # Errors
    /// As [`MeanSquare::max_learning_rate_with`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::SharedProducts;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((sgd.max_learning_rate_value(&mut SharedProducts::new(&ensemble))? - 0.5).abs() < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn max_learning_rate_value(&self, products: &mut SharedProducts) -> Result<f64> {
        self.require_products(products)?;
        Ok(self.threshold(products, false)?.value)
    }

    /// The thresholds of several batch sizes, or schemes, in turn: the whole curve for little more than its first point.
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] for another number of samples; otherwise as [`MeanSquare::max_learning_rate`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Curvatures 1, 1, 1, 3: 2 l / (l^2 + s^2) with l = 3/2 and s^2 = 3/4 (4 - B) / (3 B).
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
    /// let of_size = |size| BatchSampling::new(SamplingScheme::WithoutReplacement, 4, size);
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), of_size(1)?)?;
    /// let curve = sgd.curve(&[of_size(1)?, of_size(2)?, of_size(4)?])?;
    /// for (threshold, expected) in curve.iter().zip([1.0, 1.2, 4.0 / 3.0]) {
    ///     assert!((threshold.value - expected).abs() < 1e-12);
    /// }
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn curve(&self, samplings: &[BatchSampling]) -> Result<Vec<Threshold>> {
        let mut products = SharedProducts::new(&self.effective);
        let threshold = |&sampling: &BatchSampling| {
            require_same_number(self.effective.num_samples(), sampling)?;
            Self { sampling, ..self.clone() }.threshold(&mut products, true)
        };
        samplings.iter().map(threshold).collect()
    }

    pub(super) fn require_products(&self, products: &SharedProducts) -> Result<()> {
        if products.are_of(&self.effective, &self.congruence) {
            return Ok(());
        }
        let (what, why) = ("an analysis with the products of another ensemble", "they hold its factors");
        Err(DynamicsError::Unsupported { what, why })
    }
}
