"""The columns of datasets, from the loader to where they are used: criterion 3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_WORDS: Final = regex(
    r"\b(?:remove_columns|rename_columns?|select_columns|set_format|with_format)\b",
    words=("_column", "_format"),
)
_LOADERS: Final = frozenset({"datasets.load_dataset", "datasets.load_from_disk"})
_MADE: Final = re.compile(r"datasets\.Dataset\.from_\w+")
# Methods that give a dataset with the same columns.
_SAME: Final = frozenset(
    {"filter", "shuffle", "select", "shard", "sort", "take", "skip", "cast", "cast_column",
     "class_encode_column", "flatten_indices", "repeat", "to_iterable_dataset"}
)  # fmt: skip
# All that a tokenizer or processor may give.
_TOKENS: Final = frozenset(
    {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask", "offset_mapping",
     "overflow_to_sample_mapping", "length", "labels", "decoder_input_ids",
     "decoder_attention_mask", "pixel_values", "input_values", "input_features", "pixel_mask"}
)  # fmt: skip
# What a tokenizer gives when it is handed targets, and not else.
_TARGETS: Final = frozenset({"labels", "decoder_input_ids", "decoder_attention_mask"})
_ASKED: Final = frozenset({"text_target", "text_pair_target", "labels", "word_labels", "boxes"})
_TOKENIZER: Final = re.compile(r"transformers\.\w*Tokenizer\w*\.from_pretrained")
_PADDING: Final = re.compile(r"transformers\.(?:\w+\.)*(?:DataCollatorWithPadding)")
_PROGRESS: Final = re.compile(r"(?:^|\.)tqdm$")
_MANY: Final = 24


class Columns(msgspec.Struct, frozen=True):
    """What is known of a dataset's columns.

    ``gone`` holds those that were taken away, with how and where. ``only`` are all that it can
    have, None where others are possible, and ``why`` says how the others went. ``parts`` says that
    it is a mapping from splits to datasets.
    """

    gone: dict[str, tuple[str, f.Place]] = msgspec.field(default_factory=dict)
    only: frozenset[str] | None = None
    why: tuple[str, f.Place] | None = None
    parts: bool = False

    def lacks(self, name: str) -> tuple[str, f.Place] | None:
        """How and where a column went; None where the dataset has it, or may have it."""
        if name in self.gone:
            return self.gone[name]
        if self.only is not None and name not in self.only:
            return self.why
        return None

    def without(self, names: list[str], how: str, place: f.Place) -> Columns:
        """The columns after some were taken away."""
        gone = {**self.gone, **dict.fromkeys(names, (how, place))}
        only = None if self.only is None else self.only - set(names)
        return replace(self, gone=gone, only=only)

    def having(self, names: frozenset[str]) -> Columns:
        """The columns after some were added."""
        gone = {name: how for name, how in self.gone.items() if name not in names}
        return replace(self, gone=gone, only=None if self.only is None else self.only | names)


@rule("data/dropped-column", code="DAT005", severity=Severity.ERROR, criteria=(3,))
def dropped_column(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A column is used after the dataset lost it.

    ## What it does
    Follows datasets of the `datasets` library through `map(…, remove_columns=…)`,
    `remove_columns`, `rename_column`, `rename_columns`, `select_columns`, `set_format` and
    `with_format` to where their columns are used: in rows, in whole columns, in the functions
    given to `map` and `filter`, in batches of a `DataLoader` that collates as PyTorch does, and in
    further calls that name columns. Reports columns that were taken away, renamed or hidden.

    What the function of a `map` adds is taken into account, and where that is not known nothing is
    said of the dataset; nor where it depends on a condition that the config does not decide.

    ## Why is this bad
    The program stops with `KeyError` or `ValueError`, often after the model was loaded.

    ## Example
    ```python
    rows = rows.rename_column("label", "labels")
    targets = [row["label"] for row in rows]
    ```

    ## Use instead
    ```python
    rows = rows.rename_column("label", "labels")
    targets = [row["labels"] for row in rows]
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Datasets: process](https://huggingface.co/docs/datasets/process)
    """
    if not any(_WORDS.search(text) for text in sources(experiment).values()):
        return
    found: dict[tuple[str, int, int, str], Hit] = {}
    for pipeline in pipelines(experiment):
        for use in _Reader(pipeline).missing():
            path = pipeline.path_of(use.place)
            how, where = use.lost
            at = (path, use.place.line, use.place.column, use.name)
            found.setdefault(
                at,
                Hit(
                    path=path,
                    line=use.place.line,
                    column=use.place.column,
                    end_line=use.place.end_line,
                    end_column=use.place.end_column,
                    message=f"The dataset has no column `{use.name}` here: {how}.",
                    help=_help(use),
                    related=(
                        Related(
                            path=pipeline.path_of(where),
                            line=where.line,
                            message="This is where it went.",
                        ),
                    ),
                ),
            )
    told: set[tuple[str, str, tuple[Related, ...]]] = set()
    for (path, _, _, name), hit in sorted(found.items()):
        cause = (path, name, hit.related)
        if cause not in told:
            told.add(cause)
            yield hit


