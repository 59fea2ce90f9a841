//! Files that stop in the middle, or hold the mark of a tool that cut them.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use crate::analysis::FileContext;
use crate::declare_rule;
use crate::rules::{Finding, Findings};
use crate::source::Span;
use crate::syntax::kinds::Kind;

declare_rule! {
    /// The source ends inside a construct, or carries the mark of a tool that cut it.
    ///
    /// ## What it does
    /// Where CPython rejects a file, looks whether its end is the cause: an open bracket or string, a
    /// header without a body, a `try` without `except`, a decorator without a definition, an operator
    /// without its right side. In every file, looks for marks such as `… truncated 1200 characters …`,
    /// `[truncated]` and `... (40 lines omitted)` outside of string values, and for Markdown fences and
    /// end-of-text tokens left on a line of their own.
    ///
    /// ## Why is this bad
    /// The missing part is lost: the file does not compile, or what the mark replaced never runs.
    ///
    /// ## Example
    /// ```python
    /// def evaluate(model, loader):
    ///     correct = sum(
    /// ```
    ///
    /// ## Use instead
    /// Write the file out to its end; a generator that stops at its output limit has to be asked for
    /// the rest.
    ///
    /// ## References
    /// - Protocol, criterion 1: complete implementation
    TRUNCATED_CODE = "complete/truncated-code", "CMP005", Error, [1]
}

static HINTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build([
            "truncated",
            "omitted",
            "snipped",
            "clipped",
            "elided",
            "```",
            "<|endof",
            "<|im_end",
            "<|eot",
        ])
        .ok()
});

/// Marks that replace text; with a count they mean a cut wherever they stand.
static MARKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?im)(?P<count>(?:\.\.\.|…|[<\[(])\s*(?:output |content |text |file |code )?(?:truncated|omitted|snipped|clipped|elided)[ :]+[0-9][0-9,_]*\s+(?:more\s+)?(?:characters?|chars?|lines?|tokens?|bytes?)\s*(?:\.\.\.|…|[>\])]))",
        r"|(?P<lines>(?:\.\.\.|…|[<\[(])\s*[<\[(]?\s*[0-9][0-9,_]*\s+(?:more\s+)?(?:characters?|chars?|lines?|tokens?|bytes?)\s+(?:truncated|omitted|snipped|clipped|elided)\s*(?:\.\.\.|…|[>\])]))",
        r"|^[ \t]*(?:#\s*)?(?P<word>(?:(?:\.\.\.|…)\s*)?[\[(<]\s*(?:(?:\.\.\.|…)\s*)?(?:output |content |text |file |code )?truncated\s*(?:(?:\.\.\.|…)\s*)?[\])>]|(?:\.\.\.|…)\s*truncated\s*(?:(?:\.\.\.|…))?)[ \t]*$",
        r"|^[ \t]*(?P<fence>```(?-u:\w)*|~~~(?-u:\w)*)[ \t]*$",
        r"|^[ \t]*(?P<token><\|(?:endoftext|end_of_text|im_end|eot_id)\|>)[ \t]*$",
    ))
    .ok()
});

/// Finds cut files.
pub(super) fn truncated_code(file: &FileContext<'_>, findings: &mut Findings) {
    let marked = marks(file, findings);
    if !marked
        && !file.accepted
        && let Some((span, what)) = open_end(file)
    {
        findings.push(Finding {
            rule: &TRUNCATED_CODE,
            span,
            message: format!("The file ends {what}"),
            help: "Write the file out to its end".to_owned(),
            related: Vec::new(),
        });
    }
}

/// Reports the marks of tools; whether there was one.
fn marks(file: &FileContext<'_>, findings: &mut Findings) -> bool {
    let text = file.source.text();
    if !(HINTS.as_ref()).is_some_and(|hints| hints.is_match(text)) {
        return false;
    }
    let Some(regex) = MARKS.as_ref() else {
        return false;
    };
    let before = findings.len();
    for captures in regex.captures_iter(text) {
        let named = |name| captures.name(name).map(|m| (m, name));
        let Some((mark, name)) = ["count", "lines", "word", "fence", "token"]
            .into_iter()
            .find_map(named)
        else {
            continue;
        };
        let span = Span::new(mark.start() as u32, mark.end() as u32);
        if !is_left_over(file, span, name) {
            continue;
        }
        let (what, help) = match name {
            "fence" => (
                format!("A Markdown fence `{}` is left in the file", mark.as_str()),
                "Remove the fence and whatever stands outside of it",
            ),
            "token" => (
                format!(
                    "The end-of-text token `{}` is left in the file",
                    mark.as_str()
                ),
                "Remove the token and make sure that nothing after it is missing",
            ),
            _ => (
                format!("`{}` stands where the code was cut", mark.as_str().trim()),
                "Put the text that was cut back in its place",
            ),
        };
        findings.push(Finding {
            rule: &TRUNCATED_CODE,
            span,
            message: what,
            help: help.to_owned(),
            related: Vec::new(),
        });
        if matches!(name, "fence" | "token") {
            break;
        }
    }
    findings.len() > before
}

