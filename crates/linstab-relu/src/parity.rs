//! The paper's data: random signs, labelled by the product of the first two.

use rand::Rng;

use crate::error::require_positive_size;
use crate::{Dataset, ReluError, Result, draws};

/// What the inputs beyond the first two, which the label ignores, have in common with others.
///
/// The two families meet: `Correlated` with probability 1 is `Repeated` with 2 distinct inputs, with probability 0 it is
/// `Independent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Redundancy {
    /// Nothing: all inputs are independent signs.
    Independent,
    /// Input `j` equals input `j mod num_distinct`.
    Repeated {
        /// Number of independent inputs, from 2 to `num_inputs`.
        num_distinct: usize,
    },
    /// Input `j >= 2` of a sample equals its input `j mod 2` with this probability, each on its own, and is otherwise an
    /// independent sign: the probability is the correlation of the two.
    Correlated {
        /// From 0 to 1.
        probability: f64,
    },
}

/// Draws `num_samples` inputs of +-1 entries, labelled `y = x_1 x_2`.
///
/// # Determinism
/// Consumes one word of `rng` an independent sign, sample by sample; correlated inputs consume one more each.
/// # Errors
/// [`ReluError::OutOfRange`] for fewer than 2 inputs, no samples, or a redundancy outside of its range.
/// # Examples
/// ```
/// use linstab_relu::parity::{self, Redundancy};
/// use rand_pcg::{Pcg64, rand_core::SeedableRng};
/// let data = parity::draw(8, 5, Redundancy::Repeated { num_distinct: 2 }, &mut Pcg64::seed_from_u64(1))?;
/// for i in 0..8 {
///     let x = data.input(i);
///     assert_eq!(data.labels()[i], x[0] * x[1]);
///     assert_eq!((x[2], x[3], x[4]), (x[0], x[1], x[0]));
/// }
/// # Ok::<(), linstab_relu::ReluError>(())
/// ```
pub fn draw<R: Rng + ?Sized>(
    num_samples: usize,
    num_inputs: usize,
    redundancy: Redundancy,
    rng: &mut R,
) -> Result<Dataset> {
    require_positive_size("num_samples", num_samples)?;
    if num_inputs < 2 {
        let (name, value) = ("num_inputs of parity data", num_inputs as f64);
        return Err(ReluError::OutOfRange { name, value, allowed: "at least 2" });
    }
    check(redundancy, num_inputs)?;
    let mut inputs: Vec<f64> = Vec::new();
    let mut labels = Vec::new();
    for sample in 0..num_samples {
        let start = sample * num_inputs;
        for j in 0..num_inputs {
            let copied = match redundancy {
                Redundancy::Repeated { num_distinct } if j >= num_distinct => Some(j % num_distinct),
                Redundancy::Correlated { probability } if j >= 2 && draws::unit(rng) < probability => {
                    Some(j % 2)
                }
                _ => None,
            };
            let input = copied.map_or_else(|| draws::sign(rng), |source| inputs[start + source]);
            inputs.push(input);
        }
        labels.push(inputs[start] * inputs[start + 1]);
    }
    Dataset::new(num_inputs, inputs, labels)
}

fn check(redundancy: Redundancy, num_inputs: usize) -> Result<()> {
    match redundancy {
        Redundancy::Repeated { num_distinct } if !(2..=num_inputs).contains(&num_distinct) => {
            let (name, value) = ("num_distinct", num_distinct as f64);
            Err(ReluError::OutOfRange { name, value, allowed: "2 to num_inputs" })
        }
        Redundancy::Correlated { probability } if !(0.0..=1.0).contains(&probability) => {
            let name = "probability of a correlated input";
            Err(ReluError::OutOfRange { name, value: probability, allowed: "0 to 1" })
        }
        _ => Ok(()),
    }
}
