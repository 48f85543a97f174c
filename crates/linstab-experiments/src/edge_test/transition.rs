//! The learning rate at which half of the runs grow, from counts at a few learning rates.
//!
//! The share of runs that grow at learning rate `eta` is taken for `1 / (1 + exp(-s (log eta - t)))` with a steepness `s >= 0`, and `t` is the
//! transition. What the counts say of it is its profile likelihood, that of the best steepness. The interval of 95 % holds every `t` whose profile
//! is high enough (Wilks); the value is the mean of `t` under the profile, between the learning rates that were tried. This needs no penalty
//! where the counts are separated, which is the usual case: every run decays up to one learning rate and grows from the next on. Any `t` between
//! the two then explains the counts perfectly, with a steepness without bound, and no `t` beyond them does: that is the interval, and its
//! geometric mean the value. The most likely `t` is no such thing there, and close to separation it sticks to one end: with 19 of 20 runs at the
//! first learning rate that grow, and none before, it is that learning rate.
//!
//! Nothing is extrapolated: where the transition may lie beyond the learning rates that were tried, the interval ends at 0 or infinity.
//!
//! The likelihood is concave in `(s t, s)`, so its profile over `t` rises to its top and falls: every search below is one of such a function.

/// Runs at one learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    pub(super) learning_rate: f64,
    pub(super) num_runs: usize,
    pub(super) num_grown: usize,
}

/// Where half of the runs grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Transition {
    /// The learning rate; none if it lies beyond those that were tried.
    pub(super) value: Option<f64>,
    /// Its interval of 95 %.
    pub(super) lower: f64,
    /// The upper end.
    pub(super) upper: f64,
}

/// Half of the 95 % quantile of chi squared with one degree of freedom: what the interval may cost in log likelihood.
const DROP: f64 = 1.920_729;

/// Steepnesses between which the best one is sought. At the largest, a share goes from 1 to 99 % within a millionth of a learning rate; at the
/// smallest it is the same at all that are tried.
const STEEPNESSES: (f64, f64) = (1e-6, 1e7);

/// How far beyond the learning rates that were tried a transition is sought, in units of their range, to tell that it lies there.
const BEYOND: f64 = 5.0;

impl Transition {
    /// Of trials at positive learning rates, in any order.
    pub(super) fn of(trials: &[Trial]) -> Self {
        let likelihood = Likelihood::of(trials);
        let (first, last) = likelihood.range();
        let (best, most) = likelihood.top();
        let inside = |t: f64| likelihood.profile(t) >= most - DROP;
        let (is_above, is_below) = (best > first, best < last);
        let within = best.clamp(first, last);
        Self {
            value: (is_above && is_below).then(|| likelihood.mean(most).exp()),
            lower: if is_above && !inside(first) { boundary(within, first, inside).exp() } else { 0.0 },
            upper: if is_below && !inside(last) {
                boundary(within, last, inside).exp()
            } else {
                f64::INFINITY
            },
        }
    }
}

/// The last place, from `within` towards `without`, where something holds, which holds up to there and not beyond.
fn boundary(mut within: f64, mut without: f64, holds: impl Fn(f64) -> bool) -> f64 {
    // A range of a few units of the logarithm is halved down to rounding.
    for _ in 0..52 {
        let middle = 0.5 * (within + without);
        if holds(middle) {
            within = middle;
        } else {
            without = middle;
        }
    }
    within
}

/// The likelihood of a transition, over the logarithm of the learning rate.
struct Likelihood {
    /// Logarithm of the learning rate, runs that grew and runs that did not; ascending.
    counts: Vec<(f64, f64, f64)>,
}

impl Likelihood {
    fn of(trials: &[Trial]) -> Self {
        let count = |trial: &Trial| {
            let grown = trial.num_grown as f64;
            (trial.learning_rate.ln(), grown, trial.num_runs as f64 - grown)
        };
        let mut counts: Vec<_> = trials.iter().map(count).collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { counts }
    }

    /// Logarithms of the smallest and largest learning rate.
    fn range(&self) -> (f64, f64) {
        let at = |count: Option<&(f64, f64, f64)>| count.map_or(0.0, |count| count.0);
        (at(self.counts.first()), at(self.counts.last()))
    }

