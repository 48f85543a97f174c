//! Optimizers: what is done with a gradient.
//!
//! An optimizer is a rule of the table in `rules` with values for its parameters. Each is a transformation of the ensemble of
//! curvatures, not a second code path: SAM with full-batch ascent and a fixed gradient norm is congruent to SGD. With
//! `A = I + c H`, `c = rho / alpha`, `A^{1/2} (I - eta H_t A) A^{-1/2} = I - eta A^{1/2} H_t A^{1/2}`, so every exact result for SGD holds
//! with `A^{1/2} H_i A^{1/2}` in place of `H_i`. A random perturbation adds noise, but leaves the linear map, hence the threshold.

mod recursion;
mod rules;
mod specification;

use std::fmt;

use linstab_linalg::AxisAligned;

pub use recursion::Recursion;
pub use rules::{Parameter, Rule};
pub use specification::SpecificationError;

use crate::{DynamicsError, Result};
use rules::{ASCENT, MICRO_BATCH_SIZE, MOMENTUM, RHO_OVER_ALPHA, RULES, STANDARD_DEVIATION};

/// Most parameters that a rule has.
const MAX_PARAMETERS: usize = 7;

/// What SAM's full-batch ascent multiplies a direction by: the eigenvalue `1 + c l` of `I + c H`, `c = rho / alpha`.
///
/// # Examples
/// ```
/// use linstab_dynamics::optimizer::ascent;
/// assert_eq!(ascent(0.5, 2.0), 2.0);
/// ```
pub fn ascent(rho_over_alpha: f64, mean_eigenvalue: f64) -> f64 {
    1.0 + rho_over_alpha * mean_eigenvalue
}

/// An optimizer: a rule and the values of its parameters.
///
/// Written as a specification, `NAME` or `NAME:KEY=VALUE,..`; read back from it by [`str::parse`].
///
/// # Examples
/// ```
/// use linstab_dynamics::Optimizer;
/// let heavy_ball = Optimizer::sgd().with_momentum(0.9)?;
/// assert_eq!(heavy_ball.to_string(), "sgd:momentum=0.9");
/// assert_eq!("sgd:momentum=0.9".parse(), Ok(heavy_ball));
/// // c = 1/2 along a direction of mean curvature 2: SAM sees the curvature times 1 + 1.
/// assert_eq!(Optimizer::sam(0.5)?.congruence(2.0), 2.0);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Optimizer {
    rule: &'static Rule,
    /// The values, in the order of the rule's parameters.
    values: [f64; MAX_PARAMETERS],
}

impl Optimizer {
    /// All rules that an optimizer can follow.
    pub const RULES: &'static [Rule] = RULES;

    /// Stochastic gradient descent.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().title(), "SGD");
    /// ```
    pub fn sgd() -> Self {
        Self { rule: &RULES[0], values: [0.0; MAX_PARAMETERS] }
    }

    /// The rule of this name with the defaults of its parameters; those without one are 0.
    fn of_rule(name: &'static str) -> Self {
        let rule = RULES.iter().find(|rule| rule.name == name).unwrap_or(&RULES[0]);
        let mut values = [0.0; MAX_PARAMETERS];
        for (value, parameter) in values.iter_mut().zip(rule.parameters) {
            *value = parameter.default.unwrap_or(0.0);
        }
        Self { rule, values }
    }

