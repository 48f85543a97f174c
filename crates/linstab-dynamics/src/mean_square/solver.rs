//! Thresholds and growths of one ensemble, sharing what they can.

use linstab_linalg::Reduced;

use super::family::{Family, Growth, InverseRate, NoiseNorm};
use super::memory_kernel::CriticalWeights;
use super::sample_space::Critical;
use super::subspace::SampleSubspace;
use super::tail::Tail;
use super::{CertificateKind, MeanSquare, Threshold};
use crate::error::require_nonnegative;
use crate::{DynamicsError, Interrupt, Result};

/// Relative width of a certified interval, if nothing else is asked for.
const TOLERANCE: f64 = 1e-10;
/// Tolerances that make sense in double precision.
pub const TOLERANCES: std::ops::RangeInclusive<f64> = 1e-11..=1e-4;
/// Tolerances from which on what a tail of small curvatures leaves open is little enough for it to be tried.
const WITH_TAIL: f64 = 1e-7;
/// Growths are relative to something: this small is nothing left after a step.
const LEAST_GROWTH: f64 = 1e-14;

/// Exact thresholds and growths of one ensemble, for any number of optimizers and sampling schemes: what was computed for one serves the
/// next, so a whole curve over batch sizes costs little more than a few of its points.
///
/// Results depend on the order of the questions by rounding and within their intervals only.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::ThresholdSolver;
/// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
/// use linstab_linalg::{Factored, Reduced};
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let mut solver = ThresholdSolver::new(&ensemble);
/// for (batch_size, expected) in [(1, 1.0), (2, 6.0 / 5.0), (3, 9.0 / 7.0)] {
///     let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, batch_size)?;
///     let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
///     assert!((solver.max_learning_rate(&sgd)?.value - expected).abs() < 1e-12);
/// }
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ThresholdSolver {
    ensemble: Reduced,
    subspace: Option<SampleSubspace>,
    tolerance: f64,
    interrupt: Interrupt,
}

