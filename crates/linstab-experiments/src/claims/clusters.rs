//! Theorems 3.5 and 3.6: how large the clusters of a (C, r) solution are, and what SAM makes of them.

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Dataset, solutions};

use super::claim::{Claim, Judgement, ROUNDING, Setting, Verdict};
use super::instance::top;
use crate::Result;
use crate::statistics::mean;
use linstab_linalg::Mat;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["eq72", "eq73", "eq75"],
        statement: "With u = 2^-C and eps = sqrt((C + log 1/delta)/(2n)), the largest cluster has n u + n eps samples or more with probability at most 2^C e^-C delta, hence of delta.",
        correction: "The last steps would need 2^C e^-C <= 1, which is true; the bound is very loose.",
        assumptions: "uniform patterns",
        refuted_by: "sizes for which the exact union bound exceeds delta",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.1),
        check: |_, factor| {
            let (mut worst, mut num) = (0.0_f64, 0);
            for (n, c, delta) in grid() {
                let (u, eps) = (0.5_f64.powi(c), factor * epsilon(n, c, delta));
                let union = 2.0_f64.powi(c) * upper_tail(n, u, n as f64 * (u + eps));
                worst = worst.max(union / delta);
                num += 1;
            }
            Ok(Judgement::new(
                Verdict::holds_if(worst <= 1.0),
                format!("{num} sizes, exact binomial tails: the union bound is at most {worst:.3} delta"),
            ))
        },
    },
    Claim {
        ids: &["eq74"],
        statement: "P(|S_i| >= n u + n eps) <= exp(-2 eps n^2).",
        correction: "exp(-2 n eps^2), Hoeffding's inequality.",
        assumptions: "independent samples",
        refuted_by: "sizes for which the exact tail exceeds the corrected bound",
        expected: Verdict::HoldsAfterCorrection,
        constant: 2.0,
        wrong_constant: Some(20.0),
        check: |_, two| {
            let (mut printed, mut corrected) = (true, true);
            for (n, c, delta) in grid() {
                let (u, eps, size) = (0.5_f64.powi(c), epsilon(n, c, delta), n as f64);
                let tail = upper_tail(n, u, size * (u + eps));
                printed &= tail <= (-2.0 * eps * size * size).exp() * (1.0 + ROUNDING);
                corrected &= tail <= (-two * size * eps * eps).exp() * (1.0 + ROUNDING);
            }
            Ok(Judgement::new(
                Verdict::corrected(printed, corrected),
                "exact binomial tails for n = 20, 100, 1000, C = 2, 3, 5, 8, delta = 0.5, 0.1, 0.01",
            ))
        },
    },
    Claim {
        ids: &["thm3.5"],
        statement: "With high probability lambda_max(S) of a (C, r) solution is O(n 2^-C 2 sqrt(d + 1)).",
        correction: "lambda_max(S) <= 2 sqrt(d + 1) (n 2^-C + sqrt(n (C + log 1/delta)/2)): the second term must stay, unless n is of the order 4^C.",
        assumptions: "r = (d + 1)^(1/4)",
        refuted_by: "more than a share delta of data sets above the corrected bound",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(0.0),
        check: |setting, factor| {
            let (d, n, delta) = (100_usize, 100, 0.5);
            let scale = 2.0 * (d as f64 + 1.0).sqrt();
            let (mut text, mut leading, mut with_tail) = (String::new(), true, true);
            for c in 2..=5 {
                let tops = draws(setting, c, d, n, 0.0)?.into_iter().map(|draw| draw.top).collect::<Vec<_>>();
                let first = scale * n as f64 * 0.5_f64.powi(c);
                let bound = first + factor * scale * n as f64 * epsilon(n, c, delta);
                let above = tops.iter().filter(|&&x| x > bound).count() as f64 / tops.len() as f64;
                leading &= mean(&tops) <= first;
                with_tail &= above <= delta;
                text = format!("{text} C = {c}: {:.1} against {first:.1},", mean(&tops));
            }
            Ok(Judgement::new(
                Verdict::corrected(leading, with_tail),
                format!(
                    "d = n = 100, {} data sets, mean lambda_max(S) against the leading term:{text} with the second term no share above delta = 0.5",
                    setting.config.sizes.num_draws
                ),
            ))
        },
    },
    Claim {
        ids: &["eq76"],
        statement: "In a cluster of N samples with equal gradients of squared length t an entry of SAM's coherence matrix is t sqrt(1 + 2 (rho/alpha) t N + (rho/alpha)^2 t^2 N^2).",
        correction: "With N/n in place of N; the root is exact: t (1 + (rho/alpha) t N/n).",
        assumptions: "equal gradients in a cluster",
        refuted_by: "sizes for which the entry is another one",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(2.0),
        check: |_, exponent| {
            let (mut printed, mut corrected) = (0.0_f64, 0.0_f64);
            for (n, size, t, x) in [(4_usize, 2_usize, 3.0, 0.5), (6, 5, 20.1, 0.1), (8, 1, 7.0, 2.0)] {
                // Gradients sqrt(t) e_1 for the cluster, sqrt(t) e_2 for the others.
                let a = 1.0 + x * t * size as f64 / n as f64;
                let entry = ((a * t) * (a * t)).sqrt();
                let formula = |share: f64| t * (1.0 + 2.0 * x * t * share + (x * t * share).powi(2)).sqrt();
                printed = printed.max((formula(size as f64) / entry - 1.0).abs());
                corrected =
                    corrected.max((formula(size as f64 / (n as f64).powf(exponent)) / entry - 1.0).abs());
            }
            Ok(Judgement::new(
                Verdict::corrected(printed < 1e-12, corrected < 1e-12),
                format!("three sizes: as printed off by up to {printed:.1}, corrected by {corrected:.0e}"),
            ))
        },
    },
    Claim {
        ids: &["eq77", "eq78"],
        statement: "The mean of cluster size times entry is at least n u t sqrt((1 + (rho/alpha) t u)^2 + (rho/alpha)^2 t^2 u (1-u)/n), t = 2 sqrt(d + 1).",
        correction: "True, but not by Jensen's inequality (the function is concave in the sum of products); the exact value is n u t (1 + (rho/alpha) t (u + (1-u)/n)).",
        assumptions: "equal gradients in a cluster",
        refuted_by: "sizes for which the exact mean is below",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(1.01),
        check: |_, factor| {
            let (mut least, mut error, mut num) = (f64::INFINITY, 0.0_f64, 0);
            for (n, c, d, x) in [2_usize, 10, 100, 1000].into_iter().flat_map(|n| {
                [1, 2, 5, 8].into_iter().flat_map(move |c| {
                    [3.0, 30.0, 100.0, 1000.0].into_iter().flat_map(move |d: f64| {
                        [0.0, 0.01, 0.1, 1.0, 10.0].into_iter().map(move |x: f64| (n, c, d, x))
                    })
                })
            }) {
                let (u, t, size) = (0.5_f64.powi(c), 2.0 * (d + 1.0).sqrt(), n as f64);
                let exact = size * u * t * (1.0 + x * t * (u + (1.0 - u) / size));
                let sum: f64 = binomial_law(n, u)
                    .iter()
                    .enumerate()
                    .map(|(k, p)| p * k as f64 * t * (1.0 + x * t * k as f64 / size))
                    .sum();
                let bound =
                    size * u * t * ((1.0 + x * t * u).powi(2) + x * x * t * t * u * (1.0 - u) / size).sqrt();
                least = least.min(exact / (factor * bound));
                error = error.max((sum / exact - 1.0).abs());
                num += 1;
            }
            Ok(Judgement::new(
                Verdict::holds_if(least >= 1.0 - ROUNDING && error < 1e-9),
                format!(
                    "{num} sizes: smallest ratio {least:.9}; closed form against the binomial sum to {error:.0e}"
                ),
            ))
        },
    },
    Claim {
        ids: &["thm3.6"],
        statement: "With high probability the largest eigenvalue of SAM's coherence matrix is at most of the order of (78).",
        correction: "(78) bounds a mean from below. From above holds max_c N_c t (1 + (rho/alpha) t N_c/n) <= n (u+eps) t (1 + (rho/alpha) t (u+eps)) with probability 1 - delta; sigma_SAM = sigma = max_c N_c: SAM changes the eigenvalue, not the measure.",
        assumptions: "equal gradients in a cluster",
        refuted_by: "(78) above the mean, or the corrected bound exceeded too often",
        expected: Verdict::BoundOnly,
        constant: 1.0,
        wrong_constant: Some(3.0),
        check: |_, factor| {
            let (n, c, d, x, delta) = (100_usize, 5, 100.0_f64, 0.1, 0.1);
            let (u, t, size) = (0.5_f64.powi(c), 2.0 * (d + 1.0).sqrt(), n as f64);
            let printed = factor
                * size
                * u
                * t
                * ((1.0 + x * t * u).powi(2) + x * x * t * t * u * (1.0 - u) / size).sqrt();
            let top = |k: f64| k * t * (1.0 + x * t * k / size);
            let least = (0..=n).find(|&k| top(k as f64) > printed).unwrap_or(n);
            // Some cluster has at least the mean size; how likely is it that the largest one is above the printed order?
            let always = (size * u).ceil() >= least as f64;
            let below = 2.0_f64.powi(c) * upper_tail(n, u, size * (u + epsilon(n, c, delta)));
            let exact = size * u * t * (1.0 + x * t * (u + (1.0 - u) / size));
            let verdict = Verdict::bounded(!always, exact >= printed * (1.0 - ROUNDING) && below <= delta);
            Ok(Judgement::new(
                verdict,
                format!(
                    "n = d = 100, C = 5, rho/alpha = 0.1: (78) is {printed:.3}, the mean {exact:.3}; every data set has a cluster of {} samples, so lambda_max >= {:.3}; corrected bound exceeded with probability at most {below:.1e}",
                    (size * u).ceil(),
                    top((size * u).ceil())
                ),
            ))
        },
    },
    Claim {
        ids: &["eq79"],
        statement: "max_i lambda_max(A H_i) = 2 sqrt(d + 1) (1 + (rho/alpha) 2^-C 2 sqrt(d + 1)).",
        correction: "At least that, if all gradients of a cluster are equal; on random signs it is smaller for small C, |g_i|^2 + (rho/(alpha n)) sum_j (g_i . g_j)^2.",
        assumptions: "equal gradients in a cluster",
        refuted_by: "sizes for which the largest value is below",
        expected: Verdict::BoundOnly,
        constant: 1.0,
        wrong_constant: Some(2.0),
        check: |setting, factor| {
            let (d, n, x) = (100_usize, 100_usize, 0.1);
            let t = 2.0 * (d as f64 + 1.0).sqrt();
            let (mut equal, mut bound, mut text) = (true, true, String::new());
            for c in 2..=5 {
                let formula = t * (1.0 + x * 0.5_f64.powi(c) * t);
                let all = draws(setting, c, d, n, x)?;
                for draw in &all {
                    let ideal = t * (1.0 + x * t * draw.largest_cluster as f64 / n as f64);
                    equal &= (ideal / formula - 1.0).abs() < 1e-9;
                    bound &= ideal >= factor * formula * (1.0 - ROUNDING);
                }
                let real: Vec<f64> = all.iter().map(|draw| draw.max_sample).collect();
                text = format!("{text} C = {c}: {:.2} on real data, formula {formula:.2};", mean(&real));
            }
            Ok(Judgement::new(
                Verdict::bounded(equal, bound),
                format!(
                    "d = n = 100, rho/alpha = 0.1, {} data sets:{text} equal gradients: at least the formula always",
                    setting.config.sizes.num_draws
                ),
            ))
        },
    },
];

