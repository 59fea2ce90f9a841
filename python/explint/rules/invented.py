"""Data that nobody collected: criterion 3."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.flow import parts
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.syntax import nodes, walk
from explint.trace import facts as f
from explint.trace.specialise import condition

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_NOISE: Final = regex(
    r"torch\.(?:rand|randn|randint|rand_like|randn_like|randint_like|normal)"
    r"|numpy\.random\.(?:rand|randn|randint|random|random_sample|normal|uniform|standard_normal)"
    r"|numpy\.random\.(?:default_rng|RandomState)\(\)"
    r"\.(?:rand|randn|randint|random|normal|uniform|standard_normal|integers)"
)
# What gives the same numbers in another form.
_SAME: Final = frozenset(
    {"float", "long", "int", "half", "double", "to", "type", "astype", "view", "reshape", "clone",
     "copy", "unsqueeze", "squeeze", "cpu", "numpy", "tolist", "detach", "contiguous", "flatten"}
)  # fmt: skip
_SAME_FUNCTIONS: Final = frozenset(
    {"torch.from_numpy", "torch.tensor", "torch.as_tensor", "torch.FloatTensor",
     "torch.LongTensor", "torch.Tensor", "numpy.array", "numpy.asarray", "float", "int"}
)  # fmt: skip
_WORDS: Final = regex(
    r"\brand(?:n|int)?\b|\brandom\b|\bnormal\b|\buniform\b|FakeData",
    words=("rand", "normal", "uniform", "FakeData"),
)
_MEANT: Final = regex(
    r"synth|random|toy\b|simulat|gauss|nois[ey]|artificial|generated|dummy|fake|procedural",
    re.I,
    words=(
        "synth", "random", "toy", "simulat", "gauss", "nois", "artificial", "generated", "dummy",
        "fake", "procedural",
    ),
)  # fmt: skip
_INVENTS: Final = regex(r"synth|dummy|fake|mock|toy_?data|random_?data|placeholder", re.I)
_LOADS: Final = regex(
    r"datasets\.load_(?:dataset|from_disk)|(?:torchvision|torchaudio)\.datasets\.[A-Z]\w*"
    r"|pandas\.read_\w+|numpy\.(?:load|loadtxt|genfromtxt)|sklearn\.datasets\.(?:fetch|load)_\w+"
    r"|urllib\.request\.\w+|requests\.get|huggingface_hub\.(?:hf_hub|snapshot)_download|torch\.load"
)
_MAKES: Final = regex(
    r"sklearn\.datasets\.make_\w+|torchvision\.datasets\.FakeData"
    r"|datasets\.Dataset\.from_(?:dict|list|generator)"
)
_DEEP: Final = 24


@rule("data/random-data", code="DAT003", severity=Severity.ERROR, criteria=(3,))
def random_data(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Random numbers stand in for the dataset and its labels.

    ## What it does
    Reports, in the modes whose results count,

    - a `TensorDataset` or `fit` whose inputs and labels are all drawn at random,
    - `torchvision.datasets.FakeData`,
    - a dataset class of the package whose items are random numbers only, when it is used.

    Labels that are worked out from random inputs are a task that can be learned, and noise without
    labels may be what a generator starts from: neither is reported. Where a run config speaks of
    synthetic, simulated or random data, the experiment is meant so.

    ## Why is this bad
    Random labels cannot be learned from random inputs. Every score is chance, whatever the method,
    and the report does not say so.

    ## Example
    ```python
    train = TensorDataset(torch.randn(1000, 3, 32, 32), torch.randint(0, 10, (1000,)))
    ```

    ## Use instead
    ```python
    train = CIFAR10(root=".cache/", train=True, download=True, transform=ToTensor())
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    texts = sources(experiment)
    if not any(_WORDS.search(text) for text in texts.values()):
        return
    if any(_MEANT.search(experiment.text(p) or "") for p in experiment.yaml_files()):
        return
    classes = _random_classes(texts)
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        if pipeline.cheap or not pipeline.whole:
            continue
        for _, call in pipeline.calls:
            for path, place, what in _stand_ins(pipeline, call, classes):
                if (path, place[0]) not in found and pipeline.surely(call.guard):
                    found[path, place[0]] = Hit(
                        path=path,
                        line=place[0],
                        column=place[1],
                        message=f"{what} drawn at random, and stands in for the data.",
                        help="Load the dataset that the run config names.",
                    )
    yield from (found[at] for at in sorted(found))


def _stand_ins(
    pipeline: Pipeline, call: f.LibraryCall, classes: dict[str, tuple[str, int, int]]
) -> Iterator[tuple[str, tuple[int, int], str]]:
    """What a call takes for data: where, and what it is."""
    here = (pipeline.path_of(call.place), (call.place.line, call.place.column))
    last = call.name.rpartition(".")[2]
    if call.name == "torchvision.datasets.FakeData":
        yield *here, "`FakeData` is"
    elif last == "TensorDataset" or (last == "fit" and not call.kwargs):
        tensors = call.args
        if len(tensors) > 1 and all(is_noise(pipeline, v, 0) for v in tensors[:_DEEP]):
            yield *here, f"Everything in this `{last}` is"
    elif last.endswith("DataLoader") and classes:
        data = given(call, "dataset", 0)
        for value in parts(pipeline.trace, data) if data is not None else ():
            row = pipeline.trace.values[value]
            if isinstance(row, f.Instance) and row.cls in classes:
                path, line, column = classes[row.cls]
                yield path, (line, column), f"Every item of `{row.cls.rpartition('.')[2]}` is"


def is_noise(pipeline: Pipeline, value: f.ValueId, depth: int) -> bool:
    """Whether numbers are drawn at random, and nothing else has a part in them."""
    if depth > _DEEP:
        return False
    row = pipeline.row(value)
    if isinstance(row, f.Binary):
        sides = (row.left, row.right)
        literal = [isinstance(pipeline.row(side), f.Literal) for side in sides]
        return any(
            literal[1 - n] and is_noise(pipeline, side, depth + 1) for n, side in enumerate(sides)
        )
    if not isinstance(row, f.CallValue):
        return False
    name = pipeline.name_of(row)
    if name:
        if name in _SAME_FUNCTIONS and row.args:
            return is_noise(pipeline, row.args[0], depth + 1)
        return _NOISE.fullmatch(name) is not None
    method = pipeline.method_of(row)
    if method is None:
        return False
    if method[0] in _SAME:
        return is_noise(pipeline, method[1], depth + 1)
    of = pipeline.row(method[1])
    maker = pipeline.name_of(of)
    return bool(maker) and _NOISE.fullmatch(f"{maker}().{method[0]}") is not None


def _random_classes(texts: dict[str, str]) -> dict[str, tuple[str, int, int]]:
    """The dataset classes whose items are random numbers only: where they stand, by dotted name."""
    found: dict[str, tuple[str, int, int]] = {}
    for path, text in texts.items():
        if "__getitem__" not in text or not _WORDS.search(text):
            continue
        for node in nodes(text):
            if isinstance(node, ast.ClassDef) and _gives_noise(node):
                module = path.removesuffix(".py").replace("/", ".")
                found[f"{module}.{node.name}"] = (path, node.lineno, node.col_offset + 1)
    return found


def _gives_noise(node: ast.ClassDef) -> bool:
    functions = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
    getter = functions.get("__getitem__")
    if getter is None:
        return False
    noise: set[str] = set()
    for function in functions.values():
        for inner in walk(function):
            if not isinstance(inner, ast.Assign):
                continue
            for target in inner.targets:
                name = ast.unparse(target)
                if _is_drawn(inner.value, noise):
                    noise.add(name)
                elif name in noise:
                    return False
    returned = [n.value for n in walk(getter) if isinstance(n, ast.Return)]
    if len(returned) != 1 or returned[0] is None:
        return False
    value = returned[0]
    items = value.elts if isinstance(value, ast.Tuple) else []
    if isinstance(value, ast.Dict):
        items = value.values
    return len(items) > 1 and all(_is_drawn(item, noise) for item in items)


def _is_drawn(node: ast.expr, noise: set[str]) -> bool:
    """Whether an expression is a random number, or an element of random numbers."""
    if isinstance(node, ast.Subscript):
        return _is_drawn(node.value, noise)
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node) in noise
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name.startswith("np."):
            name = f"numpy.{name[3:]}"
        if _NOISE.fullmatch(name):
            return True
        if isinstance(node.func, ast.Attribute) and node.func.attr in _SAME:
            return _is_drawn(node.func.value, noise)
    return False


@rule("data/synthetic-fallback", code="DAT004", severity=Severity.ERROR, criteria=(3,))
def synthetic_fallback(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """When the data cannot be loaded, the run goes on with invented or other data.

    ## What it does
    Looks at the handlers around calls that load or download data, and reports those that go on
    with random tensors, `FakeData`, a generated dataset, a function of the package whose name says
    that it makes data up, or with another dataset of the hub.

    Handlers that raise, that load the same dataset from elsewhere or under its full name, and
    those that only the trial comes to are sound.

    ## Why is this bad
    A slow network turns the experiment into another one. Its numbers look like results, and only a
    line in the log says that they are not.

    ## Example
    ```python
    try:
        rows = load_dataset("imdb", cache_dir=".cache/")
    except Exception:
        rows = make_synthetic_reviews(1000)
    ```

    ## Use instead
    ```python
    try:
        rows = load_dataset("imdb", cache_dir=".cache/")
    except OSError as error:
        raise RuntimeError("imdb could not be loaded into .cache/") from error
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    if not any("except" in text for text in sources(experiment).values()):
        return
    found: dict[tuple[str, int], Hit] = {}
    for pipeline in pipelines(experiment):
        if not pipeline.cheap:
            for hit in _fallbacks(pipeline):
                found.setdefault((hit.path, hit.related[0].line), hit)
    yield from (found[at] for at in sorted(found))


def _fallbacks(pipeline: Pipeline) -> Iterator[Hit]:
    trace = pipeline.trace
    loads: dict[int, list[f.LibraryCall]] = {}
    for _, call in pipeline.calls:
        if _LOADS.fullmatch(call.name):
            attempt = _attempt(trace, call.guard, failed=False)
            if attempt is not None:
                loads.setdefault(attempt, []).append(call)
    if not loads:
        return
    for event in trace.events:
        attempt = _attempt(trace, event.guard, failed=True)
        if attempt is None or attempt not in loads or pipeline.certain.raises_on(attempt):
            continue
        if pipeline.elsewhere and trace.calls[event.call].function in pipeline.elsewhere:
            continue
        said = _goes_on(pipeline, event, loads[attempt])
        if said is None or not _may_fall(pipeline, event.guard):
            continue
        what, place = said
        first = loads[attempt][0]
        yield Hit(
            path=pipeline.path_of(place),
            line=place.line,
            column=place.column,
            message=f"When `{_short(first.name)}` fails, the run goes on with {what}.",
            help="Let the exception stop the run, or raise one that says what is missing.",
            related=(
                Related(
                    path=pipeline.path_of(first.place),
                    line=first.place.line,
                    message="This is what may fail.",
                ),
            ),
        )


def _short(name: str) -> str:
    return ".".join(name.split(".")[-2:]) if "datasets." in name else name


def _goes_on(
    pipeline: Pipeline, event: f.AnyEvent, loads: list[f.LibraryCall]
) -> tuple[str, f.Place] | None:
    """What a handler takes instead of the data, and where."""
    trace = pipeline.trace
    inside = {c.call for c in loads}
    at = event.call
    while at:
        row = trace.calls[at]
        name = row.function.rpartition(".")[2]
        if row.parent in inside and _INVENTS.search(name):
            return f"what `{name}` makes up", row.place
        at = row.parent
    if not isinstance(event, f.LibraryCall) or event.call not in inside:
        return None
    if _MAKES.fullmatch(event.name):
        return f"what `{_short(event.name)}` makes up", event.place
    last = event.name.rpartition(".")[2]
    if last == "TensorDataset" and any(is_noise(pipeline, v, 0) for v in event.args):
        return "random tensors", event.place
    if event.name == "datasets.load_dataset":
        mine = _source(pipeline, event)
        others = [_source(pipeline, c) for c in loads if c.name == event.name]
        if mine and others and all(other and _differ(mine, other) for other in others):
            return f"another dataset, `{mine}`", event.place
    return None


def _source(pipeline: Pipeline, call: f.LibraryCall) -> str | None:
    if is_spread(call, pipeline.trace) or given(call, "data_files", 3) is not None:
        return None
    return pipeline.text_of(given(call, "path", 0))


def _differ(one: str, other: str) -> bool:
    """Whether two ids name different datasets, not a dataset and its copy."""
    a, b = (name.rpartition("/")[2].lower().replace("-", "_") for name in (one, other))
    return a not in b and b not in a and not {a, b} & _FORMATS


_FORMATS: Final = frozenset({"csv", "json", "parquet", "text", "arrow", "imagefolder"})
"""Builders of the datasets library that read files, of whatever dataset."""


def _attempt(trace: f.EntryTrace, guard: int, *, failed: bool) -> int | None:
    """The innermost ``try`` that an event stands in, or whose handler it stands in."""
    while guard:
        row = trace.guards[guard]
        value = trace.values[row.condition]
        if isinstance(value, f.Raised):
            return value.attempt if row.expected == failed else None
        guard = row.parent
    return None


def _may_fall(pipeline: Pipeline, guard: int) -> bool:
    """Whether a handler is reached once something in its ``try`` raises."""
    trace = pipeline.trace
    while guard:
        row = trace.guards[guard]
        guard = row.parent
        value = trace.values[row.condition]
        is_exception = isinstance(value, f.UnknownValue) and value.reason == "exception"
        if isinstance(value, f.Raised | f.All | f.Ran | f.Called) or is_exception:
            continue
        if condition(row.condition, pipeline.env) is not row.expected:
            return False
    return True
