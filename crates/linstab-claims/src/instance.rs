//! Random ensembles in full matrices: small enough for every definition to be evaluated as it stands.

use std::fmt;

use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Mat, MatRef, Reduced, Scale, symmetric};
use rand::RngExt;
use rand_pcg::Pcg64;

use super::numbers::normal;

/// Sizes of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) num_samples: usize,
    pub(super) num_factors: usize,
    pub(super) dim: usize,
    pub(super) batch_size: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num_samples, num_factors, dim, batch_size } = self;
        write!(f, "n = {num_samples}, rank {num_factors}, d = {dim}, B = {batch_size}")
    }
}

impl Shape {
    /// 2 to 8 samples in 1 to 5 dimensions, of every rank, with every batch size that leaves noise.
    pub(super) fn random(rng: &mut Pcg64) -> Self {
        let (num_samples, dim) = (rng.random_range(2..=8), rng.random_range(1..=5));
        let (num_factors, batch_size) = (rng.random_range(1..=dim), rng.random_range(1..num_samples));
        Self { num_samples, num_factors, dim, batch_size }
    }

    /// The logarithm of `rho / alpha`, then the factors: normal, with a lognormal scale a sample.
    pub(super) fn random_parameters(self, rng: &mut Pcg64) -> Vec<f64> {
        let mut parameters = vec![rng.random_range(0.01_f64.ln()..100.0_f64.ln())];
        for _ in 0..self.num_samples {
            let scale = normal(rng).exp();
            parameters.extend((0..self.num_factors * self.dim).map(|_| scale * normal(rng)));
        }
        parameters
    }
}

/// An ensemble with everything that the statements speak of. Its mean has largest eigenvalue 1.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) shape: Shape,
    pub(super) rho_over_alpha: f64,
    pub(super) factors: Vec<f64>,
    pub(super) hessians: Vec<Mat<f64>>,
    pub(super) mean: Mat<f64>,
    /// Ascending.
    pub(super) mean_eigenvalues: Vec<f64>,
    /// `A = I + (rho/alpha) H`.
    pub(super) ascent: Mat<f64>,
    /// `A^{1/2}`.
    pub(super) root: Mat<f64>,
}

impl Instance {
    /// The ensemble of a vector of parameters; `None` if it has no curvature, or one that is out of range.
    pub(super) fn new(shape: Shape, parameters: &[f64]) -> Option<Self> {
        let Shape { num_samples, num_factors, dim, .. } = shape;
        let rho_over_alpha = parameters[0].clamp(0.001_f64.ln(), 1000.0_f64.ln()).exp();
        let sum = gram(&parameters[1..], dim);
        let sharpness = symmetric::top_eigenvalue(sum.as_ref()).ok()? / num_samples as f64;
        if !(1e-30..1e30).contains(&sharpness) {
            return None;
        }
        let factors: Vec<f64> = parameters[1..].iter().map(|x| x / sharpness.sqrt()).collect();
        let hessians: Vec<_> =
            factors.chunks_exact(num_factors * dim).map(|block| gram(block, dim)).collect();
        let mean = mean(&hessians);
        let (values, vectors) = symmetric::eigenpairs(mean.as_ref()).ok()?;
        let mean_eigenvalues: Vec<f64> = values.iter().map(|x| x.max(0.0)).collect();
        let root = function(&mean_eigenvalues, &vectors, |x| (1.0 + rho_over_alpha * x).sqrt());
        let ascent = Mat::<f64>::identity(dim, dim) + &mean * Scale(rho_over_alpha);
        Some(Self { shape, rho_over_alpha, factors, hessians, mean, mean_eigenvalues, ascent, root })
    }

    /// The same for SGD: without ascent.
    pub(super) fn without_ascent(&self) -> Self {
        let one = identity(self.shape.dim);
        Self { rho_over_alpha: 0.0, ascent: one.clone(), root: one, ..self.clone() }
    }

    /// Largest eigenvalue of the mean.
    pub(super) fn sharpness(&self) -> f64 {
        self.mean_eigenvalues.last().copied().unwrap_or(0.0)
    }

    /// Smallest eigenvalue of the mean.
    pub(super) fn min_eigenvalue(&self) -> f64 {
        self.mean_eigenvalues.first().copied().unwrap_or(0.0)
    }

    /// Smallest eigenvalue of `A`.
    pub(super) fn min_ascent(&self) -> f64 {
        1.0 + self.rho_over_alpha * self.min_eigenvalue()
    }

