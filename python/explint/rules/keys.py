"""Rules about config keys that the code reads and the composed configs do not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose.yaml import YamlDocument
from explint.experiment import defaults_list
from explint.model import Related, Severity
from explint.package import FileState
from explint.rules.executions import Execution, Undecided, executions
from explint.rules.handlers import ends_in_error
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.started import unread
from explint.trace import facts as f
from explint.trace.specialise import (
    ABSENT,
    MANDATORY,
    MAYBE,
    Dangling,
    Env,
    at_keys,
    condition,
    evaluate,
    keys_of,
    loaded_path,
)
from explint.trace.specialise import Unknown as NotKnown

if TYPE_CHECKING:
    from explint.experiment import Experiment, RunConfig

Keys = tuple[str | int, ...]

_STRICT = frozenset({"attribute", "item", "iterate", "spread"})
# What a config answers to without holding it.
_METHODS = frozenset({*dir(dict), *dir(list), "content", "merge_with", "pretty", "node"})
# Their answer may be just whether a key is there.
_ASKING = frozenset({"isinstance", "hasattr", "callable", "getattr", "type", "issubclass"})
_DEEPEST_SECTION = 2
_MOST_NAMES = 4
_NOT_LOADED = "the run config is not loaded"
_LOADED = "the code loads the file"
_DANGLING = "an interpolation leads nowhere"


@rule("hydra/undefined-key", code="HYD005", severity=Severity.ERROR, criteria=(2, 7))
def undefined_key(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A config key is read without a default, and no run's config defines it.

    ## What it does
    Composes the config of every run under every mode, follows the program through its functions,
    and reports keys that are read as `cfg.a.b` or `cfg["a"]["b"]` and are not there when they are
    read. The config is followed through parameters, aliases, `self`, `OmegaConf.to_container` and
    copies, and what the program itself writes counts. Entries are the main module, the training
    module when the main module starts it as a process, and the evaluation module when it uses
    Hydra.

    A key whose value is an interpolation that leads nowhere, or `???` that nobody replaces, is
    reported where it is read.

    What the code loads of the package's YAML files by itself (`OmegaConf.load`) and merges is
    followed too, so that a key that neither the config nor such a file defines is reported.

    Safe reads are no findings: `.get`, `getattr` with a default, `in`, `hasattr`,
    `OmegaConf.select`, reads behind a check of the key, and reads inside a `try` whose handler goes
    on. So are reads on ways that the config does not decide, configs that cannot be composed from
    here, and what `hydra/missing-section` and `wandb/no-project` tell. One cause is one finding:
    all reads from a section that is empty are told together.

    ## Why is this bad
    The config is a struct: reading a key that it does not hold raises `ConfigAttributeError`, and
    the run stops there, often after the data was downloaded and the model was built.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    training:
      epochs: 10
    ```
    `src/train.py`:
    ```python
    warmup = cfg.run.training.warmup_steps
    ```

    ## Use instead
    ```yaml
    training:
      epochs: 10
      warmup_steps: 100
    ```

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [OmegaConf: struct flag](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    found = _causes(experiment)
    yield from found.questions
    for cause in found.causes:
        if cause.kind == "undefined":
            yield _undefined(cause)


@rule("hydra/undefined-in-some-runs", code="HYD006", severity=Severity.ERROR, criteria=(2, 7))
def undefined_in_some_runs(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A config key is read without a default, and the configs of some runs do not define it.

    ## What it does
    Like `hydra/undefined-key`, for keys that other runs of the experiment do define. The runs that
    stop are named. A read that only happens in runs that define the key is no finding.

    ## Why is this bad
    One method of the comparison runs and the other one stops with `ConfigAttributeError`, so that
    there is nothing to compare.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    method:
      name: label-smoothing
      smoothing: 0.1
    ```
    `config/run/comparative-1-small-cnn.yaml`:
    ```yaml
    method:
      name: cross-entropy
    ```
    `src/model.py`:
    ```python
    loss = nn.CrossEntropyLoss(label_smoothing=cfg.run.method.smoothing)
    ```

    ## Use instead
    ```python
    loss = nn.CrossEntropyLoss(label_smoothing=cfg.run.method.get("smoothing", 0.0))
    ```

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [OmegaConf: struct flag](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    found = _causes(experiment)
    yield from found.questions
    for cause in found.causes:
        if cause.kind == "some-runs":
            yield _in_some_runs(cause)


@rule("hydra/struct-write", code="HYD007", severity=Severity.ERROR, criteria=(2, 7))
def struct_write(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A new key is written or merged into a config that takes none.

    ## What it does
    Reports writes (`cfg.a.new = 1`, `cfg["new"] = 1`, `OmegaConf.update`, `setdefault`,
    `merge_with`) to keys that the composed config does not hold, and `OmegaConf.merge` of a config
    with keys it does not hold, such as a run config that the code loads with `OmegaConf.load`.
    Hydra's config is a struct, and what is copied or merged from it stays one.

    Writes inside `open_dict`, after `OmegaConf.set_struct(cfg, False)`, with `force_add=True`, into
    a config rebuilt from a plain container, inside a `try` whose handler goes on, and on ways that
    the config does not decide are no findings.

    ## Why is this bad
    The write raises `ConfigAttributeError` or `ConfigKeyError`, and the run stops. It often stands
    in the trial switch, so that no trial ever passes.

    ## Example
    ```python
    if cfg.mode == "trial":
        cfg.run.training.max_batches = 2
    ```

    ## Use instead
    ```python
    if cfg.mode == "trial":
        with open_dict(cfg):
            cfg.run.training.max_batches = 2
    ```
    or `max_batches: null` under `training` in every run config.

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [OmegaConf: struct flag](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    yield from _causes(experiment).questions
    by_cause: dict[tuple[str, bool], list[_NewKey]] = {}
    for one in executions(experiment):
        if isinstance(one, Execution):
            for new in _new_keys(one, experiment):
                by_cause.setdefault((new.path, new.merged), []).append(new)
    for cause in sorted(by_cause):
        yield _struct_write(by_cause[cause])


@rule("hydra/key-in-wrong-section", code="HYD016", severity=Severity.ERROR, criteria=(2, 7))
def key_in_wrong_section(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A config key is read at one level, while the runs define it at another.

    ## What it does
    Like `hydra/undefined-key`, for keys that the config of every run holds elsewhere: `cfg.model`
    is read where the run's config stands under `cfg.run`, or `cfg.run.wandb` where the section is
    at the root. The right path is named. All keys that are off by the same section are one
    finding, with every place attached.

    ## Why is this bad
    `run=<id>` puts the file `config/run/<id>.yaml` under `cfg.run`, not at the root. Reading it at
    the root raises `ConfigAttributeError`; where the root has an empty section of that name, the
    error comes with the first key of the section.

    ## Example
    ```python
    epochs = cfg.training.epochs
    ```

    ## Use instead
    ```python
    epochs = cfg.run.training.epochs
    ```
    or `# @package _global_` as the first line of every run config.

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [Hydra: packages](https://hydra.cc/docs/advanced/overriding_packages/)
    """
    found = _causes(experiment)
    yield from found.questions
    for cause in found.causes:
        if cause.kind == "wrong-section":
            yield _in_wrong_section(cause)


