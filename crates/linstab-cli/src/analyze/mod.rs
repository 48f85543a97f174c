//! `linstab analyze`.

mod arguments;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use linstab_analysis::files::{self, Tensor};
use linstab_analysis::{AnalysisError, Findings, Optimizer, Request, Sizes, Work, analyse_observed, page};
use linstab_driver::files::write_together;

pub(crate) use arguments::{AnalyzeArguments, Format};
use arguments::{GradientArguments, OutputArguments, TrainingArguments};

use crate::source::{InputArguments, in_pool, open, preconditioner};
use crate::{STANDARD_OUTPUT, say};

/// Refuses, before anything is computed, an output that would replace one of the inputs or another output, whatever names and links lead there,
/// and a drawing of no known kind.
fn require_writable(arguments: &AnalyzeArguments, output: Option<&Path>) -> Result<(), AnalysisError> {
    let AnalyzeArguments { input, training, gradients, output: OutputArguments { report, plot, .. }, .. } =
        arguments;
    let refuse = |name: &str, path: &Path, allowed: &str| {
        let (name, value) = (name.to_owned(), path.display().to_string());
        Err(AnalysisError::Option { name, value, allowed: allowed.to_owned() })
    };
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    let GradientArguments { residuals, outputs, targets, labels, .. } = gradients;
    let others = [&training.preconditioner, residuals, outputs, targets, labels].map(Option::as_deref);
    let read = others.into_iter().flatten().chain([input.path()]);
    let read: Vec<PathBuf> = read.filter_map(place).collect();
    let mut written: Vec<PathBuf> = Vec::new();
    for (name, path) in [("output", output), ("report", report.as_deref()), ("plot", plot.as_deref())] {
        let Some(path) = path else { continue };
        let target = place(path).or_else(|| std::path::absolute(path).ok());
        if target.as_ref().is_some_and(|target| read.contains(target)) {
            return refuse(name, path, "a file that is not read");
        }
        // A device takes whatever comes.
        let is_a_file = std::fs::metadata(path).map_or(true, |found| found.is_file());
        if is_a_file && target.as_ref().is_some_and(|target| written.contains(target)) {
            return refuse(name, path, "a file that nothing else is written to");
        }
        written.extend(target);
    }
    match plot {
        Some(path) if !path.extension().is_some_and(|ending| ending == "svg" || ending == "png") => {
            refuse("plot", path, "ending in .svg or .png")
        }
        _ => Ok(()),
    }
}

pub(crate) fn run_analyze(arguments: &AnalyzeArguments) -> anyhow::Result<ExitCode> {
    answer(arguments).map_err(in_flags::<AnalyzeArguments>)
}

