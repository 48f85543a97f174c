//! Inner products of factors that somebody else formed, on a GPU say.

use linstab_linalg::Mat;
use linstab_linalg::symmetric::Cholesky;

use super::{Kind, Tensor};
use crate::{AnalysisError, Result};

/// By how much inner products may be asymmetric, and eigenvalues negative, relative to the largest squared length: what products in single
/// precision are off by.
const ROUNDING: f64 = 1e-5;

/// The same for inner products that were rounded to a type of numbers.
///
/// Errors of at most `u` of the largest entry, as if at random, move an eigenvalue by about `2 u / sqrt(3)` times the root of the order.
fn rounding(kind: Kind, order: usize) -> f64 {
    let unit: f64 = match kind {
        Kind::F16 => 2.0_f64.powi(-11),
        Kind::Bf16 => 2.0_f64.powi(-9),
        _ => 0.0,
    };
    ROUNDING.max(2.0 * unit * (order as f64).sqrt())
}

/// Inner products of all factors, both triangles, and of how many factors a sample.
#[derive(Clone, Debug)]
pub struct InnerProducts {
    /// (num_samples * num_factors, num_samples * num_factors).
    pub matrix: Mat<f64>,
    /// Number of samples.
    pub num_samples: usize,
    /// Number of factors a sample.
    pub num_factors: usize,
}

impl InnerProducts {
    /// Accepts a matrix of inner products, `entry(row, column)`; the two triangles are averaged.
    ///
    /// # Errors
    /// The problem in words: an order that is no multiple of the factors a sample, an entry that is not finite, or a matrix that is
    /// not symmetric or not positive semidefinite to 1e-5 of its largest diagonal entry.
    pub fn new(
        order: usize,
        num_factors: usize,
        entry: impl Fn(usize, usize) -> f64,
    ) -> std::result::Result<Self, String> {
        Self::rounded(order, num_factors, ROUNDING, entry)
    }

    fn rounded(
        order: usize,
        num_factors: usize,
        rounding: f64,
        entry: impl Fn(usize, usize) -> f64,
    ) -> std::result::Result<Self, String> {
        if num_factors == 0 || order == 0 || !order.is_multiple_of(num_factors) {
            return Err(format!(
                "has inner products of {order} factors, which is no multiple of {num_factors} a sample"
            ));
        }
        let largest = (0..order).map(|i| entry(i, i)).fold(0.0, f64::max);
        let mut matrix = Mat::zeros(order, order);
        for j in 0..order {
            for i in j..order {
                let (below, above) = (entry(i, j), entry(j, i));
                if !(below.is_finite() && above.is_finite()) {
                    return Err(format!(
                        "has {below} and {above} at ({i}, {j}) and across; allowed: finite numbers"
                    ));
                }
                if (below - above).abs() > rounding * largest {
                    return Err(format!(
                        "is not symmetric: {below} at ({i}, {j}) and {above} at ({j}, {i}), apart by more than {rounding:.1e} of the largest diagonal entry"
                    ));
                }
                matrix[(i, j)] = 0.5 * below + 0.5 * above;
                matrix[(j, i)] = matrix[(i, j)];
            }
        }
        // In units in which nothing leaves the range of numbers. What has no diagonal is zero.
        let accepted = if largest > 0.0 {
            let shift = |i, j| if i == j { rounding } else { 0.0 };
            let shifted = Mat::from_fn(order, order, |i, j| matrix[(i, j)] / largest + shift(i, j));
            Cholesky::of(shifted).is_some()
        } else {
            (0..order).all(|j| (0..order).all(|i| matrix[(i, j)].abs() <= 0.0))
        };
        if !accepted {
            return Err(format!(
                "is not positive semidefinite: it has an eigenvalue below -{rounding:.1e} of the largest diagonal entry; inner products have none"
            ));
        }
        Ok(Self { matrix, num_samples: order / num_factors, num_factors })
    }

