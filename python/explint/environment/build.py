"""Whether the build that `uv run` starts for a project finds something to build.

Only a project with a build system (or `tool.uv.package = true`) is built. What each backend looks
for follows its source: hatchling 1.33, setuptools 84, poetry-core 2.5, flit-core 4.2, uv-build
0.13, pdm-backend 2.5; a differential test runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import msgspec

from explint.environment.pyproject import Problem, Pyproject
from explint.environment.requirement import canonicalize_name, strict_requirement

_NO_BUILD = (
    "remove `[build-system]`: `python -m src.main` runs from the repository root without being "
    "installed"
)
# The entry points of the known backends, and the distributions that bring them.
_BACKENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "setuptools": (
        frozenset({"setuptools.build_meta", "setuptools.build_meta:__legacy__"}),
        frozenset({"setuptools"}),
    ),
    "hatchling": (frozenset({"hatchling.build"}), frozenset({"hatchling"})),
    "poetry": (
        frozenset({"poetry.core.masonry.api", "poetry.masonry.api"}),
        frozenset({"poetry-core", "poetry"}),
    ),
    "flit_core": (frozenset({"flit_core.buildapi"}), frozenset({"flit-core", "flit"})),
    "uv_build": (frozenset({"uv_build"}), frozenset({"uv-build", "uv"})),
    "pdm": (frozenset({"pdm.backend", "pdm.pep517.api"}), frozenset({"pdm-backend", "pdm-pep517"})),
}
# Requirements that bring none of the backends.
_BRINGS_NO_BACKEND = frozenset(
    {"wheel", "ninja", "cython", "numpy", "packaging", "pip", "torch", "toml", "pybind11"}
)
# Folders and modules at the root that setuptools never takes for the project's (its discovery.py).
_FLAT_FOLDERS = [
    "ci",
    "bin",
    "debian",
    "doc",
    "docs",
    "documentation",
    "manpages",
    "news",
    "newsfragments",
    "changelog",
    "test",
    "tests",
    "unit_test",
    "unit_tests",
    "example",
    "examples",
    "scripts",
    "tools",
    "util",
    "utils",
    "python",
    "build",
    "dist",
    "venv",
    "env",
    "requirements",
    "tasks",
    "fabfile",
    "site_scons",
    "benchmark",
    "benchmarks",
    "exercise",
    "exercises",
    "htmlcov",
    "ez_setup",
    "[._]*",
    "*__pycache__",
]
_FLAT_MODULES = [
    "setup",
    "conftest",
    "test",
    "tests",
    "example",
    "examples",
    "build",
    "toxfile",
    "noxfile",
    "pavement",
    "dodo",
    "tasks",
    "fabfile",
    "[Ss][Cc]onstruct",
    "conanfile",
    "manage",
    "benchmark",
    "benchmarks",
    "exercise",
    "exercises",
    "[._]*",
]


class Undecided(msgspec.Struct, frozen=True):
    """Why it cannot be told whether the build works, and what would tell it."""

    reason: str
    decided_by: str


class Tree:
    """The files and folders of a package."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.files = frozenset(paths)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth; the root is ``.``."""
        found = {"."}
        for path in self.files:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(found)

    def file(self, *parts: str) -> bool:
        """Whether this file is there."""
        return _join(parts) in self.files

    def folder(self, *parts: str) -> bool:
        """Whether this folder is there; ``.`` and nothing are the root."""
        return _join(parts) in self.folders or _join(parts) == "."

    def top_folders(self) -> list[str]:
        """The folders at the root, sorted."""
        return sorted(f for f in self.folders if "/" not in f and f != ".")

    def top_files(self) -> list[str]:
        """The files at the root, sorted."""
        return sorted(f for f in self.files if "/" not in f)


def _join(parts: Iterable[str]) -> str:
    return str(PurePosixPath(*parts))


