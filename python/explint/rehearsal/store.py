"""What clients wrote: projects, runs with their history, and files, in memory and in one folder.

File contents lie in the folder under numbers, never under the names that clients give them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from explint.rehearsal.errors import RefusedError

RunState = Literal["running", "finished", "failed", "crashed"]

MAX_RUNS: Final = 10_000
MAX_ROWS: Final = 2_000_000
"""Rows of all streams of all runs."""
MAX_BYTES: Final = 4 << 30
"""Bytes of all files."""


def now() -> str:
    """The time as W&B writes it: UTC, to the second, without an offset."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def opaque(*parts: object) -> str:
    """An id of the form that W&B hands out."""
    return base64.b64encode(":".join(map(str, parts)).encode()).decode()


class StoredFile(msgspec.Struct):
    """A file's name, and where its content lies; ``path`` is None until it is uploaded."""

    name: str
    number: int
    path: Path | None = None
    size: int = 0
    md5: str = ""
    updated_at: str = ""

    @property
    def mimetype(self) -> str:
        """Guessed from the name, as W&B does."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


class Row(msgspec.Struct, frozen=True):
    """A line of history as JSON, and its values by name."""

    text: str
    values: Mapping[str, Any]

    @property
    def step(self) -> int:
        """``_step``, or 0 where a client sent none."""
        step = self.values.get("_step", 0)
        return int(step) if isinstance(step, int | float) else 0


def json_object(text: str) -> dict[str, Any] | None:
    """A JSON object that a client sent, None when it is none.

    Clients send NaN and infinity as bare words, which JSON has not. W&B's server keeps them as the
    strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, and gives those back
    (https://github.com/wandb/sweeps/pull/32).
    """
    try:
        parsed = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def row_of(text: str) -> Row | None:
    """A history line read; None when it is no JSON object.

    Nested objects are also found under dotted names, which is how W&B's server lists them.
    """
    parsed = json_object(text)
    if parsed is None:
        return None
    values = dict(parsed)
    pending = [(key, value) for key, value in parsed.items() if isinstance(value, dict)]
    while pending:
        prefix, inner = pending.pop()
        if "_type" in inner:
            continue
        for key, value in inner.items():
            name = f"{prefix}.{key}"
            values.setdefault(name, value)
            if isinstance(value, dict):
                pending.append((name, value))
    return Row(json.dumps(parsed), values)


class Run(msgspec.Struct, kw_only=True):
    """A run as the server knows it.

    ``config`` is in W&B's own form, ``{key: {"value": …}}``; ``rows`` hold None for lines that a
    client left out or that are no JSON objects.
    """

    number: int
    entity: str
    project: str
    name: str
    display_name: str
    created_at: str
    heartbeat_at: str
    state: RunState = "running"
    exit_code: int | None = None
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    rows: list[Row | None] = []
    events: list[str] = []
    output: list[str] = []
    files: dict[str, StoredFile] = {}
    texts: dict[str, str] = {}
    tags: list[str] = []
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    commit: str | None = None
    host: str | None = None

    @property
    def id(self) -> str:
        """The id under which mutations find the run again."""
        return opaque("Run", "v1", self.name, self.project, self.entity)

    @property
    def path(self) -> str:
        """``entity/project/run``, as ``Api().run`` takes it."""
        return f"{self.entity}/{self.project}/{self.name}"

    def history(self) -> list[Row]:
        """The rows that are there, in order of their step.

        A run that is started anew without ``resume`` goes through the same steps again, and its
        rows take the place of the old ones one by one; later steps of the old start stay
        (https://github.com/wandb/wandb/issues/3424).
        """
        rows = {row.step: row for row in self.rows if row is not None}
        return [rows[step] for step in sorted(rows)]

    def keys(self) -> tuple[str, ...]:
        """Every key that history holds, W&B's own (``_step`` …) left out, sorted."""
        found = {key for row in self.history() for key in row.values}
        return tuple(sorted(key for key in found if not key.startswith("_")))

    def plain_config(self) -> dict[str, Any]:
        """The config as training gave it."""
        return {
            key: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
            for key, entry in self.config.items()
            if key not in ("_wandb", "wandb_version")
        }


def sampled(rows: Sequence[Row], samples: int | None) -> list[Row]:
    """At most ``samples`` rows, first and last among them, evenly apart."""
    if samples is None or len(rows) <= samples:
        return list(rows)
    if samples <= 1:
        return list(rows[:samples])
    last = len(rows) - 1
    return [rows[round(i * last / (samples - 1))] for i in range(samples)]


def with_keys(rows: Iterable[Row], keys: Sequence[str]) -> Iterator[Row]:
    """The rows that hold every one of the keys: a row that lacks one is left out."""
    for row in rows:
        if all(key in row.values for key in keys):
            yield row


class Artifact(msgspec.Struct, kw_only=True):
    """A version of an artifact, from its creation on; ``version`` is None until it is committed.

    ``run`` is the name of the run that logged it, ``used_by`` are the ids of runs that took it.
    """

    number: int
    entity: str
    project: str
    collection: str
    type: str
    digest: str
    created_at: str
    manifest: StoredFile
    run: str | None = None
    client_id: str | None = None
    description: str | None = None
    metadata: str | None = None
    history_step: int | None = None
    version: int | None = None
    aliases: list[str] = []
    tags: list[str] = []
    files: dict[str, StoredFile] = {}
    used_by: list[str] = []

    @property
    def id(self) -> str:
        """The id that the API gives."""
        return opaque("Artifact", self.number)


class Project(msgspec.Struct):
    """A project and its runs by name, in the order in which they were made."""

    number: int
    entity: str
    name: str
    created_at: str
    runs: dict[str, Run] = {}

    @property
    def id(self) -> str:
        """The id that the API gives."""
        return opaque("Project", "v1", self.name, self.entity)


class Store:
    """Everything that was written; callers hold the server's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.projects: dict[tuple[str, str], Project] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.objects: dict[int, StoredFile] = {}
        self._runs: dict[str, Run] = {}
        self._bytes = 0
        self._rows = 0

    def runs(self) -> list[Run]:
        """All runs of all projects, in the order in which they were made."""
        return list(self._runs.values())

    def project(self, entity: str, name: str) -> Project | None:
        """The project, None when nothing was written to it."""
        return self.projects.get((entity, name))

    def run(self, entity: str, project: str, name: str) -> Run | None:
        """The run, None when there is none."""
        found = self.project(entity, project)
        return None if found is None else found.runs.get(name)

    def by_id(self, storage_id: str) -> Run | None:
        """The run that an id from the API stands for."""
        return self._runs.get(storage_id)

    def add_project(self, entity: str, name: str) -> Project:
        """The project, made where it is not there."""
        key = (entity, name)
        if key not in self.projects:
            self.projects[key] = Project(len(self.projects) + 1, entity, name, now())
        return self.projects[key]

    def add_run(self, entity: str, project: str, name: str) -> Run:
        """A new run."""
        if len(self._runs) >= MAX_RUNS:
            raise RefusedError(f"more than {MAX_RUNS} runs")
        time = now()
        run = Run(
            number=len(self._runs) + 1,
            entity=entity,
            project=project,
            name=name,
            display_name=name,
            created_at=time,
            heartbeat_at=time,
        )
        self.add_project(entity, project).runs[name] = run
        self._runs[run.id] = run
        return run

    def stream(self, run: Run, name: str, offset: int, lines: Sequence[str]) -> None:
        """Lines of one of a run's growing files, the first of which is number ``offset``.

        Lines that are already there are replaced.
        """
        offset = max(offset, 0)
        self._rows += len(lines)
        if self._rows > MAX_ROWS:
            raise RefusedError(f"more than {MAX_ROWS} lines")
        match name:
            case "wandb-history.jsonl":
                _lay(run.rows, offset, [row_of(line) for line in lines], None)
            case "wandb-events.jsonl":
                _lay(run.events, offset, lines, "")
            case "wandb-summary.json":
                parsed = json_object(lines[-1]) if lines else None
                if parsed is not None:
                    run.summary = parsed
            case "output.log":
                _lay(run.output, offset, lines, "")
            case _:
                run.texts[name] = "\n".join(lines)

    def file(self, run: Run, name: str) -> StoredFile:
        """The run's file of that name, to be uploaded."""
        if name not in run.files:
            run.files[name] = self.new_file(name)
        return run.files[name]

    def new_file(self, name: str) -> StoredFile:
        """A file that is not uploaded yet."""
        file = StoredFile(name, len(self.objects) + 1)
        self.objects[file.number] = file
        return file

    def add_artifact(self, given: dict[str, Any]) -> Artifact:
        """A new version, described as the API describes it and not committed yet."""
        artifact = Artifact(
            number=len(self.artifacts) + 1,
            entity=given["entityName"],
            project=given["projectName"],
            collection=given["collection"],
            type=given["artifactTypeName"],
            digest=given["digest"],
            created_at=now(),
            manifest=self.new_file("wandb_manifest.json"),
            run=given.get("runName"),
            client_id=given.get("clientID"),
            description=given.get("description"),
            metadata=given.get("metadata"),
            history_step=given.get("historyStep"),
            aliases=[alias["alias"] for alias in given.get("aliases") or ()],
            tags=[tag["tagName"] for tag in given.get("tags") or ()],
        )
        self.artifacts[artifact.id] = artifact
        return artifact

    def versions(self, entity: str, project: str, collection: str | None = None) -> list[Artifact]:
        """The committed versions of a collection or of a whole project, oldest first."""
        return [
            a
            for a in self.artifacts.values()
            if (a.entity, a.project) == (entity, project)
            and a.version is not None
            and (collection is None or a.collection == collection)
        ]

    def commit(self, artifact: Artifact) -> None:
        """Makes an artifact the latest version of its collection."""
        if artifact.version is not None:
            return
        others = self.versions(artifact.entity, artifact.project, artifact.collection)
        artifact.version = len(others)
        artifact.aliases = list(dict.fromkeys([*artifact.aliases, "latest"]))
        for other in others:
            other.aliases = [a for a in other.aliases if a not in artifact.aliases]

    def artifact(self, entity: str, project: str, name: str) -> Artifact | None:
        """The version that ``collection:alias`` names, ``latest`` where no alias is given."""
        collection, _, alias = name.partition(":")
        for artifact in self.versions(entity, project, collection):
            if (alias or "latest") in (*artifact.aliases, f"v{artifact.version}"):
                return artifact
        return None

    def write(self, file: StoredFile, size: int, read: Callable[[int], bytes]) -> None:
        """Takes the content of a file from ``read``, ``size`` bytes of it."""
        if self._bytes + size > MAX_BYTES:
            raise RefusedError(f"more than {MAX_BYTES} bytes of files")
        self._bytes += size
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{file.number:06d}"
        digest = hashlib.md5(usedforsecurity=False)
        left = size
        with path.open("wb") as target:
            while left and (chunk := read(min(left, 1 << 20))):
                digest.update(chunk)
                target.write(chunk)
                left -= len(chunk)
        file.path = path
        file.size = size - left
        file.md5 = base64.b64encode(digest.digest()).decode()
        file.updated_at = now()


def _lay(target: list[Any], offset: int, items: Sequence[Any], gap: object) -> None:
    # A client may skip lines; an offset far outside would only cost memory.
    if offset > len(target) + 100_000:
        raise RefusedError(f"line {offset} of a file with {len(target)} lines")
    target.extend([gap] * (offset - len(target)))
    target[offset : offset + len(items)] = items
