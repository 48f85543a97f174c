//! The answer of an analysis, in its several views.

use linstab_analysis::{AnalysisError, describe, page};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::exception;

/// What was found. Python reads it as JSON, in words, as a page and as a drawing.
#[pyclass(frozen, module = "linstab._linstab")]
pub(crate) struct Findings(pub(crate) linstab_analysis::Findings);

fn unreadable(error: &serde_json::Error) -> PyErr {
    PyValueError::new_err(format!("these are no findings: {error}"))
}

#[pymethods]
impl Findings {
    /// Findings from what `state` returned.
    #[new]
    fn new(state: &str) -> PyResult<Self> {
        serde_json::from_str(state).map(Self).map_err(|error| unreadable(&error))
    }

    /// All of it as text, from which it can be made again, bit by bit.
    fn state(&self) -> PyResult<String> {
        serde_json::to_string(&self.0).map_err(|error| unreadable(&error))
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (String,))> {
        Ok((slf.get_type().into_any().unbind(), (slf.get().state()?,)))
    }

    /// The report, the bytes that the command writes.
    fn json(&self) -> PyResult<String> {
        let text = serde_json::to_string_pretty(&self.0.report).map_err(|error| unreadable(&error))?;
        Ok(text + "\n")
    }

    /// The report in words.
    fn words(&self) -> String {
        describe(&self.0)
    }

    /// The page, one HTML file.
    fn page(&self, py: Python<'_>, source: &str, command: &str) -> String {
        py.detach(|| page::page(&self.0, source, command))
    }

    /// The curve of thresholds over the batch size, as SVG and PNG.
    fn drawing<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let drawn: Result<_, AnalysisError> = py.detach(|| page::plot(&self.0));
        let (svg, png) = drawn.map_err(|error| exception(py, error))?;
        Ok((PyBytes::new(py, &svg), PyBytes::new(py, &png)))
    }
}
