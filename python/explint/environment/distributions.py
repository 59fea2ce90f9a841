"""Which distributions bring which modules, and which other distributions come with them.

The table is generated from published metadata (``scripts/refresh_distributions.py``). It errs on
the side of bringing too much: what any Python from 3.10 to 3.13 needs on Linux counts as needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from explint.environment.requirement import Requirement, canonicalize_name


class Distributions(msgspec.Struct, frozen=True):
    """The table. ``rows`` maps normalised names to what is known of a distribution."""

    listed: frozenset[str]
    modules: dict[str, list[str]]
    rows: dict[str, dict[str, Any]]
    _closures: dict[tuple[str, str, bool], frozenset[str]] = msgspec.field(default_factory=dict)

    def bringing(self, module: str) -> list[str]:
        """The distributions that bring a module, the one to declare first; none when unknown."""
        return self.modules.get(module, [])

    def is_known(self, name: str) -> bool:
        """Whether the name is one of a real distribution, as far as the table goes."""
        return name in self.rows or name in self.listed

    def holds_back(self, requirement: Requirement) -> bool:
        """Whether a requirement excludes the release that the table describes."""
        version = self.rows.get(canonicalize_name(requirement.name), {}).get("version")
        return version is not None and not requirement.specifier.contains(version, prereleases=True)

    def closure(
        self, declared: Iterable[tuple[str, Iterable[str]]], *, earlier: bool = False
    ) -> set[str]:
        """The distributions that come with (name, extras), themselves included.

        ``earlier`` counts what only earlier releases need as well.
        """
        pairs = {(name, extra) for name, extras in declared for extra in ("", *extras)}
        return {name for pair in pairs for name in self._closure(*pair, earlier)}

    def _closure(self, name: str, extra: str, earlier: bool) -> frozenset[str]:
        kept = self._closures.get((name, extra, earlier))
        if kept is not None:
            return kept
        seen: set[tuple[str, str]] = set()
        waiting = [(name, extra)]
        while waiting:
            pair = waiting.pop()
            if pair in seen:
                continue
            seen.add(pair)
            row = self.rows.get(pair[0], {})
            if pair[1]:
                needed = row.get("extras", {}).get(canonicalize_name(pair[1]), [])
            else:
                needed = [*row.get("requires", []), *(row.get("earlier", []) if earlier else ())]
            for item in needed:
                base, _, extras = item.rstrip("]").partition("[")
                waiting += [(base, wanted) for wanted in ("", *filter(None, extras.split(",")))]
        found = frozenset(base for base, _ in seen)
        if name in self.rows:
            self._closures[name, extra, earlier] = found
        return found

    def may_bring_more(self, name: str, extras: Iterable[str]) -> bool:
        """Whether a declared distribution may come with others that the table does not know."""
        row = self.rows.get(name)
        if row is None:
            return True
        known = row.get("extras", {})
        return any(canonicalize_name(extra) not in known for extra in extras)


@cache
def distributions() -> Distributions:
    """The table, read once."""
    text = Path(__file__).with_name("data").joinpath("distributions.json").read_text("utf-8")
    data = json.loads(text)
    return Distributions(frozenset(data["listed"]), data["modules"], data["distributions"])
