//! Bounds along directions, laws of batches and tails against enumeration, on hundreds of random ensembles; errors against what they say.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{batches, form, gradient, hessian, mean, named, top};
use linstab_coherence::diagnostics::{Finding, Shared, Subject, diagnose};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Factored, Mat, Reduced, Scale, symmetric};

const BETA: f64 = 0.7;

/// A random ensemble with gradients, and all batches of a size.
struct Case {
    ensemble: Factored,
    coefficients: Vec<f64>,
    every: Vec<(Mat<f64>, Mat<f64>)>,
    /// The same for another batch size, a negative control.
    wrong: Vec<(Mat<f64>, Mat<f64>)>,
    h: Mat<f64>,
    g: Mat<f64>,
    sampling: BatchSampling,
    /// Of its draws, too: those of different ensembles are independent.
    seed: u64,
}

impl Case {
    fn new(seed: u64) -> Self {
        let at = usize::try_from(seed).unwrap();
        let (n, k, dim) = (4 + at % 3, 1 + at / 3 % 2, 2 + at / 6 % 2);
        let size = 1 + at / 12 % (n - 2);
        let ensemble = random_factored(seed, n, k, dim);
        let coefficients: Vec<f64> =
            (0..n * k).map(|at| ((at * 7 + 3) as f64 + 0.1 * seed as f64).sin()).collect();
        let of = |batch: &Vec<usize>| (hessian(&ensemble, batch), gradient(&ensemble, &coefficients, batch));
        let every = batches(n, size).iter().map(of).collect();
        let wrong = batches(n, size + 1).iter().map(of).collect();
        let all: Vec<usize> = (0..n).collect();
        let (h, g) = of(&all);
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, size).unwrap();
        Self { ensemble, coefficients, every, wrong, h, g, sampling, seed }
    }

    fn findings(&self, optimizer: Optimizer, share: f64) -> (Vec<Finding>, f64) {
        let reduced = Reduced::of(&self.ensemble).unwrap();
        let analysis = MeanSquare::new(&reduced, optimizer, self.sampling).unwrap();
        let exact = analysis.max_learning_rate().unwrap().value;
        let eta = share * exact;
        let subject = Subject::new(&analysis, exact).at(Some(eta)).with_seed(self.seed);
        (diagnose(&subject.with_coefficients(&self.coefficients).unwrap()).unwrap(), eta)
    }
}

fn eigenvector(matrix: &Mat<f64>) -> Mat<f64> {
    let (_, vectors) = symmetric::eigenpairs(matrix.as_ref()).unwrap();
    Mat::from_fn(matrix.nrows(), 1, |a, _| vectors[(a, matrix.nrows() - 1)])
}

/// `E (v^T H_B v)^2 / E v^T H_B v`.
fn along(every: &[(Mat<f64>, Mat<f64>)], v: &Mat<f64>) -> f64 {
    let scalars: Vec<f64> = every.iter().map(|(x, _)| form(v, x)).collect();
    mean(scalars.iter().map(|x| x * x)) / mean(scalars.iter().copied())
}

#[test]
fn bounds_along_directions_are_their_definitions() {
    let (mut summits, mut planes) = (0, 0);
    for seed in 0..300 {
        let case = Case::new(seed);
        let (findings, _) = case.findings(Optimizer::sgd(), 0.9);
        let value = |name: &str| named(&findings, name).measured.value.unwrap();
        let sharpest = eigenvector(&case.h);
        let squares = |every: &[(Mat<f64>, Mat<f64>)]| mean(every.iter().map(|(x, _)| x.squared_norm_l2()));
        let trace = (0..case.h.nrows()).map(|a| case.h[(a, a)]).sum::<f64>();
        for (name, expected, wrong) in [
            ("sharpest_direction", along(&case.every, &sharpest), along(&case.wrong, &sharpest)),
            ("trace_bound", squares(&case.every) / trace, squares(&case.wrong) / trace),
        ] {
            let (found, at) = (value(name), format!("{name} of ensemble {seed}"));
            assert!((found - expected).abs() <= 1e-10 * expected, "{at}: {found}, expected {expected}");
            assert!((found - wrong).abs() > 1e-6 * expected, "{at}: another batch size is seen");
        }
        // An ascent from the samples' directions, never above the summit.
        let n = case.sampling.num_samples();
        let of_samples = (0..n).map(|i| along(&case.every, &eigenvector(&hessian(&case.ensemble, &[i]))));
        let least = of_samples.fold(along(&case.every, &sharpest), f64::max);
        let found = value("worst_direction");
        assert!(found >= least * (1.0 - 1e-10), "{found} is not below the start {least}");
        if case.h.nrows() == 2 {
            // Angles by a thousandth: at a summit the error is of second order.
            let circle = (0..3142).map(|at| {
                let (s, c) = (f64::from(at) * 1e-3).sin_cos();
                along(&case.every, &Mat::from_fn(2, 1, |a, _| if a == 0 { c } else { s }))
            });
            let summit = circle.fold(0.0, f64::max);
            assert!(found <= summit * (1.0 + 1e-4), "{found} is no higher than the summit {summit}");
            planes += 1;
            summits += u32::from(found >= summit * (1.0 - 1e-9));
        }
    }
    assert!(planes > 100 && f64::from(summits) >= 0.95 * f64::from(planes), "{summits} of {planes} summits");
}

