//! Batches that are cut from an order of all samples, as data loaders do.

use std::fmt;
use std::str::FromStr;

use super::SamplingScheme;
use super::scheme::named;
use crate::{DynamicsError, Result};

/// What becomes of the samples at the end of an epoch that do not fill a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum LastBatch {
    /// They are a smaller batch, whose gradient is the mean over its own size: PyTorch's default.
    #[default]
    Keep,
    /// They are left out of this epoch: `drop_last=True` of PyTorch.
    Drop,
}

impl LastBatch {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Keep, Self::Drop];

    /// Its name in requests and reports.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::LastBatch;
    /// assert_eq!(LastBatch::Drop.name(), "drop");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        }
    }
}

/// The orders that batches of an epoch are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum EpochOrder {
    /// A new random order for each epoch: `shuffle=True`.
    Reshuffling,
    /// The order of the data, epoch for epoch: `shuffle=False`.
    Cyclic,
    /// No order: each batch is a new random subset, and an epoch only counts steps. For optimizers that no other analysis knows.
    Afresh,
}

/// How a loader chooses the samples of a batch: independently from batch to batch, or by epochs.
///
/// # Examples
/// ```
/// use linstab_dynamics::sampling::{EpochOrder, Loader};
/// use linstab_dynamics::SamplingScheme;
/// assert_eq!("reshuffling".parse(), Ok(Loader::Epochs(EpochOrder::Reshuffling)));
/// assert_eq!("bernoulli".parse(), Ok(Loader::Independent(SamplingScheme::Bernoulli)));
/// let error = "shuffled".parse::<Loader>().unwrap_err().to_string();
/// assert!(error.contains("`shuffled`, allowed: reshuffling, cyclic, without-replacement"), "{error}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loader {
    /// Each batch afresh.
    Independent(SamplingScheme),
    /// All samples once an epoch.
    Epochs(EpochOrder),
}

impl Loader {
    /// All of them: by epochs, then every [`SamplingScheme`].
    pub const ALL: [Self; 2 + SamplingScheme::ALL.len()] = {
        let mut all = [Self::Epochs(EpochOrder::Reshuffling); 2 + SamplingScheme::ALL.len()];
        all[1] = Self::Epochs(EpochOrder::Cyclic);
        let mut at = 0;
        while at < SamplingScheme::ALL.len() {
            all[2 + at] = Self::Independent(SamplingScheme::ALL[at]);
            at += 1;
        }
        all
    };

    /// Its name in requests and reports.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::Loader;
    /// assert_eq!(Loader::ALL[1].name(), "cyclic");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent(scheme) => scheme.name(),
            Self::Epochs(EpochOrder::Reshuffling) => "reshuffling",
            Self::Epochs(EpochOrder::Cyclic) => "cyclic",
            Self::Epochs(EpochOrder::Afresh) => SamplingScheme::WithoutReplacement.name(),
        }
    }

    /// Its name for people.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::Loader;
    /// assert_eq!(Loader::ALL[0].title(), "reshuffled once an epoch");
    /// ```
    pub fn title(self) -> &'static str {
        match self {
            Self::Independent(scheme) => scheme.title(),
            Self::Epochs(EpochOrder::Reshuffling) => "reshuffled once an epoch",
            Self::Epochs(EpochOrder::Cyclic) => "in one order",
            Self::Epochs(EpochOrder::Afresh) => SamplingScheme::WithoutReplacement.title(),
        }
    }

    /// What it does, in a line.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::Loader;
    /// assert!(Loader::ALL[0].description().contains("once an epoch"));
    /// ```
    pub fn description(self) -> &'static str {
        match self {
            Self::Independent(scheme) => scheme.description(),
            Self::Epochs(EpochOrder::Reshuffling) => {
                "all samples in a new random order once an epoch, cut into batches, as data loaders do"
            }
            Self::Epochs(EpochOrder::Cyclic) => "all samples in the order of the file, epoch for epoch",
            Self::Epochs(EpochOrder::Afresh) => SamplingScheme::WithoutReplacement.description(),
        }
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Loader {
    type Err = DynamicsError;

    fn from_str(text: &str) -> Result<Self> {
        named(Self::ALL, Self::name, text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Loader {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Loader {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An order of all samples cut into batches, with its sizes, checked.
///
/// # Examples
/// ```
/// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
/// let keep = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 10, 4)?;
/// assert_eq!(keep.batch_sizes().collect::<Vec<_>>(), [4, 4, 2]);
/// let drop = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Drop, 10, 4)?;
/// assert_eq!(drop.batch_sizes().collect::<Vec<_>>(), [4, 4]);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochSampling {
    order: EpochOrder,
    last_batch: LastBatch,
    num_samples: usize,
    batch_size: usize,
}

impl EpochSampling {
    /// Epochs of batches of `batch_size` out of `num_samples`.
    ///
    /// # Errors
    /// [`DynamicsError::BatchSizeOutOfRange`] unless `1 <= batch_size <= num_samples`.
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// let error = EpochSampling::new(EpochOrder::Cyclic, LastBatch::Drop, 4, 5).unwrap_err();
    /// assert_eq!(error.to_string(), "batch_size is 5, allowed: 1 to num_samples = 4");
    /// ```
    pub fn new(
        order: EpochOrder,
        last_batch: LastBatch,
        num_samples: usize,
        batch_size: usize,
    ) -> Result<Self> {
        if batch_size == 0 || batch_size > num_samples {
            return Err(DynamicsError::BatchSizeOutOfRange { batch_size, num_samples });
        }
        Ok(Self { order, last_batch, num_samples, batch_size })
    }

    /// The orders.
    pub fn order(self) -> EpochOrder {
        self.order
    }

    /// What becomes of the rest.
    pub fn last_batch(self) -> LastBatch {
        self.last_batch
    }

    /// Number of samples.
    pub fn num_samples(self) -> usize {
        self.num_samples
    }

    /// Samples a batch, but perhaps the last one.
    pub fn batch_size(self) -> usize {
        self.batch_size
    }

    /// The sizes of the batches of an epoch, in turn.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// let epochs = EpochSampling::new(EpochOrder::Cyclic, LastBatch::Keep, 3, 3)?;
    /// assert_eq!(epochs.batch_sizes().collect::<Vec<_>>(), [3]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn batch_sizes(self) -> impl Iterator<Item = usize> {
        let rest = self.num_samples % self.batch_size;
        let kept = (rest > 0 && self.last_batch == LastBatch::Keep).then_some(rest);
        std::iter::repeat_n(self.batch_size, self.num_samples / self.batch_size).chain(kept)
    }

    /// Batches an epoch: steps an epoch.
    pub fn num_batches(self) -> usize {
        self.batch_sizes().count()
    }

    /// The batches of an epoch with samples in this order.
    pub(crate) fn batches(self, order: &[usize]) -> impl Iterator<Item = &[usize]> {
        let mut start = 0;
        self.batch_sizes().map(move |size| {
            start += size;
            &order[start - size..start]
        })
    }
}
