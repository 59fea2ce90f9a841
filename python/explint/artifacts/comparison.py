"""The values that a comparison of runs works with, for the runs that a package really has.

The trace leaves run ids and what W&B keeps of a run symbolic. Here a value is worked out with the
run ids on the command line and the config that training logged for each: which methods there are,
which one ``sorted(methods)[0]`` picks, how many rows ``frame[frame.method == name]`` holds. Metrics
stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from explint.artifacts.paths import Paths
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, Unknown, condition, evaluate

_DEPTH: Final = 80
_STEPS: Final = 20_000
_NONE: Final[Mapping[int, Any]] = {}

Binding = Mapping[int, Any]
"""What the element of each loop is, by the loop's number."""


class _OpenError(Exception):
    """A value is not known."""


class RunObject(msgspec.Struct, frozen=True):
    """A run as the W&B API gives it."""

    run_id: str


class Summary(msgspec.Struct, frozen=True):
    """What a run logged: nothing of it is known before it ran."""


class Column(msgspec.Struct, frozen=True):
    """A column of a frame; an entry may be ``UNKNOWN``. ``exact`` is false where the number of
    entries is an upper bound."""

    values: tuple[Any, ...]
    exact: bool = True


class Frame(msgspec.Struct, frozen=True):
    """A frame with a row for each of ``rows``: the row's dict, None where it is not followed, and
    what loops give there. ``exact`` as in ``Column``."""

    rows: tuple[tuple[f.ValueId | None, Binding], ...]
    exact: bool = True