# ---- reads of keys that are not there ----


class _Miss(msgspec.Struct, frozen=True):
    """A read of a key that is not there.

    ``full`` is the whole path that is read, of which the first ``cut`` keys lead to where nothing
    is. ``local`` are these keys in the config object that is read, ``root`` and ``version``.
    ``sure`` says that it happens, False that this is not decided. ``right`` are the paths at which
    the run's config holds what is read. ``taken`` is where the section was taken out of the
    config, when that is another line. ``parent`` is what stands in front of the key, ``origin`` the
    file that gives it. ``unloaded`` is the run's own config file, when that would define the key
    and is no part of the composed config. ``loaded`` is the file that the code loads
    itself, when that is what is read, and ``merged`` the last file that it merges into what is
    read. ``dangling`` is what OmegaConf says of a key whose interpolation leads nowhere.
    """

    full: Keys
    cut: int
    local: Keys
    root: int
    version: int
    sure: bool
    path: str
    place: f.Place
    right: tuple[Keys, ...]
    taken: tuple[str, int] | None
    parent: object
    run_id: str | None
    mode: str | None
    entry: str
    origin: str | None
    unloaded: str | None
    loaded: str | None
    merged: str | None
    dangling: str | None

    @property
    def name(self) -> Keys:
        return self.full[: self.cut]


class _Cause(msgspec.Struct):
    """Reads that fail for one reason; ``key`` tells the causes of a kind apart."""

    kind: str
    key: object
    misses: list[_Miss] = msgspec.field(default_factory=list)


class _Causes(msgspec.Struct):
    causes: list[_Cause] = msgspec.field(default_factory=list)
    questions: list[Unknown] = msgspec.field(default_factory=list)


def _causes(experiment: Experiment) -> _Causes:
    found: _Causes | None = experiment.shared.get("undefined keys")
    if found is None:
        found = experiment.shared["undefined keys"] = _find(experiment)
    return found


def runs_out_of_reach(experiment: Experiment) -> bool:
    """Whether reads fail because the run's own file is not where the program looks for it: under
    another section, not loaded, or behind interpolations that lead nowhere."""
    reasons = (_NOT_LOADED, _DANGLING, ((), ("run",)), (("run",), ()))
    return any(cause.key in reasons for cause in _causes(experiment).causes)


def _find(experiment: Experiment) -> _Causes:
    result = _Causes()
    by_entry: dict[str, list[Execution]] = {}
    reasons: dict[str, Undecided] = {}
    for one in executions(experiment):
        if isinstance(one, Undecided):
            reasons.setdefault(one.entry, one)
        else:
            by_entry.setdefault(one.entry, []).append(one)
    for undecided in reasons.values():
        result.questions.append(
            unread(experiment, undecided.path)
            or Unknown(
                reason=f"what {undecided.path} reads cannot be held against a config: "
                f"{undecided.reason}",
                decided_by="a config that composes",
                path=undecided.path,
            )
        )
    causes: dict[tuple[str, object], _Cause] = {}
    for entry_executions in by_entry.values():
        misses = [
            m
            for e in entry_executions
            for m in _misses(e, experiment)
            if not _is_told(m, experiment)
        ]
        for name in dict.fromkeys(m.name for m in misses):
            same = [m for m in misses if m.name == name]
            kind, key = _kind(name, same, entry_executions)
            causes.setdefault((kind, key), _Cause(kind, key)).misses.extend(same)
    result.causes = [c for c in causes.values() if any(m.sure for m in c.misses)]
    return result