class _Use(msgspec.Struct, frozen=True):
    name: str
    place: f.Place
    lost: tuple[str, f.Place]


def _help(use: _Use) -> str:
    renamed = re.search(r"is called `(\w+)`", use.lost[0])
    if renamed:
        return f"Ask for `{renamed[1]}`."
    return f"Keep `{use.name}` there, or use it before."


class _Reader:
    """The datasets of one pipeline and where their columns are used."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.trace = pipeline.trace
        self._columns: dict[f.ValueId, Columns | None] = {}
        self._keys: dict[int, frozenset[str] | None] = {}
        # What was done to a dataset in place, by event.
        self._formats: list[tuple[int, f.ValueId, f.LibraryCall, str]] = []
        for number, call in pipeline.calls:
            callee = self.trace.values[call.callee]
            if isinstance(callee, f.Attribute) and callee.name in (
                "set_format", "reset_format", "set_transform"
            ):  # fmt: skip
                self._formats.append((number, callee.of, call, callee.name))

    def missing(self) -> Iterator[_Use]:
        """The uses of columns that are not there."""
        for number, event in self.pipeline.events_of(f.Lookup, f.LibraryCall):
            if isinstance(event, f.Lookup):
                names = self.pipeline.texts_of(event.key)
                if not names:
                    continue
                columns = self._of_row(event.of, event.guard, number)
                if columns is None:
                    columns = self.columns(event.of, number)
                    if columns is not None and columns.parts:
                        continue
                yield from self._lacking(columns, names, event)
            elif isinstance(event, f.LibraryCall):
                callee = self.trace.values[event.callee]
                if isinstance(callee, f.Attribute) and callee.name in _NAMING:
                    yield from self._named(callee, event)

    def _lacking(self, columns: Columns | None, names: list[str], event: f.Event) -> Iterator[_Use]:
        if columns is None:
            return
        for name in names:
            lost = columns.lacks(name)
            if lost is None or self._asks_for(name, event.guard):
                continue
            if self.pipeline.happens(event):
                yield _Use(name, event.place, lost)

    def _asks_for(self, name: str, guard: int) -> bool:
        """Whether a condition on the way asks if the name is there: `if "labels" in batch`."""
        from explint.artifacts.comparison import reached

        while guard:
            at = self.trace.guards[guard]
            for part in reached(self.trace, [at.condition]):
                row = self.trace.values[part]
                if isinstance(row, f.Compare) and row.op == "in":
                    asked = evaluate(row.left, self.pipeline.env)
                    if isinstance(asked, str) and asked == name:
                        return True
            guard = at.parent
        return False

    def _named(self, callee: f.Attribute, call: f.LibraryCall) -> Iterator[_Use]:
        """The columns that a method itself asks for by name."""
        # Formats hide columns from those who read rows only.
        columns = self.columns(callee.of, None)
        keyword, position = _NAMING[callee.name]
        value = given(call, keyword, position)
        if columns is None or value is None or is_spread(call, self.trace):
            return
        names = self.pipeline.texts_of(value)
        if names is not None:
            yield from self._lacking(columns, names, call)

    # ---- what rows hold ----

    def _of_row(self, value: f.ValueId, guard: int, number: int) -> Columns | None:
        """The columns of a row, or of a batch; None where the value is none."""
        row = self.pipeline.row(value)
        if isinstance(row, f.Element):
            return self._of_element(row.of, number)
        if isinstance(row, f.Item):
            inner = self.pipeline.row(row.of)
            if isinstance(inner, f.Element) and evaluate(row.key, self.pipeline.env) == 1:
                over = self.pipeline.row(inner.of)
                if self.pipeline.name_of(over) == "enumerate" and isinstance(over, f.CallValue):
                    return self._of_element(over.args[0], number) if over.args else None
            key = evaluate(row.key, self.pipeline.env)
            if isinstance(key, str):
                return None
            columns = self.columns(row.of, number)
            return None if columns is None or columns.parts else columns
        if isinstance(row, f.Parameter):
            return self._of_parameter(row, guard, number)
        if isinstance(row, f.DictValue) and len(row.items) == 1:
            # `{key: value.to(device) for key, value in batch.items()}`
            source = self._items_of(row.items[0][0])
            return None if source is None else self._of_row(source, guard, number)
        return None

    def _items_of(self, key: f.ValueId) -> f.ValueId | None:
        """The mapping of which a comprehension takes the keys."""
        each = self.trace.values[key]
        name = self.pipeline.row(each.value) if isinstance(each, f.Each) else None
        if not isinstance(name, f.Item) or evaluate(name.key, self.pipeline.env) != 0:
            return None
        pair = self.pipeline.row(name.of)
        call = self.pipeline.row(pair.of) if isinstance(pair, f.Element) else None
        callee = self.trace.values[call.callee] if isinstance(call, f.CallValue) else None
        return callee.of if isinstance(callee, f.Attribute) and callee.name == "items" else None

    def _of_element(self, over: f.ValueId, number: int) -> Columns | None:
        row = self.pipeline.row(over)
        if isinstance(row, f.CallValue) and row.args:
            name = self.pipeline.name_of(row)
            if _PROGRESS.search(name):
                return self._of_element(row.args[0], number)
            if name == "torch.utils.data.DataLoader":
                return self._of_batch(row, number)
        columns = self.columns(over, number)
        return None if columns is None or columns.parts else columns

    def _of_batch(self, loader: f.CallValue, number: int) -> Columns | None:
        data = given(loader, "dataset", 0)
        if data is None or is_spread(loader, self.trace):
            return None
        columns = self.columns(data, number)
        if columns is None or columns.parts:
            return None
        collate = given(loader, "collate_fn", 6)
        if collate is None or evaluate(collate, self.pipeline.env) is None:
            return columns
        row = self.pipeline.row(collate)
        place = _place_of(row, self.trace)
        if _PADDING.fullmatch(self.pipeline.name_of(row)) and place is not None:
            # It gives `label` and `label_ids` the name that models take.
            how = "the collator hands it on under the name that models take; it is called `labels`"
            may_hold = columns.only is None or columns.only & {"label", "label_ids", "labels"}
            columns = columns.without(["label", "label_ids"], how, place)
            return columns.having(_TOKENS if may_hold else _TOKENS - _TARGETS)
        return None

    def _of_parameter(self, row: f.Parameter, guard: int, number: int) -> Columns | None:
        """The columns that a function given to `map` or `filter` sees in its rows."""
        at = guard
        while at:
            condition = self.trace.values[self.trace.guards[at].condition]
            if isinstance(condition, f.Called):
                break
            at = self.trace.guards[at].parent
        else:
            return None
        callee = self.trace.values[self.trace.loops[condition.loop].over]
        if not isinstance(callee, f.Attribute) or callee.name not in ("map", "filter"):
            return None
        for before in range(number - 1, -1, -1):
            event = self.trace.events[before]
            if isinstance(event, f.LoopStart) and event.loop == condition.loop:
                call = self.trace.events[before - 1] if before else None
                break
        else:
            return None
        if not isinstance(call, f.LibraryCall) or is_spread(call, self.trace):
            return None
        function = given(call, "function", 0)
        if function is None or any(name == "input_columns" for name, _ in call.kwargs):
            return None
        if len(call.args) > 1 or any(name in _MORE for name, _ in call.kwargs):
            # It sees indices or ranks besides rows.
            return None
        if row.name not in self._first_parameters(condition.loop):
            return None
        return self.columns(callee.of, number)

    def _first_parameters(self, loop: int) -> set[str]:
        """The names under which the functions that a loop calls know what it hands them; none
        where there may be several."""
        names = self._asked_by.get(loop, set())
        return names if len(names) == 1 else set()

    @cached_property
    def _asked_by(self) -> dict[int, set[str]]:
        """By the innermost loop that calls functions, the names of parameters that are asked for
        elements in these."""
        found: dict[int, set[str]] = {}
        for _, event in self.trace.events_of(f.Lookup):
            value = self.trace.values[event.of]
            guard = event.guard if isinstance(value, f.Parameter) else 0
            while guard and isinstance(value, f.Parameter):
                row = self.trace.guards[guard]
                condition = self.trace.values[row.condition]
                if isinstance(condition, f.Called):
                    found.setdefault(condition.loop, set()).add(value.name)
                    break
                guard = row.parent
        return found

    # ---- what datasets hold ----

    def columns(self, value: f.ValueId, number: int | None) -> Columns | None:
        """What is known of a dataset's columns before an event; None where a value is no dataset,
        or not one that is known. Without an event, formats are not looked at."""
        if value not in self._columns:
            self._columns[value] = None
            self._columns[value] = self._worked_out(value)
        found = self._columns[value]
        if found is None or number is None:
            return found
        return self._formatted(value, found, number)

    def _formatted(self, value: f.ValueId, columns: Columns, number: int) -> Columns | None:
        """The columns that show after what `set_format` set before an event."""
        chain = {value}
        at = value
        for _ in range(_MANY):
            row = self.pipeline.row(at)
            if isinstance(row, f.Item):
                at = row.of
            elif (method := self.pipeline.method_of(row)) and method[0] in _SAME:
                at = method[1]
            else:
                break
            chain.add(at)
        for when, of, call, name in reversed(self._formats):
            if when >= number or of not in chain:
                continue
            if name != "set_format":
                return columns if name == "reset_format" else None
            if not self.pipeline.happens(call) or is_spread(call, self.trace):
                return None
            if any(key == "output_all_columns" for key, _ in call.kwargs):
                return columns
            return self._shown(columns, given(call, "columns", 1), call.place)
        return columns

    def _shown(self, columns: Columns, value: f.ValueId | None, place: f.Place) -> Columns | None:
        if value is None or evaluate(value, self.pipeline.env) is None:
            return columns
        names = self.pipeline.texts_of(value)
        if names is None:
            return None
        said = ", ".join(f"`{name}`" for name in names)
        return replace(columns, only=frozenset(names), why=(f"the format shows {said} only", place))

    def _worked_out(self, value: f.ValueId) -> Columns | None:
        row = self.pipeline.row(value)
        if isinstance(row, f.Item):
            of = self.columns(row.of, None)
            key = evaluate(row.key, self.pipeline.env)
            return replace(of, parts=False) if of and of.parts and isinstance(key, str) else None
        if not isinstance(row, f.CallValue) or is_spread(row, self.trace):
            return None
        name = self.pipeline.name_of(row)
        if name in _LOADERS:
            split = given(row, "split", 4)
            if name.endswith("from_disk"):
                return None
            if split is None:
                return Columns(parts=True)
            return Columns() if self.pipeline.text_of(split) is not None else None
        if _MADE.fullmatch(name):
            return Columns()
        method = self.pipeline.method_of(row)
        place = _place_of(row, self.trace)
        if method is None or place is None:
            return None
        of = self.columns(method[1], None)
        return None if of is None else self._after(method[0], of, method[1], row, place)

    def _after(
        self, name: str, of: Columns, owner: f.ValueId, call: f.CallValue, place: f.Place
    ) -> Columns | None:
        """The columns after a method of a dataset."""
        if name in _SAME:
            return of
        if name == "train_test_split":
            return replace(of, parts=True)
        if name == "map":
            return self._mapped(of, owner, call, place)
        if name in ("remove_columns", "select_columns"):
            names = self._names(given(call, "column_names", 0))
            if names is None:
                return None
            said = ", ".join(f"`{n}`" for n in names)
            if name == "select_columns":
                return replace(of, gone={}, only=frozenset(names), why=(f"only {said} stay", place))
            return of.without(names, "`remove_columns` took it away", place)
        if name == "rename_column":
            old = self.pipeline.text_of(given(call, "original_column_name", 0))
            new = self.pipeline.text_of(given(call, "new_column_name", 1))
            return None if old is None or new is None else _renamed(of, {old: new}, place)
        if name == "rename_columns":
            value = given(call, "column_mapping", 0)
            table = None if value is None else evaluate(value, self.pipeline.env)
            if isinstance(table, dict) and all(isinstance(t, str) for t in table.values()):
                return _renamed(of, table, place)
            return None
        if name == "add_column":
            new = self.pipeline.text_of(given(call, "name", 0))
            return None if new is None else of.having(frozenset({new}))
        if name == "with_format":
            if any(key == "output_all_columns" for key, _ in call.kwargs):
                return of
            return self._shown(of, given(call, "columns", 1), place)
        return None

    def _names(self, value: f.ValueId | None) -> list[str] | None:
        return None if value is None else self.pipeline.texts_of(value)

    def _mapped(
        self, of: Columns, owner: f.ValueId, call: f.CallValue, place: f.Place
    ) -> Columns | None:
        added = self._added(call)
        if added is None:
            return None
        removed = given(call, "remove_columns", 7)
        if removed is None or evaluate(removed, self.pipeline.env) is None:
            return of.having(added)
        how = "`map` with `remove_columns` took it away, and its function does not give it"
        row = self.pipeline.row(removed)
        if isinstance(row, f.Attribute) and row.name == "column_names":
            whose = self.pipeline.row(row.of)
            own = row.of == owner or (isinstance(whose, f.Item) and whose.of == owner)
            return replace(of, gone={}, only=added, why=(how, place)) if own else None
        names = self.pipeline.texts_of(removed)
        return None if names is None else of.without(names, how, place).having(added)

    def _added(self, call: f.CallValue) -> frozenset[str] | None:
        """The columns that the function of a `map` may give; None where that is not known."""
        if call.event is None:
            return None
        if call.event not in self._keys:
            self._keys[call.event] = self._given_by(call.event)
        return self._keys[call.event]

    def _given_by(self, number: int) -> frozenset[str] | None:
        events = self.trace.events
        start = events[number + 1] if number + 1 < len(events) else None
        if not isinstance(start, f.LoopStart) or self.trace.loops[start.loop].kind != "callback":
            return None
        found: set[str] = set()
        known = False
        for event in events[number + 2 :]:
            if isinstance(event, f.LoopEnd) and event.loop == start.loop:
                return frozenset(found) if known else None
            if isinstance(event, f.Return) and self._is_outermost(event, start):
                keys = self._keys_of(event.value, 0)
                if keys is None:
                    return None
                known = True
                found |= keys
        return None

    def _is_outermost(self, event: f.Return, start: f.LoopStart) -> bool:
        return self.trace.calls[event.call].parent == start.call

    def _keys_of(self, value: f.ValueId, depth: int) -> frozenset[str] | None:
        """The keys that a mapping may have; a few too many at worst."""
        row = self.pipeline.row(value)
        if depth > _MANY:
            return None
        if isinstance(row, f.Select):
            yes, no = self._keys_of(row.yes, depth + 1), self._keys_of(row.no, depth + 1)
            return None if yes is None or no is None else yes | no
        keys: set[str] = set()
        if isinstance(row, f.DictValue) and not row.open:
            for key, inner in row.items:
                star = self.trace.values[key]
                if isinstance(star, f.Star):
                    more = self._keys_of(star.value, depth + 1)
                    if more is None:
                        return None
                    keys |= more
                    continue
                name = self.pipeline.text_of(key)
                if name is None or isinstance(self.trace.values[inner], f.Each):
                    return None
                keys.add(name)
        elif isinstance(row, f.CallValue) and self._is_tokenizer(row.callee):
            asked = row.args[2:] or any(name in _ASKED or name == "**" for name, _ in row.kwargs)
            keys |= _TOKENS if asked or self._is_given(row.callee) else _TOKENS - _TARGETS
        else:
            return None
        for _, store in self.pipeline.stores:
            if store.of == value:
                name = self.pipeline.text_of(store.key)
                if name is None:
                    return None
                keys.add(name)
        for _, call in self.pipeline.calls:
            callee = self.trace.values[call.callee]
            if isinstance(callee, f.Attribute) and callee.of == value and callee.name != "pop":
                return None
        return frozenset(keys)

    def _is_given(self, callee: f.ValueId) -> bool:
        """Whether what is called comes from outside, so that it may be any processor."""
        return isinstance(self.pipeline.row(callee), f.Parameter)

    def _is_tokenizer(self, callee: f.ValueId) -> bool:
        row = self.pipeline.row(callee)
        if isinstance(row, f.Parameter):
            return row.name in ("tokenizer", "tok")
        return bool(_TOKENIZER.fullmatch(self.pipeline.name_of(row)))


def _renamed(of: Columns, table: dict[str, str], place: f.Place) -> Columns:
    for old, new in table.items():
        # Two columns may change their names.
        if old not in table.values():
            of = of.without([old], f"it is called `{new}` now", place)
    return of.having(frozenset(table.values()))


def _place_of(row: f.AnyValue, trace: f.EntryTrace) -> f.Place | None:
    """Where a call was made."""
    number = row.event if isinstance(row, f.CallValue) else None
    return None if number is None else trace.events[number].place


_MORE: Final = frozenset({"with_indices", "with_rank"})
_NAMING: Final = {
    "remove_columns": ("column_names", 0),
    "select_columns": ("column_names", 0),
    "rename_column": ("original_column_name", 0),
    "map": ("remove_columns", 7),
}
"""Methods of datasets that stop where a column that they name is not there."""
