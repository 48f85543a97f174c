//! The sampling schemes: names, words, moments and laws, all that there is to say of one but how it is drawn.

use std::fmt;
use std::str::FromStr;

use super::{BatchSampling, CountLaw};
use crate::{DynamicsError, Result};

/// How the samples of a batch are chosen, independently from step to step.
///
/// Data loaders draw otherwise: they permute all samples once an epoch and cut the permutation into batches, so that the batches of an
/// epoch depend on one another. Drawing without replacement, each batch afresh, has the same law for a single batch only.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// // Batches of two out of four: without replacement they keep a third of the variance of one sample, with it a half.
/// for (scheme, per_sample) in [
///     (SamplingScheme::WithoutReplacement, 1.0 / 3.0),
///     (SamplingScheme::WithReplacement, 1.0 / 2.0),
///     (SamplingScheme::Bernoulli, 1.0 / 4.0),
/// ] {
///     assert_eq!(BatchSampling::new(scheme, 4, 2)?.moment_weights().per_sample, per_sample);
/// }
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum SamplingScheme {
    /// A uniformly random subset of exactly `B` samples, drawn afresh for each batch.
    WithoutReplacement,
    /// `B` independent uniform draws; a sample can occur several times.
    WithReplacement,
    /// Each sample is in the batch with probability `B / n`, independently; the sum is still divided by `B`.
    /// The batch size is then `B` on average only. This is what arXiv 2511.17378 and Dexter et al. 2024 analyse.
    Bernoulli,
}

impl SamplingScheme {
    /// All schemes.
    pub const ALL: [Self; 3] = [Self::WithoutReplacement, Self::WithReplacement, Self::Bernoulli];

    /// The scheme's name in configurations and tables.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert_eq!(SamplingScheme::WithoutReplacement.name(), "without-replacement");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutReplacement => "without-replacement",
            Self::WithReplacement => "with-replacement",
            Self::Bernoulli => "bernoulli",
        }
    }

    /// The scheme in running text.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert_eq!(SamplingScheme::WithReplacement.title(), "with replacement");
    /// ```
    pub fn title(self) -> &'static str {
        match self {
            Self::WithoutReplacement => "without replacement",
            Self::WithReplacement => "with replacement",
            Self::Bernoulli => "Bernoulli",
        }
    }

    /// The scheme after a verb: "drawn without replacement".
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert_eq!(SamplingScheme::Bernoulli.in_a_sentence(), "sample by sample (Bernoulli)");
    /// ```
    pub fn in_a_sentence(self) -> &'static str {
        match self {
            Self::WithoutReplacement => "without replacement",
            Self::WithReplacement => "with replacement",
            Self::Bernoulli => "sample by sample (Bernoulli)",
        }
    }

    /// What it does, in a line.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert!(SamplingScheme::Bernoulli.description().contains("each sample"));
    /// ```
    pub fn description(self) -> &'static str {
        match self {
            Self::WithoutReplacement => "a random subset of B samples, drawn afresh for each batch",
            Self::WithReplacement => "B independent draws a batch",
            Self::Bernoulli => "each sample with probability B/n, independently",
        }
    }

    /// Whether every batch has exactly `B` members, with multiplicity.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert!(SamplingScheme::WithReplacement.has_fixed_batch_size() && !SamplingScheme::Bernoulli.has_fixed_batch_size());
    /// ```
    pub fn has_fixed_batch_size(self) -> bool {
        match self {
            Self::WithoutReplacement | Self::WithReplacement => true,
            Self::Bernoulli => false,
        }
    }

    /// Whether samples enter a batch independently of one another, each with probability `B/n`: what the paper's criteria assume.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert!(SamplingScheme::Bernoulli.draws_samples_independently());
    /// ```
    pub fn draws_samples_independently(self) -> bool {
        matches!(self, Self::Bernoulli)
    }

    /// Whether a batch is a set: no sample occurs twice.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::SamplingScheme;
    /// assert!(SamplingScheme::Bernoulli.draws_sets() && !SamplingScheme::WithReplacement.draws_sets());
    /// ```
    pub fn draws_sets(self) -> bool {
        match self {
            Self::WithoutReplacement | Self::Bernoulli => true,
            Self::WithReplacement => false,
        }
    }

    pub(super) fn moment_weights(self, num_samples: usize, batch_size: usize) -> MomentWeights {
        let (n, b) = (num_samples as f64, batch_size as f64);
        let fixed =
            |per_sample: f64| MomentWeights { full_batch: 1.0 - per_sample, per_sample, excess: -per_sample };
        match self {
            Self::WithoutReplacement if batch_size == num_samples => fixed(0.0),
            Self::WithoutReplacement => fixed((n - b) / (b * (n - 1.0))),
            Self::WithReplacement => fixed(1.0 / b),
            Self::Bernoulli => MomentWeights { full_batch: 1.0, per_sample: (n - b) / (n * b), excess: 0.0 },
        }
    }
}

