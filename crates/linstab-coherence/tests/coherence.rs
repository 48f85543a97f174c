//! Coherence against its definition, and the criteria against exact thresholds.

use linstab_coherence::criteria::{self, Problem};
use linstab_coherence::{Coherence, CoherenceError, coherence_matrix};
use linstab_dynamics::{AxisAlignedDynamics, BatchSampling, Optimizer, SamplingScheme};
use linstab_linalg::testing::{random_axis_aligned, random_factored};
use linstab_linalg::{AxisAligned, Dense, Ensemble, Factored, symmetric};
use proptest::prelude::*;

proptest! {
    /// `n l_1 <= lambda_max(S) <= n |H|_F` and `sigma >= 1`, whatever the ranks.
    #[test]
    fn the_top_eigenvalue_is_sandwiched(seed: u64, n in 1_usize..9, k in 1_usize..4, dim in 1_usize..6) {
        let ensemble = random_factored(seed, n, k, dim);
        let coherence = Coherence::of(&ensemble).unwrap();
        let mean = ensemble.mean_hessian();
        let (lower, upper) = (n as f64 * ensemble.sharpness().unwrap(), n as f64 * mean.norm_l2());
        prop_assert!(coherence.top_eigenvalue >= lower * (1.0 - 1e-12));
        prop_assert!(coherence.top_eigenvalue <= upper * (1.0 + 1e-12));
        prop_assert!(coherence.measure >= 1.0 - 1e-12);
        // Negative control: the bounds lose a factor n without their n.
        prop_assert!(n == 1 || coherence.top_eigenvalue > upper / n as f64);
    }

    #[test]
    fn entries_are_norms_of_products_of_roots(seed: u64, n in 1_usize..6, k in 1_usize..3, dim in 1_usize..5) {
        let ensemble = random_factored(seed, n, k, dim);
        let dense = Dense::from_ensemble(&ensemble);
        let (fast, slow) = (coherence_matrix(&ensemble), coherence_matrix(&dense));
        let error = (&fast - &slow).norm_max();
        prop_assert!(error <= 1e-10 * slow.norm_max(), "{error}");
        for i in 0..n {
            let norm = dense.sample_hessian(i).norm_l2();
            prop_assert!((fast[(i, i)] - norm).abs() <= 1e-10 * norm, "S_ii = |H_i|_F");
        }
    }

    /// The divergence criterion is never below the exact Bernoulli threshold; on the test family Theorem 3.3 is exact.
    #[test]
    fn criteria_stand_on_their_side(seed: u64, n in 2_usize..20, at in 0_usize..1000, dim in 1_usize..5, c in 0.0_f64..3.0) {
        let b = 1 + at * (n - 1) / 999;
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, n, b).unwrap();
        let rule = Optimizer::sam(c).unwrap();
        let random = random_axis_aligned(seed, n, dim);
        let family = AxisAligned::shared_direction(n, b, 2.0).unwrap();
        for ensemble in [&random, &family] {
            let Ok(coherence) = Coherence::of(ensemble) else { continue };
            let problem = Problem::of(ensemble, coherence.measure, b, c).unwrap();
            let exact = AxisAlignedDynamics::new(ensemble, rule, sampling).unwrap().max_learning_rate();
            prop_assert!(criteria::divergence(&problem) >= exact * (1.0 - 1e-9));
        }
        let problem = Problem::of(&family, b as f64, b, c).unwrap();
        let exact = AxisAlignedDynamics::new(&family, rule, sampling).unwrap().max_learning_rate();
        let found = criteria::existence_of_stable(&problem);
        prop_assert!((found - exact).abs() <= 1e-12 * exact, "{found} against {exact}");
    }
}

/// The criterion assumes Bernoulli sampling: with batches of fixed size it can speak too early.
#[test]
fn the_divergence_criterion_fails_for_batches_of_fixed_size() {
    let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![1.0], vec![3.0]]).unwrap();
    let coherence = Coherence::of(&ensemble).unwrap();
    assert!(
        (coherence.measure - 2.0).abs() < 1e-14,
        "S is the outer product of (1, 1, 1, 3) with itself, rooted"
    );
    let criterion = criteria::divergence(&Problem::of(&ensemble, coherence.measure, 1, 0.0).unwrap());
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
    let exact = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling).unwrap().max_learning_rate();
    assert!((criterion - 0.769_800_358_919_501).abs() < 1e-12 && exact > 0.999, "{criterion} {exact}");
}

#[test]
fn the_test_family_has_the_coherence_it_is_named_by() {
    for sigma in [1, 2, 10, 50, 100] {
        let ensemble = AxisAligned::shared_direction(100, sigma, 2.0).unwrap();
        let measure = Coherence::of(&ensemble).unwrap().measure;
        assert!((measure - sigma as f64).abs() < 1e-11, "{measure} for {sigma}");
    }
}

#[test]
fn a_coherence_matrix_need_not_be_positive_semidefinite() {
    let indefinite = (0..200).any(|seed| {
        let matrix = coherence_matrix(&random_factored(seed, 5, 1, 2));
        symmetric::eigenvalues(matrix.as_ref()).unwrap()[0] < -1e-6
    });
    assert!(indefinite, "an example among 200 random ensembles");
}

#[test]
fn bad_input_is_refused_by_name() {
    let flat = Factored::new(2, 1, 1, vec![0.0, 0.0]).unwrap();
    assert_eq!(Coherence::of(&flat).unwrap_err(), CoherenceError::NoCurvature);
    let ensemble = random_factored(1, 3, 1, 2);
    assert_eq!(Problem::of(&flat, 1.0, 1, 0.0).unwrap_err(), CoherenceError::NoCurvature);
    for (coherence, batch_size, c) in
        [(0.0, 1, 0.0), (f64::NAN, 1, 0.0), (1.0, 0, 0.0), (1.0, 4, 0.0), (1.0, 1, -1.0)]
    {
        let error = Problem::of(&ensemble, coherence, batch_size, c).unwrap_err();
        assert!(matches!(error, CoherenceError::OutOfRange { .. }), "{error}");
    }
    let full = Problem::of(&ensemble, 1.0, 3, 0.0).unwrap();
    assert!(criteria::divergence(&full).is_infinite(), "a full batch has no noise to diverge by");
}
