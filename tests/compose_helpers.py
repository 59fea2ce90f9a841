"""Asks the static composer and hydra-core the same question, and compares the answers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from explint.compose import worker
from explint.compose.errors import CompositionError, ErrorKind
from explint.compose.interpolate import Broken, Opaque
from explint.compose.reference import error_kind
from explint.compose.static import Composed, Result, compose
from explint.compose.tree import ConfigTree

Files = Mapping[str, str]


def tree(files: Files, folder: str = "config") -> ConfigTree:
    """A config tree of files named relative to the config folder."""
    return ConfigTree({f"{folder}/{name}": text.encode() for name, text in files.items()})


def static(
    files: Files,
    *overrides: str,
    name: str | None = "config",
    version_base: str | None = None,
) -> Result:
    return compose(
        tree(files),
        config_dir="config",
        config_name=name,
        overrides=overrides,
        version_base=version_base,
    )


def composed(files: Files, *overrides: str, version_base: str | None = None) -> Composed:
    result = static(files, *overrides, version_base=version_base)
    assert isinstance(result, Composed), result
    return result


def error(files: Files, *overrides: str, name: str | None = "config") -> CompositionError:
    result = static(files, *overrides, name=name)
    assert isinstance(result, CompositionError), result
    return result


def hydra(
    files: Files,
    overrides: Sequence[str],
    name: str | None = "config",
    version_base: str | None = None,
) -> dict[str, Any]:
    """What hydra-core answers, as the worker says it."""
    with tempfile.TemporaryDirectory() as folder:
        worker.materialise({path: text.encode() for path, text in files.items()}, folder)
        request = {"config_name": name, "overrides": overrides, "version_base": version_base}
        return worker.compose(request, folder)


def difference(ours: Composed | CompositionError, theirs: dict[str, Any]) -> str | None:
    """Why two answers differ, None when they agree.

    A value that is opaque on our side claims nothing and agrees with everything.
    """
    if isinstance(ours, CompositionError):
        if "raw" in theirs:
            return f"we refuse ({ours.message}), Hydra composes {theirs['raw']}"
        first = theirs["message"].partition("\n")[0]
        kind = error_kind(theirs["error"], theirs["message"])
        if kind is not ours.kind:
            return f"we say {ours.kind} ({ours.message}), Hydra {kind} ({first})"
        if first != ours.message and ours.kind not in _OWN_WORDS:
            return f"we say {ours.message!r}, Hydra {first!r}"
        return None
    if "raw" not in theirs:
        return f"we compose {ours.value}, Hydra says {theirs['message']}"
    expected = theirs["raw"]
    for path, kind, value in theirs["values"]:
        node = expected
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value if kind == "value" else _Mark(kind)
    return _unequal(ours.value, expected, "config")


_OWN_WORDS = frozenset(
    {
        # libyaml's words and PyYAML's differ, and Hydra prints a Python object.
        ErrorKind.INVALID_YAML,
        ErrorKind.INVALID_CHOICE,
        # The rest of Python's sentence depends on where the stack ended.
        ErrorKind.RECURSIVE_DEFAULTS,
    }
)


class _Mark(str):
    __slots__ = ()


def _unequal(ours: object, theirs: object, at: str) -> str | None:
    if isinstance(ours, Opaque) or theirs == _Mark("section"):
        return None
    if isinstance(ours, Broken):
        # A value whose parts the run alone knows may break before it gets to them.
        fails = isinstance(theirs, _Mark) and theirs in ("broken", "opaque")
        return None if fails else f"{at}: we say {ours}, Hydra {theirs!r}"
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if list(ours) != list(theirs):
            return f"{at}: keys {list(ours)} and {list(theirs)}"
        found = (_unequal(ours[k], theirs[k], f"{at}.{k}") for k in ours)
        return next((f for f in found if f), None)
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return f"{at}: {ours} and {theirs}"
        found = (
            _unequal(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
        )
        return next((f for f in found if f), None)
    # Texts compare types too, and nan with nan.
    return None if repr(ours) == repr(theirs) else f"{at}: {ours!r} and {theirs!r}"


def agreed(
    files: Files, *overrides: str, name: str | None = "config", version_base: str | None = None
) -> Composed | CompositionError:
    """Our answer, once hydra-core has been seen to give the same."""
    ours = static(files, *overrides, name=name, version_base=version_base)
    assert isinstance(ours, Composed | CompositionError), ours
    theirs = hydra(files, overrides, name, version_base)
    assert difference(ours, theirs) is None, difference(ours, theirs)
    return ours
