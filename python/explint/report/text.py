"""Makes text from audited code safe to print, and measures it in terminal cells.

A package chooses its own file names, identifiers and source lines, so any of them may hold escape
sequences, line breaks, bidirectional overrides or invisible characters. Whatever a terminal or a
log would act on instead of showing is replaced by its Python escape (``\\x1b``, ``\\u202e``).

The runner of GitHub Actions also acts on ordinary characters: on a line that begins with
``::command``, spaces aside, and on ``##[command]`` anywhere (actions/runner, ``ActionCommand``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from explint.regex import regex

GLUE = "\0"
"""Stands in printable text for a space that ``wrap`` does not break at.

Printable text has no control characters of its own, so nothing can be mistaken for it.
"""

TAB = 4
"""Cells between two tab stops in a code frame."""

_COMMAND = regex("::(?=[A-Za-z])")
_LINE_BREAKS = regex(r"\s*[\r\n]+\s*")
_JSON_UNSAFE = regex("[\x80-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_NON_ASCII = regex(r"[^\x00-\x7f]")


def escape(char: str) -> str:
    """The Python escape of one character."""
    code = ord(char)
    if code < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _inert(char: str) -> bool:
    """Whether a terminal shows the character as a glyph and does nothing else.

    Format characters (category Cf: bidirectional and zero-width ones) are not, nor are unassigned
    and private ones, whose width no terminal agrees on.
    """
    category = unicodedata.category(char)
    return category[0] != "C" and category not in ("Zl", "Zp")


def glyphs(text: str, unicode: bool = True) -> list[str]:
    """What is printed for each character of a line: itself, or its escape."""
    out = [
        char if " " <= char <= "~" or (unicode and _inert(char)) else escape(char) for char in text
    ]
    at = text.find("##[")
    while at >= 0:
        out[at + 2] = escape("[")
        at = text.find("##[", at + 3)
    return out


def printable(text: str, unicode: bool = True) -> str:
    """The text on one line, with everything escaped that is not a visible glyph.

    It is safe at the beginning of a line too; ``glyphs`` is not, and leaves more as it is.
    """
    if text.isascii() and text.isprintable() and "::" not in text and "##[" not in text:
        return text
    return _COMMAND.sub(r":\\x3a", "".join(glyphs(text, unicode)))


def sentence(text: str, unicode: bool = True) -> str:
    """A message on one line: line breaks in it become spaces, the rest as ``printable``."""
    return printable(_LINE_BREAKS.sub(" ", text.strip()), unicode)


def char_cells(char: str) -> int:
    """The cells of one printable character: 0 for combining marks, 2 for East-Asian wide ones."""
    if char < "\u0300":
        return 1
    if unicodedata.category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """The cells a printable text takes."""
    return len(text) if text.isascii() else sum(char_cells(c) for c in text)


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word cut so that no piece is wider than ``width`` cells."""
    start = used = 0
    for i, char in enumerate(word):
        size = char_cells(char)
        if used + size > width:
            yield word[start:i]
            start, used = i, 0
        used += size
    yield word[start:]


def wrap(text: str, width: int, first: int | None = None) -> list[str]:
    """Breaks printable text at spaces into lines of at most ``width`` cells.

    ``first`` is the width of the first line when it differs. A word wider than a line is cut.
    Runs of spaces collapse where a line breaks and nowhere else.
    """
    lines: list[str] = []
    line, used = "", 0
    limit = width if first is None else first
    for match in re.finditer(r"( *)([^ ]+)", text):
        gap, word = match.groups()
        size = cells(word)
        if line and used + len(gap) + size <= limit:
            line, used = line + gap + word, used + len(gap) + size
            continue
        if line or limit < size <= width:
            lines.append(line)
            limit = width
        if size > limit:
            *full, word = _pieces(word, limit)
            lines.extend(full)
            limit, size = width, cells(word)
        line, used = word, size
    if line or not lines:
        lines.append(line)
    return [line.replace(GLUE, " ").rstrip(" ") for line in lines]


def cut(text: str, width: int, ellipsis: str) -> str:
    """Printable text, shortened to ``width`` cells with an ellipsis at its end where needed."""
    if cells(text) <= width:
        return text
    kept = next(_pieces(text, max(width - cells(ellipsis), 1)))
    return kept + ellipsis


def scalar(text: str) -> str:
    """The text without lone surrogates, which stand for undecodable bytes in file names.

    No encoder takes them, so they become their escapes (``\\udcff``).
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def safe_json(document: str, unicode: bool) -> str:
    """A JSON document with the same values that a terminal can show without acting on it.

    JSON itself leaves DEL, C1 controls and bidirectional overrides as they are. They stand only
    inside strings, so each can be replaced by its JSON escape; with ``unicode`` false all
    characters beyond ASCII are.
    """
    document = document.replace("##[", "##\\u005b").replace("\x7f", "\\u007f")
    if document.isascii():
        return document
    return (_JSON_UNSAFE if unicode else _NON_ASCII).sub(_json_escape, document)
