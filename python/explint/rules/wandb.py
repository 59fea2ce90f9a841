"""Rules about Weights & Biases: criterion 6."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from explint.compose.yaml import Mark, YamlDocument
from explint.experiment import defaults_list
from explint.model import Severity
from explint.package import FileState
from explint.regex import regex
from explint.rules.registry import Hit, Unknown, rule

if TYPE_CHECKING:
    from explint.experiment import Experiment

_PLACEHOLDER = regex(
    r"(.*[-_ ])?your([-_ ].*)?|<.*>|placeholder|change[-_ ]?me|replace[-_ ]me|fill[-_ ]me([-_ ]in)?"
    r"|to[-_ ]?do|tbd|xxx+|\.\.\.|…|none|null|\?+|(wandb[-_ ])?entity([-_ ]name)?"
    r"|(wandb[-_ ])?project[-_ ]name|wandb[-_ ]project",
    re.I,
)
_EXAMPLES = {"entity": "my-team", "project": "small-cnn-study"}


@rule("wandb/no-project", code="WDB008", severity=Severity.ERROR, criteria=(6,))
def no_project(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The primary config names no W&B entity or project.

    ## What it does
    Checks that `config/config.yaml` gives `wandb.entity` and `wandb.project` a value. Null, `???`,
    an empty string and a placeholder such as `your-entity` are no value; an interpolation such as
    `${oc.env:WANDB_ENTITY}` is one. Where the defaults list takes the section from a config group
    (`- wandb: default`), the group's file is looked at; other entries of the defaults list may
    bring the section in too, and then the rule does not decide.

    ## Why is this bad
    Training logs to the project named there and evaluation reads the runs back from
    `entity/project/run_id`. Without the two names training logs to the default of whoever is
    logged in, and evaluation finds nothing.

    ## Example
    ```yaml
    wandb:
      entity: your-entity
      mode: online
    ```

    ## Use instead
    ```yaml
    wandb:
      entity: my-team
      project: small-cnn-study
      mode: online
    ```

    ## References
    - Criterion 6 of the experiment protocol
    - [W&B: initialise a run](https://docs.wandb.ai/ref/python/sdk/functions/init/)
    """
    settings = experiment.profile.wandb
    path = settings.settings_file
    if not settings.required_keys or path is None:
        return
    state = experiment.state(path)
    doc = experiment.yaml(path)
    if state is not FileState.PRESENT or not isinstance(doc, YamlDocument):
        said = {
            FileState.ABSENT: "is absent",
            FileState.EMPTY: "is empty",
            FileState.WITHHELD: "is not in the record",
            FileState.PRESENT: "cannot be read",
        }[state]
        yield Unknown(reason=f"{path} {said}", decided_by=path, path=path)
        return
    value = doc.value
    if not isinstance(value, dict):
        # Comments alone are an empty file and another root cause, as is a list.
        why = "is empty" if value is None else "is not a mapping"
        yield Unknown(reason=f"{path} {why}", decided_by=path, path=path)
        return
    by_section: dict[str, list[str]] = {}
    for dotted in settings.required_keys:
        section, _, name = dotted.partition(".")
        by_section.setdefault(section, []).append(name)
    for section, names in by_section.items():
        yield from _judge(experiment, path, doc, value.get(section), section, names)


