"""What a trace means under one config: which events happen, and what values are.

Nothing is guessed: a guard is decided True or False only when it follows from the config; a value
is concrete only when every part of it is.
"""

from __future__ import annotations

import operator
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from explint.trace import facts as f


class Unknown:
    """A value that the config does not determine; ``reason`` says why."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Unknown({self.reason!r})"


class Dangling(Unknown):
    """A value of a config that raises when it is read; ``reason`` is what OmegaConf says."""

    __slots__ = ()


class Absent:
    """Where a config has no value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()
_AT_RUN_TIME: Final = Unknown("it is made at run time")
_OF_LIBRARY: Final = Unknown("it comes from a library")
_MISSING: Final = Unknown("a config key is missing")
MAYBE: Final = Unknown("it may have been set, or not, before")
"""Stands in a config where a key may be absent; other unknowns are surely there."""
MANDATORY: Final = Unknown("it is mandatory, and nobody gives it")
"""Stands for ``???`` in a config; what is merged with it wins."""

PACKAGE: Final = "/package"
"""The folder that the package stands in, as far as paths made from ``__file__`` are concerned."""

_DEPTH = 200
_ITEMS = 4096

Tree = Any
"""A config as plain dicts, lists and scalars; unknown and MAYBE may stand anywhere in it."""


class Files(Protocol):
    """The YAML files of the package, as code finds them at run time."""

    def load(self, path: str, *, plain: bool) -> Tree:
        """What ``OmegaConf.load`` makes of a file, or PyYAML where ``plain``; an Unknown where the
        package does not hold it. ``path`` is relative to the package root."""

    def holds(self, path: str) -> bool:
        """Whether the package has the file."""


class Env(msgspec.Struct):
    """What a trace is evaluated under.

    ``files`` are what the code can load; None leaves loaded configs unknown. ``roots`` maps the
    number of a config object to its trees by version: (first version at which the tree holds,
    tree), in order. With ``exceptions`` None it is unknown whether code inside a ``try`` raises;
    with False nothing raises but explicit ``raise`` statements, which is what people mean by "what
    the program does". ``mirrored`` are the sections that stand at the root and under ``run`` alike,
    so that a write to one of the two is a write to both.
    """

    entry: f.EntryTrace
    exceptions: bool | None = False
    files: Files | None = None
    mirrored: frozenset[str] = frozenset()
    roots: dict[int, list[tuple[int, Tree]]] = msgspec.field(default_factory=dict)
    _values: dict[int, Any] = msgspec.field(default_factory=dict)
    _truths: dict[int, object] = msgspec.field(default_factory=dict)
    _guards: dict[int, bool | None] = msgspec.field(default_factory=dict)
    _varying: bytearray = msgspec.field(default_factory=bytearray)

    def __post_init__(self) -> None:
        # What does not vary is worth knowing once there is another one to share it with.
        entry = self.entry
        self._varying = entry.varying if entry.is_asked_again() else entry.all_varying

    def tree(self, root: int, version: int) -> Tree:
        """What a config object holds after the first ``version`` events."""
        found: Tree = Unknown("the config is not known")
        for since, tree in self.roots.get(root, ()):
            if since > version:
                break
            found = tree
        return found


def evaluate(value: f.ValueId, env: Env) -> Any:  # noqa: ANN401 - any value a program can hold
    """The concrete value, ``ABSENT`` for a config key that is not there, or an ``Unknown``."""
    return _evaluate(value, env, 0)


def decide(guard: int, env: Env) -> bool | None:
    """Whether an event under the guard happens; None when the config does not determine it."""
    chain = []
    at = guard
    while at and at not in env._guards:
        chain.append(at)
        at = env.entry.guards[at].parent
    state = env._guards.get(at, True) if at else True
    for number in reversed(chain):
        row = env.entry.guards[number]
        if state is not False:
            truth = condition(row.condition, env)
            met = None if truth is None else truth == row.expected
            state = _and(state, met)
        env._guards[number] = state
    return state


def condition(value: f.ValueId, env: Env) -> bool | None:
    """The truth of a value, three-valued."""
    return _truth(value, env, 0)


