//! How noise along two directions adds up in the mean square of an optimizer with one memory.
//!
//! Along a direction of curvature `h` a step of the [recursion](crate::optimizer::Recursion) is `z+ = A z + eta b xi` for the pair `z`
//! of iterate and memory, where `xi` is the noise of the batch gradient and `b = (-c, input)`, `c` the response. With
//! `d = decoupled_decay`, `k = h + coupled_decay`, `mu = memory` and `nu = mu direct`, trace and determinant of `A` are
//!
//! ```text
//! T = 1 + mu - eta d - eta c k          D = mu - eta D1,  D1 = mu d + nu k
//! ```
//!
//! and the iterate answers a unit of noise by the sequence `y_j` whose transfer function is `-(c z - nu) / (z^2 - T z + D)`. Noise along
//! two directions (the second is primed) adds up to `s = eta^2 sum_j y_j y'_j`, a Gram matrix, so **positive semidefinite for every such
//! optimizer**. The sum is elementary. With `E = 1 - T + D = eta E1`, `E1 = (1 - mu) d + (c - nu) k`,
//!
//! ```text
//! X = 1 - D D'      Q = E1 (1 - D') + E1' (1 - D)      p = E1 - D E1'      p' = E1' - D' E1
//! 1 / s = (Q X / eta - p p') / ((c - nu)^2 X + eta c nu Q)
//! ```
//!
//! in which nothing cancels for small curvatures. It follows from `sum r_j r'_j = X / Delta` for the responses `r` of
//! `1 / (1 - T z + D z^2)`, `sum r_{j+1} r'_j = (T - D T') / Delta` and `Delta = X^2 - (T - D T')(T' - D' T)`. Heavy ball
//! has `c = 1`, `nu = 0`, `D = mu`: `1 / s` is then linear in `1 / eta`, the closed form of the [module documentation](super).
//!
//! # Growth
//!
//! An eigenvalue `g` of the second-moment map takes the place of 1: the sum has weights `g^{-j-1}`, that is `T`, `D` and `nu` become
//! `T / sqrt(g)`, `D / g` and `nu / sqrt(g)`, and `s` is divided by `g`.
//!
//! # What is proven, and what is checked
//!
//! The critical `P` obeys `P = s o N(P)`. As `<P, s^{-1} o P>` is a sum of squares of entries, the threshold is the only crossing where
//! every `1 / s` falls with `eta`. Without `nu` and `D1` (SGD, heavy ball, dampening, averages, either weight decay without momentum) it
//! does by the formula; for Nesterov's momentum, quasi-hyperbolic momentum and decoupled decay with momentum it did for all of
//! the random parameters of the test below, and so was the kernel `1 / (1/s - (a - 1) h h')` of the certificate positive semidefinite.

use crate::optimizer::Recursion;

/// The entrywise weight `D(lambda)` of a critical second moment, `D o P = (b/n) sum_i H_i P H_i` with `lambda = 1/eta`:
/// `1 / s - (a - 1) h h'`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CriticalWeights {
    pub(super) recursion: Recursion,
    /// `a - 1`.
    pub(super) excess: f64,
}

/// `D = lambda sum (x + y) - product x y + difference (x - y)^2 - excess h h'` with `x = decay + pull h`.
#[derive(Clone, Copy)]
pub(super) struct LinearForm {
    pub(super) decay: f64,
    pub(super) pull: f64,
    pub(super) sum: f64,
    pub(super) product: f64,
    pub(super) difference: f64,
    pub(super) excess: f64,
}

impl LinearForm {
    /// `D` and its derivative at an entry.
    #[inline]
    pub(super) fn at(&self, lambda: f64, x: f64, y: f64) -> (f64, f64) {
        let (slope, put_back) = self.terms(x, y);
        (lambda * slope - (put_back + self.excess * x * y), slope)
    }

