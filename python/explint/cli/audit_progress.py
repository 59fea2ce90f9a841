"""The progress of an audit on a terminal: how many, how fast, what was found, how long still."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.live import Live

    from explint.audit.run import Status

_REFRESH_SECONDS = 0.25
_DELAY_SECONDS = 0.5


class AuditProgress:
    """One line on ``stream`` that follows an audit. Does nothing unless ``enabled``."""

    def __init__(self, stream: TextIO, *, enabled: bool) -> None:
        self._stream = stream
        self._enabled = enabled
        self._started = time.monotonic()
        self._shown = self._started + _DELAY_SECONDS - _REFRESH_SECONDS
        self._live: Live | None = None
        self._from: float | None = None

    def __enter__(self) -> AuditProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: Status) -> None:
        """Says how far the audit has come."""
        now = time.monotonic()
        if not self._enabled or now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream)
            self._live = Live(console=console, transient=True, auto_refresh=False)
            self._live.start()
        from rich.text import Text

        self._live.update(Text(self.line(status, now - self._started)), refresh=True)

    def line(self, status: Status, seconds: float) -> str:
        """The line after so many seconds of work."""
        counts = status.counts
        done = counts.packages - status.passed
        words = [f"{counts.packages:,} packages", f"{done / max(seconds, 0.001):,.0f} a second"]
        if status.known:
            words.append(f"{status.known:,} known")
        words.append(f"{counts.errors:,} errors")
        if counts.failed:
            words.append(f"{counts.failed:,} failed")
        fraction = status.meter.fraction
        if self._from is None:
            # What had its row before is read in no time and says nothing of the speed.
            self._from = fraction if status.passed else 0.0
        if fraction is not None and self._from is not None and fraction > self._from:
            left = seconds * (1 - fraction) / (fraction - self._from)
            words.append(f"about {duration(left)} left")
        return ", ".join(words)


def duration(seconds: float) -> str:
    """A span of time as people say it: ``40 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
