"""Where reports go: ``-o FORMAT[:FILE]``, files written whole or not at all, and closed pipes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypeVar

import msgspec

from explint.cli.door import Trouble, close_stdout

T = TypeVar("T")


class Target(msgspec.Struct, frozen=True):
    """One ``-o``: a format, and a file or None for standard output."""

    format: str
    file: Path | None


def parse_targets(words: Sequence[str], formats: Sequence[str]) -> list[Target]:
    """Reads ``FORMAT[:FILE]`` words; ``-`` as FILE is standard output.

    Raises Trouble for an unknown format, for two reports on standard output or in one file, and
    for a file that cannot be there.
    """
    targets: list[Target] = []
    seen: dict[Path | None, str] = {}
    for word in words:
        format, colon, name = word.partition(":")
        if format not in formats:
            from explint.nearmiss import did_you_mean

            raise Trouble(
                f"there is no output format `{format}`",
                did_you_mean(format, formats) or f"Formats are {', '.join(formats)}.",
            )
        if colon and not name:
            raise Trouble(f"-o {word} names no file", f"Write -o {format}:FILE, or -o {format}.")
        file = None if name in ("", "-") else Path(name)
        place = None if file is None else Path(os.path.realpath(file))
        if place in seen and place != Path(os.devnull):
            where = "standard output" if file is None else str(file)
            raise Trouble(
                f"-o {seen[place]} and -o {word} both go to {where}",
                f"Give one of them a file of its own: -o {format}:FILE.",
            )
        seen[place] = word
        if file is not None:
            check_file(file)
        targets.append(Target(format, file))
    return targets


def check_file(file: Path) -> None:
    """Raises Trouble for a file that cannot be written where it is to be."""
    if file.is_dir():
        raise Trouble(f"cannot write {file}: it is a folder", "Name a file in it.")
    if not file.parent.is_dir():
        raise Trouble(
            f"cannot write {file}: there is no folder {file.parent}", "Create the folder first."
        )


class FileSink:
    """A file that appears, or changes, only when it is complete.

    It is written beside its target under another name and moved there by ``commit``. Devices and
    pipes are written to directly.
    """

    def __init__(self, file: Path) -> None:
        """Opens the file; raises Trouble when that fails."""
        self._file = file
        # A link stays a link; what it points to is replaced.
        self._target = Path(os.path.realpath(file))
        self._part: Path | None = None
        try:
            if not self._target.exists() or stat.S_ISREG(self._target.stat().st_mode):
                self._part = self._target.with_name(f".{self._target.name}.{os.getpid()}.part")
            self.stream = (self._part or self._target).open(
                "w", encoding="utf-8", errors="backslashreplace", newline=""
            )
        except OSError as error:
            raise self._trouble(error) from None

    def commit(self) -> None:
        """Puts the complete file in place; raises Trouble when that fails."""
        try:
            self.stream.close()
            if self._part is not None:
                self._part.replace(self._target)
        except OSError as error:
            self.discard()
            raise self._trouble(error) from None

    def discard(self) -> None:
        """Leaves the target as it was."""
        with suppress(OSError):
            self.stream.close()
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink()

    def _trouble(self, error: OSError) -> Trouble:
        return Trouble(f"cannot write {self._file}: {error.strerror or error}")


class StandardOutput:
    """Standard output, whose reader may go away at any time (``| head``)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.closed_by_reader = False

    def write(self, text: str) -> int:
        """Writes, or does nothing when nobody reads any more."""
        return self._attempt(lambda: self._stream.write(text)) or 0

    def flush(self) -> None:
        """Hands on what is buffered."""
        self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream.isatty()

    def _attempt(self, action: Callable[[], T]) -> T | None:
        if self.closed_by_reader:
            return None
        try:
            return action()
        except BrokenPipeError:
            self.closed_by_reader = True
            close_stdout()
        except OSError as error:
            close_stdout()
            raise Trouble(f"cannot write to standard output: {error.strerror or error}") from None
        return None
