//! What there is to say about one interpolating minimum of a network: its coherence, its sharpness, its exact thresholds, and
//! the paper's criteria beside them.

use linstab_coherence::FactorCoherence;
use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced, symmetric};
use linstab_relu::{Curvature, solutions};
use serde::{Deserialize, Serialize};

use crate::Result;
use linstab_driver::config_file::Checker;

/// The scale `r` of a constructed solution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"optimal\" or a number")]
pub enum SolutionScale {
    /// Chosen by its name.
    Named(NamedScale),
    /// Given.
    Number(f64),
}

/// A scale with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedScale {
    /// `(d + 1)^(1/4)`, at which the curvature of every sample is smallest (arXiv 2511.17378, Theorem 3.5).
    Optimal,
}

impl SolutionScale {
    /// The number.
    pub fn value(self, num_inputs: usize) -> f64 {
        match self {
            Self::Named(NamedScale::Optimal) => solutions::optimal_scale(num_inputs),
            Self::Number(scale) => scale,
        }
    }

    pub(crate) fn check(self, checker: &Checker, key: &str) -> linstab_driver::Result<()> {
        checker.require_positive(key, self.value(1))
    }
}

/// Accepts numbers of inputs that generalising solutions can look at: `C` from 2 to `num_inputs` with `2^C` at most `width`.
pub(crate) fn require_num_features(
    checker: &Checker,
    key: &str,
    values: &[usize],
    num_inputs: usize,
    width: usize,
) -> linstab_driver::Result<()> {
    checker.require_distinct(key, values)?;
    let allowed = format!("2 to num_inputs = {num_inputs}, and 2^C units fit into width = {width}");
    values.iter().try_for_each(|&value| {
        let num_units = u32::try_from(value).ok().and_then(|c| 1_usize.checked_shl(c));
        let fits = num_units.is_some_and(|units| units <= width);
        checker.require(fits && (2..=num_inputs).contains(&value), key, value, &allowed)
    })
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Whether the solution exists on the data: 1 or 0, in the mean over draws their share.
    Exists,
    /// Largest `|f(x_i) - y_i|`.
    InterpolationError,
    /// Largest number of units that fire for one sample.
    MaxActiveUnits,
    /// Largest number of samples that one unit fires for.
    LargestCluster,
    /// `lambda_max(S)`, of the ensemble that the optimizer sees.
    LambdaMaxS,
    /// One of the largest eigenvalues of `S`; `index` counts from 1.
    SEigenvalue,
    /// `max_i lambda_max(H_i)`, of the ensemble that the optimizer sees.
    MaxSampleSharpness,
    /// Coherence measure, `lambda_max(S) / max_i lambda_max(H_i)`.
    Sigma,
    /// `lambda_max(H)`, of the ensemble that the optimizer sees.
    Sharpness,
    /// `tr H`, of the ensemble that the optimizer sees.
    Trace,
    /// Exact mean-square threshold of the learning rate.
    MaxLearningRate,
    /// Threshold of the full-batch method.
    GradientDescentLimit,
    /// Learning rate above which the paper's divergence criterion says divergence.
    CriterionDivergence,
    /// Learning rate of the paper's Theorem 3.3.
    #[serde(rename = "criterion_theorem_3_3")]
    CriterionTheorem33,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// For which optimizer.
    pub optimizer: Optimizer,
    /// For which batch size; `None` if it has none to do with it.
    pub batch_size: Option<usize>,
    /// What is measured.
    pub metric: Metric,
    /// Which of several, from 1.
    pub index: Option<usize>,
    /// The number.
    pub value: f64,
}

impl Measurement {
    pub(crate) fn new(optimizer: Optimizer, metric: Metric, value: f64) -> Self {
        Self { optimizer, batch_size: None, metric, index: None, value }
    }
}

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions<'a> {
    pub(crate) optimizers: &'a [Optimizer],
    pub(crate) sampling: SamplingScheme,
    pub(crate) batch_sizes: &'a [usize],
    /// How many eigenvalues of `S`.
    pub(crate) num_eigenvalues: usize,
}

