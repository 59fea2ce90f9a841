"""Where every file of a package ended: exactly one of scanned, skipped, failed."""

from __future__ import annotations

import msgspec


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that was left out on purpose."""

    path: str
    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A file that should have been judged and could not be read or decoded."""

    path: str
    reason: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """``scanned`` counts files; a skipped folder is one entry of ``skipped``."""

    scanned: int = 0
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Failed, ...] = ()
