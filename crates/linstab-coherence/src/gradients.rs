//! First-order coherence: how well the gradients of single samples agree.

use linstab_linalg::MatRef;

use crate::{CoherenceError, Result};

/// Agreement of per-sample gradients `g_i = sum_q e_iq f_iq`, with residuals `e` and factors `f`.
///
/// # Examples
/// ```
/// use linstab_coherence::GradientCoherence;
/// use linstab_linalg::Mat;
/// // Two opposite gradients: nothing of them is left in the mean.
/// let gram = Mat::from_fn(2, 2, |i, j| if i == j { 4.0 } else { -4.0 });
/// let coherence = GradientCoherence::of(gram.as_ref(), 1, &[1.0, 1.0])?;
/// assert_eq!((coherence.alignment, coherence.confusion), (0.0, 4.0));
/// # Ok::<(), linstab_coherence::CoherenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientCoherence {
    /// `|mean g|^2 / mean |g|^2`, from 0 (they cancel) over `1/n` (orthogonal) to 1 (equal); 0 without gradients.
    /// Source: Chatterjee and Zielinski 2020, alpha of "Making coherence out of nothing at all".
    pub alignment: f64,
    /// `-min_{i != j} g_i . g_j`, at least 0: how strongly the worst pair pulls in opposite directions.
    /// Source: Sankararaman et al. 2020, gradient confusion.
    pub confusion: f64,
    /// The smallest cosine between two gradients that are not zero; 1 if there are no two.
    pub min_cosine: f64,
}

impl GradientCoherence {
    /// The coherence of the gradients with these residuals.
    ///
    /// # Shapes
    /// `gram`: (n k, n k), both triangles of the factors' Gram matrix; `residuals`: (n k).
    /// # Errors
    /// [`CoherenceError::OutOfRange`] if the numbers do not fit each other or a residual is not finite.
    /// # Examples
    /// ```
    /// use linstab_coherence::GradientCoherence;
    /// use linstab_linalg::Mat;
    /// // Orthogonal gradients of equal length: alignment 1/2 of two.
    /// let gram = Mat::from_fn(2, 2, |i, j| if i == j { 9.0 } else { 0.0 });
    /// let coherence = GradientCoherence::of(gram.as_ref(), 1, &[1.0, -1.0])?;
    /// assert!((coherence.alignment - 0.5).abs() < 1e-15 && coherence.confusion == 0.0);
    /// # Ok::<(), linstab_coherence::CoherenceError>(())
    /// ```
    pub fn of(gram: MatRef<'_, f64>, num_factors: usize, residuals: &[f64]) -> Result<Self> {
        let (rows, k) = (gram.nrows(), num_factors);
        if k == 0 || !rows.is_multiple_of(k) || residuals.len() != rows {
            let allowed = "one a factor, a whole number of factors a sample";
            let value = residuals.len() as f64;
            return Err(CoherenceError::OutOfRange { name: "number of residuals", value, allowed });
        }
        if let Some(&value) = residuals.iter().find(|residual| !residual.is_finite()) {
            return Err(CoherenceError::OutOfRange { name: "a residual", value, allowed: "finite" });
        }
        let inner = |i: usize, j: usize| -> f64 {
            let pairs = (i * k..(i + 1) * k).flat_map(|a| (j * k..(j + 1) * k).map(move |b| (a, b)));
            pairs.map(|(a, b)| residuals[a] * gram[(a, b)] * residuals[b]).sum()
        };
        let n = rows / k;
        let norms: Vec<f64> = (0..n).map(|i| inner(i, i).max(0.0)).collect();
        let (mut least, mut min_cosine, mut sum) = (0.0_f64, 1.0_f64, norms.iter().sum::<f64>());
        let squares = sum;
        for i in 0..n {
            for j in 0..i {
                let product = inner(i, j);
                sum += 2.0 * product;
                least = least.min(product);
                let size = (norms[i] * norms[j]).sqrt();
                if size > 0.0 {
                    min_cosine = min_cosine.min((product / size).max(-1.0));
                }
            }
        }
        let alignment = if squares > 0.0 { (sum / (n as f64 * squares)).max(0.0) } else { 0.0 };
        Ok(Self { alignment, confusion: -least, min_cosine })
    }
}
