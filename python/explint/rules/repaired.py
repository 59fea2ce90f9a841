"""The config that a run would have once its config was put right.

Most first versions stop at one slip in how their run configs are composed: the file stands under
``run`` and is read at the root, or is not loaded at all. Everything behind it would be unknown, and
found out one repair after the other. Rules about what a program does therefore see it under the
config that the nearest repair gives, while the slip itself is told by the rules about configs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from explint.compose.yaml import YamlDocument
from explint.trace.specialise import (
    ABSENT,
    MANDATORY,
    Dangling,
    Unknown,
    with_value,
)

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.trace.children import Word

_EMPTY: Final[tuple[object, ...]] = (ABSENT, MANDATORY, None, "", {}, [])
"""What stands in a main config for what a run config gives."""


class Repaired(msgspec.Struct, frozen=True):
    """A run's config; ``mirrored`` are the sections that were put at the root and stand under
    ``run`` too: one repair is to read the one, another to move the other."""

    tree: Any
    mirrored: frozenset[str] = frozenset()


def repaired(
    experiment: Experiment,
    run_id: str,
    mode: str | None,
    tree: Any,  # noqa: ANN401
    words: Sequence[Word] = (),
) -> Repaired:
    """A run's config with what its own file defines where the program looks for it.

    ``tree`` is what is composed, an ``Unknown`` where nothing is. It comes back as it is unless the
    rules about config keys found that the run's file is out of reach; what it does define stays.
    ``words`` are what the process is handed, of which Hydra may have refused some.
    """
    composes = isinstance(tree, Mapping)
    if composes and not _is_out_of_reach(experiment):
        return Repaired(tree)
    file = next((c for c in experiment.run_configs() if c.run_id == run_id), None)
    if file is None or not isinstance(file.doc, YamlDocument):
        return Repaired(tree)
    held = _as_tree(file.doc.value)
    if not isinstance(held, dict):
        return Repaired(tree)
    if not composes:
        found = _uncomposed(experiment, run_id, mode)
        if found is None:
            return Repaired(tree)
        tree, composes = found
    whole, mirrored = dict(tree), frozenset[str]()
    if not composes or _is_out_of_reach(experiment):
        held.pop("defaults", None)
        whole = _filled(tree, held)
        section = tree.get("run")
        if "run" not in held and (section is None or isinstance(section, Mapping)):
            whole["run"] = _filled(section or {}, held)
            mirrored = frozenset(k for k in held if whole[k] == whole["run"][k])
    for word in words:
        whole = _overridden(whole, word.text, mirrored, known=word.exact)
    return Repaired(whole, mirrored)


def _overridden(
    tree: dict[Any, Any], word: str, mirrored: frozenset[str] = frozenset(), *, known: bool
) -> dict[Any, Any]:
    from explint.compose.errors import CompositionFailure, NotCovered
    from explint.compose.overrides import parse_override

    key, equals, _ = word.partition("=")
    if not equals or key == "run" or key.lstrip("+").startswith("hydra") or "@" in key:
        return tree
    try:
        override = parse_override(word)
    except (CompositionFailure, NotCovered):
        return tree
    value = override.value if known else Unknown("it is made at run time")
    keys = override.key.split(".")
    whole: dict[Any, Any] = with_value(tree, keys, value)
    if keys[0] in mirrored:
        whole = with_value(whole, ["run", *keys], value)
    elif keys[0] == "run" and len(keys) > 1 and keys[1] in mirrored:
        whole = with_value(whole, keys[1:], value)
    return whole


def _filled(tree: Mapping[Any, Any], more: Mapping[Any, Any]) -> dict[Any, Any]:
    """A tree with what another one has at keys that hold nothing or raise when they are read."""
    whole = dict(tree)
    for key, value in more.items():
        there = whole.get(key, ABSENT)
        if isinstance(there, Mapping) and isinstance(value, Mapping):
            whole[key] = _filled(there, value)
        elif there in _EMPTY or isinstance(there, Dangling):
            whole[key] = value
    return whole


def _is_out_of_reach(experiment: Experiment) -> bool:
    found: bool | None = experiment.shared.get("run configs out of reach")
    if found is None:
        from explint.rules.keys import runs_out_of_reach

        # What finds it out asks for the executions, which do not ask for repaired configs.
        found = experiment.shared["run configs out of reach"] = runs_out_of_reach(experiment)
    return found


def _uncomposed(
    experiment: Experiment, run_id: str, mode: str | None
) -> tuple[Mapping[Any, Any], bool] | None:
    """What the training command composes, for a process that is handed other words; False with the
    main config and the words of the command line, where Hydra does not join the two."""
    from explint.compose.errors import CompositionError
    from explint.compose.static import Composed
    from explint.rules.started import tree_of

    point = experiment.entry
    modes = {m.name: m for m in experiment.profile.trial.modes}
    found = modes.get(mode or "")
    failed = experiment.composed(run_id, found).result
    if isinstance(failed, Composed):
        composed = tree_of(failed)
        return (composed, True) if isinstance(composed, Mapping) else None
    if (
        not isinstance(failed, CompositionError)
        or isinstance(point, str)
        or point.unknown is not None
        or point.structured
        or point.config_dir is None
        or point.config_name is None
    ):
        return None
    name = f"{point.config_dir}/{point.config_name.removesuffix('.yaml')}.yaml".lstrip("/")
    document = experiment.yaml(name)
    tree = _as_tree(document.value) if isinstance(document, YamlDocument) else None
    if not isinstance(tree, dict):
        return None
    tree.pop("defaults", None)
    tree.pop("hydra", None)
    command = experiment.profile.commands.train or ""
    if found is not None:
        command = experiment.profile.train_command(found) or ""
    for word in command.split():
        tree = _overridden(tree, word, known="{" not in word)
    return tree, False


def _as_tree(value: Any) -> Any:  # noqa: ANN401
    """A file's contents as a config: what refers to other keys is not known."""
    if isinstance(value, Mapping):
        return {key: _as_tree(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_tree(inner) for inner in value]
    if isinstance(value, str) and "${" in value:
        return Unknown("it refers to another key")
    return MANDATORY if value == "???" else value
