"""Rules about what the run configs ask for and what the code makes of it: criterion 4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from explint.compose.yaml import YamlDocument
from explint.model import Related, Severity
from explint.package import FileState
from explint.rules.programs import Program, is_cut, programs
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment, RunConfig
    from explint.trace import facts as f

Keys = tuple[str, ...]

# What other rules judge, or what steers no science.
_APART: Final = frozenset({"mode", "trial_mode", "wandb", "hydra", "optuna", "run_id"})

_LOADERS: Final = re.compile(
    r"^timm\.create_model$|^torchvision\.models\.get_model$|^torch\.hub\.load$"
    r"|(?<!Tokenizer)(?<!Processor)(?<!TokenizerFast)(?<!Config)\.from_pretrained$"
)
_CHECKPOINTS: Final = re.compile(
    r"(pretrained_|model_|base_)?(checkpoint|weights)(_name)?|pretrained_model(_name(_or_path)?)?"
    r"|model_name_or_path|hf_(model|name|id)|hub_id"
)
_MODEL_SECTIONS: Final = ("model", "method")

# A setting of a layer: the keys that name it, the calls that take it, and under which name.
_SETTINGS: Final[tuple[tuple[re.Pattern[str], re.Pattern[str], str, int | None], ...]] = (
    (re.compile(r"dropout(_rate|_prob|_p)?"), re.compile(r"^torch\.nn\.Dropout$"), "p", 0),
    (re.compile(r"pretrained"), re.compile(r"^timm\.create_model$"), "pretrained", None),
    (re.compile(r"(lora_)?(r|rank)"), re.compile(r"^peft\.LoraConfig$"), "r", None),
    (re.compile(r"(lora_)?alpha"), re.compile(r"^peft\.LoraConfig$"), "lora_alpha", None),
    (re.compile(r"lora_dropout"), re.compile(r"^peft\.LoraConfig$"), "lora_dropout", None),
)

# Where a value goes to be seen, kept or used in a path, and decides nothing of the training.
_SHOWN: Final = re.compile(
    r"(^|\.)(print|pprint|info|debug|warning|error|log|save|dump|dumps|mkdir|makedirs|exists|open"
    r"|write|write_text|to_yaml|resolve|set_struct|isinstance|len|str|repr|format|join|Path"
    r"|expanduser|absolute|finish|startswith|getLogger|basicConfig|set_postfix|set_description"
    r"|tqdm)$"
    r"|^wandb\.|^pathlib\.|^os\.path\.|^json\.dump|^yaml\.|^omegaconf\.|^torch\.save$|^rich\."
    r"|^subprocess\.|^sys\.|^os\.(environ|makedirs)"
)


@rule("model/unhandled-method", code="MDL001", severity=Severity.ERROR, criteria=(4,))
def unhandled_method(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A name that a run config gives is handled by no branch of the code.

    ## What it does
    Takes each run through the training program and reports where it surely ends in an exception
    because a name of its config (of the method, the model, the dataset, the optimizer …) equals
    none of the names that the branches before the `raise` compare it with, is in no collection that
    they look in, or is no key of the dict that is asked for it.

    Exceptions that a handler takes and goes on from are no findings, nor is a chain of branches
    that ends in a default. The trial switch and the W&B, Optuna and Hydra sections are judged by
    other rules.

    ## Why is this bad
    The run stops, often only after the data was downloaded. Where the name is that of the proposed
    or of a comparative method, the comparison that the experiment is about has one side.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    method:
      name: smoothed-cross-entropy
    ```
    `src/model.py`:
    ```python
    if cfg.run.method.name == "label-smoothing":
        return nn.CrossEntropyLoss(label_smoothing=cfg.run.method.smoothing)
    raise ValueError(cfg.run.method.name)
    ```

    ## Use instead
    ```python
    if cfg.run.method.name in ("label-smoothing", "smoothed-cross-entropy"):
        return nn.CrossEntropyLoss(label_smoothing=cfg.run.method.smoothing)
    raise ValueError(cfg.run.method.name)
    ```

    ## References
    - Criterion 4 of the experiment protocol
    """
    from explint.trace import facts as f

    seen = programs(experiment)
    yield from seen.unknown
    found: dict[tuple[str, int, str], _Refusal] = {}
    for program in seen.programs:
        if not program.known:
            continue
        for _, event in program.events_of(f.Lookup, f.Raise):
            refused = _refused(event, program)
            if refused is None:
                continue
            at, value, names = refused
            key = (program.path_of(event.place), event.place.line, value)
            refusal = found.setdefault(key, _Refusal(event, at, value, names))
            refusal.runs.setdefault(program.run_id)
            if program.mode is not None:
                refusal.modes.setdefault(program.mode.name)
            break
    for (path, line, _), refusal in found.items():
        handled = " or ".join(f"`{name}`" for name in refusal.names[:4])
        place = refusal.event.place
        yield Hit(
            path=path,
            line=line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`{'.'.join(refusal.at)}` is `{refusal.value}`, which no branch handles, so "
            "that the run ends here.",
            help=f"Add a branch for `{refusal.value}`"
            + (f", or choose {handled} in the run config." if handled else "."),
            related=tuple(
                Related(path=run.path, line=mark, message=f"`{refusal.value}` is set here.")
                for run in experiment.run_configs()
                if run.run_id in refusal.runs and (mark := _line_of(run, refusal.at)) is not None
            ),
            runs=tuple(refusal.runs),
            modes=tuple(refusal.modes),
        )


