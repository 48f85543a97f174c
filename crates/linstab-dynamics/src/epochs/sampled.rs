//! The epoch map in the mean over sampled orders.
//!
//! `T(X) = E_pi [J X J^T]` is linear in `X`, and one order says what it does to every `X`: its product `J`. So some hundred orders make a map
//! `T_N` whose growth is the eigenvalue of a matrix, at any learning rate with the same orders. What single orders do over many epochs, which
//! decides the growth and which single runs hardly ever meet, is then in the eigenvalue and need not be sampled.

use linstab_linalg::{Mat, Scale, dominant_eigenpair};
use rand::{Rng, RngExt as _};
use rayon::prelude::*;

use super::Epochs;
use crate::Result;
use crate::sampling::EpochOrder;

/// Orders whose images are added up by one task: the sum has the same order for any number of threads.
const CHUNK: usize = 8;
/// Largest residual of an eigenmatrix, relative to its eigenvalue, and most applications of the map for it.
const TOLERANCE: f64 = 1e-4;
const MAX_APPLICATIONS: usize = 48;

/// The products of the steps of an epoch in some orders, at one learning rate.
pub(super) struct SampledMap(Vec<Mat<f64>>);

/// A second moment that a map multiplies by a number.
#[derive(Clone)]
pub(super) struct Eigenmatrix {
    /// Logarithm of that number, the growth an epoch.
    pub(super) log_growth: f64,
    pub(super) matrix: Mat<f64>,
}

impl SampledMap {
    pub(super) fn new(epochs: &Epochs, learning_rate: f64, orders: &[Vec<usize>]) -> Result<Self> {
        let product = |order: &Vec<usize>| epochs.product(order, learning_rate);
        Ok(Self(orders.par_iter().map(product).collect::<Result<_>>()?))
    }

    /// Both halves of the orders.
    pub(super) fn halves(&self) -> [&[Mat<f64>]; 2] {
        let (first, second) = self.0.split_at(self.0.len() / 2);
        [first, second]
    }

    pub(super) fn all(&self) -> &[Mat<f64>] {
        &self.0
    }

    /// `<Z, J X J^T>` for each order.
    pub(super) fn quotients(&self, z: &Mat<f64>, x: &Mat<f64>) -> Vec<f64> {
        let of_order = |product: &Mat<f64>| inner(z, &(product * x * product.transpose()));
        self.0.par_iter().map(of_order).collect()
    }
}

/// What grows fastest under the mean over these orders; `start` is where the search for it begins.
pub(super) fn eigenmatrix(products: &[Mat<f64>], start: &Mat<f64>) -> Eigenmatrix {
    dominant(products, start, |product, x| product * x * product.transpose())
}

/// The same of the adjoint: what a second moment is worth in the long run.
pub(super) fn left_eigenmatrix(products: &[Mat<f64>], start: &Mat<f64>) -> Eigenmatrix {
    dominant(products, start, |product, z| product.transpose() * z * product)
}

/// The sum of the products of the entries.
pub(super) fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols()).map(|j| (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>()).sum()
}

fn dominant(
    products: &[Mat<f64>],
    start: &Mat<f64>,
    image: impl Fn(&Mat<f64>, &Mat<f64>) -> Mat<f64> + Sync,
) -> Eigenmatrix {
    let len = start.nrows();
    let as_matrix = |x: &[f64]| Mat::from_fn(len, len, |i, j| 0.5 * (x[j * len + i] + x[i * len + j]));
    let as_vector = |x: &Mat<f64>| (0..len * len).map(|at| x[(at % len, at / len)]).collect::<Vec<f64>>();
    let share = Scale((products.len() as f64).recip());
    let mean = |x: Mat<f64>| {
        let of_chunk = |products: &[Mat<f64>]| {
            products.iter().fold(Mat::<f64>::zeros(len, len), |sum, product| sum + image(product, &x))
        };
        let sums: Vec<Mat<f64>> = products.par_chunks(CHUNK).map(of_chunk).collect();
        sums.into_iter().fold(Mat::<f64>::zeros(len, len), |sum, part| sum + part) * share
    };
    let apply = |x: &[f64]| as_vector(&mean(as_matrix(x)));
    let found = dominant_eigenpair(as_vector(start), apply, TOLERANCE, MAX_APPLICATIONS);
    let log = found.value.ln();
    Eigenmatrix {
        log_growth: if log.is_nan() { f64::INFINITY } else { log },
        matrix: as_matrix(&found.vector),
    }
}

impl Epochs {
    /// Length of the state: the iterate, and the memory if there is one.
    pub(super) fn state_len(&self) -> usize {
        let rank = self.effective.rank();
        if self.optimizer.recursion().is_memoryless() { rank } else { 2 * rank }
    }

    /// The product of the steps of an epoch in this order.
    pub(super) fn product(&self, order: &[usize], learning_rate: f64) -> Result<Mat<f64>> {
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

    /// The samples of the next epoch, batch by batch; `order` holds all samples and is put into another order.
    pub(super) fn draw<R: Rng>(&self, order: &mut [usize], rng: &mut R) -> Vec<usize> {
        match self.sampling.order() {
            EpochOrder::Cyclic => order.to_vec(),
            EpochOrder::Reshuffling => {
                shuffle(order, order.len(), rng);
                order.to_vec()
            }
            EpochOrder::Afresh => {
                let mut batches = Vec::new();
                for size in self.sampling.batch_sizes() {
                    shuffle(order, size, rng);
                    batches.extend_from_slice(&order[..size]);
                }
                batches
            }
        }
    }
}

/// Puts a random subset, in random order, in front.
fn shuffle<R: Rng>(order: &mut [usize], size: usize, rng: &mut R) {
    for at in 0..size {
        order.swap(at, rng.random_range(at..order.len()));
    }
}
