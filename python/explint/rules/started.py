"""What the training command's entry does in each run and mode, and the processes it starts.

Several rules ask the same questions of the same runs; the answers are kept for the last package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from explint.package import FileState
from explint.rules.registry import Unknown

if TYPE_CHECKING:
    from explint.compose import RunComposition
    from explint.compose.entry import EntryPoint
    from explint.compose.errors import CompositionError
    from explint.compose.static import Composed
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode
    from explint.trace.children import Child
    from explint.trace.facts import Place, TraceDocument
    from explint.trace.specialise import Specialised


class Start(msgspec.Struct, frozen=True):
    """The training command's entry in one run and mode.

    ``composed`` is None where the config does not compose or is not known; values that depend on
    it are unknown in ``special`` then.
    """

    run_id: str
    mode: str
    composition: RunComposition
    composed: Composed | None
    special: Specialised
    children: tuple[Child, ...]


class Started(msgspec.Struct, frozen=True):
    """Every run and mode of a package. ``unknown`` says why there are none."""

    path: str
    document: TraceDocument | None
    starts: tuple[Start, ...]
    unknown: Unknown | None = None

    def path_of(self, place: Place) -> str:
        """The file a place is in."""
        assert self.document is not None
        return self.document.files[place.file]


def module_of(command: str | None) -> str | None:
    """The module that a command line runs with ``-m``; None when it runs none."""
    words = (command or "").split()
    return words[words.index("-m") + 1] if "-m" in words[:-1] else None


def unread(experiment: Experiment, path: str) -> Unknown | None:
    """The answer of a rule about a module whose text is not there; None when it is."""
    state = experiment.state(path)
    if state is FileState.PRESENT and experiment.text(path) is not None:
        return None
    said = {
        FileState.ABSENT: "is absent",
        FileState.EMPTY: "is empty",
        FileState.WITHHELD: "is not in the record",
        FileState.PRESENT: "cannot be read",
    }[state]
    return Unknown(reason=f"{path} {said}", decided_by=path, path=path)


def started(experiment: Experiment) -> Started | None:
    """What the training command does; None when the profile has no such command."""
    if "started" not in experiment.shared:
        experiment.shared["started"] = _started(experiment)
    found: Started | None = experiment.shared["started"]
    return found


def _started(experiment: Experiment) -> Started | None:
    module = module_of(experiment.profile.commands.train)
    if module is None:
        return None
    path = f"{module.replace('.', '/')}.py"
    lacking = unread(experiment, path)
    if lacking is not None:
        return Started(path, None, (), lacking)
    document = experiment.trace(module)
    entry = None if document is None else document.entry(module)
    if entry is None:
        return Started(path, None, (), Unknown(reason=f"{path} cannot be read", decided_by=path))
    return Started(path, document, tuple(_starts(experiment, entry)))


def _starts(experiment: Experiment, entry: Any) -> Iterator[Start]:  # noqa: ANN401
    from explint.compose.static import Composed
    from explint.trace.children import children
    from explint.trace.specialise import Unknown as NotKnown

    modes: list[Mode | None] = [*experiment.profile.trial.modes] or [None]
    # Where no config is known one look serves all runs and modes.
    bare: tuple[Specialised, tuple[Child, ...]] | None = None
    for run_id in experiment.run_ids():
        for mode in modes:
            composition = experiment.composed(run_id, mode)
            name = "" if mode is None else mode.name
            if isinstance(composition.result, Composed):
                special = experiment.specialised(
                    entry, tree_of(composition.result), with_files=True
                )
                yield Start(
                    run_id,
                    name,
                    composition,
                    composition.result,
                    special,
                    tuple(children(special)),
                )
                continue
            if bare is None:
                special = experiment.specialised(entry, NotKnown("the config does not compose"))
                bare = special, tuple(children(special))
            yield Start(run_id, name, composition, None, *bare)


def tree_of(composed: Composed) -> Any:  # noqa: ANN401
    """A config as the trace is specialised under: what only the run knows is unknown in it."""
    from explint.trace.specialise import Unknown as NotKnown

    opaque = {tuple(k.split(".")): NotKnown(why) for k, why in composed.opaque.items()}
    opaque |= {tuple(k.split(".")): NotKnown(e.message) for k, e in composed.broken.items()}
    return _with(composed.value, (), opaque) if opaque else composed.value


def _with(tree: Any, at: tuple[str, ...], unknown: Mapping[tuple[str, ...], Any]) -> Any:  # noqa: ANN401
    if at in unknown:
        return unknown[at]
    if isinstance(tree, dict):
        return {k: _with(v, (*at, str(k)), unknown) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_with(v, (*at, str(n)), unknown) for n, v in enumerate(tree)]
    return tree


def target(experiment: Experiment, child: Child) -> str | None:
    """The file of the package that a child runs; None when it is none, or cannot be told."""
    from explint.trace.specialise import Unknown as NotKnown

    if isinstance(child.cwd, NotKnown):
        return None
    folder = f"{child.cwd}/" if child.cwd else ""
    if child.module is not None:
        path = f"{folder}{child.module.replace('.', '/')}.py"
    else:
        assert child.script is not None
        path = folder + child.script.removeprefix("./")
    return path if experiment.text(path) is not None else None


class ChildConfig(msgspec.Struct, frozen=True):
    """The config of a child, and the words that Hydra refuses on the way to it.

    ``refused`` holds (index of the word, what Hydra says); ``composed`` is the config that the
    other words give, None where there is none or it is not known.
    """

    refused: tuple[tuple[int, CompositionError], ...]
    composed: Composed | None


def child_config(
    experiment: Experiment, point: EntryPoint, texts: tuple[str, ...], inexact: frozenset[int]
) -> ChildConfig:
    """Composes the config of a child from the words it is handed.

    A word that Hydra refuses is set aside, so that the words behind it are judged too. ``inexact``
    are the words of which a part only the run knows.
    """
    known: dict[object, ChildConfig] = experiment.shared.setdefault("child configs", {})
    key = (point, texts, inexact)
    if key not in known:
        known[key] = _child_config(experiment, point, texts, inexact)
    return known[key]


def _child_config(
    experiment: Experiment, point: EntryPoint, texts: tuple[str, ...], inexact: frozenset[int]
) -> ChildConfig:
    from explint.compose import compose_tree, quote
    from explint.compose.errors import CompositionError, CompositionFailure, NotCovered
    from explint.compose.overrides import parse_override
    from explint.compose.static import Composed

    refused: list[tuple[int, CompositionError]] = []
    words: list[tuple[int, str]] = []
    chooses = False
    for number, text in enumerate(texts):
        key, equals, value = text.partition("=")
        chooses = chooses or (number in inexact and _is_group(experiment, point, key))
        try:
            parse_override(text)
            words.append((number, text))
        except CompositionFailure as failure:
            refused.append((number, failure.error))
            if equals:
                words.append((number, f"{key}={quote(value)}"))
        except NotCovered:
            return ChildConfig(tuple(refused), None)
    if chooses or point.unknown is not None or point.structured or point.config_dir is None:
        return ChildConfig(tuple(refused), None)
    while True:
        result, _ = compose_tree(
            experiment.config_tree,
            config_dir=point.config_dir,
            config_name=point.config_name,
            overrides=[text for _, text in words],
            version_base=point.version_base,
            reference=False,
        )
        if isinstance(result, Composed):
            return ChildConfig(tuple(sorted(refused, key=lambda r: r[0])), result)
        if not isinstance(result, CompositionError) or result.override is None:
            return ChildConfig(tuple(refused), None)
        number, text = words.pop(result.override)
        if all(number != before for before, _ in refused):
            refused.append((number, result))
        key = text.partition("=")[0].lstrip("+")
        if key == "run" or _is_group(experiment, point, key):
            # Without the run, or another section, what the other words name is not there either.
            return ChildConfig(tuple(refused), None)


def _is_group(experiment: Experiment, point: EntryPoint, key: str) -> bool:
    return experiment.config_tree.is_folder(f"{point.config_dir or ''}/{key}".lstrip("/"))
