"""What a person sees while runs go on: their logs, and a line for each with what it has done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from explint.trial.executors import Executor
from explint.trial.job import TrialJob

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_SECONDS = 0.5
_MOST_EVENTS = 4 << 20
"""Bytes of events up to which they are read anew for the live line."""


class Display:
    """Shows the runs of an executor on a terminal; does nothing unless ``enabled``."""

    def __init__(self, executor: Executor, stream: TextIO, *, enabled: bool) -> None:
        self._executor = executor
        self._stream = stream
        self._enabled = enabled
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._console: Console | None = None
        self._live: Live | None = None
        self._read: dict[str, int] = {}

    def __enter__(self) -> Display:
        if self._enabled:
            from rich.console import Console
            from rich.live import Live

            self._console = Console(file=self._stream, highlight=False)
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._enabled:
            self._thread.join()
            with self._lock:
                if self._live is not None:
                    self._live.stop()

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Takes the lines off the screen while something else is written to it."""
        with self._lock:
            if self._live is None or not self._live.is_started:
                yield
                return
            self._live.stop()
            try:
                yield
            finally:
                self._live.start()

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS):
            jobs = list(self._executor.running())
            lines = [_line(job) for job in jobs]
            with self._lock:
                if self._live is None or not self._live.is_started:
                    continue
                for job in jobs:
                    self._show_log(job, named=len(jobs) > 1)
                self._live.update(_joined(lines), refresh=True)

    def _show_log(self, job: TrialJob, *, named: bool) -> None:
        """Prints the whole lines that are new in a run's log."""
        from rich.text import Text

        assert self._console is not None
        with suppress(OSError), job.places.log.open("rb") as file:
            file.seek(self._read.get(job.id, 0))
            new = file.read(1 << 20)
            whole = new[: new.rfind(b"\n") + 1]
            self._read[job.id] = self._read.get(job.id, 0) + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                # A progress bar rewrites its line; what counts is what stood there last.
                shown = "".join(c if c.isprintable() else " " for c in line.rpartition("\r")[2])
                name = f"{job.run_id or job.package} | " if named else ""
                self._console.print(Text(f"{name}{shown}", style="dim", no_wrap=True))


def _joined(lines: list[Text]) -> Text:
    from rich.text import Text

    return Text("\n").join(lines)


def _line(job: TrialJob) -> Text:
    from rich.text import Text

    from explint.trial.events import read

    name = job.run_id or job.package
    now = job.now()
    if now is None:
        return Text(f"{name}: starts", style="bold")
    words = [f"{now.seconds:.0f} s"]
    events = job.places.events
    with suppress(OSError):
        if sum(file.stat().st_size for file in events.glob("*.jsonl")) <= _MOST_EVENTS:
            seen = read(events)
            for count, what in (
                (seen.batches, "batch"),
                (seen.epochs, "epoch"),
                (seen.steps, "step"),
                (seen.trials, "trial"),
            ):
                if count:
                    plural = "es" if what == "batch" else "s"
                    words.append(f"{count:,} {what}{plural if count != 1 else ''}")
    words.append(f"{now.memory / (1 << 20):,.0f} MiB")
    words.append(f"{now.processes} processes")
    return Text(f"{name}: {', '.join(words)}", style="bold", no_wrap=True)
