//! The operator of the threshold in sample space, `S(lambda)` of [`sample_space`](super::sample_space): by its action or as a matrix,
//! and its top eigenpair. Its unknowns are symmetric blocks, one a sample, packed.

use linstab_linalg::lanczos::{self, Explicit, LanczosOptions, SymmetricOperator, TopEigenpair};
use linstab_linalg::{Mat, Reduced, inner_products, packed, spread, symmetric};

use super::perron;
use crate::Result;

/// Vectors are short here, so restarts would be false economy.
const BASIS_SIZE: usize = 40;

/// An eigenvector wanted to this residual or better is made certain of, where the matrix is at hand.
pub(super) const CERTAIN_RESIDUAL: f64 = 1e-10;

/// The operator, as it is cheapest.
pub(super) enum Form<'a> {
    /// As a matrix.
    Explicit(Explicit),
    /// By its action.
    Implicit(SampleOperator<'a>),
}

impl Form<'_> {
    /// What it does.
    pub(super) fn operator(&mut self) -> &mut dyn SymmetricOperator {
        match self {
            Self::Explicit(matrix) => matrix,
            Self::Implicit(operator) => operator,
        }
    }

    /// The top eigenpair. A final one of a matrix is checked and refined by inverse iteration, which no near-degeneracy misleads.
    pub(super) fn top_eigenpair(
        &mut self,
        start: &[f64],
        identity: &[f64],
        residual_rtol: f64,
    ) -> Result<TopEigenpair> {
        let value_rtol = residual_rtol * residual_rtol;
        let check_every = if matches!(self, Self::Explicit(_)) { 4 } else { 1 };
        let operator = self.operator();
        // Long vectors are kept few: so many numbers are a tenth of a gigabyte.
        let basis_size = (16_000_000 / operator.dim().max(1)).clamp(8, BASIS_SIZE);
        let options = LanczosOptions {
            residual_rtol,
            value_rtol,
            basis_size,
            check_every,
            ..LanczosOptions::default()
        };
        let top = lanczos::top_eigenpair(operator, start, options)?;
        if let Self::Explicit(Explicit(matrix)) = self
            && residual_rtol <= CERTAIN_RESIDUAL
        {
            let refined = perron::top_eigenpair(matrix, identity, &top.vector)?;
            return Ok(TopEigenpair {
                num_applications: top.num_applications + refined.num_applications,
                ..refined
            });
        }
        Ok(top)
    }
}

/// The matrix of an operator, from its images of the unit vectors.
pub(super) fn column_by_column(operator: &mut dyn SymmetricOperator) -> Mat<f64> {
    let dim = operator.dim();
    let (mut matrix, mut unit, mut image) = (Mat::zeros(dim, dim), vec![0.0; dim], vec![0.0; dim]);
    for column in 0..dim {
        unit[column] = 1.0;
        operator.apply(&unit, &mut image);
        unit[column] = 0.0;
        for (row, entry) in image.iter().enumerate() {
            matrix[(row, column)] = *entry;
        }
    }
    matrix
}

/// `S(lambda)` by its action on packed blocks.
pub(super) struct SampleOperator<'a> {
    ensemble: &'a Reduced,
    /// `K` in the units of the ensemble.
    kernel: Vec<f64>,
    /// Factor of the result.
    scale: f64,
    /// `K o sum_i V_i^T s_i V_i` of the last application.
    pub(super) moment: Vec<f64>,
}

impl<'a> SampleOperator<'a> {
    /// `scale (V_i [ kernel o sum_j V_j^T s_j V_j ] V_i^T)_i`.
    pub(super) fn new(ensemble: &'a Reduced, kernel: Vec<f64>, scale: f64) -> Self {
        let moment = vec![0.0; kernel.len()];
        Self { ensemble, kernel, scale, moment }
    }

    /// Makes the moment that of `input`.
    pub(super) fn spread_kernel(&mut self, input: &[f64]) {
        spread(self.ensemble, &unpack_blocks(self.ensemble, input), &mut self.moment);
        for (x, k) in self.moment.iter_mut().zip(&self.kernel) {
            *x *= k;
        }
    }
}

impl SymmetricOperator for SampleOperator<'_> {
    fn dim(&self) -> usize {
        self.ensemble.num_samples() * packed::packed_len(self.ensemble.num_factors())
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) {
        self.spread_kernel(input);
        let inner = inner_products(self.ensemble, &self.moment);
        for (output, x) in output.iter_mut().zip(pack_blocks(self.ensemble, &inner)) {
            *output = self.scale * x;
        }
    }
}

/// Largest generalised eigenvalue of `t_i` against `s_i` over the samples; `None` if an `s_i` is not positive definite.
pub(super) fn block_ratio(ensemble: &Reduced, t: &[f64], s: &[f64]) -> Option<f64> {
    let (k, len) = (ensemble.num_factors(), packed::packed_len(ensemble.num_factors()));
    let mut largest = 0.0_f64;
    if k == 1 {
        // A sample without curvature has t = 0, whatever its s.
        let ratios = t.iter().zip(s).map(|(t, s)| if *s > 0.0 { Some(t / s) } else { None });
        return ratios.collect::<Option<Vec<f64>>>().map(|ratios| ratios.into_iter().fold(0.0, f64::max));
    }
    for (t, s) in t.chunks_exact(len).zip(s.chunks_exact(len)) {
        let whitened = symmetric::whiten(packed::unpack(t, k), packed::unpack(s, k))?;
        largest = largest.max(symmetric::top_eigenvalue(whitened.as_ref()).ok()?);
    }
    Some(largest)
}

/// An identity a sample, packed.
pub(super) fn identity_blocks(ensemble: &Reduced) -> Vec<f64> {
    let one = packed::from_fn(ensemble.num_factors(), |row, column| f64::from(u8::from(row == column)));
    one.repeat(ensemble.num_samples())
}

/// Row-major blocks as packed ones, an isometry.
fn pack_blocks(ensemble: &Reduced, blocks: &[f64]) -> Vec<f64> {
    let k = ensemble.num_factors();
    blocks
        .chunks_exact(k * k)
        .flat_map(|block| packed::from_fn(k, |row, column| block[row * k + column]))
        .collect()
}

fn unpack_blocks(ensemble: &Reduced, packed_blocks: &[f64]) -> Vec<f64> {
    let k = ensemble.num_factors();
    if k == 1 {
        return packed_blocks.to_vec();
    }
    let unpack = |block: &[f64]| -> Vec<f64> {
        let matrix: Mat<f64> = packed::unpack(block, k);
        (0..k * k).map(|at| matrix[(at / k, at % k)]).collect()
    };
    packed_blocks.chunks_exact(packed::packed_len(k)).flat_map(unpack).collect()
}
