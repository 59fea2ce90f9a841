"""What the runs of an experiment log to W&B: keys, rows, the run itself and its config.

Facts about wandb were found by running wandb 0.31 in offline mode and reading its log back:
without ``step`` every ``log`` makes a row, unless the one before it had ``commit=False`` or an
explicit step, into whose row it goes; with an explicit ``step`` it goes into that step's row; what
comes with a step below the current one, or at one that is committed, is dropped. A value that is a
dict is logged under dotted keys. The last logged value of every key is copied into the summary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from explint.package import FileState
from explint.regex import regex
from explint.rules.processes import Process, processes
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, Env, condition, evaluate
from explint.trace.specialise import Unknown as NotKnown

if TYPE_CHECKING:
    from collections.abc import Set

    from explint.experiment import Experiment

Role = Literal[
    "module", "run", "log", "summary", "config", "api", "api-run", "api-runs", "frame", "row"
]

_DEPTH = 40
_ALTERNATIVES = 16
_RUN_MAKERS = frozenset({"wandb.init", "wandb.sdk.init", "wandb.Run", "wandb.sdk.wandb_run.Run"})
# Their `log` is not W&B's.
_OTHER_LOGGERS = frozenset(
    {"logging", "math", "cmath", "numpy", "torch", "jax", "tensorflow", "loguru", "rich", "mlflow",
     "scipy", "pandas", "tqdm", "optuna", "structlog", "absl", "comet_ml", "neptune", "print"}
)  # fmt: skip
# What the name of a call on W&B's objects begins with; `?` stands for what is not followed.
_HEADS = ("wandb", "?", "dict", "list", "tuple")
_LIGHTNING = ("lightning.", "pytorch_lightning.")
_LOGGER = regex(
    r"Wandb(Logger|Callback|MetricsLogger|EvalCallback|SummaryWriter)\b", words=("Wandb",)
)
_TRAINER = regex(
    r"(transformers|trl|sentence_transformers|setfit)\.(\w+\.)*\w*Trainer$", words=("Trainer",)
)
_TRAINER_PREFIXES = ("train/", "eval/", "test/", "profiling/")


class Template(msgspec.Struct, frozen=True):
    """A key that is logged; None among its parts stands for any text."""

    parts: tuple[str | None, ...]

    @property
    def exact(self) -> str | None:
        """The key, where the code says all of it."""
        if None in self.parts:
            return None
        return "".join(p for p in self.parts if p is not None)

    def matches(self, key: str) -> bool:
        """Whether the key may be this one."""
        pattern = "".join(".*" if p is None else re.escape(p) for p in self.parts)
        return re.fullmatch(pattern, key, re.DOTALL) is not None

    def __str__(self) -> str:
        return "".join("*" if p is None else p for p in self.parts)


ANY = Template((None,))


class Logged(msgspec.Struct, frozen=True):
    """One key of one logging call, and the value it gets; None where the value is not followed."""

    key: Template
    value: f.ValueId | None


class LogCall(msgspec.Struct, frozen=True):
    """A place where a process logs.

    ``state`` is True where it surely happens in the run, None where that is not decided. ``sink``
    is where the keys go first: what goes to the history ends in the summary too. ``step`` is the
    step it names, ``commit`` what it says of ``commit``; None where it says nothing.
    """

    process: Process
    number: int
    state: bool | None
    sink: Literal["history", "summary"]
    place: f.Place
    keys: tuple[Logged, ...]
    step: f.ValueId | None = None
    commit: bool | NotKnown | None = None

    @property
    def path(self) -> str:
        """The file it stands in."""
        return self.process.path_of(self.place)


class Init(msgspec.Struct, frozen=True):
    """A ``wandb.init``, with its arguments by name.

    ``mode`` is the mode that it makes: ``online``, ``offline``, ``disabled``, or an ``Unknown``.
    None is what wandb does when neither the call nor the environment says anything: online.
    """

    process: Process
    number: int
    state: bool | None
    place: f.Place
    given: dict[str, f.ValueId]
    mode: str | NotKnown | None
    spread: bool

    @property
    def path(self) -> str:
        """The file it stands in."""
        return self.process.path_of(self.place)


class Opening(msgspec.Struct, frozen=True):
    """Why a run may log keys that are not in the list, and what would decide it."""

    reason: str
    decided_by: str


class RunLog(msgspec.Struct):
    """What one run logs under one mode. ``openings`` say why it may log anything else besides."""

    run_id: str | None
    mode: str | None
    inits: list[Init] = msgspec.field(default_factory=list)
    calls: list[LogCall] = msgspec.field(default_factory=list)
    openings: list[Opening] = msgspec.field(default_factory=list)
    loggers: list[tuple[str, f.Place]] = msgspec.field(default_factory=list)

    def may_log(self, key: str, sink: Literal["history", "summary"] = "history") -> bool:
        """Whether a key may be there; keys that W&B itself adds always are.

        A value may be a dict, whose keys follow after a dot, or a plot, which logs a table too.
        """
        if self.openings or key.startswith(("_", "system.", "system/")):
            return True
        pieces = key.split(".")
        names = {".".join(pieces[:n]) for n in range(1, len(pieces) + 1)}
        names.add(key.removesuffix("_table"))
        return any(
            logged.key.matches(name)
            for call in self.calls
            if sink == "summary" or call.sink == "history"
            for logged in call.keys
            for name in names
        )

    def exact_keys(self, sink: Literal["history", "summary"] = "history") -> list[str]:
        """The keys known in full, in program order."""
        found = (
            logged.key.exact
            for call in self.calls
            if sink == "summary" or call.sink == "history"
            for logged in call.keys
        )
        return list(dict.fromkeys(key for key in found if key is not None))


def run_logs(experiment: Experiment) -> tuple[RunLog, ...]:
    """What every run logs under every mode, in their order."""
    found: tuple[RunLog, ...] | None = experiment.shared.get("run logs")
    if found is None:
        found = experiment.shared["run logs"] = tuple(_run_logs(experiment))
    return found


def full_logs(experiment: Experiment) -> tuple[RunLog, ...]:
    """Of those, the ones that evaluation reads back: not the modes that only show that the code
    works, where the protocol has others."""
    cheap = {m.name for m in experiment.profile.trial.modes if m.cheap or m.wandb == "disabled"}
    logs = run_logs(experiment)
    return tuple(log for log in logs if log.mode not in cheap) or logs


def _run_logs(experiment: Experiment) -> Iterator[RunLog]:
    logs: dict[tuple[str | None, str | None], RunLog] = {}
    alone: list[Process] = []
    for process in processes(experiment):
        if process.run_id is None and logs:
            alone.append(process)
            continue
        log = logs.setdefault((process.run_id, process.mode), RunLog(process.run_id, process.mode))
        _collect(experiment, process, log)
    unreached: RunLog | None = None
    for log in logs.values():
        for process in alone:
            _collect(experiment, process, log)
        if log.calls or log.inits or log.loggers:
            unreached = unreached or _unreached(experiment)
            log.calls += unreached.calls
            log.openings += unreached.openings
            log.loggers += unreached.loggers
    yield from logs.values()


# ---- what a process logs ----


def _collect(experiment: Experiment, process: Process, log: RunLog) -> None:
    env = process.special.env
    states, events = process.special.states, process.trace.events
    mode = _environment_mode(process)
    if (error := _ends_in_error(process)) is not None:
        # What stands behind it is logged once the error is repaired.
        log.openings.append(
            Opening(f"the run ends in the error that {error} raises", "a run without the error")
        )
    for number in _telling(experiment, process.trace):
        state, event = states[number], events[number]
        if state is False:
            continue
        if process.state is None:
            state = None
        match event:
            case f.LibraryCall():
                _call(process, log, number, state, event, env, mode)
                mode = _changed_mode(event, state, env, mode)
            case f.Store():
                mode = _changed_mode(event, state, env, mode)
                if role_of(event.of, env) == "summary":
                    logged = [Logged(key, event.value) for key in templates(event.key, env)]
                    log.calls.append(
                        LogCall(process, number, state, "summary", event.place, tuple(logged))
                    )
            case f.Import() if event.own or event.name.startswith("src."):
                _withheld(experiment, event.name, log)
            case f.Cut():
                log.openings.append(
                    Opening(f"{process.path} does more than is followed", "a trial run")
                )


def _ends_in_error(process: Process) -> str | None:
    """The place where a process comes to code that was never written, or surely raises another
    exception once its loops run; None where there is no such place."""
    from explint.rules.search import decide_under

    raised = process.special.happening_of(f.Raise)
    values = process.trace.values
    for _, event in raised:
        row = values[event.value]
        if isinstance(row, f.CallValue):
            row = values[row.callee]
        unwritten = isinstance(row, f.Library) and row.name == "NotImplementedError"
        # `assert root.exists()` asks the machine, which is no error of the run.
        if unwritten or decide_under(event.guard, process.special.env):
            return f"{process.path_of(event.place)}:{event.place.line}"
    return None


def _telling(experiment: Experiment, trace: f.EntryTrace) -> list[int]:
    """The numbers of the events that may log something, or say whether and where to."""
    known: dict[int, list[int]] = experiment.shared.setdefault("telling events", {})
    if id(trace) not in known:
        wandb, system = trace.made_of_library("wandb"), trace.made_of_library("os")
        known[id(trace)] = sorted(
            [
                *(n for n, e in trace.events_of(f.LibraryCall) if _tells(e, wandb)),
                *(
                    n
                    for n, e in trace.events_of(f.Store)
                    if e.of in wandb or (e.how == "item" and e.of in system)
                ),
                *(n for n, e in trace.events_of(f.Import) if e.own or e.name.startswith("src.")),
                *(n for n, _ in trace.events_of(f.Cut)),
            ]
        )
    return known[id(trace)]


def _tells(event: f.LibraryCall, wandb: Set[f.ValueId]) -> bool:
    name = event.name
    return (
        name.startswith(_HEADS)
        or name.rpartition(".")[2] in _LOGGING
        or name.startswith(("os.environ", "os.putenv"))
        or name.endswith("load_dotenv")
        or _LOGGER.search(name) is not None
        or _TRAINER.search(name) is not None
        or not wandb.isdisjoint(event.args)
        or any(v in wandb for _, v in event.kwargs)
    )


# Methods that log, or set up who does.
_LOGGING = frozenset(
    {"log", "log_dict", "log_metrics", "log_metric", "init_trackers", "Accelerator"}
)


def _call(
    process: Process,
    log: RunLog,
    number: int,
    state: bool | None,
    event: f.LibraryCall,
    env: Env,
    mode: str | NotKnown | None,
) -> None:
    entry = env.entry
    given = dict(event.kwargs)
    data = event.args[0] if event.args else given.get("data", given.get("d"))
    if not event.name.startswith(_HEADS):
        _foreign(process, log, number, event, event.name.rpartition(".")[2], data, env)
        return
    name = _name(event.callee, env) or event.name
    if name in _RUN_MAKERS:
        init = Init(
            process,
            number,
            state,
            event.place,
            {k: v for k, v in given.items() if k != "**"},
            _init_mode(given, env, mode),
            "**" in given,
        )
        log.inits.append(init)
        if "sync_tensorboard" in given and evaluate(given["sync_tensorboard"], env) is not False:
            log.openings.append(Opening("TensorBoard's scalars are logged too", "a trial run"))
        return
    callee = entry.values[event.callee]
    method = callee.name if isinstance(callee, f.Attribute) else name.rpartition(".")[2]
    of = role_of(callee.of, env) if isinstance(callee, f.Attribute) else None
    if isinstance(callee, f.Library):
        of = _library_role(name.rpartition(".")[0])
    if of in ("run", "module"):
        if method == "log" and data is not None:
            _history(process, log, number, state, event, dict_keys(data, env))
        elif method == "define_metric":
            _defined(process, log, number, state, event, env)
        elif method == "watch":
            keys = [Logged(Template(("gradients/", None)), None)]
            keys.append(Logged(Template(("parameters/", None)), None))
            _history(process, log, number, state, event, keys)
        elif method == "patch" or name.startswith("wandb.tensorboard."):
            log.openings.append(Opening("TensorBoard's scalars are logged too", "a trial run"))
        return
    if of == "summary":
        if method in ("update", "_update", "setdefault", "__setitem__"):
            if method == "update":
                keys = [*(dict_keys(data, env) if data is not None else ()),
                        *(Logged(Template((k,)), v) for k, v in given.items()
                          if k not in ("data", "d", "**"))]  # fmt: skip
            else:
                value = event.args[1] if len(event.args) > 1 else None
                keys = [Logged(k, value) for k in templates(data, env)] if data is not None else []
            log.calls.append(LogCall(process, number, state, "summary", event.place, tuple(keys)))
        return
    if of is not None:
        return
    _foreign(process, log, number, event, method, data, env)


def _foreign(
    process: Process,
    log: RunLog,
    number: int,
    event: f.LibraryCall,
    method: str,
    data: f.ValueId | None,
    env: Env,
) -> None:
    """A call of code that may log to W&B in its own way."""
    head = event.name.partition(".")[0]
    if _LOGGER.search(event.name):
        log.loggers.append((event.name, event.place))
        keys = [Logged(Template((k,)), None) for k in ("epoch", "trainer/global_step")]
        _history(process, log, number, None, event, keys)
        if not event.name.endswith("WandbLogger"):
            log.openings.append(Opening(f"{event.name} logs what it is given", "a trial run"))
        return
    if _TRAINER.search(event.name):
        if not _reports_elsewhere(env):
            log.loggers.append((event.name, event.place))
            keys = [Logged(Template((p, None)), None) for p in _TRAINER_PREFIXES]
            keys += [Logged(Template(("epoch",)), None), Logged(Template(("total_flos",)), None)]
            _history(process, log, number, None, event, keys)
        return
    if method == "init_trackers" or (
        head == "accelerate" and method == "Accelerator" and "log_with" in dict(event.kwargs)
    ):
        log.loggers.append((event.name, event.place))
        return
    if head in _OTHER_LOGGERS:
        return
    if method in ("log", "log_dict", "log_metrics", "log_metric") and data is not None:
        _logger_call(process, log, number, event, method, data, env)
        return
    if head == "wandb":
        return
    handed = (*event.args, *(v for _, v in event.kwargs))
    if method not in ("print", "finish") and any(_is_run(v, env, 0) for v in handed):
        log.openings.append(
            Opening(
                f"the W&B run is handed to {event.name.lstrip('?.') or 'a function'}", "a trial run"
            )
        )


def _is_run(value: f.ValueId, env: Env, depth: int) -> bool:
    """Whether a value is W&B itself or its run: what ``role_of`` says, for the plain cases."""
    row = env.entry.values[value]
    match row:
        case f.Library():
            return row.name in ("wandb", "wandb.run")
        case f.CallValue():
            callee = env.entry.values[row.callee]
            return isinstance(callee, f.Library) and callee.name in _RUN_MAKERS
        case f.Select():
            ways = (row.yes, row.no)
            return depth < 4 and any(_is_run(way, env, depth + 1) for way in ways)
    return False


def _logger_call(
    process: Process,
    log: RunLog,
    number: int,
    event: f.LibraryCall,
    method: str,
    data: f.ValueId,
    env: Env,
) -> None:
    row = env.entry.values[data]
    lightning = event.name.startswith(_LIGHTNING)
    if isinstance(row, f.DictValue | f.Select) or method in ("log_dict", "log_metrics"):
        keys = dict_keys(data, env)
    else:
        text = templates(data, env)
        if not (lightning or len(event.args) > 1 or "value" in dict(event.kwargs)):
            if text == [ANY] and event.name.startswith("?"):
                keys = dict_keys(data, env)
            else:
                return
        elif text == [ANY] and not lightning:
            # `logger.log(level, message)` as often as not.
            return
        else:
            value = event.args[1] if len(event.args) > 1 else dict(event.kwargs).get("value")
            keys = [Logged(key, value) for key in text]
    if lightning:
        # Lightning logs a metric once per step and once per epoch, when asked for both.
        keys = [
            Logged(Template((*k.key.parts, end)) if end else k.key, k.value)
            for k in keys
            for end in ("", "_step", "_epoch")
        ]
    # Whether that logger hands it on to W&B is its own matter.
    _history(process, log, number, None, event, keys)


def _history(
    process: Process,
    log: RunLog,
    number: int,
    state: bool | None,
    event: f.LibraryCall,
    keys: Sequence[Logged],
) -> None:
    given = dict(event.kwargs)
    step = given.get("step", event.args[1] if len(event.args) > 1 else None)
    row = None if step is None else process.trace.values[step]
    if isinstance(row, f.Literal) and row.value is None:
        step = None
    commit: bool | NotKnown | None = None
    said = given.get("commit", event.args[2] if len(event.args) > 2 else None)
    if said is not None:
        found = evaluate(said, process.special.env)
        commit = found if found is None or isinstance(found, bool) else NotKnown("it is not known")
    call = LogCall(
        process, number, state, "history", event.place, tuple(keys), step=step, commit=commit
    )
    log.calls.append(call)


def _defined(
    process: Process,
    log: RunLog,
    number: int,
    state: bool | None,
    event: f.LibraryCall,
    env: Env,
) -> None:
    """``define_metric(…, summary="max")`` keeps ``key.max`` in the summary."""
    if "summary" not in dict(event.kwargs) or not event.args:
        return
    keys = []
    for key in templates(event.args[0], env):
        parts: list[str | None] = []
        for part in key.parts:
            pieces = [part] if part is None else part.split("*")
            for at, piece in enumerate(pieces):
                parts += [None] * (at > 0) + [piece]
        keys.append(Logged(Template((*parts, ".", None)), None))
    log.calls.append(LogCall(process, number, state, "summary", event.place, tuple(keys)))


def _reports_elsewhere(env: Env) -> bool:
    """Whether every set of training arguments names the trackers, and W&B is not one."""
    found = False
    for event in env.entry.events:
        if not isinstance(event, f.LibraryCall) or not re.search(
            r"(Training(Arguments)?|SFT|DPO|GRPO|PPO)(Config|Arguments)?$", event.name
        ):
            continue
        given = dict(event.kwargs)
        if "report_to" not in given:
            return False
        said = evaluate(given["report_to"], env)
        names = [said] if isinstance(said, str) else said
        if not isinstance(names, list) or any(n in ("wandb", "all") for n in names):
            return False
        found = True
    return found


def _withheld(experiment: Experiment, module: str, log: RunLog) -> None:
    path = f"{module.replace('.', '/')}.py"
    state = experiment.state(path)
    withheld = state is FileState.WITHHELD or (
        state is FileState.ABSENT
        and experiment.state(f"{module.replace('.', '/')}/__init__.py") is FileState.ABSENT
        and not any(p.startswith(f"{module.replace('.', '/')}/") for p in experiment.package.files)
    )
    if withheld and all(o.decided_by != path for o in log.openings):
        said = "is not in the record" if state is FileState.WITHHELD else "is absent"
        log.openings.append(Opening(f"{path} {said}, and may log more", path))


def _unreached(experiment: Experiment) -> RunLog:
    """What functions log that no entry reaches: a library may call them all the same."""
    log = RunLog(None, None)
    first = processes(experiment)[0]
    entry = first.document.entry("")
    if entry is None:
        return log
    skip = {p for p, job in experiment.profile.files.jobs.items() if job == "evaluate"}
    special = experiment.specialised(entry, NotKnown("no entry reaches it"))
    env = special.env
    process = Process(
        first.path, None, None, first.document, entry, NotKnown("not reached"), special, None
    )
    for number, event in enumerate(entry.events):
        if first.document.files[event.place.file] in skip or special.states[number] is False:
            continue
        if isinstance(event, f.LibraryCall):
            _call(process, log, number, None, event, env, NotKnown("not reached"))
        elif isinstance(event, f.Store) and role_of(event.of, env) == "summary":
            logged = tuple(Logged(key, event.value) for key in templates(event.key, env))
            log.calls.append(LogCall(process, number, None, "summary", event.place, logged))
    return log


# ---- modes ----


def _environment_mode(process: Process) -> str | NotKnown | None:
    """What ``WANDB_MODE`` is when a process starts, as far as its parent sets it."""
    parent = process.parent
    if parent is None or process.child is None:
        return None
    mode: str | NotKnown | None = None
    env = parent.special.env
    for state, event in zip(parent.special.states, parent.trace.events, strict=True):
        if state is False:
            continue
        if event is process.child.event:
            break
        if isinstance(event, f.Store | f.LibraryCall):
            mode = _changed_mode(event, state, env, mode)
    if process.child.has_env:
        given = dict(process.child.event.kwargs)["env"]
        mode = _mode_in(given, env, mode)
    return mode


def _mode_in(value: f.ValueId, env: Env, mode: str | NotKnown | None) -> str | NotKnown | None:
    row = env.entry.values[value]
    if isinstance(row, f.DictValue):
        for key, inner in row.items:
            if templates(key, env) == [Template(("WANDB_MODE",))]:
                mode = _as_mode(inner, env)
        return mode
    if isinstance(row, f.CallValue):
        return mode
    return mode if mode is None or isinstance(mode, str) else NotKnown("the environment is its own")


def _changed_mode(
    event: f.Store | f.LibraryCall, state: bool | None, env: Env, mode: str | NotKnown | None
) -> str | NotKnown | None:
    """What ``WANDB_MODE`` is after an event, whether in ``os.environ`` or in a copy of it."""
    pairs: list[tuple[f.ValueId, f.ValueId]] = []
    if isinstance(event, f.Store):
        of = _name(event.of, env) or ""
        if event.how != "item" or not (of == "os.environ" or of.startswith("os.environ.copy")):
            return mode
        pairs = [(event.key, event.value)]
    elif event.name in ("os.environ.setdefault", "os.putenv") and len(event.args) == 2:
        if event.name == "os.environ.setdefault" and mode is not None:
            return mode
        pairs = [(event.args[0], event.args[1])]
    elif event.name == "os.environ.update":
        row = env.entry.values[event.args[0]] if event.args else None
        if not isinstance(row, f.DictValue):
            return NotKnown("the environment is made at run time")
        pairs = row.items
    elif event.name.endswith("load_dotenv"):
        return NotKnown("the environment is read from a file")
    else:
        return mode
    after = mode
    for key, value in pairs:
        name = evaluate(key, env)
        if name == "WANDB_MODE":
            after = _as_mode(value, env)
        elif name == "WANDB_DISABLED":
            after = "disabled"
        elif not isinstance(name, str):
            after = NotKnown("the environment is made at run time")
    return after if state is True or after == mode else NotKnown("it is not decided")


def _as_mode(value: f.ValueId, env: Env) -> str | NotKnown | None:
    found = evaluate(value, env)
    if found is None or isinstance(found, str):
        return found
    return found if isinstance(found, NotKnown) else NotKnown("the mode is not known")


def _init_mode(
    given: dict[str, f.ValueId], env: Env, mode: str | NotKnown | None
) -> str | NotKnown | None:
    """An argument beats the environment; ``settings`` stand between."""
    if "mode" in given:
        said = _as_mode(given["mode"], env)
        if said is not None:
            return said
    if "**" in given or "settings" in given:
        return NotKnown("its settings are not followed")
    return mode


# ---- values ----


def _name(value: f.ValueId, env: Env) -> str | None:
    """The dotted name of a library object, through aliases and fallback imports."""
    row = env.entry.values[value]
    parts: list[str] = []
    for _ in range(_DEPTH):
        match row:
            case f.Attribute():
                parts.append(row.name)
                row = env.entry.values[row.of]
            case f.CallValue():
                parts.append("()")
                row = env.entry.values[row.callee]
            case f.Library():
                return ".".join([row.name, *reversed(parts)]).replace(".()", "()")
            case f.Select():
                test = condition(row.test, env)
                ways = [row.yes, row.no] if test is None else [row.yes if test else row.no]
                rows = [env.entry.values[way] for way in ways]
                known = [r for r in rows if not isinstance(r, f.Literal)]
                if len(known) != 1:
                    return None
                row = known[0]
            case _:
                return None
    return None


def _library_role(name: str) -> Role | None:
    if name in ("wandb", "wandb.sdk"):
        return "module"
    if name == "wandb.run":
        return "run"
    if name in ("wandb.summary", "wandb.run.summary"):
        return "summary"
    if name in ("wandb.config", "wandb.run.config"):
        return "config"
    return None


_OF_RUN: dict[str, Role] = {
    "summary": "summary", "summary_metrics": "summary", "config": "config",
}  # fmt: skip
# Methods of a frame that give its columns on as they are.
_SAME_FRAME = frozenset(
    {"dropna", "copy", "reset_index", "sort_values", "fillna", "head", "tail", "query", "ffill",
     "drop_duplicates", "iloc", "loc", "sample", "interpolate", "bfill", "sort_index", "astype",
     "infer_objects", "convert_dtypes", "truncate"}
)  # fmt: skip


def role_of(value: f.ValueId, env: Env, depth: int = 0) -> Role | None:
    """What a value is to W&B; None for anything else."""
    if depth > _DEPTH or value not in env.entry.made_of_library("wandb"):
        return None
    row = env.entry.values[value]
    match row:
        case f.Library():
            return _library_role(row.name)
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                return role_of(row.yes if test else row.no, env, depth + 1)
            roles = [role_of(way, env, depth + 1) for way in (row.yes, row.no)]
            return next((r for r in roles if r is not None), None)
        case f.Each() | f.Star():
            return role_of(row.value, env, depth + 1)
        case f.Attribute():
            of = role_of(row.of, env, depth + 1)
            if of in ("run", "api-run", "module"):
                return _OF_RUN.get(row.name)
            if of == "summary" and row.name == "_json_dict":
                return "summary"
            return of if of == "frame" and row.name in _SAME_FRAME else None
        case f.CallValue():
            return _result_role(row, env, depth + 1)
        case f.DictValue():
            # `dict(run.summary)` and `{**run.summary}`.
            if len(row.items) == 1 and isinstance(env.entry.values[row.items[0][0]], f.Star):
                found = role_of(row.items[0][0], env, depth + 1)
                return found if found in ("summary", "config", "row") else None
        case f.Element():
            return _element_role(row, env, depth + 1)
        case f.Item():
            of = role_of(row.of, env, depth + 1)
            key = env.entry.values[row.key]
            if of == "api-runs":
                return "api-run"
            if of == "frame":
                # By number after `iloc`, by a list of names, by a mask: the same columns or fewer.
                if isinstance(key, f.Slice | f.Compare | f.Not | f.Binary | f.ListValue):
                    return "frame"
                inner = env.entry.values[row.of]
                if isinstance(inner, f.Attribute) and inner.name == "iloc":
                    return "row"
            if of is None:
                chosen = picked(row, env, depth)
                if chosen is not None:
                    return role_of(chosen, env, depth + 1)
    return None


def picked(row: f.Item, env: Env, depth: int = 0) -> f.ValueId | None:
    """The value that an item of a container is, where only one comes into question.

    Containers are what the code fills run by run, too: ``data[run_id] = {…}``, gone through later
    by ``for run_id, one in data.items()``.
    """
    key = env.entry.values[row.key]
    literal = key.value if isinstance(key, f.Literal) else None
    over = env.entry.values[row.of]
    if isinstance(over, f.Element) and literal in (0, 1):
        data = _called_on(over.of, "items", env)
        if data is not None:
            return _only(_contents(data, env, depth + 1)) if literal == 1 else None
    found = _resolved(row.of, env, depth + 1)
    of = env.entry.values[found]
    if isinstance(of, f.DictValue):
        if literal is None:
            return _only(_contents(found, env, depth + 1))
        for inner, value in reversed(of.items):
            if env.entry.values[inner] == key:
                return value
    if isinstance(of, f.TupleValue) and isinstance(literal, int) and not of.open:
        return of.items[literal] if -len(of.items) <= literal < len(of.items) else None
    return None


def _resolved(value: f.ValueId, env: Env, depth: int) -> f.ValueId:
    """What a value is behind elements of containers and choices with one way that is known."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return value
    inner: f.ValueId | None = None
    match row:
        case f.Each():
            inner = row.value
        case f.Item():
            inner = picked(row, env, depth + 1)
        case f.Element():
            data = _called_on(row.of, "values", env)
            inner = _only(_contents(row.of if data is None else data, env, depth + 1))
        case f.Select():
            ways = [w for w in (row.yes, row.no) if _is_known(w, env)]
            inner = ways[0] if len(ways) == 1 else None
    return value if inner is None else _resolved(inner, env, depth + 1)


