//! Exact thresholds and growth against brute force: enumeration of all batches and Kronecker products.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::mean_square::{BatchAscentSam, CertificateKind, GradientNoise};
use linstab_dynamics::testing::{batch_hessian, enumerate_batches};
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, MeanSquare, SamplingScheme, UpdateRule};
use linstab_linalg::testing::{random_axis_aligned, random_factored, spectral_radius};
use linstab_linalg::{Dense, Ensemble, Factored, Mat, MatRef, Reduced, Scale, symmetric};
use proptest::prelude::*;

const SCHEMES: [SamplingScheme; 3] =
    [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement, SamplingScheme::Bernoulli];

/// The ensemble restricted to the range of its mean, by the dense definition, with SAM's literal ascent matrix.
struct Brute {
    hessians: Dense,
    ascent: Mat<f64>,
}

impl Brute {
    fn new(ensemble: &dyn Ensemble, c: f64) -> Self {
        let (values, vectors) = symmetric::eigenpairs(ensemble.mean_hessian().as_ref()).unwrap();
        let top = values[values.len() - 1];
        let kept: Vec<usize> = (0..values.len()).filter(|&a| values[a] > 1e-12 * top).collect();
        let basis = Mat::from_fn(ensemble.dim(), kept.len(), |i, a| vectors[(i, kept[a])]);
        let project = |i: usize| {
            let h = basis.transpose() * ensemble.sample_hessian(i) * &basis;
            Mat::from_fn(kept.len(), kept.len(), |a, b| 0.5 * (h[(a, b)] + h[(b, a)]))
        };
        let hessians = Dense::new((0..ensemble.num_samples()).map(project).collect()).unwrap();
        let ascent =
            Mat::from_fn(kept.len(), kept.len(), |a, b| if a == b { 1.0 + c * values[kept[a]] } else { 0.0 });
        Self { hessians, ascent }
    }

    /// Spectral radius of E[M (x) M], M the step on (w, w_prev) of the literal rule.
    fn growth(&self, sampling: BatchSampling, beta: f64, eta: f64) -> f64 {
        let d = self.hessians.dim();
        let size = if beta == 0.0 { d } else { 2 * d };
        let mut moment = Mat::<f64>::zeros(size * size, size * size);
        for (probability, batch) in enumerate_batches(sampling) {
            let h = batch_hessian(&self.hessians, sampling, &batch) * &self.ascent;
            let step = Mat::from_fn(size, size, |i, j| match (i < d, j < d) {
                (true, true) => f64::from(u8::from(i == j)) * (1.0 + beta) - eta * h[(i, j)],
                (true, false) => -beta * f64::from(u8::from(i == j - d)),
                (false, true) => f64::from(u8::from(i - d == j)),
                (false, false) => 0.0,
            });
            add_kronecker(&mut moment, step.as_ref(), probability);
        }
        spectral_radius(moment.as_ref())
    }
}

fn add_kronecker(sum: &mut Mat<f64>, m: MatRef<'_, f64>, weight: f64) {
    let n = m.nrows();
    for i in 0..n * n {
        for j in 0..n * n {
            sum[(i, j)] += weight * m[(i / n, j / n)] * m[(i % n, j % n)];
        }
    }
}

/// The schemes whose batches are few enough to enumerate.
fn enumerable(n: usize, b: usize) -> impl Iterator<Item = SamplingScheme> {
    let sequences = (0..b).fold(1_usize, |count, _| count.saturating_mul(n));
    SCHEMES.into_iter().filter(move |&scheme| scheme != SamplingScheme::WithReplacement || sequences <= 4096)
}

