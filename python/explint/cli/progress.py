"""The progress bar: only on a terminal, only for more than a second of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

DELAY = 1.0
"""Seconds of work before anything is shown."""


class Progress:
    """Counts packages on ``stream``, behind ``label``. Does nothing unless ``enabled``.

    rich is imported by the timer, so a run that ends within the second never pays for it.
    """

    def __init__(
        self, stream: TextIO, *, enabled: bool, label: str = "checking, packages done"
    ) -> None:
        self._stream = stream
        self._enabled = enabled
        self._label = label
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bar: Bar | None = None
        self._count = 0
        self._started = 0.0
        self._over = False

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        if self._enabled:
            self._timer = threading.Timer(DELAY, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    @property
    def seconds(self) -> float | None:
        """What the clock of the bar shows; None before the bar is in sight."""
        return None if self._bar is None else self._bar.tasks[0].elapsed

    def advance(self) -> None:
        """One more package is done."""
        self._count += 1
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._count)

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Takes the bar off the screen while something else is written to it."""
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
            try:
                yield
            finally:
                if self._bar is not None:
                    self._bar.start()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = Bar(
            SpinnerColumn(),
            TextColumn(f"{self._label}: {{task.completed:,}}"),
            TimeElapsedColumn(),
            console=Console(file=self._stream),
            transient=True,
            get_time=time.monotonic,
        )
        with self._lock:
            if self._over:
                return
            bar.add_task("", total=None, completed=self._count)
            # The clock counts the work, not the time that the bar has been in sight.
            bar.tasks[0].start_time = self._started
            bar.start()
            self._bar = bar
