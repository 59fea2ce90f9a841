"""The audit itself: packages in, parts of the dataset out, in the order of the sources.

A part holds a fixed number of packages in the order in which they are read, so that what is there
says what is missing: an audit that was ended, by whatever, goes on behind the last package that has
its row, and its parts are those of an audit that was not ended.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import msgspec

from explint.audit.inputs import InputOptions, InputProblemError, Item, Meter, open_inputs
from explint.audit.judging import (
    Answer,
    JudgingOptions,
    decode,
    encode,
    failed,
    judging_key,
)
from explint.audit.schema import PART_ROWS, About, Counts, FailureKind, FindingRow, PackageRow
from explint.audit.store import (
    ABOUT,
    TABLES,
    StoreError,
    add_counts,
    parts,
    read_about,
    read_ids,
    read_part,
    write_about,
    write_part,
)
from explint.cache import AnswerCache, content_digest
from explint.fanout import (
    Bounds,
    CrashedError,
    FailedError,
    MemoryExceededError,
    Pool,
    TimedOutError,
)
from explint.model import InputError
from explint.package import Package
from explint.request import tool_info

FLUSH_SECONDS = 30.0
"""How often what does not yet fill a part is written all the same."""

WAITING_PER_JOB = 4
"""Packages handed to the engine ahead of each process."""

HELD_BYTES = 32 << 20
"""Answers that may wait for an earlier package's, in bytes: behind one that takes long the others
go on."""

HELD_ANSWERS = 20_000
"""The same as a number."""


class AuditOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to audit, where to, and how.

    ``timeout`` bounds the seconds and ``memory`` the bytes that one package may take. ``jobs`` is
    the number of processes, 0 for one per processor. ``cache`` is the folder of known answers, None
    for none. ``address`` is that of a Ray cluster.
    """

    sources: tuple[str, ...]
    out: Path
    inputs: InputOptions = msgspec.field(default_factory=InputOptions)
    judging: JudgingOptions = msgspec.field(default_factory=JudgingOptions)
    jobs: int = 0
    timeout: float = 60.0
    memory: int = 2 << 30
    cache: Path | None = None
    address: str | None = None
    overwrite: bool = False
    part_rows: int = PART_ROWS


class Status(msgspec.Struct):
    """How far an audit has come: ``passed`` packages had their row before it went on."""

    meter: Meter
    counts: Counts
    passed: int = 0
    known: int = 0


class Engine(Protocol):
    """Judges packages somewhere else."""

    size: int

    def submit(self, package: Package, /) -> Future[bytes]:
        """An encoded ``Answer``, to come; its errors are those of ``explint.fanout``."""

    def __enter__(self) -> Any:  # noqa: ANN401 - itself
        """Starts the engine."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends whatever is at work."""


class LocalEngine(Pool):
    """Worker processes on this machine."""

    def __init__(self, options: AuditOptions) -> None:
        self.size = options.jobs or os.cpu_count() or 1
        bounds = Bounds(options.timeout, options.memory)
        super().__init__("explint.audit.judging:worker", options.judging, self.size, bounds)


def audit(
    options: AuditOptions,
    *,
    engine: Callable[[AuditOptions], Engine] = LocalEngine,
    watch: Callable[[Status], None] = lambda _: None,
    hold: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> About:
    """Audits everything, or what is left of it, and returns what ``audit.json`` then says.

    ``watch`` is called after each package; inside ``hold()`` KeyboardInterrupt must not be raised.

    Raises:
        StoreError: the output folder cannot be used.
        ProfileError: the profile cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed; what was judged has its rows.
    """
    version = judging_key(options.judging)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(options))
        if writer.about.state == "complete":
            return writer.about
        cache = None
        if options.cache is not None:
            cache = stack.enter_context(AnswerCache(options.cache, version))
        status = Status(Meter(), writer.about.counts, passed=writer.done)
        loop = _Loop(options, writer, cache, status, watch, hold)
        loop.run(engine)
        writer.complete()
        return writer.about


class _Waiting(msgspec.Struct):
    """A package whose answer is there or to come, in the order of the packages."""

    item: Item
    position: int
    digest: str | None
    key: bytes | None
    package: Package | None
    answer: bytes | None = None
    future: Future[bytes] | None = None
    tries: int = 1
    known: bool = False


