//! SAM as optimizers run it: the ascent is taken on the mini-batch, or on micro-batches of it.
//!
//! With the batch curvature in the ascent, too, a step is `w <- w - eta H_b (I + c H_b) w`: no congruence turns this into SGD on
//! the samples, but it *is* one-sample SGD on the ensemble of batches, with curvatures `G_b = H_b + c H_b^2`. For m-SAM, which
//! ascends on each of several micro-batches separately, `G_b` is the mean of `H_k + c H_k^2` over them. With the factors of a
//! micro-batch as rows `F`, `G = F^T (I + c F F^T) F`, so the batches are factored, too.

use linstab_linalg::{Factored, Mat, Reduced, symmetric};

use super::{MeanSquare, Threshold};
use crate::error::require_nonnegative;
use crate::optimizer::ascent;
use crate::second_moment::require_same_number;
use crate::subsets::{num_subsets, subsets};
use crate::{BatchSampling, DynamicsError, Optimizer, Result, SamplingScheme};

/// The largest number of batches that is enumerated, and of unknowns: each batch has a symmetric block of the order of its size.
const MAX_ENUMERATED: usize = 20_000;
const MAX_UNKNOWNS: usize = 500_000;

/// SAM with ascent on the mini-batch and a fixed ratio of perturbation radius to gradient norm.
///
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, mean_square::BatchAscentSam};
/// use linstab_linalg::{Factored, Reduced};
/// // Curvatures 0 and 1, batches of one, c = 1: G is 0 or 1 + 1, so E (1 - eta G)^2 = (1 + (1 - 2 eta)^2) / 2 < 1 up to 1. With
/// // the ascent on the full batch it would be 4/3: there G is 0 or 1 (1 + 1/2).
/// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![0.0, 1.0])?)?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let analysis = BatchAscentSam::new(1.0)?.enumerated(&ensemble, sampling)?.expect("two batches");
/// assert!((analysis.max_learning_rate()?.value - 1.0).abs() < 1e-12);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchAscentSam {
    /// What is done with a gradient.
    base: Optimizer,
    rho_over_alpha: f64,
    micro_batch_size: Option<usize>,
}

/// The exact analysis over all batches: one-sample SGD on the curvatures `G_b`. What refers to samples or to the curvature of the loss
/// (smallest batch, responsible samples, noise floor) has no meaning for these, so only thresholds and growth can be asked for.
#[derive(Clone, Debug)]
pub struct EnumeratedBatches(MeanSquare);

impl EnumeratedBatches {
    /// As [`MeanSquare::max_learning_rate`].
    ///
    /// # Errors
    /// As there.
    pub fn max_learning_rate(&self) -> Result<Threshold> {
        self.0.max_learning_rate()
    }

    /// As [`MeanSquare::growth_per_step`].
    ///
    /// # Errors
    /// As there.
    pub fn growth_per_step(&self, learning_rate: f64) -> Result<f64> {
        self.0.growth_per_step(learning_rate)
    }
}

impl BatchAscentSam {
    /// Ascent on the whole mini-batch.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for a negative or non-finite ratio.
    /// # Examples
    /// ```
    /// use linstab_dynamics::mean_square::BatchAscentSam;
    /// assert!(BatchAscentSam::new(0.5).is_ok());
    /// assert!(BatchAscentSam::new(-0.5).is_err());
    /// ```
    pub fn new(rho_over_alpha: f64) -> Result<Self> {
        require_nonnegative("rho_over_alpha", rho_over_alpha, false)?;
        Ok(Self { base: Optimizer::sgd(), rho_over_alpha, micro_batch_size: None })
    }

