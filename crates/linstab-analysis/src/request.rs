//! What an analysis is asked.

use linstab_dynamics::SamplingScheme;

use crate::{AnalysisError, Result};

/// What to find out.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Batch sizes, in the order of the report.
    pub batch_sizes: Vec<usize>,
    /// How batches are drawn.
    pub sampling: SamplingScheme,
    /// A learning rate to judge.
    pub learning_rate: Option<f64>,
    /// SAM's rho over alpha.
    pub rho_over_alpha: Option<f64>,
    /// Heavy-ball momentum.
    pub momentum: Option<f64>,
    /// What every curvature is multiplied by.
    pub scale: f64,
    /// A label for each sample.
    pub labels: Option<Vec<i64>>,
    /// Whether to estimate the Lyapunov exponent at the learning rate.
    pub lyapunov: bool,
    /// Number of responsible samples to name.
    pub top: usize,
    /// Root of the random streams.
    pub seed: u64,
}

impl Request {
    /// Checks what can be checked before anything is read.
    ///
    /// # Errors
    /// [`AnalysisError::Option`].
    pub fn check(&self, num_samples: usize) -> Result<()> {
        let refuse = |name, value: String, allowed: &str| {
            Err(AnalysisError::Option { name, value, allowed: allowed.to_owned() })
        };
        if let Some(size) = self.batch_sizes.iter().find(|size| !(1..=num_samples).contains(*size)) {
            let allowed = format!("1 to the number of samples, {num_samples}");
            return refuse("--batch-size", size.to_string(), &allowed);
        }
        for (name, value, zero) in [
            ("--scale", Some(self.scale), false),
            ("--learning-rate", self.learning_rate, false),
            ("--rho-over-alpha", self.rho_over_alpha, true),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && (value > 0.0 || (zero && value >= 0.0)))
            {
                let allowed = if zero { "nonnegative and finite" } else { "positive and finite" };
                return refuse(name, value.to_string(), allowed);
            }
        }
        if let Some(momentum) = self.momentum
            && !(momentum > -1.0 && momentum < 1.0)
        {
            return refuse("--momentum", momentum.to_string(), "above -1 and below 1");
        }
        if self.lyapunov && self.learning_rate.is_none() {
            return refuse("--lyapunov", "given".to_owned(), "together with --learning-rate");
        }
        if let Some(labels) = &self.labels
            && labels.len() != num_samples
        {
            let allowed = format!("one a sample: {num_samples}");
            return refuse("number of labels", labels.len().to_string(), &allowed);
        }
        Ok(())
    }
}
