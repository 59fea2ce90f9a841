"""Python's own syntax trees, parsed once for all that look at a text while a package is judged."""

from __future__ import annotations

import ast
import warnings

MAX_CHARACTERS = 2_000_000
"""Longer texts are not parsed."""

_KEPT_CHARACTERS = 500_000

_LEAVES = frozenset({ast.Name, ast.Constant, ast.alias, ast.Pass, ast.Break, ast.Continue})

_trees: dict[str, ast.Module | None] = {}
_nodes: dict[str, list[ast.AST]] = {}


def parsed(text: str) -> ast.Module | None:
    """A module's syntax tree, not to be changed; None where the text is too long, or no Python."""
    if text in _trees:
        return _trees[text]
    tree = None
    if len(text) <= MAX_CHARACTERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None
    if sum(map(len, _trees)) + len(text) <= _KEPT_CHARACTERS:
        _trees[text] = tree
    return tree


def nodes(text: str) -> list[ast.AST]:
    """The nodes of a text's syntax tree in the order of ``ast.walk``, but for ``ast.Load`` and its
    like; none where it has no tree."""
    known = _nodes.get(text)
    if known is None:
        tree = parsed(text)
        known = [] if tree is None else walk(tree)
        if text in _trees:
            _nodes[text] = known
    return known


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all below it in the order of ``ast.walk``, but for ``ast.Load`` and its like."""
    found = [node]
    for one in found:
        found += children(one)
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node, but for ``ast.Load`` and its like."""
    found: list[ast.AST] = []
    if type(node) in _LEAVES:
        return found
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [one for one in value if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST) and name != "ctx":
            found.append(value)
    return found


def forget() -> None:
    """Drops the trees that are kept, once a package is judged."""
    _trees.clear()
    _nodes.clear()
