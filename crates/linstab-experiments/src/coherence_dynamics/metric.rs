//! The metrics that are read along a training.

use serde::{Deserialize, Serialize};

/// What is read at each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Largest eigenvalue of the coherence matrix of the full Hessians; negative `tr(H_i H_j)` count as 0.
    LambdaMaxS,
    /// `max_i lambda_max(H_i)`.
    MaxSampleSharpness,
    /// Their ratio.
    Sigma,
    /// Largest eigenvalue of the mean Hessian.
    Sharpness,
    /// Trace of the mean Hessian.
    Trace,
    /// Principal components that explain a share of the variance of the hidden features.
    FeatureRank,
    /// Mean-square threshold of SGD at this point (Gauss-Newton curvature, batches without replacement), to 1e-4.
    MaxLearningRate,
    /// Mean loss.
    TrainLoss,
    /// Share of samples on the right side.
    TrainAccuracy,
    /// Mean loss of the validation set.
    ValidationLoss,
    /// Accuracy on the validation set.
    ValidationAccuracy,
    /// `|mean gradient|^2 / mean |gradient|^2` over the samples: 1 if all pull alike.
    GradientCoherence,
    /// Share of pairs with a negative `tr(H_i H_j)`.
    NegativeProducts,
    /// As the first, of the Gauss-Newton curvatures, where every product is nonnegative.
    LambdaMaxSGaussNewton,
}

/// All metrics, in the order of a [`Record`].
pub const METRICS: [Metric; 14] = [
    Metric::LambdaMaxS,
    Metric::MaxSampleSharpness,
    Metric::Sigma,
    Metric::Sharpness,
    Metric::Trace,
    Metric::FeatureRank,
    Metric::MaxLearningRate,
    Metric::TrainLoss,
    Metric::TrainAccuracy,
    Metric::ValidationLoss,
    Metric::ValidationAccuracy,
    Metric::GradientCoherence,
    Metric::NegativeProducts,
    Metric::LambdaMaxSGaussNewton,
];

impl Metric {
    /// Its place in a [`Record`].
    pub(super) fn index(self) -> usize {
        METRICS.iter().position(|&metric| metric == self).expect("every metric is listed")
    }
}

/// The metrics at one moment.
pub type Record = [f64; METRICS.len()];
