//! The paper's formulas for generalising solutions, and what they should be.
//!
//! On `d` independent +-1 inputs the samples of a cluster, those with one sign pattern of the first `C`, share a unit. With the
//! scale `r` and the factor `k` of the loss (1 for the half convention), `g_i . g_j` is, times `k`,
//!
//! ```text
//! q = r^2 + (d + 1) / r^2                  for i = j,
//! a + noise,   a = r^2 + (C + 1) / r^2     for i != j in one cluster, noise of variance v = (d - C) / r^4,
//! 0                                        otherwise.
//! ```
//!
//! The paper takes all entries of a cluster for `q` (arXiv 2511.17378, eq. (71)) and all clusters for as large as the mean,
//! `n / 2^C`. At the optimal scale `a` is about half of `q` when `d` is large. With the largest cluster `m` as it was drawn and
//! the rows of its block summing to `q + (m - 1) a` in the mean,
//!
//! ```text
//! lambda_max(S)           = q + (m - 1) a =: l           SAM: l (1 + c l / n)
//! max_i lambda_max(H_i)   = q                            SAM: q + (c / n) (q^2 + (m - 1) (a^2 + v))
//! ```
//!
//! The last is the mean over a cluster of `|g_i|^2 + (c / n) sum_j (g_i . g_j)^2`; for SAM, `S = |K + (c / n) K^2|` with the Gram
//! matrix `K` of the gradients, which has no negative entries here.

use crate::minimum::Metric;

/// What the formulas depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Formulas {
    pub(super) num_samples: f64,
    pub(super) num_inputs: f64,
    pub(super) scale: f64,
    pub(super) curvature_factor: f64,
    /// `C`; `None` for the memorising solution, whose clusters are single samples.
    pub(super) num_features: Option<f64>,
    /// `c = rho / alpha`; 0 for SGD.
    pub(super) rho_over_alpha: f64,
}

impl Formulas {
    /// Curvature of a sample, `k q`.
    fn of_sample(&self) -> f64 {
        let squared = self.scale * self.scale;
        self.curvature_factor * (squared + (self.num_inputs + 1.0) / squared)
    }

    /// The paper's value; `None` where it has none.
    pub(super) fn paper(&self, metric: Metric) -> Option<f64> {
        let (n, q, c) = (self.num_samples, self.of_sample(), self.rho_over_alpha);
        let Some(num_features) = self.num_features else { return self.paper_of_memorising(metric) };
        let share = (-num_features).exp2();
        let ascent = 1.0 + c * q * share;
        match metric {
            Metric::LargestCluster => Some(n * share),
            // Theorem 3.6; Theorem 3.5 for c = 0.
            Metric::LambdaMaxS => {
                let spread = c * c / n * (share - share * share) * q * q;
                Some(n * share * q * (ascent * ascent + spread).sqrt())
            }
            // Eq. (79).
            Metric::MaxSampleSharpness => Some(q * ascent),
            Metric::Sigma => Some(self.paper(Metric::LambdaMaxS)? / self.paper(Metric::MaxSampleSharpness)?),
            Metric::Trace if c <= 0.0 => Some(q),
            _ => None,
        }
    }

    /// Theorem 3.4: `S` is diagonal.
    fn paper_of_memorising(&self, metric: Metric) -> Option<f64> {
        let value = match metric {
            Metric::LargestCluster | Metric::Sigma => 1.0,
            Metric::LambdaMaxS | Metric::MaxSampleSharpness | Metric::Trace => self.of_sample(),
            _ => return None,
        };
        (self.rho_over_alpha <= 0.0).then_some(value)
    }

    /// The value in the mean over data with so large a largest cluster; `None` where there is nothing to correct.
    pub(super) fn corrected(&self, metric: Metric, largest_cluster: f64) -> Option<f64> {
        let (n, q, c) = (self.num_samples, self.of_sample(), self.rho_over_alpha);
        let squared = self.scale * self.scale;
        let num_features = self.num_features.unwrap_or(0.0);
        let others = largest_cluster - 1.0;
        let between = self.curvature_factor * (squared + (num_features + 1.0) / squared);
        let spread = self.curvature_factor.powi(2) * (self.num_inputs - num_features) / squared.powi(2);
        let row_sum = q + others * between;
        match metric {
            Metric::LambdaMaxS => Some(row_sum * (1.0 + c * row_sum / n)),
            Metric::MaxSampleSharpness => Some(q + c / n * (q * q + others * (between * between + spread))),
            Metric::Sigma => Some(
                self.corrected(Metric::LambdaMaxS, largest_cluster)?
                    / self.corrected(Metric::MaxSampleSharpness, largest_cluster)?,
            ),
            Metric::Sharpness => Some(row_sum / n * (1.0 + c * row_sum / n)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formulas(num_features: f64, rho_over_alpha: f64) -> Formulas {
        Formulas {
            num_samples: 100.0,
            num_inputs: 100.0,
            scale: 101.0_f64.sqrt().sqrt(),
            curvature_factor: 1.0,
            num_features: Some(num_features),
            rho_over_alpha,
        }
    }

    /// The digits that are shown.
    fn close(found: Option<f64>, expected: f64, tolerance: f64) {
        assert!(found.is_some_and(|x| (x - expected).abs() < tolerance), "{found:?}, not {expected}");
    }

    /// Independent calculations, and a Monte Carlo of 200 draws: mean cluster sizes 30.24, 18.08, 10.98, 7.36 of C = 2 to 5
    /// go with mean eigenvalues 323.0, 198.7, 125.7, 88.1, of standard error 1.8 or less.
    #[test]
    fn known_values() {
        for (c, paper, cluster, corrected, simulated) in [
            (2.0, 502.5, 30.24, 322.7, 323.0),
            (3.0, 251.2, 18.08, 198.6, 198.7),
            (4.0, 125.6, 10.98, 125.4, 125.7),
            (5.0, 62.8, 7.36, 87.8, 88.1),
        ] {
            close(formulas(c, 0.0).paper(Metric::LambdaMaxS), paper, 0.05);
            close(formulas(c, 0.0).corrected(Metric::LambdaMaxS, cluster), corrected, 0.11);
            close(formulas(c, 0.0).corrected(Metric::LambdaMaxS, cluster), simulated, 0.4);
        }
        for (c, expected) in [(2.0, 30.20), (3.0, 25.15), (4.0, 22.63), (5.0, 21.36)] {
            close(formulas(c, 0.1).paper(Metric::MaxSampleSharpness), expected, 0.006);
        }
        // Without ascent the formulas of SAM are those of SGD, and a cluster of one sample is memorising.
        close(formulas(3.0, 0.0).paper(Metric::MaxSampleSharpness), 2.0 * 101.0_f64.sqrt(), 1e-12);
        close(formulas(3.0, 0.0).corrected(Metric::Sigma, 1.0), 1.0, 1e-12);
        assert_eq!(formulas(3.0, 0.1).paper(Metric::Sharpness), None);
        // The convention of the loss doubles what is linear in the curvature.
        let full = Formulas { curvature_factor: 2.0, ..formulas(2.0, 0.0) };
        close(full.corrected(Metric::LambdaMaxS, 30.24), 2.0 * 322.7, 0.2);
        close(full.paper(Metric::Sigma), 25.0, 1e-12);
    }
}
