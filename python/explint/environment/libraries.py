"""What the releases of a library offer, by the table that a script makes of their wheels.

``scripts/refresh_libraries.py`` reads the text of published wheels. There is one file per library,
and in it one document per module, each decoded when it is first asked for. Of each name it says,
release by release:

- ``?``: it is there; nothing more is known
- ``=other.name``: another name for that
- ``:module.Class``: an instance of that class
- ``(a,b=,*,c=,**more)->module.Class``: a function, its parameters, what it returns; ``=`` marks
  those with a default, ``**more>|a|b`` further keywords that are taken, ``**more>@module`` that
  the words listed for that module may be
- ``c*!module.Base,?``: a class and its bases; ``*`` when it may have members that are not told,
  ``!`` when its metaclass may take other arguments than ``__init__``
- the name ``""`` is the module itself: ``*`` when it may hold names that are not told

Every answer is three-valued: what the text of a library does not settle is None.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from explint.environment.requirement import canonicalize_name
from explint.regex import regex

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

_FOLDER = Path(__file__).with_name("data") / "libraries"
_STEP = regex(r"([A-Za-z_]\w*)((?:\(\)|\[\])*)")
_DEPTH = 20
# The packages of an audit ask for the same names.
_MOST_KEPT = 20_000
# Modules with these names are not read.
_NOT_TOLD = frozenset({"tests", "testing", "conftest"})


class Release(msgspec.Struct, frozen=True):
    """One release that was read; ``python`` and ``requires`` are its metadata's."""

    version: Version
    python: str
    requires: tuple[Requirement, ...]


class Absent(msgspec.Struct, frozen=True):
    """A release has no such name: ``name`` is missing in ``owner``."""

    owner: str
    name: str


class Thing(msgspec.Struct, frozen=True):
    """What a dotted name means in one release.

    ``kind`` is ``module``, ``function``, ``class``, ``instance`` or ``value``; ``at`` is the module
    or class it is, as (module, name), and ``text`` a function's parameters.
    """

    kind: str
    at: tuple[str, str] = ("", "")
    text: str = ""


VALUE: Final = Thing("value")


class Signature(msgspec.Struct, frozen=True):
    """The keywords that a function takes; ``is_open`` when there may be more."""

    keywords: frozenset[str]
    is_open: bool


