//! The folders of a run: results are written beside the old ones, and put in their place only when complete.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use linstab_report::drawing;
use serde::Serialize;

use crate::cell_store::{CellStore, Share};
use crate::disk;
use crate::files::{
    MANIFEST, NewFile, PROGRAM, create_folder, create_folder_below, is_there, remove_folder, rename, write,
};
use crate::shard::Shard;
use crate::{DriverError, Result};

/// Marks a work folder as ours; a folder without it is never cleared.
const MARKER: &str = "this-folder-belongs-to-linstab";
const LOCK: &str = "lock";
const CHECKPOINTS: &str = "checkpoints";
const PARTS: &str = "parts";
const RESULTS: &str = "results";

/// The results of one experiment under construction: its files, and its cells.
#[derive(Clone, Debug)]
pub struct ResultsFolder {
    /// None if only cells are wanted.
    files: Option<Files>,
    cells: PathBuf,
    share: Share,
}

/// The files of an experiment, and which have been written: one that is gone when it is wanted must be missed.
#[derive(Clone, Debug)]
struct Files {
    work: PathBuf,
    root: PathBuf,
    written: Arc<Mutex<BTreeSet<String>>>,
}

impl ResultsFolder {
    /// Of a shard, which leaves nothing but its cells.
    pub(crate) fn of_shard(cells: &Path, shard: Shard) -> Self {
        Self { files: None, cells: cells.to_path_buf(), share: Share::Of(shard) }
    }

    /// The same files, made of cells that shards have computed.
    pub(crate) fn gathered(self, cells: &Path, counts: &[u32]) -> Self {
        Self { cells: cells.to_path_buf(), share: Share::Gathered(counts.to_vec()), ..self }
    }

    /// Where the cells of a computation are kept; its name is that of the experiment, or begins with that and a hyphen.
    pub fn checkpoint(&self, name: &str) -> CellStore {
        CellStore::new(&self.cells, name, self.share.clone())
    }

    /// Writes a file of the results, creating the folders above it.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(relative)?;
        file.write_all(bytes).map_err(|error| file.failed(error))?;
        file.finish()
    }

    /// Writes a file of the results as JSON.
    ///
    /// # Errors
    /// [`DriverError::Io`], for what cannot be encoded, too.
    pub fn write_json<T: Serialize>(&self, relative: &str, value: &T) -> Result<()> {
        let mut file = self.create(relative)?;
        serde_json::to_writer(&mut file, value).map_err(|error| file.failed(error.into()))?;
        file.finish()
    }

    /// Begins a file of the results.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn create(&self, relative: &str) -> Result<ResultsFile> {
        let begin = |files: &Files| {
            let file = NewFile::create(&files.work, &files.root.join(relative))?;
            Ok(Wanted { file, relative: relative.to_owned(), written: Arc::clone(&files.written) })
        };
        self.files.as_ref().map(begin).transpose().map(ResultsFile)
    }

    /// Writes a figure across two columns and in one: `figures/<name>` and `figures/one-column/<name>`.
    ///
    /// # Errors
    /// [`DriverError::Io`], [`DriverError::Report`].
    pub fn draw_both(&self, name: &str, draw: impl Fn(drawing::Columns) -> drawing::Svg) -> Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        let files = drawing::files_at_both_widths(name, draw)?;
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }

    /// Writes a figure: `figures/<name>.svg` and `figures/<name>.png`.
    ///
    /// # Errors
    /// [`DriverError::Io`], [`DriverError::Report`].
    pub fn draw(&self, name: &str, figure: &drawing::Svg) -> Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        drawing::files(name, figure)?.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }
}

/// A file of the results under construction; where only cells are wanted, nothing.
#[derive(Debug)]
pub(crate) struct ResultsFile(Option<Wanted>);

#[derive(Debug)]
struct Wanted {
    file: NewFile,
    relative: String,
    written: Arc<Mutex<BTreeSet<String>>>,
}

impl ResultsFile {
    pub(crate) fn failed(&self, error: io::Error) -> DriverError {
        let path = self.0.as_ref().map_or(Path::new(""), |wanted| wanted.file.path());
        DriverError::io("write", path)(error)
    }

