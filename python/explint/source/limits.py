"""Bounds on what is read, so that no input can exhaust memory, time or the disk."""

from __future__ import annotations

import msgspec

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Bounds on inputs; what lies beyond one is reported with the reason, never dropped.

    Sizes are bytes. ``max_file_bytes`` bounds one file, ``max_package_bytes`` the files of one
    package that are read (and one JSON document, one row, one record), ``max_files`` the files
    listed per package. ``max_archive_bytes`` bounds what an archive unpacks to,
    ``max_archive_ratio`` unpacked against packed bytes (looked at beyond the first 16 MiB),
    ``max_members`` its entries. ``max_depth`` is how deep folders of a package are entered,
    ``max_search_depth`` how deep packages are looked for.
    """

    max_file_bytes: int = 10 * MIB
    max_package_bytes: int = 256 * MIB
    max_files: int = 20_000
    max_archive_bytes: int = 2048 * MIB
    max_archive_ratio: int = 500
    max_members: int = 500_000
    max_depth: int = 32
    max_search_depth: int = 8


def size_text(size: int) -> str:
    """A size as people write it, in binary units: ``50.0 MiB``."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def too_large(size: int | None, limit: int) -> str:
    """The reason a file over the limit is not read; ``size`` is None when it is not known."""
    what = "the file" if size is None else f"the file has {size_text(size)}, which"
    return f"{what} is over the limit of {size_text(limit)} per file"
