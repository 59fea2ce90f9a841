"""One command in a sandbox, under limits, with everything it started gone at the end."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from explint.trial import gpu, interpreter, sandbox, tree
from explint.trial.cgroup import TaskGroup
from explint.trial.network import Gate, Network
from explint.trial.outcome import TAIL, Limit, Outcome, Sandbox
from explint.trial.places import Places

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37

_LOOK = 0.2
"""Seconds between two looks at what a run uses."""

_LAST_WORD = 1.0
"""Seconds in which this process hears why its run has vanished."""

_PIECE = 1 << 16

PASSED_ON = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "COLUMNS")
"""What of the environment a run gets without being asked for: how text is written and read."""

_UV = """\
#!/bin/sh
# Stands for uv: the environment of this run is prepared, and `uv run` only starts a program in it.
if [ "$1" != run ]; then
    echo "uv: only \\`uv run\\` is there during a trial" >&2
    exit 2
fi
shift
while [ $# -gt 0 ]; do
    case "$1" in
        --) shift; break ;;
        -m|--module) shift; set -- python -m "$@"; break ;;
        --with|--python|-p|--project|--directory|--extra|--group|--package|--env-file) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
case "$1" in
    *.py) exec python "$@" ;;
    *) exec "$@" ;;
esac
"""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may use: seconds, bytes and processes.

    ``memory`` counts all processes together, ``disk`` all that lies in the run's places,
    ``output`` what it prints. ``patience`` are the seconds between SIGINT, SIGTERM and SIGKILL when
    the time is over: W&B writes its last rows on the first of them.
    """

    seconds: float = 900.0
    memory: int = 16 << 30
    processes: int = 512
    file_size: int = 8 << 30
    disk: int = 16 << 30
    output: int = 64 << 20
    patience: tuple[float, float] = (15.0, 5.0)


