"""What values of a trace are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from explint.regex import regex
from explint.trace import facts as f

if TYPE_CHECKING:
    from collections.abc import Set

_RANDOM: Final = regex(
    r"^(random|numpy\.random|torch\.(rand|randn|randint|rand_like|randn_like|normal))\b"
)
_ARITHMETIC: Final = frozenset(
    {"float", "int", "round", "abs", "min", "max", "sum", "numpy.clip", "numpy.mean", "numpy.abs",
     "numpy.round", "math.sqrt", "math.exp", "math.log", "numpy.exp", "numpy.log", "pow"}
)  # fmt: skip
_OF_RANDOM: Final = frozenset({"item", "mean", "tolist", "cpu", "numpy", "abs", "sum", "round"})


def parts(trace: f.EntryTrace, value: f.ValueId) -> set[f.ValueId]:
    """A value and everything it is made of."""
    direct = trace.parts
    seen = {value}
    stack = [value]
    while stack:
        for part in direct[stack.pop()]:
            if part not in seen:
                seen.add(part)
                stack.append(part)
    return seen


def made_of(trace: f.EntryTrace, sources: Set[f.ValueId]) -> set[f.ValueId]:
    """The values that any of ``sources`` is a part of, without the sources themselves."""
    found: set[f.ValueId] = set()
    if not sources:
        return found
    users = trace.users
    stack = list(sources)
    while stack:
        for value in users.get(stack.pop(), ()):
            if value not in found and value not in sources:
                found.add(value)
                stack.append(value)
    return found


def is_invented(trace: f.EntryTrace, value: f.ValueId) -> bool:
    """Whether a number is made of literals and random numbers only, with a digit that matters.

    False wherever anything else has a part in it, or might: unknown values are not invented.
    """
    return _invented(trace, value, 0) is not None


def is_random(trace: f.EntryTrace, value: f.ValueId) -> bool:
    """Whether a number is invented, and random numbers have a part in it."""
    return _invented(trace, value, 0) == "random"


def _invented(trace: f.EntryTrace, value: f.ValueId, depth: int) -> str | None:
    """``literal`` or ``random``; None for anything else."""
    if depth > 32:
        return None
    row = trace.values[value]
    match row:
        case f.Literal():
            number = row.value
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            return "literal" if is_number else None
        case f.Unary():
            return _invented(trace, row.value, depth + 1)
        case f.Binary():
            return _joined(trace, (row.left, row.right), depth)
        case f.Select():
            return _joined(trace, (row.yes, row.no), depth)
        case f.CallValue():
            callee = trace.values[row.callee]
            if isinstance(callee, f.Library):
                if _RANDOM.match(callee.name):
                    return "random"
                if callee.name in _ARITHMETIC and row.args:
                    return _joined(trace, row.args, depth)
            if isinstance(callee, f.Attribute) and callee.name in _OF_RANDOM:
                found = _invented(trace, callee.of, depth + 1)
                return found if found == "random" else None
            if isinstance(callee, f.Attribute) and _is_generator(trace, callee.of):
                return "random"
    return None


def _is_generator(trace: f.EntryTrace, value: f.ValueId) -> bool:
    row = trace.values[value]
    if isinstance(row, f.CallValue):
        callee = trace.values[row.callee]
        return isinstance(callee, f.Library) and callee.name in (
            "numpy.random.default_rng", "numpy.random.RandomState", "random.Random"
        )  # fmt: skip
    return False


def _joined(trace: f.EntryTrace, values: tuple[int, ...] | list[int], depth: int) -> str | None:
    found = [_invented(trace, v, depth + 1) for v in values]
    if None in found:
        return None
    return "random" if "random" in found else "literal"
