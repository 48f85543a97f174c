//! From inner products to verdicts.

use linstab_coherence::{Assessment, FactorCoherence, Question, assess, effective_rank};
use linstab_dynamics::lyapunov::ChainOptions;
use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, UpdateRule};
use linstab_linalg::{MatRef, Reduced};
use rand_pcg::Pcg64;

use crate::report::{
    CoherenceReport, CriterionReport, CulpritReport, GroupReport, LyapunovReport, Number, Report, SCHEMA,
    StabilityReport,
};
use crate::{AnalysisError, Result};

/// Pairs of samples that cohere at least so much are one block.
const BLOCK_COHERENCE: f64 = 0.5;

/// Chains of the Lyapunov exponent.
const CHAINS: ChainOptions = ChainOptions { num_chains: 32, burn_in: 200, num_steps: 2000 };

/// The momentum that the verdict speaks of if none is given: that of most training recipes.
pub const USUAL_MOMENTUM: f64 = 0.9;

/// What to find out.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Batch sizes, in the order of the report.
    pub batch_sizes: Vec<usize>,
    /// How batches are drawn.
    pub sampling: SamplingScheme,
    /// A learning rate to judge.
    pub learning_rate: Option<f64>,
    /// SAM's rho over alpha.
    pub rho_over_alpha: Option<f64>,
    /// Heavy-ball momentum.
    pub momentum: Option<f64>,
    /// What every curvature is multiplied by.
    pub scale: f64,
    /// A label for each sample.
    pub labels: Option<Vec<i64>>,
    /// Whether to estimate the Lyapunov exponent at the learning rate.
    pub lyapunov: bool,
    /// Number of responsible samples to name.
    pub top: usize,
    /// Root of the random streams.
    pub seed: u64,
}

impl Request {
    /// Checks what can be checked before anything is read.
    ///
    /// # Errors
    /// [`AnalysisError::Option`].
    pub fn check(&self, num_samples: usize) -> Result<()> {
        let refuse = |name, value: String, allowed: &str| {
            Err(AnalysisError::Option { name, value, allowed: allowed.to_owned() })
        };
        if let Some(size) = self.batch_sizes.iter().find(|size| !(1..=num_samples).contains(*size)) {
            let allowed = format!("1 to the number of samples, {num_samples}");
            return refuse("--batch-size", size.to_string(), &allowed);
        }
        for (name, value, zero) in [
            ("--scale", Some(self.scale), false),
            ("--learning-rate", self.learning_rate, false),
            ("--rho-over-alpha", self.rho_over_alpha, true),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && (value > 0.0 || (zero && value >= 0.0)))
            {
                let allowed = if zero { "nonnegative and finite" } else { "positive and finite" };
                return refuse(name, value.to_string(), allowed);
            }
        }
        if let Some(momentum) = self.momentum
            && !(momentum > -1.0 && momentum < 1.0)
        {
            return refuse("--momentum", momentum.to_string(), "above -1 and below 1");
        }
        if self.lyapunov && self.learning_rate.is_none() {
            return refuse("--lyapunov", "given".to_owned(), "together with --learning-rate");
        }
        if let Some(labels) = &self.labels
            && labels.len() != num_samples
        {
            let allowed = format!("one a sample: {num_samples}");
            return refuse("number of labels", labels.len().to_string(), &allowed);
        }
        Ok(())
    }
}

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
    /// Share of the full batch in what limits SGD at the last batch size: near 1 sharpness, near 0 gradient noise.
    pub full_batch_share: f64,
    /// What momentum would allow there: the momentum and the threshold.
    pub with_momentum: (f64, f64),
    /// The batch size that the responsible samples limit.
    pub culprits_batch_size: usize,
}

