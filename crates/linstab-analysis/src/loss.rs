//! Coefficients of gradients from what a network says, what it should say, and the loss.

use std::fmt;
use std::str::FromStr;

use crate::files::Tensor;
use crate::{AnalysisError, Result};

/// A loss whose gradients are combinations of the factors.
///
/// # Examples
/// ```
/// use linstab_analysis::Loss;
/// assert_eq!("mse".parse::<Loss>()?, Loss::Mse);
/// // Two outputs a sample: the mean of squares has the curvature of their half sum, times 2/2.
/// assert_eq!(Loss::Mse.scale(2), 1.0);
/// # Ok::<(), linstab_analysis::AnalysisError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// `|f - y|^2 / 2` a sample, factors being gradients of the outputs.
    HalfSquaredError,
    /// The mean of `(f_q - y_q)^2` over the `k` outputs of a sample, as frameworks have it; factors as before.
    Mse,
    /// Cross-entropy of the softmax of `C` logits, factors being `sqrt(p_c) (d f_c - sum_d p_d d f_d)` for each class, or the `C - 1` rows of a square root
    /// of the same curvature, `b_c - s_c / (1 + s_C) b_C` with `s = sqrt(p)` and the former rows `b`.
    CrossEntropy,
}

impl Loss {
    /// All losses.
    pub const ALL: [Self; 3] = [Self::HalfSquaredError, Self::Mse, Self::CrossEntropy];

    /// The name that a flag takes.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_analysis::Loss::CrossEntropy.name(), "cross_entropy");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfSquaredError => "half_squared_error",
            Self::Mse => "mse",
            Self::CrossEntropy => "cross_entropy",
        }
    }

    /// What every sum of outer products of factors is multiplied by.
    ///
    /// # Examples
    /// See [`Loss`].
    pub fn scale(self, num_factors: usize) -> f64 {
        if self == Self::Mse { 2.0 / num_factors as f64 } else { 1.0 }
    }

    /// Whether coefficients are residuals: half their squares are the loss.
    ///
    /// # Examples
    /// ```
    /// assert!(!linstab_analysis::Loss::CrossEntropy.is_squared_error());
    /// ```
    pub fn is_squared_error(self) -> bool {
        self != Self::CrossEntropy
    }

    /// Coefficients `c`, one a factor: the gradient of sample `i` is `sum_q c_iq f_iq`, the factors being those of the file times the root of the
    /// [scale](Self::scale).
    ///
    /// # Shapes
    /// Outputs (samples, outputs), or (samples) for one. Targets alike, for cross-entropy a class a sample, counted from 0.
    /// # Errors
    /// [`AnalysisError::Unsupported`] for other shapes than the factors ask for, numbers that are not finite, a class that is none, and a class
    /// of probability 0 by rounding; [`AnalysisError::Io`].
    pub fn coefficients(
        self,
        outputs: Tensor<'_>,
        targets: Tensor<'_>,
        (num_samples, num_factors): (usize, usize),
    ) -> Result<Vec<f64>> {
        if self.is_squared_error() {
            let scale = self.scale(num_factors).sqrt();
            let outputs = outputs.floats("outputs", num_samples, num_factors)?;
            let targets = targets.floats("targets", num_samples, num_factors)?;
            return Ok(outputs.iter().zip(targets).map(|(f, y)| scale * (f - y)).collect());
        }
        let num_classes = outputs.shape().get(1).copied().unwrap_or(1);
        let (of_outputs, of_targets) = (outputs.path().to_owned(), targets.path().to_owned());
        if num_classes < 2 || !(num_classes - 1..=num_classes).contains(&num_factors) {
            let problem = format!(
                "has shape {:?}; with {num_factors} factors a sample cross-entropy has logits of {num_factors} or {} classes",
                outputs.shape(),
                num_factors + 1
            );
            return Err(AnalysisError::unsupported(&of_outputs, problem));
        }
        let logits = outputs.floats("outputs", num_samples, num_classes)?;
        let classes = targets.labels()?;
        if classes.len() != num_samples {
            let problem = format!("has {} classes, one a sample is needed: {num_samples}", classes.len());
            return Err(AnalysisError::unsupported(&of_targets, problem));
        }
        let mut coefficients = Vec::with_capacity(num_samples * num_factors);
        for (at, (logits, &class)) in logits.chunks_exact(num_classes).zip(&classes).enumerate() {
            let known =
                usize::try_from(class).ok().filter(|class| *class < num_classes).ok_or_else(|| {
                    let problem =
                        format!("entry {at} is {class}, allowed: classes from 0 to {}", num_classes - 1);
                    AnalysisError::unsupported(&of_targets, problem)
                })?;
            let own = of_cross_entropy(logits, known, num_factors);
            if !own.iter().all(|x| x.is_finite()) {
                let problem =
                    format!("sample {at} gives its class no probability: its gradient has no coefficients");
                return Err(AnalysisError::unsupported(&of_outputs, problem));
            }
            coefficients.extend(own);
        }
        Ok(coefficients)
    }
}

