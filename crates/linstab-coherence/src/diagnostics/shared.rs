//! What all rows about one ensemble share: nothing here depends on batch size, optimizer or learning rate.

use std::cell::OnceCell;

use linstab_linalg::lanczos::{self, LanczosOptions, SymmetricOperator};
use linstab_linalg::{LinalgError, Mat, Reduced, gram_matrix, packed, spread, symmetric};

use crate::Result;

/// Up to this order eigenvalues are computed directly.
const DIRECT: usize = 48;

/// What diagnostics of one ensemble share, over all batch sizes and learning rates; each is computed when it is first asked for.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// use linstab_coherence::diagnostics::{Shared, Subject, diagnose};
/// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
/// use linstab_linalg::{Factored, Reduced};
/// let ensemble = Reduced::of(&Factored::new(3, 1, 1, vec![1.0, 1.0, 2.0])?)?;
/// let shared = Rc::new(Shared::of(&ensemble));
/// for batch_size in 1..3 {
///     let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 3, batch_size)?;
///     let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
///     let exact = sgd.max_learning_rate()?.value;
///     let alone = diagnose(&Subject::new(&sgd, exact))?;
///     assert_eq!(diagnose(&Subject::new(&sgd, exact).sharing(&shared)?)?, alone);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Shared {
    ensemble: Reduced,
    gram: OnceCell<Mat<f64>>,
    tops: OnceCell<Vec<(f64, Vec<f64>)>>,
    directions: OnceCell<Vec<Direction>>,
    mean_square: OnceCell<Mat<f64>>,
    non_uniformity: OnceCell<f64>,
    squared_norms: OnceCell<f64>,
}

/// The scalars `v^T H_i v` along a unit vector `v`, in two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Direction {
    /// Their mean.
    pub(super) mean: f64,
    /// The mean of their squares.
    pub(super) mean_square: f64,
}

impl Direction {
    pub(super) fn of(scalars: impl Iterator<Item = f64>, num_samples: usize) -> Self {
        let sums = scalars.fold((0.0, 0.0), |sums, x| (sums.0 + x, sums.1 + x * x));
        let n = num_samples as f64;
        Self { mean: sums.0 / n, mean_square: sums.1 / n }
    }
}

impl Shared {
    /// Of an ensemble as an optimizer sees it.
    ///
    /// # Examples
    /// See [`Shared`].
    pub fn of(ensemble: &Reduced) -> Self {
        Self {
            ensemble: ensemble.clone(),
            gram: OnceCell::new(),
            tops: OnceCell::new(),
            directions: OnceCell::new(),
            mean_square: OnceCell::new(),
            non_uniformity: OnceCell::new(),
            squared_norms: OnceCell::new(),
        }
    }

    /// Whether this is about an ensemble, or a copy of it with the same factors.
    ///
    /// # Examples
    /// ```
    /// use linstab_coherence::diagnostics::Shared;
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(1, 1, 1, vec![1.0])?)?;
    /// assert!(Shared::of(&ensemble).is_of(&ensemble.clone()));
    /// assert!(!Shared::of(&ensemble).is_of(&ensemble.congruent(|_| 2.0)));
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn is_of(&self, ensemble: &Reduced) -> bool {
        self.ensemble.shares_factors_with(ensemble)
    }

    pub(super) fn ensemble(&self) -> &Reduced {
        &self.ensemble
    }

    /// Inner products of the factors.
    pub(super) fn gram(&self) -> Result<&Mat<f64>> {
        once(&self.gram, || Ok(gram_matrix(self.ensemble.factors())?))
    }

    /// Of every sample the largest eigenvalue of its curvature, and what combines its factors to the eigenvector, not normalised.
    pub(super) fn tops(&self) -> Result<&Vec<(f64, Vec<f64>)>> {
        let k = self.ensemble.num_factors();
        once(&self.tops, || {
            let gram = self.gram()?;
            let top = |sample: usize| {
                let block = gram.as_ref().submatrix(sample * k, sample * k, k, k);
                let (values, vectors) = symmetric::eigenpairs(block)?;
                Ok((values[k - 1].max(0.0), (0..k).map(|q| vectors[(q, k - 1)]).collect()))
            };
            (0..self.ensemble.num_samples()).map(top).collect()
        })
    }

    /// Projections of all factors on the unit eigenvector of a sample; all zero where it has no curvature.
    pub(super) fn projections(&self, sample: usize) -> Result<Vec<f64>> {
        let (gram, k) = (self.gram()?, self.ensemble.num_factors());
        let (sharpness, combination) = &self.tops()?[sample];
        let mut along = vec![0.0; gram.nrows()];
        if *sharpness > 0.0 {
            for (q, x) in combination.iter().enumerate() {
                let weight = x / sharpness.sqrt();
                let column = gram.col_as_slice(sample * k + q);
                along.iter_mut().zip(column).for_each(|(sum, entry)| *sum += weight * entry);
            }
        }
        Ok(along)
    }

    /// The scalars along the sharpest direction of every sample.
    pub(super) fn directions(&self) -> Result<&Vec<Direction>> {
        once(&self.directions, || {
            let (n, k) = (self.ensemble.num_samples(), self.ensemble.num_factors());
            (0..n).map(|sample| Ok(Direction::of(scalars(&self.projections(sample)?, k), n))).collect()
        })
    }

    /// The mean of `H_i^2`: `(1/n) sum_i V_i^T (V_i V_i^T) V_i`.
    fn mean_square(&self) -> Result<&Mat<f64>> {
        once(&self.mean_square, || {
            let (n, k) = (self.ensemble.num_samples(), self.ensemble.num_factors());
            let gram = self.gram()?;
            let mut blocks = Vec::with_capacity(n * k * k);
            for sample in 0..n {
                let entry = |at: usize| gram[(sample * k + at / k, sample * k + at % k)] / n as f64;
                blocks.extend((0..k * k).map(entry));
            }
            let mut sum = vec![0.0; packed::packed_len(self.ensemble.rank())];
            spread(&self.ensemble, &blocks, &mut sum);
            Ok(packed::unpack(&sum, self.ensemble.rank()))
        })
    }

    /// The mean of `|H_i|_F^2`.
    pub(super) fn squared_norms(&self) -> Result<f64> {
        let all = once(&self.squared_norms, || {
            let (n, k, gram) = (self.ensemble.num_samples(), self.ensemble.num_factors(), self.gram()?);
            let block = |sample: usize| gram.as_ref().submatrix(sample * k, sample * k, k, k);
            Ok((0..n).map(|sample| block(sample).squared_norm_l2()).sum::<f64>() / n as f64)
        });
        all.copied()
    }

    /// The root of `lambda_max(mean H_i^2 - H^2)`.
    pub(super) fn non_uniformity(&self) -> Result<f64> {
        let top = once(&self.non_uniformity, || {
            let h = self.ensemble.mean_eigenvalues();
            let sandwich = Sandwich {
                matrix: self.mean_square()?,
                factor: 1.0,
                scale: vec![1.0; h.len()],
                diagonal: h.iter().map(|h| -h * h).collect(),
            };
            Ok(sandwich.top_eigenvalue()?.max(0.0).sqrt())
        });
        top.copied()
    }

    /// `lambda_max(H^(-1/2) (a H^2 + b mean H_i^2) H^(-1/2))`.
    pub(super) fn contraction(&self, (a, b): (f64, f64)) -> Result<f64> {
        let h = self.ensemble.mean_eigenvalues();
        let sandwich = Sandwich {
            matrix: self.mean_square()?,
            factor: b,
            scale: h.iter().map(|h| h.sqrt().recip()).collect(),
            diagonal: h.iter().map(|h| a * h).collect(),
        };
        sandwich.top_eigenvalue()
    }
}