/// Whether a mark replaces code rather than being a value or an example in a string.
fn is_left_over(file: &FileContext<'_>, mark: Span, name: &str) -> bool {
    let tree = file.tree;
    let comments = tree.comments();
    let at = comments.partition_point(|c| c.end <= mark.start);
    if comments.get(at).is_some_and(|c| c.start <= mark.start) {
        return !matches!(name, "fence" | "token");
    }
    if !file.accepted {
        // Quotes cannot be trusted in a broken file: only text that is quoted on its own line is
        // certainly a value.
        let line = file.source.line_of(mark.start);
        let before = Span::new(file.source.line_start(line), mark.start);
        return !file.source.slice(before).contains(['"', '\'']);
    }
    // An accepted file holds such a mark only in a comment or a string. In a docstring a counted mark
    // means that the text between two docstrings was cut, which no one writes by hand.
    matches!(name, "count" | "lines")
        && tree
            .descendants(tree.root())
            .filter_map(|n| tree.string_statement(n))
            .any(|s| {
                let span = tree.span(s);
                tree.kind(s) == Kind::String && span.start <= mark.start && mark.end <= span.end
            })
}

/// An opening bracket or quote that nothing has closed yet.
#[derive(Clone, Copy)]
struct Open {
    at: usize,
    closer: u8,
}

/// One logical line: from its first token to the end of its last line, brackets and strings joined.
#[derive(Clone, Copy)]
struct Logical {
    start: usize,
    /// End of the last token.
    end: usize,
    indent: usize,
}

/// What the scan of a text without a tree sees of its structure.
struct Outline {
    lines: Vec<Logical>,
    brackets: Vec<Open>,
    /// The start of a string that never ends, with whether it is triple-quoted.
    string: Option<(usize, bool)>,
    /// Whether the last line ends in a backslash.
    continued: bool,
}

/// Reads a text as Python's tokenizer would, as far as lines, brackets and strings go.
fn outline(text: &str) -> Outline {
    let bytes = text.as_bytes();
    let mut this = Outline {
        lines: Vec::new(),
        brackets: Vec::new(),
        string: None,
        continued: false,
    };
    let mut at = 0;
    let mut line: Option<Logical> = None;
    let mut line_start = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'\n' | b'\r' => {
                at += 1;
                line_start = at;
                if this.brackets.is_empty() && !this.continued {
                    this.lines.extend(line.take());
                }
                this.continued = false;
                continue;
            }
            b' ' | b'\t' | b'\x0c' => {
                at += 1;
                continue;
            }
            b'#' => {
                at = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |n| at + n);
                continue;
            }
            _ => {}
        }
        let current = line.get_or_insert(Logical {
            start: at,
            end: at,
            indent: at - line_start,
        });
        this.continued = false;
        match byte {
            b'"' | b'\'' => {
                let triple = bytes.get(at..at + 3) == Some(&[byte; 3]);
                match string_end(bytes, at, triple) {
                    Ok(end) => at = end,
                    Err(end) => {
                        // A plain string ends with its line, closed or not.
                        if triple || end >= bytes.trim_ascii_end().len() {
                            this.string = Some((at, triple));
                        }
                        at = end;
                    }
                }
            }
            b'(' | b'[' | b'{' => {
                let closer = match byte {
                    b'(' => b')',
                    b'[' => b']',
                    _ => b'}',
                };
                this.brackets.push(Open { at, closer });
                at += 1;
            }
            b')' | b']' | b'}' => {
                if this.brackets.last().is_some_and(|open| open.closer == byte) {
                    this.brackets.pop();
                }
                at += 1;
            }
            b'\\' => {
                this.continued = matches!(bytes.get(at + 1), None | Some(b'\n' | b'\r'));
                at += 1;
            }
            _ => at += 1,
        }
        current.end = at;
    }
    this.lines.extend(line);
    this
}

