//! The Lyapunov exponent of any ensemble by Monte Carlo, and the almost-sure threshold.
//!
//! Many independent chains follow a normalised vector through products of random steps. After a burn-in, in which the vector
//! turns to the leading direction, the mean logarithm of its growth estimates the top exponent; the chains are independent,
//! so their spread gives an honest standard error of what they estimate; whether the burn-in was long enough they cannot tell.
//! [`MeanSquare::settled_lyapunov_exponent`] checks that, too, and follows the chains until it is so.

mod settled;

pub use settled::{SettledExponent, SettlingOptions};

use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::simulation::{ReducedSimulator, squared_norm};
use crate::{DynamicsError, MeanSquare, Result};

/// How much to simulate.
///
/// # Examples
/// ```
/// use linstab_dynamics::lyapunov::ChainOptions;
/// let options = ChainOptions { num_chains: 20, burn_in: 100, num_steps: 900 };
/// assert_eq!(options.num_chains * (options.burn_in + options.num_steps), 20_000, "steps in all");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainOptions {
    /// Independent chains, at least 2.
    pub num_chains: usize,
    /// Steps that are not counted.
    pub burn_in: usize,
    /// Steps that are counted, at least 1.
    pub num_steps: usize,
}

/// An exponent with its statistical error.
///
/// # Examples
/// ```
/// use linstab_dynamics::lyapunov::ExponentEstimate;
/// let estimate = ExponentEstimate { mean: -0.5, standard_error: 0.1 };
/// assert!(estimate.mean + 4.0 * estimate.standard_error < 0.0, "almost every run converges, by four standard errors");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentEstimate {
    /// Mean over the chains; minus infinity if a chain was mapped to exactly zero.
    pub mean: f64,
    /// Standard error over the chains; 0 where the mean is infinite.
    pub standard_error: f64,
}

impl ExponentEstimate {
    /// The mean over chains with its standard error; minus infinity, with error 0, if a chain came to rest.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] if a chain overflowed.
    pub(crate) fn of_chains(exponents: &[f64], learning_rate: f64) -> Result<Self> {
        let n = exponents.len() as f64;
        let mean = exponents.iter().sum::<f64>() / n;
        if mean.is_nan() || mean > f64::MAX {
            let (name, allowed) = ("learning_rate", "small enough for a step not to overflow");
            return Err(DynamicsError::OutOfRange { name, value: learning_rate, allowed });
        }
        if !mean.is_finite() {
            return Ok(Self { mean, standard_error: 0.0 });
        }
        let variance = exponents.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        Ok(Self { mean, standard_error: (variance / n).sqrt() })
    }
}

/// An estimated almost-sure threshold.
///
/// # Examples
/// ```
/// use linstab_dynamics::lyapunov::AlmostSureThreshold;
/// let threshold = AlmostSureThreshold { value: 1.33, interval: (1.32, 1.34) };
/// assert!(threshold.interval.0 < 4.0 / 3.0 && 4.0 / 3.0 < threshold.interval.1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlmostSureThreshold {
    /// The learning rate at which the estimated exponent changes sign.
    pub value: f64,
    /// Learning rates at which the exponent is two standard errors below and above zero.
    pub interval: (f64, f64),
}