def _is_known(value: f.ValueId, env: Env) -> bool:
    row = env.entry.values[value]
    if isinstance(row, f.DictValue | f.ListValue):
        return bool(row.items)
    return not isinstance(row, f.Literal | f.UnknownValue)


def _contents(value: f.ValueId, env: Env, depth: int) -> list[f.ValueId]:
    """The values that a container may hold, as far as they are known."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return []
    match row:
        case f.DictValue():
            return [v for k, v in row.items if not isinstance(env.entry.values[k], f.Star)]
        case f.ListValue() | f.TupleValue():
            return list(row.items)
        case f.Select():
            return [v for way in (row.yes, row.no) for v in _contents(way, env, depth + 1)]
        case f.Each():
            return _contents(row.value, env, depth + 1)
        case f.Item() | f.Element():
            found = _resolved(value, env, depth + 1)
            return _contents(found, env, depth + 1) if found != value else []
    return []


def _only(values: list[f.ValueId]) -> f.ValueId | None:
    return values[0] if len(set(values)) == 1 else None


def _called_on(value: f.ValueId, method: str, env: Env) -> f.ValueId | None:
    """What a method without arguments is called on, when a value is its result."""
    row = env.entry.values[value]
    callee = env.entry.values[row.callee] if isinstance(row, f.CallValue) else None
    if isinstance(row, f.CallValue) and isinstance(callee, f.Attribute) and not row.args:
        return callee.of if callee.name == method else None
    return None


def _result_role(row: f.CallValue, env: Env, depth: int) -> Role | None:
    callee = env.entry.values[row.callee]
    if isinstance(callee, f.Library) or (isinstance(callee, f.Attribute) and callee.name == "init"):
        name = _name(row.callee, env) or ""
        if name in _RUN_MAKERS:
            return "run"
        if name in ("wandb.Api", "wandb.apis.public.Api"):
            return "api"
        if name in ("list", "sorted", "iter", "copy.deepcopy", "copy.copy") and row.args:
            inner = role_of(row.args[0], env, depth)
            return inner if inner in ("api-runs", "frame", "summary", "config") else None
        if name == "pandas.DataFrame" and row.args:
            inner = role_of(row.args[0], env, depth)
            return "frame" if inner in ("frame", "row") else None
        if name == "dict" and len(row.args) == 1 and not row.kwargs:
            inner = role_of(row.args[0], env, depth)
            return inner if inner in ("summary", "config", "row") else None
    name = _name(row.callee, env) or ""
    if name in ("wandb.Api", "wandb.apis.public.Api"):
        return "api"
    if isinstance(callee, f.Attribute):
        of = role_of(callee.of, env, depth)
        if of == "api":
            roles: dict[str, Role] = {"run": "api-run", "runs": "api-runs"}
            return roles.get(callee.name)
        if of == "api-run" and callee.name in ("history", "scan_history"):
            return "frame"
        if of == "frame" and callee.name in _SAME_FRAME:
            return "frame"
        if of in ("summary", "config", "row") and callee.name == "copy":
            return of
    return None


def _element_role(row: f.Element, env: Env, depth: int) -> Role | None:
    of = role_of(row.of, env, depth)
    if of == "api-runs":
        return "api-run"
    if of == "frame":
        over = env.entry.values[row.of]
        callee = env.entry.values[over.callee] if isinstance(over, f.CallValue) else None
        scans = isinstance(callee, f.Attribute) and callee.name == "scan_history"
        return "row" if scans else None
    data = _called_on(row.of, "values", env)
    chosen = _only(_contents(row.of if data is None else data, env, depth))
    return None if chosen is None else role_of(chosen, env, depth)


def templates(value: f.ValueId, env: Env, depth: int = 0) -> list[Template]:
    """The texts that a value may be; ``[ANY]`` where nothing is known of it."""
    if depth > _DEPTH:
        return [ANY]
    row = env.entry.values[value]
    match row:
        case f.Literal():
            return [Template((str(row.value),))] if row.value is not None else [ANY]
        case f.Each() | f.Star():
            return templates(row.value, env, depth + 1)
        case f.Template():
            return _joined([templates(part, env, depth + 1) for part in row.parts])
        case f.Binary(op="+"):
            return _joined([templates(v, env, depth + 1) for v in (row.left, row.right)])
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                return templates(row.yes if test else row.no, env, depth + 1)
            ways = [t for way in (row.yes, row.no) for t in templates(way, env, depth + 1)]
            return _limited(ways)
        case f.Element():
            over = env.entry.values[row.of]
            if isinstance(over, f.ListValue | f.TupleValue | f.SetValue) and not over.open:
                return _limited([t for i in over.items for t in templates(i, env, depth + 1)])
            known = evaluate(row.of, env)
            if isinstance(known, list | tuple) and all(isinstance(k, str) for k in known):
                return _limited([Template((k,)) for k in known])
            if isinstance(known, dict):
                return _limited([Template((str(k),)) for k in known])
        case f.Key():
            known = evaluate(row.of, env)
            if isinstance(known, dict):
                return _limited([Template((str(k),)) for k in known])
        case f.Item():
            chosen = picked(row, env)
            if chosen is not None:
                return templates(chosen, env, depth + 1)
    found = evaluate(value, env)
    if isinstance(found, str | int | float):
        return [Template((str(found),))]
    return [ANY]


def _joined(parts: list[list[Template]]) -> list[Template]:
    found: list[tuple[str | None, ...]] = [()]
    for ways in parts:
        if len(found) * len(ways) > _ALTERNATIVES:
            ways = [ANY]
        found = [(*before, *way.parts) for before in found for way in ways]
    return list(dict.fromkeys(Template(_merged(parts)) for parts in found))


def _merged(parts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    merged: list[str | None] = []
    for part in parts:
        last = merged[-1] if merged else ""
        if part is None and merged and last is None:
            continue
        if part is not None and merged and last is not None:
            merged[-1] = last + part
        else:
            merged.append(part)
    return tuple(merged)


def _limited(ways: list[Template]) -> list[Template]:
    ways = list(dict.fromkeys(ways))
    return ways if len(ways) <= _ALTERNATIVES * 2 else [ANY]


def dict_keys(value: f.ValueId, env: Env, depth: int = 0) -> list[Logged]:
    """The keys that a mapping may hold; ``ANY`` among them where it may hold others."""
    if depth > _DEPTH:
        return [Logged(ANY, None)]
    row = env.entry.values[value]
    match row:
        case f.DictValue():
            found: list[Logged] = []
            for key, inner in row.items:
                star = env.entry.values[key]
                if isinstance(star, f.Star):
                    found += dict_keys(star.value, env, depth + 1)
                    continue
                for template in templates(key, env):
                    found.append(Logged(template, inner))
                    found += _nested(template, inner, env, depth)
            return [*found, Logged(ANY, None)] if row.open else found
        case f.Select():
            test = condition(row.test, env)
            if test is not None:
                return dict_keys(row.yes if test else row.no, env, depth + 1)
            ways = (row.yes, row.no)
            known = [w for w in ways if not isinstance(env.entry.values[w], f.Literal)]
            return [k for way in known for k in dict_keys(way, env, depth + 1)]
        case f.Binary(op="|"):
            both = (row.left, row.right)
            return [k for side in both for k in dict_keys(side, env, depth + 1)]
        case f.Each() | f.Star():
            return dict_keys(row.value, env, depth + 1)
        case f.CallValue():
            callee = env.entry.values[row.callee]
            if isinstance(callee, f.Library) and callee.name == "dict":
                found = [Logged(Template((k,)), v) for k, v in row.kwargs if k != "**"]
                rest = [*row.args, *(v for k, v in row.kwargs if k == "**")]
                return found + [k for a in rest for k in dict_keys(a, env, depth + 1)]
    found_value = evaluate(value, env)
    if isinstance(found_value, dict):
        return [Logged(Template((str(k),)), None) for k in found_value]
    if found_value is ABSENT or found_value is None:
        return []
    return [Logged(ANY, None)]


def _nested(outer: Template, value: f.ValueId, env: Env, depth: int) -> list[Logged]:
    row = env.entry.values[value]
    if not isinstance(row, f.DictValue) or depth > 4:
        return []
    return [
        Logged(Template(_merged((*outer.parts, ".", *inner.key.parts))), inner.value)
        for inner in dict_keys(value, env, depth + 1)
    ]
