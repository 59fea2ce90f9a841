"""How many batches and epochs the loops of a program go through."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from explint.regex import regex
from explint.rules.flow import parts
from explint.rules.programs import Program
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, condition, evaluate, keys_of, lookup
from explint.trace.specialise import Unknown as NotKnown

_WRAPPERS: Final = frozenset({"enumerate", "iter", "list", "tuple", "reversed", "zip"})
_PROGRESS: Final = regex(r"(^|\.)(tqdm|trange|track|tqdm_notebook)$")
_SIZED: Final = regex(r"(^|\.)(Subset|select|take|head|sample|islice|first)$")
_SPLIT: Final = regex(r"\[[^\]]*:[^\]]*\]")
_SETTING: Final = regex(
    r"(^|\.)(print|info|debug|warning|set_struct|to_yaml|open_dict|update|merge|setdefault|wandb\.\w+"
    r"|append|extend|setLevel|filterwarnings)$"
)
# What has no part in how many batches there are.
_APART: Final = frozenset({"wandb", "optuna", "hydra"})
_EPOCHS: Final = frozenset(
    {
        "epochs", "num_epochs", "max_epochs", "n_epochs", "num_train_epochs", "n_trials",
        # How many examples a batch holds bounds no number of batches.
        "batch_size", "train_batch_size", "eval_batch_size", "val_batch_size", "test_batch_size",
        "micro_batch_size", "num_workers", "lr", "learning_rate",
    }
)  # fmt: skip


class LoaderLoop(msgspec.Struct, frozen=True):
    """A loop over a data loader: ``number`` is the event that begins it, ``loader`` the value that
    the loader is, ``limits`` what ``islice`` cuts it to."""

    number: int
    event: f.LoopStart
    loader: f.ValueId
    limits: tuple[f.ValueId | None, ...]


def loader_loops(program: Program, full: Program | None) -> Iterator[LoaderLoop]:
    """The loops over data loaders that a trial comes to, in program order.

    Where it is not decided whether it does, that must be the same in the full experiment: a
    question to the machine or to the data, and none to the switch.
    """
    trace = program.trace
    for number, event in program.events_of(f.LoopStart):
        loop = trace.loops[event.loop]
        if loop.kind not in ("for", "comprehension"):
            continue
        found = _loader(program, loop.over, 0)
        if found is not None and _comes_to(event.guard, program, full):
            yield LoaderLoop(number, event, found[0], found[1])


def _comes_to(guard: int, program: Program, full: Program | None) -> bool:
    trace = program.trace
    while guard:
        row = trace.guards[guard]
        guard = row.parent
        truth = condition(row.condition, program.env)
        if truth is not None:
            if truth != row.expected:
                return False
            continue
        if isinstance(trace.values[row.condition], f.Ran | f.Called | f.Raised):
            continue
        for part in parts(trace, row.condition):
            inner = trace.values[part]
            if isinstance(inner, f.Parameter) or (
                isinstance(inner, f.UnknownValue) and inner.reason not in ("loop", "exception")
            ):
                return False
            if full is not None and differs(part, program, full, apart=False):
                return False
    return True


def _loader(
    program: Program, value: f.ValueId, depth: int
) -> tuple[f.ValueId, tuple[f.ValueId | None, ...]] | None:
    trace = program.trace
    if depth > 12:
        return None
    row = trace.values[value]
    match row:
        case f.Select():
            truth = condition(row.test, program.env)
            if truth is not None:
                return _loader(program, row.yes if truth else row.no, depth + 1)
            ways = [_loader(program, way, depth + 1) for way in (row.yes, row.no)]
            return ways[0] if ways[0] == ways[1] else None
        case f.Item():
            of = trace.values[row.of]
            if isinstance(of, f.CallValue) and _last(trace, of) == "prepare":
                key = evaluate(row.key, program.env)
                if isinstance(key, int) and -len(of.args) <= key < len(of.args):
                    return _loader(program, of.args[key], depth + 1)
            return None
        case f.CallValue():
            callee = trace.values[row.callee]
            name = callee.name if isinstance(callee, f.Library) else ""
            if name.endswith("DataLoader"):
                return value, ()
            if name == "itertools.islice" and len(row.args) > 1:
                found = _loader(program, row.args[0], depth + 1)
                stop = row.args[1] if len(row.args) == 2 else row.args[2]
                return None if found is None else (found[0], (*found[1], stop))
            given = row.args or [v for k, v in row.kwargs if k == "iterable"]
            if name == "zip":
                ways = [_loader(program, a, depth + 1) for a in given]
                known = [w for w in ways if w is not None]
                # Whatever else stands beside the loader may end sooner.
                return known[0] if len(known) == len(ways) and known else None
            if (name in _WRAPPERS or _PROGRESS.search(name)) and given:
                return _loader(program, given[0], depth + 1)
            if (
                _last(trace, row) in ("prepare", "prepare_data_loader", "setup_dataloaders")
                and given
            ):
                return _loader(program, given[0], depth + 1)
    return None


def _last(trace: f.EntryTrace, row: f.CallValue) -> str:
    callee = trace.values[row.callee]
    if isinstance(callee, f.Attribute):
        return callee.name
    return callee.name.rpartition(".")[2] if isinstance(callee, f.Library) else ""


def is_bounded(loop: LoaderLoop, program: Program, full: Program | None, most: int) -> bool | None:
    """Whether a loop goes through no more than ``most`` batches under a trial; None if unknown.

    ``full`` is the same process in the full experiment: where the loader and all that is known to
    make it are the same in both, the trial goes through all of the data.
    """
    unknown = False
    for limit in loop.limits:
        found = None if limit is None else evaluate(limit, program.env)
        if isinstance(found, int) and not isinstance(found, bool) and found <= most:
            return True
        unknown = unknown or isinstance(found, NotKnown) or found is ABSENT
    for bound in _breaks(loop, program):
        if bound is None:
            unknown = True
        elif bound <= most:
            return True
    if unknown or full is None or program.blind:
        return None
    cut = _is_cut_down(loop, program)
    if cut or _is_sensitive(loop, program, full):
        return None
    return False


def _breaks(loop: LoaderLoop, program: Program) -> Iterator[int | None]:
    """After how many batches the loop is left, for each way out; None where that is not known."""
    trace = program.trace
    here = loop.event.loop
    for number, event in program.events_of(f.Break, f.Return, f.LoopEnd):
        if number < loop.number:
            continue
        leaves = (isinstance(event, f.Break) and event.loop == here) or (
            isinstance(event, f.Return)
            and event.call == loop.event.call
            and _inside(event.guard, here, trace)
        )
        if isinstance(event, f.LoopEnd) and event.loop == here:
            return
        if leaves:
            yield _count(event.guard, here, program)


def _inside(guard: int, loop: int, trace: f.EntryTrace) -> bool:
    while guard:
        row = trace.guards[guard]
        value = trace.values[row.condition]
        if isinstance(value, f.Ran) and value.loop == loop and row.expected:
            return True
        guard = row.parent
    return False


def _count(guard: int, loop: int, program: Program) -> int | None:
    """The batches that are gone through before the conditions inside the loop are met."""
    trace = program.trace
    most = 0
    while guard:
        row = trace.guards[guard]
        value = trace.values[row.condition]
        if isinstance(value, f.Ran) and value.loop == loop:
            return most
        met = _met(row.condition, loop, program, expected=row.expected, depth=0)
        if met is None:
            return None
        most = max(most, met)
        guard = row.parent
    return most


def _met(
    value: f.ValueId, loop: int, program: Program, *, expected: bool, depth: int
) -> int | None:
    """After how many iterations a condition is met: 0 where it always is; None if unknown."""
    trace, env = program.trace, program.env
    truth = condition(value, env)
    if truth is not None:
        return 0 if truth == expected else None
    if depth > 8:
        return None
    row = trace.values[value]
    match row:
        case f.Not():
            return _met(row.value, loop, program, expected=not expected, depth=depth + 1)
        case f.All() if expected:
            found = [_met(v, loop, program, expected=e, depth=depth + 1) for v, e in row.conditions]
            known = [n for n in found if n is not None]
            return max(known, default=0) if len(known) == len(found) else None
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                way = row.yes if test else row.no
                return _met(way, loop, program, expected=expected, depth=depth + 1)
            if row.no == row.test and expected:
                # `a and b`
                pair = [
                    _met(v, loop, program, expected=True, depth=depth + 1)
                    for v in (row.test, row.yes)
                ]
                return None if None in pair else max(n for n in pair if n is not None)
            if row.yes == row.test and expected:
                # `a or b`
                either = [
                    _met(v, loop, program, expected=True, depth=depth + 1)
                    for v in (row.test, row.no)
                ]
                return min((n for n in either if n is not None), default=None)
        case f.Compare():
            return _compared(row, loop, program, expected=expected)
    return None


def _compared(row: f.Compare, loop: int, program: Program, *, expected: bool) -> int | None:
    op = row.op
    at, limit = _counter(row.left, loop, program), evaluate(row.right, program.env)
    if at is None:
        at, limit = _counter(row.right, loop, program), evaluate(row.left, program.env)
        op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
    if not expected:
        op = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}.get(op, "")
    if at is None or not isinstance(limit, int | float) or isinstance(limit, bool):
        return None
    if op in (">=", "=="):
        return max(0, math.ceil(limit - at))
    return max(0, math.floor(limit - at) + 1) if op == ">" else None


def _counter(value: f.ValueId, loop: int, program: Program) -> int | None:
    """What a counter of the loop's iterations is in the first one; None for another value."""
    trace = program.trace
    row = trace.values[value]
    if isinstance(row, f.Index):
        start = evaluate(row.start, program.env)
        return start if row.loop == loop and isinstance(start, int) else None
    if isinstance(row, f.Binary) and row.op in ("+", "-"):
        for one, other in ((row.left, row.right), (row.right, row.left)):
            at, more = _counter(one, loop, program), evaluate(other, program.env)
            if at is not None and isinstance(more, int):
                return at + more if row.op == "+" else at - more
    return None


