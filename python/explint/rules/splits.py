"""Which data trains, which selects and which is reported: criterion 3."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.flow import made_of, parts
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_VISION: Final = regex(r"(?:torchvision|torchaudio)\.datasets\.[A-Z]\w*")
# Methods of the datasets library that leave every row where it is.
_SAME_ROWS: Final = frozenset(
    {"map", "remove_columns", "rename_column", "rename_columns", "select_columns", "with_format",
     "cast", "cast_column", "class_encode_column", "add_column", "flatten_indices",
     "with_transform"}
)  # fmt: skip
_SOME_ROWS: Final = frozenset({"filter", "shuffle", "sort", "shard", "take", "skip"})
_SLICED: Final = regex(r"(\w+)(?:\[(\d*)(%?):(\d*)(%?)\])?")
_EVALUATES: Final = regex(
    r"(?:^|_)(?:eval|evaluate|evaluation|valid|validate|validation|test|accuracy|metrics?|scores?)(?:_|$)",
    re.I,
)
_SCORES: Final = (".argmax", ".update", ".add_batch", "cross_entropy", "accuracy_score", ".topk")
_TEST: Final = frozenset({"test", "testing"})
_KEEPS: Final = regex(
    r"(?:^torch\.save|^copy\.deepcopy|\.state_dict|\.save_pretrained|\.save_model|\.save_checkpoint)$"
)
_DEEP: Final = 24


class Part(msgspec.Struct, frozen=True):
    """Rows of a split of a dataset.

    ``rows`` are the positions, from and to, when the rows of ``base`` at these positions are meant;
    ``percent`` says that they are percents. ``cut`` says that it is some part, not known which.
    """

    source: str
    split: str
    rows: tuple[int, int | None] | None = None
    percent: bool = False
    base: f.ValueId | None = None
    cut: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole split."""
        return self.rows is None and not self.cut

    def covers(self, other: Part) -> bool:
        """Whether it surely holds rows of another part, and all of them."""
        if (self.source, self.split) != (other.source, other.split):
            return False
        return self.is_whole or (self == other and not self.cut)

    def crosses(self, other: Part) -> bool:
        """Whether both hold some rows, and each holds others too."""
        if (self.source, self.split, self.percent, self.base, self.cut, other.cut) != (
            other.source, other.split, other.percent, other.base, False, False
        ):  # fmt: skip
            return False
        if self.rows is None or other.rows is None:
            return False
        (a, b), (c, d) = self.rows, other.rows
        most = float("inf")
        b_, d_ = most if b is None else b, most if d is None else d
        return max(a, c) < min(b_, d_) and (a, b_) != (c, d_)


class _Side(msgspec.Struct, frozen=True):
    """Data that trains or evaluates, and where."""

    parts: tuple[Part, ...]
    place: f.Place
    event: f.Event
    loop: int | None = None
    number: int = 0


