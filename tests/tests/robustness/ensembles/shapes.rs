//! Ensembles: at random, and where analyses have stumbled before.

use linstab_dynamics::{BatchSampling, SamplingScheme};
use linstab_linalg::{Factored, Reduced};

use crate::random::Random;

/// An ensemble with how batches are drawn from it.
pub(super) struct Subject {
    pub(super) kind: &'static str,
    /// In units in which the largest factor is about 1.
    pub(super) ensemble: Factored,
    /// What the slow twins are given: the same, but in a negative control.
    pub(super) twin: Factored,
    /// What factors are multiplied by to make the ensemble that is analysed.
    pub(super) unit: f64,
    pub(super) sampling: BatchSampling,
}

type Rows = Vec<Vec<f64>>;

/// Names of the kinds and what they do to random factors, a row each, `num_factors` a sample.
const KINDS: &[(&str, fn(&mut Rows, usize, &mut Random))] = &[
    ("random", |_, _, _| {}),
    ("random", |_, _, _| {}),
    ("of several scales", |rows, k, random| {
        for sample in rows.chunks_mut(k) {
            let scale = random.between(-2.0, 2.0).exp2();
            sample.iter_mut().flatten().for_each(|entry| *entry *= scale);
        }
    }),
    ("equal", |rows, k, _| copy_first(rows, k, |_| 0.0)),
    ("nearly equal", |rows, k, random| {
        // Not between: curvatures of 1e-10 to 1e-28 of the sharpness are rounding on one side and directions on the other.
        let size = 10.0_f64.powi(random.of_these(&[-1, -2, -3, -4, -15]));
        let mut random = random.clone();
        copy_first(rows, k, move |_| size * random.between(-1.0, 1.0));
    }),
    ("orthogonal", |rows, k, random| {
        for (sample, factors) in rows.chunks_mut(k).enumerate() {
            for factor in factors {
                let dim = factor.len();
                factor.fill(0.0);
                factor[sample % dim] = random.between(0.2, 2.0);
            }
        }
    }),
    ("of rank one", |rows, _, random| {
        let direction = rows[0].clone();
        for row in rows {
            let length = random.between(-2.0, 2.0);
            row.iter_mut().zip(&direction).for_each(|(entry, along)| *entry = length * along);
        }
    }),
    ("nearly of rank one", |rows, _, random| {
        let direction = rows[0].clone();
        let size = 10.0_f64.powi(-1 - i32::try_from(random.below(4)).unwrap_or_default());
        for row in rows {
            let length = random.between(0.5, 2.0);
            row.iter_mut().zip(&direction).for_each(|(entry, along)| *entry = length * along + size * *entry);
        }
    }),
    ("with samples of no curvature", |rows, k, random| {
        // The first stays as it is.
        for sample in rows.chunks_mut(k).skip(1) {
            if random.below(2) == 0 {
                sample.iter_mut().flatten().for_each(|entry| *entry = 0.0);
            }
        }
    }),
    ("with factors of zero", |rows, _, random| {
        for row in rows.iter_mut().skip(1) {
            if random.below(2) == 0 {
                row.fill(0.0);
            }
        }
    }),
    ("in pairs of opposite sign", |rows, k, _| {
        for sample in (k..rows.len()).step_by(2 * k) {
            for factor in 0..k.min(rows.len() - sample) {
                rows[sample + factor] = rows[sample + factor - k].iter().map(|entry| -entry).collect();
            }
        }
    }),
    ("of small integers", |rows, _, random| {
        rows.iter_mut().flatten().for_each(|entry| *entry = random.below(4) as f64 - 1.0);
        rows[0][0] = 1.0;
    }),
];

fn copy_first(rows: &mut Rows, k: usize, mut off_by: impl FnMut(usize) -> f64) {
    for row in k..rows.len() {
        rows[row] = rows[row % k].iter().map(|entry| entry * (1.0 + off_by(row))).collect();
    }
}

impl Subject {
    /// One of up to 5 samples, 2 factors and 4 parameters: batches are enumerated, and Kronecker products formed.
    pub(super) fn draw(random: &mut Random) -> Self {
        let (n, k, dim) = (1 + random.below(5), 1 + random.below(2), 1 + random.below(4));
        let mut rows: Rows =
            (0..n * k).map(|_| (0..dim).map(|_| random.between(-1.0, 1.0)).collect()).collect();
        let (kind, shape) = KINDS[random.below(KINDS.len())];
        shape(&mut rows, k, random);
        // Powers of two: the same numbers in other units. The ends are curvatures of some 1e-94 to 1e94:
        // analyses take 1e-100 to 1e100.
        let exponent = if random.below(2) == 0 { 0.0 } else { random.between(-155.0, 155.0).round() };
        let ensemble = Factored::new(n, k, dim, rows.concat()).expect("finite factors");
        let scheme = random.of_these(&SamplingScheme::ALL);
        let sampling = BatchSampling::new(scheme, n, 1 + random.below(n)).expect("a batch size in range");
        Self { kind, twin: ensemble.clone(), ensemble, unit: exponent.exp2(), sampling }
    }

    /// For a negative control: the slow twins see the first sample with curvature that is half as large again.
    pub(super) fn mislead(&mut self) {
        let (n, k, dim) = (self.sampling.num_samples(), self.ensemble.num_factors(), self.dim());
        let factor = |row: usize| if row < k { 1.5_f64.sqrt() } else { 1.0 };
        let entry = |at: usize| factor(at / dim) * self.ensemble.rows()[(at / dim, at % dim)];
        self.twin = Factored::new(n, k, dim, (0..n * k * dim).map(entry).collect()).expect("finite factors");
    }

    /// An ensemble in the units of this one.
    pub(super) fn in_units(&self, ensemble: &Factored) -> Factored {
        ensemble.rescaled(&vec![self.unit; self.dim()]).expect("factors in range")
    }

    pub(super) fn reduced(&self) -> Result<Reduced, String> {
        Reduced::of(&self.in_units(&self.ensemble)).map_err(|error| error.to_string())
    }

    /// Whether some direction has so little curvature that the analysis takes it for one, and the slow twin, which leaves out what is below 1e-12 of
    /// the sharpness, for none.
    pub(super) fn is_beyond_the_twin(&self) -> Result<bool, String> {
        let reduced = self.reduced()?;
        let curvatures = reduced.mean_eigenvalues();
        Ok(curvatures.last().is_some_and(|least| *least < 1e-11 * curvatures[0]))
    }

    /// What learning rates are divided by.
    pub(super) fn curvature_unit(&self) -> f64 {
        self.unit * self.unit
    }

    pub(super) fn dim(&self) -> usize {
        self.ensemble.rows().ncols()
    }
}
