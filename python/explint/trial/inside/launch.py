"""Starts one command under limits, hands signals on to it, and tells how it ended.

Talks with the process outside through one socket: ``go`` lets the command start, ``INT``, ``TERM``
and ``KILL`` are sent to its process group; the answers are JSON lines. The command cannot reach
this socket, and the process outside ends the whole tree whatever becomes of this one.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_LINGER = 2.0
"""Seconds that helper processes (of W&B, of data loaders) get to end by themselves."""

_CANNOT_START = 127


def main() -> NoReturn:
    """``launch FD SPEC``: the number of the socket, and the file that says what to run."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    spec: dict[str, Any] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    libc = ctypes.CDLL(None)
    # The command runs as the same user; it must not trace this process or take its files.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    commands = channel.makefile("r", encoding="utf-8")
    if commands.readline().strip() != "go":
        os._exit(0)
    if spec["forwards"]:
        from explint.trial.inside.forward import to_unix

        for port, path in spec["forwards"]:
            to_unix(port, path)
    child = os.fork()
    if child == 0:
        _become(spec)
    threading.Thread(target=_obey, args=(commands, child), daemon=True).start()
    status = _wait_for(child)
    left = _left_behind()
    until = time.monotonic() + _LINGER
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = _left_behind()
    answer = {
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None,
        "left": left[:64],
    }
    channel.sendall(json.dumps(answer).encode() + b"\n")
    os._exit(0)


def _become(spec: dict[str, Any]) -> NoReturn:
    """Turns this process into the command, under everything that was asked for."""
    try:
        os.setsid()
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for name, value in spec["limits"].items():
            _limit(getattr(resource, name), value)
        os.chdir(spec["cwd"])
        rules = spec["landlock"]
        if rules is not None:
            from explint.trial.inside import landlock, privileges

            privileges.drop()
            landlock.restrict(rules["readable"], rules["writable"], rules["ports"])
        sockets = spec["sockets"]
        if sockets is not None:
            from explint.trial.inside import seccomp

            seccomp.restrict(sockets["families"], stream_only=sockets["stream_only"])
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])
    except OSError as error:
        os.write(2, f"explint: cannot start {spec['command'][0]}: {error}\n".encode())
    except BaseException as error:  # noqa: BLE001 - nothing may run on without its limits
        os.write(2, f"explint: cannot start {spec['command'][0]}: {error!r}\n".encode())
    os._exit(_CANNOT_START)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _obey(commands: Any, child: int) -> None:  # noqa: ANN401 - a text file over the socket
    for line in commands:
        number = getattr(signal, f"SIG{line.strip()}", None)
        if number is not None:
            try:
                os.killpg(child, number)
            except ProcessLookupError:
                continue
    # Nobody is there any more to end the command.
    os._exit(0)


def _wait_for(child: int) -> int:
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return 0
        if ended == child:
            return status


def _left_behind() -> list[str]:
    """The command lines of this process's descendants that still live."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            return []
    parents: dict[int, int] = {}
    zombies = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, above = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            parents[int(folder.name)] = int(above)
            if state in (b"Z", b"X"):
                zombies.add(int(folder.name))
    found = []
    mine = {os.getpid()}
    grown = True
    while grown:
        grown = False
        for process, parent in parents.items():
            if parent in mine and process not in mine:
                mine.add(process)
                grown = True
    for process in sorted(mine - zombies - {os.getpid()}):
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes()[:4096].rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        found.append(b" ".join(words).decode(errors="replace") or f"process {process}")
    return found
