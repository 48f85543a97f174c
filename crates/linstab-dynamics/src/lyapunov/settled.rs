//! The top Lyapunov exponent with a check that the chains have forgotten their start.
//!
//! Over `T` steps from `w_0`, `(1/T) log |w_T|` differs from the exponent by the noise, which the spread of the chains shows, and by
//! a transient of order `(1/T) log (1 / overlap)`, `overlap` being the part of `w_0` in the leading direction. With directions that
//! decay slowly the transient outlives any fixed burn-in, and no spread shows it. So half of the chains start at random and half
//! along the direction of least mean curvature, which is the slowest; rates are taken over the second half of the run, and the run is
//! doubled until they agree with each other and with those of the half before.
//!
//! There is a bound besides: by Jensen's inequality `E log |w_T| <= (1/2) log E |w_T|^2`, so the exponent is at most half the logarithm
//! of the growth of the mean square. The long-run rate from any start is at most the exponent; a start whose rate attains the bound
//! has found it, whatever the others do. Without sampling noise the exponent is the bound.

use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::simulation::{ReducedSimulator, squared_norm};
use crate::{DynamicsError, MeanSquare, Result};

/// Statistical errors within which two rates agree.
const DEVIATIONS: f64 = 3.0;

/// Accuracy of half the logarithm of a growth rate; rates that are as close agree.
const BOUND_ACCURACY: f64 = 1e-9;

/// How long to follow the chains.
///
/// # Examples
/// ```
/// use linstab_dynamics::lyapunov::SettlingOptions;
/// let options = SettlingOptions { num_chains: 32, num_steps: 2000, max_multiplications: 2e9 };
/// assert!(options.num_chains >= 4 && options.num_steps >= 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettlingOptions {
    /// Independent chains, at least 4; every other one starts at random.
    pub num_chains: usize,
    /// Steps of each half of the first attempt, at least 1; each further attempt doubles the run.
    pub num_steps: usize,
    /// No attempt is begun that would take more multiplications than this in all.
    pub max_multiplications: f64,
}

/// An exponent, and whether the chains had forgotten their start.
///
/// # Examples
/// ```
/// use linstab_dynamics::lyapunov::SettledExponent;
/// let exponent = SettledExponent { mean: -0.5, standard_error: 0.1, settled: true, num_steps: 4000 };
/// assert!(exponent.settled && exponent.mean + 4.0 * exponent.standard_error < 0.0, "almost every run converges");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettledExponent {
    /// The estimate; minus infinity if every run ends at exactly zero.
    pub mean: f64,
    /// Its standard error, with what is known of the transient. Unless settled, the largest difference between the halves and
    /// between the starts is part of it.
    pub standard_error: f64,
    /// Whether starts and halves agree, or the bound is attained.
    pub settled: bool,
    /// Steps of each chain; 0 where the exponent is known exactly.
    pub num_steps: usize,
}

