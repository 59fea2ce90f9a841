"""Rules about how the code uses config values: criteria 2 and 7."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from explint.compose.yaml import YamlDocument
from explint.model import Related, Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.cli import NOT_WHOLE
from explint.rules.executions import Execution, executions
from explint.rules.keys import Keys, lead_of
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f
from explint.trace.specialise import YAML_LOADERS, evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment, RunConfig
    from explint.trace.facts import EntryTrace, Place, TraceDocument
    from explint.trace.specialise import Specialised

_WORD: Final = regex(r"\w+")
_INTERPOLATION: Final = regex(r"\$\{([^}]*)")
_EXPONENT: Final = regex(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_OPTIMIZERS: Final = ("torch.optim.", "transformers.AdamW", "transformers.optimization.")
_NUMBERS: Final = frozenset({"lr", "weight_decay", "eps", "momentum", "alpha", "dampening"})

# Which keys the code of a library takes under another name than people write in a config.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "lr": ("lr", "learning_rate"),
    "batch_size": ("batch_size",),
    "weight_decay": ("weight_decay",),
    "momentum": ("momentum",),
    "num_workers": ("num_workers",),
    "max_length": ("max_length", "max_seq_length"),
    "n_trials": ("n_trials",),
    "label_smoothing": ("label_smoothing",),
}
_SECTIONS: Final = ("method", "model", "dataset", "training")
# Keys that tell a reader about the run and steer nothing.
_NOTES: Final = regex(
    r"run_id|id|name|type|kind|title|description|desc|notes?|comments?|tags?|version|author|url"
    r"|source|reference|citation|paper|role|display_name|\w*_(?:name|note|notes|description|url|id)"
    r"|num_parameters|parameter_count|\w*param(?:eter)?s?(?:_count)?|size|target"
)
_LOOKED_AT: Final = frozenset(
    {
        "print", "str", "repr", "len", "type", "wandb.init", "wandb.config.update",
        "omegaconf.OmegaConf.to_yaml", "omegaconf.OmegaConf.resolve",
        "omegaconf.OmegaConf.save", "json.dump", "json.dumps", "yaml.dump", "yaml.safe_dump",
        "pprint.pprint", "rich.print", "hydra.main", "omegaconf.OmegaConf.set_struct",
    }
)  # fmt: skip
"""What a config is handed to so that somebody sees it: nothing is decided there."""

_KNOWS_CONFIGS: Final = regex(
    r"isinstance\([^\n]*(?:DictConfig|ListConfig|Mapping|Sequence)"
    r"|\bis_(?:config|dict|list)\(|\bcase (?:DictConfig|ListConfig)"
)
_DICTS_ONLY: Final[Mapping[str, str]] = {
    "json.dump": "Object of type {} is not JSON serializable",
    "json.dumps": "Object of type {} is not JSON serializable",
    "yaml.safe_dump": "cannot represent an object",
}


@rule("hydra/number-read-as-string", code="HYD010", severity=Severity.ERROR, criteria=(2,))
def number_read_as_string(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A number such as `1e-4` is loaded by plain PyYAML, which reads a string.

    ## What it does
    Follows the package's YAML files that the code loads with `yaml.safe_load` or `yaml.load`, and
    reports values such as `1e-4` or `5e3` that go to an optimizer. Hydra and `OmegaConf.load` read
    floats there, and what goes through `float(…)` is sound.

    ## Why is this bad
    PyYAML takes a float only with a dot and a sign in the exponent: `1e-4` is the string "1e-4".
    The optimizer raises `TypeError`.

    ## Example
    ```python
    with open(f"config/run/{run_id}.yaml") as file:
        settings = yaml.safe_load(file)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["training"]["learning_rate"])
    ```
    with `learning_rate: 1e-4`.

    ## Use instead
    ```python
    settings = OmegaConf.load(f"config/run/{run_id}.yaml")
    ```
    or `learning_rate: 1.0e-4`.

    ## References
    - Criterion 2 of the experiment protocol
    - [YAML 1.1: floats](https://yaml.org/type/float.html)
    """
    if not any("yaml" in text and "load" in text for text in _sources(experiment)):
        return
    found: dict[tuple[str, int, int], tuple[str, Place]] = {}
    for document, special in _programs(experiment):
        entry = special.env.entry
        changed: set[int] | None = None
        for _, event in special.happening_of(f.LibraryCall):
            if not event.name.startswith(_OPTIMIZERS):
                continue
            if changed is None:
                changed = _changed(special)
            numbers = [v for k, v in event.kwargs if k in _NUMBERS]
            for value in (*event.args[1:2], *numbers):
                text = evaluate(value, special.env)
                if not (isinstance(text, str) and _EXPONENT.fullmatch(text)):
                    continue
                source = _loaded(value, entry)
                if source is not None and source not in changed:
                    place = event.place
                    at = (document.files[place.file], place.line, place.column)
                    found.setdefault(at, (text, place))
    for (path, line, column), (text, place) in found.items():
        yield Hit(
            path=path,
            line=line,
            column=column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`{text}` is a string here: PyYAML reads a float only with a dot and a "
            "sign in the exponent.",
            help=f"Load the file with `OmegaConf.load`, or write `{_with_dot(text)}`.",
        )


