//! The critical point of a problem in sample space whose operator is formed from shared products.
//!
//! A matrix costs a hundredth of the products that it is made of, and an eigenvector of it next to nothing: the secant method on `1 / mu`,
//! which is nearly linear. Both ends of the interval are proven by a matrix each: at the upper one by positive numbers that it does
//! not enlarge, at the lower one by a Rayleigh quotient, with the bound on what the combination leaves out on the safe side.

use linstab_linalg::lanczos::{Explicit, TopEigenpair, multiply};

use super::perron;
use super::sample_operator::{CERTAIN_RESIDUAL, Form, identity_blocks};
use super::sample_space::{Critical, MAX_STEPS, SampleSpace, not_converged};
use super::shared_products::{Formed, SharedProducts};
use crate::Result;

/// How accurately kernel and eigenvector are taken.
#[derive(Clone, Copy)]
struct Accuracy {
    kernel: f64,
    residual: f64,
}

/// The first steps only have to bring lambda near.
const FIRST: Accuracy = Accuracy { kernel: 1e-8, residual: 1e-4 };
const FINAL: Accuracy = Accuracy { kernel: 1e-14, residual: CERTAIN_RESIDUAL };
/// Half the width of the first interval that is tried, and of the widest: each try is a proof or none, and a wider one is easier to prove.
/// Next to the pole it is less: a quarter of the distance.
const MARGIN: f64 = 4e-9;
const WIDEST: f64 = 1e-4;
/// Within this part of the pole the kernel is next to singular and its combination not accurate enough.
const NEXT_TO_POLE: f64 = 1e-5;

impl SampleSpace<'_> {
    /// Solves `mu(lambda) = 1`, from a start nearby; `None` if the kernels take too many functions, or the root touches the noise-free
    /// limit.
    pub(super) fn solve_formed(
        &self,
        products: &mut SharedProducts,
        start: (f64, Vec<f64>),
    ) -> Result<Option<Critical>> {
        let (mut lambda, mut start) = start;
        let mut accuracy = FIRST;
        // At the pole 1 / mu is 0.
        let (mut last, mut low, mut high) = ((self.pole, 0.0), self.pole, f64::INFINITY);
        let mut num_applications = 0;
        for _ in 0..MAX_STEPS {
            let Some(formed) = self.formed(products, lambda, accuracy.kernel) else { return Ok(None) };
            let mut form = Form::Explicit(Explicit(formed.matrix));
            let top = form.lanczos(&start, accuracy.residual)?;
            num_applications += top.num_applications;
            let inverse = top.value.recip();
            if inverse < 1.0 {
                low = low.max(lambda);
            } else {
                high = high.min(lambda);
            }
            let slope = (inverse - last.1) / (lambda - last.0);
            let mut next = lambda + (1.0 - inverse) / slope;
            if !(next > low && next < high) {
                next = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * lambda };
            }
            // Next to the pole 1 / mu runs from 0 to 1 within the distance from it.
            let distance = next - self.pole;
            let settled = (next - lambda).abs() <= (1e-7 * lambda).min(1e-3 * distance)
                || distance <= 1e-12 * self.pole;
            last = (lambda, inverse);
            if settled && distance <= NEXT_TO_POLE * self.pole {
                return Ok(None);
            }
            if settled && accuracy.kernel <= FINAL.kernel {
                let Form::Explicit(Explicit(matrix)) = form else { return Ok(None) };
                let mut found = self.enclose(products, next, &top);
                if found.as_ref().is_some_and(|found| {
                    found.lambda_above.is_none_or(|above| above > next * (1.0 + 4.0 * MARGIN))
                }) {
                    // Eigenvalues can be so close that the iteration took two for one.
                    let top = perron::top_eigenpair(&matrix, &identity_blocks(self.ensemble), &top.vector)?;
                    let root = if (top.value - 1.0).abs() <= 1e-6 { next } else { lambda * top.value };
                    found = self.enclose(products, root, &top);
                }
                return Ok(found.map(|found| Critical { num_applications, ..found }));
            }
            if (next - lambda).abs() <= 1e-3 * lambda || settled {
                accuracy = FINAL;
            }
            lambda = next;
            start = self.positive(&top.vector);
        }
        Err(not_converged())
    }

    /// The interval around a root, from the eigenvector next to it; `None` if a kernel takes too many functions.
    fn enclose(&self, products: &mut SharedProducts, root: f64, top: &TopEigenpair) -> Option<Critical> {
        let sign = top.vector.iter().sum::<f64>().signum();
        let vector: Vec<f64> = top.vector.iter().map(|x| sign * x).collect();
        let root = root.max(self.pole * (1.0 + 1e-15));
        let (mut below, mut above) = (None, None);
        let mut nearest = [None; 2];
        let mut margin = MARGIN;
        while margin <= WIDEST && (below.is_none() || above.is_none()) {
            let step = (margin * root).min(0.25 * (root - self.pole));
            for (side, at) in [root - step, root + step].into_iter().enumerate() {
                let open = if side == 0 { below.is_none() } else { above.is_none() };
                if !open {
                    continue;
                }
                let formed = self.formed(products, at, FINAL.kernel)?;
                let (quotient, slack) = quotient(products, &formed, &vector);
                nearest[side].get_or_insert((at, quotient));
                if side == 0 && quotient - slack >= 1.0 {
                    below = Some(at);
                } else if side == 1 && proves_above(products, &formed, top) {
                    above = Some(at);
                }
            }
            margin *= 4.0;
        }
        let (mut lambda, mut decline) = (root, None);
        if let [Some((low, below)), Some((high, above))] = nearest
            && below > above
        {
            let (left, right) = (below.recip(), above.recip());
            let middle = low + (1.0 - left) * (high - low) / (right - left);
            lambda = middle.clamp(low, high);
            decline = Some((below - above) / (high - low) * lambda);
        }
        let lambda_below = below.unwrap_or(self.pole);
        Some(Critical {
            lambda,
            lambda_below,
            lambda_above: above,
            blocks: vector,
            decline,
            num_applications: 0,
        })
    }
}

/// `s^T S s / s^T s`, and how much it may be off.
fn quotient(products: &SharedProducts, formed: &Formed, s: &[f64]) -> (f64, f64) {
    let magnitudes: Vec<f64> = s.iter().map(|x| x.abs()).collect();
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    (formed.quotient(s), dot(&products.slack(formed, s), &magnitudes) / dot(s, s))
}

/// Whether some mixture of the eigenvector and the resolvent is positive and not enlarged.
fn proves_above(products: &SharedProducts, formed: &Formed, top: &TopEigenpair) -> bool {
    let sign = top.vector.iter().sum::<f64>().signum();
    let norm = top.resolvent.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut images = [vec![0.0; top.vector.len()], vec![0.0; top.vector.len()]];
    multiply(&formed.matrix, &top.vector, &mut images[0]);
    multiply(&formed.matrix, &top.resolvent, &mut images[1]);
    let mixture = |x: &[f64], y: &[f64], admixture: f64| -> Vec<f64> {
        x.iter().zip(y).map(|(x, y)| sign * x + admixture / norm * y).collect()
    };
    [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e3].into_iter().any(|admixture| {
        let blocks = mixture(&top.vector, &top.resolvent, admixture);
        let image = mixture(&images[0], &images[1], admixture);
        let slack = products.slack(formed, &blocks);
        let held = |((t, e), s): ((&f64, &f64), &f64)| (*s > 0.0 && t + e <= *s) || (*s >= 0.0 && *t <= 0.0);
        image.iter().zip(&slack).zip(&blocks).all(held)
    })
}
