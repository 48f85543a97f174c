//! Every optimizer against brute force: its step written out as a framework has it, on the full state, over all batches.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use linstab_dynamics::testing::{
    BruteForce, SCHEMES, batch_hessian, enumerate_batches, second_moment_radius,
};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Mat, Reduced, Scale};
use proptest::prelude::*;

/// The numbers of a framework's step, apart from the learning rate.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    momentum: f64,
    dampening: f64,
    nu: f64,
    decay: f64,
    /// `c` of SAM.
    ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Sgd,
    Nesterov,
    Decoupled,
    Average,
    QuasiHyperbolic,
    SamNesterov,
}

const RULES: [Rule; 6] =
    [Rule::Sgd, Rule::Nesterov, Rule::Decoupled, Rule::Average, Rule::QuasiHyperbolic, Rule::SamNesterov];

impl Rule {
    fn specification(self, with: Numbers) -> String {
        let Numbers { momentum, dampening, nu, decay, ratio } = with;
        match self {
            Self::Sgd => format!("sgd:momentum={momentum},dampening={dampening},weight_decay={decay}"),
            Self::Nesterov => format!("sgd:momentum={momentum},nesterov=true,weight_decay={decay}"),
            Self::Decoupled => format!("sgdw:momentum={momentum},weight_decay={decay}"),
            Self::Average => format!("ema:beta1={momentum},weight_decay={decay}"),
            Self::QuasiHyperbolic => format!("qhm:momentum={momentum},nu={nu},weight_decay={decay}"),
            Self::SamNesterov => {
                format!("sam:rho_over_alpha={ratio},momentum={momentum},nesterov=true,weight_decay={decay}")
            }
        }
    }

    /// The step on (iterate, velocity), line by line as frameworks make it.
    fn step(self, with: Numbers, eta: f64, batch: &Mat<f64>, mean: &Mat<f64>) -> Mat<f64> {
        let Numbers { momentum: mu, dampening, nu, decay, ratio } = with;
        let d = batch.nrows();
        let one = Mat::<f64>::identity(d, d);
        // Rows of (w, v): each line is a matrix (d, 2 d) that gives the vector of that name.
        let block = |left: &Mat<f64>, right: &Mat<f64>| {
            Mat::from_fn(d, 2 * d, |i, j| if j < d { left[(i, j)] } else { right[(i, j - d)] })
        };
        let zero = Mat::<f64>::zeros(d, d);
        let (w, v) = (block(&one, &zero), block(&zero, &one));
        let seen = match self {
            Self::SamNesterov => &w + (mean * &w) * Scale(ratio),
            _ => w.clone(),
        };
        let mut g = batch * seen;
        if self != Self::Decoupled {
            g += &w * Scale(decay);
        }
        let weight = match self {
            Self::Sgd => 1.0 - dampening,
            Self::Average | Self::QuasiHyperbolic => 1.0 - mu,
            _ => 1.0,
        };
        let velocity = &v * Scale(mu) + &g * Scale(weight);
        let direction = match self {
            Self::Nesterov | Self::SamNesterov => &g + &velocity * Scale(mu),
            Self::QuasiHyperbolic => &g * Scale(1.0 - nu) + &velocity * Scale(nu),
            _ => velocity.clone(),
        };
        let shrunk = if self == Self::Decoupled { &w * Scale(1.0 - eta * decay) } else { w };
        let moved = shrunk - direction * Scale(eta);
        // The state is (w, eta v), so that both are of one size: eigenvalues of unbalanced matrices are not accurate.
        let unit = |j: usize| if j < d { 1.0 } else { 1.0 / eta };
        Mat::from_fn(2 * d, 2 * d, |i, j| {
            unit(j) * if i < d { moved[(i, j)] } else { eta * velocity[(i - d, j)] }
        })
    }
}

