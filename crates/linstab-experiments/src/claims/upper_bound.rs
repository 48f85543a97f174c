//! The upper bound (46), in fractions.

use super::claim::{Judgement, Setting, Verdict};
use super::convergence::binomial;
use super::counterexamples::Counterexample;
use super::rational::{BigRational, Matrix, fraction, integer, of_f64, power, sandwiches, to_f64};
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

/// Both refutations of (46): in the order of matrices, and of the trace.
pub(super) fn upper_bound(_: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let (loewner, by_trace) = (Exact::load("eq46")?, Exact::load("eq46-trace")?);
    let (exact, bound) = loewner.sides(2);
    let (difference, scaled) = (&bound - &exact, &bound.scaled(&of_f64(factor)) - &exact);
    let determinant = difference.determinant().unwrap_or_else(|| integer(0));
    let example = Counterexample::load("eq46")?;
    let as_listed = example.is("determinant_of_difference", &determinant)?
        && example.is("trace_of_difference", &difference.trace())?;
    let first = loewner.meets_condition(&integer(0)) && as_listed && scaled.is_positive() == Some(false);
    let (exact, bound) = by_trace.sides(5);
    let (exact, bound) = (exact.trace(), bound.trace());
    let example = Counterexample::load("eq46-trace")?;
    let as_listed = example.is_near("exact", to_f64(&exact))? && example.is_near("bound", to_f64(&bound))?;
    let meets_condition = by_trace.meets_condition(&fraction(1, 100_000_000_000));
    let second = meets_condition && as_listed && exact > of_f64(factor) * &bound;
    Ok(Judgement::new(
        Verdict::holds_if(!(first && second)),
        format!(
            "in fractions: k = 2, n = d = 2, rho = 0: the difference has trace {} and determinant {determinant}, so eigenvalues of both signs; k = 5, n = 3, d = 2, stable: trace {:.10} above its bound {:.10}",
            difference.trace(),
            to_f64(&exact),
            to_f64(&bound)
        ),
    ))
}
