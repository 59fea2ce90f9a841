"""What the handlers of a `try` statement do with an error that comes up inside it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from explint.syntax import nodes

_OTHERS: Final = frozenset(
    {
        "ArithmeticError", "BrokenPipeError", "ConnectionError", "FileExistsError",
        "FileNotFoundError", "HTTPError", "IOError", "ImportError", "IndexError",
        "JSONDecodeError", "KeyboardInterrupt", "MemoryError", "ModuleNotFoundError",
        "NotImplementedError", "OSError", "OutOfMemoryError", "OverflowError", "PermissionError",
        "RecursionError", "RuntimeError", "StopIteration", "SystemExit", "TimeoutError",
        "UnicodeDecodeError", "YAMLError", "ZeroDivisionError",
    }
)  # fmt: skip
"""Exceptions that neither a config key that is not there nor a call that does not fit raises."""

_EXITS: Final = frozenset({"exit", "quit", "_exit", "abort"})


def ends_in_error(text: str, line: int, column: int) -> bool:
    """Whether an error of a config read or a call ends the statement at a place with an error.

    That is so when every handler of the ``try`` that may take it raises or leaves the program.
    False where no ``try`` begins at the place: what else may hold an error back is not followed.
    """
    for node in _attempts(text):
        if (node.lineno, node.col_offset + 1) == (line, column):
            return not _leaves(node.finalbody) and all(
                _ends(handler.body) and not _leaves(handler.body)
                for handler in node.handlers
                if _may_take(handler.type)
            )
    return False


@lru_cache(maxsize=8)
def _attempts(text: str) -> tuple[ast.Try | ast.TryStar, ...]:
    return tuple(n for n in nodes(text) if isinstance(n, ast.Try | ast.TryStar))


def _may_take(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_may_take(one) for one in kind.elts)
    name = kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")
    return name not in _OTHERS


def _ends(body: Sequence[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _ends(last.body) and _ends(last.orelse)
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        called = last.value.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return name in _EXITS
    return isinstance(last, ast.Raise)


def _leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether a `finally` takes the error back by leaving for somewhere else."""
    kinds = ast.Return | ast.Break | ast.Continue
    return any(isinstance(node, kinds) for statement in body for node in ast.walk(statement))
