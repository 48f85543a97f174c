//! Tables as CSV and JSON with the same rows.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use crate::folder::{ResultsFile, ResultsFolder};
use crate::{DriverError, Result};

/// A table whose rows come one by one, and need not be in memory together: `tables/<name>.csv` and `tables/<name>.json` (a list of
/// objects, one a line).
#[derive(Debug)]
pub struct Table {
    csv: csv::Writer<ResultsFile>,
    json: List<ResultsFile>,
}

impl Table {
    /// Begins a table.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn create(results: &ResultsFolder, name: &str) -> Result<Self> {
        let csv = csv::Writer::from_writer(results.create(&format!("tables/{name}.csv"))?);
        let json = List::new(results.create(&format!("tables/{name}.json"))?);
        Ok(Self { csv, json })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`DriverError::Io`], for a row that cannot be encoded, too.
    pub fn push<T: Serialize>(&mut self, row: &T) -> Result<()> {
        self.csv.serialize(row).map_err(|error| self.csv.get_ref().failed(error.into()))?;
        self.json.push(row).map_err(|error| self.json.file.failed(error))
    }

    /// Completes both files.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn finish(mut self) -> Result<()> {
        self.csv.flush().map_err(|error| self.csv.get_ref().failed(error))?;
        let encode = |message: String| DriverError::Encode { what: "a table", message };
        self.csv.into_inner().map_err(|error| encode(error.to_string()))?.finish()?;
        let ended = self.json.end();
        ended.map_err(|error| self.json.file.failed(error))?;
        self.json.file.finish()
    }
}

/// Writes a table, see [`Table`].
///
/// # Errors
/// [`DriverError::Io`], for rows that cannot be encoded, too.
pub fn write<T: Serialize>(results: &ResultsFolder, name: &str, rows: &[T]) -> Result<()> {
    let mut table = Table::create(results, name)?;
    rows.iter().try_for_each(|row| table.push(row))?;
    table.finish()
}

/// How many bytes [`write()`] would write.
///
/// # Errors
/// [`DriverError::Encode`] for rows that cannot be encoded.
pub fn num_bytes<T: Serialize>(rows: &[T]) -> Result<usize> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut json = List::new(Vec::new());
    let encoded = rows.iter().try_for_each(|row| {
        csv.serialize(row)?;
        json.push(row)
    });
    let encoded = encoded.and_then(|()| csv.flush()).and_then(|()| json.end());
    encoded.map_err(|error| DriverError::Encode { what: "a table", message: error.to_string() })?;
    Ok(csv.get_ref().len() + json.file.len())
}

/// A list in JSON, an item a line.
#[derive(Debug)]
struct List<W> {
    file: W,
    before: &'static [u8],
}

impl<W: Write> List<W> {
    fn new(file: W) -> Self {
        Self { file, before: b"[\n" }
    }

    fn push<T: Serialize>(&mut self, item: &T) -> io::Result<()> {
        self.file.write_all(self.before)?;
        self.before = b",\n";
        Ok(serde_json::to_writer(&mut self.file, item)?)
    }

    fn end(&mut self) -> io::Result<()> {
        let nothing: &[u8] = if self.before == b"[\n" { self.before } else { b"" };
        self.file.write_all(nothing)?;
        self.file.write_all(b"\n]\n")
    }
}

/// Numbers that JSON has no notation for are written as the texts `inf`, `-inf` and `NaN`, in CSV alike.
///
/// # Errors
/// Those of the serializer.
pub fn number<S: Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
}
