//! The closed-form criteria of the literature on one ensemble, each with what it assumes, whether that holds, and how far it is from
//! the exact threshold. A number outside of its assumptions never stands alone.
//!
//! Symbols as in [`crate::criteria`]; `h_a = l_a (1 + c l_a)` the eigenvalues of the mean curvature that the rule sees, `c_0 = 1/(n B) -
//! 1/n^2` the weight of a sample in the Bernoulli second moment, `phi = c_0 lambda_max(X -> sum_i H_i X H_i)` on the curvatures that
//! the rule sees.

use linstab_dynamics::SamplingScheme;
use linstab_dynamics::optimizer::ascent;
use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
use linstab_linalg::{Reduced, packed, sum_of_sandwiches};

use crate::criteria::{self, Problem};
use crate::{CoherenceError, FactorCoherence, Result};

/// What a criterion claims about learning rates beside its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Divergence in mean square above it.
    DivergesAbove,
    /// Convergence in mean square below it.
    ConvergesBelow,
    /// Up to it, some ensemble of the same sharpness and coherence is stable; nothing about this one.
    SomeEnsembleStable,
}

impl Claim {
    /// The claim in a few words.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_coherence::Claim::DivergesAbove.name(), "diverges-above");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::DivergesAbove => "diverges-above",
            Self::ConvergesBelow => "converges-below",
            Self::SomeEnsembleStable => "some-ensemble-stable",
        }
    }
}

/// Something that a criterion takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The name of the property that is assumed, such as Bernoulli sampling.
    pub name: &'static str,
    /// Whether it is so here.
    pub holds: bool,
}

/// A criterion on one ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Its name, with its source.
    pub name: &'static str,
    /// What it claims.
    pub claim: Claim,
    /// The learning rate at which it switches; `None` if there is none (the criterion is silent, or cannot be satisfied).
    pub learning_rate: Option<f64>,
    /// What it assumes.
    pub assumptions: Vec<Assumption>,
    /// The learning rate over the exact threshold.
    pub slack: Option<f64>,
}

impl Assessment {
    /// Whether all that it assumes holds here: only then does its claim bind.
    ///
    /// # Examples
    /// ```
    /// use linstab_coherence::{Assessment, Assumption, Claim};
    /// let assumptions = vec![Assumption { name: "Bernoulli sampling", holds: false }];
    /// let claim = Claim::DivergesAbove;
    /// let assessment = Assessment { name: "", claim, learning_rate: Some(1.0), assumptions, slack: Some(0.77) };
    /// assert!(!assessment.applies());
    /// ```
    pub fn applies(&self) -> bool {
        self.assumptions.iter().all(|assumption| assumption.holds)
    }
}

/// What the criteria are asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// Batch size `B`, from 1 to the number of samples.
    pub batch_size: usize,
    /// `c = rho / alpha`, nonnegative; 0 for SGD.
    pub rho_over_alpha: f64,
    /// How batches are drawn; all criteria assume that each sample enters a batch by itself (Bernoulli).
    pub sampling: SamplingScheme,
    /// Number of parameters; more than the rank leaves flat directions.
    pub num_parameters: usize,
    /// The exact mean-square threshold that the criteria are measured against.
    pub exact: f64,
}

/// The criteria for SGD or, with `c > 0`, SAM with full-batch ascent: Dexter et al. (88) and (89) on SGD and on the curvatures that SAM
/// sees, C.8.4, (87), C.9.3.
///
/// # Cost
/// For C.9.3 some ten applications of the second-moment map; the rest is closed-form.
/// # Errors
/// [`CoherenceError::OutOfRange`] for a bad question, [`CoherenceError::NoCurvature`], [`CoherenceError::Linalg`].
/// # Examples
/// ```
/// use linstab_dynamics::SamplingScheme;
/// use linstab_coherence::{FactorCoherence, Question, assess};
/// use linstab_linalg::{Factored, Reduced};
/// // Four samples of curvatures 1, 1, 1, 3 along one direction, batches of one of fixed size: the exact threshold is 1.
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let question =
///     Question { batch_size: 1, rho_over_alpha: 0.0, sampling: SamplingScheme::WithoutReplacement, num_parameters: 1, exact: 1.0 };
/// let found = assess(&ensemble, &FactorCoherence::of(&ensemble)?, &question)?;
/// let dexter = found.iter().find(|criterion| criterion.name == "dexter-88").unwrap();
/// // It would claim divergence from 0.77 on, where there is none: it assumes Bernoulli sampling.
/// assert!(dexter.slack.unwrap() < 0.8 && !dexter.applies());
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
pub fn assess(
    ensemble: &Reduced,
    coherence: &FactorCoherence,
    question: &Question,
) -> Result<Vec<Assessment>> {
    let c = question.rho_over_alpha;
    let sgd = problem(ensemble, coherence.measure, question)?;
    let bernoulli =
        Assumption { name: "Bernoulli sampling", holds: !question.sampling.has_fixed_batch_size() };
    let psd = Assumption { name: "positive semidefinite curvatures", holds: true };
    let full_rank =
        Assumption { name: "positive smallest eigenvalue of the mean", holds: sgd.min_eigenvalue > 0.0 };
    let family = Assumption { name: "the test family", holds: is_test_family(coherence) };
    let assessment = |name, claim, learning_rate: f64, assumptions: Vec<Assumption>| {
        let learning_rate = learning_rate.is_finite().then_some(learning_rate);
        let slack = learning_rate.map(|value| value / question.exact);
        Assessment { name, claim, learning_rate, assumptions, slack: slack.filter(|slack| slack.is_finite()) }
    };
    let seen_sharpness = sgd.sharpness * ascent(c, sgd.sharpness);
    let gradient_descent = 2.0 / seen_sharpness;
    let (seen_coherence, [dexter, existence]) = if c > 0.0 {
        (FactorCoherence::of_sam(ensemble, c)?.measure, ["dexter-88-on-sam", "eq-87"])
    } else {
        (coherence.measure, ["dexter-88", "dexter-89"])
    };
    let seen = Problem { coherence: seen_coherence, sharpness: seen_sharpness, rho_over_alpha: 0.0, ..sgd };
    let diverges = |name, value| assessment(name, Claim::DivergesAbove, value, vec![bernoulli, psd]);
    let stable = criteria::existence_of_stable(&sgd);
    let mut found = vec![
        diverges(dexter, criteria::divergence(&seen).min(gradient_descent)),
        diverges("c-8-4", criteria::divergence(&sgd)),
        assessment(existence, Claim::SomeEnsembleStable, stable, vec![bernoulli, family]),
    ];
    let value = convergence(ensemble, &sgd, question)?;
    found.push(assessment("c-9-3", Claim::ConvergesBelow, value, vec![bernoulli, psd, full_rank]));
    Ok(found)
}

