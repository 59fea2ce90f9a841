"""What the observer wrote down of a run, put together from the files of all its processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

MOST_BYTES = 256 << 20
"""Of all event files together; what is beyond is not read, and ``Observation.cut`` says so."""


class Place(msgspec.Struct, frozen=True, order=True):
    """A line of the package and the function it stands in."""

    path: str
    line: int
    function: str = ""


class Frame(msgspec.Struct, frozen=True):
    """A frame of a stack. ``ours`` says that ``path`` is relative to the package's root.

    ``span`` is the expression that was evaluated, where Python tells it (from 3.11 on): its first
    byte in ``line``, its last line, and the byte just past it there; both bytes from 0.
    """

    path: str
    line: int
    function: str
    ours: bool
    span: tuple[int, int, int] | None = None

    @property
    def place(self) -> Place:
        """Where the frame stood."""
        return Place(self.path, self.line, self.function)


class Process(msgspec.Struct, kw_only=True):
    """One Python process of the run.

    ``began`` is in seconds since 1970, ``seconds`` from its start to its orderly end; None when it
    was killed or left by ``os._exit``. Memory is in bytes.
    """

    pid: int
    parent: int
    command: tuple[str, ...] = ()
    folder: str = ""
    python: str = ""
    began: float = 0.0
    seconds: float | None = None
    memory: int | None = None
    gpu_memory: int | None = None
    device: str | None = None


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """An exception that ended a process or a trial of a search.

    ``how`` says what met it: nothing (``uncaught``, in a ``thread``), a handler that called
    ``sys.exit``, or a ``trial`` of a study. ``frames`` run from the outermost to where it was
    raised. ``values`` are plain locals of the last frames of the package, by frame; ``config`` the
    values of the configs these frames hold, by the name they are read under.
    """

    pid: int
    at: float
    how: str
    type: str
    text: str
    frames: tuple[Frame, ...] = ()
    values: tuple[dict[str, str], ...] = ()
    config: dict[str, str] = {}
    source: Place | None = None
    cause: str = ""
    trial: int | None = None

    @property
    def inside(self) -> tuple[Frame, ...]:
        """The frames of the package."""
        return tuple(frame for frame in self.frames if frame.ours)


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A call of ``sys.exit`` with a status other than 0, and no exception being handled."""

    pid: int
    at: float
    status: str
    frames: tuple[Frame, ...] = ()


class Loader(msgspec.Struct, frozen=True, kw_only=True):
    """A PyTorch ``DataLoader`` that was made. ``id`` is unique in its process."""

    pid: int
    id: int
    dataset: str = ""
    batch_size: int | None = None
    workers: int | None = None
    place: Place | None = None


class Pass(msgspec.Struct, kw_only=True):
    """One going through of a loader.

    ``drawn`` counts the batches taken, ``trained`` those of them that a backward call followed
    before the next was drawn. ``optimizers`` stepped meanwhile.
    """

    pid: int
    id: int
    loader: int
    place: Place | None = None
    drawn: int = 0
    trained: int = 0
    optimizers: set[int] = msgspec.field(default_factory=set)


