//! From inner products to verdicts.

use linstab_coherence::criteria::{Assessment, Question, assess};
use linstab_coherence::{FactorCoherence, effective_rank};
use linstab_dynamics::sampling::Loader;
use linstab_dynamics::{BatchSampling, Optimizer, SamplingScheme};
use linstab_linalg::{MatRef, Reduced};
use serde::{Deserialize, Serialize};

use crate::almost_sure::{Budget, almost_sure};
use crate::answer::{Ask, answer, of_population};
use crate::diagnostics::Known;
use crate::observer::{Observer, Stage, Unobserved, advance};
use crate::range::{Scaled, Seen};
use crate::report::{
    AlmostSureReport, CoherenceReport, CriterionReport, DiagnosticReport, GroupReport, Limit,
    NoiseFloorReport, Number, Report, SCHEMA, SampleReport, StabilityReport, Training,
};
use crate::{AnalysisError, CoherenceMap, Request, Result, diagnostics};

/// Pairs of samples that cohere at least so much are one block.
const BLOCK_COHERENCE: f64 = 0.5;

/// A limit whose full-batch share is at least this is one of sharpness.
const MOSTLY: f64 = 0.5;

/// The momentum that the verdict speaks of if none is given: that of most training recipes.
pub const USUAL_MOMENTUM: f64 = 0.9;

/// Sizes that the Gram matrix does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Number of samples.
    pub num_samples: usize,
    /// Number of factors a sample.
    pub num_factors: usize,
    /// Number of parameters, where it is known: inner products do not tell.
    pub num_parameters: Option<usize>,
}

/// What was found, and what the verdict in words needs besides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// The report.
    pub report: Report,
    /// Share of the full batch in the critical second moment of SGD at the batch size of the responsible samples.
    pub full_batch_share: f64,
    /// What momentum would allow there: the momentum and the threshold.
    pub with_momentum: (f64, f64),
    /// Eigenvalues of the mean curvature, the largest first.
    pub spectrum: Vec<f64>,
    /// The coherence of pairs of samples, in tiles; none without curvature.
    pub coherence_map: Option<CoherenceMap>,
    /// Whether that momentum was asked for.
    pub momentum_was_given: bool,
    /// The batch size that the responsible samples limit.
    pub shares_batch_size: usize,
}

/// Inner products of factors.
#[derive(Clone, Copy, Debug)]
pub struct Grams<'a> {
    /// Of the factors themselves, the scale included: (num_samples * num_factors, ..), both triangles.
    pub plain: MatRef<'a, f64>,
    /// Of the factors divided by the root of the preconditioner, where an optimizer has one.
    pub preconditioned: Option<MatRef<'a, f64>>,
}

/// Analyses the ensemble whose factors have these inner products.
///
/// # Errors
/// [`AnalysisError::Option`] for a bad request, [`AnalysisError::OutOfRange`] for inner products too small or too large; whatever stops
/// the analysis.
pub fn analyse(grams: Grams<'_>, sizes: Sizes, request: &Request) -> Result<Findings> {
    analyse_observed(grams, sizes, request, &Unobserved)
}

