//! Coherence from inner products against its definition on dense matrices, and criteria against exact thresholds.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_coherence::criteria::{CRITERIA, Claim, Question, assess};
use linstab_coherence::{FactorCoherence, GradientCoherence, coherence_matrix, effective_rank};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Factored, Mat, Reduced, symmetric};
use proptest::prelude::*;

/// `(S_ij)` of dense curvatures seen through `A = I + c H`: `sqrt(tr(A H_i A H_j))`, product by product.
fn dense_matrix(dense: &Dense, c: f64) -> Mat<f64> {
    let (n, dim) = (dense.num_samples(), dense.dim());
    let a = Mat::<f64>::identity(dim, dim) + dense.mean_hessian() * linstab_linalg::Scale(c);
    let seen: Vec<Mat<f64>> = (0..n).map(|i| &a * dense.sample_hessian(i)).collect();
    Mat::from_fn(n, n, |i, j| {
        let product = &seen[i] * &seen[j];
        (0..dim).map(|at| product[(at, at)]).sum::<f64>().max(0.0).sqrt()
    })
}

/// Largest eigenvalue of `A^{1/2} H_i A^{1/2}`, `A = I + c H`.
fn dense_sharpness(dense: &Dense, c: f64) -> f64 {
    let (values, vectors) = symmetric::eigenpairs(dense.mean_hessian().as_ref()).unwrap();
    let dim = dense.dim();
    let root = Mat::from_fn(dim, dim, |i, j| {
        (0..dim)
            .map(|a| vectors[(i, a)] * (1.0 + c * values[a].max(0.0)).sqrt() * vectors[(j, a)])
            .sum::<f64>()
    });
    let sharpness =
        |i| symmetric::top_eigenvalue((&root * dense.sample_hessian(i) * &root).as_ref()).unwrap();
    (0..dense.num_samples()).map(sharpness).fold(0.0, f64::max)
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-10 * expected.abs()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn everything_is_as_the_dense_definition_says(seed: u64, n in 1_usize..8, k in 1_usize..4, dim in 1_usize..7, c in 0.0_f64..3.0) {
        let ensemble = random_factored(seed, n, k, dim);
        let dense = Dense::from_ensemble(&ensemble);
        let reduced = Reduced::of(&ensemble).unwrap();
        for (c, found) in [(0.0, FactorCoherence::of(&reduced).unwrap()), (c, FactorCoherence::of_sam(&reduced, c).unwrap())] {
            let expected = dense_matrix(&dense, c);
            let size = expected.norm_max();
            prop_assert!((&found.matrix - &expected).norm_max() <= 1e-10 * size);
            let top = symmetric::top_eigenvalue(expected.as_ref()).unwrap();
            prop_assert!(close(found.top_eigenvalue, top), "{} {top}", found.top_eigenvalue);
            let sharpness = dense_sharpness(&dense, c);
            prop_assert!(close(found.max_sample_sharpness, sharpness), "{} {sharpness}", found.max_sample_sharpness);
            prop_assert!(close(found.measure, top / sharpness));
            let (below, above) = found.bounds;
            prop_assert!(below <= top * (1.0 + 1e-10) && top <= above * (1.0 + 1e-10));
            // Negative control: without the root, or with curvatures counted twice, S is another matrix.
            let squared = Mat::from_fn(n, n, |i, j| expected[(i, j)] * expected[(i, j)]);
            prop_assert!((size - 1.0).abs() < 1e-3 || (&found.matrix - &squared).norm_max() > 1e-10 * size);
        }
        let fast = coherence_matrix(&ensemble);
        prop_assert!((&FactorCoherence::of(&reduced).unwrap().matrix - &fast).norm_max() <= 1e-10 * fast.norm_max());
    }

    /// Where their assumptions hold, criteria stand on their side of the exact threshold.
    #[test]
    fn criteria_keep_their_word(seed: u64, n in 2_usize..8, k in 1_usize..4, dim in 1_usize..6, at in 0_usize..1000, c in prop_oneof![Just(0.0), 0.01_f64..3.0]) {
        let b = 1 + at * (n - 1) / 999;
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        let coherence = FactorCoherence::of(&reduced).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, n, b).unwrap();
        let rule = Optimizer::sam(c).unwrap();
        let exact = MeanSquare::new(&reduced, rule, sampling).unwrap().max_learning_rate().unwrap().value;
        let question = Question { optimizer: rule, sampling, num_parameters: dim, exact };
        let mut num_convergence = 0;
        for found in assess(&reduced, &coherence, question).unwrap() {
            let Some(value) = found.learning_rate else { continue };
            prop_assert!(close(found.slack.unwrap() * exact, value));
            match found.claim {
                Claim::DivergesAbove => prop_assert!(!found.applies() || value >= exact * (1.0 - 1e-9), "{found:?}"),
                Claim::ConvergesBelow => {
                    prop_assert!(!found.applies() || value <= exact * (1.0 + 1e-6), "{found:?}");
                    num_convergence += 1;
                }
                Claim::SomeEnsembleStable => {}
            }
        }
        let full_rank = reduced.rank() == dim;
        prop_assert!(num_convergence == usize::from(full_rank), "C.9.3 can be satisfied exactly without flat directions");
    }

    #[test]
    fn gradients_are_compared_as_vectors(seed: u64, n in 1_usize..7, k in 1_usize..4, dim in 1_usize..9) {
        let ensemble = random_factored(seed, n, k, dim);
        let residuals: Vec<f64> = (0..n * k).map(|at| (1.0 + at as f64).sin()).collect();
        let rows = ensemble.rows();
        let gram = Mat::from_fn(n * k, n * k, |i, j| (0..dim).map(|p| rows[(i, p)] * rows[(j, p)]).sum::<f64>());
        let gradient = |i: usize| -> Vec<f64> {
            (0..dim).map(|p| (0..k).map(|q| residuals[i * k + q] * rows[(i * k + q, p)]).sum()).collect()
        };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let gradients: Vec<Vec<f64>> = (0..n).map(gradient).collect();
        let mean: Vec<f64> = (0..dim).map(|p| gradients.iter().map(|g| g[p]).sum::<f64>() / n as f64).collect();
        let squares = gradients.iter().map(|g| dot(g, g)).sum::<f64>() / n as f64;
        let mut worst: f64 = 0.0;
        for i in 0..n {
            for j in 0..i {
                worst = worst.max(-dot(&gradients[i], &gradients[j]));
            }
        }
        let found = GradientCoherence::of(gram.as_ref(), k, &residuals).unwrap();
        prop_assert!((found.alignment - dot(&mean, &mean) / squares).abs() <= 1e-10);
        prop_assert!((found.confusion - worst).abs() <= 1e-10 * squares * n as f64);
    }
}

