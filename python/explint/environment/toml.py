"""TOML as uv reads it (version 1.1), with the place of every key and value."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import msgspec
import tomli

from explint.compose.yaml import Mark

Path = tuple[str | int, ...]
"""Keys and indices of lists from the root of the document."""

MAX_CHARACTERS = 1_000_000
"""No pyproject.toml is longer; a longer text is not read."""

_BLANK = " \t"
_SPACE = " \t\r\n"
_ENDS_PLAIN = ",]}#\r\n"


class TomlProblem(msgspec.Struct, frozen=True):
    """Why a text is not TOML, and where (1-based, in characters)."""

    line: int
    column: int
    message: str


class TomlDocument:
    """A document: its plain Python value and, on demand, the places of its parts."""

    def __init__(self, value: dict[str, Any], text: str) -> None:
        self.value = value
        self._text = text

    def key_at(self, path: Path) -> Mark | None:
        """The place of a key, or of the header that opens a table."""
        return self._places[0].get(path)

    def at(self, path: Path) -> Mark | None:
        """The place of a value; a table's is its key's or its header's."""
        keys, values = self._places
        return values.get(path) or keys.get(path)

    @cached_property
    def _places(self) -> tuple[dict[Path, Mark], dict[Path, Mark]]:
        return _Places(self._text).read()


def load_toml(text: str) -> TomlDocument | TomlProblem:
    """Reads a document. Nesting beyond what the parser bears is a problem, not an error."""
    if len(text) > MAX_CHARACTERS:
        return TomlProblem(1, 1, f"the file is longer than {MAX_CHARACTERS:,} characters")
    try:
        value = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        return TomlProblem(error.lineno, error.colno, error.msg[:1].lower() + error.msg[1:])
    except RecursionError:
        return TomlProblem(1, 1, "the values are nested too deeply")
    except ValueError:
        # An integer of thousands of digits, which Python refuses to convert.
        return TomlProblem(1, 1, "a number is too long")
    return TomlDocument(value, text)


class _Places:
    """Walks a text that is known to be valid TOML and notes where keys and values stand."""

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\ufeff")
        self._at = 0
        self._keys: dict[Path, Mark] = {}
        self._values: dict[Path, Mark] = {}
        self._tables_seen: dict[Path, int] = {}
        self._starts = [0]
        self._starts += [i + 1 for i, c in enumerate(self._text) if c == "\n"]

    def read(self) -> tuple[dict[Path, Mark], dict[Path, Mark]]:
        """The places of keys (and table headers) and of values."""
        table: Path = ()
        while self._skip():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._keys, self._values

    def _header(self) -> Path:
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        parts = [part for part, _, _ in self._key()]
        self._at += 2 if many else 1
        path: Path = ()
        for index, part in enumerate(parts):
            path = (*path, part)
            if many and index == len(parts) - 1:
                count = self._tables_seen.get(path, 0)
                self._tables_seen[path] = count + 1
                self._keys.setdefault(path, self._mark(start, self._at))
                path = (*path, count)
            elif path in self._tables_seen:
                path = (*path, self._tables_seen[path] - 1)
        mark = self._mark(start, self._at)
        self._keys[path] = mark
        for length in range(1, len(path)):
            self._keys.setdefault(path[:length], mark)
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for part, start, end in self._key():
            path = (*path, part)
            self._keys.setdefault(path, self._mark(start, end))
        self._blank()
        self._at += 1
        self._blank()
        self._value(path)

    def _key(self) -> list[tuple[str, int, int]]:
        """The parts of a key with their offsets; stands behind the key afterwards."""
        parts = []
        while True:
            self._blank()
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                raw = self._text[start : self._at]
                name = next(iter(tomli.loads(f"{raw}=0")))
            else:
                while self._text[self._at] not in " \t.=]":
                    self._at += 1
                name = self._text[start : self._at]
            parts.append((name, start, self._at))
            self._blank()
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        start = self._at
        match self._text[start]:
            case '"' | "'":
                self._string()
            case "[":
                self._at += 1
                for index in self._items("]"):
                    self._value((*path, index))
            case "{":
                self._at += 1
                for _ in self._items("}"):
                    self._pair(path)
            case _:
                while self._at < len(self._text) and self._text[self._at] not in _ENDS_PLAIN:
                    self._at += 1
                while self._text[self._at - 1] in _BLANK:
                    self._at -= 1
        self._values[path] = self._mark(start, self._at)

    def _items(self, closing: str) -> Iterator[int]:
        """Stands before each item in turn, and behind the closing bracket at last."""
        index = 0
        while True:
            self._skip()
            if self._text[self._at] == closing:
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            yield index
            index += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._at += 3
            while not self._text.startswith(quote * 3, self._at):
                self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
            self._at += 3
            # A text may end with one or two quotes of its own.
            while self._text[self._at : self._at + 1] == quote:
                self._at += 1
            return
        self._at += 1
        while self._text[self._at] != quote:
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 1

    def _blank(self) -> None:
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._at += 1

    def _skip(self) -> bool:
        """Goes past white space, line ends and comments; False at the end of the text."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text[self._at] in _SPACE:
                self._at += 1
            else:
                return True
        return False

    def _mark(self, start: int, end: int) -> Mark:
        return Mark(*self._position(start), *self._position(end))

    def _position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1
