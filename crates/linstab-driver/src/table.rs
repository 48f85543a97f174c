//! Tables as CSV and JSON with the same rows.

use std::io;

use serde::{Serialize, Serializer};

use crate::folder::ResultsFolder;
use crate::{DriverError, Result};

/// Writes `tables/<name>.csv` and `tables/<name>.json` (a list of objects, one a line).
///
/// # Errors
/// [`DriverError::Io`], for rows that cannot be encoded, too.
pub fn write<T: Serialize>(results: &ResultsFolder, name: &str, rows: &[T]) -> Result<()> {
    results.write_with(&format!("tables/{name}.csv"), |file| write_csv(file, rows))?;
    results.write_with(&format!("tables/{name}.json"), |file| write_json(file, rows))
}

/// How many bytes [`write()`] would write.
///
/// # Errors
/// [`DriverError::Encode`] for rows that cannot be encoded.
pub fn num_bytes<T: Serialize>(rows: &[T]) -> Result<usize> {
    let mut text = Vec::new();
    write_csv(&mut text, rows)
        .and_then(|()| write_json(&mut text, rows))
        .map_err(|error| DriverError::Encode { what: "a table", message: error.to_string() })?;
    Ok(text.len())
}

fn write_csv<T: Serialize>(file: &mut dyn io::Write, rows: &[T]) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    rows.iter().try_for_each(|row| csv.serialize(row))?;
    csv.flush()
}

fn write_json<T: Serialize>(file: &mut dyn io::Write, rows: &[T]) -> io::Result<()> {
    file.write_all(b"[\n")?;
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            file.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *file, row)?;
    }
    file.write_all(b"\n]\n")
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
