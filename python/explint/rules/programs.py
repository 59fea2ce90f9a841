"""The programs of a training run: what the training command starts, and what that starts in turn.

Each is a trace under the config that the process composes, words handed to it included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from explint.package import FileState
from explint.rules.registry import Unknown
from explint.rules.started import child_config, started, target, tree_of

if TYPE_CHECKING:
    from explint.compose.static import Composed
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode
    from explint.rules.keys import Certain
    from explint.rules.started import Start
    from explint.trace.children import Child
    from explint.trace.facts import AnyEvent, EntryTrace, Place, TraceDocument
    from explint.trace.specialise import Env, Specialised


@dataclass(frozen=True)
class Program:
    """One process of a run under a mode.

    ``path`` is the file it starts, ``child`` says that another process of the run starts it.
    ``composed`` is its config, None where that is not known. ``mode`` is None in a protocol without
    modes. ``blind`` says that it imports a module of the package whose text is not there: what such
    a module does with what it is handed is not known.
    """

    run_id: str
    mode: Mode | None
    path: str
    child: bool
    document: TraceDocument
    special: Specialised
    composed: Composed | None
    blind: bool

    @property
    def trace(self) -> EntryTrace:
        """What the process does, under no config in particular."""
        return self.special.env.entry

    @property
    def env(self) -> Env:
        """What its values are evaluated under."""
        return self.special.env

    @cached_property
    def certain(self) -> Certain:
        """Which of its events happen for all that is known."""
        from explint.rules.keys import Certain

        return Certain(self.trace, self.env)

    def path_of(self, place: Place) -> str:
        """The file a place is in."""
        return self.document.files[place.file]

    def events(self) -> list[tuple[int, AnyEvent]]:
        """The events that may happen, with their numbers."""
        return self.special.happening()


@dataclass(frozen=True, slots=True)
class Programs:
    """Every program of every run and mode; ``unknown`` says what is not known of some of them."""

    programs: tuple[Program, ...] = ()
    unknown: tuple[Unknown, ...] = field(default=())

    def under(self, *, cheap: bool) -> list[Program]:
        """The programs of the modes that only show that the code works, or of the others."""
        return [p for p in self.programs if (p.mode is not None and p.mode.cheap) == cheap]

    def other(self, program: Program, *, cheap: bool) -> Program | None:
        """The same process of the same run under a mode of the other kind."""
        for one in self.under(cheap=cheap):
            if (one.run_id, one.path, one.child) == (program.run_id, program.path, program.child):
                return one
        return None


def programs(experiment: Experiment) -> Programs:
    """The programs of a package's runs; none where the protocol has no training command."""
    found: Programs | None = experiment.shared.get("programs")
    if found is None:
        found = experiment.shared["programs"] = _programs(experiment)
    return found


def _programs(experiment: Experiment) -> Programs:
    seen = started(experiment)
    if seen is None:
        return Programs()
    if seen.unknown is not None or seen.document is None:
        return Programs(unknown=() if seen.unknown is None else (seen.unknown,))
    modes = {mode.name: mode for mode in experiment.profile.trial.modes}
    found: list[Program] = []
    lacking: dict[str, Unknown] = {}
    for start in seen.starts:
        own = Program(
            run_id=start.run_id,
            mode=modes.get(start.mode),
            path=seen.path,
            child=False,
            document=seen.document,
            special=start.special,
            composed=start.composed,
            blind=_blind(experiment, start.special.env.entry),
        )
        found.append(own)
        if start.composed is None:
            lacking.setdefault(
                "config",
                Unknown(
                    reason=f"the config of {start.run_id} is not known",
                    decided_by="a config that composes",
                    path=experiment.profile.config.primary,
                ),
            )
        for child in start.children:
            for answer in _child(experiment, start, own, child):
                if isinstance(answer, Program):
                    found.append(answer)
                else:
                    lacking.setdefault(answer.reason, answer)
    return Programs(tuple(found), tuple(lacking.values()))


def _child(
    experiment: Experiment, start: Start, parent: Program, child: Child
) -> Iterator[Program | Unknown]:
    from explint.trace.children import Word, keys_of_words
    from explint.trace.specialise import Unknown as NotKnown
    from explint.trace.specialise import specialise

    path = target(experiment, child)
    if path is None or path == parent.path:
        if child.module is not None and experiment.state(
            f"{child.module.replace('.', '/')}.py"
        ) in (FileState.WITHHELD, FileState.EMPTY):
            file = f"{child.module.replace('.', '/')}.py"
            yield Unknown(reason=f"{file} is not in the record", decided_by=file, path=file)
        return
    if child.state is False or not parent.certain.happens(child.event.guard):
        yield Unknown(
            reason=f"whether {path} is started is not decided", decided_by="a trial run", path=path
        )
        return
    module = path.removesuffix(".py").replace("/", ".")
    document = experiment.trace(module)
    entry = None if document is None else document.entry(module)
    if document is None or entry is None:
        return
    point = experiment.entry_at(path)
    words = [w for w in child.words if isinstance(w, Word)]
    plain = len(words) == len(child.words) and not any(w.text.startswith("-") for w in words)
    composed: Composed | None = None
    if not isinstance(point, str) and plain and None not in keys_of_words(words):
        inexact = frozenset(n for n, w in enumerate(words) if not w.exact)
        composed = child_config(experiment, point, tuple(w.text for w in words), inexact).composed
    config: Any = NotKnown("the config of the process is not known")
    if composed is not None:
        config = tree_of(composed)
    else:
        yield Unknown(
            reason=f"the config of the process {path} is not known",
            decided_by="a trial run",
            path=path,
        )
    yield Program(
        run_id=start.run_id,
        mode=parent.mode,
        path=path,
        child=True,
        document=document,
        special=specialise(entry, config, files=experiment.loadable),
        composed=composed,
        blind=_blind(experiment, entry),
    )


def _blind(experiment: Experiment, entry: EntryTrace) -> bool:
    from explint.trace import facts as f

    return any(
        isinstance(event, f.Import)
        and event.own
        and experiment.state(f"{event.name.replace('.', '/')}.py")
        in (FileState.WITHHELD, FileState.EMPTY)
        for event in entry.events
    )


def is_cut(program: Program) -> bool:
    """Whether a bound of the trace cut something off."""
    from explint.trace import facts as f

    return any(isinstance(event, f.Cut) for event in program.trace.events)
