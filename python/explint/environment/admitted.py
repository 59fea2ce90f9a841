"""Which releases of a library an experiment gets, or may get.

uv installs the newest release that pyproject.toml and the other requirements admit, or what uv.lock
says. Only the releases of the table are known: what lies between two of them is known where both
agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from explint.environment.distributions import distributions
from explint.environment.libraries import Release, releases
from explint.environment.pyproject import Declared, Pyproject, parse_requirement
from explint.environment.view import Environment
from explint.regex import regex

PYTHONS = tuple(f"3.{minor}" for minor in range(8, 15))
_USUAL = ("3.11", "3.12", "3.13", "3.14")
_LOCKED = regex(r'^\[\[package\]\]\r?\nname = "([^"\n]+)"\r?\nversion = "([^"\n]+)"', re.MULTILINE)


class Choice(msgspec.Struct, frozen=True):
    """The releases of one library that an experiment may get, as numbers in ``releases``.

    ``newest`` are those of which one is installed: more than one where it depends on the Python
    that runs, or where the release itself is not in the table, but its neighbours are. ``asked`` is
    what asks for the library, for messages. ``is_sure`` is false where a distribution that the
    table does not know may hold the library back. ``has_floor`` says whether a lower bound stands
    in pyproject.toml.
    """

    name: str
    releases: tuple[Release, ...]
    admitted: tuple[int, ...]
    newest: tuple[int, ...]
    asked: str
    declared: Declared | None = None
    is_sure: bool = True
    has_floor: bool = False


class Bound(msgspec.Struct, frozen=True):
    """Who asks for which versions of a distribution."""

    by: str
    specifier: SpecifierSet
    declared: Declared | None = None


class Admitted(msgspec.Struct, dict=True):
    """What pyproject.toml and uv.lock say of the libraries of the table."""

    file: Pyproject
    declared: list[Declared]
    pythons: tuple[str, ...]
    locked: dict[str, list[Version]]
    _choices: dict[str, Choice | None] = msgspec.field(default_factory=dict)

    def choice(self, name: str) -> Choice | None:
        """The releases of a library that the experiment may get; None when that is not known."""
        if name not in self._choices:
            self._choices[name] = None
            self._choices[name] = self._choose(name)
        return self._choices[name]

    def own(self, name: str) -> list[Declared] | None:
        """The requirements on a distribution; None where one holds only sometimes, or where the
        distribution comes from elsewhere than the index."""
        found = [d for d in self.declared if d.name == name]
        sources = self.file.uv.get("sources")
        named = {canonicalize_name(key) for key in sources} if isinstance(sources, dict) else set()
        overridden = [
            requirement.name
            for key in ("override-dependencies", "constraint-dependencies")
            for item in self.file.uv.get(key) or ()
            if isinstance(item, str) and (requirement := parse_requirement(item)) is not None
        ]
        if name in named or name in {canonicalize_name(n) for n in overridden}:
            return None
        if any(d.requirement.marker is not None or d.requirement.url for d in found):
            return None
        return found

    @cached_property
    def is_settled(self) -> bool:
        """Whether uv.lock answers all that pyproject.toml asks: if not, uv resolves anew."""
        return bool(self.locked) and all(
            d.requirement.marker is not None
            or (d.name in self.locked and _admits(d, self.locked[d.name]))
            for d in self.declared
        )

    def runs_on(self, release: Release, python: str) -> bool:
        """Whether a release runs on a Python such as ``3.11``."""
        return _holds(release.python, f"{python}.9")

    def _choose(self, name: str) -> Choice | None:
        known = releases(name)
        own = self.own(name)
        if not known or own is None:
            return None
        locked = self.locked.get(name, [])
        if locked and all(_admits(d, locked) for d in own):
            found = [_around(known, version) for version in locked]
            if any(not pair for pair in found):
                return None
            numbers = tuple(sorted({n for pair in found for n in pair}))
            return Choice(name, known, numbers, numbers, "uv.lock")
        if not locked and self.is_settled:
            # It is not installed at all.
            return None
        bounds = [Bound("", d.requirement.full.specifier, d) for d in own]
        helpers = self._helpers(name)
        bounds += [bound for bound, _ in helpers if bound is not None]
        if not own and not helpers:
            return None
        specifier = SpecifierSet()
        for bound in bounds:
            specifier &= bound.specifier
        pinned = _pin(specifier)
        if pinned is not None and all(r.version != pinned for r in known):
            numbers = _around(known, pinned)
            newest = numbers
        else:
            numbers = _running(name, str(specifier), self.pythons)
            newest = self._newest(known, numbers, specifier, is_pinned=pinned is not None)
        if not numbers:
            return None
        declared = own[0] if own else None
        asked = str(declared.requirement.full) if declared is not None else helpers[0][1]
        floor = declared is not None and any(
            s.operator in (">=", ">", "~=", "==") for s in declared.requirement.full.specifier
        )
        return Choice(
            name,
            known,
            numbers,
            newest,
            asked,
            declared,
            is_sure=all(bound is not None for bound, _ in helpers),
            has_floor=floor,
        )

    def _newest(
        self,
        known: Sequence[Release],
        numbers: tuple[int, ...],
        asked: SpecifierSet,
        *,
        is_pinned: bool,
    ) -> tuple[int, ...]:
        usual = [p for p in self.pythons if p in _USUAL] or list(self.pythons)
        found = set()
        for python in usual:
            running = [n for n in numbers if self.runs_on(known[n], python)]
            found |= set(running[-1:])
        last = max(numbers, default=-1)
        following = known[last + 1] if 0 <= last < len(known) - 1 else None
        if following is not None and not is_pinned and not asked.contains(following.version):
            # A release between the two may be admitted, and is not in the table.
            found.add(last + 1)
        return tuple(sorted(found))

    def _helpers(self, name: str) -> list[tuple[Bound | None, str]]:
        """What other declared distributions ask of a library; None where that is not known."""
        found: list[tuple[Bound | None, str]] = []
        table = distributions()
        for declared in self.declared:
            if declared.name == name:
                continue
            if releases(declared.name):
                specifier = str(declared.requirement.full.specifier)
                newest = _newest_of(declared.name, specifier, self.pythons)
                if newest is None:
                    continue
                by = f"{declared.name} {newest.version}"
                for asked in _asked_by(declared.name, newest.version).get(name, ()):
                    found.append((Bound(by, asked), by))
            elif name in table.closure([(declared.name, declared.requirement.extras)]):
                found.append((None, declared.name))
        return found


# Few libraries, specifiers and versions of Python meet in many packages.


@lru_cache(maxsize=4096)
def _newest_of(name: str, specifier: str, pythons: tuple[str, ...]) -> Release | None:
    """The newest release of a library that a specifier admits and that runs on one Python."""
    admitted = SpecifierSet(specifier)
    for release in reversed(releases(name)):
        runs = any(_holds(release.python, f"{python}.9") for python in pythons)
        if runs and admitted.contains(release.version):
            return release
    return None


@lru_cache(maxsize=4096)
def _running(name: str, specifier: str, pythons: tuple[str, ...]) -> tuple[int, ...]:
    """The releases of a library that a specifier admits and that run on one Python."""
    admitted = SpecifierSet(specifier)
    return tuple(
        n
        for n, release in enumerate(releases(name))
        if admitted.contains(release.version)
        and any(_holds(release.python, f"{python}.9") for python in pythons)
    )


@lru_cache(maxsize=1024)
def _asked_by(name: str, version: Version) -> dict[str, list[SpecifierSet]]:
    """What a release of a library asks of other distributions, whatever the environment."""
    found: dict[str, list[SpecifierSet]] = {}
    for release in releases(name):
        if release.version == version:
            for requirement in release.requires:
                if requirement.marker is None:
                    asked = found.setdefault(canonicalize_name(requirement.name), [])
                    asked.append(requirement.specifier)
    return found


def admitted_by(environment: Environment) -> Admitted | None:
    """What a package's files say of the libraries it gets; None when they do not tell."""
    file = environment.file
    if not isinstance(file, Pyproject) or file.project is None or not file.is_readable():
        return None
    if "dependencies" in file.dynamic or "workspace" in file.uv:
        return None
    if environment.is_lock_unread or (not environment.is_uv and environment.others):
        return None
    declared = file.installed() if environment.is_uv else file.everything()
    text = file.project.get("requires-python")
    wanted = text if isinstance(text, str) else ""
    pythons = tuple(p for p in PYTHONS if _holds(wanted, f"{p}.9") or _holds(wanted, f"{p}.0"))
    return Admitted(
        file=file,
        declared=[d for d in declared if d.name != file.name],
        pythons=pythons,
        locked=_locked(environment.lock_text),
    )


def _locked(text: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in _LOCKED.findall(text):
        try:
            found.setdefault(canonicalize_name(name), []).append(Version(version))
        except InvalidVersion:
            continue
    return found


def _admits(declared: Declared, versions: Sequence[Version]) -> bool:
    """Whether a requirement admits one of some versions."""
    if declared.requirement.url:
        return True
    specifier = declared.requirement.full.specifier
    return any(specifier.contains(version, prereleases=True) for version in versions)


def _around(known: Sequence[Release], version: Version) -> tuple[int, ...]:
    """The release of a version, or its two neighbours; none beyond what was read."""
    public = Version(version.public)
    same = tuple(n for n, release in enumerate(known) if release.version == public)
    if same:
        return same
    below = [n for n, release in enumerate(known) if release.version < public]
    above = [n for n, release in enumerate(known) if release.version > public]
    return (below[-1], above[0]) if below and above else ()


def _pin(specifier: SpecifierSet) -> Version | None:
    """The version that ``==1.2.3`` asks for."""
    for one in specifier:
        if one.operator == "==" and not one.version.endswith(".*"):
            return Version(Version(one.version).public)
    return None


@lru_cache(maxsize=4096)
def _holds(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version)
    except InvalidSpecifier:
        return True
