//! Random numbers whose streams are frozen here, whatever the next release of `rand` does.

use rand::Rng;

/// Uniform on `[0, 1)`, a multiple of 2^-53.
#[inline]
pub(crate) fn unit<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    (rng.next_u64() >> 11) as f64 * SCALE
}

/// Uniform below `bound`, up to `bound / 2^64`.
#[inline]
pub(crate) fn index<R: Rng + ?Sized>(rng: &mut R, bound: usize) -> usize {
    let product = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(product >> 64).expect("below the bound")
}

/// 1 or -1 with equal probability.
#[inline]
pub(crate) fn sign<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    if rng.next_u64() >> 63 == 1 { -1.0 } else { 1.0 }
}

/// A uniformly random permutation of what is there (Fisher and Yates).
pub(crate) fn shuffle<R: Rng + ?Sized>(rng: &mut R, items: &mut [usize]) {
    for last in (1..items.len()).rev() {
        items.swap(last, index(rng, last + 1));
    }
}

/// Brings a uniformly random choice of `count` items to the front; the others follow in some order.
pub(crate) fn choose<R: Rng + ?Sized>(rng: &mut R, items: &mut [usize], count: usize) {
    for place in 0..count {
        items.swap(place, place + index(rng, items.len() - place));
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn orders_are_uniform() {
        let mut rng = Pcg64::seed_from_u64(7);
        let mut counts = std::collections::BTreeMap::new();
        let mut order = [0, 1, 2, 3];
        for _ in 0..24_000 {
            shuffle(&mut rng, &mut order);
            *counts.entry(order).or_insert(0_usize) += 1;
        }
        assert_eq!(counts.len(), 24, "every order, and nothing but orders");
        let chi_squared: f64 = counts.values().map(|&count| (count as f64 - 1000.0).powi(2) / 1000.0).sum();
        // 23 degrees of freedom: above 50 with probability 1e-3, and the seed is fixed.
        assert!(chi_squared < 50.0, "{chi_squared}");
        // Negative control: without the first draw the first place never moves.
        assert!(counts.keys().any(|order| order[0] != 0), "{counts:?}");
    }

    #[test]
    fn choices_are_uniform() {
        let mut rng = Pcg64::seed_from_u64(7);
        let mut counts = std::collections::BTreeMap::new();
        let mut items = [0, 1, 2, 3, 4];
        for _ in 0..20_000 {
            choose(&mut rng, &mut items, 2);
            *counts.entry([items[0].min(items[1]), items[0].max(items[1])]).or_insert(0_usize) += 1;
        }
        assert_eq!(counts.len(), 10, "every pair, and no sample twice");
        let chi_squared: f64 = counts.values().map(|&count| (count as f64 - 2000.0).powi(2) / 2000.0).sum();
        // 9 degrees of freedom: above 28 with probability 1e-3, and the seed is fixed.
        assert!(chi_squared < 28.0, "{chi_squared}");
    }

    #[test]
    fn streams_are_frozen() {
        let mut rng = Pcg64::seed_from_u64(1);
        let drawn: Vec<usize> = (0..6).map(|_| index(&mut rng, 1000)).collect();
        assert_eq!(drawn, FROZEN_INDICES);
        let mut order: Vec<usize> = (0..8).collect();
        shuffle(&mut rng, &mut order);
        assert_eq!(order, FROZEN_ORDER);
        let drawn = unit(&mut rng);
        assert_eq!(drawn.to_bits(), FROZEN_UNIT, "{drawn}");
        choose(&mut rng, &mut order, 3);
        assert_eq!(order[..3], FROZEN_CHOICE);
    }

    const FROZEN_INDICES: [usize; 6] = [839, 17, 113, 983, 888, 475];
    const FROZEN_ORDER: [usize; 8] = [5, 7, 4, 0, 6, 3, 2, 1];
    const FROZEN_CHOICE: [usize; 3] = [0, 4, 3];
    const FROZEN_UNIT: u64 = 4_591_626_551_327_596_472;
}
