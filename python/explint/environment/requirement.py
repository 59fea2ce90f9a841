"""Requirements, versions and version specifiers (PEP 508 and PEP 440).

Nearly all that packages declare has one plain form, ``name[extra]>=1.2,<2``, which is read here;
``packaging`` reads the rest. Importing it loads logging, subprocess and more, which takes longer
than checking a small package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any

import msgspec

from explint.regex import regex

if TYPE_CHECKING:
    from packaging.markers import Marker
    from packaging.requirements import Requirement as Reference
    from packaging.specifiers import SpecifierSet

_SEPARATORS = regex(r"[-_.]+")
_DIGITS = r"[0-9]{1,9}(?:\.[0-9]{1,9})*"
_RELEASE = regex(_DIGITS)
_CLAUSE = (
    rf"(?:(?:<=|>=|<|>|==|!=)[ \t]*{_DIGITS}|(?:==|!=)[ \t]*{_DIGITS}\.\*"
    rf"|~=[ \t]*{_DIGITS}\.[0-9]{{1,9}})"
)
_CLAUSES = rf"{_CLAUSE}(?:[ \t]*,[ \t]*{_CLAUSE})*"
_PLAIN_SPECIFIERS = regex(rf"[ \t]*(?:{_CLAUSES}[ \t]*)?")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PLAIN_REQUIREMENT = regex(
    rf"[ \t]*({_NAME})[ \t]*(?:\[[ \t]*({_NAME}(?:[ \t]*,[ \t]*{_NAME})*)[ \t]*\][ \t]*)?"
    rf"({_CLAUSES})?[ \t]*"
)
_OPERATORS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<=": le,
    ">=": ge,
    "<": lt,
    ">": gt,
    "==": eq,
    "!=": ne,
}


def canonicalize_name(name: str) -> str:
    """The normalised form of a distribution's name (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def is_version(text: str) -> bool:
    """Whether a text is a version (PEP 440)."""
    if _RELEASE.fullmatch(text):
        return True
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


class Clause(msgspec.Struct, frozen=True):
    """One part of version specifiers: operator and version as written."""

    operator: str
    version: str


class Specifiers:
    """Version specifiers such as ``>=3.10,<3.13``."""

    def __init__(self, text: str, parsed: SpecifierSet | None) -> None:
        self._text = text
        self._parsed = parsed
        """What packaging read; None for the plain form."""

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The parts: in the order written where the form is plain, otherwise in any order."""
        if self._parsed is not None:
            return tuple(Clause(s.operator, s.version) for s in self._parsed)
        found = []
        for part in self._text.split(","):
            stripped = part.strip()
            if stripped:
                length = 2 if stripped[1] in "=" else 1
                found.append(Clause(stripped[:length], stripped[length:].strip()))
        return tuple(found)

    def out_of_reach(self) -> str | None:
        """The highest version asked for with ``>=`` where a ``<`` excludes it, otherwise None."""
        lower = [c.version for c in self.clauses if c.operator == ">="]
        upper = [c.version for c in self.clauses if c.operator == "<"]
        order: Callable[[str], Any] = _significant
        if self._parsed is not None:
            from packaging.version import Version

            order = Version
        if not lower or not upper:
            return None
        highest = max(lower, key=order)
        return highest if order(highest) >= min(map(order, upper)) else None

    def contains(self, version: str, *, prereleases: bool | None = None) -> bool:
        """Whether a version is admitted; ``prereleases`` as in packaging's ``SpecifierSet``."""
        if self._parsed is None and _RELEASE.fullmatch(version):
            release = _release(version)
            return all(_admits(clause, release) for clause in self.clauses)
        return _reference(self._text).contains(version, prereleases=prereleases)


class Requirement(msgspec.Struct, frozen=True):
    """A requirement: the attributes of the one of ``packaging``, with its names and meanings."""

    text: str
    name: str
    extras: frozenset[str]
    specifier: Specifiers
    url: str | None = None
    marker: Marker | None = None

    @property
    def full(self) -> Reference:
        """The requirement as ``packaging`` has it."""
        return _full(self.text)


def read_specifiers(text: str) -> Specifiers | None:
    """Version specifiers, or None where the text is none (PEP 440)."""
    if _PLAIN_SPECIFIERS.fullmatch(text):
        return Specifiers(text, None)
    from packaging.specifiers import InvalidSpecifier

    try:
        return Specifiers(text, _reference(text))
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=4096)
def strict_requirement(text: str) -> Requirement | None:
    """A requirement as PEP 508 has it, or None.

    Kept, because the packages of an audit declare the same few hundred requirements.
    """
    plain = _PLAIN_REQUIREMENT.fullmatch(text)
    if plain is not None:
        extras = frozenset(e.strip() for e in plain[2].split(",")) if plain[2] else frozenset()
        return Requirement(text, plain[1], extras, Specifiers(plain[3] or "", None))
    from packaging.requirements import InvalidRequirement

    try:
        found = _full(text)
    except InvalidRequirement:
        return None
    specifier = Specifiers(str(found.specifier), found.specifier)
    return Requirement(
        text, found.name, frozenset(found.extras), specifier, found.url, found.marker
    )


@lru_cache(maxsize=4096)
def _full(text: str) -> Reference:
    from packaging.requirements import Requirement as Reference

    return Reference(text)


@lru_cache(maxsize=1024)
def _reference(text: str) -> SpecifierSet:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(text)


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _significant(version: str) -> tuple[int, ...]:
    """A release without the zeros at its end, by which releases are ordered."""
    release = _release(version)
    while release and not release[-1]:
        release = release[:-1]
    return release


def _admits(clause: Clause, release: tuple[int, ...]) -> bool:
    """PEP 440's comparison where neither side has more than a release segment."""
    operator, written = clause.operator, clause.version
    if operator == "~=":
        wanted = _release(written)
        kept = len(wanted) - 1
        return _padded(release, kept)[:kept] == wanted[:kept] and _compare(ge, release, wanted)
    if written.endswith(".*"):
        wanted = _release(written[:-2])
        same = _padded(release, len(wanted))[: len(wanted)] == wanted
        return same == (operator == "==")
    return _compare(_OPERATORS[operator], release, _release(written))


def _compare(
    operator: Callable[[tuple[int, ...], tuple[int, ...]], bool],
    one: tuple[int, ...],
    other: tuple[int, ...],
) -> bool:
    length = max(len(one), len(other))
    return operator(_padded(one, length), _padded(other, length))


def _padded(release: tuple[int, ...], length: int) -> tuple[int, ...]:
    return release + (0,) * (length - len(release))