    /// The mean of the transition under its profile, whose top is `most`, between the learning rates that were tried.
    fn mean(&self, most: f64) -> f64 {
        const STEPS: u32 = 500;
        let (first, last) = self.range();
        let places = (0..=STEPS).map(|i| first + (last - first) * f64::from(i) / f64::from(STEPS));
        let (sum, weights) = places.fold((0.0, 0.0), |(sum, weights), t| {
            let weight = (self.profile(t) - most).exp();
            (sum + weight * t, weights + weight)
        });
        sum / weights
    }

    /// Log likelihood of a transition with its best steepness.
    fn profile(&self, t: f64) -> f64 {
        self.at(t, self.best_steepness(t))
    }

    /// Log likelihood; it is concave in the steepness.
    fn at(&self, t: f64, steepness: f64) -> f64 {
        let term = |&(x, grown, decayed): &(f64, f64, f64)| {
            let z = steepness * (x - t);
            -grown * softplus(-z) - decayed * softplus(z)
        };
        self.counts.iter().map(term).sum()
    }

    /// Where the derivative in the steepness changes its sign.
    fn best_steepness(&self, t: f64) -> f64 {
        let rises = |steepness: f64| {
            let term = |&(x, grown, decayed): &(f64, f64, f64)| {
                let share = 1.0 / (1.0 + (-steepness * (x - t)).exp());
                (grown - (grown + decayed) * share) * (x - t)
            };
            self.counts.iter().map(term).sum::<f64>() > 0.0
        };
        let (least, most) = STEEPNESSES;
        if !rises(least) {
            return 0.0;
        }
        if rises(most) { most } else { boundary(least.ln(), most.ln(), |u| rises(u.exp())).exp() }
    }

    /// The most likely transition and its log likelihood; infinite if it lies far beyond the learning rates that were tried, where
    /// the share is the same at all of them.
    fn top(&self) -> (f64, f64) {
        const STEPS: u32 = 600;
        let (first, last) = self.range();
        let step = (1.0 + 2.0 * BEYOND) * (last - first) / f64::from(STEPS);
        let grid = (0..=STEPS).map(|i| first - BEYOND * (last - first) + step * f64::from(i));
        let scored = grid.map(|t| (t, self.profile(t)));
        let near = scored.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(first, |best| best.0);
        let best = self.climb(near - step, near + step);
        let (grown, decayed) = self.counts.iter().fold((0.0, 0.0), |sum, c| (sum.0 + c.1, sum.1 + c.2));
        let constant = entropy_term(grown, decayed) + entropy_term(decayed, grown);
        let found = self.profile(best);
        // Far away the profile comes close to that of a constant share from below.
        if found > constant + 1e-9 {
            (best, found)
        } else {
            (if grown < decayed { f64::INFINITY } else { f64::NEG_INFINITY }, constant)
        }
    }

    /// The top of the profile between two places, by golden sections.
    fn climb(&self, mut low: f64, mut high: f64) -> f64 {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        for _ in 0..48 {
            let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
            if self.profile(left) < self.profile(right) {
                low = left;
            } else {
                high = right;
            }
        }
        0.5 * (low + high)
    }
}

