//! Training, epoch by epoch.
//!
//! An epoch visits all samples in a fresh random order, in batches of `batch_size`; a smaller last batch is kept, as data
//! loaders do ([`BatchOrder`] has the independent batches of the theory as well). A step with batch gradient `g_B`, the mean over the batch, sees
//!
//! ```text
//! G = P^{-1} (g_B(point; labels) + lambda grad R_B(w))
//! ```
//!
//! with the point and the labels of the [`TrainingRule`], and the [`contrastive_loss`] `R_B` of the hidden features of the batch
//! weighted by lambda. The contrastive gradient is always taken at `w` itself, and ascent sees the squared loss alone. What is done with
//! `G` is the [`Recursion`] of the optimizer, its memory 0 at the start; the preconditioner `P` is 1 unless
//! [given](Trainer::preconditioned).

mod contrastive;
mod rule;
mod trainer;

use std::ops::ControlFlow;

use crate::error::{require_nonnegative, require_positive_size};
use crate::{Dataset, ReluError, Result, SquaredLoss, TwoLayer};
pub use contrastive::contrastive_loss;
use linstab_dynamics::optimizer::Recursion;
pub use rule::TrainingRule;
pub use trainer::Trainer;

/// Which samples the batches hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum BatchOrder {
    /// An epoch visits every sample once, in a fresh random order: the batches of an epoch are disjoint, so not independent.
    /// What data loaders do.
    Shuffled,
    /// Every batch is a uniformly random set of `batch_size` samples, whatever came before. What stability theory assumes.
    Independent {
        /// Number of steps after which the observer is told, in place of an epoch; at least 1.
        steps_per_epoch: usize,
    },
}

/// How to train.
///
/// | field | range |
/// |---|---|
/// | `learning_rate` | positive |
/// | `recursion` | a memory above -1 and below 1, finite numbers |
/// | `batch_size` | 1 to the number of samples |
/// | `batch_order` | at least 1 step an epoch |
/// | `num_epochs` | any; 0 leaves the network as it is |
/// | `contrastive_weight` | nonnegative; a positive one needs labels +-1 |
/// | `divergence_loss` | positive, infinity allowed |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// The update rule.
    pub rule: TrainingRule,
    /// The convention of the loss.
    pub loss: SquaredLoss,
    /// Learning rate `eta`.
    pub learning_rate: f64,
    /// What is done with a gradient: momentum, weight decay.
    pub recursion: Recursion,
    /// Number of samples a batch, but for a smaller last one.
    pub batch_size: usize,
    /// Which samples the batches hold.
    pub batch_order: BatchOrder,
    /// Number of passes over the data.
    pub num_epochs: usize,
    /// Weight `lambda` of the contrastive loss.
    pub contrastive_weight: f64,
    /// A batch loss above this is a divergence.
    pub divergence_loss: f64,
}

impl Training {
    /// Plain training with this rule, in shuffled epochs, without momentum or contrastive term; only a loss that is not finite is a
    /// divergence.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::optimizer::Recursion;
    /// use linstab_relu::{SquaredLoss, Training, TrainingRule};
    /// let training = Training::new(TrainingRule::Sgd, SquaredLoss::Full, 0.1, 10, 50);
    /// let with_momentum = Training { recursion: Recursion::heavy_ball(0.9), ..training };
    /// assert_eq!((with_momentum.batch_size, with_momentum.num_epochs), (10, 50));
    /// ```
    pub fn new(
        rule: TrainingRule,
        loss: SquaredLoss,
        learning_rate: f64,
        batch_size: usize,
        num_epochs: usize,
    ) -> Self {
        Self {
            rule,
            loss,
            learning_rate,
            recursion: Recursion::SGD,
            batch_size,
            batch_order: BatchOrder::Shuffled,
            num_epochs,
            contrastive_weight: 0.0,
            divergence_loss: f64::INFINITY,
        }
    }

    /// The training, if it is possible on these data.
    ///
    /// # Errors
    /// [`ReluError::OutOfRange`] or [`ReluError::BatchSizeOutOfRange`] for a field outside of its range,
    /// [`ReluError::LabelNotSign`] for a contrastive term without classes.
    /// # Examples
    /// ```
    /// use linstab_relu::{Dataset, ReluError, SquaredLoss, Training, TrainingRule};
    /// let data = Dataset::new(1, vec![1.0, 2.0], vec![1.0, 0.5])?;
    /// let training = Training::new(TrainingRule::Sgd, SquaredLoss::Full, 0.1, 3, 50);
    /// let error = training.checked(&data).unwrap_err();
    /// assert_eq!(error, ReluError::BatchSizeOutOfRange { batch_size: 3, num_samples: 2 });
    /// # Ok::<(), ReluError>(())
    /// ```
    pub fn checked(self, data: &Dataset) -> Result<Self> {
        self.rule.checked()?;
        require_nonnegative("learning_rate", self.learning_rate, true)?;
        require_nonnegative("contrastive_weight", self.contrastive_weight, false)?;
        let Recursion { memory, input, direct, output, coupled_decay, decoupled_decay } = self.recursion;
        if !(memory > -1.0 && memory < 1.0) {
            return Err(ReluError::OutOfRange {
                name: "memory",
                value: memory,
                allowed: "above -1 and below 1",
            });
        }
        for value in [input, direct, output, coupled_decay, decoupled_decay] {
            if !value.is_finite() {
                return Err(ReluError::OutOfRange {
                    name: "a number of the recursion",
                    value,
                    allowed: "finite",
                });
            }
        }
        if self.divergence_loss.is_nan() || self.divergence_loss <= 0.0 {
            let (name, value) = ("divergence_loss", self.divergence_loss);
            return Err(ReluError::OutOfRange { name, value, allowed: "positive" });
        }
        let (batch_size, num_samples) = (self.batch_size, data.num_samples());
        if !(1..=num_samples).contains(&batch_size) {
            return Err(ReluError::BatchSizeOutOfRange { batch_size, num_samples });
        }
        if let BatchOrder::Independent { steps_per_epoch } = self.batch_order {
            require_positive_size("steps_per_epoch", steps_per_epoch)?;
        }
        if self.contrastive_weight > 0.0 {
            data.require_signs()?;
        }
        Ok(self)
    }
}

/// What an observer of the training sees: the start, and the end of each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Number of epochs that are over.
    pub epoch: usize,
    /// The network at this moment.
    pub network: &'a TwoLayer,
    /// Mean over the epoch's steps of the squared loss that each step saw (its batch, where its gradient was taken);
    /// `None` at the start.
    pub mean_batch_loss: Option<f64>,
}

/// How a training ended. Divergence is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs were made.
    Completed,
    /// The observer broke off.
    Stopped {
        /// Number of epochs that were over.
        epoch: usize,
    },
    /// A batch loss rose above the cut or was not finite, or a parameter was not finite.
    Diverged {
        /// The epoch in which it happened (the first is 1).
        epoch: usize,
        /// The last batch loss; it can be infinite or NaN.
        loss: f64,
    },
}

/// An observer that only lets the training go on.
pub fn unobserved(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
