"""Rules about the environment: does `uv run` work at all? Criteria 1 and 5."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from explint.environment.build import Undecided, build_problem
from explint.environment.distributions import distributions
from explint.environment.imports import Import
from explint.environment.pyproject import PATH, Problem, Pyproject
from explint.environment.requirement import canonicalize_name, read_specifiers
from explint.environment.stdlib import ADDED, REMOVED
from explint.environment.toml import TomlProblem
from explint.environment.view import Environment, environment_of
from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.registry import Hit, Unknown, rule
from explint.syntax import nodes, parsed

if TYPE_CHECKING:
    from explint.compose.yaml import Mark
    from explint.experiment import Experiment

_LOWEST_MINOR, _HIGHEST_MINOR = 6, 14
_MAX_RELATED = 10


@rule("env/invalid-pyproject", code="ENV001", severity=Severity.ERROR, criteria=(5, 1))
def invalid_pyproject(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """uv rejects pyproject.toml.

    ## What it does
    Reads pyproject.toml as uv does and reports what ends `uv run` before any code runs: text that
    is not TOML, `[project.dependencies]` as a table, Poetry's caret versions, a requirement,
    version or name that breaks PEP 508 or PEP 440, a missing `name` or `version`, a malformed
    dependency group or `[tool.uv]` entry. Where the project is built (it has a `[build-system]`),
    fields of `[project]` that every build backend rejects count too, such as authors given as
    strings.

    uv repairs a few requirements (`torch>=2.*`, `torch>=2<3`); these are no findings unless a build
    backend or a dependency group, which are read strictly, holds them.

    ## Why is this bad
    `uv run` reads the file first: every command of the experiment ends with this error.

    ## Example
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"

    [project.dependencies]
    torch = "^2.1"
    ```

    ## Use instead
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    dependencies = ["torch>=2.1,<3"]
    ```

    ## References
    - [The pyproject.toml specification](https://packaging.python.org/en/latest/specifications/pyproject-toml/)
    - [uv: projects](https://docs.astral.sh/uv/concepts/projects/layout/)
    """
    environment = environment_of(experiment)
    file = environment.file
    if environment.is_withheld:
        yield _withheld()
    elif isinstance(file, TomlProblem):
        yield Hit(
            path=PATH,
            line=file.line,
            column=file.column,
            message=f"uv rejects pyproject.toml, which is not TOML: {file.message}.",
            help="Correct the TOML at this place.",
        )
    elif file is not None:
        for problem in environment.problems:
            yield _hit(problem)


@rule("env/no-project-table", code="ENV002", severity=Severity.ERROR, criteria=(5, 1))
def no_project_table(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """pyproject.toml has no `[project]` table, so that `uv run` installs nothing.

    ## What it does
    Reports a pyproject.toml without `[project]` where the commands of the protocol start with
    `uv run` and the code imports third-party modules. Poetry's `[tool.poetry.dependencies]` is
    the usual case: uv does not read it. A file that declares its dependencies in
    `[dependency-groups]` or `tool.uv.dev-dependencies` is let pass, because uv installs those.

    ## Why is this bad
    uv takes such a project for a virtual one without dependencies: it says nothing, makes an empty
    environment, and the first third-party import fails.

    ## Example
    ```toml
    [tool.poetry]
    name = "tiny-study"
    version = "0.1.0"

    [tool.poetry.dependencies]
    torch = "^2.1"
    ```

    ## Use instead
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    dependencies = ["torch>=2.1,<3"]
    ```

    ## References
    - [uv: dependencies](https://docs.astral.sh/uv/concepts/projects/dependencies/)
    """
    environment = environment_of(experiment)
    file = environment.file
    if environment.is_uv and environment.is_withheld:
        yield _withheld()
    if not environment.is_uv or not isinstance(file, Pyproject):
        return
    # An empty file is the structure rule's to report.
    if file.has_project or not file.doc.value or file.installed():
        return
    needed = [m for m in environment.third_party if environment.imports(m)]
    poetry = file.poetry.get("dependencies")
    declared = [n for n in poetry if n != "python"] if isinstance(poetry, dict) else []
    if not needed and not declared:
        return
    place = file.place("tool", "poetry", "dependencies") if declared else file.place("tool")
    fails = f", and the import of {_names(needed)} fails" if needed else ""
    reads = "; it does not read `[tool.poetry]`" if file.poetry else ""
    yield _hit(
        Problem(
            place,
            f"There is no `[project]` table, so that `uv run` installs nothing{fails}{reads}.",
            'Write `[project]` with `name`, `version` and `dependencies = ["…"]`.',
        )
    )


@rule("env/build-fails", code="ENV003", severity=Severity.ERROR, criteria=(5, 1))
def build_fails(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The build backend finds nothing to build, or does not exist.

    ## What it does
    `uv run` builds and installs a project that has a `[build-system]` table (or
    `tool.uv.package = true`). This rule follows what each backend looks for: hatchling,
    poetry-core, flit and uv_build want a folder named after the project unless a setting names
    another one; setuptools refuses several top-level folders or modules where there is no `src`
    folder, and settings that name folders which do not exist. It also reports a backend that does
    not exist or that `requires` does not bring, and a readme or license file that is not there.

    setuptools with a `src` folder always builds, also with `where = ["src"]` and no package in it.
    Build hooks, setup.py, a backend of the package's own and backends that are not known leave
    the question open.

    ## Why is this bad
    The failed build ends every `uv run`, although the code needs no installation.

    ## Example
    ```toml
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "tiny-study"
    version = "0.1.0"
    ```

    ## Use instead
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    ```

    ## References
    - [uv: build systems](https://docs.astral.sh/uv/concepts/projects/config/#build-systems)
    - [Hatch: file selection](https://hatch.pypa.io/latest/plugins/builder/wheel/#default-file-selection)
    - [setuptools: package discovery](https://setuptools.pypa.io/en/latest/userguide/package_discovery.html)
    """
    environment = environment_of(experiment)
    if environment.is_uv and environment.is_withheld:
        yield _withheld()
    if not environment.is_uv or not isinstance(environment.file, Pyproject):
        return
    found = build_problem(environment.file, environment.tree)
    if found is None or environment.problems:
        # A file that uv rejects is never built.
        return
    if isinstance(found, Undecided):
        yield Unknown(reason=found.reason, decided_by=found.decided_by, path=PATH)
    elif environment.partial:
        yield Unknown(
            reason="the build may find files that are not part of the record",
            decided_by="the whole package",
            path=PATH,
        )
    else:
        yield _hit(found)


@rule("env/undeclared-dependency", code="ENV004", severity=Severity.ERROR, criteria=(5, 1))
def undeclared_dependency(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """An imported distribution is not declared in pyproject.toml.

    ## What it does
    Compares the third-party modules that the code imports with what `uv run` installs:
    `dependencies`, the default dependency groups, and what comes with them. PyYAML and omegaconf
    come with hydra-core, numpy and Pillow with torchvision. Modules are matched with the
    distributions that bring them (`sklearn` with scikit-learn, `cv2` with opencv-python).

    Imports that may be skipped are let pass: those in a `try` that takes the ImportError, below
    `if` or `TYPE_CHECKING`. `[project.optional-dependencies]` are not installed by `uv run`.
    Modules that explint does not know, and modules that an unknown distribution may bring, are
    left undecided; so is everything while `dependencies` is dynamic. The newest releases are
    judged, or what any release brought where a requirement excludes the newest.

    Where no protocol demands `uv run`, extras, all groups and `[tool.poetry]` count as installed,
    and a repository that declares packages elsewhere too (requirements.txt, environment.yaml,
    setup.py, a Dockerfile) is let pass.

    ## Why is this bad
    `uv run` makes an environment with exactly what is declared: the import ends the run.

    ## Example
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    dependencies = ["torch>=2.1", "hydra-core>=1.3"]
    ```

    ```python
    import pandas as pd
    ```

    ## Use instead
    ```toml
    [project]
    name = "tiny-study"
    version = "0.1.0"
    dependencies = ["torch>=2.1", "hydra-core>=1.3", "pandas>=2.1"]
    ```

    ## References
    - [uv: dependencies](https://docs.astral.sh/uv/concepts/projects/dependencies/)
    """
    environment = environment_of(experiment)
    file = environment.file
    if environment.is_uv and environment.is_withheld:
        yield _withheld()
    if not isinstance(file, Pyproject) or file.project is None:
        return
    if not environment.is_uv and environment.others:
        return
    if not file.is_readable():
        return
    declared = file.installed() if environment.is_uv else file.everything()
    table = distributions()
    wanted = [(d.name, d.requirement.extras) for d in declared if d.name != file.name]
    # One requirement that excludes a newest release may hold others back as well.
    older = any(table.holds_back(d.requirement) for d in declared)
    brought = table.closure(wanted, earlier=older) | _locked(environment.lock_text)
    open_ends = [name for name, extras in wanted if table.may_bring_more(name, extras)]
    missing: dict[str, list[Import]] = {}
    for module in environment.third_party:
        providers = table.bringing(module)
        if brought & {*providers, canonicalize_name(module)}:
            continue
        places = environment.imports(module)
        if not places:
            continue
        reason = _undecided(environment, file, module, providers, open_ends)
        if reason is not None:
            yield Unknown(reason=reason, decided_by="uv.lock", path=places[0].path)
            continue
        missing.setdefault(providers[0], []).extend(places)
    if not declared and len(missing) > 1:
        first = [places[0] for places in missing.values()]
        place = file.key_place("project")
        yield Hit(
            path=PATH,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`[project]` declares no dependencies, but the code imports "
            f"{_names([i.module for i in first])}.",
            help=f"Add `dependencies = [{_quoted(list(missing))}]` to `[project]`.",
            related=_related(first),
        )
        return
    for name, places in missing.items():
        first_place, *more = places
        yield Hit(
            path=first_place.path,
            line=first_place.line,
            column=first_place.column,
            end_line=first_place.end_line,
            end_column=first_place.end_column,
            message=f"`{first_place.module}` is imported, but nothing that pyproject.toml declares "
            "installs it.",
            help=_how_to_declare(environment, file, name),
            related=_related(more),
        )


@rule("env/unknown-distribution", code="ENV005", severity=Severity.WARNING, criteria=(5, 1))
def unknown_distribution(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A declared distribution does not look real.

    ## What it does
    Reports a requirement that names a module in place of the distribution that brings it
    (`sklearn`, `cv2`, `PIL`), and one that is a letter away from a well-known distribution
    (`transfomers`) and is none itself, as far as explint's table goes.

    ## Why is this bad
    uv looks the name up as it stands. It finds nothing and stops, or it installs a stranger's
    package: names that are easily mistyped are a known way to spread malicious ones.

    ## Example
    ```toml
    dependencies = ["sklearn", "transfomers>=4.40"]
    ```

    ## Use instead
    ```toml
    dependencies = ["scikit-learn", "transformers>=4.40"]
    ```

    ## References
    - [PyPI: the deprecated sklearn package](https://github.com/scikit-learn/sklearn-pypi-package)
    """
    file = environment_of(experiment).file
    if not isinstance(file, Pyproject):
        return
    table = distributions()
    sources = file.uv.get("sources")
    placed_elsewhere = {canonicalize_name(n) for n in sources} if isinstance(sources, dict) else ()
    seen = set()
    for declared in file.everything():
        name = declared.name
        if name in seen or table.is_known(name) or name == file.name:
            continue
        seen.add(name)
        if declared.requirement.url is not None or name in placed_elsewhere:
            continue
        spelt = declared.requirement.name
        by_module = {str(canonicalize_name(m)): names for m, names in table.modules.items()}
        right = by_module.get(name)
        if right is not None:
            message = f"`{spelt}` is the name of a module; the distribution is `{right[0]}`."
            better = right[0]
        else:
            near = _near(name, table.listed)
            if near is None:
                continue
            message = f"No well-known distribution is called `{spelt}`; `{near}` is."
            better = near
        place = file.place(*declared.path)
        yield _hit(Problem(place, message, f"Write `{better}` in place of `{spelt}`."))


@rule("env/python-version", code="ENV006", severity=Severity.WARNING, criteria=(5, 1))
def python_version(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The code needs a Python that `requires-python` excludes, or does not work with all it admits.

    ## What it does
    Compares `requires-python` with what the code surely uses: the `match` statement (Python 3.10),
    `except*` (3.11), modules of the standard library that came later (`tomllib`, 3.11) and, where
    every admitted Python is too new, modules that are gone (`distutils`, 3.12).

    ## Why is this bad
    uv may choose any Python that the file admits. On an older one the code does not even parse.

    ## Example
    ```toml
    requires-python = ">=3.8"
    ```

    ```python
    match cfg.method:
        case "proposed": ...
    ```

    ## Use instead
    ```toml
    requires-python = ">=3.10"
    ```

    ## References
    - [What's New in Python](https://docs.python.org/3/whatsnew/)
    """
    environment = environment_of(experiment)
    file = environment.file
    if not isinstance(file, Pyproject) or file.project is None:
        return
    wanted = file.project.get("requires-python")
    if not isinstance(wanted, str):
        return
    specifiers = read_specifiers(wanted)
    if specifiers is None:
        return
    # A patch release far along, because ">3.9" and ">=3.9.4" mean the 3.9 series too.
    series = range(_LOWEST_MINOR, _HIGHEST_MINOR + 1)
    admitted = [minor for minor in series if specifiers.contains(f"3.{minor}.99")]
    if not admitted:
        return
    for path, text in environment.code.items():
        for line, column, what, since, gone in _demands(text):
            if since > admitted[0]:
                message = f"{what} needs Python 3.{since}, but `requires-python` admits 3."
                message += f"{admitted[0]}."
                advice = f'Write `requires-python = ">=3.{since}"`.'
            elif gone is not None and gone <= admitted[0]:
                message = f"{what} is gone in Python 3.{gone}, and `requires-python` admits no "
                message += "older one."
                advice = "Use a replacement, or admit an older Python."
            else:
                continue
            place = file.place("project", "requires-python")
            yield Hit(
                path=path,
                line=line,
                column=column,
                message=message,
                help=advice,
                related=(Related(path=PATH, line=place.line, message=f'It says "{wanted}".'),),
            )
            break


_NEWER_WORDS = ("match ", "except*", "except *", *sorted({*ADDED, *REMOVED}))
_NEWER = regex(
    r"^[ \t]*(?:match\b.*:[ \t]*(?:#.*)?$|except ?\*|(?:import|from)[ \t]+(?:"
    + "|".join(sorted({*ADDED, *REMOVED}))
    + r")\b)",
    re.MULTILINE,
)


def _demands(text: str) -> Iterator[tuple[int, int, str, int, int | None]]:
    """What a file surely uses: line, column, what, the minor version it needs, the one without."""
    # Looking for a word is many times faster than the regular expression.
    if not any(word in text for word in _NEWER_WORDS) or not _NEWER.search(text):
        return
    tree = parsed(text)
    if tree is None:
        return
    for node in nodes(text):
        if isinstance(node, ast.Match):
            yield node.lineno, node.col_offset + 1, "The `match` statement", 10, None
        elif isinstance(node, ast.TryStar):
            handler = node.handlers[0]
            yield handler.lineno, handler.col_offset + 1, "`except*`", 11, None
    for node in tree.body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in (n.partition(".")[0] for n in names):
            if name in ADDED or name in REMOVED:
                since, gone = ADDED.get(name, 0), REMOVED.get(name)
                yield node.lineno, node.col_offset + 1, f"The module `{name}`", since, gone


def _undecided(
    environment: Environment,
    file: Pyproject,
    module: str,
    providers: list[str],
    open_ends: list[str],
) -> str | None:
    """Why it cannot be told whether a module is installed."""
    if not providers:
        return f"it is not known which distribution brings the module `{module}`"
    if "dependencies" in file.dynamic:
        return f"the dependencies are dynamic and may bring the module `{module}`"
    if open_ends:
        return f"`{open_ends[0]}` may bring the module `{module}`"
    if "workspace" in file.uv:
        return f"another member of the workspace may bring the module `{module}`"
    for path, text in environment.others.items():
        if "dockerfile" in path.lower() and re.search(rf"\b{re.escape(providers[0])}\b", text):
            return f"{path} may install the module `{module}`"
    return None


def _how_to_declare(environment: Environment, file: Pyproject, name: str) -> str:
    optional = {declared.name: declared for declared in file.optional()}
    if environment.is_uv and name in optional:
        return (
            f'Move `"{name}"` to `dependencies` in pyproject.toml: `uv run` installs no extras and '
            "no group but `dev`."
        )
    listed = [
        path
        for path, text in environment.others.items()
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
    ]
    also = f": `uv run` does not read {listed[0]}" if environment.is_uv and listed else ""
    return f'Add `"{name}"` to `dependencies` in pyproject.toml{also}.'


def _locked(text: str) -> set[str]:
    """The names of the packages in a uv.lock."""
    names = re.findall(r'^\[\[package\]\]\r?\nname = "([^"\n]+)"', text, re.MULTILINE)
    return {canonicalize_name(name) for name in names}


def _near(name: str, known: frozenset[str]) -> str | None:
    """The well-known name that is one letter away, for names long enough to tell."""
    if not 5 <= len(name) <= 60:
        return None
    return next(
        (other for other in sorted(known) if len(other) > 4 and _one_edit(name, other)), None
    )


def _one_edit(a: str, b: str) -> bool:
    """Whether a letter added, dropped, changed or swapped with the next turns ``a`` into ``b``.

    Digits tell distributions apart, so a digit is never the letter in question.
    """
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    if any(c.isdigit() for c in middle_a + middle_b):
        return False
    if len(middle_a) == len(middle_b) == 2:
        return middle_a == middle_b[::-1]
    return len(middle_a) <= 1 and len(middle_b) <= 1


def _withheld() -> Unknown:
    return Unknown(
        reason="the text of pyproject.toml is not there, or not all of it",
        decided_by=PATH,
        path=PATH,
    )


def _hit(problem: Problem) -> Hit:
    mark: Mark = problem.mark
    return Hit(
        path=PATH,
        line=mark.line,
        column=mark.column,
        end_line=mark.end_line,
        end_column=mark.end_column,
        message=problem.message,
        help=problem.help,
    )


def _related(places: list[Import]) -> tuple[Related, ...]:
    return tuple(
        Related(path=i.path, line=i.line, message=f"`{i.module}` is imported here.")
        for i in places[:_MAX_RELATED]
    )


def _names(names: list[str]) -> str:
    shown = [f"`{name}`" for name in names[:3]]
    if len(names) > 3:
        return f"{', '.join(shown)} and {len(names) - 3} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
