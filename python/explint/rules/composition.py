"""Rules that the composition of the training command decides: criteria 2, 5 and 7."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from explint.compose import compose_tree
from explint.compose.entry import EntryPoint
from explint.compose.errors import CompositionError, ErrorKind
from explint.compose.shell import ShellProblem, split
from explint.compose.static import Composed
from explint.compose.static import Unknown as NotComposed
from explint.compose.yaml import Mark, YamlDocument
from explint.model import Confidence, Related, Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.children import child_overrides
from explint.rules.cli import NOT_WHOLE, train_contract
from explint.rules.hydra import invalid_run_config
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.started import module_of, unread

if TYPE_CHECKING:
    from explint.compose import RunComposition
    from explint.experiment import Experiment
    from explint.protocol.profile import Mode

_OVERRIDE_KINDS = (
    ErrorKind.OVERRIDE_SYNTAX,
    ErrorKind.SWEEP,
    ErrorKind.NOT_IN_STRUCT,
    ErrorKind.CANNOT_ADD,
    ErrorKind.CANNOT_DELETE,
)
_UNREADABLE = (ErrorKind.INVALID_YAML, ErrorKind.NOT_A_MAPPING)
_NO_PRIMARY = (ErrorKind.NO_CONFIG_FOLDER, ErrorKind.NO_PRIMARY_CONFIG)
# Measured with wandb: wandb.init(id=…) raises for these.
_NOT_IN_WANDB_IDS = ":;,#?/'"
_PLAIN_WORD = regex(r"([A-Za-z_]\w*)=([A-Za-z_]+)")
_FORWARDS = regex(r"""\b[rR]?[fF][rR]?["']\+*run=\{|["']\+*run=["']\s*\+""")
# Words without which no config comes into a program.
_LOADS_CONFIG = regex(r"\b(?:hydra|omegaconf|OmegaConf|yaml|pyrallis|ConfigArgParse)\b")
_REFERENCE = regex(r"\$\{\s*([A-Za-z_][\w.]*)\s*\}")


@rule("hydra/no-entry-point", code="HYD001", severity=Severity.ERROR, criteria=(2,))
def no_entry_point(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Nothing in the package starts Hydra or loads a run config.

    ## What it does
    Looks at the module that the profile's training command starts. It is reported when it has
    neither `@hydra.main` nor `hydra.compose`, and no other module of the package has, nor loads
    YAML files with OmegaConf or PyYAML: then the run configs reach the code in no way.

    A module that calls or starts another one with `@hydra.main`, or reads the run config by
    itself, is an equivalent way in. A command line that such a module cannot take is told by
    `cli/train-contract`, and then this rule is silent. Where a module's text is not there, the
    answer is unknown.

    ## Why is this bad
    `run=<run id>` chooses the run's config through Hydra. Without it every run trains with the
    same values, whatever its config says.

    ## Example
    ```python
    def main() -> None:
        train(epochs=10, learning_rate=0.001)


    if __name__ == "__main__":
        main()
    ```

    ## Use instead
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg: DictConfig) -> None:
        train(cfg)
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [Hydra: your first app](https://hydra.cc/docs/tutorials/basic/your_first_app/simple_cli/)
    """
    module = module_of(experiment.profile.commands.train)
    if module is None or not isinstance(experiment.entry, str):
        return
    path = f"{module.replace('.', '/')}.py"
    for own in experiment.package.files:
        if not own.endswith(".py"):
            continue
        if own == path or experiment.state(own) is FileState.WITHHELD:
            lacking = unread(experiment, own)
            if lacking is not None:
                yield lacking
                return
        if _LOADS_CONFIG.search(experiment.text(own) or ""):
            return
    if experiment.state(path) is not FileState.PRESENT:
        return
    told = any(
        found.path == path and found.rule in NOT_WHOLE for found in experiment.facts.findings
    )
    if told or any(isinstance(hit, Hit) for hit in train_contract.function(experiment)):
        return
    yield Hit(
        path=path,
        message=f"`python -m {module}` starts no Hydra, and nothing in the package loads a run "
        "config.",
        help='Put `@hydra.main(version_base=None, config_path="../config", config_name="config")` '
        "on the function that is started, and read the values from its config.",
    )


