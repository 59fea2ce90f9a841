"""OmegaConf's interpolations: ``${a.b}``, ``${..x}``, ``text ${a}`` and ``${resolver:args}``.

What a resolver gives is known for ``oc.select`` and ``oc.decode``; of all others (the environment,
the time, Hydra's settings, resolvers the code registers) the value is opaque.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from explint.compose.errors import NotCovered
from explint.compose.merge import MISSING, Node, Path, list_index, split_key
from explint.regex import regex

MAX_STEPS = 10_000
"""How many nodes one value's resolution may visit, containers it stands for included."""

MAX_DEPTH = 60
"""How deep values may nest once interpolations stand for sections."""


class Opaque(msgspec.Struct, frozen=True):
    """A value that only the run knows; ``reason`` says where it comes from."""

    reason: str

    def __str__(self) -> str:
        return f"<{self.reason}>"


class Broken(msgspec.Struct, frozen=True):
    """A value that raises when it is read; ``message`` is the first line of OmegaConf's text."""

    message: str

    def __str__(self) -> str:
        return f"<error: {self.message}>"


class Reference(msgspec.Struct, frozen=True):
    """``${a.b}``: ``dots`` says how relative the key is, 0 for one from the root."""

    dots: int
    key: str


class Call(msgspec.Struct, frozen=True):
    """``${name:argument,…}`` with the arguments as text."""

    name: str
    arguments: tuple[str, ...]


Piece: TypeAlias = "str | Reference | Call"

_KEY = r"""[^\\{}()\[\]:. \t\r\n'"$]+"""
_REFERENCE = regex(rf"\$\{{\s*(\.*)((?:{_KEY}|\[{_KEY}\])(?:\.{_KEY}|\[{_KEY}\])*)\s*\}}", re.ASCII)
_CALL = regex(
    r"""\$\{\s*([a-zA-Z_][\w\-]*(?:\.[a-zA-Z_][\w\-]*)*)\s*:
        \s*([\w/\-+.$%*@?|:\ \t,]*?)\s*\}""",
    re.ASCII | re.X,
)


@lru_cache(maxsize=4096)
def pieces(text: str) -> tuple[Piece, ...]:
    """The literal and interpolated parts of a value.

    Raises NotCovered for what is beyond the two common forms: nested interpolations, quoted
    arguments, escapes, and what OmegaConf's grammar rejects.
    """
    found: list[Piece] = []
    at = 0
    while True:
        start = text.find("${", at)
        if start < 0:
            break
        match = _REFERENCE.match(text, start)
        piece: Piece
        if match is not None:
            piece = Reference(len(match[1]), match[2])
        else:
            match = _CALL.match(text, start)
            if match is None or "$" in match[2].replace("${", ""):
                raise NotCovered(f"the interpolation {text[start : start + 60]!r}")
            arguments = tuple(a.strip() for a in match[2].split(",")) if match[2] else ()
            if any(not argument for argument in arguments):
                raise NotCovered(f"an empty argument in {text[start : start + 60]!r}")
            piece = Call(match[1], arguments)
        if start > 0 and text[start - 1] == "\\":
            raise NotCovered("a backslash in front of an interpolation")
        if start > at:
            found.append(text[at:start])
        found.append(piece)
        at = match.end()
    if at < len(text):
        found.append(text[at:])
    return tuple(found)


class _FailedError(Exception):
    """Reading the value raises; the text is OmegaConf's."""


class _NotContainerError(_FailedError):
    """A path goes through a plain value."""


class _UnsureError(Exception):
    """The value cannot be told; the text says why."""


