"""The folders an interpreter needs to run, found without running it.

An environment may have been made from a package that is not trusted, and starting its interpreter
outside the sandbox would execute what its ``.pth`` files say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

EXPLINT = Path(__file__).resolve().parent.parent
"""The folder of this package's modules."""


MADE = "ready.json"
"""The file beside an environment that was made from a package; nothing built there can write it."""


class Made(msgspec.Struct):
    """Of that file, the folders that the environment may need: itself and where uv keeps Python."""

    folders: tuple[Path, ...]


class NoInterpreterError(Exception):
    """There is no interpreter where one was named."""


def find(place: Path) -> Path:
    """The interpreter that ``place`` names: a program, or an environment's folder.

    Raises:
        NoInterpreterError: neither is there.
    """
    place = Path(os.path.abspath(place))  # noqa: PTH100 - a link to a program is its name
    for path in (place, place / "bin" / "python", place / "bin" / "python3"):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise NoInterpreterError(f"{place} is no Python interpreter and no environment with one")


def folders(python: Path) -> list[Path]:
    """What must be readable for ``python`` to run with all that is installed for it.

    An environment that was made from a package says so in ``MADE`` beside its folder. Its links and
    files are then not believed: what was built for it could make them name any folder.
    """
    made = python.parent.parent.parent / MADE
    if made.is_file():
        return list(msgspec.json.decode(made.read_bytes(), type=Made, dec_hook=_path).folders)
    found: dict[Path, None] = {}
    for program in _hops(python):
        prefix = program.parent.parent
        found.update(dict.fromkeys(_prefix(prefix)))
        with suppress(OSError, UnicodeDecodeError):
            for line in (prefix / "pyvenv.cfg").read_text().splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home" and value.strip():
                    found.update(dict.fromkeys(_prefix(Path(value.strip()).parent)))
        for site in prefix.glob("lib*/python3*/site-packages"):
            found.update(dict.fromkeys(_linked(site)))
            found.update(dict.fromkeys(p.resolve() for p in site.iterdir() if p.is_symlink()))
    return [path for path in found if path.exists()]


def own_folders() -> list[Path]:
    """What this interpreter needs to run the part of explint that runs in the sandbox."""
    return [*folders(Path(sys.executable)), *_prefix(Path(sys.base_prefix)), EXPLINT]


def _path(_: type, value: object) -> Path:
    return Path(str(value))


def _hops(program: Path) -> Iterator[Path]:
    """A program and every link on the way to the file it really is."""
    for _ in range(16):
        yield program
        if not program.is_symlink():
            return
        target = Path(os.readlink(program))  # noqa: PTH115 - must stay as written
        program = Path(os.path.normpath(program.parent / target))
    yield program


def _prefix(prefix: Path) -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - never fails
    if prefix == Path("/") or home.is_relative_to(prefix):
        # ``~/bin/python``: the home folder does not come along.
        yield from (prefix / name for name in ("bin", "lib", "lib64"))
    else:
        yield prefix


def _linked(site: Path) -> Iterator[Path]:
    """Folders that ``.pth`` files add to the search path."""
    for file in site.glob("*.pth"):
        with suppress(OSError, UnicodeDecodeError):
            for line in file.read_text().splitlines()[:1000]:
                path = Path(line.strip())
                if path.is_absolute() and path.is_dir():
                    yield path
