//! Fixed-size sets of sample indices as machine words.

/// A set of sample indices, one bit each. Small sets are arrays, so that the compiler unrolls every loop over words.
///
/// The number of words is a power of two, so that a random index of that many bits always addresses a word.
///
/// # Examples
/// ```
/// use linstab_dynamics::sampling::BitSet;
/// let mut set = <[u64; 2]>::empty(100);
/// set.insert(3);
/// set.insert(70);
/// assert_eq!(set, [1 << 3, 1 << 6]); // 70 is bit 6 of the second word
/// ```
pub trait BitSet: AsRef<[u64]> + AsMut<[u64]> + Clone + std::fmt::Debug {
    /// The empty set, with room for the indices below `num_samples`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert!(Box::<[u64]>::empty(300).is_empty());
    /// assert_eq!(Box::<[u64]>::empty(300).len(), 0);
    /// ```
    fn empty(num_samples: usize) -> Self;

    /// The set of the indices below `num_samples`.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert_eq!(<[u64; 1]>::full(3), [0b111]);
    /// ```
    fn full(num_samples: usize) -> Self {
        let mut set = Self::empty(num_samples);
        for index in 0..num_samples {
            set.insert(index);
        }
        set
    }

    /// Adds an index.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// let mut set = <[u64; 1]>::empty(5);
    /// set.insert(2);
    /// assert_eq!(set, [0b100]);
    /// ```
    fn insert(&mut self, index: usize) {
        self.as_mut()[index / 64] |= 1 << (index % 64);
    }

    /// Whether an index belongs to the set.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert!([0b100_u64].contains(2) && !BitSet::contains(&[0b100_u64], 1));
    /// ```
    fn contains(&self, index: usize) -> bool {
        self.as_ref()[index / 64] >> (index % 64) & 1 == 1
    }

    /// Number of members.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert_eq!(BitSet::len(&[0b1011_u64]), 3);
    /// ```
    #[inline]
    fn len(&self) -> u32 {
        self.as_ref().iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no member.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert!(!BitSet::is_empty(&[0b1011_u64]));
    /// ```
    #[inline]
    fn is_empty(&self) -> bool {
        self.as_ref().iter().all(|&word| word == 0)
    }

    /// Number of common members.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// assert_eq!([0b1011_u64].intersection_len(&[0b0110]), 1);
    /// ```
    #[inline]
    fn intersection_len(&self, other: &Self) -> u32 {
        self.as_ref().iter().zip(other.as_ref()).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// Appends the members in ascending order.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::BitSet;
    /// let mut indices = Vec::new();
    /// [0b1011_u64].append_indices(&mut indices);
    /// assert_eq!(indices, [0, 1, 3]);
    /// ```
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
