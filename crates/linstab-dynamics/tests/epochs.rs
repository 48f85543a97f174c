//! Epochs against the enumeration of all orders of the samples.

use linstab_dynamics::epochs::{AxisAlignedEpochs, EpochOptions, Epochs};
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
use linstab_dynamics::testing::{orders, second_moment_radius};
use linstab_dynamics::{
    AxisAlignedDynamics, BatchSampling, DynamicsError, MeanSquare, Optimizer, SamplingScheme,
};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{AxisAligned, Dense, Ensemble as _, Factored, Mat, Reduced, Scale};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use std::fmt::Write as _;

const ORDER: EpochOrder = EpochOrder::Reshuffling;

/// The batches of an order, by the words of the documentation.
fn batches(order: &[usize], batch_size: usize, last_batch: LastBatch) -> Vec<Vec<usize>> {
    let chunks = order.chunks(batch_size);
    chunks
        .filter(|chunk| chunk.len() == batch_size || last_batch == LastBatch::Keep)
        .map(<[usize]>::to_vec)
        .collect()
}

/// Scalar curvatures: growth of the mean square over an epoch, and its logarithm in the mean.
fn literal_scalar(curvatures: &[f64], b: usize, last_batch: LastBatch, eta: f64) -> (f64, f64) {
    let orders = orders(curvatures.len());
    let (mut growth, mut log) = (0.0, 0.0);
    for order in &orders {
        let product: f64 = batches(order, b, last_batch)
            .iter()
            .map(|batch| 1.0 - eta * batch.iter().map(|&i| curvatures[i]).sum::<f64>() / batch.len() as f64)
            .product();
        growth += product * product;
        log += product.abs().ln();
    }
    (growth / orders.len() as f64, log / orders.len() as f64)
}

fn last_batches() -> impl Strategy<Value = LastBatch> {
    prop_oneof![Just(LastBatch::Keep), Just(LastBatch::Drop)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn axes_are_exact(values in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.1_f64..3.0], 1..7), at in 0_usize..1000, last_batch in last_batches(), eta in 0.05_f64..3.0) {
        let n = values.len();
        prop_assume!(values.iter().any(|h| *h > 0.0));
        let b = 1 + at * n / 1000;
        let diagonals: Vec<Vec<f64>> = values.iter().map(|&h| vec![h]).collect();
        let ensemble = AxisAligned::from_diagonals(&diagonals).unwrap();
        let sampling = EpochSampling::new(ORDER, last_batch, n, b).unwrap();
        let epochs = AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
        let m = sampling.num_batches() as f64;
        let (growth, log) = literal_scalar(&values, b, last_batch, eta);
        let found = epochs.growth_per_step(eta).unwrap().powf(m);
        prop_assert!((found - growth).abs() <= 1e-12 * growth + 1e-25, "{found} against {growth}");
        let exponent = epochs.lyapunov_exponent(eta).unwrap() * m;
        prop_assert!((exponent - log).abs() <= 1e-11 * (1.0 + log.abs()) || (exponent < -30.0 && log < -30.0), "{exponent} against {log}");
        // Batches of one: every order has the same product, so both say the same.
        if b == 1 {
            prop_assert!((found.ln() - 2.0 * exponent).abs() <= 1e-10 * (1.0 + exponent.abs()) || exponent < -30.0);
        }
        // Negative control: what is kept is not dropped.
        if n % b > 0 && values.iter().all(|h| *h > 0.0) {
            let other = if last_batch == LastBatch::Keep { LastBatch::Drop } else { LastBatch::Keep };
            prop_assert!((literal_scalar(&values, b, other, eta).0 - growth).abs() > 1e-12 * growth);
        }
        let threshold = epochs.max_learning_rate().unwrap();
        let excess = |eta: f64| literal_scalar(&values, b, last_batch, eta).0 - 1.0;
        prop_assert!(excess(threshold * (1.0 + 1e-9)) > 0.0 && excess(threshold * (1.0 - 1e-9)) < 0.0, "{threshold}");
        // The general way says the same.
        let factors: Vec<f64> = values.iter().map(|h| h.sqrt()).collect();
        let reduced = Reduced::of(&Factored::new(n, 1, 1, factors).unwrap()).unwrap();
        let general = Epochs::new(&reduced, Optimizer::sgd(), sampling).unwrap();
        if let Some(general) = general.enumerated() {
            let growth_again = general.growth_per_step(eta).unwrap().powf(m);
            prop_assert!((growth_again - growth).abs() <= 1e-10 * growth + 1e-25, "{growth_again} against {growth}");
        }
    }

    #[test]
    fn a_full_batch_is_gradient_descent(seed: u64, n in 1_usize..6, dim in 1_usize..4, momentum in prop_oneof![Just(0.0), 0.1_f64..0.9]) {
        let reduced = Reduced::of(&random_factored(seed, n, 1, dim)).unwrap();
        let optimizer = Optimizer::sgd().with_momentum(momentum).unwrap();
        for order in [ORDER, EpochOrder::Cyclic] {
            let sampling = EpochSampling::new(order, LastBatch::Keep, n, n).unwrap();
            let epochs = Epochs::new(&reduced, optimizer, sampling).unwrap();
            let limit = epochs.gradient_descent_limit();
            let found = epochs.enumerated().unwrap().max_learning_rate().unwrap();
            prop_assert!((found - limit).abs() <= 1e-9 * limit, "{found} against {limit}");
            let estimated = epochs.estimate(EpochOptions::default(), |i| Pcg64::new(i as u128, 1)).unwrap();
            prop_assert!(estimated.value.to_bits() == limit.to_bits() && estimated.settled);
        }
    }
}

