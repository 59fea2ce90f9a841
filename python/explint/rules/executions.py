"""The executions that a protocol asks of a package: each entry under every run and mode.

An execution is an entry's trace under the config that it gets then. Rules about what happens in a
run ask their questions of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose import compose_run
from explint.compose.entry import EntryPoint
from explint.compose.interpolate import Broken, Opaque
from explint.compose.static import Composed
from explint.compose.tree import ConfigTree
from explint.package import FileState
from explint.regex import regex
from explint.rules.processes import made_at_run_time
from explint.rules.started import child_config, started, target
from explint.trace import facts as f
from explint.trace.children import Word, keys_of_words
from explint.trace.specialise import (
    ABSENT,
    MANDATORY,
    MAYBE,
    Dangling,
    Specialised,
    Tree,
    Unknown,
    at_keys,
    with_value,
)

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode

_PLAIN_WORD = regex(r"(?!(?i:true|false|null|inf|nan)$)[A-Za-z_][A-Za-z0-9_-]*")
_ADDED = regex(r"\+\+?([\w.]+)=")


class Execution(msgspec.Struct, frozen=True):
    """One entry under one run and mode.

    ``run_id`` is None for what is started without a run, ``mode`` None where the protocol has no
    modes. ``tree`` is the composed config as plain dicts and lists before the program changes it.
    """

    entry: str
    run_id: str | None
    mode: str | None
    document: f.TraceDocument
    trace: f.EntryTrace
    composed: Composed
    tree: Mapping[str | int, Any]
    special: Specialised


class Undecided(msgspec.Struct, frozen=True):
    """An execution whose config is not known, and why."""

    entry: str
    path: str
    reason: str


def executions(experiment: Experiment) -> list[Execution | Undecided]:
    """The executions of the entries that Hydra starts, in order of entry, run and mode.

    A training module counts when the main module starts it as a process of its own: one that
    the main module calls is part of the main module's executions.
    """
    found: list[Execution | Undecided] | None = experiment.shared.get("executions")
    if found is None:
        found = experiment.shared["executions"] = list(_executions(experiment))
    return found


def _executions(experiment: Experiment) -> Iterator[Execution | Undecided]:
    profile = experiment.profile
    paths = {job: path for path, job in reversed(profile.files.jobs.items())}
    tree = experiment.config_tree
    named = tuple(dict.fromkeys(run.run_id for run in experiment.package.runs))
    runs = named or tuple(run.run_id for run in experiment.run_configs() if run.is_run)
    main = paths.get("entry")
    if main is not None and profile.commands.train is not None:
        yield from _trained(experiment, tree, main, runs, frozenset())
        train = paths.get("train")
        given = None if train is None else _child_keys(experiment, main, train)
        if train is not None and given is not None:
            told = list(_handed_over(experiment, train))
            yield from told or _trained(experiment, tree, train, runs, given)
    evaluate = paths.get("evaluate")
    if evaluate is not None and profile.commands.evaluate is not None:
        ids = json.dumps(list(runs))
        command = profile.commands.evaluate.replace("{run_ids}", ids)
        yield from _started(experiment, tree, evaluate, command, None, None, frozenset())


def _handed_over(experiment: Experiment, train: str) -> Iterator[Execution]:
    """The training processes under the words that the main module really hands them.

    There are none where in any run or mode a process does not surely start, some of its words are
    not known, or Hydra refuses them: what it would be without the mistake is the better question.
    """
    seen = started(experiment)
    document, name = experiment.trace(module_of(train)), module_of(train)
    trace = None if document is None else document.entry(name)
    point = experiment.entry_at(train)
    if (
        seen is None
        or document is None
        or trace is None
        or isinstance(point, str)
        or point.way != "main"
    ):
        return
    found = []
    for start in seen.starts:
        children = [c for c in start.children if target(experiment, c) == train]
        if not children:
            return
        for child in children:
            words = [w for w in child.words if isinstance(w, Word)]
            if child.state is not True or len(words) < len(child.words) or child.has_env:
                return
            if any(w.text.startswith("-") for w in words) or None in keys_of_words(words):
                return
            inexact = frozenset(n for n, w in enumerate(words) if not w.exact)
            config = child_config(experiment, point, tuple(w.text for w in words), inexact)
            if config.composed is None or config.refused:
                return
            tree = made_at_run_time(_plain(config.composed.value))
            found.append(
                Execution(
                    entry=name,
                    run_id=start.run_id,
                    mode=start.mode or None,
                    document=document,
                    trace=trace,
                    composed=config.composed,
                    tree=tree,
                    special=experiment.specialised(trace, tree, with_files=True),
                )
            )
    yield from found


def _trained(
    experiment: Experiment,
    tree: ConfigTree,
    path: str,
    runs: tuple[str, ...],
    given: frozenset[str],
) -> Iterator[Execution | Undecided]:
    modes: list[Mode | None] = [*experiment.profile.trial.modes] or [None]
    for run_id in runs:
        for mode in modes:
            command = experiment.profile.commands.train
            if mode is not None:
                command = experiment.profile.train_command(mode)
            yield from _started(experiment, tree, path, command, run_id, mode, given)


def _started(
    experiment: Experiment,
    tree: ConfigTree,
    path: str,
    command: str | None,
    run_id: str | None,
    mode: Mode | None,
    given: frozenset[str],
) -> Iterator[Execution | Undecided]:
    name = module_of(path)
    if experiment.state(path) is not FileState.PRESENT:
        yield Undecided(name, path, "its text is not there")
        return
    point = experiment.entry_at(path)
    document = experiment.trace(name)
    trace = None if document is None else document.entry(name)
    if not isinstance(point, EntryPoint) or document is None or trace is None:
        # Without Hydra there is no config that the command line composes.
        return
    result = compose_run(
        experiment.package,
        command,
        run_id,
        tree=tree,
        entry=point,
        # A plain word means the same without quotes, and composes to what others asked for before.
        quoted=run_id is None or _PLAIN_WORD.fullmatch(run_id) is None,
        reference=False,
    ).result
    if not isinstance(result, Composed):
        reason = getattr(result, "reason", "") or getattr(result, "message", "")
        yield Undecided(name, path, f"its config does not compose: {reason}")
        return
    config = _plain(result.value)
    for key in sorted(given):
        keys = key.split(".")
        if at_keys(config, keys) is ABSENT:
            config = with_value(config, keys, MAYBE)
    yield Execution(
        entry=name,
        run_id=run_id,
        mode=None if mode is None else mode.name,
        document=document,
        trace=trace,
        composed=result,
        tree=config,
        special=experiment.specialised(trace, config, with_files=True),
    )


def _child_keys(experiment: Experiment, main: str, train: str) -> frozenset[str] | None:
    """The keys that the main module may add to the config of the training process it starts.

    None when it starts none, or what it does is not known.
    """
    name, module = module_of(main), module_of(train)
    document = experiment.trace(name)
    trace = None if document is None else document.entry(name)
    if trace is None:
        return None
    texts = [v.value for v in trace.values if isinstance(v, f.Literal) and isinstance(v.value, str)]
    if not any(text == module or train in text or f"-m {module}" in text for text in texts):
        return None
    return frozenset(m[1] for text in texts for m in _ADDED.finditer(text))


def module_of(path: str) -> str:
    """The dotted name under which ``python -m`` starts a file."""
    return path.removesuffix(".py").replace("/", ".")


def _plain(value: Any) -> Tree:  # noqa: ANN401 - any value of a config
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Broken):
        return Dangling(value.message)
    if isinstance(value, Opaque):
        return Unknown(str(value))
    return MANDATORY if value == "???" else value
