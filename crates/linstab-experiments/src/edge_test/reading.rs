//! Reading the records.

use std::path::Path;

use serde::de::DeserializeOwned;

use linstab_driver::config_file;
use linstab_driver::experiment::DataDigest;
use linstab_driver::manifest::sha256_hex;
use linstab_driver::{DriverError, Result};

use super::checks;
use super::records::{AGAIN, Records, refused};

impl Records {
    /// Reads and checks the records in a folder. Every column that is named here must be there; others are somebody else's.
    ///
    /// # Errors
    /// [`DriverError::Io`] if a file cannot be read, [`DriverError::DataFile`] for the first row that makes no sense.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut digests = Vec::new();
        let minima = rows(folder, "minima.csv", &mut digests)?;
        let thresholds = rows(folder, "thresholds.csv", &mut digests)?;
        let restarts = rows(folder, "restarts.csv", &mut digests)?;
        let again = rows_if_any(folder, AGAIN, &mut digests)?;
        let trainings = rows_if_any(folder, "trainings.csv", &mut digests)?;
        let provenance = config_file::read(&folder.join("record.toml"))?;
        let records = Self { provenance, minima, thresholds, restarts, again, trainings, digests };
        checks::check(&records, folder)?;
        Ok(records)
    }
}

/// The rows of a file that need not be there.
fn rows_if_any<T: DeserializeOwned>(
    folder: &Path,
    file: &str,
    digests: &mut Vec<DataDigest>,
) -> Result<Vec<T>> {
    if folder.join(file).is_file() { rows(folder, file, digests) } else { Ok(Vec::new()) }
}

fn rows<T: DeserializeOwned>(folder: &Path, file: &str, digests: &mut Vec<DataDigest>) -> Result<Vec<T>> {
    let path = folder.join(file);
    let bytes = std::fs::read(&path).map_err(DriverError::io("read", &path))?;
    digests.push(DataDigest { path: file.to_owned(), sha256: sha256_hex(&bytes) });
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let problem = |error: &csv::Error, header: &csv::StringRecord| {
        let line = error.position().map_or(1, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        refused(folder, file, line, &in_words(error, header))
    };
    // Asked for first: if it is no text, the reader goes by the order of the columns.
    let header = reader.headers().cloned().map_err(|error| problem(&error, &csv::StringRecord::new()))?;
    reader.into_deserialize().collect::<std::result::Result<_, _>>().map_err(|error| problem(&error, &header))
}

/// What is wrong, with the column's name in the place of its number.
fn in_words(error: &csv::Error, header: &csv::StringRecord) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else { return error.to_string() };
    let column = err.field().and_then(|at| header.get(usize::try_from(at).ok()?));
    column.map_or_else(|| err.kind().to_string(), |column| format!("{column}: {}", err.kind()))
}
