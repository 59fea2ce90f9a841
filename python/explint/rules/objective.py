"""Rules about what the objective of a study does: criterion 7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.programs import Program, is_cut, programs
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.search import (
    Pass,
    Search,
    Suggestion,
    decide_under,
    each_pass,
    mentions_optuna,
    optimised,
    searches,
    sources,
)
from explint.rules.started import unread

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace import facts as f

SIGNATURES: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "suggest_float": (("name", "low", "high"), frozenset({"step", "log"})),
    "suggest_int": (("name", "low", "high"), frozenset({"step", "log"})),
    "suggest_categorical": (("name", "choices"), frozenset()),
    "suggest_uniform": (("name", "low", "high"), frozenset()),
    "suggest_loguniform": (("name", "low", "high"), frozenset()),
    "suggest_discrete_uniform": (("name", "low", "high", "q"), frozenset()),
}
"""Parameters of each method, and those that are keywords only (optuna 5.0)."""


@rule("optuna/search-key-without-effect", code="OPT002", severity=Severity.ERROR, criteria=(7,))
def search_key_without_effect(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A sampled value is written to a config key that nothing reads.

    ## What it does
    Follows each entry of the search space through the loop that samples it, to the config key the
    value is written to, and looks for reads of that key in the objective behind it: `cfg.a.b`,
    `.get`, whole sections that are handed on or gone through, interpolations in the config files.

    An entry `learning_rate` that a helper writes to `cfg.learning_rate`, while training reads
    `cfg.training.learning_rate`, has no effect. Values that reach training in another way than
    through the config are not judged, nor are programs that hand the config to a module without
    text.

    ## Why is this bad
    Every trial trains with the same value. The study still reports a best one, which is noise, and
    the final run does not use it either.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    optuna:
      search_space:
        learning_rate: {type: loguniform, low: 1.0e-4, high: 1.0e-2}
    ```
    `src/train.py`:
    ```python
    for name, value in sampled.items():
        cfg[name] = value
    train(cfg.training.learning_rate)
    ```

    ## Use instead
    ```yaml
    optuna:
      search_space:
        training.learning_rate: {type: loguniform, low: 1.0e-4, high: 1.0e-2}
    ```
    ```python
    for name, value in sampled.items():
        OmegaConf.update(cfg, name, value)
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [OmegaConf: update](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html#omegaconf-update)
    """
    found: dict[tuple[str, int], _Idle] = {}
    passes = list(each_pass(experiment))
    if not passes:
        yield from _unfollowed(experiment)
        return
    for program, search, one in passes:
        if program.blind:
            for suggestion in one.suggestions:
                path = program.path_of(suggestion.event.place)
                yield Unknown(
                    reason=f"what reads the sampled `{one.entry.name}` may stand in a module whose "
                    "text is not there",
                    decided_by="the modules that are not there",
                    path=path,
                )
                break
            continue
        for suggestion in one.suggestions:
            written = _idle_write(experiment, program, one, suggestion)
            if written is not None:
                event, keys = written
                key = (program.path_of(event.place), event.place.line)
                idle = found.setdefault(key, _Idle(event, program))
                idle.runs.setdefault(search.run_id)
                idle.keys.setdefault((one.entry.name, ".".join(map(str, keys))), (search, one))
    for (path, _), idle in found.items():
        yield _without_effect(path, idle)


def _unfollowed(experiment: Experiment) -> Iterator[Unknown]:
    """What is open about sampled values when the files that would show their way are not there."""
    asking = [s for s in searches(experiment) if s.is_on and s.entries]
    suggests = [path for path, text in sources(experiment).items() if ".suggest_" in text]
    if not asking or not suggests:
        return
    files = experiment.profile.files.required
    lacking = [p for p in files if unread(experiment, p) and p.endswith((".py", ".yaml"))]
    lacking = [p for p in lacking if p != experiment.profile.evaluation.module]
    if not lacking:
        return
    names = _listed([f"`{n}`" for n in dict.fromkeys(e.name for s in asking for e in s.entries)])
    yield Unknown(
        reason=f"whether anything reads the sampled {names} where they are written is not known "
        f"without {_listed(lacking)}",
        decided_by=_listed(lacking),
        path=suggests[0],
    )


