"""Branch heads and histories of git repositories, read from the object store without a checkout."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from explint.audit.inputs.item import Item, Items, Meter
from explint.cache import content_digest
from explint.model import InputError, SourceInfo
from explint.package import Package
from explint.source.find import find_packages, load_package, strays_note
from explint.source.folder import is_bare
from explint.source.git import GitError, ObjectReader, Repository
from explint.source.limits import Limits
from explint.source.tree import Entry, RefusedError, UnreadableError, clean_path, join, printable

_TREE_BYTES = 64 << 20
_KEPT_BYTES = 64 << 20
_KEPT_TREES = 50_000
_GENERIC = frozenset({"repo", "repo.git", ".git", "git"})
_SEARCH_DEPTH = 3


def is_repository(location: str) -> bool:
    """Whether a folder is a repository: a bare one, or a working copy with its own ``.git``."""
    return is_bare(location) or (Path(location) / ".git").exists()


def repositories(location: str, depth: int = _SEARCH_DEPTH) -> list[str]:
    """The repositories at a folder, or a few folders below it, sorted; links are not followed."""
    if is_repository(location):
        return [location]
    if depth == 0:
        return []
    try:
        with os.scandir(location) as scan:
            names = sorted(e.name for e in scan if e.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [
        found
        for name in names
        for found in repositories(os.path.join(location, name), depth - 1)  # noqa: PTH118
    ]


def git_items(
    location: str, limits: Limits, meter: Meter, *, branches: bool, history: bool
) -> Items:
    """The packages at heads of branches, or in the whole history behind them.

    Without ``branches`` that of ``HEAD`` alone. Of a history each state of a package is given once,
    where it first appears: commits are walked so that parents come before their children, the
    branch of ``HEAD`` before the others. A package's series is that of its branch.
    """
    store = _Store(location, limits)
    try:
        heads, head = store.heads()
        chosen = heads if branches else [h for h in heads if h.name == head][:1]
        if not chosen:
            chosen = store.detached()
        if not chosen:
            yield store.error("it has no commit yet", "commit something, or name a folder")
            return
        chosen.sort(key=lambda h: (h.name != head, h.name))
        if history:
            yield from store.histories(chosen, meter)
        else:
            meter.begin(len(chosen))
            for branch in chosen:
                yield from store.state(branch.name, branch.oid, None, branch.name, _Seen())
                meter.done += 1
    except GitError as problem:
        yield store.error(str(problem), problem.advice)
    finally:
        store.close()


class _Head(msgspec.Struct, frozen=True):
    """A branch: its name as people write it, and its commit."""

    name: str
    oid: str


class _Seen(msgspec.Struct):
    """What of a history was given already: trees and contents, each with the place of its package
    in the repository, and how many states of each series."""

    trees: set[tuple[str, str]] = msgspec.field(default_factory=set)
    contents: set[tuple[str, str]] = msgspec.field(default_factory=set)
    counts: dict[str, int] = msgspec.field(default_factory=dict)


class _Store:
    """One repository: its object reader, and what of it is kept."""

    def __init__(self, location: str, limits: Limits) -> None:
        self.limits = limits
        real = os.path.realpath(location)
        self.location = printable(location)
        self._repository = Repository(real)
        self._reader = ObjectReader(self._repository)
        path = Path(real)
        while path.name in _GENERIC and path.parent != path:
            path = path.parent
        self.name = printable(path.name).removesuffix(".git") or "repository"
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._blob_bytes = 0
        self._trees: dict[str, list[tuple[str, str, str]]] = {}
        self._width = 20

    def close(self) -> None:
        self._reader.close()

    def error(self, message: str, advice: str) -> InputError:
        return InputError(location=self.location, message=message, help=advice)

    def heads(self) -> tuple[list[_Head], str | None]:
        """All branches, those of remotes where there is no local one, and the name of HEAD's."""
        # Nothing that would make git read the objects: one may be damaged.
        form = "--format=%(objectname)%00%(symref)%00%(refname)"
        listing = os.fsdecode(
            self._repository.run("for-each-ref", form, "refs/heads", "refs/remotes")
        )
        found: dict[str, str] = {}
        for row in listing.splitlines():
            oid, target, ref = row.split("\0", 2)
            if target:
                continue
            place, _, name = ref.removeprefix("refs/").partition("/")
            if place == "remotes":
                name = name.partition("/")[2]
            if name:
                found.setdefault(name, oid)
        head = None
        try:
            ref = os.fsdecode(self._repository.run("symbolic-ref", "--quiet", "HEAD")).strip()
            head = ref.removeprefix("refs/heads/")
        except GitError:
            pass
        self._width = 32 if any(len(oid) == 64 for oid in found.values()) else 20
        return [_Head(name, oid) for name, oid in found.items()], head

    def detached(self) -> list[_Head]:
        """HEAD itself, where it is no branch."""
        oid = self._repository.object_id("HEAD^{commit}")
        return [] if oid is None else [_Head("HEAD", oid)]

    def histories(self, chosen: Sequence[_Head], meter: Meter) -> Items:
        """The states of packages in the histories of branches, oldest first."""
        before: list[str] = []
        walks = []
        for branch in chosen:
            walks.append((branch, *self._commits(branch.oid, before)))
            before.append(branch.oid)
        meter.begin(sum(len(commits) for _, commits, _ in walks))
        # States are compared over all branches: what a branch begins with is its base's.
        seen = _Seen()
        for branch, commits, problem in walks:
            if problem is not None:
                yield InputError(
                    location=f"{self.location}@{printable(branch.name)}",
                    message=f"its history cannot be read whole: {problem}",
                    help=problem.advice,
                )
            for oid, tree, date in commits:
                yield from self.state(branch.name, oid, (tree, date), oid[:12], seen)
                meter.done += 1

    def _commits(
        self, oid: str, before: Sequence[str]
    ) -> tuple[list[tuple[str, str, int]], GitError | None]:
        """(commit, tree, date) of what a commit adds to others, parents first; what can be read
        of a damaged history, with the problem."""
        words = "".join(f"{name}\n" for name in (oid, *(f"^{b}" for b in before))).encode()
        arguments = ("rev-list", "--topo-order", "--format=%T %ct", "--stdin")
        problem = None
        try:
            listing = self._repository.run(*arguments, words=words)
        except GitError as error:
            problem = error
            listing = self._walk(oid, set(before))
        rows = listing.decode("ascii", "replace").splitlines()
        commits = []
        for first, second in zip(rows[::2], rows[1::2], strict=False):
            tree, _, date = second.partition(" ")
            commits.append((first.removeprefix("commit "), tree, int(date)))
        commits.reverse()
        return commits, problem

    def _walk(self, oid: str, before: set[str]) -> bytes:
        """The history as far as its commits can be read one by one, in the form of rev-list."""
        rows = []
        waiting, known = [oid], {oid}
        while waiting:
            at = waiting.pop(0)
            if at in before:
                continue
            try:
                text = self._reader.get(at, "commit", _TREE_BYTES)
            except UnreadableError:
                continue
            head = text.partition(b"\n\n")[0].decode("utf-8", "replace").splitlines()
            fields = [line.split(" ") for line in head]
            tree = next((f[1] for f in fields if f[0] == "tree"), "")
            date = next((f[-2] for f in fields if f[0] == "committer" and len(f) > 2), "0")
            rows.append(f"commit {at}\n{tree} {date if date.isdigit() else 0}\n")
            for f in fields:
                if f[0] == "parent" and f[1] not in known:
                    known.add(f[1])
                    waiting.append(f[1])
        return "".join(rows).encode()

    def state(
        self,
        branch: str,
        commit: str,
        known: tuple[str, int] | None,
        label: str,
        seen: _Seen,
    ) -> Items:
        """The packages of one commit; of those in ``seen`` only states that are new."""
        name = f"{self.name}@{printable(label)}"
        try:
            if known is None:
                known = self._tree_of(commit)
            root, date = known
            self.entries(root)
        except UnreadableError as problem:
            yield InputError(
                location=name,
                message=f"the commit {commit} cannot be read: {problem}",
                help="check the repository with git fsck",
            )
            return
        tree = _GitTree(self, root)
        found = find_packages(tree, self.limits)
        for folder, damage in tree.damaged.items():
            if any(_is_in(folder, root) for root in found.roots):
                continue
            yield InputError(
                location=f"{name}/{printable(folder)}",
                message=f"the folder cannot be read: {damage}",
                help="check the repository with git fsck",
            )
        notes = strays_note(found.strays)
        for place in found.roots:
            folder = tree.oid(place)
            if (place, folder) in seen.trees:
                continue
            seen.trees.add((place, folder))
            inner = f"/{printable(place)}" if place else ""
            source = SourceInfo(
                kind="git", location=self.location, member=printable(place) or None, rev=commit
            )
            package = load_package(tree.sub(place), name + inner, source, self.limits, notes)
            notes = []
            if all(f.skipped is not None for f in package.files.values()):
                continue
            digest = content_digest(msgspec.structs.replace(package, notes=()))
            if (place, digest) in seen.contents:
                continue
            seen.contents.add((place, digest))
            series = f"{self.name}@{printable(branch)}{inner}"
            order = seen.counts.get(series, 0)
            seen.counts[series] = order + 1
            yield self._item(package, branch, commit, date, series, order)

    def _item(
        self, package: Package, branch: str, commit: str, date: int, series: str, order: int
    ) -> Item:
        try:
            when = datetime.fromtimestamp(date, UTC)
        except (ValueError, OverflowError, OSError):
            when = None
        return Item(
            id=package.id,
            series=series,
            source_kind="git",
            source=self.location,
            member=package.source.member,
            repository=self.name,
            branch=printable(branch),
            version=commit,
            version_order=order,
            version_date=when,
            load=lambda: package,
        )

    def _tree_of(self, commit: str) -> tuple[str, int]:
        head = self._reader.get(commit, "commit", _TREE_BYTES).partition(b"\n\n")[0]
        lines = [line.split(" ") for line in head.decode("utf-8", "replace").splitlines()]
        date = next((f[-2] for f in lines if f[0] == "committer" and len(f) > 2), "0")
        return lines[0][1], int(date) if date.isdigit() else 0

    def entries(self, oid: str) -> list[tuple[str, str, str]]:
        """(mode, name, object id) of what a tree object holds. Raises UnreadableError."""
        if oid not in self._trees:
            data = self._reader.get(oid, "tree", _TREE_BYTES)
            if len(self._trees) >= _KEPT_TREES:
                self._trees.clear()
            self._trees[oid] = _parse_tree(data, self._width)
        return self._trees[oid]

    def blob(self, oid: str, limits: Limits) -> bytes:
        """The bytes of a blob, read once while it is among the last that were asked for."""
        data = self._blobs.get(oid)
        if data is not None:
            self._blobs.move_to_end(oid)
            return data
        data = self._reader.read(oid, None, limits)
        self._blobs[oid] = data
        self._blob_bytes += len(data)
        while self._blob_bytes > _KEPT_BYTES:
            _, gone = self._blobs.popitem(last=False)
            self._blob_bytes -= len(gone)
        return data


