"""Rules about what evaluation reads back from W&B and what training puts there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from explint.model import Related, Severity
from explint.nearmiss import near_miss
from explint.regex import regex
from explint.rules.logged import Init, LogCall, RunLog, full_logs, picked, role_of
from explint.rules.readback import Ask, Readback, readback
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f
from explint.trace.specialise import ABSENT, Env, as_tree, at_keys, evaluate
from explint.trace.specialise import Unknown as NotKnown

if TYPE_CHECKING:
    from explint.experiment import Experiment

_MOST = 4
_DEPTH = 12


@rule("wandb/metric-mismatch", code="WDB002", severity=Severity.ERROR, criteria=(6, 8))
def metric_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation reads a metric key that training never logs.

    ## What it does
    Follows the training program of every run and collects the keys it may log: literals, f-strings
    with config values filled in, dicts built step by step, the results of functions, under any
    alias of `wandb.log`, in `wandb.summary` and through the loggers of Lightning and Transformers.
    Then follows the evaluation program and collects what it asks for: `history(keys=…)`,
    `scan_history(keys=…)`, columns of the history, `summary[…]`. A key that no run may log is a
    finding, as is one that some of the runs never log.

    A key made at run time counts as every key it could be, and for nothing else. Reads behind a
    check of the key, and `get` whose result is looked at before it is used, are left alone; `get`
    with a default is a warning, since every run then reports the default.

    ## Why is this bad
    `history(keys=…)` returns only rows that hold all the keys: with one that is never logged it
    returns nothing, and no error says so. A column or a summary value that is not there is a
    `KeyError` after the training is paid for.

    ## Example
    ```python
    wandb.log({"val_acc": accuracy})           # src/train.py
    run.history(keys=["epoch", "val/acc"])     # src/evaluate.py
    ```

    ## Use instead
    ```python
    wandb.log({"epoch": epoch, "val_acc": accuracy})
    run.history(keys=["epoch", "val_acc"])
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    - [W&B: `Run.history`](https://docs.wandb.ai/ref/python/public-api/run/)
    """
    found = _sides(experiment)
    if not isinstance(found, tuple):
        if found is not None:
            yield found
        return
    read, logs = found
    told: dict[str, None] = {}
    missing: dict[tuple[str, ...], list[tuple[Ask, tuple[str, ...], list[RunLog]]]] = {}
    open_logs = {o.decided_by: o for log in logs for o in log.openings}
    broken: set[int] = set()
    per_line = _lines_answered(read, logs)
    for ask in sorted(read.asks, key=lambda a: a.kind != "keys"):
        if ask.kind == "column" and read.reshaped:
            continue
        unread = _never_logged(ask, read, logs)
        if not unread:
            told.update(dict.fromkeys(n for n in ask.names if _undecided(n, ask, logs)))
            continue
        if ask.kind == "keys":
            broken.add(ask.number)
        if not ask.sure or broken.intersection(ask.calls):
            continue
        if ask.soft and (ask.path, ask.place.line) in per_line:
            continue
        without = [log for log in logs if any(not _may(log, n, ask) for n in unread)]
        # One key that is never logged is one cause, wherever it is read.
        key = next((known for known in missing if set(unread) <= set(known)), unread)
        missing.setdefault(key, []).append((ask, unread, without))
    for opening in open_logs.values() if told else ():
        names = _names(list(told))
        yield Unknown(
            reason=f"evaluation reads {names}, and {opening.reason}",
            decided_by=opening.decided_by,
            path=read.path,
        )
    hits = [_mismatch(group, logs) for group in missing.values()]
    yield from hits
    if not read.reshaped:
        yield from _left_out(read, {(hit.path, hit.line) for hit in hits})


def _sides(experiment: Experiment) -> tuple[Readback, list[RunLog]] | Unknown | None:
    """What evaluation reads and what the runs log; an Unknown where one of them has no text."""
    read = readback(experiment)
    if read is None:
        return None
    jobs = experiment.profile.files.jobs.items()
    train = next((p for p, job in jobs if job == "train"), None)
    if isinstance(read, Unknown):
        return read
    if not (read.asks or read.config):
        return None
    logs = [log for log in full_logs(experiment) if log.calls or log.openings]
    if logs:
        return read, logs
    if train is not None and experiment.text(train) is None:
        return Unknown(
            reason=f"evaluation reads metrics, and {train} has no text",
            decided_by=train,
            path=train,
        )
    # Training that logs nothing at all is another rule's finding.
    return None


