"""Turns the sources of an audit into packages, lazily and one at a time.

What ``explint check`` reads is read by the same code; what only audits read stands here.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from explint.audit.inputs.columns import ColumnMap
from explint.audit.inputs.item import InputProblemError, Item, Items, Meter, UniqueIds, of_package
from explint.audit.inputs.table import is_table, table_rows
from explint.model import InputError, SourceInfo
from explint.package import FileState, Package
from explint.source import Limits, open_location, possible_records
from explint.source.find import Found, find_packages, load_package, short_ids, strays_note
from explint.source.folder import FolderTree, files_beside, is_bare
from explint.source.rows import Origin, numbered_lines, row_packages, value_packages
from explint.source.tree import UnreadableError, printable

_ROWS = (".jsonl", ".ndjson")
_LOGS = (".traj",)
TABLES = (".parquet", ".arrow", ".feather")
"""Tables that are looked for in folders."""

_KEPT_VERSIONS = 1_000
_KEPT_BYTES = 256 << 20


class InputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How sources are read.

    ``manifests`` are files with a source a line, read after the sources. ``columns`` maps parts of
    rows to files. ``branches`` and ``history`` say what of a git repository is read. ``inherit``
    fills what a partial package leaves out from the one before it in its series.
    """

    limits: Limits = msgspec.field(default_factory=Limits)
    manifests: tuple[str, ...] = ()
    columns: ColumnMap = msgspec.field(default_factory=ColumnMap)
    branches: bool = False
    history: bool = False
    inherit: bool = False


def open_inputs(sources: Sequence[str], options: InputOptions, meter: Meter) -> Items:
    """Yields the packages of the sources in their order, and an error for each bad input.

    A source is a path, a glob pattern, an address such as ``s3://bucket/runs/*.parquet``, or ``-``
    for standard input. What is named twice is read once. Ids are unique within one call. The same
    sources give the same ids in the same order.
    """
    ids = UniqueIds()
    versions = _Versions() if options.inherit else None
    meter.sources = len(sources) + len(options.manifests)
    named: set[str] = set()
    for source in _all(sources, options, meter):
        if isinstance(source, InputError):
            yield source
            continue
        place = source if "://" in source else os.path.realpath(source)
        if place in named:
            continue
        named.add(place)
        for item in _items(source, options, meter):
            if isinstance(item, Item):
                if versions is not None:
                    versions.fill(item)
                item.id = ids.of(item.id)
            yield item


def _all(sources: Sequence[str], options: InputOptions, meter: Meter) -> Iterator[str | InputError]:
    """The sources with patterns and manifests written out."""
    for source in sources:
        yield from _expanded(source)
        meter.end()
    for manifest in options.manifests:
        yield from _listed(manifest)
        meter.end()


def _expanded(source: str) -> Iterator[str | InputError]:
    if "://" in source or source == "-" or not glob.has_magic(source) or Path(source).exists():
        yield source
        return
    # pathlib's own globbing takes no absolute pattern.
    found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207
    yield from found
    if not found:
        yield InputError(
            location=printable(source),
            message="no file or folder matches the pattern",
            help="check the path; quote the pattern so that the shell leaves it alone",
        )


def _listed(manifest: str) -> Iterator[str | InputError]:
    try:
        with Path(manifest).open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                source = line.strip()
                if source and not source.startswith("#"):
                    yield from _expanded(source)
    except OSError as error:
        yield InputError(
            location=printable(manifest),
            message=f"the list of sources cannot be read: {error.strerror or error}",
            help="name a text file with one source a line",
        )


def _items(source: str, options: InputOptions, meter: Meter) -> Items:
    if "://" in source:
        from explint.audit.inputs.remote import remote_items

        yield from remote_items(source, options, meter)
    elif source == "-":
        yield from rows_of(sys.stdin.buffer, Origin("stdin", "stdin", "-"), options)
    elif Path(source).is_dir():
        yield from _folder(source, options, meter)
    elif is_table(source):
        yield from table_items(source, source, options, meter)
    elif source.lower().endswith((*_ROWS, *_LOGS)):
        yield from _file_rows(source, options, meter)
    else:
        yield from map(_item, open_location(source, limits=options.limits))


