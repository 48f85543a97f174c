//! The maps as their cells come: of a map that is complete little is kept, so that a million cells need not be in memory together.

use std::mem;

use linstab_driver::table::{self, Table};
use linstab_driver::{Result, ResultsFolder};
use linstab_report::section::Section;

use super::ID;
use super::cells::Row;
use super::config::Config;
use super::explorer::Explorer;
use super::loaders::Loaders;
use super::summary::{MapKey, MapSummary};
use super::{agreement, drawing, section};

/// The results under construction.
pub(super) struct Maps<'a> {
    config: &'a Config,
    results: &'a ResultsFolder,
    cells_of_a_map: usize,
    table: Table,
    /// The map under way.
    rows: Vec<Row>,
    summaries: Vec<MapSummary>,
    explorer: Explorer,
    loaders: Loaders,
    /// Maps that are drawn beside others.
    shown: Vec<Vec<Row>>,
}

impl<'a> Maps<'a> {
    pub(super) fn new(config: &'a Config, cells_of_a_map: usize, results: &'a ResultsFolder) -> Result<Self> {
        Ok(Self {
            config,
            results,
            cells_of_a_map,
            table: Table::create(results, ID)?,
            rows: Vec::new(),
            summaries: Vec::new(),
            explorer: Explorer::new(config),
            loaders: Loaders::default(),
            shown: Vec::new(),
        })
    }

    /// Adds the next cell.
    pub(super) fn push(&mut self, row: Row) -> Result<()> {
        self.table.push(&row)?;
        self.rows.push(row);
        if self.rows.len() < self.cells_of_a_map {
            return Ok(());
        }
        let map = mem::take(&mut self.rows);
        let summary = MapSummary::of(&map);
        drawing::draw_map(self.config, &map, self.results)?;
        self.explorer.push(self.config, &map, &summary);
        self.loaders.push(&map);
        self.summaries.push(summary);
        if drawing::shows(self.config, &MapKey::of(&map[0])) {
            self.shown.push(map);
        }
        Ok(())
    }

    /// Writes what shows all maps together.
    pub(super) fn finish(self) -> Result<(Vec<MapSummary>, Section)> {
        let Self { config, results, table, summaries, explorer, loaders, shown, .. } = self;
        table.finish()?;
        table::write(results, "stability-map-summary", &summaries)?;
        drawing::draw(config, &shown, &summaries, results)?;
        results.draw_both("stability-map-agreement", |columns| agreement::figure(columns, &summaries))?;
        explorer.write(results)?;
        let section = section::section(config, &summaries, loaders.findings());
        Ok((summaries, section))
    }
}
