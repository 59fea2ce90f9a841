//! One file's analysis, which depends on its bytes and the target version only.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::{Directive, FactFinding, FactRelated};
use crate::analysis::FileContext;
use crate::analysis::definitions::ClassUses;
use crate::analysis::hydra::HydraUse;
use crate::analysis::modules::ModuleFacts;
use crate::analysis::names::Names;
use crate::analysis::package::ModuleAnalysis;
use crate::analysis::shape::ModuleShape;
use crate::rules::complete::{keep_root_causes, open_methods};
use crate::rules::{Finding, file_rules};
use crate::source::{Source, Span};
use crate::syntax::tree::{Tree, TreeError};
use crate::syntax::verdict::{DecodeError, PythonVersion, Verdict, decode, verdict};

/// What one content yields, wherever it stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FileAnalysis {
    /// Lines of the text.
    pub lines: u32,
    /// Whether the file holds nothing but white space and comments.
    pub blank: bool,
    /// Violations; their paths are empty and filled in per package.
    pub findings: Vec<FactFinding>,
    /// Comments that speak to explint.
    pub directives: Vec<Directive>,
    /// Rules that failed on this content, with what happened.
    pub crashes: Vec<(String, String)>,
    /// What rules across files ask of it.
    pub module: Arc<ModuleAnalysis>,
    /// Why rules that need the whole tree had to leave the file aside, if they had to for a reason
    /// other than a syntax error.
    pub undecided: Option<Cow<'static, str>>,
    /// Methods that are placeholders if the package makes objects of the class named first, and
    /// derives nothing from it.
    pub open_methods: Vec<(String, FactFinding)>,
    /// The classes the file makes objects of or derives from.
    pub class_uses: ClassUses,
    /// How the module starts Hydra, if it does.
    pub hydra: Option<HydraUse>,
    /// Why the file could not be judged at all, if it could not.
    pub failure: Option<String>,
}

/// A Python file's decoded text with its tree, which the trace of a package stands on.
#[derive(Debug)]
pub struct Parsed {
    text: Box<str>,
    tree: Tree<'static>,
}

impl Parsed {
    /// Reads a file's bytes; why they cannot be read, if so.
    pub fn of(data: &[u8]) -> Result<Self, String> {
        let text = match decode(data) {
            Ok(decoded) if !decoded.text.contains('\0') => decoded.text,
            Err(DecodeError::Unknown { encoding }) => {
                return Err(format!("its declared encoding {encoding} is not supported"));
            }
            Err(DecodeError::Invalid { message, .. }) => {
                return Err(not_text(data).unwrap_or(message));
            }
            Ok(_) => return Err(not_text(data).unwrap_or_default()),
        };
        Self::of_text(&text)
    }

    /// Reads bytes that are no sound text, as far as they go.
    pub fn lossy(data: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(data);
        Self::of_text(text.strip_prefix('\u{feff}').unwrap_or(&text))
    }

    fn of_text(text: &str) -> Result<Self, String> {
        match Tree::parse(text) {
            Ok(tree) => Ok(Self {
                tree: tree.over(""),
                text: text.into(),
            }),
            Err(TreeError::TooComplex) => {
                Err("it is too large or too oddly nested to parse in time".into())
            }
        }
    }

    /// The tree over its text.
    pub fn tree(&self) -> Tree<'_> {
        self.tree.over(&self.text)
    }
}

impl FileAnalysis {
    /// Analyses a Python file, as [`Parsed::of`] gives it, for Python 3.`python_minor`.
    pub fn of(parsed: Result<&Parsed, String>, python_minor: u8) -> Self {
        match parsed {
            Ok(parsed) => Self::of_tree(&parsed.tree(), python_minor),
            Err(reason) => Self::failed(reason),
        }
    }

    fn failed(reason: String) -> Self {
        Self {
            failure: Some(reason),
            ..Self::default()
        }
    }