def _is_told(miss: _Miss, experiment: Experiment) -> bool:
    """Whether the rules about what a config must hold tell that the key is not there."""
    profile = experiment.profile
    if ".".join(map(str, miss.name)) in profile.wandb.required_keys:
        return True
    # Below the section too: a write that fails there still makes the section in the trace.
    section = miss.name[1] if len(miss.name) > 1 and miss.name[0] == "run" else None
    if section not in profile.config.sections:
        return False
    for run in experiment.run_configs():
        if run.run_id == miss.run_id and isinstance(run.doc, YamlDocument):
            held = run.doc.value
            lacks = isinstance(held, dict) and section not in held
            return lacks and not defaults_list(run.doc)
    return False


def _kind(name: Keys, misses: list[_Miss], within: list[Execution]) -> tuple[str, object]:
    """The rule that a key's misses belong to, and what they have in common with others."""
    if any(m.dangling for m in misses):
        return "undefined", _DANGLING
    if any(_defines(e, misses[0]) for e in within):
        return "some-runs", name
    if misses[0].loaded is not None:
        return "undefined", (_LOADED, name)
    if any(m.unloaded for m in misses):
        return "undefined", _NOT_LOADED
    shifts = {_shift(m.full, right) for m in misses for right in m.right}
    if len(shifts) == 1 and all(m.right for m in misses):
        return "wrong-section", shifts.pop()
    parent = misses[0].parent
    if isinstance(parent, Mapping) and not parent and len(name) > 1:
        return "undefined", name[:-1]
    return "undefined", name


def _defines(execution: Execution, miss: _Miss) -> bool:
    """Whether the config of an execution holds the key that another one misses."""
    if miss.loaded is None and miss.merged is None:
        return at_keys(execution.tree, miss.name) is not ABSENT
    tree = execution.special.env.tree(miss.root, miss.version)
    return not isinstance(tree, NotKnown) and at_keys(tree, miss.local) is not ABSENT


def _shift(full: Keys, right: Keys) -> tuple[Keys, Keys]:
    """What has to be taken out of a path, and put in its place, to get another one."""
    same = 0
    while same < min(len(full), len(right)) and full[-1 - same] == right[-1 - same]:
        same += 1
    return full[: len(full) - same], right[: len(right) - same]


def _misses(execution: Execution, experiment: Experiment) -> Iterator[_Miss]:
    entry, env = execution.trace, execution.special.env
    files = execution.document.files
    certain = Certain.of(execution, experiment)
    taken: dict[tuple[int, Keys], tuple[str, int]] = {}
    sections_of: dict[int, list[Keys]] = {}
    unknown_code = _hands_over(execution, experiment)
    # Code that asks whether a mandatory value is missing knows what it does.
    if "asks for missing values" not in experiment.shared:
        experiment.shared["asks for missing values"] = any(
            "is_missing" in text or "missing_keys" in text
            for text in (experiment.text(p) or "" for p in files)
        )
    asks_nothing = not experiment.shared["asks for missing values"]
    run_files = [c for c in experiment.run_configs() if c.run_id == execution.run_id]
    for number, event in execution.special.happening_of(f.Read):
        row = entry.values[event.at]
        if not isinstance(row, f.Config):
            continue
        keys = keys_of(row.path, env)
        if isinstance(keys, NotKnown):
            continue
        path = files[event.place.file]
        here = (path, event.place.line)
        taken.setdefault((row.root, tuple(keys)), here)
        if event.how not in _STRICT or number > unknown_code:
            continue
        if entry.roots[row.root].kind == "container" and event.how == "attribute":
            continue
        tree = env.tree(row.root, row.version)
        cut = _first_absent(tree, keys)
        dangling = None
        if cut is None:
            cut, dangling = _raising(tree, keys)
            if dangling is not None and _is_text(entry, row.root, dangling):
                continue
            if dangling == MANDATORY.reason and not asks_nothing:
                continue
        if cut is None or cut <= event.held:
            continue
        parent = at_keys(tree, keys[: cut - 1])
        if isinstance(parent, list) or _answers(parent, keys[cut - 1]):
            continue
        lead = lead_of(row.root, execution)
        if lead is None:
            continue
        before = lead.keys
        full = (*before, *keys)
        holds = tree if lead.files else execution.tree
        whole = at_keys(holds, full[: len(before) + cut])
        if id(holds) not in sections_of:
            sections_of[id(holds)] = list(_sections(holds, ()))
        sections = sections_of[id(holds)]
        if not lead.files and whole is not ABSENT and dangling is None:
            # The program took away what was composed: nothing the configs could repair.
            continue
        source = taken.get((row.root, tuple(keys[: event.held]))) if event.held else None
        yield _Miss(
            full=full,
            cut=len(before) + cut,
            sure=certain.happens(event.guard),
            path=path,
            place=event.place,
            local=tuple(keys[:cut]),
            root=row.root,
            version=row.version,
            right=()
            if lead.files and before
            else _elsewhere(holds, full, len(before) + cut, sections),
            taken=None if source == here else source,
            parent=parent,
            run_id=execution.run_id,
            mode=execution.mode,
            entry=execution.entry,
            origin=None if lead.alone else _file_of(execution, full[: len(before) + cut - 1]),
            unloaded=None if lead.files else _unloaded(execution, full, run_files),
            loaded=lead.files[0] if lead.alone else None,
            merged=lead.files[-1] if lead.files and not lead.alone else None,
            dangling=dangling,
        )


