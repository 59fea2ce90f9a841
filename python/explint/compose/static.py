"""The fast composer: Hydra's composition without hydra-core, from files in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from explint.compose.defaults import Part, Selection, Selector, failure
from explint.compose.errors import (
    CompositionError,
    CompositionFailure,
    ErrorKind,
    NotCovered,
    Unsupported,
)
from explint.compose.interpolate import Broken, Opaque, Resolver
from explint.compose.merge import (
    MISSING,
    AbsentKey,
    Key,
    MergeFailure,
    Node,
    Path,
    build,
    delete,
    embed,
    leaves,
    merge,
    split_key,
    update,
)
from explint.compose.overrides import Action, Override, Sweep, parse_overrides
from explint.compose.tree import ConfigTree, NotKnown, check_texts, normal


class Origin(msgspec.Struct, frozen=True):
    """Where a value was given: a line of a file, or the override of that index (from 0)."""

    path: str | None = None
    line: int | None = None
    column: int | None = None
    override: int | None = None


class Unknown(msgspec.Struct, frozen=True):
    """Neither composer can say; ``reason`` says what is missing."""

    reason: str


class Composed:
    """A composed config as the task function gets it: without ``hydra``, and a struct.

    Reading a key that is not there raises in the run, and so does writing one (see PROTOCOL's
    struct rules); ``has`` decides it. ``hydra`` holds what files and overrides set under ``hydra``,
    without Hydra's own defaults; it is empty when hydra-core answered, and so are ``choices``,
    ``files`` and the origins. ``assumed`` names options that only a plugin of Hydra brings.
    """

    def __init__(
        self,
        tree: ConfigTree,
        root: Node,
        overrides: Sequence[str],
        selection: Selection,
        hydra: Node | None,
        known: Mapping[Path, Any] | None = None,
    ) -> None:
        self.overrides = tuple(overrides)
        self.choices = dict(selection.choices)
        self.assumed = tuple(selection.assumed)
        self.files = tuple(
            dict.fromkeys(p.loaded.path for p in selection.parts if p.loaded.path is not None)
        )
        self.struct = True
        self.root = root
        self._tree = tree
        self._hydra = hydra
        self._resolver = Resolver(root, known)

    @cached_property
    def value(self) -> dict[Key, Any]:
        """Everything as plain Python, interpolations resolved.

        Leaves that only the run knows are Opaque, those that raise when read are Broken, and a
        mandatory value that nobody gave is the string ``???``.
        """
        value: dict[Key, Any] = self._resolver.value((), self.root)
        return value

    @cached_property
    def hydra(self) -> dict[Key, Any]:
        """What the package sets under ``hydra``, as plain Python, interpolations unresolved."""
        value: dict[Key, Any] = {} if self._hydra is None else _plain(self._hydra)
        return value

    def get(self, path: str | Path, default: Any = None) -> Any:  # noqa: ANN401
        """The value at a dotted path (or a tuple of keys), ``default`` when there is none."""
        found = self._resolver.find(_keys(path))
        return default if found is None else self._resolver.value(*found)

    def has(self, path: str | Path) -> bool:
        """Whether the key exists; one that holds null or ``???`` does."""
        return self._resolver.find(_keys(path)) is not None

    def origin(self, path: str | Path) -> Origin | None:
        """Where the value or section at a path was given; None when there is none.

        A section that several files fill is where it was first given.
        """
        found = self._resolver.find(_keys(path))
        return None if found is None else self.place(found[1])

    def place(self, node: Node) -> Origin:
        """The origin of a node of ``root``."""
        where = node.where
        if where is None:
            return Origin()
        if isinstance(where, int):
            return Origin(override=where if where >= 0 else None)
        path, keys = where
        mark = self._tree.mark(path, keys)
        if mark is None:
            return Origin(path, 1, 1)
        return Origin(path, mark.line, mark.column)

    def leaves(self) -> Iterator[tuple[Path, Any, Origin]]:
        """Every leaf: its path, resolved value and origin, in the config's order."""
        for path, node in leaves(self.root):
            yield path, self._resolver.value(path, node), self.place(node)

    def target(self, path: Path, node: Node) -> Path | None:
        """Where a leaf that is nothing but one interpolation leads."""
        return self._resolver.target(path, node)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Dotted paths of the mandatory values (``???``) that nobody gave."""
        return tuple(
            _dotted(path)
            for path, node in leaves(self.root)
            if type(node.value) is str and node.value == MISSING
        )

    @cached_property
    def opaque(self) -> dict[str, str]:
        """Dotted paths of values that only the run knows, with the reason."""
        return {_dotted(p): v.reason for p, v in self._special() if isinstance(v, Opaque)}

    @cached_property
    def broken(self) -> dict[str, CompositionError]:
        """Dotted paths of interpolations that fail when they are read, with what OmegaConf says."""
        found: dict[str, CompositionError] = {}
        for path, node in leaves(self.root):
            if not node.is_interpolated:
                continue
            value = self._resolver.value(path, node)
            if isinstance(value, Broken):
                at = self.place(node)
                found[_dotted(path)] = CompositionError(
                    ErrorKind.INTERPOLATION,
                    value.message,
                    path=at.path,
                    line=at.line,
                    column=at.column,
                    override=at.override,
                )
        return found

    def _special(self) -> Iterator[tuple[Path, Any]]:
        for path, node in leaves(self.root):
            if node.is_interpolated:
                yield path, self._resolver.value(path, node)


Result: TypeAlias = "Composed | CompositionError | Unsupported | Unknown"


def compose(
    tree: ConfigTree,
    *,
    config_dir: str,
    config_name: str | None,
    overrides: Sequence[str],
    version_base: str | None = None,
) -> Result:
    """Composes a config as hydra-core 1.3 does for a single run.

    ``config_dir`` is relative to the root of the tree. ``version_base`` is what the code gives
    Hydra, with "1.1" for code that gives none; None is the newest. Nothing is raised. The tree
    keeps the result: several rules ask about the same command line.
    """
    asked = (config_dir, config_name, tuple(overrides), version_base)
    found: Result | None = tree.results.get(asked)
    if found is None:
        found = tree.results[asked] = _result(
            tree, config_dir, config_name, overrides, version_base
        )
    return found


def _result(
    tree: ConfigTree,
    config_dir: str,
    config_name: str | None,
    overrides: Sequence[str],
    version_base: str | None,
) -> Result:
    try:
        return _compose(tree, normal(config_dir), config_name, overrides, version_base)
    except CompositionFailure as failed:
        return failed.error
    except NotCovered as error:
        return Unsupported(str(error))
    except NotKnown as error:
        return Unknown(str(error))
    except RecursionError:
        return Unsupported("configs nested too deep")


def is_legacy(version_base: str | None) -> bool:
    """Whether a version base asks for Hydra's behaviour before 1.2.

    Raises NotCovered for text that is no version.
    """
    if version_base is None:
        return False
    parts = version_base.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise NotCovered(f"version_base={version_base!r}")
    return (int(parts[0]), int(parts[1])) < (1, 2)


def _compose(
    tree: ConfigTree,
    config_dir: str,
    config_name: str | None,
    words: Sequence[str],
    version_base: str | None,
) -> Composed:
    legacy = is_legacy(version_base)
    if config_dir.startswith(("/", "..")):
        raise NotCovered("a config folder outside the package")
    if not tree.is_folder(config_dir):
        if tree.partial:
            raise NotKnown(f"the record has no folder {config_dir}")
        raise CompositionFailure(
            ErrorKind.NO_CONFIG_FOLDER,
            "Primary config directory not found.",
            f"Check that the config directory '{config_dir}' exists and readable",
        )
    overrides = parse_overrides(words)
    selector = Selector(tree, config_dir, legacy=legacy)
    _check_primary(selector, config_name, overrides)
    for index, override in enumerate(overrides):
        _refuse_sweep(index, override)
    selection = selector.select(config_name, overrides)
    if tree.partial:
        for _, override in selection.config_overrides:
            if override.key in selection.choices:
                raise NotKnown(f"the record has no folder {config_dir}/{override.key}")
    root = Node({})
    for part in selection.parts:
        root = _add(tree, root, part)
    hydra_given = root.value.get("hydra", Node({}))
    root = Node({**root.value, "hydra": merge(_SKELETON, hydra_given)})
    for index, override in selection.config_overrides:
        root, hydra_given = _apply(tree, root, hydra_given, index, override)
    items = dict(root.value)
    items.pop("hydra", None)
    return Composed(tree, Node(items), words, selection, hydra_given)


def _check_primary(
    selector: Selector, config_name: str | None, overrides: Sequence[Override]
) -> None:
    """What Hydra does first: it reads the primary config for further search paths."""
    loaded = None if config_name is None else selector.primary(config_name)
    if loaded is not None and not loaded.root.is_section:
        raise CompositionFailure(
            ErrorKind.NOT_A_MAPPING,
            f"primary config '{config_name}' must be a DictConfig, got ListConfig",
            path=loaded.path,
            line=1,
            column=1,
        )
    hydra = None if loaded is None else loaded.root.child("hydra")
    if (hydra is not None and _searches(hydra)) or any(
        override.key == "hydra.searchpath" for override in overrides
    ):
        raise NotKnown("hydra.searchpath names folders outside the config folder")


def _refuse_sweep(index: int, override: Override) -> None:
    if override.value is Sweep.SIMPLE:
        raise CompositionFailure(
            ErrorKind.SWEEP,
            f"Ambiguous value for argument '{override.text}'",
            "1. To use it as a list, use key=[value1,value2]\n"
            "2. To use it as string, quote the value: key=\\'value1,value2\\'\n"
            "3. To sweep over it, add --multirun to your command line",
            override=index,
        )
    if override.value is Sweep.FUNCTION:
        raise CompositionFailure(
            ErrorKind.SWEEP,
            f"Sweep parameters '{override.text}' requires --multirun",
            override=index,
        )


def _add(tree: ConfigTree, root: Node, part: Part) -> Node:
    if part.loaded.path is None:
        return root
    added = embed(part.package, part.loaded.root)
    hydra = added.child("hydra")
    if hydra is not None:
        _check_hydra(tree, hydra, part.config)
    try:
        return merge(root, added)
    except MergeFailure as failed:
        raise failure(
            tree,
            ErrorKind.MERGE,
            f"In '{part.config}': ConfigTypeError raised while composing config:",
            failed.where,
            more=failed.message,
        ) from None


# Hydra's own settings

_STR, _ANY = "str", "any"
_SCHEMA: dict[str, Any] = {
    "mode": _ANY,
    "searchpath": _ANY,
    "run": {"dir": _STR},
    "sweep": {"dir": _STR, "subdir": _STR},
    "hydra_logging": _ANY,
    "job_logging": _ANY,
    "sweeper": _ANY,
    "launcher": _ANY,
    "callbacks": _ANY,
    "help": {"app_name": _STR, "header": _STR, "footer": _STR, "template": _STR},
    "hydra_help": {"hydra_help": _STR, "template": _STR},
    "output_subdir": _STR,
    "overrides": {"hydra": _ANY, "task": _ANY},
    "job": {
        "name": _STR,
        "chdir": "bool",
        "override_dirname": _STR,
        "id": _STR,
        "num": _ANY,
        "config_name": _STR,
        "env_set": _ANY,
        "env_copy": _ANY,
        "config": {"override_dirname": {"kv_sep": _STR, "item_sep": _STR, "exclude_keys": _ANY}},
    },
    "runtime": {
        "version": _STR,
        "version_base": _STR,
        "cwd": _STR,
        "config_sources": _ANY,
        "output_dir": _STR,
        "choices": _ANY,
    },
    "verbose": _ANY,
}
_CLASSES: dict[str, str] = {
    "": "HydraConf",
    "run": "RunDir",
    "sweep": "SweepDir",
    "help": "HelpConf",
    "hydra_help": "HydraHelpConf",
    "overrides": "OverridesConf",
    "job": "JobConf",
    "job.config": "JobConfig",
    "job.config.override_dirname": "OverrideDirname",
    "runtime": "RuntimeConf",
}


def _skeleton(schema: dict[str, Any]) -> Node:
    return Node(
        {
            key: _skeleton(kind) if isinstance(kind, dict) else Node(None)
            for key, kind in schema.items()
        }
    )


_SKELETON = _skeleton(_SCHEMA)
"""Hydra's section with every key it knows, so that overrides meet the same keys."""


