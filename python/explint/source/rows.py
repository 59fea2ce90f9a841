"""Packages as JSON: one object, a list of objects, or one object a line.

An object holds code keys such as ``train_py`` (also below ``experiment_code`` or ``code``), or
``files`` with the content of each path, or the text of a judge record under ``record``, ``text``,
or ``prompt`` and ``output``. Beside them it may hold ``id``, ``runs``, ``verdict`` and
``hypothesis``. A content that is an empty string or null is withheld. ``files`` with
``"partial": false`` beside it is a whole package: an empty string is then an empty file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import BinaryIO

import msgspec

from explint.model import InputError, SourceInfo
from explint.package import File, FileState, Package, Record, Run
from explint.source.find import content_file, is_source
from explint.source.limits import Limits, size_text, too_large
from explint.source.record import (
    NoCodeError,
    add_run_configs,
    files_of,
    parse_record,
    split_records,
    verdict_of,
)
from explint.source.salvage import (
    Text,
    cut_at_mark,
    decode_code,
    encode_text,
    is_code_key,
    parse_json,
)
from explint.source.tree import RefusedError, clean_path, printable

_SHAPES = (
    'give an object with keys such as "train_py", one with "files": {path: content}, '
    'or one with "record": the text of a judge record'
)
_CODE_FOLDERS = ("experiment_code", "code")
_RECORD_KEYS = ("record", "text")


class BadRowError(Exception):
    """An object that is no package; the message says why."""


class Origin(msgspec.Struct, frozen=True):
    """Where a document comes from: the name its packages get, and what reports say of it."""

    name: str
    kind: str
    location: str
    row: int | None = None

    def at_row(self, row: int) -> Origin:
        """The same document, one row of it."""
        return msgspec.structs.replace(self, row=row)

    @property
    def package_id(self) -> str:
        """The id of the package here, unless it brings one."""
        return self.name if self.row is None else f"{self.name}#{self.row}"

    @property
    def source(self) -> SourceInfo:
        """The source of the package here."""
        member = None if self.row is None else f"#{self.row}"
        return SourceInfo(kind=self.kind, location=self.location, member=member)

    def error(self, message: str, advice: str = _SHAPES) -> InputError:
        """An error that names this place."""
        place = self.location if self.row is None else f"{self.location}#{self.row}"
        return InputError(location=place, message=message, help=advice)


def document_packages(
    stream: BinaryIO, origin: Origin, limits: Limits, *, rows: bool
) -> Iterator[Package | InputError]:
    """The packages in a stream of bytes: JSON, a row a line, or, when it starts neither with a
    brace nor with a bracket, the text of judge records. ``rows`` says that each line stands for
    itself whatever the first one looks like."""
    limit = limits.max_package_bytes
    lines = numbered_lines(stream, limit)
    first = next(lines, None)
    if first is None:
        if not rows:
            yield origin.error("it is empty")
        return
    if rows or _is_object(first[1]):
        second = next(lines, None)
        if rows or second is not None:
            ahead = [first] if second is None else [first, second]
            for number, line in chain(ahead, lines):
                yield from row_packages(line, origin.at_row(number), limits)
            return
    head = first[1]
    data = None if head is None else head + stream.read(limit + 1)
    if data is None or len(data) > limit:
        yield _oversized(origin, limit)
    elif data.lstrip().startswith((b"{", b"[")):
        yield from _document(data.decode("utf-8", "surrogateescape"), origin, limits)
    else:
        yield from record_packages(data, origin, limits)


def numbered_lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines with content and their numbers; None stands for one over the limit."""
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > limit:
            while line and not line.endswith(b"\n"):
                line = stream.readline(limit + 1)
            yield number, None
        elif line.strip():
            yield number, line


def _oversized(origin: Origin, limit: int) -> InputError:
    return origin.error(
        f"it is over the limit of {size_text(limit)}",
        "split it into files or rows of one package each",
    )


def _is_object(line: bytes | None) -> bool:
    if line is None or not line.lstrip().startswith(b"{"):
        return False
    try:
        value, _ = parse_json(line.decode("utf-8"))
    except ValueError:
        return False
    return isinstance(value, dict)