/// `E s^T H_B s / E s^T g_B` for the velocity of very many steps at parameters held in place.
fn with_momentum(case: &Case, every: &[(Mat<f64>, Mat<f64>)]) -> f64 {
    let dim = case.h.nrows();
    let second = every.iter().map(|(_, g)| g * g.transpose()).reduce(|x, y| x + y).unwrap();
    let second = second * Scale(1.0 / every.len() as f64);
    let (mut v, mut vv) = (Mat::<f64>::zeros(dim, 1), Mat::<f64>::zeros(dim, dim));
    for _ in 0..400 {
        let crossed = (&v * case.g.transpose() + &case.g * v.transpose()) * Scale(BETA);
        vv = vv * Scale(BETA * BETA) + crossed + &second;
        v = v * Scale(BETA) + &case.g;
    }
    let curvature = |(x, g): &(Mat<f64>, Mat<f64>)| {
        let spread = x * &vv;
        let trace = (0..dim).map(|a| spread[(a, a)]).sum::<f64>();
        form(g, x) + 2.0 * BETA * (g.transpose() * x * &v)[(0, 0)] + BETA * BETA * trace
    };
    let descent = |g: &Mat<f64>| g.squared_norm_l2() + BETA * (v.transpose() * g)[(0, 0)];
    mean(every.iter().map(curvature)) / mean(every.iter().map(|(_, g)| descent(g)))
}

/// The root of `E |1 - eta v^T H_B v|^alpha = 1`, by small steps and halving.
fn tail_index(every: &[(Mat<f64>, Mat<f64>)], v: &Mat<f64>, eta: f64) -> Option<f64> {
    let factors: Vec<f64> = every.iter().map(|(x, _)| (1.0 - eta * form(v, x)).abs()).collect();
    let moment = |alpha: f64| mean(factors.iter().map(|factor| factor.powf(alpha)));
    if factors.iter().all(|factor| *factor <= 1.0) {
        return None;
    }
    let high = (1..20_000).map(|at| f64::from(at) * 1e-2).find(|alpha| moment(*alpha) > 1.0)?;
    let (mut low, mut high) = (high - 1e-2, high);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if moment(middle) < 1.0 { low = middle } else { high = middle }
    }
    Some(low)
}

#[test]
fn sampled_diagnostics_err_as_they_say() {
    // By name: squares of deviations over standard errors, from the right value and from that of another batch size.
    let mut deviations: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for seed in 0..200 {
        let case = Case::new(seed);
        let (sgd, eta) = case.findings(Optimizer::sgd(), 1.2);
        let (heavy, _) = case.findings(Optimizer::sgd().with_momentum(BETA).unwrap(), 1.2);
        let v = eigenvector(&case.h);
        let ratio = |every: &[(Mat<f64>, Mat<f64>)]| {
            mean(every.iter().map(|(x, g)| form(g, x) / g.squared_norm_l2()))
        };
        let means = |every: &[(Mat<f64>, Mat<f64>)]| {
            mean(every.iter().map(|(x, g)| form(g, x))) / mean(every.iter().map(|(_, g)| g.squared_norm_l2()))
        };
        let tops = |every: &[(Mat<f64>, Mat<f64>)]| mean(every.iter().map(|(x, _)| top(x)));
        let index = |every: &[(Mat<f64>, Mat<f64>)]| tail_index(every, &v, eta).unwrap_or(f64::NAN);
        let momentum = |every: &[(Mat<f64>, Mat<f64>)]| with_momentum(&case, every);
        for (findings, name, right, wrong) in [
            (&sgd, "mean_batch_sharpness", tops(&case.every), tops(&case.wrong)),
            (&sgd, "batch_sharpness", ratio(&case.every), ratio(&case.wrong)),
            (&sgd, "batch_sharpness_of_means", means(&case.every), means(&case.wrong)),
            (&heavy, "momentum_batch_sharpness", momentum(&case.every), momentum(&case.wrong)),
            (&sgd, "tail_index", index(&case.every), index(&case.wrong)),
        ] {
            let measured = named(findings, name).measured;
            let (Some(found), Some(error)) = (measured.value, measured.standard_error) else { continue };
            // Errors to first order do not speak of far tails, nor of a dozen draws of the rare batch.
            if error > 1e-9 * found && (name != "tail_index" || right < 4.0) {
                let square = |expected: f64| ((found - expected) / error).powi(2);
                deviations.entry(name).or_default().push((square(right), square(wrong)));
            }
        }
    }
    assert_eq!(deviations.len(), 5, "each has been sampled");
    for (name, squares) in deviations {
        let most = squares.iter().map(|pair| pair.0).fold(0.0, f64::max);
        let (right, wrong) = (
            mean(squares.iter().map(|pair| pair.0)),
            mean(squares.iter().map(|pair| pair.1).filter(|x| x.is_finite())),
        );
        let count = squares.len();
        // Of a thousand numbers one may be beyond four errors.
        assert!(count > 40 && most < 25.0, "{name}: {count}, {}", most.sqrt());
        // The mean of so many squares is 1 but for 0.4 at worst.
        assert!((0.6..1.4).contains(&right), "{name}: the error is off by {} over {count}", right.sqrt());
        assert!(wrong > 2.0, "{name}: another batch size is seen, {wrong}");
    }
}

