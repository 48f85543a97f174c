//! Thresholds from shared products against thresholds one by one, whose operator is known by its action, and against the definition.

use linstab_dynamics::mean_square::{CertificateKind, SharedProducts};
use linstab_dynamics::testing::SCHEMES;
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Factored, Reduced};
use proptest::prelude::*;

/// An ensemble of more samples than shared products ask for, whose spectrum decays by a factor `decay` over all of its directions.
fn decaying(seed: u64, n: usize, dim: usize, decay: f64) -> Reduced {
    let flat = random_factored(seed, n, 1, dim);
    let rows = flat.rows();
    let scale = |a: usize| decay.powf(a as f64 / dim as f64);
    let entries = (0..n * dim).map(|at| rows[(at / dim, at % dim)] * scale(at % dim)).collect();
    Reduced::of(&Factored::new(n, 1, dim, entries).expect("a valid ensemble")).expect("a valid ensemble")
}

/// The same ensemble with a factor of zeros a sample more: nothing is shared then.
fn by_action(ensemble: &Reduced) -> Reduced {
    let (n, rank, factors) = (ensemble.num_samples(), ensemble.rank(), ensemble.factors());
    let entry = |at: usize| {
        let (row, a) = (at / rank, at % rank);
        if row.is_multiple_of(2) { factors[(row / 2, a)] } else { 0.0 }
    };
    Reduced::of(&Factored::new(n, 2, rank, (0..2 * n * rank).map(entry).collect()).expect("a valid ensemble"))
        .expect("a valid ensemble")
}

const OPTIMIZERS: [&str; 6] = [
    "sgd",
    "sgd:momentum=0.9",
    "sgd:momentum=0.9,nesterov=true,weight_decay=0.01",
    "sam:rho_over_alpha=0.3",
    "sgd:momentum=-0.5",
    "ema:beta1=0.9",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn shared_products_change_nothing(seed: u64, n in 129_usize..180, dim in 40_usize..120, log_decay in -9.0_f64..0.0) {
        let ensemble = decaying(seed, n, dim, log_decay.exp());
        let alone = by_action(&ensemble);
        let mut products = SharedProducts::new(&ensemble);
        for (index, name) in OPTIMIZERS.iter().enumerate() {
            let optimizer: Optimizer = name.parse().unwrap();
            for batch_size in [1, 7, n / 2] {
                let sampling = BatchSampling::new(SCHEMES[index % 3], n, batch_size).unwrap();
                let shared = MeanSquare::new(&ensemble, optimizer, sampling).unwrap();
                let found = shared.max_learning_rate_with(&mut products).unwrap();
                let own = MeanSquare::new(&alone, optimizer, sampling).unwrap();
                let expected = own.max_learning_rate().unwrap();
                let case = format!("{name} {sampling:?} {:?} {} {:?} {}", found.interval, found.value, expected.interval, expected.value);
                prop_assert!((found.value / expected.value - 1.0).abs() <= 1e-9, "{case}");
                prop_assert!(found.interval.0 <= expected.interval.1 && expected.interval.0 <= found.interval.1, "{case}");
                prop_assert_eq!(found.certificate, CertificateKind::Proven, "{}", case);
                prop_assert!(found.interval.1 / found.interval.0 - 1.0 <= 1e-6, "{case}");
                let share = shared.full_batch_share(&found).unwrap().unwrap();
                let moment_share = own.full_batch_share(&expected).unwrap().unwrap();
                prop_assert!((share - moment_share).abs() <= 1e-5, "{case}: {share} {moment_share}");
                // Negative control: another batch size has another threshold.
                let other = BatchSampling::new(SCHEMES[index % 3], n, batch_size + 5).unwrap();
                let other = MeanSquare::new(&ensemble, optimizer, other).unwrap().max_learning_rate_with(&mut products).unwrap();
                prop_assert!(other.interval.0 > found.interval.1 || other.value / found.value > 1.0 + 1e-12, "{case}");
            }
        }
    }
}

#[test]
fn a_curve_is_its_points() {
    let ensemble = decaying(3, 140, 60, 1e-3);
    let samplings: Vec<BatchSampling> =
        [1, 2, 20, 139, 140].map(|size| BatchSampling::new(SCHEMES[0], 140, size).unwrap()).to_vec();
    let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), samplings[0]).unwrap();
    let curve = sgd.curve(&samplings).unwrap();
    for (&sampling, threshold) in samplings.iter().zip(&curve) {
        let alone =
            MeanSquare::new(&ensemble, Optimizer::sgd(), sampling).unwrap().max_learning_rate().unwrap();
        assert!((threshold.value / alone.value - 1.0).abs() < 1e-10, "{sampling:?}");
    }
    assert!(curve.windows(2).all(|pair| pair[0].value < pair[1].value), "larger batches, larger rates");
}

#[test]
fn products_of_another_ensemble_are_refused() {
    let (ensemble, other) = (decaying(1, 140, 60, 0.1), decaying(2, 140, 60, 0.1));
    let sampling = BatchSampling::new(SCHEMES[0], 140, 4).unwrap();
    let sgd = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling).unwrap();
    let error = sgd.max_learning_rate_with(&mut SharedProducts::new(&other)).unwrap_err().to_string();
    assert!(error.contains("another ensemble"), "{error}");
}
