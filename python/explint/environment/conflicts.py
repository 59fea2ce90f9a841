"""Requirements that no set of published versions satisfies, as far as the table tells."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from explint.environment.admitted import Admitted
from explint.environment.libraries import Release, is_complete, releases, span
from explint.environment.pyproject import Declared


class Conflict(msgspec.Struct, frozen=True):
    """Requirements that exclude each other; ``declared`` is the one to tell of."""

    declared: Declared
    message: str
    help: str
    others: tuple[Declared, ...] = ()


def conflicts(admitted: Admitted) -> Iterator[Conflict]:
    """The contradictions between what is declared, in the order of pyproject.toml; each
    distribution is part of one at most."""
    told: set[str] = set()
    for declared in admitted.declared:
        own = admitted.own(declared.name)
        if declared.name in told or not own:
            continue
        found = (
            _with_itself(own)
            or _with_python(admitted, declared)
            or _with_others(admitted, declared, told)
        )
        if found is not None:
            told |= {found.declared.name, *(other.name for other in found.others)}
            yield found


def _with_itself(own: list[Declared]) -> Conflict | None:
    specifier = SpecifierSet()
    for declared in own:
        specifier &= declared.requirement.full.specifier
    if not is_empty(specifier):
        return None
    name = own[0].name
    return Conflict(
        own[0],
        f"No version of {name} satisfies `{name}{specifier}`: uv finds no solution.",
        f"Give {name} bounds with a version between them.",
        tuple(own[1:]),
    )


def _with_python(admitted: Admitted, declared: Declared) -> Conflict | None:
    promised = (admitted.file.project or {}).get("requires-python")
    lowest = _lowest(promised) if isinstance(promised, str) else None
    if lowest is None:
        return None
    known = _all_admitted(declared)
    floors = [_lowest(release.python) for release in known or ()]
    if not floors or any(floor is None or floor <= lowest for floor in floors):
        return None
    least = min(floor for floor in floors if floor is not None)
    return Conflict(
        declared,
        f"`{declared.requirement.full}` needs Python {least} or newer, but `requires-python` "
        f'promises "{promised}", and uv resolves for that too.',
        f'Write `requires-python = ">={least}"`, or admit an older {declared.name}.',
    )


def _with_others(admitted: Admitted, declared: Declared, told: set[str]) -> Conflict | None:
    known = _all_admitted(declared)
    if not known:
        return None
    for other in admitted.declared:
        own = admitted.own(other.name)
        if other.name == declared.name or not own or other.name in told:
            continue
        wanted = SpecifierSet()
        for one in own:
            wanted &= one.requirement.full.specifier
        asked = [_demanded(release, other.name) for release in known]
        if any(one is None or not excludes(one, wanted) for one in asked):
            continue
        needs = list(dict.fromkeys(str(one) for one in asked))
        needed = f"{other.name}{needs[0]}" if len(needs) == 1 else f"other versions of {other.name}"
        versions = span([release.version for release in known])
        return Conflict(
            declared,
            f"{declared.name} {versions} needs `{needed}`, which excludes "
            f"`{other.requirement.full}`: uv finds no solution."
            if len(needs) == 1
            else f"{declared.name} {versions} needs {needed} than `{other.requirement.full}`: uv "
            "finds no solution.",
            _pairing(declared, other, wanted),
            (other,),
        )
    return None


def _pairing(declared: Declared, other: Declared, wanted: SpecifierSet) -> str:
    """Releases of the one that go with what is asked of the other."""
    fitting = [
        release.version
        for release in releases(declared.name)
        if (asked := _demanded(release, other.name)) is not None and not excludes(asked, wanted)
    ]
    if not fitting:
        return f"Drop the bounds of {declared.name} or of {other.name}."
    return f'Ask for "{declared.name}=={fitting[-1]}", or drop the bounds of {declared.name}.'


def _demanded(release: Release, name: str) -> SpecifierSet | None:
    """The versions of a distribution that a release needs always; None when it does not."""
    found: SpecifierSet | None = None
    for requirement in release.requires:
        if canonicalize_name(requirement.name) == name and requirement.marker is None:
            found = requirement.specifier if found is None else found & requirement.specifier
    return found


def _all_admitted(declared: Declared) -> list[Release] | None:
    """The releases that a requirement admits; None when others than those of the table may be."""
    known = releases(declared.name)
    specifier = declared.requirement.full.specifier
    pins = [s for s in specifier if s.operator == "==" and not s.version.endswith(".*")]
    if pins:
        wanted = Version(Version(pins[0].version).public)
        return [release for release in known if release.version == wanted] or None
    lower = [low for one in specifier if (low := _lower(one)) is not None]
    if not known or not is_complete(declared.name) or not lower:
        return None
    if max(lower)[0] < known[0].version or specifier.contains(known[-1].version):
        # There may be older ones, or newer ones than the table has.
        return None
    return [release for release in known if specifier.contains(release.version)] or None


def excludes(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether no version satisfies both."""
    return is_empty(one & other)


def is_empty(specifier: SpecifierSet) -> bool:
    """Whether no version at all satisfies a set; where that is not sure, it is not said."""
    pins = [
        Version(one.version)
        for one in specifier
        if one.operator == "==" and not one.version.endswith(".*")
    ]
    if pins:
        return not any(specifier.contains(pin, prereleases=True) for pin in pins)
    lower = [bound for one in specifier if (bound := _lower(one)) is not None]
    upper = [bound for one in specifier if (bound := _upper(one)) is not None]
    if not lower or not upper:
        return False
    least, most = max(lower)[0], min(upper)[0]
    is_taken = all(takes for version, takes in (*lower, *upper) if version == least)
    return least > most or (least == most and not is_taken)


def _lower(one: Specifier) -> tuple[Version, bool] | None:
    if one.operator in (">=", "~="):
        return Version(one.version), True
    if one.operator == ">":
        return Version(one.version), False
    if one.operator == "==" and one.version.endswith(".*"):
        return Version(one.version[:-2]), True
    return None


def _upper(one: Specifier) -> tuple[Version, bool] | None:
    match one.operator:
        case "<":
            return Version(one.version), False
        case "<=":
            return Version(one.version), True
        case "~=":
            return _next(Version(one.version).release[:-1]), False
        case "==" if one.version.endswith(".*"):
            return _next(Version(one.version[:-2]).release), False
    return None


def _next(release: tuple[int, ...]) -> Version:
    return Version(".".join(map(str, (*release[:-1], release[-1] + 1))))


def _lowest(specifier: str) -> Version | None:
    """The lower bound of a requires-python; None without one."""
    try:
        lower = [low for one in SpecifierSet(specifier) if (low := _lower(one)) is not None]
    except InvalidSpecifier:
        return None
    return max(lower)[0] if lower else None
