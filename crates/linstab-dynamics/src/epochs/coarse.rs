//! One order for good in the directions that decide.

use super::{Epochs, FEWEST_DIRECTIONS};
use crate::Result;

/// By how much twice as many directions may move a threshold.
const COARSE: f64 = 5e-4;

/// Epochs in the directions of the largest mean curvatures alone.
#[derive(Clone, Debug)]
pub struct CoarseEpochs {
    /// The epochs in these directions.
    pub epochs: Epochs,
    /// By how much half of them more moved the threshold, as a logarithm; 0 with all directions.
    pub moved: f64,
}

impl Epochs {
    /// The same in as many directions as leave the enumerated threshold where it is, to a relative 5e-4; all of them where there is none to
    /// enumerate.
    ///
    /// # Errors
    /// Those of [`super::EnumeratedEpochs::max_learning_rate`].
    pub fn coarse(&self) -> Result<CoarseEpochs> {
        let (mut rank, mut earlier) = (FEWEST_DIRECTIONS, f64::NAN);
        while 2 * rank < self.effective.rank() {
            let epochs = self.leading(rank);
            let Some(enumerated) = epochs.enumerated() else { break };
            let threshold = enumerated.max_learning_rate()?;
            let moved = (threshold / earlier).ln().abs();
            if moved <= COARSE {
                return Ok(CoarseEpochs { epochs, moved });
            }
            (earlier, rank) = (threshold, 2 * rank);
        }
        Ok(CoarseEpochs { epochs: self.clone(), moved: 0.0 })
    }
}