class _Refusal(msgspec.Struct):
    event: f.Event
    at: Keys
    value: str
    names: list[str]
    runs: dict[str, None] = msgspec.field(default_factory=dict)
    modes: dict[str, None] = msgspec.field(default_factory=dict)


def _refused(event: f.Event, program: Program) -> tuple[Keys, str, list[str]] | None:
    """The config key whose name ends the run at an event, that name, and the names that do not."""
    from explint.trace import facts as f

    if isinstance(event, f.Lookup):
        values = program.trace.values
        table = values[event.of]
        if not isinstance(table, f.DictValue) or not program.certain.happens(event.guard):
            return None
        names = _names(event.of, program)
        given = _given(event.key, program)
        if names is None or given is None or given[1] in names:
            return None
        return (*given, names)
    if not isinstance(event, f.Raise) or not event.guard:
        return None
    trace = program.trace
    guard, key, handled = event.guard, None, list[str]()
    while guard:
        row = trace.guards[guard]
        test = _membership(row.condition, program, expected=row.expected)
        if test is None or (key is not None and test[0] != key):
            break
        key, _, names = test
        handled = [*names, *handled]
        guard = row.parent
    if key is None or not program.certain.happens(guard):
        return None
    return (*key, list(dict.fromkeys(handled)))


def _membership(
    value: f.ValueId, program: Program, *, expected: bool
) -> tuple[tuple[Keys, str], str, list[str]] | None:
    """A condition that holds because a config value is none of some names: the value and the
    names; None for another condition."""
    from explint.trace import facts as f

    row = program.trace.values[value]
    if isinstance(row, f.Not):
        return _membership(row.value, program, expected=not expected)
    if isinstance(row, f.All):
        # What an earlier chain of branches left over.
        return None
    if not isinstance(row, f.Compare):
        return None
    if row.op == "is" and expected:
        # `table.get(name) is None`
        call, none = program.trace.values[row.left], program.trace.values[row.right]
        if not (isinstance(none, f.Literal) and none.value is None):
            return None
        if not isinstance(call, f.CallValue) or len(call.args) != 1:
            return None
        callee = program.trace.values[call.callee]
        if not isinstance(callee, f.Attribute) or callee.name != "get":
            return None
        names, given = _names(callee.of, program), _given(call.args[0], program)
    elif row.op in ("==", "in") and not expected:
        names, given = _names(row.right, program), _given(row.left, program)
        if row.op == "==" and (names is None or given is None):
            names, given = _names(row.left, program), _given(row.right, program)
    else:
        return None
    if names is None or given is None or not names or given[1] in names:
        return None
    return given, given[1], names


