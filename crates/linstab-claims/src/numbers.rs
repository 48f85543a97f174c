//! Numbers that the checks share.

use num_bigint::BigInt;
use num_rational::BigRational;
use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::rational::integer;

/// Relative rounding that a slack may lack to 1.
pub(super) const ROUNDING: f64 = 1e-9;

/// A standard normal number, by Box and Muller.
pub(super) fn normal(rng: &mut Pcg64) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A binomial coefficient; 0 outside of the triangle.
pub(super) fn binomial(n: u32, k: u32) -> BigRational {
    if k > n {
        return integer(0);
    }
    (0..k).fold(integer(1), |c, i| {
        c * BigRational::from(BigInt::from(n - i)) / BigRational::from(BigInt::from(i + 1))
    })
}
