//! The directions that decide.

use super::Epochs;
use crate::mean_square::Threshold;
use crate::{BatchSampling, MeanSquare, Result, SamplingScheme};

/// Directions of the smallest coarse space, and by how much it may move a threshold.
pub(super) const FEWEST_DIRECTIONS: usize = 16;
const COARSE: f64 = 5e-4;

/// Epochs in the directions of the largest mean curvatures alone.
#[derive(Clone, Debug)]
pub struct CoarseEpochs {
    /// The epochs in these directions.
    pub epochs: Epochs,
    /// By how much leaving out the others moves the threshold of batches drawn afresh, as a logarithm.
    pub moved: f64,
    /// That threshold with all directions.
    pub(super) afresh: f64,
    /// And in these.
    pub(super) reference: Threshold,
}

impl Epochs {
    /// The same in as few directions as leave the threshold of batches drawn afresh where it is, to a relative 5e-4.
    ///
    /// # Errors
    /// Those of [`MeanSquare::max_learning_rate`].
    pub fn coarse(&self) -> Result<CoarseEpochs> {
        let whole = self.reference()?.max_learning_rate()?;
        let afresh = whole.value;
        let mut rank = FEWEST_DIRECTIONS;
        while 2 * rank < self.original.rank() {
            let (original, effective) = (self.original.leading(rank), self.effective.leading(rank));
            let epochs = Self { effective, original, ..self.clone() };
            let reference = epochs.reference()?.max_learning_rate()?;
            let moved = (reference.value / afresh).ln().abs();
            if moved <= COARSE {
                return Ok(CoarseEpochs { epochs, moved, afresh, reference });
            }
            rank *= 2;
        }
        Ok(CoarseEpochs { epochs: self.clone(), moved: 0.0, afresh, reference: whole })
    }

    /// The same optimizer with batches drawn afresh, with SAM's ascent on the full batch: what a search starts from.
    fn reference(&self) -> Result<MeanSquare> {
        let (n, b) = (self.sampling.num_samples(), self.sampling.batch_size());
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b)?;
        MeanSquare::new(&self.original, self.optimizer.with_full_ascent(), sampling)
    }
}
