"""Seeded damage to Python sources, of the kinds that editing and truncated generation cause."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_TOKEN = re.compile(
    rb"[A-Za-z_][A-Za-z_0-9]*|[0-9][0-9a-zA-Z_.]*|\"\"\"|'''|[ \t]+|\r?\n|"
    rb"[-+*/%@&|^=<>!:]=|\*\*|->|."
)
_WORDS = (
    b"and as assert async await break class continue def del elif else except finally for from "
    b"global if import in is lambda nonlocal not or pass raise return try while with yield None "
    b"True False match case type print _ __debug__ x"
).split()
_BITS = [
    *(
        b'( ) [ ] { } : ; , . = == := -> * ** @ ~ ! \\ \' " """ # $ ? ` 0 1_ 0x 1e f"'
        b" f' rb' {x} {{ }}"
    ).split(),
    *(
        b"\\N{SPACE} \\x4 \\u12 *a, **k *, /, :=1 =1 await async nonlocal global yield return"
    ).split(),
    b"\n",
    b"\t",
    b" ",
    b"    ",
    b"\r",
    b"\x0c",
    b"\\\n",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\x00",
    b"!r}",
]


def _tokens(source: bytes) -> list[bytes]:
    return _TOKEN.findall(source)


def _window(source: bytes, rng: random.Random) -> bytes:
    """Some hundred lines, cut at line ends, so that one mutant costs little."""
    if len(source) < 4000:
        return source
    lines = source.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    starts = [i for i in range(start, len(lines)) if lines[i][:1].isalpha() or lines[i][:1] == b"@"]
    start = starts[0] if starts else 0
    return b"".join(lines[start : start + rng.randrange(5, 80)])


def _delete_token(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    del tokens[rng.randrange(len(tokens))]
    return b"".join(tokens)


def _duplicate_token(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    at = rng.randrange(len(tokens))
    tokens.insert(at, tokens[at])
    return b"".join(tokens)


def _swap_tokens(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    a, b = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    if rng.random() < 0.5:
        b = min(a + 1 + rng.randrange(3), len(tokens) - 1)
    tokens[a], tokens[b] = tokens[b], tokens[a]
    return b"".join(tokens)


def _delete_byte(source: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(source))
    return source[:at] + source[at + 1 :]


def _insert_bit(source: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(source))
    return source[:at] + rng.choice(_BITS) + source[at:]


def _insert_word(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    tokens.insert(rng.randrange(len(tokens)), b" " + rng.choice(_WORDS) + b" ")
    return b"".join(tokens)


def _replace_word(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    words = [i for i, token in enumerate(tokens) if token[:1].isalpha() or token[:1] == b"_"]
    if words:
        tokens[rng.choice(words)] = rng.choice(_WORDS)
    return b"".join(tokens)


def _replace_token(source: bytes, rng: random.Random) -> bytes:
    tokens = _tokens(source)
    tokens[rng.randrange(len(tokens))] = rng.choice(tokens)
    return b"".join(tokens)


def _truncate(source: bytes, rng: random.Random) -> bytes:
    return source[: rng.randrange(len(source))]


def _delete_line(source: bytes, rng: random.Random) -> bytes:
    lines = source.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _swap_lines(source: bytes, rng: random.Random) -> bytes:
    lines = source.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def _indent(source: bytes, rng: random.Random) -> bytes:
    lines = source.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    change = rng.choice([b" ", b"    ", b"\t", b"  ", b""])
    lines[at] = change + (lines[at].lstrip(b" ") if rng.random() < 0.5 else lines[at])
    return b"".join(lines)


def _join_lines(source: bytes, rng: random.Random) -> bytes:
    at = source.find(b"\n", rng.randrange(len(source)))
    return (
        source
        if at < 0
        else source[:at] + rng.choice([b"", b" ", b";", b"\\\n"]) + source[at + 1 :]
    )


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "delete token": _delete_token,
    "duplicate token": _duplicate_token,
    "swap tokens": _swap_tokens,
    "delete byte": _delete_byte,
    "insert bit": _insert_bit,
    "insert word": _insert_word,
    "replace word": _replace_word,
    "replace token": _replace_token,
    "truncate": _truncate,
    "delete line": _delete_line,
    "swap lines": _swap_lines,
    "indent": _indent,
    "join lines": _join_lines,
}


def mutant(source: bytes, seed: int) -> tuple[str, bytes]:
    """A damaged excerpt of ``source`` and the name of the damage; the same for the same seed."""
    rng = random.Random(seed)
    name = rng.choice(list(MUTATIONS))
    text = _window(source, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if text:
            text = MUTATIONS[name](text, rng)
            name = name if rng.random() < 0.6 else rng.choice(list(MUTATIONS))
    return name, text
