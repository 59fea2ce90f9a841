"""The folder of an audit, written part by part and read back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from explint.audit.schema import DATASET_VERSION, About, Counts, FindingRow, PackageRow

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT = "audit.json"
TABLES = ("packages", "findings")
_INSTALL = "install it with: pip install 'explint[audit]'"


class StoreError(Exception):
    """A folder that cannot be read or written as an audit; ``help`` says what to do."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


def arrow() -> Any:  # noqa: ANN401 - a module
    """pyarrow, or a StoreError that says how to install it."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise StoreError("the datasets of audits need pyarrow, which is not here", _INSTALL) from (
            None
        )
    return pyarrow


def arrow_schema(row: type[msgspec.Struct]) -> pa.Schema:
    """The Arrow schema of a row's struct; its metadata names the version of the dataset."""
    pa = arrow()
    hints = get_type_hints(row)
    fields = [_field(name, hints[name]) for name in row.__struct_fields__]
    return pa.schema(fields, metadata={"explint_dataset_version": str(DATASET_VERSION)})


def _field(name: str, hint: Any) -> Any:  # noqa: ANN401 - a type, and an Arrow field
    pa = arrow()
    nullable = False
    if isinstance(hint, UnionType) or NoneType in get_args(hint):
        nullable = True
        (hint,) = (a for a in get_args(hint) if a is not NoneType)
    return pa.field(name, _type(hint), nullable=nullable)


def _type(hint: Any) -> Any:  # noqa: ANN401 - a type, and an Arrow type
    pa = arrow()
    if get_origin(hint) is Literal:
        return pa.string()
    if get_origin(hint) is tuple:
        return pa.list_(_field("element", get_args(hint)[0]))
    if hasattr(hint, "_fields"):
        hints = get_type_hints(hint)
        return pa.struct([_field(name, hints[name]) for name in hint._fields])
    plain = {
        str: pa.string(),
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        datetime: pa.timestamp("us", tz="UTC"),
    }
    return plain[hint]


def write_rows(rows: Sequence[msgspec.Struct], row: type[msgspec.Struct], file: Path) -> None:
    """Writes one Parquet file, which appears whole or not at all.

    Raises StoreError when there is no room for it, or it cannot be written otherwise.
    """
    pa = arrow()
    schema = arrow_schema(row)
    columns = zip(*map(msgspec.structs.astuple, rows), strict=True) if rows else [()] * len(schema)
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)

    def write(part: Path) -> None:
        pa.parquet.write_table(table, part, compression="zstd", row_group_size=len(rows) or 1)

    _appear(file, write)


def _appear(file: Path, write: Any) -> None:  # noqa: ANN401 - a function
    part = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        write(part)
        with part.open("rb") as written:
            # What is renamed before it is on the disk can be empty after a loss of power.
            os.fsync(written.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {file}: {error.strerror or error}",
            "Nothing that was written before is lost: make room or repair the folder, and start "
            "the same command again.",
        ) from None


def write_part(
    folder: Path, number: int, packages: Sequence[PackageRow], findings: Sequence[FindingRow]
) -> None:
    """Adds a pair of part files. The part is there once its packages are, which come last.

    Raises StoreError.
    """
    for table in TABLES:
        (folder / table).mkdir(parents=True, exist_ok=True)
    name = part_name(number)
    write_rows(findings, FindingRow, folder / "findings" / name)
    write_rows(packages, PackageRow, folder / "packages" / name)


def part_name(number: int) -> str:
    """The name of part files."""
    return f"part-{number:06}.parquet"


def parts(folder: Path) -> list[tuple[Path, Path]]:
    """The part files that count, as pairs of packages and findings: those from 0 without a gap."""
    found: list[tuple[Path, Path]] = []
    while True:
        name = part_name(len(found))
        pair = (folder / "packages" / name, folder / "findings" / name)
        if not all(file.is_file() for file in pair):
            return found
        found.append(pair)


