"""Paths and names as a program makes them: what is known of their text before it runs.

A path is a text in which ``RESULTS`` stands for the results folder that the command line names,
``RUN`` for the id of a run, and ``ANY`` for text that only the run knows, slashes included. A value
may have several such texts, one for each way that is not decided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from pathlib import PurePath
from typing import Final

from explint.trace import facts as f
from explint.trace.specialise import PACKAGE, Env, condition, evaluate

RESULTS: Final = "\ue000"
RUN: Final = "\ue001"
ANY: Final = "\ue002"

_DEPTH: Final = 60
_MOST: Final = 24

_PLACEHOLDERS: Final = {"{results_dir}": RESULTS, "{run_id}": RUN}
_SAME: Final = frozenset(
    {"resolve", "absolute", "expanduser", "as_posix", "strip", "rstrip", "__str__", "__fspath__"}
)
_JOINS: Final = frozenset(
    {
        "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath",
        "os.path.join", "posixpath.join",
    }
)  # fmt: skip
_WRAPS: Final = frozenset(
    {
        "str", "os.fspath", "os.path.abspath", "os.path.realpath", "os.path.normpath",
        "os.path.expanduser", "os.path.expandvars", "hydra.utils.to_absolute_path",
    }
)  # fmt: skip
_SEQUENCES: Final = frozenset(
    {
        "list", "tuple", "set", "sorted", "reversed", "frozenset", "json.loads",
        "ast.literal_eval", "yaml.safe_load", "omegaconf.OmegaConf.to_container",
        "omegaconf.OmegaConf.create",
    }
)  # fmt: skip


def demanded(template: str) -> str:
    """A protocol's path, such as ``{results_dir}/{run_id}/metrics.json``, as a text of paths."""
    for name, hole in _PLACEHOLDERS.items():
        template = template.replace(name, hole)
    return template


def shown(text: str) -> str:
    """A text of paths as people write it."""
    return text.replace(RESULTS, "{results_dir}").replace(RUN, "{run_id}").replace(ANY, "{…}")


def may_be(text: str, wanted: str) -> bool:
    """Whether a path can turn out to be the wanted one."""
    return re.fullmatch(_pattern(text), wanted, re.DOTALL) is not None


def may_lie_in(text: str, folder: str) -> bool:
    """Whether a path can turn out to lie directly in a folder."""
    if ANY in name_of(text) or ANY in folder_of(text):
        # What is not known may hold slashes.
        head = text[: text.index(ANY)]
        return f"{folder}/".startswith(head) or head.startswith(f"{folder}/")
    return folder_of(text) == folder


def folder_of(text: str) -> str:
    """The folder part of a path, empty where it has none."""
    return text.rpartition("/")[0]


def name_of(text: str) -> str:
    """The last part of a path."""
    return text.rpartition("/")[2]


def joined(first: str, second: str) -> str:
    """One path below another, as pathlib joins them."""
    second = second.removeprefix("./")
    if second.startswith(("/", RESULTS)) or first in ("", "."):
        return second
    return f"{first.rstrip('/')}/{second}" if second not in ("", ".") else first


def _pattern(text: str) -> str:
    return "".join(".*" if c == ANY else re.escape(c) for c in text)


