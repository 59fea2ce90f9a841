"""SQL over the datasets of audits, by DuckDB, which can read nothing else and change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from explint.audit.store import TABLES, StoreError, arrow, parts, read_about

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_INSTALL = "install it with: pip install 'explint[audit]'"
_BATCH = 1000
"""Rows fetched at once."""


class QueryError(Exception):
    """A statement that cannot be run; the message is DuckDB's own."""


class Answer(msgspec.Struct, frozen=True):
    """The columns of an answer and its rows, which can be read once."""

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]


def connect(folder: Path, **others: Path) -> DuckDBPyConnection:
    """A connection with the tables of the audit in ``folder`` as views.

    They are called ``packages`` and ``findings``; those of another audit, given as ``name=folder``,
    ``name_packages`` and ``name_findings``. The connection reads no file, no address and no object
    but these, and nothing that runs in it can allow it to.

    Raises:
        StoreError: there is no audit in a folder, or DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise StoreError("queries need duckdb, which is not here", _INSTALL) from None
    pa = arrow()
    from pyarrow import dataset

    connection = duckdb.connect(":memory:")
    for prefix, place in (("", folder), *((f"{name}_", other) for name, other in others.items())):
        read_about(place)
        files = list(zip(*parts(place), strict=True)) or [()] * len(TABLES)
        for table, of_table in zip(TABLES, files, strict=True):
            try:
                data = dataset.dataset([str(file) for file in of_table], schema=_schema(table))
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"{place / table} is damaged: {error}") from None
            connection.register(f"{prefix}{table}", data)
    # An Arrow dataset is read by Arrow, so DuckDB itself needs no access to anything.
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _schema(table: str) -> Any:  # noqa: ANN401 - an Arrow schema
    from explint.audit.schema import FindingRow, PackageRow
    from explint.audit.store import arrow_schema

    return arrow_schema(PackageRow if table == "packages" else FindingRow)


def ask(connection: DuckDBPyConnection, sql: str, values: Sequence[object] = ()) -> Answer:
    """The answer to one statement that reads; ``values`` are those of its ``?``.

    Raises:
        QueryError: the statement does not read, is more than one, or DuckDB refuses it.
    """
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError(
                "a query is one statement that reads: SELECT, WITH, FROM, DESCRIBE or SUMMARIZE"
            )
        # Through Arrow: DuckDB's own rows need pytz for points in time.
        batches = connection.sql(sql, params=list(values)).to_arrow_reader(_BATCH)
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from None
    return Answer(batches.schema.names, _rows(batches))


def _rows(batches: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - Arrow's reader
    import duckdb

    pa = arrow()
    while True:
        try:
            batch = batches.read_next_batch()
        except StopIteration:
            return
        except (duckdb.Error, pa.ArrowException) as error:
            raise QueryError(str(error).strip()) from None
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
