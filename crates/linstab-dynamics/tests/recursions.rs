//! The paper's recursions against sums over all words, and against enumeration.

use linstab_dynamics::recursions::Recursions;
use linstab_dynamics::testing::{batch_hessian, enumerate_batches};
use linstab_dynamics::{BatchSampling, SamplingScheme};
use linstab_linalg::testing::random_factored;
use linstab_linalg::{Dense, Ensemble, Mat, Scale, symmetric};

const STEPS: u8 = 3;

/// `N_k` as the paper writes it: `(eta^2 c_0)^k sum_{y} A H_yk .. A H_y1^2 A .. H_yk A`.
fn sum_over_words(ensemble: &Dense, ascent: &Mat<f64>, weight: f64) -> Mat<f64> {
    let (n, dim) = (ensemble.num_samples(), ensemble.dim());
    let mut sum = Mat::<f64>::zeros(dim, dim);
    for word in 0..n.pow(u32::from(STEPS)) {
        let mut product = Mat::<f64>::identity(dim, dim);
        let mut rest = word;
        for _ in 0..STEPS {
            product = ascent * ensemble.sample_hessian(rest % n) * &product;
            rest /= n;
        }
        sum += &product * product.transpose() * Scale(weight.powi(i32::from(STEPS)));
    }
    sum
}

#[test]
fn recursions_are_the_sums_they_stand_for() {
    for seed in 0..20 {
        let (n, b, c, eta) = (3, 1 + (seed % 2) as usize, 0.4, 0.3);
        let ensemble = Dense::from_ensemble(&random_factored(seed, n, 1, 2));
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, n, b).unwrap();
        let mut recursions = Recursions::new(&ensemble, sampling, c, eta).unwrap();
        for _ in 0..STEPS {
            recursions.advance();
        }
        let identity = Mat::<f64>::identity(2, 2);
        let ascent = &identity + ensemble.mean_hessian() * Scale(c);
        let c0 = 1.0 / (b * n) as f64 - 1.0 / (n * n) as f64;
        let words = sum_over_words(&ensemble, &ascent, eta * eta * c0);
        let error = (recursions.noise() - &words).norm_max();
        assert!(error <= 1e-12 * words.norm_max(), "{error}");
        // Negative control: without the n^2 term the weight is another.
        let wrong = sum_over_words(&ensemble, &ascent, eta * eta / (b * n) as f64);
        assert!((recursions.noise() - &wrong).norm_max() > 1e-3 * words.norm_max(), "a wrong c_0 is caught");

        let mut exact = identity.clone();
        for _ in 0..STEPS {
            let mut next = Mat::<f64>::zeros(2, 2);
            for (p, batch) in enumerate_batches(sampling) {
                let step = &identity - batch_hessian(&ensemble, sampling, &batch) * &ascent * Scale(eta);
                next += step.transpose() * &exact * &step * Scale(p);
            }
            exact = next;
        }
        let error = (recursions.exact() - &exact).norm_max();
        assert!(error <= 1e-12 * exact.norm_max(), "{error}");
        let slack = &exact - recursions.lower_bound();
        let smallest = symmetric::eigenvalues(slack.as_ref()).unwrap()[0];
        assert!(smallest >= -1e-12 * exact.norm_max(), "eq. (27): E dominates M_k, {smallest}");
    }
}

#[test]
fn other_schemes_are_refused_by_name() {
    let ensemble = random_factored(1, 3, 1, 2);
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 3, 1).unwrap();
    let error = Recursions::new(&ensemble, sampling, 0.0, 0.1).unwrap_err().to_string();
    assert!(error.contains("Bernoulli"), "{error}");
    let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 3, 1).unwrap();
    assert!(Recursions::new(&ensemble, sampling, -1.0, 0.1).is_err(), "a negative ratio");
    assert!(Recursions::new(&ensemble, sampling, 0.0, 0.0).is_err(), "a learning rate of 0");
}
