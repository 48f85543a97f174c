//! The results folder: written beside the old one, put in its place only when complete.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use crate::manifest::FILE as MANIFEST;
use crate::{DriverError, Result};
use linstab_report::drawing;

/// Marks a work folder as ours; a folder without it is never cleared.
const MARKER: &str = "this-folder-belongs-to-linstab";
const LOCK: &str = "lock";
const CHECKPOINTS: &str = "checkpoints";
const CHECKPOINT: &str = ".checkpoint";
const RESULTS: &str = "results";
const PREVIOUS: &str = "previous";

/// A results folder under construction.
///
/// Everything happens in one work folder beside `<out>`, `.<name>.linstab-work`, under an advisory lock that is held to the
/// end: `checkpoints` survive an interruption, `results` becomes `<out>`, which waits in `previous` for the moment between
/// two renames. Whatever stops a run, `<out>` holds complete results, earlier or new, and finished cells are kept.
#[derive(Debug)]
pub struct ResultsFolder {
    out: PathBuf,
    work: PathBuf,
    /// Held for its lock.
    _lock: File,
    journal: RefCell<Journal>,
}

/// Who wrote what.
#[derive(Debug, Default)]
struct Journal {
    /// Who is writing; nobody in particular at first.
    writer: Option<String>,
    /// Each file, in the order in which they were begun, with its writer.
    files: Vec<(String, Option<String>)>,
}

/// A point in the order of the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(usize);

impl ResultsFolder {
    /// Opens the work folder for `out`; `restart` discards what an interrupted run left there.
    ///
    /// # Errors
    /// [`DriverError::ForeignFolder`] if `out`, or what should be its work folder, is not ours;
    /// [`DriverError::Busy`] if another run is under way; [`DriverError::Io`] if it cannot be written to.
    pub fn open(out: &Path, restart: bool) -> Result<Self> {
        let out = resolve(out)?;
        refuse_foreign(&out)?;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let work = out.with_file_name(format!(".{name}.linstab-work"));
        create_work_folder(&work)?;
        let folder = Self { _lock: lock(&out, &work.join(LOCK))?, out, work, journal: RefCell::default() };
        // A run that was stopped between the two renames of `complete` left the earlier results here.
        let previous = folder.work.join(PREVIOUS);
        if previous.exists() && !folder.out.exists() {
            rename(&previous, &folder.out)?;
        }
        for stale in [RESULTS, PREVIOUS].into_iter().chain(restart.then_some(CHECKPOINTS)) {
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

    /// Where a checkpoint of an experiment lives; its name is that of the experiment, or begins with that and a hyphen.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.work.join(CHECKPOINTS).join(format!("{name}{CHECKPOINT}"))
    }

    /// From here on files are written by this experiment.
    pub(crate) fn start(&self, experiment: &str) -> Start {
        let mut journal = self.journal.borrow_mut();
        journal.writer = Some(experiment.to_owned());
        Start(journal.files.len())
    }

    /// From here on files are written by no experiment in particular.
    pub(crate) fn start_common(&self) {
        self.journal.borrow_mut().writer = None;
    }

    /// Which experiment wrote a file.
    pub(crate) fn writer_of(&self, relative: &str) -> Option<String> {
        let journal = self.journal.borrow();
        journal.files.iter().find(|(path, _)| path == relative).and_then(|(_, writer)| writer.clone())
    }

    /// Removes all files that were begun since.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub(crate) fn discard_since(&self, start: Start) -> Result<()> {
        let discarded = self.journal.borrow_mut().files.split_off(start.0);
        let root = self.work.join(RESULTS);
        for (relative, _) in discarded {
            let path = root.join(relative);
            if path.exists() {
                fs::remove_file(&path).map_err(DriverError::io("remove", &path))?;
            }
            // A folder that still holds files of others cannot be removed, and stays.
            let above = path.ancestors().skip(1).take_while(|folder| *folder != root);
            above.take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
        }
        Ok(())
    }

    /// A file of the earlier results; `None` if it cannot be read or lies elsewhere.
    pub(crate) fn read_earlier(&self, relative: &str) -> Option<Vec<u8>> {
        let relative = Path::new(relative);
        let below = relative.components().all(|component| matches!(component, Component::Normal(_)));
        if below { fs::read(self.out.join(relative)).ok() } else { None }
    }