class Library(msgspec.Struct):
    """All that is known of one distribution, oldest release first."""

    name: str
    modules: tuple[str, ...]
    releases: tuple[Release, ...]
    unsure: tuple[str, ...]
    skipped: frozenset[str]
    _blobs: dict[str, bytes]
    _rows: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    _found: dict[tuple[str, int], Thing | Absent | None] = msgspec.field(default_factory=dict)

    def attribute(self, dotted: str) -> list[bool | None]:
        """For each release, whether the dotted name is there.

        A name may go on from results: ``wandb.init().finish``.
        """
        return [
            None if found is None else not isinstance(found, Absent)
            for found in (self.find(dotted, number) for number in range(len(self.releases)))
        ]

    def accepts(self, dotted: str, keyword: str) -> list[bool | None]:
        """For each release, whether a call of the dotted name takes a keyword."""
        return [self.takes(dotted, keyword, number) for number in range(len(self.releases))]

    def takes(self, dotted: str, keyword: str, number: int) -> bool | None:
        """Whether a call of the dotted name takes a keyword in a release."""
        signature = self.signature(dotted, number)
        if signature is None:
            return None
        if keyword in signature.keywords:
            return True
        return None if signature.is_open else False

    def signature(self, dotted: str, number: int) -> Signature | None:
        """What a call of the dotted name takes in a release; None when that is not known."""
        thing = self.find(dotted, number)
        if not isinstance(thing, Thing):
            return None
        if thing.kind == "class":
            text = self._init(thing.at, number, 0)
        else:
            text = thing.text if thing.kind == "function" else None
        return None if text is None else self._signature(text, number)

    def find(self, dotted: str, number: int) -> Thing | Absent | None:
        """What a dotted name means in a release; None when that is not known."""
        key = (dotted, number)
        if key not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[key] = self._find(dotted, number)
        return self._found[key]

    def _find(self, dotted: str, number: int) -> Thing | Absent | None:
        steps = _steps(dotted)
        if steps is None or steps[0][0] not in self.modules:
            return None
        thing: Thing | None = Thing("module", (steps[0][0], ""))
        owner = steps[0][0]
        for name, after in steps[1:]:
            if thing is None or name.startswith("_"):
                return None
            if thing.kind != "module" and owner in self._blobs:
                # A module hidden by what its package imports from it: `from` reaches the module.
                return None
            found = self._member(thing, name, number)
            if found is False:
                return None if self._is_unsure(name) else Absent(owner, name)
            thing = found or None
            owner = f"{owner}.{name}{after}"
            for _ in range(after.count("()")):
                thing = self._called(thing)
            if "[]" in after:
                thing = None
        return thing

    def members(self, owner: str, number: int) -> list[str]:
        """The public names that a release tells of a module or class."""
        thing = self.find(owner, number)
        if not isinstance(thing, Thing) or thing.kind not in ("module", "class", "instance"):
            return []
        module, name = thing.at
        start = f"{name}." if name else ""
        return [
            key[len(start) :]
            for key in self._module(module)
            if key.startswith(start)
            and key[len(start) :].isidentifier()
            and not key[len(start) :].startswith("_")
            and self._at(module, key, number) is not None
        ]

    # ---- one release ----

    def _is_unsure(self, name: str) -> bool:
        return any(name.endswith(suffix) for suffix in self.unsure)

    def _module(self, name: str) -> dict[str, Any]:
        rows = self._rows.get(name)
        if rows is None:
            blob = self._blobs.get(name)
            rows = {} if blob is None else msgspec.msgpack.decode(zlib.decompress(blob))
            self._rows[name] = rows
        return rows

    def _at(self, module: str, name: str, number: int) -> str | None:
        """What the table says of a name in a release; None where it is not there."""
        value = self._module(module).get(name)
        if not isinstance(value, list):
            return value
        found = None
        for at in range(0, len(value), 2):
            if value[at] > number:
                break
            found = value[at + 1]
        return found

    def _member(self, thing: Thing, name: str, number: int) -> Thing | Literal[False] | None:
        """A member of a thing; False where it surely has none of that name."""
        match thing.kind:
            case "module":
                module = thing.at[0]
                state = self._at(module, "", number)
                text = self._at(module, name, number)
                if text is not None:
                    return self._thing(module, name, text, number, 0)
                inner = f"{module}.{name}"
                if inner in self._blobs and self._at(inner, "", number) is not None:
                    return Thing("module", (inner, ""))
                is_told = inner not in self.skipped and name not in _NOT_TOLD
                return False if state == "" and is_told else None
            case "class" | "instance":
                return self._class_member(thing.at, name, number, 0)
        return None

    def _thing(self, module: str, name: str, text: str, number: int, depth: int) -> Thing | None:
        if depth > _DEPTH:
            return None
        match text[:1]:
            case "=":
                target = text[1:]
                if target in self._blobs and self._at(target, "", number) is not None:
                    return Thing("module", (target, ""))
                where, _, what = target.rpartition(".")
                inner = self._at(where, what, number)
                return None if inner is None else self._thing(where, what, inner, number, depth + 1)
            case ":":
                where, _, what = text[1:].rpartition(".")
                return Thing("instance", (where, what))
            case "(":
                return Thing("function", (module, name), text)
            case "c":
                return Thing("class", (module, name))
        return VALUE

    def _class_member(
        self, at: tuple[str, str], name: str, number: int, depth: int
    ) -> Thing | Literal[False] | None:
        module, cls = at
        text = self._at(module, f"{cls}.{name}", number)
        if text is not None:
            return self._thing(module, f"{cls}.{name}", text, number, 0)
        row = self._at(module, cls, number)
        if row is None or row[:1] != "c" or depth > _DEPTH:
            return None
        is_closed = "*" not in row
        for base in _bases(row):
            where, _, what = base.rpartition(".")
            found = self._class_member((where, what), name, number, depth + 1) if where else None
            if found is None:
                is_closed = False
            elif found is not False:
                # A base further on may come first in the order of resolution.
                return found
        return False if is_closed else None

    def _init(self, at: tuple[str, str], number: int, depth: int) -> str | None:
        """The parameters by which a class is called."""
        module, cls = at
        row = self._at(module, cls, number)
        if row is None or row[:1] != "c" or "!" in row[:3] or depth > _DEPTH:
            return None
        own = self._at(module, f"{cls}.__init__", number)
        if self._at(module, f"{cls}.__new__", number) is not None:
            return None
        bases = _bases(row)
        if own is not None:
            return own if own.startswith("(") else None
        # Which of several bases comes first may depend on their own bases.
        if len(bases) != 1 or not bases[0].rpartition(".")[0]:
            return None
        where, _, what = bases[0].rpartition(".")
        return self._init((where, what), number, depth + 1)

    def _called(self, thing: Thing | None) -> Thing | None:
        if thing is None:
            return None
        if thing.kind == "class":
            return Thing("instance", thing.at)
        if thing.kind == "function":
            where, _, what = thing.text.rpartition(")->")[2].rpartition(".")
            if ")->" in thing.text and where:
                return Thing("instance", (where, what))
        return None

    def _signature(self, text: str, number: int) -> Signature:
        words = text[1 : text.rindex(")")].split(",")
        keywords: set[str] = set()
        is_open = False
        first = words.index("/") + 1 if "/" in words else 0
        for word in words[first:]:
            if word.startswith("**"):
                rest = word.partition(">")[2]
                is_open = not rest
                if rest.startswith("@"):
                    listed = self._at(rest[1:], "**", number)
                    is_open = listed is None
                    keywords |= set((listed or "").split(" "))
                else:
                    keywords |= set(rest.split("|"))
            elif not word.startswith("*"):
                keywords.add(word.rstrip("="))
        return Signature(frozenset(keywords - {""}), is_open)


