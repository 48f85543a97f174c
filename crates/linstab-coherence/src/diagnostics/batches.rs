//! Over batches: bounds on the worst, means over random ones.

use linstab_dynamics::sampling::BatchSampler;
use linstab_linalg::Mat;
use rand_pcg::Pcg64;

use super::shared::top_eigenvalue;
use super::{Claims, Diagnostic, Measured, Quantity, Subject};
use crate::Result;

/// Batches at most and at least, and multiplications that they may take together.
const MOST_BATCHES: usize = 400;
const LEAST_BATCHES: usize = 30;
const BUDGET: f64 = 3e8;
/// A product of a matrix and a vector for each iteration of an eigenvalue.
const ITERATIONS: f64 = 20.0;

pub(super) const WORST_BATCH: Diagnostic = Diagnostic {
    name: "worst_batch",
    title: "sharpest batch",
    source: "min((n/B) lambda_max(H), mean of the B largest lambda_max(H_i)), which no batch's curvature exceeds, against 2 / eta: below, no step \
             enlarges anything (after Mulayoff and Stich 2026)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Sufficient,
    conditions: &[],
    measure: |subject| {
        let sampling = subject.analysis().sampling();
        if !subject.is_sgd() || !sampling.scheme().has_fixed_batch_size() {
            return Ok(None);
        }
        let (n, batch_size) = (sampling.num_samples(), sampling.batch_size());
        let mut sharpness: Vec<f64> = subject.shared().tops()?.iter().map(|top| top.0).collect();
        sharpness.sort_unstable_by(|x, y| y.total_cmp(x));
        // Draws that are no sets may take one sample again and again.
        let value = if sampling.scheme().draws_sets() {
            let mean = sharpness.iter().take(batch_size).sum::<f64>() / batch_size as f64;
            mean.min(n as f64 / batch_size as f64 * subject.ensemble().mean_eigenvalues()[0])
        } else {
            sharpness[0]
        };
        Ok(Some(Measured::against_two_over_eta(Some(value))))
    },
};

pub(super) const MEAN_BATCH_SHARPNESS: Diagnostic = Diagnostic {
    name: "mean_batch_sharpness",
    title: "mean sharpness of batches",
    source: "E lambda_max(H_B) against 2 / eta (Andreyev and Beneventano 2024, first version)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let gram = subject.shared().gram()?;
        let values = over_batches(subject, |rows, batch_size| {
            let block = Mat::from_fn(rows.len(), rows.len(), |i, j| gram[(rows[i], rows[j])] / batch_size);
            if rows.is_empty() { Ok((0.0, 1.0)) } else { top_eigenvalue(&block).map(|value| (value, 1.0)) }
        })?;
        Ok(Some(mean_of(&values)))
    },
};

pub(super) const BATCH_SHARPNESS: Diagnostic = Diagnostic {
    name: "batch_sharpness",
    title: "batch sharpness",
    source: "E (g_B^T H_B g_B / |g_B|^2) against 2 / eta (Andreyev and Beneventano 2024)",
    quantity: Quantity::Curvature,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        let Some(values) = of_sgd(subject)? else { return Ok(None) };
        // Batches without gradient have no quotient.
        let quotients: Vec<(f64, f64)> =
            values.iter().filter(|pair| pair.1 > 0.0).map(|pair| (pair.0 / pair.1, 1.0)).collect();
        Ok(Some(if quotients.len() < 2 { Measured::default() } else { mean_of(&quotients) }))
    },
};

pub(super) const BATCH_SHARPNESS_OF_MEANS: Diagnostic = Diagnostic {
    name: "batch_sharpness_of_means",
    title: "batch sharpness (ratio of means)",
    source: "E g_B^T H_B g_B / E |g_B|^2 against 2 / eta (Andreyev and Beneventano 2024, the variant)",
    quantity: Quantity::Curvature,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        let Some(values) = of_sgd(subject)? else { return Ok(None) };
        Ok(Some(if values.iter().any(|pair| pair.1 > 0.0) { mean_of(&values) } else { Measured::default() }))
    },
};

pub(super) const MOMENTUM_BATCH_SHARPNESS: Diagnostic = Diagnostic {
    name: "momentum_batch_sharpness",
    title: "momentum batch sharpness",
    source: "E s^T H_B s / E s^T g_B with the step s = g_B + beta v against 2 / eta (after Andreyev et al. 2026), the velocity v being that of independent \
             batches at parameters held in place; without noise it is sharpness over 1 - beta",
    quantity: Quantity::Curvature,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        // Without momentum it is the variant of batch sharpness above.
        let with_momentum = subject.heavy_ball().is_some_and(|beta| beta.abs() > 0.0);
        let Some(values) = along_gradients(subject)?.filter(|_| with_momentum) else { return Ok(None) };
        let pairs: Vec<(f64, f64)> =
            values.iter().map(|batch| (batch.step_curvature, batch.descent)).collect();
        let descends = pairs.iter().map(|pair| pair.1).sum::<f64>() > 0.0;
        Ok(Some(if descends { mean_of(&pairs) } else { Measured::default() }))
    },
};