def _and(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _truth(value: f.ValueId, env: Env, depth: int) -> bool | None:
    known = env._truths.get(value, env)
    if known is not env:
        return cast("bool | None", known)
    constants = None if env._varying[value] else env.entry.constant_truths
    if constants is not None and value in constants:
        truth = constants[value]
    else:
        truth = None if depth > _DEPTH else _truth_of(value, env, depth)
        if constants is not None:
            constants[value] = truth
    env._truths[value] = truth
    return truth


_TRUTH_WITHOUT_VALUE: Final = frozenset(
    {f.Not, f.All, f.Select, f.Raised, f.Ran, f.Function, f.Class, f.Module, f.Bound,
     f.EllipsisValue, f.ListValue, f.TupleValue, f.SetValue, f.DictValue}
)  # fmt: skip
"""What may be true or false although its value is not known."""


def _truth_of(value: f.ValueId, env: Env, depth: int) -> bool | None:
    row = env.entry.values[value]
    # Most values are none of these, and every case that does not match costs a look.
    if type(row) not in _TRUTH_WITHOUT_VALUE:
        return _truth_of_concrete(value, env, depth)
    match row:
        case f.Not():
            truth = _truth(row.value, env, depth + 1)
            return None if truth is None else not truth
        case f.All():
            state: bool | None = True
            for inner, expected in row.conditions:
                truth = _truth(inner, env, depth + 1)
                state = _and(state, None if truth is None else truth == expected)
                if state is False:
                    return False
            return state
        case f.Select():
            test = _truth(row.test, env, depth + 1)
            if test is not None:
                return _truth(row.yes if test else row.no, env, depth + 1)
            # `a and b` and `a or b` give the test itself on one of the ways.
            yes = True if row.yes == row.test else _truth(row.yes, env, depth + 1)
            no = False if row.no == row.test else _truth(row.no, env, depth + 1)
            return yes if yes == no else None
        case f.Raised():
            return env.exceptions
        case f.Ran():
            return _ran(row.loop, env, depth)
        case f.Function() | f.Class() | f.Module() | f.Bound() | f.EllipsisValue():
            return True
        case f.ListValue() | f.TupleValue() | f.SetValue():
            return _non_empty(row.items, row.open, env)
        case f.DictValue():
            return _non_empty([k for k, _ in row.items], row.open, env)
    return None


def _truth_of_concrete(value: f.ValueId, env: Env, depth: int) -> bool | None:
    concrete = _evaluate(value, env, depth)
    if concrete is ABSENT or isinstance(concrete, Unknown):
        return None
    try:
        return bool(concrete)
    except (TypeError, ValueError):
        return None


def _non_empty(items: Sequence[f.ValueId], open_: bool, env: Env) -> bool | None:
    sure = [i for i in items if not isinstance(env.entry.values[i], f.Star | f.Each)]
    if sure:
        return True
    return None if items or open_ else False


def _ran(loop: int, env: Env, depth: int) -> bool | None:
    row = env.entry.loops[loop]
    if row.kind == "while":
        return _truth(row.over, env, depth + 1)
    if row.kind not in ("for", "comprehension"):
        return None
    over = env.entry.values[row.over]
    if isinstance(over, f.ListValue | f.TupleValue | f.SetValue):
        return _non_empty(over.items, over.open, env)
    if isinstance(over, f.CallValue):
        # What passes its argument's elements on, one for one.
        callee = env.entry.values[over.callee]
        name = callee.name if isinstance(callee, f.Library) else ""
        if name in ("enumerate", "reversed", "sorted", "list", "tuple", "set") and over.args:
            inner = env.entry.values[over.args[0]]
            if isinstance(inner, f.ListValue | f.TupleValue | f.SetValue):
                return _non_empty(inner.items, inner.open, env)
    concrete = _evaluate(row.over, env, depth + 1)
    if concrete is ABSENT or isinstance(concrete, Unknown):
        return None
    try:
        return len(concrete) > 0
    except TypeError:
        return None


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda a, b: a in b,
}
_UNARY: Final[Mapping[str, Callable[[Any], Any]]] = {"-": operator.neg, "+": operator.pos}
_BUILTINS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": abs,
    "bool": bool,
    "float": float,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "range": range,
    "round": round,
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "sum": sum,
    "any": any,
    "all": all,
}
_TEXT_METHODS: Final = frozenset(
    {"lower", "upper", "strip", "lstrip", "rstrip", "replace", "startswith", "endswith", "split",
     "title", "capitalize", "removeprefix", "removesuffix", "casefold", "join"}
)  # fmt: skip
_PATH_ATTRIBUTES: Final = frozenset({"name", "parent", "parents", "stem", "suffix"})
_SAME_PATH: Final = frozenset({"resolve", "absolute", "expanduser", "as_posix"})
"""Methods that give a path made from ``__file__`` back, as a path or as text."""

