//! What comments and docstrings admit: work left to do, code left out.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use crate::analysis::FileContext;
use crate::analysis::prose::{Prose, code_after, prose, stands_alone};
use crate::declare_rule;
use crate::rules::{Finding, Findings, Rule};
use crate::source::Span;

declare_rule! {
    /// A comment or docstring marks work that is still to be done.
    ///
    /// ## What it does
    /// Looks for TODO, FIXME, XXX, HACK, TBD, PLACEHOLDER, "not implemented" and "your code here" in
    /// comments and docstrings, where they stand as a marker: in capitals or at the start, followed by
    /// a colon or by nothing. The same words inside a sentence ("replace the placeholder token",
    /// "raised when a hook is not implemented") and in other strings are ordinary words.
    ///
    /// ## Why is this bad
    /// The author says the code is not finished; what runs is not the experiment that was designed.
    ///
    /// ## Example
    /// ```python
    /// def accuracy(logits, labels):
    ///     # TODO: use the real labels
    ///     return 0.9
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// def accuracy(logits, labels):
    ///     return (logits.argmax(dim=-1) == labels).float().mean().item()
    /// ```
    ///
    /// ## References
    /// - Protocol, criterion 1: complete implementation
    TODO_MARKER = "complete/todo-marker", "CMP002", Error, [1]
}

declare_rule! {
    /// A comment or docstring says that code was left out or cut down.
    ///
    /// ## What it does
    /// Looks for the usual wordings of an abridged file: "omitted for brevity", "rest of the code
    /// remains unchanged", "... existing code ...", "implementation goes here", "simplified version",
    /// "in a real implementation". "Same as before" and "unchanged" count only where no code follows
    /// the comment in its block.
    ///
    /// ## Why is this bad
    /// The missing part does not run: a name is undefined, a function returns nothing, or the method
    /// that is measured is not the one that was meant.
    ///
    /// ## Example
    /// ```python
    /// def build_model(cfg):
    ///     backbone = load_backbone(cfg.model.name)
    ///     # ... rest of the code remains unchanged ...
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// def build_model(cfg):
    ///     backbone = load_backbone(cfg.model.name)
    ///     return Classifier(backbone, num_classes=cfg.dataset.num_classes)
    /// ```
    ///
    /// ## References
    /// - Protocol, criterion 1: complete implementation
    OMISSION_NOTE = "complete/omission-note", "CMP004", Error, [1]
}

/// One wording. Compiled when the first text may hold it: compiling all of them takes longer than
/// scanning a small package, which rarely holds the words of any.
struct Wording {
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
    scope: Scope,
    group: usize,
}

/// Where a wording means what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// In comments and docstrings.
    Anywhere,
    /// In comments only: in a docstring the same words describe parameters and behaviour.
    Comment,
    /// In docstrings only.
    Docstring,
    /// In a comment on its own line after which the block holds no code of its own.
    InsteadOfCode,
}

/// Words of which a text holds one, in whatever case, wherever one of the wordings is looked for.
type Group = (&'static [&'static str], &'static [(Scope, &'static str)]);

/// A search for wordings that first asks which groups' words occur.
struct Search {
    words: Option<AhoCorasick>,
    /// The group of each word.
    groups: Vec<usize>,
    wordings: Vec<Wording>,
}

impl Search {
    fn new(groups: &[Group]) -> Self {
        let words =
            || (groups.iter().enumerate()).flat_map(|(n, g)| g.0.iter().map(move |w| (n, w)));
        Self {
            words: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(words().map(|(_, word)| word))
                .ok(),
            groups: words().map(|(group, _)| group).collect(),
            wordings: (groups.iter().enumerate())
                .flat_map(|(group, (_, wordings))| {
                    wordings.iter().map(move |&(scope, pattern)| Wording {
                        pattern,
                        regex: OnceLock::new(),
                        scope,
                        group,
                    })
                })
                .collect(),
        }
    }