/// The sizes of the tables: samples, features, probability.
fn grid() -> impl Iterator<Item = (usize, i32, f64)> {
    let sizes = [20_usize, 100, 1000].into_iter().flat_map(|n| [2, 3, 5, 8].into_iter().map(move |c| (n, c)));
    sizes.flat_map(|(n, c)| [0.5, 0.1, 0.01].into_iter().map(move |delta| (n, c, delta)))
}

/// `sqrt((C + log 1/delta) / 2n)`.
fn epsilon(n: usize, c: i32, delta: f64) -> f64 {
    ((f64::from(c) - delta.ln()) / (2.0 * n as f64)).sqrt()
}

/// The binomial law, from its mode outwards.
fn binomial_law(n: usize, p: f64) -> Vec<f64> {
    let mode = (0..=n).take_while(|&k| k as f64 <= (n as f64 + 1.0) * p).last().unwrap_or(0).min(n);
    let mut law = vec![0.0; n + 1];
    law[mode] = 1.0;
    let odds = p / (1.0 - p);
    for k in mode..n {
        law[k + 1] = law[k] * odds * (n - k) as f64 / (k + 1) as f64;
    }
    for k in (0..mode).rev() {
        law[k] = law[k + 1] / odds * (k + 1) as f64 / (n - k) as f64;
    }
    let total: f64 = law.iter().sum();
    law.iter().map(|x| x / total).collect()
}

