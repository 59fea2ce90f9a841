//! Family *structure*: the files of a package against the protocol's list.

use super::Rule;
use crate::declare_rule;
use crate::scan::{FileState, PackageContext, PackageFinding};

declare_rule! {
    /// A file the protocol requires is absent.
    ///
    /// ## What it does
    /// Compares the package's files with the list of the protocol profile in force.
    ///
    /// ## Why is this bad
    /// The mandated commands start `src.main` and `src.evaluate`, which import the others; without
    /// one of them nothing runs.
    ///
    /// ## Example
    /// ```text
    /// pyproject.toml
    /// config/config.yaml
    /// src/main.py
    /// src/train.py
    /// ```
    ///
    /// ## Use instead
    /// Add the missing files (here `src/evaluate.py`, `src/model.py` and `src/preprocess.py`).
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    MISSING_FILE = "structure/missing-file", "STR001", Error, [5]
}

declare_rule! {
    /// A required file is empty, or holds only white space and comments.
    ///
    /// ## What it does
    /// Looks at every file the profile requires. In a record or a partial package an empty text means
    /// that the file was not handed over: the finding is the same, and whatever depends on the file's
    /// contents stays unknown.
    ///
    /// ## Why is this bad
    /// An empty module defines nothing of what the other modules import from it.
    ///
    /// ## Example
    /// ```python
    /// # src/model.py
    /// ```
    ///
    /// ## Use instead
    /// Write the module, complete.
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    EMPTY_FILE = "structure/empty-file", "STR002", Error, [5, 1]
}

/// The family's rows.
pub(super) static ROWS: &[&Rule] = &[&MISSING_FILE, &EMPTY_FILE];

/// Required files that are absent or empty.
pub(crate) fn required_files(package: &PackageContext<'_>, findings: &mut Vec<PackageFinding>) {
    for path in &package.protocol.required {
        match package.state(path) {
            FileState::Absent => findings.push(PackageFinding::whole_file(
                &MISSING_FILE,
                path,
                format!("`{path}` is required by the protocol and is not there"),
                format!("Add `{path}` with its complete implementation"),
            )),
            FileState::Empty | FileState::Withheld => findings.push(PackageFinding::whole_file(
                &EMPTY_FILE,
                path,
                format!("`{path}` is required by the protocol and is empty"),
                format!("Write the complete contents of `{path}`"),
            )),
            FileState::Present => {}
        }
    }
}