    /// The ascent, momentum and weight decay of an optimizer; `None` if it does not ascend on the mini-batch.
    ///
    /// # Examples
    /// ```
    /// use linstab_dynamics::{Optimizer, mean_square::BatchAscentSam};
    /// let sam: Optimizer = "sam:rho_over_alpha=0.1,ascent=batch,momentum=0.9".parse()?;
    /// assert!(BatchAscentSam::of(sam).is_some() && BatchAscentSam::of(Optimizer::sgd()).is_none());
    /// # Ok::<(), linstab_dynamics::optimizer::SpecificationError>(())
    /// ```
    pub fn of(optimizer: Optimizer) -> Option<Self> {
        let (base, rho_over_alpha) = (optimizer.without_ascent(), optimizer.rho_over_alpha());
        optimizer.batch_ascent().map(|micro_batch_size| Self { base, rho_over_alpha, micro_batch_size })
    }

    /// Ascent on each micro-batch of so many samples (m-SAM); the last one of a batch can be smaller.
    ///
    /// # Errors
    /// [`DynamicsError::OutOfRange`] for 0.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, mean_square::BatchAscentSam};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Two orthogonal samples of curvature 1 in one batch, c = 1. Ascent on the batch: H = 1/2, G = 1/2 + 1/4, threshold 8/3.
    /// // Ascent on each sample: G = (1 + 1) / 2, threshold 2.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![1.0, 0.0, 0.0, 1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 2)?;
    /// let sam = BatchAscentSam::new(1.0)?;
    /// for (sam, expected) in [(sam, 8.0 / 3.0), (sam.with_micro_batches(1)?, 2.0)] {
    ///     let analysis = sam.enumerated(&ensemble, sampling)?.expect("one batch");
    ///     assert!((analysis.max_learning_rate()?.value - expected).abs() < 1e-12);
    /// }
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn with_micro_batches(mut self, micro_batch_size: usize) -> Result<Self> {
        if micro_batch_size == 0 {
            let (name, allowed) = ("micro_batch_size", "at least 1");
            return Err(DynamicsError::OutOfRange { name, value: 0.0, allowed });
        }
        self.micro_batch_size = Some(micro_batch_size);
        Ok(self)
    }

