"""A package's environment as the env rules see it, read once for all of them."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from explint.environment.build import Tree
from explint.environment.imports import Import, mentioned, reachable, surely_imported
from explint.environment.pyproject import PATH, Problem, Pyproject, problems, read_pyproject
from explint.environment.stdlib import MODULES
from explint.environment.toml import TomlProblem
from explint.package import FileState
from explint.regex import regex

if TYPE_CHECKING:
    from explint.experiment import Experiment

# Other files that say what to install, or that install it themselves.
_OTHER_DECLARATIONS = regex(
    r"(?:.*/)?(?:requirements[^/]*\.(?:txt|in)|[^/]*environment[^/]*\.ya?ml|conda[^/]*\.ya?ml|"
    r"setup\.py|setup\.cfg|Pipfile|[^/]*Dockerfile[^/]*)",
    re.IGNORECASE,
)
# Code that is run by hand, with an environment of its own.
_BESIDE = regex(
    r"(?:^|/)(?:tests?|docs?|examples?|scripts?|notebooks?|tools|benchmarks?)/|"
    r"(?:^|/)(?:setup|conftest|test_[^/]*|[^/]*_test)\.py$"
)


class Environment:
    """What ``uv run`` finds in a package: its pyproject.toml, its files, its imports."""

    def __init__(self, experiment: Experiment) -> None:
        # Held weakly by the cache below: no reference back to the experiment.
        self._texts = {
            path: text
            for path in sorted(experiment.package.files)
            if path.endswith(".py") and (text := experiment.text(path)) is not None
        }
        profile = experiment.profile
        self.is_uv = (profile.commands.train or "").startswith("uv run")
        """Whether the profile starts the experiment with ``uv run``."""
        self._jobs = [path for path in sorted(profile.files.jobs) if path in self._texts]
        self.tree = Tree(experiment.package.files)
        self.partial = experiment.package.partial
        given = experiment.package.files.get(PATH)
        self.is_withheld = given is not None and (
            given.state is FileState.WITHHELD or given.truncated
        )
        """Whether pyproject.toml exists, but its text is not there or has a hole."""
        text = None if self.is_withheld else experiment.text(PATH)
        self.file: Pyproject | TomlProblem | None = None if text is None else read_pyproject(text)
        self.lock_text = experiment.text("uv.lock") or ""
        self.is_lock_unread = "uv.lock" in experiment.package.files and not self.lock_text
        """Whether there is a uv.lock whose text the package does not hold."""
        self.others = {
            path: experiment.text(path) or ""
            for path in sorted(experiment.package.files)
            if _OTHER_DECLARATIONS.fullmatch(path)
        }

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Why uv rejects the pyproject.toml, if it does."""
        return tuple(problems(self.file)) if isinstance(self.file, Pyproject) else ()

    @cached_property
    def code(self) -> dict[str, str]:
        """The Python files that run in this environment.

        Those that the profile's modules reach; in a profile without such modules, all but tests,
        documentation and helper scripts.
        """
        used = {path: text for path, text in self._texts.items() if not _BESIDE.search(path)}
        if self._jobs:
            used |= {path: self._texts[path] for path in self._jobs}
            return {path: used[path] for path in reachable(used, self._jobs)}
        return used

    @cached_property
    def own_modules(self) -> frozenset[str]:
        """Names by which the package's own code may be imported, whatever the search path."""
        parts = {part for path in self._texts for part in path.removesuffix(".py").split("/")}
        return frozenset(parts | {part.partition("/")[0] for part in self.tree.top_folders()})

    @cached_property
    def third_party(self) -> dict[str, set[str]]:
        """For each module that the code may import from elsewhere, the files that name it."""
        found: dict[str, set[str]] = {}
        for path, text in self.code.items():
            for module in mentioned(text) - MODULES - self.own_modules:
                if not module.startswith("_"):
                    found.setdefault(module, set()).add(path)
        return dict(sorted(found.items()))

    def imports(self, module: str) -> list[Import]:
        """Where the code surely imports a third-party module, in the order of ``code``."""
        found = []
        for path in self.code:
            if path in self.third_party.get(module, ()):
                found += [i for i in self._imports(path) if i.module == module]
        return found

    def _imports(self, path: str) -> list[Import]:
        if path not in self._read:
            self._read[path] = surely_imported(path, self.code[path])
        return self._read[path]

    @cached_property
    def _read(self) -> dict[str, list[Import]]:
        return {}


_environments: WeakKeyDictionary[Experiment, Environment] = WeakKeyDictionary()


def environment_of(experiment: Experiment) -> Environment:
    """The experiment's environment."""
    made = _environments.get(experiment)
    if made is None:
        made = _environments[experiment] = Environment(experiment)
    return made