impl MeanSquare {
    /// The top Lyapunov exponent at a learning rate: the rate `lim (1/k) log |w_k|` of almost every run.
    ///
    /// `generator(chain)` gives each chain its random stream; results depend on nothing else, whatever the number of threads.
    /// 0 without curvature.
    /// # Cost
    /// `num_chains * (burn_in + num_steps)` steps of `2 B k r` multiplications, on the ambient rayon pool.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate or fewer than 2 chains or no step.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer, lyapunov::ChainOptions};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // One sample of curvature 1 at learning rate 1/2: every step halves w.
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let options = ChainOptions { num_chains: 2, burn_in: 0, num_steps: 10 };
    /// let exponent = sgd.lyapunov_exponent(0.5, options, |chain| rand_pcg::Pcg64::seed_from_u64(chain as u64))?;
    /// assert!((exponent.mean - 0.5_f64.ln()).abs() < 1e-14 && exponent.standard_error < 1e-14);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn lyapunov_exponent<R: Rng>(
        &self,
        learning_rate: f64,
        options: ChainOptions,
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<ExponentEstimate> {
        for (name, value, least) in
            [("num_chains", options.num_chains, 2), ("num_steps", options.num_steps, 1)]
        {
            if value < least {
                let allowed = "at least 2 chains and 1 step";
                return Err(DynamicsError::OutOfRange { name, value: value as f64, allowed });
            }
        }
        let simulator = ReducedSimulator::new(self, learning_rate)?;
        if self.effective_ensemble().rank() == 0 {
            return Ok(ExponentEstimate { mean: 0.0, standard_error: 0.0 });
        }
        let chain = |index| chain_exponent(simulator.clone(), options, &mut generator(index));
        let exponents: Vec<f64> = (0..options.num_chains).into_par_iter().map(chain).collect();
        ExponentEstimate::of_chains(&exponents, learning_rate)
    }

    /// A learning rate above the mean-square threshold at which the exponent changes sign from below, with common random
    /// numbers: the first that a scan in steps of a quarter meets. The stable learning rates can form several intervals;
    /// windows narrower than the steps can be missed. Infinite without curvature, or if the exponent stays negative up to a
    /// million times that threshold.
    ///
    /// Mean-square stability implies almost-sure stability, so there is nothing to be found below.
    /// # Errors
    /// As [`MeanSquare::lyapunov_exponent`] and [`MeanSquare::max_learning_rate`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer, lyapunov::ChainOptions};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Curvatures 1 and 3, batches of one: mean 2 and mean square 5. The mean square of w decays up to 2 * 2 / 5, but almost
    /// // every run up to 4/3, where the factors 1 - 4/3 and 1 - 4 cancel in the long run.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let options = ChainOptions { num_chains: 50, burn_in: 0, num_steps: 400 };
    /// let found = sgd.almost_sure_threshold(options, |chain| rand_pcg::Pcg64::seed_from_u64(chain as u64))?;
    /// assert!((sgd.max_learning_rate()?.value - 0.8).abs() < 1e-12);
    /// assert!((found.value - 4.0 / 3.0).abs() < found.interval.1 - found.interval.0); // four standard errors
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn almost_sure_threshold<R: Rng>(
        &self,
        options: ChainOptions,
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<AlmostSureThreshold> {
        self.almost_sure_threshold_above(self.max_learning_rate()?.value, CROSSING_RTOL, options, generator)
    }

    /// As [`MeanSquare::almost_sure_threshold`], from the mean-square threshold, which is known, and no closer to the crossing than `rtol`.
    ///
    /// # Cost
    /// Some fifteen exponents for an `rtol` of a thousandth.
    /// # Errors
    /// As [`MeanSquare::lyapunov_exponent`].
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer, lyapunov::ChainOptions};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 3.0_f64.sqrt()])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let options = ChainOptions { num_chains: 50, burn_in: 0, num_steps: 400 };
    /// let stream = |chain: usize| rand_pcg::Pcg64::seed_from_u64(chain as u64);
    /// let rough = sgd.almost_sure_threshold_above(0.8, 1e-3, options, stream)?;
    /// assert!((rough.value / sgd.almost_sure_threshold(options, stream)?.value - 1.0).abs() < 1e-3);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn almost_sure_threshold_above<R: Rng>(
        &self,
        mean_square: f64,
        rtol: f64,
        options: ChainOptions,
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<AlmostSureThreshold> {
        first_crossing(mean_square, rtol, |eta| self.lyapunov_exponent(eta, options, &generator))
    }
}

