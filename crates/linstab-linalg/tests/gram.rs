//! The streamed Gram matrix against the sum that defines it.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_linalg::{GRAM_CHUNK, GramAccumulator, GramPlan, LinalgError, Mat, MatRef, Vectors, gram_matrix};
use proptest::prelude::*;

/// Entries without structure, of different size from row to row.
fn entry(seed: u64, row: usize, column: usize) -> f64 {
    let mut word = seed ^ (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((column as u64) << 20);
    word = (word ^ (word >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let uniform = f64::from(u16::try_from(word >> 48).unwrap()) / 65536.0 - 0.5;
    uniform * [1.0, 0.125, 32.0][row % 3]
}

/// The slow, obvious twin: `K_ij = sum_p G_ip G_jp`, one after the other in `f64`.
fn naive(factors: MatRef<'_, f64>) -> Mat<f64> {
    let product =
        |i: usize, j: usize| (0..factors.ncols()).map(|p| factors[(i, p)] * factors[(j, p)]).sum::<f64>();
    Mat::from_fn(factors.nrows(), factors.nrows(), product)
}

/// Largest error over `|g_i| |g_j|`.
fn relative_error(found: &Mat<f64>, expected: &Mat<f64>) -> f64 {
    let mut worst: f64 = 0.0;
    for j in 0..expected.ncols() {
        for i in 0..expected.nrows() {
            let size = (expected[(i, i)] * expected[(j, j)]).sqrt();
            let error = (found[(i, j)] - expected[(i, j)]).abs();
            worst = if size > 0.0 { worst.max(error / size) } else { worst.max(error) };
        }
    }
    worst
}

fn in_blocks(factors: MatRef<'_, f64>, width: usize) -> Mat<f64> {
    let mut gram = GramAccumulator::new(factors.nrows()).unwrap();
    for start in (0..factors.ncols()).step_by(width) {
        gram.add(factors.subcols(start, width.min(factors.ncols() - start))).unwrap();
    }
    gram.finish()
}

proptest! {
    /// Within the stated error, whatever the blocks; and a lost column, or one counted twice, is noticed.
    #[test]
    fn the_product_is_the_sum(seed: u64, rows in 1_usize..20, columns in 1_usize..1400, width in 1_usize..1500) {
        let factors = Mat::from_fn(rows, columns, |i, j| entry(seed, i, j));
        let expected = naive(factors.as_ref());
        // The twin itself rounds once a column.
        let gamma = GramAccumulator::relative_error(columns) + columns as f64 * f64::EPSILON;
        let error = relative_error(&in_blocks(factors.as_ref(), width), &expected);
        prop_assert!(error <= gamma, "{error}, stated {gamma}");
        // Negative control: without the last column.
        let last: f64 = (0..rows).map(|i| factors[(i, columns - 1)].abs()).fold(0.0, f64::max);
        let short = gram_matrix(factors.as_ref().subcols(0, columns - 1)).unwrap();
        prop_assert!(last < 1e-3 || relative_error(&short, &expected) > gamma);
    }
}

#[test]
fn tiles_and_groups_meet_at_their_borders() {
    for (rows, columns) in [
        (15, 257),
        (47, 300),
        (49, 1025),
        (191, 600),
        (192, 256),
        (193, 1300),
        (260, 1100),
        (700, 530),
        (1030, 300),
    ] {
        let factors = Mat::from_fn(rows, columns, |i, j| entry(9, i, j));
        let error = relative_error(&gram_matrix(factors.as_ref()).unwrap(), &naive(factors.as_ref()));
        assert!(error <= 1e-12, "{rows} x {columns}: {error}");
    }
}

/// Bits depend neither on the number of threads nor, for whole chunks, on the blocks, nor on the memory order, nor on the vectors.
#[test]
fn the_bits_are_a_function_of_the_entries() {
    let factors = Mat::from_fn(300, 5 * GRAM_CHUNK + 77, |i, j| entry(3, i, j));
    let expected = gram_matrix(factors.as_ref()).unwrap();
    let transposed = factors.transpose().to_owned();
    for num_threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| {
            assert_eq!(gram_matrix(factors.as_ref()).unwrap(), expected, "{num_threads} threads");
            assert_eq!(in_blocks(factors.as_ref(), 2 * GRAM_CHUNK), expected, "in blocks");
            let row_major = gram_matrix(transposed.as_ref().transpose()).unwrap();
            assert_eq!(row_major, expected, "row-major");
            let mut narrow = GramAccumulator::new(300).unwrap().with_vectors(Vectors::UpTo256Bits);
            narrow.add(factors.as_ref()).unwrap();
            assert_eq!(narrow.finish(), expected, "in 256 bits");
        });
    }
}

#[test]
fn plans_keep_their_limit() {
    for rows in [1, 100, 512, 2000] {
        for columns in [1, 1000, 4_000_000] {
            for limit in [40 << 20, 512 << 20, 1 << 40] {
                match GramPlan::new(rows, columns, 8, limit) {
                    Ok(plan) => {
                        assert!(plan.num_bytes <= limit, "{plan:?} for {limit}");
                        let whole = plan.block_columns == columns || plan.block_columns % GRAM_CHUNK == 0;
                        assert!(whole && plan.block_columns <= columns.max(1), "{plan:?} for {columns}");
                    }
                    Err(LinalgError::MemoryLimit { needed, .. }) => assert!(needed > limit),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    assert_eq!(GramPlan::new(0, 1, 8, 1 << 30).unwrap_err(), LinalgError::EmptyEnsemble);
    assert!(GramPlan::new(usize::MAX, usize::MAX, 8, usize::MAX - 1).is_err(), "no overflow");
    let mut gram = GramAccumulator::new(3).unwrap();
    assert!(gram.add(Mat::<f64>::zeros(2, 5).as_ref()).is_err(), "two rows for three");
}
