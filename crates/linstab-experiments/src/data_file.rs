//! Data files that are known by their checksum.

use std::path::Path;

use linstab_driver::DriverError;
use linstab_driver::manifest::sha256_hex;

use crate::Result;

/// The contents of a file, if they have this checksum.
///
/// # Errors
/// [`DriverError::Io`], [`DriverError::DataFile`].
pub(crate) fn verified(path: &Path, sha256: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(DriverError::io("read", path))?;
    let found = sha256_hex(&bytes);
    if found == sha256 {
        return Ok(bytes);
    }
    let what = "is damaged or another file: restore it, or correct sha256 in the configuration";
    let problem = format!("sha256 is {found}, expected {sha256}; it {what}");
    Err(DriverError::DataFile { path: path.to_path_buf(), problem }.into())
}
