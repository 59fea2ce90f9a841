"""YAML as OmegaConf reads it, with the place of every key and value.

OmegaConf differs from ``yaml.safe_load`` in four points (its ``get_yaml_loader``, version 2.3):
floats need neither dot nor sign (``1e-4``), timestamps stay strings, a duplicate key is an error,
and so are null keys and sets (its containers reject them). libyaml's parser does the reading,
unless the text holds one of the few things where PyYAML's own parser, the one OmegaConf uses, is
known to differ; what libyaml rejects is tried again with that one.

Nodes are built here from the parser's events and not with ``yaml.compose``: libyaml's composer
recurses on the C stack, so that a file of 100,000 brackets ends the process.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any

import msgspec
import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader, ReaderError

from explint.regex import regex

MAX_DEPTH = 200
"""How deep collections may nest; OmegaConf itself ends in a RecursionError not far above."""

MAX_ALIASED_NODES = 100_000
"""How many nodes aliases may stand for in all, before a text counts as an expansion bomb."""

MAX_PLAIN_CHARACTERS = 200_000
"""Longer texts never go to PyYAML's own parser, which is ten times slower."""

_TAG = "tag:yaml.org,2002:"
_NULL = _TAG + "null"
_STRING = _TAG + "str"
_UNSUPPORTED = frozenset({_TAG + "set", _TAG + "timestamp"})
_FLOAT = regex(
    r"""^(?:
         [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
        |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
    re.X,
)

_GLUED_COMMENT = regex(r"[|>][-+1-9]{0,2}#")
_GLUED_TAG = regex(r"(?:^|[\s,\[{])![^\s\"']*[,\[\]{}]", re.MULTILINE)
_MISFITS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


class Mark(msgspec.Struct, frozen=True):
    """Where a key or value stands: 1-based, in characters; the end is just past its last one."""

    line: int
    column: int
    end_line: int
    end_column: int


class YamlProblem(msgspec.Struct, frozen=True):
    """Why a text is no YAML that OmegaConf accepts, and the place (1-based, in characters)."""

    line: int
    column: int
    message: str


class YamlDocument:
    """A document: its plain Python value, and the places of its parts.

    ``value`` holds dict, list, str, int, float, bool, bytes and None; it is None for an empty text.
    """

    __slots__ = ("_index", "_root", "value")

    def __init__(self, value: Any, root: Node | None) -> None:  # noqa: ANN401
        self.value = value
        self._root = root
        self._index: dict[int, dict[Any, tuple[Node, Node]]] = {}

    def at(self, path: tuple[str | int, ...] = ()) -> Mark | None:
        """The place of the value at ``path`` (keys and list indices from the root)."""
        pair = self._find(path)
        return None if pair is None else _mark(pair[1])

    def key_at(self, path: tuple[str | int, ...]) -> Mark | None:
        """The place of the key that ends ``path``; None for the root and for list items."""
        pair = self._find(path)
        return None if pair is None or pair[0] is None else _mark(pair[0])

    def scalar(self, path: tuple[str | int, ...]) -> str | None:
        """The text of the scalar at ``path`` as written, without quotes; None of other nodes."""
        pair = self._find(path)
        return pair[1].value if pair is not None and isinstance(pair[1], ScalarNode) else None

    def _find(self, path: tuple[str | int, ...]) -> tuple[Node | None, Node] | None:
        key: Node | None = None
        node = self._root
        for part in path:
            if isinstance(node, MappingNode):
                pair = self._keys(node).get(part)
                if pair is None:
                    return None
                key, node = pair
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                if not 0 <= part < len(node.value):
                    return None
                key, node = None, node.value[part]
            else:
                return None
        return None if node is None else (key, node)

    def _keys(self, node: MappingNode) -> dict[Any, tuple[Node, Node]]:
        # Construction has put merged keys in front of the mapping's own, so the last one wins
        # here as it does there.
        index = self._index.get(id(node))
        if index is None:
            construct = SafeConstructor().construct_object
            index = {construct(k): (k, v) for k, v in node.value if isinstance(k, ScalarNode)}
            self._index[id(node)] = index
        return index


def load_yaml(text: str) -> YamlDocument | YamlProblem:
    """Reads one document as OmegaConf would.

    A leading byte order mark and CRLF line ends are accepted. Nesting beyond ``MAX_DEPTH``, an
    alias inside its own anchor and aliases that stand for more than ``MAX_ALIASED_NODES`` nodes
    are problems. Interpolations (``${…}``) stay strings and their grammar is not checked.
    """
    text = text.removeprefix("\ufeff")
    short = len(text) <= MAX_PLAIN_CHARACTERS
    try:
        if short and _parsers_differ(text):
            return _load(text, _PlainLoader)
        result = _load(text, _FastLoader)
        if short and isinstance(result, YamlProblem):
            return _load(text, _PlainLoader)
    except _RejectedError as error:
        return YamlProblem(error.mark.line + 1, error.mark.column + 1, error.message)
    return result


class _RejectedError(Exception):
    """A problem found here and not by a parser: another parser would not help."""

    def __init__(self, mark: yaml.Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message


def _parsers_differ(text: str) -> bool:
    # libyaml accepts a tab after a scalar, a question mark in a flow collection's plain scalar, and
    # a comment that touches the mark of a block scalar; it ends a tag where a flow collection goes
    # on, which PyYAML takes for a part of the tag.
    before = text[: text.rfind("?") + 1]
    return (
        "\t" in text
        or "[" in before
        or "{" in before
        or _GLUED_COMMENT.search(text) is not None
        or _GLUED_TAG.search(text) is not None
    )


def _load(text: str, loader_type: Callable[[str], Any]) -> YamlDocument | YamlProblem:
    try:
        loader = loader_type(text)
    except ReaderError as error:
        return _reader_problem(text, error)
    except UnicodeEncodeError as error:
        return _at_offset(text, error.start, "a lone surrogate is no character")
    root: Node | None = None
    try:
        root = _compose(loader)
        if root is None:
            return YamlDocument(None, None)
        return YamlDocument(loader.construct_document(root), root)
    except ReaderError as error:
        return _reader_problem(text, error)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = [part for part in (error.context, error.problem) if part]
        message = ": ".join(said) or "not YAML"
        return YamlProblem(
            1 if mark is None else mark.line + 1, 1 if mark is None else mark.column + 1, message
        )
    except _MISFITS:
        # PyYAML's scalar constructors let these out for an explicit tag that does not fit
        # (`!!int x`) and for a number such as `0b_` or one of more than 4,300 digits.
        return _misfit(root)
    finally:
        loader.dispose()


def _compose(loader: Any) -> Node | None:  # noqa: ANN401
    """The node graph of a stream with at most one document."""
    root: Node | None = None
    anchors: dict[str, Node] = {}
    sizes: dict[str, int] = {}
    aliased = 0
    # One entry per open collection: node, anchor, key that waits for its value, nodes inside.
    stack: list[list[Any]] = []
    documents = 0

    def attach(node: Node, size: int) -> None:
        nonlocal root
        if not stack:
            root = node
            return
        top = stack[-1]
        top[3] += size
        if isinstance(top[0], SequenceNode):
            top[0].value.append(node)
        elif top[2] is None:
            if node.tag == _NULL:
                raise _RejectedError(node.start_mark, "null is no key OmegaConf can hold")
            top[2] = node
        else:
            top[0].value.append((top[2], node))
            top[2] = None

    while loader.check_event():
        event = loader.get_event()
        here: Any = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _RejectedError(here, "a second document starts here: one is expected")
        elif isinstance(event, yaml.AliasEvent):
            node = anchors.get(str(event.anchor))
            if node is None:
                raise _RejectedError(here, f"no anchor &{event.anchor} stands before")
            if event.anchor not in sizes:
                raise _RejectedError(here, f"the anchor &{event.anchor} contains itself")
            aliased += sizes[event.anchor]
            if aliased > MAX_ALIASED_NODES:
                raise _RejectedError(
                    here, f"aliases stand for more than {MAX_ALIASED_NODES:,} nodes"
                )
            attach(node, sizes[event.anchor])
        elif isinstance(event, yaml.NodeEvent):
            anchor = event.anchor
            if anchor is not None and anchor in anchors:
                raise _RejectedError(here, f"the anchor &{anchor} is defined twice")
            node = _node(loader, event)
            if node.tag in _UNSUPPORTED:
                kind = node.tag.removeprefix(_TAG)
                raise _RejectedError(node.start_mark, f"a {kind} is no value OmegaConf can hold")
            if anchor is not None:
                anchors[anchor] = node
            if isinstance(node, ScalarNode):
                if anchor is not None:
                    sizes[anchor] = 1
                attach(node, 1)
            else:
                stack.append([node, anchor, None, 1])
                if len(stack) > MAX_DEPTH:
                    raise _RejectedError(here, f"nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor, _, size = stack.pop()
            node.end_mark = event.end_mark
            if anchor is not None:
                sizes[anchor] = size
            attach(node, size)
    return root


def _node(loader: Any, event: Any) -> Node:  # noqa: ANN401
    tag = event.tag
    start: Any = event.start_mark
    end: Any = event.end_mark
    explicit = tag is not None and tag != "!"
    if isinstance(event, yaml.ScalarEvent):
        if not explicit:
            # PyYAML resolves the tag `!` as if the scalar were plain, libyaml as if it were quoted.
            implicit = event.implicit if tag is None else (True, False)
            tag = loader.resolve(ScalarNode, event.value, implicit)
        return ScalarNode(tag, event.value, start, end, style=event.style)
    kind = SequenceNode if isinstance(event, yaml.SequenceStartEvent) else MappingNode
    if not explicit:
        tag = loader.resolve(kind, None, event.implicit)
    return kind(tag, [], start, None, flow_style=event.flow_style)


def _nodes(root: Node) -> list[Node]:
    """Every node once, in the order of the text as far as aliases allow."""
    found: list[Node] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        found.append(node)
        if isinstance(node, MappingNode):
            for pair in reversed(node.value):
                waiting.extend(reversed(pair))
        elif isinstance(node, SequenceNode):
            waiting.extend(reversed(node.value))
    return found


def _misfit(root: Node | None) -> YamlProblem:
    construct = SafeConstructor().construct_object
    for node in _nodes(root) if root is not None else []:
        if not isinstance(node, ScalarNode):
            continue
        try:
            construct(node)
        except ConstructorError:
            continue
        except _MISFITS:
            kind = node.tag.removeprefix(_TAG)
            shown = node.value if len(node.value) <= 40 else node.value[:40] + "…"
            mark = node.start_mark
            return YamlProblem(
                mark.line + 1, mark.column + 1, f'"{shown}" cannot be read as {kind}'
            )
    return YamlProblem(1, 1, "a value does not fit its tag")


def _reader_problem(text: str, error: ReaderError) -> YamlProblem:
    # libyaml counts bytes where PyYAML counts characters, so the place is looked up in the text.
    bad = Reader.NON_PRINTABLE.search(text)
    offset = error.position if bad is None else bad.start()
    shown = "" if bad is None else f" U+{ord(bad.group()):04X}"
    return _at_offset(text, offset, f"the character{shown} is not allowed in YAML")


def _at_offset(text: str, offset: int, message: str) -> YamlProblem:
    before = text[:offset]
    return YamlProblem(before.count("\n") + 1, offset - before.rfind("\n"), message)


def _mark(node: Node) -> Mark:
    start, end = node.start_mark, node.end_mark
    return Mark(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _omegaconf_rules(loader_type: Any) -> Any:  # noqa: ANN401
    """The loader with OmegaConf's resolvers, duplicate check and path tags."""

    class Loader(loader_type):  # type: ignore[misc]
        # The check stands where OmegaConf has it. Done at composition it would accept the texts
        # that OmegaConf rejects because merging has already copied keys into a later mapping.
        def construct_mapping(self, node: MappingNode, deep: bool = False) -> Any:  # noqa: ANN401
            keys = set()
            for key, _ in node.value if isinstance(node, MappingNode) else ():
                if key.tag != _STRING:
                    continue
                if key.value in keys:
                    raise ConstructorError(
                        None, None, f'the key "{key.value}" stands twice', key.start_mark
                    )
                keys.add(key.value)
            return super().construct_mapping(node, deep=deep)

    Loader.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+0123456789."))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    for name in ("Path", "PosixPath", "WindowsPath"):
        Loader.add_constructor(
            f"{_TAG}python/object/apply:pathlib.{name}",
            lambda loader, node: pathlib.PurePosixPath(*loader.construct_sequence(node)),
        )
    return Loader


_PlainLoader = _omegaconf_rules(yaml.SafeLoader)
_FastLoader = _omegaconf_rules(getattr(yaml, "CSafeLoader", yaml.SafeLoader))
