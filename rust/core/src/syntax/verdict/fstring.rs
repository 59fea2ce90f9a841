//! f-strings as versions before 3.12 read them.
//!
//! There an f-string is an ordinary string literal whose replacement fields are found by a second,
//! simpler scan (`fstring_find_expr` in CPython 3.11's `Parser/string_parser.c`) and compiled one
//! by one inside parentheses. Parsing by the rules of 3.12 and reporting the differences cannot be
//! exact, so this module does what 3.11 does: it gives the fields back as text, and the caller
//! parses them.

use super::SyntaxProblem;
use super::scan::FStringToken;

/// Brackets open at one time inside a replacement field.
const MAX_BRACKETS: usize = 200;

/// The text of one replacement field's expression, as byte offsets into the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub start: usize,
    pub end: usize,
}

/// The expressions of `token`'s replacement fields in order of evaluation, those of format
/// specifications included, or the first error.
pub(super) fn fields(
    source: &str,
    token: FStringToken,
    found: &mut Vec<Field>,
) -> Result<(), SyntaxProblem> {
    let mut reader = Reader {
        bytes: &source.as_bytes()[..token.content_end],
        position: token.content_start,
        token,
        found,
    };
    reader.parts(0)?;
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    token: FStringToken,
    found: &'a mut Vec<Field>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// The error is placed at the literal: so does CPython, which has lost finer positions here.
    fn problem(&self, message: impl Into<String>) -> SyntaxProblem {
        SyntaxProblem {
            start: self.token.start,
            end: self.token.end,
            message: format!("f-string: {}", message.into()),
        }
    }

    /// Literal text and replacement fields in turn, to the end of the literal or, inside a format
    /// specification (`level` 1), to its closing brace.
    fn parts(&mut self, level: usize) -> Result<(), SyntaxProblem> {
        loop {
            let start = self.position;
            let doubled = self.literal(level)?;
            if !self.token.raw {
                let end = self.position - usize::from(doubled);
                check_escapes(self.bytes, start, end, self.token)?;
            }
            if doubled {
                continue;
            }
            match self.peek() {
                None => break,
                Some(b'}') => break,
                Some(_) => self.field(level)?,
            }
        }
        if level > 0 && self.peek() != Some(b'}') {
            return Err(self.problem("expecting '}'"));
        }
        Ok(())
    }

    /// Moves to the next single brace or the end; true when it stopped after a doubled brace.
    fn literal(&mut self, level: usize) -> Result<bool, SyntaxProblem> {
        while let Some(mut byte) = self.peek() {
            self.position += 1;
            if byte == b'\\' && !self.token.raw {
                let Some(escaped) = self.peek() else { break };
                self.position += 1;
                if escaped == b'N' {
                    if self.peek() == Some(b'{') {
                        let rest = &self.bytes[self.position..];
                        self.position +=
                            memchr::memchr(b'}', rest).map_or(rest.len(), |ahead| ahead + 1);
                    }
                    continue;
                }
                byte = escaped;
            }
            if byte == b'{' || byte == b'}' {
                if level == 0 {
                    if self.peek() == Some(byte) {
                        self.position += 1;
                        return Ok(true);
                    }
                    if byte == b'}' {
                        return Err(self.problem("single '}' is not allowed"));
                    }
                }
                self.position -= 1;
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn field(&mut self, level: usize) -> Result<(), SyntaxProblem> {
        if level >= 2 {
            return Err(self.problem("expressions nested too deeply"));
        }
        self.position += 1;
        let start = self.position;
        self.expression_end()?;
        if self.peek().is_none() {
            return Err(self.problem("expecting '}'"));
        }
        let text = &self.bytes[start..self.position];
        if text
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c))
        {
            return Err(self.problem("empty expression not allowed"));
        }
        self.found.push(Field {
            start,
            end: self.position,
        });
        if self.peek() == Some(b'=') {
            self.position += 1;
            while self
                .peek()
                .is_some_and(|byte| byte.is_ascii_whitespace() || byte == 0x0b)
            {
                self.position += 1;
            }
        }
        if self.peek() == Some(b'!') {
            self.position += 1;
            let conversion = self.peek();
            if conversion.is_none() {
                return Err(self.problem("expecting '}'"));
            }
            if !matches!(conversion, Some(b's' | b'r' | b'a')) {
                return Err(self.problem("invalid conversion character: expected 's', 'r', or 'a'"));
            }
            self.position += 1;
        }
        if self.peek() == Some(b':') {
            self.position += 1;
            if self.peek().is_none() {
                return Err(self.problem("expecting '}'"));
            }
            self.parts(level + 1)?;
        }
        if self.peek() != Some(b'}') {
            return Err(self.problem("expecting '}'"));
        }
        self.position += 1;
        Ok(())
    }

    /// Moves to what ends the expression: `!`, `:`, `=` or `}` outside brackets and quotes.
    fn expression_end(&mut self) -> Result<(), SyntaxProblem> {
        let mut open: Vec<u8> = Vec::new();
        let mut quote: Option<(u8, usize)> = None;
        while let Some(byte) = self.peek() {
            if byte == b'\\' {
                return Err(self.problem("expression part cannot include a backslash"));
            }
            let tripled =
                |reader: &Self| reader.bytes[reader.position..].starts_with(&[byte, byte, byte]);
            if let Some((mark, width)) = quote {
                if byte == mark && (width == 1 || tripled(self)) {
                    self.position += width - 1;
                    quote = None;
                }
                self.position += 1;
                continue;
            }
            match byte {
                b'\'' | b'"' => {
                    let width = if tripled(self) { 3 } else { 1 };
                    self.position += width - 1;
                    quote = Some((byte, width));
                }
                b'(' | b'[' | b'{' => {
                    if open.len() >= MAX_BRACKETS {
                        return Err(self.problem("too many nested parenthesis"));
                    }
                    open.push(byte);
                }
                b'#' => return Err(self.problem("expression part cannot include '#'")),
                b'!' | b':' | b'}' | b'=' | b'<' | b'>' if open.is_empty() => {
                    let next = self.bytes.get(self.position + 1).copied();
                    if matches!(byte, b'!' | b'=' | b'<' | b'>') && next == Some(b'=') {
                        self.position += 1;
                    } else if !matches!(byte, b'<' | b'>') {
                        break;
                    }
                }
                b')' | b']' | b'}' => {
                    let closing = char::from(byte);
                    let Some(opening) = open.pop() else {
                        return Err(self.problem(format!("unmatched '{closing}'")));
                    };
                    if !matches!((opening, byte), (b'(', b')') | (b'[', b']') | (b'{', b'}')) {
                        return Err(self.problem(format!(
                            "closing parenthesis '{closing}' does not match opening parenthesis \
                             '{}'",
                            char::from(opening)
                        )));
                    }
                }
                _ => {}
            }
            self.position += 1;
        }
        if quote.is_some() {
            return Err(self.problem("unterminated string"));
        }
        if let Some(opening) = open.last() {
            return Err(self.problem(format!("unmatched '{}'", char::from(*opening))));
        }
        Ok(())
    }
}

/// Checks the escapes of a stretch of literal text as `unicode-escape` decoding does.
fn check_escapes(
    bytes: &[u8],
    start: usize,
    end: usize,
    token: FStringToken,
) -> Result<(), SyntaxProblem> {
    let problem = |message: &str| {
        Err(SyntaxProblem {
            start: token.start,
            end: token.end,
            message: format!("(unicode error) 'unicodeescape' codec can't decode bytes: {message}"),
        })
    };
    let text = &bytes[start..end];
    let mut position = 0;
    while let Some(ahead) = memchr::memchr(b'\\', &text[position..]) {
        position += ahead + 2;
        // A backslash right before a replacement field stands for itself.
        let Some(kind) = text.get(position - 1) else {
            break;
        };
        let width = match kind {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b'N' => {
                let name = text.get(position..).and_then(|rest| {
                    let rest = rest.strip_prefix(b"{")?;
                    let length = memchr::memchr(b'}', rest)?;
                    std::str::from_utf8(&rest[..length]).ok()
                });
                let Some(name) = name.filter(|name| !name.is_empty()) else {
                    return problem("malformed \\N character escape");
                };
                if unicode_names2::character(name).is_none() {
                    return problem("unknown Unicode character name");
                }
                continue;
            }
            _ => continue,
        };
        let digits = text.get(position..position + width);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match value {
            None => {
                return problem(match width {
                    2 => "truncated \\xXX escape",
                    4 => "truncated \\uXXXX escape",
                    _ => "truncated \\UXXXXXXXX escape",
                });
            }
            Some(value) if value > 0x10_FFFF => return problem("illegal Unicode character"),
            Some(_) => {}
        }
    }
    Ok(())
}
