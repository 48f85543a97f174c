//! What diagnostics are asked about.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use linstab_dynamics::mean_square::ThresholdSolver;
use linstab_dynamics::sampling::MomentWeights;
use linstab_dynamics::{MeanSquare, Optimizer};
use linstab_linalg::{Mat, Reduced};

use super::Shared;
use super::batches::Along;
use super::shared::once;
use crate::{CoherenceError, Result};

/// An analysis, its exact threshold, and what is known besides.
#[derive(Debug)]
pub struct Subject<'a> {
    analysis: &'a MeanSquare,
    exact: f64,
    learning_rate: Option<f64>,
    growth: Option<f64>,
    coefficients: Option<&'a [f64]>,
    squared_error: bool,
    seed: u64,
    shared: Rc<Shared>,
    solver: Option<RefCell<&'a mut ThresholdSolver>>,
    along: OnceCell<Vec<Along>>,
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
            growth: None,
            coefficients: None,
            squared_error: true,
            seed: 0,
            shared: Rc::new(Shared::of(analysis.effective_ensemble())),
            solver: None,
            along: OnceCell::new(),
        }
    }

    /// At a learning rate.
    #[must_use]
    pub fn at(self, learning_rate: Option<f64>) -> Self {
        Self { learning_rate, ..self }
    }

    /// With the growth of the mean square a step at the learning rate, where it is known.
    #[must_use]
    pub fn growing(self, growth: Option<f64>) -> Self {
        Self { growth, ..self }
    }

    /// With the root of the random batches.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Whether the coefficients are residuals of half the squared error; they are unless this says otherwise.
    #[must_use]
    pub fn of_squared_error(self, squared_error: bool) -> Self {
        Self { squared_error, ..self }
    }

    /// With what other analyses of the same ensemble have computed already; the answers are the same.
    ///
    /// # Errors
    /// [`CoherenceError::OutOfRange`] if that is about another ensemble than the optimizer sees here.
    /// # Examples
    /// See [`Shared`].
    pub fn sharing(self, shared: &Rc<Shared>) -> Result<Self> {
        if !shared.is_of(self.ensemble()) {
            let (name, value, allowed) =
                ("what is shared", f64::NAN, "of the ensemble that the optimizer sees");
            return Err(CoherenceError::OutOfRange { name, value, allowed });
        }
        Ok(Self { shared: Rc::clone(shared), ..self })
    }

    /// With a solver that has worked on the ensemble before.
    #[must_use]
    pub fn solving_with(self, solver: &'a mut ThresholdSolver) -> Self {
        Self { solver: Some(RefCell::new(solver)), ..self }
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

    pub(super) fn growth(&self) -> Option<f64> {
        self.growth
    }

    pub(super) fn coefficients(&self) -> Option<&'a [f64]> {
        self.coefficients
    }

    pub(super) fn is_of_squared_error(&self) -> bool {
        self.squared_error
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

    /// The momentum of plain SGD with heavy ball, 0 without; none for other rules.
    pub(super) fn heavy_ball(&self) -> Option<f64> {
        let optimizer = self.analysis.optimizer();
        let plain = Optimizer::sgd().with_momentum(optimizer.momentum()).ok()?;
        (optimizer.recursion() == plain.recursion()).then(|| optimizer.momentum())
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn noise_kernel_norm(&self, learning_rate: f64) -> Result<f64> {
        Ok(match &self.solver {
            Some(solver) => solver.borrow_mut().noise_kernel_norm(self.analysis, learning_rate)?,
            None => self.analysis.noise_kernel_norm(learning_rate)?,
        })
    }

    /// What gradients of random batches have to say, drawn once.
    pub(super) fn along(&self, draw: impl FnOnce() -> Result<Vec<Along>>) -> Result<&Vec<Along>> {
        once(&self.along, draw)
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
