//! The product itself: a few columns of a tile at a time, in registers over a chunk of columns of the factors, then added in `f64`.
//!
//! An outer product a column: `VECTORS` vectors of rows times `COLUMNS` single entries, each of the accumulators one fused
//! multiplication and addition. What is measured of it is in `data/bench/README.md`.

use std::ops::Range;

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::panel::Panel;
use super::{GRAM_CHUNK, GramEntry};
use crate::Mat;

/// The update of a tile of the Gram matrix by a range of columns of the factors: `G[rows, columns] += F[rows, range] F[columns, range]^T`.
pub(super) struct Update<'a, T: GramEntry> {
    pub(super) panel: &'a Panel<T>,
    /// Of the panel: within one chunk.
    pub(super) columns: Range<usize>,
    /// The first row and column of the tile in the Gram matrix, multiples of the strips.
    pub(super) corner: (usize, usize),
    /// Column-major; its rows fill up cache lines of the entries.
    pub(super) sum: &'a mut Mat<f64>,
}

impl<T: GramEntry> WithSimd for Update<'_, T> {
    type Output = ();

    /// Accumulators, a vector of each kind and one to spare must fit the registers: 24 of 32, or 12 of 16.
    #[expect(clippy::inline_always, reason = "target features do not cross a call that is not inlined")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 3, 8>(simd) } else { self.run::<S, 2, 6>(simd) }
    }
}

impl<T: GramEntry> Update<'_, T> {
    #[expect(clippy::inline_always, reason = "vectors of the machine end at a call")]
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const COLUMNS: usize>(self, simd: S) {
        let Self { panel, columns: Range { start, end }, corner: (top, left), sum } = self;
        assert!(end - start <= GRAM_CHUNK, "sums of a chunk are in the precision of the entries");
        let lanes = size_of::<T::SimdVec<S>>() / size_of::<T>();
        let num_rows = sum.nrows().min(panel.num_rows() - top);
        for j in (0..sum.ncols()).step_by(COLUMNS) {
            let right = Part { strip: panel.columns(left + j, start, end), at: (left + j) % T::STRIP };
            // On the diagonal what is above it, up to vectors, is left out.
            let mut i = if top == left { j / lanes * lanes } else { 0 };
            while i < num_rows {
                let part = Part { strip: panel.columns(top + i, start, end), at: (top + i) % T::STRIP };
                let num_vectors = (num_rows - i).min(T::STRIP - part.at).div_ceil(lanes);
                let place = (i, j);
                i += lanes
                    * match num_vectors.min(VECTORS) {
                        3 => multiply::<T, S, 3, COLUMNS>(simd, part, right, sum, place),
                        2 => multiply::<T, S, 2, COLUMNS>(simd, part, right, sum, place),
                        _ => multiply::<T, S, 1, COLUMNS>(simd, part, right, sum, place),
                    };
            }
        }
    }
}

/// Rows of a strip, from `at` on.
#[derive(Clone, Copy)]
struct Part<'a, T> {
    strip: &'a [T],
    at: usize,
}

/// Adds to rows and columns of the tile from `place` on; returns the number of vectors.
#[expect(clippy::inline_always, reason = "vectors of the machine end at a call")]
#[inline(always)]
fn multiply<T: GramEntry, S: Simd, const VECTORS: usize, const COLUMNS: usize>(
    simd: S,
    left: Part<'_, T>,
    right: Part<'_, T>,
    sum: &mut Mat<f64>,
    (row, column): (usize, usize),
) -> usize {
    let context = T::simd_ctx(simd);
    let zero = T::simd_splat(&context, &T::default());
    let height = VECTORS * size_of::<T::SimdVec<S>>() / size_of::<T>();
    assert!(left.at + height <= T::STRIP && right.at + COLUMNS <= T::STRIP, "within a strip");
    let mut products = [[zero; VECTORS]; COLUMNS];
    for (left_column, right_column) in
        left.strip.chunks_exact(T::STRIP).zip(right.strip.chunks_exact(T::STRIP))
    {
        let mut vectors = [zero; VECTORS];
        vectors.copy_from_slice(cast_slice(&left_column[left.at..left.at + height]));
        let entries = &right_column[right.at..right.at + COLUMNS];
        // Loops, no closures: the vectors of the machine end at a call.
        for (products, entry) in products.iter_mut().zip(entries) {
            let entry = T::simd_splat(&context, entry);
            for (product, &vector) in products.iter_mut().zip(&vectors) {
                *product = T::simd_mul_add(&context, vector, entry, *product);
            }
        }
    }
    for (at, products) in products.iter().enumerate() {
        if column + at < sum.ncols() {
            let sums = &mut sum.col_as_slice_mut(column + at)[row..row + height];
            for (sum, &term) in sums.iter_mut().zip(cast_slice::<_, T>(products)) {
                *sum += term.into();
            }
        }
    }
    VECTORS
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;

    /// Integers, so that every order of the sums is exact.
    fn entry(row: usize, column: usize) -> f32 {
        f32::from(u8::try_from((row * 31 + column * 17 + row * column) % 23).expect("small")) - 11.0
    }

    /// A tile on the diagonal and the one below it, whatever the vectors: the sum that defines them, or at least not another's.
    fn is_the_sum<S: Simd, T: GramEntry + From<f32>>(simd: S, num_rows: usize, width: usize) {
        let factors = Mat::from_fn(num_rows, width, |i, k| T::from(entry(i, k)));
        let mut panel = Panel::new(num_rows, width);
        panel.pack(factors.as_ref());
        let size = 3 * T::STRIP;
        for top in (0..num_rows).step_by(size) {
            let (height, breadth) = (size.min(num_rows - top), size.min(num_rows));
            let mut sum = Mat::zeros(height.next_multiple_of(T::LINE), breadth);
            simd.vectorize(Update { panel: &panel, columns: 1..width, corner: (top, 0), sum: &mut sum });
            for j in 0..breadth {
                for i in (if top == 0 { j } else { 0 })..height {
                    let expected: f32 = (1..width).map(|k| entry(top + i, k) * entry(j, k)).sum();
                    let error = (sum[(i, j)] - f64::from(expected)).abs();
                    assert!(error < 0.5, "({i}, {j}) under row {top} of {num_rows} x {width}");
                }
            }
        }
    }

    fn for_both_types<S: Simd>(simd: S) {
        for num_rows in [1, 7, 24, 25, 47, 48, 49, 71, 100, 150, 200] {
            for width in [2, 3, GRAM_CHUNK] {
                is_the_sum::<S, f32>(simd, num_rows, width);
                is_the_sum::<S, f64>(simd, num_rows, width);
            }
        }
    }

    #[test]
    fn single_numbers_will_do() {
        for_both_types(Scalar::new());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vectors_of_every_width_give_the_same() {
        use pulp::x86;
        if let Some(simd) = x86::V3::try_new() {
            for_both_types(simd);
        }
        if let Some(simd) = x86::V4::try_new() {
            for_both_types(simd);
        }
    }
}