/// The first crossing of an exponent from `start` on, with two standard errors to either side; infinite if `start` is.
pub(crate) fn first_crossing(
    start: f64,
    rtol: f64,
    exponent: impl Fn(f64) -> Result<ExponentEstimate>,
) -> Result<AlmostSureThreshold> {
    if !start.is_finite() {
        return Ok(AlmostSureThreshold { value: start, interval: (start, start) });
    }
    let mut search = Search { exponent, rtol, known: Vec::new() };
    let value = search.crossing(start, 0.0)?;
    Ok(AlmostSureThreshold { value, interval: (search.crossing(start, 2.0)?, search.crossing(start, -2.0)?) })
}

/// Width of the bracket that a crossing is found in, relative to it: far below the statistical error.
pub(crate) const CROSSING_RTOL: f64 = 1e-6;

/// Where an estimated exponent changes sign; an estimate is dear, so each is kept.
struct Search<F> {
    exponent: F,
    /// Largest width of the bracket, relative to the crossing.
    rtol: f64,
    known: Vec<(f64, ExponentEstimate)>,
}

impl<F: Fn(f64) -> Result<ExponentEstimate>> Search<F> {
    /// The exponent and so many standard errors.
    fn at(&mut self, eta: f64, deviations: f64) -> Result<f64> {
        let known = self.known.iter().find(|(other, _)| other.to_bits() == eta.to_bits());
        let estimate = if let Some((_, estimate)) = known {
            *estimate
        } else {
            let estimate = (self.exponent)(eta)?;
            self.known.push((eta, estimate));
            estimate
        };
        Ok(estimate.mean + deviations * estimate.standard_error)
    }

    /// The first learning rate from `start` on at which the exponent and so many standard errors pass 0.
    fn crossing(&mut self, start: f64, deviations: f64) -> Result<f64> {
        let (mut low, mut high) = (start, start);
        while self.at(high, deviations)? <= 0.0 {
            low = high;
            high *= 1.25;
            if high >= 1e6 * start {
                return Ok(f64::INFINITY);
            }
        }
        for (eta, estimate) in &self.known {
            let inside = low < *eta && *eta < high;
            match estimate.mean + deviations * estimate.standard_error > 0.0 {
                true if inside => high = *eta,
                false if inside => low = *eta,
                _ => {}
            }
        }
        let (mut below, mut above) = (self.at(low, deviations)?, self.at(high, deviations)?);
        // The Illinois form of the false position; every third step halves, whatever the shape, and so does an infinite value.
        let mut step = 0;
        while high - low > self.rtol * high {
            step += 1;
            let secant = (low * above - high * below) / (above - below);
            let smooth = step % 3 > 0 && low < secant && secant < high;
            let middle = if smooth { secant } else { 0.5 * (low + high) };
            let value = self.at(middle, deviations)?;
            if value > 0.0 {
                (high, above) = (middle, value);
                below *= 0.5;
            } else {
                (low, below) = (middle, value);
                above *= 0.5;
            }
        }
        Ok(high)
    }
}

/// Growth rate of one chain. With momentum the pair of iterate and memory is normalised together.
fn chain_exponent<R: Rng>(mut simulator: ReducedSimulator<'_>, options: ChainOptions, rng: &mut R) -> f64 {
    let mut w: Vec<f64> = (0..simulator.rank()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut memory = vec![0.0; w.len()];
    let remembers = simulator.has_memory();
    let norm = |w: &[f64], memory: &[f64]| {
        (squared_norm(w) + if remembers { squared_norm(memory) } else { 0.0 }).sqrt()
    };
    let normalise = |w: &mut [f64], memory: &mut [f64], norm: f64| {
        for x in w.iter_mut().chain(memory) {
            *x /= norm;
        }
    };
    let start = norm(&w, &memory);
    normalise(&mut w, &mut memory, start);
    let mut sum = 0.0;
    for step in 0..options.burn_in + options.num_steps {
        simulator.step(&mut w, &mut memory, rng);
        let growth = norm(&w, &memory);
        if growth <= 0.0 {
            return f64::NEG_INFINITY;
        }
        if step >= options.burn_in {
            sum += growth.ln();
        }
        normalise(&mut w, &mut memory, growth);
    }
    sum / options.num_steps as f64
}
