//! Bounds on the learning rate along directions: at `v v^T`, with mean `q` and mean square `m` of the scalars `v^T H_i v`, the mean square grows
//! above `2 / (a q + b m / q)`. Twin of `MeanSquare::necessary_conditions`, for many batch sizes of one ensemble.

use linstab_dynamics::sampling::MomentWeights;
use linstab_linalg::{Mat, multiply};

use super::shared::{Direction, Shared, scalars};
use crate::Result;

/// Steps of the ascent at most; it ends where a step gains less than `GAIN`.
const STEPS: usize = 100;
const GAIN: f64 = 1e-12;

/// Angles that are tried along a great circle, and halvings of the interval around the best.
const ANGLES: usize = 16;
const REFINEMENTS: usize = 40;

/// What a direction has to say, to be compared with `2 / eta`; 0 where it has no curvature.
fn along(Direction { mean, mean_square }: Direction, weights: MomentWeights) -> f64 {
    if mean > 0.0 { weights.full_batch * mean + weights.per_sample * mean_square / mean } else { 0.0 }
}

/// A unit vector and the projections of all factors on it.
struct Point {
    vector: Vec<f64>,
    projections: Vec<f64>,
}

/// A gradient below this share of the value has nothing to gain, by its square.
const FLAT: f64 = 1e-8;

impl Shared {
    /// Along the sharpest direction of the mean (Mulayoff and Michaeli 2024, eq. 15).
    pub(super) fn sharpest_direction(&self, weights: MomentWeights) -> f64 {
        along(self.direction(&self.project(&self.sharpest())), weights)
    }

    /// All directions alike (Mulayoff and Michaeli 2024, eq. 16).
    pub(super) fn all_directions(&self, weights: MomentWeights) -> Result<f64> {
        let h = self.ensemble().mean_eigenvalues();
        let (trace, square) = h.iter().fold((0.0, 0.0), |sums, h| (sums.0 + h, sums.1 + h * h));
        Ok((weights.full_batch * square + weights.per_sample * self.squared_norms()?) / trace)
    }

    /// Along the worst direction that an ascent finds from the worst of the samples' and the mean's sharpest (Mulayoff and Michaeli 2024, eq. 24).
    pub(super) fn worst_direction(&self, weights: MomentWeights) -> Result<f64> {
        let of_samples = self.directions()?.iter().map(|direction| along(*direction, weights));
        let worst = of_samples.enumerate().max_by(|x, y| x.1.total_cmp(&y.1));
        let start = match worst {
            Some((sample, value)) if value > self.sharpest_direction(weights) => {
                self.sample_direction(sample)?
            }
            _ => self.sharpest(),
        };
        Ok(self.ascend(start, weights))
    }

    fn sharpest(&self) -> Vec<f64> {
        (0..self.ensemble().rank()).map(|a| f64::from(u8::from(a == 0))).collect()
    }

    fn sample_direction(&self, sample: usize) -> Result<Vec<f64>> {
        let (k, factors) = (self.ensemble().num_factors(), self.ensemble().factors());
        let combination = &self.tops()?[sample].1;
        let entry = |a| (0..k).map(|q| combination[q] * factors[(sample * k + q, a)]).sum();
        Ok(normalised((0..self.ensemble().rank()).map(entry).collect()))
    }

    fn direction(&self, projections: &[f64]) -> Direction {
        Direction::of(scalars(projections, self.ensemble().num_factors()), self.ensemble().num_samples())
    }

    fn project(&self, vector: &[f64]) -> Vec<f64> {
        let column = Mat::from_fn(vector.len(), 1, |a, _| vector[a]);
        multiply(self.ensemble().factors(), column.as_ref()).col_as_slice(0).to_vec()
    }

