//! Thresholds from sampled orders, with a confidence interval.
//!
//! The growth of the epoch map in the mean over `N` orders ([`SampledMap`]) passes 1 at a learning rate near the threshold. With its eigenmatrix
//! `X` there and that of the adjoint `Z`, the growths `<Z, J X J^T> / <Z, X>` of the single orders have the growth as their mean, and
//! their spread is its statistical error. A map of few orders grows faster than their mean, by a bias of the order of one over their number: halves
//! of the orders have twice the bias, which says what it is, and it is taken off. Both, and by how much the last directions moved the crossing,
//! are in the interval.
//!
//! It is done in the directions of the largest mean curvatures, twice as many until that moves the crossing no more, and with four times as
//! many orders until the interval is narrow enough.

use linstab_linalg::Mat;
use rand::Rng;

use super::sampled::{Eigenmatrix, SampledMap, eigenmatrix, inner, left_eigenmatrix};
use super::{Epochs, FEWEST_DIRECTIONS};
use crate::error::require_nonnegative;
use crate::{BatchSampling, MeanSquare, Result, SamplingScheme};

/// Probability with which an interval holds the threshold, and the quantile of the normal law for it on both sides.
const CONFIDENCE: f64 = 0.95;
const QUANTILE: f64 = 1.959_964;
/// By how much twice as many directions may move the crossing.
const COARSE: f64 = 2e-3;
/// Orders of the first map.
const FIRST_ORDERS: usize = 256;
/// The fewest orders of a map, where one costs much.
const FEWEST_ORDERS: usize = 32;
/// Most numbers in the products of a map: 512 MiB.
const MAX_ENTRIES: usize = 1 << 26;
/// Width of the bracket of a crossing, and the first step of the search for it.
const WIDTH: f64 = 0.005;
const STEP: f64 = 1.02;
/// Allowance for the eigenmatrices, which are iterated to a residual.
const ROUNDING: f64 = 1e-4;
/// Applications of a map for an eigenmatrix, roughly.
const APPLICATIONS: f64 = 40.0;

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
    /// Orders that were sampled.
    pub num_orders: usize,
}

impl EpochThreshold {
    fn exact(value: f64) -> Self {
        Self { value, interval: (value, value), confidence: 1.0, settled: true, num_orders: 0 }
    }

    /// Nothing is known but where the search ended.
    fn unknown(value: f64) -> Self {
        Self { value, interval: (0.0, f64::INFINITY), confidence: CONFIDENCE, settled: false, num_orders: 0 }
    }
}

/// A learning rate and what grows there.
struct Point {
    eta: f64,
    top: Eigenmatrix,
}

impl Point {
    /// Where the secant to a point above passes 0, at least so large a share of the way from either.
    fn between(&self, above: &Self, least_share: f64) -> f64 {
        let (low, high) = (self.top.log_growth, above.top.log_growth);
        let share = (-low / (high - low)).clamp(least_share, 1.0 - least_share);
        self.eta * (above.eta / self.eta).powf(if share.is_nan() { 0.5 } else { share })
    }
}

/// The crossing of a map, between two learning rates.
struct Place {
    epochs: Epochs,
    num_orders: usize,
    below: Point,
    above: Point,
    crossing: f64,
    /// By how much the last directions moved it, as a logarithm; 0 with all of them.
    moved: f64,
}

impl Place {
    fn new(epochs: Epochs, num_orders: usize, [below, above]: [Point; 2], moved: f64) -> Self {
        let crossing = below.between(&above, 0.0);
        Self { epochs, num_orders, below, above, crossing, moved }
    }
}

