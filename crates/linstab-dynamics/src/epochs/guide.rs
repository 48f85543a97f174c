//! What a state is worth: by which the states of a population are weighed against one another.

use super::Epochs;
use crate::optimizer::Recursion;

/// Steps that a value looks ahead, as a power of two: 128. Values of one step give no weight to what moves slowly; beyond some ten hardly
/// anything changes.
const DOUBLINGS: usize = 7;

/// The loss that a state would sum up over the next steps without noise, `sum_t w_t^T H w_t`: a quadratic form in iterate and memory,
/// direction by direction.
///
/// The variance of a growth is least where a value is what a state contributes to the mean square in the long run. Noise is what makes states
/// contribute, and it is about proportional to the loss.
#[derive(Clone, Debug)]
pub(super) struct Guide {
    /// The forms `a w^2 + 2 b w u + c u^2`.
    forms: Vec<[f64; 3]>,
    has_memory: bool,
}

impl Guide {
    pub(super) fn new(epochs: &Epochs, learning_rate: f64) -> Self {
        let recursion = epochs.optimizer.recursion();
        let curvatures = epochs.effective.mean_eigenvalues();
        let forms = curvatures.iter().map(|&h| summed_loss(recursion, learning_rate, h)).collect();
        Self { forms, has_memory: !recursion.is_memoryless() }
    }

    pub(super) fn value(&self, state: &[f64]) -> f64 {
        let (w, memory) = state.split_at(self.forms.len());
        let pairs = self.forms.iter().zip(w);
        if self.has_memory {
            let terms = pairs.zip(memory).map(|(([a, b, c], w), u)| a * w * w + u * (2.0 * b * w + c * u));
            terms.sum()
        } else {
            pairs.map(|([a, ..], w)| a * w * w).sum()
        }
    }
}

/// `sum_(t < 2^DOUBLINGS) h w_t^2` along a direction of curvature `h`: with the step `M` on iterate and memory, the sum over twice as many
/// steps is `Z + M^T Z M`, and the step then `M^2`.
fn summed_loss(recursion: Recursion, learning_rate: f64, h: f64) -> [f64; 3] {
    let pull = learning_rate * (h + recursion.coupled_decay);
    let kept = 1.0 - learning_rate * recursion.decoupled_decay - recursion.direct * pull;
    let (input, memory, output) = (recursion.input * pull, recursion.memory, recursion.output);
    let mut step = [[kept - output * input, -output * memory], [input, memory]];
    let mut form = [h, 0.0, 0.0];
    for _ in 0..DOUBLINGS {
        let ([[p, q], [r, s]], [a, b, c]) = (step, form);
        form[0] += a * p * p + 2.0 * b * p * r + c * r * r;
        form[1] += a * p * q + b * (p * s + q * r) + c * r * s;
        form[2] += a * q * q + 2.0 * b * q * s + c * s * s;
        step = [[p * p + q * r, q * (p + s)], [r * (p + s), q * r + s * s]];
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the steps themselves, with a memory and decay of both kinds.
    #[test]
    fn values_are_sums_of_losses() {
        let recursion = Recursion {
            direct: 0.3,
            output: 0.8,
            input: 0.9,
            coupled_decay: 0.1,
            decoupled_decay: 0.2,
            memory: 0.7,
        };
        let (eta, h) = (0.4, 1.3);
        let [a, b, c] = summed_loss(recursion, eta, h);
        for (start, velocity) in [(1.0, 0.0), (0.0, 1.0), (-0.7, 2.0)] {
            let (mut w, mut u, mut sum) = (start, velocity, 0.0);
            for _ in 0..1 << DOUBLINGS {
                sum += h * w * w;
                let gradient = eta * (h + 0.1) * w;
                u = 0.7 * u + 0.9 * gradient;
                w -= eta * 0.2 * w + 0.3 * gradient + 0.8 * u;
            }
            let value = a * start * start + 2.0 * b * start * velocity + c * velocity * velocity;
            assert!((value - sum).abs() < 1e-12 * sum, "{value} against {sum}");
        }
    }
}