/// Growth of the mean square of `(w, u)` over an epoch, by all orders of the samples and dense matrices.
fn literal_growth(hessians: &Dense, sampling: EpochSampling, momentum: f64, eta: f64) -> f64 {
    let orders = orders(hessians.num_samples());
    let probability = 1.0 / orders.len() as f64;
    let products = orders.iter().map(|order| literal_product(hessians, order, sampling, momentum, eta));
    second_moment_radius(2 * hessians.dim(), products.map(|product| (probability, product)))
}

/// The product of the steps of an epoch on `(w, u)`.
fn literal_product(
    hessians: &Dense,
    order: &[usize],
    sampling: EpochSampling,
    momentum: f64,
    eta: f64,
) -> Mat<f64> {
    let d = hessians.dim();
    let mut product = Mat::<f64>::identity(2 * d, 2 * d);
    for batch in batches(order, sampling.batch_size(), sampling.last_batch()) {
        let sum = batch.iter().fold(Mat::<f64>::zeros(d, d), |sum, &i| sum + hessians.sample_hessian(i));
        let h = sum * Scale(eta / batch.len() as f64);
        let step = Mat::from_fn(2 * d, 2 * d, |i, j| {
            let velocity = if j < d { h[(i % d, j)] } else { momentum * f64::from(u8::from(i % d == j - d)) };
            if i < d { f64::from(u8::from(i == j)) - velocity } else { velocity }
        });
        product = step * product;
    }
    product
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn few_orders_are_enumerated(seed: u64, n in 2_usize..6, k in 1_usize..3, dim in 1_usize..4, at in 0_usize..1000, last_batch in last_batches(), momentum in prop_oneof![Just(0.0), 0.1_f64..0.9]) {
        let b = 1 + at * n / 1000;
        let ensemble = random_factored(seed, n, k, dim);
        let hessians = linstab_dynamics::testing::BruteForce::new(&ensemble, 0.0).hessians().clone();
        let sampling = EpochSampling::new(ORDER, last_batch, n, b).unwrap();
        let optimizer = Optimizer::sgd().with_momentum(momentum).unwrap();
        let epochs = Epochs::new(&Reduced::of(&ensemble).unwrap(), optimizer, sampling).unwrap();
        let exact = epochs.enumerated().expect("at most 120 orders");
        let threshold = exact.max_learning_rate().unwrap();
        let growth = |eta: f64| literal_growth(&hessians, sampling, momentum, eta);
        prop_assert!(growth(threshold * (1.0 - 1e-8)) < 1.0 && growth(threshold * (1.0 + 1e-8)) > 1.0, "{threshold} {} {}", growth(threshold * (1.0 - 1e-8)) - 1.0, growth(threshold * (1.0 + 1e-8)) - 1.0);
        for factor in [0.5, 1.3] {
            let m = sampling.num_batches() as f64;
            let (found, expected) = (exact.growth_per_step(factor * threshold).unwrap(), growth(factor * threshold).powf(1.0 / m));
            prop_assert!((found - expected).abs() <= 1e-6 * expected + 1e-12, "{found} against {expected}");
        }
    }
}

