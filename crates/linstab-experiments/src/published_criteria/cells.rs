//! What every criterion and diagnostic says at one point and batch size.

use linstab_coherence::FactorCoherence;
use linstab_coherence::criteria::{CRITERIA, Question, assess};
use linstab_coherence::diagnostics::{Claims, DIAGNOSTICS, Subject, diagnose};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use serde::{Deserialize, Serialize};

use super::ID;
use super::config::AsRun;
use super::points::Point;
use crate::{ExperimentError, Result};
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;

/// A row of `tables/published-criteria.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// The ensemble.
    pub(super) ensemble: String,
    /// The epoch of a training.
    pub(super) epoch: Option<usize>,
    /// Batch size.
    pub(super) batch_size: usize,
    /// Name of the criterion.
    pub(super) criterion: String,
    /// What it claims here of learning rates beside its own: outside of its assumptions no more than an estimate.
    pub(super) claims: String,
    /// How batches are drawn.
    pub(super) sampling: String,
    /// What was measured; empty for closed forms, which have a learning rate only, and where it is 0/0.
    pub(super) value: Option<f64>,
    /// Its standard error, where batches were drawn.
    pub(super) standard_error: Option<f64>,
    /// The learning rate at which it switches; empty if there is none.
    pub(super) learning_rate: Option<f64>,
    /// The exact threshold.
    pub(super) max_learning_rate: f64,
    /// The first over the second.
    pub(super) ratio_to_exact: Option<f64>,
}

/// Every point at each of its batch sizes.
pub(super) struct CriteriaCells<'a> {
    points: &'a [Point],
    seed: u64,
    identity: Identity,
    cells: Vec<(usize, usize)>,
}

impl<'a> CriteriaCells<'a> {
    pub(super) fn new(as_run: &AsRun, points: &'a [Point], program: &str) -> Self {
        let sizes = |(at, point): (usize, &'a Point)| point.batch_sizes.iter().map(move |size| (at, *size));
        Self {
            points,
            seed: as_run.config.seed,
            identity: Identity::new(program, &[ID, &format!("{as_run:?}")]),
            cells: points.iter().enumerate().flat_map(sizes).collect(),
        }
    }
}

impl Cells for CriteriaCells<'_> {
    type Error = ExperimentError;
    type Output = Vec<Row>;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.cells.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Vec<Row>> {
        let (at, batch_size) = self.cells[index];
        let point = &self.points[at];
        let mut rows = diagnosed(point, batch_size, self.seed)?;
        rows.extend(assessed(point, batch_size)?);
        Ok(rows)
    }
}

/// Plain SGD at a point, and its exact threshold.
fn exact(
    point: &Point,
    batch_size: usize,
    scheme: SamplingScheme,
) -> Result<(MeanSquare, BatchSampling, f64)> {
    let sampling = BatchSampling::new(scheme, point.curvatures.num_samples(), batch_size)?;
    let sgd = MeanSquare::new(&point.curvatures, Optimizer::sgd(), sampling)?;
    let threshold = sgd.max_learning_rate()?.value;
    Ok((sgd, sampling, threshold))
}

/// The diagnostics of batches without replacement that say something of the learning rate, but for those that are the exact threshold.
fn diagnosed(point: &Point, batch_size: usize, seed: u64) -> Result<Vec<Row>> {
    let (sgd, sampling, exact) = exact(point, batch_size, SamplingScheme::WithoutReplacement)?;
    let mut subject = Subject::new(&sgd, exact).with_seed(seed);
    if let Some(coefficients) = &point.coefficients {
        subject = subject.with_coefficients(coefficients)?;
    }
    let findings = diagnose(&subject)?.into_iter();
    let rows = findings.filter(|finding| !matches!(finding.claims, Claims::Exact | Claims::Nothing)).map(
        |finding| {
            let holds = finding.conditions.iter().all(|(_, holds)| *holds);
            Row {
                value: finding.measured.value,
                standard_error: finding.measured.standard_error,
                learning_rate: finding.measured.learning_rate.filter(|rate| rate.is_finite()),
                ratio_to_exact: finding.ratio_to_exact,
                ..row(point, (finding.name, finding.claims, holds), sampling, exact)
            }
        },
    );
    Ok(rows.collect())
}

/// The closed-form criteria under Bernoulli sampling, which they assume.
fn assessed(point: &Point, batch_size: usize) -> Result<Vec<Row>> {
    let (_, sampling, exact) = exact(point, batch_size, SamplingScheme::Bernoulli)?;
    let coherence = FactorCoherence::of(&point.curvatures)?;
    // More than there are samples, as networks have, where the number of parameters is not known.
    let num_parameters = point.num_parameters.unwrap_or(usize::MAX);
    let question = Question { optimizer: Optimizer::sgd(), sampling, num_parameters, exact };
    let rows = assess(&point.curvatures, &coherence, question)?.into_iter().map(|assessment| Row {
        learning_rate: assessment.learning_rate,
        ratio_to_exact: assessment.slack,
        ..row(point, (assessment.name, assessment.claim.into(), assessment.applies()), sampling, exact)
    });
    Ok(rows.collect())
}

/// A row without its measurement.
fn row(
    point: &Point,
    (criterion, claims, holds): (&str, Claims, bool),
    sampling: BatchSampling,
    exact: f64,
) -> Row {
    let claims = if holds { claims } else { Claims::Estimate };
    Row {
        ensemble: point.ensemble.to_owned(),
        epoch: point.epoch,
        batch_size: sampling.batch_size(),
        criterion: criterion.to_owned(),
        claims: claims.name().to_owned(),
        sampling: sampling.scheme().name().to_owned(),
        value: None,
        standard_error: None,
        learning_rate: None,
        max_learning_rate: exact,
        ratio_to_exact: None,
    }
}

/// What people call a criterion, and what it is.
pub(super) fn words(name: &str) -> Option<(&'static str, &'static str)> {
    let criteria = CRITERIA.iter().map(|row| (row.name, row.title, row.source));
    let diagnostics = DIAGNOSTICS.iter().map(|row| (row.name, row.title, row.source));
    criteria.chain(diagnostics).find(|row| row.0 == name).map(|row| (row.1, row.2))
}