_PATH_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "__file__": lambda path: f"{PACKAGE}/{path}",
    "pathlib.Path": PurePosixPath,
    "pathlib.PurePath": PurePosixPath,
    "os.path.join": posixpath.join,
    "os.path.dirname": posixpath.dirname,
    "os.path.basename": posixpath.basename,
    "os.path.abspath": lambda path: _absolute(str(path)),
    "os.path.realpath": lambda path: _absolute(str(path)),
    "os.path.normpath": posixpath.normpath,
}


YAML_LOADERS: Final = frozenset(
    {"yaml.safe_load", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}
)
"""The functions of PyYAML that read one document."""

_HERE: Final[Mapping[str, str | PurePosixPath]] = {
    "hydra.utils.get_original_cwd": PACKAGE,
    # Hydra may have changed it, so that it is told relative to wherever the program is.
    "os.getcwd": ".",
    "pathlib.Path.cwd": PurePosixPath("."),
}
"""Where the program runs, and where it was started: at the package root, as the protocol says."""


def _got(row: f.CallValue, callee: f.Attribute, env: Env, depth: int) -> Any:  # noqa: ANN401
    """What ``mapping.get(key, default)`` gives."""
    of, *given = (_evaluate(v, env, depth) for v in (callee.of, *row.args))
    if not isinstance(of, Mapping) or given[0] is ABSENT or isinstance(given[0], Unknown):
        return _AT_RUN_TIME
    return _guarded(of.get, *given)


def _exists(path: object, env: Env) -> Any:  # noqa: ANN401
    """Whether a file is there; unknown of any that the package does not hold."""
    own = own_path(path)
    if own is None or env.files is None or not env.files.holds(own):
        return Unknown("whether the file exists is known at run time only")
    return True


def _absolute(path: str) -> str | Unknown:
    if not path.startswith("/"):
        return Unknown("it depends on the working directory")
    return posixpath.normpath(path)


_TYPES: Final[Mapping[str, type]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
}


def _evaluate(value: f.ValueId, env: Env, depth: int) -> Any:  # noqa: ANN401
    if value in env._values:
        return env._values[value]
    constants = None if env._varying[value] else env.entry.constants
    if constants is not None and value in constants:
        result = constants[value]
    else:
        too_deep = depth > _DEPTH
        result = Unknown("it is nested too deep") if too_deep else _compute(value, env, depth + 1)
        if constants is not None:
            constants[value] = result
    env._values[value] = result
    return result


