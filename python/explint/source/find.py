"""Finds the packages in a tree and loads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum

import msgspec

from explint.model import SourceInfo
from explint.package import File, FileState, Package
from explint.source.limits import Limits, size_text
from explint.source.tree import Entry, RefusedError, Tree, UnreadableError, join, printable

SOURCE_SUFFIXES = (".py", ".yaml", ".yml", ".toml")

_ENTRY_MODULES = frozenset(
    f"{name}.py"
    for name in ("train", "main", "evaluate", "eval", "preprocess", "model", "inference", "run")
)
_CONFIG_FOLDERS = frozenset({"config", "configs", "conf"})
_PROJECT_FILES = frozenset(
    {"pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "environment.yml"}
    | {"environment.yaml", "Pipfile", ".git"}
)

_TOOL_FOLDERS = {
    name: reason
    for reason, names in {
        "version control data": (".git", ".hg", ".svn", ".jj"),
        "a Python environment": (".venv", "venv", ".tox", ".nox", ".conda"),
        "installed packages": ("site-packages", "node_modules", ".eggs"),
        "a cache": (
            "__pycache__",
            ".cache",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
            ".ipynb_checkpoints",
            ".hypothesis",
        ),
        "a record of an earlier Hydra run": (".hydra",),
    }.items()
    for name in names
}

# These names are outputs only where a run puts them, in the working directory: `configs/wandb/` is
# a config group and must be read.
_OUTPUT_FOLDERS = dict.fromkeys(
    ("outputs", "multirun", "wandb", "mlruns", "lightning_logs"), "outputs of earlier runs"
)

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_source(name: str) -> bool:
    """Whether a file's bytes are read, by its name or path."""
    return name.lower().endswith(SOURCE_SUFFIXES) or name.rpartition("/")[2] == "uv.lock"


def _skip_reason(tree: Tree, folder: str, entry: Entry, *, outputs: bool) -> str | None:
    if entry.skipped is not None:
        return entry.skipped
    reason = _TOOL_FOLDERS.get(entry.name) or (_OUTPUT_FOLDERS.get(entry.name) if outputs else None)
    if reason is None and entry.name in ("env", ".env", "virtualenv"):
        marks = _entries(tree, join(folder, entry.name))
        reason = "a Python environment" if any(e.name == "pyvenv.cfg" for e in marks) else None
    return reason


def _entries(tree: Tree, folder: str) -> Sequence[Entry]:
    """The entries, none when the folder cannot be read: loading the package names the reason."""
    try:
        return tree.entries(folder)
    except UnreadableError:
        return ()


class _Evidence(IntEnum):
    NONE = 0
    WEAK = 1
    STRONG = 2


class Found(msgspec.Struct):
    """Roots of packages, sorted, and Python files that lie outside all of them."""

    roots: list[str] = msgspec.field(default_factory=list)
    strays: list[str] = msgspec.field(default_factory=list)


def _python_files(entries: Sequence[Entry]) -> list[str]:
    return [e.name for e in entries if not e.is_folder and e.name.endswith(".py")]


def _has_yaml(tree: Tree, folder: str) -> bool:
    groups = []
    for e in _entries(tree, folder):
        if e.is_folder and e.skipped is None:
            groups.append(e.name)
        elif e.name.endswith((".yaml", ".yml")):
            return True
    return any(
        e.name.endswith((".yaml", ".yml"))
        for group in groups
        for e in _entries(tree, join(folder, group))
        if not e.is_folder
    )


def _evidence(tree: Tree, folder: str, entries: Sequence[Entry]) -> _Evidence:
    """Strong: the protocol's layout, `src/` with an entry module or a config folder beside code.
    Weak: the marks of any Python project; a strong package below it is the better answer."""
    names = {e.name for e in entries}
    here = _python_files(entries)
    folders = {e.name for e in entries if e.is_folder and e.skipped is None}
    src = _python_files(_entries(tree, join(folder, "src"))) if "src" in folders else []
    if _ENTRY_MODULES.intersection(src):
        return _Evidence.STRONG
    code = bool(here or src or "pyproject.toml" in names)
    if code and any(_has_yaml(tree, join(folder, c)) for c in sorted(_CONFIG_FOLDERS & folders)):
        return _Evidence.STRONG
    if "pyproject.toml" in names or src or _ENTRY_MODULES.intersection(here):
        return _Evidence.WEAK
    if names & _PROJECT_FILES and (here or _holds_python(tree, folder, entries)):
        return _Evidence.WEAK
    return _Evidence.NONE