/// One order for good: the square of the spectral radius of the product of its steps.
#[test]
fn the_order_of_the_file_is_one_product() {
    for seed in 0..40_u64 {
        let (n, dim) = (2 + (seed % 4) as usize, 1 + (seed % 3) as usize);
        let (b, momentum) = (1 + (seed / 3 % 2) as usize, [0.0, 0.6][(seed % 2) as usize]);
        let ensemble = random_factored(seed, n, 1, dim);
        let hessians = linstab_dynamics::testing::BruteForce::new(&ensemble, 0.0).hessians().clone();
        let sampling = EpochSampling::new(EpochOrder::Cyclic, LastBatch::Keep, n, b).unwrap();
        let optimizer = Optimizer::sgd().with_momentum(momentum).unwrap();
        let epochs = Epochs::new(&Reduced::of(&ensemble).unwrap(), optimizer, sampling).unwrap();
        let threshold = epochs.enumerated().expect("one order").max_learning_rate().unwrap();
        let order: Vec<usize> = (0..n).collect();
        let growth = |eta: f64| {
            let product = literal_product(&hessians, &order, sampling, momentum, eta);
            second_moment_radius(2 * hessians.dim(), [(1.0, product)])
        };
        let (below, above) = (growth(threshold * (1.0 - 1e-7)), growth(threshold * (1.0 + 1e-7)));
        assert!(below < 1.0 && above > 1.0, "{seed}: {threshold} {below} {above}");
    }
}

/// One direction, curvatures h, h, 0, 0 in batches of two: less stable than batches drawn afresh.
#[test]
fn reshuffling_can_lower_the_threshold() {
    let ensemble = AxisAligned::from_diagonals(&[vec![1.0], vec![1.0], vec![0.0], vec![0.0]]).unwrap();
    let sampling = EpochSampling::new(ORDER, LastBatch::Keep, 4, 2).unwrap();
    let reshuffled =
        AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), sampling).unwrap().max_learning_rate().unwrap();
    let x = 0.5 * reshuffled;
    assert!((x * x * x - 4.0 * x * x + 8.0 * x - 6.0).abs() < 1e-12, "{reshuffled}");
    let afresh = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, 2).unwrap();
    let afresh = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), afresh).unwrap().max_learning_rate();
    assert!((afresh - 3.0).abs() < 1e-12 && reshuffled < 0.91 * afresh, "{reshuffled} {afresh}");
}

/// The interval of an estimate holds the enumerated threshold about as often as it says.
#[test]
fn intervals_cover() {
    let (mut covered, mut all, mut worst, mut log) = (0, 0, 0.0_f64, String::new());
    for seed in 0..200_u64 {
        let (n, dim) = (3 + (seed % 4) as usize, 1 + (seed % 3) as usize);
        let b = 1 + (seed / 7 % 2) as usize;
        let ensemble = random_factored(seed, n, 1, dim);
        let last_batch = if seed % 2 == 0 { LastBatch::Keep } else { LastBatch::Drop };
        let sampling = EpochSampling::new(ORDER, last_batch, n, b).unwrap();
        let momentum = if seed % 5 == 0 { 0.5 } else { 0.0 };
        let optimizer = Optimizer::sgd().with_momentum(momentum).unwrap();
        let epochs = Epochs::new(&Reduced::of(&ensemble).unwrap(), optimizer, sampling).unwrap();
        let exact = epochs.enumerated().expect("at most 720 orders").max_learning_rate().unwrap();
        let options = EpochOptions { relative_error: 0.01, max_multiplications: 1e8 };
        let found = epochs.estimate(options, |i| Pcg64::seed_from_u64(seed << 16 | i as u64)).unwrap();
        all += 1;
        covered +=
            u32::from(found.interval.0 * (1.0 - 1e-9) <= exact && exact <= found.interval.1 * (1.0 + 1e-9));
        let off = found.value / exact - 1.0;
        if off.abs() > worst.abs() {
            worst = off;
        }
        let _ = writeln!(
            log,
            "{seed} n={n} b={b} dim={dim} {last_batch:?} mu={momentum} exact {exact:.6} found {:.6} off {off:.2e} interval {:.2e} settled {} orders {}",
            found.value,
            found.interval.1 / found.interval.0 - 1.0,
            found.settled,
            found.num_orders
        );
    }
    println!("{log}{covered} of {all} covered, worst {worst:.3e}");
    assert!(covered * 100 >= all * 90, "{covered} of {all} intervals hold the threshold");
}

/// A hundred samples along axes, most of them flat and some sharp, in batches: exactly, and as any ensemble.
fn long(dim: usize, b: usize) -> Result<(AxisAligned, AxisAlignedEpochs, Epochs), DynamicsError> {
    let curvature = |sample: usize, axis: usize| match (7 * sample + 13 * axis) % 100 {
        ..60 => 0.0,
        60..90 => 1.0 + axis as f64,
        _ => 8.0,
    };
    let diagonals: Vec<Vec<f64>> = (0..100).map(|i| (0..dim).map(|a| curvature(i, a)).collect()).collect();
    let ensemble = AxisAligned::from_diagonals(&diagonals)?;
    let sampling = EpochSampling::new(ORDER, LastBatch::Keep, 100, b)?;
    let exact = AxisAlignedEpochs::new(&ensemble, Optimizer::sgd(), sampling)?;
    let epochs = Epochs::new(&Reduced::of(&ensemble)?, Optimizer::sgd(), sampling)?;
    Ok((ensemble, exact, epochs))
}

