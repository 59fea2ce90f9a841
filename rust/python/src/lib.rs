//! The extension module `explint._core`: the only crate that imports pyo3, and the one door for the
//! GIL, Ctrl-C, panics and errors.

mod scanner;
mod syntax;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The core's rule rows as one MessagePack document.
#[pyfunction]
fn rules(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    let document = scanner::encode(&explint_core::rules::table())?;
    Ok(PyBytes::new(py, &document))
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::rules;
    #[pymodule_export]
    use super::scanner::Scanner;
    #[pymodule_export]
    use super::syntax::syntax_verdict;
    #[pymodule_export]
    const FACTS_VERSION: u32 = explint_core::scan::FACTS_VERSION;
    #[pymodule_export]
    const TRACE_VERSION: u32 = explint_core::trace::TRACE_VERSION;
}
