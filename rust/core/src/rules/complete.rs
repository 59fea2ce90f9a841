//! Family *complete*: every file is whole, accepted by CPython, and does what it promises.

mod errors;
mod imports;
mod markers;
mod names;
mod placeholder;
mod syntax;
mod truncated;

pub(crate) use imports::unresolved_imports;
pub(crate) use placeholder::open_methods;

use super::{FileRule, Finding, Findings, Rule};

/// Leaves the syntax error out where the file is truncated: the missing rest is the one root cause.
pub(crate) fn keep_root_causes(findings: &mut Findings) {
    let truncated = |f: &Finding| std::ptr::eq(f.rule, &raw const truncated::TRUNCATED_CODE);
    if findings.iter().any(truncated) {
        findings.retain(|f| !std::ptr::eq(f.rule, &raw const syntax::SYNTAX_ERROR));
    }
}

/// The family's rows.
pub(super) static ROWS: &[&Rule] = &[
    &syntax::SYNTAX_ERROR,
    &markers::TODO_MARKER,
    &placeholder::PLACEHOLDER_BODY,
    &markers::OMISSION_NOTE,
    &truncated::TRUNCATED_CODE,
    &placeholder::CONSTANT_STUB,
    &names::UNDEFINED_NAME,
    &imports::UNRESOLVED_IMPORT,
    &names::UNBOUND_LOCAL,
    &errors::SWALLOWED_ERROR,
];

/// The family's rules over one file.
pub(super) static FILE_RULES: &[FileRule] = &[
    FileRule {
        rule: &syntax::SYNTAX_ERROR,
        tolerates_errors: true,
        check: syntax::syntax_error,
    },
    FileRule {
        rule: &markers::TODO_MARKER,
        tolerates_errors: true,
        check: markers::todo_markers,
    },
    FileRule {
        rule: &placeholder::PLACEHOLDER_BODY,
        tolerates_errors: false,
        check: placeholder::placeholder_bodies,
    },
    FileRule {
        rule: &markers::OMISSION_NOTE,
        tolerates_errors: true,
        check: markers::omission_notes,
    },
    FileRule {
        rule: &truncated::TRUNCATED_CODE,
        tolerates_errors: true,
        check: truncated::truncated_code,
    },
    FileRule {
        rule: &placeholder::CONSTANT_STUB,
        tolerates_errors: false,
        check: placeholder::constant_stubs,
    },
    FileRule {
        rule: &names::UNDEFINED_NAME,
        tolerates_errors: false,
        check: names::undefined_name,
    },
    FileRule {
        rule: &names::UNBOUND_LOCAL,
        tolerates_errors: false,
        check: names::unbound_local,
    },
    FileRule {
        rule: &errors::SWALLOWED_ERROR,
        tolerates_errors: false,
        check: errors::swallowed_errors,
    },
];
