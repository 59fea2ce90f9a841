//! The tokenizer's own errors, in one pass over the bytes and before anything is parsed.
//!
//! Follows `Parser/tokenizer.c` of CPython 3.11. Besides the errors it yields what the parser
//! cannot be asked for: an upper bound of the tree's depth, so that hostile nesting is refused
//! before a recursive tree exists, and the extent of every f-string as versions before 3.12 read
//! it (a string literal like any other, ending at its own quote). From 3.12 on f-strings nest, and
//! the scan goes in and out of their replacement fields.

use super::SyntaxProblem;

/// `MAXLEVEL` of CPython's tokenizer: brackets open at one time.
const MAX_BRACKETS: usize = 200;
/// `MAXINDENT` of CPython's tokenizer: indentation levels, the outermost included.
const MAX_INDENTATION: usize = 100;
/// `MAX_EXPR_NESTING` of CPython's tokenizer: replacement fields inside one another's format
/// specifications.
const MAX_FIELDS: usize = 3;
/// `sys.int_info.default_max_str_digits`: decimal integer literals longer than this are refused.
const MAX_INTEGER_DIGITS: usize = 4300;

/// An f-string literal as versions before 3.12 delimit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FStringToken {
    /// Byte offset of the prefix.
    pub start: usize,
    /// Byte offset of the first content byte.
    pub content_start: usize,
    /// Byte offset just after the last content byte.
    pub content_end: usize,
    /// Byte offset just after the closing quote.
    pub end: usize,
    /// Whether the prefix contains an `r`.
    pub raw: bool,
}

/// What one pass over the bytes tells.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The first error of the tokenizer.
    pub error: Option<SyntaxProblem>,
    /// No tree of this source nests expressions deeper than this.
    pub depth: usize,
    /// The f-strings, in order; none for versions in which they nest.
    pub fstrings: Vec<FStringToken>,
    /// The comments, in order, up to the first error.
    pub comments: Vec<std::ops::Range<usize>>,
}

/// Operators and prefixes seen since the last separator in one bracket, by how strongly the next
/// operator binds: what a weaker operator has closed cannot nest in what follows it.
#[derive(Debug, Default, Clone, Copy)]
struct Chain {
    /// `lambda` and `else`, closed by a comma only.
    weak: usize,
    /// `not`, closed by `and` and `or` too.
    middle: usize,
    /// Arithmetic, calls, subscripts, attributes; closed by comparisons and words too.
    strong: usize,
}

impl Chain {
    fn total(self) -> usize {
        self.weak + self.middle + self.strong
    }
}

#[derive(Debug, Clone, Copy)]
struct Bracket {
    byte: u8,
    offset: usize,
    outer: Chain,
    /// Whether it is the brace of a replacement field in a nesting f-string.
    field: bool,
}

/// A nesting f-string whose end has not been reached.
#[derive(Debug, Clone, Copy)]
struct OpenString {
    start: usize,
    quote: u8,
    triple: bool,
    raw: bool,
    /// Brackets open around it; more are its own fields.
    base: usize,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
    brackets: Vec<Bracket>,
    chain: Chain,
    /// Sum of the chains of the brackets around the current one.
    outer_depth: usize,
    depth: usize,
    indents: Vec<(usize, usize)>,
    fstrings: Vec<FStringToken>,
    /// Whether f-strings nest, as they do from 3.12 on.
    nesting: bool,
    strings: Vec<OpenString>,
    comments: Vec<std::ops::Range<usize>>,
}

/// Reads `source` once. Every byte belongs to a token, to white space or to the reported error.
pub(super) fn scan(source: &str, nesting: bool) -> Scan {
    let mut scanner = Scanner {
        bytes: source.as_bytes(),
        position: 0,
        brackets: Vec::new(),
        chain: Chain::default(),
        outer_depth: 0,
        depth: 0,
        indents: vec![(0, 0)],
        fstrings: Vec::new(),
        nesting,
        strings: Vec::new(),
        comments: Vec::new(),
    };
    let error = scanner.run().err();
    Scan {
        error,
        depth: scanner.depth,
        fstrings: scanner.fstrings,
        comments: scanner.comments,
    }
}

fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.position + ahead).copied()
    }

    fn problem(&self, start: usize, end: usize, message: impl Into<String>) -> SyntaxProblem {
        SyntaxProblem {
            start,
            end: end.min(self.bytes.len()),
            message: message.into(),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        super::line_number(self.bytes, offset)
    }

    /// Steps over one line end (LF, CRLF or CR) when there is one.
    fn eat_newline(&mut self) -> bool {
        match self.peek(0) {
            Some(b'\n') => self.position += 1,
            Some(b'\r') => self.position += if self.peek(1) == Some(b'\n') { 2 } else { 1 },
            _ => return false,
        }
        true
    }

    fn run(&mut self) -> Result<(), SyntaxProblem> {
        let mut at_line_start = true;
        while self.position < self.bytes.len() {
            if at_line_start {
                at_line_start = false;
                if self.indentation()? {
                    // A blank or comment line: no token, the next line starts afresh.
                    self.skip_comment();
                    at_line_start = self.eat_newline();
                    continue;
                }
            }
            let Some(byte) = self.peek(0) else { break };
            match byte {
                b' ' | b'\t' | 0x0c => self.position += 1,
                b'\n' | b'\r' => {
                    self.eat_newline();
                    if self.brackets.is_empty() {
                        self.chain = Chain::default();
                        at_line_start = true;
                    }
                }
                b'#' => self.skip_comment(),
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word()?,
                b'0'..=b'9' => self.number()?,
                b'\'' | b'"' => self.string(self.position, false, false)?,
                b'(' | b'[' | b'{' => self.open(byte)?,
                b')' | b']' | b'}' => self.close(byte)?,
                b',' | b';' => {
                    self.chain = Chain::default();
                    self.position += 1;
                }
                b'\\' => self.continuation()?,
                b'=' | b'<' | b'>' | b'!' => self.comparison(),
                b':' => {
                    self.position += 1;
                    if let (Some(string), Some(Bracket { field: true, .. })) =
                        (self.strings.last().copied(), self.brackets.last().copied())
                    {
                        // The format specification, which is literal text again.
                        self.literal(string)?;
                    }
                }
                b'+' | b'-' | b'*' | b'/' | b'%' | b'@' | b'|' | b'&' | b'^' | b'~' | b'.' => {
                    self.deepen();
                    self.position += 1;
                }
                _ => self.position += 1,
            }
        }
        match self.brackets.last() {
            Some(open) => Err(self.problem(
                open.offset,
                open.offset + 1,
                format!("'{}' was never closed", char::from(open.byte)),
            )),
            None => Ok(()),
        }
    }

    fn deepen(&mut self) {
        self.chain.strong += 1;
        self.note_depth();
    }

    fn note_depth(&mut self) {
        let depth = self.outer_depth + self.chain.total();
        if depth > self.depth {
            self.depth = depth;
        }
    }

    fn skip_comment(&mut self) {
        if self.peek(0) == Some(b'#') {
            let start = self.position;
            let rest = &self.bytes[start..];
            self.position += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            self.comments.push(start..self.position);
        }
    }

    fn comparison(&mut self) {
        let arrow_or_compound = matches!(self.peek(1), Some(b'=' | b'<' | b'>'));
        if self.peek(0) != self.peek(1) || self.peek(0) == Some(b'=') {
            self.chain.strong = 0;
        } else if arrow_or_compound {
            // A shift operator nests like arithmetic.
            self.deepen();
        }
        self.position += if arrow_or_compound { 2 } else { 1 };
    }

    fn continuation(&mut self) -> Result<(), SyntaxProblem> {
        let start = self.position;
        self.position += 1;
        if self.position == self.bytes.len() {
            // The compiler adds the missing line end, then finds nothing after it.
            return Err(self.problem(start, start + 1, "unexpected EOF while parsing"));
        }
        if !self.eat_newline() {
            return Err(self.problem(
                start,
                start + 1,
                "unexpected character after line continuation character",
            ));
        }
        if self.position == self.bytes.len() {
            return Err(self.problem(start, start + 1, "unexpected EOF while parsing"));
        }
        Ok(())
    }

    /// Reads the white space that starts a line; true when the line holds no token.
    fn indentation(&mut self) -> Result<bool, SyntaxProblem> {
        let line_start = self.position;
        // Two widths, tab stops of 8 and of 1: indentation is consistent when both agree.
        let (mut column, mut narrow, mut continued) = (0usize, 0usize, 0usize);
        loop {
            match self.peek(0) {
                Some(b' ') => {
                    column += 1;
                    narrow += 1;
                }
                Some(b'\t') => {
                    column = (column / 8 + 1) * 8;
                    narrow += 1;
                }
                Some(0x0c) => (column, narrow) = (0, 0),
                Some(b'\\') => {
                    // The indentation of the first of the joined lines counts.
                    if continued == 0 {
                        continued = column;
                    }
                    self.continuation()?;
                    continue;
                }
                _ => break,
            }
            self.position += 1;
        }
        match self.peek(0) {
            None | Some(b'#' | b'\n' | b'\r') => return Ok(true),
            Some(_) if !self.brackets.is_empty() => return Ok(false),
            Some(_) => {}
        }
        if continued != 0 {
            (column, narrow) = (continued, continued);
        }
        let inconsistent = "inconsistent use of tabs and spaces in indentation";
        let (top, top_narrow) = self.indents.last().copied().unwrap_or_default();
        if column > top {
            if narrow <= top_narrow {
                return Err(self.problem(line_start, self.position, inconsistent));
            }
            if self.indents.len() >= MAX_INDENTATION {
                return Err(self.problem(
                    line_start,
                    self.position,
                    "too many levels of indentation",
                ));
            }
            self.indents.push((column, narrow));
            return Ok(false);
        }
        while self.indents.len() > 1 && self.indents.last().is_some_and(|top| column < top.0) {
            self.indents.pop();
        }
        let (top, top_narrow) = self.indents.last().copied().unwrap_or_default();
        if column != top {
            return Err(self.problem(
                line_start,
                self.position,
                "unindent does not match any outer indentation level",
            ));
        }
        if narrow != top_narrow {
            return Err(self.problem(line_start, self.position, inconsistent));
        }
        Ok(false)
    }

    fn word(&mut self) -> Result<(), SyntaxProblem> {
        let start = self.position;
        while self.peek(0).is_some_and(is_identifier_byte) {
            self.position += 1;
        }
        let word = &self.bytes[start..self.position];
        if word.len() <= 2 && matches!(self.peek(0), Some(b'\'' | b'"')) {
            let mut letters = [0u8; 2];
            letters[..word.len()].copy_from_slice(word);
            letters.make_ascii_lowercase();
            match letters {
                [b't', 0] if self.nesting => return self.string(start, true, false),
                [b't', b'r'] | [b'r', b't'] if self.nesting => {
                    return self.string(start, true, true);
                }
                [b'f', 0] => return self.string(start, true, false),
                [b'f', b'r'] | [b'r', b'f'] => return self.string(start, true, true),
                [b'r' | b'b' | b'u', 0] | [b'b', b'r'] | [b'r', b'b'] => {
                    return self.string(start, false, false);
                }
                _ => {}
            }
        }
        match word {
            b"lambda" | b"else" => {
                self.chain.weak += 1;
                self.chain.middle = 0;
                self.chain.strong = 0;
                self.note_depth();
            }
            b"not" => {
                self.chain.middle += 1;
                self.chain.strong = 0;
                self.note_depth();
            }
            b"and" | b"or" | b"if" => {
                self.chain.middle = 0;
                self.chain.strong = 0;
            }
            b"in" | b"is" => self.chain.strong = 0,
            b"await" | b"yield" | b"from" => self.deepen(),
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxProblem> {
        let start = self.position;
        let fraction = start > 0 && self.bytes[start - 1] == b'.';
        let mut digits = 0;
        while let Some(byte @ (b'0'..=b'9' | b'_')) = self.peek(0) {
            digits += usize::from(byte != b'_');
            self.position += 1;
        }
        let integer = !fraction && !matches!(self.peek(0), Some(b'.' | b'e' | b'E' | b'j' | b'J'));
        if integer && digits > MAX_INTEGER_DIGITS {
            return Err(self.problem(
                start,
                self.position,
                format!(
                    "Exceeds the limit ({MAX_INTEGER_DIGITS} digits) for integer string \
                     conversion: value has {digits} digits; consider hexadecimal for huge integer \
                     literals to avoid decimal conversion limits"
                ),
            ));
        }
        Ok(())
    }

    /// Reads the literal whose prefix starts at `start`, from its opening quote on.
    fn string(&mut self, start: usize, is_f: bool, raw: bool) -> Result<(), SyntaxProblem> {
        let quote = self.bytes[self.position];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        let content_start = self.position + width;
        self.position = content_start;
        if is_f && self.nesting {
            let base = self.brackets.len();
            let string = OpenString {
                start,
                quote,
                triple,
                raw,
                base,
            };
            self.strings.push(string);
            return self.literal(string);
        }
        loop {
            let rest = &self.bytes[self.position..];
            let found = if triple {
                memchr::memchr2(quote, b'\\', rest)
            } else {
                // Most literals are short: a plain loop beats a vectorised search.
                rest.iter()
                    .position(|byte| matches!(byte, b'\\' | b'\n' | b'\r') || *byte == quote)
            };
            let Some(ahead) = found else {
                self.position = self.bytes.len();
                return Err(self.unterminated(start, triple));
            };
            self.position += ahead;
            match self.bytes[self.position] {
                b'\\' => {
                    self.position += 1;
                    if !self.eat_newline() {
                        self.position = (self.position + 1).min(self.bytes.len());
                    }
                }
                b'\n' | b'\r' => return Err(self.unterminated(start, triple)),
                _ if triple && !(self.peek(1) == Some(quote) && self.peek(2) == Some(quote)) => {
                    self.position += 1;
                }
                _ => break,
            }
        }
        let content_end = self.position;
        self.position += width;
        if is_f {
            let end = self.position;
            self.fstrings.push(FStringToken {
                start,
                content_start,
                content_end,
                end,
                raw,
            });
        }
        Ok(())
    }

    /// Reads literal text of a nesting f-string up to its end or the next replacement field.
    fn literal(&mut self, string: OpenString) -> Result<(), SyntaxProblem> {
        while let Some(byte) = self.peek(0) {
            let in_specification = self.brackets.len() > string.base;
            let next = self.peek(1);
            match byte {
                b'\\' => {
                    self.position += 1;
                    if !string.raw && next == Some(b'N') && self.peek(1) == Some(b'{') {
                        let rest = &self.bytes[self.position..];
                        self.position += memchr::memchr(b'}', rest).map_or(1, |ahead| ahead + 1);
                    } else if !matches!(next, Some(b'{' | b'}')) && !self.eat_newline() {
                        self.position += 1;
                    }
                }
                b'\n' | b'\r' if !string.triple => {
                    return Err(self.unterminated(string.start, false));
                }
                b'{' if next == Some(b'{') && !in_specification => self.position += 2,
                b'{' => {
                    if self.brackets.len() - string.base >= MAX_FIELDS {
                        return Err(self.problem(
                            self.position,
                            self.position + 1,
                            "f-string: expressions nested too deeply",
                        ));
                    }
                    self.open(b'{')?;
                    if let Some(bracket) = self.brackets.last_mut() {
                        bracket.field = true;
                    }
                    return Ok(());
                }
                b'}' if in_specification => {
                    self.end_bracket();
                    self.position += 1;
                }
                byte if byte == string.quote
                    && (!string.triple || (next == Some(byte) && self.peek(2) == Some(byte))) =>
                {
                    self.position += if string.triple { 3 } else { 1 };
                    self.strings.pop();
                    return Ok(());
                }
                _ => self.position += 1,
            }
        }
        self.position = self.bytes.len();
        Err(self.unterminated(string.start, string.triple))
    }

    /// Leaves the innermost bracket.
    fn end_bracket(&mut self) -> Option<Bracket> {
        let open = self.brackets.pop()?;
        self.chain = open.outer;
        self.outer_depth -= open.outer.total();
        Some(open)
    }

    fn unterminated(&self, start: usize, triple: bool) -> SyntaxProblem {
        let kind = if triple {
            "triple-quoted string"
        } else {
            "string"
        };
        // At the end of the text the last line counts, not the empty one after its line end.
        let mut last = self.position;
        while last > start
            && last == self.bytes.len()
            && matches!(self.bytes[last - 1], b'\n' | b'\r')
        {
            last -= 1;
        }
        self.problem(
            start,
            last.max(start + 1),
            format!(
                "unterminated {kind} literal (detected at line {})",
                self.line_of(last)
            ),
        )
    }

    fn open(&mut self, byte: u8) -> Result<(), SyntaxProblem> {
        let offset = self.position;
        if self.brackets.len() >= MAX_BRACKETS {
            return Err(self.problem(offset, offset + 1, "too many nested parentheses"));
        }
        // Whether a call, a subscript or a display: one level more.
        self.deepen();
        self.brackets.push(Bracket {
            byte,
            offset,
            outer: self.chain,
            field: false,
        });
        self.outer_depth += self.chain.total();
        self.chain = Chain::default();
        self.position += 1;
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Result<(), SyntaxProblem> {
        let offset = self.position;
        let closing = char::from(byte);
        let Some(open) = self.end_bracket() else {
            return Err(self.problem(offset, offset + 1, format!("unmatched '{closing}'")));
        };
        if !matches!(
            (open.byte, byte),
            (b'(', b')') | (b'[', b']') | (b'{', b'}')
        ) {
            let (here, there) = (self.line_of(offset), self.line_of(open.offset));
            let place = if here == there {
                String::new()
            } else {
                format!(" on line {there}")
            };
            let opening = char::from(open.byte);
            return Err(self.problem(
                offset,
                offset + 1,
                format!(
                    "closing parenthesis '{closing}' does not match opening parenthesis \
                     '{opening}'{place}"
                ),
            ));
        }
        self.position += 1;
        match self.strings.last().copied() {
            Some(string) if open.field => self.literal(string),
            _ => Ok(()),
        }
    }
}
