"""Rules about Hydra and the run configs: criteria 2 and 7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from explint.compose.yaml import Mark, YamlDocument, YamlProblem
from explint.experiment import defaults_list
from explint.model import Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment, RunConfig

_PACKAGE_HEADER = regex(r"(?m)\A(?:\s*(?:#.*)?\n)*\s*#\s*@package[ \t]+(\S+)")
# What a config folder may hold besides Hydra's files: a stream of documents, YAML with another
# tool's tags, a template with `{{ … }}`.
_NOT_HYDRAS = ("second document", "constructor for the tag", "unhashable key")
_NUMBER = regex(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@rule("hydra/missing-section", code="HYD013", severity=Severity.ERROR, criteria=(2, 7))
def missing_section(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A run config lacks a section that the protocol demands.

    ## What it does
    Checks that every run config holds the sections its profile demands at the top level:
    `run_id`, `method`, `model`, `dataset`, `training` and `optuna`, or fewer where the profile
    says so: `sanity-pilot` demands `run_id` only, because its sections follow the task. A section
    that is null or empty is there. With `# @package _global_` a section may also stand under
    `run` or in `config/config.yaml`, and where the code merges the file itself, under `run`.

    A run config with a defaults list may get its sections from elsewhere, so what it lacks is
    unknown. Files named `default`, `base` or with a leading underscore, and files that other run
    configs name in their defaults list, are no run configs of their own.

    ## Why is this bad
    The code reads these sections in every run. Where one is missing, the run stops at the first
    read, or it falls back to a default that the experiment's design does not name.

    ## Example
    ```yaml
    run_id: proposed-small-cnn
    method: proposed
    model:
      name: small-cnn
    training:
      epochs: 10
    ```

    ## Use instead
    ```yaml
    run_id: proposed-small-cnn
    method: proposed
    model:
      name: small-cnn
    dataset:
      name: cifar10
    training:
      epochs: 10
    optuna:
      n_trials: 0
    ```

    ## References
    - Criterion 2 of the experiment protocol
    - [Hydra: packages](https://hydra.cc/docs/advanced/overriding_packages/)
    """
    config = experiment.profile.config
    if not config.sections:
        return
    runs = experiment.run_configs()
    if not runs and config.run_file is not None:
        yield Unknown(
            reason="the package holds no run config", decided_by=config.run_file, path=None
        )
    for run in runs:
        if not run.is_run or isinstance(run.doc, YamlProblem):
            continue
        if run.doc is None:
            yield Unknown(
                reason="the run config's text is not there", decided_by=run.path, path=run.path
            )
            continue
        if run.doc.value is not None and not isinstance(run.doc.value, dict):
            continue
        present = _sections(experiment, run, run.doc)
        lacking = [name for name in config.sections if name not in present]
        if not lacking:
            continue
        if defaults_list(run.doc):
            yield Unknown(
                reason=f"{_names(lacking)} may come from the run config's defaults list",
                decided_by="the composed config",
                path=run.path,
            )
            continue
        nested = run.doc.value.get("run") if isinstance(run.doc.value, dict) else None
        if isinstance(nested, dict) and all(name in nested for name in lacking):
            place = run.doc.key_at(("run",)) or Mark(1, 1, 1, 1)
            verb = "stands" if len(lacking) == 1 else "stand"
            yield _hit(
                run.path,
                place,
                f"{_names(lacking)} {verb} under `run`, so that Hydra composes it at run.run.",
                f"Write {_names(lacking)} at the top level of the file: Hydra puts the file under "
                "`run` by itself.",
                run.run_id,
            )
            continue
        yield Hit(
            path=run.path,
            message=f"The run config lacks {_names(lacking)}.",
            help=f"Add {_advice(lacking, run.run_id)} at the top level of {run.path}.",
            runs=(run.run_id,),
        )


