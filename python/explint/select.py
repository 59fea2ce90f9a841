"""Which rules are shown: selectors by name, code, family or criterion.

Selection changes what is shown and the exit code, never the verdict: every rule runs all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from explint.model import CRITERIA, Rule, RuleStatus
from explint.nearmiss import did_you_mean
from explint.regex import regex

EVERYTHING = "all"
_CRITERION = regex(r"criterion:([0-9]+)", re.IGNORECASE)


class SelectorError(ValueError):
    """A selector that names no rule, code, family or criterion; ``help`` says what was meant."""

    def __init__(self, selector: str, help: str) -> None:
        super().__init__(f"unknown rule selector `{selector}`")
        self.selector = selector
        self.help = help


class _Reach(IntEnum):
    """How narrowly a selector names a rule; the narrower one wins."""

    NONE = 0
    EVERYTHING = 1
    CRITERION = 2
    FAMILY = 3
    RULE = 4


def expand(selector: str, rules: Sequence[Rule]) -> tuple[frozenset[str], int]:
    """The names of the rules a selector means, and how narrow it is (larger is narrower).

    Selectors are ``all``, ``criterion:5``, a family (``structure``), a name
    (``structure/missing-file``) or a code (``STR001``); codes may be written in lower case.
    Raises SelectorError for anything else.
    """
    word = selector.strip()
    if word == EVERYTHING:
        return frozenset(r.name for r in rules), _Reach.EVERYTHING
    if match := _CRITERION.fullmatch(word):
        number = int(match[1])
        if number not in CRITERIA:
            raise SelectorError(selector, f"Criteria are numbered 1 to {max(CRITERIA)}.")
        return frozenset(r.name for r in rules if number in r.criteria), _Reach.CRITERION
    named = frozenset(r.name for r in rules if word == r.name or word.upper() == r.code)
    if named:
        return named, _Reach.RULE
    family = frozenset(r.name for r in rules if r.family == word)
    if family:
        return family, _Reach.FAMILY
    raise SelectorError(selector, _selector_help(word, rules))


def _selector_help(word: str, rules: Sequence[Rule]) -> str:
    if match := re.fullmatch(r"[cC]([1-9])", word):
        return f"A criterion is written `criterion:{match[1]}`."
    vocabulary = {r.name for r in rules} | {r.code for r in rules} | {r.family for r in rules}
    return (
        did_you_mean(word, vocabulary)
        or "Name a rule, a code, a family, `criterion:N` or `all`; `explint rules` lists them."
    )


class Selection(msgspec.Struct, frozen=True):
    """The rules to show. ``notes`` are remarks for the user, such as a deprecated rule selected."""

    shown: frozenset[str]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_selectors(
        cls,
        select: Iterable[str],
        ignore: Iterable[str],
        rules: Sequence[Rule],
        *,
        preview: bool = False,
    ) -> Selection:
        """Decides each rule by the narrowest selector that means it; on a tie it is ignored.

        An empty ``select`` means ``all``. A preview rule is shown when it is selected by its own
        name or code, or when ``preview`` is set. The *internal* family, which says that a rule
        failed, is shown whatever is selected, until it is ignored. Raises SelectorError.
        """
        wanted = _reaches(tuple(select) or (EVERYTHING,), rules)
        unwanted = _reaches(ignore, rules)
        shown = set()
        notes = []
        for rule in rules:
            reach = wanted.get(rule.name, _Reach.NONE)
            if rule.status is RuleStatus.PREVIEW and not preview and reach < _Reach.RULE:
                continue
            if rule.family == "internal":
                reach = max(reach, _Reach.EVERYTHING)
            if reach <= unwanted.get(rule.name, _Reach.NONE):
                continue
            shown.add(rule.name)
            if rule.status is RuleStatus.DEPRECATED and reach is _Reach.RULE:
                notes.append(f"{rule.name} is deprecated; `explint rule {rule.name}` says why")
        return cls(shown=frozenset(shown), notes=tuple(notes))

    def shows(self, rule: Rule | str) -> bool:
        """Whether findings of this rule (or rule name) are shown."""
        return (rule if isinstance(rule, str) else rule.name) in self.shown


def _reaches(selectors: Iterable[str], rules: Sequence[Rule]) -> dict[str, int]:
    reaches: dict[str, int] = {}
    for selector in selectors:
        names, reach = expand(selector, rules)
        for name in names:
            reaches[name] = max(reach, reaches.get(name, 0))
    return reaches
