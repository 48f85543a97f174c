//! Means and spreads over repeated runs.

/// Mean of the values; NaN for none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation of the sample (with `n - 1`); 0 for fewer than two values.
pub fn standard_deviation(values: &[f64]) -> f64 {
    let middle = mean(values);
    let squares: f64 = values.iter().map(|x| (x - middle) * (x - middle)).sum();
    if values.len() < 2 { 0.0 } else { (squares / (values.len() - 1) as f64).sqrt() }
}

/// Median of the values, infinities included; NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// A least-squares line `y = intercept + slope x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Slope.
    pub slope: f64,
    /// Value at 0.
    pub intercept: f64,
    /// Share of the variance of `y` that the line explains.
    pub r_squared: f64,
}

/// The line through points; `None` unless there are two with different `x`.
pub fn fit_line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len() as f64;
    let (mx, my) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let sums = points.iter().fold((0.0, 0.0, 0.0), |(xx, xy, yy), (x, y)| {
        (xx + (x - mx) * (x - mx), xy + (x - mx) * (y - my), yy + (y - my) * (y - my))
    });
    let (xx, xy, yy) = sums;
    (xx > 0.0).then(|| Line {
        slope: xy / xx,
        intercept: my - xy / xx * mx,
        r_squared: if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_by_hand() {
        assert!((mean(&[1.0, 2.0, 6.0]) - 3.0).abs() < 1e-15);
        assert!((standard_deviation(&[1.0, 2.0, 6.0]) - 7.0_f64.sqrt()).abs() < 1e-15, "(4 + 1 + 9) / 2");
        assert!((median(&[6.0, 1.0, 2.0]) - 2.0).abs() < 1e-15, "the middle one");
        assert!((median(&[6.0, 1.0, 2.0, 4.0]) - 3.0).abs() < 1e-15, "half way between the middle two");
        assert!(median(&[]).is_nan() && median(&[1.0, f64::INFINITY, f64::INFINITY]).is_infinite());
        assert!(standard_deviation(&[5.0]).abs() < 1e-15 && mean(&[]).is_nan());
    }

    #[test]
    fn lines_by_hand() {
        let line = fit_line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).expect("three points");
        assert!((line.slope - 2.0).abs() < 1e-15 && (line.intercept - 1.0).abs() < 1e-15);
        assert!((line.r_squared - 1.0).abs() < 1e-15);
        let noisy = fit_line(&[(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]).expect("three points");
        assert!(noisy.slope.abs() < 1e-15 && noisy.r_squared < 1e-15, "{noisy:?}");
        assert!(fit_line(&[(1.0, 0.0), (1.0, 2.0)]).is_none());
    }
}
