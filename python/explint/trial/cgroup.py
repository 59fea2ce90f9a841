"""A control group that bounds how many tasks a run has, where this user may make one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_MOUNTS = Path("/proc/self/mounts")
_OWN = Path("/proc/self/cgroup")


class TaskGroup:
    """A group that ``add`` puts a process, and all it will start, into.

    RLIMIT_NPROC has no effect on root, and counts all that a user runs; a group bounds this run
    alone. Where none can be made nothing happens: the watch over the run ends it all the same.
    """

    def __init__(self, name: str, tasks: int) -> None:
        self._folder: Path | None = None
        for parent in _parents():
            folder = parent / name
            with suppress(OSError):
                folder.mkdir()
                try:
                    (folder / "pids.max").write_text(str(tasks))
                except OSError:
                    folder.rmdir()
                    continue
                self._folder = folder
                return

    def add(self, process: int) -> None:
        """Puts a process in, before it has started another one."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / "cgroup.procs").write_text(str(process))

    def __enter__(self) -> TaskGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            with suppress(OSError):
                self._folder.rmdir()


def _parents() -> list[Path]:
    """The groups this process is in that bound tasks, of either version of control groups."""
    own = {}
    found = []
    with suppress(OSError):
        for line in _OWN.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                own[name] = path.lstrip("/")
        for line in _MOUNTS.read_text().splitlines():
            _, place, kind, options = line.split(" ")[:4]
            wanted = "" if kind == "cgroup2" else "pids"
            if kind == "cgroup2" or (kind == "cgroup" and "pids" in options.split(",")):
                folder = Path(place, own.get(wanted, ""))
                if os.access(folder, os.W_OK):
                    found.append(folder)
    return found