def _is_in(folder: str, root: str) -> bool:
    return not root or folder == root or folder.startswith(f"{root}/")


def _parse_tree(data: bytes, width: int) -> list[tuple[str, str, str]]:
    rows, at = [], 0
    while at < len(data):
        end = data.find(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        oid = data[end + 1 : end + 1 + width]
        if end < 0 or len(oid) != width or not name:
            raise UnreadableError("it is no tree that git would write")
        rows.append((mode.decode("ascii", "replace"), os.fsdecode(name), oid.hex()))
        at = end + 1 + width
    return rows


class _GitTree:
    """A tree object and what is below it, as a ``Tree``."""

    def __init__(self, store: _Store, root: str) -> None:
        self._store = store
        self._root = root
        self._folders: dict[str, str] = {"": root}
        self.damaged: dict[str, UnreadableError] = {}

    def oid(self, folder: str) -> str:
        """The object id of a folder. Raises UnreadableError."""
        known = self._folders.get(folder)
        if known is None:
            above, _, name = folder.rpartition("/")
            rows = self._store.entries(self.oid(above))
            known = next((oid for mode, n, oid in rows if n == name and _is_tree(mode)), None)
            if known is None:
                raise UnreadableError("there is no such folder")
            self._folders[folder] = known
        return known

    def entries(self, folder: str) -> Sequence[Entry]:
        """See ``Tree``."""
        found = []
        try:
            rows = self._store.entries(self.oid(folder))
        except UnreadableError as problem:
            self.damaged[folder] = problem
            raise
        for mode, name, oid in rows:
            entry = _entry(mode, name)
            if entry.is_folder and entry.skipped is None:
                self._folders[join(folder, name)] = oid
            found.append(entry)
        found.sort(key=lambda e: e.name)
        return found

    def read(self, path: str, limits: Limits) -> bytes:
        """See ``Tree``."""
        above, _, name = path.rpartition("/")
        for mode, n, oid in self._store.entries(self.oid(above)):
            if n == name and not _is_tree(mode):
                if _entry(mode, n).skipped is not None:
                    raise RefusedError("it is not a file")
                return self._store.blob(oid, limits)
        raise UnreadableError("there is no such file")

    def sub(self, folder: str) -> _GitTree:
        """See ``Tree``."""
        return _GitTree(self._store, self.oid(folder))

    def notes(self) -> Sequence[str]:
        """See ``Tree``: nothing is decided here."""
        return ()


def _is_tree(mode: str) -> bool:
    return mode.lstrip("0") == "40000"


def _entry(mode: str, name: str) -> Entry:
    skipped = None
    if mode == "160000":
        return Entry(name, True, "a git submodule: its content is not in this repository")
    if mode == "120000":
        skipped = "a symbolic link, not followed in a git tree"
    try:
        if "/" in name or clean_path(name, 1) != name:
            skipped = "its name is no file name"
    except RefusedError as problem:
        skipped = str(problem)
    return Entry(name, _is_tree(mode), skipped)