class Grouped(msgspec.Struct, frozen=True):
    """A frame grouped by a column with these distinct values, or a mapping made of that."""

    keys: tuple[Any, ...]


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Stands for a metric or another value that only the run knows."""

_TEXT: Final = frozenset(
    {"lower", "upper", "strip", "startswith", "endswith", "split", "replace", "title", "rsplit",
     "casefold", "removeprefix", "removesuffix", "partition"}
)  # fmt: skip
_SAME_COLUMN: Final = frozenset(
    {"values", "to_numpy", "tolist", "to_list", "dropna", "astype", "copy", "reset_index",
     "to_frame", "array", "sort_index"}
)  # fmt: skip
_REDUCES: Final = frozenset(
    {"mean", "max", "min", "median", "std", "sum", "var", "first", "last", "agg", "size", "count"}
)
_PLAIN: Final[Mapping[str, Callable[..., Any]]] = {
    "len": len, "sorted": sorted, "list": list, "tuple": tuple,
    "set": lambda x: list(dict.fromkeys(x)),
    "str": str, "any": any, "all": all, "min": min, "max": max, "bool": bool,
    "reversed": lambda x: list(reversed(x)), "dict": dict, "int": int, "frozenset": frozenset,
    "dict.fromkeys": dict.fromkeys, "numpy.unique": lambda x: sorted(set(x)),
    "enumerate": lambda x, start=0: list(enumerate(x, start)),
    "zip": lambda *x: list(zip(*x, strict=False)),
}  # fmt: skip
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "is": lambda a, b: a is b,
}


class Comparison:
    """Works out an entry's values for ``run_ids``.

    ``configs`` maps a run id to the config that W&B holds for it, or an ``Unknown``.
    """

    def __init__(self, paths: Paths, run_ids: Sequence[str], configs: Mapping[str, Any]) -> None:
        self.paths = paths
        self.env = paths.env
        self.entry = paths.env.entry
        self.run_ids = tuple(run_ids)
        self.configs = configs
        self._steps = 0
        self._columns: dict[str, tuple[f.ValueId, set[int]] | None] = {}

    def value(self, value: f.ValueId) -> Any:  # noqa: ANN401 - any value a program can hold
        """The value, or ``UNKNOWN``."""
        self._steps = 0
        try:
            return self._of(value, _NONE, 0)
        except _OpenError:
            return UNKNOWN
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
            # The program may fail there too; what then happens is not followed.
            return UNKNOWN

    def happens(self, guard: int) -> bool | None:
        """Whether what stands under a guard happens for these runs."""
        state: bool | None = True
        while guard:
            row = self.entry.guards[guard]
            truth = self._truth(row.condition, _NONE, 0)
            if truth is not None and truth != row.expected:
                return False
            state = None if truth is None else state
            guard = row.parent
        return state

    # ---- values ----

    def _of(self, value: f.ValueId, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        self._steps += 1
        if depth > _DEPTH or self._steps > _STEPS:
            raise _OpenError
        depth += 1
        if self.paths.is_run_ids(value):
            given = self.entry.values[value]
            callee = self.entry.values[given.callee] if isinstance(given, f.CallValue) else None
            ordered = isinstance(callee, f.Library) and callee.name in ("sorted", "reversed")
            if not ordered and not isinstance(given, f.Item):
                return list(self.run_ids)
        row = self.entry.values[value]
        match row:
            case f.Literal(value=literal):
                return literal
            case f.Element(loop=loop) | f.Key(loop=loop):
                if loop in bound:
                    return bound[loop]
                raise _OpenError
            case f.Template(parts=parts):
                return "".join(str(self._known(p, bound, depth)) for p in parts)
            case f.ListValue() | f.TupleValue() | f.SetValue():
                if row.open:
                    raise _OpenError
                return [self._of(v, b, depth) for v, b in self._expanded(row.items, bound, depth)]
            case f.DictValue():
                return dict(self._pairs(row, bound, depth))
            case f.Select(test=test, yes=yes, no=no):
                truth = self._truth(test, bound, depth)
                if truth is None:
                    raise _OpenError
                return self._of(yes if truth else no, bound, depth)
            case f.Not(value=inner):
                truth = self._truth(inner, bound, depth)
                if truth is None:
                    raise _OpenError
                return not truth
            case f.Compare():
                return self._compare(row, bound, depth)
            case f.Item():
                return self._item(row, bound, depth)
            case f.Attribute(of=of, name=name):
                return self._attribute(self._of(of, bound, depth), name)
            case f.CallValue():
                return self._call(row, bound, depth)
            case f.Config():
                concrete = evaluate(value, self.env)
                if concrete is ABSENT or isinstance(concrete, Unknown):
                    raise _OpenError
                return concrete
            case f.Binary() | f.Unary():
                return UNKNOWN
        raise _OpenError

    def _known(self, value: f.ValueId, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        found = self._of(value, bound, depth)
        if found is UNKNOWN:
            raise _OpenError
        return found

    def _truth(self, value: f.ValueId, bound: Binding, depth: int) -> bool | None:
        row = self.entry.values[value]
        match row:
            case f.Ran(loop=loop):
                try:
                    return bool(self._of(self.entry.loops[loop].over, bound, depth + 1))
                except (_OpenError, TypeError, ValueError, LookupError, AttributeError):
                    return condition(value, self.env)
            case f.All(conditions=conditions):
                state: bool | None = True
                for inner, expected in conditions:
                    truth = self._truth(inner, bound, depth + 1)
                    if truth is not None and truth != expected:
                        return False
                    state = None if truth is None else state
                return state
            case f.Not(value=inner):
                truth = self._truth(inner, bound, depth + 1)
                return None if truth is None else not truth
            case f.Raised():
                return False
        try:
            found = self._of(value, bound, depth)
            return None if found is UNKNOWN else bool(found)
        except (_OpenError, TypeError, ValueError, LookupError, AttributeError):
            return condition(value, self.env)

    # ---- containers ----

    def _expanded(
        self, items: Sequence[f.ValueId], bound: Binding, depth: int
    ) -> Iterator[tuple[f.ValueId, Binding]]:
        """The items of a container with what loops give for each."""
        for item in items:
            row = self.entry.values[item]
            match row:
                case f.Each(value=value, loop=loop):
                    for inner in self._rounds(loop, bound, depth):
                        yield from self._expanded([value], inner, depth + 1)
                case f.Star(value=value):
                    star = self.entry.values[value]
                    if not isinstance(star, f.ListValue | f.TupleValue) or star.open:
                        raise _OpenError
                    yield from self._expanded(star.items, bound, depth + 1)
                case _:
                    yield item, bound

    def _rounds(self, loop: int, bound: Binding, depth: int) -> Iterator[Binding]:
        """What loops give in each iteration of one; a condition in a comprehension is a loop of one
        iteration or none."""
        over = self.entry.loops[loop].over
        row = self.entry.values[over]
        if isinstance(row, f.ListValue | f.TupleValue) and not row.open:
            for value, inner in list(self._expanded(row.items, bound, depth + 1)):
                yield {**inner, loop: self._maybe(value, inner, depth + 1)}
            return
        if isinstance(row, f.Compare | f.Not | f.All | f.Select) or self._is_test(row):
            truth = self._truth(over, bound, depth + 1)
            if truth is None:
                raise _OpenError
            if truth:
                yield bound
            return
        found = self._known(over, bound, depth + 1)
        for element in found.keys if isinstance(found, Grouped) else found:
            yield {**bound, loop: element}

    def _maybe(self, value: f.ValueId, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        try:
            return self._of(value, bound, depth)
        except _OpenError:
            return UNKNOWN

    def _is_test(self, row: f.AnyValue) -> bool:
        if not isinstance(row, f.CallValue):
            return False
        callee = self.entry.values[row.callee]
        name = callee.name if isinstance(callee, f.Attribute | f.Library) else ""
        return name in ("startswith", "endswith", "any", "all", "isinstance", "issubset")

    def _pairs(self, row: f.DictValue, bound: Binding, depth: int) -> Iterator[tuple[Any, Any]]:
        if row.open:
            raise _OpenError
        for key, value in row.items:
            keys = list(self._expanded([key], bound, depth))
            if isinstance(self.entry.values[key], f.Star):
                raise _OpenError
            inner = value
            while isinstance(each := self.entry.values[inner], f.Each):
                inner = each.value
            for one, here in keys:
                yield self._known(one, here, depth), self._maybe(inner, here, depth)

    # ---- operations ----

    def _compare(self, row: f.Compare, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        left = self._maybe(row.left, bound, depth)
        right = self._maybe(row.right, bound, depth)
        if isinstance(left, Column) and row.op == "==":
            if right is UNKNOWN:
                return self._one_of(left)
            return Column(
                tuple(UNKNOWN if v is UNKNOWN else v == right for v in left.values), left.exact
            )
        if left is UNKNOWN or right is UNKNOWN:
            raise _OpenError
        if isinstance(right, Grouped | Column):
            right = list(right.keys if isinstance(right, Grouped) else right.values)
        if isinstance(right, list | tuple) and UNKNOWN in right:
            raise _OpenError
        return _COMPARE[row.op](left, right)

    def _one_of(self, column: Column) -> Column:
        """Which rows have a value that is not known: at most one where no two have the same."""
        if UNKNOWN in column.values or len(set(column.values)) < len(column.values):
            raise _OpenError
        return Column((True, *(False for _ in column.values[1:])), exact=False)

    def _item(self, row: f.Item, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        of = self._of(row.of, bound, depth)
        key = self._maybe(row.key, bound, depth)
        if isinstance(self.entry.values[row.key], f.Slice):
            key = evaluate(row.key, self.env)
        if isinstance(of, Frame):
            return self._frame_item(of, key)
        if isinstance(of, Grouped):
            return of if isinstance(key, str | list) and key not in of.keys else UNKNOWN
        if isinstance(of, Summary) or of is UNKNOWN:
            return UNKNOWN
        if isinstance(of, Column):
            of = list(of.values) if of.exact else None
        if key is UNKNOWN or isinstance(key, Unknown) or of is None:
            raise _OpenError
        return of[key]

    def _frame_item(self, frame: Frame, key: Any) -> Any:  # noqa: ANN401
        if isinstance(key, str):
            return self._column(frame, key)
        if isinstance(key, Column):
            if UNKNOWN in key.values:
                raise _OpenError
            chosen = tuple(r for r, keep in zip(frame.rows, key.values, strict=True) if keep)
            if not key.exact:
                # Which row it is is not known.
                chosen = tuple((None, {}) for _ in chosen)
            return Frame(chosen, exact=frame.exact and key.exact)
        if isinstance(key, list):
            return frame
        raise _OpenError

    def _column(self, frame: Frame, name: str) -> Column:
        values = []
        for row, bound in frame.rows:
            found: Any = UNKNOWN
            if row is not None:
                pairs = self.entry.values[row]
                assert isinstance(pairs, f.DictValue)
                inner = self._field(pairs, name)
                found = UNKNOWN if inner is None else self._maybe(inner, bound, 0)
            elif bound:
                found = self._only_column(name, bound[-1])
            values.append(found)
        return Column(tuple(values), frame.exact)

    def _field(self, row: f.DictValue, name: str) -> f.ValueId | None:
        for key, value in row.items:
            literal = self.entry.values[key]
            if isinstance(literal, f.Literal) and literal.value == name:
                return value
        return None

    def _only_column(self, name: str, run_id: str) -> Any:  # noqa: ANN401
        """The value of a column in the row of a run, where only one dict made for a run has it."""
        if name not in self._columns:
            made: dict[f.ValueId, set[int]] = {}
            for row in self.entry.values:
                inner = self._field(row, name) if isinstance(row, f.DictValue) else None
                if inner is not None and isinstance(row, f.DictValue):
                    loops = self._loops_in([v for _, v in row.items])
                    made[inner] = made.get(inner, set()) | loops
            chosen = next(iter(made.items())) if len(made) == 1 else None
            self._columns[name] = chosen if chosen is not None and len(chosen[1]) == 1 else None
        found = self._columns[name]
        if found is None:
            return UNKNOWN
        value, (loop,) = found
        element = self._of_run(loop, run_id)
        return UNKNOWN if element is UNKNOWN else self._maybe(value, {loop: element}, 0)

    def _of_run(self, loop: int, run_id: str) -> Any:  # noqa: ANN401
        """What a loop over the runs gives for one of them."""
        try:
            elements = self._of(self.entry.loops[loop].over, _NONE, 0)
        except _OpenError:
            return UNKNOWN
        for element in elements if isinstance(elements, list) else ():
            first = element[0] if isinstance(element, tuple) and element else element
            if first == run_id and len(elements) == len(self.run_ids):
                return element
        return UNKNOWN

    def _loops_in(self, values: Sequence[f.ValueId]) -> set[int]:
        """The loops whose elements a value is made of."""
        loops: set[int] = set()
        seen: set[f.ValueId] = set()
        stack = list(values)
        while stack:
            value = stack.pop()
            # How the run ids and the folder came off the command line is no part of the row.
            if value in seen or self.paths.is_run_ids(value) or self.paths.is_results_dir(value):
                continue
            seen.add(value)
            row = self.entry.values[value]
            if isinstance(row, f.Element | f.Key | f.Index):
                loops.add(row.loop)
            stack += parts(row)
        return loops

    def _attribute(self, of: Any, name: str) -> Any:  # noqa: ANN401
        match of:
            case RunObject(run_id=run_id):
                if name in ("id", "name"):
                    return run_id
                if name == "config":
                    config = self.configs.get(run_id)
                    if not isinstance(config, Mapping):
                        raise _OpenError
                    return config
                return Summary()
            case Frame():
                if name in ("values", "loc", "iloc"):
                    if name != "values":
                        return of
                    raise _OpenError
                return self._column(of, name)
            case Column():
                return of if name in _SAME_COLUMN or name == "str" else UNKNOWN
            case Grouped():
                return Column(of.keys) if name == "index" else of
            case Summary() | _Unknown():
                return UNKNOWN
        raise _OpenError

    def _call(self, row: f.CallValue, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        callee = self.entry.values[row.callee]
        if isinstance(callee, f.Library):
            return self._function(callee.name, row, bound, depth)
        if not isinstance(callee, f.Attribute):
            raise _OpenError
        event = None if row.event is None else self.entry.events[row.event]
        if isinstance(event, f.LibraryCall) and event.name == "wandb.Api().run" and row.args:
            return RunObject(self._run_id(row.args[0], bound, depth))
        return self._method(self._of(callee.of, bound, depth), callee.name, row, bound, depth)

    def _run_id(self, path: f.ValueId, bound: Binding, depth: int) -> str:
        """The run that a path such as ``entity/project/id`` names."""
        row = self.entry.values[path]
        last = row.parts[-1] if isinstance(row, f.Template) and row.parts else path
        found = self._known(last, bound, depth)
        if not isinstance(found, str) or found.rpartition("/")[2] not in self.run_ids:
            raise _OpenError
        return found.rpartition("/")[2]

    def _function(self, name: str, row: f.CallValue, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        if name in ("pandas.DataFrame", "pandas.DataFrame.from_records") and len(row.args) == 1:
            return self._frame(row.args[0], bound, depth)
        if name in ("float", "abs", "round", "numpy.mean", "statistics.mean", "sum", "numpy.std"):
            return UNKNOWN
        if name == "next" and row.args:
            found = self._known(row.args[0], bound, depth)
            default = self._of(row.args[1], bound, depth) if len(row.args) > 1 else None
            return found[0] if found else default
        if name in ("max", "min", "sorted") and row.kwargs:
            found = self._known(row.args[0], bound, depth)
            found = list(found.keys if isinstance(found, Grouped) else found)
            if len(found) == 1:
                return found[0] if name != "sorted" else found
            raise _OpenError
        function = _PLAIN.get(name)
        if function is None or row.kwargs:
            raise _OpenError
        args = [self._known(a, bound, depth) for a in row.args]
        plain = []
        for argument in args:
            if isinstance(argument, Frame) and name == "len" and argument.exact:
                return len(argument.rows)
            if isinstance(argument, Column):
                if not argument.exact:
                    raise _OpenError
                argument = list(argument.values)
            if isinstance(argument, Grouped):
                argument = list(argument.keys)
            if isinstance(argument, Frame | RunObject | Summary):
                raise _OpenError
            holds_unknown = isinstance(argument, list | tuple) and UNKNOWN in argument
            if holds_unknown and name not in ("len", "list", "tuple"):
                raise _OpenError
            plain.append(argument)
        return function(*plain)

    def _frame(self, data: f.ValueId, bound: Binding, depth: int) -> Frame:
        row = self.entry.values[data]
        while isinstance(row, f.Select):
            truth = self._truth(row.test, bound, depth)
            row = self.entry.values[row.no if truth is False else row.yes]
        if not isinstance(row, f.ListValue):
            raise _OpenError
        if row.open:
            # A list that a loop over the runs fills: a row for each run.
            if row.items:
                raise _OpenError
            return Frame(tuple((None, {-1: run_id}) for run_id in self.run_ids))
        rows = list(self._expanded(row.items, bound, depth))
        if not all(isinstance(self.entry.values[v], f.DictValue) for v, _ in rows):
            raise _OpenError
        return Frame(tuple(rows))

    def _method(self, of: Any, name: str, row: f.CallValue, bound: Binding, depth: int) -> Any:  # noqa: ANN401
        if isinstance(of, Frame) and name == "groupby" and len(row.args) == 1:
            by = self._known(row.args[0], bound, depth)
            column = self._column(of, by) if isinstance(by, str) else None
            if column is None or UNKNOWN in column.values or not of.exact:
                raise _OpenError
            return Grouped(tuple(sorted(set(column.values))))
        if isinstance(of, Frame) and name in ("copy", "reset_index", "dropna"):
            return of
        if isinstance(of, Grouped):
            if name in _REDUCES or name in ("to_dict", "reset_index", "round", "agg"):
                return of
            if name == "keys":
                return list(of.keys)
            if name == "items":
                return [(key, UNKNOWN) for key in of.keys]
            return UNKNOWN
        if isinstance(of, Column):
            return self._column_method(of, name, row, bound, depth)
        if of is UNKNOWN or isinstance(of, Summary):
            return UNKNOWN
        args = [self._known(a, bound, depth) for a in row.args]
        if isinstance(of, str) and name in _TEXT:
            return getattr(of, name)(*args)
        if isinstance(of, str) and name == "join":
            return of.join(args[0])
        if isinstance(of, Mapping) and name in ("get", "keys", "items", "values"):
            found = getattr(of, name)(*args)
            return found if name == "get" else list(found)
        raise _OpenError

    def _column_method(
        self, of: Column, name: str, row: f.CallValue, bound: Binding, depth: int
    ) -> Any:  # noqa: ANN401
        if name in _SAME_COLUMN:
            return of
        if name == "unique":
            if UNKNOWN in of.values or not of.exact:
                raise _OpenError
            return list(dict.fromkeys(of.values))
        if name in ("isin", "contains", "startswith", "endswith", "eq"):
            if UNKNOWN in of.values or row.kwargs:
                raise _OpenError
            given = self._known(row.args[0], bound, depth)
            tests: Mapping[str, Callable[[Any], Any]] = {
                "isin": lambda v: v in given,
                "eq": lambda v: v == given,
                "contains": lambda v: given in v,
                "startswith": lambda v: v.startswith(given),
                "endswith": lambda v: v.endswith(given),
            }
            if name == "contains" and not str(given).replace("-", "").replace("_", "").isalnum():
                raise _OpenError
            return Column(tuple(tests[name](v) for v in of.values), of.exact)
        return UNKNOWN


def reached(entry: f.EntryTrace, values: Sequence[f.ValueId]) -> set[f.ValueId]:
    """The values that values are made of, themselves included."""
    seen: set[f.ValueId] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value not in seen:
            seen.add(value)
            stack += parts(entry.values[value])
    return seen


def parts(row: f.AnyValue) -> list[f.ValueId]:
    """The values that a value is directly made of."""
    match row:
        case f.Template(parts=inner):
            return list(inner)
        case f.ListValue(items=items) | f.TupleValue(items=items) | f.SetValue(items=items):
            return list(items)
        case f.DictValue(items=pairs):
            return [value for pair in pairs for value in pair]
        case f.Star(value=value) | f.Each(value=value) | f.Not(value=value) | f.Unary(value=value):
            return [value]
        case f.CallValue():
            return [row.callee, *row.args, *(v for _, v in row.kwargs)]
        case f.Attribute(of=of) | f.Element(of=of) | f.Key(of=of) | f.Bound(of=of):
            return [of]
        case f.Item(of=of, key=key):
            return [of, key]
        case f.Slice():
            return [p for p in (row.low, row.high, row.step) if p is not None]
        case f.Binary() | f.Compare():
            return [row.left, row.right]
        case f.Select():
            return [row.test, row.yes, row.no]
        case f.All(conditions=conditions):
            return [value for value, _ in conditions]
        case f.Config(path=path) | f.Has(path=path):
            return list(path)
    return []
