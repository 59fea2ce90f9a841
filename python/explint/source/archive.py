"""Packages in archives, read in memory: nothing is unpacked to disk, no link is followed, and
limits hold for the bytes that really come out, whatever the headers claim."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from tarfile import EOFHeaderError, HeaderError, ReadError  # type: ignore[attr-defined]
from typing import IO, Self

import msgspec
import zstandard

from explint.model import InputError, SourceInfo
from explint.package import Package
from explint.source.find import (
    find_packages,
    is_source,
    load_package,
    packages_of,
    short_ids,
    strays_note,
)
from explint.source.limits import MIB, Limits, size_text, too_large
from explint.source.tree import (
    Leaf,
    MemoryTree,
    RefusedError,
    UnreadableError,
    clean_path,
    printable,
)

_CHUNK = 64 * 1024
_RATIO_MATTERS_FROM = 16 * MIB
_HEADER_BYTES = 4 * MIB
_ZSTD_WINDOW = 128 * MIB
_REFUSED_SHOWN = 20

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zstandard.ZstdError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


class _BombError(Exception):
    """What comes out of the archive is over a limit; the message says which."""


class _Budget(msgspec.Struct):
    """Counts what comes out of an archive of ``packed`` bytes."""

    packed: int
    limits: Limits
    unpacked: int = 0

    def take(self, size: int) -> None:
        self.unpacked += size
        if self.unpacked > self.limits.max_archive_bytes:
            limit = size_text(self.limits.max_archive_bytes)
            raise _BombError(f"it unpacks to more than {limit}")
        ratio = self.limits.max_archive_ratio
        if self.unpacked > _RATIO_MATTERS_FROM and self.unpacked > ratio * self.packed:
            raise _BombError(f"it unpacks to more than {ratio} times its size")


class _Metered(io.RawIOBase):
    """A decompressed stream that stops at the budget, and at headers of absurd size.

    The tar reader takes a member's name into memory however long its header says it is, so
    between members only ``allowance`` bytes may be read.
    """

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._allowance = _HEADER_BYTES

    def allow(self, size: int) -> None:
        self._allowance = size + _HEADER_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(_CHUNK if size < 0 else min(size, _CHUNK))
        self._budget.take(len(data))
        self._allowance -= len(data)
        if self._allowance < 0:
            raise _BombError("a header in it is larger than 4 MiB")
        return data


class _Listing(msgspec.Struct):
    """The tree of an archive, and (name, reason) of the members that were refused."""

    tree: MemoryTree = msgspec.field(default_factory=MemoryTree)
    refused: list[tuple[str, str]] = msgspec.field(default_factory=list)

    def path(self, raw: str, limits: Limits) -> str | None:
        try:
            return clean_path(raw, limits.max_depth + limits.max_search_depth)
        except RefusedError as problem:
            self.refused.append((printable(raw), str(problem)))
            return None

    def errors(self, location: str) -> Iterator[InputError]:
        advice = "pack the archive with relative names inside one folder"
        for name, reason in self.refused[:_REFUSED_SHOWN]:
            message = f"the member {name!r} was refused: {reason}"
            yield InputError(location=location, message=message, help=advice)
        more = len(self.refused) - _REFUSED_SHOWN
        if more > 0:
            message = f"{more} more members were refused for such reasons"
            yield InputError(location=location, message=message, help=advice)


def _failed(location: str, message: str) -> InputError:
    return InputError(
        location=location,
        message=message,
        help="pack it again, as .zip, .tar.gz or .tar.zst; every package in it needs unpacking "
        "below the limits",
    )


def _broken(location: str, error: Exception) -> InputError:
    said = printable(str(error)) or type(error).__name__
    return _failed(location, f"the archive is broken: {said}")


def zip_packages(
    file: IO[bytes], size: int, name: str, location: str, limits: Limits
) -> Iterator[Package | InputError]:
    """The packages in a zip archive, in order of path."""
    try:
        with zipfile.ZipFile(file) as archive:
            budget = _Budget(size, limits)
            listing = _zip_listing(archive, budget, limits)
            yield from listing.errors(location)
            yield from packages_of(listing.tree, name, "archive", location, None, limits)
    except _BombError as problem:
        yield _failed(location, str(problem))
    except _BROKEN as error:
        yield _broken(location, error)


def _zip_listing(archive: zipfile.ZipFile, budget: _Budget, limits: Limits) -> _Listing:
    listing = _Listing()
    members = archive.infolist()
    if len(members) > limits.max_members:
        raise _BombError(f"it has more than {limits.max_members:,} members")
    for info in members:
        path = listing.path(info.filename, limits)
        if path is None or info.is_dir():
            continue
        mode = info.external_attr >> 16
        skipped = None
        if stat.S_ISLNK(mode):
            skipped = "a symbolic link, not followed in an archive"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            skipped = "not a regular file"
        listing.tree.add(path, _zip_leaf(archive, info, budget, skipped))
    return listing


def _zip_leaf(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget, skipped: str | None
) -> Leaf:
    def read(limits: Limits) -> bytes:
        if info.flag_bits & 0x1:
            raise UnreadableError("it is encrypted")
        # Other methods decompress a chunk whole, however much comes out of it.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError("its compression method is neither deflate nor stored")
        if info.file_size > limits.max_file_bytes:
            raise UnreadableError(too_large(info.file_size, limits.max_file_bytes))
        try:
            budget.take(0)
            with archive.open(info) as member:
                data = member.read(limits.max_file_bytes + 1)
            budget.take(len(data))
        except _BombError as problem:
            raise UnreadableError(f"the archive was left: {problem}") from problem
        except _BROKEN as error:
            raise UnreadableError(f"the archive is broken here: {printable(str(error))}") from error
        if len(data) > limits.max_file_bytes:
            raise UnreadableError(too_large(None, limits.max_file_bytes))
        return data

    return Leaf(read, skipped)


def _unpacked(file: IO[bytes], budget: _Budget, suffix: str, stack: ExitStack) -> _Metered:
    file.seek(0)
    if suffix == "zst":
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        reader = decoder.stream_reader(file, read_across_frames=True, closefd=False)
        return _Metered(stack.enter_context(reader), budget)
    if suffix == "gz":
        return _Metered(stack.enter_context(gzip.GzipFile(fileobj=file)), budget)  # type: ignore[arg-type]
    return _Metered(file, budget)


class _StrictTarInfo(tarfile.TarInfo):
    """A reader of headers that does not take a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            # At the start, the tar reader itself says that this is no archive.
            if isinstance(error, EOFHeaderError) or tarfile.offset == 0:
                raise
            raise ReadError(f"it is cut or damaged after {tarfile.offset} bytes") from error


