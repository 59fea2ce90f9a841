"""What a training program does with PyTorch: its models, optimizers, losses, and where gradients
are off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from explint.regex import lines_with
from explint.rules.flow import parts
from explint.rules.pipelines import OverData
from explint.rules.processes import Process, processes
from explint.trace import facts as f

if TYPE_CHECKING:
    from explint.experiment import Experiment

_SAME: Final = frozenset(
    {"to", "cuda", "cpu", "float", "double", "half", "bfloat16", "train", "eval", "compile"}
)
"""Methods of a module that give the module itself back."""

_WRAPS: Final = re.compile(
    r"^torch\.compile$|(^|\.)(DataParallel|DistributedDataParallel|FullyShardedDataParallel)$"
)
_OPTIMIZER: Final = re.compile(
    r"^torch\.optim\.(?!lr_scheduler\b|swa_utils\b)\w+(\.\w+)?$|^transformers\.(optimization\.)?"
    r"(AdamW|Adafactor)$|^bitsandbytes\.optim\.\w+$|^timm\.optim\.\w+$"
)
_GRAD_OFF: Final = re.compile(r"^(\s*)with\b.*\b(no_grad|inference_mode)\(")
_ONE_LINE: Final = re.compile(r"^\s*with\b[^#]*\):\s*[^\s#]")
_GRAD_OFF_DECORATOR: Final = re.compile(r"^(\s*)@(torch\.)?(autograd\.)?(no_grad|inference_mode)\b")
_TRAINER: Final = re.compile(
    r"^(transformers|trl|sentence_transformers)\.(\w+\.)*\w*Trainer\(\)\.train$"
    r"|^(lightning|pytorch_lightning)\.(\w+\.)*Trainer\(\)\.fit$"
)
_TRAINING: Final = re.compile(r"backward\(|Trainer\(|def training_step\b")
_LAYER: Final = re.compile(
    r"^torch\.nn\.(Linear|Bilinear|Conv\w+|Embedding\w*|LSTM\w*|GRU\w*|RNN\w*|Transformer\w*"
    r"|MultiheadAttention|Lazy\w+)$"
)


class Span(msgspec.Struct, frozen=True):
    """A loop as the numbers of the events that begin and end it."""

    loop: int
    start: int
    end: int

    def holds(self, number: int) -> bool:
        """Whether an event is inside."""
        return self.start < number < self.end


class Training:
    """One process and what it does with PyTorch."""

    def __init__(self, process: Process, experiment: Experiment, off: _Off | None) -> None:
        self.process = process
        self.trace = process.trace
        self.experiment = experiment
        self._off = off

    def path_of(self, place: f.Place) -> str:
        """The file that a place is in."""
        return self.process.path_of(place)

    @cached_property
    def calls(self) -> list[tuple[int, f.LibraryCall]]:
        """The calls that leave the package and may happen, with their numbers."""
        return self.process.special.happening_of(f.LibraryCall)

    @cached_property
    def loops(self) -> list[Span]:
        """The ``for`` and ``while`` loops, outer ones before those inside them."""
        begun: dict[int, int] = {}
        spans: list[Span] = []
        for number, event in self.trace.events_of(f.LoopStart, f.LoopEnd):
            if isinstance(event, f.LoopStart):
                begun[event.loop] = number
            elif (
                isinstance(event, f.LoopEnd)
                and event.loop in begun
                and self.trace.loops[event.loop].kind in ("for", "while")
            ):
                spans.append(Span(event.loop, begun[event.loop], number))
        return sorted(spans, key=lambda span: span.start)

    def around(self, number: int) -> list[Span]:
        """The loops that an event is in, from the outermost to the innermost."""
        return [span for span in self.loops if span.holds(number)]

    @cached_property
    def results(self) -> dict[int, f.ValueId]:
        """The value that a call gives, by the number of its event."""
        return self.trace.results

    def bases(self, value: f.ValueId) -> set[f.ValueId]:
        """The objects that a value may be: through choices, ``.to()``, wrappers and
        ``accelerator.prepare``."""
        found: set[f.ValueId] = set()
        stack, seen = [value], {value}
        while stack:
            at = stack.pop()
            further = self._further(at)
            if not further:
                found.add(at)
            for one in further:
                if one not in seen:
                    seen.add(one)
                    stack.append(one)
        return found

    def _further(self, value: f.ValueId) -> list[f.ValueId]:
        values = self.trace.values
        row = values[value]
        match row:
            case f.Select():
                return [row.yes, row.no]
            case f.CallValue():
                callee = values[row.callee]
                if isinstance(callee, f.Attribute) and callee.name in _SAME:
                    return [callee.of]
                if isinstance(callee, f.Library) and _WRAPS.search(callee.name) and row.args:
                    return [row.args[0]]
                if (
                    isinstance(callee, f.Attribute)
                    and callee.name == "prepare"
                    and (len(row.args) == 1)
                ):
                    return [row.args[0]]
            case f.Item():
                of, key = values[row.of], values[row.key]
                if isinstance(of, f.CallValue) and isinstance(key, f.Literal):
                    callee = values[of.callee]
                    index = key.value
                    if (
                        isinstance(callee, f.Attribute)
                        and callee.name == "prepare"
                        and type(index) is int
                        and index < len(of.args)
                    ):
                        return [of.args[index]]
        return []

    def made_by(self, value: f.ValueId) -> str:
        """The library's name for what a value is an instance or result of; empty where none."""
        row = self.trace.values[value]
        if isinstance(row, f.CallValue):
            callee = self.trace.values[row.callee]
            return callee.name if isinstance(callee, f.Library) else ""
        return ""

    def is_made_by(self, value: f.ValueId, pattern: re.Pattern[str]) -> bool:
        """Whether a value is, in all ways, something whose maker's name fits."""
        return all(pattern.search(self.made_by(b)) for b in self.bases(value))

    def receiver(self, event: f.LibraryCall) -> f.ValueId | None:
        """What a method is called on."""
        callee = self.trace.values[event.callee]
        return callee.of if isinstance(callee, f.Attribute | f.Bound) else None

    def methods(self, name: str) -> Iterator[tuple[int, f.LibraryCall, f.ValueId]]:
        """The calls of methods of a name, with what they are called on."""
        for number, event in self.calls:
            if event.name.rpartition(".")[2] == name:
                of = self.receiver(event)
                if of is not None:
                    yield number, event, of

    @cached_property
    def optimizers(self) -> dict[f.ValueId, int]:
        """The optimizers, with the number of the event that makes each."""
        return {
            self.results[number]: number
            for number, event in self.calls
            if _OPTIMIZER.search(event.name) and number in self.results
        }

    @cached_property
    def steps(self) -> list[tuple[int, f.LibraryCall, set[f.ValueId]]]:
        """The steps of optimizers, also through a gradient scaler, with what is stepped."""
        found = []
        for number, event, of in self.methods("step"):
            bases = self.bases(of)
            if event.args and not bases & self.optimizers.keys():
                bases = self.bases(event.args[0])
            if bases and bases <= self.optimizers.keys():
                found.append((number, event, bases))
        return found

    @cached_property
    def backwards(self) -> list[tuple[int, f.AnyEvent, f.ValueId]]:
        """Where gradients are computed, with the loss: calls of ``backward``, of
        ``scaler.scale(loss)`` what is scaled, of ``accelerator.backward(loss)`` what is handed
        over; and what a Lightning module's ``training_step`` returns to its trainer."""
        found: list[tuple[int, f.AnyEvent, f.ValueId]] = []
        for number, event, of in self.methods("backward"):
            loss = of
            if event.args and "ccelerator" in event.name:
                loss = event.args[0]
            row = self.trace.values[loss]
            if isinstance(row, f.CallValue) and len(row.args) == 1:
                callee = self.trace.values[row.callee]
                if isinstance(callee, f.Attribute) and callee.name == "scale":
                    loss = row.args[0]
            found.append((number, event, loss))
        if not self._by_hand:
            found += self._returned_losses()
            found.sort(key=lambda one: one[0])
        return found

    @cached_property
    def _by_hand(self) -> bool:
        """Whether a Lightning module optimises by itself."""
        return any(
            "automatic_optimization" in (self.experiment.text(path) or "")
            for path in self.experiment.package.files
            if path.endswith(".py")
        )

    def _returned_losses(self) -> Iterator[tuple[int, f.AnyEvent, f.ValueId]]:
        trace = self.trace
        for number, event in self.process.special.happening():
            if not isinstance(event, f.Return):
                continue
            call = trace.calls[event.call]
            if not call.function.endswith(".training_step") or not self._is_fitted(event.guard):
                continue
            row = trace.values[event.value]
            if isinstance(row, f.DictValue):
                for key, value in row.items:
                    name = trace.values[key]
                    if isinstance(name, f.Literal) and name.value == "loss":
                        yield number, event, value
            elif not isinstance(row, f.Literal):
                yield number, event, event.value

    def _is_fitted(self, guard: int) -> bool:
        while guard:
            row = self.trace.guards[guard]
            test = self.trace.values[row.condition]
            if isinstance(test, f.Called):
                over = self.trace.values[self.trace.loops[test.loop].over]
                return isinstance(over, f.Attribute) and over.name == "fit"
            guard = row.parent
        return False

    @cached_property
    def trainers(self) -> list[tuple[int, f.LibraryCall, set[f.ValueId]]]:
        """Where a trainer of Transformers or Lightning trains, with the models it may train."""
        found = []
        for name, keyword in (("train", "model"), ("fit", "model")):
            for number, event, of in self.methods(name):
                if not _TRAINER.search(event.name):
                    continue
                given = event
                if name == "train":
                    row = self.trace.values[of]
                    made = row.event if isinstance(row, f.CallValue) else None
                    maker = None if made is None else self.trace.events[made]
                    if not isinstance(maker, f.LibraryCall):
                        continue
                    given = maker
                models = [v for k, v in given.kwargs if k == keyword] or given.args[:1]
                found.append((number, event, {b for m in models for b in self.bases(m)}))
        return found

    @cached_property
    def certain(self) -> OverData:
        """Which events happen for all that is known, were there data to loop over."""
        return OverData(self.trace, self.process.special.env)

    @cached_property
    def layers(self) -> list[tuple[int, f.LibraryCall]]:
        """Where layers with random initial values are made."""
        return [(n, e) for n, e in self.calls if _LAYER.search(e.name)]

    @property
    def is_whole(self) -> bool:
        """Whether all of the program is known: no bound of the trace cut anything off, and every
        module of the package that it imports is there."""
        return not self._lacks

    @cached_property
    def _lacks(self) -> bool:
        from explint.package import FileState

        for _, event in self.trace.events_of(f.Cut, f.Import):
            if isinstance(event, f.Cut):
                return True
            if isinstance(event, f.Import) and event.own:
                state = self.experiment.state(f"{event.name.replace('.', '/')}.py")
                if state in (FileState.WITHHELD, FileState.EMPTY):
                    return True
        return False

    def is_grad_off(self, event: f.AnyEvent) -> bool | None:
        """Whether an event happens where gradients are off; None where that is not known."""
        if self._off is None:
            return None
        if self._off.holds(self.path_of(event.place), event.place.line):
            return True
        call = event.call
        while call:
            row = self.trace.calls[call]
            if self._off.holds(self.path_of(row.place), row.place.line):
                return True
            # A decorator stands around the function's own body, which its events tell.
            call = row.parent
        return False

    def exclude(self, one: int, other: int) -> bool:
        """Whether two guards cannot both be met."""
        held: dict[f.ValueId, bool] = {}
        for guard in (one, other):
            at = guard
            while at:
                row = self.trace.guards[at]
                if held.setdefault(row.condition, row.expected) != row.expected:
                    return True
                at = row.parent
        return False

    @cached_property
    def _reached(self) -> set[tuple[str, int]]:
        files = self.process.document.files
        return {(files[file], line) for file, line in self.trace.reached}

    def covers(self, pattern: re.Pattern[str], words: tuple[str, ...]) -> bool:
        """Whether the trace comes to every line of the package's code that a pattern finds.

        A line that it finds holds one of ``words``.
        """
        return self._reached.issuperset(_lines_of_code(self.experiment, pattern, words))

    def parts(self, value: f.ValueId) -> set[f.ValueId]:
        """A value and everything it is made of."""
        return parts(self.trace, value)


