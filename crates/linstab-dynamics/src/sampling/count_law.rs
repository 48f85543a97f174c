//! The law of the number of batch members that come from a given subset of the samples.

use super::{BatchSampling, RemainingDraws};

/// A probability law on counts: hypergeometric or binomial, evaluated once for all counts.
///
/// Definition: without replacement, `P(K = k) = C(s,k) C(n-s, B-k) / C(n,B)`; with replacement `K ~ Bin(B, s/n)`;
/// Bernoulli `K ~ Bin(s, B/n)`. Symbols: `s` size of the subset, `n`, `B` as in [`BatchSampling`].
///
/// # Accuracy
/// Ratios of neighbouring probabilities are followed outwards from the mode and normalised: all terms are positive,
/// so the relative error of each is a few rounding errors times its distance from the mode.
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::CountLaw};
/// // Two draws with replacement, half of the samples marked: 0, 1 or 2 marked ones with odds 1 : 2 : 1.
/// let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 4, 2)?;
/// let law: Vec<(usize, f64)> = CountLaw::new(sampling, 2).iter().collect();
/// assert_eq!(law, [(0, 0.25), (1, 0.5), (2, 0.25)]);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CountLaw {
    /// Possible counts, ascending, with their probabilities. A scheme may skip counts; one of probability 0 does not stand here,
    /// since a product over possible batches would take it for possible.
    counts: Vec<(usize, f64)>,
}

impl CountLaw {
    /// The law of the number of draws, with multiplicity, that fall into a subset of `subset_size` samples.
    ///
    /// # Panics
    /// If the subset is larger than the number of samples.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::CountLaw};
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 2)?;
    /// let law: Vec<(usize, f64)> = CountLaw::new(sampling, 2).iter().collect();
    /// for (found, expected) in law.iter().zip([(0, 1.0 / 6.0), (1, 4.0 / 6.0), (2, 1.0 / 6.0)]) {
    ///     assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-15);
    /// }
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    #[track_caller]
    pub fn new(sampling: BatchSampling, subset_size: usize) -> Self {
        let n = sampling.num_samples();
        assert!(subset_size <= n, "a subset of {subset_size} of {n} samples");
        RemainingDraws::new(sampling).count_law(subset_size)
    }

    /// Successes among `draws` draws without replacement from `total` items, `successes` of which are successes.
    pub(crate) fn hypergeometric(total: usize, successes: usize, draws: usize) -> Self {
        let failures = total - successes;
        let (first, last) = (draws.saturating_sub(failures), successes.min(draws));
        let mode = ((draws + 1) * (successes + 1) / (total + 2)).clamp(first, last);
        Self::from_ratios(first, last, mode, |k| {
            let next = ((successes - k) as f64) * ((draws - k) as f64);
            next / (((k + 1) as f64) * ((failures + k + 1 - draws) as f64))
        })
    }

    /// Successes among `trials` independent trials of probability `numerator / denominator`.
    pub(crate) fn binomial(trials: usize, numerator: usize, denominator: usize) -> Self {
        if numerator == 0 || numerator == denominator {
            let first = if numerator == 0 { 0 } else { trials };
            return Self { counts: vec![(first, 1.0)] };
        }
        let odds = numerator as f64 / (denominator - numerator) as f64;
        let mode = ((trials + 1) * numerator / denominator).min(trials);
        Self::from_ratios(0, trials, mode, |k| odds * ((trials - k) as f64) / ((k + 1) as f64))
    }

    /// `ratio(k) = P(k + 1) / P(k)`.
    fn from_ratios(first: usize, last: usize, mode: usize, ratio: impl Fn(usize) -> f64) -> Self {
        let mut probabilities = vec![0.0; last - first + 1];
        probabilities[mode - first] = 1.0;
        for k in mode..last {
            probabilities[k + 1 - first] = probabilities[k - first] * ratio(k);
        }
        for k in (first..mode).rev() {
            probabilities[k - first] = probabilities[k + 1 - first] / ratio(k);
        }
        let total: f64 = probabilities.iter().sum();
        Self { counts: (first..).zip(probabilities.iter().map(|p| p / total)).collect() }
    }

    /// The counts of positive probability, ascending, with their probabilities (which may underflow to 0).
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, sampling::CountLaw};
    /// // Three of four are drawn, so at least two of the three marked ones.
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 3)?;
    /// let counts: Vec<usize> = CountLaw::new(sampling, 3).iter().map(|(count, _)| count).collect();
    /// assert_eq!(counts, [2, 3]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, f64)> + '_ {
        self.counts.iter().copied()
    }
}
