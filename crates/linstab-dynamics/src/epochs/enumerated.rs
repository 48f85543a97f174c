//! All orders of an epoch, where they are few.

use linstab_linalg::{Ensemble as _, Mat, packed, spectral_radius};

use super::{COARSE_STEP, Epochs, STEP, first_crossing};
use crate::error::require_nonnegative;
use crate::sampling::EpochOrder;
use crate::subsets::{num_subsets, subsets};
use crate::{MeanSquare, Result};

/// Longest state whose step over an epoch is formed as a matrix.
const LONGEST_STATE: usize = 256;

/// Directions of the smallest coarse space, and by how much it may move a threshold.
const FEWEST_DIRECTIONS: usize = 16;
const COARSE: f64 = 5e-4;

/// Most orders that are enumerated, and most multiplications for the matrix of the epoch map.
const MAX_ORDERS: usize = 5040;
const MAX_COST: usize = 200_000_000;

/// The exact analysis over all orders of an epoch.
#[derive(Clone, Debug)]
pub struct EnumeratedEpochs<'a> {
    epochs: &'a Epochs,
    /// Orders of the samples, each as likely as the others.
    orders: Vec<Vec<usize>>,
}

impl Epochs {
    /// The exact analysis; `None` if there are too many orders or directions for it.
    pub fn enumerated(&self) -> Option<EnumeratedEpochs<'_>> {
        let (n, len) = (self.sampling.num_samples(), self.state_len());
        let size = packed::packed_len(len);
        let count = match self.sampling.order() {
            EpochOrder::Cyclic => 1,
            EpochOrder::Afresh => return None,
            EpochOrder::Reshuffling => {
                let mut left = n;
                self.sampling.batch_sizes().fold(1_usize, |count, batch| {
                    left -= batch;
                    count.saturating_mul(num_subsets(left + batch, batch))
                })
            }
        };
        if self.sampling.order() == EpochOrder::Cyclic {
            let orders = vec![(0..n).collect()];
            return (len <= LONGEST_STATE).then_some(EnumeratedEpochs { epochs: self, orders });
        }
        if count > MAX_ORDERS || count.saturating_mul(size).saturating_mul(size) > MAX_COST {
            return None;
        }
        let all: Vec<usize> = (0..n).collect();
        let orders = match self.sampling.order() {
            EpochOrder::Cyclic | EpochOrder::Afresh => vec![all],
            EpochOrder::Reshuffling => {
                let mut partial = vec![(Vec::new(), all)];
                for batch in self.sampling.batch_sizes() {
                    let extended = partial.iter().flat_map(|(order, left): &(Vec<usize>, Vec<usize>)| {
                        subsets(left, batch)
                            .into_iter()
                            .map(move |(next, left)| ([&order[..], &next].concat(), left))
                    });
                    partial = extended.collect();
                }
                partial.into_iter().map(|(order, _)| order).collect()
            }
        };
        Some(EnumeratedEpochs { epochs: self, orders })
    }

    /// Length of the state: the iterate, and the memory if there is one.
    fn state_len(&self) -> usize {
        let rank = self.effective.rank();
        if self.optimizer.recursion().is_memoryless() { rank } else { 2 * rank }
    }
}

