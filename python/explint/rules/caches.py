"""Where datasets and models are kept once they are loaded: criterion 3."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from explint.model import Related, Severity
from explint.regex import regex
from explint.rules.pipelines import given, is_spread, pipelines, sources
from explint.rules.registry import Hit, Unknown, rule
from explint.syntax import nodes, walk
from explint.trace import facts as f

if TYPE_CHECKING:
    from explint.experiment import Experiment
    from explint.rules.pipelines import Pipeline

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_PARAMETER: Final = re.compile(
    r"_*(?:hf_|data_|dataset_|datasets_|model_)?cache_?(?:dir|directory|folder|path|root)", re.I
)
# Parsing costs more than all else here, and few functions take a cache folder.
_TAKES: Final = regex(r"def\s+\w+\s*\([^)]*(?i:cache)")
_ENVIRONMENT: Final = regex(
    r"HF_HOME|HF_HUB_CACHE|HF_DATASETS_CACHE|TRANSFORMERS_CACHE|HUGGINGFACE_HUB_CACHE|TORCH_HOME"
    r"|XDG_CACHE_HOME|SENTENCE_TRANSFORMERS_HOME|SCIKIT_LEARN_DATA|\bset_dir\b|env_set",
    words=("_CACHE", "_HOME", "SCIKIT_LEARN_DATA", "set_dir", "env_set"),
)
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
# Builders of the datasets library that read files which are there already.
_FILES: Final = frozenset(
    {"csv", "json", "parquet", "text", "arrow", "pandas", "imagefolder", "audiofolder", "xml",
     "webdataset", "generator"}
)  # fmt: skip
_MADE_UP: Final = frozenset({"FakeData", "ImageFolder", "DatasetFolder", "VisionDataset"})


class _Loader(msgspec.Struct, frozen=True):
    """Where a loader takes its cache folder: a keyword, perhaps a position too."""

    keyword: str
    position: int | None = None
    identifier: int | None = 0
    also: tuple[str, ...] = ()


def _loader(name: str) -> _Loader | None:
    """How a call loads a dataset or model; None for calls that do not."""
    root, _, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    if name in ("datasets.load_dataset", "datasets.load_dataset_builder"):
        return _Loader("cache_dir", 5)
    if root == "transformers" and rest.endswith(".from_pretrained"):
        return _Loader("cache_dir")
    if root == "sentence_transformers" and last == "SentenceTransformer":
        return _Loader("cache_folder")
    if name in ("huggingface_hub.snapshot_download", "huggingface_hub.hf_hub_download"):
        return _Loader("cache_dir", also=("local_dir",))
    if root in ("torchvision", "torchaudio") and rest.startswith("datasets."):
        # Classes only: `torchvision.datasets.utils.download_url` and its kin are something else.
        is_class = last[:1].isupper() and rest.count(".") == 1 and last not in _MADE_UP
        return _Loader("root", 0, identifier=None) if is_class else None
    return None


@rule("data/no-cache-dir", code="DAT001", severity=Severity.ERROR, criteria=(3,))
def no_cache_dir(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A dataset or model is loaded without the protocol's cache folder.

    ## What it does
    Follows calls that download: `datasets.load_dataset`, `from_pretrained` of transformers,
    `SentenceTransformer`, `snapshot_download`, the dataset classes of torchvision and torchaudio.
    Reports those that name no folder, or one that is not the profile's (`.cache`), in the runs and
    modes that come to them. Profiles without a cache folder ask for none.

    Folders made at run time are let pass. Where the package sets or reads `HF_HOME`, `TORCH_HOME`
    or another variable of the kind, a call without a folder of its own is let pass, and so is
    loading from files: `load_dataset("csv", …)`, a path, a model that the package saved itself.

    ## Why is this bad
    The download lands in the home folder of whoever runs it, which on a cluster is small, shared
    or gone after the job; the next run downloads everything again.

    ## Example
    ```python
    dataset = load_dataset("imdb", split="train")
    ```

    ## Use instead
    ```python
    dataset = load_dataset("imdb", split="train", cache_dir=".cache/")
    ```

    ## References
    - Criterion 3 of the experiment protocol
    - [Datasets: cache management](https://huggingface.co/docs/datasets/cache)
    """
    wanted = experiment.profile.data.cache_dir
    if wanted is None:
        return
    texts = sources(experiment)
    settled = any(_ENVIRONMENT.search(text) for text in texts.values()) or any(
        _ENVIRONMENT.search(experiment.text(path) or "") for path in experiment.yaml_files()
    )
    saves = any("save_pretrained" in text or "save_model" in text for text in texts.values())
    found: dict[tuple[str, str], dict[tuple[int, int], tuple[f.Place, str]]] = {}
    for pipeline in pipelines(experiment):
        for _, call in pipeline.calls:
            loader = _loader(call.name)
            if loader is None or (saves and call.name.startswith("transformers.")):
                continue
            folder = _folder(pipeline, call, loader, wanted)
            if folder is None or (folder == "" and settled) or not pipeline.happens(call):
                continue
            path = pipeline.path_of(call.place)
            at = (call.place.line, call.place.column)
            found.setdefault((path, folder), {}).setdefault(at, (call.place, call.name))
    for (path, folder), calls in found.items():
        (_, (place, name)), *others = sorted(calls.items())
        loader = _loader(name)
        assert loader is not None
        short = ".".join(name.split(".")[-2:])
        yield Hit(
            path=path,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            message=f"`{short}` is told no cache folder, so that it loads into the home folder."
            if not folder
            else f"`{short}` loads into `{folder}`, not into the protocol's `{wanted}/`.",
            help=f'Write `{loader.keyword}="{wanted}/"`.',
            related=tuple(
                Related(
                    path=path,
                    line=other.line,
                    message=f"`{'.'.join(called.split('.')[-2:])}` does so too.",
                )
                for _, (other, called) in others
            ),
        )