def _first_absent(tree: object, keys: Sequence[str | int]) -> int | None:
    """How many keys lead to where a config has nothing; None where all are there."""
    at = tree
    for number, key in enumerate(keys, start=1):
        at = at_keys(at, (key,))
        if at is ABSENT:
            return number
    return None


def _raising(tree: object, keys: Sequence[str | int]) -> tuple[int | None, str | None]:
    """How many keys lead to a value that is there and raises when it is read, and why: an
    interpolation that leads nowhere, or ``???``."""
    value = tree
    for n, key in enumerate(keys, start=1):
        value = at_keys(value, (key,))
        if isinstance(value, Dangling) or value is MANDATORY:
            return n, value.reason
    return None, None


def _is_text(entry: f.EntryTrace, root: int, dangling: str) -> bool:
    """Whether ``???`` and interpolations are texts in a config object, which is a plain container
    that nothing was resolved for."""
    made = entry.roots[root]
    if made.kind != "container":
        return False
    event = None if made.event is None else entry.events[made.event]
    given = dict(event.kwargs) if isinstance(event, f.LibraryCall) else {}
    resolved = entry.values[given["resolve"]] if "resolve" in given else None
    is_resolved = isinstance(resolved, f.Literal) and resolved.value is True
    return dangling == MANDATORY.reason or not is_resolved


def _hands_over(execution: Execution, experiment: Experiment) -> int:
    """The first event after which code that is not there may have changed the config."""
    firsts: dict[str, int] = experiment.shared.setdefault("code that is not there", {})
    if execution.entry not in firsts:
        events = execution.trace.events
        firsts[execution.entry] = next(
            (
                number
                for number, event in enumerate(events)
                if type(event) is f.Import
                and event.own
                and experiment.state(f"{event.name.replace('.', '/')}.py")
                in (FileState.WITHHELD, FileState.EMPTY)
            ),
            len(events),
        )
    return firsts[execution.entry]


def _answers(parent: object, key: str | int) -> bool:
    """Whether a value has the attribute although the config has no such key."""
    if isinstance(parent, Mapping):
        return key in _METHODS
    return isinstance(key, int) or hasattr(parent, key)


class Lead(msgspec.Struct, frozen=True):
    """What a config object was made from: the path in Hydra's config or in a file, and the files
    that the code loads into it; ``alone`` when nothing of Hydra's config is in it."""

    keys: Keys
    files: tuple[str, ...]
    alone: bool


def lead_of(root: int, execution: Execution) -> Lead | None:
    """Where a config object comes from; None for another origin than configs and files."""
    keys: Keys = ()
    files: list[str] = []
    alone = True
    for _ in range(len(execution.trace.roots)):
        row = execution.trace.roots[root]
        if row.kind == "hydra":
            return Lead(keys, tuple(files), alone=False)
        if row.kind == "load":
            path = loaded_path(row, execution.special.env)
            return None if path is None else Lead(keys, (path, *files), alone)
        if row.kind == "merge" and row.sources:
            for other in row.sources[1:]:
                inside = _inside(other, execution)
                files += inside.files
                alone = alone and inside.alone
        elif row.kind not in ("copy", "container", "create", "masked") or len(row.sources) != 1:
            return None
        source = execution.trace.values[row.sources[0]]
        if not isinstance(source, f.Config):
            return None
        inner = keys_of(source.path, execution.special.env)
        if isinstance(inner, NotKnown):
            return None
        keys = (*inner, *keys)
        root = source.root
    return None


def _inside(value: f.ValueId, execution: Execution) -> Lead:
    """The files whose text is in a value that is merged, and whether Hydra's config is not."""
    row = execution.trace.values[value]
    files: list[str] = []
    alone = True
    if isinstance(row, f.Config):
        found = lead_of(row.root, execution)
        if found is not None:
            return found
        root = execution.trace.roots[row.root]
        within = root.sources if root.kind == "create" else []
    else:
        within = [v for _, v in row.items] if isinstance(row, f.DictValue) else []
    for inner in within:
        found = _inside(inner, execution)
        files += found.files
        alone = alone and found.alone
    return Lead((), tuple(files), alone)


def _file_of(execution: Execution, section: Keys) -> str | None:
    """The file that gives a section its first key, where the key would be defined."""
    origin = execution.composed.origin(section) if section else None
    return None if origin is None else origin.path


def _unloaded(execution: Execution, full: Keys, files: Sequence[RunConfig]) -> str | None:
    """The run's config file, when it holds the key and the composed config is made without it."""
    at_root = full[1:] if full[0] == "run" else full
    for file in files:
        doc = file.doc
        if not isinstance(doc, YamlDocument) or file.path in execution.composed.files:
            continue
        if isinstance(doc.value, dict) and at_root and at_root[0] in doc.value:
            return file.path
    return None


def _elsewhere(
    tree: Mapping[str | int, Any], full: Keys, cut: int, sections: Sequence[Keys]
) -> tuple[Keys, ...]:
    """The paths at which the config does hold what is read, fewest sections off first."""
    for wanted in dict.fromkeys((full, full[:cut])):
        for depth in range(1, _DEEPEST_SECTION + 1):
            found = [
                (*section, *wanted)
                for section in sections
                if len(section) == depth and _holds(tree, (*section, *wanted))
            ]
            if found:
                return tuple(found)
        for start in range(1, cut):
            if _holds(tree, wanted[start:]):
                return (wanted[start:],)
            between = [
                (*section, *wanted[start:])
                for section in sections
                if section[:start] == wanted[:start]
                and len(section) == start + 1
                and _holds(tree, (*section, *wanted[start:]))
            ]
            if between:
                return tuple(between)
    return ()


