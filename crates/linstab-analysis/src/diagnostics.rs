//! Diagnostics of the literature, as the report has them.

use linstab_coherence::diagnostics::{DIAGNOSTICS, Finding, Quantity, Subject, diagnose};
use linstab_dynamics::MeanSquare;

use crate::report::{AssumptionReport, DiagnosticReport, Training};
use crate::{Request, Result};

/// What all diagnostics say of one training, whose analysis and exact threshold are in units in which a curvature of 1 is `unit`.
pub(crate) fn of_training(
    (analysis, exact, unit): (&MeanSquare, f64, f64),
    request: &Request,
    training: Training,
) -> Result<Vec<DiagnosticReport>> {
    let rate = request.learning_rate.map(|rate| rate * unit);
    let mut subject = Subject::new(analysis, exact).at(rate).with_seed(request.seed);
    if let Some(residuals) = &request.residuals {
        subject = subject.with_coefficients(residuals)?;
    }
    Ok(diagnose(&subject)?.into_iter().map(|finding| report(finding, unit, training)).collect())
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
        curvature: "Gauss-Newton".to_owned(),
    }
}
