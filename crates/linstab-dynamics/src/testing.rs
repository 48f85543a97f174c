//! Slow, obvious twins of the fast code: enumeration of all batches, Kronecker matrices, and simulation by the definition.

use std::collections::BTreeMap;

use linstab_linalg::testing::spectral_radius;
use linstab_linalg::{Dense, Ensemble, Factored, Mat, Reduced, Scale, packed, symmetric};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::sampling::BatchSampler;
use crate::simulation::{Divergence, Run, squared_norm};
use crate::{AxisAlignedDynamics, BatchSampling, MeanSquare, Optimizer, SamplingScheme};

/// Every sampling scheme.
///
/// # Examples
/// ```
/// use linstab_dynamics::testing::SCHEMES;
/// assert_eq!(SCHEMES.map(|scheme| scheme.name()), ["without-replacement", "with-replacement", "bernoulli"]);
/// ```
pub const SCHEMES: [SamplingScheme; 3] = SamplingScheme::ALL;

/// Every batch as a list of multiplicities, one a sample, with its probability.
///
/// # Cost
/// `2^n` batches without replacement and Bernoulli, `n + B - 1` over `B` with replacement: for `n <= 8` or so.
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, testing::enumerate_batches};
/// // Two draws out of two samples: twice the second, each once, twice the first.
/// let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 2)?;
/// let expected = [(0.25, vec![0, 2]), (0.5, vec![1, 1]), (0.25, vec![2, 0])];
/// assert_eq!(enumerate_batches(sampling), expected);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
pub fn enumerate_batches(sampling: BatchSampling) -> Vec<(f64, Vec<u32>)> {
    let (n, b) = (sampling.num_samples(), sampling.batch_size());
    let subsets = || (0..1_u32 << n).map(|mask| (0..n).map(|i| mask >> i & 1).collect::<Vec<u32>>());
    let size = |batch: &Vec<u32>| batch.iter().sum::<u32>() as usize;
    match sampling.scheme() {
        SamplingScheme::WithoutReplacement => {
            let batches: Vec<_> = subsets().filter(|batch| size(batch) == b).collect();
            let probability = 1.0 / batches.len() as f64;
            batches.into_iter().map(|batch| (probability, batch)).collect()
        }
        SamplingScheme::Bernoulli => {
            let p = b as f64 / n as f64;
            let probability = |k: usize| (0..n).map(|i| if i < k { p } else { 1.0 - p }).product();
            subsets().map(|batch| (probability(size(&batch)), batch)).collect()
        }
        SamplingScheme::WithReplacement => {
            // One draw after the other; sequences with the same multiplicities are one batch.
            let mut batches = BTreeMap::from([(vec![0; n], 1.0)]);
            for _ in 0..b {
                let mut longer = BTreeMap::new();
                for (batch, probability) in batches {
                    for i in 0..n {
                        let mut next = batch.clone();
                        next[i] += 1;
                        *longer.entry(next).or_insert(0.0) += probability / n as f64;
                    }
                }
                batches = longer;
            }
            batches.into_iter().map(|(batch, probability)| (probability, batch)).collect()
        }
    }
}

/// All orders of `0..num_samples`.
///
/// # Examples
/// ```
/// assert_eq!(linstab_dynamics::testing::orders(2), [[1, 0], [0, 1]]);
/// ```
pub fn orders(num_samples: usize) -> Vec<Vec<usize>> {
    let Some(last) = num_samples.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |order: Vec<usize>| (0..=last).map(move |at| [&order[..at], &[last], &order[at..]].concat());
    orders(last).into_iter().flat_map(insert).collect()
}

/// The curvature `(1/B) sum_i multiplicity_i H_i` of one batch.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, testing::batch_hessian};
/// use linstab_linalg::AxisAligned;
/// // The first of two samples twice: (1 + 1) / 2.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 2)?;
/// assert_eq!(batch_hessian(&ensemble, sampling, &[2, 0])[(0, 0)], 1.0);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
pub fn batch_hessian(ensemble: &dyn Ensemble, sampling: BatchSampling, multiplicities: &[u32]) -> Mat<f64> {
    let mut sum = Mat::zeros(ensemble.dim(), ensemble.dim());
    for (sample, &multiplicity) in multiplicities.iter().enumerate() {
        sum +=
            ensemble.sample_hessian(sample) * Scale(f64::from(multiplicity) / sampling.batch_size() as f64);
    }
    sum
}

