"""Filters and orders of ``Api().runs``, in the form of MongoDB's query language that W&B takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from explint.regex import regex
from explint.rehearsal.errors import RefusedError
from explint.rehearsal.store import Run

_DEPTH: Final = 20
_MISSING: Final = object()

_FIELDS: Final[Mapping[str, Callable[[Run], Any]]] = {
    "name": lambda run: run.name,
    "display_name": lambda run: run.display_name,
    "state": lambda run: run.state,
    "tags": lambda run: run.tags,
    "created_at": lambda run: run.created_at,
    "heartbeat_at": lambda run: run.heartbeat_at,
    "updated_at": lambda run: run.heartbeat_at,
    "history_line_count": lambda run: len(run.rows),
    "group": lambda run: run.group,
    "group_name": lambda run: run.group,
    "job_type": lambda run: run.job_type,
    "notes": lambda run: run.notes,
    "description": lambda run: run.notes,
}  # fmt: skip
_EXPLOSIVE: Final = regex(r"\)[*+{]|(?:[*+{].*){5}", re.DOTALL)
_UPPER: Final = regex(r"(?<=[a-z])(?=[A-Z])")


def chosen(runs: Iterable[Run], filters: str | None, order: str | None) -> list[Run]:
    """The runs that pass a filter given as JSON, in order.

    Raises:
        RefusedError: an operator or field that the stand-in does not know.
    """
    try:
        query = json.loads(filters) if filters else {}
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"filters that are no JSON: {error}") from None
    found = [run for run in runs if _matches(run, query or {}, 0)]
    for word in reversed((order or "").split(",")):
        word = word.strip()
        if word:
            found = _ordered(found, word)
    return found


def _ordered(runs: list[Run], word: str) -> list[Run]:
    key = word.lstrip("+-")
    values = [(_sortable(_value(run, key)), run) for run in runs]
    present = [pair for pair in values if pair[0] is not None]
    # Times are whole seconds: runs of one second stand in the order in which they were made.
    present.sort(key=lambda pair: (pair[0], pair[1].number), reverse=word.startswith("-"))
    return [run for _, run in present] + [run for value, run in values if value is None]


def _sortable(value: object) -> tuple[int, Any] | None:
    if isinstance(value, bool | int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else None


def _matches(run: Run, query: object, depth: int) -> bool:
    if depth > _DEPTH:
        raise RefusedError(f"filters nested deeper than {_DEPTH}")
    if not isinstance(query, dict):
        raise RefusedError(f"the filter {query!r}, which is no object")
    return all(_term(run, key, wanted, depth + 1) for key, wanted in query.items())


def _term(run: Run, key: str, wanted: Any, depth: int) -> bool:  # noqa: ANN401 - any JSON
    match key:
        case "$and":
            return all(_matches(run, inner, depth) for inner in wanted)
        case "$or":
            return any(_matches(run, inner, depth) for inner in wanted)
        case "$nor":
            return not any(_matches(run, inner, depth) for inner in wanted)
        case "$not":
            return not _matches(run, wanted, depth)
    if key.startswith("$"):
        raise RefusedError(f"the filter operator {key}")
    return _compare(_value(run, key), wanted, depth)


def _compare(value: Any, wanted: Any, depth: int) -> bool:  # noqa: ANN401 - any JSON
    if depth > _DEPTH:
        raise RefusedError(f"filters nested deeper than {_DEPTH}")
    if isinstance(wanted, dict) and any(key.startswith("$") for key in wanted):
        return all(_operator(value, op, arg, depth + 1) for op, arg in wanted.items())
    return _equal(value, wanted)


def _operator(value: Any, op: str, wanted: Any, depth: int) -> bool:  # noqa: ANN401 - any JSON
    match op:
        case "$eq":
            return _equal(value, wanted)
        case "$ne":
            return not _equal(value, wanted)
        case "$in":
            return any(_equal(value, one) for one in wanted)
        case "$nin":
            return not any(_equal(value, one) for one in wanted)
        case "$exists":
            return (value is not _MISSING) == bool(wanted)
        case "$not":
            return not _compare(value, wanted, depth)
        case "$regex":
            return isinstance(value, str) and _pattern(wanted).search(value) is not None
        case "$gt" | "$gte" | "$lt" | "$lte":
            left, right = _sortable(value), _sortable(wanted)
            if left is None or right is None or left[0] != right[0]:
                return False
            below, same = left[1] < right[1], left[1] == right[1]
            return same if op.endswith("e") and same else below == op.startswith("$lt") and not same
    raise RefusedError(f"the filter operator {op}")


def _pattern(text: object) -> re.Pattern[str]:
    if not isinstance(text, str) or _EXPLOSIVE.search(text) or len(text) > 500:
        # A search may take for ever, and Python's can neither be bounded nor stopped.
        raise RefusedError(f"the pattern {text!r}, which repeats a group or more than four parts")
    try:
        return re.compile(text)
    except re.error as error:
        raise RefusedError(f"the pattern {text!r}: {error}") from None


def _equal(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON
    if value is _MISSING:
        return wanted is None
    if isinstance(value, list) and not isinstance(wanted, list):
        return wanted in value
    return bool(value == wanted)


def _value(run: Run, key: str) -> Any:  # noqa: ANN401 - any JSON
    head, _, rest = key.partition(".")
    name = _UPPER.sub("_", head).lower()
    if name == "config" and rest:
        return _inside(run.config, rest.split("."))
    if name in ("summary_metrics", "summary") and rest:
        return _inside(run.summary, rest.split("."))
    if rest or name not in _FIELDS:
        raise RefusedError(f"the filter or order key {key}")
    found = _FIELDS[name](run)
    return _MISSING if found is None else found


def _inside(value: object, parts: list[str]) -> Any:  # noqa: ANN401 - any JSON
    """What lies at a dotted path; keys may hold dots, and W&B's ``value`` level may be left out."""
    if not parts:
        wrapped = isinstance(value, dict) and set(value) <= {"value", "desc"} and "value" in value
        return value["value"] if wrapped and isinstance(value, dict) else value
    if not isinstance(value, dict):
        return _MISSING
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in value:
            return _inside(value[key], parts[length:])
    if "value" in value:
        return _inside(value["value"], parts)
    return _MISSING
