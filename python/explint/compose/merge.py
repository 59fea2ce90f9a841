"""Config trees with the origin of every node, merged and changed as OmegaConf does it.

Nodes are never changed once they are part of a tree: merging makes new ones, so that the files'
trees are shared by all compositions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from explint.compose.errors import NotCovered
from explint.regex import regex

Key: TypeAlias = "str | int | float | bool | bytes"
Path: TypeAlias = "tuple[Key, ...]"
Where: TypeAlias = "tuple[str, Path] | int | None"
"""Where a node comes from: (file, path of keys in it), the index of an override (-1: somewhere,
hydra-core does not say), or nowhere."""

MISSING = "???"


class Node:
    """A section (dict), a list, or a leaf with a plain value; interpolations stay strings."""

    __slots__ = ("value", "where")

    def __init__(self, value: Any, where: Where = None) -> None:  # noqa: ANN401
        self.value = value
        self.where = where

    @property
    def is_section(self) -> bool:
        """Whether this is a mapping."""
        return type(self.value) is dict

    @property
    def is_container(self) -> bool:
        """Whether this is a mapping or a list."""
        return type(self.value) in (dict, list)

    @property
    def is_interpolated(self) -> bool:
        """Whether this is a leaf whose text holds ``${``."""
        return type(self.value) is str and "${" in self.value

    def child(self, key: Key) -> Node | None:
        """The node under a key, or at an index of a list."""
        if type(self.value) is dict:
            found: Node | None = self.value.get(key)
            return found
        if type(self.value) is list:
            index = list_index(key)
            if index is not None and 0 <= index < len(self.value):
                item: Node = self.value[index]
                return item
        return None


class MergeFailure(Exception):  # noqa: N818 - turned into a CompositionError by the caller
    """Two configs do not fit together; ``where`` is the later one's place."""

    def __init__(self, message: str, where: Where) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


class AbsentKey(Exception):  # noqa: N818 - turned into a CompositionError by the caller
    """A struct config was given a key that it does not have."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def build(value: Any, file: str | int, path: Path = ()) -> Node:  # noqa: ANN401
    """The nodes of a plain value; ``file`` is a file's path, or the index of an override."""
    where: Where = file if isinstance(file, int) else (file, path)
    if isinstance(value, dict):
        return Node({k: build(v, file, (*path, k)) for k, v in value.items()}, where)
    if isinstance(value, list):
        return Node([build(v, file, (*path, i)) for i, v in enumerate(value)], where)
    return Node(value, where)


def merge(dest: Node, src: Node, *, struct: bool = False, prefix: str = "") -> Node:
    """The section ``dest`` with ``src`` merged over it.

    Mappings merge key by key, everything else replaces, ``???`` replaces nothing. Raises
    MergeFailure when a mapping meets a list, AbsentKey for a new key under ``struct``, NotCovered
    when what is there already is an interpolation that may stand for a section.
    """
    if not (dest.is_section and src.is_section):
        if type(dest.value) is not type(src.value):
            raise MergeFailure("Cannot merge DictConfig with ListConfig", src.where)
        return src
    items = dict(dest.value)
    for key, new in src.value.items():
        old = items.get(key)
        if old is None:
            if struct:
                raise AbsentKey(f"{prefix}{key}")
            items[key] = new
        elif new.is_container:
            if old.is_container:
                items[key] = merge(old, new, struct=struct, prefix=f"{prefix}{key}.")
            elif old.is_interpolated:
                raise NotCovered(f"a section is merged over the interpolation {old.value!r}")
            else:
                items[key] = new
        elif not (type(new.value) is str and new.value == MISSING):
            items[key] = new
    return Node(items, dest.where if dest.where is not None else src.where)


def embed(package: str, node: Node) -> Node:
    """The node under a dotted package, at the root for an empty one."""
    for key in reversed(split_key(package)) if package else ():
        node = Node({key: node}, node.where)
    return node


def update(root: Node, key: str, new: Node, *, force: bool) -> Node:
    """``OmegaConf.update`` with merge; without ``force`` the config is struct.

    Raises AbsentKey, MergeFailure and NotCovered.
    """
    return _update(root, split_key(key), 0, new, force)


def _update(node: Node, keys: list[str], at: int, new: Node, force: bool) -> Node:
    if type(node.value) is list:
        raise NotCovered("an override reaches into a list")
    key = keys[at]
    old = node.child(key)
    if old is None and not force:
        raise AbsentKey(".".join(keys[: at + 1]))
    if at == len(keys) - 1:
        if new.is_container and old is not None and old.is_container:
            prefix = ".".join(keys) + "."
            child = merge(old, new, struct=not force, prefix=prefix)
        else:
            child = new
    else:
        if old is None or not old.is_container:
            # OmegaConf puts an empty section in the place of a value it has to go through.
            old = Node({}, new.where)
        child = _update(old, keys, at + 1, new, force)
    return Node({**node.value, key: child}, node.where)


def delete(root: Node, keys: list[str]) -> Node:
    """The tree without one key that is there, reached through sections only."""
    items = dict(root.value)
    if len(keys) == 1:
        del items[keys[0]]
    else:
        items[keys[0]] = delete(items[keys[0]], keys[1:])
    return Node(items, root.where)


_HEAD = regex(r"(\.)*[^.[]*")
_OTHER = regex(r"\.([^.[]*)|\[(.*?)\]")


def split_key(key: str) -> list[str]:
    """The parts of ``a.b[c]``, as OmegaConf splits it."""
    head = _HEAD.match(key)
    stop = head.end() if head is not None else 0
    parts = key[:stop].split(".")
    if stop == len(key):
        return parts
    if key[stop] == "[" and not parts[-1]:
        parts.pop()
    return parts + [dotted or bracketed for dotted, bracketed in _OTHER.findall(key[stop:])]


def list_index(key: Key) -> int | None:
    """A key as the index of a list."""
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10:
        return int(key)
    return None


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every leaf with its path, empty sections and lists included."""
    value = node.value
    if type(value) is dict and value:
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif type(value) is list and value:
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))
    else:
        yield path, node