def _compute(value: f.ValueId, env: Env, depth: int) -> Any:  # noqa: ANN401
    row = env.entry.values[value]
    # The most frequent kinds stand first.
    match row:
        case f.Literal():
            return row.value
        case f.Config():
            return lookup(row.root, row.path, row.version, env)
        case f.CallValue():
            return _call(row, env, depth)
        case f.Attribute():
            of = _evaluate(row.of, env, depth)
            if isinstance(of, PurePosixPath) and row.name in _PATH_ATTRIBUTES:
                found = _guarded(getattr, of, row.name)
                return list(found) if row.name == "parents" else found
            # `space.low` of a section that a loop goes over.
            if isinstance(of, Mapping) and row.name in of:
                return of[row.name]
            return _OF_LIBRARY
        case f.Library():
            return _OF_LIBRARY
        case f.UnknownValue():
            return Unknown(_REASONS.get(row.reason, row.reason))
        case f.Integer():
            return int(row.text) if len(row.text) < _ITEMS else Unknown("the number is too long")
        case f.Has():
            held = _held_in(row, env)
            if held is not None:
                return held
            found = lookup(row.root, row.path, row.version, env)
            plain = env.entry.roots[row.root].kind == "container"
            if found is ABSENT or (found is MANDATORY and not plain):
                # OmegaConf holds no key whose value is `???`.
                return False
            if found is MAYBE or (isinstance(found, Unknown) and not _surely_there(row, env)):
                return found
            return True
        case f.Template():
            return _template(row, env, depth)
        case f.ListValue() | f.TupleValue() | f.SetValue():
            items = _items(row.items, row.open, env, depth)
            if isinstance(items, Unknown):
                return items
            if isinstance(row, f.ListValue):
                return items
            return _guarded(tuple if isinstance(row, f.TupleValue) else set, items)
        case f.DictValue():
            keys = _items([k for k, _ in row.items], row.open, env, depth)
            values = _items([v for _, v in row.items], row.open, env, depth)
            if isinstance(keys, Unknown) or isinstance(values, Unknown):
                return keys if isinstance(keys, Unknown) else values
            return _guarded(lambda: dict(zip(keys, values, strict=True)))
        case f.Binary() | f.Compare():
            left = _evaluate(row.left, env, depth)
            right = _evaluate(row.right, env, depth)
            if isinstance(row, f.Compare) and row.op in ("is", "=="):
                for operand, other in ((left, row.right), (right, row.left)):
                    if operand is None and _never_none(other, env, depth):
                        return False
            for operand in (left, right):
                if operand is ABSENT or isinstance(operand, Unknown):
                    return _unknown(operand)
            if isinstance(row, f.Compare) and row.op == "is":
                constants = (None, True, False)
                if any(left is c for c in constants) or any(right is c for c in constants):
                    return left is right
                return Unknown("identity is not followed")
            return _operate(row.op, left, right)
        case f.Unary():
            operand = _evaluate(row.value, env, depth)
            function = _UNARY.get(row.op)
            if function is None or operand is ABSENT or isinstance(operand, Unknown):
                return _unknown(operand)
            return _guarded(function, operand)
        case f.Not() | f.All():
            truth = _truth(value, env, depth)
            return Unknown("the condition is not decided") if truth is None else truth
        case f.Select():
            test = _truth(row.test, env, depth)
            if test is not None:
                return _evaluate(row.yes if test else row.no, env, depth)
            yes, no = _evaluate(row.yes, env, depth), _evaluate(row.no, env, depth)
            if type(yes) is type(no) and not isinstance(yes, Unknown) and yes == no:
                return yes
            return Unknown("it depends on a condition that is not decided")
        case f.Item():
            of, key = _evaluate(row.of, env, depth), _evaluate(row.key, env, depth)
            for operand in (of, key):
                if operand is ABSENT or isinstance(operand, Unknown):
                    return _unknown(operand)
            return _guarded(operator.getitem, of, key)
        case f.Slice():
            parts = [None if p is None else _evaluate(p, env, depth)
                     for p in (row.low, row.high, row.step)]  # fmt: skip
            if any(p is ABSENT or isinstance(p, Unknown) for p in parts):
                return Unknown("the slice is not known")
            return slice(*parts)
        case f.Parameter():
            return Unknown("it is an argument from outside")
        case f.Element() | f.Index() | f.Key():
            return Unknown("it differs from one iteration to the next")
    return _AT_RUN_TIME


