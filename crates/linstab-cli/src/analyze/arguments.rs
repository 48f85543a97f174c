//! The flags of `linstab analyze` and their help.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use linstab_analysis::{LastBatch, Loader, Loss, Optimizer, Parameter, Rule, SamplingScheme, TOLERANCE};

use crate::source::InputArguments;

const ANALYZE_HELP: &str = "\
Examples:
  linstab analyze data/digits-factors.safetensors --batch-size 1,10,100
  linstab analyze gradients.npy --batch-size 32 --learning-rate 0.05 \\
      --optimizer sgd:momentum=0.9,nesterov=true,weight_decay=1e-4
  linstab analyze gradients.npy --batch-size 32 --sampling reshuffling \\
      --optimizer adamw:beta1=0.9 --preconditioner root-of-v.npy

FACTORS holds the gradient of each sample's prediction (not of its loss), one
row a sample: (samples, parameters), or (samples, outputs, parameters) for
several outputs. At a minimum that fits the data the curvature of sample i is
H_i = scale * sum of the outer products of its rows. Scale is 1 for half the
sum of squares over the outputs of a sample, |f - y|^2 / 2. The mean-squared
error of deep-learning frameworks has no 1/2 and is the mean over the k outputs
of a sample, too: give --scale 2 for one output and 2/k for k of them, or every
learning rate comes out wrong by that factor. Thresholds are exact for these
curvatures: below, the mean square of the distance from the minimum decays;
above, it grows.

Batches drawn afresh have thresholds between proven bounds (certified). Loaders
reshuffle once an epoch: the batches of an epoch depend on one another, and
thresholds are estimated from sampled orders, to half a percent with 95 %
confidence where that is reached; the interval says how far it came. With few
batches, and for the order of the file (cyclic) where not too many directions
matter, they are exact.

The Lyapunov exponent is exact for batches of all samples; otherwise chains are
followed until their start is forgotten, for a second or two. What has not
settled by then is marked, and its error says how well it is known.

Sums are in double precision whatever the file holds. Directions whose mean
curvature is below 1e-13 of the sharpness are rounding: they count as flat, as
directions do that no sample has, and are left out of rank and growth per step.

Coherence: S_ij is the Frobenius norm of H_i^(1/2) H_j^(1/2), lambda_max(S) its
largest eigenvalue, sigma that over the largest sharpness of a sample. Blocks
are samples connected by pairs of which S_ij is at least half the geometric
mean of S_ii and S_jj. The effective rank is the exponential of the entropy of
the eigenvalues of the mean curvature. Growth per step is the factor of the
mean square of the distance from the minimum in the long run.

The keys of the JSON report and their units are in the README of the crate
linstab-analysis (section The report in JSON; also
https://docs.rs/linstab-analysis).

Exit codes: 0 done, 1 failure (a file that is damaged or not finite, a disk), 2
bad request.";

/// The help of `analyze`, with every optimizer and its parameters.
fn analyze_help() -> String {
    let parameter = |parameter: &Parameter| {
        let default = parameter.default.map_or_else(|| "needed".to_owned(), |value| parameter.text(value));
        format!("{} ({default})", parameter.name)
    };
    let rule = |rule: &Rule| {
        let parameters: Vec<String> = rule.parameters.iter().map(parameter).collect();
        format!("  {}: {}\n    {}\n", rule.name, parameters.join(", "), rule.formula)
    };
    let rules: String = Optimizer::RULES.iter().map(rule).collect();
    format!(
        "{ANALYZE_HELP}\n\nOptimizers, with their parameters and defaults; g is the gradient of the batch:\n{rules}"
    )
}

#[derive(Debug, Args)]
#[command(after_help = "Example: linstab analyze data/digits-factors.safetensors --batch-size 1,10\n--help says what the numbers mean", after_long_help = analyze_help())]
pub(crate) struct AnalyzeArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    #[command(flatten)]
    pub(super) training: TrainingArguments,
    #[command(flatten)]
    pub(super) gradients: GradientArguments,
    #[command(flatten)]
    pub(super) answer: AnswerArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// What is trained with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub(super) struct TrainingArguments {
    /// Samples a batch, one or several sizes
    ///
    /// Default: those of 1, 8, 32 that are not more than the samples; with --report or --plot powers of two.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(super) batch_size: Vec<usize>,
    /// Optimizer to analyse, NAME or NAME:KEY=VALUE,..; may be repeated
    ///
    /// Default: sgd, and what --rho-over-alpha and --momentum ask for. The list of optimizers is below.
    #[arg(long, value_name = "SPEC")]
    pub(super) optimizer: Vec<Optimizer>,
    /// Analyse SAM with full-batch ascent, too: --optimizer sam:rho_over_alpha=X
    #[arg(long, value_name = "X")]
    pub(super) rho_over_alpha: Option<f64>,
    /// Analyse heavy-ball momentum, too: --optimizer sgd:momentum=X
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) momentum: Option<f64>,
    /// Learning rate to judge: adds the growth of the mean square a step, and a verdict
    #[arg(long, value_name = "X")]
    pub(super) learning_rate: Option<f64>,
    /// How batches are drawn
    ///
    /// Each afresh, with exact thresholds, or as data loaders do, which reshuffle once an epoch: then thresholds are estimates with an
    /// interval, unless the batches are few.
    #[arg(long, value_name = "SCHEME", value_parser = loaders(), default_value = SamplingScheme::WithoutReplacement.name())]
    pub(super) sampling: Loader,
    /// What becomes of samples that do not fill a batch, with reshuffling or cyclic
    ///
    /// A smaller batch, or left out.
    #[arg(long, value_name = "WHAT", value_parser = last_batches(), default_value = LastBatch::Keep.name())]
    pub(super) last_batch: LastBatch,
    /// File of what gradients are divided by, for optimizers that divide them
    ///
    /// One number a parameter: sqrt(v) + eps (a tensor `preconditioner` if it holds several).
    #[arg(long, value_name = "FILE")]
    pub(super) preconditioner: Option<PathBuf>,
}

