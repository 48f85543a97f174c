//! The pairwise contrastive loss on hidden features, and its gradient.
//!
//! Features are divided by their norm. A pair of equal labels costs its distance `t` (margin 0), a pair of different labels
//! `max(0, 1 - t)` (margin 1); each of the two parts is averaged over its pairs of positive cost, and the parts are added. A
//! part without such pairs is 0. With `p_i = a_i / |a_i|` the gradient is
//!
//! ```text
//! dL/dp_i = sum_j c_ij (p_i - p_j) / t_ij,    dL/da_i = (I - p_i p_i^T) dL/dp_i / |a_i|,
//! ```
//!
//! `c_ij` the reciprocal of the number of pairs, negative for different labels.
//!
//! Source: `ContrastiveLoss(pos_margin=0, neg_margin=1)` of the PyTorch Metric Learning library with its defaults, the
//! Euclidean distance of normalised features and the mean over non-zero pairs. It counts each pair twice; the averages are
//! the same.

/// Norms below this are replaced by it, as that library does: a zero feature stays zero.
const SMALLEST_NORM: f64 = 1e-12;

/// Distances, and costs of pairs, up to this are rounding in quantities of size 1, and taken for 0.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// The contrastive loss of some samples, and its gradient with respect to their features, row-major (num_samples, width).
///
/// # Shapes
/// `features`: row-major (num_samples, width); `labels`: (num_samples).
/// # Panics
/// If a size does not fit.
/// # Examples
/// ```
/// use linstab_relu::training::contrastive_loss;
/// // Directions (1, 0), (0, 1) and (0, 1). The samples of equal label are sqrt(2) apart, which costs just that; the
/// // others are 0 (cost 1) and sqrt(2) apart (more than the margin).
/// let features = [3.0, 0.0, 0.0, 2.0, 0.0, 1.0];
/// let (loss, gradient) = contrastive_loss(2, &features, &[1.0, 1.0, -1.0]);
/// assert!((loss - (2.0_f64.sqrt() + 1.0)).abs() < 1e-15);
/// // dL/dp_1 = (1, -1) / sqrt(2), of which only the part across p_1 counts, divided by |a_1| = 3.
/// assert!(gradient[0].abs() < 1e-15 && (gradient[1] + 0.5_f64.sqrt() / 3.0).abs() < 1e-15);
/// ```
#[track_caller]
pub fn contrastive_loss(width: usize, features: &[f64], labels: &[f64]) -> (f64, Vec<f64>) {
    let expected = labels.len() * width;
    assert!(features.len() == expected && width > 0, "{} features, expected {expected}", features.len());
    let mut contrastive = Contrastive::new(labels.len(), width);
    let loss = contrastive.evaluate(features, labels);
    (loss, contrastive.gradient)
}

/// A pair that costs something.
#[derive(Clone, Copy, Debug)]
struct Pair {
    first: usize,
    second: usize,
    distance: f64,
    same: bool,
}

/// Workspace for batches of at most a given size.
#[derive(Clone, Debug)]
pub(super) struct Contrastive {
    width: usize,
    norms: Vec<f64>,
    /// Row-major (batch, width).
    directions: Vec<f64>,
    /// `dL/dp_i`, then `dL/da_i`: row-major (batch, width).
    gradient: Vec<f64>,
    pairs: Vec<Pair>,
}

impl Contrastive {
    pub(super) fn new(batch_size: usize, width: usize) -> Self {
        Self {
            width,
            norms: vec![0.0; batch_size],
            directions: vec![0.0; batch_size * width],
            gradient: vec![0.0; batch_size * width],
            pairs: Vec::with_capacity(batch_size * batch_size.saturating_sub(1) / 2),
        }
    }

    /// The loss of a batch, given its features, row-major (batch, width), and labels; its gradient with respect to the
    /// features is left in [`Contrastive::gradient`].
    pub(super) fn evaluate(&mut self, features: &[f64], labels: &[f64]) -> f64 {
        self.normalise(features);
        let (num_same, num_different, loss) = self.find_pairs(labels);
        self.gradient.fill(0.0);
        for index in 0..self.pairs.len() {
            let Pair { first, second, distance, same } = self.pairs[index];
            let factor = if same { 1.0 / num_same } else { -1.0 / num_different } / distance;
            for u in 0..self.width {
                let (i, j) = (first * self.width + u, second * self.width + u);
                let change = factor * (self.directions[i] - self.directions[j]);
                self.gradient[i] += change;
                self.gradient[j] -= change;
            }
        }
        self.pull_back();
        loss
    }

    /// The gradient that [`Contrastive::evaluate`] left, row-major (batch, width).
    pub(super) fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    fn normalise(&mut self, features: &[f64]) {
        let rows = features.chunks_exact(self.width).zip(self.directions.chunks_exact_mut(self.width));
        for ((feature, direction), norm) in rows.zip(&mut self.norms) {
            *norm = feature.iter().map(|a| a * a).sum::<f64>().sqrt();
            let divisor = norm.max(SMALLEST_NORM);
            for (p, a) in direction.iter_mut().zip(feature) {
                *p = a / divisor;
            }
        }
    }

    /// Lists the pairs that cost something; their numbers by kind, at least 1, and the loss.
    fn find_pairs(&mut self, labels: &[f64]) -> (f64, f64, f64) {
        self.pairs.clear();
        let (mut num_same, mut num_different) = (0_usize, 0_usize);
        let (mut cost_same, mut cost_different) = (0.0, 0.0);
        for first in 0..labels.len() {
            for second in 0..first {
                let distance = self.distance(first, second);
                let same = labels[first].to_bits() == labels[second].to_bits();
                let cost = if same { distance } else { 1.0 - distance };
                if cost <= ROUNDING {
                    continue;
                }
                if same {
                    num_same += 1;
                    cost_same += cost;
                } else {
                    num_different += 1;
                    cost_different += cost;
                }
                // Coinciding features have no direction to part in: zero gradient, though they count.
                if distance > ROUNDING {
                    self.pairs.push(Pair { first, second, distance, same });
                }
            }
        }
        let (num_same, num_different) = (num_same.max(1) as f64, num_different.max(1) as f64);
        (num_same, num_different, cost_same / num_same + cost_different / num_different)
    }

    fn distance(&self, first: usize, second: usize) -> f64 {
        let row = |sample: usize| &self.directions[sample * self.width..(sample + 1) * self.width];
        let squares = row(first).iter().zip(row(second)).map(|(p, q)| (p - q) * (p - q));
        squares.sum::<f64>().sqrt()
    }

    /// From the gradient in the directions to the gradient in the features.
    fn pull_back(&mut self) {
        let rows = self.gradient.chunks_exact_mut(self.width).zip(self.directions.chunks_exact(self.width));
        for ((gradient, direction), norm) in rows.zip(&self.norms) {
            let radial = if *norm < SMALLEST_NORM {
                0.0 // the divisor is a constant there
            } else {
                gradient.iter().zip(direction).map(|(g, p)| g * p).sum::<f64>()
            };
            for (g, p) in gradient.iter_mut().zip(direction) {
                *g = (*g - radial * p) / norm.max(SMALLEST_NORM);
            }
        }
    }
}
