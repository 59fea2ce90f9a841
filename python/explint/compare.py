"""Tells new findings from old ones, against the commit where two histories part.

A finding is the same as one of the base when rule, path, text of its line and occurrence are: the
key of a fingerprint, with the path taken from the top of the repository and through git's renames.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from explint.fingerprint import with_fingerprints
from explint.model import Change, Comparison, Finding, InputError, PackageReport, SourceInfo, State
from explint.pipeline import check_stream
from explint.request import CheckOptions, PackageText
from explint.source.folder import is_bare
from explint.source.git import GitError, Repository


class _Base(msgspec.Struct):
    """The findings of one location at the base.

    ``open`` and ``closed`` map the key of a finding to the finding: its path, like that in the
    key, counts from the top of the repository and is the one the file has today.
    """

    commit: str | None
    problem: str = ""
    prefix: str = ""
    open: dict[str, Finding] = msgspec.field(default_factory=dict)
    closed: set[str] = msgspec.field(default_factory=set)


def compared(
    results: Iterable[tuple[PackageReport, PackageText] | InputError],
    against: str,
    options: CheckOptions,
) -> Iterator[tuple[PackageReport, PackageText] | InputError]:
    """The same results, each package with its ``comparison`` and each finding with its ``change``.

    Args:
        results: What ``check_stream`` yields for ``options``.
        against: A revision: findings are compared with those at its merge base with what is
            checked (the commit checked out, or ``options.rev``).
        options: The options that ``results`` were checked with; the base is checked alike.

    Where there is no base to compare with, the comparison says why and all findings are new.
    """
    bases: dict[tuple[str, str | None], _Base] = {}
    for result in results:
        if isinstance(result, InputError):
            yield result
            continue
        report, text = result
        key = (report.source.location, report.source.rev)
        if key not in bases:
            bases[key] = _base_of(report.source, against, options)
        yield _compare(report, text, against, bases[key]), text


def _compare(report: PackageReport, text: PackageText, against: str, base: _Base) -> PackageReport:
    here = posixpath.normpath(posixpath.join(base.prefix, report.source.member or ""))
    moved = _at(here, report.findings, text)
    findings = []
    for finding, keyed in zip(report.findings, moved, strict=True):
        known = keyed.fingerprint in base.open or keyed.fingerprint in base.closed
        change = Change.UNCHANGED if known else Change.NEW
        findings.append(msgspec.structs.replace(finding, change=change))
    still = {keyed.fingerprint for keyed in moved}
    fixed = [
        msgspec.structs.replace(finding, path=posixpath.relpath(finding.path, here))
        for key, finding in base.open.items()
        if key not in still and (here == "." or finding.path.startswith(f"{here}/"))
    ]
    comparison = Comparison(
        against=against,
        base=base.commit,
        problem=base.problem,
        fixed=tuple(sorted(fixed, key=lambda f: f.sort_key)),
    )
    return msgspec.structs.replace(report, findings=tuple(findings), comparison=comparison)


def _at(
    folder: str,
    findings: Sequence[Finding],
    text: PackageText,
    renames: Mapping[str, str] | None = None,
) -> list[Finding]:
    """The findings with paths and fingerprints that count from the top of the repository."""
    renames = renames or {}
    inner: dict[str, str] = {}

    def outer(path: str) -> str:
        old = posixpath.normpath(posixpath.join(folder, path))
        new = renames.get(old, old)
        inner[new] = path
        return new

    moved = [msgspec.structs.replace(f, path=outer(f.path)) for f in findings]
    return with_fingerprints(moved, lambda path: text.lines(inner[path]))


def _base_of(source: SourceInfo, against: str, options: CheckOptions) -> _Base:
    if source.kind not in ("folder", "git"):
        return _Base(None, "only folders and revisions of a git repository can be compared")
    try:
        return _checked_base(source, against, options)
    except GitError as problem:
        return _Base(None, f"{problem}; {problem.advice}")


def _checked_base(source: SourceInfo, against: str, options: CheckOptions) -> _Base:
    location = source.location
    repository = Repository(os.path.realpath(location))
    wanted = repository.object_id(f"{against}^{{commit}}")
    if wanted is None:
        return _Base(
            None,
            f"the repository has no commit `{against}`; fetch it first, for example with "
            f"git fetch origin {against}",
        )
    head = repository.object_id(f"{source.rev or 'HEAD'}^{{commit}}")
    if head is None:
        return _Base(None, "what is checked is no commit, so it has no history")
    commit = repository.merge_base(wanted, head)
    if commit is None:
        shallow = repository.is_shallow()
        why = "the clone is shallow; deepen it, for example with git fetch --deepen=1000"
        return _Base(
            None,
            f"{against} and what is checked have no common commit"
            + (f" in the history at hand: {why}" if shallow else ""),
        )
    base = _Base(commit, prefix="" if is_bare(location) else repository.prefix())
    renames = repository.renames(commit, source.rev)
    then = msgspec.structs.replace(
        options, rev=commit, configured_by=None if is_bare(location) else Path(location)
    )
    for result in check_stream([location], then):
        # What cannot be read in the base has no findings there to compare with.
        if isinstance(result, InputError):
            continue
        report, text = result
        folder = posixpath.normpath(posixpath.join(base.prefix, report.source.member or ""))
        for finding in _at(folder, report.findings, text, renames):
            if finding.state is State.OPEN:
                base.open[finding.fingerprint] = finding
            else:
                base.closed.add(finding.fingerprint)
    return base
