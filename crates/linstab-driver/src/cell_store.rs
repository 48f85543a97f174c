//! Where the results of the cells of a computation are kept: in one file, or in one a shard.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell_files::{CellFile, Merged, ShardFile, of_shard};
use crate::checkpoint::{self, Identity};
use crate::files::{create_folder_below, is_there};
use crate::shard::{Shard, listed};
use crate::{DriverError, Result};

pub(crate) const ENDING: &str = ".checkpoint";

/// Who computes which cells of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// One process computes all.
    All,
    /// This process computes those of a shard; others leave theirs beside.
    Of(Shard),
    /// Nothing is computed: shards have done it, which were dealt for one of these numbers of shards.
    Gathered(Vec<u32>),
}

/// Where the results of the cells of one computation are kept, and which cells are computed here.
#[derive(Clone, Debug)]
pub struct CellStore {
    name: String,
    base: PathBuf,
    share: Share,
}

/// Results by index; those that are missing are `None`.
pub(crate) type Results<T> = Vec<Option<T>>;

impl CellStore {
    /// Of a computation that one process makes, as a checkpoint beside `path`.
    pub fn at(path: &Path) -> Self {
        Self { name: String::new(), base: path.to_path_buf(), share: Share::All }
    }

    pub(crate) fn new(folder: &Path, name: &str, share: Share) -> Self {
        Self { name: name.to_owned(), base: folder.join(format!("{name}{ENDING}")), share }
    }

    /// Whether a cell is to be computed here.
    pub(crate) fn holds(&self, cell: usize) -> bool {
        match &self.share {
            Share::All => true,
            Share::Of(shard) => shard.holds(cell),
            Share::Gathered(_) => false,
        }
    }

    /// Whether all cells are computed here.
    pub(crate) fn is_whole(&self) -> bool {
        self.share == Share::All
    }

    /// Whether nothing at all is computed here.
    pub(crate) fn is_gathered(&self) -> bool {
        matches!(self.share, Share::Gathered(_))
    }

    /// Writes the results of the cells that are computed here, in place of what was there.
    ///
    /// # Errors
    /// As [`checkpoint::write`].
    pub(crate) fn save<T: Serialize>(&self, identity: Identity, results: &Results<T>) -> Result<()> {
        let cells = results.iter().enumerate().filter(|(cell, _)| self.holds(*cell));
        let stored: Vec<(u64, &T)> =
            cells.filter_map(|(cell, result)| Some((cell as u64, result.as_ref()?))).collect();
        checkpoint::write(&self.own_file(identity), identity, &stored)
    }

    /// What is known before anything is computed: all that this process left, and what was dealt for another number of shards.
    ///
    /// # Errors
    /// [`DriverError::Checkpoint`] or [`DriverError::ShardFile`] if a file is not of this computation or is damaged;
    /// [`DriverError::Io`].
    pub(crate) fn load<T: DeserializeOwned>(
        &self,
        identity: Identity,
        num_cells: usize,
    ) -> Result<Results<T>> {
        let mut results = (0..num_cells).map(|_| None).collect();
        let own = match &self.share {
            Share::All => {
                merge(&self.own_file(identity), identity, &mut results)?;
                return Ok(results);
            }
            Share::Of(shard) => {
                let folder = identity.path(&self.base);
                create_folder_below(folder.parent().unwrap_or(&folder), &folder)?;
                Some(*shard)
            }
            Share::Gathered(_) => None,
        };
        for shard in self.shards(identity)? {
            if own.is_none_or(|own| shard == own || shard.count() != own.count()) {
                let path = self.file_of(shard, identity);
                merge(&path, identity, &mut results).map_err(of_shard(shard))?;
            }
        }
        Ok(results)
    }

