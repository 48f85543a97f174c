//! Diagnostics of the literature, as the report has them.

use std::rc::Rc;

use linstab_coherence::criteria::CRITERIA;
use linstab_coherence::diagnostics::{Claims, DIAGNOSTICS, Finding, Quantity, Shared, Subject, diagnose};
use linstab_dynamics::mean_square::ThresholdSolver;
use linstab_dynamics::{MeanSquare, Optimizer};

use crate::report::{AssumptionReport, CriterionReport, DiagnosticReport, StabilityReport, Training};
use crate::{Loss, Request, Result};

/// Whose curvature all numbers are.
const CURVATURE: &str = "Gauss-Newton";

/// What diagnostics of earlier rows have computed, an entry an ensemble.
pub(crate) type Known = Vec<Rc<Shared>>;

/// What all diagnostics say of a row, in units in which a curvature of 1 is `unit`; the published criteria of the row are among them.
pub(crate) fn of_row(
    (analysis, solver, unit): (&MeanSquare, &mut ThresholdSolver, f64),
    row: &StabilityReport,
    request: &Request,
    known: &mut Known,
) -> Result<Vec<DiagnosticReport>> {
    let growth = row.growth_per_step.map(|growth| growth.0);
    let asked = (analysis, solver, unit);
    let found = of_analysis((asked, row.max_learning_rate.0), growth, row.training, request, known)?;
    Ok(of_criteria(row).chain(found).collect())
}

/// What all diagnostics say of a threshold, batches being drawn afresh; no criteria.
pub(crate) fn of_threshold(
    asked: ((&MeanSquare, &mut ThresholdSolver, f64), f64),
    batch_size: usize,
    request: &Request,
    known: &mut Known,
) -> Result<Vec<DiagnosticReport>> {
    let optimizer = Optimizer::sgd();
    let training = Training { optimizer, batch_size, sampling: request.sampling, last_batch: None };
    of_analysis(asked, None, training, request, known)
}

fn of_analysis(
    ((analysis, solver, unit), exact): ((&MeanSquare, &mut ThresholdSolver, f64), f64),
    growth: Option<f64>,
    training: Training,
    request: &Request,
    known: &mut Known,
) -> Result<Vec<DiagnosticReport>> {
    let seen = analysis.effective_ensemble();
    let shared = match known.iter().find(|shared| shared.is_of(seen)) {
        Some(shared) => Rc::clone(shared),
        None => Rc::new(Shared::of(seen)),
    };
    let mut subject = Subject::new(analysis, exact * unit)
        .at(request.learning_rate.map(|rate| rate * unit))
        .growing(growth)
        .with_seed(request.seed)
        .solving_with(solver)
        .sharing(&shared)?;
    if let Some(residuals) = &request.residuals {
        let squared = request.loss.is_none_or(Loss::is_squared_error);
        subject = subject.with_coefficients(residuals)?.of_squared_error(squared);
    }
    let found = diagnose(&subject)?.into_iter().map(|finding| report(finding, unit, training)).collect();
    if !known.iter().any(|own| Rc::ptr_eq(own, &shared)) {
        known.push(shared);
    }
    Ok(found)
}

/// The published criteria of a row as diagnostics.
pub(crate) fn of_criteria(row: &StabilityReport) -> impl Iterator<Item = DiagnosticReport> {
    row.criteria.iter().map(|criterion| of_criterion(criterion, row.training))
}

/// A published criterion as a diagnostic: it has a learning rate and no number of its own.
fn of_criterion((name, criterion): (&String, &CriterionReport), training: Training) -> DiagnosticReport {
    let claims = CRITERIA.iter().find(|row| row.name == name).map_or(Claims::Nothing, |row| row.claim.into());
    let assumption = |(name, holds): (&String, &bool)| AssumptionReport { name: name.clone(), holds: *holds };
    DiagnosticReport {
        name: name.replace('-', "_"),
        value: None,
        standard_error: None,
        claims: claims.name().to_owned(),
        learning_rate: criterion.max_learning_rate,
        ratio_to_exact: criterion.slack,
        assumptions: criterion.assumptions.iter().map(assumption).collect(),
        optimizer: training.optimizer,
        batch_size: training.batch_size,
        curvature: CURVATURE.to_owned(),
    }
}

fn report(finding: Finding, unit: f64, training: Training) -> DiagnosticReport {
    let quantity = DIAGNOSTICS.iter().find(|row| row.name == finding.name).map(|row| row.quantity);
    let in_units = if quantity == Some(Quantity::Curvature) { unit } else { 1.0 };
    let measured = finding.measured;
    DiagnosticReport {
        name: finding.name.to_owned(),
        value: measured.value.map(|value| value * in_units),
        standard_error: measured.standard_error.map(|error| error * in_units),
        claims: finding.claims.name().to_owned(),
        learning_rate: measured.learning_rate.filter(|rate| rate.is_finite()).map(|rate| rate / unit),
        ratio_to_exact: finding.ratio_to_exact,
        assumptions: finding
            .conditions
            .into_iter()
            .map(|(name, holds)| AssumptionReport { name: name.to_owned(), holds })
            .collect(),
        optimizer: training.optimizer,
        batch_size: training.batch_size,
        curvature: CURVATURE.to_owned(),
    }
}