def root_likeness(tree: Tree) -> int:
    """How much a tree's root looks like the root of a package: 0 not at all, 3 the protocol's
    layout, 2 a project file or repository, 1 an entry module beside nothing else."""
    entries = _entries(tree, "")
    evidence = _evidence(tree, "", entries)
    if evidence is _Evidence.STRONG:
        return 3
    if any(e.name in _PROJECT_FILES for e in entries):
        return 2
    return int(evidence is _Evidence.WEAK)


def _holds_python(tree: Tree, folder: str, entries: Sequence[Entry], depth: int = 3) -> bool:
    if _python_files(entries):
        return True
    if depth == 0:
        return False
    return any(
        _holds_python(tree, join(folder, e.name), _entries(tree, join(folder, e.name)), depth - 1)
        for e in entries
        if e.is_folder and _skip_reason(tree, folder, e, outputs=True) is None
    )


def find_packages(tree: Tree, limits: Limits) -> Found:
    """The packages in a tree.

    A folder that looks like a package is one and is not searched for more. A tree in which nothing
    looks like one is itself a package when it holds any Python file.
    """

    def search(folder: str, depth: int) -> list[tuple[str, _Evidence]]:
        entries = _entries(tree, folder)
        evidence = _evidence(tree, folder, entries)
        if folder == "" and evidence is _Evidence.NONE and _python_files(entries):
            evidence = _Evidence.WEAK
        if evidence is _Evidence.STRONG:
            return [(folder, evidence)]
        mark = len(found.strays)
        found.strays += [join(folder, name) for name in _python_files(entries)]
        below: list[tuple[str, _Evidence]] = []
        if depth < limits.max_search_depth:
            for e in entries:
                if e.is_folder and _skip_reason(tree, folder, e, outputs=True) is None:
                    below += search(join(folder, e.name), depth + 1)
        if evidence is _Evidence.WEAK and all(e is not _Evidence.STRONG for _, e in below):
            del found.strays[mark:]
            return [(folder, evidence)]
        return below

    found = Found()
    found.roots = [root for root, _ in search("", 0)]
    if not found.roots and found.strays:
        return Found(roots=[_below_single_folders(tree)])
    return found


def _below_single_folders(tree: Tree) -> str:
    """The root without the folders that hold one folder and nothing else, as archives have."""
    root = ""
    while True:
        entries = _entries(tree, root)
        if len(entries) != 1 or not entries[0].is_folder or entries[0].skipped is not None:
            return root
        root = join(root, entries[0].name)


def find_files(
    tree: Tree, suffix: str | tuple[str, ...], limits: Limits, outside: Collection[str] = ()
) -> list[str]:
    """Files with a suffix, or one of several, looked for as packages are; folders in ``outside``
    are not entered."""

    def search(folder: str, depth: int) -> Iterator[str]:
        for e in _entries(tree, folder):
            if not e.is_folder:
                if e.skipped is None and e.name.endswith(suffix):
                    yield join(folder, e.name)
            elif (
                depth < limits.max_search_depth
                and join(folder, e.name) not in outside
                and _skip_reason(tree, folder, e, outputs=True) is None
            ):
                yield from search(join(folder, e.name), depth + 1)

    return list(search("", 0))


def content_file(path: str, data: bytes) -> File:
    """A file that was read; white space makes no difference to its state."""
    if data.startswith(_LFS_POINTER):
        return File(
            path,
            FileState.PRESENT,
            skipped="a Git LFS pointer: the content itself is not stored here",
        )
    return File(path, FileState.PRESENT if data else FileState.EMPTY, data)


