"""Answers on disk, keyed by what was judged, how and by which rules. Any damage is a miss.

One SQLite file in WAL mode: several audits may read and write it at once. Beside one file an answer
it takes as long for a write and 12 µs more for a read, and it does not leave a hundred thousand
files in a folder.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec
import zstandard

from explint.package import Package

FORMAT = 1
"""Raised when what is stored changes its form."""

MOST_BYTES = 8 << 30
"""Size of the file from which on the older half of the answers is dropped."""

_WRITE_AT_ONCE = 64
_WRITE_SECONDS = 1.0
_CHECK = 8


class AnswerCache:
    """Encoded answers by key. Nothing it meets on disk raises: what cannot be read is not known,
    and what cannot be written is made again next time."""

    def __init__(
        self, folder: Path, version: bytes, *, most_bytes: int = 8 << 30, patience: float = 30.0
    ) -> None:
        """Opens the cache in a folder, which is made; ``version`` is a part of every key.

        ``most_bytes`` is the size of the file from which on the older half is dropped, ``patience``
        how many seconds another process may hold it up.
        """
        self._most_bytes = most_bytes
        self._patience = patience
        self._file = folder / f"answers-{FORMAT}.sqlite3"
        self._version = version
        self._pending: dict[bytes, bytes] = {}
        self._written = time.monotonic()
        self._pack = zstandard.ZstdCompressor(level=1)
        self._unpack = zstandard.ZstdDecompressor()
        self._database: sqlite3.Connection | None = None
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self._open()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()

    def key(self, digest: str, more: bytes = b"") -> bytes:
        """The key of a package with this digest, under what else decides the answer."""
        return hashlib.sha256(self._version + digest.encode() + more).digest()

    def get(self, key: bytes) -> bytes | None:
        """What is stored under a key, None when there is nothing whole."""
        stored = self._pending.get(key)
        if stored is None and self._database is not None:
            try:
                row = self._database.execute(
                    "select answer from answers where key = ?", (key,)
                ).fetchone()
            except sqlite3.Error as error:
                self._damaged(error)
                return None
            stored = None if row is None else row[0]
        if not isinstance(stored, bytes) or stored[:_CHECK] != _check(key, stored[_CHECK:]):
            return None
        with suppress(zstandard.ZstdError):
            return self._unpack.decompress(stored[_CHECK:])
        return None

    def put(self, key: bytes, answer: bytes) -> None:
        """Stores an answer, with the next few others."""
        packed = self._pack.compress(answer)
        self._pending[key] = _check(key, packed) + packed
        late = time.monotonic() - self._written > _WRITE_SECONDS
        if late or len(self._pending) >= _WRITE_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        pending, self._pending = self._pending, {}
        self._written = time.monotonic()
        if self._database is None or not pending:
            return
        try:
            with self._database:
                self._database.executemany(
                    "insert or replace into answers (key, answer) values (?, ?)",
                    list(pending.items()),
                )
        except sqlite3.Error as error:
            self._damaged(error)

    def _open(self) -> None:
        for attempt in range(2):
            try:
                database = sqlite3.connect(self._file, timeout=self._patience)
                database.execute("pragma journal_mode = wal")
                # Losing the last answers with the power is no loss.
                database.execute("pragma synchronous = off")
                database.execute(
                    "create table if not exists answers"
                    " (number integer primary key, key blob unique not null, answer blob not null)"
                )
                database.commit()
                self._trim(database)
            except sqlite3.OperationalError:
                # Locked for long, no room, no permission: work without it.
                return
            except sqlite3.DatabaseError:
                if attempt:
                    return
                self._remove()
            else:
                self._database = database
                return

    def _trim(self, database: sqlite3.Connection) -> None:
        """Drops the oldest half of a cache that has grown too large."""
        (pages,) = database.execute("pragma page_count").fetchone()
        (size,) = database.execute("pragma page_size").fetchone()
        (free,) = database.execute("pragma freelist_count").fetchone()
        if (pages - free) * size > self._most_bytes:
            with database:
                database.execute(
                    "delete from answers where number <="
                    " (select (min(number) + max(number)) / 2 from answers)"
                )

    def _damaged(self, error: sqlite3.Error) -> None:
        """Starts anew where the file is no database any more; otherwise works without it."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
        self._database = None
        if not isinstance(error, sqlite3.OperationalError):
            self._remove()
            self._open()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink()


def _check(key: bytes, packed: bytes) -> bytes:
    """Tells a damaged answer, and one that lies under another's key."""
    return hashlib.blake2b(packed, digest_size=_CHECK, key=key).digest()


def content_digest(package: Package) -> str:
    """A digest of all that rules see of a package: equal packages have equal ones.

    The place where it was found, and its id, are no part of it.
    """
    digest = hashlib.sha256()
    for _, f in sorted(package.files.items()):
        size = -1 if f.data is None else len(f.data)
        about = (f.path, f.state.value, f.failure, f.skipped, f.truncated, size)
        digest.update(_told(about))
        if f.data:
            digest.update(f.data)
    alone = package.source.kind == "file"
    rest = (package.runs, package.record, package.skipped_folders, package.partial, alone)
    digest.update(_told((*rest, package.notes)))
    return digest.hexdigest()[:40]


def _told(values: tuple[object, ...]) -> bytes:
    try:
        return _ENCODER.encode(values)
    except UnicodeEncodeError:
        # A record may hold bytes that are not UTF-8 as lone surrogates.
        return repr(values).encode("utf-8", "backslashreplace")


_ENCODER = msgspec.msgpack.Encoder()