@rule("hydra/no-config-name", code="HYD002", severity=Severity.ERROR, criteria=(2,))
def no_config_name(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """`@hydra.main` names no config, so the primary config is not loaded.

    ## What it does
    Looks at the module that the profile's training command starts and reports `@hydra.main`, or
    Hydra's `compose`, without a `config_name`. With no name Hydra composes an empty config, even
    where `config_path` points to the right folder.

    Arguments that are made at run time leave the answer unknown, and so does a module that does
    not start Hydra at all.

    ## Why is this bad
    Hydra knows no key of `config/config.yaml` then, and refuses the first word of the command
    line: `Could not override 'run'`. No run starts.

    ## Example
    ```python
    @hydra.main(version_base=None, config_path="../config")
    def main(cfg): ...
    ```

    ## Use instead
    ```python
    @hydra.main(version_base=None, config_path="../config", config_name="config")
    def main(cfg): ...
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [Hydra: the primary config](https://hydra.cc/docs/tutorials/basic/your_first_app/config_file/)
    """
    if experiment.profile.commands.train is None:
        return
    entry = experiment.entry
    if isinstance(entry, str):
        yield _no_entry(experiment, entry)
    elif entry.unknown is not None:
        yield _entry_unknown(entry)
    elif entry.config_name is None:
        primary = experiment.profile.config.primary or "config/config.yaml"
        name = posixpath.basename(primary).removesuffix(".yaml")
        call = "@hydra.main" if entry.way == "main" else "compose"
        yield Hit(
            path=entry.path,
            line=entry.line,
            column=entry.column,
            message=f"`{call}` names no config, so that Hydra does not load {primary}.",
            help=f'Add `config_name="{name}"` to the arguments.',
        )


@rule("hydra/composition-error", code="HYD004", severity=Severity.ERROR, criteria=(2, 7))
def composition_error(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Hydra refuses to compose the config that the training command asks for.

    ## What it does
    Composes the config of every run under every mode of the profile, as
    `python -m src.main run=<run id> results_dir=<folder> mode=<mode>` does, and reports what Hydra
    stops at: a group that the defaults list does not hold, an option without a file, a `${…}` in
    the defaults list that is no group, a mandatory choice that nobody makes, a `config_path` that
    leads nowhere, a section that cannot be merged, a `hydra.run.dir` that cannot be resolved.

    An error that stops several runs is reported once. YAML that cannot be loaded is reported by
    `hydra/invalid-run-config`, keys that the command line sets and no config has by
    `hydra/bad-override`, and run ids that need quotes by `hydra/unsafe-run-id`.

    The answer is unknown where arguments of `@hydra.main` are made at run time, the module does not
    start Hydra, `config/config.yaml` is not there, code registers configs in Hydra's ConfigStore,
    or `hydra.searchpath` names other folders.

    ## Why is this bad
    Hydra composes before the first line of the experiment runs. The run ends there.

    ## Example
    `config/config.yaml`:
    ```yaml
    mode: full
    results_dir: results
    ```
    with `config/run/proposed.yaml` and `run=proposed` on the command line: `Could not override
    'run'. No match in the defaults list.`

    ## Use instead
    ```yaml
    defaults:
      - _self_
      - run: ???

    mode: full
    results_dir: results
    ```

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [Hydra: the defaults list](https://hydra.cc/docs/advanced/defaults_list/)
    """
    if experiment.profile.commands.train is None:
        return
    study = _study(experiment)
    if study.unknown is not None:
        yield study.unknown
    for case in study.errors:
        if case.error.kind not in _OVERRIDE_KINDS:
            yield _composition_hit(experiment, case)


@rule("hydra/bad-override", code="HYD008", severity=Severity.ERROR, criteria=(2,))
def bad_override(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """An override sets a key that no config has, or is none that Hydra can read.

    ## What it does
    Takes the words that the profile's training command hands to Hydra (`run=…`, `results_dir=…`
    and the mode) and reports each one that Hydra refuses: its key is in no composed config, or the
    word breaks the override grammar. The composed config is a struct: only keys that are there can
    be set without `+`.

    Keys that are missing together are one finding, at the primary config.

    The words that the code hands to a process it starts (`python -m src.train key=value …`) are
    judged in the same way: the config of that process is composed in every run and mode. What only
    the run knows is left out: a word that holds it is judged by its key, and a command whose words
    are made at run time is not judged.

    ## Why is this bad
    Hydra ends with `Could not override 'mode'. Key 'mode' is not in struct` before the experiment
    starts, in every run. A child that ends so takes the run with it.

    ## Example
    `config/config.yaml`:
    ```yaml
    defaults:
      - _self_
      - run: ???

    results_dir: results
    ```
    with `mode=trial` on the command line.

    ## Use instead
    ```yaml
    defaults:
      - _self_
      - run: ???

    results_dir: results
    mode: full
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [Hydra: the override grammar](https://hydra.cc/docs/advanced/override_grammar/basic/)
    """
    if experiment.profile.commands.train is None:
        return
    study = _study(experiment)
    if study.unknown is not None:
        yield study.unknown
    for case in study.errors:
        if case.error.kind in _OVERRIDE_KINDS:
            yield _override_hit(experiment, case)
    yield from child_overrides(experiment)


@rule("hydra/unsafe-run-id", code="HYD009", severity=Severity.ERROR, criteria=(2, 7))
def unsafe_run_id(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A run id does not get through the command line, or W&B takes no such id.

    ## What it does
    Puts every run id into the training command as the protocol writes it, `run=<run id>` without
    quotes, and reports ids that

    - a POSIX shell does not pass on: `(`, `)`, `;`, `&`, `|`, `$`, `<`, a blank, a backslash …;
    - Hydra's override grammar does not read as that text: `,`, `=`, `[`, `{`, `!`, letters beyond
      ASCII, and `10`, `1e-4`, `true` or `null`, which are no text;
    - W&B refuses where evaluation looks runs up by their id: one with `:` or `?`.

    Ids with letters, digits, `-`, `_` and `.` are safe. Ids with the same trouble are one finding.
    The config behind such an id is judged as if the id were quoted.

    ## Why is this bad
    The shell stops with a syntax error, runs something else, or Hydra rejects the word: the run
    never starts. Code that hands `f"run={run_id}"` to a child process fails in the same way.

    ## Example
    `config/run/proposed-resnet18 (11M).yaml`:
    ```yaml
    run_id: proposed-resnet18 (11M)
    ```

    ## Use instead
    `config/run/proposed-resnet18-11M.yaml`:
    ```yaml
    run_id: proposed-resnet18-11M
    ```

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [Hydra: quoted values](https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values)
    """
    if "{run_id}" not in (experiment.profile.commands.train or ""):
        return
    runs = experiment.run_ids()
    if not runs:
        yield Unknown(reason="no run is named", decided_by="a run config")
    groups: dict[tuple[str, str], list[str]] = {}
    undecided = False
    for run_id in runs:
        refused = experiment.refused(run_id)
        if refused is not None and refused.by == "shell":
            groups.setdefault(("the shell", refused.message), []).append(run_id)
        elif refused is not None and isinstance(experiment.entry, str):
            undecided = True
        elif refused is not None:
            # Hydra's words quote the id; what is the same of all ids stands before it.
            groups.setdefault(("Hydra", refused.message.partition(" '")[0]), []).append(run_id)
        elif _wandb_refuses(experiment, run_id):
            groups.setdefault(("W&B", ""), []).append(run_id)
    for (who, _), ids in groups.items():
        yield _unsafe_hit(experiment, who, ids)
    if undecided:
        yield Unknown(
            reason=f"{experiment.entry}, and Hydra would not read an id as it is",
            decided_by="who reads the command line",
        )


@rule("structure/run-config-missing", code="STR004", severity=Severity.ERROR, criteria=(5, 7))
def run_config_missing(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A run that the experiment names has no run config.

    ## What it does
    Looks for the config file of every run that a record lists or that the profile's command lines
    name, such as `config/run/<run id>.yaml`. Where a record gives no run's config, the files stand
    elsewhere and the answer is unknown.

    Runs that are known by their config file alone are there by definition.

    ## Why is this bad
    `run=<run id>` chooses that file: Hydra ends with `Could not find 'run/<run id>'`, and the run
    is missing from the comparison.

    ## Example
    The experiment lists the runs `proposed-cnn` and `comparative-cnn`, and the package holds
    `config/run/proposed-cnn.yaml` only.

    ## Use instead
    One file for each run: `config/run/proposed-cnn.yaml` and `config/run/comparative-cnn.yaml`.

    ## References
    - Criteria 5 and 7 of the experiment protocol
    - [Hydra: config groups](https://hydra.cc/docs/tutorials/basic/your_first_app/config_groups/)
    """
    config = experiment.profile.config
    if config.run_file is None:
        return
    missing = _missing_runs(experiment)
    if not missing:
        return
    package = experiment.package
    cut = package.record is not None and package.record.truncated
    if cut or (package.partial and not experiment.run_configs()):
        reason = "text was cut out of the record" if cut else "the record gives no run configs"
        yield Unknown(reason=reason, decided_by=config.run_file)
        return
    there = [run.path for run in experiment.run_configs() if run.is_run]
    like = f", as {there[0]} is one" if there else ""
    for run_id in missing:
        path = config.run_file.replace("{run_id}", run_id)
        yield Hit(
            path=path,
            message=f"The experiment names the run `{run_id}`, which has no run config.",
            help=f"Add {path} with the settings of this run{like}.",
            runs=(run_id,),
        )


# What the compositions of all runs say


class _Case(msgspec.Struct):
    """One error and the runs and modes that it stops."""

    error: CompositionError
    answer: RunComposition
    runs: list[str] = msgspec.field(default_factory=list)
    modes: list[str] = msgspec.field(default_factory=list)
    absent: list[str] = msgspec.field(default_factory=list)


def _no_entry(experiment: Experiment, why: str) -> Unknown:
    """The answer about a config when nothing tells where the command starts Hydra."""
    module = module_of(experiment.profile.commands.train)
    path = None if module is None else f"{module.replace('.', '/')}.py"
    lacking = None if path is None else unread(experiment, path)
    return lacking or Unknown(reason=why, decided_by=path or "where the command starts Hydra")


class _Study(msgspec.Struct):
    errors: list[_Case]
    unknown: Unknown | None = None


def _study(experiment: Experiment) -> _Study:
    """Composes every run under every mode and puts together what has one cause."""
    entry = experiment.entry
    if isinstance(entry, str):
        return _Study([], _no_entry(experiment, entry))
    if entry.unknown is not None:
        return _Study([], _entry_unknown(entry))
    if entry.config_name is None:
        # hydra/no-config-name tells of it.
        return _Study([])
    takes_run = "{run_id}" in (experiment.profile.commands.train or "")
    named: list[str | None] = [*experiment.run_ids()] if takes_run else [None]
    if not named:
        return _Study([], Unknown(reason="no run is named", decided_by="a run config"))
    without_config = set(_missing_runs(experiment))
    study = _Study([])
    cases: dict[tuple[object, ...], _Case] = {}
    for run_id in named:
        for mode, answer in _compositions(experiment, run_id):
            error = answer.result
            if isinstance(error, Composed):
                broken = _broken_run_dir(experiment, error)
                if broken is None:
                    continue
                error = broken
            if run_id in without_config and isinstance(error, CompositionError):
                # structure/run-config-missing tells of it.
                continue
            unknown = _undecided(experiment, entry, error)
            if unknown is not None:
                study.unknown = study.unknown or unknown
                continue
            if not isinstance(error, CompositionError) or _is_told(experiment, error):
                continue
            key = _cause(error, answer, run_id)
            if key not in cases:
                cases[key] = _Case(error, answer, absent=_absent_keys(experiment, answer, error))
            case = cases[key]
            if run_id is not None and run_id not in case.runs:
                case.runs.append(run_id)
            if mode is not None and mode.name not in case.modes:
                case.modes.append(mode.name)
    study.errors = list(cases.values())
    return study


def _compositions(
    experiment: Experiment, run_id: str | None
) -> Iterator[tuple[Mode | None, RunComposition]]:
    modes = experiment.profile.trial.modes
    first: tuple[Mode, RunComposition] | None = None
    for mode in modes:
        if first is not None and _composes_alike(first[0], mode, first[1].result):
            continue
        answer = experiment.composed(run_id, mode)
        first = first or (mode, answer)
        yield mode, answer
    if not modes:
        yield None, experiment.composed(run_id, None)


def _composes_alike(composed: Mode, other: Mode, result: object) -> bool:
    """Whether a mode differs from one that composes in nothing but the text of a plain value."""
    first, second = (_PLAIN_WORD.fullmatch(m.override) for m in (composed, other))
    return (
        isinstance(result, Composed)
        and first is not None
        and second is not None
        and first[1] == second[1]
        and bool(result.files)
        and first[1] not in result.choices
    )


def _cause(
    error: CompositionError, answer: RunComposition, run_id: str | None
) -> tuple[object, ...]:
    """What is the same of an error in two runs when they have one cause."""
    if error.path is not None:
        return error.kind, error.path, error.line, error.column
    message = error.message
    if run_id is not None:
        message = re.sub(rf"(?<![\w-]){re.escape(run_id)}(?![\w-])", "{run_id}", message)
    word = "" if error.override is None else answer.words[error.override].partition("=")[0]
    return error.kind, message, word


def _absent_keys(
    experiment: Experiment, answer: RunComposition, error: CompositionError
) -> list[str]:
    """The keys of the command line that no config has: Hydra names the first of them only."""
    entry = answer.entry
    words = list(answer.words)
    absent: list[str] = []
    result: object = error
    while (
        entry is not None
        and isinstance(result, CompositionError)
        and result.kind is ErrorKind.NOT_IN_STRUCT
        and result.override is not None
    ):
        absent.append(words.pop(result.override).partition("=")[0])
        result, _ = compose_tree(
            experiment.config_tree,
            config_dir=entry.config_dir or "",
            config_name=entry.config_name,
            overrides=words,
            version_base=entry.version_base,
            reference=False,
        )
    return absent


def _undecided(experiment: Experiment, entry: EntryPoint, result: object) -> Unknown | None:
    if isinstance(result, NotComposed):
        return Unknown(reason=result.reason, decided_by="the composed config")
    if isinstance(result, ShellProblem):
        return Unknown(
            reason=f"the training command depends on the shell: {result.message}",
            decided_by="the words Hydra gets",
        )
    demanded = experiment.profile.config.primary
    states = {experiment.state(path) for path in (_primary(entry), demanded) if path is not None}
    if FileState.PRESENT not in states and demanded is not None:
        # That it is absent or empty is a finding of its own.
        return Unknown(reason=f"{demanded} has no text", decided_by=demanded, path=demanded)
    return None


def _primary(entry: EntryPoint) -> str:
    """The config file that the entry point names."""
    name = (entry.config_name or "").removesuffix(".yaml")
    return posixpath.normpath(posixpath.join(entry.config_dir or "", f"{name}.yaml"))


def _is_told(experiment: Experiment, error: CompositionError) -> bool:
    """Whether hydra/invalid-run-config tells of the same file."""
    return error.kind in _UNREADABLE and any(
        isinstance(hit, Hit) and hit.path == error.path
        for hit in invalid_run_config.function(experiment)
    )


def _broken_run_dir(experiment: Experiment, composed: Composed) -> CompositionError | None:
    """What Hydra stops at when it makes the run's own folder, before the experiment starts."""
    run = composed.hydra.get("run")
    folder = run.get("dir") if isinstance(run, dict) else None
    if not isinstance(folder, str) or "${" not in folder:
        return None
    for reference in _REFERENCE.finditer(folder):
        keys = reference[1].split(".")
        if keys[0] == "hydra" or not _is_absent(composed.value, keys):
            continue
        for path in reversed(composed.files):
            document = experiment.yaml(path)
            mark = None
            if isinstance(document, YamlDocument) and folder in (experiment.text(path) or ""):
                mark = document.at(("hydra", "run", "dir"))
            if mark is not None:
                return CompositionError(
                    ErrorKind.INTERPOLATION,
                    f"Interpolation key '{reference[1]}' not found",
                    path=path,
                    line=mark.line,
                    column=mark.column,
                )
    return None


def _is_absent(value: Any, keys: list[str]) -> bool:  # noqa: ANN401
    for key in keys:
        if not isinstance(value, dict):
            return False
        if key not in value:
            return True
        value = value[key]
    return False


def _missing_runs(experiment: Experiment) -> list[str]:
    """The runs that are named and have no file."""
    template = experiment.profile.config.run_file
    if template is None:
        return []
    runs = experiment.package.runs
    named = [*(run.run_id for run in runs), *_runs_of_commands(experiment)]
    # The config of a run whose id is no file's name is known all the same.
    known = {run.run_id for run in runs if run.config}
    return [
        run_id
        for run_id in dict.fromkeys(named)
        if run_id not in known
        and experiment.state(template.replace("{run_id}", run_id)) is FileState.ABSENT
    ]


def _runs_of_commands(experiment: Experiment) -> Iterator[str]:
    commands = experiment.profile.commands
    for command in (commands.train, commands.evaluate):
        words = split(command or "")
        for word in words if isinstance(words, list) else ():
            key, _, value = word.partition("=")
            if not value or "{" in value:
                continue
            if key == "run":
                yield value
            elif key == "run_ids":
                try:
                    ids = json.loads(value)
                except ValueError:
                    continue
                yield from (i for i in ids if isinstance(i, str))


# Findings


def _composition_hit(experiment: Experiment, case: _Case) -> Hit:
    path, line, column = _place(experiment, case)
    error = case.error
    said = error.message.rstrip(".")
    if said.endswith(":"):
        said = f"{said} {error.more.partition(chr(10))[0].rstrip('.')}".rstrip(": ")
    return Hit(
        path=path,
        line=line,
        column=column,
        message=f"Hydra does not compose the training command: {_short(said)}.",
        help=_help(experiment, case),
        runs=tuple(case.runs),
        modes=tuple(case.modes),
    )


def _override_hit(experiment: Experiment, case: _Case) -> Hit:
    path, line, column = _place(experiment, case)
    error = case.error
    if case.absent:
        keys = case.absent
        shown = _listed([f"`{key}`" for key in keys])
        verb = "is" if len(keys) == 1 else "are"
        said = _short(error.message.rstrip("."))
        message = f"{said}: {shown} {verb} in no config that Hydra loads."
        help = f"Add {_listed([_supply(experiment, key) for key in keys])} to {path}."
    else:
        message = f"Hydra refuses the training command: {_short(error.message.rstrip('.'))}."
        help = "Write the command line so that Hydra's override grammar takes it."
    return Hit(
        path=path,
        line=line,
        column=column,
        message=message,
        help=help,
        runs=tuple(case.runs),
        modes=tuple(case.modes),
    )


def _supply(experiment: Experiment, key: str) -> str:
    config = experiment.profile.config
    if key == "run":
        return "`- run: ???` in the defaults list" if config.run == "group" else "`run: null`"
    if key == experiment.profile.trial.key:
        modes = experiment.profile.trial.modes
        full = next((mode for mode in reversed(modes) if not mode.cheap), None)
        value = "false" if key == "trial_mode" else (full.name if full is not None else "null")
        return f"`{key}: {value}`"
    return f"`{key}: ???`"


def _place(experiment: Experiment, case: _Case) -> tuple[str, int, int]:
    error, entry = case.error, case.answer.entry
    if error.path is not None:
        return error.path, error.line or 1, error.column or 1
    if entry is None:
        return experiment.profile.config.primary or "config/config.yaml", 1, 1
    primary = _primary(entry)
    if error.kind in _NO_PRIMARY or experiment.state(primary) is FileState.ABSENT:
        return entry.path, entry.line, entry.column
    document = experiment.yaml(primary)
    mark = document.key_at(("defaults",)) if isinstance(document, YamlDocument) else None
    if mark is None or error.kind is ErrorKind.NOT_IN_STRUCT:
        return primary, 1, 1
    return primary, mark.line, mark.column


def _help(experiment: Experiment, case: _Case) -> str:
    error, answer = case.error, case.answer
    word = "" if error.override is None else answer.words[error.override]
    key = word.partition("=")[0].lstrip("+~")
    primary = experiment.profile.config.primary or "config/config.yaml"
    match error.kind:
        case ErrorKind.NO_CONFIG_FOLDER | ErrorKind.NO_PRIMARY_CONFIG:
            assert answer.entry is not None
            start = posixpath.dirname(answer.entry.path) or "."
            folder = posixpath.relpath(posixpath.dirname(primary) or ".", start)
            name = posixpath.basename(primary).removesuffix(".yaml")
            return f'Write `config_path="{folder}", config_name="{name}"`.'
        case ErrorKind.NOT_IN_DEFAULTS:
            return f"Add `- {key}: ???` to the defaults list of {primary}."
        case ErrorKind.MISSING_CONFIG:
            return "Add the file that is asked for, or name one that is there."
        case ErrorKind.MANDATORY_CHOICE:
            return "Name an option in place of `???`: the training command chooses none."
        case ErrorKind.DUPLICATE_DEFAULT:
            return "Keep one of the entries for this group."
        case ErrorKind.DEFAULTS_INTERPOLATION:
            return "Write the option's name: the defaults list sees chosen groups, not config keys."
        case ErrorKind.RECURSIVE_DEFAULTS:
            return "Take out the entry that leads back to its own file."
        case ErrorKind.INVALID_DEFAULTS:
            return "Write the defaults list as `- group: option` entries."
        case ErrorKind.INVALID_HEADER:
            return "Write the first line as `# @package <package>`."
        case ErrorKind.MERGE:
            return "Remove the setting, or give it the type that the config it is merged into has."
        case ErrorKind.INTERPOLATION:
            return "Name a key that the composed config has."
        case ErrorKind.INVALID_YAML | ErrorKind.NOT_A_MAPPING:
            return "Correct the file: Hydra loads it in every run."
        case _:
            return "Change the defaults list so that Hydra finds what the training command chooses."


def _unsafe_hit(experiment: Experiment, who: str, ids: list[str]) -> Hit:
    places = [_id_place(experiment, run_id) for run_id in ids]
    path, mark = next((place for place in places if place is not None), (None, Mark(1, 1, 1, 1)))
    related = [
        Related(path=other, line=at.line, message=f"The run `{run_id}` has the same trouble.")
        for run_id, place in zip(ids, places, strict=True)
        if place is not None
        for other, at in (place,)
        if other != path
    ]
    forward = _forwarding(experiment)
    if forward is not None and path is not None:
        message = "The id is handed on to another process without quotes here."
        related.append(Related(path=forward[0], line=forward[1], message=message))
    elif path is None:
        path, line = forward or (experiment.profile.config.primary or "config/config.yaml", 1)
        mark = Mark(line, 1, line, 1)
    first = ids[0]
    refused = experiment.refused(first)
    shown = _short(first, 80)
    if who == "W&B" or refused is None:
        bad = _listed([f"`{c}`" for c in dict.fromkeys(first) if c in _NOT_IN_WANDB_IDS])
        message = f"W&B takes no run id with {bad}, as `{shown}` has."
    else:
        message = (
            f"The run id `{shown}` does not get through the training command: "
            f"{who} {_short(refused.message.rstrip('.'))}."
        )
    return Hit(
        path=path,
        line=mark.line,
        column=mark.column,
        end_line=mark.end_line,
        end_column=mark.end_column,
        message=message,
        help=f"Name the run `{_safe(first)}`, in run_id and as the file's name.",
        related=tuple(related),
        runs=tuple(ids),
        confidence=Confidence.MEDIUM if who == "W&B" else None,
    )


def _id_place(experiment: Experiment, run_id: str) -> tuple[str, Mark] | None:
    template = experiment.profile.config.run_file
    path = None if template is None else template.replace("{run_id}", run_id)
    if path is None or experiment.state(path) is FileState.ABSENT:
        return None
    document = experiment.yaml(path)
    mark = None
    if isinstance(document, YamlDocument) and isinstance(document.value, dict):
        mark = document.at(("run_id",)) or document.at(("run", "run_id"))
    return path, mark or Mark(1, 1, 1, 1)


def _forwarding(experiment: Experiment) -> tuple[str, int] | None:
    """Where the entry point makes an override of the run id without quotes."""
    entry = experiment.entry
    text = None if isinstance(entry, str) else experiment.text(entry.path)
    found = None if text is None else _FORWARDS.search(text)
    if isinstance(entry, str) or text is None or found is None:
        return None
    return entry.path, text.count("\n", 0, found.start()) + 1


def _wandb_refuses(experiment: Experiment, run_id: str) -> bool:
    if not experiment.profile.evaluation.through_api:
        return False
    # A folder below the run folder is Hydra's way to the file and no part of the id.
    name = run_id if experiment.package.runs else run_id.rpartition("/")[2]
    return any(character in _NOT_IN_WANDB_IDS for character in name)


def _safe(run_id: str) -> str:
    text = re.sub(r"-*[^A-Za-z0-9_.-]+-*", "-", run_id).strip("-")
    return text if re.match(r"[A-Za-z]", text) and text.lower() not in _WORDS else f"run-{text}"


_WORDS = ("true", "false", "null", "nan", "inf")


def _entry_unknown(entry: EntryPoint) -> Unknown:
    return Unknown(
        reason=entry.unknown or "the arguments are not known",
        decided_by="the arguments of @hydra.main",
        path=entry.path,
    )


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