    /// The groups of which a word occurs, one bit each.
    fn groups_in(&self, text: &str) -> u32 {
        let Some(words) = &self.words else { return 0 };
        (words.find_overlapping_iter(text))
            .fold(0, |seen, found| seen | 1 << self.groups[found.pattern()])
    }

    /// Calls `found` with the place of every wording, each piece of prose's first to last; a place
    /// inside an earlier one is left out.
    fn run(&self, file: &FileContext<'_>, mut found: impl FnMut(Span)) {
        for piece in prose(file) {
            let groups = self.groups_in(piece.text);
            if groups == 0 {
                continue;
            }
            let mut places: Vec<Span> = Vec::new();
            for wording in &self.wordings {
                if groups & 1 << wording.group != 0 {
                    places.extend(wording.places(file, &piece));
                }
            }
            places.sort_by_key(|span| (span.start, u32::MAX - span.end));
            let mut line = 0;
            for span in places {
                // One line says one thing, in however many words.
                let here = file.source.line_of(span.start);
                if here != line {
                    found(span);
                    line = file.source.line_of(span.end);
                }
            }
        }
    }
}

impl Wording {
    /// The compiled pattern; the tests compile every one of them.
    fn regex(&self) -> Option<&Regex> {
        (self.regex.get_or_init(|| Regex::new(self.pattern).ok())).as_ref()
    }

    fn places(&self, file: &FileContext<'_>, piece: &Prose<'_>) -> Vec<Span> {
        let in_scope = match self.scope {
            Scope::Anywhere => true,
            Scope::Comment => piece.is_comment,
            Scope::Docstring => !piece.is_comment,
            Scope::InsteadOfCode => piece.is_comment && replaces_code(file, piece),
        };
        let Some(regex) = in_scope.then(|| self.regex()).flatten() else {
            return Vec::new();
        };
        regex
            .captures_iter(piece.text)
            .filter_map(|captures| captures.name("m"))
            .filter(|m| !is_quoted(piece.text, m.start(), m.end()))
            .map(|m| piece.span(m.start(), m.end()))
            .collect()
    }
}

/// Whether a marker is only talked about: it stands between quotes.
fn is_quoted(text: &str, start: usize, end: usize) -> bool {
    let quote = |c: char| matches!(c, '"' | '\'' | '`' | '“' | '‘');
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    before.is_some_and(quote) && !after.is_some_and(char::is_alphanumeric)
}

/// Whether a comment stands where code should be: nothing, `pass` or `...` follows it in its block,
/// or it explains an ellipsis on its own line.
fn replaces_code(file: &FileContext<'_>, piece: &Prose<'_>) -> bool {
    let place = Span::new(piece.start.saturating_sub(1), piece.start);
    if stands_alone(file, place) {
        let Some(code) = code_after(file, place) else {
            return true;
        };
        let code = code.split('#').next().unwrap_or("").trim_end();
        matches!(code, "pass" | "..." | "return" | "return None")
    } else {
        let line = file.source.line(file.source.line_of(place.start));
        let code = line.split('#').next().unwrap_or("").trim();
        code.trim_end_matches(['}', ']', ')']).ends_with("...")
    }
}

// In the patterns below the group `m` is what the finding points at. `^` is the start of a line, and
// LEAD what may precede the first word there.
macro_rules! lead {
    () => {
        r"(?m)^[\s\-*>•<(\[{!.…:=#]*"
    };
}

