//! SAM with ascent on the mini-batch: enumerated batches are exact.

use linstab_dynamics::mean_square::BatchAscentSam;
use linstab_dynamics::testing::{BruteForce, orders, second_moment_radius};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Ensemble, Mat, Reduced, Scale};
use proptest::prelude::*;

/// The curvature `H + c H^2` that SAM descends on.
fn ascended(h: &Mat<f64>, c: f64) -> Mat<f64> {
    h + h * h * Scale(c)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn ascent_on_the_batch_is_exact_by_enumeration(
        seed: u64, n in 1_usize..6, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..4, c in 0.0_f64..2.0, momentum in prop_oneof![Just(0.0), 0.1_f64..0.9],
    ) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let reduced = Reduced::of(&ensemble).unwrap();
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b).unwrap();
        let hessians = BruteForce::new(&ensemble, 0.0).hessians().clone();
        let d = hessians.dim();
        for micro in [b, 1, 2] {
            let optimizer: Optimizer =
                format!("sam:rho_over_alpha={c},ascent=batch,micro_batch_size={micro},momentum={momentum}").parse().unwrap();
            let sam = BatchAscentSam::of(optimizer).expect("it ascends on the batch");
            let enumerated = sam.enumerated(&reduced, sampling).unwrap().expect("few batches");
            let threshold = enumerated.max_learning_rate().unwrap().value;
            let growth = |eta: f64| {
                // Every order of all samples: the first `b` are the batch, cut as they come. Each is as likely as the others.
                let orders = orders(n);
                let probability = 1.0 / orders.len() as f64;
                let steps = orders.into_iter().map(|order| {
                    let descended = order[..b].chunks(micro).fold(Mat::<f64>::zeros(d, d), |sum, chunk| {
                        let size = chunk.len() as f64;
                        let h = chunk.iter().fold(Mat::<f64>::zeros(d, d), |sum, &i| sum + hessians.sample_hessian(i));
                        sum + ascended(&(h * Scale(1.0 / size)), c) * Scale(size / b as f64)
                    });
                    // u+ = momentum u + eta G w, w+ = w - u+.
                    let step = Mat::from_fn(2 * d, 2 * d, |i, j| {
                        let same = f64::from(u8::from(i % d == j % d));
                        let velocity = if j < d { eta * descended[(i % d, j)] } else { momentum * same };
                        if i < d { f64::from(u8::from(i == j)) - velocity } else { velocity }
                    });
                    (probability, step)
                });
                second_moment_radius(2 * d, steps)
            };
            prop_assert!(growth(threshold * (1.0 - 1e-8)) < 1.0 && growth(threshold * (1.0 + 1e-8)) > 1.0, "{micro:?} {threshold}");
        }
    }
}

/// Where batches are not equally likely, nothing is enumerated; ascent on the full batch is another thing.
#[test]
fn what_is_not_enumerated() {
    let reduced = Reduced::of(&random_factored(11, 8, 1, 5)).unwrap();
    let sam = BatchAscentSam::new(0.5).unwrap();
    let sampling = |scheme| BatchSampling::new(scheme, 8, 3).unwrap();
    assert!(sam.enumerated(&reduced, sampling(SamplingScheme::Bernoulli)).unwrap().is_none());
    let without = sampling(SamplingScheme::WithoutReplacement);
    let exact = sam.enumerated(&reduced, without).unwrap().expect("56 batches").max_learning_rate().unwrap();
    let full_batch_ascent = MeanSquare::new(&reduced, Optimizer::sam(0.5).unwrap(), without).unwrap();
    let congruent = full_batch_ascent.max_learning_rate().unwrap();
    assert!((congruent.value / exact.value - 1.0).abs() > 0.01, "{congruent:?} {exact:?}");
}
