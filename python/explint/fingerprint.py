"""Fingerprints that survive inserted lines: what a finding is, not where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from explint.model import Finding


def with_fingerprints(
    findings: Iterable[Finding], lines_of: Callable[[str], Sequence[str] | None]
) -> list[Finding]:
    """Gives each finding the digest of its rule, path, normalised line and occurrence.

    ``lines_of`` returns the decoded lines of a file, or None. Two findings of one rule on equal
    lines of one file differ by their occurrence, counted in the order given. A finding about a file
    as a whole stands at its very start and has no line of its own.
    """
    seen: dict[tuple[str, str, str], int] = {}
    stamped = []
    for finding in findings:
        lines = lines_of(finding.path) or ()
        whole = finding.end_line == finding.end_column == 1
        line = lines[finding.line - 1] if not whole and finding.line <= len(lines) else ""
        key = (finding.rule, finding.path, " ".join(line.split()))
        occurrence = seen[key] = seen.get(key, -1) + 1
        text = "\x00".join((*key, str(occurrence)))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        stamped.append(msgspec.structs.replace(finding, fingerprint=digest.hexdigest()))
    return stamped
