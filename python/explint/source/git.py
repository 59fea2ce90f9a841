"""Packages in a git tree, read without a checkout: from bare repositories, working copies and
folders of working copies."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from explint.model import InputError
from explint.package import Package
from explint.source.find import packages_of
from explint.source.folder import is_bare
from explint.source.limits import Limits, too_large
from explint.source.tree import (
    Leaf,
    MemoryTree,
    RefusedError,
    UnreadableError,
    clean_path,
    printable,
)

# What a repository's own configuration could make git run or fetch while objects are read.
_NEUTRAL = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "-c",
    "protocol.allow=never",
    "-c",
    "core.quotePath=false",
)

_TIMEOUT_SECONDS = 120
_SILENT = "git failed: no message"


class GitError(Exception):
    """Git did not answer; carries the message and, as ``advice``, what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def _environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
    return env


class Repository:
    """The repository around a folder, or a bare one, asked through git itself.

    Methods raise GitError when git does not answer.
    """

    def __init__(self, path: str) -> None:
        where = (f"--git-dir={path}",) if is_bare(path) else ("-C", path)
        self._command = ("git", "--no-pager", *where, *_NEUTRAL)
        self._path = path

    def run(self, *arguments: str, words: bytes = b"") -> bytes:
        """The standard output of a git command that reads ``words``."""
        try:
            done = subprocess.run(
                (*self._command, *arguments),
                input=words,
                capture_output=True,
                env=_environment(),
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed", "install git, or check a folder") from error
        except (OSError, ValueError) as error:
            raise GitError(f"git cannot be started: {error}", "check the path") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(
                f"git did not answer within {_TIMEOUT_SECONDS} seconds", "check the repository"
            ) from error
        if done.returncode:
            raise self._problem(done.stderr.decode("utf-8", "backslashreplace").strip())
        return done.stdout

    def _problem(self, said: str) -> GitError:
        if "dubious ownership" in said or "unsafe repository" in said:
            return GitError(
                "git refuses the repository because it belongs to another user",
                f"if you trust it: git config --global --add safe.directory '{self._path}'",
            )
        if "not a git repository" in said:
            return GitError(
                "it is not in a git repository",
                "give the path of a repository (bare or not), or leave --rev out",
            )
        if not said:
            return GitError(_SILENT, "check the repository with git fsck")
        first = printable(said.splitlines()[0])
        return GitError(f"git failed: {first}", "check the repository with git fsck")

    def object_id(self, name: str) -> str | None:
        """The id an expression names, None when there is none."""
        try:
            out = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        except GitError as problem:
            # An unknown name fails with or without a message, by the form of the expression.
            if str(problem).startswith("git failed"):
                return None
            raise
        return out.decode("ascii", "replace").strip() or None

    def prefix(self) -> str:
        """The path of the location inside the repository, "" at its top or when bare."""
        return os.fsdecode(self.run("rev-parse", "--show-prefix")).strip("\n").rstrip("/")

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor of two commits, None where the history at hand shows none."""
        try:
            return self.run("merge-base", one, other).decode("ascii", "replace").strip() or None
        except GitError as problem:
            # Exit code 1 without a message says that there is no common ancestor.
            if str(problem) == _SILENT:
                return None
            raise

    def is_shallow(self) -> bool:
        """Whether the history was cut off when the repository was cloned."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == b"true"

    def renames(self, base: str, head: str | None) -> dict[str, str]:
        """New paths by old ones, from the top of the repository, as git sees them.

        ``head`` is a commit, or None for the files on disk that git knows of.
        """
        revisions = (base,) if head is None else (base, head)
        rows = os.fsdecode(
            self.run("diff", "-M", "--diff-filter=R", "--name-status", "-z", *revisions, "--")
        ).split("\0")
        return {old: new for _, old, new in zip(rows[::3], rows[1::3], rows[2::3], strict=False)}

    def start_reader(self) -> subprocess.Popen[bytes]:
        """A process that answers object ids on its input with objects on its output."""
        return subprocess.Popen(
            (*self._command, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )


class ObjectReader:
    """Reads objects through one ``git cat-file --batch`` process, started at the first read and
    again after an object that it did not survive."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def read(self, oid: str, size: int | None, limits: Limits) -> bytes:
        """The bytes of a blob, whose size may be known. Raises UnreadableError."""
        if size is not None and size > limits.max_file_bytes:
            raise UnreadableError(too_large(size, limits.max_file_bytes))
        return self.get(oid, "blob", limits.max_file_bytes)

    def get(self, oid: str, kind: str, limit: int) -> bytes:
        """The bytes of an object of this kind. Raises UnreadableError."""
        try:
            return self._exchange(oid, kind, limit)
        except OSError as error:
            self.close()
            raise UnreadableError(f"git stopped answering ({error.strerror})") from error

    def _exchange(self, oid: str, kind: str, limit: int) -> bytes:
        if self._process is None:
            self._process = self._repository.start_reader()
        ask, answer = self._process.stdin, self._process.stdout
        if ask is None or answer is None:
            raise UnreadableError("git could not be talked to")
        ask.write(oid.encode() + b"\n")
        ask.flush()
        header = answer.readline().split()
        if not header:
            self.close()
            raise UnreadableError("its content in the repository is damaged")
        if len(header) != 3:
            raise UnreadableError("its content is missing from the repository")
        size = int(header[2])
        if header[1] != kind.encode() or size > limit:
            self._discard(answer, size + 1)
            if size > limit:
                raise UnreadableError(too_large(size, limit))
            raise UnreadableError("its content is missing from the repository")
        data = answer.read(size)
        answer.read(1)
        if len(data) != size:
            self.close()
            raise UnreadableError("its content in the repository is damaged")
        # Git itself does not look whether an object is the one its name stands for.
        digest = hashlib.sha1 if len(oid) == 40 else hashlib.sha256
        named = digest(b"%b %d\0" % (kind.encode(), size), usedforsecurity=False)
        named.update(data)
        if named.hexdigest() != oid:
            raise UnreadableError("its content in the repository is damaged")
        return data

    @staticmethod
    def _discard(stream: IO[bytes], size: int) -> None:
        while size > 0:
            chunk = stream.read(min(size, 1 << 20))
            if not chunk:
                return
            size -= len(chunk)


def _build_tree(
    listing: bytes, reader: ObjectReader, limits: Limits
) -> tuple[MemoryTree, list[tuple[str, str]]]:
    """The tree of a ``ls-tree -r -z -l`` listing, and (path, reason) of what was refused."""
    tree = MemoryTree()
    refused = []
    for row in listing.split(b"\0"):
        if not row:
            continue
        head, _, raw = row.partition(b"\t")
        mode, _, oid, size = head.decode("ascii", "replace").split()
        name = os.fsdecode(raw)
        try:
            path = clean_path(name, limits.max_depth + limits.max_search_depth)
        except RefusedError as problem:
            refused.append((printable(name), str(problem)))
            continue
        if mode == "160000":
            tree.add_skipped_folder(path, "a git submodule: its content is not in this repository")
        elif mode == "120000":
            tree.add(path, Leaf(_never_read, "a symbolic link, not followed in a git tree"))
        else:
            tree.add(path, _blob(reader, oid, int(size) if size.isdigit() else None))
    return tree, refused


def _never_read(_: Limits) -> bytes:
    raise RefusedError("it is not a file")


def _blob(reader: ObjectReader, oid: str, size: int | None) -> Leaf:
    return Leaf(lambda limits: reader.read(oid, size, limits))


def git_packages(location: str, rev: str, limits: Limits) -> Iterator[Package | InputError]:
    """The packages in the tree of ``rev`` below a location."""
    shown = printable(location)
    repository = Repository(os.path.realpath(location))
    reader = ObjectReader(repository)
    try:
        prefix = "" if is_bare(location) else repository.prefix()
        commit = repository.object_id(f"{rev}^{{commit}}") or repository.object_id(
            f"{rev}^{{tree}}"
        )
        if commit is None:
            raise GitError(
                f"the repository has no revision `{printable(rev)}`",
                "give a branch, a tag or a commit that `git log` shows; fetch it first if needed",
            )
        top = repository.object_id(f"{commit}:{prefix}") if prefix else commit
        if top is None:
            raise GitError(
                f"revision `{printable(rev)}` has no folder `{printable(prefix)}`",
                "give the path of a folder that exists in that revision",
            )
        listing = repository.run("ls-tree", "-r", "-z", "-l", "--full-tree", top)
        tree, refused = _build_tree(listing, reader, limits)
        for path, reason in refused:
            yield InputError(location=shown, message=f"{path} was refused: {reason}")
        name = printable(Path(prefix or os.path.realpath(location)).name).removesuffix(".git")
        if is_bare(location) and name == "":
            name = printable(Path(os.path.realpath(location)).parent.name)
        yield from packages_of(tree, name or "root", "git", shown, commit, limits)
    except GitError as problem:
        yield InputError(location=shown, message=str(problem), help=problem.advice)
    finally:
        reader.close()