fn analysis(ensemble: &Factored, scheme: SamplingScheme, b: usize, c: f64, beta: f64) -> MeanSquare {
    let sampling = BatchSampling::new(scheme, ensemble.num_samples(), b).unwrap();
    let reduced = Reduced::of(ensemble).unwrap();
    MeanSquare::new(&reduced, UpdateRule::Sam { rho_over_alpha: c }, sampling)
        .unwrap()
        .with_momentum(beta)
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn thresholds_are_where_brute_force_crosses_one(
        seed: u64, n in 1_usize..9, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..6, log_c in -3.0_f64..2.0,
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let c = if log_c < -2.0 { 0.0 } else { 10.0_f64.powf(log_c) };
        let brute = Brute::new(&ensemble, c);
        for scheme in enumerable(n, b) {
            let analysis = analysis(&ensemble, scheme, b, c, 0.0);
            let sampling = analysis.sampling();
            let threshold = analysis.max_learning_rate().unwrap();
            let growth = |factor: f64| brute.growth(sampling, 0.0, factor * threshold.value);
            prop_assert!(growth(1.0 - 1e-9) < 1.0 && growth(1.0 + 1e-9) > 1.0, "{scheme:?} {threshold:?}");
            for factor in [0.1, 0.5, 0.9, 1.5] {
                let found = analysis.growth_per_step(factor * threshold.value).unwrap();
                prop_assert!((found - growth(factor)).abs() < 1e-9 * found + 1e-12, "{found} against {}", growth(factor));
            }
            let (low, high) = threshold.interval;
            prop_assert!(low <= threshold.value && threshold.value <= high);
            prop_assert!(brute.growth(sampling, 0.0, low) <= 1.0 + 1e-12 && brute.growth(sampling, 0.0, high) >= 1.0 - 1e-12);
        }
    }

    #[test]
    fn momentum_thresholds_are_where_brute_force_crosses_one(
        seed: u64, n in 1_usize..7, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..5, log_c in -3.0_f64..2.0, beta in -0.9_f64..0.99,
    ) {
        let c = if log_c < -2.0 { 0.0 } else { 10.0_f64.powf(log_c) };
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let brute = Brute::new(&ensemble, c);
        for scheme in enumerable(n, b) {
            let analysis = analysis(&ensemble, scheme, b, c, beta);
            let sampling = analysis.sampling();
            let threshold = analysis.max_learning_rate().unwrap();
            let growth = |factor: f64| brute.growth(sampling, beta, factor * threshold.value);
            prop_assert!(growth(1.0 - 1e-8) < 1.0 && growth(1.0 + 1e-8) > 1.0, "{scheme:?} beta={beta} {threshold:?} {} {}", growth(1.0 - 1e-8), growth(1.0 + 1e-8));
            let (low, high) = threshold.interval;
            prop_assert!(low <= threshold.value && threshold.value <= high);
            prop_assert!(brute.growth(sampling, beta, low) <= 1.0 + 1e-8 && brute.growth(sampling, beta, high) >= 1.0 - 1e-8);
            for factor in [0.05, 0.3, 0.7, 0.95] {
                prop_assert!(growth(factor) < 1.0, "stable below: {scheme:?} beta={beta} {factor}");
            }
            for factor in [0.5, 1.5] {
                let found = analysis.growth_per_step(factor * threshold.value).unwrap();
                // Next to critical damping two eigenvalues of the map meet: both sides lose half of their digits there.
                prop_assert!((found - growth(factor)).abs() < 1e-5 * found, "{found} against {} beta={beta}", growth(factor));
            }
        }
    }
}

#[test]
fn certificates_are_proofs() {
    let mut num_proven = 0;
    let mut widest: f64 = 0.0;
    for seed in 0..200 {
        let ensemble = random_factored(seed, 6, 1 + (seed % 2) as usize, 5);
        let beta = [0.0, 0.9, -0.5, 0.0, 0.5][(seed % 5) as usize];
        let analysis = analysis(&ensemble, SCHEMES[(seed % 3) as usize], 2, 0.3, beta);
        let threshold = analysis.max_learning_rate().unwrap();
        num_proven += usize::from(threshold.certificate == CertificateKind::Proven);
        widest = widest.max(threshold.interval.1 / threshold.interval.0 - 1.0);
    }
    assert!(num_proven == 200 && widest < 1e-4, "{num_proven} proven, widest interval {widest:.2e}");
}

