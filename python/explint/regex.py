"""Regular expressions that are compiled when they are first used.

A check of one small package uses half of explint's patterns, and compiling all of them would take a
good part of its start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast


class _Lazy:
    """Stands for a compiled pattern until one of its attributes is asked for."""

    def __init__(self, source: str, flags: int, words: Sequence[str]) -> None:
        self._source = source
        self._flags = flags
        self._words = words

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a pattern
        value = getattr(re.compile(self._source, self._flags), name)
        if name == "search" and self._words:
            value = _searching(value, self._words, any_case=bool(self._flags & re.IGNORECASE))
        # Found without this method the next time.
        setattr(self, name, value)
        return value


def regex(source: str, flags: int = 0, *, words: Sequence[str] = ()) -> re.Pattern[str]:
    """``re.compile(source, flags)``, done at the first ``match``, ``search``, ``sub`` …

    The functions of ``re`` itself take no such pattern, only its own methods work. A mistake in
    ``source`` shows at the first use.

    With ``words``, ``search`` takes a text alone, and runs the expression only where one of them
    stands in it, which is many times faster. They are in lower case where the pattern ignores case.
    """
    return cast("re.Pattern[str]", _Lazy(source, flags, words))


def _searching(
    search: Callable[[str], re.Match[str] | None], words: Sequence[str], *, any_case: bool
) -> Callable[[str], re.Match[str] | None]:
    def searching(text: str) -> re.Match[str] | None:
        looked_at = text.lower() if any_case else text
        for word in words:
            if word in looked_at:
                return search(text)
        return None

    return searching


def lines_with(text: str, words: Sequence[str]) -> list[tuple[int, str]]:
    """The lines of a text that hold one of ``words``, with their numbers from 1, in order."""
    starts: set[int] = set()
    for word in words:
        at = text.find(word)
        while at >= 0:
            starts.add(text.rfind("\n", 0, at) + 1)
            end = text.find("\n", at)
            at = text.find(word, end) if end >= 0 else -1
    found = []
    number, before = 1, 0
    for start in sorted(starts):
        number += text.count("\n", before, start)
        before = start
        end = text.find("\n", start)
        found.append((number, text[start : end if end >= 0 else len(text)]))
    return found