class _Idle(msgspec.Struct):
    event: f.Write
    program: Program
    runs: dict[str, None] = msgspec.field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[Search, Pass]] = msgspec.field(default_factory=dict)


def _without_effect(path: str, idle: _Idle) -> Hit:
    (name, key), (_search, _one) = next(iter(idle.keys.items()))
    names = list(dict.fromkeys(name for name, _ in idle.keys))
    place = idle.event.place
    right = _reads_named(idle.program, name.rpartition(".")[2])
    if len(names) == 1:
        message = f"The sampled `{name}` is written to `{key}`, which nothing reads."
    else:
        listed = _listed([f"`{n}`" for n in names])
        level = "the root of the config" if "." not in key else f"`{key.rpartition('.')[0]}`"
        message = f"The sampled {listed} are written to {level}, where nothing reads them."
    help_ = "Write the value to the key that training reads"
    if len(right) == 1:
        help_ = f"Write it to `{right[0]}`, which training reads"
        if name != right[0] and "." not in name:
            help_ += f", for example by naming the entry `{right[0]}`"
    related = [
        Related(
            path=s.run.path,
            line=s.mark(*p.entry.at[1:]).line,
            message=f"`{n}` is searched here.",
        )
        for (n, _), (s, p) in idle.keys.items()
    ]
    return Hit(
        path=path,
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=message,
        help=help_ + ".",
        related=tuple(related),
        runs=tuple(idle.runs),
    )


def _idle_write(
    experiment: Experiment, program: Program, one: Pass, suggestion: Suggestion
) -> tuple[f.Write, list[str | int]] | None:
    """The write of a sampled value that has no effect; None where it may have one."""
    from explint.trace import facts as f
    from explint.trace.specialise import ABSENT, at_keys, keys_of
    from explint.trace.specialise import Unknown as NotKnown

    trace = program.trace
    end = _end_of_callback(suggestion.number, program)
    writes: list[tuple[int, f.Write, list[str | int]]] = []
    for number, event in program.events_of(f.Write, f.Store):
        if not suggestion.number < number <= end:
            continue
        assert isinstance(event, f.Write | f.Store)
        state = decide_under(event.guard, one.env)
        if state is False or not _may_hold(trace, event.value, suggestion):
            continue
        if isinstance(event, f.Store):
            # It goes into something that is not followed.
            return None
        row = trace.values[event.at]
        keys = keys_of(row.path, one.env) if isinstance(row, f.Config) else None
        if state is None or keys is None or isinstance(keys, NotKnown):
            return None
        if len(keys) == 1 and isinstance(keys[0], str) and event.how in ("update", "force"):
            keys = list(keys[0].split("."))
        writes.append((number, event, keys))
    if len(writes) != 1:
        return None
    number, event, keys = writes[0]
    row = trace.values[event.at]
    assert isinstance(row, f.Config)
    # As it was made: in a loop that writes keys of any name, nothing is known of it any more.
    history = program.env.roots.get(row.root)
    before = at_keys(history[0][1], keys) if history else NotKnown("the config is not known")
    if isinstance(before, NotKnown) or (
        before is not ABSENT and keys[-1] != one.entry.name.rpartition(".")[2]
    ):
        return None
    if _referred(experiment, keys):
        return None
    for later, other in program.events():
        if number < later <= end and _reads(program, other, row.root, keys):
            return None
    return event, keys


def _end_of_callback(number: int, program: Program) -> int:
    """The last event of the callback in which an event happens."""
    from explint.trace import facts as f

    trace = program.trace
    guard = trace.events[number].guard
    loops: set[int] = set()
    while guard:
        value = trace.values[trace.guards[guard].condition]
        if isinstance(value, f.Called):
            loops.add(value.loop)
        guard = trace.guards[guard].parent
    ends = [
        later
        for later, event in enumerate(trace.events)
        if later > number and isinstance(event, f.LoopEnd) and event.loop in loops
    ]
    return max(ends, default=len(trace.events))


