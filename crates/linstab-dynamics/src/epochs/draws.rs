//! Random orders of samples, whole or batch by batch.

use std::ops::Range;

use rand::{Rng, RngExt as _};

use super::Epochs;
use crate::sampling::EpochOrder;

impl Epochs {
    /// The samples of the next epoch, batch by batch; `order` holds all samples and is put into another order.
    pub(super) fn draw<R: Rng>(&self, order: &mut [usize], rng: &mut R) -> Vec<usize> {
        match self.sampling.order() {
            EpochOrder::Cyclic => order.to_vec(),
            EpochOrder::Reshuffling => {
                shuffle(order, 0..order.len(), rng);
                order.to_vec()
            }
            EpochOrder::Afresh => {
                let mut batches = Vec::new();
                for size in self.sampling.batch_sizes() {
                    shuffle(order, 0..size, rng);
                    batches.extend_from_slice(&order[..size]);
                }
                batches
            }
        }
    }

    /// The next `size` samples of an epoch of which `used` have had their turn: those in front of `order`.
    pub(super) fn draw_batch<'a, R: Rng>(
        &self,
        order: &'a mut [usize],
        (used, size): (usize, usize),
        rng: &mut R,
    ) -> &'a [usize] {
        let places = if self.sampling.order() == EpochOrder::Afresh { 0..size } else { used..used + size };
        if self.sampling.order() != EpochOrder::Cyclic {
            shuffle(order, places.clone(), rng);
        }
        &order[places]
    }
}

/// Puts random ones of the samples from the first of these places on into these places, in random order.
fn shuffle<R: Rng>(order: &mut [usize], places: Range<usize>, rng: &mut R) {
    for at in places {
        order.swap(at, rng.random_range(at..order.len()));
    }
}