/// The stationary covariance by brute force: iterate `S <- E J S J^T + eta^2 Q` over all batches.
fn brute_covariance(hessians: &Dense, sampling: BatchSampling, eta: f64, source: &Mat<f64>) -> Mat<f64> {
    let d = hessians.dim();
    let steps: Vec<(f64, Mat<f64>)> = enumerate_batches(sampling)
        .into_iter()
        .map(|(p, batch)| {
            (p, Mat::<f64>::identity(d, d) - batch_hessian(hessians, sampling, &batch) * Scale(eta))
        })
        .collect();
    let mut covariance = Mat::<f64>::zeros(d, d);
    for _ in 0..200_000 {
        let mut next = source * Scale(eta * eta);
        for (p, step) in &steps {
            next += step * &covariance * step.transpose() * Scale(*p);
        }
        let change = (&next - &covariance).norm_max();
        covariance = next;
        if change <= 1e-14 * covariance.norm_max() {
            break;
        }
    }
    covariance
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_noise_floor_is_the_fixed_point(seed: u64, n in 1_usize..5, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..4) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        // Well-conditioned cases: brute force needs as many steps as the flattest direction takes.
        let eigenvalues = reduced.mean_eigenvalues();
        prop_assume!(eigenvalues[eigenvalues.len() - 1] > 1e-2 * eigenvalues[0]);
        let hessians: Vec<Mat<f64>> = (0..n)
            .map(|i| {
                let factors = reduced.factors().subrows(i * k, k);
                factors.transpose() * factors
            })
            .collect();
        let hessians = Dense::new(hessians).unwrap();
        for scheme in SCHEMES {
            let analysis = analysis(&ensemble, scheme, b, 0.0, 0.0);
            let threshold = analysis.max_learning_rate().unwrap().value;
            let eta = 0.7 * threshold;
            let floor = analysis.noise_floor_of_perturbation(eta, 0.3).unwrap().expect("stable");
            let identity = Mat::<f64>::identity(hessians.dim(), hessians.dim());
            let mut source = Mat::<f64>::zeros(hessians.dim(), hessians.dim());
            for (p, batch) in enumerate_batches(analysis.sampling()) {
                let h = batch_hessian(&hessians, analysis.sampling(), &batch);
                source += &h * &identity * &h * Scale(0.09 * p);
            }
            let brute = brute_covariance(&hessians, analysis.sampling(), eta, &source);
            let error = (&floor.covariance - &brute).norm_max();
            prop_assert!(error <= 1e-8 * brute.norm_max(), "{error}");
            let excess: f64 = (0..hessians.dim()).map(|a| 0.5 * eigenvalues[a] * brute[(a, a)]).sum();
            prop_assert!((floor.expected_excess_loss - excess).abs() <= 1e-8 * excess);
            prop_assert!(analysis.noise_floor_of_perturbation(1.01 * threshold, 0.3).unwrap().is_none(), "unstable");
            // Negative control: twice the noise is four times the floor, not twice.
            let doubled = analysis.noise_floor_of_perturbation(eta, 0.6).unwrap().expect("stable");
            prop_assert!((doubled.mean_squared_distance / floor.mean_squared_distance - 4.0).abs() < 1e-9);
        }
    }
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
    let culprits = analysis.culprits(&threshold).unwrap();
    let total: f64 = culprits.full_batch_share + culprits.sample_shares.iter().sum::<f64>();
    assert!((total - 1.0).abs() < 1e-12 && culprits.full_batch_share.abs() < 1e-12, "{culprits:?}");
    assert!(
        (culprits.sample_shares[9] - 1.0).abs() < 1e-9 && culprits.direction_share > 0.999,
        "{culprits:?}"
    );
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
    assert!(flat.culprits(&threshold).unwrap().direction.is_empty());

    let single = Factored::new(1, 1, 1, vec![2.0]).unwrap();
    let threshold =
        analysis(&single, SamplingScheme::WithoutReplacement, 1, 0.0, 0.9).max_learning_rate().unwrap();
    assert!((threshold.value - 2.0 * 1.9 / 4.0).abs() < 1e-12, "gradient descent with momentum");

    let reduced = Reduced::of(&single).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 1, 1).unwrap();
    let sgd = MeanSquare::new(&reduced, UpdateRule::Sgd, sampling).unwrap();
    for momentum in [1.0, -1.0, 1.5, f64::NAN] {
        let error = sgd.clone().with_momentum(momentum).unwrap_err().to_string();
        assert!(error.starts_with("momentum is"), "{error}");
    }
    for learning_rate in [0.0, -1.0, f64::NAN] {
        assert!(sgd.growth_per_step(learning_rate).is_err(), "{learning_rate}");
    }
    let wrong = BatchSampling::new(SamplingScheme::WithoutReplacement, 2, 1).unwrap();
    assert!(MeanSquare::new(&reduced, UpdateRule::Sgd, wrong).is_err(), "two samples for one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn necessary_conditions_are_upper_bounds_in_their_order(
        seed: u64, n in 1_usize..12, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..8, c in 0.0_f64..3.0,
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        for scheme in SCHEMES {
            let analysis = analysis(&ensemble, scheme, b, c, 0.0);
            let exact = analysis.max_learning_rate().unwrap().value;
            let bounds = analysis.necessary_conditions().unwrap();
            let slack = 1.0 - 1e-10;
            prop_assert!(bounds.sharpest_direction >= exact * slack, "{bounds:?} {exact}");
            prop_assert!(bounds.trace >= exact * slack, "{bounds:?} {exact}");
            prop_assert!(bounds.sample_directions >= exact * slack, "{bounds:?} {exact}");
            prop_assert!(bounds.worst_direction >= exact * slack, "{bounds:?} {exact}");
            prop_assert!(bounds.worst_direction <= bounds.sharpest_direction.min(bounds.sample_directions) / slack);
            prop_assert!(bounds.sharpest_direction <= analysis.gradient_descent_limit() / slack);
            prop_assert_eq!(bounds.per_sample.is_some(), scheme == SamplingScheme::Bernoulli);
            prop_assert!(bounds.per_sample.is_none_or(|bound| bound >= exact * slack));
        }
    }

    #[test]
    fn the_smallest_batch_is_the_smallest(seed: u64, n in 1_usize..12, k in 1_usize..3, dim in 1_usize..6, factor in 0.01_f64..1.2) {
        let ensemble = random_factored(seed, n, k, dim);
        for scheme in SCHEMES {
            let full = analysis(&ensemble, scheme, n, 0.0, 0.0);
            let eta = factor * full.max_learning_rate().unwrap().value;
            let thresholds: Vec<f64> =
                (1..=n).map(|b| analysis(&ensemble, scheme, b, 0.0, 0.0).max_learning_rate().unwrap().value).collect();
            for pair in thresholds.windows(2) {
                prop_assert!(pair[0] <= pair[1] * (1.0 + 1e-9), "the threshold does not decrease with the batch size");
            }
            let expected = thresholds.iter().position(|threshold| eta < *threshold).map(|at| at + 1);
            prop_assert_eq!(full.min_batch_size(eta).unwrap(), expected);
        }
    }

    #[test]
    fn laws_of_scaling(seed: u64, n in 1_usize..8, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..6, scale in 0.1_f64..10.0, beta in -0.9_f64..0.95) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let rows = ensemble.rows();
        let entries = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..n * k).flat_map(|row| (0..dim).map(move |p| (row, p))).map(|(row, p)| f(row, p)).collect()
        };
        let scaled = Factored::new(n, k, dim, entries(&|row, p| scale * rows[(row, p)])).unwrap();
        // Samples in another order, parameters rotated by a reflection.
        let permuted = Factored::new(n, k, dim, entries(&|row, p| rows[((n - 1 - row / k) * k + row % k, dim - 1 - p)])).unwrap();
        for scheme in SCHEMES {
            let threshold = |ensemble: &Factored| analysis(ensemble, scheme, b, 0.0, beta).max_learning_rate().unwrap().value;
            let plain = threshold(&ensemble);
            prop_assert!((threshold(&scaled) * scale * scale - plain).abs() <= 1e-9 * plain);
            prop_assert!((threshold(&permuted) - plain).abs() <= 1e-9 * plain);
        }
        let full = analysis(&ensemble, SamplingScheme::WithoutReplacement, n, 0.0, beta);
        let limit = full.gradient_descent_limit();
        prop_assert!((full.max_learning_rate().unwrap().value - limit).abs() <= 1e-12 * limit, "B = n is gradient descent");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn ascent_on_the_batch_is_exact_by_enumeration(
        seed: u64, n in 1_usize..6, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..4, c in 0.0_f64..2.0,
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b).unwrap();
        let hessians = Brute::new(&ensemble, 0.0).hessians;
        let d = hessians.dim();
        for micro in [b, 1, 2] {
            let sam = BatchAscentSam::new(c).unwrap().with_micro_batches(micro).unwrap();
            let threshold = sam.enumerated(&reduced, sampling).unwrap().expect("few batches").max_learning_rate().unwrap().value;
            let growth = |eta: f64| {
                let mut moment = Mat::<f64>::zeros(d * d, d * d);
                // Every order of all samples: the first `b` are the batch, cut as they come. Each is as likely as the others.
                let orders = orders(n);
                for order in &orders {
                    let mut ascended = Mat::<f64>::zeros(d, d);
                    for chunk in order[..b].chunks(micro) {
                        let h = chunk.iter().fold(Mat::<f64>::zeros(d, d), |sum, &i| sum + hessians.sample_hessian(i))
                            * Scale(1.0 / chunk.len() as f64);
                        ascended += (&h + &h * &h * Scale(c)) * Scale(chunk.len() as f64 / b as f64);
                    }
                    let step = Mat::<f64>::identity(d, d) - ascended * Scale(eta);
                    let p = 1.0 / orders.len() as f64;
                    add_kronecker(&mut moment, step.as_ref(), p);
                }
                spectral_radius(moment.as_ref())
            };
            prop_assert!(growth(threshold * (1.0 - 1e-8)) < 1.0 && growth(threshold * (1.0 + 1e-8)) > 1.0, "{micro:?} {threshold}");
        }
    }
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |order: Vec<usize>| (0..n).map(move |at| [&order[..at], &[last], &order[at..]].concat());
    orders(last).into_iter().flat_map(insert).collect()
}