    /// Writes a file of the results, creating the folders above it.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        let path = self.work.join(RESULTS).join(relative);
        {
            let mut journal = self.journal.borrow_mut();
            let writer = journal.writer.clone();
            journal.files.push((relative.to_owned(), writer));
        }
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
        }
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(DriverError::io("write", &path))
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

    /// Reads a file of the results so far.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn read(&self, relative: &str) -> Result<Vec<u8>> {
        let path = self.work.join(RESULTS).join(relative);
        fs::read(&path).map_err(DriverError::io("read", &path))
    }

    /// Relative paths and contents of all result files so far, sorted by path.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let root = self.work.join(RESULTS);
        let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
                let path = entry.map_err(DriverError::io("list", &folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let relative = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                    let bytes = fs::read(&path).map_err(DriverError::io("read", &path))?;
                    files.push((relative, bytes));
                }
            }
        }
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// Writes the manifest, puts the results in the place of `out` and removes the work folder, but for the checkpoints of the
    /// experiments that failed, if there are any.
    ///
    /// # Errors
    /// [`DriverError::Io`]; the checkpoints are then still there, and so are earlier results.
    pub fn complete(self, manifest: &[u8], failed: &[&str]) -> Result<()> {
        self.write(MANIFEST, manifest)?;
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
        if failed.is_empty() {
            return remove_folder(&self.work);
        }
        remove_folder(&previous)?;
        self.keep_checkpoints(failed)
    }

    /// Removes all checkpoints but those of these experiments.
    fn keep_checkpoints(&self, experiments: &[&str]) -> Result<()> {
        let of =
            |name: &str, id: &str| name.strip_prefix(id).is_some_and(|rest| rest.starts_with(['.', '-']));
        let folder = self.work.join(CHECKPOINTS);
        for entry in fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
            let entry = entry.map_err(DriverError::io("list", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !experiments.iter().any(|id| of(&name, id)) {
                fs::remove_file(entry.path()).map_err(DriverError::io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}

/// The folder that `out` names, as an absolute path without links: the parent must exist or be creatable.
fn resolve(out: &Path) -> Result<PathBuf> {
    let foreign = || DriverError::ForeignFolder { path: out.to_path_buf() };
    if out.is_dir() {
        let real = fs::canonicalize(out).map_err(DriverError::io("resolve", out))?;
        return if real.file_name().is_some() && !is_mount_point(&real) { Ok(real) } else { Err(foreign()) };
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

/// Whether a folder is on another device than its parent, so that it cannot be renamed.
#[cfg(unix)]
fn is_mount_point(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    folder.parent().is_none_or(|parent| device(parent) != device(folder))
}

#[cfg(not(unix))]
fn is_mount_point(_folder: &Path) -> bool {
    false
}

/// Only an empty folder, or one whose manifest says that it is ours, is ever replaced.
fn refuse_foreign(out: &Path) -> Result<()> {
    if !out.exists() || is_empty(out)? {
        return Ok(());
    }
    let manifest: Option<serde_json::Value> =
        fs::read(out.join(MANIFEST)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let ours = manifest.is_some_and(|manifest| manifest["program"] == crate::manifest::PROGRAM);
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

/// Takes the lock of a work folder. A run that ends removes its lock file: what is locked must still be what the path names.
fn lock(out: &Path, path: &Path) -> Result<File> {
    let busy = || DriverError::Busy { path: out.to_path_buf() };
    let file = File::create(path).map_err(DriverError::io("create", path))?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => busy(),
        fs::TryLockError::Error(source) => DriverError::io("lock", path)(source),
    })?;
    if same_file(&file, path) { Ok(file) } else { Err(busy()) }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(inode).ok() == path.metadata().map(inode).ok()
}

#[cfg(not(unix))]
fn same_file(_file: &File, path: &Path) -> bool {
    path.exists()
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder).map_err(DriverError::io("list", folder))?.next().is_none())
}

fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(DriverError::io("create folder", path))
}

fn remove_folder(path: &Path) -> Result<()> {
    if path.exists() { fs::remove_dir_all(path).map_err(DriverError::io("remove", path)) } else { Ok(()) }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(DriverError::io("move", from))
}

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
///
/// # Errors
/// [`DriverError::Io`]; the old file is whole then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes));
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    renamed.map_err(|error| {
        // The disk may be full: do not leave the torso behind. The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
        DriverError::io("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(out: &Path, content: &str) {
        let folder = ResultsFolder::open(out, false).unwrap();
        folder.write("table.csv", content.as_bytes()).unwrap();
        folder.complete(br#"{"program": "linstab"}"#, &[]).unwrap();
    }

    #[test]
    fn a_run_that_stopped_between_the_renames_loses_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("results");
        complete(&out, "earlier");
        let folder = ResultsFolder::open(&out, false).unwrap();
        fs::write(folder.checkpoint("experiment"), "cells").unwrap();
        fs::rename(&out, folder.work.join(PREVIOUS)).unwrap();
        drop(folder);
        let reopened = ResultsFolder::open(&out, false).unwrap();
        assert_eq!(fs::read_to_string(out.join("table.csv")).unwrap(), "earlier");
        assert_eq!(fs::read_to_string(reopened.checkpoint("experiment")).unwrap(), "cells");
        drop(reopened);
        let restarted = ResultsFolder::open(&out, true).unwrap();
        assert!(!restarted.checkpoint("experiment").exists(), "restart discards checkpoints");
    }

    #[test]
    fn nothing_that_is_not_ours_is_touched() {
        let parent = tempfile::tempdir().unwrap();
        let precious = |folder: &Path| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("thesis.tex"), "precious").unwrap();
        };
        let out = parent.path().join("results");
        precious(&parent.path().join(".results.linstab-work"));
        let with_manifest = parent.path().join("extension");
        precious(&with_manifest);
        fs::write(with_manifest.join(MANIFEST), r#"{"manifest_version": 3}"#).unwrap();
        for out in [&out, &with_manifest] {
            let refused = ResultsFolder::open(out, false);
            assert!(matches!(refused, Err(DriverError::ForeignFolder { .. })), "{refused:?}");
        }
        for folder in [".results.linstab-work", "extension"] {
            let file = parent.path().join(folder).join("thesis.tex");
            assert_eq!(fs::read_to_string(file).unwrap(), "precious");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_or_refused_never_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link, dangling) =
            (parent.path().join("real"), parent.path().join("link"), parent.path().join("dangling"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        std::os::unix::fs::symlink(parent.path().join("nowhere"), &dangling).unwrap();
        complete(&link, "through the link");
        assert_eq!(fs::read_to_string(real.join("table.csv")).unwrap(), "through the link");
        assert!(link.is_symlink(), "the link is still one");
        assert!(matches!(ResultsFolder::open(&dangling, false), Err(DriverError::ForeignFolder { .. })));
        complete(&parent.path().join("fresh/."), "a path that ends in a dot");
        assert!(parent.path().join("fresh/table.csv").is_file(), "which names the folder itself");
    }
}
