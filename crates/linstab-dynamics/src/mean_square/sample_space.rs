//! The threshold in sample space.
//!
//! The critical second moment obeys `D(lambda) o P = (b/n) sum_i H_i P H_i` with `lambda = 1/eta`, `D = lambda w1 - w2 - (a-1) h h^T`
//! (see the [module documentation](super)). Its right-hand side sees `P` only through the small blocks `V_i P V_i^T`, so with
//! `K = 1 / D` entrywise and a block `s_i` a sample,
//!
//! ```text
//! S(lambda) s = (b/n) ( V_i [ K o sum_j V_j^T s_j V_j ] V_i^T )_i
//! ```
//!
//! and the threshold is where the largest eigenvalue `mu` of `S(lambda)` is 1. `S` is symmetric, its unknown is one number a
//! sample (for one factor) instead of a matrix of order r, and `mu` falls with `lambda`, nearly like `1 / (lambda - const)`.
//! A growth `g` at a learning rate is the same problem with `g` in the place of `lambda` (see [`Family`]).
//!
//! # One algorithm
//!
//! In a [subspace](super::subspace) of sample space the problem is one of a dozen unknowns, at any `lambda`. Just above the root that it
//! has there, `(1 - S) x = 1` (the identity, a block a sample) is solved in the subspace, `x` nearly a multiple of the eigenvector; one
//! application of the operator to `x` either proves the root or leaves a residual; that, corrected in the leading eigendirections of `H`, is
//! what the subspace lacks, and is added. The subspace starts from the identity and from the solution in the leading eigendirections, where
//! everything costs next to nothing; what matters most of the subspace of one problem serves the next, since spreads depend on no kernel.
//!
//! # The certificate
//!
//! `S` maps positive semidefinite blocks to such where the kernel is positive semidefinite. So if `S(lambda) x <= x` (Loewner, block by
//! block) for some positive definite blocks `x`, then `mu(lambda) <= 1` (Collatz and Wielandt) and `eta* >= 1 / lambda`. The exact `x`
//! has `S x = x - 1`: blocks without any curvature and eigenvalues next to each other do it no harm. The other side is the Rayleigh
//! quotient of `P`. Where a [tail](super::tail) leaves entries of `S` open by `t_i t_j`, `t (t . x)` is added to `S x`, and the quotient is lowered.
//!
//! # The kernel is positive semidefinite
//!
//! `D_ab = f(h_a) + f(h_b) - c h_a h_b` with `c = a + 2 beta^2 / (1 - beta^2) >= 0`, so `x^T D x <= 0` for every `x` whose entries
//! sum to 0: `D` is conditionally negative definite. Hence `exp(-t D)` is positive semidefinite for `t > 0` (Schoenberg 1938), and
//! where `D > 0`, so is `K = int_0^inf exp(-t D) dt` (all entrywise). `D > 0` for `lambda` above the noise-free limit
//! `h_1 / (2 (1 + beta))`: its diagonal is positive there, and `2 D_ab >= D_aa + D_bb`. This holds for every optimizer whose `D` is linear
//! in `lambda`, with `h + decay` in the place of `h`; for the others (Nesterov and its relatives) the kernel is checked where a certificate
//! uses it.

use linstab_linalg::{LinalgError, Reduced, inner_products};

use super::blocks::{dot, pack_blocks, spread_blocks};
use super::certificate::{Doubt, SHARE_OF_STEP, Trial, is_positive};
use super::columns::for_columns;
use super::derived::Derived;
use super::family::Family;
use super::subspace::{Projected, SampleSubspace};
use super::tail::KernelOf;
use crate::Result;

/// Newton steps in a subspace; two or three are needed, many only where the root touches the noise-free limit.
const MAX_STEPS: usize = 100;
/// Where Newton's method leaves the bracket, the next place in it.
const TOWARDS_LOW: f64 = 0.2;
/// Next to the pole it is the pole that is meant.
const NEAR_POLE: f64 = 1e-3;
/// Vectors that are added to a subspace at most.
const MAX_EXPANSIONS: usize = 400;

/// So few directions are not worth a coarse space, which has `1 / COARSENING` of them.
const FEW_DIRECTIONS: usize = 96;
const COARSENING: usize = 6;
/// How well a problem in a coarse space is solved.
const COARSE_TOLERANCE: f64 = 1e-4;

/// Vectors of former problems that are worth the passes over them where there is a coarse space.
const REMEMBERED: usize = 2;

/// Iterations of a correction in the coarse space at most, and the square of what it leaves of a residual.
const MAX_CORRECTIONS: usize = 12;
const CORRECTED: f64 = 1e-4;

