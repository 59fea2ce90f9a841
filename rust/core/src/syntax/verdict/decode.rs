//! From the bytes of a file to text, as the compiler reads them (PEP 263).

use std::borrow::Cow;

/// Source text and what its bytes said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text, without a byte order mark.
    pub text: Cow<'a, str>,
    /// Whether a UTF-8 byte order mark came first.
    pub bom: bool,
}

/// Why bytes are no source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Not text in the declared encoding, or in UTF-8 when none is declared.
    Invalid {
        /// Byte offset of the first byte that cannot be decoded.
        offset: usize,
        /// What is wrong, in a sentence.
        message: String,
    },
    /// A declared encoding that is neither UTF-8, Latin-1 nor ASCII; CPython may know it.
    Unknown {
        /// The name as declared.
        encoding: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Decodes `bytes` by their byte order mark and encoding comment, UTF-8 without either.
///
/// # Errors
///
/// [`DecodeError::Invalid`] when CPython refuses the bytes too, [`DecodeError::Unknown`] for an
/// encoding that is not decoded here.
pub fn decode(bytes: &[u8]) -> Result<Decoded<'_>, DecodeError> {
    let bom = bytes.starts_with(BOM);
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let skipped = bytes.len() - body.len();
    let (encoding, declared) = match declared_encoding(body) {
        None => (Encoding::Utf8, None),
        Some(name) => match known_encoding(&name) {
            Some(encoding) => (encoding, Some(name)),
            None => return Err(DecodeError::Unknown { encoding: name }),
        },
    };
    // With a mark the name must be UTF-8 as CPython spells it; `utf8` is another name to it.
    let normal = declared
        .as_deref()
        .map(|name| name.to_ascii_lowercase().replace('_', "-"));
    if bom && normal.is_some_and(|name| name != "utf-8" && !name.starts_with("utf-8-")) {
        return Err(DecodeError::Invalid {
            offset: 0,
            message: format!(
                "encoding problem: {} with BOM",
                declared.unwrap_or_default()
            ),
        });
    }
    let text = match encoding {
        Encoding::Utf8 => match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => match repaired(body) {
                Ok(text) => Cow::Owned(text),
                Err(offset) => {
                    let byte = body[offset];
                    return Err(DecodeError::Invalid {
                        offset: skipped + offset,
                        message: match declared {
                            None => format!(
                                "Non-UTF-8 code starting with '\\x{byte:02x}', but no encoding \
                                 declared"
                            ),
                            Some(_) => format!(
                                "(unicode error) 'utf-8' codec can't decode byte 0x{byte:02x}"
                            ),
                        },
                    });
                }
            },
        },
        Encoding::Ascii => match body.iter().position(|byte| !byte.is_ascii()) {
            Some(offset) => {
                return Err(DecodeError::Invalid {
                    offset: skipped + offset,
                    message: format!(
                        "(unicode error) 'ascii' codec can't decode byte 0x{:02x}",
                        body[offset]
                    ),
                });
            }
            None => String::from_utf8_lossy(body),
        },
        Encoding::Latin1 => Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect()),
    };
    Ok(Decoded { text, bom })
}

/// The text with `?` for every byte that is not UTF-8, when all of these are in comments.
///
/// An imported module is compiled from its bytes in memory, where CPython decodes names and
/// strings but never comments. (A script given by path is decoded whole and refused.)
///
/// # Errors
///
/// The offset of the first undecodable byte outside a comment.
fn repaired(body: &[u8]) -> Result<String, usize> {
    let mut text = String::with_capacity(body.len());
    let mut bad = Vec::new();
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        bad.extend(text.len()..text.len() + chunk.invalid().len());
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    let comments = super::scan::scan(&text, false).comments;
    let outside = bad.iter().find(|offset| {
        let next = comments.partition_point(|comment| comment.end <= **offset);
        comments
            .get(next)
            .is_none_or(|comment| !comment.contains(offset))
    });
    match outside {
        Some(offset) => Err(*offset),
        None => Ok(text),
    }
}

/// The encoding named by a comment in the first two lines; the second counts only when the first
/// is blank or a comment too.
fn declared_encoding(body: &[u8]) -> Option<String> {
    let mut lines = body.split(|byte| matches!(byte, b'\n' | b'\r'));
    let first = lines.next()?;
    if let Some(name) = encoding_comment(first) {
        return Some(name);
    }
    let blank = |line: &[u8]| {
        line.iter()
            .find(|byte| !matches!(byte, b' ' | b'\t' | 0x0c))
            .is_none_or(|byte| *byte == b'#')
    };
    if !blank(first) {
        return None;
    }
    let crlf = body.get(first.len()) == Some(&b'\r') && body.get(first.len() + 1) == Some(&b'\n');
    if crlf {
        lines.next();
    }
    encoding_comment(lines.next()?)
}

/// `^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)` of PEP 263.
fn encoding_comment(line: &[u8]) -> Option<String> {
    let start = line
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | 0x0c))?;
    let mut comment = line[start..].strip_prefix(b"#")?;
    loop {
        let at = memchr::memmem::find(comment, b"coding")?;
        comment = &comment[at + b"coding".len()..];
        let Some((b':' | b'=', rest)) = comment.split_first() else {
            continue;
        };
        let skip = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let name: String = rest[skip..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            .map(|byte| char::from(*byte))
            .collect();
        if !name.is_empty() {
            return Some(name);
        }
    }
}

fn known_encoding(name: &str) -> Option<Encoding> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let is = |base: &str| name == base || name.starts_with(&format!("{base}-"));
    if is("utf-8") || name == "utf8" || name == "u8" || name == "cp65001" {
        return Some(Encoding::Utf8);
    }
    if is("latin-1") || is("iso-8859-1") || is("iso-latin-1") {
        return Some(Encoding::Latin1);
    }
    match name.as_str() {
        "latin1" | "latin" | "l1" | "iso8859-1" | "8859" | "cp819" => Some(Encoding::Latin1),
        "ascii" | "us-ascii" | "646" => Some(Encoding::Ascii),
        _ => None,
    }
}