class _Loop:
    """Packages from the inputs to the engine and answers from there to the writer."""

    def __init__(
        self,
        options: AuditOptions,
        writer: Writer,
        cache: AnswerCache | None,
        status: Status,
        watch: Callable[[Status], None],
        hold: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._options = options
        self._writer = writer
        self._cache = cache
        self._status = status
        self._watch = watch
        self._queue: deque[_Waiting] = deque()
        self._running: dict[Future[bytes], _Waiting] = {}
        self._hold = hold
        self._held = 0

    def run(self, engine: Callable[[AuditOptions], Engine]) -> None:
        """Judges what has no row yet."""
        items = open_inputs(self._options.sources, self._options.inputs, self._status.meter)
        with ExitStack() as stack:
            started: Engine | None = None
            for position, found in enumerate(items):
                item = _of_error(found) if isinstance(found, InputError) else found
                if position < self._writer.done:
                    self._writer.expect(position, item.id)
                    continue
                waiting = self._prepare(position, item)
                self._queue.append(waiting)
                if waiting.answer is None:
                    if started is None:
                        started = stack.enter_context(engine(self._options))
                    self._submit(waiting, started)
                    while len(self._running) >= WAITING_PER_JOB * started.size:
                        self._collect(started)
                else:
                    self._held += len(waiting.answer)
                if started is not None and self._head_is_done():
                    self._collect(started)
                self._drain()
                while started is not None and self._running and self._holds_much():
                    self._collect(started)
                    self._drain()
            while started is not None and self._running:
                self._collect(started)
                self._drain()
            self._drain()
            self._writer.no_more()

    def _head_is_done(self) -> bool:
        future = self._queue[0].future
        return future is not None and future.done()

    def _holds_much(self) -> bool:
        return self._held > HELD_BYTES or len(self._queue) > HELD_ANSWERS

    def _prepare(self, position: int, item: Item) -> _Waiting:
        try:
            package = item.load()
        except InputProblemError as problem:
            answer = encode(failed("input", str(problem)))
            return _Waiting(item, position, None, None, None, answer=answer)
        # The queue may be long: only packages that are at work are kept.
        item.load = _released
        digest = content_digest(package)
        key = stored = None
        if self._cache is not None:
            key = self._cache.key(digest)
            stored = self._cache.get(key)
        known = stored is not None
        kept = None if known else package
        return _Waiting(item, position, digest, key, kept, answer=stored, known=known)

    def _submit(self, waiting: _Waiting, engine: Engine) -> None:
        assert waiting.package is not None
        waiting.future = engine.submit(waiting.package)
        self._running[waiting.future] = waiting

    def _collect(self, engine: Engine) -> None:
        """Waits for the next answers."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in done:
            waiting = self._running.pop(future)
            answer = self._answer(waiting, future, engine)
            if answer is not None:
                waiting.answer, waiting.future, waiting.package = answer, None, None
                self._held += len(answer)

    def _answer(self, waiting: _Waiting, future: Future[bytes], engine: Engine) -> bytes | None:
        """The encoded answer; None where the package is tried once more."""
        try:
            answer = future.result()
        except TimedOutError as problem:
            return encode(failed("timeout", f"the check was given up: {problem}"))
        except CrashedError as problem:
            # Memory may have been short for other reasons, and a process may be ended by anybody.
            if waiting.tries == 1:
                waiting.tries = 2
                self._submit(waiting, engine)
                return None
            memory = isinstance(problem, MemoryExceededError)
            kind: FailureKind = "memory" if memory else "crash"
            what = "was given up" if memory else "ended its process, twice"
            return encode(failed(kind, f"the check {what}: {problem}"))
        except FailedError as problem:
            return encode(failed("error", f"the check failed: {problem}"))
        if self._cache is not None and waiting.key is not None:
            self._cache.put(waiting.key, answer)
        return answer

    def _drain(self) -> None:
        """Writes the rows of the packages at the head of the queue that have their answers."""
        while self._queue and self._queue[0].answer is not None:
            with self._hold():
                waiting = self._queue.popleft()
                assert waiting.answer is not None
                self._held -= len(waiting.answer)
                try:
                    answer = decode(waiting.answer)
                except msgspec.DecodeError as problem:
                    answer = failed("error", f"the answer cannot be read: {problem}")
                _place(answer, waiting)
                self._status.known += waiting.known
                self._writer.add(answer)
            self._watch(self._status)


def _released() -> Package:
    raise InputProblemError("it was read already")


def _of_error(error: InputError) -> Item:
    """An input that gave no package, as an item that fails to load."""
    text = f"{error.message}; {error.help}" if error.help else error.message

    def load() -> Package:
        raise InputProblemError(text)

    return Item(
        id=error.location,
        series=error.location,
        source_kind="input",
        source=error.location,
        load=load,
    )


def _place(answer: Answer, waiting: _Waiting) -> None:
    """Puts in the rows what depends on where the package was found."""
    row, item = answer.package, waiting.item
    row.position = waiting.position
    row.id = item.id
    row.series = item.series
    row.source_kind = item.source_kind
    row.source = item.source
    row.member = item.member
    row.repository = item.repository
    row.branch = item.branch
    row.version = item.version
    row.version_order = item.version_order
    row.version_date = item.version_date
    row.content = waiting.digest
    row.known = waiting.known
    for finding in answer.findings:
        finding.position = waiting.position
        finding.package = item.id


class Writer:
    """The output folder: made, taken up where it was left, and written part by part."""

    def __init__(self, options: AuditOptions) -> None:
        self._options = options
        self._folder = options.out
        self._started = time.monotonic()
        self._flushed = self._started
        self._rows: list[PackageRow] = []
        self._findings: list[FindingRow] = []
        self._unwritten = False
        self._number = 0
        self._ids: Iterator[str] = iter(())
        self._lock: Any = None
        self.done = 0

    def __enter__(self) -> Writer:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._clear_rubbish()
            self.about = self._take_up()
        except OSError as error:
            self._release()
            raise StoreError(f"cannot use {self._folder}: {error.strerror or error}") from None
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            unable = kind is not None and issubclass(kind, StoreError)
            if self.about.state != "complete" and not unable:
                self._write()
        finally:
            self._release()

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:
            return
        self._lock = (self._folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(
                f"another audit is writing to {self._folder}",
                "Wait for it, or write to another folder.",
            ) from None

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _clear_rubbish(self) -> None:
        """Removes what an audit that was killed left half written."""
        for folder in (self._folder, *(self._folder / table for table in TABLES)):
            for file in folder.glob(".*.tmp"):
                with suppress(OSError):
                    file.unlink()

    def _take_up(self) -> About:
        if self._options.overwrite and (self._folder / ABOUT).exists():
            (self._folder / ABOUT).unlink()
            for table in TABLES:
                shutil.rmtree(self._folder / table, ignore_errors=True)
        fresh = self._fresh()
        if not (self._folder / ABOUT).exists():
            others = sorted(p.name for p in self._folder.iterdir() if p.name != ".lock")
            if others:
                raise StoreError(
                    f"{self._folder} is not empty and holds no audit: {', '.join(others[:3])}",
                    "Name a new folder with --out.",
                )
            write_about(self._folder, fresh)
            return fresh
        about = read_about(self._folder)
        self._compare(about, fresh)
        there = parts(self._folder)
        self._number = len(there)
        about.counts = Counts()
        for number, part in enumerate(there):
            rows = add_counts(part[0], about.counts)
            self.done += rows
            if rows == about.part_rows or about.state == "complete":
                continue
            if number + 1 < len(there):
                raise StoreError(
                    f"{part[0]} holds {rows} packages, not {about.part_rows}",
                    "The folder was changed by something else: --overwrite begins anew.",
                )
            # The last part is filled up.
            self._number = number
            self._rows, findings = read_part(part)
            self._findings = [f for f in findings if f.position < self.done]
        self._ids = read_ids(there)
        return about

    def _fresh(self) -> About:
        options = self._options
        inputs = options.inputs
        settings: dict[str, Any] = {
            "manifests": list(inputs.manifests),
            "map": [f"{target}={path}" for target, path in inputs.columns.pairs],
            "whole": inputs.columns.whole,
            "branches": inputs.branches,
            "history": inputs.history,
            "inherit": inputs.inherit,
            **msgspec.to_builtins(inputs.limits),
            **msgspec.to_builtins(options.judging),
            "timeout": options.timeout,
            "memory": options.memory,
        }
        return About(
            tool=tool_info(),
            sources=list(options.sources),
            settings=settings,
            part_rows=options.part_rows,
        )

    def _compare(self, about: About, fresh: About) -> None:
        """Refuses to go on with an audit of something else."""
        differ = None
        if about.sources != fresh.sources:
            differ = "of other sources: " + " ".join(about.sources[:5])
        elif about.tool != fresh.tool:
            differ = f"by explint {about.tool.version}, rules {about.tool.rules_version}"
        elif about.part_rows != fresh.part_rows:
            differ = f"in parts of {about.part_rows}"
        else:
            names = [n for n in fresh.settings if about.settings.get(n) != fresh.settings[n]]
            if names:
                was = ", ".join(f"{n} {about.settings.get(n)!r}" for n in names)
                differ = f"with other settings: {was}"
        if differ is not None:
            raise StoreError(
                f"{self._folder} holds another audit, {differ}",
                "Name a new folder with --out, or --overwrite this one.",
            )

    def expect(self, position: int, package_id: str) -> None:
        """Checks that the inputs still give what has its row already. Raises StoreError."""
        there = next(self._ids, None)
        if there != package_id:
            raise StoreError(
                f"the sources have changed since this audit began: package {position} was "
                f"{there} and is now {package_id}",
                "Name a new folder with --out, or --overwrite this one.",
            )

    def no_more(self) -> None:
        """Checks at the end that every row still has its package. Raises StoreError."""
        there = next(self._ids, None)
        if there is not None:
            raise StoreError(
                f"the sources have changed since this audit began: {there} is gone",
                "Name a new folder with --out, or --overwrite this one.",
            )

    def add(self, answer: Answer) -> None:
        """Adds the rows of the next package. Raises StoreError."""
        self._rows.append(answer.package)
        self._findings.extend(answer.findings)
        self.about.counts.add(answer.package)
        self._unwritten = True
        if len(self._rows) >= self.about.part_rows:
            self._write()
            self._number += 1
            self._rows, self._findings = [], []
        elif time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._write()

    def complete(self) -> None:
        """Writes what is left, and says that nothing is missing. Raises StoreError."""
        if not self._rows and self._number == 0:
            self._unwritten = True
        self.about.state = "complete"
        self._write()

    def _write(self) -> None:
        now = time.monotonic()
        if self._unwritten:
            write_part(self._folder, self._number, self._rows, self._findings)
            self._unwritten = False
        self.about.parts = self._number + bool(self._rows or self._number == 0)
        self.about.seconds += now - self._started
        self._started = self._flushed = now
        write_about(self._folder, self.about)
