"""A composed config as YAML lines, each with a remark on where its value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from explint.compose.interpolate import Broken, Opaque
from explint.compose.merge import MISSING, Node, Path
from explint.compose.static import Composed, Origin
from explint.regex import regex

MAX_LINES = 20_000
"""How many lines are made before the rest is left out, with a remark."""

_PLAIN = regex(r"[A-Za-z_./][A-Za-z0-9_./%@+-]*(?: [A-Za-z0-9_./%@+-]+)*")
_WORDS = regex(r"(?:null|true|false|yes|no|on|off|y|n|\.inf|\.nan|\.[0-9].*)", re.I)


class Line(msgspec.Struct, frozen=True):
    """One line: YAML, a remark for a trailing comment, and whether the remark is bad news."""

    text: str
    remark: str = ""
    bad: bool = False


def yaml_lines(composed: Composed, *, resolved: bool) -> Iterator[Line]:
    """The config in its own order.

    ``resolved`` puts values in the place of interpolations where they are known scalars; otherwise
    the text is that of the files. Interpolated sections are shown as they are written.
    """
    if not composed.root.value:
        yield Line("{}")
        return
    for count, line in enumerate(_section((), composed.root, 0, composed, resolved)):
        if count >= MAX_LINES:
            yield Line("# …", f"more than {MAX_LINES:,} lines", bad=True)
            return
        yield line


def _section(
    path: Path, node: Node, depth: int, composed: Composed, resolved: bool
) -> Iterator[Line]:
    for key, child in node.value.items():
        head = f"{'  ' * depth}{scalar(key)}:"
        yield from _child((*path, key), child, head, depth, composed, resolved)


def _items(
    path: Path, node: Node, depth: int, composed: Composed, resolved: bool
) -> Iterator[Line]:
    for index, child in enumerate(node.value):
        head = f"{'  ' * depth}-"
        yield from _child((*path, index), child, head, depth, composed, resolved)


def _child(
    path: Path, node: Node, head: str, depth: int, composed: Composed, resolved: bool
) -> Iterator[Line]:
    place = where(composed.place(node), composed)
    if node.is_section:
        yield Line(head if node.value else f"{head} {{}}", "" if node.value else place)
        yield from _section(path, node, depth + 1, composed, resolved)
    elif type(node.value) is list:
        flow = _flow(node)
        if flow is not None:
            yield Line(f"{head} {flow}", place)
            return
        yield Line(head)
        yield from _items(path, node, depth + 1, composed, resolved)
    else:
        yield _leaf(path, node, head, place, composed, resolved)


def _leaf(
    path: Path, node: Node, head: str, place: str, composed: Composed, resolved: bool
) -> Line:
    if type(node.value) is str and node.value == MISSING:
        return Line(f"{head} {MISSING}", _joined(place, "mandatory, and nobody gives it"), bad=True)
    if not node.is_interpolated:
        return Line(f"{head} {scalar(node.value)}", place)
    raw = f"{head} {json.dumps(node.value, ensure_ascii=False)}"
    value = composed.get(path)
    if isinstance(value, Broken):
        return Line(raw, _joined(place, value.message), bad=True)
    if isinstance(value, Opaque):
        return Line(raw, _joined(place, f"known in the run only: {value.reason}"))
    if isinstance(value, dict | list) or not resolved:
        return Line(raw, place)
    return Line(f"{head} {scalar(value)}", _joined(place, node.value))


def _joined(place: str, text: str) -> str:
    return f"{place} · {text}" if place else text


def _flow(node: Node) -> str | None:
    """A list on one line, when it is short and holds nothing but plain leaves."""
    if any(item.is_container or item.is_interpolated for item in node.value):
        return None
    text = f"[{', '.join(scalar(item.value) for item in node.value)}]"
    return text if len(text) <= 60 else None


def where(origin: Origin, composed: Composed) -> str:
    """An origin in words."""
    if origin.override is not None:
        return f"command line: {composed.overrides[origin.override]}"
    return "" if origin.path is None else f"{origin.path}:{origin.line}"


def scalar(value: Any) -> str:  # noqa: ANN401 - any leaf a config holds
    """A leaf as OmegaConf would read it back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return ".nan"
        if value in (float("inf"), float("-inf")):
            return ".inf" if value > 0 else "-.inf"
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        import base64

        return f"!!binary {base64.b64encode(value).decode()}"
    text = str(value)
    if _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text):
        return text
    # ASCII escapes keep whatever a config holds from acting on a terminal.
    return json.dumps(text, ensure_ascii=not text.isprintable())


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a config
    """A value for JSON: keys are text, and what has no JSON form is described."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else scalar(key): plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, Opaque | Broken):
        return str(value)
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return scalar(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return scalar(value)
