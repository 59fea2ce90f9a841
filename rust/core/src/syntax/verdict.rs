//! Whether CPython's compiler accepts a source text, and what it objects to.
//!
//! The syntax tree that the rules walk tolerates errors and so cannot tell. The verdict follows
//! CPython's own stages: the tokenizer ([`scan`]), the grammar (ruff's parser, which is tested
//! against CPython's), then future statements, symbol table and compiler ([`scopes`]). Before
//! 3.12 f-strings were no part of the grammar; [`fstring`] and [`Layer`] do what those versions
//! did. `docs/syntax.md` lists what is known to differ.

mod decode;
mod fstring;
mod scan;
mod scopes;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use decode::{DecodeError, Decoded, decode};
pub use ruff_python_ast::PythonVersion;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{Mod, ModModule, Stmt};
use ruff_python_parser::{
    LexicalErrorType, Mode, ParseError, ParseErrorType, ParseOptions, Parsed, parse_unchecked,
};
use ruff_text_size::{Ranged, TextRange, TextSize};

/// Where and why a source text is refused; byte offsets into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxProblem {
    /// Where it starts.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
    /// What is wrong, in CPython's words where there are some.
    pub message: String,
}

/// What CPython's compiler would say of a source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It compiles.
    Accepted,
    /// It does not; the problem is the one CPython would report first.
    Rejected(SyntaxProblem),
    /// Not known, with the reason.
    Undecided(&'static str),
}

/// How deep the compiler lets statements and expressions nest: three times the interpreter's
/// default recursion limit of 1000, less the frames that are there when it is called.
const MAX_DEPTH: usize = 2990;
/// Up to this bound of the depth a tree is built at all, to find out how deep it really is.
const MAX_DEPTH_BOUND: usize = 20_000;
/// Up to this bound the stack of any thread is large enough.
const SHALLOW: usize = 150;
/// Stack for one level of a tree, to walk and to drop it, with room for a build without
/// optimisation.
const STACK_PER_LEVEL: usize = 4096;

/// Judges `source` as a whole file of `version`. A byte order mark at its start is no part of it.
///
/// Never panics and uses bounded stack: nesting that CPython refuses is refused before a tree is
/// built.
#[must_use]
pub fn verdict(source: &str, version: PythonVersion) -> Verdict {
    if source.len() > u32::MAX as usize / 4 {
        return Verdict::Undecided("the file is larger than 1 GiB");
    }
    if let Some(offset) = memchr::memchr(0, source.as_bytes()) {
        return Verdict::Rejected(SyntaxProblem {
            start: offset,
            end: offset + 1,
            message: "source code cannot contain null bytes".to_owned(),
        });
    }
    // The last resort: a defect of the parser costs this file's verdict, not the run.
    match catch_unwind(AssertUnwindSafe(|| judge(source, version))) {
        Ok(Ok(())) => Verdict::Accepted,
        Ok(Err(Refusal::Problem(problem))) => Verdict::Rejected(problem),
        Ok(Err(Refusal::Undecided(reason))) => Verdict::Undecided(reason),
        Err(_) => Verdict::Undecided("the parser failed on this file"),
    }
}

