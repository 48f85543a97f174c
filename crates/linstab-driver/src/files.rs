//! Files that are whole or absent.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::disk::{self, Writer};
use crate::{DriverError, Result};

/// Name of the manifest in a results folder.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What marks a manifest, and the folder that holds it, as ours.
pub(crate) const PROGRAM: &str = "linstab";

/// Symbolic links that are followed to a file that does not exist yet.
const MOST_LINKS: usize = 40;

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
///
/// A symbolic link stays one: the file it leads to is replaced. What exists and is no regular file (a device, a named pipe) is written
/// to as it is. A file that is replaced hands on its permissions.
///
/// # Errors
/// [`DriverError::Io`]; the old file is whole then, and nothing is left beside it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// The same for several files: all are written beside their places before the first is put there, so that one that cannot be written leaves
/// the others as they were, too.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let mut ready = Vec::new();
    for &(path, bytes) in files {
        ready.push(Ready::new(path, bytes).map_err(DriverError::io("write", path))?);
    }
    for (written, (path, bytes)) in ready.into_iter().zip(files) {
        written.put(path, bytes).map_err(DriverError::io("write", path))?;
    }
    Ok(())
}

/// What is left to do for a file.
enum Ready {
    /// To put in its place what is written beside it.
    Beside(NamedTempFile, PathBuf),
    /// To write to it as it is.
    Device,
}

impl Ready {
    fn new(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => {
                Self::beside(fs::canonicalize(path)?, bytes, Some(found.permissions()))
            }
            Ok(_) => Ok(Self::Device),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::beside(end_of_links(path)?, bytes, None)
            }
            Err(error) => Err(error),
        }
    }

    fn beside(path: PathBuf, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<Self> {
        let beside = disk::create_beside(&path)?;
        let file = beside.as_file();
        if let Some(permissions) = permissions {
            disk::set_permissions(file, &path, permissions)?;
        }
        Writer { file, path: &path }.write_all(bytes)?;
        disk::sync(file, &path)?;
        Ok(Self::Beside(beside, path))
    }

    fn put(self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Beside(beside, path) => disk::persist(beside, &path),
            Self::Device => {
                let file = File::options().write(true).open(path)?;
                Writer { file: &file, path }.write_all(bytes)
            }
        }
    }
}

/// Where links to nothing lead.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or_else(|| Path::new("")).join(target);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Writes a new file to the disk, creating the folders above it up to `root`.
pub(crate) fn write(root: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = NewFile::create(root, path)?;
    file.write_all(bytes).map_err(DriverError::io("write", path))?;
    file.finish()
}

/// A new file with contents that need not be in memory as a whole.
#[derive(Debug)]
pub(crate) struct NewFile(io::BufWriter<Writer<File, PathBuf>>);

impl NewFile {
    /// Creates the folders above it up to `root`, too.
    pub(crate) fn create(root: &Path, path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            create_folder_below(root, parent)?;
        }
        let file = disk::create(path).map_err(DriverError::io("write", path))?;
        Ok(Self(io::BufWriter::new(Writer { file, path: path.to_path_buf() })))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.get_ref().path
    }

    /// Brings it to the disk.
    pub(crate) fn finish(mut self) -> Result<()> {
        let flushed = self.0.flush();
        let Writer { file, path } = self.0.get_ref();
        flushed.and_then(|()| disk::sync(file, path)).map_err(DriverError::io("write", path))
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether there is such a file or folder. That the system does not say is no answer.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(DriverError::io("look for", path))
}

/// Relative paths of all files below a folder, sorted.
#[cfg(test)]
pub(crate) fn files_below(root: &Path) -> Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
            let path = entry.map_err(DriverError::io("list", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

pub(crate) fn create_folder(path: &Path) -> Result<()> {
    disk::create_folder(path).map_err(DriverError::io("create folder", path))
}

/// As [`disk::create_folder_below`].
pub(crate) fn create_folder_below(root: &Path, path: &Path) -> Result<()> {
    disk::create_folder_below(root, path).map_err(DriverError::io("create folder", path))
}

pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    if is_there(path)? { disk::remove_folder(path).map_err(DriverError::io("remove", path)) } else { Ok(()) }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    disk::rename(from, to).map_err(DriverError::io("move", from))
}
