"""The folders of one run, and what is written in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from explint.trial.outcome import Place, Written

MOST_FILES = 20_000
"""So many files of a place are compared; the first ones in order of path."""

State = dict[tuple[Place, str], tuple[int, int]]
"""Size in bytes and time of change in nanoseconds of every file of the places."""


class Places(msgspec.Struct, frozen=True):
    """The folders of one run, all below one.

    ``package`` is the private copy and the working directory; ``programs`` holds what stands for
    ``uv`` and ``python``. The run writes in ``package``, ``results``, ``home``, ``temporary`` and
    ``events``.
    """

    folder: Path

    @property
    def package(self) -> Path:
        """The private copy of the package."""
        return self.folder / "package"

    @property
    def results(self) -> Path:
        """What ``results_dir`` names."""
        return self.folder / "results"

    @property
    def home(self) -> Path:
        """The home folder with all caches below it."""
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        """Where TMPDIR points."""
        return self.folder / "tmp"

    @property
    def events(self) -> Path:
        """Where the observer writes."""
        return self.folder / "events"

    @property
    def programs(self) -> Path:
        """First on the search path of programs."""
        return self.folder / "bin"

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.folder / "log.txt"

    def make(self) -> Places:
        """Creates what is not there yet, and returns itself with links resolved."""
        made = Places(self.folder.resolve())
        for path in (*made.writable(), made.programs):
            path.mkdir(parents=True, exist_ok=True)
        return made

    def writable(self) -> tuple[Path, ...]:
        """The folders a run may write in."""
        return (self.package, self.results, self.home, self.temporary, self.events)

    def state(self) -> State:
        """What lies in the places now."""
        return {
            (place, path): found
            for place, folder in self._told().items()
            for path, found in _files(folder)
        }

    def written_since(self, before: State) -> tuple[Written, ...]:
        """What changed in the places, in order of place and path."""
        after = self.state()
        found = [
            Written(
                place=place, path=path, size=now[0], change="changed" if at in before else "new"
            )
            for at, now in after.items()
            for place, path in (at,)
            if before.get(at) != now
        ]
        found += [
            Written(place=place, path=path, size=0, change="removed")
            for place, path in before.keys() - after.keys()
        ]
        return tuple(sorted(found, key=lambda f: (f.place, f.path)))

    def bytes_used(self) -> int:
        """Bytes on disk of all that lies in the places."""
        total = 0
        for folder in self.writable():
            for entry in _walk(folder):
                try:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                except OSError:
                    continue
        return total

    def _told(self) -> dict[Place, Path]:
        return {
            "package": self.package,
            "results": self.results,
            "home": self.home,
            "temporary": self.temporary,
        }


def _files(folder: Path) -> list[tuple[str, tuple[int, int]]]:
    found = []
    for entry in _walk(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            path = Path(entry.path).relative_to(folder).as_posix()
            found.append((path, (status.st_size, status.st_mtime_ns)))
    return sorted(found)[:MOST_FILES]


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below a folder, without following links or entering compiled modules' folders."""
    following = [str(folder)]
    while following:
        try:
            entries = os.scandir(following.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        following.append(entry.path)
                else:
                    yield entry
