//! Thresholds from populations of states, with a confidence interval.
//!
//! Sixteen populations ([`Population`]) follow the growth to where it is about 1. Then half of them stay at a learning rate just below, half just
//! above: the line through both mean growths passes 1 at the threshold, and the populations, which know nothing of one another, say by their spread how
//! well it is known. The product of a population's growths is unbiased, its logarithm is not: it is too small by about half its variance, which is
//! added. That correction, and what is left open by the directions without which it is done, are in the interval.
//!
//! Directions of little curvature move a threshold by little, but make everything slow, in time and in epochs until populations have
//! settled. They are left out, and the threshold is multiplied by what they do to that of batches drawn afresh, which is known exactly. With a
//! memory hardly any are, since it may oscillate in all of them.

use rand::Rng;
use rayon::prelude::*;

use super::population::Population;
use super::{CoarseEpochs, Epochs, FEWEST_DIRECTIONS};
use crate::error::require_nonnegative;
use crate::mean_square::ThresholdSolver;
use crate::sampling::EpochOrder;
use crate::{BatchSampling, MeanSquare, Result, SamplingScheme};

/// Probability with which an interval holds the threshold, and the quantile of Student's law for it on both sides: two groups of eight.
const CONFIDENCE: f64 = 0.95;
const QUANTILE: f64 = 2.145;
const POPULATIONS: usize = 16;
/// States of a population in the search; the rounds double them before all else.
const FIRST_STATES: usize = 16;
/// Epochs of a step of the search, and of the first round. Half as many before them are not counted.
const SEARCH_EPOCHS: usize = 6;
const FIRST_EPOCHS: usize = 16;
/// The first step of the search, and the width of the bracket that ends it.
const STEP: f64 = 1.02;
const WIDTH: f64 = 0.02;
/// Least and largest distance of a round's learning rates from their middle, as logarithms; and how many of them the next middle is away at most.
const DISTANCES: (f64, f64) = (0.001, 0.05);
const FARTHEST: f64 = 10.0;
/// What the directions left out may do to the threshold of batches drawn afresh, in tolerances; and the share of it that is open where it
/// is taken over for epochs. On a network (SGD, batches of one) a tail of 23 % missed the threshold by .3 %, one of 11 % by .15 %.
const TAIL: (f64, f64) = (10.0, 0.04);
/// The same where the threshold of batches drawn afresh is that of another optimizer: ascent on the full batch.
const UNLIKE_TAIL: (f64, f64) = (0.5, 1.0);
/// The same with a memory, whose oscillations in directions of little curvature epochs of few batches can feed: what directions do to batches
/// drawn afresh says little then. On a network (averages of gradients, two batches an epoch) a tail of 3.4 % missed the threshold by 17 %, one
/// of .1 % by .2 %.
const MEMORY_TAIL: (f64, f64) = (0.2, 1.0);
/// Width of the interval of a threshold of batches drawn afresh: far below what an estimate tells.
const REFERENCE_TOLERANCE: f64 = 1e-5;
/// Half the bend of a growth, in slopes.
const CURVATURE: f64 = 8.0;
/// Largest correction of a growth for its logarithm that is one: up to it that logarithm is about normal.
const LARGEST_BIAS: f64 = 0.5;
/// Largest relative error of a slope that is one.
const SLOPE_ERROR: f64 = 0.5;
/// Multiplications that drawing a sample and keeping its books are worth.
const DRAW: f64 = 30.0;

/// How much an estimate may cost, and how good it has to be.
///
/// # Examples
/// ```
/// use linstab_dynamics::epochs::EpochOptions;
/// assert_eq!(EpochOptions::default().relative_error, 0.005);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochOptions {
    /// Half of the width of the interval, relative to the threshold, that is good enough.
    pub relative_error: f64,
    /// Multiplications that may be spent in all, roughly.
    pub max_multiplications: f64,
}

impl Default for EpochOptions {
    fn default() -> Self {
        Self { relative_error: 0.005, max_multiplications: 6e11 }
    }
}

/// A threshold estimated from sampled orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochThreshold {
    /// The learning rate at which the mean square neither grows nor decays.
    pub value: f64,
    /// Learning rates between which it lies with the probability of `confidence`.
    pub interval: (f64, f64),
    /// That probability; 1 where the answer is exact.
    pub confidence: f64,
    /// Whether the interval is as narrow as was asked for.
    pub settled: bool,
    /// Orders that were sampled in the last round.
    pub num_orders: usize,
}

