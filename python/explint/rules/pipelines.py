"""What the code does with its data: the traces that the rules of the family look through.

Every process of the training in every run and mode, and, under no config, the modules that no
process reaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from explint.regex import regex
from explint.rules.keys import Certain
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, Unknown, condition, evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace.specialise import Env, Specialised

_DATA: Final = regex(
    r"\b(?:datasets|torchvision|torchaudio|transformers|timm|torch|sklearn|sentence_transformers"
    r"|huggingface_hub|torch_geometric|lightning|pytorch_lightning)\b",
    words=("torch", "datasets", "transformers", "timm", "sklearn", "huggingface_hub", "lightning"),
)
_DEPTH: Final = 40
_Kind = TypeVar("_Kind")


class Pipeline(msgspec.Struct, frozen=True, dict=True):
    """One process of a run, or a module under no config.

    ``run_id`` and ``mode`` are None where no config is known. ``cheap`` says that the mode only
    shows that the code works. ``whole`` is false for functions that no entry reaches: where they
    are called from, and with what, is not known.
    """

    run_id: str | None
    mode: str | None
    cheap: bool
    whole: bool
    document: f.TraceDocument
    special: Specialised
    elsewhere: frozenset[str] = frozenset()
    notes: dict[str, object] = msgspec.field(default_factory=dict)
    """What one rule found out and others use too, by a name of its own."""

    @property
    def trace(self) -> f.EntryTrace:
        """What the process does, under no config in particular."""
        return self.special.env.entry

    @property
    def env(self) -> Env:
        """What its values are evaluated under."""
        return self.special.env

    @cached_property
    def certain(self) -> OverData:
        """Which of its events happen for all that is known."""
        return OverData(self.trace, self.env)

    @cached_property
    def events(self) -> list[tuple[int, f.AnyEvent]]:
        """The events that may happen, with their numbers."""
        found = self.special.happening()
        if not self.elsewhere:
            return found
        calls = self.trace.calls
        return [(n, e) for n, e in found if calls[e.call].function not in self.elsewhere]

    def events_of(self, *kinds: type[_Kind]) -> list[tuple[int, _Kind]]:
        """The events of some kinds that may happen, with their numbers, in order."""
        found: list[tuple[int, Any]] = self.special.happening_of(*kinds)
        if not self.elsewhere:
            return found
        calls = self.trace.calls
        return [(n, e) for n, e in found if calls[e.call].function not in self.elsewhere]

    @cached_property
    def calls(self) -> list[tuple[int, f.LibraryCall]]:
        """The calls of libraries that may happen, with their numbers."""
        return self.events_of(f.LibraryCall)

    @cached_property
    def stores(self) -> list[tuple[int, f.Store]]:
        """What may be stored in things of libraries, with the events' numbers."""
        return self.events_of(f.Store)

    @property
    def is_cut(self) -> bool:
        """Whether a bound of the trace cut something off."""
        return self.trace.is_cut

    def path_of(self, place: f.Place) -> str:
        """The file a place is in."""
        return self.document.files[place.file]

    def row(self, value: f.ValueId) -> f.AnyValue:
        """What is known of a value, with the way taken where the config decides between two."""
        row = self.trace.values[value]
        for _ in range(_DEPTH):
            if not isinstance(row, f.Select):
                break
            truth = condition(row.test, self.env)
            if truth is None:
                break
            row = self.trace.values[row.yes if truth else row.no]
        return row

    def name_of(self, row: f.AnyValue) -> str:
        """The canonical name of what a call calls, or of a library's object; empty for others."""
        if isinstance(row, f.CallValue):
            callee = self.trace.values[row.callee]
            return callee.name if isinstance(callee, f.Library) else ""
        return row.name if isinstance(row, f.Library) else ""

    def method_of(self, row: f.AnyValue) -> tuple[str, f.ValueId] | None:
        """The name and the object of a call of a method of something that is not followed."""
        if isinstance(row, f.CallValue):
            callee = self.trace.values[row.callee]
            if isinstance(callee, f.Attribute):
                return callee.name, callee.of
        return None

    def text_of(self, value: f.ValueId | None) -> str | None:
        """A value that is a text under the run's config."""
        found = None if value is None else evaluate(value, self.env)
        return found if isinstance(found, str) else None

    def texts_of(self, value: f.ValueId) -> list[str] | None:
        """A value that is a text or a list of texts; None for anything else."""
        found = evaluate(value, self.env)
        if isinstance(found, str):
            return [found]
        if isinstance(found, list | tuple | set) and all(isinstance(t, str) for t in found):
            return sorted(found) if isinstance(found, set) else list(found)
        return None

    def folder_of(self, value: f.ValueId) -> str | None:
        """A value that is a path, as text; None for one that is not known."""
        found = evaluate(value, self.env)
        return str(found) if isinstance(found, str | PurePath) else None

    def is_unknown(self, value: f.ValueId) -> bool:
        """Whether the config does not determine a value."""
        found = evaluate(value, self.env)
        return found is ABSENT or isinstance(found, Unknown)

    def happens(self, event: f.Event) -> bool:
        """Whether an event happens for all that is known."""
        return self.certain.happens(event.guard)

    def surely(self, guard: int) -> bool:
        """Whether a guard is met on every way, were there data to loop over: an open condition may
        be a switch that nobody sets."""
        while guard:
            row = self.trace.guards[guard]
            truth = condition(row.condition, self.env)
            is_loop = isinstance(self.trace.values[row.condition], f.Ran | f.Called)
            if (truth is None and not is_loop) or (truth is not None and truth != row.expected):
                return False
            guard = row.parent
        return True


