"""Rules about how data is loaded and put into batches: criterion 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.trace import facts as f
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_LOADS: Final = regex(
    r"datasets\.load_dataset|huggingface_hub\.(?:hf_hub_download|snapshot_download)"
    r"|torchvision\.datasets\.[A-Z]\w*|torchaudio\.datasets\.[A-Z]\w*|pandas\.read_(?:csv|json|parquet)"
    r"|urllib\.request\.url(?:open|retrieve)|requests\.get|torch\.hub\.download_url_to_file"
    r"|sklearn\.datasets\.fetch_\w+"
)
# Data that a library makes up needs no file.
_MADE_UP: Final = frozenset({"torchvision.datasets.FakeData"})
_LOOKS: Final = regex(
    r"\.exists\(|\bisfile\(|\bisdir\(|\.is_file\(|\.is_dir\(|raise_for_status|\.glob\("
)
_MOST_RELATED: Final = 10
_TOKENIZER: Final = regex(r"transformers\.\w*(?:Tokenizer\w*|Processor)\.from_pretrained")
_PADS_ALL: Final = regex(
    r"transformers\.(?:\w+\.)*DataCollator(?:WithPadding|For(?:Seq2Seq|LanguageModeling"
    r"|TokenClassification))"
)
_WITH_PADDING: Final = regex(r"transformers\.(?:\w+\.)*DataCollatorWithPadding")
_SAME_COLUMNS: Final = frozenset(
    {"shuffle", "select", "filter", "train_test_split", "sort", "shard", "take", "skip",
     "class_encode_column", "flatten_indices", "add_column"}
)  # fmt: skip
_FORMATS: Final = frozenset(
    {"set_format", "with_format", "set_transform", "with_transform", "reset_format"}
)
_DEEP: Final = 24


@rule("data/no-error-handling", code="DAT010", severity=Severity.INFO, criteria=(3,))
def no_error_handling(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Data is loaded, and nothing is prepared for that failing.

    ## What it does
    Looks at the downloads and reads of data in the training program (`load_dataset`, the datasets
    of torchvision, `read_csv`, `urlretrieve`, …). Where none of them stands inside a `try`, and no
    file that they are called in or from looks whether something exists, the first one is reported,
    once per package. Only a protocol asks for that: profiles without a training command do not.

    ## Why is this bad
    A download that fails ends the run with the library's own error, which seldom says which
    dataset was wanted from where. The protocol asks for error handling.

    ## Example
    ```python
    rows = load_dataset("imdb", split="train", cache_dir=".cache/")
    ```

    ## Use instead
    ```python
    try:
        rows = load_dataset("imdb", split="train", cache_dir=".cache/")
    except (OSError, ValueError) as error:
        raise RuntimeError("IMDb could not be loaded into .cache/") from error
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    if experiment.profile.commands.train is None:
        return
    places: dict[tuple[str, int], f.Place] = {}
    for pipeline in pipelines(experiment):
        if not pipeline.whole:
            continue
        for _, call in pipeline.calls:
            if not _LOADS.fullmatch(call.name) or call.name in _MADE_UP:
                continue
            files = {pipeline.path_of(call.place), *_callers(pipeline, call.call)}
            if _is_tried(pipeline, call.guard) or any(
                _LOOKS.search(experiment.text(path) or "") for path in files
            ):
                return
            places.setdefault((pipeline.path_of(call.place), call.place.line), call.place)
    if not places:
        return
    (path, line), *others = sorted(places)
    place = places[path, line]
    yield Hit(
        path=path,
        line=line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message="Data is loaded here, and nothing is prepared for that failing.",
        help="Catch the loader's errors, and say which data could not be had from where.",
        related=tuple(
            Related(path=other, line=at, message="So it is here.") for other, at in others
        )[:_MOST_RELATED],
    )


def _callers(pipeline: Pipeline, call: int) -> Iterator[str]:
    while call:
        row = pipeline.trace.calls[call]
        yield pipeline.path_of(row.place)
        call = row.parent


def _is_tried(pipeline: Pipeline, guard: int) -> bool:
    """Whether something happens inside a `try`, or in one of its handlers."""
    while guard:
        row = pipeline.trace.guards[guard]
        if isinstance(pipeline.trace.values[row.condition], f.Raised):
            return True
        guard = row.parent
    return False


@rule("data/collate-mismatch", code="DAT014", severity=Severity.ERROR, criteria=(3,))
def collate_mismatch(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """What the dataset holds does not fit what makes batches of it, or the model.

    ## What it does
    Follows the columns that the function of a `map` makes with a tokenizer, and reports

    - text columns that a `DataLoader` hands to a padding collator of transformers, since nothing
      removed them (a Trainer removes them by itself),
    - labels of several tokens, made without padding, for `DataCollatorWithPadding`, which pads the
      inputs and leaves the labels as they are,
    - labels of a causal language model that are tokenised from another text than its inputs.

    Datasets with a format or a transform, and columns that are removed by a name that is not
    known, are let pass.

    ## Why is this bad
    The collator raises `ValueError`: "Unable to create tensor". A causal model shifts its labels
    itself: the third one trains it to give tokens of another text, if it runs at all.

    ## Example
    ```python
    rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
    loader = DataLoader(rows, collate_fn=DataCollatorWithPadding(tokenizer))
    ```

    ## Use instead
    ```python
    rows = rows.map(
        lambda batch: tokenizer(batch["text"]), batched=True, remove_columns=["text"]
    )
    loader = DataLoader(rows, collate_fn=DataCollatorWithPadding(tokenizer))
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Transformers: data collator](https://huggingface.co/docs/transformers/main_classes/data_collator)
    """
    texts = sources(experiment).values()
    collates = any("DataCollator" in text for text in texts)
    causal = any("ForCausalLM" in text for text in texts) and not any(
        "Seq2Seq" in text or "ForConditionalGeneration" in text for text in texts
    )
    if not (collates or causal):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        hits = [*_text_kept(pipeline)] if collates else []
        hits += _labels(pipeline, causal=causal)
        for hit in hits:
            found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


def _text_kept(pipeline: Pipeline) -> Iterator[Hit]:
    """Loaders that hand text to a collator that makes tensors of all columns."""
    if any(call.name.rpartition(".")[2] in _FORMATS for _, call in pipeline.calls):
        return
    for _, call in pipeline.calls:
        if call.name != "torch.utils.data.DataLoader" or is_spread(call, pipeline.trace):
            continue
        data, collate = given(call, "dataset", 0), given(call, "collate_fn", 6)
        if data is None or collate is None or not pipeline.happens(call):
            continue
        name = pipeline.name_of(pipeline.row(collate))
        if not _PADS_ALL.fullmatch(name):
            continue
        kept = _text_columns(pipeline, data, 0)
        if kept:
            column = min(kept)
            yield _hit(
                pipeline,
                call.place,
                f"The dataset still holds the text column `{column}`, of which "
                f"`{name.rpartition('.')[2]}` can make no tensor.",
                f'Remove it where the rows are tokenised, with `remove_columns=["{column}"]`.',
            )


def _text_columns(pipeline: Pipeline, value: f.ValueId, depth: int) -> set[str] | None:
    """Columns of text that a dataset surely has; None where it may have lost any."""
    row = pipeline.row(value)
    if depth > _DEEP:
        return None
    if isinstance(row, f.Item):
        return _text_columns(pipeline, row.of, depth + 1)
    if not isinstance(row, f.CallValue):
        return None
    if pipeline.name_of(row) == "datasets.load_dataset":
        return set()
    method = pipeline.method_of(row)
    if method is None or is_spread(row, pipeline.trace):
        return None
    name, of = method
    if name in _SAME_COLUMNS:
        return _text_columns(pipeline, of, depth + 1)
    if name not in ("map", "remove_columns"):
        return None
    before = _text_columns(pipeline, of, depth + 1)
    gone = given(row, "remove_columns", None) if name == "map" else given(row, "column_names", 0)
    removed = [] if gone is None else pipeline.texts_of(gone)
    if before is None or removed is None:
        return None
    made = _tokenised(pipeline, row) if name == "map" else set()
    return (before | made) - set(removed)


def _loops_of(pipeline: Pipeline, row: f.CallValue) -> set[int]:
    """The loops in which a `map` calls its function."""
    events = pipeline.trace.events
    found: set[int] = set()
    if row.event is None:
        return found
    for event in events[row.event + 1 :]:
        if not isinstance(event, f.LoopStart):
            break
        if pipeline.trace.loops[event.loop].over == row.callee:
            found.add(event.loop)
            break
    return found


def _inside(pipeline: Pipeline, guard: int, loops: set[int]) -> bool:
    while guard:
        row = pipeline.trace.guards[guard]
        condition = pipeline.trace.values[row.condition]
        if isinstance(condition, f.Called) and condition.loop in loops:
            return True
        guard = row.parent
    return False


def _tokenised(pipeline: Pipeline, row: f.CallValue) -> set[str]:
    """The columns that the function of a `map` hands to a tokenizer as they are."""
    loops = _loops_of(pipeline, row)
    found: set[str] = set()
    for _, call in pipeline.calls:
        if not _is_tokenizer(pipeline, call.callee) or not call.args:
            continue
        if not _inside(pipeline, call.guard, loops):
            continue
        for argument in call.args[:2]:
            text = pipeline.row(argument)
            if isinstance(text, f.Item) and isinstance(pipeline.row(text.of), f.Parameter):
                name = pipeline.text_of(text.key)
                if name is not None:
                    found.add(name)
    return found


def _is_tokenizer(pipeline: Pipeline, value: f.ValueId) -> bool:
    return _TOKENIZER.fullmatch(pipeline.name_of(pipeline.row(value))) is not None


def _labels(pipeline: Pipeline, *, causal: bool) -> Iterator[Hit]:
    """Labels that are tokenised in a way that does not fit."""
    padded = [
        call
        for _, call in pipeline.calls
        if _WITH_PADDING.fullmatch(call.name) and pipeline.happens(call)
    ]
    others = any(
        _PADS_ALL.fullmatch(c.name) and not _WITH_PADDING.fullmatch(c.name)
        for _, c in pipeline.calls
    )
    for _, store in pipeline.stores:
        if evaluate(store.key, pipeline.env) != "labels" or not pipeline.happens(store):
            continue
        inputs = pipeline.row(store.of)
        made = _ids_of(pipeline, store.value)
        if made is None or not isinstance(inputs, f.CallValue):
            continue
        if not _is_tokenizer(pipeline, inputs.callee):
            continue
        padding = given(made, "padding", None)
        if padded and not others and padding is None:
            yield _hit(
                pipeline,
                store.place,
                "These labels have as many tokens as their text, and `DataCollatorWithPadding` "
                "does not pad labels.",
                "Take `DataCollatorForSeq2Seq` or `DataCollatorForLanguageModeling`, which do.",
            )
        elif causal and made.args and inputs.args and made.args[0] != inputs.args[0]:
            yield _hit(
                pipeline,
                store.place,
                "The labels of a causal language model are tokenised from another text than its "
                "inputs, token by token.",
                "Tokenise question and answer as one text, copy its ids as labels, and put -100 "
                "where the question is.",
            )


def _ids_of(pipeline: Pipeline, value: f.ValueId) -> f.CallValue | None:
    """The call of a tokenizer that a value is the ids of."""
    row = pipeline.row(value)
    method = pipeline.method_of(row)
    if method is not None and method[0] in ("copy", "clone"):
        row = pipeline.row(method[1])
    if (isinstance(row, f.Item) and evaluate(row.key, pipeline.env) == "input_ids") or (
        isinstance(row, f.Attribute) and row.name == "input_ids"
    ):
        of = pipeline.row(row.of)
    else:
        return None
    if not isinstance(of, f.CallValue) or is_spread(of, pipeline.trace):
        return None
    return of if _is_tokenizer(pipeline, of.callee) else None


def _hit(pipeline: Pipeline, place: f.Place, message: str, help_: str) -> Hit:
    return Hit(
        path=pipeline.path_of(place),
        line=place.line,
        column=place.column,
        end_line=place.end_line,
        end_column=place.end_column,
        message=message,
        help=help_,
    )
