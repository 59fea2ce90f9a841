"""The programs of a training run: what the training command starts, and what that starts in turn.

Each is a trace under the config that the process composes, words handed to it included.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from explint.package import FileState
from explint.rules.registry import Unknown
from explint.rules.started import started

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode
    from explint.rules.keys import Certain
    from explint.trace.facts import AnyEvent, EntryTrace, Place, TraceDocument
    from explint.trace.specialise import Env, Specialised


_Kind = TypeVar("_Kind")


class Program(msgspec.Struct, frozen=True, dict=True):
    """One process of a run under a mode.

    ``path`` is the file it starts, ``child`` says that another process of the run starts it,
    ``known`` that its config is known. ``mode`` is None in a protocol without
    modes. ``blind`` says that it imports a module of the package whose text is not there: what such
    a module does with what it is handed is not known.
    """

    run_id: str
    mode: Mode | None
    path: str
    child: bool
    document: TraceDocument
    special: Specialised
    known: bool
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

    def events_of(self, *kinds: type[_Kind]) -> list[tuple[int, _Kind]]:
        """The events of some kinds that may happen, with their numbers, in order."""
        return self.special.happening_of(*kinds)


class Programs(msgspec.Struct, frozen=True):
    """Every program of every run and mode; ``unknown`` says what is not known of some of them."""

    programs: tuple[Program, ...] = ()
    unknown: tuple[Unknown, ...] = msgspec.field(default=())

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
    from explint.rules.processes import processes

    seen = started(experiment)
    if seen is None:
        return Programs()
    if seen.unknown is not None or seen.document is None:
        return Programs(unknown=() if seen.unknown is None else (seen.unknown,))
    modes = {mode.name: mode for mode in experiment.profile.trial.modes}
    found: list[Program] = []
    lacking: dict[str, Unknown] = {}
    blind: dict[int, bool] = {}
    for process in processes(experiment):
        if process.run_id is None:
            continue
        if id(process.trace) not in blind:
            blind[id(process.trace)] = _blind(experiment, process.trace)
        program = Program(
            run_id=process.run_id,
            mode=modes.get(process.mode or ""),
            path=process.path,
            child=process.parent is not None,
            document=process.document,
            special=process.special,
            known=isinstance(process.tree, Mapping),
            blind=blind[id(process.trace)],
        )
        if not program.known:
            what = f"of {process.path} " if program.child else ""
            lacking.setdefault(
                process.path,
                Unknown(
                    reason=f"the config {what}in the run {process.run_id} is not known",
                    decided_by="a config that composes",
                    path=process.path,
                ),
            )
        found.append(program)
    for start in seen.starts:
        for child in start.children:
            file = f"{(child.module or '').replace('.', '/')}.py"
            if experiment.state(file) in (FileState.WITHHELD, FileState.EMPTY):
                lacking.setdefault(
                    file,
                    Unknown(reason=f"{file} is not in the record", decided_by=file, path=file),
                )
    return Programs(tuple(found), tuple(lacking.values()))


def _blind(experiment: Experiment, entry: EntryTrace) -> bool:
    from explint.trace import facts as f

    return any(
        event.own
        and experiment.state(f"{event.name.replace('.', '/')}.py")
        in (FileState.WITHHELD, FileState.EMPTY)
        for _, event in entry.events_of(f.Import)
    )


def is_cut(program: Program) -> bool:
    """Whether a bound of the trace cut something off."""
    return program.trace.is_cut
