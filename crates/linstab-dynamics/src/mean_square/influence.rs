//! How much each sample moves a threshold: the infinitesimal jackknife.
//!
//! With weights `v_i = 1` on the samples, `H = (1/n) sum_i v_i H_i` and `N = (a - 1) H P H + (b/n) sum_i v_i H_i P H_i`, the
//! critical `P` makes `<P, D o P> - (b/n) sum_i v_i <P, H_i P H_i>` zero and stationary, so first-order perturbation gives the derivative of
//! `lambda = 1 / eta*` by each weight without that of `P`. With `Z = decay + pull H` and `D` linear in `lambda`,
//!
//! ```text
//! <P, D o P> = lambda s <P, Z P + P Z> - p <P, Z P Z> + d <P, Z^2 P + P Z^2 - 2 Z P Z> - (a - 1) <P, H P H>
//! ```
//!
//! (`s`, `p`, `d` as in `memory_kernel`), and its derivative needs `P v` and `P P v` for every factor `v` only.

use linstab_linalg::{Mat, multiply, packed};
use rayon::prelude::*;

use super::columns::map_columns;
use super::memory_kernel::LinearForm;
use super::{MeanSquare, Threshold};
use crate::{DynamicsError, Result};

/// Factors that are multiplied at a time.
const ROWS: usize = 128;

/// What samples do to a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Influences {
    /// Derivative of the threshold by the weight of each sample among weights that keep their sum, in learning rates: `n` times the change by a
    /// little more of it and a little less of all. They sum to 0.
    pub samples: Vec<f64>,
    /// Standard error of the threshold as an estimate for the population from which the samples are drawn without replacement; 0 if they
    /// are all of it.
    pub standard_error: f64,
}

impl Influences {
    /// The threshold without a sample, to first order.
    ///
    /// # Panics
    /// If there is no such sample.
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::Influences;
    /// let influences = Influences { samples: vec![-0.2, 0.1, 0.1], standard_error: 0.1 };
    /// assert!((influences.without(0, 1.0) - 1.1).abs() < 1e-15);
    /// ```
    pub fn without(&self, sample: usize, threshold: f64) -> f64 {
        threshold - self.samples[sample] / (self.samples.len() as f64 - 1.0).max(1.0)
    }
}

impl MeanSquare {
    /// How much each sample moves a threshold, and how well the samples speak for a population ([`MeanSquare::of_subset`]).
    ///
    /// # Cost
    /// About `2 n k r^2` multiplications, with momentum `4 n k r^2`.
    /// # Errors
    /// [`DynamicsError::Unsupported`] for SAM, whose congruence moves with the samples, and for optimizers whose `D` is not linear in the
    /// inverse learning rate (Nesterov's momentum and its relatives); [`DynamicsError::SizeMismatch`] for the threshold of another ensemble.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Full batches: 2 / H with H the mean of 1 and 3, whose derivative by H is -2 / H^2.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let full = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 2)?;
    /// let descent = MeanSquare::new(&ensemble, Optimizer::sgd(), full)?;
    /// let influences = descent.influences(&descent.max_learning_rate()?)?;
    /// assert!((influences.samples[0] - 0.5).abs() < 1e-12 && (influences.samples[1] + 0.5).abs() < 1e-12);
    /// assert_eq!(influences.standard_error, 0.0);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    /// # Source
    /// Efron 1982, The jackknife, the bootstrap and other resampling plans, chapter 6.
    pub fn influences(&self, threshold: &Threshold) -> Result<Influences> {
        let moment = self.packed_moment(threshold)?;
        let n = self.effective.num_samples();
        if threshold.rank == 0 {
            return Ok(Influences { samples: vec![0.0; n], standard_error: 0.0 });
        }
        let (what, why) = (
            "the influence of samples",
            "it is derived for momentum and weight decay without ascent or Nesterov's step",
        );
        let unsupported = DynamicsError::Unsupported { what, why };
        let plain = self.congruence.iter().all(|root| root.to_bits() == 1.0_f64.to_bits());
        let Some(form) = self.critical_weights().linear_form().filter(|_| plain) else {
            return Err(unsupported);
        };
        let own = self.blocks_of_samples(threshold)?;
        let derivatives = self.derivatives(threshold.value, (moment, own), form);
        let mean = derivatives.iter().sum::<f64>() / n as f64;
        // eta = 1 / lambda.
        let factor = -threshold.value * threshold.value * n as f64;
        let samples: Vec<f64> = derivatives.iter().map(|x| factor * (x - mean)).collect();
        let (count, population) = (n as f64, self.sampling.num_samples() as f64);
        let squares: f64 = samples.iter().map(|x| x * x).sum();
        let variance = squares / (count * (count - 1.0).max(1.0)) * (1.0 - count / population);
        Ok(Influences { samples, standard_error: variance.max(0.0).sqrt() })
    }

