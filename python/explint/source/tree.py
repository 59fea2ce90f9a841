"""What folders, git trees, archives and JSON maps have in common: names in folders, and bytes.

Packages are found and loaded from a ``Tree`` only, so every kind of source skips the same folders,
reads the same files and obeys the same limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from explint.regex import regex
from explint.source.limits import Limits, too_large


class UnreadableError(Exception):
    """A file or folder that cannot be read; the message is the reason, fit for a report."""


class RefusedError(Exception):
    """Something left out on purpose although its name is a source's; the message is the reason."""


class Entry(msgspec.Struct, frozen=True):
    """A name in a folder, as the tree knows it.

    ``skipped`` is the reason why it is not read or entered (a device, a link out of the tree).
    """

    name: str
    is_folder: bool = False
    skipped: str | None = None


class Tree(Protocol):
    """Read access to one root. Paths are relative, with forward slashes; "" is the root."""

    def entries(self, folder: str) -> Sequence[Entry]:
        """The names in a folder, sorted. Raises UnreadableError."""

    def read(self, path: str, limits: Limits) -> bytes:
        """A file's bytes. Raises UnreadableError (failed) or RefusedError (skipped on purpose)."""

    def sub(self, folder: str) -> Tree:
        """The tree below a folder, which cannot be left."""

    def notes(self) -> Sequence[str]:
        """What was decided while this tree was built, such as which duplicate counts."""


def join(folder: str, name: str) -> str:
    """A path below a folder of a tree."""
    return f"{folder}/{name}" if folder else name


_UNPRINTABLE = regex(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(path: str) -> str:
    """A path as a report can carry it: bytes that are not UTF-8, lone surrogates and control
    characters become escapes such as ``\\xff``."""
    if path.isascii() and path.isprintable():
        return path
    try:
        path.encode()
    except UnicodeEncodeError:
        try:
            path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            path = path.encode("utf-8", "backslashreplace").decode()
    return _UNPRINTABLE.sub(lambda m: m[0].encode("unicode_escape").decode(), path)


_DRIVE = regex(r"[A-Za-z]:")


def clean_path(raw: str, max_depth: int) -> str:
    """A member's name as a relative path with forward slashes. Raises RefusedError with the reason.

    Backslashes separate folders here as well: some archivers write them, and ``..\\x`` must not
    pass as a file name.
    """
    path = raw.replace("\\", "/")
    if not path.strip():
        raise RefusedError("its name is empty")
    if "\0" in path:
        raise RefusedError("its name holds a NUL character")
    if path.startswith("/") or _DRIVE.match(path):
        raise RefusedError("its name is absolute")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedError("its name leads out of the package (`..`)")
    if not parts:
        raise RefusedError("its name is empty")
    if len(parts) > max_depth:
        raise RefusedError(f"it lies more than {max_depth} folders deep")
    return "/".join(parts)


class Leaf(msgspec.Struct, frozen=True):
    """A file of a tree in memory; ``read`` fetches its bytes when they are asked for."""

    read: Callable[[Limits], bytes]
    skipped: str | None = None


def bytes_leaf(data: bytes) -> Leaf:
    """A file whose bytes are at hand."""

    def read(limits: Limits) -> bytes:
        if len(data) > limits.max_file_bytes:
            raise UnreadableError(too_large(len(data), limits.max_file_bytes))
        return data

    return Leaf(read)


class _Folder(msgspec.Struct):
    children: dict[str, _Folder | Leaf] = msgspec.field(default_factory=dict)
    skipped: str | None = None


class MemoryTree:
    """A tree built from a flat list of paths."""

    def __init__(self, top: _Folder | None = None) -> None:
        self._top = top or _Folder()
        self._notes: list[tuple[str, str]] = []

    def add(self, path: str, leaf: Leaf) -> None:
        """Adds a file at a clean path. When the path occurs twice the later one counts, as it
        would when unpacking, and a note says so."""
        folder, name = self._parent(path)
        if name in folder.children:
            self._notes.append((path, f"{printable(path)} occurs twice: the last one counts"))
        folder.children[name] = leaf

    def add_skipped_folder(self, path: str, reason: str) -> None:
        """Adds a folder that is listed and never entered, such as a submodule."""
        folder, name = self._parent(path)
        folder.children[name] = _Folder(skipped=reason)

    def _parent(self, path: str) -> tuple[_Folder, str]:
        *parents, name = path.split("/")
        folder = self._top
        for i, part in enumerate(parents):
            child = folder.children.get(part)
            if not isinstance(child, _Folder):
                if child is not None:
                    at = printable("/".join(parents[: i + 1]))
                    self._notes.append((path, f"{at} is a file and a folder: the folder counts"))
                child = folder.children[part] = _Folder()
            folder = child
        return folder, name

    def _node(self, path: str) -> _Folder | Leaf:
        node: _Folder | Leaf = self._top
        for part in path.split("/") if path else ():
            child = node.children.get(part) if isinstance(node, _Folder) else None
            if child is None:
                raise UnreadableError("there is no such file")
            node = child
        return node

    def entries(self, folder: str) -> Sequence[Entry]:
        """See ``Tree``."""
        node = self._node(folder)
        if not isinstance(node, _Folder):
            raise UnreadableError("it is not a folder")
        return [
            Entry(name, isinstance(child, _Folder), child.skipped)
            for name, child in sorted(node.children.items())
        ]

    def read(self, path: str, limits: Limits) -> bytes:
        """See ``Tree``."""
        node = self._node(path)
        if not isinstance(node, Leaf):
            raise UnreadableError("it is a folder")
        return node.read(limits)

    def sub(self, folder: str) -> MemoryTree:
        """See ``Tree``."""
        node = self._node(folder)
        tree = MemoryTree(node if isinstance(node, _Folder) else None)
        prefix = f"{folder}/" if folder else ""
        tree._notes = [note for note in self._notes if note[0].startswith(prefix)]
        return tree

    def notes(self) -> Sequence[str]:
        """See ``Tree``."""
        return [text for _, text in self._notes]