def _item(found: Package | InputError) -> Item | InputError:
    return found if isinstance(found, InputError) else of_package(found)


def _folder(source: str, options: InputOptions, meter: Meter) -> Items:
    from explint.audit.inputs.history import git_items, repositories

    if options.branches or options.history:
        found = repositories(source)
        for location in found:
            yield from git_items(
                location, options.limits, meter, branches=options.branches, history=options.history
            )
        if found:
            return
    if is_bare(source):
        yield from git_items(source, options.limits, meter, branches=False, history=False)
        return
    tree = FolderTree(os.path.realpath(source))
    try:
        tree.entries("")
    except UnreadableError as problem:
        yield InputError(
            location=printable(source),
            message=f"the folder cannot be read: {problem}",
            help="check its permissions",
        )
        return
    packages = find_packages(tree, options.limits)
    beside = files_beside(tree, source, packages.roots, (".txt", *TABLES), options.limits)
    meter.begin(len(packages.roots) + len(beside))
    yield from _packages(tree, source, packages, options.limits, meter)
    for file in beside:
        if file.endswith(".txt"):
            yield from map(_item, possible_records(file, options.limits))
            meter.done += 1
        else:
            yield from table_items(file, file, options, Meter())
            meter.done += 1


def _packages(
    tree: FolderTree, source: str, found: Found, limits: Limits, meter: Meter
) -> Iterator[Item]:
    """The packages of a folder, each read when it is asked for."""
    name = printable(Path(os.path.abspath(source)).name) or "root"  # noqa: PTH100
    ids = short_ids(found.roots, name) if found.roots else {}
    notes = strays_note(found.strays)
    location = printable(source)
    for root in found.roots:
        member = printable(root) or None
        about = SourceInfo(kind="folder", location=location, member=member)
        yield Item(
            id=ids[root],
            series=ids[root],
            source_kind="folder",
            source=location,
            member=member,
            load=partial(load_package, tree.sub(root), ids[root], about, limits, notes),
        )
        notes = []
        meter.done += 1


def table_items(file: str | BinaryIO, location: str, options: InputOptions, meter: Meter) -> Items:
    """The packages in the rows of a table."""
    shape = _Shape(options.columns)
    for found in table_rows(file, location, options.columns, options.limits, meter.begin):
        meter.done += 1
        if isinstance(found, InputError):
            yield found
            continue
        origin, row = found
        if row is None:
            yield origin.error("the row is over the limit of a package", "split or leave it out")
            continue
        for package in value_packages(shape(row), (), origin, options.limits):
            yield shape.item(package)


def _file_rows(source: str, options: InputOptions, meter: Meter) -> Items:
    path = Path(source)
    name = printable(path.name)
    for suffix in (*_ROWS, *_LOGS):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    origin = Origin(name, "json", printable(source))
    try:
        with path.open("rb") as file:
            meter.begin(os.fstat(file.fileno()).st_size)
            for item in rows_of(file, origin, options):
                meter.done = file.tell()
                yield item
    except OSError as error:
        yield origin.error(f"it cannot be read: {error.strerror or error}", "check the file")


def rows_of(stream: BinaryIO, origin: Origin, options: InputOptions) -> Items:
    """The packages in lines of JSON, or the one in the log of an agent's session."""
    from explint.audit.inputs.logs import looks_like_log

    shape = _Shape(options.columns)
    lines = numbered_lines(stream, options.limits.max_package_bytes)
    first = next(lines, None)
    if first is None:
        return
    if not options.columns.pairs and looks_like_log(_decoded(first[1])):
        yield from _session(_chained(first[1], lines), origin, options)
        return
    for number, line in _chained_rows(first, lines):
        for found in row_packages(line, origin.at_row(number), options.limits, shape):
            yield shape.item(found)