    /// Derivatives of the inverse threshold by the weights of samples, from the critical moment and what the samples have of it.
    fn derivatives(&self, threshold: f64, (moment, own): (&[f64], &[f64]), form: LinearForm) -> Vec<f64> {
        let (h, n) = (self.effective.mean_eigenvalues(), self.effective.num_samples() as f64);
        let (k, factors) = (self.effective.num_factors(), self.effective.factors());
        let lambda = threshold.recip();
        let critical = packed::unpack(moment, h.len());
        let starts: Vec<usize> = (0..factors.nrows()).step_by(ROWS).collect();
        let rows = |&start: &usize| -> Vec<f64> {
            let rows = factors.subrows(start, ROWS.min(factors.nrows() - start));
            let moved: Mat<f64> = multiply(rows, critical.as_ref());
            let again = (form.difference.abs() > 0.0).then(|| multiply(moved.as_ref(), critical.as_ref()));
            let moved_again =
                |i: usize, a: usize| again.as_ref().map_or(0.0, |again: &Mat<f64>| again[(i, a)]);
            let of = |i: usize| {
                form.derivative(lambda, h, [&|a| rows[(i, a)], &|a| moved[(i, a)], &|a| moved_again(i, a)])
            };
            (0..rows.nrows()).map(of).collect()
        };
        let terms: Vec<f64> = starts.par_iter().map(rows).collect::<Vec<_>>().concat();
        let per_sample = self.sample_weight();
        let slopes = map_columns(h.len(), moment, |column, entries| {
            let slope = |(x, &other): (&f64, &f64)| form.at(lambda, other, h[column]).1 * x * x;
            entries.iter().zip(&h[column..]).map(slope).sum::<f64>()
        });
        let slope: f64 = slopes.iter().sum();
        let samples = terms.chunks_exact(k).zip(own.chunks_exact(k * k));
        samples
            .map(|(terms, own)| {
                let noise: f64 = own.iter().map(|x| x * x).sum();
                (per_sample * noise - terms.iter().sum::<f64>() / n) / slope
            })
            .collect()
    }
}

impl LinearForm {
    /// `n` times the derivative of `<P, D o P>` by a weight, the part of one factor `v`, given with `m = P v` and `P m`, which counts where there is
    /// a difference; `h` are the mean eigenvalues.
    fn derivative(&self, lambda: f64, h: &[f64], [v, m, again]: [&dyn Fn(usize) -> f64; 3]) -> f64 {
        let (mut square, mut with_z, mut with_h, mut across) = (0.0, 0.0, 0.0, 0.0);
        for (a, &h) in h.iter().enumerate() {
            let (m, z) = (m(a), self.decay + self.pull * h);
            square += m * m;
            with_z += z * m * m;
            with_h += h * m * m;
            across += z * v(a) * again(a);
        }
        let damped = lambda * self.sum * square - self.product * with_z;
        2.0 * self.pull * (damped + 2.0 * self.difference * (across - with_z)) - 2.0 * self.excess * with_h
    }
}
