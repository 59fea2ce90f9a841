"""Rules about the trial, the cheap run that shows the code works: criterion 9."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from explint.model import Related, Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.cli import NOT_WHOLE
from explint.rules.programs import Program, is_cut, programs
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.search import mentions_optuna, optimised, sources
from explint.rules.started import module_of

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode
    from explint.trace import facts as f

_LIGHTNING: Final = frozenset(
    {"lightning.Trainer", "lightning.pytorch.Trainer", "pytorch_lightning.Trainer", "L.Trainer"}
)
_LIMITS: Final = ("fast_dev_run", "limit_train_batches", "max_steps", "overfit_batches")
_NAMED_MODES = regex(
    r"\b(Literal|Enum|ConfigStore|choices)\b", words=("Literal", "Enum", "ConfigStore", "choices")
)
_ARGUMENTS: Final = regex(r"^transformers\.(Seq2Seq)?TrainingArguments$|^trl\.SFTConfig$")
_MOCK: Final = regex(r"(^|_|\b)(mock|dummy|fake|synthetic|toy|stub)", re.IGNORECASE)
_INVENTED_DATA: Final = regex(
    r"^torch\.(rand|randn|randint)$|\.FakeData$|^sklearn\.datasets\.make_"
    r"|^numpy\.random\.(rand|randn|random|normal|uniform|randint)$"
)


@rule("trial/no-mode", code="TRI001", severity=Severity.ERROR, criteria=(9,))
def no_mode(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Nothing reads the trial switch.

    ## What it does
    Looks for a read of the protocol's switch (`mode`, or `trial_mode`) in everything the training
    command runs: the main module and the process it starts. An interpolation in the config files
    counts, and so does code that goes through the command line itself.

    While a module of the package is not there to be read, the rule does not decide.

    ## Why is this bad
    The trial is the full experiment: it downloads everything, trains all epochs, and logs to the
    project of the real runs.

    ## Example
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg):
        run_experiment(cfg)
    ```

    ## Use instead
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg):
        if cfg.mode == "trial":
            cfg.wandb.mode = "disabled"
            cfg.run.training.epochs = 1
            cfg.run.training.max_batches = 2
            cfg.run.optuna.n_trials = 0
        run_experiment(cfg)
    ```

    ## References
    - Criterion 9 of the experiment protocol
    """
    from explint.trace import facts as f

    key = experiment.profile.trial.key
    if key is None or experiment.profile.commands.train is None:
        return
    judged = experiment.profile.evaluation.module
    texts = {path: text for path, text in sources(experiment).items() if path != judged}
    lacking = [
        path
        for path in experiment.profile.files.required
        if path.endswith(".py")
        and experiment.state(path) in (FileState.WITHHELD, FileState.EMPTY, FileState.ABSENT)
        and path != judged
    ]
    # What is left of a module that is not whole tells nothing of what it read: one root cause.
    lacking += [
        found.path
        for found in experiment.facts.findings
        if found.rule in NOT_WHOLE and found.path in texts
    ]
    word = re.compile(rf"\b{re.escape(key)}\b")
    blind = lacking and not programs(experiment).programs
    if (
        not blind
        and any(word.search(text) for text in texts.values())
        and _reads_switch(experiment, key)
    ):
        return
    if any(
        re.search(rf"\$\{{\.*{re.escape(key)}\b", experiment.text(path) or "")
        for path in experiment.yaml_files()
    ):
        return
    if lacking:
        starts = f"{(module_of(experiment.profile.commands.train) or '').replace('.', '/')}.py"
        path = starts if starts in lacking else lacking[0]
        yield Unknown(
            reason=f"`{key}` may be read, and what it changes may be set, in {path}, which is not "
            "there or not whole",
            decided_by=path,
            path=path,
        )
        return
    seen = programs(experiment)
    if not seen.programs:
        yield from seen.unknown
        return
    first = seen.programs[0]
    if any(is_cut(p) for p in seen.programs) or any("sys.argv" in t for t in texts.values()):
        return
    place = next(
        (
            event.place
            for _, event in first.trace.events_of(f.Make)
            if first.trace.roots[event.root].kind == "hydra"
        ),
        None,
    )
    cheap = next((m for m in experiment.profile.trial.modes if m.cheap), None)
    yield Hit(
        path=first.path,
        line=1 if place is None or first.path_of(place) != first.path else place.line,
        message=f"Nothing reads `{key}`, so that "
        f"`{cheap.override if cheap else key}` runs the full experiment.",
        help=f"Read `cfg.{key}` in the main function, and cut epochs, batches, trials and W&B "
        "under it.",
    )


