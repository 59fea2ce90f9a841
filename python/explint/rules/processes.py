"""The processes of a package's training: what the training command starts, and what that starts.

Each is a module's trace under the config it really gets: the main module under the mandated
command line, the training module under the words that the main module hands on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose.entry import EntryPoint
from explint.rules.repaired import Repaired, repaired
from explint.rules.started import Start, child_config, started, target, tree_of
from explint.trace.children import STAND_IN, Child, Word, children
from explint.trace.specialise import Specialised, Unknown, specialise

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace.facts import EntryTrace, Place, TraceDocument


class Process(msgspec.Struct, frozen=True):
    """A module of the package that runs as a process of its own, in one run and mode.

    ``run_id`` and ``mode`` are None where it is looked at without a config, since nothing that is
    known starts it. ``tree`` is its composed config before the program changes it, an ``Unknown``
    where it is not known. ``state`` is None where it is not decided whether it starts. ``parent``
    started it.
    """

    path: str
    run_id: str | None
    mode: str | None
    document: TraceDocument
    trace: EntryTrace
    tree: Any
    special: Specialised
    state: bool | None
    parent: Process | None = None
    child: Child | None = None

    def path_of(self, place: Place) -> str:
        """The file that a place is in."""
        return self.document.files[place.file]


def processes(experiment: Experiment) -> tuple[Process, ...]:
    """Every process of every run and mode, parents before children.

    The training module stands alone, without a config, where nothing that can be read starts it.
    """
    found: tuple[Process, ...] | None = experiment.shared.get("processes")
    if found is None:
        found = experiment.shared["processes"] = tuple(_processes(experiment))
    return found


def _processes(experiment: Experiment) -> Iterator[Process]:
    seen = started(experiment)
    reached: set[str] = set()
    if seen is not None and seen.document is not None:
        for start in seen.starts:
            main = _main(experiment, seen.path, seen.document, start)
            if main is None:
                continue
            reached |= _files(main)
            yield main
            before: set[tuple[str, tuple[str, ...]]] = set()
            same = main.special is start.special
            for child in start.children if same else children(main.special):
                process = _child(experiment, main, child, before)
                if process is not None:
                    reached |= _files(process)
                    yield process
    train = next((p for p, job in experiment.profile.files.jobs.items() if job == "train"), None)
    train = train or experiment.profile.wandb.initialised_in
    if train is not None and train not in reached and experiment.text(train):
        yield from _alone(experiment, train)


def _main(
    experiment: Experiment, path: str, document: TraceDocument, start: Start
) -> Process | None:
    entry, special = start.special.env.entry, start.special
    nothing = Unknown("the config does not compose")
    composed = nothing if start.composed is None else tree_of(start.composed)
    config = repaired(experiment, start.run_id, start.mode, composed)
    if config.tree is not composed:
        special = specialise(
            entry, config.tree, files=experiment.loadable, mirrored=config.mirrored
        )
    return Process(path, start.run_id, start.mode, document, entry, config.tree, special, True)


def _child(
    experiment: Experiment,
    main: Process,
    child: Child,
    before: set[tuple[str, tuple[str, ...]]],
) -> Process | None:
    path = target(experiment, child)
    if path is None:
        return None
    words = [w for w in child.words if isinstance(w, Word)]
    texts = tuple(w.text for w in words)
    if (path, texts) in before:
        return None
    before.add((path, texts))
    name = path.removesuffix(".py").replace("/", ".")
    document = experiment.trace(name)
    trace = None if document is None else document.entry(name)
    if document is None or trace is None:
        return None
    point = experiment.entry_at(path)
    tree: Any = Unknown("its config is not known")
    if isinstance(point, EntryPoint) and len(words) == len(child.words):
        inexact = frozenset(n for n, w in enumerate(words) if not w.exact)
        composed = child_config(experiment, point, texts, inexact).composed
        if composed is not None:
            tree = made_at_run_time(tree_of(composed))
    same = isinstance(point, EntryPoint) and _same_config(point, experiment.entry)
    config = Repaired(tree)
    if main.run_id is not None and same and len(words) == len(child.words):
        config = repaired(experiment, main.run_id, main.mode, tree, words)
    if config.mirrored:
        special = specialise(trace, config.tree, mirrored=config.mirrored)
    else:
        special = experiment.specialised(trace, config.tree)
    return Process(
        path,
        main.run_id,
        main.mode,
        document,
        trace,
        config.tree,
        special,
        child.state,
        main,
        child,
    )


def _same_config(point: EntryPoint, other: EntryPoint | str) -> bool:
    """Whether two entries start Hydra with the same main config."""
    return isinstance(other, EntryPoint) and (point.config_dir, point.config_name) == (
        other.config_dir,
        other.config_name,
    )


def made_at_run_time(tree: Any) -> Any:  # noqa: ANN401
    """A config in which what was composed from a part that only the run knows is unknown."""
    if isinstance(tree, dict):
        return {key: made_at_run_time(inner) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [made_at_run_time(inner) for inner in tree]
    if isinstance(tree, str) and STAND_IN in tree:
        return Unknown("it is made at run time")
    return tree


def _alone(experiment: Experiment, path: str) -> Iterator[Process]:
    name = path.removesuffix(".py").replace("/", ".")
    document = experiment.trace(name)
    trace = None if document is None else document.entry(name)
    if document is not None and trace is not None:
        tree = Unknown("nothing that can be read starts it")
        special = experiment.specialised(trace, tree)
        yield Process(path, None, None, document, trace, tree, special, None)


def _files(process: Process) -> set[str]:
    """The files whose code a process may run."""
    files = process.document.files
    return {process.path} | {files[file] for file, _ in process.trace.reached}
