//! Vectors of sample space: a symmetric block of k x k a sample, packed.

use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{Mat, Reduced, packed, spread};

use super::columns::packed_entries;

/// An identity a sample, packed.
pub(super) fn identity_blocks(ensemble: &Reduced) -> Vec<f64> {
    let one = packed::from_fn(ensemble.num_factors(), |row, column| f64::from(u8::from(row == column)));
    one.repeat(ensemble.num_samples())
}

/// Row-major blocks as packed ones, an isometry.
pub(super) fn pack_blocks(ensemble: &Reduced, blocks: &[f64]) -> Vec<f64> {
    let k = ensemble.num_factors();
    blocks
        .chunks_exact(k * k)
        .flat_map(|block| packed::from_fn(k, |row, column| block[row * k + column]))
        .collect()
}

/// The first columns of the packed `sum_i V_i^T s_i V_i` of packed blocks.
pub(super) fn spread_blocks(ensemble: &Reduced, blocks: &[f64], num_columns: usize) -> Vec<f64> {
    let mut output = vec![0.0; packed_entries(ensemble.rank(), &(0..num_columns)).len()];
    spread(ensemble, &unpack_blocks(ensemble, blocks), &mut output);
    output
}

pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Packed blocks as row-major ones.
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

/// Whether every block of `s` is positive definite and every block of `t` below it (Loewner).
pub(super) fn dominates(ensemble: &Reduced, s: &[f64], t: &[f64]) -> bool {
    let (k, len) = (ensemble.num_factors(), packed::packed_len(ensemble.num_factors()));
    if k == 1 {
        return s.iter().zip(t).all(|(s, t)| *s > 0.0 && t <= s);
    }
    s.chunks_exact(len).zip(t.chunks_exact(len)).all(|(s, t)| {
        let left: Vec<f64> = s.iter().zip(t).map(|(s, t)| s - t).collect();
        Cholesky::of(packed::unpack(s, k)).is_some() && Cholesky::of(packed::unpack(&left, k)).is_some()
    })
}