def record_packages(data: bytes, origin: Origin, limits: Limits) -> Iterator[Package | InputError]:
    """The packages of the judge records in a text."""
    # A byte that is not UTF-8 spoils the file it stands in, not the record.
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    records = list(split_records(text))
    for i, record in enumerate(records, 1):
        place = origin.at_row(i) if len(records) > 1 else origin
        try:
            yield parse_record(record, place.package_id, place.source, limits)
        except NoCodeError as problem:
            yield place.error(
                f"it is no judge record that can be checked: {problem}",
                'a record holds the code as JSON, {"train_py": "…", …}, before its `Output:`',
            )


def _document(text: str, origin: Origin, limits: Limits) -> Iterator[Package | InputError]:
    try:
        value, duplicates = parse_json(text)
    except ValueError as problem:
        yield from _broken(text, str(problem), origin, limits)
        return
    if not isinstance(value, list):
        yield from value_packages(value, duplicates, origin, limits)
        return
    for i, item in enumerate(value, 1):
        # Which item a duplicate key stands in is not known: each says that there is one.
        yield from value_packages(item, duplicates, origin.at_row(i), limits)
    if not value:
        yield origin.error("the list is empty")


def row_packages(
    line: bytes | None,
    origin: Origin,
    limits: Limits,
    shape: Callable[[object], object] = lambda value: value,
) -> Iterator[Package | InputError]:
    """The package of one line of JSON; ``shape`` turns its object into one that holds a package.

    None stands for a line over the limit.
    """
    if line is None:
        yield _oversized(origin, limits.max_package_bytes)
        return
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as problem:
        yield origin.error(
            f"the row is not UTF-8: {problem.reason} at byte {problem.start}",
            "write the file as UTF-8",
        )
        return
    try:
        value, duplicates = parse_json(text)
    except ValueError as problem:
        yield from _broken(text, str(problem), origin, limits)
    else:
        yield from value_packages(shape(value), duplicates, origin, limits)


def _broken(
    text: str, problem: str, origin: Origin, limits: Limits
) -> Iterator[Package | InputError]:
    """A cut JSON object: what is whole in it is judged, and the rest is said to be cut."""
    code = decode_code(text, 0, len(text))
    if not code.texts:
        yield origin.error(f"it is not valid JSON: {problem}")
        return
    yield Package(
        id=origin.package_id,
        source=origin.source,
        files=files_of(code.texts, limits),
        record=Record(truncated=True),
        partial=True,
        notes=(f"the JSON is cut or broken ({problem}): what could be read of it was checked",),
    )


def value_packages(
    value: object, duplicates: Sequence[str], origin: Origin, limits: Limits
) -> Iterator[Package | InputError]:
    """The package of one object, which had these keys twice."""
    notes = [f"the key {printable(k)!r} occurs twice: the last one counts" for k in duplicates]
    errors: list[InputError] = []
    try:
        package = _from_object(value, origin, limits, errors)
    except (BadRowError, NoCodeError) as problem:
        yield origin.error(str(problem))
        return
    yield from errors
    yield msgspec.structs.replace(package, notes=(*package.notes, *notes))


def _from_object(
    value: object, origin: Origin, limits: Limits, errors: list[InputError]
) -> Package:
    if not isinstance(value, dict):
        raise BadRowError(f"it is not an object but {_json_type(value)}")
    given = value.get("id")
    package_id = printable(given) if isinstance(given, str) and given.strip() else origin.package_id
    text = _record_text(value)
    partial = True
    if isinstance(value.get("files"), dict):
        partial = value.get("partial") is not False
        files = _mapped_files(value["files"], origin, limits, errors, partial=partial)
    elif code := _code_of(value):
        files = files_of(code, limits)
    elif text is not None:
        package = parse_record(text, package_id, origin.source, limits)
        return msgspec.structs.replace(package, record=_with_verdict(package.record, value))
    else:
        raise BadRowError("it holds no code: no key such as `train_py`, no `files`, no `record`")
    runs = _runs(value.get("runs"))
    notes = tuple(add_run_configs(files, runs, "config/run", limits))
    record = _with_verdict(None, value)
    return Package(package_id, origin.source, files, runs, record, partial=partial, notes=notes)


