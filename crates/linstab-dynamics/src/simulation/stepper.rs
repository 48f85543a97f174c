//! One step of an optimizer on a given batch, in the reduced coordinates.

use std::sync::Arc;

use linstab_linalg::Reduced;

use crate::optimizer::Recursion;
use crate::{Optimizer, Result, error::require_nonnegative};

/// Makes steps at one learning rate; its memory is used again from step to step.
#[derive(Clone, Debug)]
pub(crate) struct Stepper {
    /// The factors, one after the other: a step reads whole rows.
    factors: Arc<[f64]>,
    rank: usize,
    num_factors: usize,
    learning_rate: f64,
    recursion: Recursion,
    /// Ascent on the mini-batch: `c`, and samples that ascend together.
    ascent: Option<(f64, usize)>,
    point: Vec<f64>,
    gradient: Vec<f64>,
}

impl Stepper {
    /// Steps on an ensemble that is already that of the optimizer's congruence.
    pub(crate) fn new(effective: &Reduced, optimizer: Optimizer, learning_rate: f64) -> Result<Self> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let (matrix, rank) = (effective.factors(), effective.rank());
        let entries = (0..matrix.nrows()).flat_map(|row| (0..rank).map(move |a| matrix[(row, a)]));
        let micro = optimizer.batch_ascent().map(|size| size.unwrap_or(usize::MAX));
        Ok(Self {
            factors: entries.collect(),
            rank,
            num_factors: effective.num_factors(),
            learning_rate,
            recursion: optimizer.recursion(),
            ascent: micro.map(|size| (optimizer.rho_over_alpha(), size)),
            point: vec![0.0; rank],
            gradient: vec![0.0; rank],
        })
    }

    pub(crate) fn has_memory(&self) -> bool {
        !self.recursion.is_memoryless()
    }

    /// Makes one step of iterate and memory on a batch whose sum of gradients is divided by `size`; gradients are taken at `w`, or
    /// at the point that `perturb` makes of it.
    pub(crate) fn step(
        &mut self,
        (w, memory): (&mut [f64], &mut [f64]),
        batch: &[usize],
        size: usize,
        perturb: impl FnOnce(&mut [f64]),
    ) {
        self.point.copy_from_slice(w);
        perturb(&mut self.point);
        self.sum_of_gradients(batch, size);
        let Recursion { memory: keep, input, direct, output, coupled_decay, decoupled_decay } =
            self.recursion;
        let scale = self.learning_rate / size as f64;
        let (coupled, decoupled) = (self.learning_rate * coupled_decay, self.learning_rate * decoupled_decay);
        for ((w, memory), g) in w.iter_mut().zip(memory.iter_mut()).zip(&self.gradient) {
            let gradient = scale * g + coupled * *w;
            *memory = keep * *memory + input * gradient;
            *w -= decoupled * *w + direct * gradient + output * *memory;
        }
    }

    /// The sum over a batch of the gradients at `point`, into `gradient`.
    fn sum_of_gradients(&mut self, batch: &[usize], size: usize) {
        let Self { factors, rank, num_factors, point, gradient, .. } = self;
        let sizes = (*rank, *num_factors);
        gradient.fill(0.0);
        match self.ascent {
            None => add_gradients(factors, sizes, batch, point, gradient),
            Some((ratio, micro)) => {
                let whole = micro >= batch.len();
                let mut ascended = vec![0.0; point.len()];
                for part in batch.chunks(micro.min(batch.len().max(1))) {
                    // A whole batch divides by its nominal size, whatever it holds; a micro-batch by its own.
                    let divisor = if whole { size } else { part.len() } as f64;
                    ascended.fill(0.0);
                    add_gradients(factors, sizes, part, point, &mut ascended);
                    for (ascended, x) in ascended.iter_mut().zip(&*point) {
                        *ascended = x + ratio / divisor * *ascended;
                    }
                    add_gradients(factors, sizes, part, &ascended, gradient);
                }
            }
        }
    }
}

