//! Files of cells as they are read: one, and those of all shards side by side in the order of the cells.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::checkpoint::{self, Identity, Items, Reopened};
use crate::error::CheckpointFault;
use crate::shard::Shard;
use crate::{DriverError, Result};

/// The cells of a file in order, each with its result.
pub(crate) struct CellFile<T> {
    path: PathBuf,
    items: Option<Items<(u64, T), Reopened>>,
    /// Cells that may follow.
    next: usize,
    num_cells: usize,
}

impl<T: DeserializeOwned> CellFile<T> {
    /// Of a computation of so many cells; without any if there is no such file.
    pub(crate) fn open(path: &Path, identity: Identity, num_cells: usize) -> Result<Self> {
        let items = checkpoint::open(path, identity)?;
        Ok(Self { path: path.to_path_buf(), items, next: 0, num_cells })
    }

    fn place(&mut self, cell: u64) -> Result<usize> {
        let cell = usize::try_from(cell).ok().filter(|cell| (self.next..self.num_cells).contains(cell));
        let cell = cell.ok_or_else(|| damaged(&self.path))?;
        self.next = cell + 1;
        Ok(cell)
    }
}

impl<T: DeserializeOwned> Iterator for CellFile<T> {
    type Item = Result<(usize, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.items.as_mut()?.next()?;
        let placed = item.map_err(|fault| fault.of(&self.path));
        Some(placed.and_then(|(cell, result)| Ok((self.place(cell)?, result))))
    }
}

fn damaged(path: &Path) -> DriverError {
    DriverError::Checkpoint { path: path.to_path_buf(), reason: CheckpointFault::Damaged }
}

/// Says of a file that is refused whose it is.
pub(crate) fn of_shard(shard: Shard) -> impl Fn(DriverError) -> DriverError {
    move |error| match error {
        DriverError::Checkpoint { path, reason } => {
            DriverError::ShardFile { path, shard: shard.to_string(), reason }
        }
        other => other,
    }
}

/// The file in which a shard keeps its cells of a computation.
#[derive(Clone, Debug)]
pub(crate) struct ShardFile {
    pub(crate) path: PathBuf,
    pub(crate) shard: Shard,
    pub(crate) identity: Identity,
    pub(crate) num_cells: usize,
}

impl ShardFile {
    fn cells<T: DeserializeOwned>(&self) -> Result<CellFile<T>> {
        CellFile::open(&self.path, self.identity, self.num_cells).map_err(of_shard(self.shard))
    }

    /// Reads the file to its end and marks its cells as known.
    pub(crate) fn mark<T: DeserializeOwned>(&self, known: &mut [bool]) -> Result<()> {
        for cell in self.cells::<T>()? {
            let (cell, _) = cell.map_err(of_shard(self.shard))?;
            known[cell] = true;
        }
        Ok(())
    }
}

/// The cells of several files in order; of one that several files hold, the result of the first.
pub(crate) struct Merged<T> {
    sources: Vec<(Shard, CellFile<T>, Option<T>)>,
    /// The next cell of each file that has one left.
    next: BinaryHeap<Reverse<(usize, usize)>>,
}

impl<T: DeserializeOwned> Merged<T> {
    pub(crate) fn new(files: Vec<ShardFile>) -> Result<Self> {
        let mut merged = Self { sources: Vec::new(), next: BinaryHeap::new() };
        for (source, file) in files.into_iter().enumerate() {
            merged.sources.push((file.shard, file.cells()?, None));
            merged.advance(source)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, source: usize) -> Result<()> {
        let (shard, cells, result) = &mut self.sources[source];
        if let Some(next) = cells.next() {
            let (cell, next) = next.map_err(of_shard(*shard))?;
            *result = Some(next);
            self.next.push(Reverse((cell, source)));
        }
        Ok(())
    }

    /// The next cell with its result, taken from all files that hold it.
    fn take(&mut self) -> Result<Option<(usize, T)>> {
        let mut taken: Option<(usize, T)> = None;
        while let Some(&Reverse((cell, source))) = self.next.peek()
            && taken.as_ref().is_none_or(|(first, _)| *first == cell)
        {
            self.next.pop();
            if let Some(result) = self.sources[source].2.take() {
                taken.get_or_insert((cell, result));
            }
            self.advance(source)?;
        }
        Ok(taken)
    }
}

impl<T: DeserializeOwned> Iterator for Merged<T> {
    type Item = Result<(usize, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("program", &["cells"])
    }

    /// Files of shards with these cells, each with twice its number as its result.
    fn files(folder: &Path, cells: &[(u32, u32, &[u64])]) -> Vec<ShardFile> {
        let file = |&(index, count, cells): &(u32, u32, &[u64])| {
            let path = folder.join(format!("{index}-of-{count}"));
            let cells: Vec<(u64, u64)> = cells.iter().map(|&cell| (cell, 2 * cell)).collect();
            checkpoint::write(&path, identity(), &cells).unwrap();
            ShardFile { path, shard: Shard::new(index, count).unwrap(), identity: identity(), num_cells: 7 }
        };
        cells.iter().map(file).collect()
    }

    #[test]
    fn cells_come_in_order_and_once_whoever_computed_them() {
        let folder = tempfile::tempdir().unwrap();
        let shards: [(u32, u32, &[u64]); 4] =
            [(0, 2, &[0, 2, 4, 6]), (1, 2, &[1]), (2, 3, &[2, 5]), (0, 3, &[0, 3, 6])];
        let mut merged = Merged::<u64>::new(files(folder.path(), &shards)).unwrap();
        let cells: Vec<(usize, u64)> = merged.by_ref().map(Result::unwrap).collect();
        assert_eq!(cells, (0..7).map(|cell| (cell, 2 * cell as u64)).collect::<Vec<_>>());
        assert!(merged.next().is_none());
    }

    #[test]
    fn cells_that_are_not_of_the_computation_or_out_of_order_are_damage() {
        for cells in [&[0, 2, 7], &[2, 1, 3], &[1, 1, 2]] {
            let folder = tempfile::tempdir().unwrap();
            let files = files(folder.path(), &[(0, 1, cells)]);
            let refused = files[0].mark::<u64>(&mut [false; 7]).unwrap_err().to_string();
            assert!(refused.contains("run shard 0/1 again with --restart"), "{refused}");
        }
    }
}