    /// The exact analysis, over all batches of a fixed size and, for m-SAM, all ways to cut them into micro-batches; `None` if there
    /// are more than 20 000 (fewer for large batches), or if the batches of the scheme are not equally likely (Bernoulli; with replacement above one sample).
    ///
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] if the numbers of samples differ, [`DynamicsError::Linalg`] if an eigenvalue iteration
    /// fails.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, SamplingScheme, mean_square::BatchAscentSam};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Batches of two out of curvatures 1, 1, 1 all have H = 1; c = 1 makes it G = 1 + 1.
    /// let ensemble = Reduced::of(&Factored::new(3, 1, 1, vec![1.0; 3])?)?;
    /// let sam = BatchAscentSam::new(1.0)?;
    /// let without = BatchSampling::new(SamplingScheme::WithoutReplacement, 3, 2)?;
    /// let analysis = sam.enumerated(&ensemble, without)?.expect("three batches");
    /// assert!((analysis.max_learning_rate()?.value - 1.0).abs() < 1e-12);
    /// let bernoulli = BatchSampling::new(SamplingScheme::Bernoulli, 3, 2)?;
    /// assert!(sam.enumerated(&ensemble, bernoulli)?.is_none(), "not equally likely");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn enumerated(
        &self,
        ensemble: &Reduced,
        sampling: BatchSampling,
    ) -> Result<Option<EnumeratedBatches>> {
        require_same_number(ensemble.num_samples(), sampling)?;
        let (n, b) = (sampling.num_samples(), sampling.batch_size());
        // Batches that are sets of fixed size are equally likely; so is each sample alone.
        let scheme = sampling.scheme();
        let fixed_size = scheme.has_fixed_batch_size() && (scheme.draws_sets() || b == 1);
        let micro = self.micro_batch_size.unwrap_or(b).min(b);
        let count = num_subsets(n, b).saturating_mul(num_partitions(b, micro));
        let rows = b * ensemble.num_factors();
        let num_unknowns = count.saturating_mul(rows * (rows + 1) / 2);
        if !fixed_size || count > MAX_ENUMERATED || num_unknowns > MAX_UNKNOWNS {
            return Ok(None);
        }
        let all: Vec<usize> = (0..n).collect();
        let batches: Vec<Vec<usize>> =
            subsets(&all, b).iter().flat_map(|(batch, _)| partitions(batch, micro)).collect();
        Ok(Some(EnumeratedBatches(self.of_batches(ensemble, sampling, &batches)?)))
    }

    /// One-sample SGD on the given batches, each as likely as the others.
    fn of_batches(
        &self,
        ensemble: &Reduced,
        sampling: BatchSampling,
        batches: &[Vec<usize>],
    ) -> Result<MeanSquare> {
        let (k, rank) = (ensemble.num_factors(), ensemble.rank());
        let largest = batches.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut rows = vec![0.0; batches.len() * largest * k * rank];
        for (batch, target) in batches.iter().zip(rows.chunks_exact_mut((largest * k * rank).max(1))) {
            self.write_factors(ensemble, batch, sampling.batch_size(), target)?;
        }
        let ensemble = Reduced::of(&Factored::new(batches.len(), largest * k, rank, rows)?)?;
        let one_of_them = BatchSampling::new(SamplingScheme::WithoutReplacement, batches.len(), 1)?;
        MeanSquare::new(&ensemble, self.base, one_of_them)
    }

    /// Writes the factors of `G_b`, row by row. A micro-batch of `m` out of the nominal batch size `B` has the weight `m / B`.
    fn write_factors(
        &self,
        ensemble: &Reduced,
        batch: &[usize],
        batch_size: usize,
        target: &mut [f64],
    ) -> Result<()> {
        let (k, rank, factors) = (ensemble.num_factors(), ensemble.rank(), ensemble.factors());
        if rank == 0 {
            return Ok(());
        }
        let mut row = 0;
        for micro_batch in batch.chunks(self.micro_batch_size.unwrap_or(usize::MAX)) {
            // The whole batch divides by B, whatever its size (Bernoulli); a micro-batch by its own size.
            let divisor = if self.micro_batch_size.is_some() { micro_batch.len() } else { batch_size } as f64;
            let weight = if self.micro_batch_size.is_some() { divisor / batch_size as f64 } else { 1.0 };
            let size = micro_batch.len() * k;
            let own = Mat::from_fn(size, rank, |i, a| {
                factors[(micro_batch[i / k] * k + i % k, a)] / divisor.sqrt()
            });
            let gram: Mat<f64> = &own * own.transpose();
            let (values, vectors) = symmetric::eigenpairs(gram.as_ref())?;
            let root = Mat::from_fn(size, size, |i, j| {
                let scale = (weight * ascent(self.rho_over_alpha, values[j].max(0.0))).sqrt();
                vectors[(i, j)] * scale
            });
            let transformed = root * vectors.transpose() * own;
            for i in 0..size {
                for a in 0..rank {
                    target[(row + i) * rank + a] = transformed[(i, a)];
                }
            }
            row += size;
        }
        Ok(())
    }
}

/// In how many ways `b` samples are cut into micro-batches of `m` and one of the rest, saturating.
fn num_partitions(b: usize, m: usize) -> usize {
    let rest = b % m;
    // The first sample of what is left chooses its companions.
    (1..=b / m).fold(num_subsets(b, rest), |count, i| count.saturating_mul(num_subsets(i * m - 1, m - 1)))
}

/// These ways: orders of the batch, one for each, with the smaller micro-batch last.
fn partitions(batch: &[usize], m: usize) -> Vec<Vec<usize>> {
    let mut unfinished: Vec<(Vec<usize>, Vec<usize>)> = subsets(batch, batch.len() % m);
    let mut finished = Vec::new();
    while let Some((tail, left)) = unfinished.pop() {
        let Some((&first, others)) = left.split_first() else {
            finished.push(tail);
            continue;
        };
        for (companions, left) in subsets(others, m - 1) {
            unfinished.push(([&[first], &companions[..], &tail[..]].concat(), left));
        }
    }
    finished
}