/// Adds `sum_i H_i x` over a batch.
fn add_gradients(
    factors: &[f64],
    (rank, num_factors): (usize, usize),
    batch: &[usize],
    x: &[f64],
    sum: &mut [f64],
) {
    for &sample in batch.iter().filter(|_| rank > 0) {
        let rows = &factors[sample * num_factors * rank..(sample + 1) * num_factors * rank];
        for factor in rows.chunks_exact(rank) {
            add_projection(sum, factor, x);
        }
    }
}

/// Adds `f (f^T x)`. Eight partial sums, so that the product is not one long chain of additions.
fn add_projection(sum: &mut [f64], factor: &[f64], x: &[f64]) {
    const LANES: usize = 8;
    let (whole, rest) = factor.as_chunks::<LANES>();
    let (whole_x, rest_x) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (f, x) in whole.iter().zip(whole_x) {
        for ((lane, f), x) in lanes.iter_mut().zip(f).zip(x) {
            *lane += f * x;
        }
    }
    let overlap = lanes.iter().sum::<f64>() + rest.iter().zip(rest_x).map(|(f, x)| f * x).sum::<f64>();
    for (sum, f) in sum.iter_mut().zip(factor) {
        *sum += f * overlap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linstab_linalg::Factored;

    /// Iterates of five steps from a line of numbers of a framework, and what the framework says.
    fn iterates(line: &str) -> (Vec<f64>, Vec<f64>) {
        let (name, numbers) = line.split_once(' ').unwrap();
        let numbers: Vec<f64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let [eta, curvature, preconditioner, start, velocity] = numbers[..5] else { panic!("{line}") };
        let optimizer: Optimizer = name.parse().unwrap();
        let factor = (curvature / preconditioner).sqrt();
        let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![factor]).unwrap()).unwrap();
        let mut stepper = Stepper::new(&ensemble, optimizer, eta).unwrap();
        let (mut w, mut memory) = ([start], [eta * velocity]);
        let found = (0..numbers.len() - 5).map(|_| {
            stepper.step((&mut w, &mut memory), &[0], 1, |_| ());
            w[0]
        });
        (found.collect(), numbers[5..].to_vec())
    }

    /// The steps are those of torch and optax (`tests/frameworks/make.py` wrote their numbers), to rounding.
    #[test]
    fn steps_are_those_of_the_frameworks() {
        let mut lines = include_str!("../../tests/frameworks/steps.txt").lines();
        assert!(lines.next().unwrap().starts_with("# torch"), "versions");
        let mut count = 0;
        for line in lines {
            let (found, expected) = iterates(line);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 1e-12, "{line}: {found} against {expected}");
            }
            count += 1;
        }
        assert!(count >= 14, "{count} lines");
        // A gradient that is taken elsewhere is another oracle's matter: batches and perturbations are enumerated for it.
        let elsewhere = |name: &str| name == "ascent" || name == "standard_deviation";
        for rule in Optimizer::RULES {
            let is_there = |line: &str| line.split([':', ' ']).next() == Some(rule.name);
            let has_a_line = include_str!("../../tests/frameworks/steps.txt").lines().any(is_there);
            let is_elsewhere = rule.parameters.iter().any(|parameter| elsewhere(parameter.name));
            assert!(has_a_line || is_elsewhere, "no steps of {}: tests/frameworks/make.py", rule.name);
        }
        // Negative control: the same numbers under another name.
        let numbers = "0.3 1.7 1.0 0.9 -0.4 0.537";
        let (same, other) = (
            iterates(&format!("sgd:momentum=0.8 {numbers}")),
            iterates(&format!("sgd:momentum=0.64 {numbers}")),
        );
        assert!((same.0[0] - same.1[0]).abs() < 1e-12 && (other.0[0] - other.1[0]).abs() > 1e-3);
    }
}
