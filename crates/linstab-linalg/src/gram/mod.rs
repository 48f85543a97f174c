//! The Gram matrix `K = G G^T` of factors that arrive in blocks of columns: the one product in which the parameter dimension appears.
//!
//! `G` has a row for each factor and a column for each parameter; its blocks of columns `G_b` may be read one after the other,
//! `K = sum_b G_b G_b^T`, so that `G` need never be in memory. A panel of columns is copied in the order in which it is read
//! (`panel.rs`), then multiplied (`kernel.rs`). The lower triangle of `K` is cut into fixed tiles, and for few rows each tile once more
//! into fixed groups of columns; tiles run on the ambient rayon pool, sequential inside. The partition depends on the number of rows
//! alone, so the bits do not depend on the number of threads.

mod kernel;
mod panel;

use std::ops::Range;

use rayon::prelude::*;

use self::kernel::Update;
pub use self::kernel::Vectors;
use self::panel::{LINE, Panel};
use crate::ensemble::{require_len, require_samples};
use crate::{LinalgError, Mat, MatRef, Result};

/// Rows and columns of a tile, a multiple of the strips: a chunk of its rows is an eighth of a second-level cache, and there are enough
/// tiles for a few threads to end together.
const TILE: usize = 96;

/// Columns whose products are summed in registers before they are added to the sum in memory. The columns of the factors that the kernel
/// works on then take two thirds of a first-level cache; of fewer, the sums in memory would be felt.
pub const GRAM_CHUNK: usize = 320;

/// With fewer tiles than this the columns are shared out to groups, to keep a few threads busy.
const FEW_TILES: usize = 8;

/// Groups of columns where there are few tiles.
const NUM_GROUPS: usize = 4;

/// How much of `G` to hold at a time.
///
/// # Examples
/// ```
/// use linstab_linalg::GramPlan;
/// // 512 factors of four million parameters in single precision are 8 GB; 512 MiB will do.
/// let plan = GramPlan::new(512, 4_000_000, 4, 512 << 20)?;
/// assert!(plan.num_bytes <= 512 << 20 && plan.block_columns >= 10_000);
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GramPlan {
    /// Columns of a block: all there are, or a multiple of [`GRAM_CHUNK`].
    pub block_columns: usize,
    /// Memory for one block, the sums and the result.
    pub num_bytes: usize,
}

impl GramPlan {
    /// The widest blocks that fit, up to about 256 MiB: a file is read in pieces of a row of a block, and wider ones are no faster.
    ///
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`] without rows; [`LinalgError::MemoryLimit`] if the result and a single chunk of columns do
    /// not fit.
    /// # Examples
    /// ```
    /// use linstab_linalg::{GramPlan, LinalgError};
    /// let error = GramPlan::new(100_000, 1000, 8, 1 << 30).unwrap_err();
    /// assert!(matches!(error, LinalgError::MemoryLimit { needed, .. } if needed > 80_000_000_000));
    /// ```
    pub fn new(
        num_rows: usize,
        num_columns: usize,
        bytes_per_entry: usize,
        memory_limit: usize,
    ) -> Result<Self> {
        const WIDE: usize = 256 << 20;
        require_samples(num_rows)?;
        let fixed = fixed_bytes(num_rows);
        let column = num_rows.saturating_mul(bytes_per_entry.max(1));
        let least = column.saturating_mul(GRAM_CHUNK.min(num_columns.max(1)));
        let needed = fixed.saturating_add(least);
        if needed > memory_limit {
            return Err(LinalgError::MemoryLimit { what: "the Gram matrix", needed, limit: memory_limit });
        }
        let affordable = (memory_limit - fixed).min(WIDE.max(least)) / column;
        let block_columns =
            if affordable >= num_columns { num_columns } else { affordable / GRAM_CHUNK * GRAM_CHUNK };
        let block_columns = block_columns.max(GRAM_CHUNK.min(num_columns.max(1)));
        Ok(Self { block_columns, num_bytes: fixed + column * block_columns })
    }
}

/// The sums and the result, and what the products need.
fn fixed_bytes(num_rows: usize) -> usize {
    let entries = |rows: usize| rows.saturating_mul(rows);
    let result = entries(num_rows);
    let sums = num_tiles(num_rows).saturating_mul(num_groups(num_rows)).saturating_mul(entries(TILE));
    let panel = num_rows.saturating_mul(panel_columns(num_rows));
    (result.saturating_add(sums).saturating_add(panel)).saturating_mul(8).saturating_add(8 << 20)
}

fn num_tiles(num_rows: usize) -> usize {
    let strips = num_rows.div_ceil(TILE);
    strips.saturating_mul(strips + 1) / 2
}

fn num_groups(num_rows: usize) -> usize {
    if num_tiles(num_rows) < FEW_TILES { NUM_GROUPS } else { 1 }
}