def _holds(tree: Mapping[str | int, Any], path: Keys) -> bool:
    found = at_keys(tree, path)
    return found is not ABSENT and not isinstance(found, NotKnown)


def _sections(tree: Mapping[str | int, Any], at: Keys) -> Iterator[Keys]:
    if len(at) >= _DEEPEST_SECTION + 1:
        return
    for key, inner in tree.items():
        if isinstance(inner, Mapping):
            yield (*at, key)
            yield from _sections(inner, (*at, key))


class Certain:
    """Which events happen for all that is known: where the config leaves a condition open, the
    condition does not ask what the config holds.

    Such are loops over data, and questions to the machine (``torch.cuda.is_available()``): both
    ways are taken on some machine or in some iteration.
    """

    def __init__(
        self,
        entry: f.EntryTrace,
        env: Env,
        text: Callable[[f.Place], str | None] | None = None,
    ) -> None:
        self.entry = entry
        self.env = env
        self._text = text
        self._known: dict[int, bool] = {}
        self._happening: dict[int, bool] = {}
        self._raising: set[int] | None = None

    @classmethod
    def of(cls, execution: Execution, experiment: Experiment) -> Certain:
        """Of an execution, with the texts of its modules at hand."""
        files = execution.document.files
        return cls(
            execution.trace,
            execution.special.env,
            lambda place: experiment.text(files[place.file]),
        )

    def happens(self, guard: int) -> bool:
        """Whether an event under the guard happens in this sense."""
        known = self._happening
        chain = []
        while guard and guard not in known:
            chain.append(guard)
            guard = self.entry.guards[guard].parent
        happens = known[guard] if guard else True
        for one in reversed(chain):
            happens = happens and self._is_met(self.entry.guards[one])
            known[one] = happens
        return happens

    def _is_met(self, guard: f.Guard) -> bool:
        truth = condition(guard.condition, self.env)
        value = self.entry.values[guard.condition]
        if isinstance(value, f.Raised):
            return not guard.expected and self.ends_in_error(guard, value.attempt)
        if truth is None:
            return self._free(guard.condition, 0)
        return truth == guard.expected

    def ends_in_error(self, guard: f.Guard, attempt: int) -> bool:
        """Whether an error inside the ``try`` that the guard stands for is raised again.

        Every handler that may take it has to, as far as the module's text is at hand.
        """
        text = None if self._text is None else self._text(guard.place)
        if text is None:
            return self.raises_on(attempt)
        return ends_in_error(text, guard.place.line, guard.place.column)

    def raises_on(self, attempt: int) -> bool:
        """Whether the first handler of a ``try`` ends in another exception."""
        if self._raising is None:
            self._raising = set()
            ends: list[f.Event] = [e for _, e in self.entry.events_of(f.Raise)]
            ends += [e for _, e in self.entry.events_of(f.LibraryCall) if e.name == "sys.exit"]
            for event in ends:
                row = self.entry.guards[event.guard]
                value = self.entry.values[row.condition]
                if isinstance(value, f.UnknownValue) and value.reason == "exception":
                    if not row.expected:
                        continue
                    # Whether the handler's type fits stands between.
                    row = self.entry.guards[row.parent]
                    value = self.entry.values[row.condition]
                if row.expected and isinstance(value, f.Raised):
                    self._raising.add(value.attempt)
        return attempt in self._raising

    def _free(self, value: f.ValueId, depth: int) -> bool:
        if depth > 40:
            return False
        known = self._known.get(value)
        if known is None:
            self._known[value] = False
            known = self._known[value] = self._is_free(value, depth + 1)
        return known

    def _is_free(self, value: f.ValueId, depth: int) -> bool:
        row = self.entry.values[value]
        inner: Sequence[f.ValueId] = ()
        match row:
            case f.Config() | f.Has():
                found = evaluate(value, self.env)
                return found is not ABSENT and not isinstance(found, NotKnown)
            case f.UnknownValue():
                return row.reason == "loop"
            case f.Raised() | f.Parameter() | f.Super():
                return False
            case f.Bound():
                inner = (row.of,)
            case f.Ran() | f.Called():
                inner = (self.entry.loops[row.loop].over,)
                over = self.entry.values[inner[0]]
                if isinstance(row, f.Called) and not isinstance(over, f.Config | f.Has):
                    return True
                if isinstance(over, f.UnknownValue):
                    return True
            case f.CallValue():
                callee = self.entry.values[row.callee]
                if isinstance(callee, f.Library) and callee.name in _ASKING:
                    return False
                inner = (row.callee, *row.args, *(v for _, v in row.kwargs))
            case f.Attribute() | f.Element() | f.Key():
                inner = (row.of,)
            case f.Item():
                inner = (row.of, row.key)
            case f.Binary() | f.Compare():
                inner = (row.left, row.right)
            case f.Unary() | f.Not() | f.Star() | f.Each():
                inner = (row.value,)
            case f.All():
                inner = [v for v, _ in row.conditions]
            case f.Select():
                test = condition(row.test, self.env)
                inner = (
                    (row.test, row.yes, row.no) if test is None else (row.yes if test else row.no,)
                )
            case f.Template():
                inner = row.parts
            case f.ListValue() | f.TupleValue() | f.SetValue():
                inner = row.items
            case f.DictValue():
                inner = [v for pair in row.items for v in pair]
        return all(self._free(v, depth) for v in inner)


