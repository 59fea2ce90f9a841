"""What the tests of the env rules share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from explint.environment.pyproject import Problem, Pyproject, problems, read_pyproject
from explint.experiment import Experiment
from explint.model import ProfileChoice, SourceInfo
from explint.package import File, FileState, Package
from explint.protocol import load_profile
from explint.rules.registry import Hit, PythonRule, Unknown

PROJECT = '[project]\nname = "demo"\nversion = "0.1.0"\nrequires-python = ">=3.10"\n'


def found(text: str) -> list[Problem]:
    """The problems of a pyproject.toml that is TOML."""
    file = read_pyproject(text)
    assert isinstance(file, Pyproject), file
    return list(problems(file))


def experiment(
    files: Mapping[str, str | None], *, profile: str = "full-trial", partial: bool = False
) -> Experiment:
    """A package of these files; None is a file whose text is withheld."""
    entries = {}
    for path, text in sorted(files.items()):
        state = FileState.WITHHELD if text is None else FileState.PRESENT
        entries[path] = File(path, state, None if text is None else text.encode())
    return Experiment(
        Package(
            id="p",
            source=SourceInfo(kind="memory", location="p"),
            files=entries,
            partial=partial,
        ),
        load_profile(profile),
        ProfileChoice(name=profile, reason="test"),
        # The env rules ask nothing of the core.
        cast(Any, None),
    )


def hits(rule: PythonRule, made: Experiment) -> list[Hit]:
    """The violations that a rule reports."""
    return [result for result in rule.function(made) if isinstance(result, Hit)]


def unknowns(rule: PythonRule, made: Experiment) -> list[Unknown]:
    """The questions that a rule leaves open."""
    return [result for result in rule.function(made) if isinstance(result, Unknown)]