/// Growth of the mean square of the full state.
fn growth(rule: Rule, with: Numbers, brute: &BruteForce, sampling: BatchSampling, eta: f64) -> f64 {
    let hessians = brute.hessians();
    let (n, d) = (sampling.num_samples(), linstab_linalg::Ensemble::dim(hessians));
    let all = vec![1_u32; n];
    let full = BatchSampling::new(SamplingScheme::WithoutReplacement, n, n).unwrap();
    let mean = batch_hessian(hessians, full, &all);
    let steps = enumerate_batches(sampling).into_iter().map(|(probability, batch)| {
        (probability, rule.step(with, eta, &batch_hessian(hessians, sampling, &batch), &mean))
    });
    second_moment_radius(2 * d, steps)
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let momentum = prop_oneof![0.01_f64..0.95, Just(0.9), Just(0.99)];
    let decay = prop_oneof![Just(0.0), 0.001_f64..1.0];
    let ratio = prop_oneof![Just(0.0), Just(100.0), 0.01_f64..3.0];
    (momentum, 0.0_f64..0.9, 0.0_f64..1.0, decay, ratio)
        .prop_map(|(momentum, dampening, nu, decay, ratio)| Numbers { momentum, dampening, nu, decay, ratio })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn thresholds_are_where_brute_force_crosses_one(
        seed: u64, n in 1_usize..7, at in 0_usize..1000, k in 1_usize..3, dim in 1_usize..5, with in numbers(), rule in 0..RULES.len(),
    ) {
        let (b, rule) = (1 + at * n / 1000, RULES[rule]);
        let ensemble = random_factored(seed, n, k, dim);
        let brute = BruteForce::new(&ensemble, 0.0);
        let optimizer: Optimizer = rule.specification(with).parse().unwrap();
        let multisets = (0..b).fold(1, |count, i| count * (n + i) / (i + 1));
        for scheme in SCHEMES.into_iter().filter(|&scheme| scheme != SamplingScheme::WithReplacement || multisets <= 100) {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let analysis = MeanSquare::new(&Reduced::of(&ensemble).unwrap(), optimizer, sampling).unwrap();
            let threshold = analysis.max_learning_rate().unwrap();
            let growth = |eta: f64| growth(rule, with, &brute, sampling, eta);
            let (below, above) = (growth((1.0 - 1e-9) * threshold.value), growth((1.0 + 1e-9) * threshold.value));
            prop_assert!(below < 1.0 && above > 1.0, "{optimizer} {scheme} {threshold:?} {below} {above}");
            let (low, high) = threshold.interval;
            let (at_low, at_high) = (growth((1.0 - 1e-10) * low), growth((1.0 + 1e-10) * high));
            prop_assert!(at_low < 1.0 && at_high > 1.0, "{optimizer} {scheme} {threshold:?} {at_low} {at_high}");
            prop_assert!(high / low < 1.0 + 1e-6, "{optimizer} {scheme} {threshold:?}");
            for factor in [0.1, 0.4, 0.8] {
                prop_assert!(growth(factor * threshold.value) < 1.0, "{optimizer} {scheme}: stable below, at {factor}");
            }
            for factor in [0.5, 1.5] {
                let (found, expected) = (analysis.growth_per_step(factor * threshold.value).unwrap(), growth(factor * threshold.value));
                prop_assert!((found - expected).abs() < 1e-5 * found, "{optimizer} {scheme} {found} against {expected}");
            }
        }
    }
}

/// What a wrong formula would make of it is not where brute force crosses 1: another memory, a lost dampening, coupled decay for decoupled.
#[test]
fn a_wrong_factor_is_caught() {
    let ensemble = random_factored(11, 5, 1, 3);
    let brute = BruteForce::new(&ensemble, 0.0);
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 5, 2).unwrap();
    let with = Numbers { momentum: 0.6, dampening: 0.3, nu: 0.4, decay: 0.5, ratio: 0.2 };
    let distance = |rule: Rule, specification: &str| {
        let optimizer: Optimizer = specification.parse().unwrap();
        let analysis = MeanSquare::new(&Reduced::of(&ensemble).unwrap(), optimizer, sampling).unwrap();
        let eta = analysis.max_learning_rate().unwrap().value;
        (growth(rule, with, &brute, sampling, eta) - 1.0).abs()
    };
    for (rule, wrong) in [
        (Rule::Sgd, "sgd:momentum=0.36,dampening=0.3,weight_decay=0.5"),
        (Rule::Sgd, "sgd:momentum=0.6,weight_decay=0.5"),
        (Rule::Sgd, "sgd:momentum=0.6,dampening=0.3"),
        (Rule::Nesterov, "sgd:momentum=0.36,nesterov=true,weight_decay=0.5"),
        (Rule::Nesterov, "sgd:momentum=0.6,weight_decay=0.5"),
        (Rule::Decoupled, "sgd:momentum=0.6,weight_decay=0.5"),
        (Rule::Average, "sgd:momentum=0.6,weight_decay=0.5"),
        (Rule::QuasiHyperbolic, "qhm:momentum=0.6,nu=0.6,weight_decay=0.5"),
        (Rule::SamNesterov, "sam:rho_over_alpha=0.1,momentum=0.6,nesterov=true,weight_decay=0.5"),
    ] {
        let right = distance(rule, &rule.specification(with));
        assert!(right < 1e-8, "the control of the control: {rule:?} {right}");
        assert!(distance(rule, wrong) > 1e-3, "{rule:?} {wrong}");
    }
}