/// `sqrt(p_q) - [q = y] / sqrt(p_y)`, and with a factor less than classes the same after the reflection that takes `sqrt(p)` to the last axis.
fn of_cross_entropy(logits: &[f64], class: usize, num_factors: usize) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|f| (f - most).exp()).sum();
    // Half the logarithm of a probability.
    let half = |q: usize| 0.5 * (logits[q] - most - total.ln());
    let root = |q: usize| half(q).exp();
    // 1 - p_y is the sum of the others: where a sample is fitted the difference would be rounding alone.
    let missing = || {
        (0..logits.len()).filter(|&q| q != class).map(|q| (2.0 * half(q) - half(class)).exp()).sum::<f64>()
    };
    let plain = |q: usize| if q == class { -missing() } else { root(q) };
    let last = logits.len() - 1;
    if num_factors > last {
        return (0..logits.len()).map(plain).collect();
    }
    (0..last).map(|q| plain(q) - root(q) / (1.0 + root(last)) * plain(last)).collect()
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Loss {
    type Err = AnalysisError;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|loss| loss.name() == text).ok_or_else(|| AnalysisError::Option {
            name: "loss".to_owned(),
            value: text.to_owned(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient of cross-entropy by differences, for linear logits `f = W x`: rows of factors as documented.
    #[test]
    fn coefficients_of_cross_entropy_give_its_gradient() {
        let jacobian = [[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [-0.7, 0.1, 0.6]];
        for (class, at) in [(0, [0.2, -0.4, 0.9]), (1, [1.5, 0.3, -2.0]), (2, [0.0, 0.0, 0.0])] {
            let logits = |w: [f64; 3]| jacobian.map(|row| row.iter().zip(w).map(|(j, w)| j * w).sum::<f64>());
            let loss = |w: [f64; 3]| {
                let f = logits(w);
                f.iter().map(|f| f.exp()).sum::<f64>().ln() - f[class]
            };
            let p: Vec<f64> = {
                let f = logits(at).map(f64::exp);
                f.iter().map(|x| x / f.iter().sum::<f64>()).collect()
            };
            let mean = |a: usize| (0..3).map(|c| p[c] * jacobian[c][a]).sum::<f64>();
            let row = |c: usize| [0, 1, 2].map(|a| p[c].sqrt() * (jacobian[c][a] - mean(a)));
            let reduced =
                |c: usize| [0, 1, 2].map(|a| row(c)[a] - p[c].sqrt() / (1.0 + p[2].sqrt()) * row(2)[a]);
            let gradient = |rows: &[[f64; 3]]| {
                let c = of_cross_entropy(&logits(at), class, rows.len());
                [0, 1, 2].map(|a| c.iter().zip(rows).map(|(c, row)| c * row[a]).sum::<f64>())
            };
            let (all, fewer) = (gradient(&[row(0), row(1), row(2)]), gradient(&[reduced(0), reduced(1)]));
            for a in 0..3 {
                let moved = |by: f64| {
                    let mut w = at;
                    w[a] += by;
                    loss(w)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((all[a] - slope).abs() < 1e-9, "{} is not {slope}", all[a]);
                assert!((fewer[a] - all[a]).abs() < 1e-14, "{} is not {}", fewer[a], all[a]);
            }
            // Of a sample that is fitted to rounding both are as small as the probabilities of other classes.
            let fitted = of_cross_entropy(&[0.0, 40.0, 0.0], 1, 3);
            assert!((fitted[1] / (-2.0 * (-40.0_f64).exp()) - 1.0).abs() < 1e-12, "{fitted:?}");
            // Negative control: another class has another gradient.
            let other = of_cross_entropy(&logits(at), (class + 1) % 3, 3);
            let own = of_cross_entropy(&logits(at), class, 3);
            assert!(other.iter().zip(own).any(|(x, y)| (x - y).abs() > 0.1));
        }
    }
}
