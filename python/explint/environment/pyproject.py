"""pyproject.toml as uv reads it: what it rejects, and what it installs for `uv run`.

The checks follow uv 0.13, measured by running it; a differential test compares the two. uv itself
reads few fields: what else stands in `[project]` is judged by the build backend, and only where the
project is built at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose.yaml import Mark
from explint.environment.requirement import (
    Requirement,
    canonicalize_name,
    is_version,
    read_specifiers,
    strict_requirement,
)
from explint.environment.toml import Path, TomlDocument, TomlProblem, load_toml
from explint.regex import regex

if TYPE_CHECKING:
    from packaging.markers import Marker

PATH = "pyproject.toml"
START = Mark(1, 1, 1, 1)

_NAME = regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# What uv puts right in a requirement of a project that is not built (its LenientRequirement).
_LENIENT = (
    (regex(r"(\d)([<>=~^!])"), r"\1,\2"),
    (regex(r"!=~((?:\d\.)*\d)"), r"!=\1.*"),
    (regex(r"(<=|>=|<|>)\s*(\d+(?:\.\d+)*)\.\*"), r"\1\2"),
    (regex(r"""['"](\d[^'";]*)['"](?=[^;]*(?:;|$))"""), r"\1"),
)
_CARET = regex(r"^\s*([A-Za-z0-9._-]+(?:\[[^\]]*\])?)\s*[=><]*\s*\^\s*v?(\d+(?:\.\d+)*)")
_FIELDS = frozenset(
    [
        "name",
        "version",
        "description",
        "readme",
        "requires-python",
        "license",
        "license-files",
        "authors",
        "maintainers",
        "keywords",
        "classifiers",
        "urls",
        "scripts",
        "gui-scripts",
        "entry-points",
        "dependencies",
        "optional-dependencies",
        "dynamic",
        "import-names",
        "import-namespaces",
    ]
)
_SOURCE_FIELDS = frozenset(
    [
        "git",
        "subdirectory",
        "rev",
        "tag",
        "branch",
        "lfs",
        "url",
        "path",
        "editable",
        "package",
        "index",
        "workspace",
        "marker",
        "extra",
        "group",
    ]
)


class Problem(msgspec.Struct, frozen=True):
    """One reason why uv rejects the file."""

    mark: Mark
    message: str
    help: str


class Declared(msgspec.Struct, frozen=True):
    """One requirement as the file declares it; ``path`` is where it stands."""

    name: str
    requirement: Requirement
    path: Path


class Pyproject:
    """A pyproject.toml that is TOML."""

    def __init__(self, doc: TomlDocument) -> None:
        self.doc = doc
        project = doc.value.get("project")
        self.project: dict[str, Any] | None = project if isinstance(project, dict) else None
        tool = _table(doc.value.get("tool"))
        self.uv = _table(tool.get("uv"))
        self.poetry = _table(tool.get("poetry"))
        self.tool = tool
        build = doc.value.get("build-system")
        self.build: dict[str, Any] | None = build if isinstance(build, dict) else None

    @property
    def has_project(self) -> bool:
        """Whether a ``project`` table is there, well-formed or not."""
        return "project" in self.doc.value

    @property
    def name(self) -> str | None:
        """The project's normalised name."""
        name = (self.project or {}).get("name")
        return canonicalize_name(name) if isinstance(name, str) else None

    @property
    def is_built(self) -> bool:
        """Whether ``uv run`` builds and installs the project itself.

        It does where ``tool.uv.package`` says so, or else where there is a build system.
        """
        if self.project is None:
            return False
        package = self.uv.get("package")
        return package if isinstance(package, bool) else "build-system" in self.doc.value

    @property
    def backend(self) -> str:
        """The entry point of the build backend; setuptools where the file names none (PEP 517)."""
        named = (self.build or {}).get("build-backend", "setuptools.build_meta:__legacy__")
        return named if isinstance(named, str) else ""

    @property
    def dynamic(self) -> frozenset[str]:
        """The fields that the build backend fills in."""
        return frozenset(_strings((self.project or {}).get("dynamic")))

    def place(self, *path: str | int) -> Mark:
        """The place of a value, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            mark = self.doc.at(path[:length])
            if mark is not None:
                return mark
        return START

    def key_place(self, *path: str | int) -> Mark:
        """The place of a key, or of the nearest table around it."""
        return self.doc.key_at(path) or self.place(*path)

    def default_groups(self) -> list[str]:
        """The dependency groups that ``uv run`` installs: ``dev`` unless the file names others."""
        groups = _table(self.doc.value.get("dependency-groups"))
        chosen = self.uv.get("default-groups")
        if chosen == "all":
            return [str(name) for name in groups]
        if isinstance(chosen, list):
            wanted = {str(canonicalize_name(name)) for name in chosen if isinstance(name, str)}
        else:
            wanted = {"dev"}
        return [name for name in groups if canonicalize_name(name) in wanted]

    def installed(self) -> list[Declared]:
        """The requirements that ``uv run`` installs on Linux; malformed ones are left out."""
        found = list(self._list(("project", "dependencies")))
        for group in self.default_groups():
            found += self._group(group, set())
        found += self._list(("tool", "uv", "dev-dependencies"))
        return found

    def optional(self) -> list[Declared]:
        """The requirements that ``uv run`` does not install unless it is told to."""
        found: list[Declared] = []
        for extra in _table((self.project or {}).get("optional-dependencies")):
            found += self._list(("project", "optional-dependencies", extra))
        for group in _table(self.doc.value.get("dependency-groups")):
            found += self._group(group, set())
        return found

    def is_readable(self) -> bool:
        """Whether every list that ``installed`` reads is a list of requirements."""
        groups = _table(self.doc.value.get("dependency-groups"))
        lists = [
            (self.project or {}).get("dependencies", []),
            self.uv.get("dev-dependencies", []),
            *(groups[name] for name in self.default_groups()),
        ]
        return all(
            isinstance(items, list)
            and all(isinstance(i, dict) or parse_requirement(str(i)) is not None for i in items)
            for items in lists
        )

    def everything(self) -> list[Declared]:
        """Every requirement of the file, whichever tool reads it; Poetry's by name only."""
        return self.installed() + self.optional() + self._poetry()

    def _poetry(self) -> list[Declared]:
        tables: list[tuple[str, ...]] = [("dependencies",), ("dev-dependencies",)]
        groups = _table(self.poetry.get("group"))
        tables += [("group", str(group), "dependencies") for group in groups]
        found = []
        for path in tables:
            value: Any = self.poetry
            for part in path:
                value = _table(_table(value).get(part))
            for name in value:
                requirement = parse_requirement(name)
                if requirement is not None and name != "python":
                    where = ("tool", "poetry", *path, name)
                    found.append(Declared(canonicalize_name(name), requirement, where))
        return found

    def _group(self, name: str, seen: set[str]) -> list[Declared]:
        groups = _table(self.doc.value.get("dependency-groups"))
        actual = {canonicalize_name(group): group for group in groups}.get(canonicalize_name(name))
        if actual is None or actual in seen:
            return []
        seen.add(actual)
        found = list(self._list(("dependency-groups", actual)))
        for item in _list(groups[actual]):
            included = _table(item).get("include-group")
            if isinstance(included, str):
                found += self._group(included, seen)
        return found

    def _list(self, path: tuple[str, ...]) -> Iterator[Declared]:
        value: Any = self.doc.value
        for part in path:
            value = _table(value).get(part)
        for index, item in enumerate(_list(value)):
            requirement = parse_requirement(item) if isinstance(item, str) else None
            if requirement is not None and _holds_somewhere(requirement.marker):
                name = canonicalize_name(requirement.name)
                yield Declared(name, requirement, (*path, index))