/// Where a string that starts at `at` ends; `Err` with the end of its reach when it does not.
fn string_end(bytes: &[u8], at: usize, triple: bool) -> Result<usize, usize> {
    let quote = bytes[at];
    let mut i = at + if triple { 3 } else { 1 };
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'\n' | b'\r' if !triple => return Err(i),
            b if b == quote && !triple => return Ok(i + 1),
            b if b == quote && bytes.get(i..i + 3) == Some(&[quote; 3]) => return Ok(i + 3),
            _ => {}
        }
        i += 1;
    }
    Err(bytes.len())
}

/// The place and the nature of a construct that the end of the file leaves open.
fn open_end(file: &FileContext<'_>) -> Option<(Span, String)> {
    let text = file.source.text();
    let outline = outline(text);
    let line_of = |at: usize| file.source.line_of(at as u32);
    if let Some((at, triple)) = outline.string {
        let after = text.get(at..).unwrap_or("");
        let swallowed = triple && after.lines().skip(1).any(starts_definition);
        let width = if triple { 3 } else { 1 };
        return (!swallowed).then(|| {
            let quote = after.get(..width).unwrap_or("");
            let what = format!(
                "inside the string that {quote} opens on line {}",
                line_of(at)
            );
            (Span::new(at as u32, (at + width) as u32), what)
        });
    }
    let last = *outline.lines.last()?;
    if let Some(open) = outline.brackets.first() {
        let line = line_of(open.at);
        let indent = |s: &str| s.len() - s.trim_start().len();
        let opener = indent(file.source.line(line));
        let after = text.get(open.at..).unwrap_or("");
        // A statement after the bracket means that the bracket alone is missing, not the rest.
        let goes_on = after.lines().skip(1).any(|l| {
            let code = l.trim_start();
            let dedented = indent(l) <= opener && !code.starts_with([')', ']', '}', '#']);
            starts_statement(code) || (dedented && opener > 0 && !code.is_empty())
        });
        return (!goes_on).then(|| {
            let bracket = text.get(open.at..=open.at).unwrap_or("(");
            let what = format!("inside the `{bracket}` that line {line} opens");
            (Span::new(open.at as u32, open.at as u32 + 1), what)
        });
    }
    let code = text.get(last.start..last.end)?.trim_end();
    let span = Span::new(last.start as u32, (last.start + code.len()) as u32);
    let line = line_of(last.start);
    if outline.continued {
        return Some((span, format!("after a backslash on line {line}")));
    }
    if code.starts_with('@') {
        return Some((span, format!("after the decorator on line {line}")));
    }
    if code.ends_with(':') && is_header(code) {
        return Some((
            span,
            format!("after the header on line {line}: its body is missing"),
        ));
    }
    if let Some(word) = dangling(code) {
        return Some((span, format!("after `{word}` on line {line}")));
    }
    if is_header(code) && !code.contains(':') && !code.contains('=') {
        return Some((span, format!("in the middle of the header on line {line}")));
    }
    let open_try = open_try(text, &outline.lines)?;
    let header = text.get(open_try.start..open_try.end)?;
    let span = Span::new(
        open_try.start as u32,
        (open_try.start + header.len()) as u32,
    );
    let line = line_of(open_try.start);
    Some((
        span,
        format!("inside the `try` of line {line}: its `except` or `finally` is missing"),
    ))
}

fn first_word(code: &str) -> &str {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or("")
}

/// Whether a line, wherever it is indented, can only be the start of a statement.
fn starts_statement(code: &str) -> bool {
    match first_word(code) {
        "def" | "class" | "return" | "import" | "raise" | "while" | "with" | "try" | "except"
        | "finally" | "elif" | "assert" | "del" | "pass" | "break" | "continue" => true,
        "from" => code.contains(" import "),
        "for" | "if" | "else" => code.trim_end().ends_with(':'),
        _ => code.starts_with('@'),
    }
}

/// Whether a line at the left margin starts a definition or an import.
fn starts_definition(line: &str) -> bool {
    ["def ", "class ", "import ", "async def ", "if __name__"]
        .iter()
        .any(|head| line.starts_with(head))
        || (line.starts_with("from ") && line.contains(" import "))
}

fn is_header(code: &str) -> bool {
    matches!(
        first_word(code),
        "def"
            | "class"
            | "if"
            | "elif"
            | "else"
            | "for"
            | "while"
            | "with"
            | "try"
            | "except"
            | "finally"
            | "async"
            | "match"
            | "case"
    )
}