class Resolver:
    """Looks up values in one composed tree; results are kept.

    ``known`` are values of leaves that OmegaConf itself has resolved.
    """

    def __init__(self, root: Node, known: Mapping[Path, Any] | None = None) -> None:
        self.root = root
        self._values: dict[Path, Any] = dict(known or {})
        self._active: set[Path] = set()
        self._steps = 0

    def value(self, path: Path, node: Node) -> Any:  # noqa: ANN401
        """The plain value of the node at a path.

        Interpolations are resolved; leaves may be Opaque or Broken, and ``???`` stays as it is.
        """
        self._steps = 0
        return self._convert(path, node, 0)

    def target(self, path: Path, node: Node) -> Path | None:
        """Where a leaf that is nothing but ``${a.b}`` leads; None for others."""
        parts = pieces(node.value)
        if len(parts) != 1 or not isinstance(parts[0], Reference):
            return None
        try:
            return self._follow(path, parts[0])[0]
        except (_FailedError, _UnsureError):
            return None

    def find(self, path: Path) -> tuple[Path, Node] | None:
        """The node at a path, through interpolations; None when there is none."""
        try:
            found = self._walk((), list(path), strict=False)
        except (_FailedError, _UnsureError):
            return None
        return found

    def _convert(self, path: Path, node: Node, depth: int) -> Any:  # noqa: ANN401
        if not (node.is_container or node.is_interpolated):
            return node.value
        if path in self._values:
            return self._values[path]
        self._steps += 1
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return Opaque("a value too large to follow")
        if type(node.value) is dict:
            value: Any = {
                k: self._convert((*path, k), child, depth + 1) for k, child in node.value.items()
            }
        elif type(node.value) is list:
            value = [
                self._convert((*path, i), child, depth + 1) for i, child in enumerate(node.value)
            ]
        else:
            try:
                value = self._evaluate(path, node, depth)
            except _FailedError as failed:
                value = Broken(str(failed))
            except (_UnsureError, NotCovered) as unsure:
                value = Opaque(str(unsure))
        self._values[path] = value
        return value

    def _evaluate(self, path: Path, node: Node, depth: int) -> Any:  # noqa: ANN401
        if path in self._active:
            raise _FailedError("Recursive interpolation detected")
        self._active.add(path)
        try:
            parts = pieces(node.value)
            values = [p if isinstance(p, str) else self._piece(path, p, depth) for p in parts]
        finally:
            self._active.discard(path)
        if len(values) == 1:
            return values[0]
        for value in values:
            if isinstance(value, dict | list):
                raise _UnsureError("a section inside a text")
            if isinstance(value, Opaque):
                raise _UnsureError(value.reason)
        return "".join(str(value) for value in values)

    def _piece(self, path: Path, piece: Reference | Call, depth: int) -> Any:  # noqa: ANN401
        if isinstance(piece, Reference):
            target, node = self._follow(path, piece)
            final = self._final(target, node)
            if final == path[: len(final)]:
                raise _FailedError("Interpolation to parent node detected")
            if type(node.value) is str and node.value == MISSING:
                dotted = ".".join(map(str, target))
                raise _FailedError(
                    "MissingMandatoryValue while resolving interpolation: Missing mandatory "
                    f"value: {dotted}"
                )
            value = self._convert(target, node, depth + 1)
            if isinstance(value, Broken):
                raise _FailedError(value.message)
            return value
        if piece.name == "oc.select" and 1 <= len(piece.arguments) <= 2:
            return self._select(path, piece, depth)
        if piece.name == "oc.decode" and len(piece.arguments) == 1:
            raise _UnsureError("oc.decode")
        if piece.name == "oc.env":
            raise _UnsureError(
                f"environment variable {piece.arguments[0] if piece.arguments else ''}"
            )
        if piece.name == "now":
            raise _UnsureError("the time of the run")
        raise _UnsureError(f"resolver {piece.name}")

    def _final(self, path: Path, node: Node) -> Path:
        """Where a chain of plain references ends, or goes round in a circle."""
        seen = {path}
        while node.is_interpolated:
            parts = pieces(node.value)
            if len(parts) != 1 or not isinstance(parts[0], Reference):
                break
            path, node = self._follow(path, parts[0])
            if path in seen:
                break
            seen.add(path)
        return path

    def _select(self, path: Path, call: Call, depth: int) -> Any:  # noqa: ANN401
        key = call.arguments[0]
        stripped = key.lstrip(".")
        start = self._start(path, Reference(len(key) - len(stripped), stripped))
        try:
            found = self._walk(start, split_key(stripped), strict=False)
        except _NotContainerError:
            found = None
        if found is None or found[1].value == MISSING:
            return None if len(call.arguments) == 1 else _argument(call.arguments[1])
        return self._convert(*found, depth + 1)

    def _follow(self, path: Path, reference: Reference) -> tuple[Path, Node]:
        found = self._walk(self._start(path, reference), split_key(reference.key), strict=True)
        if found is None:
            raise _FailedError(f"Interpolation key '{reference.key}' not found")
        return found

    def _start(self, path: Path, reference: Reference) -> Path:
        """The container that a reference in the leaf at ``path`` is looked up in."""
        if reference.dots > len(path):
            raise _FailedError(
                "ConfigKeyError while resolving interpolation: Error resolving key "
                f"'{'.' * reference.dots}{reference.key}'"
            )
        return path[: len(path) - reference.dots] if reference.dots else ()

    def _walk(self, start: Path, keys: list[Any], *, strict: bool) -> tuple[Path, Node] | None:
        node = self.root
        for part in start:
            child = node.child(part)
            if child is None:
                return None
            node = child
        path = start
        for index, key in enumerate(keys):
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise _UnsureError("a chain of interpolations too long to follow")
            if index:
                path, node = self._through(path, node, keys, index, strict)
            if type(node.value) is list and list_index(key) is None:
                raise _FailedError(
                    "TypeError raised while resolving interpolation: "
                    f"Index '{key}' (str) is not an int"
                )
            child = node.child(key)
            if child is None:
                return None
            path, node = (*path, _own_key(node, key)), child
        return path, node

    def _through(
        self, path: Path, node: Node, keys: list[Any], index: int, strict: bool
    ) -> tuple[Path, Node]:
        """The container that an inner node of a path is or leads to."""
        entered: list[Path] = []
        try:
            while node.is_interpolated:
                parts = pieces(node.value)
                if len(parts) != 1 or not isinstance(parts[0], Reference):
                    raise _UnsureError(f"what stands at {'.'.join(map(str, path))}")
                if path in self._active:
                    raise _FailedError("Recursive interpolation detected")
                self._active.add(path)
                entered.append(path)
                try:
                    path, node = self._follow(path, parts[0])
                except _NotContainerError as failed:
                    raise _FailedError(str(failed)) from None
        finally:
            self._active.difference_update(entered)
        if strict and type(node.value) is str and node.value == MISSING:
            raise _FailedError(
                "MissingMandatoryValue while resolving interpolation: Missing mandatory value: "
                + ".".join(map(str, path))
            )
        if not node.is_container:
            parent = ".".join(map(str, keys[:index]))
            raise _NotContainerError(
                "ConfigTypeError raised while resolving interpolation: Error trying to access "
                f"{'.'.join(map(str, keys))}: node `{parent}` is not a container and thus cannot "
                f"contain `{keys[index]}`"
            )
        return path, node


def _own_key(node: Node, key: Any) -> Any:  # noqa: ANN401
    return list_index(key) if type(node.value) is list else key


def _argument(text: str) -> Any:  # noqa: ANN401
    """An unquoted resolver argument as OmegaConf's grammar types it."""
    lowered = text.lower()
    if lowered == "null":
        return None
    if lowered in ("true", "false"):
        return lowered == "true"
    if re.fullmatch(r"[+-]?(?:0|[1-9](?:_?[0-9])*)", text):
        return int(text)
    if re.fullmatch(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", text):
        return float(text)
    return text
