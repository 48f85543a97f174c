//! The result, as JSON holds it.
//!
//! Schema 2; all keys with their units are in the [README of this crate](crate). Numbers that JSON lacks are the texts `inf`, `-inf`,
//! `NaN`. Learning rates are in the units of the factors: for `H_i = scale * sum_q f_iq f_iq^T`.

use std::collections::BTreeMap;

use linstab_dynamics::Optimizer;
use linstab_dynamics::sampling::{LastBatch, Loader};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the schema that this program writes and reads.
pub const SCHEMA: u32 = 2;

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
    pub num_parameters: Option<usize>,
    /// Samples of the data set that they speak for, if they are not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<usize>,
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
    pub responsible_samples: Vec<SampleReport>,
    /// Diagnostics of the literature, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticReport>,
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
    /// The mean-square threshold.
    pub max_learning_rate: Number,
    /// Its standard error as an estimate for the data set, where the samples are some of it (infinitesimal jackknife); none for SAM and
    /// Nesterov's momentum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Learning rates between which it lies: certainly, inner products being taken as exact, or with the confidence below.
    pub max_learning_rate_interval: (Number, Number),
    /// How it is known.
    pub basis: Basis,
    /// The probability with which the interval of an estimate holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The threshold of almost every run, where it was asked for and affordable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub almost_sure: Option<AlmostSureReport>,
    /// The threshold of the full batch.
    pub gradient_descent_limit: Number,
    /// Share of the full batch in the critical second moment, from 0 to 1; the rest is gradient noise. None without curvature, and where
    /// the critical second moment is not known.
    pub full_batch_share: Option<f64>,
    /// `sharpness` if that share is at least one half, else `gradient-noise`; none without curvature.
    pub limited_by: Option<Limit>,
    /// Closed-form criteria; none with momentum, weight decay, ascent on the mini-batch or a preconditioner.
    pub criteria: BTreeMap<String, CriterionReport>,
    /// The learning rate that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Growth of the mean square of the distance from the minimum at that learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_per_step: Option<Number>,
    /// Whether that is stable: whether the learning rate is below the threshold. None within the interval of an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<bool>,
    /// The smallest batch size at which that learning rate is stable; none if there is none, or the thresholds are estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest_stable_batch_size: Option<usize>,
    /// Where random perturbation settles at that learning rate; none above the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<NoiseFloorReport>,
    /// The Lyapunov exponent at that learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lyapunov: Option<LyapunovReport>,
}

/// The learning rate up to which almost every run decays, by simulation; above the mean-square threshold rare runs carry the mean square.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlmostSureReport {
    /// Where the estimated Lyapunov exponent changes sign.
    pub max_learning_rate: Number,
    /// Where the exponent is two standard errors from zero on either side.
    pub interval: (Number, Number),
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

/// How a threshold is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// By a closed form or by enumeration, to rounding.
    Exact,
    /// By an iteration, between bounds that are proven.
    Certified,
    /// From sampled orders, within an interval of a stated confidence; or by an iteration whose bound could not be proven (no confidence then).
    Estimated,
}

impl Basis {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Certified => "certified",
            Self::Estimated => "estimated",
        }
    }
}

/// An optimizer and how its batches are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The optimizer, as a specification.
    pub optimizer: Optimizer,
    /// Samples a batch.
    pub batch_size: usize,
    /// How batches are drawn.
    pub sampling: Loader,
    /// What becomes of samples that do not fill a batch; only for epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_batch: Option<LastBatch>,
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

/// A diagnostic of the literature, for one optimizer at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagnosticReport {
    /// Its name.
    pub name: String,
    /// What was measured; null where it is 0/0, as ratios of gradients are where all vanish.
    pub value: Option<f64>,
    /// The standard error of that, if batches were sampled.
    pub standard_error: Option<f64>,
    /// `exact`, `necessary`, `sufficient`, `estimate` or `nothing`: what it claims of the learning rate.
    pub claims: String,
    /// The learning rate at which it switches.
    pub learning_rate: Option<f64>,
    /// That over the exact threshold.
    pub ratio_to_exact: Option<f64>,
    /// What it assumes, and whether that holds.
    pub assumptions: Vec<AssumptionReport>,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The batch size.
    pub batch_size: usize,
    /// Whose curvature it is: `Gauss-Newton`.
    pub curvature: String,
}

/// An assumption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssumptionReport {
    /// What it says.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
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

/// The stationary state under random perturbation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloorReport {
    /// Expected squared distance from the minimum.
    pub mean_squared_distance: f64,
    /// Expected excess of the loss.
    pub expected_excess_loss: f64,
}

/// A sample that limits the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleReport {
    /// Index of the sample, from 0.
    pub sample: usize,
    /// What the largest stable learning rate would be without it, to first order: no more than a direction where it brings most of the noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_learning_rate_without: Option<f64>,
    /// Its share in the noise part of the critical second moment; all samples together have 1.
    pub share: f64,
    /// Largest eigenvalue of its curvature.
    pub sharpness: f64,
    /// Its label, where labels were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<i64>,
}
