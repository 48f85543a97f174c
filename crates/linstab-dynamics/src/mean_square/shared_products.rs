//! What all thresholds and growth rates of one ensemble share.
//!
//! With one factor a sample the operator in sample space ([`sample_space`](super::sample_space)) is
//! `S_ij = (b/n) sum_ab K_ab (V_ia V_ja) (V_ib V_jb)`: the ensemble enters by the products `V_ia V_ja`, and the optimizer, the batch size
//! and the learning rate by the kernel `K` alone. Every `K` is smooth in the two curvatures, so that all of them together
//! are spanned by a dozen or two functions of one curvature; the weighted Gram matrices of these are formed once, when a kernel first needs
//! them, and each further operator is a combination ([`WeightedGrams`]). A congruence (SAM) only multiplies `K` by a function of each
//! curvature, so it shares them, too; a preconditioner changes `V`, and shares nothing.
//!
//! # What is left out
//!
//! In units in which the curvature is 1 (rows scaled by `1/h`), kernel and combination differ by a matrix `E` of norm at most `e`: the trace
//! of what Cholesky's method left of a positive semidefinite kernel, what lies outside of the span, and rounding. As `E <= e I`
//! stays so in an entrywise product with a positive semidefinite matrix, `(S s)_i` is off by at most
//! `(b/n) e sum_a (V_ia / h_a)^2 sum_j s_j V_ja^2 <= b e max_j s_j sum_a V_ia^2 / h_a` for `s >= 0`. Certificates add that.

use linstab_linalg::lanczos::multiply;
use linstab_linalg::{Mat, Reduced, WeightedGrams, low_rank};

/// Most functions that are kept: so many numbers as eight matrices of the order of the samples.
const MAX_FUNCTIONS: usize = 16;

/// Up to so many samples nothing is shared.
const FEW_SAMPLES: usize = 128;

/// Pivots of Cholesky's method are followed to this part of the largest, unless less is asked for.
const FINEST: f64 = 1e-15;

/// Products that the analyses of one ensemble share.
///
/// # Examples
/// ```
/// use linstab_dynamics::mean_square::SharedProducts;
/// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
/// use linstab_linalg::{Factored, Reduced};
/// let ensemble = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()])?)?;
/// let mut products = SharedProducts::new(&ensemble);
/// let mut threshold = |batch_size| {
///     let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, batch_size)?;
///     MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.max_learning_rate_with(&mut products)
/// };
/// // Curvatures 1, 1, 1, 3: l = 3/2 and s^2 = 3/4 (4 - B) / (3 B), so the thresholds are 2 l / (l^2 + s^2).
/// assert!((threshold(1)?.value - 1.0).abs() < 1e-12 && (threshold(2)?.value - 1.2).abs() < 1e-12);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedProducts {
    base: Reduced,
    /// An orthonormal basis of functions of the directions, in units in which the curvature is 1.
    functions: Vec<Vec<f64>>,
    grams: WeightedGrams,
    /// `sum_a V_ia^2 / h_a` of each sample: its leverage, times the number of samples.
    leverages: Vec<f64>,
    most_functions: usize,
}

/// An operator in sample space as a matrix.
pub(super) struct Formed {
    /// `S`.
    pub(super) matrix: Mat<f64>,
    /// `(b/n) e`: see the module.
    error: f64,
}

impl Formed {
    /// `s^T S s / s^T s`.
    pub(super) fn quotient(&self, s: &[f64]) -> f64 {
        let mut image = vec![0.0; s.len()];
        multiply(&self.matrix, s, &mut image);
        let dot = |x: &[f64]| x.iter().zip(s).map(|(x, s)| x * s).sum::<f64>();
        dot(&image) / dot(s)
    }
}

impl SharedProducts {
    /// None yet.
    pub fn new(ensemble: &Reduced) -> Self {
        let (n, h, factors) = (ensemble.num_samples(), ensemble.mean_eigenvalues(), ensemble.factors());
        let mut leverages = vec![0.0; n];
        if ensemble.num_factors() == 1 {
            for (a, h) in h.iter().enumerate() {
                for (i, leverage) in leverages.iter_mut().enumerate() {
                    *leverage += factors[(i, a)] * factors[(i, a)] / h;
                }
            }
        }
        let grams = WeightedGrams::new(n);
        // Where there are few directions among many samples, products in the directions are cheaper than matrices over the samples.
        // With few samples an application costs nothing.
        let worth_it = ensemble.num_factors() == 1 && (FEW_SAMPLES + 1..=4 * ensemble.rank()).contains(&n);
        let most_functions = if worth_it { MAX_FUNCTIONS } else { 0 };
        Self { base: ensemble.clone(), functions: Vec::new(), grams, leverages, most_functions }
    }

    /// For few samples, too.
    #[cfg(test)]
    pub(super) fn for_any(ensemble: &Reduced) -> Self {
        Self { most_functions: MAX_FUNCTIONS, ..Self::new(ensemble) }
    }