fn answer(arguments: &AnalyzeArguments) -> anyhow::Result<ExitCode> {
    let input = &arguments.input;
    let output = arguments.output.output.as_deref().filter(|path| path.as_os_str() != STANDARD_OUTPUT);
    require_writable(arguments, output)?;
    let source = open(input)?;
    let sizes = source.sizes();
    let request = request(arguments, sizes)?;
    request.check(sizes.num_samples)?;
    let GradientArguments { residuals, outputs, .. } = &arguments.gradients;
    for (name, given) in [
        ("diagnostics", arguments.answer.diagnostics),
        ("residuals", residuals.is_some()),
        ("outputs", outputs.is_some()),
    ] {
        if given {
            request.require_diagnostics(name)?;
        }
    }
    let preconditioner = preconditioner(&source, arguments.training.preconditioner.as_deref(), input)?;
    let work = (Work::of(&request, sizes.num_samples), input.memory_limit);
    let progress = words::Bar::new(input);
    let findings = in_pool(input, || {
        let grams = source.grams((request.scale, preconditioner.as_deref()), work, &progress)?;
        analyse_observed(grams.view(), sizes, &request, &progress)
    })??;
    progress.finish();
    let mut files = pictures(arguments, &findings)?;
    let text = match (arguments.output.format, output) {
        (Format::Human, None) => None,
        (Format::Human, Some(_)) => Some(linstab_analysis::describe(&findings)),
        (Format::Json, _) => {
            Some(serde_json::to_string_pretty(&findings.report).context("cannot encode the report")? + "\n")
        }
    };
    if let (Some(path), Some(text)) = (output, &text) {
        files.push((path, text.clone().into_bytes()));
    }
    let files: Vec<(&Path, &[u8])> = files.iter().map(|(path, bytes)| (*path, &bytes[..])).collect();
    write_together(&files)?;
    match (output, text) {
        (Some(_), _) => {}
        (None, Some(text)) => say(&text)?,
        (None, None) => words::say(&findings)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked, with all files read but the one of factors.
fn request(arguments: &AnalyzeArguments, sizes: Sizes) -> Result<Request, AnalysisError> {
    let AnalyzeArguments { input, training, gradients, answer, output } = arguments;
    let GradientArguments { labels, population, loss, .. } = gradients;
    let labels = labels.as_deref().map(|path| tensor(path, "labels", input)?.labels()).transpose()?;
    let residuals = coefficients(gradients, input, sizes)?;
    let drawn_from = population.unwrap_or(sizes.num_samples);
    let batch_sizes = match (&training.batch_size[..], output.report.is_some() || output.plot.is_some()) {
        // A curve: powers of two.
        ([], true) => (0..usize::BITS).map(|i| 1 << i).take_while(|&size| size <= drawn_from).collect(),
        ([], false) => Request::usual_batch_sizes(drawn_from),
        (sizes, _) => Request::without_repeats(sizes),
    };
    Ok(Request {
        batch_sizes,
        sampling: training.sampling,
        last_batch: training.last_batch,
        preconditioned: training.preconditioner.is_some(),
        population: *population,
        learning_rate: training.learning_rate,
        optimizers: optimizers(training)?,
        scale: scale(gradients, sizes.num_factors)?,
        diagnostics: answer.diagnostics
            || residuals.is_some()
            || output.report.is_some()
            || output.format == Format::Json,
        residuals,
        loss: *loss,
        labels,
        lyapunov: answer.lyapunov,
        almost_sure: output.report.is_some(),
        tolerance: answer.tolerance,
        top: answer.top,
        seed: answer.seed,
    })
}

fn tensor(path: &Path, usual: &str, input: &InputArguments) -> Result<Tensor<'static>, AnalysisError> {
    files::open(path, None, usual, input.memory_limit)
}

/// Coefficients of the gradients: given, or from outputs, targets and the loss.
fn coefficients(
    gradients: &GradientArguments,
    input: &InputArguments,
    Sizes { num_samples, num_factors, .. }: Sizes,
) -> Result<Option<Vec<f64>>, AnalysisError> {
    if let Some(path) = &gradients.residuals {
        return tensor(path, "residuals", input)?.coefficients(num_samples, num_factors).map(Some);
    }
    let (Some(outputs), Some(targets), Some(loss)) = (&gradients.outputs, &gradients.targets, gradients.loss)
    else {
        return Ok(None);
    };
    let (outputs, targets) = (tensor(outputs, "outputs", input)?, tensor(targets, "targets", input)?);
    loss.coefficients(outputs, targets, (num_samples, num_factors)).map(Some)
}

/// What every curvature is multiplied by: given, or the loss's own.
fn scale(gradients: &GradientArguments, num_factors: usize) -> Result<f64, AnalysisError> {
    let own = gradients.loss.map(|loss| loss.scale(num_factors));
    match (gradients.scale, own) {
        (Some(given), Some(own)) if (given - own).abs() > 1e-12 * own => Err(AnalysisError::Option {
            name: "scale".to_owned(),
            value: given.to_string(),
            allowed: format!("that of the loss, {own}"),
        }),
        (given, own) => Ok(given.or(own).unwrap_or(1.0)),
    }
}

/// The page and the drawing, if they were asked for, and where they go.
fn pictures<'a>(
    arguments: &'a AnalyzeArguments,
    findings: &Findings,
) -> anyhow::Result<Vec<(&'a Path, Vec<u8>)>> {
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    let of = |path: &Path| path.display().to_string();
    if let Some(path) = &arguments.output.report {
        let input = arguments.input.path();
        let source = input.file_name().map_or_else(|| of(input), |name| name.to_string_lossy().into_owned());
        let command =
            std::env::args().skip(1).fold("linstab".to_owned(), |line, word| format!("{line} {word}"));
        files.push((path, page::page(findings, &source, &command).into_bytes()));
    }
    if let Some(path) = &arguments.output.plot {
        let (svg, png) = page::plot(findings)?;
        files.push((path, if path.extension().is_some_and(|ending| ending == "png") { png } else { svg }));
    }
    Ok(files)
}

/// The optimizers that were asked for, each once; SGD unless one is named, and those of the short forms.
fn optimizers(arguments: &TrainingArguments) -> Result<Vec<Optimizer>, AnalysisError> {
    let named =
        if arguments.optimizer.is_empty() { vec![Optimizer::sgd()] } else { arguments.optimizer.clone() };
    let sam = arguments.rho_over_alpha.map(Optimizer::sam).transpose()?;
    let momentum = arguments.momentum.map(|beta| Optimizer::sgd().with_momentum(beta)).transpose()?;
    let all: Vec<Optimizer> = named.into_iter().chain(sam).chain(momentum).collect();
    Ok(Request::without_repeats(&all))
}

/// A refused value of the library by the name of its flag.
pub(crate) fn in_flags<A: Args>(error: anyhow::Error) -> anyhow::Error {
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