/// As [`analyse`], followed by an observer.
///
/// # Errors
/// As [`analyse`]; [`AnalysisError::Interrupted`] if the observer stops it.
pub fn analyse_observed(
    grams: Grams<'_>,
    sizes: Sizes,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Findings> {
    request.check(sizes.num_samples)?;
    let mut seen = Seen::from_grams(grams, sizes, request.tolerance)?.with_interrupt(&observer.interrupt());
    let (ensemble, unit) = (&seen.plain.ensemble.clone(), seen.plain.unit);
    let coherence = seen.plain.coherence(grams.plain)?;
    let (stability, found) = rows(&mut seen, coherence.as_ref(), (sizes, request), observer)?;
    let last = request.batch_sizes.last().copied().unwrap_or(request.population.unwrap_or(sizes.num_samples));
    let scheme = match request.sampling {
        Loader::Independent(scheme) => scheme,
        Loader::Epochs(_) => SamplingScheme::WithoutReplacement,
    };
    let sgd_at =
        |batch_size| of_population(ensemble, Optimizer::sgd(), (scheme, batch_size), request.population);
    let drawn_from = request.population.unwrap_or(sizes.num_samples);
    // Without noise nobody is responsible: then the last batch size that has some is asked.
    let noisy = request.batch_sizes.iter().rev().copied().find(|&size| size < drawn_from).unwrap_or(last);
    let sgd = sgd_at(noisy)?;
    let solver = &mut seen.plain.solver;
    let threshold = solver.max_learning_rate(&sgd)?;
    let full_batch_share = sgd.full_batch_share(&threshold)?.unwrap_or(0.0);
    let sample_shares = normalised(sgd.responsible_samples(&threshold)?.sample_shares);
    let influences = sgd.influences(&threshold)?;
    let without = |sample| influences.without(sample, threshold.value) / unit;
    let given = request.optimizers.iter().map(|optimizer| optimizer.momentum()).find(|beta| beta.abs() > 0.0);
    let momentum = given.unwrap_or(USUAL_MOMENTUM);
    let heavy_ball = sgd_at(last)?.with_momentum(momentum)?;
    let with_momentum = (momentum, solver.max_learning_rate(&heavy_ball)?.value / unit);
    let perturbed = request.optimizers.iter().find(|optimizer| optimizer.rho_over_alpha() > 0.0);
    let seen_by_sam = match perturbed {
        Some(&optimizer) if ensemble.rank() > 0 => {
            Some(FactorCoherence::of_sam(ensemble, in_units(optimizer, &seen.plain)?.rho_over_alpha())?)
        }
        _ => None,
    };
    let groups = match (&coherence, &request.labels) {
        (Some(coherence), Some(labels)) => coherence.groups(labels)?,
        _ => Vec::new(),
    };
    let eigenvalues = ensemble.mean_eigenvalues();
    let report = Report {
        schema: SCHEMA,
        num_samples: sizes.num_samples,
        num_factors: sizes.num_factors,
        num_parameters: sizes.num_parameters,
        population: request.population,
        scale: request.scale,
        rank: ensemble.rank(),
        effective_rank: effective_rank(eigenvalues),
        sharpness: eigenvalues.first().copied().unwrap_or(0.0),
        trace: trace(ensemble),
        max_sample_sharpness: coherence.as_ref().map_or(0.0, |coherence| coherence.max_sample_sharpness),
        coherence: coherence.as_ref().map(coherence_report),
        coherence_sam: seen_by_sam.as_ref().map(coherence_report),
        groups: groups.iter().map(group_report).collect(),
        stability,
        diagnostics: found,
        responsible_samples: responsible(&sample_shares, coherence.as_ref(), without, request),
    };
    let (momentum_was_given, shares_batch_size) = (given.is_some(), noisy);
    let spectrum = eigenvalues.iter().map(|value| value * unit).collect();
    let labels = request.labels.as_deref();
    let map =
        |coherence: &FactorCoherence| CoherenceMap::of(coherence, &coherence.blocks(BLOCK_COHERENCE), labels);
    let mut findings = Findings {
        report,
        full_batch_share,
        with_momentum,
        spectrum,
        coherence_map: coherence.as_ref().map(map),
        momentum_was_given,
        shares_batch_size,
    };
    if unit.to_bits() != 1.0_f64.to_bits() {
        findings.in_units(unit);
    }
    Ok(findings)
}

/// The rows of all trainings, and what diagnostics say of them.
fn rows(
    seen: &mut Seen,
    coherence: Option<&FactorCoherence>,
    (sizes, request): (Sizes, &Request),
    observer: &dyn Observer,
) -> Result<(Vec<StabilityReport>, Vec<DiagnosticReport>)> {
    let num_rows = request.optimizers.len() * request.batch_sizes.len();
    advance(observer, Stage::Thresholds, 0, num_rows)?;
    let (mut stability, mut found, mut known) = (Vec::new(), Vec::new(), Vec::new());
    // Samples that are a part of a data set are not what runs see.
    let mut budget =
        (request.almost_sure && request.population.is_none()).then(|| Budget::for_rows(num_rows));
    if budget.is_some() {
        observer.announced(&Budget::announcement());
    }
    for &optimizer in &request.optimizers {
        for &batch_size in &request.batch_sizes {
            let last_batch = matches!(request.sampling, Loader::Epochs(_)).then_some(request.last_batch);
            let training = Training { optimizer, batch_size, sampling: request.sampling, last_batch };
            let scaled = seen.by(optimizer)?;
            let mut row = of_training(scaled, coherence, sizes, request, training)?;
            row.almost_sure = almost_surely(scaled, &row, request.seed, budget.as_mut())?;
            found.extend(diagnosed(scaled, &row, request, &mut known)?);
            stability.push(row);
            advance(observer, Stage::Thresholds, stability.len(), num_rows)?;
        }
    }
    Ok((stability, found))
}

/// The optimizer in the units of an ensemble, if the curvatures that it sees are within the range of numbers.
pub(crate) fn in_units(optimizer: Optimizer, scaled: &Scaled) -> Result<Optimizer> {
    const MOST: f64 = 1e50;
    let sharpness = scaled.ensemble.mean_eigenvalues().first().copied().unwrap_or(0.0);
    let refuse = |name: &str, value: f64, allowed: &str| {
        let (name, allowed) = (name.to_owned(), allowed.to_owned());
        AnalysisError::Option { name, value: value.to_string(), allowed }
    };
    let recursion = optimizer.recursion();
    let decay = recursion.coupled_decay.max(recursion.decoupled_decay);
    if decay / scaled.unit > MOST {
        return Err(refuse("weight_decay", decay, "at most 1e50 times the curvature"));
    }
    let fits = |seen: &Optimizer| 1.0 + seen.rho_over_alpha() * sharpness <= MOST;
    optimizer.in_units_of(scaled.unit).ok().filter(fits).ok_or_else(|| {
        let allowed = "such that its product with the sharpness is at most 1e50";
        refuse("rho_over_alpha", optimizer.rho_over_alpha(), allowed)
    })
}

/// Trace of the mean curvature. An empty sum would be -0.
pub(crate) fn trace(ensemble: &Reduced) -> f64 {
    ensemble.mean_eigenvalues().iter().fold(0.0, |sum, value| sum + value)
}

/// Shares of what they sum to; all 0 if that is 0.
fn normalised(mut shares: Vec<f64>) -> Vec<f64> {
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        for share in &mut shares {
            *share /= total;
        }
    }
    shares
}