/// What a step above the root may cost the Rayleigh quotient: of the order of its square, relative to the distance from the pole.
const QUOTIENT_ERROR: f64 = 1e-11;
/// Steps above the root that are this small drown in rounding.
const LEAST_STEP: f64 = 1e-12;
/// A proof that rounding prevents is tried with steps wider by up to this.
const WIDENING: f64 = 1e4;

/// A problem of one optimizer and one sampling scheme.
pub(super) struct Problem<'a> {
    /// Mean eigenvalues of the effective ensemble in units of its sharpness, so that no product of curvatures can leave the range of
    /// numbers.
    h: Vec<f64>,
    /// `e_a`: what the congruence multiplies `h_a` by, in the same units.
    scale: Vec<f64>,
    /// `D`.
    family: &'a dyn Family,
    /// `b / n`.
    weight: f64,
}

/// The solution.
pub(super) struct Critical {
    /// Rayleigh quotient: a lower bound on the root, accurate to second order.
    pub(super) root: f64,
    /// A lower bound: the root, but for what a tail leaves open.
    pub(super) below: f64,
    /// An upper bound, if one was found.
    pub(super) above: Option<f64>,
    pub(super) moment: CriticalMoment,
    /// The blocks `x`.
    pub(super) blocks: Vec<f64>,
    /// Full applications of the operator.
    pub(super) num_applications: usize,
}

/// The critical second moment, of any norm.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CriticalMoment {
    /// Packed, in the coordinates of the effective ensemble: its first columns, all of them unless there is a tail.
    pub(super) leading: Vec<f64>,
    /// The blocks that it is the image of, `P = K o sum_i V_i^T s_i V_i`.
    pub(super) blocks: Vec<f64>,
    /// `<P, D o P>` of the other columns, in units of the sharpness.
    pub(super) tail: f64,
    /// All columns, and `V_i P V_i^T` of every sample, once somebody has asked for them.
    pub(super) all: Derived,
    pub(super) of_samples: Derived,
}

/// A place just above the root in a subspace.
struct Above {
    p: f64,
    projected: Projected,
    root: f64,
    /// The coordinates of the eigenvector there, and by how much the eigenvalue falls with `p`.
    vector: Vec<f64>,
    slope: f64,
}

impl<'a> Problem<'a> {
    /// `mean_eigenvalues` are those of the effective ensemble, `congruence` the squares of what scales its coordinates; `weight` is
    /// positive, and so is the largest mean eigenvalue, `unit`.
    pub(super) fn new(
        (mean_eigenvalues, unit): (&[f64], f64),
        congruence: &[f64],
        family: &'a dyn Family,
        weight: f64,
    ) -> Self {
        let in_units = |values: &[f64]| values.iter().map(|value| value / unit).collect();
        Self { h: in_units(mean_eigenvalues), scale: in_units(congruence), family, weight }
    }

    /// Finds the `p` at which the largest eigenvalue is 1, from a guess, to a relative `tolerance`; the subspace grows.
    pub(super) fn solve(
        &self,
        subspace: &mut SampleSubspace,
        guess: f64,
        tolerance: f64,
    ) -> Result<Critical> {
        let before = subspace.num_spreads();
        let mut guess = guess.max(self.family.pole() * (1.0 + NEAR_POLE));
        let coarse = self.coarse(subspace);
        if let Some((problem, ensemble)) = &coarse {
            let start = problem.solve(&mut SampleSubspace::new(ensemble, None), guess, COARSE_TOLERANCE)?;
            guess = start.root;
            self.keep_leading(subspace, guess, REMEMBERED)?;
            subspace.push(start.blocks);
        }
        let (mut widening, mut room) = (1.0, 1.0);
        for num_images in 1..=MAX_EXPANSIONS {
            subspace.interrupt.check()?;
            let share = if subspace.num_columns() < self.h.len() { SHARE_OF_STEP } else { 1.0 };
            let above = self.just_above(subspace, guess, (share * tolerance, widening * room))?;
            // Where the root in the subspace is next to the pole, a step may be too small for eigenvalues to be below 1. That says
            // nothing of what the subspace lacks.
            let Some(trial) = self.trial(subspace, &above) else {
                room *= 4.0;
                continue;
            };
            room = 1.0;
            if trial.doubt.as_ref().is_some_and(|doubt| !doubt.is_little(above.root, tolerance)) {
                let interrupt = subspace.interrupt.clone();
                *subspace = SampleSubspace::new(&subspace.ensemble().clone(), None);
                subspace.interrupt = interrupt;
                subspace.push(trial.blocks);
                guess = above.p;
                continue;
            }
            let proven = trial.is_proof(subspace.ensemble());
            if proven || widening > WIDENING {
                let num_applications = num_images.max(subspace.num_spreads() - before);
                return Ok(self.critical(subspace, &above, trial, (proven, num_applications)));
            }
            guess = above.p;
            if subspace.len() >= subspace.capacity() {
                self.keep_leading(subspace, guess, subspace.capacity() / 2)?;
            }
            let residual = trial.residual(subspace.ensemble());
            let correction = match &coarse {
                Some((problem, ensemble)) => problem.resolve(ensemble, guess, &residual),
                None => residual,
            };
            // What is slow to converge, as eigenvalues next to each other are, is proven with more room.
            if !subspace.push(correction) || num_images.is_multiple_of(2 * subspace.capacity()) {
                widening *= 4.0;
            }
        }
        let (method, num_applications) = ("subspace expansion", MAX_EXPANSIONS);
        Err(LinalgError::NotConverged { method, num_applications, residual: f64::NAN }.into())
    }

