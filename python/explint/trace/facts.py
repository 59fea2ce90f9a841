"""The trace document that the core hands over, as typed structs.

They mirror ``rust/core/src/trace/document.rs`` and ``value.rs``; ``TRACE_VERSION`` guards the pair.
A ``ValueId`` is an index into ``EntryTrace.values``, a guard, call, root or loop an index into the
table of that name.

The structs form no cycles, so that the garbage collector need not look at them (``gc=False``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, TypeVar

import msgspec

TRACE_VERSION = 3

ValueId = int


class Place(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place: index into ``TraceDocument.files``, then 1-based lines and columns in characters."""

    file: int
    line: int
    column: int
    end_line: int
    end_column: int


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a value."""


class Literal(Value, frozen=True, array_like=True, tag="literal"):
    """None, a bool, int, float or str."""

    value: bool | int | float | str | None


class Integer(Value, frozen=True, array_like=True, tag="integer"):
    """An integer beyond 64 bits, as written."""

    text: str


class Bytes(Value, frozen=True, array_like=True, tag="bytes"):
    """A bytes literal, as written."""

    text: str


class EllipsisValue(Value, frozen=True, array_like=True, tag="ellipsis"):
    """``...``."""


class Config(Value, frozen=True, array_like=True, tag="config"):
    """What config ``root`` holds at ``path`` after the first ``version`` events."""

    root: int
    path: list[ValueId]
    version: int


class Has(Value, frozen=True, array_like=True, tag="has"):
    """Whether config ``root`` holds ``path`` after the first ``version`` events."""

    root: int
    path: list[ValueId]
    version: int


class Key(Value, frozen=True, array_like=True, tag="key"):
    """A key of the mapping that ``loop`` goes over."""

    of: ValueId
    loop: int


class Element(Value, frozen=True, array_like=True, tag="element"):
    """An element of what ``loop`` goes over."""

    of: ValueId
    loop: int


class Index(Value, frozen=True, array_like=True, tag="index"):
    """The number of the iteration of ``loop``, counted from ``start``."""

    start: ValueId
    loop: int


class Each(Value, frozen=True, array_like=True, tag="each"):
    """Inside a container: one value for every iteration of ``loop``."""

    value: ValueId
    loop: int


class Template(Value, frozen=True, array_like=True, tag="template"):
    """The texts of the parts, joined."""

    parts: list[ValueId]


class ListValue(Value, frozen=True, array_like=True, tag="list"):
    """A list; ``open`` when it may hold more after these."""

    items: list[ValueId]
    open: bool


class TupleValue(Value, frozen=True, array_like=True, tag="tuple"):
    """A tuple."""

    items: list[ValueId]
    open: bool


class SetValue(Value, frozen=True, array_like=True, tag="set"):
    """A set."""

    items: list[ValueId]
    open: bool


class DictValue(Value, frozen=True, array_like=True, tag="dict"):
    """A dict; ``open`` when it may hold other keys and, for these, values set later."""

    items: list[tuple[ValueId, ValueId]]
    open: bool


class Star(Value, frozen=True, array_like=True, tag="star"):
    """``*value`` in a list or call; as a dict's key, ``**value``."""

    value: ValueId


class Library(Value, frozen=True, array_like=True, tag="library"):
    """An object of a library, or a builtin, by its canonical dotted name."""

    name: str


class Module(Value, frozen=True, array_like=True, tag="module"):
    """A module of the package."""

    name: str


class Function(Value, frozen=True, array_like=True, tag="function"):
    """A function of the package."""

    name: str


class Class(Value, frozen=True, array_like=True, tag="class"):
    """A class of the package."""

    name: str


class Instance(Value, frozen=True, array_like=True, tag="instance"):
    """An instance of a class of the package; ``number`` tells instances apart."""

    cls: str
    number: int


class Bound(Value, frozen=True, array_like=True, tag="bound"):
    """A method of the package bound to its receiver."""

    of: ValueId
    function: str


class Super(Value, frozen=True, array_like=True, tag="super"):
    """``super()``."""

    cls: str
    of: ValueId


class CallValue(Value, frozen=True, array_like=True, tag="call"):
    """The result of a call; ``event`` is None for calls that have no effect."""

    callee: ValueId
    args: list[ValueId]
    kwargs: list[tuple[str, ValueId]]
    event: int | None


class Attribute(Value, frozen=True, array_like=True, tag="attribute"):
    """An attribute of something that is not followed."""

    of: ValueId
    name: str


class Item(Value, frozen=True, array_like=True, tag="item"):
    """An element of something that is not followed."""

    of: ValueId
    key: ValueId


