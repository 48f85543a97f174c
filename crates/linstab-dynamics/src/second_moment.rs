//! The second moment of a batch curvature, for any ensemble.

use linstab_linalg::{Ensemble, Mat, MatRef};

use crate::{BatchSampling, DynamicsError, Result};

/// `E[H_t X H_t]` over random batches: `a H X H + (b/n) sum_i H_i X H_i` with the scheme's two
/// [moment weights](BatchSampling::moment_weights) `a`, `b`.
///
/// # Shapes
/// `x` and the result: (dim, dim).
/// # Errors
/// [`DynamicsError::SizeMismatch`] if the ensemble and the sampling differ in the number of samples, or `x` in size.
/// # Examples
/// ```
/// use linstab_dynamics::{BatchSampling, SamplingScheme, second_moment::batch_second_moment};
/// use linstab_linalg::{AxisAligned, Mat};
/// // Scalar curvatures 1 and 3, batches of one: E h_t^2 = (1 + 9) / 2.
/// let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![3.0]])?;
/// let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1)?;
/// let moment = batch_second_moment(&ensemble, sampling, Mat::identity(1, 1).as_ref())?;
/// assert_eq!(moment[(0, 0)], 5.0);
/// # Ok::<(), linstab_dynamics::DynamicsError>(())
/// ```
/// # Source
/// arXiv 2511.17378, eq. (33) for Bernoulli sampling; Mulayoff and Michaeli 2024 for fixed-size batches.
pub fn batch_second_moment(
    ensemble: &dyn Ensemble,
    sampling: BatchSampling,
    x: MatRef<'_, f64>,
) -> Result<Mat<f64>> {
    require_same_samples(ensemble, sampling)?;
    for (what, found) in [("number of rows of X", x.nrows()), ("number of columns of X", x.ncols())] {
        if found != ensemble.dim() {
            return Err(DynamicsError::SizeMismatch { what, expected: ensemble.dim(), found });
        }
    }
    let weights = sampling.moment_weights();
    let mean = ensemble.mean_hessian();
    let per_sample = weights.per_sample / ensemble.num_samples() as f64;
    let mut moment = ensemble.sum_of_sandwiches(x);
    let full_batch = &mean * x * &mean;
    for column in 0..ensemble.dim() {
        for row in 0..ensemble.dim() {
            moment[(row, column)] =
                weights.full_batch * full_batch[(row, column)] + per_sample * moment[(row, column)];
        }
    }
    Ok(moment)
}

pub(crate) fn require_same_samples(ensemble: &dyn Ensemble, sampling: BatchSampling) -> Result<()> {
    require_same_number(ensemble.num_samples(), sampling)
}

pub(crate) fn require_same_number(expected: usize, sampling: BatchSampling) -> Result<()> {
    let found = sampling.num_samples();
    if expected == found {
        return Ok(());
    }
    Err(DynamicsError::SizeMismatch { what: "number of samples of the sampling scheme", expected, found })
}