/// The answers at an interpolating minimum, in an order that depends on the questions alone.
pub(crate) fn measure(curvature: &Curvature<'_>, questions: Questions<'_>) -> Result<Vec<Measurement>> {
    let ensemble = gauss_newton(curvature)?;
    let original = FactorCoherence::of(&ensemble)?;
    // Directions without curvature are part of the parameter space.
    let flat = ensemble.rank() < curvature.num_parameters();
    let min_eigenvalue = if flat { 0.0 } else { ensemble.mean_eigenvalues().last().copied().unwrap_or(0.0) };
    let mut answers = Vec::new();
    for &optimizer in questions.optimizers {
        let analysis = |batch_size: usize| -> Result<MeanSquare> {
            let sampling = BatchSampling::new(questions.sampling, ensemble.num_samples(), batch_size)?;
            Ok(MeanSquare::new(&ensemble, optimizer, sampling)?)
        };
        let full_batch = analysis(ensemble.num_samples())?;
        // Momentum sees the curvatures that its rule sees without it.
        let with_momentum = optimizer.momentum().abs() > 0.0;
        if optimizer == Optimizer::sgd() {
            answers.extend(report(&ensemble, &original, optimizer, questions.num_eigenvalues)?);
        } else if !with_momentum {
            let seen = full_batch.effective_ensemble();
            answers.extend(report(seen, &FactorCoherence::of(seen)?, optimizer, questions.num_eigenvalues)?);
        }
        let limit = full_batch.gradient_descent_limit();
        answers.push(Measurement::new(optimizer, Metric::GradientDescentLimit, limit));
        for &batch_size in questions.batch_sizes {
            let mut push = |metric, value| {
                let batch_size = Some(batch_size);
                answers.push(Measurement { batch_size, ..Measurement::new(optimizer, metric, value) });
            };
            push(Metric::MaxLearningRate, analysis(batch_size)?.max_learning_rate()?.value);
            // The paper has no criterion for momentum.
            if !with_momentum {
                let problem = Problem {
                    num_samples: ensemble.num_samples(),
                    batch_size,
                    coherence: original.measure,
                    sharpness: ensemble.mean_eigenvalues()[0],
                    min_eigenvalue,
                    rho_over_alpha: optimizer.rho_over_alpha(),
                };
                push(Metric::CriterionDivergence, criteria::divergence(&problem));
                push(Metric::CriterionTheorem33, criteria::existence_of_stable(&problem));
            }
        }
    }
    Ok(answers)
}

/// Coherence and sharpness of what an optimizer sees.
fn report(
    ensemble: &Reduced,
    coherence: &FactorCoherence,
    optimizer: Optimizer,
    num_eigenvalues: usize,
) -> Result<Vec<Measurement>> {
    let eigenvalues = ensemble.mean_eigenvalues();
    let numbers = [
        (Metric::LambdaMaxS, coherence.top_eigenvalue),
        (Metric::MaxSampleSharpness, coherence.max_sample_sharpness),
        (Metric::Sigma, coherence.measure),
        (Metric::Sharpness, eigenvalues[0]),
        (Metric::Trace, eigenvalues.iter().sum()),
    ];
    let mut answers = numbers.map(|(metric, value)| Measurement::new(optimizer, metric, value)).to_vec();
    if num_eigenvalues > 0 {
        let ascending = symmetric::eigenvalues(coherence.matrix.as_ref())?;
        for (place, &value) in ascending.iter().rev().take(num_eigenvalues).enumerate() {
            let index = Some(place + 1);
            answers.push(Measurement { index, ..Measurement::new(optimizer, Metric::SEigenvalue, value) });
        }
    }
    Ok(answers)
}

