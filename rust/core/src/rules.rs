//! The rules the core answers: *structure* and *complete*.
//!
//! A rule is a row made by [`declare_rule!`](crate::declare_rule), whose doc comment is the rule's
//! page, and a function over a file or a package.

pub mod complete;
pub mod structure;

use crate::analysis::FileContext;
use crate::source::Span;
use serde::Serialize;

/// How bad a finding of the rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A MUST of the protocol is violated, or the run stops.
    Error,
    /// It runs, but the result is wrong, void or weak.
    Warning,
    /// Worth knowing.
    Info,
}

/// One row of the rule table.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// `family/rule-name`, the primary key.
    pub name: &'static str,
    /// The alias that never changes meaning.
    pub code: &'static str,
    /// Default severity.
    pub severity: Severity,
    /// Numbers of the protocol's criteria the rule decides.
    pub criteria: &'static [u8],
    /// The rule's page: a summary line, then the sections.
    pub doc: &'static str,
}

/// Declares a rule's row; its doc comment becomes the page.
#[macro_export]
macro_rules! declare_rule {
    (
        $(#[doc = $doc:literal])+
        $id:ident = $name:literal, $code:literal, $severity:ident, [$($criterion:literal),+]
    ) => {
        $(#[doc = $doc])+
        pub static $id: $crate::rules::Rule = $crate::rules::Rule {
            name: $name,
            code: $code,
            severity: $crate::rules::Severity::$severity,
            criteria: &[$($criterion),+],
            doc: concat!($($doc, "\n"),+),
        };
    };
}

/// A violation inside one file.
#[derive(Debug)]
pub struct Finding {
    /// The violated rule.
    pub rule: &'static Rule,
    /// The offending text.
    pub span: Span,
    /// One sentence: what is wrong. Its full stop may be left out.
    pub message: String,
    /// One sentence: what to write instead. Its full stop may be left out.
    pub help: String,
    /// Other places of the same root cause.
    pub related: Vec<(Span, String)>,
}

/// Where a rule over one file puts its findings.
pub type Findings = Vec<Finding>;

/// A violation found by looking across files.
#[derive(Debug)]
pub struct PackageFinding {
    /// The violated rule.
    pub rule: &'static Rule,
    /// The file it concerns, whether it exists or not.
    pub path: String,
    /// `[line, column, end_line, end_column]`, all 1-based.
    pub place: [u32; 4],
    /// One sentence: what is wrong. Its full stop may be left out.
    pub message: String,
    /// One sentence: what to write instead. Its full stop may be left out.
    pub help: String,
    /// Other places of the same root cause: path, 1-based line, what is there.
    pub related: Vec<(String, u32, String)>,
}

impl PackageFinding {
    /// A finding about a file as a whole, whether it exists or not.
    pub fn whole_file(rule: &'static Rule, path: &str, message: String, help: String) -> Self {
        Self::at(rule, path, [1, 1, 1, 1], message, help)
    }

    /// A finding at `[line, column, end_line, end_column]`, all 1-based.
    pub fn at(
        rule: &'static Rule,
        path: &str,
        place: [u32; 4],
        message: String,
        help: String,
    ) -> Self {
        Self {
            rule,
            path: path.to_owned(),
            place,
            message,
            help,
            related: Vec::new(),
        }
    }

    /// The finding with other places of the same root cause: path, 1-based line, what is there.
    pub fn with_related<'p>(
        mut self,
        places: impl Iterator<Item = (&'p str, u32, &'p str)>,
    ) -> Self {
        (self.related)
            .extend(places.map(|(path, line, what)| (path.to_owned(), line, what.to_owned())));
        self
    }
}

/// A question that a rule across files leaves open.
#[derive(Debug)]
pub struct PackageUnknown {
    /// The rule that cannot decide.
    pub rule: &'static Rule,
    /// The file it concerns.
    pub path: String,
    /// Why not.
    pub reason: String,
    /// What would decide it.
    pub decided_by: String,
}

/// A rule that needs nothing but one file. What it finds depends on the file's text alone, never on
/// its path, so that the answer can be kept by content.
pub struct FileRule {
    /// The rule's row.
    pub rule: &'static Rule,
    /// Whether the rule also judges files that CPython rejects (a comment stays a comment there).
    pub tolerates_errors: bool,
    /// Finds the violations.
    pub check: fn(&FileContext<'_>, &mut Findings),
}

/// The rules over one file.
pub fn file_rules() -> impl Iterator<Item = &'static FileRule> {
    structure::FILE_RULES.iter().chain(complete::FILE_RULES)
}

/// Every row the core answers for, in the order of their codes.
pub fn table() -> Vec<&'static Rule> {
    let mut rows = structure::ROWS.to_vec();
    rows.extend(complete::ROWS);
    rows.sort_by_key(|row| row.code);
    rows
}