def _judge(
    experiment: Experiment,
    path: str,
    doc: YamlDocument,
    value: Any,  # noqa: ANN401
    section: str,
    names: list[str],
) -> Iterator[Hit | Unknown]:
    if isinstance(value, str) and "${" in value:
        yield Unknown(
            reason=f"{section} is an interpolation", decided_by="the composed config", path=path
        )
        return
    own = value if isinstance(value, dict) else {}
    lacking = [name for name in names if not _is_given(own.get(name))]
    if not lacking:
        return
    group = _group_choice(doc, section)
    if group is not None:
        folder = path.rpartition("/")[0]
        chosen_path = f"{folder}/{section}/{group}.yaml"
        chosen = experiment.yaml(chosen_path)
        if not isinstance(chosen, YamlDocument):
            yield Unknown(
                reason=f"the defaults list takes {section} from {chosen_path}, which has no text",
                decided_by=chosen_path,
                path=chosen_path,
            )
            return
        found = chosen.value if isinstance(chosen.value, dict) else {}
        inner = found.get(section)
        if isinstance(inner, dict):
            found = {**inner, **found}
        lacking = [name for name in lacking if not _is_given(found.get(name))]
        if not lacking:
            return
        if defaults_list(chosen):
            yield Unknown(
                reason=f"{chosen_path} takes settings from its own defaults list",
                decided_by="the composed config",
                path=chosen_path,
            )
            return
        path, doc, own, value = chosen_path, chosen, found, found
        keys: tuple[str, ...] = ()
    else:
        if _other_sources(experiment, doc):
            yield Unknown(
                reason=f"the defaults list or a run config may bring in {section}",
                decided_by="the composed config",
                path=path,
            )
            return
        keys = (section,)
    # A key that is there with no usable value is a defect of its own line; keys that are not
    # there are one defect of the section.
    for name in lacking:
        if name in own:
            given = own[name]
            shown = "null" if given is None else f'"{given}"'
            place = doc.at((*keys, name)) or Mark(1, 1, 1, 1)
            yield _hit(
                path,
                place,
                f"{section}.{name} is {shown}, which names no {name}.",
                f"Write the {name} that the runs belong to, such as "
                f"`{name}: {_EXAMPLES.get(name, 'value')}`.",
            )
    gone = [name for name in lacking if name not in own]
    if gone:
        place = (doc.key_at(keys) if keys else None) or Mark(1, 1, 1, 1)
        listed = " and ".join(f"{section}.{name}" for name in gone)
        lines = " and ".join(f"`{name}: {_EXAMPLES.get(name, 'value')}`" for name in gone)
        where = f"below `{section}:` in {path}" if keys else f"in {path}"
        yield _hit(path, place, f"The config lacks {listed}.", f"Add {lines} {where}.")


def _is_given(value: Any) -> bool:  # noqa: ANN401
    if value is None:
        return False
    if not isinstance(value, str):
        return not isinstance(value, dict | list)
    if "${" in value:
        return True
    text = value.strip()
    return bool(text) and _PLACEHOLDER.fullmatch(text) is None


def _group_choice(doc: YamlDocument, section: str) -> str | None:
    """The option that the defaults list chooses from the group of that name."""
    for entry in defaults_list(doc):
        if isinstance(entry, str) and entry.startswith(f"{section}/"):
            return entry.removeprefix(f"{section}/").removesuffix(".yaml")
        if not isinstance(entry, dict):
            continue
        for key, option in entry.items():
            words = str(key).split()
            if words and words[-1] == section and isinstance(option, str) and "?" not in option:
                return option.removesuffix(".yaml")
    return None


def _other_sources(experiment: Experiment, doc: YamlDocument) -> bool:
    """Whether something besides the file itself may define its root keys.

    The run group cannot, since it composes under ``run``, unless a run config names another
    package in its header.
    """
    for entry in defaults_list(doc):
        keys = [entry] if isinstance(entry, str) else list(entry) if isinstance(entry, dict) else []
        for key in keys:
            name = str(key).split("@")[0].split()[-1:] or [""]
            if name[0] in ("_self_", "run", "runs", "hydra") or "hydra/" in str(key):
                continue
            return True
    return any(
        "@package _global_" in (experiment.text(run.path) or "")
        and isinstance(run.doc, YamlDocument)
        and isinstance(run.doc.value, dict)
        and "wandb" in run.doc.value
        for run in experiment.run_configs()
    )


def _hit(path: str, place: Mark, message: str, help: str) -> Hit:
    return Hit(
        path=path,
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=message,
        help=help,
    )
