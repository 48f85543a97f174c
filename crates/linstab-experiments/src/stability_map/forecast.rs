//! What a map will take before it is run: some of its cells are computed, the rest follows from their number.

use linstab_driver::Context;
use linstab_driver::engine::Cells as _;
use linstab_driver::table;
use linstab_driver::trial::{Trial, trial};

use super::cells::{CellResult, MapCells, Row};
use super::config::Config;
use crate::Result;

/// Cells that are computed to measure what one costs.
const MOST_TRIED: usize = 2000;
/// Gathering 0.4 and 1.0 million cells took 95 and 157 MiB and, with the last, 7.3 s of processor time.
const GATHERING_SECS: f64 = 7.3e-6;
/// Bytes of memory for any map: those that are drawn beside others.
const GATHERING_BYTES: f64 = 58e6;
/// Bytes of memory for each cell: what the page shows of it.
const GATHERING_BYTES_OF_A_CELL: f64 = 107.0;
/// A shard holds a place for the result of each cell.
const SHARED: f64 = size_of::<Option<CellResult>>() as f64;

/// What a map will take.
#[derive(Clone, Debug)]
pub struct Forecast {
    num_cells: usize,
    trial: Trial<CellResult>,
    /// Bytes that a cell takes in the tables, on average.
    table_bytes: f64,
}

impl Forecast {
    /// Of the map that would be run. Computes up to 2000 of its cells.
    ///
    /// # Errors
    /// What is wrong with the configuration; an error of a cell.
    pub fn of(context: &Context<'_>) -> Result<Self> {
        let config = Config::load(context)?;
        let cells = MapCells::new(&config, context.program);
        let trial = trial(&cells, MOST_TRIED)?;
        let rows: Vec<Row> = trial.results.iter().map(|(cell, result)| cells.row(*cell, result)).collect();
        let table_bytes = table::num_bytes(&rows)? as f64 / rows.len() as f64;
        Ok(Self { num_cells: cells.num_cells(), trial, table_bytes })
    }

    /// Number of cells.
    pub fn num_cells(&self) -> usize {
        self.num_cells
    }

    /// Hours that all cells keep one core busy.
    pub fn core_hours(&self) -> f64 {
        self.trial.mean_secs() * self.num_cells as f64 / 3600.0
    }

    /// Seconds to compute the cells on so many cores, to which they are dealt in turn: no core is done before the mean, nor before the
    /// longest cell.
    fn projected_secs(&self, num_cores: u32) -> f64 {
        (3600.0 * self.core_hours() / f64::from(num_cores)).max(self.trial.longest_secs())
    }

    /// In words, with a projection to so many cores.
    pub fn text(&self, num_cores: u32) -> String {
        let (trial, num_cells) = (&self.trial, self.num_cells as f64);
        let amount = |bytes_of_a_cell: f64| format!("{:.3} GB", num_cells * bytes_of_a_cell * 1e-9);
        let gathering = GATHERING_BYTES / num_cells + GATHERING_BYTES_OF_A_CELL;
        let (tables, stored) = (self.table_bytes, trial.stored_bytes);
        format!(
            "{} cells
computing   {:.3} core hours, +- {:.0} % (standard error)
            from {} cells, computed now on one core: {:.2} ms each on average, {:.2} ms the longest
memory      {} for a shard, {} to gather
disk        {} in the folder of the shards, {} of tables
PROJECTION  {num_cores} cores: {:.1} s at least to compute, {:.1} s on one core to gather; not measured on so many, and without
            the start of jobs, the waits of a scheduler and the file system
",
            self.num_cells,
            self.core_hours(),
            100.0 * trial.standard_error_secs() / trial.mean_secs(),
            trial.results.len(),
            1e3 * trial.mean_secs(),
            1e3 * trial.longest_secs(),
            amount(SHARED),
            amount(gathering),
            amount(stored),
            amount(tables),
            self.projected_secs(num_cores),
            num_cells * GATHERING_SECS,
        )
    }
}
