"""What the code gives ``@hydra.main``, read off the trace."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath

import msgspec

from explint.compose.entry import EntryPoint
from explint.trace import facts as f
from explint.trace.specialise import PACKAGE, Env, Unknown, evaluate

_POSITIONS = ("config_path", "config_name", "version_base")


class HydraMain(msgspec.Struct, frozen=True):
    """The arguments of the decorator whose function an entry calls.

    ``config_dir`` is the folder Hydra searches, relative to the package root; None when the
    decorator names none. ``version_base`` is None also when it is given as None: ``given`` holds
    the names that are written. Where an argument does not follow from the code it is an
    ``Unknown``.
    """

    config_dir: str | Unknown | None
    config_name: str | Unknown | None
    version_base: str | Unknown | None
    given: frozenset[str]
    path: str
    line: int
    column: int


def hydra_main(document: f.TraceDocument, entry: f.EntryTrace) -> HydraMain | None:
    """What the entry's first ``@hydra.main`` function is decorated with; None without one."""
    root = next((r for r in entry.roots if r.kind == "hydra" and r.event is not None), None)
    if root is None:
        return None
    call = entry.values[root.sources[0]]
    if not isinstance(call, f.CallValue):
        return HydraMain(None, None, None, frozenset(), "", 1, 1)
    env = Env(entry)
    given = dict(zip(_POSITIONS, call.args, strict=False)) | dict(call.kwargs)
    values = {name: evaluate(value, env) for name, value in given.items()}
    event = entry.events[call.event] if call.event is not None else None
    place = event.place if event is not None else f.Place(0, 1, 1, 1, 1)
    path = document.files[place.file]
    return HydraMain(
        config_dir=_folder(values.get("config_path"), path),
        config_name=_text(values.get("config_name")),
        version_base=_text(values.get("version_base")),
        given=frozenset(given),
        path=path,
        line=place.line,
        column=place.column,
    )


def settled(point: EntryPoint, main: HydraMain | None) -> EntryPoint:
    """An entry point whose arguments the text alone did not give, completed from the trace.

    It stays as it is where it needs nothing, or the trace does not know either.
    """
    if point.unknown is None or point.way != "main" or main is None or main.path != point.path:
        return point
    folder, name, base = main.config_dir, main.config_name, main.version_base
    if isinstance(folder, Unknown) or isinstance(name, Unknown) or isinstance(base, Unknown):
        return point
    if "version_base" not in main.given:
        base = "1.1"
    if "config_path" not in main.given:
        return point
    return msgspec.structs.replace(
        point,
        config_dir="" if folder == "." else folder,
        config_name=name,
        version_base=base,
        unknown=None,
    )


def _text(value: object) -> str | Unknown | None:
    if value is None or isinstance(value, str | Unknown):
        return value
    return Unknown("it is no text")


def _folder(value: object, path: str) -> str | Unknown | None:
    """A config path relative to the package: Hydra takes it from the module's folder."""
    if isinstance(value, PurePosixPath):
        value = str(value)
    if not isinstance(value, str):
        return value if value is None or isinstance(value, Unknown) else Unknown("it is no path")
    whole = posixpath.normpath(posixpath.join(PACKAGE, posixpath.dirname(path), value))
    if whole != PACKAGE and not whole.startswith(f"{PACKAGE}/"):
        return Unknown("it lies outside of the package")
    return posixpath.relpath(whole, PACKAGE)