/// What the gradient of a batch says of its own curvature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Along {
    /// `g_B^T H_B g_B`.
    curvature: f64,
    /// `|g_B|^2`.
    square: f64,
    /// `E_v s^T H_B s` with the step `s = g_B + beta v`.
    step_curvature: f64,
    /// `E_v s^T g_B`.
    descent: f64,
}

/// Of the velocity at parameters held in place, one entry a factor.
struct Velocity {
    beta: f64,
    /// `f^T E v`.
    mean: Vec<f64>,
    /// `f^T E (v v^T) f`.
    square: Vec<f64>,
}

impl Velocity {
    /// `v = sum_j beta^(j - 1) g_(B_j)` over earlier batches: its mean is `g / (1 - beta)`, its covariance that of a batch over `1 - beta^2`.
    fn of(subject: &Subject<'_>, coefficients: &[f64], gram: &Mat<f64>) -> Self {
        let (beta, k) = (subject.heavy_ball().unwrap_or(0.0), subject.ensemble().num_factors());
        let (rows, n) = (gram.nrows(), subject.ensemble().num_samples() as f64);
        // Inner products with the gradient of each sample, and of all.
        let (mut mean, mut square) = (vec![0.0; rows], vec![0.0; rows]);
        let mut with_sample = vec![0.0; rows];
        for sample in 0..rows / k {
            with_sample.fill(0.0);
            for (row, weight) in coefficients.iter().enumerate().skip(sample * k).take(k) {
                let column = gram.col_as_slice(row);
                with_sample.iter_mut().zip(column).for_each(|(sum, entry)| *sum += weight * entry);
            }
            for (at, x) in with_sample.iter().enumerate() {
                mean[at] += x / n;
                square[at] += x * x / n;
            }
        }
        let weights = subject.weights();
        for (mean, square) in mean.iter_mut().zip(&mut square) {
            let covariance = (weights.full_batch - 1.0) * *mean * *mean + weights.per_sample * *square;
            *mean /= 1.0 - beta;
            *square = *mean * *mean + covariance / (1.0 - beta * beta);
        }
        Self { beta, mean, square }
    }
}

/// What gradients of random batches have to say; none without coefficients, or for other rules than heavy ball.
fn along_gradients<'a>(subject: &'a Subject<'_>) -> Result<Option<&'a Vec<Along>>> {
    let (Some(coefficients), true) = (subject.coefficients(), subject.heavy_ball().is_some()) else {
        return Ok(None);
    };
    let draw = || {
        let gram = subject.shared().gram()?;
        let velocity = Velocity::of(subject, coefficients, gram);
        let mut own = vec![0.0; gram.nrows()];
        over_batches(subject, |rows, batch_size| {
            own.fill(0.0);
            for &row in rows {
                let (column, weight) = (gram.col_as_slice(row), coefficients[row] / batch_size);
                own.iter_mut().zip(column).for_each(|(sum, entry)| *sum += weight * entry);
            }
            let Velocity { beta, mean, square } = &velocity;
            let over =
                |term: &dyn Fn(usize) -> f64| rows.iter().map(|&row| term(row)).sum::<f64>() / batch_size;
            let curvature = over(&|row| own[row] * own[row]);
            let norm = over(&|row| coefficients[row] * own[row]).max(0.0);
            let crossed = over(&|row| 2.0 * beta * own[row] * mean[row] + beta * beta * square[row]);
            let ahead = beta * over(&|row| coefficients[row] * mean[row]);
            Ok(Along { curvature, square: norm, step_curvature: curvature + crossed, descent: norm + ahead })
        })
    };
    subject.along(draw).map(Some)
}

/// `g_B^T H_B g_B` and `|g_B|^2` of random batches; none without coefficients.
fn of_sgd(subject: &Subject<'_>) -> Result<Option<Vec<(f64, f64)>>> {
    let values = along_gradients(subject)?.filter(|_| subject.is_sgd());
    Ok(values.map(|values| values.iter().map(|batch| (batch.curvature, batch.square)).collect()))
}

/// What random batches have to say; each is given by the rows of its factors (with repetitions where drawn so) and its nominal size.
fn over_batches<T>(subject: &Subject<'_>, mut say: impl FnMut(&[usize], f64) -> Result<T>) -> Result<Vec<T>> {
    let sampling = subject.analysis().sampling();
    let (k, batch_size) = (subject.ensemble().num_factors(), sampling.batch_size());
    let cost = ITERATIONS * ((k * batch_size) as f64).powi(2);
    let affordable = (BUDGET / cost).min(MOST_BATCHES as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 400")]
    let num_batches = (affordable as usize).max(LEAST_BATCHES);
    let (mut sampler, mut rng) = sampler(subject);
    let mut batch = Vec::new();
    let mut values = Vec::with_capacity(num_batches);
    for _ in 0..num_batches {
        sampler.draw_indices(&mut rng, &mut batch);
        let rows: Vec<usize> = batch.iter().flat_map(|&i| i * k..(i + 1) * k).collect();
        values.push(say(&rows, batch_size as f64)?);
    }
    Ok(values)
}

/// The draws of a subject, from their start.
pub(super) fn sampler(subject: &Subject<'_>) -> (BatchSampler<Box<[u64]>>, Pcg64) {
    let rng = Pcg64::new(u128::from(subject.seed()), BATCH_STREAM);
    (BatchSampler::new(subject.analysis().sampling()), rng)
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
