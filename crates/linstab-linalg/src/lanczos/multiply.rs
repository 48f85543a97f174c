//! A matrix times a vector.

use rayon::prelude::*;

use super::column;
use crate::Mat;

/// `output = matrix input`. Large matrices run on the ambient rayon pool, with the same bits for any number of threads.
///
/// # Examples
/// ```
/// use linstab_linalg::{Mat, lanczos};
/// let mut image = [0.0; 2];
/// lanczos::multiply(&Mat::from_fn(2, 2, |i, j| (i + j) as f64), &[1.0, 10.0], &mut image);
/// assert_eq!(image, [10.0, 21.0]);
/// ```
pub fn multiply(matrix: &Mat<f64>, input: &[f64], output: &mut [f64]) {
    // An entry of the result sums the columns in turn, wherever its chunk of rows is worked on.
    const ROWS: usize = 256;
    let rows = |(chunk, output): (usize, &mut [f64])| {
        output.fill(0.0);
        for (at, x) in input.iter().enumerate() {
            for (output, entry) in output.iter_mut().zip(&column(matrix, at)[chunk * ROWS..]) {
                *output += x * entry;
            }
        }
    };
    if output.len() > 2 * ROWS {
        output.par_chunks_mut(ROWS).enumerate().for_each(rows);
    } else {
        output.chunks_mut(ROWS).enumerate().for_each(rows);
    }
}