@rule("hydra/unused-key", code="HYD011", severity=Severity.WARNING, criteria=(2, 7))
def unused_key(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A run config sets a key that no code reads.

    ## What it does
    Looks at the keys under `method`, `model`, `dataset` and `training` of every run config and
    reports those whose name stands nowhere in the package's Python code or in an interpolation of
    its configs, unless the code takes the whole section: iterates over it, hands it on with `**`,
    to `hydra.utils.instantiate` or to any other function of a library. Printing a section and
    logging it to W&B reads nothing.

    Keys that only describe the run (names, ids, notes, counts of parameters) are left alone. Keys
    of one section are one finding.

    ## Why is this bad
    The experiment's design says the setting matters, and changing it changes nothing: the run is
    not the one that its config describes.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    training:
      epochs: 10
      warmup_steps: 500
    ```
    and no code that says `warmup_steps`.

    ## Use instead
    ```python
    warmup = LinearLR(optimizer, total_iters=cfg.run.training.warmup_steps)
    ```
    or a run config without the key.

    ## References
    - Criteria 2 and 7 of the experiment protocol
    """
    runs = judged_runs(experiment)
    if not runs:
        return
    words = code_words(experiment)
    found: dict[str, dict[Keys, list[RunConfig]]] = {}
    for run in runs:
        assert isinstance(run.doc, YamlDocument)
        for keys in _unread(run.doc.value, (), words):
            found.setdefault(str(keys[0]), {}).setdefault(keys, []).append(run)
    if not found:
        return
    taken = taken_whole(experiment)
    if taken is None:
        return
    from explint.rules.methods import hard_coded

    told = hard_coded(experiment)
    spread = _spread_names(experiment)
    for section in found:
        keys_of_section = {
            keys: where
            for keys, where in found[section].items()
            if keys not in told
            and not any(keys[:n] in taken for n in range(len(keys) + 1))
            and not spread.intersection(keys[:-1])
        }
        if keys_of_section:
            yield _unused(keys_of_section)


@rule("hydra/hard-coded-parameter", code="HYD012", severity=Severity.WARNING, criteria=(2,))
def hard_coded_parameter(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A number stands in the code where the run config has a key of the same meaning.

    ## What it does
    Looks at arguments of library calls whose meaning is known by their name (`lr`, `batch_size`,
    `weight_decay`, `momentum`, `num_workers`, `max_length`, `label_smoothing`, `n_trials`) and
    reports those that are a number written in the code, when every run config sets the key and
    nothing in the package reads it. Where the key is read anywhere, the number may be meant for
    something else, and nothing is reported.

    ## Why is this bad
    The run config says one thing and the code does another. A sweep over the key, or another run
    with another value, changes nothing.

    ## Example
    ```python
    loader = DataLoader(dataset, batch_size=32)
    ```
    with `batch_size: 128` under `training` in every run config.

    ## Use instead
    ```python
    loader = DataLoader(dataset, batch_size=cfg.run.training.batch_size)
    ```

    ## References
    - Criterion 2 of the experiment protocol
    """
    runs = judged_runs(experiment)
    if not runs:
        return
    texts = _sources(experiment)
    ignored: dict[str, tuple[Keys, Any]] = {}
    for name, aliases in _ALIASES.items():
        for alias in aliases:
            places = [_leaf(run, alias) for run in runs]
            first = places[0]
            if first is None or any(p is None or p[0] != first[0] for p in places):
                continue
            read = re.compile(rf"""\.{alias}\b|["'][\w.]*\b{alias}["']""")
            if not any(alias in text and read.search(text) for text in texts):
                ignored[name] = first
    if not ignored:
        return
    taken = taken_whole(experiment)
    if taken is None:
        return
    found: dict[str, dict[tuple[str, int], tuple[Place, Any]]] = {}
    for one in executions(experiment):
        if not isinstance(one, Execution):
            continue
        for _, event in one.special.happening_of(f.LibraryCall):
            for name, value in event.kwargs:
                row = one.trace.values[value]
                if name not in ignored or not isinstance(row, f.Literal):
                    continue
                keys = ignored[name][0]
                if any(keys[:n] in taken for n in range(len(keys) + 1)):
                    continue
                if isinstance(row.value, int | float) and not isinstance(row.value, bool):
                    path = one.document.files[event.place.file]
                    found.setdefault(name, {}).setdefault(
                        (path, event.place.line), (event.place, row.value)
                    )
    for name, places_of in found.items():
        keys, said = ignored[name]
        ((path, line), (place, value)), *others = places_of.items()
        key = ".".join(map(str, keys))
        yield Hit(
            path=path,
            line=line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`{name}={value}` stands in the code, and nothing reads `{key}`, which the "
            f"run configs set to {said}.",
            help=f"Take the value from the config: `cfg.run.{key}`."
            if experiment.profile.config.run == "group"
            else f"Take the value from the config's `{key}`.",
            related=tuple(
                Related(path=p, line=n, message=f"`{name}={v}` stands here too.")
                for (p, n), (_, v) in others
            ),
        )


@rule("hydra/not-a-dict", code="HYD015", severity=Severity.ERROR, criteria=(2,))
def not_a_dict(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A section of the config goes where only a plain dict or list works.

    ## What it does
    Reports sections and lists of the composed config, and of what `OmegaConf.load`, `create` and
    `merge` give, that are handed as they are to `json.dump`, `json.dumps` or `yaml.safe_dump`, also
    inside a dict or list. With `default=` or `cls=` JSON may know what to do, and nothing is
    reported. What `OmegaConf.to_container` gives is plain.

    `isinstance(section, dict)` and `isinstance(section, list)` in a condition are warnings: they
    are false, so that the branch for a dict is never taken.

    ## Why is this bad
    A DictConfig is no dict: `json.dump` raises `TypeError`, often at the very end of a run, when
    its results are written.

    ## Example
    ```python
    json.dump({"config": cfg.run, "accuracy": accuracy}, file)
    ```

    ## Use instead
    ```python
    json.dump({"config": OmegaConf.to_container(cfg.run), "accuracy": accuracy}, file)
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [OmegaConf: to_container](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    from explint.rules.keys import Certain

    found: dict[tuple[str, int, int], Hit] = {}
    for one in executions(experiment):
        if not isinstance(one, Execution):
            continue
        files = one.document.files
        certain: Certain | None = None
        for _, event in one.special.happening_of(f.LibraryCall):
            if event.name not in _DICTS_ONLY:
                continue
            if not event.args or {"default", "cls", "Dumper"} & {k for k, _ in event.kwargs}:
                continue
            kind = _config_inside(event.args[0], one, 0)
            if kind is None:
                continue
            certain = certain or Certain.of(one, experiment)
            if not certain.happens(event.guard):
                continue
            place = event.place
            at = (files[place.file], place.line, place.column)
            said = _DICTS_ONLY[event.name].format(kind)
            found.setdefault(
                at,
                Hit(
                    path=at[0],
                    line=place.line,
                    column=place.column,
                    end_line=place.end_line,
                    end_column=place.end_column,
                    message=f"`{event.name}` gets a {kind} of the config and raises TypeError: "
                    f'"{said}".'
                    if event.name.startswith("json")
                    else f"`{event.name}` gets a {kind} of the config and raises RepresenterError.",
                    help="Hand over `OmegaConf.to_container(…, resolve=True)` of it.",
                ),
            )
        for guard in one.trace.guards:
            tested = _never_an_instance(guard.condition, one)
            text = "" if tested is None else experiment.text(files[guard.place.file]) or ""
            # Code that knows the config's types takes them in another branch.
            if tested is not None and not _KNOWS_CONFIGS.search(text):
                at = (files[guard.place.file], guard.place.line, guard.place.column)
                wanted, kind = tested
                found.setdefault(
                    at,
                    Hit(
                        path=at[0],
                        line=guard.place.line,
                        column=guard.place.column,
                        message=f"This is a {kind} of the config, which is no {wanted}: the "
                        "condition is false.",
                        help="Test for `(dict, DictConfig)`, or convert with "
                        "`OmegaConf.to_container` first."
                        if wanted == "dict"
                        else "Test for `(list, ListConfig)`, or convert with `list(…)` first.",
                        severity=Severity.WARNING,
                    ),
                )
    yield from found.values()


# ---- what PyYAML loads ----


def _programs(experiment: Experiment) -> Iterator[tuple[TraceDocument, Specialised]]:
    """Every entry under every config that it gets; without Hydra, under none."""
    from explint.trace.specialise import Unknown as NotKnown

    seen = set()
    for one in executions(experiment):
        if isinstance(one, Execution):
            seen.add(one.entry)
            yield one.document, one.special
    for path in experiment.profile.files.jobs:
        module = path.removesuffix(".py").replace("/", ".")
        if module in seen or not experiment.starts(path):
            continue
        document = experiment.trace(module)
        entry = None if document is None else document.entry(module)
        if document is not None and entry is not None:
            config = NotKnown("no run was chosen")
            yield document, experiment.specialised(entry, config, with_files=True)


def _loaded(value: int, entry: EntryTrace) -> int | None:
    """What PyYAML loads, when a value is taken out of it."""
    for _ in range(_DEPTH):
        row = entry.values[value]
        match row:
            case f.Item() | f.Attribute():
                value = row.of
            case f.CallValue():
                callee = entry.values[row.callee]
                if isinstance(callee, f.Library):
                    return value if callee.name in YAML_LOADERS else None
                value = row.callee
            case _:
                return None
    return None


def _changed(special: Specialised) -> set[int]:
    """The loaded documents that the program writes to: its numbers may be converted there."""
    entry = special.env.entry
    found: set[int | None] = set()
    for _, event in special.happening_of(f.Store, f.LibraryCall):
        if isinstance(event, f.Store):
            found.add(_loaded(event.of, entry))
        elif isinstance(event, f.LibraryCall) and event.name.endswith((".update", ".setdefault")):
            found.add(_loaded(event.callee, entry))
    return {source for source in found if source is not None}


def _with_dot(text: str) -> str:
    """A float with a dot and a sign in the exponent, as PyYAML takes it."""
    digits, _, exponent = text.lower().partition("e")
    digits = digits if "." in digits else f"{digits}.0"
    return f"{digits}e{exponent if exponent[0] in '+-' else f'+{exponent}'}"


# ---- configs as values ----


def _config_inside(value: int, one: Execution, depth: int) -> str | None:
    """DictConfig or ListConfig, when a value is or holds one."""
    row = one.trace.values[value]
    if depth > _DEPTH:
        return None
    match row:
        case f.Config():
            return _kind(row, one)
        case f.DictValue():
            # `**section` makes its items part of the dict, not the section.
            spread = [one.trace.values[v] for k, v in row.items if _is_star(k, one)]
            inner = [v for k, v in row.items if not _is_star(k, one)]
            for section in spread:
                if isinstance(section, f.Config) and (kind := _kind_within(section, one)):
                    return kind
        case f.ListValue() | f.TupleValue():
            inner = row.items
        case f.Each():
            inner = [row.value]
        case _:
            return None
    kinds = (_config_inside(v, one, depth + 1) for v in inner)
    return next((kind for kind in kinds if kind is not None), None)


def _is_star(value: int, one: Execution) -> bool:
    return isinstance(one.trace.values[value], f.Star)


def _kind_within(row: Any, one: Execution) -> str | None:  # noqa: ANN401
    """What OmegaConf makes of the first section or list inside a section."""
    from explint.trace.specialise import lookup

    held = lookup(row.root, row.path, row.version, one.special.env)
    if _kind(row, one) is None or not isinstance(held, Mapping):
        return None
    inner = next((v for v in held.values() if isinstance(v, Mapping | list)), None)
    return None if inner is None else "DictConfig" if isinstance(inner, Mapping) else "ListConfig"


def _kind(row: Any, one: Execution) -> str | None:  # noqa: ANN401
    """What OmegaConf makes of a config value that is no scalar; None of plain containers."""
    from explint.trace.specialise import lookup

    root: int = row.root
    for _ in range(len(one.trace.roots)):
        made = one.trace.roots[root]
        if made.kind in ("hydra", "compose", "load", "create", "merge", "masked"):
            break
        source = one.trace.values[made.sources[0]] if made.kind == "copy" and made.sources else None
        if source is None or not hasattr(source, "root"):
            return None
        root = source.root
    held = lookup(row.root, row.path, row.version, one.special.env)
    if isinstance(held, Mapping):
        return "DictConfig"
    return "ListConfig" if isinstance(held, list) else None


def _never_an_instance(condition: int, one: Execution) -> tuple[str, str] | None:
    row = one.trace.values[condition]
    if not isinstance(row, f.CallValue) or len(row.args) != 2:
        return None
    callee, of, wanted = (one.trace.values[v] for v in (row.callee, *row.args))
    if not (isinstance(callee, f.Library) and callee.name == "isinstance"):
        return None
    if not isinstance(of, f.Config) or not isinstance(wanted, f.Library):
        return None
    kind = _kind(of, one) if wanted.name in ("dict", "list") else None
    fits = {"dict": "DictConfig", "list": "ListConfig"}.get(wanted.name)
    return (wanted.name, kind) if kind is not None and kind == fits else None


_DEPTH: Final = 8


# ---- keys that are not read ----


def judged_runs(experiment: Experiment) -> list[RunConfig]:
    """The run configs, when all code that may read them is there."""
    package = experiment.package
    unread = any(found.rule in NOT_WHOLE for found in experiment.facts.findings)
    if package.partial or unread:
        return []
    for path in package.files:
        if path.endswith(".py") and experiment.state(path) is FileState.PRESENT:
            if experiment.text(path) is None:
                return []
        elif path.endswith(".py") and experiment.state(path) is not FileState.EMPTY:
            return []
    if any(experiment.state(p) is not FileState.PRESENT for p in experiment.profile.files.jobs):
        return []
    return [
        run
        for run in experiment.run_configs()
        if run.is_run and isinstance(run.doc, YamlDocument) and isinstance(run.doc.value, dict)
    ]


def _sources(experiment: Experiment) -> list[str]:
    found: list[str] | None = experiment.shared.get("python sources")
    if found is None:
        texts = (experiment.text(p) for p in experiment.package.files if p.endswith(".py"))
        found = experiment.shared["python sources"] = [t for t in texts if t]
    return found


class Words:
    """The words of some texts, looked for when they are asked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._known: dict[str, bool] = {}

    def __contains__(self, word: object) -> bool:
        if not isinstance(word, str):
            return False
        known = self._known.get(word)
        if known is None:
            is_word = _WORD.fullmatch(word) is not None
            known = is_word and any(_stands_in(word, text) for text in self._texts)
            self._known[word] = known
        return known


def _stands_in(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not any(c.isalnum() or c == "_" for c in (text[at - 1 : at], text[end : end + 1])):
            return True
        at = text.find(word, at + 1)
    return False


def code_words(experiment: Experiment) -> Words:
    """Every word of the code, and of the interpolations in the configs."""
    words: Words | None = experiment.shared.get("words of the code")
    if words is None:
        texts = list(_sources(experiment))
        for path in experiment.package.files:
            if path.endswith((".yaml", ".yml")):
                texts += _INTERPOLATION.findall(experiment.text(path) or "")
        words = experiment.shared["words of the code"] = Words(texts)
    return words


def _spread_names(experiment: Experiment) -> set[str]:
    """The names of the sections that `**` hands to a function of the package, which is no event."""
    names: set[str] = set()
    for text in _sources(experiment):
        for spread in re.findall(r"\*\*\s*([A-Za-z_][\w.]*)", text):
            name = spread.rpartition(".")[2]
            names.add(name)
            if spread == name:
                names.update(re.findall(rf"\b{name}\s*=\s*[\w.]*\.(\w+)", text))
    return names


def _unread(value: Any, at: Keys, words: Words) -> Iterator[Keys]:  # noqa: ANN401
    """The uppermost keys below the sections that no word of the code is."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if not isinstance(key, str) or (not at and key not in _SECTIONS):
            continue
        if at and key not in words and not _NOTES.fullmatch(key.lower()):
            if _WORD.fullmatch(key):
                yield (*at, key)
            continue
        yield from _unread(inner, (*at, key), words)


def _leaf(run: RunConfig, name: str) -> tuple[Keys, Any] | None:
    """The one place of a run config where a key of this name holds a number."""
    assert isinstance(run.doc, YamlDocument)
    found: list[tuple[Keys, Any]] = []
    stack: list[tuple[Keys, Any]] = [((), run.doc.value)]
    while stack:
        at, value = stack.pop()
        for key, inner in value.items():
            if isinstance(inner, dict) and key != "search_space":
                stack.append(((*at, key), inner))
            elif key == name and isinstance(inner, int | float) and not isinstance(inner, bool):
                found.append(((*at, key), inner))
    return found[0] if len(found) == 1 else None


def taken_whole(experiment: Experiment) -> set[Keys] | None:
    """The sections that the code takes as a whole, as paths in a run config.

    None where a part of the program is not known.
    """
    if "taken whole" not in experiment.shared:
        experiment.shared["taken whole"] = _find_taken(experiment)
    found: set[Keys] | None = experiment.shared["taken whole"]
    return found


def _find_taken(experiment: Experiment) -> set[Keys] | None:
    taken: set[Keys] = set()
    ran = False
    handed: dict[int, list[tuple[int, int]]] = {}
    for one in executions(experiment):
        if not isinstance(one, Execution) or one.special.happening_of(f.Cut):
            return None
        ran = ran or one.run_id is not None
        if id(one.trace) not in handed:
            handed[id(one.trace)] = list(_handed(one.trace))
        states = one.special.states
        values = {v for number, v in handed[id(one.trace)] if states[number] is not False}
        for _, event in one.special.happening_of(f.Read):
            if event.how in ("iterate", "spread") or _is_dynamic(event.at, one):
                values.add(event.at)
        for value in values:
            _note_sections(value, one, taken, 0)
    return taken if ran else None


def _handed(trace: f.EntryTrace) -> Iterator[tuple[int, int]]:
    """The values that go to where anything may be done with them, with the events' numbers; those
    that hold no section are left out."""
    for number, event in trace.events_of(f.LibraryCall):
        # A Logger shows it, a tracker keeps it; everything else may use it.
        if event.name not in _LOOKED_AT and not event.name.startswith("logging."):
            for value in (*event.args, *(v for _, v in event.kwargs)):
                if trace.varying[value]:
                    yield number, value
    for number, store in trace.events_of(f.Store):
        if trace.varying[store.value]:
            yield number, store.value


def _note_sections(value: int, one: Execution, taken: set[Keys], depth: int) -> None:
    row = one.trace.values[value]
    if depth > _DEPTH:
        return
    inner: list[int] = []
    match row:
        case f.Config():
            _note(row, one, taken)
        case f.DictValue():
            inner = [v for pair in row.items for v in pair]
        case f.ListValue() | f.TupleValue() | f.SetValue():
            inner = list(row.items)
        case f.Star() | f.Each():
            inner = [row.value]
        case f.Select():
            inner = [row.yes, row.no]
        case f.CallValue():
            callee = one.trace.values[row.callee]
            if not (isinstance(callee, f.Library) and callee.name in _LOOKED_AT):
                inner = [*row.args, *(v for _, v in row.kwargs)]
    for one_value in inner:
        _note_sections(one_value, one, taken, depth + 1)


def _note(row: Any, one: Execution, taken: set[Keys]) -> None:  # noqa: ANN401
    """Notes a section, or the one around a key that is known at run time only."""
    from explint.trace.specialise import at_keys

    env = one.special.env
    known: list[str | int] = []
    for part in row.path:
        key = evaluate(part, env)
        if not isinstance(key, str | int):
            break
        known.append(key)
    held = at_keys(env.tree(row.root, row.version), known)
    if isinstance(held, str | int | float | None):
        return
    lead = lead_of(row.root, one)
    whole = (*(() if lead is None else lead.keys), *known)
    taken.add(whole)
    if whole[:1] == ("run",):
        taken.add(whole[1:])


def _is_dynamic(at: int, one: Execution) -> bool:
    """Whether a key is read that is known at run time only."""
    row = one.trace.values[at]
    if not isinstance(row, f.Config):
        return False
    values, env = one.trace.values, one.special.env
    for part in row.path:
        key = values[part]
        known = key.value if isinstance(key, f.Literal) else evaluate(part, env)
        if not isinstance(known, str | int):
            return True
    return False


def _unused(found: Mapping[Keys, list[RunConfig]]) -> Hit:
    names = [".".join(map(str, keys)) for keys in found]
    first, where = next(iter(found.items()))
    run = where[0]
    related = [
        Related(path=other.path, line=_line(other, keys), message=f"`{name}` is set here.")
        for (keys, holders), name in zip(found.items(), names, strict=True)
        for other in holders
        if (keys, other) != (first, run)
    ]
    listed = [f"`{name}`" for name in names[:4]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    shown = ", ".join(listed) + more if more or len(listed) == 1 else (
        f"{', '.join(listed[:-1])} and {listed[-1]}"
    )  # fmt: skip
    runs = tuple(dict.fromkeys(r.run_id for holders in found.values() for r in holders))
    assert isinstance(run.doc, YamlDocument)
    mark = run.doc.key_at(first)
    return Hit(
        path=run.path,
        line=1 if mark is None else mark.line,
        column=1 if mark is None else mark.column,
        message=f"{shown} {'is' if len(names) == 1 else 'are'} set, and no code reads "
        f"{'it' if len(names) == 1 else 'them'}.",
        help="Use the setting in the code, or take it out of the run configs.",
        related=tuple(related),
        runs=runs,
    )


def _line(run: RunConfig, keys: Keys) -> int:
    assert isinstance(run.doc, YamlDocument)
    mark = run.doc.key_at(keys)
    return 1 if mark is None else mark.line