class Slice(Value, frozen=True, array_like=True, tag="slice"):
    """The index ``low:high:step``."""

    low: ValueId | None
    high: ValueId | None
    step: ValueId | None


class Binary(Value, frozen=True, array_like=True, tag="binary"):
    """An arithmetic operator on two values."""

    op: str
    left: ValueId
    right: ValueId


class Unary(Value, frozen=True, array_like=True, tag="unary"):
    """``-``, ``+`` or ``~`` of a value."""

    op: str
    value: ValueId


class Compare(Value, frozen=True, array_like=True, tag="compare"):
    """``==``, ``is``, ``in`` or an order; the negated ones stand inside ``Not``."""

    op: str
    left: ValueId
    right: ValueId


class Not(Value, frozen=True, array_like=True, tag="not"):
    """``not`` of a value."""

    value: ValueId


class All(Value, frozen=True, array_like=True, tag="all"):
    """Every condition has its truth."""

    conditions: list[tuple[ValueId, bool]]


class Select(Value, frozen=True, array_like=True, tag="select"):
    """``yes`` where the test is true, else ``no``: what two ways left, also of ``and``, ``or``."""

    test: ValueId
    yes: ValueId
    no: ValueId


class Ran(Value, frozen=True, array_like=True, tag="ran"):
    """An iteration of the loop takes place."""

    loop: int


class Raised(Value, frozen=True, array_like=True, tag="raised"):
    """An exception comes up inside the ``try`` of this number."""

    attempt: int


class Called(Value, frozen=True, array_like=True, tag="called"):
    """A library calls back, a generator is gone through, or code no entry reaches is run."""

    loop: int


class Parameter(Value, frozen=True, array_like=True, tag="parameter"):
    """A parameter of a function that is entered from outside the package."""

    function: str
    name: str


class UnknownValue(Value, frozen=True, array_like=True, tag="unknown"):
    """Nothing is known, for a reason; ``number`` tells unknowns apart."""

    reason: str
    number: int


AnyValue = (
    Literal
    | Integer
    | Bytes
    | EllipsisValue
    | Config
    | Has
    | Key
    | Element
    | Index
    | Each
    | Template
    | ListValue
    | TupleValue
    | SetValue
    | DictValue
    | Star
    | Library
    | Module
    | Function
    | Class
    | Instance
    | Bound
    | Super
    | CallValue
    | Attribute
    | Item
    | Slice
    | Binary
    | Unary
    | Compare
    | Not
    | All
    | Select
    | Ran
    | Raised
    | Called
    | Parameter
    | UnknownValue
)


class Guard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A condition that must have a truth, besides those of the parent. Guard 0 is always met."""

    parent: int
    condition: ValueId
    expected: bool
    place: Place


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call of a package function, made in the call ``parent``. Call 0 is the entry itself."""

    parent: int
    function: str
    place: Place


