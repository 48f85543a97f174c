//! Populations of states that stand for the second moment of an epoch map.
//!
//! The growth of `T(X) = E_pi [J X J^T]` is what the trace of `X` grows by once `X` has become its eigenmatrix. A population of states
//! stands for `X`, their mean of `z z^T`. Each epoch every state takes an order of its own; then the states are drawn anew in
//! proportion to their squared length (systematic resampling) and set to unit length, so that no single lucky state comes to stand for
//! all: the mean square of products of random matrices is made by rare ones. For a growing population the mean of the squared
//! lengths before resampling converges to the growth (a Feynman-Kac particle system; Del Moral 2004), with a bias of the order of one over
//! the number of states.
//!
//! Lengths are those of the loss, `sum_a h_a (w_a^2 + u_a^2)`: the growth does not depend on the norm, but flat directions, which decay
//! slowly next to the threshold and have nothing to do with it, then do not crowd out the others.

use linstab_linalg::{Mat, symmetric};
use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::Epochs;
use crate::Result;
use crate::sampling::EpochOrder;
use crate::simulation::stepper::Stepper;

/// One population at one learning rate.
pub(super) struct Population<'a, R> {
    epochs: &'a Epochs,
    stepper: Stepper,
    rng: R,
    /// Iterate and memory of each state, one after the other.
    states: Vec<Vec<f64>>,
    order: Vec<usize>,
}

impl<'a, R: Rng> Population<'a, R> {
    /// States drawn from a normal law whose covariance has the root `root`.
    pub(super) fn new(
        epochs: &'a Epochs,
        learning_rate: f64,
        root: &Mat<f64>,
        num_states: usize,
        mut rng: R,
    ) -> Result<Self> {
        let rank = epochs.effective.rank();
        let draw = |rng: &mut R| -> Vec<f64> {
            let normal: Vec<f64> = (0..root.ncols()).map(|_| StandardNormal.sample(rng)).collect();
            let mut state = vec![0.0; 2 * rank];
            for (column, x) in normal.iter().enumerate() {
                for (row, entry) in state.iter_mut().take(rank).enumerate() {
                    *entry += root[(row, column)] * x;
                }
            }
            state
        };
        let states = (0..num_states).map(|_| draw(&mut rng)).collect();
        let order = (0..epochs.sampling.num_samples()).collect();
        let mut population = Self { epochs, stepper: epochs.stepper(learning_rate)?, rng, states, order };
        population.resample();
        Ok(population)
    }

    /// One epoch of every state; the growth of the mean of their squared lengths.
    pub(super) fn epoch(&mut self) -> f64 {
        let rank = self.epochs.effective.rank();
        for at in 0..self.states.len() {
            let sampling = self.epochs.sampling;
            let (w, memory) = self.states[at].split_at_mut(rank);
            match sampling.order() {
                EpochOrder::Cyclic => {}
                EpochOrder::Reshuffling => {
                    shuffle(&mut self.order, self.epochs.sampling.num_samples(), &mut self.rng);
                }
                EpochOrder::Afresh => {
                    for size in sampling.batch_sizes() {
                        shuffle(&mut self.order, size, &mut self.rng);
                        self.stepper.step((w, memory), &self.order[..size], size, |_| ());
                    }
                    continue;
                }
            }
            for batch in sampling.batches(&self.order) {
                self.stepper.step((w, memory), batch, batch.len(), |_| ());
            }
        }
        self.resample()
    }

    /// Draws the states anew in proportion to their squared lengths; the mean of these.
    fn resample(&mut self) -> f64 {
        let h = self.epochs.effective.mean_eigenvalues();
        // What is not remembered is no part of the state.
        let len = if self.stepper.has_memory() { 2 * h.len() } else { h.len() };
        let squared = |state: &Vec<f64>| -> f64 {
            state.iter().take(len).zip(h.iter().chain(h)).map(|(z, h)| h * z * z).sum()
        };
        let lengths: Vec<f64> = self.states.iter().map(squared).collect();
        let total: f64 = lengths.iter().sum();
        let n = lengths.len() as f64;
        // One random number for all: the stratum of each state is a fixed distance from that of the last.
        let mut place: f64 = self.rng.random_range(0.0..1.0);
        if !(total > 0.0 && total.is_finite()) {
            return total / n;
        }
        let mut chosen = Vec::with_capacity(lengths.len());
        let mut sum = 0.0;
        for (at, length) in lengths.iter().enumerate() {
            sum += n * length / total;
            while place < sum && chosen.len() < lengths.len() {
                chosen.push(at);
                place += 1.0;
            }
        }
        chosen.resize(lengths.len(), chosen.last().copied().unwrap_or(0));
        let unit = |&at: &usize| self.states[at].iter().map(|z| z / lengths[at].sqrt()).collect();
        self.states = chosen.iter().map(unit).collect();
        total / n
    }
}

/// Puts a random subset, in random order, in front.
fn shuffle<R: Rng>(order: &mut [usize], size: usize, rng: &mut R) {
    for at in 0..size {
        order.swap(at, rng.random_range(at..order.len()));
    }
}

/// A root of a positive semidefinite matrix: its eigenvectors times the roots of its eigenvalues, without those that are rounding.
pub(super) fn root(matrix: &Mat<f64>) -> Result<Mat<f64>> {
    let (values, vectors) = symmetric::eigenpairs(matrix.as_ref())?;
    let most = values.last().copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..values.len()).filter(|&a| values[a] > 1e-12 * most).collect();
    Ok(Mat::from_fn(matrix.nrows(), kept.len(), |row, at| vectors[(row, kept[at])] * values[kept[at]].sqrt()))
}