def _never_none(value: f.ValueId, env: Env, depth: int) -> bool:
    """Whether a value is an object that the package or an import made: ``wandb is not None``."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return False
    match row:
        case f.Select():
            test = _truth(row.test, env, depth)
            ways = [row.yes, row.no] if test is None else [row.yes if test else row.no]
            return all(_never_none(way, env, depth + 1) for way in ways)
        case f.Library():
            # An attribute of a module may be None (`wandb.run`), the module itself may not.
            return "." not in row.name
    return isinstance(
        row,
        f.Module
        | f.Function
        | f.Class
        | f.Instance
        | f.Bound
        | f.ListValue
        | f.TupleValue
        | f.SetValue
        | f.DictValue
        | f.Template,
    )


_REASONS: Final[Mapping[str, str]] = {
    "loop": "it changes in a loop",
    "exception": "an exception may have come between",
    "recursion": "the function calls itself",
    "name": "no scope defines the name",
    "syntax": "the construct is not followed",
    "module": "the module's text is not known",
    "cut": "the trace was cut here",
    "choices": "there are too many alternatives",
    "argument": "the argument is not followed",
    "content": "other code may have set it",
}


def _unknown(operand: object) -> Unknown:
    return operand if isinstance(operand, Unknown) else _MISSING


def _guarded(function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """The result of plain Python on plain values; unknown where the program would fail."""
    try:
        return function(*args)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        return Unknown(f"it fails: {error}")


def _operate(op: str, left: Any, right: Any) -> Any:  # noqa: ANN401
    function = _OPERATORS.get(op)
    if function is None:
        return Unknown("the operator is not followed")
    if op == "*" and (_long(left) or _long(right)):
        return Unknown("the result is too large")
    if op == "%" and isinstance(left, str):
        return Unknown("formatting is not followed")
    if _holds_unknown(left) or _holds_unknown(right):
        return Unknown("a part of it is not known")
    return _guarded(function, left, right)


def _holds_unknown(value: object) -> bool:
    stack, left = [value], _ITEMS
    while stack and left:
        left -= 1
        at = stack.pop()
        if isinstance(at, Unknown):
            return True
        if isinstance(at, Mapping):
            stack.extend(at.values())
        elif isinstance(at, list | tuple | set):
            stack.extend(at)
    return not left


def _long(value: object) -> bool:
    if isinstance(value, int):
        return value.bit_length() > 64
    return isinstance(value, str | list | tuple)


def _template(row: f.Template, env: Env, depth: int) -> str | Unknown:
    texts = []
    for part in row.parts:
        concrete = _evaluate(part, env, depth)
        if concrete is ABSENT or isinstance(concrete, Unknown):
            return _unknown(concrete)
        text = text_of(concrete)
        if isinstance(text, Unknown):
            return text
        texts.append(text)
    return "".join(texts)


def text_of(concrete: object) -> str | Unknown:
    """What ``str`` makes of a value; a section of a config prints as the dict or list it holds."""
    if isinstance(concrete, Mapping | list) and not _holds_unknown(concrete):
        return repr(concrete)
    if not isinstance(concrete, str | int | float | bool | PurePosixPath | None):
        return Unknown("its text is not followed")
    return str(concrete)


def _items(items: Sequence[f.ValueId], open_: bool, env: Env, depth: int) -> list[Any] | Unknown:
    if open_:
        return Unknown("it may hold more")
    found: list[Any] = []
    for item in items:
        row = env.entry.values[item]
        if isinstance(row, f.Star | f.Each):
            return Unknown("its elements are not known")
        concrete = _evaluate(item, env, depth)
        if concrete is ABSENT or isinstance(concrete, Unknown):
            return _unknown(concrete)
        found.append(concrete)
    return found


def _call(row: f.CallValue, env: Env, depth: int) -> Any:  # noqa: ANN401
    callee = env.entry.values[row.callee]
    if isinstance(callee, f.Attribute) and callee.name in _SAME_PATH:
        of = _evaluate(callee.of, env, depth)
        if isinstance(of, PurePosixPath):
            if callee.name == "as_posix":
                return str(of)
            if of.is_absolute():
                return PurePosixPath(posixpath.normpath(of))
            return Unknown("it depends on the working directory")
    if isinstance(callee, f.Attribute) and callee.name in ("exists", "is_file"):
        return _exists(_evaluate(callee.of, env, depth), env)
    name = callee.name if isinstance(callee, f.Library) else ""
    if name in ("os.path.exists", "os.path.isfile") and row.args:
        return _exists(_evaluate(row.args[0], env, depth), env)
    if name in _HERE:
        return _HERE[name]
    if name in YAML_LOADERS and row.args:
        file = _opened(row.args[0], env)
        if file is None or env.files is None:
            return Unknown("the file is known at run time only")
        return env.files.load(file, plain=True)
    if isinstance(callee, f.Attribute) and callee.name == "get" and 0 < len(row.args) < 3:
        return _got(row, callee, env, depth)
    if name == "hydra.utils.to_absolute_path" and len(row.args) == 1:
        path = _evaluate(row.args[0], env, depth)
        return posixpath.join(PACKAGE, str(path)) if own_path(path) else _unknown(path)
    if row.event is not None or row.kwargs:
        return _AT_RUN_TIME
    if isinstance(callee, f.Library) and callee.name == "isinstance" and len(row.args) == 2:
        kind = env.entry.values[row.args[1]]
        of = _evaluate(row.args[0], env, depth)
        cls = _TYPES.get(kind.name) if isinstance(kind, f.Library) else None
        if cls is None or of is ABSENT or isinstance(of, Unknown | Mapping | list):
            return Unknown("its type is not followed")
        return isinstance(of, cls)
    args = [_evaluate(a, env, depth) for a in row.args]
    for argument in args:
        if argument is ABSENT or isinstance(argument, Unknown) or _holds_unknown(argument):
            return _unknown(argument)
    if isinstance(callee, f.Attribute) and callee.name in _TEXT_METHODS:
        of = _evaluate(callee.of, env, depth)
        if of is ABSENT or isinstance(of, Unknown):
            return _unknown(of)
        if not isinstance(of, str):
            return _AT_RUN_TIME
        return _guarded(getattr(of, callee.name), *args)
    function = None
    if isinstance(callee, f.Library):
        function = _BUILTINS.get(callee.name) or _PATH_FUNCTIONS.get(callee.name)
    if function is None:
        return _AT_RUN_TIME
    if function is not range and any(isinstance(a, range) and len(a) > _ITEMS for a in args):
        return Unknown("the result is too large")
    return _guarded(function, *args)


def keys_of(path: Sequence[f.ValueId], env: Env) -> list[str | int] | Unknown:
    """The keys of a config path, when they are known."""
    keys: list[str | int] = []
    for part in path:
        key = _evaluate(part, env, 0)
        if not isinstance(key, str | int):
            return Unknown("the key is not known")
        keys.append(key)
    return keys


def _known_keys(path: Sequence[f.ValueId], env: Env) -> list[str | int]:
    """The keys that a path begins with, as far as they are known."""
    keys: list[str | int] = []
    for part in path:
        key = _evaluate(part, env, 0)
        if isinstance(key, str | int):
            keys.append(key)
            continue
        row = env.entry.values[part]
        if isinstance(row, f.Template) and row.parts:
            # f"training.{name}": what stands before the last dot of its first part is known.
            first = _evaluate(row.parts[0], env, 0)
            if isinstance(first, str):
                keys.extend(first.split(".")[:-1])
        break
    return keys


def lookup(root: int, path: Sequence[f.ValueId], version: int, env: Env) -> Tree:
    """What a config holds at a path after ``version`` events."""
    keys = keys_of(path, env)
    return keys if isinstance(keys, Unknown) else at_keys(env.tree(root, version), keys)


def _held_in(row: f.Has, env: Env) -> bool | Unknown | None:
    """Whether a text or a list of the config holds what is looked for in it; None for a mapping,
    which is asked for its keys."""
    if not row.path:
        return None
    of = lookup(row.root, row.path[:-1], row.version, env)
    if not isinstance(of, str | list):
        return None
    wanted = _evaluate(row.path[-1], env, 0)
    if wanted is ABSENT or isinstance(wanted, Unknown) or _holds_unknown(of):
        return _unknown(wanted)
    found = _guarded(operator.contains, of, wanted)
    return found if isinstance(found, bool | Unknown) else None


def _surely_there(row: f.Has, env: Env) -> bool:
    keys = keys_of(row.path, env)
    if isinstance(keys, Unknown):
        return False
    parent = at_keys(env.tree(row.root, row.version), keys[:-1])
    return isinstance(parent, Mapping | list)


def at_keys(tree: Tree, keys: Sequence[str | int]) -> Tree:
    """What stands in a tree under keys; ABSENT where there is nothing."""
    at = tree
    for key in keys:
        if isinstance(at, Unknown):
            return at
        if isinstance(at, Mapping):
            at = at.get(key, ABSENT)
        elif isinstance(at, list) and isinstance(key, int):
            at = at[key] if -len(at) <= key < len(at) else ABSENT
        else:
            return ABSENT
    return at


def with_value(tree: Tree, keys: Sequence[str | int], value: Tree) -> Tree:
    """A copy of a tree with one key set; ABSENT removes it."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(tree, list) and isinstance(key, int) and -len(tree) <= key < len(tree):
        items = list(tree)
        items[key] = with_value(items[key], rest, value)
        return items
    if not isinstance(tree, Mapping):
        # Writing below a value that is not known, or is no mapping, leaves nothing known there.
        return tree if isinstance(tree, Unknown) else Unknown("it was written to")
    inner = with_value(tree.get(key, {}), rest, value) if rest else value
    copy = {k: v for k, v in tree.items() if k != key or inner is not ABSENT}
    if inner is not ABSENT:
        copy[key] = inner
    return copy