def read_pyproject(text: str) -> Pyproject | TomlProblem:
    """Reads the text of a pyproject.toml."""
    doc = load_toml(text)
    return doc if isinstance(doc, TomlProblem) else Pyproject(doc)


@lru_cache(maxsize=4096)
def parse_requirement(text: str) -> Requirement | None:
    """A requirement as uv understands it, its repairs of common mistakes included, or None."""
    requirement = strict_requirement(text)
    if requirement is not None:
        return requirement
    repaired = text
    for pattern, replacement in _LENIENT:
        repaired = pattern.sub(replacement, repaired)
    return strict_requirement(repaired)


def problems(file: Pyproject) -> Iterator[Problem]:
    """What makes uv, or the build that it starts, reject the file."""
    yield from _shape(file)
    if file.project is not None:
        yield from _identity(file, file.project)
        yield from _requires_python(file, file.project)
        yield from _dependencies(file, file.project)
        if file.is_built:
            yield from _metadata(file, file.project)
            yield from _build_system(file)
    yield from _groups(file)
    yield from _tool_uv(file)


def _shape(file: Pyproject) -> Iterator[Problem]:
    project = file.doc.value.get("project")
    if project is not None and not isinstance(project, dict):
        yield Problem(
            file.key_place("project"),
            f"uv rejects pyproject.toml: `project` is {kind(project)}, not a table.",
            "Open the table with `[project]`, in single brackets.",
        )


