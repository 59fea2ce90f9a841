"""Column mapping: which part of a row is which file of a package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from explint.nearmiss import did_you_mean
from explint.source.find import is_source
from explint.source.salvage import is_code_key, path_of_key
from explint.source.tree import RefusedError, clean_path

FIELDS = (
    "id",
    "series",
    "files",
    "partial",
    "runs",
    "verdict",
    "hypothesis",
    "record",
    "prompt",
    "output",
)
"""What of a row is no file: keys of a JSON row, and ``series``, which is the same for all versions
of one package."""

_PACKAGE_KEYS = frozenset({*FIELDS, "text", "input", "code", "experiment_code"})
_ABSENT = object()
_MAX_PATH = 32


class MappingError(Exception):
    """A ``--map`` that cannot be understood; the message says what is wrong and what to write."""


class ColumnMap(msgspec.Struct, frozen=True):
    """Targets and where in a row their values lie: (``train_py``, ``code.train``)."""

    pairs: tuple[tuple[str, str], ...] = ()
    whole: bool = False

    def tops(self) -> list[str]:
        """The paths that are read, for readers that can leave other columns out."""
        return [path for _, path in self.pairs]

    def shaped(self, row: object) -> object:
        """The row as an object that holds a package; without pairs it is one already."""
        if not isinstance(row, dict):
            return row
        if not self.pairs:
            shaped = dict(row)
        else:
            shaped = {}
            files: dict[str, object] = {}
            for target, path in self.pairs:
                value = find(row, path)
                if value is _ABSENT:
                    continue
                if target in FIELDS:
                    shaped[target] = value
                else:
                    files[path_of_key(target) if is_code_key(target) else target] = value
            given = as_files(shaped.get("files"))
            if given is not None or files:
                shaped["files"] = {**(given or {}), **files}
        given = as_files(shaped.get("files"))
        if given is not None:
            shaped["files"] = given
        if isinstance(shaped.get("verdict"), str):
            shaped["verdict"] = _decoded(shaped["verdict"])
        if self.whole:
            shaped["partial"] = False
        return shaped


def parse_map(words: Sequence[str], *, whole: bool = False) -> ColumnMap:
    """Reads ``TARGET=PATH`` words. Raises MappingError."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        target, equals, path = word.partition("=")
        target, path = target.strip(), path.strip()
        if not equals or not target or not path:
            raise MappingError(
                f"`{word}` maps nothing: write TARGET=COLUMN, such as train_py=code.train"
            )
        if target not in FIELDS and not is_code_key(target):
            try:
                target = clean_path(target, _MAX_PATH)
            except RefusedError as problem:
                raise MappingError(f"`{target}` is no path in a package: {problem}") from None
            if not is_source(target):
                meant = did_you_mean(target, FIELDS)
                raise MappingError(
                    f"`{target}` is neither a file such as src/train.py or train_py, nor one of "
                    f"{', '.join(FIELDS)}. {meant or ''}".rstrip()
                )
        if target in dict(pairs):
            raise MappingError(f"`{target}` is mapped twice")
        pairs.append((target, path))
    return ColumnMap(tuple(pairs), whole)


def find(row: object, path: str) -> object:
    """The value at a dotted path, ``_ABSENT`` when there is none.

    Keys may hold dots themselves: the longest key that is there counts. A string on the way that is
    a JSON document is entered; a number picks from a list.
    """
    if not path:
        return row
    if isinstance(row, str):
        row = _decoded(row)
    if isinstance(row, list) and row and isinstance(row[0], tuple):
        row = as_files(row)
    if isinstance(row, dict):
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in row:
                return find(row[key], ".".join(parts[length:]))
    elif isinstance(row, list):
        head, _, rest = path.partition(".")
        if head.isdigit() and int(head) < len(row):
            return find(row[int(head)], rest)
    return _ABSENT


def as_files(value: object) -> dict[str, object] | None:
    """A ``{path: content}`` map, whichever way a table holds it: as an object, as pairs, as a list
    of objects with a path and a content, or as one of these in JSON; None when it is none."""
    if isinstance(value, str):
        value = _decoded(value)
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items()}
    if not isinstance(value, list):
        return None
    files: dict[str, object] = {}
    for item in value:
        if isinstance(item, tuple) and len(item) == 2:
            name, content = item
        elif isinstance(item, Mapping):
            name = next((item[k] for k in ("path", "name", "file", "filename") if k in item), None)
            content = next((item[k] for k in ("content", "text", "code") if k in item), None)
        else:
            return None
        if not isinstance(name, str):
            return None
        files[name] = content
    return files


def _decoded(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def wanted(names: Sequence[str], columns: ColumnMap) -> list[str]:
    """Of the top columns of a table those that are read, in their order."""
    if not columns.pairs:
        return [n for n in names if n in _PACKAGE_KEYS or is_code_key(n)]
    return [n for n in names if any(p == n or p.startswith(f"{n}.") for p in columns.tops())]
