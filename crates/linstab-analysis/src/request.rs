//! What an analysis is asked.

use linstab_dynamics::mean_square::TOLERANCES;
use linstab_dynamics::sampling::{LastBatch, Loader};
use linstab_dynamics::{Optimizer, SamplingScheme};

use crate::{AnalysisError, Loss, Result};

/// Relative width of intervals, if nothing else is asked for.
pub const TOLERANCE: f64 = 1e-6;

/// What to find out.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Request {
    /// Batch sizes, in the order of the report.
    pub batch_sizes: Vec<usize>,
    /// How batches are drawn.
    pub sampling: Loader,
    /// What becomes of samples that do not fill a batch, where batches are cut from an order.
    pub last_batch: LastBatch,
    /// Whether gradients of preconditioned optimizers are at hand.
    pub preconditioned: bool,
    /// Samples of the data set that these were drawn from without replacement, if they are not all of it.
    pub population: Option<usize>,
    /// A learning rate to judge.
    pub learning_rate: Option<f64>,
    /// The optimizers, in the order of the report.
    pub optimizers: Vec<Optimizer>,
    /// What every curvature is multiplied by.
    pub scale: f64,
    /// Coefficients of the gradients, one a factor, sample by sample: the gradient of sample `i` is `sum_q c_iq f_iq`.
    pub residuals: Option<Vec<f64>>,
    /// The loss that these are of, where it is known; otherwise they are taken for residuals of half the squared error.
    pub loss: Option<Loss>,
    /// Whether to report diagnostics of the literature beside the thresholds.
    pub diagnostics: bool,
    /// A label for each sample.
    pub labels: Option<Vec<i64>>,
    /// Whether to estimate the Lyapunov exponent at the learning rate.
    pub lyapunov: bool,
    /// Whether to estimate thresholds of almost every run beside those of the mean square, within a budget.
    pub almost_sure: bool,
    /// Relative width of the intervals of exact thresholds that is good enough.
    pub tolerance: f64,
    /// Number of responsible samples to name.
    pub top: usize,
    /// Root of the random streams.
    pub seed: u64,
}

impl Default for Request {
    /// SGD at no batch size, batches drawn afresh without replacement; five responsible samples.
    fn default() -> Self {
        Self {
            batch_sizes: Vec::new(),
            sampling: Loader::Independent(SamplingScheme::WithoutReplacement),
            last_batch: LastBatch::Keep,
            preconditioned: false,
            population: None,
            learning_rate: None,
            optimizers: vec![Optimizer::sgd()],
            scale: 1.0,
            residuals: None,
            loss: None,
            diagnostics: false,
            labels: None,
            lyapunov: false,
            almost_sure: false,
            tolerance: TOLERANCE,
            top: 5,
            seed: 0,
        }
    }
}

impl Request {
    /// Batch sizes that are asked about if none are: those of 1, 8, 32 that are not more than the samples.
    pub fn usual_batch_sizes(num_samples: usize) -> Vec<usize> {
        [1, 8, 32].into_iter().filter(|&size| size <= num_samples).collect()
    }

    /// Each once, in the order of their first mention.
    pub fn without_repeats<T: Copy + PartialEq>(all: &[T]) -> Vec<T> {
        let mut once: Vec<T> = Vec::new();
        for one in all {
            if !once.contains(one) {
                once.push(*one);
            }
        }
        once
    }

    fn check_population(&self, num_samples: usize) -> Result<()> {
        let Some(population) = self.population else { return Ok(()) };
        let refuse = |allowed: String| {
            Err(AnalysisError::Option {
                name: "population".to_owned(),
                value: population.to_string(),
                allowed,
            })
        };
        if population < num_samples || num_samples < 2 {
            return refuse(format!("at least the number of samples, {num_samples}, of which two are needed"));
        }
        let drawn = matches!(self.sampling, Loader::Epochs(_))
            || self.optimizers.iter().any(|optimizer| optimizer.batch_ascent().is_some());
        if drawn || self.lyapunov {
            return refuse(
                "with batches drawn afresh, no ascent on them and no Lyapunov exponent".to_owned(),
            );
        }
        Ok(())
    }

    /// Whether diagnostics say something of an optimizer: they are of batches drawn afresh from these samples, without ascent on them.
    pub(crate) fn can_be_diagnosed(&self, optimizer: Optimizer) -> bool {
        matches!(self.sampling, Loader::Independent(_))
            && self.population.is_none()
            && optimizer.batch_ascent().is_none()
    }

    /// Refuses diagnostics, or what is given for them by the option `name`, where they say nothing; without, they are left out.
    ///
    /// # Errors
    /// [`AnalysisError::Option`].
    pub fn require_diagnostics(&self, name: &str) -> Result<()> {
        if self.optimizers.iter().any(|&optimizer| self.can_be_diagnosed(optimizer)) {
            return Ok(());
        }
        let allowed = "with batches drawn afresh from all of the data, and without ascent on them: there are no diagnostics of others";
        Err(AnalysisError::Option {
            name: name.to_owned(),
            value: "given".to_owned(),
            allowed: allowed.to_owned(),
        })
    }

    /// Checks what can be checked before anything is read.
    ///
    /// # Errors
    /// [`AnalysisError::Option`].
    pub fn check(&self, num_samples: usize) -> Result<()> {
        let refuse = |name: &str, value: String, allowed: &str| {
            Err(AnalysisError::Option { name: name.to_owned(), value, allowed: allowed.to_owned() })
        };
        self.check_population(num_samples)?;
        if self.last_batch != LastBatch::Keep && matches!(self.sampling, Loader::Independent(_)) {
            return refuse("last_batch", self.last_batch.name().to_owned(), "with batches by epochs alone");
        }
        let drawn_from = self.population.unwrap_or(num_samples);
        if let Some(size) = self.batch_sizes.iter().find(|size| !(1..=drawn_from).contains(*size)) {
            let allowed = format!("1 to the number of samples, {drawn_from}");
            return refuse("batch_size", size.to_string(), &allowed);
        }
        for (name, value) in [("scale", Some(self.scale)), ("learning_rate", self.learning_rate)] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                return refuse(name, value.to_string(), "positive and finite");
            }
        }
        let with_preconditioner = self.optimizers.iter().find(|optimizer| optimizer.rule().preconditioned);
        match (with_preconditioner, self.preconditioned) {
            (Some(optimizer), false) => {
                return refuse("optimizer", optimizer.to_string(), "together with a preconditioner");
            }
            (None, true) => {
                let rules = Optimizer::RULES.iter().filter(|rule| rule.preconditioned).map(|rule| rule.name);
                let allowed = format!(
                    "together with an optimizer that divides by it: {}",
                    rules.collect::<Vec<_>>().join(", ")
                );
                return refuse("preconditioner", "given".to_owned(), &allowed);
            }
            _ => {}
        }
        if !(TOLERANCES.contains(&self.tolerance)) {
            return refuse("tolerance", self.tolerance.to_string(), "from 1e-11 to 1e-4");
        }
        if self.lyapunov && self.learning_rate.is_none() {
            return refuse("lyapunov", "asked for".to_owned(), "together with a learning rate");
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
