//! From gradients: exact, since `E g_B g_B^T = a g g^T + (b/n) sum_i g_i g_i^T`.

use linstab_linalg::Mat;

use super::{Claims, Condition, Diagnostic, Measured, Quantity, Subject};

pub(super) const GRADIENT_NOISE_INTERACTION: Diagnostic = Diagnostic {
    name: "gradient_noise_interaction",
    title: "gradient-noise interaction",
    source: "E g_B^T H g_B / |g|^2 against 2 / eta (Andreyev and Beneventano 2024)",
    quantity: Quantity::Curvature,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        Ok(moments(subject).map(|moments| {
            Measured::against_two_over_eta(ratio(moments.batch_curvature(subject), moments.mean_square))
        }))
    },
};

pub(super) const INTERACTION_AWARE_SHARPNESS: Diagnostic = Diagnostic {
    name: "interaction_aware_sharpness",
    title: "interaction-aware sharpness",
    source: "E g_B^T H g_B / E |g_B|^2 against 2 / eta, the full batch's curvature along gradients of batches (Lee and Jang 2023; a ratio of means, as in released \
             code of others)",
    quantity: Quantity::Curvature,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[],
    measure: |subject| {
        Ok(moments(subject).map(|moments| {
            Measured::against_two_over_eta(ratio(
                moments.batch_curvature(subject),
                moments.batch_square(subject),
            ))
        }))
    },
};

pub(super) const GRADIENT_NOISE_SCALE: Diagnostic = Diagnostic {
    name: "gradient_noise_scale",
    title: "gradient noise scale",
    source: "tr Sigma / |g|^2, in samples (McCandlish et al. 2018, the simple noise scale)",
    quantity: Quantity::Pure,
    of_gradients: true,
    claims: Claims::Nothing,
    conditions: &[],
    measure: |subject| {
        Ok(moments(subject).map(|moments| Measured {
            value: ratio(moments.sample_square - moments.mean_square, moments.mean_square),
            ..Measured::default()
        }))
    },
};

pub(super) const GRADIENT_NOISE_SCALE_OF_CURVATURE: Diagnostic = Diagnostic {
    name: "gradient_noise_scale_of_curvature",
    title: "gradient noise scale (curvature)",
    source: "tr(H Sigma) / g^T H g, in samples (McCandlish et al. 2018, the noise scale)",
    quantity: Quantity::Pure,
    of_gradients: true,
    claims: Claims::Nothing,
    conditions: &[],
    measure: |subject| {
        Ok(moments(subject).map(|moments| Measured {
            value: ratio(moments.sample_curvature - moments.mean_curvature, moments.mean_curvature),
            ..Measured::default()
        }))
    },
};

pub(super) const ALIGNMENT: Diagnostic = Diagnostic {
    name: "alignment",
    title: "alignment of noise",
    source: "mu = tr(Sigma H) / (2 L |H|_F^2), and |H|_F against sqrt(B / mu) / eta (Wu, Wang and Su 2022, who state the order sqrt(B) / \
             eta; the constant is from memory)",
    quantity: Quantity::Pure,
    of_gradients: true,
    claims: Claims::Estimate,
    conditions: &[(Condition::SquaredError, |subject| subject.is_of_squared_error())],
    measure: |subject| {
        let (Some(moments), true) = (moments(subject), subject.is_sgd()) else { return Ok(None) };
        let loss = subject.coefficients().map_or(0.0, |c| c.iter().map(|c| c * c).sum::<f64>())
            / (2.0 * subject.ensemble().num_samples() as f64);
        let square: f64 = subject.ensemble().mean_eigenvalues().iter().map(|h| h * h).sum();
        let value = ratio(moments.sample_curvature - moments.mean_curvature, 2.0 * loss * square);
        let batch_size = subject.analysis().sampling().batch_size() as f64;
        let learning_rate = value.filter(|mu| *mu > 0.0).map(|mu| (batch_size / (mu * square)).sqrt());
        Ok(Some(Measured { value, standard_error: None, learning_rate }))
    },
};

/// Squared lengths of the mean gradient and of single ones, plain and in the metric of `H`.
struct Moments {
    mean_square: f64,
    sample_square: f64,
    mean_curvature: f64,
    sample_curvature: f64,
}

impl Moments {
    /// `E g_B^T H g_B`.
    fn batch_curvature(&self, subject: &Subject<'_>) -> f64 {
        let weights = subject.weights();
        weights.full_batch * self.mean_curvature + weights.per_sample * self.sample_curvature
    }

    /// `E |g_B|^2`.
    fn batch_square(&self, subject: &Subject<'_>) -> f64 {
        let weights = subject.weights();
        weights.full_batch * self.mean_square + weights.per_sample * self.sample_square
    }
}

fn moments(subject: &Subject<'_>) -> Option<Moments> {
    let gradients: Mat<f64> = subject.gradients()?;
    let (n, h) = (gradients.nrows() as f64, subject.ensemble().mean_eigenvalues());
    let mut moments =
        Moments { mean_square: 0.0, sample_square: 0.0, mean_curvature: 0.0, sample_curvature: 0.0 };
    for (a, h) in h.iter().enumerate() {
        let column = gradients.col_as_slice(a);
        let mean = column.iter().sum::<f64>() / n;
        let square = column.iter().map(|x| x * x).sum::<f64>() / n;
        moments.mean_square += mean * mean;
        moments.sample_square += square;
        moments.mean_curvature += h * mean * mean;
        moments.sample_curvature += h * square;
    }
    Some(moments)
}

/// A ratio, none where it is 0/0 or has no meaning.
pub(super) fn ratio(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then(|| over / under).filter(|ratio| ratio.is_finite())
}