def base_environment(places: Places, python: Path, *, passed: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a run before anything is added, and the programs first on its path.

    ``passed`` are names of variables that the caller hands on from its own environment.
    """
    _write_programs(places, python)
    around = python.parent.parent
    path = [str(places.programs), str(python.parent), "/usr/local/bin", "/usr/bin", "/bin"]
    made = {name: os.environ[name] for name in (*PASSED_ON, *passed) if name in os.environ}
    made |= {
        "PATH": ":".join(path),
        "HOME": str(places.home),
        "TMPDIR": str(places.temporary),
        "USER": "trial",
        "LOGNAME": "trial",
        "SHELL": "/bin/sh",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if (around / "pyvenv.cfg").is_file():
        made["VIRTUAL_ENV"] = str(around)
    return made


def run_command(
    command: Sequence[str],
    *,
    places: Places,
    python: Path,
    package: str = "",
    environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    network: Network | None = None,
    readable: Sequence[Path] = (),
    writable: Sequence[Path] = (),
    wish: sandbox.Wish = "auto",
    visible_gpus: str | None = None,
    passed: Sequence[str] = (),
    watch: Callable[[bytes], None] | None = None,
    look: Callable[[tree.Usage, float], None] | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Runs one command in the package's private copy and waits until nothing of it is left.

    Args:
        command: The words; ``uv run …`` and ``python …`` mean the prepared environment.
        places: Where it runs; ``places.package`` must hold the package already.
        python: The interpreter of the prepared environment.
        package: The id of the package, for the outcome.
        environment: Variables beside those of ``base_environment``.
        limits: What it may use.
        network: What it may reach; nothing by default.
        readable: More files and folders it may read.
        writable: More folders it may write in, which are not compared or counted.
        wish: The sandbox to use; ``none`` only when a person asked for it.
        visible_gpus: CUDA_VISIBLE_DEVICES; empty for none, None to leave it alone.
        passed: Variables of this process's environment to hand on.
        watch: Called with what is printed, as it comes, from another thread.
        look: Called a few times a second with what is in use and the seconds since the start.
        stop: Ends the run as an interruption when it is set.

    Raises:
        SandboxError: there is no sandbox, or not the one asked for.
    """
    limits = limits or Limits()
    network = network or Network()
    kind = sandbox.choose(wish)
    places = places.make()
    around = base_environment(places, python, passed=passed)
    around.update(environment or {})
    if visible_gpus is not None:
        around["CUDA_VISIBLE_DEVICES"] = visible_gpus
    # The folder is named by a short path: that of a socket file is limited to some 100 bytes.
    doors = Path(tempfile.mkdtemp(prefix="explint-"))
    before = places.state()
    try:
        with Gate(network, doors if kind == "bubblewrap" else None) as gate:
            _name_proxy(around, gate)
            run = _Run(kind, network, gate, places, limits, doors)
            ended = run.run(
                command,
                around,
                readable=(*readable, *_search_path(around), *interpreter.folders(python)),
                writable=writable,
                watch=watch,
                look=look,
                stop=stop,
                on_gpu=visible_gpus != "",
            )
            refused = tuple(gate.refused)
    finally:
        shutil.rmtree(doors, ignore_errors=True)
    written = places.written_since(before)
    exceeded = ended.exceeded
    if exceeded is None and any(f.size >= limits.file_size for f in written):
        exceeded = "file-size"
    notes = [f"The proxy refused {', '.join(refused)}."] if refused else []
    return Outcome(
        package=package,
        command=tuple(command),
        asked=" ".join(command),
        problem=ended.problem,
        started=not ended.problem,
        exit_code=ended.code,
        signal=ended.signal,
        timed_out=exceeded == "wall-clock",
        exceeded=exceeded,
        interrupted=ended.interrupted,
        seconds=round(ended.seconds, 3),
        peak_memory=ended.peak_memory,
        peak_processes=ended.peak_processes,
        gpu_memory=ended.gpu_memory,
        device=gpu.name_of(visible_gpus),
        left_behind=ended.left,
        root=places.package,
        results=places.results,
        log=places.log,
        log_bytes=ended.printed,
        tail=_tail(places.log),
        events=places.events if any(places.events.iterdir()) else None,
        written=written,
        sandbox=ended.sandbox,
        notes=tuple(notes),
    )


class _Ended(msgspec.Struct, kw_only=True):
    """How a run ended, filled in while it goes on."""

    sandbox: Sandbox
    code: int | None = None
    signal: str | None = None
    problem: str = ""
    exceeded: Limit | None = None
    interrupted: bool = False
    seconds: float = 0.0
    peak_memory: int | None = None
    peak_processes: int | None = None
    gpu_memory: int | None = None
    printed: int = 0
    left: tuple[str, ...] = ()


class _Run:
    """One launcher with everything below it."""

    def __init__(
        self,
        kind: Any,  # noqa: ANN401 - one of the three mechanisms
        network: Network,
        gate: Gate,
        places: Places,
        limits: Limits,
        doors: Path,
    ) -> None:
        self._kind = kind
        self._network = network
        self._gate = gate
        self._places = places
        self._limits = limits
        self._doors = doors
        self._ended = _Ended(sandbox=sandbox.describe(kind, network))
        self._processes: tuple[int, ...] = ()
        self._too_much_output = threading.Event()

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        readable: Sequence[Path],
        writable: Sequence[Path],
        watch: Callable[[bytes], None] | None,
        look: Callable[[tree.Usage, float], None] | None,
        stop: threading.Event | None,
        on_gpu: bool,
    ) -> _Ended:
        ours, theirs = socket.socketpair()
        others = frozenset(tree.descendants(os.getpid())) if self._kind != "bubblewrap" else None
        process = None
        with ours, _reaper(enabled=self._kind != "bubblewrap"), contextlib.ExitStack() as stack:
            with theirs:
                words = self._words(command, environment, readable, writable, theirs.fileno())
                try:
                    process = subprocess.Popen(
                        words,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        pass_fds=[theirs.fileno()],
                        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
                        cwd="/",
                        start_new_session=True,
                    )
                except OSError as error:
                    self._ended.problem = f"the sandbox does not start: {error}"
                    return self._ended
            reader = threading.Thread(target=self._read, args=(process, watch), daemon=True)
            reader.start()
            group = TaskGroup(self._doors.name, self._tasks())
            # Left last: a group that holds a process cannot be taken away.
            stack.enter_context(group)
            group.add(process.pid)
            gpus = gpu.MemoryWatch(lambda: self._processes, enabled=on_gpu)
            stack.enter_context(gpus)
            try:
                self._attend(process, ours, look, stop)
            finally:
                # Also when this thread is interrupted: nothing may be left.
                self._end_all(process, others)
                reader.join(timeout=10)
                if process.stdout is not None and not reader.is_alive():
                    process.stdout.close()
            self._ended.gpu_memory = gpus.peak
        return self._ended

    def _words(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        readable: Sequence[Path],
        writable: Sequence[Path],
        handle: int,
    ) -> list[str]:
        own = interpreter.own_folders()
        allowed = sandbox.Confinement(
            readable=(*readable, *own, self._places.programs),
            writable=(*self._places.writable(), *writable),
            hidden_memory=max(min(self._limits.memory // 2, 8 << 30), 1 << 20),
        )
        network = self._network
        if self._kind == "landlock" and self._gate.proxy_port is not None:
            ports = (*network.ports, self._gate.proxy_port)
            network = msgspec.structs.replace(network, ports=ports)
        inside = Path(sandbox.INSIDE_DOORS) if self._kind == "bubblewrap" else self._doors
        spec = {
            "command": list(command),
            "environment": dict(environment),
            "cwd": str(self._places.package),
            "limits": {
                "RLIMIT_CORE": 0,
                "RLIMIT_FSIZE": self._limits.file_size,
                # Counts all that the user runs, so that what runs outside has to be let in.
                "RLIMIT_NPROC": self._tasks() + _tasks_of_user(),
            },
            "landlock": (
                sandbox.landlock_rules(allowed, network) if self._kind == "landlock" else None
            ),
            "sockets": sandbox.sockets(self._kind, network),
            "forwards": [
                (port, str(inside / Path(path).name)) for port, path in self._gate.forwards
            ],
        }
        (self._doors / "spec.json").write_text(json.dumps(spec))
        start = (
            f"import sys; sys.path.insert(0, {str(interpreter.EXPLINT.parent)!r}); "
            "from explint.trial.inside.launch import main; main()"
        )
        launcher = [sys.executable, "-I", "-S", "-c", start, str(handle), str(inside / "spec.json")]
        if self._kind != "bubblewrap":
            return launcher
        doors = self._doors
        return [*sandbox.bubblewrap_words(allowed, network, doors), *launcher]

    def _tasks(self) -> int:
        """The most tasks: threads count as well, and libraries start one for each processor."""
        return max(8 * self._limits.processes, 1024)

    def _read(
        self, process: subprocess.Popen[bytes], watch: Callable[[bytes], None] | None
    ) -> None:
        assert process.stdout is not None
        source = process.stdout.fileno()
        with self._places.log.open("wb", buffering=0) as log:
            while piece := os.read(source, _PIECE):
                room = self._limits.output - self._ended.printed
                self._ended.printed += len(piece)
                if room > 0:
                    with contextlib.suppress(OSError):
                        log.write(piece[:room])
                    if watch is not None:
                        watch(piece[:room])
                if self._ended.printed > self._limits.output:
                    self._too_much_output.set()

    def _attend(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        look: Callable[[tree.Usage, float], None] | None,
        stop: threading.Event | None,
    ) -> None:
        """Lets the command start, watches it, and returns when it has ended or must be ended."""
        ended, limits = self._ended, self._limits
        started = time.monotonic()
        self._tell(channel, "go")
        ladder: list[tuple[float, str]] = []
        next_measure = started + 1
        said = b""
        while True:
            if select.select([channel], [], [], _LOOK)[0]:
                piece = channel.recv(_PIECE)
                said += piece
                if not piece or b"\n" in said:
                    break
            now = time.monotonic()
            ended.seconds = now - started
            used = tree.usage(process.pid)
            self._processes = used.processes
            ended.peak_memory = max(ended.peak_memory or 0, used.memory)
            ended.peak_processes = max(ended.peak_processes or 0, len(used.processes))
            if look is not None:
                look(used, now - started)
            over = self._over(used, now - started)
            if over is None and now >= next_measure:
                size = self._places.bytes_used()
                over = "disk" if size > limits.disk else None
                next_measure = now + max(1.0, 20 * (time.monotonic() - now))
            if over is not None and over != "wall-clock":
                ended.exceeded = over
                break
            if not ladder and (over is not None or (stop is not None and stop.is_set())):
                ended.exceeded = over
                ended.interrupted = over is None
                first, second = limits.patience
                ladder = [(now, "INT"), (now + first, "TERM"), (now + first + second, "KILL")]
                ladder.append((now + first + second + 2, ""))
            while ladder and ladder[0][0] <= now:
                _, signal_name = ladder.pop(0)
                if not signal_name:
                    break
                self._tell(channel, signal_name)
            else:
                continue
            break
        ended.seconds = time.monotonic() - started
        if not said.endswith(b"\n") and stop is not None and ended.exceeded is None:
            # A scheduler ends all processes of a job, the sandbox perhaps before this one.
            ended.interrupted = stop.wait(_LAST_WORD)
        self._note_status(process, said)

    def _over(self, used: tree.Usage, seconds: float) -> Limit | None:
        if used.memory > self._limits.memory:
            return "memory"
        # The launcher and the namespace's first process are no part of the run.
        if len(used.processes) > self._limits.processes + 2:
            return "processes"
        if self._too_much_output.is_set():
            return "output"
        if self._ended.exceeded is None and seconds > self._limits.seconds:
            return "wall-clock"
        return None

    def _note_status(self, process: subprocess.Popen[bytes], said: bytes) -> None:
        ended = self._ended
        if said.endswith(b"\n"):
            status = json.loads(said)
            ended.code, ended.signal = status["code"], status["signal"]
            ended.left = tuple(status["left"])
        elif ended.exceeded is not None or ended.interrupted:
            ended.signal = "SIGKILL"
        else:
            # The channel ended first: the launcher is gone, and with it whatever ended it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            if process.returncode not in (None, 0, -9, 137):
                ended.problem = (
                    f"the sandbox ended with exit code {process.returncode}: "
                    f"{_tail(self._places.log)[-500:].strip()}"
                )
            else:
                ended.signal = "SIGKILL"

    def _tell(self, channel: socket.socket, word: str) -> None:
        with contextlib.suppress(OSError):
            channel.sendall(f"{word}\n".encode())

    def _end_all(self, process: subprocess.Popen[bytes], others: frozenset[int] | None) -> None:
        if others is None:
            # The namespace's first process dies with bwrap, and the kernel ends all others with it.
            process.kill()
            process.wait()
            return
        tree.end(process.pid)
        process.kill()
        process.wait()
        tree.end(os.getpid(), keep=others)


@contextlib.contextmanager
def _reaper(*, enabled: bool) -> Any:  # noqa: ANN401 - an iterator for contextmanager
    """Orphans below this process come to it, so that none is lost when a launcher is killed."""
    libc = ctypes.CDLL(None)
    was = ctypes.c_int()
    if enabled:
        libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(was), 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        if enabled:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, was.value, 0, 0, 0)


def _write_programs(places: Places, python: Path) -> None:
    start = f'#!/bin/sh\nexec "{python}" "$@"\n'
    for name, text in (("uv", _UV), ("python", start), ("python3", start)):
        program = places.programs / name
        program.write_text(text)
        program.chmod(0o755)


def _name_proxy(environment: dict[str, str], gate: Gate) -> None:
    if gate.proxy_port is None:
        return
    address = f"http://127.0.0.1:{gate.proxy_port}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment[name] = address
    environment["no_proxy"] = environment["NO_PROXY"] = "127.0.0.1,localhost"


def _search_path(environment: Mapping[str, str]) -> list[Path]:
    words = environment.get("PYTHONPATH", "").split(os.pathsep)
    return [Path(word) for word in words if word and Path(word).is_absolute()]


def _tasks_of_user() -> int:
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == os.getuid():
                    count += sum(1 for _ in os.scandir(f"{entry.path}/task"))
    return count


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - TAIL, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