/// Along axes thresholds of long epochs are exact, too.
#[test]
fn intervals_hold_the_thresholds_of_long_epochs() {
    for (dim, b) in [(1, 1), (2, 1), (3, 1), (1, 5), (1, 10), (3, 10), (1, 30)] {
        let (ensemble, exact, epochs) = long(dim, b).unwrap();
        let exact = exact.max_learning_rate().unwrap();
        let options = EpochOptions { relative_error: 0.01, ..EpochOptions::default() };
        let found = epochs.estimate(options, |i| Pcg64::new(7, i as u128)).unwrap();
        println!("{dim} axes, batches of {b}: {exact} {found:?}");
        assert!(found.settled && found.interval.0 <= exact && exact <= found.interval.1, "{exact} {found:?}");
        // Negative control: the threshold of batches drawn afresh is another.
        let afresh = BatchSampling::new(SamplingScheme::WithoutReplacement, 100, b).unwrap();
        let afresh =
            AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), afresh).unwrap().max_learning_rate();
        assert!(afresh < found.interval.0 || afresh > found.interval.1, "{afresh} {found:?}");
    }
}

/// Pairs of a flat and a curved sample all but extinguish a state. At the threshold the mean square is made by orders without them, which no
/// population meets: nothing is settled then.
#[test]
fn what_rare_orders_make_is_not_settled() {
    let (_, exact, epochs) = long(1, 2).unwrap();
    let threshold = exact.max_learning_rate().unwrap();
    let typical = 2.0 * 50.0 * exact.lyapunov_exponent(threshold).unwrap();
    assert!(typical < -20.0, "an order has a square of e^{typical}, on average it is 1");
    let options = EpochOptions { relative_error: 0.01, max_multiplications: 1e9 };
    let found = epochs.estimate(options, |i| Pcg64::new(7, i as u128)).unwrap();
    assert!(!found.settled && found.interval.0 <= threshold && threshold <= found.interval.1, "{found:?}");
}

/// The same bits on one thread and on three.
#[test]
fn estimates_do_not_depend_on_threads() {
    let ensemble = Reduced::of(&random_factored(3, 6, 2, 4)).unwrap();
    let sampling = EpochSampling::new(ORDER, LastBatch::Keep, 6, 2).unwrap();
    let epochs = Epochs::new(&ensemble, "sgd:momentum=0.5".parse().unwrap(), sampling).unwrap();
    let options = EpochOptions { relative_error: 0.05, max_multiplications: 1e8 };
    let [one, three] = [1, 3].map(|num_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| epochs.estimate(options, |i| Pcg64::new(1, i as u128)).unwrap())
    });
    assert!(one.value.to_bits() == three.value.to_bits(), "{one:?} {three:?}");
    assert!(one == three, "{one:?} {three:?}");
}

/// Reshuffled against drawn afresh, by enumeration: how often lower, and by how much at most.
#[test]
fn both_orders_of_thresholds_occur() {
    let (mut lower, mut higher) = (0, 0);
    for seed in 0..60_u64 {
        let (n, dim) = (4 + (seed % 2) as usize, 1 + (seed % 3) as usize);
        let ensemble = Reduced::of(&random_factored(seed, n, 1, dim)).unwrap();
        let sampling = EpochSampling::new(ORDER, LastBatch::Drop, n, 2).unwrap();
        let epochs = Epochs::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
        let reshuffled = epochs.enumerated().unwrap().max_learning_rate().unwrap();
        let afresh = BatchSampling::new(SamplingScheme::WithoutReplacement, n, 2).unwrap();
        let afresh =
            MeanSquare::new(&ensemble, Optimizer::sgd(), afresh).unwrap().max_learning_rate().unwrap().value;
        if reshuffled < afresh * (1.0 - 1e-9) { lower += 1 } else { higher += 1 }
    }
    println!("{lower} lower, {higher} higher");
    assert!(higher > 0);
}

