"""What trials found, as a dataset of the same form as an audit's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from explint.audit.judging import Judge, JudgingOptions
from explint.audit.schema import PART_ROWS, About, FindingRow, PackageRow
from explint.audit.store import TABLES, StoreError, arrow, write_about, write_part
from explint.model import PackageReport
from explint.package import Package
from explint.request import PackageText, tool_info
from explint.trial.prepare import digest_of


class Dataset:
    """Collects the packages of one command and writes them into its results folder.

    ``explint audit summary``, ``query`` and ``report`` read it there. Without pyarrow nothing is
    written, and ``tell`` gets why.
    """

    def __init__(
        self, folder: Path, sources: Sequence[str], profile: str | None, tell: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._sources = list(sources)
        self._profile = profile
        self._tell = tell
        self._judge = Judge(JudgingOptions(profile=profile))
        self._packages: list[PackageRow] = []
        self._findings: list[FindingRow] = []
        self._started = time.monotonic()

    def add(self, package: Package, report: PackageReport, text: PackageText) -> None:
        """One package whose runs have ended."""
        answer = self._judge.rows(package, report, text)
        row = answer.package
        row.position = len(self._packages)
        row.id = row.series = report.id
        row.source_kind = report.source.kind
        row.source = report.source.location
        row.member = report.source.member
        row.version = report.source.rev
        row.content = digest_of(package)
        for finding in answer.findings:
            finding.position = row.position
            finding.package = row.id
        self._packages.append(row)
        self._findings.extend(answer.findings)

    def write(self, *, complete: bool) -> None:
        """Writes what was added, in place of what an earlier command wrote."""
        try:
            arrow()
        except StoreError as error:
            self._tell(f"no dataset is written: {error}; {error.help}")
            return
        if not self._packages:
            return
        try:
            for table in TABLES:
                shutil.rmtree(self._folder / table, ignore_errors=True)
            about = About(
                tool=tool_info(),
                sources=self._sources,
                settings={"profile": self._profile, "trial": True},
                state="complete" if complete else "running",
                seconds=time.monotonic() - self._started,
            )
            for row in self._packages:
                about.counts.add(row)
            for start in range(0, len(self._packages), PART_ROWS):
                rows = self._packages[start : start + PART_ROWS]
                within = range(start, start + len(rows))
                found = [f for f in self._findings if f.position in within]
                write_part(self._folder, about.parts, rows, found)
                about.parts += 1
            write_about(self._folder, about)
        except StoreError as error:
            self._tell(f"the dataset is not written: {error}")
