//! The eigenvalue of largest modulus of an operator without symmetry, where it is real and alone: as for maps that keep a cone.

use crate::{Mat, Scale};

/// Vectors of a basis; after as many products it starts again from what it found.
const BASIS: usize = 16;
/// Squarings of the small matrix: its power 2^40 forgets all but the largest modulus.
const SQUARINGS: usize = 40;

/// A dominant eigenvalue and its vector, of length 1.
#[derive(Clone, Debug)]
pub struct Dominant {
    /// The eigenvalue.
    pub value: f64,
    /// Its right eigenvector.
    pub vector: Vec<f64>,
    /// Length of `A x - value x`.
    pub residual: f64,
}

/// The dominant eigenpair, from a start that is not orthogonal to it, until the residual is `tolerance` times the eigenvalue or
/// `max_applications` products are spent; the residual says which. Zero for an operator that maps the start to zero.
///
/// Arnoldi's method, restarted from what it found every 16 products.
///
/// # Panics
/// If the start is empty or an image has another length.
/// # Examples
/// ```
/// use linstab_linalg::dominant_eigenpair;
/// // A positive matrix with eigenvalues 5 and -1.
/// let apply = |x: &[f64]| vec![x[0] + 4.0 * x[1], 2.0 * x[0] + 3.0 * x[1]];
/// let found = dominant_eigenpair(vec![1.0, 0.0], apply, 1e-12, 100);
/// assert!((found.value - 5.0).abs() < 1e-11 && (found.vector[0] - found.vector[1]).abs() < 1e-11);
/// ```
pub fn dominant_eigenpair(
    start: Vec<f64>,
    mut apply: impl FnMut(&[f64]) -> Vec<f64>,
    tolerance: f64,
    max_applications: usize,
) -> Dominant {
    assert!(!start.is_empty(), "a vector of length 0");
    let (mut vector, mut spent) = (start, 0);
    loop {
        let mut krylov = Krylov::from(&mut vector);
        loop {
            krylov.extend(apply(krylov.newest()));
            spent += 1;
            let (value, mixture) = krylov.dominant();
            let residual = krylov.rest * mixture.last().map_or(0.0, |last| last.abs());
            let done = residual <= tolerance * value.abs() || spent >= max_applications;
            if done || krylov.images.len() == BASIS.min(vector.len()) {
                vector = krylov.combination(&mixture);
                if done || krylov.rest <= 0.0 {
                    return Dominant { value, vector, residual };
                }
                break;
            }
        }
    }
}

/// An orthonormal basis of `start, A start, ..`, and `A` on it.
struct Krylov {
    basis: Vec<Vec<f64>>,
    /// The image of each vector of the basis in the basis.
    images: Vec<Vec<f64>>,
    /// Length of what the last image has outside of it.
    rest: f64,
}

impl Krylov {
    fn from(start: &mut [f64]) -> Self {
        normalise(start);
        Self { basis: vec![start.to_vec()], images: Vec::new(), rest: 0.0 }
    }

    fn newest(&self) -> &[f64] {
        &self.basis[self.images.len()]
    }

    fn extend(&mut self, mut image: Vec<f64>) {
        assert!(image.len() == self.basis[0].len(), "an image of length {}", image.len());
        let mut overlaps = vec![0.0; self.basis.len()];
        // Twice is enough for orthogonality to rounding.
        for _ in 0..2 {
            for (sum, direction) in overlaps.iter_mut().zip(&self.basis) {
                let overlap: f64 = image.iter().zip(direction).map(|(x, d)| x * d).sum();
                *sum += overlap;
                image.iter_mut().zip(direction).for_each(|(x, d)| *x -= overlap * d);
            }
        }
        if let Some(last) = self.images.last_mut() {
            last.push(self.rest);
        }
        self.images.push(overlaps);
        self.rest = normalise(&mut image);
        self.basis.push(image);
    }

    /// The dominant eigenvalue of `A` on the basis and its vector: what a high power leaves of any vector.
    fn dominant(&self) -> (f64, Vec<f64>) {
        let len = self.images.len();
        let entry = |row: usize, column: usize| self.images[column].get(row).copied().unwrap_or(0.0);
        let matrix = Mat::from_fn(len, len, entry);
        let mut power = matrix.clone();
        for _ in 0..SQUARINGS {
            let norm = power.norm_l2();
            if norm <= 0.0 {
                break;
            }
            power *= Scale(norm.recip());
            power = &power * &power;
        }
        let longest = (0..len).max_by(|&a, &b| power.col(a).norm_l2().total_cmp(&power.col(b).norm_l2()));
        let mut vector: Vec<f64> = (0..len).map(|row| power[(row, longest.unwrap_or(0))]).collect();
        if normalise(&mut vector) <= 0.0 {
            vector[0] = 1.0;
        }
        let image = |row: usize| (0..len).map(|column| matrix[(row, column)] * vector[column]).sum::<f64>();
        let value = (0..len).map(|row| vector[row] * image(row)).sum();
        (value, vector)
    }

    fn combination(&self, mixture: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.basis[0].len()];
        for (factor, direction) in mixture.iter().zip(&self.basis) {
            sum.iter_mut().zip(direction).for_each(|(x, d)| *x += factor * d);
        }
        sum
    }
}

/// Makes a vector one of length 1, unless it is zero; its length before.
fn normalise(x: &mut [f64]) -> f64 {
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        for entry in x.iter_mut() {
            *entry /= length;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectral_radius;
    use crate::testing::random_factored;

    /// Positive matrices of every order up to 30 against repeated squaring.
    #[test]
    fn positive_matrices() {
        for order in 1..30 {
            let random = random_factored(order as u64, order, 1, order);
            let matrix = Mat::from_fn(order, order, |i, j| random.rows()[(i, j)].abs() + 0.01);
            let times = |x: &[f64]| -> Vec<f64> {
                (0..order).map(|i| (0..order).map(|j| matrix[(i, j)] * x[j]).sum()).collect()
            };
            let found = dominant_eigenpair(vec![1.0; order], times, 1e-11, 1000);
            let expected = spectral_radius(matrix.clone());
            assert!((found.value / expected - 1.0).abs() < 1e-9, "{order}: {found:?} {expected}");
            let image = times(&found.vector);
            let off = image.iter().zip(&found.vector).map(|(a, b)| (a - found.value * b).abs());
            let off = off.fold(0.0, f64::max);
            assert!(off < 1e-9 * expected, "{order}: {off}");
        }
    }

    #[test]
    fn nothing_is_zero() {
        let found = dominant_eigenpair(vec![1.0, 2.0], |_| vec![0.0, 0.0], 1e-9, 10);
        assert!(found.value.abs() <= 0.0 && found.residual <= 0.0);
        // Negative control: too few products are seen in the residual.
        let slow = |x: &[f64]| vec![x[0] + x[1], 0.9 * x[1] + 1e-3 * x[2], 0.5 * x[2] + x[0]];
        assert!(dominant_eigenpair(vec![0.0, 0.0, 1.0], slow, 1e-14, 2).residual > 1e-6);
    }
}