    /// Solves `(1 - S) x = 1` in the subspace, and applies the operator to the solution.
    fn trial(&self, subspace: &SampleSubspace, above: &Above) -> Option<Trial> {
        let coefficients = above.projected.resolve(&subspace.coordinates_of_identity())?;
        let kernel: KernelOf<'_> = &|column, weights, slopes| self.kernel(above.p, column, weights, slopes);
        let mut image = self.image(subspace.ensemble(), above.p, subspace.spread_of(&coefficients));
        image.iter_mut().zip(subspace.tail_image(kernel, &coefficients)).for_each(|(x, tail)| *x += tail);
        let (blocks, vector) = (subspace.vector(&coefficients), subspace.vector(&above.vector));
        let doubt = subspace.doubt(kernel).map(|t| Doubt::of(&t, &blocks, (&vector, above.slope)));
        Some(Trial { blocks, image, doubt })
    }

    fn critical(
        &self,
        subspace: &SampleSubspace,
        above: &Above,
        trial: Trial,
        (proven, num_applications): (bool, usize),
    ) -> Critical {
        Critical {
            root: above.root,
            below: above.root - trial.doubt.map_or(0.0, |doubt| doubt.shift),
            above: (proven && is_positive(self.family, above.p, &self.h)).then_some(above.p),
            moment: self.critical_moment(subspace, above),
            blocks: trial.blocks,
            num_applications,
        }
    }

    /// The problem in the leading directions; none where there are few.
    fn coarse(&self, subspace: &SampleSubspace) -> Option<(Self, Reduced)> {
        let rank = self.h.len();
        if rank <= FEW_DIRECTIONS {
            return None;
        }
        let num_leading = (rank / COARSENING).max(FEW_DIRECTIONS / 2).min(subspace.num_columns());
        let leading = subspace.ensemble().leading(num_leading);
        let first = |values: &[f64]| values.iter().take(leading.rank()).copied().collect();
        Some((Problem { h: first(&self.h), scale: first(&self.scale), ..*self }, leading))
    }