    /// Sharpness-aware minimisation with full-batch ascent and a fixed gradient norm.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless the ratio is nonnegative and finite.
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sam(0.1)?.rho_over_alpha(), 0.1);
    /// let error = Optimizer::sam(-1.0).unwrap_err();
    /// assert_eq!(error.to_string(), "rho_over_alpha is -1, allowed: nonnegative and finite");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn sam(rho_over_alpha: f64) -> Result<Self> {
        Self::of_rule("sam").with(&RHO_OVER_ALPHA, rho_over_alpha)
    }

    /// Stochastic gradients at randomly perturbed points.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless the standard deviation is nonnegative and finite.
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::random_perturbation(0.1)?.perturbation_standard_deviation(), 0.1);
    /// assert!(Optimizer::random_perturbation(f64::NAN).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn random_perturbation(standard_deviation: f64) -> Result<Self> {
        Self::of_rule("random-perturbation").with(&STANDARD_DEVIATION, standard_deviation)
    }

    /// The same rule with heavy-ball momentum.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] unless `-1 < momentum < 1`.
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().with_momentum(0.9)?.momentum(), 0.9);
    /// assert!(Optimizer::sgd().with_momentum(1.0).is_err());
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn with_momentum(self, momentum: f64) -> Result<Self> {
        self.with(&MOMENTUM, momentum)
    }

    /// The rule.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().rule().parameters[0].name, "momentum");
    /// ```
    pub fn rule(self) -> &'static Rule {
        self.rule
    }

    /// The name in tables: that of the rule, and `momentum` for SGD with momentum.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let names = [Optimizer::sgd(), Optimizer::sgd().with_momentum(0.5)?, Optimizer::sam(0.1)?].map(Optimizer::name);
    /// assert_eq!(names, ["sgd", "momentum", "sam"]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn name(self) -> &'static str {
        if self.is_heavy_ball() { MOMENTUM.name } else { self.rule.name }
    }

    /// The name for people, without parameters.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sam(0.1)?.title(), "SAM");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn title(self) -> &'static str {
        self.rule.title
    }

    /// The name for people with the values of its parameters.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let labels = [Optimizer::sgd(), Optimizer::sgd().with_momentum(0.9)?, Optimizer::sam(0.1)?].map(Optimizer::label);
    /// assert_eq!(labels, ["SGD", "momentum 0.9", "SAM, ρ/α=0.1"]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn label(self) -> String {
        if self.is_heavy_ball() {
            return format!("{} {}", MOMENTUM.symbol, self.momentum());
        }
        let told = self.parameters().filter(|&(parameter, value)| parameter.default != Some(value));
        told.fold(self.title().to_owned(), |label, (parameter, value)| match parameter.words {
            [_, "true"] => format!("{label}, {}", parameter.symbol),
            _ => format!("{label}, {}={}", parameter.symbol, parameter.text(value)),
        })
    }

    /// Whether it is SGD with momentum and nothing else.
    fn is_heavy_ball(self) -> bool {
        self.rule.name == RULES[0].name
            && self.momentum().abs() > 0.0
            && self.recursion() == Recursion::heavy_ball(self.momentum())
    }

    /// The linear recursion of the rule next to a minimum.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// use linstab_dynamics::optimizer::Recursion;
    /// assert_eq!(Optimizer::sgd().with_momentum(0.5)?.recursion(), Recursion::heavy_ball(0.5));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn recursion(self) -> Recursion {
        (self.rule.recursion)(self)
    }

    /// Whether the ascent of SAM is along the gradient of the mini-batch, and on how many samples of it at a time (all for `None`).
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let parse = |text: &str| text.parse::<Optimizer>();
    /// assert_eq!(parse("sam:rho_over_alpha=0.1")?.batch_ascent(), None);
    /// assert_eq!(parse("sam:rho_over_alpha=0.1,ascent=batch")?.batch_ascent(), Some(None));
    /// assert_eq!(parse("sam:rho_over_alpha=0.1,ascent=batch,micro_batch_size=4")?.batch_ascent(), Some(Some(4)));
    /// # Ok::<(), linstab_dynamics::optimizer::SpecificationError>(())
    /// ```
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checked whole number")]
    pub fn batch_ascent(self) -> Option<Option<usize>> {
        let size = self.value(&MICRO_BATCH_SIZE) as usize;
        (self.value(&ASCENT) > 0.0).then_some((size > 0).then_some(size))
    }

    /// The same with SAM's ascent, if any, along the gradient of the full batch.
    #[must_use]
    pub(crate) fn with_full_ascent(mut self) -> Self {
        for (value, parameter) in self.values.iter_mut().zip(self.rule.parameters) {
            if parameter.name == ASCENT.name || parameter.name == MICRO_BATCH_SIZE.name {
                *value = 0.0;
            }
        }
        self
    }

    /// SGD with the same recursion: what is left of SAM without its ascent.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let sam: Optimizer = "sam:rho_over_alpha=0.1,ascent=batch,momentum=0.9".parse()?;
    /// assert_eq!(sam.without_ascent(), Optimizer::sgd().with_momentum(0.9)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_ascent(self) -> Self {
        let mut base = Self::sgd();
        for (value, parameter) in base.values.iter_mut().zip(base.rule.parameters) {
            *value = self.value(parameter);
        }
        base
    }

    /// Heavy-ball momentum; 0 without.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().momentum(), 0.0);
    /// ```
    pub fn momentum(self) -> f64 {
        self.value(&MOMENTUM)
    }

    /// What SAM's ascent multiplies a gradient by: the ratio of its perturbation radius to the fixed gradient norm, or the `rho` of
    /// unnormalised SAM; 0 for other rules.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().rho_over_alpha(), 0.0);
    /// ```
    pub fn rho_over_alpha(self) -> f64 {
        rules::ascent_ratio(self)
    }

    /// Standard deviation of the perturbation at which the batch gradient is taken; 0 for deterministic rules.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// assert_eq!(Optimizer::sgd().perturbation_standard_deviation(), 0.0);
    /// ```
    pub fn perturbation_standard_deviation(self) -> f64 {
        self.value(&STANDARD_DEVIATION)
    }

    /// The rule as a congruence (none with ascent on the mini-batch): it has the linear map of plain SGD (with the same momentum) on `A^{1/2} H_i A^{1/2}`, where `A` is a
    /// function of the mean curvature; this is the eigenvalue of `A` that belongs to an eigenvalue of the mean curvature.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// let sam = Optimizer::sam(0.5)?;
    /// assert_eq!((sam.congruence(0.0), sam.congruence(4.0)), (1.0, 3.0));
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn congruence(self, mean_eigenvalue: f64) -> f64 {
        if self.batch_ascent().is_some() { 1.0 } else { ascent(self.rho_over_alpha(), mean_eigenvalue) }
    }

    /// The axis-aligned ensemble on which plain SGD (with the same momentum) has the linear map of this rule.
    ///
    /// # Errors
    /// [`DynamicsError::Linalg`] if the transformed curvatures overflow.
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// use linstab_linalg::AxisAligned;
    /// // Curvatures 1 and 3, mean 2: with c = 1/2 they double.
    /// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
    /// let effective = Optimizer::sam(0.5)?.effective_ensemble(&ensemble)?;
    /// assert_eq!(effective.axis(0).curvatures(), [2.0, 6.0]);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn effective_ensemble(self, ensemble: &AxisAligned) -> Result<AxisAligned> {
        Ok(ensemble.scale_axes(|mean| self.congruence(mean))?)
    }

    /// The same optimizer where curvatures are counted in units of `unit`.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] if a parameter leaves the range of numbers.
    /// # Examples
    /// ```
    /// use linstab_dynamics::Optimizer;
    /// // rho / alpha is the inverse of a curvature, momentum a pure number.
    /// let sam = Optimizer::sam(0.5)?.with_momentum(0.9)?;
    /// assert_eq!(sam.in_units_of(8.0)?, Optimizer::sam(4.0)?.with_momentum(0.9)?);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn in_units_of(self, unit: f64) -> Result<Self> {
        self.parameters().try_fold(self, |scaled, (parameter, value)| {
            scaled.with(parameter, value * unit.powi(-parameter.curvature_power))
        })
    }

    /// The parameters of the rule with their values.
    fn parameters(self) -> impl Iterator<Item = (&'static Parameter, f64)> {
        self.rule.parameters.iter().zip(self.values)
    }

    /// The value of a parameter; 0 if the rule does not take it.
    fn value(self, parameter: &Parameter) -> f64 {
        self.parameters().find(|(own, _)| own.name == parameter.name).map_or(0.0, |(_, value)| value)
    }

    fn with(mut self, parameter: &Parameter, value: f64) -> Result<Self> {
        let place = self.rule.parameters.iter().position(|own| own.name == parameter.name);
        match place {
            Some(place) if (parameter.admits)(value) => {
                self.values[place] = value;
                (self.rule.check)(self).map_err(|(parameter, allowed)| DynamicsError::OutOfRange {
                    name: parameter.name,
                    value: self.value(parameter),
                    allowed,
                })?;
                Ok(self)
            }
            _ => Err(DynamicsError::OutOfRange { name: parameter.name, value, allowed: parameter.allowed }),
        }
    }
}

impl PartialEq for Optimizer {
    fn eq(&self, other: &Self) -> bool {
        self.rule.name == other.rule.name && self.values.map(f64::to_bits) == other.values.map(f64::to_bits)
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Optimizer({self})")
    }
}
