//! complete/syntax-error.

use crate::analysis::FileContext;
use crate::declare_rule;
use crate::rules::{Finding, Findings};
use crate::source::Span;
use crate::syntax::verdict::Verdict;

declare_rule! {
    /// Python cannot compile the file.
    ///
    /// ## What it does
    /// Asks what CPython's own compiler would say of the file, for the version that
    /// `requires-python` calls for (3.11 when it says nothing), without running anything. That covers
    /// the grammar, indentation, string escapes, f-strings, and what the compiler checks after
    /// parsing: `return` outside a function, a name that is global and a parameter, and so on.
    ///
    /// ## Why is this bad
    /// The first import of the module stops with a `SyntaxError`, whatever the rest of the package
    /// is like.
    ///
    /// ## Example
    /// ```python
    /// def accuracy(outputs, labels)
    ///     return (outputs == labels).mean()
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// def accuracy(outputs, labels):
    ///     return (outputs == labels).mean()
    /// ```
    ///
    /// ## References
    /// - [Python language reference: full grammar](https://docs.python.org/3.11/reference/grammar.html)
    /// - `docs/syntax.md` in explint's repository: how the verdict is reached and what it leaves open
    SYNTAX_ERROR = "complete/syntax-error", "CMP001", Error, [1]
}

pub(super) fn syntax_error(file: &FileContext<'_>, findings: &mut Findings) {
    let Verdict::Rejected(problem) = file.verdict else {
        return;
    };
    findings.push(Finding {
        rule: &SYNTAX_ERROR,
        span: Span::new(problem.start as u32, problem.end as u32),
        message: format!("Python cannot compile this file: {}.", problem.message.trim_end_matches('.')),
        help: "Correct this line, or the one before it, until `python -m py_compile` accepts the file."
            .to_owned(),
        related: Vec::new(),
    });
}
