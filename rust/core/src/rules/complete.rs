//! Family *complete*: every file is whole, accepted by CPython, and does what it promises.

use super::{FileRule, Rule};

/// The family's rows.
pub(super) static ROWS: &[&Rule] = &[];

/// The family's rules over one file.
pub(super) static FILE_RULES: &[FileRule] = &[];
