"""A stand-in for a W&B server on the loopback interface.

Real clients write to it in online mode and read from it with ``wandb.Api()``; nothing leaves the
machine and no account is needed. What it does not serve it refuses by name, and keeps in its log.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hmac
import io
import json
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import msgspec

from explint.regex import regex
from explint.rehearsal.errors import RefusedError
from explint.rehearsal.protocol import execute, schema
from explint.rehearsal.store import Run, Store, StoredFile, now

API_KEY: Final = "explint" + "0" * 33
"""What clients take for a key: 40 characters. It opens nothing but the stand-in."""

_MAX_BODY: Final = 256 << 20
"""Bytes of one request that is no file."""

_MAX_UPLOAD: Final = 2 << 30
_KEPT: Final = 10_000
"""Entries of the log; a client that polls must not fill the memory."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request: what was asked, and why it was refused when it was."""

    method: str
    path: str
    status: int
    operation: str = ""
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.method} {self.path}" + (f" ({self.operation})" if self.operation else "")
        return f"{what}: {'; '.join(self.refused)}" if self.refused else f"{what}: {self.status}"


class LocalWandb:
    """A W&B server for as long as the ``with`` block lasts.

    ``folder`` takes the files that clients upload, the log (``server.jsonl``, a line a request)
    and at the end what each run held (``runs.jsonl``). ``environment`` is what a client needs to
    find the server and to write nowhere else.

    Raises:
        MissingExtraError: a library of the extra ``rehearsal`` is not installed.
        OSError: the folder cannot be written, or no port is free.
    """

    def __init__(self, folder: Path) -> None:
        schema()
        self.folder = folder
        self.lock = threading.RLock()
        self.store = Store(folder / "files")
        self.log: list[Entry] = []
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lines = (self.folder / "server.jsonl").open("a", encoding="utf-8")
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.wandb = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._lines.close()
        with self.lock, (self.folder / "runs.jsonl").open("w", encoding="utf-8") as target:
            for run in self.store.runs():
                target.write(json.dumps(_summary(run), ensure_ascii=False) + "\n")

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address for ``WANDB_BASE_URL``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for processes that use W&B."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": API_KEY,
            "WANDB_MODE": "online",
            # Clients send crashes of their own to their makers otherwise.
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_GIT": "true",
            "WANDB_DISABLE_CODE": "true",
            "WANDB__DISABLE_STATS": "true",
            "WANDB_X_DISABLE_STATS": "true",
            "WANDB_CONSOLE": "off",
            # A proxy for the outside must not be asked for what is inside.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def runs(self) -> list[Run]:
        """All runs, in the order in which they were made."""
        with self.lock:
            return self.store.runs()

    def refused(self) -> list[Entry]:
        """The requests that the stand-in did not serve, each kind once."""
        with self.lock:
            return list(dict.fromkeys(entry for entry in self.log if entry.refused))

    def settle(self) -> None:
        """Declares runs crashed that say they are running: their process is gone.

        W&B does the same when it has heard nothing of a run for five minutes.
        """
        with self.lock:
            for run in self.store.runs():
                if run.state == "running":
                    run.state = "crashed"

    def note(self, entry: Entry) -> None:
        """Keeps a request in the log."""
        with self.lock:
            if len(self.log) < _KEPT:
                self.log.append(entry)
                self._lines.write(json.dumps({"at": now(), **msgspec.to_builtins(entry)}) + "\n")
                self._lines.flush()


