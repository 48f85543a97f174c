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
    /// The same in as many directions as leave the enumerated threshold where it is, to a relative 5e-4, or as can be enumerated; all of them
    /// where none can.
    ///
    /// # Errors
    /// Those of [`super::EnumeratedEpochs::max_learning_rate`].
    pub fn coarse(&self) -> Result<CoarseEpochs> {
        let (mut rank, mut earlier) = (FEWEST_DIRECTIONS, f64::NAN);
        let mut last: Option<CoarseEpochs> = None;
        while 2 * rank < self.effective.rank() {
            let epochs = self.leading(rank);
            let Some(enumerated) = epochs.enumerated() else { break };
            let threshold = enumerated.max_learning_rate()?;
            let moved = (threshold / earlier).ln().abs();
            let is_enough = moved <= COARSE;
            // The first has nothing to compare with.
            let moved = if moved.is_nan() { f64::INFINITY } else { moved };
            last = Some(CoarseEpochs { epochs, moved });
            if is_enough {
                break;
            }
            (earlier, rank) = (threshold, 2 * rank);
        }
        let whole = CoarseEpochs { epochs: self.clone(), moved: 0.0 };
        Ok(match last {
            Some(last) if last.moved <= COARSE || self.enumerated().is_none() => last,
            _ => whole,
        })
    }
}