def _sink(ask: Ask) -> Literal["history", "summary"]:
    return "summary" if ask.kind == "summary" else "history"


def _may(log: RunLog, name: str, ask: Ask) -> bool:
    # The API joins nested keys by dots, and a summary is read one level after the other.
    if ask.kind == "summary" and any(k.startswith(f"{name}.") for k in log.exact_keys("summary")):
        return True
    return log.may_log(name, _sink(ask))


def _undecided(name: str, ask: Ask, logs: list[RunLog]) -> bool:
    """Whether it is only code that cannot be read that may log a key."""
    return any(
        log.openings
        and not any(
            k.key.matches(name)
            for c in log.calls
            if ask.kind == "summary" or c.sink == "history"
            for k in c.keys
        )
        for log in logs
    )


def _never_logged(ask: Ask, read: Readback, logs: list[RunLog]) -> tuple[str, ...]:
    return tuple(
        name
        for name in ask.names
        if name not in read.written
        and not _may_be_added(name)
        and any(not _may(log, name, ask) for log in logs)
    )


def _may_be_added(name: str) -> bool:
    """Names that a frame answers to itself, or that W&B adds."""
    return name.startswith(("_", "system.", "system/")) or name in ("index", "level_0", "run_id")


def _lines_answered(read: Readback, logs: list[RunLog]) -> set[tuple[str, int]]:
    """Lines on which another ask is answered: chains of fallbacks stand on one line."""
    return {
        (ask.path, ask.place.line)
        for ask in read.asks
        if ask.kind != "keys" and not _never_logged(ask, read, logs)
    }


def _left_out(read: Readback, told: set[tuple[str, int]]) -> Iterator[Hit]:
    """Columns of a history that was asked for other keys."""
    for ask in read.asks:
        keys = [read.keys_of.get(call) for call in ask.calls]
        if ask.kind != "column" or ask.soft or not ask.sure or not keys or None in keys:
            continue
        asked = {name for known in keys for name in known or ()}
        gone = [
            name
            for name in ask.names
            if name not in asked and name not in read.written and not _may_be_added(name)
        ]
        if not gone or (ask.path, ask.place.line) in told:
            continue
        told.add((ask.path, ask.place.line))
        yield Hit(
            path=ask.path,
            line=ask.place.line,
            column=ask.place.column,
            end_line=ask.place.end_line,
            end_column=ask.place.end_column,
            message=(
                f"{_names(gone)} is read from a history that was asked for "
                f"{_names(sorted(asked))} alone."
            ),
            help=f"Add {_names(gone)} to the `keys` of that history, or ask for it in another one.",
        )


def _mismatch(group: list[tuple[Ask, tuple[str, ...], list[RunLog]]], logs: list[RunLog]) -> Hit:
    ask, names, without = min(group, key=lambda g: (g[0].soft, -len(g[1]), g[0].number))
    some = len(without) < len(logs)
    listed = _names(list(names))
    sink = _sink(ask)
    logged = list(dict.fromkeys(k for log in logs for k in log.exact_keys(sink)))
    whose = "the runs named never log" if some else "training never logs"
    if ask.kind == "keys":
        message = (
            f"The history is asked for {listed}, which {whose}: only rows that hold all "
            "the keys are returned, so there are none."
        )
    elif ask.kind == "column":
        message = f"{listed} is read from the history, but {whose} it."
    elif ask.soft:
        message = (
            f"{listed} is read from the summary with a default, but {whose} it: "
            "the default stands in for the result."
        )
    else:
        message = f"{listed} is read from the summary, but {whose} it."
    others = [key for key in logged if key not in ask.names]
    near = [n for n in (near_miss(name, others) for name in names) if n]
    if some:
        help_ = f"Log {listed} in every run, or ask only the runs that have it"
    elif near:
        help_ = f"Read {_names(list(dict.fromkeys(near)))}, which training logs, or log {listed}"
    elif ask.kind == "keys" and set(ask.names) - set(names):
        rest = [n for n in ask.names if n not in names]
        help_ = f"Log {listed} in training, or ask for {_names(rest)} alone"
    else:
        help_ = f"Log {listed} in training"
        if logged:
            help_ += f", which logs {_names(logged)}, or read one of these"
    related = [
        Related(path=a.path, line=a.place.line, message=f"{_names(list(n))} is read here too.")
        for a, n, _ in group
        if a is not ask and (a.path, a.place.line) != (ask.path, ask.place.line)
    ]
    return Hit(
        path=ask.path,
        line=ask.place.line,
        column=ask.place.column,
        end_line=ask.place.end_line,
        end_column=ask.place.end_column,
        message=message,
        help=help_ + ".",
        related=tuple(dict.fromkeys(related)),
        runs=tuple(dict.fromkeys(w.run_id for w in without if w.run_id)) if some else (),
        severity=Severity.WARNING if ask.soft else None,
    )


