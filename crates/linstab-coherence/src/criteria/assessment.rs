//! The criteria on one ensemble, each with what it assumes, whether that holds, and how far it is from the exact threshold. A number
//! outside of its assumptions never stands alone.

use std::cell::OnceCell;

use linstab_dynamics::optimizer::ascent;
use linstab_dynamics::{BatchSampling, Optimizer};
use linstab_linalg::Reduced;

use super::{CRITERIA, Claim, Criterion, Problem};
use crate::{CoherenceError, FactorCoherence, Result};

/// A property of an ensemble or of its sampling that a criterion takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Each sample enters a batch by itself.
    BernoulliSampling,
    /// No curvature is negative; true of every ensemble here.
    PositiveSemidefinite,
    /// The mean curvature has no eigenvalue 0.
    NoFlatDirection,
    /// Equal rank-one curvatures, some along one direction, the others orthogonal to all (arXiv 2511.17378, Theorem 3.3).
    TestFamily,
}

impl Property {
    /// The property in a few words.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(linstab_coherence::criteria::Property::TestFamily.name(), "the test family");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::BernoulliSampling => "Bernoulli sampling",
            Self::PositiveSemidefinite => "positive semidefinite curvatures",
            Self::NoFlatDirection => "positive smallest eigenvalue of the mean",
            Self::TestFamily => "the test family",
        }
    }

    fn holds(self, setting: &Setting<'_>) -> bool {
        match self {
            Self::BernoulliSampling => setting.question.sampling.scheme().draws_samples_independently(),
            Self::PositiveSemidefinite => true,
            Self::NoFlatDirection => setting.problem.min_eigenvalue > 0.0,
            Self::TestFamily => is_test_family(setting.coherence),
        }
    }
}

/// A property that a criterion assumes, and whether the ensemble has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The name of the property.
    pub name: &'static str,
    /// Whether it is so here.
    pub holds: bool,
}

/// A criterion on one ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The criterion's name.
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
    /// use linstab_coherence::criteria::{Assessment, Assumption, Claim};
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
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The sampling scheme and its sizes.
    pub sampling: BatchSampling,
    /// Number of parameters; more than the rank leaves flat directions.
    pub num_parameters: usize,
    /// The exact mean-square threshold that the criteria are measured against.
    pub exact: f64,
}

/// What a criterion can look at: a question about an ensemble, and what several criteria need of it.
#[derive(Debug)]
pub struct Setting<'a> {
    ensemble: &'a Reduced,
    coherence: &'a FactorCoherence,
    question: Question,
    problem: Problem,
    seen_measure: OnceCell<f64>,
}

impl<'a> Setting<'a> {
    fn new(ensemble: &'a Reduced, coherence: &'a FactorCoherence, question: Question) -> Result<Self> {
        let problem = problem(ensemble, coherence.measure, &question)?;
        Ok(Self { ensemble, coherence, question, problem, seen_measure: OnceCell::new() })
    }

    /// The ensemble.
    pub fn ensemble(&self) -> &'a Reduced {
        self.ensemble
    }

    /// The numbers of the ensemble that closed forms depend on.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same numbers of the curvatures that SAM sees, as SGD's; those of the ensemble for `c = 0`.
    ///
    /// # Errors
    /// [`CoherenceError::Linalg`] if an eigenvalue iteration fails.
    pub fn seen(&self) -> Result<Problem> {
        let c = self.problem.rho_over_alpha;
        let coherence = match self.seen_measure.get() {
            Some(&measure) => measure,
            None if c > 0.0 => {
                let measure = FactorCoherence::of_sam(self.ensemble, c)?.measure;
                *self.seen_measure.get_or_init(|| measure)
            }
            None => self.coherence.measure,
        };
        let sharpness = self.problem.sharpness * ascent(c, self.problem.sharpness);
        Ok(Problem { coherence, sharpness, rho_over_alpha: 0.0, ..self.problem })
    }

    fn assess(&self, criterion: &Criterion) -> Result<Assessment> {
        let learning_rate = Some((criterion.learning_rate)(self)?).filter(|value| value.is_finite());
        let slack = learning_rate.map(|value| value / self.question.exact);
        let assumption =
            |property: &Property| Assumption { name: property.name(), holds: property.holds(self) };
        Ok(Assessment {
            name: criterion.name,
            claim: criterion.claim,
            learning_rate,
            assumptions: criterion.assumptions.iter().map(assumption).collect(),
            slack: slack.filter(|slack| slack.is_finite()),
        })
    }
}

/// Every criterion that speaks of the optimizer, on one ensemble; none for momentum, weight decay, ascent on the mini-batch or a
/// preconditioner.
///
/// # Cost
/// For Theorem C.9 some ten applications of the second-moment map; the rest is closed-form.
/// # Errors
/// [`CoherenceError::OutOfRange`] for a bad question, [`CoherenceError::NoCurvature`], [`CoherenceError::Linalg`].
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, Optimizer, SamplingScheme};
/// use linstab_coherence::FactorCoherence;
/// use linstab_coherence::criteria::{Question, assess};
/// use linstab_linalg::{Factored, Reduced};
/// // Four samples of curvatures 1, 1, 1, 3 along one direction, batches of one of fixed size: the exact threshold is 1.
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
/// let question = Question { optimizer: Optimizer::sgd(), sampling, num_parameters: 1, exact: 1.0 };
/// let found = assess(&ensemble, &FactorCoherence::of(&ensemble)?, question)?;
/// let dexter = found.iter().find(|criterion| criterion.name == "dexter-88").unwrap();
/// // It would claim divergence from 0.77 on, where there is none: it assumes Bernoulli sampling.
/// assert!(dexter.slack.unwrap() < 0.8 && !dexter.applies());
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
pub fn assess(
    ensemble: &Reduced,
    coherence: &FactorCoherence,
    question: Question,
) -> Result<Vec<Assessment>> {
    let Question { optimizer, .. } = question;
    if !optimizer.recursion().is_sgd()
        || optimizer.batch_ascent().is_some()
        || optimizer.rule().preconditioned
    {
        return Ok(Vec::new());
    }
    let setting = Setting::new(ensemble, coherence, question)?;
    let speak = CRITERIA.iter().filter(|criterion| (criterion.speaks_of)(question.optimizer));
    speak.map(|criterion| setting.assess(criterion)).collect()
}

fn problem(ensemble: &Reduced, measure: f64, question: &Question) -> Result<Problem> {
    let (n, eigenvalues) = (ensemble.num_samples(), ensemble.mean_eigenvalues());
    let out_of_range = |name, value, allowed| Err(CoherenceError::OutOfRange { name, value, allowed });
    if question.sampling.num_samples() != n {
        let value = question.sampling.num_samples() as f64;
        return out_of_range("num_samples of the sampling", value, "that of the ensemble");
    }
    if question.exact.is_nan() || question.exact <= 0.0 {
        return out_of_range("exact", question.exact, "positive");
    }
    let (Some(&sharpness), Some(&least)) = (eigenvalues.first(), eigenvalues.last()) else {
        return Err(CoherenceError::NoCurvature);
    };
    let min_eigenvalue = if ensemble.rank() < question.num_parameters { 0.0 } else { least };
    let (batch_size, rho_over_alpha) = (question.sampling.batch_size(), question.optimizer.rho_over_alpha());
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
