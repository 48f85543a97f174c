//! The Gram matrix of factors, and the largest eigenvalue of a coherence matrix.

use std::hint::black_box;

use linstab_coherence::top_coherence;
use linstab_linalg::lanczos::LanczosOptions;
use linstab_linalg::{Mat, MatRef, gram_matrix};

use crate::harness::{Suite, seconds};
use crate::peer::Peer;

pub(crate) fn register(suite: &mut Suite) {
    for (name, rows, columns, num_threads) in [
        ("gram/256x1000000/f64/1-thread", 256, 1_000_000, 1),
        ("gram/256x1000000/f64/2-threads", 256, 1_000_000, 2),
        ("gram/1000x100000/f64/1-thread", 1000, 100_000, 1),
        ("gram/1000x100000/f64/2-threads", 1000, 100_000, 2),
        ("gram/2000x10000/f64/1-thread", 2000, 10_000, 1),
        ("gram/2000x10000/f64/2-threads", 2000, 10_000, 2),
    ] {
        let factors = std::cell::OnceCell::new();
        // In GF/s, a multiplication and an addition for two flops, of which symmetry saves half.
        let rate = |time: f64| (rows * rows) as f64 * columns as f64 / time * 1e-9;
        let ours = || {
            let factors: &Vec<f64> = factors.get_or_init(|| without_structure(rows * columns));
            let factors = MatRef::from_row_major_slice(factors, rows, columns);
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().expect("a few threads");
            rate(pool.install(|| seconds(|| drop(black_box(gram_matrix(factors))))))
        };
        let arguments = ["gram".to_owned(), rows.to_string(), columns.to_string()];
        let numpy = || Peer::start("gram_numpy.py", &arguments, num_threads);
        suite.compare((name, "GF/s"), (15, num_threads), ours, ("numpy", numpy), rate);
    }
    let matrix = std::cell::OnceCell::new();
    let ours = || {
        let matrix: &Mat<f64> = matrix.get_or_init(|| coherence_matrix(2000));
        let mut guess = vec![1.0; matrix.nrows()];
        let options = LanczosOptions { basis_size: 20, ..LanczosOptions::default() };
        seconds(|| drop(black_box(top_coherence(matrix, &mut guess, options))))
    };
    let scipy = || Peer::start("gram_numpy.py", &["lambda-max-s".to_owned(), "2000".to_owned()], 1);
    suite.compare(("lambda-max-s/n2000", "s"), (15, 1), ours, ("scipy", scipy), |time| time);
}

/// Numbers from -1 to 1 without structure.
fn without_structure(len: usize) -> Vec<f64> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(u16::try_from(state >> 16).expect("16 bits")) / 32768.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// That of rank-one curvatures in 500 dimensions: absolute inner products.
fn coherence_matrix(num_samples: usize) -> Mat<f64> {
    let factors = without_structure(num_samples * 500);
    let gram = gram_matrix(MatRef::from_row_major_slice(&factors, num_samples, 500)).expect("finite factors");
    Mat::from_fn(num_samples, num_samples, |i, j| gram[(i, j)].abs())
}