impl ThresholdSolver {
    /// A solver for the ensemble before any optimizer's congruence: the one that [`MeanSquare::new`] takes.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let solver = ThresholdSolver::new(&ensemble);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(ensemble: &Reduced) -> Self {
        Self { ensemble: ensemble.clone(), subspace: None, tolerance: TOLERANCE, interrupt: Interrupt::new() }
    }

    /// The same, whose answers end with [`DynamicsError::Interrupted`] once the flag is raised.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// The flag that stops it.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The same with another relative width of intervals; 1e-10 is usual.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless it is from 1e-11 to 1e-4.
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// assert!(ThresholdSolver::new(&ensemble).with_tolerance(1e-6).is_ok());
    /// assert!(ThresholdSolver::new(&ensemble).with_tolerance(0.0).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn with_tolerance(self, tolerance: f64) -> Result<Self> {
        if TOLERANCES.contains(&tolerance) {
            return Ok(Self { tolerance, ..self });
        }
        let (name, value, allowed) = ("tolerance", tolerance, "from 1e-11 to 1e-4");
        Err(DynamicsError::OutOfRange { name, value, allowed })
    }

    /// The threshold of an analysis, as [`MeanSquare::max_learning_rate`]; one of another ensemble shares nothing, and is right.
    ///
    /// # Errors
    /// As [`MeanSquare::max_learning_rate`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![2.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((ThresholdSolver::new(&ensemble).max_learning_rate(&sgd)?.value - 0.5).abs() < 1e-14);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn max_learning_rate(&mut self, analysis: &MeanSquare) -> Result<Threshold> {
        let limit = analysis.gradient_descent_limit();
        if analysis.effective.rank() == 0 {
            // Weight decay alone can be too strong.
            return Ok(Threshold::without_curvature(limit));
        }
        if analysis.sample_weight() <= 0.0 {
            return Ok(analysis.without_noise(limit));
        }
        let unit = analysis.sharpness();
        let family = InverseRate { weights: analysis.critical_weights().in_units_of(unit) };
        let (pole, tolerance) = (family.pole(), self.tolerance);
        let critical = self.solve(analysis, &family, 2.0 * pole, tolerance)?;
        let rounding = analysis.rounding();
        let value = (critical.root.max(pole) * unit).recip();
        let (below, certificate) = match critical.above {
            Some(above) => ((above.max(pole) * unit).recip(), CertificateKind::Proven),
            None => (value / (1.0 + 1e-6), CertificateKind::Residual),
        };
        let above = (critical.below.max(pole) * unit).recip();
        let interval = (below.min(value) / rounding, above.max(value) * rounding);
        let (rank, num_applications, moment) =
            (analysis.effective.rank(), critical.num_applications, critical.moment);
        Ok(Threshold { value, interval, certificate, num_applications, rank, moment })
    }

    /// The growth of an analysis, as [`MeanSquare::growth_per_step`].
    ///
    /// # Errors
    /// As [`MeanSquare::growth_per_step`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// assert!((ThresholdSolver::new(&ensemble).growth_per_step(&sgd, 3.0)? - 4.0).abs() < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn growth_per_step(&mut self, analysis: &MeanSquare, learning_rate: f64) -> Result<f64> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        let recursion = analysis.recursion();
        let h = analysis.effective.mean_eigenvalues();
        if h.is_empty() {
            return Ok(recursion.noise_free_growth(learning_rate, 0.0));
        }
        analysis.require_in_range(learning_rate)?;
        let unit = analysis.sharpness();
        let noise_free = h.iter().map(|&h| recursion.noise_free_growth(learning_rate, h));
        let pole = noise_free.fold(LEAST_GROWTH, f64::max);
        if analysis.sample_weight() <= 0.0 {
            return Ok(pole);
        }
        let family = Growth {
            recursion: recursion.in_units_of(unit),
            learning_rate: learning_rate * unit,
            excess: analysis.full_batch_excess(),
            pole,
        };
        let tolerance = self.tolerance;
        let growth = self.solve(analysis, &family, 2.0 * pole.max(1.0), tolerance)?.root.max(pole);
        require_nonnegative("growth of the mean square", growth, false)?;
        Ok(growth)
    }

    /// The noise kernel norm of an analysis, as [`MeanSquare::noise_kernel_norm`].
    ///
    /// # Errors
    /// As [`MeanSquare::noise_kernel_norm`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::ThresholdSolver;
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let mut solver = ThresholdSolver::new(&ensemble);
    /// let exact = solver.max_learning_rate(&sgd)?.value;
    /// assert!((solver.noise_kernel_norm(&sgd, exact)? - 1.0).abs() < 1e-9);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn noise_kernel_norm(&mut self, analysis: &MeanSquare, learning_rate: f64) -> Result<f64> {
        let limit = analysis.gradient_descent_limit();
        if !(learning_rate > 0.0 && learning_rate < limit) {
            let (name, value) = ("learning_rate", learning_rate);
            let allowed = "positive and below the limit of the full batch";
            return Err(DynamicsError::OutOfRange { name, value, allowed });
        }
        if analysis.effective.rank() == 0 || analysis.sample_weight() <= 0.0 {
            return Ok(0.0);
        }
        let unit = analysis.sharpness();
        let weights = analysis.critical_weights().in_units_of(unit);
        if weights.excess > 0.0 {
            let (what, why) =
                ("a noise kernel norm", "it is derived for the schemes' own numbers, not for subsets");
            return Err(DynamicsError::Unsupported { what, why });
        }
        let family = NoiseNorm { weights, lambda: (learning_rate * unit).recip() };
        let tolerance = self.tolerance;
        Ok(self.solve(analysis, &family, 1.0, tolerance)?.root)
    }

    fn solve(
        &mut self,
        analysis: &MeanSquare,
        family: &dyn Family,
        guess: f64,
        tolerance: f64,
    ) -> Result<Critical> {
        let problem = analysis.problem(family);
        self.interrupt.check()?;
        if !analysis.plain.shares_factors_with(&self.ensemble) {
            return problem.solve(&mut SampleSubspace::new(&analysis.plain, None), guess, tolerance);
        }
        let tail = || (self.tolerance >= WITH_TAIL).then(|| Tail::of(&self.ensemble)).flatten();
        let subspace = self.subspace.get_or_insert_with(|| SampleSubspace::new(&self.ensemble, tail()));
        subspace.interrupt = self.interrupt.clone();
        problem.solve(subspace, guess, tolerance)
    }
}

impl CriticalWeights {
    pub(super) fn in_units_of(self, unit: f64) -> Self {
        Self { recursion: self.recursion.in_units_of(unit), ..self }
    }
}