/// `log(1 + exp(z))` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `a log(a / (a + b))`, 0 for none.
fn entropy_term(a: f64, b: f64) -> f64 {
    if a > 0.0 { a * (a / (a + b)).ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    const RATES: [f64; 7] = [0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.5];

    fn trials(grown: [usize; 7], num_runs: usize) -> Vec<Trial> {
        let trial = |(&learning_rate, num_grown)| Trial { learning_rate, num_runs, num_grown };
        RATES.iter().zip(grown).map(trial).collect()
    }

    fn close(found: f64, expected: f64, tolerance: f64) -> bool {
        (found / expected - 1.0).abs() < tolerance
    }

    #[test]
    fn separated_counts_have_the_interval_between_the_last_that_decays_and_the_first_that_grows() {
        let found = Transition::of(&trials([0, 0, 0, 20, 20, 20, 20], 20));
        assert!(close(found.value.unwrap(), (0.95_f64 * 1.05).sqrt(), 1e-3), "{found:?}");
        assert!(close(found.lower, 0.95, 1e-5) && close(found.upper, 1.05, 1e-5), "{found:?}");
        // Two runs each are not enough to tell: log 4 of likelihood is less than the interval may cost.
        let few = Transition::of(&trials([0, 0, 0, 2, 2, 2, 2], 2));
        assert!(few.lower < 0.948 && few.upper > 1.052, "{few:?}");
    }

    #[test]
    fn nothing_is_extrapolated() {
        let none = Transition::of(&trials([0; 7], 20));
        assert!(none.value.is_none() && close(none.lower, 1.5, 1e-5) && none.upper.is_infinite(), "{none:?}");
        let all = Transition::of(&trials([20; 7], 20));
        assert!(all.value.is_none() && all.lower <= 0.0 && close(all.upper, 0.8, 1e-5), "{all:?}");
        let rises_beyond = Transition::of(&trials([0, 0, 1, 2, 3, 4, 6], 20));
        assert!(rises_beyond.value.is_none() && rises_beyond.upper.is_infinite(), "{rises_beyond:?}");
        assert!(rises_beyond.lower > 1.2, "{rises_beyond:?}");
        let falls = Transition::of(&trials([20, 20, 15, 10, 5, 0, 0], 20));
        assert!(falls.value.is_none() && falls.lower <= 0.0 && falls.upper.is_infinite(), "{falls:?}");
    }

    /// Half of the runs at one learning rate, none below, all above: the transition is about there. A single run that decays where others grow
    /// moves it a little.
    #[test]
    fn close_to_separation_the_transition_moves_smoothly() {
        let half = Transition::of(&trials([0, 0, 0, 10, 20, 20, 20], 20));
        assert!(close(half.value.unwrap(), 1.05, 5e-3), "{half:?}");
        assert!(half.lower > 1.0 && half.upper < 1.1, "{half:?}");
        let values = [20, 19, 15, 10, 5, 1, 0]
            .map(|grown| Transition::of(&trials([0, 0, 0, grown, 20, 20, 20], 20)).value.unwrap());
        assert!(values.windows(2).all(|pair| pair[1] > pair[0] && pair[1] < 1.035 * pair[0]), "{values:?}");
    }

    /// The slow twin: every transition and every steepness of a fine grid; mean and ends of the interval.
    fn twin(trials: &[Trial]) -> (f64, f64, f64) {
        let likelihood = Likelihood::of(trials);
        let places = (0..=800).map(|i| 0.5_f64.ln() + 1.8 * f64::from(i) / 800.0);
        let steepnesses: Vec<f64> = (0..=300).map(|i| 1e-3 * (23.0 * f64::from(i) / 300.0).exp()).collect();
        let best = |t: f64| steepnesses.iter().map(|&s| likelihood.at(t, s)).fold(f64::MIN, f64::max);
        let scored: Vec<(f64, f64)> = places.map(|t| (t, best(t))).collect();
        let most = scored.iter().map(|(_, score)| *score).fold(f64::MIN, f64::max);
        let tried = scored.iter().filter(|(t, _)| (0.8_f64.ln()..=1.5_f64.ln()).contains(t));
        let (sum, weights) = tried.fold((0.0, 0.0), |(sum, weights), (t, score)| {
            (sum + t * (score - most).exp(), weights + (score - most).exp())
        });
        let inside = || scored.iter().filter(|(_, score)| *score >= most - DROP);
        ((sum / weights).exp(), inside().next().unwrap().0.exp(), inside().next_back().unwrap().0.exp())
    }

    #[test]
    fn the_fit_agrees_with_its_slow_twin() {
        let mut generator = linstab_driver::streams::StreamKey::new(1, "twin").generator();
        let mut num_compared = 0;
        for _ in 0..24 {
            let (middle, width) = (generator.random_range(0.88..1.15), generator.random_range(0.01..0.15));
            let grown = RATES.map(|rate: f64| {
                let share = 1.0 / (1.0 + (-(rate / middle).ln() / width).exp());
                (0..20).filter(|_| generator.random_bool(share)).count()
            });
            let trials = trials(grown, 20);
            let found = Transition::of(&trials);
            let (value, lower, upper) = twin(&trials);
            // Ends beyond the learning rates that were tried are not claimed; the grid has steps of 0.2 percent.
            let agrees = |found: f64, twin: f64| close(found, twin, 4e-3) || !(0.8..1.5).contains(&twin);
            assert!(
                agrees(found.lower, lower) && agrees(found.upper, upper),
                "{grown:?}: {found:?}, {lower} to {upper}"
            );
            let Some(found) = found.value else { continue };
            assert!(close(found, value, 4e-3), "{grown:?}: {found}, {value}");
            // Negative control: a learning rate that is 2 percent off is told apart.
            assert!(!close(1.02 * found, value, 4e-3));
            num_compared += 1;
        }
        assert!(num_compared > 12, "{num_compared}");
    }
}