def build_problem(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    """What stops the build of the project, if it is built."""
    if not file.is_built or file.project is None:
        return None
    build = file.build or {}
    if "requires" not in build and "build-system" in file.doc.value:
        return None
    backend = file.backend
    if not backend:
        return None
    if "backend-path" in build:
        return Undecided("the build backend is part of the package", "a build")
    root = backend.partition(":")[0].partition(".")[0]
    known = _BACKENDS.get(root)
    if known is None:
        return Undecided(f"the build backend `{backend[:60]}` is not known", "a build")
    return _backend_missing(file, backend, *known) or _LAYOUTS[root](file, tree)


def _backend_missing(
    file: Pyproject, backend: str, names: frozenset[str], distributions: frozenset[str]
) -> Problem | None:
    if backend not in names:
        best = sorted(names)[0]
        return Problem(
            file.place("build-system", "build-backend"),
            f"The build fails: there is no build backend `{backend[:60]}`.",
            f'Write `build-backend = "{best}"`, or {_NO_BUILD}.',
        )
    if file.build is None:
        return None
    required = set()
    for item in file.build.get("requires") or []:
        requirement = strict_requirement(item) if isinstance(item, str) else None
        if requirement is None:
            return None
        required.add(canonicalize_name(requirement.name))
    if required & distributions or not required <= _BRINGS_NO_BACKEND | _all_distributions():
        return None
    name = sorted(distributions)[-1] if "flit-core" not in distributions else "flit-core"
    return Problem(
        file.place("build-system", "requires"),
        f"The build fails: `requires` does not bring the build backend `{backend}`.",
        f'Add `"{name}"` to `requires` of `[build-system]`.',
    )


def _all_distributions() -> frozenset[str]:
    return frozenset(name for _, names in _BACKENDS.values() for name in names)


def _hatchling(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    missing = _missing_file(file, tree, "readme") or _missing_file(file, tree, "license")
    if missing is not None:
        return missing
    if tree.file("hatch.toml"):
        return Undecided("hatch.toml may choose the files", "a build")
    hatch = _table(file.tool.get("hatch"))
    if "version" in file.dynamic and "version" not in hatch:
        return Problem(
            file.place("project", "dynamic"),
            "The build fails: `version` is dynamic, but `[tool.hatch.version]` is missing.",
            'Write `version = "0.1.0"` in `[project]` instead.',
        )
    build = _table(hatch.get("build"))
    wheel = _table(_table(build.get("targets")).get("wheel"))
    if build.get("hooks") or wheel.get("hooks"):
        return Undecided("a build hook may add files", "a build")
    chosen = (
        "include",
        "packages",
        "only-include",
        "force-include",
        "artifacts",
        "bypass-selection",
        "dev-mode-dirs",
    )
    if any(wheel.get(key) or build.get(key) for key in chosen):
        return None
    raw = str((file.project or {}).get("name", ""))
    for name in (re.sub(r"[^\w.]+", "_", n) for n in (raw, canonicalize_name(raw))):
        if (
            tree.file(name, "__init__.py")
            or tree.file("src", name, "__init__.py")
            or tree.file(f"{name}.py")
            or sum(tree.file(top, name, "__init__.py") for top in tree.top_folders()) == 1
        ):
            return None
    folder = "src" if tree.folder("src") else next(iter(tree.top_folders()), "src")
    return Problem(
        file.place("build-system", "build-backend"),
        f"The build fails: hatchling finds no package named `{canonicalize_name(raw)}` and no "
        "`packages` setting says which files to ship.",
        f'Add `[tool.hatch.build.targets.wheel]` with `packages = ["{folder}"]`, or {_NO_BUILD}.',
    )


def _setuptools(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    settings = _table(file.tool.get("setuptools"))
    packages = settings.get("packages")
    directories = _table(settings.get("package-dir"))
    if tree.file("setup.py") or tree.file("setup.cfg"):
        return Undecided("setup.py or setup.cfg may choose the packages", "a build")
    if isinstance(packages, dict):
        where = _table(packages.get("find")).get("where", ["."])
        for index, folder in enumerate(where if isinstance(where, list) else []):
            if isinstance(folder, str) and not tree.folder(folder):
                return Problem(
                    file.place("tool", "setuptools", "packages", "find", "where", index),
                    f"The build fails: the folder `{folder[:60]}` that setuptools searches for "
                    "packages does not exist.",
                    'Write `where = ["src"]`.' if tree.folder("src") else _capital(_NO_BUILD),
                )
        return None
    if isinstance(packages, list):
        for index, package in enumerate(packages):
            if isinstance(package, str) and not tree.folder(_folder_of(package, directories)):
                return Problem(
                    file.place("tool", "setuptools", "packages", index),
                    f"The build fails: the package folder `{_folder_of(package, directories)[:60]}`"
                    " does not exist.",
                    f"Name only packages that exist, or {_NO_BUILD}.",
                )
        return None
    if "py-modules" in settings or "ext-modules" in settings:
        return None
    if any(name != "" for name in directories):
        return None
    source = directories.get("", "src")
    if not isinstance(source, str) or tree.folder(source):
        return None
    folders = [f for f in tree.top_folders() if _stands_for(f, _FLAT_FOLDERS)]
    modules = [
        f[:-3] for f in tree.top_files() if f.endswith(".py") and _stands_for(f[:-3], _FLAT_MODULES)
    ]
    found, what = (folders, "packages") if folders else (modules, "modules")
    if len(found) < 2:
        return None
    return Problem(
        file.place("build-system", "build-backend"),
        f"The build fails: setuptools takes {_names(found)} for top-level {what} of one project.",
        f"Name the {what} under `[tool.setuptools]`, or {_NO_BUILD}.",
    )


def _stands_for(name: str, excluded: list[str]) -> bool:
    return name.isidentifier() and not any(fnmatchcase(name, pattern) for pattern in excluded)


def _folder_of(package: str, directories: dict[str, Any]) -> str:
    """The folder of a dotted package name under setuptools' ``package-dir``."""
    parts = package.split(".")
    for length in range(len(parts), -1, -1):
        base = directories.get(".".join(parts[:length]))
        if isinstance(base, str):
            return _join([base, *parts[length:]])
    return _join(parts)


def _poetry(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    missing = _missing_file(file, tree, "readme") or _missing_file(file, tree, "license")
    if missing is not None:
        return missing
    if file.poetry.get("package-mode") is False:
        return Problem(
            file.place("tool", "poetry", "package-mode"),
            "The build fails: poetry-core builds nothing with `package-mode = false`.",
            f"Set `package = false` in `[tool.uv]`, or {_NO_BUILD}.",
        )
    packages = file.poetry.get("packages")
    if isinstance(packages, list) and packages:
        for index, package in enumerate(packages):
            include = _table(package).get("include")
            if not isinstance(include, str):
                continue
            pattern = _join([str(_table(package).get("from", ".")), include])
            if not _matches(pattern, tree):
                return Problem(
                    file.place("tool", "poetry", "packages", index),
                    f"The build fails: `{pattern[:60]}` does not exist.",
                    f"Name only packages that exist, or {_NO_BUILD}.",
                )
        return None
    raw = str((file.project or {}).get("name", ""))
    name = canonicalize_name(raw).replace("-", "_")
    places = [(name,), ("src", name)]
    if any(tree.folder(*p) or tree.file(*p[:-1], f"{name}.py") for p in places):
        return None
    return Problem(
        file.place("build-system", "build-backend"),
        f"The build fails: poetry-core finds no file or folder for the package `{name}`.",
        f'Add `packages = [{{ include = "src" }}]` to `[tool.poetry]`, or {_NO_BUILD}.',
    )


def _matches(pattern: str, tree: Tree) -> bool:
    if not any(c in pattern for c in "*?["):
        return pattern in tree.files or pattern in tree.folders
    # A wildcard may also stand for folders, so that only a pattern whose fixed part is missing
    # can be called empty.
    fixed = list(PurePosixPath(pattern).parts)
    cut = next(i for i, part in enumerate(fixed) if any(c in part for c in "*?["))
    return tree.folder(*fixed[:cut])


def _flit(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    missing = _missing_file(file, tree, "readme") or _missing_file(file, tree, "license")
    if missing is not None:
        return missing
    project = file.project or {}
    if "description" not in project and "description" not in file.dynamic:
        return Problem(
            file.place("project"),
            "The build fails: flit demands a `description` in `[project]`.",
            f'Add `description = "…"`, or {_NO_BUILD}.',
        )
    module = _table(_table(file.tool.get("flit")).get("module")).get("name")
    name = module if isinstance(module, str) else str(project.get("name", "")).replace("-", "_")
    path = name.replace(".", "/")
    found = [
        base
        for base in (path, f"src/{path}")
        for exists in (tree.folder(base), tree.file(f"{base}.py"))
        if exists
    ]
    if len(found) == 1:
        return None
    what = "no file or folder" if not found else "several files or folders"
    return Problem(
        file.place("build-system", "build-backend"),
        f"The build fails: flit finds {what} for the module `{name[:60]}`.",
        f'Name the module with `[tool.flit.module]` and `name = "src"`, or {_NO_BUILD}.',
    )


def _uv_build(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    missing = _missing_file(file, tree, "readme") or _missing_file(file, tree, "license")
    if missing is not None:
        return missing
    settings = _table(file.uv.get("build-backend"))
    if settings.get("namespace") is True:
        return None
    root = settings.get("module-root", "src")
    named = settings.get("module-name", (file.name or "").replace("-", "_"))
    for name in named if isinstance(named, list) else [named]:
        if not isinstance(name, str) or not isinstance(root, str):
            continue
        path = _join([root, *name.split("."), "__init__.py"])
        stub = name.endswith("-stubs")
        if not stub and path.casefold() not in {f.casefold() for f in tree.files}:
            return Problem(
                file.place("build-system", "build-backend"),
                f"The build fails: uv_build expects a module at {path[:80]}.",
                _capital(_NO_BUILD) + ".",
            )
    return None


def _pdm(file: Pyproject, tree: Tree) -> Problem | Undecided | None:
    return _missing_file(file, tree, "readme") or _missing_file(file, tree, "license")


_LAYOUTS = {
    "setuptools": _setuptools,
    "hatchling": _hatchling,
    "poetry": _poetry,
    "flit_core": _flit,
    "uv_build": _uv_build,
    "pdm": _pdm,
}


def _missing_file(file: Pyproject, tree: Tree, field: str) -> Problem | None:
    """A readme or license file that the backend reads and that is not there."""
    value = (file.project or {}).get(field)
    path: tuple[str, ...] = ("project", field)
    if isinstance(value, dict):
        value, path = value.get("file"), (*path, "file")
    elif field == "license":
        return None
    if not isinstance(value, str) or tree.file(value):
        return None
    return Problem(
        file.place(*path),
        f"The build fails: the {field} file `{value[:60]}` does not exist.",
        f"Add the file or remove `{field}` from `[project]`.",
    )


def _names(names: list[str]) -> str:
    shown = [f"`{name}`" for name in names[:4]]
    if len(names) > 4:
        return f"{', '.join(shown)} and {len(names) - 4} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401
    return value if isinstance(value, dict) else {}
