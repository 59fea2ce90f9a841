"""Rules about the search for hyperparameters: criterion 7."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from explint.compose.yaml import Mark
from explint.model import Related, Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.programs import Program, is_cut, programs
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.search import (
    Entry,
    Pass,
    Search,
    each_pass,
    mentions_optuna,
    searches,
    sources,
    studies,
)

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace import facts as f

_STUDY = regex(
    r"\b(create_study|load_study|Study\(|OptunaSearch|OptunaSweeper|OptunaSearchCV"
    r"|hyperparameter_search|optuna_integration)\b",
    words=("_study", "Study(", "OptunaS", "hyperparameter_search", "optuna_integration"),
)
_READS_SPACE = regex(
    r"""(\.search_spaces?\b|\[["']search_spaces?["']\]|\bget\(["']search_spaces?["'])"""
)
_SWEEPER = regex(r"hydra/sweeper\s*:\s*optuna")
_RUNS_STUDY = regex(r"(^|\.)optuna\.(study\.)?(create_study|load_study|Study)$")
_FLOAT_KINDS = frozenset(
    [
        "float",
        "uniform",
        "loguniform",
        "log_uniform",
        "log-uniform",
        "real",
        "double",
        "continuous",
        "log_float",
        "float_log",
        "logfloat",
        "quniform",
        "q_uniform",
        "discrete_uniform",
        "discrete",
        "suggest_float",
        "suggest_uniform",
        "suggest_loguniform",
        "suggest_discrete_uniform",
        "log",
        "float_uniform",
        "uniform_float",
    ]
)
_INT_KINDS = frozenset(
    [
        "int",
        "integer",
        "randint",
        "int_uniform",
        "uniform_int",
        "intuniform",
        "log_int",
        "int_log",
        "logint",
        "int_loguniform",
        "suggest_int",
        "quniform_int",
        "range",
    ]
)
_CATEGORICAL_KINDS = frozenset(
    [
        "categorical",
        "choice",
        "choices",
        "category",
        "enum",
        "bool",
        "boolean",
        "grid",
        "suggest_categorical",
        "cat",
    ]
)
_BETTER_LOW = frozenset(
    [
        "loss",
        "error",
        "perplexity",
        "ppl",
        "rmse",
        "mse",
        "mae",
        "nll",
        "wer",
        "cer",
        "fid",
        "regret",
        "latency",
        "runtime",
    ]
)
_BETTER_HIGH = frozenset(
    [
        "accuracy",
        "acc",
        "f1",
        "auc",
        "auroc",
        "precision",
        "recall",
        "bleu",
        "rouge",
        "map",
        "miou",
        "iou",
        "dice",
        "r2",
        "mcc",
        "matthews_corrcoef",
        "em",
        "exact_match",
        "reward",
        "return",
    ]
)


@rule("optuna/never-run", code="OPT001", severity=Severity.ERROR, criteria=(7,))
def never_run(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The run configs ask for Optuna trials, and no code runs a study.

    ## What it does
    Looks at `optuna.n_trials` of every run config. Where it is above zero (and `optuna.enabled` is
    not false), some module must create a study, and in a mode that is no trial the program must
    come to it. Hydra's Optuna sweeper and the searches of Ray, scikit-learn and Transformers count
    as studies.

    While a module of the package is not there to be read, the rule does not decide, nor does it
    where code reads `search_space` for a search of its own.

    ## Why is this bad
    The report speaks of tuned hyperparameters, and the values are the ones that somebody wrote into
    the config. The comparison is one of defaults, which nobody can see from the results.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    optuna:
      n_trials: 30
    ```
    `src/train.py`:
    ```python
    def main(cfg):
        train(cfg)
    ```

    ## Use instead
    ```python
    def main(cfg):
        if cfg.run.optuna.n_trials > 0:
            study = optuna.create_study(direction=cfg.run.optuna.direction)
            study.optimize(lambda trial: train(sampled(cfg, trial)), cfg.run.optuna.n_trials)
            cfg = with_params(cfg, study.best_params)
        train(cfg)
    ```
    or `n_trials: 0` where no search is meant.

    ## References
    - Criterion 7 of the experiment protocol
    - [Optuna: create_study](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.study.create_study.html)
    """
    asking = [s for s in searches(experiment) if s.is_on]
    if not asking:
        return
    texts = sources(experiment)
    places = [path for path, text in texts.items() if _STUDY.search(text)]
    lacking = _without_text(experiment)
    if not places:
        if any(_SWEEPER.search(experiment.text(path) or "") for path in experiment.yaml_files()):
            return
        if lacking or not texts:
            path = lacking[0] if lacking else "src/train.py"
            yield Unknown(
                reason=f"a study may be run in {path}, whose text is not there",
                decided_by=path,
                path=path,
            )
            return
        own = next((path for path, text in texts.items() if _READS_SPACE.search(text)), None)
        if own is not None:
            # Where the method under test is a search itself, the space may be its own.
            yield Unknown(
                reason=f"{own} reads the search space without a study, and may search by itself",
                decided_by="a reader of that search",
                path=own,
            )
            return
        yield _never_run(asking, "no module creates a study")
        return
    seen = programs(experiment)
    if not seen.programs or lacking:
        path = lacking[0] if lacking else places[0]
        yield Unknown(reason="whether the study is run cannot be told", decided_by=path, path=path)
        return
    full = list(seen.under(cheap=False))
    if not full or any(is_cut(p) or not p.known for p in full):
        return
    idle = [s for s in asking if s.run_id in {p.run_id for p in full}]
    for program in full:
        if _runs_study(program):
            idle = [s for s in idle if s.run_id != program.run_id]
    if len(idle) == len(asking) and idle and not seen.unknown:
        yield _never_run(
            idle,
            f"the program never comes to the study in {places[0]}",
        )


def _never_run(asking: Sequence[Search], why: str) -> Hit:
    first = asking[0]
    mark = first.mark("n_trials")
    return Hit(
        path=first.run.path,
        line=mark.line,
        column=mark.column,
        message=f"The run config asks for {first.trials} Optuna trials, but {why}.",
        help="Run a study with `optuna.create_study(…).optimize(…)` before the final training, or "
        "set `n_trials: 0`.",
        related=tuple(
            Related(
                path=other.run.path,
                line=other.mark("n_trials").line,
                message=f"{other.trials} trials are asked for here too.",
            )
            for other in asking[1:]
        ),
        runs=tuple(s.run_id for s in asking),
    )


def _without_text(experiment: Experiment) -> list[str]:
    """The modules that the protocol asks for and that cannot be read."""
    return [
        path
        for path in experiment.profile.files.required
        if path.endswith(".py")
        and (experiment.state(path) is not FileState.PRESENT or not experiment.text(path))
    ]


def _runs_study(program: Program) -> bool:
    """Whether the program may come to a study, or to one that a library runs."""
    from explint.trace import facts as f

    for _, event in program.events_of(f.LibraryCall):
        name = event.name.replace("()", "")
        if _RUNS_STUDY.search(name) or _STUDY.search(f"{name}("):
            return True
    return False


@rule("optuna/invalid-search-space", code="OPT003", severity=Severity.ERROR, criteria=(7,))
def invalid_search_space(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A search space is one that Optuna, or the code that reads it, rejects.

    ## What it does
    Checks every entry of `optuna.search_space` and `optuna.search_spaces` in run configs that ask
    for trials: a type that no branch of the code takes, a lower bound above the upper one (an
    equal one is a warning), a logarithmic scale from zero or below, a step of zero or on a
    logarithmic scale, no choices, and bounds that are no numbers. A direction that is neither
    `minimize` nor `maximize` when it reaches `create_study` is one too.

    ## Why is this bad
    `suggest_float` and its relatives raise `ValueError` in the first trial, and the run stops
    before any training.

    ## Example
    ```yaml
    optuna:
      n_trials: 20
      search_space:
        weight_decay:
          type: loguniform
          low: 0.0
          high: 0.01
    ```

    ## Use instead
    ```yaml
    optuna:
      n_trials: 20
      search_space:
        weight_decay:
          type: loguniform
          low: 1.0e-6
          high: 0.01
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [Optuna: Trial](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.trial.Trial.html)
    """
    found: dict[tuple[str, str, str], list[tuple[Search, Mark, Severity | None]]] = {}
    for search in searches(experiment):
        if not search.is_on:
            continue
        for entry in search.entries:
            for problem in _problems(entry):
                mark = search.mark(*problem.at[1:])
                key = (entry.name, problem.message, problem.help)
                found.setdefault(key, []).append((search, mark, problem.severity))
    for (_, message, help_), places in found.items():
        search, mark, severity = places[0]
        yield Hit(
            path=search.run.path,
            line=mark.line,
            column=mark.column,
            message=message,
            help=help_,
            severity=severity,
            related=tuple(
                Related(path=s.run.path, line=m.line, message="It is the same here.")
                for s, m, _ in places[1:]
            ),
            runs=tuple(s.run_id for s, _, _ in places),
        )
    yield from _unhandled_types(experiment)
    yield from _directions(experiment)


class _Problem(msgspec.Struct, frozen=True):
    at: tuple[str | int, ...]
    message: str
    help: str
    severity: Severity | None = None


def _problems(entry: Entry) -> Iterator[_Problem]:
    name, kind = entry.name, entry.kind
    low, high = entry.low, entry.high
    if kind in _CATEGORICAL_KINDS and kind not in ("bool", "boolean"):
        choices = entry.choices
        if isinstance(choices, list) and not choices:
            yield _Problem(
                entry.key_of(("choices", "values", "options", "categories")),
                f"The search space of `{name}` has no choices.",
                "List the values to choose from under `choices`.",
            )
        return
    for bound, names in ((low, ("low", "min", "lower")), (high, ("high", "max", "upper"))):
        if isinstance(bound, str) and "${" not in bound and not _is_number(bound):
            yield _Problem(
                entry.key_of(names),
                f'The search space of `{name}` has the bound "{bound}", which is no number.',
                "Write the bound as a number.",
            )
            return
    if not _numeric(low) or not _numeric(high):
        return
    if low > high:
        yield _Problem(
            entry.key_of(("low", "min", "lower")),
            f"The search space of `{name}` has the lower bound {low} above the upper one {high}.",
            "Swap the bounds.",
        )
    elif low == high:
        yield _Problem(
            entry.key_of(("low", "min", "lower")),
            f"The search space of `{name}` holds the one value {low}: both bounds are equal.",
            "Widen the bounds, or take the entry out of the search.",
            Severity.WARNING,
        )
    is_int = kind in _INT_KINDS
    if (entry.log and low < (1 if is_int else 0)) or (entry.log and low == 0):
        yield _Problem(
            entry.key_of(("low", "min", "lower")),
            f"The search space of `{name}` is logarithmic and begins at {low}.",
            "Begin at 1 or above." if is_int else "Begin above zero, such as `low: 1.0e-6`.",
        )
    step = entry.fields.get("step")
    if _numeric(step):
        if step <= 0:
            yield _Problem(
                entry.key_of(("step",)),
                f"The search space of `{name}` has the step {step}.",
                "Give a step above zero, or none.",
            )
        elif entry.log and (not is_int or step != 1):
            yield _Problem(
                entry.key_of(("step",)),
                f"The search space of `{name}` has a step on a logarithmic scale.",
                "Take out the step, or the logarithmic scale.",
            )


def _numeric(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unhandled_types(experiment: Experiment) -> Iterator[Hit]:
    """Entries whose type no branch of the code takes, so that it raises or leaves them out."""
    known = _FLOAT_KINDS | _INT_KINDS | _CATEGORICAL_KINDS
    texts = list(sources(experiment).values())
    told: dict[tuple[str, str], tuple[Search, Pass, list[str]]] = {}
    complete = not _without_text(experiment)
    for program, search, one in each_pass(experiment):
        kind = one.entry.kind
        if one.suggestions or kind is None:
            continue
        key = (one.entry.name, kind)
        told.setdefault(key, (search, one, []))[2].append(program.run_id)
    by_pass = set(told)
    for search in searches(experiment) if complete else ():
        for entry in search.entries if search.is_on else ():
            kind = entry.kind
            if kind is None or kind in known or (entry.name, kind) in by_pass:
                continue
            if not mentions_optuna(experiment) or any(kind in text.lower() for text in texts):
                continue
            told.setdefault((entry.name, kind), (search, None, []))[2].append(search.run_id)  # type: ignore[arg-type]
    for (name, kind), (search, _, runs) in told.items():
        entry = next(e for e in search.entries if e.name == name)
        mark = search.mark(*entry.key_of(("type", "distribution", "dist", "kind"))[1:])
        yield Hit(
            path=search.run.path,
            line=mark.line,
            column=mark.column,
            message=f"The search space of `{name}` is of the type `{kind}`, which no branch of the "
            "code samples.",
            help="Add a branch for the type, or write one that the code knows.",
            runs=tuple(dict.fromkeys(runs)),
        )


def _directions(experiment: Experiment) -> Iterator[Hit]:
    from explint.trace.specialise import evaluate

    if not mentions_optuna(experiment):
        return
    told: dict[tuple[str, int], tuple[Program, f.LibraryCall, str, dict[str, None]]] = {}
    for program in programs(experiment).under(cheap=False):
        for event in studies(program):
            value = dict(event.kwargs).get("direction")
            given = None if value is None else evaluate(value, program.env)
            if isinstance(given, str) and given not in ("minimize", "maximize"):
                key = (program.path_of(event.place), event.place.line)
                told.setdefault(key, (program, event, given, {}))[3].setdefault(program.run_id)
    for (path, line), (_, event, given, runs) in told.items():
        right = "maximize" if given.lower().startswith("max") else "minimize"
        yield Hit(
            path=path,
            line=line,
            column=event.place.column,
            message=f'The direction of the study is "{given}", which Optuna does not take.',
            help=f"Write `{right}`; Optuna knows `minimize` and `maximize`.",
            runs=tuple(runs),
        )


@rule("optuna/default-outside-range", code="OPT007", severity=Severity.INFO, criteria=(7,))
def default_outside_range(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The configured value lies outside of the range that is searched.

    ## What it does
    Compares the value a run config gives a parameter with the search space of the same name. Names
    that stand for no one value of the run config are left alone.

    ## Why is this bad
    Either the range or the value is a slip: the search cannot find the value that the run uses
    without it.

    ## Example
    ```yaml
    training:
      learning_rate: 0.1
    optuna:
      search_space:
        training.learning_rate: {type: loguniform, low: 1.0e-5, high: 1.0e-3}
    ```

    ## Use instead
    ```yaml
    training:
      learning_rate: 0.0001
    ```

    ## References
    - Criterion 7 of the experiment protocol
    """
    for search in searches(experiment):
        if not search.is_on:
            continue
        for entry in search.entries:
            found = _configured(search, entry.name)
            if found is None:
                continue
            at, value = found
            low, high, choices = entry.low, entry.high, entry.choices
            if isinstance(choices, list) and choices:
                outside = value not in choices
                said = f"is not among the choices {', '.join(map(str, choices))}"
            elif _numeric(low) and _numeric(high) and _numeric(value):
                outside = not low <= value <= high
                said = f"lies outside of the range from {low} to {high}"
            else:
                continue
            if outside:
                mark = search.doc.at(at) or Mark(1, 1, 1, 1)
                yield Hit(
                    path=search.run.path,
                    line=mark.line,
                    column=mark.column,
                    message=f"`{'.'.join(map(str, at))}` is {value}, which {said} that is "
                    "searched for it.",
                    help="Widen the search space to hold the value, or correct the value.",
                    related=(
                        Related(
                            path=search.run.path,
                            line=search.mark(*entry.at[1:]).line,
                            message="The search space.",
                        ),
                    ),
                    runs=(search.run_id,),
                )


def _configured(search: Search, name: str) -> tuple[tuple[str | int, ...], object] | None:
    """The one value of a run config that a search space's name stands for."""
    value: Any = search.doc.value
    keys = tuple(name.removeprefix("run.").split("."))
    for key in keys:
        value = value.get(key, _NOTHING) if isinstance(value, dict) else _NOTHING
    if value is not _NOTHING:
        return keys, value
    if len(keys) > 1:
        return None
    found = list(_leaves(search.doc.value, (), keys[0]))
    return found[0] if len(found) == 1 else None


_NOTHING = object()


def _leaves(
    value: Any,  # noqa: ANN401
    at: tuple[str | int, ...],
    name: str,
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not at and key == "optuna":
                continue
            if key == name and not isinstance(inner, dict):
                yield (*at, key), inner
            else:
                yield from _leaves(inner, (*at, key), name)


@rule("optuna/direction", code="OPT008", severity=Severity.WARNING, criteria=(7,))
def direction(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The direction of the search contradicts its metric.

    ## What it does
    Compares `optuna.direction` with `optuna.metric`: a loss or an error that is maximised, an
    accuracy that is minimised. It also reports a study that is created without a direction, which
    minimises, while the run config says `maximize`.

    ## Why is this bad
    The search looks for the worst parameters, and the final run trains with them.

    ## Example
    ```yaml
    optuna:
      direction: minimize
      metric: val_accuracy
    ```

    ## Use instead
    ```yaml
    optuna:
      direction: maximize
      metric: val_accuracy
    ```

    ## References
    - Criterion 7 of the experiment protocol
    - [Optuna: create_study](https://optuna.readthedocs.io/en/stable/reference/generated/optuna.study.create_study.html)
    """
    for search in searches(experiment):
        given, metric = search.section.get("direction"), search.section.get("metric")
        if not search.is_on or not isinstance(given, str) or not isinstance(metric, str):
            continue
        better = _better(metric)
        if better is None or given.lower()[:3] == better[:3]:
            continue
        if given.lower()[:3] not in ("min", "max"):
            continue
        mark = search.mark("direction")
        yield Hit(
            path=search.run.path,
            line=mark.line,
            column=mark.column,
            message=f"The search is to {given} `{metric}`, of which "
            f"{'less' if better == 'minimize' else 'more'} is better.",
            help=f"Write `direction: {better}`.",
            runs=(search.run_id,),
        )
    if not mentions_optuna(experiment):
        return
    wanted = {s.run_id: s for s in searches(experiment) if s.is_on}
    told: set[tuple[str, int]] = set()
    for program in programs(experiment).under(cheap=False):
        found = wanted.get(program.run_id)
        if found is None or found.section.get("direction") != "maximize":
            continue
        for event in studies(program):
            names = {name for name, _ in event.kwargs}
            at = (program.path_of(event.place), event.place.line)
            if names & {"direction", "directions", "**", "study_name"} or event.args or at in told:
                continue
            told.add(at)
            mark = found.mark("direction")
            yield Hit(
                path=at[0],
                line=at[1],
                column=event.place.column,
                message="The study is created without a direction, so that it minimises, while the "
                "run config says `maximize`.",
                help="Write `optuna.create_study(direction=cfg.run.optuna.direction)`.",
                related=(
                    Related(path=found.run.path, line=mark.line, message="The direction is here."),
                ),
                runs=(program.run_id,),
            )


def _better(metric: str) -> str | None:
    """Which way a metric gets better, as far as its name says."""
    words = re.split(r"[^a-z0-9]+", metric.lower())
    joined = "_".join(w for w in words if w)
    low = any(w in _BETTER_LOW for w in words)
    high = any(w in _BETTER_HIGH for w in words) or joined in _BETTER_HIGH
    if low == high:
        return None
    return "minimize" if low else "maximize"
