"""Code as JSON: keys such as ``train_py``, whole or what is left of them after a cut."""

from __future__ import annotations

import json
import re

import msgspec

from explint.regex import regex

_KEY = r"[A-Za-z][A-Za-z0-9_]*_(?:py|yaml|yml|toml)|[Dd]ockerfile"
_CODE_KEY = regex(_KEY)

# Where the object starts: an opening brace whose first key is a code key.
CODE_OBJECT = regex(rf'\{{\s*"(?:{_KEY})"\s*:')

# A key with a string behind it. Quotes inside a JSON string are escaped, so this cannot match
# inside an intact one.
_MEMBER = regex(rf'[{{,]\s*"({_KEY})"\s*:\s*"')
_STRING_BODY = regex(r'(?:[^"\\]|\\.)*', re.DOTALL)
_CUT_ESCAPE = regex(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?\Z")

# The marks that tools leave where they cut text: `… truncated 512 characters …`,
# `< truncated 512 characters >`, `... [512 chars truncated] ...`. A number is required, so that
# code which prints such a mark by a format string is not taken for one.
TRUNCATION_MARK = regex(
    r"(?:[<\[(…]|\.\.\.)[ \t]*(?:truncated[ \t]+[0-9][0-9,_]*[ \t]+(?:more[ \t]+)?char(?:acter)?s?"
    r"|[0-9][0-9,_]*[ \t]+(?:more[ \t]+)?char(?:acter)?s?[ \t]+truncated)[ \t]*(?:[>\])…]|\.\.\.)",
    re.IGNORECASE,
)


class Text(msgspec.Struct, frozen=True):
    """A file's text as JSON gave it; ``truncated`` when it ends where text was cut out."""

    text: str
    truncated: bool = False


class Code(msgspec.Struct, frozen=True):
    """The code of one package by JSON key.

    ``end`` is where the object ends in the text it was read from. ``broken`` says that the object
    was incomplete, so that keys which are not there may have been. ``other_keys`` are those that
    name no file.
    """

    texts: dict[str, Text]
    end: int
    broken: bool = False
    other_keys: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()


def is_code_key(key: str) -> bool:
    """Whether a JSON key names a file, as ``train_py`` does."""
    return _CODE_KEY.fullmatch(key) is not None


def path_of_key(key: str) -> str:
    """The file a code key stands for: ``train_py`` is ``src/train.py``, ``config_yaml`` is
    ``config/config.yaml``, ``pyproject_toml`` is at the top."""
    if key.lower() == "dockerfile":
        return "Dockerfile"
    stem, _, suffix = key.rpartition("_")
    folder = {"py": "src/", "yaml": "config/", "yml": "config/"}.get(suffix, "")
    return f"{folder}{stem}.{suffix}"


def parse_json(text: str) -> tuple[object, list[str]]:
    """A JSON document and the keys that occur twice in one object (the last one counts).

    Raises ValueError with a message for people.
    """
    duplicates: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_collector(duplicates), strict=False)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value, list(dict.fromkeys(duplicates))


def _collector(duplicates: list[str]) -> _PairsHook:
    return _PairsHook(duplicates)


class _PairsHook(msgspec.Struct, frozen=True):
    duplicates: list[str]

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.duplicates.append(key)
                seen.add(key)
        return found


def decode_code(text: str, start: int, end: int) -> Code:
    """The code object that starts at ``start``; what is broken is salvaged up to ``end``.

    A value ends at the first truncation mark in it: what follows may belong to another file.
    """
    duplicates: list[str] = []
    # A raw line break in a string is invalid JSON, but it is how a truncation mark is put in.
    decoder = json.JSONDecoder(object_pairs_hook=_collector(duplicates), strict=False)
    try:
        value, stop = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _salvage(text, start, end)
    if not isinstance(value, dict):
        return _salvage(text, start, end)
    texts: dict[str, Text] = {}
    other = []
    for key, content in value.items():
        if is_code_key(key) and (content is None or isinstance(content, str)):
            texts[key] = cut_at_mark(content or "")
        else:
            other.append(key)
    broken = any(t.truncated for t in texts.values()) or any(
        TRUNCATION_MARK.search(key) for key in other
    )
    return Code(texts, stop, broken, tuple(other), tuple(dict.fromkeys(duplicates)))


def cut_at_mark(content: str) -> Text:
    """The content up to and with the first truncation mark."""
    mark = TRUNCATION_MARK.search(content)
    return Text(content) if mark is None else Text(content[: mark.end()], truncated=True)


def _salvage(text: str, start: int, end: int) -> Code:
    texts: dict[str, Text] = {}
    duplicates = []
    stop = at = start
    while (member := _MEMBER.search(text, at, end)) is not None:
        key = member[1]
        if key in texts:
            duplicates.append(key)
        at = member.end()
        body = _STRING_BODY.match(text, at, end)
        stop = body.end() if body is not None else at
        mark = TRUNCATION_MARK.search(text, at, stop)
        if mark is not None:
            head = _decode_string(text[at : mark.start()])
            texts[key] = Text(head + mark[0], truncated=True)
            stop = mark.end()
        else:
            closed = stop < end and text[stop] == '"'
            texts[key] = Text(_decode_string(text[at:stop]), truncated=not closed)
        at = stop
    return Code(texts, stop, broken=True, duplicates=tuple(dict.fromkeys(duplicates)))


def _decode_string(body: str) -> str:
    """The characters of a JSON string body, without an escape that the cut left in two."""
    body = _CUT_ESCAPE.sub(r"\1", body)
    try:
        decoded = json.loads(f'"{body}"', strict=False)
    except ValueError:
        return _decode_leniently(body)
    return decoded if isinstance(decoded, str) else body


_ESCAPE = regex(r"\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]")


def _decode_leniently(body: str) -> str:
    """Decodes the valid escapes and keeps invalid ones as they stand."""
    return _ESCAPE.sub(lambda m: str(json.loads(f'"{m[0]}"')), body)


def encode_text(text: str) -> bytes:
    """UTF-8. A lone surrogate, which no UTF-8 text can hold, gives the byte it stands for in a
    text decoded with ``surrogateescape``, or else bytes that are not UTF-8: the file is then
    reported as such."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass")