@rule("hydra/invalid-run-config", code="HYD014", severity=Severity.ERROR, criteria=(2, 7))
def invalid_run_config(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A run config, or another config file, is not what Hydra can load or the protocol asks for.

    ## What it does
    Reads every YAML file in the config folder by OmegaConf's rules and reports

    - YAML that OmegaConf rejects: a syntax error, a key that stands twice, a null key;
    - a run config or `config/config.yaml` that is not a mapping;
    - a `run_id` that differs from the file's name, is no string or has no value;
    - a value whose type the code cannot use: `training` as a list, `optuna.n_trials` as a string.

    The primary config is judged by the first two points and other files of the config folder by
    the first, since a broken `config/config.yaml` stops every run. In those other files several
    documents, tags of other tools and templates are let pass.

    Null, `???` and `${…}` are never a wrong type, but `run_id` needs a value. `2e-4` is a float
    for OmegaConf, though plain PyYAML reads a string.

    ## Why is this bad
    Hydra loads these files before any line of the experiment runs: an error in one ends the run.
    A `run_id` other than the file's name sends the results to another folder and another W&B run
    than the one evaluation looks up.

    ## Example
    `config/run/proposed-small-cnn.yaml`:
    ```yaml
    run_id: proposed-cnn
    method: proposed
    training:
      epochs: 10
      epochs: 20
    optuna:
      n_trials: "20"
    ```

    ## Use instead
    ```yaml
    run_id: proposed-small-cnn
    method: proposed
    training:
      epochs: 20
    optuna:
      n_trials: 20
    ```

    ## References
    - Criteria 2 and 7 of the experiment protocol
    - [OmegaConf: creating from YAML](https://omegaconf.readthedocs.io/en/2.3_branch/usage.html)
    """
    config = experiment.profile.config
    runs = {run.path: run for run in experiment.run_configs()}
    for path in experiment.yaml_files():
        doc = experiment.yaml(path)
        run = runs.get(path)
        told = path == config.primary or run is not None
        if doc is None:
            if run is not None and experiment.state(path) is FileState.WITHHELD:
                yield Unknown(
                    reason="the run config's text is not there", decided_by=path, path=path
                )
            continue
        ids = (run.run_id,) if run is not None and run.is_run else ()
        if isinstance(doc, YamlProblem):
            if told or not any(words in doc.message for words in _NOT_HYDRAS):
                yield Hit(
                    path=path,
                    line=doc.line,
                    column=doc.column,
                    message=f"Hydra cannot load this file: {doc.message}.",
                    help=_yaml_help(doc),
                    runs=ids,
                )
        elif doc.value is not None and not isinstance(doc.value, dict) and told:
            yield Hit(
                path=path,
                message=f"The config is {_kind(doc.value)}, not a mapping.",
                help="Write `key: value` pairs at the top level of the file.",
                runs=ids,
            )
        elif run is not None and isinstance(doc.value, dict):
            yield from _run_id(run, doc)
            yield from _types(experiment, run, doc)


def _run_id(run: RunConfig, doc: YamlDocument) -> Iterator[Hit]:
    if not run.is_run:
        return
    path: tuple[str, ...] = ("run_id",)
    inner = doc.value.get("run")
    if "run_id" not in doc.value and isinstance(inner, dict):
        path = ("run", "run_id")
        value = inner.get("run_id")
    else:
        value = doc.value.get("run_id")
    found = _lookup(doc.value, path)[0]
    if not found or (isinstance(value, str) and "${" in value):
        return
    name = run.run_id.rpartition("/")[2]
    place = doc.at(path) or Mark(1, 1, 1, 1)
    if value is None or value == "???":
        yield _hit(
            run.path, place, "run_id has no value.", f'Write `run_id: "{name}"`.', run.run_id
        )
    elif isinstance(value, bool | int | float):
        yield _hit(
            run.path,
            place,
            f"run_id is {_kind(value)}, not a string.",
            f'Write `run_id: "{name}"`.',
            run.run_id,
        )
    elif isinstance(value, str) and value not in (name, run.run_id):
        yield _hit(
            run.path,
            place,
            f'run_id is "{value}", but run={run.run_id} chooses this file.',
            f'Write `run_id: "{name}"`, or rename the file to {value}.yaml.',
            run.run_id,
        )


def _types(experiment: Experiment, run: RunConfig, doc: YamlDocument) -> Iterator[Hit]:
    for dotted, allowed in experiment.profile.config.types.items():
        path = tuple(dotted.split("."))
        if path == ("run_id",):
            continue
        found, value = _lookup(doc.value, path)
        if not found or value is None or value == "???":
            continue
        if isinstance(value, str) and "${" in value:
            continue
        if any(_has_type(value, kind) for kind in allowed):
            continue
        place = doc.at(path) or Mark(1, 1, 1, 1)
        wanted = " or ".join(_TYPE_WORDS[kind] for kind in allowed)
        yield _hit(
            run.path,
            place,
            f"{dotted} is {_kind(value)}, not {wanted}.",
            _type_help(path[-1], value, allowed),
            run.run_id,
        )


def _sections(experiment: Experiment, run: RunConfig, doc: YamlDocument) -> set[str]:
    """The names of the sections that the code finds when this run is chosen."""
    present = set(doc.value or {})
    header = _PACKAGE_HEADER.search(experiment.text(run.path) or "")
    merged_at_root = header is not None and header[1] == "_global_"
    if merged_at_root or experiment.profile.config.run == "string":
        inner = (doc.value or {}).get("run")
        if isinstance(inner, dict):
            present |= set(inner)
    if merged_at_root and experiment.profile.config.primary is not None:
        primary = experiment.yaml(experiment.profile.config.primary)
        if isinstance(primary, YamlDocument) and isinstance(primary.value, dict):
            present |= set(primary.value)
    return present


def _lookup(value: Any, path: tuple[str, ...]) -> tuple[bool, Any]:  # noqa: ANN401
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value


_TYPE_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "mapping": "a mapping",
    "list": "a list",
    "null": "null",
}


def _has_type(value: Any, kind: str) -> bool:  # noqa: ANN401
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "mapping":
            return isinstance(value, dict)
        case "list":
            return isinstance(value, list)
        case _:
            return value is None


def _kind(value: Any) -> str:  # noqa: ANN401
    match value:
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            return f"the integer {value}" if -(10**20) < value < 10**20 else "a huge integer"
        case float():
            return f"the float {value!r}"
        case str():
            return f'the string "{value}"' if len(value) <= 40 else "a string"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def _type_help(key: str, value: Any, allowed: list[Any]) -> str:  # noqa: ANN401
    numeric = {"integer", "number"} & set(allowed)
    if numeric and isinstance(value, str) and _NUMBER.fullmatch(value):
        return f"Write `{key}: {value}` without quotes."
    if numeric:
        return f"Write a number, such as `{key}: 10`."
    if "mapping" in allowed and isinstance(value, list):
        return f"Write the settings of {key} as indented `name: value` lines without dashes."
    if "mapping" in allowed:
        return f"Write the settings of {key} as indented `name: value` lines below `{key}:`."
    return f"Give {key} a value that is {' or '.join(_TYPE_WORDS[kind] for kind in allowed)}."


def _yaml_help(problem: YamlProblem) -> str:
    if "stands twice" in problem.message:
        return "Keep one of the two keys: OmegaConf accepts no duplicates."
    if "null" in problem.message:
        return "Give the key a name, or quote it."
    if "tab" in problem.message or "'\\t'" in problem.message:
        return "Indent with spaces: YAML allows no tabs there."
    if "second document" in problem.message:
        return "Keep one document per file and remove the `---` line."
    return "Correct the YAML at this place."


def _advice(lacking: list[str], run_id: str) -> str:
    examples = {
        "run_id": f'`run_id: "{run_id.rpartition("/")[2]}"`',
        "method": "`method: <name>`",
        "optuna": "`optuna: {n_trials: 0}` where nothing is tuned",
    }
    parts = [examples.get(name, f"a `{name}:` mapping") for name in lacking]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _hit(path: str, place: Mark, message: str, help: str, run_id: str) -> Hit:
    return Hit(
        path=path,
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=message,
        help=help,
        runs=(run_id,),
    )
