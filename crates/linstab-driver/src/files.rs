//! Files that are whole or absent.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::{DriverError, Result};

/// Name of the manifest in a results folder.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What marks a manifest, and the folder that holds it, as ours.
pub(crate) const PROGRAM: &str = "linstab";

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
///
/// # Errors
/// [`DriverError::Io`]; the old file is whole then, and nothing is left beside it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        // A temporary file is its owner's alone; what stands in its place is to be as readable as any other file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().map_or(0o644, |metadata| metadata.permissions().mode());
            file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(DriverError::io("write", path))
}

/// Writes a new file to the disk, creating the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        create_folder(parent)?;
    }
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(DriverError::io("write", path))
}

/// Relative paths and contents of all files below a folder, sorted by path.
pub(crate) fn files_below(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
            let path = entry.map_err(DriverError::io("list", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.push((relative, fs::read(&path).map_err(DriverError::io("read", &path))?));
            }
        }
    }
    files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(DriverError::io("create folder", path))
}

pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    if path.exists() { fs::remove_dir_all(path).map_err(DriverError::io("remove", path)) } else { Ok(()) }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(DriverError::io("move", from))
}
