//! What proves an upper bound on a root: see `sample_space`.

use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{Mat, Reduced};

use super::blocks::{dominates, identity_blocks};
use super::family::Family;

/// A proof has as much room as this, of the 1 by which `S x` is below `x`, for what a tail leaves open; and where there is a tail, a step
/// takes as much of the tolerance.
const CLEAR: f64 = 0.25;
pub(super) const SHARE_OF_STEP: f64 = 0.75;

/// Eigenvalues of a kernel that are so much below 0, relative to its largest diagonal entry, are rounding.
const KERNEL_ROUNDING: f64 = 1e-12;

/// The `x` of a certificate, if `S x <= x`.
pub(super) struct Trial {
    pub(super) blocks: Vec<f64>,
    pub(super) image: Vec<f64>,
    pub(super) doubt: Option<Doubt>,
}

/// What a tail leaves open.
pub(super) struct Doubt {
    /// What the image may lack.
    lacking: Vec<f64>,
    /// By how much the root may be lower than it is found to be.
    pub(super) shift: f64,
}

impl Doubt {
    /// Entries `(i, j)` of the operator are off by at most `t_i t_j`.
    pub(super) fn of(t: &[f64], blocks: &[f64], (vector, slope): (&[f64], f64)) -> Self {
        let along = |x: &[f64]| t.iter().zip(x).map(|(t, x)| t * x.abs()).sum::<f64>();
        let along_blocks = along(blocks);
        let lacking = t.iter().map(|t| t * along_blocks).collect();
        // Twice, as the slope changes on the way.
        Self { lacking, shift: 2.0 * along(vector).powi(2) / slope }
    }

    /// Whether it is little beside what is asked for.
    pub(super) fn is_little(&self, root: f64, tolerance: f64) -> bool {
        let room = (1.0 - SHARE_OF_STEP) * tolerance * root;
        self.shift <= room && self.lacking.iter().all(|&x| x <= CLEAR)
    }
}

impl Trial {
    /// Whether `S x <= x` for certain.
    pub(super) fn is_proof(&self, ensemble: &Reduced) -> bool {
        let Some(Doubt { lacking, .. }) = &self.doubt else {
            return dominates(ensemble, &self.blocks, &self.image);
        };
        let most: Vec<f64> = self.image.iter().zip(lacking).map(|(x, lacking)| x + lacking).collect();
        dominates(ensemble, &self.blocks, &most)
    }

    /// What the subspace lacks: `1 - (1 - S) x`.
    pub(super) fn residual(&self, ensemble: &Reduced) -> Vec<f64> {
        let parts = self.blocks.iter().zip(&self.image).zip(identity_blocks(ensemble));
        parts.map(|((x, t), one)| one - x + t).collect()
    }
}

/// Whether the kernel is positive semidefinite, as the certificate needs: a theorem for a linear `D`, for others checked by Cholesky's
/// method, to rounding.
pub(super) fn is_positive(family: &dyn Family, p: f64, h: &[f64]) -> bool {
    if family.has_positive_kernel() {
        return true;
    }
    let mut kernel = Mat::<f64>::zeros(h.len(), h.len());
    let mut slopes = vec![0.0; h.len()];
    for column in 0..h.len() {
        let entries = kernel.col_as_slice_mut(column);
        family.fill(p, h, h[column], entries, &mut slopes);
        for (entry, x) in entries.iter_mut().zip(h) {
            *entry = h[column] * x / *entry;
        }
    }
    let shift = KERNEL_ROUNDING * (0..h.len()).map(|a| kernel[(a, a)]).fold(0.0, f64::max);
    for a in 0..h.len() {
        kernel[(a, a)] += shift;
    }
    Cholesky::of(kernel).is_some()
}
