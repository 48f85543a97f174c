//! Over batches: bounds on the worst, means over random ones.

use linstab_dynamics::SamplingScheme;
use linstab_dynamics::sampling::BatchSampler;
use linstab_linalg::lanczos::{self, Explicit, LanczosOptions};
use linstab_linalg::{Mat, symmetric};
use rand_pcg::Pcg64;

use super::{Claims, Diagnostic, Measured, Quantity, Subject};
use crate::Result;

/// Batches at most and at least, and multiplications that they may take together.
const MOST_BATCHES: usize = 400;
const LEAST_BATCHES: usize = 30;
const BUDGET: f64 = 3e8;
/// A product of a matrix and a vector for each iteration of an eigenvalue.
const ITERATIONS: f64 = 20.0;
/// Up to this order eigenvalues are computed directly.
const DIRECT: usize = 48;

pub(super) const WORST_BATCH: Diagnostic = Diagnostic {
    name: "worst_batch",
    source: "min((n/B) lambda_max(H), mean of the B largest lambda_max(H_i)), which no batch's curvature exceeds, against 2 / eta: below, no step \
             enlarges anything (after Mulayoff and Stich 2026)",
    quantity: Quantity::Curvature,
    claims: Claims::Sufficient,
    conditions: &[],
    measure: |subject| {
        let sampling = subject.analysis().sampling();
        if !subject.is_sgd() || sampling.scheme() == SamplingScheme::Bernoulli {
            return Ok(None);
        }
        let (n, batch_size) = (sampling.num_samples(), sampling.batch_size());
        let mut sharpness = sample_sharpness(subject)?;
        sharpness.sort_unstable_by(|x, y| y.total_cmp(x));
        // Draws with replacement may take one sample again and again.
        let value = if sampling.scheme() == SamplingScheme::WithReplacement {
            sharpness[0]
        } else {
            let mean = sharpness.iter().take(batch_size).sum::<f64>() / batch_size as f64;
            mean.min(n as f64 / batch_size as f64 * subject.ensemble().mean_eigenvalues()[0])
        };
        Ok(Some(Measured::against_two_over_eta(Some(value))))
    },
};

pub(super) const MEAN_BATCH_SHARPNESS: Diagnostic = Diagnostic {
    name: "mean_batch_sharpness",
    source: "E lambda_max(H_B) against 2 / eta (Andreyev and Beneventano 2024, first version)",
    quantity: Quantity::Curvature,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let gram = subject.gram()?;
        let values = over_batches(subject, |rows, batch_size| {
            let block = Mat::from_fn(rows.len(), rows.len(), |i, j| gram[(rows[i], rows[j])] / batch_size);
            if rows.is_empty() { Ok((0.0, 1.0)) } else { top_eigenvalue(block).map(|value| (value, 1.0)) }
        })?;
        Ok(Some(mean_of(&values)))
    },
};

pub(super) const BATCH_SHARPNESS: Diagnostic = Diagnostic {
    name: "batch_sharpness",
    source: "E (g_B^T H_B g_B / |g_B|^2) against 2 / eta (Andreyev and Beneventano 2024)",
    quantity: Quantity::Curvature,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        let Some(values) = along_gradients(subject)? else { return Ok(None) };
        // Batches without gradient have no quotient.
        let quotients: Vec<(f64, f64)> =
            values.iter().filter(|pair| pair.1 > 0.0).map(|pair| (pair.0 / pair.1, 1.0)).collect();
        Ok(Some(if quotients.len() < 2 { Measured::default() } else { mean_of(&quotients) }))
    },
};

pub(super) const BATCH_SHARPNESS_OF_MEANS: Diagnostic = Diagnostic {
    name: "batch_sharpness_of_means",
    source: "E g_B^T H_B g_B / E |g_B|^2 against 2 / eta (Andreyev and Beneventano 2024, the variant)",
    quantity: Quantity::Curvature,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        let Some(values) = along_gradients(subject)? else { return Ok(None) };
        Ok(Some(if values.iter().any(|pair| pair.1 > 0.0) { mean_of(&values) } else { Measured::default() }))
    },
};