    /// `(1 - S(p))^{-1} right`, roughly, above the root, by conjugate gradients.
    fn resolve(&self, ensemble: &Reduced, p: f64, right: &[f64]) -> Vec<f64> {
        let mut solution = vec![0.0; right.len()];
        let (mut residual, mut direction) = (right.to_vec(), right.to_vec());
        let first = dot(right, right);
        let mut square = first;
        for _ in 0..MAX_CORRECTIONS {
            let image = self.image(ensemble, p, spread_blocks(ensemble, &direction, ensemble.rank()));
            let curvature = dot(&direction, &direction) - dot(&direction, &image);
            if !(curvature > 0.0 && square > CORRECTED * first) {
                break;
            }
            let step = square / curvature;
            for (at, x) in solution.iter_mut().enumerate() {
                *x += step * direction[at];
                residual[at] -= step * (direction[at] - image[at]);
            }
            let next = dot(&residual, &residual);
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / square * *d);
            square = next;
        }
        solution
    }

    /// A place above the root in the subspace, and not far.
    fn just_above(
        &self,
        subspace: &SampleSubspace,
        guess: f64,
        (tolerance, widening): (f64, f64),
    ) -> Result<Above> {
        let pole = self.family.pole();
        let (mut low, mut high) = (pole, f64::INFINITY);
        let (mut p, mut reach) = (guess, widening);
        for _ in 0..MAX_STEPS {
            let projected = self.project(subspace, p);
            let (value, vector, slope) = projected.top()?;
            // Newton's method on 1 / mu, which is nearly linear.
            let newton = p + value * (value - 1.0) / slope;
            let root = if newton > pole && newton.is_finite() { newton } else { pole };
            let step = reach * step_above(root, pole, tolerance);
            if value <= 1.0 && p < root + 0.3 * step {
                // As little above the root is as good as below: rounding would decide, as it does over some width where mu is flat.
                reach *= 4.0;
                p += 4.0 * step;
                continue;
            }
            if value > 1.0 {
                low = p;
            } else {
                high = p;
            }
            let next = root + step;
            // Far above the root the line through 1 / mu meets 1 below the pole.
            let inside = next > low && next < high && (root > pole || p <= pole * (1.0 + NEAR_POLE));
            let next = match (inside, high.is_finite()) {
                (true, _) => next,
                (false, true) => low + TOWARDS_LOW * (high - low),
                (false, false) => 2.0 * p,
            };
            if value <= 1.0 && (p <= root + 3.0 * step || next <= low || next >= high) {
                return Ok(Above { p, projected, root, vector, slope });
            }
            p = next;
        }
        // Where rounding decides on which side a place is, the bracket still holds: its end is above the root, if not as near as was asked.
        let projected = self.project(subspace, high);
        let (value, vector, slope) = projected.top()?;
        if value.is_nan() || value > 1.0 {
            let (method, residual) = ("Newton", f64::NAN);
            return Err(LinalgError::NotConverged { method, num_applications: MAX_STEPS, residual }.into());
        }
        Ok(Above { p: high, projected, root: low.min(high), vector, slope })
    }

    fn project(&self, subspace: &SampleSubspace, p: f64) -> Projected {
        subspace.project(&|column, weights, slopes| self.kernel(p, column, weights, slopes))
    }

    /// The kernel `b/n e_a e_b / D_ab` of one packed column, and its derivative.
    fn kernel(&self, p: f64, column: usize, weights: &mut [f64], slopes: &mut [f64]) {
        let (xs, y) = (&self.h[column..], self.h[column]);
        self.family.fill(p, xs, y, weights, slopes);
        let own = self.weight * self.scale[column];
        for ((weight, slope), scale) in weights.iter_mut().zip(slopes).zip(&self.scale[column..]) {
            let inverse = weight.recip();
            *weight = own * scale * inverse;
            *slope *= -*weight * inverse;
        }
    }

    /// `S(p)` of the blocks with this spread.
    fn image(&self, ensemble: &Reduced, p: f64, mut spread: Vec<f64>) -> Vec<f64> {
        for_columns(ensemble.rank(), &mut spread, |column, entries| {
            let (mut weights, mut slopes) = (vec![0.0; entries.len()], vec![0.0; entries.len()]);
            self.kernel(p, column, &mut weights, &mut slopes);
            for (x, k) in entries.iter_mut().zip(&weights) {
                *x *= k;
            }
        });
        pack_blocks(ensemble, &inner_products(ensemble, &spread))
    }

    fn critical_moment(&self, subspace: &SampleSubspace, above: &Above) -> CriticalMoment {
        let kernel: KernelOf<'_> = &|column, weights, slopes| self.kernel(above.p, column, weights, slopes);
        let blocks = subspace.vector(&above.vector);
        let tail = dot(&blocks, &subspace.tail_image(kernel, &above.vector)) / self.weight;
        let leading = self.moment(above.p, subspace.spread_of(&above.vector));
        CriticalMoment { leading, blocks, tail, ..CriticalMoment::default() }
    }

    /// The second moment of blocks with this spread, or its first columns, in the coordinates of the effective ensemble.
    pub(super) fn moment(&self, p: f64, mut spread: Vec<f64>) -> Vec<f64> {
        for_columns(self.h.len(), &mut spread, |column, entries| {
            let (mut weights, mut slopes) = (vec![0.0; entries.len()], vec![0.0; entries.len()]);
            self.family.fill(p, &self.h[column..], self.h[column], &mut weights, &mut slopes);
            for (at, x) in entries.iter_mut().enumerate() {
                *x *= (self.scale[column] * self.scale[column + at]).sqrt() / weights[at];
            }
        });
        spread
    }

    /// Leaves the vectors that matter most at `p`, where there are more.
    fn keep_leading(&self, subspace: &mut SampleSubspace, p: f64, num_kept: usize) -> Result<()> {
        if subspace.len() <= num_kept + 1 {
            return Ok(());
        }
        let leading = self.project(subspace, p).leading(num_kept)?;
        subspace.keep(leading);
        Ok(())
    }
}

/// How far above a root a certificate is tried.
fn step_above(root: f64, pole: f64, tolerance: f64) -> f64 {
    let most = (QUOTIENT_ERROR.max(tolerance * tolerance) * root * (root - pole)).sqrt();
    (tolerance * root).min(most).max(LEAST_STEP * root)
}