impl Findings {
    /// What is not of a single training, from units in which a curvature of 1 is `unit` to those of the request.
    fn in_units(&mut self, unit: f64) {
        let report = &mut self.report;
        for curvature in [&mut report.sharpness, &mut report.trace, &mut report.max_sample_sharpness] {
            *curvature *= unit;
        }
        for coherence in [&mut report.coherence, &mut report.coherence_sam].into_iter().flatten() {
            let (below, above) = &mut coherence.lambda_max_s_bounds;
            for curvature in [&mut coherence.lambda_max_s, below, above] {
                *curvature *= unit;
            }
        }
        for group in &mut report.groups {
            group.lambda_max_s *= unit;
        }
        for sample in &mut report.responsible_samples {
            sample.sharpness *= unit;
        }
    }
}

/// What diagnostics say of a row: of batches drawn afresh from these samples, without ascent on them.
fn diagnosed(
    scaled: &mut Scaled,
    row: &StabilityReport,
    request: &Request,
    known: &mut Known,
) -> Result<Vec<DiagnosticReport>> {
    let training = row.training;
    let Loader::Independent(scheme) = training.sampling else { return Ok(Vec::new()) };
    if !request.diagnostics || !request.can_be_diagnosed(training.optimizer) {
        return Ok(Vec::new());
    }
    let optimizer = in_units(training.optimizer, scaled)?;
    let analysis = of_population(&scaled.ensemble, optimizer, (scheme, training.batch_size), None)?;
    diagnostics::of_row((&analysis, &mut scaled.solver, scaled.unit), row, request, known)
}

/// The threshold of almost every run of a row, in the units of the request.
fn almost_surely(
    scaled: &Scaled,
    row: &StabilityReport,
    seed: u64,
    budget: Option<&mut Budget>,
) -> Result<Option<AlmostSureReport>> {
    let Some(budget) = budget else { return Ok(None) };
    let training = Training { optimizer: in_units(row.training.optimizer, scaled)?, ..row.training };
    let thresholds = (row.max_learning_rate.0 * scaled.unit, row.gradient_descent_limit.0 * scaled.unit);
    let found = almost_sure(&scaled.ensemble, training, thresholds, seed, budget)?;
    let rate = |rate: f64| Number(rate / scaled.unit);
    Ok(found.map(|found| AlmostSureReport {
        max_learning_rate: rate(found.value),
        interval: (rate(found.interval.0), rate(found.interval.1)),
    }))
}