/// Columns of a panel: a chunk for each group. With more, rows that one tile after the other needs would not stay in a second-level cache.
fn panel_columns(num_rows: usize) -> usize {
    num_groups(num_rows) * GRAM_CHUNK
}

/// A tile of the lower triangle, summed over one group of columns.
#[derive(Clone, Debug)]
struct Tile {
    row: usize,
    column: usize,
    group: usize,
    /// Its rows fill up cache lines.
    sum: Mat<f64>,
}

/// Sums `K = sum_b G_b G_b^T` over blocks of columns.
///
/// # Cost
/// `num_rows^2` multiplications and additions a column, half of which symmetry saves for many rows.
/// # Accuracy
/// Entry (i, j) is off by at most `gamma |g_i| |g_j|`, with [`GramAccumulator::relative_error`] for gamma: products of
/// [`GRAM_CHUNK`] columns are summed, then those sums.
/// The result is a function of the blocks' entries and widths; blocks of a multiple of [`GRAM_CHUNK`] columns each (the last one
/// aside) all give the same bits.
/// # Examples
/// ```
/// use linstab_linalg::{GramAccumulator, Mat};
/// // The rows (3, 4) and (1, 2), one column at a time.
/// let mut gram = GramAccumulator::new(2)?;
/// gram.add(Mat::<f64>::from_fn(2, 1, |i, _| [3.0, 1.0][i]).as_ref())?;
/// gram.add(Mat::<f64>::from_fn(2, 1, |i, _| [4.0, 2.0][i]).as_ref())?;
/// let matrix = gram.finish();
/// assert_eq!((matrix[(0, 0)], matrix[(0, 1)], matrix[(1, 0)], matrix[(1, 1)]), (25.0, 11.0, 11.0, 5.0));
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GramAccumulator {
    num_rows: usize,
    /// Kept from block to block: an allocator would not find its place again.
    panel: Panel,
    vectors: Vectors,
    /// Chunks of columns that were added: they go to the groups in turn.
    num_chunks: usize,
    tiles: Vec<Tile>,
}

impl GramAccumulator {
    /// The sum over no columns: zero.
    ///
    /// # Errors
    /// [`LinalgError::EmptyEnsemble`] without rows.
    /// # Examples
    /// ```
    /// use linstab_linalg::{GramAccumulator, LinalgError};
    /// assert_eq!(GramAccumulator::new(1)?.finish()[(0, 0)], 0.0);
    /// assert_eq!(GramAccumulator::new(0).unwrap_err(), LinalgError::EmptyEnsemble);
    /// # Ok::<(), LinalgError>(())
    /// ```
    pub fn new(num_rows: usize) -> Result<Self> {
        require_samples(num_rows)?;
        let strips = num_rows.div_ceil(TILE);
        let mut tiles = Vec::with_capacity(num_tiles(num_rows) * num_groups(num_rows));
        let size = |at: usize| TILE.min(num_rows - at * TILE);
        for group in 0..num_groups(num_rows) {
            for column in 0..strips {
                for row in column..strips {
                    tiles.push(Tile {
                        row,
                        column,
                        group,
                        sum: Mat::zeros(size(row).next_multiple_of(LINE), size(column)),
                    });
                }
            }
        }
        Ok(Self { num_rows, panel: Panel::new(num_rows, 0), vectors: Vectors::Widest, num_chunks: 0, tiles })
    }

    /// The same with other vectors.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{GramAccumulator, Mat, Vectors};
    /// let mut gram = GramAccumulator::new(1)?.with_vectors(Vectors::UpTo256Bits);
    /// gram.add(Mat::<f64>::full(1, 3, 2.0).as_ref())?;
    /// assert_eq!(gram.finish()[(0, 0)], 12.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    #[must_use]
    pub fn with_vectors(self, vectors: Vectors) -> Self {
        Self { vectors, ..self }
    }

