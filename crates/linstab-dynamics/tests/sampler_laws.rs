//! The samplers follow their laws: chi-square tests with fixed seeds, and frozen draws.
//!
//! Each test draws a fixed number of batches once, without retries, and compares with exact probabilities. The level is
//! 1e-6 a test; some 60 tests are made, so a correct sampler fails this file for about one seed in 16 000. Reference: the
//! chi-square quantile by Wilson and Hilferty's cube-root approximation, good to 1 % at these degrees of freedom.

use linstab_dynamics::sampling::{BatchSampler, BitSet, CountLaw};
use linstab_dynamics::testing::enumerate_batches;
use linstab_dynamics::{BatchSampling, SamplingScheme};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Standard normal quantile of 1 - 1e-6.
const Z: f64 = 4.7534;

fn chi_square_limit(degrees_of_freedom: usize) -> f64 {
    let k = degrees_of_freedom as f64;
    let cube_root = 1.0 - 2.0 / (9.0 * k) + Z * (2.0 / (9.0 * k)).sqrt();
    k * cube_root.powi(3)
}

/// Chi-square statistic over its limit; cells expected fewer than 10 times are pooled.
fn chi_square_ratio(observed: &[usize], probabilities: &[f64], num_draws: usize) -> f64 {
    let (mut statistic, mut cells, mut pooled) = (0.0, 0, (0.0, 0.0));
    for (&count, &probability) in observed.iter().zip(probabilities) {
        let expected = probability * num_draws as f64;
        if expected < 10.0 {
            pooled = (pooled.0 + count as f64, pooled.1 + expected);
        } else {
            statistic += (count as f64 - expected).powi(2) / expected;
            cells += 1;
        }
    }
    if pooled.1 >= 10.0 {
        statistic += (pooled.0 - pooled.1).powi(2) / pooled.1;
        cells += 1;
    }
    statistic / chi_square_limit(cells - 1)
}

fn draws(sampling: BatchSampling, seed: u64, num_draws: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut sampler = BatchSampler::<Box<[u64]>>::new(sampling);
    (0..num_draws).map(move |_| {
        let mut indices = Vec::new();
        sampler.draw_indices(&mut rng, &mut indices);
        indices
    })
}

/// Every single batch of a small problem is as frequent as it should be.
#[test]
fn every_batch_has_its_probability() {
    let num_draws = 200_000;
    let n = 6;
    for scheme in [SamplingScheme::WithoutReplacement, SamplingScheme::Bernoulli] {
        for b in 1..n {
            let sampling = BatchSampling::new(scheme, n, b).unwrap();
            let mut probabilities = vec![0.0; 1 << n];
            for (probability, batch) in enumerate_batches(sampling) {
                probabilities[(0..n).map(|i| (batch[i] as usize) << i).sum::<usize>()] = probability;
            }
            let mut observed = vec![0; 1 << n];
            for batch in draws(sampling, 100 + b as u64, num_draws) {
                observed[batch.iter().map(|i| 1 << i).sum::<usize>()] += 1;
            }
            assert!(
                observed.iter().zip(&probabilities).all(|(&o, &p)| o == 0 || p > 0.0),
                "impossible batch"
            );
            let ratio = chi_square_ratio(&observed, &probabilities, num_draws);
            assert!(ratio < 1.0, "{scheme:?} B={b}: {ratio}");
        }
    }
}

#[test]
fn every_sequence_with_replacement_has_its_probability() {
    let (n, b, num_draws) = (5, 3, 200_000);
    let sampling = BatchSampling::new(SamplingScheme::WithReplacement, n, b).unwrap();
    let mut observed = vec![0; n.pow(3)];
    for batch in draws(sampling, 1, num_draws) {
        observed[batch.iter().fold(0, |code, i| n * code + i)] += 1;
    }
    let ratio = chi_square_ratio(&observed, &vec![1.0 / 125.0; 125], num_draws);
    assert!(ratio < 1.0, "{ratio}");
}

fn count_ratio(sampling: BatchSampling, law: BatchSampling, subset: &[usize], seed: u64) -> f64 {
    let num_draws = 50_000;
    let mut observed = vec![0; sampling.num_samples() + 1];
    for batch in draws(sampling, seed, num_draws) {
        observed[batch.iter().filter(|i| subset.contains(i)).count()] += 1;
    }
    let mut probabilities = vec![0.0; sampling.num_samples() + 1];
    for (count, probability) in CountLaw::new(law, subset.len()).iter() {
        probabilities[count] = probability;
    }
    chi_square_ratio(&observed, &probabilities, num_draws)
}