impl Epochs {
    /// The mean-square threshold, estimated; exact without noise (one batch an epoch).
    ///
    /// `generator(i)` makes the random numbers of group `i` of orders. The search starts at the threshold of batches drawn afresh and
    /// follows the growth to where it is 1: of several crossings it finds one nearby.
    /// # Cost
    /// For states of `s` numbers (`r` directions, twice that with a memory) and `N` orders: `2 n k r s N` multiplications for the map at a
    /// learning rate and `4 s^3 N` an application, some thirty of which make an eigenvalue. Runs on the ambient rayon pool, with the same bits for any
    /// number of threads.
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
        generator: impl Fn(usize) -> R + Sync,
    ) -> Result<EpochThreshold> {
        require_nonnegative("relative_error", options.relative_error, true)?;
        if self.effective.rank() == 0 || self.is_full_batch() {
            return Ok(EpochThreshold::exact(self.gradient_descent_limit()));
        }
        let start = self.reference()?.max_learning_rate()?.value;
        let mut estimation = Estimation { epochs: self, options, generator: &generator, spent: 0.0 };
        let Some(mut place) = estimation.place(start)? else {
            return Ok(EpochThreshold::unknown(start));
        };
        loop {
            let found = estimation.refine(&place)?;
            let next = 4 * place.num_orders;
            // More orders do not help where the directions are what is not known.
            let hopeless = 2.0 * place.moved >= options.relative_error;
            if found.settled || hopeless || !estimation.affords(&place.epochs, next) {
                return Ok(found);
            }
            let Place { epochs, moved, above, crossing, .. } = place;
            let x = &above.top.matrix;
            place = match estimation.crossing(&epochs, next, crossing, x)? {
                Some(points) => Place::new(epochs, next, points, moved),
                None => return Ok(found),
            };
        }
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
}

struct Estimation<'a, F> {
    epochs: &'a Epochs,
    options: EpochOptions,
    generator: &'a F,
    /// Multiplications so far.
    spent: f64,
}