#[test]
fn sampled_batches_estimate_the_enumerated_threshold() {
    let reduced = Reduced::of(&random_factored(11, 8, 1, 5)).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 8, 3).unwrap();
    let sam = BatchAscentSam::new(0.5).unwrap();
    let exact =
        sam.enumerated(&reduced, sampling).unwrap().expect("56 batches").max_learning_rate().unwrap().value;
    let mut rng = rand_pcg::Pcg64::new(1, 1);
    let found = sam.sampled_threshold(&reduced, sampling, (20, 400), &mut rng).unwrap();
    // 5 standard errors and a bias of the order of one in 400.
    let error = 5.0 * found.standard_error + 0.01 * exact;
    assert!((found.mean - exact).abs() < error && error < 0.1 * exact, "{found:?} against {exact}");
    // In one dimension, curvatures 1, 1, 1, 3 one at a time: small groups are biased, and most of that is recognised.
    let reduced = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()]).unwrap()).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
    let plain = BatchAscentSam::new(0.0).unwrap();
    let small = plain.sampled_threshold(&reduced, sampling, (4000, 16), &mut rng).unwrap();
    let bias = small.mean - 1.0;
    assert!(bias > 5.0 * small.standard_error && (bias - small.bias).abs() < 0.4 * bias, "{small:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_preconditioner_is_a_congruence(seed: u64, n in 1_usize..5, k in 1_usize..3, dim in 1_usize..4, at in 0_usize..1000) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let preconditioner: Vec<f64> = (0..dim).map(|p| 0.5 + p as f64).collect();
        let scales: Vec<f64> = preconditioner.iter().map(|d| d.sqrt().recip()).collect();
        let analysis = analysis(&ensemble.rescaled(&scales).unwrap(), SamplingScheme::WithReplacement, b, 0.0, 0.0);
        let threshold = analysis.max_learning_rate().unwrap().value;
        // The literal rule w <- w - eta D^{-1} H_t w on the whole space: a flat direction has growth 1, so look above.
        let literal = |eta: f64| {
            let mut moment = Mat::<f64>::zeros(dim * dim, dim * dim);
            for (p, batch) in enumerate_batches(analysis.sampling()) {
                let h = batch_hessian(&ensemble, analysis.sampling(), &batch);
                let step = Mat::from_fn(dim, dim, |i, j| f64::from(u8::from(i == j)) - eta * h[(i, j)] / preconditioner[i]);
                add_kronecker(&mut moment, step.as_ref(), p);
            }
            spectral_radius(moment.as_ref())
        };
        prop_assert!(literal(threshold * (1.0 + 1e-5)) > 1.0 + 1e-9, "grows above");
        prop_assert!(literal(threshold * (1.0 - 1e-5)) < 1.0 + 1e-9, "does not grow below");
    }

    #[test]
    fn dense_and_axis_aligned_families_reduce_to_the_same(seed: u64, n in 1_usize..6, dim in 1_usize..5, at in 0_usize..1000) {
        let b = 1 + at * n / 1000;
        let axis_aligned = random_axis_aligned(seed, n, dim);
        let factored = Factored::from_ensemble(&Dense::from_ensemble(&axis_aligned)).unwrap();
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let rule = UpdateRule::Sam { rho_over_alpha: 0.3 };
            let exact = AxisAlignedDynamics::new(&axis_aligned, rule, sampling).unwrap().max_learning_rate();
            let reduced = Reduced::of(&factored).unwrap();
            let found = MeanSquare::new(&reduced, rule, sampling).unwrap().max_learning_rate().unwrap().value;
            prop_assert!((found.is_infinite() && exact.is_infinite()) || (found - exact).abs() <= 1e-9 * exact, "{found} against {exact}");
        }
    }
}

