//! Coherence by its definition, and whole reports: what they claim must agree with what they prove.

use linstab_analysis::{AnalysisError, Grams, Request, Sizes, analyse};
use linstab_coherence::FactorCoherence;
use linstab_linalg::{Ensemble as _, Mat, symmetric};

use super::shapes::Subject;
use super::{Verdict, hold};
use crate::random::Random;

/// `S_ij = sqrt(tr(H_i H_j))` of dense matrices, its largest eigenvalue, and that over the largest sharpness.
pub(super) fn measure(subject: &Subject, _: &mut Random) -> Verdict {
    let reduced = subject.reduced()?;
    let n = subject.sampling.num_samples();
    let hessians: Vec<Mat<f64>> = (0..n).map(|sample| subject.twin.sample_hessian(sample)).collect();
    let trace = |i: usize, j: usize| {
        let product = &hessians[i] * &hessians[j];
        (0..subject.dim()).map(|a| product[(a, a)]).sum::<f64>()
    };
    let matrix = Mat::from_fn(n, n, |i, j| trace(i, j).max(0.0).sqrt());
    let top = |matrix: &Mat<f64>| {
        symmetric::eigenpairs(matrix.as_ref()).map(|(values, _)| values[values.len() - 1])
    };
    let largest = top(&matrix).map_err(|error| error.to_string())?;
    let sharpness =
        hessians.iter().map(top).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let sharpest = sharpness.into_iter().fold(0.0, f64::max);
    if sharpest <= 0.0 {
        return Ok(false);
    }
    let found = FactorCoherence::of(&reduced).map_err(|error| error.to_string())?;
    hold("the largest sharpness", found.max_sample_sharpness / subject.curvature_unit(), sharpest, 1e-9)?;
    // Roots of traces of products that are zero to rounding are 1e-8.
    hold("sigma", found.measure, largest / sharpest, 1e-6)?;
    Ok(true)
}

/// A report is made, or refused in a line; criteria claim nothing that thresholds disprove.
pub(super) fn report(subject: &Subject, random: &mut Random) -> Verdict {
    let ensemble = subject.in_units(&subject.ensemble);
    let rows = ensemble.rows();
    let gram = rows * rows.transpose();
    let (num_samples, num_factors) = (subject.sampling.num_samples(), ensemble.num_factors());
    let sizes = Sizes { num_samples, num_factors, num_parameters: Some(subject.dim()) };
    let batch_sizes = (1..=num_samples).collect();
    let sharpest = (0..gram.nrows()).map(|i| gram[(i, i)]).fold(0.0, f64::max);
    let learning_rate = (sharpest > 0.0).then(|| random.between(0.05, 3.0) / sharpest);
    let request = Request { batch_sizes, learning_rate, diagnostics: true, ..Request::default() };
    let grams = Grams { plain: gram.as_ref(), preconditioned: None };
    let report = match analyse(grams, sizes, &request) {
        Ok(findings) => findings.report,
        Err(error @ AnalysisError::OutOfRange { .. }) => {
            return Err(format!("refused within the range: {error}"));
        }
        Err(error) => return Err(error.to_string()),
    };
    for line in &report.stability {
        let (rate, (low, high)) = (line.max_learning_rate.0, line.max_learning_rate_interval);
        if !(low.0 <= rate && rate <= high.0 && rate > 0.0) {
            return Err(format!("{rate:e} is not in {:e} to {:e}", low.0, high.0));
        }
        for (name, criterion) in line.criteria.iter().filter(|(_, criterion)| criterion.applies) {
            let Some(switch) = criterion.max_learning_rate else { continue };
            let wrong = match criterion.claim.as_str() {
                "diverges-above" => switch < low.0 * (1.0 - 1e-8),
                "converges-below" => switch > high.0 * (1.0 + 1e-8),
                _ => false,
            };
            if wrong {
                return Err(format!("{name} {} {switch:e}, the threshold is {rate:e}", criterion.claim));
            }
        }
        if let (Some(stable), Some(growth)) = (line.stable, line.growth_per_step)
            && (growth.0 - 1.0).abs() > 1e-7
            && stable != (growth.0 < 1.0)
        {
            return Err(format!("stable: {stable}, growth {}", growth.0));
        }
    }
    for diagnostic in &report.diagnostics {
        let line = report.stability.iter().find(|line| {
            line.training.batch_size == diagnostic.batch_size
                && line.training.optimizer == diagnostic.optimizer
        });
        let (Some(line), Some(switch)) = (line, diagnostic.learning_rate) else { continue };
        let (low, high) = line.max_learning_rate_interval;
        let holds = diagnostic.assumptions.iter().all(|assumption| assumption.holds);
        let wrong = match diagnostic.claims.as_str() {
            "necessary" => switch < low.0 * (1.0 - 1e-6),
            "sufficient" => switch > high.0 * (1.0 + 1e-6),
            _ => false,
        };
        if holds && wrong {
            return Err(format!(
                "{} is {}, {switch:e}, the threshold is {:e}",
                diagnostic.name, diagnostic.claims, line.max_learning_rate.0
            ));
        }
    }
    // The text of the report can be read again, and is the same.
    let text = serde_json::to_value(&report).map_err(|error| error.to_string())?;
    let again: linstab_analysis::Report =
        serde_json::from_value(text.clone()).map_err(|error| error.to_string())?;
    match serde_json::to_value(&again) {
        Ok(again) if again == text => Ok(true),
        _ => Err("a report that is not the same when it is read".to_owned()),
    }
}