_Kind = TypeVar("_Kind")


class Specialised(msgspec.Struct):
    """A trace under one config: for every event whether it happens, and the config's history."""

    env: Env
    states: list[bool | None]

    _happening: list[tuple[int, f.AnyEvent]] | None = None
    _of: dict[tuple[type, ...], list[tuple[int, Any]]] = msgspec.field(default_factory=dict)

    def happening(self) -> list[tuple[int, f.AnyEvent]]:
        """The events that may happen, with their numbers."""
        if self._happening is None:
            pairs = zip(self.states, enumerate(self.env.entry.events), strict=True)
            self._happening = [numbered for state, numbered in pairs if state is not False]
        return self._happening

    def happening_of(self, *kinds: type[_Kind]) -> list[tuple[int, _Kind]]:
        """The events of some kinds that may happen, with their numbers, in order."""
        found = self._of.get(kinds)
        if found is None:
            states = self.states
            of_kinds = self.env.entry.events_of(*kinds)
            found = self._of[kinds] = [one for one in of_kinds if states[one[0]] is not False]
        return found


def same_tree(one: Tree, other: Tree) -> bool:
    """Whether two configs are the same to every program: in values, their types and order."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # Programs see the order of keys when they go over a section.
        return list(one) == list(other) and all(
            type(a) is type(b) and same_tree(one[a], other[b])
            for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_tree, one, other))
    if isinstance(one, Unknown):
        known_by_identity = one in (MAYBE, MANDATORY) or other in (MAYBE, MANDATORY)
        return not known_by_identity and bool(one.reason == other.reason)
    if isinstance(one, float):
        # Not a number equals nothing, and the zeros have a sign.
        return repr(one) == repr(other)
    return bool(one == other) and isinstance(one, str | int | None)


_CHANGES: Final = (f.Make, f.Write, f.Forget)
"""The events that make a config or change one."""


def specialise(
    entry: f.EntryTrace,
    config: Tree,
    *,
    exceptions: bool | None = False,
    files: Files | None = None,
    mirrored: frozenset[str] = frozenset(),
) -> Specialised:
    """Evaluates an entry under the config that ``@hydra.main`` or ``compose`` hands to it.

    ``config`` is a tree of plain dicts, lists and scalars, or an ``Unknown``; ``files`` are what
    the code can load, ``mirrored`` as in ``Env``.
    """
    env = Env(entry, exceptions, files, mirrored)
    guards = env._guards
    guards[0] = True
    # What does not change a config can be decided behind: a config value says as of when it is.
    for number, event in entry.events_of(*_CHANGES):
        state = decide(event.guard, env)
        if state is False:
            continue
        version = number + 1
        match event:
            case f.Make():
                made = _made(entry.roots[event.root], config, env, number)
                env.roots[event.root] = [(0, made)]
            case f.Write():
                _write(event, state, version, env)
            case f.Forget():
                for path in event.paths:
                    _change(path, MAYBE, version, env, sure=False)
    for guard in set(entry.guard_of):
        if guard not in guards:
            decide(guard, env)
    states = [guards[guard] for guard in entry.guard_of]
    env.entry = entry.settled(lambda test: condition(test, env))
    return Specialised(env, states)


def _made(root: f.Root, config: Tree, env: Env, version: int) -> Tree:
    if root.kind in ("hydra", "compose"):
        return config
    if root.kind == "load":
        return _loaded(root, env)
    sources = [as_tree(s, env, version) for s in root.sources]
    match root.kind, sources:
        case (("copy" | "container" | "create"), [one]):
            return _MISSING if one is ABSENT else one
        case "merge", [first, *rest]:
            for other in rest:
                first = merged(first, other)
            return first
    return Unknown("the config is made at run time")


def _loaded(root: f.Root, env: Env) -> Tree:
    """What ``OmegaConf.load`` gives for a file of the package."""
    path = loaded_path(root, env)
    if path is None or env.files is None:
        return Unknown("the config is made at run time")
    return env.files.load(path, plain=False)


def loaded_path(root: f.Root, env: Env) -> str | None:
    """The file that a root of kind ``load`` is read from, relative to the package; None where it
    does not follow from the config, or lies elsewhere."""
    return _opened(root.sources[0], env) if root.kind == "load" and root.sources else None


def _opened(at: f.ValueId, env: Env) -> str | None:
    # `open(path)`, `path.open()` and `path.read_text()` in front of it.
    for _ in range(_READERS):
        row = env.entry.values[at]
        if not isinstance(row, f.CallValue):
            break
        callee = env.entry.values[row.callee]
        if isinstance(callee, f.Library) and callee.name in ("open", "io.open") and row.args:
            at = row.args[0]
        elif isinstance(callee, f.Attribute) and callee.name in ("open", "read", "read_text"):
            at = callee.of
        else:
            break
    return own_path(evaluate(at, env))


_READERS: Final = 3


def own_path(path: object) -> str | None:
    """A path that the code made, relative to the package root; None where it lies elsewhere.

    A relative one is taken from the package root, where the command lines start.
    """
    if not isinstance(path, str | PurePosixPath):
        return None
    whole = posixpath.normpath(posixpath.join(PACKAGE, str(path)))
    return whole[len(PACKAGE) + 1 :] if whole.startswith(f"{PACKAGE}/") else None


def as_tree(value: f.ValueId, env: Env, version: int | None = None) -> Tree:
    """A value as a config tree: like ``evaluate``, but a dict with unknown parts stays a dict.

    A section is a reference: with ``version`` it is what it holds after that many events, whenever
    it was taken from its config.
    """
    row = env.entry.values[value]
    if isinstance(row, f.DictValue) and not row.open:
        tree: dict[Any, Any] = {}
        for key, inner in row.items:
            name = evaluate(key, env)
            if not isinstance(name, str | int):
                return Unknown("a key is not known")
            tree[name] = as_tree(inner, env, version)
        return tree
    found = evaluate(value, env)
    if version is not None and isinstance(row, f.Config) and isinstance(found, Mapping | list):
        later = lookup(row.root, row.path, version, env)
        # Elsewhere another section took its place in the config: the old one is still at hand.
        return later if type(later) is type(found) else found
    return found


def merged(first: Tree, second: Tree) -> Tree:
    """Two trees as ``OmegaConf.merge`` joins them: mappings key by key, else the second wins."""
    if first is MANDATORY or second is MANDATORY:
        return second if first is MANDATORY else first
    if isinstance(second, Unknown):
        return second
    if isinstance(first, Unknown) and isinstance(second, Mapping):
        return first
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return second
    result = dict(first)
    for key, value in second.items():
        result[key] = merged(result[key], value) if key in result else value
    return result


def _write(event: f.Write, state: bool | None, version: int, env: Env) -> None:
    sure = state is True
    value = ABSENT if event.how == "delete" else as_tree(event.value, env, version)
    if value is ABSENT and event.how != "delete":
        value = _MISSING
    row = env.entry.values[event.at]
    if isinstance(row, f.Config) and event.how in ("setdefault", "merge"):
        before = lookup(row.root, row.path, version, env)
        if event.how == "setdefault":
            value = value if before is ABSENT else before
        elif before is not ABSENT:
            value = merged(before, value)
    _change(event.at, value, version, env, sure=sure)


def _change(at: f.ValueId, value: Tree, version: int, env: Env, *, sure: bool) -> None:
    row = env.entry.values[at]
    if not isinstance(row, f.Config):
        return
    history = env.roots.setdefault(row.root, [])
    tree = env.tree(row.root, version)
    keys = keys_of(row.path, env)
    if isinstance(keys, Unknown):
        # Any key may have been written, below those that are known.
        history.append((version, with_value(tree, _known_keys(row.path, env), keys)))
    else:
        if not sure:
            there = at_keys(tree, keys)
            same = type(there) is type(value) and not isinstance(value, Unknown) and there == value
            if same:
                return
            value = (
                MAYBE
                if there is ABSENT or there is MAYBE or value is ABSENT
                else Unknown("it was written on a way that is not decided")
            )
        tree = with_value(tree, keys, value)
        twin = _twin(keys, env)
        if twin is not None and isinstance(tree, Mapping) and twin[0] in tree:
            tree = with_value(tree, twin, value)
        history.append((version, tree))


def _twin(keys: Sequence[str | int], env: Env) -> list[str | int] | None:
    """Where else a value stands in a config with mirrored sections."""
    if len(keys) > 1 and keys[0] == "run" and keys[1] in env.mirrored:
        return list(keys[1:])
    return ["run", *keys] if keys and keys[0] in env.mirrored else None