/// On the test family equation (87) is exact, and says that it applies; elsewhere it says that it does not.
#[test]
fn theorem_3_3_knows_its_family() {
    let mut rows = vec![0.0; 4 * 3];
    // Two samples share the first direction; the others have their own.
    (rows[0], rows[3], rows[7], rows[11]) = (2.0, 2.0, 2.0, 2.0);
    let family = Factored::new(4, 1, 3, rows.clone()).unwrap();
    rows[0] = 2.1;
    let other = Factored::new(4, 1, 3, rows).unwrap();
    for (ensemble, expected) in [(&family, true), (&other, false)] {
        let reduced = Reduced::of(ensemble).unwrap();
        let coherence = FactorCoherence::of(&reduced).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
        let sgd = MeanSquare::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        let exact = sgd.max_learning_rate().unwrap().value;
        let question = Question { optimizer: Optimizer::sgd(), sampling, num_parameters: 3, exact };
        let found = assess(&reduced, &coherence, question).unwrap();
        let theorem = found.iter().find(|found| found.name == "dexter-89").unwrap();
        assert_eq!(theorem.applies(), expected, "{theorem:?}");
        assert!(!expected || (theorem.slack.unwrap() - 1.0).abs() < 1e-9, "{theorem:?}");
    }
}

#[test]
fn flat_directions_silence_the_convergence_theorem() {
    let reduced = Reduced::of(&random_factored(3, 4, 1, 9)).unwrap();
    let coherence = FactorCoherence::of(&reduced).unwrap();
    let of = |n| BatchSampling::new(SamplingScheme::Bernoulli, n, 2).unwrap();
    let question = Question { optimizer: Optimizer::sgd(), sampling: of(4), num_parameters: 9, exact: 1.0 };
    let found = assess(&reduced, &coherence, question).unwrap();
    let theorem = found.iter().find(|found| found.name == "c-9-3").unwrap();
    assert!(theorem.learning_rate.is_none() && !theorem.applies(), "{theorem:?}");
    for bad in [
        Question { sampling: of(5), ..question },
        Question { exact: 0.0, ..question },
        Question { exact: f64::NAN, ..question },
    ] {
        assert!(assess(&reduced, &coherence, bad).is_err(), "{bad:?}");
    }
}

