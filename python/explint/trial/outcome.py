"""What became of one run of a package, as it was seen from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Limit = Literal["wall-clock", "memory", "processes", "file-size", "disk", "output"]
"""What a run can exceed. ``file-size`` is one file, ``disk`` all that the run wrote."""

Place = Literal["package", "results", "home", "temporary"]
"""The folders a run may write in: the private copy of the package (its working directory), the
folder named by ``results_dir``, its home folder with all caches, and its folder of temporary
files."""

TAIL = 64 << 10
"""Bytes of the log's end that an outcome holds."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was not there before the run, or that changed.

    ``path`` is relative to its place, with forward slashes; ``size`` is in bytes.
    """

    place: Place
    path: str
    size: int
    change: Literal["new", "changed", "removed"] = "new"


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force around a run.

    ``kind`` is the mechanism. ``network`` is what the run could reach: nothing, named ports of this
    machine, named hosts through a proxy, or all. ``holds`` says in sentences what was enforced,
    ``lacks`` what this mechanism cannot enforce.
    """

    kind: Literal["bubblewrap", "landlock", "none"]
    network: Literal["none", "loopback", "proxy", "all"]
    hosts: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one command.

    Attributes:
        package: The id of the package.
        run_id: The experiment's run; None for a command without one.
        mode: The mode of the protocol the command asked for; None where it has none.
        command: The words that were executed.
        asked: The protocol's command line, as a person would type it.
        started: Whether the command was executed at all; ``problem`` says why not.
        problem: What kept the run from starting, or ended it from outside: an environment that
            cannot be made, a lost node, a cancelled job. Empty otherwise.
        exit_code: The command's exit code; None when a signal ended it or it did not start.
        signal: The name of the signal that ended it, such as ``SIGKILL``.
        timed_out: It ran past its wall-clock limit.
        exceeded: The limit for which it was ended.
        interrupted: A person or a scheduler ended it.
        seconds: Wall-clock seconds of the command, without making the environment.
        setup_seconds: Wall-clock seconds of making the environment.
        peak_memory: Most bytes of host memory held by all its processes together at one time,
            shared pages counted once where the system tells them; None when not measured.
        peak_processes: Most processes at one time.
        gpu_memory: Most bytes of GPU memory held by its processes, by the driver's word.
        device: Where it ran: ``cpu``, or the GPU's name with its index.
        host: The machine's name, where an executor chose one.
        left_behind: Command lines of processes that were still there when the command had ended;
            they were ended.
        root: The private copy of the package, as the run saw it; paths below it are the package's.
        results: The folder named by ``results_dir``, as the run saw it.
        log: The file with everything that was printed, both streams in their order.
        log_bytes: How much was printed, also beyond what the log holds.
        tail: The end of the log, at most ``TAIL`` bytes.
        events: The folder of the observer's events; None when nothing was observed.
        written: What the run left in its places, in order of place and path.
        sandbox: What was in force.
        notes: What of the environment differs from what the protocol mandates.
    """

    package: str
    run_id: str | None = None
    mode: str | None = None
    command: tuple[str, ...] = ()
    asked: str = ""
    started: bool = True
    problem: str = ""
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    exceeded: Limit | None = None
    interrupted: bool = False
    seconds: float = 0.0
    setup_seconds: float = 0.0
    peak_memory: int | None = None
    peak_processes: int | None = None
    gpu_memory: int | None = None
    device: str = "cpu"
    host: str | None = None
    left_behind: tuple[str, ...] = ()
    root: Path
    results: Path
    log: Path
    log_bytes: int = 0
    tail: str = ""
    events: Path | None = None
    written: tuple[Written, ...] = ()
    sandbox: Sandbox
    notes: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """The command ran to its end and said that all went well."""
        return self.started and self.exit_code == 0 and not self.problem and self.exceeded is None
