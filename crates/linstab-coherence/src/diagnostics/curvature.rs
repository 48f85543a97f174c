//! From curvatures alone.

use super::{Claims, Condition, Diagnostic, Measured, Quantity, Subject};
use crate::Result;

pub(super) const SHARPNESS: Diagnostic = Diagnostic {
    name: "sharpness",
    title: "sharpness of the full batch",
    source: "lambda_max(H) against the full batch's limit, 2 / eta for gradient descent, 2 (1 + beta) / eta with heavy ball, (2 + 2 beta1) / \
             ((1 - beta1) eta) of the preconditioned curvature for Adam (Cohen et al. 2021, 2022)",
    quantity: Quantity::Curvature,
    of_gradients: false,
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
    title: "sharpest direction",
    source: "2 q / (q^2 + s^2) with mean q and batch variance s^2 along the sharpest direction (Mulayoff and Michaeli 2024, eq. 15)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, || Ok(subject.shared().sharpest_direction(subject.weights()))),
};

pub(super) const TRACE: Diagnostic = Diagnostic {
    name: "trace_bound",
    title: "all directions alike",
    source: "2 tr H / tr E H_B^2, all directions alike (Mulayoff and Michaeli 2024, eq. 16)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, || subject.shared().all_directions(subject.weights())),
};

pub(super) const WORST_DIRECTION: Diagnostic = Diagnostic {
    name: "worst_direction",
    title: "worst direction",
    source: "2 q / (q^2 + s^2) along the worst direction that an ascent finds (Mulayoff and Michaeli 2024, eq. 24)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| bound(subject, || subject.shared().worst_direction(subject.weights())),
};

pub(super) const TRACE_OF_RANK_ONE: Diagnostic = Diagnostic {
    name: "trace_of_rank_one",
    title: "trace of rank-one samples",
    source: "tr H against 2 / (b eta): the trace bound of samples of rank one, by Jensen's inequality (after Wu and Su 2023, whose constants were \
             not to be had)",
    quantity: Quantity::Curvature,
    of_gradients: false,
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
    title: "non-uniformity",
    source: "lambda_max(mean H_i^2 - H^2)^(1/2) against 1 / (eta sqrt b) (Wu, Ma and E 2018): what second-moment contraction needs at least",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let value = subject.shared().non_uniformity()?;
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
    title: "second-moment contraction",
    source: "lambda_max(H^(-1/2) E H_B^2 H^(-1/2)) against 2 / eta: no step enlarges a mean square in any direction (Wu, Ma and E 2018)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Sufficient,
    conditions: &[],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let weights = subject.weights();
        let value = subject.shared().contraction((weights.full_batch, weights.per_sample))?;
        Ok(Some(Measured::against_two_over_eta(Some(value))))
    },
};

pub(super) const SECOND_MOMENT_GROWTH: Diagnostic = Diagnostic {
    name: "second_moment_growth",
    title: "second-moment growth",
    source: "growth a step of the mean square against 1 (Ma and Ying 2021, their linear stability of second order): the exact threshold itself",
    quantity: Quantity::Pure,
    of_gradients: false,
    claims: Claims::Exact,
    conditions: &[],
    measure: |subject| {
        let (value, learning_rate) = (subject.growth(), Some(subject.exact()));
        Ok(Some(Measured { value, standard_error: None, learning_rate }))
    },
};

pub(super) const SAM_EDGE: Diagnostic = Diagnostic {
    name: "sam_edge",
    title: "edge of full-batch SAM",
    source: "lambda_max(H) against (sqrt(1 + 8 c / eta) - 1) / (2 c) with c = rho / |g|, where full-batch SAM stops being stable (Long and Bartlett 2024)",
    quantity: Quantity::Curvature,
    of_gradients: false,
    claims: Claims::Necessary,
    conditions: &[],
    measure: |subject| {
        let c = subject.analysis().optimizer().rho_over_alpha();
        if c <= 0.0 || !subject.is_sgd() {
            return Ok(None);
        }
        // What SAM sees is lambda (1 + c lambda); the stable root of that.
        let seen = subject.ensemble().mean_eigenvalues()[0];
        let value = 2.0 * seen / (1.0 + (1.0 + 4.0 * c * seen).sqrt());
        let learning_rate = Some(2.0 / (value + c * value * value));
        Ok(Some(Measured { value: Some(value), standard_error: None, learning_rate }))
    },
};

pub(super) const NOISE_KERNEL_NORM: Diagnostic = Diagnostic {
    name: "noise_kernel_norm",
    title: "noise kernel norm",
    source: "spectral radius of (1 - A)^-1 eta^2 N, A and N the second-moment maps of the full batch and of the noise: below 1 exactly where the \
             mean square decays (after Agarwala and Pennington 2024)",
    quantity: Quantity::Pure,
    of_gradients: false,
    claims: Claims::Exact,
    conditions: &[(Condition::FullBatchStable, below_the_limit)],
    measure: |subject| {
        let Some(eta) = subject.learning_rate().filter(|_| subject.is_sgd() && below_the_limit(subject))
        else {
            return Ok(None);
        };
        let norm = subject.noise_kernel_norm(eta)?;
        Ok(Some(Measured { value: Some(norm), standard_error: None, learning_rate: Some(subject.exact()) }))
    },
};

pub(super) const NOISE_KERNEL_NORM_ISOTROPIC: Diagnostic = Diagnostic {
    name: "noise_kernel_norm_isotropic",
    title: "isotropic noise kernel norm",
    source: "(eta / B) sum_a h_a / (2 - eta h_a) against 1: the noise kernel norm of samples without preferred directions (Agarwala and Pennington \
             2024, whose edge is at 1 and follows the trace; the formula is ours)",
    quantity: Quantity::Pure,
    of_gradients: false,
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

/// A quantity of SGD that is compared with `2 / eta`.
fn bound(subject: &Subject<'_>, of: impl Fn() -> Result<f64>) -> Result<Option<Measured>> {
    if !subject.is_sgd() {
        return Ok(None);
    }
    Ok(Some(Measured::against_two_over_eta(Some(of()?))))
}
