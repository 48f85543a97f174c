//! A published criterion beside the exact threshold: how late does it speak?
#![expect(clippy::print_stdout, reason = "a program for people")]

use linstab_coherence::Coherence;
use linstab_coherence::criteria::{self, Problem};
use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::{Factored, Reduced};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

fn main() -> anyhow::Result<()> {
    let mut rng = Pcg64::seed_from_u64(3);
    let gradients = (0..40 * 60).map(|_| rng.random::<f64>() - 0.5).collect();
    let factors = Factored::new(40, 1, 60, gradients)?;
    let (ensemble, coherence) = (Reduced::of(&factors)?, Coherence::of(&factors)?);
    println!("sigma = {:.3}, sharpness = {:.3}", coherence.measure, ensemble.mean_eigenvalues()[0]);
    println!("{:>4}{:>14}{:>14}{:>8}", "B", "criterion", "exact", "ratio");
    for batch_size in [1, 4, 10, 20] {
        let sampling = BatchSampling::new(SamplingScheme::Bernoulli, 40, batch_size)?;
        let exact = MeanSquare::new(&ensemble, Optimizer::sgd(), sampling)?.max_learning_rate()?.value;
        let problem = Problem {
            num_samples: 40,
            batch_size,
            coherence: coherence.measure,
            sharpness: ensemble.mean_eigenvalues()[0],
            min_eigenvalue: 0.0,
            rho_over_alpha: 0.0,
        };
        // arXiv 2511.17378, eq. (31): runs diverge above this learning rate. It holds for Bernoulli sampling.
        let criterion = criteria::divergence(&problem);
        println!("{batch_size:>4}{criterion:>14.5}{exact:>14.5}{:>8.2}", criterion / exact);
        assert!(criterion >= exact, "a sufficient condition for divergence begins above the exact threshold");
    }
    Ok(())
}