class OverData(Certain):
    """Takes loops over data to run, whatever made the data."""

    def _is_free(self, value: f.ValueId, depth: int) -> bool:
        row = self.entry.values[value]
        if isinstance(row, f.Ran | f.Called):
            loop = self.entry.loops[row.loop]
            if loop.kind != "while" and not isinstance(
                self.entry.values[loop.over], f.Config | f.Has | f.Parameter
            ):
                return True
        return super()._is_free(value, depth)


def given(
    call: f.LibraryCall | f.CallValue, keyword: str, position: int | None
) -> f.ValueId | None:
    """The argument of a call by its keyword or position; None where it is not given."""
    for name, value in call.kwargs:
        if name == keyword:
            return value
    if position is not None and position < len(call.args):
        return call.args[position]
    return None


def is_spread(call: f.LibraryCall | f.CallValue, trace: f.EntryTrace) -> bool:
    """Whether a call takes arguments from a list or dict, so that which ones is not known."""
    return any(name == "**" for name, _ in call.kwargs) or any(
        isinstance(trace.values[a], f.Star) for a in call.args
    )


def pipelines(experiment: Experiment) -> tuple[Pipeline, ...]:
    """Every pipeline of a package; none where nothing in it imports a library of data or models."""
    found: tuple[Pipeline, ...] | None = experiment.shared.get("pipelines")
    if found is None:
        found = experiment.shared["pipelines"] = tuple(_pipelines(experiment))
    return found


def sources(experiment: Experiment) -> dict[str, str]:
    """The Python files of a package whose text is known, by path."""
    found: dict[str, str] | None = experiment.shared.get("data sources")
    if found is None:
        found = {}
        for path in sorted(experiment.package.files):
            text = experiment.text(path) if path.endswith(".py") else None
            if text:
                found[path] = text
        experiment.shared["data sources"] = found
    return found


def _pipelines(experiment: Experiment) -> Iterator[Pipeline]:
    if not any(_DATA.search(text) for text in sources(experiment).values()):
        return
    from explint.rules.processes import processes

    modes = {mode.name: mode for mode in experiment.profile.trial.modes}
    documents: dict[int, f.TraceDocument] = {}
    reached: set[str] = set()
    functions: set[str] = set()
    for process in processes(experiment):
        documents[id(process.document)] = process.document
        functions.update(call.function for call in process.trace.calls)
        reached.add(process.path)
        mode = modes.get(process.mode or "")
        yield Pipeline(
            run_id=process.run_id,
            mode=process.mode,
            cheap=mode is not None and mode.cheap,
            whole=True,
            document=process.document,
            special=process.special,
        )
    config = Unknown("no run was chosen")
    for path in experiment.profile.files.jobs or _FALLBACK:
        module = path.removesuffix(".py").replace("/", ".")
        if not experiment.starts(path):
            continue
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if document is None or entry is None:
            continue
        documents[id(document)] = document
        functions.update(call.function for call in entry.calls)
        if path not in reached and _starts(experiment.text(path) or ""):
            special = experiment.specialised(entry, config, with_files=True)
            yield Pipeline(None, None, cheap=False, whole=True, document=document, special=special)
    rest = [(d, e) for d in documents.values() if (e := d.entry("")) is not None and e.events]
    if rest:
        # A document leaves out what its own entries reach, and others may reach more.
        document, entry = min(rest, key=lambda pair: len(pair[1].events))
        special = experiment.specialised(entry, config, with_files=True)
        yield Pipeline(
            None,
            None,
            cheap=False,
            whole=False,
            document=document,
            special=special,
            elsewhere=frozenset(functions),
        )


_FALLBACK: Final = ("src/main.py", "src/train.py", "src/eval.py", "src/evaluate.py")


def _starts(text: str) -> bool:
    """Whether a module does something when it is started, so that it is no mere part of others."""
    return "__main__" in text