#[test]
fn batches_of_one_have_exact_tails() {
    let mut seen = 0;
    for seed in 0..100 {
        let ensemble = random_factored(seed, 5, 1, 2);
        let reduced = Reduced::of(&ensemble).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 5, 1).unwrap();
        let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        let h = hessian(&ensemble, &[0, 1, 2, 3, 4]);
        let every: Vec<(Mat<f64>, Mat<f64>)> =
            (0..5).map(|i| (hessian(&ensemble, &[i]), Mat::zeros(2, 1))).collect();
        let eta = 2.0 / along(&every, &eigenvector(&h));
        // At the threshold along the direction the index is 2 (to rounding over a slope that can be small), whatever the ensemble.
        let findings = diagnose(&Subject::new(&sgd, eta).at(Some(eta))).unwrap();
        let measured = named(&findings, "tail_index").measured;
        assert!(
            (measured.value.unwrap() - 2.0).abs() < 1e-7 && measured.standard_error.is_none(),
            "{measured:?}"
        );
        assert!((measured.learning_rate.unwrap() / eta - 1.0).abs() < 1e-10);
        let eta = 1.1 * eta;
        let found = diagnose(&Subject::new(&sgd, eta).at(Some(eta))).unwrap();
        let found = named(&found, "tail_index").measured.value.unwrap();
        if let Some(expected) = tail_index(&every, &eigenvector(&h), eta) {
            assert!((found - expected).abs() < 1e-10 && found < 2.0 - 1e-6, "{found}, {expected}");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} stationary laws");
}

#[test]
fn the_edge_of_sam_is_the_threshold_of_its_full_batch() {
    for seed in 0..200 {
        let ensemble = random_factored(seed, 5, 1, 3);
        let reduced = Reduced::of(&ensemble).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 5, 5).unwrap();
        let c = 0.01 * (seed + 1) as f64;
        let sam = MeanSquare::new(&reduced, Optimizer::sam(c).unwrap(), sampling).unwrap();
        let exact = sam.max_learning_rate().unwrap().value;
        let findings = diagnose(&Subject::new(&sam, exact)).unwrap();
        let edge = named(&findings, "sam_edge").measured;
        let sharpness = top(&hessian(&ensemble, &[0, 1, 2, 3, 4]));
        assert!((edge.value.unwrap() / sharpness - 1.0).abs() < 1e-10);
        assert!((edge.learning_rate.unwrap() / exact - 1.0).abs() < 1e-10);
        // Where the sharpness is the edge of that learning rate, as it is written.
        let written = ((1.0 + 8.0 * c / exact).sqrt() - 1.0) / (2.0 * c);
        assert!((written / sharpness - 1.0).abs() < 1e-10);
        assert!((2.0 / (sharpness * exact) - 1.0).abs() > 1e-3, "gradient descent's edge is another");
    }
}

/// Where the mean curvature is the same in all directions, all samples a step leave nothing to ascend.
#[test]
fn all_directions_may_be_alike() {
    let rows = vec![1.0, -1.0, 1.0, 2.0, 2.0, -1.0, -1.0, -1.0];
    let reduced = Reduced::of(&Factored::new(4, 1, 2, rows).unwrap()).unwrap();
    for size in 1..=4 {
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, size).unwrap();
        let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        let exact = sgd.max_learning_rate().unwrap().value;
        let findings = diagnose(&Subject::new(&sgd, exact)).unwrap();
        let bound = named(&findings, "worst_direction").measured.learning_rate.unwrap();
        assert!(bound >= exact * (1.0 - 1e-12) && bound < 1.1 * exact, "{size}: {bound} against {exact}");
    }
}

#[test]
fn what_is_shared_is_of_the_same_ensemble() {
    let (one, other) = (random_factored(1, 5, 1, 2), random_factored(2, 5, 1, 2));
    let (one, other) = (Reduced::of(&one).unwrap(), Reduced::of(&other).unwrap());
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 5, 2).unwrap();
    let sgd = MeanSquare::new(&one, Optimizer::sgd(), sampling).unwrap();
    let shared = Rc::new(Shared::of(&one));
    let fresh = diagnose(&Subject::new(&sgd, 1.0)).unwrap();
    let again = |_| diagnose(&Subject::new(&sgd, 1.0).sharing(&shared).unwrap()).unwrap();
    assert!((0..2).map(again).all(|findings| findings == fresh), "the same numbers, shared or not");
    assert!(Subject::new(&sgd, 1.0).sharing(&Rc::new(Shared::of(&other))).is_err());
}