class Root(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a config object came to be.

    ``kind`` is ``hydra`` (the argument of a ``@hydra.main`` function; the source is the decorator),
    ``compose``, ``load``, ``create``, ``merge``, ``masked``, ``container`` (a plain dict made from
    a config), ``copy``, ``cli`` or ``parameter`` (of a function that no entry reaches).
    """

    kind: str
    sources: list[ValueId]
    event: int | None


class Loop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A loop: ``for``, ``while``, ``comprehension``, ``callback``, ``generator``, ``unreached``.

    ``over`` is what it goes over, the condition of a ``while``, or what calls back.
    """

    kind: str
    over: ValueId
    place: Place


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that happens under a guard, in a call, at a place."""

    guard: int
    call: int
    place: Place


class Read(Event, frozen=True, array_like=True, tag="read"):
    """A config key is read.

    ``at`` is a ``Config`` value; its first ``held`` keys were read before. ``how`` is
    ``attribute``, ``item``, ``get``, ``getattr``, ``select``, ``contains``, ``iterate``,
    ``spread`` or ``pop``.
    """

    at: ValueId
    held: int
    how: str
    default: ValueId | None


class Write(Event, frozen=True, array_like=True, tag="write"):
    """A config key is written: ``set``, ``update``, ``force``, ``setdefault``, ``merge``,
    ``delete``."""

    at: ValueId
    value: ValueId
    how: str


class Flag(Event, frozen=True, array_like=True, tag="flag"):
    """``struct`` or ``readonly`` is set, or ``open_dict`` or ``read_write`` entered and left."""

    at: ValueId
    flag: str
    value: ValueId


class Forget(Event, frozen=True, array_like=True, tag="forget"):
    """The loop that begins may change these config paths in any iteration."""

    paths: list[ValueId]


class Make(Event, frozen=True, array_like=True, tag="make"):
    """A config object is made."""

    root: int


class LibraryCall(Event, frozen=True, array_like=True, tag="call"):
    """A call that leaves the package.

    ``name`` is canonical: ``wandb.init``, ``optuna.create_study().optimize``; ``()`` stands for a
    result, ``[]`` for an element, ``?`` for what is not known.
    """

    name: str
    callee: ValueId
    args: list[ValueId]
    kwargs: list[tuple[str, ValueId]]


class Store(Event, frozen=True, array_like=True, tag="store"):
    """``of.key = value`` (how ``attribute``) or ``of[key] = value`` (``item``) outside the
    package."""

    of: ValueId
    key: ValueId
    value: ValueId
    how: str


class Lookup(Event, frozen=True, array_like=True, tag="lookup"):
    """An element of something that is not followed is asked for by name: ``frame["loss"]``, also
    by several names in a list."""

    of: ValueId
    key: ValueId


class LoopStart(Event, frozen=True, array_like=True, tag="loop"):
    """A loop begins."""

    loop: int


class LoopEnd(Event, frozen=True, array_like=True, tag="loop-end"):
    """A loop is over."""

    loop: int


class Break(Event, frozen=True, array_like=True, tag="break"):
    """A loop is left."""

    loop: int


class Return(Event, frozen=True, array_like=True, tag="return"):
    """A package function returns a value."""

    value: ValueId


class Raise(Event, frozen=True, array_like=True, tag="raise"):
    """An exception is raised."""

    value: ValueId


class Import(Event, frozen=True, array_like=True, tag="import"):
    """A module is imported; ``own`` when it is one of the package."""

    name: str
    own: bool


class Mismatch(Event, frozen=True, array_like=True, tag="mismatch"):
    """The signature of a package function rejects a call, or, without a function, values do not
    unpack."""

    function: str
    problem: str


class Cut(Event, frozen=True, array_like=True, tag="cut"):
    """A bound of the trace cut here: ``work``, ``depth``, ``nesting`` or ``syntax``."""

    reason: str


AnyEvent = (
    Read
    | Write
    | Flag
    | Forget
    | Make
    | LibraryCall
    | Store
    | Lookup
    | LoopStart
    | LoopEnd
    | Break
    | Return
    | Raise
    | Import
    | Mismatch
    | Cut
)


_PARTS: Final[Mapping[type, Callable[[Any], Sequence[ValueId]]]] = {
    Select: lambda row: (row.yes, row.no),
    CallValue: lambda row: (row.callee, *row.args, *(v for _, v in row.kwargs)),
    Attribute: lambda row: (row.of,),
    Element: lambda row: (row.of,),
    Key: lambda row: (row.of,),
    Bound: lambda row: (row.of,),
    Item: lambda row: (row.of, row.key),
    Slice: lambda row: tuple(p for p in (row.low, row.high, row.step) if p is not None),
    Binary: lambda row: (row.left, row.right),
    Compare: lambda row: (row.left, row.right),
    Unary: lambda row: (row.value,),
    Not: lambda row: (row.value,),
    Star: lambda row: (row.value,),
    Each: lambda row: (row.value,),
    Template: lambda row: row.parts,
    ListValue: lambda row: row.items,
    TupleValue: lambda row: row.items,
    SetValue: lambda row: row.items,
    DictValue: lambda row: tuple(v for pair in row.items for v in pair),
    Config: lambda row: row.path,
    Has: lambda row: row.path,
    All: lambda row: tuple(v for v, _ in row.conditions),
    Index: lambda row: (row.start,),
}

_ASKS_FOR_FILES: Final = frozenset({"exists", "is_file"})
_FILE_FUNCTIONS: Final = frozenset({"os.path.exists", "os.path.isfile"})

_SETTINGS: Final = frozenset({Config, Literal, Integer, Template})
"""The kinds of values that a choice between settings is between."""

_OF_OBJECTS: Final = (
    *("users", "varying", "constants", "constant_truths", "guard_of", "_made", "results"),
    *("asks_for_files", "reached", "is_cut", "_events_by_kind"),
)
"""The indices of a trace that stay as they are when a choice between settings is made."""

_Kind = TypeVar("_Kind")


class EntryTrace(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """What one entry does; under an empty name, what the functions do that no entry reaches.

    The properties are indices over the tables, made when they are first asked for.
    """

    name: str
    values: list[AnyValue]
    guards: list[Guard]
    calls: list[Call]
    roots: list[Root]
    loops: list[Loop]
    events: list[AnyEvent]

    @cached_property
    def parts(self) -> list[Sequence[ValueId]]:
        """For each value the values that it is directly made of; tests that choose between two
        are no parts."""
        known = _PARTS
        return [known[type(row)](row) if type(row) in known else () for row in self.values]

    @cached_property
    def users(self) -> dict[ValueId, list[ValueId]]:
        """For each value that is a part of others, these others."""
        users: dict[ValueId, list[ValueId]] = {}
        for value, parts in enumerate(self.parts):
            for part in parts:
                users.setdefault(part, []).append(value)
        return users

    @cached_property
    def varying(self) -> bytearray:
        """For each value whether it may be another one under another config, with other files, or
        in another iteration of a loop; and so of what it is made of and which ways are taken."""
        kinds = (Config, Has, Raised, Key, Element, Item)
        stack = [value for kind in kinds for value, _ in self.values_of(kind)]
        stack += [v for v, row in self.values_of(Attribute) if row.name in _ASKS_FOR_FILES]
        stack += [
            v
            for v, row in self.values_of(Library)
            if row.name in _FILE_FUNCTIONS or row.name.startswith("yaml.")
        ]
        users = self.users
        tested: dict[ValueId, list[ValueId]] = {}
        for value, select in self.values_of(Select):
            tested.setdefault(select.test, []).append(value)
        for value, ran in self.values_of(Ran):
            tested.setdefault(self.loops[ran.loop].over, []).append(value)
        found = bytearray(len(self.values))
        while stack:
            at = stack.pop()
            if not found[at]:
                found[at] = 1
                stack += users.get(at, ())
                stack += tested.get(at, ())
        return found

    @cached_property
    def all_varying(self) -> bytearray:
        """``varying`` where nobody found out."""
        return bytearray(b"\1") * len(self.values)

    @cached_property
    def _asked(self) -> list[None]:
        return []

    def is_asked_again(self) -> bool:
        """Whether this was asked before."""
        self._asked.append(None)
        return len(self._asked) > 1

    @cached_property
    def constants(self) -> dict[ValueId, Any]:
        """What the values that do not vary are known to be, for those that evaluate them."""
        return {}

    @cached_property
    def constant_truths(self) -> dict[ValueId, bool | None]:
        """Of the values that do not vary, whether they are true, as far as somebody asked."""
        return {}

    @cached_property
    def guard_of(self) -> list[int]:
        """The guard of each event."""
        return [event.guard for event in self.events]

    @cached_property
    def _made(self) -> dict[str, frozenset[ValueId]]:
        return {}

    def made_of_library(self, name: str) -> frozenset[ValueId]:
        """The objects of libraries whose dotted names begin with ``name``, and all values that one
        of them is a part of."""
        known = self._made.get(name)
        if known is None:
            found = {v for v, row in self.values_of(Library) if row.name.startswith(name)}
            stack = list(found)
            users = self.users if found else {}
            while stack:
                for value in users.get(stack.pop(), ()):
                    if value not in found:
                        found.add(value)
                        stack.append(value)
            known = self._made[name] = frozenset(found)
        return known

    @cached_property
    def results(self) -> dict[int, ValueId]:
        """The value that a call gives, by the number of its event."""
        return {
            row.event: value for value, row in self.values_of(CallValue) if row.event is not None
        }

    @cached_property
    def asks_for_files(self) -> bool:
        """Whether what the entry does may depend on which files the package holds, and on what is
        in them."""
        return (
            any(root.kind == "load" for root in self.roots)
            or any(row.name in ("exists", "is_file") for _, row in self.values_of(Attribute))
            or any(
                row.name in _FILE_FUNCTIONS or row.name.startswith("yaml.")
                for _, row in self.values_of(Library)
            )
        )

    @cached_property
    def _choices(self) -> list[tuple[ValueId, Select]]:
        """The choices between two settings, one of them from a config."""
        found = []
        settings: set[ValueId] = set()
        # A choice stands after what it chooses from.
        for value, row in self.values_of(Select):
            kinds = {
                Config if way in settings else type(self.values[way]) for way in (row.yes, row.no)
            }
            if Config in kinds and kinds <= _SETTINGS:
                settings.add(value)
                found.append((value, row))
        return found

    def settled(self, truth: Callable[[ValueId], bool | None]) -> EntryTrace:
        """The same trace with the choices between settings made whose test has a truth.

        A choice gets the row of what it chooses. Only settings are chosen: they are what they say,
        wherever they stand, where an object is the one that some call made.
        """
        tests = tuple(truth(row.test) for _, row in self._choices)
        if all(test is None for test in tests):
            return self
        # Most runs and modes settle a trace in one of a few ways.
        known = self._settled.get(tests)
        if known is None:
            known = self._settled[tests] = self._with_choices(tests)
        return known

    @cached_property
    def _settled(self) -> dict[tuple[bool | None, ...], EntryTrace]:
        return {}

    def _with_choices(self, tests: Sequence[bool | None]) -> EntryTrace:
        made: dict[ValueId, AnyValue] = {}
        for (value, choice), test in zip(self._choices, tests, strict=True):
            if test is not None:
                way = choice.yes if test else choice.no
                made[value] = made.get(way, self.values[way])
        made = {value: row for value, row in made.items() if type(row) is not Select}
        values = list(self.values)
        by_kind = dict(self._values_by_kind)
        for kind in {Select, *map(type, made.values())}:
            others = [one for one in by_kind.get(kind, ()) if one[0] not in made]
            new = [(value, row) for value, row in made.items() if type(row) is kind]
            by_kind[kind] = sorted([*others, *new], key=itemgetter(0))
        parts = list(self.parts)
        for value, row in made.items():
            values[value] = row
            parts[value] = _PARTS[type(row)](row) if type(row) in _PARTS else ()
        settled = msgspec.structs.replace(self, values=values)
        settled.__dict__["parts"] = parts
        # A setting is a part of what it may be chosen for, and no object has become another one.
        for index in _OF_OBJECTS:
            settled.__dict__[index] = getattr(self, index)
        settled.__dict__["_values_by_kind"] = by_kind
        return settled

    @cached_property
    def reached(self) -> frozenset[tuple[int, int]]:
        """The lines on which something happens: index into ``TraceDocument.files`` and line."""
        return frozenset((e.place.file, e.place.line) for e in self.events)

    @cached_property
    def is_cut(self) -> bool:
        """Whether a bound cut the trace somewhere."""
        return Cut in self._events_by_kind

    @cached_property
    def _events_by_kind(self) -> dict[type, list[tuple[int, Any]]]:
        found: dict[type, list[tuple[int, Any]]] = {}
        for numbered in enumerate(self.events):
            found.setdefault(type(numbered[1]), []).append(numbered)
        return found

    @cached_property
    def _values_by_kind(self) -> dict[type, list[tuple[int, Any]]]:
        found: dict[type, list[tuple[int, Any]]] = {}
        for numbered in enumerate(self.values):
            found.setdefault(type(numbered[1]), []).append(numbered)
        return found

    def events_of(self, *kinds: type[_Kind]) -> Sequence[tuple[int, _Kind]]:
        """The events of some kinds with their numbers, in order."""
        by_kind = self._events_by_kind
        if len(kinds) == 1:
            return by_kind.get(kinds[0], ())
        # No two have the same number.
        return sorted(one for kind in kinds for one in by_kind.get(kind, ()))

    def values_of(self, kind: type[_Kind]) -> Sequence[tuple[ValueId, _Kind]]:
        """The values of one kind with their numbers, in order."""
        return self._values_by_kind.get(kind, ())


class _Table(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The document as it is handed over."""

    version: int
    files: list[str]
    entries: list[tuple[str, bool, msgspec.Raw]]


class TraceDocument:
    """The traces of one package; ``files`` are the paths that places refer to.

    An entry is decoded when it is asked for: rules seldom need all of them.
    """

    __slots__ = ("_decoded", "_entries", "files")

    def __init__(self, table: _Table) -> None:
        self.files = table.files
        self._entries = {name: (found, rows) for name, found, rows in table.entries}
        self._decoded: dict[str, EntryTrace] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The entries that were asked for."""
        return tuple(self._entries)

    @property
    def entries(self) -> list[EntryTrace]:
        """The traces of those that are modules of the package, all of them decoded."""
        return [entry for name in self._entries if (entry := self.entry(name)) is not None]

    def __contains__(self, name: str) -> bool:
        """Whether an entry was asked for and is a module of the package."""
        return self._entries.get(name, (False,))[0]

    def entry(self, name: str) -> EntryTrace | None:
        """The trace of an entry; None when it was not asked for or is no module."""
        known = self._decoded.get(name)
        if known is not None:
            return known
        found, rows = self._entries.get(name, (False, b""))
        if not found:
            return None
        entry = self._decoded[name] = _ENTRY.decode(rows)
        return entry


_TABLE = msgspec.msgpack.Decoder(_Table)
_ENTRY = msgspec.msgpack.Decoder(EntryTrace)


def decode(document: bytes) -> TraceDocument:
    """Opens the core's document.

    Raises:
        msgspec.ValidationError: the bytes are no trace document of this version.
    """
    return TraceDocument(_TABLE.decode(document))
