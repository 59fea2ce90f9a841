"""Search spaces of run configs, and what a program does with each of their entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from explint.compose.yaml import Mark, YamlDocument
from explint.rules.programs import Program, programs

if TYPE_CHECKING:
    from explint.experiment import Experiment, RunConfig
    from explint.trace import facts as f
    from explint.trace.specialise import Env

SUGGESTIONS: Final = frozenset(
    {
        "suggest_float",
        "suggest_int",
        "suggest_categorical",
        "suggest_uniform",
        "suggest_loguniform",
        "suggest_discrete_uniform",
    }
)
"""The methods of ``optuna.Trial`` that sample a value (optuna 5.0)."""

_SPACES = ("search_space", "search_spaces", "space", "spaces", "param_space", "params")
_NAMES = ("name", "param_name", "param", "parameter", "key", "path", "target")
_LOW = ("low", "min", "lower", "minimum")
_HIGH = ("high", "max", "upper", "maximum")
_CHOICES = ("choices", "values", "options", "categories")
_TYPES = ("type", "distribution", "dist", "kind")
_FIELDS = frozenset({*_LOW, *_HIGH, *_CHOICES, *_TYPES, "log", "step"})
_DEPTH = 4

Number = int | float


class Entry(msgspec.Struct, frozen=True):
    """One entry of a search space, as a run config writes it.

    ``name`` is the parameter's, dotted where the entry stands in sections of its own. ``at`` is the
    path of the entry in the run config, ``fields`` what it holds.
    """

    name: str
    at: tuple[str | int, ...]
    fields: Mapping[Any, Any]

    @property
    def kind(self) -> str | None:
        """The type of the entry in lower case, None where it names none."""
        found = self.field(_TYPES)
        return found.strip().lower() if isinstance(found, str) else None

    @property
    def low(self) -> object:
        """The lower bound."""
        return self.field(_LOW)

    @property
    def high(self) -> object:
        """The upper bound."""
        return self.field(_HIGH)

    @property
    def choices(self) -> object:
        """The values to choose from."""
        return self.field(_CHOICES)

    @property
    def log(self) -> bool:
        """Whether it is sampled on a logarithmic scale."""
        kind = (self.kind or "").replace("_", "").replace("-", "")
        return self.fields.get("log") is True or kind in (
            "loguniform", "logfloat", "floatlog", "logint", "intlog", "intloguniform", "qloguniform"
        )  # fmt: skip

    def field(self, names: Sequence[str]) -> object:
        """The first of these keys that the entry has, None where it has none."""
        return next((self.fields[n] for n in names if n in self.fields), None)

    def key_of(self, names: Sequence[str]) -> tuple[str | int, ...]:
        """The path of the first of these keys in the run config."""
        return (*self.at, next((n for n in names if n in self.fields), names[0]))


class Search(msgspec.Struct, frozen=True):
    """What a run config says of the search: ``section`` is ``optuna``, ``trials`` how many."""

    run: RunConfig
    doc: YamlDocument
    section: Mapping[Any, Any]
    trials: int
    entries: tuple[Entry, ...]

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def is_on(self) -> bool:
        """Whether the config asks for trials."""
        return self.trials > 0 and self.section.get("enabled") is not False

    def mark(self, *path: str | int) -> Mark:
        """Where a value of the section stands."""
        at = ("optuna", *path)
        while at:
            found = self.doc.key_at(at) or self.doc.at(at)
            if found is not None:
                return found
            at = at[:-1]
        return Mark(1, 1, 1, 1)


def searches(experiment: Experiment) -> tuple[Search, ...]:
    """The searches that the run configs describe, on or off, in order of run."""
    found: tuple[Search, ...] | None = experiment.shared.get("searches")
    if found is None:
        found = experiment.shared["searches"] = tuple(_searches(experiment))
    return found


def _searches(experiment: Experiment) -> Iterator[Search]:
    for run in experiment.run_configs():
        if not run.is_run or not isinstance(run.doc, YamlDocument):
            continue
        value = run.doc.value
        section = value.get("optuna") if isinstance(value, dict) else None
        if not isinstance(section, dict):
            continue
        trials = section.get("n_trials")
        number = trials if isinstance(trials, int) and not isinstance(trials, bool) else 0
        found: list[Entry] = []
        for key in _SPACES:
            if key in section:
                found.extend(_entries(section[key], ("optuna", key), "", 0))
        yield Search(run, run.doc, section, number, tuple(found))


def _entries(space: Any, at: tuple[str | int, ...], prefix: str, depth: int) -> Iterator[Entry]:  # noqa: ANN401
    if depth > _DEPTH:
        return
    if isinstance(space, list):
        for number, inner in enumerate(space):
            if isinstance(inner, dict):
                name = next((inner[n] for n in _NAMES if isinstance(inner.get(n), str)), None)
                if name is not None:
                    yield Entry(name, (*at, number), inner)
        return
    if not isinstance(space, dict):
        return
    for key, inner in space.items():
        if not isinstance(inner, dict):
            continue
        name = f"{prefix}{key}"
        if _FIELDS & inner.keys():
            yield Entry(name, (*at, key), inner)
        else:
            yield from _entries(inner, (*at, key), f"{name}.", depth + 1)


def mentions_optuna(experiment: Experiment) -> bool:
    """Whether any module of the package speaks of Optuna."""
    return any("optuna" in text for text in sources(experiment).values())


def sources(experiment: Experiment) -> dict[str, str]:
    """The texts of the package's Python files."""
    found: dict[str, str] | None = experiment.shared.get("sources")
    if found is None:
        texts = {
            path: experiment.text(path)
            for path in sorted(experiment.package.files)
            if path.endswith(".py")
        }
        found = {path: text for path, text in texts.items() if text}
        experiment.shared["sources"] = found
    return found