def _identity(file: Pyproject, project: dict[str, Any]) -> Iterator[Problem]:
    name = project.get("name")
    if name is None:
        yield Problem(
            file.key_place("project"),
            "uv rejects pyproject.toml: `[project]` has no `name`.",
            'Add `name = "…"` to `[project]`.',
        )
    elif not isinstance(name, str):
        yield _wrong(file, ("project", "name"), name, "a string", 'Write `name = "…"`.')
    elif not _NAME.fullmatch(name):
        better = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")
        yield Problem(
            file.place("project", "name"),
            f'uv rejects pyproject.toml: "{_short(name)}" is not a valid project name, which '
            "starts and ends with an ASCII letter or digit and holds only those, `-`, `_` and "
            "`.`.",
            f'Write `name = "{_short(better) or "experiment"}"`.',
        )
    version = project.get("version")
    if version is None:
        if "version" not in file.dynamic:
            yield Problem(
                file.key_place("project"),
                "uv rejects pyproject.toml: `[project]` has no `version`, and `dynamic` does not "
                "name it.",
                'Add `version = "0.1.0"` to `[project]`.',
            )
    elif not isinstance(version, str):
        fixed = 'Write `version = "0.1.0"`, in quotes.'
        yield _wrong(file, ("project", "version"), version, "a string", fixed)
    elif not is_version(version):
        yield Problem(
            file.place("project", "version"),
            f'uv rejects pyproject.toml: "{_short(version)}" is not a version (PEP 440).',
            'Write a version such as `version = "0.1.0"`.',
        )
    dynamic = project.get("dynamic")
    if dynamic is not None and not _is_strings(dynamic):
        fixed = 'Write `dynamic = ["version"]`.'
        yield _wrong(file, ("project", "dynamic"), dynamic, "a list of strings", fixed)
    strict = file.is_built and not file.backend.startswith("poetry.")
    if version is not None and "version" in file.dynamic and strict:
        yield Problem(
            file.place("project", "dynamic"),
            "The build rejects pyproject.toml: `version` is set and listed in `dynamic` as well.",
            "Remove `version` from `dynamic`.",
        )


def _requires_python(file: Pyproject, project: dict[str, Any]) -> Iterator[Problem]:
    path = ("project", "requires-python")
    wanted = project.get("requires-python")
    if wanted is None:
        return
    if not isinstance(wanted, str):
        fixed = f'Write `requires-python = ">={wanted}"`.'
        if not isinstance(wanted, float):
            fixed = 'Write `requires-python = ">=3.11"`.'
        yield _wrong(file, path, wanted, "a string", fixed)
        return
    # uv takes the empty text, but no empty part and no blank alone.
    parts = wanted.split(",") if wanted else []
    specifiers = read_specifiers(wanted)
    if specifiers is None or not all(part.strip() for part in parts):
        found = re.search(r"3(?:\.\d+)?", wanted)
        yield Problem(
            file.place(*path),
            f'uv rejects pyproject.toml: "{_short(wanted)}" is not a version specifier (PEP 440).',
            f'Write `requires-python = ">={found[0] if found else "3.11"}"`.',
        )
        return
    out_of_reach = specifiers.out_of_reach()
    if out_of_reach is not None:
        yield Problem(
            file.place(*path),
            f'uv rejects pyproject.toml: no Python satisfies "{_short(wanted)}".',
            f'Write `requires-python = ">={out_of_reach}"`.',
        )


