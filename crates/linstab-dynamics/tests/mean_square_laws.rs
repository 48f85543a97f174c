//! Laws that thresholds obey: scaling, symmetry, order, closed forms of solvable families.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::mean_square::ThresholdTracker;
use linstab_dynamics::testing::{SCHEMES, analysis};
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::{random_axis_aligned, random_factored};
use linstab_linalg::{Dense, Factored, Mat, MatRef, Reduced, symmetric};
use proptest::prelude::*;

/// The ensemble with the factors that are the rows of a matrix.
fn with_rows(num_samples: usize, num_factors: usize, rows: MatRef<'_, f64>) -> Factored {
    let entries = (0..rows.nrows()).flat_map(|row| (0..rows.ncols()).map(move |p| rows[(row, p)])).collect();
    Factored::new(num_samples, num_factors, rows.ncols(), entries).unwrap()
}

/// A random orthogonal matrix: the eigenvectors of a random symmetric one.
fn random_rotation(seed: u64, dim: usize) -> Mat<f64> {
    let noise = random_factored(seed, 1, dim, dim);
    let symmetric = noise.factors(0) + noise.factors(0).transpose();
    symmetric::eigenpairs(symmetric.as_ref()).unwrap().1
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
        // Samples and parameters in another order.
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

/// Negative control of the rotations: once one direction is stretched by 1 %, the thresholds are other ones.
#[test]
fn a_stretched_rotation_is_caught() {
    let ensemble = random_factored(5, 6, 1, 4);
    let mut stretched: Mat<f64> = ensemble.rows() * random_rotation(9, 4);
    for row in 0..stretched.nrows() {
        stretched[(row, 0)] *= 1.01;
    }
    let stretched = with_rows(6, 1, stretched.as_ref());
    for scheme in SCHEMES {
        let threshold =
            |ensemble: &Factored| analysis(ensemble, scheme, 2, 0.4, 0.5).max_learning_rate().unwrap().value;
        let (plain, wrong) = (threshold(&ensemble), threshold(&stretched));
        assert!((wrong - plain).abs() > 1e-6 * plain, "{scheme:?} {wrong} against {plain}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Any orthogonal matrix, not only a change of order: the Gram matrix is the same up to rounding.
    #[test]
    fn rotations_of_the_parameters_change_nothing(
        seed: u64, n in 1_usize..8, at in 0_usize..1000, k in 1_usize..3, dim in 2_usize..12, beta in -0.9_f64..0.95,
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let rotation = random_rotation(!seed, dim);
        let orthogonality = rotation.transpose() * &rotation - Mat::<f64>::identity(dim, dim);
        prop_assert!(orthogonality.norm_max() < 1e-13, "a rotation");
        let turned: Mat<f64> = ensemble.rows() * &rotation;
        let moved = (&turned - ensemble.rows()).norm_l2() / turned.norm_l2();
        prop_assume!(moved > 1e-3, "next to the identity there is nothing to see");
        let turned = with_rows(n, k, turned.as_ref());
        for scheme in SCHEMES {
            let threshold = |ensemble: &Factored| analysis(ensemble, scheme, b, 0.4, beta).max_learning_rate().unwrap().value;
            let (plain, rotated) = (threshold(&ensemble), threshold(&turned));
            prop_assert!((rotated - plain).abs() <= 1e-11 * plain, "{scheme:?} {rotated} against {plain}");
        }
    }

    /// Curvatures from 1e-95 to 1e95 times the usual: nothing overflows, underflows or has a scale of its own.
    #[test]
    fn no_scale_is_special(
        seed: u64, n in 1_usize..8, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..6, exponent in -95_i32..=95, beta in -0.9_f64..0.95,
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let scale = 10.0_f64.powi(exponent);
        let scaled = ensemble.rescaled(&vec![scale.sqrt(); dim]).unwrap();
        for scheme in SCHEMES {
            let plain = analysis(&ensemble, scheme, b, 0.0, beta).max_learning_rate().unwrap();
            let found = analysis(&scaled, scheme, b, 0.0, beta).max_learning_rate().unwrap();
            let error = (found.value * scale - plain.value).abs();
            prop_assert!(error <= 1e-10 * plain.value, "{scheme:?} 1e{exponent}: {found:?} against {plain:?}");
            prop_assert_eq!(found.certificate, plain.certificate);
        }
    }

    #[test]
    fn dense_and_axis_aligned_families_reduce_to_the_same(seed: u64, n in 1_usize..6, dim in 1_usize..5, at in 0_usize..1000) {
        let b = 1 + at * n / 1000;
        let axis_aligned = random_axis_aligned(seed, n, dim);
        let factored = Factored::from_ensemble(&Dense::from_ensemble(&axis_aligned)).unwrap();
        for scheme in SCHEMES {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let rule = Optimizer::sam(0.3).unwrap();
            let exact = AxisAlignedDynamics::new(&axis_aligned, rule, sampling).unwrap().max_learning_rate();
            let reduced = Reduced::of(&factored).unwrap();
            let found = MeanSquare::new(&reduced, rule, sampling).unwrap().max_learning_rate().unwrap().value;
            prop_assert!((found.is_infinite() && exact.is_infinite()) || (found - exact).abs() <= 1e-9 * exact, "{found} against {exact}");
        }
    }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// A tracked threshold is the certified one to what it promises, however far from the one before: of curvatures that grew, of others, of
    /// other numbers of samples.
    #[test]
    fn a_tracked_threshold_is_the_certified_one(
        seed: u64, n in 1_usize..12, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..8, log_scale in -2.0_f64..2.0, beta in -0.9_f64..0.95,
    ) {
        let first = random_factored(seed, n, k, dim);
        let scale = 10.0_f64.powf(log_scale);
        let grown = first.rescaled(&vec![scale; dim]).unwrap();
        let steps = [first, grown, random_factored(seed ^ 1, n, k, dim), random_factored(seed, n + 1, k, dim)];
        for scheme in SCHEMES {
            let mut tracker = ThresholdTracker::default();
            for ensemble in &steps {
                let b = 1 + at * n / 1000;
                let analysis = analysis(ensemble, scheme, b, 0.3, beta);
                let (exact, found) = (analysis.max_learning_rate().unwrap().value, tracker.next(&analysis).unwrap());
                prop_assert!((found - exact).abs() <= 1e-4 * exact, "{scheme:?} {found} against {exact}");
            }
        }
    }
}
