//! Writing a report.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::{AnalysisError, Result};

/// Writes beside `path`, then renames: a reader sees the old file or the new one, never half of one.
///
/// # Errors
/// [`AnalysisError::Io`]; nothing is left behind then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // The disk may be full: do not leave the torso behind. The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
        AnalysisError::io("write", path)(error)
    })
}
