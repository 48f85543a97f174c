//! A small stability map: over batch size and coherence, do runs diverge, and where is the exact boundary?
#![expect(clippy::print_stdout, reason = "a program for people")]

use linstab_dynamics::simulation::MeasuredNorm;
use linstab_dynamics::{
    AxisAlignedDynamics, BatchSampling, Divergence, Optimizer, Outcome, SamplingScheme, Simulator,
};
use linstab_linalg::AxisAligned;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

fn main() -> anyhow::Result<()> {
    let (num_samples, sharpness, learning_rate) = (20, 2.0, 0.5);
    let diverged = Divergence::new(1000, 1000.0, MeasuredNorm::SquaredNorm)?;
    let mut rng = Pcg64::seed_from_u64(1);
    println!(
        "rows: coherence; columns: batch size 1, 3 .. 19; # diverges, o only the mean square does, . neither"
    );
    let (mut agreeing, mut cells) = (0, 0);
    for coherence in (1..=10).rev() {
        let ensemble = AxisAligned::shared_direction(num_samples, coherence, sharpness)?;
        let mut line = String::new();
        for batch_size in (1..num_samples).step_by(2) {
            let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, num_samples, batch_size)?;
            let dynamics = AxisAlignedDynamics::new(&ensemble, Optimizer::sgd(), sampling)?;
            let start: Vec<f64> = (0..ensemble_dim(num_samples, coherence)).map(|_| rng.random()).collect();
            let run = Simulator::new(&dynamics, learning_rate)?.run(&start, diverged, &mut rng)?;
            let diverges = matches!(run.outcome, Outcome::Diverged { .. });
            let grows = dynamics.growth_per_step(learning_rate)? > 1.0;
            line.push_str(match (diverges, grows) {
                (true, true) => " #",
                (true, false) => " !",
                (false, true) => " o",
                (false, false) => " .",
            });
            (agreeing, cells) = (agreeing + usize::from(diverges == grows), cells + 1);
        }
        println!("{coherence:>3} {line}");
    }
    println!("{agreeing} of {cells} cells are as the mean square says");
    assert!(2 * agreeing > cells, "the exact boundary tells most cells");
    Ok(())
}

/// The shared direction, and one for each other sample.
fn ensemble_dim(num_samples: usize, coherence: usize) -> usize {
    num_samples - coherence + 1
}
