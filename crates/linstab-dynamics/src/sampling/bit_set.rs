//! Fixed-size sets of sample indices as machine words.

/// A set of sample indices, one bit each. Small sets are arrays, so that the compiler unrolls every loop over words.
///
/// The number of words is a power of two, so that a random index of that many bits always addresses a word.
pub trait BitSet: AsRef<[u64]> + AsMut<[u64]> + Clone + std::fmt::Debug {
    /// The empty set, with room for the indices below `num_samples`.
    fn empty(num_samples: usize) -> Self;

    /// The set of the indices below `num_samples`.
    fn full(num_samples: usize) -> Self {
        let mut set = Self::empty(num_samples);
        for index in 0..num_samples {
            set.insert(index);
        }
        set
    }

    /// Adds an index.
    fn insert(&mut self, index: usize) {
        self.as_mut()[index / 64] |= 1 << (index % 64);
    }

    /// Whether an index belongs to the set.
    fn contains(&self, index: usize) -> bool {
        self.as_ref()[index / 64] >> (index % 64) & 1 == 1
    }

    /// Number of members.
    #[inline]
    fn len(&self) -> u32 {
        self.as_ref().iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no member.
    #[inline]
    fn is_empty(&self) -> bool {
        self.as_ref().iter().all(|&word| word == 0)
    }

    /// Number of common members.
    #[inline]
    fn intersection_len(&self, other: &Self) -> u32 {
        self.as_ref().iter().zip(other.as_ref()).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// Appends the members in ascending order.
    fn append_indices(&self, indices: &mut Vec<usize>) {
        for (at, &word) in self.as_ref().iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                indices.push(64 * at + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

impl<const WORDS: usize> BitSet for [u64; WORDS] {
    fn empty(num_samples: usize) -> Self {
        assert!(WORDS.is_power_of_two() && num_samples <= 64 * WORDS, "{num_samples} bits in {WORDS} words");
        [0; WORDS]
    }
}

impl BitSet for Box<[u64]> {
    fn empty(num_samples: usize) -> Self {
        vec![0; num_samples.div_ceil(64).next_power_of_two()].into()
    }
}