/// Growth of the mean square a step under `w <- M w`, `M` random: the spectral radius of `E[M (x) M]`, which is
/// `X -> E M X M^T`, restricted to symmetric matrices. The restriction keeps the radius, since PSD matrices stay PSD (Krein and
/// Rutman), and halves the order of the eigenvalue problem.
///
/// # Shapes
/// `steps`: the matrices (dim, dim) with their probabilities; `dim` at most 11.
/// # Cost
/// An eigenvalue problem of order `dim (dim + 1) / 2`.
/// # Panics
/// If `dim` is larger or the eigenvalue iteration does not converge.
/// # Examples
/// ```
/// use linstab_dynamics::testing::second_moment_radius;
/// use linstab_linalg::{Mat, Scale};
/// // Times 1 or times 3 with equal odds: the mean square grows by (1 + 9) / 2.
/// let steps = [1.0, 3.0].map(|factor| (0.5, Mat::<f64>::identity(2, 2) * Scale(factor)));
/// assert!((second_moment_radius(2, steps) - 5.0).abs() < 1e-14);
/// ```
pub fn second_moment_radius(dim: usize, steps: impl IntoIterator<Item = (f64, Mat<f64>)>) -> f64 {
    let moment = kronecker_moment(dim, steps);
    let size = packed::packed_len(dim);
    let symmetric: Vec<Mat<f64>> = (0..size)
        .map(|at| packed::unpack(&(0..size).map(|i| f64::from(u8::from(i == at))).collect::<Vec<_>>(), dim))
        .collect();
    let basis = Mat::from_fn(dim * dim, size, |i, at| symmetric[at][(i / dim, i % dim)]);
    let restricted: Mat<f64> = basis.transpose() * moment * &basis;
    spectral_radius(restricted.as_ref())
}

/// `E[M (x) M]`, (dim^2, dim^2), batch by batch.
///
/// # Shapes
/// As [`second_moment_radius`], for any `dim`.
/// # Examples
/// ```
/// use linstab_dynamics::testing::kronecker_moment;
/// use linstab_linalg::Mat;
/// // A quarter turn: M (x) M maps e_1 e_1^T to e_2 e_2^T.
/// let turn = Mat::from_fn(2, 2, |i, j| i as f64 - j as f64);
/// let moment = kronecker_moment(2, [(1.0, turn)]);
/// assert_eq!((moment[(3, 0)], moment[(0, 0)]), (1.0, 0.0));
/// ```
pub fn kronecker_moment(dim: usize, steps: impl IntoIterator<Item = (f64, Mat<f64>)>) -> Mat<f64> {
    let mut moment = Mat::<f64>::zeros(dim * dim, dim * dim);
    for (probability, step) in steps {
        let entries = (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j)));
        let nonzeros: Vec<_> =
            entries.map(|(i, j)| (i, j, step[(i, j)])).filter(|entry| entry.2.abs() > 0.0).collect();
        for &(i, j, left) in &nonzeros {
            for &(k, l, right) in &nonzeros {
                moment[(i * dim + k, j * dim + l)] += probability * left * right;
            }
        }
    }
    moment
}

/// The literal rule `w <- w - eta H_t (I + c H) w + beta (w - w_prev)` on the range of the mean curvature `H`, by dense
/// matrices: the slow twin of [`MeanSquare`].
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, testing::BruteForce};
/// use linstab_linalg::AxisAligned;
/// // Curvatures 1, 1, 1, 3 and batches of one: the mean square is stable up to learning rate 1.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1)?;
/// let brute = BruteForce::new(&ensemble, 0.0);
/// assert!((brute.growth(sampling, 0.0, 1.0) - 1.0).abs() < 1e-14);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BruteForce {
    hessians: Dense,
    /// `I + c H`.
    ascent: Mat<f64>,
}