    /// Whether the ensemble with this congruence is the one of the products.
    pub(super) fn are_of(&self, effective: &Reduced, congruence: &[f64]) -> bool {
        let same =
            |(&base, (&seen, root)): (&f64, (&f64, &f64))| (base * root * root - seen).abs() <= 1e-12 * seen;
        let h = self.base.mean_eigenvalues();
        h.len() == effective.rank()
            && self.base.num_samples() == effective.num_samples()
            && self.base.num_factors() == effective.num_factors()
            && h.iter().zip(effective.mean_eigenvalues().iter().zip(congruence)).all(same)
    }

    /// Whether a kernel can be formed at all.
    pub(super) fn are_possible(&self) -> bool {
        self.most_functions > 0
    }

    /// `weight sum_ab k_ab (V_ia V_ja / h_a) (V_ib V_jb / h_b)` for a kernel `k` in units in which the curvature is 1, to `rtol` of
    /// its largest entry; `None` if it takes too many functions.
    pub(super) fn form(
        &mut self,
        kernel: impl Fn(usize, usize) -> f64,
        weight: f64,
        rtol: f64,
    ) -> Option<Formed> {
        let rank = self.base.rank();
        // A kernel takes some columns more than functions: what lies below the tolerance is not followed outside of the span.
        let form = low_rank::pivoted_cholesky(rank, kernel, rtol.max(FINEST), 4 * self.most_functions)?;
        let mut columns: Vec<Vec<f64>> =
            (0..form.factor.ncols()).map(|q| form.factor.col_as_slice(q).to_vec()).collect();
        let largest = (0..rank).map(|a| columns.iter().map(|z| z[a] * z[a]).sum()).fold(0.0, f64::max);
        let size = columns.iter().map(|z| norm(z).powi(2)).sum::<f64>().sqrt();
        let tolerance = 0.25 * rtol * largest / size;
        let mut coefficients = Mat::<f64>::zeros(self.functions.len() + columns.len(), columns.len());
        for (q, column) in columns.iter_mut().enumerate() {
            for _ in 0..2 {
                for (m, function) in self.functions.iter().enumerate() {
                    coefficients[(m, q)] += take(column, function);
                }
            }
        }
        // What is left of the columns, the largest first, extends the span.
        loop {
            let left: f64 = columns.iter().map(|z| norm(z).powi(2)).sum();
            if left.sqrt() <= tolerance {
                break;
            }
            if self.functions.len() == self.most_functions {
                return None;
            }
            let most = columns.iter().map(|z| norm(z)).enumerate();
            let (best, length) = most.fold((0, 0.0), |best, (q, x)| if x > best.1 { (q, x) } else { best });
            let mut function: Vec<f64> = columns[best].iter().map(|x| x / length).collect();
            for earlier in &self.functions {
                take(&mut function, earlier);
            }
            let length = norm(&function);
            for x in &mut function {
                *x /= length;
            }
            let m = self.functions.len();
            for _ in 0..2 {
                for (q, column) in columns.iter_mut().enumerate() {
                    coefficients[(m, q)] += take(column, &function);
                }
            }
            let weights: Vec<f64> =
                function.iter().zip(self.base.mean_eigenvalues()).map(|(x, h)| x / h).collect();
            self.grams.push(&self.base, &weights);
            self.functions.push(function);
        }
        let left = columns.iter().map(|z| norm(z).powi(2)).sum::<f64>().sqrt();
        let rounding = 4.0 * f64::EPSILON * largest * rank as f64;
        let cut = 0.1 * rtol * largest;
        let error = form.remainder + left * (2.0 * size + left) + MAX_FUNCTIONS as f64 * cut + rounding;
        let coefficients = leading(&coefficients.subrows(0, self.functions.len()).to_owned(), cut);
        let scaled = coefficients * linstab_linalg::Scale(weight.sqrt());
        Some(Formed { matrix: self.grams.sum_of_squares(scaled.as_ref()), error: weight * error })
    }

    /// By how much `S s` may be off at each sample, for `s` of these absolute values.
    pub(super) fn slack(&self, formed: &Formed, s: &[f64]) -> Vec<f64> {
        let most = s.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let each = formed.error * self.leverages.len() as f64 * most;
        self.leverages.iter().map(|leverage| each * leverage).collect()
    }
}

/// Fewer columns with the same `C C^T`, but for what is below a tolerance.
fn leading(coefficients: &Mat<f64>, tolerance: f64) -> Mat<f64> {
    let gram = coefficients * coefficients.transpose();
    let Ok((values, vectors)) = linstab_linalg::symmetric::eigenpairs(gram.as_ref()) else {
        return coefficients.clone();
    };
    let kept: Vec<usize> = (0..values.len()).filter(|&q| values[q] > tolerance).collect();
    Mat::from_fn(coefficients.nrows(), kept.len(), |m, q| vectors[(m, kept[q])] * values[kept[q]].sqrt())
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Takes the part along a unit vector off, and tells how much it was.
fn take(x: &mut [f64], unit: &[f64]) -> f64 {
    let part: f64 = x.iter().zip(unit).map(|(x, u)| x * u).sum();
    for (x, u) in x.iter_mut().zip(unit) {
        *x -= part * u;
    }
    part
}