@rule("wandb/disjoint-history-keys", code="WDB003", severity=Severity.ERROR, criteria=(6, 8))
def disjoint_history_keys(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation asks one history for keys that are never logged in one step.

    ## What it does
    Looks at every `history(keys=[…])` and `scan_history(keys=[…])` that names several keys, all of
    them logged, and reports it when no row can hold them all. Every `wandb.log` without `step` is a
    row of its own; calls with an explicit `step`, and calls after one with `commit=False` or an
    explicit step, may share a row and are no finding.

    ## Why is this bad
    Only rows that hold all the keys are returned. Keys that are logged in separate steps are never
    in one row: the history is empty, and so is everything computed from it.

    ## Example
    ```python
    wandb.log({"train_loss": loss})            # src/train.py
    wandb.log({"val_accuracy": accuracy})
    run.history(keys=["train_loss", "val_accuracy"])    # src/evaluate.py
    ```

    ## Use instead
    ```python
    run.history(keys=["train_loss"])
    run.history(keys=["val_accuracy"])
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    - [W&B: `Run.history`](https://docs.wandb.ai/ref/python/public-api/run/)
    """
    found = _sides(experiment)
    # Where a side has no text wandb/metric-mismatch says so.
    if not isinstance(found, tuple):
        return
    read, logs = found
    for ask in read.asks:
        names = [n for n in ask.names if not n.startswith("_")]
        if ask.kind != "keys" or len(names) < 2 or not ask.sure:
            continue
        apart = [_apart(log, names) for log in logs]
        if not apart or not all(apart):
            continue
        places = dict.fromkeys(
            (call.path, call.place.line, str(k.key))
            for calls in apart
            for call in calls or ()
            for k in call.keys
            if str(k.key) in names
        )
        yield Hit(
            path=ask.path,
            line=ask.place.line,
            column=ask.place.column,
            end_line=ask.place.end_line,
            end_column=ask.place.end_column,
            message=(
                f"The history is asked for {_names(names)} together, but no step logs them "
                "together: only rows that hold all the keys are returned, so there are none."
            ),
            help=(
                "Ask for the keys of each step in a call of its own, or log them in one "
                "`wandb.log`."
            ),
            related=tuple(
                Related(path=path, line=line, message=f"`{key}` is logged here.")
                for path, line, key in places
            ),
        )


def _apart(log: RunLog, names: list[str]) -> list[LogCall] | None:
    """The calls that log the keys, when no row can hold them all; None when one may."""
    if log.openings or log.loggers:
        return None
    history = [c for c in log.calls if c.sink == "history"]
    concerned = [c for c in history if any(k.key.matches(n) for k in c.keys for n in names)]
    if any(k.key.exact is None for c in concerned for k in c.keys if k.key.matches(names[0])):
        return None
    for name in names:
        matching = [k.key for c in history for k in c.keys if k.key.matches(name)]
        if not matching or any(key.exact is None for key in matching):
            return None
    shares = {
        k.key.exact
        for c in history
        if c.step is not None or c.commit not in (None, True)
        for k in c.keys
    }
    for call in history:
        if all(n in shares or any(k.key.exact == n for k in call.keys) for n in names):
            return None
    return concerned


@rule("wandb/config-mismatch", code="WDB012", severity=Severity.WARNING, criteria=(6, 8))
def config_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Evaluation reads `run.config` at a level where training never puts the key.

    ## What it does
    Takes the config that training hands to `wandb.init(config=…)` in every run and looks up the
    paths that evaluation reads from `run.config`, by item or by `get`. A path that no run has is a
    finding. When the code changes the run's config later, nothing is said.

    ## Why is this bad
    `run.config["method"]` is a `KeyError` where the config holds `run.method`, and
    `run.config.get("method", "unknown")` is `"unknown"` for every run: methods that cannot be told
    apart are compared as one.

    ## Example
    ```python
    wandb.init(config=OmegaConf.to_container(cfg))     # {"run": {"method": …}}
    method = run.config.get("method", "unknown")
    ```

    ## Use instead
    ```python
    method = run.config["run"]["method"]
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    - [W&B: `Run.config`](https://docs.wandb.ai/ref/python/public-api/run/)
    """
    read = readback(experiment)
    if not isinstance(read, Readback) or not read.config:
        return
    trees = _config_trees(experiment)
    if not trees:
        return
    answered = {
        (ask.path, ask.place.line)
        for ask in read.config
        if any(at_keys(tree, ask.keys) is not ABSENT for tree in trees)
        and not any((*ask.keys, other.keys[-1]) == other.keys for other in read.config)
    }
    told: set[tuple[str, ...]] = set()
    for ask in sorted(read.config, key=lambda a: (len(a.keys), a.place.line)):
        absent = [tree for tree in trees if at_keys(tree, ask.keys) is ABSENT]
        if len(absent) < len(trees) or not ask.sure:
            continue
        if any(ask.keys[: len(k)] == k for k in told):
            continue
        right = next((r for tree in trees if (r := _elsewhere(tree, ask.keys))), None)
        section = next((at_keys(tree, ask.keys[:-1]) for tree in trees), None)
        if ask.soft and (
            right is None
            or (ask.path, ask.place.line) in answered
            or not isinstance(section, dict | type(ABSENT))
        ):
            continue
        told.add(ask.keys)
        name = ".".join(ask.keys)
        message = f"`{name}` is read from the run's config, but training never puts it there"
        if ask.soft:
            message += ": the default stands in for it in every run"
        path = "".join(f'["{key}"]' for key in right or ask.keys)
        help_ = (
            f"Read `run.config{path}`, where training puts it."
            if right
            else f"Put `{name}` into the `config` that `wandb.init` gets."
        )
        yield Hit(
            path=ask.path,
            line=ask.place.line,
            column=ask.place.column,
            end_line=ask.place.end_line,
            end_column=ask.place.end_column,
            message=message + ".",
            help=help_,
        )


def _config_trees(experiment: Experiment) -> list[dict[str, Any]] | None:
    """What the runs put into W&B's config; None where that is not known of all of them."""
    trees: list[dict[str, Any]] = []
    for log in full_logs(experiment):
        if log.openings or log.loggers:
            return None
        for init in log.inits:
            given = init.given.get("config")
            if init.spread or given is None or _config_changes(init):
                return None
            tree = as_tree(given, init.process.special.env)
            if not isinstance(tree, dict):
                return None
            trees.append(tree)
    return trees


def _config_changes(init: Init) -> bool:
    env = init.process.special.env
    for _, event in env.entry.events_of(f.Store, f.LibraryCall):
        if isinstance(event, f.Store) and role_of(event.of, env) in ("config", "run"):
            return True
        if isinstance(event, f.LibraryCall):
            callee = env.entry.values[event.callee]
            if (
                isinstance(callee, f.Attribute)
                and callee.name in ("update", "setdefault")
                and role_of(callee.of, env) == "config"
            ) or event.name in ("wandb.config.update", "wandb.run.config.update"):
                return True
    return False


def _elsewhere(tree: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """The one path at which a config holds what is read, one section off."""
    found = [
        (str(section), *keys)
        for section, inner in tree.items()
        if isinstance(inner, dict) and at_keys(inner, keys) is not ABSENT
    ]
    if not found and len(keys) > 1 and at_keys(tree, keys[1:]) is not ABSENT:
        found = [keys[1:]]
    return found[0] if len(found) == 1 else None


@rule("wandb/run-id-mismatch", code="WDB013", severity=Severity.ERROR, criteria=(6, 8))
def run_id_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Training gives its W&B run another id or name than the one evaluation looks up.

    ## What it does
    Finds how evaluation looks its runs up by the ids it is handed: `api.run(".../{run_id}")` by id,
    `api.runs(filters={"display_name": run_id})` by name. Then compares the `id` or `name` that
    `wandb.init` gets in every run. A `wandb.init` without `id` makes a random one, and `name` does
    not replace it.

    ## Why is this bad
    `api.run` raises that the run does not exist. The results are in the project, and evaluation
    cannot find them.

    ## Example
    ```python
    wandb.init(project=project, name=cfg.run.run_id)   # src/train.py
    api.run(f"{entity}/{project}/{run_id}")            # src/evaluate.py
    ```

    ## Use instead
    ```python
    wandb.init(project=project, id=cfg.run.run_id, name=cfg.run.run_id)
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    - [W&B: `wandb.init`](https://docs.wandb.ai/ref/python/sdk/functions/init/)
    """
    read = readback(experiment)
    if not isinstance(read, Readback):
        return
    found = _looked_up(read)
    if found is None:
        return
    what, event = found
    wrong: list[tuple[Init, str, object]] = []
    for log in full_logs(experiment):
        if log.run_id is None or log.openings or log.loggers or not log.inits:
            return
        others: list[tuple[Init, str, object]] = []
        for init in log.inits:
            env = init.process.special.env
            if init.mode == "disabled":
                continue
            if init.spread or "settings" in init.given or _sets_identity(env):
                return
            if what not in init.given:
                others.append((init, log.run_id, None))
                continue
            value = evaluate(init.given[what], env)
            if value is ABSENT or isinstance(value, NotKnown) or value == "???":
                return
            if value == log.run_id:
                # One run of that id is enough, whatever else is started.
                break
            others.append((init, log.run_id, value))
        else:
            wrong += others
    if not wrong:
        return
    init, run_id, value = wrong[0]
    if value is None:
        message = (
            f"Evaluation looks its runs up by {what}, and `wandb.init` is given no `{what}`: "
            "W&B makes a random one."
        )
    else:
        message = f"Evaluation looks a run up by the {what} `{run_id}`, and `wandb.init` is given \
`{value}`."
    yield Hit(
        path=init.path,
        line=init.place.line,
        column=init.place.column,
        end_line=init.place.end_line,
        end_column=init.place.end_column,
        message=message,
        help=f"Give `wandb.init` the run id of the command line, as in `{what}=cfg.run.run_id`.",
        related=(
            Related(
                path=read.document.files[event.place.file],
                line=event.place.line,
                message=f"The run is looked up by its {what} here.",
            ),
        ),
        runs=tuple(dict.fromkeys(r for _, r, _ in wrong)),
    )


def _sets_identity(env: Env) -> bool:
    """Whether the environment or the run itself is given an id or a name."""
    return any(
        evaluate(event.key, env) in ("WANDB_RUN_ID", "WANDB_NAME", "name")
        for _, event in env.entry.events_of(f.Store)
    )


def _looked_up(read: Readback) -> tuple[str, f.LibraryCall] | None:
    """How evaluation finds the runs it is handed the ids of: ``id`` or ``name``, and where."""
    env, entry = read.special.env, read.special.env.entry
    by_id: list[f.LibraryCall] = []
    by_name: list[f.LibraryCall] = []
    for _, event in read.special.happening_of(f.LibraryCall):
        callee = entry.values[event.callee]
        if not isinstance(callee, f.Attribute) or role_of(callee.of, env) != "api":
            continue
        given = dict(event.kwargs)
        if callee.name == "run":
            path = event.args[0] if event.args else given.get("path")
            if path is None or not _is_handed(_last(path, env), env):
                return None
            by_id.append(event)
        elif callee.name == "runs":
            filters = entry.values[given["filters"]] if "filters" in given else None
            if not isinstance(filters, f.DictValue) or len(filters.items) != 1:
                return None
            key, value = filters.items[0]
            if evaluate(key, env) not in ("display_name", "displayName"):
                return None
            if not _is_handed(value, env):
                return None
            by_name.append(event)
    if by_id and not by_name:
        return "id", by_id[0]
    if by_name and not by_id:
        return "name", by_name[0]
    return None


def _last(path: f.ValueId, env: Env) -> f.ValueId | None:
    """What follows the last slash of a run's path."""
    row = env.entry.values[path]
    if isinstance(row, f.Binary) and row.op == "+":
        return row.right
    if not isinstance(row, f.Template) or len(row.parts) < 2:
        return None
    before = env.entry.values[row.parts[-2]]
    if isinstance(before, f.Literal) and str(before.value).endswith("/"):
        return row.parts[-1]
    return None


def _is_handed(value: f.ValueId | None, env: Env) -> bool:
    """Whether a value is one of the ids on the command line, as it stands there."""
    if value is None:
        return False
    row = env.entry.values[value]
    return isinstance(row, f.Element) and role_of(row.of, env) is None and _is_read(row.of, env, 0)


def _is_read(value: f.ValueId, env: Env, depth: int) -> bool:
    row = env.entry.values[value]
    if depth > _DEPTH:
        return False
    match row:
        case f.Config():
            return True
        case f.CallValue():
            callee = env.entry.values[row.callee]
            if isinstance(callee, f.Library) and callee.name == "json.loads":
                return True
            return (
                isinstance(callee, f.Library)
                and callee.name in ("list", "ast.literal_eval", "yaml.safe_load")
                and bool(row.args)
                and _is_read(row.args[0], env, depth + 1)
            )
        case f.Attribute():
            return row.name == "run_ids"
        case f.Select():
            return any(_is_read(way, env, depth + 1) for way in (row.yes, row.no))
    return False


@rule("wandb/unserialisable", code="WDB009", severity=Severity.ERROR, criteria=(6, 8))
def unserialisable(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A W&B summary or a NumPy object reaches `json.dump` as it is.

    ## What it does
    Looks at what `json.dump` and `json.dumps` are handed in the evaluation program, without
    `default=` or `cls=`. A run's summary, also as `dict(run.summary)`, is a finding: W&B adds
    `_wandb` to it, whose value is an object of its own kind, as is every nested value. So are
    arrays and integers that NumPy and scikit-learn return, and the truth of a comparison with a
    p-value of `scipy.stats`, which is a `numpy.bool`. `run.summary._json_dict`, `float(…)`,
    `bool(…)` and `.tolist()` are safe; `numpy.float64` is a float, and no finding.

    ## Why is this bad
    `json.dump` raises `TypeError: Object of type SummarySubDict is not JSON serializable`, and
    leaves half a file behind.

    ## Example
    ```python
    json.dump({"summary": dict(run.summary), "significant": p_value < 0.05}, file)
    ```

    ## Use instead
    ```python
    json.dump({"summary": run.summary._json_dict, "significant": bool(p_value < 0.05)}, file)
    ```

    ## References
    - Criteria 6 and 8 of the experiment protocol
    - `wandb/apis/public/summary.py` of wandb 0.31, `SummarySubDict.items`
    """
    read = readback(experiment)
    if not isinstance(read, Readback):
        return
    env = read.special.env
    told: set[tuple[str, int, str]] = set()
    for _, event in read.special.happening_of(f.LibraryCall):
        if event.name not in ("json.dump", "json.dumps"):
            continue
        given = dict(event.kwargs)
        if not event.args or {"default", "cls", "**"} & given.keys():
            continue
        found = _unfit(event.args[0], env, 0)
        path = read.document.files[event.place.file]
        if found is None or (path, event.place.line, found[0]) in told:
            continue
        told.add((path, event.place.line, found[0]))
        yield Hit(
            path=path,
            line=event.place.line,
            column=event.place.column,
            end_line=event.place.end_line,
            end_column=event.place.end_column,
            message=f"{found[0]} reaches `{event.name}`, which raises a TypeError on it.",
            help=found[1],
        )


_ARRAYS = frozenset(
    {"numpy.array", "numpy.asarray", "numpy.zeros", "numpy.ones", "numpy.arange", "numpy.linspace",
     "numpy.concatenate", "numpy.cumsum", "numpy.diff", "numpy.full", "numpy.stack",
     "numpy.unique", "numpy.bincount", "sklearn.metrics.confusion_matrix"}
)  # fmt: skip
_INTEGERS = frozenset({"numpy.argmax", "numpy.argmin", "numpy.count_nonzero", "numpy.int64",
                       "numpy.int32", "numpy.float32"})  # fmt: skip


def _unfit(value: f.ValueId, env: Env, depth: int) -> tuple[str, str] | None:
    """What of a value JSON cannot hold, and what to write instead."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return None
    if _is_summary(value, env, 0):
        return "The run's summary", "Write `run.summary._json_dict`, which holds plain values."
    inner: tuple[f.ValueId, ...] = ()
    match row:
        case f.DictValue():
            inner = tuple(v for _, v in row.items)
        case f.ListValue() | f.TupleValue():
            inner = tuple(row.items)
        case f.Each() | f.Star():
            inner = (row.value,)
        case f.CallValue():
            callee = env.entry.values[row.callee]
            name = callee.name if isinstance(callee, f.Library) else ""
            if name in _ARRAYS:
                return f"The array that `{name}` returns", "Write it as a list with `.tolist()`."
            if name in _INTEGERS:
                return f"What `{name}` returns", "Write it as a number with `.item()`."
        case f.Compare() if row.op in ("<", "<=", ">", ">="):
            if _is_statistic(row.left, env) or _is_statistic(row.right, env):
                return (
                    "The truth of a comparison with a p-value, a `numpy.bool`,",
                    "Write it as `bool(…)`.",
                )
    return next((u for v in inner if (u := _unfit(v, env, depth + 1))), None)


def _is_summary(value: f.ValueId, env: Env, depth: int) -> bool:
    """Whether a value is the summary of a run that was read back, or a dict made of it."""
    row = env.entry.values[value]
    if depth > _DEPTH:
        return False
    match row:
        case f.Attribute():
            return row.name in ("summary", "summary_metrics") and role_of(row.of, env) == "api-run"
        case f.DictValue():
            for key, inner in row.items:
                star = env.entry.values[key]
                if isinstance(star, f.Star) and _is_summary(star.value, env, depth + 1):
                    return True
                if isinstance(star, f.Each) and _is_field(inner, env):
                    return True
        case f.CallValue() if len(row.args) == 1:
            callee = env.entry.values[row.callee]
            if isinstance(callee, f.Library) and callee.name == "dict":
                return _is_summary(row.args[0], env, depth + 1)
        case f.Select():
            return all(_is_summary(way, env, depth + 1) for way in (row.yes, row.no))
        case f.Each():
            return _is_summary(row.value, env, depth + 1)
        case f.Item():
            chosen = picked(row, env)
            return chosen is not None and _is_summary(chosen, env, depth + 1)
    return False


def _is_field(value: f.ValueId, env: Env) -> bool:
    """Whether a value is each value of ``summary.items()``, none left out."""
    row = env.entry.values[value]
    row = env.entry.values[row.value] if isinstance(row, f.Each) else row
    if not isinstance(row, f.Item):
        return False
    key, of = env.entry.values[row.key], env.entry.values[row.of]
    if not (isinstance(key, f.Literal) and key.value == 1 and isinstance(of, f.Element)):
        return False
    over = env.entry.values[of.of]
    callee = env.entry.values[over.callee] if isinstance(over, f.CallValue) else None
    return (
        isinstance(callee, f.Attribute)
        and callee.name == "items"
        and _is_summary(callee.of, env, 0)
    )


def _is_statistic(value: f.ValueId, env: Env) -> bool:
    """Whether a value is the statistic or the p-value of a test of ``scipy.stats``."""
    row = env.entry.values[value]
    if not isinstance(row, f.Item | f.Attribute):
        return False
    row = env.entry.values[row.of]
    callee = env.entry.values[row.callee] if isinstance(row, f.CallValue) else None
    return isinstance(callee, f.Library) and bool(_TESTS.fullmatch(callee.name))


_TESTS = regex(r"scipy\.stats\.(ttest_\w+|wilcoxon|mannwhitneyu|f_oneway|kruskal|pearsonr)")


def _names(names: Iterable[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > _MOST:
        quoted = [*quoted[:_MOST], f"{len(quoted) - _MOST} more"]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