def _dependencies(file: Pyproject, project: dict[str, Any]) -> Iterator[Problem]:
    path: Path = ("project", "dependencies")
    declared = project.get("dependencies")
    if isinstance(declared, dict):
        lines = ", ".join(f'"{_as_requirement(n, v)}"' for n, v in list(declared.items())[:2])
        more = ", …" if len(declared) > 2 else ""
        yield Problem(
            file.key_place(*path),
            "uv rejects pyproject.toml: `project.dependencies` is a table, not a list of strings.",
            f"Write `dependencies = [{lines}{more}]` inside `[project]`.",
        )
    elif declared is not None:
        yield from _requirements(file, path, declared)
    optional = project.get("optional-dependencies")
    path = ("project", "optional-dependencies")
    if isinstance(optional, dict):
        for extra, items in optional.items():
            yield from _name(file, (*path, extra), extra, "an extra")
            yield from _requirements(file, (*path, extra), items)
    elif optional is not None:
        fixed = 'Write `[project.optional-dependencies]` with lines such as `dev = ["pytest"]`.'
        yield _wrong(file, path, optional, "a table", fixed)


def _requirements(
    file: Pyproject,
    path: Path,
    items: Any,  # noqa: ANN401
    *,
    strict: bool = False,
) -> Iterator[Problem]:
    """Problems of a list of requirements; ``strict`` where uv repairs nothing."""
    label = ".".join(map(str, path))
    if not isinstance(items, list):
        fixed = f'Write `{path[-1]} = ["…"]`, one requirement per string.'
        yield _wrong(file, path, items, "a list of strings", fixed)
        return
    for index, item in enumerate(items):
        where = (*path, index)
        if path[0] == "dependency-groups" and isinstance(item, dict):
            continue
        if not isinstance(item, str):
            fixed = 'Write each requirement as one string, such as `"torch>=2.1"`.'
            yield _wrong(file, where, item, "a string", fixed, f"an entry of `{label}`")
        elif not _accepted(file, item, strict=strict):
            yield Problem(
                file.place(*where),
                f'uv rejects pyproject.toml: "{_short(item)}" is not a requirement (PEP 508)'
                f"{'; `^` is Poetry notation' if '^' in item else ''}.",
                f"Write `{_suggestion(item)}`.",
            )


def _accepted(file: Pyproject, text: str, *, strict: bool) -> bool:
    """Whether a requirement passes.

    uv's repairs hold only where no backend reads it too; flit hands it on to uv as it stands.
    """
    read_by_backend = file.is_built or bool(file.dynamic)
    if strict or (read_by_backend and not file.backend.startswith("flit_core.")):
        return strict_requirement(text) is not None
    return parse_requirement(text) is not None


def _metadata(file: Pyproject, project: dict[str, Any]) -> Iterator[Problem]:
    """What every build backend rejects."""

    def wrong(field: str, wanted: str, fixed: str, *index: str | int) -> Problem:
        path = ("project", field, *index)
        value: Any = project[field]
        for part in index:
            value = value[part]
        return _wrong(file, path, value, wanted, fixed, by="The build rejects")

    if file.backend.startswith(("setuptools.", "flit_core.")):
        for field in sorted(set(project) - _FIELDS):
            yield Problem(
                file.key_place("project", field),
                f"The build rejects pyproject.toml: `[project]` has no field `{_short(field)}`.",
                f"Remove `{_short(field)}` or move it to a `[tool.…]` table.",
            )
    if "description" in project and not isinstance(project["description"], str):
        yield wrong("description", "a string", 'Write `description = "…"`.')
    for field in ("keywords", "classifiers"):
        if field in project and not _is_strings(project[field]):
            yield wrong(field, "a list of strings", f'Write `{field} = ["…"]`.')
    for field in ("authors", "maintainers"):
        fixed = f'Write `{field} = [{{ name = "…" }}]`.'
        people = project.get(field, [])
        if not isinstance(people, list):
            yield wrong(field, "a list of tables", fixed)
            continue
        for index, person in enumerate(people):
            if not isinstance(person, dict):
                yield wrong(field, "a table with `name` and `email`", fixed, index)
                break
    for field in ("urls", "scripts", "gui-scripts"):
        table = project.get(field, {})
        if not isinstance(table, dict):
            yield wrong(field, "a table", f"Write `[project.{field}]` with `name = value` lines.")
            continue
        for key, value in table.items():
            if not isinstance(value, str):
                yield wrong(field, "a string", f'Write `{key} = "…"`.', key)
            elif field != "urls" and ":" not in value:
                yield Problem(
                    file.place("project", field, key),
                    f'uv cannot install the project: "{_short(value)}" names no function to call.',
                    f'Write `{key} = "{_short(value)}:main"`.',
                )


