//! Parts of an analysis by themselves: the coherence of the samples, and growth over batch sizes and learning rates.

use linstab_coherence::FactorCoherence;
use linstab_dynamics::sampling::Loader;

use crate::analysis::in_units;
use crate::answer::of_population;
use crate::observer::{Observer, Stage, advance};
use crate::range::{Scaled, Seen};
use crate::{AnalysisError, Grams, Request, Result, Sizes};

/// The coherence of samples, in the units of the factors.
#[derive(Clone, Debug, PartialEq)]
pub struct CoherenceView {
    /// `S_ij`, the Frobenius norm of `H_i^(1/2) H_j^(1/2)`: (num_samples, num_samples), row by row.
    pub matrix: Vec<f64>,
    /// Its largest eigenvalue.
    pub lambda_max_s: f64,
    /// That over the largest sharpness of a sample.
    pub sigma: f64,
    /// `n lambda_1` and `n |H|_F`, between which the eigenvalue lies.
    pub lambda_max_s_bounds: (f64, f64),
    /// Largest eigenvalue of the curvature of each sample.
    pub sample_sharpness: Vec<f64>,
    /// The group of each sample, from 0: groups are connected by pairs of at least a coherence.
    pub blocks: Vec<usize>,
}

/// The coherence of samples; `connected` is the share of the geometric mean of `S_ii` and `S_jj` from which a pair is of one block.
///
/// # Errors
/// [`AnalysisError::Coherence`] without curvature; [`AnalysisError::OutOfRange`]; [`AnalysisError::Option`] unless `connected` is from 0 to 1.
pub fn coherence(grams: Grams<'_>, sizes: Sizes, connected: f64) -> Result<CoherenceView> {
    if !(0.0..=1.0).contains(&connected) {
        let (name, value) = ("connected".to_owned(), connected.to_string());
        return Err(AnalysisError::Option { name, value, allowed: "from 0 to 1".to_owned() });
    }
    let Scaled { ensemble, unit, .. } = Scaled::from_gram(grams.plain, sizes, crate::TOLERANCE)?;
    let found = FactorCoherence::of(&ensemble)?;
    let n = sizes.num_samples;
    let mut blocks = vec![0; n];
    for (block, members) in found.blocks(connected).iter().enumerate() {
        for &sample in members {
            blocks[sample] = block;
        }
    }
    Ok(CoherenceView {
        matrix: (0..n * n).map(|place| found.matrix[(place / n, place % n)] * unit).collect(),
        lambda_max_s: found.top_eigenvalue * unit,
        sigma: found.measure,
        lambda_max_s_bounds: (found.bounds.0 * unit, found.bounds.1 * unit),
        sample_sharpness: found.sample_sharpness.iter().map(|sharpness| sharpness * unit).collect(),
        blocks,
    })
}

/// Growth per step of the mean square, for the first optimizer of a request: a row for each batch size, a column for each learning rate.
///
/// # Errors
/// As [`crate::analyse`]; [`AnalysisError::Option`] for loaders that go through the samples in epochs and for ascent on the mini-batch, whose
/// growth is estimated point by point.
pub fn growth_map(
    grams: Grams<'_>,
    sizes: Sizes,
    (request, learning_rates): (&Request, &[f64]),
    observer: &dyn Observer,
) -> Result<Vec<Vec<f64>>> {
    request.check(sizes.num_samples)?;
    let refuse = |name: &str, value: String, allowed: &str| {
        Err(AnalysisError::Option { name: name.to_owned(), value, allowed: allowed.to_owned() })
    };
    let Loader::Independent(scheme) = request.sampling else {
        return refuse("sampling", request.sampling.name().to_owned(), "batches drawn afresh");
    };
    let Some(&optimizer) = request.optimizers.first() else {
        return refuse("optimizer", "none".to_owned(), "one of them");
    };
    if optimizer.batch_ascent().is_some() {
        return refuse("optimizer", optimizer.to_string(), "without ascent on the mini-batch");
    }
    if let Some(rate) = learning_rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
        return refuse("learning_rate", rate.to_string(), "positive and finite");
    }
    let mut seen = Seen::from_grams(grams, sizes, request.tolerance)?.with_interrupt(&observer.interrupt());
    let scaled = seen.by(optimizer)?;
    let optimizer = in_units(optimizer, scaled)?;
    let Scaled { ensemble, unit, solver } = scaled;
    let total = request.batch_sizes.len() * learning_rates.len();
    let mut rows = Vec::with_capacity(request.batch_sizes.len());
    for &batch_size in &request.batch_sizes {
        let analysis = of_population(ensemble, optimizer, (scheme, batch_size), request.population)?;
        let mut row = Vec::with_capacity(learning_rates.len());
        for &rate in learning_rates {
            row.push(solver.growth_per_step(&analysis, rate * *unit)?);
            advance(observer, Stage::Thresholds, rows.len() * learning_rates.len() + row.len(), total)?;
        }
        rows.push(row);
    }
    Ok(rows)
}
