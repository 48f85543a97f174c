//! `linstab analyze` and `linstab check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use linstab_analysis::files;
use linstab_analysis::{
    AnalysisError, Comparison, Findings, LastBatch, Loader, Optimizer, Parameter, Request, Rule,
    SamplingScheme, TOLERANCE, Work, analyse_observed, baseline, describe, page,
};
use linstab_driver::files::write_atomically;

use crate::source::{InputArguments, in_pool, open};
use crate::{MOVED, STANDARD_OUTPUT, say};

const ANALYZE_HELP: &str = "\
Examples:
  linstab analyze data/digits-factors.safetensors --batch-size 1,10,100
  linstab analyze gradients.npy --batch-size 32 --learning-rate 0.05 --optimizer sgd:momentum=0.9,nesterov=true,weight_decay=1e-4
  linstab analyze gradients.npy --batch-size 32 --sampling reshuffling --optimizer adamw:beta1=0.9 --preconditioner root-of-v.npy

FACTORS holds the gradient of each sample's prediction (not of its loss), one row a sample: (samples, parameters), or
(samples, outputs, parameters) for several outputs. At a minimum that fits the data the curvature of sample i is
H_i = scale * sum of the outer products of its rows. Scale is 1 for half the sum of squares over the outputs of a
sample, |f - y|^2 / 2. The mean-squared error of deep-learning frameworks has no 1/2 and is the mean over the k outputs
of a sample, too: give --scale 2 for one output and 2/k for k of them, or every learning rate comes out wrong by that
factor. Thresholds are exact for these curvatures: below, the mean square of the distance from the minimum decays;
above, it grows.

Batches drawn afresh have thresholds between proven bounds (certified). Loaders reshuffle once an epoch: the batches of
an epoch depend on one another, and thresholds are estimated from sampled orders, to half a percent with 95 % confidence where
that is reached; the interval says how far it came. With few batches, and for the order of the file (cyclic) where not too
many directions matter, they are exact.

The Lyapunov exponent is exact for batches of all samples; otherwise chains are followed until their start is forgotten,
for a second or two. What has not settled by then is marked, and its error says how well it is known.

Sums are in double precision whatever the file holds. Directions whose mean curvature is below 1e-13 of the sharpness are
rounding: they count as flat, as directions do that no sample has, and are left out of rank and growth per step.

Coherence: S_ij is the Frobenius norm of H_i^(1/2) H_j^(1/2), lambda_max(S) its largest eigenvalue, sigma that over the
largest sharpness of a sample. Blocks are samples connected by pairs of which S_ij is at least half the geometric mean of
S_ii and S_jj. The effective rank is the exponential of the entropy of the eigenvalues of the mean curvature. Growth per
step is the factor of the mean square of the distance from the minimum in the long run.

