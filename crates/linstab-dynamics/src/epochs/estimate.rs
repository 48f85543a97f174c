//! Thresholds by populations of states, with a confidence interval.
//!
//! Independent populations run at three learning rates just above the threshold, with the same random numbers at each. The logarithm of the
//! growth is a smooth function of that of the learning rate; each population says by how much its growth at the middle is off, all of
//! them together say the slope, and so each has a threshold of its own. Student's law makes the interval; runs are added until
//! it is narrow enough. They run in a coarse space, the directions of large curvature that decide the threshold of batches drawn afresh;
//! by how much leaving out the others moves that threshold is added to the interval. Below the threshold populations would end in flat
//! directions, which decay slowest; at or above it they need not.

use linstab_linalg::Mat;
use rand::Rng;
use rayon::prelude::*;

use super::Epochs;
use super::coarse::CoarseEpochs;
use super::crossing::{Crossing, Growths, NUM_POINTS, NUM_POPULATIONS, Points, mean_and_deviation};
use super::populations::{Population, root};
use crate::error::require_nonnegative;
use crate::lyapunov::{AlmostSureThreshold, ExponentEstimate, first_crossing};
use crate::{DynamicsError, Result};

/// Probability with which an interval holds the threshold.
const CONFIDENCE: f64 = 0.95;
/// Epochs that let the start be forgotten; as many count, twice.
const BURN_IN: usize = 8;
/// Distance of the learning rates from one another, relative, at first and at most.
const SPACING: f64 = 0.015;
const WIDEST: f64 = 0.12;
/// Allowance for what finite populations, the start and the parabola leave out.
const SYSTEMATIC: f64 = 1e-3;
/// Steps of the search for the neighbourhood.
const MAX_STEPS: usize = 40;

/// How much an estimate may cost, and how good it has to be.
///
/// # Examples
/// ```
/// use linstab_dynamics::epochs::EpochOptions;
/// assert_eq!(EpochOptions::default().relative_error, 0.005);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochOptions {
    /// States a population.
    pub num_states: usize,
    /// Half of the width of the interval, relative to the threshold, that is good enough.
    pub relative_error: f64,
    /// Multiplications that may be spent in all, roughly.
    pub max_multiplications: f64,
}

impl Default for EpochOptions {
    fn default() -> Self {
        Self { num_states: 32, relative_error: 0.005, max_multiplications: 2e11 }
    }
}

/// A threshold estimated by populations of states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochThreshold {
    /// The learning rate at which the mean square neither grows nor decays.
    pub value: f64,
    /// Learning rates between which it lies with the probability of `confidence`, but for the bias of finite populations.
    pub interval: (f64, f64),
    /// That probability; 1 where the answer is exact.
    pub confidence: f64,
    /// Whether the interval is as narrow as was asked for.
    pub settled: bool,
    /// Epochs of each state at each of the three learning rates.
    pub num_epochs: usize,
}

impl Epochs {
    /// The mean-square threshold, estimated; exact without noise (one batch an epoch).
    ///
    /// `generator(i)` makes the random numbers of population `i`. The search starts at the threshold of batches drawn afresh and
    /// follows the growth to where it is 1: of several crossings it finds one nearby.
    /// # Cost
    /// About `6 n k r` multiplications a state and epoch. Runs on the ambient rayon pool, with the same bits for any number of threads.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for fewer than 2 states or a bad tolerance; those of [`crate::MeanSquare::max_learning_rate`].
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
    /// assert!((found.value / 2.7223 - 1.0).abs() < 0.02 && found.interval.0 < found.interval.1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn estimate<R: Rng + Send>(
        &self,
        options: EpochOptions,
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<EpochThreshold> {
        if options.num_states < 2 {
            let (name, allowed) = ("num_states", "at least 2");
            return Err(DynamicsError::OutOfRange { name, value: options.num_states as f64, allowed });
        }
        require_nonnegative("relative_error", options.relative_error, true)?;
        if self.effective.rank() == 0 || self.is_full_batch() {
            let value = self.gradient_descent_limit();
            let (interval, confidence) = ((value, value), 1.0);
            return Ok(EpochThreshold { value, interval, confidence, settled: true, num_epochs: 0 });
        }
        let CoarseEpochs { epochs, moved, afresh, reference } = self.coarse()?;
        let root = root(&reference.critical)?;
        let systematic = SYSTEMATIC + moved;
        let search = Search { epochs: &epochs, root: &root, systematic, options, generator: &generator };
        let mut place = search.neighbourhood(afresh)?;
        let (mut spacing, mut budget) = (SPACING, options.max_multiplications);
        loop {
            match search.refine(place, spacing, &mut budget)? {
                Outcome::Found(found) => return Ok(found),
                Outcome::Elsewhere(elsewhere) => place = elsewhere,
                Outcome::Flat => spacing = (2.0 * spacing).min(WIDEST),
            }
        }
    }

