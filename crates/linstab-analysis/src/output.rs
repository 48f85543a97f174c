//! Writing a report.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{AnalysisError, Result};

/// Symbolic links that are followed to a file that does not exist yet.
const MOST_LINKS: usize = 40;

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
///
/// A symbolic link stays one: the file it leads to is replaced. What exists and is no regular file (a device, a named pipe) is written
/// to as it is. A file that is replaced hands on its permissions.
/// # Errors
/// [`AnalysisError::Io`]; nothing is left behind then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes).map_err(AnalysisError::io("write", path))
}

/// Refuses an output that would replace one of the inputs, whatever names and links lead there.
///
/// # Errors
/// [`AnalysisError::Option`].
pub fn require_distinct(output: &Path, inputs: &[&Path]) -> Result<()> {
    let place = |path: &Path| fs::canonicalize(path).ok();
    let Some(target) = place(output) else { return Ok(()) };
    if inputs.iter().any(|input| place(input).as_ref() == Some(&target)) {
        let allowed = "a file that is not read".to_owned();
        return Err(AnalysisError::Option {
            name: "output".to_owned(),
            value: output.display().to_string(),
            allowed,
        });
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => replace(&fs::canonicalize(path)?, bytes, Some(found.permissions())),
        Ok(_) => OpenOptions::new().write(true).open(path)?.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(&end_of_links(path)?, bytes, None),
        Err(error) => Err(error),
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

fn replace(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let (temporary, mut file) = create_beside(path)?;
    let written = permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions));
    let written = written.and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // The disk may be full: do not leave the torso behind. The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
    })
}

/// A new file beside another, of a short name: that of the other may be as long as names can be.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".linstab-{}-{count}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // One that an earlier process of the same number left behind.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < u32::MAX / 2 => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((temporary, file)),
        }
    }
}
