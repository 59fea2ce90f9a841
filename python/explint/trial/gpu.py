"""The GPUs of this machine and the memory that processes hold on them, by the driver's own tool."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

import msgspec

_SECONDS = 1.0


class Gpu(msgspec.Struct, frozen=True):
    """A GPU by the index that CUDA_VISIBLE_DEVICES takes, and its name."""

    index: str
    name: str


def found() -> tuple[Gpu, ...]:
    """The GPUs the driver knows; none where there is no driver."""
    rows = _ask("--query-gpu=index,name")
    return tuple(Gpu(index=row[0], name=row[1]) for row in rows if len(row) == 2)


def name_of(visible: str | None) -> str:
    """What a run with this CUDA_VISIBLE_DEVICES runs on, in words; None leaves all visible."""
    chosen = None if visible is None else [part for part in visible.split(",") if part]
    if chosen == []:
        return "cpu"
    known = {gpu.index: gpu.name for gpu in found()}
    if chosen is None:
        chosen = list(known)
    named = [f"{known[index]} ({index})" for index in chosen if index in known]
    return ", ".join(named) or "cpu"


class MemoryWatch:
    """Most bytes that a changing set of processes held on GPUs together, asked once a second.

    ``processes`` are those to count. Where the driver names processes by other numbers than this
    system's (in a container) nothing can be told, and ``peak`` stays None.
    """

    def __init__(self, processes: Callable[[], Iterable[int]], *, enabled: bool) -> None:
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._enabled = enabled and shutil.which("nvidia-smi") is not None
        self.peak: int | None = None

    def __enter__(self) -> MemoryWatch:
        if self._enabled:
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
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS):
            mine = set(self._processes())
            held = 0
            for row in _ask("--query-compute-apps=pid,used_memory"):
                if len(row) == 2 and row[0].isdigit() and int(row[0]) in mine and row[1].isdigit():
                    held += int(row[1]) << 20
            if held:
                self.peak = max(self.peak or 0, held)


def _ask(query: str) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        said = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if said.returncode != 0:
        return []
    return [[part.strip() for part in line.split(",", 1)] for line in said.stdout.splitlines()]
