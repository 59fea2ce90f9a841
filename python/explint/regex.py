"""Regular expressions that are compiled when they are first used.

A check of one small package uses half of explint's patterns, and compiling all of them would take a
good part of its start.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    """Stands for a compiled pattern until one of its attributes is asked for."""

    def __init__(self, source: str, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a pattern
        value = getattr(re.compile(self._source, self._flags), name)
        # Found without this method the next time.
        setattr(self, name, value)
        return value


def regex(source: str, flags: int = 0) -> re.Pattern[str]:
    """``re.compile(source, flags)``, done at the first ``match``, ``search``, ``sub`` …

    The functions of ``re`` itself take no such pattern, only its own methods work. A mistake in
    ``source`` shows at the first use.
    """
    return cast("re.Pattern[str]", _Lazy(source, flags))
