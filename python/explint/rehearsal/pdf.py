"""What a figure shows, read off its PDF in a process of its own.

Figures are written by code that is not trusted, and reading a PDF is a long way through a library:
the process has little time and memory and is not missed when it ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from explint.rehearsal.errors import need

_LARGEST: Final = 64 << 20
_SECONDS: Final = 60
_MEMORY: Final = 4 << 30
_OPERATIONS: Final = 200_000


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A PDF that was read.

    ``problem`` says why it cannot be opened, empty when it can; ``unread`` why that was not found
    out. ``blank`` is None where that cannot
    be told: only what matplotlib draws is followed. ``lone_point`` says that a line through a
    single point stands there, which is drawn without being seen.
    """

    path: str
    pages: int = 0
    problem: str = ""
    unread: str = ""
    blank: bool | None = None
    lone_point: bool = False


def read_figures(paths: Sequence[Path]) -> list[Figure]:
    """Opens PDF files.

    Raises:
        MissingExtraError: pypdf is not installed.
    """
    if not paths:
        return []
    need("pypdf")
    together = _read_apart(paths)
    if together is not None:
        return together
    # One of them ends the reader: the others are read all the same.
    found = []
    for path in paths:
        alone = _read_apart([path])
        unread = Figure(path=str(path), unread="the reader ended early or took too long")
        found += [unread] if alone is None else alone
    return found


def _read_apart(paths: Sequence[Path]) -> list[Figure] | None:
    """What a reader process says; None when it does not come to an end."""
    start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", start, *map(str, paths)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=list[Figure])
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        return None


def main() -> None:
    """Reads the files that the command line names and prints what they are as JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    print(msgspec.json.encode([_read(path) for path in sys.argv[1:]]).decode())


def _read(path: str) -> Figure:
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    size = Path(path).stat().st_size
    if not size:
        return Figure(path=path, problem="it is empty")
    if size > _LARGEST:
        return Figure(path=path, unread=f"it has {size} bytes")
    try:
        reader = PdfReader(path, strict=False)
        pages = len(reader.pages)
        if not pages:
            return Figure(path=path, problem="it has no page")
        producer = (reader.metadata.producer if reader.metadata else None) or ""
        drawings = [_Drawing(page.get_contents()) for page in reader.pages]
    except (MemoryError, RecursionError) as error:
        return Figure(path=path, unread=f"{type(error).__name__} in the reader")
    except Exception as error:  # noqa: BLE001 - a broken file may break the reader anywhere
        return Figure(path=path, problem=f"{type(error).__name__}: {error}"[:300])
    blank: bool | None = None
    if "matplotlib" in producer.lower():
        found = [d.blank for d in drawings]
        blank = False if False in found else None if None in found else True
    return Figure(
        path=path,
        pages=pages,
        blank=blank,
        lone_point=any(d.lone_point for d in drawings),
    )


class _Drawing:
    """Whether a page of matplotlib shows data.

    matplotlib clips what belongs to an axes' data to the axes, and draws frame, ticks, legend and
    text unclipped. Inside the clip only the grid is no data: straight lines from edge to edge.
    Where anything else is drawn unclipped (three-dimensional axes, ``clip_on=False``), nothing is
    said.
    """

    def __init__(self, content: Any) -> None:  # noqa: ANN401 - pypdf's ContentStream or None
        self.followed = True
        self.lone_point = False
        self.axes = False
        self.data = False
        self._clip: tuple[float, float, float, float] | None = None
        self._stack: list[tuple[float, float, float, float] | None] = []
        self._path: list[list[tuple[float, float]]] = []
        self._curves = 0
        self._clipping = False
        if content is None:
            return
        operations = content.operations
        if len(operations) > _OPERATIONS:
            self.followed = False
            return
        for operands, operator in operations:
            self._step(operands, operator.decode("latin-1"))

    @property
    def blank(self) -> bool | None:
        """Axes without data; None where what was drawn is not understood."""
        if self.data:
            return False
        return self.axes if self.followed else None

    def _step(self, operands: Sequence[Any], operator: str) -> None:
        match operator:
            case "q":
                self._stack.append(self._clip)
            case "Q":
                self._clip = self._stack.pop() if self._stack else None
            case "m":
                self._path.append([_point(operands)])
            case "l":
                self._extend([_point(operands)])
            case "c":
                self._curves += 1
                self._extend([_point(operands[i : i + 2]) for i in (0, 2, 4)])
            case "re":
                x, y, w, h = map(float, operands)
                self._path.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
            case "W" | "W*":
                self._clipping = True
            case "n":
                if self._clipping:
                    self._clip = _box(point for part in self._path for point in part)
                self._end()
            case "S" | "s" | "f" | "F" | "f*" | "B" | "B*" | "b" | "b*":
                self._paint(stroked=operator not in ("f", "F", "f*"))
                self._end()
            case "Do" | "sh" | "BI" | "INLINE IMAGE":
                # Ticks are drawn so too, unclipped.
                self.data = self.data or self._clip is not None

    def _extend(self, points: list[tuple[float, float]]) -> None:
        if self._path:
            self._path[-1].extend(points)

    def _end(self) -> None:
        self._path = []
        self._curves = 0
        self._clipping = False

    def _paint(self, *, stroked: bool) -> None:
        parts = [part for part in self._path if part]
        if self._clip is None:
            self.axes = self.axes or (stroked and any(len(part) == 2 for part in parts))
            straight = all(_straight(part) for part in parts)
            # Four curves are the corners of a legend's or note's box.
            if not straight and self._curves != 4:
                self.followed = False
            return
        for part in parts:
            left, bottom, right, top = _box(part)
            if left == right and bottom == top:
                self.lone_point = True
            elif not self._is_grid(part):
                self.data = True

    def _is_grid(self, part: list[tuple[float, float]]) -> bool:
        assert self._clip is not None
        left, bottom, right, top = self._clip
        if len(part) != 2:
            return False
        (x0, y0), (x1, y1) = sorted(part)
        across = abs(y0 - y1) < 0.01 and abs(x0 - left) < 0.5 and abs(x1 - right) < 0.5
        (x2, y2), (x3, y3) = sorted(part, key=lambda p: p[1])
        upward = abs(x2 - x3) < 0.01 and abs(y2 - bottom) < 0.5 and abs(y3 - top) < 0.5
        return across or upward


def _point(operands: Sequence[Any]) -> tuple[float, float]:
    return float(operands[0]), float(operands[1])


def _box(points: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    found = list(points) or [(0.0, 0.0)]
    xs, ys = [x for x, _ in found], [y for _, y in found]
    return min(xs), min(ys), max(xs), max(ys)


def _straight(part: list[tuple[float, float]]) -> bool:
    """Whether a path only goes along the edges of the page."""
    return all(abs(a[0] - b[0]) < 0.01 or abs(a[1] - b[1]) < 0.01 for a, b in pairwise(part))
