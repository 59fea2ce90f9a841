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
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any

_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from explint.fanout import serve; serve()"
)


class CrashedError(Exception):
    """The process that worked on an input ended before it answered; the text says how."""


class FailedError(Exception):
    """The function raised in the worker; calling it here shows what."""


class Pool:
    """Worker processes, at most ``size``, started when inputs wait for them.

    ``target`` (``module:name``) is called once per process with ``setting`` and returns the
    function that the inputs go through. Leaving the context ends the processes at once.
    """

    def __init__(self, target: str, setting: object, size: int) -> None:
        self._hello = (target, setting)
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
        """The answer to an input, to come. Its errors are CrashedError and FailedError."""
        return self._threads.submit(self._ask, item)

    def _ask(self, item: object) -> object:
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._closed:
                if self._is_closed:
                    raise CrashedError("it was ended")
                worker = self._own.worker = _Worker()
                self._workers.add(worker)
            worker.send(sys.path)
            worker.send(self._hello)
        try:
            worker.send(item)
            done, answer = worker.receive()
        except CrashedError:
            self._own.worker = None
            with self._closed:
                self._workers.discard(worker)
            raise
        if not done:
            raise FailedError(answer)
        return answer


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
        return CrashedError(f"signal {-code}" if code < 0 else f"exit code {code}")


def serve() -> None:
    """What a worker process does: answers inputs until there are no more."""
    source = sys.stdin.buffer
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    target, setting = pickle.load(source)
    module, _, name = target.partition(":")
    function: Callable[[Any], Any] = getattr(import_module(module), name)(setting)
    while True:
        try:
            item = pickle.load(source)
        except EOFError:
            return
        try:
            answer = (True, function(item))
        except BaseException as error:  # noqa: BLE001 - a panic of the core is no Exception
            answer = (False, f"{type(error).__name__}: {error}")
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except OSError:
            return