impl MeanSquare {
    /// The top Lyapunov exponent, exactly without sampling noise, otherwise by Monte Carlo until it has settled or the budget is spent.
    ///
    /// `growth_per_step` is [`MeanSquare::growth_per_step`] at the same learning rate; `generator(chain)` gives each chain its random
    /// stream. Results depend on nothing else, whatever the number of threads. 0 without curvature.
    /// # Cost
    /// At most `max_multiplications`, the first attempt of `2 num_chains num_steps` steps apart; on the ambient rayon pool.
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a bad learning rate, fewer than 4 chains or no step.
    /// # Examples
    /// ```
    /// use linstab_dynamics::lyapunov::{ChainOptions, SettlingOptions};
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// use rand::SeedableRng;
    /// // Orthogonal samples of curvature 1 and 1e-8: in the long run only every second step counts, and that hardly.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 0.0, 0.0, 1e-4])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let stream = |chain: usize| rand_pcg::Pcg64::seed_from_u64(chain as u64);
    /// let options = SettlingOptions { num_chains: 32, num_steps: 500, max_multiplications: 1e7 };
    /// let found = sgd.settled_lyapunov_exponent(0.5, sgd.growth_per_step(0.5)?, options, stream)?;
    /// let exact = 0.5 * (-0.5e-8_f64).ln_1p();
    /// assert!(found.settled && (found.mean - exact).abs() < 1e-9);
    /// // A fixed burn-in is not enough, and the spread does not tell.
    /// let fixed = sgd.lyapunov_exponent(0.5, ChainOptions { num_chains: 32, burn_in: 10, num_steps: 490 }, stream)?;
    /// assert!((fixed.mean - exact).abs() > 1e-5);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn settled_lyapunov_exponent<R: Rng + Send>(
        &self,
        learning_rate: f64,
        growth_per_step: f64,
        options: SettlingOptions,
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<SettledExponent> {
        for (name, value, least) in
            [("num_chains", options.num_chains, 4), ("num_steps", options.num_steps, 1)]
        {
            if value < least {
                let allowed = "at least 4 chains and 1 step";
                return Err(DynamicsError::OutOfRange { name, value: value as f64, allowed });
            }
        }
        let simulator = ReducedSimulator::new(self, learning_rate)?;
        let rank = self.effective_ensemble().rank();
        let exactly = |mean| SettledExponent { mean, standard_error: 0.0, settled: true, num_steps: 0 };
        if rank == 0 {
            return Ok(exactly(0.0));
        }
        if self.is_deterministic() {
            return Ok(exactly(self.deterministic_exponent(learning_rate)));
        }
        let bound = 0.5 * growth_per_step.ln();
        let mut chains: Vec<Chain<'_, R>> = (0..options.num_chains)
            .map(|index| Chain::new(simulator.clone(), generator(index), index))
            .collect();
        let factors = (self.sampling().batch_size() * self.effective_ensemble().num_factors()) as f64;
        let cost_of_step = options.num_chains as f64 * (2.0 * factors + 3.0) * rank as f64;
        let mut half = options.num_steps;
        let mut before = advance(&mut chains, half);
        loop {
            let after = advance(&mut chains, half);
            let verdict = judge(&before, &after, bound);
            if verdict.mean.is_nan() || verdict.mean > f64::MAX {
                let (name, allowed) = ("learning_rate", "small enough for a step not to overflow");
                return Err(DynamicsError::OutOfRange { name, value: learning_rate, allowed });
            }
            let cost_of_next = cost_of_step * 4.0 * half as f64;
            if verdict.settled || cost_of_next > options.max_multiplications {
                return Ok(SettledExponent { num_steps: 2 * half, ..verdict });
            }
            before = before.iter().zip(&after).map(|(x, y)| 0.5 * (x + y)).collect();
            half *= 2;
        }
    }

    /// Whether every batch has the same curvature, as the full batch and batches from one sample have.
    fn is_deterministic(&self) -> bool {
        let noiseless = self.sample_weight() <= 0.0 || self.sampling().num_samples() == 1;
        noiseless && self.optimizer().perturbation_standard_deviation() <= 0.0
    }

    /// Half the logarithm of the largest growth of the mean square over the curvatures.
    fn deterministic_exponent(&self, learning_rate: f64) -> f64 {
        let recursion = self.recursion();
        let growth = |&h: &f64| {
            if recursion.is_memoryless() {
                // In this form a small curvature does not disappear in the 1.
                let step = recursion.step(learning_rate, h);
                let near_zero = (1.0 - step).abs() <= 4.0 * f64::EPSILON;
                if near_zero {
                    f64::NEG_INFINITY
                } else if step < 1.0 {
                    (-step).ln_1p()
                } else {
                    (step - 1.0).ln()
                }
            } else {
                0.5 * recursion.noise_free_growth(learning_rate, h).ln()
            }
        };
        self.effective_ensemble().mean_eigenvalues().iter().map(growth).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// One run, its vector normalised.
struct Chain<'a, R> {
    simulator: ReducedSimulator<'a>,
    generator: R,
    w: Vec<f64>,
    memory: Vec<f64>,
    /// Whether it was mapped to exactly zero, where it stays.
    ended: bool,
}

impl<'a, R: Rng> Chain<'a, R> {
    /// Chains of even index start at random; the others along the last coordinate, that of the least mean curvature, with a little of
    /// all, so that a direction that the dynamics never leaves is no trap.
    fn new(simulator: ReducedSimulator<'a>, mut generator: R, index: usize) -> Self {
        const TEXTURE: f64 = 1e-3;
        let rank = simulator.rank();
        let mut w: Vec<f64> = (0..rank).map(|_| generator.random_range(-1.0..1.0)).collect();
        if !index.is_multiple_of(2) {
            for x in &mut w {
                *x *= TEXTURE;
            }
            w[rank - 1] = 1.0;
        }
        let memory = vec![0.0; rank];
        let mut chain = Self { simulator, generator, memory, w, ended: false };
        chain.normalise();
        chain
    }

