//! The crossing of growth with 1, from populations at three learning rates.

/// Populations, each of which makes a threshold.
pub(super) const NUM_POPULATIONS: usize = 8;
/// Quantile of Student's law for 95 % on both sides and one degree of freedom less than populations.
pub(super) const STUDENT: f64 = 2.364_624;
pub(super) const NUM_POINTS: usize = 3;
/// Learning rates relative to the crossing: above it, where what grows there outgrows all else.
pub(super) type Points = [f64; NUM_POINTS];
/// Growth of every population at every learning rate.
pub(super) type Growths = [Vec<f64>; NUM_POINTS];

/// Where growth passes 1, in the logarithm of the learning rate and relative to the middle.
#[derive(Clone, Copy)]
pub(super) struct Crossing {
    pub(super) shift: f64,
    /// Half of the width of its confidence interval.
    pub(super) half: f64,
}

impl Crossing {
    /// From the growth of every population at the three learning rates, summed over runs; `None` if it does not rise.
    ///
    /// Growth is averaged, not its logarithm: means of products are unbiased.
    pub(super) fn of(growths: &Growths, points: &Points, runs: f64, systematic: f64) -> Option<Self> {
        let values = growths.each_ref().map(|growths| (mean_and_deviation(growths).0 / runs).ln());
        // A parabola through the three points, in the logarithm of the learning rate.
        let at = points.map(f64::ln);
        let first = (values[1] - values[0]) / (at[1] - at[0]);
        let second = (values[2] - values[1]) / (at[2] - at[1]);
        let bend = (second - first) / (at[2] - at[0]);
        let slope = first - bend * (at[1] - at[0]);
        if !(slope > 0.0 && slope.is_finite() && bend.is_finite()) {
            return None;
        }
        // Its root below, from the first point; that of the line where it has none.
        let discriminant = slope * slope - 4.0 * bend * values[0];
        let root = if discriminant > 0.0 { discriminant.sqrt() } else { slope };
        let shift = at[0] - 2.0 * values[0] / (slope + root);
        let of_one = |index: usize| {
            // All three points move together: the random numbers are the same.
            let offs =
                growths.iter().zip(values).map(|(growths, value)| growths[index] / runs / value.exp() - 1.0);
            -offs.sum::<f64>() / NUM_POINTS as f64 / slope
        };
        let shifts: Vec<f64> = (0..NUM_POPULATIONS).map(of_one).collect();
        let half = STUDENT * mean_and_deviation(&shifts).1 / (NUM_POPULATIONS as f64).sqrt() + systematic;
        Some(Self { shift, half })
    }

    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        (self.shift - other.shift).abs() <= self.half.hypot(other.half)
    }
}

pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt())
}
