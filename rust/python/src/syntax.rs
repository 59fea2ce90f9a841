//! The verdict on one source file, for tests and tools that compare it with CPython's.

use explint_core::syntax::verdict::{DecodeError, PythonVersion, Verdict, decode, verdict};
use pyo3::prelude::*;

/// Line and column, 1-based, in characters; LF, CRLF and CR end lines.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset = text.floor_char_boundary(offset);
    let before = &text[..offset];
    let mut line = 1;
    let mut line_start = 0;
    let bytes = text.as_bytes();
    for (index, byte) in before.bytes().enumerate() {
        if byte == b'\n' || (byte == b'\r' && bytes.get(index + 1) != Some(&b'\n')) {
            line += 1;
            line_start = index + 1;
        }
    }
    (line, before[line_start..].chars().count() + 1)
}

/// Judges `source` as Python 3.`minor`: `accepted`, `rejected` or `undecided`, then line, column,
/// end line and end column (1-based, 0 when there is no place), then the reason.
#[pyfunction]
pub fn syntax_verdict(
    py: Python<'_>,
    source: &[u8],
    minor: u8,
) -> (&'static str, usize, usize, usize, usize, String) {
    py.detach(|| {
        let decoded = match decode(source) {
            Ok(decoded) => decoded,
            Err(DecodeError::Invalid { offset, message }) => {
                let text = String::from_utf8_lossy(&source[..offset.min(source.len())]);
                let (line, column) = position(&text, text.len());
                return ("rejected", line, column, line, column, message);
            }
            Err(DecodeError::Unknown { encoding }) => {
                let reason = format!("the encoding {encoding} is not known");
                return ("undecided", 0, 0, 0, 0, reason);
            }
        };
        match verdict(&decoded.text, PythonVersion { major: 3, minor }) {
            Verdict::Accepted => ("accepted", 0, 0, 0, 0, String::new()),
            Verdict::Undecided(reason) => ("undecided", 0, 0, 0, 0, reason.to_owned()),
            Verdict::Rejected(problem) => {
                let (line, column) = position(&decoded.text, problem.start);
                let (end_line, end_column) = position(&decoded.text, problem.end);
                (
                    "rejected",
                    line,
                    column,
                    end_line,
                    end_column,
                    problem.message,
                )
            }
        }
    })
}