def _lines_of_code(
    experiment: Experiment, pattern: re.Pattern[str], words: tuple[str, ...]
) -> list[tuple[str, int]]:
    """The lines of the package's code, but comments, that a pattern finds: path and number."""
    key = f"lines with {pattern.pattern}"
    found: list[tuple[str, int]] | None = experiment.shared.get(key)
    if found is None:
        found = experiment.shared[key] = [
            (path, number)
            for path in experiment.package.files
            if path.endswith(".py") and (text := experiment.text(path))
            for number, line in lines_with(text, words)
            if pattern.search(line) and not line.lstrip().startswith("#")
        ]
    return found


class _Off:
    """The lines on which gradients are off."""

    def __init__(self, ranges: dict[str, list[tuple[int, int]]]) -> None:
        self._ranges = ranges

    def holds(self, path: str, line: int) -> bool:
        return any(first < line <= last for first, last in self._ranges.get(path, ()))


def _find_off(experiment: Experiment) -> _Off | None:
    ranges: dict[str, list[tuple[int, int]]] = {}
    for path in experiment.package.files:
        text = experiment.text(path) if path.endswith(".py") else None
        if text is None:
            continue
        if "set_grad_enabled" in text or "enable_grad" in text:
            return None
        if "no_grad" not in text and "inference_mode" not in text:
            continue
        lines = text.split("\n")
        for number, line in enumerate(lines, start=1):
            with_ = _GRAD_OFF.match(line)
            decorator = _GRAD_OFF_DECORATOR.match(line)
            found = with_ or decorator
            if found is None:
                continue
            begin = number
            if with_ is not None and _ONE_LINE.match(line):
                ranges.setdefault(path, []).append((number - 1, number))
                continue
            if decorator is not None:
                # The body begins behind the line that ends the signature.
                while begin < len(lines) and not re.match(r"\s*(async\s+)?def\b", lines[begin - 1]):
                    begin += 1
            while begin < len(lines) and not lines[begin - 1].split("#")[0].rstrip().endswith(":"):
                begin += 1
            ranges.setdefault(path, []).append((begin, _end(lines, begin, len(found[1]))))
    return _Off(ranges)