fn problem(ensemble: &Reduced, measure: f64, question: &Question) -> Result<Problem> {
    let (n, eigenvalues) = (ensemble.num_samples(), ensemble.mean_eigenvalues());
    let out_of_range = |name, value, allowed| Err(CoherenceError::OutOfRange { name, value, allowed });
    if question.batch_size == 0 || question.batch_size > n {
        return out_of_range("batch_size", question.batch_size as f64, "1 to num_samples");
    }
    if !(question.rho_over_alpha >= 0.0 && question.rho_over_alpha.is_finite()) {
        return out_of_range("rho_over_alpha", question.rho_over_alpha, "nonnegative and finite");
    }
    if question.exact.is_nan() || question.exact <= 0.0 {
        return out_of_range("exact", question.exact, "positive");
    }
    let (Some(&sharpness), Some(&least)) = (eigenvalues.first(), eigenvalues.last()) else {
        return Err(CoherenceError::NoCurvature);
    };
    let min_eigenvalue = if ensemble.rank() < question.num_parameters { 0.0 } else { least };
    let (batch_size, rho_over_alpha) = (question.batch_size, question.rho_over_alpha);
    Ok(Problem { num_samples: n, batch_size, coherence: measure, sharpness, min_eigenvalue, rho_over_alpha })
}

/// Whether the ensemble is that of Theorem 3.3: samples of equal rank-one curvature, some of them along one direction, the others
/// orthogonal to all.
fn is_test_family(coherence: &FactorCoherence) -> bool {
    const TOLERANCE: f64 = 1e-9;
    let n = coherence.matrix.nrows();
    let top = coherence.max_sample_sharpness;
    let rank_one_and_equal = (0..n).all(|i| {
        let (norm, sharpness) = (coherence.matrix[(i, i)], coherence.sample_sharpness[i]);
        (norm - sharpness).abs() <= TOLERANCE * top && (sharpness - top).abs() <= TOLERANCE * top
    });
    let near = |value: f64, target: f64| (value - target).abs() <= TOLERANCE.sqrt();
    let all_or_nothing =
        || (0..n).all(|i| (0..i).all(|j| near(coherence.pair(i, j), 0.0) || near(coherence.pair(i, j), 1.0)));
    rank_one_and_equal
        && all_or_nothing()
        && coherence.blocks(0.5).iter().skip(1).all(|block| block.len() == 1)
}

/// The learning rate below which Theorem C.9 part 3 claims convergence; infinite if nothing limits it, NaN if no learning rate satisfies it.
///
/// With `eps(eta) = min_a min(eta h_a, 2 - eta h_a)` it needs `eta^2 phi < eps`: `eta < h_min / phi` and `eta^2 phi + eta h_max < 2`.
/// With flat directions `h_min = 0`, and no learning rate will do.
fn convergence(ensemble: &Reduced, problem: &Problem, question: &Question) -> Result<f64> {
    if problem.min_eigenvalue <= 0.0 {
        return Ok(f64::NAN);
    }
    let seen = |l: f64| l * ascent(question.rho_over_alpha, l);
    let (least, most) = (seen(problem.min_eigenvalue), seen(problem.sharpness));
    let (n, b) = (problem.num_samples as f64, problem.batch_size as f64);
    let weight = (n - b) / (n * n * b);
    let phi = if weight > 0.0 { weight * sandwich_norm(ensemble, question.rho_over_alpha)? } else { 0.0 };
    // The stable root of phi eta^2 + most eta = 2, also for phi = 0.
    let upper = 4.0 / (most + (most * most + 8.0 * phi).sqrt());
    Ok(upper.min(least / phi))
}

/// `lambda_max(X -> sum_i H_i X H_i)` on the curvatures that the rule sees.
fn sandwich_norm(ensemble: &Reduced, rho_over_alpha: f64) -> Result<f64> {
    struct Sandwich(Reduced);
    impl SymmetricOperator for Sandwich {
        fn dim(&self) -> usize {
            packed::packed_len(self.0.rank())
        }
        fn apply(&mut self, input: &[f64], output: &mut [f64]) {
            sum_of_sandwiches(&self.0, input, output);
        }
    }
    let seen = ensemble.congruent(|l| ascent(rho_over_alpha, l).sqrt());
    // The map preserves the positive semidefinite matrices, and the identity overlaps each of them.
    let identity = packed::from_fn(seen.rank(), |i, j| f64::from(u8::from(i == j)));
    let options = LanczosOptions { residual_rtol: 1e-7, ..LanczosOptions::default() };
    Ok(lanczos::top_eigenpair(&mut Sandwich(seen), &identity, options)?.value)
}
