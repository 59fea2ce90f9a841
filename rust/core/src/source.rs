//! Decoded text and the way from byte offsets to the lines and columns people read.

use std::ops::Range;

/// A byte range of a source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset just past the last byte.
    pub end: u32,
}

impl Span {
    /// The span between two byte offsets.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// As a range that indexes a string.
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place as people read it: line and column are 1-based, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// 1-based line.
    pub line: u32,
    /// 1-based column in characters of the decoded text.
    pub column: u32,
}

/// A decoded text with an index of its lines. Lines end at `\n`, `\r\n` or a lone `\r`.
#[derive(Debug)]
pub struct Source<'t> {
    text: &'t str,
    line_starts: Vec<u32>,
    ascii: bool,
}

impl<'t> Source<'t> {
    /// Indexes `text`, which must be shorter than 4 GiB (the scan refuses far smaller files).
    pub fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let mut line_starts = Vec::with_capacity(text.len() / 32 + 1);
        line_starts.push(0);
        for at in memchr::memchr2_iter(b'\n', b'\r', bytes) {
            let crlf = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
            if !crlf {
                line_starts.push(at as u32 + 1);
            }
        }
        Self {
            text,
            line_starts,
            ascii: text.is_ascii(),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The text of a span; empty when the span does not fall on character boundaries.
    pub fn slice(&self, span: Span) -> &'t str {
        self.text.get(span.range()).unwrap_or("")
    }

    /// How many lines the text has; a final line end does not open another line.
    pub fn line_count(&self) -> u32 {
        let lines = self.line_starts.len() as u32;
        let last = *self.line_starts.last().unwrap_or(&0) as usize;
        if last == self.text.len() {
            lines - 1
        } else {
            lines
        }
    }

    /// The 1-based line a byte offset lies in.
    pub fn line_of(&self, offset: u32) -> u32 {
        self.line_starts.partition_point(|&start| start <= offset) as u32
    }

    /// Byte offset at which a 1-based line starts; the text's end for a line past it.
    pub fn line_start(&self, line: u32) -> u32 {
        self.line_starts
            .get(line.saturating_sub(1) as usize)
            .copied()
            .unwrap_or(self.text.len() as u32)
    }

    /// The text of a 1-based line without its line end.
    pub fn line(&self, line: u32) -> &'t str {
        let span = Span::new(self.line_start(line), self.line_start(line + 1));
        self.slice(span).trim_end_matches(['\n', '\r'])
    }

    /// The place of a byte offset.
    pub fn position(&self, offset: u32) -> Position {
        let offset = offset.min(self.text.len() as u32);
        let line = self.line_of(offset);
        let start = self.line_start(line);
        let column = if self.ascii {
            offset - start
        } else {
            let before = &self.text.as_bytes()[start as usize..offset as usize];
            // Every character has exactly one byte that is not a UTF-8 continuation byte.
            before.iter().filter(|&&b| b & 0xC0 != 0x80).count() as u32
        };
        Position {
            line,
            column: column + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_of_every_line_end() {
        let source = Source::new("a\nb\r\nc\rd");
        assert_eq!(source.line_count(), 4);
        assert_eq!(
            (1..=4).map(|n| source.line(n)).collect::<Vec<_>>(),
            ["a", "b", "c", "d"]
        );
        assert_eq!(Source::new("a\n").line_count(), 1);
        assert_eq!(Source::new("").line_count(), 0);
    }

    #[test]
    fn columns_count_characters() {
        let source = Source::new("x\näö = 1\n");
        let at = source.text().find('=').map(|i| i as u32);
        assert_eq!(
            at.map(|i| source.position(i)),
            Some(Position { line: 2, column: 4 })
        );
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let source = Source::new("ab");
        assert_eq!(source.position(99), Position { line: 1, column: 3 });
    }
}