def _members(
    metered: _Metered, limits: Limits
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(
        fileobj=metered,
        mode="r|",
        bufsize=_CHUNK,
        tarinfo=_StrictTarInfo,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        count = 0
        while (info := archive.next()) is not None:
            # The reader keeps every member it has seen; a stream never goes back to them.
            archive.members = []  # type: ignore[attr-defined]
            count += 1
            if count > limits.max_members:
                raise _BombError(f"it has more than {limits.max_members:,} members")
            metered.allow(0 if info.size < 0 else info.size)
            yield archive, info


def tar_packages(
    file: IO[bytes], size: int, suffix: str, name: str, location: str, limits: Limits
) -> Iterator[Package | InputError]:
    """The packages in a tar archive; ``suffix`` is "gz", "zst" or "" for a plain one.

    A tar can only be read from its start, so it is read twice: for the names, and for the
    contents, from which each package is yielded as soon as its last file was read. The order is
    that of the archive.
    """
    listing, sources = _Listing(), _Sources()
    try:
        with ExitStack() as stack:
            metered = _unpacked(file, _Budget(size, limits), suffix, stack)
            _list_tar(metered, listing, sources, limits)
    except _BombError as problem:
        yield _failed(location, str(problem))
    except _BROKEN as error:
        yield _broken(location, error)
    # What was listed before the archive broke is judged all the same.
    yield from listing.errors(location)
    if sources.wanted:
        with ExitStack() as stack:
            metered = _unpacked(file, _Budget(size, limits), suffix, stack)
            yield from _tar_contents(metered, listing.tree, sources, name, location, limits)


class _Member(msgspec.Struct):
    """A file whose bytes are wanted: filled in the second pass, freed when they were taken."""

    data: bytes | UnreadableError = msgspec.field(
        default_factory=lambda: UnreadableError("it was not reached")
    )

    def read(self, _: Limits) -> bytes:
        if isinstance(self.data, UnreadableError):
            raise self.data
        return self.data


class _Sources(msgspec.Struct):
    """The members whose bytes are wanted, by their number in the archive."""

    wanted: dict[int, tuple[str, _Member]] = msgspec.field(default_factory=dict)
    number_of: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, number: int, path: str, member: _Member) -> None:
        # Of two members with one path the later counts; the earlier need not be kept.
        if path in self.number_of:
            del self.wanted[self.number_of[path]]
        self.number_of[path] = number
        self.wanted[number] = (path, member)


def _list_tar(metered: _Metered, listing: _Listing, sources: _Sources, limits: Limits) -> None:
    for number, (_, info) in enumerate(_members(metered, limits)):
        path = None if info.name in (".", "./") else listing.path(info.name, limits)
        if path is None or info.isdir():
            continue
        skipped = None
        if info.issym() or info.islnk():
            skipped = f"a {'symbolic' if info.issym() else 'hard'} link, not followed in an archive"
        elif info.issparse() or not info.isreg():
            skipped = "a sparse file" if info.issparse() else "a device or pipe"
        member = _Member()
        if skipped is None and is_source(path):
            sources.add(number, path, member)
        listing.tree.add(path, Leaf(member.read, skipped))


class _Pending(msgspec.Struct):
    """A package whose files are being collected."""

    missing: set[int] = msgspec.field(default_factory=set)
    members: list[_Member] = msgspec.field(default_factory=list)
    held: int = 0


def _root_of(path: str, roots: dict[str, _Pending]) -> str | None:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in roots:
            return folder
    return None


def _tar_contents(
    metered: _Metered,
    tree: MemoryTree,
    sources: _Sources,
    name: str,
    location: str,
    limits: Limits,
) -> Iterator[Package]:
    found = find_packages(tree, limits)
    notes = strays_note(found.strays)
    ids = short_ids(found.roots, name)
    pending = {root: _Pending() for root in found.roots}
    owners: dict[int, str] = {}
    for number, (path, member) in sources.wanted.items():
        root = _root_of(path, pending)
        if root is not None:
            owners[number] = root
            pending[root].missing.add(number)
            pending[root].members.append(member)

    def load(root: str) -> Package:
        source = SourceInfo(kind="archive", location=location, member=printable(root) or None)
        package = load_package(tree.sub(root), ids[root], source, limits, notes)
        for member in pending.pop(root).members:
            member.data = UnreadableError("it was let go")
        return package

    reason = "it was not reached"
    try:
        for number, (archive, info) in enumerate(_members(metered, limits)):
            root = owners.get(number)
            if root is None:
                continue
            package = pending[root]
            data = _tar_data(archive, info, limits, package.held)
            sources.wanted[number][1].data = data
            package.held += 0 if isinstance(data, UnreadableError) else len(data)
            package.missing.discard(number)
            if not package.missing:
                yield load(root)
                notes = []
            if not pending:
                return
    except _BombError as problem:
        reason = f"the archive was left: {problem}"
    except _BROKEN as error:
        reason = f"the archive is broken before it: {printable(str(error))}"
    for root in sorted(pending):
        for number in pending[root].missing:
            sources.wanted[number][1].data = UnreadableError(reason)
        if pending[root].members:
            yield load(root)
            notes = []


def _tar_data(
    archive: tarfile.TarFile, info: tarfile.TarInfo, limits: Limits, held: int
) -> bytes | UnreadableError:
    if info.size > limits.max_file_bytes:
        return UnreadableError(too_large(info.size, limits.max_file_bytes))
    if held + info.size > limits.max_package_bytes:
        return UnreadableError(
            f"the package is over the limit of {size_text(limits.max_package_bytes)}"
        )
    stream = archive.extractfile(info)
    data = b"" if stream is None else stream.read(info.size)
    return data if len(data) == info.size else UnreadableError("the archive ends inside it")
