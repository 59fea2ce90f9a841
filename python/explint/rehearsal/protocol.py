"""The part of W&B's GraphQL API that the stand-in serves.

What can be asked stands in ``schema.graphql``. A type there is a class here, and a field the
attribute or method of the same name in Python's spelling.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from explint.rehearsal import store as kept
from explint.rehearsal.errors import MissingExtraError, RefusedError
from explint.rehearsal.filters import chosen
from explint.rehearsal.store import Store, json_object, opaque, sampled, with_keys

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLResolveInfo, GraphQLSchema

ENTITY: Final = "explint"
"""The entity of whoever has the stand-in's key."""

_LARGEST_PAGE: Final = 10_000


class Context(NamedTuple):
    """What answers are made of: the store, and the address under which the client came."""

    store: Store
    base: str

    def file_url(self, run: kept.Run, name: str) -> str:
        """Where a run's file is uploaded to and downloaded from."""
        place = "/".join(quote(part, safe="") for part in (run.entity, run.project, run.name))
        return f"{self.base}/files/{place}/{quote(name)}"


def _page(items: Sequence[Any], first: int | None, after: str | None) -> dict[str, Any]:
    """A connection over items; a cursor is the number of items up to its own."""
    start = int(after) if after and after.isascii() and after.isdigit() else 0
    size = max(0, min(_LARGEST_PAGE if first is None else first, _LARGEST_PAGE))
    edges = [
        {"node": item, "cursor": str(number)}
        for number, item in enumerate(items[start : start + size], start + 1)
    ]
    info = {
        "endCursor": edges[-1]["cursor"] if edges else None,
        "hasNextPage": start + size < len(items),
    }
    return {"totalCount": len(items), "edges": edges, "pageInfo": info}


class Entity:
    """Whoever owns projects: any name that a client writes under is one."""

    is_team = False

    def __init__(self, name: str) -> None:
        self.id = opaque("Entity", name)
        self.name = name


class User:
    """The one user there is."""

    id = opaque("User", 1)
    name = username = entity = ENTITY
    email = ""
    admin = False
    flags = "{}"
    deleted_at = None
    default_entity = Entity(ENTITY)
    teams: Mapping[str, Any] = {"edges": []}
    api_keys: Mapping[str, Any] = {"edges": []}


class File:
    """A file of a run."""

    upload_headers: Sequence[str] = ()

    def __init__(self, context: Context, run: kept.Run, file: kept.StoredFile) -> None:
        self.id = opaque("File", run.id, file.name)
        self.name = self.display_name = self.storage_path = file.name
        self.direct_url = self.upload_url = context.file_url(run, file.name)
        self.size_bytes = file.size
        self.mimetype = file.mimetype
        self.md5 = self.digest = file.md5
        self.updated_at = file.updated_at or None

    def url(self, **_: object) -> str:
        """The same address for both ways."""
        return self.direct_url


