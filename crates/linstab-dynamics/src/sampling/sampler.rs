//! Random batches as bit sets: exact laws at a few nanoseconds a member.

use rand::Rng;

use super::{BatchSampling, BitSet, CountLaw, SamplingScheme};

/// Draws batches of one [`BatchSampling`], each independent of the others.
///
/// # Algorithms
/// - *Without replacement.* Words of random bits are combined into a set in which every sample is present with
///   probability `q`, a multiple of a power of 1/2 near `B / n`; then uniformly random non-members are added (or
///   members removed) until the size is `B`. Permuting the samples leaves the law of each stage unchanged, so the
///   result is uniform over the subsets of size `B`, whatever `q`; `q` only sets the cost. For `B > n/2` the
///   complement is drawn.
/// - *Bernoulli.* All samples compare a uniform number with `B / n`, one binary digit of both at a time, until each
///   comparison is decided: exactly Bernoulli(`B / n`), with about `log2 n + 2` random bits a sample.
/// - *With replacement.* `B` uniform indices by rejection.
///
/// # Determinism
/// The stream that one run consumes depends on nothing but its generator: call [`BatchSampler::restart`] (or build a
/// new sampler) at the start of each run, since spare random bits are kept from draw to draw.
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::BatchSampler};
/// use rand::SeedableRng;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 100, 10)?;
/// let mut sampler = BatchSampler::<[u64; 2]>::new(sampling);
/// let (mut rng, mut batch) = (rand_pcg::Pcg64::seed_from_u64(1), Vec::new());
/// sampler.draw_indices(&mut rng, &mut batch);
/// assert!(batch.len() == 10 && batch.is_sorted() && batch.iter().all(|&index| index < 100));
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchSampler<S> {
    sampling: BatchSampling,
    all: S,
    /// Size of the set that is drawn: the batch or, if that is smaller, its complement.
    target: u32,
    complement: bool,
    /// Binary digits of `q`, the least significant first, without trailing zeros.
    seed_digits: Vec<bool>,
    index_bits: IndexBits,
    /// Scratch for [`BatchSampler::draw_indices`].
    set: S,
}

impl<S: BitSet> BatchSampler<S> {
    /// A sampler for the given scheme and sizes.
    ///
    /// # Panics
    /// If there are 2^32 samples or more, or more than the set type has room for.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::BatchSampler};
    /// // Up to 64 samples fit into one word; a boxed slice has room for any number.
    /// let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 64, 8)?;
    /// let _ = BatchSampler::<[u64; 1]>::new(sampling);
    /// let _ = BatchSampler::<Box<[u64]>>::new(sampling);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(sampling: BatchSampling) -> Self {
        let (n, b) = (sampling.num_samples(), sampling.batch_size());
        let complement = sampling.scheme() == SamplingScheme::WithoutReplacement && 2 * b > n;
        let target = if complement { n - b } else { b };
        Self {
            sampling,
            all: S::full(n),
            target: u32::try_from(target).expect("fewer than 2^32 samples"),
            complement,
            seed_digits: seed_digits(n, target),
            index_bits: IndexBits::new(n),
            set: S::empty(n),
        }
    }

    /// Forgets the spare random bits of earlier draws.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::BatchSampler};
    /// use rand::SeedableRng;
    /// let mut sampler = BatchSampler::<[u64; 1]>::new(BatchSampling::new(SamplingScheme::WithReplacement, 64, 3)?);
    /// let mut draw = || {
    ///     let mut batch = Vec::new();
    ///     sampler.restart();
    ///     sampler.draw_indices(&mut rand_pcg::Pcg64::seed_from_u64(1), &mut batch);
    ///     batch
    /// };
    /// assert_eq!(draw(), draw(), "equal generators give equal batches");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn restart(&mut self) {
        self.index_bits.spare = 0;
    }

    /// Draws a batch as a set.
    ///
    /// # Panics
    /// With replacement, where a batch is no set; use [`BatchSampler::draw_indices`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{BatchSampler, BitSet};
    /// use linstab_dynamics::{BatchSampling, SamplingScheme};
    /// use rand::SeedableRng;
    /// // All of three samples: the set is known beforehand.
    /// let mut sampler = BatchSampler::<[u64; 1]>::new(BatchSampling::new(SamplingScheme::WithoutReplacement, 3, 3)?);
    /// let mut set = <[u64; 1]>::empty(3);
    /// sampler.draw_set(&mut rand_pcg::Pcg64::seed_from_u64(1), &mut set);
    /// assert_eq!(set, [0b111]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    #[inline]
    pub fn draw_set<R: Rng>(&mut self, rng: &mut R, set: &mut S) {
        match self.sampling.scheme() {
            SamplingScheme::WithoutReplacement => self.draw_subset(rng, set),
            SamplingScheme::Bernoulli => self.draw_bernoulli(rng, set),
            SamplingScheme::WithReplacement => panic!("a batch drawn with replacement is not a set"),
        }
    }

    /// Draws a batch as a list of indices: ascending and distinct, except with replacement.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::BatchSampler};
    /// use rand::SeedableRng;
    /// let mut sampler = BatchSampler::<[u64; 1]>::new(BatchSampling::new(SamplingScheme::WithReplacement, 1, 1)?);
    /// let mut batch = vec![17, 18]; // what it held is forgotten
    /// sampler.draw_indices(&mut rand_pcg::Pcg64::seed_from_u64(1), &mut batch);
    /// assert_eq!(batch, [0]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn draw_indices<R: Rng>(&mut self, rng: &mut R, indices: &mut Vec<usize>) {
        indices.clear();
        if self.sampling.scheme().draws_sets() {
            let mut set = self.set.clone();
            self.draw_set(rng, &mut set);
            set.append_indices(indices);
            return;
        }
        let n = self.sampling.num_samples();
        while indices.len() < self.sampling.batch_size() {
            let index = self.index_bits.next(rng);
            if index < n {
                indices.push(index);
            }
        }
    }

    #[inline]
    fn draw_subset<R: Rng>(&mut self, rng: &mut R, set: &mut S) {
        set.as_mut().fill(0);
        for &digit in &self.seed_digits {
            for word in set.as_mut() {
                let random = rng.next_u64();
                *word = if digit { *word | random } else { *word & random };
            }
        }
        for (word, all) in set.as_mut().iter_mut().zip(self.all.as_ref()) {
            *word &= all;
        }
        let mut size = set.len();
        // Conditional moves instead of branches: an index that is out of range or already there changes nothing.
        while size < self.target {
            let index = self.index_bits.next(rng);
            let word = &mut set.as_mut()[index / 64];
            let added = (1 << (index % 64)) & self.all.as_ref()[index / 64] & !*word;
            *word |= added;
            size += u32::from(added != 0);
        }
        while size > self.target {
            let index = self.index_bits.next(rng);
            let word = &mut set.as_mut()[index / 64];
            let removed = (1 << (index % 64)) & *word;
            *word ^= removed;
            size -= u32::from(removed != 0);
        }
        if self.complement {
            for (word, all) in set.as_mut().iter_mut().zip(self.all.as_ref()) {
                *word = !*word & all;
            }
        }
    }

    #[inline]
    fn draw_bernoulli<R: Rng>(&mut self, rng: &mut R, set: &mut S) {
        let n = self.sampling.num_samples();
        // Long division of B by n gives the digits of B / n exactly; a remainder of 0 means the expansion ended, and
        // a uniform number that agrees with all of it is not below B / n.
        let mut remainder = self.sampling.batch_size();
        let mut undecided = self.all.clone();
        set.as_mut().fill(0);
        while remainder != 0 && !undecided.is_empty() {
            remainder *= 2;
            let digit = remainder >= n;
            if digit {
                remainder -= n;
            }
            for (word, open) in set.as_mut().iter_mut().zip(undecided.as_mut()) {
                let random = rng.next_u64();
                if digit {
                    *word |= *open & !random;
                    *open &= random;
                } else {
                    *open &= !random;
                }
            }
        }
    }
}

