"""What ``@hydra.main`` is given, read from the text of an entry point.

Only literal arguments are read, and names of modules assigned a literal once. The symbolic trace
knows more; where it is at hand its answer takes the place of this one.
"""

from __future__ import annotations

import ast
import posixpath
import re
import warnings
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from explint.package import FileState, Package
from explint.regex import regex

MAX_CHARACTERS = 2_000_000
MAX_NESTING = 200

_UNSET = object()


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


# Without one of these words in one of these places no name in a module can mean hydra.main.
_MAY_START = regex(
    r"\.\s*main\b|initialize"
    r"|from\s+hydra[\w.]*\s+import\s*(?:\([^)]*\bmain\b|[^\n(]*(?:\bmain\b|\*|\\))"
)
_BODIES = ("def ", "class ", "async def ")


def find_entry(package: Package, path: str, *, parses: bool = False) -> EntryPoint | str:
    """The first use of Hydra in a module, or the reason why there is none to be found.

    ``parses`` says that the caller knows the module to be Python, which spares reading all of it.
    """
    text = _text(package, path)
    if text is None:
        return f"{path} is not there, or its text is not known"
    if "hydra" not in text:
        return f"{path} does not use Hydra"
    if parses and not _MAY_START.search(text):
        return f"{path} has no @hydra.main and no compose call"
    outline = _outline(text) if parses else None
    module = None if outline is None else _parsed(outline)
    found = None if module is None else _find(module)
    if module is None or found is None or found[2] != "main":
        module = _parsed(text)
        if module is None:
            return f"{path} is no Python that can be read"
        found = _find(module)
    if found is None:
        return f"{path} has no @hydra.main and no compose call"
    call, decorator, way = found
    return _entry(package, path, module, call, decorator, way)


def _entry(
    package: Package, path: str, module: ast.Module, call: ast.Call | None, at: ast.expr, way: str
) -> EntryPoint:
    constants = _constants(module)
    names = ("config_path", "config_name", "version_base")
    if way == "initialize":
        names = ("config_path", "job_name", "version_base")
    elif way == "initialize_config_dir":
        names = ("config_dir", "job_name", "version_base")
    given: dict[str, object] = {}
    unknown: str | None = None
    if call is not None:
        pairs = [
            *zip(names, call.args, strict=False),
            *((k.arg, k.value) for k in call.keywords if k.arg is not None),
        ]
        if any(k.arg is None for k in call.keywords):
            unknown = "arguments are handed on with **"
        for name, node in pairs:
            try:
                given[name] = _literal(node, constants)
            except ValueError:
                unknown = f"{name} is not a literal"
    version = given.get("version_base", _UNSET)
    version_base = "1.1" if version is _UNSET else version
    config_name = given.get("config_name")
    if way != "main":
        config_name, problem = _composed_name(module, constants)
        unknown = unknown or problem
    config_path = given.get("config_path", _UNSET)
    folder: str | None
    if way == "initialize_config_dir":
        folder = None
        unknown = "initialize_config_dir takes an absolute folder"
    elif config_path is _UNSET:
        # Before version base 1.2 the folder of the module is the config folder.
        folder = "." if version_base == "1.1" or version_base == "1.0" else None
    else:
        folder = config_path if isinstance(config_path, str) else None
    if folder is not None:
        if "://" in folder or folder.startswith("/"):
            unknown = unknown or f"config_path is {folder}"
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(path), folder))
        folder = "" if folder == "." else folder
    return EntryPoint(
        path=path,
        line=at.lineno,
        column=at.col_offset + 1,
        config_dir=folder,
        config_name=config_name if isinstance(config_name, str) else None,
        version_base=version_base if isinstance(version_base, str) else None,
        way=way,
        unknown=unknown,
        structured=_registers_configs(package, path),
    )