class Sides:
    """The two sides of a pipeline.

    ``unknown`` is where something trains or evaluates on data that is not known. ``rest`` is the
    data of loops of which it is not known what they are for.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.trace = pipeline.trace
        self.train: list[_Side] = []
        self.evaluate: list[_Side] = []
        self.rest: list[tuple[Part, ...] | None] = []
        self.unknown: list[f.Event] = []
        self._find()

    def _find(self) -> None:
        learns = self._loops_of(lambda name: name.endswith(("backward", ".step")))
        scores = self._loops_of(lambda name: name.endswith(_SCORES))
        answers = self._loops_of(lambda name: name.endswith(".generate"))
        evals = any(call.name.endswith(".eval") for _, call in self.pipeline.calls)
        for number, event in self.pipeline.events_of(f.LoopStart, f.LibraryCall):
            if isinstance(event, f.LoopStart):
                loop = self.trace.loops[event.loop]
                if loop.kind not in ("for", "comprehension") or not self._is_data(loop.over):
                    continue
                function = self.trace.calls[event.call].function.rpartition(".")[2]
                is_eval = bool(_EVALUATES.search(function)) or event.loop in answers
                is_eval = is_eval or (evals and event.loop in scores)
                if event.loop in learns:
                    self._add(self.train, loop.over, event, event.loop, number)
                elif is_eval:
                    self._add(self.evaluate, loop.over, event, event.loop, number)
                else:
                    self.rest.append(self.parts_of(loop.over, 0))
            elif isinstance(event, f.LibraryCall):
                last = event.name.rpartition(".")[2]
                if last.endswith("Trainer") and not is_spread(event, self.trace):
                    for keyword, side in (
                        ("train_dataset", self.train),
                        ("eval_dataset", self.evaluate),
                    ):
                        value = given(event, keyword, None)
                        if value is not None and not self._is_none(value):
                            self._add(side, value, event, None, number)
                elif event.name.endswith(("Trainer().evaluate", "Trainer().predict")):
                    for value in (*event.args[:1], *(v for _, v in event.kwargs)):
                        self._add(self.evaluate, value, event, None, number)

    def _is_none(self, value: f.ValueId) -> bool:
        return evaluate(value, self.pipeline.env) is None

    def _loops_of(self, wanted: Callable[[str], bool]) -> set[int]:
        """The loops in which a call is made whose name is wanted."""
        found: set[int] = set()
        for _, call in self.pipeline.calls:
            if not wanted(call.name):
                continue
            guard = call.guard
            while guard:
                row = self.trace.guards[guard]
                condition = self.trace.values[row.condition]
                if isinstance(condition, f.Ran):
                    found.add(condition.loop)
                guard = row.parent
        return found

    def _is_data(self, value: f.ValueId) -> bool:
        return value in self._made_of_data

    @cached_property
    def _made_of_data(self) -> set[f.ValueId]:
        loaders = {
            value
            for value, row in self.trace.values_of(f.Library)
            if row.name.endswith("DataLoader") or row.name == "datasets.load_dataset"
        }
        return loaders | made_of(self.trace, loaders)

    def _add(
        self, side: list[_Side], value: f.ValueId, event: f.Event, loop: int | None, number: int
    ) -> None:
        found = self.parts_of(value, 0)
        if found is None or not self.pipeline.happens(event):
            self.unknown.append(event)
            return
        side.append(_Side(found, event.place, event, loop, number))

    # ---- what data it is ----

    def parts_of(self, value: f.ValueId, depth: int) -> tuple[Part, ...] | None:
        """The parts of datasets that a value goes through; None where that is not known."""
        row = self.pipeline.row(value)
        if depth > _DEEP:
            return None
        if isinstance(row, f.Item):
            return self._item(row, depth)
        if not isinstance(row, f.CallValue) or is_spread(row, self.trace):
            return None
        name = self.pipeline.name_of(row)
        if name == "datasets.load_dataset":
            return self._loaded(row)
        if _VISION.fullmatch(name):
            return self._vision(name, row)
        if name in ("torch.utils.data.DataLoader", "tqdm.tqdm", "tqdm.auto.tqdm", "enumerate"):
            first = given(row, "dataset" if name.endswith("Loader") else "iterable", 0)
            return None if first is None else self.parts_of(first, depth + 1)
        if name in ("torch.utils.data.ConcatDataset", "datasets.concatenate_datasets"):
            whole = self.pipeline.row(row.args[0]) if row.args else None
            if not isinstance(whole, f.ListValue | f.TupleValue) or whole.open:
                return None
            found = [self.parts_of(item, depth + 1) for item in whole.items]
            return None if None in found else tuple(p for ps in found if ps for p in ps)
        if name == "torch.utils.data.Subset":
            data, rows = given(row, "dataset", 0), given(row, "indices", 1)
            return None if data is None or rows is None else self._rows(data, rows, depth)
        method = self.pipeline.method_of(row)
        if method is None:
            return None
        if method[0] in _SAME_ROWS:
            return self.parts_of(method[1], depth + 1)
        if method[0] == "select":
            rows = given(row, "indices", 0)
            return None if rows is None else self._rows(method[1], rows, depth)
        if method[0] in _SOME_ROWS:
            of = self.parts_of(method[1], depth + 1)
            whole_still = method[0] in ("shuffle", "sort")
            return of if whole_still or of is None else tuple(replace(p, cut=True) for p in of)
        return None

    def _item(self, row: f.Item, depth: int) -> tuple[Part, ...] | None:
        key = evaluate(row.key, self.pipeline.env)
        of = self.pipeline.row(row.of)
        if not isinstance(of, f.CallValue):
            return None
        name = self.pipeline.name_of(of)
        if name == "torch.utils.data.random_split" and isinstance(key, int):
            data = given(of, "dataset", 0)
            found = None if data is None else self.parts_of(data, depth + 1)
            return None if found is None else tuple(replace(p, cut=True) for p in found)
        if not isinstance(key, str):
            return None
        method = self.pipeline.method_of(of)
        if method is not None and method[0] == "train_test_split":
            found = self.parts_of(method[1], depth + 1)
            return None if found is None else tuple(replace(p, cut=True) for p in found)
        while method is not None and method[0] in _SAME_ROWS | {"shuffle"}:
            of = self.pipeline.row(method[1])
            method = self.pipeline.method_of(of)
        if isinstance(of, f.CallValue) and self.pipeline.name_of(of) == "datasets.load_dataset":
            source = None if is_spread(of, self.trace) else self._source(of)
            if source is not None and given(of, "split", 4) is None:
                return (Part(source, key),)
        return None

    def _source(self, call: f.CallValue) -> str | None:
        """A dataset of the hub by its id and config; None where they are not known."""
        first = self.pipeline.text_of(given(call, "path", 0))
        if first is None or given(call, "data_files", 3) is not None:
            return None
        name = given(call, "name", 1)
        if name is None or self._is_none(name):
            return first
        text = self.pipeline.text_of(name)
        return None if text is None else f"{first}, {text}"

    def _loaded(self, call: f.CallValue) -> tuple[Part, ...] | None:
        source = self._source(call)
        split = self.pipeline.text_of(given(call, "split", 4))
        if source is None or split is None:
            return None
        found = []
        for word in split.split("+"):
            match = _SLICED.fullmatch(word.strip())
            if match is None:
                return None
            name, low, percent, high, percent_too = match.groups()
            if low is None and high is None:
                found.append(Part(source, name))
                continue
            if (low and high and percent != percent_too) or not (low or high):
                return None
            rows = (int(low or 0), int(high) if high else None)
            found.append(Part(source, name, rows, percent=bool(percent or percent_too)))
        return tuple(found)

    def _vision(self, name: str, call: f.CallValue) -> tuple[Part, ...] | None:
        short = name.rpartition(".")[2]
        split = self.pipeline.text_of(given(call, "split", None))
        train = given(call, "train", None)
        if short in _BY_TRAIN and train is None:
            train = given(call, "train", 1)
        known = None if train is None else evaluate(train, self.pipeline.env)
        if split is None:
            if not isinstance(known, bool):
                return None
            split = "train" if known else "test"
        return (Part(short, split),)

    def _rows(self, data: f.ValueId, rows: f.ValueId, depth: int) -> tuple[Part, ...] | None:
        of = self.parts_of(data, depth + 1)
        if of is None:
            return None
        listed = self.pipeline.row(rows)
        if self.pipeline.name_of(listed) == "list" and isinstance(listed, f.CallValue):
            rows = listed.args[0] if len(listed.args) == 1 else rows
        found = evaluate(rows, self.pipeline.env)
        if isinstance(found, list) and found and found == list(range(found[0], found[-1] + 1)):
            found = range(found[0], found[-1] + 1)
        if isinstance(found, range) and found.step == 1 and len(of) == 1 and of[0].is_whole:
            return (replace(of[0], rows=(found.start, found.stop), base=data),)
        return tuple(replace(p, cut=True) for p in of)

    # ---- what is decided by it ----

    @cached_property
    def _studies(self) -> set[int]:
        return {
            number
            for number, loop in enumerate(self.trace.loops)
            if loop.kind == "callback" and self._optimises(loop.over)
        }

    @property
    def searched(self) -> list[_Side]:
        """The evaluations inside the objective of a study; none where one of them is on data that
        is not known."""
        if any(self._inside(event.guard, self._studies) for event in self.unknown):
            return []
        return [s for s in self.evaluate if self._inside(s.event.guard, self._studies)]

    def is_returned(self, side: _Side) -> bool:
        """Whether the objective returns what comes of an evaluation."""
        calls = self.trace.calls
        starts = {e.call for _, e in self.trace.events_of(f.LoopStart) if e.loop in self._studies}
        # What a lambda returns is what the function returns that it calls.
        starts |= {
            number
            for number, call in enumerate(calls)
            if call.parent in starts and call.function.endswith("<lambda>")
        }
        return side.loop is not None and any(
            calls[event.call].parent in starts
            and self._inside(event.guard, self._studies)
            and self._comes_of(event.value, side.loop)
            for _, event in self.pipeline.events_of(f.Return)
        )

    def _optimises(self, value: f.ValueId) -> bool:
        row = self.trace.values[value]
        if not isinstance(row, f.Attribute) or row.name != "optimize":
            return False
        of = self.pipeline.row(row.of)
        return self.pipeline.name_of(of) in ("optuna.create_study", "optuna.study.create_study")

    def _inside(self, guard: int, loops: set[int]) -> bool:
        while guard:
            row = self.trace.guards[guard]
            condition = self.trace.values[row.condition]
            if isinstance(condition, f.Called | f.Ran) and condition.loop in loops:
                return True
            guard = row.parent
        return False

    def kept_by(self, side: _Side) -> f.Place | None:
        """Where weights are kept, or training ends, under a comparison of what a side gave."""
        if side.loop is None:
            return None
        for number, event in self.pipeline.events_of(f.LibraryCall, f.Break):
            if number <= side.number:
                continue
            is_kept = isinstance(event, f.LibraryCall) and _KEEPS.search(event.name)
            if not (is_kept or isinstance(event, f.Break)):
                continue
            guard = event.guard
            while guard:
                row = self.trace.guards[guard]
                condition = self.trace.values[row.condition]
                if isinstance(condition, f.Compare) and self._comes_of(row.condition, side.loop):
                    return row.place
                guard = row.parent
        return None

    def _comes_of(self, value: f.ValueId, loop: int) -> bool:
        """Whether a loop has a part in a value."""
        seen = {value}
        stack = [value]
        while stack:
            at = stack.pop()
            row = self.trace.values[at]
            if isinstance(row, f.Ran | f.Element) and row.loop == loop:
                return True
            more = list(parts(self.trace, at))
            if isinstance(row, f.Select):
                more.append(row.test)
            for inner in more:
                if inner not in seen:
                    seen.add(inner)
                    stack.append(inner)
        return False


_BY_TRAIN: Final = frozenset({"MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "USPS"})
"""Classes whose second argument says whether it is the training split."""


def _said(found: tuple[Part, ...]) -> str:
    one = found[0]
    return f"the {one.split} split of {one.source}"


@rule("data/split-overlap", code="DAT007", severity=Severity.ERROR, criteria=(3,))
def split_overlap(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The model is trained or selected on the data that its result is reported for.

    ## What it does
    Follows the splits of datasets (`load_dataset` of the hub, the classes of torchvision and
    torchaudio) through subsets, concatenations and loaders to the loops and trainers that train
    and evaluate, in every run. Reports

    - evaluation on nothing but the data that trains, or on parts of it,
    - parts of a split that train and evaluate and share some of their rows,
    - the test split where the objective of a study scores it, where it decides which weights are
      kept or when training ends, and where `load_best_model_at_end` chooses by it.

    Training accuracy that is measured beside another evaluation is no finding. Where the data of
    one side is not known, nothing is said; nor is a random part of a split compared with another.

    ## Why is this bad
    The score is that of data which the model, or the search for it, has seen: it says nothing of
    new data, and comparisons between methods are void.

    ## Example
    ```python
    train = load_dataset("imdb", split="train", cache_dir=".cache/")
    validation = load_dataset("imdb", split="train", cache_dir=".cache/")
    ```

    ## Use instead
    ```python
    train = load_dataset("imdb", split="train[:90%]", cache_dir=".cache/")
    validation = load_dataset("imdb", split="train[90%:]", cache_dir=".cache/")
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - Kapoor and Narayanan (2023), Leakage and the reproducibility crisis in machine-learning-based
      science, Patterns 4(9)
    """
    texts = sources(experiment).values()
    if not any("load_dataset" in text or "datasets" in text for text in texts):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        if pipeline.cheap or not pipeline.whole or pipeline.is_cut:
            continue
        for hit in (*_shared(pipeline), *_selected(pipeline)):
            found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