impl EnumeratedEpochs<'_> {
    /// Exact factor by which the mean square grows a step, in the mean over an epoch; 1 without curvature.
    ///
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a bad learning rate.
    pub fn growth_per_step(&self, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        if self.epochs.effective.rank() == 0 {
            return Ok(self.epochs.optimizer.recursion().noise_free_growth(learning_rate, 0.0));
        }
        let growth = match &self.orders[..] {
            // Of one order the map is X -> J X J^T.
            [order] => {
                let columns = self.product(order, learning_rate)?;
                let len = columns.len();
                spectral_radius(Mat::from_fn(len, len, |row, column| columns[column][row])).powi(2)
            }
            _ => spectral_radius(self.epoch_map(learning_rate)?),
        };
        Ok(growth.powf((self.epochs.sampling.num_batches() as f64).recip()))
    }

    /// Exact mean-square threshold: the first learning rate, in a scan by steps of one percent, at which the mean square grows.
    ///
    /// In steps of five percent beyond 16 directions. The scan starts where no batch of SGD can enlarge anything, at the limit of the sharpest sample.
    /// # Errors
    /// [`crate::DynamicsError::Linalg`] if an eigenvalue iteration fails.
    pub fn max_learning_rate(&self) -> Result<f64> {
        let epochs = self.epochs;
        if epochs.effective.rank() == 0 {
            return Ok(epochs.gradient_descent_limit());
        }
        let mut sharpest = 0.0_f64;
        for sample in 0..epochs.effective.num_samples() {
            sharpest = sharpest.max(epochs.effective.sample_sharpness(sample)?);
        }
        let start = epochs.optimizer.recursion().noise_free_limit(sharpest) * (1.0 - 1e-12);
        let step = if epochs.state_len() > FEWEST_DIRECTIONS { COARSE_STEP } else { STEP };
        first_crossing(start, step, |eta| Ok(self.growth_per_step(eta)? - 1.0))
    }

    /// The matrix of the epoch map on packed symmetric matrices.
    fn epoch_map(&self, learning_rate: f64) -> Result<Mat<f64>> {
        let dim = self.epochs.state_len();
        let size = packed::packed_len(dim);
        let mut map = Mat::<f64>::zeros(size, size);
        let share = (self.orders.len() as f64).recip();
        for order in &self.orders {
            let product = self.product(order, learning_rate)?;
            let mut column = 0;
            for k in 0..dim {
                for l in k..dim {
                    // The image of the unit matrix of the entries (l, k) and (k, l).
                    let unit = if k == l { share } else { share * std::f64::consts::FRAC_1_SQRT_2 };
                    let image = packed::from_fn(dim, |i, j| {
                        let across = if k == l { 0.0 } else { product[k][i] * product[l][j] };
                        unit * (product[l][i] * product[k][j] + across)
                    });
                    for (row, entry) in image.iter().enumerate() {
                        map[(row, column)] += entry;
                    }
                    column += 1;
                }
            }
        }
        Ok(map)
    }

    /// The columns of the product of the steps of an epoch.
    fn product(&self, order: &[usize], learning_rate: f64) -> Result<Vec<Vec<f64>>> {
        let (dim, rank) = (self.epochs.state_len(), self.epochs.effective.rank());
        let mut stepper = self.epochs.stepper(learning_rate)?;
        let columns = (0..dim).map(|column| {
            let mut state: Vec<f64> = (0..2 * rank).map(|at| f64::from(u8::from(at == column))).collect();
            let (w, memory) = state.split_at_mut(rank);
            for batch in self.epochs.sampling.batches(order) {
                stepper.step((w, memory), batch, batch.len(), |_| ());
            }
            state.truncate(dim);
            state
        });
        Ok(columns.collect())
    }
}

impl Epochs {
    /// The same in the directions of the largest mean curvatures alone, as few of them as leave the threshold of batches drawn afresh
    /// where it is, to a relative 5e-4; and how far, as a logarithm, that moves.
    ///
    /// # Errors
    /// Those of [`MeanSquare::max_learning_rate`].
    pub fn coarse(&self) -> Result<(Self, f64)> {
        let threshold = self.reference()?.max_learning_rate()?.value;
        let mut rank = FEWEST_DIRECTIONS;
        while 2 * rank < self.original.rank() {
            let (original, effective) = (self.original.leading(rank), self.effective.leading(rank));
            let coarse = Self { effective, original, ..self.clone() };
            let off = (coarse.reference()?.max_learning_rate()?.value / threshold).ln().abs();
            if off <= COARSE {
                return Ok((coarse, off));
            }
            rank *= 2;
        }
        Ok((self.clone(), 0.0))
    }

    /// The same optimizer with batches drawn afresh, with SAM's ascent on the full batch: what a search starts from.
    pub(super) fn reference(&self) -> Result<MeanSquare> {
        use crate::{BatchSampling, SamplingScheme};
        let (n, b) = (self.sampling.num_samples(), self.sampling.batch_size());
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b)?;
        MeanSquare::new(&self.original, self.optimizer.with_full_ascent(), sampling)
    }
}
