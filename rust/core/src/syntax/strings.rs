//! What the escapes of a string literal stand for.

/// Resolves the escapes of a plain (not raw, not bytes) literal's inner text.
///
/// An escape that Python would not accept is left as it stands: the syntax verdict speaks of it.
/// Named characters (`\N{…}`) are left as well; no rule needs them.
pub(crate) fn unescape(inner: &str) -> String {
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let Some(first) = after.chars().next() else {
            out.push('\\');
            return out;
        };
        let mut used = first.len_utf8();
        match first {
            '\n' => {}
            '\r' => used += usize::from(after[1..].starts_with('\n')),
            '\\' | '\'' | '"' => out.push(first),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' | 'u' | 'U' => {
                let width = match first {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let decoded = after
                    .get(1..=width)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match decoded {
                    Some(c) => {
                        out.push(c);
                        used += width;
                    }
                    None => out.extend(['\\', first]),
                }
            }
            '0'..='7' => {
                let digits = after
                    .bytes()
                    .take(3)
                    .take_while(|b| (b'0'..=b'7').contains(b))
                    .count();
                let code = u32::from_str_radix(&after[..digits], 8).ok();
                out.extend(code.and_then(char::from_u32));
                used = digits;
            }
            other => out.extend(['\\', other]),
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes() {
        for (inner, value) in [
            (r"a\nb", "a\nb"),
            (r"\x41\u00e4\101", "AäA"),
            (r"\q\", r"\q\"),
            ("one\\\n two", "one two"),
            (r"\xZZ", r"\xZZ"),
            (r"\\n", r"\n"),
        ] {
            assert_eq!(unescape(inner), value, "{inner}");
        }
    }
}
