"""Packages on disk. Only regular files are ever opened, and no link is followed out of the root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from explint.model import InputError, SourceInfo
from explint.package import Package
from explint.source.find import (
    content_file,
    find_files,
    find_packages,
    packages_of,
    root_likeness,
)
from explint.source.limits import Limits, too_large
from explint.source.tree import Entry, RefusedError, UnreadableError, join, printable

# A FIFO put in place of a file after it was looked at must neither block the open nor be read.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

# How far up the package around a single file is looked for.
_LEVELS_UP = 8

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special_kind(mode: int) -> str | None:
    """What a file that is neither regular nor a folder is, None for those two and links."""
    return _SPECIAL.get(stat.S_IFMT(mode))


def os_reason(error: OSError) -> str:
    """The system's own words for an error, without the path."""
    return error.strerror or type(error).__name__


def read_regular(path: str, limit: int) -> bytes:
    """The bytes of a regular file that is not a link. Raises UnreadableError or RefusedError."""
    try:
        fd = os.open(path, _OPEN_FLAGS)
    except OSError as error:
        raise UnreadableError(os_reason(error)) from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise RefusedError(special_kind(info.st_mode) or "not a regular file")
        if info.st_size > limit:
            raise UnreadableError(too_large(info.st_size, limit))
        # A byte more than it has, to see at once that it ends there.
        data = os.read(fd, info.st_size + 1)
        if len(data) != info.st_size:
            # It grows, or is of a kind that tells no size.
            chunks = [data]
            while data and sum(map(len, chunks)) <= limit:
                data = os.read(fd, 1 << 20)
                chunks.append(data)
            data = b"".join(chunks)
    except OSError as error:
        raise UnreadableError(os_reason(error)) from error
    finally:
        os.close(fd)
    if len(data) > limit:
        raise UnreadableError(too_large(None, limit))
    return data


class FolderTree:
    """A folder on disk as a tree. ``root`` is absolute and free of links."""

    def __init__(self, root: str) -> None:
        self._root = root
        # os.path.join would look at every part again, for each file of each package.
        self._prefix = root if root.endswith(os.sep) else root + os.sep

    def _full(self, path: str) -> str:
        return self._prefix + path if path else self._root

    def entries(self, folder: str) -> Sequence[Entry]:
        """See ``Tree``."""
        entries = []
        try:
            with os.scandir(self._full(folder)) as scan:
                for item in scan:
                    entries.append(self._entry(folder, item))
        except OSError as error:
            raise UnreadableError(os_reason(error)) from error
        entries.sort(key=lambda e: e.name)
        return entries

    def _entry(self, folder: str, item: os.DirEntry[str]) -> Entry:
        try:
            if item.is_symlink():
                return self._link(join(folder, item.name), item.name)
            if item.is_dir(follow_symlinks=False):
                return Entry(item.name, is_folder=True)
            if item.is_file(follow_symlinks=False):
                return Entry(item.name)
            kind = special_kind(item.stat(follow_symlinks=False).st_mode)
            return Entry(item.name, skipped=kind or "not a regular file")
        except OSError as error:
            return Entry(item.name, skipped=f"cannot be looked at: {os_reason(error)}")

    def _link(self, path: str, name: str) -> Entry:
        try:
            target = self._target(path)
        except RefusedError as problem:
            return Entry(name, skipped=str(problem))
        if os.path.isdir(target):  # noqa: PTH112
            return Entry(name, is_folder=True, skipped="a symbolic link to a folder")
        return Entry(name)

    def _target(self, path: str) -> str:
        """Where a link inside the root ends. Raises RefusedError."""
        try:
            target = os.path.realpath(self._full(path), strict=True)
        except OSError as error:
            raise RefusedError(
                f"a symbolic link that leads nowhere or in a circle ({os_reason(error)})"
            ) from error
        inside = Path(os.path.relpath(target, self._root)).parts
        if inside[:1] == (os.pardir,):
            raise RefusedError("a symbolic link that leads out of the package")
        if ".git" in inside:
            raise RefusedError("a symbolic link into version control data")
        return target

    def read(self, path: str, limits: Limits) -> bytes:
        """See ``Tree``."""
        full = self._full(path)
        # Where the system refuses to open a link, most files are not looked at twice.
        if hasattr(os, "O_NOFOLLOW"):
            try:
                return read_regular(full, limits.max_file_bytes)
            except UnreadableError:
                if not os.path.islink(full):  # noqa: PTH114
                    raise
        elif not os.path.islink(full):  # noqa: PTH114
            return read_regular(full, limits.max_file_bytes)
        return read_regular(self._target(path), limits.max_file_bytes)

    def sub(self, folder: str) -> FolderTree:
        """See ``Tree``."""
        return FolderTree(self._full(folder))

    def notes(self) -> Sequence[str]:
        """See ``Tree``: nothing is decided here."""
        return ()