def _summary(run: Run) -> dict[str, Any]:
    return {
        "run": run.path,
        "state": run.state,
        "config": run.plain_config(),
        "summary": run.summary,
        "history": [json.loads(row.text) for row in run.history()],
        "files": [{"name": f.name, "bytes": f.size} for f in run.files.values() if f.path],
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    wandb: LocalWandb

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _ProblemError(Exception):
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    # Clients keep connections open, and wait for the answer's length.
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 300

    def do_GET(self) -> None:
        self._serve(self._downloads())

    def do_HEAD(self) -> None:
        self._serve(self._downloads())

    def do_PUT(self) -> None:
        self._serve({"files": self._upload, "objects": self._upload})

    def do_POST(self) -> None:
        self._serve({"graphql": self._graphql, "files": self._file_stream, "sdk": self._telemetry})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self, routes: Mapping[str, Callable[[], None]]) -> None:
        self._path = urlsplit(self.path).path
        self._parts = [unquote(part) for part in self._path.strip("/").split("/")]
        self._operation = ""
        self._rest = self._length()
        try:
            route = routes.get(self._parts[0])
            if route is None:
                raise _ProblemError(HTTPStatus.NOT_FOUND, f"no such address: {self._path}")
            route()
        except _ProblemError as problem:
            self._fail(problem.status, (str(problem),))
        except RefusedError as error:
            self._fail(HTTPStatus.BAD_REQUEST, (f"not served: {error}",))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"a request of another form than expected ({type(error).__name__}: {error})"
            self._fail(HTTPStatus.BAD_REQUEST, (said,))

    # ---- routes ----

    def _graphql(self) -> None:
        self._check_key()
        request = self._json()
        query = request.get("query")
        if not isinstance(query, str):
            raise _ProblemError(HTTPStatus.BAD_REQUEST, "no query")
        self._operation = str(request.get("operationName") or _name_of(query))
        variables = _given(request.get("variables") or {})
        wandb = self.server.wandb
        with wandb.lock:
            # Some clients send an empty name.
            name = request.get("operationName") or None
            answer = execute(wandb.store, self._base(), query, variables, name)
        if answer.refused:
            self._fail(HTTPStatus.BAD_REQUEST, answer.refused, answer.data)
        else:
            self._send({"data": answer.data})

    def _file_stream(self) -> None:
        if len(self._parts) != 5 or self._parts[4] != "file_stream":
            raise _ProblemError(HTTPStatus.NOT_FOUND, "no such address")
        self._check_key()
        _, entity, project, name, _ = self._parts
        body = self._json()
        wandb = self.server.wandb
        with wandb.lock:
            run = wandb.store.run(entity, project, name)
            if run is None:
                raise _ProblemError(HTTPStatus.NOT_FOUND, f"no run {entity}/{project}/{name}")
            run.heartbeat_at = now()
            for file, chunk in (body.get("files") or {}).items():
                lines = [str(line) for line in chunk.get("content") or ()]
                wandb.store.stream(run, file, int(chunk.get("offset") or 0), lines)
            if body.get("complete"):
                run.exit_code = int(body.get("exitcode") or 0)
                run.state = "failed" if run.exit_code else "finished"
            elif body.get("preempting") is None:
                run.state = "running"
        self._send({"limits": {}})

    def _telemetry(self) -> None:
        self._body()
        self._send({})

    def _downloads(self) -> dict[str, Any]:
        return dict.fromkeys(("files", "objects", "artifacts", "artifactsV2"), self._download)

    def _upload(self) -> None:
        if self._rest > _MAX_UPLOAD:
            raise _ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a file that is too large")
        wandb = self.server.wandb
        with wandb.lock:
            if self._parts[0] == "objects":
                file = self._object()
            else:
                run, name = self._run_file()
                file = wandb.store.file(run, name)
            size, self._rest = self._rest, 0
            wandb.store.write(file, size, self.rfile.read)
        self._send({})

    def _download(self) -> None:
        with self.server.wandb.lock:
            match self._parts[0]:
                case "files":
                    run, name = self._run_file()
                    found = run.files.get(name)
                case "objects":
                    found = self._object()
                case _:
                    found = self._by_digest()
        if found is None or found.path is None:
            raise _ProblemError(HTTPStatus.NOT_FOUND, f"no file {self._parts[-1]}")
        file = found
        assert file.path is not None
        self._begin(HTTPStatus.OK)
        self.send_header("Content-Type", file.mimetype)
        self.send_header("Content-Length", str(file.size))
        self.end_headers()
        if self.command != "HEAD":
            with file.path.open("rb") as source:
                while chunk := source.read(1 << 20):
                    self.wfile.write(chunk)

    def _object(self) -> StoredFile:
        number = self._parts[1] if len(self._parts) == 2 else ""
        objects = self.server.wandb.store.objects
        if not (number.isascii() and number.isdigit()) or int(number) not in objects:
            raise _ProblemError(HTTPStatus.NOT_FOUND, "no such address")
        return objects[int(number)]

    def _by_digest(self) -> StoredFile | None:
        """Clients ask for a file of an artifact by its digest: ``…/ENTITY/DIGEST`` at first, later
        ``…/REGION/ENTITY/ARTIFACT/DIGEST/NAME``."""
        place = 4 if self._parts[0] == "artifactsV2" else 2
        digest = self._parts[place] if len(self._parts) > place else ""
        for file in self.server.wandb.store.objects.values():
            if file.path is not None and base64.b64decode(file.md5).hex() == digest:
                return file
        return None

    # ---- requests and answers ----

    def _run_file(self) -> tuple[Run, str]:
        if len(self._parts) < 5:
            raise _ProblemError(HTTPStatus.NOT_FOUND, "no such address")
        _, entity, project, name = self._parts[:4]
        with self.server.wandb.lock:
            run = self.server.wandb.store.run(entity, project, name)
        if run is None:
            raise _ProblemError(HTTPStatus.NOT_FOUND, f"no run {entity}/{project}/{name}")
        return run, "/".join(self._parts[4:])

    def _base(self) -> str:
        """The address under which the client came: it may stand behind a forwarded port."""
        host = self.headers.get("Host", "")
        return f"http://{host}" if host else self.server.wandb.url

    def _check_key(self) -> None:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        key = ""
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        elif scheme.lower() == "bearer":
            key = given
        if not hmac.compare_digest(key.encode(), API_KEY.encode()):
            raise _ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "the key is not the stand-in's: something replaced WANDB_API_KEY",
            )

    def _length(self) -> int:
        text = self.headers.get("Content-Length") or "0"
        return int(text) if text.isascii() and text.isdigit() else 0

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        if self._rest > _MAX_BODY:
            raise _ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request that is too large")
        size, self._rest = self._rest, 0
        return self.rfile.read(size)

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        total = 0
        while True:
            try:
                size = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                raise _ProblemError(HTTPStatus.BAD_REQUEST, "a chunk without length") from None
            total += size
            if size < 0 or total > _MAX_BODY:
                self.close_connection = True
                raise _ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request that is too large"
                )
            parts.append(self.rfile.read(size))
            self.rfile.readline(1024)
            if not size:
                return b"".join(parts)

    def _json(self) -> dict[str, Any]:
        body = self._body()
        try:
            if "gzip" in self.headers.get("Content-Encoding", "").lower():
                with gzip.open(io.BytesIO(body)) as packed:
                    body = packed.read(_MAX_BODY)
            found = json.loads(body)
        except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
            raise _ProblemError(HTTPStatus.BAD_REQUEST, f"no JSON: {error}") from None
        if not isinstance(found, dict):
            raise _ProblemError(HTTPStatus.BAD_REQUEST, "no JSON object")
        return found

    def _fail(self, status: int, refused: tuple[str, ...], data: object = None) -> None:
        if self._rest:
            # What is left of the request would be taken for the next one.
            self.close_connection = True
        said = " ".join((f"explint's stand-in for W&B, {self._operation or self.command}:", ""))
        errors = [{"message": f"{said}{text}"} for text in refused]
        self._send({"errors": errors, "data": data}, status, refused)

    def _begin(self, status: int, refused: tuple[str, ...] = ()) -> None:
        """Begins the answer; the log has the request before the client can act on that."""
        entry = Entry(self.command, self._path, int(status), self._operation, refused)
        self.server.wandb.note(entry)
        self.send_response(status)

    def _send(
        self, answer: object, status: int = HTTPStatus.OK, refused: tuple[str, ...] = ()
    ) -> None:
        body = json.dumps(answer).encode()
        self._begin(status, refused)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _given(variables: object) -> Any:  # noqa: ANN401 - any JSON
    """Inputs without the entries that a client leaves null: it names some that are newer than what
    the stand-in serves, and wants nothing of them."""
    if not isinstance(variables, dict):
        return variables
    return {
        name: {k: _given(v) for k, v in value.items() if v is not None}
        if isinstance(value, dict)
        else value
        for name, value in variables.items()
    }


_OPERATION: Final = regex(r"\b(?:query|mutation)\s+(\w+)")


def _name_of(query: str) -> str:
    found = _OPERATION.search(query)
    return found[1] if found else ""
