"""Labels and answers on their way through inputs, tokenizers and collators: criterion 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.flow import parts
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.rules.splits import sides
from explint.trace import facts as f
from explint.trace.specialise import evaluate

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_ANSWERS: Final = frozenset(
    {"answer", "answers", "solution", "gold", "gold_answer", "ground_truth", "final_answer",
     "correct_answer", "reference_answer", "summary", "highlights", "completion"}
)  # fmt: skip
_HELD_OUT: Final = regex(r"(?:test|validation|valid|val|dev|eval)\w*")
_GENERATES: Final = regex(r"\.generate$")
_FORMATS: Final = frozenset({"format", "strip", "join", "rstrip", "lstrip", "to", "items"})
_SAME_TABLE: Final = frozenset({"values", "to_numpy", "copy", "astype", "fillna", "reset_index"})
_TOKENIZER: Final = regex(r"transformers\.\w*(?:Tokenizer\w*|Processor)\.from_pretrained")
_IGNORING: Final = regex(
    r"transformers\.(?:\w+\.)*DataCollatorFor(?:Seq2Seq|LanguageModeling|TokenClassification)"
)
_NO_PAD: Final = regex(
    r"(?:openai-community/)?gpt2(?:-medium|-large|-xl)?|(?:distilbert/)?distilgpt2"
    r"|EleutherAI/(?:gpt-neo-[\w.]+|gpt-j-6b|pythia-[\w.-]+)"
    r"|meta-llama/(?:Llama-2-\w+-hf|Meta-Llama-3-8B|Meta-Llama-3-70B)"
    r"|mistralai/Mistral-7B-v0\.1|tiiuae/falcon-(?:7b|40b)"
)
"""Models whose published tokenizers have no padding token."""
_PADS: Final = frozenset({"max_length", "longest"})
_PADDING_COLLATORS: Final = regex(
    r"transformers\.(?:\w+\.)*DataCollator(?:WithPadding|For(?:Seq2Seq|LanguageModeling))"
)
_DEEP: Final = 24


@rule("data/label-leak", code="DAT008", severity=Severity.ERROR, criteria=(3,))
def label_leak(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """The answer is part of what the model is given when it is evaluated.

    ## What it does
    Reports

    - prompts for `generate` that hold the answer of the very example that is asked for, where the
      examples come from a test or validation split and the answer is used to score, too,
    - `fit(table, table["label"])`, where the table still holds the label's column.

    Answers of other examples, as in few-shot prompts, prompts that hold an earlier generation (as
    for a judge), and training on question and answer are sound.

    ## Why is this bad
    The model copies the answer. The score says how well it reads, not whether it can solve the
    task.

    ## Example
    ```python
    for row in load_dataset("openai/gsm8k", "main", split="test"):
        prompt = f"Question: {row['question']} Answer: {row['answer']}"
        output = model.generate(**tokenizer(prompt, return_tensors="pt"))
        correct += row["answer"] in tokenizer.decode(output[0])
    ```

    ## Use instead
    ```python
        prompt = f"Question: {row['question']} Answer:"
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    texts = sources(experiment).values()
    if not any("generate" in text or ".fit(" in text for text in texts):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        for hit in (*_prompted(pipeline), *_fitted(pipeline)):
            found.setdefault((hit.path, hit.line), hit)
    yield from (found[at] for at in sorted(found))


def _prompted(pipeline: Pipeline) -> Iterator[Hit]:
    """Prompts that hold the answer."""
    trace = pipeline.trace
    for _, call in pipeline.calls:
        if not _GENERATES.search(call.name):
            continue
        given_values = [*call.args, *(v for _, v in call.kwargs)]
        said = {v for value in given_values for v in _said(pipeline, value, 0)}
        answers = [v for v in said if _is_answer(pipeline, v)]
        if not answers or not pipeline.happens(call):
            continue
        whole = {v for value in given_values for v in parts(trace, value)}
        if any(_is_generated(trace, v) for v in whole):
            continue
        for answer in sorted(answers):
            gold = _scored_at(pipeline, answer, whole)
            row = trace.values[answer]
            if gold is not None and isinstance(row, f.Item):
                key = pipeline.text_of(row.key)
                yield Hit(
                    path=pipeline.path_of(call.place),
                    line=call.place.line,
                    column=call.place.column,
                    message=f"The prompt holds `{key}` of the example that the model is to solve.",
                    help="Leave the answer out of the prompt, and use it to score only.",
                    related=(
                        Related(
                            path=pipeline.path_of(gold),
                            line=gold.line,
                            message="The answer is used to score here.",
                        ),
                    ),
                )
                break


def _said(pipeline: Pipeline, value: f.ValueId, depth: int) -> Iterator[f.ValueId]:
    """The values that stand in a text, or in what a tokenizer makes of it, as they are."""
    if depth > _DEEP:
        return
    row = pipeline.row(value)
    yield value
    inner: list[f.ValueId] = []
    if isinstance(row, f.Template):
        inner = list(row.parts)
    elif isinstance(row, f.Binary) and row.op == "+":
        inner = [row.left, row.right]
    elif isinstance(row, f.ListValue | f.TupleValue):
        inner = list(row.items)
    elif isinstance(row, f.DictValue):
        inner = [v for _, v in row.items]
    elif isinstance(row, f.CallValue):
        callee = pipeline.row(row.callee)
        if isinstance(callee, f.Attribute) and callee.name in (*_FORMATS, "apply_chat_template"):
            inner = [callee.of, *row.args, *(v for _, v in row.kwargs)]
        elif _TOKENIZER.fullmatch(pipeline.name_of(callee)) or (
            isinstance(callee, f.CallValue) and _TOKENIZER.fullmatch(pipeline.name_of(callee))
        ):
            inner = [*row.args]
    elif (isinstance(row, f.Attribute) and row.name == "input_ids") or (
        isinstance(row, f.Item) and pipeline.text_of(row.key) == "input_ids"
    ):
        inner = [row.of]
    for part in inner:
        yield from _said(pipeline, part, depth + 1)


def _is_answer(pipeline: Pipeline, value: f.ValueId) -> bool:
    """Whether a value is the answer of an example of a held-out split."""
    row = pipeline.trace.values[value]
    if not isinstance(row, f.Item) or pipeline.text_of(row.key) not in _ANSWERS:
        return False
    of = pipeline.row(row.of)
    if not isinstance(of, f.Element):
        return False
    found = sides(pipeline).parts_of(of.of, 0)
    return bool(found) and all(_HELD_OUT.fullmatch(part.split) for part in found or ())


def _is_generated(trace: f.EntryTrace, value: f.ValueId) -> bool:
    row = trace.values[value]
    if not isinstance(row, f.CallValue):
        return False
    callee = trace.values[row.callee]
    return isinstance(callee, f.Attribute) and callee.name in ("generate", "decode", "batch_decode")


def _scored_at(pipeline: Pipeline, answer: f.ValueId, prompt: set[f.ValueId]) -> f.Place | None:
    """Where an answer is used for something other than the prompt."""
    for number, event in pipeline.calls:
        values = [*event.args, *(v for _, v in event.kwargs), event.callee]
        if any(answer in parts(pipeline.trace, v) for v in values) and not (
            _GENERATES.search(event.name) or _made_in(pipeline, number, prompt)
        ):
            if any(_is_generated(pipeline.trace, p) for v in values for p in _all(pipeline, v)):
                # What is made of the generation holds the prompt as well.
                continue
            return event.place
    row = pipeline.trace.values[answer]
    for value in pipeline.trace.values:
        if isinstance(value, f.Compare) and any(
            answer in _beside_generation(pipeline, side) for side in (value.left, value.right)
        ):
            asked = [
                event.place
                for _, event in pipeline.events_of(f.Lookup)
                if isinstance(row, f.Item) and event.of == row.of
            ]
            return asked[-1] if asked else None
    return None


def _all(pipeline: Pipeline, value: f.ValueId) -> set[f.ValueId]:
    return parts(pipeline.trace, value)


def _beside_generation(pipeline: Pipeline, value: f.ValueId) -> set[f.ValueId]:
    found = parts(pipeline.trace, value)
    return set() if any(_is_generated(pipeline.trace, v) for v in found) else found


def _made_in(pipeline: Pipeline, number: int, prompt: set[f.ValueId]) -> bool:
    """Whether a call makes a part of the prompt."""
    return any(
        isinstance(row := pipeline.trace.values[v], f.CallValue) and row.event == number
        for v in prompt
    )


def _fitted(pipeline: Pipeline) -> Iterator[Hit]:
    """Tables that hold the column that they are fitted to."""
    for _, call in pipeline.calls:
        if not call.name.startswith("sklearn.") or not call.name.endswith("().fit"):
            continue
        if len(call.args) < 2 or not pipeline.happens(call):
            continue
        target = pipeline.row(call.args[1])
        if isinstance(target, f.Attribute) and target.name == "values":
            target = pipeline.row(target.of)
        if not isinstance(target, f.Item):
            continue
        name = pipeline.text_of(target.key)
        if name is None or not _is_table(pipeline, target.of):
            continue
        if _table_of(pipeline, call.args[0]) == target.of and not _lost(pipeline, target.of):
            yield Hit(
                path=pipeline.path_of(call.place),
                line=call.place.line,
                column=call.place.column,
                message=f"The inputs still hold the column `{name}`, which is to be predicted.",
                help=f'Fit on `….drop(columns=["{name}"])`.',
            )


def _is_table(pipeline: Pipeline, value: f.ValueId) -> bool:
    return pipeline.name_of(pipeline.row(value)).startswith("pandas.read_")


def _table_of(pipeline: Pipeline, value: f.ValueId) -> f.ValueId:
    """The table behind values that hold all of its columns."""
    for _ in range(_DEEP):
        row = pipeline.row(value)
        if isinstance(row, f.Attribute) and row.name == "values":
            value = row.of
        elif (method := pipeline.method_of(row)) and method[0] in _SAME_TABLE:
            value = method[1]
        else:
            break
    return value


def _lost(pipeline: Pipeline, table: f.ValueId) -> bool:
    """Whether a table may lose columns in place."""
    for _, call in pipeline.calls:
        callee = pipeline.trace.values[call.callee]
        if isinstance(callee, f.Attribute) and callee.of == table:
            inplace = given(call, "inplace", None)
            if callee.name == "pop" or inplace is not None:
                return True
    return False


@rule("data/decode-ignore-index", code="DAT013", severity=Severity.ERROR, criteria=(3,))
def decode_ignore_index(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Labels that hold -100 are decoded.

    ## What it does
    Reports `decode` and `batch_decode` of labels as they come: of those that a Trainer hands to
    `compute_metrics`, and of the `labels` of batches, where the collator pads with -100
    (`DataCollatorForSeq2Seq`, `DataCollatorForLanguageModeling`,
    `DataCollatorForTokenClassification`). Labels in which something was replaced before are sound.

    ## Why is this bad
    No token has the number -100: fast tokenizers raise `OverflowError`, at the first evaluation.

    ## Example
    ```python
    def compute_metrics(result):
        predictions, labels = result
        texts = tokenizer.batch_decode(labels, skip_special_tokens=True)
    ```

    ## Use instead
    ```python
    def compute_metrics(result):
        predictions, labels = result
        labels = np.where(labels != -100, labels, tokenizer.pad_token_id)
        texts = tokenizer.batch_decode(labels, skip_special_tokens=True)
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Transformers: data collator](https://huggingface.co/docs/transformers/main_classes/data_collator)
    """
    texts = sources(experiment).values()
    if not any("decode" in text for text in texts):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        for _, call in pipeline.calls:
            if call.name.rpartition(".")[2] not in ("decode", "batch_decode") or not call.args:
                continue
            value = call.args[0]
            collator = _ignoring(pipeline, value, call.guard)
            if collator is None or not pipeline.happens(call):
                continue
            if any(store.of == value for _, store in pipeline.stores):
                continue
            path = pipeline.path_of(call.place)
            found.setdefault(
                (path, call.place.line),
                Hit(
                    path=path,
                    line=call.place.line,
                    column=call.place.column,
                    end_line=call.place.end_line,
                    end_column=call.place.end_column,
                    message=f"These labels hold -100, with which `{collator}` pads: no token has "
                    "that number.",
                    help="Put `tokenizer.pad_token_id` in the place of -100 first.",
                ),
            )
    yield from (found[at] for at in sorted(found))


def _ignoring(pipeline: Pipeline, value: f.ValueId, guard: int) -> str | None:
    """The collator that pads labels with -100; None where a value is none of its labels."""
    row = pipeline.row(value)
    is_ids = isinstance(row, f.Attribute) and row.name == "label_ids"
    if isinstance(row, f.Item):
        of = pipeline.row(row.of)
        key = evaluate(row.key, pipeline.env)
        if isinstance(of, f.Element) and key == "labels":
            loader = pipeline.row(of.of)
            collate = given(loader, "collate_fn", 6) if isinstance(loader, f.CallValue) else None
            return None if collate is None else _collator(pipeline, collate)
        is_ids = isinstance(of, f.Parameter) and key == 1 and isinstance(key, int)
    if not is_ids:
        return None
    while guard:
        outer = pipeline.trace.guards[guard]
        condition = pipeline.trace.values[outer.condition]
        if isinstance(condition, f.Called):
            break
        guard = outer.parent
    else:
        return None
    over = pipeline.trace.loops[condition.loop].over
    for _, call in pipeline.calls:
        if call.callee == over and call.name.endswith("Trainer"):
            collate = given(call, "data_collator", None)
            return None if collate is None else _collator(pipeline, collate)
    return None


def _collator(pipeline: Pipeline, value: f.ValueId) -> str | None:
    row = pipeline.row(value)
    name = pipeline.name_of(row)
    if not _IGNORING.fullmatch(name) or not isinstance(row, f.CallValue):
        return None
    if is_spread(row, pipeline.trace) or given(row, "label_pad_token_id", None) is not None:
        return None
    return name.rpartition(".")[2]


@rule("data/pad-token", code="DAT015", severity=Severity.ERROR, criteria=(3,))
def pad_token(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A tokenizer without a padding token pads, or gets one that the model has no embedding for.

    ## What it does
    Knows models whose tokenizers have no padding token (GPT-2, GPT-Neo, GPT-J, Pythia, Llama 2 and
    3, Mistral, Falcon). Reports padding with such a tokenizer, by `padding=` or a padding collator,
    where the package sets no `pad_token`, and a new `pad_token` by `add_special_tokens` where
    nothing calls `resize_token_embeddings`.

    ## Why is this bad
    The tokenizer raises `ValueError`: "Asking to pad but the tokenizer does not have a padding
    token". A new token has a number past the end of the embedding: the model stops with an index
    error.

    ## Example
    ```python
    tokenizer = AutoTokenizer.from_pretrained("gpt2", cache_dir=".cache/")
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ```

    ## Use instead
    ```python
    tokenizer = AutoTokenizer.from_pretrained("gpt2", cache_dir=".cache/")
    tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Transformers: padding and truncation](https://huggingface.co/docs/transformers/pad_truncation)
    """
    texts = sources(experiment).values()
    if not any("from_pretrained" in text for text in texts):
        return
    sets_it = any("pad_token" in text for text in texts)
    resizes = any("resize_token_embeddings" in text for text in texts)
    if sets_it and resizes:
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        for _, call in pipeline.calls:
            said = _padded(pipeline, call) if not sets_it else _extended(pipeline, call)
            if said is None or not pipeline.happens(call):
                continue
            message, help_ = said
            path = pipeline.path_of(call.place)
            found.setdefault(
                (path, call.place.line),
                Hit(
                    path=path,
                    line=call.place.line,
                    column=call.place.column,
                    end_line=call.place.end_line,
                    end_column=call.place.end_column,
                    message=message,
                    help=help_,
                ),
            )
    yield from (found[at] for at in sorted(found))


def _without_pad(pipeline: Pipeline, value: f.ValueId | None) -> str | None:
    """The model whose tokenizer a value is, when that has no padding token."""
    row = None if value is None else pipeline.row(value)
    if not isinstance(row, f.CallValue) or not _TOKENIZER.fullmatch(pipeline.name_of(row)):
        return None
    if is_spread(row, pipeline.trace):
        return None
    model = pipeline.text_of(given(row, "pretrained_model_name_or_path", 0))
    return model if model is not None and _NO_PAD.fullmatch(model) else None


def _padded(pipeline: Pipeline, call: f.LibraryCall) -> tuple[str, str] | None:
    model = None
    if _PADDING_COLLATORS.fullmatch(call.name):
        model = _without_pad(pipeline, given(call, "tokenizer", 0))
    elif (padding := given(call, "padding", None)) is not None:
        found = evaluate(padding, pipeline.env)
        if found is True or (isinstance(found, str) and found in _PADS):
            model = _without_pad(pipeline, call.callee)
    if model is None:
        return None
    return (
        f"The tokenizer of `{model}` has no padding token, and nothing sets one.",
        "Write `tokenizer.pad_token = tokenizer.eos_token` before.",
    )


def _extended(pipeline: Pipeline, call: f.LibraryCall) -> tuple[str, str] | None:
    callee = pipeline.trace.values[call.callee]
    if not isinstance(callee, f.Attribute) or callee.name != "add_special_tokens" or not call.args:
        return None
    model = _without_pad(pipeline, callee.of)
    tokens = evaluate(call.args[0], pipeline.env)
    if model is None or not isinstance(tokens, dict):
        return None
    token = tokens.get("pad_token")
    if not isinstance(token, str) or token in ("<|endoftext|>", "</s>", "<unk>", "<s>"):
        return None
    return (
        f"`{token}` is new to `{model}`, and nothing makes room for it in the model's embedding.",
        "Call `model.resize_token_embeddings(len(tokenizer))` after.",
    )
