//! Tables as CSV and JSON with the same rows.

use serde::{Serialize, Serializer};

use crate::folder::ResultsFolder;
use crate::{DriverError, Result};

/// Writes `tables/<name>.csv` and `tables/<name>.json` (a list of objects, one a line).
///
/// # Errors
/// [`DriverError::Encode`], [`DriverError::Io`].
pub fn write<T: Serialize>(results: &ResultsFolder, name: &str, rows: &[T]) -> Result<()> {
    let encode = |message: String| DriverError::Encode { what: "a table", message };
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut json = Vec::from(b"[\n");
    for (index, row) in rows.iter().enumerate() {
        csv.serialize(row).map_err(|error| encode(error.to_string()))?;
        if index > 0 {
            json.extend_from_slice(b",\n");
        }
        serde_json::to_writer(&mut json, row).map_err(|error| encode(error.to_string()))?;
    }
    json.extend_from_slice(b"\n]\n");
    let csv = csv.into_inner().map_err(|error| encode(error.to_string()))?;
    results.write(&format!("tables/{name}.csv"), &csv)?;
    results.write(&format!("tables/{name}.json"), &json)
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
