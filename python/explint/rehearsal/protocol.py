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
from explint.rehearsal.errors import RefusedError, need
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

    def object_url(self, file: kept.StoredFile) -> str:
        """Where an artifact's file is uploaded to and downloaded from."""
        return f"{self.base}/objects/{file.number}"


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
    """A file of a run or an artifact."""

    upload_headers: Sequence[str] = ()
    upload_multipart_urls = None

    def __init__(self, file: kept.StoredFile, url: str, artifact: Artifact | None = None) -> None:
        self.id = opaque("File", file.number)
        self.name = self.display_name = self.storage_path = file.name
        self.direct_url = self.upload_url = url
        self.artifact = artifact
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
        shown = [File(file, self._context.file_url(self._run, file.name)) for file in found]
        return {**_page(shown, first, after), "uploadHeaders": []}

    def output_artifacts(self, first: int | None = None, after: str | None = None) -> Any:  # noqa: ANN401
        """What the run logged."""
        versions = self._context.store.versions(self._run.entity, self._run.project)
        return _versions(self._context, [a for a in versions if a.run == self.name], first, after)

    def input_artifacts(self, first: int | None = None, after: str | None = None) -> Any:  # noqa: ANN401
        """What the run used."""
        found = [a for a in self._context.store.artifacts.values() if self.id in a.used_by]
        return _versions(self._context, found, first, after)

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


class ArtifactType:
    """A kind of artifact: whatever clients call one."""

    description = None

    def __init__(self, context: Context, entity: str, project: str, name: str) -> None:
        self._context = context
        self._place = entity, project
        self.id = opaque("ArtifactType", entity, project, name)
        self.name = name
        self.created_at = kept.now()

    def artifact(self, name: str) -> Artifact | None:
        """A version by its name and alias."""
        found = self._context.store.artifact(*self._place, name)
        return None if found is None else Artifact(self._context, found)

    def artifact_collection(self, name: str) -> ArtifactSequence | None:
        """All versions of a name."""
        return _collection(self._context, *self._place, name)


class ArtifactSequence:
    """The versions of one name."""

    __typename = "ArtifactSequence"
    description = None

    def __init__(self, context: Context, versions: Sequence[kept.Artifact]) -> None:
        self._context = context
        self._versions = versions
        first = versions[0]
        self.id = opaque("ArtifactCollection", first.entity, first.project, first.collection)
        self.name = first.collection
        self.created_at = first.created_at
        self.default_artifact_type = ArtifactType(context, first.entity, first.project, first.type)

    def project(self) -> Project | None:
        """Where it belongs."""
        first = self._versions[0]
        found = self._context.store.project(first.entity, first.project)
        return None if found is None else Project(self._context, found)

    def artifacts(self, first: int | None = None, after: str | None = None, **_: object) -> Any:  # noqa: ANN401
        """All versions, the newest first."""
        committed = [a for a in self._versions if a.version is not None]
        return _versions(self._context, committed[::-1], first, after)

    def latest_artifact(self) -> Artifact | None:
        """The newest version."""
        committed = [a for a in self._versions if a.version is not None]
        return Artifact(self._context, committed[-1]) if committed else None

    def artifact_membership(self, alias_name: str) -> ArtifactMembership | None:
        """A version by an alias."""
        first = self._versions[0]
        name = f"{first.collection}:{alias_name}"
        found = self._context.store.artifact(first.entity, first.project, name)
        return None if found is None else ArtifactMembership(self._context, found)


class ArtifactMembership:
    """A version in its collection."""

    def __init__(self, context: Context, artifact: kept.Artifact) -> None:
        self.id = opaque("ArtifactCollectionMembership", artifact.number)
        self.version_index = artifact.version
        self.created_at = artifact.created_at
        self.artifact = Artifact(context, artifact)
        self.aliases = self.artifact.aliases
        self.artifact_collection = self.artifact.artifact_sequence
        self.files = self.artifact.files


