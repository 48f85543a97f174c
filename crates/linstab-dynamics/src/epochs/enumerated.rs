//! All orders of an epoch, where they are few.

use linstab_linalg::{Ensemble as _, Mat, packed, spectral_radius};

use super::{COARSE_STEP, Epochs, FEWEST_DIRECTIONS, STEP, first_crossing};
use crate::Result;
use crate::error::require_nonnegative;
use crate::sampling::EpochOrder;
use crate::subsets::{num_subsets, subsets};

/// Longest state whose step over an epoch is formed as a matrix.
const LONGEST_STATE: usize = 256;

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
        let len = self.state_len();
        let orders = match self.sampling.order() {
            EpochOrder::Afresh => None,
            EpochOrder::Cyclic => (len <= LONGEST_STATE).then(|| vec![self.samples()]),
            EpochOrder::Reshuffling => {
                let size = packed::packed_len(len);
                let cost = self.num_orders().saturating_mul(size).saturating_mul(size);
                (self.num_orders() <= MAX_ORDERS && cost <= MAX_COST).then(|| self.orders())
            }
        };
        Some(EnumeratedEpochs { epochs: self, orders: orders? })
    }

    /// Length of the state: the iterate, and the memory if there is one.
    pub(super) fn state_len(&self) -> usize {
        let rank = self.effective.rank();
        if self.optimizer.recursion().is_memoryless() { rank } else { 2 * rank }
    }

    /// The product of the steps of an epoch in this order.
    fn product(&self, order: &[usize], learning_rate: f64) -> Result<Mat<f64>> {
        let (len, rank) = (self.state_len(), self.effective.rank());
        let mut stepper = self.stepper(learning_rate)?;
        let mut product = Mat::zeros(len, len);
        let mut state = vec![0.0; 2 * rank];
        for column in 0..len {
            state.fill(0.0);
            state[column] = 1.0;
            let (w, memory) = state.split_at_mut(rank);
            for batch in self.sampling.batches(order) {
                stepper.step((w, memory), batch, batch.len(), |_| ());
            }
            (0..len).for_each(|row| product[(row, column)] = state[row]);
        }
        Ok(product)
    }

    fn samples(&self) -> Vec<usize> {
        (0..self.sampling.num_samples()).collect()
    }

    /// Orders that differ in more than the order within a batch, saturating.
    fn num_orders(&self) -> usize {
        let mut left = self.sampling.num_samples();
        self.sampling.batch_sizes().fold(1, |count: usize, batch| {
            left -= batch;
            count.saturating_mul(num_subsets(left + batch, batch))
        })
    }

    /// These orders, without the samples that are dropped.
    fn orders(&self) -> Vec<Vec<usize>> {
        let mut partial = vec![(Vec::new(), self.samples())];
        for batch in self.sampling.batch_sizes() {
            let extended = partial.iter().flat_map(|(order, left): &(Vec<usize>, Vec<usize>)| {
                subsets(left, batch).into_iter().map(move |(next, left)| ([&order[..], &next].concat(), left))
            });
            partial = extended.collect();
        }
        partial.into_iter().map(|(order, _)| order).collect()
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
            [order] => spectral_radius(self.epochs.product(order, learning_rate)?).powi(2),
            _ => spectral_radius(self.epoch_map(learning_rate)?),
        };
        Ok(growth.powf((self.epochs.sampling.num_batches() as f64).recip()))
    }

    /// Exact mean-square threshold: the first learning rate at which the mean square grows, in a scan by steps of one percent, beyond
    /// 16 directions of five.
    ///
    /// The scan starts where no batch can enlarge a direction, at the [overdamped limit](crate::optimizer::Recursion::overdamped_limit) of
    /// the sharpest sample: with a memory there can be windows of instability far below the limits of the single steps.
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
        let start = epochs.optimizer.recursion().overdamped_limit(sharpest) * (1.0 - 1e-12);
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
            let product = self.epochs.product(order, learning_rate)?;
            let mut column = 0;
            for k in 0..dim {
                for l in k..dim {
                    // The image of the unit matrix of the entries (l, k) and (k, l).
                    let unit = if k == l { share } else { share * std::f64::consts::FRAC_1_SQRT_2 };
                    let image = packed::from_fn(dim, |i, j| {
                        let across = if k == l { 0.0 } else { product[(i, k)] * product[(j, l)] };
                        unit * (product[(i, l)] * product[(j, k)] + across)
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
}