def is_bare(path: str) -> bool:
    """Whether a folder is a git directory itself: a bare repository, or the ``.git`` of one."""
    at = Path(path)
    return (at / "HEAD").is_file() and (at / "objects").is_dir() and (at / "refs").is_dir()


def folder_packages(location: str, limits: Limits) -> Iterator[Package | InputError]:
    """The packages in a folder."""
    root = os.path.realpath(location)
    tree = FolderTree(root)
    try:
        tree.entries("")
    except UnreadableError as problem:
        yield InputError(
            location=printable(location),
            message=f"the folder cannot be read: {problem}",
            help="check its permissions",
        )
        return
    name = printable(Path(os.path.abspath(location)).name) or "root"  # noqa: PTH100
    yield from packages_of(tree, name, "folder", printable(location), None, limits)


def text_files(location: str, limits: Limits) -> list[str]:
    """The ``.txt`` files that lie beside the packages of a folder: they may be judge records."""
    tree = FolderTree(os.path.realpath(location))
    return files_beside(tree, location, find_packages(tree, limits).roots, ".txt", limits)


def files_beside(
    tree: FolderTree,
    location: str,
    roots: Sequence[str],
    suffix: str | tuple[str, ...],
    limits: Limits,
) -> list[str]:
    """The files of a kind that lie beside the packages of the folder at ``location``.

    In a folder that is a package itself they are files of the package, unless nothing but a script
    makes a package of it.
    """
    if "" in roots and root_likeness(tree) > 1:
        return []
    files = find_files(tree, suffix, limits, outside=frozenset(roots))
    return [os.path.join(location, path) for path in files]  # noqa: PTH118


def single_file(location: str, limits: Limits) -> Iterator[Package | InputError]:
    """One source file as a partial package, under the path it has in the package around it.

    The package around it is the nearest folder upwards that is found to be one; what else it holds
    is not read, so rules that need other files stay unknown.
    """
    target = os.path.realpath(location)
    parent, name = os.path.split(target)
    shown = printable(join(_path_in_package(parent), name))
    try:
        file = content_file(shown, read_regular(target, limits.max_file_bytes))
    except (UnreadableError, RefusedError) as problem:
        yield InputError(
            location=printable(location),
            message=f"the file cannot be read: {problem}",
            help="give a readable file below the size limit, or the folder of the package",
        )
        return
    yield Package(
        id=shown,
        source=SourceInfo(kind="file", location=printable(location), member=shown),
        files={shown: file},
        partial=True,
        notes=("only this file of its package was read",),
    )


def _path_in_package(parent: str) -> str:
    """The path of a folder below the most likely package root around it, "" when nothing above
    looks like one. Of equal candidates the nearest counts."""
    best, inside = 0, ""
    folder, path = parent, ""
    for _ in range(_LEVELS_UP):
        likeness = root_likeness(FolderTree(folder))
        if likeness > best:
            best, inside = likeness, path
        above, name = os.path.split(folder)
        if above == folder:
            break
        folder, path = above, join(name, path) if path else name
    return inside
