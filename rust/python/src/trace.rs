//! The symbolic trace of one package as one MessagePack document.

use pyo3::PyResult;
use pyo3::pybacked::PyBackedBytes;

use crate::scanner::encode;

/// Traces Python files (path, contents) from entries (dotted module names). Bytes that are not UTF-8
/// are replaced: the scan says which files hold some.
pub fn document(files: Vec<(String, PyBackedBytes)>, entries: &[String]) -> PyResult<Vec<u8>> {
    let files: Vec<(String, String)> = files
        .into_iter()
        .map(|(path, data)| {
            let text = String::from_utf8_lossy(&data);
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            (path, text.to_owned())
        })
        .collect();
    encode(&explint_core::trace::trace_package(&files, entries))
}
