"""Matplotlib: figures saved to files."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from .journal import around, emit, where


def figures(module: ModuleType) -> None:
    """Watches ``Figure.savefig``, through which pyplot saves too."""
    around(module.Figure, "savefig", None, _saved)


def _saved(
    token: Any, result: Any, figure: Any, fname: Any = None, *args: Any, **kwargs: Any
) -> None:
    if isinstance(fname, (str, os.PathLike)):
        emit("figure", path=os.path.abspath(os.fspath(fname)), place=where())
