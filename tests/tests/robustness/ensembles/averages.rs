//! What is exact along axes, stationary states, and simulation by the definition.

use linstab_dynamics::simulation::{Divergence, MeasuredNorm, Simulator};
use linstab_dynamics::testing::{
    BruteForce, batch_hessian, enumerate_batches, kronecker_moment, simulate_by_definition,
};
use linstab_dynamics::{AxisAlignedDynamics, DynamicsError, MeanSquare, Optimizer};
use linstab_linalg::{AxisAligned, Ensemble as _, Factored, Mat, Scale};
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::shapes::Subject;
use super::{Verdict, close, hold};
use crate::random::Random;

fn text(error: DynamicsError) -> String {
    error.to_string()
}

/// Curvatures below this share of the sharpness are beyond the twin of the noise floor.
const SMALLEST: f64 = 1e-5;

/// `S = E M S M^T + eta^2 s^2 E H_t^2`, solved as a linear system of order `dim^2`.
pub(super) fn noise_floor(subject: &Subject, random: &mut Random) -> Verdict {
    let ensemble = subject.reduced()?;
    let curvatures = ensemble.mean_eigenvalues();
    // Elimination in the original coordinates knows the smallest curvatures to the rounding of the largest, squared.
    if curvatures.last().is_some_and(|least| *least < SMALLEST * curvatures[0]) {
        return Ok(false);
    }
    let analysis = MeanSquare::new(&ensemble, Optimizer::sgd(), subject.sampling).map_err(text)?;
    let threshold = analysis.max_learning_rate().map_err(text)?.value;
    let unit = subject.curvature_unit();
    let eta = threshold * random.between(0.05, 0.95);
    let floor = analysis
        .noise_floor_of_perturbation(eta, 0.5)
        .map_err(text)?
        .ok_or("no floor below the threshold")?;
    if analysis.noise_floor_of_perturbation(1.01 * threshold, 0.5).map_err(text)?.is_some() {
        return Err("a floor above the threshold".to_owned());
    }
    let brute = BruteForce::new(&subject.twin, 0.0);
    let (hessians, dim, eta) = (brute.hessians(), brute.hessians().dim(), eta * unit);
    let mut source = Mat::<f64>::zeros(dim, dim);
    let steps: Vec<(f64, Mat<f64>)> = enumerate_batches(subject.sampling)
        .into_iter()
        .map(|(probability, batch)| {
            let h = batch_hessian(hessians, subject.sampling, &batch);
            source += &h * &h * Scale(probability * 0.25 * eta * eta);
            (probability, Mat::<f64>::identity(dim, dim) - h * Scale(eta))
        })
        .collect();
    let moment = kronecker_moment(dim, steps);
    let system = Mat::from_fn(dim * dim, dim * dim, |i, j| f64::from(u8::from(i == j)) - moment[(i, j)]);
    let right: Vec<f64> = (0..dim * dim).map(|at| source[(at / dim, at % dim)]).collect();
    let covariance = solve(system, right);
    let distance: f64 = (0..dim).map(|a| covariance[a * dim + a]).sum();
    // The condition of the system is that of the curvatures, up to 1e5 where they are nearly of rank one.
    hold("the squared distance", floor.mean_squared_distance, distance, 1e-6)?;
    let mean = hessians.mean_hessian();
    let loss: f64 = (0..dim * dim).map(|at| 0.5 * mean[(at / dim, at % dim)] * covariance[at]).sum();
    hold("the excess loss", floor.expected_excess_loss / unit, loss, 1e-6)?;
    Ok(true)
}