/// The row of one training, in the units of the request.
fn of_training(
    scaled: &mut Scaled,
    coherence: Option<&FactorCoherence>,
    sizes: Sizes,
    request: &Request,
    training: Training,
) -> Result<StabilityReport> {
    let seen = Training { optimizer: in_units(training.optimizer, scaled)?, ..training };
    let (Scaled { ensemble, unit, solver }, Request { learning_rate, lyapunov, seed, .. }) =
        (scaled, request);
    let (learning_rate, lyapunov, seed, population) = (*learning_rate, *lyapunov, *seed, request.population);
    let answer = answer(
        (ensemble, solver),
        seen,
        Ask { learning_rate: learning_rate.map(|eta| eta * *unit), lyapunov, seed, population },
    )?;
    let criteria = match (training.sampling, coherence) {
        (Loader::Independent(scheme), Some(coherence)) if request.population.is_none() => {
            let sampling = BatchSampling::new(scheme, sizes.num_samples, training.batch_size)?;
            let (optimizer, exact) = (seen.optimizer, answer.max_learning_rate);
            // Without a number, more than there are samples: as networks have.
            let num_parameters = sizes.num_parameters.unwrap_or(usize::MAX);
            let question = Question { optimizer, sampling, num_parameters, exact };
            assess(ensemble, coherence, question)?
        }
        _ => Vec::new(),
    };
    let limit = |share: f64| if share >= MOSTLY { Limit::Sharpness } else { Limit::GradientNoise };
    let rate = |rate: f64| Number(rate / *unit);
    let loss = |floor: NoiseFloorReport| NoiseFloorReport {
        expected_excess_loss: floor.expected_excess_loss * *unit,
        ..floor
    };
    Ok(StabilityReport {
        training,
        max_learning_rate: rate(answer.max_learning_rate),
        standard_error: answer.standard_error.map(|error| error / *unit),
        max_learning_rate_interval: (rate(answer.interval.0), rate(answer.interval.1)),
        basis: answer.basis,
        confidence: answer.confidence,
        almost_sure: None,
        gradient_descent_limit: rate(answer.gradient_descent_limit),
        full_batch_share: answer.full_batch_share,
        limited_by: answer.full_batch_share.map(limit),
        criteria: criteria.iter().map(|assessment| criterion_report(assessment, *unit)).collect(),
        learning_rate,
        growth_per_step: answer.growth.map(Number),
        stable: learning_rate.and_then(|eta| answer.judge(eta * *unit)),
        smallest_stable_batch_size: answer.smallest_batch,
        noise_floor: answer.noise_floor.map(loss),
        lyapunov: answer.lyapunov,
    })
}

fn criterion_report(assessment: &Assessment, unit: f64) -> (String, CriterionReport) {
    let assumptions = assessment.assumptions.iter();
    let report = CriterionReport {
        claim: assessment.claim.name().to_owned(),
        max_learning_rate: assessment.learning_rate.map(|rate| rate / unit),
        applies: assessment.applies(),
        assumptions: assumptions.map(|assumption| (assumption.name.to_owned(), assumption.holds)).collect(),
        slack: assessment.slack,
    };
    (assessment.name.to_owned(), report)
}

fn coherence_report(coherence: &FactorCoherence) -> CoherenceReport {
    CoherenceReport {
        lambda_max_s: coherence.top_eigenvalue,
        sigma: coherence.measure,
        lambda_max_s_bounds: coherence.bounds,
        block_sizes: coherence.blocks(BLOCK_COHERENCE).iter().map(Vec::len).collect(),
    }
}

fn group_report(group: &linstab_coherence::GroupCoherence) -> GroupReport {
    GroupReport {
        label: group.label,
        num_samples: group.num_samples,
        lambda_max_s: group.top_eigenvalue,
        within: group.within,
        across: group.across,
    }
}

fn responsible(
    shares: &[f64],
    coherence: Option<&FactorCoherence>,
    without: impl Fn(usize) -> f64,
    request: &Request,
) -> Vec<SampleReport> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
    let named = order.into_iter().filter(|&sample| shares[sample] > 0.0).take(request.top);
    let report = |sample: usize| SampleReport {
        sample,
        max_learning_rate_without: Some(without(sample)).filter(|rate| rate.is_finite()),
        share: shares[sample],
        sharpness: coherence.map_or(0.0, |coherence| coherence.sample_sharpness[sample]),
        label: request.labels.as_ref().map(|labels| labels[sample]),
    };
    named.map(report).collect()
}