    /// Adds a block of columns.
    ///
    /// # Shapes
    /// `block`: (num_rows, any). Column-major blocks and row-major ones are equally fast.
    /// # Errors
    /// [`LinalgError::ShapeMismatch`] for another number of rows.
    /// # Examples
    /// ```
    /// use linstab_linalg::{GramAccumulator, LinalgError, Mat};
    /// let error = GramAccumulator::new(2)?.add(Mat::<f64>::zeros(3, 1).as_ref()).unwrap_err();
    /// assert_eq!(error.to_string(), "number of rows of a block of factors is 3, expected 2");
    /// # Ok::<(), LinalgError>(())
    /// ```
    pub fn add(&mut self, block: MatRef<'_, f64>) -> Result<()> {
        require_len("number of rows of a block of factors", self.num_rows, block.nrows())?;
        let num_groups = num_groups(self.num_rows);
        let panel_columns = panel_columns(self.num_rows);
        let width = panel_columns.min(block.ncols());
        if width > self.panel.num_columns() {
            self.panel = Panel::new(self.num_rows, width);
        }
        for start in (0..block.ncols()).step_by(panel_columns) {
            let width = panel_columns.min(block.ncols() - start);
            self.panel.pack(block.subcols(start, width));
            let (panel, vectors) = (&self.panel, self.vectors);
            let first = self.num_chunks + start / GRAM_CHUNK;
            self.tiles.par_iter_mut().for_each(|tile| {
                for (at, left) in (0..width).step_by(GRAM_CHUNK).enumerate() {
                    if (first + at) % num_groups == tile.group {
                        tile.add((panel, vectors), left..width.min(left + GRAM_CHUNK));
                    }
                }
            });
        }
        self.num_chunks += block.ncols().div_ceil(GRAM_CHUNK);
        Ok(())
    }

    /// The Gram matrix, both triangles.
    ///
    /// # Examples
    /// ```
    /// use linstab_linalg::{GramAccumulator, Mat};
    /// let mut gram = GramAccumulator::new(1)?;
    /// gram.add(Mat::<f64>::full(1, 1000, 0.5).as_ref())?;
    /// assert_eq!(gram.finish()[(0, 0)], 250.0);
    /// # Ok::<(), linstab_linalg::LinalgError>(())
    /// ```
    pub fn finish(self) -> Mat<f64> {
        let mut gram = Mat::<f64>::zeros(self.num_rows, self.num_rows);
        for tile in &self.tiles {
            for j in 0..tile.sum.ncols() {
                let first = if tile.row == tile.column { j } else { 0 };
                let column = gram.col_as_slice_mut(tile.column * TILE + j);
                let sums = &mut column[tile.row * TILE..][first..];
                // The tile may have a few rows more than there are.
                for (sum, &term) in sums.iter_mut().zip(&tile.sum.col_as_slice(j)[first..]) {
                    *sum += term;
                }
            }
        }
        mirror(&mut gram);
        gram
    }

    /// The bound gamma on the error of entry (i, j) over `|g_i| |g_j|`.
    ///
    /// # Source
    /// Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1: `m u / (1 - m u)` for `m` terms, once for a chunk and
    /// once for the chunks.
    /// # Examples
    /// ```
    /// use linstab_linalg::GramAccumulator;
    /// assert!(GramAccumulator::relative_error(4_000_000) < 2e-12);
    /// ```
    pub fn relative_error(num_columns: usize) -> f64 {
        const UNIT_ROUNDOFF: f64 = 0.5 * f64::EPSILON;
        let gamma = |terms: usize| terms as f64 * UNIT_ROUNDOFF / (1.0 - terms as f64 * UNIT_ROUNDOFF);
        let chunks = num_columns.div_ceil(GRAM_CHUNK) + NUM_GROUPS;
        let (within, across) = (gamma(GRAM_CHUNK.min(num_columns)), gamma(chunks));
        within + across + within * across
    }
}

/// Copies the lower triangle into the upper one, in squares that fit the cache: one of the two is walked against its grain.
fn mirror(matrix: &mut Mat<f64>) {
    const SQUARE: usize = 32;
    let order = matrix.nrows();
    for left in (0..order).step_by(SQUARE) {
        for top in (left..order).step_by(SQUARE) {
            for j in left..order.min(left + SQUARE) {
                for i in top.max(j + 1)..order.min(top + SQUARE) {
                    matrix[(j, i)] = matrix[(i, j)];
                }
            }
        }
    }
}

impl Tile {
    fn add(&mut self, (panel, vectors): (&Panel, Vectors), columns: Range<usize>) {
        let corner = (self.row * TILE, self.column * TILE);
        vectors.run(Update { panel, columns, corner, sum: &mut self.sum });
    }
}

/// The Gram matrix of factors in memory.
///
/// # Cost, Accuracy
/// As [`GramAccumulator`].
/// # Errors
/// [`LinalgError::EmptyEnsemble`] without rows.
/// # Examples
/// ```
/// use linstab_linalg::{Mat, gram_matrix};
/// let gram = gram_matrix(Mat::<f64>::from_fn(2, 3, |i, j| (i + j) as f64).as_ref())?;
/// assert_eq!((gram[(0, 0)], gram[(0, 1)], gram[(1, 1)]), (5.0, 8.0, 14.0)); // of (0, 1, 2) and (1, 2, 3)
/// # Ok::<(), linstab_linalg::LinalgError>(())
/// ```
pub fn gram_matrix(factors: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let mut gram = GramAccumulator::new(factors.nrows())?;
    gram.add(factors)?;
    Ok(gram.finish())
}