def _may_hold(trace: f.EntryTrace, value: int, suggestion: Suggestion) -> bool:
    """Whether a value is made of what the suggestion gives, or of a dict of such."""
    from explint.rules.flow import parts

    return any(
        getattr(trace.values[p], "event", None) == suggestion.number for p in parts(trace, value)
    )


def _referred(experiment: Experiment, keys: Sequence[str | int]) -> bool:
    """Whether an interpolation in the config files takes the key's value."""
    dotted = ".".join(map(str, keys))
    return any(
        f"${{{dotted}" in (text := experiment.text(path) or "") or f"{dotted}}}" in text
        for path in experiment.yaml_files()
    )


_HARMLESS = regex(
    r"(^|\.)(print|len|isinstance|type|repr|str|deepcopy|copy|to_yaml|to_container|save|dump|dumps"
    r"|set_struct|info|debug|warning|error|pprint|is_config|is_dict|wandb\.init|config\.update"
    r"|open_dict|log|exists|mkdir|makedirs)$"
)


def _reads(program: Program, event: f.AnyEvent, root: int, keys: Sequence[str | int]) -> bool:
    """Whether an event may read what a config object holds under the keys."""
    from explint.trace import facts as f

    trace = program.trace
    if isinstance(event, f.Read):
        return _touches(program, event.at, root, keys, whole=event.how in ("iterate", "spread"))
    if isinstance(event, f.LibraryCall) and not _HARMLESS.search(event.name):
        handed = [*event.args, *(v for _, v in event.kwargs)]
        return any(
            isinstance(trace.values[v], f.Config) and _touches(program, v, root, keys, whole=True)
            for v in handed
        )
    return False


def _touches(
    program: Program, at: int, root: int, keys: Sequence[str | int], *, whole: bool
) -> bool:
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    trace = program.trace
    row = trace.values[at]
    if not isinstance(row, f.Config):
        return False
    wanted: list[tuple[int, list[object]]] = [
        (row.root, [evaluate(part, program.env) for part in row.path])
    ]
    seen: set[int] = set()
    while wanted:
        here, path = wanted.pop()
        if here in seen:
            continue
        seen.add(here)
        if here == root:
            known = [p if isinstance(p, str | int) else None for p in path]
            pairs = list(zip(known, keys, strict=False))
            if all(p is None or p == k for p, k in pairs) and (whole or len(path) >= len(keys)):
                return True
        for source in trace.roots[here].sources:
            value = trace.values[source]
            if isinstance(value, f.Config):
                before: list[object] = [evaluate(part, program.env) for part in value.path]
                wanted.append((value.root, [*before, *path]))
            elif trace.roots[here].kind in ("merge", "create", "container"):
                # Made of more than one config, or of one that is held in something else.
                from explint.rules.flow import parts

                for part in parts(trace, source):
                    inner = trace.values[part]
                    if isinstance(inner, f.Config):
                        return whole or bool(path)
    return False


def _reads_named(program: Program, name: str) -> list[str]:
    """The config paths with this last key that the program reads."""
    from explint.trace import facts as f
    from explint.trace.specialise import Unknown as NotKnown
    from explint.trace.specialise import keys_of

    found: dict[str, None] = {}
    for _, event in program.events_of(f.Read):
        row = program.trace.values[event.at]
        if isinstance(row, f.Config):
            keys = keys_of(row.path, program.env)
            if isinstance(keys, NotKnown) or len(keys) < 2 or "optuna" in keys:
                continue
            if keys[-1] == name:
                found.setdefault(".".join(map(str, keys)))
    return list(found)