/// What the loss and the samples are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Loss and samples")]
pub(super) struct GradientArguments {
    /// Multiplies every curvature: 1 for |f - y|^2 / 2, 2 or 2/k for the mean-squared error
    ///
    /// 1 for the loss |f - y|^2 / 2; for the mean-squared error of frameworks 2, or 2/k for k outputs. Default: that of --loss, or 1.
    #[arg(long, value_name = "X")]
    pub(super) scale: Option<f64>,
    /// File of the coefficients of the gradients: adds diagnostics of gradients
    ///
    /// (samples) or (samples, factors): the gradient of sample i is sum_q c_iq f_iq, so residuals f - y for half the squared error. Adds
    /// diagnostics of gradients, and those of --diagnostics.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["outputs", "targets", "loss"])]
    pub(super) residuals: Option<PathBuf>,
    /// File of the outputs of the network, in the place of --residuals
    ///
    /// (samples) or (samples, outputs); for cross-entropy the logits.
    #[arg(long, value_name = "FILE", requires_all = ["targets", "loss"])]
    pub(super) outputs: Option<PathBuf>,
    /// File of what the outputs should be
    ///
    /// Shaped as the outputs; for cross-entropy one integer class a sample, counted from 0.
    #[arg(long, value_name = "FILE", requires_all = ["outputs", "loss"])]
    pub(super) targets: Option<PathBuf>,
    /// The loss of --outputs and --targets
    ///
    /// half_squared_error is |f - y|^2 / 2, mse the mean over the outputs of a sample (its scale, 2/k, is then the default), cross_entropy
    /// that of the softmax; its factors are sqrt(p_c) (df_c - sum_d p_d df_d) for each class c, or the rows of a square root with one less.
    #[arg(long, value_name = "NAME", requires_all = ["outputs", "targets"], value_parser = losses())]
    pub(super) loss: Option<Loss>,
    /// File of integer labels, one a sample: adds coherence by label
    ///
    /// A tensor `labels` if it holds several.
    #[arg(long, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,
    /// Samples of the data set that these are a random part of
    ///
    /// Thresholds of training on all of it, with standard errors.
    #[arg(long, value_name = "N")]
    pub(super) population: Option<usize>,
}

/// What is answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
pub(super) struct AnswerArguments {
    /// Diagnostics of the literature beside the exact thresholds
    ///
    /// Each with what it claims and assumes; JSON has them always.
    #[arg(long)]
    pub(super) diagnostics: bool,
    /// Estimate the Lyapunov exponent at the learning rate
    ///
    /// The rate of almost every run a step, with its standard error.
    #[arg(long, requires = "learning_rate")]
    pub(super) lyapunov: bool,
    /// Relative width of the intervals of exact thresholds that is good enough, from 1e-11 to 1e-4
    #[arg(long, value_name = "X", default_value_t = TOLERANCE)]
    pub(super) tolerance: f64,
    /// Number of responsible samples to name
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub(super) top: usize,
    /// Root of the random streams, of --lyapunov and of sampled diagnostics
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
}

/// Where the answer goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArguments {
    /// Write a page with figures, one file
    ///
    /// Thresholds over the batch size, criteria beside them, what limits, which samples, coherence, spectrum.
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Draw thresholds over the batch size, .svg or .png
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Text for a person, or JSON (schema 2)
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    /// Write to this file instead of standard output
    ///
    /// It is replaced as a whole. `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

/// The ways of drawing batches, as a flag takes them.
fn loaders() -> impl TypedValueParser<Value = Loader> {
    let known = Loader::ALL.map(|loader| PossibleValue::new(loader.name()).help(loader.description()));
    PossibleValuesParser::new(known).try_map(|name| name.parse::<Loader>())
}

fn last_batches() -> impl TypedValueParser<Value = LastBatch> {
    PossibleValuesParser::new(LastBatch::ALL.map(LastBatch::name))
        .map(|name| if name == LastBatch::Drop.name() { LastBatch::Drop } else { LastBatch::Keep })
}

fn losses() -> impl TypedValueParser<Value = Loss> {
    PossibleValuesParser::new(Loss::ALL.map(Loss::name)).try_map(|name| name.parse::<Loss>())
}