class Paths:
    """The texts of an entry's values under one config."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self._known: dict[f.ValueId, tuple[str, ...]] = {}
        self._ids: dict[f.ValueId, bool] = {}

    def of(self, value: f.ValueId) -> tuple[str, ...]:
        """The texts that a value may have, ``(ANY,)`` where nothing is known of it."""
        return self._texts(value, 0)

    def is_run_ids(self, value: f.ValueId) -> bool:
        """Whether a value is the list of run ids that the command line names."""
        if value not in self._ids:
            self._ids[value] = False
            self._ids[value] = self._is_run_ids(value)
        return self._ids[value]

    def is_results_dir(self, value: f.ValueId) -> bool:
        """Whether a value is the results folder or lies below it."""
        return any(text.startswith(RESULTS) for text in self.of(value))

    # ---- texts ----

    def _texts(self, value: f.ValueId, depth: int) -> tuple[str, ...]:
        if value in self._known:
            return self._known[value]
        if depth > _DEPTH:
            return (ANY,)
        # A value that is made of itself, through a loop, is not known.
        self._known[value] = (ANY,)
        found = tuple(dict.fromkeys(self._compute(value, depth + 1)))
        self._known[value] = found if 0 < len(found) <= _MOST else (ANY,)
        return self._known[value]

    def _compute(self, value: f.ValueId, depth: int) -> Sequence[str]:
        row = self.env.entry.values[value]
        named = self._named(row)
        if named is not None:
            return (named,)
        match row:
            case f.Literal(value=literal):
                return (str(literal),) if literal is not None else ()
            case f.Template(parts=parts):
                return self._product([self._texts(p, depth) for p in parts], "".join)
            case f.Binary(op="/", left=left, right=right):
                both = [self._texts(left, depth), self._texts(right, depth)]
                return self._product(both, lambda p: joined(p[0], p[1]))
            case f.Binary(op="+", left=left, right=right):
                both = [self._texts(left, depth), self._texts(right, depth)]
                return self._product(both, "".join)
            case f.Select(test=test, yes=yes, no=no):
                truth = condition(test, self.env)
                ways = [yes, no] if truth is None else [yes if truth else no]
                return [text for way in ways for text in self._texts(way, depth)]
            case f.Element(of=of):
                return self._each(self.elements(of), depth)
            case f.Key(of=of):
                return self._each(self.keys(of), depth)
            case f.Item(of=of, key=key):
                # The key in `for key, value in mapping.items()`.
                inner, position = self.env.entry.values[of], self.env.entry.values[key]
                if isinstance(inner, f.Element) and position == f.Literal(0):
                    mapping = self._receiver(inner.of, "items")
                    if mapping is not None:
                        return self._each(self.keys(mapping), depth)
            case f.Attribute(of=of, name="parent"):
                return [_parent(t) for t in self._texts(of, depth)]
            case f.Attribute(of=of, name="name"):
                return [name_of(t) for t in self._texts(of, depth)]
            case f.Attribute(of=of, name="stem"):
                return [name_of(t).rpartition(".")[0] or ANY for t in self._texts(of, depth)]
            case f.CallValue():
                return self._call(value, row, depth)
        return self._concrete(value)

    def _call(self, value: f.ValueId, row: f.CallValue, depth: int) -> Sequence[str]:
        callee = self.env.entry.values[row.callee]
        if isinstance(callee, f.Library):
            if callee.name in _JOINS and row.args and not row.kwargs:
                parts = [self._texts(a, depth) for a in row.args]
                return self._product(parts, _joined_all)
            if callee.name in _WRAPS and row.args:
                return self._texts(row.args[0], depth)
            if callee.name == "__file__":
                return self._texts(row.args[0], depth)
            if callee.name in ("os.path.basename", "os.path.dirname") and row.args:
                part = name_of if callee.name.endswith("basename") else folder_of
                return [part(t) for t in self._texts(row.args[0], depth)]
        if isinstance(callee, f.Attribute):
            of = self._texts(callee.of, depth)
            if callee.name in _SAME:
                return [_in_package(t) for t in of]
            if callee.name == "joinpath":
                return self._product([of, *(self._texts(a, depth) for a in row.args)], _joined_all)
            if callee.name == "with_name" and row.args:
                both = [of, self._texts(row.args[0], depth)]
                return self._product(both, lambda p: joined(folder_of(p[0]), p[1]))
            if callee.name == "with_suffix" and row.args:
                both = [of, self._texts(row.args[0], depth)]
                return self._product(both, lambda p: _with_suffix(p[0], p[1]))
            if callee.name == "format":
                return [re.sub(r"\{[^{}]*\}", ANY, t) for t in of]
            held = any(hole in t for t in of for hole in (RESULTS, RUN, ANY))
            if held and callee.name in ("lower", "upper", "replace", "title"):
                return (ANY,)
        return self._concrete(value)

    def _concrete(self, value: f.ValueId) -> Sequence[str]:
        concrete = evaluate(value, self.env)
        if isinstance(concrete, str | int | float | PurePath):
            return (_in_package(str(concrete)),)
        return (ANY,)

    def _each(self, values: Sequence[f.ValueId] | None, depth: int) -> Sequence[str]:
        if values is None:
            return (ANY,)
        return [text for value in values for text in self._texts(value, depth)]

    @staticmethod
    def _product(parts: Sequence[Sequence[str]], join: object) -> Sequence[str]:
        count = 1
        for part in parts:
            count *= len(part)
        if not 0 < count <= _MOST:
            return (ANY,)
        assert callable(join)
        return [join(chosen) for chosen in product(*parts)]

    # ---- what the command line and W&B name ----

    def _named(self, row: f.AnyValue) -> str | None:
        """The hole of a value that is the results folder or a run's id by the name it goes by."""
        name = self._name(row)
        if name == "results_dir":
            return RESULTS
        if name == "run_id":
            return RUN
        match row:
            case f.Element(of=of) | f.Key(of=of) if self.is_run_ids(of):
                return RUN
            case f.Attribute(of=of, name="id" | "name") if self._is_wandb_run(of):
                return RUN
            case f.Item(of=of, key=key) if self.is_run_ids(of):
                if not isinstance(self.env.entry.values[key], f.Slice):
                    return RUN
        return None

    def _name(self, row: f.AnyValue) -> str | None:
        """The name under which a value is taken out of arguments, a config or a mapping."""
        entry = self.env.entry
        key: f.AnyValue | None = None
        match row:
            case f.Attribute(name=name) | f.Parameter(name=name):
                return name
            case f.Item():
                key = entry.values[row.key]
            case f.Config(path=path) if path:
                key = entry.values[path[-1]]
            case f.CallValue(args=args, callee=callee_id):
                callee = entry.values[callee_id]
                if isinstance(callee, f.Attribute) and callee.name in ("get", "pop") and args:
                    key = entry.values[args[0]]
                elif isinstance(callee, f.Library) and callee.name == "getattr" and len(args) > 1:
                    key = entry.values[args[1]]
        if isinstance(key, f.Literal) and isinstance(key.value, str):
            return key.value
        return None

    def _is_run_ids(self, value: f.ValueId) -> bool:
        row = self.env.entry.values[value]
        if self._name(row) == "run_ids":
            return True
        match row:
            case f.Select(yes=yes, no=no):
                return self.is_run_ids(yes) or self.is_run_ids(no)
            case f.CallValue(callee=callee_id, args=args) if args:
                callee = self.env.entry.values[callee_id]
                wraps = isinstance(callee, f.Library) and callee.name in _SEQUENCES
                return wraps and self.is_run_ids(args[0])
            case f.Item(of=of, key=key):
                return isinstance(self.env.entry.values[key], f.Slice) and self.is_run_ids(of)
        return False

    def _is_wandb_run(self, value: f.ValueId) -> bool:
        row = self.env.entry.values[value]
        if isinstance(row, f.Element | f.Item):
            row = self.env.entry.values[row.of]
        if not isinstance(row, f.CallValue) or row.event is None:
            return False
        event = self.env.entry.events[row.event]
        return isinstance(event, f.LibraryCall) and event.name in (
            "wandb.Api().run",
            "wandb.Api().runs",
            "wandb.init",
        )

    # ---- containers ----

    def elements(self, value: f.ValueId, depth: int = 0) -> list[f.ValueId] | None:
        """The values that going over a value may give; None where that is not known."""
        row = self.env.entry.values[value]
        if depth > _DEPTH:
            return None
        match row:
            case f.ListValue(open=False) | f.TupleValue(open=False) | f.SetValue(open=False):
                found: list[f.ValueId] = []
                for item in row.items:
                    inner = self.env.entry.values[item]
                    if isinstance(inner, f.Star):
                        more = self.elements(inner.value, depth + 1)
                        if more is None:
                            return None
                        found += more
                    else:
                        found.append(inner.value if isinstance(inner, f.Each) else item)
                return found
            case f.DictValue():
                return self.keys(value, depth + 1)
            case f.Select(test=test, yes=yes, no=no):
                truth = condition(test, self.env)
                ways = [yes, no] if truth is None else [yes if truth else no]
                return self._all([self.elements(w, depth + 1) for w in ways])
            case f.CallValue(callee=callee_id, args=args):
                callee = self.env.entry.values[callee_id]
                if isinstance(callee, f.Library) and callee.name in _SEQUENCES and args:
                    return self.elements(args[0], depth + 1)
                keys_of = self._receiver(value, "keys")
                if keys_of is not None:
                    return self.keys(keys_of, depth + 1)
        return None

    def keys(self, value: f.ValueId, depth: int = 0) -> list[f.ValueId] | None:
        """The keys that a mapping may hold; None where that is not known."""
        row = self.env.entry.values[value]
        if depth > _DEPTH:
            return None
        match row:
            case f.DictValue(open=False, items=items):
                found = []
                for key, _ in items:
                    inner = self.env.entry.values[key]
                    if isinstance(inner, f.Star):
                        return None
                    found.append(inner.value if isinstance(inner, f.Each) else key)
                return found
            case f.Select(test=test, yes=yes, no=no):
                truth = condition(test, self.env)
                ways = [yes, no] if truth is None else [yes if truth else no]
                return self._all([self.keys(w, depth + 1) for w in ways])
        return None

    @staticmethod
    def _all(found: Sequence[list[f.ValueId] | None]) -> list[f.ValueId] | None:
        every: list[f.ValueId] = []
        for part in found:
            if part is None:
                return None
            every += part
        return every

    def _receiver(self, value: f.ValueId, method: str) -> f.ValueId | None:
        """What ``method`` was called on to give a value; None when it was not."""
        row = self.env.entry.values[value]
        if not isinstance(row, f.CallValue):
            return None
        callee = self.env.entry.values[row.callee]
        return callee.of if isinstance(callee, f.Attribute) and callee.name == method else None


def _in_package(path: str) -> str:
    """A path relative to the package where it lies in it."""
    return f"{path}/".removeprefix(f"{PACKAGE}/").removesuffix("/") if path != "/" else path


def _parent(path: str) -> str:
    if "/" in path:
        return folder_of(path)
    return ANY if any(hole in path for hole in (RESULTS, RUN, ANY)) else ""


def _joined_all(parts: Sequence[str]) -> str:
    whole = parts[0]
    for part in parts[1:]:
        whole = joined(whole, part)
    return whole


def _with_suffix(path: str, suffix: str) -> str:
    stem, dot, last = path.rpartition(".")
    return (stem if dot and "/" not in last else path) + suffix
