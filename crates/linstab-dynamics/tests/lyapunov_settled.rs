//! The settled exponent against exact ones, where a fixed burn-in is far off.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::lyapunov::{ChainOptions, SettledExponent, SettlingOptions};
use linstab_dynamics::testing::SCHEMES;
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{AxisAligned, Factored, Reduced};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const OPTIONS: SettlingOptions =
    SettlingOptions { num_chains: 32, num_steps: 1000, max_multiplications: 1e8 };

fn stream(chain: usize) -> Pcg64 {
    Pcg64::seed_from_u64(77 + chain as u64)
}

/// Orthogonal samples of these curvatures, in both representations.
fn orthogonal(curvatures: &[f64]) -> (Reduced, AxisAligned) {
    let n = curvatures.len();
    let entry = |i: usize, j: usize| if i == j { curvatures[i] } else { 0.0 };
    let entries = (0..n * n).map(|at| entry(at / n, at % n).sqrt()).collect();
    let diagonals: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
    let factored = Factored::new(n, 1, n, entries).unwrap();
    (Reduced::of(&factored).unwrap(), AxisAligned::from_diagonals(&diagonals).unwrap())
}

fn settled(analysis: &MeanSquare, eta: f64, options: SettlingOptions) -> SettledExponent {
    let growth = analysis.growth_per_step(eta).unwrap();
    analysis.settled_lyapunov_exponent(eta, growth, options, stream).unwrap()
}

/// Without noise the exponent is that of the slowest direction, to rounding; chains of a fixed length are off by several standard errors.
#[test]
fn the_full_batch_is_exact() {
    let (reduced, _) = orthogonal(&[1.0, 1e-2, 1e-4, 1e-6]);
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 4).unwrap();
    let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    let eta = 2.0;
    for momentum in [0.0, 0.9, -0.5] {
        let analysis = sgd.clone().with_momentum(momentum).unwrap();
        let found = settled(&analysis, eta, OPTIONS);
        // The slow root of z^2 - (1 + beta - eta h) z + beta, by Newton's method from 1.
        let h = reduced.mean_eigenvalues()[3];
        let mut z = 1.0_f64;
        for _ in 0..50 {
            let c = 1.0 + momentum - eta * h;
            z -= (z * z - c * z + momentum) / (2.0 * z - c);
        }
        assert!((found.mean - z.ln()).abs() < 1e-14, "{momentum}: {found:?}, exactly {}", z.ln());
        assert!(found.settled && found.standard_error.abs() <= 0.0 && found.num_steps == 0, "{found:?}");
        let chains = ChainOptions { num_chains: 32, burn_in: 200, num_steps: 2000 };
        let fixed = analysis.lyapunov_exponent(eta, chains, stream).unwrap();
        assert!((fixed.mean - z.ln()).abs() > 3.0 * fixed.standard_error, "the control: {fixed:?}");
    }
}

/// One curvature, and a learning rate that maps it to zero.
#[test]
fn exactly_zero_is_minus_infinity() {
    for scheme in SCHEMES {
        let (reduced, _) = orthogonal(&[2.0]);
        let sampling = BatchSampling::new(scheme, 1, 1).unwrap();
        let found = settled(&MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap(), 0.5, OPTIONS);
        assert!(found.mean < f64::MIN && found.settled, "{scheme:?} {found:?}");
    }
}

/// Against exact exponents of orthogonal samples, stable and unstable, crowded and not: within five standard errors and the accuracy
/// of the bound, where it says that it has settled; and it says so.
#[test]
fn slow_directions_do_not_bias() {
    for curvatures in
        [vec![1.0, 1e-2, 1e-4], vec![1.0, 1e-4, 1e-8], vec![1.0, 0.9, 0.5, 1e-3], vec![1.0, 0.3]]
    {
        let (reduced, axis_aligned) = orthogonal(&curvatures);
        for (scheme, eta) in
            SCHEMES.into_iter().flat_map(|scheme| [(scheme, 0.3), (scheme, 1.2), (scheme, 5.0)])
        {
            let sampling = BatchSampling::new(scheme, curvatures.len(), 1).unwrap();
            let exact = AxisAlignedDynamics::new(&axis_aligned, Optimizer::sgd(), sampling).unwrap();
            let exact = exact.lyapunov_exponent(eta).unwrap();
            let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
            let found = settled(&analysis, eta, OPTIONS);
            let error = (found.mean - exact).abs();
            let case = format!("{curvatures:?} {scheme:?} {eta}: {found:?}, exactly {exact}");
            assert!(error <= 5.0 * found.standard_error + 2e-9, "{case}");
            assert!(found.settled, "{case}");
        }
    }
}

/// A spectrum without gaps, and a budget that allows no more than the first attempt: what has not settled is not called settled, and
/// its error covers the truth.
#[test]
fn what_has_not_settled_says_so() {
    let rows: Vec<f64> = (0..60_i32)
        .flat_map(|i| (0..60_i32).map(move |j| if i == j { (-f64::from(i) / 8.0).exp() } else { 0.0 }))
        .collect();
    let reduced = Reduced::of(&Factored::new(60, 1, 60, rows).unwrap()).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 60, 1).unwrap();
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    // A bound that says nothing stands for one that is not attained.
    let found = analysis
        .settled_lyapunov_exponent(1.5, 4.0, SettlingOptions { max_multiplications: 0.0, ..OPTIONS }, stream)
        .unwrap();
    let slowest = (-59.0_f64 / 4.0).exp();
    let exact = (-1.5 * slowest).ln_1p() / 60.0;
    assert!(!found.settled, "{found:?}");
    assert!((found.mean - exact).abs() <= found.standard_error, "{found:?}, exactly {exact}");
}

/// The same bits on one thread and on three.
#[test]
fn threads_change_nothing() {
    let (reduced, _) = orthogonal(&[1.0, 0.5, 0.1]);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 3, 2).unwrap();
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| settled(&analysis, 0.7, OPTIONS))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn bad_options_are_named() {
    let (reduced, _) = orthogonal(&[1.0, 0.5]);
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 2, 1).unwrap();
    let analysis = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    for options in [SettlingOptions { num_chains: 3, ..OPTIONS }, SettlingOptions { num_steps: 0, ..OPTIONS }]
    {
        let error = analysis.settled_lyapunov_exponent(0.1, 1.0, options, stream).unwrap_err();
        assert!(error.to_string().contains("at least 4 chains"), "{error}");
    }
}