def _is_cut_down(loop: LoaderLoop, program: Program) -> bool:
    """Whether the loader's dataset is a part of one."""
    trace = program.trace
    for part in parts(trace, loop.loader):
        row = trace.values[part]
        if isinstance(row, f.CallValue) and _SIZED.search(_last(trace, row)):
            return True
        if isinstance(row, f.Slice):
            return True
        if isinstance(row, f.Literal) and isinstance(row.value, str) and _SPLIT.search(row.value):
            return True
    return False


def _is_sensitive(loop: LoaderLoop, program: Program, full: Program) -> bool:
    """Whether the trial switch may have a part in what the loop goes over."""
    trace = program.trace
    opaque = False
    handed: set[str] = set()
    made = parts(trace, trace.loops[loop.event.loop].over)
    for part in made:
        row = trace.values[part]
        match row:
            case f.Config() | f.Has():
                if differs(part, program, full):
                    return True
            case f.Select():
                a, b = condition(row.test, program.env), condition(row.test, full.env)
                if a != b:
                    return True
                opaque = opaque or a is None
            case f.UnknownValue() | f.Instance() | f.Bound() | f.Parameter():
                opaque = True
            case f.Function():
                handed.add(row.name)
    if not (opaque or handed):
        return False
    leaving = {one.event.loop for one in loader_loops(program, full)}
    return any(
        number < loop.number
        and (opaque or _is_in(event.call, handed, trace))
        and differs(event.at, program, full)
        and not _only_sets(event, program, leaving)
        for number, event in program.events_of(f.Read)
    )