def _reads_switch(experiment: Experiment, key: str) -> bool:
    from explint.trace import facts as f

    seen = programs(experiment)
    if not seen.programs:
        return True
    for trace in {id(p.trace): p.trace for p in seen.programs}.values():
        for value in trace.values:
            if not isinstance(value, f.Config | f.Has) or not value.path:
                continue
            first = trace.values[value.path[0]]
            if isinstance(first, f.Literal):
                if first.value == key:
                    return True
            elif trace.roots[value.root].kind == "hydra":
                # A key made at run time may be the switch.
                return True
    return False


@rule("trial/unbounded-batches", code="TRI002", severity=Severity.ERROR, criteria=(9,))
def unbounded_batches(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Under the trial switch, a loop goes through all batches of a loader.

    ## What it does
    Evaluates the program as the trial runs it, and looks at every loop over a `DataLoader`: whether
    `islice`, a `break` or `return` on a counter, or a smaller dataset ends it after the one or two
    batches that the protocol allows. Limits may come from the config that the main module changes
    or hands on. Trainers are looked at for `max_steps`, `limit_train_batches` and `fast_dev_run`.

    A loop is reported when nothing bounds it, and nothing that the trial changes can have a part in
    how long it is. Where that cannot be told, the rule does not decide.

    ## Why is this bad
    The trial is there to show in a minute that the code works. One that trains through a whole
    data set takes hours of a GPU, or is stopped before it shows anything.

    ## Example
    ```python
    for images, labels in train_loader:
        ...
    ```

    ## Use instead
    ```python
    for images, labels in itertools.islice(train_loader, cfg.run.training.max_batches):
        ...
    ```
    with `max_batches: null` in the run config, and `cfg.run.training.max_batches = 2` under the
    trial switch.

    ## References
    - Criterion 9 of the experiment protocol
    - [itertools.islice](https://docs.python.org/3/library/itertools.html#itertools.islice)
    """
    if not any("DataLoader" in t or "Trainer" in t for t in sources(experiment).values()):
        yield from programs(experiment).unknown
        return
    from explint.rules.loops import is_bounded, loader_loops

    found: dict[tuple[str, int], _Loop] = {}
    open_: dict[str, Unknown] = {}
    seen = programs(experiment)
    for program in seen.under(cheap=True):
        most = program.mode.max_batches if program.mode else None
        if most is None:
            continue
        full = seen.other(program, cheap=False)
        for loop in loader_loops(program, full):
            if _in_callback(loop.event.guard, program):
                continue
            path = program.path_of(loop.event.place)
            state = is_bounded(loop, program, full, most)
            if state is None:
                open_.setdefault(
                    path,
                    Unknown(
                        reason=f"whether the loop in line {loop.event.place.line} ends after "
                        f"{most} batches is not decided",
                        decided_by="a trial run",
                        path=path,
                    ),
                )
            elif not state:
                one = found.setdefault((path, loop.event.place.line), _Loop(loop.event, most))
                one.runs.setdefault(program.run_id)
                one.modes.setdefault(program.mode.name if program.mode else "")
        for event in _trainers(program, full):
            path = program.path_of(event.place)
            one = found.setdefault((path, event.place.line), _Loop(event, most))
            one.runs.setdefault(program.run_id)
            one.modes.setdefault(program.mode.name if program.mode else "")
    if not found:
        yield from seen.unknown
        yield from open_.values()
        return
    (path, line), first = next(iter(found.items()))
    is_loop = type(first.event).__name__ == "LoopStart"
    yield Hit(
        path=path,
        line=line,
        column=first.event.place.column,
        message=(
            "Under the trial switch this loop goes through all batches of its loader: nothing "
            f"ends it after {first.most}."
            if is_loop
            else "Under the trial switch this trainer goes through all batches: nothing ends it "
            f"after {first.most}."
        ),
        help=(
            f"End the loop after {first.most} batches in a trial, with "
            "`itertools.islice(loader, max_batches)` or a `break`."
            if is_loop
            else f"Give it `max_steps={first.most}` in a trial."
        ),
        related=tuple(
            Related(path=p, line=n, message="This one is not bounded either.")
            for p, n in list(found)[1:]
        ),
        runs=tuple(first.runs),
        modes=tuple(m for m in first.modes if m),
    )


class _Loop(msgspec.Struct):
    event: f.AnyEvent
    most: int
    runs: dict[str, None] = msgspec.field(default_factory=dict)
    modes: dict[str, None] = msgspec.field(default_factory=dict)


def _in_callback(guard: int, program: Program) -> bool:
    """Whether an event belongs to a study's objective."""
    from explint.trace import facts as f

    trace = program.trace
    while guard:
        row = trace.guards[guard]
        if isinstance(trace.values[row.condition], f.Called):
            return True
        guard = row.parent
    return False


def _trainers(program: Program, full: Program | None) -> Iterator[f.LibraryCall]:
    """The trainers of libraries that nothing bounds under a trial."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    if full is None or program.blind:
        return
    for _, event in program.events_of(f.LibraryCall):
        if not program.certain.happens(event.guard):
            continue
        is_lightning = event.name in _LIGHTNING
        if not is_lightning and not _ARGUMENTS.search(event.name):
            continue
        given = dict(event.kwargs)
        names = set(given) & ({*_LIMITS} if is_lightning else {"max_steps"})
        if "**" in given or event.args or names:
            if "**" in given or event.args:
                continue
            found = [evaluate(given[n], program.env) for n in names]
            if not all(n in (None, -1, False) for n in found if isinstance(n, int | None)) or any(
                not isinstance(n, int | None) for n in found
            ):
                continue
        if not _same_data(program, full):
            continue
        yield event


def _same_data(program: Program, full: Program) -> bool:
    """Whether nothing that a trial changes is read, besides W&B, Optuna and epochs."""
    from explint.rules.loops import differs
    from explint.trace import facts as f

    return not any(
        isinstance(event, f.Read) and differs(event.at, program, full)
        for _, event in program.events()
    )


@rule("trial/epochs", code="TRI003", severity=Severity.ERROR, criteria=(9,))
def epochs(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Under the trial switch, training runs for more than one epoch.

    ## What it does
    Evaluates the program as the trial runs it, and counts the epochs: the iterations of the loop
    around the loop over the training loader, `num_train_epochs` and `max_epochs` of trainers that
    have no bound on their steps. Only numbers that follow from the config are judged.

    ## Why is this bad
    The protocol asks for one epoch. More of them make the trial slow, and show nothing that the
    first does not.

    ## Example
    ```python
    if cfg.mode == "trial":
        cfg.wandb.mode = "disabled"
    for epoch in range(cfg.run.training.epochs):
        ...
    ```

    ## Use instead
    ```python
    if cfg.mode == "trial":
        cfg.wandb.mode = "disabled"
        cfg.run.training.epochs = 1
    for epoch in range(cfg.run.training.epochs):
        ...
    ```

    ## References
    - Criterion 9 of the experiment protocol
    """
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    told: dict[tuple[str, int], tuple[f.AnyEvent, int, dict[str, None], dict[str, None]]] = {}
    seen = programs(experiment)
    for program in seen.under(cheap=True):
        wanted = program.mode.epochs if program.mode else None
        if wanted is None:
            continue
        from explint.rules.loops import epochs_of

        found: list[tuple[f.AnyEvent, int]] = [
            (event, count)
            for event, count in epochs_of(program, seen.other(program, cheap=False))
            if not _in_callback(event.guard, program)
        ]
        for _, call in program.events_of(f.LibraryCall):
            if call.name in _LIGHTNING or _ARGUMENTS.search(call.name):
                given = dict(call.kwargs)
                key = "max_epochs" if call.name in _LIGHTNING else "num_train_epochs"
                if key not in given or {"**", *_LIMITS} & given.keys():
                    continue
                count = evaluate(given[key], program.env)
                if isinstance(count, int | float) and program.certain.happens(call.guard):
                    found.append((call, int(count)))
        for event, count in found:
            if count > wanted:
                at = (program.path_of(event.place), event.place.line)
                row = told.setdefault(at, (event, count, {}, {}))
                row[2].setdefault(program.run_id)
                row[3].setdefault(program.mode.name if program.mode else "")
    for (path, line), (event, count, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"Under the trial switch training runs for {count} epochs.",
            help="Set the number of epochs to 1 under the trial switch.",
            runs=tuple(runs),
            modes=tuple(m for m in modes if m),
        )


@rule("trial/optuna-on", code="TRI004", severity=Severity.ERROR, criteria=(9,))
def optuna_on(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Under the trial switch, Optuna still searches.

    ## What it does
    Evaluates the program as the trial runs it, and reports a study that is optimised with a number
    of trials above zero.

    ## Why is this bad
    The trial trains as many times as the search has trials, where one run shows that the code
    works.

    ## Example
    ```python
    if cfg.mode == "trial":
        cfg.run.training.epochs = 1
    study.optimize(objective, n_trials=cfg.run.optuna.n_trials)
    ```

    ## Use instead
    ```python
    if cfg.mode == "trial":
        cfg.run.training.epochs = 1
        cfg.run.optuna.n_trials = 0
    if cfg.run.optuna.n_trials > 0:
        study.optimize(objective, n_trials=cfg.run.optuna.n_trials)
    ```

    ## References
    - Criterion 9 of the experiment protocol
    """
    from explint.trace.specialise import evaluate

    if not mentions_optuna(experiment):
        return
    told: dict[tuple[str, int], tuple[f.LibraryCall, int, dict[str, None], dict[str, None]]] = {}
    for program in programs(experiment).under(cheap=True):
        if program.mode is None or program.mode.n_trials is None:
            continue
        for _, event in optimised(program):
            given = dict(event.kwargs)
            value = given.get("n_trials", event.args[1] if len(event.args) > 1 else None)
            count = None if value is None else evaluate(value, program.env)
            if isinstance(count, int) and count > program.mode.n_trials:
                at = (program.path_of(event.place), event.place.line)
                row = told.setdefault(at, (event, count, {}, {}))
                row[2].setdefault(program.run_id)
                row[3].setdefault(program.mode.name)
    if told and any(isinstance(answer, Hit) for answer in no_mode.function(experiment)):
        # A switch that nothing reads is the one cause.
        return
    for (path, line), (event, count, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"Under the trial switch the study runs {count} trials.",
            help="Set `n_trials` to 0 under the trial switch, and leave the study out then.",
            runs=tuple(runs),
            modes=tuple(modes),
        )


@rule("trial/crashes", code="TRI005", severity=Severity.ERROR, criteria=(9,))
def crashes(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The way that only the trial takes ends in an error.

    ## What it does
    Evaluates the program under the trial switch and in full, and reports a `raise` or a failing
    `sys.exit` that only the trial comes to, and `best_params` of a study without trials, which
    Optuna answers with `ValueError`. Overrides that Hydra refuses, and writes and reads of keys
    that are not there, are told by `hydra/bad-override`, `hydra/struct-write` and
    `hydra/undefined-key`; where only the trial runs into them, they stand for criterion 9 too.

    ## Why is this bad
    No trial ever passes, so that nobody sees whether the code behind it works.

    ## Example
    ```python
    if cfg.mode not in ("test", "full"):
        raise ValueError(cfg.mode)
    ```
    with `mode=trial` on the command line.

    ## Use instead
    ```python
    if cfg.mode not in ("trial", "full"):
        raise ValueError(cfg.mode)
    ```

    ## References
    - Criterion 9 of the experiment protocol
    - [Optuna: Study.best_params](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.study.Study.html#optuna.study.Study.best_params)
    """
    told: dict[tuple[str, int], tuple[f.AnyEvent, str, str, dict[str, None], dict[str, None]]] = {}
    seen = programs(experiment)
    for program in seen.under(cheap=True):
        full = seen.other(program, cheap=False)
        if full is None or program.mode is None or not program.known:
            continue
        for event, message, help_ in _failures(program, full):
            at = (program.path_of(event.place), event.place.line)
            row = told.setdefault(at, (event, message, help_, {}, {}))
            row[3].setdefault(program.run_id)
            row[4].setdefault(program.mode.name)
            break
    for (path, line), (event, message, help_, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=message,
            help=help_,
            runs=tuple(runs),
            modes=tuple(modes),
        )


def _failures(program: Program, full: Program) -> Iterator[tuple[f.AnyEvent, str, str]]:
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    trace = program.trace
    switch = f"`{program.mode.override}`" if program.mode else "the trial switch"
    for number, event in enumerate(trace.events):
        if program.special.states[number] is not True or full.special.states[number] is not False:
            continue
        fails = isinstance(event, f.Raise)
        if isinstance(event, f.LibraryCall) and event.name in ("sys.exit", "exit", "os._exit"):
            code = evaluate(event.args[0], program.env) if event.args else 0
            fails = isinstance(code, str) or (isinstance(code, int) and code != 0)
        if fails and not _is_caught(event, program):
            yield (
                event,
                f"{switch[0].upper() + switch[1:]} comes to this line, which ends the run with an "
                "error.",
                "Let the trial pass: accept the value that the command line gives.",
            )
    if any(isinstance(e, f.LibraryCall) and e.name.endswith("optimize") for e in trace.events):
        yield from _best_of_nothing(program)


def _is_caught(event: f.AnyEvent, program: Program) -> bool:
    """Whether a handler may stand around an event."""
    from explint.trace import facts as f

    trace = program.trace
    guard = event.guard
    while guard:
        if isinstance(trace.values[trace.guards[guard].condition], f.Raised):
            return True
        guard = trace.guards[guard].parent
    return False


def _best_of_nothing(program: Program) -> Iterator[tuple[f.AnyEvent, str, str]]:
    from explint.rules.flow import parts
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    trace = program.trace
    for number, event in optimised(program):
        given = dict(event.kwargs)
        value = given.get("n_trials", event.args[1] if len(event.args) > 1 else None)
        optimise = trace.values[event.callee]
        if value is None or not isinstance(optimise, f.Attribute):
            continue
        if evaluate(value, program.env) != 0:
            continue
        best = {
            n
            for n, row in enumerate(trace.values)
            if isinstance(row, f.Attribute)
            and row.of == optimise.of
            and row.name in ("best_params", "best_trial", "best_value")
        }
        for later, other in program.events():
            if later <= number or not program.certain.happens(other.guard):
                continue
            used: Sequence[int] = ()
            if isinstance(other, f.LibraryCall):
                used = (other.callee, *other.args, *(v for _, v in other.kwargs))
            elif isinstance(other, f.Write | f.Store | f.Return):
                used = (other.value,)
            if any(parts(trace, v) & best for v in used):
                yield (
                    other,
                    "Under the trial switch the study has no trials, and asking it for the best "
                    "one raises `ValueError`.",
                    "Leave the study and its best parameters out where `n_trials` is 0.",
                )
                return


@rule("trial/full-mode", code="TRI006", severity=Severity.ERROR, criteria=(9, 6))
def full_mode(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """In full mode, W&B is not online.

    ## What it does
    Evaluates the program in the mode for which the protocol asks for W&B online, and looks at what
    `wandb.init` gets as `mode`: `disabled` or `offline` is reported.

    ## Why is this bad
    Evaluation reads the runs from W&B. A full run that was not logged there is lost.

    ## Example
    ```yaml
    wandb:
      mode: disabled
    ```
    ```python
    wandb.init(project=cfg.wandb.project, mode=cfg.wandb.mode)
    ```

    ## Use instead
    ```python
    if cfg.mode == "full":
        cfg.wandb.mode = "online"
    ```

    ## References
    - Criteria 6 and 9 of the experiment protocol
    - [W&B: init](https://docs.wandb.ai/ref/python/sdk/functions/init/)
    """
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    if not any("wandb" in text for text in sources(experiment).values()):
        return
    told: dict[tuple[str, int], tuple[f.LibraryCall, str, dict[str, None], dict[str, None]]] = {}
    seen = programs(experiment)
    for program in seen.under(cheap=False):
        if program.mode is None or program.mode.wandb != "online" or not program.known:
            continue
        for number, event in program.trace.events_of(f.LibraryCall):
            if event.name != "wandb.init":
                continue
            state = program.special.states[number]
            value = dict(event.kwargs).get("mode")
            given = None if value is None else evaluate(value, program.env)
            if state is False or given not in ("disabled", "offline", "dryrun"):
                continue
            if program.certain.happens(event.guard):
                why = f'gets the mode "{given}"'
                at = (program.path_of(event.place), event.place.line)
                row = told.setdefault(at, (event, why, {}, {}))
                row[2].setdefault(program.run_id)
                row[3].setdefault(program.mode.name)
    for (path, line), (event, why, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"In full mode `wandb.init` {why}, so that nothing reaches W&B.",
            help='Set `cfg.wandb.mode = "online"` in full mode before `wandb.init`.',
            runs=tuple(runs),
            modes=tuple(modes),
        )


@rule("trial/different-program", code="TRI007", severity=Severity.WARNING, criteria=(9,))
def different_program(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The trial swaps in a mock model or invented data.

    ## What it does
    Compares what the program does under the trial switch with what it does in full, and reports
    classes and functions of the package whose names say mock, dummy, fake, synthetic, toy or stub,
    and random or generated data, where only the trial comes to them.

    ## Why is this bad
    A trial with another model or other data shows nothing of the experiment: the real loader and
    the real model first run when the GPU is booked.

    ## Example
    ```python
    model = DummyModel() if cfg.mode == "trial" else build_model(cfg)
    ```

    ## Use instead
    ```python
    model = build_model(cfg)
    ```

    ## References
    - Criterion 9 of the experiment protocol
    """
    from explint.trace import facts as f

    told: dict[tuple[str, int], tuple[f.LibraryCall, str, dict[str, None], dict[str, None]]] = {}
    seen = programs(experiment)
    for program in seen.under(cheap=True):
        full = seen.other(program, cheap=False)
        if full is None or program.mode is None:
            continue
        trace = program.trace
        for number, event in enumerate(trace.events):
            if full.special.states[number] is not False or not isinstance(event, f.LibraryCall):
                continue
            if program.special.states[number] is False:
                continue
            if not program.certain.happens(event.guard):
                continue
            name = ""
            call = event.call
            while call and not name:
                own = trace.calls[call].function
                short = own.removesuffix(".__init__").rpartition(".")[2]
                name = short if _MOCK.search(short) else ""
                call = trace.calls[call].parent
            if not name and _INVENTED_DATA.search(event.name):
                name = event.name
            if not name:
                continue
            at = (program.path_of(event.place), event.place.line)
            row = told.setdefault(at, (event, name, {}, {}))
            row[2].setdefault(program.run_id)
            row[3].setdefault(program.mode.name)
            break
    for (path, line), (event, name, runs, modes) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"The trial uses `{name}` where the full experiment does not.",
            help="Run the real model and a small part of the real data in the trial.",
            runs=tuple(runs),
            modes=tuple(modes),
        )


@rule("trial/unknown-mode-accepted", code="TRI008", severity=Severity.WARNING, criteria=(9,))
def unknown_mode_accepted(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """An unknown value of the mode runs the full experiment.

    ## What it does
    For protocols whose switch takes one of several words: looks at the branches on it, and reports
    a program in which no value of the switch leads to a `raise` or `sys.exit`. Look-ups in a
    mapping, enumerations and structured configs refuse other values themselves.

    ## Why is this bad
    `mode=trail` books the GPU for the full experiment.

    ## Example
    ```python
    if cfg.mode == "trial":
        ...
    else:
        cfg.wandb.mode = "online"
    ```

    ## Use instead
    ```python
    if cfg.mode == "trial":
        ...
    elif cfg.mode == "full":
        cfg.wandb.mode = "online"
    else:
        raise ValueError(f"mode must be trial or full, not {cfg.mode!r}")
    ```

    ## References
    - Criterion 9 of the experiment protocol
    """
    from explint.trace import facts as f

    key = experiment.profile.trial.key
    if key is None or not _is_word(experiment.profile.trial.modes):
        return
    seen = programs(experiment)
    own = [p for p in seen.under(cheap=False) if p.known]
    if not own or seen.unknown or any(p.blind or is_cut(p) for p in own):
        return
    first = own[0]
    together = [p for p in own if p.run_id == first.run_id]
    places = []
    for program in together:
        trace = program.trace
        asks = _asking(program, key)
        if any(
            isinstance(event, f.Raise)
            or (isinstance(event, f.LibraryCall) and event.name in ("sys.exit", "exit"))
            for event in trace.events
            if _depends(event.guard, asks, program)
        ):
            return
        if any(isinstance(row, f.Item) and row.key in asks for row in trace.values):
            # `settings[cfg.mode]` knows its modes.
            return
        for number, guard in enumerate(trace.guards):
            if number and guard.condition in asks:
                places.append((program.path_of(guard.place), guard.place))
    if not places or any(_NAMED_MODES.search(text) for text in sources(experiment).values()):
        return
    path, place = places[0]
    yield Hit(
        path=path,
        line=place.line,
        column=place.column,
        message=f"A value of `{key}` that the protocol does not know, such as a slip, runs the "
        "full experiment.",
        help=f"Raise an error where `{key}` is neither of the values you expect.",
    )


def _is_word(modes: Sequence[Mode]) -> bool:
    """Whether every mode is a word of its own on the command line."""
    return len(modes) > 1 and all(m.override for m in modes)


def _asking(program: Program, key: str) -> set[int]:
    """The values that the mode is a part of."""
    from explint.rules.flow import made_of
    from explint.trace import facts as f

    trace = program.trace
    modes = {
        value
        for value, row in enumerate(trace.values)
        if isinstance(row, f.Config)
        and len(row.path) == 1
        and isinstance(name := trace.values[row.path[0]], f.Literal)
        and name.value == key
    }
    return modes | made_of(trace, modes)


def _depends(guard: int, asks: set[int], program: Program) -> bool:
    trace = program.trace
    while guard:
        row = trace.guards[guard]
        if row.condition in asks:
            return True
        guard = row.parent
    return False