    /// What damping takes off, over `lambda`, and what the noise-free method puts back.
    #[inline]
    fn terms(&self, x: f64, y: f64) -> (f64, f64) {
        let (a, b) = (self.decay + self.pull * x, self.decay + self.pull * y);
        (self.sum * (a + b), self.product * a * b - self.difference * (a - b) * (a - b))
    }
}

/// What both directions of an entry have, at one learning rate.
struct Pair {
    /// `Q X / eta`, what damping takes.
    damping: f64,
    /// `p p'`, what the noise-free method puts back.
    put_back: f64,
    /// The denominator of `1 / s`.
    response: f64,
    /// Derivative of `1 / s` by `lambda`.
    slope: f64,
}

impl CriticalWeights {
    /// `D` at the entry of two mean eigenvalues.
    pub(super) fn at(&self, lambda: f64, x: f64, y: f64) -> f64 {
        self.at_with_slope(lambda, x, y).0
    }

    /// `D` and its derivative by `lambda`.
    pub(super) fn at_with_slope(&self, lambda: f64, x: f64, y: f64) -> (f64, f64) {
        if let Some(linear) = self.linear_form() {
            return linear.at(lambda, x, y);
        }
        let pair = self.pair(lambda, x, y);
        ((pair.damping - pair.put_back) / pair.response - self.excess * x * y, pair.slope)
    }

    /// The form of `D` where it is linear in `lambda`.
    pub(super) fn linear_form(&self) -> Option<LinearForm> {
        if !self.is_linear() {
            return None;
        }
        let (mu, squared) = (self.recursion.memory, self.recursion.response().powi(2));
        let [decay, pull] = self.restoring_parts();
        Some(LinearForm {
            decay,
            pull,
            sum: (1.0 - mu) / squared,
            product: (1.0 - mu) / ((1.0 + mu) * squared),
            difference: mu / ((1.0 - mu) * (1.0 + mu) * squared),
            excess: self.excess,
        })
    }

    /// The two terms of `1 / s`: what damping takes off and what the noise-free method puts back.
    pub(super) fn balance(&self, lambda: f64, x: f64, y: f64) -> (f64, f64) {
        if let Some(linear) = self.linear_form() {
            let (slope, put_back) = linear.terms(x, y);
            (lambda * slope, put_back)
        } else {
            let pair = self.pair(lambda, x, y);
            (pair.damping / pair.response, pair.put_back / pair.response)
        }
    }

    /// Whether `1 / s` is linear in `lambda`.
    pub(super) fn is_linear(&self) -> bool {
        let Recursion { memory, direct, decoupled_decay, .. } = self.recursion;
        (memory * direct).abs() + (memory * decoupled_decay).abs() <= 0.0
    }

