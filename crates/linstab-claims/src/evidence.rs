//! Our own runs, behind the empirical claims: a stability map, tracked trainings, and recorded restarts of networks.

use super::config::Config;
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::{self, Cells};
use linstab_driver::{CellStore, Context};
use linstab_experiments::coherence_dynamics::{self, Track, TrainingCells};
use linstab_experiments::edge_test::Recorded;
use linstab_experiments::stability_map::{self, MapCells, Row};

/// The runs.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The settings they were made with, for the identity of what follows from them.
    pub(super) settings: String,
    /// The stability map.
    pub(super) map: Vec<Row>,
    /// The stability map of SGD with another seed: how much chance alone moves.
    pub(super) second_map: Vec<Row>,
    /// The trainings.
    pub(super) trainings: Vec<(coherence_dynamics::Cell, Track)>,
    /// Epochs of each training.
    pub(super) num_epochs: usize,
    /// Restarts of networks, recorded.
    pub(super) recorded: Recorded,
}

impl Runs {
    /// Makes the runs; `checkpoint` is where the cells of a computation are kept. None of them needs another, so that a process which
    /// shares the work with others computes its cells of all before it waits for theirs.
    ///
    /// # Errors
    /// As [`engine::run`], and for bad configurations of the map and the trainings.
    pub fn make(
        config: &Config,
        context: &Context<'_>,
        checkpoint: impl Fn(&str) -> CellStore,
    ) -> Result<Self> {
        let map_config = config.map(context.configs)?;
        let map = make_map(&map_config, context, &checkpoint("claims-map"));
        let second = config.second_map(context.configs)?;
        let second_map = make_map(&second, context, &checkpoint("claims-second-map"));
        let training_config = config.trainings(context.configs)?;
        let cells = NeededTrainings::new(&training_config, context.program);
        let tracks = engine::run(&cells, context, &checkpoint("claims-trainings"));
        let (map, second_map, tracks) = (map?, second_map?, tracks?);
        let trainings = cells.needed.iter().map(|&at| cells.all.cells()[at]).zip(tracks).collect();
        let recorded = Recorded::read(context)?;
        let settings = format!("{map_config:?} {training_config:?} {:?}", recorded.digests);
        let num_epochs = training_config.num_epochs;
        Ok(Self { settings, map, second_map, trainings, num_epochs, recorded })
    }
}

fn make_map(
    config: &stability_map::Config,
    context: &Context<'_>,
    checkpoint: &CellStore,
) -> Result<Vec<Row>> {
    let cells = MapCells::new(config, context.program);
    let mut rows = Vec::new();
    engine::for_each(&cells, context, checkpoint, |index, result| {
        rows.push(cells.row(index, &result));
        Ok(())
    })?;
    Ok(rows)
}

/// The trainings that the claims speak of: all without contrastive term and with a large one, and SGD at the first learning rate with
/// the small one.
struct NeededTrainings<'a> {
    all: TrainingCells<'a>,
    needed: Vec<usize>,
}

impl<'a> NeededTrainings<'a> {
    fn new(config: &'a coherence_dynamics::Config, program: &str) -> Self {
        let all = TrainingCells::new(config, program);
        let first = config.learning_rate[0].to_bits();
        let needed = |cell: &coherence_dynamics::Cell| {
            cell.contrastive_weight <= 0.0
                || cell.contrastive_weight > 0.05
                || (cell.rho <= 0.0 && cell.learning_rate.to_bits() == first)
        };
        let needed = (0..all.num_cells()).filter(|&at| needed(&all.cells()[at])).collect();
        Self { all, needed }
    }
}

impl Cells for NeededTrainings<'_> {
    type Error = crate::ClaimError;
    type Output = Track;

    fn experiment(&self) -> &'static str {
        "claims: trainings"
    }

    fn num_cells(&self) -> usize {
        self.needed.len()
    }

    fn identity(&self) -> Identity {
        self.all.identity()
    }

    fn compute(&self, index: usize) -> Result<Track> {
        Ok(self.all.compute(self.needed[index])?)
    }
}