/// The table of criteria is whole: names are distinct, each criterion speaks of some optimizer, and none speaks of momentum.
#[test]
fn every_criterion_speaks_of_an_optimizer() {
    let reduced = Reduced::of(&random_factored(3, 4, 1, 3)).unwrap();
    let coherence = FactorCoherence::of(&reduced).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 2).unwrap();
    let mut spoken: Vec<&str> = Vec::new();
    for optimizer in [Optimizer::sgd(), Optimizer::sam(0.5).unwrap()] {
        let question = Question { optimizer, sampling, num_parameters: 3, exact: 1.0 };
        spoken.extend(assess(&reduced, &coherence, question).unwrap().iter().map(|found| found.name));
        let with_momentum = Question { optimizer: optimizer.with_momentum(0.5).unwrap(), ..question };
        assert!(assess(&reduced, &coherence, with_momentum).unwrap().is_empty());
    }
    for criterion in CRITERIA {
        assert!(spoken.contains(&criterion.name), "{} is never asked", criterion.name);
        assert_eq!(CRITERIA.iter().filter(|other| other.name == criterion.name).count(), 1);
    }
}

/// Blocks are the connected components of what coheres; groups average what they say.
#[test]
fn blocks_and_groups_are_what_they_are_called() {
    let rows = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].concat();
    let reduced = Reduced::of(&Factored::new(5, 1, 3, rows).unwrap()).unwrap();
    let coherence = FactorCoherence::of(&reduced).unwrap();
    assert_eq!(coherence.blocks(0.5), [vec![0, 2], vec![1, 3], vec![4]]);
    assert_eq!(coherence.blocks(0.0).len(), 1, "everything coheres at least with 0");
    let groups = coherence.groups(&[1, 2, 1, 2, 9]).unwrap();
    let within = groups[0].within.unwrap();
    assert!((within - 3.0 / 9.09_f64.sqrt()).abs() < 1e-10, "the cosine of samples 0 and 2, not {within}");
    let across = groups[0].across.unwrap();
    assert!((across - 2.0 * (0.3 / 9.09_f64.sqrt()) / 6.0).abs() < 1e-7, "two of six pairs, not {across}");
    assert!((groups[1].top_eigenvalue - 5.0).abs() < 1e-10, "curvatures 4 and 1 along one direction");
    assert!(groups[2].within.is_none() && coherence.groups(&[1, 2]).is_err(), "one sample; too few labels");
}

/// The top eigenvector is nonnegative and carries the mass where samples cohere.
#[test]
fn weights_single_out_the_coherent() {
    let reduced = Reduced::of(&Factored::new(3, 1, 2, vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0]).unwrap()).unwrap();
    let weights = FactorCoherence::of(&reduced).unwrap().weights;
    assert!((weights[0] - 0.5_f64.sqrt()).abs() < 1e-6 && weights[2] < 1e-6, "{weights:?}");
    assert!(
        (effective_rank(reduced.mean_eigenvalues()) - (3.0_f64.ln() - 2.0 / 3.0 * 2.0_f64.ln()).exp()).abs()
            < 1e-12
    );
}