    fn of_tree(tree: &Tree<'_>, python_minor: u8) -> Self {
        let text = tree.text();
        let source = Source::new(text);
        let version = PythonVersion {
            major: 3,
            minor: python_minor,
        };
        let verdict = verdict(text, version);
        let accepted = verdict == Verdict::Accepted;
        let names = catch_unwind(AssertUnwindSafe(|| Names::of(tree)));
        let crash = (names.as_ref().err()).map(|panic| {
            let rule = "complete/undefined-name".to_owned();
            (rule, panic_text(panic.as_ref()))
        });
        let context = FileContext {
            source: &source,
            tree,
            verdict: &verdict,
            accepted: accepted && tree.first_error().is_none(),
            names: names.unwrap_or_else(|_| Names::unknown()),
        };
        let mut this = Self {
            lines: source.line_count(),
            blank: tree.len() <= 1,
            directives: directives(&source, tree),
            undecided: match &verdict {
                Verdict::Undecided(reason) => Some(Cow::Borrowed(*reason)),
                _ if accepted && !context.accepted => Some(Cow::Borrowed(
                    "its syntax is sound but not known to explint's tree parser",
                )),
                _ => None,
            },
            crashes: crash.into_iter().collect(),
            ..Self::default()
        };
        if context.accepted {
            this.class_uses = ClassUses::of(tree);
            this.hydra = HydraUse::of(&context);
            this.open_methods = open_methods(&context)
                .into_iter()
                .map(|(class, finding)| (class, to_fact(&source, &finding)))
                .collect();
        }
        let mut findings = Vec::new();
        for rule in file_rules() {
            if !(context.accepted || rule.tolerates_errors) {
                continue;
            }
            let before = findings.len();
            // A rule that fails on this file must cost its own answer and no more.
            let result = catch_unwind(AssertUnwindSafe(|| (rule.check)(&context, &mut findings)));
            if let Err(panic) = result {
                findings.truncate(before);
                this.crashes
                    .push((rule.rule.name.to_owned(), panic_text(panic.as_ref())));
            }
            fold(&mut findings, before);
        }
        keep_root_causes(&mut findings);
        this.module = Arc::new(ModuleAnalysis {
            shape: context.accepted.then(|| ModuleShape::of(&context)),
            module: context.accepted.then(|| ModuleFacts::of(&context)),
            has_placeholder: (findings.iter()).any(|f| f.rule.name == "complete/placeholder-body"),
        });
        this.findings = findings.iter().map(|f| to_fact(&source, f)).collect();
        this
    }
}

/// Findings of one rule in one file that are listed one by one.
const LISTED: usize = 1000;

/// Folds a rule's findings (those from `first` on) beyond the bound into the last one listed, which
/// then tells their number.
fn fold(findings: &mut Vec<Finding>, first: usize) {
    let folded = findings.len().saturating_sub(first + LISTED);
    if folded == 0 {
        return;
    }
    findings[first..].sort_by_key(|f| f.span);
    findings.truncate(first + LISTED);
    if let Some(last) = findings.last_mut() {
        let said = last.message.trim_end_matches('.');
        last.message = format!("{said}; {folded} places after it are not listed one by one");
    }
}

/// Why bytes are no UTF-8 text, if they are not.
pub(super) fn not_text(data: &[u8]) -> Option<String> {
    let line_of = |at: usize| memchr::memchr_iter(b'\n', &data[..at]).count() + 1;
    if let Some(at) = memchr::memchr(0, data) {
        return Some(format!("line {} holds a NUL byte", line_of(at)));
    }
    let at = std::str::from_utf8(data).err()?.valid_up_to();
    let byte = data.get(at).copied().unwrap_or(0);
    Some(format!(
        "it is not UTF-8: byte 0x{byte:02x} on line {}",
        line_of(at)
    ))
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// A rule's words as the whole sentence that reports print.
pub(super) fn sentence(mut words: String) -> String {
    if !words.ends_with(['.', '!', '?', '…']) {
        words.push('.');
    }
    words
}

fn to_fact(source: &Source<'_>, finding: &Finding) -> FactFinding {
    let start = source.position(finding.span.start);
    let end = source.position(finding.span.end);
    FactFinding {
        rule: finding.rule.name.to_owned(),
        path: String::new(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        message: sentence(finding.message.clone()),
        help: sentence(finding.help.clone()),
        related: finding
            .related
            .iter()
            .map(|(span, message)| FactRelated {
                path: String::new(),
                line: source.line_of(span.start),
                message: message.clone(),
            })
            .collect(),
    }
}

const NAME: &[u8] = b"explint";

fn directives(source: &Source<'_>, tree: &Tree<'_>) -> Vec<Directive> {
    // Python decides what a comment means; another tool's comment may stand before ours.
    let speaks_to_us = |&span: &Span| {
        let text = source.slice(span).trim_start_matches('#').trim();
        (text.as_bytes().windows(NAME.len()))
            .any(|word| word.eq_ignore_ascii_case(NAME))
            .then_some((span, text))
    };
    tree.comments()
        .iter()
        .filter_map(speaks_to_us)
        .map(|(span, text)| {
            let start = source.position(span.start);
            let before = Span::new(source.line_start(start.line), span.start);
            Directive {
                line: start.line,
                column: start.column,
                end_column: source.position(span.end).column,
                text: text.to_owned(),
                own_line: source.slice(before).trim().is_empty(),
            }
        })
        .collect()
}