    pub(crate) fn finish(self) -> Result<()> {
        let Some(Wanted { file, relative, written }) = self.0 else { return Ok(()) };
        file.finish()?;
        written.lock().unwrap_or_else(PoisonError::into_inner).insert(relative);
        Ok(())
    }
}

impl Write for ResultsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(bytes.len()), |wanted| wanted.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |wanted| wanted.file.flush())
    }
}

/// The folder of a run.
///
/// Everything happens in one work folder beside `<out>`, `.<name>.linstab-work`, under an advisory lock that is held to the end:
/// `checkpoints` survive an interruption, `parts` holds the files of each experiment, `results` changes places with `<out>`. Where the system
/// cannot do that at once, `<out>` waits as `.<name>.linstab-previous` for the moment between two renames: not in the work folder, which
/// somebody may remove. Whatever stops a run, `<out>` holds complete results, earlier or new, or has them put back by the next run.
#[derive(Debug)]
pub struct RunFolder {
    out: PathBuf,
    work: PathBuf,
    previous: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl RunFolder {
    /// Opens the work folder for `out`; `restart` discards what an interrupted run left there.
    ///
    /// # Errors
    /// [`DriverError::ForeignFolder`] if `out`, or what should be its work folder, is not ours; [`DriverError::Busy`] if another run
    /// is under way; [`DriverError::Io`] if it cannot be written to.
    pub fn open(out: &Path, restart: bool) -> Result<Self> {
        let out = resolve(out)?;
        refuse_foreign(&out)?;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let work = out.with_file_name(format!(".{name}.linstab-work"));
        let previous = out.with_file_name(format!(".{name}.linstab-previous"));
        refuse_foreign(&previous)?;
        create_marked_folder(&work)?;
        let folder = Self { _lock: lock(&out, &work.join(LOCK))?, out, work, previous };
        // A run that was stopped between the two renames of `complete` left the earlier results here.
        if folder.previous.exists() && !folder.out.exists() {
            rename(&folder.previous, &folder.out)?;
        }
        remove_folder(&folder.previous)?;
        for stale in [PARTS, RESULTS].into_iter().chain(restart.then_some(CHECKPOINTS)) {
            remove_folder(&folder.work.join(stale))?;
        }
        for fresh in [RESULTS, CHECKPOINTS] {
            create_folder_below(&folder.work, &folder.work.join(fresh))?;
        }
        Ok(folder)
    }

    /// The folder that is going to be replaced.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Where an experiment puts its results.
    pub fn part(&self, experiment: &str) -> ResultsFolder {
        ResultsFolder {
            files: Some(Files {
                work: self.work.clone(),
                root: self.work.join(PARTS).join(experiment),
                written: Arc::default(),
            }),
            cells: self.work.join(CHECKPOINTS),
            share: Share::All,
        }
    }

    /// The results so far.
    pub(crate) fn results(&self) -> PathBuf {
        self.work.join(RESULTS)
    }

    /// Adds the files of an experiment to the results; returns their paths there.
    ///
    /// # Errors
    /// [`DriverError::Io`], among others if a file is no longer there.
    pub(crate) fn accept(&self, part: &ResultsFolder) -> Result<Vec<String>> {
        let Some(Files { root, written, .. }) = &part.files else { return Ok(Vec::new()) };
        let written: Vec<String> =
            written.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        for path in &written {
            let target = self.results().join(path);
            create_folder_below(&self.work, target.parent().unwrap_or(&target))?;
            rename(&root.join(path), &target)?;
        }
        Ok(written)
    }

    /// Writes a file that is made of all experiments together.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        write(&self.work, &self.results().join(relative), bytes)
    }