    /// The Lyapunov exponent a step: the mean logarithm of the growth of the state over epochs, by independent chains.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, fewer than 2 chains or no epoch.
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::Epochs};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 0 and 1 at learning rate 3: an epoch multiplies by 1 - 3, whatever the order.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![0.0, 1.0])?)?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
    /// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let found = epochs.lyapunov_exponent(3.0, (4, 2, 10), |i| rand_pcg::Pcg64::seed_from_u64(i as u64))?;
    /// assert!((found.mean - 0.5 * 2.0_f64.ln()).abs() < 1e-12 && found.standard_error < 1e-12);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn lyapunov_exponent<R: Rng + Send>(
        &self,
        learning_rate: f64,
        (num_chains, burn_in, num_epochs): (usize, usize, usize),
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<ExponentEstimate> {
        require_nonnegative("learning_rate", learning_rate, true)?;
        for (name, value, least) in [("num_chains", num_chains, 2), ("num_epochs", num_epochs, 1)] {
            if value < least {
                let allowed = "at least 2 chains and 1 epoch";
                return Err(DynamicsError::OutOfRange { name, value: value as f64, allowed });
            }
        }
        let rank = self.effective.rank();
        if rank == 0 {
            return Ok(ExponentEstimate { mean: 0.0, standard_error: 0.0 });
        }
        let identity = Mat::identity(rank, rank);
        let chain = |index: usize| -> Result<f64> {
            // A population of one is a chain.
            let mut chain = Population::new(self, learning_rate, &identity, 1, generator(index))?;
            for _ in 0..burn_in {
                chain.epoch();
            }
            let sum: f64 = (0..num_epochs).map(|_| chain.epoch().ln()).sum();
            Ok(0.5 * sum / (num_epochs * self.sampling.num_batches()) as f64)
        };
        let exponents: Vec<f64> = (0..num_chains).into_par_iter().map(chain).collect::<Result<_>>()?;
        ExponentEstimate::of_chains(&exponents, learning_rate)
    }
}

impl Epochs {
    /// The learning rate from `start` on at which the exponent changes sign, with common random numbers, as
    /// [`crate::MeanSquare::almost_sure_threshold`]: `start` is a learning rate that is stable in the mean square.
    ///
    /// # Errors
    /// As [`Epochs::lyapunov_exponent`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
    /// use linstab_dynamics::{Optimizer, epochs::Epochs};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 0 and 1 one at a time: an epoch multiplies by 1 - eta.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![0.0, 1.0])?)?;
    /// let sampling = EpochSampling::new(EpochOrder::Reshuffling, LastBatch::Keep, 2, 1)?;
    /// let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let found = epochs.almost_sure_threshold(1.5, (4, 2, 10), |i| rand_pcg::Pcg64::seed_from_u64(i as u64))?;
    /// assert!((found.value - 2.0).abs() < 1e-5);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn almost_sure_threshold<R: Rng + Send>(
        &self,
        start: f64,
        chains: (usize, usize, usize),
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<AlmostSureThreshold> {
        first_crossing(start, |eta| self.lyapunov_exponent(eta, chains, &generator))
    }
}

enum Outcome {
    Found(EpochThreshold),
    /// The crossing is not next to the learning rates, but about here.
    Elsewhere(f64),
    /// The learning rates are too close together for the noise.
    Flat,
}

struct Search<'a, F> {
    epochs: &'a Epochs,
    root: &'a Mat<f64>,
    /// Allowance for what is not random.
    systematic: f64,
    options: EpochOptions,
    generator: &'a F,
}

