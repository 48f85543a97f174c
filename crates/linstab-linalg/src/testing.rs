//! Random ensembles for property tests, here and in the crates above.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::{AxisAligned, Factored, MatRef};

/// Order from which on faer's unsymmetric solver switches to aggressive early deflation (its `blocking_threshold`).
const DEFLATING_ORDER: usize = 75;

/// Largest modulus of the eigenvalues of any square matrix, by the dense unsymmetric solver.
///
/// # Panics
/// If the matrix is not square, the solver does not converge, or the order is 75 or more: from there on faer 0.24.4 deflates
/// aggressively, and its ordering of the deflated eigenvalues need not end.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, testing::spectral_radius};
/// // Twice a quarter turn: eigenvalues 2i and -2i.
/// let turn = Mat::from_fn(2, 2, |i, j| 2.0 * (i as f64 - j as f64));
/// assert!((spectral_radius(turn.as_ref()) - 2.0).abs() < 1e-14);
/// ```
pub fn spectral_radius(matrix: MatRef<'_, f64>) -> f64 {
    assert!(matrix.nrows() < DEFLATING_ORDER, "an unsymmetric matrix of order {}", matrix.nrows());
    let eigenvalues = matrix.eigenvalues().expect("the unsymmetric eigenvalue iteration converges");
    eigenvalues.iter().map(|z| z.re.hypot(z.im)).fold(0.0, f64::max)
}

/// A random factored ensemble: every factor has independent entries, uniform on `[-1, 1)`, times a random scale per
/// sample, so that curvatures differ by orders of magnitude.
///
/// # Panics
/// If a size is 0.
/// # Examples
/// ```
/// use linstab_linalg::{Ensemble, testing::random_factored};
/// let ensemble = random_factored(1, 4, 2, 3);
/// assert_eq!((ensemble.num_samples(), ensemble.num_factors(), ensemble.dim()), (4, 2, 3));
/// assert_eq!(ensemble, random_factored(1, 4, 2, 3), "a function of its arguments");
/// ```
pub fn random_factored(seed: u64, num_samples: usize, num_factors: usize, dim: usize) -> Factored {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(num_samples * num_factors * dim);
    for _ in 0..num_samples {
        let scale = 10.0_f64.powf(rng.random_range(-1.0..1.0));
        rows.extend((0..num_factors * dim).map(|_| scale * rng.random_range(-1.0..1.0)));
    }
    Factored::new(num_samples, num_factors, dim, rows).expect("finite factors of the right number")
}

/// A random axis-aligned ensemble in which about a third of the entries are zero.
///
/// # Panics
/// If `num_samples` is 0.
/// # Examples
/// ```
/// use linstab_linalg::{Ensemble, testing::random_axis_aligned};
/// let ensemble = random_axis_aligned(1, 4, 3);
/// assert_eq!((ensemble.num_samples(), ensemble.dim()), (4, 3));
/// assert!(ensemble.axes().flat_map(|axis| axis.curvatures()).all(|&h| (0.1..3.0).contains(&h)));
/// ```
pub fn random_axis_aligned(seed: u64, num_samples: usize, dim: usize) -> AxisAligned {
    let mut rng = Pcg64::seed_from_u64(seed);
    let diagonals: Vec<Vec<f64>> = (0..num_samples)
        .map(|_| {
            (0..dim).map(|_| if rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.1..3.0) }).collect()
        })
        .collect();
    AxisAligned::from_diagonals(&diagonals).expect("finite nonnegative entries")
}
