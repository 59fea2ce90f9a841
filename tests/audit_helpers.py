"""What tests of audits share: corpora as JSONL, rows to compare, and workers that misbehave."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from explint.audit import judging
from explint.audit.run import AuditOptions, LocalEngine
from explint.audit.schema import VARYING, FindingRow, PackageRow
from explint.audit.store import read_findings, read_packages
from explint.fanout import Bounds, Pool
from explint.package import Package

Rows = tuple[list[PackageRow], list[FindingRow]]

TRAIN = "import os\n\n\ndef train(cfg):\n    # TODO: number {n}\n    return undefined_{n}\n"


def files(n: int, more: str = "") -> dict[str, str]:
    """A small package with a few findings."""
    return {"src/train.py": TRAIN.format(n=n) + more, "config/config.yaml": f"seed: {n}\n"}


def row(n: int, more: str = "") -> dict[str, Any]:
    """A small package as a row of JSONL."""
    return {"id": f"p{n:04}", "files": files(n, more), "partial": False}


def jsonl(file: Path, rows: Iterable[Any]) -> Path:
    """Writes rows to a file."""
    file.write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    return file


def table(folder: Path) -> Rows:
    """All rows of an audit, without what may vary."""
    packages = []
    for package in read_packages(folder):
        for name in VARYING:
            setattr(package, name, None)
        packages.append(package)
    return packages, list(read_findings(folder))


def options(sources: Sequence[Path | str], out: Path, **more: object) -> AuditOptions:
    """Options of a small audit."""
    settings: dict[str, Any] = {"jobs": 2, **more}
    return AuditOptions(sources=tuple(map(str, sources)), out=out, **settings)


class Misbehaving(Pool):
    """The local engine with workers that do what a package asks for."""

    def __init__(self, options: AuditOptions) -> None:
        self.size = LocalEngine(options).size
        bounds = Bounds(options.timeout, options.memory)
        super().__init__("audit_helpers:misbehaving", options.judging, self.size, bounds)


def misbehaving(options: judging.JudgingOptions) -> Callable[[Package], bytes]:
    """A worker that hangs, grows, crashes or fails where the code says so."""
    judge = judging.worker(options)

    def answer(package: Package) -> bytes:
        text = b"".join(f.data or b"" for f in package.files.values()).decode()
        if "# hang" in text:
            time.sleep(600)
        if "# grow" in text:
            held = []
            while True:
                held.append(bytearray(16 << 20))
        if "# crash" in text:
            os.abort()
        if "# raise" in text:
            raise ValueError("not this one")
        return judge(package)

    return answer


def same(one: Rows, other: Rows) -> None:
    """Compares rows so that a difference is short to read."""
    for a, b in zip(*map(_flat, (one, other)), strict=True):
        assert a == b, [(k, a[k], b[k]) for k in a if a[k] != b.get(k)]


def _flat(rows: Rows) -> list[Any]:
    return [msgspec.structs.asdict(r) for part in rows for r in part]
