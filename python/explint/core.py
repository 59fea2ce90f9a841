"""The only importer of the Rust extension. Facts cross as one MessagePack document per package.

The structs below mirror ``rust/core/src/scan/facts.rs``; ``FACTS_VERSION`` guards the pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from explint import _core
from explint.model import Implementation, Rule
from explint.package import Package

FACTS_VERSION = 1


class FileProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """What the core needs of a profile to judge a package's structure.

    ``required`` are exact paths. A path matching one of ``unexpected`` and none of ``allowed``
    (glob patterns, ``**`` crosses folders) is an unexpected file. ``jobs`` maps a required module
    to the job it must do: ``entry``, ``train``, ``evaluate``, ``preprocess`` or ``model``.
    ``explained_stubs`` are modules that may be stubs when they say why.
    """

    required: list[str] = []
    allowed: list[str] = []
    unexpected: list[str] = []
    jobs: dict[str, str] = {}
    explained_stubs: list[str] = []


class CoreRelated(msgspec.Struct, frozen=True, array_like=True):
    """Another place of the same root cause."""

    path: str
    line: int
    message: str


class CoreFinding(msgspec.Struct, frozen=True, array_like=True):
    """A violation found by the core; positions are 1-based characters."""

    rule: str
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str
    help: str
    related: list[CoreRelated]


class CoreUnknown(msgspec.Struct, frozen=True, array_like=True):
    """A rule the core could not decide, and what would decide it."""

    rule: str
    path: str
    reason: str
    decided_by: str


class Directive(msgspec.Struct, frozen=True, array_like=True):
    """A comment that starts with ``explint:``; ``own_line`` when nothing precedes it."""

    line: int
    column: int
    end_column: int
    text: str
    own_line: bool


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the core says of one file.

    ``outcome`` is scanned, skipped or failed; ``reason`` explains the latter two. ``lines`` counts
    lines of the decoded text.
    """

    path: str
    outcome: str
    reason: str
    lines: int
    directives: list[Directive]


class PackageFacts(msgspec.Struct, frozen=True, array_like=True):
    """The document of one package; ``crashes`` are (rule, path, what happened)."""

    version: int
    files: list[FileFacts]
    findings: list[CoreFinding]
    unknowns: list[CoreUnknown]
    crashes: list[tuple[str, str, str]]
