//! The minimum whose stability is examined: SGD to a small loss, then a Gauss-Newton polish to none.

use std::path::Path;

use linstab_coherence::Coherence;
use linstab_linalg::{Ensemble as _, Factored, Reduced};
use linstab_relu::polish::{self, PolishOptions, Polished};
use linstab_relu::training::unobserved;
use linstab_relu::{Curvature, Dataset, ReluError, Trainer, Training, TrainingRule, TwoLayer};
use serde::Serialize;

use super::config::{Config, Contender, MinimumConfig};
use super::{ID, data};
use crate::Result;
use linstab_driver::streams::StreamKey;

/// An interpolating minimum and what there is to say about it.
pub(super) struct Minimum {
    pub(super) data: Dataset,
    pub(super) network: TwoLayer,
    /// The Gauss-Newton curvatures, which at a loss of 0 are the Hessians.
    pub(super) ensemble: Reduced,
    /// The same as an optimizer with the preconditioner sees them.
    preconditioned: Reduced,
    /// Root of the second moment of gradients where all residuals are 1, and Adam's usual epsilon.
    pub(super) preconditioner: Vec<f64>,
    pub(super) facts: Facts,
}

/// A row of `tables/digits-minimum.csv`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    /// Root of the random streams.
    pub(super) seed: u64,
    /// Mean loss after SGD.
    pub(super) loss_after_sgd: f64,
    /// Rounds of SGD that this took.
    pub(super) num_rounds: usize,
    /// Mean loss after the polish.
    pub(super) loss: f64,
    /// Steps of the polish.
    pub(super) num_polish_steps: usize,
    /// Largest eigenvalue of the mean curvature.
    pub(super) sharpness: f64,
    /// Its smallest eigenvalue: 0 if there are flat directions.
    pub(super) min_eigenvalue: f64,
    /// Trace of the mean curvature.
    pub(super) trace: f64,
    /// Number of its eigenvalues that are not zero.
    pub(super) rank: usize,
    /// `max_i lambda_max(H_i)`.
    pub(super) max_sample_sharpness: f64,
    /// Coherence measure sigma.
    pub(super) sigma: f64,
}

impl Minimum {
    /// Trains and polishes. A function of the configuration alone, which was read from `path`.
    pub(super) fn find(config: &Config, path: &Path) -> Result<Self> {
        let data = data::load(path, &config.digits, config.num_samples)?;
        let Found { loss_after_sgd, num_rounds, polished } = train(config, &data)?;
        let loss = config.minimum.loss;
        let curvature = Curvature::at(&polished.network, &data, loss)?;
        let factored = curvature.gauss_newton()?;
        let (ensemble, coherence) = (Reduced::of(&factored)?, Coherence::of(&factored)?);
        let eigenvalues = ensemble.mean_eigenvalues();
        let flat = ensemble.rank() < polished.network.parameters().len();
        let facts = Facts {
            seed: config.seed,
            loss_after_sgd,
            num_rounds,
            loss: polished.loss,
            num_polish_steps: polished.num_steps,
            sharpness: eigenvalues.first().copied().unwrap_or(0.0),
            min_eigenvalue: eigenvalues.last().copied().filter(|_| !flat).unwrap_or(0.0),
            trace: curvature.trace(),
            rank: ensemble.rank(),
            max_sample_sharpness: coherence.max_sample_sharpness,
            sigma: coherence.measure,
        };
        drop(curvature);
        let preconditioner = frozen_second_moment(&factored);
        let scales: Vec<f64> = preconditioner.iter().map(|entry| entry.sqrt().recip()).collect();
        let preconditioned = Reduced::of(&factored.rescaled(&scales)?)?;
        Ok(Self { data, network: polished.network, ensemble, preconditioned, preconditioner, facts })
    }

    /// The ensemble that an optimizer sees.
    pub(super) fn ensemble(&self, contender: &Contender) -> &Reduced {
        if contender.is_preconditioned() { &self.preconditioned } else { &self.ensemble }
    }
}

/// `sqrt(v) + 1e-8`, `v` the mean over the samples of the squares of their gradients where each residual is 1. At the minimum itself
/// all gradients vanish; on the way there residuals of about one size scale this, and learning rates are counted in units of a threshold.
fn frozen_second_moment(factored: &Factored) -> Vec<f64> {
    let (rows, n) = (factored.rows(), factored.num_samples() as f64);
    let root = |column: usize| (rows.col(column).squared_norm_l2() / n).sqrt();
    (0..rows.ncols()).map(|column| root(column) + 1e-8).collect()
}

struct Found {
    loss_after_sgd: f64,
    num_rounds: usize,
    polished: Polished,
}

/// SGD from a random network, and a polish; where that ends at a kink, SGD goes on from where it was.
fn train(config: &Config, data: &Dataset) -> Result<Found> {
    let &MinimumConfig { width, loss, learning_rate, batch_size, num_epochs, max_rounds, .. } =
        &config.minimum;
    let key = StreamKey::new(config.seed, ID).text("minimum");
    let mut network = TwoLayer::uniform(data.num_inputs(), width, &mut key.number(0).generator())?;
    let training = Training::new(TrainingRule::Sgd, loss, learning_rate, batch_size, num_epochs);
    let mut trainer = Trainer::new(training, data, width)?;
    let options = PolishOptions {
        target_loss: config.minimum.polished_loss,
        max_steps: config.minimum.max_polish_steps,
    };
    let mut num_rounds = 1;
    loop {
        // A divergence leaves the last finite network; then it is for the polish to say that there is no minimum near.
        let rng = &mut key.number(num_rounds as u64).generator();
        trainer.run(&mut network, rng, unobserved)?;
        let loss_after_sgd = loss.mean(&network.predictions(data)?, data.labels());
        match polish::run(&network, data, loss, options) {
            Ok(polished) => return Ok(Found { loss_after_sgd, num_rounds, polished }),
            Err(ReluError::NotInterpolated { .. }) if num_rounds < max_rounds => num_rounds += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
