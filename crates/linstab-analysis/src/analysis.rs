//! From inner products to verdicts.

use linstab_coherence::criteria::{Assessment, Question, assess};
use linstab_coherence::{FactorCoherence, effective_rank};
use linstab_dynamics::lyapunov::SettlingOptions;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer};
use linstab_linalg::{MatRef, Reduced};
use rand_pcg::Pcg64;

use crate::range::Scaled;
use crate::report::{
    CoherenceReport, CriterionReport, GroupReport, Limit, LyapunovReport, Number, Report, SCHEMA,
    SampleReport, StabilityReport, Training,
};
use crate::{AnalysisError, Request, Result};

/// Pairs of samples that cohere at least so much are one block.
const BLOCK_COHERENCE: f64 = 0.5;

/// Chains of the Lyapunov exponent, and what may be spent on one: a second or two.
const CHAINS: SettlingOptions = SettlingOptions { num_chains: 32, num_steps: 1000, max_multiplications: 2e9 };

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
    /// Number of parameters.
    pub num_parameters: usize,
}

/// What was found, and what the verdict in words needs besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The report.
    pub report: Report,
    /// Share of the full batch in the critical second moment of SGD at the batch size of the responsible samples.
    pub full_batch_share: f64,
    /// What momentum would allow there: the momentum and the threshold.
    pub with_momentum: (f64, f64),
    /// Whether that momentum was asked for.
    pub momentum_was_given: bool,
    /// The batch size that the responsible samples limit.
    pub shares_batch_size: usize,
}

/// Analyses the ensemble whose factors have these inner products.
///
/// # Shapes
/// `gram`: (num_samples * num_factors, ..), both triangles, the scale included.
/// # Errors
/// [`AnalysisError::Option`] for a bad request, [`AnalysisError::OutOfRange`] for inner products too small or too large; whatever stops
/// the analysis.
pub fn analyse(gram: MatRef<'_, f64>, sizes: Sizes, request: &Request) -> Result<Findings> {
    request.check(sizes.num_samples)?;
    let Scaled { ensemble, unit } = Scaled::from_gram(gram, sizes)?;
    let scaled = Request {
        learning_rate: request.learning_rate.map(|eta| eta * unit),
        optimizers: scaled_optimizers(request, unit, &ensemble)?,
        ..request.clone()
    };
    let mut findings = in_comfort(&ensemble, sizes, &scaled)?;
    if unit.to_bits() != 1.0_f64.to_bits() {
        findings.in_units(unit, request);
    }
    Ok(findings)
}

/// The optimizers in units of `unit`, if the curvatures that they see are within the range of numbers.
fn scaled_optimizers(request: &Request, unit: f64, ensemble: &Reduced) -> Result<Vec<Optimizer>> {
    const MOST: f64 = 1e50;
    let sharpness = ensemble.mean_eigenvalues().first().copied().unwrap_or(0.0);
    let scaled = request.optimizers.iter().map(|optimizer| {
        let scaled = optimizer.in_units_of(unit).ok();
        let fits = |scaled: &Optimizer| scaled.congruence(sharpness) <= MOST;
        scaled.filter(fits).ok_or_else(|| AnalysisError::Option {
            name: "rho_over_alpha".to_owned(),
            value: optimizer.rho_over_alpha().to_string(),
            allowed: "such that its product with the sharpness is at most 1e50".to_owned(),
        })
    });
    scaled.collect()
}

