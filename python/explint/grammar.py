"""Which Python grammar a package is judged by."""

from __future__ import annotations

import tomli

from explint.package import Package
from explint.regex import regex

DEFAULT_MINOR = 11
_LOWEST, _HIGHEST = 7, 14

# What nearly every project declares: a minor version to start from and perhaps one to stay below.
_USUAL = regex(r"\s*>=\s*3\.([0-9]{1,2})(?:\.0)?\s*(?:,\s*<\s*(?:4(?:\.0)*|3\.([0-9]{1,2}))\s*)?")


def target_minor(package: Package) -> int:
    """The minor version of Python 3 that ``requires-python`` calls for.

    3.11 when it is admitted or nothing is said; else the lowest version that is. A declaration that
    cannot be read is some env rule's business and changes nothing here.
    """
    file = package.files.get("pyproject.toml")
    if file is None or not file.data or b"requires-python" not in file.data:
        return DEFAULT_MINOR
    try:
        project = tomli.loads(file.data.decode("utf-8-sig")).get("project")
    except (UnicodeDecodeError, tomli.TOMLDecodeError, RecursionError):
        return DEFAULT_MINOR
    declared = project.get("requires-python") if isinstance(project, dict) else None
    if not isinstance(declared, str):
        return DEFAULT_MINOR
    usual = _USUAL.fullmatch(declared)
    if usual and int(usual[1]) <= DEFAULT_MINOR < int(usual[2] or _HIGHEST):
        return DEFAULT_MINOR
    return _admitted(declared)


def _admitted(declared: str) -> int:
    # Costs more to import than the rest of a small check takes.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(declared)
    except InvalidSpecifier:
        return DEFAULT_MINOR
    if wanted.contains(f"3.{DEFAULT_MINOR}.0"):
        return DEFAULT_MINOR
    # A patch release far along, because ">3.12" and ">=3.12.4" mean the 3.12 series too.
    admitted = [m for m in range(_LOWEST, _HIGHEST + 1) if wanted.contains(f"3.{m}.99")]
    return admitted[0] if admitted else DEFAULT_MINOR