/// Gaussian elimination with pivots.
fn solve(mut system: Mat<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let order = right.len();
    for column in 0..order {
        let pivot = (column..order)
            .max_by(|&i, &j| system[(i, column)].abs().total_cmp(&system[(j, column)].abs()))
            .unwrap_or(column);
        for at in 0..order {
            (system[(column, at)], system[(pivot, at)]) = (system[(pivot, at)], system[(column, at)]);
        }
        right.swap(column, pivot);
        for row in column + 1..order {
            let factor = system[(row, column)] / system[(column, column)];
            for at in column..order {
                system[(row, at)] -= factor * system[(column, at)];
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..order).rev() {
        let rest: f64 = (row + 1..order).map(|at| system[(row, at)] * right[at]).sum();
        right[row] = (right[row] - rest) / system[(row, row)];
    }
    right
}

/// The ensemble of the diagonals, with some entries zero.
fn diagonals(ensemble: &Factored, random: &mut Random) -> AxisAligned {
    let of_sample = |sample: usize| {
        let hessian = ensemble.sample_hessian(sample);
        (0..ensemble.dim()).map(|a| hessian[(a, a)]).collect::<Vec<f64>>()
    };
    let mut all: Vec<Vec<f64>> = (0..ensemble.num_samples()).map(of_sample).collect();
    for entry in all.iter_mut().flatten() {
        if random.below(4) == 0 {
            *entry = 0.0;
        }
    }
    AxisAligned::from_diagonals(&all).expect("nonnegative diagonals")
}

/// Growth and exponent over all batches, along each axis, by the literal rule.
pub(super) fn along_axes(subject: &Subject, random: &mut Random) -> Verdict {
    let unit = subject.curvature_unit();
    let plain = diagonals(&subject.twin, &mut random.clone());
    let ensemble =
        diagonals(&subject.ensemble, random).scale_axes(|_| unit).map_err(|error| error.to_string())?;
    let ascent = random.between(0.0, 3.0);
    let rule = Optimizer::sam(ascent / unit).map_err(text)?;
    let dynamics = AxisAlignedDynamics::new(&ensemble, rule, subject.sampling).map_err(text)?;
    let eta = random.between(0.01, 2.0);
    let mean = plain.mean_hessian();
    let (mut growth, mut exponent) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for axis in (0..plain.dim()).filter(|&axis| !plain.axis(axis).samples().is_empty()) {
        let (mut square, mut logarithm) = (0.0, 0.0);
        for (probability, batch) in enumerate_batches(subject.sampling) {
            let h = batch_hessian(&plain, subject.sampling, &batch)[(axis, axis)];
            let factor = 1.0 - eta * h * (1.0 + ascent * mean[(axis, axis)]);
            // A factor that is zero to rounding stands for one that is zero.
            if factor.abs() < 1e-12 {
                return Ok(false);
            }
            square += probability * factor * factor;
            logarithm += probability * factor.abs().ln();
        }
        (growth, exponent) = (growth.max(square), exponent.max(logarithm));
    }
    if growth < 0.0 {
        return Ok(false);
    }
    hold("the growth", dynamics.growth_per_step(eta / unit).map_err(text)?, growth, 1e-11)?;
    let found = dynamics.lyapunov_exponent(eta / unit).map_err(text)?;
    if (found - exponent).abs() > 1e-9 * (1.0 + exponent.abs()) {
        return Err(format!("the exponent is {found}, by all batches {exponent}"));
    }
    let threshold = dynamics.max_learning_rate() * unit;
    if !close(threshold, eta, 1e-9) && (eta < threshold) != (growth < 1.0) {
        return Err(format!("at {eta} it grows by {growth}, the threshold is {threshold}"));
    }
    Ok(true)
}

/// The fast kernels take the very steps of the definition.
pub(super) fn simulation(subject: &Subject, random: &mut Random) -> Verdict {
    let unit = subject.curvature_unit();
    let [twin, ensemble] = [&subject.twin, &subject.ensemble].map(|ensemble| {
        diagonals(ensemble, &mut random.clone()).scale_axes(|_| unit).expect("curvatures in range")
    });
    let rule = match random.below(3) {
        0 => Optimizer::sgd(),
        1 => Optimizer::sam(random.between(0.0, 2.0) / unit).map_err(text)?,
        _ => Optimizer::random_perturbation(0.1).map_err(text)?,
    };
    let dynamics = AxisAlignedDynamics::new(&ensemble, rule, subject.sampling).map_err(text)?;
    let twin = AxisAlignedDynamics::new(&twin, rule, subject.sampling).map_err(text)?;
    let eta = random.between(0.01, 3.0) / unit;
    let start: Vec<f64> = (0..ensemble.dim()).map(|_| random.between(-1.0, 1.0)).collect();
    let divergence = Divergence::new(60, 1000.0, MeasuredNorm::SquaredNorm).map_err(text)?;
    let seed = random.word();
    let mut simulator = Simulator::new(&dynamics, eta).map_err(text)?;
    let fast = simulator.run(&start, divergence, &mut Pcg64::seed_from_u64(seed)).map_err(text)?;
    let slow = simulate_by_definition(&twin, eta, &start, divergence, &mut Pcg64::seed_from_u64(seed));
    if fast.outcome != slow.outcome || fast.num_steps != slow.num_steps {
        return Err(format!("{fast:?}, by the definition {slow:?}"));
    }
    // A coordinate that vanishes on paper is 1e-16 by the definition.
    if (fast.final_squared_norm - slow.final_squared_norm).abs() > 1e-9 * slow.final_squared_norm + 1e-25 {
        return Err(format!("{fast:?}, by the definition {slow:?}"));
    }
    Ok(true)
}