def _build_system(file: Pyproject) -> Iterator[Problem]:
    path: Path = ("build-system",)
    if "build-system" not in file.doc.value:
        return
    if file.build is None:
        yield _wrong(
            file, path, file.doc.value["build-system"], "a table", "Write `[build-system]`."
        )
        return
    if "requires" not in file.build:
        yield Problem(
            file.key_place(*path),
            "uv cannot build the project: `[build-system]` has no `requires`.",
            'Add `requires = ["setuptools"]`, or remove `[build-system]`: an experiment that runs '
            "with `python -m src.main` need not be installed.",
        )
        return
    yield from _requirements(file, (*path, "requires"), file.build["requires"], strict=True)
    backend = file.build.get("build-backend")
    if backend is not None and not isinstance(backend, str):
        fixed = 'Write `build-backend = "…"`.'
        yield _wrong(file, (*path, "build-backend"), backend, "a string", fixed)


def _groups(file: Pyproject) -> Iterator[Problem]:
    groups = file.doc.value.get("dependency-groups")
    path: Path = ("dependency-groups",)
    if groups is None:
        return
    if not isinstance(groups, dict):
        fixed = 'Write `[dependency-groups]` with lines such as `dev = ["pytest"]`.'
        yield _wrong(file, path, groups, "a table", fixed)
        return
    known = {str(canonicalize_name(name)): name for name in groups}
    for name, items in groups.items():
        yield from _name(file, (*path, name), name, "a dependency group")
        yield from _requirements(file, (*path, name), items, strict=True)
        for index, item in enumerate(_list(items)):
            if not isinstance(item, dict):
                continue
            included = item.get("include-group")
            if not isinstance(included, str) or len(item) != 1:
                yield Problem(
                    file.place(*path, name, index),
                    f"uv rejects pyproject.toml: group `{_short(name)}` holds a table other than "
                    '`{ include-group = "…" }`.',
                    'Write a requirement string or `{ include-group = "…" }`.',
                )
            elif canonicalize_name(included) not in known:
                yield Problem(
                    file.place(*path, name, index),
                    f"uv rejects pyproject.toml: group `{_short(name)}` includes "
                    f"`{_short(included)}`, which is not defined.",
                    f"Define `{_short(included)}` in `[dependency-groups]` or drop the entry.",
                )
    cycle = _cycle(groups, known)
    if cycle is not None:
        yield Problem(
            file.place(*path, cycle),
            f"uv rejects pyproject.toml: group `{_short(cycle)}` includes itself.",
            "Remove the `include-group` entry that closes the circle.",
        )


def _cycle(groups: Mapping[str, Any], known: Mapping[str, str]) -> str | None:
    """The first group, in order of the file, that includes itself over any number of steps."""
    edges = {
        name: [
            known[canonicalize_name(item["include-group"])]
            for item in _list(items)
            if isinstance(item, dict)
            and isinstance(item.get("include-group"), str)
            and canonicalize_name(item["include-group"]) in known
        ]
        for name, items in groups.items()
    }
    for start in edges:
        seen: set[str] = set()
        open_ends = list(edges[start])
        while open_ends:
            name = open_ends.pop()
            if name == start:
                return start
            if name not in seen:
                seen.add(name)
                open_ends += edges[name]
    return None


