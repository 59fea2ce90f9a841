"""The defaults list: which config files make up a config, in what order, at which package.

The algorithm is that of hydra-core 1.3 (``_internal/defaults_list.py``, ``default_element.py``):
the primary config is expanded before Hydra's own, children are visited from the last to the first
so that ``override`` entries of later configs are known, and what an interpolated entry names is
looked up once its brothers are chosen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from explint.compose.errors import CompositionFailure, ErrorKind, NotCovered
from explint.compose.merge import MISSING, Node, Where
from explint.compose.overrides import Action, Override
from explint.compose.tree import ConfigTree, Loaded, NotKnown

MAX_CONFIGS = 2_000
"""How many configs one composition may visit: nested defaults lists can repeat each other."""

_HYDRA_DEFAULTS: dict[str, str | None] = {
    "output": "default",
    "launcher": "basic",
    "sweeper": "basic",
    "help": "default",
    "hydra_help": "default",
    "hydra_logging": "default",
    "job_logging": "default",
    "callbacks": None,
    "env": "default",
}
_HYDRA_OPTIONS: dict[str, frozenset[str]] = {
    "hydra": frozenset({"config"}),
    "hydra/env": frozenset({"default"}),
    "hydra/help": frozenset({"default"}),
    "hydra/hydra_help": frozenset({"default"}),
    "hydra/hydra_logging": frozenset({"default", "disabled", "hydra_debug", "none"}),
    "hydra/job_logging": frozenset({"default", "disabled", "none", "stdout"}),
    "hydra/launcher": frozenset({"basic"}),
    "hydra/output": frozenset({"default"}),
    "hydra/sweeper": frozenset({"basic"}),
}
MAX_DEPTH = 150
"""How deep defaults lists may nest. Hydra ends in a RecursionError somewhat later; only lists that
name each other in a circle get there."""

_NO_CONFIG = "_dummy_empty_config_"
"""What Hydra calls the primary config when the code names none."""

_PLUGIN_GROUPS = frozenset(
    {"hydra/launcher", "hydra/sweeper", "hydra/hydra_logging", "hydra/job_logging"}
)
"""Groups to which packages beside hydra-core add options (submitit, colorlog, optuna …)."""


class Part(msgspec.Struct, frozen=True):
    """One config of the final list: its file (without folder and extension) and its package."""

    config: str
    package: str
    loaded: Loaded


class _Entry(msgspec.Struct):
    """An element of a defaults list: a config by path, or a group with its option."""

    group: str | None
    value: str | list[str] | None
    package: str | None = None
    optional: bool = False
    override: bool = False
    external: bool = False
    primary: bool = False
    where: Where = None
    base: str = ""
    parent_package: str = ""
    header: str | None = None
    deleted: bool = False

    @property
    def is_self(self) -> bool:
        return self.value == "_self_"

    @property
    def name(self) -> str | None:
        if isinstance(self.value, list):
            raise NotCovered("a list of options where one option is expected")
        if self.group is None and self.value is not None:
            return self.value.rpartition("/")[2]
        return self.value

    @property
    def group_path(self) -> str:
        named = self.group if self.group is not None else str(self.value)
        absolute = named.startswith("/")
        named = named.removeprefix("/")
        if self.group is None:
            named = named.rpartition("/")[0]
        if absolute or not self.base:
            return named
        return f"{self.base}/{named}" if named else self.base

    @property
    def config_path(self) -> str:
        if self.group is not None:
            return f"{self.group_path}/{self.name}"
        path = str(self.value)
        if path.startswith("/"):
            return path[1:]
        return f"{self.base}/{path}" if self.base else path

    @property
    def is_missing(self) -> bool:
        return not isinstance(self.value, list) and self.name == MISSING

    @property
    def is_interpolation(self) -> bool:
        if isinstance(self.value, list) or self.value is None:
            return False
        return "${" in (self.config_path if self.group is None else self.value)

    @property
    def default_package(self) -> str:
        return self.group_path.replace("/", ".")

    def adopt(self, base: str, package: str) -> None:
        self.base = base
        self.parent_package = package
        if self.package is not None and "_group_" in self.package:
            resolved = self.package.replace("_group_", self.default_package)
            self.package = f"_global_.{resolved}"

    def final_package(self, *, header: bool = True, legacy: bool = False) -> str:
        package = self.package
        if package is None and header:
            package = self.header
        if package is None:
            named = self.group if self.group is not None else str(self.value)
            named = named.removeprefix("/")
            if self.group is None:
                named = named.rpartition("/")[0]
            package = named.replace("/", ".")
        if legacy and "_name_" in package and isinstance(self.value, str):
            package = package.replace("_name_", str(self.name))
        if self.parent_package:
            package = f"{self.parent_package}.{package}" if package else self.parent_package
        index = package.rfind("_global_")
        return package if index < 0 else package[index + len("_global_") + 1 :]

    def override_key(self, *, legacy: bool = False) -> str:
        package = self.final_package(header=False, legacy=legacy)
        if package == self.default_package:
            return self.group_path
        return f"{self.group_path}@{package or '_global_'}"


class _Tree(msgspec.Struct):
    """A config with what its defaults list adds; ``children`` is None for one without a list."""

    entry: _Entry
    parent: _Entry | None = None
    depth: int = 0
    children: list[_Tree | _Entry] | None = None


class _Choice(msgspec.Struct):
    """A choice made by an override, on the command line or in a defaults list."""

    value: str | list[str] | None
    where: Where
    external: bool
    containing: str | None = None
    used: bool = False


class Selection(msgspec.Struct):
    """What the defaults list comes to.

    ``parts`` are in merge order. ``config_overrides`` are the overrides that change values, with
    their index. ``assumed`` names options under ``hydra/`` that only a plugin can bring.
    """

    parts: list[Part] = msgspec.field(default_factory=list)
    config_overrides: list[tuple[int, Override]] = msgspec.field(default_factory=list)
    choices: dict[str, str | None] = msgspec.field(default_factory=dict)
    assumed: list[str] = msgspec.field(default_factory=list)


class Selector:
    """Reads the defaults lists of one composition; good for one ``select``.

    ``legacy`` is Hydra's behaviour for a version base below 1.2. Its methods raise
    CompositionFailure, NotCovered and NotKnown.
    """

    def __init__(self, tree: ConfigTree, folder: str, *, legacy: bool) -> None:
        self.tree = tree
        self.folder = folder
        self.legacy = legacy
        self.visited = 0
        self.choices: dict[str, _Choice] = {}
        self.deletions: dict[str, tuple[str | None, int, list[bool]]] = {}
        self.appended: list[_Entry] = []
        self.known: dict[str, str | None] = {}
        self.known_by_group: dict[str, set[str]] = {}
        self.selection = Selection()
        self._keys: list[tuple[str | None, Where]] = []

    def primary(self, config_name: str) -> Loaded | None:
        """The primary config with its defaults list checked, None when it is not there."""
        file = self._file(config_name)
        if file is None:
            return None
        loaded = self.tree.load(file)
        self._entries(config_name, loaded)
        return loaded

    def select(self, config_name: str | None, overrides: Sequence[Override]) -> Selection:
        """The configs of the final list, with the choices of the command line applied."""
        for index, override in enumerate(overrides):
            self._sort_override(index, override)
        if self._file("hydra/config") is not None:
            raise NotCovered("the package replaces Hydra's own config")
        primary = _Entry(None, config_name or _NO_CONFIG, primary=True)
        expanded = self._expand(_Tree(primary), is_root=True, interpolated=False)
        trees = [expanded]
        if self._concerns_hydra():
            hydra = _Tree(_Entry(None, "hydra/config"))
            trees.insert(0, self._expand(hydra, is_root=False, interpolated=False))
        for tree in trees:
            self._collect(tree, None)
        self._refuse_duplicates()
        self._refuse_unused()
        self.selection.choices = {
            group: option for group, option in self.known.items() if not group.startswith("hydra/")
        }
        return self.selection

    def _concerns_hydra(self) -> bool:
        """Whether the package chooses or replaces any of Hydra's own configs.

        Otherwise they add nothing that is kept, and are not expanded.
        """
        keys = (*self.choices, *self.deletions, *self.known)
        return any(key.startswith("hydra") for key in keys) or self.tree.is_folder(
            self._path("hydra")
        )

    # Overrides

    def _sort_override(self, index: int, override: Override) -> None:
        group = override.key
        value = override.value
        if isinstance(value, dict) or not self._is_group(group):
            self.selection.config_overrides.append((index, override))
            return
        if override.action is Action.FORCE_ADD:
            self._fail(
                ErrorKind.NOT_A_GROUP,
                f"force-add of config groups is not supported: '{override.text}'",
                index,
            )
        if override.action is Action.DELETE:
            if value is not None and not isinstance(value, str):
                self._fail(
                    ErrorKind.INVALID_CHOICE,
                    "Config group override deletion value must be a string : " + override.text,
                    index,
                )
            self.deletions[override.name] = (value, index, [])
            return
        if not isinstance(value, str | list):
            self._fail(
                ErrorKind.INVALID_CHOICE,
                "Config group override must be a string or a list. Got " + type(value).__name__,
                index,
            )
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise NotCovered("a list of options that are not all strings")
        if override.action is Action.ADD:
            if not group:
                raise NotCovered("an added choice without a group")
            entry = _Entry(group, value, override.package, external=True, where=index)
            if entry.package == "_here_":
                entry.package = ""
            self.appended.append(entry)
        else:
            self.choices[override.name] = _Choice(value, index, external=True)

    def _is_group(self, path: str) -> bool:
        return path in _HYDRA_OPTIONS or self.tree.is_folder(self._path(path))

    # Files

    def _path(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/"):
            raise NotCovered(f"a config path that leaves the config folder: {name!r}")
        return f"{self.folder}/{name}" if self.folder else name

    def _file(self, config: str) -> str | None:
        """The file of a config, None when it is not there."""
        supported = (".yaml", ".yml") if self.legacy else (".yaml",)
        path = self._path(config if config.endswith(supported) else f"{config}.yaml")
        return path if self.tree.is_file(path) else None

    def _load(self, entry: _Entry) -> Loaded | None:
        config = entry.config_path
        file = self._file(config)
        if file is not None:
            return self.tree.load(file)
        if config == _NO_CONFIG:
            return Loaded(None, Node({}))
        group, _, name = config.removesuffix(".yaml").rpartition("/")
        if name in _HYDRA_OPTIONS.get(group, ()):
            return Loaded(None, Node({}))
        if group in _PLUGIN_GROUPS:
            if (option := f"{group}={name}") not in self.selection.assumed:
                self.selection.assumed.append(option)
            return Loaded(None, Node({}))
        if group.startswith("hydra/") and self.selection.assumed:
            return Loaded(None, Node({}))
        if self.tree.partial:
            raise NotKnown(f"the record has no {self._path(config)}.yaml")
        return None

    # The defaults list of one config

    def _entries(self, config: str, loaded: Loaded) -> list[_Entry]:
        if loaded.path is None:
            if config != "hydra/config":
                return []
            return [_Entry(group, value) for group, value in _HYDRA_DEFAULTS.items()]
        node = loaded.defaults
        if node is None:
            return []
        if type(node.value) is not list:
            if type(node.value) is str and (node.value == MISSING or "${" in node.value):
                raise NotCovered("a defaults list that is no list")
            kind = "mapping" if node.is_section else type(node.value).__name__
            self._fail(
                ErrorKind.INVALID_DEFAULTS,
                f"Invalid defaults list in '{config}', defaults must be a list (got {kind})",
                node.where,
            )
        return [self._entry(config, item) for item in node.value]

    def _entry(self, config: str, item: Node) -> _Entry:
        value = item.value
        if type(value) is str:
            path, at, package = value.partition("@")
            entry = _Entry(None, path, package.partition(":")[0] if at else None, where=item.where)
        elif type(value) is dict:
            entry = self._group_entry(config, item)
        else:
            kind = "ListConfig" if type(value) is list else type(value).__name__
            self._fail(
                ErrorKind.INVALID_DEFAULTS, f"Unsupported type in defaults : {kind}", item.where
            )
        if entry.is_self and entry.group is None and entry.package is not None:
            self._fail(ErrorKind.INVALID_DEFAULTS, "_self_@PACKAGE is not supported", item.where)
        if entry.package == "_here_":
            entry.package = ""
        return entry

    def _group_entry(self, config: str, item: Node) -> _Entry:
        pairs = dict(item.value)
        optional = False
        if self.legacy and len(pairs) > 1 and "optional" in pairs:
            optional = bool(pairs.pop("optional").value)
        if len(pairs) != 1:
            shown = _plain(item)
            self._fail(
                ErrorKind.INVALID_DEFAULTS,
                f"In {config}: Too many keys in default item {shown}"
                if pairs
                else f"In {config}: Missing group name in {shown}",
                item.where,
            )
        key, node = next(iter(pairs.items()))
        if not isinstance(key, str):
            raise NotCovered(f"the group name {key!r} is no string")
        group, at, package = key.partition("@")
        words = group.split(" ")
        override = False
        for word in words[:-1]:
            if word == "optional":
                optional = True
            elif word == "override":
                override = True
            else:
                break
        if not words[-1]:
            raise NotCovered("an entry without a group name")
        value = node.value
        if type(value) is list:
            for option in value:
                if type(option.value) is not str:
                    kind = type(option.value).__name__
                    self._fail(
                        ErrorKind.INVALID_DEFAULTS,
                        f"Unsupported item value in defaults : {kind}, nested list items must be "
                        "strings",
                        option.where,
                    )
            value = [option.value for option in value]
        elif value is not None and type(value) is not str:
            kind = type(value).__name__
            self._fail(
                ErrorKind.INVALID_DEFAULTS,
                f"Unsupported item value in defaults : {kind}. Supported: string or list",
                node.where,
            )
        return _Entry(
            words[-1],
            value,
            package.partition(":")[0] if at else None,
            optional=optional,
            override=override,
            where=item.where,
        )

    # Expansion

    def _expand(self, root: _Tree, *, is_root: bool, interpolated: bool) -> _Tree:
        self.visited += 1
        if self.visited > MAX_CONFIGS:
            raise NotCovered(f"defaults lists that name more than {MAX_CONFIGS:,} configs")
        parent = root.entry
        if root.depth > MAX_DEPTH:
            self._fail(
                ErrorKind.RECURSIVE_DEFAULTS, "maximum recursion depth exceeded", parent.where
            )
        if is_root and parent.config_path != _NO_CONFIG and not self._file(parent.config_path):
            if self.tree.partial:
                raise NotKnown(f"the record has no {self._path(parent.config_path)}.yaml")
            self._not_found(root)
        entries = self._read(parent)
        if self._is_deleted(parent):
            return root
        self._note_choice(parent)
        if parent.name is None:
            return root
        self._refuse_missing(parent)
        loaded = self._load(parent)
        if loaded is None:
            if parent.optional:
                parent.deleted = True
                return root
            self._not_found(root)
        config = parent.config_path
        if entries is None:
            entries = self._entries(config, loaded)
        if entries or (is_root and self.appended):
            self._add_self(config, entries)
        if is_root:
            entries.extend(self.appended)
        self._take_overrides(entries, parent, interpolated)
        children: list[_Tree | _Entry] = []
        for entry in reversed(entries):
            if entry.is_self:
                children.append(entry)
            elif not entry.override:
                self._add_children(children, entry, root, interpolated)
        self._resolve_names(children, root)
        if children:
            root.children = children[::-1]
        return root

    def _add_children(
        self, children: list[_Tree | _Entry], entry: _Entry, root: _Tree, interpolated: bool
    ) -> None:
        parent = root.entry
        base = parent.group_path
        package = parent.final_package(legacy=self.legacy)
        entry.adopt(base, package)
        if entry.group is not None:
            choice = self.choices.get(entry.override_key(legacy=self.legacy))
            if choice is not None:
                entry.value = choice.value
                entry.where = choice.where
                choice.used = True
        if isinstance(entry.value, list):
            for option in reversed(entry.value):
                if "${" in option:
                    self._fail(
                        ErrorKind.DEFAULTS_INTERPOLATION,
                        f"In '{parent.config_path}': Defaults List interpolation is not supported "
                        "in options list items",
                        entry.where,
                    )
                one = _Entry(
                    None,
                    f"{entry.group}/{option}",
                    entry.package,
                    optional=entry.optional,
                    where=entry.where,
                )
                one.adopt(base, package)
                self._add_child(children, one, root, interpolated)
        elif entry.is_interpolation:
            children.append(entry)
        else:
            self._add_child(children, entry, root, interpolated)

    def _add_child(
        self, children: list[_Tree | _Entry], entry: _Entry, root: _Tree, interpolated: bool
    ) -> None:
        subtree = self._expand(
            _Tree(entry, root.entry, root.depth + 1), is_root=False, interpolated=interpolated
        )
        children.append(entry if subtree.children is None else subtree)

    def _add_self(self, config: str, entries: list[_Entry]) -> None:
        has_self = False
        for entry in entries:
            if entry.is_self:
                if has_self:
                    self._fail(
                        ErrorKind.DUPLICATE_DEFAULT,
                        f"Duplicate _self_ defined in {config}",
                        entry.where,
                    )
                has_self = True
        if (not has_self and any(not e.override for e in entries)) or not entries:
            entries.append(_Entry(None, "_self_"))

    def _take_overrides(self, entries: list[_Entry], parent: _Entry, interpolated: bool) -> None:
        last: _Entry | None = None
        for entry in entries:
            if entry.is_self:
                continue
            entry.adopt(parent.group_path, parent.final_package(legacy=self.legacy))
            legacy_hydra = (
                self.legacy
                and entry.group is not None
                and not entry.override
                and entry.group.startswith("hydra/")
            )
            if last is not None and not (entry.override or entry.external or legacy_hydra):
                key = entry.override_key(legacy=self.legacy)
                self._fail(
                    ErrorKind.INVALID_DEFAULTS,
                    f"In {parent.config_path}: Override '{last.override_key()} : {last.name}' is "
                    f"defined before '{key}: {entry.name}'.",
                    entry.where,
                    more="Overrides must be at the end of the defaults list",
                )
            if entry.group is None:
                continue
            entry.override = entry.override or legacy_hydra
            if not entry.override:
                continue
            if not legacy_hydra:
                last = entry
            if interpolated:
                self._fail(
                    ErrorKind.INVALID_DEFAULTS,
                    f"{parent.config_path}: Default List Overrides are not allowed in the subtree",
                    entry.where,
                    more="of an in interpolated config group "
                    f"(override {entry.override_key()}={entry.name}).",
                )
            key = entry.override_key(legacy=self.legacy)
            if key not in self.choices:
                self.choices[key] = _Choice(
                    entry.value, entry.where, external=False, containing=parent.config_path
                )

    def _resolve_names(
        self,
        children: list[_Tree | _Entry],
        root: _Tree,
    ) -> None:
        parent = root.entry
        for index, child in enumerate(children):
            if not isinstance(child, _Entry) or child.is_self or not child.is_interpolation:
                continue
            if child.group is None:
                child.value = self._interpolated(child.config_path, child.where)
            else:
                child.value = self._interpolated(str(child.value), child.where)
            subtree = self._expand(
                _Tree(child, parent, root.depth + 1), is_root=False, interpolated=True
            )
            if subtree.children is not None:
                children[index] = subtree

    def _interpolated(self, text: str, where: Where) -> str:
        parts = re.split(r"\$\{\s*([A-Za-z_][\w\-]*)\s*\}", text)
        if any("${" in literal or literal.endswith("\\") for literal in parts[::2]):
            raise NotCovered(f"the interpolation {text!r} in a defaults list")
        found = list(parts)
        for index in range(1, len(parts), 2):
            name = parts[index]
            value = self.known.get(name, MISSING)
            if name == "defaults":
                raise NotCovered("an interpolation of the defaults list itself")
            if value == MISSING:
                known = ", ".join(self.known)
                options = f", possible interpolation keys: {known}" if known else ""
                self._fail(
                    ErrorKind.DEFAULTS_INTERPOLATION,
                    f"Error resolving interpolation '{text}'{options}",
                    where,
                )
            if value is None and len(parts) == 3 and not parts[0] and not parts[2]:
                self._fail(ErrorKind.DEFAULTS_INTERPOLATION, "", where)
            if value is not None and "${" in value:
                raise NotCovered("an interpolation that leads to another in a defaults list")
            found[index] = str(value)
        return "".join(found)

    # Checks

    def _read(self, entry: _Entry) -> list[_Entry] | None:
        """Reads an entry's header and defaults list, None when it has no file."""
        if isinstance(entry.value, list) or entry.is_missing:
            return None
        file = self._file(entry.config_path)
        if file is None:
            return None
        loaded = self.tree.load(file)
        entries = self._entries(entry.config_path, loaded)
        self._take_header(entry, loaded.package)
        return entries

    def _take_header(self, entry: _Entry, package: str | None) -> None:
        if package is None or (self.legacy and package == "_group_"):
            return
        if package != "_global_" and not package.startswith("_global_."):
            package = f"_global_.{package}" if package else "_global_"
        if self.legacy:
            package = package.replace("_group_", entry.default_package)
        entry.header = package

    def _is_deleted(self, entry: _Entry) -> bool:
        if entry.group is None:
            return False
        found = self.deletions.get(entry.override_key(legacy=self.legacy))
        if found is None or (found[0] is not None and found[0] != entry.name):
            return False
        entry.deleted = True
        found[2].append(True)
        return True

    def _note_choice(self, entry: _Entry) -> None:
        if entry.group is None:
            return
        key = entry.override_key(legacy=self.legacy)
        if key not in self.known:
            self.known[key] = entry.name
        elif entry.name != self.known[key]:
            self._fail(
                ErrorKind.DUPLICATE_DEFAULT,
                f"Multiple values for {key}. To override a value use 'override {key}: "
                f"{self.known[key]}'",
                entry.where,
            )
        self.known_by_group.setdefault(entry.group_path, set()).add(key)

    def _refuse_missing(self, entry: _Entry) -> None:
        if not entry.config_path.endswith(MISSING):
            return
        if entry.group is None:
            self._fail(
                ErrorKind.INVALID_DEFAULTS,
                f"Missing ConfigDefault is not supported : {entry.config_path}",
                entry.where,
            )
        key = entry.override_key(legacy=self.legacy)
        options = self._options(entry.group_path)
        self._fail(
            ErrorKind.MANDATORY_CHOICE,
            f"You must specify '{key}', e.g, {key}=<OPTION>",
            entry.where,
            more="Available options:" + "".join(f"\n\t{option}" for option in options),
        )

    def _options(self, group: str) -> list[str]:
        found = self.tree.options(self._path(group))
        return sorted({*found, *_HYDRA_OPTIONS.get(group, ())})

    def _not_found(self, root: _Tree) -> NoReturn:
        entry = root.entry
        config = entry.config_path
        if entry.primary:
            self._fail(
                ErrorKind.NO_PRIMARY_CONFIG,
                f"Cannot find primary config '{config}'. Check that it's in your config search "
                "path.",
                None,
            )
        more = ""
        if entry.group is not None:
            message = f"Could not find '{config}'"
            options = self._options(entry.group_path)
            if options:
                listed = "".join(f"\n\t{option}" for option in options)
                more = f"Available options in '{entry.group_path}':{listed}"
        else:
            message = f"Could not load '{config}'."
        if root.parent is not None:
            message = f"In '{root.parent.config_path}': {message}"
        self._fail(ErrorKind.MISSING_CONFIG, message, entry.where, more=more)

    def _refuse_unused(self) -> None:
        for key, choice in self.choices.items():
            if choice.used or (key.startswith("hydra/") and self.selection.assumed):
                continue
            known = sorted(self.known_by_group.get(key.partition("@")[0], ()))
            if known:
                message = f"Could not override '{key}'."
                more = (
                    "Did you mean to override one of "
                    if len(known) > 1
                    else "Did you mean to override "
                )
                more += ", ".join(known) + "?"
            else:
                message = f"Could not override '{key}'. No match in the defaults list."
                more = ""
            if choice.containing is not None:
                message = f"In '{choice.containing}': {message}"
            if choice.external:
                more += f"\nTo append to your default list use +{key}={choice.value}"
            self._fail(ErrorKind.NOT_IN_DEFAULTS, message, choice.where, more=more.lstrip("\n"))
        for key, (name, index, used) in self.deletions.items():
            if not used:
                shown = key if name is None else f"{key}={name}"
                self._fail(
                    ErrorKind.CANNOT_DELETE,
                    f"Could not delete '{shown}'. No match in the defaults list",
                    index,
                )

    # The final list

    def _collect(self, tree: _Tree | _Entry, parent: _Entry | None) -> None:
        if isinstance(tree, _Tree) and tree.children:
            for child in tree.children:
                self._collect(child, tree.entry)
            return
        entry = tree.entry if isinstance(tree, _Tree) else tree
        if entry.deleted or entry.is_missing or entry.name is None:
            return
        owner = parent if entry.is_self else entry
        if owner is None or owner.config_path == _NO_CONFIG:
            return
        key = None
        if not entry.is_self and entry.group is not None:
            key = entry.override_key(legacy=self.legacy)
        loaded = self._load(owner)
        if loaded is None:
            raise NotCovered(f"the config {owner.config_path!r} vanished")
        self.selection.parts.append(
            Part(owner.config_path, owner.final_package(legacy=self.legacy), loaded)
        )
        self._keys.append((key, entry.where))

    def _refuse_duplicates(self) -> None:
        seen: set[str] = set()
        for key, where in self._keys:
            if key is None:
                continue
            if key in seen:
                self._fail(
                    ErrorKind.DUPLICATE_DEFAULT,
                    f"{key} appears more than once in the final defaults list",
                    where,
                )
            seen.add(key)

    def _fail(self, kind: ErrorKind, message: str, where: Where, more: str = "") -> NoReturn:
        raise failure(self.tree, kind, message, where, more)


def failure(
    tree: ConfigTree, kind: ErrorKind, message: str, where: Where, more: str = ""
) -> CompositionFailure:
    """The failure with its place: an override's index, or the line of a key."""
    if isinstance(where, int):
        return CompositionFailure(kind, message, more, override=where)
    if where is None:
        return CompositionFailure(kind, message, more)
    path, keys = where
    mark = tree.mark(path, keys)
    return CompositionFailure(
        kind,
        message,
        more,
        path=path,
        line=mark.line if mark is not None else 1,
        column=mark.column if mark is not None else 1,
    )


def _plain(node: Node) -> object:
    if type(node.value) is dict:
        return {key: _plain(child) for key, child in node.value.items()}
    if type(node.value) is list:
        return [_plain(child) for child in node.value]
    return node.value
