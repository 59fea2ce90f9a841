"""What evaluation reads back from W&B: the calls, the names, and whether they surely happen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from explint.rules.executions import Execution, executions, module_of
from explint.rules.logged import picked, role_of, templates
from explint.rules.registry import Unknown
from explint.rules.started import unread
from explint.trace import facts as f
from explint.trace.specialise import Env, Specialised, condition
from explint.trace.specialise import Unknown as NotKnown

if TYPE_CHECKING:
    from explint.experiment import Experiment

_DEPTH = 40
# What is asked of a frame or a run before its columns are read.
_EMPTINESS = frozenset({"empty", "shape", "state"})
# Methods that may change a frame's columns in place.
_RESHAPING = frozenset({"insert", "rename", "set_axis", "update", "pop", "eval"})
_TESTS = frozenset({"pandas.isna", "pandas.isnull", "pandas.notna", "math.isnan", "numpy.isnan",
                    "isinstance"})  # fmt: skip


class Ask(msgspec.Struct, frozen=True):
    """Names that evaluation asks a run for.

    ``kind`` says where: ``keys`` are those of one ``history(keys=…)``, which returns the rows that
    hold all of them; ``column`` is a column of a history or a field of its rows; ``summary`` the
    summary. ``soft`` asks give a default instead of an error. ``calls`` are the history calls that
    a column belongs to. ``sure`` says that nothing but the run decides whether it happens.
    """

    kind: Literal["keys", "column", "summary"]
    names: tuple[str, ...]
    number: int
    place: f.Place
    path: str
    sure: bool
    soft: bool = False
    calls: tuple[int, ...] = ()


class ConfigAsk(msgspec.Struct, frozen=True):
    """A key path that evaluation reads from ``run.config``; ``soft`` with a default."""

    keys: tuple[str, ...]
    place: f.Place
    path: str
    sure: bool
    soft: bool


class Readback(msgspec.Struct):
    """What the evaluation module asks W&B for.

    ``keys_of`` holds, for a history call by its event number, the keys it names; None where they
    are not known. Without ``keys=`` it has no entry. ``written`` are columns that evaluation adds;
    ``reshaped`` says that it names columns anew.
    """

    path: str
    special: Specialised
    document: f.TraceDocument
    asks: list[Ask]
    config: list[ConfigAsk]
    keys_of: dict[int, tuple[str, ...] | None]
    written: set[str]
    reshaped: bool = False


def readback(experiment: Experiment) -> Readback | Unknown | None:
    """What evaluation reads; None where the protocol has no evaluation module."""
    if "readback" not in experiment.shared:
        experiment.shared["readback"] = _readback(experiment)
    found: Readback | Unknown | None = experiment.shared["readback"]
    return found


def _readback(experiment: Experiment) -> Readback | Unknown | None:
    jobs = experiment.profile.files.jobs.items()
    path = next((p for p, job in jobs if job == "evaluate"), None)
    if path is None:
        return None
    if lacking := unread(experiment, path):
        return lacking
    if "wandb" not in (experiment.text(path) or ""):
        return None
    name = module_of(path)
    known = next(
        (e for e in executions(experiment) if isinstance(e, Execution) and e.entry == name), None
    )
    if known is not None:
        return _collected(path, known.document, known.special)
    document = experiment.trace(name)
    entry = None if document is None else document.entry(name)
    if document is None or entry is None:
        return Unknown(reason=f"{path} cannot be read", decided_by=path, path=path)
    return _collected(
        path, document, experiment.specialised(entry, NotKnown("evaluation has no config"))
    )


def _collected(path: str, document: f.TraceDocument, special: Specialised) -> Readback:
    found = Readback(path, special, document, [], [], {}, set())
    env, entry = special.env, special.env.entry
    sure = _Sure(env)
    tested = _tested(entry)
    for number, (state, event) in enumerate(zip(special.states, entry.events, strict=True)):
        if state is False:
            continue
        match event:
            case f.Lookup():
                _lookup(found, number, event, sure, env)
            case f.Store(how="item") if role_of(event.of, env) in ("frame", "row", "summary"):
                found.written |= {k for t in templates(event.key, env) if (k := t.exact)}
            case f.Store(how="attribute") if role_of(event.of, env) == "frame":
                found.reshaped = True
            case f.LibraryCall():
                callee = entry.values[event.callee]
                if isinstance(callee, f.Attribute):
                    if callee.name in _RESHAPING and role_of(callee.of, env) == "frame":
                        found.reshaped = True
                    _method(found, number, event, callee, sure, tested, env)
    return found


def _lookup(found: Readback, number: int, event: f.Lookup, sure: _Sure, env: Env) -> None:
    role = role_of(event.of, env)
    path = found.document.files[event.place.file]
    happens = sure.happens(event.guard)
    names = _names(event.key, env)
    if names is None:
        return
    if role in ("frame", "row"):
        calls = tuple(history_calls(event.of, env))
        ask = Ask("column", names, number, event.place, path, happens, calls=calls)
        found.asks.append(ask)
    elif role == "summary":
        found.asks.append(Ask("summary", names, number, event.place, path, happens))
    elif len(names) == 1:
        keys = _config_keys(event.of, env)
        if keys is not None:
            whole = (*keys, *names)
            found.config.append(ConfigAsk(whole, event.place, path, happens, soft=False))


def _method(
    found: Readback,
    number: int,
    event: f.LibraryCall,
    callee: f.Attribute,
    sure: _Sure,
    tested: set[int],
    env: Env,
) -> None:
    role = role_of(callee.of, env)
    path = found.document.files[event.place.file]
    if role == "api-run" and callee.name in ("history", "scan_history"):
        given = dict(event.kwargs)
        at = 1 if callee.name == "history" else 0
        asked = given.get("keys", event.args[at] if len(event.args) > at else None)
        row = None if asked is None else env.entry.values[asked]
        if asked is None or (isinstance(row, f.Literal) and row.value is None):
            return
        names = _names(asked, env)
        if {"stream", "x_axis", "**"} & given.keys():
            names = None
        found.keys_of[number] = names
        if names:
            happens = sure.happens(event.guard)
            found.asks.append(Ask("keys", names, number, event.place, path, happens))
        return
    if callee.name != "get" or not event.args:
        return
    names = _names(event.args[0], env)
    if names is None:
        return
    happens = sure.happens(event.guard)
    if role in ("summary", "row"):
        if number not in tested and not (len(event.args) > 1 and _read(event.args[1], env)):
            kind: Literal["summary", "column"] = "summary" if role == "summary" else "column"
            calls = tuple(history_calls(callee.of, env)) if role == "row" else ()
            found.asks.append(
                Ask(kind, names, number, event.place, path, happens, soft=True, calls=calls)
            )
        return
    keys = _config_keys(callee.of, env)
    if keys is not None and len(names) == 1:
        found.config.append(ConfigAsk((*keys, *names), event.place, path, happens, soft=True))


def _names(value: f.ValueId, env: Env) -> tuple[str, ...] | None:
    """The names that are asked for, all of them surely; None where that is not known."""
    row = env.entry.values[value]
    if isinstance(row, f.ListValue | f.TupleValue | f.SetValue):
        if row.open:
            return None
        found: list[str] = []
        for item in row.items:
            if isinstance(env.entry.values[item], f.Each):
                return None
            exact = templates(item, env)
            if len(exact) != 1 or exact[0].exact is None:
                return None
            found.append(exact[0].exact)
        return tuple(dict.fromkeys(found))
    if isinstance(row, f.Binary) and row.op == "+":
        left, right = _names(row.left, env), _names(row.right, env)
        lists = (f.ListValue, f.TupleValue)
        if isinstance(env.entry.values[row.left], lists):
            return None if left is None or right is None else (*left, *right)
    if isinstance(row, f.Element):
        over = env.entry.values[row.of]
        # In a comprehension's list the elements are there on a condition.
        return _names(row.of, env) if isinstance(over, f.ListValue | f.TupleValue) else None
    if isinstance(row, f.Compare | f.Not):
        return None
    exact = templates(value, env)
    if len(exact) != 1 or exact[0].exact is None or isinstance(row, f.Select):
        return None
    return (exact[0].exact,)


def history_calls(value: f.ValueId, env: Env, depth: int = 0) -> Iterator[int]:
    """The history calls that a frame or row comes from, by event number."""
    if depth > _DEPTH:
        return
    row = env.entry.values[value]
    inner: Sequence[f.ValueId] = ()
    match row:
        case f.CallValue():
            callee = env.entry.values[row.callee]
            is_history = isinstance(callee, f.Attribute) and callee.name in (
                "history",
                "scan_history",
            )
            if is_history and isinstance(callee, f.Attribute):
                if role_of(callee.of, env) == "api-run" and row.event is not None:
                    yield row.event
                return
            inner = (row.callee, *row.args)
        case f.Attribute() | f.Element():
            inner = (row.of,)
        case f.Item():
            chosen = picked(row, env)
            inner = (row.of,) if chosen is None else (chosen,)
        case f.Each() | f.Star():
            inner = (row.value,)
        case f.Select():
            inner = (row.yes, row.no)
        case f.ListValue() | f.TupleValue():
            inner = row.items
    for one in inner:
        yield from history_calls(one, env, depth + 1)


def _config_keys(value: f.ValueId, env: Env, depth: int = 0) -> tuple[str, ...] | None:
    """The keys below ``run.config`` that a value was reached by; None for anything else."""
    if depth > _DEPTH:
        return None
    if role_of(value, env) == "config":
        return () if _is_read_back(value, env) else None
    row = env.entry.values[value]
    of: f.ValueId | None = None
    key: f.ValueId | None = None
    if isinstance(row, f.Item):
        of, key = row.of, row.key
    elif isinstance(row, f.CallValue):
        callee = env.entry.values[row.callee]
        if isinstance(callee, f.Attribute) and callee.name == "get" and row.args:
            of, key = callee.of, row.args[0]
    if of is None or key is None:
        return None
    before = _config_keys(of, env, depth + 1)
    names = _names(key, env)
    if before is None or names is None or len(names) != 1:
        return None
    return (*before, *names)


def _is_read_back(value: f.ValueId, env: Env) -> bool:
    """Whether a config is that of a run from the API, not of one that is going on."""
    for _ in range(_DEPTH):
        row = env.entry.values[value]
        match row:
            case f.Attribute():
                if role_of(row.of, env) == "api-run":
                    return True
                value = row.of
            case f.DictValue() if len(row.items) == 1:
                value = row.items[0][0]
            case f.Star() | f.Each():
                value = row.value
            case f.CallValue() if row.args:
                value = row.args[0]
            case f.Item():
                chosen = picked(row, env)
                if chosen is None:
                    return False
                value = chosen
            case _:
                return False
    return False


def _read(value: f.ValueId, env: Env) -> bool:
    """Whether a default is itself read from somewhere: one fallback after the other."""
    row = env.entry.values[value]
    if isinstance(row, f.CallValue):
        return isinstance(env.entry.values[row.callee], f.Attribute)
    return isinstance(row, f.Item | f.Select)


def _tested(entry: f.EntryTrace) -> set[int]:
    """The calls whose result is looked at before it is used, by event number."""
    values = entry.values
    looked: set[int] = {g.condition for g in entry.guards}
    for row in values:
        match row:
            case f.Compare():
                looked |= {row.left, row.right}
            case f.Not():
                looked.add(row.value)
            case f.Select():
                looked |= {row.test, row.yes, row.no}
            case f.CallValue():
                callee = values[row.callee]
                if isinstance(callee, f.Library) and callee.name in _TESTS:
                    looked |= set(row.args)
                if isinstance(callee, f.Attribute) and callee.name == "get":
                    # `summary.get("a", summary.get("b"))`.
                    looked |= set(row.args[1:])
    found: set[int] = set()
    for value in looked:
        row = values[value]
        if isinstance(row, f.CallValue) and row.event is not None:
            found.add(row.event)
    return found


class _Sure:
    """Which events happen whatever the runs hold, as long as there are runs.

    Conditions that are left open must be loops, questions whether a history is empty or a run has
    ended, or end in an exception on their other side.
    """

    def __init__(self, env: Env) -> None:
        self.env = env
        entry = env.entry
        self.raising: set[tuple[int, int, bool]] = set()
        self.ways: set[frozenset[tuple[int, bool]]] = set()
        self.attempts: set[int] = set()
        for event in entry.events:
            if isinstance(event, f.Raise) or (
                isinstance(event, f.LibraryCall) and event.name == "sys.exit"
            ):
                row = entry.guards[event.guard]
                self.raising.add((row.parent, row.condition, row.expected))
                value = entry.values[row.condition]
                if isinstance(value, f.Raised) and row.expected:
                    self.attempts.add(value.attempt)
                way: list[tuple[int, bool]] = []
                guard = event.guard
                while guard:
                    row = entry.guards[guard]
                    way.append((row.condition, row.expected))
                    self.ways.add(frozenset(way))
                    guard = row.parent

    def happens(self, guard: int) -> bool:
        """Whether an event under the guard happens in this sense."""
        entry = self.env.entry
        while guard:
            row = entry.guards[guard]
            truth = condition(row.condition, self.env)
            value = entry.values[row.condition]
            if isinstance(value, f.Raised):
                if row.expected or value.attempt not in self.attempts:
                    return False
            elif truth is None:
                other = (row.parent, row.condition, not row.expected)
                # What follows a loop in which an exception may come up.
                raised = isinstance(value, f.All) and not row.expected
                if raised and isinstance(value, f.All):
                    raised = frozenset(value.conditions) in self.ways
                if other not in self.raising and not raised and not self._open(row.condition, 0):
                    return False
            elif truth != row.expected:
                return False
            guard = row.parent
        return True

    def _open(self, value: f.ValueId, depth: int) -> bool:
        row = self.env.entry.values[value]
        if depth > _DEPTH:
            return False
        match row:
            case f.Ran():
                over = self.env.entry.loops[row.loop].over
                of = self.env.entry.values[over]
                # A list made on conditions may be empty.
                return not (
                    isinstance(of, f.ListValue)
                    and any(isinstance(self.env.entry.values[i], f.Each) for i in of.items)
                    and role_of(over, self.env) is None
                    and not self._per_run(of)
                )
            case f.Called():
                return True
            case f.Not():
                return self._open(row.value, depth + 1)
            case f.All():
                return all(self._open(c, depth + 1) for c, _ in row.conditions)
            case f.Attribute():
                return row.name in _EMPTINESS and role_of(row.of, self.env) in ("frame", "api-run")
            case f.Compare():
                return self._open(row.left, depth + 1)
            case f.Item():
                return self._open(row.of, depth + 1)
            case f.CallValue():
                callee = self.env.entry.values[row.callee]
                if isinstance(callee, f.Library) and callee.name == "len" and len(row.args) == 1:
                    return role_of(row.args[0], self.env) in ("frame", "api-runs")
        return role_of(value, self.env) in ("frame", "api-run", "api-runs")

    def _per_run(self, row: f.ListValue) -> bool:
        """Whether a list has one element for every run that is asked for."""
        for item in row.items:
            each = self.env.entry.values[item]
            if not isinstance(each, f.Each) or isinstance(
                self.env.entry.values[each.value], f.Each
            ):
                return False
        return True