    /// Reads a file of the results so far.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn read(&self, relative: &str) -> Result<Vec<u8>> {
        let path = self.results().join(relative);
        fs::read(&path).map_err(DriverError::io("read", &path))
    }

    /// Puts the results in the place of `out` and removes the work folder, but for the checkpoints if they are to be kept.
    ///
    /// # Errors
    /// [`DriverError::Io`]; the checkpoints are then still there, and so are earlier results.
    pub(crate) fn complete(self, keep_checkpoints: bool) -> Result<()> {
        refuse_foreign(&self.out)?;
        let results = self.work.join(RESULTS);
        if !is_there(&self.out)? {
            rename(&results, &self.out)?;
        } else if !disk::exchange(&results, &self.out).map_err(DriverError::io("move", &results))? {
            self.replace(&results)?;
        }
        if keep_checkpoints { self.abandon() } else { self.discard() }
    }

    /// Puts the results in the place of `out` where two folders cannot change places at once.
    fn replace(&self, results: &Path) -> Result<()> {
        rename(&self.out, &self.previous)?;
        if let Err(error) = rename(results, &self.out) {
            rename(&self.previous, &self.out)?;
            return Err(error);
        }
        remove_folder(&self.previous)
    }

    /// Removes the work folder but for the checkpoints, if there are any; `out` stays as it is.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn abandon(self) -> Result<()> {
        if is_empty(&self.work.join(CHECKPOINTS))? {
            return self.discard();
        }
        [PARTS, RESULTS].iter().try_for_each(|stale| remove_folder(&self.work.join(stale)))
    }

    /// Removes the work folder; `out` stays as it is.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn discard(self) -> Result<()> {
        remove_folder(&self.work)
    }
}

/// The folder that `out` names, as an absolute path without links: the parent must exist or be creatable.
fn resolve(out: &Path) -> Result<PathBuf> {
    let foreign = || DriverError::ForeignFolder { path: out.to_path_buf() };
    if out.is_dir() {
        let real = fs::canonicalize(out).map_err(DriverError::io("resolve", out))?;
        return if real.file_name().is_some() { Ok(real) } else { Err(foreign()) };
    }
    // A file, a dangling link, or a path that ends in `..`.
    let name = out.file_name().ok_or_else(foreign)?;
    if out.symlink_metadata().is_ok() {
        return Err(foreign());
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(parent)?;
    Ok(fs::canonicalize(parent).map_err(DriverError::io("resolve", parent))?.join(name))
}

/// Only an empty folder, or one whose manifest says that it is ours, is ever replaced.
fn refuse_foreign(out: &Path) -> Result<()> {
    if !is_there(out)? || is_empty(out)? {
        return Ok(());
    }
    let manifest: Option<serde_json::Value> =
        fs::read(out.join(MANIFEST)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let ours = manifest.is_some_and(|manifest| manifest["program"] == PROGRAM);
    if ours { Ok(()) } else { Err(DriverError::ForeignFolder { path: out.to_path_buf() }) }
}

/// Creates and marks a folder of ours, or accepts one that is marked. Others may do the same at the same time: the mark comes first.
pub(crate) fn create_marked_folder(folder: &Path) -> Result<()> {
    let foreign = || DriverError::ForeignFolder { path: folder.to_path_buf() };
    if !folder.is_dir() && folder.symlink_metadata().is_ok() {
        return Err(foreign());
    }
    create_folder(folder)?;
    let marker = folder.join(MARKER);
    // Somebody else's mark is as good, and need not be ours to write.
    if is_there(&marker)? {
        return if marker.is_file() { Ok(()) } else { Err(foreign()) };
    }
    if !is_empty(folder)? {
        return Err(foreign());
    }
    disk::create(&marker).map(drop).map_err(DriverError::io("create", &marker))
}

/// Takes the lock of a work folder. A run that ends removes the folder with its lock: what is locked must still be there.
fn lock(out: &Path, path: &Path) -> Result<File> {
    let busy = || DriverError::Busy { path: out.to_path_buf() };
    let file = disk::create(path).map_err(DriverError::io("create", path))?;
    disk::try_lock(&file, path).map_err(|error| match error {
        fs::TryLockError::WouldBlock => busy(),
        fs::TryLockError::Error(source) => DriverError::io("lock", path)(source),
    })?;
    if path.exists() { Ok(file) } else { Err(busy()) }
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder).map_err(DriverError::io("list", folder))?.next().is_none())
}

#[cfg(test)]
mod tests;