    /// Conjugate gradients on the sphere, with the best point of each great circle.
    fn ascend(&self, start: Vec<f64>, weights: MomentWeights) -> f64 {
        let mut point = Point { projections: self.project(&start), vector: start };
        let mut value = along(self.direction(&point.projections), weights);
        let mut former: Option<(Vec<f64>, f64)> = None;
        for _ in 0..STEPS {
            let gradient = self.gradient(&point, weights);
            let square = inner(&gradient, &gradient);
            // All directions alike, to rounding: what is left of the gradient is no tangent.
            if square.sqrt() <= FLAT * value {
                break;
            }
            // Polak and Ribiere would need the former gradient at the new point; Fletcher and Reeves need its length only.
            let mut course = gradient.clone();
            if let Some((former, length)) = &former {
                let (weight, radial) = (square / length, inner(former, &point.vector));
                for (a, x) in course.iter_mut().enumerate() {
                    *x += weight * (former[a] - radial * point.vector[a]);
                }
            }
            if inner(&course, &gradient) <= 0.0 {
                course.clone_from(&gradient);
            }
            let course_unit = normalised(course.clone());
            let toward = self.project(&course_unit);
            let angle = self.best_angle(&point.projections, &toward, weights);
            let next = Point {
                vector: normalised(turned(&point.vector, &course_unit, angle)),
                projections: turned(&point.projections, &toward, angle),
            };
            let found = along(self.direction(&next.projections), weights);
            let gain = found - value;
            if gain <= 0.0 {
                break;
            }
            (point, value, former) = (next, found, Some((course, square)));
            if gain <= GAIN * value {
                break;
            }
        }
        value
    }

    /// The gradient of `a q + b m / q` on the sphere, up to a positive factor.
    fn gradient(&self, point: &Point, weights: MomentWeights) -> Vec<f64> {
        let k = self.ensemble().num_factors();
        let Direction { mean, mean_square } = self.direction(&point.projections);
        let of_mean = weights.full_batch - weights.per_sample * mean_square / (mean * mean);
        let of_sample: Vec<f64> =
            scalars(&point.projections, k).map(|q| of_mean + 2.0 * weights.per_sample * q / mean).collect();
        let rows = point.projections.iter().enumerate();
        let weighted: Vec<f64> = rows.map(|(row, x)| x * of_sample[row / k]).collect();
        let column = Mat::from_fn(weighted.len(), 1, |row, _| weighted[row]);
        let gradient = multiply(self.ensemble().factors().transpose(), column.as_ref());
        let radial = inner(gradient.col_as_slice(0), &point.vector);
        gradient.col_as_slice(0).iter().zip(&point.vector).map(|(g, x)| g - radial * x).collect()
    }

    /// The best angle from a point towards another at a right angle.
    fn best_angle(&self, from: &[f64], toward: &[f64], weights: MomentWeights) -> f64 {
        // The scalars along the circle are forms in cosine and sine.
        let k = self.ensemble().num_factors();
        let pairs = from.chunks_exact(k).zip(toward.chunks_exact(k));
        let forms: Vec<[f64; 3]> =
            pairs.map(|(x, y)| [inner(x, x), 2.0 * inner(x, y), inner(y, y)]).collect();
        let value = |angle: f64| {
            let (s, c) = angle.sin_cos();
            let scalars = forms.iter().map(|[x, xy, y]| c * c * x + s * c * xy + s * s * y);
            along(Direction::of(scalars, forms.len()), weights)
        };
        let step = std::f64::consts::PI / ANGLES as f64;
        let tried = (0..ANGLES).map(|at| at as f64 * step);
        let best = tried.max_by(|x, y| value(*x).total_cmp(&value(*y))).unwrap_or(0.0);
        golden_section(value, best - step, best + step)
    }
}

/// Where a function is greatest in an interval in which it rises and then falls.
fn golden_section(value: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (value(left), value(right));
    for _ in 0..REFINEMENTS {
        if at_left > at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = value(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = value(right);
        }
    }
    0.5 * (low + high)
}

fn turned(x: &[f64], y: &[f64], angle: f64) -> Vec<f64> {
    let (s, c) = angle.sin_cos();
    x.iter().zip(y).map(|(x, y)| c * x + s * y).collect()
}

fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The vector at unit length; zero stays zero.
fn normalised(mut vector: Vec<f64>) -> Vec<f64> {
    let norm = inner(&vector, &vector).sqrt();
    if norm > 0.0 {
        for x in &mut vector {
            *x /= norm;
        }
    }
    vector
}
