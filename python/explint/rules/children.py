"""Rules about what reaches the processes that the experiment starts: criteria 2 and 3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from explint.model import Related
from explint.rules.registry import Hit, Unknown
from explint.rules.started import child_config, started, target

if TYPE_CHECKING:
    from explint.compose.errors import CompositionError
    from explint.compose.static import Composed
    from explint.experiment import Experiment


class _Refused(msgspec.Struct):
    """The words of one call that Hydra refuses for one kind of reason, over all runs and modes."""

    path: str
    line: int
    child: str
    is_syntax: bool
    words: dict[str, tuple[str, CompositionError, Composed | None]] = msgspec.field(
        default_factory=dict
    )
    runs: dict[str, None] = msgspec.field(default_factory=dict)
    modes: dict[str, None] = msgspec.field(default_factory=dict)


def child_overrides(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Answers hydra/bad-override for the processes that the training command's entry starts."""
    from explint.trace.children import Word, keys_of_words

    seen = started(experiment)
    if seen is None:
        return
    if seen.unknown is not None:
        yield seen.unknown
        return
    found: dict[tuple[str, int, int, bool], _Refused] = {}
    for start in seen.starts:
        for child in start.children:
            path = target(experiment, child)
            if child.state is not True or path is None:
                continue
            point = experiment.entry_at(path)
            words = [w for w in child.words if isinstance(w, Word)]
            if isinstance(point, str) or len(words) < len(child.words):
                continue
            # Options such as --config-name change what the words are judged by.
            if any(w.text.startswith("-") for w in words) or None in keys_of_words(words):
                continue
            inexact = frozenset(n for n, w in enumerate(words) if not w.exact)
            config = child_config(experiment, point, tuple(w.text for w in words), inexact)
            place = child.event.place
            for number, error in config.refused:
                is_syntax = error.kind in ("override-syntax", "sweep")
                carried = words[number].text.partition("=")[2]
                if is_syntax and carried == start.run_id and experiment.refused(carried):
                    # The id itself is at fault, and hydra/unsafe-run-id names it.
                    continue
                key = (seen.path_of(place), place.line, place.column, is_syntax)
                group = found.setdefault(
                    key, _Refused(key[0], place.line, child.module or path, is_syntax)
                )
                group.runs[start.run_id] = None
                group.modes[start.mode] = None
                name = keys_of_words([words[number]])[0] or ""
                group.words.setdefault(name, (words[number].text, error, config.composed))
    total = len({s.mode for s in seen.starts})
    for group in found.values():
        yield _refused_hit(experiment, group, total)


def _refused_hit(experiment: Experiment, group: _Refused, modes: int) -> Hit:
    places = {
        name: _place(experiment, group, name, text) for name, (text, _, _) in group.words.items()
    }
    first, *others = group.words
    text, error, composed = group.words[first]
    path, line, column = places[first]
    related = [
        Related(
            path=places[name][0],
            line=places[name][1],
            message=f"`{group.words[name][0]}` is refused too.",
        )
        for name in others
    ]
    if line != group.line:
        related.append(Related(path=group.path, line=group.line, message="The process is started."))
    value = text.partition("=")[2]
    if group.is_syntax and value.startswith(("{", "[")) and len(value) > _LONGEST:
        message = (
            f"The whole section is handed to {group.child} as `{first}={value[:_LONGEST]}…`, which "
            f"Hydra does not take: {error.message.rstrip('.')}."
        )
        help = (
            f"Hand on the name of the option, such as `{first}={{cfg.{first}.run_id}}`, or its "
            "values one by one."
        )
    elif group.is_syntax:
        message = (
            f"`{text}` is handed to {group.child} as it is, and Hydra's override grammar does "
            f"not take the value: {error.message.rstrip('.')}."
        )
        help = (
            f"Quote the value for Hydra, as in `f\"{first}='{{…}}'\"`, or give it no characters "
            "beyond letters, digits, `-`, `_` and `.`."
            if value
            else "Write the override as `key=value`."
        )
    elif error.kind in ("not-in-struct", "cannot-add", "cannot-delete"):
        others_too = f", nor {_listed([f'`{o}`' for o in others])}" if others else ""
        message = (
            f"`{text}` is handed to {group.child}, whose config has no `{first}`{others_too}: "
            f'Hydra stops with "{error.message.rstrip(".")}".'
        )
        elsewhere = _elsewhere({} if composed is None else composed.value, first)
        help = (
            f"Write `{elsewhere}={value}`, where the config has it."
            if elsewhere
            else f"Define `{first}` in the config, or write `+{first}={value}` to add it."
        )
    else:
        message = f"`{text}` is handed to {group.child}, and Hydra refuses it: {error.message}"
        message = message.rstrip(".") + "."
        help = "Hand on the name of an option that has a file, as the parent got it."
    return Hit(
        path=path,
        line=line,
        column=column,
        message=message,
        help=help,
        related=tuple(related),
        runs=tuple(group.runs),
        modes=tuple(m for m in group.modes if m) if len(group.modes) < modes else (),
    )


def _place(experiment: Experiment, group: _Refused, key: str, text: str) -> tuple[str, int, int]:
    """Where the word is written: the literal that begins like it, else the call."""
    lines = (experiment.text(group.path) or "").split("\n")
    for start in (text, f"{key}="):
        written = re.compile(rf"""["']\+*{re.escape(start)}""")
        for number, line in enumerate(lines, 1):
            match = written.search(line)
            if match is not None:
                return group.path, number, match.start() + 1
    return group.path, group.line, 1


def _elsewhere(tree: Mapping[Any, Any], key: str) -> str | None:
    """The one path at which a config has the keys below another section."""
    parts = key.split(".")
    found = []
    for section, inner in tree.items():
        at: Any = inner
        for part in parts:
            at = at.get(part, _NOTHING) if isinstance(at, dict) else _NOTHING
        if at is not _NOTHING:
            found.append(f"{section}.{key}")
    return found[0] if len(found) == 1 else None


_NOTHING = object()
_LONGEST = 40
"""How many characters of a section are shown."""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