def _tool_uv(file: Pyproject) -> Iterator[Problem]:
    tool = file.doc.value.get("tool")
    if tool is None:
        return
    if not isinstance(tool, dict):
        yield _wrong(file, ("tool",), tool, "a table", "Write `[tool.<name>]`.")
        return
    uv = tool.get("uv")
    if uv is None:
        return
    path: Path = ("tool", "uv")
    if not isinstance(uv, dict):
        yield _wrong(file, path, uv, "a table", "Write `[tool.uv]`.")
        return
    for field in ("package", "managed"):
        if field in uv and not isinstance(uv[field], bool):
            yield _wrong(
                file, (*path, field), uv[field], "true or false", f"Write `{field} = false`."
            )
    if "dev-dependencies" in uv:
        items = uv["dev-dependencies"]
        yield from _requirements(file, (*path, "dev-dependencies"), items, strict=True)
    chosen = uv.get("default-groups")
    if isinstance(chosen, list):
        groups = _table(file.doc.value.get("dependency-groups"))
        known = {canonicalize_name(name) for name in groups}
        for index, name in enumerate(chosen):
            if isinstance(name, str) and canonicalize_name(name) not in known:
                yield Problem(
                    file.place(*path, "default-groups", index),
                    f"uv rejects pyproject.toml: the default group `{_short(name)}` is not "
                    "defined in `[dependency-groups]`.",
                    "Define the group or drop it from `default-groups`.",
                )
    for name, source in _table(uv.get("sources")).items():
        for entry in source if isinstance(source, list) else [source]:
            unknown = sorted(set(_table(entry)) - _SOURCE_FIELDS)
            if unknown:
                yield Problem(
                    file.place(*path, "sources", name),
                    f"uv rejects pyproject.toml: a source has no field `{_short(unknown[0])}`.",
                    "Write a source such as `{ git = … }`, `{ path = … }` or `{ index = … }`.",
                )
                break
    indexes = uv.get("index")
    for index, entry in enumerate(_list(indexes)):
        if isinstance(entry, dict) and "url" not in entry:
            yield Problem(
                file.place(*path, "index", index),
                "uv rejects pyproject.toml: an index has no `url`.",
                'Add `url = "…"` to the index.',
            )


def _name(file: Pyproject, path: Path, name: str, what: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(
            file.key_place(*path),
            f'uv rejects pyproject.toml: "{_short(name)}" is not a valid name of {what}.',
            "Use ASCII letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.",
        )


def _wrong(
    file: Pyproject,
    path: Path,
    value: Any,  # noqa: ANN401
    wanted: str,
    fixed: str,
    what: str = "",
    by: str = "uv rejects",
) -> Problem:
    what = what or f"`{'.'.join(map(str, path))}`"
    return Problem(
        file.place(*path), f"{by} pyproject.toml: {what} is {kind(value)}, not {wanted}.", fixed
    )


def kind(value: Any) -> str:  # noqa: ANN401
    """A value in words, for messages."""
    match value:
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            return "an integer"
        case float():
            return "a float"
        case str():
            return f'the string "{_short(value)}"'
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def _suggestion(text: str) -> str:
    """A requirement that says what a malformed one probably means."""
    caret = _CARET.match(text)
    if caret is not None:
        return f'"{caret[1]}{_caret(caret[2])}"'
    table = re.match(r"""^\s*([A-Za-z0-9._-]+)\s*=+\s*["']?\^?([^"']*)""", text)
    if table is not None:
        return f'"{_as_requirement(table[1], table[2])}"'
    name = re.match(r"^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)", text)
    return f'"{_short(name[1])}"' if name else '"<name>>=<version>"'


def _as_requirement(name: str, constraint: Any) -> str:  # noqa: ANN401
    """One line of a Poetry-style table as a requirement."""
    if isinstance(constraint, dict):
        constraint = constraint.get("version", "*")
    if not isinstance(constraint, str):
        return _short(name)
    constraint = constraint.strip()
    if constraint.startswith("^") and re.fullmatch(r"\d+(\.\d+)*", constraint[1:]):
        return f"{_short(name)}{_caret(constraint[1:])}"
    text = f"{name}{constraint}" if not constraint[:1].isdigit() else f"{name}=={constraint}"
    return text if constraint != "*" and parse_requirement(text) is not None else _short(name)


def _caret(version: str) -> str:
    """Poetry's ``^1.2`` as ``>=1.2,<2``."""
    parts = [int(part[:9]) for part in version.split(".")]
    significant = next((i for i, part in enumerate(parts) if part), len(parts) - 1)
    upper = [*parts[:significant], parts[significant] + 1]
    return f">={version},<{'.'.join(map(str, upper))}"


def _holds_somewhere(marker: Marker | None) -> bool:
    """Whether a requirement applies on Linux with any Python that may be meant."""
    if marker is None:
        return True
    for minor in range(8, 16):
        environment = {
            "python_version": f"3.{minor}",
            "python_full_version": f"3.{minor}.9",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": "x86_64",
            "os_name": "posix",
            "extra": "",
        }
        if marker.evaluate(environment):
            return True
    return False


def _is_strings(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _strings(value: Any) -> list[str]:  # noqa: ANN401
    return [item for item in _list(value) if isinstance(item, str)]


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else []


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401
    return value if isinstance(value, dict) else {}


def _short(text: str) -> str:
    """A text of the file for a message: one line, bounded."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}…"
