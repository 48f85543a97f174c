//! Inner products of factors that somebody else formed, on a GPU say.

use linstab_linalg::Mat;
use linstab_linalg::symmetric::Cholesky;

use super::Tensor;
use crate::{AnalysisError, Result};

/// By how much inner products may be asymmetric, and eigenvalues negative, relative to the largest squared length: what products in single
/// precision are off by.
const ROUNDING: f64 = 1e-5;

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
                if (below - above).abs() > ROUNDING * largest {
                    return Err(format!(
                        "is not symmetric: {below} at ({i}, {j}) and {above} at ({j}, {i}), apart by more than {ROUNDING} of the largest diagonal entry"
                    ));
                }
                matrix[(i, j)] = 0.5 * (below + above);
                matrix[(j, i)] = matrix[(i, j)];
            }
        }
        let mut shifted = matrix.clone();
        for i in 0..order {
            // Something even where all is zero.
            shifted[(i, i)] += ROUNDING * largest + f64::MIN_POSITIVE;
        }
        if Cholesky::of(shifted).is_none() {
            return Err(format!(
                "is not positive semidefinite: it has an eigenvalue below -{ROUNDING} of the largest diagonal entry; inner products have none"
            ));
        }
        Ok(Self { matrix, num_samples: order / num_factors, num_factors })
    }

    /// Those in a tensor: (n k, n k), or (n, k, n, k), which says itself how many a sample has.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for another shape and as [`InnerProducts::new`]; [`AnalysisError::Io`].
    pub fn read(mut tensor: Tensor<'_>, num_factors: Option<usize>) -> Result<Self> {
        let (order, found) = match tensor.shape()[..] {
            [rows, columns] if rows == columns => (rows, None),
            [n, k, m, l] if n == m && k == l => (n * k, Some(k)),
            _ => {
                let problem = format!(
                    "has shape {:?}, allowed: (samples * factors, samples * factors) or (samples, factors, samples, factors)",
                    tensor.shape()
                );
                return Err(AnalysisError::unsupported(tensor.path(), problem));
            }
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
        let entries = tensor.entries(order * order)?;
        // Of a symmetric matrix rows are columns, whatever the order of the array.
        Self::new(order, found.or(num_factors).unwrap_or(1), |i, j| entries[i * order + j])
            .map_err(|problem| AnalysisError::unsupported(tensor.path(), problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_gram_matrix_is_refused_by_name() {
        let of = |entries: [f64; 4], k: usize| InnerProducts::new(2, k, |i, j| entries[2 * i + j]);
        assert_eq!(of([2.0, 1.0, 1.0, 3.0], 2).map(|found| found.num_samples), Ok(1));
        assert!(of([0.0; 4], 1).is_ok(), "no curvature at all is none of our business");
        for (entries, k, problem) in [
            ([2.0, 1.0, 1.1, 3.0], 1, "is not symmetric"),
            ([1.0, 2.0, 2.0, 1.0], 1, "is not positive semidefinite"),
            ([1.0, f64::NAN, 0.0, 1.0], 1, "finite"),
            ([1.0, 0.0, 0.0, 1.0], 3, "no multiple of 3"),
        ] {
            let found = of(entries, k).map(|_| ()).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }
}