def write_about(folder: Path, about: About) -> None:
    """Writes ``audit.json``. Raises StoreError."""
    text = msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"
    _appear(folder / ABOUT, lambda part: part.write_bytes(text))


def read_about(folder: Path) -> About:
    """What ``audit.json`` says. Raises StoreError where there is no audit of this version."""
    file = folder / ABOUT
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no audit: there is no {ABOUT} in it",
            "Name the folder that `explint audit … --out` wrote.",
        ) from None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror or error}") from None
    try:
        version = msgspec.json.decode(data, type=_Version)
    except msgspec.DecodeError as problem:
        raise StoreError(f"{file} is no description of an audit: {problem}") from None
    if version.kind != "explint-audit":
        raise StoreError(f"{file} is no description of an audit")
    if version.dataset_version != DATASET_VERSION:
        raise StoreError(
            f"{folder} holds an audit of version {version.dataset_version}; this explint reads and "
            f"writes version {DATASET_VERSION}",
            "Use the explint that wrote it, or write a new audit to another folder.",
        )
    try:
        return msgspec.json.decode(data, type=About)
    except msgspec.DecodeError as problem:
        raise StoreError(f"{file} is damaged: {problem}") from None


class _Version(msgspec.Struct):
    kind: str
    dataset_version: int


def read_packages(folder: Path) -> Iterable[PackageRow]:
    """The rows of all packages, in order. Raises StoreError for a damaged part."""
    return _rows(PackageRow, [packages for packages, _ in parts(folder)])


def read_findings(folder: Path) -> Iterable[FindingRow]:
    """The rows of all findings, in order. Raises StoreError for a damaged part."""
    return _rows(FindingRow, [findings for _, findings in parts(folder)])


def read_part(part: tuple[Path, Path]) -> tuple[list[PackageRow], list[FindingRow]]:
    """The rows of a pair of part files. Raises StoreError for a damaged one."""
    packages, findings = part
    return list(_rows(PackageRow, [packages])), list(_rows(FindingRow, [findings]))


def read_ids(there: Sequence[tuple[Path, Path]]) -> Iterator[str]:
    """The ids of the packages of part files, in order. Raises StoreError for a damaged one."""
    for packages, _ in there:
        yield from _columns(packages, ["id"])["id"].to_pylist()


def add_counts(packages: Path, counts: Counts) -> int:
    """Counts the rows of a part file in, and returns how many it has. Raises StoreError."""
    pa = arrow()
    compute = pa.compute
    numbers = ["errors", "warnings", "infos", "suppressed"]
    table = _columns(packages, ["status", "is_code_ready", "complete", *numbers])
    counts.packages += len(table)
    counts.failed += compute.sum(compute.equal(table["status"], "failed")).as_py() or 0
    ready = table["is_code_ready"]
    counts.ready += compute.sum(ready).as_py() or 0
    counts.unready += compute.sum(compute.invert(ready)).as_py() or 0
    counts.incomplete += compute.sum(compute.invert(table["complete"])).as_py() or 0
    for name in numbers:
        found = compute.sum(table[name]).as_py() or 0
        setattr(counts, name, getattr(counts, name) + found)
        counts.findings += 0 if name == "suppressed" else found
    return len(table)


def _columns(file: Path, names: list[str]) -> pa.Table:
    pa = arrow()
    try:
        with pa.parquet.ParquetFile(file) as parquet:
            return parquet.read(columns=names)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StoreError(
            f"{file} is damaged: {error}", "Begin anew: --overwrite, or another folder."
        ) from None


def _rows(row: type[Any], files: Sequence[Path]) -> Iterable[Any]:
    pa = arrow()
    names = row.__struct_fields__
    for file in files:
        try:
            with pa.parquet.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches():
                    columns = [batch.column(name).to_pylist() for name in names]
                    for values in zip(*columns, strict=True):
                        yield msgspec.convert([_plain(v) for v in values], row)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{file} is damaged: {error}") from None


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    """Nested rows in the order of their fields, as the structs take them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [list(item.values()) for item in value]
    return value
