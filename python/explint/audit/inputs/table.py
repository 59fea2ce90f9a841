"""Parquet and Arrow tables: a package a row, streamed by row groups and record batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from explint.audit.inputs.columns import ColumnMap, wanted
from explint.audit.store import StoreError, arrow
from explint.model import InputError
from explint.source.limits import Limits, size_text
from explint.source.rows import Origin
from explint.source.tree import printable

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
_BATCH_ROWS = 64
_BATCH_BYTES = 32 << 20
_GROUP_BYTES = 2 << 30
"""Decoded size of a row group over which it is not read: it would have to be held whole."""

Row = tuple[Origin, Any]


def is_table(name: str) -> bool:
    """Whether a file is a table, by its name."""
    return name.lower().endswith(SUFFIXES)


def table_rows(
    file: str | BinaryIO,
    location: str,
    columns: ColumnMap,
    limits: Limits,
    total: Callable[[int], None] = lambda _: None,
) -> Iterator[Row | InputError]:
    """The rows of a table as builtins, each with where it stands; ``total`` is called with the
    number of rows once that is known."""
    origin = Origin(_stem(location), "table", printable(location))
    try:
        pa = arrow()
    except StoreError as problem:
        yield origin.error(str(problem), problem.help)
        return
    parts = _partitions(location)
    try:
        if location.lower().endswith((".parquet", ".pq")):
            rows = _parquet(file, origin, columns, limits, parts, total)
        else:
            rows = _ipc(file, origin, columns, limits, parts)
        yield from rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        yield origin.error(
            f"the table cannot be read: {_said(error)}", "write it again, or leave it out"
        )


def _parquet(
    file: str | BinaryIO,
    origin: Origin,
    columns: ColumnMap,
    limits: Limits,
    parts: dict[str, str],
    total: Callable[[int], None],
) -> Iterator[Row | InputError]:
    pa = arrow()
    with pa.parquet.ParquetFile(file) as parquet:
        about = parquet.metadata
        total(about.num_rows)
        chosen = _chosen(parquet.schema_arrow, columns, parts, origin)
        if isinstance(chosen, InputError):
            yield chosen
            return
        number = 0
        for index in range(about.num_row_groups):
            group = about.row_group(index)
            size = sum(
                group.column(c).total_uncompressed_size
                for c in range(group.num_columns)
                if group.column(c).path_in_schema.split(".")[0] in chosen
            )
            if size > _GROUP_BYTES:
                reason = f"its row group holds {size_text(size)}, over the limit of "
                reason += size_text(_GROUP_BYTES)
                advice = "write the table with smaller row groups"
                for n in range(number + 1, number + 1 + group.num_rows):
                    yield origin.at_row(n).error(reason, advice)
                number += group.num_rows
                continue
            each = max(size // max(group.num_rows, 1), 1)
            at_once = max(1, min(_BATCH_ROWS, _BATCH_BYTES // each))
            there = number + group.num_rows
            try:
                for batch in parquet.iter_batches(at_once, [index], chosen):
                    for row in _rows(batch, parts, limits):
                        number += 1
                        yield origin.at_row(number), row
            except (pa.ArrowException, OSError, ValueError) as error:
                while number < there:
                    number += 1
                    yield origin.at_row(number).error(
                        f"its row group is damaged: {_said(error)}", "write the table again"
                    )


def _ipc(
    file: str | BinaryIO, origin: Origin, columns: ColumnMap, limits: Limits, parts: dict[str, str]
) -> Iterator[Row | InputError]:
    pa = arrow()
    with pa.OSFile(file) if isinstance(file, str) else pa.PythonFile(file) as source:
        try:
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa.ipc.open_stream(source)
            batches = iter(reader)
        chosen = _chosen(reader.schema, columns, parts, origin)
        if isinstance(chosen, InputError):
            yield chosen
            return
        number = 0
        for batch in batches:
            picked = batch.select(chosen)
            for start in range(0, len(picked), _BATCH_ROWS):
                for row in _rows(picked.slice(start, _BATCH_ROWS), parts, limits):
                    number += 1
                    yield origin.at_row(number), row


def _rows(batch: pa.RecordBatch, parts: dict[str, str], limits: Limits) -> Iterator[Any]:
    if batch.nbytes <= limits.max_package_bytes:
        yield from ({**parts, **row} for row in batch.to_pylist())
        return
    for number in range(len(batch)):
        row = batch.slice(number, 1)
        size = row.get_total_buffer_size() if len(batch) == 1 else row.nbytes
        yield None if size > limits.max_package_bytes else {**parts, **row.to_pylist()[0]}


def _chosen(
    schema: pa.Schema, columns: ColumnMap, parts: dict[str, str], origin: Origin
) -> list[str] | InputError:
    """The columns to read, or why none can be."""
    names = list(schema.names)
    for path in columns.tops():
        if not any(path == n or path.startswith(f"{n}.") for n in (*names, *parts)):
            return origin.error(
                f"there is no column `{printable(path)}`; there are {_listed(names)}",
                "name a column of the table in --map",
            )
    chosen = wanted(names, columns)
    if not chosen and not wanted(list(parts), columns):
        return origin.error(
            f"no column of it is known to hold code; there are {_listed(names)}",
            "say which do: --map train_py=COLUMN, or --map files=COLUMN",
        )
    return chosen


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(f"`{printable(n)}`" for n in names[:12]) + more


def _partitions(location: str) -> dict[str, str]:
    """Columns that stand in the path, as in ``model=a/part-0.parquet``."""
    folders = PurePath(location).parts[:-1]
    pairs = (unquote(part).partition("=") for part in folders)
    return {name: value for name, equals, value in pairs if equals and name}


def _stem(location: str) -> str:
    return printable(PurePath(location).name).rpartition(".")[0] or "table"


def _said(error: Exception) -> str:
    text = printable(str(error)).strip() or type(error).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