    /// Eigenvalues of `H A`, ascending.
    pub(super) fn effective_eigenvalues(&self) -> Vec<f64> {
        self.mean_eigenvalues.iter().map(|x| x * (1.0 + self.rho_over_alpha * x)).collect()
    }

    /// `n`.
    pub(super) fn n(&self) -> f64 {
        self.shape.num_samples as f64
    }

    /// `n / B - 1`.
    pub(super) fn sampling_noise(&self) -> f64 {
        (self.shape.num_samples - self.shape.batch_size) as f64 / self.shape.batch_size as f64
    }

    /// `1/(B n) - 1/n^2`.
    pub(super) fn noise_weight(&self) -> f64 {
        self.sampling_noise() / (self.n() * self.n())
    }

    /// `A^{1/2} H_i A^{1/2}`, on which SGD is what SAM is on the ensemble.
    pub(super) fn effective(&self) -> Vec<Mat<f64>> {
        self.hessians.iter().map(|h| &self.root * h * &self.root).collect()
    }

    /// `J = I - eta H A`.
    pub(super) fn jacobian(&self, learning_rate: f64) -> Mat<f64> {
        identity(self.shape.dim) - &self.mean * &self.ascent * Scale(learning_rate)
    }

    /// `Phi(X) = eta^2 c_0 sum_i A H_i X H_i A`.
    pub(super) fn noise(&self, learning_rate: f64, x: &Mat<f64>) -> Mat<f64> {
        let sum = sandwiches(&self.hessians, x);
        &self.ascent * sum * &self.ascent * Scale(learning_rate * learning_rate * self.noise_weight())
    }

    /// `T(X) = J X J + Phi(X)`.
    pub(super) fn moment(&self, learning_rate: f64, x: &Mat<f64>) -> Mat<f64> {
        let jacobian = self.jacobian(learning_rate);
        &jacobian * x * &jacobian + self.noise(learning_rate, x)
    }

    /// The exact mean-square threshold of SAM under Bernoulli sampling; NaN if it cannot be computed.
    pub(super) fn max_learning_rate(&self) -> f64 {
        let Shape { num_samples, num_factors, dim, batch_size } = self.shape;
        let threshold = || {
            let factored = Factored::new(num_samples, num_factors, dim, self.factors.clone()).ok()?;
            let sampling = BatchSampling::new(SamplingScheme::Bernoulli, num_samples, batch_size).ok()?;
            let rule = Optimizer::sam(self.rho_over_alpha).ok()?;
            let analysis = MeanSquare::new(&Reduced::of(&factored).ok()?, rule, sampling).ok()?;
            Some(analysis.max_learning_rate().ok()?.value)
        };
        threshold().unwrap_or(f64::NAN)
    }

    /// `2 / lambda_max(H A)`.
    pub(super) fn gradient_descent_limit(&self) -> f64 {
        2.0 / (self.sharpness() * (1.0 + self.rho_over_alpha * self.sharpness()))
    }

    /// Learning rate of the paper's divergence criterion (C.8.4).
    pub(super) fn divergence_criterion(&self) -> f64 {
        let sigma = coherence(&self.hessians).measure();
        sigma / (self.sharpness() * self.min_ascent() * self.sampling_noise().sqrt())
    }

    /// Learning rate of the criterion for SGD on the transformed ensemble.
    pub(super) fn transformed_criterion(&self) -> f64 {
        let sigma = coherence(&self.effective()).measure();
        sigma * 0.5 * self.gradient_descent_limit() / self.sampling_noise().sqrt()
    }

    /// Learning rate above which the sharpest sample alone forces divergence.
    pub(super) fn sample_criterion(&self) -> f64 {
        self.n() / (coherence(&self.effective()).max_sample_sharpness * self.sampling_noise().sqrt())
    }

    /// `min_v 2 v'Hv / ((v'Hv)^2 + c_0 sum_j (v'H_jv)^2)` of the transformed ensemble, over the samples' top eigenvectors.
    pub(super) fn rayleigh_criterion(&self) -> f64 {
        let (effective, dim) = (self.effective(), self.shape.dim);
        let bound = |direction: &Mat<f64>| {
            let along: Vec<f64> =
                effective.iter().map(|h| (direction.transpose() * h * direction)[(0, 0)]).collect();
            let q = along.iter().sum::<f64>() / self.n();
            2.0 * q / (q * q + self.noise_weight() * along.iter().map(|x| x * x).sum::<f64>())
        };
        let directions = effective.iter().filter_map(|h| {
            let (_, vectors) = symmetric::eigenpairs(h.as_ref()).ok()?;
            Some(Mat::from_fn(dim, 1, |row, _| vectors[(row, dim - 1)]))
        });
        directions.map(|v| bound(&v)).filter(|x| x.is_finite()).fold(f64::INFINITY, f64::min)
    }
}