/// Cost of a random word per try at a random index, as measured: 1.5 against 2.2 nanoseconds.
const WORD_COST: f64 = 0.7;

/// Digits of the seeding probability that makes a draw of `target` samples cheapest on average, the least significant first.
fn seed_digits(num_samples: usize, target: usize) -> Vec<bool> {
    let words = num_samples.div_ceil(64).next_power_of_two() as f64;
    let tries = tries_from_size(num_samples, target);
    let mut best = (tries[0], Vec::new());
    // More digits than the standard deviation of the seed's size resolves would be wasted.
    for num_digits in 1..=num_samples.ilog2() / 2 + 2 {
        let denominator = 1_usize << num_digits;
        let nearest = target * denominator / num_samples;
        for numerator in nearest.saturating_sub(2).max(1)..=(nearest + 1).min(denominator - 1) {
            // A trailing zero would be a word to no purpose: fewer digits say the same.
            if numerator % 2 == 1 {
                let size = CountLaw::binomial(num_samples, numerator, denominator);
                let corrections: f64 = size.iter().map(|(size, probability)| probability * tries[size]).sum();
                let cost = WORD_COST * words * f64::from(num_digits) + corrections;
                if cost < best.0 {
                    best = (cost, (0..num_digits).map(|k| numerator >> k & 1 == 1).collect());
                }
            }
        }
    }
    best.1
}

/// Expected number of random indices that are tried until a set of each size has grown or shrunk to `target`.
fn tries_from_size(num_samples: usize, target: usize) -> Vec<f64> {
    let range = num_samples.next_power_of_two().max(2) as f64;
    let mut tries = vec![0.0; num_samples + 1];
    for size in (0..target).rev() {
        tries[size] = tries[size + 1] + range / (num_samples - size) as f64;
    }
    for size in target + 1..=num_samples {
        tries[size] = tries[size - 1] + range / size as f64;
    }
    tries
}

/// Cuts random words into indices of just enough bits.
#[derive(Clone, Debug)]
struct IndexBits {
    bits: u32,
    per_word: u32,
    buffer: u64,
    spare: u32,
}

impl IndexBits {
    fn new(num_samples: usize) -> Self {
        let bits = (usize::BITS - (num_samples - 1).leading_zeros()).max(1);
        Self { bits, per_word: 64 / bits, buffer: 0, spare: 0 }
    }

    /// A uniform index below `2^bits`: the caller rejects those that are not below the number of samples.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to the bits of an index")]
    fn next<R: Rng>(&mut self, rng: &mut R) -> usize {
        if self.spare == 0 {
            self.buffer = rng.next_u64();
            self.spare = self.per_word;
        }
        let index = self.buffer & ((1 << self.bits) - 1);
        self.buffer >>= self.bits;
        self.spare -= 1;
        index as usize
    }
}