impl<R: Rng + Send, F: Fn(usize) -> R + Sync> Search<'_, F> {
    /// Growth an epoch of every population: the mean over `num_epochs` after `burn_in`, and over as many after these.
    fn growth(
        &self,
        learning_rate: f64,
        run: usize,
        (burn_in, num_epochs): (usize, usize),
    ) -> Result<[Vec<f64>; 2]> {
        let of_population = |index: usize| -> Result<[f64; 2]> {
            let rng = (self.generator)(run * NUM_POPULATIONS + index);
            let mut population =
                Population::new(self.epochs, learning_rate, self.root, self.options.num_states, rng)?;
            for _ in 0..burn_in {
                population.epoch();
            }
            Ok([(); 2].map(|()| (0..num_epochs).map(|_| population.epoch()).sum::<f64>() / num_epochs as f64))
        };
        let pairs: Vec<[f64; 2]> =
            (0..NUM_POPULATIONS).into_par_iter().map(of_population).collect::<Result<_>>()?;
        Ok([0, 1].map(|half| pairs.iter().map(|pair| pair[half]).collect()))
    }

    /// A learning rate within a few percent of the crossing: steps towards it, then bisection.
    fn neighbourhood(&self, start: f64) -> Result<f64> {
        let excess = |eta: f64| -> Result<f64> {
            let growth = mean_and_deviation(&self.growth(eta, 0, (2, 3))?[0]).0;
            Ok(if growth.is_nan() { f64::INFINITY } else { growth - 1.0 })
        };
        let (mut eta, mut step) = (start, 1.03_f64);
        let grows = excess(eta)? > 0.0;
        let (mut low, mut high) = (eta, eta);
        for _ in 0..MAX_STEPS {
            eta = if grows { eta / step } else { eta * step };
            if grows {
                low = eta;
            } else {
                high = eta;
            }
            if (excess(eta)? > 0.0) != grows {
                break;
            }
            if grows {
                high = eta;
            } else {
                low = eta;
            }
            step *= 1.2;
        }
        while high > low * 1.03 {
            let middle = (low * high).sqrt();
            if excess(middle)? > 0.0 { high = middle } else { low = middle }
        }
        Ok((low * high).sqrt())
    }

    /// Runs populations just above `place` until the crossing is known well enough, or the budget is spent.
    fn refine(&self, place: f64, spacing: f64, budget: &mut f64) -> Result<Outcome> {
        let points: Points = [1.0, 4.0, 7.0].map(|at| 1.0 + at / 3.0 * spacing);
        let empty = || -> [Growths; 2] { [(); 2].map(|()| points.map(|_| vec![0.0; NUM_POPULATIONS])) };
        let (mut burn_in, mut run, mut sums) = (BURN_IN, 0, empty());
        loop {
            self.add_run(place, &points, run, burn_in, &mut sums)?;
            run += 1;
            *budget -= self.cost_of_epoch() * (3 * burn_in) as f64;
            let exhausted = *budget <= 0.0;
            // Looked at after 2, 4, 8, .. runs: the more often one looks, the sooner luck is taken for an answer.
            let looked_at = run >= 2 && run.is_power_of_two();
            if !(exhausted || looked_at) {
                continue;
            }
            let runs = run as f64;
            let [first, second] =
                sums.each_ref().map(|half| Crossing::of(half, &points, runs, self.systematic));
            let Some(second) = second else {
                let highest = mean_and_deviation(&sums[1][NUM_POINTS - 1]).0 / runs;
                return Ok(if exhausted {
                    Outcome::Found(unknown(place))
                } else {
                    without(place, spacing, highest)
                });
            };
            let forgotten = first.is_some_and(|first| first.agrees_with(&second));
            let settled = forgotten && second.half <= self.options.relative_error;
            let beside = (second.shift + spacing).abs() > 2.0 * spacing + second.half;
            if beside && !exhausted {
                return Ok(Outcome::Elsewhere(place * second.shift.clamp(-0.3, 0.3).exp()));
            }
            if settled || exhausted {
                let drift = match first {
                    Some(_) if forgotten => 0.0,
                    Some(first) => (first.shift - second.shift).abs(),
                    None => spacing,
                };
                return Ok(Outcome::Found(found(place, second, drift, settled, run * 3 * burn_in)));
            }
            // The slope is lost in the noise where the interval is wider than the points are apart.
            if second.half > 2.0 * spacing && spacing < WIDEST {
                return Ok(Outcome::Flat);
            }
            if !forgotten && run >= 4 {
                (burn_in, run, sums) = (2 * burn_in, 0, empty());
            }
        }
    }

    /// Adds the growth of one run of all populations at all learning rates, in both halves.
    fn add_run(
        &self,
        place: f64,
        points: &Points,
        run: usize,
        burn_in: usize,
        sums: &mut [Growths; 2],
    ) -> Result<()> {
        for (at, point) in points.iter().enumerate() {
            let found = self.growth(place * point, run, (burn_in, burn_in))?;
            for (sums, found) in sums.iter_mut().zip(&found) {
                for (sum, growth) in sums[at].iter_mut().zip(found) {
                    *sum += growth;
                }
            }
        }
        Ok(())
    }

    /// Multiplications of an epoch of all populations at all learning rates.
    fn cost_of_epoch(&self) -> f64 {
        let size = self.epochs.sampling.num_samples() * self.epochs.effective.num_factors();
        let states = NUM_POPULATIONS * self.options.num_states * NUM_POINTS;
        4.0 * (size * self.epochs.effective.rank() * states) as f64
    }
}

/// The threshold that a crossing beside `place` says; what the start still does to it widens the interval.
fn found(place: f64, crossing: Crossing, drift: f64, settled: bool, num_epochs: usize) -> EpochThreshold {
    let (value, half) = (place * crossing.shift.exp(), crossing.half.hypot(drift));
    let interval = (value * (-half).exp(), value * half.exp());
    EpochThreshold { value, interval, confidence: CONFIDENCE, settled, num_epochs }
}

/// What to do where growth does not rise with the learning rate; `highest` is that of the largest one.
fn without(place: f64, spacing: f64, highest: f64) -> Outcome {
    if (0.9..1.5).contains(&highest) && spacing < WIDEST {
        return Outcome::Flat;
    }
    Outcome::Elsewhere(if highest <= 0.9 { place * 1.1 } else { place / 1.1 })
}

/// Nothing is known but where the search ended.
fn unknown(value: f64) -> EpochThreshold {
    EpochThreshold {
        value,
        interval: (0.0, f64::INFINITY),
        confidence: CONFIDENCE,
        settled: false,
        num_epochs: 0,
    }
}