/// At full size: the number of drawn members of a subset, wherever in the words it lies.
#[test]
fn counts_follow_the_hypergeometric_and_binomial_laws() {
    let subsets: [Vec<usize>; 3] =
        [(0..30).collect(), (50..100).collect(), (0..100).filter(|i| i % 7 == 3).collect()];
    for (s, scheme) in
        [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement, SamplingScheme::Bernoulli]
            .into_iter()
            .enumerate()
    {
        for b in [3, 10, 25, 49, 80] {
            for (k, subset) in subsets.iter().enumerate() {
                let sampling = BatchSampling::new(scheme, 100, b).unwrap();
                let ratio = count_ratio(sampling, sampling, subset, (1000 * s + 10 * b + k) as u64);
                assert!(ratio < 1.0, "{scheme:?} B={b} subset {k}: {ratio}");
            }
        }
    }
}

/// Negative control: neighbouring laws, off by one sample or by the scheme, are told apart at this sample size.
#[test]
fn a_wrong_law_is_caught() {
    let subset: Vec<usize> = (0..30).collect();
    let of = |scheme, b| BatchSampling::new(scheme, 100, b).unwrap();
    let sampling = of(SamplingScheme::WithoutReplacement, 25);
    for wrong in [
        of(SamplingScheme::WithoutReplacement, 26),
        of(SamplingScheme::WithReplacement, 25),
        of(SamplingScheme::Bernoulli, 25),
    ] {
        let ratio = count_ratio(sampling, wrong, &subset, 5);
        assert!(ratio > 2.0, "{wrong:?}: {ratio}");
    }
}

#[test]
fn fixed_size_batches_have_their_size() {
    for n in [1, 2, 63, 64, 65, 100, 128, 129, 1000] {
        for b in [1, n / 3 + 1, n / 2 + 1, n] {
            let b = b.min(n);
            for scheme in [SamplingScheme::WithoutReplacement, SamplingScheme::WithReplacement] {
                let sampling = BatchSampling::new(scheme, n, b).unwrap();
                for batch in draws(sampling, 3, 50) {
                    assert_eq!(batch.len(), b, "{sampling:?}");
                    assert!(batch.iter().all(|&i| i < n), "{sampling:?}: {batch:?}");
                }
            }
            let all = BatchSampling::new(SamplingScheme::Bernoulli, n, n).unwrap();
            assert!(draws(all, 4, 5).all(|batch| batch.len() == n), "probability 1 draws everyone");
        }
    }
}

#[test]
fn the_representation_of_the_set_does_not_change_the_draws() {
    for scheme in [SamplingScheme::WithoutReplacement, SamplingScheme::Bernoulli] {
        let sampling = BatchSampling::new(scheme, 100, 30).unwrap();
        let mut rng = Pcg64::seed_from_u64(9);
        let mut sampler = BatchSampler::<[u64; 2]>::new(sampling);
        let mut set = <[u64; 2]>::empty(100);
        for batch in draws(sampling, 9, 1000) {
            sampler.draw_set(&mut rng, &mut set);
            let mut indices = Vec::new();
            set.append_indices(&mut indices);
            assert_eq!(indices, batch);
        }
    }
}

/// Value stability: a change of these draws is value-breaking and needs a line under *Numerics* in the changelog.
#[test]
fn draws_are_frozen() {
    let first = |scheme, n, b| draws(BatchSampling::new(scheme, n, b).unwrap(), 2026, 1).next().unwrap();
    assert_eq!(first(SamplingScheme::WithoutReplacement, 100, 8), [9, 41, 45, 46, 55, 62, 79, 90]);
    assert_eq!(first(SamplingScheme::WithoutReplacement, 100, 24)[..6], [7, 12, 13, 15, 19, 20]);
    // More than half: the complement is drawn.
    let large = first(SamplingScheme::WithoutReplacement, 100, 94);
    let absent: Vec<usize> = (0..100).filter(|i| !large.contains(i)).collect();
    assert_eq!(absent, [9, 45, 55, 62, 79, 90]);
    assert_eq!(first(SamplingScheme::WithReplacement, 100, 8), [9, 90, 90, 79, 45, 55, 62, 46]);
    assert_eq!(first(SamplingScheme::Bernoulli, 100, 8), [5, 6, 14, 34, 91, 93, 97]);
}