def _is_in(call: int, functions: Collection[str], trace: f.EntryTrace) -> bool:
    """Whether a call is one of these functions, or made by one."""
    while call:
        row = trace.calls[call]
        if row.function in functions:
            return True
        call = row.parent
    return False


def differs(value: f.ValueId, program: Program, full: Program, *, apart: bool = True) -> bool:
    """Whether a config value is another one under the trial.

    With ``apart``, values that have no part in how many batches there are do not count.
    """
    row = program.trace.values[value]
    if isinstance(row, f.Config | f.Has):
        keys = keys_of(row.path, program.env)
        known = [] if isinstance(keys, NotKnown) else keys
        if apart and (_APART & set(known) or _EPOCHS & set(known[-1:])):
            return False
    else:
        return False
    a, b = evaluate(value, program.env), evaluate(value, full.env)
    if isinstance(a, Mapping | list) or isinstance(b, Mapping | list):
        # A section that is handed on: its parts are looked at where they are read.
        return False
    if isinstance(b, NotKnown) and not isinstance(a, NotKnown):
        # What a search finds is not known; what the config holds before it is.
        b = lookup(row.root, row.path, 0, full.env)
    if isinstance(a, NotKnown) or isinstance(b, NotKnown):
        return isinstance(a, NotKnown) != isinstance(b, NotKnown)
    return a is not b and (type(a) is not type(b) or a != b)


