"""Rules about how training uses W&B."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.logged import Init, LogCall, RunLog, full_logs, run_logs
from explint.rules.processes import Process, processes
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.started import unread
from explint.trace import facts as f
from explint.trace.specialise import Env, condition, evaluate
from explint.trace.specialise import Unknown as NotKnown

if TYPE_CHECKING:
    from explint.experiment import Experiment

_DEPTH = 40
# `wandb.finish` does nothing without a run; these raise.
_NEEDS_RUN = frozenset(
    {"log", "watch", "define_metric", "save", "log_artifact", "alert", "use_artifact"}
)
_RESULTS = regex(r"(.*[_-])?results?\.jsonl?", re.I)


def _training(experiment: Experiment) -> str | None:
    jobs = experiment.profile.files.jobs.items()
    return next((p for p, job in jobs if job == "train"), None)


@rule("wandb/no-init", code="WDB001", severity=Severity.ERROR, criteria=(6,))
def no_init(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Training never initialises W&B, or never logs.

    ## What it does
    Follows the training program of every run and looks for `wandb.init`, a logger or trainer that
    starts a W&B run of its own, and for anything that is logged. Where neither the training module
    nor what it calls or starts does either under any run, that is a finding.

    ## Why is this bad
    Evaluation reads every result from W&B. What is not logged there is lost.

    ## Example
    ```python
    for epoch in range(cfg.run.training.epochs):
        print({"loss": train_epoch(model)})
    ```

    ## Use instead
    ```python
    wandb.init(project=cfg.wandb.project, id=cfg.run.run_id, mode=cfg.wandb.mode)
    for epoch in range(cfg.run.training.epochs):
        wandb.log({"loss": train_epoch(model)})
    ```

    ## References
    - Criterion 6 of the experiment protocol
    """
    path = experiment.profile.wandb.initialised_in
    if path is None:
        return
    if lacking := unread(experiment, path):
        yield lacking
        return
    logs = run_logs(experiment)
    started = any(log.inits or log.loggers for log in logs)
    writes = any(log.calls for log in logs)
    if started and writes:
        return
    opening = next((o for log in logs for o in log.openings), None)
    if opening is not None:
        yield Unknown(reason=opening.reason, decided_by=opening.decided_by, path=path)
        return
    if not logs or _mentions(experiment) or not _trains(experiment):
        # Code that mentions W&B and that no run is seen to reach, or that does nothing at all.
        return
    what = "never starts a W&B run" if not started else "never logs to W&B"
    yield Hit(
        path=path,
        message=f"Training {what}, in any run.",
        help=(
            "Call `wandb.init` with the run's id, and log every metric with `wandb.log`."
            if not started
            else "Log every metric with `wandb.log`."
        ),
    )


def _mentions(experiment: Experiment) -> bool:
    skip = {p for p, job in experiment.profile.files.jobs.items() if job == "evaluate"}
    found = (
        re.search(r"\bwandb\.(init|log|summary)\b", experiment.text(p) or "")
        for p in experiment.package.files
        if p.endswith(".py") and p not in skip
    )
    return any(found)


def _trains(experiment: Experiment) -> bool:
    """Whether the package trains or measures something itself, so that there is what to log."""
    return any(
        isinstance(event, f.LibraryCall) and event.name.endswith((".backward", ".step", ".fit"))
        for process in processes(experiment)
        for event in process.trace.events
    )