impl EpochThreshold {
    fn exact(value: f64) -> Self {
        Self { value, interval: (value, value), confidence: 1.0, settled: true, num_orders: 0 }
    }

    /// The same where more directions move it by `tail`, give or take `open`, as logarithms.
    fn moved(self, tail: f64, open: f64) -> Self {
        let (lower, upper) = self.interval;
        let interval = (lower * (tail - open).exp(), upper * (tail + open).exp());
        Self { value: self.value * tail.exp(), interval, confidence: CONFIDENCE, ..self }
    }

    /// Nothing is known but where the search ended.
    fn unknown(value: f64) -> Self {
        Self { value, interval: (0.0, f64::INFINITY), confidence: CONFIDENCE, settled: false, num_orders: 0 }
    }
}

/// The directions in which a threshold is estimated.
struct Space {
    epochs: Epochs,
    /// The threshold there of batches drawn afresh.
    start: f64,
    /// By how much the other directions move it, as a logarithm.
    tail: f64,
}

impl Epochs {
    /// The mean-square threshold, estimated; exact without noise (one batch an epoch), and, to the directions left out, in one order for good.
    ///
    /// `generator(i)` makes the random numbers of population `i`. The search starts at the threshold of batches drawn afresh and
    /// follows the growth to where it is 1: of several crossings it finds one nearby.
    /// # Cost
    /// `2 n k r` multiplications for a state and an epoch (`r` the directions that are needed), twenty thousand of which are usual, and quadrupled until
    /// the interval is narrow enough. Runs on the ambient rayon pool, with the same bits for any number of threads.
    /// # Errors
    /// [`crate::DynamicsError::OutOfRange`] for a bad tolerance; those of [`crate::MeanSquare::max_learning_rate`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::{EpochOptions, Epochs}};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 1, 1, 0, 0 in batches of two: exactly 2.7223.
    /// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 0.0, 0.0])?)?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 4, 2)?;
    /// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let found = epochs.estimate(EpochOptions::default(), |i| rand_pcg::Pcg64::seed_from_u64(i as u64))?;
    /// assert!((found.value / 2.7223 - 1.0).abs() < 0.01 && found.interval.0 < found.interval.1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn estimate<R: Rng + Send>(
        &self,
        options: EpochOptions,
        generator: impl Fn(usize) -> R,
    ) -> Result<EpochThreshold> {
        require_nonnegative("relative_error", options.relative_error, true)?;
        if self.effective.rank() == 0 || self.is_full_batch() {
            return Ok(EpochThreshold::exact(self.gradient_descent_limit()));
        }
        if self.sampling.order() == EpochOrder::Cyclic {
            return self.of_one_order(options.relative_error);
        }
        let (within, share) = match self.optimizer {
            optimizer if !optimizer.recursion().is_memoryless() => MEMORY_TAIL,
            optimizer if optimizer.batch_ascent().is_some() => UNLIKE_TAIL,
            _ => TAIL,
        };
        let Space { epochs, start, tail } = self.space(within * options.relative_error)?;
        let open = share * tail.abs();
        let populations =
            (0..POPULATIONS).map(|i| Population::new(&epochs, FIRST_STATES, generator(i))).collect();
        let mut search = Search {
            epochs: &epochs,
            relative_error: options.relative_error - open,
            max_multiplications: options.max_multiplications,
            populations,
            num_states: FIRST_STATES,
            spent: 0.0,
        };
        Ok(search.threshold(start)?.moved(tail, open))
    }

    fn of_one_order(&self, relative_error: f64) -> Result<EpochThreshold> {
        let CoarseEpochs { epochs, moved, .. } = self.coarse()?;
        let Some(enumerated) = epochs.enumerated() else {
            return Ok(EpochThreshold::unknown(self.gradient_descent_limit()));
        };
        let found = EpochThreshold::exact(enumerated.max_learning_rate()?);
        let settled = moved <= relative_error;
        Ok(if moved > 0.0 { EpochThreshold { settled, ..found.moved(0.0, moved) } } else { found })
    }

    /// As few of the leading directions as leave the threshold of batches drawn afresh where it is, to `tolerance`.
    fn space(&self, tolerance: f64) -> Result<Space> {
        let full = self.effective.rank();
        let mut ranks: Vec<usize> = std::iter::successors(Some(FEWEST_DIRECTIONS), |rank| Some(2 * rank))
            .take_while(|&rank| rank < full)
            .collect();
        ranks.push(full);
        let mut thresholds = Vec::new();
        for &rank in &ranks {
            self.interrupt.check()?;
            let leading = self.leading(rank);
            let solver = ThresholdSolver::new(&leading.original).with_interrupt(self.interrupt.clone());
            let mut solver = solver.with_tolerance(REFERENCE_TOLERANCE)?;
            thresholds.push(solver.max_learning_rate(&leading.reference()?)?.value);
        }
        let whole = thresholds[ranks.len() - 1];
        let enough = thresholds.iter().position(|start| (whole / start).ln().abs() <= tolerance);
        let at = enough.unwrap_or(ranks.len() - 1);
        Ok(Space {
            epochs: self.leading(ranks[at]),
            start: thresholds[at],
            tail: (whole / thresholds[at]).ln(),
        })
    }

    /// The same optimizer with batches drawn afresh, with SAM's ascent on the full batch: what a search starts from.
    fn reference(&self) -> Result<MeanSquare> {
        let (n, b) = (self.sampling.num_samples(), self.sampling.batch_size());
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b)?;
        MeanSquare::new(&self.original, self.optimizer.with_full_ascent(), sampling)
    }

    /// The same in the directions of the largest mean curvatures alone.
    pub(super) fn leading(&self, num_directions: usize) -> Self {
        let rank = num_directions.min(self.effective.rank());
        let (original, effective) = (self.original.leading(rank), self.effective.leading(rank));
        Self { effective, original, ..self.clone() }
    }

    /// Multiplications of an epoch of a state, roughly.
    fn cost(&self) -> f64 {
        let (rank, num_factors) = (self.effective.rank() as f64, self.effective.num_factors() as f64);
        let num_samples = self.sampling.batch_sizes().sum::<usize>() as f64;
        let evaluations = if self.optimizer.batch_ascent().is_some() { 2.0 } else { 1.0 };
        let values = 4.0 * self.sampling.num_batches() as f64 * rank;
        num_samples * (2.0 * evaluations * num_factors * rank + DRAW) + values
    }
}

