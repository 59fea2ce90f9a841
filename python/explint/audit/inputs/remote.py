"""Sources in remote stores, read through fsspec: ``s3://``, ``gs://``, ``hf://`` and others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from explint.audit.inputs.item import Items, Meter, of_package
from explint.audit.inputs.table import is_table
from explint.model import InputError
from explint.source import stream_packages
from explint.source.find import packages_of
from explint.source.limits import Limits, too_large
from explint.source.rows import Origin
from explint.source.tree import (
    Leaf,
    MemoryTree,
    RefusedError,
    UnreadableError,
    clean_path,
    printable,
)

if TYPE_CHECKING:
    from explint.audit.inputs import InputOptions

_INSTALL = "install it with: pip install 'explint[audit]'"
_READ_BYTES = 1 << 20
_ROWS = (".jsonl", ".ndjson", ".traj")


def remote_items(source: str, options: InputOptions, meter: Meter) -> Items:
    """The packages at an address: of a file, of what matches a pattern, or below a folder.

    Below a folder tables and JSONL files are read row by row; where there are none, it is a folder
    of packages.
    """
    shown = printable(source)
    try:
        import fsspec
    except ImportError:
        yield InputError(
            location=shown, message="remote stores need fsspec, which is not here", help=_INSTALL
        )
        return
    try:
        store, path = fsspec.core.url_to_fs(source)
        scheme = source.partition("://")[0]
        for location in _matching(store, path):
            yield from _one(store, location, f"{scheme}://{location}", options, meter)
    except ImportError as error:
        yield InputError(
            location=shown,
            message=f"this kind of store needs another library: {_said(error)}",
            help="install what it names",
        )
    except Exception as error:  # noqa: BLE001 - every store raises its own
        yield InputError(
            location=shown,
            message=f"it cannot be read: {_said(error)}",
            help="check the address, the network and the credentials of the store",
        )


def _matching(store: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - a file system
    if any(c in path for c in "*?["):
        found = sorted(store.glob(path))
        if not found:
            raise FileNotFoundError("nothing matches the pattern")
        yield from found
    else:
        yield path


def _one(
    store: Any,  # noqa: ANN401 - a file system
    path: str,
    location: str,
    options: InputOptions,
    meter: Meter,
) -> Items:
    from explint.audit.inputs import rows_of, table_items

    if store.isdir(path):
        yield from _folder(store, path, location, options, meter)
        return
    size = store.size(path)
    # fsspec's own files cannot bound a line.
    with io.BufferedReader(store.open(path, "rb"), _READ_BYTES) as file:
        if is_table(location):
            yield from table_items(file, location, options, meter)
        elif location.lower().endswith(_ROWS):
            name = printable(path.rpartition("/")[2]).rpartition(".")[0]
            meter.begin(size or 0)
            for item in rows_of(file, Origin(name, "json", printable(location)), options):
                meter.done = file.tell()
                yield item
        else:
            packages = stream_packages(file, size or 0, location, options.limits)
            if packages is None:
                yield InputError(
                    location=printable(location),
                    message="it is of no known kind",
                    help="name a table, JSONL, an archive, a judge record (.txt) or a folder",
                )
                return
            for found in packages:
                yield found if isinstance(found, InputError) else of_package(found)


def _folder(
    store: Any,  # noqa: ANN401 - a file system
    path: str,
    location: str,
    options: InputOptions,
    meter: Meter,
) -> Items:
    top = path.rstrip("/")
    files = store.find(top, detail=True)
    tables = [f for f in sorted(files) if is_table(f) or f.lower().endswith(_ROWS[:2])]
    if tables:
        scheme = location.partition("://")[0]
        for file in tables:
            yield from _one(store, file, f"{scheme}://{file}", options, meter)
        return
    tree = MemoryTree()
    limits = options.limits
    for file in sorted(files):
        try:
            inner = clean_path(file[len(top) :].lstrip("/"), limits.max_depth)
        except RefusedError as problem:
            yield InputError(
                location=printable(location),
                message=f"the file {printable(file)!r} was refused: {problem}",
            )
            continue
        tree.add(inner, _leaf(store, file, files[file].get("size")))
    name = printable(top.rpartition("/")[2]) or "remote"
    for package in packages_of(tree, name, "folder", printable(location), None, limits):
        yield of_package(package)


def _leaf(store: Any, file: str, size: int | None) -> Leaf:  # noqa: ANN401 - a file system
    def read(limits: Limits) -> bytes:
        if size is not None and size > limits.max_file_bytes:
            raise UnreadableError(too_large(size, limits.max_file_bytes))
        try:
            data: bytes = store.cat_file(file)
        except Exception as error:
            raise UnreadableError(_said(error)) from error
        return data

    return Leaf(read)


def _said(error: BaseException) -> str:
    text = printable(str(error)).strip() or type(error).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