    /// The results of all cells in order, from the files of the shards. Files are read twice: nothing is handed over unless all is there.
    ///
    /// # Errors
    /// [`DriverError::Awaits`] or [`DriverError::MissingCells`] if it is not; as [`Self::load`].
    pub(crate) fn stored<T: DeserializeOwned>(
        &self,
        identity: Identity,
        num_cells: usize,
    ) -> Result<Merged<T>> {
        let mut shards = self.shards(identity)?;
        let mut awaited = Vec::new();
        if let Share::Of(own) = self.share {
            shards.retain(|shard| *shard == own || shard.count() != own.count());
            // There may be more shards than cells.
            awaited.extend(own.others().filter(|shard| shard.cells(num_cells).next().is_some()));
        }
        let mut known = vec![false; num_cells];
        let file = |shard| ShardFile { path: self.file_of(shard, identity), shard, identity, num_cells };
        let mut files: Vec<ShardFile> = shards.into_iter().map(file).collect();
        files.iter().try_for_each(|file| file.mark::<T>(&mut known))?;
        for shard in awaited {
            files.push(file(shard));
            files[files.len() - 1].mark::<T>(&mut known)?;
            // What is missing now stays missing: no need to read on.
            if shard.cells(num_cells).any(|cell| !known[cell]) {
                let (computation, shard) = (self.name.clone(), shard.to_string());
                return Err(DriverError::Awaits { computation, shard });
            }
        }
        let missing: Vec<usize> = (0..num_cells).filter(|&cell| !known[cell]).collect();
        if missing.is_empty() { Merged::new(files) } else { Err(self.missing(&missing, num_cells)) }
    }

    /// That these cells have not been computed.
    pub(crate) fn missing(&self, missing: &[usize], num_cells: usize) -> DriverError {
        let counts: &[u32] = if let Share::Gathered(counts) = &self.share { counts } else { &[] };
        let shards_of = |&count: &u32| {
            let mut shards: Vec<Shard> = missing.iter().map(|&cell| Shard::of_cell(cell, count)).collect();
            shards.sort_unstable();
            shards.dedup();
            shards
        };
        let fewest = counts.iter().map(shards_of).min_by_key(Vec::len).unwrap_or_default();
        DriverError::MissingCells {
            computation: self.name.clone(),
            num_missing: missing.len(),
            num_cells,
            shards: listed(&fewest),
        }
    }

    #[cfg(test)]
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    fn own_file(&self, identity: Identity) -> PathBuf {
        let path = identity.path(&self.base);
        match &self.share {
            Share::Of(shard) => shard_file(&path, *shard),
            Share::All | Share::Gathered(_) => path,
        }
    }

    /// The shards that left something of this computation, in order.
    fn shards(&self, identity: Identity) -> Result<Vec<Shard>> {
        let folder = identity.path(&self.base);
        if !is_there(&folder)? {
            return Ok(Vec::new());
        }
        shards_in(&folder, ENDING)
    }

    fn file_of(&self, shard: Shard, identity: Identity) -> PathBuf {
        shard_file(&identity.path(&self.base), shard)
    }
}

/// Adds the results of a file, if there is one, to those that are known.
fn merge<T: DeserializeOwned>(path: &Path, identity: Identity, results: &mut Results<T>) -> Result<()> {
    for cell in CellFile::open(path, identity, results.len())? {
        let (cell, result) = cell?;
        results[cell].get_or_insert(result);
    }
    Ok(())
}

/// The file of a shard in the folder of a computation.
pub(crate) fn shard_file(folder: &Path, shard: Shard) -> PathBuf {
    folder.join(shard.file_stem()).with_extension(&ENDING[1..])
}

/// The shards that have a file with this ending in a folder, in order; other files are none of ours.
pub(crate) fn shards_in(folder: &Path, ending: &str) -> Result<Vec<Shard>> {
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder).map_err(DriverError::io("list", folder))? {
        let name = entry.map_err(DriverError::io("list", folder))?.file_name();
        shards.extend(name.to_str().and_then(|name| Shard::of_file(name, ending)));
    }
    shards.sort_unstable();
    Ok(shards)
}
