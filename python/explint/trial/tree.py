"""The processes below one, their memory, and their end, as /proc tells them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(msgspec.Struct, frozen=True):
    """Bytes of memory and number of the processes below one."""

    memory: int
    processes: tuple[int, ...]


def descendants(root: int) -> list[int]:
    """The processes below ``root``, itself first; empty when it is gone."""
    parents: dict[int, list[int]] = {}
    alive = set()
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            state, parent = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            alive.add(int(entry.name))
        parents.setdefault(int(parent), []).append(int(entry.name))
    found = []
    following = [root]
    while following:
        process = following.pop()
        if process in alive:
            found.append(process)
        following.extend(parents.get(process, ()))
    return found


def usage(root: int) -> Usage:
    """What the processes below ``root`` hold now, without itself.

    Of several processes pages that they share count once, as far as the kernel lets their shares
    be read: workers of a data loader share most of theirs.
    """
    processes = tuple(p for p in descendants(root) if p != root)
    sizes = {p: _resident(p) for p in processes}
    big = [p for p in processes if sizes[p] > 32 << 20]
    if len(big) > 1:
        for process in big:
            share = _proportional(process)
            if share is not None:
                sizes[process] = share
    return Usage(sum(sizes.values()), processes)


def _resident(process: int) -> int:
    try:
        return int((_PROC / str(process) / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(process: int) -> int | None:
    try:
        for line in (_PROC / str(process) / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def end(root: int, *, keep: frozenset[int] = frozenset(), seconds: float = 10.0) -> bool:
    """Kills everything below ``root`` but not itself, however fast it forks; whether all is gone.

    The caller has made itself the reaper of orphans, so that nothing can leave the tree. All are
    stopped before any is killed, lest a parent starts another one for each that dies.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        living = [p for p in descendants(root) if p != root and p not in keep]
        if not living:
            return True
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in living:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
        reap(keep)
        time.sleep(0.01)
    return False


def reap(keep: frozenset[int]) -> None:
    """Takes the exit codes of orphans that came to this process, but not those in ``keep``."""
    with suppress(OSError):
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
        for child in children.split():
            if int(child) not in keep:
                with suppress(ChildProcessError):
                    os.waitpid(int(child), os.WNOHANG)