/// The mean of many runs over two epochs is the exact mean square: along two axes, with a smaller last batch.
#[test]
fn runs_along_axes_have_the_exact_mean_square() {
    use linstab_dynamics::simulation::{Divergence, MeasuredNorm};
    let curvatures = [[1.0, 0.0], [1.0, 2.0], [0.0, 0.5], [3.0, 0.0], [0.0, 0.0]];
    let diagonals: Vec<Vec<f64>> = curvatures.iter().map(|h| h.to_vec()).collect();
    let ensemble = AxisAligned::from_diagonals(&diagonals).unwrap();
    for (optimizer, congruence) in [("sgd", 0.0), ("sam:rho_over_alpha=0.5", 0.5)] {
        let sampling = EpochSampling::new(ORDER, LastBatch::Keep, 5, 2).unwrap();
        let epochs = AxisAlignedEpochs::new(&ensemble, optimizer.parse().unwrap(), sampling).unwrap();
        let (eta, num_runs) = (0.7, 20_000);
        let divergence = Divergence::new(6, 1e9, MeasuredNorm::SquaredNorm).unwrap();
        let mut rng = Pcg64::seed_from_u64(5);
        let norms: Vec<f64> = (0..num_runs)
            .map(|_| epochs.simulate(&[1.0, 2.0], eta, divergence, &mut rng).unwrap().final_squared_norm)
            .collect();
        let mean = norms.iter().sum::<f64>() / f64::from(num_runs);
        let variance = norms.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(num_runs);
        // Both epochs have the same mean growth along an axis, and are independent.
        let exact = |c: f64| -> f64 {
            [(0, 1.0), (1, 4.0)]
                .map(|(axis, start)| {
                    let of_axis: Vec<f64> = curvatures.iter().map(|h| h[axis]).collect();
                    let mean = of_axis.iter().sum::<f64>() / 5.0;
                    let seen: Vec<f64> = of_axis.iter().map(|h| h * (1.0 + c * mean)).collect();
                    start * literal_scalar(&seen, 2, LastBatch::Keep, eta).0.powi(2)
                })
                .iter()
                .sum()
        };
        let error = 5.0 * (variance / f64::from(num_runs)).sqrt();
        assert!(
            (mean - exact(congruence)).abs() < error,
            "{optimizer}: {mean} against {}",
            exact(congruence)
        );
        // Negative control: the other optimizer's is another.
        assert!((mean - exact(0.5 - congruence)).abs() > error, "{optimizer}");
    }
}

/// Windows of instability below the limits of the single steps: a memory that is pumped by curvatures that change in step with it.
#[test]
fn thresholds_lie_below_every_window_of_instability() {
    let cyclic = |n, b| EpochSampling::new(EpochOrder::Cyclic, LastBatch::Keep, n, b).unwrap();
    let mut num_windows = 0;
    for seed in 0..60_u64 {
        let ensemble = Reduced::of(&random_factored(seed, 8, 1, 1 + (seed % 3) as usize)).unwrap();
        for optimizer in ["sgd:momentum=0.9", "sgd:momentum=0.9,nesterov=true", "ema:beta1=0.5"] {
            let optimizer: Optimizer = optimizer.parse().unwrap();
            let epochs = Epochs::new(&ensemble, optimizer, cyclic(8, 2)).unwrap();
            let exact = epochs.enumerated().unwrap();
            let threshold = exact.max_learning_rate().unwrap();
            for step in 1..400 {
                let eta = threshold * 0.985_f64.powi(step);
                let growth = exact.growth_per_step(eta).unwrap();
                assert!(growth <= 1.0 + 1e-12, "{seed} {optimizer} {eta} below {threshold}: {growth}");
            }
            // Negative control: some of these are far below what single steps bear, so a scan from there would have missed them.
            let sharpest = (0..8).map(|i| ensemble.sample_sharpness(i).unwrap()).fold(0.0, f64::max);
            num_windows += usize::from(threshold < optimizer.recursion().noise_free_limit(sharpest));
        }
    }
    assert!(num_windows > 10, "{num_windows}");
}

/// Two samples in turns under an exponential average: unstable from 10 to 30 and beyond, with an island of stability near 50.
#[test]
fn an_island_of_stability_is_no_threshold() {
    let ensemble = Reduced::of(&Factored::new(2, 1, 1, vec![1.0, 0.75]).unwrap()).unwrap();
    let sampling = EpochSampling::new(EpochOrder::Cyclic, LastBatch::Keep, 2, 1).unwrap();
    let epochs = Epochs::new(&ensemble, "ema".parse().unwrap(), sampling).unwrap();
    let exact = epochs.enumerated().unwrap();
    let threshold = exact.max_learning_rate().unwrap();
    assert!(threshold < 30.0 && exact.growth_per_step(30.0).unwrap() > 1.4, "{threshold}");
    assert!(exact.growth_per_step(50.0).unwrap() < 1.0, "the island");
}