The keys of the JSON report and their units are in the README of the crate linstab-analysis (section The report in JSON;
also https://docs.rs/linstab-analysis).

Exit codes: 0 done, 1 failure (a file that is damaged or not finite, a disk), 2 bad request.";

const CHECK_HELP: &str = "\
Examples:
  linstab analyze factors.npy --batch-size 32 --format json -o baseline.json
  linstab check factors.npy --against baseline.json --rtol 1e-3

Compared are the numbers of samples, factors and parameters, sharpness, trace, the sharpest sample, the coherence sigma,
and for each optimizer and batch size of the baseline the largest stable learning rate and the limit of the full batch.
Not compared are the rank (rounding can move it), growth rates, exponents, criteria and responsible samples.

Exit codes: 0 all hold, 3 some moved (a table says which and by how much), 1 failure, 2 bad request.";

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

/// Refuses, before anything is computed, an output that would replace one of the inputs, whatever names and links lead there, and a drawing
/// of no known kind.
fn require_writable(arguments: &AnalyzeArguments, output: Option<&Path>) -> Result<(), AnalysisError> {
    let AnalyzeArguments { input, labels, preconditioner, residuals, report, plot, .. } = arguments;
    let refuse = |name: &str, path: &Path, allowed: &str| {
        let (name, value) = (name.to_owned(), path.display().to_string());
        Err(AnalysisError::Option { name, value, allowed: allowed.to_owned() })
    };
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    let read = [Some(input.path()), labels.as_deref(), preconditioner.as_deref(), residuals.as_deref()];
    let read: Vec<PathBuf> = read.into_iter().flatten().filter_map(place).collect();
    for (name, path) in [("output", output), ("report", report.as_deref()), ("plot", plot.as_deref())] {
        if let Some(path) = path
            && place(path).is_some_and(|target| read.contains(&target))
        {
            return refuse(name, path, "a file that is not read");
        }
    }
    match plot {
        Some(path) if !path.extension().is_some_and(|ending| ending == "svg" || ending == "png") => {
            refuse("plot", path, "ending in .svg or .png")
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = analyze_help())]
pub(crate) struct AnalyzeArguments {
    #[command(flatten)]
    input: InputArguments,
    /// Samples a batch, one or several sizes, each once. Default: those of 1, 8, 32 that are not more than the samples; with --report or --plot
    /// powers of two
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    batch_size: Vec<usize>,
    /// How batches are drawn: each afresh, with exact thresholds, or as data loaders do, which reshuffle once an epoch: then
    /// thresholds are estimates with an interval, unless the batches are few
    #[arg(long, value_name = "SCHEME", value_parser = loaders(), default_value = SamplingScheme::WithoutReplacement.name())]
    sampling: Loader,
    /// What becomes of samples that do not fill a batch, with reshuffling or cyclic: a smaller batch, or left out
    #[arg(long, value_name = "WHAT", value_parser = last_batches(), default_value = LastBatch::Keep.name())]
    last_batch: LastBatch,
    /// Optimizer to analyse, NAME or NAME:KEY=VALUE,..; may be repeated. Default: sgd, and what the next two flags ask for
    #[arg(long, value_name = "SPEC")]
    optimizer: Vec<Optimizer>,
    /// File of one number a parameter that gradients are divided by, for adam, adamw and rmsprop: sqrt(v) + eps (a tensor
    /// `preconditioner` if it holds several)
    #[arg(long, value_name = "FILE")]
    preconditioner: Option<PathBuf>,
    /// Learning rate to judge: adds the growth of the mean square a step, and a verdict
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Analyse SAM with full-batch ascent, too: --optimizer sam:rho_over_alpha=X
    #[arg(long, value_name = "X")]
    rho_over_alpha: Option<f64>,
    /// Analyse heavy-ball momentum, too: --optimizer sgd:momentum=X
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Multiplies every curvature: 1 for the loss |f - y|^2 / 2; for the mean-squared error of frameworks 2, or 2/k for k outputs
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    scale: f64,
    /// File of integer labels, one a sample (a tensor `labels` if it holds several): adds coherence by label
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// File of the coefficients of the gradients, (samples) or (samples, factors): the gradient of sample i is sum_q c_iq f_iq, so residuals f - y for half
    /// the squared error; adds diagnostics of gradients, and those of --diagnostics
    #[arg(long, value_name = "FILE")]
    residuals: Option<PathBuf>,
    /// Diagnostics of the literature beside the exact thresholds, each with what it claims and assumes; JSON has them always
    #[arg(long)]
    diagnostics: bool,
    /// Estimate the Lyapunov exponent at the learning rate: the rate of almost every run a step, with its standard error
    #[arg(long, requires = "learning_rate")]
    lyapunov: bool,
    /// Samples of the data set that these are a random part of: thresholds of training on all of it, with standard errors
    #[arg(long, value_name = "N")]
    population: Option<usize>,
    /// Relative width of the intervals of exact thresholds that is good enough, from 1e-11 to 1e-4
    #[arg(long, value_name = "X", default_value_t = TOLERANCE)]
    tolerance: f64,
    /// Number of responsible samples to name
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Root of the random streams of --lyapunov
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write a page with figures, one file: thresholds over the batch size, criteria beside them, what limits, spectrum
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Draw thresholds over the batch size, .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Text for a person, or JSON (schema 2)
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Write to this file instead of standard output; it is replaced as a whole. `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    input: InputArguments,
    /// Report of an earlier `linstab analyze --format json`; its batch sizes, optimizers and scale are used
    #[arg(long, value_name = "BASELINE.json")]
    against: PathBuf,
    /// File of the preconditioner, if the baseline has an optimizer with one
    #[arg(long, value_name = "FILE")]
    preconditioner: Option<PathBuf>,
    /// Largest accepted relative difference of a number; estimates agree where their intervals meet
    #[arg(long, value_name = "X", default_value_t = 1e-6)]
    rtol: f64,
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

pub(crate) fn run_analyze(arguments: &AnalyzeArguments) -> anyhow::Result<ExitCode> {
    answer(arguments).map_err(in_flags::<AnalyzeArguments>)
}

fn answer(arguments: &AnalyzeArguments) -> anyhow::Result<ExitCode> {
    let input = &arguments.input;
    let output = arguments.output.as_deref().filter(|path| path.as_os_str() != STANDARD_OUTPUT);
    require_writable(arguments, output)?;
    let (source, preconditioner) = open(input, arguments.preconditioner.as_deref())?;
    let num_samples = source.sizes().num_samples;
    let labels = match &arguments.labels {
        Some(path) => Some(files::open(path, None, "labels", input.memory_limit)?.labels()?),
        None => None,
    };
    let residuals = match &arguments.residuals {
        Some(path) => {
            let tensor = files::open(path, None, "residuals", input.memory_limit)?;
            Some(tensor.coefficients(num_samples, source.sizes().num_factors)?)
        }
        None => None,
    };
    let drawn_from = arguments.population.unwrap_or(num_samples);
    let batch_sizes =
        match (&arguments.batch_size[..], arguments.report.is_some() || arguments.plot.is_some()) {
            // A curve: powers of two.
            ([], true) => (0..usize::BITS).map(|i| 1 << i).take_while(|&size| size <= drawn_from).collect(),
            ([], false) => Request::usual_batch_sizes(drawn_from),
            (sizes, _) => Request::without_repeats(sizes),
        };
    let request = Request {
        batch_sizes,
        sampling: arguments.sampling,
        last_batch: arguments.last_batch,
        preconditioned: arguments.preconditioner.is_some(),
        population: arguments.population,
        learning_rate: arguments.learning_rate,
        optimizers: optimizers(arguments)?,
        scale: arguments.scale,
        diagnostics: arguments.diagnostics
            || residuals.is_some()
            || arguments.report.is_some()
            || arguments.format == Format::Json,
        residuals,
        labels,
        lyapunov: arguments.lyapunov,
        tolerance: arguments.tolerance,
        top: arguments.top,
        seed: arguments.seed,
    };
    request.check(num_samples)?;
    let (sizes, work) = (source.sizes(), (Work::of(&request, num_samples), input.memory_limit));
    let findings = in_pool(input, || {
        let grams = source.grams((request.scale, preconditioner.as_deref()), work, input)?;
        analyse_observed(grams.view(), sizes, &request, input)
    })??;
    write_pictures(arguments, &findings)?;
    let text = match arguments.format {
        Format::Human => describe(&findings),
        Format::Json => {
            serde_json::to_string_pretty(&findings.report).context("cannot encode the report")? + "\n"
        }
    };
    match output {
        Some(path) => write_atomically(path, text.as_bytes())?,
        None => say(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The page and the drawing, if they were asked for.
fn write_pictures(arguments: &AnalyzeArguments, findings: &Findings) -> anyhow::Result<()> {
    let of = |path: &Path| path.display().to_string();
    if let Some(path) = &arguments.report {
        let input = arguments.input.path();
        let source = input.file_name().map_or_else(|| of(input), |name| name.to_string_lossy().into_owned());
        let command =
            std::env::args().skip(1).fold("linstab".to_owned(), |line, word| format!("{line} {word}"));
        write_atomically(path, page::page(findings, &source, &command).as_bytes())?;
    }
    if let Some(path) = &arguments.plot {
        let (svg, png) = page::plot(findings)?;
        let drawing = if path.extension().is_some_and(|ending| ending == "png") { png } else { svg };
        write_atomically(path, &drawing)?;
    }
    Ok(())
}

pub(crate) fn run_check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    compare(arguments).map_err(in_flags::<CheckArguments>)
}

fn compare(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let input = &arguments.input;
    let expected = baseline::read(&arguments.against)?;
    let (source, preconditioner) = open(input, arguments.preconditioner.as_deref())?;
    let work = Work { num_thresholds: expected.stability.len(), ..Work::default() };
    let sizes = source.sizes();
    let comparisons = in_pool(input, || {
        let scaled = (expected.scale, preconditioner.as_deref());
        let grams = source.grams(scaled, (work, input.memory_limit), input)?;
        baseline::compare(grams.view(), sizes, &expected, arguments.rtol)
    })??;
    say(&baseline::describe(&comparisons))?;
    let all_hold = comparisons.iter().all(Comparison::holds);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}

/// The optimizers that were asked for, each once; SGD unless one is named, and those of the short forms.
fn optimizers(arguments: &AnalyzeArguments) -> Result<Vec<Optimizer>, AnalysisError> {
    let named =
        if arguments.optimizer.is_empty() { vec![Optimizer::sgd()] } else { arguments.optimizer.clone() };
    let sam = arguments.rho_over_alpha.map(Optimizer::sam).transpose()?;
    let momentum = arguments.momentum.map(|beta| Optimizer::sgd().with_momentum(beta)).transpose()?;
    let all: Vec<Optimizer> = named.into_iter().chain(sam).chain(momentum).collect();
    Ok(Request::without_repeats(&all))
}

/// A refused value of the library by the name of its flag.
fn in_flags<A: Args>(error: anyhow::Error) -> anyhow::Error {
    let (name, value, allowed) = match error.downcast::<AnalysisError>().map(AnalysisError::as_option) {
        Ok(AnalysisError::Option { name, value, allowed }) => (name, value, allowed),
        Ok(error) => return error.into(),
        Err(error) => return error,
    };
    let flags = A::augment_args(clap::Command::new(""));
    let flag = flags.get_arguments().find(|argument| argument.get_id() == name.as_str());
    let name = flag.and_then(clap::Arg::get_long).map_or(name, |long| format!("--{long}"));
    AnalysisError::Option { name, value, allowed }.into()
}