def _bases(row: str) -> list[str]:
    return [base for base in row.lstrip("c").lstrip("*").lstrip("!").split(",") if base]


def _steps(dotted: str) -> list[tuple[str, str]] | None:
    """``a.b().c`` as names with what is done with each; None where something is not known."""
    steps = []
    for part in dotted.split("."):
        match = _STEP.fullmatch(part)
        if match is None:
            return None
        steps.append((match[1], match[2]))
    return steps


@cache
def _index() -> dict[str, Any]:
    text = (_FOLDER / "index.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)["libraries"]
    return found


@cache
def modules() -> dict[str, str]:
    """The top-level modules that the table knows, with their distributions."""
    return {module: name for name, row in _index().items() for module in row["modules"]}


@cache
def releases(name: str) -> tuple[Release, ...]:
    """The releases of a distribution that were read, oldest first; none when it is not known."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    row = _index().get(canonicalize_name(name))
    if row is None:
        return ()
    return tuple(
        Release(
            Version(release["version"]),
            release["python"],
            tuple(Requirement(line) for line in release["requires"]),
        )
        for release in row["releases"]
    )


def is_complete(name: str) -> bool:
    """Whether every release of a distribution was read, from the oldest that the table has on."""
    return bool(_index().get(name, {}).get("complete"))


@cache
def library(name: str) -> Library | None:
    """A distribution's table, read once; None when it is not known."""
    return None if name not in _index() else load(_FOLDER, name)


def load(folder: Path, name: str) -> Library:
    """Reads one distribution's table from a folder that the generator wrote."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    row = json.loads((folder / "index.json").read_text("utf-8"))["libraries"][name]
    blobs = msgspec.msgpack.decode((folder / f"{name}.msgpack").read_bytes())
    return Library(
        name=name,
        modules=tuple(row["modules"]),
        releases=tuple(
            Release(Version(r["version"]), r["python"], tuple(map(Requirement, r["requires"])))
            for r in row["releases"]
        ),
        unsure=tuple(row.get("unsure", ())),
        skipped=frozenset(row.get("skip", ())),
        _blobs=blobs,
    )


def span(versions: Sequence[Version]) -> str:
    """Versions in words: ``1.2.0``, or ``1.2.0 to 1.5.1``."""
    return str(versions[0]) if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
