//! The critical point of a problem in sample space whose operator is known by its action: for samples of several factors, and for many
//! samples in few directions.
//!
//! Newton's method on `1 / mu`, each eigenvector from the last one, the first from a coarse space.

use linstab_linalg::lanczos::{Explicit, SymmetricOperator, TopEigenpair};

use super::sample_operator::{
    CERTAIN_RESIDUAL, Form, SampleOperator, block_ratio, column_by_column, identity_blocks,
};
use super::sample_space::{Critical, MAX_STEPS, SampleSpace, not_converged};
use crate::Result;

/// Accepted residual of the eigenvector in the first step, which only has to bring lambda near.
const FIRST: f64 = 1e-4;
/// In the last steps. The Rayleigh quotient is accurate to second order in it.
const FINAL: f64 = CERTAIN_RESIDUAL;
/// In the last steps where an application takes long.
const COSTLY: f64 = 1e-8;
/// Where the certificate turned out wide: eigenvalues can be so close that the iteration took two for one.
const REFINED: f64 = 1e-11;
/// Width of an interval that is good enough; and where an application takes long.
const WIDEST: (f64, f64) = (1e-8, 1e-6);
/// Multiplications of an application that takes long.
const LONG: f64 = 2e8;

/// So few unknowns that the operator is formed column by column.
const FEW_UNKNOWNS: usize = 128;

/// A step of Newton's method on `1 / mu(lambda)`.
struct NewtonStep<'a> {
    /// The largest eigenvalue, and its vector, at the old lambda.
    top: TopEigenpair,
    /// The exact operator there; it holds the moment of that vector.
    exact: SampleOperator<'a>,
    /// The operator that was iterated.
    form: Form<'a>,
    next: f64,
}

impl SampleSpace<'_> {
    /// Solves `mu(lambda) = 1` from blocks near the eigenvector; a certificate is made if it is asked for.
    pub(super) fn solve_by_action(&self, start: (f64, Vec<f64>), certified: bool) -> Result<Critical> {
        let (mut lambda, mut start) = start;
        let cost = self.h.len().pow(2) as f64 * self.ensemble.factors().nrows() as f64;
        let (last, widest) = if cost < LONG { (FINAL, WIDEST.0) } else { (COSTLY, WIDEST.1) };
        let mut num_applications = 0;
        let mut residual = FIRST;
        for _ in 0..MAX_STEPS {
            let NewtonStep { top, exact, mut form, next } = self.newton_step(lambda, residual, &start)?;
            num_applications += top.num_applications;
            let settled = (next - lambda).abs() <= 1e-7 * lambda || next - self.pole <= 1e-12 * self.pole;
            if settled && residual <= last {
                let quotient = self.rayleigh_quotient(&exact.moment, lambda);
                let lambda_above =
                    if certified { self.certify(quotient, &top, form.operator()) } else { None };
                let narrow = lambda_above.is_some_and(|above| above <= quotient * (1.0 + widest));
                if !certified || narrow || residual <= REFINED {
                    let (lambda_below, blocks) = (quotient, top.vector);
                    let found = Critical {
                        lambda: quotient,
                        lambda_below,
                        lambda_above,
                        blocks,
                        decline: None,
                        num_applications,
                    };
                    return Ok(found);
                }
                residual = REFINED;
            } else {
                residual = if residual < last { residual } else { last };
            }
            lambda = next;
            start = self.positive(&top.vector);
        }
        Err(not_converged())
    }

    fn newton_step(&self, lambda: f64, residual: f64, start: &[f64]) -> Result<NewtonStep<'_>> {
        let mut exact = self.operator(lambda);
        let mut form = self.form(lambda, residual);
        let top = form.top_eigenpair(start, &identity_blocks(self.ensemble), residual)?;
        exact.spread_kernel(&top.vector);
        let slope = self.weight * self.weighted_norm(&exact.moment, |x, y| self.weights.slope(lambda, x, y));
        let next = lambda + top.value * (top.value - 1.0) / slope;
        let next = if next > self.pole { next } else { 0.5 * (lambda + self.pole) };
        Ok(NewtonStep { top, exact, form, next })
    }

    /// The operator, as a matrix where that is small: then its eigenvector is certain.
    fn form(&self, lambda: f64, residual: f64) -> Form<'_> {
        let mut operator = self.operator(lambda);
        if residual <= FINAL && operator.dim() <= FEW_UNKNOWNS {
            Form::Explicit(Explicit(column_by_column(&mut operator)))
        } else {
            Form::Implicit(operator)
        }
    }

    /// A `lambda` not far above the root at which the exact operator provably has no eigenvalue above 1.
    ///
    /// The blocks are the eigenvector, with as much of the resolvent added as makes them positive definite.
    fn certify(&self, root: f64, top: &TopEigenpair, operator: &mut dyn SymmetricOperator) -> Option<f64> {
        let sign = top.vector.iter().sum::<f64>().signum();
        let norm = top.resolvent.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut images = [vec![0.0; top.vector.len()], vec![0.0; top.vector.len()]];
        operator.apply(&top.vector, &mut images[0]);
        operator.apply(&top.resolvent, &mut images[1]);
        let mixture = |x: &[f64], y: &[f64], admixture: f64| -> Vec<f64> {
            x.iter().zip(y).map(|(x, y)| sign * x + admixture / norm * y).collect()
        };
        let mut best: Option<(f64, Vec<f64>)> = None;
        for admixture in [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e3] {
            let blocks = mixture(&top.vector, &top.resolvent, admixture);
            let image = mixture(&images[0], &images[1], admixture);
            if let Some(ratio) = block_ratio(self.ensemble, &image, &blocks)
                && best.as_ref().is_none_or(|(least, _)| ratio < *least)
            {
                best = Some((ratio, blocks));
            }
        }
        let (ratio, blocks) = best?;
        let mut margin = 2.0 * (ratio / top.value - 1.0).max(0.0) + 1e-10;
        let mut image = vec![0.0; blocks.len()];
        // Each try is a proof or none; a wider margin is easier to prove.
        for _ in 0..15 {
            let above = root.max(self.pole * (1.0 + 1e-15)) * (1.0 + margin);
            self.operator(above).apply(&blocks, &mut image);
            if block_ratio(self.ensemble, &image, &blocks).is_some_and(|ratio| ratio <= 1.0) {
                return self.kernel_is_positive(above).then_some(above);
            }
            margin *= 4.0;
        }
        None
    }
}