/// `P(X >= from)` of a binomial X.
fn upper_tail(n: usize, p: f64, from: f64) -> f64 {
    // Within rounding of an integer that integer counts.
    binomial_law(n, p).iter().enumerate().filter(|(k, _)| *k as f64 >= from - 1e-9).map(|(_, x)| x).sum()
}

/// What is read of one data set at the flattest solution.
struct Draw {
    top: f64,
    largest_cluster: usize,
    max_sample: f64,
}

/// Random data sets; the entries of S by the corrected (71), which is judged by itself.
fn draws(setting: &Setting<'_>, num_features: i32, d: usize, n: usize, ratio: f64) -> Result<Vec<Draw>> {
    let one = |index: usize| {
        let mut rng =
            setting.key.number(u64::from(num_features.unsigned_abs())).number(index as u64).generator();
        let data = parity::draw(n, d, Redundancy::Independent, &mut rng)?;
        let s = coherence_matrix(&data, usize::try_from(num_features).unwrap_or(0));
        let size = |i: usize| (0..n).filter(|&j| s[(i, j)] > 0.0).count();
        let sample =
            |i: usize| s[(i, i)] + ratio / n as f64 * (0..n).map(|j| s[(i, j)] * s[(i, j)]).sum::<f64>();
        Ok(Draw {
            top: top(s.as_ref()),
            largest_cluster: (0..n).map(size).max().unwrap_or(0),
            max_sample: (0..n).map(sample).fold(0.0, f64::max),
        })
    };
    (0..setting.config.sizes.num_draws).map(one).collect()
}

/// The coherence matrix of the flattest solution with so many features.
fn coherence_matrix(data: &Dataset, num_features: usize) -> Mat<f64> {
    let scale = solutions::optimal_scale(data.num_inputs()).powi(2);
    Mat::from_fn(data.num_samples(), data.num_samples(), |i, j| {
        let (x, y) = (data.input(i), data.input(j));
        let alike = x.iter().zip(y).take(num_features).all(|(a, b)| a * b > 0.0);
        let inner: f64 = x.iter().zip(y).map(|(a, b)| a * b).sum();
        if alike { scale + (inner + 1.0) / scale } else { 0.0 }
    })
}
