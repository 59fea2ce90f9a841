"""What inputs give: packages with the place where they were found, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import blake2b

import msgspec

from explint.model import InputError
from explint.package import Package


class InputProblemError(Exception):
    """A package that cannot be read at all; the message says why and what to do."""


class Item(msgspec.Struct, kw_only=True):
    """One package of an input, read when it is asked for.

    ``load`` reads it or raises InputProblemError: where an audit goes on, what is judged already is
    passed over unread. The other fields are columns of ``PackageRow``.
    """

    id: str
    series: str
    source_kind: str
    source: str
    load: Callable[[], Package]
    member: str | None = None
    repository: str | None = None
    branch: str | None = None
    version: str | None = None
    version_order: int | None = None
    version_date: datetime | None = None


class Meter(msgspec.Struct):
    """How far the reading of the inputs has come, for the time that is left.

    Of ``sources`` locations ``finished`` are read to their end; of the one at hand ``done`` of
    ``total`` units (bytes, rows, folders, commits), which is 0 where nobody knows.
    """

    sources: int = 0
    finished: int = 0
    done: int = 0
    total: int = 0

    def begin(self, total: int) -> None:
        """A location of so many units is being read."""
        self.done, self.total = 0, total

    def end(self) -> None:
        """The location at hand is read."""
        self.finished += 1
        self.done = self.total = 0

    @property
    def fraction(self) -> float | None:
        """The part that is read, from 0 to 1; None when nothing is known of it."""
        if not self.sources or not (self.finished or self.total):
            return None
        part = min(self.done / self.total, 1.0) if self.total else 0.0
        return min((self.finished + part) / self.sources, 1.0)


def of_package(package: Package) -> Item:
    """A package that is read already."""
    source = package.source
    series = package.id
    return Item(
        id=package.id,
        series=series,
        source_kind=source.kind,
        source=source.location,
        member=source.member,
        version=source.rev,
        load=lambda: package,
    )


class UniqueIds:
    """Makes ids unique: a second ``a`` becomes ``a~2``. Keeps eight bytes of each."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, wanted: str) -> str:
        """An id that was not given before."""
        given, n = wanted, 1
        while not self._take(given):
            n += 1
            given = f"{wanted}~{n}"
        return given

    def _take(self, name: str) -> bool:
        digest = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=8).digest()
        mark = int.from_bytes(digest, "little")
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True


Items = Iterator[Item | InputError]
