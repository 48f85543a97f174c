//! Rules without a closed form for the second moment: batches and orders are enumerated on both sides, here by the words of the rule.

use linstab_dynamics::epochs::Epochs;
use linstab_dynamics::mean_square::BatchAscentSam;
use linstab_dynamics::sampling::{EpochOrder, EpochSampling, LastBatch};
use linstab_dynamics::testing::{BruteForce, batch_hessian, enumerate_batches, orders, second_moment_radius};
use linstab_dynamics::{BatchSampling, DynamicsError, Optimizer, SamplingScheme};
use linstab_linalg::{Ensemble as _, Mat, Scale};

use super::Verdict;
use super::shapes::Subject;
use crate::random::Random;

fn text(error: DynamicsError) -> String {
    error.to_string()
}

fn identity(dim: usize) -> Mat<f64> {
    Mat::identity(dim, dim)
}

/// `w <- w - eta H_B (I + c H_B) w`.
pub(super) fn batch_ascent(subject: &Subject, random: &mut Random) -> Verdict {
    let (n, b) = (subject.sampling.num_samples(), subject.sampling.batch_size());
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, n, b).map_err(text)?;
    let ascent = random.between(0.0, 2.0);
    let sam = BatchAscentSam::new(ascent / subject.curvature_unit()).map_err(text)?;
    let Some(enumerated) = sam.enumerated(&subject.reduced()?, sampling).map_err(text)? else {
        return Ok(false);
    };
    let threshold = enumerated.max_learning_rate().map_err(text)?;
    let hessians = BruteForce::new(&subject.twin, 0.0).hessians().clone();
    let growth = |eta: f64| {
        let steps = enumerate_batches(sampling).into_iter().map(|(probability, batch)| {
            let h = batch_hessian(&hessians, sampling, &batch);
            let ascended = &h + &h * &h * Scale(ascent);
            (probability, identity(hessians.dim()) - ascended * Scale(eta * subject.curvature_unit()))
        });
        second_moment_radius(hessians.dim(), steps)
    };
    crosses(threshold.interval, growth)
}

/// The product of the steps of an epoch, over all orders of the samples.
pub(super) fn epochs(subject: &Subject, random: &mut Random) -> Verdict {
    if subject.is_beyond_the_twin()? {
        return Ok(false);
    }
    let (n, b) = (subject.sampling.num_samples(), subject.sampling.batch_size());
    let last = random.of_these(&[LastBatch::Keep, LastBatch::Drop]);
    let sampling = EpochSampling::new(EpochOrder::Reshuffling, last, n, b).map_err(text)?;
    let epochs = Epochs::new(&subject.reduced()?, Optimizer::sgd(), sampling).map_err(text)?;
    let Some(enumerated) = epochs.enumerated() else { return Ok(false) };
    let hessians = BruteForce::new(&subject.twin, 0.0).hessians().clone();
    let dim = hessians.dim();
    let growth = |eta: f64| {
        let orders = orders(n);
        let probability = 1.0 / orders.len() as f64;
        let steps = orders.into_iter().map(|order| {
            let batches = order.chunks(b).filter(|batch| batch.len() == b || last == LastBatch::Keep);
            let product = batches.fold(identity(dim), |product, batch| {
                let sum = batch
                    .iter()
                    .fold(Mat::<f64>::zeros(dim, dim), |sum, &i| sum + hessians.sample_hessian(i));
                (identity(dim) - sum * Scale(eta * subject.curvature_unit() / batch.len() as f64)) * product
            });
            (probability, product)
        });
        second_moment_radius(dim, steps)
    };
    let limit = epochs.gradient_descent_limit();
    for factor in [0.3, 0.9, 1.3] {
        let found = enumerated
            .growth_per_step(factor * limit)
            .map_err(text)?
            .powi(i32::try_from(sampling.num_batches()).unwrap_or(1));
        let expected = growth(factor * limit);
        if !((found - expected).abs() <= 1e-7 * expected + 1e-12) {
            return Err(format!(
                "{sampling:?}: growth at {factor} of the limit is {found}, by all orders {expected}"
            ));
        }
    }
    let threshold = enumerated.max_learning_rate().map_err(text)?;
    // The threshold of epochs is the smallest learning rate at which the growth is 1: just below it is stable.
    let below = growth(threshold * (1.0 - 1e-7));
    if threshold.is_finite() && below >= 1.0 + 1e-12 {
        return Err(format!("{sampling:?}: grows by {below} below the threshold {threshold:e}"));
    }
    Ok(true)
}

/// Whether the growth crosses 1 within an interval, to the rounding of brute force.
fn crosses((low, high): (f64, f64), growth: impl Fn(f64) -> f64) -> Verdict {
    let (below, above) = (growth(low * (1.0 - 1e-7)), growth(high * (1.0 + 1e-7)));
    if below < 1.0 && above > 1.0 {
        Ok(true)
    } else {
        Err(format!("brute force grows by {below} below {low:e}, by {above} above {high:e}"))
    }
}
