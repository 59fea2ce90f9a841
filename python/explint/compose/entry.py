"""What ``@hydra.main`` is given, from the arguments that the core read in an entry point's text.

Only literal arguments are read, and names of modules assigned a literal once. The symbolic trace
knows more; where it is at hand its answer takes the place of this one.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from explint.package import FileState, Package
from explint.syntax import parsed

MAX_CHARACTERS = 2_000_000
MAX_NESTING = 200


class EntryPoint(msgspec.Struct, frozen=True):
    """How a module starts Hydra.

    ``config_dir`` is relative to the package root, None when no config folder is used.
    ``version_base`` is as the composer takes it: "1.1" when the code gives none, None for the
    newest. ``unknown`` says why an argument could not be read; the others are guesses then.
    ``structured`` says that the module, or one that it imports, registers configs in Hydra's
    ConfigStore, which no file shows.
    """

    path: str
    line: int
    column: int
    config_dir: str | None
    config_name: str | None
    version_base: str | None
    way: str
    unknown: str | None = None
    structured: bool = False


class Argument(msgspec.Struct, frozen=True, array_like=True):
    """An argument of a call: ``name`` is ``**`` for what is spread, None for a positional one.

    ``known`` says that ``value`` is the text, or None, that is written out there.
    """

    name: str | None
    known: bool
    value: str | None


class HydraUse(msgspec.Struct, frozen=True, array_like=True):
    """How a module's text starts Hydra, as the core reads it.

    ``way`` is ``main``, ``initialize`` or ``initialize_config_dir``; ``composed`` the config name
    that the first compose call gets, None without such a call.
    """

    way: str
    line: int
    column: int
    arguments: list[Argument]
    composed: Argument | None


Uses = Mapping[str, HydraUse]
"""How the Python files of a package start Hydra, by path."""


def find_entry(package: Package, path: str, uses: Uses) -> EntryPoint | str:
    """The first use of Hydra in a module, or the reason why there is none to be found."""
    data = _data(package, path)
    if data is None:
        return f"{path} is not there, or its text is not known"
    if b"hydra" not in data:
        return f"{path} does not use Hydra"
    use = uses.get(path)
    if use is None:
        return f"{path} has no @hydra.main and no compose call that can be read"
    return _entry(package, path, use)


def _entry(package: Package, path: str, use: HydraUse) -> EntryPoint:
    way = use.way
    names = ("config_path", "config_name", "version_base")
    if way == "initialize":
        names = ("config_path", "job_name", "version_base")
    elif way == "initialize_config_dir":
        names = ("config_dir", "job_name", "version_base")
    given: dict[str, str | None] = {}
    unknown: str | None = None
    if any(argument.name == "**" for argument in use.arguments):
        unknown = "arguments are handed on with **"
    positions = iter(names)
    for argument in use.arguments:
        name = argument.name or next(positions, "**")
        if argument.known:
            given[name] = argument.value
        elif name != "**":
            unknown = f"{name} is not a literal"
    version_base = given.get("version_base", "1.1")
    config_name = given.get("config_name")
    if way != "main":
        if use.composed is None:
            unknown = unknown or "no compose call follows"
        elif not use.composed.known:
            unknown = unknown or "config_name is not a literal"
        config_name = None if use.composed is None else use.composed.value
    folder: str | None
    if way == "initialize_config_dir":
        folder = None
        unknown = "initialize_config_dir takes an absolute folder"
    elif "config_path" not in given:
        # Before version base 1.2 the folder of the module is the config folder.
        folder = "." if version_base == "1.1" or version_base == "1.0" else None
    else:
        folder = given["config_path"]
    if folder is not None:
        if "://" in folder or folder.startswith("/"):
            unknown = unknown or f"config_path is {folder}"
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(path), folder))
        folder = "" if folder == "." else folder
    return EntryPoint(
        path=path,
        line=use.line,
        column=use.column,
        config_dir=folder,
        config_name=config_name,
        version_base=version_base,
        way=way,
        unknown=unknown,
        structured=_registers_configs(package, path),
    )


def _statements(module: ast.Module) -> Iterator[ast.AST]:
    """Every statement, outer ones first. Expressions are most of a tree and are left out."""
    waiting: deque[ast.AST] = deque([module])
    while waiting:
        node = waiting.popleft()
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            inner: list[ast.AST] = getattr(node, name, [])
            waiting.extend(inner)
            yield from inner


def _registers_configs(package: Package, path: str) -> bool:
    if not any(
        name.endswith(".py") and file.data is not None and b"ConfigStore" in file.data
        for name, file in package.files.items()
    ):
        return False
    seen: set[str] = set()
    waiting = [path]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in package.files:
            continue
        seen.add(name)
        text = _text(package, name)
        if text is None or "ConfigStore" in text:
            return True
        module = _parsed(text)
        # What does not parse ends the run before anything could be registered there.
        waiting.extend(_imported(module, name) if module is not None else ())
    return False


def _imported(module: ast.Module, path: str) -> Iterator[str]:
    """The files of the package that a module's imports may mean."""
    for node in _statements(module):
        names: list[str] = []
        folder = ""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = path.split("/")[: -node.level] if node.level else []
            folder = "".join(f"{part}/" for part in parts)
            base = f"{node.module}." if node.module else ""
            names = [base.rstrip("."), *(base + alias.name for alias in node.names)]
        for name in names:
            # A script's own folder is on the path too.
            for start in {folder, "" if folder else f"{posixpath.dirname(path)}/".lstrip("/")}:
                stem = start + name.replace(".", "/")
                yield f"{stem}.py"
                yield f"{stem}/__init__.py"


def _parsed(text: str) -> ast.Module | None:
    if len(text) > MAX_CHARACTERS or _nesting(text) > MAX_NESTING:
        return None
    return parsed(text)


def _data(package: Package, path: str) -> bytes | None:
    file = package.files.get(path)
    return None if file is None or file.state is FileState.WITHHELD else file.data


def _text(package: Package, path: str) -> str | None:
    data = _data(package, path)
    if data is None:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _nesting(text: str) -> int:
    """An upper bound of how deep brackets nest; the parser recurses on it."""
    depth = most = 0
    for bracket in re.findall(r"[()\[\]{}]", text):
        depth = depth + 1 if bracket in "([{" else max(0, depth - 1)
        most = max(most, depth)
    return most
