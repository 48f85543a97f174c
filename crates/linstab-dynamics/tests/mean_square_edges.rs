//! Limits, bad input, reference values and cases that once went wrong.

use linstab_dynamics::mean_square::CertificateKind;
use linstab_dynamics::testing::{SCHEMES, analysis};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Factored, LinalgError, Mat, Reduced};

#[test]
fn certificates_are_proofs() {
    let mut num_proven = 0;
    let mut widest: f64 = 0.0;
    for seed in 0..200 {
        let ensemble = random_factored(seed, 6, 1 + (seed % 2) as usize, 5);
        let beta = [0.0, 0.9, -0.5, 0.0, 0.5][(seed % 5) as usize];
        let analysis =
            analysis(&ensemble, SCHEMES[usize::try_from(seed).unwrap() % SCHEMES.len()], 2, 0.3, beta);
        let threshold = analysis.max_learning_rate().unwrap();
        num_proven += usize::from(threshold.certificate == CertificateKind::Proven);
        widest = widest.max(threshold.interval.1 / threshold.interval.0 - 1.0);
    }
    assert!(num_proven == 200 && widest < 1e-7, "{num_proven} proven, widest interval {widest:.2e}");
}

#[test]
fn the_culprit_is_the_sample_that_stands_out() {
    // Nine gentle samples along the first axis, one sharp sample along the second.
    let mut rows = vec![0.0; 20];
    for i in 0..9 {
        rows[2 * i] = 1.0;
    }
    rows[19] = 10.0;
    let ensemble = Factored::new(10, 1, 2, rows).unwrap();
    let analysis = analysis(&ensemble, SamplingScheme::WithoutReplacement, 1, 0.0, 0.0);
    let threshold = analysis.max_learning_rate().unwrap();
    assert!(
        (threshold.value - 2.0 / 100.0).abs() < 1e-12,
        "the sharp sample alone: 2 / |f|^2, {}",
        threshold.value
    );
    let responsible = analysis.responsible_samples(&threshold).unwrap();
    let total: f64 = responsible.full_batch_forcing + responsible.sample_shares.iter().sum::<f64>();
    assert!((total - 1.0).abs() < 1e-12 && responsible.full_batch_forcing.abs() < 1e-12, "{responsible:?}");
    assert!((responsible.sample_shares[9] - 1.0).abs() < 1e-9, "{responsible:?}");
}

/// The n = 50 matrix of `data/reference` (its README says how it was made) and the threshold by an independent program.
#[test]
fn the_reference_value_is_met() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/reference/gaussian-50x1000.npy");
    let bytes = std::fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let rows: Vec<f64> =
        bytes[header..].chunks_exact(8).map(|chunk| f64::from_le_bytes(chunk.try_into().unwrap())).collect();
    let ensemble = Factored::new(50, 1, 1000, rows).unwrap();
    let threshold =
        analysis(&ensemble, SamplingScheme::WithoutReplacement, 10, 0.0, 0.0).max_learning_rate().unwrap();
    assert!((threshold.value - 18.364_471_652_944).abs() < 2e-12 * 18.4, "{}", threshold.value);
    assert!(
        threshold.interval.0 < 18.364_471_652_944
            && 18.364_471_652_944 < threshold.interval.1 * (1.0 + 1e-13)
    );
}

#[test]
fn limits_are_right_and_bad_parameters_are_named() {
    let flat = Factored::new(3, 1, 2, vec![0.0; 6]).unwrap();
    let flat = analysis(&flat, SamplingScheme::Bernoulli, 1, 0.0, 0.0);
    let threshold = flat.max_learning_rate().unwrap();
    assert!(threshold.value.is_infinite() && threshold.certificate == CertificateKind::Trivial);
    assert!(
        (flat.growth_per_step(1.0).unwrap() - 1.0).abs() < 1e-15
            && flat.gradient_descent_limit().is_infinite()
    );
    assert_eq!(flat.responsible_samples(&threshold).unwrap().sample_shares, [0.0; 3]);

    let single = Factored::new(1, 1, 1, vec![2.0]).unwrap();
    let threshold =
        analysis(&single, SamplingScheme::WithoutReplacement, 1, 0.0, 0.9).max_learning_rate().unwrap();
    assert!((threshold.value - 2.0 * 1.9 / 4.0).abs() < 1e-12, "gradient descent with momentum");

    let reduced = Reduced::of(&single).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1).unwrap();
    let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
    for momentum in [1.0, -1.0, 1.5, f64::NAN] {
        let error = sgd.clone().with_momentum(momentum).unwrap_err().to_string();
        assert!(error.starts_with("momentum is"), "{error}");
    }
    for learning_rate in [0.0, -1.0, f64::NAN] {
        assert!(sgd.growth_per_step(learning_rate).is_err(), "{learning_rate}");
    }
    let wrong = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1).unwrap();
    assert!(MeanSquare::new(&reduced, Optimizer::sgd(), wrong).is_err(), "two samples for one");
}

