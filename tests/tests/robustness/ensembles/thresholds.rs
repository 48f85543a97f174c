//! Exact thresholds, where brute force crosses 1, and what follows from them.

use linstab_dynamics::testing::BruteForce;
use linstab_dynamics::{BatchSampling, DynamicsError, MeanSquare, Optimizer};

use super::shapes::Subject;
use super::{Verdict, hold};
use crate::random::Random;

/// Brute force errs by about 1e-13 in the growth, where it is flat (momentum next to 1, directions of little curvature) by more in the
/// learning rate.
const CROSSING: f64 = 1e-8;

fn text(error: DynamicsError) -> String {
    error.to_string()
}

/// An optimizer: SGD, SAM with full-batch ascent, momentum, or both. The ascent is in the units of the ensemble.
fn optimizer(subject: &Subject, random: &mut Random) -> (Optimizer, f64, f64) {
    let ascent = if random.below(2) == 0 { 0.0 } else { random.between(-4.0, 4.0).exp2() };
    let momentum = if random.below(2) == 0 { 0.0 } else { random.between(-0.9, 0.95) };
    let optimizer =
        Optimizer::sam(ascent / subject.curvature_unit()).and_then(|sam| sam.with_momentum(momentum));
    (optimizer.expect("admissible parameters"), ascent, momentum)
}

/// The threshold is where brute force crosses 1, its interval holds that, and the growth is that of brute force.
pub(super) fn crossing(subject: &Subject, random: &mut Random) -> Verdict {
    if subject.is_beyond_the_twin()? {
        return Ok(false);
    }
    let (optimizer, ascent, momentum) = optimizer(subject, random);
    let analysis = MeanSquare::new(&subject.reduced()?, optimizer, subject.sampling).map_err(text)?;
    let threshold = analysis.max_learning_rate().map_err(text)?;
    let brute = BruteForce::new(&subject.twin, ascent);
    let growth = |eta: f64| brute.growth(subject.sampling, momentum, eta * subject.curvature_unit());
    let (low, high) = threshold.interval;
    if !(low <= threshold.value && threshold.value <= high) {
        return Err(format!("{} is not in {low} to {high}", threshold.value));
    }
    let (below, above) = (growth((1.0 - CROSSING) * low), growth((1.0 + CROSSING) * high));
    if !(below < 1.0 && above > 1.0) {
        return Err(format!(
            "{optimizer}, {:?}: brute force grows by {below} below {low:e}, by {above} above {high:e}",
            subject.sampling
        ));
    }
    if high / low > 1.0 + 1e-4 {
        return Err(format!(
            "{optimizer}, {:?}: the interval is wide, {low:e} to {high:e}",
            subject.sampling
        ));
    }
    for factor in [0.5, 1.5] {
        let eta = factor * threshold.value;
        let found = analysis.growth_per_step(eta).map_err(text)?;
        // Next to critical damping two eigenvalues of the map meet: both sides lose half of their digits there.
        let (expected, rtol) = (growth(eta), if momentum.abs() > 0.0 { 1e-5 } else { 1e-8 });
        if !((found - expected).abs() <= rtol * expected + 1e-12) {
            return Err(format!(
                "{optimizer}, {:?}: growth at {factor} eta* is {found}, by brute force {expected}",
                subject.sampling
            ));
        }
    }
    Ok(true)
}

/// Units are powers of two: the threshold is the same number in them, to rounding in roots.
pub(super) fn in_other_units(subject: &Subject, random: &mut Random) -> Verdict {
    let (optimizer, ascent, momentum) = optimizer(subject, random);
    let analysis = MeanSquare::new(&subject.reduced()?, optimizer, subject.sampling).map_err(text)?;
    let plain = linstab_linalg::Reduced::of(&subject.twin).map_err(|error| error.to_string())?;
    let sam = Optimizer::sam(ascent).and_then(|sam| sam.with_momentum(momentum)).map_err(text)?;
    let expected = MeanSquare::new(&plain, sam, subject.sampling).and_then(|plain| plain.max_learning_rate());
    let found = analysis.max_learning_rate().map_err(text)?.value * subject.curvature_unit();
    hold("the threshold in units", found, expected.map_err(text)?.value, 1e-9)?;
    Ok(true)
}

/// The smallest stable batch is the first that brute force finds stable.
pub(super) fn smallest_batch(subject: &Subject, random: &mut Random) -> Verdict {
    let analysis = MeanSquare::new(&subject.reduced()?, Optimizer::sgd(), subject.sampling).map_err(text)?;
    let brute = BruteForce::new(&subject.twin, 0.0);
    let eta = analysis.gradient_descent_limit() * random.between(0.02, 1.1);
    let found = analysis.min_batch_size(eta).map_err(text)?;
    let growths: Vec<f64> = (1..=subject.sampling.num_samples())
        .map(|b| {
            let sampling = BatchSampling::new(subject.sampling.scheme(), subject.sampling.num_samples(), b);
            brute.growth(sampling.expect("in range"), 0.0, eta * subject.curvature_unit())
        })
        .collect();
    if growths.iter().any(|growth| (growth - 1.0).abs() < 1e-9) {
        return Ok(false);
    }
    let expected = growths.iter().position(|growth| *growth < 1.0).map(|at| at + 1);
    if found == expected {
        Ok(true)
    } else {
        Err(format!("{found:?}, by brute force {expected:?}: {growths:?}"))
    }
}

/// Bounds are not below the threshold; shares of samples are a distribution.
pub(super) fn bounds(subject: &Subject, _: &mut Random) -> Verdict {
    let analysis = MeanSquare::new(&subject.reduced()?, Optimizer::sgd(), subject.sampling).map_err(text)?;
    let threshold = analysis.max_learning_rate().map_err(text)?;
    let twin =
        linstab_linalg::Reduced::of(&subject.in_units(&subject.twin)).map_err(|error| error.to_string())?;
    let conditions = MeanSquare::new(&twin, Optimizer::sgd(), subject.sampling)
        .and_then(|twin| twin.necessary_conditions())
        .map_err(text)?;
    let least = threshold.interval.0 * (1.0 - 1e-9);
    let mut all = vec![
        conditions.sharpest_direction,
        conditions.trace,
        conditions.worst_direction,
        conditions.sample_directions,
    ];
    all.extend(conditions.per_sample);
    if let Some(bound) = all.iter().find(|bound| !(**bound >= least)) {
        return Err(format!("a necessary condition is {bound:e}, the threshold {:e}", threshold.value));
    }
    let samples = analysis.responsible_samples(&threshold).map_err(text)?;
    let total = samples.full_batch_forcing + samples.sample_shares.iter().sum::<f64>();
    if (total - 1.0).abs() > 1e-9 || samples.sample_shares.iter().any(|share| *share < 0.0) {
        return Err(format!("shares are {samples:?}"));
    }
    Ok(true)
}
