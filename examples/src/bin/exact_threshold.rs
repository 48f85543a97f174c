//! Per-sample gradients at a minimum in, the largest stable learning rate out.
#![expect(clippy::print_stdout, reason = "a program for people")]

use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced};

fn main() -> anyhow::Result<()> {
    // Four samples, three parameters: row i is the gradient of the model's output for sample i. At a minimum that interpolates, the
    // curvature of half the squared error of a sample is the outer product of its row with itself.
    let gradients = vec![
        1.0, 0.5, 0.0, //
        0.0, 1.5, -0.5, //
        0.25, 0.0, 1.0, //
        1.0, 1.0, 1.0,
    ];
    let ensemble = Reduced::of(&Factored::new(4, 1, 3, gradients)?)?;
    println!("{:<26}{:>4}{:>12}   proven interval", "optimizer", "B", "max rate");
    for optimizer in ["sgd", "sgd:momentum=0.9", "sam:rho_over_alpha=0.1"] {
        let optimizer: Optimizer = optimizer.parse()?;
        for batch_size in [1, 2, 4] {
            let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 4, batch_size)?;
            let analysis = MeanSquare::new(&ensemble, optimizer, sampling)?;
            let threshold = analysis.max_learning_rate()?;
            let (low, high) = threshold.interval;
            println!(
                "{:<26}{batch_size:>4}{:>12.6}   {low:.10} to {high:.10}",
                optimizer.to_string(),
                threshold.value
            );
            // A learning rate just below decays, one just above grows.
            assert!(analysis.growth_per_step(0.99 * threshold.value)? < 1.0, "it decays below");
            assert!(analysis.growth_per_step(1.01 * threshold.value)? > 1.0, "and grows above");
        }
    }
    Ok(())
}