/// Populations on their way to a threshold.
struct Search<'a, R> {
    epochs: &'a Epochs,
    relative_error: f64,
    max_multiplications: f64,
    populations: Vec<Population<R>>,
    /// States of each.
    num_states: usize,
    /// Multiplications so far.
    spent: f64,
}

/// What a round says of the threshold.
struct Crossing {
    /// The logarithm of its distance from the middle of the round.
    shift: f64,
    /// Half of the width of its interval, and what sampling has to do with it.
    half: f64,
    random: f64,
}

impl<R: Rng + Send> Search<'_, R> {
    fn threshold(&mut self, start: f64) -> Result<EpochThreshold> {
        let Some(mut middle) = self.bracket(start)? else {
            return Ok(EpochThreshold::unknown(start));
        };
        let mut found = EpochThreshold::unknown(middle);
        let (mut num_epochs, mut distance) = (FIRST_EPOCHS, self.relative_error);
        self.double();
        loop {
            distance = distance.clamp(DISTANCES.0, DISTANCES.1);
            let crossing = self.round(middle, distance, num_epochs)?;
            // Beyond its sides a line says where to go on, no more.
            let is_within = crossing.as_ref().is_none_or(|crossing| crossing.shift.abs() <= distance);
            if let Some(Crossing { shift, half, random }) = crossing {
                middle *= shift.clamp(-FARTHEST * distance, FARTHEST * distance).exp();
                found = EpochThreshold {
                    value: middle,
                    interval: (middle * (-half).exp(), middle * half.exp()),
                    settled: is_within && half <= self.relative_error,
                    num_orders: POPULATIONS * self.num_states * num_epochs,
                    ..found
                };
                // The next slope is then known to a quarter.
                distance = 2.0 * random;
            } else {
                distance *= 2.0;
            }
            if found.settled || !self.affords(if is_within { 4 } else { 1 }, num_epochs) {
                return Ok(found);
            }
            if is_within {
                self.double();
                num_epochs *= 2;
            }
        }
    }

    fn double(&mut self) {
        self.populations.iter_mut().for_each(Population::double);
        self.num_states *= 2;
    }

    /// Whether so many times the last round is within what may be spent.
    fn affords(&self, times: usize, num_epochs: usize) -> bool {
        self.spent + times as f64 * self.cost(num_epochs) <= self.max_multiplications
    }

    /// Multiplications of all populations for so many epochs, after half as many.
    fn cost(&self, num_epochs: usize) -> f64 {
        self.epochs.cost() * (POPULATIONS * self.num_states) as f64 * 1.5 * num_epochs as f64
    }

    /// The mean growth of each population over so many epochs after half as many, at the learning rate that `of` says.
    fn growths(&mut self, num_epochs: usize, of: impl Fn(usize) -> f64 + Sync) -> Result<Vec<f64>> {
        self.spent += self.cost(num_epochs);
        let epochs = self.epochs;
        let advanced =
            self.populations.par_iter_mut().enumerate().map(|(index, population)| {
                population.advance(epochs, of(index), (num_epochs / 2, num_epochs))
            });
        advanced.collect()
    }

    /// A learning rate near which the growth passes 1; `None` if it never does.
    fn bracket(&mut self, start: f64) -> Result<Option<f64>> {
        let mut growth = |eta: f64| -> Result<f64> {
            Ok(self.growths(SEARCH_EPOCHS, |_| eta)?.iter().sum::<f64>() / POPULATIONS as f64)
        };
        let (mut last, mut step) = ((start, growth(start)?), STEP);
        let upwards = last.1 <= 0.0;
        let (mut low, mut high) = loop {
            let eta = if upwards { last.0 * step } else { last.0 / step };
            if !(1e-9..1e9).contains(&(eta / start)) {
                return Ok(None);
            }
            let next = (eta, growth(eta)?);
            if (next.1 > 0.0) == upwards {
                break if upwards { (last, next) } else { (next, last) };
            }
            (last, step) = (next, step.powf(1.5));
        };
        while high.0 > low.0 * (1.0 + WIDTH) {
            let eta = between(low, high, 0.2);
            let middle = (eta, growth(eta)?);
            if middle.1 > 0.0 { high = middle } else { low = middle }
        }
        Ok(Some(between(low, high, 0.0)))
    }

    /// The crossing of the line through the growths at both sides of `middle`; `None` where they do not say that it rises.
    fn round(&mut self, middle: f64, distance: f64, num_epochs: usize) -> Result<Option<Crossing>> {
        let sides = [middle * (-distance).exp(), middle * distance.exp()];
        let growths = self.growths(num_epochs, |index| sides[index % 2])?;
        let [below, above] = [0, 1].map(|side| {
            let of_side: Vec<f64> = growths.iter().copied().skip(side).step_by(2).collect();
            Mean::of(&of_side, num_epochs)
        });
        let error = 0.5 * below.error.hypot(above.error);
        let slope = (above.corrected() - below.corrected()) / (2.0 * distance);
        let slope_error = QUANTILE * error / (distance * slope);
        let is_skewed = below.bias.max(above.bias) > LARGEST_BIAS;
        if is_skewed || !(slope > 0.0 && slope_error <= SLOPE_ERROR) {
            return Ok(None);
        }
        let shift = -0.5 * (below.corrected() + above.corrected()) / slope;
        let random = QUANTILE * error / (slope * (1.0 - slope_error));
        let bias = 0.5 * (below.bias + above.bias) / slope;
        // Growth is no straight line.
        let bend = CURVATURE * distance.max(shift.abs()).powi(2);
        Ok(Some(Crossing { shift, half: random.hypot(bias) + bend, random }))
    }
}

/// The mean growth of some populations.
struct Mean {
    value: f64,
    /// Its standard error.
    error: f64,
    /// By how much it is too small.
    bias: f64,
}

impl Mean {
    fn of(growths: &[f64], num_epochs: usize) -> Self {
        let n = growths.len() as f64;
        let value = growths.iter().sum::<f64>() / n;
        let variance = growths.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0);
        // The variance of the logarithm of all growth rises by so much an epoch.
        let rate = variance * num_epochs as f64;
        Self { value, error: (variance / n).sqrt(), bias: 0.5 * rate }
    }

    fn corrected(&self) -> f64 {
        self.value + self.bias
    }
}

/// Where the secant passes 0, at least so large a share of the way from either point.
fn between(low: (f64, f64), high: (f64, f64), least_share: f64) -> f64 {
    let share = (-low.1 / (high.1 - low.1)).clamp(least_share, 1.0 - least_share);
    low.0 * (high.0 / low.0).powf(if share.is_nan() { 0.5 } else { share })
}