/// One sample leaves nothing to chance: every scheme is gradient descent, with momentum, too.
#[test]
fn one_sample_is_gradient_descent() {
    for seed in 0..60 {
        let (k, dim) = (1 + (seed % 3) as usize, 1 + (seed % 5) as usize);
        let ensemble = random_factored(seed, 1, k, dim);
        let sharpness = ensemble.sharpness().unwrap();
        for (scheme, beta) in
            SCHEMES.into_iter().flat_map(|scheme| [-0.5, 0.0, 0.9].map(|beta| (scheme, beta)))
        {
            let analysis = analysis(&ensemble, scheme, 1, 0.0, beta);
            let expected = 2.0 * (1.0 + beta) / sharpness;
            let threshold = analysis.max_learning_rate().unwrap();
            let case = format!("{scheme:?} k={k} dim={dim} beta={beta} {threshold:?}");
            assert!((threshold.value - expected).abs() <= 1e-10 * expected, "{case}");
            let (low, high) = threshold.interval;
            assert!(low <= expected * (1.0 + 1e-13) && expected <= high * (1.0 + 1e-13), "{case}");
            assert_eq!(analysis.min_batch_size(0.9 * expected).unwrap(), Some(1), "{case}");
            assert_eq!(analysis.min_batch_size(1.1 * expected).unwrap(), None, "{case}");
            // Well above the threshold the sharpest direction alone decides: z^2 - c z + beta = 0.
            let growth = analysis.growth_per_step(2.0 * expected).unwrap();
            let c = (1.0 + beta) * 3.0;
            let root = 0.5 * (c + (c * c - 4.0 * beta).sqrt());
            assert!((growth - root * root).abs() <= 1e-9 * growth, "{case} {growth}");
        }
        let sgd = analysis(&ensemble, SamplingScheme::WithReplacement, 1, 0.0, 0.0);
        let bounds = sgd.necessary_conditions().unwrap();
        assert!((bounds.worst_direction * sharpness - 2.0).abs() < 1e-10, "{bounds:?}");
        let responsible = sgd.responsible_samples(&sgd.max_learning_rate().unwrap()).unwrap();
        assert!(
            (responsible.sample_shares[0] + responsible.full_batch_forcing - 1.0).abs() < 1e-12,
            "{responsible:?}"
        );
    }
}

/// A representation of one's own that checks nothing.
#[derive(Debug)]
struct Unchecked(Mat<f64>);

impl Ensemble for Unchecked {
    fn num_samples(&self) -> usize {
        2
    }
    fn dim(&self) -> usize {
        self.0.nrows()
    }
    fn sample_hessian(&self, sample: usize) -> Mat<f64> {
        if sample == 1 { self.0.clone() } else { Mat::identity(self.dim(), self.dim()) }
    }
}

/// Dense to factored to reduced: whatever is no curvature is stopped on the way, and by name.
#[test]
fn no_curvature_slips_through_the_reduction() {
    let square = |entries: [f64; 4]| Mat::from_fn(2, 2, |i, j| entries[2 * i + j]);
    let refused = |entries: [f64; 4]| {
        let by_dense = Dense::new(vec![square([1.0, 0.0, 0.0, 1.0]), square(entries)]).unwrap_err();
        let unchecked = Unchecked(square(entries));
        let by_factored = Factored::from_ensemble(&unchecked).unwrap_err();
        assert_eq!(by_dense.to_string(), by_factored.to_string());
        let copied = Factored::from_ensemble(&Dense::from_ensemble(&unchecked)).unwrap_err();
        assert_eq!(by_dense.to_string(), copied.to_string());
        by_dense
    };
    for bad in [f64::NAN, f64::INFINITY] {
        let error = refused([1.0, bad, bad, 1.0]);
        assert!(matches!(error, LinalgError::NonFinite { sample: 1, .. }), "{error}");
    }
    for indefinite in
        [[1.0, 0.0, 0.0, -1.0], [-1.0, 0.0, 0.0, -2.0], [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, -1e-6]]
    {
        let error = refused(indefinite);
        assert!(matches!(error, LinalgError::NotPositiveSemidefinite { sample: 1, .. }), "{error}");
    }
    let error = refused([1.0, 0.5, 0.0, 1.0]);
    assert!(matches!(error, LinalgError::NotSymmetric { sample: 1, .. }), "{error}");
    assert!(Factored::new(1, 1, 1, vec![f64::NAN]).is_err(), "a factor that is NaN");

    // Finite factors whose products overflow are stopped in the reduction.
    let huge = Factored::new(2, 1, 1, vec![1e200, 1.0]).unwrap();
    assert!(matches!(Reduced::of(&huge), Err(LinalgError::NoConvergence { .. })), "an infinite Gram matrix");

    // Rounding is no refusal: the same route with an eigenvalue of -1e-13.
    let rounded = Unchecked(square([1.0, 0.0, 0.0, -1e-13]));
    let reduced = Reduced::of(&Factored::from_ensemble(&rounded).unwrap()).unwrap();
    assert_eq!(reduced.rank(), 2, "the first sample curves both directions");
}

