"""The package's YAML files, as the code that is traced loads them at run time."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Any, Final

from explint.compose.yaml import YamlDocument, YamlProblem
from explint.regex import regex
from explint.trace.specialise import MANDATORY, Tree, Unknown

Reader = Callable[[str], "YamlDocument | YamlProblem | None"]

PYYAML_FLOAT: Final = regex(
    r"""[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?
    |\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    re.X,
)
"""What PyYAML 6 takes for a float (``yaml/resolver.py``): with a dot, and a sign before the
exponent. Everything else that OmegaConf reads as a float is a string for it."""


class PackageFiles:
    """The YAML files of a package; see ``explint.trace.specialise.Files``."""

    def __init__(self, read: Reader, paths: Container[str]) -> None:
        self._read = read
        self._paths = paths
        self._loaded: dict[tuple[str, bool], Tree] = {}

    def holds(self, path: str) -> bool:
        """Whether the package has the file."""
        return path in self._paths

    def load(self, path: str, *, plain: bool) -> Tree:
        """What a file gives: interpolations, values that are mandatory and files that cannot be
        read are unknown."""
        key = (path, plain)
        if key not in self._loaded:
            document = self._read(path)
            tree: Tree = Unknown(f"{path} is not in the package")
            if isinstance(document, YamlProblem):
                tree = Unknown(f"{path} cannot be read")
            elif document is not None:
                empty = {} if document.value is None and not plain else document.value
                tree = _tree(empty, (), document, plain=plain)
            self._loaded[key] = tree
        return self._loaded[key]


def _tree(value: Any, at: tuple[str | int, ...], document: YamlDocument, *, plain: bool) -> Tree:  # noqa: ANN401
    if isinstance(value, dict):
        return {k: _tree(v, (*at, k), document, plain=plain) for k, v in value.items()}
    if isinstance(value, list):
        return [_tree(v, (*at, n), document, plain=plain) for n, v in enumerate(value)]
    if plain:
        text = document.scalar(at) if isinstance(value, float) else None
        return value if text is None or PYYAML_FLOAT.fullmatch(text) else text
    if isinstance(value, str) and "${" in value:
        return Unknown("it is interpolated")
    return MANDATORY if value == "???" else value
