"""Imports run one way, in the Python layer and in the Rust core.

Each table names the rooms and what each may import. A new room needs a row; a row that allows more
than the code uses is no fault.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "python" / "explint"
RUST = ROOT / "rust" / "core" / "src"

# Words and plain helpers that every room may lean on.
BASE = frozenset({"__version__", "model", "nearmiss", "regex", "syntax"})
# A package as data: what it holds, and what a profile or its configuration says of it.
DATA = BASE | {"package"}
ROOMS: dict[str, frozenset[str]] = {
    "model": frozenset(),
    "nearmiss": frozenset(),
    "regex": frozenset(),
    "syntax": frozenset(),
    "report": frozenset({"model", "regex"}),
    "fingerprint": BASE,
    "baseline": BASE,
    "verdict": BASE,
    "package": BASE,
    "grammar": DATA,
    "source": DATA,
    # The core's documents are decoded into the structs that mirror them.
    "core": DATA | {"_core", "compose", "trace"},
    "compose": DATA,
    "trace": DATA | {"compose"},
    "protocol": DATA | {"compose"},
    "select": BASE,
    "config": DATA | {"select"},
    "suppress": DATA | {"core", "rules"},
    "experiment": DATA | {"core", "protocol", "compose", "source", "trace"},
    "environment": DATA | {"compose", "experiment"},
    "artifacts": DATA | {"trace"},
    "rules": DATA
    | {"artifacts", "core", "protocol", "compose", "environment", "trace", "experiment"},
    "fanout": frozenset(),
    "cache": DATA,
    "request": DATA | {"config", "source"},
    "checker": DATA
    | {
        "baseline",
        "compose",
        "config",
        "core",
        "experiment",
        "fingerprint",
        "grammar",
        "protocol",
        "request",
        "rules",
        "select",
        "suppress",
        "trace",
        "verdict",
    },
    "known": DATA | {"cache", "config", "protocol", "request"},
    "pipeline": DATA | {"checker", "fanout", "known", "request", "source"},
    "compare": DATA | {"fingerprint", "pipeline", "request", "source"},
    "judge": DATA
    | {"compose", "core", "environment", "experiment", "pipeline", "protocol", "request", "source"},
    # What runs inside an experiment's processes (trial/observer) imports nothing of ours at all.
    "trial": DATA
    | {
        "audit",
        "compose",
        "config",
        "core",
        "experiment",
        "pipeline",
        "protocol",
        "request",
        "rules",
        "source",
    },
    "audit": DATA
    | {
        "cache",
        "checker",
        "compose",
        "core",
        "experiment",
        "fanout",
        "judge",
        "pipeline",
        "protocol",
        "report",
        "request",
        "rules",
        "select",
        "source",
        "trace",
        "verdict",
    },
    "rehearsal": DATA | {"protocol", "request", "rules", "trial"},
    "": frozenset({"model", "pipeline"}),
}
ROOMS["cli"] = frozenset(ROOMS) - {"", "cli"} | BASE
ROOMS["__main__"] = frozenset({"cli"})

RUST_ROOMS = ("source", "syntax", "trace", "analysis", "rules", "scan")


def room_of(path: Path) -> str:
    """The room a file of the package stands in; empty for the package's own ``__init__``."""
    first = path.relative_to(PYTHON).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported_rooms(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of ours, wherever in the file it stands."""
    package = ("explint", *path.relative_to(PYTHON).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "explint":
                    yield node.lineno, parts[1] if len(parts) > 1 else ""
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level:
                parts = [*package[: len(package) - node.level + 1], *parts]
            if parts[:1] != ["explint"]:
                continue
            if len(parts) > 1:
                yield node.lineno, parts[1]
            else:
                yield from ((node.lineno, alias.name) for alias in node.names)


def python_files() -> list[Path]:
    return sorted(PYTHON.rglob("*.py"))


@pytest.mark.parametrize("path", python_files(), ids=lambda p: p.relative_to(PYTHON).as_posix())
def test_python_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS, f"no row for the room `{room}`"
    allowed = ROOMS[room] | {room}
    wrong = [
        f"{path.name}:{line}: {room or 'explint'} may not import {target or 'explint'}"
        for line, target in imported_rooms(ast.parse(path.read_bytes()), path)
        if target not in allowed
    ]
    assert not wrong


def test_the_table_of_rooms_has_no_circle() -> None:
    ordered: list[str] = []
    rest = {room: allowed & ROOMS.keys() for room, allowed in ROOMS.items()}
    while rest:
        free = [room for room, allowed in rest.items() if allowed <= set(ordered)]
        # `suppress` reads the rule table, which `experiment` and its like never import back.
        assert free, f"circle among {sorted(rest)}"
        ordered += free
        for room in free:
            del rest[room]


def test_every_way_to_import_is_seen() -> None:
    source = """
import explint.cli
from explint import core, __version__
from explint.report.base import Place
from . import sibling
from ..source import limits
def late():
    from .. import suppress
"""
    path = PYTHON / "rules" / "family.py"
    seen = {room for _, room in imported_rooms(ast.parse(source), path)}
    assert seen == {"cli", "core", "__version__", "report", "rules", "source", "suppress"}


def rust_rooms_used(text: str, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and room of every path into the crate; comments are not code."""
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("//")[0]
        for match in re.finditer(r"\bcrate::(?:\{([^}]*)\}|(\w+))", code):
            names = [match[2]] if match[2] else re.findall(r"(\w+)", match[1])
            yield from ((number, name) for name in names)
        for match in re.finditer(r"\b((?:super::)+)(\w+)", code):
            steps = match[1].count("super::")
            if steps >= len(module):
                yield number, match[2]


def rust_files() -> list[Path]:
    return sorted(p for p in RUST.rglob("*.rs") if p.name != "lib.rs")


@pytest.mark.parametrize("path", rust_files(), ids=lambda p: p.relative_to(RUST).as_posix())
def test_rust_imports_run_one_way(path: Path) -> None:
    module = path.relative_to(RUST).with_suffix("").parts
    room = module[0]
    assert room in RUST_ROOMS, f"no place for the room `{room}`"
    later = RUST_ROOMS[RUST_ROOMS.index(room) + 1 :]
    wrong = [
        f"{path.name}:{line}: {room} may not use {target}"
        for line, target in rust_rooms_used(path.read_text(encoding="utf-8"), module)
        if target in later
    ]
    assert not wrong


def test_every_rust_path_into_the_crate_is_seen() -> None:
    text = """
use crate::scan::Scanner; // crate::syntax is only talked about
use crate::{analysis, source::Span};
use super::super::rules::Rule;
use super::sibling;
"""
    seen = {room for _, room in rust_rooms_used(text, ("syntax", "tree"))}
    assert seen == {"scan", "analysis", "source", "Span", "rules"}


def test_only_the_extension_crate_knows_pyo3() -> None:
    manifests = [p for p in (ROOT / "rust").glob("*/Cargo.toml") if "pyo3" in p.read_text()]
    assert [p.parent.name for p in manifests] == ["python"]


def test_only_core_py_imports_the_extension() -> None:
    importers = {
        path.name
        for path in python_files()
        for _, room in imported_rooms(ast.parse(path.read_bytes()), path)
        if room == "_core"
    }
    assert importers == {"core.py"}