def _names(value: f.ValueId, program: Program) -> list[str] | None:
    """The names that a value is, holds or has as keys; None where they are not all known."""
    from explint.trace import facts as f

    row = program.trace.values[value]
    items: Sequence[int]
    match row:
        case f.Literal() if isinstance(row.value, str):
            return [row.value]
        case f.ListValue() | f.TupleValue() | f.SetValue() if not row.open:
            items = row.items
        case f.DictValue() if not row.open:
            items = [key for key, _ in row.items]
        case f.CallValue() if (
            isinstance(callee := program.trace.values[row.callee], f.Attribute)
            and callee.name == "keys"
            and not row.args
        ):
            return _names(callee.of, program)
        case _:
            return None
    literals = [program.trace.values[item] for item in items]
    found = [r.value for r in literals if isinstance(r, f.Literal) and isinstance(r.value, str)]
    return found if len(found) == len(items) else None


def _given(value: f.ValueId, program: Program) -> tuple[Keys, str] | None:
    """The config key that a name is made of, and the name; None for what is none."""
    from explint.rules.flow import parts
    from explint.trace import facts as f
    from explint.trace.specialise import Unknown as NotKnown
    from explint.trace.specialise import evaluate, keys_of

    trace = program.trace
    if isinstance(trace.values[value], f.Literal):
        return None
    name = evaluate(value, program.env)
    if not isinstance(name, str) or not name:
        return None
    paths: set[Keys] = set()
    for part in parts(trace, value):
        row = trace.values[part]
        if isinstance(row, f.Config):
            keys = keys_of(row.path, program.env)
            if isinstance(keys, NotKnown):
                return None
            paths.add(tuple(map(str, keys)))
    if len(paths) != 1:
        return None
    (path,) = paths
    return None if not path or _APART & set(path) else (path, name)


def _line_of(run: RunConfig, keys: Sequence[str]) -> int | None:
    """Where a run config sets a key of the composed config; None where it does not."""
    if not isinstance(run.doc, YamlDocument):
        return None
    own = tuple(keys[1:]) if keys[:1] == ("run",) else tuple(keys)
    mark = run.doc.key_at(own)
    return None if mark is None else mark.line


