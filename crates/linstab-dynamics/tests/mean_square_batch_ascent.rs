//! SAM with ascent on the mini-batch: enumerated batches are exact, sampled ones estimate them.

use linstab_dynamics::mean_square::BatchAscentSam;
use linstab_dynamics::testing::{BruteForce, batch_hessian, enumerate_batches, orders, second_moment_radius};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Ensemble, Factored, Mat, Reduced, Scale};
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
    let full_batch_ascent = MeanSquare::new(&reduced, Optimizer::sam(0.5).unwrap(), sampling).unwrap();
    let congruent = full_batch_ascent.max_learning_rate().unwrap().value;
    assert!(
        (congruent - exact).abs() > error,
        "negative control: the full-batch ascent has another threshold"
    );
    let many = BatchSampling::new(SamplingScheme::Bernoulli, 8, 3).unwrap();
    assert!(sam.enumerated(&reduced, many).unwrap().is_none(), "Bernoulli batches are not equally likely");
}

/// In one dimension, curvatures 1, 1, 1, 3 one at a time: small groups are biased, and most of that is recognised.
#[test]
fn the_bias_of_small_groups_is_recognised() {
    let reduced = Reduced::of(&Factored::new(4, 1, 1, vec![1.0, 1.0, 1.0, 3.0_f64.sqrt()]).unwrap()).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 1).unwrap();
    let plain = BatchAscentSam::new(0.0).unwrap();
    let mut rng = rand_pcg::Pcg64::new(1, 1);
    let small = plain.sampled_threshold(&reduced, sampling, (4000, 16), &mut rng).unwrap();
    let bias = small.mean - 1.0;
    assert!(bias > 5.0 * small.standard_error && (bias - small.bias).abs() < 0.4 * bias, "{small:?}");
}

/// A Bernoulli batch larger than the nominal size is one batch.
#[test]
fn sampled_bernoulli_batches_are_whole() {
    let ensemble = random_factored(2, 4, 1, 2);
    let reduced = Reduced::of(&ensemble).unwrap();
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 4, 1).unwrap();
    let c = 2.0;
    let brute = BruteForce::new(&ensemble, 0.0);
    let d = brute.hessians().dim();
    let growth = |eta: f64| {
        let steps = enumerate_batches(sampling).into_iter().map(|(probability, batch)| {
            let h = batch_hessian(brute.hessians(), sampling, &batch);
            (probability, Mat::<f64>::identity(d, d) - ascended(&h, c) * Scale(eta))
        });
        second_moment_radius(d, steps)
    };
    let mut rng = rand_pcg::Pcg64::new(5, 5);
    let found =
        BatchAscentSam::new(c).unwrap().sampled_threshold(&reduced, sampling, (20, 1500), &mut rng).unwrap();
    let slack = 1.0 + 0.02 + 5.0 * found.standard_error / found.mean;
    assert!(growth(found.mean / slack) < 1.0 && growth(found.mean * slack) > 1.0, "{found:?}");
}
