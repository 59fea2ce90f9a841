"""One function over many inputs, in worker processes that a crash of one input cannot end.

The workers are new interpreters and no forks: threads of the calling process cannot leave a lock
behind in them, and it works alike on every system and from every program, whatever its main module
does. Inputs and answers cross by pickle over pipes that only the two processes hold.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from explint.fanout import serve; serve()"
)


class CrashedError(Exception):
    """The process that worked on an input ended before it answered; the text says how."""


class TimedOutError(CrashedError):
    """The process was ended because it took longer than its bound."""


class MemoryExceededError(CrashedError):
    """The process was ended because it held more memory than its bound."""


class FailedError(Exception):
    """The function raised in the worker; calling it here shows what."""


class Bounds(NamedTuple):
    """What a process may take for one input: seconds by the clock, and bytes of resident memory.

    A process that is left with more than half of the memory after an answer is replaced, so that
    what it gathered is not held against a later input. Memory is watched where the system tells of
    it in ``/proc``; elsewhere the system's own limit on data ends the process.
    """

    seconds: float
    memory: int


_WATCH_SECONDS = 0.05
"""How often the processes are looked at."""

_START_SECONDS = 120.0
"""How long a process may take until it can work, which counts for no input."""


class Pool:
    """Worker processes, at most ``size``, started when inputs wait for them.

    ``target`` (``module:name``) is called once per process with ``setting`` and returns the
    function that the inputs go through. With ``bounds`` a process that takes more than they allow
    is ended and replaced. Leaving the context ends the processes at once.
    """

    def __init__(
        self, target: str, setting: object, size: int, bounds: Bounds | None = None
    ) -> None:
        self._hello = (target, setting, None if bounds is None else bounds.memory)
        self._bounds = bounds
        self._watch: threading.Thread | None = None
        self._over = threading.Event()
        # A thread per process writes, waits and reads; none of that holds the interpreter's lock.
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="explint-worker")
        self._own = threading.local()
        self._workers: set[_Worker] = set()
        self._closed = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._closed:
            self._is_closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        # A thread that waits for an answer finds that there is none to come.
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.end()

    def submit(self, item: object) -> Future[Any]:
        """The answer to an input, to come. Its errors are CrashedError, with TimedOutError and
        MemoryExceededError, and FailedError."""
        return self._threads.submit(self._ask, item)

    def _ask(self, item: object) -> object:
        worker: _Worker | None = getattr(self._own, "worker", None)
        try:
            if worker is None:
                worker = self._start()
            if self._bounds is not None:
                worker.begin(self._bounds.seconds)
            worker.send(item)
            done, answer = worker.receive()
            ended = worker.finish()
        except CrashedError:
            self._discard(getattr(self._own, "worker", None))
            raise
        if ended or (self._bounds is not None and 2 * worker.resident() > self._bounds.memory):
            worker.kill()
            self._discard(worker)
            worker.end()
        if not done:
            if answer.startswith("MemoryError"):
                raise MemoryExceededError(answer)
            raise FailedError(answer)
        return answer

    def _start(self) -> _Worker:
        with self._closed:
            if self._is_closed:
                raise CrashedError("it was ended")
            worker = self._own.worker = _Worker()
            self._workers.add(worker)
            if self._bounds is not None and self._watch is None:
                self._watch = threading.Thread(target=self._look, daemon=True)
                self._watch.start()
        if self._bounds is not None:
            worker.begin(_START_SECONDS)
        worker.send(sys.path)
        worker.send(self._hello)
        if not worker.receive()[0]:
            raise CrashedError("it could not start")
        return worker

    def _discard(self, worker: _Worker | None) -> None:
        self._own.worker = None
        if worker is not None:
            with self._closed:
                self._workers.discard(worker)

    def _look(self) -> None:
        """Ends the processes that are over their bounds."""
        assert self._bounds is not None
        while not self._over.wait(_WATCH_SECONDS):
            with self._closed:
                workers = list(self._workers)
            for worker in workers:
                worker.hold_to(self._bounds)


class _Worker:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        # In a process group of its own, so that Ctrl-C in a terminal reaches only the process that
        # can end the report in good order.
        apart: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            # -P: the folder of a package that is checked must not be searched for modules.
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **apart,
        )
        # A process that has answered must not be ended for what it answered.
        self._busy = threading.Lock()
        self._until: float | None = None
        self._ended: CrashedError | None = None

    def begin(self, seconds: float) -> None:
        """From now on the process is held to its bounds."""
        with self._busy:
            self._until = time.monotonic() + seconds

    def finish(self) -> bool:
        """The answer is there. True when the process was ended all the same."""
        with self._busy:
            self._until = None
            return self._ended is not None

    def hold_to(self, bounds: Bounds) -> None:
        """Ends the process if it works and is over a bound."""
        with self._busy:
            if self._until is None or self._ended is not None:
                return
            if time.monotonic() > self._until:
                self._ended = TimedOutError(f"it took longer than {bounds.seconds:g} seconds")
            elif self.resident() > bounds.memory:
                mib = bounds.memory / (1 << 20)
                self._ended = MemoryExceededError(f"it held more than {mib:,.0f} MiB of memory")
            if self._ended is not None:
                self.kill()

    def resident(self) -> int:
        """The bytes of memory that the process holds, 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_bytes().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def send(self, item: object) -> None:
        """Hands a value over; CrashedError when nobody takes it."""
        assert self._process.stdin is not None
        try:
            pickle.dump(item, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._crashed() from None

    def receive(self) -> tuple[bool, Any]:
        """The next answer; CrashedError when there is none."""
        assert self._process.stdout is not None
        try:
            answer: tuple[bool, Any] = pickle.load(self._process.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise self._crashed() from None
        return answer

    def kill(self) -> None:
        """Stops the process, whatever it is at."""
        self._process.kill()

    def end(self) -> int:
        """Waits for the process to be gone and returns its exit code."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # What was not yet written has no reader any more.
                with suppress(OSError):
                    pipe.close()
        return code

    def _crashed(self) -> CrashedError:
        code = self.end()
        if self._ended is not None:
            return self._ended
        return CrashedError(f"signal {-code}" if code < 0 else f"exit code {code}")


def serve() -> None:
    """What a worker process does: answers inputs until there are no more."""
    source = sys.stdin.buffer
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    target, setting, memory = pickle.load(source)
    if memory is not None:
        _limit(memory)
        # Whoever was to end a process that hangs may be gone himself.
        threading.Thread(target=_outlive, args=(os.getppid(),), daemon=True).start()
    module, _, name = target.partition(":")
    function: Callable[[Any], Any] = getattr(import_module(module), name)(setting)
    answer: tuple[bool, Any] = (True, None)
    while True:
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
            item = pickle.load(source)
        except (EOFError, OSError):
            return
        try:
            answer = (True, function(item))
        except BaseException as error:  # noqa: BLE001 - a panic of the core is no Exception
            answer = (False, f"{type(error).__name__}: {error}")


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _limit(memory: int) -> None:
    """The system's own limit, for what is taken at once between two looks: higher than the bound,
    since it counts what is asked for and not what is used."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = 2 * memory + (512 << 20)
        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