    /// The norm before: with momentum that of the pair of iterate and memory.
    fn normalise(&mut self) -> f64 {
        let memory = if self.simulator.has_memory() { squared_norm(&self.memory) } else { 0.0 };
        let norm = (squared_norm(&self.w) + memory).sqrt();
        for x in self.w.iter_mut().chain(&mut self.memory) {
            *x /= norm;
        }
        norm
    }

    /// Mean logarithm of the growth over so many steps.
    fn rate(&mut self, num_steps: usize) -> f64 {
        let mut sum = 0.0;
        for _ in 0..num_steps {
            if self.ended {
                return f64::NEG_INFINITY;
            }
            self.simulator.step(&mut self.w, &mut self.memory, &mut self.generator);
            let growth = self.normalise();
            self.ended = growth <= 0.0;
            sum += growth.ln();
        }
        sum / num_steps as f64
    }
}

fn advance<R: Rng + Send>(chains: &mut [Chain<'_, R>], num_steps: usize) -> Vec<f64> {
    chains.par_iter_mut().map(|chain| chain.rate(num_steps)).collect()
}

/// Mean and squared standard error; minus infinity and 0 where a rate is infinite.
fn mean_and_error(rates: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = rates.clone().count() as f64;
    let mean = rates.clone().sum::<f64>() / n;
    if !mean.is_finite() {
        return (mean, 0.0);
    }
    let variance = rates.map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, variance / n)
}

/// What rates over the first half of the run and over the second say.
fn judge(before: &[f64], after: &[f64], bound: f64) -> SettledExponent {
    let of = |rates: &[f64], start: usize| mean_and_error(rates.iter().copied().skip(start).step_by(2));
    let (random, slow) = (of(after, 0), of(after, 1));
    let differ = |(x, x_error): (f64, f64), (y, y_error): (f64, f64)| {
        let difference = (x - y).abs();
        // Rates of different orders of zero, or both infinite: no statement.
        if difference.is_nan() {
            (0.0, false)
        } else {
            (difference, difference > DEVIATIONS * (x_error + y_error).sqrt() + BOUND_ACCURACY)
        }
    };
    let lead_is_random = random.0 >= slow.0;
    let lead = if lead_is_random { random } else { slow };
    let estimate = |mean: f64, squared_error: f64, systematic: f64, settled| {
        let standard_error = if mean.is_finite() { squared_error.sqrt().hypot(systematic) } else { 0.0 };
        SettledExponent {
            mean: if mean.is_nan() { mean } else { mean.min(bound) },
            standard_error,
            settled,
            num_steps: 0,
        }
    };
    if !lead.0.is_finite() {
        return estimate(
            if random.0.is_nan() || slow.0.is_nan() { f64::NAN } else { lead.0 },
            0.0,
            0.0,
            true,
        );
    }
    let (drift, drifts) = differ(of(before, usize::from(!lead_is_random)), lead);
    let both = random.0.is_finite() && slow.0.is_finite();
    let (spread, spreads) = if both { differ(random, slow) } else { (0.0, false) };
    if !drifts && !spreads {
        let (mean, error) = if both { mean_and_error(after.iter().copied()) } else { lead };
        return estimate(mean, error, 0.0, true);
    }
    let gap = (bound - lead.0).abs();
    if !drifts && lead.0 + DEVIATIONS * lead.1.sqrt() + BOUND_ACCURACY >= bound {
        return estimate(lead.0, lead.1, gap, true);
    }
    estimate(lead.0, lead.1, spread.max(drift), false)
}
