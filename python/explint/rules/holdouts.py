"""How data is held out, and what the held-out part is used for: criterion 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.flow import made_of, parts
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.splits import sides
from explint.trace import facts as f
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_AUGMENTS: Final = regex(
    r"torchvision\.transforms\.(?:v2\.)?"
    r"(?:Random(?!Apply$|Choice$|Order$)\w+|ColorJitter|AutoAugment|RandAugment|TrivialAugmentWide"
    r"|AugMix)"
)
_FITTED: Final = regex(
    r"sklearn\.(?:preprocessing\.(?!Label|MultiLabel|OneHot|Ordinal)\w+"
    r"|feature_extraction\.(?:\w+\.)*\w+|feature_selection\.\w+|decomposition\.\w+|impute\.\w+)"
)
_SPLIT: Final = "sklearn.model_selection.train_test_split"
_RANDOM_SPLIT: Final = "torch.utils.data.random_split"
_LOADER: Final = "torch.utils.data.DataLoader"


@rule("data/shared-transform", code="DAT009", severity=Severity.WARNING, criteria=(3,))
def shared_transform(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Both parts of a random split share one dataset, and with it one transform.

    ## What it does
    Reports `part.dataset.transform = …` for a part that `random_split` gave, when the dataset has
    not been copied for it, and splits of a dataset whose transform augments at random, when a
    second part goes to a loader that does not shuffle, as it does to validate.

    ## Why is this bad
    A part of a split holds the whole dataset and a list of positions. A transform that is set for
    one part holds for both: training loses its augmentation, or validation is augmented, and its
    score changes with every pass.

    ## Example
    ```python
    train, validation = random_split(images, [50000, 10000])
    validation.dataset.transform = plain
    ```

    ## Use instead
    ```python
    train, rest = random_split(images, [50000, 10000])
    validation = Subset(CIFAR10(root=".cache/", train=True, transform=plain), rest.indices)
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [PyTorch: random_split](https://pytorch.org/docs/stable/data.html)
    """
    if not any("random_split" in text for text in sources(experiment).values()):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        for hit in (*_changed(pipeline), *_augmented(pipeline)):
            found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


def _part(pipeline: Pipeline, value: f.ValueId) -> tuple[f.ValueId, int] | None:
    """The split that a value is a part of, and which."""
    row = pipeline.row(value)
    if not isinstance(row, f.Item):
        return None
    number = evaluate(row.key, pipeline.env)
    is_split = pipeline.name_of(pipeline.row(row.of)) == _RANDOM_SPLIT
    return (row.of, number) if is_split and isinstance(number, int) else None


def _changed(pipeline: Pipeline) -> Iterator[Hit]:
    """Transforms that are set for one part."""
    stores = pipeline.stores
    copied = {
        store.of
        for _, store in stores
        if pipeline.text_of(store.key) == "dataset" and store.how == "attribute"
    }
    for _, store in stores:
        of = pipeline.row(store.of)
        if store.how != "attribute" or pipeline.text_of(store.key) != "transform":
            continue
        if not isinstance(of, f.Attribute) or of.name != "dataset" or of.of in copied:
            continue
        mine = _part(pipeline, of.of)
        if mine is None or not pipeline.happens(store):
            continue
        if _is_same(pipeline, mine[0], store.value):
            continue
        yield Hit(
            path=pipeline.path_of(store.place),
            line=store.place.line,
            column=store.place.column,
            message="This transform is set for all parts of the split: they share the dataset.",
            help="Make a second dataset with this transform, and take its `Subset` at the part's "
            "`indices`.",
        )


def _is_same(pipeline: Pipeline, split: f.ValueId, transform: f.ValueId) -> bool:
    """Whether the dataset has the transform anyway."""
    call = pipeline.row(split)
    data = given(call, "dataset", 0) if isinstance(call, f.CallValue) else None
    row = None if data is None else pipeline.row(data)
    return isinstance(row, f.CallValue) and given(row, "transform", None) == transform


