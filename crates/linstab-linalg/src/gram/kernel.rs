//! The product itself: a few columns of a tile at a time, in registers over a chunk of columns of the factors, then added to the tile.
//!
//! An outer product a column: `VECTORS` vectors of rows times `COLUMNS` single entries, each of the accumulators one fused
//! multiplication and addition. What is measured of it is in `data/bench/README.md`.

use std::ops::Range;

use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};

use super::GRAM_CHUNK;
use super::panel::{Panel, STRIP};
use crate::Mat;

/// The vectors in which a Gram matrix is computed.
///
/// A wider vector sums the same products in the same order, entry by entry: the bits are those of any other with fused multiplication and
/// addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vectors {
    /// The widest that the machine has.
    #[default]
    Widest,
    /// 256 bits at most (AVX2 and FMA) on a machine with wider ones: to measure and to test what other machines do.
    UpTo256Bits,
}

impl Vectors {
    pub(super) fn run(self, update: Update<'_>) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::UpTo256Bits
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            return Simd::vectorize(simd, update);
        }
        Arch::new().dispatch(update);
    }
}

/// The update of a tile of the Gram matrix by a range of columns of the factors: `G[rows, columns] += F[rows, range] F[columns, range]^T`.
pub(super) struct Update<'a> {
    pub(super) panel: &'a Panel,
    /// Of the panel: within one chunk.
    pub(super) columns: Range<usize>,
    /// The first row and column of the tile in the Gram matrix, multiples of the strips.
    pub(super) corner: (usize, usize),
    /// Column-major; its rows fill up cache lines.
    pub(super) sum: &'a mut Mat<f64>,
}

impl WithSimd for Update<'_> {
    type Output = ();

    /// Accumulators, a vector of each kind and one to spare must fit the registers: 24 of 32, or 12 of 16.
    #[expect(clippy::inline_always, reason = "target features do not cross a call that is not inlined")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 3, 8>(simd) } else { self.run::<S, 2, 6>(simd) }
    }
}

impl Update<'_> {
    #[expect(clippy::inline_always, reason = "vectors of the machine end at a call")]
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const COLUMNS: usize>(self, simd: S) {
        let Self { panel, columns: Range { start, end }, corner: (top, left), sum } = self;
        assert!(end - start <= GRAM_CHUNK, "what is summed in registers is a chunk at most");
        let num_rows = sum.nrows().min(panel.num_rows() - top);
        for j in (0..sum.ncols()).step_by(COLUMNS) {
            let right = Part { strip: panel.columns(left + j, start, end), at: (left + j) % STRIP };
            // On the diagonal what is above it, up to vectors, is left out.
            let mut i = if top == left { j / S::F64_LANES * S::F64_LANES } else { 0 };
            while i < num_rows {
                let part = Part { strip: panel.columns(top + i, start, end), at: (top + i) % STRIP };
                let num_vectors = (num_rows - i).min(STRIP - part.at).div_ceil(S::F64_LANES);
                let place = (i, j);
                i += S::F64_LANES
                    * match num_vectors.min(VECTORS) {
                        3 => multiply::<S, 3, COLUMNS>(simd, part, right, sum, place),
                        2 => multiply::<S, 2, COLUMNS>(simd, part, right, sum, place),
                        _ => multiply::<S, 1, COLUMNS>(simd, part, right, sum, place),
                    };
            }
        }
    }
}

/// Rows of a strip, from `at` on.
#[derive(Clone, Copy)]
struct Part<'a> {
    strip: &'a [f64],
    at: usize,
}

/// Adds to rows and columns of the tile from `place` on; returns the number of vectors.
#[expect(clippy::inline_always, reason = "vectors of the machine end at a call")]
#[inline(always)]
fn multiply<S: Simd, const VECTORS: usize, const COLUMNS: usize>(
    simd: S,
    left: Part<'_>,
    right: Part<'_>,
    sum: &mut Mat<f64>,
    (row, column): (usize, usize),
) -> usize {
    let zero = simd.splat_f64s(0.0);
    let height = VECTORS * S::F64_LANES;
    assert!(left.at + height <= STRIP && right.at + COLUMNS <= STRIP, "within a strip");
    let mut products = [[zero; VECTORS]; COLUMNS];
    for (left_column, right_column) in left.strip.chunks_exact(STRIP).zip(right.strip.chunks_exact(STRIP)) {
        let mut vectors = [zero; VECTORS];
        vectors.copy_from_slice(cast_slice(&left_column[left.at..left.at + height]));
        let entries = &right_column[right.at..right.at + COLUMNS];
        // Loops, no closures: the vectors of the machine end at a call.
        for (products, &entry) in products.iter_mut().zip(entries) {
            let entry = simd.splat_f64s(entry);
            for (product, &vector) in products.iter_mut().zip(&vectors) {
                *product = simd.mul_add_f64s(vector, entry, *product);
            }
        }
    }
    for (at, products) in products.iter().enumerate() {
        if column + at < sum.ncols() {
            let sums = &mut sum.col_as_slice_mut(column + at)[row..row + height];
            for (sum, &term) in sums.iter_mut().zip(cast_slice::<_, f64>(products)) {
                *sum += term;
            }
        }
    }
    VECTORS
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::super::panel::LINE;
    use super::*;

    /// Integers, so that every order of the sums is exact.
    fn entry(row: usize, column: usize) -> f64 {
        f64::from(u8::try_from((row * 31 + column * 17 + row * column) % 23).expect("small")) - 11.0
    }

    /// A tile on the diagonal and the one below it, whatever the vectors: the sum that defines them, or at least not another's.
    fn is_the_sum<S: Simd>(simd: S, num_rows: usize, width: usize) {
        let factors = Mat::from_fn(num_rows, width, entry);
        let mut panel = Panel::new(num_rows, width);
        panel.pack(factors.as_ref());
        let size = 3 * STRIP;
        for top in (0..num_rows).step_by(size) {
            let (height, breadth) = (size.min(num_rows - top), size.min(num_rows));
            let mut sum = Mat::zeros(height.next_multiple_of(LINE), breadth);
            simd.vectorize(Update { panel: &panel, columns: 1..width, corner: (top, 0), sum: &mut sum });
            for j in 0..breadth {
                for i in (if top == 0 { j } else { 0 })..height {
                    let expected: f64 = (1..width).map(|k| entry(top + i, k) * entry(j, k)).sum();
                    let error = (sum[(i, j)] - expected).abs();
                    assert!(error < 0.5, "({i}, {j}) under row {top} of {num_rows} x {width}");
                }
            }
        }
    }

    fn for_many_sizes<S: Simd>(simd: S) {
        for num_rows in [1, 7, 24, 25, 47, 48, 49, 71, 100, 150, 200] {
            for width in [2, 3, GRAM_CHUNK] {
                is_the_sum(simd, num_rows, width);
            }
        }
    }

    #[test]
    fn single_numbers_will_do() {
        for_many_sizes(Scalar::new());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vectors_of_every_width_give_the_same() {
        use pulp::x86;
        if let Some(simd) = x86::V3::try_new() {
            for_many_sizes(simd);
        }
        if let Some(simd) = x86::V4::try_new() {
            for_many_sizes(simd);
        }
    }
}
