"""Ctrl-C or SIGTERM in the middle of a report waits until the report can be ended properly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Raises KeyboardInterrupt at once, except inside ``held``: there, when the block ends.

    Otherwise a report could stop in the middle of a package and not be readable as what it is. A
    second Ctrl-C inside ``held`` is obeyed at once: the user means it. SIGTERM, with which job
    schedulers and CI end a program, is the same: the reports hold what was checked so far.
    """

    def __init__(self) -> None:
        self._holding = False
        self._pending = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        # Only the main thread may set handlers, and a shell that made this process ignore Ctrl-C
        # (a job in the background) is to be obeyed.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Puts Ctrl-C and SIGTERM off until the block ends."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._holding and not self._pending:
            self._pending = True
            return
        raise KeyboardInterrupt