fn in_comfort(ensemble: &Reduced, sizes: Sizes, request: &Request) -> Result<Findings> {
    let coherence = if ensemble.rank() > 0 { Some(FactorCoherence::of(ensemble)?) } else { None };
    let mut stability = Vec::new();
    for &batch_size in &request.batch_sizes {
        for &optimizer in &request.optimizers {
            let training = Training { optimizer, batch_size, sampling: request.sampling };
            stability.push(of_training(ensemble, coherence.as_ref(), sizes, request, training)?);
        }
    }
    let last = request.batch_sizes.last().copied().unwrap_or(sizes.num_samples);
    let sgd_at = |batch_size| -> Result<MeanSquare> {
        let sampling = BatchSampling::new(request.sampling, sizes.num_samples, batch_size)?;
        Ok(MeanSquare::new(ensemble, Optimizer::sgd(), sampling)?)
    };
    // Without noise nobody is responsible: then the last batch size that has some is asked.
    let noisy =
        request.batch_sizes.iter().rev().copied().find(|&size| size < sizes.num_samples).unwrap_or(last);
    let sgd = sgd_at(noisy)?;
    let threshold = sgd.max_learning_rate()?;
    let full_batch_share = sgd.full_batch_share(&threshold)?.unwrap_or(0.0);
    let sample_shares = normalised(sgd.responsible_samples(&threshold)?.sample_shares);
    let given = request.optimizers.iter().map(|optimizer| optimizer.momentum()).find(|beta| beta.abs() > 0.0);
    let momentum = given.unwrap_or(USUAL_MOMENTUM);
    let with_momentum = (momentum, sgd_at(last)?.with_momentum(momentum)?.max_learning_rate()?.value);
    let perturbed = request.optimizers.iter().map(|optimizer| optimizer.rho_over_alpha()).find(|&c| c > 0.0);
    let seen_by_sam = match perturbed {
        Some(c) if ensemble.rank() > 0 => Some(FactorCoherence::of_sam(ensemble, c)?),
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
        responsible_samples: responsible(&sample_shares, coherence.as_ref(), request),
    };
    Ok(Findings {
        report,
        full_batch_share,
        with_momentum,
        momentum_was_given: given.is_some(),
        shares_batch_size: noisy,
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
    /// From units in which a curvature of 1 is `unit` back to those of the request.
    fn in_units(&mut self, unit: f64, request: &Request) {
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
        for (line, optimizer) in report.stability.iter_mut().zip(request.optimizers.iter().cycle()) {
            let (below, above) = &mut line.max_learning_rate_interval;
            for rate in [&mut line.max_learning_rate, below, above, &mut line.gradient_descent_limit] {
                rate.0 /= unit;
            }
            for rate in
                line.criteria.values_mut().filter_map(|criterion| criterion.max_learning_rate.as_mut())
            {
                *rate /= unit;
            }
            line.learning_rate = request.learning_rate;
            line.training.optimizer = *optimizer;
        }
        self.with_momentum.1 /= unit;
    }
}

fn of_training(
    ensemble: &Reduced,
    coherence: Option<&FactorCoherence>,
    sizes: Sizes,
    request: &Request,
    training: Training,
) -> Result<StabilityReport> {
    let Training { optimizer, batch_size, sampling: scheme } = training;
    let sampling = BatchSampling::new(scheme, sizes.num_samples, batch_size)?;
    let analysis = MeanSquare::new(ensemble, optimizer, sampling)?;
    let threshold = analysis.max_learning_rate()?;
    let question =
        Question { optimizer, sampling, num_parameters: sizes.num_parameters, exact: threshold.value };
    let criteria = coherence.map(|coherence| assess(ensemble, coherence, question)).transpose()?;
    let growth = request.learning_rate.map(|eta| analysis.growth_per_step(eta)).transpose()?;
    let lyapunov = match (request.learning_rate, growth) {
        (Some(eta), Some(growth)) if request.lyapunov => {
            Some(exponent(&analysis, eta, growth, request.seed)?)
        }
        _ => None,
    };
    let full_batch_share = analysis.full_batch_share(&threshold)?;
    let limit = |share: f64| if share >= MOSTLY { Limit::Sharpness } else { Limit::GradientNoise };
    Ok(StabilityReport {
        training,
        max_learning_rate: Number(threshold.value),
        max_learning_rate_interval: (Number(threshold.interval.0), Number(threshold.interval.1)),
        gradient_descent_limit: Number(analysis.gradient_descent_limit()),
        full_batch_share,
        limited_by: full_batch_share.map(limit),
        criteria: criteria.iter().flatten().map(criterion_report).collect(),
        learning_rate: request.learning_rate,
        growth_per_step: growth.map(Number),
        stable: request.learning_rate.map(|eta| eta < threshold.value),
        lyapunov,
    })
}

fn exponent(analysis: &MeanSquare, eta: f64, growth: f64, seed: u64) -> Result<LyapunovReport> {
    let stream = |chain: usize| Pcg64::new(u128::from(seed), chain as u128);
    let found = analysis.settled_lyapunov_exponent(eta, growth, CHAINS, stream)?;
    Ok(LyapunovReport {
        mean: Number(found.mean),
        standard_error: found.standard_error,
        settled: found.settled,
        num_steps: found.num_steps,
    })
}

fn criterion_report(assessment: &Assessment) -> (String, CriterionReport) {
    let assumptions = assessment.assumptions.iter();
    let report = CriterionReport {
        claim: assessment.claim.name().to_owned(),
        max_learning_rate: assessment.learning_rate,
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

fn responsible(shares: &[f64], coherence: Option<&FactorCoherence>, request: &Request) -> Vec<SampleReport> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
    let named = order.into_iter().filter(|&sample| shares[sample] > 0.0).take(request.top);
    let report = |sample: usize| SampleReport {
        sample,
        share: shares[sample],
        sharpness: coherence.map_or(0.0, |coherence| coherence.sample_sharpness[sample]),
        label: request.labels.as_ref().map(|labels| labels[sample]),
    };
    named.map(report).collect()
}