#[test]
fn noise_in_the_null_space_is_reported() {
    // Two samples that curve the first of three directions; gradients cancel on average.
    let ensemble = Factored::new(2, 1, 3, vec![1.0, 0.0, 0.0, 2.0, 0.0, 0.0]).unwrap();
    let reduced = Reduced::of(&ensemble).unwrap();
    let gradients = Mat::from_fn(2, 3, |i, p| [1.0, -1.0][i] * [0.5, 0.0, 2.0][p]);
    let sampling = BatchSampling::new(SamplingScheme::WithReplacement, 2, 1).unwrap();
    let noise = GradientNoise::of(&ensemble, &reduced, gradients.as_ref(), sampling).unwrap();
    assert!(
        (noise.null_space_variance - 4.0).abs() < 1e-12 && (noise.source[(0, 0)] - 0.25).abs() < 1e-12,
        "{noise:?}"
    );
    assert!(noise.relative_mean < 1e-15, "{noise:?}");
    let floor = MeanSquare::new(&reduced, UpdateRule::Sgd, sampling)
        .unwrap()
        .noise_floor(0.1, noise.source.as_ref())
        .unwrap();
    // Scalar: S (1 - g) = eta^2 q with g = 1 - 2 eta l + eta^2 (l^2 + s^2), l = 5/2, l^2 + s^2 = 17/2.
    let expected = 0.01 * 0.25 / (0.2 * 2.5 - 0.01 * 8.5);
    assert!((floor.expect("stable").mean_squared_distance - expected).abs() < 1e-12, "{expected}");
    let elsewhere = Mat::from_fn(2, 3, |_, p| f64::from(u8::from(p == 0)));
    let elsewhere = GradientNoise::of(&ensemble, &reduced, elsewhere.as_ref(), sampling).unwrap();
    assert!((elsewhere.relative_mean - 1.0).abs() < 1e-12, "not at a minimum");
    assert!(
        GradientNoise::of(&ensemble, &reduced, Mat::zeros(2, 2).as_ref(), sampling).is_err(),
        "gradients of length 2"
    );
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

/// A Bernoulli batch larger than the nominal size is one batch.
#[test]
fn sampled_bernoulli_batches_are_whole() {
    let ensemble = random_factored(2, 4, 1, 2);
    let reduced = Reduced::of(&ensemble).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1).unwrap();
    let (c, hessians) = (2.0, Brute::new(&ensemble, 0.0).hessians);
    let d = hessians.dim();
    let growth = |eta: f64| {
        let mut moment = Mat::<f64>::zeros(d * d, d * d);
        for (p, batch) in enumerate_batches(sampling) {
            let h = batch_hessian(&hessians, sampling, &batch);
            let step = Mat::<f64>::identity(d, d) - (&h + &h * &h * Scale(c)) * Scale(eta);
            add_kronecker(&mut moment, step.as_ref(), p);
        }
        spectral_radius(moment.as_ref())
    };
    let mut rng = rand_pcg::Pcg64::new(5, 5);
    let found =
        BatchAscentSam::new(c).unwrap().sampled_threshold(&reduced, sampling, (20, 1500), &mut rng).unwrap();
    let slack = 1.0 + 0.02 + 5.0 * found.standard_error / found.mean;
    assert!(growth(found.mean / slack) < 1.0 && growth(found.mean * slack) > 1.0, "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Families with closed forms: identical samples, rank one, orthogonal samples.
    #[test]
    fn solvable_families_have_their_closed_forms(
        seed: u64, n in 1_usize..9, at in 0_usize..1000, dim in 1_usize..6, beta in -0.9_f64..0.95,
    ) {
        let b = 1 + at * n / 1000;
        let one = random_factored(seed, 1, 1, dim);
        let f: Vec<f64> = (0..dim).map(|p| one.rows()[(0, p)]).collect();
        let length: f64 = f.iter().map(|x| x * x).sum();
        let scales: Vec<f64> = (0..n).map(|i| 0.5 + ((seed % 97) as f64 + 1.3 * i as f64).sin().abs()).collect();
        // Scalar: mean l and batch variance s^2 give 2 / (l / (1 + beta) + s^2 / (l (1 - beta))).
        let scalar = |curvatures: &[f64], sampling: BatchSampling| {
            let mean = curvatures.iter().sum::<f64>() / n as f64;
            let second = curvatures.iter().map(|h| h * h).sum::<f64>() / n as f64;
            let weights = sampling.moment_weights();
            let variance = (weights.full_batch - 1.0) * mean * mean + weights.per_sample * second;
            2.0 / (mean / (1.0 + beta) + variance.max(0.0) / (mean * (1.0 - beta)))
        };
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let threshold = |ensemble: &Factored| analysis(ensemble, scheme, b, 0.0, beta).max_learning_rate().unwrap().value;
            let identical = Factored::new(n, 1, dim, f.repeat(n)).unwrap();
            let expected = scalar(&vec![length; n], sampling);
            prop_assert!((threshold(&identical) - expected).abs() <= 1e-9 * expected, "identical {scheme:?}");
            let rank_one = Factored::new(n, 1, dim, scales.iter().flat_map(|s| f.iter().map(move |x| s * x)).collect()).unwrap();
            let curvatures: Vec<f64> = scales.iter().map(|s| s * s * length).collect();
            let expected = scalar(&curvatures, sampling);
            prop_assert!((threshold(&rank_one) - expected).abs() <= 1e-9 * expected, "rank one {scheme:?}");
            // Each orthogonal sample is alone on its axis; with fixed-size batches the axes still share the batch.
            let rows = (0..n * n).map(|at| if at / n == at % n { scales[at / n] } else { 0.0 }).collect();
            let orthogonal = threshold(&Factored::new(n, 1, n, rows).unwrap());
            let alone = |i: usize| -> Vec<f64> {
                (0..n).map(|j| if i == j { scales[i] * scales[i] } else { 0.0 }).collect()
            };
            let expected = (0..n).map(|i| scalar(&alone(i), sampling)).fold(f64::INFINITY, f64::min);
            prop_assert!((orthogonal - expected).abs() <= 1e-9 * expected, "orthogonal {scheme:?} {orthogonal} {expected}");
        }
    }
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