def _json_type(value: object) -> str:
    names: dict[type, str] = {list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _record_text(value: Mapping[str, object]) -> str | None:
    for key in _RECORD_KEYS:
        text = value.get(key)
        if isinstance(text, str):
            return text
    prompt, output = value.get("prompt", value.get("input")), value.get("output")
    if not isinstance(prompt, str):
        return None
    if isinstance(output, dict):
        output = json.dumps(output)
    return f"{prompt}\nOutput:\n{output}" if isinstance(output, str) else prompt


def _code_of(value: Mapping[str, object]) -> dict[str, Text]:
    for holder in (value, *(value.get(k) for k in _CODE_FOLDERS)):
        if not isinstance(holder, dict):
            continue
        code = {k: v for k, v in holder.items() if is_code_key(k)}
        texts = {
            k: cut_at_mark(v or "") for k, v in code.items() if v is None or isinstance(v, str)
        }
        if texts:
            return texts
    return {}


def _mapped_files(
    contents: Mapping[str, object],
    origin: Origin,
    limits: Limits,
    errors: list[InputError],
    *,
    partial: bool,
) -> dict[str, File]:
    files: dict[str, File] = {}
    budget = limits.max_package_bytes
    for raw, content in contents.items():
        try:
            if len(files) >= limits.max_files:
                raise RefusedError(f"the package has more than {limits.max_files:,} files")
            path = printable(clean_path(raw, limits.max_depth))
        except RefusedError as problem:
            message = f"the file {printable(raw)!r} was refused: {problem}"
            errors.append(origin.error(message, _PATHS))
            continue
        if path in files:
            message = f"the file {path!r} is given under two names: the last one counts"
            errors.append(origin.error(message, _PATHS))
        files[path] = _mapped_file(path, content, limits, partial=partial)
        data = files[path].data
        if data is not None and (budget := budget - len(data)) < 0:
            reason = f"the package is over the limit of {size_text(limits.max_package_bytes)}"
            files[path] = File(path, FileState.PRESENT, failure=reason)
    return dict(sorted(files.items()))


_PATHS = "give each file once, by its path relative to the package"


def _mapped_file(path: str, content: object, limits: Limits, *, partial: bool) -> File:
    if content is None or (content == "" and partial):
        return File(path, FileState.WITHHELD)
    if not isinstance(content, str):
        reason = f"its content is not text but {_content_type(content)}"
        return File(path, FileState.PRESENT, failure=reason)
    if not is_source(path):
        return File(path, FileState.PRESENT, skipped="not source: its name only")
    data = encode_text(content)
    if len(data) > limits.max_file_bytes:
        reason = too_large(len(data), limits.max_file_bytes)
        return File(path, FileState.PRESENT, failure=reason)
    return content_file(path, data)


def _content_type(content: object) -> str:
    return "an object" if isinstance(content, dict) else _json_type(content)


def _runs(value: object) -> tuple[Run, ...]:
    """Runs as a list of objects with ``run_id`` and ``config``, or as a map of id to config."""
    runs = []
    if isinstance(value, dict):
        value = [{"run_id": k, "config": v} for k, v in value.items()]
    for item in value if isinstance(value, list) else ():
        if isinstance(item, str):
            item = {"run_id": item}
        if not isinstance(item, dict) or not isinstance(item.get("run_id"), str):
            continue
        config = item.get("config", item.get("run_config"))
        if isinstance(config, dict):
            # JSON is YAML, so an object is its own config file.
            config = json.dumps(config, indent=2) + "\n"
        fields = {k: item.get(k) for k in ("method", "model", "dataset")}
        names = {k: v if isinstance(v, str) else None for k, v in fields.items()}
        text = config if isinstance(config, str) else None
        runs.append(Run(run_id=item["run_id"], config=text, **names))
    return tuple(runs)


def _with_verdict(record: Record | None, value: Mapping[str, object]) -> Record | None:
    verdict = verdict_of(value.get("verdict"))
    hypothesis = value.get("hypothesis")
    if verdict is None and not isinstance(hypothesis, str):
        return record
    record = record or Record()
    if verdict is not None:
        record = msgspec.structs.replace(record, verdict=verdict)
    if isinstance(hypothesis, str):
        record = msgspec.structs.replace(record, hypothesis=hypothesis)
    return record
