//! What is in balance at a threshold: the critical second moment, and the share of the full batch in it.

use linstab_linalg::{Mat, packed};

use super::sample_space::{Critical, SampleSpace};
use super::shared_products::SharedProducts;
use super::{MeanSquare, Threshold};
use crate::{DynamicsError, Result};

/// To what part of its largest entry the kernel of a share is taken: the functions that span the kernels of thresholds span it so far.
const SHARE: f64 = 1e-7;

/// How the critical second moment is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CriticalPoint {
    /// There is none: no curvature.
    None,
    /// Without noise it is that of the sharpest direction.
    Sharpest,
    /// `K o sum_i V_i^T s_i V_i`.
    Samples {
        /// The inverse threshold in units of the sharpness.
        lambda: f64,
        /// `s`: a block a sample, packed.
        blocks: Vec<f64>,
        /// The full-batch share, where it fell off.
        share: Option<f64>,
    },
}

impl MeanSquare {
    /// The critical second moment: the `E w w^T` that one step at the threshold reproduces (with momentum, its block of the present
    /// iterate). Where several directions lose stability at once it is one of many.
    ///
    /// # Shapes
    /// (rank, rank), in the eigenbasis of the mean of the effective ensemble (for SAM that of `A^{1/2} w`); positive semidefinite to the
    /// residual of the iteration, of unit Frobenius norm. Empty (0, 0) without curvature.
    /// # Cost
    /// Half an application of the operator.
    /// # Errors
    /// [`DynamicsError::SizeMismatch`] for the threshold of another ensemble.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, SamplingScheme, Optimizer};
    /// use linstab_linalg::{Factored, Reduced};
    /// // Orthogonal samples of curvature 4 and 1, batches of one: the first alone limits the learning rate.
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 2, vec![2.0, 0.0, 0.0, 1.0])?)?;
    /// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
    /// let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?;
    /// let critical = sgd.critical_second_moment(&sgd.max_learning_rate()?)?;
    /// assert!((critical[(0, 0)].abs() - 1.0).abs() < 1e-6, "all of it along the first sample");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn critical_second_moment(&self, threshold: &Threshold) -> Result<Mat<f64>> {
        self.require_own(threshold)?;
        let rank = self.effective.rank();
        Ok(match &threshold.critical {
            CriticalPoint::None => Mat::zeros(0, 0),
            CriticalPoint::Sharpest => Mat::from_fn(rank, rank, |i, j| f64::from(u8::from(i == 0 && j == 0))),
            CriticalPoint::Samples { lambda, blocks, .. } => {
                let space = SampleSpace::new(&self.effective, self.critical_weights(), self.sample_weight());
                // At the noise-free limit itself the kernel is infinite along the sharpest direction.
                let mut operator = space.operator(lambda.max(space.pole * (1.0 + 1e-13)));
                operator.spread_kernel(blocks);
                normalised(packed::unpack(&operator.moment, rank))
            }
        })
    }

    /// Share of the full-batch curvature in what limits the learning rate: near 1 it is sharpness, near 0 gradient noise; `None` without
    /// curvature.
    ///
    /// At the threshold damping balances what is put back; the share is the quotient of what the noise-free method puts back and what
    /// damping takes, the two terms of `1 / s` in `memory_kernel`, in their inner products with the critical matrix.
    ///
    /// # Accuracy
    /// 1e-6 where the operator was formed from shared products, else rounding.
    /// # Errors
    /// [`crate::DynamicsError::SizeMismatch`] for the threshold of an ensemble of another rank.
    /// # Examples
    /// ```
    /// use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
    /// use linstab_linalg::{Factored, Reduced};
    /// let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 1.0])?)?;
    /// let full = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 2)?;
    /// let descent = MeanSquare::new(&ensemble, Optimizer::sgd(), full)?;
    /// let share = descent.full_batch_share(&descent.max_learning_rate()?)?;
    /// assert!((share.expect("it has curvature") - 1.0).abs() < 1e-12, "without noise all of it is sharpness");
    /// # Ok::<(), linstab_dynamics::DynamicsError>(())
    /// ```
    pub fn full_batch_share(&self, threshold: &Threshold) -> Result<Option<f64>> {
        if let CriticalPoint::Samples { share: Some(share), .. } = threshold.critical {
            self.require_own(threshold)?;
            return Ok(Some(share));
        }
        let (h, critical) = (self.effective.mean_eigenvalues(), self.critical_second_moment(threshold)?);
        if h.is_empty() {
            return Ok(None);
        }
        let weights = self.critical_weights();
        let (mut put_back, mut damping) = (0.0, 0.0);
        for (a, &x) in h.iter().enumerate() {
            for (b, &y) in h.iter().enumerate() {
                let weight = critical[(a, b)] * critical[(a, b)];
                let (takes, puts) = weights.balance(threshold.value.recip(), x, y);
                put_back += weight * puts;
                damping += weight * takes;
            }
        }
        Ok(Some((put_back / damping).clamp(0.0, 1.0)))
    }

    /// The full-batch share from shared products, where `D` is linear in `lambda`.
    ///
    /// In units of the eigenvector `<P, D o P> = n/b`, `<P, lambda D' o P> = -lambda mu' n/b` is damping, and the rest is put back, by the
    /// noise-free method and, `a - 1` times `<P, h h^T o P>`, by the noise.
    pub(super) fn share(
        &self,
        space: &SampleSpace<'_>,
        products: &mut SharedProducts,
        critical: &Critical,
    ) -> Option<f64> {
        let decline = critical.decline.filter(|_| space.weights.is_linear())?;
        let (h, lambda) = (&space.h, critical.lambda);
        let kernel = |a: usize, b: usize| (h[a] * h[b] / space.weights.at(lambda, h[a], h[b])).powi(2);
        let squares = products.form(kernel, space.weight, SHARE)?.quotient(&critical.blocks);
        let excess = self.full_batch_excess();
        let share = if self.recursion().is_sgd() {
            squares / (1.0 + (1.0 + excess) * squares)
        } else {
            1.0 - (1.0 + excess * squares) / decline
        };
        Some(share.clamp(0.0, 1.0))
    }

    pub(super) fn require_own(&self, threshold: &Threshold) -> Result<()> {
        let unknowns = self.effective.num_samples() * packed::packed_len(self.effective.num_factors());
        let found = match &threshold.critical {
            CriticalPoint::None => usize::from(self.effective.rank() > 0),
            CriticalPoint::Sharpest => 0,
            CriticalPoint::Samples { blocks, .. } => blocks.len(),
        };
        let expected = if found == 0 { 0 } else { unknowns };
        if expected == found {
            return Ok(());
        }
        Err(DynamicsError::SizeMismatch { what: "unknowns of the critical point", expected, found })
    }
}

/// Of unit norm and positive trace.
fn normalised(matrix: Mat<f64>) -> Mat<f64> {
    let trace: f64 = (0..matrix.nrows()).map(|a| matrix[(a, a)]).sum();
    let scale = trace.signum() / matrix.norm_l2();
    matrix * linstab_linalg::Scale(scale)
}