def _check_hydra(tree: ConfigTree, given: Node, config: str) -> None:
    if not given.is_section:
        raise NotCovered("a hydra section that is no mapping")
    if _searches(given):
        raise NotKnown("hydra.searchpath names folders outside the config folder")
    _check_section(tree, given, _SCHEMA, "", config)


def _searches(hydra: Node) -> bool:
    searchpath = hydra.child("searchpath")
    return searchpath is not None and searchpath.value not in ([], None)


def _check_section(
    tree: ConfigTree, node: Node, schema: dict[str, Any], prefix: str, config: str
) -> None:
    for key, child in node.value.items():
        full = f"{prefix}.{key}".lstrip(".")
        kind = schema.get(key) if isinstance(key, str) else None
        if kind is None:
            raise failure(
                tree,
                ErrorKind.MERGE,
                f"In '{config}': ConfigKeyError raised while composing config:",
                child.where,
                more=f"Key '{key}' not in '{_CLASSES[prefix]}'",
            )
        if isinstance(kind, dict):
            if not child.is_section:
                raise NotCovered(f"hydra.{full} is no mapping")
            _check_section(tree, child, kind, full, config)
        elif kind == _STR and child.is_container:
            raise NotCovered(f"hydra.{full} is no text")
        elif (
            kind == "bool"
            and not isinstance(child.value, bool | None)
            and not child.is_interpolated
        ):
            raise NotCovered(f"hydra.{full} is no boolean")