class Run:
    """A run with what it logged."""

    sweep_name = None
    stopped = False
    read_only = False
    user = User()
    system_metrics = "{}"

    def __init__(self, context: Context, run: kept.Run) -> None:
        self._context = context
        self._run = run
        self.id = run.id
        self.name = run.name
        self.display_name = run.display_name
        self.notes = self.description = run.notes
        self.tags = run.tags
        self.group = self.group_name = run.group
        self.job_type = run.job_type
        self.commit = run.commit
        self.host = run.host
        self.state = run.state
        self.created_at = run.created_at
        self.heartbeat_at = self.updated_at = run.heartbeat_at
        self.history_line_count = len(run.rows)
        self.events_line_count = len(run.events)
        self.log_line_count = len(run.output)

    def project_id(self) -> str:
        """The number by which clients name the project in later queries."""
        return self.project().internal_id

    def project(self) -> Project:
        """The project it belongs to."""
        return Project(
            self._context, self._context.store.projects[self._run.entity, self._run.project]
        )

    def config(self) -> str:
        """In W&B's form, ``{key: {"value": …}}``."""
        return json.dumps(self._run.config)

    def wandb_config(self, keys: list[str] | None = None) -> str:
        """What the client notes of itself."""
        own = self._run.config.get("_wandb", {})
        value = own.get("value", {}) if isinstance(own, dict) else {}
        return json.dumps({k: v for k, v in value.items() if keys is None or k in keys})

    def summary_metrics(self) -> str:
        """The last value of each key, and what training set itself."""
        return json.dumps(self._run.summary)

    def history_keys(self) -> dict[str, Any]:
        """Which keys there are, of which types, and the last step."""
        rows = self._run.history()
        keys: dict[str, dict[str, int]] = {}
        for row in rows:
            for key, value in row.values.items():
                kinds = keys.setdefault(key, {})
                kinds[_kind(value)] = kinds.get(_kind(value), 0) + 1
        return {
            "sets": [],
            "keys": {
                key: {"typeCounts": [{"type": kind, "count": n} for kind, n in kinds.items()]}
                for key, kinds in keys.items()
            },
            "lastStep": rows[-1].step if rows else -1,
        }

    def history_tail(self) -> str:
        """The last line."""
        return json.dumps([row.text for row in self._run.rows[-1:] if row is not None])

    def events_tail(self) -> str:
        """The last line of what the client measures of the machine."""
        return json.dumps(self._run.events[-1:])

    def history(
        self, min_step: int | None = None, max_step: int | None = None, samples: int | None = None
    ) -> list[str]:
        """Whole rows: a sample of all, or the first of a range of steps."""
        rows = _between(self._run.history(), min_step, max_step)
        if min_step is None and max_step is None:
            rows = sampled(rows, samples)
        return [row.text for row in rows[: _LARGEST_PAGE if samples is None else samples]]

    def events(self, samples: int | None = None) -> list[str]:
        """What the client measured of the machine."""
        lines = [line for line in self._run.events if line]
        return lines[: _LARGEST_PAGE if samples is None else samples]

    def sampled_history(self, specs: list[str]) -> list[list[dict[str, Any]]]:
        """For each specification the rows that hold all of its keys."""
        return [self._history(json_object(spec) or {}) for spec in specs]

    def _history(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        unknown = spec.keys() - {"keys", "samples", "minStep", "maxStep"}
        if unknown:
            raise RefusedError(f"sampled history by {', '.join(sorted(unknown))}")
        rows = _between(self._run.history(), spec.get("minStep"), spec.get("maxStep"))
        keys = spec.get("keys")
        if not keys:
            return [dict(json.loads(row.text)) for row in sampled(rows, spec.get("samples"))]
        found = sampled(list(with_keys(rows, keys)), spec.get("samples"))
        return [{key: row.values[key] for key in keys} for row in found]

    def parquet_history(self, live_keys: list[str]) -> dict[str, Any]:
        """Of a history that is not exported yet, clients take the live rows."""
        rows = with_keys(self._run.history(), live_keys)
        return {"parquetUrls": [], "liveData": [json.loads(row.text) for row in rows]}

    def log_lines(
        self,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        **_: object,
    ) -> dict[str, Any]:
        """What training printed."""
        lines = [{"number": number, "line": line} for number, line in enumerate(self._run.output)]
        return _page(lines if last is None else lines[-last:] if last else [], first, after)

    def file_count(self) -> int:
        """How many files were uploaded."""
        return len(self._files())

    def files(
        self,
        names: list[str | None] | None = None,
        pattern: str | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """The files that were uploaded, all or those of some names."""
        found = self._files()
        if names:
            found = [file for file in found if file.name in names]
        elif pattern:
            # As in SQL, which is what the server hands it to.
            glob = pattern.replace("%", "*") if "%" in pattern else pattern
            found = [file for file in found if fnmatchcase(file.name, glob)]
        shown = [File(self._context, self._run, file) for file in found]
        return {**_page(shown, first, after), "uploadHeaders": []}

    def _files(self) -> list[kept.StoredFile]:
        return [file for file in self._run.files.values() if file.path is not None]


def _between(rows: list[kept.Row], low: int | None, high: int | None) -> list[kept.Row]:
    return [
        row
        for row in rows
        if (low is None or row.step >= low) and (high is None or row.step < high)
    ]


def _kind(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case dict():
            return str(value.get("_type", "map"))
        case list():
            return "list"
    return "nil"


class Project:
    """A project with its runs."""

    description = None
    access = "USER_WRITE"
    views = "{}"
    is_benchmark = False
    read_only = False
    user = User()

    def __init__(self, context: Context, project: kept.Project) -> None:
        self._context = context
        self._project = project
        self.id = project.id
        self.internal_id = str(project.number)
        self.name = project.name
        self.entity_name = project.entity
        self.entity = Entity(project.entity)
        self.created_at = project.created_at

    def run_count(self, filters: str | None = None) -> int:
        """How many runs pass a filter."""
        return len(chosen(self._project.runs.values(), filters, None))

    def runs(
        self,
        filters: str | None = None,
        order: str | None = None,
        names: list[str] | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """The runs that pass a filter."""
        runs = [run for run in self._project.runs.values() if not names or run.name in names]
        shown = [Run(self._context, run) for run in chosen(runs, filters, order)]
        return _page(shown, first, after)

    def run(self, name: str) -> Run | None:
        """One run by its id."""
        found = self._project.runs.get(name)
        return None if found is None else Run(self._context, found)

    def bucket(self, name: str, **_: object) -> Run | None:
        """The name that runs had once."""
        return self.run(name)


class ServerInfo:
    """No feature beyond the oldest way: what clients then ask for is less."""

    features: Sequence[object] = ()
    cli_version_info: Mapping[str, Any] = {}
    latest_local_version_info = None


class Root:
    """What queries and mutations start from."""

    viewer = User()
    server_info = ServerInfo()

    def __init__(self, context: Context) -> None:
        self._context = context

    def entity(self, name: str | None = None) -> Entity:
        """Any entity there may be."""
        return Entity(name or ENTITY)

    def project(self, name: str | None = None, entity_name: str | None = None) -> Project | None:
        """A project that something was written to."""
        found = self._context.store.project(entity_name or ENTITY, name or _UNNAMED)
        return None if found is None else Project(self._context, found)

    def model(self, name: str | None = None, entity_name: str | None = None) -> Project | None:
        """The name that projects had once."""
        return self.project(name, entity_name)

    def models(
        self, entity_name: str | None = None, first: int | None = None, after: str | None = None
    ) -> dict[str, Any]:
        """The projects of an entity."""
        entity = entity_name or ENTITY
        mine = [p for p in self._context.store.projects.values() if p.entity == entity]
        return _page([Project(self._context, project) for project in mine], first, after)

    def upsert_bucket(self, given: dict[str, Any]) -> dict[str, Any]:
        """Makes a run, starts one anew, or changes one."""
        store = self._context.store
        given = {key: value for key, value in given.items() if value is not None}
        run = None
        inserted = False
        if "id" in given:
            run = store.by_id(given["id"])
            if run is None:
                raise RefusedError("a change to a run that is not there")
        else:
            entity, project = given.get("entityName") or ENTITY, given.get("modelName") or _UNNAMED
            name = given.get("name")
            if not name:
                raise RefusedError("a run without a name")
            run = store.run(entity, project, name)
            inserted = run is None
            if run is None:
                run = store.add_run(entity, project, name)
            run.state = "running"
            run.exit_code = None
        for key, field in _RUN_FIELDS.items():
            if key in given:
                setattr(run, field, given[key])
        if "config" in given:
            run.config = _object(given["config"], "config")
        if "summaryMetrics" in given:
            run.summary = _object(given["summaryMetrics"], "summary")
        return {
            "bucket": Run(self._context, run),
            "inserted": inserted,
            "serverSettings": {"serverMessages": []},
        }

    def upsert_model(self, given: dict[str, Any]) -> dict[str, Any]:
        """Makes a project."""
        store = self._context.store
        entity = given.get("entityName") or ENTITY
        inserted = store.project(entity, given["name"]) is None
        project = Project(self._context, store.add_project(entity, given["name"]))
        return {"model": project, "project": project, "inserted": inserted}

    def create_run_files(self, given: dict[str, Any]) -> dict[str, Any]:
        """Says where files of a run are to be uploaded."""
        entity, project = given.get("entityName") or ENTITY, given.get("projectName") or _UNNAMED
        run = self._context.store.run(entity, project, given["runName"])
        if run is None:
            raise RefusedError(f"files of the run {given['runName']}, which is not there")
        made = [self._context.store.file(run, name) for name in given["files"]]
        shown = [File(self._context, run, file) for file in made]
        return {"runID": run.id, "uploadHeaders": [], "files": shown}

    def mark_run_files_uploaded(self, **_: object) -> dict[str, bool]:
        """Nothing to do: what was uploaded is known."""
        return {"success": True}

    def notify_scriptable_run_alert(self, **_: object) -> dict[str, bool]:
        """Nobody is there to be told."""
        return {"success": True}


_UNNAMED: Final = "uncategorized"
_RUN_FIELDS: Final = {
    "displayName": "display_name",
    "notes": "notes",
    "description": "notes",
    "tags": "tags",
    "groupName": "group",
    "jobType": "job_type",
    "commit": "commit",
    "host": "host",
    "state": "state",
}


def _object(text: str, what: str) -> dict[str, Any]:
    found = json_object(text)
    if found is None:
        raise RefusedError(f"a {what} that is no JSON object")
    return found


_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@functools.cache
def _snake(name: str) -> str:
    """``entityName`` in Python's spelling, ``entity_name``."""
    return _CAPITAL.sub("_", name).lower()


def _field(source: Any, info: GraphQLResolveInfo[Context], **arguments: object) -> Any:  # noqa: ANN401
    """The value of a field: an entry, an attribute, or what a method gives."""
    name = info.field_name
    if isinstance(source, Mapping):
        return source.get(name)
    value = getattr(source, _snake(name))
    return value(**arguments) if callable(value) else value


@functools.cache
def schema() -> GraphQLSchema:
    """What the stand-in serves.

    Raises:
        MissingExtraError: graphql-core is not installed.
    """
    try:
        from graphql import GraphQLObjectType, build_schema
    except ImportError:
        raise MissingExtraError("graphql-core") from None
    text = files("explint.rehearsal").joinpath("schema.graphql").read_text(encoding="utf-8")
    built = build_schema(text)
    for name, kind in built.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            for field in kind.fields.values():
                for argument, described in field.args.items():
                    described.out_name = "given" if argument == "input" else _snake(argument)
    return built


@functools.lru_cache(256)
def _parsed(text: str) -> tuple[DocumentNode | None, tuple[str, ...]]:
    from graphql import GraphQLError, parse, validate

    try:
        document = parse(text, max_tokens=20_000)
    except GraphQLError as error:
        return None, (error.message,)
    return document, tuple(error.message for error in validate(schema(), document))


class Answer(NamedTuple):
    """What a query gave. ``refused`` says what the stand-in does not serve of it."""

    data: Any
    refused: tuple[str, ...] = ()


def execute(
    store: Store, base: str, query: str, variables: Mapping[str, Any], operation: str | None
) -> Answer:
    """Runs a query or mutation."""
    from graphql import ExecutionResult
    from graphql import execute as run_document

    document, problems = _parsed(query)
    if document is None or problems:
        return Answer(None, problems)
    result = run_document(
        schema(),
        document,
        root_value=Root(Context(store, base)),
        variable_values=dict(variables),
        operation_name=operation,
        field_resolver=_field,
    )
    assert isinstance(result, ExecutionResult)
    refused = tuple(
        f"not served: {error.original_error}"
        if isinstance(error.original_error, RefusedError)
        else error.message
        for error in result.errors or ()
    )
    return Answer(result.data, refused)
