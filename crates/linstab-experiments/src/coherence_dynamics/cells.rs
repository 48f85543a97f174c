//! The trainings: each combination of optimizer, learning rate, contrastive weight and seed.

use std::ops::ControlFlow;

use linstab_relu::parity::{self, Redundancy};
use linstab_relu::{Curvature, Trainer, Training, TrainingRule, TwoLayer};
use rand_pcg::Pcg64;

use super::ID;
use super::config::Config;
use super::tracking::{self, Setting, Track};
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;

/// One training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Radius of SAM; 0 is SGD.
    pub rho: f64,
    /// Weight of the contrastive term.
    pub contrastive_weight: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Which data and initialisation, from 0.
    pub seed: usize,
}

impl Cell {
    /// Whether two cells differ in nothing but their seed.
    pub fn is_like(&self, other: &Self) -> bool {
        Self { seed: 0, ..*self } == Self { seed: 0, ..*other }
    }

    /// `sgd` or `sam`.
    pub fn optimizer(&self) -> &'static str {
        if self.rho > 0.0 { "sam" } else { "sgd" }
    }
}

/// All trainings of a configuration.
#[derive(Clone, Debug)]
pub struct TrainingCells<'a> {
    config: &'a Config,
    identity: Identity,
    cells: Vec<Cell>,
}

impl<'a> TrainingCells<'a> {
    /// The cells of `config`, the seeds of a combination side by side; `program` is the digest of the program.
    pub fn new(config: &'a Config, program: &str) -> Self {
        let mut cells = Vec::new();
        for &learning_rate in &config.learning_rate {
            for &contrastive_weight in &config.contrastive_weight {
                for rho in config.radii() {
                    cells.extend((0..config.num_seeds).map(|seed| Cell {
                        rho,
                        contrastive_weight,
                        learning_rate,
                        seed,
                    }));
                }
            }
        }
        Self { config, identity: Identity::new(program, &[ID, &format!("{config:?}")]), cells }
    }

    /// The cells in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

impl Cells for TrainingCells<'_> {
    type Error = crate::ExperimentError;
    type Output = Track;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.cells.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Track> {
        set_up(self.config, &self.cells[index], tracking::track)
    }
}

/// Sets a training up. Data, initialisation and the order of the batches depend on the seed alone: optimizers start alike.
fn set_up<T>(
    config: &Config,
    cell: &Cell,
    train: impl FnOnce(Setting<'_>, &mut Trainer<'_>, TwoLayer, &mut Pcg64) -> Result<T>,
) -> Result<T> {
    let key = StreamKey::new(config.seed, ID).number(cell.seed as u64);
    let draw = |name: &str, count: usize| {
        parity::draw(count, config.num_inputs, Redundancy::Independent, &mut key.text(name).generator())
    };
    let data = draw("data", config.num_samples)?;
    let validation = draw("validation", config.num_validation_samples)?;
    let network =
        TwoLayer::uniform(config.num_inputs, config.width, &mut key.text("initialisation").generator())?;
    let rule = if cell.rho > 0.0 { TrainingRule::Sam { rho: cell.rho } } else { TrainingRule::Sgd };
    let training = Training {
        contrastive_weight: cell.contrastive_weight,
        divergence_loss: config.divergence_loss,
        ..Training::new(rule, config.loss, cell.learning_rate, config.batch_size, config.num_epochs)
    };
    let mut trainer = Trainer::new(training, &data, config.width)?;
    let setting = Setting { config, data: &data, validation: &validation };
    train(setting, &mut trainer, network, &mut key.text("order").generator())
}

/// What `look` sees at the ends of these epochs of a training; nothing of those that a divergence prevents.
pub(crate) fn at_epochs<T>(
    config: &Config,
    cell: &Cell,
    epochs: &[usize],
    look: impl Fn(usize, &Curvature<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    set_up(config, cell, |setting, trainer, mut network, rng| {
        let (mut seen, mut failure) = (Vec::new(), None);
        trainer.run(&mut network, rng, |progress| {
            if !epochs.contains(&progress.epoch) {
                return ControlFlow::Continue(());
            }
            let curvature = Curvature::at(progress.network, setting.data, config.loss);
            match curvature.map_err(Into::into).and_then(|curvature| look(progress.epoch, &curvature)) {
                Ok(found) => {
                    seen.push(found);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(seen), Err)
    })
}
