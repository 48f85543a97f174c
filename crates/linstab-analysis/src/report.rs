//! The result, as JSON holds it.
//!
//! Schema 1; all keys with their units are in the [README of this crate](crate). Numbers that JSON lacks are the texts `inf`, `-inf`,
//! `NaN`. Learning rates are in the units of the factors: for `H_i = scale * sum_q f_iq f_iq^T`.

use std::collections::BTreeMap;

use linstab_dynamics::{Optimizer, SamplingScheme};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the schema that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// A number that may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
            Other(serde_json::Value),
        }
        let refuse = |found: String| D::Error::custom(format!("{found} is no number (nor inf, -inf, NaN)"));
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(Self(value)),
            Form::Text(text) => text.parse().map(Self).map_err(|_| refuse(text)),
            Form::Other(value) => Err(refuse(value.to_string())),
        }
    }
}

/// All that an analysis finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Number of samples.
    pub num_samples: usize,
    /// Number of factors a sample.
    pub num_factors: usize,
    /// Number of parameters.
    pub num_parameters: usize,
    /// What every curvature was multiplied by.
    pub scale: f64,
    /// Rank of the mean curvature.
    pub rank: usize,
    /// Exponential of the entropy of the mean's eigenvalues.
    pub effective_rank: f64,
    /// Largest eigenvalue of the mean curvature.
    pub sharpness: f64,
    /// Trace of the mean curvature.
    pub trace: f64,
    /// Largest eigenvalue of the curvature of a single sample.
    pub max_sample_sharpness: f64,
    /// The coherence of the curvatures; none without curvature.
    pub coherence: Option<CoherenceReport>,
    /// The coherence that SAM sees, where a rho over alpha was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coherence_sam: Option<CoherenceReport>,
    /// Coherence by label, where labels were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupReport>,
    /// A line for each optimizer and batch size.
    pub stability: Vec<StabilityReport>,
    /// The samples that limit the learning rate of SGD at the last batch size below the number of samples, worst first; none if all
    /// batches are of all samples.
    #[serde(rename = "culprits")]
    pub responsible_samples: Vec<SampleReport>,
}

/// Coherence of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoherenceReport {
    /// Largest eigenvalue of the coherence matrix.
    pub lambda_max_s: f64,
    /// The coherence measure.
    pub sigma: f64,
    /// `n lambda_1` and `n |H|_F`, between which `lambda_max_s` lies.
    pub lambda_max_s_bounds: (f64, f64),
    /// Sizes of the groups of samples that are connected by pairs of coherence at least 1/2.
    pub block_sizes: Vec<usize>,
}

/// Coherence of the samples of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The label.
    pub label: i64,
    /// Number of its samples.
    pub num_samples: usize,
    /// Largest eigenvalue of their block of the coherence matrix.
    pub lambda_max_s: f64,
    /// Mean coherence of two of them.
    pub within: Option<f64>,
    /// Mean coherence of one of them with one of another label.
    pub across: Option<f64>,
}

/// Stability of one optimizer at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StabilityReport {
    /// What is trained with.
    #[serde(flatten)]
    pub training: Training,
    /// The exact mean-square threshold.
    pub max_learning_rate: Number,
    /// Learning rates between which it certainly lies, inner products being taken as exact.
    pub max_learning_rate_interval: (Number, Number),
    /// The threshold of the full batch.
    pub gradient_descent_limit: Number,
    /// Share of the full batch in the critical second moment, from 0 to 1; the rest is gradient noise. None without curvature.
    pub full_batch_share: Option<f64>,
    /// `sharpness` if that share is at least one half, else `gradient-noise`; none without curvature.
    pub limited_by: Option<Limit>,
    /// Closed-form criteria; none for momentum.
    pub criteria: BTreeMap<String, CriterionReport>,
    /// The learning rate that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Growth of the mean square of the distance from the minimum at that learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_per_step: Option<Number>,
    /// Whether that is stable: whether the learning rate is below the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<bool>,
    /// The Lyapunov exponent at that learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lyapunov: Option<LyapunovReport>,
}

/// What limits a learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The curvature of the mean loss.
    Sharpness,
    /// The differences between batches.
    GradientNoise,
}

/// An optimizer and how its batches are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "TrainingKeys", try_from = "TrainingKeys")]
pub struct Training {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Samples a batch.
    pub batch_size: usize,
    /// The sampling scheme.
    pub sampling: SamplingScheme,
}

/// A training as the keys of schema 1.
#[derive(Serialize, Deserialize)]
struct TrainingKeys {
    optimizer: String,
    batch_size: usize,
    sampling: SamplingScheme,
    rho_over_alpha: f64,
    momentum: f64,
}

impl From<Training> for TrainingKeys {
    fn from(training: Training) -> Self {
        let Training { optimizer, batch_size, sampling } = training;
        Self {
            optimizer: optimizer.name().to_owned(),
            batch_size,
            sampling,
            rho_over_alpha: optimizer.rho_over_alpha(),
            momentum: optimizer.momentum(),
        }
    }
}

impl TryFrom<TrainingKeys> for Training {
    type Error = String;

    fn try_from(keys: TrainingKeys) -> Result<Self, String> {
        let TrainingKeys { optimizer: name, batch_size, sampling, rho_over_alpha, momentum } = keys;
        let optimizer = if rho_over_alpha.abs() > 0.0 || name == "sam" {
            Optimizer::sam(rho_over_alpha)
        } else {
            Ok(Optimizer::sgd())
        };
        let optimizer = optimizer.and_then(|optimizer| optimizer.with_momentum(momentum));
        let optimizer = optimizer.map_err(|error| error.to_string())?;
        if optimizer.name() != name {
            return Err(format!("the optimizer `{name}` does not go with the other keys, or is unknown"));
        }
        Ok(Self { optimizer, batch_size, sampling })
    }
}

/// A closed-form criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionReport {
    /// `diverges-above`, `converges-below` or `some-ensemble-stable`.
    pub claim: String,
    /// The learning rate at which it switches; none if its claim holds for no learning rate.
    pub max_learning_rate: Option<f64>,
    /// Whether all that it assumes holds.
    pub applies: bool,
    /// What it assumes, and whether that holds.
    pub assumptions: BTreeMap<String, bool>,
    /// The learning rate over the exact threshold.
    pub slack: Option<f64>,
}

/// A Lyapunov exponent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LyapunovReport {
    /// Its estimate; exact for batches of all samples.
    pub mean: Number,
    /// The standard error of that, 0 where it is exact; unless settled, with the difference that is left.
    pub standard_error: f64,
    /// Whether the chains have forgotten where they started: otherwise the error is a rough one.
    pub settled: bool,
    /// Steps of each chain; 0 where the exponent is exact.
    pub num_steps: usize,
}

/// A sample that limits the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleReport {
    /// Index of the sample, from 0.
    pub sample: usize,
    /// Its share in the noise part of the critical second moment; all samples together have 1.
    pub share: f64,
    /// Largest eigenvalue of its curvature.
    pub sharpness: f64,
    /// Its label, where labels were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<i64>,
}