def _folder(pipeline: Pipeline, call: f.LibraryCall, loader: _Loader, wanted: str) -> str | None:
    """The folder that a call loads into, empty for none; None where it is right, or not known."""
    if is_spread(call, pipeline.trace) or any(given(call, k, None) for k in loader.also):
        return None
    if loader.identifier is not None:
        first = given(call, _FIRST.get(call.name, ""), loader.identifier)
        text = pipeline.text_of(first)
        if text is None or not _HUB_ID.fullmatch(text) or text in _FILES:
            return None
        if text.endswith((".py", ".json", ".csv")) or given(call, "data_files", None) is not None:
            return None
        if given(call, "local_files_only", None) is not None:
            return None
    elif given(call, "download", None) is None:
        # Nothing is loaded: the files are there, wherever that is.
        return None
    value = given(call, loader.keyword, loader.position)
    if value is None:
        return "" if loader.identifier is not None else None
    folder = pipeline.folder_of(value)
    if folder is None:
        row = pipeline.row(value)
        return "" if isinstance(row, f.Literal) and row.value is None else None
    return None if wanted in re.split(r"[/\\]", folder) else folder


_FIRST: Final = {
    "datasets.load_dataset": "path",
    "datasets.load_dataset_builder": "path",
    "sentence_transformers.SentenceTransformer": "model_name_or_path",
    "huggingface_hub.snapshot_download": "repo_id",
    "huggingface_hub.hf_hub_download": "repo_id",
}


@rule("data/cache-dir-ignored", code="DAT002", severity=Severity.ERROR, criteria=(3,))
def cache_dir_ignored(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """A function takes a cache folder and never uses it.

    ## What it does
    Reports functions with a parameter such as `cache_dir` that their body never reads.

    Functions without a body yet, abstract methods, methods that a base class of a library may ask
    for, several methods or functions of one interface (the same method in other classes, functions
    that stand in a table), and functions that look at `locals()` are left alone.

    ## Why is this bad
    Whoever calls the function believes that datasets and models are kept in `.cache/`. They are
    not: they are downloaded to the default place, or read from somewhere else entirely.

    ## Example
    ```python
    def build_loader(cfg, cache_dir=".cache/"):
        return DataLoader(CIFAR10(root=cfg.dataset.root, train=True), batch_size=32)
    ```

    ## Use instead
    ```python
    def build_loader(cfg, cache_dir=".cache/"):
        return DataLoader(CIFAR10(root=cache_dir, train=True, download=True), batch_size=32)
    ```

    ## References
    - Criterion 3 of the experiment protocol
    """
    texts = sources(experiment)
    suspects = {path: text for path, text in texts.items() if _TAKES.search(text)}
    ignored: list[tuple[str, _Function, ast.arg]] = []
    for path, text in suspects.items():
        ignored += ((path, function, arg) for function, arg in _ignored(nodes(text)))
    if not ignored:
        return
    handed_on = _handed_on(texts)
    for path, function, arg in ignored:
        if function.name in handed_on:
            continue
        line, column = arg.lineno, arg.col_offset
        start = len(texts[path].splitlines()[line - 1].encode()[:column].decode()) + 1
        yield Hit(
            path=path,
            line=line,
            column=start,
            end_line=line,
            end_column=start + len(arg.arg),
            message=f"`{function.name}` takes `{arg.arg}` and never uses it.",
            help=f"Hand `{arg.arg}` to whatever loads the data or model, or drop the parameter.",
        )


def _ignored(within: list[ast.AST]) -> Iterator[tuple[_Function, ast.arg]]:
    """The functions of a module that never read their cache parameter."""
    classes = [node for node in within if isinstance(node, ast.ClassDef)]
    own = {node.name for node in classes}
    owner = {id(inner): node for node in classes for inner in node.body}
    named: dict[str, int] = {}
    for inner in (inner for node in classes for inner in node.body):
        if isinstance(inner, _Function):
            named[inner.name] = named.get(inner.name, 0) + 1
    for node in within:
        if not isinstance(node, _Function) or node.decorator_list or _is_bare(node):
            continue
        holder = owner.get(id(node))
        if holder is not None and node.name != "__init__":
            bases = [base for base in holder.bases if not _is(base, "object")]
            if named[node.name] > 1 or any(not _is(base, *own) for base in bases):
                continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        wanted = [arg for arg in arguments if _PARAMETER.fullmatch(arg.arg)]
        if not wanted:
            continue
        body = [inner for statement in node.body for inner in walk(statement)]
        read = {inner.id for inner in body if isinstance(inner, ast.Name)}
        if read & {"locals", "vars", "eval", "exec"}:
            continue
        yield from ((node, arg) for arg in wanted if arg.arg not in read)


def _is(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _is_bare(node: _Function) -> bool:
    """Whether a body does nothing, or only says that there is none."""
    for statement in node.body:
        if isinstance(statement, ast.Pass | ast.Raise):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        return False
    return True


def _handed_on(texts: dict[str, str]) -> set[str]:
    """The functions that the code hands on as values, so that others may decide what they take."""
    found: set[str] = set()
    for text in texts.values():
        called = {id(n.func) for n in nodes(text) if isinstance(n, ast.Call)}
        for node in nodes(text):
            if isinstance(node, ast.Name) and id(node) not in called:
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and id(node) not in called:
                found.add(node.attr)
    return found
