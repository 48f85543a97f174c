//! Tables as CSV and JSON with the same rows.

use serde::{Serialize, Serializer};

use crate::Result;
use crate::folder::ResultsFolder;

/// Writes `tables/<name>.csv` and `tables/<name>.json` (a list of objects, one a line).
///
/// # Errors
/// [`DriverError::Io`](crate::DriverError::Io), for rows that cannot be encoded, too.
pub fn write<T: Serialize>(results: &ResultsFolder, name: &str, rows: &[T]) -> Result<()> {
    results.write_with(&format!("tables/{name}.csv"), |file| {
        let mut csv = csv::Writer::from_writer(file);
        rows.iter().try_for_each(|row| csv.serialize(row))?;
        csv.flush()
    })?;
    results.write_with(&format!("tables/{name}.json"), |file| {
        file.write_all(b"[\n")?;
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                file.write_all(b",\n")?;
            }
            serde_json::to_writer(&mut *file, row)?;
        }
        file.write_all(b"\n]\n")
    })
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
