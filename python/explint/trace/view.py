"""What an entry does, for a person to read: line by line, in program order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from explint.trace import facts as f
from explint.trace.describe import describe, dotted
from explint.trace.specialise import (
    ABSENT,
    Files,
    Specialised,
    Tree,
    Unknown,
    at_keys,
    condition,
    evaluate,
    keys_of,
    specialise,
)

LineKind = Literal["call", "branch", "loop", "read", "write", "library", "problem", "note"]

_SAFE = frozenset({"get", "getattr", "select", "contains", "pop"})

_TELLING = (
    "wandb", "optuna", "subprocess", "hydra.", "torch.utils.data", "torch.optim", "torch.save",
    "torch.load", "torch.manual_seed", "numpy.save", "numpy.random.seed", "random.seed", "open",
    "json.dump", "yaml.", "pickle.dump", "datasets.", "transformers.", "torchvision.datasets",
    "matplotlib.pyplot.savefig", "argparse", "scipy.stats", "omegaconf.", "os.environ", "os.chdir",
    "os.system", "os.makedirs",
)  # fmt: skip
_TELLING_ENDS = (
    ".backward", ".step", ".savefig", ".to_csv", ".to_json", ".write_text", ".save_pretrained",
    ".mkdir",
)  # fmt: skip


class Line(msgspec.Struct, frozen=True):
    """One line of the view.

    ``state`` is True where it happens in the run, False where it is skipped, None where that is
    not decided. ``depth`` counts the calls and undecided branches around it. ``value`` is what a
    config read gives in the run, as text.
    """

    kind: LineKind
    text: str
    state: bool | None
    depth: int
    path: str
    line: int
    value: str = ""


class MissingKey(msgspec.Struct, frozen=True):
    """A config key that is read without a default and not defined."""

    key: str
    path: str
    line: int
    sure: bool
    found_at: tuple[str, ...] = ()


class View(msgspec.Struct):
    """A whole entry.

    ``open`` are branches the config does not decide, with why; ``cuts`` are bounds that ended the
    trace somewhere, with the place.
    """

    entry: str
    lines: list[Line] = msgspec.field(default_factory=list)
    missing: list[MissingKey] = msgspec.field(default_factory=list)
    open: list[tuple[str, str, str, int]] = msgspec.field(default_factory=list)
    cuts: list[tuple[str, str, int]] = msgspec.field(default_factory=list)


def is_telling(name: str) -> bool:
    """Whether a library call says something about the experiment."""
    if name.endswith(_TELLING_ENDS):
        return True
    # What is done with a result is told for the tools that run the experiment only.
    return name.startswith(_TELLING if "(" not in name else ("wandb", "optuna", "subprocess"))


def view(
    document: f.TraceDocument,
    entry: f.EntryTrace,
    config: Tree,
    lines_of: Mapping[str, Sequence[str]],
    *,
    files: Files | None = None,
) -> View:
    """The view of an entry under a config tree (or an ``Unknown`` where no run is chosen)."""
    special = specialise(entry, config, files=files)
    return _Viewer(document, special, lines_of, known=not isinstance(config, Unknown)).view()


class _Viewer:
    def __init__(
        self,
        document: f.TraceDocument,
        special: Specialised,
        lines_of: Mapping[str, Sequence[str]],
        *,
        known: bool,
    ) -> None:
        self.document = document
        self.special = special
        self.env = special.env
        self.entry = special.env.entry
        self.lines_of = lines_of
        self.known = known
        self.shown = View(self.entry.name)
        self._calls: list[int] = []
        self._guards: list[int] = []
        self._reads: set[tuple[int, str, int]] = set()
        self._written: set[tuple[int, int]] = set()
        self._missing: dict[str, MissingKey] = {}
        self._open: set[tuple[str, int, int]] = set()
        self._taken: set[int] = set()

    def view(self) -> View:
        self._written = {
            (e.place.file, e.place.line) for e in self.entry.events if isinstance(e, f.Write)
        }
        for state, event in zip(self.special.states, self.entry.events, strict=True):
            self._guard_lines(event)
            if state is not False:
                self._event(event, state)
        self.shown.missing = sorted(self._missing.values(), key=lambda m: (m.path, m.line, m.key))
        return self.shown

    # ---- where ----

    def _path(self, place: f.Place) -> str:
        return self.document.files[place.file] if place.file < len(self.document.files) else ""

    def _depth(self) -> int:
        undecided = sum(self._state(g) is None for g in self._guards)
        return len(self._calls) + undecided

    def _state(self, guard: int) -> bool | None:
        row = self.entry.guards[guard]
        truth = condition(row.condition, self.env)
        return None if truth is None else truth == row.expected

    def _add(
        self, kind: LineKind, text: str, state: bool | None, place: f.Place, value: str = ""
    ) -> None:
        line = Line(kind, text, state, self._depth(), self._path(place), place.line, value)
        self.shown.lines.append(line)

    def _source(self, place: f.Place) -> str:
        lines = self.lines_of.get(self._path(place), ())
        if not 0 < place.line <= len(lines):
            return ""
        first = lines[place.line - 1]
        if place.end_line == place.line:
            return first[place.column - 1 : place.end_column - 1]
        return first[place.column - 1 :].rstrip() + " …"

    def _chain(self, guard: int) -> list[int]:
        chain = []
        while guard:
            chain.append(guard)
            guard = self.entry.guards[guard].parent
        return chain[::-1]

    def _call_chain(self, call: int) -> list[int]:
        chain = []
        while call:
            chain.append(call)
            call = self.entry.calls[call].parent
        return chain[::-1]

    def _guard_lines(self, event: f.AnyEvent) -> None:
        """Lines for the calls and branches that the event stands in and the one before did not."""
        chain = self._chain(event.guard)
        same = 0
        while same < min(len(chain), len(self._guards)) and chain[same] == self._guards[same]:
            same += 1
        self._guards = self._guards[:same]
        calls = self._call_chain(event.call)
        if calls[: len(self._calls)] != self._calls:
            common = 0
            while common < min(len(calls), len(self._calls)) and (
                calls[common] == self._calls[common]
            ):
                common += 1
            self._calls = self._calls[:common]
        for guard in chain[same:]:
            if any(self._state(g) is False for g in self._guards):
                self._guards.append(guard)
                continue
            self._branch(guard)
            self._guards.append(guard)
        if not any(self._state(g) is False for g in self._guards):
            for call in calls[len(self._calls) :]:
                row = self.entry.calls[call]
                self._add("call", f"{row.function}()", None if self._unsure() else True, row.place)
                self._calls.append(call)

    def _unsure(self) -> bool:
        return any(self._state(g) is None for g in self._guards)

    def _branch(self, guard: int) -> None:
        row = self.entry.guards[guard]
        value = self.entry.values[row.condition]
        state = self._state(guard)
        place = row.place
        match value:
            case f.Ran(loop=loop):
                loop_row = self.entry.loops[loop]
                if state is False:
                    text = f"no iteration over {describe(loop_row.over, self.entry)}"
                    self._add("loop", text, False, place)
                return
            case f.Raised():
                if row.expected:
                    self._add("branch", "after an exception", state, place)
                return
            case f.All():
                # What an earlier way out left over: the way out itself was shown.
                return
            case f.Called(loop=loop):
                self._add("branch", f"when {describe(row.condition, self.entry)}", state, place)
                return
        source = self._source(place) or describe(row.condition, self.entry)
        if state is True:
            # After a way out of the other branch the same condition goes on holding.
            if guard in self._taken:
                return
            self._taken.add(guard)
        text = f"if {source}" if self._positive(row) else f"unless {source}"
        self._add("branch", text, state, place)
        if state is None:
            self._note_open(source, self._why(row.condition), place)

    def _positive(self, row: f.Guard) -> bool:
        # The source says `a != b` where the condition is `not a == b`.
        source = self._source(row.place)
        value = self.entry.values[row.condition]
        negated = source.startswith("not ") or (
            isinstance(value, f.Compare)
            and any(f" {word} " in source for word in ("!=", "is not", "not in"))
        )
        return row.expected != negated

    def _why(self, value: f.ValueId) -> str:
        found = evaluate(value, self.env)
        return found.reason if isinstance(found, Unknown) else ""

    def _note_open(self, text: str, why: str, place: f.Place) -> None:
        key = (text, place.file, place.line)
        if key not in self._open:
            self._open.add(key)
            self.shown.open.append((text, why, self._path(place), place.line))

    # ---- what ----

    def _event(self, event: f.AnyEvent, state: bool | None) -> None:
        entry, place = self.entry, event.place
        match event:
            case f.Read():
                self._read(event, state)
            case f.Write():
                at = self._dotted(event.at)
                if event.how == "delete":
                    self._add("write", f"delete {at}", state, place)
                else:
                    value = self._value(event.value) or describe(event.value, entry)
                    self._add("write", f"{at} = {value}", state, place)
            case f.Flag():
                at = self._dotted(event.at) or "the config"
                text = f"{event.flag} {describe(event.value, entry)} on {at}"
                self._add("write", text, state, place)
            case f.LibraryCall() if is_telling(event.name):
                given = [describe(a, entry) for a in event.args]
                given += [
                    f"{'**' if k == '**' else k + '='}{describe(v, entry)}" for k, v in event.kwargs
                ]
                self._add("library", f"{event.name}({', '.join(given)})", state, place)
            case f.Store():
                of, key = describe(event.of, entry), describe(event.key, entry)
                name = f"{of}[{key}]" if event.how == "item" else f"{of}.{key.strip(chr(39))}"
                if is_telling(of):
                    self._add("library", f"{name} = {describe(event.value, entry)}", state, place)
            case f.LoopStart():
                loop = entry.loops[event.loop]
                if loop.kind in ("for", "while"):
                    over = self._value(loop.over)
                    word = "for each of" if loop.kind == "for" else "while"
                    text = self._source(loop.place).removesuffix(" …").rstrip(" :")
                    text = text or f"{word} {describe(loop.over, entry)}"
                    self._add("loop", text, state, place, over)
            case f.Break():
                self._add("loop", "break", state, place)
            case f.Raise():
                self._add("problem", f"raise {describe(event.value, entry)}", state, place)
            case f.Mismatch():
                name = event.function.rpartition(".")[2]
                text = f"{name}() {event.problem}" if name else event.problem
                self._add("problem", text, state, place)
            case f.Cut():
                self.shown.cuts.append((event.reason, self._path(place), place.line))

    def _dotted(self, at: f.ValueId) -> str:
        row = self.entry.values[at]
        return dotted(row.path, self.entry) if isinstance(row, f.Config) else ""

    def _value(self, value: f.ValueId) -> str:
        found = evaluate(value, self.env)
        if found is ABSENT:
            return "not defined"
        if isinstance(found, Unknown):
            return ""
        return _short(found)

    def _read(self, event: f.Read, state: bool | None) -> None:
        row = self.entry.values[event.at]
        if not isinstance(row, f.Config):
            return
        text = dotted(row.path, self.entry)
        key = (event.call, text, event.guard)
        value = self._value(event.at)
        is_default = event.default is not None
        if is_default and value == "not defined":
            default = self._value(event.default) if event.default is not None else ""
            value = f"default {default}".rstrip()
        if not text or (event.how == "iterate" and not row.path):
            return
        # The sections on the way to a key that is written are no news.
        on_the_way = (event.place.file, event.place.line) in self._written and not (
            value and not value.startswith("{")
        )
        if key not in self._reads and not on_the_way:
            self._reads.add(key)
            self._add("read", text, state, event.place, value)
        if self.known and event.how not in _SAFE:
            self._check(row, event, state)

    def _check(self, row: f.Config, event: f.Read, state: bool | None) -> None:
        keys = keys_of(row.path, self.env)
        if isinstance(keys, Unknown):
            return
        tree = self.env.tree(row.root, row.version)
        for end in range(1, len(keys) + 1):
            if at_keys(tree, keys[:end]) is ABSENT:
                name = ".".join(map(str, keys[:end]))
                known = self._missing.get(name)
                if known is None or (state is True and not known.sure):
                    self._missing[name] = MissingKey(
                        name,
                        self._path(event.place),
                        event.place.line,
                        state is True,
                        _elsewhere(tree, keys[:end]),
                    )
                return


def _elsewhere(tree: Tree, keys: Sequence[str | int]) -> tuple[str, ...]:
    """The sections of a config that do hold the keys."""
    if not isinstance(tree, Mapping):
        return ()
    name = ".".join(map(str, keys))
    found = [
        f"{section}.{name}"
        for section, inner in tree.items()
        if isinstance(inner, Mapping) and at_keys(inner, keys) is not ABSENT
    ]
    return tuple(sorted(found))


def _short(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        names = ", ".join(str(k) for k in list(value)[:4])
        return f"{{{names}{', …' if len(value) > 4 else ''}}}"
    if isinstance(value, list) and len(value) > 6:
        return f"[{len(value)} items]"
    return repr(value)