/// Analyses the ensemble whose factors have these inner products.
///
/// # Shapes
/// `gram`: (num_samples * num_factors, ..), both triangles, the scale included.
/// # Errors
/// [`AnalysisError::Option`] for a bad request; whatever stops the analysis.
pub fn analyse(gram: MatRef<'_, f64>, sizes: Sizes, request: &Request) -> Result<Findings> {
    request.check(sizes.num_samples)?;
    let ensemble = Reduced::from_gram(gram, sizes.num_samples, sizes.num_factors)?;
    let coherence = if ensemble.rank() > 0 { Some(FactorCoherence::of(&ensemble)?) } else { None };
    let mut stability = Vec::new();
    for &batch_size in &request.batch_sizes {
        for optimizer in optimizers(request) {
            stability.push(of_optimizer(
                &ensemble,
                coherence.as_ref(),
                sizes,
                request,
                optimizer,
                batch_size,
            )?);
        }
    }
    let last = request.batch_sizes.last().copied().unwrap_or(sizes.num_samples);
    let sgd_at = |batch_size| -> Result<MeanSquare> {
        let sampling = BatchSampling::new(request.sampling, sizes.num_samples, batch_size)?;
        Ok(MeanSquare::new(&ensemble, UpdateRule::Sgd, sampling)?)
    };
    let sgd = sgd_at(last)?;
    let culprits = sgd.culprits(&sgd.max_learning_rate()?)?;
    // Without noise nobody is responsible: then the last batch size that has some is asked.
    let noisy =
        request.batch_sizes.iter().rev().copied().find(|&size| size < sizes.num_samples).unwrap_or(last);
    let sample_shares = if noisy == last {
        culprits.sample_shares
    } else {
        let noisy = sgd_at(noisy)?;
        noisy.culprits(&noisy.max_learning_rate()?)?.sample_shares
    };
    let momentum = request.momentum.unwrap_or(USUAL_MOMENTUM);
    let with_momentum = (momentum, sgd.clone().with_momentum(momentum)?.max_learning_rate()?.value);
    let seen_by_sam = match request.rho_over_alpha {
        Some(c) if c > 0.0 && ensemble.rank() > 0 => Some(FactorCoherence::of_sam(&ensemble, c)?),
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
        trace: eigenvalues.iter().sum(),
        max_sample_sharpness: coherence.as_ref().map_or(0.0, |coherence| coherence.max_sample_sharpness),
        coherence: coherence.as_ref().map(coherence_report),
        coherence_sam: seen_by_sam.as_ref().map(coherence_report),
        groups: groups.iter().map(group_report).collect(),
        stability,
        culprits: responsible(&sample_shares, coherence.as_ref(), request),
    };
    let full_batch_share = culprits.full_batch_share;
    Ok(Findings { report, full_batch_share, with_momentum, culprits_batch_size: noisy })
}

/// An optimizer by its three parameters.
#[derive(Clone, Copy)]
struct Optimizer {
    name: &'static str,
    rho_over_alpha: f64,
    momentum: f64,
}

fn optimizers(request: &Request) -> Vec<Optimizer> {
    let mut list = vec![Optimizer { name: "sgd", rho_over_alpha: 0.0, momentum: 0.0 }];
    if let Some(rho_over_alpha) = request.rho_over_alpha {
        list.push(Optimizer { name: "sam", rho_over_alpha, momentum: 0.0 });
    }
    if let Some(momentum) = request.momentum {
        list.push(Optimizer { name: "momentum", rho_over_alpha: 0.0, momentum });
    }
    list
}

fn of_optimizer(
    ensemble: &Reduced,
    coherence: Option<&FactorCoherence>,
    sizes: Sizes,
    request: &Request,
    optimizer: Optimizer,
    batch_size: usize,
) -> Result<StabilityReport> {
    let Optimizer { name, rho_over_alpha, momentum } = optimizer;
    let sampling = BatchSampling::new(request.sampling, sizes.num_samples, batch_size)?;
    let analysis = MeanSquare::new(ensemble, UpdateRule::Sam { rho_over_alpha }, sampling)?;
    let analysis = analysis.with_momentum(momentum)?;
    let threshold = analysis.max_learning_rate()?;
    let question = Question {
        batch_size,
        rho_over_alpha,
        bernoulli: request.sampling == SamplingScheme::Bernoulli,
        num_parameters: sizes.num_parameters,
        exact: threshold.value,
    };
    let criteria = match coherence {
        Some(coherence) if momentum.abs() <= 0.0 => assess(ensemble, coherence, &question)?,
        _ => Vec::new(),
    };
    let growth = request.learning_rate.map(|eta| analysis.growth_per_step(eta)).transpose()?;
    let lyapunov = match request.learning_rate {
        Some(eta) if request.lyapunov => {
            let stream = |chain: usize| Pcg64::new(u128::from(request.seed), chain as u128);
            let estimate = analysis.lyapunov_exponent(eta, CHAINS, stream)?;
            let (mean, standard_error) = (Number(estimate.mean), estimate.standard_error);
            Some(LyapunovReport { mean, standard_error })
        }
        _ => None,
    };
    Ok(StabilityReport {
        optimizer: name.to_owned(),
        batch_size,
        sampling: request.sampling.name().to_owned(),
        rho_over_alpha,
        momentum,
        max_learning_rate: Number(threshold.value),
        max_learning_rate_interval: (Number(threshold.interval.0), Number(threshold.interval.1)),
        gradient_descent_limit: Number(analysis.gradient_descent_limit()),
        criteria: criteria.iter().map(criterion_report).collect(),
        learning_rate: request.learning_rate,
        growth_per_step: growth.map(Number),
        stable: request.learning_rate.map(|eta| eta < threshold.value),
        lyapunov,
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

fn responsible(shares: &[f64], coherence: Option<&FactorCoherence>, request: &Request) -> Vec<CulpritReport> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
    let named = order.into_iter().filter(|&sample| shares[sample] > 0.0).take(request.top);
    let report = |sample: usize| CulpritReport {
        sample,
        share: shares[sample],
        sharpness: coherence.map_or(0.0, |coherence| coherence.sample_sharpness[sample]),
        label: request.labels.as_ref().map(|labels| labels[sample]),
    };
    named.map(report).collect()
}