class Artifact:
    """A version of an artifact."""

    digest_algorithm = "MANIFEST_MD5"
    labels = commit_hash = None
    ttl_duration_seconds = -2
    """It never ends, in the number that clients know for that."""
    ttl_is_inherited = False

    def __init__(self, context: Context, artifact: kept.Artifact) -> None:
        self._context = context
        self._artifact = artifact
        self.id = artifact.id
        self.state = "PENDING" if artifact.version is None else "COMMITTED"
        self.digest = artifact.digest
        self.description = artifact.description
        self.metadata = artifact.metadata
        self.version_index = artifact.version
        self.history_step = artifact.history_step
        self.created_at = self.updated_at = artifact.created_at
        self.size = sum(file.size for file in artifact.files.values())
        self.file_count = len(artifact.files)
        self.tags = [{"id": opaque("Tag", name), "name": name} for name in artifact.tags]

    def aliases(self) -> list[dict[str, Any]]:
        """The names by which it can be asked for; its version is one of them."""
        mine = self._artifact
        version = [] if mine.version is None else [f"v{mine.version}"]
        return [
            {
                "id": opaque("ArtifactAlias", mine.number, alias),
                "alias": alias,
                "artifactCollectionName": mine.collection,
                "artifactCollection": self.artifact_sequence(),
            }
            for alias in (*mine.aliases, *version)
        ]

    def artifact_type(self) -> ArtifactType:
        """Its kind."""
        mine = self._artifact
        return ArtifactType(self._context, mine.entity, mine.project, mine.type)

    def artifact_sequence(self) -> ArtifactSequence:
        """The collection, in which a version not yet committed stands first."""
        mine = self._artifact
        versions = self._context.store.versions(mine.entity, mine.project, mine.collection)
        return ArtifactSequence(self._context, versions or [mine])

    def current_manifest(self) -> dict[str, Any]:
        """The list of its files."""
        return _manifest(self._context, self._artifact)

    def created_by(self) -> Run | None:
        """The run that logged it."""
        mine = self._artifact
        run = self._context.store.run(mine.entity, mine.project, mine.run or "")
        return None if run is None else Run(self._context, run)

    def files(
        self, names: list[str] | None = None, first: int | None = None, after: str | None = None
    ) -> dict[str, Any]:
        """Its files, all or those of some names."""
        found = [f for f in self._artifact.files.values() if not names or f.name in names]
        return _page([self._file(file) for file in found], first, after)

    def files_by_manifest_entries(
        self, entries: list[dict[str, Any]] | None = None, **_: object
    ) -> dict[str, Any]:
        """The files that a manifest names, in its order."""
        files = self._artifact.files
        found = [files[e["name"]] for e in entries or () if e["name"] in files]
        return _page([self._file(file) for file in found], None, None)

    def _file(self, file: kept.StoredFile) -> File:
        return File(file, self._context.object_url(file), self)


def _manifest(context: Context, artifact: kept.Artifact) -> dict[str, Any]:
    file = File(artifact.manifest, context.object_url(artifact.manifest))
    return {"id": opaque("ArtifactManifest", artifact.number), "file": file}


def _collection(context: Context, entity: str, project: str, name: str) -> ArtifactSequence | None:
    versions = context.store.versions(entity, project, name)
    return ArtifactSequence(context, versions) if versions else None


