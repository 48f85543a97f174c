//! The range of curvatures that can be analysed, and the units in which they are.

use linstab_coherence::FactorCoherence;
use linstab_dynamics::mean_square::ThresholdSolver;
use linstab_dynamics::{Interrupt, Optimizer};
use linstab_linalg::{Mat, MatRef, Reduced};

use crate::{AnalysisError, Grams, Result, Sizes};

/// Largest squared length of a factor, the scale included: what is reported, and squares of it, are numbers.
const RANGE: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// Within these the analysis takes curvatures as they are; others it scales by a power of two, which changes no digit.
const COMFORTABLE: std::ops::RangeInclusive<f64> = 1e-40..=1e40;

/// Largest diagonal entry of a Gram matrix, which no other entry exceeds; NaN if one of them is.
pub(crate) fn largest_square(gram: MatRef<'_, f64>) -> f64 {
    (0..gram.nrows())
        .map(|i| gram[(i, i)])
        .fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most })
}

/// Accepts a largest squared length that, times `scale`, is 0 or within [`RANGE`].
pub(crate) fn require_in_range(largest: f64, scale: f64) -> Result<()> {
    // A product of the two could leave the range of numbers itself.
    let decades = largest.log10() + scale.log10();
    let (least, most) = (RANGE.start().log10(), RANGE.end().log10());
    if (largest.abs() <= 0.0 && scale.is_finite()) || (least..=most).contains(&decades) {
        return Ok(());
    }
    let value = if decades.is_finite() {
        format!("about {:.1}e{}", 10.0_f64.powf(decades - decades.floor()), decades.floor())
    } else {
        format!("{largest:e}")
    };
    let (what, allowed) =
        ("the largest squared length of a factor, times the scale,", "1e-100 to 1e100, or 0");
    Err(AnalysisError::OutOfRange { what, value, allowed })
}

/// An ensemble in units in which no power of a curvature leaves the range of numbers.
pub(crate) struct Scaled {
    pub(crate) ensemble: Reduced,
    /// A curvature of 1 in these units; a power of two.
    pub(crate) unit: f64,
    /// Thresholds of the ensemble share their work.
    pub(crate) solver: ThresholdSolver,
}

impl Scaled {
    pub(crate) fn from_gram(gram: MatRef<'_, f64>, sizes: Sizes, tolerance: f64) -> Result<Self> {
        let largest = largest_square(gram);
        require_in_range(largest, 1.0)?;
        let comfortable = largest <= 0.0 || COMFORTABLE.contains(&largest);
        let unit = if comfortable { 1.0 } else { largest.log2().round().exp2() };
        let (n, k) = (sizes.num_samples, sizes.num_factors);
        let ensemble = if comfortable {
            Reduced::from_gram(gram, n, k)?
        } else {
            Reduced::from_gram(divided(gram, unit).as_ref(), n, k)?
        };
        let solver = ThresholdSolver::new(&ensemble).with_tolerance(tolerance)?;
        Ok(Self { ensemble, unit, solver })
    }

    /// The coherence of the ensemble, from the inner products of which it was made; none without curvature.
    pub(crate) fn coherence(&self, gram: MatRef<'_, f64>) -> Result<Option<FactorCoherence>> {
        if self.ensemble.rank() == 0 {
            return Ok(None);
        }
        Ok(Some(if self.unit.to_bits() == 1.0_f64.to_bits() {
            FactorCoherence::of_gram(gram, &self.ensemble)?
        } else {
            FactorCoherence::of_gram(divided(gram, self.unit).as_ref(), &self.ensemble)?
        }))
    }
}

fn divided(gram: MatRef<'_, f64>, unit: f64) -> Mat<f64> {
    Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| gram[(i, j)] / unit)
}

/// What the optimizers of a request see.
pub(crate) struct Seen {
    pub(crate) plain: Scaled,
    preconditioned: Option<Scaled>,
}

impl Seen {
    pub(crate) fn from_grams(grams: Grams<'_>, sizes: Sizes, tolerance: f64) -> Result<Self> {
        let scaled = |gram| Scaled::from_gram(gram, sizes, tolerance);
        let (plain, preconditioned) = (scaled(grams.plain)?, grams.preconditioned.map(scaled).transpose()?);
        Ok(Self { plain, preconditioned })
    }

    /// The same, stopped by a flag.
    pub(crate) fn with_interrupt(mut self, interrupt: &Interrupt) -> Self {
        for scaled in [Some(&mut self.plain), self.preconditioned.as_mut()].into_iter().flatten() {
            scaled.solver = scaled.solver.clone().with_interrupt(interrupt.clone());
        }
        self
    }

    /// The ensemble that an optimizer sees.
    pub(crate) fn by(&mut self, optimizer: Optimizer) -> Result<&mut Scaled> {
        if !optimizer.rule().preconditioned {
            return Ok(&mut self.plain);
        }
        self.preconditioned.as_mut().ok_or_else(|| AnalysisError::Option {
            name: "preconditioner".to_owned(),
            value: "missing".to_owned(),
            allowed: format!("a file: `{optimizer}` divides by it"),
        })
    }
}
