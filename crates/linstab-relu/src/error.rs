//! What can make a network, a data set or a solution impossible. Divergence of training is an outcome, not an error.

use linstab_linalg::LinalgError;

/// Why something could not be built or computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReluError {
    /// A matrix or an eigenproblem was refused.
    #[error(transparent)]
    Linalg(#[from] LinalgError),
    /// Two sizes that belong together differ.
    #[error("{what} is {found}, expected {expected}")]
    SizeMismatch {
        /// The quantity whose size is wrong.
        what: &'static str,
        /// The size that would fit.
        expected: usize,
        /// The size that was given.
        found: usize,
    },
    /// A number is outside its range.
    #[error("{name} is {value}, allowed: {allowed}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The admissible values.
        allowed: &'static str,
    },
    /// A data set has no samples.
    #[error("the data set is empty: at least one sample is needed")]
    EmptyDataset,
    /// An input is NaN or infinite.
    #[error("input {column} of sample {sample} is not finite")]
    NonFiniteInput {
        /// Index of the sample (the row), from 0.
        sample: usize,
        /// Index of the input (the column), from 0.
        column: usize,
    },
    /// A label is NaN or infinite.
    #[error("the label of sample {sample} is not finite")]
    NonFiniteLabel {
        /// Index of the sample, from 0.
        sample: usize,
    },
    /// A label is neither 1 nor -1 where classes are needed.
    #[error("the label of sample {sample} is {label}, allowed: 1 and -1")]
    LabelNotSign {
        /// Index of the sample, from 0.
        sample: usize,
        /// Its label.
        label: f64,
    },
    /// A parameter of a network is NaN or infinite.
    #[error("parameter {index} in the order (W2, W1, b1) is not finite")]
    NonFiniteParameter {
        /// Index of the parameter, from 0.
        index: usize,
    },
    /// Weights and inputs are so large that the prediction, or the square of the curvature, is not finite.
    #[error("the prediction or the curvature of sample {sample} overflows")]
    Overflow {
        /// Index of the sample, from 0.
        sample: usize,
    },
    /// A generalising solution needs a unit for each pattern of its features.
    #[error(
        "num_features is {num_features}, allowed: 2 to num_inputs = {num_inputs}, with 2^num_features at most width = {width}"
    )]
    NumFeaturesOutOfRange {
        /// The number of features that was asked for.
        num_features: usize,
        /// The number of inputs there are.
        num_inputs: usize,
        /// The width of the network.
        width: usize,
    },
    /// A memorising solution needs a unit for each sample.
    #[error("width is {width}, allowed: at least num_samples = {num_samples}")]
    WidthTooSmall {
        /// The width that was asked for.
        width: usize,
        /// The number of samples.
        num_samples: usize,
    },
    /// Two samples have the same input, so no unit fires for one of them alone.
    #[error("samples {first} and {second} have the same input, so no unit can fire for one of them alone")]
    DuplicateInputs {
        /// Index of the one sample, from 0.
        first: usize,
        /// Index of the other, from 0.
        second: usize,
    },
    /// A sample is not the farthest in its own direction, so the construction has no unit for it.
    #[error(
        "sample {sample} cannot be memorised by this construction: sample {other} reaches as far in its direction"
    )]
    NotOutermost {
        /// Index of the sample, from 0.
        sample: usize,
        /// Index of the sample in its way, from 0; its own if its input is zero and has no direction.
        other: usize,
    },
    /// A batch cannot hold that many samples.
    #[error("batch_size is {batch_size}, allowed: 1 to num_samples = {num_samples}")]
    BatchSizeOutOfRange {
        /// The batch size that was asked for.
        batch_size: usize,
        /// The number of samples there are.
        num_samples: usize,
    },
    /// The polish ended above its target.
    #[error("the loss is {loss:.3e} after {num_steps} steps of the polish, and the target {target:.3e}")]
    NotInterpolated {
        /// The mean loss that was reached.
        loss: f64,
        /// The mean loss that was asked for.
        target: f64,
        /// Number of accepted steps.
        num_steps: usize,
    },
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, ReluError>;

/// Accepts a size of at least 1.
pub(crate) fn require_positive_size(name: &'static str, size: usize) -> Result<()> {
    if size > 0 { Ok(()) } else { Err(ReluError::OutOfRange { name, value: 0.0, allowed: "at least 1" }) }
}

/// Accepts `found` if it is `expected`.
pub(crate) fn require_size(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(ReluError::SizeMismatch { what, expected, found }) }
}

/// Accepts a finite number above (`strict`) or not below zero.
pub(crate) fn require_nonnegative(name: &'static str, value: f64, strict: bool) -> Result<()> {
    let above = if strict { value > 0.0 } else { value >= 0.0 };
    if above && value.is_finite() {
        return Ok(());
    }
    let allowed = if strict { "positive and finite" } else { "nonnegative and finite" };
    Err(ReluError::OutOfRange { name, value, allowed })
}