impl fmt::Display for SamplingScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SamplingScheme {
    type Err = DynamicsError;

    fn from_str(text: &str) -> Result<Self> {
        named(Self::ALL, Self::name, text)
    }
}

/// The one of this name, or an error that lists the names.
pub(super) fn named<T: Copy, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    text: &str,
) -> Result<T> {
    let unknown =
        || DynamicsError::UnknownSamplingScheme { name: text.to_owned(), allowed: all.map(name).join(", ") };
    all.into_iter().find(|one| name(*one) == text).ok_or_else(unknown)
}

/// The two numbers that a sampling scheme is, as far as second moments go:
/// `E[H_t X H_t] = full_batch * H X H + (per_sample / n) * sum_i H_i X H_i`, with `full_batch` at most 1, which thresholds rely on.
///
/// | scheme | full_batch | per_sample |
/// |---|---|---|
/// | without replacement | `1 - p`, `p = (n-B) / (B(n-1))` | `p` |
/// | with replacement | `1 - 1/B` | `1/B` |
/// | Bernoulli | `1` | `1/B - 1/n` |
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme};
/// // One sample at a time: E h_t^2 is the mean of the squares, whatever the square of the mean.
/// let weights = BatchSampling::new(SamplingScheme::WithReplacement, 4, 1)?.moment_weights();
/// assert_eq!((weights.full_batch, weights.per_sample), (0.0, 1.0));
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentWeights {
    /// Weight of `H X H`.
    pub full_batch: f64,
    /// Weight of the sample mean of `H_i X H_i`.
    pub per_sample: f64,
    /// `full_batch - 1` without cancellation: the weight of `H X H` in the noise, `-per_sample` for batches of fixed size, 0 for
    /// Bernoulli sampling.
    pub excess: f64,
}

/// What is still to be drawn for a batch once the counts of some groups of samples are fixed.
#[derive(Clone, Copy)]
pub(crate) struct RemainingDraws {
    sampling: BatchSampling,
    samples: usize,
    draws: usize,
}

impl RemainingDraws {
    /// A whole batch.
    pub(crate) fn new(sampling: BatchSampling) -> Self {
        Self { sampling, samples: sampling.num_samples(), draws: sampling.batch_size() }
    }

    /// Law of the count in a group of `size` of the remaining samples.
    pub(crate) fn count_law(self, size: usize) -> CountLaw {
        match self.sampling.scheme() {
            SamplingScheme::WithoutReplacement => CountLaw::hypergeometric(self.samples, size, self.draws),
            SamplingScheme::WithReplacement => CountLaw::binomial(self.draws, size, self.samples),
            SamplingScheme::Bernoulli => {
                CountLaw::binomial(size, self.sampling.batch_size(), self.sampling.num_samples())
            }
        }
    }

    /// What is left when `count` of a group of `size` are drawn.
    pub(crate) fn after(self, size: usize, count: usize) -> Self {
        let drawn = if self.sampling.scheme().has_fixed_batch_size() { count } else { 0 };
        Self { samples: self.samples - size, draws: self.draws - drawn, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for scheme in SamplingScheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
            let weights = scheme.moment_weights(7, 3);
            assert!((weights.full_batch - 1.0 - weights.excess).abs() < 1e-15, "{scheme}");
            assert_eq!(scheme.has_fixed_batch_size(), weights.excess < 0.0);
            // What the solver of thresholds takes for granted.
            for (n, b) in (1..=9).flat_map(|n| (1..=n).map(move |b| (n, b))) {
                let weights = scheme.moment_weights(n, b);
                assert!(weights.excess <= 0.0 && weights.per_sample >= 0.0, "{scheme}, {b} of {n}");
            }
        }
        let error = "shuffled".parse::<SamplingScheme>().unwrap_err().to_string();
        let expected =
            "unknown sampling scheme `shuffled`, allowed: without-replacement, with-replacement, bernoulli";
        assert_eq!(error, expected);
    }
}
