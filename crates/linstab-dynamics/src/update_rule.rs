//! Update rules, each a transformation of the ensemble of curvatures.

use linstab_linalg::AxisAligned;

use crate::Result;
use crate::error::require_nonnegative;

/// An update rule, linearised at the minimum `w = 0`, with batch curvature `H_t` and learning rate `eta`.
///
/// A new rule is a new variant here and an arm in each method below; nothing else needs to know.
///
/// # Examples
/// ```
/// use linstab_dynamics::UpdateRule;
/// // c = 1/2 along a direction of mean curvature 2: SAM sees the curvature times 1 + 1.
/// assert_eq!(UpdateRule::Sam { rho_over_alpha: 0.5 }.congruence(2.0), 2.0);
/// assert_eq!(UpdateRule::Sgd.congruence(2.0), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// Stochastic gradient descent: `w <- w - eta H_t w`.
    Sgd,
    /// Sharpness-aware minimisation with full-batch ascent and a fixed gradient norm alpha:
    /// `w <- w - eta H_t (I + c H) w`, `c = rho / alpha`, `H` the mean curvature.
    ///
    /// With `A = I + c H` it is congruent to SGD: `A^{1/2} (I - eta H_t A) A^{-1/2} = I - eta A^{1/2} H_t A^{1/2}`,
    /// so every exact result for SGD holds with `A^{1/2} H_i A^{1/2}` in place of `H_i`.
    /// Source: arXiv 2511.17378, rules (4) and (5).
    Sam {
        /// Ratio of the perturbation radius to the fixed gradient norm; nonnegative.
        rho_over_alpha: f64,
    },
    /// Gradient at a randomly perturbed point: `w <- w - eta H_t (w + delta_t)`, `delta_t ~ N(0, s^2 I)`.
    ///
    /// The perturbation adds noise but leaves the linear map, hence the stability threshold, that of SGD.
    /// Source: arXiv 2511.17378, rule (3).
    RandomPerturbation {
        /// Standard deviation `s` of each coordinate of the perturbation; nonnegative.
        standard_deviation: f64,
    },
}

impl UpdateRule {
    /// The rule, if its parameters are admissible.
    ///
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a negative or non-finite parameter.
    /// # Examples
    /// ```
    /// use linstab_dynamics::UpdateRule;
    /// assert!(UpdateRule::Sam { rho_over_alpha: 0.0 }.checked().is_ok());
    /// let error = UpdateRule::Sam { rho_over_alpha: -1.0 }.checked().unwrap_err();
    /// assert_eq!(error.to_string(), "rho_over_alpha is -1, allowed: nonnegative and finite");
    /// ```
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Sgd => {}
            Self::Sam { rho_over_alpha } => require_nonnegative("rho_over_alpha", rho_over_alpha, false)?,
            Self::RandomPerturbation { standard_deviation } => {
                require_nonnegative("standard_deviation", standard_deviation, false)?;
            }
        }
        Ok(self)
    }

    /// The rule as a congruence: it has the linear map of plain SGD on `A^{1/2} H_i A^{1/2}`, where `A` is a function of the
    /// mean curvature; this is the eigenvalue of `A` that belongs to an eigenvalue of the mean curvature.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::UpdateRule;
    /// let sam = UpdateRule::Sam { rho_over_alpha: 0.5 };
    /// assert_eq!((sam.congruence(0.0), sam.congruence(4.0)), (1.0, 3.0));
    /// ```
    pub fn congruence(self, mean_eigenvalue: f64) -> f64 {
        match self {
            Self::Sgd | Self::RandomPerturbation { .. } => 1.0,
            Self::Sam { rho_over_alpha } => 1.0 + rho_over_alpha * mean_eigenvalue,
        }
    }

    /// The axis-aligned ensemble on which plain SGD has the linear map of this rule.
    ///
    /// # Errors
    /// [`crate::DynamicsError::Linalg`] if the transformed curvatures overflow.
    /// # Examples
    /// ```
    /// use linstab_dynamics::UpdateRule;
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1 and 3, mean 2: with c = 1/2 they double.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let effective = UpdateRule::Sam { rho_over_alpha: 0.5 }.effective_ensemble(&ensemble)?;
    /// assert_eq!(effective.axis(0).curvatures(), [2.0, 6.0]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn effective_ensemble(self, ensemble: &AxisAligned) -> Result<AxisAligned> {
        Ok(ensemble.scale_axes(|mean| self.congruence(mean))?)
    }

    /// Standard deviation of the perturbation at which the batch gradient is taken; 0 for deterministic rules.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::UpdateRule;
    /// assert_eq!(UpdateRule::Sgd.perturbation_standard_deviation(), 0.0);
    /// let perturbed = UpdateRule::RandomPerturbation { standard_deviation: 0.1 };
    /// assert_eq!(perturbed.perturbation_standard_deviation(), 0.1);
    /// ```
    pub fn perturbation_standard_deviation(self) -> f64 {
        match self {
            Self::Sgd | Self::Sam { .. } => 0.0,
            Self::RandomPerturbation { standard_deviation } => standard_deviation,
        }
    }
}