static TODO: LazyLock<Search> = LazyLock::new(|| {
    use Scope::{Anywhere, Comment, Docstring, InsteadOfCode};
    Search::new(&[
        (
            &["todo", "fixme", "xxx", "hack", "tbd", "placeholder"],
            &[
                // TODO: …, FIXME(name) …, # HACK
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>TODO|FIXME|TBD|XXX|HACK|PLACEHOLDER)(?:[\s:;,(\[\-–—.!?)\]>]|$)"
                    ),
                ),
                (
                    Anywhere,
                    r"(?m)(?:^|[^\w\-/=])(?P<m>TODO|FIXME|HACK|XXX|TBD|PLACEHOLDER)(?:\([^)\n]*\))?\s?:(?:\s|$)",
                ),
                (Anywhere, r"[(\[](?P<m>TODO|FIXME|TBD|XXX|PLACEHOLDER)[)\]]"),
                (
                    Docstring,
                    concat!(
                        lead!(),
                        r"(?P<m>TODO|FIXME|TBD|XXX|HACK|PLACEHOLDER)\s*(?:\([^)\n]*\))?\s*(?:[:\-–—!.]|$)"
                    ),
                ),
                (Comment, r"(?:^|[\s(:=])(?P<m>TBD)(?:[\s.,;)]|$)"),
                // # todo: …, # fixme - …
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:todo|fixme|hack|placeholder|tbd))(?:\([^)\n]*\))?\s*(?::|!|[\-–—]+\s|[.)\]]*\s*$)"
                    ),
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>[Tt]odo|[Ff]ixme)\s+(?:add|also|allow|change|check|clean|complete|find|fix|handle|implement|make|move|need|refactor|remove|replace|support|test|this|update|use|verify|write|try)\b"
                    ),
                ),
                (Docstring, concat!(lead!(), r"(?P<m>(?i:todo|fixme)):?:")),
            ],
        ),
        (
            &["placeholder"],
            &[
                // # Placeholder implementation
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?:(?i:this is|just|only|a|an|some|simple|temporary|dummy)\s+)*(?P<m>(?i:placeholder)\s+(?i:implementation|code|logic|function|class|method|metrics?|results?|computation|calculation|accuracy|loss|score|data|dataset|model|body|stub))\b"
                    ),
                ),
                (
                    Docstring,
                    r"(?i)\A\s*(?:(?:this is|just|only|a|temporary|dummy)\s+)*(?P<m>placeholder)(?:\s+(?:implementation|code|logic|function|class|method|for\b)|\s*[.:\-–—!]|\s*\z)",
                ),
                (
                    Anywhere,
                    r"(?i)\bthis\s+(?:is|function\s+is|class\s+is|method\s+is|module\s+is)\s+(?:just\s+|only\s+|currently\s+|merely\s+)?a\s+(?P<m>placeholder)\b(?:\s+(?:for|implementation|until|and|that|function|class|method|module|file)\b|\s*[.,;:!)\-–—]|\s*$)",
                ),
                (
                    Comment,
                    r"(?i)(?:\(|[\-–—]\s*)(?P<m>placeholder)\)?[.!]?\s*$",
                ),
                (
                    InsteadOfCode,
                    concat!(lead!(), r"(?P<m>(?i:placeholder)\s+(?i:for))\b"),
                ),
            ],
        ),
        (
            &["implement"],
            &[
                // # not implemented yet
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:not\s+(?:yet\s+|currently\s+)?implemented(?:\s+yet)?))\s*(?:[.!:;,)\]\-–—]|$)"
                    ),
                ),
                (
                    Comment,
                    r"(?i)^[^.!?\n]*?\b(?P<m>not\s+(?:yet\s+implemented|implemented\s+yet))\b",
                ),
                (
                    Docstring,
                    r"(?i)\A\s*(?P<m>not\s+(?:yet\s+|currently\s+)?implemented(?:\s+yet)?)\s*(?:[.!]|\z)",
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:to\s+be\s+implemented|implement\s+me|implement\s+this))\s*(?:(?i:later|soon|here))?[.!)\]]*\s*$"
                    ),
                ),
            ],
        ),
        (
            &[
                "code here",
                "logic here",
                "implement",
                "fill in",
                "fill this in",
            ],
            &[
                // # your code here
                (
                    Comment,
                    r"(?i)\b(?P<m>(?:(?:add|put|insert|write|place)\s+)?your\s+(?:own\s+)?(?:code|implementation|logic|model|solution)\s+(?:goes\s+)?here)\b",
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:(?:add|put|insert|write|implement|fill in)\s+(?:the\s+)?(?:actual\s+|real\s+)?(?:code|implementation|logic|training loop|details)\s+here))\b"
                    ),
                ),
            ],
        ),
    ])
});

