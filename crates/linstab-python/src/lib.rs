//! The extension module of the Python package: arrays and options in, reports out. It holds no mathematics; the package's Python files
//! give these functions their public names, types and documentation.

mod arguments;
mod errors;
mod findings;
mod functions;
mod run;

use pyo3::prelude::*;

#[pymodule]
fn _linstab(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<findings::Findings>()?;
    module.add_function(wrap_pyfunction!(functions::analyze, module)?)?;
    module.add_function(wrap_pyfunction!(functions::check, module)?)?;
    module.add_function(wrap_pyfunction!(functions::coherence, module)?)?;
    module.add_function(wrap_pyfunction!(functions::compare, module)?)?;
    module.add_function(wrap_pyfunction!(functions::growth_map, module)?)?;
    module.add_function(wrap_pyfunction!(functions::optimizer_rules, module)?)?;
    module.add_function(wrap_pyfunction!(functions::write_atomically, module)?)?;
    Ok(())
}
