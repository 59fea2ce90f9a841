"""Which Python grammar a package is judged by."""

from __future__ import annotations

import tomllib

from explint.package import Package

DEFAULT_MINOR = 11
_LOWEST, _HIGHEST = 7, 14


def target_minor(package: Package) -> int:
    """The minor version of Python 3 that ``requires-python`` calls for.

    3.11 when it is admitted or nothing is said; else the lowest version that is. A declaration that
    cannot be read is some env rule's business and changes nothing here.
    """
    file = package.files.get("pyproject.toml")
    if file is None or not file.data or b"requires-python" not in file.data:
        return DEFAULT_MINOR
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        project = tomllib.loads(file.data.decode("utf-8-sig")).get("project")
        declared = project.get("requires-python") if isinstance(project, dict) else None
        wanted = SpecifierSet(declared) if isinstance(declared, str) else SpecifierSet()
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, InvalidSpecifier):
        return DEFAULT_MINOR
    if wanted.contains(f"3.{DEFAULT_MINOR}.0"):
        return DEFAULT_MINOR
    # A patch release far along, because ">3.12" and ">=3.12.4" mean the 3.12 series too.
    admitted = [m for m in range(_LOWEST, _HIGHEST + 1) if wanted.contains(f"3.{m}.99")]
    return admitted[0] if admitted else DEFAULT_MINOR