def _augmented(pipeline: Pipeline) -> Iterator[Hit]:
    """Parts that validate under the augmentation of training."""
    loaders: dict[f.ValueId, dict[int, tuple[f.LibraryCall, bool]]] = {}
    for _, call in pipeline.calls:
        data = given(call, "dataset", 0) if call.name == _LOADER else None
        part = None if data is None else _part(pipeline, data)
        if part is None or is_spread(call, pipeline.trace) or not pipeline.happens(call):
            continue
        shuffle = given(call, "shuffle", 2)
        known = False if shuffle is None else evaluate(shuffle, pipeline.env)
        if given(call, "sampler", 3) is None and isinstance(known, bool):
            loaders.setdefault(part[0], {})[part[1]] = (call, known)
    changed = {
        part[0]
        for _, store in pipeline.stores
        for part in [_part(pipeline, store.of), _owner(pipeline, store.of)]
        if part is not None
    }
    for split, used in loaders.items():
        trains = [call for call, shuffles in used.values() if shuffles]
        rests = [call for call, shuffles in used.values() if not shuffles]
        name = _augmentation(pipeline, split)
        if not trains or not rests or name is None or split in changed:
            continue
        place = rests[0].place
        yield Hit(
            path=pipeline.path_of(place),
            line=place.line,
            column=place.column,
            message=f"This part is augmented by `{name}`, as the part that trains is.",
            help="Make a second dataset without augmentation, and take its `Subset` at the part's "
            "`indices`.",
            related=(
                Related(
                    path=pipeline.path_of(trains[0].place),
                    line=trains[0].place.line,
                    message="The part that trains shares the dataset.",
                ),
            ),
        )


def _owner(pipeline: Pipeline, value: f.ValueId) -> tuple[f.ValueId, int] | None:
    row = pipeline.row(value)
    return _part(pipeline, row.of) if isinstance(row, f.Attribute) else None


def _augmentation(pipeline: Pipeline, split: f.ValueId) -> str | None:
    """The random transform of the dataset that is split."""
    call = pipeline.row(split)
    data = given(call, "dataset", 0) if isinstance(call, f.CallValue) else None
    row = None if data is None else pipeline.row(data)
    if not isinstance(row, f.CallValue):
        return None
    transform = given(row, "transform", None)
    if transform is None:
        return None
    for value in sorted(parts(pipeline.trace, transform)):
        name = pipeline.name_of(pipeline.trace.values[value])
        if _AUGMENTS.fullmatch(name):
            return name.rpartition(".")[2]
    return None


