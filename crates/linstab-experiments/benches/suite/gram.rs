//! The Gram matrix of factors, and the largest eigenvalue of a coherence matrix.

use std::hint::black_box;

use linstab_coherence::top_coherence;
use linstab_linalg::Vectors::{self, UpTo256Bits, Widest};
use linstab_linalg::lanczos::LanczosOptions;
use linstab_linalg::{GramAccumulator, Mat, MatRef, gram_matrix};

use crate::harness::{Suite, seconds};
use crate::peer::Peer;

/// Rows and columns.
const LONG: (usize, usize) = (256, 1_000_000);
const MIDDLE: (usize, usize) = (1000, 100_000);
const SHORT: (usize, usize) = (2000, 10_000);

pub(crate) fn register(suite: &mut Suite) {
    for (name, size, num_threads, vectors) in [
        ("gram/256x1000000/1-thread", LONG, 1, Widest),
        ("gram/256x1000000/2-threads", LONG, 2, Widest),
        ("gram/1000x100000/1-thread", MIDDLE, 1, Widest),
        ("gram/1000x100000/2-threads", MIDDLE, 2, Widest),
        ("gram/2000x10000/1-thread", SHORT, 1, Widest),
        ("gram/2000x10000/2-threads", SHORT, 2, Widest),
        ("gram-avx2/256x1000000/1-thread", LONG, 1, UpTo256Bits),
        ("gram-avx2/256x1000000/2-threads", LONG, 2, UpTo256Bits),
        ("gram-avx2/1000x100000/1-thread", MIDDLE, 1, UpTo256Bits),
        ("gram-avx2/1000x100000/2-threads", MIDDLE, 2, UpTo256Bits),
        ("gram-avx2/2000x10000/1-thread", SHORT, 1, UpTo256Bits),
        ("gram-avx2/2000x10000/2-threads", SHORT, 2, UpTo256Bits),
    ] {
        product(suite, name, size, (num_threads, vectors));
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

/// The product beside OpenBLAS with vectors of the same width; in GF/s, a multiplication and an addition for two flops, of which symmetry
/// saves half.
fn product(
    suite: &mut Suite,
    name: &'static str,
    (rows, columns): (usize, usize),
    (num_threads, vectors): (usize, Vectors),
) {
    let factors = std::cell::OnceCell::new();
    let rate = |time: f64| (rows * rows) as f64 * columns as f64 / time * 1e-9;
    let ours = || {
        let factors: &Vec<f64> = factors.get_or_init(|| without_structure(rows * columns));
        let factors = MatRef::from_row_major_slice(factors, rows, columns);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().expect("a few threads");
        let multiply = || {
            let mut gram = GramAccumulator::new(rows).expect("some rows").with_vectors(vectors);
            gram.add(factors).expect("as many rows");
            drop(black_box(gram.finish()));
        };
        rate(pool.install(|| seconds(multiply)))
    };
    let arguments = ["gram".to_owned(), rows.to_string(), columns.to_string()];
    // Haswell had AVX2 and nothing wider.
    let core_type = (vectors == UpTo256Bits).then_some("Haswell");
    let numpy = || Peer::start_as("gram_numpy.py", &arguments, (num_threads, core_type));
    suite.compare((name, "GF/s"), (15, num_threads), ours, ("numpy", numpy), rate);
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