# ---- writes of keys that are not there ----


class _NewKey(msgspec.Struct, frozen=True):
    """A write of a key that a struct does not hold, and where the run's config holds that key."""

    name: Keys
    path: str
    place: f.Place
    right: tuple[Keys, ...]
    run_id: str | None
    mode: str | None
    merged: bool = False


class _Structs:
    """Which sections of which config objects take no new keys, as the program goes on.

    A section that was never given a flag of its own has that of the section around it.
    """

    def __init__(self) -> None:
        self._flags: dict[int, dict[Keys, bool]] = {}
        self._opened: dict[tuple[int, Keys], list[bool | None]] = {}

    def make(self, root: int, *, struct: bool) -> None:
        self._flags[root] = {(): struct}

    def copy(self, root: int, of: int, at: Keys) -> None:
        """A copy keeps the flags of what it was made from."""
        flags = self._flags.get(of, {})
        inner = {k[len(at) :]: v for k, v in flags.items() if k[: len(at)] == at}
        self._flags[root] = {**inner, (): self.is_struct(of, at)}

    def set(self, root: int, at: Keys, *, struct: bool) -> None:
        if root in self._flags:
            self._flags[root][at] = struct

    def open(self, root: int, at: Keys) -> None:
        flags = self._flags.get(root)
        if flags is not None:
            self._opened.setdefault((root, at), []).append(flags.get(at))
            flags[at] = False

    def close(self, root: int, at: Keys) -> None:
        before = self._opened.get((root, at))
        if before:
            old = before.pop()
            if old is None:
                self._flags[root].pop(at, None)
            else:
                self._flags[root][at] = old

    def own(self, root: int, at: Keys) -> bool | None:
        """The flag that was set on a section itself; None without one."""
        return self._flags.get(root, {}).get(at)

    def is_struct(self, root: int, at: Keys) -> bool:
        flags = self._flags.get(root, {})
        return next((flags[at[:n]] for n in range(len(at), -1, -1) if at[:n] in flags), False)


def _new_keys(execution: Execution, experiment: Experiment) -> Iterator[_NewKey]:
    entry, env = execution.trace, execution.special.env
    certain = Certain.of(execution, experiment)
    structs = _Structs()
    # Keys that a struct does not take are not there after the attempt either.
    refused: set[tuple[int, Keys]] = set()
    unknown_code = _hands_over(execution, experiment)
    overridden = next(
        (n for n, e in execution.special.happening_of(f.LibraryCall)
         if e.name.endswith("flag_override")), unknown_code
    )  # fmt: skip
    for number, event in execution.special.happening_of(f.Make, f.Write, f.Flag):
        if number >= unknown_code or number >= overridden:
            return
        if isinstance(event, f.Make):
            yield from _merged_keys(event, number, execution, structs, certain)
            continue
        if not isinstance(event, f.Write | f.Flag):
            continue
        row = entry.values[event.at]
        keys = keys_of(row.path, env) if isinstance(row, f.Config) else None
        if not isinstance(row, f.Config) or keys is None or isinstance(keys, NotKnown):
            if isinstance(event, f.Flag):
                return
            continue
        at = tuple(keys)
        if isinstance(event, f.Flag):
            value = evaluate(event.value, env)
            if event.flag in ("struct", "open_dict"):
                if execution.special.states[number] is not True or not isinstance(value, bool):
                    # From here on nobody knows what takes new keys.
                    return
                if event.flag == "struct":
                    structs.set(row.root, at, struct=value)
                elif value:
                    structs.open(row.root, at)
                else:
                    structs.close(row.root, at)
            continue
        if event.how in ("force", "delete"):
            continue
        tree = env.tree(row.root, row.version)
        cut = None
        for n in range(1, len(at) + 1):
            held = at_keys(tree, at[:n])
            if held is ABSENT or (held is MAYBE and (row.root, at[:n]) in refused):
                cut = n
                break
        if cut is None or not isinstance(at_keys(tree, at[: cut - 1]), Mapping):
            continue
        if cut < len(at) and event.how in ("set", "setdefault"):
            # `cfg.a.b = 1` without `a` fails when it reads `a`: another rule's finding.
            continue
        if structs.is_struct(row.root, at[: cut - 1]):
            refused.add((row.root, at[:cut]))
            if certain.happens(event.guard):
                yield _new_key(execution, event, row.root, at)


def _new_key(
    execution: Execution, event: f.AnyEvent, root: int, keys: Keys, *, merged: bool = False
) -> _NewKey:
    lead = lead_of(root, execution)
    name = (*(lead.keys if lead is not None else ()), *keys)
    return _NewKey(
        name=name,
        path=execution.document.files[event.place.file],
        place=event.place,
        right=_elsewhere(execution.tree, name, len(name), list(_sections(execution.tree, ()))),
        run_id=execution.run_id,
        mode=execution.mode,
        merged=merged,
    )


