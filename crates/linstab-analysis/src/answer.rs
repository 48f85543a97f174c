//! The stability of one training, by the method that fits its optimizer and its loader.

use linstab_dynamics::epochs::{CoarseEpochs, EpochOptions, Epochs};
use linstab_dynamics::lyapunov::SettlingOptions;
use linstab_dynamics::mean_square::{BatchAscentSam, CertificateKind, Threshold, ThresholdSolver};
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch, Loader};
use linstab_dynamics::{BatchSampling, DynamicsError, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::Reduced;
use rand_pcg::Pcg64;

use crate::Result;
use crate::report::{Basis, LyapunovReport, NoiseFloorReport, Number, Training};

/// Chains of the Lyapunov exponent, and what may be spent on one: a second or two.
const CHAINS: SettlingOptions = SettlingOptions { num_chains: 32, num_steps: 1000, max_multiplications: 2e9 };

/// Chains of the exponent by epochs, epochs that let the start be forgotten, and epochs that count.
const EPOCH_CHAINS: (usize, usize, usize) = (32, 20, 200);

/// Random streams of populations: those of chains come before.
const POPULATIONS: u128 = 1 << 64;

/// What is asked besides the threshold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) learning_rate: Option<f64>,
    pub(crate) lyapunov: bool,
    pub(crate) seed: u64,
    /// Samples of the data set, if these are some of them.
    pub(crate) population: Option<usize>,
}

/// The answer, in the units of the ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) max_learning_rate: f64,
    pub(crate) interval: (f64, f64),
    pub(crate) basis: Basis,
    pub(crate) confidence: Option<f64>,
    pub(crate) gradient_descent_limit: f64,
    pub(crate) full_batch_share: Option<f64>,
    /// Of the threshold as an estimate for the data set, where these samples are some of it.
    pub(crate) standard_error: Option<f64>,
    pub(crate) growth: Option<f64>,
    /// Whether there may be learning rates above the threshold, the first crossing, at which the mean square decays all the same.
    has_islands: bool,
    pub(crate) smallest_batch: Option<usize>,
    pub(crate) lyapunov: Option<LyapunovReport>,
    pub(crate) noise_floor: Option<NoiseFloorReport>,
}

impl Answer {
    /// Whether a learning rate is stable; `None` where an estimate cannot tell.
    pub(crate) fn judge(&self, learning_rate: f64) -> Option<bool> {
        if let (Basis::Exact, Some(growth), true) = (self.basis, self.growth, self.has_islands) {
            return Some(growth < 1.0);
        }
        let (low, high) = self.interval;
        let known = self.basis != Basis::Estimated || learning_rate < low || learning_rate > high;
        known.then_some(learning_rate < self.max_learning_rate)
    }

    fn new(max_learning_rate: f64, interval: (f64, f64), basis: Basis, gradient_descent_limit: f64) -> Self {
        Self {
            max_learning_rate,
            interval,
            basis,
            confidence: None,
            gradient_descent_limit,
            full_batch_share: None,
            standard_error: None,
            growth: None,
            has_islands: false,
            smallest_batch: None,
            lyapunov: None,
            noise_floor: None,
        }
    }

    fn of_threshold(threshold: &Threshold, gradient_descent_limit: f64) -> Self {
        let basis = match threshold.certificate {
            CertificateKind::Trivial => Basis::Exact,
            CertificateKind::Proven if threshold.num_applications == 0 => Basis::Exact,
            CertificateKind::Proven => Basis::Certified,
            CertificateKind::Residual => Basis::Estimated,
        };
        Self::new(threshold.value, threshold.interval, basis, gradient_descent_limit)
    }
}

/// The answer for a training on an ensemble (of rescaled factors for a preconditioned optimizer).
pub(crate) fn answer(
    (ensemble, solver): (&Reduced, &mut ThresholdSolver),
    training: Training,
    ask: Ask,
) -> Result<Answer> {
    let Training { optimizer, batch_size, sampling, last_batch } = training;
    let n = ensemble.num_samples();
    match (sampling, optimizer.batch_ascent()) {
        (Loader::Independent(scheme), None) => independent(
            &of_population(ensemble, optimizer, (scheme, batch_size), ask.population)?,
            solver,
            ask,
        ),
        (Loader::Independent(scheme), Some(_)) => ascending(ensemble, training, scheme, ask),
        (Loader::Epochs(order), _) => {
            let sampling = EpochSampling::new(order, last_batch.unwrap_or_default(), n, batch_size)?;
            let epochs = Epochs::new(ensemble, optimizer, sampling)?;
            by_epochs(&epochs.with_interrupt(solver.interrupt().clone()), ask)
        }
    }
}

/// The analysis of batches that are drawn from a population, or from these samples.
pub(crate) fn of_population(
    ensemble: &Reduced,
    optimizer: Optimizer,
    (scheme, batch_size): (SamplingScheme, usize),
    population: Option<usize>,
) -> Result<MeanSquare> {
    let sampling = BatchSampling::new(scheme, population.unwrap_or(ensemble.num_samples()), batch_size)?;
    Ok(MeanSquare::of_subset(ensemble, optimizer, sampling)?)
}