def _versions(
    context: Context, artifacts: Sequence[kept.Artifact], first: int | None, after: str | None
) -> dict[str, Any]:
    page = _page([Artifact(context, artifact) for artifact in artifacts], first, after)
    for edge in page["edges"]:
        edge["version"] = f"v{edge['node'].version_index}"
    return page


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

    def artifact(self, name: str, **_: object) -> Artifact | None:
        """A version by its name and alias."""
        found = self._context.store.artifact(self.entity_name, self.name, name)
        return None if found is None else Artifact(self._context, found)

    def artifact_type(self, name: str) -> ArtifactType:
        """Any kind that a client names."""
        return ArtifactType(self._context, self.entity_name, self.name, name)

    def artifact_collection(self, name: str) -> ArtifactSequence | None:
        """All versions of a name."""
        return _collection(self._context, self.entity_name, self.name, name)

    def artifact_collection_membership(self, name: str) -> ArtifactMembership | None:
        """A version by its name and alias."""
        found = self._context.store.artifact(self.entity_name, self.name, name)
        return None if found is None else ArtifactMembership(self._context, found)


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
        shown = [File(file, self._context.file_url(run, file.name)) for file in made]
        return {"runID": run.id, "uploadHeaders": [], "files": shown}

    def artifact(self, id: str) -> Artifact | None:
        """An artifact by the id that the API gave it."""
        found = self._context.store.artifacts.get(id)
        return None if found is None else Artifact(self._context, found)

    def client_id_mapping(self, client_id: str) -> dict[str, str] | None:
        """The artifact that a client named itself when it made it."""
        for artifact in self._context.store.artifacts.values():
            if artifact.client_id == client_id:
                return {"serverID": artifact.id}
        return None

    def create_artifact_type(self, given: dict[str, Any]) -> dict[str, Any]:
        """Nothing to do: a type is there when an artifact is of it."""
        names = given["entityName"], given["projectName"], given["name"]
        return {"artifactType": ArtifactType(self._context, *names)}

    def create_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        """Begins a version; contents that are the latest already make no new one."""
        store = self._context.store
        names = given.get("artifactCollectionNames") or [given.get("artifactCollectionName")]
        if not names[0]:
            raise RefusedError("an artifact without a name")
        versions = store.versions(given["entityName"], given["projectName"], names[0])
        same = [a for a in versions if a.digest == given["digest"]]
        if given.get("enableDigestDeduplication") and same:
            found = same[-1]
            found.client_id = given.get("clientID") or found.client_id
        else:
            store.add_project(given["entityName"], given["projectName"])
            found = store.add_artifact({**given, "collection": names[0]})
        return {"artifact": Artifact(self._context, found)}

    def create_artifact_manifest(self, given: dict[str, Any]) -> dict[str, Any]:
        """Says where the list of files is to be uploaded."""
        artifact = self._known(given["artifactID"])
        return {"artifactManifest": _manifest(self._context, artifact)}

    def update_artifact_manifest(self, given: dict[str, Any]) -> dict[str, Any]:
        """Says where a longer list of files is to be uploaded."""
        for artifact in self._context.store.artifacts.values():
            if opaque("ArtifactManifest", artifact.number) == given["artifactManifestID"]:
                return {"artifactManifest": _manifest(self._context, artifact)}
        raise RefusedError("a change to a manifest that is not there")

    def create_artifact_files(self, given: dict[str, Any]) -> dict[str, Any]:
        """Says where files are to be uploaded."""
        store = self._context.store
        shown = []
        for spec in given["artifactFiles"]:
            artifact = self._known(spec["artifactID"])
            file = artifact.files.setdefault(spec["name"], store.new_file(spec["name"]))
            view = Artifact(self._context, artifact)
            shown.append(File(file, self._context.object_url(file), view))
        return {"files": _page(shown, None, None)}

    def commit_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        """Makes a version the latest one."""
        artifact = self._known(given["artifactID"])
        self._context.store.commit(artifact)
        return {"artifact": Artifact(self._context, artifact)}

    def use_artifact(self, given: dict[str, Any]) -> dict[str, Any]:
        """Notes that a run takes an artifact."""
        artifact = self._known(given["artifactID"])
        place = given["entityName"], given["projectName"], given["runName"]
        run = self._context.store.run(*place)
        if run is not None and run.id not in artifact.used_by:
            artifact.used_by.append(run.id)
        return {"artifact": Artifact(self._context, artifact)}

    def _known(self, storage_id: str) -> kept.Artifact:
        found = self._context.store.artifacts.get(storage_id)
        if found is None:
            raise RefusedError("an artifact that is not there")
        return found

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
    return _CAPITAL.sub("_", name.replace("IDM", "IdM")).lower()


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
    need("graphql")
    from graphql import GraphQLObjectType, build_schema

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