def _merged_keys(
    event: f.Make, number: int, execution: Execution, structs: _Structs, certain: Certain
) -> Iterator[_NewKey]:
    """What ``OmegaConf.merge`` adds to a struct; notes of what is made whether it is a struct."""
    root, env = execution.trace.roots[event.root], execution.special.env
    if root.kind in ("hydra", "compose"):
        structs.make(event.root, struct=True)
        return
    if root.kind not in ("copy", "merge") or not root.sources:
        return
    source = execution.trace.values[root.sources[0]]
    if isinstance(source, f.Config):
        keys = keys_of(source.path, env)
        if isinstance(keys, NotKnown):
            return
        structs.copy(event.root, source.root, tuple(keys))
        if root.kind == "copy":
            return
        if structs.is_struct(source.root, tuple(keys)) and certain.happens(event.guard):
            before = at_keys(env.tree(source.root, number), keys)
            for new in _added(before, env.tree(event.root, 0), ()):
                yield _new_key(execution, event, source.root, (*keys, *new), merged=True)
    else:
        structs.make(event.root, struct=False)
    # A flag that was set on what is merged goes over to the result: `merge({}, cfg)` is a struct.
    for other in root.sources[1:]:
        row = execution.trace.values[other]
        inner = keys_of(row.path, env) if isinstance(row, f.Config) else None
        if isinstance(row, f.Config) and inner is not None and not isinstance(inner, NotKnown):
            flag = structs.own(row.root, tuple(inner))
            if flag is not None:
                structs.set(event.root, (), struct=flag)