# ---- an entry's way through a program ----


class Suggestion(msgspec.Struct, frozen=True):
    """A call of ``suggest_*`` for one entry: what it is handed is evaluated under ``env``, in which
    the loop over the search space has come to the entry."""

    entry: Entry
    number: int
    event: f.LibraryCall
    state: bool | None
    env: Env

    @property
    def method(self) -> str:
        """``suggest_float``, ``suggest_int`` …"""
        return self.event.name.rpartition(".")[2]


class Pass(msgspec.Struct, frozen=True):
    """One entry's way through the loop over the search space of a program.

    ``loop`` is the number of the loop, ``suggestions`` the calls that may sample the entry: none
    where no branch takes it.
    """

    entry: Entry
    loop: int
    env: Env
    suggestions: tuple[Suggestion, ...]


def passes(program: Program, search: Search) -> list[Pass]:
    """The way of each entry through each loop of a program that goes over the search space."""
    from explint.trace import facts as f

    trace = program.trace
    by_loop: dict[int, list[tuple[int, f.LibraryCall]]] = {}
    for number, event in program.events_of(f.LibraryCall):
        if event.name.rpartition(".")[2] in SUGGESTIONS:
            for loop in _loops_around(event.guard, program):
                if _goes_over(loop, program, search) is not None:
                    by_loop.setdefault(loop, []).append((number, event))
                    break
    found = []
    for loop, calls in by_loop.items():
        over = _goes_over(loop, program, search)
        for entry in search.entries:
            env = _bound(program, trace, loop, entry, over)
            if env is None:
                continue
            suggestions = []
            for number, event in calls:
                state = decide_under(event.guard, env)
                if state is not False:
                    suggestions.append(Suggestion(entry, number, event, state, env))
            found.append(Pass(entry, loop, env, tuple(suggestions)))
    return found


def decide_under(guard: int, env: Env) -> bool | None:
    """Whether an event happens once the loops and callbacks around it do run."""
    from explint.trace import facts as f
    from explint.trace.specialise import condition

    state: bool | None = True
    while guard:
        row = env.entry.guards[guard]
        truth = condition(row.condition, env)
        if truth is None:
            if not isinstance(env.entry.values[row.condition], f.Ran | f.Called):
                state = None
        elif truth != row.expected:
            return False
        guard = row.parent
    return state


def _loops_around(guard: int, program: Program) -> Iterator[int]:
    from explint.trace import facts as f

    trace = program.trace
    while guard:
        row = trace.guards[guard]
        value = trace.values[row.condition]
        if isinstance(value, f.Ran) and row.expected:
            yield value.loop
        guard = row.parent


