//! The results folder: written beside the old one, put in its place only when complete.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{ExperimentError, Result};

const MANIFEST: &str = "manifest.json";
const CHECKPOINTS: &str = "checkpoints";

/// A results folder under construction.
///
/// Everything goes to `<out>.partial`; [`ResultsFolder::complete`] moves it to `<out>`. Checkpoints in it survive an
/// interrupted run, and an advisory lock keeps a second run away.
#[derive(Debug)]
pub struct ResultsFolder {
    out: PathBuf,
    partial: PathBuf,
    /// Held for its lock.
    lock: File,
}

impl ResultsFolder {
    /// Opens the folder under construction for `out`; `restart` discards what an interrupted run left there.
    ///
    /// # Errors
    /// [`ExperimentError::ForeignFolder`] if `out` holds something else, [`ExperimentError::Busy`] if another run is
    /// under way, [`ExperimentError::Io`] if it cannot be written to.
    pub fn open(out: &Path, restart: bool) -> Result<Self> {
        refuse_foreign(out)?;
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = out.with_file_name(name);
        fs::create_dir_all(&partial).map_err(ExperimentError::io("create folder", &partial))?;
        let lock_path = partial.join(".lock");
        let lock = File::create(&lock_path).map_err(ExperimentError::io("create", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => ExperimentError::Busy { path: out.to_path_buf() },
            fs::TryLockError::Error(source) => ExperimentError::io("lock", &lock_path)(source),
        })?;
        let folder = Self { out: out.to_path_buf(), partial, lock };
        folder.clear(restart)?;
        Ok(folder)
    }

    /// Removes the tables and figures of an interrupted run, on `restart` its checkpoints, too.
    fn clear(&self, restart: bool) -> Result<()> {
        let entries = fs::read_dir(&self.partial).map_err(ExperimentError::io("list", &self.partial))?;
        for entry in entries {
            let path = entry.map_err(ExperimentError::io("list", &self.partial))?.path();
            let name = path.file_name().unwrap_or_default();
            if name == ".lock" || (name == CHECKPOINTS && !restart) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(ExperimentError::io("remove", &path))?;
        }
        let checkpoints = self.partial.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(ExperimentError::io("create folder", &checkpoints))
    }

    /// Where the checkpoint of an experiment lives.
    pub fn checkpoint(&self, experiment: &str) -> PathBuf {
        self.partial.join(CHECKPOINTS).join(format!("{experiment}.checkpoint"))
    }

    /// Writes a file, creating the folders above it.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        let path = self.partial.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ExperimentError::io("create folder", parent))?;
        }
        write_atomically(&path, bytes)
    }

    /// Relative paths and contents of all result files so far, sorted by path.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        let mut folders = vec![self.partial.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(ExperimentError::io("list", &folder))? {
                let path = entry.map_err(ExperimentError::io("list", &folder))?.path();
                let relative =
                    path.strip_prefix(&self.partial).unwrap_or(&path).to_string_lossy().into_owned();
                if relative == ".lock" || relative == CHECKPOINTS {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).map_err(ExperimentError::io("read", &path))?;
                    files.push((relative, bytes));
                }
            }
        }
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// Writes the manifest, drops the checkpoints and puts the folder in the place of `out`.
    ///
    /// # Errors
    /// [`ExperimentError::Io`]; earlier results at `out` are then still there.
    pub fn complete(self, manifest: &[u8]) -> Result<()> {
        self.write(MANIFEST, manifest)?;
        let checkpoints = self.partial.join(CHECKPOINTS);
        fs::remove_dir_all(&checkpoints).map_err(ExperimentError::io("remove", &checkpoints))?;
        let lock_path = self.partial.join(".lock");
        fs::remove_file(&lock_path).map_err(ExperimentError::io("remove", &lock_path))?;
        drop(self.lock);
        refuse_foreign(&self.out)?;
        let mut name = self.out.file_name().unwrap_or_default().to_owned();
        name.push(".previous");
        let previous = self.out.with_file_name(name);
        if self.out.exists() {
            if previous.exists() {
                fs::remove_dir_all(&previous).map_err(ExperimentError::io("remove", &previous))?;
            }
            fs::rename(&self.out, &previous).map_err(ExperimentError::io("move", &self.out))?;
        }
        fs::rename(&self.partial, &self.out).map_err(ExperimentError::io("move", &self.partial))?;
        if previous.exists() {
            fs::remove_dir_all(&previous).map_err(ExperimentError::io("remove", &previous))?;
        }
        Ok(())
    }
}

/// Only a folder of ours, or an empty one, is ever replaced.
fn refuse_foreign(out: &Path) -> Result<()> {
    let foreign = if out.is_dir() {
        let mut entries = fs::read_dir(out).map_err(ExperimentError::io("list", out))?;
        entries.next().is_some() && !out.join(MANIFEST).is_file()
    } else {
        out.exists() || out.file_name().is_none()
    };
    if foreign { Err(ExperimentError::ForeignFolder { path: out.to_path_buf() }) } else { Ok(()) }
}

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes));
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    renamed.map_err(|error| {
        // The disk may be full: do not leave the torso behind. The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
        ExperimentError::io("write", path)(error)
    })
}