    /// Of how many factors a tensor of this shape holds inner products, and how many a sample has if it says so.
    pub(crate) fn order(shape: &[usize]) -> Option<(usize, Option<usize>)> {
        match shape[..] {
            [rows, columns] if rows == columns => Some((rows, None)),
            [n, k, m, l] if n == m && k == l => Some((n.checked_mul(k)?, Some(k))),
            _ => None,
        }
    }

    /// Those in a tensor: (n k, n k), or (n, k, n, k), which says itself how many a sample has.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for another shape and as [`InnerProducts::new`], allowing for the rounding of half precision;
    /// [`AnalysisError::Io`].
    pub fn read(mut tensor: Tensor<'_>, num_factors: Option<usize>) -> Result<Self> {
        let Some((order, found)) = Self::order(tensor.shape()) else {
            let problem = format!(
                "has shape {:?}, allowed: (samples * factors, samples * factors) or (samples, factors, samples, factors)",
                tensor.shape()
            );
            return Err(AnalysisError::unsupported(tensor.path(), problem));
        };
        if let (Some(found), Some(given)) = (found, num_factors)
            && found != given
        {
            let problem = format!("has {found} factors a sample, not {given}");
            return Err(AnalysisError::unsupported(tensor.path(), problem));
        }
        if !tensor.data_type().kind.is_float() {
            let problem =
                format!("has entries of type {}, supported: f16, bf16, f32, f64", tensor.data_type().kind);
            return Err(AnalysisError::unsupported(tensor.path(), problem));
        }
        let (entries, kind) = (tensor.entries(order * order)?, tensor.data_type().kind);
        // Of a symmetric matrix rows are columns, whatever the order of the array.
        let (each, rounding) = (found.or(num_factors).unwrap_or(1), rounding(kind, order));
        Self::rounded(order, each, rounding, |i, j| entries[i * order + j])
            .map_err(|problem| AnalysisError::unsupported(tensor.path(), problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inner products in half precision have negative eigenvalues by rounding; those of a wrong sign are far beyond.
    #[test]
    fn half_precision_is_allowed_for() {
        let order = 40;
        let factor = |i: usize, p: usize| (((i * 7919 + p * 104_729) % 1009) as f64 / 504.5) - 1.0;
        let product = |i: usize, j: usize| (0..5).map(|p| factor(i, p) * factor(j, p)).sum::<f64>();
        let half = |i: usize, j: usize| half::f16::from_f64(product(i, j)).to_f64();
        assert!(InnerProducts::new(order, 1, half).is_err(), "the control: rounding shows");
        let allowed = rounding(Kind::F16, order);
        assert!(InnerProducts::rounded(order, 1, allowed, half).is_ok());
        assert!(InnerProducts::rounded(order, 1, allowed, |i, j| half(i, j) - 0.1 * half(0, 0)).is_err());
        assert!(rounding(Kind::F32, 10_000) <= ROUNDING);
    }

    #[test]
    fn what_is_no_gram_matrix_is_refused_by_name() {
        let of = |entries: [f64; 4], k: usize| InnerProducts::new(2, k, |i, j| entries[2 * i + j]);
        assert_eq!(of([2.0, 1.0, 1.0, 3.0], 2).map(|found| found.num_samples), Ok(1));
        assert!(of([0.0; 4], 1).is_ok(), "no curvature at all is none of our business");
        // The same at the ends of the range of numbers.
        assert!(of([1e308, 1e308, 1e308, 1e308], 1).is_ok_and(|found| found.matrix[(0, 1)].is_finite()));
        assert!(of([2e-310, 1e-310, 1e-310, 2e-310], 1).is_ok());
        for (entries, k, problem) in [
            ([2.0, 1.0, 1.1, 3.0], 1, "is not symmetric"),
            ([1.0, 2.0, 2.0, 1.0], 1, "is not positive semidefinite"),
            ([-1e-310, 0.0, 0.0, 0.0], 1, "is not positive semidefinite"),
            ([0.0, 1e-310, 1e-310, 0.0], 1, "is not positive semidefinite"),
            ([1.0, f64::NAN, 0.0, 1.0], 1, "finite"),
            ([1.0, 0.0, 0.0, 1.0], 3, "no multiple of 3"),
        ] {
            let found = of(entries, k).map(|_| ()).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }
}
