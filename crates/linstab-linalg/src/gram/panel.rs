//! A panel of factors as the kernel reads them: strips of a few rows one after the other, in a strip column after column.

use rayon::prelude::*;

use crate::{Mat, MatRef};

/// Entries in a cache line of 64 bytes: no vector has more of them.
pub(super) const LINE: usize = 8;

/// Rows of a strip.
pub(super) const STRIP: usize = 3 * LINE;

/// Rows and columns that are transposed at a time. Compiled for any machine: four entries are its vector, and larger squares, as
/// gathers and scatters for wider vectors, take longer than the memory.
const SQUARE: usize = 4;

/// Consecutive columns of all factors.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// A strip in each column: aligned to cache lines, which unaligned vectors would straddle.
    strips: Mat<f64>,
    num_rows: usize,
}

impl Panel {
    /// Room for so many columns.
    pub(super) fn new(num_rows: usize, num_columns: usize) -> Self {
        Self { strips: Mat::zeros(num_columns * STRIP, num_rows.div_ceil(STRIP)), num_rows }
    }

    pub(super) fn num_rows(&self) -> usize {
        self.num_rows
    }

    pub(super) fn num_columns(&self) -> usize {
        self.strips.nrows() / STRIP
    }

    /// Copies `block`, (num_rows, at most num_columns).
    pub(super) fn pack(&mut self, block: MatRef<'_, f64>) {
        self.strips.par_col_iter_mut().enumerate().for_each(|(at, strip)| {
            let strip = strip.try_as_col_major_mut().expect("columns are contiguous").as_slice_mut();
            let last = block.nrows().min((at + 1) * STRIP);
            for (place, first) in (at * STRIP..last).step_by(SQUARE).enumerate() {
                let rows = block.subrows(first, SQUARE.min(last - first));
                pack_rows(rows, strip, place * SQUARE);
            }
        });
    }

    /// The strip that `row` is in: its columns from `first` to `last`, `STRIP` entries each.
    pub(super) fn columns(&self, row: usize, first: usize, last: usize) -> &[f64] {
        &self.strips.col_as_slice(row / STRIP)[first * STRIP..last * STRIP]
    }
}

/// Up to `SQUARE` rows to their places from `at` on in the columns of a strip.
fn pack_rows(rows: MatRef<'_, f64>, strip: &mut [f64], at: usize) {
    if let Some(rows) = rows.transpose().try_as_col_major() {
        // A row that completes the square goes to places which nobody reads.
        let row = |r: usize| rows.col(r.min(rows.ncols() - 1)).as_slice();
        transpose([row(0), row(1), row(2), row(3)], strip, at);
    } else {
        for (k, column) in (0..rows.ncols()).zip(strip.chunks_exact_mut(STRIP)) {
            column[at..].iter_mut().zip(rows.col(k).iter()).for_each(|(to, from)| *to = *from);
        }
    }
}

fn transpose(rows: [&[f64]; SQUARE], strip: &mut [f64], at: usize) {
    // Known here, so that nothing is left to check below.
    assert!(at + SQUARE <= STRIP, "within a strip");
    let [a, b, c, d] = rows.map(<[f64]>::as_chunks::<SQUARE>);
    let (squares, rest) = strip.split_at_mut(a.0.len() * SQUARE * STRIP);
    let squares = squares.chunks_exact_mut(SQUARE * STRIP);
    for ((((square, a), b), c), d) in squares.zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
        for k in 0..SQUARE {
            square[k * STRIP + at..][..SQUARE].copy_from_slice(&[a[k], b[k], c[k], d[k]]);
        }
    }
    let rows = [a.1, b.1, c.1, d.1];
    for (k, column) in rest.chunks_exact_mut(STRIP).enumerate().take(a.1.len()) {
        column[at..][..SQUARE].copy_from_slice(&rows.map(|row| row[k]));
    }
}