    /// The `lambda` at which a single direction of mean curvature `mean` and batch variance `variance` is critical: where `1 / s` is
    /// the variance.
    pub(super) fn scalar_root(&self, mean: f64, variance: f64) -> f64 {
        let Recursion { memory, .. } = self.recursion;
        if self.is_linear() {
            let (pull, squared) = (self.restoring(mean), self.recursion.response().powi(2));
            return 0.5 * (pull / (1.0 + memory) + variance * squared / (pull * (1.0 - memory)));
        }
        let pole = self.recursion.noise_free_limit(mean).recip();
        let missing =
            |lambda: f64| variance - CriticalWeights { excess: 0.0, ..*self }.at(lambda, mean, mean);
        let (mut low, mut high) = (pole, 2.0 * pole);
        while missing(high) > 0.0 && high.is_finite() {
            (low, high) = (high, 2.0 * high);
        }
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                return high;
            }
            if missing(middle) > 0.0 { low = middle } else { high = middle }
        }
    }

    /// `E1` of a direction.
    fn restoring(&self, h: f64) -> f64 {
        let [decay, pull] = self.restoring_parts();
        decay + pull * h
    }

    /// `E1` without curvature, and for each unit of it.
    fn restoring_parts(&self) -> [f64; 2] {
        let Recursion { memory, direct, coupled_decay, decoupled_decay, .. } = self.recursion;
        let pull = self.recursion.response() - memory * direct;
        [(1.0 - memory) * decoupled_decay + pull * coupled_decay, pull]
    }

    fn pair(&self, lambda: f64, x: f64, y: f64) -> Pair {
        let Recursion { memory, direct, coupled_decay, decoupled_decay, .. } = self.recursion;
        let (eta, nu, c) = (lambda.recip(), memory * direct, self.recursion.response());
        let contraction = |h: f64| memory * decoupled_decay + nu * (h + coupled_decay);
        let (e, f) = (self.restoring(x), self.restoring(y));
        let (d, g) = (memory - eta * contraction(x), memory - eta * contraction(y));
        // Derivatives by lambda end in _l.
        let (d_l, g_l) = (eta * eta * contraction(x), eta * eta * contraction(y));
        let (x, x_l) = (1.0 - d * g, -(d_l * g + d * g_l));
        let (q, q_l) = (e * (1.0 - g) + f * (1.0 - d), -(e * g_l + f * d_l));
        let (p, p_l) = ((1.0 - d) * e + d * (e - f), -d_l * f);
        let (r, r_l) = ((1.0 - g) * f + g * (f - e), -g_l * e);
        let square = (c - nu) * (c - nu);
        let response = square * x + c * nu * eta * q;
        let response_l = square * x_l + c * nu * eta * (q_l - eta * q);
        let (damping, put_back) = (lambda * x * q, p * r);
        let numerator_l = x * q + lambda * (x_l * q + x * q_l) - (p_l * r + p * r_l);
        let slope = (numerator_l - (damping - put_back) * response_l / response) / response;
        Pair { damping, put_back, response, slope }
    }
}

/// `eta^2 / s` at an eigenvalue `g` of the second-moment map; not positive at or below the growth without noise.
pub(crate) fn growth_defect(recursion: Recursion, eta: f64, g: f64, x: f64, y: f64) -> f64 {
    let root = g.sqrt();
    let (nu, c) = (recursion.memory * recursion.direct / root, recursion.response());
    let own = |h: f64| {
        let (_, determinant) = recursion.trace_and_determinant(eta, h);
        let at_one = eta
            * ((1.0 - recursion.memory) * recursion.decoupled_decay
                + (c - recursion.memory * recursion.direct) * (h + recursion.coupled_decay));
        // 1 - T/r + D/r^2 with T = 1 + D - E, so that nothing cancels where g is next to 1.
        let shift = (g - 1.0) / (root * (1.0 + root));
        (shift * (1.0 - determinant / root) + at_one / root, determinant / g)
    };
    let ((e, d), (f, h)) = (own(x), own(y));
    let (across, sum) = (1.0 - d * h, e * (1.0 - h) + f * (1.0 - d));
    let (p, r) = ((1.0 - d) * e + d * (e - f), (1.0 - h) * f + h * (f - e));
    g * (across * sum - p * r) / ((c - nu) * (c - nu) * across + c * nu * sum)
}