static OMISSION: LazyLock<Search> = LazyLock::new(|| {
    use Scope::{Anywhere, Comment, InsteadOfCode};
    // What a person calls the parts of a file.
    macro_rules! part {
        () => {
            r"(?:code|implementations?|logic|functions?|methods?|imports?|class(?:es)?|body|bodies|definitions?|details?|boilerplate|rest|remainder|loop|handling|logging|plotting|preprocessing|evaluation|steps?|sections?|parts?|lines?|script|layers|setup|arguments|cleanup|visuali[sz]ation|helpers?)"
        };
    }
    macro_rules! reason {
        () => {
            r"(?:for|because\s+of|due\s+to|to\s+save)\s+(?:the\s+sake\s+of\s+)?(?:brevity|clarity|simplicity|space|conciseness|readability)"
        };
    }
    Search::new(&[
        (
            &[
                "omit",
                "brevity",
                "not shown",
                "left out",
                "truncated",
                "shortened",
                "abbreviated",
                "condensed",
                "abridged",
                "elided",
            ],
            &[
                // omitted for brevity
                (
                    Anywhere,
                    concat!(
                        r"(?i)\b(?P<m>",
                        part!(),
                        r"\b[^.;:\n]{0,30}?\b(?:omitted|left\s+out|elided|skipped|removed|shortened|truncated|condensed|abbreviated|abridged|not\s+shown)\s+(?:here\s+)?",
                        reason!(),
                        r")\b"
                    ),
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:omitted|shortened|truncated|condensed|abbreviated|abridged)\s+(?i:",
                        reason!(),
                        r"))\b"
                    ),
                ),
                (
                    Comment,
                    r"(?i)\b(?P<m>(?:omitted|left\s+out|elided)\s+(?:here\s+)?for\s+(?:the\s+sake\s+of\s+)?(?:brevity|conciseness))\b",
                ),
                (Comment, r"(?:\.\.\.|…)[^.\n]{0,30}?(?P<m>(?i:omitted))\b"),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:(?:the\s+)?(?:code|implementation|logic|body|rest|remainder|remaining\s+(?-u:\w)+)\s+(?:is\s+|has\s+been\s+|was\s+)?(?:omitted|elided|left\s+out|snipped|not\s+shown)))\s*(?:here)?\s*[.…)\]>!]*\s*$"
                    ),
                ),
                (
                    Comment,
                    r"(?i)\b(?P<m>for\s+(?:the\s+sake\s+of\s+)?brevity,?\s+(?:we\s+|i\s+)?(?:only\s+implement|omit|skip|leave\s+out|do\s+not\s+implement|the\s+rest))\b",
                ),
            ],
        ),
        (
            &["rest of", "remainder of"],
            &[
                // rest of the code remains unchanged
                (
                    Anywhere,
                    r"(?i)\b(?P<m>(?:rest|remainder)\s+of\s+(?:the\s+|this\s+|your\s+|my\s+)?(?:(?-u:\w)+\s+)?(?:code|file|function|class|methods?|implementation|script|module|program|logic|loop|pipeline|codebase)\s+(?:remains?|stays?|is|are|would\s+be)\s+(?:here|unchanged|the\s+same|identical|omitted|as\s+(?:before|above|is)|similar|intact))\b",
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|this\s+|your\s+)?(?:(?-u:\w)+\s+)?(?:code|file|function|class|methods?|implementation|script|module|program|logic|loop|pipeline)(?:\s+(?:here|follows|goes\s+here|continues|unchanged|as\s+before|omitted))?))\s*[.…)\]>}!]*\s*$"
                    ),
                ),
            ],
        ),
        (
            &[
                "existing",
                "remaining",
                "other ",
                "previous",
                "unchanged",
                "same as",
                "rest of",
            ],
            &[
                // ... existing code ...
                (
                    Comment,
                    r"^\s*[\[(<{]?\s*(?:\.\.\.|…)\s*[\[(]?(?P<m>(?i:existing|other|previous|rest|remaining|same|more|additional|your|original|unchanged|all)\s+(?i:(?-u:\w)+\s+){0,2}?(?i:code|methods?|functions?|implementations?|logic|class(?:es)?|imports?|layers?|unchanged|as\s+(?:above|before)|fields|config|helpers?|definitions?|steps?))\b",
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:existing|remaining|previous)\s+(?i:code|implementation|logic|methods|functions)(?:\s+(?i:here|goes\s+here|continues|remains?\s+(?-u:\w)+|unchanged|stays?\s+(?-u:\w)+|as\s+before|follows))?)\s*[.…)\]>}!]*\s*$"
                    ),
                ),
            ],
        ),
        (
            &["goes here", "go here", "comes here", "would go"],
            &[(
                Comment,
                r"(?i)\b(?P<m>(?:code|implementation|logic|body|content|loop|computation|calculation)\s+(?:goes|would\s+go|should\s+go|comes|would\s+be)\s+(?:in\s+)?here)\b",
            )],
        ),
        (
            &["continue", "truncated"],
            &[(
                Comment,
                concat!(
                    lead!(),
                    r"(?P<m>(?i:(?:the\s+)?(?:code|implementation|function|class|script|file)\s+(?:continues|is\s+continued|is\s+truncated|was\s+truncated|truncated|is\s+cut\s+off)))\s*(?:(?i:here|below|as\s+before|unchanged))?\s*[.…)\]>!]*\s*$"
                ),
            )],
        ),
        (
            &["same as", "unchanged", "identical", "previous"],
            &[
                // same as before, unchanged: only where no code follows
                (
                    InsteadOfCode,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:same\s+(?:(?-u:\w)+\s+)?as\s+(?:before|above|previous(?:ly)?|in\s+the\s+(?:original|previous)\b(?-u:\w)*)|(?:remains?\s+)?unchanged|identical\s+to\s+(?:before|above|the\s+previous)))\b"
                    ),
                ),
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?P<m>(?i:(?:the\s+)?(?:(?-u:\w)+\s+)?(?:code|implementation|logic|imports|function|method|class|everything\s+else)\s+(?:remains?|is|are|stays?)\s+(?:unchanged|the\s+same\s+as\s+(?:before|above))))\s*[.…)\]>}!]*\s*$"
                    ),
                ),
            ],
        ),
        (
            &["simplified"],
            &[
                // simplified version
                (
                    Comment,
                    concat!(
                        lead!(),
                        r"(?:(?i:this|note|here|it|is|we|use|using|a|an|the|our|very|highly|much|in)[\s:]+)*(?P<m>(?i:(?:over)?simplified\s+(?:version|implementation|example|demo|placeholder|stub|training\s+loop|approximation\s+for\s+(?:demo|this))))(?:\s+(?i:for|here|that|which|only|due|since|because|to)\b|\s*[.,;:!)\-–—]|\s*$)"
                    ),
                ),
                (
                    Anywhere,
                    r"(?i)\bthis\s+(?:is|implements)\s+(?:just\s+|only\s+)?(?:a\s+|an\s+)?(?:very\s+|highly\s+|much\s+)?(?P<m>(?:over)?simplified\s+(?:version|implementation|example))(?:\s*[.,;:!)\-–—]|\s*$|\s+(?:for|that|which|here|due|since|because)\b)",
                ),
                (
                    Anywhere,
                    r"(?i)\b(?P<m>simplified\s+for\s+(?:brevity|demo|demonstration|illustration|this\s+(?:example|demo|experiment)|the\s+(?:sake|purpose)|now))\b",
                ),
            ],
        ),
        (
            &["purposes", "for demo"],
            &[(
                Anywhere,
                r"(?i)\b(?P<m>for\s+(?:demo|demonstration|illustration|illustrative)\s+purposes?(?:\s+only)?)\b",
            )],
        ),
        (
            &[
                "in a real",
                "in a full",
                "in a production",
                "in a complete",
                "in an actual",
                "in production",
                "in real",
            ],
            &[
                // in a real implementation, you would …
                (
                    Anywhere,
                    r"(?i)\b(?P<m>in\s+(?:a|an|the)\s+(?:real|actual|full|production|complete|proper|practical)(?:[\s\-]+world)?\s+(?:implementation|system|scenario|application|experiment|setup|setting|deployment|version|code|environment|use|pipeline|training\s+run)\b[^.\n]{0,30}?\b(?:would|should|could|might|must|need|replace|use|load|compute))\b",
                ),
                (
                    Comment,
                    r"(?i)\b(?P<m>in\s+(?:production|real\s+(?:code|use|life|implementation|experiments?)|reality),?\s+(?:you|we|this|it|one|that)(?:'d)?\s+(?:would|should|could|might|need)\b)",
                ),
            ],
        ),
        (
            &[
                "actual",
                "in a real",
                "simplified",
                "dummy",
                "mock",
                "stub",
                "fake",
            ],
            &[(
                Comment,
                r"(?i)\b(?P<m>(?:actual|real|full|proper)\s+(?:implementation|code|logic|computation)\s+(?:would|should|goes|omitted|here|will\s+be|to\s+be))\b",
            )],
        ),
        (
            &["exercise"],
            &[(
                Anywhere,
                r"(?i)\b(?P<m>left\s+as\s+an\s+exercise|exercise\s+for\s+the\s+reader)\b",
            )],
        ),
        (
            &["dummy", "mock", "stub", "skeleton", "fake"],
            &[(
                Anywhere,
                r"(?im)(?:^|this\s+is\s+)[\s\-*>(\[]*(?:(?:a|an|simple|minimal|just)\s+)*(?P<m>(?:dummy|mock|stub|skeleton|fake)\s+(?:implementation|version))(?:\s*[.,;:!)\-–—]|\s*$|\s+(?:for|until|here|that|which|because|since)\b)",
            )],
        ),
    ])
});

