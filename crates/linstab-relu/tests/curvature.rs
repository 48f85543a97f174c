//! Gradients, Hessians and what is made of them, against the dense oracle and finite differences.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_linalg::lanczos::{LanczosOptions, SymmetricOperator};
use linstab_linalg::{Mat, symmetric};
use linstab_relu::testing::{
    distance_to_kink, finite_difference_gradient, mean_loss, predict, prediction_gradient,
    prediction_hessian, random_dataset, random_network, sample_hessian,
};
use linstab_relu::{Curvature, Dataset, ReluError, SquaredLoss, TwoLayer};
use proptest::prelude::*;
use rand_pcg::{Pcg64, rand_core::SeedableRng};

/// Rounding of sums of some hundred terms, relative to a bound on their size (see `magnitude`).
const RTOL: f64 = 1e-12;

fn losses() -> impl Strategy<Value = SquaredLoss> {
    prop_oneof![Just(SquaredLoss::Half), Just(SquaredLoss::Full)]
}

fn dense_hessians(network: &TwoLayer, data: &Dataset, loss: SquaredLoss) -> Vec<Mat<f64>> {
    (0..data.num_samples()).map(|i| sample_hessian(network, data, i, loss)).collect()
}

fn trace_of_product(left: &Mat<f64>, right: &Mat<f64>) -> f64 {
    let size = left.nrows();
    (0..size).map(|p| (0..size).map(|q| left[(p, q)] * right[(p, q)]).sum::<f64>()).sum()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Size of the numbers that a gradient is made of: where the terms of a pre-activation cancel, it is larger than the gradient.
fn magnitude(gradient: &[f64], input: &[f64]) -> f64 {
    dot(gradient, gradient).sqrt() + (dot(input, input) + 1.0).sqrt()
}

proptest! {
    /// The oracle itself: its derivatives are those of the function.
    #[test]
    fn the_oracle_agrees_with_finite_differences(seed: u64, d in 1_usize..5, width in 1_usize..5) {
        let network = TwoLayer::uniform(d, width, &mut Pcg64::seed_from_u64(seed)).unwrap();
        let data = random_dataset(seed, 1, d);
        // A step of 1e-5 in a weight moves a pre-activation by at most 2e-5.
        prop_assume!(distance_to_kink(&network, &data) > 1e-4);
        let (input, w) = (data.input(0), network.parameters());
        let gradient = prediction_gradient(&network, input);
        let differences = finite_difference_gradient(|w| predict(w, width, input), w, 1e-5);
        for (exact, difference) in gradient.iter().zip(&differences) {
            prop_assert!((exact - difference).abs() < 1e-6, "{exact} against {difference}");
        }
        let hessian = prediction_hessian(&network, input);
        for p in 0..w.len() {
            let of_gradient = |w: &[f64]| {
                prediction_gradient(&TwoLayer::new(d, width, w.to_vec()).unwrap(), input)[p]
            };
            for (q, difference) in finite_difference_gradient(of_gradient, w, 1e-5).iter().enumerate() {
                prop_assert!((hessian[(p, q)] - difference).abs() < 1e-6, "({p}, {q})");
            }
        }
    }

    #[test]
    fn the_mean_gradient_agrees_with_finite_differences(
        seed: u64, n in 1_usize..6, d in 1_usize..5, width in 1_usize..5, loss in losses()
    ) {
        let network = TwoLayer::uniform(d, width, &mut Pcg64::seed_from_u64(seed)).unwrap();
        let data = random_dataset(seed, n, d);
        prop_assume!(distance_to_kink(&network, &data) > 1e-4);
        let curvature = Curvature::at(&network, &data, loss).unwrap();
        let differences =
            finite_difference_gradient(|w| mean_loss(w, width, &data, loss), network.parameters(), 1e-5);
        for (exact, difference) in curvature.mean_gradient().iter().zip(&differences) {
            prop_assert!((exact - difference).abs() < 1e-6, "{exact} against {difference}");
        }
        let slow = mean_loss(network.parameters(), width, &data, loss);
        prop_assert!((curvature.mean_loss() - slow).abs() <= RTOL * slow);
    }

    #[test]
    fn pairs_agree_with_the_dense_oracle(
        seed: u64, n in 1_usize..20, d in 1_usize..10, width in 1_usize..6, loss in losses()
    ) {
        let (network, data) = (random_network(seed, d, width), random_dataset(seed, n, d));
        let curvature = Curvature::at(&network, &data, loss).unwrap();
        let gradients: Vec<Vec<f64>> = (0..n).map(|i| prediction_gradient(&network, data.input(i))).collect();
        let hessians = dense_hessians(&network, &data, loss);
        let (gram, products) = (curvature.gradient_gram(), curvature.full_inner_products());
        let of_losses = curvature.loss_gradient_gram();
        for i in 0..n {
            prop_assert_eq!(curvature.active_units(i).is_empty(), hessians[i].norm_max() <= 0.0);
            for j in 0..n {
                let slow = dot(&gradients[i], &gradients[j]);
                let scale = magnitude(&gradients[i], data.input(i)) * magnitude(&gradients[j], data.input(j));
                prop_assert!((gram[(i, j)] - slow).abs() <= RTOL * scale, "g_{i} . g_{j}");
                let (e_i, e_j) = (curvature.residuals()[i], curvature.residuals()[j]);
                let factor = loss.curvature_factor().powi(2) * e_i * e_j;
                let error = (of_losses[(i, j)] - factor * slow).abs();
                prop_assert!(error <= RTOL * factor.abs() * scale);
                let slow = trace_of_product(&hessians[i], &hessians[j]);
                let scale = (loss.curvature_factor() * scale).powi(2) * (1.0 + e_i.abs()) * (1.0 + e_j.abs());
                prop_assert!((products[(i, j)] - slow).abs() <= RTOL * scale, "tr(H_{i} H_{j})");
                prop_assert_eq!(products[(i, j)].to_bits(), products[(j, i)].to_bits());
            }
        }
    }

    #[test]
    fn sample_sharpness_agrees_with_the_dense_oracle(
        seed: u64, n in 1_usize..6, d in 1_usize..8, width in 1_usize..6, loss in losses()
    ) {
        let (network, data) = (random_network(seed, d, width), random_dataset(seed, n, d));
        let sharpness = Curvature::at(&network, &data, loss).unwrap().sample_sharpness();
        for (i, hessian) in dense_hessians(&network, &data, loss).iter().enumerate() {
            let (fast, slow) = (sharpness[i], symmetric::top_eigenvalue(hessian.as_ref()).unwrap());
            // The dense solver is accurate to some epsilon of the norm.
            let of_terms = magnitude(&prediction_gradient(&network, data.input(i)), data.input(i));
            let scale = hessian.norm_l2() + of_terms * of_terms;
            prop_assert!((fast - slow).abs() <= RTOL * scale, "{fast} against {slow}");
        }
    }

    #[test]
    fn the_mean_operator_agrees_with_the_dense_oracle(
        seed: u64, n in 1_usize..6, d in 1_usize..9, width in 1_usize..6, loss in losses()
    ) {
        let (network, data) = (random_network(seed, d, width), random_dataset(seed, n, d));
        let curvature = Curvature::at(&network, &data, loss).unwrap();
        let size = curvature.num_parameters();
        let mut mean = Mat::<f64>::zeros(size, size);
        for hessian in dense_hessians(&network, &data, loss) {
            mean += hessian * linstab_linalg::Scale(1.0 / n as f64);
        }
        let sizes = (0..n).map(|i| magnitude(&prediction_gradient(&network, data.input(i)), data.input(i)).powi(2));
        let scale = mean.norm_l2() + sizes.sum::<f64>() / n as f64;
        let mut operator = curvature.mean_hessian();
        let (mut unit, mut image) = (vec![0.0; size], vec![0.0; size]);
        for p in 0..size {
            unit.fill(0.0);
            unit[p] = 1.0;
            operator.apply(&unit, &mut image);
            for (q, x) in image.iter().enumerate() {
                prop_assert!((x - mean[(q, p)]).abs() <= RTOL * scale, "({q}, {p})");
            }
        }
        let trace: f64 = (0..size).map(|p| mean[(p, p)]).sum();
        prop_assert!((curvature.trace() - trace).abs() <= RTOL * scale * size as f64);
        let slow = symmetric::top_eigenvalue(mean.as_ref()).unwrap();
        let top = curvature.sharpness(None, LanczosOptions::default()).unwrap();
        prop_assert!((top.value - slow).abs() <= 1e-10 * scale, "{} against {slow}", top.value);
        let again = curvature.sharpness(Some(&top.vector), LanczosOptions::default()).unwrap();
        prop_assert!((again.value - slow).abs() <= 1e-10 * scale);
        prop_assert!(again.num_applications <= top.num_applications, "a warm start is no slower");
    }

    #[test]
    fn gauss_newton_factors_are_scaled_gradients(
        seed: u64, n in 1_usize..6, d in 1_usize..9, width in 1_usize..6, loss in losses()
    ) {
        let (network, data) = (random_network(seed, d, width), random_dataset(seed, n, d));
        let curvature = Curvature::at(&network, &data, loss).unwrap();
        let ensemble = curvature.gauss_newton().unwrap();
        let root = loss.curvature_factor().sqrt();
        let mut weights = vec![0.0; n];
        for i in 0..n {
            let gradient = prediction_gradient(&network, data.input(i));
            weights.fill(0.0);
            weights[i] = 1.0;
            let single = curvature.combined_gradients(&weights);
            let scale = magnitude(&gradient, data.input(i));
            for (p, g) in gradient.iter().enumerate() {
                prop_assert!((ensemble.rows()[(i, p)] - root * g).abs() <= RTOL * scale);
                prop_assert!((single[p] - g).abs() <= RTOL * scale);
            }
        }
    }
}

/// `f = 2 relu(3 x + 1)` at `x = 1`: `g = (4; 2, 2)`, `f = 8`, with a residual of choice.
fn one_unit(residual: f64) -> (TwoLayer, Dataset) {
    let network = TwoLayer::new(1, 1, vec![2.0, 3.0, 1.0]).unwrap();
    (network, Dataset::new(1, vec![1.0], vec![8.0 - residual]).unwrap())
}

/// Each factor of the formulas matters: changing any of them is far outside of the tolerances above.
#[test]
fn a_wrong_factor_is_caught() {
    for residual in [0.7, -0.7] {
        let (network, data) = one_unit(residual);
        let curvature = Curvature::at(&network, &data, SquaredLoss::Half).unwrap();
        let hessian = sample_hessian(&network, &data, 0, SquaredLoss::Half);
        let exact = trace_of_product(&hessian, &hessian);
        // G = 24, g^T F g = 2 X a W2 = 2 * 2 * 4 * 2, tr(F F) = 2 X.
        let with_factors = |cross: f64, second: f64| {
            24.0_f64.powi(2) + cross * residual * 32.0 + second * residual * residual * 4.0
        };
        assert!((curvature.full_inner_products()[(0, 0)] - exact).abs() < 1e-11);
        assert!((with_factors(2.0, 1.0) - exact).abs() < 1e-11);
        for (cross, second) in [(1.0, 1.0), (4.0, 1.0), (2.0, 0.5), (2.0, 2.0), (-2.0, 1.0)] {
            assert!((with_factors(cross, second) - exact).abs() > 0.1, "{cross} {second}");
        }
        let full = Curvature::at(&network, &data, SquaredLoss::Full).unwrap().full_inner_products();
        assert!((full[(0, 0)] - 4.0 * exact).abs() < 1e-10, "4 s^2");
        let exact = symmetric::top_eigenvalue(hessian.as_ref()).unwrap();
        let with = |f: f64| 12.0 + (144.0 + 2.0 * residual * (f * 8.0 + residual)).sqrt();
        assert!((curvature.sample_sharpness()[0] - exact).abs() < 1e-12);
        assert!((with(2.0) - exact).abs() < 1e-12);
        assert!((with(1.0) - exact).abs() > 0.1 && (with(-2.0) - exact).abs() > 0.1);
    }
}

/// A unit whose pre-activation is exactly 0 is silent, in value and in every derivative.
#[test]
fn a_unit_on_its_kink_is_silent() {
    let network = TwoLayer::from_parts(2, &[5.0, 1.0], &[1.0, 1.0, 1.0, 0.0], &[-2.0, 0.0]).unwrap();
    let data = Dataset::new(2, vec![1.0, 1.0, -1.0, -1.0], vec![1.0, 1.0]).unwrap();
    let curvature = Curvature::at(&network, &data, SquaredLoss::Half).unwrap();
    assert_eq!((curvature.active_units(0), curvature.active_units(1)), (&[1_usize][..], &[][..]));
    // g_1 = (0, 1; 0, 0, 1, 1; 0, 1), and nothing fires for the second sample.
    assert_eq!(curvature.gradient_gram(), Mat::from_fn(2, 2, |i, j| if i + j == 0 { 4.0 } else { 0.0 }));
    assert_eq!(curvature.sample_sharpness()[1].to_bits(), 0);
    assert_eq!(curvature.full_inner_products()[(1, 1)].to_bits(), 0);
}

#[test]
fn closed_form_sharpness_at_the_edges() {
    // Two active units of opposite output weights: f = 0.
    let network = TwoLayer::from_parts(1, &[1.0, -1.0], &[1.0, 1.0], &[0.0, 0.0]).unwrap();
    for label in [-3.0, 0.0, 3.0] {
        let data = Dataset::new(1, vec![1.0], vec![label]).unwrap();
        let sharpness = Curvature::at(&network, &data, SquaredLoss::Half).unwrap().sample_sharpness()[0];
        // |g|^2 = 2 + 2 * 2 and |xt|^2 = 2: 3 + sqrt(9 + 2 e^2).
        assert!((sharpness - (3.0 + (9.0 + 2.0 * label * label).sqrt())).abs() < 1e-13, "{sharpness}");
    }
    // One active unit at a_u = |xt| W2: the two parts of g are as unequal as can be, beta = 0.
    let network = TwoLayer::new(1, 1, vec![1.0, 2.0_f64.sqrt(), 0.0]).unwrap();
    for label in [0.0, 1e8] {
        let data = Dataset::new(1, vec![1.0], vec![label]).unwrap();
        let sharpness = Curvature::at(&network, &data, SquaredLoss::Half).unwrap().sample_sharpness()[0];
        let hessian = sample_hessian(&network, &data, 0, SquaredLoss::Half);
        let dense = symmetric::top_eigenvalue(hessian.as_ref()).unwrap();
        assert!((sharpness - dense).abs() < 1e-12 * hessian.norm_l2(), "{sharpness} against {dense}");
    }
}

#[test]
fn overflow_is_refused_by_name() {
    let data = Dataset::new(1, vec![1.0, 0.0], vec![0.0, 0.0]).unwrap();
    for (output, hidden) in [(1e200, 1e200), (1e80, 1.0), (1.0, 1e308), (f64::MAX, f64::MAX)] {
        let network = TwoLayer::new(1, 1, vec![output, hidden, hidden]).unwrap();
        let error = Curvature::at(&network, &data, SquaredLoss::Full).unwrap_err();
        assert_eq!(error, ReluError::Overflow { sample: 0 });
    }
    let network = TwoLayer::new(1, 1, vec![1e200, 1e200, 0.0]).unwrap();
    assert_eq!(network.predictions(&data).unwrap_err(), ReluError::Overflow { sample: 0 });
}