@rule("model/config-ignored", code="MDL002", severity=Severity.ERROR, criteria=(4,))
def config_ignored(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A setting of the model stands in the code, and the run config's own is not read.

    ## What it does
    Looks for keys of the sections `model` and `method` that no code reads while the call that they
    are meant for is handed something written in the code: a pretrained checkpoint
    (`timm.create_model("…")`, `from_pretrained("…")`), `pretrained`, the rate of `nn.Dropout`, and
    the rank, alpha and dropout of `peft.LoraConfig`.

    A checkpoint is reported even where both sides agree today: the config does not decide it. Other
    settings are reported where the code has another value than a run. Keys of a section that the
    code takes as a whole, and keys whose name stands anywhere in the code, are not judged.

    ## Why is this bad
    The run config is the record of what was compared. A run that asks for another checkpoint gets
    the one in the code, and its result is reported under the wrong name.

    ## Example
    ```python
    model = timm.create_model("resnet18.a1_in1k", pretrained=True)
    ```
    with `pretrained_checkpoint: resnet50.a1_in1k` under `model` in the run config.

    ## Use instead
    ```python
    model = timm.create_model(cfg.run.model.pretrained_checkpoint, pretrained=True)
    ```

    ## References
    - Criterion 4 of the experiment protocol
    """
    for ignored in hard_coded(experiment).values():
        key = ".".join(ignored.keys)
        place = ignored.event.place
        listed = " and ".join(f"`{v}`" for v in dict.fromkeys(map(str, ignored.runs.values())))
        yield Hit(
            path=ignored.path,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`{ignored.value}` stands in the code, and nothing reads `{key}`, which the "
            f"run configs set to {listed}.",
            help=f"Hand over the config's `{key}` instead.",
            related=tuple(
                Related(path=run.path, line=mark, message=f"`{key}` is set here.")
                for run in experiment.run_configs()
                if run.run_id in ignored.runs and (mark := _line_of(run, ignored.keys)) is not None
            ),
            runs=tuple(ignored.runs),
        )


class HardCoded(msgspec.Struct):
    """A key of the run configs, by run what it says, and the call that is handed another value."""

    keys: Keys
    path: str
    event: f.LibraryCall
    value: str | int | float | bool
    runs: dict[str, Any] = msgspec.field(default_factory=dict)


def hard_coded(experiment: Experiment) -> dict[Keys, HardCoded]:
    """The unread keys of the model of which a call of the code is handed another value."""
    found: dict[Keys, HardCoded] | None = experiment.shared.get("hard-coded model settings")
    if found is None:
        found = {h.keys: h for h in _hard_coded(experiment)}
        experiment.shared["hard-coded model settings"] = found
    return found


def _hard_coded(experiment: Experiment) -> Iterator[HardCoded]:
    from explint.rules.usage import code_words, taken_whole

    if not _is_whole(experiment):
        return
    runs = [
        run
        for run in experiment.run_configs()
        if run.is_run and isinstance(run.doc, YamlDocument) and isinstance(run.doc.value, dict)
    ]
    words = code_words(experiment)
    unread: dict[Keys, dict[str, Any]] = {}
    for run in runs:
        assert isinstance(run.doc, YamlDocument)
        for section in _MODEL_SECTIONS:
            for keys, value in _leaves(run.doc.value.get(section), (section,)):
                if keys[-1] not in words:
                    unread.setdefault(keys, {})[run.run_id] = value
    if not unread:
        return
    taken = taken_whole(experiment)
    if taken is not None:
        unread = {
            keys: said
            for keys, said in unread.items()
            if not any(keys[:n] in taken for n in range(len(keys) + 1))
        }
    for keys, said in unread.items():
        call = _meant(experiment, keys, said)
        if call is not None:
            path, event, value = call
            yield HardCoded(keys, path, event, value, said)


def _is_whole(experiment: Experiment) -> bool:
    """Whether every module that the protocol asks for is there to be read: it allows no other, so
    that a record that holds them holds all of the code."""
    jobs = experiment.profile.files.jobs
    return bool(jobs) and all(
        experiment.state(path) is FileState.PRESENT and experiment.text(path)
        for path in (*jobs, *(p for p in experiment.package.files if p.endswith(".py")))
    )


def _leaves(value: object, at: Keys) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*at, str(key)))
    elif len(at) > 1:
        yield at, value


def _meant(
    experiment: Experiment, keys: Keys, said: Mapping[str, Any]
) -> tuple[str, f.LibraryCall, str | int | float | bool] | None:
    """The one call that a key is meant for, when it is handed something written in the code."""
    from explint.trace import facts as f

    found: dict[tuple[str, int, int], tuple[str, f.LibraryCall, str | int | float | bool]] = {}
    is_checkpoint = _CHECKPOINTS.fullmatch(keys[-1]) is not None
    settings = [s for s in _SETTINGS if s[0].fullmatch(keys[-1])]
    if is_checkpoint and not all(isinstance(v, str) for v in said.values()):
        return None
    for job, path in ((j, p) for p, j in experiment.profile.files.jobs.items()):
        if job not in ("entry", "train") or not experiment.text(path):
            continue
        module = path.removesuffix(".py").replace("/", ".")
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if document is None or entry is None:
            continue
        for _, event in entry.events_of(f.LibraryCall):
            given: int | None = None
            if is_checkpoint and _LOADERS.search(event.name):
                at = 1 if event.name == "torch.hub.load" else 0
                given = event.args[at] if len(event.args) > at else None
            for _, call, name, position in settings:
                if not call.search(event.name):
                    continue
                given = dict(event.kwargs).get(name)
                if given is None and position is not None and len(event.args) > position:
                    given = event.args[position]
            if given is None:
                if is_checkpoint and _LOADERS.search(event.name):
                    return None
                continue
            row = entry.values[given]
            if not isinstance(row, f.Literal) or row.value is None:
                # Another call that may be the one.
                return None
            where = (document.files[event.place.file], event.place.line, event.place.column)
            found.setdefault(where, (where[0], event, row.value))
    if len(found) != 1:
        return None
    ((path, event, value),) = found.values()
    if is_checkpoint:
        return (path, event, value) if isinstance(value, str) else None
    differs = any(type(v) in (int, float, bool) and v != value for v in said.values())
    return (path, event, value) if differs else None


@rule("model/same-method", code="MDL003", severity=Severity.WARNING, criteria=(4,))
def same_method(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The proposed and a comparative run are the same program.

    ## What it does
    Takes the proposed and each comparative run through the training program in full, and reports a
    pair for which nothing differs: the same branches are taken, and every config value that is
    another one is only shown, logged, kept or made part of a path. The runs are told apart by the
    first word of their ids.

    Where a key that differs is read in code that the trace does not reach, where a whole section
    that differs is handed on, or where a module is not there to be read, nothing is reported.

    ## Why is this bad
    The comparison compares a method with itself. Whatever difference it shows is noise.

    ## Example
    ```python
    loss = nn.functional.cross_entropy(model(images), labels)
    ```
    with `method: proposed` in one run config, `method: baseline` in the other, and no further
    difference.

    ## Use instead
    ```python
    if cfg.run.method == "proposed":
        loss = smoothed_loss(model(images), labels)
    else:
        loss = nn.functional.cross_entropy(model(images), labels)
    ```

    ## References
    - Criterion 4 of the experiment protocol
    """
    seen = programs(experiment)
    full = [p for p in seen.programs if p.mode is None or not p.mode.cheap]
    runs = list(dict.fromkeys(p.run_id for p in full))
    proposed = [r for r in runs if r.startswith("proposed")]
    others = [r for r in runs if r.startswith(("comparative", "baseline"))]
    if not proposed or not others:
        return
    configs = {run.run_id: run for run in experiment.run_configs()}
    for one in proposed:
        twins = [other for other in others if _same(experiment, full, one, other)]
        run = configs.get(one)
        if not twins or run is None:
            continue
        listed = " and ".join(f"`{t}`" for t in twins)
        yield Hit(
            path=run.path,
            line=_line_of(run, ("method",)) or 1,
            message=f"The run `{one}` does the same as {listed}: no config value that differs "
            "between them has an effect on the training.",
            help="Let the code read what tells the methods apart, and take another branch for it.",
            related=tuple(
                Related(
                    path=configs[t].path,
                    line=_line_of(configs[t], ("method",)) or 1,
                    message="The other run.",
                )
                for t in twins
                if t in configs
            ),
            runs=(one, *twins),
        )


def _same(experiment: Experiment, full: Sequence[Program], one: str, other: str) -> bool:
    """Whether two runs are surely the same program."""
    left = [p for p in full if p.run_id == one]
    right = [p for p in full if p.run_id == other]
    if not left or [(p.path, p.child, p.mode) for p in left] != [
        (p.path, p.child, p.mode) for p in right
    ]:
        return False
    if any(not p.known or p.blind or is_cut(p) for p in (*left, *right)):
        return False
    trains = False
    for a, b in zip(left, right, strict=True):
        if a.trace is not b.trace or a.special.states != b.special.states:
            return False
        if _differ(a, b):
            return False
        trains = trains or _trains(a)
    return trains and not _read_elsewhere(experiment, left)


def _trains(program: Program) -> bool:
    from explint.trace import facts as f

    return any(event.name.endswith(".backward") for _, event in program.events_of(f.LibraryCall))


def _differ(a: Program, b: Program) -> bool:
    """Whether a config value that is another one in the other run may have an effect."""
    from explint.rules.flow import made_of
    from explint.trace import facts as f
    from explint.trace.specialise import ABSENT, condition, evaluate
    from explint.trace.specialise import Unknown as NotKnown

    trace = a.trace
    sources: set[int] = set()
    for value, row in enumerate(trace.values):
        if not isinstance(row, f.Config | f.Has):
            continue
        x, y = evaluate(value, a.env), evaluate(value, b.env)
        if isinstance(x, NotKnown) and isinstance(y, NotKnown):
            # A config written to under unknown keys may hold what tells the runs apart.
            if isinstance(a.env.tree(row.root, row.version), NotKnown):
                sources.add(value)
            continue
        if x is ABSENT and y is ABSENT:
            continue
        if type(x) is type(y) and x == y:
            continue
        sources.add(value)
    touched = sources | made_of(trace, sources)
    for number, event in a.events():
        if a.special.states[number] is False:
            continue
        used: list[int] = []
        match event:
            case f.LibraryCall():
                if not _SHOWN.search(event.name):
                    used = [event.callee, *event.args, *(v for _, v in event.kwargs)]
            case f.Store():
                is_shown = _is_shown(trace, event.of)
                used = [] if is_shown else [event.of, event.key, event.value]
            case f.LoopStart():
                used = [trace.loops[event.loop].over]
            case f.Lookup():
                used = [event.of, event.key]
            case f.Write():
                used = [event.value]
            case f.Read():
                used = [event.at] if event.how in ("iterate", "spread") else []
        if any(u in touched for u in used):
            return True
        guard = event.guard
        while guard:
            step = trace.guards[guard]
            if step.condition in touched and condition(step.condition, a.env) is None:
                return True
            guard = step.parent
    # A choice between two values is decided by its test, which `made_of` does not follow.
    for row in trace.values:
        if not isinstance(row, f.Select):
            continue
        truth = condition(row.test, a.env)
        if truth != condition(row.test, b.env) or (truth is None and row.test in touched):
            return True
    return False


def _is_shown(trace: f.EntryTrace, value: int) -> bool:
    from explint.rules.flow import parts
    from explint.trace import facts as f

    rows = (trace.values[p] for p in parts(trace, value))
    return any(isinstance(r, f.Library) and r.name.startswith("wandb") for r in rows)


def _read_elsewhere(experiment: Experiment, runs: Sequence[Program]) -> bool:
    """Whether code that the programs do not come to may read a key that differs between runs."""
    from explint.rules.usage import code_words
    from explint.trace import facts as f

    values = [
        run.doc.value
        for run in experiment.run_configs()
        if isinstance(run.doc, YamlDocument) and run.is_run
    ]
    leaves = [dict(_all_leaves(v, ())) for v in values]
    keys = {k for one in leaves for k in one}
    different = {
        k[-1] for k in keys if any(one.get(k, k) != leaves[0].get(k, k) for one in leaves[1:])
    }
    places: dict[str, set[tuple[str, int]]] = {}
    for program in runs:
        for _, event in program.trace.events_of(f.Read):
            row = program.trace.values[event.at]
            if isinstance(row, f.Config) and row.path:
                last = program.trace.values[row.path[-1]]
                if isinstance(last, f.Literal):
                    where = (program.path_of(event.place), event.place.line)
                    places.setdefault(str(last.value), set()).add(where)
    words = code_words(experiment)
    evaluation = {p for p, job in experiment.profile.files.jobs.items() if job == "evaluate"}
    for name in (name for name in different if name in words):
        mention = re.compile(
            rf"""\.{re.escape(name)}\b(?!\s*\()|["'][\w.]*\b{re.escape(name)}["']"""
        )
        for path in experiment.package.files:
            text = experiment.text(path) if path.endswith(".py") else None
            if text is None or path in evaluation:
                continue
            for number, line in enumerate(text.split("\n"), start=1):
                if mention.search(line) and (path, number) not in places.get(name, ()):
                    return True
    return False


def _all_leaves(value: object, at: Keys) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _all_leaves(inner, (*at, str(key)))
    elif at and at[0] != "optuna":
        yield at, repr(value)