/// Finds markers of work to be done.
pub(super) fn todo_markers(file: &FileContext<'_>, findings: &mut Findings) {
    TODO.run(file, |span| {
        let text = file.source.slice(span);
        findings.push(finding(
            &TODO_MARKER,
            span,
            format!("`{}` marks work that is not done", one_line(text)),
            "Write the missing code, then remove the marker".to_owned(),
        ));
    });
}

/// Finds notes about code left out.
pub(super) fn omission_notes(file: &FileContext<'_>, findings: &mut Findings) {
    OMISSION.run(file, |span| {
        let text = file.source.slice(span);
        findings.push(finding(
            &OMISSION_NOTE,
            span,
            format!(
                "\"{}\" says that code was left out or cut down",
                one_line(text)
            ),
            "Write out the code that the note stands for, then remove the note".to_owned(),
        ));
    });
}

fn finding(rule: &'static Rule, span: Span, message: String, help: String) -> Finding {
    Finding {
        rule,
        span,
        message,
        help,
        related: Vec::new(),
    }
}

/// A wording as it reads on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for search in [&*TODO, &*OMISSION] {
            assert!(search.words.is_some());
            assert!(search.groups.iter().all(|&group| group < 32));
            for wording in &search.wordings {
                let regex = wording.regex().expect("the pattern compiles");
                assert!(regex.capture_names().flatten().any(|name| name == "m"));
            }
        }
    }
}