@rule("optuna/wrong-suggest-call", code="OPT004", severity=Severity.ERROR, criteria=(7,))
def wrong_suggest_call(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """An entry of the search space is handed to `suggest_*` in a form that it rejects.

    ## What it does
    Takes each entry through the code that samples it, and holds what `suggest_float`,
    `suggest_int` and `suggest_categorical` are handed against their signatures: `**entry` with a
    key they do not have, such as `type`, a bound that the entry lacks, a bound that is text, and
    choices that are not there. A `type` that is taken out of the entry before is not handed on.

    ## Why is this bad
    The call raises `TypeError` in the first trial, and the run stops before any training.

    ## Example
    ```python
    for name, entry in cfg.run.optuna.search_space.items():
        params[name] = trial.suggest_float(name, **entry)
    ```
    with `{type: float, low: 0.001, high: 0.1}` as the entry.

    ## Use instead
    ```python
    for name, entry in cfg.run.optuna.search_space.items():
        params[name] = trial.suggest_float(name, entry.low, entry.high, log=entry.get("log", False))
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [Optuna: suggest_float](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.trial.Trial.html#optuna.trial.Trial.suggest_float)
    """
    told: dict[tuple[str, int], tuple[Suggestion, Program, str, dict[str, None], dict[str, Any]]]
    told = {}
    for program, search, one in each_pass(experiment):
        for suggestion in one.suggestions:
            if suggestion.state is not True:
                continue
            problem = _rejected(suggestion)
            if problem is None:
                continue
            key = (program.path_of(suggestion.event.place), suggestion.event.place.line)
            row = told.setdefault(key, (suggestion, program, problem, {}, {}))
            row[3].setdefault(search.run_id)
            row[4].setdefault(one.entry.name, (search, one))
    for (path, line), (suggestion, _, problem, runs, entries) in told.items():
        search, one = next(iter(entries.values()))
        place = suggestion.event.place
        yield Hit(
            path=path,
            line=line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"The entry `{one.entry.name}` of the search space is handed to "
            f"`{suggestion.method}` {problem}.",
            help=f"Hand over {_wanted(suggestion.method)} by name, and take other keys out before.",
            related=tuple(
                Related(
                    path=s.run.path,
                    line=s.mark(*p.entry.at[1:]).line,
                    message=f"The entry `{p.entry.name}`.",
                )
                for s, p in entries.values()
            ),
            runs=tuple(runs),
        )


def _wanted(method: str) -> str:
    names, more = SIGNATURES[method]
    listed = [f"`{n}`" for n in names[1:]]
    if more:
        listed.append("`log`")
    return _listed(listed)


def _rejected(suggestion: Suggestion) -> str | None:
    """Why a method rejects what it is handed; None where it takes it, or nobody knows."""
    from explint.trace import facts as f
    from explint.trace.specialise import ABSENT, evaluate
    from explint.trace.specialise import Unknown as NotKnown

    names, more = SIGNATURES[suggestion.method]
    values = suggestion.env.entry.values
    given: dict[str, Any] = {}
    spread = False
    for number, argument in enumerate(suggestion.event.args):
        if isinstance(values[argument], f.Star) or number >= len(names):
            return None
        given[names[number]] = evaluate(argument, suggestion.env)
    for name, argument in suggestion.event.kwargs:
        if name != "**":
            given[name] = evaluate(argument, suggestion.env)
            continue
        spread = True
        inner = evaluate(argument, suggestion.env)
        if not isinstance(inner, Mapping):
            return None
        for key, value in inner.items():
            if key in given:
                return f"with two values for `{key}`"
            given[str(key)] = value
    extra = [key for key in given if key not in names and key not in more]
    if extra and spread:
        return f"with the key `{extra[0]}`, which it does not take"
    if extra:
        # A keyword that stands in the code is told of the library's signature.
        return None
    if spread:
        lacking = [key for key in names if key not in given]
        if lacking:
            return f"without `{lacking[0]}`"
    for key in names[1:]:
        value = given.get(key, NotKnown("it is not handed over"))
        if isinstance(value, NotKnown):
            continue
        if value is None or value is ABSENT:
            return f"without `{key}`: the entry has none"
        if key in ("low", "high") and isinstance(value, str) and suggestion.method != "suggest_int":
            return f'with the text "{value}" as `{key}`'
    return None


@rule("optuna/no-final-run", code="OPT005", severity=Severity.ERROR, criteria=(7,))
def no_final_run(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """No training with the best parameters follows the study.

    ## What it does
    Looks at what becomes of `best_params`, `best_trial` and the like after `study.optimize`. A
    program that only prints, logs or saves them, or does not look at them, trains nothing with what
    the search found. Parameters that are written to the config, handed to a function or returned
    count as used, as does a model that the trials leave behind and that is loaded again.

    ## Why is this bad
    The results of the run are those of the configured values, or of whichever trial came last, and
    the search was for nothing.

    ## Example
    ```python
    study.optimize(objective, n_trials=cfg.run.optuna.n_trials)
    print(study.best_params)
    train(cfg)
    ```

    ## Use instead
    ```python
    study.optimize(objective, n_trials=cfg.run.optuna.n_trials)
    for name, value in study.best_params.items():
        OmegaConf.update(cfg, name, value)
    train(cfg)
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [Optuna: Study.best_params](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.study.Study.html#optuna.study.Study.best_params)
    """
    if not mentions_optuna(experiment):
        return
    told: dict[tuple[str, int], tuple[f.LibraryCall, dict[str, None]]] = {}
    for program in programs(experiment).under(cheap=False):
        if program.blind or is_cut(program):
            continue
        for number, event in optimised(program):
            if _best_is_used(program, number):
                continue
            key = (program.path_of(event.place), event.place.line)
            told.setdefault(key, (event, {}))[1].setdefault(program.run_id)
    for (path, line), (event, runs) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message="The study searches for parameters, and nothing is trained with the best ones.",
            help="Write `study.best_params` into the config, and train with it after the study.",
            runs=tuple(runs),
        )


_BEST = frozenset({"best_params", "best_trial", "best_trials", "trials", "get_trials"})
_SHOWN = regex(
    r"(^|\.)(print|info|debug|warning|dump|dumps|log|save|to_yaml|write|write_text|pprint|items"
    r"|keys|values|update_summary|str|repr|json|format|copy)$"
)


def _best_is_used(program: Program, number: int) -> bool:
    """Whether anything but an output is made of what the study found."""
    from explint.rules.flow import made_of, parts
    from explint.trace import facts as f

    trace = program.trace
    event = trace.events[number]
    assert isinstance(event, f.LibraryCall)
    optimise = trace.values[event.callee]
    if not isinstance(optimise, f.Attribute):
        return True
    studies = {optimise.of} if isinstance(trace.values[optimise.of], f.CallValue) else set()
    if not studies:
        return True
    best = {
        value
        for value, row in enumerate(trace.values)
        if isinstance(row, f.Attribute) and row.of in studies and row.name in _BEST
    }
    derived = made_of(trace, best)
    found = derived | best
    studied = made_of(trace, studies) | studies
    for later, other in program.events_of(f.Write, f.Store, f.Return, f.LibraryCall):
        if later <= number:
            continue
        match other:
            case f.Write() | f.Store() | f.Return():
                if other.value in found:
                    if isinstance(other, f.Store) and _into_summary(trace, other):
                        continue
                    if isinstance(other, f.Write) and not _is_looked_at(program, other, later):
                        continue
                    return True
            case f.LibraryCall():
                handed = {*other.args, *(v for _, v in other.kwargs)}
                if _SHOWN.search(other.name) or other.name.startswith("wandb."):
                    continue
                if handed & found or any(parts(trace, v) & found for v in handed):
                    return True
                if other.name.startswith(("subprocess.", "torch.load")):
                    return True
                if _takes_up_a_model(program, other, number):
                    return True
                # Handed on as a whole, to code that is not followed.
                if handed & studies and not other.name.startswith("optuna."):
                    return True
    guards = {row.condition for row in trace.guards}
    # Values that reach functions of the package in ways that are not followed.
    lost = any(
        isinstance(row, f.UnknownValue) and row.reason in ("argument", "choices", "cut")
        for row in trace.values
    )
    return bool(guards & found) or (bool(best) and lost) or bool(guards & studied - studies)


def _takes_up_a_model(program: Program, event: f.LibraryCall, number: int) -> bool:
    """Whether a call may load a model that the trials before an event left behind."""
    from explint.rules.flow import parts
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    trace = program.trace
    given = [*event.args, *(v for _, v in event.kwargs)]
    if event.name.endswith("from_pretrained"):
        # A name that the config or the code gives is one of the hub's.
        return not given or not isinstance(evaluate(given[0], program.env), str)
    if not event.name.endswith("load_state_dict"):
        return False
    return not any(
        isinstance(row := trace.values[part], f.CallValue)
        and row.event is not None
        and row.event > number
        and isinstance(callee := trace.values[row.callee], f.Attribute)
        and callee.name == "state_dict"
        for value in given
        for part in parts(trace, value)
    )


def _is_looked_at(program: Program, write: f.Write, number: int) -> bool:
    """Whether anything asks the config that is written to, or one made from it, afterwards."""
    from explint.trace import facts as f

    trace = program.trace
    at = trace.values[write.at]
    if not isinstance(at, f.Config):
        return True
    roots = {at.root}

    def is_one(value: int) -> bool:
        row = trace.values[value]
        return isinstance(row, f.Config) and row.root in roots

    for later, event in program.events_of(f.Make, f.Read, f.LibraryCall):
        if later <= number:
            continue
        if isinstance(event, f.Make):
            if any(map(is_one, trace.roots[event.root].sources)):
                roots.add(event.root)
        elif isinstance(event, f.Read):
            if is_one(event.at):
                return True
        elif (
            isinstance(event, f.LibraryCall)
            and not _SHOWN.search(event.name)
            and any(map(is_one, (*event.args, *(v for _, v in event.kwargs))))
        ):
            return True
    return False


def _into_summary(trace: f.EntryTrace, store: f.Store) -> bool:
    from explint.trace import facts as f

    row = trace.values[store.of]
    return (isinstance(row, f.Library) and row.name.startswith("wandb")) or (
        isinstance(row, f.Attribute) and row.name in ("summary", "config")
    )


@rule("optuna/shared-config", code="OPT006", severity=Severity.WARNING, criteria=(7,))
def shared_config(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The objective changes a config that later trials or the final run share.

    ## What it does
    Looks for writes to config keys inside the objective of a study, of a config that was made
    outside of it. A key that each trial writes anew, and that is written again before the final
    run, is no finding; one that the final run reads as the last trial left it is.

    ## Why is this bad
    The final run trains with the values of the last trial, or with W&B still disabled, or for the
    one epoch of a trial, and nobody sees it in the results.

    ## Example
    ```python
    def objective(trial):
        cfg.run.training.epochs = 1
        return train(cfg)
    ```

    ## Use instead
    ```python
    def objective(trial):
        trial_cfg = copy.deepcopy(cfg)
        trial_cfg.run.training.epochs = 1
        return train(trial_cfg)
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [OmegaConf: copying](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    if not mentions_optuna(experiment):
        return
    told: dict[tuple[str, int], tuple[f.Write, str, dict[str, None]]] = {}
    for program in programs(experiment).under(cheap=False):
        for number, _ in optimised(program):
            for event, keys in _left_behind(program, number):
                at = (program.path_of(event.place), event.place.line)
                told.setdefault(at, (event, keys, {}))[2].setdefault(program.run_id)
    for (path, line), (event, keys, runs) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"The objective sets `{keys}` in a config that the final run shares, and "
            "nothing sets it back.",
            help="Change a copy in the objective: `trial_cfg = copy.deepcopy(cfg)`.",
            runs=tuple(runs),
        )


def _left_behind(program: Program, number: int) -> Iterator[tuple[f.Write, str]]:
    from explint.trace import facts as f
    from explint.trace.specialise import Unknown as NotKnown
    from explint.trace.specialise import keys_of

    trace = program.trace
    start = next(
        (
            event.loop
            for event in trace.events[number + 1 : number + 3]
            if isinstance(event, f.LoopStart) and trace.loops[event.loop].kind == "callback"
        ),
        None,
    )
    if start is None:
        return
    end = next(
        n
        for n, event in enumerate(trace.events)
        if n > number and isinstance(event, f.LoopEnd) and event.loop == start
    )
    made = {event.root: n for n, event in trace.events_of(f.Make)}
    later = [(n, e) for n, e in program.events() if n > end]
    written: dict[tuple[int, tuple[str | int, ...]], f.Write] = {}
    for n, event in program.events_of(f.Write):
        if not number < n < end:
            continue
        row = trace.values[event.at]
        if not isinstance(row, f.Config) or made.get(row.root, n) > number:
            continue
        keys = keys_of(row.path, program.env)
        if isinstance(keys, NotKnown) or decide_under(event.guard, program.env) is not True:
            continue
        written[row.root, tuple(keys)] = event
    for (root, path), event in written.items():
        again = any(
            isinstance(other, f.Write)
            and isinstance(row := trace.values[other.at], f.Config)
            and row.root == root
            and (
                isinstance(found := keys_of(row.path, program.env), NotKnown)
                or tuple(found) == path[: len(found)]
            )
            for _, other in later
        )
        read = any(
            isinstance(other, f.Read) and _touches(program, other.at, root, path, whole=False)
            for _, other in later
        )
        if read and not again:
            yield event, ".".join(map(str, path))


@rule("optuna/different-program", code="OPT009", severity=Severity.WARNING, criteria=(7,))
def different_program(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The objective trains something other than the run it tunes.

    ## What it does
    Compares what the objective of a study does with what the program does after it. An objective
    that returns a number with no model in it, or that builds models of classes of the package that
    the final run does not build, tunes another program.

    ## Why is this bad
    The best parameters of another program are no good guess for this one, and the search cannot
    be defended in a paper.

    ## Example
    ```python
    def objective(trial):
        learning_rate = trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
        return random.random()
    ```

    ## Use instead
    ```python
    def objective(trial):
        learning_rate = trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
        return train(cfg, learning_rate)
    ```

    ## References
    - Criterion 7 of the experiment protocol
    """
    if not mentions_optuna(experiment):
        return
    told: dict[tuple[str, int], tuple[f.AnyEvent, str, dict[str, None]]] = {}
    for program in programs(experiment).under(cheap=False):
        if program.blind or is_cut(program):
            continue
        for number, _ in optimised(program):
            found = _other_program(program, number)
            if found is not None:
                event, why = found
                at = (program.path_of(event.place), event.place.line)
                told.setdefault(at, (event, why, {}))[2].setdefault(program.run_id)
    for (path, line), (event, why, runs) in told.items():
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f"The objective of the study {why}.",
            help="Train in the objective what the final run trains, with the sampled values.",
            runs=tuple(runs),
        )


def _other_program(program: Program, number: int) -> tuple[f.AnyEvent, str] | None:
    from explint.rules.flow import is_invented
    from explint.trace import facts as f

    trace = program.trace
    loop = next(
        (
            event.loop
            for event in trace.events[number + 1 : number + 3]
            if isinstance(event, f.LoopStart) and trace.loops[event.loop].kind == "callback"
        ),
        None,
    )
    if loop is None:
        return None
    end = next(
        n
        for n, event in enumerate(trace.events)
        if n > number and isinstance(event, f.LoopEnd) and event.loop == loop
    )
    inside = [(n, e) for n, e in program.events() if number < n < end]
    after = [(n, e) for n, e in program.events() if n > end]
    returned = [e for _, e in inside if isinstance(e, f.Return)]
    trains = any(isinstance(e, f.LibraryCall) and e.name.endswith("backward") for _, e in after)
    if returned and trains and is_invented(trace, returned[-1].value):
        return returned[-1], "returns a number that no model has a part in"
    models = [_models(program, events) for events in (inside, after)]
    if all(models) and not models[0].keys() & models[1].keys():
        name, event = next(iter(models[0].items()))
        other = next(iter(models[1]))
        return event, f"trains `{name}`, and the final run trains `{other}`"
    return None


def _models(program: Program, events: Sequence[tuple[int, f.AnyEvent]]) -> dict[str, f.AnyEvent]:
    """The package's own models that are built by these events, by the name of the class."""
    from explint.trace import facts as f

    trace = program.trace
    found: dict[str, f.AnyEvent] = {}
    for _, event in events:
        if isinstance(event, f.LibraryCall) and event.name.endswith("nn.Module.__init__"):
            function = trace.calls[event.call].function
            if function.endswith(".__init__"):
                found.setdefault(function.removesuffix(".__init__").rpartition(".")[2], event)
    return found


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
