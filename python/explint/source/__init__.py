"""Turns locations into packages, lazily and one at a time.

A location is a package folder, a folder of packages, a judge record (``.txt``), JSON or JSONL, an
archive, one source file, ``-`` for standard input, or, with a revision, a path in a git
repository. Bad input never raises: it gives an ``InputError``, or a ``File`` with its failure. A
location with nothing to check in it yields nothing.
"""

# What only some kinds of source need is imported where it is needed: a package folder must be read
# without waiting for archive formats, git or YAML to load.

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from explint.model import InputError, SourceInfo
from explint.package import Package
from explint.source.find import load_package
from explint.source.folder import (
    folder_packages,
    is_bare,
    os_reason,
    single_file,
    special_kind,
    text_files,
)
from explint.source.limits import Limits, size_text
from explint.source.tree import MemoryTree, RefusedError, bytes_leaf, clean_path, printable

_KINDS = (
    "explint reads a folder, a .txt judge record, .json, .jsonl, .zip, .tar.gz, .tar.zst, one "
    ".py, .yaml or .toml file, or - for standard input"
)


def open_sources(
    locations: Sequence[str],
    *,
    rev: str | None = None,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Package | InputError]:
    """Yields the packages at the locations, in their order, and an error for each bad input.

    Within a location the order is that of paths, rows, or for a tar archive of its members; in a
    folder the records come after the packages they lie beside. At most one package is held at a
    time. Ids are unique within one call: a second ``a`` becomes
    ``LOCATION/a`` or ``a~2``. With ``rev`` every location is read from that git revision. What is
    named twice, however it is written, is read once.
    """
    seen: set[str] = set()
    named: set[str] = set()
    for location in locations:
        place = _place(location)
        if place is not None:
            if place in named:
                continue
            named.add(place)
        for item in open_location(location, rev=rev, limits=limits, stdin=stdin):
            yield _with_unique_id(item, seen) if isinstance(item, Package) else item


def open_location(
    location: str,
    *,
    rev: str | None = None,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Package | InputError]:
    """The packages at one location, as ``open_sources`` yields them; ids may occur twice."""
    return _open(location, rev, limits or Limits(), stdin)


def _place(location: str) -> str | None:
    """What an existing file or folder is really called, None for anything else."""
    try:
        return os.path.realpath(location, strict=True)
    except (OSError, ValueError):
        return None


def package_of_files(
    files: Mapping[str, str | bytes], *, package_id: str = "files", limits: Limits | None = None
) -> Package:
    """A whole package from contents by path, for callers that hold them in memory.

    Raises ValueError for a path that is absolute, empty or leads out of the package.
    """
    limits = limits or Limits()
    tree = MemoryTree()
    for name, content in files.items():
        try:
            path = clean_path(name, limits.max_depth)
        except RefusedError as problem:
            raise ValueError(
                f"the file {printable(name)!r} cannot be in a package: {problem}"
            ) from None
        tree.add(path, bytes_leaf(content if isinstance(content, bytes) else content.encode()))
    source = SourceInfo(kind="files", location=package_id)
    return load_package(tree, package_id, source, limits)


def _with_unique_id(package: Package, seen: set[str]) -> Package:
    unique, n = package.id, 1
    if unique in seen and package.source.member is not None:
        unique = f"{Path(package.source.location).name}/{package.id}"
    base = unique
    while unique in seen:
        n += 1
        unique = f"{base}~{n}"
    seen.add(unique)
    return package if unique == package.id else msgspec.structs.replace(package, id=unique)


def _error(location: str, message: str, advice: str) -> InputError:
    return InputError(location=printable(location), message=message, help=advice)


def _open(
    location: str, rev: str | None, limits: Limits, stdin: BinaryIO | None
) -> Iterator[Package | InputError]:
    if location == "-":
        if rev is not None:
            yield _error("-", "a revision has no meaning for standard input", "leave --rev out")
            return
        from explint.source.rows import Origin, document_packages

        stream = stdin if stdin is not None else sys.stdin.buffer
        origin = Origin("stdin", "stdin", "-")
        yield from _guarded("-", document_packages(stream, origin, limits, rows=False))
        return
    try:
        mode = os.stat(location).st_mode  # noqa: PTH116
    except (OSError, ValueError) as error:
        yield _missing(location, error)
        return
    if rev is not None:
        if stat.S_ISDIR(mode):
            from explint.source.git import git_packages

            yield from git_packages(location, rev, limits)
        else:
            yield _error(
                location,
                "a revision can only be read from a folder of a repository",
                "give the repository, or a folder in it",
            )
    elif stat.S_ISDIR(mode):
        yield from _folder(location, limits)
    elif stat.S_ISREG(mode):
        yield from _file(location, limits)
    else:
        kind = special_kind(mode) or "no regular file"
        yield _error(location, f"it is {kind}, which is never opened", _KINDS)


def _missing(location: str, error: OSError | ValueError) -> InputError:
    if isinstance(error, ValueError):
        return _error(location, f"it is no path: {error}", _KINDS)
    if not isinstance(error, FileNotFoundError):
        return _error(location, f"it cannot be looked at: {os_reason(error)}", "check the path")
    path = Path(location)
    try:
        names = sorted(os.listdir(path.parent))  # noqa: PTH208
    except OSError:
        names = []
    near = _near(path.name, names)
    advice = f"did you mean {printable(str(path.parent / near[0]))}?" if near else _KINDS
    return _error(location, "there is no such file or folder", advice)