def _added(before: object, after: object, at: Keys) -> Iterator[Keys]:
    """The keys that a tree has and an earlier one has not, where both are mappings."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, inner in after.items():
            if key not in before:
                yield (*at, key)
            else:
                yield from _added(before[key], inner, (*at, key))


def _struct_write(found: Sequence[_NewKey]) -> Hit:
    first = found[0]
    names = list(dict.fromkeys(_dotted(n.name) for n in found))
    verb, keys = ("is", "key") if len(names) == 1 else ("are", "keys")
    message = (
        f"{_names(names)} {verb} written, but the config has no such {keys} and takes no new ones."
    )
    if first.merged:
        message = (
            f"{_names(names)} {verb} merged into the config, which has no such {keys} and takes "
            "no new ones."
        )
    where = "merge" if first.merged else "write"
    help_ = f"Define {_names(names)} in the configs, or {where} inside `with open_dict(cfg):`."
    if all(len(n.right) == 1 for n in found):
        rights = dict.fromkeys(_dotted(n.right[0]) for n in found)
        help_ = f"Write {_names(list(rights))}, where the config holds what is meant."
    places = {(n.place.line, _dotted(n.name)) for n in found if n.place.line != first.place.line}
    return Hit(
        path=first.path,
        line=first.place.line,
        column=first.place.column,
        end_line=first.place.end_line,
        end_column=first.place.end_column,
        message=message,
        help=help_,
        related=tuple(
            Related(path=first.path, line=line, message=f"`{name}` is written here too.")
            for line, name in sorted(places)
        ),
        runs=tuple(dict.fromkeys(n.run_id for n in found if n.run_id is not None)),
        modes=tuple(dict.fromkeys(n.mode for n in found if n.mode is not None)),
    )


# ---- words ----


def _dotted(keys: Keys) -> str:
    return "cfg" + "".join(f".{k}" if isinstance(k, str) else f"[{k}]" for k in keys)


def _names(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        return f"{', '.join(shown)} and {len(names) - _MOST_NAMES} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _plain_names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def _hit(cause: _Cause, message: str, help_: str) -> Hit:
    first = next(m for m in cause.misses if m.sure)
    sure = [m for m in cause.misses if m.sure]
    related: dict[tuple[str, int], Related] = {}
    for miss in cause.misses:
        name = _dotted(miss.name)
        if miss.taken is not None and miss.taken != (first.path, first.place.line):
            words = f"The section that lacks `{name}` is taken from the config here."
            related.setdefault(
                miss.taken, Related(path=miss.taken[0], line=miss.taken[1], message=words)
            )
    for miss in cause.misses:
        here = (miss.path, miss.place.line)
        if here == (first.path, first.place.line):
            continue
        name = _dotted(miss.full)
        words = f"`{name}` is read here too."
        if len(miss.right) == 1:
            words = f"`{name}` is read here; it is at `{_dotted(miss.right[0])}`."
        related[here] = Related(path=miss.path, line=miss.place.line, message=words)
    return Hit(
        path=first.path,
        line=first.place.line,
        column=first.place.column,
        end_line=first.place.end_line,
        end_column=first.place.end_column,
        message=message,
        help=help_,
        related=tuple(related[at] for at in sorted(related)),
        runs=tuple(dict.fromkeys(m.run_id for m in sure if m.run_id is not None)),
        modes=tuple(dict.fromkeys(m.mode for m in sure if m.mode is not None)),
    )


def _undefined(cause: _Cause) -> Hit:
    first = next(m for m in cause.misses if m.sure)
    names = list(dict.fromkeys(_dotted(m.name) for m in cause.misses))
    key, section = first.name[-1], first.name[:-1]
    parent = first.parent
    if cause.key == _NOT_LOADED:
        return _not_loaded(cause)
    if cause.key == _DANGLING:
        said = first.dangling or next(m.dangling for m in cause.misses if m.dangling)
        return _hit(
            cause,
            f"{_names(names)} {'is' if len(names) == 1 else 'are'} read, but OmegaConf cannot "
            f"resolve {'it' if len(names) == 1 else 'them'}: {said.rstrip('.')}.",
            "Give the key a value, or let its interpolation name a key that the composed config "
            "has in this run.",
        )
    if first.loaded is not None:
        return _not_in_file(cause, first)
    runs = list(dict.fromkeys(m.run_id for m in cause.misses if m.run_id is not None))
    whose = "no run's config defines"
    if len(runs) < 2:
        whose = f"the config of {runs[0]} does not define" if runs else "its config does not define"
    if not isinstance(parent, Mapping):
        held = "null" if parent is None else f"{parent!r}"
        message = f"`{names[0]}` is read, but `{_dotted(section)}` holds {held} and no keys."
    elif len(names) > 1:
        read = _names(names)
        message = f"`{_dotted(section)}` is empty, but {read} are read from it without a default."
    else:
        message = f"`{names[0]}` is read without a default, but {whose} it."
    where = _where(first)
    help_ = f"Define `{key}` under `{_dotted(section)}` in {where}"
    if not section:
        help_ = f"Define `{key}` in {where}"
    if not isinstance(parent, Mapping):
        help_ = f"Make `{_dotted(section)}` a mapping that holds `{key}`"
        help_ += f" in {where}" if where else ""
    if len(first.right) > 1:
        help_ += f"; there is {_names([_dotted(r) for r in first.right])}"
    elif isinstance(parent, Mapping) and len(names) == 1:
        help_ += f', or read it with a default: `{_dotted(section)}.get("{key}", …)`'
    return _hit(cause, message, help_ + ".")


def _not_in_file(cause: _Cause, first: _Miss) -> Hit:
    name = _dotted(first.name).removeprefix("cfg").removeprefix(".")
    files = list(dict.fromkeys(m.loaded for m in cause.misses if m.loaded is not None))
    help_ = f"Define `{name}` in {_names(files)}"
    if len(first.right) == 1:
        right = _dotted(first.right[0]).removeprefix("cfg").removeprefix(".")
        help_ = f"Read `{right}`, which the file has"
    return _hit(
        cause,
        f"`{name}` is read without a default, but {_names(files)}, which the code loads, "
        f"{'does' if len(files) == 1 else 'do'} not define it.",
        help_ + ".",
    )


def _not_loaded(cause: _Cause) -> Hit:
    files = list(dict.fromkeys(m.unloaded for m in cause.misses if m.unloaded))
    heads = [m.full[:2] if m.full[0] == "run" else m.full[:1] for m in cause.misses]
    names = list(dict.fromkeys(_dotted(head) for head in heads))
    return _hit(
        cause,
        f"{_names(names)} {'is' if len(names) == 1 else 'are'} read, but {files[0]}, which defines "
        f"{'it' if len(names) == 1 else 'them'}, is not part of the config that Hydra composes.",
        f"Load {files[0]} before its keys are read: with `- run: ???` in the defaults list and the "
        "file in the group `run` its keys stand under `cfg.run`, and with `OmegaConf.load` the "
        "code merges it itself.",
    )


def _where(miss: _Miss) -> str:
    """The file in which a key would have to be defined."""
    if miss.name[0] == "run" and miss.run_id is not None:
        return "every run config"
    if miss.merged is not None:
        return f"{miss.origin or 'the primary config'} or {miss.merged}"
    return miss.origin or "the primary config"


def _in_some_runs(cause: _Cause) -> Hit:
    first = next(m for m in cause.misses if m.sure)
    runs = list(dict.fromkeys(m.run_id for m in cause.misses if m.sure and m.run_id))
    modes = list(dict.fromkeys(m.mode for m in cause.misses if m.sure and m.mode))
    name = _dotted(first.name)
    words = "run" if len(runs) == 1 else "runs"
    if runs:
        message = (
            f"`{name}` is read without a default, but the {words} {_plain_names(runs)} "
            f"{'does' if len(runs) == 1 else 'do'} not define it, as others do."
        )
    else:
        message = f"`{name}` is read without a default, but in mode {_plain_names(modes)} it is \
not defined."
    section = first.name[:-1]
    help_ = f"Define `{name}` in the config of {_plain_names(runs) or 'every mode'}"
    if isinstance(first.parent, Mapping):
        help_ += f', or read it with a default: `{_dotted(section)}.get("{first.name[-1]}", …)`'
    return _hit(cause, message, help_ + ".")


def _in_wrong_section(cause: _Cause) -> Hit:
    first = next(m for m in cause.misses if m.sure)
    right = first.right[0]
    out, put = _shift(first.full, right)
    # What is off by a section is told by its uppermost keys: all below them is off too.
    names = list(dict.fromkeys(_dotted(m.full[: len(out) + 1]) for m in cause.misses))
    rights = dict.fromkeys(_dotted((*put, *m.full[len(out) :][:1])) for m in cause.misses)
    if len(names) == 1:
        message = f"`{_dotted(first.full)}` is read, but the config holds it at \
`{_dotted(right)}`."
        help_ = f"Read `{next(iter(rights))}`"
    else:
        level = f"under `{_dotted(put)}`" if put else "at the root"
        message = f"{_names(names)} are read, but the config holds them {level}."
        help_ = f"Read {_names(list(rights))}"
    if put == ("run",) and not out:
        help_ += ", or begin every run config with `# @package _global_`"
    return _hit(cause, message, help_ + ".")
