//! From curvatures alone.

use linstab_dynamics::mean_square::NecessaryConditions;
use linstab_linalg::{Mat, packed, spread};

use super::batches::top_eigenvalue;
use super::{Claims, Condition, Diagnostic, Measured, Quantity, Subject};
use crate::Result;

pub(super) const SHARPNESS: Diagnostic = Diagnostic {
    name: "sharpness",
    source: "lambda_max(H) against the full batch's limit, 2 / eta for gradient descent, 2 (1 + beta) / eta with heavy ball, (2 + 2 beta1) / \
             ((1 - beta1) eta) of the preconditioned curvature for Adam (Cohen et al. 2021, 2022)",
    quantity: Quantity::Curvature,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| {
        let value = subject.ensemble().mean_eigenvalues().first().copied();
        let limit = subject.analysis().gradient_descent_limit();
        Ok(Some(Measured { value, standard_error: None, learning_rate: Some(limit) }))
    },
};

pub(super) const SHARPEST_DIRECTION: Diagnostic = Diagnostic {
    name: "sharpest_direction",
    source: "2 q / (q^2 + s^2) with mean q and batch variance s^2 along the sharpest direction (Mulayoff and Michaeli 2024, eq. 15)",
    quantity: Quantity::Curvature,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, |bounds| bounds.sharpest_direction),
};

pub(super) const TRACE: Diagnostic = Diagnostic {
    name: "trace_bound",
    source: "2 tr H / tr E H_B^2, all directions alike (Mulayoff and Michaeli 2024, eq. 16)",
    quantity: Quantity::Curvature,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, |bounds| bounds.trace),
};

pub(super) const WORST_DIRECTION: Diagnostic = Diagnostic {
    name: "worst_direction",
    source: "2 q / (q^2 + s^2) along the worst direction that an ascent finds (Mulayoff and Michaeli 2024, eq. 24)",
    quantity: Quantity::Curvature,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, |bounds| bounds.worst_direction),
};

pub(super) const TRACE_OF_RANK_ONE: Diagnostic = Diagnostic {
    name: "trace_of_rank_one",
    source: "tr H against 2 / (b eta): the trace bound of samples of rank one, by Jensen's inequality (after Wu and Su 2023, whose constants were \
             not to be had)",
    quantity: Quantity::Curvature,
    claims: Claims::Necessary,
    conditions: &[(Condition::RankOneSamples, |subject| subject.ensemble().num_factors() == 1)],
    measure: |subject| {
        let per_sample = subject.weights().per_sample;
        if !subject.is_sgd() || per_sample <= 0.0 {
            return Ok(None);
        }
        let trace: f64 = subject.ensemble().mean_eigenvalues().iter().sum();
        let learning_rate = Some(2.0 / (per_sample * trace));
        Ok(Some(Measured { value: Some(trace), standard_error: None, learning_rate }))
    },
};

pub(super) const NON_UNIFORMITY: Diagnostic = Diagnostic {
    name: "non_uniformity",
    source: "lambda_max(mean H_i^2 - H^2)^(1/2) against 1 / (eta sqrt b) (Wu, Ma and E 2018): what second-moment contraction needs at least",
    quantity: Quantity::Curvature,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let h = subject.ensemble().mean_eigenvalues();
        let mut variance = mean_square(subject);
        for (a, h) in h.iter().enumerate() {
            variance[(a, a)] -= h * h;
        }
        let value = top_eigenvalue(variance)?.max(0.0).sqrt();
        let per_sample = subject.weights().per_sample;
        let limit = (value * per_sample.sqrt()).recip();
        Ok(Some(Measured {
            value: Some(value),
            standard_error: None,
            learning_rate: Some(limit).filter(|x| x.is_finite()),
        }))
    },
};