_Line = tuple[int, bytes | None]


def _chained(first: bytes | None, lines: Iterator[_Line]) -> Iterator[object]:
    yield _decoded(first)
    for _, line in lines:
        yield _decoded(line)


def _chained_rows(first: _Line, lines: Iterator[_Line]) -> Iterator[_Line]:
    yield first
    yield from lines


def _decoded(line: bytes | None) -> object:
    """A line of JSON; None where it is none."""
    if line is None:
        return None
    try:
        value: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value


def _session(events: Iterator[object], origin: Origin, options: InputOptions) -> Items:
    from explint.audit.inputs.logs import package_of, replay
    from explint.source.tree import RefusedError

    source = msgspec.structs.replace(origin.source, kind="log")
    try:
        package = package_of(replay(events), origin.name, source, options.limits)
    except RefusedError as problem:
        yield origin.error(f"no package can be rebuilt from it: {problem}", "")
        return
    yield of_package(package)


class _Shape:
    """Rows as objects that hold packages; keeps what of the last one is no part of a package."""

    def __init__(self, columns: ColumnMap) -> None:
        self._columns = columns
        self._series: str | None = None

    def __call__(self, row: object) -> object:
        shaped = self._columns.shaped(row)
        series = shaped.get("series") if isinstance(shaped, dict) else None
        self._series = printable(series) if isinstance(series, str) and series.strip() else None
        return shaped

    def item(self, found: Package | InputError) -> Item | InputError:
        """The package of the last row, with its series."""
        if isinstance(found, InputError):
            return found
        item = of_package(found)
        if self._series is not None:
            item.series = self._series
        return item


class _Version(NamedTuple):
    """The last version of a series, the bytes of it, and how many there were."""

    package: Package
    size: int
    versions: int


class _Versions:
    """The last version of each series, and what the next one inherits from it."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, _Version] = OrderedDict()
        self._size = 0

    def fill(self, item: Item) -> None:
        """Gives a version what it leaves out, and remembers it for the next one.

        The series of a record without one of its own is its hypothesis: the rounds of one
        experiment share it.
        """
        if item.source_kind == "git":
            return
        package = item.load()
        record = package.record
        if item.series == item.id and record is not None and record.hypothesis.strip():
            told = record.hypothesis.encode("utf-8", "backslashreplace")
            item.series = f"hypothesis {hashlib.sha256(told).hexdigest()[:12]}"
        before = self._last.pop(item.series, None)
        if before is not None:
            self._size -= before.size
            package = _inherited(package, before.package)
        count = 0 if before is None else before.versions
        item.version_order = count
        item.load = lambda: package
        size = sum(len(f.data) for f in package.files.values() if f.data)
        self._last[item.series] = _Version(package, size, count + 1)
        self._size += size
        while len(self._last) > _KEPT_VERSIONS or self._size > _KEPT_BYTES:
            _, gone = self._last.popitem(last=False)
            self._size -= gone.size


def _inherited(package: Package, before: Package) -> Package:
    """A partial package with what it leaves out, taken from the version before it."""
    if not package.partial:
        return package
    missing = {
        path: file
        for path, file in before.files.items()
        if package.state(path) in (FileState.ABSENT, FileState.WITHHELD)
    }
    if not missing:
        return package
    names = ", ".join(list(missing)[:5]) + (" …" if len(missing) > 5 else "")
    note = f"{len(missing):,} files are those of the version before it: {names}"
    return msgspec.structs.replace(
        package,
        files=dict(sorted({**package.files, **missing}.items())),
        runs=package.runs or before.runs,
        record=package.record or before.record,
        partial=before.partial,
        notes=(*package.notes, note),
    )


__all__ = ["InputOptions", "InputProblemError", "Item", "Items", "Meter", "open_inputs"]