fn independent(analysis: &MeanSquare, solver: &mut ThresholdSolver, ask: Ask) -> Result<Answer> {
    let threshold = solver.max_learning_rate(analysis)?;
    let mut answer = Answer::of_threshold(&threshold, analysis.gradient_descent_limit());
    answer.full_batch_share = analysis.full_batch_share(&threshold)?;
    if ask.population.is_some() {
        // Not every optimizer has it.
        answer.standard_error = analysis.influences(&threshold).ok().map(|found| found.standard_error);
    }
    let Some(eta) = ask.learning_rate else { return Ok(answer) };
    let growth = solver.growth_per_step(analysis, eta)?;
    answer.growth = Some(growth);
    answer.smallest_batch = solver.min_batch_size(analysis, eta)?;
    let deviation = analysis.optimizer().perturbation_standard_deviation();
    if deviation > 0.0 {
        let floor = analysis.noise_floor_of_perturbation(eta, deviation)?;
        answer.noise_floor = floor.map(|floor| NoiseFloorReport {
            mean_squared_distance: floor.mean_squared_distance,
            expected_excess_loss: floor.expected_excess_loss,
        });
    }
    if ask.lyapunov {
        let stream = |chain: usize| Pcg64::new(u128::from(ask.seed), chain as u128);
        let found = analysis.settled_lyapunov_exponent(eta, growth, CHAINS, stream)?;
        answer.lyapunov = Some(LyapunovReport {
            mean: Number(found.mean),
            standard_error: found.standard_error,
            settled: found.settled,
            num_steps: found.num_steps,
        });
    }
    Ok(answer)
}

/// SAM with ascent on its mini-batch, batches drawn afresh: all batches where they are few, else populations.
fn ascending(ensemble: &Reduced, training: Training, scheme: SamplingScheme, ask: Ask) -> Result<Answer> {
    let Training { optimizer, batch_size, .. } = training;
    let n = ensemble.num_samples();
    let sampling = BatchSampling::new(scheme, n, batch_size)?;
    let enumerated =
        BatchAscentSam::of(optimizer).map(|sam| sam.enumerated(ensemble, sampling)).transpose()?.flatten();
    let afresh = EpochSampling::new(EpochOrder::Afresh, LastBatch::Drop, n, batch_size)?;
    let epochs = Epochs::new(ensemble, optimizer, afresh)?;
    if let Some(enumerated) = enumerated
        && !ask.lyapunov
    {
        let threshold = enumerated.max_learning_rate()?;
        let mut answer = Answer::of_threshold(&threshold, epochs.gradient_descent_limit());
        answer.growth = ask.learning_rate.map(|eta| enumerated.growth_per_step(eta)).transpose()?;
        return Ok(answer);
    }
    if scheme != SamplingScheme::WithoutReplacement {
        let what = "the threshold of ascent on many mini-batches of this sampling scheme";
        let why = "it is estimated for batches of fixed size without repetition only";
        return Err(DynamicsError::Unsupported { what, why }.into());
    }
    by_epochs(&epochs, ask)
}

/// Epochs: of one order and of few exactly, else by populations.
fn by_epochs(epochs: &Epochs, ask: Ask) -> Result<Answer> {
    // One order is a matrix product: exact in the directions that matter.
    let (epochs, moved) = if epochs.sampling().order() == EpochOrder::Cyclic {
        let CoarseEpochs { epochs, moved, .. } = epochs.coarse()?;
        (epochs, moved)
    } else {
        (epochs.clone(), 0.0)
    };
    let limit = epochs.gradient_descent_limit();
    let mut answer = if let Some(exact) = epochs.enumerated() {
        let value = exact.max_learning_rate()?;
        let interval = (value * (-moved - 1e-9).exp(), value * (moved + 1e-9).exp());
        // By how much the directions left out move another threshold is no proof.
        let basis = if moved > 0.0 { Basis::Estimated } else { Basis::Exact };
        let growth = ask.learning_rate.map(|eta| exact.growth_per_step(eta)).transpose()?;
        // Without curvature nothing decays, and nothing grows.
        let has_islands = epochs.gradient_descent_limit().is_finite();
        Answer { growth, has_islands, ..Answer::new(value, interval, basis, limit) }
    } else {
        let stream = |index: usize| Pcg64::new(u128::from(ask.seed), POPULATIONS + index as u128);
        let found = epochs.estimate(EpochOptions::default(), stream)?;
        let estimated = found.confidence < 1.0;
        let basis = if estimated { Basis::Estimated } else { Basis::Exact };
        let confidence = estimated.then_some(found.confidence);
        Answer { confidence, ..Answer::new(found.value, found.interval, basis, limit) }
    };
    if let (Some(eta), true) = (ask.learning_rate, ask.lyapunov) {
        answer.lyapunov = Some(exponent_by_epochs(&epochs, eta, ask.seed)?);
    }
    Ok(answer)
}

/// The exponent, settled if the first half of the epochs says what all of them say.
fn exponent_by_epochs(epochs: &Epochs, eta: f64, seed: u64) -> Result<LyapunovReport> {
    let chain = |index: usize| Pcg64::new(u128::from(seed), index as u128);
    let (chains, burn_in, num_epochs) = EPOCH_CHAINS;
    let half = epochs.lyapunov_exponent(eta, (chains, burn_in, num_epochs / 2), chain)?;
    let whole = epochs.lyapunov_exponent(eta, EPOCH_CHAINS, chain)?;
    // The halves differ by twice what the first differs from the whole; both infinite is no difference.
    let drift = 2.0 * (half.mean - whole.mean).abs();
    let settled = drift.is_nan() || drift <= 4.0 * half.standard_error.hypot(whole.standard_error) + 1e-12;
    Ok(LyapunovReport {
        mean: Number(whole.mean),
        standard_error: whole.standard_error,
        settled,
        num_steps: num_epochs * epochs.sampling().num_batches(),
    })
}
