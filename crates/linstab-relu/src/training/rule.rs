//! Update rules.

use crate::Result;
use crate::error::require_nonnegative;

/// At which point, and for which labels, the gradient `g_B` of a batch is taken: `w <- w - eta g_B(point)`.
///
/// A new rule is a new variant here and an arm in `Trainer::step`; every recursion and the contrastive term work with any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrainingRule {
    /// Stochastic gradient descent: at `w`.
    Sgd,
    /// Sharpness-aware minimisation as practised: at `w + rho g_B(w) / |g_B(w)|`; at `w` if that gradient is zero.
    /// Source: Foret et al. 2021.
    Sam {
        /// Radius of the ascent; nonnegative.
        rho: f64,
    },
    /// SAM without normalisation: at `w + rho g_B(w)`. Source: Andriushchenko and Flammarion 2022.
    UnnormalisedSam {
        /// Step of the ascent; nonnegative.
        rho: f64,
    },
    /// SAM as analysed: at `w + (rho / alpha) g(w)`, with the gradient of all samples and a fixed gradient norm alpha. Each
    /// step costs a pass over all data. Source: arXiv 2511.17378, rules (4) and (5).
    FullBatchSam {
        /// Ratio of the radius to the fixed gradient norm; nonnegative.
        rho_over_alpha: f64,
    },
    /// At `w + s z`, with standard normal `z` drawn for each step, in the order of the parameters. Source: arXiv
    /// 2511.17378, rule (3).
    RandomPerturbation {
        /// Standard deviation `s` of each parameter; nonnegative.
        standard_deviation: f64,
    },
    /// At `w`, for labels `y + s z`, with standard normal `z` drawn for each step and sample, in the order of the batch.
    LabelNoise {
        /// Standard deviation `s` of each label; nonnegative.
        standard_deviation: f64,
    },
}

impl TrainingRule {
    /// The rule, if its parameters are admissible.
    ///
    /// # Errors
    /// [`crate::ReluError::OutOfRange`] for a negative or non-finite parameter.
    /// # Examples
    /// ```
    /// use linstab_relu::TrainingRule;
    /// assert!(TrainingRule::Sam { rho: 0.05 }.checked().is_ok());
    /// assert!(TrainingRule::Sam { rho: -0.05 }.checked().is_err());
    /// ```
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Sgd => {}
            Self::Sam { rho } | Self::UnnormalisedSam { rho } => require_nonnegative("rho", rho, false)?,
            Self::FullBatchSam { rho_over_alpha } => {
                require_nonnegative("rho_over_alpha", rho_over_alpha, false)?;
            }
            Self::RandomPerturbation { standard_deviation } | Self::LabelNoise { standard_deviation } => {
                require_nonnegative("standard_deviation", standard_deviation, false)?;
            }
        }
        Ok(self)
    }
}
