//! The parts of a file that are written for people: comments and docstrings.

use super::FileContext;
use crate::source::Span;
use crate::syntax::kinds::Kind;

/// A comment without its `#`, or the inside of a string that stands as a statement of its own.
#[derive(Clone, Copy, Debug)]
pub struct Prose<'t> {
    /// What it says.
    pub text: &'t str,
    /// Byte offset of the text in the file.
    pub start: u32,
    /// Whether it is a comment.
    pub is_comment: bool,
}

impl Prose<'_> {
    /// The place of a byte range of the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.start + start as u32, self.start + end as u32)
    }
}

/// Every comment, then every docstring or other string statement.
///
/// In a file that is no Python only the comments are given: error recovery may take any text there
/// for a string statement.
pub fn prose<'t>(file: &FileContext<'t>) -> impl Iterator<Item = Prose<'t>> {
    let (source, tree) = (file.source, file.tree);
    let comments = tree.comments().iter().map(move |&span| {
        let whole = source.slice(span);
        let text = whole.trim_start_matches('#');
        Prose {
            text,
            start: span.start + (whole.len() - text.len()) as u32,
            is_comment: true,
        }
    });
    let strings = (file.accepted)
        .then(|| tree.descendants(tree.root()))
        .into_iter()
        .flatten()
        .filter_map(move |node| tree.string_statement(node))
        .flat_map(move |string| tree.descendants(string))
        .filter(move |&part| tree.kind(part) == Kind::StringContent)
        .map(move |part| Prose {
            text: tree.text_of(part),
            start: tree.span(part).start,
            is_comment: false,
        });
    comments.chain(strings)
}

/// Whether a comment has its line to itself.
pub fn stands_alone(file: &FileContext<'_>, comment: Span) -> bool {
    let line = file.source.line_of(comment.start);
    let before = Span::new(file.source.line_start(line), comment.start);
    file.source.slice(before).trim().is_empty()
}

/// What comes after a comment that has its line to itself: the next line of code when it belongs to
/// the same block, `None` when the block or the file ends there.
pub fn code_after<'t>(file: &FileContext<'t>, comment: Span) -> Option<&'t str> {
    let line = file.source.line_of(comment.start);
    let indent = comment.start - file.source.line_start(line);
    (line + 1..=file.source.line_count())
        .map(|n| file.source.line(n))
        .find(|text| {
            let text = text.trim_start();
            !text.is_empty() && !text.starts_with('#')
        })
        .filter(|text| (text.len() - text.trim_start().len()) as u32 >= indent)
        .map(str::trim)
}
