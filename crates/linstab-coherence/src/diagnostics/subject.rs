//! What diagnostics are asked about.

use std::cell::OnceCell;

use linstab_dynamics::MeanSquare;
use linstab_dynamics::mean_square::NecessaryConditions;
use linstab_dynamics::sampling::MomentWeights;
use linstab_linalg::{Mat, Reduced, gram_matrix};

use crate::{CoherenceError, Result};

/// An analysis, its exact threshold, and what is known besides.
#[derive(Debug)]
pub struct Subject<'a> {
    analysis: &'a MeanSquare,
    exact: f64,
    learning_rate: Option<f64>,
    coefficients: Option<&'a [f64]>,
    seed: u64,
    gram: OnceCell<Mat<f64>>,
    bounds: OnceCell<NecessaryConditions>,
}

impl<'a> Subject<'a> {
    /// The analysis of all samples under one optimizer and one scheme, with its exact threshold.
    ///
    /// # Examples
    /// See [`diagnose`](super::diagnose).
    pub fn new(analysis: &'a MeanSquare, exact: f64) -> Self {
        Self {
            analysis,
            exact,
            learning_rate: None,
            coefficients: None,
            seed: 0,
            gram: OnceCell::new(),
            bounds: OnceCell::new(),
        }
    }

    /// At a learning rate.
    #[must_use]
    pub fn at(self, learning_rate: Option<f64>) -> Self {
        Self { learning_rate, ..self }
    }

    /// With the root of the random batches.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With coefficients of gradients, one a factor: the gradient of sample `i` is `sum_q c_iq f_iq`.
    ///
    /// # Shapes
    /// (num_samples * num_factors), sample by sample.
    /// # Errors
    /// [`CoherenceError::OutOfRange`] for another number of them, or one that is not finite.
    pub fn with_coefficients(self, coefficients: &'a [f64]) -> Result<Self> {
        let rows = self.ensemble().factors().nrows();
        if coefficients.len() != rows {
            let (name, value, allowed) =
                ("number of coefficients", coefficients.len() as f64, "one a factor");
            return Err(CoherenceError::OutOfRange { name, value, allowed });
        }
        if let Some(&value) = coefficients.iter().find(|value| !value.is_finite()) {
            return Err(CoherenceError::OutOfRange { name: "a coefficient", value, allowed: "finite" });
        }
        Ok(Self { coefficients: Some(coefficients), ..self })
    }

    pub(super) fn analysis(&self) -> &'a MeanSquare {
        self.analysis
    }

    pub(super) fn ensemble(&self) -> &'a Reduced {
        self.analysis.effective_ensemble()
    }

    pub(super) fn exact(&self) -> f64 {
        self.exact
    }

    pub(super) fn learning_rate(&self) -> Option<f64> {
        self.learning_rate
    }

    pub(super) fn coefficients(&self) -> Option<&'a [f64]> {
        self.coefficients
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn weights(&self) -> MomentWeights {
        self.analysis.sampling().moment_weights()
    }

    pub(super) fn is_sgd(&self) -> bool {
        self.analysis.optimizer().recursion().is_sgd()
    }

    /// Inner products of the factors as the optimizer sees them.
    pub(super) fn gram(&self) -> Result<&Mat<f64>> {
        if self.gram.get().is_none() {
            let gram = gram_matrix(self.ensemble().factors())?;
            let _ = self.gram.set(gram);
        }
        Ok(self.gram.get().expect("it was just set"))
    }

    pub(super) fn bounds(&self) -> Result<NecessaryConditions> {
        if let Some(bounds) = self.bounds.get() {
            return Ok(*bounds);
        }
        let bounds = self.analysis.necessary_conditions()?;
        Ok(*self.bounds.get_or_init(|| bounds))
    }

    /// The gradients of all samples in the eigenbasis, a row each; none without coefficients.
    pub(super) fn gradients(&self) -> Option<Mat<f64>> {
        let coefficients = self.coefficients?;
        let (k, factors) = (self.ensemble().num_factors(), self.ensemble().factors());
        Some(Mat::from_fn(self.ensemble().num_samples(), self.ensemble().rank(), |i, a| {
            (i * k..(i + 1) * k).map(|row| coefficients[row] * factors[(row, a)]).sum()
        }))
    }
}
