"""The config files of a package as Hydra's file source sees them, without a file system."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from explint.compose.errors import CompositionFailure, ErrorKind, NotCovered
from explint.compose.interpolate import pieces
from explint.compose.merge import Node, build, leaves
from explint.compose.yaml import Mark, YamlDocument, YamlProblem, load_yaml
from explint.package import FileState, Package

MAX_FILE = 4_000_000
"""Longer config files (in bytes) are not composed."""

HEADER_CHARACTERS = 512
"""Hydra looks for ``# @package`` in this many characters of a file."""


class NotKnown(Exception):  # noqa: N818 - carries the reason of an Unknown out of the composer
    """What decides is not in the package: neither composer can say."""


class Loaded(msgspec.Struct):
    """A config file: its nodes without the defaults list, ``# @package`` header, defaults list.

    ``path`` is None for Hydra's own configs, which are not looked into.
    """

    path: str | None
    root: Node
    package: str | None = None
    defaults: Node | None = None


class ConfigTree:
    """Files by path relative to the package root, with forward slashes.

    None in place of bytes says that the file is there and its content is not known. ``partial``
    says that files may exist that are not listed. Files are parsed once, when first asked for.
    """

    def __init__(self, files: Mapping[str, bytes | None], *, partial: bool = False) -> None:
        self.files = dict(files)
        self.partial = partial
        self._folders = {""}
        for path in self.files:
            folder = posixpath.dirname(path)
            while folder not in self._folders:
                self._folders.add(folder)
                folder = posixpath.dirname(folder)
        self.results: dict[tuple[object, ...], Any] = {}
        """What the static composer made of the tree, by what it was asked."""
        self._documents: dict[str, YamlDocument | YamlProblem] = {}
        self._loaded: dict[str, Loaded | CompositionFailure | NotCovered] = {}

    @classmethod
    def of(cls, package: Package) -> ConfigTree:
        """The YAML files of a package."""
        files: dict[str, bytes | None] = {}
        for path, file in package.files.items():
            if not path.endswith((".yaml", ".yml")) or file.state is FileState.ABSENT:
                continue
            known = file.state is not FileState.WITHHELD and not file.truncated
            files[path] = file.data if known else None
        return cls(files, partial=package.partial)

    def is_folder(self, path: str) -> bool:
        """Whether files stand below the path."""
        return normal(path) in self._folders

    def is_file(self, path: str) -> bool:
        """Whether the tree lists the file."""
        return normal(path) in self.files

    def options(self, folder: str) -> list[str]:
        """The YAML files directly in a folder, without extension, sorted."""
        prefix = f"{normal(folder)}/".lstrip("/")
        names = (path[len(prefix) :] for path in self.files if path.startswith(prefix))
        return sorted(n[: -len(".yaml")] for n in names if "/" not in n and n.endswith(".yaml"))

    def document(self, path: str) -> YamlDocument | YamlProblem | None:
        """A file as YAML; None when its content is not known or not UTF-8."""
        path = normal(path)
        if path not in self._documents:
            data = self.files.get(path)
            if data is None or len(data) > MAX_FILE:
                return None
            try:
                self._documents[path] = load_yaml(data.decode("utf-8"))
            except UnicodeDecodeError:
                return None
        return self._documents[path]

    def adopt(self, path: str, document: YamlDocument | YamlProblem) -> None:
        """Takes over what a file's text was parsed to, so that it is not parsed again."""
        self._documents[normal(path)] = document

    def mark(self, path: str, keys: tuple[object, ...]) -> Mark | None:
        """The place of a key's name, or of a list item."""
        document = self.document(path)
        if not isinstance(document, YamlDocument):
            return None
        at: tuple[str | int, ...] = keys  # type: ignore[assignment]
        return document.key_at(at) or document.at(at)

    def load(self, path: str) -> Loaded:
        """A config file of the tree.

        Raises CompositionFailure for what Hydra cannot read, NotKnown when the content is not
        there, NotCovered for a file that is too long.
        """
        path = normal(path)
        found = self._loaded.get(path)
        if found is None:
            try:
                found = self._read(path)
            except (CompositionFailure, NotCovered) as failure:
                found = failure
            self._loaded[path] = found
        if isinstance(found, CompositionFailure | NotCovered):
            raise found
        return found

    def _read(self, path: str) -> Loaded:
        data = self.files.get(path)
        if data is None:
            raise NotKnown(f"the content of {path} is not known")
        if len(data) > MAX_FILE:
            raise NotCovered(f"{path} has {len(data):,} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CompositionFailure(
                ErrorKind.INVALID_YAML,
                f"'utf-8' codec can't decode byte {data[error.start]:#04x} in position "
                f"{error.start}: {error.reason}",
                path=path,
                line=data.count(b"\n", 0, error.start) + 1,
                column=1,
            ) from None
        package = _package_header(path, text[:HEADER_CHARACTERS])
        document = self.document(path)
        if isinstance(document, YamlProblem) or document is None:
            at = document or YamlProblem(1, 1, "not YAML")
            raise CompositionFailure(
                ErrorKind.INVALID_YAML, at.message, path=path, line=at.line, column=at.column
            )
        value = document.value
        if value is None:
            value = {}
        elif isinstance(value, str):
            # OmegaConf reads a file that holds one bare word as a key without a value.
            value = {value: None}
        elif not isinstance(value, dict | list):
            raise CompositionFailure(
                ErrorKind.NOT_A_MAPPING,
                f"Invalid loaded object type: {type(value).__name__}",
                path=path,
                line=1,
                column=1,
            )
        root = build(value, path)
        # OmegaConf parses interpolations when it loads a file, whether they are ever read or not.
        check_texts(root)
        defaults = None
        if root.is_section:
            defaults = root.value.pop("defaults", None)
        return Loaded(path, root, package, defaults)


def check_texts(node: Node) -> None:
    """Raises NotCovered for an interpolation beyond the common forms."""
    for _, leaf in leaves(node):
        if leaf.is_interpolated:
            pieces(leaf.value)


def normal(path: str) -> str:
    """A path without ``.``, ``..`` and double slashes; the root is empty."""
    path = posixpath.normpath(path) if path else ""
    return "" if path == "." else path


def _package_header(path: str, text: str) -> str | None:
    package = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        if not re.match(r"\s*#\s*@", line):
            break
        line = line.lstrip("#").strip()
        parts = [part for part in line.split(" ") if part]
        if len(parts) != 2:
            message = (
                f"Expected header format: KEY VALUE, got '{line}'"
                if len(parts) < 2
                else f"Too many components in '{line}'"
            )
            raise CompositionFailure(
                ErrorKind.INVALID_HEADER, message, path=path, line=number, column=1
            )
        if parts[0] == "@package":
            package = parts[1].strip()
    return package