impl BruteForce {
    /// The curvatures restricted to the range of their mean (eigenvalues above 1e-12 of the largest), and SAM's ascent of
    /// ratio `c = rho_over_alpha`, 0 for SGD.
    ///
    /// # Panics
    /// If an eigenvalue iteration does not converge.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, testing::BruteForce};
    /// use linstab_linalg::AxisAligned;
    /// // SAM with c = 1 on curvature 1: one step multiplies by 1 - 2 eta.
    /// let brute = BruteForce::new(&AxisAligned::from_diagonals(&[vec![1.0]])?, 1.0);
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// assert!((brute.growth(sampling, 0.0, 2.0) - 9.0).abs() < 1e-13);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn new(ensemble: &dyn Ensemble, rho_over_alpha: f64) -> Self {
        let (values, vectors) =
            symmetric::eigenpairs(ensemble.mean_hessian().as_ref()).expect("a finite mean curvature");
        let top = values[values.len() - 1];
        let kept: Vec<usize> = (0..values.len()).filter(|&a| values[a] > 1e-12 * top).collect();
        let basis = Mat::from_fn(ensemble.dim(), kept.len(), |i, a| vectors[(i, kept[a])]);
        let project = |i: usize| {
            let h = basis.transpose() * ensemble.sample_hessian(i) * &basis;
            Mat::from_fn(kept.len(), kept.len(), |a, b| 0.5 * (h[(a, b)] + h[(b, a)]))
        };
        let hessians = (0..ensemble.num_samples()).map(project).collect();
        let ascent = Mat::from_fn(kept.len(), kept.len(), |a, b| {
            if a == b { 1.0 + rho_over_alpha * values[kept[a]] } else { 0.0 }
        });
        Self { hessians: Dense::new(hessians).expect("a projection stays PSD"), ascent }
    }

    /// The curvatures on the range of their mean, in an eigenbasis of it.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::testing::BruteForce;
    /// use linstab_linalg::{AxisAligned, Ensemble};
    /// // The flat second direction is left out.
    /// let brute = BruteForce::new(&AxisAligned::from_diagonals(&[vec![3.0, 0.0]])?, 0.0);
    /// assert_eq!(brute.hessians().dim(), 1);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn hessians(&self) -> &Dense {
        &self.hessians
    }

    /// Growth of the mean square of `(w, w_prev)`, or of `w` without momentum, over all batches.
    ///
    /// # Panics
    /// If the numbers of samples differ, or the eigenvalue iteration does not converge.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, testing::BruteForce};
    /// use linstab_linalg::AxisAligned;
    /// // Curvature 1, learning rate 1, momentum 1/4: z^2 - z/4 + 1/4 = 0 has complex roots of squared modulus 1/4.
    /// let brute = BruteForce::new(&AxisAligned::from_diagonals(&[vec![1.0]])?, 0.0);
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
    /// assert!((brute.growth(sampling, 0.25, 1.0) - 0.25).abs() < 1e-14);
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn growth(&self, sampling: BatchSampling, momentum: f64, learning_rate: f64) -> f64 {
        let d = self.hessians.dim();
        let size = if momentum.abs() > 0.0 { 2 * d } else { d };
        let step = |batch: &[u32]| {
            let h = batch_hessian(&self.hessians, sampling, batch) * &self.ascent;
            Mat::from_fn(size, size, |i, j| match (i < d, j < d) {
                (true, true) => f64::from(u8::from(i == j)) * (1.0 + momentum) - learning_rate * h[(i, j)],
                (true, false) => -momentum * f64::from(u8::from(i == j - d)),
                (false, true) => f64::from(u8::from(i - d == j)),
                (false, false) => 0.0,
            })
        };
        let batches = enumerate_batches(sampling).into_iter();
        second_moment_radius(size, batches.map(|(probability, batch)| (probability, step(&batch))))
    }
}

