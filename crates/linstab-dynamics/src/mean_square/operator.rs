//! The operator behind growth rates and noise floors: entrywise weights and a sum of sandwiches.

use linstab_linalg::lanczos::SymmetricOperator;
use linstab_linalg::{Reduced, packed, sum_of_sandwiches};

/// `X -> s o ( t o (s o X) + c sum_i H_i (s o X) H_i )` on packed symmetric matrices, with symmetric entrywise weights `s`
/// (scaling) and `t` (diagonal) given as functions of the two mean eigenvalues of an entry.
///
/// Memory: two packed matrices (the scaled input, and the scaling so that no root is taken twice).
pub(crate) struct WeightedSandwich<'a, T> {
    ensemble: &'a Reduced,
    scaling: Vec<f64>,
    diagonal: T,
    sandwich_weight: f64,
    scaled: Vec<f64>,
}

impl<'a, T: Fn(f64, f64) -> f64> WeightedSandwich<'a, T> {
    pub(crate) fn new(
        ensemble: &'a Reduced,
        scaling: impl Fn(f64, f64) -> f64,
        diagonal: T,
        sandwich_weight: f64,
    ) -> Self {
        let scaling = entrywise(ensemble.mean_eigenvalues(), scaling);
        let scaled = vec![0.0; scaling.len()];
        Self { ensemble, scaling, diagonal, sandwich_weight, scaled }
    }
}

impl<T: Fn(f64, f64) -> f64> SymmetricOperator for WeightedSandwich<'_, T> {
    fn dim(&self) -> usize {
        packed::packed_len(self.ensemble.rank())
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        for ((scaled, x), s) in self.scaled.iter_mut().zip(input).zip(&self.scaling) {
            *scaled = x * s;
        }
        if self.sandwich_weight.abs() > 0.0 {
            sum_of_sandwiches(self.ensemble, &self.scaled, output);
        } else {
            output.fill(0.0);
        }
        let h = self.ensemble.mean_eigenvalues();
        let mut at = 0;
        for (column, &right) in h.iter().enumerate() {
            for &left in &h[column..] {
                let plain =
                    (self.diagonal)(left, right) * self.scaled[at] + self.sandwich_weight * output[at];
                output[at] = self.scaling[at] * plain;
                at += 1;
            }
        }
    }
}

/// A symmetric function of two mean eigenvalues at every packed entry.
pub(crate) fn entrywise(h: &[f64], weight: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let weight = &weight;
    (0..h.len()).flat_map(|column| h[column..].iter().map(move |&left| weight(left, h[column]))).collect()
}