impl<R: Rng + Send, F: Fn(usize) -> R + Sync> Estimation<'_, F> {
    /// The orders of a map: those of a smaller one come first.
    fn orders(&self, count: usize) -> Vec<Vec<usize>> {
        let mut rng = (self.generator)(0);
        let mut order: Vec<usize> = (0..self.epochs.sampling.num_samples()).collect();
        (0..count).map(|_| self.epochs.draw(&mut order, &mut rng)).collect()
    }

    /// Whether the crossing of a map in these directions is within what may be spent.
    fn affords(&self, epochs: &Epochs, num_orders: usize) -> bool {
        self.spent + 8.0 * cost(epochs, num_orders) <= self.options.max_multiplications
            && num_orders * epochs.state_len().pow(2) <= MAX_ENTRIES
    }

    /// The crossing of a map, in as many directions as it needs or may have; `None` if there is none.
    fn place(&mut self, start: f64) -> Result<Option<Place>> {
        let full = self.epochs.effective.rank();
        let (mut rank, mut earlier): (usize, Option<Place>) = (FEWEST_DIRECTIONS, None);
        loop {
            let whole = 2 * rank > full;
            let epochs = if whole { self.epochs.clone() } else { self.epochs.leading(rank) };
            if let Some(earlier) = earlier.take_if(|_| !self.affords(&epochs, FIRST_ORDERS)) {
                return Ok(Some(earlier));
            }
            let len = epochs.state_len();
            let (eta, x) = match &earlier {
                Some(place) => (place.crossing, embedded(&place.above.top.matrix, &place.epochs, &epochs)),
                None => (start, Mat::identity(len, len)),
            };
            // The first space may be the whole one, and large.
            let mut num_orders = FIRST_ORDERS;
            while num_orders > FEWEST_ORDERS && !self.affords(&epochs, num_orders) {
                num_orders /= 2;
            }
            let Some(points) = self.crossing(&epochs, num_orders, eta, &x)? else { return Ok(None) };
            let mut place = Place::new(epochs, num_orders, points, 0.0);
            if whole {
                return Ok(Some(place));
            }
            place.moved =
                earlier.map_or(f64::INFINITY, |earlier| (place.crossing / earlier.crossing).ln().abs());
            if place.moved <= COARSE {
                return Ok(Some(place));
            }
            (earlier, rank) = (Some(place), 2 * rank);
        }
    }

    /// Where the growth of a map passes 1: learning rates just below and above; `None` if it never does.
    fn crossing(
        &mut self,
        epochs: &Epochs,
        num_orders: usize,
        start: f64,
        x: &Mat<f64>,
    ) -> Result<Option<[Point; 2]>> {
        let orders = self.orders(num_orders);
        let mut point = |eta: f64, x: &Mat<f64>| -> Result<Point> {
            epochs.interrupt.check()?;
            self.spent += cost(epochs, num_orders);
            let map = SampledMap::new(epochs, eta, &orders)?;
            Ok(Point { eta, top: eigenmatrix(map.all(), x) })
        };
        let mut last = point(start, x)?;
        let (upwards, mut step) = (last.top.log_growth <= 0.0, STEP);
        let [mut low, mut high] = loop {
            let eta = if upwards { last.eta * step } else { last.eta / step };
            if !(1e-9..1e9).contains(&(eta / start)) {
                return Ok(None);
            }
            let next = point(eta, &last.top.matrix)?;
            if (next.top.log_growth > 0.0) == upwards {
                break if upwards { [last, next] } else { [next, last] };
            }
            (last, step) = (next, step.powf(1.5));
        };
        while high.eta > low.eta * (1.0 + WIDTH) {
            // The secant, kept from the ends: growth is no straight line, and below the threshold not even rising.
            let middle = point(low.between(&high, 0.2), &high.top.matrix)?;
            if middle.top.log_growth > 0.0 { high = middle } else { low = middle }
        }
        Ok(Some([low, high]))
    }

    /// The threshold that the single orders say next to the crossing of their map.
    fn refine(&mut self, place: &Place) -> Result<EpochThreshold> {
        let &Place { ref epochs, num_orders, ref below, ref above, moved, .. } = place;
        epochs.interrupt.check()?;
        let orders = self.orders(num_orders);
        self.spent += 3.0 * cost(epochs, num_orders);
        let map = SampledMap::new(epochs, above.eta, &orders)?;
        let x = &above.top.matrix;
        let len = epochs.state_len();
        let z = left_eigenmatrix(map.all(), &Mat::identity(len, len)).matrix;
        // What single orders say a little below, with the same eigenmatrices: the slope of this mode, whatever else there is.
        let quotients = map.quotients(&z, x);
        let lower = SampledMap::new(epochs, below.eta, &orders)?.quotients(&z, x);
        let (mean, deviation) = mean_and_deviation(&quotients);
        let slope = (mean / mean_and_deviation(&lower).0).ln() / (above.eta / below.eta).ln();
        let base = inner(&z, x);
        let halves = map.halves().map(|half| eigenmatrix(half, x).log_growth);
        let bias = 0.5 * (halves[0] + halves[1]) - (mean / base).ln();
        if !(slope > 0.0 && slope.is_finite() && bias.is_finite() && (mean / base) > 0.0) {
            return Ok(EpochThreshold::unknown(place.crossing));
        }
        // The quotient has the square of the error of the eigenvalue; the bias is that of a map of as many orders.
        let shift = -((mean / base).ln() - bias) / slope;
        let value = above.eta * shift.exp();
        let random = QUANTILE * deviation / mean.abs() / (num_orders as f64).sqrt() / slope;
        let half = random.hypot(bias / slope) + moved + shift * shift + ROUNDING;
        Ok(EpochThreshold {
            value,
            interval: (value * (-half).exp(), value * half.exp()),
            confidence: CONFIDENCE,
            settled: half <= self.options.relative_error,
            num_orders,
        })
    }
}

/// Multiplications of the growth of a map of so many orders: its products, and its applications.
fn cost(epochs: &Epochs, num_orders: usize) -> f64 {
    let Epochs { effective, sampling, .. } = epochs;
    let len = epochs.state_len() as f64;
    let step = 2.0 * (sampling.num_samples() * effective.num_factors() * effective.rank()) as f64;
    num_orders as f64 * len * (step + 0.5 * APPLICATIONS * len * len)
}

/// A second moment of few directions among more of them.
fn embedded(x: &Mat<f64>, few: &Epochs, many: &Epochs) -> Mat<f64> {
    let (small, large) = (few.effective.rank(), many.effective.rank());
    let place = |at: usize| {
        let (part, direction) = (at / large, at % large);
        (direction < small).then_some(part * small + direction)
    };
    let len = many.state_len();
    Mat::from_fn(len, len, |i, j| match (place(i), place(j)) {
        (Some(i), Some(j)) => x[(i, j)],
        _ => 0.0,
    })
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt())
}