/// `v^T H_i v` of every sample, from the projections of its factors.
pub(super) fn scalars(projections: &[f64], num_factors: usize) -> impl Iterator<Item = f64> {
    projections.chunks_exact(num_factors).map(|block| block.iter().map(|x| x * x).sum())
}

/// What a cell holds, or what is computed now.
pub(super) fn once<T>(cell: &OnceCell<T>, compute: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = compute()?;
    Ok(cell.get_or_init(|| value))
}

/// How exact the eigenvalues of large matrices are.
const OPTIONS: LanczosOptions = LanczosOptions {
    residual_rtol: 1e-6,
    value_rtol: 1e-11,
    max_applications: 2000,
    basis_size: 10,
    check_every: 1,
};

/// `diag(diagonal) + factor diag(scale) matrix diag(scale)`.
struct Sandwich<'a> {
    matrix: &'a Mat<f64>,
    factor: f64,
    scale: Vec<f64>,
    diagonal: Vec<f64>,
}

impl SymmetricOperator for Sandwich<'_> {
    fn dim(&self) -> usize {
        self.diagonal.len()
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        let scaled: Vec<f64> = input.iter().zip(&self.scale).map(|(x, s)| x * s).collect();
        lanczos::multiply(self.matrix, &scaled, output);
        for (at, (y, x)) in output.iter_mut().zip(input).enumerate() {
            *y = self.factor * self.scale[at] * *y + self.diagonal[at] * x;
        }
    }
}

impl Sandwich<'_> {
    fn entry(&self, i: usize, j: usize) -> f64 {
        let own = if i == j { self.diagonal[i] } else { 0.0 };
        own + self.factor * self.scale[i] * self.matrix[(i, j)] * self.scale[j]
    }

    fn explicit(&self) -> Mat<f64> {
        Mat::from_fn(self.dim(), self.dim(), |i, j| self.entry(i, j))
    }

    fn top_eigenvalue(mut self) -> Result<f64> {
        let dim = self.dim();
        if dim <= DIRECT {
            return Ok(symmetric::top_eigenvalue(self.explicit().as_ref())?);
        }
        let start: Vec<f64> = (0..dim).map(|i| self.entry(i, i) + self.entry(i, 0)).collect();
        match lanczos::top_eigenpair(&mut self, &start, OPTIONS) {
            // The largest eigenvalues lie too close to be separated.
            Err(LinalgError::NotConverged { .. }) => Ok(symmetric::top_eigenvalue(self.explicit().as_ref())?),
            found => Ok(found?.value),
        }
    }
}

/// The largest eigenvalue of a positive semidefinite matrix.
pub(super) fn top_eigenvalue(matrix: &Mat<f64>) -> Result<f64> {
    if matrix.nrows() <= DIRECT || matrix.norm_max() <= 0.0 {
        return Ok(symmetric::top_eigenvalue(matrix.as_ref())?);
    }
    let start: Vec<f64> = (0..matrix.nrows()).map(|i| matrix[(i, i)] + matrix[(i, 0)]).collect();
    Ok(lanczos::top_eigenpair_of(matrix, &start, OPTIONS)?.value)
}