pub(super) const SECOND_MOMENT_CONTRACTION: Diagnostic = Diagnostic {
    name: "second_moment_contraction",
    source: "lambda_max(H^(-1/2) E H_B^2 H^(-1/2)) against 2 / eta: no step enlarges a mean square in any direction (Wu, Ma and E 2018)",
    quantity: Quantity::Curvature,
    claims: Claims::Sufficient,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let (h, weights) = (subject.ensemble().mean_eigenvalues(), subject.weights());
        let mean_square = mean_square(subject);
        let scaled = Mat::from_fn(h.len(), h.len(), |a, b| {
            let own = if a == b { weights.full_batch * h[a] } else { 0.0 };
            own + weights.per_sample * mean_square[(a, b)] / (h[a] * h[b]).sqrt()
        });
        Ok(Some(Measured::against_two_over_eta(Some(top_eigenvalue(scaled)?))))
    },
};

pub(super) const NOISE_KERNEL_NORM: Diagnostic = Diagnostic {
    name: "noise_kernel_norm",
    source: "spectral radius of (1 - A)^-1 eta^2 N, A and N the second-moment maps of the full batch and of the noise: below 1 exactly where the \
             mean square decays (after Agarwala and Pennington 2024)",
    quantity: Quantity::Pure,
    claims: Claims::Exact,
    conditions: &[(Condition::FullBatchStable, below_the_limit)],
    measure: |subject| {
        let Some(eta) = subject.learning_rate().filter(|_| subject.is_sgd() && below_the_limit(subject))
        else {
            return Ok(None);
        };
        let norm = subject.analysis().noise_kernel_norm(eta)?;
        Ok(Some(Measured { value: Some(norm), standard_error: None, learning_rate: Some(subject.exact()) }))
    },
};

pub(super) const NOISE_KERNEL_NORM_ISOTROPIC: Diagnostic = Diagnostic {
    name: "noise_kernel_norm_isotropic",
    source: "(eta / B) sum_a h_a / (2 - eta h_a) against 1: the noise kernel norm of samples without preferred directions (Agarwala and Pennington \
             2024; normalisation ours, their text was not to be had)",
    quantity: Quantity::Pure,
    claims: Claims::Estimate,
    conditions: &[(Condition::FullBatchStable, below_the_limit)],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let h = subject.ensemble().mean_eigenvalues();
        let batch_size = subject.analysis().sampling().batch_size() as f64;
        let norm = |eta: f64| eta / batch_size * h.iter().map(|h| h / (2.0 - eta * h)).sum::<f64>();
        // It rises from 0 to infinity up to the full batch's limit.
        let (mut low, mut high) = (0.0, 2.0 / h[0]);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if norm(middle) < 1.0 { low = middle } else { high = middle }
        }
        let value = subject.learning_rate().filter(|_| below_the_limit(subject)).map(norm);
        Ok(Some(Measured { value, standard_error: None, learning_rate: Some(low) }))
    },
};

fn below_the_limit(subject: &Subject<'_>) -> bool {
    subject.learning_rate().is_none_or(|eta| eta < subject.analysis().gradient_descent_limit())
}

/// A bound on the learning rate; the value is what is compared with `2 / eta`.
fn bound(subject: &Subject<'_>, of: fn(&NecessaryConditions) -> f64) -> Result<Option<Measured>> {
    if !subject.is_sgd() {
        return Ok(None);
    }
    let limit = of(&subject.bounds()?);
    Ok(Some(Measured { value: Some(2.0 / limit), standard_error: None, learning_rate: Some(limit) }))
}

/// The mean of `H_i^2`: `(1/n) sum_i V_i^T (V_i V_i^T) V_i`.
fn mean_square(subject: &Subject<'_>) -> Mat<f64> {
    let ensemble = subject.ensemble();
    let (n, k, factors) = (ensemble.num_samples(), ensemble.num_factors(), ensemble.factors());
    let mut blocks = Vec::with_capacity(n * k * k);
    for sample in 0..n {
        let own = factors.subrows(sample * k, k);
        let inner = own * own.transpose();
        blocks.extend((0..k * k).map(|at| inner[(at / k, at % k)] / n as f64));
    }
    let mut sum = vec![0.0; packed::packed_len(ensemble.rank())];
    spread(ensemble, &blocks, &mut sum);
    packed::unpack(&sum, ensemble.rank())
}