def sides(pipeline: Pipeline) -> Sides:
    """What trains and evaluates in a pipeline, worked out once."""
    found = pipeline.notes.get("sides")
    if not isinstance(found, Sides):
        found = pipeline.notes["sides"] = Sides(pipeline)
    return found


def _shared(pipeline: Pipeline) -> Iterator[Hit]:
    """Data on both both."""
    both = sides(pipeline)
    if not both.train or not both.evaluate:
        return
    trained = [(side, part) for side in both.train for part in side.parts]
    for side in both.evaluate:
        for part in side.parts:
            for other, seen in trained:
                if seen.crosses(part):
                    yield _hit(
                        pipeline,
                        side,
                        f"Rows of {_said((part,))} that train the model evaluate it too.",
                        "Choose parts that share no row.",
                        (other.place, "The others train here."),
                    )
    if both.unknown or None in both.rest:
        return
    others = [part for found in both.rest for part in found or ()]
    if any(not any(seen.covers(part) for _, seen in trained) for part in others):
        return
    first: tuple[_Side, _Side] | None = None
    for side in both.evaluate:
        covering = [other for part in side.parts for other, seen in trained if seen.covers(part)]
        if not covering:
            return
        first = first or (side, covering[0])
    if first is not None:
        side, other = first
        yield _hit(
            pipeline,
            side,
            f"The model is evaluated on {_said(side.parts)} only, which it is trained on.",
            "Evaluate on data that takes no part in training.",
            (other.place, "It is trained here."),
        )


