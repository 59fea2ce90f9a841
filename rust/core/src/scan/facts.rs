//! The document that crosses to Python, once per package. `python/explint/core.py` mirrors it: a
//! change to a field there or here raises [`FACTS_VERSION`] in both.

use serde::{Deserialize, Serialize};

use crate::analysis::hydra::HydraUse;

/// Version of this document's layout.
pub const FACTS_VERSION: u32 = 2;

/// Everything the core says of one package.
#[derive(Debug, Serialize, Deserialize)]
pub struct PackageFacts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// One entry per file of the input, in its order.
    pub files: Vec<FileFacts>,
    /// Violations, ordered by path, place and code.
    pub findings: Vec<FactFinding>,
    /// Questions the core could not decide.
    pub unknowns: Vec<FactUnknown>,
    /// Rules that failed on this package: (rule, path, what happened).
    pub crashes: Vec<(String, String, String)>,
}

/// Where a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Read and judged.
    Scanned,
    /// Left out on purpose.
    Skipped,
    /// Should have been judged and could not be.
    Failed,
}

/// One file's part.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileFacts {
    /// Path in the package.
    pub path: String,
    /// Where it ended.
    pub outcome: Outcome,
    /// Why, unless it was scanned.
    pub reason: String,
    /// Lines of the decoded text.
    pub lines: u32,
    /// Comments that name explint.
    pub directives: Vec<Directive>,
    /// How the module starts Hydra, if it does and its text tells.
    pub hydra: Option<HydraUse>,
}

/// A comment that names explint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// 1-based line.
    pub line: u32,
    /// 1-based column of the `#`.
    pub column: u32,
    /// Column just past the comment.
    pub end_column: u32,
    /// The comment without its `#` and surrounding blanks.
    pub text: String,
    /// Whether nothing but blanks precedes it on its line.
    pub own_line: bool,
}

/// A violation at a place; positions are 1-based and count characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactFinding {
    /// Rule name.
    pub rule: String,
    /// Path in the package.
    pub path: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Column just past the last character.
    pub end_column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Other places of the same root cause.
    pub related: Vec<FactRelated>,
}

/// Another place of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactRelated {
    /// Path in the package.
    pub path: String,
    /// 1-based line.
    pub line: u32,
    /// What is there.
    pub message: String,
}

/// A question left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactUnknown {
    /// The rule that cannot decide.
    pub rule: String,
    /// The file it concerns.
    pub path: String,
    /// Why not.
    pub reason: String,
    /// What would decide it.
    pub decided_by: String,
}