/// `lambda_max(S)` and `max_i lambda_max(H_i)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coherence {
    pub(super) top_eigenvalue: f64,
    pub(super) max_sample_sharpness: f64,
}

impl Coherence {
    /// The coherence measure sigma.
    pub(super) fn measure(self) -> f64 {
        self.top_eigenvalue / self.max_sample_sharpness
    }
}

/// The coherence matrix, by its definition.
pub(super) fn coherence_matrix(hessians: &[Mat<f64>]) -> Mat<f64> {
    let n = hessians.len();
    Mat::from_fn(n, n, |i, j| trace_of_product(&hessians[i], &hessians[j]).max(0.0).sqrt())
}

/// The coherence of full matrices.
pub(super) fn coherence(hessians: &[Mat<f64>]) -> Coherence {
    Coherence {
        top_eigenvalue: top(coherence_matrix(hessians).as_ref()),
        max_sample_sharpness: hessians.iter().map(|h| top(h.as_ref())).fold(0.0, f64::max),
    }
}

/// Largest eigenvalue of a symmetric matrix; NaN where there is none.
pub(super) fn top(matrix: MatRef<'_, f64>) -> f64 {
    symmetric::top_eigenvalue(matrix).unwrap_or(f64::NAN)
}

/// Smallest eigenvalue of a symmetric matrix; NaN where there is none.
pub(super) fn bottom(matrix: MatRef<'_, f64>) -> f64 {
    symmetric::eigenvalues(matrix).map_or(f64::NAN, |values| values.first().copied().unwrap_or(f64::NAN))
}

pub(super) fn identity(dim: usize) -> Mat<f64> {
    Mat::<f64>::identity(dim, dim)
}

/// `sum_i H_i X H_i`.
pub(super) fn sandwiches(hessians: &[Mat<f64>], x: &Mat<f64>) -> Mat<f64> {
    hessians.iter().fold(Mat::zeros(x.nrows(), x.ncols()), |sum, h| sum + h * x * h)
}

/// Mean of matrices of one shape, of which there is at least one.
pub(super) fn mean(matrices: &[Mat<f64>]) -> Mat<f64> {
    let zero = Mat::zeros(matrices[0].nrows(), matrices[0].ncols());
    matrices.iter().fold(zero, |sum, m| sum + m) * Scale(1.0 / matrices.len() as f64)
}

pub(super) fn trace(matrix: &Mat<f64>) -> f64 {
    (0..matrix.nrows()).map(|i| matrix[(i, i)]).sum()
}

/// `tr(X Y)`.
pub(super) fn trace_of_product(x: &Mat<f64>, y: &Mat<f64>) -> f64 {
    (0..x.nrows()).map(|i| (0..x.ncols()).map(|j| x[(i, j)] * y[(j, i)]).sum::<f64>()).sum()
}

/// `x^exponent`.
pub(super) fn matrix_power(x: &Mat<f64>, exponent: usize) -> Mat<f64> {
    (0..exponent).fold(identity(x.nrows()), |product, _| product * x)
}

/// `lambda_max(sum_i H_i (x) H_i)`, the largest eigenvalue of `X -> sum_i H_i X H_i`.
pub(super) fn top_of_sandwiches(hessians: &[Mat<f64>]) -> f64 {
    let d = hessians[0].nrows();
    let entry = |row: usize, column: usize| {
        hessians.iter().map(|h| h[(row / d, column / d)] * h[(row % d, column % d)]).sum()
    };
    top(Mat::from_fn(d * d, d * d, entry).as_ref())
}

/// `sum of outer products` of rows of length `dim`.
fn gram(rows: &[f64], dim: usize) -> Mat<f64> {
    Mat::from_fn(dim, dim, |i, j| rows.chunks_exact(dim).map(|row| row[i] * row[j]).sum())
}

/// A function of a symmetric matrix, from its eigenpairs.
pub(super) fn function(values: &[f64], vectors: &Mat<f64>, f: impl Fn(f64) -> f64) -> Mat<f64> {
    let scaled = Mat::from_fn(vectors.nrows(), values.len(), |i, a| vectors[(i, a)] * f(values[a]));
    scaled * vectors.transpose()
}