def _only_sets(read: f.Read, program: Program, leaving: set[int]) -> bool:
    """Whether a key is read for a branch that does nothing but set other keys, or leave one of the
    loops ``leaving``."""
    trace = program.trace
    wanted = trace.values[read.at]
    assert isinstance(wanted, f.Config)
    # What stands behind an `if` with a `raise` is under all of its conditions at once.
    guards = {
        number
        for number, guard in enumerate(trace.guards)
        if number
        and (guard.place.file, guard.place.line) == (read.place.file, read.place.line)
        and not isinstance(trace.values[guard.condition], f.All)
        and any(
            isinstance(row := trace.values[p], f.Config)
            and (row.root, row.path) == (wanted.root, wanted.path)
            for p in parts(trace, guard.condition)
        )
    }
    if not guards:
        return False
    ends = {e.guard for e in trace.events if isinstance(e, f.Break) and e.loop in leaving}
    left = {(trace.guards[g].parent, trace.guards[g].condition) for g in guards & ends}
    # Behind `if done: break` the loop's body goes on.
    guards -= {g for g in guards if (trace.guards[g].parent, trace.guards[g].condition) in left}
    for event in trace.events:
        at = event.guard
        while at and at not in guards:
            at = trace.guards[at].parent
        if not at:
            continue
        if isinstance(event, f.LibraryCall):
            if not _SETTING.search(event.name):
                return False
        elif not isinstance(event, f.Read | f.Write | f.Flag | f.Raise | f.Store | f.Make):
            return False
    return True


def epochs_of(program: Program, full: Program | None) -> Iterator[tuple[f.LoopStart, int]]:
    """The loops over a known number of epochs around a loop over a loader that trains."""
    trace = program.trace
    loaders = list(loader_loops(program, full))
    trained: set[int] = set()
    for _, event in program.events_of(f.LibraryCall):
        if event.name.endswith("backward"):
            guard = event.guard
            while guard:
                row = trace.guards[guard]
                value = trace.values[row.condition]
                if isinstance(value, f.Ran) and row.expected:
                    trained.add(value.loop)
                guard = row.parent
    told: set[int] = set()
    for loader in loaders:
        if loader.event.loop not in trained:
            continue
        guard = loader.event.guard
        while guard:
            row = trace.guards[guard]
            value = trace.values[row.condition]
            guard = row.parent
            if not (isinstance(value, f.Ran) and row.expected):
                continue
            if value.loop in told:
                break
            outer = trace.loops[value.loop]
            over = evaluate(outer.over, program.env)
            start = next(
                (e for _, e in trace.events_of(f.LoopStart) if e.loop == value.loop),
                None,
            )
            if outer.kind == "for" and isinstance(over, range) and start is not None:
                told.add(value.loop)
                yield start, len(over)
            # What stands around that is a loop over trials, folds or seeds.
            break