/// The fast analysis of a factored ensemble under SAM of ratio `c = rho_over_alpha` (0 is SGD) with momentum.
///
/// # Panics
/// If the reduction fails or a parameter is out of range.
/// # Examples
/// ```
/// use linstab_dynamics::{SamplingScheme, testing::analysis};
/// use linstab_linalg::Factored;
/// // Curvature 4, momentum 1/2: 2 (1 + 1/2) / 4.
/// let ensemble = Factored::new(1, 1, 1, vec![2.0])?;
/// let threshold = analysis(&ensemble, SamplingScheme::WithoutReplacement, 1, 0.0, 0.5).max_learning_rate()?;
/// assert!((threshold.value - 0.75).abs() < 1e-14);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
pub fn analysis(
    ensemble: &Factored,
    scheme: SamplingScheme,
    batch_size: usize,
    rho_over_alpha: f64,
    momentum: f64,
) -> MeanSquare {
    let sampling =
        BatchSampling::new(scheme, ensemble.num_samples(), batch_size).expect("a batch size in range");
    let reduced = Reduced::of(ensemble).expect("factors whose products are finite");
    Optimizer::sam(rho_over_alpha)
        .and_then(|sam| sam.with_momentum(momentum))
        .and_then(|optimizer| MeanSquare::new(&reduced, optimizer, sampling))
        .expect("admissible parameters")
}

/// A run by the definition: the diagonal of `H_t` summed over the batch, every coordinate updated, the norm taken afresh
/// each step. Draws the same batches as [`crate::Simulator`] from an equal generator.
///
/// # Examples
/// ```
/// use linstab_dynamics::simulation::{Divergence, MeasuredNorm};
/// use linstab_dynamics::testing::simulate_by_definition;
/// use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, SamplingScheme, Optimizer};
/// use linstab_linalg::AxisAligned;
/// use rand::SeedableRng;
/// // w is multiplied by -2 each step, w^2 by 4: 4^5 is the first power above 1000.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1)?;
/// let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
/// let divergence = Divergence::new(100, 1000.0, MeasuredNorm::SquaredNorm)?;
/// let run = simulate_by_definition(&dynamics, 3.0, &[1.0], divergence, &mut rand_pcg::Pcg64::seed_from_u64(1));
/// assert_eq!((run.num_steps, run.final_squared_norm), (5, 1024.0));
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
pub fn simulate_by_definition<R: Rng>(
    dynamics: &AxisAlignedDynamics,
    learning_rate: f64,
    start: &[f64],
    divergence: Divergence,
    rng: &mut R,
) -> Run {
    let ensemble = dynamics.effective_ensemble();
    let sampling = dynamics.sampling();
    let diagonals: Vec<Vec<f64>> = (0..ensemble.num_samples())
        .map(|i| {
            let hessian = ensemble.sample_hessian(i);
            (0..ensemble.dim()).map(|a| hessian[(a, a)]).collect()
        })
        .collect();
    let mut sampler = BatchSampler::<Box<[u64]>>::new(sampling);
    let mut w = start.to_vec();
    let mut batch = Vec::new();
    let initial = squared_norm(start);
    for step in 1..=divergence.num_steps() {
        sampler.draw_indices(rng, &mut batch);
        let mut curvature = vec![0.0; w.len()];
        let mut moved = Vec::new();
        for &sample in &batch {
            for (axis, h) in diagonals[sample].iter().enumerate() {
                curvature[axis] += h / sampling.batch_size() as f64;
                if *h > 0.0 && !moved.contains(&axis) {
                    moved.push(axis);
                }
            }
        }
        for axis in moved {
            let noise = dynamics.optimizer().perturbation_standard_deviation();
            let delta = if noise > 0.0 {
                let normal: f64 = StandardNormal.sample(rng);
                noise * normal
            } else {
                0.0
            };
            w[axis] -= learning_rate * curvature[axis] * (w[axis] + delta);
        }
        let norm = squared_norm(&w);
        if norm > divergence.squared_growth_factor() * initial {
            return Divergence::diverged(step, initial, norm);
        }
    }
    divergence.completed(initial, squared_norm(&w))
}