# Overrides of values


def _apply(
    tree: ConfigTree, root: Node, hydra: Node, index: int, override: Override
) -> tuple[Node, Node]:
    if override.package is not None:
        raise CompositionFailure(
            ErrorKind.NOT_A_GROUP,
            f"Override {override.text} looks like a config group override, but config group "
            f"'{override.key}' does not exist.",
            override=index,
        )
    keys = split_key(override.key)
    if override.action is Action.DELETE:
        if keys[0] == "hydra":
            raise NotCovered("an override that deletes from hydra")
        return _delete(root, index, override, keys), hydra
    if keys == ["hydra"]:
        raise NotCovered("an override of the whole hydra section")
    new = build(override.value, index)
    check_texts(new)
    _refuse_odd_keys(override.value)
    if override.action is Action.ADD and keys[0] == "hydra":
        raise NotCovered("an override that adds to hydra")
    if override.action is Action.ADD:
        found = _selected(root, keys)
        if found is not None and not isinstance(override.value, dict | list):
            raise CompositionFailure(
                ErrorKind.CANNOT_ADD,
                f"Could not append to config. An item is already at '{override.key}'.",
                f"Either remove + prefix: '{override.text[1:]}'\n"
                f"Or add a second + to add or override '{override.key}': '+{override.text}'",
                override=index,
            )
    if keys[0] == "hydra":
        _refuse_open_sections(keys)
    force = override.action is not Action.CHANGE
    try:
        root = update(root, override.key, new, force=force)
    except AbsentKey as absent:
        raise CompositionFailure(
            ErrorKind.NOT_IN_STRUCT,
            f"Could not override '{override.key}'.",
            f"To append to your config use +{override.text}\n"
            f"Key '{split_key(absent.key)[-1]}' is not in struct\n    full_key: {absent.key}",
            override=index,
        ) from None
    except MergeFailure as failed:
        raise CompositionFailure(
            ErrorKind.MERGE,
            f"Error merging override {override.text}",
            failed.message,
            override=index,
        ) from None
    if keys[0] == "hydra":
        given = Node({"hydra": hydra})
        hydra = update(given, override.key, new, force=True).value["hydra"]
        try:
            _check_section(tree, hydra, _SCHEMA, "", override.text)
        except CompositionFailure as failed:
            # With ++ Hydra takes keys that it does not know.
            raise NotCovered(f"++ of a key that hydra lacks: {failed.error.more}") from None
    return root, hydra