def _find(module: ast.Module) -> tuple[ast.Call | None, ast.expr, str] | None:
    aliases = _aliases(module)
    for node in _functions(module):
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _canonical(called, aliases) == "hydra.main":
                return decorator if isinstance(decorator, ast.Call) else None, decorator, "main"
    best: tuple[ast.Call, ast.expr, str] | None = None
    for call in ast.walk(module):
        if not isinstance(call, ast.Call):
            continue
        name = _canonical(call.func, aliases) or ""
        if name == "hydra.main":
            return call, call, "main"
        if name in ("hydra.initialize", "hydra.initialize_config_dir") and best is None:
            best = call, call, name.removeprefix("hydra.")
    return best


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in _statements(module):
        if isinstance(node, ast.FunctionDef):
            yield node


def _statements(module: ast.Module) -> Iterator[ast.AST]:
    """Every statement, outer ones first. Expressions are most of a tree and are left out."""
    waiting: deque[ast.AST] = deque([module])
    while waiting:
        node = waiting.popleft()
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            inner: list[ast.AST] = getattr(node, name, [])
            waiting.extend(inner)
            yield from inner


def _composed_name(module: ast.Module, constants: dict[str, object]) -> tuple[object, str | None]:
    aliases = _aliases(module)
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and _canonical(call.func, aliases) == "hydra.compose":
            nodes = [k.value for k in call.keywords if k.arg == "config_name"] or call.args[:1]
            if not nodes:
                return None, None
            try:
                return _literal(nodes[0], constants), None
            except ValueError:
                return None, "config_name is not a literal"
    return None, "no compose call follows"


def _aliases(module: ast.Module) -> dict[str, str]:
    found = {"hydra": "hydra"}
    for node in _statements(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and alias.name.split(".")[0] == "hydra":
                    found[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hydra":
            # What a submodule such as hydra.main offers is the package's own function.
            for alias in node.names:
                found[alias.asname or alias.name] = f"hydra.{alias.name}"
    return found


def _canonical(node: ast.expr, aliases: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in aliases:
        return None
    return ".".join([aliases[node.id], *reversed(parts)])


def _constants(module: ast.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    twice: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    if target.id in found:
                        twice.add(target.id)
                    found[target.id] = node.value.value
    return {name: value for name, value in found.items() if name not in twice}


def _literal(node: ast.expr, constants: dict[str, object]) -> object:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | None):
        return node.value
    if isinstance(node, ast.Name) and isinstance(constants.get(node.id, 0), str | None):
        return constants[node.id]
    raise ValueError


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


def _outline(text: str) -> str | None:
    """A module without the bodies of its functions and classes, every line in its place.

    Parsing the bodies takes most of the time, and the function that Hydra starts stands outside of
    them. None where leaving them out line by line could change what the rest means.
    """
    if "@" not in text or "\t" in text or "\f" in text or "\r" in text:
        return None
    lines = text.split("\n")
    inside = False
    quotes = 0
    for number, line in enumerate(lines):
        if inside and (not line or line[0] in " #"):
            if '"""' in line or "'''" in line:
                quotes += line.count('"""')
                if "'''" in line:
                    return None
            lines[number] = ""
            continue
        if quotes % 2:
            # A string that began in the body goes on at the margin.
            return None
        inside, quotes = False, 0
        # A header over several lines is left alone, and so is the body that follows it.
        if line.startswith(_BODIES) and line.rstrip().endswith(":"):
            lines[number] = f"{line} pass"
            inside = True
    return None if quotes % 2 else "\n".join(lines)


# A package's rules ask for the same few modules, one after the other.
@lru_cache(maxsize=8)
def _parsed(text: str) -> ast.Module | None:
    if len(text) > MAX_CHARACTERS or _nesting(text) > MAX_NESTING:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _text(package: Package, path: str) -> str | None:
    file = package.files.get(path)
    if file is None or file.data is None or file.state is FileState.WITHHELD:
        return None
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _nesting(text: str) -> int:
    """An upper bound of how deep brackets nest; the parser recurses on it."""
    depth = most = 0
    for bracket in re.findall(r"[()\[\]{}]", text):
        depth = depth + 1 if bracket in "([{" else max(0, depth - 1)
        most = max(most, depth)
    return most