def _goes_over(loop: int, program: Program, search: Search) -> Any:  # noqa: ANN401
    """The search space that a loop goes over, as the program's config holds it; None if none."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    trace = program.trace
    over = trace.values[trace.loops[loop].over]
    at = trace.loops[loop].over
    if isinstance(over, f.CallValue):
        callee = trace.values[over.callee]
        if not (isinstance(callee, f.Library) and callee.name in ("items", "keys", "enumerate")):
            return None
        if not over.args:
            return None
        at = over.args[0]
    if not isinstance(trace.values[at], f.Config):
        return None
    space = evaluate(at, program.env)
    names = {entry.name for entry in search.entries}
    if isinstance(space, Mapping):
        return space if space and set(space) <= names else None
    if isinstance(space, list) and all(isinstance(one, Mapping) for one in space):
        given = {next((o[n] for n in _NAMES if n in o), None) for o in space}
        return space if space and given <= names else None
    return None


def _bound(
    program: Program,
    trace: f.EntryTrace,
    loop: int,
    entry: Entry,
    space: Any,  # noqa: ANN401
) -> Env | None:
    """The program's values in the iteration of a loop that comes to the entry."""
    from explint.trace import facts as f
    from explint.trace.specialise import evaluate

    env = msgspec.structs.replace(program.env, _values={}, _truths={}, _guards={})
    inner: Any = None
    if isinstance(space, list):
        inner = next((o for o in space if any(o.get(n) == entry.name for n in _NAMES)), None)
        if inner is None:
            return None
    elif entry.name not in space:
        return None
    bound: set[int] = set()
    elements: list[tuple[int, f.Key | f.Element]] = [
        *trace.values_of(f.Key),
        *trace.values_of(f.Element),
    ]
    for value, row in elements:
        over = trace.values[row.of]
        same = row.loop == loop
        if isinstance(over, f.Config) and (same or evaluate(row.of, program.env) == space):
            env._values[value] = entry.name if inner is None else inner
            bound.add(value)
    if not bound:
        return None
    # `for key, value in sampled.items()` behind it: the only pair is the one of this iteration.
    for value, item in trace.values_of(f.Item):
        over = trace.values[item.of]
        if isinstance(over, f.Element):
            pair = _pair(trace, over.of)
            key = trace.values[item.key]
            if pair is not None and isinstance(key, f.Literal) and key.value == 0:
                name = evaluate(pair[0], env)
                if isinstance(name, str):
                    env._values[value] = name
    return env


def _pair(trace: f.EntryTrace, over: int) -> tuple[int, int] | None:
    """The one kind of pair in a dict of which ``over`` is ``.items()``."""
    from explint.trace import facts as f

    row = trace.values[over]
    if not isinstance(row, f.CallValue):
        return None
    callee = trace.values[row.callee]
    if isinstance(callee, f.Attribute) and callee.name == "items" and not row.args:
        source = callee.of
    elif isinstance(callee, f.Library) and callee.name == "items" and len(row.args) == 1:
        source = row.args[0]
    else:
        return None
    pairs: set[tuple[int, int]] = set()
    stack, seen = [source], set()
    while stack:
        at = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        match trace.values[at]:
            case f.Select(yes=yes, no=no):
                stack += [yes, no]
            case f.DictValue(items=items):
                for key, value in items:
                    if isinstance(trace.values[key], f.Star):
                        return None
                    pairs.add((_plain(trace, key), _plain(trace, value)))
            case f.UnknownValue(reason="loop"):
                pass
            case _:
                return None
    keys = {key for key, _ in pairs}
    return next(iter(sorted(pairs))) if len(keys) == 1 else None


def _plain(trace: f.EntryTrace, value: int) -> int:
    from explint.trace import facts as f

    row = trace.values[value]
    return row.value if isinstance(row, f.Each) else value


def each_pass(experiment: Experiment) -> Iterator[tuple[Program, Search, Pass]]:
    """Every entry's way through every program that searches."""
    found: list[tuple[Program, Search, Pass]] | None = experiment.shared.get("search passes")
    if found is None:
        found = []
        by_run = {s.run_id: s for s in searches(experiment) if s.is_on and s.entries}
        if by_run and mentions_optuna(experiment):
            for program in programs(experiment).under(cheap=False):
                search = by_run.get(program.run_id)
                if search is not None and program.known:
                    found.extend((program, search, one) for one in passes(program, search))
        experiment.shared["search passes"] = found
    yield from found


def studies(program: Program) -> Iterator[f.LibraryCall]:
    """The calls that surely create a study, once the program comes to them."""
    from explint.trace import facts as f

    for _, event in program.events_of(f.LibraryCall):
        if event.name in (
            "optuna.create_study",
            "optuna.study.create_study",
        ) and program.certain.happens(event.guard):
            yield event


def optimised(program: Program) -> Iterator[tuple[int, f.LibraryCall]]:
    """The calls of ``optimize`` of studies that the program makes, where they surely happen."""
    from explint.trace import facts as f

    for number, event in program.events_of(f.LibraryCall):
        if (
            event.name.startswith("optuna.")
            and event.name.endswith("().optimize")
            and program.certain.happens(event.guard)
        ):
            yield number, event