class Optimizer(msgspec.Struct, kw_only=True):
    """An optimizer, its steps, and what they moved.

    ``moved`` of ``sampled`` parameters differed from before the first step when it was last looked;
    both are None when nothing was looked at. ``rate`` is the highest learning rate seen.
    """

    pid: int
    id: int
    type: str = ""
    parameters: int = 0
    place: Place | None = None
    stepped: Place | None = None
    steps: int = 0
    moved: int | None = None
    sampled: int | None = None
    rate: float = 0.0


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What ``backward`` was called on: a sample of all calls; ``number`` counts all of them."""

    pid: int
    value: float | None
    number: int
    place: Place | None = None


class Search(msgspec.Struct, kw_only=True):
    """An Optuna study: ``asked`` counts its trials begun, ``trials`` holds what came of them."""

    pid: int
    id: int
    place: Place | None = None
    optimized: Place | None = None
    asked: int = 0
    trials: list[dict[str, Any]] = msgspec.field(default_factory=list)


class Started(msgspec.Struct, kw_only=True):
    """A call of ``wandb.init``.

    ``asked`` is the mode it was called for and ``by`` what chose it: an argument, the environment,
    or W&B's default. ``mode`` is the mode of the run that came of it; None when none did.
    """

    pid: int
    asked: str
    by: str
    arguments: dict[str, str] = msgspec.field(default_factory=dict)
    place: Place | None = None
    mode: str | None = None
    id: str = ""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A row given to W&B; a sample when there are many. ``row`` counts all."""

    pid: int
    row: int
    values: dict[str, Any]
    step: Any = None
    place: Place | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at a place: a file, figure, host, warning, summary key, loop …"""

    pid: int
    what: str
    place: Place | None = None
    details: dict[str, Any] = {}


class Observation(msgspec.Struct, kw_only=True):
    """Everything that was seen of a run, in the order of processes and events.

    ``counts`` sums what was only counted, by kind. ``cut`` says that events were left out for
    their number; counts go on all the same. ``troubles`` are errors of the observer itself.
    """

    processes: list[Process] = msgspec.field(default_factory=list)
    errors: list[Error] = msgspec.field(default_factory=list)
    exits: list[Exit] = msgspec.field(default_factory=list)
    loaders: list[Loader] = msgspec.field(default_factory=list)
    passes: list[Pass] = msgspec.field(default_factory=list)
    optimizers: list[Optimizer] = msgspec.field(default_factory=list)
    losses: list[Loss] = msgspec.field(default_factory=list)
    studies: list[Search] = msgspec.field(default_factory=list)
    wandb: list[Started] = msgspec.field(default_factory=list)
    logged: list[Logged] = msgspec.field(default_factory=list)
    summary: dict[str, Any] = msgspec.field(default_factory=dict)
    finished: int = 0
    figures: list[Seen] = msgspec.field(default_factory=list)
    written: list[Seen] = msgspec.field(default_factory=list)
    hosts: list[Seen] = msgspec.field(default_factory=list)
    children: list[Seen] = msgspec.field(default_factory=list)
    warnings: list[Seen] = msgspec.field(default_factory=list)
    loops: list[Seen] = msgspec.field(default_factory=list)
    bounds: list[Seen] = msgspec.field(default_factory=list)
    config: dict[str, str] = msgspec.field(default_factory=dict)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    troubles: list[str] = msgspec.field(default_factory=list)
    cut: bool = False

    @property
    def batches(self) -> int:
        """Batches drawn from PyTorch loaders, in all passes of all processes."""
        return sum(p.drawn for p in self.passes)

    @property
    def epochs(self) -> int:
        """The most passes that trained one optimizer on one loader."""
        found: dict[tuple[int, int, int], int] = {}
        for p in self.passes:
            for optimizer in p.optimizers:
                key = (p.pid, p.loader, optimizer)
                found[key] = found.get(key, 0) + 1
        return max(found.values(), default=0)

    @property
    def steps(self) -> int:
        """Steps of all optimizers."""
        return sum(o.steps for o in self.optimizers)

    @property
    def trials(self) -> int:
        """Trials of all studies."""
        return sum(s.asked for s in self.studies)

    @property
    def gpu_memory(self) -> int | None:
        """Most bytes that PyTorch held on GPUs in one process; None without CUDA."""
        return max((p.gpu_memory for p in self.processes if p.gpu_memory is not None), default=None)


def read(folder: Path) -> Observation:
    """Reads every event file of a folder; a last line that was cut is left out.

    A folder that does not exist, or is empty, gives an empty observation: the run started no Python
    that could be observed.
    """
    reader = _Reader()
    left = MOST_BYTES
    for path in sorted(folder.glob("*.jsonl"), key=_started):
        reader.begin()
        for line in _lines(path, left):
            left -= len(line)
            reader.take(line)
        if left <= 0:
            reader.observation.cut = True
            break
    reader.end()
    return reader.observation


def _started(path: Path) -> tuple[int, str]:
    time = path.stem.rpartition("-")[2]
    return (int(time) if time.isdigit() else 0, path.name)


def _lines(path: Path, most: int) -> Iterator[bytes]:
    try:
        # A run may put what it likes into the folder, links included.
        if path.is_symlink() or not path.is_file():
            return
        with path.open("rb") as file:
            yield from file.read(most).splitlines()
    except OSError:
        return


class _Reader:
    """Turns events into an observation; what it does not understand it passes over."""

    def __init__(self) -> None:
        self.observation = Observation()
        self.process: Process | None = None
        self.passes: dict[tuple[int, int], Pass] = {}
        self.optimizers: dict[tuple[int, int], Optimizer] = {}
        self.studies: dict[tuple[int, int], Search] = {}
        self.counts: dict[tuple[int, str, int], int] = {}
        self.ends: dict[int, Any] = {}

    def begin(self) -> None:
        """The next file begins."""
        self.process = None

    def take(self, line: bytes) -> None:
        """One line of a file."""
        try:
            event = msgspec.json.decode(line)
        except msgspec.DecodeError:
            event = _with_infinities(line)
        if not isinstance(event, dict):
            return
        kind = event.get("e")
        if kind == "process":
            self.process = _convert(event, Process)
            if self.process is not None:
                self.process.began = float(event.get("at") or 0)
                self.observation.processes.append(self.process)
            return
        handler = getattr(self, f"_{str(kind).replace('.', '_').replace('-', '_')}", None)
        if self.process is not None and handler is not None:
            try:
                handler(event, self.process)
            except (KeyError, TypeError, ValueError, msgspec.ValidationError):
                self.observation.troubles.append(f"an event of kind {kind} cannot be read")

    def end(self) -> None:
        """Puts the counts where they belong."""
        seen = self.observation
        for (pid, kind, of), number in self.counts.items():
            if kind.startswith("more "):
                seen.cut = True
                continue
            seen.counts[kind] = seen.counts.get(kind, 0) + number
            if kind in ("batch", "worked") and (pid, of) in self.passes:
                setattr(self.passes[pid, of], "drawn" if kind == "batch" else "trained", number)
            elif kind == "step" and (pid, of) in self.optimizers:
                self.optimizers[pid, of].steps = number
            elif kind == "trial":
                self._study_of(pid, of).asked = number
        for child in seen.children:
            if child.details.get("pid") in self.ends:
                child.details["code"] = self.ends[child.details["pid"]]

    def _count(self, event: dict[str, Any], process: Process) -> None:
        key = (process.pid, str(event["k"]), int(event["o"]))
        self.counts[key] = max(self.counts.get(key, 0), int(event["n"]))

    def _end(self, event: dict[str, Any], process: Process) -> None:
        process.seconds = event.get("seconds")
        process.memory = event.get("memory")
        process.gpu_memory = event.get("gpu_memory")
        process.device = event.get("device")

    def _error(self, event: dict[str, Any], process: Process) -> None:
        source = event.get("source")
        self.observation.errors.append(
            Error(
                pid=process.pid,
                at=process.began + event["t"],
                how=event["how"],
                type=event["type"],
                text=event["text"],
                frames=_frames(event["frames"]),
                values=tuple(event.get("values", ())),
                config=event.get("config", {}),
                source=Place(source[0], source[1]) if source else None,
                cause=event.get("cause", ""),
                trial=event.get("trial"),
            )
        )

    def _exit(self, event: dict[str, Any], process: Process) -> None:
        frames = _frames(event["frames"])
        at = process.began + event["t"]
        found = Exit(pid=process.pid, at=at, status=event["status"], frames=frames)
        self.observation.exits.append(found)

    def _loader(self, event: dict[str, Any], process: Process) -> None:
        size = event.get("batch_size")
        workers = event.get("workers")
        self.observation.loaders.append(
            Loader(
                pid=process.pid,
                id=event["id"],
                dataset=event["dataset"],
                batch_size=size if isinstance(size, int) else None,
                workers=workers if isinstance(workers, int) else None,
                place=_place(event),
            )
        )

    def _pass(self, event: dict[str, Any], process: Process) -> None:
        found = Pass(pid=process.pid, id=event["id"], loader=event["loader"], place=_place(event))
        self.passes[process.pid, found.id] = found
        self.observation.passes.append(found)

    def _optimizer(self, event: dict[str, Any], process: Process) -> None:
        found = Optimizer(
            pid=process.pid,
            id=event["id"],
            type=event["type"],
            parameters=event["parameters"],
            place=_place(event),
        )
        self.optimizers[process.pid, found.id] = found
        self.observation.optimizers.append(found)

    def _trains(self, event: dict[str, Any], process: Process) -> None:
        self.passes[process.pid, event["loader_pass"]].optimizers.add(event["optimizer"])

    def _moved(self, event: dict[str, Any], process: Process) -> None:
        found = self.optimizers[process.pid, event["optimizer"]]
        found.moved, found.sampled = event["moved"], event["sampled"]
        found.rate, found.stepped = event["rate"], _place(event)

    def _loss(self, event: dict[str, Any], process: Process) -> None:
        found = Loss(
            pid=process.pid, value=event["value"], number=event["number"], place=_place(event)
        )
        self.observation.losses.append(found)

    def _study_of(self, pid: int, number: int) -> Search:
        if (pid, number) not in self.studies:
            found = self.studies[pid, number] = Search(pid=pid, id=number)
            self.observation.studies.append(found)
        return self.studies[pid, number]

    def _study(self, event: dict[str, Any], process: Process) -> None:
        self._study_of(process.pid, event["id"]).place = _place(event)

    def _optimize(self, event: dict[str, Any], process: Process) -> None:
        self._study_of(process.pid, event["study"]).optimized = _place(event)

    def _trial(self, event: dict[str, Any], process: Process) -> None:
        trial = {k: event.get(k) for k in ("number", "parameters", "value", "error")}
        self._study_of(process.pid, event["study"]).trials.append(trial)

    def _wandb_init(self, event: dict[str, Any], process: Process) -> None:
        self.observation.wandb.append(
            Started(
                pid=process.pid,
                asked=event["mode"],
                by=event["by"],
                arguments=event["arguments"],
                place=_place(event),
            )
        )

    def _wandb_run(self, event: dict[str, Any], process: Process) -> None:
        mine = [s for s in self.observation.wandb if s.pid == process.pid and s.mode is None]
        if mine:
            mine[-1].mode, mine[-1].id = event["mode"], event["id"]

    def _wandb_finish(self, _event: dict[str, Any], _process: Process) -> None:
        self.observation.finished += 1

    def _log(self, event: dict[str, Any], process: Process) -> None:
        self.observation.logged.append(
            Logged(
                pid=process.pid,
                row=event["row"],
                values=event["values"],
                step=event.get("step"),
                place=_place(event),
            )
        )

    def _summary(self, event: dict[str, Any], _process: Process) -> None:
        self.observation.summary[event["key"]] = event["value"]

    def _config(self, event: dict[str, Any], _process: Process) -> None:
        self.observation.config.update(event["values"])

    def _child_end(self, event: dict[str, Any], _process: Process) -> None:
        self.ends[event["pid"]] = event["code"]

    def _observer(self, event: dict[str, Any], _process: Process) -> None:
        self.observation.troubles.append(f"{event['hook']}: {event['error']}")

    def _figure(self, event: dict[str, Any], process: Process) -> None:
        self.observation.figures.append(_seen(event, process, "path"))

    def _write(self, event: dict[str, Any], process: Process) -> None:
        self.observation.written.append(_seen(event, process, "path"))

    def _host(self, event: dict[str, Any], process: Process) -> None:
        self.observation.hosts.append(_seen(event, process, "host"))

    def _child(self, event: dict[str, Any], process: Process) -> None:
        self.observation.children.append(_seen(event, process, "how"))

    def _warning(self, event: dict[str, Any], process: Process) -> None:
        self.observation.warnings.append(_seen(event, process, "text"))

    def _loop(self, event: dict[str, Any], process: Process) -> None:
        self.observation.loops.append(_seen(event, process, "entry"))

    def _loop_end(self, event: dict[str, Any], process: Process) -> None:
        for loop in reversed(self.observation.loops):
            if loop.pid == process.pid and loop.what == event["entry"]:
                loop.details.setdefault("steps", event["steps"])
                loop.details.setdefault("epochs", event["epochs"])
                return

    def _bound(self, event: dict[str, Any], process: Process) -> None:
        self.observation.bounds.append(_seen(event, process, "what"))


def _with_infinities(line: bytes) -> object:
    """JSON as Python writes it: with NaN and Infinity, which the format itself does not know."""
    import json

    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _convert(event: dict[str, Any], kind: type[Process]) -> Process | None:
    try:
        return msgspec.convert(event, kind)
    except msgspec.ValidationError:
        return None


def _place(event: dict[str, Any]) -> Place | None:
    text = event.get("place")
    if not isinstance(text, str):
        return None
    path, line, function = text.rsplit(":", 2)
    return Place(path, int(line), function)


def _frames(found: list[list[Any]]) -> tuple[Frame, ...]:
    return tuple(
        Frame(
            str(f[0]),
            int(f[1]),
            str(f[2]),
            bool(f[3]),
            (int(f[4]), int(f[5]), int(f[6])) if len(f) == 7 else None,
        )
        for f in found
    )


def _seen(event: dict[str, Any], process: Process, what: str) -> Seen:
    details = {k: v for k, v in event.items() if k not in ("e", "t", "place", what)}
    return Seen(pid=process.pid, what=str(event[what]), place=_place(event), details=details)