def _end(lines: list[str], begin: int, indent: int) -> int:
    """The last line of the block that begins behind line ``begin`` (1-based)."""
    last = begin
    for number in range(begin + 1, len(lines) + 1):
        line = lines[number - 1]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(line) - len(line.lstrip()) <= indent and line.lstrip()[0] not in ")]}":
            break
        last = number
    return last


def trainings(experiment: Experiment) -> tuple[Training, ...]:
    """The processes of the training that compute gradients, each run once, in full where the
    protocol has a trial."""
    found: tuple[Training, ...] | None = experiment.shared.get("trainings")
    if found is None:
        found = experiment.shared["trainings"] = tuple(_trainings(experiment))
    return found


def _trainings(experiment: Experiment) -> Iterator[Training]:
    if not any(
        _TRAINING.search(experiment.text(path) or "")
        for path in experiment.package.files
        if path.endswith(".py")
    ):
        return
    cheap = {mode.name for mode in experiment.profile.trial.modes if mode.cheap}
    off = _find_off(experiment)
    known: set[tuple[int, tuple[bool | None, ...]]] = set()
    for process in processes(experiment):
        key = (id(process.trace), tuple(process.special.states))
        if process.mode in cheap or key in known:
            continue
        known.add(key)
        training = Training(process, experiment, off)
        if training.backwards or training.trainers:
            yield training