/// The operator or word that needs something on its right, at the end of a line.
fn dangling(code: &str) -> Option<&str> {
    let word_start = code
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |i| {
            i + code[i..].chars().next().map_or(1, char::len_utf8)
        });
    let word = &code[word_start..];
    if matches!(
        word,
        "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "import"
            | "from"
            | "lambda"
            | "await"
            | "as"
            | "assert"
            | "del"
            | "global"
            | "nonlocal"
            | "def"
            | "class"
    ) {
        return Some(word);
    }
    if code.ends_with("...") {
        return None;
    }
    let sign_start = code.len()
        - code
            .bytes()
            .rev()
            .take_while(|b| b"+-*/%=.<>&|^~@!".contains(b))
            .count();
    let signs = &code[sign_start..];
    let star_import = signs == "*" && code.trim_end_matches('*').trim_end().ends_with("import");
    (!signs.is_empty() && !star_import).then_some(signs)
}

/// The `try` in whose body the last line stands, when nothing caught it.
fn open_try(text: &str, lines: &[Logical]) -> Option<Logical> {
    let mut open: Vec<Logical> = Vec::new();
    let word = |line: &Logical| first_word(text.get(line.start..line.end).unwrap_or(""));
    for line in lines {
        while open.last().is_some_and(|top| top.indent >= line.indent) {
            open.pop();
        }
        open.push(*line);
    }
    open.into_iter().find(|line| word(line) == "try")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::names::Names;
    use crate::source::Source;
    use crate::syntax::tree::Tree;
    use crate::syntax::verdict::Verdict;

    fn found(text: &str, accepted: bool) -> Vec<String> {
        let source = Source::new(text);
        let tree = Tree::parse(text).expect("parses");
        let verdict = Verdict::Undecided("not asked");
        let file = FileContext {
            source: &source,
            tree: &tree,
            verdict: &verdict,
            accepted,
            names: Names::default(),
        };
        let mut findings = Vec::new();
        truncated_code(&file, &mut findings);
        findings
            .iter()
            .map(|f| format!("{}: {}", source.line_of(f.span.start), f.message))
            .collect()
    }

    #[test]
    fn open_ends_are_named_at_what_they_leave_open() {
        for (text, expected) in [
            (
                "x = 1\ny = f(a,\n  b",
                "2: The file ends inside the `(` that line 2 opens",
            ),
            (
                "def f():\n    return \"\"\"abc\nd",
                "2: The file ends inside the string that \"\"\" opens on line 2",
            ),
            (
                "x = 'ab",
                "1: The file ends inside the string that ' opens on line 1",
            ),
            (
                "x = 1\ndef f(a):\n",
                "2: The file ends after the header on line 2: its body is missing",
            ),
            (
                "try:\n    x = 1\n",
                "1: The file ends inside the `try` of line 1: its `except` or `finally` is missing",
            ),
            ("@cache\n", "1: The file ends after the decorator on line 1"),
            ("x = a +\n", "1: The file ends after `+` on line 1"),
            ("x = a \\", "1: The file ends after a backslash on line 1"),
            (
                "for batch in loa",
                "1: The file ends in the middle of the header on line 1",
            ),
        ] {
            assert_eq!(found(text, false), [expected], "{text:?}");
        }
    }

    #[test]
    fn an_error_in_the_middle_is_no_truncation() {
        for text in [
            "x = (1\ndef f():\n    return 1\n",
            "x = 1 1\ny = 2\n",
            "try:\n    x = 1\ny = 2\n",
            "s = \"\"\"abc\ndef f():\n    return 1\n",
            "print 'a'\n",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text:?}");
        }
    }

    #[test]
    fn marks_count_outside_of_values() {
        assert_eq!(
            found("x = 1\n# … truncated 812 characters …\n", true).len(),
            1
        );
        assert_eq!(
            found("x = 1\n<... truncated 812 characters ...>\ny = 2\n", false).len(),
            1
        );
        assert_eq!(found("```python\nx = 1\n```\n", false).len(), 1);
        assert_eq!(
            found("s = '... truncated 812 characters ...'\n", true).len(),
            0
        );
        assert_eq!(found("PAD = '<|endoftext|>'\n", true).len(), 0);
        assert_eq!(found("s = '''\n```\n'''\n", true).len(), 0);
    }

    #[test]
    fn hostile_ends_do_not_panic() {
        for text in [
            "", "\\", "é = 'é", "'\\", "((((", "\u{feff}", "@", "…", "x = é", "a é",
        ] {
            found(text, false);
        }
    }
}