class _Loader(msgspec.Struct):
    """Walks one package. A class and not nested functions: those form reference cycles, which
    would keep the contents of packages alive until the garbage collector runs."""

    tree: Tree
    limits: Limits
    budget: int
    files: dict[str, File] = msgspec.field(default_factory=dict)
    folders: list[tuple[str, str]] = msgspec.field(default_factory=list)
    full: bool = False

    def walk(self, folder: str, depth: int) -> None:
        try:
            entries = self.tree.entries(folder)
        except UnreadableError as problem:
            self._fail(folder or ".", f"the folder cannot be read: {problem}")
            return
        for e in entries:
            path = join(folder, e.name)
            if self.full:
                return
            if e.is_folder:
                reason = _skip_reason(self.tree, folder, e, outputs=folder == "")
                if reason is None and depth >= self.limits.max_depth:
                    reason = f"folders are entered {self.limits.max_depth} deep at most"
                if reason is None:
                    self.walk(path, depth + 1)
                else:
                    self.folders.append((printable(path), reason))
            elif len(self.files) >= self.limits.max_files:
                self.full = True
                most = f"{self.limits.max_files:,}"
                self._fail(path, f"the package has more than {most} files: the rest was not read")
            elif e.skipped is not None:
                self._put(File(printable(path), FileState.PRESENT, skipped=e.skipped))
            elif is_source(e.name):
                self._read(path)
            else:
                reason = "not source: its name only"
                self._put(File(printable(path), FileState.PRESENT, skipped=reason))

    def _read(self, path: str) -> None:
        try:
            data = self.tree.read(path, self.limits)
        except UnreadableError as problem:
            self._fail(path, str(problem))
        except RefusedError as problem:
            self._put(File(printable(path), FileState.PRESENT, skipped=str(problem)))
        else:
            if len(data) > self.budget:
                limit = size_text(self.limits.max_package_bytes)
                self._fail(path, f"the package is over the limit of {limit}")
                return
            self.budget -= len(data)
            self._put(content_file(printable(path), data))

    def _fail(self, path: str, reason: str) -> None:
        self._put(File(printable(path), FileState.PRESENT, failure=reason))

    def _put(self, file: File) -> None:
        # Two names can have one printable form; the second must not replace the first.
        path, n = file.path, 1
        while path in self.files:
            n += 1
            path = f"{file.path}~{n}"
        self.files[path] = msgspec.structs.replace(file, path=path)


def load_package(
    tree: Tree, package_id: str, source: SourceInfo, limits: Limits, notes: Sequence[str] = ()
) -> Package:
    """Reads one package whose root is the tree's root."""
    loader = _Loader(tree, limits, limits.max_package_bytes)
    loader.walk("", 1)
    return Package(
        id=package_id,
        source=source,
        files=loader.files,
        skipped_folders=tuple(loader.folders),
        notes=(*notes, *tree.notes()),
    )


def strays_note(strays: Sequence[str], shown: int = 5) -> list[str]:
    """The note for Python files outside every package, empty when there are none."""
    if not strays:
        return []
    more = f" and {len(strays) - shown} more" if len(strays) > shown else ""
    names = ", ".join(printable(s) for s in strays[:shown])
    return [f"Python files outside every package were not checked: {names}{more}"]


def short_ids(roots: Sequence[str], name: str) -> dict[str, str]:
    """An id for each root: its path, without the top folder that an archive puts around all."""
    top = roots[0].partition("/")[0] if len(roots) > 1 else ""
    shared = top and all(root.startswith(f"{top}/") for root in roots)
    return {r: printable(r.removeprefix(f"{top}/") if shared else r) or name for r in roots}


def packages_of(
    tree: Tree, name: str, kind: str, location: str, rev: str | None, limits: Limits
) -> Iterator[Package]:
    """Every package of a tree with random access, in order of path, one at a time."""
    found = find_packages(tree, limits)
    notes = strays_note(found.strays)
    ids = short_ids(found.roots, name)
    for root in found.roots:
        source = SourceInfo(kind=kind, location=location, member=printable(root) or None, rev=rev)
        package = load_package(tree.sub(root), ids[root], source, limits, notes)
        notes = []
        if any(f.skipped is None for f in package.files.values()):
            yield package
