"""Ctrl-C while a report is being written waits until the report can be ended properly."""

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
    second Ctrl-C inside ``held`` is obeyed at once: the user means it.
    """

    def __init__(self) -> None:
        self._holding = False
        self._pending = False
        self._previous: Any = None

    def __enter__(self) -> Interrupts:
        # Only the main thread may set handlers, and a shell that made this process ignore Ctrl-C
        # (a job in the background) is to be obeyed.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Puts Ctrl-C off until the block ends."""
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