def _near(name: str, names: Sequence[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, names, n=1) if len(name) < 256 else []


def _folder(location: str, limits: Limits) -> Iterator[Package | InputError]:
    if is_bare(location):
        yield _error(
            location,
            "it is a git repository without files to read",
            "name a revision of it: --rev main",
        )
        return
    yield from folder_packages(location, limits)
    for path in text_files(location, limits):
        yield from possible_records(path, limits)


def possible_records(location: str, limits: Limits) -> Iterator[Package | InputError]:
    """The judge records in a text file; nothing where its text is not laid out as one."""
    return _text_file(location, limits, sure=False)


_Opener = Callable[[BinaryIO, int, str, Limits], Iterator[Package | InputError]]


def _rows(*, rows: bool) -> _Opener:
    def opener(
        file: BinaryIO, _: int, location: str, limits: Limits
    ) -> Iterator[Package | InputError]:
        from explint.source.rows import Origin, document_packages

        origin = Origin(_stem(location), "json", printable(location))
        return document_packages(file, origin, limits, rows=rows)

    return opener


def _tar(suffix: str) -> _Opener:
    def opener(
        file: BinaryIO, size: int, location: str, limits: Limits
    ) -> Iterator[Package | InputError]:
        from explint.source.archive import tar_packages

        return tar_packages(file, size, suffix, _stem(location), printable(location), limits)

    return opener


def _zip(
    file: BinaryIO, size: int, location: str, limits: Limits
) -> Iterator[Package | InputError]:
    from explint.source.archive import zip_packages

    return zip_packages(file, size, _stem(location), printable(location), limits)


_OPENERS: dict[str, _Opener] = {
    ".tar.gz": _tar("gz"),
    ".tgz": _tar("gz"),
    ".tar.zst": _tar("zst"),
    ".tzst": _tar("zst"),
    ".tar": _tar(""),
    ".zip": _zip,
    ".jsonl": _rows(rows=True),
    ".ndjson": _rows(rows=True),
    ".json": _rows(rows=False),
}


def _stem(location: str) -> str:
    name = printable(Path(location).name)
    for suffix in (*_OPENERS, ".txt"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def _file(location: str, limits: Limits) -> Iterator[Package | InputError]:
    name = Path(location).name.lower()
    if name.endswith(".txt"):
        yield from _text_file(location, limits, sure=True)
        return
    if name.endswith((".py", ".yaml", ".yml", ".toml")):
        yield from single_file(location, limits)
        return
    for suffix, opener in _OPENERS.items():
        if name.endswith(suffix):
            try:
                with Path(location).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    yield from _guarded(location, opener(file, size, location, limits))
            except OSError as error:
                yield _error(location, f"it cannot be read: {os_reason(error)}", "check the file")
            return
    suffix = Path(location).suffix
    near = _near(suffix, [*_OPENERS, ".txt", ".py", ".yaml", ".toml"])
    hint = f"did you mean {near[0]}? " if near else ""
    named = f"`{printable(suffix)}` files are not read" if suffix else "its name has no suffix"
    yield _error(location, f"it is of no known kind: {named}", hint + _KINDS)


def stream_packages(
    file: BinaryIO, size: int, location: str, limits: Limits
) -> Iterator[Package | InputError] | None:
    """The packages in a file that is open, seekable and ``size`` bytes long, by the suffix of its
    location; None when files of that kind hold none."""
    name = location.lower()
    if name.endswith(".txt"):
        from explint.source.rows import Origin, record_packages

        data = file.read(limits.max_package_bytes + 1)
        if len(data) <= limits.max_package_bytes:
            origin = Origin(_stem(location), "record", printable(location))
            return record_packages(data, origin, limits)
        message = f"it is over the limit of {size_text(limits.max_package_bytes)}"
        return iter([_error(location, message, "split it into files of one record each")])
    for suffix, opener in _OPENERS.items():
        if name.endswith(suffix):
            return _guarded(location, opener(file, size, location, limits))
    return None


def _guarded(
    location: str, items: Iterator[Package | InputError]
) -> Iterator[Package | InputError]:
    """Turns an error of the medium (a disk, a pipe) into an InputError."""
    try:
        yield from items
    except OSError as error:
        yield _error(location, f"it cannot be read: {os_reason(error)}", "check the file")


def _text_file(location: str, limits: Limits, *, sure: bool) -> Iterator[Package | InputError]:
    """The judge records in a text file; when it is not sure that it holds any, a text that is not
    laid out as one is passed over."""
    from explint.source.record import looks_like_record
    from explint.source.rows import Origin, record_packages

    origin = Origin(_stem(location), "record", printable(location))
    limit = limits.max_package_bytes if sure else limits.max_file_bytes
    try:
        with Path(location).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        yield _error(location, f"it cannot be read: {os_reason(error)}", "check its permissions")
        return
    if len(data) > limit:
        if sure:
            advice = "split it into files of one record each"
            yield _error(location, f"it is over the limit of {size_text(limit)}", advice)
        return
    if sure or looks_like_record(data.decode("utf-8", "replace")):
        yield from record_packages(data, origin, limits)


__all__ = [
    "Limits",
    "open_location",
    "open_sources",
    "package_of_files",
    "possible_records",
    "stream_packages",
]