/// The Gauss-Newton curvatures in the eigenbasis of their mean, by way of their Gram matrix: with 10 000 parameters an order of
/// magnitude faster than by way of the gradients.
fn gauss_newton(curvature: &Curvature<'_>) -> Result<Reduced> {
    let (values, vectors) = symmetric::eigenpairs(curvature.gradient_gram().as_ref())?;
    let (n, factor) = (curvature.num_samples(), curvature.loss().curvature_factor());
    let roots: Vec<f64> = values.iter().map(|value| (factor * value.max(0.0)).sqrt()).collect();
    let rows = (0..n * n).map(|at| vectors[(at / n, at % n)] * roots[at % n]).collect();
    Ok(Reduced::of(&Factored::new(n, 1, n, rows)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linstab_coherence::Coherence;
    use linstab_driver::streams::StreamKey;
    use linstab_linalg::Ensemble as _;
    use linstab_relu::parity::{self, Redundancy};
    use linstab_relu::{Dataset, SquaredLoss};

    fn data(num_inputs: usize) -> Dataset {
        let rng = &mut StreamKey::new(1, "test").generator();
        parity::draw(12, num_inputs, Redundancy::Independent, rng).unwrap()
    }

    fn value(answers: &[Measurement], optimizer: Optimizer, metric: Metric, batch: Option<usize>) -> f64 {
        let wanted = Measurement { batch_size: batch, ..Measurement::new(optimizer, metric, 0.0) };
        answers.iter().find(|&&found| Measurement { value: 0.0, ..found } == wanted).unwrap().value
    }

    #[test]
    fn the_way_by_the_gram_matrix_finds_what_the_gradients_say() {
        let (data, sam) = (data(6), Optimizer::sam(0.3).unwrap());
        let momentum = Optimizer::sgd().with_momentum(0.5).unwrap();
        let network = solutions::generalising(6, 9, 3, 1.3).unwrap();
        let curvature = Curvature::at(&network, &data, SquaredLoss::Full).unwrap();
        let questions = Questions {
            optimizers: &[Optimizer::sgd(), sam, momentum],
            sampling: SamplingScheme::WithoutReplacement,
            batch_sizes: &[1, 4],
            num_eigenvalues: 2,
        };
        let answers = measure(&curvature, questions).unwrap();
        let direct = curvature.gauss_newton().unwrap();
        let coherence = Coherence::of(&direct).unwrap();
        let reduced = Reduced::of(&direct).unwrap();
        // Two eigenproblems of order 12 and squares of factors.
        let close = |metric, batch, optimizer, expected: f64| {
            let found = value(&answers, optimizer, metric, batch);
            assert!((found - expected).abs() < 1e-10 * expected, "{metric:?}: {found}, not {expected}");
        };
        close(Metric::LambdaMaxS, None, Optimizer::sgd(), coherence.top_eigenvalue);
        close(Metric::Sigma, None, Optimizer::sgd(), coherence.measure);
        close(Metric::MaxSampleSharpness, None, Optimizer::sgd(), coherence.max_sample_sharpness);
        close(Metric::Trace, None, Optimizer::sgd(), curvature.trace());
        close(Metric::Sharpness, None, Optimizer::sgd(), direct.sharpness().unwrap());
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 12, 4).unwrap();
        for optimizer in questions.optimizers {
            let analysis = MeanSquare::new(&reduced, *optimizer, sampling).unwrap();
            let expected = analysis.max_learning_rate().unwrap().value;
            close(Metric::MaxLearningRate, Some(4), *optimizer, expected);
        }
        // The entries of S for SAM, by hand: |K + (c/n) K^2| for one factor a sample.
        let gram = curvature.gradient_gram() * linstab_linalg::Scale(2.0);
        let transformed = &gram + &gram * &gram * linstab_linalg::Scale(0.3 / 12.0);
        let diagonal = (0..12).map(|i| transformed[(i, i)]).fold(0.0, f64::max);
        let absolute = linstab_linalg::Mat::from_fn(12, 12, |i, j| transformed[(i, j)].abs());
        let top = symmetric::top_eigenvalue(absolute.as_ref()).unwrap();
        close(Metric::LambdaMaxS, None, sam, top);
        close(Metric::Sigma, None, sam, top / diagonal);
        // Negative control: SGD's coherence matrix is another.
        assert!((top - coherence.top_eigenvalue).abs() > 0.1 * top, "{top} and {}", coherence.top_eigenvalue);
    }

    #[test]
    fn orthogonal_samples_have_thresholds_by_hand() {
        let data = data(24);
        let network = solutions::memorising(&data, 12, solutions::optimal_scale(24)).unwrap();
        let curvature = Curvature::at(&network, &data, SquaredLoss::Half).unwrap();
        let questions = Questions {
            optimizers: &[Optimizer::sgd()],
            sampling: SamplingScheme::WithoutReplacement,
            batch_sizes: &[1, 12],
            num_eigenvalues: 12,
        };
        let answers = measure(&curvature, questions).unwrap();
        let each = 10.0; // 2 sqrt(24 + 1)
        let is = |metric, batch, expected: f64| {
            let found = value(&answers, Optimizer::sgd(), metric, batch);
            assert!((found - expected).abs() < 1e-12 * expected, "{metric:?}: {found}, not {expected}");
        };
        is(Metric::Sigma, None, 1.0);
        is(Metric::Sharpness, None, each / 12.0);
        is(Metric::MaxLearningRate, Some(1), 2.0 / each);
        is(Metric::MaxLearningRate, Some(12), 24.0 / each);
        is(Metric::GradientDescentLimit, None, 24.0 / each);
        // sigma (n/B - 1)^{-1/2} / lambda and 2 sigma / (lambda (n/B - 1 + sigma)).
        is(Metric::CriterionDivergence, Some(1), 12.0 / each / 11.0_f64.sqrt());
        is(Metric::CriterionTheorem33, Some(1), 2.0 / each);
        let spectrum = answers.iter().filter(|found| found.metric == Metric::SEigenvalue);
        assert_eq!(spectrum.count(), 12);
    }
}