/// Findings of a review, each of which used to go wrong.
#[test]
fn reviewed_cases_stay_right() {
    // A flat direction: 1 - growth is below rounding, yet the learning rate is far below the threshold.
    let flat = Factored::new(2, 1, 2, vec![2.0_f64.sqrt(), 0.0, 0.0, 2e-10_f64.sqrt()]).unwrap();
    let flat = analysis(&flat, SamplingScheme::WithoutReplacement, 2, 0.0, 0.0);
    assert_eq!(flat.min_batch_size(1e-7).unwrap(), Some(1));
    assert!(flat.noise_floor_of_perturbation(1e-7, 0.1).unwrap().is_some(), "stable");

    // Nearly degenerate samples: the second Ritz value hides in the first.
    let curvatures = [1.0, 1.0 + 1.5e-8, 0.3, 0.2, 0.11, 0.07_f64];
    let rows = (0..36).map(|at| if at % 7 == 0 { curvatures[at / 7].sqrt() } else { 0.0 }).collect();
    let cluster =
        analysis(&Factored::new(6, 1, 6, rows).unwrap(), SamplingScheme::WithoutReplacement, 1, 0.0, 0.0);
    let exact = 2.0 / curvatures[1];
    assert!((cluster.max_learning_rate().unwrap().value - exact).abs() < 1e-9 * exact);

    // An ill-conditioned square problem, on which the direct iteration for the growth does not converge.
    let square = random_factored(3, 100, 1, 104);
    let square = analysis(&square, SamplingScheme::WithoutReplacement, 10, 0.0, 0.0);
    let threshold = square.max_learning_rate().unwrap().value;
    let (below, above) =
        (square.growth_per_step(0.9 * threshold).unwrap(), square.growth_per_step(1.1 * threshold).unwrap());
    assert!(below < 1.0 && above > 1.0, "{below} {above}");
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let ensemble = random_factored(4, 150, 2, 170);
    let bits = |num_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| {
            let analysis = analysis(&ensemble, SamplingScheme::Bernoulli, 10, 0.1, 0.0);
            let threshold = analysis.max_learning_rate().unwrap();
            let bounds = analysis.necessary_conditions().unwrap();
            (threshold.value.to_bits(), threshold.interval.0.to_bits(), bounds.worst_direction.to_bits())
        })
    };
    let one = bits(1);
    assert_eq!(bits(2), one, "2 threads");
    assert_eq!(bits(4), one, "4 threads");
}

/// h = (1, 1, 1, 3), batches of one: 1 without replacement, 2/3 Bernoulli; with momentum 2 / (l/(1+b) + s^2/(l(1-b))).
#[test]
fn the_scalar_example_is_met() {
    let ensemble = Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()]).unwrap();
    let threshold =
        |scheme, beta| analysis(&ensemble, scheme, 1, 0.0, beta).max_learning_rate().unwrap().value;
    for (scheme, variance) in [(SamplingScheme::WithoutReplacement, 0.75), (SamplingScheme::Bernoulli, 2.25)]
    {
        for beta in [0.0, 0.5, 0.9] {
            let expected = 2.0 / (1.5 / (1.0 + beta) + variance / (1.5 * (1.0 - beta)));
            assert!((threshold(scheme, beta) - expected).abs() < 1e-13, "{scheme:?} {beta}");
        }
    }
    assert!((threshold(SamplingScheme::WithoutReplacement, 0.0) - 1.0).abs() < 1e-14);
    assert!((threshold(SamplingScheme::Bernoulli, 0.0) - 2.0 / 3.0).abs() < 1e-14);
}

/// Two samples that are nearly alike, at a learning rate that takes their mean to 0: all growth is that of their difference, which a
/// subspace lacks at first.
#[test]
fn growths_of_samples_that_are_nearly_alike_are_those_of_their_difference() {
    for (difference, scale) in [0.1, 0.01, 1e-3].into_iter().flat_map(|x| [(x, 1.0), (x, 1e-3), (x, 1e40)]) {
        let factors = [scale, scale * (1.0 + difference)];
        let ensemble = Reduced::of(&Factored::new(2, 1, 1, factors.to_vec()).unwrap()).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1).unwrap();
        let analysis = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
        let inverse_mean = 2.0 / factors.iter().map(|factor| factor * factor).sum::<f64>();
        for eta in [0.999, 1.0, 1.01].map(|share| share * inverse_mean) {
            let squares = factors.map(|factor| (1.0 - eta * factor * factor).powi(2));
            let (found, exact) = (analysis.growth_per_step(eta).unwrap(), squares.iter().sum::<f64>() / 2.0);
            assert!(
                (found / exact - 1.0).abs() < 1e-7,
                "{difference}, {scale}: {found:e}, exactly {exact:e}"
            );
        }
    }
}