@rule("wandb/step-goes-backwards", code="WDB004", severity=Severity.WARNING, criteria=(6,))
def step_goes_backwards(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Metrics are logged with an explicit step that lies below the current one.

    ## What it does
    Reports `wandb.log(…, step=epoch)`, where `epoch` counts the iterations of a loop, when the same
    loop holds an inner loop that logs without a step, or with a counter that each of its iterations
    moves on: by then the current step is further than the number of epochs. Equal steps merge and
    are no finding.

    ## Why is this bad
    W&B drops what comes with a step below the current one and only prints a warning. The metrics
    of every epoch but the first are lost.

    ## Example
    ```python
    for epoch in range(epochs):
        for batch in loader:
            wandb.log({"train_loss": train(batch)})
        wandb.log({"val_loss": validate()}, step=epoch)
    ```

    ## Use instead
    ```python
        wandb.log({"val_loss": validate(), "epoch": epoch})
    ```

    ## References
    - Criterion 6 of the experiment protocol
    - [W&B: customise the step](https://docs.wandb.ai/guides/track/log/customize-logging-axes/)
    """
    told: set[tuple[str, int]] = set()
    for log in full_logs(experiment):
        for call, inner in _backwards(log):
            place = (call.path, call.place.line)
            if place in told:
                continue
            told.add(place)
            yield Hit(
                path=call.path,
                line=call.place.line,
                column=call.place.column,
                end_line=call.place.end_line,
                end_column=call.place.end_column,
                message=(
                    "The step is the number of the outer loop's iteration, but the inner loop "
                    "has moved W&B's step beyond it: what is logged here is dropped."
                ),
                help=(
                    "Leave `step` out and log the number as a metric of its own, or count one "
                    "step for both loops."
                ),
                related=(
                    Related(
                        path=inner.path,
                        line=inner.place.line,
                        message="The inner loop moves the step here.",
                    ),
                ),
            )


def _backwards(log: RunLog) -> Iterator[tuple[LogCall, LogCall]]:
    history = [c for c in log.calls if c.sink == "history"]
    for call in history:
        if call.step is None:
            continue
        process = call.process
        loop = _counted(call.step, process.special.env)
        if loop is None or loop not in _loops(call, process):
            continue
        for other in history:
            if other.process is not process or other is call or other.number > call.number:
                continue
            around = _loops(other, process)
            if loop not in around or around.index(loop) == 0:
                continue
            within = around[: around.index(loop)]
            if not any(process.trace.loops[n].kind in ("for", "while") for n in within):
                continue
            if any(_known_short(process, n) for n in within):
                continue
            goes_on = other.step is None or _goes_on(other.step, process.special.env)
            if goes_on and other.commit is None and _every_time(other, within, process):
                yield call, other
                break


def _counted(step: f.ValueId, env: Env) -> int | None:
    """The loop whose iterations a step counts, one by one from 0 or 1."""
    row = env.entry.values[step]
    if isinstance(row, f.Binary) and row.op == "+":
        right = env.entry.values[row.right]
        if isinstance(right, f.Literal) and right.value == 1:
            row = env.entry.values[row.left]
    if isinstance(row, f.Index):
        return row.loop
    if isinstance(row, f.Element):
        over = env.entry.values[row.of]
        callee = env.entry.values[over.callee] if isinstance(over, f.CallValue) else None
        if isinstance(callee, f.Library) and callee.name in ("range", "tqdm.tqdm", "tqdm.trange"):
            return row.loop
    return None


def _goes_on(step: f.ValueId, env: Env) -> bool:
    """Whether a step is a number that an iteration before left, and one more."""
    row = env.entry.values[step]
    if not (isinstance(row, f.Binary) and row.op == "+"):
        return False
    left, right = env.entry.values[row.left], env.entry.values[row.right]
    counts = isinstance(left, f.UnknownValue) and left.reason == "loop"
    return counts and isinstance(right, f.Literal) and right.value == 1


def _loops(call: LogCall, process: Process) -> list[int]:
    """The loops around a call, innermost first."""
    found = []
    guard = process.trace.events[call.number].guard
    while guard:
        row = process.trace.guards[guard]
        value = process.trace.values[row.condition]
        if isinstance(value, f.Ran) and row.expected:
            found.append(value.loop)
        guard = row.parent
    return found


def _known_short(process: Process, loop: int) -> bool:
    """Whether a loop is known to run once at most."""
    found = evaluate(process.trace.loops[loop].over, process.special.env)
    try:
        return not isinstance(found, NotKnown) and len(found) < 2
    except TypeError:
        return False


def _every_time(call: LogCall, within: list[int], process: Process) -> bool:
    """Whether a call happens in every iteration of the loops, or on conditions that hold."""
    guard = process.trace.events[call.number].guard
    env = process.special.env
    while guard:
        row = process.trace.guards[guard]
        value = process.trace.values[row.condition]
        if isinstance(value, f.Ran) and value.loop == within[-1]:
            return True
        if not isinstance(value, f.Ran) and condition(row.condition, env) is not row.expected:
            return False
        guard = row.parent
    return False


@rule("wandb/trial-logged", code="WDB005", severity=Severity.ERROR, criteria=(6, 7))
def trial_logged(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The trials of a hyperparameter search are logged to W&B.

    ## What it does
    Looks at what the objective that `study.optimize` calls does in every run, and reports a
    `wandb.init` or `wandb.log` that surely happens there while W&B is not disabled. It asks so
    where the protocol forbids it.

    ## Why is this bad
    The history of the run then holds every trial, one after the other. Evaluation reads it as one
    training, and the learning curve and the last value are those of the search.

    ## Example
    ```python
    def objective(trial):
        accuracy = train(sample(trial))
        wandb.log({"val_accuracy": accuracy})
        return accuracy
    ```

    ## Use instead
    ```python
    def objective(trial):
        return train(sample(trial), log=False)
    ```

    ## References
    - Criteria 6 and 7 of the experiment protocol
    """
    if experiment.profile.wandb.optuna_trials != "forbidden":
        return
    told: dict[tuple[str, int], tuple[LogCall | Init, list[str]]] = {}
    for log in full_logs(experiment):
        items: list[LogCall | Init] = [*log.inits, *log.calls]
        for item in sorted(items, key=lambda i: i.number):
            mode = item.mode if isinstance(item, Init) else _mode_at(item, log)
            if isinstance(mode, NotKnown) or mode == "disabled":
                continue
            if _in_objective(item):
                key = (item.path, item.place.line)
                told.setdefault(key, (item, []))[1].append(log.run_id or "")
    if not told:
        return
    (item, runs), *others = told.values()
    yield Hit(
        path=item.path,
        line=item.place.line,
        column=item.place.column,
        end_line=item.place.end_line,
        end_column=item.place.end_column,
        message="The objective of the search logs to W&B, so every trial ends up in the run.",
        help="Log nothing while a trial runs, and start the W&B run after the search.",
        related=tuple(
            Related(path=o.path, line=o.place.line, message="A trial logs here too.")
            for o, _ in others
        ),
        runs=tuple(dict.fromkeys(r for r in runs if r)),
    )


def _mode_at(call: LogCall, log: RunLog) -> str | NotKnown | None:
    """The mode of the run that a call logs to."""
    before = [i for i in log.inits if i.process is call.process and i.number < call.number]
    if not before or before[-1].state is None:
        return NotKnown("it is not decided which run it logs to")
    return before[-1].mode


def _in_objective(item: LogCall | Init) -> bool:
    """Whether something surely happens in every call that ``study.optimize`` makes."""
    trace, env = item.process.trace, item.process.special.env
    guard = trace.events[item.number].guard
    called = False
    while guard:
        row = trace.guards[guard]
        value = trace.values[row.condition]
        if isinstance(value, f.Called):
            over = trace.values[trace.loops[value.loop].over]
            name = over.name if isinstance(over, f.Attribute) else ""
            if isinstance(over, f.CallValue):
                callee = trace.values[over.callee]
                name = callee.name if isinstance(callee, f.Attribute) else ""
            if name != "optimize":
                return False
            called = True
        elif isinstance(value, f.Raised):
            if row.expected:
                return False
        elif not isinstance(value, f.Ran) and condition(row.condition, env) is not row.expected:
            return False
        guard = row.parent
    return called


@rule("wandb/not-disabled-in-trial", code="WDB006", severity=Severity.ERROR, criteria=(6, 9))
def not_disabled_in_trial(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Trial mode does not disable W&B, or uses it without a run.

    ## What it does
    Follows the training program of every run under the modes for which the protocol disables W&B.
    A `wandb.init` that surely happens then and does not get `mode="disabled"`, by argument, by the
    config, by an override that the main module hands on or by `WANDB_MODE`, is a finding. So is
    `wandb.log`, `wandb.summary` or `wandb.config` where the trial skips `wandb.init`.

    ## Why is this bad
    A trial must run without an account and leave nothing behind in the project. Without a run,
    `wandb.log` raises `wandb.errors.Error`, and the trial ends there.

    ## Example
    ```python
    if cfg.mode != "trial":
        wandb.init(project=cfg.wandb.project)
    wandb.log({"loss": loss})
    ```

    ## Use instead
    ```python
    if cfg.mode == "trial":
        cfg.wandb.mode = "disabled"
    wandb.init(project=cfg.wandb.project, mode=cfg.wandb.mode)
    wandb.log({"loss": loss})
    ```

    ## References
    - Criteria 6 and 9 of the experiment protocol
    - [W&B: `wandb.init`](https://docs.wandb.ai/ref/python/sdk/functions/init/)
    """
    disabling = {m.name for m in experiment.profile.trial.modes if m.wandb == "disabled"}
    online: dict[tuple[str, int], list[tuple[Init, RunLog]]] = {}
    without: dict[tuple[str, int], list[tuple[f.Place, RunLog]]] = {}
    for log in run_logs(experiment):
        if log.mode not in disabling:
            continue
        for init in log.inits:
            if init.state is True and init.mode in ("online", None):
                online.setdefault((init.path, init.place.line), []).append((init, log))
        if not log.openings and not log.loggers and not log.inits:
            use = _first_use(experiment, log)
            if use is not None:
                path, place = use
                without.setdefault((path, place.line), []).append((place, log))
    for (path, line), uses in online.items():
        init, log = uses[0]
        yield Hit(
            path=path,
            line=line,
            column=init.place.column,
            end_line=init.place.end_line,
            end_column=init.place.end_column,
            message=f"W&B is not disabled in mode {log.mode}: the run is started online.",
            help=(
                'Set `cfg.wandb.mode = "disabled"` in that mode before this call, and hand it on '
                "as `mode=cfg.wandb.mode`."
            ),
            runs=tuple(dict.fromkeys(g.run_id for _, g in uses if g.run_id)),
            modes=tuple(dict.fromkeys(g.mode for _, g in uses if g.mode)),
        )
    for (path, line), skipped in without.items():
        place, log = skipped[0]
        yield Hit(
            path=path,
            line=line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=(
                f"W&B is used here, but in mode {log.mode} no run was started: "
                "wandb raises an error."
            ),
            help=(
                'Call `wandb.init(mode="disabled")` in that mode instead of leaving it out, or '
                "use W&B only where a run was started."
            ),
            runs=tuple(dict.fromkeys(g.run_id for _, g in skipped if g.run_id)),
            modes=tuple(dict.fromkeys(g.mode for _, g in skipped if g.mode)),
        )


def _first_use(experiment: Experiment, log: RunLog) -> tuple[str, f.Place] | None:
    """Where W&B is surely used first, in a run that nothing starts."""
    for process in processes(experiment):
        if (process.run_id, process.mode) != (log.run_id, log.mode) or process.state is not True:
            continue
        env = process.special.env
        for event in process.trace.events:
            if isinstance(event, f.LibraryCall):
                head, _, method = event.name.rpartition(".")
                uses = (head == "wandb" and method in _NEEDS_RUN) or head in (
                    "wandb.run",
                    "wandb.summary",
                    "wandb.config",
                    "wandb.run.summary",
                )
            elif isinstance(event, f.Store):
                uses = _named(event.of, env) in (
                    "wandb.summary",
                    "wandb.config",
                    "wandb.run.summary",
                    "wandb.run.config",
                )
            else:
                continue
            if uses and _happens(event.guard, env):
                return process.path_of(event.place), event.place
    return None


def _named(value: f.ValueId, env: Env) -> str | None:
    row = env.entry.values[value]
    return row.name if isinstance(row, f.Library) else None


def _happens(guard: int, env: Env) -> bool:
    """Whether an event surely happens, as long as loops over data run at all."""
    while guard:
        row = env.entry.guards[guard]
        value = env.entry.values[row.condition]
        truth = condition(row.condition, env)
        if isinstance(value, f.Raised):
            if row.expected or not _ends(value.attempt, env):
                return False
        elif isinstance(value, f.Ran):
            if truth is False or not row.expected:
                return False
        elif truth is not row.expected:
            return False
        guard = row.parent
    return True


def _ends(attempt: int, env: Env) -> bool:
    """Whether an exception in a ``try`` ends the program all the same."""
    return any(
        isinstance(event, f.Raise)
        and isinstance(value := env.entry.values[env.entry.guards[event.guard].condition], f.Raised)
        and value.attempt == attempt
        for event in env.entry.events
    )


@rule("wandb/local-results", code="WDB007", severity=Severity.ERROR, criteria=(6,))
def local_results(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Training writes its results to a local JSON file, or prints them as JSON.

    ## What it does
    Looks for files that the training module opens for writing under the names that the protocol
    forbids it (`results.json`, also with a prefix), and for a `print` whose whole text is
    `json.dumps(…)` of something the run computes. Other files, such as `config.json`, are left
    alone.

    ## Why is this bad
    Results in two places come apart. Evaluation must be able to say everything from what W&B holds.

    ## Example
    ```python
    with open(results_dir / "results.json", "w") as file:
        json.dump(metrics, file)
    ```

    ## Use instead
    ```python
    wandb.summary.update(metrics)
    ```

    ## References
    - Criterion 6 of the experiment protocol
    """
    forbidden = experiment.profile.artifacts.forbidden
    if not forbidden:
        return
    told: set[tuple[str, int]] = set()
    for process in processes(experiment):
        files = process.document.files
        if forbidden.keys().isdisjoint(files):
            continue
        for _, event in process.special.happening_of(f.LibraryCall):
            path = files[event.place.file]
            if path not in forbidden or (path, event.place.line) in told:
                continue
            said = _local(event, process.special.env, forbidden[path])
            if said is None:
                continue
            told.add((path, event.place.line))
            yield Hit(
                path=path,
                line=event.place.line,
                column=event.place.column,
                end_line=event.place.end_line,
                end_column=event.place.end_column,
                message=said,
                help="Log the values with `wandb.log`, or set them in `wandb.summary`.",
            )


def _local(event: f.LibraryCall, env: Env, names: list[str]) -> str | None:
    values = env.entry.values
    if event.name == "print" and len(event.args) == 1:
        row = values[event.args[0]]
        callee = values[row.callee] if isinstance(row, f.CallValue) else None
        dumps = isinstance(callee, f.Library) and callee.name == "json.dumps"
        if dumps and isinstance(row, f.CallValue) and row.args:
            measured = _is_measured(row.args[0], env, 0)
            return "Training prints its results as JSON." if measured else None
        return None
    path = _written(event, env)
    name = None if path is None else _basename(path, env, 0)
    if name is None:
        return None
    if name in names or ("results.json" in names and _RESULTS.fullmatch(name)):
        return f"Training writes its results to the local file `{name}`."
    return None


def _is_measured(value: f.ValueId, env: Env, depth: int) -> bool:
    """Whether something that the run computes is in a dict, not only its settings."""
    row = env.entry.values[value]
    if depth > _DEPTH or not isinstance(row, f.DictValue):
        return False
    return any(
        _is_measured(inner, env, depth + 1)
        if isinstance(env.entry.values[inner], f.DictValue)
        else isinstance(evaluate(inner, env), NotKnown)
        and not isinstance(env.entry.values[inner], f.Config)
        for _, inner in row.items
    )


def _written(event: f.LibraryCall, env: Env) -> f.ValueId | None:
    """The path of a file that a call writes or opens for writing."""
    row = env.entry.values[event.callee]
    given = dict(event.kwargs)
    if isinstance(row, f.Attribute) and row.name == "write_text":
        return row.of
    if event.name in ("open", "io.open") and event.args:
        path, rest = event.args[0], event.args[1:]
    elif isinstance(row, f.Attribute) and row.name == "open":
        path, rest = row.of, event.args
    else:
        return None
    mode = rest[0] if rest else given.get("mode")
    said = None if mode is None else evaluate(mode, env)
    return path if isinstance(said, str) and said[:1] in ("w", "a", "x") else None


def _basename(value: f.ValueId, env: Env, depth: int) -> str | None:
    """The last part of a path, where the code says it."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return None
    match row:
        case f.Literal():
            return row.value.rpartition("/")[2] if isinstance(row.value, str) else None
        case f.Binary(op="/") | f.Binary(op="+"):
            return _basename(row.right, env, depth + 1)
        case f.Template():
            last = env.entry.values[row.parts[-1]] if row.parts else None
            if isinstance(last, f.Literal) and isinstance(last.value, str):
                _, slash, tail = last.value.rpartition("/")
                return tail if slash or len(row.parts) == 1 else last.value
            return None
        case f.CallValue() if row.args:
            callee = env.entry.values[row.callee]
            if isinstance(callee, f.Library) and callee.name in (
                "pathlib.Path",
                "os.path.join",
                "str",
            ):
                return _basename(row.args[-1], env, depth + 1)
    return None


@rule("wandb/sparse-logging", code="WDB010", severity=Severity.WARNING, criteria=(6,))
def sparse_logging(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A metric that the design names is never logged, or training logs only once.

    ## What it does
    Takes the metrics that a record's experimental design or the run configs (`evaluation.metrics`,
    `metrics`) name, and looks for a logged key, or any other name in the code, that could stand for
    each. Words are compared without case, digits apart from letters, with common short forms (`acc`
    for accuracy). Also reports a training loop that logs nothing in any iteration, where everything
    is logged once at the end.

    ## Why is this bad
    A metric that is not logged cannot be evaluated, and a run that logs once has no learning curve.

    ## Example
    ```yaml
    evaluation:
      metrics: [accuracy, matthews_corrcoef]
    ```
    ```python
    wandb.log({"val_accuracy": accuracy})
    ```

    ## Use instead
    ```python
    wandb.log({"val_accuracy": accuracy, "val_matthews_corrcoef": mcc})
    ```

    ## References
    - Criterion 6 of the experiment protocol
    """
    logs = [log for log in full_logs(experiment) if log.calls]
    if not logs:
        return
    first = logs[0].calls[0]
    openings = {o.decided_by: o for log in logs for o in log.openings}
    keys = [k.key for log in logs for c in log.calls for k in c.keys]
    declared = _declared(experiment)
    # A key made at run time may be any metric's.
    if any(key.exact is None for key in keys):
        declared = []
    met = _assigned({key.exact for key in keys if key.exact is not None}, declared)
    lacking = [metric for metric in declared if metric not in met]
    if lacking and openings:
        for opening in openings.values():
            yield Unknown(
                reason=f"{_listed(lacking)} may be logged elsewhere: {opening.reason}",
                decided_by=opening.decided_by,
                path=first.path,
            )
    elif lacking:
        texts = [
            experiment.text(p) or "" for p in sorted(experiment.package.files) if p.endswith(".py")
        ]
        names = {name for text in texts for name in re.findall(r"[A-Za-z_][\w/.-]{2,60}", text)}
        named = _assigned(names, declared, _MOSTLY)
        gone = [metric for metric in lacking if metric not in named]
        if gone:
            yield Hit(
                path=first.path,
                line=first.place.line,
                column=first.place.column,
                message=f"The design asks for {_listed(gone)}, which no run logs.",
                help="Compute the metric in training and log it with `wandb.log`.",
            )
            return
    if not openings and experiment.profile.wandb.logging != "unspecified":
        yield from _once(logs)


def _once(logs: list[RunLog]) -> Iterator[Hit]:
    """Training loops of which no iteration logs anything."""
    for log in logs:
        if log.loggers or any(c.sink == "history" and _loops(c, c.process) for c in log.calls):
            return
        if any(k.key.exact is None for c in log.calls for k in c.keys):
            return
    for log in logs:
        for call in log.calls:
            process = call.process
            trained = next(
                (
                    event
                    for _, event in process.trace.events_of(f.LibraryCall)
                    if event.name.endswith(".backward")
                ),
                None,
            )
            if trained is None:
                continue
            yield Hit(
                path=call.path,
                line=call.place.line,
                column=call.place.column,
                message="Training logs nothing while its loop runs, only once outside of it.",
                help="Log the loss and the metrics inside the loop too, with `wandb.log`.",
                related=(
                    Related(
                        path=process.path_of(trained.place),
                        line=trained.place.line,
                        message="The loop trains here.",
                    ),
                ),
            )
            return


_SHORT = {
    "acc": "accuracy", "ppl": "perplexity", "em": "exact", "mcc": "matthews",
    "corrcoef": "correlation", "mse": "error", "rmse": "error", "mae": "error", "auc": "auroc",
    "roc": "auroc", "auroc": "auroc", "avg": "average", "mean": "average", "val": "validation",
    "dev": "validation", "prec": "precision", "rec": "recall", "mem": "memory", "secs": "time",
    "seconds": "time", "sec": "time", "duration": "time", "runtime": "time", "latency": "time",
    "wall": "time", "clock": "time", "params": "parameters", "std": "deviation",
    "nll": "likelihood", "ce": "entropy", "iou": "iou", "miou": "iou", "dist": "distance",
}  # fmt: skip
# What says where or how a metric is taken, not which one it is.
_GENERIC = frozenset(
    {"train", "training", "validation", "test", "eval", "evaluation", "final", "best", "last",
     "average", "the", "of", "on", "at", "in", "for", "a", "an", "and", "or", "per", "to",
     "with", "score", "rate", "value", "metric", "top", "epoch", "step", "batch", "macro",
     "micro", "weighted", "total", "overall", "set", "max", "min", "i", "e", "g", "vs", "by"}
)  # fmt: skip
_MOSTLY = 0.5
_BOOKKEEPING = frozenset({"step", "epoch", "lr", "learning", "iteration", "global", "batch"})


def _words(text: str) -> frozenset[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    # `top1` and `top-1` are one word, as `f1` and `f-1` are.
    spaced = re.sub(r"\b(top|f|p|r|rouge|bleu|hit|hits|recall|precision)[-_ @]?(\d+)", r"\1\2 ",
                    spaced.replace("_", " "))  # fmt: skip
    found = set()
    for word in re.findall(r"[a-z]+\d*|\d+", spaced):
        found.add(_SHORT.get(word, word.removesuffix("s") if len(word) > 4 else word))
    return frozenset(found)


def _assigned(names: set[str], metrics: list[str], least: float = 0.0) -> set[str]:
    """The metrics that some name stands for: each name for those that it fits best.

    A name fits a metric when it says nothing that the metric does not say, or all that tells the
    metric from others, or is made of its initials; ``least`` is the part of the telling words that
    both must share.
    """
    telling = {metric: _words(metric) - _GENERIC for metric in metrics}
    met: set[str] = set()
    for words in {_words(name) - _GENERIC for name in names}:
        if not words or words <= _BOOKKEEPING:
            continue
        fits: dict[str, float] = {}
        for metric, told in telling.items():
            letters = sorted(w[0] for w in told)
            if any(len(w) > 2 and sorted(w) == letters for w in words):
                fits[metric] = 1.0
            elif told and (words <= _words(metric) or told <= words):
                fits[metric] = len(words & told) / len(words | told)
        best = max(fits.values(), default=0.0)
        met |= {m for m, fit in fits.items() if fit == best and fit >= least and fit > 0}
    # A metric of which nothing tells it from others is met by anything.
    return met | {metric for metric, told in telling.items() if not told}


def _declared(experiment: Experiment) -> list[str]:
    """The metrics that the design names, in order."""
    record = experiment.package.record
    found = list(record.metrics) if record is not None else []
    for run in experiment.run_configs():
        value = getattr(run.doc, "value", None)
        if not isinstance(value, dict):
            continue
        evaluation = value.get("evaluation")
        for section in (value, evaluation if isinstance(evaluation, dict) else {}):
            metrics = section.get("metrics")
            if isinstance(metrics, list):
                found += [m for m in metrics if isinstance(m, str)]
    return list(dict.fromkeys(m for m in found if m and len(m) < 80))


@rule("wandb/no-summary", code="WDB011", severity=Severity.WARNING, criteria=(6,))
def no_summary(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The final metrics are not written to the summary of the W&B run.

    ## What it does
    Where the protocol asks for final values in `wandb.summary`, reports training that logs to the
    history and never writes to the summary in any run. A last `wandb.log` counts where the protocol
    lets it.

    ## Why is this bad
    W&B copies the last logged value of each key into the summary. That is the value of the last
    step, not of the best epoch or of the test, and evaluation reads it as the result.

    ## Example
    ```python
    wandb.log({"val_accuracy": accuracy})
    wandb.finish()
    ```

    ## Use instead
    ```python
    wandb.log({"val_accuracy": accuracy})
    wandb.summary["best_val_accuracy"] = best
    wandb.finish()
    ```

    ## References
    - Criterion 6 of the experiment protocol
    - [W&B: summary](https://docs.wandb.ai/guides/track/log/log-summary/)
    """
    if experiment.profile.wandb.summary != "required":
        return
    logs = [log for log in full_logs(experiment) if log.calls]
    if not logs or any(log.loggers for log in logs):
        return
    if any(c.sink == "summary" for log in logs for c in log.calls):
        return
    opening = next((o for log in logs for o in log.openings), None)
    if opening is not None:
        yield Unknown(
            reason=opening.reason, decided_by=opening.decided_by, path=logs[0].calls[0].path
        )
        return
    last = logs[0].calls[-1]
    yield Hit(
        path=last.path,
        line=last.place.line,
        column=last.place.column,
        message="Training logs to the history and never sets a final value in the summary.",
        help='Set the final values before the run ends, as in `wandb.summary["accuracy"] = best`.',
    )


def _listed(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