def _refuse_open_sections(keys: list[str]) -> None:
    """What stands in sections such as ``hydra.sweeper`` is the chosen option's affair."""
    schema: Any = _SCHEMA
    for key in keys[1:]:
        if schema == _ANY:
            raise NotCovered(f"an override inside {'.'.join(keys[:-1])}")
        schema = schema.get(key) if isinstance(schema, dict) else None


def _refuse_odd_keys(value: Any) -> None:  # noqa: ANN401
    if isinstance(value, dict):
        for key, item in value.items():
            if key is None:
                raise NotCovered("an override with null as a key")
            _refuse_odd_keys(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd_keys(item)


def _selected(root: Node, keys: list[str]) -> Node | None:
    """What ``OmegaConf.select`` finds, None for null and ``???`` too."""
    node = root
    for key in keys:
        if node.is_interpolated:
            raise NotCovered("an override goes through an interpolation")
        if type(node.value) is list:
            raise NotCovered("an override reaches into a list")
        child = node.child(key)
        if child is None:
            return None
        node = child
    if node.is_interpolated:
        raise NotCovered("an override of an interpolation")
    absent = node.value is None or (type(node.value) is str and node.value == MISSING)
    return None if absent else node


def _delete(root: Node, index: int, override: Override, keys: list[str]) -> Node:
    found = _selected(root, keys)
    if found is None:
        raise CompositionFailure(
            ErrorKind.CANNOT_DELETE,
            f"Could not delete from config. '{override.key}' does not exist.",
            override=index,
        )
    value = _plain(found)
    if override.value is not None and override.value != value:
        raise CompositionFailure(
            ErrorKind.CANNOT_DELETE,
            f"Could not delete from config. The value of '{override.key}' is {value} and not "
            f"{override.value}.",
            override=index,
        )
    node = root
    for key in keys[:-1]:
        child = node.child(key)
        if child is None or not child.is_section:
            raise NotCovered("an override that deletes from a list")
        node = child
    return delete(root, keys)


def _plain(node: Node) -> Any:  # noqa: ANN401
    if type(node.value) is dict:
        return {key: _plain(child) for key, child in node.value.items()}
    if type(node.value) is list:
        return [_plain(child) for child in node.value]
    return node.value


def _keys(path: str | Path) -> Path:
    return tuple(split_key(path)) if isinstance(path, str) else path


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