/// `g_B^T H_B g_B` and `|g_B|^2` of random batches; none without coefficients.
fn along_gradients(subject: &Subject<'_>) -> Result<Option<Vec<(f64, f64)>>> {
    let (Some(coefficients), true) = (subject.coefficients(), subject.is_sgd()) else { return Ok(None) };
    let gram = subject.gram()?;
    let values = over_batches(subject, |rows, batch_size| {
        let inner = |i: usize| rows.iter().map(|&j| gram[(i, j)] * coefficients[j]).sum::<f64>() / batch_size;
        let along: Vec<f64> = rows.iter().map(|&i| inner(i)).collect();
        let curvature = along.iter().map(|x| x * x).sum::<f64>() / batch_size;
        let square = rows.iter().zip(&along).map(|(&i, x)| coefficients[i] * x).sum::<f64>() / batch_size;
        Ok((curvature, square.max(0.0)))
    })?;
    Ok(Some(values))
}

/// What random batches have to say; each is given by the rows of its factors (with repetitions where drawn so) and its nominal size.
fn over_batches(
    subject: &Subject<'_>,
    mut say: impl FnMut(&[usize], f64) -> Result<(f64, f64)>,
) -> Result<Vec<(f64, f64)>> {
    let sampling = subject.analysis().sampling();
    let (k, batch_size) = (subject.ensemble().num_factors(), sampling.batch_size());
    let cost = ITERATIONS * ((k * batch_size) as f64).powi(2);
    let affordable = (BUDGET / cost).min(MOST_BATCHES as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 400")]
    let num_batches = (affordable as usize).max(LEAST_BATCHES);
    let mut sampler = BatchSampler::<Box<[u64]>>::new(sampling);
    let mut rng = Pcg64::new(u128::from(subject.seed()), BATCH_STREAM);
    let mut batch = Vec::new();
    let mut values = Vec::with_capacity(num_batches);
    for _ in 0..num_batches {
        sampler.draw_indices(&mut rng, &mut batch);
        let rows: Vec<usize> = batch.iter().flat_map(|&i| i * k..(i + 1) * k).collect();
        values.push(say(&rows, batch_size as f64)?);
    }
    Ok(values)
}

/// Streams below are those of chains and populations.
const BATCH_STREAM: u128 = 1 << 65;

/// The ratio of means of pairs, with its standard error to first order.
fn mean_of(pairs: &[(f64, f64)]) -> Measured {
    let n = pairs.len() as f64;
    let (over, under) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let value = over / under;
    let squares: f64 = pairs.iter().map(|pair| (pair.0 - value * pair.1).powi(2)).sum();
    let standard_error = (squares / (n * (n - 1.0))).sqrt() / (under / n);
    Measured { standard_error: Some(standard_error), ..Measured::against_two_over_eta(Some(value)) }
}

fn sample_sharpness(subject: &Subject<'_>) -> Result<Vec<f64>> {
    let (k, factors) = (subject.ensemble().num_factors(), subject.ensemble().factors());
    (0..subject.ensemble().num_samples())
        .map(|sample| {
            let own = factors.subrows(sample * k, k);
            top_eigenvalue(own * own.transpose())
        })
        .collect()
}

/// The largest eigenvalue of a positive semidefinite matrix.
pub(super) fn top_eigenvalue(matrix: Mat<f64>) -> Result<f64> {
    if matrix.nrows() <= DIRECT || matrix.norm_max() <= 0.0 {
        return Ok(symmetric::top_eigenvalue(matrix.as_ref())?);
    }
    let start: Vec<f64> = (0..matrix.nrows()).map(|i| matrix[(i, i)] + matrix[(i, 0)]).collect();
    let options = LanczosOptions { residual_rtol: 1e-6, value_rtol: 1e-10, ..LanczosOptions::default() };
    Ok(lanczos::top_eigenpair(&mut Explicit(matrix), &start, options)?.value)
}