def _selected(pipeline: Pipeline) -> Iterator[Hit]:
    """Test data that selects."""
    both = sides(pipeline)
    searched = both.searched
    if searched and all(_is_test(side) for side in searched):
        side = searched[0]
        if not both.is_returned(side):
            return
        yield _hit(
            pipeline,
            side,
            f"The objective of the study scores {_said(side.parts)}.",
            "Search on a validation split, and use the test split once, at the end.",
            None,
        )
        return
    if not both.train:
        return
    for side in both.evaluate:
        if not _is_test(side):
            continue
        place = both.kept_by(side)
        if place is not None:
            yield _hit(
                pipeline,
                side,
                f"{_said(side.parts)} decides which weights are kept, or when training ends.",
                "Decide by a validation split, and use the test split once, at the end.",
                (place, "It is decided here."),
            )
        elif side.loop is None and _chooses(pipeline, side):
            yield _hit(
                pipeline,
                side,
                f"`load_best_model_at_end` chooses the weights by {_said(side.parts)}.",
                "Give the trainer a validation split, and use the test split once, at the end.",
                None,
            )


def _is_test(side: _Side) -> bool:
    return all(part.split.lower() in _TEST for part in side.parts)


def _chooses(pipeline: Pipeline, side: _Side) -> bool:
    call = side.event
    if not isinstance(call, f.LibraryCall) or not call.name.endswith("Trainer"):
        return False
    value = given(call, "args", 1)
    row = None if value is None else pipeline.row(value)
    if not isinstance(row, f.CallValue):
        return False
    best = given(row, "load_best_model_at_end", None)
    return best is not None and evaluate(best, pipeline.env) is True


def _hit(
    pipeline: Pipeline, side: _Side, message: str, help_: str, other: tuple[f.Place, str] | None
) -> Hit:
    place = side.place
    related: tuple[Related, ...] = ()
    if other is not None:
        related = (Related(path=pipeline.path_of(other[0]), line=other[0].line, message=other[1]),)
    return Hit(
        path=pipeline.path_of(place),
        line=place.line,
        column=place.column,
        message=message[0].upper() + message[1:],
        help=help_,
        related=related,
    )
