//! A network of one's own: train it to interpolate, take its per-sample gradients, ask for the learning rates that its minimum bears.
#![expect(clippy::print_stdout, reason = "a program for people")]

use linstab_dynamics::{BatchSampling, MeanSquare, Optimizer, SamplingScheme};
use linstab_linalg::Reduced;
use linstab_relu::parity::{self, Redundancy};
use linstab_relu::polish::{self, PolishOptions};
use linstab_relu::{Curvature, SquaredLoss, solutions};
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

fn main() -> anyhow::Result<()> {
    let mut rng = Pcg64::seed_from_u64(5);
    // Twelve points of a parity problem, and a two-layer ReLU network near one of its solutions.
    let data = parity::draw(12, 6, Redundancy::Independent, &mut rng)?;
    let near = solutions::generalising(6, 12, 3, 1.3)?.perturbed(0.02, &mut rng)?;
    let network = polish::run(&near, &data, SquaredLoss::Half, PolishOptions::default())?.network;
    let curvature = Curvature::at(&network, &data, SquaredLoss::Half)?;
    let largest = curvature.residuals().iter().fold(0.0_f64, |largest, e| largest.max(e.abs()));
    println!("{} parameters; largest error {largest:.1e}", curvature.num_parameters());
    assert!(largest < 1e-6, "it interpolates");
    // At a minimum that interpolates the Gauss-Newton curvature is the Hessian.
    let ensemble = Reduced::of(&curvature.gauss_newton()?)?;
    for batch_size in [1, 3, 12] {
        let sampling = BatchSampling::new(SamplingScheme::WithoutReplacement, 12, batch_size)?;
        let rate = |optimizer| -> anyhow::Result<f64> {
            Ok(MeanSquare::new(&ensemble, optimizer, sampling)?.max_learning_rate()?.value)
        };
        let (sgd, sam) = (rate(Optimizer::sgd())?, rate(Optimizer::sam(0.05)?)?);
        println!("B = {batch_size:>2}: SGD up to {sgd:.4}, SAM (rho/alpha 0.05) up to {sam:.4}");
        assert!(sam < sgd, "SAM sees the larger curvature");
    }
    Ok(())
}
