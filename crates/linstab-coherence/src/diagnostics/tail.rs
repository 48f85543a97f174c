//! The tail of the stationary law, by Kesten's equation along one direction.

use linstab_dynamics::SamplingScheme;

use super::batches::sampler;
use super::{Claims, Condition, Diagnostic, Measured, Quantity, Subject};

/// Batches at most and at least, and samples in them all together.
const MOST: usize = 20_000;
const LEAST: usize = 2_000;
const BUDGET: usize = 2_000_000;

pub(super) const TAIL_INDEX: Diagnostic = Diagnostic {
    name: "tail_index",
    title: "tail index",
    source: "the power alpha with E |1 - eta v^T H_B v|^alpha = 1 along the sharpest direction v of the mean, against 2: the stationary law has moments \
             below alpha (Kesten 1973; Gurbuzbalaban, Simsekli and Zhu 2021); none where no batch enlarges, 0 where there is no stationary law",
    quantity: Quantity::Pure,
    of_gradients: false,
    claims: Claims::Estimate,
    conditions: &[(Condition::OneDirection, |subject| subject.ensemble().rank() == 1)],
    measure: |subject| {
        if !subject.is_sgd() {
            return Ok(None);
        }
        let Some(eta) = subject.learning_rate() else { return Ok(None) };
        // The second moment is 1 at the threshold along that direction.
        let limit = 2.0 / subject.shared().sharpest_direction(subject.weights());
        let (curvatures, exact) = along_the_sharpest(subject);
        let logarithms: Vec<f64> = curvatures.iter().map(|h| (1.0 - eta * h).abs().ln()).collect();
        let value = index(&logarithms);
        let standard_error = value.filter(|alpha| !exact && *alpha > 0.0);
        Ok(Some(Measured {
            value,
            standard_error: standard_error.map(|alpha| error(&logarithms, alpha)),
            learning_rate: Some(limit),
        }))
    },
};

/// `v^T H_B v` of all batches, or of random ones, and whether it is of all.
fn along_the_sharpest(subject: &Subject<'_>) -> (Vec<f64>, bool) {
    let (sampling, k) = (subject.analysis().sampling(), subject.ensemble().num_factors());
    let factors = subject.ensemble().factors();
    let squares = |sample: usize| (sample * k..(sample + 1) * k).map(|row| factors[(row, 0)].powi(2)).sum();
    let of_samples: Vec<f64> = (0..sampling.num_samples()).map(squares).collect();
    let batch_size = sampling.batch_size();
    let fixed = sampling.scheme().has_fixed_batch_size();
    if fixed && batch_size == 1 {
        return (of_samples, true);
    }
    if sampling.scheme() == SamplingScheme::WithoutReplacement && batch_size == of_samples.len() {
        return (vec![of_samples.iter().sum::<f64>() / batch_size as f64], true);
    }
    let (mut sampler, mut rng) = sampler(subject);
    let mut batch = Vec::new();
    let mean = |_| {
        sampler.draw_indices(&mut rng, &mut batch);
        batch.iter().map(|&sample| of_samples[sample]).sum::<f64>() / batch_size as f64
    };
    ((0..(BUDGET / batch_size).clamp(LEAST, MOST)).map(mean).collect(), false)
}

/// The positive root of `E exp(alpha l) = 1`, a convex function of `alpha` that is 1 at 0; 0 if it rises from there, none if it falls forever.
fn index(logarithms: &[f64]) -> Option<f64> {
    let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most <= 0.0 {
        return None;
    }
    if logarithms.iter().sum::<f64>() >= 0.0 {
        return Some(0.0);
    }
    // The logarithm of the mean, with the greatest term taken out.
    let n = logarithms.len() as f64;
    let moment = |alpha: f64| {
        alpha * most + (logarithms.iter().map(|l| (alpha * (l - most)).exp()).sum::<f64>() / n).ln()
    };
    let mut high = 1.0;
    while moment(high) < 0.0 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if moment(middle) < 0.0 { low = middle } else { high = middle }
    }
    Some(high).filter(|alpha| alpha.is_finite())
}

/// The standard error of the root to first order.
fn error(logarithms: &[f64], alpha: f64) -> f64 {
    let n = logarithms.len() as f64;
    let (mut squares, mut slope) = (0.0, 0.0);
    for l in logarithms.iter().filter(|l| l.is_finite()) {
        let power = (alpha * l).exp();
        squares += (power - 1.0).powi(2);
        slope += l * power;
    }
    squares += logarithms.iter().filter(|l| !l.is_finite()).count() as f64;
    squares.sqrt() / slope * (n / (n - 1.0)).sqrt()
}
