//! Bit-sliced counters: adding 1 to the counters of a whole set of samples in a few word operations.

use crate::sampling::BitSet;

/// One counter a sample; plane `l` holds bit `l` of all of them.
#[derive(Clone, Debug)]
pub(crate) struct BitSlicedCounters<S> {
    planes: Vec<S>,
}

impl<S: BitSet> BitSlicedCounters<S> {
    /// Counters that can reach `max_count`, all zero.
    pub(crate) fn new(num_samples: usize, max_count: usize) -> Self {
        let num_planes = (usize::BITS - max_count.leading_zeros()) as usize;
        Self { planes: vec![S::empty(num_samples); num_planes] }
    }

    /// Adds 1 to the counter of every member of `set`.
    #[inline]
    pub(crate) fn add(&mut self, set: &S) {
        let mut carry = set.clone();
        for plane in &mut self.planes {
            let mut any = 0;
            for (bits, carry) in plane.as_mut().iter_mut().zip(carry.as_mut()) {
                let overflow = *bits & *carry;
                *bits ^= *carry;
                *carry = overflow;
                any |= overflow;
            }
            if any == 0 {
                return;
            }
        }
    }

    /// The counter of one sample.
    pub(crate) fn count(&self, sample: usize) -> usize {
        self.planes
            .iter()
            .enumerate()
            .map(|(level, plane)| usize::from(plane.contains(sample)) << level)
            .sum()
    }
}
