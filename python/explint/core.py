"""The only importer of the Rust extension. Facts cross as one MessagePack document per package.

The structs below mirror ``rust/core/src/scan/facts.rs``; ``FACTS_VERSION`` guards the pair.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from explint import _core
from explint.compose.entry import HydraUse, Uses
from explint.model import Implementation, Rule, Severity
from explint.package import Package
from explint.trace.facts import TRACE_VERSION, TraceDocument, decode

FACTS_VERSION = 2


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
    """A comment that names explint; ``own_line`` when nothing precedes it."""

    line: int
    column: int
    end_column: int
    text: str
    own_line: bool


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the core says of one file.

    ``outcome`` is scanned, skipped or failed; ``reason`` explains the latter two. ``lines`` counts
    lines of the decoded text. ``hydra`` is how a module starts Hydra, if its text tells.
    """

    path: str
    outcome: str
    reason: str
    lines: int
    directives: list[Directive]
    hydra: HydraUse | None


class PackageFacts(msgspec.Struct, frozen=True, array_like=True):
    """The document of one package; ``crashes`` are (rule, path, what happened)."""

    version: int
    files: list[FileFacts]
    findings: list[CoreFinding]
    unknowns: list[CoreUnknown]
    crashes: list[tuple[str, str, str]]

    @property
    def uses(self) -> Uses:
        """How the package's modules start Hydra."""
        return {f.path: f.hydra for f in self.files if f.hydra is not None}


class CoreRule(msgspec.Struct, frozen=True, array_like=True):
    """A row of the core's rule table."""

    name: str
    code: str
    severity: Severity
    criteria: tuple[int, ...]
    doc: str


def rules() -> list[Rule]:
    """The rows of the rules that the core answers, in the order of their codes."""
    rows = msgspec.msgpack.decode(_core.rules(), type=list[CoreRule])
    table = []
    for row in rows:
        # A doc comment's lines start with the blank that follows the slashes.
        summary, _, doc = inspect.cleandoc(row.doc).partition("\n\n")
        table.append(
            Rule(
                name=row.name,
                code=row.code,
                severity=row.severity,
                criteria=row.criteria,
                summary=" ".join(summary.split()),
                doc=doc.strip() + "\n",
                implementation=Implementation.CORE,
            )
        )
    return table


_File = tuple[str, str, bytes | None, str | None, str | None, bool]
_Input = tuple[list[_File], bytes, int, bool, bool, list[str]]


class Job(NamedTuple):
    """A package to scan.

    ``minor`` is the minor version of Python 3 that it targets, ``entries`` the dotted names of the
    modules to trace (``src.train``); the empty name stands for what no other entry reaches.
    """

    package: Package
    protocol: FileProtocol
    minor: int
    entries: Sequence[str] = ()


class Scanner:
    """Scans and traces packages on a pool of threads; each distinct content is parsed once.

    What it has seen lately it remembers: the facts of a content, and the trace of the Python files
    of a package.
    """

    def __init__(self, threads: int = 0) -> None:
        """Starts ``threads`` workers; 0 means one per processor."""
        self._scanner = _core.Scanner(threads)
        self._protocols: dict[int, tuple[FileProtocol, bytes]] = {}

    def scan(self, jobs: Sequence[Job]) -> list[tuple[PackageFacts, TraceDocument | None]]:
        """The facts of each package and the trace of its entries, in the order given.

        A trace is None when no entry was asked for, or when it failed: ``trace`` tells.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the packages not yet begun are given up.
            RuntimeError: the extension speaks another version of the facts.
        """
        documents = self._scanner.scan([self._input(job) for job in jobs])
        return [
            (_FACTS.decode(facts), None if trace is None else decode(trace))
            for facts, trace in documents
        ]

    def trace(self, package: Package, entries: Sequence[str]) -> TraceDocument:
        """What the entries of a package do; entries are dotted names of modules (``src.train``).

        A module whose text the package does not hold is not part of the trace: what depends on it
        is unknown there. The empty name asks for the functions that no other entry reaches.

        Raises:
            RuntimeError: the trace failed.
        """
        return decode(self._scanner.trace(self._input(Job(package, _NO_PROTOCOL, 11, entries))))

    def uses(self, package: Package) -> Uses:
        """How the modules of a package start Hydra."""
        ((facts, _),) = self.scan([Job(package, _NO_PROTOCOL, 11)])
        return facts.uses

    def _input(self, job: Job) -> _Input:
        package = job.package
        return (
            [
                (f.path, f.state.value, f.data, f.failure, f.skipped, f.truncated)
                for f in package.files.values()
            ],
            self._encoded(job.protocol),
            job.minor,
            package.partial,
            package.record is not None and package.record.truncated,
            list(job.entries),
        )

    def _encoded(self, protocol: FileProtocol) -> bytes:
        kept = self._protocols.get(id(protocol))
        if kept is None or kept[0] is not protocol:
            kept = (protocol, msgspec.msgpack.encode(protocol))
            self._protocols[id(protocol)] = kept
        return kept[1]


_NO_PROTOCOL = FileProtocol()
_FACTS = msgspec.msgpack.Decoder(PackageFacts)

if (_core.FACTS_VERSION, _core.TRACE_VERSION) != (FACTS_VERSION, TRACE_VERSION):
    raise RuntimeError(
        f"explint's extension speaks facts version {_core.FACTS_VERSION} and trace version "
        f"{_core.TRACE_VERSION}, the Python layer {FACTS_VERSION} and {TRACE_VERSION}: reinstall "
        "explint so that both come from one build"
    )
