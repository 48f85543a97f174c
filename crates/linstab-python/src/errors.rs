//! What stops an analysis, as an exception of the package with its data as attributes.

use linstab_analysis::AnalysisError;
use linstab_analysis::error::shown;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception for an error; the classes are those of `linstab.errors`.
pub(crate) fn exception(py: Python<'_>, error: AnalysisError) -> PyErr {
    build(py, error.as_option()).unwrap_or_else(|problem| problem)
}

fn build(py: Python<'_>, error: AnalysisError) -> PyResult<PyErr> {
    let data = PyDict::new(py);
    let message = error.to_string();
    let class = match error {
        AnalysisError::Interrupted => return Ok(PyKeyboardInterrupt::new_err(message)),
        AnalysisError::Option { name, value, allowed } => {
            data.set_item("name", name)?;
            data.set_item("value", value)?;
            data.set_item("allowed", allowed)?;
            "OptionError"
        }
        AnalysisError::Specification { text, source } => {
            data.set_item("name", "optimizer")?;
            data.set_item("value", text)?;
            data.set_item("allowed", source.to_string())?;
            "OptionError"
        }
        AnalysisError::Damaged { path, problem } | AnalysisError::Unsupported { path, problem } => {
            data.set_item("source", shown(&path))?;
            data.set_item("problem", problem)?;
            "InputError"
        }
        AnalysisError::NonFinite { path, sample, factor, parameter, value } => {
            data.set_item("source", shown(&path))?;
            data.set_item("sample", sample)?;
            data.set_item("factor", factor)?;
            data.set_item("parameter", parameter)?;
            data.set_item("value", value)?;
            "NonFiniteError"
        }
        AnalysisError::OutOfRange { what, value, allowed } => {
            data.set_item("what", what)?;
            data.set_item("value", value)?;
            data.set_item("allowed", allowed)?;
            "OutOfRangeError"
        }
        AnalysisError::Memory { needed, limit, .. } => {
            data.set_item("needed", needed)?;
            data.set_item("limit", limit)?;
            "MemoryLimitError"
        }
        AnalysisError::Io { path, source, .. } => {
            data.set_item("source", shown(&path))?;
            return named(py, "FileError", format!("{message}: {source}"), &data);
        }
        _ => "NumericalError",
    };
    named(py, class, message, &data)
}

/// An exception of the package by its name.
pub(crate) fn named(
    py: Python<'_>,
    class: &str,
    message: String,
    data: &Bound<'_, PyDict>,
) -> PyResult<PyErr> {
    let class = py.import("linstab.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(data))?))
}
