//! The functions of the module. Their public faces, with documentation, are in the package's Python files.
#![expect(clippy::needless_pass_by_value, reason = "the interpreter hands arguments over by value")]

use std::path::PathBuf;

use linstab_analysis::{
    Minimum, Optimizer, Work, analyse_observed, baseline, coherence as coherence_of, growth_map as map_of,
    measure,
};
use numpy::{PyArray1, PyArrayMethods as _, PyReadonlyArray1};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{RequestArguments, SourceArguments};
use crate::errors::exception;
use crate::findings::Findings;
use crate::run::run;

/// Analyses factors or inner products.
#[pyfunction]
pub(crate) fn analyze(
    py: Python<'_>,
    source: SourceArguments<'_>,
    request: RequestArguments<'_>,
) -> PyResult<Findings> {
    let opened = source.open().map_err(|error| exception(py, error))?;
    let request = request.request(&opened).map_err(|error| exception(py, error))?;
    let sizes = opened.source.sizes();
    let findings = run(py, &source.running(py)?, |observer| {
        let work = (Work::of(&request, sizes.num_samples), opened.memory_limit);
        let scaled = (request.scale, opened.preconditioner.as_deref());
        let grams = opened.source.grams(scaled, work, observer)?;
        analyse_observed(grams.view(), sizes, &request, observer)
    })?;
    Ok(Findings(findings))
}

/// Rows (name, expected, found, rtol, holds) of a comparison with a baseline, and a table of them in words.
type Checked = (Vec<(String, f64, f64, f64, bool)>, String);

/// Compares with a baseline.
#[pyfunction]
pub(crate) fn check(
    py: Python<'_>,
    source: SourceArguments<'_>,
    against: PathBuf,
    rtol: f64,
) -> PyResult<Checked> {
    let expected = baseline::read(&against).map_err(|error| exception(py, error))?;
    let opened = source.open().map_err(|error| exception(py, error))?;
    let sizes = opened.source.sizes();
    let compared = run(py, &source.running(py)?, |observer| {
        let optimizers: Vec<_> = expected.stability.iter().map(|line| line.training.optimizer).collect();
        let work = Work::of_thresholds(optimizers.len(), &optimizers);
        let scaled = (expected.scale, opened.preconditioner.as_deref());
        let grams = opened.source.grams(scaled, (work, opened.memory_limit), observer)?;
        baseline::compare(grams.view(), sizes, &expected, rtol)
    })?;
    let words = baseline::describe(&compared);
    let row = |found: &linstab_analysis::Comparison| {
        (found.name.clone(), found.expected, found.found, found.rtol, found.holds())
    };
    Ok((compared.iter().map(row).collect(), words))
}

/// The coherence of samples: a dictionary; the matrix has (samples * samples) entries.
#[pyfunction]
pub(crate) fn coherence<'py>(
    py: Python<'py>,
    source: SourceArguments<'py>,
    scale: f64,
    connected: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let opened = source.open().map_err(|error| exception(py, error))?;
    let sizes = opened.source.sizes();
    let found = run(py, &source.running(py)?, |observer| {
        let work = (Work::default(), opened.memory_limit);
        let grams = opened.source.grams((scale, opened.preconditioner.as_deref()), work, observer)?;
        let view = grams.view();
        // With a preconditioner, of what its optimizers see.
        let seen = linstab_analysis::Grams { plain: view.preconditioned.unwrap_or(view.plain), ..view };
        coherence_of(seen, sizes, connected)
    })?;
    let answer = PyDict::new(py);
    let n = sizes.num_samples;
    answer.set_item("matrix", PyArray1::from_vec(py, found.matrix).reshape([n, n])?)?;
    answer.set_item("lambda_max_s", found.lambda_max_s)?;
    answer.set_item("sigma", found.sigma)?;
    answer.set_item("lambda_max_s_bounds", found.lambda_max_s_bounds)?;
    answer.set_item("sample_sharpness", PyArray1::from_vec(py, found.sample_sharpness))?;
    answer.set_item("blocks", found.blocks)?;
    Ok(answer)
}

/// Minima side by side: the comparison in JSON, and in words.
#[pyfunction]
pub(crate) fn compare(
    py: Python<'_>,
    minima: Vec<(String, SourceArguments<'_>)>,
    request: RequestArguments<'_>,
) -> PyResult<(String, String)> {
    let mut measured: Vec<Minimum> = Vec::new();
    for (name, source) in &minima {
        let opened = source.open().map_err(|error| exception(py, error))?;
        let request = request.request(&opened).map_err(|error| exception(py, error))?;
        let sizes = opened.source.sizes();
        measured.push(run(py, &source.running(py)?, |observer| {
            let work = (Work::of(&request, sizes.num_samples), opened.memory_limit);
            let scaled = (request.scale, opened.preconditioner.as_deref());
            let grams = opened.source.grams(scaled, work, observer)?;
            measure(name, grams.view(), sizes, &request)
        })?);
    }
    let report = linstab_analysis::compare(&measured).map_err(|error| exception(py, error))?;
    let json = serde_json::to_string(&report).map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok((json, report.describe()))
}

/// Growth per step: (batch sizes * learning rates) entries, and the batch sizes.
#[pyfunction]
pub(crate) fn growth_map<'py>(
    py: Python<'py>,
    source: SourceArguments<'py>,
    request: RequestArguments<'py>,
    learning_rates: PyReadonlyArray1<'py, f64>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Vec<usize>)> {
    let opened = source.open().map_err(|error| exception(py, error))?;
    let request = request.request(&opened).map_err(|error| exception(py, error))?;
    let sizes = opened.source.sizes();
    let rates = learning_rates.to_vec()?;
    let rows = run(py, &source.running(py)?, |observer| {
        let num_points = rates.len() * request.batch_sizes.len();
        let work = (Work::of_thresholds(num_points, &request.optimizers), opened.memory_limit);
        let scaled = (request.scale, opened.preconditioner.as_deref());
        let grams = opened.source.grams(scaled, work, observer)?;
        map_of(grams.view(), sizes, (&request, &rates), observer)
    })?;
    Ok((PyArray1::from_vec(py, rows.concat()), request.batch_sizes))
}

/// The optimizers that can be analysed: name, update rule, parameters with their defaults (none where one must be given), and whether
/// gradients are divided by a preconditioner.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a table, unpacked at once")]
pub(crate) fn optimizer_rules() -> Vec<(&'static str, &'static str, Vec<(&'static str, Option<String>)>, bool)>
{
    let rule = |rule: &linstab_analysis::Rule| {
        let parameters = rule.parameters.iter();
        let parameters = parameters.map(|one| (one.name, one.default.map(|value| one.text(value)))).collect();
        (rule.name, rule.formula, parameters, rule.preconditioned)
    };
    Optimizer::RULES.iter().map(rule).collect()
}

/// Writes a file beside its place and puts it there.
#[pyfunction]
pub(crate) fn write_atomically(py: Python<'_>, path: PathBuf, contents: &[u8]) -> PyResult<()> {
    let written = py.detach(|| linstab_driver::files::write_atomically(&path, contents));
    written.map_err(|error| {
        let data = PyDict::new(py);
        let set = data.set_item("source", path.display().to_string());
        set.and_then(|()| crate::errors::named(py, "FileError", error.with_causes(), &data))
            .unwrap_or_else(|problem| problem)
    })
}
