//! The squared loss and its two conventions.

/// How the squared loss of a residual `e = f - y` is normalised.
///
/// The convention scales gradients and Hessians, hence every learning rate: a threshold under [`SquaredLoss::Full`] is half
/// the one under [`SquaredLoss::Half`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum SquaredLoss {
    /// `e^2 / 2`, with Gauss-Newton curvature `g g^T`: the convention of the theory.
    Half,
    /// `e^2`, with Gauss-Newton curvature `2 g g^T`: the mean-squared error of deep-learning frameworks.
    Full,
}

impl SquaredLoss {
    /// The factor `s` in `s e^2`.
    ///
    /// # Examples
    /// ```
    /// use linstab_relu::SquaredLoss;
    /// assert_eq!((SquaredLoss::Half.scale(), SquaredLoss::Full.scale()), (0.5, 1.0));
    /// ```
    #[inline]
    pub fn scale(self) -> f64 {
        match self {
            Self::Half => 0.5,
            Self::Full => 1.0,
        }
    }

    /// The second derivative `2 s` in the prediction.
    ///
    /// # Examples
    /// ```
    /// use linstab_relu::SquaredLoss;
    /// assert_eq!((SquaredLoss::Half.curvature_factor(), SquaredLoss::Full.curvature_factor()), (1.0, 2.0));
    /// ```
    #[inline]
    pub fn curvature_factor(self) -> f64 {
        2.0 * self.scale()
    }

    /// The loss `s e^2` of one residual.
    ///
    /// # Examples
    /// ```
    /// use linstab_relu::SquaredLoss;
    /// assert_eq!((SquaredLoss::Half.value(3.0), SquaredLoss::Full.value(3.0)), (4.5, 9.0));
    /// ```
    #[inline]
    pub fn value(self, residual: f64) -> f64 {
        self.scale() * residual * residual
    }

    /// Mean loss of predictions; 0 for none.
    ///
    /// # Panics
    /// If there are more or fewer predictions than labels.
    /// # Examples
    /// ```
    /// use linstab_relu::SquaredLoss;
    /// assert_eq!(SquaredLoss::Full.mean(&[1.0, 0.0], &[1.0, -2.0]), 2.0);
    /// ```
    #[track_caller]
    pub fn mean(self, predictions: &[f64], labels: &[f64]) -> f64 {
        assert!(
            predictions.len() == labels.len(),
            "{} predictions, {} labels",
            predictions.len(),
            labels.len()
        );
        let sum: f64 = predictions.iter().zip(labels).map(|(f, y)| self.value(f - y)).sum();
        sum / labels.len().max(1) as f64
    }
}

/// Share of the predictions that have the sign of their label; a prediction of 0 has no sign. 0 for none.
///
/// # Panics
/// If there are more or fewer predictions than labels.
/// # Examples
/// ```
/// // Right, wrong, undecided, right.
/// assert_eq!(linstab_relu::sign_accuracy(&[0.3, 2.0, 0.0, -1.0], &[1.0, -1.0, 1.0, -1.0]), 0.5);
/// ```
#[track_caller]
pub fn sign_accuracy(predictions: &[f64], labels: &[f64]) -> f64 {
    assert!(predictions.len() == labels.len(), "{} predictions, {} labels", predictions.len(), labels.len());
    let right = predictions.iter().zip(labels).filter(|(f, y)| *f * *y > 0.0).count();
    right as f64 / labels.len().max(1) as f64
}