@rule("data/fit-before-split", code="DAT011", severity=Severity.WARNING, criteria=(3,))
def fit_before_split(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A scaler, vocabulary or selector is fitted before the data is split.

    ## What it does
    Reports `train_test_split` of what the `fit_transform` or `transform` of a scikit-learn object
    gave that was fitted on the whole: scalers, vectorisers, selectors, decompositions, imputers.
    Encoders of labels and categories are let pass, and so is hashing, which learns nothing.

    ## Why is this bad
    The mean, the vocabulary or the choice of features knows the test rows. Scores are better than
    on new data, by little for a scaler and by much for a selector of features.

    ## Example
    ```python
    inputs = StandardScaler().fit_transform(inputs)
    train, test = train_test_split(inputs)
    ```

    ## Use instead
    ```python
    train, test = train_test_split(inputs)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [scikit-learn: common pitfalls](https://scikit-learn.org/stable/common_pitfalls.html)
    """
    if not any("train_test_split" in text for text in sources(experiment).values()):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        for _, call in pipeline.calls:
            if call.name != _SPLIT or not pipeline.happens(call):
                continue
            for value in call.args:
                fitted = _fitted(pipeline, value)
                if fitted is None:
                    continue
                name, place = fitted
                path = pipeline.path_of(place)
                found.setdefault(
                    (path, place.line),
                    Hit(
                        path=path,
                        line=place.line,
                        column=place.column,
                        message=f"`{name}` is fitted on all rows, before they are split.",
                        help="Split first, and fit on the part that trains.",
                        related=(
                            Related(
                                path=pipeline.path_of(call.place),
                                line=call.place.line,
                                message="The rows are split here.",
                            ),
                        ),
                    ),
                )
    yield from (found[at] for at in sorted(found))


def _fitted(pipeline: Pipeline, value: f.ValueId) -> tuple[str, f.Place] | None:
    """What was fitted on all of a value, and where."""
    row = pipeline.row(value)
    method = pipeline.method_of(row)
    if method is None or not isinstance(row, f.CallValue) or row.event is None:
        return None
    name, of = method
    if name not in ("fit_transform", "transform"):
        return None
    maker = pipeline.row(of)
    if name == "transform" and (inner := pipeline.method_of(maker)) and inner[0] == "fit":
        of = inner[1]
        maker = pipeline.row(of)
    elif name == "transform":
        return None
    made = pipeline.name_of(maker)
    if not _FITTED.fullmatch(made) or "Hashing" in made:
        return None
    return made.rpartition(".")[2], pipeline.trace.events[row.event].place


_PASSES_ON: Final = frozenset({_LOADER, "torch.utils.data.Subset", "len", "print"})
_NAMED_TEST: Final = frozenset({"test", "testing"})


@rule("data/unused-test-split", code="DAT012", severity=Severity.WARNING, criteria=(3,))
def unused_test_split(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The test split is loaded and thrown away.

    ## What it does
    Reports test splits of `load_dataset` and of the classes of torchvision and torchaudio that a
    training program loads and that nothing goes through: no loop, no trainer, no function of a
    library or of another module. A loader that is built and returned uses nothing.

    Programs that wrap data in classes of their own are not judged: what these are given is not
    followed.

    ## Why is this bad
    What is reported then is the best validation score, which was chosen for being the best.

    ## Example
    ```python
    test = DataLoader(CIFAR10(root=".cache/", train=False), batch_size=256)
    fit(model, train, validation)
    ```

    ## Use instead
    ```python
    test = DataLoader(CIFAR10(root=".cache/", train=False), batch_size=256)
    fit(model, train, validation)
    wandb.log({"test_accuracy": evaluate(model, test)})
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    if not any("backward" in text or "Trainer" in text for text in sources(experiment).values()):
        return
    found: dict[tuple[str, int], Hit] = {}
    used: set[tuple[str, int]] = set()
    for pipeline in pipelines(experiment):
        if pipeline.cheap or not pipeline.whole or not sides(pipeline).train:
            continue
        for call, is_used in _tests(pipeline):
            at = (pipeline.path_of(call.place), call.place.line)
            if is_used:
                used.add(at)
                continue
            found[at] = Hit(
                path=at[0],
                line=at[1],
                column=call.place.column,
                end_line=call.place.end_line,
                end_column=call.place.end_column,
                message="The test split is loaded, and nothing goes through it.",
                help="Evaluate the trained model on it once and report that, or do not load it.",
            )
    yield from (found[at] for at in sorted(found.keys() - used))


def _tests(pipeline: Pipeline) -> Iterator[tuple[f.LibraryCall, bool]]:
    """The calls that load a test split, and whether anything may go through it."""
    trace = pipeline.trace
    if pipeline.is_cut:
        return
    loads: dict[f.ValueId, f.LibraryCall] = {}
    events = dict(pipeline.calls)
    for value, row in enumerate(trace.values):
        if isinstance(row, f.CallValue) and row.event in events:
            call = events[row.event]
            if "datasets." not in call.name or not pipeline.happens(call):
                continue
            found = sides(pipeline).parts_of(value, 0)
            if found and all(part.split.lower() in _NAMED_TEST for part in found):
                loads[value] = call
    if not loads or any(isinstance(row, f.Instance) for row in _loaded_from(pipeline)):
        return
    goes = pipeline.events_of(f.LoopStart, f.Lookup, f.Store, f.LibraryCall)
    for value, call in loads.items():
        derived = made_of(trace, {value}) | {value}
        yield call, any(_goes_through(pipeline, event, derived) for _, event in goes)


def _loaded_from(pipeline: Pipeline) -> Iterator[f.AnyValue]:
    """Everything that loaders, loops and subsets are made of."""
    for _, event in pipeline.events_of(f.LoopStart, f.LibraryCall):
        values: list[f.ValueId] = []
        if isinstance(event, f.LoopStart):
            values = [pipeline.trace.loops[event.loop].over]
        elif isinstance(event, f.LibraryCall) and event.name in _PASSES_ON:
            values = [*event.args, *(v for _, v in event.kwargs)]
        for value in values:
            for part in parts(pipeline.trace, value):
                yield pipeline.trace.values[part]


def _goes_through(pipeline: Pipeline, event: f.Event, derived: set[f.ValueId]) -> bool:
    if isinstance(event, f.LoopStart):
        return pipeline.trace.loops[event.loop].over in derived
    if isinstance(event, f.Lookup):
        return event.of in derived
    if isinstance(event, f.Store):
        return event.value in derived
    if isinstance(event, f.LibraryCall) and event.name not in _PASSES_ON:
        return any(v in derived for v in (*event.args, *(v for _, v in event.kwargs)))
    return False
