//! Runs next to a minimum: just below the exact threshold they come to rest, well above it they leave.
#![expect(clippy::print_stdout, reason = "a program for people")]

use linstab_dynamics::simulation::{MeasuredNorm, ReducedSimulator};
use linstab_dynamics::{BatchSampling, Divergence, MeanSquare, Optimizer, Outcome, SamplingScheme};
use linstab_linalg::{Factored, Reduced};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

fn main() -> anyhow::Result<()> {
    // Thirty samples with random gradients of ten parameters.
    let mut rng = Pcg64::seed_from_u64(7);
    let gradients = (0..300).map(|_| rng.random::<f64>() - 0.5).collect();
    let ensemble = Reduced::of(&Factored::new(30, 1, 10, gradients)?)?;
    let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 30, 5)?;
    let analysis = MeanSquare::new(&ensemble, Optimizer::sgd().with_momentum(0.5)?, sampling)?;
    let threshold = analysis.max_learning_rate()?.value;
    println!("the mean square decays below a learning rate of {threshold:.4}");
    let diverged = Divergence::new(20_000, 1e6, MeasuredNorm::SquaredNorm)?;
    for ratio in [0.8, 0.95, 1.3, 2.0] {
        let mut simulator = ReducedSimulator::new(&analysis, ratio * threshold)?;
        let mut left = 0;
        for _ in 0..20 {
            let start: Vec<f64> = (0..ensemble.rank()).map(|_| rng.random::<f64>() - 0.5).collect();
            let run = simulator.run(&start, diverged, &mut rng)?;
            left += usize::from(matches!(run.outcome, Outcome::Diverged { .. }));
        }
        println!("at {ratio} times the threshold {left} of 20 runs leave");
        // Between the mean-square and the almost-sure threshold a single run may do either.
        assert!(ratio > 1.0 || left <= 2, "below the threshold nearly all stay");
        assert!(ratio < 2.0 || left >= 18, "far above it nearly all leave");
    }
    Ok(())
}
