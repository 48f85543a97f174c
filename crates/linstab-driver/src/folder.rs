//! The folders of a run: results are written beside the old ones, and put in their place only when complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use linstab_report::drawing;

use crate::files::{MANIFEST, PROGRAM, create_folder, files_below, remove_folder, rename, write};
use crate::{DriverError, Result};

/// Marks a work folder as ours; a folder without it is never cleared.
const MARKER: &str = "this-folder-belongs-to-linstab";
const LOCK: &str = "lock";
const CHECKPOINTS: &str = "checkpoints";
const PARTS: &str = "parts";
const RESULTS: &str = "results";
const PREVIOUS: &str = "previous";

/// The results of one experiment under construction: its files, and the checkpoints of its cells.
#[derive(Clone, Debug)]
pub struct ResultsFolder {
    files: PathBuf,
    checkpoints: PathBuf,
}

impl ResultsFolder {
    /// Where a checkpoint lives; its name is that of the experiment, or begins with that and a hyphen.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.checkpoints.join(format!("{name}.checkpoint"))
    }

    /// Writes a file of the results, creating the folders above it.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        write(&self.files.join(relative), bytes)
    }

    /// Writes a figure across two columns and in one: `figures/<name>` and `figures/one-column/<name>`.
    ///
    /// # Errors
    /// [`DriverError::Io`], [`DriverError::Report`].
    pub fn draw_both(&self, name: &str, draw: impl Fn(drawing::Columns) -> drawing::Svg) -> Result<()> {
        let files = drawing::files_at_both_widths(name, draw)?;
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }

    /// Writes a figure: `figures/<name>.svg` and `figures/<name>.png`.
    ///
    /// # Errors
    /// [`DriverError::Io`], [`DriverError::Report`].
    pub fn draw(&self, name: &str, figure: &drawing::Svg) -> Result<()> {
        drawing::files(name, figure)?.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }
}

/// The folder of a run.
///
/// Everything happens in one work folder beside `<out>`, `.<name>.linstab-work`, under an advisory lock that is held to the end:
/// `checkpoints` survive an interruption, `parts` holds the files of each experiment, `results` becomes `<out>`, which waits in
/// `previous` for the moment between two renames. Whatever stops a run, `<out>` holds complete results, earlier or new.
#[derive(Debug)]
pub struct RunFolder {
    out: PathBuf,
    work: PathBuf,
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
        create_work_folder(&work)?;
        let folder = Self { _lock: lock(&out, &work.join(LOCK))?, out, work };
        // A run that was stopped between the two renames of `complete` left the earlier results here.
        let previous = folder.work.join(PREVIOUS);
        if previous.exists() && !folder.out.exists() {
            rename(&previous, &folder.out)?;
        }
        for stale in [PARTS, RESULTS, PREVIOUS].into_iter().chain(restart.then_some(CHECKPOINTS)) {
            remove_folder(&folder.work.join(stale))?;
        }
        for fresh in [RESULTS, CHECKPOINTS] {
            create_folder(&folder.work.join(fresh))?;
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
            files: self.work.join(PARTS).join(experiment),
            checkpoints: self.work.join(CHECKPOINTS),
        }
    }

    /// Adds the files of an experiment to the results; returns their paths and contents.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn accept(&self, experiment: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let part = self.work.join(PARTS).join(experiment);
        let files = if part.exists() { files_below(&part)? } else { Vec::new() };
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))?;
        Ok(files)
    }

    /// Writes a file that is made of all experiments together.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        write(&self.work.join(RESULTS).join(relative), bytes)
    }

    /// Reads a file of the results so far.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn read(&self, relative: &str) -> Result<Vec<u8>> {
        let path = self.work.join(RESULTS).join(relative);
        fs::read(&path).map_err(DriverError::io("read", &path))
    }

    /// Puts the results in the place of `out` and removes the work folder, but for the checkpoints if they are to be kept.
    ///
    /// # Errors
    /// [`DriverError::Io`]; the checkpoints are then still there, and so are earlier results.
    pub(crate) fn complete(self, keep_checkpoints: bool) -> Result<()> {
        refuse_foreign(&self.out)?;
        let previous = self.work.join(PREVIOUS);
        if self.out.exists() {
            rename(&self.out, &previous)?;
        }
        if let Err(error) = rename(&self.work.join(RESULTS), &self.out) {
            if previous.exists() {
                rename(&previous, &self.out)?;
            }
            return Err(error);
        }
        if !keep_checkpoints {
            return self.discard();
        }
        remove_folder(&self.work.join(PARTS))?;
        remove_folder(&previous)
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
    if !out.exists() || is_empty(out)? {
        return Ok(());
    }
    let manifest: Option<serde_json::Value> =
        fs::read(out.join(MANIFEST)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let ours = manifest.is_some_and(|manifest| manifest["program"] == PROGRAM);
    if ours { Ok(()) } else { Err(DriverError::ForeignFolder { path: out.to_path_buf() }) }
}

/// Creates and marks the work folder, or accepts one that is marked.
fn create_work_folder(work: &Path) -> Result<()> {
    create_folder(work)?;
    let marker = work.join(MARKER);
    if !marker.is_file() {
        if !is_empty(work)? {
            return Err(DriverError::ForeignFolder { path: work.to_path_buf() });
        }
        File::create(&marker).map_err(DriverError::io("create", &marker))?;
    }
    Ok(())
}

/// Takes the lock of a work folder. A run that ends removes the folder with its lock: what is locked must still be there.
fn lock(out: &Path, path: &Path) -> Result<File> {
    let busy = || DriverError::Busy { path: out.to_path_buf() };
    let file = File::create(path).map_err(DriverError::io("create", path))?;
    file.try_lock().map_err(|error| match error {
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