/// The 1-based line of a byte offset; LF, CRLF and CR end lines.
fn line_number(bytes: &[u8], offset: usize) -> usize {
    let before = &bytes[..offset.min(bytes.len())];
    let ends = before.iter().enumerate().filter(|(index, byte)| {
        **byte == b'\n' || (**byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'))
    });
    ends.count() + 1
}

enum Refusal {
    Problem(SyntaxProblem),
    Undecided(&'static str),
}

impl From<SyntaxProblem> for Refusal {
    fn from(problem: SyntaxProblem) -> Self {
        Self::Problem(problem)
    }
}

/// A text that is parsed as a module: the file, or the replacement fields of an outer layer's
/// f-strings, one parenthesised expression a line.
///
/// Before 3.12 each f-string stands in the parsed text as a plain literal of the same extent, so
/// that offsets hold; the tree of its fields is in the next layer.
#[derive(Debug, Default)]
struct Layer {
    /// Start in this text and in the file of each stretch copied from the file; empty for the
    /// file itself.
    origins: Vec<(usize, usize)>,
    /// Start of each f-string in this text, and its fields as a range of the next layer's
    /// statements.
    fstrings: Vec<(TextSize, std::ops::Range<usize>)>,
    next: Option<Box<(Layer, ModModule)>>,
}

impl Layer {
    fn is_plain(&self) -> bool {
        self.fstrings.is_empty()
    }

    /// The fields of the f-string at `offset`, and the layer they are in.
    fn fields(&self, offset: TextSize) -> Option<(&Self, &[Stmt])> {
        let index = self
            .fstrings
            .binary_search_by_key(&offset, |entry| entry.0)
            .ok()?;
        let range = self.fstrings.get(index)?.1.clone();
        match &self.next {
            Some(next) => Some((&next.0, next.1.body.get(range).unwrap_or_default())),
            None => Some((self, &[])),
        }
    }

    fn origin(&self, offset: usize) -> usize {
        if self.origins.is_empty() {
            return offset;
        }
        let index = self.origins.partition_point(|(start, _)| *start <= offset);
        match self.origins.get(index.saturating_sub(1)) {
            Some((start, origin)) => origin + offset.saturating_sub(*start),
            None => offset,
        }
    }

    fn problem(&self, range: TextRange, message: String) -> SyntaxProblem {
        self.place(SyntaxProblem {
            start: range.start().to_usize(),
            end: range.end().to_usize(),
            message,
        })
    }

    /// The same problem with offsets into the file.
    fn place(&self, problem: SyntaxProblem) -> SyntaxProblem {
        let start = self.origin(problem.start);
        let end = self.origin(problem.end).max(start);
        SyntaxProblem {
            start,
            end,
            message: problem.message,
        }
    }
}

fn judge(source: &str, version: PythonVersion) -> Result<(), Refusal> {
    let scan = scan::scan(source, version >= PythonVersion::PY312);
    if let Some(problem) = scan.error {
        return Err(problem.into());
    }
    if scan.depth > MAX_DEPTH_BOUND {
        return Err(Refusal::Undecided(
            "expressions nest too deeply to be judged",
        ));
    }
    let run = || {
        let (layer, module) = parse_layer(source, &scan.fstrings, Vec::new(), version)?;
        let found = scopes::check(&module, &layer, source, version);
        if found.depth > MAX_DEPTH {
            return Err(Refusal::Problem(SyntaxProblem {
                start: 0,
                end: 0,
                message: "expressions nest too deeply: maximum recursion depth exceeded during \
                          compilation"
                    .to_owned(),
            }));
        }
        found.first().map_or(Ok(()), |problem| Err(problem.into()))
    };
    if scan.depth > SHALLOW {
        stacker::grow((scan.depth + SHALLOW) * STACK_PER_LEVEL, run)
    } else {
        run()
    }
}

/// Parses `text` and, layer by layer, the fields of the f-strings found in it.
fn parse_layer(
    text: &str,
    tokens: &[scan::FStringToken],
    origins: Vec<(usize, usize)>,
    version: PythonVersion,
) -> Result<(Layer, ModModule), Refusal> {
    let mut layer = Layer {
        origins,
        ..Layer::default()
    };
    let parsed_text = mask(text, tokens);
    let options = ParseOptions::from(Mode::Module).with_target_version(version);
    let parsed = parse_unchecked(&parsed_text, options);
    if let Some(problem) = first_error(&parsed, &parsed_text, version) {
        return Err(layer.place(problem).into());
    }
    let Mod::Module(module) = parsed.into_syntax() else {
        return Err(Refusal::Undecided("the parser gave no module"));
    };
    let mut fields = Vec::new();
    let mut inner = String::new();
    let mut inner_origins = Vec::new();
    for token in tokens {
        let first = fields.len();
        fstring::fields(text, *token, &mut fields).map_err(|problem| layer.place(problem))?;
        for field in &fields[first..] {
            inner.push('(');
            inner_origins.push((inner.len(), layer.origin(field.start)));
            inner.push_str(&text[field.start..field.end]);
            inner.push_str(")\n");
        }
        let start = TextSize::try_from(token.start).unwrap_or_default();
        layer.fstrings.push((start, first..fields.len()));
    }
    if !fields.is_empty() {
        let scan = scan::scan(&inner, false);
        let place = Layer {
            origins: inner_origins.clone(),
            ..Layer::default()
        };
        if let Some(problem) = scan.error {
            return Err(place.place(problem).into());
        }
        if scan.depth > SHALLOW {
            return Err(Refusal::Undecided(
                "f-string fields nest too deeply to be judged",
            ));
        }
        layer.next = Some(Box::new(parse_layer(
            &inner,
            &scan.fstrings,
            inner_origins,
            version,
        )?));
    }
    Ok((layer, module))
}

/// The text with every f-string replaced by a plain string literal of the same length, and blanks
/// for the width of its prefix.
fn mask<'a>(text: &'a str, tokens: &[scan::FStringToken]) -> Cow<'a, str> {
    if tokens.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for token in tokens {
        let quotes = &text[token.content_end..token.end];
        let prefix = token.content_start - quotes.len() - token.start;
        masked.push_str(&text[done..token.start]);
        masked.push_str(quotes);
        fill(&mut masked, 'x', token.content_end - token.content_start);
        masked.push_str(quotes);
        fill(&mut masked, ' ', prefix);
        done = token.end;
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// Appends `count` times the ASCII character `filler`, in blocks: f-strings are many and long.
fn fill(text: &mut String, filler: char, count: usize) {
    const XS: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    const BLANKS: &str = "        ";
    let block = if filler == 'x' { XS } else { BLANKS };
    let mut left = count;
    while left > 0 {
        let width = left.min(block.len());
        text.push_str(&block[..width]);
        left -= width;
    }
}

fn first_error(parsed: &Parsed<Mod>, text: &str, version: PythonVersion) -> Option<SyntaxProblem> {
    let errors = parsed
        .errors()
        .iter()
        .filter(|error| !is_bare_raise(error, text))
        .map(|error| (error.location, message(&error.error)));
    let unsupported = parsed.unsupported_syntax_errors().iter().map(|error| {
        (
            error.range(),
            format!("{error} (this is judged as Python {version})"),
        )
    });
    let (range, message) = errors
        .chain(unsupported)
        .min_by_key(|(range, _)| range.start())?;
    Some(SyntaxProblem {
        start: range.start().to_usize(),
        end: range.end().to_usize(),
        message,
    })
}

/// Whether the parser misses an exception in `raise;`, which is complete.
fn is_bare_raise(error: &ParseError, text: &str) -> bool {
    let (before, after) = text.split_at(error.location.start().to_usize());
    error.error == ParseErrorType::ExpectedExpression
        && after.starts_with(';')
        && before
            .trim_end_matches([' ', '\t', '\x0c'])
            .strip_suffix("raise")
            .is_some_and(|rest| !rest.ends_with(|last: char| last.is_alphanumeric() || last == '_'))
}

/// An error of the grammar in CPython's words, which mostly are "invalid syntax".
fn message(error: &ParseErrorType) -> String {
    match error {
        ParseErrorType::ExpectedToken {
            expected: TokenKind::Colon,
            ..
        } => "expected ':'".into(),
        ParseErrorType::ExpectedToken {
            expected: TokenKind::Indent,
            ..
        } => "expected an indented block".into(),
        ParseErrorType::UnexpectedIndentation => "unexpected indent".into(),
        ParseErrorType::Lexical(LexicalErrorType::IndentationError) => {
            "unindent does not match any outer indentation level".into()
        }
        ParseErrorType::PositionalAfterKeywordArgument => {
            "positional argument follows keyword argument".into()
        }
        ParseErrorType::PositionalAfterKeywordUnpacking => {
            "positional argument follows keyword argument unpacking".into()
        }
        ParseErrorType::NonDefaultParamAfterDefaultParam => {
            "non-default argument follows default argument".into()
        }
        ParseErrorType::ExpectedExpression
        | ParseErrorType::ExpectedToken { .. }
        | ParseErrorType::SimpleStatementsOnSameLine => format!("invalid syntax: {error}"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &str, version: PythonVersion) -> (&str, String) {
        match verdict(source, version) {
            Verdict::Rejected(problem) => (
                source.get(problem.start..problem.end).unwrap_or("?"),
                problem.message,
            ),
            other => ("", format!("{other:?}")),
        }
    }

    #[test]
    fn sound_source_is_accepted() {
        for source in ["", "x = 1", "\u{feff}x = f'{a:>{b}}'\n", "if a:\r  b\rc\r"] {
            assert_eq!(
                verdict(source, PythonVersion::PY311),
                Verdict::Accepted,
                "{source:?}"
            );
        }
    }

    #[test]
    fn a_problem_spans_the_offending_text() {
        let cases = [
            ("x = [1,\ny = 2\n", "[", "'[' was never closed"),
            ("é = 1\nreturn é\n", "return é", "'return' outside function"),
            (
                "def f(a, a): pass",
                "a",
                "duplicate argument 'a' in function definition",
            ),
            ("f'{a} {b)}'", "f'{a} {b)}'", "f-string: unmatched ')'"),
            ("f'{f\"{(yield)}\"}'", "yield", "'yield' outside function"),
            ("a\0b", "\0", "source code cannot contain null bytes"),
        ];
        for (source, span, message) in cases {
            let expected = (span, message.to_owned());
            assert_eq!(
                problem(source, PythonVersion::PY311),
                expected,
                "{source:?}"
            );
        }
    }

    #[test]
    fn versions_differ() {
        let newer = [
            "f\"{a[\"b\"]}\"",
            "type X = int",
            "def f[T](a: T): pass",
            "f\"{'\\n'}\"",
        ];
        for source in newer {
            assert!(matches!(
                verdict(source, PythonVersion::PY311),
                Verdict::Rejected(_)
            ));
            assert_eq!(
                verdict(source, PythonVersion::PY312),
                Verdict::Accepted,
                "{source:?}"
            );
        }
        let default = "def f[T = int](): pass";
        assert!(matches!(
            verdict(default, PythonVersion::PY312),
            Verdict::Rejected(_)
        ));
        assert_eq!(verdict(default, PythonVersion::PY313), Verdict::Accepted);
        let unparenthesised = "try: pass\nexcept A, B: pass";
        assert!(matches!(
            verdict(unparenthesised, PythonVersion::PY313),
            Verdict::Rejected(_)
        ));
        assert_eq!(
            verdict(unparenthesised, PythonVersion::PY314),
            Verdict::Accepted
        );
        let annotation = "x: (yield)";
        assert!(matches!(
            verdict(annotation, PythonVersion::PY314),
            Verdict::Rejected(_)
        ));
        assert_eq!(verdict("t'{a}'", PythonVersion::PY314), Verdict::Accepted);
    }

    #[test]
    fn hostile_nesting_needs_no_stack() {
        let deep = [
            "(".repeat(100_000),
            format!("x = {}1", "-".repeat(1_000_000)),
            format!("x = {}1", "-".repeat(15_000)),
            format!("a{}", ".b".repeat(15_000)),
            "not ".repeat(15_000),
            format!("if a: pass\n{}", "elif a: pass\n".repeat(20_000)),
            "f\"{".repeat(100_000),
        ];
        for version in [
            PythonVersion::PY311,
            PythonVersion::PY312,
            PythonVersion::PY314,
        ] {
            for source in &deep {
                assert_ne!(verdict(source, version), Verdict::Accepted);
            }
        }
    }

    #[test]
    fn bytes_are_decoded_as_declared() {
        let text = |bytes| decode(bytes).map(|decoded| decoded.text.into_owned());
        assert_eq!(text(b"\xef\xbb\xbfx"), Ok("x".to_owned()));
        assert_eq!(
            text(b"# coding: latin-1\n\xe9"),
            Ok("# coding: latin-1\né".to_owned())
        );
        assert_eq!(text(b"# \xff\nx"), Ok("# ?\nx".to_owned()));
        assert!(matches!(
            decode(b"x = '\xff'"),
            Err(DecodeError::Invalid { offset: 5, .. })
        ));
        assert!(matches!(
            decode(b"# coding: koi8-r\n"),
            Err(DecodeError::Unknown { .. })
        ));
        assert!(decode(b"x\n# coding: koi8-r\n").is_ok());
    }
}
