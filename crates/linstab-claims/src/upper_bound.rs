//! The upper bound (46), in fractions.

use linstab_linalg::{Mat, Scale};

use super::claim::{Judgement, Setting, Verdict, require};
use super::counterexamples::Counterexample;
use super::instance::{self, Instance, identity, top_of_sandwiches};
use super::numbers::binomial;
use super::rational::{BigRational, Matrix, fraction, integer, of_f64, power, sandwiches, to_f64};
use super::search::smallest;
use crate::Result;

/// An ensemble in fractions with what (46) needs.
pub(super) struct Exact {
    hessians: Vec<Matrix>,
    ascent: Matrix,
    pub(super) jacobian: Matrix,
    weight: BigRational,
    pub(super) epsilon: BigRational,
}

impl Exact {
    /// The ensemble of a file.
    pub(super) fn load(name: &str) -> Result<Self> {
        let example = Counterexample::load(name)?;
        let hessians = example.hessians()?;
        let mean = super::rational::mean(&hessians);
        let (rate, one) = (example.number("learning_rate")?, Matrix::identity(2));
        let ascent = &one + &mean.scaled(&example.number("ratio")?);
        let jacobian = &one - &(&mean * &ascent).scaled(&rate);
        let n = integer(i64::try_from(hessians.len()).unwrap_or(i64::MAX));
        let weight = &rate * &rate * ((example.number("batch_size")? * &n).recip() - power(&n, -2));
        Ok(Self { hessians, ascent, jacobian, weight, epsilon: example.number("epsilon")? })
    }

    /// `Phi(X)`.
    pub(super) fn noise(&self, x: &Matrix) -> Matrix {
        (&(&self.ascent * &sandwiches(&self.hessians, x)) * &self.ascent).scaled(&self.weight)
    }

    /// The condition on epsilon, to within one unit of its last digit.
    fn meets_condition(&self, unit: &BigRational) -> bool {
        let contraction = Matrix::identity(2).scaled(&(integer(1) - &self.epsilon + unit));
        let (above, below) = (&contraction - &self.jacobian, &contraction + &self.jacobian);
        above.is_positive() == Some(true) && below.is_positive() == Some(true)
    }

    /// The second moment after k steps, and its claimed upper bound.
    fn sides(&self, k: u32) -> (Matrix, Matrix) {
        let (mut exact, mut noise) = (Matrix::identity(2), vec![Matrix::identity(2)]);
        for r in 0..k {
            exact = &(&(&self.jacobian * &exact) * &self.jacobian) + &self.noise(&exact);
            noise.push(self.noise(&noise[usize::try_from(r).unwrap_or(0)]));
        }
        let square = (integer(1) - &self.epsilon) * (integer(1) - &self.epsilon);
        let zero = Matrix::identity(2).scaled(&integer(0));
        let bound = (0..=k).zip(&noise).fold(zero, |sum, (r, noise)| {
            &sum + &noise.scaled(&(binomial(k, r) * power(&square, i32::try_from(k - r).unwrap_or(0))))
        });
        (exact, bound)
    }
}

/// `(1 - eps)^2 + rho(Phi)` over the growth of the second moment in 60 steps, at half of the gradient-descent limit.
fn spectral_bound(x: &Instance) -> f64 {
    let rate = 0.5 * x.gradient_descent_limit();
    let contraction = x.effective_eigenvalues().iter().map(|l| (1.0 - rate * l).abs()).fold(0.0, f64::max);
    let noise = rate * rate * x.noise_weight() * top_of_sandwiches(&x.effective());
    // In the transformed coordinates the moment is self-adjoint: it grows at most by its spectral radius.
    let effective = x.effective();
    let start = identity(x.shape.dim);
    let jacobian = &start - instance::mean(&effective) * Scale(rate);
    let weight = Scale(rate * rate * x.noise_weight());
    let step = |m: &Mat<f64>| &jacobian * m * &jacobian + instance::sandwiches(&effective, m) * weight;
    let (mut moment, mut growth) = (start, 0.0);
    for _ in 0..60 {
        let next = step(&moment);
        growth = next.norm_l2() / moment.norm_l2();
        moment = &next * Scale(1.0 / next.norm_l2());
    }
    (contraction * contraction + noise) / growth
}

/// Both refutations of (46): in the order of matrices, and of the trace.
pub(super) fn upper_bound(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let (loewner, by_trace) = (Exact::load("eq46")?, Exact::load("eq46-trace")?);
    let (exact, bound) = loewner.sides(2);
    let (difference, scaled) = (&bound - &exact, &bound.scaled(&of_f64(factor)) - &exact);
    let determinant = difference.determinant().unwrap_or_else(|| integer(0));
    let example = Counterexample::load("eq46")?;
    example.confirm("determinant_of_difference", &determinant)?;
    example.confirm("trace_of_difference", &difference.trace())?;
    require(
        "eq46",
        "the condition on eps in its example",
        loewner.meets_condition(&integer(0)),
        &loewner.epsilon,
    )?;
    let first = scaled.is_positive() == Some(false);
    let (exact, bound) = by_trace.sides(5);
    let (exact, bound) = (exact.trace(), bound.trace());
    let example = Counterexample::load("eq46-trace")?;
    example.confirm_near("exact", to_f64(&exact))?;
    example.confirm_near("bound", to_f64(&bound))?;
    let meets_condition = by_trace.meets_condition(&fraction(1, 100_000_000_000));
    require("eq46", "the condition on eps in the example of the trace", meets_condition, &by_trace.epsilon)?;
    let second = exact > of_f64(factor) * &bound;
    let spectral = smallest(setting.key, setting.budget(), spectral_bound);
    require("eq46", "the bound of the spectral radius", spectral.is_unbroken(), spectral)?;
    Ok(Judgement::new(
        Verdict::holds_if(!(first && second)),
        format!(
            "in fractions: k = 2, n = d = 2, rho = 0: the difference has trace {} and determinant {determinant}, so eigenvalues of both signs; k = 5, n = 3, d = 2, stable: trace {:.10} above its bound {:.10}; the bound of the spectral radius over it: {spectral}",
            difference.trace(),
            to_f64(&exact),
            to_f64(&bound)
        ),
    ))
}
