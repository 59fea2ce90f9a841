"""Configuration as Hydra and OmegaConf read it.

``compose_run`` answers what config a run of a package gets under a mode: the protocol's command
line, split as a shell splits it, through what the code gives ``@hydra.main``, to the composed
config with the origin of every value. The static composer answers; what it does not cover goes to
hydra-core itself, where that is installed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from explint.compose.shell import ShellProblem, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explint.compose.entry import EntryPoint, Uses
    from explint.compose.errors import CompositionError
    from explint.compose.static import Composed, Unknown
    from explint.compose.tree import ConfigTree
    from explint.package import Package

RESULTS_DIR = ".research/results"
"""What stands for ``{results_dir}`` where the caller names no folder."""


class RunComposition(msgspec.Struct, frozen=True):
    """A run's config, or why it has none.

    ``command`` is the shell's command line and ``words`` the overrides in it; ``answered_by`` says
    which composer gave ``result``, None when neither was asked. A ShellProblem comes from the
    shell, before Hydra sees anything.
    """

    run_id: str | None
    command: str
    words: tuple[str, ...]
    entry: EntryPoint | None
    result: Composed | CompositionError | ShellProblem | Unknown
    answered_by: Literal["static", "hydra-core"] | None


def compose_tree(
    tree: ConfigTree,
    *,
    config_dir: str,
    config_name: str | None,
    overrides: Sequence[str],
    version_base: str | None = None,
    reference: bool = True,
) -> tuple[Composed | CompositionError | Unknown, Literal["static", "hydra-core"]]:
    """Composes, and says which composer answered.

    ``reference`` false leaves what the static composer does not cover Unknown.
    """
    from explint.compose.errors import Unsupported
    from explint.compose.static import Unknown, compose

    result = compose(
        tree,
        config_dir=config_dir,
        config_name=config_name,
        overrides=overrides,
        version_base=version_base,
    )
    if not isinstance(result, Unsupported):
        return result, "static"
    if not reference:
        return Unknown(result.reason), "static"
    from explint.compose.reference import ask

    answer = ask(
        tree,
        config_dir=config_dir,
        config_name=config_name,
        overrides=overrides,
        version_base=version_base,
    )
    if isinstance(answer, Unknown):
        return Unknown(f"{result.reason}; {answer.reason}"), "static"
    return answer, "hydra-core"


def compose_run(
    package: Package,
    command: str | None,
    run_id: str | None,
    *,
    entry: EntryPoint | str,
    tree: ConfigTree | None = None,
    results_dir: str = RESULTS_DIR,
    extra: Sequence[str] = (),
    quoted: bool = False,
    reference: bool = True,
) -> RunComposition:
    """Composes the config of one run.

    ``command`` is the protocol's training command under a mode, with ``{run_id}`` and
    ``{results_dir}`` to fill in (``Profile.train_command``); None where the protocol has none.
    Without ``run_id`` the word that names the run is left out. ``entry`` is how the module of the
    command starts Hydra, or why that cannot be told (``entry_of``). ``tree`` is made from the
    package where it is not given; hand it over when several runs are composed, so that files are
    parsed once. ``extra`` are further overrides. ``quoted`` composes as
    if the run id were quoted for the shell and for Hydra: what lies behind an id that neither takes
    can be judged then.
    """
    from explint.compose.static import Unknown
    from explint.compose.tree import ConfigTree

    template, command = command, _filled(command, run_id, results_dir)
    if quoted and run_id is not None:
        split_words = split(_filled(template, _STAND_IN, results_dir))
    else:
        split_words = split(command)

    def ended(
        result: Composed | CompositionError | ShellProblem | Unknown,
        words: Sequence[str] = (),
        answered_by: Literal["static", "hydra-core"] | None = None,
    ) -> RunComposition:
        point = None if isinstance(entry, str) else entry
        return RunComposition(run_id, command, tuple(words), point, result, answered_by)

    if isinstance(split_words, ShellProblem):
        return ended(split_words)
    if quoted and run_id is not None:
        split_words = [word.replace(_STAND_IN, quote(run_id)) for word in split_words]
    words = [*_overrides(split_words), *extra]
    if isinstance(entry, str):
        return ended(Unknown(entry), words)
    if entry.unknown is not None:
        return ended(Unknown(f"{entry.path}: {entry.unknown}"), words)
    if entry.structured:
        return ended(Unknown("the code registers configs in Hydra's ConfigStore"), words)
    if entry.config_dir is None:
        # Hydra searches no folder then, and finds no primary config in it.
        tree = ConfigTree({})
    result, answered_by = compose_tree(
        tree or ConfigTree.of(package),
        config_dir=entry.config_dir or "",
        config_name=entry.config_name,
        overrides=words,
        version_base=entry.version_base,
        reference=reference,
    )
    return ended(result, words, answered_by)


_STAND_IN = "EXPLINT_RUN_ID"


def quote(text: str) -> str:
    """A text as a quoted value of an override, which Hydra reads back as it was."""
    # Backslashes count only in front of a quote.
    inner = re.sub(r"(\\*)'", r"\1\1\\'", text)
    end = re.search(r"\\*$", inner)
    return f"'{inner}{end[0] if end is not None else ''}'"


def run_ids(package: Package, folder: str | None) -> list[str]:
    """The runs a record names, else the files of the protocol's run folder, sorted."""
    named = [run.run_id for run in package.runs]
    if named or folder is None:
        return named
    paths = (p for p in package.files if p.startswith(f"{folder}/") and p.endswith(".yaml"))
    return sorted(path[len(folder) + 1 : -len(".yaml")] for path in paths)


def entry_of(package: Package, command: str | None, uses: Uses) -> EntryPoint | str:
    """How the module of the training command starts Hydra, or why that cannot be told.

    Without a command line the usual scripts are asked first, then every module.
    """
    from explint.compose.entry import find_entry

    started = started_module(command)
    if started is not None:
        return find_entry(package, started, uses)
    usual = ["src/main.py", "src/train.py", "main.py", "train.py"]
    others = sorted(
        (p for p in package.files if p.endswith(".py")), key=lambda p: (p.count("/"), p)
    )
    for path in [*usual, *(p for p in others if not p.startswith(("tests/", "test/")))]:
        if path in package.files:
            found = find_entry(package, path, uses)
            if not isinstance(found, str):
                return found
    return "no module of the package starts Hydra"


def started_module(command: str | None) -> str | None:
    """The file that a command line starts with ``-m``; None when it starts none."""
    words = split(command or "")
    if isinstance(words, list) and "-m" in words[:-1]:
        return words[words.index("-m") + 1].replace(".", "/") + ".py"
    return None


def _filled(command: str | None, run_id: str | None, results_dir: str) -> str:
    template = command or ""
    if run_id is None:
        template = " ".join(word for word in template.split(" ") if "{run_id}" not in word)
    # The id goes in last: it is the one text that is not the protocol's.
    return template.replace("{results_dir}", results_dir).replace("{run_id}", run_id or "")


def _overrides(words: Sequence[str]) -> list[str]:
    """The words behind ``-m module``: what Hydra gets."""
    if "-m" in words:
        return list(words[words.index("-m") + 2 :])
    return list(words)
