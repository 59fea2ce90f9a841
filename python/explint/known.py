"""Reports of packages that were judged before, kept between runs.

A report is used again only for the same files at the same place, judged by the same installation
under the same settings. What is kept is never needed: a folder that cannot be read or written, and
a report that is damaged, cost a new judgement and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from explint.cache import AnswerCache, content_digest
from explint.config import ConfigError
from explint.model import InputError, PackageReport
from explint.package import Package
from explint.request import CheckOptions, PackageText, settings_of

MOST_BYTES = 256 << 20
"""Size of the file from which on the reports that were kept first are dropped."""

PATIENCE = 0.5
"""Seconds that a check waits for another process that writes; then it does without."""

Result = tuple[PackageReport, PackageText] | InputError


class KnownReports:
    """The reports in a folder, for checks with some options."""

    def __init__(self, options: CheckOptions) -> None:
        assert options.cache is not None
        self._options = options
        self._cache = AnswerCache(
            options.cache, _installation(), most_bytes=MOST_BYTES, patience=PATIENCE
        )

    def __enter__(self) -> KnownReports:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cache.__exit__(kind, error, trace)

    def completed(
        self,
        check: Callable[[Iterable[Package | Result]], Iterator[Result]],
        packages: Iterable[Package | InputError],
    ) -> Iterator[Result]:
        """A result for each package, in their order: the one that is known, else what ``check``
        says. ``check`` hands on the results that it is given among the packages."""
        keys: deque[bytes | None] = deque()

        def known() -> Iterator[Package | Result]:
            for package in packages:
                key = None if isinstance(package, InputError) else self._key(package)
                report = None if key is None else self._read(key)
                if report is None or isinstance(package, InputError):
                    keys.append(key)
                    yield package
                else:
                    keys.append(None)
                    yield report, PackageText(package)

        for result in check(known()):
            key = keys.popleft()
            if key is not None and not isinstance(result, InputError) and result[0].complete:
                # A text that is no Unicode is left to be judged anew.
                with suppress(UnicodeEncodeError):
                    self._cache.put(key, _ENCODER.encode(result[0]))
            yield result

    def _read(self, key: bytes) -> PackageReport | None:
        data = self._cache.get(key)
        if data is None:
            return None
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            return _DECODER.decode(data)
        return None

    def _key(self, package: Package) -> bytes | None:
        """The key of the report; None where the settings are to be refused."""
        try:
            settings = settings_of(package, self._options)
            baseline = _bytes(settings.config.baseline if self._options.use_baseline else None)
        except ConfigError:
            return None
        # Built-in profiles are a part of the installation.
        profile = settings.config.profile
        text = b""
        if profile is not None and profile.endswith(".toml"):
            from explint.protocol import ProfileError, load_profile

            try:
                text = msgspec.msgpack.encode(load_profile(profile))
            except ProfileError:
                return None
        told = (package.id, package.source, settings.config, baseline, text)
        return self._cache.key(content_digest(package), _ENCODER.encode(told))


def _bytes(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError:
        return None


def _installation() -> bytes:
    """What of the machine decides a report: explint's files, the interpreter, and what is installed
    beside explint, since some of it is asked for its opinion."""
    told: list[tuple[str, int, int]] = []
    folders = [str(Path(__file__).parent)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                    continue
                stat = entry.stat()
                told.append((entry.path, stat.st_mtime_ns, stat.st_size))
    for place in sys.path:
        if place.endswith(("site-packages", "dist-packages")):
            with suppress(OSError):
                told.append((place, Path(place).stat().st_mtime_ns, 0))
    digest = hashlib.sha256(sys.version.encode())
    digest.update(repr(sorted(told)).encode("utf-8", "backslashreplace"))
    return digest.digest()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(PackageReport)