/// The threshold of a single direction of mean curvature `mean` and batch variance `variance`.
pub(crate) fn scalar_threshold(recursion: Recursion, mean: f64, variance: f64) -> f64 {
    CriticalWeights { recursion, excess: 0.0 }.scalar_root(mean, variance).recip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;
    use linstab_linalg::{Mat, symmetric};
    use proptest::prelude::*;

    /// `s` at a growth `g` by its series, from the step as it is written.
    fn series(recursion: Recursion, eta: f64, g: f64, x: f64, y: f64) -> f64 {
        let step = |(w, u): (f64, f64), h: f64, noise: f64| {
            let gradient = (h + recursion.coupled_decay) * w + noise;
            let u = recursion.memory * u + eta * recursion.input * gradient;
            let w = (1.0 - eta * recursion.decoupled_decay) * w - eta * recursion.direct * gradient;
            (w - recursion.output * u, u)
        };
        let (mut a, mut b) = (step((0.0, 0.0), x, 1.0), step((0.0, 0.0), y, 1.0));
        let (mut sum, mut weight) = (0.0, g.recip());
        for _ in 0..200_000 {
            let term = weight * a.0 * b.0;
            sum += term;
            if weight * (a.0.abs() + a.1.abs()) * (b.0.abs() + b.1.abs()) < 1e-18 * sum.abs() {
                break;
            }
            (a, b, weight) = (step(a, x, 0.0), step(b, y, 0.0), weight / g);
        }
        sum
    }

    fn recursions() -> impl Strategy<Value = Recursion> {
        let decay = prop_oneof![Just(0.0), Just(0.1), Just(1.0)];
        let momentum = prop_oneof![0.01_f64..0.95, Just(0.9)];
        (0..5_usize, momentum, decay, 0.0_f64..1.0, any::<bool>()).prop_map(
            |(rule, mu, decay, nu, negative)| {
                let text = match rule {
                    0 => format!(
                        "sgd:momentum={},dampening={nu},weight_decay={decay}",
                        if negative { -mu } else { mu }
                    ),
                    1 => format!("sgd:momentum={mu},nesterov=true,weight_decay={decay}"),
                    2 => format!("qhm:momentum={mu},nu={nu},weight_decay={decay}"),
                    3 => format!("sgdw:momentum={mu},nesterov={negative},weight_decay={decay}"),
                    _ => format!("ema:beta1={mu},weight_decay={decay}"),
                };
                text.parse::<Optimizer>().unwrap().recursion()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_closed_form_is_the_series(recursion in recursions(), x in 0.01_f64..1.0, y in 0.01_f64..1.0, at in 0.05_f64..0.95, growth in 1.0_f64..2.0) {
            let eta = at * recursion.noise_free_limit(1.0);
            let weights = CriticalWeights { recursion, excess: 0.0 };
            let (found, expected) = (weights.at(eta.recip(), x, y), series(recursion, eta, 1.0, x, y).recip());
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{recursion:?} {found} {expected}");
            let (found, expected) = (growth_defect(recursion, eta, growth, x, y), eta * eta / series(recursion, eta, growth, x, y));
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{recursion:?} {found} {expected}");
            // Negative control: another memory has another sum.
            let wrong = CriticalWeights { recursion: Recursion { memory: recursion.memory.powi(2), ..recursion }, excess: 0.0 };
            let off = wrong.at(eta.recip(), x, y);
            prop_assert!((off - weights.at(eta.recip(), x, y)).abs() > 1e-9, "{recursion:?}");
        }

        #[test]
        fn slopes_are_differences(recursion in recursions(), x in 0.01_f64..1.0, y in 0.01_f64..1.0, at in 0.05_f64..0.95) {
            let weights = CriticalWeights { recursion, excess: -0.5 };
            let lambda = (at * recursion.noise_free_limit(1.0)).recip();
            let step = 1e-5 * lambda;
            let difference = (weights.at(lambda + step, x, y) - weights.at(lambda - step, x, y)) / (2.0 * step);
            let (_, slope) = weights.at_with_slope(lambda, x, y);
            prop_assert!((slope - difference).abs() <= 1e-6 * slope.abs(), "{recursion:?} {slope} {difference}");
            // What makes the threshold the only crossing.
            prop_assert!(slope > 0.0, "{recursion:?} {slope}");
        }

        #[test]
        fn kernels_are_positive_semidefinite(recursion in recursions(), h in prop::collection::vec(1e-4_f64..1.0, 1..6), at in 0.01_f64..0.999, excess in -1.0_f64..0.0) {
            let lambda = (at * recursion.noise_free_limit(1.0)).recip();
            let weights = CriticalWeights { recursion, excess };
            let kernel = Mat::from_fn(h.len(), h.len(), |i, j| h[i] * h[j] / weights.at(lambda, h[i], h[j]));
            let values = symmetric::eigenvalues(kernel.as_ref()).unwrap();
            prop_assert!(values[0] >= -1e-12 * values[values.len() - 1], "{recursion:?} {values:?}");
        }
    }
}
